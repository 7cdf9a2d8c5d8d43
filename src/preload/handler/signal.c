/* SPDX-License-Identifier: MIT */
/*
 * Taking signal 33, and what happens first when it arrives. The rest is in
 * stop.c.
 */
#define _GNU_SOURCE
#include "preload/handler/signal.h"

#include "preload/handler/arch/context.h"
#include "preload/handler/poke.h"
#include "preload/preload.h"
#include "sys/task.h"

/* Everything waits until the thread is released but what means a fault here
 * and now. */
#define MASK                                                                   \
	(~(SYS_SIGNAL_BIT(SIGSEGV) | SYS_SIGNAL_BIT(SIGBUS) |                  \
	   SYS_SIGNAL_BIT(SIGILL) | SYS_SIGNAL_BIT(SIGFPE) |                   \
	   SYS_SIGNAL_BIT(SIGTRAP)))
#define FLAGS                                                                  \
	((uint64_t)(unsigned)SA_SIGINFO | (unsigned)SA_ONSTACK |               \
	 (unsigned)SA_RESTART | SYS_SA_RESTORER)

/* Who had the signal before us. Written when glibc has replaced our handler,
 * by the thread that takes it back: always the same one, in practice. */
static struct sys_sigaction chained;
static int armed; /* once, at least */

void park_restorer(void); /* arch/x86_64/restorer.S */
static void park_handler(int signal, siginfo_t *info, void *context);

void park_signal_arm(void)
{
	struct sys_sigaction ours = {park_handler, FLAGS, park_restorer, MASK};
	struct sys_sigaction old;

	if (sys_sigaction(CKPT_SIGNAL, NULL, &old) < 0 ||
	    old.handler == park_handler)
		return;
	/* Before ours is in place: its first signal may be for them. Unless it
	 * was ignored by ourselves, for an exec that has failed, maybe in a
	 * vfork child on this very memory. */
	if (!armed || old.handler != (void *)SIG_IGN)
		chained = old;
	armed = 1;
	sys_sigaction(CKPT_SIGNAL, &ours, NULL);
}

void park_signal_arm_again(void)
{
	struct sys_sigaction now;

	/* Ignored: another thread is in exec. */
	if (sys_sigaction(CKPT_SIGNAL, NULL, &now) == 0 &&
	    now.handler != (void *)SIG_IGN)
		park_signal_arm();
}

void park_signal_ignore(void)
{
	struct sys_sigaction ignore = {.handler = (void *)SIG_IGN};

	sys_sigaction(CKPT_SIGNAL, &ignore, NULL);
}

/* A signal that is not for us: as if we were not there, with the mask that
 * its handler asked for. */
static void hand_on(int signal, siginfo_t *info, ucontext_t *context)
{
	struct sys_sigaction old = chained;
	struct sys_sigaction fatal = {.handler = (void *)SIG_DFL};
	uint64_t mask, full;

	if (old.handler == (void *)SIG_IGN)
		return;
	if (old.handler == (void *)SIG_DFL) {
		sys_sigaction(signal, &fatal, NULL);
		sys_tgkill(sys_getpid(), sys_gettid(), signal);
		return; /* it strikes when the mask is put back */
	}
	mask = context_mask(context) | old.mask;
	if (!(old.flags & SA_NODEFER))
		mask |= SYS_SIGNAL_BIT(signal);
	sys_sigprocmask(SIG_SETMASK, &mask, &full);
	old.handler(signal, info, context);
	sys_sigprocmask(SIG_SETMASK, &full, NULL);
}

static void park_handler(int signal, siginfo_t *info, void *context)
{
	if (info->si_code == CKPT_POKE_CODE)
		poke_take((uint64_t)(uintptr_t)info->si_ptr, context);
	else
		hand_on(signal, info, context);
}
