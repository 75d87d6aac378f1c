/* condition.h - status.conditions: lists of { type, status, reason, ... } of which each type is there once.
 *
 * One setter for all who write them, by upstream's rules: lastTransitionTime moves with the status and with nothing
 * else, observedGeneration is that of the object which was looked at, and what says the same already is left alone, so
 * that a status is written only when it differs.
 */
#pragma once

#include "base/arena.h"
#include "codec/doc.h"

const struct val *condition_find(const struct val *list, const char *type); /* NULL when there is none */
bool condition_is(const struct val *list, const char *type, const char *status);
bool condition_reason_is(const struct val *list, const char *type, const char *reason);
bool condition_ready(const struct val *object); /* its Ready is "True": of a Node, or a Pod */

struct condition {
	const char *type, *status, *reason;
	struct sv message;
	/* Members beyond lastTransitionTime that this kind's conditions carry, or SYM_NONE: deployments'
	 * lastUpdateTime, nodes' lastHeartbeatTime. Set whenever the condition changes. */
	enum sym also_time;
	bool keep_message;  /* a change of the message alone is no change (Deployment) */
	int64_t generation; /* observedGeneration; 0: this kind's conditions have none */
};
/* Sets the condition in owner.conditions (made when absent). False when nothing changed. */
bool condition_set(struct arena *a, struct val *owner, const struct condition *c, int64_t now_ns);
bool condition_remove(struct val *owner, const char *type);
