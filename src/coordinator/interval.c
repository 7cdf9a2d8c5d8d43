/* SPDX-License-Identifier: MIT */
/* Checkpoints every so many seconds, counted from the end of the last one. */
#include <errno.h>

#include "coordinator/coordinator.h"
#include "util/log.h"

static int64_t counted_from;

void interval_restart(void)
{
	counted_from = loop_now();
}

void interval_set(int seconds)
{
	settings.interval = seconds;
	interval_restart();
}

int64_t interval_deadline(void)
{
	if (!settings.interval || !computation_exists())
		return NEVER;
	return counted_from + settings.interval * 1000LL;
}

/* One that falls into a checkpoint or a restart is left out. */
void interval_expired(int64_t now)
{
	struct checkpoint_request request = {0};
	char err[1024];
	int ret;

	(void)now;
	interval_restart();
	if (checkpoint_phase() != PHASE_IDLE)
		return;
	ret = checkpoint_start(&request, err, sizeof(err));
	if (ret < 0 && ret != -EAGAIN)
		log_line("no checkpoint by the interval: %s", err);
}
