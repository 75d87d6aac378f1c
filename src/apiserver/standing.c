#include "apiserver/standing.h"
#include "apiserver/apiserver-internal.h"
#include "apiserver/authz/node.h"
#include "apiserver/watchcache.h"
#include "base/list.h"
#include "base/vec.h"
#include "object/legacy_token.h"

#include <stdlib.h>

#define SWEEP_NS (30 * NS_PER_SEC)
#define RESTLESS_NS \
	(120 * NS_PER_SEC) /* more than the minute that tokens bound to what is being deleted have, and a sweep */

struct standing {
	struct list link;
	struct standing_set *set;
	struct api_req *q;
	struct standing_opts o;
	atomic_int refs; /* the stream's, and one for every posted check */
	bool ended;	 /* the request's thread */
	bool node;
	/* The sweep's: what the last answer was found under. */
	uint64_t seen;
	int64_t seen_rev, swept_ns;
};

struct standing_set {
	struct apiserver *s;
	atomic_uint_fast64_t generation;       /* of RBAC and of what tokens are bound to */
	atomic_int_fast64_t restless_until_ns; /* monotonic: until then every sweep asks */
	pthread_mutex_t lock;
	pthread_cond_t cond;
	/* Guarded by lock. */
	struct list all;
	struct env_timer *timer;
	bool armed, stopping;
};

/* --- one request --- */

static void standing_unref(struct standing *st)
{
	struct api_req *q = st->q;
	void (*release)(struct api_req * q) = st->o.release;

	if (atomic_fetch_sub(&st->refs, 1) != 1)
		return;
	free(st);
	if (release)
		release(q);
}

struct standing *standing_begin(struct api_req *q, const struct standing_opts *o)
{
	struct standing_set *set = q->server->standing;
	struct standing *st = xcalloc(1, sizeof(*st));

	st->set = set;
	st->q = q;
	st->o = *o;
	st->node = node_identity(&q->user).p;
	atomic_init(&st->refs, 1);
	pthread_mutex_lock(&set->lock);
	list_add_tail(&set->all, &st->link);
	pthread_mutex_unlock(&set->lock);
	return st;
}

struct standing *standing_end(struct standing *st)
{
	if (!st)
		return NULL;
	st->ended = true;
	pthread_mutex_lock(&st->set->lock);
	list_del(&st->link);
	pthread_mutex_unlock(&st->set->lock);
	standing_unref(st);
	return NULL;
}

void standing_each(struct apiserver *s, void (*fn)(const struct api_req *q, void *ctx), void *ctx)
{
	struct standing_set *set = s->standing;

	pthread_mutex_lock(&set->lock);
	for (struct list *l = set->all.next; l != &set->all; l = l->next)
		fn(LIST_ENTRY(l, struct standing, link)->q, ctx);
	pthread_mutex_unlock(&set->lock);
}

/* The question asked again, with a request of its own: it may wait, and the stream goes on meanwhile. */
struct recheck {
	struct api_req now;
	struct arena arena;
	struct standing *st;
	uint8_t at; /* how many of the pipeline's steps are behind it */
};

static void recheck_end(struct recheck *c, int rc, struct err *err)
{
	struct standing *st = c->st;
	struct api_req *q = st->q;

	if (rc < 0 && err->reason != ERR_UNAUTHORIZED && err->reason != ERR_FORBIDDEN) {
		/* Nobody said no: whoever is to be asked does not answer. The next sweep asks again. */
		pthread_mutex_lock(&st->set->lock);
		st->seen = 0;
		pthread_mutex_unlock(&st->set->lock);
		err_release(err);
	} else if (rc < 0 && !st->ended && !(q->http && http_req_gone(q->http))) {
		/* A peer that is gone has no certificate any more; its end is on the way. */
		st->o.revoke(q, err);
	} else if (rc < 0) {
		err_release(err);
	}
	arena_release(&c->arena);
	free(c);
	standing_unref(st);
}

static int recheck_ask(struct recheck *c, struct err *err)
{
	static int (*const steps[])(struct api_req * q, struct err * err) = { pipeline_identify, pipeline_impersonate,
									      pipeline_authorize };

	while (c->at < ARRAY_LEN(steps)) {
		int rc = steps[c->at](&c->now, err);

		if (rc)
			return rc;
		c->at++;
		req_forget(&c->now);
	}
	return c->st->o.also ? c->st->o.also(&c->now, err) : 0;
}

static void recheck_woken(struct api_req *q, void *ctx);

static void recheck_walk(struct recheck *c)
{
	struct err err = ERR_INIT;
	int rc;

	while ((rc = recheck_ask(c, &err)) == REQ_LATER) {
		if (!req_park(&c->now, recheck_woken, c))
			return;
		if ((rc = req_woken(&c->now, &err)) < 0)
			break;
	}
	recheck_end(c, rc, &err);
}

static void recheck_woken(struct api_req *q, void *ctx)
{
	struct err err = ERR_INIT;

	if (req_woken(q, &err) < 0)
		recheck_end(ctx, -1, &err);
	else
		recheck_walk(ctx);
}

/* Would st's request still be let in, without what has been remembered of its credential since before the sweep? */
static void standing_check(struct api_req *q, void *ctx)
{
	struct standing *st = ctx;
	struct recheck *c;

	if (st->ended || (q->http && http_req_gone(q->http))) {
		standing_unref(st);
		return;
	}
	c = xcalloc(1, sizeof(*c));
	c->st = st;
	c->now = *q;
	c->now.arena = &c->arena;
	c->now.audit = NULL; /* it noted how the request came to be */
	c->now.authn_since_ns = st->swept_ns;
	c->now.until_ns = env_mono_ns(q->server->env) + SWEEP_NS;
	c->now.asked = 0;
	req_forget(&c->now);
	recheck_walk(c);
}

/* --- the sweep --- */

static void sweep(void *ctx);

static void standing_arm(struct standing_set *set)
{
	set->timer = env_after(set->s->env, ENV_REQUESTS, SWEEP_NS, sweep, set);
	set->armed = true;
}

static bool is_due(struct standing *st, uint64_t generation, int64_t rev, int64_t now_ns)
{
	int64_t end = st->q->user.expires_ns;

	return st->seen != generation || (st->node && st->seen_rev != rev) || (end && now_ns >= end);
}

static void sweep(void *ctx)
{
	struct standing_set *set = ctx;
	VEC(struct standing *) due = VEC_INIT;
	bool restless = env_mono_ns(set->s->env) < atomic_load(&set->restless_until_ns);
	/* Before anything is asked: what changes from here on is the next sweep's. */
	uint64_t generation = atomic_fetch_add(&set->generation, restless) + restless;
	int64_t rev = wc_rev(set->s->wc), now = env_now_ns(set->s->env), mono = env_mono_ns(set->s->env);

	pthread_mutex_lock(&set->lock);
	set->timer = env_timer_cancel(set->s->env, set->timer);
	for (struct list *l = set->all.next; l != &set->all && !set->stopping; l = l->next) {
		struct standing *st = LIST_ENTRY(l, struct standing, link);

		if (!is_due(st, generation, rev, now))
			continue;
		st->seen = generation;
		st->seen_rev = rev;
		st->swept_ns = mono;
		atomic_fetch_add(&st->refs, 1);
		vec_push(&due, st);
	}
	pthread_mutex_unlock(&set->lock);
	for (size_t i = 0; i < due.n; i++)
		api_req_post(due.p[i]->q, standing_check, due.p[i]);
	vec_release(&due);
	pthread_mutex_lock(&set->lock);
	set->armed = false;
	if (!set->stopping)
		standing_arm(set);
	pthread_cond_broadcast(&set->cond);
	pthread_mutex_unlock(&set->lock);
}

void standing_observe(struct apiserver *s, const struct resource *r, struct sv name, const struct obj *now)
{
	bool deleting = now && obj_deleting(now), deleted = !now || deleting;

	switch (r->id) {
	case R_rbac_roles:
	case R_rbac_clusterroles:
	case R_rbac_rolebindings:
	case R_rbac_clusterrolebindings:
		break;
	case R_core_secrets:
		if (!deleted && !sv_starts(name, SV("bootstrap-token-")) &&
		    !val_is(obj_get(now, F_type), LEGACY_TOKEN_TYPE))
			return;
		break;
	case R_core_serviceaccounts:
	case R_core_pods:
	case R_core_nodes:
		if (!deleted)
			return;
		break;
	default:
		return;
	}
	if (deleting) /* what was bound to it ends a moment later, when nothing changes any more */
		atomic_store(&s->standing->restless_until_ns, env_mono_ns(s->env) + RESTLESS_NS);
	atomic_fetch_add(&s->standing->generation, 1);
}

/* --- life --- */

void standing_start(struct apiserver *s)
{
	struct standing_set *set = xcalloc(1, sizeof(*set));

	set->s = s;
	atomic_init(&set->generation, 1); /* 0: never asked */
	pthread_mutex_init(&set->lock, NULL);
	pthread_cond_init(&set->cond, NULL);
	list_init(&set->all);
	s->standing = set;
	pthread_mutex_lock(&set->lock);
	standing_arm(set);
	pthread_mutex_unlock(&set->lock);
}

void standing_stop(struct apiserver *s)
{
	struct standing_set *set = s->standing;

	pthread_mutex_lock(&set->lock);
	set->stopping = true;
	if (set->timer && env_timer_stop(s->env, set->timer))
		set->armed = false;
	set->timer = NULL;
	while (set->armed)
		pthread_cond_wait(&set->cond, &set->lock);
	pthread_mutex_unlock(&set->lock);
}

void standing_free(struct apiserver *s)
{
	if (!s->standing)
		return;
	pthread_mutex_destroy(&s->standing->lock);
	pthread_cond_destroy(&s->standing->cond);
	free(s->standing);
	s->standing = NULL;
}
