// SPDX-License-Identifier: MIT
/*
 * The threads of the program, with the tids they had. Each begins in
 * libckpt.so and waits there until the service thread lets it go.
 */
#include <errno.h>

#include "restore/arch/jump.h"
#include "restore/steps.h"

#define PATIENCE_NS 5000000000ull

#define TASK_FLAGS                                                             \
	(CLONE_VM | CLONE_FS | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM)

/* A tid may still be in use for a moment: by a fill thread that has left user
 * space but not yet the kernel's tables. */
static long create(struct sys_clone_args *c, const struct image_jump *jump)
{
	uint64_t until = sys_clock_ns(1) + PATIENCE_NS;
	long ret;

	while ((ret = bare_clone(c, jump)) == -EEXIST || ret == -EAGAIN) {
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
	long ret = create(&c, &t->jump);

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

	if (create(&c, &p->service) < 0)
		sys_exit_group(99);
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
	sys_close(p->error_fd);
	create_service(p);
	if (p->leader_dead)
		sys_exit(0);
	bare_jump(&p->leader);
}
