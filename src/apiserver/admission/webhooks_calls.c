/* The calls of a step, as a batch. It is the request's, and of each call under way; the last that ends resumes the
 * request. A request that is not waited for any more cancels what is under way. */
#include "apiserver/admission/webhooks.h"

#include <stdlib.h>

static void batch_unref(void *p)
{
	struct hook_batch *b = p;

	if (atomic_fetch_sub(&b->refs, 1) != 1)
		return;
	for (size_t i = 0; i < b->n; i++) {
		webhook_answer_free(b->slots[i].answer);
		webhook_call_unref(b->slots[i].call);
	}
	free(b);
}

static void batch_ended(struct hook_batch *b)
{
	if (atomic_fetch_sub(&b->left, 1) == 1)
		(void)req_resume(b->ticket, b, NULL);
}

static void slot_done(struct webhook_answer *answer_take, void *ctx)
{
	struct hook_slot *s = ctx;
	struct hook_batch *b = s->batch;

	s->answer = answer_take;
	s->took_ns = env_mono_ns(b->env) - s->began_ns;
	batch_ended(b);
	batch_unref(b);
}

static void batch_cancel(void *ctx)
{
	struct hook_batch *b = ctx;

	for (size_t i = 0; i < b->n; i++)
		if (b->slots[i].call)
			webhook_call_cancel(b->slots[i].call);
}

static int64_t hook_time(struct api_req *q, const struct hook *h)
{
	int64_t until = req_deadline_ns(q), ns = h->timeout_s * NS_PER_SEC;

	if (until != INT64_MAX)
		ns = MIN(ns, MAX(until - env_mono_ns(q->server->env), NS_PER_MS));
	return ns;
}

int hook_call_all(struct hook_turn *t)
{
	struct api_req *q = t->e.q;
	struct env *env = q->server->env;
	struct hook_batch *b = xcalloc(1, sizeof(*b) + t->n_asks * sizeof(b->slots[0]));
	_cleanup_(buf_release) struct buf text = BUF_INIT;

	atomic_init(&b->refs, 2); /* the request's, and ours */
	atomic_init(&b->left, t->n_asks + 1);
	b->env = env;
	b->n = t->n_asks;
	t->batch = b;
	arena_defer(q->arena, batch_unref, b);
	b->ticket = req_suspend(q, "an admission webhook", batch_cancel, b);
	for (size_t i = 0; i < t->n_asks; i++) {
		const struct hook_ask *ask = &t->asks[i];
		struct hook_slot *s = &b->slots[i];

		s->batch = b;
		s->began_ns = env_mono_ns(env);
		env_uuid(env, s->uid);
		buf_clear(&text);
		hook_review_write(&text, &ask->m, &t->e, ask->doc, ask->old, s->uid);
		atomic_fetch_add(&b->refs, 1);
		s->call = webhook_call(q->server, &(struct webhook_call_opts){
						      .target = ask->m.hook->target,
						      .body = buf_sv(&text),
						      .timeout_ns = hook_time(q, ask->m.hook),
						      .answer_max = HOOK_ANSWER_MAX,
						      .done = slot_done,
						      .ctx = s,
						  });
	}
	batch_ended(b);
	batch_unref(b);
	return REQ_LATER;
}
