#include "store/etcd/link.h"

#include "base/log.h"
#include "store/etcd/wire.h"
#include "store/store.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#define CONNECT_NS (3 * NS_PER_SEC)
#define PING_NS (6 * NS_PER_SEC) /* etcd takes one in five seconds for an attack */
#define PING_TIMEOUT_NS (3 * NS_PER_SEC)
#define TRY_NS (10 * NS_PER_SEC)
#define TICK_NS NS_PER_SEC
#define PROBE_TICKS 3
#define PROBE_NS STORE_SLOW_NS
#define PAUSE_NS (100 * NS_PER_MS) /* between two rounds of all endpoints, doubled up to */
#define PAUSE_MAX_NS (2 * NS_PER_SEC)
#define HURRY_NS NS_PER_SEC
#define HURRY_LOOK_NS (100 * NS_PER_MS)

struct link {
	struct env *env;
	struct ev_loop *loop;
	struct link_cb cb;
	void *ctx;
	const struct link_endpoint *e;
	size_t n, at;
	struct tls_ctx *tls;
	int patience;		 /* limits of time are so many times as long */
	struct grpc_mux *mux;	 /* opening, or up */
	bool up, stopping, told; /* told: that something is wrong was logged */
	bool ill;		 /* nothing was answered since something failed */
	int fails;		 /* connections that ended since something was answered */
	struct list waiting, asked;
	struct ev_timer *again, *tick, *hurry;
	bool over; /* in a hurry, and something had no answer: nothing has one any more */
	int ticks;
	struct grpc_call *probe, *status;
	pthread_mutex_t mu;   /* guards what follows */
	int64_t ill_since_ns; /* of the environment's clock; 0: a majority has answered */
	bool slow, no_space, corrupt;
	uint64_t bytes;
	struct err why; /* the last failure since then */
};

/* --- health --- */

/* NULL: it is well. */
static void link_note(struct link *l, const struct err *why)
{
	l->ill = why != NULL;
	pthread_mutex_lock(&l->mu);
	err_release(&l->why);
	if (why)
		err_copy(&l->why, why);
	if (!why)
		l->ill_since_ns = 0;
	else if (!l->ill_since_ns)
		l->ill_since_ns = MAX(env_mono_ns(l->env), 1);
	pthread_mutex_unlock(&l->mu);
}

/* Something was answered by a majority. */
static void link_answered(struct link *l)
{
	l->fails = 0;
	if (l->ill)
		link_note(l, NULL);
	if (l->told)
		log_info("etcd", "answers again", "host", "%s", l->e[l->at].host);
	l->told = false;
}

static void link_tell(struct link *l, const struct err *why)
{
	if (!l->told)
		log_warn("etcd", "does not answer", "why", "%s", why ? err_msg(why) : "it was left");
	l->told = true;
}

bool link_healthy(struct link *l, struct err *why)
{
	bool well = false;
	int64_t now = env_mono_ns(l->env);

	pthread_mutex_lock(&l->mu);
	if (l->corrupt) {
		err_set(why, ERR_UNAVAILABLE, "etcdserver: corrupt cluster");
	} else if (l->no_space) {
		err_set(why, ERR_UNAVAILABLE, "etcdserver: mvcc: database space exceeded");
		if (why)
			why->errnum = ENOSPC;
	} else if (l->ill_since_ns && now - l->ill_since_ns > STORE_SLOW_NS) {
		if (l->why.reason)
			err_copy(why, &l->why);
		else
			err_set(why, ERR_UNAVAILABLE, "no etcd answers");
	} else if (l->slow) {
		err_set(why, ERR_UNAVAILABLE, "etcd keeps a request waiting");
		if (why)
			why->errnum = ETIMEDOUT;
	} else {
		well = true;
	}
	pthread_mutex_unlock(&l->mu);
	return well;
}

uint64_t link_bytes(struct link *l)
{
	uint64_t bytes;

	pthread_mutex_lock(&l->mu);
	bytes = l->bytes;
	pthread_mutex_unlock(&l->mu);
	return bytes;
}

static void probe_message(struct grpc_call *c _unused_, struct sv m _unused_, void *ctx _unused_)
{
	/* That it comes is all. */
}

static void probe_end(struct grpc_call *c _unused_, const struct grpc_end *e, void *ctx)
{
	struct link *l = ctx;

	l->probe = NULL;
	if (e->code == GRPC_OK) {
		link_answered(l);
		return;
	}
	if (l->up && etcd_fault_passes(e))
		link_leave(l, e->message);
}

static void status_message(struct grpc_call *c _unused_, struct sv m, void *ctx)
{
	struct etcd_status_said s;
	struct link *l = ctx;

	if (!etcd_status_read(m, &s))
		return;
	pthread_mutex_lock(&l->mu);
	l->bytes = s.bytes;
	l->no_space = s.no_space;
	l->corrupt = s.corrupt;
	pthread_mutex_unlock(&l->mu);
}

static void status_end(struct grpc_call *c _unused_, const struct grpc_end *e _unused_, void *ctx)
{
	((struct link *)ctx)->status = NULL;
}

static void link_probe(struct link *l)
{
	static const struct grpc_call_cb probe_cb = { probe_message, probe_end },
					 status_cb = { status_message, status_end };
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	if (!l->up)
		return;
	if (!l->probe) {
		etcd_look_write(&b, 0);
		l->probe = grpc_mux_call(l->mux,
					 &(struct grpc_call_opts){ .method = "/etcdserverpb.KV/Range",
								   .timeout_ns = l->patience * PROBE_NS },
					 buf_sv(&b), &probe_cb, l);
	}
	if (!l->status)
		l->status = grpc_mux_call(l->mux,
					  &(struct grpc_call_opts){ .method = "/etcdserverpb.Maintenance/Status",
								    .timeout_ns = l->patience * PROBE_NS },
					  SV(""), &status_cb, l);
}

/* --- requests --- */

static void link_send(struct link *l, struct link_req *r);

static void link_req_end(struct link_req *r, const struct grpc_end *e)
{
	struct buf answer = r->answer;

	list_del(&r->link);
	r->answer = BUF_INIT;
	r->done(r, e, e->code == GRPC_OK ? buf_sv(&answer) : SV("")); /* it may be gone */
	buf_release(&answer);
}

static void req_message(struct grpc_call *c _unused_, struct sv m, void *ctx)
{
	struct link_req *r = ctx;

	buf_clear(&r->answer);
	buf_addsv(&r->answer, m);
	r->answered = true;
}

/* Of who is in the cluster a member says what holds at all of them, or what a probe sees as well. So what others ask
 * does not lose its connection by such an answer. */
static bool req_of_members(const struct link_req *r)
{
	return sv_starts(sv_from(r->method), SV("/etcdserverpb.Cluster/"));
}

static void req_end(struct grpc_call *c _unused_, const struct grpc_end *e, void *ctx)
{
	struct link_req *r = ctx;
	struct link *l = r->of;
	struct grpc_end none = { .code = GRPC_INTERNAL, .message = "there is no answer", .begun = true };

	r->call = NULL;
	if (e->code == GRPC_OK) {
		link_answered(l);
		link_req_end(r, r->answered ? e : &none);
		return;
	}
	r->ambiguous = r->ambiguous || (e->begun && e->code != GRPC_RESOURCE_EXHAUSTED);
	if (l->stopping || !etcd_fault_passes(e) || ev_loop_now_ns(l->loop) >= r->until_ns) {
		link_req_end(r, e);
		return;
	}
	list_del(&r->link);
	list_add_tail(&l->waiting, &r->link); /* until the link is up again, or for a tick */
	if (r->ambiguous && r->doubt)
		r->doubt(r);
	if (e->by_peer && l->n > 1 && e->code != GRPC_RESOURCE_EXHAUSTED && l->up && !req_of_members(r))
		link_leave(l, e->message);
}

static void link_send(struct link *l, struct link_req *r)
{
	static const struct grpc_call_cb cb = { req_message, req_end };
	int64_t left = r->until_ns - ev_loop_now_ns(l->loop);
	struct grpc_call_opts o = { .method = r->method,
				    .timeout_ns = MAX(MIN(left, l->patience * TRY_NS), NS_PER_MS) };

	list_del(&r->link);
	list_add_tail(&l->asked, &r->link);
	r->answered = false;
	r->since_ns = ev_loop_now_ns(l->loop);
	r->call = grpc_mux_call(l->mux, &o, buf_sv(&r->request), &cb, r);
}

static void link_flush(struct link *l)
{
	struct list now;

	/* Those that are there: one that fails at once waits for the next time. */
	list_init(&now);
	while (!list_empty(&l->waiting)) {
		struct list *it = l->waiting.next;

		list_del(it);
		list_add_tail(&now, it);
	}
	while (!list_empty(&now)) {
		struct link_req *r = LIST_ENTRY(now.next, struct link_req, link);

		if (l->up) {
			link_send(l, r);
		} else {
			list_del(&r->link);
			list_add_tail(&l->waiting, &r->link);
		}
	}
}

void link_request(struct link *l, struct link_req *r)
{
	r->of = l;
	r->call = NULL;
	r->answer = BUF_INIT;
	r->since_ns = ev_loop_now_ns(l->loop);
	list_init(&r->link);
	list_add_tail(&l->waiting, &r->link);
	if (l->hurry)
		r->until_ns = MIN(r->until_ns, ev_loop_now_ns(l->loop) + HURRY_NS);
	if (l->stopping || l->over)
		link_req_end(r, &(struct grpc_end){ .code = GRPC_UNAVAILABLE, .message = "the store is closing" });
	else if (l->up)
		link_send(l, r);
}

struct grpc_mux *link_mux(struct link *l)
{
	return l->up ? l->mux : NULL;
}

/* Of those that wait for a connection: their time may be up as well. */
static void link_expire(struct link *l, int64_t now)
{
	struct grpc_end e = { .code = GRPC_UNAVAILABLE };
	_cleanup_free_ char *words = NULL;

	pthread_mutex_lock(&l->mu);
	words = xstrdup(l->why.reason ? err_msg(&l->why) : "no etcd answers");
	pthread_mutex_unlock(&l->mu);
	e.message = words;
	for (struct list *it = l->waiting.next; it != &l->waiting;) {
		struct link_req *r = LIST_ENTRY(it, struct link_req, link);

		it = it->next;
		if (now >= r->until_ns)
			link_req_end(r, &e);
	}
}

static void link_tick(void *ctx)
{
	struct link *l = ctx;
	int64_t now = ev_loop_now_ns(l->loop);
	bool slow = false;

	link_expire(l, now);
	if (l->up)
		link_flush(l);
	LIST_EACH(&l->asked, it)
		slow = slow || now - LIST_ENTRY(it, struct link_req, link)->since_ns > STORE_SLOW_NS;
	pthread_mutex_lock(&l->mu);
	l->slow = slow;
	pthread_mutex_unlock(&l->mu);
	if (l->ticks++ % PROBE_TICKS == 0)
		link_probe(l);
}

/* --- for an end --- */

static bool link_any_late(const struct list *l, int64_t now)
{
	LIST_EACH(l, it)
		if (now >= LIST_ENTRY(it, struct link_req, link)->until_ns)
			return true;
	return false;
}

static void link_end_all(struct list *list)
{
	while (!list_empty(list)) {
		struct link_req *r = LIST_ENTRY(list->next, struct link_req, link);

		if (r->call) {
			r->ambiguous = true;
			grpc_call_cancel(TAKE(r->call));
		}
		link_req_end(r, &(struct grpc_end){ .code = GRPC_UNAVAILABLE, .message = "the store is closing" });
	}
}

static void link_hurry_look(void *ctx)
{
	struct link *l = ctx;
	int64_t now = ev_loop_now_ns(l->loop);

	if (l->over || (!link_any_late(&l->waiting, now) && !link_any_late(&l->asked, now)))
		return;
	l->over = true; /* whoever hears of it may ask on */
	l->ill = true;
	pthread_mutex_lock(&l->mu);
	l->ill_since_ns = 1; /* long ago: it is known now */
	pthread_mutex_unlock(&l->mu);
	link_end_all(&l->waiting);
	link_end_all(&l->asked);
}

static void link_hurry_list(struct list *list, int64_t until)
{
	LIST_EACH(list, it) {
		struct link_req *r = LIST_ENTRY(it, struct link_req, link);

		r->until_ns = MIN(r->until_ns, until);
	}
}

void link_hurry(struct link *l)
{
	int64_t until = ev_loop_now_ns(l->loop) + HURRY_NS;

	if (l->hurry || l->stopping)
		return;
	link_hurry_list(&l->waiting, until);
	link_hurry_list(&l->asked, until);
	l->hurry = ev_timer_start(l->loop, HURRY_LOOK_NS, HURRY_LOOK_NS, link_hurry_look, l);
}

bool link_over(const struct link *l)
{
	return l->over;
}

/* --- connections --- */

static void link_open(struct link *l);

static void link_again(void *ctx)
{
	struct link *l = ctx;

	l->again = ev_timer_stop(l->again);
	link_open(l);
}

static void link_up(struct grpc_mux *m _unused_, void *ctx)
{
	struct link *l = ctx;

	l->up = true;
	link_probe(l);
	l->cb.up(l, l->ctx);
	link_flush(l);
}

static void link_down(struct grpc_mux *m _unused_, const struct err *why, void *ctx)
{
	struct link *l = ctx;
	int64_t pause = PAUSE_NS;

	l->mux = NULL;
	l->up = false;
	if (why)
		link_note(l, why);
	l->cb.down(l, l->ctx);
	if (l->stopping) {
		l->cb.stopped(l, l->ctx);
		return;
	}
	l->at = (l->at + 1) % l->n;
	l->fails++;
	if (l->fails > (int)l->n)
		link_tell(l, why);
	for (int i = (int)l->n; i < l->fails && pause < PAUSE_MAX_NS; i++)
		pause *= 2;
	if (l->fails < (int)l->n)
		pause = 0;
	l->again = ev_timer_start(l->loop, env_jitter(l->env, MIN(pause, PAUSE_MAX_NS), 200), 0, link_again, l);
}

static void link_open(struct link *l)
{
	static const struct grpc_mux_cb cb = { link_up, link_down };
	const struct link_endpoint *e = &l->e[l->at];

	l->mux = grpc_mux_open(l->loop,
			       &(struct grpc_mux_opts){ .host = e->host,
							.port = e->port,
							.tls = e->tls ? l->tls : NULL,
							.connect_timeout_ns = l->patience * CONNECT_NS,
							.ping_ns = PING_NS,
							.ping_timeout_ns = l->patience * PING_TIMEOUT_NS,
							.message_max = LINK_MESSAGE_MAX },
			       &cb, l);
}

void link_leave(struct link *l, const char *why)
{
	_cleanup_(err_release) struct err err = ERR_INIT;

	if (!l->up || l->stopping)
		return;
	err_set(&err, ERR_UNAVAILABLE, "etcd at %s: %s", l->e[l->at].host, why);
	link_note(l, &err);
	link_tell(l, &err);
	l->up = false;
	grpc_mux_close(l->mux);
}

struct link *link_new(struct env *env, struct ev_loop *loop, const struct link_endpoint *e, size_t n,
		      struct tls_ctx *tls, int patience, const struct link_cb *cb, void *ctx)
{
	struct link *l = xcalloc(1, sizeof(*l));

	l->env = env;
	l->loop = loop;
	l->e = e;
	l->n = n;
	l->tls = tls ? tls_ctx_ref(tls) : NULL;
	l->patience = patience;
	l->cb = *cb;
	l->ctx = ctx;
	list_init(&l->waiting);
	list_init(&l->asked);
	pthread_mutex_init(&l->mu, NULL);
	l->ill_since_ns = MAX(env_mono_ns(env), 1);
	l->ill = true;
	return l;
}

void link_start(struct link *l)
{
	l->tick = ev_timer_start(l->loop, TICK_NS, TICK_NS, link_tick, l);
	link_open(l);
}

void link_stop(struct link *l)
{
	l->stopping = true;
	l->tick = ev_timer_stop(l->tick);
	l->again = ev_timer_stop(l->again);
	l->hurry = ev_timer_stop(l->hurry);
	while (!list_empty(&l->waiting))
		link_req_end(LIST_ENTRY(l->waiting.next, struct link_req, link),
			     &(struct grpc_end){ .code = GRPC_UNAVAILABLE, .message = "the store is closing" });
	if (l->mux)
		grpc_mux_close(l->mux);
	else
		l->cb.stopped(l, l->ctx);
}

struct link *link_free(struct link *l)
{
	if (!l)
		return NULL;
	tls_ctx_unref(l->tls);
	err_release(&l->why);
	pthread_mutex_destroy(&l->mu);
	free(l);
	return NULL;
}

void link_grow(struct link *l, size_t n)
{
	l->n = MAX(l->n, MIN(n, (size_t)LINK_ENDPOINTS_MAX));
}

/* --- endpoints --- */

static int endpoint_read(struct sv text, struct link_endpoint *ret, struct err *err)
{
	struct sv rest = text, host;
	uint64_t port = 2379;
	ssize_t colon;

	ret->tls = sv_starts(rest, SV("https://"));
	if (sv_starts(rest, SV("unix://")))
		rest = sv_sub(rest, 7, rest.n);
	else if (sv_starts(rest, SV("unix:")))
		rest = sv_sub(rest, 5, rest.n);
	if (rest.p != text.p) {
		ret->host = xasprintf("unix:%.*s", SV_ARG(rest));
		ret->port = 0;
		return rest.n ? 0 : err_set(err, ERR_INVALID, "'%.*s' names no socket", SV_ARG(text));
	}
	if (sv_starts(rest, SV("http://")) || ret->tls)
		rest = sv_sub(rest, ret->tls ? 8 : 7, rest.n);
	if (rest.n && rest.p[rest.n - 1] == '/')
		rest.n--;
	colon = rest.n && rest.p[0] == '[' ? sv_find(rest, ']') + 1 : sv_find(rest, ':');
	if (colon <= 0)
		colon = (ssize_t)rest.n;
	host = sv_sub(rest, 0, (size_t)colon);
	rest = sv_sub(rest, (size_t)colon, rest.n);
	if (host.n > 2 && host.p[0] == '[')
		host = sv_sub(host, 1, host.n - 2);
	if (!host.n || memchr(host.p, '/', host.n) ||
	    (rest.n && (rest.p[0] != ':' || !sv_to_u64(sv_sub(rest, 1, rest.n), &port))) || port == 0 ||
	    port > UINT16_MAX)
		return err_set(err, ERR_INVALID, "'%.*s' is no endpoint of etcd: they are like http://10.0.0.1:2379",
			       SV_ARG(text));
	ret->host = xstrndup(host.p, host.n);
	ret->port = (int)port;
	return 0;
}

int link_endpoints_read(struct sv text, struct link_endpoint *ret, size_t *ret_n, struct err *err)
{
	struct sv one;
	size_t n = 0;

	*ret_n = 0;
	while (sv_split(&text, ',', &one)) {
		one = sv_trim(one);
		if (!one.n)
			continue;
		if (n == LINK_ENDPOINTS_MAX) {
			link_endpoints_free(ret, n);
			return err_set(err, ERR_INVALID, "there are more than %d endpoints", LINK_ENDPOINTS_MAX);
		}
		ret[n] = (struct link_endpoint){ .host = NULL };
		if (endpoint_read(one, &ret[n], err) < 0) {
			link_endpoints_free(ret, n + 1);
			return -1;
		}
		n++;
	}
	if (!n)
		return err_set(err, ERR_INVALID, "there is no endpoint of etcd");
	*ret_n = n;
	return 0;
}

void link_endpoints_free(struct link_endpoint *e, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free(e[i].host);
}
