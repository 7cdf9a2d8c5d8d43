/* SPDX-License-Identifier: MIT */
/*
 * Files that several processes hold, of the less usual kinds: O_TMPFILE, a
 * directory in the middle of readdir(), O_PATH, files of /proc/self, a flock
 * and an OFD lock that a child shares, a memfd sealed against writing.
 */
#include "tree.h"

#include <dirent.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>

#define NAMES 300

static int nameless, locked, ofd, path, status, sealed;
static DIR *folder;
static char *memory;
static int seen[NAMES], count;
static pid_t child;

static void read_some(int most)
{
	struct dirent *entry;
	int number;

	while (most-- > 0 && (entry = readdir(folder)))
		if (sscanf(entry->d_name, "name-%d", &number) == 1) {
			check(number < NAMES && !seen[number]++);
			count++;
		}
}

static void prepare(void)
{
	struct flock range = {.l_type = F_WRLCK, .l_start = 3, .l_len = 4};
	char name[32];
	int i, fd;

	nameless = open(".", O_TMPFILE | O_RDWR, 0600);
	check(nameless >= 0 && write(nameless, "nameless", 8) == 8);
	locked = open("locked", O_RDWR | O_CREAT, 0600);
	check(flock(locked, LOCK_EX) == 0);
	ofd = open("ranges", O_RDWR | O_CREAT, 0600);
	check(fcntl(ofd, F_OFD_SETLK, &range) == 0);
	check(mkdir("many", 0700) == 0);
	for (i = 0; i < NAMES; i++) {
		snprintf(name, sizeof(name), "many/name-%d", i);
		fd = open(name, O_CREAT | O_WRONLY, 0600);
		check(fd >= 0 && close(fd) == 0);
	}
	path = open("many", O_PATH | O_DIRECTORY);
	check(path >= 0);
	sealed = memfd_create("sealed", MFD_ALLOW_SEALING);
	check(write(sealed, "content", 8) == 8);
	check(fcntl(sealed, F_ADD_SEALS, F_SEAL_WRITE) == 0);
	memory = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, sealed, 0);
	check(memory != MAP_FAILED);
	folder = opendir("many");
	check(folder != NULL);
	read_some(100);
}

/* Both processes share it all; the child's changes are seen by the parent. */
static void look(int from)
{
	struct flock range = {.l_type = F_WRLCK, .l_start = 4, .l_len = 1};
	char text[32], want[32];
	int other = open("locked", O_RDWR);
	int third = open("ranges", O_RDWR);
	ssize_t got;

	check(flock(locked, LOCK_EX | LOCK_NB) == 0);
	check(flock(other, LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK);
	check(fcntl(third, F_OFD_GETLK, &range) == 0);
	check(range.l_type == F_WRLCK && range.l_start == 3);
	close(other), close(third);
	check(lseek(nameless, 0, SEEK_CUR) == from);
	check(pread(nameless, text, 8, 0) == 8 && !memcmp(text, "nameless", 8));
	check(faccessat(path, "name-7", F_OK, 0) == 0);
	check(!strcmp(memory, "content"));
	check(fcntl(sealed, F_GET_SEALS) == F_SEAL_WRITE);
	check(write(sealed, "x", 1) < 0 && errno == EPERM);
	got = pread(status, text, sizeof(text) - 1, 0);
	check(got > 0);
	text[got] = 0;
	snprintf(want, sizeof(want), "Name:\tfiles-odd");
	check(!strncmp(text, want, strlen(want)));
}

static void open_status(void)
{
	status = open("/proc/self/status", O_RDONLY);
	check(status >= 0);
}

static void as_child(void)
{
	open_status();
	for (;;) {
		tell(getppid(), SIGUSR2);
		await_signal(SIGUSR1);
		look(8);
		check(write(nameless, "more", 4) == 4);
	}
}

int main(void)
{
	int round;

	tree_start();
	prepare();
	child = fork();
	check(child >= 0);
	if (child == 0)
		as_child();
	open_status();
	await_signal(SIGUSR2);
	for (round = 0; round < 3; round++) {
		story_ready();
		look(8);
		read_some(30);
		tell(child, SIGUSR1);
		await_signal(SIGUSR2);
		check(lseek(nameless, 0, SEEK_CUR) == 12);
		check(lseek(nameless, 8, SEEK_SET) == 8);
	}
	read_some(NAMES);
	check(count == NAMES);
	check(kill(child, SIGKILL) == 0);
	expect_status(child, SIGKILL);
	return 0;
}
