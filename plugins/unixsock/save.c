/* SPDX-License-Identifier: MIT */
/*
 * unixsock, saving. Kept: type, options, names, who is at the other end, what
 * is in the queues (looked at, not taken) with the bounds of messages, their
 * senders, their credentials and the descriptors in them; half-close,
 * listening with its backlog, connections that wait to be accepted.
 * Refused, until it passes: data sent to a connection nobody has accepted yet.
 * Not kept: a peer outside (its end is closed then), out-of-band marks.
 *
 * Who is connected to whom only the kernel's unix_diag tells. Of several
 * processes that have a socket one saves the queue: a look moves the place of
 * the next look, which is the socket's. A look takes away a waiting
 * ECONNRESET; that of a stream is spared by not looking beyond its end.
 */
#define _GNU_SOURCE
#include <asm/ioctls.h>
#include <errno.h>
#include <linux/sockios.h>
#include <linux/stat.h>

#include <ckpt/plugin.h>

#include "plugins/fdinfo.h"
#include "plugins/sockopt_save.h"
#include "plugins/unixsock/diag.h"
#include "plugins/unixsock/format.h"
#include "sys/sys.h"

/* linux/socket.h and libc's own cannot both be here. */
#define FAMILY_UNIX 1
#define TYPE_STREAM 1
#define TYPE_DGRAM 2
#define MESSAGE_PEEK 2
#define MESSAGE_CLOEXEC 0x40000000
#define CONTROL_RIGHTS 1
#define CONTROL_CREDENTIALS 2
#define CONTROL_PIDFD 4
#define MESSAGE_TRUNC 0x20
#define MESSAGE_DONTWAIT 0x40
#define STATE_LISTEN 10
#define POLL_ERROR 8
/* More than the kernel puts into one piece of a stream's queue. */
#define SOCKET_CHUNK (48 << 10)

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

/* ---- who is at the other end, says the kernel ---- */

static int unixsock_untold(const struct ckpt_fd *fd, int error)
{
	/* Its answer has to fit into a page. */
	if (error == -EMSGSIZE)
		return unixsock_refuse(fd, -EBUSY,
				       "too many connections wait to be "
				       "accepted; try again later");
	return unixsock_refuse(fd, error,
			       "the kernel does not tell who is at its other "
			       "end (module unix_diag)");
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

static void unixsock_standard(const struct ckpt_fd *fd,
			      struct unixsock_record *record)
{
	size_t i;

	for (i = 0; i < ckpt_fd_count() && ckpt_fd_at(i)->fd <= 2; i++)
		if (record->standard < 0 &&
		    ckpt_fd_at(i)->st.ino == fd->st.ino)
			record->standard = ckpt_fd_at(i)->fd;
}

/* The other end of a connection that nobody has accepted is nobody's yet, so
 * what is in it cannot be looked at. */
static int unixsock_unaccepted(const struct ckpt_fd *fd,
			       struct unixsock_record *record)
{
	int unsent = 0;

	if (record->shutdown == 3) {
		record->flags |= UNIXSOCK_PEER_GONE;
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

/* Those who have called; who has gone again may have sent something. */
static int unixsock_callers(const struct ckpt_fd *fd,
			    const struct unixsock_diag *diag)
{
	uint32_t i;

	if (diag->waiting > diag->icon_count)
		return unixsock_refuse(fd, -EBUSY,
				       "too many connections wait to be "
				       "accepted; try again later");
	for (i = 0; i < diag->icon_count; i++)
		if (!diag->icons[i])
			return unixsock_refuse(fd, -EBUSY,
					       "a connection that is not "
					       "accepted yet has been closed "
					       "by its caller; try again later");
	return 0;
}

static int unixsock_peer(const struct ckpt_fd *fd,
			 const struct unixsock_diag *diag,
			 struct unixsock_record *record)
{
	if (!diag->has_peer)
		return 0;
	record->flags |= UNIXSOCK_CONNECTED;
	record->peer_ino = diag->peer_ino;
	if (diag->peer_ino)
		return 0;
	if (record->type != TYPE_DGRAM)
		return unixsock_unaccepted(fd, record);
	record->flags |= UNIXSOCK_PEER_GONE;
	return 0;
}

/* ---- the queue ---- */

/* What came with a message. */
struct unixsock_control {
	uint64_t length;
	int32_t level, type;
	union {
		int32_t fds[1];
		struct {
			int32_t pid;
			uint32_t uid, gid;
		} credentials;
	};
};

#define CONTROL_HEAD 16u

struct unixsock_looked {
	struct unixsock_name sender;
	int32_t pid; /* credentials */
	uint32_t uid, gid;
	int32_t *fds; /* ours now; valid until the next look */
	uint32_t fd_count;
};

static void unixsock_controls(char *at, uint64_t length,
			      struct unixsock_looked *looked)
{
	while (length >= CONTROL_HEAD) {
		struct unixsock_control *control = (void *)at;
		uint64_t size = (control->length + 7) & ~7ull;

		if (control->length < CONTROL_HEAD || control->length > length)
			return;
		if (control->level == SOCKOPT_SOCKET &&
		    control->type == CONTROL_RIGHTS) {
			looked->fds = control->fds;
			looked->fd_count =
				(uint32_t)(control->length - CONTROL_HEAD) / 4;
		} else if (control->level == SOCKOPT_SOCKET &&
			   control->type == CONTROL_PIDFD) {
			sys_close(control->fds[0]); /* made by the look */
		} else if (control->level == SOCKOPT_SOCKET &&
			   control->type == CONTROL_CREDENTIALS) {
			looked->pid = control->credentials.pid;
			looked->uid = control->credentials.uid;
			looked->gid = control->credentials.gid;
		}
		if (size >= length)
			return;
		at += size;
		length -= size;
	}
}

/* Looking at one socket at a time. */
static struct {
	int fd, peek_offset, pass_credentials;
	uint32_t type, shutdown;
	uint64_t at, end; /* this place, and all bytes; datagrams have no end */
	int goes_on;	  /* of a message: more of it follows */
	struct unixsock_looked message;
	char buffer[SOCKET_CHUNK];
	char control[2048] __attribute__((aligned(8)));
} look;

static void unixsock_set(int option, int value)
{
	SYS_CALL(SYS_setsockopt, look.fd, SOCKOPT_SOCKET, option, &value,
		 sizeof(value));
}

/* One look at `length` bytes at most; `beyond`: at one more, which cannot be
 * written. Returns how many this message has from here on, of a stream how
 * many were there. */
static long unixsock_look(uint64_t length, int beyond)
{
	static const char constant;
	struct unixsock_looked *looked = &look.message;
	struct {
		void *data;
		uint64_t length;
	} vector[2] = {
		{look.buffer, length},
		{(void *)(uintptr_t)&constant, 1},
	};
	struct message message = {
		.name = looked->sender.address,
		.name_length = sizeof(looked->sender.address),
		.vector = (void *)vector,
		.vector_count = beyond ? 2 : 1,
		.control = look.control,
		.control_length = sizeof(look.control),
	};
	long ret;

	looked->sender.length = 0;
	looked->pid = 0;
	looked->fd_count = 0;
	ret = SYS_CALL(SYS_recvmsg, look.fd, &message,
		       MESSAGE_PEEK | MESSAGE_TRUNC | MESSAGE_DONTWAIT |
			       MESSAGE_CLOEXEC);
	if (ret < 0)
		return ret;
	if (message.name_length > 2)
		looked->sender.length = message.name_length;
	unixsock_controls(look.control, message.control_length, looked);
	return ret;
}

static void unixsock_close_looked(void)
{
	while (look.message.fd_count)
		sys_close(look.message.fds[--look.message.fd_count]);
}

/* From the start. Credentials are shown to those only who want them. What the
 * program had is put back by unixsock_end(). */
static int unixsock_begin(int fd, uint32_t shutdown)
{
	int waiting = 0;

	look.shutdown = shutdown;
	look.fd = fd;
	look.type = (uint32_t)sockopt_int(fd, SOCKOPT_SOCKET, SOCKOPT_TYPE);
	look.peek_offset = sockopt_int(fd, SOCKOPT_SOCKET, SOCKOPT_PEEK_OFF);
	look.pass_credentials = sockopt_int(fd, SOCKOPT_SOCKET,
					    SOCKOPT_PASS_CREDENTIALS);
	look.at = 0;
	look.goes_on = 0;
	sys_ioctl(fd, SIOCINQ, &waiting);
	look.end = (uint64_t)waiting;
	unixsock_set(SOCKOPT_PASS_CREDENTIALS, 1);
	unixsock_set(SOCKOPT_PEEK_OFF, 0);
	return sockopt_int(fd, SOCKOPT_SOCKET, SOCKOPT_PEEK_OFF) == 0 ?
		       0 :
		       -EOPNOTSUPP;
}

static void unixsock_end(void)
{
	unixsock_set(SOCKOPT_PEEK_OFF, look.peek_offset);
	unixsock_set(SOCKOPT_PASS_CREDENTIALS, look.pass_credentials);
}

/* Descriptors come with the piece of the stream that they were sent with, but
 * a look is shown them from before it, too. Pieces are copied as a whole or
 * not at all when there is no memory for all of a piece: so, with room for one
 * byte less than what ends with that piece, we get what is before it. Nothing:
 * it is the first one. */
static long unixsock_until_rights(long got)
{
	long before;

	unixsock_close_looked();
	unixsock_set(SOCKOPT_PEEK_OFF, (int)look.at);
	before = unixsock_look((uint64_t)got - 1, 1);
	if (before > 0 && !look.message.fd_count)
		return before;
	if (before < 0 && before != -EFAULT)
		return before;
	unixsock_close_looked();
	unixsock_set(SOCKOPT_PEEK_OFF, (int)look.at);
	return unixsock_look((uint64_t)got, 0);
}

static long unixsock_look_stream(void)
{
	long got = 0;

	if (look.at < look.end)
		got = unixsock_look(SOCKET_CHUNK, 0);
	if (got > 1 && look.message.fd_count)
		got = unixsock_until_rights(got);
	if (got > 0)
		look.at += (uint64_t)got;
	return got;
}

/* The next piece. 1; 0: there is none. */
static int unixsock_next(struct unixsock_chunk *chunk)
{
	int goes_on = look.goes_on;
	long got = look.type == TYPE_STREAM ? unixsock_look_stream() :
					      unixsock_look(SOCKET_CHUNK, 0);

	if (got == -ECONNRESET && look.type != TYPE_STREAM)
		got = unixsock_look(SOCKET_CHUNK, 0); /* it stood before all */
	if (got == -EAGAIN || got == -ECONNRESET)
		return 0;
	if (got < 0)
		return (int)got;
	/* 0 is the end, or an empty message. */
	if (got == 0 && !look.message.fd_count && look.type != TYPE_DGRAM &&
	    look.at >= look.end &&
	    (look.type == TYPE_STREAM || (look.shutdown & 1)))
		return 0;
	if (look.type != TYPE_STREAM)
		look.at += got > SOCKET_CHUNK ? SOCKET_CHUNK : (uint64_t)got;
	look.goes_on = got > SOCKET_CHUNK;
	if (goes_on)
		unixsock_close_looked(); /* its first piece had them, too */
	*chunk = (struct unixsock_chunk){
		.length = got > SOCKET_CHUNK ? SOCKET_CHUNK : (uint32_t)got,
		.more = (uint32_t)look.goes_on,
		.name_length = look.type == TYPE_DGRAM ?
				       look.message.sender.length :
				       0,
		.objects = look.message.fd_count,
		.pid = look.message.pid,
		.uid = look.message.uid,
		.gid = look.message.gid,
	};
	return 1;
}

static int unixsock_queue(const struct ckpt_fd *fd, uint32_t shutdown,
			  struct ckpt_record *out)
{
	struct unixsock_chunk chunk;
	uint32_t inside = 0, i;
	int ret = unixsock_begin(fd->fd, shutdown);

	while (ret == 0 && (ret = unixsock_next(&chunk)) > 0) {
		unixsock_close_looked();
		ckpt_put(out, &chunk, sizeof(chunk));
		for (i = 0; i < chunk.objects; i++) {
			uint32_t id = ckpt_inside(fd, inside++);

			ckpt_put(out, &id, sizeof(id));
		}
		ckpt_put(out, look.message.sender.address, chunk.name_length);
		ckpt_put(out, look.buffer, chunk.length);
		ret = 0;
	}
	unixsock_end();
	return ret < 0 ? unixsock_refuse(fd, ret,
					 "its queue cannot be looked at") :
			 0;
}

/* An error waits, which looking for it would take away. */
static int unixsock_is_reset(int fd)
{
	struct {
		int32_t fd;
		int16_t events, found;
	} poll = {.fd = fd};
	int64_t now[2] = {0, 0};

	return SYS_CALL(SYS_ppoll, &poll, 1, now, NULL, 8) == 1 &&
	       (poll.found & POLL_ERROR);
}

static int unixsock_has_queue(const struct unixsock_record *record)
{
	if (record->flags & UNIXSOCK_LISTENS)
		return 0;
	/* A stream that was never connected has none. */
	return record->type == TYPE_DGRAM ||
	       (record->flags & UNIXSOCK_CONNECTED);
}

static int unixsock_carries(const struct ckpt_fd *fd)
{
	return fdinfo_number(fd->fdinfo, "scm_fds", 10, 0) &&
	       sockopt_int(fd->fd, SOCKOPT_SOCKET, SOCKOPT_ACCEPTCONN) != 1;
}

/* Where there are descriptors in it, the one who has found them. */
static int unixsock_is_mine(const struct ckpt_fd *fd)
{
	return unixsock_carries(fd) ? ckpt_inside(fd, 0) != 0 :
				      ckpt_claim(fd->st.dev, fd->st.ino);
}

/* The descriptors on their way through it, one after the other. */
static int unixsock_inside(const struct ckpt_fd *fd)
{
	static struct unixsock_diag diag;
	struct unixsock_chunk chunk;
	uint32_t i;
	int ret;

	if (!unixsock_carries(fd) || !ckpt_claim(fd->st.dev, fd->st.ino))
		return 0;
	ret = unixsock_ask(fd, &diag);
	if (ret < 0)
		return unixsock_untold(fd, ret);
	ret = unixsock_begin(fd->fd, diag.shutdown);
	while (ret == 0 && (ret = unixsock_next(&chunk)) > 0)
		for (i = ret = 0; i < chunk.objects && ret == 0; i++)
			ret = ckpt_found(fd, look.message.fds[i]);
	unixsock_end();
	return ret < 0 ? unixsock_refuse(fd, ret,
					 "its queue cannot be looked at") :
			 0;
}

static int unixsock_save(const struct ckpt_fd *fd, struct ckpt_record *out)
{
	static struct unixsock_diag diag;
	static char directory[4096];
	struct unixsock_record record = {
		.standard = -1,
		.type = (uint32_t)sockopt_int(fd->fd, SOCKOPT_SOCKET,
					      SOCKOPT_TYPE),
		.peek_offset = sockopt_int(fd->fd, SOCKOPT_SOCKET,
					   SOCKOPT_PEEK_OFF),
	};
	struct {
		int32_t pid;
		uint32_t uid, gid;
	} peer = {0, 0, 0};
	int ret = unixsock_ask(fd, &diag), looks;
	long length = 0;

	if (ret < 0)
		return unixsock_untold(fd, ret);
	sockopt_save(fd->fd, &record.options);
	unixsock_name(fd->fd, SYS_getsockname, &record.name);
	unixsock_name(fd->fd, SYS_getpeername, &record.peer_name);
	unixsock_file(&record, diag.file_ino);
	unixsock_standard(fd, &record);
	record.shutdown = diag.shutdown;
	if (sockopt_get(fd->fd, SOCKOPT_SOCKET, SOCKOPT_PEERCRED, &peer,
			sizeof(peer)) == 0)
		record.peer_pid = peer.pid;
	if (diag.state == STATE_LISTEN) {
		record.flags |= UNIXSOCK_LISTENS;
		record.backlog = diag.backlog;
		record.waiting_count = diag.icon_count;
		ret = unixsock_callers(fd, &diag);
	} else {
		ret = unixsock_peer(fd, &diag, &record);
	}
	if (ret < 0)
		return ret;
	if (unixsock_is_path(&record.name) && *unixsock_path(&record.name) != '/')
		length = sys_readlinkat(AT_FDCWD, "/proc/self/cwd", directory,
					sizeof(directory));
	record.directory_length = length > 0 ? (uint32_t)length : 0;
	looks = unixsock_has_queue(&record) && unixsock_is_mine(fd);
	if (looks)
		record.flags |= UNIXSOCK_LOOKED;
	if (unixsock_is_reset(fd->fd))
		record.flags |= UNIXSOCK_RESET;
	ckpt_put(out, &record, sizeof(record));
	ckpt_put(out, diag.icons, record.waiting_count * sizeof(*diag.icons));
	ckpt_put(out, directory, record.directory_length);
	return looks ? unixsock_queue(fd, record.shutdown, out) : 0;
}

static int unixsock_revive(void)
{
	unixsock_forget();
	return 0;
}

static void unixsock_leave(int ret)
{
	(void)ret;
	unixsock_forget();
}

const struct ckpt_saver unixsock_saver = {
	.kind = 73,
	.name = "unixsock",
	.matches = unixsock_matches,
	.inside = unixsock_inside,
	.save = unixsock_save,
	.leave = unixsock_leave,
	.revive = unixsock_revive,
};
