/* SPDX-License-Identifier: MIT */
/*
 * Event objects that a parent and its child share: what one does to an epoll,
 * eventfd, timerfd, signalfd, inotify or memfd the other one sees; pidfds of
 * each other, of a grandchild and of a child that has ended; what an epoll
 * waits for though only one of them has it.
 */
#include "tree.h"

#include <poll.h>
#include <sys/prctl.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>

enum { COUNTER, TIMER, SIGNALS, WATCHES, PIPE, CHILD, DEAD, LOST, COUNT };

static int set, outer, later, counter, timer, signals, watches, words[2], memory;
static int of_child, of_parent, of_zombie, of_dead, lost[2], talk[2];
static pid_t child, zombie;

static void add(int to, int fd, uint64_t data)
{
	struct epoll_event event = {EPOLLIN, {.u64 = data}};

	check(epoll_ctl(to, EPOLL_CTL_ADD, fd, &event) == 0);
}

static int pidfd(pid_t pid)
{
	int fd = (int)syscall(SYS_pidfd_open, pid, 0);

	check(fd >= 0);
	return fd;
}

/* All that is ready, as a set of bits. */
static unsigned ready(int from)
{
	struct epoll_event got[16];
	unsigned bits = 0;
	int i, n = epoll_wait(from, got, 16, 0);

	check(n >= 0);
	for (i = 0; i < n; i++)
		bits |= 1u << got[i].data.u64;
	return bits;
}

static int has_ended(int fd)
{
	struct pollfd p = {fd, POLLIN, 0};

	check(poll(&p, 1, 0) >= 0);
	return (p.revents & POLLIN) != 0;
}

static void say(char word)
{
	check(write(talk[child == 0], &word, 1) == 1);
}

static void hear(char word)
{
	char got = 0;

	check(read(talk[child == 0], &got, 1) == 1 && got == word);
}

static void prepare(void)
{
	struct itimerspec far = {{1, 0}, {7777, 0}};
	sigset_t mask;
	pid_t dead;

	check(socketpair(AF_UNIX, SOCK_STREAM, 0, talk) == 0);
	check(pipe(words) == 0 && pipe(lost) == 0);
	set = epoll_create1(EPOLL_CLOEXEC);
	outer = epoll_create1(0);
	counter = eventfd(0, EFD_NONBLOCK | EFD_SEMAPHORE);
	timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
	check(timerfd_settime(timer, 0, &far, NULL) == 0);
	sigemptyset(&mask);
	sigaddset(&mask, SIGUSR1);
	check(sigprocmask(SIG_BLOCK, &mask, NULL) == 0);
	signals = signalfd(-1, &mask, SFD_NONBLOCK);
	watches = inotify_init1(IN_NONBLOCK);
	check(inotify_add_watch(watches, ".", IN_CREATE) == 1);
	memory = memfd_create("shared", 0);
	check(write(memory, "content", 7) == 7);
	dead = fork();
	check(dead >= 0);
	if (dead == 0)
		_exit(0);
	of_dead = pidfd(dead);
	check(waitpid(dead, NULL, 0) == dead);
	zombie = fork();
	check(zombie >= 0);
	if (zombie == 0)
		_exit(33);
	of_zombie = pidfd(zombie);
	check(waitid(P_PID, zombie, NULL, WEXITED | WNOWAIT) == 0);
	of_parent = pidfd(getpid());
	add(set, counter, COUNTER);
	add(set, timer, TIMER);
	add(set, signals, SIGNALS);
	add(set, watches, WATCHES);
	add(set, words[0], PIPE);
	add(outer, set, 1);
	child = fork();
	check(child >= 0);
	if (child == 0) {
		later = eventfd(0, 0);
		add(set, later, LOST); /* which the parent has not */
		add(set, of_dead, DEAD);
		close(memory), memory = -1;
		check(prctl(PR_SET_PDEATHSIG, SIGKILL) == 0);
		close(talk[0]);
		say('r');
		return;
	}
	close(talk[1]);
	of_child = pidfd(child);
	add(set, of_child, CHILD); /* which the child has not */
	hear('r');
}

static void verify_child(void)
{
	struct signalfd_siginfo info;
	eventfd_t count;

	hear('a');
	check(eventfd_read(counter, &count) == 0 && count == 1);
	check(ready(set) == (1 << DEAD | 1 << COUNTER));
	check(eventfd_read(counter, &count) == 0);
	check(ready(set) == 1 << DEAD);
	check(!has_ended(of_parent) && has_ended(of_dead));
	check(eventfd_write(later, 1) == 0);
	say('b');
	hear('c');
	check(raise(SIGUSR1) == 0);
	check(read(signals, &info, sizeof(info)) == sizeof(info));
	check((pid_t)info.ssi_pid == getpid());
	check(syscall(SYS_pidfd_send_signal, of_parent, SIGUSR1, NULL, 0) == 0);
	check(write(words[1], "w", 1) == 1);
	say('d');
	hear('e');
	_exit(44);
}

static void verify(void)
{
	struct signalfd_siginfo info;
	struct itimerspec left;
	char text[300], name[] = "seen";
	siginfo_t died;
	struct stat st;

	if (child == 0)
		verify_child();
	check(eventfd_write(counter, 2) == 0);
	say('a');
	hear('b');
	check(ready(outer) == 1 << 1);
	check(ready(set) == (1 << DEAD | 1 << LOST));
	say('c');
	hear('d');
	check((ready(set) & (1 << PIPE | 1 << SIGNALS)) ==
	      (1 << PIPE | 1 << SIGNALS));
	check(read(words[0], text, 1) == 1);
	check(read(signals, &info, sizeof(info)) == sizeof(info));
	check((pid_t)info.ssi_pid == child);
	check(close(open(name, O_CREAT | O_RDWR, 0600)) == 0);
	check(ready(set) & 1 << WATCHES);
	check(read(watches, text, sizeof(text)) > 0 && unlink(name) == 0);
	check(timerfd_gettime(timer, &left) == 0);
	check(left.it_value.tv_sec > 7000 && left.it_interval.tv_sec == 1);
	check(fstat(memory, &st) == 0 && st.st_size == 7);
	check(has_ended(of_zombie) && has_ended(of_dead) && !has_ended(of_child));
	check(waitid(P_PIDFD, (id_t)of_zombie, &died, WEXITED) == 0);
	check(died.si_pid == zombie && died.si_status == 33);
	say('e');
	check(waitid(P_PIDFD, (id_t)of_child, &died, WEXITED) == 0);
	check(died.si_pid == child && died.si_status == 44);
	check(ready(set) & 1 << CHILD);
	close(set), close(outer), close(counter), close(timer), close(signals);
	close(watches), close(words[0]), close(words[1]), close(memory);
	close(of_child), close(of_parent), close(of_zombie), close(of_dead);
	close(lost[0]), close(lost[1]), close(talk[0]);
}

int main(void)
{
	int round;

	for (round = 0; round < 2; round++) {
		prepare();
		if (child)
			story_ready();
		verify();
	}
	return 0;
}
