/* Series are found by their labels as they are printed, so that a page is nothing but printing. */
#include "base/metric.h"

#include "base/strmap.h"

#include <pthread.h>
#include <stdlib.h>

struct metric_series {
	double v; /* of a counter or gauge; a histogram's sum */
	uint64_t in[];
};

struct metric_set {
	const struct metric_family *families;
	size_t n;
	pthread_mutex_t lock;
	struct strmap *series; /* one for each family; NULL until something is counted */
};

const char *metric_type_name(enum metric_type t)
{
	static const char *const names[_METRIC_TYPE_MAX] = { "counter", "gauge", "histogram" };

	return names[t];
}

const char *metric_stability_name(enum metric_stability s)
{
	static const char *const names[_METRIC_STABILITY_MAX] = { "ALPHA", "BETA", "STABLE" };

	return names[s];
}

size_t metric_n_labels(const struct metric_family *f)
{
	size_t n = 0;

	while (n < METRIC_LABELS_MAX && f->labels[n])
		n++;
	return n;
}

/* --- text --- */

void metric_label(struct buf *b, const char *name, struct sv value)
{
	buf_printf(b, "%s%s=\"", b->n ? "," : "", name);
	for (size_t i = 0; i < value.n; i++) {
		if (value.p[i] == '\n')
			buf_adds(b, "\\n");
		else if (value.p[i] == '"' || value.p[i] == '\\')
			buf_printf(b, "\\%c", value.p[i]);
		else
			buf_addc(b, value.p[i]);
	}
	buf_addc(b, '"');
}

void metric_head(struct buf *b, const struct metric_family *f)
{
	buf_printf(b, "# HELP %s [%s] %s\n# TYPE %s %s\n", f->name, metric_stability_name(f->stability), f->help,
		   f->name, metric_type_name(f->type));
}

static void metric_value(struct buf *b, double v)
{
	if (v > -1e15 && v < 1e15 && v == (double)(int64_t)v)
		buf_printf(b, "%.0f\n", v);
	else
		buf_printf(b, "%.9g\n", v);
}

static void metric_line(struct buf *b, const struct metric_family *f, const char *suffix, const char *labels)
{
	buf_printf(b, "%s%s", f->name, suffix);
	if (*labels)
		buf_printf(b, "{%s}", labels);
	buf_addc(b, ' ');
}

void metric_sample(struct buf *b, const struct metric_family *f, const char *labels, double v)
{
	metric_line(b, f, "", labels);
	metric_value(b, v);
}

void metric_histogram(struct buf *b, const struct metric_family *f, const char *labels, const uint64_t *in, double sum)
{
	const char *comma = *labels ? "," : "";
	uint64_t below = 0;

	for (size_t i = 0; i < f->n_bounds; i++) {
		below += in[i];
		buf_printf(b, "%s_bucket{%s%sle=\"%g\"} %" PRIu64 "\n", f->name, labels, comma, f->bounds[i], below);
	}
	below += in[f->n_bounds];
	buf_printf(b, "%s_bucket{%s%sle=\"+Inf\"} %" PRIu64 "\n", f->name, labels, comma, below);
	metric_line(b, f, "_sum", labels);
	metric_value(b, sum);
	metric_line(b, f, "_count", labels);
	buf_printf(b, "%" PRIu64 "\n", below);
}

/* --- counting --- */

struct metric_set *metric_set_new(const struct metric_family *families, size_t n)
{
	struct metric_set *s = xcalloc(1, sizeof(*s));

	s->families = families;
	s->n = n;
	pthread_mutex_init(&s->lock, NULL);
	return s;
}

struct metric_set *metric_set_free(struct metric_set *s)
{
	if (!s)
		return NULL;
	for (size_t i = 0; s->series && i < s->n; i++)
		strmap_release_with(&s->series[i], free);
	free(s->series);
	pthread_mutex_destroy(&s->lock);
	free(s);
	return NULL;
}

/* Under lock. NULL: there are too many, or make is false and it is not there. */
static struct metric_series *metric_find(struct metric_set *s, const struct metric_family *f, const struct sv *values,
					 bool make)
{
	size_t at = (size_t)(f - s->families), n = metric_n_labels(f);
	_cleanup_(buf_release) struct buf key = BUF_INIT;
	struct strmap *m;
	void **slot;

	for (size_t i = 0; i < n; i++)
		metric_label(&key, f->labels[i], values[i]);
	if (!s->series) {
		if (!make)
			return NULL;
		s->series = xcalloc(s->n, sizeof(*s->series));
	}
	m = &s->series[at];
	if (!make || (m->n >= METRIC_SERIES_MAX && !strmap_has(m, buf_sv(&key))))
		return strmap_get(m, buf_sv(&key));
	slot = strmap_slot(m, buf_sv(&key));
	if (!*slot)
		*slot = xcalloc(1, sizeof(struct metric_series) +
				       (f->type == METRIC_HISTOGRAM ? f->n_bounds + 1u : 0u) * sizeof(uint64_t));
	return *slot;
}

void metric_add(struct metric_set *s, const struct metric_family *f, const struct sv *values, uint64_t n)
{
	struct metric_series *e;

	if (!s)
		return;
	pthread_mutex_lock(&s->lock);
	e = metric_find(s, f, values, true);
	if (e)
		e->v += (double)n;
	pthread_mutex_unlock(&s->lock);
}

void metric_gauge(struct metric_set *s, const struct metric_family *f, const struct sv *values, double v)
{
	struct metric_series *e;

	if (!s)
		return;
	pthread_mutex_lock(&s->lock);
	e = metric_find(s, f, values, true);
	if (e)
		e->v = v;
	pthread_mutex_unlock(&s->lock);
}

void metric_observe(struct metric_set *s, const struct metric_family *f, const struct sv *values, double v)
{
	struct metric_series *e;
	size_t k = 0;

	if (!s)
		return;
	while (k < f->n_bounds && v > f->bounds[k])
		k++;
	pthread_mutex_lock(&s->lock);
	e = metric_find(s, f, values, true);
	if (e) {
		e->in[k]++;
		e->v += v;
	}
	pthread_mutex_unlock(&s->lock);
}

uint64_t metric_count(struct metric_set *s, const struct metric_family *f, const struct sv *values)
{
	const struct metric_series *e;
	uint64_t n = 0;

	pthread_mutex_lock(&s->lock);
	e = metric_find(s, f, values, false);
	for (size_t i = 0; e && f->type == METRIC_HISTOGRAM && i <= f->n_bounds; i++)
		n += e->in[i];
	if (e && f->type != METRIC_HISTOGRAM)
		n = (uint64_t)e->v;
	pthread_mutex_unlock(&s->lock);
	return n;
}

/* --- cells --- */

struct metric_cell *metric_cell_new(const struct metric_family *f)
{
	return xcalloc(1, sizeof(struct metric_cell) + (f->n_bounds + 1u) * sizeof(uint64_t));
}

struct metric_cell *metric_cell_at(_Atomic(struct metric_cell *) *slot, const struct metric_family *f)
{
	struct metric_cell *c = atomic_load_explicit(slot, memory_order_acquire), *none = NULL;

	if (c)
		return c;
	c = metric_cell_new(f);
	if (atomic_compare_exchange_strong(slot, &none, c))
		return c;
	free(c);
	return none;
}

static void metric_cell_add(struct metric_cell *c, const struct metric_family *f, double v, uint64_t sum)
{
	size_t k = 0;

	while (k < f->n_bounds && v > f->bounds[k])
		k++;
	atomic_fetch_add_explicit(&c->in[k], 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&c->sum_ns, sum, memory_order_relaxed);
}

void metric_cell_observe(struct metric_cell *c, const struct metric_family *f, int64_t ns)
{
	metric_cell_add(c, f, (double)ns / 1e9, ns > 0 ? (uint64_t)ns : 0);
}

void metric_cell_observe_size(struct metric_cell *c, const struct metric_family *f, uint64_t size)
{
	metric_cell_add(c, f, (double)size, size);
}

void metric_cell_write(struct buf *b, const struct metric_family *f, const char *labels, const struct metric_cell *c,
		       bool sizes)
{
	uint64_t in[UINT8_MAX + 1];
	double sum = (double)atomic_load_explicit(&c->sum_ns, memory_order_relaxed);

	for (size_t i = 0; i <= f->n_bounds; i++)
		in[i] = atomic_load_explicit(&c->in[i], memory_order_relaxed);
	metric_histogram(b, f, labels, in, sizes ? sum : sum / 1e9);
}

/* --- a page --- */

static void metric_write_one(const struct metric_family *f, const char *labels, const struct metric_series *e,
			     struct buf *b)
{
	static const uint64_t none[UINT8_MAX + 1];

	if (f->type == METRIC_HISTOGRAM)
		metric_histogram(b, f, labels, e ? e->in : none, e ? e->v : 0);
	else
		metric_sample(b, f, labels, e ? e->v : 0);
}

void metric_set_write(struct metric_set *s, struct buf *b)
{
	if (!s)
		return;
	pthread_mutex_lock(&s->lock);
	for (size_t i = 0; i < s->n; i++) {
		const struct metric_family *f = &s->families[i];
		bool some = s->series && s->series[i].n;

		if (!some && metric_n_labels(f))
			continue;
		metric_head(b, f);
		if (!some)
			metric_write_one(f, "", NULL, b);
		else
			STRMAP_EACH(&s->series[i], e)
				metric_write_one(f, e->key, e->value, b);
	}
	pthread_mutex_unlock(&s->lock);
}
