// SPDX-License-Identifier: MIT
/*
 * The threads of the program, with the tids they had. Each begins in
 * libckpt.so and waits there until the service thread lets it go.
 */
#include <errno.h>
#include <linux/futex.h>

#include "restore/arch/jump.h"
#include "restore/steps.h"

#define PATIENCE_NS 5000000000ull

#define TASK_FLAGS                                                             \
	(CLONE_VM | CLONE_FS | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM)

/* A tid may still be in use for a moment: by a fill thread that has left user
 * space but not yet the kernel's tables. */
static long create(const struct bare_plan *p, struct sys_clone_args *c,
		   const struct image_jump *jump, const struct bare_call *calls)
{
	uint64_t until = sys_clock_ns(1) + PATIENCE_NS;
	long ret;

	for (;;) {
		ret = calls ? bare_clone_as(c, jump, calls, p->gate) :
			      bare_clone(c, jump);
		if (ret != -EEXIST && ret != -EAGAIN)
			break;
		if (sys_clock_ns(1) >= until)
			break;
		SYS_CALL(SYS_sched_yield);
	}
	return ret;
}

static void create_thread(struct bare *b, const struct bare_thread *t)
{
	struct sys_clone_args c = {
		.flags = TASK_FLAGS | CLONE_FILES,
		.set_tid = (uint64_t)(uintptr_t)&t->tid,
		.set_tid_size = 1,
	};
	long ret = create(b->plan, &c, &t->jump, t->calls);

	if (ret < 0)
		bare_fail(b, "creating the thread with tid (hex)",
			  (uint64_t)t->tid, ret);
}

/* Last, so that its tid is none that the program has. It gets a copy of the
 * descriptor table, in which nothing of ours may be left: so what goes wrong
 * here can only be told by the exit status. */
static void create_service(const struct bare_plan *p)
{
	struct sys_clone_args c = {.flags = TASK_FLAGS};

	if (create(p, &c, &p->service, p->service_calls) < 0)
		sys_exit_group(99);
}

/* All others are, or are about to. */
static void become(struct bare *b)
{
	const struct bare_plan *p = b->plan;
	const struct bare_call *c = p->leader_calls;
	uint32_t arrived, all = (uint32_t)p->thread_count + 1;
	long ret;

	while ((arrived = __atomic_load_n(&p->gate->arrived,
					  __ATOMIC_ACQUIRE)) < all)
		sys_futex(&p->gate->arrived, FUTEX_WAIT, arrived, NULL);
	for (; c->number != BARE_CALLS_END; c++) {
		ret = SYS_CALL(c->number, c->arguments[0], c->arguments[1],
			       c->arguments[2], c->arguments[3], 0);
		if (ret != c->expected && !c->unchecked)
			bare_fail(b, "taking its ids again, system call (hex)",
				  (uint64_t)c->number, ret < 0 ? ret : -EPERM);
	}
	sys_close(p->error_fd);
	__atomic_store_n(&p->gate->open, 1, __ATOMIC_RELEASE);
	sys_futex(&p->gate->open, FUTEX_WAKE, INT32_MAX, NULL);
}

void bare_release(struct bare *b)
{
	const struct bare_plan *p = b->plan;
	struct image_rebirth *rebirth =
		(struct image_rebirth *)(uintptr_t)p->rebirth_at;
	uint64_t i;

	if (p->leader_dead) {
		/* This memory is needed for an instruction more. */
		rebirth->leader_ends = 1;
		SYS_CALL(SYS_set_tid_address, &rebirth->leader_ends);
	}

	for (i = 0; i < p->close_count; i++)
		if (p->close_fds[i] != p->error_fd)
			sys_close(p->close_fds[i]);
	for (i = 0; i < p->thread_count; i++)
		create_thread(b, &p->threads[i]);
	if (!p->leader_calls)
		sys_close(p->error_fd);
	create_service(p);
	if (p->leader_calls)
		become(b);
	if (p->leader_dead)
		sys_exit(0);
	bare_jump(&p->leader);
}
