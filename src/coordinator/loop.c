/* SPDX-License-Identifier: MIT */
/*
 * The event loop. Peers are strangers until wire_is_open(); a bad one is
 * dropped with a line in the log and nothing else happens.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "coordinator/coordinator.h"
#include "util/cookie.h"
#include "util/log.h"
#include "util/runtime.h"

#define HANDSHAKE_MS 10000
#define STRANGERS_MAX 64 /* connections that have not proven anything yet */
#define ENDING_MS 1000	 /* for the last answers */

struct watch { /* a descriptor that is no peer's */
	int fd;
	void (*ready)(void);
};

static struct {
	int epoll;
	int listener, signals;
	struct connection *connections;
	struct watch console;
	int ending, status;
	int64_t accept_again; /* out of descriptors: not before this */
} loop = {.epoll = -1,
	  .listener = -1,
	  .signals = -1,
	  .console.fd = -1,
	  .accept_again = NEVER};

int64_t loop_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000LL + now.tv_nsec / 1000000;
}

void loop_end(int status)
{
	loop.ending = 1;
	loop.status = status;
}

static int poll_add(int fd, void *who, uint32_t events)
{
	struct epoll_event event = {.events = events, .data.ptr = who};

	return epoll_ctl(loop.epoll, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno
								    : 0;
}

int loop_watch(int fd, void (*ready)(void))
{
	loop.console.fd = fd;
	loop.console.ready = ready;
	return poll_add(fd, &loop.console, EPOLLIN);
}

void loop_unwatch(int fd)
{
	epoll_ctl(loop.epoll, EPOLL_CTL_DEL, fd, NULL);
	loop.console.fd = -1;
}

/* ---- connections ---- */

void connection_drop(struct connection *connection, const char *format, ...)
{
	char text[512];
	va_list args;

	if (connection->doomed)
		return;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	log_line("%s dropped: %s", wire_address(connection->peer), text);
	connection->doomed = 1;
}

/* Poll for what it needs now. */
static void connection_poll(struct connection *connection)
{
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = connection};

	if (wire_wants_write(connection->peer))
		event.events |= EPOLLOUT;
	if (event.events == connection->polled)
		return;
	connection->polled = event.events;
	epoll_ctl(loop.epoll, EPOLL_CTL_MOD, wire_fd(connection->peer), &event);
}

void connection_send(struct connection *connection, enum wire_type type,
		     json_t *body)
{
	int ret;

	if (!connection || connection->doomed) {
		json_decref(body);
		return;
	}
	ret = wire_send(connection->peer, type, body);
	if (ret == -ECONNRESET)
		connection->doomed = 1;
	else if (ret < 0)
		connection_drop(connection, "%s not sent: %s", wire_name(type),
				*wire_error(connection->peer)
					? wire_error(connection->peer)
					: strerror(-ret));
	else
		connection_poll(connection);
}

int connections_of_clients(void)
{
	struct connection *c;
	int count = 0;

	for (c = loop.connections; c; c = c->next)
		count += c->client && !c->doomed;
	return count;
}

static int strangers(void)
{
	struct connection *c;
	int count = 0;

	for (c = loop.connections; c; c = c->next)
		count += !wire_is_open(c->peer);
	return count;
}

static void accept_one(void)
{
	struct connection *connection;
	int fd = accept4(loop.listener, NULL, NULL,
			 SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd < 0) {
		if (errno == EMFILE || errno == ENFILE || errno == ENOMEM ||
		    errno == ENOBUFS) {
			log_line("cannot accept: %s", strerror(errno));
			/* It stays readable: look away for a while. */
			epoll_ctl(loop.epoll, EPOLL_CTL_DEL, loop.listener,
				  NULL);
			loop.accept_again = loop_now() + 1000;
		}
		return;
	}
	if (strangers() >= STRANGERS_MAX) {
		log_line("a connection dropped: %d others have not said who "
			 "they are",
			 STRANGERS_MAX);
		close(fd);
		return;
	}
	connection = calloc(1, sizeof(*connection));
	if (!connection) {
		close(fd);
		return;
	}
	connection->peer = wire_accept(fd, settings.cookie);
	if (!connection->peer) {
		free(connection);
		return;
	}
	connection->deadline = loop_now() + HANDSHAKE_MS;
	connection->next = loop.connections;
	loop.connections = connection;
	connection->polled = EPOLLIN;
	if (poll_add(fd, connection, EPOLLIN) < 0)
		connection->doomed = 1;
	connection_poll(connection);
}

static const struct {
	unsigned int from;
	void (*handler)(struct connection *connection, json_t *body);
} handlers[WIRE_TYPE_COUNT] = {
#define TO_COORDINATOR(id, from, handler) [WIRE_##id] = {from, handler},
#include "wire/messages.def"
};

static void dispatch(struct connection *connection, enum wire_type type,
		     json_t *body)
{
	if (!(handlers[type].from & wire_role(connection->peer))) {
		connection_drop(connection, "may not say %s", wire_name(type));
		return;
	}
	/* An agent's first word is who it looks after. */
	if (wire_role(connection->peer) == ROLE_AGENT && !connection->group &&
	    type != WIRE_REGISTER) {
		connection_drop(connection, "%s before REGISTER",
				wire_name(type));
		return;
	}
	connection->deadline = NEVER;
	handlers[type].handler(connection, body);
}

static void connection_ready(struct connection *connection)
{
	int was_open = wire_is_open(connection->peer);
	enum wire_type type;
	json_t *body;
	int ret = wire_pump(connection->peer);

	if (!was_open && wire_is_open(connection->peer))
		connection->deadline = loop_now() + HANDSHAKE_MS;
	while (!connection->doomed &&
	       (ret = wire_next(connection->peer, &type, &body)) == 1) {
		dispatch(connection, type, body);
		json_decref(body);
	}
	if (connection->doomed)
		return;
	/* Who goes without having asked for anything is no news. */
	if (ret == -ECONNRESET)
		connection->doomed = 1;
	else if (ret < 0)
		connection_drop(connection, "%s", wire_error(connection->peer));
	else
		connection_poll(connection);
}

static void connection_free(struct connection *connection)
{
	if (connection->group) {
		connection->group->connection = NULL;
		group_lost(connection->group);
	}
	if (connection->client)
		client_free(connection->client);
	wire_close(connection->peer); /* epoll forgets it by itself */
	free(connection);
}

/* The end of a round: nobody holds a pointer to a doomed one any more. What
 * that sets off may doom others. */
static void bury(void)
{
	struct connection **at, *connection;
	int again;

	do {
		again = 0;
		for (at = &loop.connections; *at;) {
			connection = *at;
			if (!connection->doomed) {
				at = &connection->next;
				continue;
			}
			*at = connection->next;
			connection_free(connection);
			again = 1;
			break;
		}
	} while (again);
}

static void connections_expired(int64_t now)
{
	struct connection *c;

	for (c = loop.connections; c; c = c->next)
		if (c->deadline <= now)
			connection_drop(c, "says nothing");
	if (loop.accept_again <= now) {
		loop.accept_again = NEVER;
		poll_add(loop.listener, &loop.listener, EPOLLIN);
	}
}

static int64_t connections_deadline(void)
{
	int64_t deadline = loop.accept_again;
	struct connection *c;

	for (c = loop.connections; c; c = c->next)
		if (c->deadline < deadline)
			deadline = c->deadline;
	return deadline;
}

/* ---- the loop ---- */

static const struct {
	int64_t (*deadline)(void);
	void (*expired)(int64_t now);
} timers[] = {
	{connections_deadline, connections_expired},
	{groups_deadline, groups_expired},
	{checkpoint_deadline, checkpoint_expired},
	{clients_deadline, clients_expired},
	{interval_deadline, interval_expired},
	{computation_deadline, computation_expired},
};

#define ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))

static int time_left(void)
{
	int64_t first = NEVER, now = loop_now();

	for (size_t i = 0; i < ARRAY_SIZE(timers); i++)
		if (timers[i].deadline() < first)
			first = timers[i].deadline();
	if (first == NEVER)
		return -1;
	if (first <= now)
		return 0;
	return first - now > 60000 ? 60000 : first - now + 1;
}

static void run_timers(void)
{
	int64_t now = loop_now();

	for (size_t i = 0; i < ARRAY_SIZE(timers); i++)
		if (timers[i].deadline() <= now)
			timers[i].expired(now);
}

static void signalled(void)
{
	struct signalfd_siginfo info;

	if (read(loop.signals, &info, sizeof(info)) != sizeof(info))
		return;
	log_line("ended by signal %u; what runs goes on running",
		 info.ssi_signo);
	loop_end(0);
}

static int open_loop(int listener)
{
	sigset_t set;

	loop.epoll = epoll_create1(EPOLL_CLOEXEC);
	if (loop.epoll < 0)
		return -errno;
	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	loop.signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (loop.signals < 0)
		return -errno;
	loop.listener = listener;
	poll_add(loop.signals, &loop.signals, EPOLLIN);
	return poll_add(listener, &loop.listener, EPOLLIN);
}

static void handle(const struct epoll_event *event)
{
	struct connection *connection = event->data.ptr;

	if (event->data.ptr == &loop.listener)
		accept_one();
	else if (event->data.ptr == &loop.signals)
		signalled();
	else if (event->data.ptr == &loop.console)
		loop.console.ready();
	else if (!connection->doomed)
		connection_ready(connection);
}

/* Last answers go out; a peer that does not take them does not keep us. */
static void say_goodbye(void)
{
	int64_t until = loop_now() + ENDING_MS;
	struct connection *c;

	if (!computation_exists()) /* nobody has to find us again */
		util_cookie_forget(settings.port);
	close(loop.listener);
	checkpoint_give_up("the coordinator was ended");
	for (c = loop.connections; c; c = c->next)
		if (!c->doomed && wire_is_open(c->peer) && loop_now() < until)
			wire_flush(c->peer, until - loop_now());
}

int loop_run(int listener)
{
	struct epoll_event events[32];
	int n, ret = open_loop(listener);

	if (ret < 0)
		return ret;
	console_open();
	while (!loop.ending) {
		n = epoll_wait(loop.epoll, events, ARRAY_SIZE(events),
			       time_left());
		for (int i = 0; i < n; i++)
			handle(&events[i]);
		run_timers();
		bury();
		clients_look_again();
	}
	say_goodbye();
	console_close();
	return loop.status;
}
