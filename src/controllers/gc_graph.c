/* See gc_graph.h. An edge is kept at both ends: in the dependent's owners, with its flag, and in
 * the owner's dependents. Each end knows the other's place, so that an owner of very many loses one as fast as any. */
#include "controllers/gc_graph.h"
#include "base/arena.h"
#include "controllers/gc.h"

#include <stdlib.h>

static void graph_node_free(void *p)
{
	struct gc_node *n = p;

	vec_release(&n->owners);
	vec_release(&n->dependents);
	free(n->uid);
	free(n->ns);
	free(n->name);
	free(n);
}

void gc_graph_release(struct gc_graph *g)
{
	strmap_release_with(&g->nodes, graph_node_free);
}

struct gc_node *gc_graph_find(const struct gc_graph *g, struct sv uid)
{
	return strmap_get(&g->nodes, uid);
}

static struct gc_node *graph_node_get(struct gc_graph *g, struct sv uid)
{
	void **slot = strmap_slot(&g->nodes, uid);
	struct gc_node *n = *slot;

	if (n)
		return n;
	n = *slot = xcalloc(1, sizeof(*n));
	n->uid = xstrndup(uid.p, uid.n);
	return n;
}

static void graph_look(struct gc_graph *g, const struct gc_node *n)
{
	g->look(sv_from(n->uid), g->ctx);
}

static void drop_if_unused(struct gc_graph *g, struct gc_node *n)
{
	if (n->res || n->dependents.n)
		return;
	strmap_del(&g->nodes, sv_from(n->uid));
	graph_node_free(n);
}

bool gc_link_blocks(const struct gc_link *l)
{
	return l->dependent->owners.p[l->edge].blocks;
}

/* The owner's end of an edge. Whoever fills the hole is told where it is now. */
static void unlink_dependent(struct gc_node *owner, size_t at)
{
	owner->blocking -= gc_link_blocks(&owner->dependents.p[at]);
	vec_remove_swap(&owner->dependents, at);
	if (at < owner->dependents.n) {
		const struct gc_link *l = &owner->dependents.p[at];

		l->dependent->owners.p[l->edge].at = at;
	}
	vec_tighten(&owner->dependents);
}

/* Takes n's edges away. Owners that waited for it, as the last of many, are looked at: a look goes through all that are
 * left. */
static void unlink_owners(struct gc_graph *g, struct gc_node *n)
{
	for (size_t i = 0; i < n->owners.n; i++) {
		struct gc_node *o = n->owners.p[i].owner;

		unlink_dependent(o, n->owners.p[i].at);
		if (o->foreground && !o->blocking)
			graph_look(g, o);
		drop_if_unused(g, o);
	}
	vec_clear(&n->owners);
}

static bool edges_are(const struct gc_node *n, const struct val *refs)
{
	size_t i = 0;

	if (n->owners.n != val_len(refs))
		return false;
	VAL_EACH(refs, r) {
		if (!sv_eq(sv_from(n->owners.p[i].owner->uid), val_get_str(r, F_uid)) ||
		    n->owners.p[i].blocks != val_get_bool(r, F_blockOwnerDeletion))
			return false;
		i++;
	}
	return true;
}

static void set_owners(struct gc_graph *g, struct gc_node *n, const struct val *refs)
{
	bool unsure = false;

	if (edges_are(n, refs))
		return;
	unlink_owners(g, n);
	VAL_EACH(refs, r) {
		struct gc_node *o = graph_node_get(g, val_get_str(r, F_uid));
		struct gc_edge e = { o, val_get_bool(r, F_blockOwnerDeletion), o->dependents.n };
		struct gc_link l = { n, n->owners.n };

		vec_push(&n->owners, e);
		vec_push(&o->dependents, l);
		o->blocking += e.blocks;
		/* Not known, elsewhere, or going: somebody has to find out. */
		unsure |= !o->res || o->deleting || (o->res->namespaced && strcmp(o->ns, n->ns) != 0);
	}
	if (unsure)
		graph_look(g, n);
}

void gc_graph_put(struct gc_graph *g, const struct resource *r, const struct obj *o)
{
	const struct val *refs = obj_get(o, F_metadata, F_ownerReferences);
	struct gc_node *n = gc_graph_find(g, obj_uid(o));
	bool foreground = obj_deleting(o) && obj_has_finalizer(o, GC_FOREGROUND);
	bool orphan = obj_deleting(o) && obj_has_finalizer(o, GC_ORPHAN);
	bool began;

	if (!n && !val_len(refs) && !foreground && !orphan)
		return;
	n = graph_node_get(g, obj_uid(o));
	if (n->res && n->res != r) { /* it was another server's word: who is sure comes with its own */
		free(n->ns);
		free(n->name);
		n->res = NULL;
	}
	if (!n->res) {
		n->ns = xstrndup(obj_ns(o).p, obj_ns(o).n);
		n->name = xstrndup(obj_name(o).p, obj_name(o).n);
		n->res = r;
	}
	began = (foreground && !n->foreground) || (orphan && !n->orphan);
	n->deleting = obj_deleting(o);
	n->foreground = foreground;
	n->orphan = orphan;
	set_owners(g, n, refs);
	if (!began)
		return;
	if (foreground)
		for (size_t i = 0; i < n->dependents.n; i++)
			graph_look(g, n->dependents.p[i].dependent);
	graph_look(g, n);
}

void gc_graph_del(struct gc_graph *g, struct sv uid)
{
	struct gc_node *n = gc_graph_find(g, uid);

	if (!n)
		return;
	unlink_owners(g, n);
	for (size_t i = 0; i < n->dependents.n; i++)
		graph_look(g, n->dependents.p[i].dependent);
	n->res = NULL;
	n->deleting = n->foreground = n->orphan = false;
	free(n->ns);
	free(n->name);
	n->ns = n->name = NULL;
	drop_if_unused(g, n);
}

void gc_graph_look_again(struct gc_graph *g)
{
	STRMAP_EACH(&g->nodes, e) {
		const struct gc_node *n = e->value;

		for (size_t i = 0; !n->res && i < n->dependents.n; i++)
			graph_look(g, n->dependents.p[i].dependent);
	}
}

void gc_graph_forget(struct gc_graph *g, const struct resource *r)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct sv *uids = ARENA_ARRAY(&a, struct sv, g->nodes.n + 1);
	size_t n = 0;

	STRMAP_EACH(&g->nodes, e) {
		const struct gc_node *node = e->value;

		if (node->res == r)
			uids[n++] = arena_sv(&a, sv_from(node->uid));
	}
	for (size_t i = 0; i < n; i++)
		gc_graph_del(g, uids[i]);
}
