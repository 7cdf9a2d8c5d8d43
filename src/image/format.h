/* SPDX-License-Identifier: MIT */
/*
 * All that reaches disk in an image file. Little-endian, fixed widths, sizes
 * asserted. Bump IMAGE_VERSION when the layout of anything here changes; a
 * record that only grows at its end bumps its own version and an older reader
 * takes the part it knows.
 *
 *	0			struct image_header, padded to 4096 bytes. Written
 *				last: a file without it is no image.
 *	records_offset		struct image_record + body, each padded to 8
 *	...			blocks of page data, raw ones page-aligned
 *	index_offset		struct image_block[block_count],
 *				then struct image_extent[extent_count]
 *
 * Absent and zero pages stand nowhere. Every byte between the header and the
 * end of file that has a meaning is covered by one of the hashes (XXH3-64,
 * seed 0).
 */
#ifndef IMAGE_FORMAT_H
#define IMAGE_FORMAT_H

#include <stdint.h>

#define IMAGE_MAGIC "CKPTIMG" /* with its NUL, 8 bytes */
#define IMAGE_VERSION 2
#define IMAGE_HEADER_SIZE 4096
#define IMAGE_BLOCK_MAX (1u << 20) /* raw bytes of one block */
#define IMAGE_ARCH_X86_64 62	   /* ELF's EM_X86_64 */

/* A reader that does not know a set bit refuses the image. */
#define IMAGE_FEATURES_KNOWN 0ull

struct image_header {
	char magic[8];
	uint32_t version;
	uint32_t arch;
	uint32_t page_size;
	uint32_t header_size; /* sizeof(struct image_header) of the writer */
	uint64_t features;
	uint64_t records_offset;
	uint64_t records_length;
	uint64_t records_hash;
	uint64_t index_offset;
	uint64_t block_count;
	uint64_t extent_count;
	uint64_t index_hash;
	uint64_t file_size;
	uint64_t raw_bytes;    /* page data before compression */
	uint64_t stored_bytes; /* and after */
	int64_t created;       /* CLOCK_REALTIME, ns */
	char computation[40];  /* NUL-terminated id */
	uint64_t generation;
	int32_t pid;
	uint32_t uid;
	uint64_t header_hash; /* of all bytes of this struct before it */
};
_Static_assert(sizeof(struct image_header) == 184, "the image header");

struct image_record {
	uint32_t kind;
	uint16_t version;
	uint16_t flags;	 /* 0 */
	uint64_t length; /* of the body, without padding */
};
_Static_assert(sizeof(struct image_record) == 16, "a record's head");

enum image_codec {
	IMAGE_RAW = 0,
	IMAGE_LZ4 = 1,
};

/* Up to IMAGE_BLOCK_MAX bytes of pages, of one or more extents one after the
 * other; the extents of all blocks stand in the order of the blocks. hash is
 * that of the stored bytes. */
struct image_block {
	uint64_t offset; /* in the file */
	uint32_t stored;
	uint32_t raw;
	uint32_t codec; /* enum image_codec */
	uint32_t extents;
	uint64_t first_extent;
	uint64_t hash;
};
_Static_assert(sizeof(struct image_block) == 40, "a block");

struct image_extent {
	uint64_t addr; /* page-aligned, as is length */
	uint64_t length;
};
_Static_assert(sizeof(struct image_extent) == 16, "an extent");

/* Kinds of record. Below 64 the core's, from 64 the plugins' (each in its
 * format.h, registered in plugins/kinds.def). */
enum image_kind {
	IMAGE_PROCESS = 1, /* one, first: struct image_process */
	IMAGE_THREAD = 2,  /* struct image_thread, the leader's first */
	IMAGE_AREA = 3,	   /* struct image_area + path, ascending addresses */
	IMAGE_FILE = 4,	   /* struct image_file + path */
	IMAGE_FD = 5,	   /* struct image_fd, ascending fd */
	IMAGE_AUXV = 6,	   /* the auxiliary vector as it stands in memory */
	IMAGE_VDSO = 7,	   /* the bytes of the old vdso */
	IMAGE_CPU = 8,	   /* struct image_cpu */
	IMAGE_CWD = 9,	   /* struct image_cwd + path of the working directory */
	IMAGE_KIND_PLUGIN = 64,
};

/* Callee-saved registers of a task parked in libckpt.so: enough to come back
 * where it stood, as longjmp() would, with 1 as the result. */
struct image_jump {
	uint64_t rbx, rbp, r12, r13, r14, r15, rsp, rip;
};
_Static_assert(sizeof(struct image_jump) == 64, "a jump");

/* What prctl(PR_SET_MM_MAP) wants. */
struct image_mm {
	uint64_t start_code, end_code, start_data, end_data;
	uint64_t start_brk, brk, start_stack;
	uint64_t arg_start, arg_end, env_start, env_end;
};

enum image_process_flags {
	IMAGE_LEADER_DEAD = 1,	   /* the main thread has ended, others run */
	IMAGE_SESSION_LEADER = 2,  /* sid == pid */
	IMAGE_GROUP_LEADER = 4,	   /* pgid == pid */
	IMAGE_HAS_TTY = 8,	   /* had a controlling terminal */
	IMAGE_TTY_FOREGROUND = 16, /* its group was that terminal's foreground */
};

struct image_process {
	int32_t pid, ppid, pgid, sid; /* as the group saw them; 0: outside */
	uint32_t uid, gid;	      /* effective ones */
	uint32_t threads;
	uint32_t flags;	     /* enum image_process_flags */
	uint64_t start_time; /* /proc/PID/stat field 22 */
	uint64_t realtime, monotonic, boottime; /* clocks at STOP, ns */
	struct image_mm mm;
	uint32_t exe_file;	    /* id of an IMAGE_FILE record; 0: unknown */
	uint32_t umask;
	uint64_t rebirth;	    /* where in memory to put struct image_rebirth */
	struct image_jump service;  /* the service thread's */
	uint64_t registry, registry_length; /* where the registry is mapped */
	uint64_t vdso, vdso_length, vvar, vvar_length; /* 0: there was none */
	uint64_t personality;
	int32_t oom_score_adj;
	uint32_t coredump_filter;
	char comm[16];
};

struct image_thread {
	int32_t tid;
	uint32_t flags; /* 0 */
	struct image_jump jump;
	uint64_t user_ip, user_sp; /* for people */
	char comm[16];
};

enum image_area_type {
	AREA_ANON = 0,	       /* private anonymous memory, heap and stack */
	AREA_FILE_PRIVATE = 1, /* only changed pages have blocks */
	AREA_FILE_SHARED = 2,  /* the content is in the file */
	AREA_ANON_SHARED = 3,  /* shm: all areas of one dev:ino are one object */
	AREA_REGISTRY = 4,     /* ours: restored as the new registry */
	AREA_FILE_LOST = 5,    /* private mapping of a file nobody can open any
				* more: all its pages have blocks */
	AREA_SYSV = 6,	       /* System V shared memory; some area of the
				* segment, of some process, has its pages */
};

/* Bits of image_area.flags, from smaps' VmFlags; the two letters as there. */
enum image_area_flags {
	AREA_GROWSDOWN = 1 << 0,   /* gd */
	AREA_NORESERVE = 1 << 1,   /* nr */
	AREA_LOCKED = 1 << 2,	   /* lo */
	AREA_LOCKONFAULT = 1 << 3, /* lo, and lf where the kernel tells */
	AREA_DONTFORK = 1 << 4,	   /* dc */
	AREA_WIPEONFORK = 1 << 5,  /* wf */
	AREA_DONTDUMP = 1 << 6,	   /* dd */
	AREA_HUGEPAGE = 1 << 7,	   /* hg */
	AREA_NOHUGEPAGE = 1 << 8,  /* nh */
	AREA_MERGEABLE = 1 << 9,   /* mg */
	AREA_SEQ_READ = 1 << 10,   /* sr */
	AREA_RAND_READ = 1 << 11,  /* rr */
	AREA_HUGETLB = 1 << 12,	   /* ht; hugetlb_shift says the size */
	AREA_HEAP = 1 << 13,	   /* [heap] */
	AREA_STACK = 1 << 14,	   /* [stack] */
	AREA_DROPPABLE = 1 << 15,  /* dp */
	AREA_READ_ONLY = 1 << 16,  /* AREA_SYSV: attached with SHM_RDONLY */
};

struct image_area {
	uint64_t start, end;
	uint64_t offset;     /* in the file or the shared object */
	uint32_t prot;	     /* PROT_READ | PROT_WRITE | PROT_EXEC */
	uint32_t type;	     /* enum image_area_type */
	uint32_t flags;	     /* enum image_area_flags */
	uint32_t file;	     /* id of an IMAGE_FILE record, 0: none. For
			      * AREA_ANON_SHARED the id of the object, for
			      * AREA_SYSV that of the segment */
	uint32_t pkey;
	uint32_t hugetlb_shift;
	uint64_t object_size;  /* AREA_ANON_SHARED: size of the object */
	uint32_t guards;       /* ranges of guard pages: struct image_guard[] */
	uint32_t name_length;  /* of the anonymous name behind them */
};

struct image_guard {
	uint64_t start, end;
};

enum image_file_flags {
	FILE_DELETED = 1,  /* no name leads to it any more */
	FILE_STORED = 2,   /* the agent was asked to put it into the store */
	FILE_CONTENT = 4,  /* open (or mapped shared) for writing: its content
			    * at the checkpoint belongs to the checkpoint */
	FILE_SHM = 8,	   /* shared anonymous memory or a memfd */
	FILE_APPEND_ONLY = 16, /* every writer had O_APPEND */
};

/* A file that a mapping or a descriptor refers to. The manifest's "files"
 * maps dev, ino, size and mtime to the name in store/. */
struct image_file {
	uint32_t id;	/* from 1, of this image */
	uint32_t flags; /* enum image_file_flags */
	uint64_t dev, ino, size;
	int64_t mtime; /* ns */
	uint32_t mode, uid, gid;
	uint32_t path_length; /* the path follows, without NUL */
};

enum image_fd_flags {
	IMAGE_FD_CLOEXEC = 1, /* FD_CLOEXEC */
	IMAGE_FD_INSIDE = 2,  /* was no descriptor of the program, but on its
			       * way through a socket; fd is the service
			       * thread's number, which none of them has */
};

struct image_fd {
	int32_t fd;
	uint32_t flags;	 /* enum image_fd_flags */
	uint32_t object; /* id of a plugin's record */
	uint32_t pad;
};

/* Every record of a plugin that stands for an open file description begins
 * with this; what is common to all kinds the core saves and puts back. */
struct image_object {
	uint32_t id;		/* from 1, of this image */
	uint32_t status_flags;	/* F_GETFL, as octal "flags:" of fdinfo */
	int64_t position;	/* "pos:" of fdinfo */
	int32_t owner_type, owner; /* F_GETOWN_EX; -1: none */
	int32_t signal;		/* F_GETSIG */
	uint32_t file;		/* id of an IMAGE_FILE record, or 0 */
	uint64_t dev, ino;	/* as fstat() tells of it */
};
_Static_assert(sizeof(struct image_object) == 48, "an object's head");

struct image_cwd {
	uint32_t deleted;
	uint32_t path_length;
};

struct image_cpu {
	char vendor[16];
	uint32_t family, model;
	uint64_t xcr0;	      /* xgetbv(0) */
	uint32_t xsave_size;  /* CPUID(0xd,0).ebx */
	uint32_t minsigstksz; /* AT_MINSIGSTKSZ */
	uint32_t leaf1_ecx, leaf1_edx, leaf7_ebx, leaf7_ecx, leaf7_edx, ext1_ecx;
};

/*
 * Put by the bare restorer at image_process.rebirth, inside libckpt.so's own
 * data, before any thread jumps: what the process must know of its new life.
 */
struct image_rebirth {
	uint32_t life;		 /* != 0: reborn; counted up every restart */
	/* IMAGE_LEADER_DEAD: not 0 until the leader has ended again, in the
	 * restorer's memory; the kernel clears it and wakes a futex. */
	uint32_t leader_ends;
	uint64_t scratch, scratch_length; /* the restorer's memory: unmap it
					   * when all threads have arrived */
	uint64_t vdso, vdso_length; /* where the real vdso is now, 0: unknown */
	uint64_t vvar, vvar_length;
	char runtime_dir[96];	 /* of the new host group */
	char coordinator[96];	 /* HOST:PORT */
	char computation[40];
	uint32_t caps_keep;	 /* 1: keep the capabilities one has */
	uint32_t registry_there; /* 1: mapped in its place; who is not root any
				  * more could not open it */
};

#endif
