/* SPDX-License-Identifier: MIT */
/* What the files that save sockets of this kind have in common. */
#ifndef PLUGINS_INET_SAVE_H
#define PLUGINS_INET_SAVE_H

#include <ckpt/plugin.h>

#include "plugins/inet/format.h"

#define FAMILY_INET 2
#define FAMILY_INET6 10
#define FAMILY_NETLINK 16
#define PROTOCOL_TCP 6
#define TYPE_STREAM 1
#define TYPE_DATAGRAM 2
#define TYPE_RAW 3
#define TYPE_CLOEXEC 02000000
#define MESSAGE_OOB 1
#define MESSAGE_PEEK 2
#define MESSAGE_TRUNC 0x20
#define MESSAGE_DONTWAIT 0x40

#define INET_BUFFER 65536u /* any datagram fits */
extern char inet_buffer[INET_BUFFER];

/* enum of the kernel's include/net/tcp_states.h */
enum inet_state {
	STATE_ESTABLISHED = 1,
	STATE_SYN_SENT,
	STATE_SYN_RECEIVED,
	STATE_FIN_WAIT1,
	STATE_FIN_WAIT2,
	STATE_TIME_WAIT,
	STATE_CLOSE,
	STATE_CLOSE_WAIT,
	STATE_LAST_ACK,
	STATE_LISTEN,
	STATE_CLOSING,
	STATE_NEW_RECEIVED,
};

int inet_refuse(const struct ckpt_fd *fd, int error, const char *why);

/* What poll() tells at once. */
int inet_poll(int fd);

/* peer.c: who is at the other end of a connection. 0 or -errno, the refusal
 * said; record->flags, peer_ino and since_ms are set. What it has sent is in our
 * queue then. */
int inet_meet(const struct ckpt_fd *fd, struct inet_record *record);
/* The peer's name of one that has called and not been answered. */
void inet_called(const struct ckpt_fd *fd, struct inet_record *record);
/* What has been put off until there is room for a full segment goes now. */
void inet_hurry(int fd, const struct inet_record *record);

/* throttle.c: for the next try, when more is on its way than a queue can hold.
 * Who has found its own too small for what comes: */
void inet_throttle_reader(int fd, const struct inet_record *record);
/* Into the record what the program has, throttled or not. */
void inet_throttle_hide(const struct ckpt_fd *fd, struct inet_record *record);
void inet_throttle_leave(int ret); /* 0: a checkpoint has been made */
void inet_throttle_forget(void);   /* in the new life */

/* queue.c: what waits to be read. First what the record itself says. */
void inet_measure(int fd, struct inet_record *record);
int inet_put_stream(const struct ckpt_fd *fd, const struct inet_record *record,
		    struct ckpt_record *out);
int inet_put_datagrams(int fd, const struct inet_record *record,
		       struct ckpt_record *out);

/* member.c: groups it has joined; into `out` when there is one. The bytes. */
uint32_t inet_put_memberships(int fd, const struct inet_record *record,
			      struct ckpt_record *out);

#endif
