/* SPDX-License-Identifier: MIT */
/*
 * System V objects, restoring: in the capsule's own IPC namespace, by init,
 * before the processes. The kernel gives the id that shm_next_id and its like
 * in /proc/sys/kernel name. Who has used them last is the process that has
 * saved them (ckpt_as()): so they are known as the computation's next time.
 * Where there is no namespace of our own an object that is still there, and
 * is the same, is used again.
 *
 * A segment that waits for its last user to go (IPC_RMID) is held by init
 * until all processes have been born, who inherit that.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <unistd.h>

#include <ckpt/plugin.h>

#include "plugins/sysv/format.h"

#define SYSV_MODE 0777
#define SYSV_LOCKED 02000 /* SHM_LOCKED, in the mode */

/* Made by an earlier record: they come first to last, each once. */
struct sysv_made {
	uint32_t type;
	int32_t id;
};
static struct sysv_made *sysv_made;
static size_t sysv_made_count;

static void **sysv_held;
static size_t sysv_held_count;

static const struct {
	const char *what, *next_id;
} sysv_types[] = {
	[SYSV_SHM] = {"shared memory segment",
		      "/proc/sys/kernel/shm_next_id"},
	[SYSV_SEM] = {"semaphore set", "/proc/sys/kernel/sem_next_id"},
	[SYSV_MSG] = {"message queue", "/proc/sys/kernel/msg_next_id"},
};

static int sysv_write(const char *path, unsigned long long value)
{
	char text[24];
	int length = snprintf(text, sizeof(text), "%llu", value);
	int fd = open(path, O_WRONLY | O_CLOEXEC), ret = 0;

	if (fd < 0)
		return -errno;
	if (write(fd, text, (size_t)length) != length)
		ret = -errno;
	close(fd);
	return ret;
}

/* The limits of a new namespace may be lower than the old one's were. */
static void sysv_raise(const char *path, unsigned long long least)
{
	unsigned long long now;
	FILE *f = fopen(path, "re");

	if (!f)
		return;
	if (fscanf(f, "%llu", &now) == 1 && now < least)
		sysv_write(path, least);
	fclose(f);
}

/* ---- one object ---- */

static int sysv_get(const struct sysv_object *o, int flags)
{
	key_t key = o->mode & SYSV_REMOVED ? IPC_PRIVATE : o->key;

	switch (o->type) {
	case SYSV_SHM:
		return shmget(key, o->size, flags);
	case SYSV_SEM:
		return semget(key, (int)o->size, flags);
	default:
		return msgget(key, flags);
	}
}

static int sysv_status(const struct sysv_object *o, int command,
		       struct ipc_perm **perm, uint64_t *size)
{
	static struct shmid_ds shm;
	static struct semid_ds sem;
	static struct msqid_ds msg;
	int ret;

	switch (o->type) {
	case SYSV_SHM:
		ret = shmctl(o->id, command, &shm);
		*perm = &shm.shm_perm;
		*size = shm.shm_segsz;
		return ret;
	case SYSV_SEM:
		ret = semctl(o->id, 0, command, &sem);
		*perm = &sem.sem_perm;
		*size = sem.sem_nsems;
		return ret;
	default:
		if (command == IPC_SET)
			msg.msg_qbytes = o->size;
		ret = msgctl(o->id, command, &msg);
		*perm = &msg.msg_perm;
		*size = o->size;
		return ret;
	}
}

static void sysv_remove(const struct sysv_object *o, int id)
{
	switch (o->type) {
	case SYSV_SHM:
		shmctl(id, IPC_RMID, NULL);
		break;
	case SYSV_SEM:
		semctl(id, 0, IPC_RMID);
		break;
	default:
		msgctl(id, IPC_RMID, NULL);
	}
}

/* It stands there still: the capsule has no namespace of its own. */
static int sysv_is_there(const struct sysv_object *o)
{
	struct ipc_perm *perm;
	uint64_t size;

	return sysv_status(o, IPC_STAT, &perm, &size) == 0 &&
	       perm->__key == o->key && size == o->size &&
	       perm->cuid == o->cuid;
}

/* With the creator that it had, where we may be anybody. */
static int sysv_create(const struct sysv_object *o)
{
	uid_t uid = geteuid();
	gid_t gid = getegid();
	int id, ret;

	ret = sysv_write(sysv_types[o->type].next_id, (unsigned)o->id);
	if (o->cgid != gid && setegid(o->cgid) < 0)
		gid = getegid();
	if (o->cuid != uid && seteuid(o->cuid) < 0)
		uid = geteuid();
	id = sysv_get(o, IPC_CREAT | IPC_EXCL | 0600);
	if (id < 0)
		ret = -errno;
	if (seteuid(uid) < 0 || setegid(gid) < 0)
		return -errno;
	if (id == o->id)
		return 0;
	if (id >= 0) {
		sysv_remove(o, id);
		ret = ret < 0 ? ret : -EEXIST;
	}
	return ret;
}

static int sysv_permit(struct ckpt_restore *r, const struct sysv_object *o)
{
	struct ipc_perm *perm;
	uint64_t size;

	if (sysv_status(o, IPC_STAT, &perm, &size) < 0)
		return -errno;
	perm->uid = o->uid;
	perm->gid = o->gid;
	perm->mode = o->mode & SYSV_MODE;
	if (sysv_status(o, IPC_SET, &perm, &size) == 0)
		return 0;
	if (sysv_status(o, IPC_STAT, &perm, &size) < 0)
		return -errno;
	ckpt_report(r, "%s %d cannot have the owner that it had: it is yours",
		    sysv_types[o->type].what, o->id);
	perm->mode = o->mode & SYSV_MODE;
	return sysv_status(o, IPC_SET, &perm, &size) < 0 ? -errno : 0;
}

/* ---- content ---- */

static int sysv_fill_shm(const struct sysv_object *o)
{
	void *at = shmat(o->id, NULL, 0);

	if (at == (void *)-1)
		return -errno;
	madvise(at, o->size, MADV_REMOVE); /* of a former life */
	shmdt(at);
	if (o->mode & SYSV_LOCKED)
		shmctl(o->id, SHM_LOCK, NULL);
	return 0;
}

/* That it has been used, for those who ask IPC_STAT whether it is ready. */
static void sysv_touch_sem(int id, const uint16_t *values)
{
	struct sembuf there[2] = {{0, 1, IPC_NOWAIT}, {0, -1, IPC_NOWAIT}};

	if (values[0]) {
		there[0].sem_op = -1;
		there[1].sem_op = 1;
	}
	semop(id, there, 2);
}

static int sysv_fill_sem(const struct sysv_object *o, const void *content)
{
	if (semctl(o->id, 0, SETALL, content) < 0)
		return -errno;
	if (o->flags & SYSV_USED)
		sysv_touch_sem(o->id, content);
	return 0;
}

static int sysv_send(int id, const struct sysv_message *m, const void *bytes)
{
	struct {
		long type;
		char bytes[];
	} *text = malloc(sizeof(*text) + m->length);
	int ret = 0;

	if (!text)
		return -ENOMEM;
	text->type = m->type;
	memcpy(text->bytes, bytes, m->length);
	if (msgsnd(id, text, m->length, IPC_NOWAIT) < 0)
		ret = -errno;
	free(text);
	return ret;
}

/* So that it is known who had it. */
static void sysv_touch_msg(int id)
{
	struct sysv_message m = {.type = 1};
	char none[sizeof(long)];

	if (sysv_send(id, &m, none) == 0)
		msgrcv(id, none, 0, 1, IPC_NOWAIT | MSG_NOERROR);
}

static int sysv_fill_msg(const struct sysv_object *o, const char *content)
{
	const char *end = content + o->length;
	const struct sysv_message *m;
	char none[sizeof(long)];
	uint32_t i;
	int ret = 0;

	while (msgrcv(o->id, none, 0, 0, IPC_NOWAIT | MSG_NOERROR) >= 0)
		; /* of a former life */
	if (o->flags & SYSV_USED)
		sysv_touch_msg(o->id);
	for (i = 0; i < o->count && ret == 0; i++) {
		m = (const void *)content;
		if ((size_t)(end - content) < sizeof(*m))
			return -EBADMSG;
		content += sizeof(*m);
		if ((uint64_t)(end - content) < m->length ||
		    (uint64_t)(end - content) < sysv_padded(m->length))
			return -EBADMSG;
		sysv_raise("/proc/sys/kernel/msgmax", m->length);
		ret = sysv_send(o->id, m, content);
		content += sysv_padded(m->length);
	}
	return ret;
}

static int sysv_fill(const struct sysv_object *o, const void *content)
{
	switch (o->type) {
	case SYSV_SHM:
		return sysv_fill_shm(o);
	case SYSV_SEM:
		return sysv_fill_sem(o, content);
	default:
		return sysv_fill_msg(o, content);
	}
}

static void sysv_make_room(const struct sysv_object *o)
{
	switch (o->type) {
	case SYSV_SHM:
		sysv_raise("/proc/sys/kernel/shmmax", o->size);
		break;
	case SYSV_MSG:
		sysv_raise("/proc/sys/kernel/msgmnb", o->size);
		break;
	}
}

static int sysv_make(struct ckpt_restore *r, const struct sysv_object *o,
		     const void *content)
{
	int there = sysv_is_there(o), ret = 0;

	if (there && (o->flags & SYSV_GUESSED))
		return 0;
	sysv_make_room(o);
	if (!there)
		ret = sysv_create(o);
	if (ret == -EEXIST && (o->flags & SYSV_GUESSED))
		return 0;
	/* While we are its owner. */
	if (ret == 0)
		ret = sysv_fill(o, content);
	if (ret == 0)
		ret = sysv_permit(r, o);
	if (ret < 0)
		ckpt_report(r, "%s %d cannot be made again: %s%s",
			    sysv_types[o->type].what, o->id, strerror(-ret),
			    ret == -EEXIST || ret == -EACCES || ret == -EPERM ?
				    "; its id can be had in an IPC namespace "
				    "only (do not use --capsule never)" :
				    "");
	return ret;
}

/* ---- all of them ---- */

static int sysv_is_made(const struct sysv_object *o)
{
	size_t i;

	for (i = 0; i < sysv_made_count; i++)
		if (sysv_made[i].type == o->type && sysv_made[i].id == o->id)
			return 1;
	return 0;
}

static int sysv_note_made(const struct sysv_object *o)
{
	struct sysv_made *more = realloc(
		sysv_made, (sysv_made_count + 1) * sizeof(*sysv_made));

	if (!more)
		return -ENOMEM;
	sysv_made = more;
	sysv_made[sysv_made_count++] = (struct sysv_made){o->type, o->id};
	return 0;
}

/* Its id leads to it still, as long as somebody has it. */
static int sysv_hold(const struct sysv_object *o)
{
	void **more = realloc(sysv_held,
			      (sysv_held_count + 1) * sizeof(*sysv_held));
	void *at;

	if (!more)
		return -ENOMEM;
	sysv_held = more;
	at = shmat(o->id, NULL, SHM_RDONLY);
	if (at == (void *)-1)
		return -errno;
	sysv_held[sysv_held_count++] = at;
	return shmctl(o->id, IPC_RMID, NULL) < 0 ? -errno : 0;
}

/* The next one at *at, of which *left bytes are left; NULL: no more. */
static const struct sysv_object *sysv_next(const char **at, size_t *left)
{
	const struct sysv_object *o = (const void *)*at;

	if (*left < sizeof(*o) || o->type < SYSV_SHM || o->type > SYSV_MSG ||
	    o->length > *left - sizeof(*o) ||
	    (o->type == SYSV_SEM && o->length / sizeof(uint16_t) < o->size))
		return NULL;
	*at += sizeof(*o) + o->length;
	*left -= sizeof(*o) + o->length;
	return o;
}

struct sysv_all {
	struct ckpt_restore *r;
	const char *at;
	size_t left;
};

static int sysv_make_all(void *argument)
{
	struct sysv_all *all = argument;
	const struct sysv_object *o;

	while ((o = sysv_next(&all->at, &all->left)) != NULL)
		if (!sysv_is_made(o) && sysv_make(all->r, o, o + 1) < 0)
			return -ECANCELED; /* it has said why */
	return 0;
}

static int sysv_before(struct ckpt_restore *r, int pid, const void *body,
		       size_t length)
{
	struct sysv_all all = {r, body, length};
	const struct sysv_object *o;
	const char *at = body;
	int ret = ckpt_as(r, pid, sysv_make_all, &all, sizeof(all));

	while (ret == 0 && (o = sysv_next(&at, &length)) != NULL) {
		if (sysv_is_made(o))
			continue;
		ret = sysv_note_made(o);
		if (ret == 0 && o->type == SYSV_SHM &&
		    (o->mode & SYSV_REMOVED))
			ret = sysv_hold(o);
	}
	return ret < 0 ? ret : length ? -EBADMSG : 0;
}

static void sysv_between(struct ckpt_restore *r)
{
	(void)r;
	while (sysv_held_count > 0)
		shmdt(sysv_held[--sysv_held_count]);
}

static void sysv_show(const struct ckpt_object *object, char *line, size_t size)
{
	const char *at = object->body;
	size_t left = object->length, used = 0;
	const struct sysv_object *o;

	while (used < size && (o = sysv_next(&at, &left)) != NULL)
		used += (size_t)snprintf(line + used, size - used,
					 "%s%s %d key %#x size %llu%s",
					 used ? ", " : "",
					 sysv_types[o->type].what, o->id,
					 (unsigned)o->key,
					 (unsigned long long)o->size,
					 o->mode & SYSV_REMOVED &&
						 o->type == SYSV_SHM ?
						 " removed" : "");
}

const struct ckpt_restorer sysv_restorer = {
	.kind = 78,
	.name = "sysv",
	.before = sysv_before,
	.between = sysv_between,
	.show = sysv_show,
};
