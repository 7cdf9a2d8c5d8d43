/* SPDX-License-Identifier: MIT */
/* What the coordinator hears of a phase: numbers, images, files, warnings. */
#define _GNU_SOURCE
#include <ifaddrs.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "agent/now.h"
#include "agent/uplink.h"

void figures_done(const char *phase, json_t *figures)
{
	json_object_set_new(figures, "request", json_integer(now.request));
	json_object_set_new(figures, "phase", json_string(phase));
	uplink_say(WIRE_DONE, figures);
}

void figures_progress(void)
{
	uint64_t raw = 0, stored = 0, total = 0;

	for (struct part *p = now.parts; p; p = p->next) {
		raw += p->raw;
		stored += p->stored;
		total += p->bytes;
	}
	if (raw != now.told)
		uplink_say(WIRE_PROGRESS,
			   json_pack("{s:I, s:I, s:I, s:I}", "request",
				     now.request, "raw", (json_int_t)raw,
				     "stored", (json_int_t)stored, "total",
				     (json_int_t)total));
	now.told = raw;
}

static json_t *images_report(void)
{
	json_t *list = json_array();
	char hash[17];

	for (struct part *p = now.parts; p; p = p->next) {
		snprintf(hash, sizeof(hash), "%016llx",
			 (unsigned long long)p->written.header_hash);
		json_array_append_new(
			list,
			json_pack("{s:i, s:i, s:o, s:s, s:s, s:I, s:I, s:I, "
				  "s:I, s:i}",
				  "pid", (int)p->pid, "ppid", (int)p->ppid,
				  "program", wire_text(p->program), "file",
				  p->image_name, "header_hash", hash, "raw",
				  (json_int_t)p->written.raw, "stored",
				  (json_int_t)p->written.stored, "bytes",
				  (json_int_t)p->written.file_size, "write_ns",
				  (json_int_t)p->written.write_ns, "threads",
				  (int)p->threads));
	}
	return list;
}

static json_t *files_report(void)
{
	json_t *list = json_array();

	for (struct store_file *file = now.files; file; file = file->next) {
		json_array_append_new(
			list,
			json_pack("{s:I, s:I, s:I, s:I, s:s, s:o, s:b}", "dev",
				  (json_int_t)file->dev, "ino",
				  (json_int_t)file->ino, "size",
				  (json_int_t)file->size, "mtime",
				  (json_int_t)file->mtime, "hash", file->name,
				  "path", wire_text(file->path), "changed",
				  file->changed));
		if (file->changed)
			ending_warn("%s changed while it was copied; the "
				    "checkpoint "
				    "has a later content",
				    file->path);
	}
	return list;
}

/* By which other hosts have called it. */
static json_t *addresses(void)
{
	struct ifaddrs *all = NULL, *at;
	json_t *list = json_array();
	char text[NI_MAXHOST];

	if (getifaddrs(&all) < 0)
		return list;
	for (at = all; at; at = at->ifa_next) {
		int family = at->ifa_addr ? at->ifa_addr->sa_family : 0;

		if ((family != AF_INET && family != AF_INET6) ||
		    (at->ifa_flags & IFF_LOOPBACK) ||
		    getnameinfo(at->ifa_addr,
				family == AF_INET ?
					sizeof(struct sockaddr_in) :
					sizeof(struct sockaddr_in6),
				text, sizeof(text), NULL, 0, NI_NUMERICHOST))
			continue;
		if (!strchr(text, '%')) /* of one link only */
			json_array_append_new(list, json_string(text));
	}
	freeifaddrs(all);
	return list;
}

/* Of this host; for people, and for a refusal that says more than "no". */
static json_t *facts(void)
{
	char line[4096], *value, cpu[128] = "", features[4096] = "";
	struct utsname name;
	FILE *file = fopen("/proc/cpuinfo", "re");

	uname(&name);
	while (file && fgets(line, sizeof(line), file) && line[0] != '\n') {
		value = strchr(line, ':');
		if (!value)
			continue;
		value += value[1] == ' ' ? 2 : 1;
		value[strcspn(value, "\n")] = 0;
		if (strncmp(line, "model name", 10) == 0)
			snprintf(cpu, sizeof(cpu), "%s", value);
		else if (strncmp(line, "flags", 5) == 0)
			snprintf(features, sizeof(features), "%s", value);
	}
	if (file)
		fclose(file);
	return json_pack("{s:o, s:o, s:o, s:o, s:i}", "addresses",
			 addresses(), "kernel",
			 wire_text(name.release), "cpu", wire_text(cpu),
			 "features", wire_text(features), "page_size",
			 (int)sysconf(_SC_PAGESIZE));
}

json_t *figures_stop(void)
{
	json_int_t threads = 0, park_ns = 0, count = 0;

	for (struct part *p = now.parts; p; p = p->next) {
		count++;
		threads += p->threads;
		if ((json_int_t)p->park_ns > park_ns)
			park_ns = (json_int_t)p->park_ns;
	}
	return json_pack("{s:I, s:I, s:I, s:o}", "processes", count, "threads",
			 threads, "park_ns", park_ns, "remotes",
			 remotes_report());
}

json_t *figures_capture(void)
{
	json_int_t bytes = 0;

	for (struct part *p = now.parts; p; p = p->next)
		bytes += (json_int_t)p->bytes;
	tree_look();
	descriptors_compare();
	return json_pack("{s:I}", "bytes", bytes);
}

json_t *figures_release(void)
{
	json_int_t stopped_ns = 0;

	for (struct part *p = now.parts; p; p = p->next)
		if ((json_int_t)p->stopped_ns > stopped_ns)
			stopped_ns = (json_int_t)p->stopped_ns;
	return json_pack("{s:I}", "stopped_ns", stopped_ns);
}

json_t *figures_write(void)
{
	json_t *images = images_report(), *files = files_report();
	json_int_t raw = 0, stored = 0, size = 0;

	for (struct part *p = now.parts; p; p = p->next) {
		raw += (json_int_t)p->written.raw;
		stored += (json_int_t)p->written.stored;
		size += (json_int_t)p->written.file_size;
	}
	return json_pack("{s:o, s:o, s:O, s:o, s:o, s:o, s:I, s:I, s:I}",
			 "images", images, "files", files, "warnings",
			 now.warnings, "facts", facts(), "tree", tree_report(),
			 "shared", descriptors_shared(), "raw", raw, "stored", stored,
			 "size", size);
}
