/* SPDX-License-Identifier: MIT */
/* What the text files of /proc say. Pure functions of text: no system call. */
#ifndef FROZEN_PROCFS_H
#define FROZEN_PROCFS_H

#include <stddef.h>
#include <stdint.h>

#include "image/format.h"

struct maps_line {
	uint64_t start, end, offset, dev, ino;
	uint32_t prot;	  /* PROT_* */
	uint32_t shared;
	const char *path; /* into the line; "" when there is none */
};

/* 0, or -EINVAL: that is no such line. `dev` as stat() gives it. */
int maps_parse(const char *line, struct maps_line *out);

/* Lines of smaps below the one that maps has, too. */
struct smaps_detail {
	uint32_t flags;	/* enum image_area_flags */
	uint32_t pkey;
	uint32_t hugetlb_shift;
	uint32_t present; /* Rss or Swap say something */
	uint32_t refused; /* enum smaps_refused */
};

enum smaps_refused {
	SMAPS_UFFD = 1,		/* um, uw, ui: userfaultfd */
	SMAPS_SHADOW_STACK = 2, /* ss */
	SMAPS_IO = 4,		/* io: a device's memory */
};

/* Takes one line into *detail; 1 when it was the VmFlags, the last. */
int smaps_parse(const char *line, struct smaps_detail *detail);

/* Fields of /proc/PID/stat by their number in proc(5), from 3 on. */
#define STAT_FIELDS 53
struct stat_line {
	char comm[16];
	char state;
	uint64_t field[STAT_FIELDS];
};

int stat_parse(const char *text, struct stat_line *out);

/* "Key:\tvalue" at the start of a line: the number, or `missing`. */
uint64_t procfs_number(const char *text, const char *key, unsigned base,
		       uint64_t missing);

/* Where " (deleted)" begins at the end of a path; its length: not there. */
size_t procfs_deleted(const char *path, size_t length);

/* "\012" back into a newline, the only thing that maps escapes. In place. */
size_t procfs_unescape(char *path);

#endif
