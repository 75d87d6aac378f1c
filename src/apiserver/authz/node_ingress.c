/* Secrets are counted twice: by the class whose Ingresses name them, whoever's it is, and, while the class is ours, in
 * one map for all, which questions look into. */
#include "apiserver/authz/node_ingress.h"

#include "base/buf.h"
#include "base/vec.h"
#include "object/ingress_refs.h"

#include <pthread.h>
#include <stdlib.h>

/* Those who ask for a class by this name, "" for the default one; there is one such class, or none. */
struct asked_class {
	struct strmap secrets; /* "ns/name" -> count, as a pointer */
	bool ours;
};

struct node_ingress {
	pthread_rwlock_t lock;
	struct strmap nodes;   /* name -> enum ingress_role + 1, as a pointer */
	size_t chosen;	       /* nodes with INGRESS_ROLE_CHOSEN */
	struct strmap classes; /* name -> struct obj *, a reference */
	struct ingress_classes which;
	struct strmap asked;   /* name -> struct asked_class * */
	struct strmap secrets; /* "ns/name" -> by how many classes of ours, as a pointer */
};

struct node_ingress *node_ingress_new(void)
{
	struct node_ingress *g = xcalloc(1, sizeof(*g));

	pthread_rwlock_init(&g->lock, NULL);
	return g;
}

static void asked_free(void *p)
{
	struct asked_class *c = p;

	strmap_release(&c->secrets);
	free(c);
}

static void class_unref(void *o)
{
	obj_unref(o);
}

struct node_ingress *node_ingress_free(struct node_ingress *g)
{
	if (!g)
		return NULL;
	strmap_release(&g->nodes);
	strmap_release_with(&g->classes, class_unref);
	ingress_classes_release(&g->which);
	strmap_release_with(&g->asked, asked_free);
	strmap_release(&g->secrets);
	pthread_rwlock_destroy(&g->lock);
	free(g);
	return NULL;
}

/* One more or one less; true when it was the first or the last. */
static bool count_change(struct strmap *m, struct sv key, bool add)
{
	uintptr_t n = (uintptr_t)strmap_get(m, key);

	if (add)
		strmap_set(m, key, (void *)(n + 1));
	else if (n > 1)
		strmap_set(m, key, (void *)(n - 1));
	else if (n == 1)
		strmap_del(m, key);
	return add ? n == 0 : n == 1;
}

/* --- Ingresses --- */

struct ingress_edges {
	struct node_ingress *g;
	struct asked_class *class;
	struct sv ns;
	bool add;
};

static void ingress_edge(struct sv name, void *ctx)
{
	struct ingress_edges *e = ctx;
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	struct sv key = obj_path(&b, e->ns, name);

	if (count_change(&e->class->secrets, key, e->add) && e->class->ours)
		(void)count_change(&e->g->secrets, key, e->add);
}

static void ingress_change(struct node_ingress *g, const struct obj *ingress, bool add)
{
	struct sv name = ingress_class_name(obj_root(ingress));
	void **slot = strmap_slot(&g->asked, name);
	struct ingress_edges e = { .g = g, .class = *slot, .ns = obj_ns(ingress), .add = add };

	if (!e.class) {
		*slot = e.class = xcalloc(1, sizeof(*e.class));
		e.class->ours = ingress_classes_have(&g->which, name);
	}
	ingress_secrets_each(obj_root(ingress), ingress_edge, &e);
	if (!e.class->secrets.n)
		asked_free(strmap_del(&g->asked, name));
}

/* --- classes --- */

static void class_change(struct node_ingress *g, const struct obj *old, struct obj *now)
{
	VEC(struct obj *) all = VEC_INIT;

	if (now)
		obj_unref(strmap_set(&g->classes, obj_name(now), obj_ref(now)));
	else
		obj_unref(strmap_del(&g->classes, obj_name(old)));
	STRMAP_EACH(&g->classes, e)
		vec_push(&all, e->value);
	ingress_classes_release(&g->which);
	ingress_classes_of(all.p, all.n, &g->which);
	vec_release(&all);
	STRMAP_EACH(&g->asked, e) {
		struct asked_class *c = e->value;
		bool ours = ingress_classes_have(&g->which, sv_make(e->key, e->key_n));

		if (ours == c->ours)
			continue;
		c->ours = ours;
		STRMAP_EACH(&c->secrets, s)
			(void)count_change(&g->secrets, sv_make(s->key, s->key_n), ours);
	}
}

/* --- nodes --- */

static void node_change(struct node_ingress *g, struct sv name, const struct obj *now)
{
	uintptr_t was = (uintptr_t)strmap_get(&g->nodes, name),
		  is = now ? (uintptr_t)ingress_node_role(obj_root(now)) + 1 : 0;

	g->chosen -= was == INGRESS_ROLE_CHOSEN + 1;
	g->chosen += is == INGRESS_ROLE_CHOSEN + 1;
	if (is)
		strmap_set(&g->nodes, name, (void *)is);
	else
		strmap_del(&g->nodes, name);
}

void node_ingress_observe(struct node_ingress *g, const struct resource *res, struct obj *old, struct obj *now)
{
	/* Heartbeats of Nodes come often, and change nothing of this. */
	if (res == RES(core_nodes) && old && now &&
	    ingress_node_role(obj_root(old)) == ingress_node_role(obj_root(now)))
		return;
	pthread_rwlock_wrlock(&g->lock);
	if (res == RES(core_nodes)) {
		node_change(g, obj_name(now ? now : old), now);
	} else if (res == RES(networking_ingressclasses)) {
		class_change(g, old, now);
	} else if (res == RES(networking_ingresses)) {
		/* The new one first, as in node_graph.c: what stays the same never falls to zero. */
		if (now)
			ingress_change(g, now, true);
		if (old)
			ingress_change(g, old, false);
	}
	pthread_rwlock_unlock(&g->lock);
}

static bool node_serves(struct node_ingress *g, struct sv node)
{
	uintptr_t role = (uintptr_t)strmap_get(&g->nodes, node);

	return role > 0 && ingress_role_serves((enum ingress_role)(role - 1), g->chosen > 0);
}

bool node_ingress_serves(struct node_ingress *g, struct sv node)
{
	bool yes;

	pthread_rwlock_rdlock(&g->lock);
	yes = node_serves(g, node);
	pthread_rwlock_unlock(&g->lock);
	return yes;
}

bool node_ingress_reaches(struct node_ingress *g, struct sv node, struct sv ns, struct sv secret)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	struct sv key = obj_path(&b, ns, secret);
	bool yes;

	pthread_rwlock_rdlock(&g->lock);
	yes = node_serves(g, node) && strmap_has(&g->secrets, key);
	pthread_rwlock_unlock(&g->lock);
	return yes;
}

size_t node_ingress_size(struct node_ingress *g)
{
	size_t n;

	pthread_rwlock_rdlock(&g->lock);
	n = g->nodes.n + g->chosen + g->classes.n + g->asked.n + g->secrets.n;
	pthread_rwlock_unlock(&g->lock);
	return n;
}
