/* SPDX-License-Identifier: MIT */
/*
 * Raw system calls: the result, or -errno. No errno, no TLS, no libc; usable
 * in every room. One inline function a call; add what you need, sorted by
 * subject. Also the small things that frozen and bare code cannot take from
 * libc (sys_strlen, sys_memcpy ... in sys/string.h, sys/format.h).
 */
#ifndef SYS_SYS_H
#define SYS_SYS_H

#include <fcntl.h>
#include <linux/time_types.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>

#include "sys/arch/syscall.h"

#define SYS_CALL(nr, ...) sys_call_(nr, ##__VA_ARGS__, 0, 0, 0, 0, 0, 0)
#define sys_call_(nr, a, b, c, d, e, f, ...)                                   \
	sys_call6(nr, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e),   \
		  (long)(f))

/* files */
static inline long sys_openat(int dir, const char *path, int flags, int mode)
{
	return SYS_CALL(SYS_openat, dir, path, flags, mode);
}

static inline long sys_close(int fd)
{
	return SYS_CALL(SYS_close, fd);
}

static inline long sys_read(int fd, void *buffer, size_t length)
{
	return SYS_CALL(SYS_read, fd, buffer, length);
}

static inline long sys_write(int fd, const void *buffer, size_t length)
{
	return SYS_CALL(SYS_write, fd, buffer, length);
}

static inline long sys_pread(int fd, void *buffer, size_t length, uint64_t at)
{
	return SYS_CALL(SYS_pread64, fd, buffer, length, at);
}

static inline long sys_pwrite(int fd, const void *buffer, size_t length,
			      uint64_t at)
{
	return SYS_CALL(SYS_pwrite64, fd, buffer, length, at);
}

static inline long sys_ioctl(int fd, unsigned long request, void *argument)
{
	return SYS_CALL(SYS_ioctl, fd, request, argument);
}

static inline long sys_fcntl(int fd, int command, unsigned long argument)
{
	return SYS_CALL(SYS_fcntl, fd, command, argument);
}

static inline long sys_readlinkat(int dir, const char *path, char *buffer,
				  size_t length)
{
	return SYS_CALL(SYS_readlinkat, dir, path, buffer, length);
}

/* memory */
static inline long sys_mmap(void *addr, size_t length, int prot, int flags,
			    int fd, uint64_t offset)
{
	return SYS_CALL(SYS_mmap, addr, length, prot, flags, fd, offset);
}

static inline long sys_munmap(void *addr, size_t length)
{
	return SYS_CALL(SYS_munmap, addr, length);
}

static inline long sys_mprotect(void *addr, size_t length, int prot)
{
	return SYS_CALL(SYS_mprotect, addr, length, prot);
}

static inline long sys_madvise(void *addr, size_t length, int advice)
{
	return SYS_CALL(SYS_madvise, addr, length, advice);
}

/* time */
static inline uint64_t sys_clock_ns(int clock)
{
	struct __kernel_timespec now = {0, 0};

	SYS_CALL(SYS_clock_gettime, clock, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* futex: operations are FUTEX_WAIT etc. of linux/futex.h */
static inline long sys_futex(uint32_t *word, int operation, uint32_t value,
			     const struct __kernel_timespec *timeout)
{
	return SYS_CALL(SYS_futex, word, operation, value, timeout);
}

/* tasks */
static inline int sys_gettid(void)
{
	return (int)SYS_CALL(SYS_gettid);
}

static inline int sys_getpid(void)
{
	return (int)SYS_CALL(SYS_getpid);
}

static inline _Noreturn void sys_exit(int status)
{
	for (;;)
		SYS_CALL(SYS_exit, status);
}

static inline _Noreturn void sys_exit_group(int status)
{
	for (;;)
		SYS_CALL(SYS_exit_group, status);
}

#endif
