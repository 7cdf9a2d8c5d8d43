// SPDX-License-Identifier: MIT
/*
 * The vdso. The program has addresses in it: in its GOT, on its stacks, in the
 * auxiliary vector. Same kernel: ours moves to where the old one stood. Else
 * the old bytes are put there as ordinary memory and the entry of each of its
 * functions leads to the new one; who stood in the middle of an old function
 * finds a vvar of zeros, which sends it to the system call.
 */
#include <elf.h>
#include <errno.h>
#include <linux/mman.h>

#include "restore/arch/jump.h"
#include "restore/steps.h"
#include "sys/string.h"
#include "sys/sys.h"

static void *at(uint64_t addr)
{
	return (void *)(uintptr_t)addr;
}

static uint64_t start_of(const struct bare_vdso *v)
{
	return v->map[0].start;
}

static uint64_t end_of(const struct bare_vdso *v)
{
	return v->map[v->count - 1].end;
}

/* ---- finding ours ---- */

static void add_line(struct bare_vdso *v, const char *line)
{
	const char *s = line;
	struct range r;

	if (!sys_find(line, "[vvar") && !sys_find(line, "[vdso]"))
		return;
	r.start = sys_number(&s, 16);
	s++;
	r.end = sys_number(&s, 16);
	if (v->count < SPECIALS_MAX)
		v->map[v->count++] = r;
}

void bare_vdso_find(struct bare *b)
{
	char text[1024], line[256]; /* what we look for stands early enough */
	size_t used = 0;
	long fd, n, i;

	fd = sys_openat(AT_FDCWD, "/proc/self/maps", O_RDONLY | O_CLOEXEC, 0);
	if (fd < 0)
		bare_fail(b, "opening /proc/self/maps", 0, fd);
	while ((n = sys_read((int)fd, text, sizeof(text))) > 0) {
		for (i = 0; i < n; i++) {
			if (text[i] == '\n') {
				line[used] = 0;
				add_line(&b->vdso, line);
				used = 0;
			} else if (used < sizeof(line) - 1) {
				line[used++] = text[i];
			}
		}
	}
	if (n < 0)
		bare_fail(b, "reading /proc/self/maps", 0, n);
	sys_close((int)fd);
}

/* ---- moving it ---- */

static int overlap(uint64_t a, uint64_t a_end, uint64_t b, uint64_t b_end)
{
	return a < b_end && b < a_end;
}

/* Where does something end that is, or will be, in [start, end)? 0: free. */
static uint64_t taken(const struct bare_plan *p, const struct bare_vdso *v,
		      uint64_t start, uint64_t end)
{
	uint64_t i;

	if (overlap(start, end, p->scratch, p->scratch + p->scratch_length))
		return p->scratch + p->scratch_length;
	if (overlap(start, end, start_of(v), end_of(v)))
		return end_of(v);
	if (overlap(start, end, p->old_vvar_at,
		    p->old_vvar_at + p->old_vvar_length))
		return p->old_vvar_at + p->old_vvar_length;
	if (overlap(start, end, p->old_vdso_at,
		    p->old_vdso_at + p->old_vdso_length))
		return p->old_vdso_at + p->old_vdso_length;
	for (i = 0; i < p->area_count; i++)
		if (overlap(start, end, p->areas[i].start, p->areas[i].end))
			return p->areas[i].end;
	return 0;
}

/* A free place near the scratch range, which is in a hole of both layouts. */
static uint64_t find_hole(struct bare *b, uint64_t length)
{
	uint64_t start = b->plan->scratch, end;

	while ((end = taken(b->plan, &b->vdso, start, start + length)) != 0)
		start = end;
	if (start + length > 0x7ffffffff000)
		bare_fail(b, "finding room for the vdso", 0, -ENOMEM);
	return start;
}

/* Each mapping as a whole: special ones cannot be split. */
static void move(struct bare *b, uint64_t to)
{
	struct bare_vdso *v = &b->vdso;
	uint64_t from = start_of(v), length;
	unsigned i;
	long ret;

	for (i = 0; i < v->count; i++) {
		struct range *r = &v->map[i];

		length = r->end - r->start;
		ret = SYS_CALL(SYS_mremap, r->start, length, length,
			       MREMAP_MAYMOVE | MREMAP_FIXED,
			       to + (r->start - from));
		if (ret < 0)
			bare_fail(b, "moving the vdso to", to, ret);
		r->start = to + (r->start - from);
		r->end = r->start + length;
	}
}

static int same(const struct bare *b)
{
	const struct bare_plan *p = b->plan;
	const struct bare_vdso *v = &b->vdso;
	const struct range *vdso = &v->map[v->count - 1];

	return p->old_vdso_length == vdso->end - vdso->start &&
	       p->old_vvar_length == vdso->start - start_of(v) &&
	       p->old_vvar_at + p->old_vvar_length == p->old_vdso_at &&
	       __builtin_memcmp(p->old_vdso, at(vdso->start),
				p->old_vdso_length) == 0;
}

void bare_vdso_move(struct bare *b)
{
	const struct bare_plan *p = b->plan;
	struct bare_vdso *v = &b->vdso;
	uint64_t length, to;

	if (v->count == 0)
		return;
	length = end_of(v) - start_of(v);
	to = p->old_vdso_length && same(b) ? p->old_vvar_at : 0;
	if (to == start_of(v))
		return;
	/* Source and target of a move may not overlap: by way of a hole. */
	if (to == 0 || overlap(to, to + length, start_of(v), end_of(v)))
		move(b, find_hole(b, length));
	if (to)
		move(b, to);
}

/* ---- the old one ---- */

struct symbols {
	uint64_t base, size; /* where the image stands, and what to add */
	uint64_t bias;
	const Elf64_Sym *table;
	uint64_t count;
	const char *names;
	uint64_t names_size;
};

/* `length` bytes at `addr` of the image's own addresses, or NULL. */
static const void *inside(const struct symbols *s, uint64_t addr,
			  uint64_t length)
{
	uint64_t offset = addr - s->bias;

	if (offset > s->size || length > s->size - offset)
		return NULL;
	return at(s->base + offset);
}

static int symbols_open(struct symbols *s, uint64_t base, uint64_t size)
{
	const Elf64_Ehdr *e = at(base);
	const Elf64_Phdr *ph;
	const Elf64_Dyn *d = NULL;
	uint64_t symtab = 0, strtab = 0, dynamic = 0, count = 0, i;

	*s = (struct symbols){.base = base, .size = size};
	if (size < sizeof(*e) || e->e_ident[0] != 0x7f ||
	    e->e_phoff > size || e->e_phnum * sizeof(*ph) > size - e->e_phoff)
		return 0;
	ph = at(base + e->e_phoff);
	for (i = 0; i < e->e_phnum; i++) {
		if (ph[i].p_type == PT_LOAD)
			s->bias = ph[i].p_vaddr - ph[i].p_offset;
		if (ph[i].p_type == PT_DYNAMIC) {
			dynamic = ph[i].p_vaddr;
			count = ph[i].p_filesz / sizeof(*d);
		}
	}
	d = inside(s, dynamic, count * sizeof(*d));
	if (!d || !dynamic)
		return 0;
	for (i = 0; i < count && d[i].d_tag != DT_NULL; i++) {
		if (d[i].d_tag == DT_SYMTAB)
			symtab = d[i].d_un.d_ptr;
		if (d[i].d_tag == DT_STRTAB)
			strtab = d[i].d_un.d_ptr;
		if (d[i].d_tag == DT_STRSZ)
			s->names_size = d[i].d_un.d_val;
	}
	/* No entry tells how many symbols there are, but the names follow. */
	if (strtab <= symtab)
		return 0;
	s->count = (strtab - symtab) / sizeof(Elf64_Sym);
	s->table = inside(s, symtab, s->count * sizeof(Elf64_Sym));
	s->names = inside(s, strtab, s->names_size);
	/* Names end with a NUL: the table's last byte is one. */
	return s->table && s->names && s->names_size &&
	       s->names[s->names_size - 1] == 0;
}

static const char *symbol_name(const struct symbols *s, const Elf64_Sym *sym)
{
	if ((sym->st_info & 15) != STT_FUNC || sym->st_shndx == SHN_UNDEF ||
	    sym->st_name >= s->names_size || !inside(s, sym->st_value, 1))
		return NULL;
	return s->names + sym->st_name;
}

static uint64_t symbol_find(const struct symbols *s, const char *name)
{
	uint64_t i;

	for (i = 0; i < s->count; i++) {
		const char *n = symbol_name(s, &s->table[i]);

		if (n && sys_equal(n, name))
			return s->base + s->table[i].st_value - s->bias;
	}
	return 0;
}

static long syscall_like(const char *name)
{
#define VDSO(function, number)                                                 \
	if (sys_equal(name, function))                                         \
		return number;
#include "restore/arch/vdso.def"
#undef VDSO
	return -1;
}

/* The functions with two names get the same entry twice. */
static void lead(const struct symbols *old, const struct symbols *new)
{
	uint64_t i, target;

	for (i = 0; i < old->count; i++) {
		const Elf64_Sym *sym = &old->table[i];
		const char *name = symbol_name(old, sym);
		unsigned char *entry;

		if (!name || !inside(old, sym->st_value, BARE_STUB_SIZE))
			continue;
		entry = at(old->base + sym->st_value - old->bias);
		target = symbol_find(new, name);
		if (target)
			bare_stub_jump(entry, target);
		else if (syscall_like(name) >= 0)
			bare_stub_syscall(entry, (uint32_t)syscall_like(name));
	}
}

static void map_old(struct bare *b, uint64_t start, uint64_t length, int prot)
{
	long ret;

	if (length == 0)
		return;
	ret = sys_mmap(at(start), length, prot,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1,
		       0);
	if (ret < 0)
		bare_fail(b, "mapping the old vdso at", start, ret);
}

void bare_vdso_put(struct bare *b)
{
	const struct bare_plan *p = b->plan;
	const struct bare_vdso *v = &b->vdso;
	const struct range *vdso = &v->map[v->count - 1];
	struct symbols old, new = {0};

	if (p->old_vdso_length == 0 ||
	    (v->count && vdso->start == p->old_vdso_at))
		return;
	map_old(b, p->old_vvar_at, p->old_vvar_length, PROT_READ);
	map_old(b, p->old_vdso_at, p->old_vdso_length, PROT_READ | PROT_WRITE);
	__builtin_memcpy(at(p->old_vdso_at), p->old_vdso, p->old_vdso_length);
	if (v->count)
		symbols_open(&new, vdso->start, vdso->end - vdso->start);
	if (symbols_open(&old, p->old_vdso_at, p->old_vdso_length))
		lead(&old, &new);
	sys_mprotect(at(p->old_vdso_at), p->old_vdso_length,
		     PROT_READ | PROT_EXEC);
}
