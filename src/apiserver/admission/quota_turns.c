/* Turns, in the order in which they were asked for. A namespace is in the map while somebody has its turn. */
#include "apiserver/admission/resource_quota.h"
#include "apiserver/apiserver-internal.h"
#include "apiserver/steps.h"
#include "base/list.h"
#include "base/lock.h"
#include "base/strmap.h"

#include <stdlib.h>

static struct lock_site turns_lock = { .name = "turns of quotas" };

struct quota_turns {
	pthread_mutex_t lock;
	struct strmap taken; /* namespace -> struct quota_turn */
};

struct quota_turn {
	struct list waiting; /* struct turn_wait */
	char *ns;
};

/* In the arena of the request that waits. */
struct turn_wait {
	struct list link;
	struct quota_turns *turns;
	struct req_ticket *ticket; /* while in the list */
};

struct quota_turns *quota_turns_new(void)
{
	struct quota_turns *t = xcalloc(1, sizeof(*t));

	pthread_mutex_init(&t->lock, NULL);
	return t;
}

struct quota_turns *quota_turns_free(struct quota_turns *t)
{
	if (!t)
		return NULL;
	strmap_release(&t->taken);
	pthread_mutex_destroy(&t->lock);
	free(t);
	return NULL;
}

/* The wait ended otherwise. */
static void turn_cancel(void *ctx)
{
	struct turn_wait *w = ctx;
	struct req_ticket *ticket;

	lock_mutex(&w->turns->lock, &turns_lock);
	ticket = TAKE(w->ticket);
	if (ticket)
		list_del(&w->link);
	pthread_mutex_unlock(&w->turns->lock);
	if (ticket)
		req_ticket_unref(ticket);
}

int quota_turn_take(struct api_req *q, struct sv ns, struct quota_turn **ret)
{
	struct quota_turns *turns = q->server->quota_turns;
	struct turn_wait *w;
	struct quota_turn *t;
	void *given, **slot;

	if (req_result(q, &given)) {
		*ret = given; /* whoever had it before gave it to us */
		return 0;
	}
	lock_mutex(&turns->lock, &turns_lock);
	slot = strmap_slot(&turns->taken, ns);
	t = *slot;
	if (!t) {
		t = *slot = xcalloc(1, sizeof(*t));
		list_init(&t->waiting);
		t->ns = xstrndup(ns.p, ns.n);
		pthread_mutex_unlock(&turns->lock);
		*ret = t;
		return 0;
	}
	w = ARENA_NEW(q->arena, struct turn_wait);
	w->turns = turns;
	w->ticket = req_suspend(q, "a turn at the quotas of its namespace", turn_cancel, w);
	list_add_tail(&t->waiting, &w->link);
	pthread_mutex_unlock(&turns->lock);
	return REQ_LATER;
}

void quota_turn_end(struct apiserver *s, struct quota_turn *t)
{
	struct quota_turns *turns = s->quota_turns;

	while (t) {
		struct req_ticket *next = NULL;

		lock_mutex(&turns->lock, &turns_lock);
		if (list_empty(&t->waiting)) {
			strmap_del(&turns->taken, sv_from(t->ns));
		} else {
			struct turn_wait *w = LIST_ENTRY(t->waiting.next, struct turn_wait, link);

			list_del(&w->link);
			next = TAKE(w->ticket);
		}
		pthread_mutex_unlock(&turns->lock);
		if (!next) {
			free(t->ns);
			free(t);
			return;
		}
		if (req_resume(next, t, NULL))
			return; /* it is that one's now */
	}
}
