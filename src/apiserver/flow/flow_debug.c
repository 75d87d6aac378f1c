/* /debug/api_priority_and_fairness/dump_*: upstream's tables for people, who know their columns. */
#include "apiserver/debug.h"
#include "apiserver/flow/flow-internal.h"
#include "base/timefmt.h"

#include <stdarg.h>
#include <stdlib.h>

#define DUMP_QUEUES_MAX 4096
#define DUMP_REQUESTS_MAX 10000
#define PREFIX "/debug/api_priority_and_fairness/"
#define COLUMNS_MAX 17

/* Cells are as wide as the widest of their column, and no narrower than 8; "," ends all but the last. */
struct dump {
	struct arena a;
	size_t columns;
	struct sv *cells;
	size_t n, cap;
};

static void dump_cell(struct dump *d, const char *fmt, ...) _printf_(2, 3);
static void dump_cell(struct dump *d, const char *fmt, ...)
{
	va_list ap;

	if (d->n == d->cap) {
		size_t cap = d->cap ? 2 * d->cap : 256;
		struct sv *more = ARENA_ARRAY(&d->a, struct sv, cap);

		if (d->n)
			memcpy(more, d->cells, d->n * sizeof(*more));
		d->cells = more;
		d->cap = cap;
	}
	va_start(ap, fmt);
	d->cells[d->n++] = sv_from(arena_vprintf(&d->a, fmt, ap));
	va_end(ap);
}

static void dump_heads(struct dump *d, const char *const *heads, size_t n)
{
	d->columns += n;
	for (size_t i = 0; i < n; i++)
		dump_cell(d, "%s", heads[i]);
}

static void dump_write(const struct dump *d, struct buf *b)
{
	size_t width[COLUMNS_MAX] = { 0 };

	for (size_t i = 0; i < d->n; i++)
		width[i % d->columns] = MAX(width[i % d->columns], MAX(d->cells[i].n + 2, (size_t)8));
	for (size_t i = 0; i < d->n; i++) {
		bool last = i % d->columns == d->columns - 1;

		buf_addsv(b, d->cells[i]);
		buf_addc(b, last ? '\n' : ',');
		for (size_t k = d->cells[i].n + 1; !last && k < width[i % d->columns]; k++)
			buf_addc(b, ' ');
	}
}

static void dump_none(struct dump *d, const char *name)
{
	dump_cell(d, "%s", name);
	for (size_t i = 1; i < d->columns; i++)
		dump_cell(d, "<none>");
}

static void dump_level(struct dump *d, struct flow_level *l, bool details)
{
	(void)details;
	if (l->exempt) {
		dump_none(d, l->name);
		return;
	}
	dump_cell(d, "%s", l->name);
	dump_cell(d, "%zu", l->active.n);
	dump_cell(d, "%s", l->executing || l->waiting ? "false" : "true");
	dump_cell(d, "%s", l->removed ? "true" : "false");
	dump_cell(d, "%zu", l->waiting);
	dump_cell(d, "%zu", l->executing);
}

static void dump_seconds(struct dump *d, double s)
{
	dump_cell(d, "%.8fss", MAX(s, 0.0));
}

static void dump_queues(struct dump *d, struct flow_level *l, bool details)
{
	(void)details;
	if (l->exempt) {
		dump_none(d, l->name);
		return;
	}
	for (uint32_t i = 0; i < l->q.queues && i < DUMP_QUEUES_MAX; i++) {
		static const struct flow_queue nobody;
		const struct flow_queue *u = strmap_get(&l->queues, sv_make((const char *)&i, sizeof(i)));

		if (!u)
			u = &nobody;
		dump_cell(d, "%s", l->name);
		dump_cell(d, "%u", i);
		dump_cell(d, "%zu", u->n);
		dump_cell(d, "%u", u->executing);
		dump_cell(d, "%u", u->seats_in_use);
		dump_seconds(d, u == &nobody ? l->now : u->start);
		dump_cell(d, "%zu", u->seats);
		dump_cell(d, "%zu", u->seats);
		dump_seconds(d, 0.003 * (double)u->seats);
	}
}

/* Nothing is made in the arena of somebody else's request. */
static void dump_verb(struct dump *d, const struct api_req *q)
{
	char *p;

	dump_cell(d, "%.*s", SV_ARG(q->resource_request ? sv_from(verb_name(q->verb)) : q->method));
	p = (char *)(uintptr_t)d->cells[d->n - 1].p;
	for (; !q->resource_request && *p; p++)
		if (*p >= 'A' && *p <= 'Z')
			*p = (char)(*p + ('a' - 'A'));
}

static void dump_request(struct dump *d, const struct flow_level *l, const struct flow_ticket *t, size_t at,
			 bool details)
{
	struct sv who = flow_distinguisher(t->schema, t->q);
	struct env *env = t->q->server->env;
	const struct api_req *q = t->q;
	char text[TIME_TEXT_MAX];

	dump_cell(d, "%s", l->name);
	dump_cell(d, "%.*s", SV_ARG(t->schema->name));
	dump_cell(d, "%u", t->queue->index);
	dump_cell(d, "%zu", at);
	dump_cell(d, "%.*s", SV_ARG(who));
	dump_cell(d, "%.*s", SV_ARG(time_format(env_now_ns(env) - (env_mono_ns(env) - t->arrived_ns), true, text)));
	dump_cell(d, "%u", t->seats);
	dump_cell(d, "0");
	dump_cell(d, "0s");
	if (!details)
		return;
	dump_cell(d, "%.*s", SV_ARG(q->user.name));
	dump_verb(d, q);
	dump_cell(d, "%.*s", SV_ARG(q->path));
	dump_cell(d, "%.*s", SV_ARG(q->ns));
	dump_cell(d, "%.*s", SV_ARG(q->name));
	dump_cell(d, "%.*s%s%.*s", SV_ARG(q->group), q->group.n ? "/" : "", SV_ARG(q->version));
	dump_cell(d, "%.*s", SV_ARG(q->plural));
	dump_cell(d, "%.*s", SV_ARG(q->subresource));
}

static void dump_requests(struct dump *d, struct flow_level *l, bool details)
{
	size_t n = 0;

	STRMAP_EACH(&l->queues, e) {
		struct flow_queue *u = e->value;
		size_t at = 0;

		LIST_EACH(&u->waiting, it) {
			if (n++ == DUMP_REQUESTS_MAX)
				return;
			dump_request(d, l, LIST_ENTRY(it, struct flow_ticket, link), at++, details);
		}
	}
}

static const char *const level_heads[] = { "PriorityLevelName", "ActiveQueues",	   "IsIdle",
					   "IsQuiescing",	"WaitingRequests", "ExecutingRequests" };
static const char *const queue_heads[] = { "PriorityLevelName", "Index",       "PendingRequests",
					   "ExecutingRequests", "SeatsInUse",  "NextDispatchR",
					   "InitialSeatsSum",	"MaxSeatsSum", "TotalWorkSum" };
static const char *const request_heads[] = { "PriorityLevelName",   "FlowSchemaName",  "QueueIndex",
					     "RequestIndexInQueue", "FlowDistingsher", "ArriveTime",
					     "InitialSeats",	    "FinalSeats",      "AdditionalLatency" };
static const char *const detail_heads[] = { "UserName", "Verb",	      "APIPath",  "Namespace",
					    "Name",	"APIVersion", "Resource", "SubResource" };

static const struct {
	const char *path;
	const char *const *heads;
	size_t n;
	void (*level)(struct dump *d, struct flow_level *l, bool details);
} dumps[] = {
	{ PREFIX "dump_priority_levels", level_heads, ARRAY_LEN(level_heads), dump_level },
	{ PREFIX "dump_queues", queue_heads, ARRAY_LEN(queue_heads), dump_queues },
	{ PREFIX "dump_requests", request_heads, ARRAY_LEN(request_heads), dump_requests },
};

static void dump_answer(struct api_req *q, size_t which)
{
	struct flow *f = q->server->flow;
	struct dump d = { 0 };
	struct buf b = BUF_INIT;
	struct http_chunk c;
	struct sv value = SV("");
	bool details =
	    dumps[which].level == dump_requests && api_req_param(q, "includeRequestDetails", &value) && value.n;
	size_t n;
	char *text;

	dump_heads(&d, dumps[which].heads, dumps[which].n);
	if (details)
		dump_heads(&d, detail_heads, ARRAY_LEN(detail_heads));
	lock_mutex(&f->lock, &flow_lock);
	STRMAP_EACH(&f->levels, e) {
		struct flow_level *l = e->value;

		lock_mutex(&l->lock, &flow_lock);
		dumps[which].level(&d, l, details);
		pthread_mutex_unlock(&l->lock);
	}
	pthread_mutex_unlock(&f->lock);
	dump_write(&d, &b);
	arena_release(&d.a);
	n = b.n;
	text = buf_detach(&b);
	c = (struct http_chunk){ .data = sv_make(text, n), .release = free, .owner = text };
	q->sink->bytes(q, 200, "text/plain; charset=utf-8", &c, 1);
}

bool flow_debug_serve(struct api_req *q)
{
	for (size_t i = 0; i < ARRAY_LEN(dumps) && !q->server->flow->off; i++)
		if (sv_is(q->path, dumps[i].path)) {
			dump_answer(q, i);
			return true;
		}
	return false;
}
