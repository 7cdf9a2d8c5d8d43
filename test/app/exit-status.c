/* SPDX-License-Identifier: MIT */
/* Ends with the status argv[1], or by the signal -argv[1]; a story_ready()
 * before when there is an argv[2]. */
#include "story.h"

#include <signal.h>
#include <sys/resource.h>

int main(int argc, char **argv)
{
	struct rlimit none = {0, 0};
	int status = argc > 1 ? atoi(argv[1]) : 0;

	setrlimit(RLIMIT_CORE, &none);
	if (argc > 2)
		story_ready();
	if (status < 0)
		raise(-status);
	return status;
}
