/* SPDX-License-Identifier: MIT */
/*
 * What libckpt.so does when a program starts: learn from the environment which
 * computation it belongs to, take a slot in its registry, take the signal,
 * look up the few functions that the wrappers hide. Then nothing, until a
 * checkpoint. Whatever is missing: say nothing and stay out of the way; the
 * agent finds the process among its children and tells the user.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>

#include "preload/handler/park.h"
#include "preload/handler/signal.h"
#include "preload/preload.h"
#include "preload/wrap/real.h"

#ifndef AT_MINSIGSTKSZ
#define AT_MINSIGSTKSZ 51
#endif

/* In one page with struct stop: a child by fork touches both. */
struct preload preload __attribute__((section(".data")));
struct image_rebirth preload_rebirth;

/* A copy: the program may change its environment. 0: not there, or no such
 * thing can be. */
static int learn(char *to, size_t size, const char *name)
{
	const char *value = getenv(name);
	size_t length = value ? strlen(value) : 0;

	if (length == 0 || length >= size)
		return 0;
	memcpy(to, value, length + 1);
	return 1;
}

static void learn_library(void)
{
	Dl_info info;

	if (dladdr(&preload, &info) && info.dli_fname &&
	    strlen(info.dli_fname) < sizeof(preload.library))
		strcpy(preload.library, info.dli_fname);
}

/* glibc 2.35 and later registers an area for each thread; since 2.40 the
 * variable tells how much of it is in use, which may be less. */
static void learn_rseq(void)
{
	const ptrdiff_t *offset = dlsym(RTLD_DEFAULT, "__rseq_offset");
	const unsigned int *size = dlsym(RTLD_DEFAULT, "__rseq_size");

	if (!offset || !size || !*size)
		return;
	preload.rseq_offset = *offset;
	preload.rseq_length = *size < 32 ? 32 : *size;
}

/* Once; also by a wrapper that is called by an earlier constructor. */
void preload_start(void)
{
	static int started;

	if (started)
		return;
	started = 1;
	real_look_up();
	if (!learn(preload.runtime_dir, sizeof(preload.runtime_dir),
		   "CKPT_GROUP_DIR") ||
	    !learn(preload.coordinator, sizeof(preload.coordinator),
		   "CKPT_COORDINATOR") ||
	    !learn(preload.computation, sizeof(preload.computation),
		   "CKPT_COMPUTATION"))
		return;
	learn(preload.remote, sizeof(preload.remote), "CKPT_REMOTE");
	learn_library();
	learn_rseq();
	preload.minsigstksz = getauxval(AT_MINSIGSTKSZ);
	preload.syscall_ip = (uintptr_t)wrap_syscall_made;
	/* The handler first: a slot says that pokes are answered. */
	park_signal_arm();
	if (preload_registry_join(NULL) == 0)
		pthread_atfork(NULL, NULL, preload_forked);
}

__attribute__((constructor(101))) static void start(void)
{
	preload_start();
}
