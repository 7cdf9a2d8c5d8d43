/* SPDX-License-Identifier: MIT */
/* What the kernel's unix_diag tells of unix sockets: who is at the other end. */
#ifndef PLUGINS_UNIXSOCK_DIAG_H
#define PLUGINS_UNIXSOCK_DIAG_H

#include <ckpt/plugin.h>

#define ICONS_MAX 1000u

/* What unix_diag tells of one socket. */
struct unixsock_diag {
	uint32_t state, shutdown, has_peer;
	uint32_t peer_ino; /* 0: none that anybody has */
	uint32_t waiting, backlog;
	uint32_t file_ino;
	uint32_t icon_count;
	uint32_t icons[ICONS_MAX]; /* inodes of those that wait for accept() */
};

/* 0 or -errno; -EMSGSIZE: too many wait to be accepted. */
int unixsock_ask(const struct ckpt_fd *fd, struct unixsock_diag *diag);
/* At the end of a checkpoint. */
void unixsock_forget(void);

#endif
