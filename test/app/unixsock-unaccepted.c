/* SPDX-License-Identifier: MIT */
/*
 * A caller has sent something before he is accepted, which nobody can look at:
 * no checkpoint until he is, and nothing is lost. One who is accepted only
 * after the restart had sent nothing.
 */
#include "story.h"

#include <sys/socket.h>
#include <sys/un.h>

static int call(const struct sockaddr_un *name)
{
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	check(fd >= 0);
	check(connect(fd, (const struct sockaddr *)name, sizeof(*name)) == 0);
	return fd;
}

int main(void)
{
	struct sockaddr_un name = {AF_UNIX, "socket"};
	int listener = socket(AF_UNIX, SOCK_STREAM, 0), caller, silent, fd;
	char text[10];

	check(bind(listener, (struct sockaddr *)&name, sizeof(name)) == 0);
	check(listen(listener, 5) == 0);
	caller = call(&name);
	check(write(caller, "early", 5) == 5);
	story_ready();
	fd = accept(listener, NULL, NULL);
	silent = call(&name);
	story_ready();
	check(fd >= 0 && read(fd, text, 10) == 5 && !memcmp(text, "early", 5));
	check(write(fd, "answer", 6) == 6 && read(caller, text, 10) == 6);
	check(write(silent, "late", 4) == 4);
	fd = accept(listener, NULL, NULL);
	check(fd >= 0 && read(fd, text, 10) == 4 && !memcmp(text, "late", 4));
	close(call(&name));
	story_ready();
	fd = accept(listener, NULL, NULL);
	check(fd >= 0 && read(fd, text, 10) == 0);
	return 0;
}
