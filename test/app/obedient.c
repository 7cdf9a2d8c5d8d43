/* SPDX-License-Identifier: MIT */
/* Tells which signals it gets, ends with 42 at SIGTERM. */
#include "story.h"

#include <signal.h>

int main(void)
{
	sigset_t set;
	int got;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGTERM);
	check(sigprocmask(SIG_BLOCK, &set, NULL) == 0);
	story_ready();
	while (sigwait(&set, &got) == 0) {
		story_say(got == SIGUSR1  ? "usr1"
			  : got == SIGHUP ? "hup"
					  : "term");
		if (got == SIGTERM)
			return 42;
	}
	return 1;
}
