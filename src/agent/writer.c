/* SPDX-License-Identifier: MIT */
/* The writer of an image: a child of the process, or a thread of it. It has
 * a socket of its own; the image is kept only when it says WRITTEN and the
 * header on disk is the one it means. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "agent/agent.h"
#include "agent/now.h"
#include "agent/proc.h"
#include "agent/service.h"

int writer_is(pid_t pid)
{
	for (struct part *p = now.parts; p; p = p->next)
		if (p->writer_pid == pid && p->writer_pid > 0)
			return 1;
	return 0;
}

void writer_close(struct part *p)
{
	if (p->writer)
		service_close(p->writer);
	p->writer = NULL;
	if (p->writer_pidfd >= 0)
		close(p->writer_pidfd);
	if (p->writer_end >= 0)
		close(p->writer_end);
	p->writer_pidfd = p->writer_end = -1;
}

void writer_image_close(struct part *p)
{
	if (p->image_fd >= 0)
		close(p->image_fd);
	p->image_fd = -1;
}

/* Opens the pidfd of a writer, if it is one: its parent is the process. */
void writer_watch(struct part *p, pid_t pid)
{
	struct proc_stat stat;

	p->writer_pid = pid;
	if (pid <= 0)
		return;
	p->writer_pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (p->writer_pidfd >= 0 &&
	    (proc_stat(pid, 0, &stat) < 0 || stat.ppid != p->pid)) {
		close(p->writer_pidfd);
		p->writer_pidfd = -1;
	}
}

static void image_run(struct worker_job *job)
{
	struct part *p = container_of(job, struct part, image_job);

	p->image_result = generation_image_keep(&now.generation, p->image_fd,
						p->image_name, p->image_named,
						p->written.header_hash);
	/* The next job may have another reason. */
	if (p->image_result < 0)
		snprintf(p->image_why, sizeof(p->image_why), "%.500s",
			 now.generation.why);
}

static void image_done(struct worker_job *job)
{
	struct part *p = container_of(job, struct part, image_job);

	writer_image_close(p);
	if (now.state != RUNNING) {
		ending_step();
		return;
	}
	if (p->image_result < 0) {
		ending_fail(p, p->image_result, "process %d (%s): %s", p->pid,
			    p->program, p->image_why);
		return;
	}
	p->writer_state = WRITER_SAFE;
	checkpoint_advance();
}

static void writer_said(struct service *service,
			const struct service_message *message, int fd)
{
	struct part *p = service->data;

	if (fd >= 0)
		close(fd);
	switch (message->type) {
	case SERVICE_WROTE:
		p->raw = message->wrote.raw;
		p->stored = message->wrote.stored;
		/* It goes on: no deadline for who writes while parked. */
		if (now.state == RUNNING && now.phase == PHASE_SNAPSHOT &&
		    !now.phase_done)
			checkpoint_deadline(now.capture_ms);
		break;
	case SERVICE_WRITTEN:
		p->written = message->written;
		p->raw = message->written.raw;
		p->stored = message->written.stored;
		if (now.state != RUNNING || p->writer_state != WRITER_BUSY)
			break;
		p->writer_state = WRITER_CHECKING;
		p->image_job.run = image_run;
		p->image_job.done = image_done;
		worker_submit(&p->image_job);
		break;
	case SERVICE_FAILED:
		part_failed(p, message);
		break;
	default:
		ending_fail(p, -EPROTO,
			    "the writer of process %d sent message %u", p->pid,
			    message->type);
	}
}

static void writer_lost(struct service *service)
{
	struct part *p = service->data;

	p->writer = NULL;
	/* Before the snapshot its socket is in the hands of the process. */
	if (p->writer_state == WRITER_BUSY && p->state >= PART_SNAPSHOTTED)
		ending_fail(p, 0, "the writer of process %d (%s) was killed",
			    p->pid, p->program);
}

static const struct service_owner writer_owner = {
	.message = writer_said,
	.lost = writer_lost,
};

int writer_prepare(struct part *p)
{
	int pair[2];

	if (p->writer_end >= 0)
		return 0;
	p->image_fd = generation_image_create(&now.generation, p->image_name,
					      &p->image_named);
	if (p->image_fd < 0)
		return p->image_fd;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0) {
		int ret = -errno;

		writer_image_close(p);
		return ret;
	}
	p->writer_end = pair[1];
	p->writer = service_adopt(pair[0], p->pid, &writer_owner, p);
	if (p->writer)
		return 0;
	writer_close(p);
	writer_image_close(p);
	return -ENOMEM;
}

/* BEGIN, with the image and the writer's socket. 0 or -errno. */
int writer_begin(struct part *p)
{
	struct service_begin begin = {
		.request = now.number,
		.generation = now.number_of_generation,
		.compress = now.compress,
		.threads = now.threads,
		.sync = now.sync,
		.rollback = now.rollback,
		.stop_ms = stop_parking_ms(),
		.stopped = (uint32_t)p->woken,
		.fault_phase = now.fault_phase,
		.fault_error = now.fault_error,
	};
	int fds[2], ret = writer_prepare(p);

	if (ret < 0)
		return ret;
	snprintf(begin.computation, sizeof(begin.computation), "%s",
		 agent.computation);
	fds[0] = p->image_fd;
	fds[1] = p->writer_end;
	ret = service_say_with(p->service, SERVICE_BEGIN, &begin, sizeof(begin),
			       fds, 2);
	close(p->writer_end);
	p->writer_end = -1;
	p->writer_state = WRITER_BUSY;
	return ret;
}
