// SPDX-License-Identifier: MIT
/*
 * The bare restorer: turns a process that ckpt_restart has prepared into the
 * one of the image. See bare.h for what it is given and what it does.
 */
#include <linux/futex.h>
#include <linux/prctl.h>
#include <linux/rseq.h>

#include "restore/arch/jump.h"
#include "restore/steps.h"
#include "sys/sys.h"

_Static_assert(offsetof(struct bare_plan, stack_top) == 16, "entry.S");

/* Should one of them fail, ckpt_restart ends the others. */
static void await_others(const struct bare_plan *p)
{
	uint32_t filled;

	if (!p->filled)
		return;
	if (__atomic_add_fetch(p->filled, 1, __ATOMIC_SEQ_CST) == p->filled_by)
		sys_futex(p->filled, FUTEX_WAKE, INT32_MAX, NULL);
	while ((filled = __atomic_load_n(p->filled, __ATOMIC_SEQ_CST)) !=
	       p->filled_by)
		sys_futex(p->filled, FUTEX_WAIT, filled, NULL);
}

void bare_main(struct bare_plan *plan);

/* Takes this thread out of libc's hands: what the kernel would write to, or
 * read, when its memory is gone. */
static void leave_libc(struct bare *b, uint64_t *tls)
{
	const struct bare_plan *p = b->plan;
	uint64_t all = ~0ull;
	long ret;

	SYS_CALL(SYS_rt_sigprocmask, 0 /* SIG_BLOCK */, &all, NULL,
		 sizeof(all));
	tls[0] = (uint64_t)(uintptr_t)tls;
	bare_set_tls(tls);
	SYS_CALL(SYS_set_tid_address, NULL);
	SYS_CALL(SYS_set_robust_list, NULL, 24);
	if (p->rseq) {
		ret = SYS_CALL(SYS_rseq, p->rseq, p->rseq_length,
			       RSEQ_FLAG_UNREGISTER, p->rseq_signature);
		if (ret < 0)
			bare_fail(b, "leaving rseq at", p->rseq, ret);
	}
}

/* brk, the arguments as /proc shows them, the auxiliary vector, the program. */
static void set_mm(struct bare *b)
{
	const struct bare_plan *p = b->plan;
	struct prctl_mm_map map = {
		.start_code = p->mm.start_code,
		.end_code = p->mm.end_code,
		.start_data = p->mm.start_data,
		.end_data = p->mm.end_data,
		.start_brk = p->mm.start_brk,
		.brk = p->mm.brk,
		.start_stack = p->mm.start_stack,
		.arg_start = p->mm.arg_start,
		.arg_end = p->mm.arg_end,
		.env_start = p->mm.env_start,
		.env_end = p->mm.env_end,
		.auxv = (void *)p->auxv,
		.auxv_size = (uint32_t)p->auxv_length,
		.exe_fd = (uint32_t)p->exe_fd,
	};
	long ret;

	ret = SYS_CALL(SYS_prctl, PR_SET_MM, PR_SET_MM_MAP, &map, sizeof(map),
		       0);
	if (ret < 0 && p->exe_fd >= 0) {
		/* The name of the program is not worth the program. */
		map.exe_fd = (uint32_t)-1;
		ret = SYS_CALL(SYS_prctl, PR_SET_MM, PR_SET_MM_MAP, &map,
			       sizeof(map), 0);
	}
	if (ret < 0)
		bare_fail(b, "setting the program break and arguments", 0, ret);
}

static void put_rebirth(struct bare *b)
{
	const struct bare_plan *p = b->plan;
	struct image_rebirth *r =
		(struct image_rebirth *)(uintptr_t)p->rebirth_at;
	const struct bare_vdso *v = &b->vdso;

	*r = p->rebirth;
	r->scratch = p->scratch;
	r->scratch_length = p->scratch_length;
	r->vdso = r->vdso_length = r->vvar = r->vvar_length = 0;
	if (v->count) {
		r->vdso = v->map[v->count - 1].start;
		r->vdso_length = v->map[v->count - 1].end - r->vdso;
		r->vvar = v->map[0].start;
		r->vvar_length = r->vdso - r->vvar;
	}
}

void bare_main(struct bare_plan *plan)
{
	struct bare b = {
		.plan = plan,
		.marks = (unsigned char *)(uintptr_t)plan->buffers,
	};
	uint64_t tls[8] = {0};

	leave_libc(&b, tls);
	bare_vdso_find(&b);
	bare_unmap(&b);
	bare_vdso_move(&b);
	bare_map(&b);
	bare_fill(&b);
	bare_finish(&b);
	bare_vdso_put(&b);
	set_mm(&b);
	put_rebirth(&b);
	await_others(plan);
	bare_release(&b);
}
