/* A store that is an etcd cluster: its life. commit.c writes, range.c reads, live.c and catchup.c tell. */
#include "store/etcd/etcd-internal.h"
#include "store/store-internal.h"

#include <stdlib.h>

#define WAIT_NS (30 * NS_PER_SEC)
#define WAIT_STEP_NS NS_PER_SEC
#define COUNT_NS (5 * NS_PER_SEC) /* between two countings: each has etcd walk over all keys */

/* --- what is known of it --- */

static bool es_healthy(struct store *s, struct err *why)
{
	return link_healthy(ES(s)->link, why);
}

/* A question that nobody waits for. */
struct look {
	struct link_req req;
	struct es *es;
};

static void look_done(struct link_req *r, const struct grpc_end *e, struct sv answer)
{
	struct look *l = CONTAINER_OF(r, struct look, req);
	struct etcd_range_said said;
	struct es *es = l->es;

	pthread_mutex_lock(&es->mu);
	es->keys_asked = false;
	if (e->code == GRPC_OK && etcd_range_read(answer, &said))
		es->keys = (uint64_t)said.count;
	pthread_mutex_unlock(&es->mu);
	buf_release(&r->request);
	free(l);
}

static void look_begin(void *ctx)
{
	struct look *l = ctx;

	l->req.until_ns = es_in(l->es, ES_READ_NS);
	link_request(l->es->link, &l->req);
}

static void es_look(struct es *es)
{
	struct look *l = xcalloc(1, sizeof(*l));

	*l = (struct look){ .req = { .method = "/etcdserverpb.KV/Range", .done = look_done }, .es = es };
	etcd_range_write(&l->req.request,
			 &(struct etcd_range){ .key = ETCD_FIRST_KEY, .end = ETCD_FIRST_KEY, .count_only = true });
	ev_loop_post(es->loop, look_begin, l);
}

static void es_stats(struct store *s, struct store_stats *ret)
{
	struct es *es = ES(s);
	int64_t now = env_mono_ns(s->env);
	bool ask;

	pthread_mutex_lock(&es->mu);
	*ret = (struct store_stats){ .rev = atomic_load(&es->rev), .compact_rev = es->compact_rev, .keys = es->keys };
	ask = !es->keys_asked && (!es->keys_asked_ns || now - es->keys_asked_ns >= COUNT_NS);
	if (ask) {
		es->keys_asked = true;
		es->keys_asked_ns = MAX(now, 1);
	}
	pthread_mutex_unlock(&es->mu);
	ret->bytes = link_bytes(es->link);
	if (ask)
		es_look(es);
}

/* --- its life --- */

static void es_link_up(struct link *l _unused_, void *ctx)
{
	feeds_up(ctx);
}

static void es_link_down(struct link *l _unused_, void *ctx _unused_)
{
	/* Feeds have heard of it, each by its call. */
}

static void es_link_stopped(struct link *l _unused_, void *ctx)
{
	ev_loop_stop(((struct es *)ctx)->loop);
}

static void es_run_loop(void *ctx)
{
	struct es *es = ctx;

	link_start(es->link);
	ev_loop_run(es->loop);
	pthread_mutex_lock(&es->mu);
	es->running--;
	es_wake(es);
	pthread_mutex_unlock(&es->mu);
}

static void es_closing_late(void *ctx)
{
	struct es *es = ctx;

	pthread_mutex_lock(&es->mu);
	es->blind = true;
	es_wake(es);
	pthread_mutex_unlock(&es->mu);
}

/* Writes have a few seconds, and their changes the same again. */
static void es_closing(void *ctx)
{
	struct es *es = ctx;

	es_hurry_commits(es);
	if (link_over(es->link))
		es_closing_late(es);
	es->closing = ev_timer_start(es->loop, es->patience * 2 * ES_CLOSE_NS, 0, es_closing_late, es);
}

static void es_hurried(void *ctx)
{
	link_hurry(((struct es *)ctx)->link);
}

static void es_hurry(struct store *s)
{
	ev_loop_post(ES(s)->loop, es_hurried, ES(s));
}

static void es_stop_loop(void *ctx)
{
	struct es *es = ctx;

	es->gone = true;
	es->closing = ev_timer_stop(es->closing);
	es->jump_again = ev_timer_stop(es->jump_again);
	feed_stop(&es->live);
	past_stop(es);
	link_stop(es->link);
}

static void es_wait_running(struct es *es, int n)
{
	while (es->running > n)
		pthread_cond_wait(&es->changed, &es->mu);
}

/* One that came when nobody is left to tell it. */
static void syncer_end(struct syncer *y)
{
	if (!y->err.reason)
		err_set(&y->err, ERR_UNAVAILABLE, "the store is closing");
	y->done(0, &y->err, y->ctx);
	err_release(&y->err);
	free(y);
}

static void es_free(struct es *es)
{
	ev_loop_free(es->loop);	    /* what was posted is run */
	LIST_EACH(&es->batches, it) /* that came when nobody was there any more */
		batch_free(LIST_ENTRY(it, struct batch, link));
	past_drop_pages(es);
	watchers_release(&es->watchers);
	strmap_release(&es->by_key);
	buf_release(&es->jump.request);
	buf_release(&es->sync.request);
	buf_release(&es->ttl.req.request);
	LIST_EACH(&es->syncs, it)
		syncer_end(LIST_ENTRY(it, struct syncer, link));
	link_free(es->link);
	link_endpoints_free(es->endpoints, es->n_endpoints);
	tls_ctx_unref(es->tls);
	pthread_cond_destroy(&es->changed);
	pthread_mutex_destroy(&es->mu);
	free(es);
}

static void es_close(struct store *s)
{
	struct es *es = ES(s);

	es->compactor = compactor_stop(es->compactor);
	ev_loop_post(es->loop, es_closing, es);
	pthread_mutex_lock(&es->mu);
	while (es->n_commits)
		pthread_cond_wait(&es->changed, &es->mu);
	es->stop_delivery = true;
	es_wake(es);
	es_wait_running(es, 1);
	pthread_mutex_unlock(&es->mu);
	ev_loop_post(es->loop, es_stop_loop, es);
	pthread_mutex_lock(&es->mu);
	es_wait_running(es, 0);
	pthread_mutex_unlock(&es->mu);
	es_free(es);
}

static const struct store_ops es_ops = {
	.name = "etcd",
	.range = es_range,
	.commit = es_commit,
	.watch = es_watch,
	.unwatch = es_unwatch,
	.changes = es_changes,
	.compact = es_compact,
	.healthy = es_healthy,
	.stats = es_stats,
	.sync = es_sync,
	.lease_grant = es_lease_grant,
	.lease_keepalive = es_lease_keepalive,
	.lease_revoke = es_lease_revoke,
	.ttl = true,
	.hurry = es_hurry,
	.close = es_close,
};

/* --- opening --- */

/* Finds out how far history goes back: a watch from the first revision is told. Loop. */
struct oldest {
	struct feed feed;
	struct es *es;
	struct ev_timer *tick; /* wakes who waits, to see whether he still does */
	int64_t rev;	       /* 0: not known yet */
	bool over;
};

static void oldest_said(struct oldest *o, int64_t rev)
{
	pthread_mutex_lock(&o->es->mu);
	o->rev = MAX(rev, 1);
	pthread_cond_broadcast(&o->es->changed);
	pthread_mutex_unlock(&o->es->mu);
}

static void oldest_got(struct feed *f, struct batch *b_take)
{
	batch_free(b_take);
	feed_stop(f);
	oldest_said(CONTAINER_OF(f, struct oldest, feed), 1); /* it goes back to the beginning */
}

static void oldest_lost(struct feed *f, int64_t compact_rev)
{
	oldest_said(CONTAINER_OF(f, struct oldest, feed), compact_rev);
}

static void oldest_tick(void *ctx)
{
	struct oldest *o = ctx;

	pthread_mutex_lock(&o->es->mu);
	es_wake(o->es);
	pthread_mutex_unlock(&o->es->mu);
}

static void oldest_begin(void *ctx)
{
	struct oldest *o = ctx;

	o->feed.got = oldest_got;
	o->feed.lost = oldest_lost;
	o->tick = ev_timer_start(o->es->loop, WAIT_STEP_NS, WAIT_STEP_NS, oldest_tick, o);
	feed_start(o->es, &o->feed, 1);
}

static void oldest_stop(void *ctx)
{
	struct oldest *o = ctx;

	feed_stop(&o->feed);
	o->tick = ev_timer_stop(o->tick);
	pthread_mutex_lock(&o->es->mu);
	o->over = true;
	es_wake(o->es); /* under the lock: o is the waiter's stack */
	pthread_mutex_unlock(&o->es->mu);
}

static int es_find_oldest(struct es *es, const struct store_etcd_opts *opts, struct err *err)
{
	int64_t wait = es->patience * (opts->wait_ns ? opts->wait_ns : WAIT_NS);
	int64_t until = env_mono_ns(es->store.env) + wait;
	struct oldest o = { .es = es };

	ev_loop_post(es->loop, oldest_begin, &o);
	pthread_mutex_lock(&es->mu);
	while (!o.rev && env_mono_ns(es->store.env) < until && !(opts->ends && opts->ends()))
		pthread_cond_wait(&es->changed, &es->mu);
	ev_loop_post(es->loop, oldest_stop, &o);
	while (!o.over)
		pthread_cond_wait(&es->changed, &es->mu);
	es->compact_rev = o.rev;
	pthread_mutex_unlock(&es->mu);
	return o.rev ? 0 : err_set(err, ERR_TIMEOUT, "etcd does not tell how far back its history goes");
}

static int es_look_at(struct es *es, int64_t rev, int64_t timeout_ns, int64_t *ret_rev, struct err *err)
{
	_cleanup_(buf_release) struct buf answer = BUF_INIT, request = BUF_INIT;
	struct etcd_range_said said;

	etcd_look_write(&request, rev);
	if (es_ask(es, "/etcdserverpb.KV/Range", &request, timeout_ns, &answer, err) < 0)
		return -1;
	if (!etcd_range_read(buf_sv(&answer), &said))
		return err_set(err, ERR_INTERNAL, "etcd: the answer to a range cannot be read");
	*ret_rev = said.rev;
	return 0;
}

struct es_begin {
	struct es *es;
	int64_t next;
};

static void es_begin(void *ctx)
{
	struct es_begin *b = ctx;

	es_live_start(b->es, b->next);
	free(b);
}

/* In steps, so that a process that is told to end while it waits does. */
static int es_wait_first(struct es *es, const struct store_etcd_opts *o, int64_t *ret_rev, struct err *err)
{
	int64_t wait = o->wait_ns ? o->wait_ns : WAIT_NS, until = env_mono_ns(es->store.env) + wait;
	struct err why = ERR_INIT;

	while (es_look_at(es, 0, o->ends ? MIN(wait, WAIT_STEP_NS) : wait, ret_rev, &why) < 0) {
		wait = until - env_mono_ns(es->store.env);
		if (!o->ends || wait <= 0 || (why.reason != ERR_UNAVAILABLE && why.reason != ERR_TIMEOUT) || o->ends())
			return err_move(err, &why);
		err_release(&why);
	}
	return 0;
}

static int es_first(struct es *es, const struct store_etcd_opts *o, struct err *err)
{
	struct es_begin *b;
	struct err why = ERR_INIT;
	int64_t rev, first;

	if (es_wait_first(es, o, &rev, err) < 0)
		return -1;
	if (es_look_at(es, 1, ES_READ_NS, &first, &why) < 0) {
		if (why.reason != ERR_EXPIRED)
			return err_move(err, &why);
		err_release(&why);
		if (es_find_oldest(es, o, err) < 0)
			return -1;
	}
	atomic_store(&es->rev, rev);
	b = xmalloc(sizeof(*b));
	*b = (struct es_begin){ es, rev + 1 };
	ev_loop_post(es->loop, es_begin, b);
	return 0;
}

static int es_tls(struct es *es, const struct store_etcd_opts *o, struct err *err)
{
	bool wanted = false;

	for (size_t i = 0; i < es->n_endpoints; i++)
		wanted = wanted || es->endpoints[i].tls;
	if (!wanted)
		return 0;
	if (!o->ca_pem.n)
		return err_set(err, ERR_INVALID,
			       "an endpoint of etcd is https: say whose certificates are trusted, too");
	es->tls = tls_client_ctx(
	    &(struct tls_client_opts){ .ca_pem = o->ca_pem, .cert_pem = o->cert_pem, .key_pem = o->key_pem }, err);
	return es->tls ? 0 : -1;
}

static int es_start(struct es *es, const struct store_etcd_opts *o, struct err *err)
{
	es->running = 1;
	if (env_thread(es->store.env, "etcd-net", es_run_loop, es) < 0) {
		es->running = 0;
		return err_set(err, ERR_UNAVAILABLE, "cannot start a thread");
	}
	if (es_first(es, o, err) < 0)
		return -1;
	es->running = 2;
	if (env_thread(es->store.env, "etcd", es_delivery, es) < 0) {
		es->running = 1;
		return err_set(err, ERR_UNAVAILABLE, "cannot start a thread");
	}
	return 0;
}

struct es_more {
	struct es *es;
	struct link_endpoint e[LINK_ENDPOINTS_MAX];
	size_t n;
};

static bool es_knows(const struct es *es, const struct link_endpoint *e)
{
	for (size_t i = 0; i < es->n_endpoints; i++)
		if (es->endpoints[i].port == e->port && es->endpoints[i].tls == e->tls &&
		    strcmp(es->endpoints[i].host, e->host) == 0)
			return true;
	return false;
}

static void es_take_more(void *ctx)
{
	struct es_more *m = ctx;
	struct es *es = m->es;

	for (size_t i = 0; i < m->n; i++) {
		if (es->gone || es->n_endpoints == LINK_ENDPOINTS_MAX || es_knows(es, &m->e[i]) ||
		    (m->e[i].tls && !es->tls))
			link_endpoints_free(&m->e[i], 1);
		else
			es->endpoints[es->n_endpoints++] = m->e[i];
	}
	if (!es->gone)
		link_grow(es->link, es->n_endpoints);
	free(m);
}

int store_etcd_more(struct store *s, struct sv endpoints, struct err *err)
{
	struct es_more *m = xcalloc(1, sizeof(*m));

	m->es = ES(s);
	if (link_endpoints_read(endpoints, m->e, &m->n, err) < 0) {
		free(m);
		return -1;
	}
	ev_loop_post(m->es->loop, es_take_more, m);
	return 0;
}

struct store *store_etcd_open(struct env *env, const struct store_etcd_opts *o, struct err *err)
{
	static const struct link_cb cb = { es_link_up, es_link_down, es_link_stopped };
	struct es *es = xcalloc(1, sizeof(*es));

	es->store = (struct store){ &es_ops, env };
	es->patience = MAX(o->patience, 1);
	pthread_mutex_init(&es->mu, NULL);
	pthread_cond_init(&es->changed, NULL);
	watchers_init(&es->watchers);
	list_init(&es->incoming);
	list_init(&es->answered);
	list_init(&es->batches);
	list_init(&es->catchups);
	list_init(&es->pages);
	list_init(&es->feeds);
	list_init(&es->waiting);
	list_init(&es->syncs);
	list_init(&es->sync_now);
	list_init(&es->sync_next);
	list_init(&es->ttl.waiting);
	es->loop = ev_loop_new(err);
	if (!es->loop || link_endpoints_read(sv_from(o->endpoints), es->endpoints, &es->n_endpoints, err) < 0 ||
	    es_tls(es, o, err) < 0) {
		es_free(es);
		return NULL;
	}
	es->link = link_new(env, es->loop, es->endpoints, es->n_endpoints, es->tls, es->patience, &cb, es);
	if (es_start(es, o, err) < 0) {
		if (es->running) {
			ev_loop_post(es->loop, es_stop_loop, es);
			pthread_mutex_lock(&es->mu);
			es_wait_running(es, 0);
			pthread_mutex_unlock(&es->mu);
		}
		es_free(es);
		return NULL;
	}
	if (o->compact_ns)
		es->compactor = compactor_start(es, o->compact_ns);
	return &es->store;
}
