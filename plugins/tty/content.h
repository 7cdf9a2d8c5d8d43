/* SPDX-License-Identifier: MIT */
/*
 * What waits in a pseudo-terminal, both ways. There is no looking at it: it is
 * taken out and put back, by the frozen side at once and by a restart later.
 * Nobody else may use the pair meanwhile. For both worlds: sys_* only.
 *
 * The line discipline works through what is written to the master on a thread
 * of the kernel's own, some time later. The only order that can be relied on
 * is that of the bytes. Hence the mark: behind the content goes a character
 * that stops the output, and that it did can be seen from outside.
 */
#ifndef PLUGINS_TTY_CONTENT_H
#define PLUGINS_TTY_CONTENT_H

#include <asm/ioctls.h>
#include <asm/poll.h>
#include <asm/termbits.h>
#include <errno.h>

#include "plugins/tty/format.h"
#include "sys/sys.h"

/* The kernel's queues hold 4 KiB and, in front, 8 KiB each. */
#define TTY_CONTENT_MAX (32u << 10)
#define TTY_MARKS_MAX 4096u
#define TTY_QUEUE 4000u /* more than this may stand in front of the queue */
#define TTY_PATIENCE_MS 1000

struct tty_content {
	uint32_t flags; /* TTY_STOPPED, TTY_STOPPED_OFF */
	uint32_t packet_status;
	uint32_t output_length, input_length, mark_count;
	unsigned char output[TTY_CONTENT_MAX], input[TTY_CONTENT_MAX];
	uint32_t marks[TTY_MARKS_MAX];
};

/* ---- small things ---- */

static inline int tty_poll(int fd, int events, int milliseconds)
{
	struct {
		int fd;
		short events, revents;
	} poll = {fd, (short)events, 0};
	struct __kernel_timespec time = {
		milliseconds / 1000, milliseconds % 1000 * 1000000};

	SYS_CALL(SYS_ppoll, &poll, 1, &time, NULL, 0);
	return poll.revents;
}

static inline int tty_waiting(int fd)
{
	int count = 0;

	return sys_ioctl(fd, FIONREAD, &count) < 0 ? 0 : count;
}

/* No byte means anything, none changes on its way, nothing is echoed. What
 * would reset the queue when it changes stays. */
static inline void tty_calm(const struct termios2 *real, struct termios2 *calm)
{
	int i;

	*calm = *real;
	calm->c_iflag &= IUTF8;
	calm->c_oflag = 0;
	calm->c_lflag &= ICANON | EXTPROC;
	for (i = 0; i < NCCS; i++)
		if (i != VEOL && i != VEOL2)
			calm->c_cc[i] = 0;
	calm->c_cc[VMIN] = 1;
}

static inline int tty_lines(const struct termios2 *t)
{
	return (t->c_lflag & ICANON) && !(t->c_lflag & EXTPROC);
}

/* ---- taking it out ---- */

static inline void tty_drain_output(int master, struct tty_content *c)
{
	while (c->output_length < sizeof(c->output) &&
	       (tty_poll(master, POLLIN, 0) & POLLIN)) {
		long n = sys_read(master, c->output + c->output_length,
				  sizeof(c->output) - c->output_length);

		if (n <= 0)
			break; /* nobody has the other side open */
		c->output_length += (uint32_t)n;
	}
}

static inline long tty_take(int slave, struct tty_content *c)
{
	long n = sys_read(slave, c->input + c->input_length,
			  sizeof(c->input) - c->input_length);

	if (n > 0)
		c->input_length += (uint32_t)n;
	return n;
}

/* Line by line: one that does not end in a newline ends in an end of file. */
static inline void tty_drain_lines(int slave, const struct termios2 *real,
				   struct tty_content *c)
{
	while (c->mark_count < TTY_MARKS_MAX &&
	       c->input_length < sizeof(c->input)) {
		long n = tty_take(slave, c);
		unsigned char last;

		if (n < 0)
			break;
		last = n ? c->input[c->input_length - 1] : 0;
		if (n && (last == '\n' ||
			  (last && (last == real->c_cc[VEOL] ||
				    last == real->c_cc[VEOL2]))))
			continue;
		c->marks[c->mark_count++] = c->input_length;
	}
}

static inline void tty_drain_input(int master, int slave,
				   const struct termios2 *calm,
				   struct tty_content *c)
{
	struct termios2 raw = *calm;

	if (tty_lines(calm)) {
		tty_drain_lines(slave, calm, c);
		/* The line that is being typed. */
		raw.c_lflag &= ~(tcflag_t)ICANON;
		sys_ioctl(master, TCSETS2, &raw);
	}
	while (c->input_length < sizeof(c->input) && tty_take(slave, c) > 0)
		;
	/* Empty, it forgets nothing by the change. */
	if (tty_lines(calm))
		sys_ioctl(master, TCSETS2, (void *)calm);
}

/* Nothing waits, says the kernel, and it would know: no line being typed. */
static inline int tty_is_empty(int master, int slave,
			       const struct termios2 *real)
{
	return !tty_lines(real) &&
	       !(tty_poll(master, POLLIN, 0) & POLLIN) &&
	       !tty_waiting(master) && !tty_waiting(slave) &&
	       (tty_poll(slave, POLLIN | POLLOUT, 0) & (POLLIN | POLLOUT)) ==
		       POLLOUT;
}

static inline int tty_stopped(int slave)
{
	return !(tty_poll(slave, POLLOUT, 0) & POLLOUT);
}

/* Takes out what there is; the settings are not the real ones until
 * tty_put_back(). Packet mode is off. */
static inline void tty_take_out(int master, int slave,
				const struct termios2 *real,
				struct tty_content *c)
{
	struct termios2 calm;

	tty_calm(real, &calm);
	tty_poll(slave, POLLIN, 0); /* what is on its way, arrives */
	tty_drain_output(master, c);
	/* There is room now, so: */
	if (tty_stopped(slave))
		c->flags |= TTY_STOPPED;
	sys_ioctl(master, TCSETS2, &calm);
	/* Without IXON, what ^S had stopped has gone on just now. */
	if (tty_stopped(slave)) {
		c->flags ^= TTY_STOPPED | TTY_STOPPED_OFF;
		sys_ioctl(slave, TCXONC, (void *)TCOON);
	}
	tty_drain_output(master, c);
	tty_drain_input(master, slave, &calm, c);
}

/* ---- putting it back ---- */

/* n bytes that do not occur in the input and mean nothing. */
static inline void tty_unused(const struct tty_content *c,
			      const struct termios2 *calm, unsigned char *bytes,
			      int n)
{
	uint32_t seen[8] = {1 | 1 << '\n'};
	uint32_t i;
	int byte;

	seen[calm->c_cc[VEOL] / 32] |= 1u << calm->c_cc[VEOL] % 32;
	seen[calm->c_cc[VEOL2] / 32] |= 1u << calm->c_cc[VEOL2] % 32;
	for (i = 0; i < c->input_length; i++)
		seen[c->input[i] / 32] |= 1u << c->input[i] % 32;
	for (byte = 1; n > 0 && byte < 256; byte++)
		if (!(seen[byte / 32] >> byte % 32 & 1))
			bytes[--n] = (unsigned char)byte;
	while (n > 0)
		bytes[--n] = 0; /* all occur: none then */
}

static inline int tty_write(int fd, const unsigned char *data, uint32_t length)
{
	int tries = 0;

	while (length) {
		long n = sys_write(fd, data, length);

		if (n < 0 && n != -EAGAIN && n != -EINTR)
			return (int)n;
		if (n > 0) {
			data += n;
			length -= (uint32_t)n;
			continue;
		}
		if (++tries > TTY_PATIENCE_MS)
			return -EAGAIN;
		tty_poll(-1, 0, 1);
	}
	return 0;
}

/* Returns when the kernel has worked through all that was written. */
static inline int tty_mark(int master, int slave, unsigned char stop)
{
	int i, ret = tty_write(master, &stop, 1);

	for (i = 0; ret == 0 && i < TTY_PATIENCE_MS; i++) {
		if (!(tty_poll(slave, POLLOUT, 0) & POLLOUT))
			return 0;
		tty_poll(-1, 0, 1);
	}
	return ret ? ret : -ETIMEDOUT;
}

static inline int tty_put_input(int master, int slave,
				const struct termios2 *calm,
				const struct tty_content *c)
{
	struct termios2 t = *calm;
	unsigned char unused[2]; /* end of file, stop */
	uint32_t at = 0, i;
	int ret = 0;

	if (!c->input_length && !c->mark_count)
		return 0;
	tty_unused(c, calm, unused, 2);
	t.c_iflag |= IXON;
	t.c_cc[VSTOP] = unused[1];
	t.c_cc[VEOF] = unused[0];
	sys_ioctl(master, TCSETS2, &t);
	for (i = 0; i <= c->mark_count && ret == 0; i++) {
		int more = i < c->mark_count && c->marks[i] >= at &&
			   c->marks[i] <= c->input_length;
		uint32_t to = more ? c->marks[i] : c->input_length;

		ret = tty_write(master, c->input + at, to - at);
		if (ret == 0 && more && unused[0])
			ret = tty_write(master, unused, 1);
		at = to;
	}
	if (ret == 0 && unused[1] && c->input_length < TTY_QUEUE)
		ret = tty_mark(master, slave, unused[1]);
	else /* more than a queue full: the rest has to wait anyhow */
		tty_poll(-1, 0, 20);
	sys_ioctl(master, TCSETS2, (void *)calm);
	return ret;
}

static inline int tty_put_stop(int master, int slave,
			       const struct termios2 *calm,
			       const struct tty_content *c)
{
	struct termios2 t = *calm;

	if (c->flags & TTY_STOPPED_OFF)
		return (int)sys_ioctl(slave, TCXONC, (void *)TCOOFF);
	if (!(c->flags & TTY_STOPPED))
		return 0;
	t.c_iflag |= IXON;
	t.c_cc[VSTOP] = 023;
	sys_ioctl(master, TCSETS2, &t);
	return tty_mark(master, slave, 023);
}

/* What the master would have been told first, made to happen again. */
static inline void tty_put_packet(int master, int slave,
				  const struct termios2 *real,
				  const struct tty_content *c)
{
	uint32_t status = c->packet_status;
	struct termios2 t = *real;
	int on = 1;

	sys_ioctl(master, TIOCPKT, &on);
	if (slave < 0)
		return;
	if ((status & TIOCPKT_FLUSHREAD) && !c->input_length && !c->mark_count)
		sys_ioctl(slave, TCFLSH, (void *)TCIFLUSH);
	if ((status & TIOCPKT_FLUSHWRITE) && c->output_length < TTY_QUEUE) {
		/* What has reached the master's queue is out of its reach. */
		tty_poll(master, POLLIN, c->output_length ? 100 : 0);
		sys_ioctl(slave, TCFLSH, (void *)TCOFLUSH);
	}
	if ((status & (TIOCPKT_STOP | TIOCPKT_START)) &&
	    !(c->flags & TTY_STOPPED)) {
		sys_ioctl(slave, TCXONC, (void *)TCOOFF);
		if (!(c->flags & TTY_STOPPED_OFF))
			sys_ioctl(slave, TCXONC, (void *)TCOON);
	}
	if (status & (TIOCPKT_DOSTOP | TIOCPKT_NOSTOP | TIOCPKT_IOCTL)) {
		if ((t.c_iflag & IXON) && t.c_cc[VSTOP] == 023 &&
		    t.c_cc[VSTART] == 021) {
			t.c_cc[VSTOP] = 0;
		} else {
			t.c_iflag |= IXON;
			t.c_cc[VSTOP] = 023;
			t.c_cc[VSTART] = 021;
		}
		sys_ioctl(master, TCSETS2, &t);
		sys_ioctl(master, TCSETS2, (void *)real);
	}
}

/* Into an empty pair whose packet mode is off; the settings become `real`.
 * slave: open for both, not blocking, or -1. Returns the first error, having
 * done what could be done. */
static inline int tty_put_back(int master, int slave,
			       const struct termios2 *real, int packet,
			       const struct tty_content *c)
{
	/* Others who save it at this moment should not see that. Less than a
	 * queue full never blocks. */
	int full = c->input_length + c->mark_count >= TTY_QUEUE;
	long flags = sys_fcntl(master, F_GETFL, 0);
	struct termios2 calm;
	int ret = 0, error;

	if (full)
		sys_fcntl(master, F_SETFL, (unsigned long)flags | O_NONBLOCK);
	if (slave >= 0) {
		tty_calm(real, &calm);
		sys_ioctl(master, TCSETS2, &calm);
		ret = tty_put_input(master, slave, &calm, c);
		error = tty_write(slave, c->output, c->output_length);
		ret = ret ? ret : error;
		error = tty_put_stop(master, slave, &calm, c);
		ret = ret ? ret : error;
	}
	sys_ioctl(master, TCSETS2, (void *)real);
	if (packet)
		tty_put_packet(master, slave, real, c);
	if (full)
		sys_fcntl(master, F_SETFL, (unsigned long)flags);
	return ret;
}

#endif
