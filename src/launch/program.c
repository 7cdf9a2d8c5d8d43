/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "launch/program.h"

#include <elf.h>
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#if defined(__x86_64__)
#define OUR_MACHINE EM_X86_64
#elif defined(__aarch64__)
#define OUR_MACHINE EM_AARCH64
#endif

#define SCRIPT_LINE 256 /* what the kernel reads of a script */
#define SCRIPT_DEPTH 5	/* ... and how far it follows */

/* As execvp(): an empty part of PATH is the current directory, and what may
 * not be executed is passed over. */
static int search_path(const char *name, char *path, size_t size)
{
	const char *part = getenv("PATH"), *end;
	struct stat st;
	int ret = -ENOENT;

	if (!part)
		part = "/bin:/usr/bin";
	for (;; part = end + 1) {
		end = strchrnul(part, ':');
		if (snprintf(path, size, "%.*s%s%s", (int)(end - part), part,
			     end > part ? "/" : "", name) < (int)size &&
		    stat(path, &st) == 0 && S_ISREG(st.st_mode)) {
			if (access(path, X_OK) == 0)
				return 0;
			ret = -EACCES;
		}
		if (!*end)
			return ret;
	}
}

int program_find(const char *name, char *path, size_t size, char *err,
		 size_t errsize)
{
	int ret;

	if (!*name) {
		snprintf(err, errsize, "the program's name is empty");
		return -ENOENT;
	}
	if (strchr(name, '/')) {
		if (strlen(name) < size) {
			strcpy(path, name);
			return 0;
		}
		snprintf(err, errsize, "the program's path is too long");
		return -ENAMETOOLONG;
	}
	ret = search_path(name, path, size);
	if (ret == -EACCES)
		snprintf(err, errsize, "%s is in PATH, but not executable",
			 name);
	else if (ret < 0)
		snprintf(err, errsize, "%s: not found in PATH", name);
	return ret;
}

__attribute__((format(printf, 4, 5))) static int
refuse(int error, char *err, size_t errsize, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(err, errsize, format, args);
	va_end(args);
	return error;
}

/* What the kernel would refuse to execute at all. */
static int check_file(const char *path, int fd, struct stat *st, char *err,
		      size_t errsize)
{
	if (fd < 0 && errno != EACCES)
		return refuse(-errno, err, errsize, "%s: %s", path,
			      strerror(errno));
	if (stat(path, st) < 0)
		return refuse(-errno, err, errsize, "%s: %s", path,
			      strerror(errno));
	if (S_ISDIR(st->st_mode))
		return refuse(-EISDIR, err, errsize, "%s is a directory", path);
	if (!S_ISREG(st->st_mode))
		return refuse(-EACCES, err, errsize, "%s is not a regular file",
			      path);
	if (access(path, X_OK) < 0)
		return refuse(-EACCES, err, errsize, "%s is not executable%s",
			      path, st->st_mode & 0111 ? "" : "; chmod +x it");
	return 0;
}

/* Programs that gain rights ignore LD_PRELOAD, and we would not save them. */
static int check_rights(const char *path, const struct stat *st, char *err,
			size_t errsize)
{
	if ((st->st_mode & S_ISUID) && st->st_uid != getuid())
		return refuse(-EPERM, err, errsize,
			      "%s is setuid: nothing can be preloaded into it",
			      path);
	if ((st->st_mode & S_ISGID) && (st->st_mode & S_IXGRP) &&
	    st->st_gid != getgid())
		return refuse(-EPERM, err, errsize,
			      "%s is setgid: nothing can be preloaded into it",
			      path);
	if (getuid() && getxattr(path, "security.capability", NULL, 0) > 0)
		return refuse(-EPERM, err, errsize,
			      "%s has file capabilities: nothing can be "
			      "preloaded into it",
			      path);
	return 0;
}

static const char *machine_name(unsigned int machine)
{
	static const struct {
		unsigned int machine;
		const char *name;
	} names[] = {
		{EM_386, "i386"},    {EM_X86_64, "x86_64"},
		{EM_ARM, "arm"},     {EM_AARCH64, "aarch64"},
		{EM_RISCV, "riscv"}, {EM_PPC64, "ppc64"},
		{EM_S390, "s390"},   {EM_MIPS, "mips"},
	};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (names[i].machine == machine)
			return names[i].name;
	return "another machine";
}

/* The dynamic linker that it asks for: 1, 0: none, or -errno. */
static int find_linker(int fd, const Elf64_Ehdr *header, char *linker,
		       size_t size)
{
	Elf64_Phdr part;

	for (unsigned int i = 0; i < header->e_phnum; i++) {
		if (pread(fd, &part, sizeof(part),
			  header->e_phoff + i * header->e_phentsize) !=
		    sizeof(part))
			return -ENOEXEC;
		if (part.p_type != PT_INTERP)
			continue;
		if (part.p_filesz < 1 || part.p_filesz > size ||
		    pread(fd, linker, part.p_filesz, part.p_offset) !=
			    (ssize_t)part.p_filesz)
			return -ENOEXEC;
		linker[part.p_filesz - 1] = '\0';
		return 1;
	}
	return 0;
}

static int check_elf(const char *path, int fd, const Elf64_Ehdr *header,
		     char *err, size_t errsize)
{
	char linker[PATH_MAX];
	const char *base;
	int ret;

	if (header->e_ident[EI_CLASS] != ELFCLASS64)
		return refuse(-ENOEXEC, err, errsize,
			      "%s is a 32-bit program; only 64-bit ones can be "
			      "checkpointed",
			      path);
	if (header->e_ident[EI_DATA] != ELFDATA2LSB ||
	    header->e_machine != OUR_MACHINE)
		return refuse(-ENOEXEC, err, errsize,
			      "%s is a program for %s; this is %s", path,
			      header->e_ident[EI_DATA] != ELFDATA2LSB
				      ? "another byte order"
				      : machine_name(header->e_machine),
			      machine_name(OUR_MACHINE));
	if ((header->e_type != ET_EXEC && header->e_type != ET_DYN) ||
	    header->e_phentsize != sizeof(Elf64_Phdr))
		return refuse(-ENOEXEC, err, errsize, "%s is no program", path);
	ret = find_linker(fd, header, linker, sizeof(linker));
	if (ret < 0)
		return refuse(ret, err, errsize, "%s is damaged", path);
	if (!ret)
		return refuse(-ENOEXEC, err, errsize,
			      "%s is statically linked: nothing can be "
			      "preloaded into it; link it dynamically",
			      path);
	base = strrchr(linker, '/');
	if (!strncmp(base ? base + 1 : linker, "ld-musl", 7))
		return refuse(-ENOEXEC, err, errsize,
			      "%s uses another C library (%s); only programs "
			      "for glibc can be checkpointed",
			      path, linker);
	return 0;
}

/* "#! /usr/bin/env python3 -u" to "/usr/bin/env". */
static int script_interpreter(char *line, char **interpreter)
{
	char *at = line + 2;

	at[strcspn(at, "\n")] = '\0';
	at += strspn(at, " \t");
	at[strcspn(at, " \t")] = '\0';
	*interpreter = at;
	return *at ? 0 : -ENOEXEC;
}

static int check_depth(const char *path, int depth, char *err, size_t errsize);

static int check_script(const char *path, char *line, int depth, char *err,
			size_t errsize)
{
	char *interpreter;
	char why[PATH_MAX + 128] = "";
	int ret = script_interpreter(line, &interpreter);

	if (ret < 0)
		return refuse(ret, err, errsize,
			      "%s: its first line names no interpreter", path);
	if (depth >= SCRIPT_DEPTH)
		return refuse(-ELOOP, err, errsize,
			      "%s: too many scripts that interpret scripts",
			      path);
	ret = check_depth(interpreter, depth + 1, why, sizeof(why));
	if (ret < 0)
		refuse(ret, err, errsize, "%s: its interpreter %s", path, why);
	return ret;
}

static int check_content(const char *path, int fd, int depth, char *err,
			 size_t errsize)
{
	char start[SCRIPT_LINE + 1] __attribute__((aligned(8)));
	ssize_t n = pread(fd, start, SCRIPT_LINE, 0);

	if (n < 0)
		return refuse(-errno, err, errsize, "cannot read %s: %s", path,
			      strerror(errno));
	start[n] = '\0';
	if (n >= (ssize_t)sizeof(Elf64_Ehdr) && !memcmp(start, ELFMAG, SELFMAG))
		return check_elf(path, fd, (Elf64_Ehdr *)start, err, errsize);
	if (n >= 2 && start[0] == '#' && start[1] == '!')
		return check_script(path, start, depth, err, errsize);
	if (depth)
		return refuse(-ENOEXEC, err, errsize, "%s is no program", path);
	/* The kernel refuses it and execvp() gives it to the shell; but what
	 * holds a zero byte is no shell script. */
	if (memchr(start, 0, n))
		return refuse(-ENOEXEC, err, errsize,
			      "%s is neither a program nor a script", path);
	return check_depth("/bin/sh", depth + 1, err, errsize);
}

static int check_depth(const char *path, int depth, char *err, size_t errsize)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct stat st;
	int ret = check_file(path, fd, &st, err, errsize);

	if (!ret)
		ret = check_rights(path, &st, err, errsize);
	/* Executable and not readable: the kernel can run it, and it is not
	 * dumpable, so nobody could look after it. */
	if (!ret && fd < 0)
		ret = refuse(-EACCES, err, errsize,
			     "%s may be executed but not read: such a program "
			     "cannot be checkpointed",
			     path);
	if (!ret)
		ret = check_content(path, fd, depth, err, errsize);
	if (fd >= 0)
		close(fd);
	return ret;
}

int program_check(const char *path, char *err, size_t errsize)
{
	return check_depth(path, 0, err, errsize);
}
