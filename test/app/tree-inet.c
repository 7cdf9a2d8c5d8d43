/* SPDX-License-Identifier: MIT */
/* TCP connections in every state, their ends in two processes. */
#include "inet.h"

static int go[2];
static pid_t child;

static void drop_side(int side)
{
	int c, i;

	for (c = 0; c < count; c++)
		if (ends[c][side].fd >= 0)
			close(ends[c][side].fd);
	if (side == 1) {
		close(listener), close(busy_listener);
		close(server), close(server6);
		return;
	}
	for (i = 0; i < 4; i++)
		close(callers[i]);
	close(busy[0]), close(busy[1]), close(refused);
}

static void prepare(void)
{
	char byte;

	prepare_states();
	check(pipe(go) == 0);
	child = fork();
	check(child >= 0);
	if (child == 0) {
		close(go[1]);
		drop_side(0);
		check(read(go[0], &byte, 1) == 0);
		verify_in(1);
		verify_talk(1);
		verify_end(1);
		_exit(0);
	}
	close(go[0]);
	drop_side(1);
}

static void verify(void)
{
	int status;

	close(go[1]);
	verify_in(0);
	verify_talk(0);
	verify_end(0);
	check(waitpid(child, &status, 0) == child && status == 0);
}

int main(void)
{
	return twice(prepare, verify);
}
