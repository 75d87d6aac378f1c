#include "apiserver/held.h"
#include "apiserver/apiserver-internal.h"
#include "base/strmap.h"

#include <stdlib.h>

#define HELD_PLENTY (HELD_MAX / 4) /* left to one user without a look at him */

struct held_user {
	char *name; /* owned */
	size_t bytes, pieces;
};

struct held_set {
	atomic_size_t refs; /* the server's, and each piece's: a loop may drop one after it */
	atomic_size_t bytes;
	pthread_mutex_t lock;
	struct strmap users; /* who holds something */
};

struct held {
	struct held_set *set;
	struct held_user *user;
	size_t bytes;
	char *text; /* owned */
};

struct held_set *held_new(void)
{
	struct held_set *set = xcalloc(1, sizeof(*set));

	atomic_init(&set->refs, 1);
	pthread_mutex_init(&set->lock, NULL);
	return set;
}

struct held_set *held_free(struct held_set *set)
{
	if (!set || atomic_fetch_sub(&set->refs, 1) != 1)
		return NULL;
	strmap_release(&set->users);
	pthread_mutex_destroy(&set->lock);
	free(set);
	return NULL;
}

size_t held_bytes(const struct apiserver *s)
{
	return atomic_load_explicit(&s->held->bytes, memory_order_relaxed);
}

int held_room(const struct api_req *q, struct err *err)
{
	struct held_set *set = q->server->held;
	size_t all = held_bytes(q->server), own = 0;
	const struct held_user *u;

	if (all < HELD_PLENTY)
		return 0;
	pthread_mutex_lock(&set->lock);
	u = strmap_get(&set->users, user_share(&q->user));
	if (u)
		own = u->bytes;
	pthread_mutex_unlock(&set->lock);
	if (!own || (all < HELD_MAX && own <= HELD_MAX - all))
		return 0;
	return err_too_many(err);
}

struct held *held_take(const struct api_req *q, size_t n)
{
	struct held_set *set = q->server->held;
	struct sv share = user_share(&q->user);
	struct held *h;
	void **slot;

	if (n < HELD_SMALL)
		return NULL;
	h = xmalloc(sizeof(*h));
	*h = (struct held){ .set = set, .bytes = n };
	pthread_mutex_lock(&set->lock);
	slot = strmap_slot(&set->users, share);
	if (!*slot) {
		struct held_user *u = *slot = xcalloc(1, sizeof(*u));

		u->name = xstrndup(share.p, share.n);
	}
	h->user = *slot;
	h->user->bytes += n;
	h->user->pieces++;
	pthread_mutex_unlock(&set->lock);
	atomic_fetch_add_explicit(&set->bytes, n, memory_order_relaxed);
	atomic_fetch_add(&set->refs, 1);
	return h;
}

void held_give(void *held)
{
	struct held *h = held;
	struct held_user *u;

	if (!h)
		return;
	u = h->user;
	pthread_mutex_lock(&h->set->lock);
	u->bytes -= h->bytes;
	if (--u->pieces == 0) {
		(void)strmap_del(&h->set->users, sv_from(u->name));
		free(u->name);
		free(u);
	}
	pthread_mutex_unlock(&h->set->lock);
	atomic_fetch_sub_explicit(&h->set->bytes, h->bytes, memory_order_relaxed);
	held_free(h->set);
	free(h->text);
	free(h);
}

struct http_chunk held_chunk(const struct api_req *q, char *text, size_t n)
{
	struct held *h = held_take(q, n);

	if (h)
		h->text = text;
	return (struct http_chunk){ .data = sv_make(text, n),
				    .release = h ? held_give : free,
				    .owner = h ? (void *)h : text };
}
