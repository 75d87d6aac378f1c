/* node.h - the Node authorizer: what a kubelet may reach, by what runs on its node (KEP-279, KEP-4601).
 *
 * Of Secrets, ConfigMaps, claims, volumes, service accounts and attachments a node reads one at a time those that a
 * pod bound to it uses (node_graph.h), of Secrets also those that Ingresses name when it serves them
 * (node_ingress.h); of Pods, Nodes, Leases, CSINodes and ResourceSlices its own, by name or by the
 * field selector that says so. All else is what the built-in ClusterRole system:node says. A no is no opinion: RBAC
 * may still allow it, and what a node writes goes through admission (admission/node_restriction.c). All of that is of
 * today, and so is what a node is told: of the past nothing that memory does not hold (user_is_of_today()).
 */
#pragma once

#include "apiserver/authz.h"

/* The node's name when u is a node identity (user system:node:NAME in group system:nodes), else SV_NULL. "": the user
 * says it is one and names none. */
struct sv node_identity(const struct user_info *u);
bool node_allowed(struct apiserver *s, struct sv node, const struct authz_attrs *at, struct arena *a,
		  struct sv *ret_reason);
