/* What runs on a loop's thread checks by BUG_ON(): a failed assertion there would not be the test's. */
#include "http_server_fixture.h"

#include "base/buf.h"
#include "unit.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define BOUND ((size_t)256 * 1024)

static void bump(struct fixture *f, int *counter)
{
	pthread_mutex_lock(&f->lock);
	++*counter;
	pthread_cond_broadcast(&f->changed);
	pthread_mutex_unlock(&f->lock);
}

int fixture_setup(void **state, const struct http_server_opts *o)
{
	static struct fixture f;

	fixture_start(&f, o);
	*state = &f;
	return 0;
}

int fixture_teardown(void **state)
{
	fixture_stop(*state, 10 * NS_PER_SEC);
	return 0;
}

void fixture_wait(struct fixture *f, const int *counter, int at_least)
{
	pthread_mutex_lock(&f->lock);
	while (*counter < at_least)
		pthread_cond_wait(&f->changed, &f->lock);
	pthread_mutex_unlock(&f->lock);
}

static const struct http_header plain[] = { { SV("Content-Type"), SV("text/plain") } };

static void answer_echo(struct http_req *r, void *ctx)
{
	struct sv text = arena_svf(r->arena, "%.*s %.*s?%.*s host=%.*s v%d body=%.*s", SV_ARG(r->method),
				   SV_ARG(r->path), SV_ARG(r->query), SV_ARG(r->host), r->version, SV_ARG(r->body));

	(void)ctx;
	http_respond_text(r, 200, "text/plain", text);
}

static void later_task(void *p)
{
	struct http_req *r = p;

	http_req_post(r, answer_echo, NULL);
	http_req_unref(r);
}

static char *pattern(struct http_req *r, size_t n, size_t from)
{
	char *p = r ? arena_alloc(r->arena, n) : xmalloc(n);

	for (size_t i = 0; i < n; i++)
		p[i] = (char)('a' + (from + i) % 26);
	return p;
}

struct making {
	struct http_source src;
	struct fixture *f;
	size_t n, at;
};

static bool make_more(struct http_source *s, struct http_chunk *ret)
{
	struct making *m = (struct making *)s;
	size_t take = MIN(m->n - m->at, m->at % 3 ? 700 : 20000);
	char *p;

	if (m->at == m->n)
		return false;
	p = pattern(NULL, take, m->at);
	*ret = (struct http_chunk){ .data = { p, take }, .release = free, .owner = p };
	m->at += take;
	pthread_mutex_lock(&m->f->lock);
	m->f->source_made = m->at;
	pthread_mutex_unlock(&m->f->lock);
	return true;
}

static void make_end(struct http_source *s)
{
	struct fixture *f = ((struct making *)s)->f;

	bump(f, &f->sources_released);
}

struct streaming {
	struct fixture *f;
	size_t n, at;
};

static void stream_more(struct http_req *r)
{
	struct streaming *st = r->user;
	size_t queued = 0, most;

	while (st->at < st->n && queued < BOUND) {
		size_t take = MIN(st->n - st->at, st->at % 3 ? 700 : 20000);
		char *p = pattern(NULL, take, st->at);
		struct http_chunk c = { .data = { p, take }, .release = free, .owner = p };

		queued = http_stream_write(r, &c);
		st->at += take;
	}
	most = queued;
	pthread_mutex_lock(&st->f->lock);
	st->f->drains++;
	st->f->most_queued = MAX(st->f->most_queued, most);
	pthread_cond_broadcast(&st->f->changed);
	pthread_mutex_unlock(&st->f->lock);
	if (st->at == st->n)
		http_stream_end(r);
}

static void on_gone(struct http_req *r)
{
	struct fixture *f = r->user;

	BUG_ON(!http_req_gone(r));
	pthread_mutex_lock(&f->lock);
	if (f->hold == r) {
		f->hold = NULL;
		http_req_unref(r);
	}
	f->gone++;
	pthread_cond_broadcast(&f->changed);
	pthread_mutex_unlock(&f->lock);
}

static void tunnel_data(struct http_tunnel *t, struct sv bytes, void *ctx)
{
	(void)ctx;
	http_tunnel_write(t, bytes);
	if (sv_ends(bytes, SV("bye")))
		http_tunnel_close(t);
}

static void tunnel_closed(struct http_tunnel *t, void *ctx)
{
	struct fixture *f = ctx;

	(void)t;
	bump(f, &f->tunnels_closed);
}

static void answer_peer(struct http_req *r)
{
	struct buf b = BUF_INIT;

	buf_printf(&b, "cert=%d bad=%d cn=%.*s", r->peer->has_cert, r->peer->bad_cert, SV_ARG(r->peer->common_name));
	if (r->peer->proxy_cert)
		buf_adds(&b, " proxy");
	for (size_t i = 0; i < r->peer->n_organizations; i++)
		buf_printf(&b, " o=%.*s", SV_ARG(r->peer->organizations[i]));
	buf_printf(&b, " from=%.*s", SV_ARG(sv_sub(r->peer->address, 0, 10)));
	http_respond_text(r, 200, "text/plain", buf_sv(&b));
	buf_release(&b);
}

static void arena_gone(void *ctx)
{
	struct fixture *f = ctx;

	bump(f, &f->shed);
}

/* --- bodies that stream --- */

struct upload {
	struct fixture *f;
	uint64_t n;
	bool differs;
};

static void upload_rest(struct http_req *r, struct fixture *f)
{
	http_body_pause(r, true);
	pthread_mutex_lock(&f->lock);
	f->hold = http_req_ref(r);
	f->held++;
	pthread_cond_broadcast(&f->changed);
	pthread_mutex_unlock(&f->lock);
}

static void upload_data(struct http_req *r, struct sv bytes, void *ctx)
{
	struct upload *u = ctx;
	bool first = u->n == 0;

	for (size_t i = 0; i < bytes.n; i++)
		u->differs |= bytes.p[i] != (char)('a' + (u->n + i) % 26);
	u->n += bytes.n;
	pthread_mutex_lock(&u->f->lock);
	u->f->up_bytes = u->n;
	pthread_mutex_unlock(&u->f->lock);
	bump(u->f, &u->f->uploads);
	if (sv_is(r->path, "/up/each") || (first && (sv_is(r->path, "/up/rest") || sv_is(r->path, "/up/mute"))))
		upload_rest(r, u->f);
	if (sv_is(r->path, "/up/first"))
		http_respond_text(r, 403, "text/plain", SV("no more"));
}

static void upload_end(struct http_req *r, bool whole, void *ctx)
{
	const struct upload *u = ctx;
	struct sv text = arena_svf(r->arena, "%" PRIu64 " bytes, %s, %s", u->n, u->differs ? "others" : "as sent",
				   whole ? "whole" : "broken");

	if (sv_is(r->path, "/up/mute"))
		return;
	http_respond_text(r, whole ? 200 : 400, "text/plain", text);
}

static void upload_begin(struct http_req *r, struct fixture *f)
{
	static const struct http_body_cb cb = { .data = upload_data, .end = upload_end };
	struct upload *u = ARENA_NEW(r->arena, struct upload);

	BUG_ON(!(r->body_streams && !r->body.n));
	u->f = f;
	if (sv_is(r->path, "/up/refuse")) {
		http_respond_text(r, 403, "text/plain", SV("not at all"));
		return;
	}
	r->user = f;
	r->on_gone = on_gone;
	http_body_start(r, &cb, u);
}

static bool streams(struct http_req *r, void *ctx)
{
	(void)ctx;
	return sv_starts(r->path, SV("/up/"));
}

static size_t query_n(struct http_req *r)
{
	uint64_t n = 0;
	struct sv v;

	if (http_query_get(r, "n", &v))
		(void)sv_to_u64(v, &n);
	return (size_t)n;
}

static void handler(struct http_req *r, void *ctx)
{
	struct fixture *f = ctx;

	BUG_ON(!ev_loop_is_current(http_req_loop(r)));
	if (sv_is(r->path, "/echo")) {
		answer_echo(r, NULL);
	} else if (sv_is(r->path, "/later")) {
		env_post(f->env, ENV_REQUESTS, later_task, http_req_ref(r));
	} else if (sv_is(r->path, "/size")) {
		size_t n = query_n(r), half = n / 2;
		char *p = pattern(r, n ? n : 1, 0);
		const struct http_chunk c[] = { { .data = { p, half } }, { .data = { p + half, n - half } } };

		http_respond(r, 200, plain, 1, c, 2);
	} else if (sv_is(r->path, "/arena")) {
		const struct http_chunk c = { .data = { pattern(r, query_n(r), 0), query_n(r) } };

		arena_defer(r->arena, arena_gone, f);
		http_respond(r, 200, plain, 1, &c, 1);
	} else if (sv_is(r->path, "/source")) {
		struct making *m = ARENA_NEW(r->arena, struct making);

		m->f = f;
		m->n = query_n(r);
		m->src = (struct http_source){ .total = sv_ends(r->query, SV("&unknown")) ? -1 : (int64_t)m->n,
					       .next = make_more,
					       .release = make_end };
		http_respond_source(r, 200, plain, 1, &m->src);
	} else if (sv_is(r->path, "/stream")) {
		struct streaming *st = ARENA_NEW(r->arena, struct streaming);

		st->f = f;
		st->n = query_n(r);
		r->user = st;
		r->on_drain = stream_more;
		http_stream_begin(r, 200, plain, 1);
		stream_more(r);
	} else if (sv_is(r->path, "/torn")) {
		const struct http_chunk c = { .data = SV("half an ans") };

		http_stream_begin(r, 200, plain, 1);
		http_stream_write(r, &c);
		http_stream_abort(r);
	} else if (sv_is(r->path, "/hold")) {
		r->user = f;
		r->on_gone = on_gone;
		pthread_mutex_lock(&f->lock);
		f->hold = http_req_ref(r);
		f->held++;
		pthread_cond_broadcast(&f->changed);
		pthread_mutex_unlock(&f->lock);
	} else if (sv_is(r->path, "/watch")) {
		const struct http_chunk c = { .data = SV("{\"type\":\"ADDED\"}\n") };

		r->user = f;
		r->on_gone = on_gone;
		http_stream_begin(r, 200, plain, 1);
		http_stream_write(r, &c);
		bump(f, &f->watches);
	} else if (sv_is(r->path, "/upgrade")) {
		const struct http_header h = { SV("Upgrade"), SV("echo") };
		const struct http_tunnel_cb cb = { .data = tunnel_data, .closed = tunnel_closed };

		if (!http_upgrade(r, &h, 1, &cb, f))
			http_respond_text(r, 400, "text/plain", SV("cannot upgrade"));
	} else if (sv_starts(r->path, SV("/up/")) && r->body_streams) {
		upload_begin(r, f);
	} else if (sv_is(r->path, "/peer")) {
		answer_peer(r);
	} else {
		http_respond_text(r, 404, "text/plain", SV("not found"));
	}
}

static void too_large(struct http_req *r, void *ctx)
{
	struct fixture *f = ctx;

	bump(f, &f->too_large);
	http_respond_text(r, 413, "application/json", SV("{\"code\":413}"));
}

static void calmed(const struct http_peer *peer, const char *what, void *ctx)
{
	struct fixture *f = ctx;

	BUG_ON(!(peer->address.n > 0));
	pthread_mutex_lock(&f->lock);
	(void)snprintf(f->calmed_for, sizeof(f->calmed_for), "%s", what);
	pthread_mutex_unlock(&f->lock);
	bump(f, &f->calmed);
}

static void *run(void *l)
{
	ev_loop_run(l);
	return NULL;
}

void fixture_start(struct fixture *f, const struct http_server_opts *o)
{
	struct http_server_opts opts = *o;
	struct err err = ERR_INIT;

	memset(f, 0, sizeof(*f));
	pthread_mutex_init(&f->lock, NULL);
	pthread_cond_init(&f->changed, NULL);
	f->env = env_real_new(2);
	for (size_t i = 0; i < ARRAY_LEN(f->loops); i++)
		f->loops[i] = ev_loop_new(NULL);
	opts.handler = handler;
	opts.streams = streams;
	opts.too_large = too_large;
	opts.calmed = calmed;
	opts.ctx = f;
	if (!opts.bind_address)
		opts.bind_address = "127.0.0.1";
	f->server = http_server_start(f->loops, ARRAY_LEN(f->loops), &opts, &err);
	if (!f->server)
		fail_msg("%s", err_msg(&err));
	f->port = http_server_port(f->server);
	for (size_t i = 0; i < ARRAY_LEN(f->loops); i++)
		assert_int_equal(pthread_create(&f->threads[i], NULL, run, f->loops[i]), 0);
}

void fixture_stop(struct fixture *f, int64_t grace_ns)
{
	http_server_stop(f->server, grace_ns);
	env_real_free(f->env);
	for (size_t i = 0; i < ARRAY_LEN(f->loops); i++) {
		ev_loop_stop(f->loops[i]);
		pthread_join(f->threads[i], NULL);
	}
	for (size_t i = 0; i < ARRAY_LEN(f->loops); i++)
		ev_loop_free(f->loops[i]);
	pthread_mutex_destroy(&f->lock);
	pthread_cond_destroy(&f->changed);
}

static void release_held(struct http_req *r, void *ctx)
{
	struct fixture *f = ctx;

	pthread_mutex_lock(&f->lock);
	f->hold = NULL;
	pthread_mutex_unlock(&f->lock);
	if (r->body_streams) {
		http_body_pause(r, false);
		http_req_unref(r);
		return;
	}
	http_respond_text(r, 200, "text/plain", SV("released"));
	http_req_unref(r);
}

void fixture_release(struct fixture *f)
{
	http_req_post(f->hold, release_held, f);
}

int client_connect(const struct fixture *f)
{
	struct sockaddr_in in = { .sin_family = AF_INET,
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
				  .sin_port = htons((uint16_t)f->port) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(connect(fd, (struct sockaddr *)&in, sizeof(in)), 0);
	return fd;
}

void client_send(int fd, struct sv bytes)
{
	while (bytes.n) {
		ssize_t r = send(fd, bytes.p, bytes.n, MSG_NOSIGNAL);

		if (r < 0)
			return; /* the server has had enough; the test looks at what it said */
		bytes = sv_sub(bytes, (size_t)r, bytes.n);
	}
}

void client_sends(int fd, const char *text)
{
	client_send(fd, sv_from(text));
}

char *client_read(int fd, const char *until, size_t *ret_n)
{
	struct buf b = BUF_INIT;
	char tmp[16384];

	buf_adds(&b, "");
	while (!until || sv_find_sv(buf_sv(&b), sv_from(until)) < 0) {
		ssize_t r = recv(fd, tmp, until ? 1 : sizeof(tmp), 0);

		if (r <= 0)
			break;
		buf_add(&b, tmp, (size_t)r);
	}
	if (ret_n)
		*ret_n = b.n;
	return buf_detach(&b);
}

bool client_at_end(int fd)
{
	char c;

	return recv(fd, &c, 1, 0) == 0;
}
