/* The edges that end at a node are counted where they are asked for: reach maps "NODE, kind, namespace, name" to the
 * number of ways. Only claims are kept as things of their own, because a volume and its Secrets hang on them: a claim
 * knows the nodes that reach it and the volumes that name it, and when a node comes to a claim, or a volume does, the
 * other side is walked once.
 *
 * New edges are counted before those of the old version are taken away: what stays the same never falls to zero, so
 * nothing behind a claim is walked for a pod that merely changed its status. */
#include "apiserver/authz/node_graph.h"
#include "base/buf.h"
#include "base/strmap.h"
#include "object/pod_refs.h"

#include <pthread.h>
#include <stdlib.h>

struct claim {
	struct strmap nodes;   /* that reach it; no values */
	struct strmap volumes; /* name -> struct obj * whose claimRef it is */
};

struct node_graph {
	pthread_rwlock_t lock;
	struct strmap reach;  /* -> count, as a pointer */
	struct strmap claims; /* "ns/name" -> struct claim */
};

/* What counting needs: where to, and whether edges come or go. */
struct edges {
	struct node_graph *g;
	struct sv node, ns;
	bool add;
};

static void graph_unref(void *o)
{
	obj_unref(o);
}

static void graph_claim_free(void *p)
{
	struct claim *c = p;

	strmap_release(&c->nodes);
	strmap_release_with(&c->volumes, graph_unref);
	free(c);
}

struct node_graph *node_graph_new(void)
{
	struct node_graph *g = xcalloc(1, sizeof(*g));

	pthread_rwlock_init(&g->lock, NULL);
	return g;
}

struct node_graph *node_graph_free(struct node_graph *g)
{
	if (!g)
		return NULL;
	strmap_release(&g->reach);
	strmap_release_with(&g->claims, graph_claim_free);
	pthread_rwlock_destroy(&g->lock);
	free(g);
	return NULL;
}

/* The name comes last: whatever is in it, two different things never share a key. */
static struct sv graph_key(struct buf *b, struct sv node, enum node_graph_kind kind, struct sv ns, struct sv name)
{
	buf_clear(b);
	buf_addsv(b, node);
	buf_addc(b, '\t');
	buf_addc(b, (char)('a' + (int)kind));
	buf_addc(b, '\t');
	buf_addsv(b, ns);
	buf_addc(b, '\t');
	buf_addsv(b, name);
	return buf_sv(b);
}

static struct claim *graph_claim(struct node_graph *g, struct sv ns, struct sv name)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	void **slot = strmap_slot(&g->claims, obj_path(&b, ns, name));

	if (!*slot)
		*slot = xcalloc(1, sizeof(struct claim));
	return *slot;
}

static void graph_claim_drop_unused(struct node_graph *g, struct sv ns, struct sv name)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	struct sv key = obj_path(&b, ns, name);
	struct claim *c = strmap_get(&g->claims, key);

	if (c && c->nodes.n == 0 && c->volumes.n == 0)
		graph_claim_free(strmap_del(&g->claims, key));
}

/* One way more or less; true when it was the first or the last. */
static bool graph_count(const struct edges *e, enum node_graph_kind kind, struct sv ns, struct sv name)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	struct sv key = graph_key(&b, e->node, kind, ns, name);
	uintptr_t n = (uintptr_t)strmap_get(&e->g->reach, key);

	if (e->add) {
		strmap_set(&e->g->reach, key, (void *)(n + 1));
		return n == 0;
	}
	if (n > 1)
		strmap_set(&e->g->reach, key, (void *)(n - 1));
	else if (n == 1)
		strmap_del(&e->g->reach, key);
	return n == 1;
}

static void graph_volume_secret(struct sv ns, struct sv name, void *ctx)
{
	graph_count(ctx, NODE_GRAPH_SECRET, ns, name);
}

/* A volume and what is behind it, as seen from e's node. */
static void graph_volume(const struct edges *e, const struct obj *volume)
{
	struct edges of = *e;

	graph_count(e, NODE_GRAPH_VOLUME, SV(""), obj_name(volume));
	volume_secrets_each(obj_root(volume), graph_volume_secret, &of);
}

static void graph_claim_edge(const struct edges *e, struct sv name)
{
	struct claim *c;

	if (!graph_count(e, NODE_GRAPH_CLAIM, e->ns, name))
		return;
	c = graph_claim(e->g, e->ns, name);
	if (e->add)
		strmap_set(&c->nodes, e->node, c);
	else
		strmap_del(&c->nodes, e->node);
	STRMAP_EACH(&c->volumes, v)
		graph_volume(e, v->value);
	graph_claim_drop_unused(e->g, e->ns, name);
}

static void graph_pod_edge(enum pod_ref ref, struct sv name, void *ctx)
{
	const struct edges *e = ctx;

	switch (ref) {
	case POD_REF_SERVICE_ACCOUNT:
		graph_count(e, NODE_GRAPH_SERVICE_ACCOUNT, e->ns, name);
		break;
	case POD_REF_SECRET:
		graph_count(e, NODE_GRAPH_SECRET, e->ns, name);
		break;
	case POD_REF_CONFIGMAP:
		graph_count(e, NODE_GRAPH_CONFIGMAP, e->ns, name);
		break;
	case POD_REF_CLAIM:
		graph_claim_edge(e, name);
		break;
	case POD_REF_RESOURCE_CLAIM:
		graph_count(e, NODE_GRAPH_RESOURCE_CLAIM, e->ns, name);
		break;
	}
}

static void graph_pod(struct node_graph *g, const struct obj *pod, bool add)
{
	struct edges e = { .g = g, .add = add, .ns = obj_ns(pod), .node = val_str(obj_get(pod, F_spec, F_nodeName)) };

	if (!e.node.n)
		return;
	graph_count(&e, NODE_GRAPH_POD, e.ns, obj_name(pod));
	if (!pod_is_mirror(obj_root(pod)))
		pod_refs_each(obj_root(pod), graph_pod_edge, &e);
}

/* A volume is reached by its claim; one that nobody claimed by nobody. */
static void graph_claimed_volume(struct node_graph *g, struct obj *volume, bool add)
{
	const struct val *ref = obj_get(volume, F_spec, F_claimRef);
	struct sv ns = val_get_str(ref, F_namespace), name = val_get_str(ref, F_name);
	struct edges e = { .g = g, .add = add };
	struct claim *c;

	if (!name.n)
		return;
	c = graph_claim(g, ns, name);
	if (add)
		obj_unref(strmap_set(&c->volumes, obj_name(volume), obj_ref(volume)));
	else
		obj_unref(strmap_del(&c->volumes, obj_name(volume)));
	STRMAP_EACH(&c->nodes, n) {
		e.node = sv_make(n->key, n->key_n);
		graph_volume(&e, volume);
	}
	graph_claim_drop_unused(g, ns, name);
}

/* What says itself of which node it is. */
static const struct {
	const struct resource *res;
	enum node_graph_kind kind;
} graph_named[] = {
	{ RES(storage_volumeattachments), NODE_GRAPH_ATTACHMENT },
	{ RES(resource_resourceslices), NODE_GRAPH_SLICE },
	{ RES(certificates_podcertificaterequests), NODE_GRAPH_CERTIFICATE_REQUEST },
};

static void graph_of_node(struct node_graph *g, enum node_graph_kind kind, const struct obj *o, bool add)
{
	struct edges e = { .g = g, .add = add, .node = val_str(obj_get(o, F_spec, F_nodeName)) };

	if (e.node.n)
		graph_count(&e, kind, obj_ns(o), obj_name(o));
}

void node_graph_observe(struct node_graph *g, const struct resource *res, struct obj *old, struct obj *now)
{
	pthread_rwlock_wrlock(&g->lock);
	if (res == RES(core_persistentvolumes)) {
		/* The old one first: the claim keeps one volume of a name. */
		if (old)
			graph_claimed_volume(g, old, false);
		if (now)
			graph_claimed_volume(g, now, true);
	} else if (res == RES(core_pods)) {
		if (now)
			graph_pod(g, now, true);
		if (old)
			graph_pod(g, old, false);
	}
	for (size_t i = 0; i < ARRAY_LEN(graph_named); i++) {
		if (res != graph_named[i].res)
			continue;
		if (now)
			graph_of_node(g, graph_named[i].kind, now, true);
		if (old)
			graph_of_node(g, graph_named[i].kind, old, false);
	}
	pthread_rwlock_unlock(&g->lock);
}

bool node_graph_reaches(struct node_graph *g, struct sv node, enum node_graph_kind kind, struct sv ns, struct sv name)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	struct sv key = graph_key(&b, node, kind, ns, name);
	bool yes;

	pthread_rwlock_rdlock(&g->lock);
	yes = strmap_get(&g->reach, key) != NULL;
	pthread_rwlock_unlock(&g->lock);
	return yes;
}

size_t node_graph_size(struct node_graph *g)
{
	size_t n;

	pthread_rwlock_rdlock(&g->lock);
	n = g->reach.n + g->claims.n;
	pthread_rwlock_unlock(&g->lock);
	return n;
}
