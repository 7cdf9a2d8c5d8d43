/* SPDX-License-Identifier: MIT */
/*
 * Frames over TCP, and the handshake. Everything that arrives is checked
 * before it is used; before the other side has proven the cookie it may not
 * make us keep more than a few hundred bytes.
 */
#define _GNU_SOURCE
#include "wire/peer.h"

#include <arpa/inet.h>
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define HANDSHAKE_BODY_MAX 512u
#define OUTGOING_MAX (4u * WIRE_BODY_MAX)
#define NONCE_BYTES 32
#define HOST_TIMEOUT 30
#define HEX_BYTES (2 * NONCE_BYTES + 1)

_Static_assert(WIRE_COOKIE_BYTES == crypto_auth_KEYBYTES,
	       "the cookie is the key");
_Static_assert(crypto_auth_BYTES == NONCE_BYTES,
	       "proofs and nonces are one size");

enum peer_stage {
	STAGE_CONNECTING, /* we dialled; no answer yet */
	STAGE_CHALLENGED, /* we accepted and wait for PROOF */
	STAGE_AWAITING,	  /* we dialled and wait for CHALLENGE */
	STAGE_PROVING,	  /* ... have sent PROOF and wait for WELCOME */
	STAGE_OPEN,
};

struct buffer {
	unsigned char *bytes;
	size_t start, end, size;
};

struct wire_peer {
	int fd;
	enum peer_stage stage;
	enum wire_role role; /* of the other side */
	enum wire_role mine;
	int failed; /* -errno, for good */
	char address[80];
	char error[192];
	unsigned char cookie[WIRE_COOKIE_BYTES];
	unsigned char our_nonce[NONCE_BYTES], their_nonce[NONCE_BYTES];
	struct buffer in, out;
};

static int64_t bytes_in, bytes_out;

void wire_bytes(int64_t *in, int64_t *out)
{
	*in = bytes_in;
	*out = bytes_out;
}

const char *wire_name(unsigned int type)
{
	static const char *const names[] = {
		"?",
#define MESSAGE(id) #id,
#include "wire/messages.def"
	};

	return names[type < WIRE_TYPE_COUNT ? type : 0];
}

/* The first failure stays. */
__attribute__((format(printf, 3, 4))) static int
fail(struct wire_peer *peer, int error, const char *format, ...)
{
	va_list args;

	if (peer->failed)
		return peer->failed;
	peer->failed = error;
	va_start(args, format);
	vsnprintf(peer->error, sizeof(peer->error), format, args);
	va_end(args);
	return error;
}

static size_t buffer_used(const struct buffer *buffer)
{
	return buffer->end - buffer->start;
}

/* Room for length more bytes behind end. */
static int buffer_reserve(struct buffer *buffer, size_t length)
{
	unsigned char *bytes;
	size_t size;

	if (buffer->size - buffer->end >= length)
		return 0;
	if (buffer->start) {
		memmove(buffer->bytes, buffer->bytes + buffer->start,
			buffer_used(buffer));
		buffer->end -= buffer->start;
		buffer->start = 0;
		if (buffer->size - buffer->end >= length)
			return 0;
	}
	size = buffer->end + length;
	if (size < 2 * buffer->size)
		size = 2 * buffer->size;
	bytes = realloc(buffer->bytes, size);
	if (!bytes)
		return -ENOMEM;
	buffer->bytes = bytes;
	buffer->size = size;
	return 0;
}

static void buffer_take(struct buffer *buffer, size_t length)
{
	buffer->start += length;
	if (buffer->start == buffer->end)
		buffer->start = buffer->end = 0;
}

static void name_address(char *text, size_t size,
			 const struct sockaddr *address, socklen_t length)
{
	char host[INET6_ADDRSTRLEN + 16], port[8];

	if (getnameinfo(address, length, host, sizeof(host), port, sizeof(port),
			NI_NUMERICHOST | NI_NUMERICSERV))
		snprintf(text, size, "unknown address");
	else if (strchr(host, ':'))
		snprintf(text, size, "[%s]:%s", host, port);
	else
		snprintf(text, size, "%s:%s", host, port);
}

/* A host that has vanished is noticed within CKPT_HOST_TIMEOUT seconds. */
static void watch_host(int fd)
{
	const char *text = getenv("CKPT_HOST_TIMEOUT");
	int seconds = text ? atoi(text) : 0, one = 1, each;

	if (seconds < 2 || seconds > 86400)
		seconds = HOST_TIMEOUT;
	each = seconds / 4 > 1 ? seconds / 4 : 1;
	setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one));
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &each, sizeof(each));
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &each, sizeof(each));
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &(int){3}, sizeof(int));
	/* ... also while something is under way to it. */
	setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT,
		   &(unsigned){seconds * 1000u}, sizeof(unsigned));
}

static struct wire_peer *peer_new(int fd, const unsigned char *cookie)
{
	struct wire_peer *peer;
	int one = 1;

	if (sodium_init() < 0)
		return NULL;
	peer = calloc(1, sizeof(*peer));
	if (!peer)
		return NULL;
	peer->fd = fd;
	memcpy(peer->cookie, cookie, sizeof(peer->cookie));
	randombytes_buf(peer->our_nonce, sizeof(peer->our_nonce));
	/* Small messages, each waited for. */
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	watch_host(fd);
	return peer;
}

void wire_close(struct wire_peer *peer)
{
	if (!peer)
		return;
	close(peer->fd);
	free(peer->in.bytes);
	free(peer->out.bytes);
	sodium_memzero(peer, sizeof(*peer));
	free(peer);
}

int wire_fd(const struct wire_peer *peer)
{
	return peer->fd;
}

int wire_is_open(const struct wire_peer *peer)
{
	return peer->stage == STAGE_OPEN && !peer->failed;
}

enum wire_role wire_role(const struct wire_peer *peer)
{
	return peer->role;
}

const char *wire_address(const struct wire_peer *peer)
{
	return peer->address;
}

const char *wire_error(const struct wire_peer *peer)
{
	return peer->error;
}

int wire_wants_write(const struct wire_peer *peer)
{
	return peer->stage == STAGE_CONNECTING || buffer_used(&peer->out) > 0;
}

/* ---- sending ---- */

static int write_some(struct wire_peer *peer)
{
	struct buffer *out = &peer->out;
	ssize_t n;

	while (buffer_used(out)) {
		n = send(peer->fd, out->bytes + out->start, buffer_used(out),
			 MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0) {
			if (errno == EINTR)
				continue;
			if (errno == EAGAIN)
				return 0;
			if (errno == EPIPE)
				errno = ECONNRESET;
			return fail(peer, -errno, "cannot send: %s",
				    strerror(errno));
		}
		buffer_take(out, n);
		bytes_out += n;
	}
	return 0;
}

static int queue_message(struct wire_peer *peer, enum wire_type type,
			 json_t *body)
{
	struct wire_header header;
	size_t length = body ? json_dumpb(body, NULL, 0, JSON_COMPACT) : 0;
	int ret;

	if (!json_is_object(body) || !length)
		return fail(peer, -EINVAL, "%s has no valid body",
			    wire_name(type));
	if (length > WIRE_BODY_MAX)
		return fail(peer, -EMSGSIZE, "%s of %zu bytes is too long",
			    wire_name(type), length);
	if (buffer_used(&peer->out) + length > OUTGOING_MAX)
		return fail(peer, -ENOBUFS, "it does not read what we send");
	ret = buffer_reserve(&peer->out, sizeof(header) + length);
	if (ret < 0)
		return fail(peer, ret, "out of memory");
	header.magic = htole32(WIRE_MAGIC);
	header.version = htole16(WIRE_VERSION);
	header.type = htole16(type);
	header.length = htole32(length);
	memcpy(peer->out.bytes + peer->out.end, &header, sizeof(header));
	peer->out.end += sizeof(header);
	json_dumpb(body, (char *)peer->out.bytes + peer->out.end, length,
		   JSON_COMPACT);
	peer->out.end += length;
	return write_some(peer);
}

static int send_any(struct wire_peer *peer, enum wire_type type, json_t *body)
{
	int ret = peer->failed;

	if (!ret)
		ret = queue_message(peer, type, body);
	json_decref(body);
	return ret;
}

int wire_send(struct wire_peer *peer, enum wire_type type, json_t *body)
{
	if (peer->stage != STAGE_OPEN) {
		json_decref(body);
		return peer->failed ? peer->failed : -ENOTCONN;
	}
	return send_any(peer, type, body);
}

/* ---- the handshake ---- */

/*
 * Both sides prove over both nonces and the role; the label keeps a proof from
 * being sent back to who made it.
 */
static void prove(unsigned char proof[crypto_auth_BYTES],
		  const struct wire_peer *peer, const char *label,
		  const unsigned char *dialler, const unsigned char *acceptor,
		  enum wire_role role)
{
	unsigned char text[16 + 2 * NONCE_BYTES + 4] = {0};
	uint32_t wire_role = htole32(role);

	strncpy((char *)text, label, 16);
	memcpy(text + 16, dialler, NONCE_BYTES);
	memcpy(text + 16 + NONCE_BYTES, acceptor, NONCE_BYTES);
	memcpy(text + 16 + 2 * NONCE_BYTES, &wire_role, 4);
	crypto_auth(proof, text, sizeof(text), peer->cookie);
}

static json_t *hex(const unsigned char *bytes)
{
	char text[HEX_BYTES];

	return json_string(
		sodium_bin2hex(text, sizeof(text), bytes, NONCE_BYTES));
}

static int unhex(const json_t *body, const char *key, unsigned char *bytes)
{
	const char *text = wire_string(body, key, "");
	size_t length = 0;

	if (sodium_hex2bin(bytes, NONCE_BYTES, text, strlen(text), NULL,
			   &length, NULL) ||
	    length != NONCE_BYTES)
		return -EPROTO;
	return 0;
}

static int send_challenge(struct wire_peer *peer)
{
	return send_any(peer, WIRE_CHALLENGE,
			json_pack("{s:o}", "nonce", hex(peer->our_nonce)));
}

static int answer_challenge(struct wire_peer *peer, const json_t *body)
{
	unsigned char proof[crypto_auth_BYTES];

	if (unhex(body, "nonce", peer->their_nonce) < 0)
		return fail(peer, -EPROTO, "malformed challenge");
	prove(proof, peer, "ckpt dialler", peer->our_nonce, peer->their_nonce,
	      peer->mine);
	peer->stage = STAGE_PROVING;
	return send_any(peer, WIRE_PROOF,
			json_pack("{s:i, s:o, s:o}", "role", (int)peer->mine,
				  "nonce", hex(peer->our_nonce), "proof",
				  hex(proof)));
}

static int check_proof(struct wire_peer *peer, const json_t *body)
{
	unsigned char proof[crypto_auth_BYTES], expected[crypto_auth_BYTES];
	int64_t role = wire_int(body, "role", 0);

	if (unhex(body, "nonce", peer->their_nonce) < 0 ||
	    unhex(body, "proof", proof) < 0)
		return fail(peer, -EPROTO, "malformed proof");
	if (role != ROLE_AGENT && role != ROLE_LAUNCH && role != ROLE_RESTART &&
	    role != ROLE_COMMAND)
		return fail(peer, -EPROTO, "unknown role");
	prove(expected, peer, "ckpt dialler", peer->their_nonce,
	      peer->our_nonce, role);
	if (sodium_memcmp(proof, expected, sizeof(proof)))
		return fail(peer, -EACCES, "does not know the cookie");
	prove(proof, peer, "ckpt acceptor", peer->their_nonce, peer->our_nonce,
	      role);
	peer->role = role;
	peer->stage = STAGE_OPEN;
	return send_any(peer, WIRE_WELCOME,
			json_pack("{s:o}", "proof", hex(proof)));
}

static int check_welcome(struct wire_peer *peer, const json_t *body)
{
	unsigned char proof[crypto_auth_BYTES], expected[crypto_auth_BYTES];

	if (unhex(body, "proof", proof) < 0)
		return fail(peer, -EPROTO, "malformed welcome");
	prove(expected, peer, "ckpt acceptor", peer->our_nonce,
	      peer->their_nonce, peer->mine);
	if (sodium_memcmp(proof, expected, sizeof(proof)))
		return fail(peer, -EACCES, "does not know the cookie");
	peer->stage = STAGE_OPEN;
	return 0;
}

static int shake(struct wire_peer *peer, enum wire_type type,
		 const json_t *body)
{
	if (peer->stage == STAGE_AWAITING && type == WIRE_CHALLENGE)
		return answer_challenge(peer, body);
	if (peer->stage == STAGE_CHALLENGED && type == WIRE_PROOF)
		return check_proof(peer, body);
	if (peer->stage == STAGE_PROVING && type == WIRE_WELCOME)
		return check_welcome(peer, body);
	return fail(peer, -EPROTO, "%s in the middle of the handshake",
		    wire_name(type));
}

/* ---- receiving ---- */

/* Checks the header at the front: 1 when it is there, 0, or -errno. */
static int peek_header(struct wire_peer *peer, struct wire_header *header)
{
	size_t used = buffer_used(&peer->in);
	uint32_t limit =
		peer->stage == STAGE_OPEN ? WIRE_BODY_MAX : HANDSHAKE_BODY_MAX;

	/* Who speaks something else (HTTP ...) is known by its first bytes. */
	if (used >= 4) {
		memcpy(&header->magic, peer->in.bytes + peer->in.start, 4);
		if (le32toh(header->magic) != WIRE_MAGIC)
			return fail(peer, -EPROTO,
				    "does not speak our protocol");
	}
	if (used < sizeof(*header))
		return 0;
	memcpy(header, peer->in.bytes + peer->in.start, sizeof(*header));
	header->version = le16toh(header->version);
	header->type = le16toh(header->type);
	header->length = le32toh(header->length);
	if (header->version != WIRE_VERSION)
		return fail(peer, -EPROTO,
			    "speaks protocol version %u, we speak %u",
			    header->version, WIRE_VERSION);
	if (!header->type || header->type >= WIRE_TYPE_COUNT)
		return fail(peer, -EPROTO, "unknown message %u", header->type);
	if (header->length > limit)
		return fail(peer, -EPROTO, "%s of %u bytes is too long",
			    wire_name(header->type), header->length);
	return 1;
}

/* Takes one whole message off the front: 1, 0 when there is none, -errno. */
static int take_message(struct wire_peer *peer, enum wire_type *type,
			json_t **body)
{
	struct wire_header header;
	json_error_t error;
	int ret = peek_header(peer, &header);

	if (ret <= 0)
		return ret;
	if (buffer_used(&peer->in) < sizeof(header) + header.length)
		return 0;
	buffer_take(&peer->in, sizeof(header));
	*body = header.length
			? json_loadb((char *)peer->in.bytes + peer->in.start,
				     header.length, 0, &error)
			: NULL;
	if (header.length)
		buffer_take(&peer->in, header.length);
	if (!json_is_object(*body)) {
		json_decref(*body);
		return fail(peer, -EPROTO, "%s without a JSON object",
			    wire_name(header.type));
	}
	*type = header.type;
	return 1;
}

/* How much may be read now: until a message is whole no more than it needs,
 * and not many of them at once, whatever the other side sends. */
static int room_wanted(struct wire_peer *peer, size_t *wanted)
{
	struct wire_header header;
	size_t used = buffer_used(&peer->in);
	int ret = peek_header(peer, &header);

	*wanted = 0;
	if (ret < 0)
		return ret;
	if (!ret)
		*wanted = 4096;
	else if (used < sizeof(header) + header.length)
		*wanted = sizeof(header) + header.length - used;
	return 0;
}

/* Reads until a whole message is there or the socket is empty. */
static int read_some(struct wire_peer *peer)
{
	struct buffer *in = &peer->in;
	size_t wanted;
	ssize_t n;
	int ret;

	for (;;) {
		ret = room_wanted(peer, &wanted);
		if (ret < 0 || !wanted)
			return ret;
		if (wanted > 65536) /* memory only for what has come */
			wanted = 65536;
		ret = buffer_reserve(in, wanted);
		if (ret < 0)
			return fail(peer, ret, "out of memory");
		n = recv(peer->fd, in->bytes + in->end, wanted, MSG_DONTWAIT);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return 0;
		if (n < 0)
			return fail(peer, -errno, "cannot receive: %s",
				    strerror(errno));
		if (!n)
			return fail(peer, -ECONNRESET, "closed the connection");
		in->end += n;
		bytes_in += n;
	}
}

static int finish_connecting(struct wire_peer *peer)
{
	struct pollfd pfd = {.fd = peer->fd, .events = POLLOUT};
	socklen_t length = sizeof(int);
	int error = 0;

	if (poll(&pfd, 1, 0) <= 0)
		return 0;
	getsockopt(peer->fd, SOL_SOCKET, SO_ERROR, &error, &length);
	if (error)
		return fail(peer, -error, "%s", strerror(error));
	peer->stage = STAGE_AWAITING;
	return 0;
}

int wire_pump(struct wire_peer *peer)
{
	enum wire_type type;
	json_t *body;
	int ret = peer->failed;

	if (!ret && peer->stage == STAGE_CONNECTING)
		ret = finish_connecting(peer);
	if (ret < 0 || peer->stage == STAGE_CONNECTING)
		return ret;
	ret = write_some(peer);
	while (ret == 0) {
		ret = read_some(peer);
		if (peer->stage == STAGE_OPEN)
			return ret;
		/* The handshake may have come whole just before the end. */
		if (take_message(peer, &type, &body) != 1)
			return peer->failed;
		ret = shake(peer, type, body);
		json_decref(body);
	}
	return ret;
}

int wire_next(struct wire_peer *peer, enum wire_type *type, json_t **body)
{
	int ret;

	if (peer->stage != STAGE_OPEN)
		return peer->failed;
	/* One that is already here counts, although the peer has gone. */
	ret = take_message(peer, type, body);
	if (ret)
		return ret;
	if (peer->failed)
		return peer->failed;
	/* room_wanted() stopped the reading at one whole message. */
	ret = read_some(peer);
	if (take_message(peer, type, body) == 1)
		return 1;
	return peer->failed ? peer->failed : ret;
}

/* ---- for who waits ---- */

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000LL + now.tv_nsec / 1000000;
}

/* Wait until the socket has something for wire_pump(), and let it work. */
static int wait_and_pump(struct wire_peer *peer, int64_t until)
{
	struct pollfd pfd = {.fd = peer->fd};
	int64_t left = until < 0 ? -1 : until - now_ms();
	int n;

	if (until >= 0 && left <= 0)
		return -ETIMEDOUT;
	pfd.events = POLLIN;
	if (wire_wants_write(peer))
		pfd.events |= POLLOUT;
	if (peer->stage == STAGE_CONNECTING)
		pfd.events = POLLOUT;
	n = poll(&pfd, 1, left);
	if (n < 0 && errno != EINTR)
		return -errno;
	if (n <= 0)
		return 0;
	return wire_pump(peer);
}

int wire_receive(struct wire_peer *peer, enum wire_type *type, json_t **body,
		 int timeout_ms)
{
	int64_t until = timeout_ms < 0 ? -1 : now_ms() + timeout_ms;
	int ret;

	for (;;) {
		ret = wire_next(peer, type, body);
		if (ret)
			return ret > 0 ? 0 : ret;
		ret = wait_and_pump(peer, until);
		if (ret < 0 && !peer->failed)
			return ret;
	}
}

int wire_flush(struct wire_peer *peer, int timeout_ms)
{
	int64_t until = now_ms() + timeout_ms;
	struct pollfd pfd = {.fd = peer->fd, .events = POLLOUT};
	int64_t left;
	int ret = write_some(peer);

	while (ret == 0 && buffer_used(&peer->out)) {
		left = until - now_ms();
		if (left <= 0)
			return -ETIMEDOUT;
		if (poll(&pfd, 1, left) < 0 && errno != EINTR)
			return -errno;
		ret = write_some(peer);
	}
	return ret;
}

/* ---- making one ---- */

static struct wire_peer *dial_address(const struct addrinfo *to,
				      const unsigned char *cookie,
				      enum wire_role role, int *error)
{
	struct wire_peer *peer;
	int fd = socket(to->ai_family,
			SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0) {
		*error = errno;
		return NULL;
	}
	if (connect(fd, to->ai_addr, to->ai_addrlen) < 0 &&
	    errno != EINPROGRESS) {
		*error = errno;
		close(fd);
		return NULL;
	}
	peer = peer_new(fd, cookie);
	if (!peer) {
		*error = ENOMEM;
		close(fd);
		return NULL;
	}
	peer->role = ROLE_COORDINATOR;
	peer->mine = role;
	name_address(peer->address, sizeof(peer->address), to->ai_addr,
		     to->ai_addrlen);
	return peer;
}

static struct addrinfo *look_up(const char *host, int port, char *err,
				size_t errsize)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
	struct addrinfo *list = NULL;
	char service[8];
	int ret;

	snprintf(service, sizeof(service), "%d", port);
	ret = getaddrinfo(host, service, &hints, &list);
	if (ret) {
		snprintf(err, errsize, "cannot find host %s: %s", host,
			 gai_strerror(ret));
		return NULL;
	}
	return list;
}

struct wire_peer *wire_dial(const char *host, int port,
			    const unsigned char cookie[WIRE_COOKIE_BYTES],
			    enum wire_role role, char *err, size_t errsize)
{
	struct addrinfo *list = look_up(host, port, err, errsize);
	struct addrinfo *to;
	struct wire_peer *peer = NULL;
	int error = 0;

	for (to = list; to && !peer; to = to->ai_next)
		peer = dial_address(to, cookie, role, &error);
	if (list && !peer)
		snprintf(err, errsize, "cannot connect to %s:%d: %s", host,
			 port, strerror(error));
	if (list)
		freeaddrinfo(list);
	return peer;
}

static void explain(char *err, size_t errsize, const char *host, int port,
		    int ret, const char *why)
{
	switch (ret) {
	case -ECONNREFUSED:
		snprintf(err, errsize, "no coordinator listens at %s:%d", host,
			 port);
		break;
	case -ETIMEDOUT:
		snprintf(err, errsize,
			 "what listens at %s:%d does not answer; is it a "
			 "coordinator, and does it run?",
			 host, port);
		break;
	case -ECONNRESET:
		snprintf(err, errsize,
			 "what listens at %s:%d has closed the connection at "
			 "once; if it was a coordinator, it is just ending",
			 host, port);
		break;
	case -EACCES:
		snprintf(err, errsize,
			 "the coordinator at %s:%d does not accept our cookie: "
			 "it belongs to somebody else, choose another port (or "
			 "it has just been ended: try again)",
			 host, port);
		break;
	case -EPROTO:
		snprintf(err, errsize,
			 "what listens at %s:%d is no coordinator of this "
			 "version: it %s",
			 host, port, why);
		break;
	default:
		snprintf(err, errsize, "cannot connect to %s:%d: %s", host,
			 port, why);
	}
}

struct wire_peer *wire_connect(const char *host, int port,
			       const unsigned char cookie[WIRE_COOKIE_BYTES],
			       enum wire_role role, int timeout_ms, char *err,
			       size_t errsize)
{
	int64_t until = now_ms() + timeout_ms;
	struct addrinfo *list = look_up(host, port, err, errsize);
	struct addrinfo *to;
	struct wire_peer *peer = NULL;
	int ret = 0, error = 0;

	/* "localhost" may be ::1 first, where nobody listens. */
	for (to = list; to; to = to->ai_next) {
		peer = dial_address(to, cookie, role, &error);
		if (!peer) {
			explain(err, errsize, host, port, -error,
				strerror(error));
			continue;
		}
		for (ret = 0; ret == 0 && !wire_is_open(peer);)
			ret = wait_and_pump(peer, until);
		if (ret == 0)
			break;
		/* The other side tells who fails to prove the cookie nothing. */
		if (ret == -ECONNRESET && peer->stage == STAGE_PROVING)
			ret = -EACCES;
		explain(err, errsize, host, port, ret, wire_error(peer));
		wire_close(peer);
		peer = NULL;
	}
	if (list)
		freeaddrinfo(list);
	else
		ret = -EHOSTUNREACH;
	if (!peer)
		errno = ret ? -ret : error;
	return peer;
}

struct wire_peer *wire_accept(int fd,
			      const unsigned char cookie[WIRE_COOKIE_BYTES])
{
	struct sockaddr_storage from;
	socklen_t length = sizeof(from);
	struct wire_peer *peer = peer_new(fd, cookie);

	if (!peer) {
		close(fd);
		return NULL;
	}
	fcntl(fd, F_SETFL, O_NONBLOCK);
	fcntl(fd, F_SETFD, FD_CLOEXEC);
	peer->mine = ROLE_COORDINATOR;
	peer->stage = STAGE_CHALLENGED;
	if (getpeername(fd, (struct sockaddr *)&from, &length) == 0)
		name_address(peer->address, sizeof(peer->address),
			     (struct sockaddr *)&from, length);
	send_challenge(peer);
	return peer;
}

/* ---- bodies ---- */

/* The length of the UTF-8 sequence at s, 0 when it is none. Overlong forms,
 * surrogates and what lies behind U+10FFFF are none. */
static size_t utf8_length(const unsigned char *s)
{
	size_t length = s[0] < 0x80   ? 1
			: s[0] < 0xc2 ? 0
			: s[0] < 0xe0 ? 2
			: s[0] < 0xf0 ? 3
			: s[0] < 0xf5 ? 4
				      : 0;

	for (size_t i = 1; i < length; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) ||
	    (s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f))
		return 0;
	return length;
}

json_t *wire_text(const char *bytes)
{
	const unsigned char *s = (const unsigned char *)bytes;
	char *text = malloc(4 * strlen(bytes) + 1);
	char *end = text;
	size_t length;
	json_t *json;

	if (!text)
		return NULL;
	while (*s) {
		length = utf8_length(s);
		if (length) {
			memcpy(end, s, length);
			end += length;
			s += length;
		} else {
			end += sprintf(end, "\\x%02x", *s++);
		}
	}
	*end = '\0';
	json = json_string(text);
	free(text);
	return json;
}

int64_t wire_int(const json_t *body, const char *key, int64_t otherwise)
{
	const json_t *value = json_object_get(body, key);

	return json_is_integer(value) ? json_integer_value(value) : otherwise;
}

int wire_bool(const json_t *body, const char *key, int otherwise)
{
	const json_t *value = json_object_get(body, key);

	return json_is_boolean(value) ? json_is_true(value) : otherwise;
}

const char *wire_string(const json_t *body, const char *key,
			const char *otherwise)
{
	const json_t *value = json_object_get(body, key);

	return json_is_string(value) ? json_string_value(value) : otherwise;
}
