/* SPDX-License-Identifier: MIT */
/*
 * Our place in the computation's registry.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <sys/mman.h>

#include "preload/handler/park.h"
#include "preload/preload.h"
#include "sys/string.h"
#include "sys/task.h"

#define NEAR 64u /* how far from its place an old slot of ours may be */

static long map_registry(void *address)
{
	char path[sizeof(preload.runtime_dir) + sizeof("/registry")];
	struct sys_text text;
	long fd, end, ret;

	sys_text_open(&text, path, sizeof(path));
	sys_text_put(&text, preload.runtime_dir);
	sys_text_put(&text, "/registry");
	fd = sys_openat(AT_FDCWD, path, O_RDWR | O_CLOEXEC | O_NOFOLLOW, 0);
	/* Another user's in root's computation: ckpt_restart has mapped it. */
	if (fd == -EACCES && address && preload_rebirth.registry_there)
		return (long)address;
	if (fd < 0)
		return fd;
	/* Shorter than it should be it would kill us by SIGBUS. */
	end = SYS_CALL(SYS_lseek, fd, 0, SEEK_END);
	if (end < (long)REGISTRY_SIZE)
		ret = end < 0 ? end : -EINVAL;
	else
		ret = sys_mmap(address, REGISTRY_SIZE, PROT_READ | PROT_WRITE,
			       MAP_SHARED | (address ? MAP_FIXED : 0), (int)fd,
			       0);
	sys_close((int)fd);
	return ret;
}

static uint64_t own_start_time(void)
{
	char text[512];
	const char *s = NULL;
	long fd, length, i;
	int field;

	fd = sys_openat(AT_FDCWD, "/proc/self/stat", O_RDONLY | O_CLOEXEC, 0);
	if (fd < 0)
		return 0;
	length = sys_read((int)fd, text, sizeof(text) - 1);
	sys_close((int)fd);
	if (length <= 0)
		return 0;
	text[length] = 0;
	for (i = 0; i + 2 < length; i++) /* the name may hold a ')' */
		if (text[i] == ')')
			s = text + i;
	if (!s)
		return 0;
	s += 2;
	for (field = 3; field < 22; field++) {
		while (*s && *s != ' ')
			s++;
		if (*s)
			s++;
	}
	return sys_number(&s, 10);
}

static int take(struct registry_slot *slot, uint32_t from)
{
	return __atomic_compare_exchange_n(&slot->state, &from, SLOT_TAKEN, 0,
					   __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
}

/* After exec (or in place of a dead one with our pid) there is a slot with
 * our pid already. Nobody but us takes it; the agent may free it. */
static struct registry_slot *find_old(struct registry_slot *slots, int32_t pid)
{
	uint32_t i, state;

	for (i = 0; i < NEAR; i++) {
		struct registry_slot *slot =
			&slots[((uint32_t)pid + i) % REGISTRY_SLOTS];

		state = __atomic_load_n(&slot->state, __ATOMIC_SEQ_CST);
		if (state != SLOT_FREE && slot->pid == pid && take(slot, state))
			return slot;
	}
	return NULL;
}

static struct registry_slot *find_free(struct registry_slot *slots, int32_t pid)
{
	uint32_t i;

	/* Without looking first: that would be a page fault of its own. */
	for (i = 0; i < REGISTRY_SLOTS; i++) {
		struct registry_slot *slot =
			&slots[((uint32_t)pid + i) % REGISTRY_SLOTS];

		if (take(slot, SLOT_FREE))
			return slot;
	}
	return NULL;
}

static void note_seen(struct registry_slot *slots, int32_t pid)
{
	uint64_t bit, *word = registry_seen(slots, pid, &bit);

	if (!(__atomic_load_n(word, __ATOMIC_RELAXED) & bit))
		__atomic_fetch_or(word, bit, __ATOMIC_RELAXED);
}

static int take_slot(struct registry_header *r, uint64_t start)
{
	struct registry_slot *slots = registry_slots(r);
	struct registry_slot *slot = NULL;

	preload.pid = sys_getpid();
	if (start)
		slot = find_old(slots, preload.pid);
	if (!slot)
		slot = find_free(slots, preload.pid);
	if (!slot)
		return -ENOSPC;
	/* Also after exec: who had answered has been killed by it. */
	slot->answered = 0;
	slot->pid = preload.pid;
	slot->start_time = start;
	slot->error = 0;
	slot->poked_tid = 0;
	slot->poked_call = 0;
	slot->writer = 0;
	slot->asleep_since = 0;
	note_seen(slots, preload.pid);
	__atomic_store_n(&slot->state, SLOT_LIVE, __ATOMIC_SEQ_CST);
	preload.slot = slot;
	return 0;
}

int preload_registry_join(void *address)
{
	struct registry_header *r;
	long ret;

	preload.registry = NULL;
	preload.slot = NULL;
	ret = map_registry(address);
	if (ret < 0 && ret > -4096)
		return (int)ret;
	r = (void *)ret;
	if (r->magic != REGISTRY_MAGIC || r->version != REGISTRY_VERSION) {
		ret = -EPROTO;
		goto out;
	}
	ret = take_slot(r, own_start_time());
	if (ret < 0)
		goto out;
	preload.registry = r; /* from here on the handler takes pokes */
	return 0;
out:
	sys_munmap(r, REGISTRY_SIZE);
	return (int)ret;
}

/* Fork is to stay cheap: reading /proc would cost a fifth of it, so the start
 * time is left to the agent. A poke may come while the fork hook is here, and calls
 * this as well: it has to wait. */
void preload_forked(void)
{
	uint64_t all = ~0ull, mask;

	if (!preload.registry)
		return;
	sys_sigprocmask(SIG_BLOCK, &all, &mask);
	if (preload.pid != sys_getpid()) {
		park_forget();
		if (take_slot(preload.registry, 0) < 0) {
			preload.registry = NULL;
			preload.slot = NULL;
		}
	}
	sys_sigprocmask(SIG_SETMASK, &mask, NULL);
}

void preload_slot_state(uint32_t state)
{
	/* A vfork child has our memory, but the slot is its parent's. */
	if (preload.slot && sys_getpid() == preload.pid)
		__atomic_store_n(&preload.slot->state, state, __ATOMIC_SEQ_CST);
}
