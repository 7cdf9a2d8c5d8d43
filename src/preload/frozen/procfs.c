/* SPDX-License-Identifier: MIT */
/* See procfs.h. */
#define _GNU_SOURCE
#include <errno.h>
#include <sys/mman.h>

#include "preload/frozen/procfs.h"
#include "sys/string.h"

/* The kernel's new_encode_dev(): what stat() reports as st_dev. */
static uint64_t device(uint64_t major, uint64_t minor)
{
	return (minor & 0xff) | major << 8 | (minor & ~0xffull) << 12;
}

static int expect(const char **p, char c)
{
	if (**p != c)
		return 0;
	(*p)++;
	return 1;
}

int maps_parse(const char *line, struct maps_line *out)
{
	const char *p = line;
	uint64_t major, minor;

	*out = (struct maps_line){0};
	out->start = sys_number(&p, 16);
	if (p == line || !expect(&p, '-'))
		return -EINVAL;
	out->end = sys_number(&p, 16);
	if (!expect(&p, ' ') || !p[0] || !p[1] || !p[2] || !p[3])
		return -EINVAL;
	out->prot = (p[0] == 'r' ? PROT_READ : 0) |
		    (p[1] == 'w' ? PROT_WRITE : 0) |
		    (p[2] == 'x' ? PROT_EXEC : 0);
	out->shared = p[3] == 's' || p[3] == 'S';
	p += 4;
	if (!expect(&p, ' '))
		return -EINVAL;
	out->offset = sys_number(&p, 16);
	if (!expect(&p, ' '))
		return -EINVAL;
	major = sys_number(&p, 16);
	if (!expect(&p, ':'))
		return -EINVAL;
	minor = sys_number(&p, 16);
	out->dev = device(major, minor);
	if (!expect(&p, ' '))
		return -EINVAL;
	out->ino = sys_number(&p, 10);
	while (*p == ' ')
		p++;
	out->path = p;
	return out->start < out->end ? 0 : -EINVAL;
}

static const struct {
	char name[3];
	uint8_t refused;
	uint32_t flag;
} vm_flags[] = {
	{"gd", 0, AREA_GROWSDOWN},   {"nr", 0, AREA_NORESERVE},
	{"lo", 0, AREA_LOCKED},	     {"lf", 0, AREA_LOCKONFAULT},
	{"dc", 0, AREA_DONTFORK},    {"wf", 0, AREA_WIPEONFORK},
	{"dd", 0, AREA_DONTDUMP},    {"hg", 0, AREA_HUGEPAGE},
	{"nh", 0, AREA_NOHUGEPAGE},  {"mg", 0, AREA_MERGEABLE},
	{"sr", 0, AREA_SEQ_READ},    {"rr", 0, AREA_RAND_READ},
	{"ht", 0, AREA_HUGETLB},     {"dp", 0, AREA_DROPPABLE},
	{"um", SMAPS_UFFD, 0},	     {"uw", SMAPS_UFFD, 0},
	{"ui", SMAPS_UFFD, 0},	     {"ss", SMAPS_SHADOW_STACK, 0},
	{"io", SMAPS_IO, 0},
};

/* VM_LOCKONFAULT, bit 19, is "lf" on newer kernels. On older ones it shows as
 * "??" between the letters of the lower bits, which are these, and those of
 * the higher ones. */
static int is_low(const char *p)
{
	const char *low = "rdwrexshmrmwmemsgdpfdwguumuwloiosrrrdcde";

	for (; *low; low += 2)
		if (p[0] == low[0] && p[1] == low[1])
			return 1;
	return 0;
}

static void parse_flags(const char *p, struct smaps_detail *detail)
{
	int lower = 1;
	size_t i;

	while (*p) {
		while (*p == ' ')
			p++;
		if (!p[0] || !p[1])
			return;
		if (lower && p[0] == '?' && (detail->flags & AREA_LOCKED))
			detail->flags |= AREA_LOCKONFAULT;
		lower &= is_low(p);
		for (i = 0; i < sizeof(vm_flags) / sizeof(*vm_flags); i++) {
			if (p[0] != vm_flags[i].name[0] ||
			    p[1] != vm_flags[i].name[1])
				continue;
			detail->flags |= vm_flags[i].flag;
			detail->refused |= vm_flags[i].refused;
		}
		p += 2;
	}
}

static uint64_t value(const char *line)
{
	while (*line && (*line < '0' || *line > '9'))
		line++;
	return sys_number(&line, 10);
}

int smaps_parse(const char *line, struct smaps_detail *detail)
{
	uint64_t size;

	if (sys_starts(line, "VmFlags:")) {
		parse_flags(line + 8, detail);
		if (!(detail->flags & AREA_HUGETLB))
			detail->hugetlb_shift = 0;
		return 1;
	}
	if (sys_starts(line, "Rss:") || sys_starts(line, "Swap:") ||
	    sys_starts(line, "Shared_Hugetlb:") ||
	    sys_starts(line, "Private_Hugetlb:")) {
		if (value(line))
			detail->present = 1;
	} else if (sys_starts(line, "KernelPageSize:")) {
		for (size = value(line) << 10; size > 1; size >>= 1)
			detail->hugetlb_shift++;
	} else if (sys_starts(line, "ProtectionKey:")) {
		detail->pkey = (uint32_t)value(line);
	}
	return 0;
}

int stat_parse(const char *text, struct stat_line *out)
{
	const char *open = text, *close = NULL, *p;
	size_t i;

	*out = (struct stat_line){0};
	while (*open && *open != '(')
		open++;
	/* The name may hold anything, but the last ")" ends it. */
	for (p = open; *p; p++)
		if (*p == ')')
			close = p;
	if (!close || close[1] != ' ' || !close[2])
		return -EINVAL;
	for (i = 0; i < sizeof(out->comm) - 1 && open + 1 + i < close; i++)
		out->comm[i] = open[1 + i];
	out->state = close[2];
	p = close + 3;
	for (i = 4; i < STAT_FIELDS && *p == ' '; i++) {
		int negative = *++p == '-';

		p += negative;
		out->field[i] = sys_number(&p, 10);
		if (negative)
			out->field[i] = -out->field[i];
	}
	return i > 51 ? 0 : -EINVAL;
}

uint64_t procfs_number(const char *text, const char *key, unsigned base,
		       uint64_t missing)
{
	size_t length = sys_strlen(key);

	while (*text) {
		if (sys_starts(text, key) && text[length] == ':') {
			text += length + 1;
			while (*text == ' ' || *text == '\t')
				text++;
			return sys_number(&text, base);
		}
		while (*text && *text++ != '\n')
			;
	}
	return missing;
}

size_t procfs_deleted(const char *path, size_t length)
{
	static const char suffix[] = " (deleted)";
	size_t n = sizeof(suffix) - 1;

	if (length > n && sys_equal(path + length - n, suffix))
		return length - n;
	return length;
}

size_t procfs_unescape(char *path)
{
	char *from = path, *to = path;

	while (*from) {
		if (sys_starts(from, "\\012")) {
			*to++ = '\n';
			from += 4;
		} else {
			*to++ = *from++;
		}
	}
	*to = 0;
	return (size_t)(to - path);
}
