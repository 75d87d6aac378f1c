/* What is counted, by upstream's names. */
#include "apiserver/flow/flow-internal.h"
#include "base/vec.h"

static const char *const refusals[_FLOW_REFUSAL_MAX] = { "queue-full", "concurrency-limit", "time-out", "cancelled" };

/* A moment of one schema at its level, taken under the locks. */
struct metrics_row {
	struct flow_numbers n;
	const char *schema;
	const struct flow_level *level;
	uint64_t begun, ended;
};

struct metrics_level {
	const char *name;
	unsigned nominal, limit;
};

static void flow_head(struct buf *b, const char *name, const char *type, const char *help)
{
	buf_printf(b, "# HELP apiserver_flowcontrol_%s %s\n# TYPE apiserver_flowcontrol_%s %s\n", name, help, name,
		   type);
}

static void flow_labels(struct buf *b, const struct metrics_row *r)
{
	buf_printf(b, "flow_schema=\"%s\",priority_level=\"%s\"", r->schema, r->level->name);
}

static uint64_t row_value(const struct metrics_row *r, int which)
{
	switch (which) {
	case 0:
		return r->level->exempt ? r->begun - r->ended : r->n.executing;
	case 1:
		return r->level->exempt ? r->begun - r->ended : r->n.seats;
	case 2:
		return r->n.waiting;
	default:
		return r->level->exempt ? r->begun : r->n.dispatched;
	}
}

static void metrics_simple(struct buf *b, const struct metrics_row *rows, size_t n)
{
	static const struct {
		const char *name, *type, *help;
	} kinds[] = {
		{ "current_executing_requests", "gauge", "Requests that are served." },
		{ "current_executing_seats", "gauge", "Seats that these have." },
		{ "current_inqueue_requests", "gauge", "Requests that wait for a seat." },
		{ "dispatched_requests_total", "counter", "Requests that were let in." },
	};

	for (size_t k = 0; k < ARRAY_LEN(kinds); k++) {
		flow_head(b, kinds[k].name, kinds[k].type, kinds[k].help);
		for (size_t i = 0; i < n; i++) {
			buf_printf(b, "apiserver_flowcontrol_%s{", kinds[k].name);
			flow_labels(b, &rows[i]);
			buf_printf(b, "} %" PRIu64 "\n", row_value(&rows[i], (int)k));
		}
	}
}

static void metrics_rejected(struct buf *b, const struct metrics_row *rows, size_t n)
{
	flow_head(b, "rejected_requests_total", "counter", "Requests that were not let in, by why.");
	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; k < _FLOW_REFUSAL_MAX; k++)
			if (rows[i].n.rejected[k]) {
				buf_adds(b, "apiserver_flowcontrol_rejected_requests_total{");
				flow_labels(b, &rows[i]);
				buf_printf(b, ",reason=\"%s\"} %" PRIu64 "\n", refusals[k], rows[i].n.rejected[k]);
			}
}

static void metrics_waits_of(struct buf *b, const struct metrics_row *r, int served)
{
	uint64_t waited = 0, total;

	for (size_t i = 0; i <= FLOW_BUCKETS; i++)
		waited += r->n.waits[served][i];
	/* Who was let in at once has waited, too: for nothing. */
	total = served ? r->n.dispatched - waited : 0;
	if (total + waited == 0)
		return;
	for (size_t i = 0; i <= FLOW_BUCKETS; i++) {
		total += r->n.waits[served][i];
		buf_adds(b, "apiserver_flowcontrol_request_wait_duration_seconds_bucket{");
		flow_labels(b, r);
		if (i < FLOW_BUCKETS)
			buf_printf(b, ",execute=\"%s\",le=\"%g\"} %" PRIu64 "\n", served ? "true" : "false",
				   flow_bounds[i], total);
		else
			buf_printf(b, ",execute=\"%s\",le=\"+Inf\"} %" PRIu64 "\n", served ? "true" : "false", total);
	}
	buf_adds(b, "apiserver_flowcontrol_request_wait_duration_seconds_sum{");
	flow_labels(b, r);
	buf_printf(b, ",execute=\"%s\"} %g\napiserver_flowcontrol_request_wait_duration_seconds_count{",
		   served ? "true" : "false", (double)r->n.waited_ns[served] / NS_PER_SEC);
	flow_labels(b, r);
	buf_printf(b, ",execute=\"%s\"} %" PRIu64 "\n", served ? "true" : "false", total);
}

static void metrics_levels(struct buf *b, const struct metrics_level *levels, size_t n)
{
	flow_head(b, "nominal_limit_seats", "gauge", "A level's share of the seats.");
	for (size_t i = 0; i < n; i++)
		buf_printf(b, "apiserver_flowcontrol_nominal_limit_seats{priority_level=\"%s\"} %u\n", levels[i].name,
			   levels[i].nominal);
	flow_head(b, "current_limit_seats", "gauge", "The same with what is lent and borrowed.");
	for (size_t i = 0; i < n; i++)
		buf_printf(b, "apiserver_flowcontrol_current_limit_seats{priority_level=\"%s\"} %u\n", levels[i].name,
			   levels[i].limit);
}

/* flow.lock held. Each lock is held for a copy. */
static struct metrics_row row_take(struct flow_counts *n)
{
	struct metrics_row r = { .schema = n->schema, .level = n->level };

	lock_mutex(&n->level->lock, &flow_lock);
	r.n = n->n;
	pthread_mutex_unlock(&n->level->lock);
	/* In this order: those that end meanwhile have begun. */
	r.ended = atomic_load(&n->ended);
	r.begun = atomic_load(&n->begun);
	return r;
}

void flow_metrics(struct apiserver *s, struct buf *b)
{
	VEC(struct metrics_row) rows = VEC_INIT;
	VEC(struct metrics_level) levels = VEC_INIT;
	struct flow *f = s->flow;

	/* Held until all is written, for the names. */
	lock_mutex(&f->lock, &flow_lock);
	STRMAP_EACH(&f->counts, e)
		vec_push(&rows, row_take(e->value));
	STRMAP_EACH(&f->levels, e) {
		struct flow_level *l = e->value;

		lock_mutex(&l->lock, &flow_lock);
		vec_push(&levels, ((struct metrics_level){ l->name, l->nominal, l->exempt ? l->nominal : l->limit }));
		pthread_mutex_unlock(&l->lock);
	}
	metrics_simple(b, rows.p, rows.n);
	metrics_rejected(b, rows.p, rows.n);
	flow_head(b, "request_wait_duration_seconds", "histogram", "How long requests waited for a seat.");
	for (size_t i = 0; i < rows.n; i++)
		for (int served = 0; served < 2; served++)
			metrics_waits_of(b, &rows.p[i], served);
	metrics_levels(b, levels.p, levels.n);
	pthread_mutex_unlock(&f->lock);
	vec_release(&rows);
	vec_release(&levels);
}
