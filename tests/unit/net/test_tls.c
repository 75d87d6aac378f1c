/* Certificates, contexts, and streams over TLS: both ends on one loop. */
#include "unit.h"

#include "net/net-internal.h"
#include "net/stream.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <openssl/pem.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static struct arena arena;
static struct sv ca_cert, ca_key, server_cert, server_key, client_cert, client_key, foreign_cert, foreign_key,
    expired_cert, expired_key, other_ca;

static int64_t now_ns(void)
{
	return (int64_t)time(NULL) * NS_PER_SEC;
}

static void make(const char *cn, bool ca, bool server, bool client, int64_t end_ns, struct sv by, struct sv by_key,
		 struct sv *cert, struct sv *key)
{
	const char *const orgs[] = { "system:masters", "dev, O=x", NULL };
	const char *const dns[] = { "localhost", "*.caravel.test", NULL };
	const char *const ips[] = { "127.0.0.1", "::1", NULL };
	struct cert_opts o = {
		.common_name = cn,
		.organizations = client ? orgs : NULL,
		.dns_names = server ? dns : NULL,
		.ip_addrs = server ? ips : NULL,
		.not_before_ns = now_ns() - 7200 * NS_PER_SEC,
		.not_after_ns = end_ns,
		.ca = ca,
		.server = server,
		.client = client,
	};
	struct err err = ERR_INIT;

	if (cert_make(&arena, &o, by, by_key, cert, key, &err) < 0)
		fail_msg("%s", err_msg(&err));
}

static int setup(void **state)
{
	int64_t later = now_ns() + 3600 * NS_PER_SEC;
	struct sv other_key;

	(void)state;
	make("test-ca", true, false, false, later, SV_NULL, SV_NULL, &ca_cert, &ca_key);
	make("other-ca", true, false, false, later, SV_NULL, SV_NULL, &other_ca, &other_key);
	make("system:node:a", false, true, false, later, ca_cert, ca_key, &server_cert, &server_key);
	make("alice", false, false, true, later, ca_cert, ca_key, &client_cert, &client_key);
	make("mallory", false, false, true, later, other_ca, other_key, &foreign_cert, &foreign_key);
	make("old", false, false, true, now_ns() - 3600 * NS_PER_SEC, ca_cert, ca_key, &expired_cert, &expired_key);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	arena_release(&arena);
	return 0;
}

static void test_certificate_text(void **state)
{
	BIO *b = BIO_new_mem_buf(client_cert.p, (int)client_cert.n);
	X509 *x = PEM_read_bio_X509(b, NULL, NULL, NULL);
	char *line = X509_NAME_oneline(X509_get_subject_name(x), NULL, 0);
	int64_t begin = 0, end = 0;

	(void)state;
	assert_string_equal(line, "/O=system:masters/O=dev, O=x/CN=alice");
	OPENSSL_free(line);
	X509_free(x);
	BIO_free(b);
	assert_int_equal(cert_validity(expired_cert, &begin, &end, NULL), 0);
	assert_true(begin < end && end < now_ns());
	assert_int_equal(cert_validity(SV("junk"), &begin, &end, NULL), -1);
	assert_false(cert_is_of(SV("junk"), SV(""), SV("")));
	assert_false(cert_is_of(expired_cert, SV("junk"), SV("")));
	assert_false(cert_is_of(expired_cert, SV(""), SV("junk")));
	assert_true(cert_is_of(expired_cert, SV(""), SV("")));
	assert_true(sv_starts(client_key, SV("-----BEGIN EC PRIVATE KEY-----")));
}

static void test_long_names_and_bad_addresses(void **state)
{
	const char *const bad[] = { "300.1.1.1", NULL };
	struct cert_opts o = { .common_name =
				   "system:node:a-node-name-that-is-longer-than-the-sixty-four-characters-of-old",
			       .not_after_ns = now_ns() + NS_PER_SEC };
	struct sv cert, key;

	(void)state;
	assert_int_equal(cert_make(&arena, &o, ca_cert, ca_key, &cert, &key, NULL), 0);
	o.ip_addrs = bad;
	assert_int_equal(cert_make(&arena, &o, ca_cert, ca_key, &cert, &key, NULL), -1);
	o.ip_addrs = NULL;
	assert_int_equal(cert_make(&arena, &o, SV("junk"), ca_key, &cert, &key, NULL), -1);
}

static void test_rsa_key(void **state)
{
	struct sv key;

	(void)state;
	assert_int_equal(key_new_rsa(&arena, 2048, &key, NULL), 0);
	assert_true(sv_starts(key, SV("-----BEGIN RSA PRIVATE KEY-----")));
}

static void test_contexts_refuse_junk(void **state)
{
	struct tls_server_opts mismatch = { .cert_pem = server_cert, .key_pem = client_key };
	struct tls_server_opts junk = { .cert_pem = SV("junk"), .key_pem = server_key };
	struct tls_client_opts ca = { .ca_pem = SV("junk") };
	_cleanup_(err_release) struct err err = ERR_INIT;

	(void)state;
	assert_null(tls_server_ctx(&mismatch, &err));
	err_release(&err);
	assert_null(tls_server_ctx(&junk, &err));
	err_release(&err);
	assert_null(tls_client_ctx(&ca, &err));
	assert_string_equal(err.msg, "reading the CA bundle: no certificate in it");
	assert_null(tls_ctx_unref(NULL));
}

/* Who asks for another name is shown another certificate: names that were said before those of certificates, whole ones
 * before wildcards, earlier pairs before later ones. */
static void test_names(void **state)
{
	static const struct {
		const char *asked;
		ssize_t pair;
	} rows[] = {
		{ "a.example.com", 1 },
		{ "A.Example.COM.", 1 },
		{ "b.example.com", 0 },
		{ "x.b.example.com", -1 },
		{ "example.com", -1 },
		{ "said.test", 2 },
		{ "both.test", 1 },
		{ "alone", -1 },
		{ "cn.test", 3 },
		{ "", -1 },
		{ ".", -1 },
		{ "*.example.com", 0 },
		{ ".example.com", -1 },
	};
	static const char *const names[] = { "said.test", "own.test", "a.example.com", NULL };
	const struct sv wild[] = { SV("*.example.com"), SV("both.test") },
			one[] = { SV("a.Example.com"), SV("both.test") }, said[] = { SV("said.test") };
	struct cert_opts o = {
		.common_name = "cn.test", .dns_names = names, .server = true, .not_after_ns = now_ns() + NS_PER_SEC
	};
	struct sv cert, key;
	struct tls_named named[] = { { .names = wild, .n_names = 1 },
				     { .names = one, .n_names = 2 },
				     { .names = said, .n_names = 1 },
				     { .n_names = 0 } };
	struct tls_server_opts s = { .cert_pem = server_cert, .key_pem = server_key, .named = named, .n_named = 4 };
	struct tls_ctx *c;

	(void)state;
	assert_int_equal(cert_make(&arena, &o, ca_cert, ca_key, &cert, &key, NULL), 0);
	for (size_t i = 0; i < 4; i++) {
		named[i].cert_pem = cert;
		named[i].key_pem = key;
	}
	c = tls_server_ctx(&s, NULL);
	assert_non_null(c);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (tls_ctx_chooses(c, rows[i].asked) != rows[i].pair)
			fail_msg("'%s': %zd", rows[i].asked, tls_ctx_chooses(c, rows[i].asked));
	assert_int_equal(tls_ctx_chooses(c, "own.test"), 3);
	tls_ctx_unref(c);
	named[3].key_pem = client_key;
	assert_null(tls_server_ctx(&s, NULL));
}

/* --- two ends --- */

struct end {
	struct stream *s;
	bool ready, closed, failed;
	char *why;
	char *alpn;
	size_t got;
	size_t to_send, sent;
	long verify;
	bool has_cert;
	struct pair *pair;
};

struct pair {
	struct ev_loop *l;
	struct end client, server;
	size_t want; /* bytes each way until both close */
};

static void end_check(struct pair *p)
{
	if (p->client.closed && p->server.closed)
		ev_loop_stop(p->l);
}

static void end_ready(struct stream *s, void *ctx)
{
	struct end *e = ctx;
	SSL *ssl = stream_ssl(s);
	struct sv alpn = stream_alpn(s);

	e->ready = true;
	e->alpn = xstrndup(alpn.p ? alpn.p : "", alpn.n);
	if (ssl) {
		e->verify = SSL_get_verify_result(ssl);
		e->has_cert = SSL_get0_peer_certificate(ssl) != NULL;
	}
	stream_want(s);
}

static void end_pull(struct stream *s, void *ctx)
{
	struct end *e = ctx;
	char piece[1000];

	while (e->sent < e->to_send && stream_queued(s) < STREAM_QUEUE_MAX) {
		size_t n = MIN(sizeof(piece), e->to_send - e->sent);

		for (size_t i = 0; i < n; i++)
			piece[i] = (char)((e->sent + i) % 251);
		stream_write(s, sv_make(piece, n));
		e->sent += n;
	}
	if (e->sent < e->to_send)
		stream_want(s);
	else if (e == &e->pair->client && e->got == e->pair->want)
		stream_close(s);
}

static void end_data(struct stream *s, struct sv bytes, void *ctx)
{
	struct end *e = ctx;

	for (size_t i = 0; i < bytes.n; i++) {
		if ((unsigned char)bytes.p[i] != (e->got + i) % 251)
			fail_msg("byte %zu is wrong", e->got + i);
	}
	e->got += bytes.n;
	if (e == &e->pair->client && e->got == e->pair->want && e->sent == e->to_send)
		stream_close(s);
}

static void end_closed(struct stream *s, const struct err *err, void *ctx)
{
	struct end *e = ctx;

	(void)s;
	assert_false(e->closed);
	e->closed = true;
	if (err) {
		e->failed = true;
		e->why = xstrdup(err_msg(err));
	}
	end_check(e->pair);
}

static const struct stream_cb end_cb = { .ready = end_ready, .data = end_data, .pull = end_pull, .closed = end_closed };

struct trial {
	struct tls_ctx *server, *client;
	const char *peer; /* its subject */
	const char *name; /* to verify */
	const char *host; /* NULL: 127.0.0.1 */
	struct sv alpn;
	size_t bytes;
};

struct acceptor {
	struct pair *p;
	int fd, accepted;
	struct tls_ctx *tls;
};

static void accepted_one(void *ctx)
{
	struct acceptor *a = ctx;

	a->p->server.s = stream_accept(a->p->l, a->accepted, a->tls, &end_cb, &a->p->server);
}

static void *accept_one(void *ctx)
{
	struct acceptor *a = ctx;

	a->accepted = accept4(a->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	ev_loop_post(a->p->l, accepted_one, a);
	return NULL;
}

static void pair_run(struct pair *p, const struct trial *t)
{
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t n = sizeof(in);
	struct stream_target target = { .host = t->host ? t->host : "127.0.0.1",
					.tls = t->client,
					.server_name = t->name,
					.peer_name = t->peer,
					.alpn = t->alpn };
	struct acceptor a = { .p = p, .tls = t->server };
	pthread_t thread;

	memset(p, 0, sizeof(*p));
	p->l = ev_loop_new(NULL);
	p->client.pair = p->server.pair = p;
	p->want = p->client.to_send = p->server.to_send = t->bytes;
	a.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(a.fd, (struct sockaddr *)&in, sizeof(in)), 0);
	assert_int_equal(listen(a.fd, 1), 0);
	assert_int_equal(getsockname(a.fd, (struct sockaddr *)&in, &n), 0);
	target.port = ntohs(in.sin_port);
	p->client.s = stream_connect(p->l, &target, 30 * NS_PER_SEC, &end_cb, &p->client);
	assert_int_equal(pthread_create(&thread, NULL, accept_one, &a), 0);
	ev_loop_run(p->l);
	pthread_join(thread, NULL);
	close(a.fd);
	ev_loop_free(p->l);
}

static void pair_release(struct pair *p)
{
	free(p->client.why);
	free(p->client.alpn);
	free(p->server.why);
	free(p->server.alpn);
}

static struct tls_ctx *server_ctx(bool require)
{
	struct tls_server_opts o = {
		.cert_pem = server_cert, .key_pem = server_key, .client_ca_pem = ca_cert, .require_client_cert = require
	};
	struct tls_ctx *c = tls_server_ctx(&o, NULL);

	assert_non_null(c);
	return c;
}

static struct tls_ctx *client_ctx(struct sv ca, struct sv cert, struct sv key)
{
	struct tls_client_opts o = { .ca_pem = ca, .cert_pem = cert, .key_pem = key, .insecure = ca.n == 0 };
	struct tls_ctx *c = tls_client_ctx(&o, NULL);

	assert_non_null(c);
	return c;
}

static void test_plain(void **state)
{
	struct trial t = { .bytes = 3000000, .host = "localhost" };
	struct pair p;

	(void)state;
	pair_run(&p, &t);
	assert_false(p.client.failed);
	assert_int_equal(p.client.got, 3000000);
	assert_int_equal(p.server.got, 3000000);
	pair_release(&p);
}

/* The server's own certificate has ended; to who asks for localhost another one is shown, with which all is well. */
static void test_named_certificate(void **state)
{
	const struct sv names[] = { SV("localhost") };
	const struct tls_named named = { server_cert, server_key, names, 1 };
	struct tls_server_opts o = { .cert_pem = expired_cert, .key_pem = expired_key, .named = &named, .n_named = 1 };
	struct trial t = { .server = tls_server_ctx(&o, NULL),
			   .client = client_ctx(ca_cert, SV_NULL, SV_NULL),
			   .bytes = 1000,
			   .name = "localhost" };
	struct pair p;

	(void)state;
	pair_run(&p, &t);
	assert_false(p.client.failed);
	assert_int_equal(p.client.got, 1000);
	pair_release(&p);
	tls_ctx_unref(t.server);
	tls_ctx_unref(t.client);
}

/* Who comes to an address names nothing, and is shown what was said for that address. */
static void test_certificate_of_address(void **state)
{
	static const char *const rows[] = { "127.0.0.1", "127.0.0.2", "::1", "*", "localhost" };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct sv names[] = { sv_from(rows[i]) };
		const struct tls_named named = { server_cert, server_key, names, 1 };
		struct tls_server_opts o = {
			.cert_pem = expired_cert, .key_pem = expired_key, .named = &named, .n_named = 1
		};
		struct trial t = { .server = tls_server_ctx(&o, NULL),
				   .client = client_ctx(ca_cert, SV_NULL, SV_NULL),
				   .bytes = 1000 };
		struct pair p;

		pair_run(&p, &t);
		assert_int_equal(p.client.failed, i > 0);
		pair_release(&p);
		tls_ctx_unref(t.server);
		tls_ctx_unref(t.client);
	}
}

/* One that says of itself that it is an address (its common name) is not for that: upstream's neither. */
static void test_common_name_of_address(void **state)
{
	struct sv cert, key;
	struct tls_named named = { 0 };
	struct tls_server_opts o = { .named = &named, .n_named = 1 };
	_cleanup_(tls_ctx_unrefp) struct tls_ctx *c = NULL;

	(void)state;
	make("127.0.0.1", false, true, false, now_ns() + 3600 * NS_PER_SEC, ca_cert, ca_key, &cert, &key);
	o.cert_pem = named.cert_pem = cert;
	o.key_pem = named.key_pem = key;
	c = tls_server_ctx(&o, NULL);
	assert_int_equal(tls_ctx_chooses(c, "127.0.0.1"), -1);
	assert_int_equal(tls_ctx_chooses(c, "localhost"), 0);
}

static void test_tls_both_ways(void **state)
{
	struct trial t = { .server = server_ctx(false),
			   .client = client_ctx(ca_cert, SV_NULL, SV_NULL),
			   .alpn = SV("\2h2\10http/1.1"),
			   .bytes = 3000000 };
	struct pair p;

	(void)state;
	pair_run(&p, &t);
	assert_false(p.client.failed);
	assert_false(p.server.failed);
	assert_int_equal(p.client.got, 3000000);
	assert_int_equal(p.server.got, 3000000);
	assert_string_equal(p.client.alpn, "h2");
	assert_string_equal(p.server.alpn, "h2");
	assert_false(p.server.has_cert);
	pair_release(&p);
	tls_ctx_unref(t.server);
	tls_ctx_unref(t.client);
}

static void try_client(struct sv ca, struct sv cert, struct sv key, bool require, const char *name, struct pair *ret)
{
	struct trial t = {
		.server = server_ctx(require), .client = client_ctx(ca, cert, key), .name = name, .bytes = 100
	};

	pair_run(ret, &t);
	tls_ctx_unref(t.server);
	tls_ctx_unref(t.client);
}

static void test_client_certificates(void **state)
{
	struct pair p;

	(void)state;
	try_client(ca_cert, client_cert, client_key, false, NULL, &p);
	assert_true(p.server.has_cert && p.server.verify == X509_V_OK && p.server.got == 100);
	pair_release(&p);

	/* An unverifiable one connects, and is known as such. */
	try_client(ca_cert, foreign_cert, foreign_key, false, NULL, &p);
	assert_true(p.server.has_cert && p.server.verify != X509_V_OK && p.server.got == 100);
	pair_release(&p);
	try_client(ca_cert, expired_cert, expired_key, false, NULL, &p);
	assert_int_equal(p.server.verify, X509_V_ERR_CERT_HAS_EXPIRED);
	assert_int_equal(p.server.got, 100);
	pair_release(&p);
	/* A server's certificate is no client's. */
	try_client(ca_cert, server_cert, server_key, false, NULL, &p);
	assert_int_equal(p.server.verify, X509_V_ERR_INVALID_PURPOSE);
	pair_release(&p);

	/* Unless one is required. */
	try_client(ca_cert, foreign_cert, foreign_key, true, NULL, &p);
	assert_true(p.server.failed && !p.server.ready);
	pair_release(&p);
	try_client(ca_cert, SV_NULL, SV_NULL, true, NULL, &p);
	assert_true(p.server.failed && !p.server.ready);
	pair_release(&p);
	try_client(ca_cert, client_cert, client_key, true, NULL, &p);
	assert_true(p.server.ready && p.server.got == 100);
	pair_release(&p);
}

static void test_server_verification(void **state)
{
	struct pair p;

	(void)state;
	try_client(other_ca, SV_NULL, SV_NULL, false, NULL, &p);
	assert_true(p.client.failed && !p.client.ready);
	assert_string_equal(p.client.why, "TLS handshake: unable to get local issuer certificate");
	pair_release(&p);
	try_client(ca_cert, SV_NULL, SV_NULL, false, "evil.test", &p);
	assert_string_equal(p.client.why, "TLS handshake: hostname mismatch");
	pair_release(&p);
	try_client(ca_cert, SV_NULL, SV_NULL, false, "a.caravel.test", &p);
	assert_false(p.client.failed);
	pair_release(&p);
	try_client(ca_cert, SV_NULL, SV_NULL, false, "127.0.0.2", &p);
	assert_true(p.client.failed);
	pair_release(&p);
	try_client(SV_NULL, SV_NULL, SV_NULL, false, "evil.test", &p); /* insecure */
	assert_false(p.client.failed);
	pair_release(&p);
}

/* A right address is not enough where the peer is named: any other certificate of the same CA could be for it, too. */
static void test_named_peer(void **state)
{
	static const struct {
		const char *peer, *name;
		bool good;
	} cases[] = {
		{ "system:node:a", NULL, true },	 { "system:node:b", NULL, false },
		{ "system:node:", NULL, false },	 { "node:a", NULL, false },
		{ "system:node:aa", NULL, false },	 { "*", NULL, false },
		{ "system:node:a", "127.0.0.2", false }, /* nor is the right peer at another's address */
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct trial t = { .server = server_ctx(false),
				   .client = client_ctx(ca_cert, SV_NULL, SV_NULL),
				   .name = cases[i].name,
				   .peer = cases[i].peer,
				   .bytes = 100 };
		struct pair p;

		pair_run(&p, &t);
		assert_int_equal(!p.client.failed, cases[i].good);
		assert_int_equal(p.client.ready, cases[i].good);
		pair_release(&p);
		tls_ctx_unref(t.server);
		tls_ctx_unref(t.client);
	}
}

/* --- connecting to nothing --- */

static void stop_loop_closed(struct stream *s, const struct err *err, void *ctx)
{
	struct end *e = ctx;

	(void)s;
	e->closed = true;
	e->why = xstrdup(err ? err_msg(err) : "");
	ev_loop_stop(e->pair->l);
}

static const struct stream_cb refused_cb = { .ready = end_ready, .data = end_data, .closed = stop_loop_closed };

static void test_refused(void **state)
{
	struct pair p = { .l = ev_loop_new(NULL) };
	struct end e = { .pair = &p };
	struct stream_target t = { .host = "unix:/nonexistent/socket" };

	(void)state;
	stream_connect(p.l, &t, NS_PER_SEC, &refused_cb, &e);
	assert_false(e.closed); /* never from inside the call */
	ev_loop_run(p.l);
	assert_string_equal(e.why, "connecting to unix:/nonexistent/socket: No such file or directory");
	free(e.why);

	/* Aborted while resolving; then abandoned to the loop's end. */
	t.host = "localhost";
	t.port = 1;
	stream_abort(stream_connect(p.l, &t, NS_PER_SEC, &refused_cb, &e));
	ev_loop_run(p.l);
	assert_string_equal(e.why, "");
	free(e.why);
	stream_connect(p.l, &t, NS_PER_SEC, &refused_cb, &e);
	ev_loop_free(p.l);
	free(e.why);
}

/* What is not asked for is not read; who trusts the system reads it, once. */
static void test_system_anchors(void **state)
{
	_cleanup_(err_release) struct err err = ERR_INIT;
	_cleanup_(tls_ctx_unrefp) struct tls_ctx *any =
	    tls_client_ctx(&(struct tls_client_opts){ .insecure = true }, &err);
	_cleanup_(tls_ctx_unrefp) struct tls_ctx *c = NULL;

	(void)state;
	assert_non_null(any);
	assert_false(tls_system_loaded());
	c = tls_client_ctx(&(struct tls_client_opts){ .insecure = false }, &err);
	assert_non_null(c);
	assert_true(tls_system_loaded());
	tls_system_load();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_system_anchors),
		cmocka_unit_test(test_certificate_text),
		cmocka_unit_test(test_long_names_and_bad_addresses),
		cmocka_unit_test(test_rsa_key),
		cmocka_unit_test(test_contexts_refuse_junk),
		cmocka_unit_test(test_plain),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_named_certificate),
		cmocka_unit_test(test_certificate_of_address),
		cmocka_unit_test(test_common_name_of_address),
		cmocka_unit_test(test_tls_both_ways),
		cmocka_unit_test(test_client_certificates),
		cmocka_unit_test(test_server_verification),
		cmocka_unit_test(test_named_peer),
		cmocka_unit_test(test_refused),
	};

	return cmocka_run_group_tests_name("net/tls", tests, setup, teardown);
}
