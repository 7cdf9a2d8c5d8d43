/* SPDX-License-Identifier: MIT */
/*
 * unixsock, saving. Kept: type, options, names, both ends in this process,
 * what is in the queues (looked at, not taken) with the bounds of messages,
 * half-close, listening with its backlog, connections that wait there and
 * come from this process.
 * Refused: descriptors in flight, data sent to a connection nobody has
 * accepted yet. Not kept: a peer outside (its end is closed then), out-of-band
 * marks, credentials of senders.
 *
 * Who is connected to whom only the kernel's unix_diag tells.
 */
#define _GNU_SOURCE
#include <asm/ioctls.h>
#include <errno.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <linux/sockios.h>
#include <linux/stat.h>
#include <linux/unix_diag.h>

#include <ckpt/plugin.h>

#include "plugins/fdinfo.h"
#include "plugins/sockopt_save.h"
#include "plugins/unixsock/format.h"
#include "sys/sys.h"

/* linux/socket.h and libc's own cannot both be here. */
#define FAMILY_UNIX 1
#define FAMILY_NETLINK 16
#define TYPE_STREAM 1
#define TYPE_DGRAM 2
#define TYPE_RAW 3
#define TYPE_CLOEXEC 02000000
#define MESSAGE_PEEK 2
#define MESSAGE_TRUNC 0x20
#define MESSAGE_DONTWAIT 0x40
#define STATE_LISTEN 10
#define SOCKET_CHUNK 16384

struct message {
	void *name;
	uint32_t name_length;
	struct {
		void *data;
		uint64_t length;
	} *vector;
	uint64_t vector_count;
	void *control;
	uint64_t control_length;
	uint32_t flags;
};

/* What unix_diag tells of one socket. */
struct unixsock_diag {
	uint32_t state, shutdown, has_peer;
	uint32_t peer_ino; /* 0: none that anybody has */
	uint32_t waiting, backlog;
	uint32_t file_ino;
	uint32_t icon_count;
	uint32_t icons[256]; /* inodes of those that wait for accept() */
};

static int unixsock_matches(const struct ckpt_fd *fd)
{
	return (fd->st.mode & S_IFMT) == S_IFSOCK &&
	       !(fd->status_flags & O_PATH) &&
	       sockopt_int(fd->fd, SOCKOPT_SOCKET, SOCKOPT_DOMAIN) ==
		       FAMILY_UNIX;
}

static int unixsock_refuse(const struct ckpt_fd *fd, int error, const char *why)
{
	char number[24];
	struct sys_text text;

	sys_text_open(&text, number, sizeof(number));
	sys_text_number(&text, (uint64_t)fd->fd, 10);
	return ckpt_refuse(error, "fd ", number, " (unix socket): ", why, NULL);
}

/* ---- unix_diag ---- */

static void diag_attribute(struct unixsock_diag *diag, unsigned type,
			   const void *data, unsigned length)
{
	const uint32_t *word = data;

	switch (type) {
	case UNIX_DIAG_VFS:
		if (length >= sizeof(struct unix_diag_vfs))
			diag->file_ino = word[0];
		break;
	case UNIX_DIAG_PEER:
		diag->has_peer = 1;
		diag->peer_ino = word[0];
		break;
	case UNIX_DIAG_ICONS:
		for (; length >= 4 && diag->icon_count < 256; length -= 4)
			diag->icons[diag->icon_count++] = *word++;
		break;
	case UNIX_DIAG_RQLEN:
		if (length >= sizeof(struct unix_diag_rqlen)) {
			diag->waiting = word[0];
			diag->backlog = word[1];
		}
		break;
	case UNIX_DIAG_SHUTDOWN:
		diag->shutdown = *(const unsigned char *)data;
		break;
	}
}

static int diag_parse(const char *reply, size_t length,
		      struct unixsock_diag *diag)
{
	const struct nlmsghdr *head = (const void *)reply;
	const struct unix_diag_msg *body = NLMSG_DATA(head);
	size_t at = NLMSG_SPACE(sizeof(*body));

	if (length < sizeof(*head) || head->nlmsg_len > length)
		return -EBADMSG;
	if (head->nlmsg_type == NLMSG_ERROR)
		return ((const struct nlmsgerr *)NLMSG_DATA(head))->error ?:
			       -EBADMSG;
	if (head->nlmsg_len < at)
		return -EBADMSG;
	diag->state = body->udiag_state;
	while (at + sizeof(struct nlattr) <= head->nlmsg_len) {
		const struct nlattr *attribute = (const void *)(reply + at);

		if (attribute->nla_len < NLA_HDRLEN ||
		    at + attribute->nla_len > head->nlmsg_len)
			return -EBADMSG;
		diag_attribute(diag, attribute->nla_type & NLA_TYPE_MASK,
			       (const char *)attribute + NLA_HDRLEN,
			       attribute->nla_len - NLA_HDRLEN);
		at += NLA_ALIGN(attribute->nla_len);
	}
	return 0;
}

static int diag_ask(uint64_t ino, struct unixsock_diag *diag)
{
	static char reply[8192] __attribute__((aligned(8)));
	struct {
		struct nlmsghdr head;
		struct unix_diag_req body;
	} ask = {
		.head = {.nlmsg_len = sizeof(ask),
			 .nlmsg_type = SOCK_DIAG_BY_FAMILY,
			 .nlmsg_flags = NLM_F_REQUEST},
		.body = {.sdiag_family = FAMILY_UNIX,
			 .udiag_states = ~0u,
			 .udiag_ino = (uint32_t)ino,
			 .udiag_show = UDIAG_SHOW_VFS | UDIAG_SHOW_PEER |
				       UDIAG_SHOW_ICONS | UDIAG_SHOW_RQLEN,
			 .udiag_cookie = {~0u, ~0u}},
	};
	long link = SYS_CALL(SYS_socket, FAMILY_NETLINK,
			     TYPE_RAW | TYPE_CLOEXEC, NETLINK_SOCK_DIAG);
	long ret;

	__builtin_memset(diag, 0, sizeof(*diag));
	if (link < 0)
		return (int)link;
	ret = sys_write((int)link, &ask, sizeof(ask));
	if (ret >= 0)
		ret = sys_read((int)link, reply, sizeof(reply));
	if (ret >= 0)
		ret = diag_parse(reply, (size_t)ret, diag);
	sys_close((int)link);
	return (int)ret;
}

/* ---- names ---- */

static void unixsock_name(int fd, long call, struct unixsock_name *name)
{
	uint32_t length = sizeof(name->address);

	if (SYS_CALL(call, fd, name->address, &length) < 0 ||
	    length > sizeof(name->address) || length <= 2)
		length = 0;
	name->length = length;
}

static int unixsock_is_path(const struct unixsock_name *name)
{
	return name->length > 2 && name->address[2];
}

static const char *unixsock_path(const struct unixsock_name *name)
{
	return (const char *)name->address + 2;
}

static int unixsock_same_name(const struct unixsock_name *a,
			      const struct unixsock_name *b)
{
	uint32_t i;

	if (!a->length || a->length != b->length)
		return 0;
	for (i = 0; i < a->length; i++)
		if (a->address[i] != b->address[i])
			return 0;
	return 1;
}

/* A socket of this process by its name; listening: only such. 0: none. */
static uint32_t unixsock_named(const struct unixsock_name *name, int listening)
{
	size_t i;

	if (!name->length)
		return 0;
	for (i = 0; i < ckpt_fd_count(); i++) {
		const struct ckpt_fd *fd = ckpt_fd_at(i);
		struct unixsock_name other = {0};

		if (!unixsock_matches(fd))
			continue;
		if (listening && sockopt_int(fd->fd, SOCKOPT_SOCKET,
					     SOCKOPT_ACCEPTCONN) != 1)
			continue;
		unixsock_name(fd->fd, SYS_getsockname, &other);
		if (unixsock_same_name(name, &other))
			return fd->object;
	}
	return 0;
}

static const struct ckpt_fd *unixsock_by_ino(uint64_t ino)
{
	size_t i;

	for (i = 0; i < ckpt_fd_count(); i++)
		if (ckpt_fd_at(i)->st.ino == ino &&
		    (ckpt_fd_at(i)->st.mode & S_IFMT) == S_IFSOCK)
			return ckpt_fd_at(i);
	return NULL;
}

/* The name is that of this socket still, seen from here: its mode. */
static void unixsock_file(struct unixsock_record *record, uint32_t ino)
{
	struct statx st;

	if (!unixsock_is_path(&record->name) || !ino)
		return;
	if (SYS_CALL(SYS_statx, AT_FDCWD, unixsock_path(&record->name),
		     AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS, &st) < 0 ||
	    (uint32_t)st.stx_ino != ino)
		return;
	record->flags |= UNIXSOCK_FILE;
	record->mode = st.stx_mode & 07777;
}

/* ---- who is at the other end ---- */

/* Does it wait at a listener of this process? Returns the object. */
static uint32_t unixsock_waits_at(uint64_t ino, int *outside)
{
	static struct unixsock_diag diag;
	size_t i;
	uint32_t n;

	for (i = 0; i < ckpt_fd_count(); i++) {
		const struct ckpt_fd *fd = ckpt_fd_at(i);

		if (!unixsock_matches(fd) ||
		    sockopt_int(fd->fd, SOCKOPT_SOCKET, SOCKOPT_ACCEPTCONN) !=
			    1 ||
		    diag_ask(fd->st.ino, &diag) < 0)
			continue;
		for (n = 0; n < diag.icon_count; n++)
			if (diag.icons[n] == (uint32_t)ino)
				return fd->object;
	}
	*outside = 1;
	return 0;
}

static void unixsock_standard(const struct ckpt_fd *fd,
			      struct unixsock_record *record)
{
	size_t i;

	for (i = ckpt_fd_count(); i-- > 0;)
		if (ckpt_fd_at(i)->fd <= 2 &&
		    ckpt_fd_at(i)->st.ino == fd->st.ino)
			record->standard = ckpt_fd_at(i)->fd;
}

/* A connection that nobody has accepted has no other end yet to find. */
static int unixsock_unaccepted(const struct ckpt_fd *fd,
			       struct unixsock_record *record)
{
	int unsent = 0, outside = 0;

	if (record->shutdown == 3) {
		record->flags |= UNIXSOCK_PEER_GONE;
		return 0;
	}
	record->listener = unixsock_waits_at(fd->st.ino, &outside);
	if (outside) {
		record->flags |= UNIXSOCK_PEER_OUTSIDE;
		return 0;
	}
	record->flags |= UNIXSOCK_WAITS;
	sys_ioctl(fd->fd, SIOCOUTQ, &unsent);
	if (unsent)
		return unixsock_refuse(fd, -EBUSY,
				       "it has sent to a connection that is "
				       "not accepted yet; try again later");
	return 0;
}

static int unixsock_peer(const struct ckpt_fd *fd,
			 const struct unixsock_diag *diag,
			 struct unixsock_record *record)
{
	const struct ckpt_fd *peer;

	if (!diag->has_peer)
		return 0;
	record->flags |= UNIXSOCK_CONNECTED;
	peer = diag->peer_ino ? unixsock_by_ino(diag->peer_ino) : NULL;
	if (peer) {
		record->peer = peer->object;
		record->listener = unixsock_named(
			record->name.length ? &record->name :
					      &record->peer_name, 1);
		return 0;
	}
	if (!diag->peer_ino && record->type != TYPE_DGRAM)
		return unixsock_unaccepted(fd, record);
	record->flags |= diag->peer_ino ? UNIXSOCK_PEER_OUTSIDE :
					  UNIXSOCK_PEER_GONE;
	if (diag->peer_ino)
		unixsock_standard(fd, record);
	return 0;
}

/* ---- the queue ---- */

/* One look. Returns bytes of this message from here on, of which up to
 * SOCKET_CHUNK are in buffer; 0 with *none when there is nothing more. */
static long unixsock_look(int fd, char *buffer, struct unixsock_name *sender,
			  uint32_t *flags)
{
	struct { void *data; uint64_t length; } vector = {buffer, SOCKET_CHUNK};
	struct message message = {
		.name = sender->address,
		.name_length = sizeof(sender->address),
		.vector = (void *)&vector,
		.vector_count = 1,
	};
	long ret = SYS_CALL(SYS_recvmsg, fd, &message,
			    MESSAGE_PEEK | MESSAGE_TRUNC | MESSAGE_DONTWAIT);

	sender->length = message.name_length > 2 ? message.name_length : 0;
	*flags = message.flags;
	return ret;
}

static int unixsock_queue(const struct ckpt_fd *fd,
			  const struct unixsock_record *record,
			  struct ckpt_record *out)
{
	static char buffer[SOCKET_CHUNK];
	int ends = record->type == TYPE_STREAM ||
		   (record->type != TYPE_DGRAM && (record->shutdown & 1));

	for (;;) {
		struct unixsock_name sender = {0};
		struct unixsock_chunk chunk = {0};
		uint32_t flags;
		long got = unixsock_look(fd->fd, buffer, &sender, &flags);

		/* 0 is the end of the stream, or an empty message. */
		if (got == -EAGAIN || (got == 0 && ends))
			return 0;
		if (got < 0)
			return got == -ECONNRESET ? 0 : (int)got;
		chunk.length = got > SOCKET_CHUNK ? SOCKET_CHUNK :
						    (uint32_t)got;
		chunk.more = got > SOCKET_CHUNK;
		if (record->type == TYPE_DGRAM)
			chunk.sender = unixsock_named(&sender, 0);
		ckpt_put(out, &chunk, sizeof(chunk));
		ckpt_put(out, buffer, chunk.length);
	}
}

/* From the start, and the program's own place put back afterwards. */
static int unixsock_peek_all(const struct ckpt_fd *fd,
			     const struct unixsock_record *record,
			     struct ckpt_record *out)
{
	int start = 0;
	long ret = SYS_CALL(SYS_setsockopt, fd->fd, SOCKOPT_SOCKET,
			    SOCKOPT_PEEK_OFF, &start, sizeof(start));

	if (ret < 0)
		return unixsock_refuse(fd, (int)ret,
				       "its queue cannot be looked at");
	ret = unixsock_queue(fd, record, out);
	SYS_CALL(SYS_setsockopt, fd->fd, SOCKOPT_SOCKET, SOCKOPT_PEEK_OFF,
		 &record->peek_offset, sizeof(int32_t));
	return ret < 0 ? unixsock_refuse(fd, (int)ret,
					 "its queue cannot be looked at") :
			 0;
}

static int unixsock_save(const struct ckpt_fd *fd, struct ckpt_record *out)
{
	static struct unixsock_diag diag;
	static char directory[4096];
	struct unixsock_record record = {
		.ino = fd->st.ino,
		.standard = -1,
		.type = (uint32_t)sockopt_int(fd->fd, SOCKOPT_SOCKET,
					      SOCKOPT_TYPE),
		.peek_offset = sockopt_int(fd->fd, SOCKOPT_SOCKET,
					   SOCKOPT_PEEK_OFF),
	};
	int ret = diag_ask(fd->st.ino, &diag);
	long length = 0;

	if (ret < 0)
		return unixsock_refuse(fd, ret,
				       "the kernel does not tell who is at its "
				       "other end (module unix_diag)");
	if (fdinfo_number(fd->fdinfo, "scm_fds", 10, 0))
		return unixsock_refuse(fd, -EOPNOTSUPP,
				       "descriptors are on their way through "
				       "it; try again when they are received");
	sockopt_save(fd->fd, &record.options);
	unixsock_name(fd->fd, SYS_getsockname, &record.name);
	unixsock_name(fd->fd, SYS_getpeername, &record.peer_name);
	unixsock_file(&record, diag.file_ino);
	record.shutdown = diag.shutdown;
	if (diag.state == STATE_LISTEN) {
		record.flags |= UNIXSOCK_LISTENS;
		record.backlog = diag.backlog;
	} else {
		ret = unixsock_peer(fd, &diag, &record);
		if (ret < 0)
			return ret;
	}
	if (unixsock_is_path(&record.name) && *unixsock_path(&record.name) != '/')
		length = sys_readlinkat(AT_FDCWD, "/proc/self/cwd", directory,
					sizeof(directory));
	record.directory_length = length > 0 ? (uint32_t)length : 0;
	ckpt_put(out, &record, sizeof(record));
	ckpt_put(out, directory, record.directory_length);
	if (record.flags & UNIXSOCK_LISTENS)
		return 0;
	/* A stream that was never connected has no queue. */
	if (record.type != TYPE_DGRAM && !(record.flags & UNIXSOCK_CONNECTED))
		return 0;
	if (record.standard >= 0)
		return 0;
	return unixsock_peek_all(fd, &record, out);
}

const struct ckpt_saver unixsock_saver = {
	.kind = 73,
	.name = "unixsock",
	.matches = unixsock_matches,
	.save = unixsock_save,
};
