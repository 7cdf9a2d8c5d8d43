/* SPDX-License-Identifier: MIT */
/*
 * A daemon as the books tell: it forks twice, leaves its session, folder,
 * umask and environment, closes all descriptors, and runs jobs by system()
 * and popen(), each of which writes its number to a log. SIGHUP: it says
 * "seen" there. SIGTERM: it writes that it ends.
 */
#include "story.h"

#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

static volatile sig_atomic_t hup, term;
static char folder[3000];
static unsigned jobs;

static void on_signal(int number)
{
	if (number == SIGHUP)
		hup = 1;
	else
		term = 1;
}

/* Opened for each line, as we have no descriptor. */
static void note(const char *word, unsigned number)
{
	char path[4096];
	int fd;

	snprintf(path, sizeof(path), "%s/journal", folder);
	fd = open(path, O_WRONLY | O_APPEND | O_CREAT, 0600);
	if (fd < 0 || dprintf(fd, "%s %u\n", word, number) < 0)
		_exit(2);
	close(fd);
}

static void run_jobs(void)
{
	char command[4200], text[32] = "";
	FILE *from;

	snprintf(command, sizeof(command), "echo job %u >>'%s/journal'; exit %u",
		 jobs, folder, jobs % 50);
	if (system(command) != (int)(jobs % 50) << 8) {
		note("WRONG: system", jobs);
		_exit(3);
	}
	snprintf(command, sizeof(command), "echo %u | cat", jobs);
	from = popen(command, "r");
	if (!from || !fgets(text, sizeof(text), from) || pclose(from) != 0 ||
	    (unsigned)atoi(text) != jobs) {
		note("WRONG: popen", jobs);
		_exit(4);
	}
	jobs++;
}

static void daemon_run(pid_t session)
{
	struct timespec nap = {0, 10000000};
	pid_t me = getpid(), parent = getppid();

	while (!term) {
		/* Who takes orphans outside of the job is 1 in the next life. */
		if (getpid() != me ||
		    (getppid() != parent && getppid() != 1) ||
		    getsid(0) != session || getpgrp() != session ||
		    getpgrp() == me || open("/dev/tty", O_RDWR) >= 0 ||
		    umask(027) != 027 || fcntl(0, F_GETFD) >= 0) {
			note("WRONG: place", (unsigned)getppid());
			_exit(5);
		}
		if (hup) {
			hup = 0;
			note("seen", jobs);
		}
		run_jobs();
		nanosleep(&nap, NULL);
	}
	note("ends", jobs);
	_exit(0);
}

int main(void)
{
	struct sigaction action = {.sa_handler = on_signal};
	pid_t pid, middle;
	int fd;

	story_path(folder, sizeof(folder), "");
	check(sigaction(SIGHUP, &action, NULL) == 0);
	check(sigaction(SIGTERM, &action, NULL) == 0);
	pid = fork();
	check(pid >= 0);
	if (pid > 0)
		return 0; /* and the shell that started us goes on */
	middle = setsid();
	check(middle > 0);
	pid = fork();
	check(pid >= 0);
	if (pid > 0)
		_exit(0);
	while (getppid() == middle)
		;
	check(chdir("/") == 0);
	umask(027);
	for (fd = 0; fd < 1024; fd++)
		close(fd);
	clearenv();
	note("begins", (unsigned)getpid());
	daemon_run(middle);
}
