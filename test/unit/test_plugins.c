/* SPDX-License-Identifier: MIT */
/* Kinds of objects: saved, closed and made again, each as it was. */
#define _GNU_SOURCE
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "plugin_world.h"

extern const struct ckpt_saver signals_saver, timers_saver, process_saver;

#define SAVE(...)                                                              \
	do {                                                                   \
		int fds_[] = {__VA_ARGS__};                                    \
		int ret_ = world_save(fds_, sizeof(fds_) / sizeof(*fds_));     \
                                                                               \
		ck_assert_msg(ret_ == 0, "save: %d %s", ret_,                  \
			      world_refusal());                                \
	} while (0)

#define AGAIN()                                                                \
	do {                                                                   \
		int ret_;                                                      \
                                                                               \
		world_close();                                                 \
		ret_ = world_restore();                                        \
		ck_assert_msg(ret_ == 0, "restore: %d %s", ret_,               \
			      world_reports());                                \
	} while (0)

#define ROUND(...)                                                             \
	do {                                                                   \
		SAVE(__VA_ARGS__);                                             \
		AGAIN();                                                       \
	} while (0)

static char folder[] = "/tmp/ckpt-test-XXXXXX";

static void enter_folder(void)
{
	ck_assert_ptr_nonnull(mkdtemp(folder));
	ck_assert_int_eq(chdir(folder), 0);
}

static void leave_folder(void)
{
	static const char *const names[] = {"data", "fifo", "socket", "dir"};
	size_t i;

	world_forget();
	for (i = 0; i < sizeof(names) / sizeof(*names); i++)
		if (unlink(names[i]) < 0)
			rmdir(names[i]);
	ck_assert_int_eq(chdir("/"), 0);
	rmdir(folder);
	strcpy(folder + sizeof(folder) - 7, "XXXXXX");
}

/* ---- event objects ---- */

START_TEST(eventfd_counter)
{
	int a = eventfd(3, EFD_NONBLOCK), b = eventfd(5, EFD_SEMAPHORE);
	uint64_t count = 0xfffffffff0;

	ck_assert_int_eq(write(a, &count, 8), 8);
	ROUND(a, b);
	ck_assert_int_eq(read(a, &count, 8), 8);
	ck_assert_uint_eq(count, 0xfffffffff3);
	ck_assert_int_eq(read(b, &count, 8), 8);
	ck_assert_uint_eq(count, 1);
	ck_assert(fcntl(a, F_GETFL) & O_NONBLOCK);
	ck_assert(!(fcntl(b, F_GETFL) & O_NONBLOCK));
}
END_TEST

START_TEST(signalfd_mask)
{
	struct signalfd_siginfo info;
	sigset_t mask;
	int fd;

	sigemptyset(&mask);
	sigaddset(&mask, SIGUSR1);
	sigprocmask(SIG_BLOCK, &mask, NULL);
	fd = signalfd(-1, &mask, SFD_NONBLOCK);
	ROUND(fd);
	kill(getpid(), SIGUSR1);
	ck_assert_int_eq(read(fd, &info, sizeof(info)), sizeof(info));
	ck_assert_int_eq(info.ssi_signo, SIGUSR1);
}
END_TEST

START_TEST(timerfd_time_left)
{
	struct itimerspec spec = {{7, 5}, {1000, 0}}, now;
	int fd = timerfd_create(CLOCK_MONOTONIC, 0);

	timerfd_settime(fd, 0, &spec, NULL);
	ROUND(fd);
	ck_assert_int_eq(timerfd_gettime(fd, &now), 0);
	ck_assert_int_ge(now.it_value.tv_sec, 990);
	ck_assert_int_eq(now.it_interval.tv_sec, 7);
	ck_assert_int_eq(now.it_interval.tv_nsec, 5);
}
END_TEST

START_TEST(timerfd_ticks)
{
	struct itimerspec spec = {{0, 1000000}, {0, 1000000}};
	struct timespec nap = {0, 20000000};
	int once = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
	int often = timerfd_create(CLOCK_BOOTTIME, TFD_NONBLOCK);
	int never = timerfd_create(CLOCK_REALTIME, TFD_NONBLOCK);
	uint64_t ticks;

	timerfd_settime(often, 0, &spec, NULL);
	spec.it_interval.tv_nsec = 0;
	timerfd_settime(once, 0, &spec, NULL);
	nanosleep(&nap, NULL);
	ROUND(once, often, never);
	ck_assert_int_eq(read(once, &ticks, 8), 8);
	ck_assert_uint_eq(ticks, 1);
	ck_assert_int_eq(read(often, &ticks, 8), 8);
	ck_assert_uint_ge(ticks, 20);
	ck_assert_int_eq(read(never, &ticks, 8), -1);
}
END_TEST

START_TEST(timerfd_absolute)
{
	struct itimerspec spec = {{0, 0}, {0, 0}}, now;
	int fd = timerfd_create(CLOCK_REALTIME, 0);

	clock_gettime(CLOCK_REALTIME, &spec.it_value);
	spec.it_value.tv_sec += 500;
	timerfd_settime(fd, TFD_TIMER_ABSTIME, &spec, NULL);
	ROUND(fd);
	timerfd_gettime(fd, &now);
	ck_assert_int_le(now.it_value.tv_sec, 500);
	ck_assert_int_ge(now.it_value.tv_sec, 490);
}
END_TEST

static void epoll_register(int epfd, int fd, uint32_t events, uint64_t data)
{
	struct epoll_event event = {events, {.u64 = data}};

	ck_assert_int_eq(epoll_ctl(epfd, EPOLL_CTL_ADD, fd, &event), 0);
}

START_TEST(epoll_entries)
{
	struct epoll_event got[8];
	int ready = eventfd(1, 0), idle = eventfd(0, 0), fired = eventfd(1, 0);
	int epfd = epoll_create1(0), outer = epoll_create1(0);

	epoll_register(epfd, fired, EPOLLIN | EPOLLONESHOT, 3);
	ck_assert_int_eq(epoll_wait(epfd, got, 8, 0), 1);
	epoll_register(epfd, ready, EPOLLIN | EPOLLET, 0x123456789abcdef0);
	epoll_register(epfd, idle, EPOLLIN, 2);
	epoll_register(outer, epfd, EPOLLIN, 77);
	ROUND(ready, idle, fired, epfd, outer);
	ck_assert_str_eq(world_reports(), "");
	ck_assert_int_eq(epoll_wait(outer, got, 8, 0), 1);
	ck_assert_uint_eq(got[0].data.u64, 77);
	ck_assert_int_eq(epoll_wait(epfd, got, 8, 0), 1);
	ck_assert_uint_eq(got[0].data.u64, 0x123456789abcdef0);
	ck_assert_int_eq(epoll_wait(epfd, got, 8, 0), 0);
	eventfd_write(idle, 1);
	ck_assert_int_eq(epoll_wait(epfd, got, 8, 0), 1);
	ck_assert_uint_eq(got[0].data.u64, 2);
	/* Armed again, it fires. */
	got[0].events = EPOLLIN | EPOLLONESHOT;
	got[0].data.u64 = 4;
	ck_assert_int_eq(epoll_ctl(epfd, EPOLL_CTL_MOD, fired, got), 0);
	ck_assert_int_eq(epoll_wait(epfd, got, 8, 0), 2);
}
END_TEST

START_TEST(epoll_number_reused)
{
	struct epoll_event got[8];
	int event = eventfd(1, 0), other = dup(event), closed = dup(event);
	int epfd = epoll_create1(0), spare = eventfd(0, 0);

	epoll_register(epfd, other, EPOLLIN, 10);
	epoll_register(epfd, closed, EPOLLIN, 11);
	dup2(spare, other); /* the entry stays with the event */
	close(closed);
	ROUND(event, other, epfd, spare);
	ck_assert_str_eq(world_reports(), "");
	ck_assert_int_eq(fcntl(closed, F_GETFD), -1);
	ck_assert_int_eq(epoll_wait(epfd, got, 8, 0), 2);
	eventfd_read(event, &(eventfd_t){0});
	ck_assert_int_eq(epoll_wait(epfd, got, 8, 0), 0);
	eventfd_write(other, 1);
	ck_assert_int_eq(epoll_wait(epfd, got, 8, 0), 0);
	ck_assert_int_eq(eventfd_read(spare, &(eventfd_t){0}), 0);
}
END_TEST

/* ---- pipes ---- */

START_TEST(pipe_content)
{
	int ends[2], capacity;
	char in[100000], out[100000];
	size_t i;

	ck_assert_int_eq(pipe2(ends, O_NONBLOCK), 0);
	capacity = fcntl(ends[1], F_SETPIPE_SZ, 200000);
	for (i = 0; i < sizeof(in); i++)
		in[i] = (char)(i * 7 + i / 999);
	ck_assert_int_eq(write(ends[1], in, sizeof(in)), sizeof(in));
	SAVE(ends[0], ends[1]);
	/* Nothing was taken out. */
	ck_assert_int_eq(ioctl(ends[0], FIONREAD, &i), 0);
	ck_assert_int_eq((int)i, sizeof(in));
	AGAIN();
	ck_assert_int_eq(fcntl(ends[0], F_GETPIPE_SZ), capacity);
	ck_assert_int_eq(read(ends[0], out, sizeof(out)), sizeof(out));
	ck_assert_int_eq(memcmp(in, out, sizeof(in)), 0);
	ck_assert_int_eq(read(ends[0], out, 1), -1);
	ck_assert_int_eq(write(ends[1], "x", 1), 1);
	ck_assert_int_eq(read(ends[0], out, 1), 1);
	close(ends[1]);
	ck_assert_int_eq(read(ends[0], out, 1), 0);
}
END_TEST

START_TEST(pipe_packets)
{
	int ends[2];
	char out[5000];

	ck_assert_int_eq(pipe2(ends, O_DIRECT), 0);
	ck_assert_int_eq(write(ends[1], "one", 3), 3);
	ck_assert_int_eq(write(ends[1], "second", 6), 6);
	ROUND(ends[0], ends[1]);
	ck_assert_int_eq(read(ends[0], out, sizeof(out)), 3);
	ck_assert_int_eq(read(ends[0], out, sizeof(out)), 6);
	ck_assert_int_eq(memcmp(out, "second", 6), 0);
	ck_assert(fcntl(ends[1], F_GETFL) & O_DIRECT);
}
END_TEST

START_TEST(pipe_many_descriptions)
{
	int ends[2], more, both, twin;
	char path[64], c;

	ck_assert_int_eq(pipe(ends), 0);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", ends[0]);
	more = open(path, O_RDONLY | O_NONBLOCK);
	both = open(path, O_RDWR);
	twin = dup(ends[1]);
	ck_assert_int_eq(write(ends[1], "abc", 3), 3);
	ROUND(ends[0], ends[1], more, both, twin);
	ck_assert_int_eq(read(more, &c, 1), 1);
	ck_assert_int_eq(read(ends[0], &c, 1), 1);
	ck_assert_int_eq(c, 'b');
	ck_assert_int_eq(read(both, &c, 1), 1);
	ck_assert_int_eq(write(both, "d", 1), 1);
	ck_assert_int_eq(read(more, &c, 1), 1);
	ck_assert_int_eq(c, 'd');
	close(ends[1]);
	close(both);
	ck_assert_int_eq(read(more, &c, 1), -1);
	close(twin);
	ck_assert_int_eq(read(more, &c, 1), 0);
}
END_TEST

START_TEST(pipe_writer_gone)
{
	int ends[2];
	char c[8];

	ck_assert_int_eq(pipe(ends), 0);
	ck_assert_int_eq(write(ends[1], "end", 3), 3);
	close(ends[1]);
	ROUND(ends[0]);
	ck_assert_str_eq(world_reports(), "");
	ck_assert_int_eq(read(ends[0], c, 8), 3);
	ck_assert_int_eq(read(ends[0], c, 8), 0);
}
END_TEST

START_TEST(pipe_other_end_outside)
{
	int ends[2];
	char c;

	ck_assert_int_eq(pipe(ends), 0);
	SAVE(ends[0]); /* the writer lives, but is not saved */
	AGAIN();
	ck_assert_ptr_nonnull(strstr(world_reports(), "outside"));
	close(ends[1]);
	ck_assert_int_eq(read(ends[0], &c, 1), 0);
}
END_TEST

START_TEST(fifo_by_name)
{
	int reader, writer;
	char c[8];

	ck_assert_int_eq(mkfifo("fifo", 0600), 0);
	reader = open("fifo", O_RDONLY | O_NONBLOCK);
	writer = open("fifo", O_WRONLY);
	ck_assert_int_eq(write(writer, "named", 5), 5);
	ROUND(reader, writer);
	ck_assert_int_eq(read(reader, c, 8), 5);
	close(writer);
	ck_assert_int_eq(read(reader, c, 8), 0);
	/* The one with that name. */
	writer = open("fifo", O_WRONLY | O_NONBLOCK);
	ck_assert_int_ge(writer, 0);
	ck_assert_int_eq(write(writer, "x", 1), 1);
	ck_assert_int_eq(read(reader, c, 8), 1);
}
END_TEST

/* ---- unix sockets ---- */

START_TEST(unixsock_stream)
{
	int ends[2];
	static char in[60000], out[60000];

	memset(in, 'q', sizeof(in));
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
	ck_assert_int_eq(write(ends[0], in, sizeof(in)), sizeof(in));
	ck_assert_int_eq(write(ends[1], "back", 4), 4);
	shutdown(ends[0], SHUT_WR);
	ROUND(ends[0], ends[1]);
	ck_assert_int_eq(recv(ends[1], out, sizeof(out), MSG_WAITALL),
			 sizeof(out));
	ck_assert_int_eq(memcmp(in, out, sizeof(in)), 0);
	ck_assert_int_eq(read(ends[1], out, 1), 0);
	ck_assert_int_eq(read(ends[0], out, 8), 4);
	ck_assert_int_eq(write(ends[1], "more", 4), 4);
	ck_assert_int_eq(read(ends[0], out, 8), 4);
	ck_assert_int_eq(send(ends[0], "x", 1, MSG_NOSIGNAL), -1);
}
END_TEST

START_TEST(unixsock_packets)
{
	int ends[2], many[2], room = 400000;
	static char big[100000], out[200000];
	socklen_t length = sizeof(room);

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends), 0);
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_DGRAM, 0, many), 0);
	setsockopt(ends[0], SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
	memset(big, 'b', sizeof(big));
	ck_assert_int_eq(send(ends[0], "one", 3, 0), 3);
	ck_assert_int_eq(send(ends[0], big, sizeof(big), 0), sizeof(big));
	ck_assert_int_eq(send(ends[0], "three", 5, 0), 5);
	ck_assert_int_eq(send(many[1], "a", 1, 0), 1);
	ck_assert_int_eq(send(many[1], "", 0, 0), 0);
	ck_assert_int_eq(send(many[1], "ccc", 3, 0), 3);
	SAVE(ends[0], ends[1], many[0], many[1]);
	ck_assert_int_eq(recv(ends[1], out, sizeof(out), MSG_PEEK), 3);
	AGAIN();
	ck_assert_int_eq(recv(ends[1], out, sizeof(out), 0), 3);
	ck_assert_int_eq(recv(ends[1], out, sizeof(out), 0), sizeof(big));
	ck_assert_int_eq(memcmp(big, out, sizeof(big)), 0);
	ck_assert_int_eq(recv(ends[1], out, sizeof(out), 0), 5);
	ck_assert_int_eq(recv(ends[1], out, 1, MSG_DONTWAIT), -1);
	ck_assert_int_eq(recv(many[0], out, sizeof(out), 0), 1);
	ck_assert_int_eq(recv(many[0], out, sizeof(out), 0), 0);
	ck_assert_int_eq(recv(many[0], out, sizeof(out), 0), 3);
	getsockopt(ends[0], SOL_SOCKET, SO_SNDBUF, &room, &length);
	ck_assert_int_ge(room, 400000);
}
END_TEST

static int unix_server(const char *path, int type, struct sockaddr_un *address)
{
	int fd = socket(AF_UNIX, type, 0);

	memset(address, 0, sizeof(*address));
	address->sun_family = AF_UNIX;
	strcpy(address->sun_path, path);
	ck_assert_int_eq(bind(fd, (void *)address, sizeof(*address)), 0);
	if (type != SOCK_DGRAM)
		ck_assert_int_eq(listen(fd, 5), 0);
	return fd;
}

START_TEST(unixsock_server)
{
	struct sockaddr_un address, name;
	int server = unix_server("socket", SOCK_STREAM, &address);
	int caller = socket(AF_UNIX, SOCK_STREAM, 0), accepted, waiting, late;
	socklen_t length = sizeof(name);
	struct stat st;
	char c;

	ck_assert_int_eq(connect(caller, (void *)&address, sizeof(address)), 0);
	accepted = accept(server, NULL, NULL);
	waiting = socket(AF_UNIX, SOCK_STREAM, 0);
	ck_assert_int_eq(connect(waiting, (void *)&address, sizeof(address)), 0);
	chmod("socket", 0640);
	ROUND(server, caller, accepted, waiting);
	ck_assert_str_eq(world_reports(), "");
	stat("socket", &st);
	ck_assert_int_eq(st.st_mode & 0777, 0640);
	ck_assert_int_eq(write(caller, "c", 1), 1);
	ck_assert_int_eq(read(accepted, &c, 1), 1);
	getsockname(accepted, (void *)&name, &length);
	ck_assert_str_eq(name.sun_path, "socket");
	length = sizeof(name);
	getpeername(caller, (void *)&name, &length);
	ck_assert_str_eq(name.sun_path, "socket");
	late = accept(server, NULL, NULL);
	ck_assert_int_ge(late, 0);
	ck_assert_int_eq(write(waiting, "w", 1), 1);
	ck_assert_int_eq(read(late, &c, 1), 1);
	ck_assert_int_eq(c, 'w');
}
END_TEST

START_TEST(unixsock_datagrams_by_name)
{
	struct sockaddr_un address;
	int server = unix_server("socket", SOCK_DGRAM, &address);
	int client = socket(AF_UNIX, SOCK_DGRAM, 0);
	char text[16];

	ck_assert_int_eq(connect(client, (void *)&address, sizeof(address)), 0);
	ck_assert_int_eq(send(client, "first", 5, 0), 5);
	ck_assert_int_eq(send(client, "2nd", 3, 0), 3);
	ROUND(client, server);
	ck_assert_str_eq(world_reports(), "");
	ck_assert_int_eq(recv(server, text, 16, 0), 5);
	ck_assert_int_eq(recv(server, text, 16, 0), 3);
	ck_assert_int_eq(send(client, "new", 3, 0), 3);
	ck_assert_int_eq(recv(server, text, 16, 0), 3);
}
END_TEST

START_TEST(unixsock_peer_gone_or_outside)
{
	int gone[2], outside[2];
	char text[16];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, gone), 0);
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, outside), 0);
	ck_assert_int_eq(write(gone[1], "left", 4), 4);
	close(gone[1]);
	SAVE(gone[0], outside[0]);
	AGAIN();
	ck_assert_ptr_nonnull(strstr(world_reports(), "outside"));
	ck_assert_int_eq(read(gone[0], text, 16), 4);
	ck_assert_int_eq(read(gone[0], text, 16), 0);
	ck_assert_int_eq(read(outside[0], text, 16), 0);
}
END_TEST

/* ---- internet sockets ---- */

START_TEST(inet_listener)
{
	struct sockaddr_in address = {.sin_family = AF_INET}, again;
	int server = socket(AF_INET, SOCK_STREAM, 0), client, one = 1;
	int datagrams = socket(AF_INET6, SOCK_DGRAM, 0);
	int fresh = socket(AF_INET, SOCK_STREAM, 0);
	socklen_t length = sizeof(address);

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	setsockopt(server, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	setsockopt(fresh, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	ck_assert_int_eq(bind(server, (void *)&address, length), 0);
	ck_assert_int_eq(listen(server, 7), 0);
	getsockname(server, (void *)&address, &length);
	ROUND(server, datagrams, fresh);
	ck_assert_str_eq(world_reports(), "");
	length = sizeof(again);
	getsockname(server, (void *)&again, &length);
	ck_assert_int_eq(address.sin_port, again.sin_port);
	client = socket(AF_INET, SOCK_STREAM, 0);
	ck_assert_int_eq(connect(client, (void *)&address, sizeof(address)), 0);
	ck_assert_int_ge(accept(server, NULL, NULL), 0);
	one = 0;
	length = sizeof(one);
	getsockopt(fresh, IPPROTO_TCP, TCP_NODELAY, &one, &length);
	ck_assert_int_eq(one, 1);
	ck_assert_int_eq(send(fresh, "x", 1, MSG_NOSIGNAL), -1);
}
END_TEST

START_TEST(inet_connection_is_reset)
{
	struct sockaddr_in address = {.sin_family = AF_INET};
	int server = socket(AF_INET, SOCK_STREAM, 0), accepted;
	int client = socket(AF_INET, SOCK_STREAM, 0);
	socklen_t length = sizeof(address);
	struct pollfd arrived = {client, POLLIN, 0};
	char text[16];

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	ck_assert_int_eq(bind(server, (void *)&address, length), 0);
	listen(server, 7);
	getsockname(server, (void *)&address, &length);
	ck_assert_int_eq(connect(client, (void *)&address, length), 0);
	accepted = accept(server, NULL, NULL);
	ck_assert_int_eq(write(accepted, "unread", 6), 6);
	ck_assert_int_eq(poll(&arrived, 1, 5000), 1);
	ROUND(client);
	ck_assert_ptr_nonnull(strstr(world_reports(), "lost"));
	ck_assert_int_eq(recv(client, text, 16, 0), 6);
	ck_assert_int_eq(recv(client, text, 16, 0), -1);
	ck_assert_int_eq(errno, ECONNRESET);
}
END_TEST

START_TEST(netlink_groups)
{
	struct sockaddr_nl name = {.nl_family = AF_NETLINK, .nl_groups = 1};
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_NONBLOCK, NETLINK_ROUTE);
	socklen_t length = sizeof(name);

	ck_assert_int_eq(bind(fd, (void *)&name, sizeof(name)), 0);
	getsockname(fd, (void *)&name, &length);
	ROUND(fd);
	ck_assert_str_eq(world_reports(), "");
	length = name.nl_pid;
	memset(&name, 0, sizeof(name));
	ck_assert_int_eq(getsockname(fd, (void *)&name, &(socklen_t){12}), 0);
	ck_assert_uint_eq(name.nl_pid, length);
	ck_assert_uint_eq(name.nl_groups, 1);
}
END_TEST

/* ---- others ---- */

START_TEST(pidfd_of_itself)
{
	int self = (int)syscall(SYS_pidfd_open, getpid(), 0), dead;
	struct pollfd ended = {-1, POLLIN, 0};
	pid_t pid = fork();

	if (pid == 0)
		_exit(0);
	dead = (int)syscall(SYS_pidfd_open, pid, 0);
	waitpid(pid, NULL, 0);
	ROUND(self, dead);
	ck_assert_int_eq(syscall(SYS_pidfd_send_signal, self, 0, NULL, 0), 0);
	ended.fd = dead;
	ck_assert_int_eq(poll(&ended, 1, 5000), 1);
}
END_TEST

START_TEST(inotify_watches)
{
	int fd = inotify_init1(IN_NONBLOCK), one, two, wd, i;
	char events[4096];

	mkdir("dir", 0700);
	for (i = 0; i < 9; i++) {
		wd = inotify_add_watch(fd, "dir", IN_CREATE);
		inotify_rm_watch(fd, wd);
	}
	one = inotify_add_watch(fd, ".", IN_CREATE);
	two = inotify_add_watch(fd, "/", IN_CREATE | IN_ONLYDIR);
	while (read(fd, events, sizeof(events)) > 0)
		;
	ROUND(fd);
	ck_assert_str_eq(world_reports(), "");
	close(open("data", O_RDWR | O_CREAT, 0600));
	ck_assert_int_gt(read(fd, events, sizeof(events)), 0);
	ck_assert_int_eq(((struct inotify_event *)events)->wd, one);
	ck_assert_int_eq(((struct inotify_event *)events)->mask, IN_CREATE);
	ck_assert_int_eq(inotify_rm_watch(fd, two), 0);
}
END_TEST

/* ---- files ---- */

START_TEST(file_position_and_flags)
{
	int a = open("data", O_RDWR | O_CREAT | O_CLOEXEC, 0600), b, c;
	char text[8];

	ck_assert_int_eq(write(a, "0123456789", 10), 10);
	b = open("data", O_WRONLY | O_APPEND);
	c = dup(a);
	lseek(a, 4, SEEK_SET);
	ROUND(a, b, c);
	ck_assert_int_eq(fcntl(a, F_GETFD), FD_CLOEXEC);
	ck_assert_int_eq(fcntl(c, F_GETFD), 0);
	ck_assert_int_eq(read(c, text, 2), 2);
	ck_assert_int_eq(memcmp(text, "45", 2), 0);
	ck_assert_int_eq(lseek(a, 0, SEEK_CUR), 6);
	ck_assert_int_eq(write(b, "x", 1), 1);
	ck_assert_int_eq(lseek(a, 0, SEEK_END), 11);
}
END_TEST

START_TEST(file_unlinked)
{
	int a = open("data", O_RDWR | O_CREAT, 0600), b;
	int nameless = open(".", O_RDWR | O_TMPFILE, 0600);
	char text[8];

	ck_assert_int_eq(write(a, "content", 7), 7);
	b = open("data", O_RDONLY);
	unlink("data");
	ck_assert_int_eq(write(nameless, "tmp", 3), 3);
	ROUND(a, b, nameless);
	ck_assert_int_eq(pread(nameless, text, 8, 0), 3);
	ck_assert_int_eq(read(b, text, 8), 7);
	ck_assert_int_eq(memcmp(text, "content", 7), 0);
	ck_assert_int_eq(write(a, "!", 1), 1);
	ck_assert_int_eq(read(b, text, 8), 1);
	ck_assert_int_eq(access("data", F_OK), -1);
}
END_TEST

START_TEST(file_locks)
{
	int posix = open("data", O_RDWR | O_CREAT, 0600);
	int ofd = open("data", O_RDWR), whole = open("data", O_RDONLY);
	int prober = open("data", O_RDWR);
	struct flock lock = {.l_type = F_WRLCK, .l_start = 5, .l_len = 10};

	ck_assert_int_eq(fcntl(posix, F_SETLK, &lock), 0);
	lock = (struct flock){.l_type = F_RDLCK, .l_start = 100};
	ck_assert_int_eq(fcntl(ofd, F_OFD_SETLK, &lock), 0);
	ck_assert_int_eq(flock(whole, LOCK_EX), 0);
	ROUND(posix, ofd, whole);
	ck_assert_str_eq(world_reports(), "");
	ck_assert_int_eq(flock(prober, LOCK_SH | LOCK_NB), -1);
	lock = (struct flock){.l_type = F_RDLCK, .l_start = 14, .l_len = 1};
	ck_assert_int_eq(fcntl(prober, F_OFD_GETLK, &lock), 0);
	ck_assert_int_eq(lock.l_type, F_WRLCK);
	ck_assert_int_eq(lock.l_start, 5);
	ck_assert_int_eq(lock.l_len, 10);
	lock = (struct flock){.l_type = F_WRLCK, .l_start = 50, .l_len = 60};
	ck_assert_int_eq(fcntl(prober, F_OFD_GETLK, &lock), 0);
	ck_assert_int_eq(lock.l_type, F_RDLCK);
	ck_assert_int_eq(lock.l_start, 100);
	ck_assert_int_eq(lock.l_len, 0);
}
END_TEST

START_TEST(file_others)
{
	int null = open("/dev/null", O_WRONLY), zero = open("/dev/zero", O_RDWR);
	int proc = open("/proc/self/comm", O_RDONLY);
	int path = open("/", O_PATH), dir;
	char c[32];

	mkdir("dir", 0700);
	dir = open("dir", O_RDONLY | O_DIRECTORY);
	ROUND(null, zero, proc, path, dir);
	ck_assert_int_eq(write(null, "x", 1), 1);
	ck_assert_int_eq(read(zero, c, 8), 8);
	ck_assert_int_gt(read(proc, c, sizeof(c)), 0);
	ck_assert(fcntl(path, F_GETFL) & O_PATH);
	ck_assert_int_eq(faccessat(path, "proc", F_OK, 0), 0);
	ck_assert_int_eq(mkdirat(dir, "x", 0700), 0);
	ck_assert_int_eq(unlinkat(dir, "x", AT_REMOVEDIR), 0);
	rmdir("dir");
	ROUND(dir);
	ck_assert_int_eq(mkdirat(dir, "x", 0700), -1);
}
END_TEST

START_TEST(memfd_seals)
{
	int fd = memfd_create("name", MFD_ALLOW_SEALING);
	char text[8];

	ck_assert_int_eq(write(fd, "memory", 6), 6);
	fcntl(fd, F_ADD_SEALS, F_SEAL_GROW | F_SEAL_WRITE);
	ROUND(fd);
	ck_assert_int_eq(pread(fd, text, 8, 0), 6);
	ck_assert_int_eq(memcmp(text, "memory", 6), 0);
	ck_assert_int_eq(lseek(fd, 0, SEEK_CUR), 6);
	ck_assert_int_eq(fcntl(fd, F_GET_SEALS), F_SEAL_GROW | F_SEAL_WRITE);
	ck_assert_int_eq(write(fd, "x", 1), -1);
}
END_TEST

START_TEST(refused_by_name)
{
	int fd;

	fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | 1);
	if (fd >= 0) {
		ck_assert_int_eq(world_save(&fd, 1), -EOPNOTSUPP);
		ck_assert_ptr_nonnull(strstr(world_refusal(), "userfaultfd"));
	}
}
END_TEST

/* ---- the process ---- */

static void count_signal(int number)
{
	(void)number;
}

START_TEST(signals_queue_and_actions)
{
	struct sigaction action = {.sa_handler = count_signal,
				   .sa_flags = SA_RESTART | SA_NODEFER};
	struct timespec now = {0, 0};
	union sigval value;
	siginfo_t info;
	sigset_t all, old;
	int i;

	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &old);
	sigaction(SIGUSR2, &action, NULL);
	for (i = 0; i < 200; i++) {
		value.sival_int = i;
		ck_assert_int_eq(sigqueue(getpid(), SIGRTMIN + 3, value), 0);
	}
	kill(getpid(), SIGUSR1);
	ck_assert_int_eq(world_capture(&signals_saver), 0);
	/* In this life nothing has changed ... */
	for (i = 0; i < 200; i++) {
		ck_assert_int_gt(sigtimedwait(&all, &info, &now), 0);
		if (info.si_signo == SIGUSR1)
			ck_assert_int_gt(sigtimedwait(&all, &info, &now), 0);
		ck_assert_int_eq(info.si_value.sival_int, i);
		ck_assert_int_eq(info.si_code, SI_QUEUE);
	}
	ck_assert_int_eq(sigtimedwait(&all, &info, &now), -1);
	/* ... and in the next it is as it was. */
	signal(SIGUSR2, SIG_DFL);
	ck_assert_int_eq(signals_saver.revive(), 0);
	sigaction(SIGUSR2, NULL, &action);
	ck_assert_ptr_eq(action.sa_handler, count_signal);
	ck_assert(action.sa_flags & SA_NODEFER);
	ck_assert_int_eq(sigtimedwait(&all, &info, &now), SIGUSR1);
	ck_assert_int_eq(info.si_pid, getpid());
	for (i = 0; i < 200; i++) {
		ck_assert_int_gt(sigtimedwait(&all, &info, &now), 0);
		ck_assert_int_eq(info.si_value.sival_int, i);
	}
	sigprocmask(SIG_SETMASK, &old, NULL);
}
END_TEST

/* 0: the process has all of them. */
static int timers_look(const int *ids)
{
	struct itimerspec spec;
	struct itimerval real;
	int i;

	if (timers_saver.revive() != 0)
		return 1;
	for (i = 0; i < 150; i++)
		if (syscall(SYS_timer_gettime, ids[i], &spec) != 0 ||
		    spec.it_value.tv_sec < 995 + i ||
		    spec.it_value.tv_sec > 1000 + i ||
		    spec.it_interval.tv_sec != 3)
			return 2;
	getitimer(ITIMER_REAL, &real);
	return real.it_value.tv_sec < 1995 || real.it_interval.tv_sec != 5;
}

START_TEST(timers_ids_and_rest)
{
	struct itimerspec spec = {{3, 0}, {1000, 0}};
	struct itimerval real = {{5, 0}, {2000, 0}};
	struct sigevent event = {.sigev_notify = SIGEV_SIGNAL,
				 .sigev_signo = SIGRTMIN + 1};
	int ids[150], i, spare, status;
	pid_t pid;

	for (i = 0; i < 150; i++) {
		ck_assert_int_eq(syscall(SYS_timer_create,
					 i & 1 ? CLOCK_MONOTONIC :
						 CLOCK_PROCESS_CPUTIME_ID,
					 &event, &ids[i]),
				 0);
		spec.it_value.tv_sec = 1000 + i;
		syscall(SYS_timer_settime, ids[i], 0, &spec, NULL);
		if (i % 3 == 0) { /* holes */
			syscall(SYS_timer_create, CLOCK_REALTIME, &event,
				&spare);
			syscall(SYS_timer_delete, spare);
		}
	}
	setitimer(ITIMER_REAL, &real, NULL);
	ck_assert_int_eq(world_capture(&timers_saver), 0);
	/* A child has no timers, and has not counted any ids yet. */
	pid = fork();
	if (pid == 0)
		_exit(timers_look(ids));
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
}
END_TEST

START_TEST(process_attributes)
{
	struct rlimit limit = {100, 200};
	int value = 0;

	setrlimit(RLIMIT_CORE, &limit);
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	prctl(PR_SET_DUMPABLE, 0);
	ck_assert_int_eq(world_capture(&process_saver), 0);
	prctl(PR_SET_CHILD_SUBREAPER, 0);
	prctl(PR_SET_DUMPABLE, 1);
	limit.rlim_cur = 50;
	setrlimit(RLIMIT_CORE, &limit);
	ck_assert_int_eq(process_saver.revive(), 0);
	ck_assert_int_eq(prctl(PR_GET_DUMPABLE), 0);
	prctl(PR_GET_CHILD_SUBREAPER, &value);
	ck_assert_int_eq(value, 1);
	getrlimit(RLIMIT_CORE, &limit);
	ck_assert_uint_eq(limit.rlim_cur, 100);
	ck_assert_uint_eq(limit.rlim_max, 200);
}
END_TEST

/* The same on a kernel that has less. */
static void mask_features(void)
{
	enter_folder();
	setenv("CKPT_MASK", "tee,timer_ids,eventfd_semaphore,"
			    "membarrier_registrations", 1);
}

static void unmask_features(void)
{
	unsetenv("CKPT_MASK");
	leave_folder();
}

static TCase *masked_tests(void)
{
	TCase *tests = tcase_create("masked");

	tcase_add_checked_fixture(tests, mask_features, unmask_features);
	tcase_add_test(tests, eventfd_counter);
	tcase_add_test(tests, pipe_content);
	tcase_add_test(tests, pipe_packets);
	tcase_add_test(tests, pipe_many_descriptions);
	tcase_add_test(tests, pipe_writer_gone);
	tcase_add_test(tests, fifo_by_name);
	tcase_add_test(tests, timers_ids_and_rest);
	tcase_add_test(tests, process_attributes);
	return tests;
}

int main(void)
{
	Suite *suite = suite_create("plugins");
	TCase *tests = tcase_create("kinds");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_add_checked_fixture(tests, enter_folder, leave_folder);
	tcase_add_test(tests, eventfd_counter);
	tcase_add_test(tests, signalfd_mask);
	tcase_add_test(tests, timerfd_time_left);
	tcase_add_test(tests, timerfd_ticks);
	tcase_add_test(tests, timerfd_absolute);
	tcase_add_test(tests, epoll_entries);
	tcase_add_test(tests, epoll_number_reused);
	tcase_add_test(tests, pipe_content);
	tcase_add_test(tests, pipe_packets);
	tcase_add_test(tests, pipe_many_descriptions);
	tcase_add_test(tests, pipe_writer_gone);
	tcase_add_test(tests, pipe_other_end_outside);
	tcase_add_test(tests, fifo_by_name);
	tcase_add_test(tests, unixsock_stream);
	tcase_add_test(tests, unixsock_packets);
	tcase_add_test(tests, unixsock_server);
	tcase_add_test(tests, unixsock_datagrams_by_name);
	tcase_add_test(tests, unixsock_peer_gone_or_outside);
	tcase_add_test(tests, inet_listener);
	tcase_add_test(tests, inet_connection_is_reset);
	tcase_add_test(tests, netlink_groups);
	tcase_add_test(tests, pidfd_of_itself);
	tcase_add_test(tests, inotify_watches);
	tcase_add_test(tests, file_position_and_flags);
	tcase_add_test(tests, file_unlinked);
	tcase_add_test(tests, file_locks);
	tcase_add_test(tests, file_others);
	tcase_add_test(tests, memfd_seals);
	tcase_add_test(tests, refused_by_name);
	tcase_add_test(tests, signals_queue_and_actions);
	tcase_add_test(tests, timers_ids_and_rest);
	tcase_add_test(tests, process_attributes);
	suite_add_tcase(suite, tests);
	suite_add_tcase(suite, masked_tests());
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
