/* metrics.k8s.io: what nodes and pods use, as a metrics server would say it, of what kubelets are asked at the request
 * (apiserver/node_usage.h). An APIService of somebody else's server takes the group over (apiserver/aggregator). */
#include "apiserver/node_usage.h"
#include "apiserver/registry/kinds/kinds.h"
#include "apiserver/watchcache.h"
#include "base/timefmt.h"
#include "base/vec.h"
#include "object/quantity.h"

/* A question under way: whose metrics are wanted, and which nodes know them. */
struct usage_read {
	bool waited;
	struct wc_list of; /* Nodes or Pods, selected; references for the request's life */
	struct sv *nodes;  /* of each of them; "" : it runs nowhere */
	struct sv *ask;
	size_t n_ask;
};

static void usage_read_release(void *p)
{
	struct usage_read *m = p;

	wc_list_unref(&m->of);
}

static bool usage_of_pods(const struct api_req *q)
{
	return q->res == RES(metrics_pods);
}

static void put_usage(struct arena *a, struct val *doc, uint64_t nano_cores, uint64_t bytes)
{
	struct val *usage = val_set_map(a, doc, F_usage);

	val_set_str_sv(a, usage, SV("cpu"), quantity_text(a, arena_svf(a, "%" PRIu64 "n", nano_cores)));
	val_set_str_sv(a, usage, SV("memory"), quantity_from_bytes(a, (int64_t)MIN(bytes, (uint64_t)INT64_MAX)));
}

/* "metadata" as a metrics server has it: of the object's own what it is found by. */
static struct val *usage_doc(struct api_req *q, const struct obj *of, const struct used *at)
{
	struct arena *a = q->arena;
	struct val *doc = val_new_map(a), *meta;
	const struct val *labels = obj_get(of, F_metadata, F_labels);
	_cleanup_(buf_release) struct buf window = BUF_INIT;
	char text[TIME_TEXT_MAX];

	val_set_cstr(a, doc, F_kind, q->res->kind);
	val_set_cstr(a, doc, F_apiVersion, "metrics.k8s.io/v1beta1");
	meta = val_new_map(a);
	val_set_str(a, meta, F_name, obj_name(of));
	if (usage_of_pods(q))
		val_set_str(a, meta, F_namespace, obj_ns(of));
	val_set_str(a, meta, F_creationTimestamp, time_format(env_now_ns(q->server->env), false, text));
	if (labels)
		val_set(a, meta, F_labels, labels);
	val_set(a, doc, F_metadata, meta);
	val_set_str(a, doc, F_timestamp, time_format(at->at_ns, false, text));
	duration_format(&window, at->window_ns / NS_PER_MS * NS_PER_MS);
	val_set_str(a, doc, F_window, buf_sv(&window));
	return doc;
}

static struct obj *node_metrics(struct api_req *q, const struct obj *node, const struct node_usage *u)
{
	struct val *doc;

	if (!u->known)
		return NULL;
	doc = usage_doc(q, node, &u->node);
	put_usage(q->arena, doc, u->node.nano_cores, u->node.bytes);
	return obj_new(doc, 0);
}

static struct obj *pod_metrics(struct api_req *q, const struct obj *pod, const struct node_usage *u)
{
	const struct used_pod *p = strmap_get(&u->pods, val_str(obj_get(pod, F_metadata, F_uid)));
	struct val *doc, *list;

	if (!p || !p->containers.n)
		return NULL;
	doc = usage_doc(q, pod, &p->containers.p[0].used);
	list = val_set_list(q->arena, doc, F_containers);
	for (size_t i = 0; i < p->containers.n; i++) {
		const struct used_container *c = &p->containers.p[i];
		struct val *one = val_new_map(q->arena);

		val_set_cstr(q->arena, one, F_name, c->name);
		put_usage(q->arena, one, c->used.nano_cores, c->used.bytes);
		val_push(q->arena, list, one);
	}
	return obj_new(doc, 0);
}

/* What is known of the i-th; NULL: nothing. */
static struct obj *usage_made(struct api_req *q, const struct usage_read *m, size_t i)
{
	struct node_usage *u = m->nodes[i].n ? node_usage_get(q->server, m->nodes[i]) : NULL;
	struct obj *made = NULL;

	if (u)
		made = usage_of_pods(q) ? pod_metrics(q, m->of.objs[i], u) : node_metrics(q, m->of.objs[i], u);
	node_usage_unref(u);
	return made;
}

static int answer_one(struct api_req *q, const struct usage_read *m, struct err *err)
{
	struct obj *o = usage_made(q, m, 0);

	if (!o)
		return err_set(err, ERR_NOT_FOUND, "%s.metrics.k8s.io \"%.*s%s%.*s\" not found",
			       usage_of_pods(q) ? "podmetrics" : "nodemetrics", SV_ARG(q->ns), q->ns.n ? "/" : "",
			       SV_ARG(q->name));
	answer_object(q, 200, o);
	obj_unref(o);
	return 0;
}

static int usage_step(struct api_req *q, void *ctx, struct err *err)
{
	struct usage_read *m = ctx;
	int rc = node_usage_wait(q, m->ask, m->n_ask, &m->waited);
	struct obj **made;
	size_t n = 0;

	if (rc)
		return rc;
	if (q->verb == VERB_GET)
		return answer_one(q, m, err);
	made = ARENA_ARRAY(q->arena, struct obj *, m->of.n + 1);
	for (size_t i = 0; i < m->of.n; i++) {
		made[n] = usage_made(q, m, i);
		n += made[n] != NULL;
	}
	list_answer(q, q->res, made, n, 0, SV_NULL, -1);
	return 0;
}

/* Whose numbers are asked for: nodes themselves, or where running pods are. Each node once. */
static void usage_whom(struct api_req *q, struct usage_read *m)
{
	struct strmap seen = STRMAP_INIT;

	m->nodes = ARENA_ARRAY(q->arena, struct sv, m->of.n + 1);
	m->ask = ARENA_ARRAY(q->arena, struct sv, m->of.n + 1);
	for (size_t i = 0; i < m->of.n; i++) {
		const struct obj *o = m->of.objs[i];
		struct sv node = usage_of_pods(q) ? val_str(obj_get(o, F_spec, F_nodeName)) : obj_name(o);

		if (usage_of_pods(q) && !val_is(obj_get(o, F_status, F_phase), "Running"))
			node = SV("");
		m->nodes[i] = node;
		if (node.n && !strmap_set(&seen, node, m))
			m->ask[m->n_ask++] = node;
	}
	strmap_release(&seen);
}

static int usage_find(struct api_req *q, const struct resource *of, struct usage_read *m, struct err *err)
{
	struct selection_words words = selection_words(q);
	const struct selection *sel;
	struct obj *one;

	if (q->verb == VERB_GET) {
		one = wc_get(q->server->wc, of, q->ns, q->name);
		if (!one)
			return err_not_found(err, of, q->name);
		m->of.objs = ARENA_ARRAY(q->arena, struct obj *, 1);
		m->of.objs[0] = one;
		m->of.n = 1;
		return 0;
	}
	words.shard = SV_NULL;
	if (selection_make(q->arena, of, &words, &sel, err) < 0)
		return -1;
	wc_list(q->server->wc, of, q->ns, sel, SV(""), 0, 0, q->arena, &m->of);
	return 0;
}

static void read_usage(struct api_req *q)
{
	struct usage_read *m = ARENA_NEW(q->arena, struct usage_read);
	struct err err = ERR_INIT;

	arena_defer(q->arena, usage_read_release, m);
	if (usage_find(q, usage_of_pods(q) ? RES(core_pods) : RES(core_nodes), m, &err) < 0) {
		api_req_fail(q, &err);
		return;
	}
	usage_whom(q, m);
	req_ask(q, usage_step, m);
}

const struct strategy nodemetrics_strategy = { .res = RES(metrics_nodes), .virtual_read = read_usage };
const struct strategy podmetrics_strategy = { .res = RES(metrics_pods), .virtual_read = read_usage };
