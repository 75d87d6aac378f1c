/* node.h - the Node authorizer: what a kubelet may reach, by what runs on its node (KEP-279).
 *
 * A node may do what the ClusterRole system:node says, and of Secrets, ConfigMaps, service
 * account tokens, Leases and Node objects only those that belong to itself or to a pod bound
 * to it.
 */
#pragma once

#include "apiserver/authz.h"

/* The node's name when u is a node identity (user system:node:NAME in group system:nodes), else SV_NULL. */
struct sv node_identity(const struct user_info *u);
bool node_allowed(struct apiserver *s, struct sv node, const struct authz_attrs *at, struct arena *a,
		  struct sv *ret_reason);
