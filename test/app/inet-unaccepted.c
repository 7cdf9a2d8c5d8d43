/* SPDX-License-Identifier: MIT */
/* What it has sent waits where nobody can look: until it is accepted. */
#include "inet.h"

int main(void)
{
	int fd, caller;

	server = serve(AF_INET, 8, &server_at, sizeof(server_at));
	caller = call(AF_INET, &server_at, sizeof(server_at));
	say_to(caller, "hello");
	story_ready();
	fd = accept(server, NULL, NULL);
	story_ready();
	hear(fd, "hello");
	say_to(fd, "and you");
	hear(caller, "and you");
	return 0;
}
