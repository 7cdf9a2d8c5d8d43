/* SPDX-License-Identifier: MIT */
/* argv[2] MiB of resident memory, every page with a value of its own, changed
 * in rounds until the gate file exists, then checked. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	uint64_t bytes = (argc > 2 ? strtoull(argv[2], NULL, 10) : 4096) << 20;
	uint64_t pages = bytes / 4096, rounds = 0, bad = 0, at = 0;
	uint64_t *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
				MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED) {
		perror("mmap");
		return 77;
	}
	for (uint64_t p = 0; p < pages; p++)
		for (int i = 0; i < 512; i += 8)
			memory[p * 512 + i] = p * 2654435761u + i;
	puts("ready");
	fflush(stdout);
	while (access(argv[1], F_OK) != 0) {
		for (int i = 0; i < 1000; i++, rounds++, at = (at + 1) % pages)
			memory[at * 512 + 1]++;
	}
	for (uint64_t p = 0; p < pages; p++) {
		for (int i = 0; i < 512; i += 8)
			bad += memory[p * 512 + i] != p * 2654435761u + i;
		bad += memory[p * 512 + 1] != rounds / pages + (p < rounds % pages);
	}
	printf("done rounds=%lu %s\n", (unsigned long)rounds, bad ? "WRONG" : "ok");
	return bad != 0;
}
