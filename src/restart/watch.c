/* SPDX-License-Identifier: MIT */
/* See watch.h. */
#define _GNU_SOURCE
#include "restart/watch.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "restart/say.h"
#include "restart/spread.h"
#include "restart/terminal.h"

#define LAST_WORD_MS 10000 /* so late may the coordinator tell that all go on */

/* SIGTTOU is there to be blocked: we move the terminal from the background. */
static const int kept[] = {
	SIGTERM, SIGINT,   SIGHUP,  SIGQUIT, SIGUSR1, SIGUSR2,
	SIGCONT, SIGWINCH, SIGTSTP, SIGALRM, SIGTTOU,
};

static struct {
	struct capsule *capsule;
	struct job *job;
	int signals;	/* signalfd */
	int came_back;	/* the coordinator said that the program runs */
	int jumped;	/* the error pipe is closed */
	int ended, status;
	/* Until the coordinator has said so: pidfds of the processes, in an
	 * epoll, each with its pid in the capsule; who of them has ended. */
	int lives, *life, lost;
	size_t life_count;
	char words[1024]; /* of the error pipe */
	size_t length;
} watch = {.signals = -1, .lives = -1};

/* ---- the root process's place ---- */

void watch_decide_place(struct job *job)
{
	const struct image_process *root = job_root(job)->process;
	uint32_t flags = root->flags;
	size_t i;

	job->tty = open("/dev/tty", O_RDWR | O_CLOEXEC);
	job->foreground = job->tty >= 0 && tcgetpgrp(job->tty) == getpgrp();
	terminal_keep(job->tty);
	/* A session of its own would cost it our terminal, which cannot be
	 * given away: if it had one from outside, it shares ours. */
	job->own_session = (flags & IMAGE_SESSION_LEADER) &&
			   (!(flags & IMAGE_HAS_TTY) || job->tty < 0 ||
			    commons_has_terminal(job, root->sid));
	job->own_group = job->own_session || (flags & IMAGE_GROUP_LEADER);
	for (i = 0; i < job->process_count; i++) {
		const struct image_process *p = job->processes[i].process;

		if ((p->flags & IMAGE_TTY_FOREGROUND) &&
		    !commons_has_terminal(job, p->sid))
			job->had_foreground = 1;
	}
}

static void terminal_take(void)
{
	if (watch.job->own_group && watch.job->foreground && watch.job->tty >= 0)
		tcsetpgrp(watch.job->tty, getpgrp()); /* SIGTTOU is blocked */
}

/* For good. */
static void terminal_return(void)
{
	terminal_take();
	terminal_put_back();
}

static void terminal_give(void)
{
	struct job *job = watch.job;

	job->foreground = job->tty >= 0 && tcgetpgrp(job->tty) == getpgrp();
	if (job->own_group && !job->own_session && job->foreground)
		tcsetpgrp(job->tty, watch.capsule->root);
}

/* ---- signals ---- */

void watch_block_signals(void)
{
	sigset_t set;
	size_t i;

	sigemptyset(&set);
	for (i = 0; i < sizeof(kept) / sizeof(*kept); i++)
		sigaddset(&set, kept[i]);
	sigprocmask(SIG_BLOCK, &set, NULL);
	watch.signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (watch.signals < 0)
		fail("signalfd: %s", strerror(errno));
}

static void default_signal(int signal_number)
{
	sigset_t set;

	signal(signal_number, SIG_DFL);
	sigemptyset(&set);
	sigaddset(&set, signal_number);
	sigprocmask(SIG_UNBLOCK, &set, NULL);
	kill(getpid(), signal_number);
}

static _Noreturn void end_by(int signal_number)
{
	struct rlimit none = {0, 0};

	/* The core, if any, is the program's. */
	setrlimit(RLIMIT_CORE, &none);
	default_signal(signal_number);
	exit(128 + signal_number);
}

/* The user does not want it any more. */
static void interrupted(int signal_number)
{
	if (signal_number != SIGINT && signal_number != SIGTERM &&
	    signal_number != SIGHUP && signal_number != SIGQUIT)
		return;
	terminal_return();
	say_undo();
	end_by(signal_number);
}

static void forward(const struct signalfd_siginfo *info)
{
	/* What the terminal sends, it sends to the whole group. */
	if (!watch.job->own_group && info->ssi_code == SI_KERNEL)
		return;
	if (info->ssi_signo == SIGTTOU)
		return;
	/* A shell's "fg", of a job that has not been stopped. */
	if (info->ssi_signo == SIGCONT)
		terminal_give();
	if (watch.capsule->root && !watch.ended)
		kill(watch.capsule->root, (int)info->ssi_signo);
}

static void signals_ready(void)
{
	struct signalfd_siginfo info;

	while (read(watch.signals, &info, sizeof(info)) == sizeof(info)) {
		if (watch.came_back)
			forward(&info);
		else
			interrupted((int)info.ssi_signo);
	}
}

/* ---- stop and continue ---- */

static char state_of(pid_t pid)
{
	char path[64], text[512], *end;
	int fd;
	ssize_t length;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	length = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (length <= 0)
		return 0;
	text[length] = 0;
	end = strrchr(text, ')');
	return end && end[1] ? end[2] : 0;
}

/* Stop as it did, so that our parent sees it; go on with it. */
static void stopped(int signal_number)
{
	sigset_t set;

	terminal_take();
	if (signal_number == SIGSTOP)
		kill(getpid(), SIGSTOP);
	else
		default_signal(signal_number);
	/* Here we have been continued. Block it again. */
	if (signal_number != SIGSTOP) {
		sigemptyset(&set);
		sigaddset(&set, signal_number);
		sigprocmask(SIG_BLOCK, &set, NULL);
	}
	terminal_give();
	/* It has done its work; the program gets its own, if it needs one. */
	sigemptyset(&set);
	sigaddset(&set, SIGCONT);
	sigtimedwait(&set, NULL, &(struct timespec){0});
	if (state_of(watch.capsule->root) == 'T')
		kill(watch.job->own_group ? -watch.capsule->root
					  : watch.capsule->root,
		     SIGCONT);
}

/* ---- what comes in ---- */

static pid_t sender(struct msghdr *header)
{
	struct cmsghdr *c;
	struct ucred credentials;

	for (c = CMSG_FIRSTHDR(header); c; c = CMSG_NXTHDR(header, c))
		if (c->cmsg_level == SOL_SOCKET &&
		    c->cmsg_type == SCM_CREDENTIALS) {
			memcpy(&credentials, CMSG_DATA(c),
			       sizeof(credentials));
			return credentials.pid;
		}
	return 0;
}

/* Its parent, which would notice its end, may be the program already. */
static void follow(pid_t pid, pid_t inside)
{
	struct epoll_event event = {.events = EPOLLIN,
				    .data.u32 = (uint32_t)inside};
	int fd;

	if (watch.came_back || watch.life_count >= watch.job->process_count)
		return;
	if (!watch.life) {
		watch.lives = epoll_create1(EPOLL_CLOEXEC);
		watch.life = calloc(watch.job->process_count,
				    sizeof(*watch.life));
	}
	fd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (fd < 0 && errno == ESRCH)
		watch.lost = inside;
	if (fd < 0 || !watch.life)
		return;
	watch.life[watch.life_count++] = fd;
	epoll_ctl(watch.lives, EPOLL_CTL_ADD, fd, &event);
}

static void life_ended(void)
{
	struct epoll_event event;

	if (epoll_wait(watch.lives, &event, 1, 0) != 1)
		return;
	watch.lost = (int)event.data.u32;
	close(watch.lives);
	watch.lives = -1;
}

static void follow_no_more(void)
{
	size_t i;

	for (i = 0; i < watch.life_count; i++)
		close(watch.life[i]);
	free(watch.life);
	watch.life = NULL;
	watch.life_count = 0;
	if (watch.lives >= 0)
		close(watch.lives);
	watch.lives = -1;
}

static void take_message(const struct capsule_message *message, pid_t from)
{
	switch (message->type) {
	case CAPSULE_HELLO:
		if (message->pid == job_root(watch.job)->process->pid)
			watch.capsule->root = from;
		follow(from, message->pid);
		break;
	case CAPSULE_REPORT:
		report_line(message->text,
			    strnlen(message->text, sizeof(message->text)),
			    message->pid);
		break;
	case CAPSULE_GROUP:
		snprintf(watch.capsule->group_dir,
			 sizeof(watch.capsule->group_dir), "%.*s",
			 (int)sizeof(watch.capsule->group_dir) - 1,
			 message->text);
		break;
	case CAPSULE_STOPPED:
		if (watch.came_back)
			stopped(message->status);
		break;
	case CAPSULE_EXITED:
		watch.ended = 1;
		watch.status = message->status;
		break;
	default:
		break;
	}
}

/* 1: there may be more. */
static int capsule_hear(void)
{
	char control[CMSG_SPACE(sizeof(struct ucred))];
	struct capsule_message message;
	struct iovec iov = {&message, sizeof(message)};
	struct msghdr header = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control),
	};
	ssize_t length = recvmsg(watch.capsule->socket, &header,
				 MSG_CMSG_CLOEXEC | MSG_DONTWAIT);

	if (length == (ssize_t)sizeof(message)) {
		take_message(&message, sender(&header));
		return 1;
	}
	if (length < 0 && errno == EAGAIN)
		return 0;
	/* Init is gone, and with it everything in its namespace. */
	close(watch.capsule->socket);
	watch.capsule->socket = -1;
	if (!watch.ended) {
		watch.ended = 1;
		watch.status = SIGKILL;
	}
	return 0;
}

/* A line of whoever failed, or nothing: then all processes have their memory
 * back. Each line comes by one write. */
static void errors_ready(void)
{
	ssize_t got = read(watch.capsule->errors, watch.words + watch.length,
			   sizeof(watch.words) - 1 - watch.length);

	if (got > 0) {
		watch.length += (size_t)got;
		if (!memchr(watch.words, '\n', watch.length) &&
		    watch.length < sizeof(watch.words) - 1)
			return;
	}
	close(watch.capsule->errors);
	watch.capsule->errors = -1;
	watch.words[watch.length] = 0;
	watch.words[strcspn(watch.words, "\n")] = 0;
	if (*watch.words) {
		terminal_return();
		fail_line(watch.words);
	}
	watch.jumped = 1;
}

static int wait_once(int timeout_ms)
{
	struct pollfd polls[] = {
		{.fd = watch.signals, .events = POLLIN},
		{.fd = watch.capsule->socket, .events = POLLIN},
		{.fd = watch.capsule->errors, .events = POLLIN},
		{.fd = watch.came_back ? -1 : coordinator_fd(),
		 .events = POLLIN},
		{.fd = watch.lives, .events = POLLIN},
		{.fd = watch.came_back ? -1 : spread_fd(), .events = POLLIN},
	};
	int ret = poll(polls, sizeof(polls) / sizeof(*polls), timeout_ms);

	if (ret <= 0)
		return ret;
	/* Before a failure: what has been made and is to be removed. */
	while (polls[1].revents && capsule_hear())
		;
	if (polls[2].revents)
		errors_ready();
	if (polls[3].revents && coordinator_ready())
		watch.came_back = 1;
	if (polls[5].revents && !watch.came_back) {
		terminal_return();
		spread_ready();
	}
	if (polls[4].revents && !watch.came_back)
		life_ended();
	if (polls[0].revents)
		signals_ready();
	return ret;
}

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void watch_start(struct capsule *c, struct job *job)
{
	int64_t end = 0;

	watch.capsule = c;
	watch.job = job;
	while (!watch.came_back) {
		/* Its end may be heard of before its being alive. */
		if ((watch.ended || watch.lost) && !end)
			end = now_ms() + LAST_WORD_MS;
		if (end && now_ms() >= end)
			break;
		wait_once(end ? (int)(end - now_ms()) : -1);
	}
	if (watch.came_back) {
		follow_no_more();
		return;
	}
	terminal_return();
	if (!watch.ended)
		fail("process %d ended while it was being restarted",
		     watch.lost);
	if (WIFSIGNALED(watch.status))
		fail("the program was killed by signal %d (%s) while it was being restarted",
		     WTERMSIG(watch.status), strsignal(WTERMSIG(watch.status)));
	fail("the program ended with status %d while it was being restarted",
	     WEXITSTATUS(watch.status));
}

void watch_run(void)
{
	while (!watch.ended)
		wait_once(-1);
	terminal_return();
	if (WIFSIGNALED(watch.status))
		end_by(WTERMSIG(watch.status));
	exit(WEXITSTATUS(watch.status));
}
