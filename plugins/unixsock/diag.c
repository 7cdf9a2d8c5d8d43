/* SPDX-License-Identifier: MIT */
/*
 * unixsock, saving: who is connected to whom, which only the kernel's
 * unix_diag tells. Asked for one socket it looks through all there are; so a
 * process that has many of them has all told at once, and keeps its own.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <linux/stat.h>
#include <linux/unix_diag.h>

#include "plugins/unixsock/diag.h"
#include "sys/sys.h"

#define FAMILY_UNIX 1
#define FAMILY_NETLINK 16
#define TYPE_RAW 3
#define TYPE_CLOEXEC 02000000
#define STATE_LISTEN 10
#define MANY 64 /* sockets */

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
		for (; length >= 4 && diag->icon_count < ICONS_MAX; length -= 4)
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

struct question {
	struct nlmsghdr head;
	struct unix_diag_req body;
};

/* Returns the socket that will answer, or -errno. */
static int diag_send(uint16_t flags, uint32_t ino, uint32_t show)
{
	struct question ask = {
		.head = {.nlmsg_len = sizeof(ask),
			 .nlmsg_type = SOCK_DIAG_BY_FAMILY,
			 .nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags)},
		.body = {.sdiag_family = FAMILY_UNIX,
			 .udiag_states = ~0u,
			 .udiag_ino = ino,
			 .udiag_show = show,
			 .udiag_cookie = {~0u, ~0u}},
	};
	long link = SYS_CALL(SYS_socket, FAMILY_NETLINK,
			     TYPE_RAW | TYPE_CLOEXEC, NETLINK_SOCK_DIAG);
	long ret = link < 0 ? link : sys_write((int)link, &ask, sizeof(ask));

	if (ret >= 0)
		return (int)link;
	if (link >= 0)
		sys_close((int)link);
	return (int)ret;
}

static int diag_ask(uint64_t ino, struct unixsock_diag *diag)
{
	static char reply[8192] __attribute__((aligned(8)));
	int link = diag_send(0, (uint32_t)ino,
			     UDIAG_SHOW_VFS | UDIAG_SHOW_PEER |
				     UDIAG_SHOW_ICONS | UDIAG_SHOW_RQLEN);
	long ret = link;

	__builtin_memset(diag, 0, sizeof(*diag));
	if (link < 0)
		return link;
	ret = sys_read(link, reply, sizeof(reply));
	if (ret >= 0)
		ret = diag_parse(reply, (size_t)ret, diag);
	sys_close(link);
	return (int)ret;
}

/* ---- all at once ---- */

struct entry {
	uint32_t ino; /* 0: nothing stands here */
	uint32_t state, shutdown, has_peer, peer_ino, waiting, backlog,
		file_ino;
};

/* By inode, at its place or behind it. Of this checkpoint. */
static struct {
	struct entry *entries;
	uint32_t size; /* a power of two; 0: no table */
	int tried;
} table;

void unixsock_forget(void)
{
	table.entries = NULL;
	table.size = 0;
	table.tried = 0;
}

/* That of the inode, or the free one that is its. */
static struct entry *place_of(uint32_t ino)
{
	uint32_t i = ino * 2654435761u;

	for (;; i++) {
		struct entry *e = &table.entries[i & (table.size - 1)];

		if (!e->ino || e->ino == ino)
			return e;
	}
}

static int is_socket(const struct ckpt_fd *fd)
{
	return (fd->st.mode & S_IFMT) == S_IFSOCK;
}

/* Ours are those that are wanted. */
static int table_make(void)
{
	size_t count = 0, i;

	for (i = 0; i < ckpt_fd_count(); i++)
		count += (size_t)is_socket(ckpt_fd_at(i));
	if (count < MANY)
		return 0;
	for (table.size = 2 * MANY; table.size < 2 * count;)
		table.size *= 2;
	table.entries = ckpt_reserve(table.size * sizeof(*table.entries));
	if (!table.entries) {
		table.size = 0;
		return 0;
	}
	for (i = 0; i < ckpt_fd_count(); i++)
		if (is_socket(ckpt_fd_at(i)))
			place_of((uint32_t)ckpt_fd_at(i)->st.ino)->ino =
				(uint32_t)ckpt_fd_at(i)->st.ino;
	return 1;
}

static void table_note(const struct nlmsghdr *head)
{
	static struct unixsock_diag diag;
	const struct unix_diag_msg *body = NLMSG_DATA(head);
	struct entry *e;

	if (head->nlmsg_len < NLMSG_LENGTH(sizeof(*body)))
		return;
	e = place_of(body->udiag_ino);
	if (!e->ino || !body->udiag_ino)
		return;
	__builtin_memset(&diag, 0, offsetof(struct unixsock_diag, icons));
	if (diag_parse((const char *)head, head->nlmsg_len, &diag) < 0)
		return;
	*e = (struct entry){
		.ino = e->ino,
		.state = diag.state,
		.shutdown = diag.shutdown,
		.has_peer = diag.has_peer,
		.peer_ino = diag.peer_ino,
		.waiting = diag.waiting,
		.backlog = diag.backlog,
		.file_ino = diag.file_ino,
	};
}

static void table_fill(void)
{
	static char reply[16384] __attribute__((aligned(8)));
	int link = diag_send(NLM_F_DUMP, 0,
			     UDIAG_SHOW_VFS | UDIAG_SHOW_PEER |
				     UDIAG_SHOW_RQLEN);
	int is_over = link < 0;

	while (!is_over) {
		const struct nlmsghdr *head = (const void *)reply;
		long got = sys_read(link, reply, sizeof(reply));

		is_over = got < (long)sizeof(*head);
		for (; !is_over && NLMSG_OK(head, (unsigned)got);
		     head = NLMSG_NEXT(head, got)) {
			is_over = head->nlmsg_type == NLMSG_DONE ||
				  head->nlmsg_type == NLMSG_ERROR;
			if (!is_over)
				table_note(head);
		}
	}
	if (link >= 0)
		sys_close(link);
}

int unixsock_ask(const struct ckpt_fd *fd, struct unixsock_diag *diag)
{
	const struct entry *e;

	if (!table.tried && table_make())
		table_fill();
	table.tried = 1;
	e = table.size ? place_of((uint32_t)fd->st.ino) : NULL;
	/* Who waits to be accepted is told of one alone. */
	if (!e || !e->state || e->state == STATE_LISTEN)
		return diag_ask(fd->st.ino, diag);
	__builtin_memset(diag, 0, offsetof(struct unixsock_diag, icons));
	diag->state = e->state;
	diag->shutdown = e->shutdown;
	diag->has_peer = e->has_peer;
	diag->peer_ino = e->peer_ino;
	diag->waiting = e->waiting;
	diag->backlog = e->backlog;
	diag->file_ino = e->file_ino;
	return 0;
}
