/* SPDX-License-Identifier: MIT */
/*
 * A peer: one authenticated TCP connection between two of our programs, on
 * which JSON objects travel in frames. The same object serves the event loops
 * of coordinator and agent (nothing here blocks, unless it has a time-out
 * argument) and the programs that ask one thing and wait.
 *
 *	event loop                          asking
 *	  peer = wire_dial(...)               peer = wire_connect(..., 5000, ...)
 *	  poll wire_fd(), POLLIN, and         wire_send(peer, WIRE_STATUS, body)
 *	    POLLOUT if wire_wants_write()     wire_receive(peer, &type, &body, ms)
 *	  ret = wire_pump(peer)               json_decref(body)
 *	  while (wire_next(...) == 1)         wire_close(peer)
 *		handle, json_decref(body)
 *	  ret < 0: gone, wire_error() says why; wire_close()
 *
 * Before the first message each side proves to the other that it knows the
 * cookie: CHALLENGE {nonce}, PROOF {role, nonce, proof}, WELCOME {proof}. The
 * cookie itself never travels. wire_pump() does this by itself.
 *
 * Errors are -errno. -ECONNRESET: the other side has closed; -EPROTO: it does
 * not speak our protocol or version; -EACCES: it does not know the cookie.
 * After any error the peer is only good for wire_next() (what had arrived
 * before is still there), wire_error() and wire_close().
 */
#ifndef WIRE_PEER_H
#define WIRE_PEER_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#define WIRE_MAGIC 0x57504b43u /* "CKPW" */
#define WIRE_VERSION 1	       /* bump when messages.def or a meaning changes */
#define WIRE_BODY_MAX (16u << 20)
#define WIRE_COOKIE_BYTES 32

struct wire_header { /* little-endian */
	uint32_t magic;
	uint16_t version; /* a peer of another one is refused */
	uint16_t type;	  /* enum wire_type */
	uint32_t length;  /* of the JSON body behind it, no NUL */
};
_Static_assert(sizeof(struct wire_header) == 12, "the wire");

enum wire_type {
	WIRE_NONE,
#define MESSAGE(id) WIRE_##id,
#include "wire/messages.def"
	WIRE_TYPE_COUNT
};

/* "REGISTER"; "?" for a number that is none. */
const char *wire_name(unsigned int type);

enum wire_role { /* bits: who may say what, see messages.def */
	ROLE_AGENT = 1,
	ROLE_LAUNCH = 2,
	ROLE_RESTART = 4,
	ROLE_COMMAND = 8,
	ROLE_COORDINATOR = 16,
	ROLE_CLIENTS = ROLE_LAUNCH | ROLE_RESTART | ROLE_COMMAND,
};

struct wire_peer;

/*
 * Connect and shake hands, waiting at most timeout_ms for both. Returns a
 * peer ready for use, or NULL with one line for the user in err (what, where,
 * what to do) and errno, ECONNREFUSED for instance.
 */
struct wire_peer *wire_connect(const char *host, int port,
			       const unsigned char cookie[WIRE_COOKIE_BYTES],
			       enum wire_role role, int timeout_ms, char *err,
			       size_t errsize);

/* As wire_connect(), but returns at once; wire_pump() goes on with it, and
 * wire_is_open() becomes true when messages may be sent. Names are looked up
 * here, which blocks unless host is numeric. */
struct wire_peer *wire_dial(const char *host, int port,
			    const unsigned char cookie[WIRE_COOKIE_BYTES],
			    enum wire_role role, char *err, size_t errsize);

/* The coordinator's side of a connection that accept() returned. Takes over
 * fd, also when it returns NULL (no memory). */
struct wire_peer *wire_accept(int fd,
			      const unsigned char cookie[WIRE_COOKIE_BYTES]);

void wire_close(struct wire_peer *peer); /* NULL is fine */

int wire_fd(const struct wire_peer *peer);
int wire_is_open(const struct wire_peer *peer);
/* The other side's role; ROLE_COORDINATOR for who dialled. */
enum wire_role wire_role(const struct wire_peer *peer);
/* "127.0.0.1:40404", for logs. */
const char *wire_address(const struct wire_peer *peer);
/* Why it failed, one line; "" while nothing has. */
const char *wire_error(const struct wire_peer *peer);
/* What all peers of this program have received and sent so far. */
void wire_bytes(int64_t *in, int64_t *out);

/*
 * Queue one message and send what the socket takes. body is an object; its
 * reference is taken over, always, so json_pack() can stand in the call: NULL
 * fails with -EINVAL. json_pack() fails on text that is not UTF-8: pass what
 * comes from outside as "o", wire_text(). Never blocks; a peer that lets too
 * much pile up fails with -ENOBUFS.
 */
int wire_send(struct wire_peer *peer, enum wire_type type, json_t *body);

/* True while bytes wait for the socket (or for the connection): poll for
 * POLLOUT too. */
int wire_wants_write(const struct wire_peer *peer);

/* Read and write all that goes without blocking. 0 or -errno. */
int wire_pump(struct wire_peer *peer);

/* The next message that has arrived whole: 1, with a reference to body for
 * the caller; 0: none; -errno. The body is always an object. */
int wire_next(struct wire_peer *peer, enum wire_type *type, json_t **body);

/* Wait for the next message, up to timeout_ms (-1: for ever). 0 and a message,
 * or -ETIMEDOUT or another -errno. */
int wire_receive(struct wire_peer *peer, enum wire_type *type, json_t **body,
		 int timeout_ms);

/* Wait until all that was queued is with the kernel. 0 or -errno. */
int wire_flush(struct wire_peer *peer, int timeout_ms);

/* A JSON string of any bytes: what is not UTF-8 becomes \xNN. For text that
 * people read; a path that is not UTF-8 is refused elsewhere. */
json_t *wire_text(const char *bytes);

/* Fields of a body, with what holds when one is missing or of another type. */
int64_t wire_int(const json_t *body, const char *key, int64_t otherwise);
int wire_bool(const json_t *body, const char *key, int otherwise);
const char *wire_string(const json_t *body, const char *key,
			const char *otherwise);

#endif
