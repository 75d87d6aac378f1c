/* podwatch.h - from pod events to the keys of the objects that control the pods.
 *
 * Shared by every controller that makes pods (ReplicaSet, DaemonSet, StatefulSet, Job): ticks
 * off expectations and queues the controller of a pod, old and new, and for an orphan every
 * owner whose selector would match it.
 */
#pragma once

#include "client/informer.h"
#include "client/workq.h"
#include "controllers/expectations.h"

struct podwatch {
	const struct resource *owner_res;
	struct informer *owners, *pods;
	struct workq *q;
	struct expectations *expect; /* or NULL */
};
/* Adds handlers to w->pods and w->owners (queues the owner's own key); w must outlive the factory. */
void podwatch_start(struct podwatch *w);
