/* SPDX-License-Identifier: MIT */
/*
 * A thread in each system call that can block. None returns EINTR because of
 * a checkpoint or a restart, and a time-out ends after the time that was asked
 * for, by the program's monotonic clock.
 *
 *	blocked-calls kept	only what a restart brings back
 *	blocked-calls all	System V, sockets and a child too
 *	blocked-calls KIND NAME	that one alone
 *
 * BUILD: -lrt -Wno-missing-field-initializers
 */
#include "story.h"

#include <linux/aio_abi.h>
#include <linux/futex.h>
#include <mqueue.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>

#define SECONDS 4
#define SLACK 3.0

static const struct timespec rest = {SECONDS, 0};
static volatile int going; /* everybody has been parked and released */
static int ends[2], full[2], pair[2], event, unixes[2];
static sem_t semaphore, never;
static pthread_mutex_t held = PTHREAD_MUTEX_INITIALIZER;
static int locked_file, other_file;
static struct sockaddr_un address = {AF_UNIX, "socket"};

static struct timespec after(int clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	t.tv_sec += SECONDS;
	return t;
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Timed: 1 means that the time was over, without another error. */
static int do_nanosleep(void)
{
	return nanosleep(&rest, NULL) == 0;
}

static int do_clock_nanosleep(void)
{
	errno = clock_nanosleep(CLOCK_MONOTONIC, 0, &rest, NULL);
	return errno == 0;
}

static int do_clock_nanosleep_until(void)
{
	struct timespec end = after(CLOCK_MONOTONIC);

	errno = clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &end, NULL);
	return errno == 0;
}

static int do_poll(void)
{
	struct pollfd p = {pair[0], POLLIN, 0};

	return poll(&p, 1, SECONDS * 1000) == 0;
}

static int do_ppoll(void)
{
	struct pollfd p = {pair[0], POLLIN, 0};

	return ppoll(&p, 1, &rest, NULL) == 0;
}

static int do_select(void)
{
	struct timeval t = {SECONDS, 0};
	fd_set set;

	FD_ZERO(&set);
	FD_SET(pair[0], &set);
	return select(pair[0] + 1, &set, NULL, NULL, &t) == 0;
}

static int do_pselect(void)
{
	fd_set set;

	FD_ZERO(&set);
	FD_SET(pair[0], &set);
	return pselect(pair[0] + 1, &set, NULL, NULL, &rest, NULL) == 0;
}

static int empty_epoll(void)
{
	struct epoll_event e = {.events = EPOLLIN};
	int fd = epoll_create1(0);

	check(fd >= 0 && epoll_ctl(fd, EPOLL_CTL_ADD, pair[0], &e) == 0);
	return fd;
}

static int do_epoll_wait(void)
{
	struct epoll_event e;

	return epoll_wait(empty_epoll(), &e, 1, SECONDS * 1000) == 0;
}

static int do_epoll_pwait(void)
{
	struct epoll_event e;
	sigset_t set;

	sigemptyset(&set);
	return epoll_pwait(empty_epoll(), &e, 1, SECONDS * 1000, &set) == 0;
}

static int do_futex(void)
{
	static uint32_t word;

	return syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 0, &rest) == -1 &&
	       errno == ETIMEDOUT;
}

static int do_futex_until(void)
{
	struct timespec end = after(CLOCK_MONOTONIC);
	static uint32_t word;

	return syscall(SYS_futex, &word, FUTEX_WAIT_BITSET_PRIVATE, 0, &end,
		       NULL, FUTEX_BITSET_MATCH_ANY) == -1 &&
	       errno == ETIMEDOUT;
}

static int do_sem_clockwait(void)
{
	struct timespec end = after(CLOCK_MONOTONIC);

	return sem_clockwait(&never, CLOCK_MONOTONIC, &end) == -1 &&
	       errno == ETIMEDOUT;
}

static int do_cond_timedwait(void)
{
	pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	struct timespec end = after(CLOCK_MONOTONIC);
	pthread_condattr_t a;
	pthread_cond_t cond;

	pthread_condattr_init(&a);
	pthread_condattr_setclock(&a, CLOCK_MONOTONIC);
	pthread_cond_init(&cond, &a);
	pthread_mutex_lock(&lock);
	do
		errno = pthread_cond_timedwait(&cond, &lock, &end);
	while (errno == 0);
	return errno == ETIMEDOUT;
}

static int do_mutex_clocklock(void)
{
	struct timespec end = after(CLOCK_MONOTONIC);

	errno = pthread_mutex_clocklock(&held, CLOCK_MONOTONIC, &end);
	return errno == ETIMEDOUT;
}

static int do_sigtimedwait(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGWINCH);
	return sigtimedwait(&set, NULL, &rest) == -1 && errno == EAGAIN;
}

static int do_timerfd(void)
{
	struct itimerspec t = {{0, 0}, rest};
	int fd = timerfd_create(CLOCK_MONOTONIC, 0);
	uint64_t ticks = 0;

	check(fd >= 0 && timerfd_settime(fd, 0, &t, NULL) == 0);
	return read(fd, &ticks, 8) == 8 && ticks == 1;
}

static int do_recv_timeo(void)
{
	struct timeval t = {SECONDS, 0};
	int two[2];
	char byte;

	check(socketpair(AF_UNIX, SOCK_STREAM, 0, two) == 0);
	check(setsockopt(two[0], SOL_SOCKET, SO_RCVTIMEO, &t, sizeof(t)) == 0);
	return recv(two[0], &byte, 1, 0) == -1 && errno == EAGAIN;
}

static int do_semtimedop(void)
{
	struct sembuf down = {0, -1, 0};
	int id = semget(IPC_PRIVATE, 1, 0600), ret;

	check(id >= 0);
	ret = semtimedop(id, &down, 1, &rest) == -1 && errno == EAGAIN;
	semctl(id, 0, IPC_RMID);
	return ret;
}

static int do_io_getevents(void)
{
	struct timespec t = rest;
	aio_context_t context = 0;
	struct io_event e;

	check(syscall(SYS_io_setup, 4, &context) == 0);
	return syscall(SYS_io_getevents, context, 1, 1, &e, &t) == 0;
}

/* With a time of day: it may be over sooner, a dead program's time runs. */
static int do_sem_timedwait(void)
{
	struct timespec end = after(CLOCK_REALTIME);

	return sem_timedwait(&never, &end) == -1 && errno == ETIMEDOUT;
}

static int do_mq_timedreceive(void)
{
	struct mq_attr a = {.mq_maxmsg = 1, .mq_msgsize = 8};
	struct timespec end = after(CLOCK_REALTIME);
	char name[32], text[8];
	int ret;
	mqd_t q;

	snprintf(name, sizeof(name), "/ckpt-story-%d", getpid());
	q = mq_open(name, O_RDWR | O_CREAT | O_EXCL, 0600, &a);
	check(q >= 0);
	mq_unlink(name);
	ret = mq_timedreceive(q, text, 8, NULL, &end) == -1 &&
	      errno == ETIMEDOUT;
	mq_close(q);
	return ret;
}

/* Without a time-out: each returns when main() has let it. */
static int do_read_pipe(void)
{
	char byte;

	return read(ends[0], &byte, 1) == 1 && going;
}

static int do_write_pipe(void)
{
	return write(full[1], "x", 1) == 1 && going;
}

static int do_eventfd(void)
{
	uint64_t count;

	return read(event, &count, 8) == 8 && going;
}

static int do_sem_wait(void)
{
	return sem_wait(&semaphore) == 0 && going;
}

static int do_mutex(void)
{
	if (pthread_mutex_lock(&held))
		return 0;
	pthread_mutex_unlock(&held);
	return going;
}

static int do_epoll_forever(void)
{
	struct epoll_event e = {.events = EPOLLIN};
	int fd = epoll_create1(0);

	check(fd >= 0 && epoll_ctl(fd, EPOLL_CTL_ADD, event, &e) == 0);
	return epoll_wait(fd, &e, 1, -1) == 1 && going;
}

static int do_sigwait(void)
{
	int signal = 0;
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	errno = sigwait(&set, &signal);
	return errno == 0 && signal == SIGUSR1 && going;
}

/* These two end with EINTR, but by the program's own signal. */
static int do_sigsuspend(void)
{
	sigset_t set;

	sigfillset(&set);
	sigdelset(&set, SIGUSR2);
	return sigsuspend(&set) == -1 && errno == EINTR && going;
}

static int do_pause(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);
	return pause() == -1 && errno == EINTR && going;
}

static int do_flock(void)
{
	return flock(other_file, LOCK_EX) == 0 && going;
}

static int do_setlkw(void)
{
	struct flock lock = {.l_type = F_WRLCK,
			     .l_whence = SEEK_SET,
			     .l_start = 10,
			     .l_len = 1};

	return fcntl(other_file, F_OFD_SETLKW, &lock) == 0 && going;
}

static int do_open_fifo(void)
{
	int fd = open("fifo", O_RDONLY);

	return fd >= 0 && going;
}

static int do_recv(void)
{
	char byte;

	return recv(unixes[0], &byte, 1, 0) == 1 && going;
}

static int listening(const char *name, int backlog)
{
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	strcpy(address.sun_path, name);
	unlink(name);
	check(fd >= 0);
	check(bind(fd, (void *)&address, sizeof(address)) == 0);
	check(listen(fd, backlog) == 0);
	return fd;
}

static int accepting, crowded;

static int do_accept(void)
{
	return accept(accepting, NULL, NULL) >= 0 && going;
}

static int do_connect(void)
{
	struct sockaddr_un to = {AF_UNIX, "crowded"};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	return connect(fd, (void *)&to, sizeof(to)) == 0 && going;
}

static int queue;

static int do_msgrcv(void)
{
	struct {
		long type;
		char text[8];
	} m;

	return msgrcv(queue, &m, sizeof(m.text), 0, 0) == 1 && going;
}

static pid_t child;
static int childs_pipe[2];

static int do_wait4(void)
{
	int status;

	return wait4(child, &status, 0, NULL) == child && WIFEXITED(status) &&
	       going;
}

enum { UNTIMED, TIMED, DATED };
enum { KEPT, MORE };

static struct call {
	const char *name;
	int (*run)(void);
	int timed, kept;
	pthread_t thread;
	volatile pid_t tid;
	double start, end;
	int ok, error;
} calls[] = {
	{"nanosleep", do_nanosleep, TIMED, KEPT},
	{"clock_nanosleep", do_clock_nanosleep, TIMED, KEPT},
	{"clock_nanosleep-until", do_clock_nanosleep_until, TIMED, KEPT},
	{"poll", do_poll, TIMED, KEPT},
	{"ppoll", do_ppoll, TIMED, KEPT},
	{"select", do_select, TIMED, KEPT},
	{"pselect", do_pselect, TIMED, KEPT},
	{"epoll_wait", do_epoll_wait, TIMED, KEPT},
	{"epoll_pwait", do_epoll_pwait, TIMED, KEPT},
	{"futex", do_futex, TIMED, KEPT},
	{"futex-until", do_futex_until, TIMED, KEPT},
	{"sem_clockwait", do_sem_clockwait, TIMED, KEPT},
	{"cond_timedwait", do_cond_timedwait, TIMED, KEPT},
	{"mutex_clocklock", do_mutex_clocklock, TIMED, KEPT},
	{"sigtimedwait", do_sigtimedwait, TIMED, KEPT},
	{"timerfd", do_timerfd, TIMED, KEPT},
	{"sem_timedwait", do_sem_timedwait, DATED, KEPT},
	{"read-pipe", do_read_pipe, UNTIMED, KEPT},
	{"write-pipe", do_write_pipe, UNTIMED, KEPT},
	{"read-eventfd", do_eventfd, UNTIMED, KEPT},
	{"sem_wait", do_sem_wait, UNTIMED, KEPT},
	{"mutex", do_mutex, UNTIMED, KEPT},
	{"epoll_wait-forever", do_epoll_forever, UNTIMED, KEPT},
	{"sigwait", do_sigwait, UNTIMED, KEPT},
	{"sigsuspend", do_sigsuspend, UNTIMED, KEPT},
	{"pause", do_pause, UNTIMED, KEPT},
	{"flock", do_flock, UNTIMED, KEPT},
	{"fcntl-setlkw", do_setlkw, UNTIMED, KEPT},
	{"open-fifo", do_open_fifo, UNTIMED, KEPT},
	{"recv-rcvtimeo", do_recv_timeo, TIMED, MORE},
	{"semtimedop", do_semtimedop, TIMED, MORE},
	{"io_getevents", do_io_getevents, TIMED, MORE},
	{"mq_timedreceive", do_mq_timedreceive, DATED, MORE},
	{"recv", do_recv, UNTIMED, MORE},
	{"accept", do_accept, UNTIMED, MORE},
	{"connect", do_connect, UNTIMED, MORE},
	{"msgrcv", do_msgrcv, UNTIMED, MORE},
	{"wait4", do_wait4, UNTIMED, MORE},
};
#define COUNT (sizeof(calls) / sizeof(*calls))

static void *run(void *arg)
{
	struct call *c = arg;

	c->start = now();
	c->tid = (pid_t)syscall(SYS_gettid);
	errno = 0;
	c->ok = c->run();
	c->error = errno;
	c->end = now();
	return NULL;
}

static void nothing(int signal)
{
	(void)signal;
}

static void wait_until_asleep(pid_t tid)
{
	char path[64], text[64] = "";

	snprintf(path, sizeof(path), "/proc/self/task/%d/syscall", tid);
	do {
		int fd = open(path, O_RDONLY | O_CLOEXEC);
		ssize_t got = fd >= 0 ? read(fd, text, sizeof(text) - 1) : -1;

		close(fd);
		if (got <= 0)
			return; /* not to be read, or over already */
		text[got] = 0;
		sched_yield();
	} while (!strncmp(text, "running", 7));
}

static void prepare(int more)
{
	struct flock lock = {.l_type = F_WRLCK,
			     .l_whence = SEEK_SET,
			     .l_start = 10,
			     .l_len = 1};
	struct sigaction action = {.sa_handler = nothing};
	static const char page[4096];
	sigset_t set;

	/* A child of fork() has none of the threads: first of all. */
	if (more) {
		char byte;

		check(pipe2(childs_pipe, O_CLOEXEC) == 0);
		child = fork();
		check(child >= 0);
		if (child == 0) {
			close(childs_pipe[1]);
			_exit(read(childs_pipe[0], &byte, 1) != 0);
		}
		close(childs_pipe[0]);
		check(socketpair(AF_UNIX, SOCK_STREAM, 0, unixes) == 0);
		accepting = listening("accepting", 5);
		crowded = listening("crowded", 0);
		check(connect(socket(AF_UNIX, SOCK_STREAM, 0), (void *)&address,
			      sizeof(address)) == 0);
		queue = msgget(IPC_PRIVATE, 0600);
		check(queue >= 0);
	}
	check(pipe(ends) == 0 && pipe(full) == 0 && pipe(pair) == 0);
	check(fcntl(full[1], F_SETFL, O_NONBLOCK) == 0);
	while (write(full[1], page, sizeof(page)) > 0)
		;
	check(fcntl(full[1], F_SETFL, 0) == 0);
	event = eventfd(0, EFD_SEMAPHORE);
	check(event >= 0);
	sem_init(&semaphore, 0, 0);
	sem_init(&never, 0, 0);
	pthread_mutex_lock(&held);
	locked_file = open("locked", O_RDWR | O_CREAT, 0600);
	other_file = open("locked", O_RDWR);
	check(locked_file >= 0 && other_file >= 0);
	check(flock(locked_file, LOCK_EX) == 0);
	check(fcntl(locked_file, F_OFD_SETLK, &lock) == 0);
	unlink("fifo");
	check(mkfifo("fifo", 0600) == 0);
	sigaction(SIGUSR2, &action, NULL);
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGUSR2);
	sigaddset(&set, SIGWINCH);
	sigprocmask(SIG_BLOCK, &set, NULL);
}

static void let_go(const struct call *c)
{
	static const struct {
		long type;
		char text[1];
	} message = {1, "x"};
	char drained[4096];

	if (c->run == do_read_pipe)
		check(write(ends[1], "x", 1) == 1);
	else if (c->run == do_write_pipe)
		check(read(full[0], drained, sizeof(drained)) > 0);
	else if (c->run == do_eventfd || c->run == do_epoll_forever)
		check(write(event, &(uint64_t){2}, 8) == 8);
	else if (c->run == do_sem_wait)
		sem_post(&semaphore);
	else if (c->run == do_mutex)
		pthread_mutex_unlock(&held);
	else if (c->run == do_sigwait)
		pthread_kill(c->thread, SIGUSR1);
	else if (c->run == do_sigsuspend || c->run == do_pause)
		pthread_kill(c->thread, SIGUSR2);
	else if (c->run == do_flock)
		check(flock(locked_file, LOCK_UN) == 0);
	else if (c->run == do_setlkw) {
		struct flock lock = {.l_type = F_UNLCK,
				     .l_whence = SEEK_SET,
				     .l_start = 10,
				     .l_len = 1};

		check(fcntl(locked_file, F_OFD_SETLK, &lock) == 0);
	} else if (c->run == do_open_fifo)
		check(open("fifo", O_WRONLY) >= 0);
	else if (c->run == do_recv)
		check(write(unixes[1], "x", 1) == 1);
	else if (c->run == do_accept) {
		strcpy(address.sun_path, "accepting");
		check(connect(socket(AF_UNIX, SOCK_STREAM, 0), (void *)&address,
			      sizeof(address)) == 0);
	} else if (c->run == do_connect)
		check(accept(crowded, NULL, NULL) >= 0);
	else if (c->run == do_msgrcv)
		check(msgsnd(queue, &message, 1, 0) == 0);
	else if (c->run == do_wait4)
		close(childs_pipe[1]);
}

int main(int argc, char **argv)
{
	int more = argc > 1 && !strcmp(argv[1], "all"), bad = 0;
	const char *only = argc > 2 ? argv[2] : NULL;

	prepare(more);
	for (struct call *c = calls; c < calls + COUNT; c++) {
		if ((c->kept == MORE && !more) ||
		    (only && strcmp(only, c->name)))
			continue;
		errno = pthread_create(&c->thread, NULL, run, c);
		check(errno == 0);
		while (!c->tid)
			sched_yield();
		wait_until_asleep(c->tid);
	}
	story_ready();
	going = 1;
	/* The one who holds a lock lets go when whoever waits with a time-out
	 * for the same has given up. */
	for (int timed = DATED; timed >= UNTIMED; timed--)
		for (struct call *c = calls; c < calls + COUNT; c++) {
			double took;

			if (c->timed != timed || !c->tid)
				continue;
			if (timed == UNTIMED)
				let_go(c);
			pthread_join(c->thread, NULL);
			took = c->end - c->start;
			if (c->ok &&
			    (timed != TIMED || (took >= SECONDS - 0.01 &&
						took < SECONDS + SLACK)))
				continue;
			bad++;
			dprintf(2, "%s: %s, errno %d (%s), after %.3f s\n",
				c->name, c->ok ? "right" : "wrong", c->error,
				strerror(c->error), took);
		}
	if (more)
		msgctl(queue, IPC_RMID, NULL);
	check(bad == 0);
	return 0;
}
