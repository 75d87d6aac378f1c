/* Lists, each with a lock, so that threads that add and drop do not wait for each other. An entry keeps its own views
 * of the request's texts, which stay where they are in the arena: who reads never looks at the request itself. */
#include "apiserver/inflight.h"
#include "apiserver/apiserver-internal.h"
#include "base/list.h"

#include <stdlib.h>

#define SHARDS 16

struct inflight {
	struct list link;
	struct inflight_shard *in;
	struct inflight_look look; /* but step and waits */
	atomic_int step;
	_Atomic(const char *) waits;
};

struct inflight_set {
	struct inflight_shard {
		pthread_mutex_t lock;
		struct list all;
	} shards[SHARDS];
};

struct inflight_set *inflight_new(void)
{
	struct inflight_set *set = xcalloc(1, sizeof(*set));

	for (size_t i = 0; i < SHARDS; i++) {
		pthread_mutex_init(&set->shards[i].lock, NULL);
		list_init(&set->shards[i].all);
	}
	return set;
}

struct inflight_set *inflight_free(struct inflight_set *set)
{
	if (!set)
		return NULL;
	for (size_t i = 0; i < SHARDS; i++)
		pthread_mutex_destroy(&set->shards[i].lock);
	free(set);
	return NULL;
}

static struct inflight *inflight_of(const struct api_req *q)
{
	return q->served == q ? q->inflight : NULL;
}

void inflight_add(struct api_req *q)
{
	struct inflight *f;

	if (q->inflight || q->served != q)
		return;
	q->inflight = f = ARENA_NEW(q->arena, struct inflight);
	f->look = (struct inflight_look){ .q = q,
					  .verb = api_req_verb(q),
					  .url = api_req_url(q),
					  .user = q->user.name,
					  .start_ns = q->start_ns,
					  .bytes = q->body.n };
	atomic_init(&f->step, q->step);
	atomic_init(&f->waits, NULL);
	f->in = &q->server->inflight->shards[((uintptr_t)q >> 10) % SHARDS];
	pthread_mutex_lock(&f->in->lock);
	list_add_tail(&f->in->all, &f->link);
	pthread_mutex_unlock(&f->in->lock);
}

void inflight_drop(struct api_req *q)
{
	struct inflight *f = inflight_of(q);

	if (!f)
		return;
	q->inflight = NULL;
	pthread_mutex_lock(&f->in->lock);
	list_del(&f->link);
	pthread_mutex_unlock(&f->in->lock);
}

void inflight_step(struct api_req *q, enum req_step step)
{
	struct inflight *f = inflight_of(q);

	if (f)
		atomic_store_explicit(&f->step, step, memory_order_relaxed);
}

void inflight_waits(struct api_req *q, const char *what)
{
	struct inflight *f = inflight_of(q);

	if (f)
		atomic_store_explicit(&f->waits, what, memory_order_relaxed);
}

void inflight_each(struct apiserver *s, void (*fn)(const struct inflight_look *l, void *ctx), void *ctx)
{
	for (size_t i = 0; i < SHARDS; i++) {
		struct inflight_shard *in = &s->inflight->shards[i];

		pthread_mutex_lock(&in->lock);
		for (struct list *l = in->all.next; l != &in->all; l = l->next) {
			struct inflight *f = LIST_ENTRY(l, struct inflight, link);
			struct inflight_look look = f->look;

			look.step = (enum req_step)atomic_load(&f->step);
			look.waits = atomic_load(&f->waits);
			fn(&look, ctx);
		}
		pthread_mutex_unlock(&in->lock);
	}
}
