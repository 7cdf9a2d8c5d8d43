/* SPDX-License-Identifier: MIT */
/*
 * barrier HOSTS PROCESSES [TIMES]
 *
 * What it costs to bring everybody together: the real coordinator and a real
 * agent for each of so many simulated hosts (host groups of this one), and
 * processes that answer at once and have nothing to save; what they write,
 * they write when the barriers are over. One line: the time of each phase,
 * its sum over the four barriers in ms, bytes between coordinator and agents.
 * The medians of TIMES checkpoints (5). As root in a network of its own: each
 * agent looks at all connections of what it takes for its host.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "test/unit/fake_process.h"
#include "util/attach.h"
#include "util/daemon.h"
#include "util/die.h"
#include "wire/peer.h"

#define PATIENCE_MS 120000
#define TIMES_MAX 99
#define WRITE_MS 1000 /* when the barriers are over */

static char top[64], id[40], address[64];
static int port;
static pid_t coordinator;

static const char *const phases[] = {"stop", "capture", "snapshot", "release"};
#define BARRIERS 4

static void path_of(char *path, const char *program)
{
	snprintf(path, PATH_MAX, "%s/%s", getenv("CKPT_BUILD"), program);
}

/* Our child, so that it can be ended with no more ado. */
static void start_coordinator(void)
{
	char path[PATH_MAX], dir[128], line[16] = "";
	int ready[2];

	path_of(path, "ckpt_coordinator");
	snprintf(dir, sizeof(dir), "%s/ckpts", top);
	if (pipe2(ready, O_CLOEXEC) < 0)
		die("pipe: %s", strerror(errno));
	coordinator = fork();
	if (coordinator == 0) {
		prctl(PR_SET_PDEATHSIG, SIGTERM);
		dup2(open("/dev/null", O_RDWR), 0);
		dup2(open("/dev/null", O_RDWR), 2);
		dup2(ready[1], 3);
		execl(path, "ckpt_coordinator", "--ready-fd", "3", "--port",
		      "0", "--ckptdir", dir, NULL);
		_exit(99);
	}
	close(ready[1]);
	if (read(ready[0], line, sizeof(line) - 1) <= 0)
		die("ckpt_coordinator does not start");
	close(ready[0]);
	port = atoi(line);
	snprintf(address, sizeof(address), "127.0.0.1:%d", port);
}

static struct wire_peer *attach(enum wire_role role)
{
	struct util_attach where;
	struct wire_peer *peer;
	char err[1024];

	util_attach_defaults(&where);
	where.port = port;
	where.how = ATTACH_JOIN;
	peer = util_coordinator_attach(&where, role, err, sizeof(err));
	if (!peer)
		die("%s", err);
	return peer;
}

/* The answer's data, of a request that must not fail. */
static json_t *ask(struct wire_peer *peer, enum wire_type type, json_t *body)
{
	json_t *answer, *data;
	enum wire_type got;

	if (wire_send(peer, type, body) < 0)
		die("cannot ask the coordinator");
	for (;;) {
		if (wire_receive(peer, &got, &answer, PATIENCE_MS) < 0)
			die("the coordinator does not answer");
		if (got == WIRE_REPLY || got == WIRE_JOINED)
			break;
		json_decref(answer);
	}
	if (got == WIRE_JOINED)
		return answer;
	if (!wire_bool(answer, "ok", 0))
		die("%s", wire_string(answer, "text", "refused"));
	data = json_incref(json_object_get(answer, "data"));
	json_decref(answer);
	return data;
}

static struct wire_peer *begin(void)
{
	struct wire_peer *peer = attach(ROLE_LAUNCH);
	char dir[128];
	json_t *joined;

	snprintf(dir, sizeof(dir), "%s/ckpts", top);
	joined = ask(peer, WIRE_JOIN,
		     json_pack("{s:s, s:s, s:s, s:b, s:{s:i}}", "role",
			       "launch", "program", "barrier", "dir", dir,
			       "dir_given", 1, "options", "keep", 1));
	snprintf(id, sizeof(id), "%s", wire_string(joined, "computation", ""));
	json_decref(joined);
	return peer;
}

static void start_host(int host, int processes)
{
	struct fake fake = {.writes_itself = 1, .write_ms = WRITE_MS};
	static char group_dir[128];
	char path[PATH_MAX], line[1024];
	char *argv[] = {"ckpt_agent", "--group-dir", group_dir,
			"--coordinator", address, "--computation", id,
			"--ready-fd", "3", NULL};

	path_of(path, argv[0]);
	snprintf(group_dir, sizeof(group_dir), "%s/ckpt/%s-%d", top, id, host);
	if (util_start_daemon(path, argv, NULL, PATIENCE_MS, line,
			      sizeof(line)) < 0)
		die("ckpt_agent: %s", line);
	fake.group_dir = group_dir;
	while (processes--)
		if (fake_start(&fake) < 0)
			die("no more processes: %s", strerror(errno));
}

static void await_processes(struct wire_peer *peer, int hosts, int processes)
{
	json_t *status;
	int there;

	do {
		status = ask(peer, WIRE_STATUS, json_object());
		there = wire_int(status, "processes", 0) == processes &&
			wire_int(status, "host_groups", 0) == hosts;
		json_decref(status);
	} while (!there);
}

static int64_t bytes(struct wire_peer *peer)
{
	json_t *status = ask(peer, WIRE_STATUS, json_object());
	int64_t sum = wire_int(status, "bytes_in", 0) +
		      wire_int(status, "bytes_out", 0);

	json_decref(status);
	return sum;
}

static int ascending(const void *a, const void *b)
{
	const double *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static double median(double *values, int count)
{
	qsort(values, (size_t)count, sizeof(*values), ascending);
	return values[count / 2];
}

/* Not by KILL: an agent whose last process has ended looks at all of the host,
 * and our hosts are one. The processes end with us. */
static void end(struct wire_peer *peer)
{
	json_t *list = ask(peer, WIRE_LIST, json_object()), *group;
	size_t i;

	json_array_foreach(json_object_get(list, "groups"), i, group)
		kill((pid_t)wire_int(group, "agent_pid", 0), SIGKILL);
	json_decref(list);
	kill(coordinator, SIGKILL);
}

static void be_alone(void)
{
	struct ifreq lo = {.ifr_name = "lo", .ifr_flags = IFF_UP};
	int fd;

	if (unshare(CLONE_NEWNET) < 0)
		return;
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || ioctl(fd, SIOCSIFFLAGS, &lo) < 0)
		die("lo: %s", strerror(errno));
	close(fd);
}

int main(int argc, char **argv)
{
	static double ms[BARRIERS + 1][TIMES_MAX], sent[TIMES_MAX];
	int hosts, processes, times, i, p;
	struct wire_peer *launch, *peer;
	struct rlimit files;
	json_t *data, *each;

	if (argc < 3 || !getenv("CKPT_BUILD"))
		die("usage: CKPT_BUILD=FOLDER barrier HOSTS PROCESSES [TIMES]");
	hosts = atoi(argv[1]);
	processes = atoi(argv[2]);
	times = argc > 3 ? atoi(argv[3]) : 5;
	if (hosts < 1 || processes < hosts || times < 1 || times > TIMES_MAX)
		die("hosts, processes or times make no sense");
	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
	be_alone();
	strcpy(top, "/dev/shm/barrier.XXXXXX");
	if (!mkdtemp(top))
		die("%s: %s", top, strerror(errno));
	setenv("XDG_RUNTIME_DIR", top, 1);
	start_coordinator();
	launch = begin();
	for (i = 0; i < hosts; i++)
		start_host(i, processes / hosts + (i < processes % hosts));
	peer = attach(ROLE_COMMAND);
	await_processes(peer, hosts, processes);
	wire_close(launch);
	for (i = 0; i < times; i++) {
		int64_t before = bytes(peer);

		data = ask(peer, WIRE_CHECKPOINT,
			   json_pack("{s:b}", "wait", 1));
		sent[i] = (double)(bytes(peer) - before);
		each = json_object_get(data, "phases_ms");
		for (p = 0; p < BARRIERS; p++) {
			ms[p][i] = json_number_value(
				json_object_get(each, phases[p]));
			ms[BARRIERS][i] += ms[p][i];
		}
		json_decref(data);
	}
	printf("%d %d", hosts, processes);
	for (p = 0; p <= BARRIERS; p++)
		printf(" %.2f", median(ms[p], times));
	printf(" %.0f\n", median(sent, times));
	fflush(stdout);
	end(peer);
	execlp("rm", "rm", "-rf", top, NULL);
	return 1;
}
