/* SPDX-License-Identifier: MIT */
/*
 * RUNTIME/COMPUTATION-GROUP: agent.lock says that an agent lives, registry is
 * what the processes map, agent.sock where they call. Others can reach nothing
 * here: the folder is 0700 and ours, or refused.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "agent/agent.h"
#include "wire/service.h"

#define LOCK "agent.lock"

static int refuse(int ret, const char *what)
{
	fprintf(stderr, "ckpt_agent: %s: %s: %s\n", agent.group_dir, what,
		strerror(-ret));
	return ret;
}

static int folder_open(void)
{
	struct stat st;

	if (mkdir(agent.group_dir, 0700) < 0 && errno != EEXIST)
		return refuse(-errno, "cannot create the group's folder");
	agent.dir_fd = open(agent.group_dir,
			    O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (agent.dir_fd < 0)
		return refuse(-errno, "cannot open the group's folder");
	if (fstat(agent.dir_fd, &st) < 0)
		return refuse(-errno, "cannot look at the group's folder");
	if (st.st_uid != geteuid() || (st.st_mode & 077))
		return refuse(-EPERM, "the folder must be ours alone (0700)");
	return 0;
}

static void address(struct sockaddr_un *to)
{
	/* By way of the descriptor: the path itself may be too long. */
	to->sun_family = AF_UNIX;
	snprintf(to->sun_path, sizeof(to->sun_path), "/proc/self/fd/%d/%s",
		 agent.dir_fd, SERVICE_SOCKET);
}

/* Tell the standing agent about --for-pid. -errno: there is none. */
static int announce(void)
{
	struct service_message message = {
		.type = SERVICE_GUEST,
		.length = sizeof(message),
		.hello = {.version = SERVICE_VERSION, .pid = agent.for_pid},
	};
	const struct timeval patience = {.tv_sec = 5};
	struct sockaddr_un there;
	int fd, ret = 0;

	address(&there);
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	if (connect(fd, (struct sockaddr *)&there, sizeof(there)) < 0 ||
	    send(fd, &message, sizeof(message), MSG_NOSIGNAL) < 0)
		ret = -errno;
	else if (recv(fd, &message, sizeof(message), 0) <
			 (ssize_t)offsetof(struct service_message, hello) ||
		 message.type != SERVICE_GUEST)
		ret = -ECONNRESET;
	close(fd);
	return ret;
}

/*
 * Exclusively held while an agent starts, shared from when it listens: so who
 * waits for a shared lock finds either a socket that answers or a dead agent.
 * A leaving agent removes the file: only the one that has the name counts.
 */
static int lock_take(void)
{
	struct stat held, named;
	int ret = 0;

	for (int tries = 0; tries < 1000; tries++) {
		agent.lock_fd =
			openat(agent.dir_fd, LOCK,
			       O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
		if (agent.lock_fd < 0 && errno == ENOENT) {
			/* A leaving agent has removed the folder under us. */
			close(agent.dir_fd);
			ret = folder_open();
			if (ret < 0)
				return ret;
			continue;
		}
		if (agent.lock_fd < 0)
			return refuse(-errno, "cannot open " LOCK);
		if (flock(agent.lock_fd, LOCK_EX | LOCK_NB) == 0) {
			if (fstat(agent.lock_fd, &held) == 0 &&
			    fstatat(agent.dir_fd, LOCK, &named, 0) == 0 &&
			    held.st_ino == named.st_ino)
				return 0;
		} else if (errno != EWOULDBLOCK) {
			return refuse(-errno, "cannot lock " LOCK);
		} else if (flock(agent.lock_fd, LOCK_SH) == 0) {
			ret = announce();
			if (ret == 0)
				return -EWOULDBLOCK;
		}
		close(agent.lock_fd);
		sched_yield();
	}
	return refuse(ret < 0 ? ret : -EBUSY,
		      "its agent neither answers nor goes away");
}

static void registry_new(struct registry_header *registry)
{
	registry->version = REGISTRY_VERSION;
	registry->since = time(NULL);
	/* A poke sent in an earlier life may still be pending in a restored
	 * process: its number must not come again. */
	registry->last_request = (uint32_t)time(NULL) & 0x3fffffff;
	snprintf(registry->computation, sizeof(registry->computation), "%s",
		 agent.computation);
	/* Last: who maps it looks here first. */
	__atomic_store_n(&registry->magic, REGISTRY_MAGIC, __ATOMIC_RELEASE);
}

static int registry_open(void)
{
	struct registry_header *registry;
	int fd, ret = 0;

	fd = openat(agent.dir_fd, SERVICE_REGISTRY,
		    O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return refuse(-errno, "cannot create the registry");
	if (ftruncate(fd, REGISTRY_SIZE) < 0)
		ret = -errno;
	registry = mmap(NULL, REGISTRY_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED,
			fd, 0);
	if (!ret && registry == MAP_FAILED)
		ret = -errno;
	if (ret < 0) {
		close(fd);
		return refuse(ret, "cannot map the registry");
	}
	agent.registry = registry;
	agent.registry_fd = fd;
	if (registry->magic == 0) {
		registry_new(registry);
		agent.is_new = 1;
		return 0;
	}
	if (registry->magic != REGISTRY_MAGIC ||
	    registry->version != REGISTRY_VERSION ||
	    strncmp(registry->computation, agent.computation,
		    sizeof(registry->computation)) != 0)
		return refuse(-EBUSY, "the registry is of another computation");
	/* Whatever the last agent was at, it is over. */
	__atomic_store_n(&registry->request, 0, __ATOMIC_SEQ_CST);
	return 0;
}

int group_open(void)
{
	int ret = folder_open();

	if (ret == 0)
		ret = lock_take();
	if (ret == 0)
		ret = registry_open();
	return ret;
}

/* Root's processes may become other users, who cannot enter the folder. The
 * name is no secret (/proc/net/unix has it): service.c looks at who calls. */
static int listen_to_others(void)
{
	struct sockaddr_un here = {.sun_family = AF_UNIX};
	char *name = agent.registry->other_users;
	unsigned char bytes[16];
	size_t i, length;
	int n = 0;

	memset(name, 0, sizeof(agent.registry->other_users));
	if (geteuid() != 0)
		return 0;
	if (getrandom(bytes, sizeof(bytes), 0) != sizeof(bytes))
		return refuse(-EIO, "cannot make up a name");
	n = snprintf(here.sun_path + 1, sizeof(here.sun_path) - 1, "ckpt-");
	for (i = 0; i < sizeof(bytes); i++)
		n += snprintf(here.sun_path + 1 + n, 3, "%02x", bytes[i]);
	length = offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)n;
	agent.others_fd = socket(
		AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (agent.others_fd < 0 ||
	    bind(agent.others_fd, (struct sockaddr *)&here,
		 (socklen_t)length) < 0 ||
	    listen(agent.others_fd, SOMAXCONN) < 0)
		return refuse(-errno, "cannot listen for other users");
	memcpy(name, here.sun_path + 1, (size_t)n);
	return 0;
}

int group_listen(void)
{
	struct sockaddr_un here;
	int ret = 0;

	address(&here);
	if (unlinkat(agent.dir_fd, SERVICE_SOCKET, 0) < 0 && errno != ENOENT)
		return refuse(-errno, "cannot replace " SERVICE_SOCKET);
	agent.listen_fd = socket(
		AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (agent.listen_fd < 0 ||
	    bind(agent.listen_fd, (struct sockaddr *)&here, sizeof(here)) < 0 ||
	    fchmodat(agent.dir_fd, SERVICE_SOCKET, 0600, 0) < 0 ||
	    listen(agent.listen_fd, SOMAXCONN) < 0 ||
	    flock(agent.lock_fd, LOCK_SH | LOCK_NB) < 0)
		ret = refuse(-errno, "cannot listen on " SERVICE_SOCKET);
	return ret < 0 ? ret : listen_to_others();
}

void group_remove(void)
{
	unlinkat(agent.dir_fd, SERVICE_SOCKET, 0);
	unlinkat(agent.dir_fd, SERVICE_REGISTRY, 0);
	unlinkat(agent.dir_fd, "agent.log", 0);
	/* The lock last: until then nobody else begins here. */
	unlinkat(agent.dir_fd, LOCK, 0);
	rmdir(agent.group_dir);
}
