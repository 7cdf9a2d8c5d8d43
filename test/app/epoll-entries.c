/* SPDX-License-Identifier: MIT */
/*
 * Entries of an epoll: data, edge, one-shot fired, nested, closed but
 * registered.
 */
#include "twice.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>

static int level, edge, fired, kept, epfd, outer;

static void add(int set, int fd, uint32_t events, uint64_t data)
{
	struct epoll_event event = {events, {.u64 = data}};

	check(epoll_ctl(set, EPOLL_CTL_ADD, fd, &event) == 0);
}

static void prepare(void)
{
	struct epoll_event got;
	int number;

	level = eventfd(0, EFD_NONBLOCK);
	edge = eventfd(0, EFD_NONBLOCK);
	fired = eventfd(1, EFD_NONBLOCK);
	kept = eventfd(0, EFD_NONBLOCK);
	epfd = epoll_create1(0);
	outer = epoll_create1(EPOLL_CLOEXEC);
	add(epfd, fired, EPOLLIN | EPOLLONESHOT, 1);
	check(epoll_wait(epfd, &got, 1, 0) == 1);
	add(epfd, level, EPOLLIN, 0xfedcba9876543210);
	add(epfd, edge, EPOLLIN | EPOLLET, 3);
	number = dup(kept);
	add(epfd, number, EPOLLIN, 4);
	close(number);
	add(outer, epfd, EPOLLIN, 5);
}

static void expect(int set, uint64_t data)
{
	struct epoll_event got[4];

	check(epoll_wait(set, got, 4, 0) == 1);
	check(got[0].data.u64 == data);
}

static void verify(void)
{
	struct epoll_event got = {EPOLLIN | EPOLLONESHOT, {.u64 = 6}};
	eventfd_t count;

	check(epoll_wait(outer, &got, 1, 0) == 0);
	eventfd_write(level, 1);
	expect(outer, 5);
	expect(epfd, 0xfedcba9876543210);
	eventfd_read(level, &count);
	eventfd_write(edge, 1);
	expect(epfd, 3);
	check(epoll_wait(epfd, &got, 1, 0) == 0);
	eventfd_write(kept, 1);
	expect(epfd, 4);
	eventfd_read(kept, &count);
	got = (struct epoll_event){EPOLLIN | EPOLLONESHOT, {.u64 = 6}};
	check(epoll_ctl(epfd, EPOLL_CTL_MOD, fired, &got) == 0);
	expect(epfd, 6);
	close(level);
	close(edge);
	close(fired);
	close(kept);
	close(epfd);
	close(outer);
}

int main(void)
{
	return twice(prepare, verify);
}
