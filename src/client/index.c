#include "client/index.h"
#include "base/buf.h"

#include <stdlib.h>

/* Members that a bucket keeps room for; above, it follows what is in it. */
#define BUCKET_KEEPS 64

static void namespace_key(const struct obj *o, struct index_keys *ret)
{
	index_keys_add(ret, obj_ns(o));
}

void index_keys_add(struct index_keys *k, struct sv key)
{
	if (key.n)
		vec_push(&k->keys, key);
}

void index_keys_add_ref(struct index_keys *k, struct sv ns, struct sv name)
{
	if (name.n)
		index_keys_add(k, arena_svf(&k->arena, "%.*s/%.*s", SV_ARG(ns), SV_ARG(name)));
}

static void index_keys_clear(struct index_keys *k)
{
	vec_clear(&k->keys);
	arena_reset(&k->arena);
}

static void index_keys_release(struct index_keys *k)
{
	vec_release(&k->keys);
	arena_release(&k->arena);
}

void index_init(struct index *x)
{
	*x = (struct index){ 0 };
	index_add(x, "namespace", namespace_key);
}

static void bucket_free(void *p)
{
	struct index_bucket *b = p;

	free(b->members);
	free(b);
}

static void index_entry_free(void *p)
{
	struct index_entry *e = p;

	obj_unref(e->obj);
	free(e->places);
	free(e);
}

void index_release(struct index *x)
{
	for (size_t i = 0; i < x->by.n; i++) {
		strmap_release_with(&x->by.p[i].buckets, bucket_free);
		free(x->by.p[i].name);
	}
	vec_release(&x->by);
	strmap_release_with(&x->entries, index_entry_free);
	index_keys_release(&x->was);
	index_keys_release(&x->is);
}

struct index_entry *index_find(const struct index *x, struct sv ns, struct sv name)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	return strmap_get(&x->entries, obj_path(&b, ns, name));
}

/* Nearly all entries have few places and many buckets one member: arrays begin small. */
static void *index_grow(void *p, uint32_t n, uint32_t *cap, size_t size)
{
	if (n < *cap)
		return p;
	BUG_ON(n > UINT32_MAX / 2);
	*cap = n ? n * 2 : 2;
	return xrealloc(p, *cap * size);
}

static void index_bucket_add(struct index *x, uint32_t by, struct sv key, struct index_entry *e)
{
	void **slot = strmap_slot(&x->by.p[by].buckets, key);
	struct index_bucket *b = *slot;

	if (!b) {
		*slot = b = xcalloc(1, sizeof(*b) + key.n);
		b->key_n = key.n;
		memcpy(b->key, key.p, key.n);
	} else if (b->members[b->n - 1].entry == e) {
		return; /* the same key again */
	}
	e->places = index_grow(e->places, e->n_places, &e->cap, sizeof(*e->places));
	b->members = index_grow(b->members, b->n, &b->cap, sizeof(*b->members));
	e->places[e->n_places] = (struct index_place){ b, b->n, by };
	b->members[b->n++] = (struct index_member){ e, e->n_places++ };
}

void index_add(struct index *x, const char *name, index_key_fn *fn)
{
	struct index_by by = { .name = xstrdup(name), .key_fn = fn };

	vec_push(&x->by, by);
	STRMAP_EACH(&x->entries, e) {
		struct index_entry *entry = e->value;

		index_keys_clear(&x->is);
		fn(entry->obj, &x->is);
		for (size_t k = 0; k < x->is.keys.n; k++)
			index_bucket_add(x, (uint32_t)x->by.n - 1, x->is.keys.p[k], entry);
	}
}

/* Whoever fills a hole, in the bucket or among the entry's places, is told by its counterpart. */
static void bucket_del(struct index *x, struct index_entry *e, uint32_t place)
{
	struct index_place was = e->places[place];
	struct index_bucket *b = was.bucket;

	b->members[was.at] = b->members[--b->n];
	if (was.at < b->n)
		b->members[was.at].entry->places[b->members[was.at].place].at = was.at;
	e->places[place] = e->places[--e->n_places];
	if (place < e->n_places)
		e->places[place].bucket->members[e->places[place].at].place = place;
	if (b->n == 0) {
		bucket_free(strmap_del(&x->by.p[was.by].buckets, sv_make(b->key, b->key_n)));
	} else if (b->cap > BUCKET_KEEPS && b->n < b->cap / 4) {
		b->cap /= 2;
		b->members = xrealloc(b->members, b->cap * sizeof(*b->members));
	}
}

static bool same_keys(const struct index_keys *a, const struct index_keys *b)
{
	if (a->keys.n != b->keys.n)
		return false;
	for (size_t i = 0; i < a->keys.n; i++)
		if (!sv_eq(a->keys.p[i], b->keys.p[i]))
			return false;
	return true;
}

/* Moves e from old's buckets to neu's; there may be no old one. */
static void reindex(struct index *x, struct index_entry *e, const struct obj *old, const struct obj *neu)
{
	for (uint32_t i = 0; i < x->by.n; i++) {
		index_key_fn *keys_of = x->by.p[i].key_fn;

		index_keys_clear(&x->was);
		index_keys_clear(&x->is);
		keys_of(neu, &x->is);
		if (old) {
			keys_of(old, &x->was);
			if (same_keys(&x->was, &x->is))
				continue;
			for (uint32_t k = e->n_places; k-- > 0;)
				if (e->places[k].by == i)
					bucket_del(x, e, k);
		}
		for (size_t k = 0; k < x->is.keys.n; k++)
			index_bucket_add(x, i, x->is.keys.p[k], e);
	}
}

struct obj *index_put(struct index *x, struct obj *o, struct index_entry **ret_entry)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	struct index_entry *e;
	struct obj *old;
	void **slot;

	slot = strmap_slot(&x->entries, obj_path(&b, obj_ns(o), obj_name(o)));
	if (!*slot)
		*slot = xcalloc(1, sizeof(struct index_entry));
	e = *slot;
	old = e->obj;
	reindex(x, e, old, o);
	e->obj = obj_ref(o);
	if (ret_entry)
		*ret_entry = e;
	return old;
}

struct obj *index_del(struct index *x, struct sv ns, struct sv name)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	struct index_entry *e;
	struct obj *old;

	e = strmap_del(&x->entries, obj_path(&b, ns, name));
	if (!e)
		return NULL;
	old = e->obj;
	while (e->n_places)
		bucket_del(x, e, e->n_places - 1);
	free(e->places);
	free(e);
	return old;
}

static const struct index_by *index_named(const struct index *x, const char *name)
{
	for (size_t i = 0; i < x->by.n; i++)
		if (strcmp(x->by.p[i].name, name) == 0)
			return &x->by.p[i];
	bug_abort(__FILE__, __LINE__, "no such index");
}

const struct index_bucket *index_bucket(const struct index *x, const char *name, struct sv key)
{
	return strmap_get(&index_named(x, name)->buckets, key);
}

bool index_has_keys(const struct index *x, const char *name)
{
	return index_named(x, name)->buckets.n > 0;
}
