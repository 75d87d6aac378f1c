/* What readers ask an informer's store, under its lock and never longer than a copy of references takes. */
#include "client/informer-internal.h"

bool informer_synced(struct informer *i)
{
	bool synced;

	pthread_mutex_lock(&i->lock);
	synced = i->synced;
	pthread_mutex_unlock(&i->lock);
	return synced;
}

int64_t informer_rev(struct informer *i)
{
	int64_t rev;

	pthread_mutex_lock(&i->lock);
	rev = i->rev;
	pthread_mutex_unlock(&i->lock);
	return rev;
}

struct obj *informer_lookup(struct informer *i, struct sv ns, struct sv name)
{
	struct index_entry *e;
	struct obj *o;

	pthread_mutex_lock(&i->lock);
	e = index_find(&i->index, ns, name);
	o = e ? obj_ref(e->obj) : NULL;
	pthread_mutex_unlock(&i->lock);
	return o;
}

void informer_each(struct informer *i, struct sv ns, int (*fn)(struct obj *o, void *ctx), void *ctx)
{
	pthread_mutex_lock(&i->lock);
	if (ns.n) {
		const struct index_bucket *b = index_bucket(&i->index, "namespace", ns);

		for (size_t k = 0; b && k < b->n; k++)
			if (fn(b->members[k].entry->obj, ctx))
				break;
	} else {
		STRMAP_EACH(&i->index.entries, e)
			if (fn(((struct index_entry *)e->value)->obj, ctx))
				break;
	}
	pthread_mutex_unlock(&i->lock);
}

/* References an arena drops together. */
struct held {
	struct obj **objs;
	size_t n;
};

static void held_release(void *p)
{
	struct held *h = p;

	for (size_t i = 0; i < h->n; i++)
		obj_unref(h->objs[i]);
}

static struct held *informer_held_new(struct arena *a, size_t room)
{
	struct held *h = ARENA_NEW(a, struct held);

	h->objs = ARENA_ARRAY(a, struct obj *, room);
	arena_defer(a, held_release, h);
	return h;
}

static int informer_hold(struct obj *o, void *ctx)
{
	struct held *h = ctx;

	h->objs[h->n++] = obj_ref(o);
	return 0;
}

struct obj **informer_list(struct informer *i, struct arena *a, struct sv ns, size_t *ret_n)
{
	struct held *h;

	pthread_mutex_lock(&i->lock);
	if (ns.n) {
		const struct index_bucket *b = index_bucket(&i->index, "namespace", ns);

		h = informer_held_new(a, b ? b->n : 0);
		for (size_t k = 0; b && k < b->n; k++)
			informer_hold(b->members[k].entry->obj, h);
	} else {
		h = informer_held_new(a, i->index.entries.n);
		STRMAP_EACH(&i->index.entries, e)
			informer_hold(((struct index_entry *)e->value)->obj, h);
	}
	pthread_mutex_unlock(&i->lock);
	*ret_n = h->n;
	return h->objs;
}

size_t informer_count(struct informer *i)
{
	size_t n;

	pthread_mutex_lock(&i->lock);
	n = i->index.entries.n;
	pthread_mutex_unlock(&i->lock);
	return n;
}

int informer_add_index(struct informer *i, const char *name, index_key_fn *key_fn)
{
	pthread_mutex_lock(&i->lock);
	for (size_t k = 0; k < i->index.by.n; k++)
		if (strcmp(i->index.by.p[k].name, name) == 0) {
			pthread_mutex_unlock(&i->lock);
			return 0; /* another user of the shared informer asked for the same one */
		}
	index_add(&i->index, name, key_fn);
	pthread_mutex_unlock(&i->lock);
	return 0;
}

struct obj **informer_by_index(struct informer *i, struct arena *a, const char *name, struct sv key, size_t *ret_n)
{
	const struct index_bucket *b;
	struct held *h;

	pthread_mutex_lock(&i->lock);
	b = index_bucket(&i->index, name, key);
	h = informer_held_new(a, b ? b->n : 0);
	for (size_t k = 0; b && k < b->n; k++)
		informer_hold(b->members[k].entry->obj, h);
	pthread_mutex_unlock(&i->lock);
	*ret_n = h->n;
	return h->objs;
}

bool informer_has_key(struct informer *i, const char *index, struct sv key)
{
	bool any;

	pthread_mutex_lock(&i->lock);
	any = index_bucket(&i->index, index, key) != NULL;
	pthread_mutex_unlock(&i->lock);
	return any;
}

bool informer_has_keys(struct informer *i, const char *index)
{
	bool any;

	pthread_mutex_lock(&i->lock);
	any = index_has_keys(&i->index, index);
	pthread_mutex_unlock(&i->lock);
	return any;
}

struct obj **informer_by_ref(struct informer *i, struct arena *a, const char *index, struct sv ns, struct sv obj,
			     size_t *ret_n)
{
	return informer_by_index(i, a, index, arena_svf(a, "%.*s/%.*s", SV_ARG(ns), SV_ARG(obj)), ret_n);
}
