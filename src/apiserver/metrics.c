/* /metrics in the Prometheus text format, with upstream's names for what dashboards read.
 *
 * Counters of requests are an array by resource and verb whose cells appear on first use, so that
 * counting is a handful of relaxed additions and an idle server holds none. */
#include "apiserver/apiserver-internal.h"
#include "apiserver/admission/admission.h"
#include "apiserver/aggregator/aggregator.h"
#include "apiserver/flow/flow.h"
#include "apiserver/held.h"
#include "apiserver/late_kind.h"
#include "apiserver/set_aside.h"
#include "apiserver/watchcache.h"
#include "base/log.h"
#include "ev/watchdog.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

/* Upper bounds of the latency histogram, in ms. */
static const int bounds_ms[] = { 5,    25,   50,   100,	 200,  400,   600,   800,   1000,  1250,  1500, 2000,
				 3000, 4000, 5000, 6000, 8000, 10000, 15000, 20000, 30000, 45000, 60000 };
#define BUCKETS (ARRAY_LEN(bounds_ms) + 1)

static const short codes[] = {
	200, 201, 202, 400, 401, 403, 404, 405, 406, 409, 410, 413, 415, 422, 429, 500, 503, 504
};

struct cell {
	_Atomic uint64_t by_code[ARRAY_LEN(codes) + 1]; /* the last one: any other code */
	_Atomic uint64_t buckets[BUCKETS];
	_Atomic uint64_t sum_us;
};

struct metrics {
	_Atomic(struct cell *) *cells; /* [resource][verb]; the last row: everything else */
	_Atomic int64_t inflight[2];   /* read-only, mutating */
	_Atomic int64_t watchers;
	_Atomic uint64_t calmed; /* HTTP/2 connections */
	_Atomic int64_t calmed_logged_ns;
};

struct metrics *metrics_new(void)
{
	struct metrics *m = xcalloc(1, sizeof(*m));

	m->cells = xcalloc((resource_count + 1) * _VERB_MAX, sizeof(*m->cells));
	return m;
}

struct metrics *metrics_free(struct metrics *m)
{
	if (!m)
		return NULL;
	for (size_t i = 0; i < (resource_count + 1) * _VERB_MAX; i++)
		free(atomic_load(&m->cells[i]));
	free(m->cells);
	free(m);
	return NULL;
}

static void add(_Atomic uint64_t *at, uint64_t n)
{
	atomic_fetch_add_explicit(at, n, memory_order_relaxed);
}

void metrics_inflight(struct apiserver *s, const struct api_req *q, int delta)
{
	atomic_fetch_add_explicit(&s->metrics->inflight[req_mutating(q)], delta, memory_order_relaxed);
}

int64_t metrics_under_way(const struct apiserver *s)
{
	return atomic_load(&s->metrics->inflight[0]) + atomic_load(&s->metrics->inflight[1]);
}

void metrics_watchers(struct apiserver *s, int delta)
{
	atomic_fetch_add_explicit(&s->metrics->watchers, delta, memory_order_relaxed);
}

void apiserver_http_calmed(const struct http_peer *peer, const char *what, void *ctx)
{
	struct apiserver *s = ctx;
	struct metrics *m = s->metrics;
	int64_t now = env_mono_ns(s->env), last = atomic_load(&m->calmed_logged_ns);

	add(&m->calmed, 1);
	/* Peers can do this as often as they connect. */
	if (last && now - last < NS_PER_SEC)
		return;
	if (atomic_compare_exchange_strong(&m->calmed_logged_ns, &last, now))
		log_f(LVL_WARN, "apiserver", "a connection was ended: its peer does too much that no client needs",
		      "peer", "%.*s (%.*s): %s", SV_ARG(peer->address), SV_ARG(peer->common_name), what);
}

/* A kind that came at run time takes its numbers along when it goes. */
static _Atomic(struct cell *) *late_slot(const struct api_req *q, size_t verb)
{
	struct late_kind *late = q->resource_request && q->res ? late_kind_of(q->res) : NULL;

	return late ? &late->cells[verb] : &q->server->metrics->cells[resource_count * _VERB_MAX + verb];
}

void metrics_count(struct api_req *q, int code)
{
	size_t row = q->resource_request && q->res ? q->res->id : resource_count;
	size_t verb = q->resource_request && q->verb < _VERB_MAX ? q->verb : VERB_GET;
	_Atomic(struct cell *) *slot =
	    row < resource_count ? &q->server->metrics->cells[row * _VERB_MAX + verb] : late_slot(q, verb);
	struct cell *c = atomic_load_explicit(slot, memory_order_acquire), *none = NULL;
	int64_t ns = q->step_ns[STEP_ANSWERED] - q->start_ns;
	size_t k;

	if (!c) {
		c = xcalloc(1, sizeof(*c));
		if (!atomic_compare_exchange_strong(slot, &none, c)) {
			free(c);
			c = none;
		}
	}
	for (k = 0; k < ARRAY_LEN(codes) && codes[k] != code; k++)
		;
	add(&c->by_code[k], 1);
	for (k = 0; k < ARRAY_LEN(bounds_ms) && ns > bounds_ms[k] * NS_PER_MS; k++)
		;
	add(&c->buckets[k], 1);
	add(&c->sum_us, (uint64_t)(ns > 0 ? ns / NS_PER_US : 0));
}

static void labels(struct buf *b, const struct resource *r, size_t verb)
{
	static const char *const upper[_VERB_MAX] = { "GET", "LIST",  "WATCH",	"POST",
						      "PUT", "PATCH", "DELETE", "DELETECOLLECTION" };

	buf_printf(b,
		   "component=\"apiserver\",group=\"%s\",resource=\"%s\",scope=\"%s\",subresource=\"\",verb=\"%s\","
		   "version=\"%s\"",
		   r ? r->group : "", r ? r->plural : "", r ? (r->namespaced ? "namespace" : "cluster") : "",
		   upper[verb], r ? r->version : "");
}

typedef void each_cell_fn(const struct resource *r, size_t verb, struct cell *c, struct buf *b);

static void each_of(const struct resource *r, _Atomic(struct cell *) *cells, each_cell_fn *fn, struct buf *b)
{
	for (size_t verb = 0; verb < _VERB_MAX; verb++) {
		struct cell *c = atomic_load(&cells[verb]);

		if (c)
			fn(r, verb, c, b);
	}
}

static void each_cell(struct apiserver *s, each_cell_fn *fn, struct buf *b)
{
	const struct api_set *api = api_current_get(s->api);

	for (size_t i = 0; i <= resource_count; i++)
		each_of(i < resource_count ? &resource_all[i] : NULL, &s->metrics->cells[i * _VERB_MAX], fn, b);
	for (size_t i = 0; i < api->n_custom; i++)
		each_of(api->custom[i].resource, late_kind_of(api->custom[i].resource)->cells, fn, b);
	api_set_unref(api);
}

static void metrics_total_of(const struct resource *r, size_t verb, struct cell *c, struct buf *b)
{
	for (size_t k = 0; k <= ARRAY_LEN(codes); k++) {
		uint64_t n = atomic_load(&c->by_code[k]);

		if (!n)
			continue;
		buf_printf(b, "apiserver_request_total{code=\"%d\",", k < ARRAY_LEN(codes) ? codes[k] : 0);
		labels(b, r, verb);
		buf_printf(b, "} %" PRIu64 "\n", n);
	}
}

static void duration_of(const struct resource *r, size_t verb, struct cell *c, struct buf *b)
{
	uint64_t total = 0;

	for (size_t k = 0; k < BUCKETS; k++) {
		total += atomic_load(&c->buckets[k]);
		buf_adds(b, "apiserver_request_duration_seconds_bucket{");
		labels(b, r, verb);
		if (k < ARRAY_LEN(bounds_ms))
			buf_printf(b, ",le=\"%g\"} %" PRIu64 "\n", bounds_ms[k] / 1000.0, total);
		else
			buf_printf(b, ",le=\"+Inf\"} %" PRIu64 "\n", total);
	}
	buf_adds(b, "apiserver_request_duration_seconds_sum{");
	labels(b, r, verb);
	buf_printf(b, "} %g\napiserver_request_duration_seconds_count{", (double)atomic_load(&c->sum_us) / 1e6);
	labels(b, r, verb);
	buf_printf(b, "} %" PRIu64 "\n", total);
}

static void requests(struct apiserver *s, struct buf *b)
{
	buf_adds(
	    b, "# HELP apiserver_request_total Counter of apiserver requests broken out for each verb, group, version, "
	       "resource, scope and HTTP response code.\n# TYPE apiserver_request_total counter\n");
	each_cell(s, metrics_total_of, b);
	buf_adds(
	    b,
	    "# HELP apiserver_request_duration_seconds Response latency distribution in seconds for each verb, group, "
	    "version, resource and scope.\n# TYPE apiserver_request_duration_seconds histogram\n");
	each_cell(s, duration_of, b);
}

static void held_threads(struct buf *b)
{
	buf_adds(
	    b,
	    "# HELP caravel_held_threads_total Turns of loops, tasks and rounds of the store that took too long, and "
	    "those that were reported with a stack while they lasted.\n"
	    "# TYPE caravel_held_threads_total counter\n");
	for (enum run_kind k = 0; k < _RUN_MAX; k++) {
		uint64_t n_long, n_stuck;

		watchdog_counts(k, &n_long, &n_stuck);
		buf_printf(b,
			   "caravel_held_threads_total{kind=\"%s\",held=\"long\"} %" PRIu64 "\n"
			   "caravel_held_threads_total{kind=\"%s\",held=\"stuck\"} %" PRIu64 "\n",
			   run_kind_name(k), n_long, run_kind_name(k), n_stuck);
	}
}

static void process(struct apiserver *s, struct buf *b)
{
	struct rusage ru;
	long pages = 0;
	FILE *f = fopen("/proc/self/statm", "re");

	if (f) {
		if (fscanf(f, "%*d %ld", &pages) != 1)
			pages = 0;
		(void)fclose(f);
	}
	if (getrusage(RUSAGE_SELF, &ru) == 0)
		buf_printf(b,
			   "# HELP process_cpu_seconds_total Total user and system CPU time spent in seconds.\n"
			   "# TYPE process_cpu_seconds_total counter\nprocess_cpu_seconds_total %g\n",
			   (double)ru.ru_utime.tv_sec + (double)ru.ru_stime.tv_sec +
			       (double)(ru.ru_utime.tv_usec + ru.ru_stime.tv_usec) / 1e6);
	buf_printf(b,
		   "# HELP process_resident_memory_bytes Resident memory size in bytes.\n"
		   "# TYPE process_resident_memory_bytes gauge\nprocess_resident_memory_bytes %ld\n",
		   pages * sysconf(_SC_PAGESIZE));
	buf_printf(b,
		   "# HELP process_start_time_seconds Start time of the process since unix epoch in seconds.\n"
		   "# TYPE process_start_time_seconds gauge\nprocess_start_time_seconds %" PRId64 "\n",
		   (env_now_ns(s->env) - (env_mono_ns(s->env) - s->start_mono_ns)) / NS_PER_SEC);
}

void metrics_serve(struct api_req *q)
{
	struct apiserver *s = q->server;
	struct store_stats st = { 0 };
	struct buf b = BUF_INIT;
	size_t n;
	char *text;

	requests(s, &b);
	buf_printf(&b,
		   "# HELP apiserver_current_inflight_requests Number of requests in flight by kind.\n"
		   "# TYPE apiserver_current_inflight_requests gauge\n"
		   "apiserver_current_inflight_requests{request_kind=\"readOnly\"} %" PRId64 "\n"
		   "apiserver_current_inflight_requests{request_kind=\"mutating\"} %" PRId64 "\n",
		   atomic_load(&s->metrics->inflight[0]), atomic_load(&s->metrics->inflight[1]));
	buf_printf(
	    &b,
	    "# HELP apiserver_longrunning_requests Number of active watches.\n"
	    "# TYPE apiserver_longrunning_requests gauge\napiserver_longrunning_requests{verb=\"WATCH\"} %" PRId64 "\n",
	    atomic_load(&s->metrics->watchers));
	buf_printf(
	    &b,
	    "# HELP caravel_http_calmed_connections_total HTTP/2 connections ended for too much of what no client "
	    "needs.\n# TYPE caravel_http_calmed_connections_total counter\n"
	    "caravel_http_calmed_connections_total %" PRIu64 "\n",
	    atomic_load(&s->metrics->calmed));
	buf_printf(&b,
		   "# HELP caravel_answers_held_bytes Memory of answers that were made for one request and are not "
		   "taken yet.\n"
		   "# TYPE caravel_answers_held_bytes gauge\ncaravel_answers_held_bytes %zu\n",
		   held_bytes(s));
	flow_metrics(s, &b);
	hook_metrics(s, &b);
	aggregator_metrics(s, &b);
	audit_metrics(s, &b);
	wc_metrics(s->wc, &b);
	wc_slow_metrics(s->wc, &b);
	set_aside_metrics(s, &b);
	s->store->ops->stats(s->store, &st);
	buf_printf(
	    &b,
	    "# HELP apiserver_storage_size_bytes Size of the storage database file physically allocated in bytes.\n"
	    "# TYPE apiserver_storage_size_bytes gauge\napiserver_storage_size_bytes %" PRIu64 "\n",
	    st.bytes);
	held_threads(&b);
	process(s, &b);
	n = b.n;
	text = buf_detach(&b);
	q->sink->bytes(q, 200, "text/plain; version=0.0.4; charset=utf-8",
		       &(struct http_chunk){ .data = sv_make(text, n), .release = free, .owner = text }, 1);
}
