/* Both halves of the HTTP client over TLS, against a thread with blocking OpenSSL. */
#include "unit.h"

#include "base/buf.h"
#include "ev/ev.h"
#include "net/http_client.h"
#include "net/net-internal.h"

#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static struct arena arena;
static struct sv ca_cert, ca_key, other_ca, cert, key;
static struct tls_ctx *server_ctx, *good, *wrong_ca, *insecure;
static int listener, port;
static atomic_int handshakes;
static pthread_t thread;

static void serve(SSL *ssl)
{
	char piece[4096];
	size_t n = 0;
	int r;

	while ((r = SSL_read(ssl, piece + n, (int)(sizeof(piece) - n))) > 0) {
		n += (size_t)r;
		if (sv_find_sv(sv_make(piece, n), SV("\r\n\r\n")) < 0)
			continue;
		n = 0;
		SSL_write(ssl, "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecret", 44);
	}
}

static void *run(void *arg)
{
	int fd;

	(void)arg;
	while ((fd = accept(listener, NULL, NULL)) >= 0) {
		SSL *ssl = SSL_new(tls_ctx_ssl(server_ctx));

		SSL_set_fd(ssl, fd);
		if (SSL_accept(ssl) == 1) {
			atomic_fetch_add(&handshakes, 1);
			serve(ssl);
		}
		SSL_free(ssl);
		close(fd);
	}
	return NULL;
}

static struct tls_ctx *client(struct sv ca, bool skip)
{
	const struct tls_client_opts o = { .ca_pem = ca, .insecure = skip };
	struct tls_ctx *c = tls_client_ctx(&o, NULL);

	assert_non_null(c);
	return c;
}

static int setup(void **state)
{
	const char *const names[] = { "node.test", NULL }, *const ips[] = { "127.0.0.1", NULL };
	struct cert_opts o = { .common_name = "ca", .ca = true };
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(in);
	struct sv other_key;

	(void)state;
	o.not_before_ns = ((int64_t)time(NULL) - 3600) * NS_PER_SEC;
	o.not_after_ns = o.not_before_ns + 7200 * NS_PER_SEC;
	assert_int_equal(cert_make(&arena, &o, SV_NULL, SV_NULL, &ca_cert, &ca_key, NULL), 0);
	assert_int_equal(cert_make(&arena, &o, SV_NULL, SV_NULL, &other_ca, &other_key, NULL), 0);
	o.ca = false;
	o.server = true;
	o.common_name = "node";
	o.dns_names = names;
	o.ip_addrs = ips;
	assert_int_equal(cert_make(&arena, &o, ca_cert, ca_key, &cert, &key, NULL), 0);
	server_ctx = tls_server_ctx(&(struct tls_server_opts){ .cert_pem = cert, .key_pem = key }, NULL);
	assert_non_null(server_ctx);
	good = client(ca_cert, false);
	wrong_ca = client(other_ca, false);
	insecure = client(SV_NULL, true);
	listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (bind(listener, (struct sockaddr *)&in, len) < 0 || listen(listener, 16) < 0 ||
	    getsockname(listener, (struct sockaddr *)&in, &len) < 0)
		return -1;
	port = ntohs(in.sin_port);
	return pthread_create(&thread, NULL, run, NULL);
}

static int teardown(void **state)
{
	(void)state;
	shutdown(listener, SHUT_RDWR); /* ends accept() */
	pthread_join(thread, NULL);
	close(listener);
	tls_ctx_unref(server_ctx);
	tls_ctx_unref(good);
	tls_ctx_unref(wrong_ca);
	tls_ctx_unref(insecure);
	arena_release(&arena);
	return 0;
}

static void on_head(struct http_dialog *d, const struct http_response *head, void *ctx)
{
	(void)d;
	(void)head;
	(void)ctx;
}

struct seen {
	struct ev_loop *loop;
	struct buf body;
	bool failed;
};

static void on_data(struct http_dialog *d, struct sv bytes, void *ctx)
{
	(void)d;
	buf_addsv(&((struct seen *)ctx)->body, bytes);
}

static void on_closed(struct http_dialog *d, const struct err *err, void *ctx)
{
	struct seen *s = ctx;

	(void)d;
	s->failed = err != NULL;
	ev_loop_stop(s->loop);
}

static bool dial(const struct http_endpoint *ep)
{
	static const struct http_dialog_cb cb = { .head = on_head, .data = on_data, .closed = on_closed };
	struct seen s = { .loop = ev_loop_new(NULL) };

	http_dial(s.loop, ep, "GET", "/", NULL, 0, SV_NULL, 20 * NS_PER_SEC, &cb, &s);
	ev_loop_run(s.loop);
	if (!s.failed)
		assert_sv(buf_sv(&s.body), "secret");
	buf_release(&s.body);
	ev_loop_free(s.loop);
	return !s.failed;
}

static void verification(void **state)
{
	const struct {
		struct tls_ctx *ctx;
		const char *server_name;
		bool ok;
	} table[] = {
		{ good, NULL, true },	   { good, "node.test", true },	     { good, "other.test", false },
		{ wrong_ca, NULL, false }, { insecure, "other.test", true },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		const struct http_endpoint ep = {
			.host = "127.0.0.1", .port = port, .tls = table[i].ctx, .server_name = table[i].server_name
		};
		_cleanup_(err_release) struct err err = ERR_INIT;
		struct http_pool *p = http_pool_new();
		struct http_response r;
		int got = http_call(p, &arena, &ep, "GET", "/", NULL, 0, SV_NULL, 20 * NS_PER_SEC, 100, &r, &err);

		assert_int_equal(got, table[i].ok ? 0 : -1);
		if (table[i].ok)
			assert_sv(r.body, "secret");
		else
			assert_true(sv_starts(sv_from(err_msg(&err)), SV("TLS handshake with '127.0.0.1")));
		http_pool_free(p);
		assert_int_equal(dial(&ep), table[i].ok);
	}
}

static void kept_alive(void **state)
{
	const struct http_endpoint ep = { .host = "127.0.0.1", .port = port, .tls = good };
	struct http_pool *p = http_pool_new();
	struct http_response r;
	int before = atomic_load(&handshakes);

	(void)state;
	for (int i = 0; i < 3; i++)
		assert_int_equal(http_call(p, &arena, &ep, "GET", "/", NULL, 0, SV_NULL, 0, 100, &r, NULL), 0);
	assert_int_equal(atomic_load(&handshakes) - before, 1);
	http_pool_free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(verification),
		cmocka_unit_test(kept_alive),
	};

	return cmocka_run_group_tests_name("http_tls", tests, setup, teardown);
}
