/* SPDX-License-Identifier: MIT */
/* Peers: the handshake, frames whole and in pieces, and peers that lie. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <check.h>
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "wire/peer.h"

#define DEADLINE_MS 10000

static const unsigned char right[WIRE_COOKIE_BYTES] = "the right cookie";
static const unsigned char wrong[WIRE_COOKIE_BYTES] = "another cookie";

static int listener, port;

static void listen_somewhere(void)
{
	struct sockaddr_in here = {.sin_family = AF_INET};
	socklen_t length = sizeof(here);

	here.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	listener = socket(AF_INET, SOCK_STREAM, 0);
	ck_assert_int_eq(bind(listener, (struct sockaddr *)&here, length), 0);
	ck_assert_int_eq(listen(listener, 16), 0);
	getsockname(listener, (struct sockaddr *)&here, &length);
	port = ntohs(here.sin_port);
}

static struct wire_peer *dial(const unsigned char *cookie, enum wire_role role)
{
	char err[256] = "";
	struct wire_peer *peer =
		wire_dial("127.0.0.1", port, cookie, role, err, sizeof(err));

	ck_assert_msg(peer != NULL, "%s", err);
	return peer;
}

static struct wire_peer *admit(const unsigned char *cookie)
{
	int fd = accept(listener, NULL, NULL);
	struct wire_peer *peer;

	ck_assert_int_ge(fd, 0);
	peer = wire_accept(fd, cookie);
	ck_assert_ptr_nonnull(peer);
	return peer;
}

/* Lets two peers of one thread work until both are settled or one failed. */
static void shake(struct wire_peer *a, struct wire_peer *b, int *ra, int *rb)
{
	*ra = *rb = 0;
	for (int i = 0; i < 1000 && !(*ra < 0 || *rb < 0); i++) {
		struct pollfd fds[2] = {
			{wire_fd(a), POLLIN, 0},
			{wire_fd(b), POLLIN, 0},
		};

		*ra = wire_pump(a);
		*rb = wire_pump(b);
		if (wire_is_open(a) && wire_is_open(b))
			return;
		poll(fds, 2, 10);
	}
}

static void open_pair(struct wire_peer **client, struct wire_peer **server,
		      enum wire_role role)
{
	int a, b;

	*client = dial(right, role);
	*server = admit(right);
	shake(*client, *server, &a, &b);
	ck_assert(wire_is_open(*client));
	ck_assert(wire_is_open(*server));
}

START_TEST(both_know_the_cookie)
{
	struct wire_peer *client, *server;

	open_pair(&client, &server, ROLE_AGENT);
	ck_assert_int_eq(wire_role(server), ROLE_AGENT);
	ck_assert_int_eq(wire_role(client), ROLE_COORDINATOR);
	ck_assert_str_eq(wire_error(client), "");
	wire_close(client);
	wire_close(server);
}
END_TEST

START_TEST(client_with_wrong_cookie)
{
	struct wire_peer *client = dial(wrong, ROLE_COMMAND);
	struct wire_peer *server = admit(right);
	int a, b;

	shake(client, server, &a, &b);
	ck_assert_int_eq(b, -EACCES);
	ck_assert(!wire_is_open(server));
	ck_assert(!wire_is_open(client));
	ck_assert_str_eq(wire_error(server), "does not know the cookie");
	/* The error stays, and nothing can be sent or read. */
	ck_assert_int_eq(wire_send(server, WIRE_REPLY, json_object()), -EACCES);
	wire_close(server);
	wire_close(client);
}
END_TEST

START_TEST(connect_says_why)
{
	char err[256];
	pid_t child = fork();
	struct wire_peer *peer;

	if (!child) {
		struct wire_peer *server = admit(right);
		struct pollfd pfd = {wire_fd(server), POLLIN, 0};

		while (wire_pump(server) == 0)
			poll(&pfd, 1, DEADLINE_MS);
		_exit(0);
	}
	peer = wire_connect("127.0.0.1", port, wrong, ROLE_COMMAND, DEADLINE_MS,
			    err, sizeof(err));
	ck_assert_ptr_null(peer);
	ck_assert_ptr_nonnull(strstr(err, "cookie"));
	waitpid(child, NULL, 0);
	close(listener);
	peer = wire_connect("127.0.0.1", port, right, ROLE_COMMAND, DEADLINE_MS,
			    err, sizeof(err));
	ck_assert_ptr_null(peer);
	ck_assert_int_eq(errno, ECONNREFUSED);
	ck_assert_ptr_nonnull(strstr(err, "no coordinator listens"));
}
END_TEST

START_TEST(connect_to_who_says_nothing)
{
	char err[256];
	struct wire_peer *peer = wire_connect(
		"127.0.0.1", port, right, ROLE_COMMAND, 100, err, sizeof(err));

	ck_assert_ptr_null(peer);
	ck_assert_int_eq(errno, ETIMEDOUT);
	ck_assert_ptr_nonnull(strstr(err, "does not answer"));
}
END_TEST

START_TEST(server_without_the_cookie)
{
	/* It lets anybody in; who dials must notice. */
	struct wire_peer *client = dial(right, ROLE_LAUNCH);
	struct wire_peer *server = admit(wrong);
	int a, b;

	shake(client, server, &a, &b);
	ck_assert(!wire_is_open(client));
	wire_close(client);
	wire_close(server);
}
END_TEST

static int receive_one(struct wire_peer *peer, enum wire_type *type,
		       json_t **body)
{
	return wire_receive(peer, type, body, DEADLINE_MS);
}

START_TEST(messages_keep_their_order)
{
	struct wire_peer *client, *server;
	enum wire_type type;
	json_t *body;

	open_pair(&client, &server, ROLE_AGENT);
	for (int i = 0; i < 1000; i++)
		ck_assert_int_eq(wire_send(client, WIRE_PROGRESS,
					   json_pack("{s:i}", "raw", i)),
				 0);
	for (int i = 0; i < 1000; i++) {
		ck_assert_int_eq(receive_one(server, &type, &body), 0);
		ck_assert_int_eq(type, WIRE_PROGRESS);
		ck_assert_int_eq(wire_int(body, "raw", -1), i);
		json_decref(body);
	}
	ck_assert_int_eq(wire_next(server, &type, &body), 0);
	wire_close(client);
	wire_close(server);
}
END_TEST

/* Larger than the sockets' buffers: both sides have to go on by turns. */
START_TEST(a_large_message)
{
	struct wire_peer *client, *server;
	size_t length = WIRE_BODY_MAX - 100;
	char *text = malloc(length + 1);
	enum wire_type type;
	json_t *body;
	int ret;

	memset(text, 'x', length);
	text[length] = '\0';
	open_pair(&client, &server, ROLE_AGENT);
	ck_assert_int_eq(
		wire_send(client, WIRE_DONE, json_pack("{s:s}", "text", text)),
		0);
	ck_assert(wire_wants_write(client));
	while ((ret = wire_next(server, &type, &body)) == 0) {
		ck_assert_int_eq(wire_pump(client), 0);
		ck_assert_int_eq(wire_pump(server), 0);
	}
	ck_assert_int_eq(ret, 1);
	ck_assert_uint_eq(strlen(wire_string(body, "text", "")), length);
	ck_assert(!wire_wants_write(client));
	json_decref(body);
	/* One more byte than allowed is refused here, not there. */
	ck_assert_int_eq(
		wire_send(client, WIRE_DONE,
			  json_pack("{s:s, s:s}", "text", text, "more", text)),
		-EMSGSIZE);
	free(text);
	wire_close(client);
	wire_close(server);
}
END_TEST

START_TEST(who_does_not_read_is_given_up)
{
	struct wire_peer *client, *server;
	size_t length = 4 << 20;
	char *text = malloc(length + 1);
	int ret = 0, sent = 0;

	memset(text, 'x', length);
	text[length] = '\0';
	open_pair(&client, &server, ROLE_AGENT);
	while (ret == 0 && sent++ < 100)
		ret = wire_send(client, WIRE_DONE,
				json_pack("{s:s}", "text", text));
	ck_assert_int_eq(ret, -ENOBUFS);
	free(text);
	wire_close(client);
	wire_close(server);
}
END_TEST

START_TEST(what_came_before_the_end_counts)
{
	struct wire_peer *client, *server;
	enum wire_type type;
	json_t *body;

	open_pair(&client, &server, ROLE_AGENT);
	wire_send(client, WIRE_DONE, json_pack("{s:i}", "n", 1));
	wire_send(client, WIRE_LEAVING, json_object());
	wire_close(client);
	ck_assert_int_eq(receive_one(server, &type, &body), 0);
	ck_assert_int_eq(type, WIRE_DONE);
	json_decref(body);
	ck_assert_int_eq(receive_one(server, &type, &body), 0);
	ck_assert_int_eq(type, WIRE_LEAVING);
	json_decref(body);
	ck_assert_int_eq(receive_one(server, &type, &body), -ECONNRESET);
	wire_close(server);
}
END_TEST

START_TEST(a_body_must_be_an_object)
{
	struct wire_peer *client, *server;

	open_pair(&client, &server, ROLE_AGENT);
	/* json_pack() fails on what is not UTF-8: that must not pass for {}. */
	ck_assert_int_eq(wire_send(client, WIRE_DONE,
				   json_pack("{s:s}", "text", "\xff")),
			 -EINVAL);
	wire_close(client);
	wire_close(server);
}
END_TEST

/* ---- raw bytes from somebody who does not use peer.c ---- */

static int raw_connection(struct wire_peer **server)
{
	struct sockaddr_in to = {.sin_family = AF_INET,
				 .sin_port = htons(port)};
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	ck_assert_int_eq(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
	*server = admit(right);
	return fd;
}

static int verdict(struct wire_peer *server)
{
	struct pollfd pfd = {wire_fd(server), POLLIN, 0};

	poll(&pfd, 1, DEADLINE_MS);
	return wire_pump(server);
}

static void put_header(struct wire_header *header, uint16_t type,
		       uint32_t length)
{
	header->magic = htole32(WIRE_MAGIC);
	header->version = htole16(WIRE_VERSION);
	header->type = htole16(type);
	header->length = htole32(length);
}

START_TEST(strangers_are_refused)
{
	struct wire_header header;
	struct wire_peer *server;
	int fd;

	/* HTTP, known by its first four bytes */
	fd = raw_connection(&server);
	ck_assert_int_eq(write(fd, "GET ", 4), 4);
	ck_assert_int_eq(verdict(server), -EPROTO);
	wire_close(server);
	close(fd);

	/* another version */
	fd = raw_connection(&server);
	put_header(&header, WIRE_PROOF, 2);
	header.version = htole16(WIRE_VERSION + 1);
	ck_assert_int_eq(write(fd, &header, sizeof(header)), sizeof(header));
	ck_assert_int_eq(verdict(server), -EPROTO);
	ck_assert_ptr_nonnull(strstr(wire_error(server), "version"));
	wire_close(server);
	close(fd);

	/* a message before the handshake */
	fd = raw_connection(&server);
	put_header(&header, WIRE_KILL, 2);
	ck_assert_int_eq(write(fd, &header, sizeof(header)), sizeof(header));
	ck_assert_int_eq(write(fd, "{}", 2), 2);
	while (verdict(server) == 0)
		;
	ck_assert_int_eq(verdict(server), -EPROTO);
	wire_close(server);
	close(fd);

	/* a stranger may not make us keep much */
	fd = raw_connection(&server);
	put_header(&header, WIRE_PROOF, 1 << 20);
	ck_assert_int_eq(write(fd, &header, sizeof(header)), sizeof(header));
	ck_assert_int_eq(verdict(server), -EPROTO);
	ck_assert_ptr_nonnull(strstr(wire_error(server), "too long"));
	wire_close(server);
	close(fd);

	/* a type that there is not */
	fd = raw_connection(&server);
	put_header(&header, 999, 2);
	ck_assert_int_eq(write(fd, &header, sizeof(header)), sizeof(header));
	ck_assert_int_eq(verdict(server), -EPROTO);
	wire_close(server);
	close(fd);
}
END_TEST

START_TEST(malformed_proofs)
{
	static const char *const bodies[] = {
		"{}",
		"[]",
		"nonsense",
		"{\"role\": \"x\"}",
		"",
		"{\"role\": 1, \"nonce\": \"00\", \"proof\": \"zz\"}",
		"{\"role\": 1e99}",
		"{\"role\": 1, \"nonce\": null}",
	};

	for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
		struct wire_header header;
		struct wire_peer *server;
		int fd = raw_connection(&server), ret = 0;

		put_header(&header, WIRE_PROOF, strlen(bodies[i]));
		ck_assert_int_eq(write(fd, &header, sizeof(header)),
				 sizeof(header));
		ck_assert_int_eq(write(fd, bodies[i], strlen(bodies[i])),
				 strlen(bodies[i]));
		while (ret == 0)
			ret = verdict(server);
		ck_assert_int_eq(ret, -EPROTO);
		wire_close(server);
		close(fd);
	}
}
END_TEST

/* An authenticated peer whose bytes are then changed: through a relay that
 * passes the handshake on and adds rubbish of its own. */
START_TEST(malformed_after_the_handshake)
{
	static const struct {
		const char *bytes;
		uint32_t length; /* in the header */
		uint16_t type;
	} frames[] = {
		{"", 0, WIRE_STATUS}, /* no object */
		{"[1]", 3, WIRE_STATUS},
		{"{\"a\":", 5, WIRE_STATUS},
		{"\xff\xfe", 2, WIRE_STATUS},
		{"{}", WIRE_BODY_MAX + 1, WIRE_STATUS},
		{"{}", 2, 0},
	};

	for (size_t i = 0; i < sizeof(frames) / sizeof(frames[0]); i++) {
		struct wire_peer *client, *server;
		struct wire_header header;
		enum wire_type type;
		json_t *body;
		int ret;

		open_pair(&client, &server, ROLE_COMMAND);
		put_header(&header, frames[i].type, frames[i].length);
		send(wire_fd(client), &header, sizeof(header), 0);
		send(wire_fd(client), frames[i].bytes, strlen(frames[i].bytes),
		     0);
		ret = wire_receive(server, &type, &body, DEADLINE_MS);
		ck_assert_msg(ret == -EPROTO, "frame %zu: %d", i, ret);
		wire_close(client);
		wire_close(server);
	}
}
END_TEST

START_TEST(bytes_one_at_a_time)
{
	struct wire_peer *client, *server;
	struct wire_header header;
	unsigned char bytes[sizeof(header) + 8];
	enum wire_type type;
	json_t *body;

	open_pair(&client, &server, ROLE_COMMAND);
	put_header(&header, WIRE_INTERVAL, 8);
	memcpy(bytes, &header, sizeof(header));
	memcpy(bytes + sizeof(header), "{\"s\":17}", 8);
	for (size_t i = 0; i < sizeof(bytes); i++) {
		ck_assert_int_eq(wire_pump(server), 0);
		ck_assert_int_eq(wire_next(server, &type, &body), 0);
		ck_assert_int_eq(send(wire_fd(client), bytes + i, 1, 0), 1);
	}
	ck_assert_int_eq(receive_one(server, &type, &body), 0);
	ck_assert_int_eq(type, WIRE_INTERVAL);
	ck_assert_int_eq(wire_int(body, "s", 0), 17);
	json_decref(body);
	wire_close(client);
	wire_close(server);
}
END_TEST

/* A proof cannot be sent back to who made it, nor used a second time. */
START_TEST(proofs_are_not_reusable)
{
	struct wire_peer *client, *server, *second;
	unsigned char seen[4096];
	ssize_t n;
	int fd, a, b, ret = 0;

	client = dial(right, ROLE_COMMAND);
	server = admit(right);
	/* client to server, by hand, so that the bytes can be kept */
	for (int i = 0; i < 2; i++) {
		struct pollfd pfd = {wire_fd(client), POLLIN | POLLOUT, 0};

		poll(&pfd, 1, DEADLINE_MS);
		wire_pump(client);
	}
	struct pollfd pfd = {wire_fd(server), POLLIN, 0};

	ck_assert_int_eq(poll(&pfd, 1, DEADLINE_MS), 1);
	n = recv(wire_fd(server), seen, sizeof(seen), MSG_PEEK);
	ck_assert_int_gt(n, 0);
	shake(client, server, &a, &b);
	ck_assert(wire_is_open(server));
	fd = raw_connection(&second);
	ck_assert_int_eq(write(fd, seen, n), n);
	while (ret == 0)
		ret = verdict(second);
	ck_assert_int_eq(ret, -EACCES);
	wire_close(second);
	wire_close(client);
	wire_close(server);
	close(fd);
}
END_TEST

START_TEST(text_of_any_bytes)
{
	static const struct {
		const char *bytes, *text;
	} cases[] = {
		{"plain", "plain"},
		{"gr\xc3\xbc\xc3\x9f", "gr\xc3\xbc\xc3\x9f"},
		{"cut\xc3", "cut\\xc3"},
		{"\xff", "\\xff"},
		{"\xed\xa0\x80", "\\xed\\xa0\\x80"}, /* a surrogate */
		{"\xc0\xaf", "\\xc0\\xaf"},	     /* overlong */
		{"\xf0\x9f\x98\x80", "\xf0\x9f\x98\x80"},
		{"\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80"},
		{"", ""},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		json_t *json = wire_text(cases[i].bytes);

		ck_assert_ptr_nonnull(json);
		ck_assert_str_eq(json_string_value(json), cases[i].text);
		json_decref(json);
	}
}
END_TEST

START_TEST(fields)
{
	json_t *body = json_pack("{s:i, s:s, s:b}", "i", 7, "s", "x", "b", 1);

	ck_assert_int_eq(wire_int(body, "i", 0), 7);
	ck_assert_int_eq(wire_int(body, "s", 3), 3);
	ck_assert_int_eq(wire_int(body, "none", 3), 3);
	ck_assert_int_eq(wire_int(NULL, "i", 3), 3);
	ck_assert_str_eq(wire_string(body, "s", ""), "x");
	ck_assert_str_eq(wire_string(body, "i", "no"), "no");
	ck_assert_int_eq(wire_bool(body, "b", 0), 1);
	ck_assert_int_eq(wire_bool(body, "i", 0), 0);
	ck_assert_str_eq(wire_name(WIRE_JOIN), "JOIN");
	ck_assert_str_eq(wire_name(60000), "?");
	json_decref(body);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("wire");
	TCase *tc = tcase_create("peers");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tc, listen_somewhere, NULL);
	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, both_know_the_cookie);
	tcase_add_test(tc, client_with_wrong_cookie);
	tcase_add_test(tc, connect_says_why);
	tcase_add_test(tc, connect_to_who_says_nothing);
	tcase_add_test(tc, server_without_the_cookie);
	tcase_add_test(tc, messages_keep_their_order);
	tcase_add_test(tc, a_large_message);
	tcase_add_test(tc, who_does_not_read_is_given_up);
	tcase_add_test(tc, what_came_before_the_end_counts);
	tcase_add_test(tc, a_body_must_be_an_object);
	tcase_add_test(tc, strangers_are_refused);
	tcase_add_test(tc, malformed_proofs);
	tcase_add_test(tc, malformed_after_the_handshake);
	tcase_add_test(tc, bytes_one_at_a_time);
	tcase_add_test(tc, proofs_are_not_reusable);
	tcase_add_test(tc, text_of_any_bytes);
	tcase_add_test(tc, fields);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
