/* Others' OpenAPI documents of version 2 in ours. One is asked for once its server has answered about its discovery, a
 * minute after the last time, with the tag that it had: mostly the answer is that it is still that. What it cannot tell
 * it has told before, until its APIService goes. Nobody who asks waits for another server, and the one document is made
 * when somebody asks. */
#include "apiserver/aggregator/aggregator-internal.h"
#include "apiserver/aggregator/spec.h"
#include "base/log.h"
#include "object/openapi.h"

#include <stdlib.h>

#define SPEC_PERIOD_NS (60 * NS_PER_SEC)
#define SPEC_UNTAGGED_NS (5 * SPEC_PERIOD_NS) /* of who sends it whole each time */
#define SPEC_TIMEOUT_NS (10 * NS_PER_SEC)
#define SPEC_TAG_MAX 256

static const char spec_type[] = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";

void agg_specs_drop(struct aggregator *g)
{
	for (size_t i = 0; i < ARRAY_LEN(g->spec_docs); i++)
		g->spec_docs[i] = agg_doc_unref(g->spec_docs[i]);
	api_set_unref(g->specs_of);
	g->specs_of = NULL;
	g->spec_changes++;
}

/* --- asking --- */

struct spec_question {
	struct aggregator *g;
	struct agg_service *e;
	struct buf text, tag;
	uint64_t hash; /* of the text */
};

static void spec_question_free(struct spec_question *k)
{
	buf_release(&k->text);
	buf_release(&k->tag);
	agg_service_unref(k->e);
	free(k);
}

static size_t specs_bytes(const struct aggregator *g)
{
	size_t n = 0;

	for (size_t i = 0; i < g->list.n; i++)
		n += g->list.p[i]->spec ? g->list.p[i]->spec->text.n : 0;
	return n;
}

/* s (taken, or NULL: it has none) is kept of e from now on. The lock is held. */
static void spec_keep(struct aggregator *g, struct agg_service *e, struct agg_spec *s)
{
	if (s || e->spec)
		agg_specs_drop(g);
	agg_spec_unref(e->spec);
	e->spec = s;
}

/* The document came, and is another one. Megabytes are read: not on the loop that asks. */
static void spec_read(void *ctx)
{
	struct spec_question *k = ctx;
	struct aggregator *g = k->g;
	struct agg_service *e = k->e;
	_cleanup_(err_release) struct err why = ERR_INIT;
	struct agg_spec *s = xcalloc(1, sizeof(*s));
	bool fine;

	atomic_init(&s->refs, 1);
	fine = agg_spec_cut(buf_sv(&k->text), sv_from(e->group), sv_from(e->version), &s->text, &why) == 0;
	pthread_mutex_lock(&g->lock);
	e->spec_asking = false;
	if (fine && specs_bytes(g) - (e->spec ? e->spec->text.n : 0) + s->text.n > AGG_SPECS_MAX)
		fine =
		    err_set(&why, ERR_TOO_LARGE, "those of all servers are longer than %zu bytes", AGG_SPECS_MAX) == 0;
	if (!g->stopping && fine)
		spec_keep(g, e, s->text.n ? agg_spec_hold(s) : NULL);
	/* Also of what is not kept: it is not read again before it changes. */
	e->spec_hash = k->hash;
	agg_let_go(g);
	if (!fine)
		log_warn("apiserver", "an OpenAPI document is not shown", "apiservice", "%s: %s", e->name,
			 err_msg(&why));
	agg_spec_unref(s);
	spec_question_free(k);
}

static void spec_answered(struct webhook_answer *answer, void *ctx)
{
	struct spec_question *k = ctx;
	struct aggregator *g = k->g;
	struct agg_service *e = k->e;
	bool read = false;

	k->text = answer->body;
	answer->body = (struct buf)BUF_INIT;
	pthread_mutex_lock(&g->lock);
	e->spec_due_ns =
	    env_mono_ns(g->s->env) + (answer->tag.n || answer->err.reason ? SPEC_PERIOD_NS : SPEC_UNTAGGED_NS);
	if (answer->err.reason == ERR_NONE && answer->status != 304) {
		k->hash = sv_hash(buf_sv(&k->text)) | 1;
		buf_clear(&e->spec_tag);
		if (answer->tag.n <= SPEC_TAG_MAX)
			buf_addsv(&e->spec_tag, buf_sv(&answer->tag));
		read = k->hash != e->spec_hash && !g->stopping;
	} else if (answer->status == 404 || answer->status == 410) {
		spec_keep(g, e, NULL);
		e->spec_hash = 0;
		buf_clear(&e->spec_tag);
	}
	e->spec_asking = read;
	if (read) {
		g->refs++;
		env_post(g->env, ENV_SLOW, spec_read, k);
	}
	pthread_mutex_unlock(&g->lock);
	webhook_answer_free(answer);
	if (!read)
		spec_question_free(k);
}

void agg_spec_ask(struct aggregator *g, struct agg_service *e)
{
	struct spec_question *k = NULL;

	pthread_mutex_lock(&g->lock);
	if (!e->spec_asking && !g->stopping && env_mono_ns(g->s->env) >= e->spec_due_ns) {
		e->spec_asking = true;
		k = xcalloc(1, sizeof(*k));
		k->g = g;
		k->e = agg_service_ref(e);
		if (e->spec_tag.n)
			buf_addsv(&k->tag, buf_sv(&e->spec_tag));
	}
	pthread_mutex_unlock(&g->lock);
	if (!k)
		return;
	webhook_call_unref(webhook_call(g->s, &(struct webhook_call_opts){
						  .target = e->target,
						  .body = SV(""),
						  .get = "/openapi/v2",
						  .tag = buf_sv(&k->tag),
						  .headers = agg_own_headers,
						  .n_headers = AGG_OWN_HEADERS,
						  .timeout_ns = SPEC_TIMEOUT_NS,
						  .answer_max = AGG_SPEC_TEXT_MAX,
						  .done = spec_answered,
						  .ctx = k,
					      }));
}

/* --- the one document --- */

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

static struct agg_doc *spec_make(struct api_req *q, bool proto, const struct specs *l, openapi_own_fn *own)
{
	_cleanup_(agg_spec_merged_release) struct spec_merged m;
	struct buf b = BUF_INIT;
	struct sv text = own(q, false);

	agg_specs_merge(text, l->texts, l->n, &m);
	if (proto) {
		buf_addsv(&b, own(q, true));
		openapi_v2_proto_more(&b, "paths", buf_sv(&m.paths));
		for (size_t i = 0; i < SPEC_SECTIONS; i++)
			openapi_v2_proto_more(&b, agg_spec_sections[i], buf_sv(&m.sections[i]));
	} else {
		agg_specs_join(text, &m, &b);
	}
	return agg_doc_new(proto ? "openapi/v2+protobuf" : "openapi/v2", &b);
}

/* A reference, or NULL: there is none. The lock is held. */
static struct agg_doc *spec_doc_there(struct api_req *q, bool proto)
{
	struct aggregator *g = q->server->aggregator;

	return g->specs_of == q->api ? agg_doc_ref(g->spec_docs[proto]) : NULL;
}

bool aggregator_openapi_v2(struct api_req *q, bool proto, openapi_own_fn *own)
{
	struct aggregator *g = q->server->aggregator;
	struct specs l = { 0 };
	struct agg_doc *k;

	if (!atomic_load(&g->n_remote))
		return false;
	pthread_mutex_lock(&g->spec_making); /* they are large: one at a time, and made once */
	pthread_mutex_lock(&g->lock);
	k = spec_doc_there(q, proto);
	if (!k)
		specs_take(g, &l);
	pthread_mutex_unlock(&g->lock);
	if (l.n) {
		k = spec_make(q, proto, &l, own);
		pthread_mutex_lock(&g->lock);
		if (g->spec_changes == l.changes) {
			if (g->specs_of != q->api) {
				agg_specs_drop(g);
				g->specs_of = api_set_ref(q->api);
			}
			agg_doc_unref(g->spec_docs[proto]);
			g->spec_docs[proto] = agg_doc_ref(k);
		}
		pthread_mutex_unlock(&g->lock);
	}
	pthread_mutex_unlock(&g->spec_making);
	specs_release(&l);
	if (!k)
		return false;
	agg_doc_answer(q, k, proto ? spec_type : "application/json");
	return true;
}
