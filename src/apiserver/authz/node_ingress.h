/* node_ingress.h - which node may reach which Secret because it serves Ingresses.
 *
 *	node with the role ◀─ Ingress of a class of ours ◀─ its Secrets (object/ingress_refs.h)
 *
 * Counts, as node_graph.h keeps them: a question is one look into a hash map for the node and one for the Secret. A
 * changed Ingress costs the Secrets it names. A changed IngressClass, an administrator's, costs the number of classes,
 * and when it becomes ours or ceases to be, the Secrets that are named by its name.
 *
 * Threads: node_ingress_observe() from the store's thread, questions from any.
 */
#pragma once

#include "object/obj.h"
#include "object/schema.h"

struct node_ingress;

struct node_ingress *node_ingress_new(void);
struct node_ingress *node_ingress_free(struct node_ingress *g); /* NULL is fine; returns NULL */
/* An Ingress, IngressClass or Node changed; old or now may be NULL. */
void node_ingress_observe(struct node_ingress *g, const struct resource *res, struct obj *old, struct obj *now);
bool node_ingress_serves(struct node_ingress *g, struct sv node); /* is it one that is to serve? */
bool node_ingress_reaches(struct node_ingress *g, struct sv node, struct sv ns, struct sv secret);
/* What is known, all in all: for tests of what a change leaves behind. */
size_t node_ingress_size(struct node_ingress *g);
