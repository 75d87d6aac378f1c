/* The life of leases over an embedded store: granted, kept alive, revoked or run out, and found again at a start. */
#include "store/lease-internal.h"
#include "base/vec.h"

#include <stdlib.h>

#define LEASE_TTL_MAX INT64_C(9000000000) /* seconds, etcd's */
#define RETRY_NS NS_PER_SEC

/* --- the end of a lease --- */

struct flight {
	pthread_mutex_t mu;
	pthread_cond_t cond;
	size_t open;
	struct err *err;
	bool failed;
};

static void flight_done(const struct store_result *r, void *ctx)
{
	struct flight *f = ctx;

	pthread_mutex_lock(&f->mu);
	if (r->outcome == STORE_FAILED && !f->failed) { /* what is another version by now is not the lease's */
		f->failed = true;
		err_set(f->err, r->err->reason, "%s", err_msg(r->err));
	}
	if (--f->open == 0)
		pthread_cond_signal(&f->cond);
	pthread_mutex_unlock(&f->mu);
}

struct goner {
	struct sv key;
	int64_t rev;
};
typedef VEC(struct goner) goners;

/* Deletes all of them, each if it is at its revision, and waits. */
static int goners_delete(struct leased *x, const goners *g, struct err *err)
{
	struct flight f = { PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, g->n + 1, err, false };

	for (size_t i = 0; i < g->n; i++)
		store_commit(x->inner,
			     &(struct store_write){ .key = g->p[i].key, .expect_rev = g->p[i].rev, .tombstone = true },
			     flight_done, &f);
	pthread_mutex_lock(&f.mu);
	f.open--;
	while (f.open)
		pthread_cond_wait(&f.cond, &f.mu);
	pthread_mutex_unlock(&f.mu);
	pthread_cond_destroy(&f.cond);
	pthread_mutex_destroy(&f.mu);
	return f.failed ? -1 : 0;
}

struct collect {
	struct arena *a;
	goners g;
};

static int collect_one(const struct store_kv *kv, void *ctx)
{
	struct collect *c = ctx;

	vec_push(&c->g, ((struct goner){ arena_sv(c->a, kv->key), STORE_ANY_REV }));
	return 0;
}

static int notes_delete(struct leased *x, int64_t id, struct err *err)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct collect c = { .a = &a, .g = VEC_INIT };
	struct sv own = lease_key(&a, id);
	int r = store_range(x->inner, arena_svf(&a, "%.*s/", SV_ARG(own)), arena_svf(&a, "%.*s0", SV_ARG(own)), 0, 0,
			    collect_one, &c, NULL, err);

	if (r == 0)
		r = goners_delete(x, &c.g, err);
	vec_release(&c.g);
	return r;
}

/* First its keys, then its notes, then itself: whatever interrupts it, the rest is done another time. */
static int lease_remove(struct leased *x, struct lease *e, struct err *err)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct goner own = { lease_key(&a, e->id), STORE_ANY_REV };
	goners g = VEC_INIT;
	int r;

	pthread_mutex_lock(&x->mu);
	LIST_EACH(&e->keys, l) {
		const struct held *h = LIST_ENTRY(l, struct held, link);

		if (h->rev)
			vec_push(&g, ((struct goner){ arena_sv(&a, sv_make(h->key, h->key_n)), h->rev }));
	}
	pthread_mutex_unlock(&x->mu);
	r = goners_delete(x, &g, err);
	if (r == 0)
		r = notes_delete(x, e->id, err);
	g.n = 0;
	vec_push(&g, own);
	if (r == 0)
		r = goners_delete(x, &g, err);
	vec_release(&g);
	return r;
}

/* Lock held. What had it has none now. */
static void lease_forget(struct leased *x, struct lease *e)
{
	LIST_EACH(&e->keys, l) {
		struct held *h = LIST_ENTRY(l, struct held, link);

		held_attach(h, NULL);
		held_drop(x, h);
	}
}

/* --- time --- */

static void leases_expire(void *ctx);

/* Lock held. The timer is for the first that runs out, or one that did before it was kept alive. */
static void timer_arm(struct leased *x)
{
	int64_t first = INT64_MAX;

	if (x->stopping || x->firing || x->timer)
		return;
	LIST_EACH(&x->leases, l) {
		const struct lease *e = LIST_ENTRY(l, struct lease, link);

		if (!e->ending)
			first = MIN(first, e->until_ns);
	}
	if (first != INT64_MAX)
		x->timer = env_after(x->env, ENV_CONTROL, first - env_mono_ns(x->env), leases_expire, x);
}

/* Lock held. Another is due before. */
static void timer_again(struct leased *x)
{
	if (x->timer && env_timer_stop(x->env, x->timer)) {
		x->timer = NULL;
		timer_arm(x);
	} else if (!x->timer) {
		timer_arm(x);
	} else {
		x->timer = NULL; /* it runs, and arms the next */
		x->firing = true;
	}
}

static int leased_revoke(struct store *s, int64_t id, struct err *err)
{
	struct leased *x = LEASED(s);
	struct lease *e;
	int r;

	pthread_mutex_lock(&x->mu);
	e = lease_find(x, id);
	if (!e || e->ending) {
		pthread_mutex_unlock(&x->mu);
		return err_set(err, ERR_NOT_FOUND, "requested lease not found");
	}
	e->ending = true;
	while (e->queued)
		pthread_cond_wait(&x->changed, &x->mu);
	pthread_mutex_unlock(&x->mu);
	r = lease_remove(x, e, err);
	pthread_mutex_lock(&x->mu);
	/* Those of other leases, or of none, that still look at it as what was there before. */
	while (x->busy)
		pthread_cond_wait(&x->changed, &x->mu);
	if (r == 0) {
		lease_forget(x, e);
		pthread_mutex_unlock(&x->mu);
		/* What such a write has bounded meanwhile: it covers nothing, here or after a start. */
		(void)notes_delete(x, id, NULL);
		pthread_mutex_lock(&x->mu);
		strmap_del(&x->by_id, lease_id(&e->id));
		list_del(&e->link);
		free(e);
	} else {
		e->ending = false;
		e->until_ns = env_mono_ns(x->env) + RETRY_NS;
		timer_again(x);
	}
	pthread_cond_broadcast(&x->changed);
	pthread_mutex_unlock(&x->mu);
	return r;
}

static void leases_expire(void *ctx)
{
	struct leased *x = ctx;
	int64_t now = env_mono_ns(x->env);
	VEC(int64_t) due = VEC_INIT;

	pthread_mutex_lock(&x->mu);
	x->firing = true;
	x->timer = env_timer_cancel(x->env, x->timer);
	LIST_EACH(&x->leases, l) {
		const struct lease *e = LIST_ENTRY(l, struct lease, link);

		if (!e->ending && e->until_ns <= now)
			vec_push(&due, e->id);
	}
	for (size_t i = 0; i < due.n && !x->stopping; i++) {
		const struct lease *e = lease_find(x, due.p[i]);

		if (!e || e->until_ns > now) /* kept alive meanwhile */
			continue;
		pthread_mutex_unlock(&x->mu);
		(void)leased_revoke(&x->store, due.p[i], NULL); /* what fails is tried again */
		pthread_mutex_lock(&x->mu);
	}
	vec_release(&due);
	x->firing = false;
	timer_arm(x);
	pthread_cond_broadcast(&x->changed);
	pthread_mutex_unlock(&x->mu);
}

/* Lock held. */
static struct lease *lease_add(struct leased *x, int64_t id, int64_t ttl_s)
{
	struct lease *e = xcalloc(1, sizeof(*e));

	e->id = id;
	e->ttl_s = ttl_s;
	e->until_ns = env_mono_ns(x->env) + ttl_s * NS_PER_SEC;
	list_init(&e->keys);
	list_add_tail(&x->leases, &e->link);
	strmap_set(&x->by_id, lease_id(&e->id), e);
	return e;
}

static int leased_grant(struct store *s, int64_t id, int64_t ttl_s, int64_t *ret_id, struct err *err)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct leased *x = LEASED(s);
	struct store_write w = { .expect_rev = 0 };
	bool there;
	int r;

	if (ttl_s <= 0 || ttl_s > LEASE_TTL_MAX || id < 0)
		return err_set(err, ERR_BAD_REQUEST, "a lease has 1 to %" PRId64 " seconds and a positive id",
			       LEASE_TTL_MAX);
	if (!id)
		id = (int64_t)(env_random_u64(x->env) >> 1 | 1);
	pthread_mutex_lock(&x->mu);
	there = lease_find(x, id); /* its end may be under way, and nothing stored of it any more */
	pthread_mutex_unlock(&x->mu);
	w.key = lease_key(&a, id);
	w.value = arena_svf(&a, "%" PRId64, ttl_s);
	r = there ? 0 : store_commit_wait(x->inner, &w, NULL, err);
	if (r == 0)
		return err_set(err, ERR_ALREADY_EXISTS, "lease already exists");
	if (r < 0)
		return -1;
	pthread_mutex_lock(&x->mu);
	lease_add(x, id, ttl_s);
	timer_again(x);
	pthread_mutex_unlock(&x->mu);
	if (ret_id)
		*ret_id = id;
	return 0;
}

static int leased_keepalive(struct store *s, int64_t id, int64_t *ret_ttl_s, struct err *err)
{
	struct leased *x = LEASED(s);
	struct lease *e;

	pthread_mutex_lock(&x->mu);
	e = lease_find(x, id);
	if (!e || e->ending) {
		pthread_mutex_unlock(&x->mu);
		return err_set(err, ERR_NOT_FOUND, "requested lease not found");
	}
	e->until_ns = env_mono_ns(x->env) + e->ttl_s * NS_PER_SEC;
	if (ret_ttl_s)
		*ret_ttl_s = e->ttl_s;
	pthread_mutex_unlock(&x->mu);
	return 0;
}

/* --- the start --- */

struct note {
	int64_t id, from, upto;
	struct sv key, own;
};

struct start {
	struct leased *x;
	struct arena a;
	VEC(struct note) notes;
	int64_t rev; /* of the key that is looked at */
	struct err *err;
	bool failed;
};

static bool hex_id(struct sv s, int64_t *ret)
{
	char text[17], *end;

	if (s.n != 16)
		return false;
	memcpy(text, s.p, 16);
	text[16] = '\0';
	*ret = (int64_t)strtoull(text, &end, 16);
	return *end == '\0' && *ret > 0;
}

/* Taken for none, its keys would stay for good, and its notes be removed as those of nobody. */
static int lease_start_refuse(struct start *st, const struct store_kv *kv)
{
	st->failed = true;
	if (kv->value.p)
		err_set(st->err, ERR_STORE_READ, "what '%.*s' says is no lease: restore the database from a backup",
			SV_ARG(kv->key));
	else /* for now (transform.h) */
		err_set(st->err, ERR_STORE_READ, "the value of '%.*s' cannot be read", SV_ARG(kv->key));
	return 1;
}

static int lease_start_one(const struct store_kv *kv, void *ctx)
{
	struct start *st = ctx;
	struct sv rest = sv_sub(kv->key, sizeof(STORE_LEASES) - 1, kv->key.n), value = kv->value, from;
	struct note n = { 0 };
	int64_t ttl;

	if (!hex_id(sv_sub(rest, 0, 16), &n.id))
		return 0;
	if (rest.n == 16) {
		if (!sv_to_i64(kv->value, &ttl) || ttl <= 0 || ttl > LEASE_TTL_MAX)
			return lease_start_refuse(st, kv);
		(void)lease_add(st->x, n.id, ttl);
		return 0;
	}
	if (!sv_split(&value, ' ', &from) || !sv_to_i64(from, &n.from) || !sv_to_i64(value, &n.upto))
		return lease_start_refuse(st, kv);
	n.from = n.from ? n.from : kv->mod_rev;
	n.own = arena_sv(&st->a, kv->key);
	n.key = sv_sub(n.own, sizeof(STORE_LEASES) - 1 + 17, n.own.n);
	vec_push(&st->notes, n);
	return 0;
}

static int lease_start_rev(const struct store_kv *kv, void *ctx)
{
	((struct start *)ctx)->rev = kv->mod_rev;
	return 1;
}

/* Notes that no version goes with are removed: an open one would take the next that comes. */
static int lease_start_notes(struct start *st, struct err *err)
{
	for (size_t i = 0; i < st->notes.n; i++) {
		const struct note *n = &st->notes.p[i];
		struct lease *e = lease_find(st->x, n->id);
		struct held *h;

		st->rev = 0;
		if (store_range(st->x->inner, n->key, SV_NULL, 0, 0, lease_start_rev, st, NULL, err) < 0)
			return -1;
		if (!e || st->rev <= n->from || (n->upto && st->rev > n->upto)) {
			struct store_write w = { .key = n->own, .expect_rev = STORE_ANY_REV, .tombstone = true };

			if (store_commit_wait(st->x->inner, &w, NULL, err) < 0)
				return -1;
			continue;
		}
		h = held_of(st->x, n->key);
		held_attach(h, e);
		h->from = n->from;
		h->rev = st->rev;
		h->bounded = n->upto != 0;
	}
	return 0;
}

/* --- the rest passes --- */

static int leased_range(struct store *s, struct sv from, struct sv to, int64_t rev, size_t limit, store_each_fn *fn,
			void *ctx, int64_t *ret_rev, struct err *err)
{
	return store_range(LEASED(s)->inner, from, to, rev, limit, fn, ctx, ret_rev, err);
}

static void leased_gather(struct store *s, bool on)
{
	store_gather(LEASED(s)->inner, on);
}

static int leased_watch(struct store *s, struct sv from, struct sv to, int64_t since, const struct store_watch_cb *cb,
			void *ctx, struct store_watch **ret_watch, struct err *err)
{
	return store_watch(LEASED(s)->inner, from, to, since, cb, ctx, ret_watch, err);
}

static int leased_changes(struct store *s, struct sv from, struct sv to, int64_t since, size_t most,
			  store_change_fn *fn, void *ctx, int64_t *ret_rev, struct err *err)
{
	return store_changes(LEASED(s)->inner, from, to, since, most, fn, ctx, ret_rev, err);
}

static void leased_unwatch(struct store *s, struct store_watch *w)
{
	store_unwatch(LEASED(s)->inner, w);
}

static int leased_compact(struct store *s, int64_t rev, struct err *err)
{
	return store_compact(LEASED(s)->inner, rev, err);
}

static bool leased_healthy(struct store *s, struct err *why)
{
	return store_healthy(LEASED(s)->inner, why);
}

static void leased_stats(struct store *s, struct store_stats *ret)
{
	store_stats(LEASED(s)->inner, ret);
}

static void leased_close(struct store *s)
{
	struct leased *x = LEASED(s);

	store_gather(x->inner, false); /* the queue goes on behind what is held back */
	pthread_mutex_lock(&x->mu);
	x->stopping = true;
	if (x->timer && !env_timer_stop(x->env, x->timer))
		x->firing = true; /* under way */
	x->timer = NULL;
	while (x->firing || x->busy || x->beginning)
		pthread_cond_wait(&x->changed, &x->mu);
	pthread_mutex_unlock(&x->mu);
	store_close(x->inner);
	LIST_EACH(&x->leases, l) {
		list_del(l);
		free(LIST_ENTRY(l, struct lease, link));
	}
	strmap_release_with(&x->by_key, free);
	strmap_release(&x->by_id);
	pthread_cond_destroy(&x->changed);
	pthread_mutex_destroy(&x->mu);
	free(x);
}

static const struct store_ops leased_ops = {
	.name = "leased",
	.range = leased_range,
	.commit = leased_commit,
	.gather = leased_gather,
	.watch = leased_watch,
	.unwatch = leased_unwatch,
	.changes = leased_changes,
	.compact = leased_compact,
	.lease_grant = leased_grant,
	.lease_keepalive = leased_keepalive,
	.lease_revoke = leased_revoke,
	.healthy = leased_healthy,
	.stats = leased_stats,
	.close = leased_close,
};

struct store *store_leased(struct store *inner_take, struct err *err)
{
	struct leased *x = xcalloc(1, sizeof(*x));
	struct start st = { .x = x, .a = ARENA_INIT, .err = err };
	int r;

	x->store = (struct store){ &leased_ops, inner_take->env };
	x->inner = inner_take;
	x->env = inner_take->env;
	pthread_mutex_init(&x->mu, NULL);
	pthread_cond_init(&x->changed, NULL);
	list_init(&x->leases);
	list_init(&x->queue);
	r = store_range(x->inner, SV(STORE_LEASES), SV("/caravel/leases0"), 0, 0, lease_start_one, &st, NULL, err);
	if (st.failed)
		r = -1;
	if (r == 0)
		r = lease_start_notes(&st, err);
	arena_release(&st.a);
	vec_release(&st.notes);
	if (r < 0) {
		leased_close(&x->store);
		return NULL;
	}
	pthread_mutex_lock(&x->mu);
	timer_arm(x);
	pthread_mutex_unlock(&x->mu);
	return &x->store;
}
