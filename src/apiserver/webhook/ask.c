#include "apiserver/webhook/ask.h"
#include "apiserver/apiserver-internal.h"
#include "apiserver/steps.h"
#include "apiserver/webhook/kubeconfig.h"
#include "base/strmap.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

struct webhook_asker {
	atomic_int refs;
	struct webhook_asker_opts o;
	struct webhook_peer peer;
	pthread_mutex_t lock;
	struct strmap known; /* under the lock: from a question to struct ask_answer */
};

/* What it answered, one allocation. */
struct ask_answer {
	int64_t until_ns; /* monotonic */
	size_t n;
	char text[];
};

/* References: the request's arena's, that of the call, that of the result. */
struct webhook_asked {
	atomic_int refs;
	struct webhook_asker *w;
	struct apiserver *s;
	char *question;		   /* owned */
	struct webhook_call *call; /* the last one; under the lock */
	struct req_ticket *ticket;
	int64_t timeout_ns;
	bool remembered, in_result;
	/* Of the call under way, or of the next one. Recursive: a call may end while it is made. */
	pthread_mutex_t lock;
	struct env_timer *timer; /* until it is made again */
	unsigned tries;
	bool cancelled;
	/* Before the ticket is resumed. */
	bool done;
	struct buf body;
	struct err err;
};

struct webhook_asker *webhook_asker_new(const struct webhook_asker_opts *o, struct err *err)
{
	struct webhook_asker *w = xcalloc(1, sizeof(*w));

	w->o = *o;
	atomic_init(&w->refs, 1);
	pthread_mutex_init(&w->lock, NULL);
	return webhook_peer_read(&w->peer, o->kubeconfig, err) < 0 ? webhook_asker_unref(w) : w;
}

struct webhook_asker *webhook_asker_unref(struct webhook_asker *w)
{
	if (!w || atomic_fetch_sub(&w->refs, 1) != 1)
		return NULL;
	if (w->peer.target)
		webhook_peer_release(&w->peer);
	strmap_release_with(&w->known, free);
	pthread_mutex_destroy(&w->lock);
	free(w);
	return NULL;
}

static void asked_unref(void *p)
{
	struct webhook_asked *k = p;

	if (atomic_fetch_sub(&k->refs, 1) != 1)
		return;
	webhook_call_unref(k->call);
	webhook_asker_unref(k->w);
	pthread_mutex_destroy(&k->lock);
	buf_release(&k->body);
	err_release(&k->err);
	free(k->question);
	free(k);
}

/* --- what is remembered --- */

bool webhook_ask_known(struct webhook_asker *w, struct api_req *q, struct sv question, struct sv *ret_body)
{
	const struct ask_answer *v;
	bool known;

	if (question.n > w->o.question_kept)
		return false;
	pthread_mutex_lock(&w->lock);
	v = strmap_get(&w->known, question);
	known = v && env_mono_ns(q->server->env) < v->until_ns;
	if (known)
		*ret_body = arena_sv(q->arena, sv_make(v->text, v->n));
	pthread_mutex_unlock(&w->lock);
	return known;
}

void webhook_ask_remember(struct webhook_asked *k, int64_t life_ns)
{
	struct webhook_asker *w = k->w;
	struct sv question = sv_from(k->question);
	struct ask_answer *v;

	if (k->remembered || !life_ns || question.n > w->o.question_kept || k->body.n > w->o.answer_kept)
		return;
	k->remembered = true;
	v = xcalloc(1, sizeof(*v) + k->body.n + 1);
	v->n = k->body.n;
	if (v->n)
		memcpy(v->text, k->body.p, v->n);
	if (__builtin_add_overflow(env_mono_ns(k->s->env), life_ns, &v->until_ns))
		v->until_ns = INT64_MAX;
	pthread_mutex_lock(&w->lock);
	if (w->known.n >= w->o.known_max)
		strmap_release_with(&w->known, free);
	v = strmap_set(&w->known, question, v);
	pthread_mutex_unlock(&w->lock);
	free(v);
}

/* --- asking --- */

static void asked_send(struct webhook_asked *k);

/* No call comes any more: what the call would have given back. */
static void asked_given_up(struct webhook_asked *k)
{
	req_ticket_unref(k->ticket);
	asked_unref(k);
}

/* The pause is over. */
static void asked_again(void *ctx)
{
	struct webhook_asked *k = ctx;
	bool cancelled;

	atomic_fetch_add(&k->refs, 1); /* the call may end at once, and its request with it */
	pthread_mutex_lock(&k->lock);
	if (k->timer)
		k->timer = env_timer_cancel(k->s->env, k->timer);
	cancelled = k->cancelled;
	if (!cancelled)
		asked_send(k); /* under the lock: while the server is there, for its end cancels */
	pthread_mutex_unlock(&k->lock);
	if (cancelled)
		asked_given_up(k);
	asked_unref(k);
}

/* It may go well the next time, which has been arranged for. */
static bool asked_retries(struct webhook_asked *k, const struct webhook_answer *a)
{
	bool passes = a->status == 429 || a->status == 500 || a->status == 504 || a->err.errnum == ECONNRESET;
	int64_t pause_ns = 500 * NS_PER_MS;
	bool again = false;

	pthread_mutex_lock(&k->lock);
	if (a->err.reason && passes && !a->late && !k->cancelled && k->tries < WEBHOOK_ASK_TRIES) {
		for (unsigned i = 1; i < k->tries; i++)
			pause_ns += pause_ns / 2;
		again = true;
		k->timer = env_after(k->s->env, ENV_REQUESTS, pause_ns, asked_again, k);
	}
	pthread_mutex_unlock(&k->lock);
	return again;
}

static void asked_done(struct webhook_answer *answer_take, void *ctx)
{
	struct webhook_asked *k = ctx;

	if (asked_retries(k, answer_take)) {
		webhook_answer_free(answer_take);
		return;
	}
	if (answer_take->err.reason)
		err_move(&k->err, &answer_take->err);
	else
		buf_addsv(&k->body, buf_sv(&answer_take->body));
	webhook_answer_free(answer_take);
	k->done = true;
	if (k->in_result) {
		atomic_fetch_add(&k->refs, 1);
		(void)req_resume(k->ticket, k, asked_unref);
	} else {
		(void)req_resume(k->ticket, NULL, NULL);
	}
	asked_unref(k);
}

/* Under the lock, with the reference of the call. */
static void asked_send(struct webhook_asked *k)
{
	struct webhook_call *was = k->call;

	k->tries++;
	k->call = webhook_call(k->s, &(struct webhook_call_opts){
					 .target = k->w->peer.target,
					 .body = sv_from(k->question),
					 .timeout_ns = k->timeout_ns,
					 .answer_max = k->w->o.answer_max,
					 .done = asked_done,
					 .ctx = k,
					 .given = true,
					 .as = k->w->peer.as,
				     });
	webhook_call_unref(was);
}

static void asked_cancel(void *ctx)
{
	struct webhook_asked *k = ctx;
	struct env_timer *timer;

	pthread_mutex_lock(&k->lock);
	k->cancelled = true;
	timer = k->timer;
	k->timer = NULL;
	webhook_call_cancel(k->call);
	pthread_mutex_unlock(&k->lock);
	if (timer && env_timer_stop(k->s->env, timer))
		asked_given_up(k);
}

struct webhook_asked *webhook_ask_send(struct webhook_asker *w, struct api_req *q, struct sv question,
				       int64_t timeout_ns, bool in_result)
{
	struct webhook_asked *k = xcalloc(1, sizeof(*k));
	pthread_mutexattr_t recursive;

	atomic_init(&k->refs, 2);
	atomic_fetch_add(&w->refs, 1);
	pthread_mutexattr_init(&recursive);
	pthread_mutexattr_settype(&recursive, PTHREAD_MUTEX_RECURSIVE);
	pthread_mutex_init(&k->lock, &recursive);
	pthread_mutexattr_destroy(&recursive);
	k->w = w;
	k->s = q->server;
	k->in_result = in_result;
	k->timeout_ns = timeout_ns;
	k->question = xasprintf("%.*s", SV_ARG(question));
	arena_defer(q->arena, asked_unref, k);
	k->ticket = req_suspend(q, w->o.what, asked_cancel, k);
	pthread_mutex_lock(&k->lock);
	asked_send(k);
	pthread_mutex_unlock(&k->lock);
	return k;
}

bool webhook_asked_is(const struct webhook_asked *k, const struct webhook_asker *w, struct sv question)
{
	return k->done && k->w == w && sv_is(question, k->question);
}

int webhook_asked_answer(const struct webhook_asked *k, struct sv *ret_body, struct err *err)
{
	if (k->err.reason) {
		err_copy(err, &k->err);
		return -1;
	}
	*ret_body = buf_sv(&k->body);
	return 0;
}
