#include "proxy/metrics.h"

#include "base/env.h"

/* Upper bounds in milliseconds: 1, 2, 4 ... 16384. */
#define SYNC_BUCKETS 15

static size_t sync_bounds(uint64_t ret_ms[PROXY_BUCKETS_MAX])
{
	for (unsigned i = 0; i < SYNC_BUCKETS; i++)
		ret_ms[i] = UINT64_C(1) << i;
	return SYNC_BUCKETS;
}

/* Quarters to half a second, seconds to a minute, five seconds to two, thirty seconds to five. */
static size_t programming_bounds(uint64_t ret_ms[PROXY_BUCKETS_MAX])
{
	static const struct {
		unsigned from, step, n;
	} parts[] = { { 250, 250, 2 }, { 1000, 1000, 59 }, { 60000, 5000, 12 }, { 120000, 30000, 7 } };
	size_t n = 0;

	for (size_t p = 0; p < ARRAY_LEN(parts); p++)
		for (unsigned i = 0; i < parts[p].n; i++)
			ret_ms[n++] = parts[p].from + i * parts[p].step;
	return n;
}

static void histogram_add(struct proxy_histogram *h, const uint64_t *bounds_ms, size_t n, int64_t took_ns)
{
	uint64_t us = (uint64_t)MAX(took_ns, 0) / 1000;
	size_t i = 0;

	while (i < n && us > bounds_ms[i] * 1000)
		i++;
	atomic_fetch_add_explicit(&h->in[i], 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&h->sum_us, us, memory_order_relaxed);
}

void proxy_metrics_synced(struct proxy_metrics *m, int64_t took_ns)
{
	uint64_t bounds[PROXY_BUCKETS_MAX];
	size_t n = sync_bounds(bounds);

	histogram_add(&m->sync, bounds, n, took_ns);
}

void proxy_metrics_programmed(struct proxy_metrics *m, int64_t took_ns)
{
	uint64_t bounds[PROXY_BUCKETS_MAX];
	size_t n = programming_bounds(bounds);

	histogram_add(&m->programming, bounds, n, took_ns);
}

static void histogram_write(const struct proxy_histogram *h, const uint64_t *bounds_ms, size_t n, const char *name,
			    const char *help, struct buf *b)
{
	uint64_t below = 0;

	buf_printf(b, "# HELP %s %s\n# TYPE %s histogram\n", name, help, name);
	for (size_t i = 0; i < n; i++) {
		below += atomic_load_explicit(&h->in[i], memory_order_relaxed);
		buf_printf(b, "%s_bucket{le=\"%g\"} %" PRIu64 "\n", name, (double)bounds_ms[i] / 1000, below);
	}
	below += atomic_load_explicit(&h->in[n], memory_order_relaxed);
	buf_printf(b, "%s_bucket{le=\"+Inf\"} %" PRIu64 "\n%s_sum %.6f\n%s_count %" PRIu64 "\n", name, below, name,
		   (double)atomic_load_explicit(&h->sum_us, memory_order_relaxed) / 1e6, name, below);
}

void proxy_metrics_write(const struct proxy_metrics *m, struct buf *b)
{
	uint64_t bounds[PROXY_BUCKETS_MAX];
	size_t n = sync_bounds(bounds);

	histogram_write(&m->sync, bounds, n, "kubeproxy_sync_proxy_rules_duration_seconds",
			"How long writing the rules took, in seconds", b);
	n = programming_bounds(bounds);
	histogram_write(&m->programming, bounds, n, "kubeproxy_network_programming_duration_seconds",
			"From a change of endpoints until the rules of this node follow it, in seconds", b);
}
