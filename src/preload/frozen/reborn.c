/* SPDX-License-Identifier: MIT */
/*
 * The first thing that runs in a new life: memory is what it was, the threads
 * stand in the restorer or are on their way to the handler, descriptors are at
 * their numbers. What only the process itself can put back follows here.
 *
 * There is no way back and nobody to return to: what fails is told to the
 * agent, and the process ends with 99.
 */
#define _GNU_SOURCE
#include <linux/futex.h>
#include <linux/sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>

#include "preload/frozen/frozen.h"

static void give_up(int error)
{
	struct service_message m = {.failed = {.error = error}};

	frozen_fail(error, "error", NULL);
	__builtin_memcpy(m.failed.text, frozen.text, sizeof(m.failed.text));
	if (frozen.agent >= 0)
		link_answer(frozen.agent, &m, SERVICE_FAILED, failed);
	sys_write(2, "ckpt: ", 6);
	sys_write(2, frozen.text, sys_strlen(frozen.text));
	sys_write(2, "\n", 1);
	sys_exit_group(99);
}

static void copy_text(char *to, size_t size, const char *from)
{
	struct sys_text t;

	sys_text_open(&t, to, size);
	sys_text_put(&t, from);
}

/* Nothing of the former life's connection and memory is there any more; the
 * arena is. */
static void start_afresh(void)
{
	uint64_t arena = frozen.arena;
	int i;

	frozen = (struct frozen){.jump = frozen.jump, .arena = arena};
	for (i = 0; i < FROZEN_FDS_OWN; i++)
		frozen.fds[i] = -1;
	copy_text(preload.runtime_dir, sizeof(preload.runtime_dir),
		  preload_rebirth.runtime_dir);
	copy_text(preload.coordinator, sizeof(preload.coordinator),
		  preload_rebirth.coordinator);
	copy_text(preload.computation, sizeof(preload.computation),
		  preload_rebirth.computation);
	preload.pid = sys_getpid();
	limits_forget();
}

static void join(void)
{
	void *old = preload.registry;
	int ret;

	preload.registry = NULL;
	preload.slot = NULL;
	ret = preload_registry_join(old);
	if (ret < 0) {
		frozen_fail(ret, "joining ", preload.runtime_dir, "/registry: ",
			    frozen_strerror(ret), NULL);
		give_up(ret);
	}
}

/* It does not come to the handler: it ends in the restorer's memory. */
static void await_dead_leader(void)
{
	uint32_t *word = &preload_rebirth.leader_ends;

	while (__atomic_load_n(word, __ATOMIC_ACQUIRE))
		sys_futex(word, FUTEX_WAIT, 1, NULL);
}

static void await_threads(void)
{
	const char *what = "";
	int ret = park_await_reborn(&what);

	await_dead_leader();

	if (ret < 0) {
		frozen_fail(ret, "putting back a thread's ", what, ": ",
			    frozen_strerror(ret), NULL);
		give_up(ret);
	}
}

static void revive(void)
{
	const char *what = "";
	int ret = plugins_revive(&what);

	if (ret < 0) {
		frozen_fail(ret, "putting back ", what, ": ",
			    frozen_strerror(ret), NULL);
		give_up(ret);
	}
	/* Nobody stands in the restorer's memory any more. */
	if (preload_rebirth.scratch_length)
		sys_munmap((void *)preload_rebirth.scratch,
			   preload_rebirth.scratch_length);
	sys_munmap((void *)frozen.arena, FROZEN_ARENA);
	frozen.arena = 0;
}

static void meet(void)
{
	struct service_message m = {0};
	int ret = link_connect();

	if (ret < 0)
		give_up(ret);
	m.hello = (struct service_hello){
		.version = SERVICE_VERSION,
		.pid = sys_getpid(),
		.request = preload_rebirth.life,
		.tid = sys_gettid(),
	};
	ret = link_answer(frozen.agent, &m, SERVICE_REBORN, hello);
	if (ret == 0)
		ret = link_expect(SERVICE_RELEASE, &m);
	if (ret < 0)
		give_up(ret);
}

void frozen_reborn(void)
{
	struct service_message m = {0};

	/* Descriptors of ours are nobody else's, as in the first life. */
	SYS_CALL(SYS_unshare, CLONE_FILES);
	start_afresh();
	/* Who became another user on the way here has a /proc of root's; the
	 * plugin process puts back what it was. */
	SYS_CALL(SYS_prctl, PR_SET_DUMPABLE, 1, 0, 0, 0);
	await_threads();
	join();
	revive();
	meet();
	close_copies();
	park_release();
	link_answer(frozen.agent, &m, SERVICE_RELEASED, released);
	sys_close(frozen.agent);
	frozen.agent = -1;
}
