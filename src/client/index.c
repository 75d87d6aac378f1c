#include "client/index.h"
#include "base/buf.h"

#include <stdlib.h>

static size_t namespace_key(const struct obj *o, struct sv keys[INDEX_KEYS_MAX])
{
	keys[0] = obj_ns(o);
	return keys[0].n ? 1 : 0;
}

/* "ns/name" in a scratch buffer; API names are far shorter, but nothing here relies on it. */
static void make_key(struct buf *b, struct sv ns, struct sv name)
{
	buf_addsv(b, ns);
	buf_addc(b, '/');
	buf_addsv(b, name);
}

void index_init(struct index *x)
{
	*x = (struct index){ 0 };
	index_add(x, "namespace", namespace_key);
}

static void bucket_free(void *p)
{
	struct index_bucket *b = p;

	vec_release(&b->entries);
	free(b);
}

static void entry_free(void *p)
{
	struct index_entry *e = p;

	obj_unref(e->obj);
	free(e);
}

void index_release(struct index *x)
{
	for (size_t i = 0; i < x->by.n; i++) {
		strmap_release_with(&x->by.p[i].buckets, bucket_free);
		free(x->by.p[i].name);
	}
	vec_release(&x->by);
	strmap_release_with(&x->entries, entry_free);
}

void index_add(struct index *x, const char *name, index_key_fn *fn)
{
	struct index_by by = { .name = xstrdup(name), .key_fn = fn };

	BUG_ON(x->entries.n);
	vec_push(&x->by, by);
}

struct index_entry *index_find(const struct index *x, struct sv ns, struct sv name)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	make_key(&b, ns, name);
	return strmap_get(&x->entries, buf_sv(&b));
}

static void bucket_add(struct index_by *by, struct sv key, struct index_entry *e)
{
	void **slot = strmap_slot(&by->buckets, key);
	struct index_bucket *b;

	if (!*slot)
		*slot = xcalloc(1, sizeof(struct index_bucket));
	b = *slot;
	vec_push(&b->entries, e);
}

static void bucket_del(struct index_by *by, struct sv key, struct index_entry *e)
{
	struct index_bucket *b = strmap_get(&by->buckets, key);

	for (size_t i = 0; b && i < b->entries.n; i++) {
		if (b->entries.p[i] != e)
			continue;
		vec_remove_swap(&b->entries, i);
		vec_tighten(&b->entries);
		if (b->entries.n == 0)
			bucket_free(strmap_del(&by->buckets, key));
		return;
	}
}

static bool same_keys(const struct sv *a, size_t an, const struct sv *b, size_t bn)
{
	if (an != bn)
		return false;
	for (size_t i = 0; i < an; i++)
		if (!sv_eq(a[i], b[i]))
			return false;
	return true;
}

/* Moves e from old's buckets to neu's, either of which may be NULL. */
static void reindex(struct index *x, struct index_entry *e, const struct obj *old, const struct obj *neu)
{
	for (size_t i = 0; i < x->by.n; i++) {
		struct index_by *by = &x->by.p[i];
		struct sv was[INDEX_KEYS_MAX], is[INDEX_KEYS_MAX];
		size_t n_was = old ? by->key_fn(old, was) : 0;
		size_t n_is = neu ? by->key_fn(neu, is) : 0;

		if (same_keys(was, n_was, is, n_is))
			continue;
		for (size_t k = 0; k < n_was; k++)
			bucket_del(by, was[k], e);
		for (size_t k = 0; k < n_is; k++)
			bucket_add(by, is[k], e);
	}
}

struct obj *index_put(struct index *x, struct obj *o, struct index_entry **ret_entry)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	struct index_entry *e;
	struct obj *old;
	void **slot;

	make_key(&b, obj_ns(o), obj_name(o));
	slot = strmap_slot(&x->entries, buf_sv(&b));
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

	make_key(&b, ns, name);
	e = strmap_del(&x->entries, buf_sv(&b));
	if (!e)
		return NULL;
	old = e->obj;
	reindex(x, e, old, NULL);
	free(e);
	return old;
}

const struct index_bucket *index_bucket(const struct index *x, const char *name, struct sv key)
{
	for (size_t i = 0; i < x->by.n; i++)
		if (strcmp(x->by.p[i].name, name) == 0)
			return strmap_get(&x->by.p[i].buckets, key);
	bug_abort(__FILE__, __LINE__, "no such index");
}
