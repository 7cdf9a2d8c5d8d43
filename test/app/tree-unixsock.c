/* SPDX-License-Identifier: MIT */
/*
 * Unix sockets between processes: a pair, a server with a name and its
 * clients, one of which is not accepted yet, datagrams from a sender with a
 * name the kernel gave, who is at the other end, credentials in a queue,
 * halves that are closed, descriptors on their way.
 */
#include "twice.h"

#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

static struct sockaddr_un abstract = {.sun_family = AF_UNIX};
static int pair[2], packets[2], half[2], listener, accepted, datagrams, rights[2];
static int mute[2], release[2];
static pid_t child;

static struct sockaddr_un address_of(const char *name, socklen_t *length)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	if (*name == '@')
		memcpy(address.sun_path + 1, name + 1, strlen(name) - 1);
	else
		strcpy(address.sun_path, name);
	*length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) +
			      strlen(name) + (*name != '@'));
	return address;
}

static int named(int type, const char *name)
{
	socklen_t length;
	struct sockaddr_un address = address_of(name, &length);
	int fd = socket(AF_UNIX, type, 0);

	unlink(name);
	check(fd >= 0 && bind(fd, (struct sockaddr *)&address, length) == 0);
	return fd;
}

static int caller(int type, const char *name)
{
	socklen_t length;
	struct sockaddr_un address = address_of(name, &length);
	int fd = socket(AF_UNIX, type, 0);

	check(fd >= 0);
	check(connect(fd, (struct sockaddr *)&address, length) == 0);
	return fd;
}

static pid_t peer_of(int fd)
{
	struct ucred who;
	socklen_t size = sizeof(who);

	check(getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &size) == 0);
	check(who.uid == getuid() && who.gid == getgid());
	return who.pid;
}

static void send_fd(int to, int fd, const char *word)
{
	union {
		char space[CMSG_SPACE(sizeof(int))];
		struct cmsghdr head;
	} control = {.head = {CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS}};
	struct iovec vector = {(void *)(uintptr_t)word, strlen(word)};
	struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1,
				 .msg_control = &control,
				 .msg_controllen = sizeof(control)};

	memcpy(CMSG_DATA(&control.head), &fd, sizeof(fd));
	check(sendmsg(to, &message, 0) == (ssize_t)strlen(word));
}

/* Returns the descriptor in it, -1: none; *pid the sender's. */
static int receive(int from, const char *word, pid_t *pid)
{
	char text[100], space[200];
	struct iovec vector = {text, sizeof(text)};
	struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1,
				 .msg_control = space,
				 .msg_controllen = sizeof(space)};
	struct cmsghdr *head;
	ssize_t got = recvmsg(from, &message, 0);
	int fd = -1;

	check(got == (ssize_t)strlen(word) && memcmp(text, word, got) == 0);
	for (head = CMSG_FIRSTHDR(&message); head;
	     head = CMSG_NXTHDR(&message, head)) {
		if (head->cmsg_type == SCM_RIGHTS)
			memcpy(&fd, CMSG_DATA(head), sizeof(fd));
		else if (head->cmsg_type == SCM_CREDENTIALS)
			memcpy(pid, CMSG_DATA(head), sizeof(*pid));
	}
	return fd;
}

static void be_child(void)
{
	int first, second, talk, file, end[2];
	char byte;

	close(pair[0]), close(packets[0]), close(half[0]), close(rights[0]);
	close(release[1]);
	check(write(pair[1], "to the parent", 13) == 13);
	check(send(packets[1], "one", 3, 0) == 3);
	check(send(packets[1], "other", 5, 0) == 5);
	check(shutdown(half[1], SHUT_WR) == 0);
	first = caller(SOCK_STREAM, "server");
	second = caller(SOCK_STREAM, "server");
	check(write(first, "hello", 5) == 5);
	talk = socket(AF_UNIX, SOCK_DGRAM, 0);
	check(bind(talk, &(struct sockaddr){.sa_family = AF_UNIX}, 2) == 0);
	check(connect(talk, (struct sockaddr *)&abstract, 16) == 0);
	check(send(talk, "datagram", 8, 0) == 8);
	file = open("passed", O_RDWR | O_CREAT | O_TRUNC, 0600);
	check(file >= 0 && write(file, "0123456789", 10) == 10);
	check(lseek(file, 4, SEEK_SET) == 4);
	send_fd(rights[1], file, "file");
	check(pipe(end) == 0 && write(end[1], "piped", 5) == 5);
	send_fd(rights[1], end[0], "pipe");
	close(end[0]);
	check(write(mute[1], "set", 3) == 3);

	check(read(release[0], &byte, 1) == 1);
	check(lseek(file, 0, SEEK_CUR) == 5); /* the parent has read one */
	check(write(end[1], "more", 4) == 4);
	check(peer_of(pair[1]) == getppid());
	check(peer_of(first) == getppid());
	check(send(talk, "again", 5, 0) == 5);
	check(write(second, "late", 4) == 4);
	check(read(pair[1], &byte, 1) == 1 && byte == '!');
	check(read(half[1], &byte, 1) == 1 && byte == 'h');
	_exit(7);
}

static void prepare(void)
{
	int on = 1;
	char word[3];

	check(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
	check(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, packets) == 0);
	check(socketpair(AF_UNIX, SOCK_STREAM, 0, half) == 0);
	check(socketpair(AF_UNIX, SOCK_DGRAM, 0, rights) == 0);
	check(setsockopt(packets[0], SOL_SOCKET, SO_PASSCRED, &on,
			 sizeof(on)) == 0);
	check(pipe(mute) == 0 && pipe(release) == 0);
	listener = named(SOCK_STREAM, "server");
	check(listen(listener, 5) == 0);
	/* Others may run this, too, and have the same space of names. */
	snprintf(abstract.sun_path + 1, 14, "tree%09d", getpid());
	datagrams = socket(AF_UNIX, SOCK_DGRAM, 0);
	check(bind(datagrams, (struct sockaddr *)&abstract, 16) == 0);
	child = fork();
	check(child >= 0);
	if (child == 0)
		be_child();
	close(pair[1]), close(packets[1]), close(half[1]), close(rights[1]);
	close(release[0]), close(mute[1]);
	accepted = accept(listener, NULL, NULL);
	check(accepted >= 0 && peer_of(accepted) == child);
	check(read(mute[0], word, 3) == 3);
}

static void verify(void)
{
	struct sockaddr_un from;
	socklen_t length = sizeof(from);
	char text[100];
	struct stat st;
	pid_t pid = 0;
	int fd, status;

	check(read(pair[0], text, 100) == 13);
	check(receive(packets[0], "one", &pid) == -1 && pid == child);
	check(receive(packets[0], "other", &pid) == -1);
	check(read(half[0], text, 1) == 0 && write(half[0], "h", 1) == 1);
	check(read(accepted, text, 100) == 5 && peer_of(accepted) == child);
	check(getsockname(accepted, (struct sockaddr *)&from, &length) == 0);
	check(strcmp(from.sun_path, "server") == 0);
	check(stat("server", &st) == 0 && S_ISSOCK(st.st_mode));
	close(accepted);
	length = sizeof(from);
	check(recvfrom(datagrams, text, 100, 0, (struct sockaddr *)&from,
		       &length) == 8);
	check(length == 8 && from.sun_path[0] == 0);
	fd = receive(rights[0], "file", &pid);
	check(fd >= 0 && read(fd, text, 1) == 1 && *text == '4');
	close(fd);
	fd = receive(rights[0], "pipe", &pid);
	check(fd >= 0 && read(fd, text, 100) == 5);
	check(write(release[1], "g", 1) == 1);
	check(read(fd, text, 100) == 4);
	close(fd);
	check(recv(datagrams, text, 100, 0) == 5);
	accepted = accept(listener, NULL, NULL);
	check(accepted >= 0 && peer_of(accepted) == child);
	check(read(accepted, text, 100) == 4);
	check(write(pair[0], "!", 1) == 1);
	check(waitpid(child, &status, 0) == child);
	check(WIFEXITED(status) && WEXITSTATUS(status) == 7);
	check(read(pair[0], text, 1) == 0);
	close(pair[0]), close(packets[0]), close(half[0]), close(rights[0]);
	close(listener), close(accepted), close(datagrams), close(mute[0]);
	close(release[1]);
}

int main(void)
{
	alarm(60);
	return twice(prepare, verify);
}
