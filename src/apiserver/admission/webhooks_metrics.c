/* What webhooks cost and how they end, under upstream's names. There is nothing until one is called. */
#include "apiserver/admission/webhooks.h"
#include "apiserver/metrics.h"
#include "base/strmap.h"

#include <stdlib.h>

#define ROWS_MAX 2000 /* of names that somebody configures; beyond them none is added */

/* Upper bounds of the durations, in ms: upstream's. */
static const int hook_bounds_ms[] = { 5, 25, 100, 500, 1000, 2500, 10000, 25000 };
#define HOOK_BUCKETS (ARRAY_LEN(hook_bounds_ms) + 1)

struct hook_row {
	uint64_t buckets[HOOK_BUCKETS], calls;
	int64_t sum_ns;
};

struct hook_counts {
	pthread_mutex_t lock;
	struct strmap durations; /* by labels: struct hook_row, owned */
	struct strmap requests, rejections, open;
};

static struct hook_counts *counts_of(struct apiserver *s)
{
	struct hook_counts *c = atomic_load(&s->hook_counts), *none = NULL;

	if (c)
		return c;
	c = xcalloc(1, sizeof(*c));
	pthread_mutex_init(&c->lock, NULL);
	if (atomic_compare_exchange_strong(&s->hook_counts, &none, c))
		return c;
	pthread_mutex_destroy(&c->lock);
	free(c);
	return none;
}

struct hook_counts *hook_counts_free(struct hook_counts *c)
{
	if (!c)
		return NULL;
	strmap_release_with(&c->durations, free);
	strmap_release_with(&c->requests, free);
	strmap_release_with(&c->rejections, free);
	strmap_release_with(&c->open, free);
	pthread_mutex_destroy(&c->lock);
	free(c);
	return NULL;
}

/* The row of these labels, under lock; NULL: there are too many. */
static struct hook_row *hook_row(struct strmap *m, const char *labels)
{
	void **slot;

	if (m->n >= ROWS_MAX && !strmap_has(m, sv_from(labels)))
		return NULL;
	slot = strmap_slot(m, sv_from(labels));
	if (!*slot)
		*slot = xcalloc(1, sizeof(struct hook_row));
	return *slot;
}

static void hook_row_add(struct strmap *m, const char *labels)
{
	struct hook_row *r = hook_row(m, labels);

	if (r)
		r->calls++;
}

static const char *hook_type(bool mutating)
{
	return mutating ? "admit" : "validating";
}

void hook_count(struct apiserver *s, const struct hook *h, bool mutating, struct sv operation, int code, bool refused,
		int64_t took_ns)
{
	struct hook_counts *c = counts_of(s);
	_cleanup_free_ char *labels =
	    xasprintf("name=\"%.*s\",operation=\"%.*s\",rejected=\"%s\",type=\"%s\"", SV_ARG(h->name),
		      SV_ARG(operation), refused ? "true" : "false", hook_type(mutating));
	_cleanup_free_ char *coded =
	    xasprintf("code=\"%d\",name=\"%.*s\",operation=\"%.*s\",rejected=\"%s\",type=\"%s\"", MIN(code, 600),
		      SV_ARG(h->name), SV_ARG(operation), refused ? "true" : "false", hook_type(mutating));
	struct hook_row *r;
	size_t k = 0;

	pthread_mutex_lock(&c->lock);
	hook_row_add(&c->requests, coded);
	r = hook_row(&c->durations, labels);
	if (r) {
		while (k < ARRAY_LEN(hook_bounds_ms) && took_ns > hook_bounds_ms[k] * NS_PER_MS)
			k++;
		r->buckets[k]++;
		r->calls++;
		r->sum_ns += took_ns;
	}
	pthread_mutex_unlock(&c->lock);
}

void hook_count_refused(struct apiserver *s, const struct hook *h, bool mutating, struct sv operation, const char *why,
			int code)
{
	struct hook_counts *c = counts_of(s);
	_cleanup_free_ char *labels =
	    xasprintf("error_type=\"%s\",name=\"%.*s\",operation=\"%.*s\",rejection_code=\"%d\",type=\"%s\"", why,
		      SV_ARG(h->name), SV_ARG(operation), MIN(code, 600), hook_type(mutating));

	pthread_mutex_lock(&c->lock);
	hook_row_add(&c->rejections, labels);
	pthread_mutex_unlock(&c->lock);
}

void hook_count_open(struct apiserver *s, const struct hook *h, bool mutating)
{
	struct hook_counts *c = counts_of(s);
	_cleanup_free_ char *labels = xasprintf("name=\"%.*s\",type=\"%s\"", SV_ARG(h->name), hook_type(mutating));

	pthread_mutex_lock(&c->lock);
	hook_row_add(&c->open, labels);
	pthread_mutex_unlock(&c->lock);
}

static void hook_counter(struct buf *b, const struct strmap *m, const char *name, const char *help)
{
	if (m->n)
		buf_printf(b, "# HELP %s [ALPHA] %s\n# TYPE %s counter\n", name, help, name);
	STRMAP_EACH(m, e)
		buf_printf(b, "%s{%s} %" PRIu64 "\n", name, e->key, ((const struct hook_row *)e->value)->calls);
}

void hook_metrics(struct apiserver *s, struct buf *b)
{
	static const char name[] = "apiserver_admission_webhook_admission_duration_seconds";
	struct hook_counts *c = atomic_load(&s->hook_counts);

	if (!c)
		return;
	pthread_mutex_lock(&c->lock);
	if (c->durations.n)
		metric_head(b, API_METRIC(ADMISSION_WEBHOOK));
	STRMAP_EACH(&c->durations, e) {
		const struct hook_row *r = e->value;
		uint64_t sum = 0;

		for (size_t k = 0; k < ARRAY_LEN(hook_bounds_ms); k++) {
			sum += r->buckets[k];
			buf_printf(b, "%s_bucket{%s,le=\"%g\"} %" PRIu64 "\n", name, e->key, hook_bounds_ms[k] / 1000.0,
				   sum);
		}
		buf_printf(b, "%s_bucket{%s,le=\"+Inf\"} %" PRIu64 "\n%s_sum{%s} %g\n%s_count{%s} %" PRIu64 "\n", name,
			   e->key, r->calls, name, e->key, (double)r->sum_ns / NS_PER_SEC, name, e->key, r->calls);
	}
	hook_counter(b, &c->requests, "apiserver_admission_webhook_request_total", "Calls of admission webhooks.");
	hook_counter(b, &c->rejections, "apiserver_admission_webhook_rejection_count",
		     "Requests that admission webhooks refused, or their failures.");
	hook_counter(b, &c->open, "apiserver_admission_webhook_fail_open_count",
		     "Failures of admission webhooks that were passed over.");
	pthread_mutex_unlock(&c->lock);
}
