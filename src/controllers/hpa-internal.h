/* hpa-internal.h - one look at one HorizontalPodAutoscaler, as hpa.c and hpa_read.c share it. */
#pragma once

#include "client/workq.h"
#include "controllers/controllers-internal.h"
#include "controllers/hpa_limits.h"
#include "controllers/hpa_metrics.h"

#include <pthread.h>

struct hpas {
	struct controller_ctx *ctx;
	struct informer *hpas, *pods;
	struct workq *q;
	pthread_mutex_t lock;	 /* of the map; a history is its key's run's */
	struct strmap histories; /* key -> struct hpa_history *, owned */
};

/* One look at one. */
struct hrun {
	struct hpas *c;
	struct arena *a;
	struct obj *hpa;
	struct val *doc, *st; /* the copy that is written, and its status */
	const struct val *spec;
	struct hpa_history *h;
	const struct api_set *kinds;
	const struct resource *target;
	const struct val *scale;
	int64_t current, min, max;
	struct val *metrics; /* status.currentMetrics */
};

/* What a metric asks for, and what it is called. */
struct wish {
	struct hpa_wish w;
	const char *metric;
};

/* hpa_say.c */
void hpa_event(struct hrun *r, const char *type, const char *reason, const char *fmt, ...) _printf_(4, 5);
void hpa_condition(struct hrun *r, const char *type, const char *status, const char *reason, struct sv message);

/* hpa_read.c: the highest wish of all metrics. One that cannot be had counts against making the target smaller. -1:
 * nobody can say; the condition ScalingActive does. */
int hpa_read(struct hrun *r, struct wish *ret, struct err *err);
