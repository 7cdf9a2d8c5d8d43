/* SPDX-License-Identifier: MIT */
/*
 * process, saving and reviving: attributes that are in no other place.
 * Kept: limits, dumpable, child subreaper, no THP, MDWE, membarrier
 * registrations, mlockall(MCL_FUTURE); no_new_privs, securebits, the bounding and ambient sets of
 * capabilities, TSC and speculation controls.
 * Told, but not put back: seccomp filters (a filter cannot be read) and a
 * hard limit above what the user has now. Of each thread by the thread
 * itself: see preload/handler.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/membarrier.h>
#include <linux/prctl.h>
#include <sys/mman.h>

#include <ckpt/plugin.h>

#include "plugins/process/format.h"
#include "sys/sys.h"

#ifndef PR_GET_MDWE
#define PR_SET_MDWE 65
#define PR_GET_MDWE 66
#endif
#define MEMBARRIER_REGISTRATIONS 512 /* MEMBARRIER_CMD_GET_REGISTRATIONS, 6.3 */

/* Written by capture(), read by revive() in the new life. */
static struct process_record process;

static int32_t process_prctl(int what, unsigned long argument)
{
	long ret = SYS_CALL(SYS_prctl, what, argument, 0, 0, 0);

	return ret < 0 ? PROCESS_UNKNOWN : (int32_t)ret;
}

static int32_t process_subreaper(void)
{
	int32_t value = 0;
	long ret = SYS_CALL(SYS_prctl, PR_GET_CHILD_SUBREAPER, &value, 0, 0, 0);

	return ret < 0 ? PROCESS_UNKNOWN : value;
}

static int32_t process_tsc(void)
{
	int32_t value = 0;
	long ret = SYS_CALL(SYS_prctl, PR_GET_TSC, &value, 0, 0, 0);

	return ret < 0 ? PROCESS_UNKNOWN : value;
}

static int32_t process_membarrier(void)
{
	long ret = ckpt_masked("membarrier_registrations") ?
			   -1 :
			   SYS_CALL(SYS_membarrier, MEMBARRIER_REGISTRATIONS, 0,
				    0);

	return ret < 0 ? PROCESS_UNKNOWN : (int32_t)ret;
}

static void process_capabilities(void)
{
	unsigned long bit;

	process.bounding = process.ambient = 0;
	for (bit = 0; bit < 64; bit++) {
		long set = SYS_CALL(SYS_prctl, PR_CAPBSET_READ, bit, 0, 0, 0);

		if (set < 0)
			break; /* the last that this kernel has */
		process.bounding |= (uint64_t)set << bit;
		if (SYS_CALL(SYS_prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET,
			     bit, 0, 0) == 1)
			process.ambient |= 1ull << bit;
	}
}

/* mlockall(MCL_FUTURE) is told nowhere, but then a new page is there at once,
 * or there is none because too much is locked. */
static int32_t process_locks_future(void)
{
	unsigned char there = 0;
	long page = SYS_CALL(SYS_mmap, NULL, 4096, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (page < 0 && page >= -4095)
		return page == -EAGAIN;
	SYS_CALL(SYS_mincore, page, 4096, &there);
	SYS_CALL(SYS_munmap, page, 4096);
	return there & 1;
}

static int process_capture(struct ckpt_record *out)
{
	int i;

	for (i = 0; i < PROCESS_LIMITS; i++)
		SYS_CALL(SYS_prlimit64, 0, i, NULL, &process.limits[i]);
	process.dumpable = process_prctl(PR_GET_DUMPABLE, 0);
	process.subreaper = process_subreaper();
	process.thp_disable = process_prctl(PR_GET_THP_DISABLE, 0);
	process.mdwe = process_prctl(PR_GET_MDWE, 0);
	process.membarrier = process_membarrier();
	process.no_new_privs = process_prctl(PR_GET_NO_NEW_PRIVS, 0);
	process.securebits = process_prctl(PR_GET_SECUREBITS, 0);
	process.tsc = process_tsc();
	process.lock_future = process_locks_future();
	process.io_flusher = process_prctl(PR_GET_IO_FLUSHER, 0);
	process.seccomp = process_prctl(PR_GET_SECCOMP, 0);
	for (i = 0; i < 3; i++)
		process.speculation[i] =
			process_prctl(PR_GET_SPECULATION_CTRL,
				      (unsigned long)i);
	process_capabilities();
	ckpt_put(out, &process, sizeof(process));
	return 0;
}

/* Raising a hard limit takes a privilege that the user may not have here:
 * then as much as there is. */
static void process_limit(int which)
{
	struct process_limit limit = process.limits[which], now;

	if (SYS_CALL(SYS_prlimit64, 0, which, &limit, NULL) == 0 ||
	    SYS_CALL(SYS_prlimit64, 0, which, NULL, &now) < 0)
		return;
	if (limit.hard > now.hard)
		limit.hard = now.hard;
	if (limit.soft > limit.hard)
		limit.soft = limit.hard;
	SYS_CALL(SYS_prlimit64, 0, which, &limit, NULL);
}

/* Without the list (before 6.3), those that do no harm when nobody uses
 * them: a program that registered must not find EPERM. */
static void process_membarriers(void)
{
	uint32_t commands = (uint32_t)process.membarrier;
	int bit;

	if (process.membarrier == PROCESS_UNKNOWN)
		commands = MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED |
			   MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE;
	for (bit = 0; bit < 31; bit++)
		if (commands & 1u << bit)
			SYS_CALL(SYS_membarrier, 1u << bit, 0, 0);
}

static int process_revive(void)
{
	int i;

	process_membarriers();
	if (process.subreaper > 0)
		SYS_CALL(SYS_prctl, PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
	if (process.thp_disable > 0)
		SYS_CALL(SYS_prctl, PR_SET_THP_DISABLE, 1, 0, 0, 0);
	if (process.mdwe > 0)
		SYS_CALL(SYS_prctl, PR_SET_MDWE, process.mdwe, 0, 0, 0);
	for (i = 0; i < PROCESS_LIMITS; i++)
		process_limit(i);
	if (process.lock_future > 0)
		SYS_CALL(SYS_mlockall, MCL_FUTURE);
	/* Last: it closes our own /proc/self to us. */
	if (process.dumpable >= 0) /* 2 is the kernel's to set; 0 is as closed */
		SYS_CALL(SYS_prctl, PR_SET_DUMPABLE, process.dumpable == 1, 0,
			 0, 0);
	return 0;
}

const struct ckpt_saver process_saver = {
	.kind = 66,
	.name = "process",
	.capture = process_capture,
	.revive = process_revive,
};
