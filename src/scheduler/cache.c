#include "scheduler/cache.h"

#include "object/quantity.h"
#include "pod/node_features.h"
#include "scheduler/framework.h"

#include <stdlib.h>

#define AMOUNT_MAX (INT64_C(1) << 53) /* scores multiply amounts by 100 */

void cache_init(struct cache *c)
{
	*c = (struct cache){ .assume_ttl_ns = CACHE_ASSUME_TTL_NS };
	list_init(&c->assumed);
	c->topo_hostname = cache_topo(c, SV("kubernetes.io/hostname"));
	c->topo_zone = cache_topo(c, SV("topology.kubernetes.io/zone"));
	cache_topo(c, SV("")); /* TOPO_NOWHERE: no label is called that */
	cache_resource(c, SV("cpu"));
	cache_resource(c, SV("memory"));
	cache_resource(c, SV("ephemeral-storage"));
	cache_resource(c, SV("")); /* RESOURCE_NOWHERE */
}

/* --- namespaces --- */

void cache_set_namespace(struct cache *c, struct obj *o, bool gone)
{
	struct cache_ns *ns = cache_ns_get(c, obj_name(o));
	struct obj *old = ns->obj;

	/* The object counts as a reference, so that a namespace is there while its labels are. */
	ns->obj = gone ? NULL : obj_ref(o);
	if (ns->obj && !old)
		ns->refs++;
	else if (old && !ns->obj)
		ns->refs--;
	if (!old || gone || !val_equal(obj_labels(old), obj_labels(o)))
		census_recount_wide(c);
	obj_unref(old);
	cache_ns_unref(c, ns);
}

/* --- nodes --- */

struct node_info *cache_node(const struct cache *c, struct sv name)
{
	struct node_info *n = strmap_get(&c->nodes, name);

	return n && n->obj ? n : NULL;
}

static struct node_info *cache_node_get(struct cache *c, struct sv name)
{
	void **slot = strmap_slot(&c->nodes, name);
	struct node_info *n = *slot;

	if (n)
		return n;
	n = *slot = xcalloc(1, sizeof(*n));
	n->name = xstrndup(name.p, name.n);
	list_init(&n->pods);
	n->topo = xcalloc(c->topo.n, sizeof(*n->topo));
	for (n->slot = 0; n->slot < c->slots.n && c->slots.p[n->slot]; n->slot++)
		;
	if (n->slot == c->slots.n)
		vec_push(&c->slots, n);
	else
		c->slots.p[n->slot] = n;
	return n;
}

static int cache_by_id(const void *a, const void *b)
{
	const uint32_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static void images_unref(struct cache *c, struct node_info *n, const struct val *list)
{
	VAL_EACH(list, i)
		VAL_EACH(val_get(i, F_names), name) {
			struct image *x = strmap_get(&c->images, val_str(name));

			if (x && --x->n_nodes == 0)
				free(strmap_del(&c->images, val_str(name)));
		}
	n->n_images = 0;
}

static void images_ref(struct cache *c, struct node_info *n, const struct val *list)
{
	size_t room = 0;

	VAL_EACH(list, i)
		room += val_len(val_get(i, F_names));
	n->images = xrealloc(n->images, MAX(room, 1) * sizeof(*n->images));
	VAL_EACH(list, i)
		VAL_EACH(val_get(i, F_names), name) {
			void **slot = strmap_slot(&c->images, val_str(name));
			struct image *x = *slot;

			if (!x) {
				x = *slot = xcalloc(1, sizeof(*x));
				x->id = c->next_image++;
			}
			x->n_nodes++;
			x->size = val_get_int(i, 0, F_sizeBytes);
			n->images[n->n_images++] = x->id;
		}
	qsort(n->images, n->n_images, sizeof(*n->images), cache_by_id);
}

static void taints_clear(struct node_info *n)
{
	for (size_t i = 0; i < n->n_taints; i++)
		free(n->taints[i].reason);
	free(n->taints);
	n->taints = NULL;
	n->n_taints = n->n_hard_taints = 0;
}

static void taints_set(struct node_info *n, const struct val *list)
{
	taints_clear(n);
	n->taints = xcalloc(val_len(list) + 1, sizeof(*n->taints));
	for (int soft = 0; soft < 2; soft++) {
		VAL_EACH(list, t) {
			struct taint x = { val_get_str(t, F_key), val_get_str(t, F_value), val_get_str(t, F_effect),
					   NULL, false };

			x.soft = sv_is(x.effect, "PreferNoSchedule");
			if (x.soft != (soft == 1))
				continue;
			x.reason =
			    xasprintf("node(s) had untolerated taint {%.*s: %.*s}", SV_ARG(x.key), SV_ARG(x.value));
			n->taints[n->n_taints++] = x;
		}
		if (!soft)
			n->n_hard_taints = n->n_taints;
	}
}

static void allocatable_set(struct cache *c, struct node_info *n, const struct val *list)
{
	if (n->allocatable.n)
		memset(n->allocatable.v, 0, n->allocatable.n * sizeof(*n->allocatable.v));
	n->allowed_pods = 0;
	VAL_EACH_MEMBER(list, m) {
		int64_t whole = 0;
		uint32_t id;

		if (val_type(m.value) == VAL_INT)
			whole = m.value->i;
		else
			(void)quantity_value(val_str(m.value), &whole);
		if (sv_is(m.key, "pods")) {
			n->allowed_pods = whole;
			continue;
		}
		id = cache_resource(c, m.key);
		if (id != RESOURCE_NOWHERE)
			resvec_set(&n->allocatable, id,
				   MIN(id == RES_CPU ? quantity_milli_or(m.value, 0) : whole, AMOUNT_MAX));
	}
}

static uint32_t node_difference(const struct node_info *n, const struct obj *old, const struct obj *o)
{
	uint32_t ev = 0;

	if (!old)
		return EV_NODE_ADD;
	if (!val_equal(obj_get(old, F_status, F_allocatable), obj_get(o, F_status, F_allocatable)))
		ev |= EV_NODE_ALLOCATABLE;
	if (!val_equal(obj_labels(old), obj_labels(o)))
		ev |= EV_NODE_LABELS;
	if (n->unschedulable != val_bool(obj_get(o, F_spec, F_unschedulable)) ||
	    !val_equal(obj_get(old, F_spec, F_taints), obj_get(o, F_spec, F_taints)))
		ev |= EV_NODE_TAINTS;
	if (n->features != node_features_declared(obj_get(o, F_status)))
		ev |= EV_NODE_FEATURES;
	return ev;
}

/* Points everything that views into the node's object at o (NULL: nothing left to view). */
static void node_set_obj(struct cache *c, struct node_info *n, struct obj *o)
{
	struct obj *old = n->obj;
	const struct val *was = n->labels;

	n->labels = o ? obj_labels(o) : NULL;
	for (uint32_t i = 0; i < c->topo.n; i++)
		cache_node_topo(c, n, i, was, n->labels);
	taints_set(n, o ? obj_get(o, F_spec, F_taints) : NULL);
	n->unschedulable = o && val_bool(obj_get(o, F_spec, F_unschedulable));
	n->features = o ? node_features_declared(obj_get(o, F_status)) : 0;
	if (!old || !o || !val_equal(obj_get(old, F_status, F_images), obj_get(o, F_status, F_images))) {
		images_unref(c, n, old ? obj_get(old, F_status, F_images) : NULL);
		images_ref(c, n, o ? obj_get(o, F_status, F_images) : NULL);
	}
	n->obj = obj_ref(o);
	n->generation = ++c->generation;
	obj_unref(old);
}

static void node_drop(struct cache *c, struct node_info *n)
{
	strmap_del(&c->nodes, sv_from(n->name));
	c->slots.p[n->slot] = NULL;
	while (n->nominated.n)
		cache_nominate(c, n->nominated.p[0], SV(""));
	vec_release(&n->nominated);
	host_ports_release(&n->ports);
	taints_clear(n);
	free(n->images);
	free(n->topo);
	free(n->allocatable.v);
	free(n->requested.v);
	free(n->name);
	free(n);
}

struct node_info *cache_set_node(struct cache *c, struct obj *o, uint32_t *ret_events)
{
	struct node_info *n = cache_node_get(c, obj_name(o));
	uint32_t ev = node_difference(n, n->obj, o);

	if (ev & (EV_NODE_ADD | EV_NODE_ALLOCATABLE))
		allocatable_set(c, n, obj_get(o, F_status, F_allocatable));
	if (ev & (EV_NODE_ADD | EV_NODE_LABELS))
		c->order_stale = true;
	node_set_obj(c, n, o);
	*ret_events = ev;
	return n;
}

bool cache_remove_node(struct cache *c, struct sv name)
{
	struct node_info *n = cache_node(c, name);

	if (!n)
		return false;
	c->order_stale = true;
	node_set_obj(c, n, NULL);
	allocatable_set(c, n, NULL);
	while (n->nominated.n)
		cache_nominate(c, n->nominated.p[0], SV(""));
	if (n->n_pods == 0)
		node_drop(c, n);
	return true;
}

/* One node of each zone in turn, so that looking at a part of the nodes looks at all zones. */
struct node_info **cache_order(struct cache *c, size_t *ret_n)
{
	struct topo_key *zones = &c->topo.p[c->topo_zone];
	uint32_t *rank, *seen, n_zones = zones->n_ids + 1;
	VEC(struct node_info *) *rows = NULL;
	size_t n_rows = 0;

	*ret_n = c->order.n;
	if (!c->order_stale)
		return c->order.p;
	/* A node's rank is how many of its zone came before it; nodes are taken rank by rank. */
	rank = xcalloc(c->slots.n + 1, sizeof(*rank));
	seen = xcalloc(n_zones, sizeof(*seen));
	for (size_t i = 0; i < c->slots.n; i++) {
		struct node_info *n = c->slots.p[i];

		if (!n || !n->obj)
			continue;
		rank[i] = seen[n->topo[c->topo_zone]]++;
		n_rows = MAX(n_rows, (size_t)rank[i] + 1);
	}
	rows = xcalloc(n_rows + 1, sizeof(*rows));
	for (size_t i = 0; i < c->slots.n; i++)
		if (c->slots.p[i] && c->slots.p[i]->obj)
			vec_push(&rows[rank[i]], c->slots.p[i]);
	vec_clear(&c->order);
	for (size_t r = 0; r < n_rows; r++) {
		for (size_t i = 0; i < rows[r].n; i++)
			vec_push(&c->order, rows[r].p[i]);
		vec_release(&rows[r]);
	}
	free(rows);
	free(rank);
	free(seen);
	c->order_stale = false;
	*ret_n = c->order.n;
	return c->order.p;
}

/* --- Pods on nodes --- */

static void account(struct node_info *n, const struct pod_shape *s, int sign)
{
	for (uint32_t i = 0; i < s->req.n; i++)
		if (s->req.v[i])
			resvec_set(&n->requested, i, resvec_get(&n->requested, i) + sign * s->req.v[i]);
	n->nonzero[0] += sign * s->nonzero[0];
	n->nonzero[1] += sign * s->nonzero[1];
	n->n_pods += (uint32_t)sign;
	for (size_t i = 0; i < s->n_ports; i++) {
		if (sign > 0)
			host_ports_add(&n->ports, &s->ports[i]);
		else
			host_ports_drop(&n->ports, &s->ports[i]);
	}
}

void cache_put(struct cache *c, struct pod_info *p, struct node_info *n)
{
	BUG_ON(p->node);
	p->node = n;
	p->place = POD_ON_NODE;
	account(n, p->shape, 1);
	list_add_tail(&n->pods, &p->on_node);
	list_add_tail(&p->shape->ns->pods, &p->in_ns);
	census_pod(c, p, 1);
	n->generation = ++c->generation;
}

void cache_take(struct cache *c, struct pod_info *p)
{
	struct node_info *n = p->node;

	census_pod(c, p, -1);
	list_del(&p->on_node);
	list_del(&p->in_ns);
	account(n, p->shape, -1);
	p->node = NULL;
	p->place = POD_NOWHERE;
	n->generation = ++c->generation;
}

void cache_add_pod(struct cache *c, struct pod_info *p, struct sv node)
{
	cache_put(c, p, cache_node_get(c, node));
	c->n_pods++;
}

void cache_remove_pod(struct cache *c, struct pod_info *p)
{
	struct node_info *n = p->node;

	cache_take(c, p);
	c->n_pods--;
	p->assumed = false;
	p->expires_ns = 0;
	list_del(&p->assumed_link);
	if (!n->obj && n->n_pods == 0)
		node_drop(c, n);
}

void cache_update_pod(struct cache *c, struct pod_info *p, struct obj *o)
{
	struct pod_shape *s = pod_shape_after(c, p, obj_root(o));
	struct node_info *n = p->node;
	struct obj *old = p->obj;

	if (s != p->shape || obj_deleting(o) != p->deleting) {
		cache_take(c, p);
		pod_shape_unref(c, p->shape);
		p->shape = s;
		p->deleting = obj_deleting(o);
		cache_put(c, p, n);
	} else {
		pod_shape_unref(c, s);
	}
	p->obj = obj_ref(o);
	obj_unref(old);
}

void cache_assume(struct cache *c, struct pod_info *p, struct node_info *n)
{
	cache_put(c, p, n);
	c->n_pods++;
	p->assumed = true;
	p->expires_ns = 0;
}

void cache_binding_done(struct cache *c, struct pod_info *p, int64_t now_ns)
{
	if (!p->assumed)
		return;
	p->expires_ns = now_ns + c->assume_ttl_ns;
	list_add_tail(&c->assumed, &p->assumed_link);
}

void cache_confirm(struct cache *c, struct pod_info *p)
{
	(void)c;
	p->assumed = false;
	p->expires_ns = 0;
	list_del(&p->assumed_link);
}

struct pod_info *cache_expired(struct cache *c, int64_t now_ns)
{
	struct pod_info *p;

	if (list_empty(&c->assumed))
		return NULL;
	p = LIST_ENTRY(c->assumed.next, struct pod_info, assumed_link);
	if (p->expires_ns > now_ns)
		return NULL;
	cache_remove_pod(c, p);
	return p;
}

int64_t cache_next_expiry(const struct cache *c)
{
	return list_empty(&c->assumed) ? 0 : LIST_ENTRY(c->assumed.next, struct pod_info, assumed_link)->expires_ns;
}

void cache_nominate(struct cache *c, struct pod_info *p, struct sv node)
{
	struct node_info *n;

	if (sv_eq(p->nominated, node))
		return;
	if (p->nominated.n) {
		n = strmap_get(&c->nodes, p->nominated);
		for (size_t i = 0; n && i < n->nominated.n; i++)
			if (n->nominated.p[i] == p) {
				vec_remove(&n->nominated, i);
				break;
			}
		free((char *)p->nominated.p);
		p->nominated = SV("");
		c->n_nominated--;
	}
	n = cache_node(c, node);
	if (!n)
		return;
	p->nominated = sv_from(xstrndup(node.p, node.n));
	vec_push(&n->nominated, p);
	c->n_nominated++;
}

void cache_release(struct cache *c)
{
	struct cache_ns *ns;

	for (size_t i = 0; i < c->slots.n; i++)
		if (c->slots.p[i]) {
			node_set_obj(c, c->slots.p[i], NULL);
			node_drop(c, c->slots.p[i]);
		}
	STRMAP_EACH(&c->namespaces, e) {
		ns = e->value;
		BUG_ON(!ns->obj || ns->refs != 1); /* only Namespace objects are left */
		obj_unref(ns->obj);
		vec_release(&ns->censuses);
		free(ns->name);
		free(ns);
	}
	for (size_t i = 0; i < c->topo.n; i++) {
		strmap_release_with(&c->topo.p[i].values, free);
		vec_release(&c->topo.p[i].free_ids);
		free(c->topo.p[i].name);
	}
	for (size_t i = 0; i < c->resource_names.n; i++) {
		free(c->resource_names.p[i]);
		free(c->insufficient.p[i]);
	}
	BUG_ON(c->shapes.n || c->censuses.n || c->owners.n || c->standings.n);
	volumes_release(&c->volumes);
	balancers_release(&c->balancers);
	strmap_release(&c->nodes);
	strmap_release(&c->namespaces);
	strmap_release(&c->shapes);
	strmap_release(&c->censuses);
	strmap_release(&c->owners);
	strmap_release(&c->standings);
	strmap_release_with(&c->images, free);
	strmap_release(&c->resources);
	vec_release(&c->slots);
	vec_release(&c->order);
	vec_release(&c->wide);
	vec_release(&c->standing);
	vec_release(&c->topo);
	vec_release(&c->resource_names);
	vec_release(&c->insufficient);
}
