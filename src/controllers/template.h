/* template.h - pods from pod templates, and names from template hashes. */
#pragma once

#include "base/arena.h"
#include "base/err.h"
#include "client/client.h"
#include "client/events.h"
#include "controllers/expectations.h"
#include "controllers/owner.h"

#define LABEL_TEMPLATE_HASH "pod-template-hash"

/* The pod that template describes, controlled by owner: generateName "owner-", and the
 * template's labels, annotations, finalizers and spec. */
struct val *pod_from_template(struct arena *a, const struct resource *owner_res, const struct val *owner,
			      const struct val *tmpl);
/* Letters and digits that stand for the template and the number of collisions met so far. The value
 * differs from upstream's, which hashes a dump of Go memory; its alphabet and use are the same. */
struct sv template_hash(struct arena *a, const struct val *tmpl, int64_t collisions);
/* The same but for the label that the hash is kept in. */
bool template_equal(struct arena *a, const struct val *x, const struct val *y);

/* Creating and deleting pods for an owner, with the events that belong to it. */
struct pod_control {
	struct client *client;
	struct recorder *recorder;
	const struct resource *owner_res;
};
int pod_control_create(struct pod_control *pc, struct val *pod, struct obj *owner, struct err *err);
int pod_control_delete(struct pod_control *pc, struct obj *pod, struct obj *owner, struct err *err);
/* Did the API refuse because the namespace is going away? */
bool err_namespace_terminating(const struct err *err);

/* Calls make(ctx, i) for i below n in batches of 1, 2, 4, ...: a quota that refuses every pod costs a
 * few calls and not hundreds. Returns how many succeeded; *err is the first failure's. */
size_t pod_slow_start(size_t n, int (*make)(void *ctx, size_t i, struct err *err), void *ctx, struct err *err);
