/* SPDX-License-Identifier: MIT */
/*
 * Descriptors of one open file description, and others of the same file that
 * only look so: who shares an offset before shares it afterwards.
 */
#include "story.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>

#define FILES 40

int main(void)
{
	int fds[FILES], copies[FILES], events[FILES], value[2];
	char path[4096];
	uint64_t count;

	story_path(path, sizeof(path), "shared");
	for (int i = 0; i < FILES; i++) {
		fds[i] = open(path, O_RDWR | O_CREAT, 0600);
		check(fds[i] >= 0);
		events[i] = eventfd((unsigned)i, EFD_NONBLOCK);
		check(events[i] >= 0);
	}
	check(ftruncate(fds[0], 4096) == 0);
	/* Same offset, same flags: only the description tells them apart. */
	for (int i = 0; i < FILES; i++) {
		copies[i] = dup(fds[FILES - 1 - i]);
		check(copies[i] >= 0);
	}
	value[0] = dup(events[7]);
	value[1] = fcntl(events[7], F_DUPFD_CLOEXEC, 300);
	check(value[0] >= 0 && value[1] == 300);
	check(fcntl(fds[3], F_SETSIG, 62) == 0);
	for (int life = 0; life < 2; life++) {
		story_ready();
		for (int i = 0; i < FILES; i++)
			check(lseek(fds[i], i + 1000 * life, SEEK_SET) >= 0);
		for (int i = 0; i < FILES; i++)
			check(lseek(copies[i], 0, SEEK_CUR) ==
			      FILES - 1 - i + 1000 * life);
		check(fcntl(fds[3], F_GETSIG) == 62);
		check(fcntl(copies[FILES - 4], F_GETSIG) == 62);
		check(fcntl(fds[4], F_GETSIG) == 0);
		for (int i = 0; i < FILES; i++)
			check(lseek(fds[i], 0, SEEK_SET) == 0);
	}
	check(read(value[0], &count, sizeof(count)) == 8 && count == 7);
	check(read(events[7], &count, sizeof(count)) < 0 && errno == EAGAIN);
	check(read(value[1], &count, sizeof(count)) < 0 && errno == EAGAIN);
	check(read(events[8], &count, sizeof(count)) == 8 && count == 8);
	return 0;
}
