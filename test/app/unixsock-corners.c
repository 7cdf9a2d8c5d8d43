/* SPDX-License-Identifier: MIT */
/*
 * Unix sockets in rare states: descriptors amid a long stream, ends that were
 * closed with something unread, many datagrams between two that know each
 * other, a peer that has gone, a place to peek at, credentials that nobody
 * wanted yet, packets without content, no standard input.
 */
#include "twice.h"

#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

#define BEFORE 20000
#define AMID 30000
#define AFTER 10000

static int stream[2], pipes[2], reset[2], packets[2], a, b, lonely, peek[2];
static int who[2], empty[2], orphan[2], fallen;

static int bound(const char *name, int type)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, type, 0);

	strcpy(address.sun_path, name);
	unlink(name);
	check(fd >= 0);
	check(bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0);
	return fd;
}

static void join(int fd, const char *name)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	strcpy(address.sun_path, name);
	check(connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0);
}

static void send_with(int to, const void *data, size_t length, int type,
		      const void *control, size_t control_length)
{
	union {
		char space[64];
		struct cmsghdr head;
	} space = {.head = {CMSG_LEN(control_length), SOL_SOCKET, type}};
	struct iovec vector = {(void *)(uintptr_t)data, length};
	struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1,
				 .msg_control = &space,
				 .msg_controllen = CMSG_SPACE(control_length)};

	memcpy(CMSG_DATA(&space.head), control, control_length);
	check(sendmsg(to, &message, 0) == (ssize_t)length);
}

/* Reads all of it, in pieces; returns how many descriptors came, *fd the last
 * and *at the place it came with. */
static int receive_all(int from, size_t length, int *fd, size_t *at)
{
	static char text[7000];
	size_t got = 0, i;
	int count = 0;

	while (got < length) {
		char space[64];
		struct iovec vector = {text, sizeof(text)};
		struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1,
					 .msg_control = space,
					 .msg_controllen = sizeof(space)};
		ssize_t n = recvmsg(from, &message, MSG_DONTWAIT);
		struct cmsghdr *head = CMSG_FIRSTHDR(&message);

		check(n > 0);
		for (i = 0; i < (size_t)n; i++)
			check(text[i] == (char)((got + i) % 251));
		if (head && head->cmsg_type == SCM_RIGHTS) {
			memcpy(fd, CMSG_DATA(head), sizeof(*fd));
			*at = got;
			count++;
		}
		got += (size_t)n;
	}
	return count;
}

static void prepare(void)
{
	static char text[BEFORE + AMID + AFTER];
	struct ucred me = {getpid(), getuid(), getgid()};
	int i, three = 3;
	size_t k;

	check(fcntl(0, F_GETFD) >= 0 || open("/dev/null", O_RDWR) == 0);
	for (k = 0; k < sizeof(text); k++)
		text[k] = (char)(k % 251);
	check(pipe2(pipes, O_NONBLOCK) == 0);
	check(socketpair(AF_UNIX, SOCK_STREAM, 0, stream) == 0);
	check(write(stream[1], text, BEFORE) == BEFORE);
	send_with(stream[1], text + BEFORE, AMID, SCM_RIGHTS, &pipes[1],
		  sizeof(int));
	check(write(stream[1], text + BEFORE + AMID, AFTER) == AFTER);
	close(pipes[1]);

	check(socketpair(AF_UNIX, SOCK_STREAM, 0, reset) == 0);
	check(write(reset[0], "unread", 6) == 6);
	check(write(reset[1], "last", 4) == 4);
	close(reset[1]);
	check(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, packets) == 0);
	check(write(packets[0], "unread", 6) == 6);
	check(write(packets[1], "last", 4) == 4);
	close(packets[1]);

	a = bound("a", SOCK_DGRAM);
	b = bound("b", SOCK_DGRAM);
	join(a, "b");
	join(b, "a");
	for (i = 0; i < 50; i++)
		check(send(a, &i, sizeof(i), 0) == sizeof(i));

	lonely = bound("gone", SOCK_DGRAM);
	fallen = socket(AF_UNIX, SOCK_DGRAM, 0);
	join(fallen, "gone");
	close(lonely);
	check(socketpair(AF_UNIX, SOCK_DGRAM, 0, orphan) == 0);
	check(send(orphan[1], "will", 4, 0) == 4);
	close(orphan[1]);

	check(socketpair(AF_UNIX, SOCK_STREAM, 0, peek) == 0);
	check(write(peek[1], "abcdef", 6) == 6);
	check(setsockopt(peek[0], SOL_SOCKET, SO_PEEK_OFF, &three,
			 sizeof(three)) == 0);
	check(socketpair(AF_UNIX, SOCK_DGRAM, 0, who) == 0);
	send_with(who[1], "me", 2, SCM_CREDENTIALS, &me, sizeof(me));
	check(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, empty) == 0);
	check(send(empty[1], "", 0, 0) == 0);
	check(send(empty[1], "x", 1, 0) == 1);
	check(shutdown(empty[1], SHUT_WR) == 0);
	close(0);
}

static void verify(void)
{
	char text[100], space[100];
	struct iovec vector = {text, sizeof(text)};
	struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1,
				 .msg_control = space,
				 .msg_controllen = sizeof(space)};
	struct cmsghdr *head;
	struct ucred *me;
	int fd = -1, i, one = 1, value;
	size_t at = 0;

	check(fcntl(0, F_GETFD) < 0);
	check(receive_all(stream[0], BEFORE + AMID + AFTER, &fd, &at) == 1);
	check(at <= BEFORE && at + 7000 > BEFORE);
	check(read(pipes[0], text, 1) < 0 && errno == EAGAIN);
	check(write(fd, "p", 1) == 1);
	close(fd);
	check(read(pipes[0], text, 2) == 1);
	check(read(pipes[0], text, 1) == 0); /* it was the only one */

	check(read(reset[0], text, 100) == 4);
	check(read(reset[0], text, 100) < 0 && errno == ECONNRESET);
	check(read(reset[0], text, 100) == 0);
	i = read(packets[0], text, 100);
	if (i < 0) /* not if somebody has looked */
		check(errno == ECONNRESET && (i = read(packets[0], text, 100)));
	check(i == 4 && !memcmp(text, "last", 4));

	for (i = 0; i < 50; i++)
		check(recv(b, &value, sizeof(value), MSG_DONTWAIT) ==
			      sizeof(value) && value == i);
	check(send(b, "back", 4, 0) == 4 && recv(a, text, 100, 0) == 4);
	check(access("a", F_OK) == 0 && access("b", F_OK) == 0);
	check(send(fallen, "x", 1, 0) < 0 && errno == ECONNREFUSED);
	check(recv(orphan[0], text, 100, MSG_DONTWAIT) == 4);
	check(send(orphan[0], "x", 1, 0) < 0 && errno == ECONNREFUSED);

	check(recv(peek[0], text, 100, MSG_PEEK) == 3 && *text == 'd');
	check(read(peek[0], text, 100) == 6);
	check(setsockopt(who[0], SOL_SOCKET, SO_PASSCRED, &one, sizeof(one)) ==
	      0);
	check(recvmsg(who[0], &message, 0) == 2);
	head = CMSG_FIRSTHDR(&message);
	check(head && head->cmsg_type == SCM_CREDENTIALS);
	me = (void *)CMSG_DATA(head);
	check(me->pid == getpid() && me->uid == getuid());
	check(recv(empty[0], text, 100, 0) == 0);
	check(recv(empty[0], text, 100, 0) == 1);
	check(recv(empty[0], text, 100, 0) == 0);
	close(stream[0]), close(stream[1]), close(pipes[0]), close(reset[0]);
	close(packets[0]), close(a), close(b), close(fallen), close(orphan[0]);
	close(peek[0]), close(peek[1]), close(who[0]), close(who[1]);
	close(empty[0]), close(empty[1]);
}

int main(void)
{
	return twice(prepare, verify);
}
