/* SPDX-License-Identifier: MIT */
/*
 * Open files of every plain sort keep number, offset, flags and content:
 * appended to, written in the middle, read, unlinked, shared by two
 * descriptors, a folder, devices. "files rollback" expects its files as they
 * were at the checkpoint, "files reopen" as they are now.
 */
#include "story.h"

#include <dirent.h>
#include <signal.h>
#include <sys/wait.h>
#include <sys/stat.h>

static int dead, append, data, again, reader, gone, folder, null, zero, random_fd;

static void content(const char *name, const char *expect)
{
	char text[256] = "";
	int fd = open(name, O_RDONLY | O_CLOEXEC);

	check(fd >= 0);
	check(read(fd, text, sizeof(text) - 1) >= 0);
	close(fd);
	if (strcmp(text, expect))
		dprintf(2, "%s holds \"%s\", not \"%s\"\n", name, text, expect);
	check(!strcmp(text, expect));
}

static void prepare(void)
{
	append = open("append", O_WRONLY | O_CREAT | O_APPEND, 0640);
	check(append >= 0 && write(append, "one\n", 4) == 4);
	data = open("data", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	check(data >= 0 && write(data, "0123456789", 10) == 10);
	again = fcntl(data, F_DUPFD, 200);
	check(again == 200);
	check(lseek(data, 5, SEEK_SET) == 5);
	reader = open("reader", O_RDONLY | O_NONBLOCK);
	check(reader >= 0 && lseek(reader, 3, SEEK_SET) == 3);
	gone = open("gone", O_RDWR | O_CREAT, 0600);
	check(gone >= 0 && write(gone, "kept", 4) == 4);
	check(unlink("gone") == 0);
	folder = open(".", O_RDONLY | O_DIRECTORY);
	{
		char path[64];
		pid_t child = fork();

		check(child >= 0);
		if (child == 0)
			pause();
		snprintf(path, sizeof(path), "/proc/%d/stat", child);
		dead = open(path, O_RDONLY);
		check(dead >= 0 && kill(child, SIGKILL) == 0);
		check(waitpid(child, NULL, 0) == child);
	}
	null = open("/dev/null", O_RDWR);
	zero = open("/dev/zero", O_RDONLY);
	random_fd = open("/dev/urandom", O_RDONLY);
	check(folder >= 0 && null >= 0 && zero >= 0 && random_fd >= 0);
}

static void look(int reopened)
{
	struct stat st;
	char text[16];

	if (!reopened) {
		content("append", "one\n");
		content("data", "0123456789");
	}
	check(write(append, "two\n", 4) == 4);
	if (!reopened)
		content("append", "one\ntwo\n");
	check(fcntl(append, F_GETFL) & O_APPEND);

	check(lseek(again, 0, SEEK_CUR) == 5);
	check(write(data, "x", 1) == 1);
	check(lseek(again, 0, SEEK_CUR) == 6); /* one description */
	check(fcntl(data, F_GETFD) == FD_CLOEXEC);
	check(fcntl(again, F_GETFD) == 0);
	content("data", "01234x6789");

	check(read(reader, text, 4) == 4 && !memcmp(text, "DEFG", 4));
	check(fcntl(reader, F_GETFL) & O_NONBLOCK);

	check(fstat(gone, &st) == 0 && st.st_nlink == 0 && st.st_size == 4);
	check(pread(gone, text, 16, 0) == 4 && !memcmp(text, "kept", 4));

	check(fstatat(folder, "append", &st, 0) == 0);
	check(read(dead, text, 1) <= 0);
	check(write(null, text, 16) == 16 && read(null, text, 1) == 0);
	check(read(zero, text, 16) == 16 && !text[15]);
	check(read(random_fd, text, 16) == 16);
	check(open("/dev/null", O_RDONLY | O_CLOEXEC) == random_fd + 1);
}

int main(int argc, char **argv)
{
	prepare();
	story_ready();
	look(argc > 1 && !strcmp(argv[1], "reopen"));
	story_ready();
	return 0;
}
