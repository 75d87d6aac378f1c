/* ingress_refs.h - whose an Ingress is, which Secrets it names, and which nodes serve Ingresses.
 *
 * One answer for all who ask: what a node may read because of Ingresses (apiserver/authz/node_ingress.c), what it
 * serves (ingress/), and whose addresses an Ingress tells (controllers/ingress_status.c).
 *
 * Which nodes: those whose label node-restriction.kubernetes.io/ingress is "true"; where no node has that, all but
 * those with another value. A label of that prefix because no node can give it to itself.
 */
#pragma once

#include "base/strmap.h"
#include "object/obj.h"

#define INGRESS_CONTROLLER "caravel.io/ingress-controller"
#define INGRESS_CLASS "caravel"
#define INGRESS_NODE_LABEL "node-restriction.kubernetes.io/ingress"
#define INGRESS_NODE_ANNOTATION "caravel.io/ingress-ports" /* of a Node that serves: "80,443" */

/* The class it asks for; "": none, so the default one is meant. */
struct sv ingress_class_name(const struct val *ingress);
bool ingress_class_is_ours(const struct val *class);

struct ingress_classes {
	struct strmap ours; /* names; no values */
	bool default_ours;
};
void ingress_classes_of(struct obj *const *classes, size_t n, struct ingress_classes *ret);
void ingress_classes_release(struct ingress_classes *c);
bool ingress_classes_have(const struct ingress_classes *c, struct sv name); /* of ingress_class_name() */
bool ingress_is_ours(const struct ingress_classes *c, const struct val *ingress);

/* The name in "name" or "ns/name" when that is a Secret of the Ingress' own namespace; else SV_NULL. */
struct sv ingress_own_secret(const struct val *ingress, struct sv ref);
/* Calls fn for every Secret of the Ingress' own namespace that it names, as often as it does; never with an empty
 * name. The name is borrowed for the call. */
void ingress_secrets_each(const struct val *ingress, void (*fn)(struct sv name, void *ctx), void *ctx);

enum ingress_role {
	INGRESS_ROLE_NEVER,
	INGRESS_ROLE_IF_NONE, /* when no node is chosen */
	INGRESS_ROLE_CHOSEN,
};
enum ingress_role ingress_node_role(const struct val *node);
/* any_chosen: whether a node of the cluster is. */
bool ingress_role_serves(enum ingress_role role, bool any_chosen);
