/* SPDX-License-Identifier: MIT */
/* What the files that make sockets of this kind have in common. */
#ifndef PLUGINS_INET_RESTORE_H
#define PLUGINS_INET_RESTORE_H

#include <netinet/in.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include <ckpt/plugin.h>

#include "plugins/inet/format.h"

#define INET_KIND 74
#define INET_TEXT 80 /* room for inet_text() */

struct inet_view {
	const struct ckpt_object *object;
	const struct inet_record *record;
	const unsigned char *memberships, *filter, *queue;
	size_t queue_length;
};

int inet_view(const struct ckpt_object *object, struct inet_view *view);
/* The one of its records in which the queue is. 1; 0: there is none. */
int inet_queue_of(struct ckpt_restore *r, const struct ckpt_object *object,
		  struct inet_view *view);
const struct ckpt_object *inet_by_ino(struct ckpt_restore *r, uint64_t ino);

/* name.c */
const struct sockaddr *inet_address(const struct inet_name *name);
/* "127.0.0.1:80", "[::1]:80" */
const char *inet_text(const struct inet_name *name, char *text, size_t size);
void inet_set_port(struct inet_name *name, uint16_t port);
uint16_t inet_port_of(const struct inet_name *name);
int inet_is_any(const struct inet_name *name); /* the address is */
/* Is what is sent to `to` for the socket of that record? */
int inet_serves(const struct inet_record *record, const struct inet_name *to);
int inet_is_same(const struct inet_name *a, const struct inet_name *b);
/* As a socket of that family has to call it. */
struct inet_name inet_in_family(const struct inet_name *name, int family);
struct inet_name inet_loopback(int family);
struct inet_name inet_any(int family, uint16_t port);
struct inet_name inet_own(int fd);  /* getsockname() */
struct inet_name inet_peer(int fd); /* getpeername() */

/* options.c: what must be set before bind(), and all, when all else is done. */
void inet_early(int fd, const struct inet_record *record);
void inet_late(struct ckpt_restore *r, const struct inet_view *view, int fd);

/* restore.c: a socket with its name. */
int inet_single(struct ckpt_restore *r, const struct inet_view *view);

/* stream.c */
int inet_open_stream(struct ckpt_restore *r, const struct inet_view *view);
int inet_connect_stream(struct ckpt_restore *r, const struct inet_view *view,
			int fd);

int64_t inet_now_ms(void);
/* One that listens at that name, or NULL; it is made if need be. */
const struct ckpt_object *inet_listener_of(struct ckpt_restore *r,
					   const struct inet_name *to);
int inet_listener_fd(struct ckpt_restore *r, const struct ckpt_object *o);
int inet_new(const struct inet_record *record);
int inet_bind(int fd, const struct inet_name *name);
/* Answered by the time it returns 0. */
int inet_call(int fd, const struct inet_name *to);
/* From the old name. */
int inet_call_from(const struct inet_record *record,
		   const struct inet_name *to, int patient);
/* The last of those without a peer has been made. */
void inet_spare_close(void);
/* In the receive queue, until all options are set. */
void inet_make_room(int fd, size_t length);
void inet_close_halves(const struct inet_record *record, int fd);
/* The report that the names are other ones, if so. */
void inet_tell_names(struct ckpt_restore *r, const struct inet_view *view,
		     int fd, int error);
/* Who waits to be accepted there calls; from other groups `remote` will. */
void inet_call_all(struct ckpt_restore *r, const struct inet_view *view,
		   int listening, size_t remote);

/* remote.c: ends whose other end is in another host group. */
int inet_meet_all(struct ckpt_restore *r);
/* Where the peer of a connected datagram socket is now. */
struct inet_name inet_moved_peer(const struct inet_view *view);
extern int inet_is_meeting; /* nobody calls to wait, until that is over */
/* What is said in it: index of an end, or -1. Pointers hold till the next. */
long inet_end_add(void);
struct ckpt_meeting *inet_end(size_t at);
/* By which name the sockets of other groups know one. */
#define INET_KEY 56
void inet_datagram_key(char key[INET_KEY], const struct inet_record *record,
		       const struct inet_name *name);
int inet_parse(const char *text, unsigned port, struct inet_name *name);
int inet_is_six(const struct inet_name *name);
const char *inet_own_six(const struct inet_name *old,
			 char text[INET6_ADDRSTRLEN]);

/* letters.c: what waits from senders in other groups, in the order of calls. */
void inet_letters_known(const char *key); /* a socket of ours was */
void inet_letters_ask(struct ckpt_restore *r);
void inet_letters_open(void);		    /* the first round is over */
void inet_letters_ship(struct ckpt_restore *r); /* the second */
int inet_letter_is_shipped(const struct inet_record *record,
			   const struct inet_name *sender);

/* datagram.c */
int inet_fill_datagrams(struct ckpt_restore *r, const struct inet_view *view,
			int fd);
/* The next of them; 0: there is none. */
struct inet_letter {
	struct inet_name sender;
	const unsigned char *data;
	size_t length;
};
int inet_next_letter(struct inet_view *view, struct inet_letter *letter);

#endif
