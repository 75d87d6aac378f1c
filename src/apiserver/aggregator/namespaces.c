/* A namespace that goes, emptied of what other servers keep in it. Its outcome waits for who asked, who is woken and
 * asks again; what nobody fetches is dropped.
 *
 *	WAITS ─▶ RUNS: task ─▶ call ─▶ task ─▶ call ─▶ ... ─▶ DONE ─▶ fetched, or dropped
 *
 * Others say how long they take: no thread waits for them. A task asks one question and ends, and the answer posts the
 * next. Of all namespaces EMPTIED_AT_ONCE run, as each may hold a list of AGG_ITEMS_MAX; the others wait in the order
 * they came. One has EMPTIED_NS in all. Whose answer does not come in its time is not asked again for a while, in no
 * namespace and in none of its versions, so that it holds up the other servers but once in that while. What was not
 * asked is a failure: the namespace stays, and who wants it gone comes again. */
#include "apiserver/aggregator/namespaces-internal.h"

#include <stdlib.h>

#define EMPTIED_AT_ONCE ((size_t)2)

/* As many as may run. The lock is held. */
static void emptied_begin(struct aggregator *g)
{
	while (g->n_emptying < EMPTIED_AT_ONCE && !list_empty(&g->emptied_waiting)) {
		struct agg_emptied *k = LIST_ENTRY(g->emptied_waiting.next, struct agg_emptied, at);

		list_del(&k->at);
		k->state = EMPTIED_RUNS;
		g->n_emptying++;
		g->refs++;
		env_post(g->env, ENV_CONTROL, k->run, k);
	}
}

/* The server ends: nobody asks any more. The lock is held. */
static void emptied_give_up(struct agg_emptied *k)
{
	(void)strmap_del(&k->g->emptied, sv_from(k->ns));
	emptied_free(k);
}

/* It ran. The lock is held. */
static void emptied_done(struct agg_emptied *k)
{
	struct aggregator *g = k->g;

	g->n_emptying--;
	g->refs--; /* the task has one yet */
	if (g->stopping) {
		emptied_give_up(k);
		return;
	}
	k->state = EMPTIED_DONE;
	k->done_ns = env_mono_ns(g->env);
	arena_release(&k->of_version);
	arena_release(&k->of_kind);
	list_add_tail(&g->emptied_done, &k->at);
	agg_waits_wake(&k->waits);
	emptied_begin(g);
}

static void emptied_run(void *ctx)
{
	struct agg_emptied *k = ctx;
	struct aggregator *g = k->g;
	bool asks;

	pthread_mutex_lock(&g->lock);
	if (g->stopping) {
		emptied_give_up(k);
		agg_let_go(g);
		return;
	}
	g->refs++;
	g->emptying++;
	if (!k->all)
		emptied_prepare(k);
	pthread_mutex_unlock(&g->lock);
	asks = emptied_go_on(k);
	pthread_mutex_lock(&g->lock);
	if (!asks)
		emptied_done(k);
	g->emptying--;
	pthread_cond_broadcast(&g->idle);
	agg_let_go(g);
}

/* Those that nobody fetched. The lock is held. */
static void emptied_expire(struct aggregator *g)
{
	while (!list_empty(&g->emptied_done)) {
		struct agg_emptied *k = LIST_ENTRY(g->emptied_done.next, struct agg_emptied, at);

		if (k->done_ns + OUTCOME_NS >= env_mono_ns(g->env))
			return;
		list_del(&k->at);
		(void)strmap_del(&g->emptied, sv_from(k->ns));
		emptied_free(k);
	}
}

bool apiserver_empty_foreign(void *ctx, struct sv ns, const struct foreign_wake *who, struct foreign_left *ret)
{
	struct apiserver *s = ctx;
	struct aggregator *g = s->aggregator;
	struct agg_emptied *k;
	bool done = false;

	if (!atomic_load(&g->n_remote))
		return true;
	pthread_mutex_lock(&g->lock);
	k = strmap_get(&g->emptied, ns);
	if (k && k->state == EMPTIED_DONE) {
		(void)strmap_del(&g->emptied, ns);
		list_del(&k->at);
		*ret = k->left;
		k->left = (struct foreign_left){ 0 };
		emptied_free(k);
		done = true;
	} else if (!k && !g->stopping) {
		k = xcalloc(1, sizeof(*k));
		k->g = g;
		k->run = emptied_run;
		k->ns = xstrndup(ns.p, ns.n);
		list_init(&k->waits);
		(void)strmap_set(&g->emptied, ns, k);
		list_add_tail(&g->emptied_waiting, &k->at);
		emptied_begin(g);
	}
	if (k && !done)
		agg_wait(&k->waits, who);
	emptied_expire(g);
	pthread_mutex_unlock(&g->lock);
	return done;
}

void agg_emptied_drop(struct aggregator *g)
{
	STRMAP_EACH(&g->emptied, e) {
		struct agg_emptied *k = e->value;

		if (k->state != EMPTIED_RUNS) /* the others are their tasks' */
			emptied_free(k);
	}
	strmap_release(&g->emptied);
	list_init(&g->emptied_waiting);
	list_init(&g->emptied_done);
	while (g->emptying)
		pthread_cond_wait(&g->idle, &g->lock);
}
