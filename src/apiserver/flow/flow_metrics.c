/* What is counted, by upstream's names. */
#include "apiserver/flow/flow-internal.h"
#include "apiserver/flow/flow_families.h"
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

#define BETA .stability = METRIC_BETA
#define OF_SCHEMA .labels = { "flow_schema", "priority_level" }

const struct metric_family flow_families[_FM_MAX] = {
	[FM_EXECUTING] = { "apiserver_flowcontrol_current_executing_requests", "Requests that are served.",
			   .type = METRIC_GAUGE, BETA, OF_SCHEMA },
	[FM_SEATS] = { "apiserver_flowcontrol_current_executing_seats", "Seats that these have.", .type = METRIC_GAUGE,
		       BETA, OF_SCHEMA },
	[FM_WAITING] = { "apiserver_flowcontrol_current_inqueue_requests", "Requests that wait for a seat.",
			 .type = METRIC_GAUGE, BETA, OF_SCHEMA },
	[FM_DISPATCHED] = { "apiserver_flowcontrol_dispatched_requests_total", "Requests that were let in.",
			    .type = METRIC_COUNTER, BETA, OF_SCHEMA },
	[FM_REJECTED] = { "apiserver_flowcontrol_rejected_requests_total", "Requests that were not let in, by why.",
			  .type = METRIC_COUNTER, BETA, .labels = { "flow_schema", "priority_level", "reason" } },
	[FM_WAITS] = { "apiserver_flowcontrol_request_wait_duration_seconds",
		       "How long requests waited for a seat, in seconds, by whether they got one.",
		       .type = METRIC_HISTOGRAM, METRIC_BOUNDS(flow_bounds), BETA,
		       .labels = { "execute", "flow_schema", "priority_level" } },
	[FM_NOMINAL] = { "apiserver_flowcontrol_nominal_limit_seats", "A level's share of the seats.",
			 .type = METRIC_GAUGE, BETA, .labels = { "priority_level" } },
	[FM_LIMIT] = { "apiserver_flowcontrol_current_limit_seats", "The same with what is lent and borrowed.",
		       .type = METRIC_GAUGE, .stability = METRIC_ALPHA, .labels = { "priority_level" } },
};

/* Labels of a sample, in the family's order; what is first or last, when the family has it. */
static const char *metrics_labels(struct buf *b, const char *execute, const struct metrics_row *r, const char *reason)
{
	buf_clear(b);
	if (execute)
		metric_label(b, "execute", sv_from(execute));
	metric_label(b, "flow_schema", sv_from(r->schema));
	metric_label(b, "priority_level", sv_from(r->level->name));
	if (reason)
		metric_label(b, "reason", sv_from(reason));
	return buf_cstr(b);
}

static uint64_t row_value(const struct metrics_row *r, enum flow_metric which)
{
	switch (which) {
	case FM_EXECUTING:
		return r->level->exempt ? r->begun - r->ended : r->n.executing;
	case FM_SEATS:
		return r->level->exempt ? r->begun - r->ended : r->n.seats;
	case FM_WAITING:
		return r->n.waiting;
	default:
		return r->level->exempt ? r->begun : r->n.dispatched;
	}
}

static void metrics_simple(struct buf *b, const struct metrics_row *rows, size_t n)
{
	_cleanup_(buf_release) struct buf labels = BUF_INIT;

	for (enum flow_metric k = FM_EXECUTING; k <= FM_DISPATCHED; k++) {
		metric_head(b, &flow_families[k]);
		for (size_t i = 0; i < n; i++)
			metric_sample(b, &flow_families[k], metrics_labels(&labels, NULL, &rows[i], NULL),
				      (double)row_value(&rows[i], k));
	}
}

static void metrics_rejected(struct buf *b, const struct metrics_row *rows, size_t n)
{
	_cleanup_(buf_release) struct buf labels = BUF_INIT;

	metric_head(b, &flow_families[FM_REJECTED]);
	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; k < _FLOW_REFUSAL_MAX; k++)
			if (rows[i].n.rejected[k])
				metric_sample(b, &flow_families[FM_REJECTED],
					      metrics_labels(&labels, NULL, &rows[i], refusals[k]),
					      (double)rows[i].n.rejected[k]);
}

static void metrics_waits_of(struct buf *b, const struct metrics_row *r, int served)
{
	_cleanup_(buf_release) struct buf labels = BUF_INIT;
	uint64_t in[FLOW_BUCKETS + 1], waited = 0;

	memcpy(in, r->n.waits[served], sizeof(in));
	for (size_t i = 0; i <= FLOW_BUCKETS; i++)
		waited += in[i];
	/* Who was let in at once has waited, too: for nothing. */
	if (served)
		in[0] += r->n.dispatched - waited;
	if (waited || (served && r->n.dispatched))
		metric_histogram(b, &flow_families[FM_WAITS],
				 metrics_labels(&labels, served ? "true" : "false", r, NULL), in,
				 (double)r->n.waited_ns[served] / NS_PER_SEC);
}

static void metrics_levels(struct buf *b, const struct metrics_level *levels, size_t n)
{
	_cleanup_(buf_release) struct buf labels = BUF_INIT;

	for (enum flow_metric k = FM_NOMINAL; k <= FM_LIMIT; k++) {
		metric_head(b, &flow_families[k]);
		for (size_t i = 0; i < n; i++) {
			buf_clear(&labels);
			metric_label(&labels, "priority_level", sv_from(levels[i].name));
			metric_sample(b, &flow_families[k], buf_cstr(&labels),
				      k == FM_NOMINAL ? levels[i].nominal : levels[i].limit);
		}
	}
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

	if (f->off)
		return;
	/* Held until all is written, for the names. */
	lock_mutex(&f->lock, &flow_lock);
	STRMAP_EACH(&f->levels, e) {
		struct flow_level *l = e->value;

		STRMAP_EACH(&l->counts, n)
			vec_push(&rows, row_take(n->value));
		lock_mutex(&l->lock, &flow_lock);
		vec_push(&levels, ((struct metrics_level){ l->name, l->nominal, l->exempt ? l->nominal : l->limit }));
		pthread_mutex_unlock(&l->lock);
	}
	metrics_simple(b, rows.p, rows.n);
	metrics_rejected(b, rows.p, rows.n);
	metric_head(b, &flow_families[FM_WAITS]);
	for (size_t i = 0; i < rows.n; i++)
		for (int served = 0; served < 2; served++)
			metrics_waits_of(b, &rows.p[i], served);
	metrics_levels(b, levels.p, levels.n);
	pthread_mutex_unlock(&f->lock);
	vec_release(&rows);
	vec_release(&levels);
}
