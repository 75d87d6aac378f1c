/* Numbers for names: resources, topology keys and their values; and the namespaces that anybody looks at. */
#include "scheduler/cache.h"

#include <stdlib.h>

#define TOPO_MAX 1024	  /* further topology keys count as a label no node has */
#define RESOURCE_MAX 1024 /* further resource names count as one that no node has */

void resvec_set(struct resvec *r, uint32_t id, int64_t v)
{
	if (id >= r->n) {
		r->v = xrealloc(r->v, (id + 1) * sizeof(*r->v));
		memset(r->v + r->n, 0, (id + 1 - r->n) * sizeof(*r->v));
		r->n = id + 1;
	}
	r->v[id] = v;
}

uint32_t cache_resource(struct cache *c, struct sv name)
{
	void **slot;

	if (c->resource_names.n >= RESOURCE_MAX && !strmap_has(&c->resources, name))
		return RESOURCE_NOWHERE;
	slot = strmap_slot(&c->resources, name);
	if (!*slot) {
		vec_push(&c->resource_names, xstrndup(name.p, name.n));
		vec_push(&c->insufficient, xasprintf("Insufficient %.*s", SV_ARG(name)));
		*slot = (void *)(uintptr_t)c->resource_names.n;
	}
	return (uint32_t)((uintptr_t)*slot - 1);
}

struct topo_value {
	uint32_t id, refs;
};

static uint32_t topo_value_ref(struct topo_key *k, struct sv value)
{
	void **slot = strmap_slot(&k->values, value);
	struct topo_value *v = *slot;

	if (!v) {
		v = *slot = xcalloc(1, sizeof(*v));
		v->id = k->free_ids.n ? vec_pop(&k->free_ids) : k->n_ids++;
	}
	v->refs++;
	return v->id + 1;
}

static void topo_value_unref(struct topo_key *k, struct sv value)
{
	struct topo_value *v = strmap_get(&k->values, value);

	if (--v->refs)
		return;
	vec_push(&k->free_ids, v->id);
	strmap_del(&k->values, value);
	free(v);
}

void cache_node_topo(struct cache *c, struct node_info *n, uint32_t id, const struct val *was, const struct val *now)
{
	struct topo_key *k = &c->topo.p[id];
	const struct val *old = val_member_sv(was, sv_from(k->name)), *neu = val_member_sv(now, sv_from(k->name));
	uint32_t v = neu ? topo_value_ref(k, val_str(neu)) : 0;

	if (old)
		topo_value_unref(k, val_str(old));
	n->topo[id] = v;
}

uint32_t cache_topo(struct cache *c, struct sv key)
{
	struct topo_key k = { 0 };

	for (uint32_t i = 0; i < c->topo.n; i++)
		if (sv_is(key, c->topo.p[i].name))
			return i;
	if (c->topo.n >= TOPO_MAX)
		return TOPO_NOWHERE;
	k.name = xstrndup(key.p, key.n);
	vec_push(&c->topo, k);
	for (size_t i = 0; i < c->slots.n; i++) {
		struct node_info *n = c->slots.p[i];

		if (!n)
			continue;
		n->topo = xrealloc(n->topo, c->topo.n * sizeof(*n->topo));
		cache_node_topo(c, n, (uint32_t)c->topo.n - 1, NULL, n->labels);
	}
	return (uint32_t)c->topo.n - 1;
}

/* --- namespaces --- */

struct cache_ns *cache_ns_get(struct cache *c, struct sv name)
{
	void **slot = strmap_slot(&c->namespaces, name);
	struct cache_ns *ns = *slot;

	if (!ns) {
		ns = *slot = xcalloc(1, sizeof(*ns));
		ns->name = xstrndup(name.p, name.n);
		list_init(&ns->pods);
	}
	ns->refs++;
	return ns;
}

void cache_ns_unref(struct cache *c, struct cache_ns *ns)
{
	if (--ns->refs)
		return;
	strmap_del(&c->namespaces, sv_from(ns->name));
	BUG_ON(!list_empty(&ns->pods));
	vec_release(&ns->censuses);
	free(ns->name);
	free(ns);
}
