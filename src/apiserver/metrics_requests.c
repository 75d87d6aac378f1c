/* Counters of requests: an array by resource and verb, in each place a list of what such requests differ by beside:
 * subresource, scope, dry run. A place is empty until something of it is asked for, so that an idle server holds none,
 * and lists are as short as there are subresources. A kind that came at run time takes its own along when it goes. */
#include "apiserver/late_kind.h"
#include "apiserver/metrics.h"
#include "apiserver/registry/strategy.h"

#include <stdlib.h>

static const short codes[] = { 101, 200, 201, 202, 304, 400, 401, 403, 404, 405, 406,
			       409, 410, 413, 415, 422, 429, 500, 502, 503, 504 };

enum request_scope { SCOPE_NONE, SCOPE_CLUSTER, SCOPE_NAMESPACE, SCOPE_RESOURCE, _SCOPE_MAX };
enum request_verb { RV_OWN, RV_APPLY, RV_CONNECT, RV_HEAD, RV_POST, RV_PUT, RV_PATCH, RV_DELETE, RV_OTHER, _RV_MAX };

/* What is not of a resource, by path; the first stands for all others. */
static const char *const pages[] = { "", "/livez", "/readyz", "/healthz" };

struct cell {
	struct cell *next;
	uint16_t sub; /* of the resource's subresources, from 1; of other requests the page; 0: none */
	uint8_t scope, verb;
	bool dry_run;
	_Atomic int64_t lasting;
	_Atomic uint64_t by_code[ARRAY_LEN(codes) + 1]; /* the last one: any other code */
	_Atomic(struct metric_cell *) durations, sizes;
	_Atomic(struct metric_cell *) sent; /* of a watch: the sizes of its events */
};

struct request_cells {
	_Atomic(struct cell *) *slots; /* [resource][verb]; the last row: everything else */
};

struct request_cells *request_cells_new(void)
{
	struct request_cells *c = xcalloc(1, sizeof(*c));

	c->slots = xcalloc((resource_count + 1) * _VERB_MAX, sizeof(*c->slots));
	return c;
}

static void cell_list_free(struct cell *c)
{
	while (c) {
		struct cell *next = c->next;

		free(atomic_load(&c->durations));
		free(atomic_load(&c->sizes));
		free(atomic_load(&c->sent));
		free(c);
		c = next;
	}
}

void cells_free(_Atomic(struct cell *) *slots)
{
	for (size_t v = 0; v < _VERB_MAX; v++)
		cell_list_free(atomic_load(&slots[v]));
}

struct request_cells *request_cells_free(struct request_cells *c)
{
	if (!c)
		return NULL;
	for (size_t i = 0; i <= resource_count; i++)
		cells_free(&c->slots[i * _VERB_MAX]);
	free(c->slots);
	free(c);
	return NULL;
}

/* --- which one --- */

static bool cell_is_resource(const struct api_req *q)
{
	return q->resource_request && q->res && q->verb < _VERB_MAX;
}

static bool cell_connects(struct sv sub)
{
	return sv_is(sub, "exec") || sv_is(sub, "attach") || sv_is(sub, "portforward") || sv_is(sub, "proxy");
}

bool request_is_long(const struct api_req *q)
{
	return q->resource_request && (q->verb == VERB_WATCH || (q->subresource.n && (sv_is(q->subresource, "log") ||
										      cell_connects(q->subresource))));
}

/* Upstream tells a request that names an object, or makes one, to be of the scope "resource". */
static enum request_scope cell_scope(const struct api_req *q)
{
	if (!q->resource_request)
		return SCOPE_NONE;
	if (q->name.n || q->verb == VERB_CREATE)
		return SCOPE_RESOURCE;
	return q->ns.n ? SCOPE_NAMESPACE : SCOPE_CLUSTER;
}

static enum request_verb cell_method(struct sv m)
{
	static const struct {
		const char *method;
		enum request_verb verb;
	} methods[] = { { "GET", RV_OWN }, { "", RV_OWN },	  { "HEAD", RV_HEAD },	  { "POST", RV_POST },
			{ "PUT", RV_PUT }, { "PATCH", RV_PATCH }, { "DELETE", RV_DELETE } };

	for (size_t i = 0; i < ARRAY_LEN(methods); i++)
		if (sv_is(m, methods[i].method))
			return methods[i].verb;
	return RV_OTHER;
}

static struct cell cell_key(const struct api_req *q)
{
	struct cell k = { .scope = SCOPE_NONE };

	if (!cell_is_resource(q)) {
		for (size_t i = 1; i < ARRAY_LEN(pages); i++)
			if (sv_starts(q->path, sv_from(pages[i])))
				k.sub = (uint16_t)i;
		k.verb = (uint8_t)cell_method(q->method);
		return k;
	}
	k.scope = (uint8_t)cell_scope(q);
	k.dry_run = q->dry_run;
	if (q->subresource.n) {
		k.sub = q->sub ? (uint16_t)(q->sub - q->res->subresources + 1) : 0;
		if (q->sub && cell_connects(q->subresource))
			k.verb = RV_CONNECT;
	}
	if (q->verb == VERB_PATCH && sv_starts(q->content_type, SV("application/apply-patch")))
		k.verb = RV_APPLY;
	return k;
}

static _Atomic(struct cell *) *cell_slot(const struct api_req *q)
{
	struct request_cells *c = q->server->requests;
	struct late_kind *late;

	if (!cell_is_resource(q))
		return &c->slots[resource_count * _VERB_MAX];
	if (q->res->id < resource_count)
		return &c->slots[q->res->id * _VERB_MAX + q->verb];
	late = late_kind_of(q->res);
	return late ? &late->cells[q->verb] : &c->slots[resource_count * _VERB_MAX];
}

static bool cell_same(const struct cell *a, const struct cell *b)
{
	return a->sub == b->sub && a->scope == b->scope && a->verb == b->verb && a->dry_run == b->dry_run;
}

struct cell *request_cell(const struct api_req *q)
{
	_Atomic(struct cell *) *slot = cell_slot(q);
	struct cell *first = atomic_load_explicit(slot, memory_order_acquire), *made;
	const struct cell key = cell_key(q);

	for (struct cell *c = first; c; c = c->next)
		if (cell_same(c, &key))
			return c;
	made = xcalloc(1, sizeof(*made));
	made->sub = key.sub;
	made->scope = key.scope;
	made->verb = key.verb;
	made->dry_run = key.dry_run;
	for (;;) {
		made->next = first;
		if (atomic_compare_exchange_strong(slot, &first, made))
			return made;
		/* Somebody was quicker, perhaps with the same. */
		for (struct cell *c = first; c; c = c->next) {
			if (cell_same(c, made)) {
				free(made);
				return c;
			}
		}
	}
}

/* --- counting --- */

void request_count(struct api_req *q, int code, int64_t bytes)
{
	struct cell *c = request_cell(q);
	size_t k = 0;

	while (k < ARRAY_LEN(codes) && codes[k] != code)
		k++;
	atomic_fetch_add_explicit(&c->by_code[k], 1, memory_order_relaxed);
	metric_cell_observe(metric_cell_at(&c->durations, API_METRIC(REQUEST_DURATION)), API_METRIC(REQUEST_DURATION),
			    q->step_ns[STEP_ANSWERED] - q->start_ns);
	if (bytes >= 0 && c->scope != SCOPE_NONE && (q->verb == VERB_GET || q->verb == VERB_LIST))
		metric_cell_observe_size(metric_cell_at(&c->sizes, API_METRIC(RESPONSE_SIZES)),
					 API_METRIC(RESPONSE_SIZES), (uint64_t)bytes);
}

static void request_lasted(void *cell)
{
	atomic_fetch_sub_explicit(&((struct cell *)cell)->lasting, 1, memory_order_relaxed);
}

void request_lasts(struct api_req *q)
{
	struct cell *c = request_cell(q);

	/* Its kind lives as long as the arena holds the snapshot it is in, which was taken before. */
	atomic_fetch_add_explicit(&c->lasting, 1, memory_order_relaxed);
	arena_defer(q->arena, request_lasted, c);
}

void request_sent(struct cell *c, size_t bytes)
{
	metric_cell_observe_size(metric_cell_at(&c->sent, API_METRIC(WATCH_SIZES)), API_METRIC(WATCH_SIZES), bytes);
}

static const char *const scopes[_SCOPE_MAX] = { "", "cluster", "namespace", "resource" };

void request_listed(const struct api_req *q)
{
	const struct sv values[] = { sv_from(q->res->group), sv_from(q->res->plural), sv_from(scopes[cell_scope(q)]),
				     sv_from(q->res->version) };

	metric_observe_ns(q->server->counted, API_METRIC(WATCH_LIST), values,
			  env_mono_ns(q->server->env) - q->start_ns);
}

/* --- telling --- */

static const char *cell_verb_name(const struct cell *c, size_t verb)
{
	static const char *const own[_VERB_MAX] = { "GET", "LIST",  "WATCH",  "POST",
						    "PUT", "PATCH", "DELETE", "DELETECOLLECTION" };
	static const char *const names[_RV_MAX] = { "",	   "APPLY", "CONNECT", "HEAD", "POST",
						    "PUT", "PATCH", "DELETE",  "other" };

	return c->verb == RV_OWN ? own[verb] : names[c->verb];
}

enum cell_with { WITH_DRY_RUN = 1 };

static void cell_labels(struct buf *b, const struct resource *r, size_t verb, const struct cell *c, int code,
			unsigned with)
{
	const char *sub = !c->sub ? "" : r ? r->subresources[c->sub - 1].name : pages[c->sub];

	buf_clear(b);
	if (code >= 0)
		buf_printf(b, "code=\"%d\",", code);
	buf_printf(b, "component=\"%s\",", r ? "apiserver" : "");
	if (with & WITH_DRY_RUN)
		buf_printf(b, "dry_run=\"%s\",", c->dry_run ? "All" : "");
	buf_printf(b, "group=\"%s\",resource=\"%s\",scope=\"%s\",subresource=\"%s\",verb=\"%s\",version=\"%s\"",
		   r ? r->group : "", r ? r->plural : "", scopes[c->scope], sub, cell_verb_name(c, verb),
		   r ? r->version : "");
}

typedef void cell_fn(const struct resource *r, size_t verb, struct cell *c, struct buf *b);

static void cells_each_of(const struct resource *r, _Atomic(struct cell *) *slots, cell_fn *fn, struct buf *b)
{
	for (size_t verb = 0; verb < _VERB_MAX; verb++)
		for (struct cell *c = atomic_load(&slots[verb]); c; c = c->next)
			fn(r, verb, c, b);
}

static void cells_each(struct apiserver *s, const struct metric_family *f, cell_fn *fn, struct buf *b)
{
	const struct api_set *api = api_current_get(s->api);

	metric_head(b, f);
	for (size_t i = 0; i <= resource_count; i++)
		cells_each_of(i < resource_count ? &resource_all[i] : NULL, &s->requests->slots[i * _VERB_MAX], fn, b);
	for (size_t i = 0; i < api->n_custom; i++)
		cells_each_of(api->custom[i].resource, late_kind_of(api->custom[i].resource)->cells, fn, b);
	api_set_unref(api);
}

static void cell_total(const struct resource *r, size_t verb, struct cell *c, struct buf *b)
{
	_cleanup_(buf_release) struct buf labels = BUF_INIT;

	for (size_t k = 0; k <= ARRAY_LEN(codes); k++) {
		uint64_t n = atomic_load(&c->by_code[k]);

		if (!n)
			continue;
		cell_labels(&labels, r, verb, c, k < ARRAY_LEN(codes) ? codes[k] : 0, WITH_DRY_RUN);
		metric_sample(b, API_METRIC(REQUEST_TOTAL), buf_cstr(&labels), (double)n);
	}
}

static void cell_duration(const struct resource *r, size_t verb, struct cell *c, struct buf *b)
{
	_cleanup_(buf_release) struct buf labels = BUF_INIT;
	struct metric_cell *m = atomic_load(&c->durations);

	cell_labels(&labels, r, verb, c, -1, WITH_DRY_RUN);
	if (m)
		metric_cell_write(b, API_METRIC(REQUEST_DURATION), buf_cstr(&labels), m, false);
}

static void cell_size(const struct resource *r, size_t verb, struct cell *c, struct buf *b)
{
	_cleanup_(buf_release) struct buf labels = BUF_INIT;
	struct metric_cell *m = atomic_load(&c->sizes);

	cell_labels(&labels, r, verb, c, -1, 0);
	if (m)
		metric_cell_write(b, API_METRIC(RESPONSE_SIZES), buf_cstr(&labels), m, true);
}

static void cell_lasting(const struct resource *r, size_t verb, struct cell *c, struct buf *b)
{
	_cleanup_(buf_release) struct buf labels = BUF_INIT;
	int64_t n = atomic_load(&c->lasting);

	if (!n && verb != VERB_WATCH && c->verb != RV_CONNECT)
		return;
	cell_labels(&labels, r, verb, c, -1, 0);
	metric_sample(b, API_METRIC(LONGRUNNING), buf_cstr(&labels), (double)n);
}

/* Events of all watches of a resource, whatever their scope. */
static struct metric_cell *cells_sent(_Atomic(struct cell *) *slots)
{
	const struct metric_family *f = API_METRIC(WATCH_SIZES);
	struct metric_cell *sum = NULL;

	for (struct cell *c = atomic_load(&slots[VERB_WATCH]); c; c = c->next) {
		const struct metric_cell *m = atomic_load(&c->sent);

		if (!m)
			continue;
		if (!sum)
			sum = metric_cell_new(f);
		sum->sum_ns += m->sum_ns;
		for (size_t i = 0; i <= f->n_bounds; i++)
			sum->in[i] += m->in[i];
	}
	return sum;
}

static void cells_sent_of(const struct resource *r, _Atomic(struct cell *) *slots, const struct metric_family *f,
			  struct buf *b)
{
	struct metric_cell *sum = cells_sent(slots);
	_cleanup_(buf_release) struct buf labels = BUF_INIT;
	double n = 0;

	if (!sum)
		return;
	metric_label(&labels, "group", sv_from(r->group));
	metric_label(&labels, "resource", sv_from(r->plural));
	metric_label(&labels, "version", sv_from(r->version));
	for (size_t i = 0; i <= API_METRIC(WATCH_SIZES)->n_bounds; i++)
		n += (double)sum->in[i];
	if (f->type == METRIC_COUNTER)
		metric_sample(b, f, buf_cstr(&labels), n);
	else
		metric_cell_write(b, f, buf_cstr(&labels), sum, true);
	free(sum);
}

static void cells_sent_all(struct apiserver *s, const struct metric_family *f, struct buf *b)
{
	const struct api_set *api = api_current_get(s->api);

	metric_head(b, f);
	for (size_t i = 0; i < resource_count; i++)
		cells_sent_of(&resource_all[i], &s->requests->slots[i * _VERB_MAX], f, b);
	for (size_t i = 0; i < api->n_custom; i++)
		cells_sent_of(api->custom[i].resource, late_kind_of(api->custom[i].resource)->cells, f, b);
	api_set_unref(api);
}

static bool cells_asked(const _Atomic(struct cell *) *slots, uint16_t sub)
{
	for (size_t v = 0; v < _VERB_MAX; v++)
		for (const struct cell *c = atomic_load(&slots[v]); c; c = c->next)
			if (c->sub == sub)
				return true;
	return false;
}

/* Those that were asked for, and their subresources; upstream knows no release that will be without them. */
static void cells_deprecated(struct apiserver *s, struct buf *b)
{
	metric_head(b, API_METRIC(DEPRECATED));
	for (size_t i = 0; i < resource_count; i++) {
		const struct resource *r = &resource_all[i];

		if (!strategy_for(r)->deprecated)
			continue;
		for (uint16_t sub = 0; sub <= r->n_subresources; sub++)
			if (cells_asked(&s->requests->slots[i * _VERB_MAX], sub))
				buf_printf(b,
					   "%s{group=\"%s\",removed_release=\"\",resource=\"%s\",subresource=\"%s\","
					   "version=\"%s\"} 1\n",
					   API_METRIC(DEPRECATED)->name, r->group, r->plural,
					   sub ? r->subresources[sub - 1].name : "", r->version);
	}
}

void request_metrics(struct apiserver *s, struct buf *b)
{
	cells_each(s, API_METRIC(REQUEST_TOTAL), cell_total, b);
	cells_each(s, API_METRIC(REQUEST_DURATION), cell_duration, b);
	cells_each(s, API_METRIC(RESPONSE_SIZES), cell_size, b);
	cells_each(s, API_METRIC(LONGRUNNING), cell_lasting, b);
	cells_sent_all(s, API_METRIC(WATCH_EVENTS), b);
	cells_sent_all(s, API_METRIC(WATCH_SIZES), b);
	cells_deprecated(s, b);
}
