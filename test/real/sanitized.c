/* SPDX-License-Identifier: MIT */
/* BUILD: -fsanitize=address */
/* A program with AddressSanitizer: terabytes of shadow are reserved, malloc
 * and memcpy are its own. It allocates and frees until the gate file is there,
 * then adds up what it has kept. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define KEPT 1000

int main(int argc, char **argv)
{
	uint64_t *kept[KEPT] = {0}, rounds = 0, sum = 0, expect = 0;

	while (argc > 1 && (rounds < 20 || access(argv[1], F_OK) < 0)) {
		for (size_t i = 0; i < KEPT; i++) {
			size_t length = (i % 50 + 1) * sizeof(uint64_t);

			free(kept[i]);
			kept[i] = malloc(length);
			memset(kept[i], 0, length);
			kept[i][i % 50] = i + rounds;
		}
		if (++rounds == 20) {
			puts("ready");
			fflush(stdout);
		}
		usleep(1000);
	}
	for (size_t i = 0; i < KEPT; i++) {
		sum += kept[i] ? kept[i][i % 50] : 0;
		expect += i + rounds - 1;
		free(kept[i]);
	}
	printf("done %llu %s\n", (unsigned long long)sum,
	       sum == expect ? "ok" : "WRONG");
	return sum != expect;
}
