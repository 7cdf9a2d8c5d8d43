/* SPDX-License-Identifier: MIT */
/*
 * Standard input, output and error over one connection. Each stream has a
 * window: who sends it waits for what the other side could get rid of, so
 * that one that nobody reads does not hold up the others. The streams may be
 * shared with anybody: they are never made non-blocking, but read and written
 * when poll() says so.
 */
#define _GNU_SOURCE
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "remote/remote.h"

#define WINDOW (256u << 10)
#define PIECE (16u << 10)
#define WRITE_PIECE 4096u /* a pipe that is ready takes as much */
#define OUT_MAX (128u << 10)

enum frame_type {
	FRAME_DATA = 1,
	FRAME_END,   /* of the stream */
	FRAME_TAKEN, /* `length` bytes have been got rid of */
	FRAME_SHUT,  /* nobody reads it any more */
	FRAME_EXIT,  /* `length` is the exit status */
};

struct frame { /* little-endian */
	uint8_t type, stream;
	uint16_t zero;
	uint32_t length;
};
_Static_assert(sizeof(struct frame) == 8, "the wire");

struct buffer {
	char *bytes;
	size_t start, end, size;
};

struct stream {
	int fd;		/* -1: closed */
	int sends;	/* we read it and send; else we write it */
	uint32_t window; /* sends: may be sent */
	struct buffer waiting; /* to be written */
	int ended;	/* the other side sends no more */
};

static struct {
	enum relay_end end;
	int connection;
	struct stream streams[3];
	struct buffer in, out;
	int child, child_fd; /* -1: it has ended, or there is none */
	int status;
	int exit_known; /* runner: to be sent; caller: has come */
	int exit_sent;
	int lost;
} r;

static size_t used(const struct buffer *b)
{
	return b->end - b->start;
}

static char *reserve(struct buffer *b, size_t more)
{
	if (b->start) {
		memmove(b->bytes, b->bytes + b->start, used(b));
		b->end -= b->start;
		b->start = 0;
	}
	if (b->size - b->end < more) {
		b->size = b->end + more;
		b->bytes = realloc(b->bytes, b->size);
		if (!b->bytes)
			abort();
	}
	return b->bytes + b->end;
}

static void frame_put(enum frame_type type, int stream, const void *data,
		      uint32_t length)
{
	struct frame frame = {.type = (uint8_t)type,
			      .stream = (uint8_t)stream,
			      .length = htole32(length)};
	size_t bytes = type == FRAME_DATA ? length : 0;
	char *at = reserve(&r.out, sizeof(frame) + bytes);

	memcpy(at, &frame, sizeof(frame));
	if (bytes)
		memcpy(at + sizeof(frame), data, bytes);
	r.out.end += sizeof(frame) + bytes;
}

static void stream_close(struct stream *s)
{
	if (s->fd >= 0)
		close(s->fd);
	s->fd = -1;
}

/* ---- the streams ---- */

static void stream_read(int number)
{
	struct stream *s = &r.streams[number];
	size_t room = s->window < PIECE ? s->window : PIECE;
	char piece[PIECE];
	ssize_t n = read(s->fd, piece, room);

	if (n > 0) {
		frame_put(FRAME_DATA, number, piece, (uint32_t)n);
		s->window -= (uint32_t)n;
	} else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
		stream_close(s);
		frame_put(FRAME_END, number, NULL, 0);
	}
}

static void stream_taken(int number, size_t bytes)
{
	frame_put(FRAME_TAKEN, number, NULL, (uint32_t)bytes);
}

static void stream_write(int number)
{
	struct stream *s = &r.streams[number];
	size_t bytes = used(&s->waiting);
	ssize_t n;

	n = write(s->fd, s->waiting.bytes + s->waiting.start,
		  bytes < WRITE_PIECE ? bytes : WRITE_PIECE);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n < 0) {
		stream_close(s);
		frame_put(FRAME_SHUT, number, NULL, 0);
		s->waiting.start = s->waiting.end;
		return;
	}
	s->waiting.start += (size_t)n;
	stream_taken(number, (size_t)n);
}

/* ---- the connection ---- */

static void frame_take(const struct frame *frame, const char *data)
{
	struct stream *s = &r.streams[frame->stream];
	uint32_t length = le32toh(frame->length);

	switch (frame->type) {
	case FRAME_DATA:
		if (s->fd < 0)
			break; /* it has heard, or will, that it is shut */
		memcpy(reserve(&s->waiting, length), data, length);
		s->waiting.end += length;
		break;
	case FRAME_END:
		s->ended = 1;
		break;
	case FRAME_TAKEN:
		s->window += length;
		break;
	case FRAME_SHUT:
		stream_close(s);
		if (s->sends)
			frame_put(FRAME_END, frame->stream, NULL, 0);
		break;
	case FRAME_EXIT:
		r.status = (int)length;
		r.exit_known = 1;
		break;
	default:
		r.lost = 1;
	}
}

static void connection_read(void)
{
	char *at = reserve(&r.in, 2 * PIECE);
	ssize_t n = recv(r.connection, at, 2 * PIECE, MSG_DONTWAIT);
	struct frame frame;
	size_t whole;

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		r.lost = 1;
		return;
	}
	r.in.end += (size_t)n;
	while (used(&r.in) >= sizeof(frame)) {
		memcpy(&frame, r.in.bytes + r.in.start, sizeof(frame));
		whole = sizeof(frame);
		if (frame.stream > 2 || (frame.type == FRAME_DATA &&
					 le32toh(frame.length) > PIECE)) {
			r.lost = 1;
			return;
		}
		if (frame.type == FRAME_DATA)
			whole += le32toh(frame.length);
		if (used(&r.in) < whole)
			return;
		frame_take(&frame, r.in.bytes + r.in.start + sizeof(frame));
		r.in.start += whole;
	}
}

static void connection_write(void)
{
	ssize_t n = send(r.connection, r.out.bytes + r.out.start, used(&r.out),
			 MSG_DONTWAIT | MSG_NOSIGNAL);

	if (n > 0)
		r.out.start += (size_t)n;
	else if (n < 0 && errno != EAGAIN && errno != EINTR)
		r.lost = 1;
}

/* ---- the child ---- */

static void child_ended(void)
{
	struct signalfd_siginfo info;
	int status = 0;

	if (read(r.child_fd, &info, sizeof(info)) < 0 && errno == EINTR)
		return;
	if (waitpid(r.child, &status, WNOHANG) != r.child)
		return;
	close(r.child_fd);
	r.child_fd = -1;
	r.exit_known = 1;
	/* As sshd has it: a signal is told as a failure of the connection. */
	r.status = WIFEXITED(status) ? WEXITSTATUS(status) : REMOTE_LOST;
}

/* ---- the loop ---- */

static void settle(void)
{
	int i, busy = 0;

	for (i = 0; i < 3; i++) {
		struct stream *s = &r.streams[i];

		/* All of it has come and is written: the end, for the reader. */
		if (!s->sends && s->ended && !used(&s->waiting))
			stream_close(s);
		busy |= i > 0 && s->fd >= 0;
	}
	if (r.end == RELAY_RUNNER && r.exit_known && !busy && !r.exit_sent) {
		frame_put(FRAME_EXIT, 0, NULL, (uint32_t)r.status);
		r.exit_sent = 1;
	}
}

static int is_over(void)
{
	int i;

	if (r.lost)
		return 1;
	if (r.end == RELAY_RUNNER) /* the caller closes when it has it */
		return 0;
	if (!r.exit_known)
		return 0;
	for (i = 1; i < 3; i++)
		if (r.streams[i].fd >= 0 && used(&r.streams[i].waiting))
			return 0;
	return 1;
}

static void round_once(void)
{
	struct pollfd polls[5] = {{.fd = -1}};
	int i;

	for (i = 0; i < 3; i++) {
		struct stream *s = &r.streams[i];

		polls[i].fd = -1;
		if (s->sends && s->window && used(&r.out) < OUT_MAX) {
			polls[i].fd = s->fd;
			polls[i].events = POLLIN;
		} else if (!s->sends && used(&s->waiting)) {
			polls[i].fd = s->fd;
			polls[i].events = POLLOUT;
		}
	}
	polls[3].fd = r.connection;
	polls[3].events = used(&r.out) ? POLLIN | POLLOUT : POLLIN;
	polls[4].fd = r.child_fd;
	polls[4].events = POLLIN;
	if (poll(polls, 5, -1) < 0)
		return;
	for (i = 0; i < 3; i++)
		if (polls[i].revents && r.streams[i].sends)
			stream_read(i);
		else if (polls[i].revents)
			stream_write(i);
	if (polls[3].revents & (POLLIN | POLLERR | POLLHUP))
		connection_read();
	if (polls[3].revents & POLLOUT)
		connection_write();
	if (polls[4].revents)
		child_ended();
}

int relay(enum relay_end end, int connection, int streams[3], int child_fd,
	  int child)
{
	int i;

	signal(SIGPIPE, SIG_IGN);
	r.end = end;
	r.connection = connection;
	r.child = child;
	r.child_fd = child_fd;
	for (i = 0; i < 3; i++) {
		r.streams[i].fd = streams[i];
		r.streams[i].sends = (i == 0) == (end == RELAY_CALLER);
		r.streams[i].window = WINDOW;
		if (r.streams[i].sends && streams[i] < 0)
			frame_put(FRAME_END, i, NULL, 0);
	}
	while (settle(), !is_over())
		round_once();
	if (end == RELAY_CALLER)
		return r.exit_known ? r.status : REMOTE_LOST;
	/* Nobody listens to it any more: as when a terminal hangs up. */
	if (r.child_fd >= 0)
		kill(-child, SIGHUP);
	return 0;
}
