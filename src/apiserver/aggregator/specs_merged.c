/* The one OpenAPI document of version 2, of ours and of what is kept of others (specs.c).
 *
 * It is megabytes, and is merged in tenths of a second: once whoever asks first has waited for it, it is made anew by a
 * task when a part has changed, a moment later as parts change together, and whoever asks meanwhile gets the one
 * before. That is for those who ask again: one that nobody has asked for since it was made so is dropped when the next
 * part changes, and who comes then is the first. JSON and protobuf are made each from when somebody asked for it. */
#include "apiserver/aggregator/aggregator-internal.h"
#include "apiserver/aggregator/spec.h"
#include "object/openapi.h"

#include <stdlib.h>

#define SPEC_SETTLE_NS (100 * NS_PER_MS)

static const char spec_type[] = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";

/* --- what it is made of --- */

static int spec_order(const void *x, const void *y)
{
	const struct agg_service *a = *(struct agg_service *const *)x, *b = *(struct agg_service *const *)y;

	if (a->group_priority != b->group_priority)
		return a->group_priority > b->group_priority ? -1 : 1;
	if (a->version_priority != b->version_priority)
		return a->version_priority > b->version_priority ? -1 : 1;
	return strcmp(a->name, b->name);
}

struct specs {
	struct agg_spec **all; /* references */
	struct sv *texts;
	size_t n;
	uint64_t changes; /* as of then */
};

static void specs_release(struct specs *l)
{
	for (size_t i = 0; i < l->n; i++)
		agg_spec_unref(l->all[i]);
	free(l->all);
	free(l->texts);
}

/* The lock is held. */
static void specs_take(struct aggregator *g, struct specs *l)
{
	struct agg_service **by_order = xcalloc(g->list.n + 1, sizeof(struct agg_service *));

	*l = (struct specs){ .all = xcalloc(g->list.n + 1, sizeof(struct agg_spec *)),
			     .texts = xcalloc(g->list.n + 1, sizeof(struct sv)),
			     .changes = g->spec_changes };
	for (size_t i = 0; i < g->list.n; i++)
		by_order[i] = g->list.p[i];
	if (g->list.n)
		qsort(by_order, g->list.n, sizeof(struct agg_service *), spec_order);
	for (size_t i = 0; i < g->list.n; i++) {
		if (!by_order[i]->spec || by_order[i]->built_in)
			continue;
		l->all[l->n] = agg_spec_hold(by_order[i]->spec);
		l->texts[l->n] = buf_sv(&l->all[l->n]->text);
		l->n++;
	}
	free(by_order);
}

/* The lock is held. */
static bool specs_any(const struct aggregator *g)
{
	for (size_t i = 0; i < g->list.n; i++)
		if (g->list.p[i]->spec && !g->list.p[i]->built_in)
			return true;
	return false;
}

/* --- making it --- */

static struct agg_doc *spec_doc(struct apiserver *s, const struct api_set *api, bool proto, openapi_own_fn *own,
				const struct spec_merged *m)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct buf b = BUF_INIT;
	struct sv text = own(s, api, &a, proto);

	if (proto) {
		buf_addsv(&b, text);
		openapi_v2_proto_more(&b, "paths", buf_sv(&m->paths));
		for (size_t i = 0; i < SPEC_SECTIONS; i++)
			openapi_v2_proto_more(&b, agg_spec_sections[i], buf_sv(&m->sections[i]));
	} else {
		agg_specs_join(text, m, &b);
	}
	return agg_doc_new(proto ? "openapi/v2+protobuf" : "openapi/v2", &b);
}

void agg_specs_drop(struct aggregator *g)
{
	for (size_t i = 0; i < ARRAY_LEN(g->spec_docs); i++)
		g->spec_docs[i] = agg_doc_unref(g->spec_docs[i]);
	api_set_unref(g->specs_of);
	g->specs_of = NULL;
}

/* Makes those that are wanted, of what there is now. The lock and spec_making are held; the lock is let go meanwhile.
 */
static void specs_make(struct aggregator *g, const bool wanted[2])
{
	_cleanup_(agg_spec_merged_release) struct spec_merged m = { 0 };
	const struct api_set *api = api_current_get(g->s->api);
	openapi_own_fn *own = g->spec_own;
	struct agg_doc *docs[2] = { NULL, NULL };
	struct specs l;

	specs_take(g, &l);
	pthread_mutex_unlock(&g->lock);
	if (l.n) {
		_cleanup_(arena_release) struct arena a = ARENA_INIT;

		agg_specs_merge(own(g->s, api, &a, false), l.texts, l.n, &m);
		for (size_t i = 0; i < ARRAY_LEN(docs); i++)
			docs[i] = wanted[i] ? spec_doc(g->s, api, i, own, &m) : NULL;
	}
	pthread_mutex_lock(&g->lock);
	agg_specs_drop(g);
	memcpy(g->spec_docs, docs, sizeof(docs));
	g->specs_of = api;
	g->specs_at = l.changes;
	specs_release(&l);
}

static bool specs_stale(const struct aggregator *g, const struct api_set *api)
{
	return g->specs_at != g->spec_changes || g->specs_of != api;
}

static void specs_task(void *ctx);

/* It is made anew, soon, if anybody wants it. The lock is held. */
static void specs_plan(struct aggregator *g)
{
	if ((!g->spec_docs[0] && !g->spec_docs[1]) || g->spec_timer || g->spec_merging || g->stopping)
		return; /* who merges looks again at the end */
	if (!g->specs_asked) {
		agg_specs_drop(g);
		return;
	}
	g->refs++;
	g->spec_timer = env_after(g->env, ENV_SLOW, SPEC_SETTLE_NS, specs_task, g);
}

static void specs_task(void *ctx)
{
	struct aggregator *g = ctx;
	const struct api_set *api;
	bool wanted[2];

	pthread_mutex_lock(&g->lock);
	g->spec_timer = env_timer_cancel(g->env, g->spec_timer);
	g->spec_merging = !g->stopping;
	pthread_mutex_unlock(&g->lock);
	pthread_mutex_lock(&g->spec_making);
	pthread_mutex_lock(&g->lock);
	for (size_t i = 0; i < ARRAY_LEN(wanted); i++)
		wanted[i] = g->spec_docs[i];
	g->specs_asked = false;
	if (g->spec_merging)
		specs_make(g, wanted);
	pthread_mutex_unlock(&g->spec_making);
	if (g->spec_merging) {
		g->spec_merging = false;
		api = api_current_get(g->s->api);
		if (specs_stale(g, api))
			specs_plan(g);
		api_set_unref(api);
		pthread_cond_broadcast(&g->idle);
	}
	agg_let_go(g);
}

void agg_specs_changed(struct aggregator *g)
{
	g->spec_changes++;
	if (specs_any(g))
		specs_plan(g);
	else
		agg_specs_drop(g); /* ours alone is the one */
}

void agg_specs_stop(struct aggregator *g)
{
	if (g->spec_timer && env_timer_stop(g->env, g->spec_timer))
		g->refs--;
	g->spec_timer = NULL;
	while (g->spec_merging)
		pthread_cond_wait(&g->idle, &g->lock);
}

/* --- telling it --- */

/* Nobody has asked for it so: whoever comes now waits, and one makes it. */
static struct agg_doc *specs_first(struct aggregator *g, const struct api_set *api, bool proto)
{
	struct agg_doc *k;

	pthread_mutex_lock(&g->spec_making);
	pthread_mutex_lock(&g->lock);
	if (!g->spec_docs[proto] && specs_any(g)) {
		const bool wanted[2] = { !proto || g->spec_docs[0], proto || g->spec_docs[1] };

		specs_make(g, wanted);
	}
	k = agg_doc_ref(g->spec_docs[proto]);
	if (k && specs_stale(g, api)) /* what changed while it was made found nothing to be made anew */
		specs_plan(g);
	pthread_mutex_unlock(&g->lock);
	pthread_mutex_unlock(&g->spec_making);
	return k;
}

struct agg_doc *agg_specs_get(struct aggregator *g, const struct api_set *api, bool proto, openapi_own_fn *own)
{
	struct agg_doc *k;
	bool any;

	pthread_mutex_lock(&g->lock);
	g->spec_own = own;
	g->specs_asked = true;
	any = specs_any(g);
	k = any ? agg_doc_ref(g->spec_docs[proto]) : NULL;
	if (k && specs_stale(g, api))
		specs_plan(g);
	pthread_mutex_unlock(&g->lock);
	return any && !k ? specs_first(g, api, proto) : k;
}

bool aggregator_openapi_v2(struct api_req *q, bool proto, openapi_own_fn *own)
{
	struct aggregator *g = q->server->aggregator;
	struct agg_doc *k;

	if (!atomic_load(&g->n_remote))
		return false;
	k = agg_specs_get(g, q->api, proto, own);
	if (!k)
		return false;
	agg_doc_answer(q, k, proto ? spec_type : "application/json");
	return true;
}
