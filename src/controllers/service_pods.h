/* service_pods.h - services and the pods behind them, for the two controllers that publish them. */
#pragma once

#include "client/informer.h"
#include "client/workq.h"

struct service_watch {
	struct informer *services, *pods;
	struct workq *q; /* gets keys of services */
};
/* Queues a service when it changes, and when a pod that it selects, or did, changes in a way that
 * shows in its endpoints. w must outlive the factory. */
void service_watch_start(struct service_watch *w);

/* The number that a service's port means on this pod; false when the pod has no such port. */
bool service_port_on_pod(const struct val *port, const struct obj *pod, int64_t *ret);
/* Pods that could be endpoints: selected, with an address, not done. */
struct obj **service_pods(struct service_watch *w, struct arena *a, const struct obj *svc, size_t *ret_n);
/* The name under which DNS knows the pod of this service, "" when it has none. */
struct sv pod_hostname(const struct obj *pod, const struct obj *svc);
bool service_headless(const struct obj *svc);
bool service_has_selector(const struct obj *svc);
/* The service's labels and, when it is headless, the mark of that. */
struct val *service_labels(struct arena *a, const struct obj *svc);
