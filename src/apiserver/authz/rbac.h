/* rbac.h - RBAC (rbac.authorization.k8s.io/v1) as an index from subjects to rules.
 *
 * Roles stay the published documents they are; only references and a map from each subject to
 * its roles are kept, changed one by one as objects change. A question walks the rules of the user's
 * roles and of those of each group, first cluster-wide, then of the namespace, each role once in each, until one says
 * yes; so it costs what the roles spell, however many bindings give them.
 *
 * Threads: rbac_observe() from the store's thread; questions from any.
 */
#pragma once

#include "apiserver/authz.h"
#include "object/obj.h"

struct rbac;

struct rbac *rbac_new(void);
struct rbac *rbac_free(struct rbac *r);
/* A Role, ClusterRole, RoleBinding or ClusterRoleBinding changed; old or neu may be NULL. */
void rbac_observe(struct rbac *r, const struct resource *res, struct obj *old, struct obj *neu);

/* With an arena, a yes leaves in *ret_why which binding of which role to whom it was; else *ret_why is left alone. */
bool rbac_allowed(struct rbac *r, const struct authz_attrs *at, struct arena *a, struct sv *ret_why);
/* Does one of these rules allow it? For the node authorizer. */
bool rbac_rules_allow(const struct val *rules, const struct authz_attrs *at);

/* Calls fn for every rule that applies to u in ns (and cluster-wide), until it returns
 * non-zero; again for a role that several of u's names have. The rule is borrowed for the call; r is locked
 * meanwhile. */
void rbac_each_rule(struct rbac *r, const struct user_info *u, struct sv ns,
		    int (*fn)(const struct val *rule, void *ctx), void *ctx);
