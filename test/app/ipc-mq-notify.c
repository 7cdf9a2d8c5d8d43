/* SPDX-License-Identifier: MIT */
/*
 * A process that has asked to be told of a message is told of it, once, with
 * its value; the queue may be empty, or hold a message that was there before.
 * "ipc-mq-notify thread" wants a thread for it, and is refused.
 */
#include "story.h"

#include <mqueue.h>
#include <signal.h>

static sigset_t told;
static mqd_t queue;

static void expect_told(int value)
{
	struct timespec soon = {.tv_sec = 0};
	siginfo_t info;

	check(sigtimedwait(&told, &info, &soon) == (value ? SIGRTMIN + 3 : -1));
	check(!value || (info.si_code == SI_MESGQ &&
			 info.si_value.sival_int == value));
}

static void ask(int value)
{
	struct sigevent event = {.sigev_notify = SIGEV_SIGNAL,
				 .sigev_signo = SIGRTMIN + 3,
				 .sigev_value.sival_int = value};

	check(mq_notify(queue, &event) == 0);
}

static void nothing(union sigval value)
{
	(void)value;
}

static int by_thread(void)
{
	struct sigevent event = {.sigev_notify = SIGEV_THREAD,
				 .sigev_notify_function = nothing};

	check(mq_notify(queue, &event) == 0);
	story_ready();
	check(mq_notify(queue, NULL) == 0);
	story_ready();
	return 0;
}

int main(int argc, char **argv)
{
	struct mq_attr attr = {.mq_maxmsg = 4, .mq_msgsize = 16};
	char name[64], got[16];

	(void)argv;
	snprintf(name, sizeof(name), "/ckpt-notify-%d", getpid());
	queue = mq_open(name, O_CREAT | O_EXCL | O_RDWR, 0600, &attr);
	check(queue >= 0 && mq_unlink(name) == 0);
	sigemptyset(&told);
	sigaddset(&told, SIGRTMIN + 3);
	check(sigprocmask(SIG_BLOCK, &told, NULL) == 0);
	if (argc > 1)
		return by_thread();
	for (int value = 77; value < 79; value++) {
		ask(value);
		story_ready();
		expect_told(0);
		check(mq_send(queue, "one", 4, 1) == 0);
		expect_told(value);
		check(mq_receive(queue, got, sizeof(got), NULL) == 4);
		check(mq_send(queue, "two", 4, 1) == 0);
		expect_told(0);
		ask(value); /* there is a message already */
		story_ready();
		expect_told(0);
		check(mq_receive(queue, got, sizeof(got), NULL) == 4);
		check(!strcmp(got, "two"));
		check(mq_send(queue, "three", 6, 1) == 0);
		expect_told(value);
		check(mq_receive(queue, got, sizeof(got), NULL) == 6);
	}
	return 0;
}
