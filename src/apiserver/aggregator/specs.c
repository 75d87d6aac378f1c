/* Others' OpenAPI documents of version 2 in ours. One is asked for once its server has answered about its discovery, a
 * minute after the last time, with the tag that it had: mostly the answer is that it is still that. What it cannot tell
 * it has told before, until its APIService goes. Nobody who asks waits for another server (specs_merged.c). */
#include "apiserver/aggregator/aggregator-internal.h"
#include "apiserver/aggregator/spec.h"
#include "base/log.h"

#include <stdlib.h>

#define SPEC_PERIOD_NS (60 * NS_PER_SEC)
#define SPEC_UNTAGGED_NS (5 * SPEC_PERIOD_NS) /* of who sends it whole each time */
#define SPEC_TIMEOUT_NS (10 * NS_PER_SEC)
#define SPEC_TAG_MAX 256

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
		agg_specs_changed(g);
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
