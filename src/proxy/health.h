/* health.h - what load balancers and people ask of this node's proxy, by HTTP.
 *
 *	healthz address	/healthz	200 while rules follow the cluster and the Node is to stay, else 503
 *			/livez		the same, whether the Node is to stay or not
 *	metrics address	/metrics, /proxyMode, /statusz
 *	a healthCheckNodePort, any path	200 while a ready endpoint of its Service runs on this node, else 503
 *
 * Answers are upstream's, words and headers (X-Load-Balancing-Endpoint-Weight). A port that is taken is told in the log
 * and tried again at the next proxy_health_retry(): nothing else depends on it.
 *
 * One network thread. Functions may be called from any thread but that, by one at a time; the exceptions are told.
 */
#pragma once

#include "base/buf.h"
#include "base/env.h"
#include "base/err.h"

struct proxy_health; /* opaque */

struct ev_loop;
struct proxy_health_opts {
	struct env *env;
	struct ev_loop *loop; /* of a network thread that outlives it; NULL: a thread of its own */
	const char *healthz_address, *metrics_address; /* "0.0.0.0:10256"; NULL or "": none */
	bool required;				       /* one that is taken is a failure, not a line in the log */
};
struct proxy_health *proxy_health_new(const struct proxy_health_opts *o, struct err *err);
struct proxy_health *proxy_health_free(struct proxy_health *h);

/* How many ready endpoints of a Service run here, and on which port that is told; port 0: on none (any more). */
void proxy_health_service(struct proxy_health *h, struct sv ns, struct sv name, int port, size_t local_endpoints);
void proxy_health_retry(struct proxy_health *h);

/* A sync ended well, or not; any thread. Rules that could not be written for a minute are no good health. */
void proxy_health_synced(struct proxy_health *h, bool well, int64_t took_ns);
/* Rules follow a change of endpoints that was made so long ago; any thread. */
void proxy_health_programmed(struct proxy_health *h, int64_t took_ns);
void proxy_health_metrics(struct proxy_health *h, struct buf *b); /* appends text for Prometheus; any thread */
void proxy_health_node(struct proxy_health *h, bool eligible);	  /* the Node is to stay; any thread */

/* The body of a healthCheckNodePort's answer, as upstream writes it. */
void proxy_health_json(struct buf *b, struct sv ns, struct sv name, size_t local_endpoints, bool healthy);
