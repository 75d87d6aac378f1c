/* How often rules of ValidatingAdmissionPolicies were asked, what came of it and how long it took, under upstream's
 * names. There is nothing until one is asked. What a run that has to wait has found is not counted: it is asked again.
 */
#include "apiserver/admission/policy/policy.h"
#include "base/strmap.h"

#include <stdlib.h>

#define POLICY_ROWS_MAX 2000 /* of names that somebody configures; beyond them none is added */

/* Upper bounds of the durations, in ns: upstream's. */
static const int64_t policy_bounds_ns[] = { 500, NS_PER_MS, 10 * NS_PER_MS, 100 * NS_PER_MS, NS_PER_SEC };
#define POLICY_BUCKETS (ARRAY_LEN(policy_bounds_ns) + 1)

struct policy_row {
	uint64_t buckets[POLICY_BUCKETS], checks;
	int64_t sum_ns;
};

struct policy_counts {
	pthread_mutex_t lock;
	struct strmap rows; /* by labels: struct policy_row, owned */
};

static struct policy_counts *policy_counts_of(struct apiserver *s)
{
	struct policy_counts *c = atomic_load(&s->policy_counts), *none = NULL;

	if (c)
		return c;
	c = xcalloc(1, sizeof(*c));
	pthread_mutex_init(&c->lock, NULL);
	if (atomic_compare_exchange_strong(&s->policy_counts, &none, c))
		return c;
	return policy_counts_free(c), none;
}

struct policy_counts *policy_counts_free(struct policy_counts *c)
{
	if (!c)
		return NULL;
	strmap_release_with(&c->rows, free);
	pthread_mutex_destroy(&c->lock);
	free(c);
	return NULL;
}

void policy_check_count(struct apiserver *s, const struct policy_check *k)
{
	struct policy_counts *c = policy_counts_of(s);
	_cleanup_free_ char *labels =
	    xasprintf("enforcement_action=\"%s\",error_type=\"%s\",policy=\"%.*s\",policy_binding=\"%.*s\"", k->action,
		      k->error, SV_ARG(k->policy), SV_ARG(k->binding));
	void **slot = NULL;
	size_t i = 0;

	pthread_mutex_lock(&c->lock);
	if (c->rows.n < POLICY_ROWS_MAX || strmap_has(&c->rows, sv_from(labels)))
		slot = strmap_slot(&c->rows, sv_from(labels));
	if (slot) {
		struct policy_row *r = *slot ? *slot : (*slot = xcalloc(1, sizeof(*r)));

		while (i < ARRAY_LEN(policy_bounds_ns) && k->took_ns > policy_bounds_ns[i])
			i++;
		r->buckets[i]++;
		r->checks++;
		r->sum_ns += k->took_ns;
	}
	pthread_mutex_unlock(&c->lock);
}

void policy_metrics(struct apiserver *s, struct buf *b)
{
	static const char total[] = "apiserver_validating_admission_policy_check_total",
			  took[] = "apiserver_validating_admission_policy_check_duration_seconds";
	struct policy_counts *c = atomic_load(&s->policy_counts);

	if (!c)
		return;
	pthread_mutex_lock(&c->lock);
	buf_printf(b, "# HELP %s Rules of admission policies that were asked.\n# TYPE %s counter\n", total, total);
	STRMAP_EACH(&c->rows, e)
		buf_printf(b, "%s{%s} %" PRIu64 "\n", total, e->key, ((const struct policy_row *)e->value)->checks);
	buf_printf(b, "# HELP %s How long rules of admission policies took.\n# TYPE %s histogram\n", took, took);
	STRMAP_EACH(&c->rows, e) {
		const struct policy_row *r = e->value;
		uint64_t sum = 0;

		for (size_t i = 0; i < ARRAY_LEN(policy_bounds_ns); i++) {
			sum += r->buckets[i];
			buf_printf(b, "%s_bucket{%s,le=\"%g\"} %" PRIu64 "\n", took, e->key,
				   (double)policy_bounds_ns[i] / NS_PER_SEC, sum);
		}
		buf_printf(b, "%s_bucket{%s,le=\"+Inf\"} %" PRIu64 "\n%s_sum{%s} %g\n%s_count{%s} %" PRIu64 "\n", took,
			   e->key, r->checks, took, e->key, (double)r->sum_ns / NS_PER_SEC, took, e->key, r->checks);
	}
	pthread_mutex_unlock(&c->lock);
}
