/* hpa_metrics.h - where the numbers of a HorizontalPodAutoscaler come from.
 *
 *	Resource, ContainerResource	metrics.k8s.io: this server's own, or a metrics server's
 *	Pods, Object			custom.metrics.k8s.io (v1beta2, else v1beta1)
 *	External			external.metrics.k8s.io
 *
 * Each is one GET; it may take as long as another server takes. What comes back is a stranger's document: what is no
 * number is not there. Values in thousandths, all in the arena.
 */
#pragma once

#include "client/client.h"
#include "controllers/hpa_calc.h"
#include "object/api_set.h"

struct hpa_source {
	struct client *client;
	struct arena *a;
	struct sv ns;
	struct sv selector; /* the target's, as text */
	const struct api_set *kinds;
};

/* Into p->samples. -1: none, and why. */
int hpa_get_resource(const struct hpa_source *s, struct sv resource, struct sv container, struct hpa_pods *p,
		     struct err *err);
int hpa_get_pods(const struct hpa_source *s, const struct val *metric, struct hpa_pods *p, struct err *err);
int hpa_get_object(const struct hpa_source *s, const struct val *metric, const struct val *described, int64_t *ret,
		   struct err *err);
int hpa_get_external(const struct hpa_source *s, const struct val *metric, int64_t *ret, struct err *err);
