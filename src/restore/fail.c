// SPDX-License-Identifier: MIT
#include "restore/steps.h"
#include "sys/string.h"
#include "sys/sys.h"

void bare_fail(struct bare *b, const char *what, uint64_t addr, long error)
{
	char line[160];
	struct sys_text t;

	/* Of several threads that fail, the first one speaks. */
	if (__atomic_exchange_n(&b->failed, 1, __ATOMIC_RELAXED))
		sys_exit(99);
	sys_text_open(&t, line, sizeof(line));
	sys_text_put(&t, what);
	if (addr) {
		sys_text_put(&t, " ");
		sys_text_number(&t, addr, 16);
	}
	sys_text_put(&t, ": errno ");
	sys_text_number(&t, (uint64_t)-error, 10);
	sys_text_put(&t, "\n");
	sys_write(b->plan->error_fd, line, sys_strlen(line));
	sys_exit_group(99);
}
