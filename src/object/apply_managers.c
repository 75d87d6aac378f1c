/* The entries of metadata.managedFields: read, written, and kept few. */
#include "base/buf.h"
#include "base/strmap.h"
#include "base/timefmt.h"
#include "object/apply-internal.h"

#include <stdlib.h>

#define ENTRIES_MAX 1000 /* managers of one object; far beyond what happens, against a client's list */

struct manager *managers_add(struct arena *a, struct managers *ms, struct manager m)
{
	if (ms->n == ms->cap) {
		size_t cap = ms->cap ? ms->cap * 2 : 8;
		struct manager *p = ARENA_ARRAY(a, struct manager, cap);

		if (ms->n)
			memcpy(p, ms->p, ms->n * sizeof(*p));
		ms->p = p;
		ms->cap = cap;
	}
	ms->p[ms->n] = m;
	return &ms->p[ms->n++];
}

/* An applier is the same one whatever version it writes; updaters of two versions are two. */
bool managers_same(const struct manager *x, const struct manager *y)
{
	return x->applied == y->applied && sv_eq(x->name, y->name) && sv_eq(x->subresource, y->subresource) &&
	       (x->applied || sv_eq(x->api_version, y->api_version));
}

struct manager *managers_find(const struct managers *ms, const struct manager *like)
{
	for (size_t i = 0; i < ms->n; i++)
		if (managers_same(&ms->p[i], like))
			return &ms->p[i];
	return NULL;
}

static void managers_drop_empty(struct managers *ms)
{
	size_t n = 0;

	for (size_t i = 0; i < ms->n; i++)
		if (ms->p[i].text.n || !fset_empty(ms->p[i].set))
			ms->p[n++] = ms->p[i];
	ms->n = n;
}

#define FEW_MANAGERS 16 /* that are found fastest by looking at each */

/* What makes it one, as managers_same() has it. */
static struct sv manager_key(struct arena *a, const struct manager *m)
{
	struct sv version = m->applied ? SV("") : m->api_version;

	return arena_svf(a, "%d %zu %.*s %zu %.*s %.*s", m->applied, m->name.n, SV_ARG(m->name), m->subresource.n,
			 SV_ARG(m->subresource), SV_ARG(version));
}

/* False when any entry is malformed: the caller then takes none, as upstream does. */
bool managers_read(struct arena *a, const struct val *list, struct managers *ret)
{
	_cleanup_(strmap_release) struct strmap places = STRMAP_INIT; /* by key, and one */

	*ret = (struct managers){ 0 };
	if (val_len(list) > ENTRIES_MAX)
		return false;
	VAL_EACH(list, e) {
		const struct val *op = val_member(e, F_operation), *fields = val_member(e, F_fieldsV1);
		struct manager m = { .name = val_get_str(e, F_manager),
				     .subresource = val_get_str(e, F_subresource),
				     .api_version = val_get_str(e, F_apiVersion),
				     .applied = val_is(op, "Apply") };
		struct manager *have;

		if (!m.applied && !val_is(op, "Update"))
			return false;
		if (!val_is(val_member(e, F_fieldsType), "FieldsV1"))
			return false;
		if (!time_parse(val_get_str(e, F_time), &m.time_ns))
			m.time_ns = 0;
		if (fields) {
			m.set = fset_from_json(a, fields, NULL);
			if (!m.set)
				return false;
		}
		if (val_len(list) <= FEW_MANAGERS) {
			have = managers_find(ret, &m);
		} else {
			void **place = strmap_slot(&places, manager_key(a, &m));

			have = *place ? &ret->p[(uintptr_t)*place - 1] : NULL;
			*place = have ? *place : (void *)(uintptr_t)(ret->n + 1);
		}
		if (have)
			*have = m;
		else
			managers_add(a, ret, m);
	}
	return true;
}

int managers_order(const void *x, const void *y)
{
	const struct manager *a = x, *b = y;
	int64_t at = a->time_ns / NS_PER_SEC, bt = b->time_ns / NS_PER_SEC;
	int c;

	if (a->applied != b->applied)
		return a->applied ? -1 : 1;
	if (at != bt)
		return at < bt ? -1 : 1;
	c = sv_cmp(a->name, b->name);
	if (!c)
		c = sv_cmp(a->api_version, b->api_version);
	return c ? c : sv_cmp(a->subresource, b->subresource);
}

/* doc has no managedFields. Its metadata may be part of a published object: val_set() copies then. */
void managers_write(struct arena *a, struct managers *ms, struct val *doc)
{
	_cleanup_(buf_release) struct buf fields = BUF_INIT;
	struct val *meta, *list;

	managers_drop_empty(ms);
	if (ms->n == 0)
		return;
	meta = val_ensure_map(a, doc, F_metadata);
	qsort(ms->p, ms->n, sizeof(*ms->p), managers_order);
	list = val_new_list(a);
	for (size_t i = 0; i < ms->n; i++) {
		const struct manager *m = &ms->p[i];
		struct val *e = val_new_map(a);
		char text[TIME_TEXT_MAX];

		if (m->name.n)
			val_set_str(a, e, F_manager, m->name);
		val_set_cstr(a, e, F_operation, m->applied ? "Apply" : "Update");
		val_set_str(a, e, F_apiVersion, m->api_version);
		if (m->time_ns)
			val_set_str(a, e, F_time, time_format(m->time_ns, false, text));
		val_set_cstr(a, e, F_fieldsType, "FieldsV1");
		buf_clear(&fields);
		if (!m->text.n)
			fset_to_json(&fields, m->set);
		val_set(a, e, F_fieldsV1, val_new_raw(a, m->text.n ? m->text : buf_sv(&fields)));
		if (m->subresource.n)
			val_set_str(a, e, F_subresource, m->subresource);
		val_push(a, list, e);
	}
	val_set(a, meta, F_managedFields, list);
}

static int older_first(const void *x, const void *y)
{
	const struct manager *a = *(const struct manager *const *)x, *b = *(const struct manager *const *)y;
	int64_t at = a->time_ns / NS_PER_SEC, bt = b->time_ns / NS_PER_SEC;

	if (at != bt)
		return at < bt ? -1 : 1;
	return sv_cmp(a->name, b->name);
}

/* What becomes one entry. */
struct bucket {
	struct manager *into;
	const struct fset **sets;
	size_t n, cap;
};

static void bucket_add(struct arena *a, struct bucket *b, const struct fset *set)
{
	if (b->n == b->cap) {
		const struct fset **more = ARENA_ARRAY(a, const struct fset *, b->cap ? b->cap * 2 : 8);

		if (b->n)
			memcpy(more, b->sets, b->n * sizeof(*more));
		b->sets = more;
		b->cap = b->cap ? b->cap * 2 : 8;
	}
	b->sets[b->n++] = set;
}

/* Keeps the number of updaters bounded: the oldest ones of a version merge into one entry
 * "ancient-changes". One old entry alone keeps its name. */
void managers_cap(struct arena *a, struct managers *ms)
{
	_cleanup_(strmap_release) struct strmap buckets = STRMAP_INIT; /* struct bucket *, by version */
	struct manager **old = ARENA_ARRAY(a, struct manager *, ms->n + 1);
	size_t n = 0, left;

	for (size_t i = 0; i < ms->n; i++)
		if (!ms->p[i].applied && !fset_empty(ms->p[i].set))
			old[n++] = &ms->p[i];
	left = n;
	if (left <= MANAGED_UPDATES_MAX)
		return;
	qsort(old, n, sizeof(*old), older_first);
	for (size_t i = 0; i < n && left > MANAGED_UPDATES_MAX; i++) {
		void **slot = strmap_slot(&buckets, old[i]->api_version);
		struct bucket *bucket = *slot;

		if (!bucket) { /* the first of its version */
			*slot = bucket = ARENA_NEW(a, struct bucket);
			bucket->into = old[i];
			bucket_add(a, bucket, old[i]->set);
			continue;
		}
		bucket->into->name = SV("ancient-changes");
		bucket->into->subresource = SV("");
		bucket->into->time_ns = old[i]->time_ns; /* the younger of the two */
		bucket_add(a, bucket, old[i]->set);
		old[i]->set = NULL;
		left--;
	}
	STRMAP_EACH(&buckets, e) {
		struct bucket *bucket = e->value;

		bucket->into->set = fset_union_all(a, bucket->sets, bucket->n);
	}
}

bool managed_valid(struct arena *a, const struct val *managed_fields)
{
	struct managers ms;

	return managers_read(a, managed_fields, &ms);
}
