/* SPDX-License-Identifier: MIT */
/*
 * exec and posix_spawn: the new program has to find its computation again
 * though its environment is not ours to choose, and 33 must not kill it before
 * it has taken that signal.
 *
 * All of this may run in a vfork child: on the parent's memory, so nothing is
 * allocated and nothing is left behind. Also from signal handlers: no locks.
 */
#define _GNU_SOURCE
#include <alloca.h>
#include <errno.h>
#include <stdarg.h>

#include "preload/handler/signal.h"
#include "preload/preload.h"
#include "preload/wrap/environment.h"
#include "preload/wrap/real.h"
#include "preload/wrap/remote.h"

extern char **environ;

/* A new name `env`, on our caller's stack. */
#define ENVIRONMENT(env, envp)                                                 \
	size_t env##_size = environment_size(envp);                            \
	char *const *env = envp;                                               \
	if (env##_size)                                                        \
	env = environment_build(alloca(env##_size), envp)

/* Another program and other arguments, if it is a remote shell. */
#define REMOTE(file, argv, envp)                                               \
	size_t remote_bytes = remote_size(file, argv, envp);                   \
	if (remote_bytes) {                                                    \
		argv = remote_build(alloca(remote_bytes), file, argv);         \
		file = preload.remote;                                         \
	}

static void leaving(void)
{
	if (!preload.slot)
		return;
	preload_slot_state(SLOT_EXEC);
	park_signal_ignore();
}

/* Still here: it failed. */
static int stayed(int ret)
{
	int error = errno;

	if (preload.slot) {
		park_signal_arm();
		preload_slot_state(SLOT_LIVE);
	}
	errno = error;
	return ret;
}

int execve(const char *path, char *const argv[], char *const envp[])
{
	const struct real *r = real();
	ENVIRONMENT(env, envp);
	REMOTE(path, argv, envp);

	leaving();
	return stayed(r->execve(path, argv, env));
}

int execv(const char *path, char *const argv[])
{
	return execve(path, argv, environ);
}

int execvpe(const char *file, char *const argv[], char *const envp[])
{
	const struct real *r = real();
	ENVIRONMENT(env, envp);
	REMOTE(file, argv, envp);

	leaving();
	return stayed(r->execvpe(file, argv, env));
}

int execvp(const char *file, char *const argv[])
{
	return execvpe(file, argv, environ);
}

int execveat(int dir, const char *path, char *const argv[],
	     char *const envp[], int flags)
{
	const struct real *r = real();
	ENVIRONMENT(env, envp);

	if (!r->execveat) {
		errno = ENOSYS;
		return -1;
	}
	leaving();
	return stayed(r->execveat(dir, path, argv, env, flags));
}

int fexecve(int fd, char *const argv[], char *const envp[])
{
	const struct real *r = real();
	ENVIRONMENT(env, envp);

	leaving();
	return stayed(r->fexecve(fd, argv, env));
}

/* ---- the ones with a list */

static size_t count(va_list list)
{
	size_t n = 1; /* the first one has a name */

	while (va_arg(list, char *))
		n++;
	return n;
}

/* argv from a list: a new name `argv`, on our caller's stack. */
#define ARGUMENTS(argv, list, first)                                           \
	va_list list;                                                          \
	size_t argv##_count, argv##_i;                                         \
	char **argv;                                                           \
	va_start(list, first);                                                 \
	argv##_count = count(list);                                            \
	va_end(list);                                                          \
	argv = alloca((argv##_count + 1) * sizeof(*argv));                     \
	va_start(list, first);                                                 \
	argv[0] = (char *)first;                                               \
	for (argv##_i = 1; argv##_i <= argv##_count; argv##_i++)               \
		argv[argv##_i] = va_arg(list, char *)

int execl(const char *path, const char *arg, ...)
{
	ARGUMENTS(argv, list, arg);

	va_end(list);
	return execve(path, argv, environ);
}

int execlp(const char *file, const char *arg, ...)
{
	ARGUMENTS(argv, list, arg);

	va_end(list);
	return execvpe(file, argv, environ);
}

int execle(const char *path, const char *arg, ...)
{
	char *const *envp;
	ARGUMENTS(argv, list, arg);

	envp = va_arg(list, char *const *); /* behind the NULL */
	va_end(list);
	return execve(path, argv, envp);
}

/* ---- spawn: the child ignores 33 by libc's own doing */

int posix_spawn(pid_t *pid, const char *path,
		const posix_spawn_file_actions_t *actions,
		const posix_spawnattr_t *attr, char *const argv[],
		char *const envp[])
{
	const struct real *r = real();
	ENVIRONMENT(env, envp);
	REMOTE(path, argv, envp);

	return r->posix_spawn(pid, path, actions, attr, argv, env);
}

int posix_spawnp(pid_t *pid, const char *file,
		 const posix_spawn_file_actions_t *actions,
		 const posix_spawnattr_t *attr, char *const argv[],
		 char *const envp[])
{
	const struct real *r = real();
	ENVIRONMENT(env, envp);
	REMOTE(file, argv, envp);

	return r->posix_spawnp(pid, file, actions, attr, argv, env);
}
