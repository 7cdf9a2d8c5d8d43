/* SPDX-License-Identifier: MIT */
/* A memfd keeps content, seals and offset, mapped or not. */
#include "twice.h"

#include <sys/mman.h>

static int sealed, mapped;
static char *memory;

static void prepare(void)
{
	sealed = memfd_create("sealed", MFD_ALLOW_SEALING);
	check(write(sealed, "content", 7) == 7);
	check(lseek(sealed, 3, SEEK_SET) == 3);
	check(fcntl(sealed, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK) == 0);
	mapped = memfd_create("mapped", MFD_CLOEXEC);
	check(ftruncate(mapped, 100000) == 0);
	memory = mmap(NULL, 100000, PROT_READ | PROT_WRITE, MAP_SHARED, mapped, 0);
	check(memory != MAP_FAILED);
	strcpy(memory + 90000, "through memory");
}

static void verify(void)
{
	char text[32] = "";

	check(read(sealed, text, 8) == 4 && !memcmp(text, "tent", 4));
	check(fcntl(sealed, F_GET_SEALS) == (F_SEAL_WRITE | F_SEAL_SHRINK));
	check(write(sealed, "x", 1) < 0 && errno == EPERM);
	check(pread(mapped, text, 15, 90000) == 15);
	check(!strcmp(text, "through memory"));
	/* One object still, not two copies. */
	check(pwrite(mapped, "again", 6, 50000) == 6);
	check(!strcmp(memory + 50000, "again"));
	check(munmap(memory, 100000) == 0);
	close(sealed), close(mapped);
}

int main(void)
{
	return twice(prepare, verify);
}
