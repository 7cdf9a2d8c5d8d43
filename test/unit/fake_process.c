/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#define XXH_INLINE_ALL
#include "fake_process.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include <xxhash.h>

#include "image/format.h"
#include "wire/registry.h"
#include "wire/service.h"

#define HEAD offsetof(struct service_message, hello)

static struct registry_header *registry;
static struct registry_slot *slot;
static volatile sig_atomic_t poked;
static int wake[2];

/* ---- signal 33, which libc's sigaction() does not let us have ---- */

__attribute__((naked)) static void comes_back(void)
{
	__asm__("mov $15, %eax\n\tsyscall"); /* rt_sigreturn */
}

static void handler(int number, siginfo_t *info, void *context)
{
	char byte = 1;
	ssize_t n;

	(void)number;
	(void)context;
	if (info->si_code != CKPT_POKE_CODE ||
	    (uint32_t)info->si_int != registry->request)
		return;
	poked = info->si_int;
	n = write(wake[1], &byte, 1);
	(void)n;
}

static void handler_set(void)
{
	struct {
		void (*action)(int, siginfo_t *, void *);
		unsigned long flags;
		void (*restorer)(void);
		unsigned long mask;
	} action = {handler, SA_SIGINFO | SA_RESTART | 0x04000000, comes_back,
		    0};

	if (syscall(SYS_rt_sigaction, CKPT_SIGNAL, &action, NULL, 8) < 0)
		abort();
}

/* ---- the registry ---- */

static uint64_t start_time(void)
{
	char text[1024], *at;
	int fd = open("/proc/self/stat", O_RDONLY);
	ssize_t n = read(fd, text, sizeof(text) - 1);

	close(fd);
	text[n > 0 ? n : 0] = 0;
	at = strrchr(text, ')') + 2;
	for (int field = 3; field < 22; field++)
		at = strchr(at, ' ') + 1;
	return strtoull(at, NULL, 10);
}

static void join(const struct fake *fake)
{
	char path[256];
	uint32_t unused = SLOT_FREE;
	int fd;

	snprintf(path, sizeof(path), "%s/registry", fake->group_dir);
	fd = open(path, O_RDWR | O_CLOEXEC);
	registry = mmap(NULL, REGISTRY_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED,
			fd, 0);
	close(fd);
	if (registry == MAP_FAILED || registry->magic != REGISTRY_MAGIC)
		abort();
	slot = registry_slots(registry) + (unsigned)getpid() % REGISTRY_SLOTS;
	if (!__atomic_compare_exchange_n(&slot->state, &unused, SLOT_TAKEN, 0,
					 __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
		abort();
	slot->pid = getpid();
	slot->start_time = start_time();
	__atomic_store_n(&slot->state, fake->late_slot ? SLOT_EXEC : SLOT_LIVE,
			 __ATOMIC_SEQ_CST);
}

/* ---- the service thread's part ---- */

static int call(const struct fake *fake)
{
	struct sockaddr_un there = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	snprintf(there.sun_path, sizeof(there.sun_path), "%s/agent.sock",
		 fake->group_dir);
	if (connect(fd, (struct sockaddr *)&there, sizeof(there)) < 0) {
		close(fd);
		return -1;
	}
	return fd;
}

static void say(int to, enum service_type type, const void *body, size_t length,
		int fd)
{
	union {
		struct cmsghdr head;
		char space[CMSG_SPACE(sizeof(int))];
	} control = {0};
	struct service_message message = {.type = type,
					  .length = (uint32_t)(HEAD + length)};
	struct iovec part = {&message, HEAD + length};
	struct msghdr packet = {.msg_iov = &part, .msg_iovlen = 1};

	memcpy(&message.hello, body, length);
	if (fd >= 0) {
		packet.msg_control = &control;
		packet.msg_controllen = sizeof(control);
		control.head.cmsg_level = SOL_SOCKET;
		control.head.cmsg_type = SCM_RIGHTS;
		control.head.cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(&control.head), &fd, sizeof(int));
	}
	sendmsg(to, &packet, MSG_NOSIGNAL);
}

/* The type, 0 at the end of file. */
static uint32_t hear(int from, struct service_message *message, int *fds)
{
	char control[CMSG_SPACE(2 * sizeof(int))];
	struct iovec part = {message, sizeof(*message)};
	struct msghdr packet = {.msg_iov = &part,
				.msg_iovlen = 1,
				.msg_control = control,
				.msg_controllen = sizeof(control)};
	ssize_t n;

	do
		n = recvmsg(from, &packet, MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n <= 0)
		return 0;
	if (fds && CMSG_FIRSTHDR(&packet))
		memcpy(fds, CMSG_DATA(CMSG_FIRSTHDR(&packet)), 2 * sizeof(int));
	return message->type;
}

static void write_image(const struct fake *fake, int image, int agent)
{
	struct image_header h = {.magic = IMAGE_MAGIC,
				 .version = IMAGE_VERSION,
				 .file_size = 8192};
	struct service_written written = {
		.raw = 8192, .stored = 4096, .file_size = 8192};
	struct service_wrote wrote = {4096, 2048};

	usleep(fake->write_ms * 1000);
	if (fake->writer_dies) {
		while (__atomic_load_n(&registry->request, __ATOMIC_SEQ_CST))
			sched_yield(); /* until the release */
		raise(SIGKILL);
	}
	while (fake->writer_hangs)
		pause();
	if (fake->writer_fails) {
		struct service_failed failed = {.phase = PHASE_WRITE,
						.error = -EIO,
						.text = "as the test wants"};

		say(agent, SERVICE_FAILED, &failed, sizeof(failed), -1);
		return;
	}
	say(agent, SERVICE_WROTE, &wrote, sizeof(wrote), -1);
	h.header_hash =
		XXH3_64bits(&h, offsetof(struct image_header, header_hash));
	if (ftruncate(image, 8192) < 0 ||
	    pwrite(image, &h, sizeof(h), 0) != sizeof(h)) {
		struct service_failed failed = {.phase = PHASE_WRITE,
						.error = -errno,
						.text = "writing the image"};

		say(agent, SERVICE_FAILED, &failed, sizeof(failed), -1);
		return;
	}
	written.header_hash = h.header_hash + (unsigned)fake->writer_lies;
	say(agent, SERVICE_WRITTEN, &written, sizeof(written), -1);
}

/* 1: go on with the phase; 0: it has been broken off, as the test wants. */
static int enter(const struct fake *fake, enum wire_phase phase, int agent)
{
	struct service_failed failed = {
		.phase = phase, .error = -EIO, .text = "as the test wants"};

	if (fake->dies == phase)
		raise(SIGKILL);
	if (fake->fails == phase) {
		say(agent, SERVICE_FAILED, &failed, sizeof(failed), -1);
		return 0;
	}
	return fake->silent != phase;
}

static void send_file(const struct fake *fake, int agent)
{
	struct service_file file = {.how = fake->file_now ? SERVICE_FILE_NOW
							  : SERVICE_FILE_LATER,
				    .file = 1};
	struct stat st;
	int fd = open(fake->file, O_RDONLY | O_CLOEXEC);

	if (fstat(fd, &st) < 0)
		abort();
	file.dev = st.st_dev;
	file.ino = st.st_ino;
	file.size = (uint64_t)st.st_size;
	file.mtime = st.st_mtim.tv_sec * 1000000000L + st.st_mtim.tv_nsec;
	say(agent, SERVICE_FILE, &file, sizeof(file), fd);
	close(fd);
}

static void service(const struct fake *fake, uint32_t request)
{
	struct service_hello hello = {.version = SERVICE_VERSION,
				      .pid = getpid(),
				      .request = request};
	struct service_parked parked = {.threads = 1, .park_ns = 1000};
	struct service_captured captured = {.bytes = 8192};
	struct service_snapshotted taken = {0};
	struct service_released released = {.stopped_ns = 5000000};
	struct service_message message;
	int agent, fds[2] = {-1, -1}, stopped = 0;
	pid_t writer = 0;

	__atomic_store_n(&slot->answered, request, __ATOMIC_SEQ_CST);
	agent = call(fake);
	if (agent < 0)
		return;
	say(agent, SERVICE_HELLO, &hello, sizeof(hello), -1);
	for (;;) {
		switch (hear(agent, &message, fds)) {
		case SERVICE_BEGIN:
			stopped = (int)message.begin.stopped;
			if (enter(fake, PHASE_STOP, agent))
				say(agent, SERVICE_PARKED, &parked,
				    sizeof(parked), -1);
			break;
		case SERVICE_CAPTURE:
			if (!enter(fake, PHASE_CAPTURE, agent))
				break;
			if (fake->file)
				send_file(fake, agent);
			say(agent, SERVICE_CAPTURED, &captured,
			    sizeof(captured), -1);
			break;
		case SERVICE_SNAPSHOT:
			if (!enter(fake, PHASE_SNAPSHOT, agent))
				break;
			if (fake->writes_itself) {
				say(agent, SERVICE_SNAPSHOTTED, &taken,
				    sizeof(taken), -1);
				break;
			}
			writer = (pid_t)syscall(SYS_clone, 0, 0, 0, 0, 0);
			if (writer == 0) {
				close(agent);
				write_image(fake, fds[0], fds[1]);
				_exit(0);
			}
			slot->writer = writer;
			close(fds[0]);
			close(fds[1]);
			fds[0] = fds[1] = -1;
			taken.writer = writer;
			say(agent, SERVICE_SNAPSHOTTED, &taken, sizeof(taken),
			    -1);
			break;
		case SERVICE_RELEASE:
			if (!enter(fake, PHASE_RELEASE, agent))
				break;
			say(agent, SERVICE_RELEASED, &released,
			    sizeof(released), -1);
			if (stopped)
				raise(SIGSTOP);
			if (fake->writes_itself)
				write_image(fake, fds[0], fds[1]);
			else
				waitpid(writer, NULL, __WALL);
			slot->writer = 0;
			say(agent, SERVICE_REAPED, NULL, 0, -1);
			goto out;
		case SERVICE_ABORT:
			say(agent, SERVICE_RELEASED, &released,
			    sizeof(released), -1);
			if (stopped)
				raise(SIGSTOP);
			goto out;
		default:
			goto out;
		}
	}
out:
	if (fds[0] >= 0) {
		close(fds[0]);
		close(fds[1]);
	}
	if (writer)
		waitpid(writer, NULL, __WALL);
	close(agent);
}

static void reborn(const struct fake *fake)
{
	struct service_hello hello = {.version = SERVICE_VERSION,
				      .pid = getpid(),
				      .request = fake->reborn};
	struct service_released released = {0};
	struct service_message message;
	int agent = call(fake);

	say(agent, SERVICE_REBORN, &hello, sizeof(hello), -1);
	if (hear(agent, &message, NULL) != SERVICE_RELEASE)
		_exit(3);
	say(agent, SERVICE_RELEASED, &released, sizeof(released), -1);
	close(agent);
}

static _Noreturn void live(const struct fake *fake, int ready)
{
	char byte = 1;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	prctl(PR_SET_NAME, "fake");
	ready = dup2(ready, 3); /* the test's connections are not ours */
	close_range(4, ~0u, 0);
	if (pipe2(wake, O_CLOEXEC) < 0)
		_exit(1);
	if (fake->spawns && !fork()) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		execlp("sleep", "sleep", "1000", NULL);
		_exit(1);
	}
	handler_set();
	join(fake);
	if (fake->reborn)
		reborn(fake);
	if (write(ready, &byte, 1) != 1)
		_exit(1);
	close(ready);
	if (fake->late_slot) {
		usleep(50000); /* so long the exec takes */
		__atomic_store_n(&slot->state, SLOT_LIVE, __ATOMIC_SEQ_CST);
	}
	for (;;) {
		ssize_t n = read(wake[0], &byte, 1);

		if (n == 1 && slot->answered != (uint32_t)poked)
			service(fake, (uint32_t)poked);
	}
}

pid_t fake_start(const struct fake *fake)
{
	int ready[2];
	char byte;
	pid_t pid;

	if (pipe2(ready, O_CLOEXEC) < 0)
		return -1;
	pid = fork();
	if (pid == 0) {
		close(ready[0]);
		live(fake, ready[1]);
	}
	close(ready[1]);
	if (read(ready[0], &byte, 1) != 1)
		pid = -1;
	close(ready[0]);
	return pid;
}
