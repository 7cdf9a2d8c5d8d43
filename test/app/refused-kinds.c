/* SPDX-License-Identifier: MIT */
/*
 * While it holds what cannot be saved, a checkpoint is refused, and nothing
 * that was looked at on the way has changed: pipe, queue, signals.
 */
#include "story.h"

#include <signal.h>
#include <sys/fanotify.h>
#include <sys/socket.h>
#include <sys/syscall.h>

static int full[2], pair[2];
static sigset_t blocked;

static void look(void)
{
	struct timespec now = {0, 0};
	siginfo_t info;
	char text[16];
	int i;

	for (i = 0; i < 3; i++) {
		check(sigtimedwait(&blocked, &info, &now) == SIGRTMIN);
		check(info.si_value.sival_int == i);
	}
	check(sigtimedwait(&blocked, &info, &now) < 0);
	check(read(full[0], text, 16) == 7);
	check(recv(pair[1], text, 16, MSG_PEEK) == 6);
	check(recv(pair[1], text, 16, 0) == 6);
}

static void fill(void)
{
	int i;

	for (i = 0; i < 3; i++)
		check(!sigqueue(getpid(), SIGRTMIN, (union sigval){.sival_int = i}));
	check(write(full[1], "content", 7) == 7);
	check(write(pair[0], "queued", 6) == 6);
}

int main(void)
{
	/* Nobody needs a privilege for it. */
	int kind = fanotify_init(FAN_REPORT_FID | FAN_CLOEXEC, 0);

	if (kind < 0)
		kind = (int)syscall(SYS_userfaultfd, 1);
	check(kind >= 0);
	sigemptyset(&blocked);
	sigaddset(&blocked, SIGRTMIN);
	sigprocmask(SIG_BLOCK, &blocked, NULL);
	check(pipe(full) == 0);
	check(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
	fill();
	story_ready();
	look();
	close(kind);
	fill();
	story_ready();
	look();
	return 0;
}
