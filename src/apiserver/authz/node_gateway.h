/* node_gateway.h - may a node read a Secret because a Gateway of ours shows it?
 *
 *	node that serves Ingresses ◀─ Gateway of a class of ours ◀─ its certificateRefs
 *
 * Those of other namespaces with a ReferenceGrant.
 *
 * Asked of the objects as they are cached: Gateways are few, their kind is there on some clusters alone, and a
 * node asks once for each certificate. What a question costs is the Gateways, and the grants of one namespace.
 */
#pragma once

#include "base/base.h"

struct apiserver;

/* That the node is one that serves is the caller's to ask (node_ingress_serves()). */
bool node_gateway_reaches(struct apiserver *s, struct sv ns, struct sv secret);
