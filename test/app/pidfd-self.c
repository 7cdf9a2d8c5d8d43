/* SPDX-License-Identifier: MIT */
/* A pidfd of the program itself still means it. */
#include "twice.h"

#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>

static int self;

static void prepare(void)
{
	self = (int)syscall(SYS_pidfd_open, getpid(), 0);
	check(self >= 0);
}

static void verify(void)
{
	struct pollfd ended = {self, POLLIN, 0};

	check(poll(&ended, 1, 0) == 0);
	check(syscall(SYS_pidfd_send_signal, self, 0, NULL, 0) == 0);
	close(self);
}

int main(void)
{
	return twice(prepare, verify);
}
