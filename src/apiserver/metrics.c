/* The page /metrics: what every part of the server has to tell, and the process. */
#include "apiserver/metrics.h"
#include "apiserver/admission/admission.h"
#include "apiserver/aggregator/aggregator.h"
#include "apiserver/authz/authz-internal.h"
#include "apiserver/encryption/encryption.h"
#include "apiserver/flow/flow.h"
#include "apiserver/held.h"
#include "apiserver/set_aside.h"
#include "apiserver/watchcache.h"
#include "base/log.h"
#include "base/metric_page.h"
#include "base/version.h"
#include "client/workq.h"
#include "ev/watchdog.h"
#include "net/digest.h"
#include "object/feature.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

struct metrics {
	_Atomic int64_t inflight[2]; /* read-only, mutating */
	_Atomic uint64_t calmed;     /* HTTP/2 connections */
	_Atomic int64_t calmed_logged_ns;
};

struct metrics *metrics_new(void)
{
	return xcalloc(1, sizeof(struct metrics));
}

struct metrics *metrics_free(struct metrics *m)
{
	free(m);
	return NULL;
}

void metrics_inflight(struct apiserver *s, const struct api_req *q, int delta)
{
	if (!request_is_long(q))
		atomic_fetch_add_explicit(&s->metrics->inflight[req_mutating(q)], delta, memory_order_relaxed);
}

int64_t metrics_under_way(const struct apiserver *s)
{
	return atomic_load(&s->metrics->inflight[0]) + atomic_load(&s->metrics->inflight[1]);
}

void apiserver_http_calmed(const struct http_peer *peer, const char *what, void *ctx)
{
	struct apiserver *s = ctx;
	struct metrics *m = s->metrics;
	int64_t now = env_mono_ns(s->env), last = atomic_load(&m->calmed_logged_ns);

	atomic_fetch_add_explicit(&m->calmed, 1, memory_order_relaxed);
	/* Peers can do this as often as they connect. */
	if (last && now - last < NS_PER_SEC)
		return;
	if (atomic_compare_exchange_strong(&m->calmed_logged_ns, &last, now))
		log_f(LVL_WARN, "apiserver", "a connection was ended: its peer does too much that no client needs",
		      "peer", "%.*s (%.*s): %s", SV_ARG(peer->address), SV_ARG(peer->common_name), what);
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

/* --- what this is --- */

void metrics_reloaded(struct apiserver *s, const struct metric_family *counted, const struct metric_family *when,
		      bool ok)
{
	char host[256] = "", id[300], hash[SHA256_HEX], label[SHA256_HEX + 8];
	struct sv values[2];

	/* Which of several servers it is, as upstream makes it of their names. */
	(void)gethostname(host, sizeof(host) - 1);
	(void)snprintf(id, sizeof(id), "apiserver-%s", host);
	sha256_hex(sv_from(id), hash);
	(void)snprintf(label, sizeof(label), "sha256:%s", hash);
	values[0] = sv_from(label);
	values[1] = ok ? SV("success") : SV("failure");
	metric_add(s->counted, counted, values, 1);
	metric_gauge(s->counted, when, values, (double)(env_now_ns(s->env) / NS_PER_SEC));
}

static void build_info(struct apiserver *s)
{
	const struct sv values[] = { SV(""),	  SV(VERSION_COMPILER), SV(""),
				     SV("clean"), SV(VERSION_TEXT),	SV(""),
				     SV("1"),	  SV(KUBERNETES_MINOR), SV(VERSION_PLATFORM) };

	metric_gauge(s->counted, API_METRIC(BUILD_INFO), values, 1);
}

static void features(struct buf *b)
{
	static const char *const stages[] = { [FEATURE_ALPHA] = "ALPHA",
					      [FEATURE_BETA] = "BETA",
					      [FEATURE_GA] = "",
					      [FEATURE_DEPRECATED] = "DEPRECATED" };

	metric_head(b, API_METRIC(FEATURE));
	for (enum feature f = FG_NONE + 1; f < FG_COUNT; f++)
		buf_printf(b, "%s{name=\"%s\",stage=\"%s\"} %d\n", API_METRIC(FEATURE)->name, feature_all[f].name,
			   stages[feature_all[f].stage], feature_on(f));
}

/* Of the page as it is, so that what it says of itself is true; itself included. */
static void about_page(struct apiserver *s, struct buf *b)
{
	size_t by_stage[_METRIC_STABILITY_MAX] = { 0 }, n, off;
	const char *p = buf_cstr(b);

	for (; (p = strstr(p, "# HELP ")); p++) {
		const char *mark = strchr(p + 7, ' ');

		for (enum metric_stability k = 0; mark && k < _METRIC_STABILITY_MAX; k++)
			if (mark[1] == '[' && sv_starts(sv_from(mark + 2), sv_from(metric_stability_name(k))))
				by_stage[k]++;
	}
	by_stage[METRIC_BETA] += 3;
	metric_head(b, API_METRIC(METRICS_REGISTERED));
	for (enum metric_stability k = 0; k < _METRIC_STABILITY_MAX; k++)
		buf_printf(b, "%s{deprecated_version=\"\",stability_level=\"%s\"} %zu\n",
			   API_METRIC(METRICS_REGISTERED)->name, metric_stability_name(k), by_stage[k]);
	metric_head(b, API_METRIC(METRICS_HIDDEN));
	metric_sample(b, API_METRIC(METRICS_HIDDEN), "", 0);
	metric_page_finish(b, s->o.metric_rules, &n, &off);
	metric_head(b, API_METRIC(METRICS_DISABLED));
	metric_sample(b, API_METRIC(METRICS_DISABLED), "", (double)off);
	metric_page_finish(b, s->o.metric_rules, &n, &off);
}

static void inflight_metrics(struct apiserver *s, struct buf *b)
{
	metric_head(b, API_METRIC(INFLIGHT));
	metric_sample(b, API_METRIC(INFLIGHT), "request_kind=\"mutating\"",
		      (double)atomic_load(&s->metrics->inflight[1]));
	metric_sample(b, API_METRIC(INFLIGHT), "request_kind=\"readOnly\"",
		      (double)atomic_load(&s->metrics->inflight[0]));
}

static void own_metrics(struct apiserver *s, struct buf *b)
{
	struct store_stats st = { 0 };

	buf_printf(
	    b,
	    "# HELP caravel_http_calmed_connections_total HTTP/2 connections ended for too much of what no client "
	    "needs.\n# TYPE caravel_http_calmed_connections_total counter\n"
	    "caravel_http_calmed_connections_total %" PRIu64 "\n",
	    atomic_load(&s->metrics->calmed));
	buf_printf(b,
		   "# HELP caravel_answers_held_bytes Memory of answers that were made for one request and are not "
		   "taken yet.\n"
		   "# TYPE caravel_answers_held_bytes gauge\ncaravel_answers_held_bytes %zu\n",
		   held_bytes(s));
	s->store->ops->stats(s->store, &st);
	buf_printf(b,
		   "# HELP apiserver_storage_size_bytes [ALPHA] Size of the storage database file physically allocated "
		   "in bytes.\n"
		   "# TYPE apiserver_storage_size_bytes gauge\napiserver_storage_size_bytes %" PRIu64 "\n",
		   st.bytes);
	held_threads(b);
	process(s, b);
}

void metrics_answer(struct api_req *q, struct buf *b)
{
	size_t n = b->n;
	char *text = buf_detach(b);

	q->sink->bytes(q, 200, METRICS_TYPE,
		       &(struct http_chunk){ .data = sv_make(text, n), .release = free, .owner = text }, 1);
}

void metrics_serve(struct api_req *q)
{
	struct apiserver *s = q->server;
	struct buf b = BUF_INIT;

	build_info(s);
	metric_set_write(s->counted, &b);
	request_metrics(s, &b);
	inflight_metrics(s, &b);
	admission_metrics(s, &b);
	features(&b);
	flow_metrics(s, &b);
	hook_metrics(s, &b);
	aggregator_metrics(s, &b);
	audit_metrics(s, &b);
	encryption_metrics(s->o.encryption, &b);
	sa_signer_metrics(s->authz ? s->authz->signer : NULL, &b);
	if (s->authz)
		buf_printf(
		    &b,
		    "# HELP serviceaccount_stale_tokens_total Uses of tokens that should have been replaced.\n"
		    "# TYPE serviceaccount_stale_tokens_total counter\nserviceaccount_stale_tokens_total %" PRIu64 "\n",
		    (uint64_t)s->authz->accounts->stale);
	wc_metrics(s->wc, &b);
	wc_slow_metrics(s->wc, &b);
	set_aside_metrics(s, &b);
	own_metrics(s, &b);
	workq_metrics(&b);
	if (s->o.more_metrics)
		s->o.more_metrics(s->o.more_ctx, &b);
	about_page(s, &b);
	metrics_answer(q, &b);
}

void resource_metrics_serve(struct api_req *q)
{
	struct buf b = BUF_INIT;
	size_t n, off;

	q->server->o.resource_metrics(q->server->o.more_ctx, &b);
	metric_page_finish(&b, q->server->o.metric_rules, &n, &off);
	metrics_answer(q, &b);
}
