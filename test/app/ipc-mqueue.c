/* SPDX-License-Identifier: MIT */
/*
 * POSIX message queues: names, attributes, messages with their priorities and
 * order; several descriptions of one, one without a name; a child asleep in
 * mq_receive().
 */
#include "tree.h"

#include <mqueue.h>
#include <sys/stat.h>

static mqd_t queue, reader, nameless, empty;
static char name[64], other[64];
static pid_t child;

static mqd_t make(char *name, const char *what, int mode)
{
	struct mq_attr attr = {.mq_maxmsg = 7, .mq_msgsize = 100};
	mqd_t made;

	snprintf(name, sizeof(other), "/ckpt-test-%s-%d", what, getpid());
	made = mq_open(name, O_CREAT | O_EXCL | O_RDWR, 0600, &attr);
	check(made >= 0 && fchmod(made, (mode_t)mode) == 0);
	return made;
}

static void send_all(void)
{
	check(mq_send(queue, "low", 4, 1) == 0);
	check(mq_send(queue, "first", 6, 9) == 0);
	check(mq_send(queue, "second", 7, 9) == 0);
	check(mq_send(queue, "", 0, 0) == 0);
	check(mq_send(nameless, "still", 6, 3) == 0);
}

static void expect(mqd_t from, const char *bytes, size_t length, unsigned high)
{
	char got[100];
	unsigned priority;

	check(mq_receive(from, got, sizeof(got), &priority) == (ssize_t)length);
	check(memcmp(got, bytes, length) == 0 && priority == high);
}

static void verify(void)
{
	struct mq_attr attr;
	struct stat st;
	mqd_t again = mq_open(name, O_RDWR);

	check(mq_getattr(queue, &attr) == 0 && attr.mq_curmsgs == 4);
	check(attr.mq_maxmsg == 7 && attr.mq_msgsize == 100);
	check(attr.mq_flags == 0);
	check(mq_getattr(reader, &attr) == 0 && attr.mq_flags == O_NONBLOCK);
	check(fstat(queue, &st) == 0 && (st.st_mode & 07777) == 0640);
	check(again >= 0 && mq_getattr(again, &attr) == 0);
	check(attr.mq_curmsgs == 4);
	expect(again, "first", 6, 9);
	expect(reader, "second", 7, 9);
	expect(queue, "low", 4, 1);
	expect(again, "", 0, 0);
	expect(nameless, "still", 6, 3);
	check(mq_close(again) == 0);
	check(mq_send(reader, "x", 1, 1) < 0 && errno == EBADF);
	check(mq_open(other, O_RDWR) < 0 && errno == ENOENT);
	check(waitpid(child, NULL, WNOHANG) == 0);
	send_all();
}

/* "remove NAME...": what a killed one has left behind, of which the restarted
 * one must not live. */
static int remove_all(char **names)
{
	for (; *names; names++)
		check(mq_unlink(*names) == 0);
	return 0;
}

int main(int argc, char **argv)
{
	char third[64];
	int round;

	if (argc > 1)
		return remove_all(argv + 2);
	tree_start();
	queue = make(name, "queue", 0640);
	reader = mq_open(name, O_RDONLY | O_NONBLOCK);
	nameless = make(other, "nameless", 0600);
	check(mq_unlink(other) == 0);
	empty = make(third, "empty", 0600);
	printf("made %s %s\n", name, third);
	fflush(stdout);
	send_all();
	child = fork();
	check(child >= 0);
	if (child == 0) {
		tell(getppid(), SIGUSR2);
		expect(empty, "wake", 5, 2);
		_exit(7);
	}
	await_signal(SIGUSR2);
	for (round = 0; round < 3; round++) {
		story_ready();
		verify();
	}
	check(mq_send(empty, "wake", 5, 2) == 0);
	expect_status(child, 7 << 8);
	check(mq_unlink(name) == 0 && mq_unlink(third) == 0);
	return 0;
}
