/* SPDX-License-Identifier: MIT */
/*
 * Pipes between processes: content that nobody has read yet, packets, a
 * writer that waits for room, a reader that waits for data, an end of file
 * that comes when the last writer of three goes, a FIFO.
 */
#include "twice.h"

#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

enum { MUCH = 37 * 8192 };

static int down[2], up[2], packets[2], fifo;
static pid_t middle, source, echo;

static char pattern(size_t i)
{
	return (char)(i * 11 + i / 1001);
}

/* Writes more than fits, so it waits for room. */
static void be_source(void)
{
	char data[8192];
	size_t done, i;

	close(up[0]), close(up[1]), close(down[0]);
	for (done = 0; done < MUCH; done += sizeof(data)) {
		for (i = 0; i < sizeof(data); i++)
			data[i] = pattern(done + i);
		check(write(down[1], data, sizeof(data)) == sizeof(data));
	}
	_exit(11);
}

/* Passes on what it is told to, a request of one byte each. */
static void be_echo(void)
{
	char data[64];
	ssize_t got;

	close(down[0]), close(down[1]), close(up[1]);
	while ((got = read(up[0], data, sizeof(data))) > 0)
		check(write(packets[1], data, (size_t)got) == got);
	_exit(12);
}

/* Has an end of everything and does nothing. */
static void be_middle(void)
{
	for (;;)
		pause();
}

static pid_t start(void (*be)(void))
{
	pid_t pid = fork();

	check(pid >= 0);
	if (pid == 0) {
		be();
		_exit(1);
	}
	return pid;
}

static void await_full(void)
{
	int unread = 0;

	do
		check(ioctl(down[0], FIONREAD, &unread) == 0);
	while (unread < 65536 && sched_yield() == 0);
}

static void prepare(void)
{
	check(pipe(down) == 0 && pipe(up) == 0);
	check(pipe2(packets, O_DIRECT) == 0);
	check(mkfifo("fifo", 0600) == 0 || errno == EEXIST);
	fifo = open("fifo", O_RDWR);
	check(fifo >= 0 && write(fifo, "fifo", 4) == 4);
	source = start(be_source);
	echo = start(be_echo);
	middle = start(be_middle);
	close(down[1]);
	close(up[0]);
	check(write(packets[1], "one", 3) == 3);
	check(write(packets[1], "other", 5) == 5);
	close(packets[1]);
	await_full();
}

static void expect_end(pid_t pid, int code)
{
	int status;

	check(waitpid(pid, &status, 0) == pid);
	check(WIFEXITED(status) && WEXITSTATUS(status) == code);
}

static void verify(void)
{
	char data[4096];
	size_t done = 0;
	ssize_t got;
	int status;

	check(read(packets[0], data, 100) == 3);
	check(read(packets[0], data, 100) == 5);
	check(write(up[1], "asked", 5) == 5);
	check(read(packets[0], data, 100) == 5 && !memcmp(data, "asked", 5));
	check(read(fifo, data, 100) == 4 && !memcmp(data, "fifo", 4));
	while (done < MUCH) {
		got = read(down[0], data, sizeof(data));
		check(got > 0);
		for (ssize_t i = 0; i < got; i++)
			check(data[i] == pattern(done + (size_t)i));
		done += (size_t)got;
	}
	expect_end(source, 11);
	/* The ends that the idle one has keep both of these open. */
	check(fcntl(down[0], F_SETFL, O_NONBLOCK) == 0);
	check(read(down[0], data, 1) < 0 && errno == EAGAIN);
	close(up[1]);
	check(waitpid(echo, &status, WNOHANG) == 0);
	check(kill(middle, SIGKILL) == 0);
	check(waitpid(middle, &status, 0) == middle && WIFSIGNALED(status));
	check(read(down[0], data, 1) == 0);
	expect_end(echo, 12);
	check(read(packets[0], data, 1) == 0);
	close(down[0]), close(packets[0]), close(fifo);
}

int main(void)
{
	return twice(prepare, verify);
}
