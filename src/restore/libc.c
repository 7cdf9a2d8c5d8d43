// SPDX-License-Identifier: MIT
/*
 * What liblz4.a calls by name beside sys/memory.c. Of LZ4 we use what allocates
 * nothing; the allocator below is only there for the rest of the object.
 */
#include <stddef.h>

void *malloc(size_t n);
void *calloc(size_t n, size_t size);
void free(void *p);
void __stack_chk_fail(void);

void *malloc(size_t n)
{
	(void)n;
	__builtin_trap();
}

void *calloc(size_t n, size_t size)
{
	(void)n;
	(void)size;
	__builtin_trap();
}

void free(void *p)
{
	(void)p;
	__builtin_trap();
}

void __stack_chk_fail(void)
{
	__builtin_trap();
}
