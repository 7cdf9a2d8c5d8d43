/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "preload/handler/notices.h"

#include <errno.h>

#include "sys/string.h"
#include "sys/task.h"

#define NOTICES_MAX 16u

static struct notice {
	int used, taken;
	int queue;
	int how, signal; /* SIGEV_..., which */
	union sigval value;
} notices[NOTICES_MAX];

/* A slot for each queue; with more of them the oldest is forgotten. */
static struct notice *slot_for(int queue)
{
	static uint32_t oldest;
	struct notice *free = NULL;
	uint32_t i;

	for (i = 0; i < NOTICES_MAX; i++) {
		if (notices[i].used && notices[i].queue == queue)
			return &notices[i];
		if (!notices[i].used)
			free = &notices[i];
	}
	return free ? free : &notices[oldest++ % NOTICES_MAX];
}

void notices_note(int queue, const struct sigevent *event)
{
	struct notice *n = slot_for(queue);

	n->used = 0;
	if (!event)
		return;
	n->queue = queue;
	n->how = event->sigev_notify;
	n->signal = event->sigev_signo;
	n->value = event->sigev_value;
	n->taken = 0;
	n->used = 1;
}

/* Still there, and ours? It is gone once it has told of a message. */
static int stands(const struct notice *n)
{
	char text[160];
	const char *at;
	long length;

	if (!n->used)
		return 0;
	length = sys_pread(n->queue, text, sizeof(text) - 1, 0);
	if (length <= 0)
		return 0;
	text[length] = 0;
	at = sys_find(text, "NOTIFY_PID:");
	if (!at)
		return 0;
	at += sizeof("NOTIFY_PID:") - 1;
	return sys_number(&at, 10) == (uint64_t)sys_getpid();
}

int notices_take(void)
{
	uint32_t i;

	for (i = 0; i < NOTICES_MAX; i++)
		if (stands(&notices[i]) && notices[i].how == SIGEV_THREAD)
			return -EOPNOTSUPP;
	for (i = 0; i < NOTICES_MAX; i++) {
		notices[i].taken = stands(&notices[i]);
		if (notices[i].taken)
			SYS_CALL(SYS_mq_notify, notices[i].queue, NULL);
	}
	return 0;
}

void notices_renew(void)
{
	uint32_t i;

	for (i = 0; i < NOTICES_MAX; i++) {
		struct sigevent event = {
			.sigev_notify = notices[i].how,
			.sigev_signo = notices[i].signal,
			.sigev_value = notices[i].value,
		};

		if (notices[i].taken)
			SYS_CALL(SYS_mq_notify, notices[i].queue, &event);
		notices[i].taken = 0;
	}
}
