/* SPDX-License-Identifier: MIT */
/*
 * timerfd, saving. Kept: clock, flags, interval, time left, unread ticks. All
 * of it is in fdinfo, but an interval timer that has expired stands still
 * there until somebody looks: timerfd_gettime() sets it going and counts what
 * it missed.
 */
#define _GNU_SOURCE
#include <ckpt/plugin.h>

#include "plugins/fdinfo.h"
#include "plugins/timerfd/format.h"
#include "sys/sys.h"

static int timerfd_matches(const struct ckpt_fd *fd)
{
	return sys_equal(fd->target, "anon_inode:[timerfd]");
}

/* "(seconds, nanoseconds)" */
static uint64_t timerfd_ns(const char *at)
{
	uint64_t ns;

	if (!at || *at != '(')
		return 0;
	at++;
	ns = sys_number(&at, 10) * 1000000000u;
	if (*at != ',')
		return ns;
	at = fdinfo_blanks(at + 1);
	return ns + sys_number(&at, 10);
}

static void timerfd_parse(const char *text, struct timerfd_record *record)
{
	record->clock = (int)fdinfo_number(text, "clockid", 10, 0);
	record->flags = (uint32_t)fdinfo_number(text, "settime flags", 8, 0);
	record->ticks = fdinfo_number(text, "ticks", 10, 0);
	record->left = timerfd_ns(fdinfo_find(text, "it_value"));
	record->interval = timerfd_ns(fdinfo_find(text, "it_interval"));
}

static void timerfd_look_again(int fd, struct timerfd_record *record)
{
	struct __kernel_itimerspec spec;
	char path[48], text[512];
	struct sys_text name;
	long got, info;

	sys_text_open(&name, path, sizeof(path));
	sys_text_put(&name, "/proc/thread-self/fdinfo/");
	sys_text_number(&name, (uint64_t)fd, 10);
	if (SYS_CALL(SYS_timerfd_gettime, fd, &spec) < 0)
		return;
	info = sys_openat(AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
	if (info < 0)
		return;
	got = sys_read((int)info, text, sizeof(text) - 1);
	sys_close((int)info);
	if (got <= 0)
		return;
	text[got] = 0;
	timerfd_parse(text, record);
}

static int timerfd_save(const struct ckpt_fd *fd, struct ckpt_record *out)
{
	struct timerfd_record record = {0};

	timerfd_parse(fd->fdinfo, &record);
	if (record.ticks && record.interval)
		timerfd_look_again(fd->fd, &record);
	record.saved_at = sys_clock_ns(record.clock);
	ckpt_put(out, &record, sizeof(record));
	return 0;
}

const struct ckpt_saver timerfd_saver = {
	.kind = 70,
	.name = "timerfd",
	.matches = timerfd_matches,
	.save = timerfd_save,
};
