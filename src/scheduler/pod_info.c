#include "scheduler/pod_info.h"
#include "scheduler/cache.h"

#include <stdlib.h>

struct pod_info *pod_info_new(struct cache *c, struct obj *o)
{
	struct pod_info *p = xcalloc(1, sizeof(*p));

	p->obj = obj_ref(o);
	p->shape = pod_shape_get(c, obj_root(o));
	p->deleting = obj_deleting(o);
	p->heap_at = SIZE_MAX;
	list_init(&p->waiting);
	list_init(&p->on_node);
	list_init(&p->in_ns);
	list_init(&p->assumed_link);
	return p;
}

void pod_info_set(struct cache *c, struct pod_info *p, struct obj *o)
{
	struct pod_shape *s = pod_shape_after(c, p, obj_root(o));

	BUG_ON(p->node);
	pod_shape_unref(c, p->shape);
	p->shape = s;
	obj_ref(o);
	obj_unref(p->obj);
	p->obj = o;
	p->deleting = obj_deleting(o);
}

struct pod_info *pod_info_free(struct cache *c, struct pod_info *p)
{
	if (!p)
		return NULL;
	BUG_ON(p->node || p->binding || p->wanted || p->making);
	cache_nominate(c, p, SV(""));
	pod_shape_unref(c, p->shape);
	obj_unref(p->obj);
	free(p);
	return NULL;
}

/* --- matching --- */

bool pod_sel_matches(const struct pod_sel *sel, const struct cache_ns *ns, const struct val *labels)
{
	bool in = false;

	for (size_t i = 0; i < sel->n && !in; i++)
		in = sv_is(sel->namespaces[i], ns->name);
	if (!in && sel->by_ns)
		in = selector_empty(sel->by_ns) || (ns->obj && selector_matches(sel->by_ns, obj_labels(ns->obj)));
	return in && selector_matches(sel->labels, labels);
}

static bool node_req_matches(const struct node_req *r, const struct val *labels, struct sv name)
{
	const struct val *label = r->name ? NULL : val_member_sv(labels, r->key);
	struct sv value = r->name ? name : val_str(label);
	bool has = r->name || label, in = false;
	int64_t number;

	switch (r->op) {
	case NODE_IN:
	case NODE_NOT_IN:
		for (size_t i = 0; has && i < r->n && !in; i++)
			in = sv_eq(value, r->values[i]);
		return in == (r->op == NODE_IN);
	case NODE_EXISTS:
		return has;
	case NODE_NOT_EXISTS:
		return !has;
	case NODE_GT:
	case NODE_LT:
		if (!has || !sv_to_i64(value, &number))
			return false;
		return r->op == NODE_GT ? number > r->bound : number < r->bound;
	case NODE_NEVER:
		break;
	}
	return false;
}

bool node_reqs_match(const struct node_req *r, size_t n, const struct val *labels, struct sv name)
{
	for (size_t i = 0; i < n; i++)
		if (!node_req_matches(&r[i], labels, name))
			return false;
	return true;
}

bool pod_shape_wants_node(const struct pod_shape *s, const struct val *labels, struct sv name)
{
	if (!s->node_required)
		return true;
	if (!node_reqs_match(s->node_selector, s->n_node_selector, labels, name))
		return false;
	for (size_t i = 0; i < s->n_node_terms; i++) {
		const struct node_term *t = &s->node_terms[i];

		if (t->n && node_reqs_match(t->reqs, t->n, labels, name))
			return true;
	}
	return !s->has_node_terms;
}

bool pod_toleration_covers(const struct toleration *t, struct sv key, struct sv value, struct sv effect)
{
	if (t->effect.n && !sv_eq(t->effect, effect))
		return false;
	if (t->key.n && !sv_eq(t->key, key))
		return false;
	return t->exists || (t->key.n && sv_eq(t->value, value));
}
