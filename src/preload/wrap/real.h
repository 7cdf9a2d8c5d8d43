/* SPDX-License-Identifier: MIT */
/* What each wrapper hides. Filled by the constructor, never later: a lookup
 * takes the dynamic linker's lock. */
#ifndef REAL_H
#define REAL_H

#include <aio.h>
#include <mqueue.h>
#include <netdb.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <sys/inotify.h>
#include <sys/sem.h>
#include <threads.h>
#include <time.h>
#include <unistd.h>

struct real {
#define WRAP(name, returns, params) returns(*name) params;
#include "preload/wrap/wrappers.def"
#undef WRAP
};

#define WRAP(name, returns, params)                                            \
	__attribute__((visibility("default"))) returns name params;
#define INSTEAD WRAP
#include "preload/wrap/wrappers.def"
#undef WRAP

/* syscall.S: behind the instruction. */
extern const char wrap_syscall_made[];

/* The functions; the library is ready when it returns (a wrapper may be called
 * before our constructor). */
const struct real *real(void);
void real_look_up(void);
void preload_start(void);

#endif
