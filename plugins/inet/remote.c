/* SPDX-License-Identifier: MIT */
/*
 * inet, restoring: connections to other host groups. Each group says which
 * ends it has, and those where somebody listens (or the second of the two)
 * where they are to be called. They call each other, prove that they belong to
 * this restart, and ship what was unread: an end sends its own to the other,
 * which has not got it, and gets it back as what it had been, from there. From
 * the byte behind that on the stream is the program's.
 *
 * All of it in init, which makes these ends before any process. Three rounds
 * of ckpt_meet(): who has what; where it is called; all is done, so that who
 * waited to be accepted may call.
 *
 * Datagram sockets tell in the first round by which names others have known
 * them; who was connected to one that has moved is connected to where it is.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "plugins/inet/restore.h"

#define PATIENCE_MS 15000 /* without anything moving */
#define ROOM (256 << 10)
#define GUESTS_MAX 4096 /* who has called and not said yet who it is */
#define PLACE_TEXT 64
#define REMIND_MS 300
#define TOLD_MAX 8

enum role {
	ROLE_NONE,   /* the other end is not there */
	ROLE_CALLS,
	ROLE_CALLED,
	ROLE_WAITS,  /* calls, and waits to be accepted */
	ROLE_LISTENS,
};

struct hello {
	char magic[8];
	uint64_t pair;
	uint32_t side;
	uint32_t length; /* unread bytes that follow */
	uint32_t mark, pad;
	unsigned char proof[32];
};

static const char magic[8] = "ckptTCP";

struct joint {
	const struct ckpt_object *object;
	struct inet_view view, queue;
	struct ckpt_meeting *end;
	enum role role;
	size_t asks; /* ROLE_WAITS: the end that asks for the address */
	int fd, error;
	int finished;
	/* What goes out: our hello, our unread bytes, theirs; what comes in:
	 * their hello, their unread bytes. */
	struct hello hello, theirs;
	size_t said, shipped, returned, heard, got;
	unsigned char *bytes; /* theirs */
	size_t room;
};

/* Somebody who has called. */
struct guest {
	int fd;
	size_t heard;
	struct hello hello;
};

/* Where we are called. */
struct place {
	int fd, temporary;
	struct inet_name wanted;
};

/* A datagram socket whose peer is known by another name now. */
struct moved {
	uint64_t ino;
	struct inet_name peer;
};

static struct {
	struct moved *list;
	size_t count;
} moved; /* to the end: connect() comes later */

static struct {
	struct ckpt_restore *r;
	struct joint *joints;
	struct ckpt_meeting *ends; /* of these, then of datagram sockets */
	size_t count, end_count, end_room;
	size_t open; /* not finished yet */
	struct place *places;
	size_t place_count;
	struct guest *guests;
	size_t guest_count;
	char here[80];
	struct ifaddrs *interfaces;
} all;

int inet_is_meeting;

static void set_int(int fd, int level, int option, int value)
{
	setsockopt(fd, level, option, &value, sizeof(value));
}

/* ---- who has what ---- */

/* Where loopback addresses are those of one another. */
static void find_here(void)
{
	struct stat st = {0};
	char boot[40] = "?";
	FILE *f = fopen("/proc/sys/kernel/random/boot_id", "re");

	if (!f || fscanf(f, "%36s", boot) != 1)
		strcpy(boot, "?");
	if (f)
		fclose(f);
	stat("/proc/self/ns/net", &st);
	snprintf(all.here, sizeof(all.here), "%s:%lu", boot,
		 (unsigned long)st.st_ino);
	if (getifaddrs(&all.interfaces) < 0)
		all.interfaces = NULL;
}

static int is_loopback(const struct inet_name *name)
{
	struct inet_name six = inet_in_family(name, AF_INET6);
	struct sockaddr_in6 address;

	memcpy(&address, six.address, sizeof(address));
	return name->length &&
	       (IN6_IS_ADDR_LOOPBACK(&address.sin6_addr) ||
		(IN6_IS_ADDR_V4MAPPED(&address.sin6_addr) &&
		 address.sin6_addr.s6_addr[12] == 127));
}

static int is_here(const struct inet_name *name)
{
	struct inet_name own = *name;
	int fd = socket(inet_address(name)->sa_family,
			SOCK_STREAM | SOCK_CLOEXEC, 0), ret;

	if (fd < 0)
		return 0;
	inet_set_port(&own, 0);
	ret = inet_bind(fd, &own);
	close(fd);
	return ret == 0;
}

static int is_free(const struct inet_record *record)
{
	int fd = inet_new(record), ret;

	if (fd < 0)
		return 0;
	ret = inet_bind(fd, &record->name);
	close(fd);
	return ret == 0;
}

/* An address of this host, by which the other end's can call. */
static int is_reachable(const struct joint *joint, const struct inet_name *name)
{
	const char *there = strchr(joint->end->hears, ' ');

	if (is_loopback(name) && (!there || strcmp(there + 1, all.here)))
		return 0;
	return is_here(name);
}

static int takes_part(const struct inet_record *record)
{
	return (record->flags & INET_PAIRED) ||
	       ((record->flags & INET_LISTENS) && record->waiting);
}

static void *array(size_t count, size_t size)
{
	return calloc(count + 1, size);
}

static void name_end(struct joint *joint)
{
	const struct inet_record *record = joint->view.record;
	struct ckpt_meeting *end = joint->end;
	unsigned long long pair = record->pair;

	if (record->flags & INET_LISTENS) {
		joint->role = ROLE_LISTENS;
		snprintf(end->mine, sizeof(end->mine), "listener %d %llu",
			 ckpt_group(all.r),
			 (unsigned long long)joint->object->ino);
	} else if (record->flags & INET_WAITS) {
		joint->role = ROLE_WAITS;
		snprintf(end->theirs, sizeof(end->theirs), "listener %u %llu",
			 record->side, pair);
	} else {
		snprintf(end->mine, sizeof(end->mine), "end %llu %u", pair,
			 record->side & 1);
		snprintf(end->theirs, sizeof(end->theirs), "end %llu %u", pair,
			 !(record->side & 1));
		snprintf(end->says, sizeof(end->says), "%d%d%d %s",
			 inet_listener_of(all.r, &record->name) != NULL,
			 is_here(&record->name), is_free(record), all.here);
	}
}

static int is_end(const struct inet_record *record)
{
	return !(record->flags & (INET_LISTENS | INET_WAITS));
}

/* The ends first, by number. */
static int joint_order(const void *a, const void *b)
{
	const struct inet_record *x = ((const struct joint *)a)->view.record;
	const struct inet_record *y = ((const struct joint *)b)->view.record;

	if (is_end(x) != is_end(y))
		return is_end(y) - is_end(x);
	if (x->pair != y->pair)
		return x->pair < y->pair ? -1 : 1;
	return (x->side > y->side) - (x->side < y->side);
}

static int find_joints(struct ckpt_restore *r)
{
	const struct ckpt_object *o = NULL;
	struct inet_view view;
	size_t count = 0, i;

	while ((o = ckpt_object_by_inode(r, INET_KIND, 0, o)))
		count += inet_view(o, &view) == 0 && takes_part(view.record);
	all.joints = array(count, sizeof(*all.joints));
	all.ends = array(count, sizeof(*all.ends));
	all.end_room = count;
	all.guests = array(GUESTS_MAX, sizeof(*all.guests));
	all.places = array(count, sizeof(*all.places));
	if (!all.joints || !all.ends || !all.guests || !all.places)
		return -ENOMEM;
	while ((o = ckpt_object_by_inode(r, INET_KIND, 0, o))) {
		struct joint *joint = &all.joints[all.count];

		if (inet_view(o, &view) < 0 || !takes_part(view.record))
			continue;
		joint->object = o;
		joint->view = view;
		joint->fd = -1;
		if (!inet_queue_of(r, o, &joint->queue))
			joint->queue = view;
		all.count++;
	}
	/* Objects' bodies stay; what inet_queue_of() has found points there. */
	qsort(all.joints, all.count, sizeof(*all.joints), joint_order);
	for (i = 0; i < all.count; i++) {
		all.joints[i].end = &all.ends[i];
		name_end(&all.joints[i]);
	}
	all.end_count = all.count;
	return 0;
}

/* They may have moved. */
static void find_ends(void)
{
	size_t i;

	for (i = 0; i < all.count; i++)
		all.joints[i].end = &all.ends[i];
}

/* ---- addresses ---- */

int inet_parse(const char *text, unsigned port,
			 struct inet_name *name)
{
	struct sockaddr_in6 six = {.sin6_family = AF_INET6};
	struct sockaddr_in four = {.sin_family = AF_INET};

	memset(name, 0, sizeof(*name));
	if (inet_pton(AF_INET6, text, &six.sin6_addr) == 1) {
		six.sin6_port = htons((uint16_t)port);
		memcpy(name->address, &six, sizeof(six));
		name->length = sizeof(six);
		return 0;
	}
	if (inet_pton(AF_INET, text, &four.sin_addr) != 1)
		return -EINVAL;
	four.sin_port = htons((uint16_t)port);
	memcpy(name->address, &four, sizeof(four));
	name->length = sizeof(four);
	return 0;
}

/* Only as long as nobody has a pointer to one of them. */
static struct ckpt_meeting *end_add(void)
{
	struct ckpt_meeting *ends;

	if (all.end_count == all.end_room) {
		size_t room = 2 * all.end_room + 64;

		ends = reallocarray(all.ends, room, sizeof(*ends));
		if (!ends)
			return NULL;
		all.ends = ends;
		all.end_room = room;
	}
	ends = &all.ends[all.end_count++];
	memset(ends, 0, sizeof(*ends));
	return ends;
}

long inet_end_add(void)
{
	struct ckpt_meeting *end = end_add();

	return end ? end - all.ends : -1;
}

struct ckpt_meeting *inet_end(size_t at)
{
	return &all.ends[at];
}

static const char *address_text(const struct inet_name *name,
				char text[INET6_ADDRSTRLEN])
{
	struct inet_name six = inet_in_family(name, AF_INET6);
	struct sockaddr_in6 address;

	memcpy(&address, six.address, sizeof(address));
	strcpy(text, "?");
	inet_ntop(AF_INET6, &address.sin6_addr, text, INET6_ADDRSTRLEN);
	return text;
}

int inet_is_six(const struct inet_name *name)
{
	struct inet_name six = inet_in_family(name, AF_INET6);
	struct sockaddr_in6 address;

	memcpy(&address, six.address, sizeof(address));
	return name->length && !IN6_IS_ADDR_V4MAPPED(&address.sin6_addr);
}

static int common_bits(const struct in6_addr *a, const struct in6_addr *b)
{
	int i = 0;

	while (i < 128 &&
	       !((a->s6_addr[i / 8] ^ b->s6_addr[i / 8]) & 0x80 >> i % 8))
		i++;
	return i;
}

/* Who has called by IPv6 shall do so again, but what is known of a host is the
 * address by which it calls the coordinator, mostly one of IPv4. This is the
 * address of IPv6 of ours that is most like the old one; "-": none. */
const char *inet_own_six(const struct inet_name *old,
			   char text[INET6_ADDRSTRLEN])
{
	struct inet_name six = inet_in_family(old, AF_INET6);
	struct sockaddr_in6 like, one;
	struct ifaddrs *at;
	int best = -1, bits;

	memcpy(&like, six.address, sizeof(like));
	strcpy(text, "-");
	for (at = all.interfaces; at; at = at->ifa_next) {
		if (!at->ifa_addr || at->ifa_addr->sa_family != AF_INET6)
			continue;
		memcpy(&one, at->ifa_addr, sizeof(one));
		if (IN6_IS_ADDR_LOOPBACK(&one.sin6_addr) ||
		    IN6_IS_ADDR_LINKLOCAL(&one.sin6_addr))
			continue;
		bits = common_bits(&like.sin6_addr, &one.sin6_addr);
		if (bits <= best)
			continue;
		best = bits;
		inet_ntop(AF_INET6, &one.sin6_addr, text, INET6_ADDRSTRLEN);
	}
	return text;
}

/* Who waits at a listener of ours wants to know where its host's addresses are;
 * others are told of each name by itself. */
static void tell_addresses(void)
{
	char address[INET6_ADDRSTRLEN];
	struct ckpt_meeting *end;
	struct inet_name name;
	const char *text;
	size_t i;

	for (i = 0; (text = ckpt_host_address(all.r, i)); i++) {
		if (inet_parse(text, 1, &name) < 0 || !(end = end_add()))
			continue;
		snprintf(end->mine, sizeof(end->mine), "host %d %s",
			 ckpt_group(all.r), address_text(&name, address));
		snprintf(end->says, sizeof(end->says), "%d", is_here(&name));
	}
	for (i = 0; i < all.count; i++) {
		const struct inet_record *record = all.joints[i].view.record;

		if (all.joints[i].role != ROLE_WAITS || !(end = end_add()))
			continue;
		all.joints[i].asks = (size_t)(end - all.ends);
		snprintf(end->theirs, sizeof(end->theirs), "host %u %s",
			 record->side,
			 address_text(&record->peer_name, address));
	}
}

/* ---- datagram sockets ---- */

void inet_datagram_key(char key[INET_KEY], const struct inet_record *record,
			 const struct inet_name *name)
{
	char text[INET6_ADDRSTRLEN];

	snprintf(key, INET_KEY, "%u %s %u", (uint8_t)record->protocol,
		 address_text(name, text), ntohs(inet_port_of(name)));
}

static void datagram_known(const struct inet_record *record,
			   const struct inet_name *name, int fd)
{
	struct inet_name own = inet_own(fd);
	struct ckpt_meeting *end = end_add();
	char six[INET6_ADDRSTRLEN], key[INET_KEY];

	if (!end)
		return;
	inet_datagram_key(key, record, name);
	strcpy(end->mine, key);
	snprintf(end->says, sizeof(end->says), "%d %u %s", is_here(name),
		 ntohs(inet_port_of(&own)), inet_own_six(name, six));
	inet_letters_known(key);
}

static int datagram_open(const struct inet_view *view)
{
	const struct inet_record *record = view->record;
	uint16_t port = inet_port_of(&record->name);
	struct inet_name name = record->name;
	int fd = inet_single(all.r, view), ret;
	const char *text;
	size_t i;

	if (fd < 0)
		return fd;
	ret = ckpt_adopt(all.r, view->object->id, fd);
	if (ret < 0)
		return ret;
	fd = ckpt_object_fd(all.r, view->object->id);
	if (port && !inet_is_any(&record->name) && !is_loopback(&record->name))
		datagram_known(record, &record->name, fd);
	for (i = 0; port && inet_is_any(&record->name) &&
		    (text = ckpt_host_address(all.r, i)); i++)
		if (inet_parse(text, ntohs(port), &name) == 0)
			datagram_known(record, &name, fd);
	return 0;
}

static int open_datagrams(void)
{
	const struct ckpt_object *o = NULL;
	struct inet_view view;
	int ret = 0;

	while (ret == 0 && (o = ckpt_object_by_inode(all.r, INET_KIND, 0, o))) {
		if (inet_view(o, &view) < 0 ||
		    !(view.record->flags & INET_HOSTS) ||
		    ckpt_object_fd(all.r, o->id) >= 0)
			continue;
		ret = datagram_open(&view);
	}
	return ret;
}

/* In the order of the objects, for the answers. */
static void ask_for_peers(void)
{
	const struct ckpt_object *o = NULL;
	struct ckpt_meeting *end;
	struct inet_view view;

	while ((o = ckpt_object_by_inode(all.r, INET_KIND, 0, o))) {
		if (inet_view(o, &view) < 0 ||
		    !(view.record->flags & INET_HOSTS) ||
		    !(view.record->flags & INET_CONNECTED))
			continue;
		end = end_add();
		if (end)
			inet_datagram_key(end->theirs, view.record,
				     &view.record->peer_name);
	}
}

static void peer_heard(const struct inet_view *view,
		       const struct ckpt_meeting *end)
{
	struct inet_name peer = view->record->peer_name, six;
	struct moved *list;
	char text[PLACE_TEXT];
	int is_there;
	unsigned port;

	if (sscanf(end->hears, "%d %u %63s", &is_there, &port, text) != 3)
		return;
	if (is_there)
		inet_set_port(&peer, htons((uint16_t)port));
	else if (inet_is_six(&peer) && inet_parse(text, port, &six) == 0)
		peer = six;
	else if (inet_parse(end->host, port, &peer) < 0)
		return;
	list = reallocarray(moved.list, moved.count + 1, sizeof(*list));
	if (!list)
		return;
	moved.list = list;
	peer = inet_in_family(&peer, view->record->domain);
	list[moved.count++] = (struct moved){view->object->ino, peer};
}

static void hear_of_peers(size_t at)
{
	const struct ckpt_object *o = NULL;
	struct inet_view view;

	while ((o = ckpt_object_by_inode(all.r, INET_KIND, 0, o))) {
		if (inet_view(o, &view) < 0 ||
		    !(view.record->flags & INET_HOSTS) ||
		    !(view.record->flags & INET_CONNECTED) ||
		    at >= all.end_count)
			continue;
		if (all.ends[at].heard)
			peer_heard(&view, &all.ends[at]);
		at++;
	}
}

/* They are in the order of their inodes. */
struct inet_name inet_moved_peer(const struct inet_view *view)
{
	size_t low = 0, high = moved.count;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (moved.list[middle].ino == view->object->ino)
			return moved.list[middle].peer;
		if (moved.list[middle].ino < view->object->ino)
			low = middle + 1;
		else
			high = middle;
	}
	return view->record->peer_name;
}

/* ---- who calls ---- */

/* The one at whose name somebody listens is called. Else the one whose name is
 * free: the other's gets free by that, see remind(). */
static void choose_roles(void)
{
	size_t i;

	for (i = 0; i < all.count; i++) {
		struct joint *joint = &all.joints[i];
		const struct ckpt_meeting *end = joint->end;
		int mine = end->says[0] - end->hears[0];
		int free = end->says[2] - end->hears[2];

		if (joint->role != ROLE_NONE || !end->heard)
			continue;
		if (mine || free)
			joint->role = (mine ? mine : free) > 0 ? ROLE_CALLED :
								 ROLE_CALLS;
		else
			joint->role = joint->view.record->side & 1 ?
					      ROLE_CALLED : ROLE_CALLS;
		all.open++;
	}
}

/* ---- where it is called ---- */

static int listen_at(const struct inet_record *record,
		     const struct inet_name *name)
{
	int fd = inet_new(record), ret;

	if (fd < 0)
		return fd;
	ret = inet_bind(fd, name);
	if (ret == 0 && listen(fd, SOMAXCONN) < 0)
		ret = -errno;
	if (ret == 0)
		return fd;
	close(fd);
	return ret;
}

static struct place *place_add(int fd, int temporary,
			       const struct inet_name *wanted)
{
	struct place *place = &all.places[all.place_count++];

	*place = (struct place){fd, temporary, *wanted};
	fcntl(fd, F_SETFL, O_NONBLOCK);
	return place;
}

static struct place *place_find(const struct inet_name *wanted)
{
	size_t i;

	for (i = 0; i < all.place_count; i++)
		if (all.places[i].temporary &&
		    inet_is_same(&all.places[i].wanted, wanted))
			return &all.places[i];
	return NULL;
}

static struct place *place_of_listener(const struct ckpt_object *listener)
{
	int fd = inet_listener_fd(all.r, listener);
	struct inet_view view;
	size_t i;

	if (fd < 0 || inet_view(listener, &view) < 0)
		return NULL;
	for (i = 0; i < all.place_count; i++)
		if (all.places[i].fd == fd)
			return &all.places[i];
	return place_add(fd, 0, &view.record->name);
}

/* A listener for a moment. */
static struct place *place_make(const struct joint *joint, int can_be_called)
{
	const struct inet_record *record = joint->view.record;
	struct inet_name any = inet_any(record->domain,
					inet_port_of(&record->name));
	int fd = -EADDRNOTAVAIL;

	if (can_be_called)
		fd = listen_at(record, &record->name);
	if (fd < 0)
		fd = listen_at(record, &any);
	if (fd < 0) {
		any = inet_any(record->domain, 0);
		fd = listen_at(record, &any);
	}
	return fd < 0 ? NULL : place_add(fd, 1, &record->name);
}

static void say_place(struct joint *joint, const struct place *place,
		      int can_be_called)
{
	struct inet_name own = inet_own(place->fd);
	char text[INET6_ADDRSTRLEN], six[INET6_ADDRSTRLEN];

	snprintf(joint->end->says, sizeof(joint->end->says), "%d %d %s %u %s",
		 can_be_called, inet_is_any(&own), address_text(&own, text),
		 ntohs(inet_port_of(&own)),
		 inet_own_six(&joint->view.record->name, six));
}

static int open_place(struct joint *joint)
{
	const struct inet_record *record = joint->view.record;
	const struct ckpt_object *listener = joint->object;
	struct place *place = NULL;
	struct inet_name at;
	int can_be_called;

	if (joint->role == ROLE_CALLED)
		listener = inet_listener_of(all.r, &record->name);
	can_be_called = joint->role == ROLE_LISTENS ||
			is_reachable(joint, &record->name);
	if (listener)
		place = place_of_listener(listener);
	if (place && joint->role == ROLE_CALLED) {
		at = inet_own(place->fd);
		if (!inet_is_any(&at) && !is_reachable(joint, &at))
			place = NULL;
	}
	if (!place)
		place = place_find(&record->name);
	if (!place)
		place = place_make(joint, can_be_called);
	if (!place)
		return -errno;
	say_place(joint, place, can_be_called);
	return 0;
}

static int open_places(void)
{
	char text[INET_TEXT];
	size_t i;

	for (i = 0; i < all.count; i++) {
		struct joint *joint = &all.joints[i];

		if (joint->role != ROLE_CALLED &&
		    (joint->role != ROLE_LISTENS || !joint->end->wanted))
			continue;
		if (open_place(joint) == 0)
			continue;
		ckpt_report(all.r, "%s: nobody can call %s here",
			    joint->object->label,
			    inet_text(&joint->view.record->name, text,
				      sizeof(text)));
		return -EADDRNOTAVAIL;
	}
	return 0;
}

/* ---- what the former life has left ---- */

/* The kernel of the caller may still have the connection as it was: waiting
 * for stray packets, or sending what nobody takes any more. As long as it does,
 * nobody can have its name. Whoever is called on it by its old partner finds
 * out that that has forgotten it. */
static int remind(const struct joint *joint)
{
	const struct inet_record *record = joint->view.record;
	int fd = inet_new(record);

	if (fd < 0)
		return -1;
	fcntl(fd, F_SETFL, O_NONBLOCK);
	if (inet_bind(fd, &record->name) == 0 &&
	    connect(fd, inet_address(&record->peer_name),
		    record->peer_name.length) < 0 && errno == EINPROGRESS)
		return fd;
	close(fd);
	return -1;
}

static void remind_all(void)
{
	const struct linger at_once = {1, 0};
	struct pollfd *calls = array(all.count, sizeof(*calls));
	int64_t until = inet_now_ms() + REMIND_MS;
	size_t count = 0, left, i;

	for (i = 0; calls && i < all.count; i++) {
		const struct joint *joint = &all.joints[i];
		int fd = -1;

		if (joint->role == ROLE_CALLED && joint->end->hears[1] == '1' &&
		    is_reachable(joint, &joint->view.record->name))
			fd = remind(joint);
		if (fd >= 0)
			calls[count++] = (struct pollfd){fd, POLLOUT, 0};
	}
	for (left = count; left && inet_now_ms() < until;) {
		poll(calls, count, (int)(until - inet_now_ms()) + 1);
		for (i = 0; i < count; i++) {
			if (calls[i].fd < 0 || !calls[i].revents)
				continue;
			setsockopt(calls[i].fd, SOL_SOCKET, SO_LINGER, &at_once,
				   sizeof(at_once));
			close(calls[i].fd);
			calls[i].fd = -1;
			left--;
		}
	}
	for (i = 0; i < count; i++)
		if (calls[i].fd >= 0)
			close(calls[i].fd);
	free(calls);
}

/* ---- calling ---- */

/* From one name after the other, as near to the old one as may be. */
static int call_near(struct joint *joint, const struct inet_name *to)
{
	const struct inet_record *record = joint->view.record;
	struct inet_name froms[3] = {
		inet_any(record->domain, inet_port_of(&record->name)),
		record->name,
	};
	int fd = inet_call_from(record, to, 1), ret;
	size_t i;

	joint->error = fd < 0 ? -fd : 0;
	inet_set_port(&froms[1], 0);
	for (i = 0; fd < 0 && i < 3; i++) {
		if (fd == -ECONNREFUSED || fd == -ETIMEDOUT)
			break; /* it is not for our name */
		fd = inet_new(record);
		if (fd < 0)
			break;
		ret = froms[i].length ? inet_bind(fd, &froms[i]) : 0;
		if (ret == 0)
			ret = inet_call(fd, to);
		if (ret == 0)
			break;
		close(fd);
		fd = ret;
	}
	return fd;
}

static int call_place(struct joint *joint)
{
	const struct inet_record *record = joint->view.record;
	int can_be_called, is_any, fd = -EPROTO;
	char text[PLACE_TEXT], six[PLACE_TEXT], name[INET_TEXT];
	struct inet_name tos[3] = {0};
	unsigned port;
	size_t i;

	if (sscanf(joint->end->hears, "%d %d %63s %u %63s", &can_be_called,
		   &is_any, text, &port, six) != 5)
		return -EPROTO;
	/* A listener has not said it of all names. */
	if (joint->role == ROLE_WAITS)
		can_be_called = *all.ends[joint->asks].hears == '1';
	if (!is_any) {
		inet_parse(text, port, &tos[0]);
	} else if (can_be_called) {
		tos[0] = record->peer_name;
		inet_set_port(&tos[0], htons((uint16_t)port));
	}
	if (inet_is_six(&record->peer_name))
		inet_parse(six, port, &tos[1]);
	inet_parse(joint->end->host, port, &tos[2]);
	for (i = 0; fd < 0 && i < 3; i++)
		if (tos[i].length)
			fd = call_near(joint, &tos[i]);
	if (fd < 0)
		ckpt_report(all.r, "%s: its other end, %s, cannot be called "
				   "on %s, port %u: %s",
			    joint->object->label,
			    inet_text(&record->peer_name, name, sizeof(name)),
			    joint->end->host, port, strerror(-fd));
	return fd;
}

/* ---- saying who it is, and shipping ---- */

static void proof_of(uint64_t pair, uint32_t side, unsigned char proof[32])
{
	char text[64];

	snprintf(text, sizeof(text), "end %llu %u", (unsigned long long)pair,
		 side);
	ckpt_proof(all.r, text, proof);
}

static int is_proven(const struct hello *hello)
{
	unsigned char proof[32], differs = 0;
	size_t i;

	if (memcmp(hello->magic, magic, sizeof(magic)) || hello->side > 1)
		return 0;
	proof_of(hello->pair, hello->side, proof);
	for (i = 0; i < sizeof(proof); i++)
		differs |= (unsigned char)(proof[i] ^ hello->proof[i]);
	return !differs;
}

static void joint_begin(struct joint *joint, int fd)
{
	const struct inet_record *record = joint->queue.record;

	joint->fd = fd;
	fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
	set_int(fd, IPPROTO_TCP, TCP_NODELAY, 1);
	set_int(fd, SOL_SOCKET, SO_OOBINLINE, 1); /* all bytes are counted */
	memcpy(joint->hello.magic, magic, sizeof(magic));
	joint->hello.pair = record->pair;
	joint->hello.side = record->side & 1;
	joint->hello.length = record->unread;
	joint->hello.mark = record->mark;
	proof_of(joint->hello.pair, joint->hello.side, joint->hello.proof);
	joint->room = 2 * (size_t)record->unread + ROOM;
	inet_make_room(fd, joint->room);
}

/* More went out: 1; 0: not now; -errno. */
static int put(int fd, const void *data, size_t length, size_t *done, int flags)
{
	ssize_t sent;

	if (*done >= length)
		return 0;
	sent = send(fd, (const char *)data + *done, length - *done,
		    MSG_DONTWAIT | MSG_NOSIGNAL | flags);
	if (sent > 0)
		*done += (size_t)sent;
	if (sent < 0 && errno != EAGAIN && errno != EINTR)
		return -errno;
	return sent > 0;
}

static int take(int fd, void *data, size_t length, size_t *done)
{
	ssize_t got;

	if (*done >= length)
		return 0;
	got = recv(fd, (char *)data + *done, length - *done, MSG_DONTWAIT);
	if (got > 0)
		*done += (size_t)got;
	if (got == 0)
		return -ECONNRESET;
	if (got < 0 && errno != EAGAIN && errno != EINTR)
		return -errno;
	return got > 0;
}

/* The byte at the mark is urgent. */
static int give_back(struct joint *joint)
{
	const struct hello *theirs = &joint->theirs;
	size_t end = theirs->length;
	int flags = 0;

	if (theirs->mark < theirs->length) {
		if (joint->returned < theirs->mark)
			end = theirs->mark;
		else if (joint->returned == theirs->mark) {
			end = theirs->mark + 1;
			flags = MSG_OOB;
		}
	}
	return put(joint->fd, joint->bytes, end, &joint->returned, flags);
}

static int has_heard(const struct joint *joint)
{
	return joint->heard == sizeof(joint->theirs);
}

static int joint_send(struct joint *joint)
{
	if (joint->said < sizeof(joint->hello))
		return put(joint->fd, &joint->hello, sizeof(joint->hello),
			   &joint->said, 0);
	if (!has_heard(joint))
		return 0; /* nothing goes to who has not said who it is */
	if (joint->shipped < joint->hello.length)
		return put(joint->fd, joint->queue.queue, joint->hello.length,
			   &joint->shipped, 0);
	if (joint->got == joint->theirs.length &&
	    joint->returned < joint->theirs.length)
		return give_back(joint);
	return 0;
}

static int joint_hear(struct joint *joint)
{
	if (has_heard(joint))
		return take(joint->fd, joint->bytes, joint->theirs.length,
			    &joint->got);
	return take(joint->fd, &joint->theirs, sizeof(joint->theirs),
		    &joint->heard);
}

/* Its hello is there. */
static int joint_check(struct joint *joint)
{
	if (!is_proven(&joint->theirs) ||
	    joint->theirs.pair != joint->hello.pair ||
	    joint->theirs.side == joint->hello.side)
		return -EPROTO;
	joint->bytes = malloc((size_t)joint->theirs.length + 1);
	return joint->bytes ? 0 : -ENOMEM;
}

static void joint_finish(struct joint *joint)
{
	const struct inet_record *record = joint->view.record;
	char byte;

	set_int(joint->fd, SOL_SOCKET, SO_OOBINLINE, 0);
	set_int(joint->fd, SOL_SOCKET, SO_RCVLOWAT, 1);
	set_int(joint->fd, IPPROTO_TCP, TCP_NODELAY, 0);
	if (joint->queue.record->mark < joint->hello.length &&
	    (joint->queue.record->flags & INET_URGENT_READ))
		recv(joint->fd, &byte, 1, MSG_OOB | MSG_DONTWAIT);
	inet_close_halves(record, joint->fd);
	fcntl(joint->fd, F_SETFL, fcntl(joint->fd, F_GETFL) & ~O_NONBLOCK);
	free(joint->bytes);
	joint->bytes = NULL;
	joint->finished = 1;
	all.open--;
}

static size_t waiting(int fd)
{
	int count = 0;

	ioctl(fd, FIONREAD, &count);
	return count > 0 ? (size_t)count : 0;
}

/* 1: it has come further; -errno. */
static int joint_step(struct joint *joint)
{
	int moved = 0, ret;

	do {
		ret = joint_send(joint);
		moved |= ret > 0;
	} while (ret > 0);
	while (ret >= 0) {
		int knew = has_heard(joint);

		ret = joint_hear(joint);
		if (ret > 0 && !knew && has_heard(joint))
			ret = joint_check(joint) < 0 ? -EPROTO : 1;
		if (ret <= 0)
			break;
		moved = 1;
	}
	if (ret < 0)
		return ret;
	if (has_heard(joint) && joint->shipped == joint->hello.length &&
	    joint->got == joint->theirs.length &&
	    joint->returned == joint->theirs.length &&
	    waiting(joint->fd) >= joint->hello.length) {
		joint_finish(joint);
		moved = 1;
	}
	return moved;
}

/* ---- who calls us ---- */

static struct joint *joint_of(const struct hello *hello)
{
	struct inet_record record = {
		.pair = hello->pair,
		.side = !hello->side,
	};
	struct joint key = {.view.record = &record}, *joint;

	joint = bsearch(&key, all.joints, all.count, sizeof(key), joint_order);
	return joint && joint->role == ROLE_CALLED && joint->fd < 0 ? joint :
								      NULL;
}

static void guest_leave(size_t i)
{
	all.guests[i] = all.guests[--all.guest_count];
}

/* 1: it has said something. */
static int guest_look(size_t i)
{
	struct guest *guest = &all.guests[i];
	struct joint *joint;
	int ret = take(guest->fd, &guest->hello, sizeof(guest->hello),
		       &guest->heard);

	if (ret >= 0 && guest->heard < sizeof(guest->hello))
		return ret;
	joint = ret < 0 || !is_proven(&guest->hello) ? NULL :
						       joint_of(&guest->hello);
	if (!joint) {
		close(guest->fd); /* none of ours */
		guest_leave(i);
		return 0;
	}
	joint->theirs = guest->hello;
	joint->heard = sizeof(guest->hello);
	joint_begin(joint, guest->fd);
	guest_leave(i);
	if (joint_check(joint) < 0)
		joint->error = ENOMEM;
	return 1;
}

static int accept_guests(void)
{
	int moved = 0, fd;
	size_t i;

	for (i = 0; i < all.place_count; i++)
		while (all.guest_count < GUESTS_MAX) {
			fd = accept4(all.places[i].fd, NULL, NULL,
				     SOCK_CLOEXEC);
			if (fd < 0)
				break;
			all.guests[all.guest_count++] =
				(struct guest){.fd = fd};
			moved = 1;
		}
	for (i = all.guest_count; i-- > 0;)
		moved |= guest_look(i);
	return moved;
}

/* ---- until all are made ---- */

static void tell_late(const struct joint *joint, int error)
{
	const struct inet_record *record = joint->view.record;
	char own[INET_TEXT], peer[INET_TEXT];

	ckpt_report(all.r, "%s: the connection from %s to %s (on %s) cannot be "
			   "made again: %s", joint->object->label,
		    inet_text(&record->name, own, sizeof(own)),
		    inet_text(&record->peer_name, peer, sizeof(peer)),
		    joint->end->host,
		    joint->fd < 0 ? "it has not called" : strerror(error));
}

static void joint_widen(struct joint *joint)
{
	if (joint->fd < 0 || joint->finished)
		return;
	if (joint->room < 1u << 29)
		joint->room *= 2;
	inet_make_room(joint->fd, joint->room);
}

static int make_all(void)
{
	int64_t moved_at = inet_now_ms(), widened_at = moved_at;
	struct joint *late = NULL;
	int moved, ret = 0;
	size_t i;

	while (all.open && ret == 0) {
		moved = accept_guests();
		for (i = 0; i < all.count && ret >= 0; i++) {
			struct joint *joint = &all.joints[i];

			if (joint->finished || (joint->role != ROLE_CALLS &&
						joint->role != ROLE_CALLED))
				continue;
			late = joint;
			if (joint->fd < 0)
				continue;
			ret = joint_step(joint);
			if (ret > 0)
				moved = 1;
		}
		if (ret >= 0)
			ret = 0;
		if (moved) {
			moved_at = inet_now_ms();
			continue;
		}
		if (!all.open || ret < 0)
			break;
		if (inet_now_ms() > moved_at + PATIENCE_MS)
			ret = -ETIMEDOUT;
		if (inet_now_ms() > widened_at + 100) {
			widened_at = inet_now_ms();
			for (i = 0; i < all.count; i++)
				joint_widen(&all.joints[i]);
		}
		poll(NULL, 0, 1);
	}
	if (ret < 0 && late)
		tell_late(late, -ret);
	return ret;
}

static int call_all(enum role role)
{
	size_t i;
	int fd;

	for (i = 0; i < all.count; i++) {
		struct joint *joint = &all.joints[i];

		if (joint->role != role)
			continue;
		if (!joint->end->heard)
			continue;
		fd = call_place(joint);
		if (fd < 0 && role == ROLE_WAITS)
			continue; /* it is lost */
		if (fd < 0)
			return fd;
		if (role == ROLE_CALLS)
			joint_begin(joint, fd);
		else
			joint->fd = fd;
	}
	return 0;
}

/* ---- the whole ---- */

static int has_old_names(const struct joint *joint)
{
	struct inet_name own = inet_own(joint->fd), peer = inet_peer(joint->fd);

	return inet_is_same(&own, &joint->view.record->name) &&
	       inet_is_same(&peer, &joint->view.record->peer_name);
}

/* When a host has moved it may be thousands: the first few are told. */
static void adopt_all(void)
{
	size_t i, changed = 0;

	for (i = 0; i < all.count; i++) {
		struct joint *joint = &all.joints[i];

		if (joint->fd < 0)
			continue;
		if (!has_old_names(joint) && ++changed <= TOLD_MAX)
			inet_tell_names(all.r, &joint->view, joint->fd,
					joint->error);
		ckpt_adopt(all.r, joint->object->id, joint->fd);
	}
	if (changed > TOLD_MAX)
		ckpt_report(all.r, "%zu more connections to other hosts go "
				   "over other addresses or ports now",
			    changed - TOLD_MAX);
}

/* What was left for later: who waits in our own group. */
static void call_listeners(void)
{
	const struct ckpt_object *o = NULL;
	struct inet_view view;
	size_t i;

	while ((o = ckpt_object_by_inode(all.r, INET_KIND, 0, o))) {
		int fd = ckpt_object_fd(all.r, o->id), remote = 0;

		if (fd < 0 || inet_view(o, &view) < 0 ||
		    !(view.record->flags & INET_LISTENS))
			continue;
		for (i = 0; i < all.count; i++)
			if (all.joints[i].object == o)
				remote = all.ends[i].wanted;
		inet_call_all(all.r, &view, fd, (size_t)remote);
	}
}

static void close_all(void)
{
	size_t i;

	for (i = 0; i < all.place_count; i++)
		if (all.places[i].temporary)
			close(all.places[i].fd);
		else
			fcntl(all.places[i].fd, F_SETFL, 0);
	for (i = 0; i < all.guest_count; i++)
		close(all.guests[i].fd);
	free(all.joints);
	free(all.ends);
	free(all.guests);
	free(all.places);
	freeifaddrs(all.interfaces);
	memset(&all, 0, sizeof(all));
}

int inet_meet_all(struct ckpt_restore *r)
{
	size_t asked;
	int ret;

	all.r = r;
	inet_is_meeting = 1;
	find_here();
	ret = find_joints(r);
	if (ret == 0)
		tell_addresses();
	if (ret == 0)
		ret = open_datagrams();
	asked = all.end_count;
	if (ret == 0) {
		ask_for_peers();
		inet_letters_ask(r);
		find_ends();
		ret = ckpt_meet(r, all.ends, all.end_count);
	}
	if (ret == 0) {
		hear_of_peers(asked);
		choose_roles();
		remind_all();
		inet_letters_open();
		ret = open_places();
	}
	if (ret == 0)
		ret = ckpt_meet(r, all.ends, all.end_count);
	if (ret == 0)
		ret = call_all(ROLE_CALLS);
	if (ret == 0)
		ret = make_all();
	if (ret == 0)
		inet_letters_ship(r);
	/* The places of listeners are heard once more. */
	if (ret == 0)
		ret = ckpt_meet(r, all.ends, all.end_count);
	if (ret == 0)
		ret = call_all(ROLE_WAITS);
	if (ret == 0) {
		adopt_all();
		call_listeners();
	}
	close_all();
	inet_is_meeting = 0;
	return ret;
}
