/* Counters over Pods. A census is filled once, from the Pods of its namespaces, when a shape first
 * asks for it; from then on every Pod that comes or goes is counted in or out. */
#include "base/buf.h"
#include "scheduler/cache.h"

#include <stdlib.h>

static bool census_counts(const struct census *x, const struct pod_info *p)
{
	if (x->skip_deleting && p->deleting)
		return false;
	if (x->owner.n)
		return sv_eq(x->owner, p->shape->owner);
	for (size_t i = 0; i < x->n; i++)
		if (!pod_sel_matches(&x->sels[i], p->shape->ns, p->shape->labels))
			return false;
	return true;
}

static void fill_from(struct census *x, const struct cache_ns *ns)
{
	LIST_EACH(&ns->pods, it) {
		const struct pod_info *p = LIST_ENTRY(it, struct pod_info, in_ns);

		if (census_counts(x, p))
			counts_add(&x->counts, p->node->slot, 1);
	}
}

static void census_fill(struct cache *c, struct census *x)
{
	if (x->ns) {
		fill_from(x, x->ns);
		return;
	}
	STRMAP_EACH(&c->namespaces, e)
		fill_from(x, e->value);
}

static struct census *census_new(struct sv key)
{
	struct census *x = xcalloc(1, sizeof(*x));

	x->key = xstrndup(key.p, key.n);
	x->refs = 1;
	return x;
}

struct census *census_get(struct cache *c, const struct pod_sel *sels, size_t n, bool skip_deleting)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	struct census *x;
	bool one_ns = true;

	buf_addc(&b, skip_deleting ? 'd' : 'a');
	for (size_t i = 0; i < n; i++) {
		buf_addc(&b, '|');
		buf_addsv(&b, sels[i].src);
	}
	x = strmap_get(&c->censuses, buf_sv(&b));
	if (x) {
		x->refs++;
		return x;
	}
	x = census_new(buf_sv(&b));
	x->skip_deleting = skip_deleting;
	x->sels = ARENA_ARRAY(&x->arena, struct pod_sel, n);
	for (size_t i = 0; i < n; i++) {
		pod_sel_init(&x->arena, &x->sels[x->n++], arena_sv(&x->arena, sels[i].src));
		one_ns = one_ns && !x->sels[i].by_ns && x->sels[i].n == 1 &&
			 sv_eq(x->sels[i].namespaces[0], x->sels[0].namespaces[0]);
	}
	if (one_ns && n) {
		x->ns = cache_ns_get(c, x->sels[0].namespaces[0]);
		vec_push(&x->ns->censuses, x);
	} else {
		vec_push(&c->wide, x);
	}
	strmap_set(&c->censuses, sv_from(x->key), x);
	census_fill(c, x);
	return x;
}

struct census *census_of_owner(struct cache *c, struct pod_shape *s)
{
	struct census *x = strmap_get(&c->owners, s->owner);

	if (x) {
		x->refs++;
		return x;
	}
	x = census_new(s->owner);
	x->owner = sv_from(x->key);
	x->skip_deleting = true;
	x->ns = cache_ns_get(c, sv_from(s->ns->name));
	strmap_set(&c->owners, s->owner, x);
	census_fill(c, x);
	return x;
}

void census_unref(struct cache *c, struct census *x)
{
	if (!x || --x->refs)
		return;
	if (x->owner.n) {
		strmap_del(&c->owners, x->owner);
	} else {
		struct census_list *list = x->ns ? &x->ns->censuses : &c->wide;
		size_t i = 0;

		strmap_del(&c->censuses, sv_from(x->key));
		while (list->p[i] != x)
			i++;
		vec_remove(list, i);
	}
	if (x->ns)
		cache_ns_unref(c, x->ns);
	counts_release(&x->counts);
	arena_release(&x->arena);
	free(x->key);
	free(x);
}

struct standing *standing_get(struct cache *c, enum standing_kind kind, const struct affinity_term *t, int32_t weight)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	struct standing *s;

	buf_printf(&b, "%d|%d|%u|", (int)kind, weight, t->topo);
	buf_addsv(&b, t->sel.src);
	s = strmap_get(&c->standings, buf_sv(&b));
	if (s) {
		s->refs++;
		return s;
	}
	s = xcalloc(1, sizeof(*s));
	s->refs = 1;
	s->key = xstrdup(buf_cstr(&b));
	s->kind = kind;
	s->weight = weight;
	s->topo = t->topo;
	pod_sel_init(&s->arena, &s->sel, arena_sv(&s->arena, t->sel.src));
	strmap_set(&c->standings, sv_from(s->key), s);
	vec_push(&c->standing, s);
	return s;
}

void census_standing_unref(struct cache *c, struct standing *s)
{
	size_t i = 0;

	if (--s->refs)
		return;
	strmap_del(&c->standings, sv_from(s->key));
	while (c->standing.p[i] != s)
		i++;
	vec_remove(&c->standing, i);
	counts_release(&s->counts);
	arena_release(&s->arena);
	free(s->key);
	free(s);
}

void census_pod(struct cache *c, struct pod_info *p, int delta)
{
	const struct pod_shape *s = p->shape;
	struct census *x = s->owner.n ? strmap_get(&c->owners, s->owner) : NULL;

	if (x && census_counts(x, p))
		counts_add(&x->counts, p->node->slot, delta);
	for (size_t i = 0; i < s->ns->censuses.n; i++)
		if (census_counts(s->ns->censuses.p[i], p))
			counts_add(&s->ns->censuses.p[i]->counts, p->node->slot, delta);
	for (size_t i = 0; i < c->wide.n; i++)
		if (census_counts(c->wide.p[i], p))
			counts_add(&c->wide.p[i]->counts, p->node->slot, delta);
	for (size_t i = 0; i < s->n_standing; i++)
		counts_add(&s->standing[i]->counts, p->node->slot, delta);
}

void census_recount_wide(struct cache *c)
{
	for (size_t i = 0; i < c->wide.n; i++) {
		counts_clear(&c->wide.p[i]->counts);
		census_fill(c, c->wide.p[i]);
	}
}

void counts_to_domains(const struct cache *c, const struct counts *counts, uint32_t topo, int64_t weight, int64_t *dom)
{
	for (const struct count *e = NULL; (e = counts_next(counts, e));) {
		const struct node_info *n = c->slots.p[e->slot_1 - 1];
		uint32_t v = n->topo[topo];

		if (v)
			dom[v - 1] += weight * e->n;
	}
}
