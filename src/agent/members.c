/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "agent/members.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "agent/agent.h"
#include "agent/now.h"
#include "agent/proc.h"
#include "agent/rebirth.h"
#include "wire/peer.h"
#include "util/log.h"

#define LIBRARY "libckpt.so"
#define HAS_33(mask) (((mask) >> (CKPT_SIGNAL - 1)) & 1)
#define SEEK_SLOTS 64 /* so near to its own place a process mostly is */
#define SCAN_SLOTS 64 /* a page of them */
#define BUCKETS 4096
#define NEWBORN_NS 300000000u  /* so long a process may take to load us */
#define PENDING_NS 1000000000u /* and so long with a sign that it will */

static struct {
	struct member *first;
	unsigned count;
	int doomed; /* killed: also those that are born meanwhile */
	struct member *of_slot[REGISTRY_SLOTS];
	struct member *buckets[BUCKETS]; /* by pid */
} members;

static struct member **bucket(pid_t pid)
{
	return &members.buckets[(unsigned)pid % BUCKETS];
}

struct member *members_first(void)
{
	return members.first;
}

unsigned members_count(void)
{
	return members.count;
}

struct member *members_find(pid_t pid)
{
	struct member *m = *bucket(pid);

	while (m && m->pid != pid)
		m = m->same;
	return m;
}

static void slot_free(struct registry_slot *slot)
{
	slot->pid = 0;
	slot->start_time = 0;
	slot->answered = 0;
	slot->error = 0;
	slot->writer = 0;
	slot->poked_tid = 0;
	slot->asleep_since = 0;
	__atomic_store_n(&slot->state, SLOT_FREE, __ATOMIC_RELEASE);
}

/* A pidfd of the process of that pid and start time, or -errno. */
static int identify(pid_t pid, uint64_t start_time)
{
	struct pollfd dead = {.events = POLLIN};
	struct proc_stat stat;
	int ret;

	dead.fd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (dead.fd < 0)
		return -errno;
	/* Looked at after the open: then both are the same process. */
	ret = proc_stat(pid, 0, &stat);
	if (ret == 0 && stat.start_time != start_time)
		ret = -ESRCH;
	/* Readable when the last thread has ended. */
	if (ret == 0 && poll(&dead, 1, 0) != 0)
		ret = -ESRCH;
	if (ret == 0)
		return dead.fd;
	close(dead.fd);
	return ret;
}

static void member_kill(const struct member *m)
{
	if (syscall(SYS_pidfd_send_signal, m->pidfd.fd, SIGKILL, NULL, 0) < 0 &&
	    errno != ESRCH)
		log_line("cannot kill process %d (%s): %s", m->pid, m->program,
			 strerror(errno));
}

static void member_forget(struct member *m)
{
	struct member **at = bucket(m->pid);

	while (*at != m)
		at = &(*at)->same;
	*at = m->same;
	*m->here = m->next;
	if (m->next)
		m->next->here = m->here;
	members.count--;
	if (members.doomed && members.count == 0 && !members_unborn())
		members.doomed = 0;
	if (m->slot) {
		members.of_slot[m->slot - registry_slots(agent.registry)] =
			NULL;
		/* Another one of the same pid may have it already. */
		if (m->slot->pid == m->pid &&
		    m->slot->start_time == m->start_time)
			slot_free(m->slot);
	}
	loop_remove(&m->pidfd);
	close(m->pidfd.fd);
	free(m);
}

static void member_died(struct loop_source *source, uint32_t events)
{
	struct member *m = container_of(source, struct member, pidfd);

	(void)events;
	/* Its last children have slots before it can die: see them first, or
	 * we might think that nobody is left. */
	members_scan();
	log_line("process %d (%s) has ended", m->pid, m->program);
	part_member_died(m);
	rebirth_member_died(m);
	member_forget(m);
	agent_check_end();
}

static struct member *member_add(pid_t pid, uint64_t start_time, int pidfd,
				 struct registry_slot *slot)
{
	struct member *m = calloc(1, sizeof(*m));
	struct proc_stat stat;

	if (!m) {
		close(pidfd);
		return NULL;
	}
	m->pid = pid;
	m->start_time = start_time;
	m->slot = slot;
	m->pidfd.fd = pidfd;
	m->pidfd.ready = member_died;
	if (loop_add(&m->pidfd, EPOLLIN) < 0) {
		close(pidfd);
		free(m);
		return NULL;
	}
	if (proc_stat(pid, 0, &stat) == 0)
		memcpy(m->program, stat.comm, sizeof(m->program));
	m->next = members.first;
	m->here = &members.first;
	if (m->next)
		m->next->here = &m->next;
	members.first = m;
	m->same = *bucket(pid);
	*bucket(pid) = m;
	members.count++;
	agent_came(pid);
	if (members.doomed)
		member_kill(m);
	return m;
}

/* A child by fork does not look at its own start time: that would take long. */
static void slot_complete(struct registry_slot *slot, pid_t pid)
{
	struct proc_stat stat;

	if (__atomic_load_n(&slot->state, __ATOMIC_ACQUIRE) != SLOT_LIVE ||
	    slot->pid != pid || slot->start_time)
		return;
	if (proc_stat(pid, 0, &stat) == 0)
		slot->start_time = stat.start_time;
	else
		slot_free(slot);
}

static void slot_look(unsigned index, struct registry_slot *slot)
{
	struct member *m = members.of_slot[index];
	pid_t pid = __atomic_load_n(&slot->pid, __ATOMIC_ACQUIRE);
	uint64_t start_time;
	int pidfd;

	if (pid > 0)
		slot_complete(slot, pid);
	start_time = slot->start_time;
	/* 0: taken just now, not filled in yet. */
	if (pid <= 0 || start_time == 0 || (m && m->pid == pid))
		return;
	pidfd = identify(pid, start_time);
	if (pidfd == -ESRCH || pidfd == -ENOENT) {
		/* Twice the same dead owner, or somebody is filling it in. */
		if (slot->pid == pid && slot->start_time == start_time)
			slot_free(slot);
		return;
	}
	if (pidfd < 0) {
		log_line("process %d: %s", pid, strerror(-pidfd));
		return;
	}
	m = members_find(pid);
	if (m && !m->slot) { /* made by raw clone; now it has one */
		close(pidfd);
		m->slot = slot;
	} else {
		m = member_add(pid, start_time, pidfd, slot);
	}
	if (m)
		members.of_slot[index] = m;
}

/* Where to go on looking: what nobody has ever written to is a hole in the
 * file, if it can tell. */
static unsigned next_used(unsigned slot)
{
	off_t at = REGISTRY_HEADER + slot * sizeof(struct registry_slot), used;

	used = lseek(agent.registry_fd, at, SEEK_DATA);
	if (used < 0)
		return errno == ENXIO ? REGISTRY_SLOTS : slot;
	return slot + (unsigned)((size_t)(used - at) /
				 sizeof(struct registry_slot));
}

void members_scan(void)
{
	struct registry_slot *slots = registry_slots(agent.registry);
	unsigned i, end;

	for (i = next_used(0); i < REGISTRY_SLOTS; i = next_used(end)) {
		end = i + SCAN_SLOTS - i % SCAN_SLOTS;
		for (; i < end; i++)
			if (__atomic_load_n(&slots[i].state,
					    __ATOMIC_ACQUIRE) != SLOT_FREE)
				slot_look(i, &slots[i]);
	}
}

struct member *members_seek(pid_t pid)
{
	struct registry_slot *slots = registry_slots(agent.registry);

	for (unsigned i = 0; i < SEEK_SLOTS; i++) {
		unsigned index = ((unsigned)pid + i) % REGISTRY_SLOTS;

		if (slots[index].pid == pid)
			slot_look(index, &slots[index]);
		if (members.of_slot[index] && members.of_slot[index]->pid == pid)
			return members.of_slot[index];
	}
	members_scan();
	return members_find(pid);
}

void members_name(void)
{
	struct proc_stat stat;

	for (struct member *m = members.first; m; m = m->next)
		if (proc_stat(m->pid, 0, &stat) == 0)
			memcpy(m->program, stat.comm, sizeof(m->program));
}

/* ---- strangers ---- */

/* Who may be one. In a loop of forks there is always somebody who has not
 * loaded us yet, but never the same one. */
struct suspect {
	pid_t pid;
	uint64_t start_time;
	uint64_t since; /* it looks so, without a break */
	uint64_t alone; /* ... and has memory of its own */
};

struct suspects {
	struct suspect *list;
	size_t count, room;
};

static struct suspects suspects; /* as the last look left them */

static struct {
	pid_t *list;
	size_t count, room;
} dead; /* children that the last look has met */

static void dead_add(pid_t pid)
{
	if (dead.count == dead.room) {
		size_t room = dead.room ? 2 * dead.room : 16;
		pid_t *more = reallocarray(dead.list, room, sizeof(*more));

		if (!more)
			return;
		dead.list = more;
		dead.room = room;
	}
	dead.list[dead.count++] = pid;
}

size_t members_dead_children(const pid_t **list)
{
	*list = dead.list;
	return dead.count;
}

struct walk {
	pid_t *pids; /* still to be walked, as parent */
	size_t count, room;
	pid_t parent;
	uint64_t since;
	struct suspects seen;
	struct members_pending *pending;
	int found;
	struct members_stranger *out;
};

static void suspect_keep(struct suspects *all, const struct suspect *one)
{
	if (all->count == all->room) {
		size_t room = all->room ? 2 * all->room : 16;
		struct suspect *more =
			reallocarray(all->list, room, sizeof(*more));

		if (!more)
			return;
		all->list = more;
		all->room = room;
	}
	all->list[all->count++] = *one;
}

/* 1: there is hope. The time in which it shares its parent's memory does not
 * count. */
static int may_still_come(struct walk *walk, pid_t pid, uint64_t start_time,
			  int sharing)
{
	uint64_t time = loop_now();
	struct suspect one = {pid, start_time, time, time};

	for (size_t i = 0; i < suspects.count; i++) {
		const struct suspect *then = &suspects.list[i];

		if (then->pid != pid || then->start_time != start_time ||
		    then->since < walk->since) /* of a former checkpoint */
			continue;
		one.since = then->since;
		one.alone = sharing ? time : then->alone;
	}
	suspect_keep(&walk->seen, &one);
	if (!sharing && time - one.alone > PENDING_NS)
		return 0;
	if (!walk->pending->pid || one.since < walk->pending->since)
		*walk->pending =
			(struct members_pending){pid, sharing, one.since};
	return 1;
}

static void walk_add(struct walk *walk, pid_t pid)
{
	if (walk->count == walk->room) {
		size_t room = walk->room ? 2 * walk->room : 64;
		pid_t *more = reallocarray(walk->pids, room, sizeof(*more));

		if (!more)
			return;
		walk->pids = more;
		walk->room = room;
	}
	walk->pids[walk->count++] = pid;
}

static void stranger_found(struct walk *walk, pid_t pid, const char *program,
			   const char *why)
{
	if (walk->found)
		return;
	walk->found = 1;
	walk->out->pid = pid;
	snprintf(walk->out->program, sizeof(walk->out->program), "%s", program);
	snprintf(walk->out->why, sizeof(walk->out->why), "%s", why);
}

/* So long has the process been there, ns. */
static uint64_t age(const struct proc_stat *stat)
{
	struct timespec now;
	uint64_t ns, born;

	clock_gettime(CLOCK_BOOTTIME, &now);
	ns = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
	born = stat->start_time *
	       (1000000000u / (uint64_t)sysconf(_SC_CLK_TCK));
	return ns > born ? ns - born : 0;
}

static int is_writer(pid_t pid)
{
	for (struct member *m = members.first; m; m = m->next)
		if (m->slot && m->slot->writer == pid)
			return 1;
	return writer_is(pid);
}

/* Somebody else finds root's agent only by what it has mapped, which is gone
 * with an exec; and only root can give a process its ids back. */
static int is_another_user(struct walk *walk, const struct member *m)
{
	struct proc_status status;
	char why[160];
	int executed;

	if (proc_status(m->pid, &status) < 0 || status.user == geteuid())
		return 0;
	executed = m->slot && __atomic_load_n(&m->slot->state,
					      __ATOMIC_ACQUIRE) != SLOT_LIVE;
	if (geteuid() == 0 &&
	    (!executed || may_still_come(walk, m->pid, m->start_time, 0)))
		return 0;
	snprintf(why, sizeof(why),
		 "has become another user, with uid %u (ours is %u)%s",
		 status.user, geteuid(),
		 executed ? ", and then executed a program" : "");
	stranger_found(walk, m->pid, m->program, why);
	return 1;
}

/* Has a slot, or the library is in: does it answer pokes? */
static int answers(const struct member *m)
{
	struct proc_status status;

	if (m->slot &&
	    __atomic_load_n(&m->slot->state, __ATOMIC_ACQUIRE) != SLOT_LIVE)
		return 0;
	return proc_status(m->pid, &status) == 0 && HAS_33(status.caught);
}

static void look_at_child(pid_t pid, void *data)
{
	struct walk *walk = data;
	struct proc_status status;
	struct proc_stat stat;
	struct member *m = members_find(pid);
	int pidfd, sign;

	if (m || is_writer(pid) || pid == getpid() || pid == agent.init)
		return; /* members are walked by themselves */
	if (proc_stat(pid, 0, &stat) < 0)
		return;
	if (stat.state == 'Z' || stat.state == 'X') {
		dead_add(pid);
		return;
	}
	if (proc_status(pid, &status) < 0)
		return;
	walk_add(walk, pid);
	if (proc_same_memory(pid, walk->parent)) {
		may_still_come(walk, pid, stat.start_time, 1);
		return; /* vfork: nobody may be signalled */
	}
	sign = proc_maps(pid, LIBRARY) == 1;
	if (sign && HAS_33(status.caught)) {
		pidfd = identify(pid, stat.start_time);
		if (pidfd >= 0)
			member_add(pid, stat.start_time, pidfd, NULL);
		may_still_come(walk, pid, stat.start_time, 0);
		return;
	}
	sign = sign || HAS_33(status.ignored) || age(&stat) < NEWBORN_NS;
	if (sign && may_still_come(walk, pid, stat.start_time, 0))
		return;
	stranger_found(walk, pid, stat.comm,
		       "runs without the library (static, setuid, or started "
		       "with a cleaned environment)");
}

int members_stranger(uint64_t since, struct members_pending *pending,
		     struct members_stranger *out)
{
	struct walk walk = {.since = since, .pending = pending, .out = out};

	memset(pending, 0, sizeof(*pending));
	dead.count = 0;
	members_scan();
	for (struct member *m = members.first; m; m = m->next) {
		walk_add(&walk, m->pid);
		if (m->part && m->part->state >= PART_PARKED &&
		    m->part->state < PART_RELEASING)
			continue; /* it has answered */
		if (is_another_user(&walk, m))
			continue;
		if (answers(m) || !m->slot)
			continue;
		if (!may_still_come(&walk, m->pid, m->start_time, 0) &&
		    proc_maps(m->pid, LIBRARY) == 0)
			stranger_found(&walk, m->pid, m->program,
				       "has become a program that the library "
				       "is not in (static or setuid)");
	}
	if (agent.init)
		walk_add(&walk, agent.init); /* orphans come to it */
	while (walk.count > 0) {
		walk.parent = walk.pids[--walk.count];
		proc_children(walk.parent, look_at_child, &walk);
	}
	free(walk.pids);
	free(suspects.list);
	suspects = walk.seen;
	return walk.found;
}

/* ---- who is not there yet ---- */

#define DEAD 256
#define PASSES 4 /* on a busy machine somebody always dies */

struct search {
	pid_t dead[2][DEAD]; /* whom this pass, and that before, saw dead */
	unsigned count[2], pass;
	int found, again;
};

/* It was alive when the list was made, so a child of its may not be there. */
static void search_died(struct search *search, pid_t pid)
{
	unsigned now = search->pass % 2, i;

	for (i = 0; i < search->count[!now]; i++)
		if (search->dead[!now][i] == pid)
			break;
	if (i == search->count[!now])
		search->again = 1;
	if (search->count[now] < DEAD)
		search->dead[now][search->count[now]++] = pid;
}

static void look_at_anybody(pid_t pid, void *data)
{
	struct timespec now;
	struct proc_stat stat;
	char variable[PATH_MAX + 32];
	struct search *search = data;
	uint64_t old;

	if (search->found || pid == getpid() || pid == agent.init ||
	    members_find(pid) || is_writer(pid))
		return;
	if (proc_stat(pid, 0, &stat) < 0 || stat.state == 'Z' ||
	    stat.state == 'X') {
		search_died(search, pid);
		return;
	}
	/* The group is younger than most. */
	clock_gettime(CLOCK_REALTIME, &now);
	old = age(&stat);
	if ((int64_t)(old / 1000000000u) > now.tv_sec - agent.registry->since + 1)
		return;
	snprintf(variable, sizeof(variable), "CKPT_GROUP_DIR=%s",
		 agent.group_dir);
	search->found = proc_maps_ours(pid, agent.registry) ||
			(proc_environment(pid, variable) &&
			 (old < NEWBORN_NS || proc_maps(pid, LIBRARY) == 1));
	if (!search->found && (proc_stat(pid, 0, &stat) < 0 ||
			       stat.state == 'Z' || stat.state == 'X'))
		search_died(search, pid); /* while we looked */
}

int members_unborn(void)
{
	struct search search = {.again = 1};

	for (; search.again && !search.found && search.pass < PASSES;
	     search.pass++) {
		search.again = 0;
		search.count[search.pass % 2] = 0;
		proc_everybody(look_at_anybody, &search);
	}
	return search.found;
}

/* ---- all of them ---- */

/* A parent that is killed last may have made new children of those that were
 * killed first: they are found when it has died. */
void members_kill(void)
{
	struct members_stranger stranger;
	struct members_pending pending;

	members_stranger(loop_now(), &pending, &stranger); /* raw clones */
	members.doomed = members.count > 0;
	for (struct member *m = members.first; m; m = m->next)
		member_kill(m);
}

json_t *members_report(void)
{
	json_t *list = json_array();
	struct proc_stat stat;

	members_scan();
	for (struct member *m = members.first; m; m = m->next) {
		char state[2] = {0};

		if (proc_stat(m->pid, 0, &stat) < 0)
			continue;
		state[0] = stat.state;
		json_array_append_new(
			list, json_pack("{s:i, s:i, s:o, s:s, s:i, s:I}", "pid",
					(int)m->pid, "ppid", (int)stat.ppid,
					"program", wire_text(stat.comm),
					"state", state, "threads", stat.threads,
					"rss", (json_int_t)stat.rss));
	}
	return list;
}

uint64_t members_memory(void)
{
	struct proc_status status;
	uint64_t sum = 0;

	for (struct member *m = members.first; m; m = m->next)
		if (proc_status(m->pid, &status) == 0)
			sum += status.rss_memory;
	return sum;
}
