/* SPDX-License-Identifier: MIT */
/*
 * System V shared memory, semaphores and message queues, saving. Kept: ids,
 * keys, owners, modes, sizes, a pending IPC_RMID; values; messages, which are
 * copied, not taken; what SEM_UNDO would undo (preload/wrap/semaphores.c adds
 * it up). Not kept: who used them last and when.
 *
 * They belong to nobody, and who may use one cannot be seen. Saved are
 * segments that a process has attached; what one of the computation has made
 * or used last, who may be gone; and sets and queues that nobody has used yet,
 * made by this user since the computation began: who made them is not known.
 * Such a guess does no harm: it is made again where there is nothing with
 * its id, and left alone otherwise.
 *
 * One process of each user looks (ckpt_claim()). A segment is attached for as
 * long as the checkpoint takes, so that its pages are saved like those of any
 * other memory; the reborn process lets go of it.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/stat.h>

#include <ckpt/plugin.h>

#include "plugins/sysv/format.h"
#include "sys/string.h"
#include "sys/sys.h"

#define SYSV_HELD_MAX 4096
#define SYSV_SEMS_MAX 32000u

#ifndef MSG_COPY
#define MSG_COPY 040000
#endif

/* Attached for the checkpoint. Part of the image: the next life reads it. */
static void *sysv_held[SYSV_HELD_MAX];
static uint32_t sysv_held_count;

static void sysv_let_go(void)
{
	while (sysv_held_count > 0)
		SYS_CALL(SYS_shmdt, sysv_held[--sysv_held_count]);
}

static char *sysv_number(long n)
{
	static char buffer[24];
	struct sys_text t;

	sys_text_open(&t, buffer, sizeof(buffer));
	sys_text_number(&t, (uint64_t)n, 10);
	return buffer;
}

/* ---- whose? ---- */

static int sysv_is_alive(int pid)
{
	return SYS_CALL(SYS_kill, pid, 0) != -ESRCH;
}

/* Who has used it, from worst to best. */
enum {
	SYSV_NOBODY,
	SYSV_OTHERS,
	SYSV_GONE, /* of the computation, and has ended */
	SYSV_MEMBER,
};

static int sysv_evidence(int pid)
{
	if (pid <= 0)
		return SYSV_NOBODY;
	if (ckpt_is_member(pid))
		return SYSV_MEMBER;
	return ckpt_was_member(pid) && !sysv_is_alive(pid) ? SYSV_GONE
							   : SYSV_OTHERS;
}

static int sysv_is_ours(int evidence, uint32_t cuid, int64_t changed)
{
	return evidence == SYSV_MEMBER ||
	       (evidence != SYSV_OTHERS &&
		cuid == (uint32_t)SYS_CALL(SYS_geteuid) &&
		changed >= ckpt_since());
}

static int sysv_better(int a, int b)
{
	return a > b ? a : b;
}

/* Another computation's, in another namespace, may have the same id. */
static int sysv_claim(uint32_t type, int id)
{
	struct stat st;
	uint64_t space = 0;

	if (SYS_CALL(SYS_newfstatat, AT_FDCWD, "/proc/thread-self/ns/ipc", &st,
		     0) == 0)
		space = st.st_ino;
	return ckpt_claim(~space, (uint64_t)type << 32 | (uint32_t)id);
}

static void sysv_fill(struct sysv_object *o, const struct ipc_perm *p)
{
	o->key = p->__key;
	o->mode = p->mode;
	o->uid = p->uid;
	o->gid = p->gid;
	o->cuid = p->cuid;
	o->cgid = p->cgid;
}

static void sysv_put(struct ckpt_record *out, const void *data, size_t length)
{
	static const char padding[8];

	ckpt_put(out, data, length);
	ckpt_put(out, padding, sysv_padded(length) - length);
}

/* ---- shared memory ---- */

/* Its pages are in an area of ours already. */
static int sysv_attached_whole(int id, uint64_t size)
{
	struct ckpt_attachment a;
	uint32_t i;

	for (i = 0; ckpt_attached(i, &a); i++)
		if (a.id == id && a.writable && a.offset == 0 &&
		    a.length >= size)
			return 1;
	return 0;
}

static int sysv_hold(int id)
{
	long at;

	if (sysv_held_count == SYSV_HELD_MAX)
		return -ENOSPC;
	at = SYS_CALL(SYS_shmat, id, NULL, 0);
	if (at < 0 && at >= -4095)
		return (int)at;
	sysv_held[sysv_held_count++] = (void *)at;
	return 0;
}

/* must: a process of the computation has it. */
static int sysv_save_shm(struct ckpt_record *out, int id, int must)
{
	struct sysv_object o = {.type = SYSV_SHM, .id = id};
	struct shmid_ds ds;
	long ret;

	ret = SYS_CALL(SYS_shmctl, id, IPC_STAT, &ds);
	if (ret == -EACCES && must)
		return ckpt_refuse(-EACCES, "shared memory segment ",
				   sysv_number(id), " (shmget) may not be "
				   "read, so it cannot be saved", NULL);
	if (ret < 0)
		return 0;
	if (!must && !sysv_is_ours(sysv_better(sysv_evidence(ds.shm_cpid),
					       sysv_evidence(ds.shm_lpid)),
				   ds.shm_perm.cuid, ds.shm_ctime))
		return 0;
	if (!sysv_claim(SYSV_SHM, id))
		return 0;
	if (!sysv_attached_whole(id, ds.shm_segsz)) {
		ret = sysv_hold(id);
		if (ret == -ENOSPC || (ret < 0 && must))
			return ckpt_refuse((int)ret, "shared memory segment ",
					   sysv_number(id), " (shmget) cannot "
					   "be attached for saving it", NULL);
		if (ret < 0)
			return 0;
	}
	sysv_fill(&o, &ds.shm_perm);
	o.size = ds.shm_segsz;
	ckpt_put(out, &o, sizeof(o));
	return 0;
}

static int sysv_save_attached(struct ckpt_record *out)
{
	struct ckpt_attachment a;
	uint32_t i;
	int ret = 0;

	for (i = 0; ret == 0 && ckpt_attached(i, &a); i++)
		ret = sysv_save_shm(out, a.id, 1);
	return ret;
}

/* ---- semaphores ---- */

static int sysv_sem_evidence(int id, uint64_t count)
{
	int best = SYSV_NOBODY;
	uint64_t i;

	for (i = 0; i < count && best < SYSV_MEMBER; i++)
		best = sysv_better(best, sysv_evidence((int)SYS_CALL(
						 SYS_semctl, id, i, GETPID,
						 0)));
	return best;
}

static int sysv_save_sem(struct ckpt_record *out, int id)
{
	static uint16_t values[SYSV_SEMS_MAX];
	struct sysv_object o = {.type = SYSV_SEM, .id = id};
	struct semid_ds ds;
	int evidence;

	if (SYS_CALL(SYS_semctl, id, 0, IPC_STAT, &ds) < 0)
		return 0;
	evidence = sysv_sem_evidence(id, ds.sem_nsems);
	if (!sysv_is_ours(evidence, ds.sem_perm.cuid, ds.sem_ctime) ||
	    !sysv_claim(SYSV_SEM, id))
		return 0;
	if (ds.sem_nsems > SYSV_SEMS_MAX)
		return ckpt_refuse(-EFBIG, "semaphore set ", sysv_number(id),
				   " (semget) is too large", NULL);
	if (SYS_CALL(SYS_semctl, id, 0, GETALL, values) < 0)
		return 0;
	sysv_fill(&o, &ds.sem_perm);
	o.size = ds.sem_nsems;
	o.flags = (ds.sem_otime ? SYSV_USED : 0) |
		  (evidence == SYSV_NOBODY ? SYSV_GUESSED : 0);
	o.length = sysv_padded(o.size * sizeof(*values));
	ckpt_put(out, &o, sizeof(o));
	sysv_put(out, values, o.size * sizeof(*values));
	return 0;
}

/* ---- messages ---- */

static struct sysv_text {
	long type;
	char bytes[];
} *sysv_text; /* for one message; as large as a queue has needed so far */
static uint64_t sysv_text_size;

static struct sysv_text *sysv_text_of(uint64_t size)
{
	if (size > sysv_text_size) {
		sysv_text = ckpt_reserve(sizeof(*sysv_text) + size);
		sysv_text_size = sysv_text ? size : 0;
	}
	return sysv_text;
}

static int sysv_save_messages(struct ckpt_record *out, struct sysv_object *o,
			      uint64_t bytes)
{
	struct sysv_text *text = sysv_text_of(bytes + 1);
	struct sysv_message m;
	uint32_t i;
	long n;
	int pass;

	if (!text)
		return ckpt_refuse(-EFBIG, "message queue ",
				   sysv_number(o->id),
				   " (msgget) holds too much", NULL);
	/* Once to know how long it all is. */
	for (pass = 0; pass < 2; pass++) {
		for (i = 0; i < o->count; i++) {
			n = SYS_CALL(SYS_msgrcv, o->id, text, bytes, i,
				     MSG_COPY | IPC_NOWAIT);
			if (n == -ENOMSG)
				break; /* another one has taken it */
			if (n == -EACCES && pass == 0 && i == 0)
				return -EACCES;
			if (n == -ENOSYS || ckpt_masked("msg_copy"))
				return ckpt_refuse(
					-ENOSYS, "message queue ",
					sysv_number(o->id), " (msgget) is not "
					"empty, and this kernel cannot copy "
					"messages (CONFIG_CHECKPOINT_RESTORE)",
					NULL);
			if (n < 0)
				return ckpt_refuse((int)n, "message queue ",
						   sysv_number(o->id),
						   " (msgget) cannot be read",
						   NULL);
			m.type = text->type;
			m.length = (uint64_t)n;
			if (pass == 0) {
				o->length += sizeof(m) + sysv_padded(m.length);
				continue;
			}
			ckpt_put(out, &m, sizeof(m));
			sysv_put(out, text->bytes, m.length);
		}
		o->count = i;
		if (pass == 0)
			ckpt_put(out, o, sizeof(*o));
	}
	return 0;
}

static int sysv_save_msg(struct ckpt_record *out, int id)
{
	struct sysv_object o = {.type = SYSV_MSG, .id = id};
	struct msqid_ds ds;
	int evidence, ret;

	if (SYS_CALL(SYS_msgctl, id, IPC_STAT, &ds) < 0)
		return 0;
	evidence = sysv_better(sysv_evidence(ds.msg_lspid),
			       sysv_evidence(ds.msg_lrpid));
	if (!sysv_is_ours(evidence, ds.msg_perm.cuid, ds.msg_ctime) ||
	    !sysv_claim(SYSV_MSG, id))
		return 0;
	sysv_fill(&o, &ds.msg_perm);
	o.size = ds.msg_qbytes;
	o.flags = evidence == SYSV_NOBODY ? SYSV_GUESSED : SYSV_USED;
	o.count = (uint32_t)ds.msg_qnum;
	ret = sysv_save_messages(out, &o, ds.__msg_cbytes);
	return ret == -EACCES ? 0 : ret;
}

/* ---- what is to be undone ---- */

/* The sum once more, and its opposite, which is not undone: nothing changes
 * but what the kernel has noted. In the order that the value allows. */
static long sysv_do_again(const struct ckpt_undo *u)
{
	struct sembuf noted = {(unsigned short)u->number, (short)u->sum,
			       SEM_UNDO | IPC_NOWAIT};
	struct sembuf back = {(unsigned short)u->number, (short)-u->sum,
			      IPC_NOWAIT};
	struct sembuf down_last[2] = {noted, back}, up_last[2] = {back, noted};
	long ret = SYS_CALL(SYS_semop, u->id, u->sum > 0 ? down_last : up_last,
			    2);

	if (ret == -ERANGE)
		ret = SYS_CALL(SYS_semop, u->id,
			       u->sum > 0 ? up_last : down_last, 2);
	return ret;
}

static int sysv_check_undo(void)
{
	struct ckpt_undo undo;

	if (ckpt_undo(0, &undo) == -ENOSPC)
		return ckpt_refuse(-ENOSPC, "the process has used more "
				   "semaphores with SEM_UNDO than can be kept",
				   NULL);
	return 0;
}

/* A set that is no more has nothing to be undone either. */
static void sysv_undo_again(void)
{
	struct ckpt_undo undo;
	uint32_t i;

	for (i = 0; ckpt_undo(i, &undo) == 1; i++)
		if (undo.sum)
			sysv_do_again(&undo);
}

/* ---- all there are ---- */

static int sysv_save_id(struct ckpt_record *out, uint32_t type, int id)
{
	switch (type) {
	case SYSV_SHM:
		return sysv_save_shm(out, id, 0);
	case SYSV_SEM:
		return sysv_save_sem(out, id);
	default:
		return sysv_save_msg(out, id);
	}
}

/* The second column of each line but the first. */
static int sysv_each(struct ckpt_record *out, uint32_t type, const char *path)
{
	static char text[4096];
	long fd = sys_openat(AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0), n, i;
	int line = 0, column = 0, blank = 1, ret = 0;
	uint64_t id = 0;

	if (fd < 0)
		return 0; /* such a kernel has none */
	while (ret == 0 && (n = sys_read((int)fd, text, sizeof(text))) > 0) {
		for (i = 0; i < n && ret == 0; i++) {
			char c = text[i];
			int was_blank = blank;

			blank = c == ' ' || c == '\n';
			column += was_blank && !blank;
			if (line && column == 2 && c >= '0' && c <= '9')
				id = id * 10 + (uint64_t)(c - '0');
			if (line && column == 2 && blank && !was_blank)
				ret = sysv_save_id(out, type, (int)id);
			if (c != '\n')
				continue;
			line++;
			column = 0;
			id = 0;
		}
	}
	sys_close((int)fd);
	return ret;
}

static int sysv_capture(struct ckpt_record *out)
{
	int ret;

	sysv_held_count = 0;
	sysv_text_size = 0;
	ret = sysv_check_undo();
	if (ret == 0)
		ret = sysv_save_attached(out);
	/* One of each user looks at all there are. */
	if (ret < 0 || !sysv_claim(0, (int)SYS_CALL(SYS_geteuid)))
		return ret;
	ret = sysv_each(out, SYSV_SHM, "/proc/sysvipc/shm");
	if (ret == 0)
		ret = sysv_each(out, SYSV_SEM, "/proc/sysvipc/sem");
	if (ret == 0)
		ret = sysv_each(out, SYSV_MSG, "/proc/sysvipc/msg");
	return ret;
}

static int sysv_revive(void)
{
	sysv_let_go();
	sysv_undo_again();
	return 0;
}

static void sysv_leave(int ret)
{
	(void)ret;
	sysv_let_go();
}

const struct ckpt_saver sysv_saver = {
	.kind = 78,
	.name = "sysv",
	.capture = sysv_capture,
	.leave = sysv_leave,
	.revive = sysv_revive,
};
