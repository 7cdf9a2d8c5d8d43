/* SPDX-License-Identifier: MIT */
/* TCP connections in every state, both ends in one process. */
#include "inet.h"

static void verify(void)
{
	verify_in(0), verify_in(1);
	verify_talk(0), verify_talk(1);
	verify_end(0), verify_end(1);
}

int main(void)
{
	return twice(prepare_states, verify);
}
