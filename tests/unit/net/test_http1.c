/* The server over HTTP/1, by hand-written bytes. */
#include "unit.h"

#include "ev/ev.h"
#include "http_server_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define MAX_BODY 100000

static int start(void **state)
{
	struct http_server_opts o = { .max_body = MAX_BODY };

	return fixture_setup(state, &o);
}

/* Sends, reads to the end of the connection. */
static char *exchange(struct fixture *f, const char *text)
{
	int fd = client_connect(f);
	char *got;

	client_sends(fd, text);
	got = client_read(fd, NULL, NULL);
	close(fd);
	return got;
}

#define assert_has(text, piece)                                          \
	do {                                                             \
		if (!strstr((text), (piece)))                            \
			fail_msg("'%s' is not in: %s", (piece), (text)); \
	} while (0)
#define assert_begins(text, piece)                                            \
	do {                                                                  \
		if (strncmp((text), (piece), strlen(piece)) != 0)             \
			fail_msg("'%s' does not begin: %s", (piece), (text)); \
	} while (0)

static void test_get(void **state)
{
	char *got = exchange(*state, "GET /echo?a=b HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");

	assert_begins(got, "HTTP/1.1 200 OK\r\n");
	assert_has(got, "content-length: 29\r\n");
	assert_has(got, "connection: close\r\n");
	assert_has(got, " GMT\r\n");
	assert_has(got, "\r\n\r\nGET /echo?a=b host=h v1 body=");
	free(got);
}

static void test_keep_alive_and_pipelining(void **state)
{
	char *got = exchange(
	    *state,
	    "\r\nGET /later?1 HTTP/1.1\r\nHost: h\r\n\r\n"
	    "POST /echo?2 HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc"
	    "POST /echo?3 HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\ndef\r\n2\r\ngh\r\n0\r\n\r\n"
	    "GET /nowhere HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
	    "GET /echo?ignored HTTP/1.1\r\nHost: h\r\n\r\n");
	const char *one = strstr(got, "GET /later?1 host=h v1 body="),
		   *two = strstr(got, "POST /echo?2 host=h v1 body=abc"),
		   *three = strstr(got, "POST /echo?3 host=h v1 body=defgh"), *four = strstr(got, "404 Not Found");

	(void)state;
	assert_true(one && two && three && four);
	assert_true(one < two && two < three && three < four);
	assert_null(strstr(got, "ignored"));
	free(got);
}

static void test_one_byte_at_a_time(void **state)
{
	const char *text = "POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
			   "5\r\nhello\r\n0\r\nTrailer: x\r\n\r\n";
	int fd = client_connect(*state);
	char *got;

	for (const char *p = text; *p; p++)
		client_send(fd, sv_make(p, 1));
	got = client_read(fd, NULL, NULL);
	assert_has(got, "POST /echo? host=h v1 body=hello");
	free(got);
	close(fd);
}

static void test_head_and_http10(void **state)
{
	char *got = exchange(*state, "HEAD /size?n=1000 HTTP/1.1\r\nHost: h\r\n\r\n"
				     "HEAD /stream?n=1000 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
	const char *second = strstr(got + 1, "HTTP/1.1 200 OK");

	assert_has(got, "content-length: 1000\r\n");
	assert_non_null(second);
	assert_string_equal(strstr(second, "\r\n\r\n"), "\r\n\r\n");
	free(got);

	got = exchange(*state, "GET /stream?n=10 HTTP/1.0\r\n\r\n");
	assert_null(strstr(got, "chunked"));
	assert_has(got, "\r\n\r\nabcdefghij");
	free(got);
	got = exchange(*state, "GET /echo HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET /echo HTTP/1.0\r\n\r\n");
	assert_has(got, "connection: keep-alive");
	assert_has(strstr(got + 1, "HTTP/1.1 200"), "connection: close");
	free(got);
}

static void test_expect_continue(void **state)
{
	int fd = client_connect(*state);
	char *got;

	client_sends(fd, "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n");
	got = client_read(fd, "\r\n\r\n", NULL);
	assert_string_equal(got, "HTTP/1.1 100 Continue\r\n\r\n");
	free(got);
	client_sends(fd, "ok");
	got = client_read(fd, "body=ok", NULL);
	assert_has(got, "200 OK");
	free(got);
	close(fd);
	/* Nobody is asked to send what will be refused. */
	got = exchange(*state,
		       "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 200000\r\nExpect: 100-continue\r\n\r\n");
	assert_begins(got, "HTTP/1.1 413 ");
	free(got);
}

static void test_too_large(void **state)
{
	struct fixture *f = *state;
	char *body = xmalloc(300000), *got;
	int fd, before = f->too_large;

	memset(body, 'x', 300000);
	fd = client_connect(f);
	client_sends(fd, "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 300000\r\n\r\n");
	client_send(fd, sv_make(body, 300000)); /* all of it: the answer must survive */
	got = client_read(fd, NULL, NULL);
	assert_begins(got, "HTTP/1.1 413 Payload Too Large\r\ncontent-type: application/json\r\n");
	assert_has(got, "connection: close");
	assert_has(got, "{\"code\":413}");
	free(got);
	close(fd);

	fd = client_connect(f);
	client_sends(fd, "POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n493e0\r\n");
	client_send(fd, sv_make(body, 300000));
	got = client_read(fd, NULL, NULL);
	assert_begins(got, "HTTP/1.1 413 ");
	free(got);
	close(fd);
	fixture_wait(f, &f->too_large, before + 2);

	/* The limit itself is allowed. */
	fd = client_connect(f);
	client_sends(fd, "POST /echo HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 100000\r\n\r\n");
	client_send(fd, sv_make(body, MAX_BODY));
	got = client_read(fd, NULL, NULL);
	assert_begins(got, "HTTP/1.1 200 OK");
	assert_int_equal(strlen(strstr(got, "body=") + 5), MAX_BODY);
	free(got);
	close(fd);
	free(body);
}

static const struct {
	const char *text, *begins;
} malformed[] = {
	{ "GET / HTTP/1.1\nHost: h\n\n", "HTTP/1.1 400 Bad Request\r\n" },
	{ "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
	  "HTTP/1.1 400 Bad Request\r\n" },
	{ "POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
	  "HTTP/1.1 400 Bad Request\r\n" },
	{ "GET / HTTP/3.0\r\nHost: h\r\n\r\n", "HTTP/1.1 505 HTTP Version Not Supported\r\n" },
	{ "\x16\x03\x01\x02\x01\xfc\x03\x03\n", "HTTP/1.1 400 Bad Request\r\n" },
	{ "PR(X / HTTP/1.1\r\nHost: h\r\n\r\n", "HTTP/1.1 400 Bad Request\r\n" },
};

static void test_malformed(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(malformed); i++) {
		char *got = exchange(*state, malformed[i].text);

		assert_begins(got, malformed[i].begins);
		assert_has(got, "content-type: text/plain");
		assert_null(strstr(got + 1, "HTTP/1.1 2"));
		free(got);
	}
}

static void test_endless_head(void **state)
{
	int fd = client_connect(*state);
	char line[1000], *got;

	memset(line, 'x', sizeof(line));
	memcpy(line, "X: ", 3);
	memcpy(line + sizeof(line) - 2, "\r\n", 2);
	client_sends(fd, "GET / HTTP/1.1\r\n");
	for (int i = 0; i < 70; i++)
		client_send(fd, sv_make(line, sizeof(line)));
	got = client_read(fd, NULL, NULL);
	assert_begins(got, "HTTP/1.1 431 ");
	free(got);
	close(fd);
}

/* The body of a chunked response; checks that it is well-formed and the pattern. */
static size_t read_pattern(char *text, size_t n)
{
	char *p = strstr(text, "\r\n\r\n") + 4, *end = text + n;
	size_t total = 0;

	for (;;) {
		char *rest;
		size_t size = strtoul(p, &rest, 16);

		assert_true(rest[0] == '\r' && rest[1] == '\n');
		p = rest + 2;
		assert_true((size_t)(end - p) >= size + 2);
		for (size_t i = 0; i < size; i++)
			assert_int_equal(p[i], 'a' + (total + i) % 26);
		p += size;
		total += size;
		assert_true(p[0] == '\r' && p[1] == '\n');
		p += 2;
		if (size == 0)
			break;
	}
	assert_ptr_equal(p, end);
	return total;
}

static void test_made_while_sent(void **state)
{
	struct fixture *f = *state;
	int fd = client_connect(f), released = f->sources_released;
	size_t n;
	char *got;

	client_sends(fd, "GET /source?n=3000000 HTTP/1.1\r\nHost: h\r\n\r\n"
			 "HEAD /source?n=3000000 HTTP/1.1\r\nHost: h\r\n\r\n"
			 "GET /source?n=0 HTTP/1.1\r\nHost: h\r\n\r\n"
			 "GET /source?n=3000000&unknown HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
	got = client_read(fd, "\r\n\r\n", NULL);
	assert_has(got, "content-length: 3000000\r\n");
	free(got);
	got = xmalloc(3000000);
	assert_int_equal(recv(fd, got, 3000000, MSG_WAITALL), 3000000);
	for (size_t i = 0; i < 3000000; i++)
		assert_true(got[i] == (char)('a' + i % 26));
	free(got);
	got = client_read(fd, "\r\n\r\n", NULL); /* no body follows */
	assert_has(got, "content-length: 3000000\r\n");
	free(got);
	got = client_read(fd, "\r\n\r\n", NULL);
	assert_has(got, "content-length: 0\r\n");
	free(got);
	got = client_read(fd, NULL, &n);
	assert_has(got, "transfer-encoding: chunked\r\n");
	assert_int_equal(read_pattern(got, n), 3000000);
	free(got);
	fixture_wait(f, &f->sources_released, released + 4);
	close(fd);
}

static void test_streaming_with_back_pressure(void **state)
{
	struct fixture *f = *state;
	int fd = client_connect(f), drains;
	size_t n;
	char *got;

	drains = f->drains;
	client_sends(fd, "GET /stream?n=20000000 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
	fixture_wait(f, &f->drains, drains + 1); /* it stopped: we have read nothing yet */
	got = client_read(fd, NULL, &n);
	assert_int_equal(read_pattern(got, n), 20000000);
	assert_true(f->drains > drains + 2);
	assert_true(f->most_queued < 600 * 1024);
	free(got);
	close(fd);
}

static void test_large_response(void **state)
{
	int fd = client_connect(*state);
	char *got, *body;
	size_t n;

	client_sends(fd, "GET /size?n=5000000 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
	got = client_read(fd, NULL, &n);
	body = strstr(got, "\r\n\r\n") + 4;
	assert_int_equal(n - (size_t)(body - got), 5000000);
	for (size_t i = 0; i < 5000000; i++) {
		if (body[i] != (char)('a' + i % 26))
			fail_msg("byte %zu", i);
	}
	free(got);
	close(fd);
}

static void test_torn(void **state)
{
	char *got = exchange(*state, "GET /torn HTTP/1.1\r\nHost: h\r\n\r\n");

	assert_has(got, "half an ans\r\n");
	assert_null(strstr(got, "\r\n0\r\n"));
	free(got);
}

static void test_client_gone(void **state)
{
	struct fixture *f = *state;
	int fd = client_connect(f), gone = f->gone, held = f->held, watches = f->watches;
	struct linger reset = { .l_onoff = 1 };

	client_sends(fd, "GET /hold HTTP/1.1\r\nHost: h\r\n\r\n");
	fixture_wait(f, &f->held, held + 1);
	close(fd);
	fixture_wait(f, &f->gone, gone + 1);

	fd = client_connect(f);
	client_sends(fd, "GET /watch HTTP/1.1\r\nHost: h\r\n\r\n");
	fixture_wait(f, &f->watches, watches + 1);
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	close(fd); /* RST */
	fixture_wait(f, &f->gone, gone + 2);
}

static void test_upgrade(void **state)
{
	struct fixture *f = *state;
	int fd = client_connect(f), closed = f->tunnels_closed;
	char *got;

	/* Bytes right behind the request belong to the tunnel. */
	client_sends(fd, "GET /upgrade HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\nearly");
	got = client_read(fd, "early", NULL);
	assert_begins(got, "HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nUpgrade: echo\r\n\r\nearly");
	free(got);
	client_sends(fd, "GET / not http\n\n");
	got = client_read(fd, "\n\n", NULL);
	assert_string_equal(got, "GET / not http\n\n");
	free(got);
	client_sends(fd, "bye");
	got = client_read(fd, NULL, NULL);
	assert_string_equal(got, "bye");
	free(got);
	close(fd);
	fixture_wait(f, &f->tunnels_closed, closed + 1);

	fd = client_connect(f);
	client_sends(fd, "GET /upgrade HTTP/1.1\r\nHost: h\r\n\r\n");
	free(client_read(fd, "\r\n\r\n", NULL));
	close(fd); /* without a word */
	fixture_wait(f, &f->tunnels_closed, closed + 2);
	got = exchange(f, "GET /upgrade HTTP/1.0\r\n\r\n");
	assert_begins(got, "HTTP/1.1 400 ");
	free(got);
}

static void test_headers_cannot_be_split(void **state)
{
	/* What is echoed into a body is harmless; the point is that the percent-decoded line ends
	 * of a query never become line ends of a head. */
	char *got = exchange(*state, "GET /echo?n=%0d%0aX:y HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");

	assert_has(got, "GET /echo?n=%0d%0aX:y host=h");
	free(got);
}

static void test_stop_lets_requests_finish(void **state)
{
	struct http_server_opts o = { .max_body = MAX_BODY };
	struct fixture f;
	char *got;
	int fd, idle;

	(void)state;
	fixture_start(&f, &o);
	idle = client_connect(&f);
	client_sends(idle, "GET /echo HTTP/1.1\r\nHost: h\r\n\r\n");
	free(client_read(idle, "body=", NULL));
	fd = client_connect(&f);
	client_sends(fd, "GET /hold HTTP/1.1\r\nHost: h\r\n\r\n");
	fixture_wait(&f, &f.held, 1);
	fixture_release(&f); /* queued on its loop before the stop */
	http_server_stop(f.server, 30 * NS_PER_SEC);
	f.server = NULL;
	got = client_read(fd, NULL, NULL);
	assert_has(got, "released");
	free(got);
	assert_true(client_at_end(idle));
	close(fd);
	close(idle);
	fixture_stop(&f, 0);
}

static void test_stop_ends_what_does_not_finish(void **state)
{
	struct http_server_opts o = { .max_body = MAX_BODY };
	struct fixture f;
	int fd;

	(void)state;
	fixture_start(&f, &o);
	fd = client_connect(&f);
	client_sends(fd, "GET /watch HTTP/1.1\r\nHost: h\r\n\r\n");
	fixture_wait(&f, &f.watches, 1);
	fixture_stop(&f, 0);
	assert_int_equal(f.gone, 1);
	free(client_read(fd, NULL, NULL));
	close(fd);
}

static void test_unix_socket_and_connection_limit(void **state)
{
	char dir[] = "/tmp/http1-XXXXXX", path[64], bind[80];
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	struct http_server_opts o = { .max_body = MAX_BODY, .max_connections = 1 };
	struct fixture f;
	int a, b;

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/s", dir);
	snprintf(bind, sizeof(bind), "unix:%s", path);
	strcpy(un.sun_path, path);
	o.bind_address = bind;
	fixture_start(&f, &o);
	a = socket(AF_UNIX, SOCK_STREAM, 0);
	b = socket(AF_UNIX, SOCK_STREAM, 0);
	assert_int_equal(connect(a, (struct sockaddr *)&un, sizeof(un)), 0);
	client_sends(a, "GET /peer HTTP/1.1\r\nHost: h\r\n\r\n");
	free(client_read(a, "from=@", NULL));
	/* The second waits in the kernel until the first leaves. */
	assert_int_equal(connect(b, (struct sockaddr *)&un, sizeof(un)), 0);
	client_sends(b, "GET /echo?second HTTP/1.1\r\nHost: h\r\n\r\n");
	client_sends(a, "GET /echo?first HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
	free(client_read(a, NULL, NULL));
	close(a);
	free(client_read(b, "/echo?second", NULL));
	close(b);
	fixture_stop(&f, 0);
	assert_int_equal(access(path, F_OK), -1);
	rmdir(dir);
}

static void test_bad_addresses(void **state)
{
	struct ev_loop *l = ev_loop_new(NULL);
	struct http_server_opts o = { .bind_address = "not-an-address" };
	_cleanup_(err_release) struct err err = ERR_INIT;

	(void)state;
	assert_null(http_server_start(&l, 1, &o, &err));
	assert_string_equal(err.msg, "listening on 'not-an-address': not an address");
	ev_loop_free(l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_get),
		cmocka_unit_test(test_keep_alive_and_pipelining),
		cmocka_unit_test(test_made_while_sent),
		cmocka_unit_test(test_one_byte_at_a_time),
		cmocka_unit_test(test_head_and_http10),
		cmocka_unit_test(test_expect_continue),
		cmocka_unit_test(test_too_large),
		cmocka_unit_test(test_malformed),
		cmocka_unit_test(test_endless_head),
		cmocka_unit_test(test_streaming_with_back_pressure),
		cmocka_unit_test(test_large_response),
		cmocka_unit_test(test_torn),
		cmocka_unit_test(test_client_gone),
		cmocka_unit_test(test_upgrade),
		cmocka_unit_test(test_headers_cannot_be_split),
		cmocka_unit_test(test_stop_lets_requests_finish),
		cmocka_unit_test(test_stop_ends_what_does_not_finish),
		cmocka_unit_test(test_unix_socket_and_connection_limit),
		cmocka_unit_test(test_bad_addresses),
	};

	return cmocka_run_group_tests_name("net/http1", tests, start, fixture_teardown);
}
