/* The server over HTTP/2: frames by hand (prior knowledge, no TLS), and curl over TLS. */
#include "unit.h"

#include "ev/ev.h"
#include "h2_frames.h"
#include "net/tls.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MAX_BODY 100000

static int start(void **state)
{
	struct http_server_opts o = { .max_body = MAX_BODY };

	return fixture_setup(state, &o);
}

/* --- tests --- */

static void test_get_and_post(void **state)
{
	int fd = h2_connect(*state);
	static struct frame f;

	send_head(fd, 1, false, "/echo?q", END_STREAM);
	assert_true(await(fd, &f, HEADERS, 1));
	assert_int_equal(f.payload[0], 0x88); /* :status 200 */
	assert_true(await(fd, &f, DATA, 1));
	assert_int_equal(f.flags & END_STREAM, END_STREAM);
	assert_sv(sv_make((char *)f.payload, f.n), "GET /echo?q host=h v2 body=");

	send_head(fd, 3, true, "/later", 0);
	send_frame(fd, DATA, 0, 3, SV("hel"));
	send_frame(fd, DATA, END_STREAM, 3, SV("lo"));
	assert_true(await(fd, &f, DATA, 3));
	assert_sv(sv_make((char *)f.payload, f.n), "POST /later? host=h v2 body=hello");
	close(fd);
}

static void test_many_streams_at_once(void **state)
{
	int fd = h2_connect(*state);
	static struct frame f;
	struct buf b = BUF_INIT;
	int done = 0;

	for (uint32_t i = 0; i < 200; i++)
		put_head(&b, 1 + 2 * i, false, i % 2 ? "/echo" : "/later", END_STREAM);
	client_send(fd, buf_sv(&b));
	buf_release(&b);
	while (done < 200) {
		assert_true(read_frame(fd, &f));
		if (f.type == DATA && (f.flags & END_STREAM))
			done++;
	}
	close(fd);
}

/* One more stream than a connection may have, of a client that was told (it ends) and of one that cannot know yet. */
static void test_more_streams_than_allowed(void **state)
{
	struct fixture *fx = *state;
	static struct frame f;
	struct buf b = BUF_INIT;
	uint32_t most = 0, id;
	int fd = client_connect(fx);

	client_send(fd, SV("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"));
	send_frame(fd, SETTINGS, 0, 0, SV(""));
	assert_true(await(fd, &f, SETTINGS, 0));
	for (size_t at = 0; at + 6 <= f.n; at += 6)
		if (f.payload[at] == 0 && f.payload[at + 1] == 3)
			most = u32_at(&f, at + 2);
	assert_in_range(most, 100, 1000); /* upstream's clients want a hundred */
	for (id = 1; id <= 2 * most; id += 2)
		put_head(&b, id, false, "/watch", END_STREAM);
	put_head(&b, id, false, "/watch", END_STREAM);
	client_send(fd, buf_sv(&b));
	assert_true(await(fd, &f, RST_STREAM, id));
	assert_int_equal(u32_at(&f, 0), 7); /* REFUSED_STREAM */
	/* A place that is given back is another's. */
	buf_release(&b);
	put_frame(&b, RST_STREAM, 0, 1, SV("\0\0\0\x08"));
	put_head(&b, id + 2, false, "/size?n=10", END_STREAM);
	client_send(fd, buf_sv(&b));
	assert_true(await(fd, &f, DATA, id + 2));
	send_frame(fd, SETTINGS, ACK, 0, SV(""));
	buf_release(&b);
	for (id += 4; id <= 4 * most + 8; id += 2)
		put_head(&b, id, false, "/watch", END_STREAM);
	client_send(fd, buf_sv(&b));
	buf_release(&b);
	assert_true(await(fd, &f, GOAWAY, 0));
	assert_int_equal(u32_at(&f, 4), 1); /* PROTOCOL_ERROR */
	close(fd);
}

static void test_bad_paths(void **state)
{
	int fd = h2_connect(*state);
	static struct frame f;

	send_head(fd, 1, false, "/a b", END_STREAM);
	while (read_frame(fd, &f) && f.stream != 1)
		;
	assert_true((f.type == HEADERS && f.payload[0] == 0x8c) ||
		    f.type == RST_STREAM); /* 400, or refused as malformed */
	send_head(fd, 3, false, "/echo", END_STREAM);
	assert_true(await(fd, &f, DATA, 3));
	close(fd);
}

static void test_too_large(void **state)
{
	int fd = h2_connect(*state), before = ((struct fixture *)*state)->too_large;
	static struct frame f;
	char *piece = xcalloc(1, 16384);

	/* A little over: heard out, so that a client that looks for the answer only then finds it. */
	send_head(fd, 1, true, "/echo", 0);
	for (int i = 0; i < 9; i++)
		send_frame(fd, DATA, i == 8 ? END_STREAM : 0, 1, sv_make(piece, 16384));
	assert_true(await(fd, &f, DATA, 1));
	assert_sv(sv_make((char *)f.payload, f.n), "{\"code\":413}");
	fixture_wait(*state, &((struct fixture *)*state)->too_large, before + 1);
	/* Without an end: not for ever. */
	send_head(fd, 3, true, "/echo", 0);
	for (int i = 0; i < 40; i++)
		send_frame(fd, DATA, 0, 3, sv_make(piece, 16384));
	assert_true(await(fd, &f, DATA, 3));
	assert_sv(sv_make((char *)f.payload, f.n), "{\"code\":413}");
	assert_true(await(fd, &f, RST_STREAM, 3));
	assert_int_equal(u32_at(&f, 0), 0); /* NO_ERROR: the answer counts */
	fixture_wait(*state, &((struct fixture *)*state)->too_large, before + 2);
	/* The connection goes on. */
	send_head(fd, 5, false, "/echo", END_STREAM);
	assert_true(await(fd, &f, DATA, 5));
	free(piece);
	close(fd);
}

static void test_windows_hold_back(void **state)
{
	struct fixture *fx = *state;
	int fd = h2_connect(fx), drains = fx->drains;
	static struct frame f;
	size_t got = 0, total = 3000000;

	/* Initial windows: 65535 for the stream and the connection. */
	send_head(fd, 1, false, "/stream?n=3000000", END_STREAM);
	fixture_wait(fx, &fx->drains, drains + 1);
	while (got < 65535) {
		assert_true(await(fd, &f, DATA, 1));
		got += f.n;
	}
	assert_int_equal(got, 65535);
	send_frame(fd, PING, 0, 0, SV("12345678"));
	while (got < total) {
		assert_true(read_frame(fd, &f));
		if (f.type == PING) { /* nothing came before its answer */
			assert_int_equal(got, 65535);
			send_window(fd, 1, 100000000);
			send_window(fd, 0, 100000000);
		} else if (f.type == DATA) {
			for (size_t i = 0; i < f.n; i++) {
				if (f.payload[i] != 'a' + (got + i) % 26)
					fail_msg("byte %zu", got + i);
			}
			got += f.n;
		}
	}
	assert_int_equal(got, total);
	while (!(f.type == DATA && (f.flags & END_STREAM)))
		assert_true(await(fd, &f, DATA, 1));
	close(fd);
}

static size_t made(struct fixture *fx)
{
	size_t n;

	pthread_mutex_lock(&fx->lock);
	n = fx->source_made;
	pthread_mutex_unlock(&fx->lock);
	return n;
}

static void test_made_as_the_window_opens(void **state)
{
	struct fixture *fx = *state;
	int fd = h2_connect(fx), released = fx->sources_released;
	static struct frame f;
	size_t got = 0;

	send_head(fd, 1, false, "/source?n=3000000", END_STREAM);
	while (got < 65535) {
		assert_true(await(fd, &f, DATA, 1));
		got += f.n;
	}
	send_frame(fd, PING, 0, 0, SV("12345678"));
	assert_true(await(fd, &f, PING, 0));
	assert_true(made(fx) < 65535 + 2 * 20000 + 16384); /* what was sent, and the pieces at hand */
	send_window(fd, 1, 100000000);
	send_window(fd, 0, 100000000);
	do {
		assert_true(await(fd, &f, DATA, 1));
		for (size_t i = 0; i < f.n; i++)
			assert_true(f.payload[i] == 'a' + (got + i) % 26);
		got += f.n;
	} while (!(f.flags & END_STREAM));
	assert_int_equal(got, 3000000);
	assert_true(f.n > 0); /* the end came with the last bytes */
	fixture_wait(fx, &fx->sources_released, released + 1);

	send_head(fd, 3, false, "/source?n=100000&unknown", END_STREAM);
	send_window(fd, 3, 100000000);
	for (got = 0, f.flags = 0; !(f.flags & END_STREAM); got += f.n)
		assert_true(await(fd, &f, DATA, 3));
	assert_int_equal(got, 100000);
	fixture_wait(fx, &fx->sources_released, released + 2);
	/* One that is given up in the middle is released as well. */
	send_head(fd, 5, false, "/source?n=100000000", END_STREAM);
	assert_true(await(fd, &f, DATA, 5));
	send_frame(fd, RST_STREAM, 0, 5, sv_make("\0\0\0\x08", 4));
	fixture_wait(fx, &fx->sources_released, released + 3);
	close(fd);
}

static void test_a_peer_that_does_not_read(void **state)
{
	struct http_server_opts o = { .max_body = MAX_BODY, .stall_ns = 20 * NS_PER_MS };
	struct fixture fx;
	static struct frame f;
	size_t got = 0;
	int fd;

	(void)state;
	fixture_start(&fx, &o);
	/* Windows shut: a streamed response rests, a complete one is given up, the connection goes on. */
	fd = h2_connect(&fx);
	send_window(fd, 0, 100000000);
	send_head(fd, 1, false, "/stream?n=1000000", END_STREAM);
	while (got < 65535) {
		assert_true(await(fd, &f, DATA, 1));
		got += f.n;
	}
	send_head(fd, 3, false, "/source?n=1000000", END_STREAM);
	assert_true(await(fd, &f, RST_STREAM, 3));
	assert_int_equal(u32_at(&f, 0), 8); /* CANCEL */
	fixture_wait(&fx, &fx.sources_released, 1);
	send_window(fd, 1, 100000000);
	for (; !(f.type == DATA && (f.flags & END_STREAM)); got += f.n)
		assert_true(await(fd, &f, DATA, 1));
	assert_int_equal(got, 1000000);
	close(fd);
	/* Nothing is taken from the socket: the connection is cut. */
	fd = h2_connect(&fx);
	send_window(fd, 0, 1000000000);
	send_frame(fd, SETTINGS, 0, 0, sv_make("\0\x04\x3f\xff\xff\xff", 6));
	send_head(fd, 1, false, "/source?n=1000000000", END_STREAM);
	fixture_wait(&fx, &fx.sources_released, 2);
	close(fd);
	/* And over HTTP/1. */
	fd = client_connect(&fx);
	client_sends(fd, "GET /source?n=1000000000 HTTP/1.1\r\nHost: h\r\n\r\n");
	fixture_wait(&fx, &fx.sources_released, 3);
	close(fd);
	fixture_stop(&fx, 0);
}

static void test_torn(void **state)
{
	int fd = h2_connect(*state);
	static struct frame f;

	send_head(fd, 1, false, "/torn", END_STREAM);
	assert_true(await(fd, &f, RST_STREAM, 1));
	assert_int_equal(u32_at(&f, 0), 2); /* INTERNAL_ERROR */
	close(fd);
}

static void test_cancel_tells_the_handler(void **state)
{
	struct fixture *fx = *state;
	int fd = h2_connect(fx), gone = fx->gone, watches = fx->watches, held = fx->held;
	static struct frame f;

	send_head(fd, 1, false, "/watch", END_STREAM);
	assert_true(await(fd, &f, DATA, 1));
	send_head(fd, 3, false, "/hold", END_STREAM);
	fixture_wait(fx, &fx->watches, watches + 1);
	fixture_wait(fx, &fx->held, held + 1);
	send_frame(fd, RST_STREAM, 0, 1, sv_make("\0\0\0\x08", 4));
	fixture_wait(fx, &fx->gone, gone + 1);
	close(fd); /* and with the connection everything */
	fixture_wait(fx, &fx->gone, gone + 2);
}

static void test_rapid_reset(void **state)
{
	int fd = h2_connect(*state);
	static struct frame f;
	struct buf b = BUF_INIT;

	for (uint32_t i = 0; i < 3000; i++) {
		put_head(&b, 1 + 2 * i, false, "/hold", END_STREAM);
		put_frame(&b, RST_STREAM, 0, 1 + 2 * i, sv_make("\0\0\0\x08", 4));
	}
	client_send(fd, buf_sv(&b));
	buf_release(&b);
	assert_true(await(fd, &f, GOAWAY, 0));
	assert_int_equal(u32_at(&f, 4), 0xb); /* ENHANCE_YOUR_CALM */
	close(fd);
}

static void test_continuation_flood(void **state)
{
	int fd = h2_connect(*state);
	static struct frame f;
	struct buf b = BUF_INIT;

	put_frame(&b, HEADERS, 0, 1, SV("\x82\x86"));
	for (int i = 0; i < 1000; i++)
		put_frame(&b, CONTINUATION, 0, 1, SV("\x84"));
	client_send(fd, buf_sv(&b));
	buf_release(&b);
	/* Told or not, it ends. */
	while (read_frame(fd, &f))
		;
	close(fd);
}

static void test_large_head(void **state)
{
	int fd = h2_connect(*state);
	static struct frame f;
	struct buf h = BUF_INIT;

	/* One entry of 4000 bytes into the dynamic table, named again and again: a small block
	 * that unfolds to more than anybody sends. */
	buf_add(&h, "\x82\x86\x84\x01\x01h\x40\x01x\x7f\xa1\x1e", 12);
	for (int i = 0; i < 4000; i++)
		buf_addc(&h, 'v');
	for (int i = 0; i < 100; i++)
		buf_addc(&h, (char)0xbe);
	send_frame(fd, HEADERS, END_STREAM | END_HEADERS, 1, buf_sv(&h));
	buf_release(&h);
	assert_true(await(fd, &f, DATA, 1));
	assert_sv(sv_make((char *)f.payload, f.n), "Request Header Fields Too Large");
	close(fd);
}

static void test_garbage(void **state)
{
	int fd = client_connect(*state);
	static struct frame f;

	client_sends(fd, "PRI * HTTP/2.0\r\n\r\nNO\r\n\r\n");
	while (read_frame(fd, &f))
		;
	close(fd);
	fd = h2_connect(*state);
	send_frame(fd, DATA, 0, 1, SV("nobody asked"));
	assert_true(await(fd, &f, GOAWAY, 0));
	close(fd);
}

static void test_stop_says_goaway(void **state)
{
	struct http_server_opts o = { .max_body = MAX_BODY };
	struct fixture fx;
	static struct frame f;
	int fd;

	(void)state;
	fixture_start(&fx, &o);
	fd = h2_connect(&fx);
	send_head(fd, 1, false, "/hold", END_STREAM);
	fixture_wait(&fx, &fx.held, 1);
	fixture_release(&fx);
	http_server_stop(fx.server, 30 * NS_PER_SEC);
	fx.server = NULL;
	assert_true(await(fd, &f, DATA, 1));
	assert_sv(sv_make((char *)f.payload, f.n), "released");
	while (read_frame(fd, &f))
		;
	close(fd);
	fixture_stop(&fx, 0);
}

/* --- TLS, by curl --- */

static void write_file(const char *dir, const char *name, struct sv text)
{
	char path[128];
	FILE *out;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	out = fopen(path, "w");
	assert_non_null(out);
	assert_int_equal(fwrite(text.p, 1, text.n, out), text.n);
	fclose(out);
}

static char *curl(const char *command)
{
	struct child_opts o = { .argv = (const char *const[]){ "sh", "-c", command, NULL },
				.stdin_fd = -1,
				.stdout_fd = -1,
				.stderr_fd = -1 };
	struct buf out = BUF_INIT;
	int status = 0;

	buf_adds(&out, "");
	assert_int_equal(child_run(&o, 60 * NS_PER_SEC, 1 << 20, &out, NULL, &status, NULL), 0);
	return buf_detach(&out);
}

static void test_tls_by_curl(void **state)
{
	const char *const orgs[] = { "system:masters", "team", NULL }, *const ips[] = { "127.0.0.1", NULL };
	int64_t end = ((int64_t)time(NULL) + 3600) * NS_PER_SEC;
	struct cert_opts ca = { .common_name = "ca", .not_after_ns = end, .ca = true };
	struct cert_opts server = { .common_name = "s", .ip_addrs = ips, .not_after_ns = end, .server = true };
	struct cert_opts client = {
		.common_name = "alice", .organizations = orgs, .not_after_ns = end, .client = true
	};
	struct sv ca_cert, ca_key, other_cert, other_key, proxy_cert, proxy_key, cert, key;
	char dir[] = "/tmp/http2-XXXXXX", command[512], *got;
	struct http_server_opts o = { .max_body = MAX_BODY };
	struct tls_server_opts t;
	struct arena a = ARENA_INIT;
	struct fixture fx;

	(void)state;
	got = curl("curl --version");
	if (!strstr(got, "HTTP2")) {
		print_message("no curl with HTTP/2 here: skipped\n");
		free(got);
		skip();
	}
	free(got);
	assert_non_null(mkdtemp(dir));
	assert_int_equal(cert_make(&a, &ca, SV_NULL, SV_NULL, &ca_cert, &ca_key, NULL), 0);
	assert_int_equal(cert_make(&a, &ca, SV_NULL, SV_NULL, &other_cert, &other_key, NULL), 0);
	assert_int_equal(cert_make(&a, &ca, SV_NULL, SV_NULL, &proxy_cert, &proxy_key, NULL), 0);
	assert_int_equal(cert_make(&a, &server, ca_cert, ca_key, &cert, &key, NULL), 0);
	t = (struct tls_server_opts){
		.cert_pem = cert, .key_pem = key, .client_ca_pem = ca_cert, .proxy_ca_pem = proxy_cert
	};
	o.tls = tls_server_ctx(&t, NULL);
	write_file(dir, "ca", ca_cert);
	assert_int_equal(cert_make(&a, &client, ca_cert, ca_key, &cert, &key, NULL), 0);
	write_file(dir, "cert", cert);
	write_file(dir, "key", key);
	assert_int_equal(cert_make(&a, &client, other_cert, other_key, &cert, &key, NULL), 0);
	write_file(dir, "foreign", cert);
	write_file(dir, "fkey", key);
	assert_int_equal(cert_make(&a, &client, proxy_cert, proxy_key, &cert, &key, NULL), 0);
	write_file(dir, "proxy", cert);
	write_file(dir, "pkey", key);
	assert_int_equal(cert_make(&a, &server, proxy_cert, proxy_key, &cert, &key, NULL), 0);
	write_file(dir, "no-client", cert);
	write_file(dir, "nkey", key);
	fixture_start(&fx, &o);

	snprintf(command, sizeof(command),
		 "cd %s && curl -sS --cacert ca --cert cert --key key -w ' http=%%{http_version}' "
		 "https://127.0.0.1:%d/peer 2>&1",
		 dir, fx.port);
	got = curl(command);
	assert_string_equal(got, "cert=1 bad=0 cn=alice o=system:masters o=team from=127.0.0.1: http=2");
	free(got);
	snprintf(command, sizeof(command),
		 "cd %s && curl -sS --http1.1 --cacert ca --cert foreign --key fkey https://127.0.0.1:%d/peer 2>&1",
		 dir, fx.port);
	got = curl(command);
	assert_string_equal(got, "cert=0 bad=1 cn= from=127.0.0.1:");
	free(got);
	/* What the CA of proxies has signed is no client's, and only a certificate for clients is a proxy's. */
	snprintf(command, sizeof(command),
		 "cd %s && curl -sS --cacert ca --cert proxy --key pkey https://127.0.0.1:%d/peer 2>&1", dir, fx.port);
	got = curl(command);
	assert_string_equal(got, "cert=0 bad=1 cn=alice proxy o=system:masters o=team from=127.0.0.1:");
	free(got);
	snprintf(command, sizeof(command),
		 "cd %s && curl -sS --cacert ca --cert no-client --key nkey https://127.0.0.1:%d/peer 2>&1", dir,
		 fx.port);
	got = curl(command);
	assert_string_equal(got, "cert=0 bad=1 cn= from=127.0.0.1:");
	free(got);
	snprintf(command, sizeof(command), "cd %s && curl -sS --cacert ca https://127.0.0.1:%d/peer 2>&1", dir,
		 fx.port);
	got = curl(command);
	assert_string_equal(got, "cert=0 bad=0 cn= from=127.0.0.1:");
	free(got);
	for (int v1 = 0; v1 < 2; v1++) {
		snprintf(command, sizeof(command),
			 "cd %s && head -c 90000 /dev/zero | tr '\\0' y | curl -sS %s --cacert ca --data-binary @- "
			 "https://127.0.0.1:%d/echo 2>&1 | wc -c; curl -sS %s --cacert ca "
			 "https://127.0.0.1:%d/stream?n=7654321 | wc -c",
			 dir, v1 ? "--http1.1" : "--http2", fx.port, v1 ? "--http1.1" : "--http2", fx.port);
		got = curl(command);
		/* "POST /echo? host=127.0.0.1:PORT v2 body=" and 90000 */
		assert_int_equal(atoi(got), 90000 + 36 + (fx.port > 9999 ? 5 : 4));
		assert_int_equal(atoi(strchr(got, '\n')), 7654321);
		free(got);
	}
	fixture_stop(&fx, 0);
	tls_ctx_unref(o.tls);
	arena_release(&a);
	snprintf(command, sizeof(command), "rm -r %s", dir);
	free(curl(command));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_get_and_post),
		cmocka_unit_test(test_many_streams_at_once),
		cmocka_unit_test(test_more_streams_than_allowed),
		cmocka_unit_test(test_bad_paths),
		cmocka_unit_test(test_too_large),
		cmocka_unit_test(test_windows_hold_back),
		cmocka_unit_test(test_made_as_the_window_opens),
		cmocka_unit_test(test_a_peer_that_does_not_read),
		cmocka_unit_test(test_torn),
		cmocka_unit_test(test_cancel_tells_the_handler),
		cmocka_unit_test(test_rapid_reset),
		cmocka_unit_test(test_continuation_flood),
		cmocka_unit_test(test_large_head),
		cmocka_unit_test(test_garbage),
		cmocka_unit_test(test_stop_says_goaway),
		cmocka_unit_test(test_tls_by_curl),
	};

	return cmocka_run_group_tests_name("net/http2", tests, start, fixture_teardown);
}
