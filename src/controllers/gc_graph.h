/* gc_graph.h - who owns whom, by uid, over all kinds.
 *
 * Only objects that have an owner, or are somebody's owner, have a node. An owner that was not
 * seen yet has a node without a resource ("not real"); the collector asks the API about it.
 *
 * Not thread-safe: the collector's lock protects it. Strings are owned by the graph.
 */
#pragma once

#include "base/strmap.h"
#include "base/vec.h"
#include "object/obj.h"
#include "object/schema.h"

struct gc_node;

struct gc_edge {
	struct gc_node *owner;
	bool blocks; /* blockOwnerDeletion */
	size_t at;   /* the owner's gc_link for it */
};

struct gc_link {
	struct gc_node *dependent;
	size_t edge; /* which of the dependent's */
};

struct gc_node {
	char *uid, *ns, *name;
	const struct resource *res;	   /* NULL: not real */
	bool deleting, foreground, orphan; /* as the object says */
	VEC(struct gc_edge) owners;
	VEC(struct gc_link) dependents; /* in no order */
	size_t blocking;		/* how many of them block it */
};

struct gc_graph {
	struct strmap nodes; /* uid -> struct gc_node * */
	/* Told of every uid whose object should be looked at; called under the caller's lock. */
	void (*look)(struct sv uid, void *ctx);
	void *ctx;
};

void gc_graph_release(struct gc_graph *g);
struct gc_node *gc_graph_find(const struct gc_graph *g, struct sv uid);
void gc_graph_put(struct gc_graph *g, const struct resource *r, const struct obj *o);
void gc_graph_del(struct gc_graph *g, struct sv uid);
/* Looks at whatever has an owner that is not real: it may be of a kind that came just now. */
void gc_graph_look_again(struct gc_graph *g);
/* Objects of r are known no more. */
void gc_graph_forget(struct gc_graph *g, const struct resource *r);
bool gc_link_blocks(const struct gc_link *l);
