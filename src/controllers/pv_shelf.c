#include "controllers/pv_shelf.h"

#include "base/vec.h"

#include <stdlib.h>

struct pv_shelf {
	VEC(struct pv_shelf_entry *) v; /* by size, then key */
};

static int shelf_cmp(const struct pv_shelf_entry *e, int64_t bytes, struct sv key)
{
	if (e->bytes != bytes)
		return e->bytes < bytes ? -1 : 1;
	return sv_cmp(sv_from(e->key), key);
}

/* Index of the first that is not before (bytes, key). */
static size_t shelf_at(const struct pv_shelf *s, int64_t bytes, struct sv key)
{
	size_t from = 0, to = s->v.n;

	while (from < to) {
		size_t mid = from + (to - from) / 2;

		if (shelf_cmp(s->v.p[mid], bytes, key) < 0)
			from = mid + 1;
		else
			to = mid;
	}
	return from;
}

static void shelf_free(void *p)
{
	struct pv_shelf *s = p;

	vec_release(&s->v);
	free(s);
}

static void shelf_entry_free(void *p)
{
	struct pv_shelf_entry *e = p;

	obj_unref(e->o);
	free(e->key);
	free(e);
}

void pv_shelves_release(struct pv_shelves *s)
{
	strmap_release_with(&s->shelves, shelf_free);
	strmap_release_with(&s->entries, shelf_entry_free);
}

/* Empty shelves stay: there are as many as there are classes. */
static void shelf_take_off(struct pv_shelf_entry *e)
{
	if (e->shelf) {
		vec_remove(&e->shelf->v, shelf_at(e->shelf, e->bytes, sv_from(e->key)));
		vec_tighten(&e->shelf->v);
	}
	e->shelf = NULL;
}

void pv_shelves_put(struct pv_shelves *s, struct sv shelf, struct sv key, int64_t bytes, struct obj *o)
{
	struct pv_shelf_entry **e = (struct pv_shelf_entry **)strmap_slot(&s->entries, key);
	struct pv_shelf **to;
	size_t at;

	if (*e && obj_rev((*e)->o) > obj_rev(o))
		return;
	if (!*e) {
		*e = xcalloc(1, sizeof(**e));
		(*e)->key = xstrndup(key.p, key.n);
	}
	shelf_take_off(*e);
	obj_unref((*e)->o);
	(*e)->o = obj_ref(o);
	(*e)->bytes = bytes;
	to = (struct pv_shelf **)strmap_slot(&s->shelves, shelf);
	if (!*to)
		*to = xcalloc(1, sizeof(**to));
	at = shelf_at(*to, bytes, key);
	vec_push(&(*to)->v, NULL);
	memmove((*to)->v.p + at + 1, (*to)->v.p + at, ((*to)->v.n - 1 - at) * sizeof(*(*to)->v.p));
	(*to)->v.p[at] = *e;
	(*e)->shelf = *to;
}

void pv_shelves_del(struct pv_shelves *s, struct sv key)
{
	struct pv_shelf_entry *e = strmap_del(&s->entries, key);

	if (!e)
		return;
	shelf_take_off(e);
	shelf_entry_free(e);
}

bool pv_shelves_has(const struct pv_shelves *s, struct sv key)
{
	return strmap_has(&s->entries, key);
}

struct obj *pv_shelves_up(const struct pv_shelves *s, struct sv shelf, int64_t min,
			  bool (*wanted)(const struct obj *o, void *ctx), void *ctx)
{
	const struct pv_shelf *on = strmap_get(&s->shelves, shelf);

	for (size_t i = on ? shelf_at(on, min, SV("")) : 0; on && i < on->v.n; i++)
		if (wanted(on->v.p[i]->o, ctx))
			return on->v.p[i]->o;
	return NULL;
}

struct obj *pv_shelves_down(const struct pv_shelves *s, struct sv shelf, int64_t max,
			    bool (*wanted)(const struct obj *o, void *ctx), void *ctx)
{
	const struct pv_shelf *on = strmap_get(&s->shelves, shelf);
	size_t i = !on ? 0 : max == INT64_MAX ? on->v.n : shelf_at(on, max + 1, SV(""));

	while (i-- > 0)
		if (wanted(on->v.p[i]->o, ctx))
			return on->v.p[i]->o;
	return NULL;
}
