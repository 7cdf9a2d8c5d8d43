/* SPDX-License-Identifier: MIT */
/*
 * ckpt_agent: options, becoming a daemon, and when to end: when nobody lives
 * in the registry, nobody is announced to come, and no restart or checkpoint
 * is under way.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "agent/agent.h"
#include "agent/checkpoint.h"
#include "agent/generation.h"
#include "agent/loop.h"
#include "agent/members.h"
#include "agent/rebirth.h"
#include "agent/service.h"
#include "agent/uplink.h"
#include "agent/worker.h"
#include "util/daemon.h"
#include "util/die.h"
#include "util/log.h"

/* For a first process that nobody has announced. */
#define FIRST_MS 30000
/* An announced one lives, but as a program that we are not in. */
#define GUEST_MS 30000
#define FAREWELL_MS 5000
#define UNBORN_MS 5	  /* so soon is looked again for those who come, */
#define UNBORN_MAX_MS 500 /* and later more seldom */
#define KNOWN_MS 3000 /* so long a launch waits for the coordinator's word */
#define LOG_MAX (1 << 20)

struct agent agent = {.index = -1, .ready_fd = -1, .dir_fd = -1, .lock_fd = -1,
		      .registry_fd = -1, .others_fd = -1};

struct guest {
	struct guest *next;
	pid_t pid;
	struct loop_source pidfd;
	struct loop_timer patience;
};

static void known_late(struct loop_timer *timer);
static void farewell_late(struct loop_timer *timer);
static void unborn_again(struct loop_timer *timer);

static struct {
	struct guest *guests; /* announced, and alive */
	int first_awaited;
	struct loop_timer first;
	struct loop_source signals;
	struct loop_timer farewell; /* to a coordinator that is not there */
	struct loop_timer unborn, known;
	uint32_t unborn_ms;
	int unheard;
	int look; /* something has ended: may we? */
	int leaving;
} life = {
	.farewell = {.fire = farewell_late},
	.unborn = {.fire = unborn_again},
	.known = {.fire = known_late},
};

void agent_check_end(void)
{
	life.look = 1;
}

static void guest_forget(struct guest *guest)
{
	struct guest **at = &life.guests;

	while (*at != guest)
		at = &(*at)->next;
	*at = guest->next;
	loop_timer_stop(&guest->patience);
	loop_remove(&guest->pidfd);
	close(guest->pidfd.fd);
	free(guest);
	agent_check_end();
}

static void guest_died(struct loop_source *source, uint32_t events)
{
	(void)events;
	guest_forget(container_of(source, struct guest, pidfd));
}

static void guest_late(struct loop_timer *timer)
{
	guest_forget(container_of(timer, struct guest, patience));
}

void agent_await(pid_t pid)
{
	struct guest *guest = calloc(1, sizeof(*guest));

	if (!guest || pid <= 0) {
		free(guest);
		return;
	}
	guest->pid = pid;
	guest->pidfd.ready = guest_died;
	guest->patience.fire = guest_late;
	guest->pidfd.fd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (guest->pidfd.fd < 0) {
		free(guest); /* it is dead already */
		return;
	}
	if (loop_add(&guest->pidfd, EPOLLIN) < 0) {
		close(guest->pidfd.fd);
		free(guest);
		return;
	}
	guest->next = life.guests;
	life.guests = guest;
	loop_timer_set(&guest->patience, GUEST_MS);
}

void agent_came(pid_t pid)
{
	struct guest *guest = life.guests;

	life.first_awaited = 0;
	while (guest && guest->pid != pid)
		guest = guest->next;
	if (guest)
		guest_forget(guest);
}

void agent_dismiss(void)
{
	life.unheard = 1;
	agent_check_end();
}

static void farewell_late(struct loop_timer *timer)
{
	(void)timer;
	agent_dismiss();
}

static void unborn_again(struct loop_timer *timer)
{
	(void)timer;
	agent_check_end();
}

/* The last one we know of has gone: was it the last? */
static int somebody_comes(void)
{
	if (!members_unborn()) {
		life.unborn_ms = 0;
		return 0;
	}
	life.unborn_ms = life.unborn_ms ? 2 * life.unborn_ms : UNBORN_MS;
	if (life.unborn_ms > UNBORN_MAX_MS)
		life.unborn_ms = UNBORN_MAX_MS;
	loop_timer_set(&life.unborn, life.unborn_ms);
	return 1;
}

static void first_late(struct loop_timer *timer)
{
	(void)timer;
	life.first_awaited = 0;
	agent_check_end();
}

/* A checkpoint a second for a year shall not fill the runtime folder. */
static void log_cut(void)
{
	struct stat st;

	if (fstat(STDERR_FILENO, &st) == 0 && S_ISREG(st.st_mode) &&
	    st.st_size > LOG_MAX && ftruncate(STDERR_FILENO, 0) == 0)
		log_line("the log was full: it begins anew");
}

/* After every round of the loop. */
static void idle(void)
{
	service_bury();
	if (!life.look && !life.leaving)
		return;
	life.look = 0;
	log_cut();
	members_scan();
	if (checkpoint_busy())
		return;
	if (!life.leaving && (members_count() > 0 || life.guests ||
			      life.first_awaited || rebirth_busy() ||
			      somebody_comes()))
		return;
	/* The coordinator should hear that this group is no more. */
	if (!uplink_is_up() && !life.unheard && !life.leaving) {
		if (!life.farewell.due)
			loop_timer_set(&life.farewell, FAREWELL_MS);
		return;
	}
	loop_end();
}

static void signalled(struct loop_source *source, uint32_t events)
{
	struct signalfd_siginfo info;

	(void)events;
	if (read(source->fd, &info, sizeof(info)) != sizeof(info))
		return;
	log_line("signal %u: ending", info.ssi_signo);
	life.leaving = 1;
	checkpoint_orphaned();
}

static int signals_open(void)
{
	sigset_t set;

	signal(SIGPIPE, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigprocmask(SIG_BLOCK, &set, NULL);
	life.signals.fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	life.signals.ready = signalled;
	if (life.signals.fd < 0)
		return -errno;
	return loop_add(&life.signals, EPOLLIN);
}

/* ---- start ---- */

enum {
	OPTION_GROUP_DIR = 0x100,
	OPTION_COORDINATOR,
	OPTION_COMPUTATION,
	OPTION_READY_FD,
	OPTION_CAPSULE,
	OPTION_INDEX,
	OPTION_EXPECT,
	OPTION_LIFE,
	OPTION_STOPPED,
	OPTION_FOR_PID,
	OPTION_HELP,
};

static const struct option options[] = {
	{"group-dir", required_argument, NULL, OPTION_GROUP_DIR},
	{"coordinator", required_argument, NULL, OPTION_COORDINATOR},
	{"computation", required_argument, NULL, OPTION_COMPUTATION},
	{"ready-fd", required_argument, NULL, OPTION_READY_FD},
	{"capsule", no_argument, NULL, OPTION_CAPSULE},
	{"index", required_argument, NULL, OPTION_INDEX},
	{"expect", required_argument, NULL, OPTION_EXPECT},
	{"life", required_argument, NULL, OPTION_LIFE},
	{"stopped", required_argument, NULL, OPTION_STOPPED},
	{"for-pid", required_argument, NULL, OPTION_FOR_PID},
	{"help", no_argument, NULL, OPTION_HELP},
	{NULL, 0, NULL, 0},
};

static void usage(void)
{
	puts("usage: ckpt_agent --group-dir DIR --coordinator HOST:PORT\n"
	     "                  --computation ID [--ready-fd N] [--for-pid "
	     "PID]\n"
	     "                  [--capsule] [--index N] [--expect N] [--life N]\n"
	     "                  [--stopped PID[,PID...]]\n"
	     "\n"
	     "Looks after the processes of one host group. Started by\n"
	     "ckpt_launch, ckpt_restart and ckpt_coordinator; see ckpt(7).");
}

static long number(const char *name, const char *text, long low, long high)
{
	char *end;
	long value;

	errno = 0;
	value = strtol(text, &end, 10);
	if (errno || end == text || *end || value < low || value > high)
		die("--%s %s: a number from %ld to %ld is wanted", name, text,
		    low, high);
	return value;
}

static void options_take(int argc, char **argv)
{
	int c, index = 0;

	while ((c = getopt_long(argc, argv, "", options, &index)) != -1) {
		const char *name = options[index].name;

		switch (c) {
		case OPTION_GROUP_DIR:
			agent.group_dir = optarg;
			break;
		case OPTION_COORDINATOR:
			agent.coordinator = optarg;
			break;
		case OPTION_COMPUTATION:
			agent.computation = optarg;
			break;
		case OPTION_READY_FD:
			agent.ready_fd = (int)number(name, optarg, 0, 1 << 20);
			break;
		case OPTION_CAPSULE:
			agent.capsule = 1;
			break;
		case OPTION_INDEX:
			agent.index = (int)number(name, optarg, 0, 1 << 20);
			break;
		case OPTION_EXPECT:
			agent.expect = (unsigned)number(name, optarg, 1,
							REGISTRY_SLOTS);
			break;
		case OPTION_LIFE:
			agent.life = (unsigned)number(name, optarg, 0, 1 << 30);
			break;
		case OPTION_STOPPED:
			agent.stopped = optarg;
			break;
		case OPTION_FOR_PID:
			agent.for_pid = (pid_t)number(name, optarg, 1, 1 << 22);
			break;
		case OPTION_HELP:
			usage();
			exit(0);
		default:
			exit(AGENT_FAILED);
		}
	}
	if (optind < argc || !agent.group_dir || !agent.coordinator ||
	    !agent.computation || agent.group_dir[0] != '/')
		die("--group-dir (absolute), --coordinator and --computation "
		    "are needed; see --help");
}

/* Nothing of who started us stays open: a pipe would never see its end. */
static void descriptors_close(void)
{
	if (agent.ready_fd > 3)
		close_range(3, (unsigned)agent.ready_fd - 1, 0);
	close_range(agent.ready_fd >= 3 ? (unsigned)agent.ready_fd + 1 : 3, ~0u,
		    0);
}

/* Each process needs three, each file to be copied two. */
static void limits_raise(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
}

static void ready_say(const char *word)
{
	ssize_t written;

	if (agent.ready_fd < 0)
		return;
	written = write(agent.ready_fd, word, strlen(word));
	(void)written;
	close(agent.ready_fd);
	agent.ready_fd = -1;
}

void agent_known(void)
{
	loop_timer_stop(&life.known);
	ready_say("ready\n");
	service_admit();
}

/* Without a coordinator: it may be on its way back. */
static void known_late(struct loop_timer *timer)
{
	(void)timer;
	agent_known();
}

static void streams_turn(void)
{
	char path[4096];
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	int log, ret;

	snprintf(path, sizeof(path), "%s/agent.log", agent.group_dir);
	ret = log_open(path);
	if (ret < 0)
		die("%s: %s", path, strerror(-ret));
	dup2(null, STDIN_FILENO);
	log = open(path, O_WRONLY | O_APPEND | O_CLOEXEC | O_NOFOLLOW);
	dup2(log >= 0 ? log : null, STDOUT_FILENO);
	dup2(log >= 0 ? log : null, STDERR_FILENO);
	close(null);
	if (log >= 0)
		close(log);
}

static void check(int ret, const char *what)
{
	if (ret < 0)
		die("%s: %s", what, strerror(-ret));
}

/* What the agent before us was at when it was killed. */
static void leftovers_sweep(void)
{
	char *dir = agent.registry->generation_dir;

	dir[sizeof(agent.registry->generation_dir) - 1] = 0;
	if (dir[0])
		generation_sweep(dir);
	dir[0] = 0;
}

static void serve(void)
{
	check(loop_open(), "epoll");
	check(signals_open(), "signalfd");
	check(worker_open(), "eventfd");
	check(service_open(), "agent.sock");
	__atomic_store_n(&agent.registry->agent, (uint32_t)getpid(),
			 __ATOMIC_RELEASE);
	leftovers_sweep();
	rebirth_open();
	if (agent.for_pid) {
		agent_await(agent.for_pid);
	} else if (agent.is_new) {
		life.first_awaited = 1;
		life.first.fire = first_late;
		loop_timer_set(&life.first, FIRST_MS);
	}
	members_scan();
	log_line("agent %d looks after %s (computation %s)", getpid(),
		 agent.group_dir, agent.computation);
	check(uplink_open(), agent.coordinator);
	/* A restart has other ways to know; a program that is launched would
	 * run while the coordinator does not know that it is there. */
	if (agent.capsule || agent.expect)
		agent_known();
	else
		loop_timer_set(&life.known, KNOWN_MS);
	agent_check_end();
	loop_run(idle);
	if (members_count() == 0) {
		log_line("nobody is left: the agent ends");
		uplink_say(WIRE_LEAVING, json_object());
	}
	uplink_close();
	if (members_count() == 0)
		group_remove();
}

int main(int argc, char **argv)
{
	int ret;

	options_take(argc, argv);
	util_default_signals();
	umask(077);
	descriptors_close();
	limits_raise();
	ret = group_open();
	if (ret == -EWOULDBLOCK) {
		ready_say("there\n");
		return AGENT_THERE;
	}
	if (ret < 0 || group_listen() < 0)
		return AGENT_FAILED;
	if (agent.capsule)
		agent.init = getppid(); /* waits for us: no daemon here */
	else
		util_daemonize();
	if (chdir("/") < 0)
		die("cannot change to /: %s", strerror(errno));
	streams_turn();
	serve();
	return 0;
}
