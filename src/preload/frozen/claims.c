/* SPDX-License-Identifier: MIT */
/*
 * What the registry tells during a checkpoint. Who saves what several
 * processes see: the first that asks. Nothing is lost when in doubt two do it.
 * See struct registry_claim.
 */
#include "preload/frozen/frozen.h"

#define PROBES 64u
#define PATIENCE 10000u /* yields, for somebody to fill in five words */

static uint32_t place_of(const uint64_t what[5])
{
	uint64_t h = 0;
	int i;

	for (i = 0; i < 5; i++) {
		h = (h ^ what[i]) * 0x9e3779b97f4a7c15ull;
		h ^= h >> 29;
	}
	return (uint32_t)(h % REGISTRY_CLAIMS);
}

static int is_same(const struct registry_claim *c, const uint64_t what[5])
{
	int i;

	for (i = 0; i < 5; i++)
		if (c->what[i] != what[i])
			return 0;
	return 1;
}

/* Waits until it is held; 0: that took too long. */
static int await_filled(struct registry_claim *c, uint64_t stamp)
{
	uint32_t n;

	for (n = 0; n < PATIENCE; n++) {
		if (__atomic_load_n(&c->stamp, __ATOMIC_ACQUIRE) ==
		    stamp + CLAIM_HELD)
			return 1;
		SYS_CALL(SYS_sched_yield);
	}
	return 0;
}

int frozen_claim(const uint64_t what[5])
{
	uint64_t stamp = (uint64_t)frozen.request << 32, old;
	uint64_t pid = (uint64_t)sys_getpid();
	uint32_t at = place_of(what), n;
	struct registry_claim *c;
	int i;

	if (!preload.registry)
		return 1;
	for (n = 0; n < PROBES; n++, at = (at + 1) % REGISTRY_CLAIMS) {
		c = &registry_claims(preload.registry)[at];
		old = __atomic_load_n(&c->stamp, __ATOMIC_ACQUIRE);
		if (old >> 32 != frozen.request &&
		    __atomic_compare_exchange_n(&c->stamp, &old,
						stamp + CLAIM_FILLING, 0,
						__ATOMIC_ACQ_REL,
						__ATOMIC_ACQUIRE)) {
			for (i = 0; i < 5; i++)
				c->what[i] = what[i];
			c->pid = pid;
			__atomic_store_n(&c->stamp, stamp + CLAIM_HELD,
					 __ATOMIC_RELEASE);
			return 1;
		}
		if (!await_filled(c, stamp))
			return 1;
		if (is_same(c, what))
			return c->pid == pid;
	}
	return 1;
}

#define NEAR 64u /* how far a slot may be from its place */

int ckpt_is_member(int pid)
{
	const struct registry_slot *slots, *slot;
	uint32_t i;

	if (pid <= 0 || !preload.registry)
		return 0;
	slots = registry_slots(preload.registry);
	for (i = 0; i < NEAR; i++) {
		slot = &slots[((uint32_t)pid + i) % REGISTRY_SLOTS];
		if (__atomic_load_n(&slot->state, __ATOMIC_ACQUIRE) !=
			    SLOT_FREE &&
		    __atomic_load_n(&slot->pid, __ATOMIC_RELAXED) == pid)
			return 1;
	}
	return 0;
}

int ckpt_was_member(int pid)
{
	uint64_t bit, *word;

	if (pid <= 0 || !preload.registry)
		return 0;
	word = registry_seen(registry_slots(preload.registry), pid, &bit);
	return (__atomic_load_n(word, __ATOMIC_RELAXED) & bit) != 0;
}

int64_t ckpt_since(void)
{
	return preload.registry ? preload.registry->since : INT64_MAX;
}

int ckpt_has_others(void)
{
	return preload.registry && frozen.request &&
	       preload.registry->remotes == frozen.request;
}

int ckpt_remote(const unsigned char own[16], uint16_t own_port,
		const unsigned char other[16], uint16_t other_port,
		struct ckpt_remote *remote)
{
	struct registry_remote asked = {
		.own_port = own_port,
		.other_port = other_port,
	};
	const struct registry_remote *all, *r;
	uint32_t at, n;

	if (!ckpt_has_others())
		return 0;
	__builtin_memcpy(asked.own, own, 16);
	__builtin_memcpy(asked.other, other, 16);
	all = registry_remotes(preload.registry);
	at = registry_remote_place(&asked);
	for (n = 0; n < REGISTRY_REMOTES; n++) {
		r = &all[(at + n) % REGISTRY_REMOTES];
		if (r->request != frozen.request)
			return 0;
		if (!registry_remote_same(r, &asked))
			continue;
		*remote = (struct ckpt_remote){
			.expected = r->expected,
			.unsure = r->unsure,
			.pair = r->pair,
			.side = r->side,
			.how = r->how,
		};
		return 1;
	}
	return 0;
}
