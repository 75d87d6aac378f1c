/* metrics.h - what /metrics says of the API server.
 *
 * All of upstream's stable and beta metrics of an API server are in the table api_metrics, which a test compares with
 * tests/fields/metrics.tsv. How each is counted:
 *
 *	requests	cells by resource and verb, a list of few in each (metrics_requests.c): a request costs an array
 *			index, a short walk and some relaxed additions
 *	admission	cells by plugin (metrics_admission.c)
 *	watches, the store	counters where the resource's own state is (watchcache-internal.h)
 *	the rest	series of a metric_set, found by their labels: what happens seldom
 *
 * Other components of the process write theirs by apiserver_opts.more_metrics. The page is upstream's text format
 * 0.0.4, whatever a client asks for: upstream does not offer OpenMetrics, whose names of counters are others.
 *
 * Threads: any, at once.
 */
#pragma once

#include "apiserver/apiserver-internal.h"
#include "base/metric.h"

enum api_metric {
	AM_ADMISSION_PLUGIN,
	AM_ADMISSION_STEP,
	AM_ADMISSION_WEBHOOK,
	AM_AUTHN_RELOAD_TIME,
	AM_AUTHN_RELOADS,
	AM_AUTHZ_RELOAD_TIME,
	AM_AUTHZ_RELOADS,
	AM_CEL_COMPILATION,
	AM_CEL_EVALUATION,
	AM_INFLIGHT,
	AM_LONGRUNNING,
	AM_REQUEST_DURATION,
	AM_REQUEST_TOTAL,
	AM_DEPRECATED,
	AM_RESPONSE_SIZES,
	AM_STORAGE_EVENTS,
	AM_STORAGE_OBJECTS,
	AM_POLICY_DURATION,
	AM_POLICY_TOTAL,
	AM_DECLARATIVE_MISMATCH,
	AM_DECLARATIVE_PANIC,
	AM_WATCH_SIZES,
	AM_WATCH_EVENTS,
	AM_WATCH_LIST,
	AM_X509_SHA1,
	AM_X509_SAN,
	AM_METRICS_REGISTERED,
	AM_BUILD_INFO,
	AM_FEATURE,
	AM_HEALTH, /* these two: of /metrics/slis alone */
	AM_HEALTH_TOTAL,
	AM_METRICS_DISABLED, /* these: of the page itself */
	AM_METRICS_HIDDEN,
	_AM_MAX
};
extern const struct metric_family api_metrics[_AM_MAX];
#define API_METRIC(id) (&api_metrics[AM_##id])

/* Answers with a finished page, which is taken. */
#define METRICS_TYPE "text/plain; version=0.0.4; charset=utf-8"
void metrics_answer(struct api_req *q, struct buf *b);

/* A file of configuration has been read again; counted: by how that went, when: when. */
void metrics_reloaded(struct apiserver *s, const struct metric_family *counted, const struct metric_family *when,
		      bool ok);

/* --- metrics_requests.c --- */

struct request_cells;
struct request_cells *request_cells_new(void);
struct request_cells *request_cells_free(struct request_cells *c);
/* Those of a kind that came at run time; they go with it. */
struct cell;
void cells_free(_Atomic(struct cell *) *slots);
/* q is answered with code; bytes: of a body that is known, or -1. */
void request_count(struct api_req *q, int code, int64_t bytes);
/* q lasts, until its arena is reset. */
void request_lasts(struct api_req *q);
bool request_is_long(const struct api_req *q);
/* For a watch: an event of that many bytes was sent. The cell lives as long as q's kind. */
struct cell *request_cell(const struct api_req *q);
void request_sent(struct cell *c, size_t bytes);
/* q, a watch, has told all that there is. */
void request_listed(const struct api_req *q);
void request_metrics(struct apiserver *s, struct buf *b);

/* --- metrics_admission.c --- */

struct admission;
struct admission_cells;
struct admission_cells *admission_cells_free(struct admission_cells *c);
/* The plugin `name` at that place of the chain, of at most 64, has answered about a; ns: how long that took. */
void admission_counted(const struct admission *a, unsigned place, const char *name, bool validating, bool refused,
		       int64_t ns);
void admission_step_counted(const struct admission *a, bool validating, bool refused, int64_t ns);
void admission_metrics(struct apiserver *s, struct buf *b);

/* --- metrics_health.c --- */

/* A check was asked by one of the health pages ("livez"). */
void health_counted(struct apiserver *s, const char *check, const char *page, bool ok);
void slis_serve(struct api_req *q);
void resource_metrics_serve(struct api_req *q); /* /metrics/resources */
