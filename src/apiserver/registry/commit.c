#include "apiserver/registry/commit.h"
#include "apiserver/admission/resource_quota.h"
#include "apiserver/apiserver-internal.h"
#include "apiserver/inflight.h"
#include "apiserver/registry/strategy.h"
#include "base/lock.h"
#include "base/vec.h"
#include "object/api_kind.h"

#include <stdlib.h>

enum commit_state { COMMIT_WAITS, COMMIT_SAID, COMMIT_LATE };

static struct lock_site commit_lock = { .name = "writes in the store" };

static void commit_unref(void *p)
{
	struct commit *c = p;

	if (atomic_fetch_sub(&c->refs, 1) != 1)
		return;
	obj_unref(c->pw.built);
	obj_unref(c->pw.result);
	resource_unref(c->pw.res);
	free((char *)(uintptr_t)c->said.value.p);
	err_release(&c->said.err);
	free(c);
}

struct commit *commit_new(struct api_req *q, const struct resource *res)
{
	struct commit *c = xcalloc(1, sizeof(*c));

	c->s = q->server;
	c->q = q;
	c->pw.of = q->server->wc;
	c->pw.res = resource_ref(res);
	atomic_init(&c->refs, 1);
	atomic_init(&c->state, COMMIT_WAITS);
	arena_defer(q->arena, commit_unref, c);
	return c;
}

void reserved_end(struct apiserver *s, struct reserved *r, bool is_committed)
{
	struct reserved it = *r;
	void (*fn)(struct apiserver * s, void *state);

	*r = (struct reserved){ .strat = it.strat };
	fn = it.has ? is_committed ? it.strat->commit : it.strat->rollback : NULL;
	if (fn)
		fn(s, it.state);
	if (it.has_outside && s->plugins->reserved)
		s->plugins->reserved(s, it.state_outside, is_committed, s->plugins->ctx);
	quota_turn_end(s, it.turn);
}

/* --- deadlines --- */

static void commits_look(void *ctx);

/* With the lock held: no look is waited for any more, though one may be on its way. */
static void commits_disarm(struct apiserver *s)
{
	struct commits *all = &s->commits;

	if (all->timer && env_timer_stop(s->env, all->timer))
		all->looks--;
	all->timer = NULL;
}

/* With the lock held: looks again no later than at until_ns. */
static void commits_arm(struct apiserver *s, int64_t until_ns)
{
	struct commits *all = &s->commits;

	if (until_ns == INT64_MAX || all->stopping || (all->timer && all->due_ns <= until_ns))
		return;
	commits_disarm(s);
	all->due_ns = until_ns;
	all->looks++;
	all->timer = env_after(s->env, ENV_TIMERS, MAX(until_ns - env_mono_ns(s->env), 0), commits_look, s);
}

/* Gives up those whose time is up. */
static void commits_look(void *ctx)
{
	struct apiserver *s = ctx;
	struct commits *all = &s->commits;
	VEC(struct commit *) late = VEC_INIT;
	int64_t now = env_mono_ns(s->env), next = INT64_MAX;

	lock_mutex(&s->lock, &commit_lock);
	for (struct list *l = all->list.next; l != &all->list; l = l->next) {
		struct commit *c = LIST_ENTRY(l, struct commit, link);
		int waits = COMMIT_WAITS;

		if (c->until_ns > now)
			next = MIN(next, c->until_ns);
		else if (atomic_compare_exchange_strong(&c->state, &waits, COMMIT_LATE))
			vec_push(&late, c);
	}
	commits_disarm(s);
	commits_arm(s, next);
	for (size_t i = 0; i < late.n; i++) /* the store may let go of it as soon as the lock is free */
		atomic_fetch_add(&late.p[i]->refs, 1);
	pthread_mutex_unlock(&s->lock);
	for (size_t i = 0; i < late.n; i++) {
		api_req_post(late.p[i]->q, late.p[i]->fn, late.p[i]->ctx);
		commit_unref(late.p[i]);
	}
	vec_release(&late);
	lock_mutex(&s->lock, &commit_lock);
	all->looks--;
	pthread_cond_broadcast(&s->cond);
	pthread_mutex_unlock(&s->lock);
}

void commits_stop(struct apiserver *s)
{
	struct commits *all = &s->commits;

	lock_mutex(&s->lock, &commit_lock);
	all->stopping = true;
	commits_disarm(s);
	while (all->looks)
		pthread_cond_wait(&s->cond, &s->lock);
	pthread_mutex_unlock(&s->lock);
}

/* --- the store's answer --- */

/* A server that stops waits for this; c may be gone. */
static void commit_end(struct commit *c)
{
	struct apiserver *s = c->s;

	lock_mutex(&s->lock, &commit_lock);
	list_del(&c->link);
	if (--s->commits.n == 0)
		pthread_cond_broadcast(&s->cond);
	pthread_mutex_unlock(&s->lock);
	commit_unref(c);
}

/* Nobody waits for it any more; what was held for it is still to be settled. */
static void commit_settle(void *ctx)
{
	struct commit *c = ctx;

	reserved_end(c->s, &c->reserved, c->said.outcome == STORE_OK);
	commit_end(c);
}

/* On the store's thread, which has all writes to do. An answer is a moment's work on the request's own thread, another
 * attempt is as long as the first. */
static void commit_answered(const struct store_result *r, void *ctx)
{
	struct commit *c = ctx;
	const struct store_kv *is = r->current;
	int waits = COMMIT_WAITS;

	c->said.outcome = r->outcome;
	c->said.rev = r->rev;
	c->said.which = r->outcome == STORE_MISMATCH ? r->which : 0;
	c->said.there = is && !is->deleted;
	if (c->said.there) {
		c->said.rev = is->mod_rev;
		c->said.value = sv_make(xstrndup(is->value.p, is->value.n), is->value.n);
	}
	if (r->outcome == STORE_FAILED && r->err)
		err_copy(&c->said.err, r->err);
	else if (r->outcome == STORE_FAILED)
		err_set(&c->said.err, ERR_INTERNAL, "the write failed");
	if (!atomic_compare_exchange_strong(&c->state, &waits, COMMIT_SAID)) {
		env_post(c->s->env, ENV_REQUESTS, commit_settle, c);
		return;
	}
	inflight_waits(c->q, NULL);
	if (r->outcome == STORE_MISMATCH)
		req_go(c->q, c->fn, c->ctx);
	else
		api_req_post(c->q, c->fn, c->ctx); /* its request may be gone after it */
	commit_end(c);
}

void commit_go(struct commit *c, struct store_write *w, req_fn *fn, void *ctx)
{
	struct apiserver *s = c->s;
	struct api_req *q = c->q;

	c->fn = fn;
	c->ctx = ctx;
	c->until_ns = q->served ? req_deadline_ns(q) : INT64_MAX;
	w->cookie = &c->pw;
	atomic_fetch_add(&c->refs, 1);
	inflight_add(q);
	inflight_waits(q, "the store");
	lock_mutex(&s->lock, &commit_lock);
	list_add_tail(&s->commits.list, &c->link);
	s->commits.n++;
	commits_arm(s, c->until_ns);
	pthread_mutex_unlock(&s->lock);
	store_commit(s->store, w, commit_answered, c);
}

int commit_said(struct commit *c, struct err *err)
{
	if (atomic_load(&c->state) != COMMIT_LATE)
		return 0;
	inflight_waits(c->q, NULL);
	return req_late(c->q, err);
}
