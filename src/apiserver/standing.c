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

static void standing_check(struct api_req *q, void *ctx)
{
	struct standing *st = ctx;
	struct err err = ERR_INIT;

	/* A peer that is gone has no certificate any more; its end is on the way. */
	if (!st->ended && !(q->http && http_req_gone(q->http)) &&
	    pipeline_recheck(q, st->swept_ns, st->o.also, &err) < 0)
		st->o.revoke(q, &err);
	standing_unref(st);
}

/* --- the sweep --- */

static void sweep(void *ctx);

static void arm(struct standing_set *set)
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
		arm(set);
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
	arm(set);
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
