/* SPDX-License-Identifier: MIT */
/* A signalfd keeps its mask and shows what was pending. */
#include "twice.h"

#include <signal.h>
#include <sys/signalfd.h>

static int fd;

static void prepare(void)
{
	sigset_t mask;

	sigemptyset(&mask);
	sigaddset(&mask, SIGUSR1);
	sigaddset(&mask, SIGRTMAX);
	check(sigprocmask(SIG_BLOCK, &mask, NULL) == 0);
	fd = signalfd(-1, &mask, SFD_NONBLOCK);
	check(sigqueue(getpid(), SIGRTMAX, (union sigval){.sival_int = 9}) == 0);
}

static void verify(void)
{
	struct signalfd_siginfo info;

	check(read(fd, &info, sizeof(info)) == sizeof(info));
	check(info.ssi_signo == (unsigned)SIGRTMAX && info.ssi_int == 9);
	check(info.ssi_pid == (unsigned)getpid());
	check(kill(getpid(), SIGUSR1) == 0);
	check(read(fd, &info, sizeof(info)) == sizeof(info));
	check(info.ssi_signo == SIGUSR1);
	check(read(fd, &info, sizeof(info)) < 0 && errno == EAGAIN);
	close(fd);
}

int main(void)
{
	return twice(prepare, verify);
}
