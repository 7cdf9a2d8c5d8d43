/* SPDX-License-Identifier: MIT */
/*
 * ckpt_restart: from a checkpoint to the running program, in this order: read
 * and check everything; find a coordinator; put files back; make the capsule,
 * whose init makes the processes; stay as the program's parent.
 */
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include "restart/capsule.h"
#include "restart/files.h"
#include "restart/job.h"
#include "restart/restore.h"
#include "restart/say.h"
#include "restart/spread.h"
#include "restart/tree.h"
#include "restart/watch.h"

static struct capsule capsule;

static void undo(void)
{
	capsule_destroy(&capsule);
	files_undo();
}

/* What is opened later must not take the number of a standard stream. */
static void open_streams(void)
{
	int fd = open("/dev/null", O_RDWR);

	while (fd >= 0 && fd < 3)
		fd = dup(fd);
	if (fd >= 3)
		close(fd);
}

int main(int argc, char **argv)
{
	struct options options;
	struct job job = {.options = &options};

	open_streams();
	signal(SIGPIPE, SIG_IGN); /* a report that nobody reads */
	options_parse(&options, argc, argv);
	manifest_read(&job, options.where);
	spread_decide(&job);
	if (job.group < 0) {
		coordinator_attach(&job);
		spread_start(&job);
		spread_lead();
	}
	images_open(&job);
	tree_read(&job);
	check_machine(&job);
	ids_choose(&job);
	files_decide(&job);
	commons_plan(&job);
	descriptors_check(&job);
	if (options.verify && !options.lazy)
		images_verify_blocks(&job);
	watch_decide_place(&job);
	tree_plan(&job);
	coordinator_attach(&job);
	spread_start(&job);

	watch_block_signals();
	say_on_failure(undo);
	files_apply(&job);
	capsule_start(&capsule, &job);
	watch_start(&capsule, &job);
	say_on_failure(NULL);
	files_settle();
	report_print();
	watch_run();
}
