/* bootstrap.h - what must exist before anybody uses the cluster.
 *
 * System namespaces, the RBAC policy (api/rbac.policy), priority classes, the `kubernetes`
 * Service with its endpoints, and the ConfigMap that tells extension servers our client CA. At
 * every start: what is missing is made; RBAC rules that were taken out of an object that
 * still carries the autoupdate annotation are put back, as upstream does. All writes are
 * in flight at once, so a first start costs a few disk syncs.
 */
#pragma once

#include "base/arena.h"
#include "base/err.h"
#include "codec/doc.h"

struct apiserver;

extern const char rbac_policy_json[]; /* generated: a JSON list of objects; some, and some rules, have a gate */
/* The objects that this process's features let there be, in a. NULL: *err. */
struct val *rbac_policy(struct arena *a, struct err *err);
