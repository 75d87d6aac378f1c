/* A ring under one lock: whoever watches asks for what was added last, so the search begins there and ends soon. */
#include "apiserver/recent.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

struct recent_bytes {
	atomic_uint refs;
	size_t n;
	char *p;
};

struct recent_entry {
	struct recent_key key;
	struct obj *o; /* key.o, as a reference; NULL: nothing is here */
	struct recent_bytes *bytes;
};

struct recent {
	pthread_mutex_t lock;
	struct recent_entry ring[RECENT_MAX];
	size_t next, first; /* counted up: entries are [first, next), each at its number modulo RECENT_MAX */
	size_t total;	    /* bytes of them */
};

struct recent *recent_new(void)
{
	struct recent *r = xcalloc(1, sizeof(*r));

	pthread_mutex_init(&r->lock, NULL);
	return r;
}

static size_t recent_size(const struct recent_entry *e)
{
	return obj_bytes(e->o) + e->bytes->n;
}

/* Takes the oldest out; the references are the caller's. */
static struct recent_entry recent_take(struct recent *r)
{
	struct recent_entry e = r->ring[r->first++ % RECENT_MAX];

	r->total -= recent_size(&e);
	return e;
}

static void recent_drop(struct recent_entry *e)
{
	obj_unref(e->o);
	recent_unref(e->bytes);
}

struct recent *recent_free(struct recent *r)
{
	if (!r)
		return NULL;
	while (r->first != r->next) {
		struct recent_entry e = recent_take(r);

		recent_drop(&e);
	}
	pthread_mutex_destroy(&r->lock);
	free(r);
	return NULL;
}

struct recent_bytes *recent_find(struct recent *r, const struct recent_key *k)
{
	struct recent_bytes *found = NULL;

	pthread_mutex_lock(&r->lock);
	for (size_t i = r->next; i != r->first && !found; i--) {
		const struct recent_entry *e = &r->ring[(i - 1) % RECENT_MAX];

		if (e->key.o == k->o && e->key.media == k->media && e->key.form == k->form && e->key.event == k->event)
			found = e->bytes;
	}
	if (found)
		atomic_fetch_add_explicit(&found->refs, 1, memory_order_relaxed);
	pthread_mutex_unlock(&r->lock);
	return found;
}

struct recent_bytes *recent_add(struct recent *r, const struct recent_key *k, char *bytes_take, size_t n)
{
	struct recent_bytes *b = xmalloc(sizeof(*b));
	struct recent_entry old[RECENT_MAX];
	size_t n_old = 0;

	*b = (struct recent_bytes){ .n = n, .p = bytes_take };
	atomic_init(&b->refs, 2);
	pthread_mutex_lock(&r->lock);
	while (r->first != r->next &&
	       (r->next - r->first == RECENT_MAX || r->total + obj_bytes(k->o) + n > RECENT_BYTES))
		old[n_old++] = recent_take(r);
	r->ring[r->next % RECENT_MAX] =
	    (struct recent_entry){ .key = *k, .o = obj_ref((struct obj *)(uintptr_t)k->o), .bytes = b };
	r->total += recent_size(&r->ring[r->next % RECENT_MAX]);
	r->next++;
	pthread_mutex_unlock(&r->lock);
	/* Freed without the lock: an object may be large. */
	for (size_t i = 0; i < n_old; i++)
		recent_drop(&old[i]);
	return b;
}

struct sv recent_sv(const struct recent_bytes *b)
{
	return sv_make(b->p, b->n);
}

void recent_unref(void *p)
{
	struct recent_bytes *b = p;

	if (!b || atomic_fetch_sub_explicit(&b->refs, 1, memory_order_acq_rel) != 1)
		return;
	free(b->p);
	free(b);
}
