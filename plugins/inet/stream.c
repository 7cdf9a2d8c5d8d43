/* SPDX-License-Identifier: MIT */
/*
 * inet, restoring: TCP connections. Both ends are made at once, by way of the
 * listener that they came from where that is there, else by one of that name
 * for a moment: so addresses and ports are what they were. When all exist,
 * each queue is filled through the other end; then the halves that were closed
 * are closed, and who was waiting to be accepted calls, in the old order.
 *
 * What led outside comes back as reset by its peer, or at its end, if the peer
 * has sent that.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "plugins/inet/restore.h"

#ifndef IP_LOCAL_PORT_RANGE
#define IP_LOCAL_PORT_RANGE 51
#endif

#define PATIENCE_MS 3000
#define ROOM (256 << 10)

/* How near to the old name a new one is. NEAR_NOW is the same name, if it need
 * not be waited for. */
enum nearness { NEAR_NOW, NEAR_SAME, NEAR_ADDRESS, NEAR_ANY, NEAR_END };

int64_t inet_now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int await(int fd, short events, int64_t deadline)
{
	struct pollfd asked = {fd, events, 0};
	int64_t left = deadline - inet_now_ms();

	return left > 0 && poll(&asked, 1, (int)left) > 0 ? 0 : -ETIMEDOUT;
}

static void set_int(int fd, int level, int option, int value)
{
	setsockopt(fd, level, option, &value, sizeof(value));
}

static int get_int(int fd, int level, int option)
{
	int value = 0;
	socklen_t length = sizeof(value);

	getsockopt(fd, level, option, &value, &length);
	return value;
}

static int set_blocking(int fd, int blocks)
{
	int flags = fcntl(fd, F_GETFL);

	return fcntl(fd, F_SETFL,
		     blocks ? flags & ~O_NONBLOCK : flags | O_NONBLOCK);
}

/* The other end, if that is here. What it went on sending has not been kept:
 * where it is of ours nevertheless, the connection cannot be made again. */
static const struct ckpt_object *peer_of(struct ckpt_restore *r,
					 const struct inet_record *record)
{
	const struct ckpt_object *peer = inet_by_ino(r, record->peer_ino);
	struct inet_view other;

	if (!peer || (record->flags & INET_PAIRED) || (record->flags & INET_STRANGE) ||
	    inet_view(peer, &other) < 0 ||
	    (other.record->flags & INET_STRANGE))
		return NULL;
	return peer;
}

/* ---- listeners ---- */

/* Of what is restored at one place: found once. */
static struct {
	struct ckpt_restore *r;
	pid_t pid;
	const struct ckpt_object **all;
	size_t count;
} listeners;

static void find_listeners(struct ckpt_restore *r)
{
	const struct ckpt_object *o = NULL;
	struct inet_view view;
	size_t room = 0;

	if (listeners.r == r && listeners.pid == getpid())
		return;
	listeners.r = r;
	listeners.pid = getpid();
	listeners.count = 0;
	listeners.all = NULL; /* a former one is our ancestor's */
	while ((o = ckpt_object_by_inode(r, INET_KIND, 0, o))) {
		if (inet_view(o, &view) < 0 ||
		    !(view.record->flags & INET_LISTENS))
			continue;
		if (listeners.count == room) {
			const struct ckpt_object **all;

			room = room ? 2 * room : 16;
			all = realloc(listeners.all, room * sizeof(*all));
			if (!all)
				return;
			listeners.all = all;
		}
		listeners.all[listeners.count++] = o;
	}
}

/* One that has its own address rather than any. */
const struct ckpt_object *inet_listener_of(struct ckpt_restore *r,
					   const struct inet_name *to)
{
	const struct ckpt_object *best = NULL;
	struct inet_view view;
	size_t i;

	find_listeners(r);
	for (i = 0; i < listeners.count; i++) {
		if (inet_view(listeners.all[i], &view) < 0 ||
		    !inet_serves(view.record, to))
			continue;
		if (!best || !inet_is_any(&view.record->name))
			best = listeners.all[i];
	}
	return best;
}

/* ---- calling and accepting ---- */

static struct inet_name without_port(const struct inet_name *name)
{
	struct inet_name new = *name;

	inet_set_port(&new, 0);
	return new;
}

int inet_bind(int fd, const struct inet_name *name)
{
	return bind(fd, inet_address(name), name->length) < 0 ? -errno : 0;
}

/* Out of others it is not chosen, whatever the range that a socket is given. */
static int is_choosable(uint32_t port)
{
	static uint32_t low, high;
	FILE *f;

	if (!high) {
		f = fopen("/proc/sys/net/ipv4/ip_local_port_range", "re");
		if (!f || fscanf(f, "%u %u", &low, &high) != 2)
			high = 1;
		if (f)
			fclose(f);
	}
	return port >= low && port <= high;
}

/* A connection that has ended keeps its port from bind() for a minute; not from
 * connect(), after a second, where that chooses the port itself. So it chooses,
 * out of one (since Linux 6.3). -EAGAIN: it cannot be asked to. */
static int choose_only(int fd, const struct inet_name *name)
{
	struct inet_name address = without_port(name);
	uint32_t port = ntohs(inet_port_of(name));
	const int on = 1;

	if (!is_choosable(port))
		return -EAGAIN;
	port |= port << 16;
	if (setsockopt(fd, IPPROTO_IP, IP_LOCAL_PORT_RANGE, &port,
		       sizeof(port)) < 0)
		return -EAGAIN;
	setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
	return inet_bind(fd, &address);
}

static int bind_near(int fd, const struct inet_record *record,
		     enum nearness near)
{
	struct inet_name name = record->name;

	if (near == NEAR_ANY || !name.length)
		return 0;
	if (near == NEAR_ADDRESS)
		name = without_port(&name);
	return inet_bind(fd, &name);
}

/* It is the call that takes a port then: of all that are not in use between
 * these two, rather than by anybody. */
static int bind_address(int fd, const struct inet_record *record)
{
	struct inet_name name = without_port(&record->name);
	const int on = 1;

	setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
	return inet_bind(fd, &name);
}

int inet_new(const struct inet_record *record)
{
	int fd = socket(record->domain, record->type | SOCK_CLOEXEC,
			record->protocol);

	if (fd < 0)
		return -errno;
	inet_early(fd, record);
	return fd;
}

/* A call that is answered by the time it returns 0. */
int inet_call(int fd, const struct inet_name *to)
{
	int flags = fcntl(fd, F_GETFL), ret;
	struct inet_name name =
		inet_in_family(to, get_int(fd, SOL_SOCKET, SO_DOMAIN));

	set_blocking(fd, 0);
	ret = connect(fd, inet_address(&name), name.length);
	ret = ret < 0 ? -errno : 0;
	if (ret == -EINPROGRESS) {
		ret = await(fd, POLLOUT, inet_now_ms() + PATIENCE_MS);
		if (ret == 0)
			ret = -get_int(fd, SOL_SOCKET, SO_ERROR);
	}
	fcntl(fd, F_SETFL, flags);
	return ret;
}

/* For that second, once for all of them. Of other addresses the kernel gives no
 * such port again. */
static int is_soon_free(const struct inet_name *name)
{
	static int64_t until;
	struct inet_name own = without_port(name);
	struct inet_name four = inet_loopback(AF_INET);
	struct inet_name six = inet_loopback(AF_INET6);

	if (!inet_is_same(&own, &four) && !inet_is_same(&own, &six))
		return 0;
	if (!until)
		until = inet_now_ms() + PATIENCE_MS;
	return inet_now_ms() < until && poll(NULL, 0, 20) == 0;
}

/* A caller that has its old name. */
int inet_call_from(const struct inet_record *record,
		   const struct inet_name *to, int patient)
{
	int fd, ret;

	for (;;) {
		fd = inet_new(record);
		if (fd < 0)
			return fd;
		ret = choose_only(fd, &record->name);
		if (ret == 0)
			ret = inet_call(fd, to);
		if (ret == 0)
			return fd;
		close(fd);
		/* It has been bound before, or is no port to be chosen. */
		fd = inet_new(record);
		if (fd < 0)
			return fd;
		ret = inet_bind(fd, &record->name);
		if (ret == 0)
			ret = inet_call(fd, to);
		if (ret == 0)
			return fd;
		close(fd);
		if ((ret != -EADDRINUSE && ret != -EADDRNOTAVAIL) ||
		    !patient || !is_soon_free(&record->name))
			return ret;
	}
}

static int call_near(const struct inet_record *record, enum nearness near,
		     const struct inet_name *to)
{
	int fd, ret;

	if (near <= NEAR_SAME && record->name.length)
		return inet_call_from(record, to, near == NEAR_SAME);
	fd = inet_new(record);
	if (fd < 0)
		return fd;
	if (near == NEAR_ADDRESS && record->name.length)
		ret = bind_address(fd, record);
	else
		ret = bind_near(fd, record, near);
	if (ret == 0)
		ret = inet_call(fd, to);
	if (ret == 0)
		return fd;
	close(fd);
	return ret;
}

/* Anybody may call there; ours is the one of that name. */
static int accept_from(int listening, const struct inet_name *caller)
{
	int64_t deadline = inet_now_ms() + PATIENCE_MS;

	while (await(listening, POLLIN, deadline) == 0) {
		int fd = accept4(listening, NULL, NULL, SOCK_CLOEXEC);
		struct inet_name name;

		if (fd < 0)
			continue;
		name = inet_peer(fd);
		if (inet_is_same(&name, caller))
			return fd;
		close(fd);
	}
	return -ETIMEDOUT;
}

struct ends {
	int active, passive;
	int error; /* why the names are not the old ones */
};

static void drop_ends(struct ends *ends)
{
	if (ends->active >= 0)
		close(ends->active);
	if (ends->passive >= 0)
		close(ends->passive);
	ends->active = ends->passive = -1;
}

static int meet(const struct inet_record *active, enum nearness near,
		int listening, const struct inet_name *to, struct ends *ends)
{
	struct inet_name own;
	int ret;

	ends->passive = -1;
	ends->active = ret = call_near(active, near, to);
	if (ret < 0)
		return ret;
	own = inet_own(ends->active);
	ends->passive = ret = accept_from(listening, &own);
	if (ret < 0)
		drop_ends(ends);
	return ret < 0 ? ret : 0;
}

/* Where a listener is called: `name` if it is this host's. */
static struct inet_name place_of(int listening, const struct inet_name *name,
				 enum nearness near)
{
	struct inet_name place = inet_own(listening), own;
	uint16_t port = inet_port_of(&place);

	if (!inet_is_any(&place))
		return place;
	own = inet_loopback(get_int(listening, SOL_SOCKET, SO_DOMAIN));
	place = near == NEAR_ANY ? own : *name;
	inet_set_port(&place, port);
	return place;
}

static int listen_near(const struct inet_record *record, enum nearness near)
{
	int fd = inet_new(record), ret;
	struct inet_name name = inet_loopback(record->domain);

	if (fd < 0)
		return fd;
	if (near == NEAR_ANY || !record->name.length)
		ret = inet_bind(fd, &name);
	else
		ret = bind_near(fd, record, near);
	if (ret == 0 && listen(fd, 8) < 0)
		ret = -errno;
	if (ret == 0)
		return fd;
	close(fd);
	return ret;
}

static int make_near(const struct inet_record *active,
		     const struct inet_record *passive, int listening,
		     enum nearness near, struct ends *ends)
{
	int there = listening >= 0 ? listening : listen_near(passive, near);
	struct inet_name to;
	int ret;

	if (there < 0)
		return there;
	to = place_of(there, &passive->name, near);
	ret = meet(active, near, there, &to, ends);
	if (there != listening)
		close(there);
	return ret;
}

/* Both ends of a connection, the names as near as may be. */
static int make_ends(const struct inet_record *active,
		     const struct inet_record *passive, int listening,
		     struct ends *ends)
{
	int ret = make_near(active, passive, listening, NEAR_SAME, ends);
	enum nearness near;

	ends->error = -ret;
	for (near = NEAR_ADDRESS; ret < 0 && near < NEAR_END; near++)
		ret = make_near(active, passive, listening, near, ends);
	return ret;
}

/* ---- lost ones, and those whose other end is nobody's ---- */

/* One listener for many of those, one after the other: the search for a free
 * port takes the longer the more there are. */
static struct {
	int fd;
	ino_t ino;
	struct inet_record record;
} spare = {.fd = -1};

/* Its number may have been given to one of the program's. */
static int spare_stands(void)
{
	struct stat st;

	return spare.fd >= 0 && fstat(spare.fd, &st) == 0 &&
	       st.st_ino == spare.ino;
}

void inet_spare_close(void)
{
	if (spare_stands())
		close(spare.fd);
	spare.fd = -1;
}

static int spare_listener(const struct inet_record *passive)
{
	struct inet_name was = without_port(&spare.record.name);
	struct inet_name name = without_port(&passive->name);

	struct stat st;

	if (spare_stands() && spare.record.domain == passive->domain &&
	    inet_is_same(&was, &name))
		return spare.fd;
	inet_spare_close();
	spare.fd = listen_near(passive, NEAR_ADDRESS);
	spare.ino = spare.fd >= 0 && fstat(spare.fd, &st) == 0 ? st.st_ino : 0;
	spare.record = *passive;
	return spare.fd;
}

/* `other` is made for a moment, at the peer's name if that is free here. */
static int make_pair(const struct inet_record *record, struct ends *ends)
{
	struct inet_record other = *record;
	enum nearness near;
	int ret;

	other.name = record->peer_name;
	if (!(record->flags & INET_PEER_HERE) || !other.name.length)
		other.name = without_port(&record->name);
	other.device[0] = 0;
	other.domain = record->domain;
	ret = make_near(record, &other, -1, NEAR_NOW, ends);
	for (near = NEAR_ADDRESS; ret < 0 && near < NEAR_END; near++)
		ret = make_near(record, &other,
				near == NEAR_ADDRESS ? spare_listener(&other) :
						       -1,
				near, ends);
	return ret;
}

static int waiting(int fd)
{
	int count = 0;

	ioctl(fd, FIONREAD, &count);
	return count;
}


/* SO_RCVLOWAT makes room for what it asks; a look at the queue tells the other
 * end. */
void inet_make_room(int fd, size_t length)
{
	char byte;

	set_int(fd, SOL_SOCKET, SO_RCVLOWAT,
		length > 1 << 30 ? 1 << 30 : (int)length);
	recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
	set_int(fd, SOL_SOCKET, SO_RCVLOWAT, 1);
}

static int put(int from, int to, const unsigned char *data, size_t length,
	       int flags)
{
	int64_t deadline = inet_now_ms() + PATIENCE_MS;
	size_t room = 2 * (size_t)waiting(to) + 2 * length + ROOM;

	while (length) {
		ssize_t sent = send(from, data, length,
				    MSG_DONTWAIT | MSG_NOSIGNAL | flags);

		if (sent > 0) {
			data += sent;
			length -= (size_t)sent;
			deadline = inet_now_ms() + PATIENCE_MS;
			continue;
		}
		if (errno != EAGAIN && errno != EINTR)
			return -errno;
		inet_make_room(to, room);
		room *= 2;
		if (await(from, POLLOUT, inet_now_ms() + 50) < 0 &&
		    inet_now_ms() > deadline)
			return -ETIMEDOUT;
	}
	return 0;
}

/* What does not come has no room there; the kernel keeps it at the sender. */
static void await_arrival(int to, size_t length)
{
	int64_t deadline = inet_now_ms() + 1000;
	struct pollfd arrived = {to, POLLIN, 0};
	int before = -1;

	while ((size_t)waiting(to) < length && inet_now_ms() < deadline) {
		if (waiting(to) != before)
			deadline = inet_now_ms() + 1000;
		else
			inet_make_room(to, 2 * length + ROOM);
		before = waiting(to);
		set_int(to, SOL_SOCKET, SO_RCVLOWAT, (int)length);
		poll(&arrived, 1, 5);
	}
	set_int(to, SOL_SOCKET, SO_RCVLOWAT, 1);
}

/* The queue of `to`, through `from`. The byte at the mark is urgent. */
static int fill(const struct inet_view *queue, int from, int to)
{
	const struct inet_record *record = queue->record;
	const unsigned char *data = queue->queue;
	size_t length = record->unread, mark = record->mark;
	int no_delay = get_int(from, IPPROTO_TCP, TCP_NODELAY);
	int cork = get_int(from, IPPROTO_TCP, TCP_CORK);
	int ret = 0;
	char byte;

	if (!length)
		return 0;
	set_int(from, IPPROTO_TCP, TCP_CORK, 0);
	set_int(from, IPPROTO_TCP, TCP_NODELAY, 1);
	set_int(to, SOL_SOCKET, SO_OOBINLINE, 1); /* all bytes are counted */
	inet_make_room(to, 2 * length + ROOM);
	if (mark < length) {
		ret = put(from, to, data, mark, 0);
		if (ret == 0)
			ret = put(from, to, data + mark, 1, MSG_OOB);
		if (ret == 0)
			ret = put(from, to, data + mark + 1,
				  length - mark - 1, 0);
	} else {
		ret = put(from, to, data, length, 0);
	}
	if (ret == 0)
		await_arrival(to, length);
	set_int(to, SOL_SOCKET, SO_OOBINLINE, 0);
	if (mark < length && (record->flags & INET_URGENT_READ))
		recv(to, &byte, 1, MSG_OOB | MSG_DONTWAIT);
	set_int(from, IPPROTO_TCP, TCP_NODELAY, no_delay);
	set_int(from, IPPROTO_TCP, TCP_CORK, cork);
	return ret;
}

void inet_close_halves(const struct inet_record *record, int fd)
{
	if (record->flags & INET_OVER) {
		shutdown(fd, SHUT_RDWR);
		return;
	}
	if (record->flags & INET_SENT_END)
		shutdown(fd, SHUT_WR);
	if (record->flags & INET_DEAF)
		shutdown(fd, SHUT_RD);
}

/* Known to be: another host's kernel forgets in time who has closed. */
static int is_gone(const struct inet_record *record)
{
	return (record->flags & INET_PAIRED) ||
	       (!record->peer_ino &&
		(record->flags & (INET_PEER_HERE | INET_PEER_CLOSED)));
}

/* The other end has gone, what it had sent is there, and its end. */
static int alone(struct ckpt_restore *r, const struct inet_view *view)
{
	struct pollfd over = {-1, POLLRDHUP, 0};
	struct inet_view queue;
	struct ends ends;
	int ret = make_pair(view->record, &ends);
	char text[INET_TEXT];

	if (ret < 0)
		return ret;
	if (!is_gone(view->record) &&
	    !(view->record->flags & (INET_SENT_END | INET_OVER)))
		ckpt_report(r, "%s: its connection to %s, which has sent its "
			       "end, is lost: what the program still sends "
			       "is reset",
			    view->object->label,
			    inet_text(&view->record->peer_name, text,
				      sizeof(text)));
	if (inet_queue_of(r, view->object, &queue))
		ret = fill(&queue, ends.passive, ends.active);
	if (ret < 0)
		ckpt_report(r, "%s: what it had not read yet cannot be put "
			       "back: %s", view->object->label, strerror(-ret));
	close(ends.passive);
	over.fd = ends.active;
	poll(&over, 1, PATIENCE_MS);
	inet_close_halves(view->record, ends.active);
	return ends.active;
}

/* Closing without lingering resets the other end; what it has received by
 * then can still be read. */
static int lost(struct ckpt_restore *r, const struct inet_view *view)
{
	const struct linger at_once = {1, 0};
	struct inet_view queue;
	char text[INET_TEXT];
	struct ends ends;

	if (!(view->record->flags & INET_RESET))
		ckpt_report(r, "%s: its connection to %s is lost: the program "
			       "finds it reset by the peer",
			    view->object->label,
			    inet_text(&view->record->peer_name, text,
				      sizeof(text)));
	if (make_pair(view->record, &ends) < 0)
		/* No loopback here: one that never was connected. */
		return inet_single(r, view);
	if (inet_queue_of(r, view->object, &queue))
		fill(&queue, ends.passive, ends.active);
	setsockopt(ends.passive, SOL_SOCKET, SO_LINGER, &at_once,
		   sizeof(at_once));
	close(ends.passive);
	return ends.active;
}

/* ---- connections ---- */

void inet_tell_names(struct ckpt_restore *r, const struct inet_view *view,
		     int fd, int error)
{
	struct inet_name own = inet_own(fd), peer = inet_peer(fd);
	char a[INET_TEXT], b[INET_TEXT], c[INET_TEXT], d[INET_TEXT];

	if (inet_is_same(&own, &view->record->name) &&
	    inet_is_same(&peer, &view->record->peer_name))
		return;
	ckpt_report(r, "%s: its connection from %s to %s goes from %s to %s "
		       "now (%s)", view->object->label,
		    inet_text(&view->record->name, a, sizeof(a)),
		    inet_text(&view->record->peer_name, b, sizeof(b)),
		    inet_text(&own, c, sizeof(c)),
		    inet_text(&peer, d, sizeof(d)),
		    error ? strerror(error) : "not the old addresses");
}

/* `mine` has been accepted at `listening`, or calls; the peer is the other. */
static int join_ends(struct ckpt_restore *r, const struct inet_view *mine,
		     const struct inet_view *other, int listening,
		     int was_called)
{
	const struct inet_record *active, *passive;
	struct ends ends, swapped;
	int ret, fd, peer;

	active = was_called ? other->record : mine->record;
	passive = was_called ? mine->record : other->record;
	/* Without a listener it is not known who has called: both ways. */
	ret = listening >= 0 ? -ENOENT :
			       make_near(passive, active, -1, NEAR_NOW,
					 &swapped);
	if (ret == 0)
		ends = (struct ends){swapped.passive, swapped.active, 0};
	else
		ret = make_ends(active, passive, listening, &ends);
	if (ret < 0)
		return ret;
	fd = was_called ? ends.passive : ends.active;
	peer = was_called ? ends.active : ends.passive;
	inet_tell_names(r, mine, fd, ends.error);
	ret = ckpt_adopt(r, other->object->id, peer);
	if (ret == 0)
		return fd;
	close(fd);
	return ret;
}

struct caller {
	const struct ckpt_object *object;
	uint32_t since;
};

static int caller_order(const void *a, const void *b)
{
	const struct caller *x = a, *y = b;

	/* In one tick of the clock: in the order of their numbers. */
	if (x->since != y->since)
		return (int32_t)(x->since - y->since) < 0 ? -1 : 1;
	if (x->object->pid != y->object->pid)
		return x->object->pid < y->object->pid ? -1 : 1;
	return (x->object->first_fd > y->object->first_fd) -
	       (x->object->first_fd < y->object->first_fd);
}

/* Those that wait at this listener, the oldest first. */
static size_t find_callers(struct ckpt_restore *r,
			   const struct ckpt_object *listener,
			   struct caller **callers)
{
	const struct ckpt_object *o = NULL;
	struct inet_view view;
	size_t count = 0, room = 0;

	*callers = NULL;
	while ((o = ckpt_object_by_inode(r, INET_KIND, 0, o))) {
		if (inet_view(o, &view) < 0 ||
		    !(view.record->flags & INET_WAITS) ||
		    (view.record->flags & INET_PAIRED) ||
		    inet_listener_of(r, &view.record->peer_name) != listener)
			continue;
		if (count == room) {
			struct caller *more;

			room = room ? 2 * room : 16;
			more = realloc(*callers, room * sizeof(*more));
			if (!more)
				break;
			*callers = more;
		}
		(*callers)[count++] = (struct caller){o, view.record->since_ms};
	}
	if (count)
		qsort(*callers, count, sizeof(**callers), caller_order);
	return count;
}

/* Who waits to be accepted calls again, in the old order. */
static void call_all(struct ckpt_restore *r, const struct inet_view *view,
		     int listening, const struct caller *callers, size_t count,
		     size_t remote)
{
	struct inet_view caller;
	size_t i;

	for (i = 0; i < count; i++) {
		const struct ckpt_object *o = callers[i].object;
		enum nearness near;
		int fd = -ENOENT;

		if (inet_view(o, &caller) < 0 || ckpt_object_fd(r, o->id) >= 0)
			continue;
		for (near = NEAR_NOW; fd < 0 && near < NEAR_END; near++) {
			struct inet_name to = place_of(
				listening, &caller.record->peer_name, near);

			fd = call_near(caller.record, near, &to);
		}
		if (fd < 0)
			continue; /* inet_open_stream() makes it, as lost */
		inet_tell_names(r, &caller, fd, 0);
		ckpt_adopt(r, o->id, fd);
	}
	if (view->record->waiting > count + remote)
		ckpt_report(r, "%s: %zu connections from outside that nobody "
			       "had accepted yet are gone", view->object->label,
			    view->record->waiting - count - remote);
}

/* All that were accepted there; for those who call now must stay. */
static void accept_all(struct ckpt_restore *r, const struct inet_view *listener,
		       int listening)
{
	const struct ckpt_object *o = NULL, *peer;
	struct inet_view mine, other;
	int fd;

	while ((o = ckpt_object_by_inode(r, INET_KIND, 0, o))) {
		if (inet_view(o, &mine) < 0 ||
		    !(mine.record->flags & INET_STREAM) ||
		    ckpt_object_fd(r, o->id) >= 0 ||
		    inet_listener_of(r, &mine.record->name) != listener->object)
			continue;
		peer = peer_of(r, mine.record);
		if (!peer || peer->id == o->id ||
		    ckpt_object_fd(r, peer->id) >= 0 ||
		    inet_view(peer, &other) < 0)
			continue;
		fd = join_ends(r, &mine, &other, listening, 1);
		if (fd >= 0)
			ckpt_adopt(r, o->id, fd);
	}
}

void inet_call_all(struct ckpt_restore *r, const struct inet_view *view,
		   int listening, size_t remote)
{
	struct caller *callers;
	size_t count = find_callers(r, view->object, &callers);

	call_all(r, view, listening, callers, count, remote);
	free(callers);
}

/* Two may be bound to one port, but one may listen only. */
static int listen_elsewhere(struct ckpt_restore *r,
			    const struct inet_view *view, int *fd)
{
	struct inet_name name = without_port(&view->record->name), own;
	char old[INET_TEXT], new[INET_TEXT];
	int other = inet_new(view->record);

	if (other < 0 || inet_bind(other, &name) < 0 ||
	    listen(other, SOMAXCONN) < 0) {
		if (other >= 0)
			close(other);
		return -1;
	}
	close(*fd);
	*fd = other;
	own = inet_own(other);
	ckpt_report(r, "%s: cannot have the address %s again: somebody else "
		       "listens there; it has %s now", view->object->label,
		    inet_text(&view->record->name, old, sizeof(old)),
		    inet_text(&own, new, sizeof(new)));
	return 0;
}

static int open_listener(struct ckpt_restore *r, const struct inet_view *view)
{
	int fd = inet_single(r, view);
	struct caller *callers;
	size_t count;

	if (fd < 0)
		return fd;
	count = find_callers(r, view->object, &callers);
	/* As many as have to be, until inet_connect_stream(). */
	if (listen(fd, SOMAXCONN) < 0 &&
	    (errno != EADDRINUSE || listen_elsewhere(r, view, &fd) < 0))
		ckpt_report(r, "%s: cannot listen again: %m",
			    view->object->label);
	else if (count || inet_is_meeting)
		accept_all(r, view, fd);
	if (!inet_is_meeting)
		call_all(r, view, fd, callers, count, 0);
	free(callers);
	return fd;
}

/* Makes it if need be, and then who waits there. */
int inet_listener_fd(struct ckpt_restore *r, const struct ckpt_object *o)
{
	struct inet_view view;
	int fd = ckpt_object_fd(r, o->id), ret;

	if (fd >= 0)
		return fd;
	ret = inet_view(o, &view);
	if (ret < 0)
		return ret;
	fd = open_listener(r, &view);
	if (fd < 0)
		return fd;
	ret = ckpt_adopt(r, o->id, fd);
	return ret < 0 ? ret : ckpt_object_fd(r, o->id);
}

/* Of the two, the one at whose name somebody listens was called. */
static int joined(struct ckpt_restore *r, const struct inet_view *mine,
		  const struct ckpt_object *peer)
{
	const struct ckpt_object *listener;
	int was_called = 1, listening = -1;
	struct inet_view other;
	int ret = inet_view(peer, &other);

	if (ret < 0)
		return ret;
	listener = inet_listener_of(r, &mine->record->name);
	if (!listener) {
		listener = inet_listener_of(r, &other.record->name);
		was_called = !listener;
	}
	if (listener)
		listening = inet_listener_fd(r, listener);
	if (ckpt_object_fd(r, mine->object->id) >= 0)
		return -EALREADY;
	return join_ends(r, mine, &other, listening, was_called);
}

/* One that has called itself. */
static int joined_itself(const struct inet_view *view)
{
	int fd = inet_new(view->record);
	int ret = fd < 0 ? fd : inet_bind(fd, &view->record->name);

	if (ret == 0)
		ret = inet_call(fd, &view->record->name);
	if (ret == 0 || fd < 0)
		return fd;
	close(fd);
	return ret;
}

int inet_open_stream(struct ckpt_restore *r, const struct inet_view *view)
{
	const struct inet_record *record = view->record;
	const struct ckpt_object *peer = peer_of(r, record), *listener;
	int fd = -1;

	if (record->flags & INET_LISTENS)
		return open_listener(r, view);
	if (!(record->flags & INET_STREAM))
		return inet_single(r, view);
	if (peer && peer->id == view->object->id)
		fd = joined_itself(view);
	else if (peer && ckpt_object_fd(r, peer->id) < 0)
		fd = joined(r, view, peer);
	if (fd >= 0 || fd == -EALREADY)
		return fd;
	if (!peer && record->standard >= 0)
		return ckpt_standard_stream(r, record->standard);
	listener = (record->flags & (INET_WAITS | INET_PAIRED)) == INET_WAITS ?
			   inet_listener_of(r, &record->peer_name) : NULL;
	if (listener && inet_listener_fd(r, listener) >= 0 &&
	    ckpt_object_fd(r, view->object->id) >= 0)
		return -EALREADY;
	/* Whoever has sent its end has sent all that the program can read. */
	if (record->flags & (INET_OVER | INET_GOT_END))
		fd = alone(r, view);
	return fd >= 0 ? fd : lost(r, view);
}

/* ---- when all exist ---- */

/* No answer yet, or one that the program has not seen. */
static void call_again(struct ckpt_restore *r, const struct inet_view *view,
		       int fd)
{
	const struct inet_name *to = &view->record->peer_name;
	struct inet_name nobody = inet_loopback(view->record->domain);
	int flags = fcntl(fd, F_GETFL), deaf = -1, ret;

	if (view->record->flags & INET_UNANSWERED) {
		/* A name at which nobody listens. */
		deaf = socket(view->record->domain, SOCK_STREAM, 0);
		if (deaf < 0 || inet_bind(deaf, &nobody) < 0)
			goto out;
		nobody = inet_own(deaf);
		to = &nobody;
	}
	if (!to->length)
		goto out;
	set_blocking(fd, 0);
	ret = connect(fd, inet_address(to), to->length);
	if (ret < 0 && errno != EINPROGRESS)
		ckpt_report(r, "%s: cannot be connected again: %m",
			    view->object->label);
	fcntl(fd, F_SETFL, flags);
out:
	if (deaf >= 0)
		close(deaf);
}

static int connect_joined(struct ckpt_restore *r, const struct inet_view *view,
			  const struct ckpt_object *peer, int fd)
{
	int other = ckpt_object_fd(r, peer->id), ret = 0;
	struct inet_view queue;

	if (inet_queue_of(r, view->object, &queue))
		ret = fill(&queue, other, fd);
	if (ret < 0) {
		ckpt_report(r, "%s: what it had not read yet cannot be put "
			       "back: %s", view->object->label, strerror(-ret));
		return ret;
	}
	/* The second of the two closes halves, when both are full. */
	if (peer->id <= view->object->id) {
		if (inet_view(peer, &queue) == 0 && peer->id != view->object->id)
			inet_close_halves(queue.record, other);
		inet_close_halves(view->record, fd);
	}
	return 0;
}

int inet_connect_stream(struct ckpt_restore *r, const struct inet_view *view,
			int fd)
{
	const struct inet_record *record = view->record;
	const struct ckpt_object *peer = peer_of(r, record);
	int ret = 0;

	if ((record->flags & INET_STREAM) && !peer && record->standard >= 0)
		return 0; /* ckpt_restart's */
	if (record->flags & INET_LISTENS)
		listen(fd, (int)record->backlog);
	else if (record->flags & INET_WAITS)
		inet_close_halves(record, fd);
	else if (record->flags & (INET_CONNECTING | INET_UNANSWERED))
		call_again(r, view, fd);
	else if (peer)
		ret = connect_joined(r, view, peer, fd);
	inet_late(r, view, fd);
	return ret;
}
