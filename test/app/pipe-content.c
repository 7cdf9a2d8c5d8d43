/* SPDX-License-Identifier: MIT */
/*
 * Pipes within a program: content, capacity, packets, ends that are closed; a
 * FIFO.
 */
#include "twice.h"

#include <pthread.h>
#include <signal.h>
#include <sys/stat.h>

static int full[2], packets[2], ended[2], broken[2], blocked[2], reader, writer;
static char in[150000], out[150000];
static pthread_t thread;

static void *write_much(void *arg)
{
	size_t done = 0;

	(void)arg;
	while (done < sizeof(in)) {
		ssize_t ret = write(blocked[1], in + done, sizeof(in) - done);

		check(ret > 0);
		done += (size_t)ret;
	}
	return NULL;
}

static void prepare(void)
{
	size_t i;

	for (i = 0; i < sizeof(in); i++)
		in[i] = (char)(i * 11 + i / 1001);
	check(pipe2(full, O_NONBLOCK) == 0);
	check(fcntl(full[1], F_SETPIPE_SZ, 262144) == 262144);
	check(write(full[1], in, sizeof(in)) == sizeof(in));
	check(pipe2(packets, O_DIRECT | O_CLOEXEC) == 0);
	check(write(packets[1], "one", 3) == 3);
	check(write(packets[1], "other", 5) == 5);
	check(pipe(ended) == 0 && write(ended[1], "end", 3) == 3);
	close(ended[1]);
	check(pipe(broken) == 0);
	close(broken[0]);
	check(pipe(blocked) == 0);
	check(pthread_create(&thread, NULL, write_much, NULL) == 0);
	check(mkfifo("fifo", 0600) == 0 || errno == EEXIST);
	reader = open("fifo", O_RDONLY | O_NONBLOCK);
	writer = open("fifo", O_WRONLY);
	check(reader >= 0 && writer >= 0 && write(writer, "f", 1) == 1);
}

static void read_all(int fd)
{
	size_t done = 0;

	while (done < sizeof(out)) {
		ssize_t ret = read(fd, out + done, sizeof(out) - done);

		check(ret > 0);
		done += (size_t)ret;
	}
	check(memcmp(in, out, sizeof(in)) == 0);
}

static void verify(void)
{
	signal(SIGPIPE, SIG_IGN);
	check(fcntl(full[0], F_GETPIPE_SZ) == 262144);
	read_all(full[0]);
	check(read(full[0], out, 1) < 0 && errno == EAGAIN);
	check(read(packets[0], out, 100) == 3);
	check(read(packets[0], out, 100) == 5);
	check(read(ended[0], out, 100) == 3 && read(ended[0], out, 100) == 0);
	check(write(broken[1], "x", 1) < 0 && errno == EPIPE);
	read_all(blocked[0]);
	check(pthread_join(thread, NULL) == 0);
	check(read(reader, out, 100) == 1 && *out == 'f');
	close(writer);
	check(read(reader, out, 100) == 0);
	close(reader);
	close(full[0]), close(full[1]);
	close(packets[0]), close(packets[1]);
	close(blocked[0]), close(blocked[1]);
	close(ended[0]), close(broken[1]);
}

int main(void)
{
	return twice(prepare, verify);
}
