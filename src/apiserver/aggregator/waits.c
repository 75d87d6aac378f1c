/* Who asked what could not be told yet, and is woken when it can.
 *
 * A wait is in two lists: of what it waits for, and of its waker, so that either can go first. Those without room to
 * ask are in one list in the order they came, and have a name in a map, so that who comes by again keeps its place. A
 * wake only queues (client/foreign.h): it is done under the lock. */
#include "apiserver/aggregator/aggregator-internal.h"

#include <stdlib.h>

struct agg_wait {
	struct list at, of;
	struct foreign_waker *waker;
	struct aggregator *hungry; /* it is one of those, by `name` */
	char *name;
	size_t key_n;
	char key[];
};

static struct agg_wait *wait_new(struct list *at, const struct foreign_wake *who)
{
	struct foreign_waker *w = who->waker;
	struct agg_wait *x = xcalloc(1, sizeof(*x) + who->key.n);

	if (!w->begun)
		list_init(&w->waits);
	w->begun = true;
	x->waker = w;
	x->key_n = who->key.n;
	if (who->key.n)
		memcpy(x->key, who->key.p, who->key.n);
	list_add_tail(at, &x->at);
	list_add_tail(&w->waits, &x->of);
	return x;
}

static void wait_free(struct agg_wait *x)
{
	if (x->hungry)
		(void)strmap_del(&x->hungry->hungry_has, sv_from(x->name));
	list_del(&x->at);
	list_del(&x->of);
	free(x->name);
	free(x);
}

static struct agg_wait *wait_first(const struct list *at)
{
	return list_empty(at) ? NULL : LIST_ENTRY(at->next, struct agg_wait, at);
}

static void wait_wake(struct agg_wait *x)
{
	x->waker->wake(x->waker->ctx, sv_make(x->key, x->key_n));
	wait_free(x);
}

static bool wait_wanted(const struct foreign_wake *who)
{
	return who && who->waker && !who->waker->closed;
}

void agg_wait(struct list *at, const struct foreign_wake *who)
{
	if (!wait_wanted(who))
		return;
	LIST_EACH(at, it) { /* who asks for the same, for the same decision: hardly ever another */
		const struct agg_wait *x = LIST_ENTRY(it, struct agg_wait, at);

		if (x->waker == who->waker && sv_eq(sv_make(x->key, x->key_n), who->key))
			return;
	}
	(void)wait_new(at, who);
}

void agg_waits_wake(struct list *at)
{
	struct agg_wait *x;

	while ((x = wait_first(at)) != NULL)
		wait_wake(x);
}

void agg_waits_drop(struct list *at)
{
	struct agg_wait *x;

	while ((x = wait_first(at)) != NULL)
		wait_free(x);
}

void agg_hungry(struct aggregator *g, const struct foreign_wake *who)
{
	_cleanup_free_ char *name = NULL;
	struct agg_wait *x;

	if (!wait_wanted(who))
		return;
	name = xasprintf("%p %.*s", (void *)who->waker, SV_ARG(who->key));
	if (strmap_has(&g->hungry_has, sv_from(name)))
		return;
	x = wait_new(&g->hungry, who);
	x->hungry = g;
	x->name = TAKE(name);
	(void)strmap_set(&g->hungry_has, sv_from(x->name), x);
}

void agg_hungry_wake(struct aggregator *g, size_t n)
{
	struct agg_wait *x;

	while (n-- && (x = wait_first(&g->hungry)) != NULL)
		wait_wake(x);
}

void agg_hungry_drop(struct aggregator *g)
{
	agg_waits_drop(&g->hungry);
	strmap_release(&g->hungry_has);
}

void apiserver_forget_foreign(void *ctx, struct foreign_waker *w)
{
	struct aggregator *g = ((struct apiserver *)ctx)->aggregator;

	pthread_mutex_lock(&g->lock);
	w->closed = true;
	while (w->begun && !list_empty(&w->waits))
		wait_free(LIST_ENTRY(w->waits.next, struct agg_wait, of));
	pthread_mutex_unlock(&g->lock);
}
