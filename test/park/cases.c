/* SPDX-License-Identifier: MIT */
/*
 * park-cases NAME: a program in one inconvenient place, run under park-bench,
 * which stops it many times meanwhile. Exit status 0: it has noticed nothing.
 * Without a name: the list of them.
 *
 * Time-outs: what is measured from outside is the time-out plus the time that
 * everything stood still, because a relative one keeps what was left.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/aio_abi.h>
#include <linux/futex.h>
#include <malloc.h>
#include <mqueue.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <pty.h>
#include <semaphore.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <threads.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#include "park/bench.h"

#define SLEEP_MS 300
#define SLACK_MS 60
#define LATE_MS 1000 /* the machine may be busy */

static struct bench *bench;

#define check(condition)                                                       \
	do {                                                                   \
		if (!(condition)) {                                            \
			fprintf(stderr, "line %d: %s (errno %d %s)\n",         \
				__LINE__, #condition, errno, strerror(errno)); \
			_exit(1);                                              \
		}                                                              \
	} while (0)

static double now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static double stopped_ms(void)
{
	return bench ? (double)__atomic_load_n(&bench->stopped_ns,
					       __ATOMIC_SEQ_CST) /
			       1e6
		     : 0;
}

static void map_bench(void)
{
	const char *dir = getenv("CKPT_GROUP_DIR");
	struct registry_header *r;
	char path[200];
	int fd;

	if (!dir)
		return;
	snprintf(path, sizeof(path), "%s/registry", dir);
	fd = open(path, O_RDWR);
	check(fd >= 0);
	r = mmap(NULL, REGISTRY_HEADER, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
		 0);
	close(fd);
	bench = bench_of(r);
}

/* ---- calls with a relative time-out: each is made once, and must take its
 * time and say that the time is over */

static double began, stopped_before;

static void begin(void)
{
	began = now_ms();
	stopped_before = stopped_ms();
}

static void took(double timeout)
{
	double elapsed = now_ms() - began;
	double stood = stopped_ms() - stopped_before;

	/* A stop that has not quite ended is not in the sum. One that starts
	 * the whole time-out again and again never ends. */
	if (elapsed < timeout - 0.5 || elapsed < timeout + stood - SLACK_MS ||
	    elapsed > timeout + stood + LATE_MS) {
		fprintf(stderr, "took %.1f ms, of %.1f + %.1f stopped\n",
			elapsed, timeout, stood);
		_exit(1);
	}
}

static const struct timespec spec = {0, SLEEP_MS * 1000000};

static void do_nanosleep(void)
{
	begin();
	check(syscall(SYS_nanosleep, &spec, NULL) == 0);
	took(SLEEP_MS);
}

static void do_nanosleep_rest(void)
{
	struct timespec rest = {7, 7};

	begin();
	check(nanosleep(&spec, &rest) == 0);
	took(SLEEP_MS);
}

static void do_nanosleep_same(void)
{
	struct timespec t = spec;

	begin();
	check(syscall(SYS_nanosleep, &t, &t) == 0);
	took(SLEEP_MS);
}

static void do_clock_nanosleep(void)
{
	begin();
	check(clock_nanosleep(CLOCK_MONOTONIC, 0, &spec, NULL) == 0);
	took(SLEEP_MS);
}

static void do_clock_nanosleep_absolute(void)
{
	struct timespec t;
	double start = now_ms();

	clock_gettime(CLOCK_MONOTONIC, &t);
	t.tv_nsec += SLEEP_MS * 1000000;
	if (t.tv_nsec >= 1000000000) {
		t.tv_sec++;
		t.tv_nsec -= 1000000000;
	}
	check(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) == 0);
	check(now_ms() - start >= SLEEP_MS - 1);
	check(now_ms() - start <= SLEEP_MS + LATE_MS);
}

static void do_usleep(void)
{
	begin();
	check(usleep(SLEEP_MS * 1000) == 0);
	took(SLEEP_MS);
}

static void do_sleep(void)
{
	begin();
	check(sleep(1) == 0);
	took(1000);
}

static void do_poll(void)
{
	int fds[2];
	struct pollfd p = {.events = POLLIN};

	check(pipe(fds) == 0);
	p.fd = fds[0];
	begin();
	check(poll(&p, 1, SLEEP_MS) == 0);
	took(SLEEP_MS);
}

static void do_ppoll(void)
{
	struct timespec t = spec;
	sigset_t none;

	sigemptyset(&none);
	begin();
	check(ppoll(NULL, 0, &t, &none) == 0);
	took(SLEEP_MS);
	check(t.tv_nsec == spec.tv_nsec);
}

static void do_select(void)
{
	struct timeval t = {0, SLEEP_MS * 1000};

	begin();
	check(select(0, NULL, NULL, NULL, &t) == 0);
	took(SLEEP_MS);
}

static void do_select_raw(void)
{
	struct timeval t = {0, SLEEP_MS * 1000};

	begin();
	check(syscall(SYS_select, 0, NULL, NULL, NULL, &t) == 0);
	took(SLEEP_MS);
}

static void do_pselect(void)
{
	sigset_t none;

	sigemptyset(&none);
	begin();
	check(pselect(0, NULL, NULL, NULL, &spec, &none) == 0);
	took(SLEEP_MS);
}

static void do_epoll_wait(void)
{
	struct epoll_event e;
	int fd = epoll_create1(0);

	begin();
	check(epoll_wait(fd, &e, 1, SLEEP_MS) == 0);
	took(SLEEP_MS);
}

static void do_epoll_pwait(void)
{
	struct epoll_event e;
	sigset_t none;
	int fd = epoll_create1(0);

	sigemptyset(&none);
	begin();
	check(epoll_pwait(fd, &e, 1, SLEEP_MS, &none) == 0);
	took(SLEEP_MS);
}

static void do_epoll_pwait2(void)
{
	struct epoll_event e;
	int fd = epoll_create1(0), ret;

	begin();
	ret = (int)syscall(SYS_epoll_pwait2, fd, &e, 1, &spec, NULL, 8);
	if (ret < 0 && errno == ENOSYS)
		return;
	check(ret == 0);
	took(SLEEP_MS);
}

static void do_futex(void)
{
	int word = 1;

	begin();
	check(syscall(SYS_futex, &word, FUTEX_WAIT, 1, &spec, NULL, 0) == -1 &&
	      errno == ETIMEDOUT);
	took(SLEEP_MS);
}

static struct timespec in_ms(clockid_t clock, long ms)
{
	struct timespec t;

	clock_gettime(clock, &t);
	t.tv_nsec += ms * 1000000;
	t.tv_sec += t.tv_nsec / 1000000000;
	t.tv_nsec %= 1000000000;
	return t;
}

static void do_sem_timedwait(void)
{
	struct timespec t = in_ms(CLOCK_REALTIME, SLEEP_MS);
	sem_t sem;

	sem_init(&sem, 0, 0);
	check(sem_timedwait(&sem, &t) == -1 && errno == ETIMEDOUT);
}

static void do_cond_timedwait(void)
{
	struct timespec t = in_ms(CLOCK_REALTIME, SLEEP_MS);
	pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
	pthread_cond_t cond = PTHREAD_COND_INITIALIZER;

	pthread_mutex_lock(&mutex);
	check(pthread_cond_timedwait(&cond, &mutex, &t) == ETIMEDOUT);
	pthread_mutex_unlock(&mutex);
}

static void do_sigtimedwait(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, NULL);
	begin();
	check(sigtimedwait(&set, NULL, &spec) == -1 && errno == EAGAIN);
	took(SLEEP_MS);
}

static void do_semtimedop(void)
{
	int id = semget(IPC_PRIVATE, 1, 0600);
	struct sembuf take = {0, -1, 0};

	check(id >= 0);
	begin();
	check(semtimedop(id, &take, 1, &spec) == -1 && errno == EAGAIN);
	took(SLEEP_MS);
	semctl(id, 0, IPC_RMID);
}

static void do_recv_timeout(void)
{
	struct timeval t = {0, SLEEP_MS * 1000};
	char byte;
	int fds[2];

	check(socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0);
	setsockopt(fds[0], SOL_SOCKET, SO_RCVTIMEO, &t, sizeof(t));
	begin();
	check(recv(fds[0], &byte, 1, 0) == -1 && errno == EAGAIN);
	took(SLEEP_MS);
	begin();
	check(read(fds[0], &byte, 1) == -1 && errno == EAGAIN);
	took(SLEEP_MS);
}

static int listening(struct sockaddr_in *addr)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	socklen_t length = sizeof(*addr);

	memset(addr, 0, sizeof(*addr));
	addr->sin_family = AF_INET;
	addr->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	check(bind(fd, (void *)addr, sizeof(*addr)) == 0);
	check(listen(fd, 1) == 0);
	check(getsockname(fd, (void *)addr, &length) == 0);
	return fd;
}

static void do_accept_timeout(void)
{
	struct timeval t = {0, SLEEP_MS * 1000};
	struct sockaddr_in addr;
	int fd = listening(&addr);

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof(t));
	begin();
	check(accept(fd, NULL, NULL) == -1 && errno == EAGAIN);
	took(SLEEP_MS);
}

static void do_send_timeout(void)
{
	struct timeval t = {0, SLEEP_MS * 1000};
	char block[4096] = "";
	int fds[2];

	check(socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0);
	while (send(fds[0], block, sizeof(block), MSG_DONTWAIT) > 0)
		;
	setsockopt(fds[0], SOL_SOCKET, SO_SNDTIMEO, &t, sizeof(t));
	begin();
	check(send(fds[0], block, sizeof(block), 0) == -1 && errno == EAGAIN);
	took(SLEEP_MS);
}

static void do_mq_timedreceive(void)
{
	struct mq_attr attr = {.mq_maxmsg = 1, .mq_msgsize = 8};
	struct timespec t = in_ms(CLOCK_REALTIME, SLEEP_MS);
	char name[32], message[8];
	mqd_t q;

	snprintf(name, sizeof(name), "/park-%d", getpid());
	q = mq_open(name, O_RDWR | O_CREAT, 0600, &attr);
	if (q == (mqd_t)-1 && errno == ENOSYS)
		return;
	check(q != (mqd_t)-1);
	mq_unlink(name);
	check(mq_timedreceive(q, message, 8, NULL, &t) == -1 &&
	      errno == ETIMEDOUT);
}

static void do_io_getevents(void)
{
	struct timespec t = spec;
	aio_context_t context = 0;
	struct io_event e;

	if (syscall(SYS_io_setup, 1, &context) < 0)
		return;
	begin();
	check(syscall(SYS_io_getevents, context, 1, 1, &e, &t) == 0);
	took(SLEEP_MS);
}

static atomic_int stop_now;
static void run_threads(void *(*run)(void *), int count, double ms);

/* ---- calls that wait for something, which comes after a while */

static void *later_run(void *run)
{
	struct timespec t = {0, SLEEP_MS * 1000000};

	while (clock_nanosleep(CLOCK_MONOTONIC, 0, &t, &t))
		;
	((void (*)(void))run)();
	return NULL;
}

static void later(void (*run)(void))
{
	pthread_t thread;

	check(pthread_create(&thread, NULL, later_run, (void *)run) == 0);
	pthread_detach(thread);
}

static int a_pipe[2];
static pthread_t main_thread;

static void write_pipe(void)
{
	check(write(a_pipe[1], "x", 1) == 1);
}

static void do_read_pipe(void)
{
	char c;

	check(pipe(a_pipe) == 0);
	later(write_pipe);
	check(read(a_pipe[0], &c, 1) == 1 && c == 'x');
}

static void do_poll_pipe(void)
{
	struct pollfd p = {.events = POLLIN};

	check(pipe(a_pipe) == 0);
	p.fd = a_pipe[0];
	later(write_pipe);
	check(poll(&p, 1, -1) == 1);
}

static void do_epoll_pipe(void)
{
	struct epoll_event e = {.events = EPOLLIN};
	int fd = epoll_create1(0);

	check(pipe(a_pipe) == 0);
	epoll_ctl(fd, EPOLL_CTL_ADD, a_pipe[0], &e);
	later(write_pipe);
	check(epoll_wait(fd, &e, 1, -1) == 1);
}

static void write_line(void)
{
	check(write(a_pipe[1], "line\n", 5) == 5);
}

static void do_read_tty(void)
{
	char line[16];

	check(openpty(&a_pipe[1], &a_pipe[0], NULL, NULL, NULL) == 0);
	later(write_line);
	check(read(a_pipe[0], line, sizeof(line)) == 5);
}

static atomic_int got;

static void on_signal(int signal)
{
	(void)signal;
	got++;
}

static void hit_main(void)
{
	pthread_kill(main_thread, SIGUSR1);
}

static void kill_process(void)
{
	kill(getpid(), SIGUSR1);
}

static void handle(int signal, int flags)
{
	struct sigaction action = {.sa_handler = on_signal, .sa_flags = flags};

	sigaction(signal, &action, NULL);
}

static void block(int how, int signal)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, signal);
	pthread_sigmask(how, &set, NULL);
}

static void do_pause(void)
{
	handle(SIGUSR1, 0);
	later(hit_main);
	check(pause() == -1 && errno == EINTR && got == 1);
}

static void do_sigsuspend(void)
{
	sigset_t none;

	sigemptyset(&none);
	handle(SIGUSR1, 0);
	block(SIG_BLOCK, SIGUSR1);
	later(hit_main);
	check(sigsuspend(&none) == -1 && errno == EINTR && got == 1);
	got = 0;
	later(kill_process);
	check(sigsuspend(&none) == -1 && errno == EINTR && got == 1);
}

static void do_sigwait(void)
{
	siginfo_t info;
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	block(SIG_BLOCK, SIGUSR1);
	later(hit_main);
	check(sigwaitinfo(&set, &info) == SIGUSR1 && info.si_pid == getpid());
}

/* The program's own signals interrupt what they would interrupt. */
static void do_own_eintr(void)
{
	double start = now_ms();
	char c;

	check(pipe(a_pipe) == 0);
	handle(SIGUSR1, 0);
	later(hit_main);
	check(read(a_pipe[0], &c, 1) == -1 && errno == EINTR && got == 1);
	got = 0;
	later(hit_main);
	check(poll(NULL, 0, 60000) == -1 && errno == EINTR && got == 1);
	got = 0;
	handle(SIGUSR1, SA_RESTART);
	later(hit_main);
	check(poll(NULL, 0, 60000) == -1 && errno == EINTR && got == 1);
	got = 0;
	later(hit_main);
	later_run((void *)write_pipe);
	check(read(a_pipe[0], &c, 1) == 1 && c == 'x');
	while (got == 0)
		usleep(1000);
	check(now_ms() - start < 30000);
}

/* Short calls in quick succession, many from the same instruction: what was
 * seen of a thread before the signal is often not true any more. */
static void *mixed_run(void *arg)
{
	struct timespec ms = {0, 1000000}, t;
	unsigned n = (unsigned)(intptr_t)arg;
	struct epoll_event e;
	int epoll = epoll_create1(0), word = 1, fds[2];
	struct pollfd p = {.events = POLLIN};
	char c;

	check(pipe(fds) == 0);
	p.fd = fds[0];
	for (; !stop_now; n++) {
		double start = now_ms();

		switch (n % 8) {
		case 0:
			check(syscall(SYS_futex, &word, FUTEX_WAIT, 1, &ms,
				      NULL, 0) == -1 &&
			      errno == ETIMEDOUT);
			break;
		case 1:
			check(syscall(SYS_epoll_pwait, epoll, &e, 1, 1, NULL,
				      8) == 0);
			break;
		case 2:
			t = ms;
			check(syscall(SYS_nanosleep, &t, NULL) == 0);
			break;
		case 3:
			check(syscall(SYS_poll, &p, 1, 1) == 0);
			break;
		case 4:
			t = ms;
			check(syscall(SYS_ppoll, &p, 1, &t, NULL, 8) == 0);
			break;
		case 5:
			check(syscall(SYS_write, fds[1], "x", 1) == 1);
			check(syscall(SYS_read, fds[0], &c, 1) == 1);
			continue;
		case 6:
			check(syscall(SYS_futex, &word, FUTEX_WAIT, 2, &ms,
				      NULL, 0) == -1 &&
			      errno == EAGAIN);
			continue;
		default:
			check(poll(&p, 1, 1) == 0);
		}
		check(now_ms() - start >= 0.9);
	}
	return NULL;
}

static void do_mixed_calls(void)
{
	run_threads(mixed_run, 4, 2000);
}

/* A timer that keeps coming, at all moments of a stop. */
static void do_itimer(void)
{
	struct itimerval t = {{0, 7000}, {0, 7000}};
	double start = now_ms();
	int eintr = 0, n;
	char c;

	check(pipe(a_pipe) == 0);
	handle(SIGALRM, 0);
	setitimer(ITIMER_REAL, &t, NULL);
	for (n = 0; n < 60; n++) {
		/* Every call is ended by a signal; one that is not would hang */
		if (n % 3 == 0)
			check(read(a_pipe[0], &c, 1) == -1);
		else if (n % 3 == 1)
			check(poll(NULL, 0, -1) == -1);
		else
			check(pause() == -1);
		check(errno == EINTR);
		eintr++;
	}
	check(got >= eintr);
	check(now_ms() - start < 30000);
}

static int ipc;

static void send_message(void)
{
	struct {
		long type;
		char text[1];
	} m = {1, "m"};

	check(msgsnd(ipc, &m, 1, 0) == 0);
}

static void do_msgrcv(void)
{
	struct {
		long type;
		char text[1];
	} m;

	ipc = msgget(IPC_PRIVATE, 0600);
	check(ipc >= 0);
	later(send_message);
	check(msgrcv(ipc, &m, 1, 0, 0) == 1 && m.text[0] == 'm');
	msgctl(ipc, IPC_RMID, NULL);
}

static void sem_up(void)
{
	struct sembuf give = {0, 1, 0};

	check(semop(ipc, &give, 1) == 0);
}

static void do_semop(void)
{
	struct sembuf take = {0, -1, 0};

	ipc = semget(IPC_PRIVATE, 1, 0600);
	later(sem_up);
	check(semop(ipc, &take, 1) == 0);
	semctl(ipc, 0, IPC_RMID);
}

static pid_t sleeping_child(void)
{
	pid_t pid = fork();

	if (pid == 0) {
		usleep(SLEEP_MS * 1000);
		_exit(7);
	}
	return pid;
}

static void do_wait(void)
{
	siginfo_t info;
	int status;
	pid_t pid = sleeping_child();

	check(wait4(pid, &status, 0, NULL) == pid);
	check(WIFEXITED(status) && WEXITSTATUS(status) == 7);
	pid = sleeping_child();
	check(waitid(P_PID, (id_t)pid, &info, WEXITED) == 0);
	check(info.si_status == 7);
}

static struct sockaddr_in address;

static void connect_there(void)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	check(connect(fd, (void *)&address, sizeof(address)) == 0);
	check(write(fd, "x", 1) == 1);
}

static void do_accept(void)
{
	int fd = listening(&address), peer;
	char c;

	later(connect_there);
	peer = accept(fd, NULL, NULL);
	check(peer >= 0);
	check(recv(peer, &c, 1, MSG_WAITALL) == 1 && c == 'x');
}

static int listener;

static void accept_some(void)
{
	int i;

	for (i = 0; i < 8; i++)
		check(accept(listener, NULL, NULL) >= 0);
}

/* A full backlog makes connect() wait. */
static void do_connect(void)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	socklen_t length;
	int i;

	snprintf(addr.sun_path + 1, 40, "park-%d", getpid());
	length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 +
			     strlen(addr.sun_path + 1));
	listener = socket(AF_UNIX, SOCK_STREAM, 0);
	check(bind(listener, (void *)&addr, length) == 0);
	check(listen(listener, 1) == 0);
	later(accept_some);
	for (i = 0; i < 8; i++)
		check(connect(socket(AF_UNIX, SOCK_STREAM, 0), (void *)&addr,
			      length) == 0);
}

static int lock_fd;
static char lock_name[] = "/tmp/park-lock-XXXXXX";

static pid_t locker(int posix)
{
	struct flock l = {.l_type = F_WRLCK, .l_len = 1};
	int ready[2];
	char c;
	pid_t pid;

	check(pipe(ready) == 0);
	pid = fork();
	if (pid == 0) {
		int fd = open(lock_name, O_RDWR);

		if (posix ? fcntl(fd, F_SETLK, &l) : flock(fd, LOCK_EX))
			_exit(1);
		if (write(ready[1], "x", 1) != 1)
			_exit(1);
		usleep(SLEEP_MS * 1000);
		_exit(0);
	}
	check(read(ready[0], &c, 1) == 1);
	close(ready[0]);
	close(ready[1]);
	return pid;
}

static void do_locks(void)
{
	struct flock l = {.l_type = F_WRLCK, .l_len = 1};
	int status;

	lock_fd = mkstemp(lock_name);
	check(lock_fd >= 0);
	locker(0);
	check(flock(lock_fd, LOCK_EX) == 0);
	check(wait(&status) > 0 && status == 0);
	locker(1);
	check(fcntl(lock_fd, F_SETLKW, &l) == 0);
	check(wait(&status) > 0 && status == 0);
	unlink(lock_name);
}

static size_t drained;

static void *drain(void *arg)
{
	char block[1024];
	ssize_t n;

	(void)arg;
	while ((n = read(a_pipe[0], block, sizeof(block))) > 0) {
		drained += (size_t)n;
		usleep(1000);
	}
	check(n == 0);
	return NULL;
}

/* A blocking write is not cut short. */
static void do_write_whole(void)
{
	static char big[600000];
	pthread_t thread;

	check(pipe(a_pipe) == 0);
	check(pthread_create(&thread, NULL, drain, NULL) == 0);
	check(write(a_pipe[1], big, sizeof(big)) == sizeof(big));
	close(a_pipe[1]);
	pthread_join(thread, NULL);
	check(drained == sizeof(big));
}

static void *feed(void *arg)
{
	char block[1000];
	int i;

	(void)arg;
	memset(block, 'f', sizeof(block));
	for (i = 0; i < 300; i++) {
		check(write(a_pipe[1], block, sizeof(block)) == sizeof(block));
		usleep(1000);
	}
	return NULL;
}

/* MSG_WAITALL waits for all, a whole send() sends all. */
static void do_stream_whole(void)
{
	static char big[300000];
	pthread_t thread;
	int i;

	check(socketpair(AF_UNIX, SOCK_STREAM, 0, a_pipe) == 0);
	check(pthread_create(&thread, NULL, feed, NULL) == 0);
	check(recv(a_pipe[0], big, sizeof(big), MSG_WAITALL) == sizeof(big));
	for (i = 0; i < (int)sizeof(big); i++)
		check(big[i] == 'f');
	pthread_join(thread, NULL);
	check(pthread_create(&thread, NULL, drain, NULL) == 0);
	check(send(a_pipe[1], big, sizeof(big), 0) == sizeof(big));
	close(a_pipe[1]);
	pthread_join(thread, NULL);
	check(drained == sizeof(big));
}

/* ---- threads in odd states */

static void run_for(double ms)
{
	struct timespec t = {0, 1000000};
	double end = now_ms() + ms;

	while (now_ms() < end)
		clock_nanosleep(CLOCK_MONOTONIC, 0, &t, NULL);
	stop_now = 1;
}

static void *blocked_run(void *arg)
{
	sigset_t all;
	unsigned long n = 0;

	(void)arg;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, NULL);
	while (!stop_now)
		if (++n % 1000 == 0)
			poll(NULL, 0, 1);
	return NULL;
}

static void run_threads(void *(*run)(void *), int count, double ms)
{
	pthread_t threads[64];
	int i;

	for (i = 0; i < count; i++)
		check(pthread_create(&threads[i], NULL, run,
				     (void *)(intptr_t)i) == 0);
	run_for(ms);
	for (i = 0; i < count; i++)
		check(pthread_join(threads[i], NULL) == 0);
}

static void do_all_blocked(void)
{
	run_threads(blocked_run, 8, 1000);
}

static void *spin_run(void *arg)
{
	volatile unsigned long n = 0;
	volatile double x = 1;

	(void)arg;
	while (!stop_now) {
		n++;
		x = x * 1.0000001;
		if (x > 1e10)
			x = 1;
	}
	return NULL;
}

static void do_spin(void)
{
	run_threads(spin_run, 4, 1000);
}

/* Handlers on an alternate stack, of 8 KiB. */
static atomic_int in_handler;

static void busy_handler(int signal)
{
	double end = now_ms() + 3;
	volatile int n = 0;

	(void)signal;
	in_handler++;
	while (now_ms() < end)
		n++;
	poll(NULL, 0, 2);
	in_handler--;
	got++;
}

static void *altstack_run(void *arg)
{
	stack_t stack = {.ss_size = 16384};

	(void)arg;
	stack.ss_sp = malloc(stack.ss_size);
	sigaltstack(&stack, NULL);
	while (!stop_now) {
		pthread_kill(pthread_self(), SIGUSR1);
		check(poll(NULL, 0, 2) == 0 || errno == EINTR);
	}
	check(sigaltstack(NULL, &stack) == 0 && stack.ss_size == 16384);
	stack.ss_flags = SS_DISABLE;
	sigaltstack(&stack, NULL);
	return NULL;
}

static void do_altstack(void)
{
	struct sigaction action = {
		.sa_handler = busy_handler,
		.sa_flags = SA_ONSTACK,
	};

	sigaction(SIGUSR1, &action, NULL);
	run_threads(altstack_run, 4, 1500);
	check(got > 10 && in_handler == 0);
}

/* The main stack sleeps, our frame is on an alternate one. */
static void do_altstack_sleep(void)
{
	static char memory[16384];
	stack_t stack = {.ss_sp = memory, .ss_size = sizeof(memory)};

	sigaltstack(&stack, NULL);
	do_nanosleep();
	do_poll();
	do_recv_timeout();
	check(sigaltstack(NULL, &stack) == 0 && stack.ss_sp == memory);
}

/* Coroutines on tiny stacks, which sleep and compute. */
#define TINY 16384

static ucontext_t loop_context, tiny_context[8];
static char tiny_stack[8][TINY] __attribute__((aligned(16)));
static int tiny_turn[8];

static void tiny_run(int id)
{
	volatile double x = id;

	for (;;) {
		int i;

		for (i = 0; i < 2000; i++)
			x = x * 0.99 + i;
		if (tiny_turn[id] % 8 == 0)
			check(poll(NULL, 0, 3) == 0);
		tiny_turn[id]++;
		swapcontext(&tiny_context[id], &loop_context);
	}
}

static void *tiny_loop(void *arg)
{
	double end = now_ms() + 1500;
	int i;

	(void)arg;
	for (i = 0; i < 8; i++) {
		getcontext(&tiny_context[i]);
		tiny_context[i].uc_stack.ss_sp = tiny_stack[i];
		tiny_context[i].uc_stack.ss_size = TINY;
		makecontext(&tiny_context[i], (void (*)(void))tiny_run, 1, i);
	}
	while (now_ms() < end)
		for (i = 0; i < 8; i++)
			swapcontext(&loop_context, &tiny_context[i]);
	for (i = 0; i < 8; i++)
		check(tiny_turn[i] > 10);
	return NULL;
}

static void do_ucontext(void)
{
	tiny_loop(NULL);
}

static void *nothing(void *arg)
{
	return arg;
}

static void *storm_run(void *arg)
{
	pthread_t thread;

	while (!stop_now) {
		check(pthread_create(&thread, NULL, nothing, arg) == 0);
		check(pthread_join(thread, NULL) == 0);
	}
	return NULL;
}

static void do_storm(void)
{
	run_threads(storm_run, 6, 2000);
}

static void *detached_run(void *arg)
{
	pthread_attr_t attr;
	pthread_t thread;

	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attr, 65536);
	while (!stop_now) {
		while (pthread_create(&thread, &attr, nothing, arg) != 0)
			sched_yield();
	}
	return NULL;
}

static void do_storm_detached(void)
{
	run_threads(detached_run, 3, 1500);
}

static pthread_barrier_t barrier;

static void *crowd_run(void *arg)
{
	intptr_t id = (intptr_t)arg;

	pthread_barrier_wait(&barrier);
	while (!stop_now) {
		switch (id % 4) {
		case 0:
			usleep(50000);
			break;
		case 1:
			poll(NULL, 0, 50);
			break;
		case 2:
			sched_yield();
			usleep(30000);
			break;
		default: {
			struct timespec t = in_ms(CLOCK_REALTIME, 50);
			sem_t s;

			sem_init(&s, 0, 0);
			sem_timedwait(&s, &t);
		}
		}
	}
	return NULL;
}

static void crowd(int count)
{
	pthread_t *threads = calloc((size_t)count, sizeof(*threads));
	pthread_attr_t attr;
	int i;

	pthread_barrier_init(&barrier, NULL, (unsigned)count + 1);
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 65536);
	for (i = 0; i < count; i++)
		check(pthread_create(&threads[i], &attr, crowd_run,
				     (void *)(intptr_t)i) == 0);
	pthread_barrier_wait(&barrier);
	run_for(2000);
	for (i = 0; i < count; i++)
		pthread_join(threads[i], NULL);
	free(threads);
}

static void do_crowd(void)
{
	crowd(2000);
}

static void do_crowd_10000(void)
{
	crowd(10000);
}

static void *setuid_run(void *arg)
{
	(void)arg;
	while (!stop_now) {
		check(setresgid(getgid(), getgid(), getgid()) == 0);
		check(setresuid(getuid(), getuid(), getuid()) == 0);
	}
	return NULL;
}

static void *idle_run(void *arg)
{
	(void)arg;
	while (!stop_now)
		check(poll(NULL, 0, 5) == 0 || errno == EINTR);
	return NULL;
}

static void *setuid_or_idle(void *arg)
{
	return (intptr_t)arg % 3 ? idle_run(arg) : setuid_run(arg);
}

/* How many threads have that group, by what the kernel says. */
static int threads_with_group(const char *group)
{
	char path[300], line[256];
	struct dirent *e;
	DIR *dir = opendir("/proc/self/task");
	int n = 0;

	check(dir != NULL);
	while ((e = readdir(dir))) {
		FILE *f;

		snprintf(path, sizeof(path), "/proc/self/task/%s/status",
			 e->d_name);
		f = e->d_name[0] == '.' ? NULL : fopen(path, "r");
		while (f && fgets(line, sizeof(line), f))
			if (strncmp(line, "Gid:", 4) == 0)
				n += strstr(line, group) != NULL;
		if (f)
			fclose(f);
	}
	closedir(dir);
	return n;
}

static void do_setuid(void)
{
	pthread_t threads[3];
	int i;

	run_threads(setuid_or_idle, 9, 1500);
	/* And it does change all threads. */
	if (getuid() != 0)
		return;
	stop_now = 0;
	for (i = 0; i < 3; i++)
		check(pthread_create(&threads[i], NULL, idle_run, NULL) == 0);
	check(setgid(1234) == 0);
	check(threads_with_group("1234\t1234\t1234\t1234") >= 4);
	stop_now = 1;
	for (i = 0; i < 3; i++)
		pthread_join(threads[i], NULL);
}

/* An exec that fails, also in a vfork child, leaves libc's handler what it
 * is: setuid() would wait for the other threads for ever. */
static void do_exec_failed(void)
{
	char *argv[] = {"x", NULL};
	pthread_t thread;
	int i, status;
	pid_t pid;

	check(pthread_create(&thread, NULL, idle_run, NULL) == 0);
	for (i = 0; i < 50; i++) {
		check(execv("/no/such/program", argv) == -1 && errno == ENOENT);
		check(setresuid(getuid(), getuid(), getuid()) == 0);
		pid = vfork();
		if (pid == 0) {
			execv("/no/such/program", argv);
			_exit(9);
		}
		check(waitpid(pid, &status, 0) == pid);
		check(WEXITSTATUS(status) == 9);
		check(setresuid(getuid(), getuid(), getuid()) == 0);
		usleep(5000);
	}
	stop_now = 1;
	pthread_join(thread, NULL);
}

/* libc makes its first thread by itself, and takes our signal. */
static void on_timer(union sigval value)
{
	(void)value;
	got++;
}

static void do_timer_thread(void)
{
	struct sigevent event = {
		.sigev_notify = SIGEV_THREAD,
		.sigev_notify_function = on_timer,
	};
	struct itimerspec t = {{0, 5000000}, {0, 5000000}};
	timer_t timer;

	check(timer_create(CLOCK_MONOTONIC, &event, &timer) == 0);
	check(timer_settime(timer, 0, &t, NULL) == 0);
	run_for(1000);
	check(got > 50);
}

static int c11_run(void *arg)
{
	(void)arg;
	while (!stop_now)
		thrd_yield();
	return 5;
}

static void do_thrd_create(void)
{
	thrd_t thread;
	int result;

	check(thrd_create(&thread, c11_run, NULL) == thrd_success);
	run_for(500);
	check(thrd_join(thread, &result) == thrd_success && result == 5);
}

/* A child that libc's fork did not make has the parent's memory, and in it
 * what the parent knows of a stop: it must not believe that. */
static void do_raw_fork(void)
{
	double end = now_ms() + 1000;
	int status;

	while (now_ms() < end) {
		pid_t pid = (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);

		if (pid == 0) {
			struct timespec t = {0, 3000000};

			syscall(SYS_nanosleep, &t, NULL);
			_exit(3);
		}
		check(pid > 0);
		check(waitpid(pid, &status, 0) == pid);
		check(WIFEXITED(status) && WEXITSTATUS(status) == 3);
	}
}

static void do_fork(void)
{
	double end = now_ms() + 1500;
	volatile int n = 0;
	int status;

	while (now_ms() < end) {
		pid_t pid = n % 3 == 2 ? vfork() : fork();

		if (pid == 0)
			_exit(3);
		check(pid > 0);
		check(waitpid(pid, &status, 0) == pid);
		check(WIFEXITED(status) && WEXITSTATUS(status) == 3);
		n++;
	}
}

static void *fork_run(void *arg)
{
	(void)arg;
	while (!stop_now) {
		pid_t pid = fork();
		int status;

		if (pid == 0)
			_exit(3);
		check(pid > 0 && waitpid(pid, &status, 0) == pid);
		check(WIFEXITED(status) && WEXITSTATUS(status) == 3);
	}
	return NULL;
}

static void do_fork_threads(void)
{
	run_threads(fork_run, 4, 1500);
}

static void do_exec(void)
{
	char *const argv[] = {"/bin/true", NULL};
	char *const bare[] = {"PATH=/bin:/usr/bin", NULL};
	char *const print[] = {"sh", "-c",
			       "test -n \"$CKPT_GROUP_DIR\" && "
			       "grep -q park-test /proc/self/maps",
			       NULL};
	double end = now_ms() + 1500;
	int status;
	pid_t pid;

	while (now_ms() < end) {
		check(posix_spawn(&pid, "/bin/true", NULL, NULL, argv, bare) ==
		      0);
		check(waitpid(pid, &status, 0) == pid && status == 0);
		check(posix_spawnp(&pid, "sh", NULL, NULL, print, bare) == 0);
		check(waitpid(pid, &status, 0) == pid && status == 0);
		pid = vfork();
		if (pid == 0) {
			execle("/bin/sh", "sh", "-c", print[2], NULL, bare);
			_exit(9);
		}
		check(waitpid(pid, &status, 0) == pid && status == 0);
		/* A failed one changes nothing. */
		check(execlp("/no/such/program", "x", NULL) == -1 &&
		      errno == ENOENT);
		check(system("exit 5") == 5 << 8);
	}
}

/* exec over and over: the same process, always a new program. */
static void do_exec_self(void)
{
	const char *turn = getenv("PARK_TURN");
	int n = turn ? atoi(turn) : 0;
	char text[32], *argv[] = {"park-cases", "exec_self", NULL};
	char *empty[] = {text, NULL};

	if (n == 200)
		return;
	snprintf(text, sizeof(text), "PARK_TURN=%d", n + 1);
	execve("/proc/self/exe", argv, empty);
	check(0);
}

/* ---- locks of libc */

static void *locks_run(void *arg)
{
	unsigned seed = (unsigned)(intptr_t)arg;
	void *blocks[64] = {0};
	FILE *f = fopen("/dev/null", "w");

	while (!stop_now) {
		int i = rand_r(&seed) % 64;

		switch ((intptr_t)arg % 3) {
		case 0:
			free(blocks[i]);
			blocks[i] = malloc((size_t)rand_r(&seed) % 100000);
			if (i == 0)
				malloc_trim(0);
			break;
		case 1:
			fprintf(f, "%d %s\n", i, "text");
			fprintf(stdin, "%s", "");
			break;
		default: {
			void *lib = dlopen("libz.so.1", RTLD_NOW);

			if (lib) {
				check(dlsym(lib, "zlibVersion") != NULL);
				dlclose(lib);
			}
		}
		}
	}
	for (int i = 0; i < 64; i++)
		free(blocks[i]);
	fclose(f);
	return NULL;
}

static void do_libc_locks(void)
{
	run_threads(locks_run, 9, 2000);
}

/* ---- cancellation, in the middle of a call that is being resumed */

static atomic_int cleaned;

static void clean(void *arg)
{
	(void)arg;
	cleaned++;
}

static void *cancel_run(void *arg)
{
	int fds[2];
	struct pollfd p = {.events = POLLIN};
	char c;

	pthread_cleanup_push(clean, NULL);
	check(pipe(fds) == 0);
	p.fd = fds[0];
	switch ((intptr_t)arg % 4) {
	case 0:
		poll(&p, 1, 100000);
		break;
	case 1: {
		struct timespec t = {100, 0};

		nanosleep(&t, NULL);
		break;
	}
	case 2: {
		struct timeval t = {100, 0};
		int pair[2];

		socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
		setsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &t, sizeof(t));
		recv(pair[0], &c, 1, 0);
		break;
	}
	default:
		if (read(fds[0], &c, 1) != 1)
			break;
	}
	check(!"cancelled");
	pthread_cleanup_pop(0);
	return NULL;
}

static void do_cancel(void)
{
	pthread_t threads[12];
	void *result;
	int i;

	for (i = 0; i < 12; i++)
		check(pthread_create(&threads[i], NULL, cancel_run,
				     (void *)(intptr_t)i) == 0);
	usleep(SLEEP_MS * 1000);
	for (i = 0; i < 12; i++)
		check(pthread_cancel(threads[i]) == 0);
	for (i = 0; i < 12; i++)
		check(pthread_join(threads[i], &result) == 0 &&
		      result == PTHREAD_CANCELED);
	check(cleaned == 12);
}

/* ---- signals keep their order and their data */

static volatile int queue_next, queue_bad;

static void on_queued(int signal, siginfo_t *info, void *context)
{
	(void)signal;
	(void)context;
	if (info->si_value.sival_int != queue_next)
		queue_bad = 1;
	queue_next++;
}

static void do_queue(void)
{
	struct sigaction action = {
		.sa_sigaction = on_queued,
		.sa_flags = SA_SIGINFO,
	};
	int signal = SIGRTMIN + 3, i, round;
	union sigval value;

	sigaction(signal, &action, NULL);
	for (round = 0; round < 10; round++) {
		block(SIG_BLOCK, signal);
		queue_next = 0;
		for (i = 0; i < 50; i++) {
			value.sival_int = i;
			check(pthread_sigqueue(pthread_self(), signal, value) ==
			      0);
		}
		usleep(100000);
		check(queue_next == 0);
		block(SIG_UNBLOCK, signal);
		check(queue_next == 50 && !queue_bad);
	}
}

/* The leader has gone, the others go on. */
static void *leaderless_run(void *arg)
{
	(void)arg;
	usleep(1000000);
	exit(0);
}

static void do_leader_gone(void)
{
	pthread_t thread;

	check(pthread_create(&thread, NULL, leaderless_run, NULL) == 0);
	pthread_exit(NULL);
}

/* A thread that libc does not know, without TLS of its own. */
static int raw_run(void *arg)
{
	volatile unsigned long *n = arg;

	while (!atomic_load(&stop_now))
		(*n)++;
	syscall(SYS_exit, 0);
	return 0;
}

static void do_raw_clone(void)
{
	static char stack[65536] __attribute__((aligned(16)));
	static unsigned long n;
	int tid;

	tid = clone(raw_run, stack + sizeof(stack),
		    CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND |
			    CLONE_THREAD | CLONE_SYSVSEM,
		    &n);
	check(tid > 0);
	run_for(800);
	usleep(10000);
	check(n > 0);
}

/* Registers of every kind keep their values. */
static void do_registers(void)
{
	double end = now_ms() + 1000, x[8];
	int i;

	while (now_ms() < end) {
		for (i = 0; i < 8; i++)
			x[i] = i + 0.5;
		__asm__ volatile("movupd (%0), %%xmm8\n\t"
				 "movupd 16(%0), %%xmm9\n\t"
				 "movupd 32(%0), %%xmm14\n\t"
				 "movupd 48(%0), %%xmm15\n\t"
				 "mov $20000000, %%rcx\n\t"
				 "mov $0x1111, %%r8\n\t"
				 "mov $0x2222, %%r11\n\t"
				 "1: dec %%rcx\n\t"
				 "jnz 1b\n\t"
				 "cmp $0x1111, %%r8\n\t"
				 "jne 2f\n\t"
				 "cmp $0x2222, %%r11\n\t"
				 "jne 2f\n\t"
				 "movupd %%xmm15, (%0)\n\t"
				 "movupd %%xmm14, 16(%0)\n\t"
				 "movupd %%xmm9, 32(%0)\n\t"
				 "movupd %%xmm8, 48(%0)\n\t"
				 "2:\n"
				 :
				 : "r"(x)
				 : "rcx", "r8", "r11", "xmm8", "xmm9", "xmm14",
				   "xmm15", "memory", "cc");
		check(x[0] == 6.5 && x[1] == 7.5 && x[2] == 4.5 &&
		      x[4] == 2.5 && x[7] == 1.5);
	}
}

#define CASE(name)                                                             \
	{                                                                      \
#name, do_##name                                               \
	}

static const struct {
	const char *name;
	void (*run)(void);
} cases[] = {
	CASE(nanosleep),
	CASE(nanosleep_rest),
	CASE(nanosleep_same),
	CASE(clock_nanosleep),
	CASE(clock_nanosleep_absolute),
	CASE(usleep),
	CASE(sleep),
	CASE(poll),
	CASE(ppoll),
	CASE(select),
	CASE(select_raw),
	CASE(pselect),
	CASE(epoll_wait),
	CASE(epoll_pwait),
	CASE(epoll_pwait2),
	CASE(futex),
	CASE(sem_timedwait),
	CASE(cond_timedwait),
	CASE(sigtimedwait),
	CASE(semtimedop),
	CASE(recv_timeout),
	CASE(accept_timeout),
	CASE(send_timeout),
	CASE(mq_timedreceive),
	CASE(io_getevents),
	CASE(read_pipe),
	CASE(poll_pipe),
	CASE(epoll_pipe),
	CASE(read_tty),
	CASE(pause),
	CASE(sigsuspend),
	CASE(sigwait),
	CASE(own_eintr),
	CASE(itimer),
	CASE(mixed_calls),
	CASE(msgrcv),
	CASE(semop),
	CASE(wait),
	CASE(accept),
	CASE(connect),
	CASE(locks),
	CASE(write_whole),
	CASE(stream_whole),
	CASE(all_blocked),
	CASE(spin),
	CASE(altstack),
	CASE(altstack_sleep),
	CASE(ucontext),
	CASE(storm),
	CASE(storm_detached),
	CASE(crowd),
	CASE(crowd_10000),
	CASE(setuid),
	CASE(exec_failed),
	CASE(timer_thread),
	CASE(thrd_create),
	CASE(raw_fork),
	CASE(fork),
	CASE(fork_threads),
	CASE(exec),
	CASE(exec_self),
	CASE(libc_locks),
	CASE(cancel),
	CASE(queue),
	CASE(leader_gone),
	CASE(raw_clone),
	CASE(registers),
};

int main(int argc, char **argv)
{
	size_t i;

	main_thread = pthread_self();
	for (i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		if (argc < 2) {
			puts(cases[i].name);
		} else if (strcmp(argv[1], cases[i].name) == 0) {
			map_bench();
			/* No case takes so long; one that hangs has failed. */
			if (strncmp(argv[1], "itimer", 6) != 0)
				alarm(60);
			cases[i].run();
			exit(0);
		}
	}
	return argc < 2 ? 0 : 99;
}
