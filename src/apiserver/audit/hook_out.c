/* Events to a program outside, as upstream's webhook backend sends them: an EventList in JSON, to the server of a
 * kubeconfig, as its user.
 *
 *	IDLE ──an event──▶ WAITING ──full, or max-wait──▶ SENDING ──well──▶ IDLE, or the next one
 *	                                      ▲              │failed
 *	                                      └── back-off ──┘  five times, then the batch is lost, and counted
 *
 * One batch is under way at a time, and batches are throttled; what comes meanwhile waits, as much as the buffer
 * has room for. */
#include "apiserver/audit/audit-internal.h"
#include "apiserver/webhook/credentials.h"
#include "apiserver/webhook/webhook.h"
#include "base/b64.h"
#include "base/bucket.h"
#include "base/list.h"
#include "base/timefmt.h"
#include "client/kubeconfig.h"

#include <stdlib.h>

#define BATCH_EVENTS 400
#define BUFFER_EVENTS 10000
#define BUFFER_BYTES ((size_t)16 << 20)
#define BATCH_BYTES ((size_t)10 << 20)
#define BURST 15
#define PER_SECOND 10.0
#define BACKOFF_NS (10 * NS_PER_SEC)
#define MAX_WAIT_NS (30 * NS_PER_SEC)
#define CALL_NS (5 * NS_PER_SEC)
#define ANSWER_MAX ((size_t)64 << 10)
#define ATTEMPTS 5

struct hook_item {
	struct list link;
	size_t n;
	char json[];
};

struct audit_hook {
	struct audit *a;
	audit_lost_fn *lost;
	struct arena arena; /* of the kubeconfig */
	struct webhook_target *target;
	struct webhook_credential as;
	int64_t backoff_ns, max_wait_ns;
	size_t batch_max, buffer_max, bytes_max;
	int burst;
	int64_t every_ns; /* batches are that far apart, but for a burst; 0: as they come */
	pthread_mutex_t mu;
	pthread_cond_t changed;
	/* Guarded by mu. */
	struct list queue;
	size_t n, bytes;
	struct buf body; /* the batch under way, or waiting for its next attempt; empty: none */
	size_t batch_n;
	int attempt;
	struct bucket room; /* for batches */
	size_t ones;	    /* events under way by themselves */
	bool calling, stopping;
	struct env_timer *timer; /* for what has to wait; NULL: nothing has */
	bool timing, running;	 /* it is set; its function is at work */
};

static void hook_send(struct audit_hook *h);

/* --- time; the lock is held --- */

static void hook_due(void *ctx)
{
	struct audit_hook *h = ctx;

	pthread_mutex_lock(&h->mu);
	h->timer = env_timer_cancel(h->a->s->env, h->timer);
	h->timing = false;
	h->running = true;
	if (!h->calling)
		hook_send(h);
	h->running = false;
	pthread_cond_broadcast(&h->changed);
	pthread_mutex_unlock(&h->mu);
}

static void hook_arm(struct audit_hook *h, int64_t ns)
{
	if (h->timing || h->stopping)
		return;
	h->timing = true;
	h->timer = env_after(h->a->s->env, ENV_CONTROL, ns, hook_due, h);
}

/* --- batches; the lock is held --- */

static const char hook_head[] =
    "{\"kind\":\"EventList\",\"apiVersion\":\"audit.k8s.io/v1\",\"metadata\":{},\"items\":[";

/* In a list its kind says what an item is. */
static void hook_add_item(struct buf *b, struct sv json)
{
	static const struct sv kind = { "\"kind\":\"Event\",\"apiVersion\":\"audit.k8s.io/v1\",", 46 };

	if (sv_starts(sv_sub(json, 1, json.n), kind))
		json = sv_sub(json, 1 + kind.n, json.n);
	buf_addc(b, '{');
	buf_addsv(b, json);
}

static void hook_fill(struct audit_hook *h)
{
	buf_adds(&h->body, hook_head);
	h->batch_n = 0;
	while (!list_empty(&h->queue) && h->batch_n < h->batch_max && h->body.n < h->bytes_max) {
		struct hook_item *it = LIST_ENTRY(h->queue.next, struct hook_item, link);

		if (h->batch_n++)
			buf_addc(&h->body, ',');
		hook_add_item(&h->body, sv_make(it->json, it->n));
		list_del(&it->link);
		h->n--;
		h->bytes -= it->n;
		free(it);
	}
	buf_adds(&h->body, "]}");
	h->attempt = 0;
}

static size_t hook_drop(struct audit_hook *h)
{
	size_t n = h->n;

	LIST_EACH(&h->queue, l) {
		list_del(l);
		free(LIST_ENTRY(l, struct hook_item, link));
	}
	h->n = h->bytes = 0;
	return n;
}

static void hook_done(struct webhook_answer *answer, void *ctx)
{
	struct audit_hook *h = ctx;
	bool well = answer->status >= 200 && answer->status <= 299, again;
	struct err why = ERR_INIT;
	size_t lost = 0;

	pthread_mutex_lock(&h->mu);
	h->calling = false;
	again = !well && !h->stopping && ++h->attempt < ATTEMPTS &&
		(!answer->status || answer->status == 429 || answer->status >= 500);
	if (!again) {
		lost = well ? 0 : h->batch_n;
		buf_release(&h->body);
		h->batch_n = 0;
	}
	/* Nobody will be asked twice at the end: what is left then is as lost as this. */
	if (!well && h->stopping)
		lost += hook_drop(h);
	if (again) {
		int64_t ns = h->backoff_ns;

		for (int i = 1; i < h->attempt; i++)
			ns += ns / 2;
		hook_arm(h, env_jitter(h->a->s->env, ns, 200));
	} else if (h->n >= h->batch_max || h->stopping) {
		hook_send(h);
	} else if (h->n) {
		hook_arm(h, h->max_wait_ns);
	}
	pthread_cond_broadcast(&h->changed);
	pthread_mutex_unlock(&h->mu);
	/* Whoever stops has waited for all that is under way: h is there as long as its server. */
	if (lost) {
		if (!answer->err.reason)
			err_set(&why, ERR_UNAVAILABLE, "the webhook answered %d", answer->status);
		h->lost(h->a, lost, answer->err.reason ? &answer->err : &why);
		err_release(&why);
	}
	webhook_answer_free(answer);
}

/* What is full, or has waited long enough, or failed before. done() may come before it returns: not under the lock. */
static void hook_send(struct audit_hook *h)
{
	struct webhook_call_opts o = { .target = h->target,
				       .as = &h->as,
				       .timeout_ns = CALL_NS,
				       .answer_max = ANSWER_MAX,
				       .done = hook_done,
				       .ctx = h };
	_cleanup_(buf_release) struct buf body = BUF_INIT;
	unsigned missing;

	if (h->calling || (!h->n && !h->body.n))
		return;
	if (!h->body.n && h->every_ns && !h->stopping &&
	    !bucket_take(&h->room, h->burst, h->every_ns, env_mono_ns(h->a->s->env), &missing)) {
		hook_arm(h, h->every_ns);
		return;
	}
	if (!h->body.n)
		hook_fill(h);
	h->calling = true;
	buf_addsv(&body, buf_sv(&h->body));
	o.body = buf_sv(&body);
	pthread_mutex_unlock(&h->mu);
	(void)webhook_call_unref(webhook_call(h->a->s, &o));
	pthread_mutex_lock(&h->mu);
}

int audit_hook_add(struct audit_hook *h, struct sv json, struct err *err)
{
	struct hook_item *it;
	bool room;

	pthread_mutex_lock(&h->mu);
	room = !h->stopping && h->n < h->buffer_max && h->bytes + json.n <= BUFFER_BYTES;
	if (room) {
		it = xmalloc(sizeof(*it) + json.n);
		it->n = json.n;
		memcpy(it->json, json.p, json.n);
		list_add_tail(&h->queue, &it->link);
		h->n++;
		h->bytes += json.n;
		if (h->n >= h->batch_max && !h->body.n)
			hook_send(h);
		else if (!h->calling)
			hook_arm(h, h->max_wait_ns);
	}
	pthread_mutex_unlock(&h->mu);
	return room ? 0 : err_set(err, ERR_UNAVAILABLE, "audit backend queue is full");
}

/* --- one by itself, for who waits for it --- */

struct hook_one {
	struct audit_hook *h;
	audit_sent_fn *sent;
	void *ctx;
};

static void hook_one_done(struct webhook_answer *answer, void *ctx)
{
	struct hook_one *one = ctx;
	struct audit_hook *h = one->h;
	bool well = answer->status >= 200 && answer->status <= 299;
	struct err why = ERR_INIT;

	if (!well && answer->err.reason)
		err_copy(&why, &answer->err);
	else if (!well)
		err_set(&why, ERR_UNAVAILABLE, "the webhook answered %d", answer->status);
	webhook_answer_free(answer);
	if (!well)
		h->lost(h->a, 1, &why);
	one->sent(one->ctx, well ? NULL : &why);
	err_release(&why);
	free(one);
	pthread_mutex_lock(&h->mu);
	h->ones--;
	pthread_cond_broadcast(&h->changed);
	pthread_mutex_unlock(&h->mu);
}

void audit_hook_send_now(struct audit_hook *h, struct sv json, audit_sent_fn *sent, void *ctx)
{
	_cleanup_(buf_release) struct buf body = BUF_INIT;
	struct webhook_call_opts o = { .target = h->target,
				       .as = &h->as,
				       .timeout_ns = CALL_NS,
				       .answer_max = ANSWER_MAX,
				       .done = hook_one_done };
	struct hook_one *one = xcalloc(1, sizeof(*one));

	*one = (struct hook_one){ h, sent, ctx };
	o.ctx = one;
	buf_adds(&body, hook_head);
	hook_add_item(&body, json);
	buf_adds(&body, "]}");
	o.body = buf_sv(&body);
	pthread_mutex_lock(&h->mu);
	h->ones++;
	pthread_mutex_unlock(&h->mu);
	(void)webhook_call_unref(webhook_call(h->a->s, &o));
}

/* --- life --- */

static int hook_duration(const char *flag, const char *text, int64_t or_else, int64_t *ret, struct err *err)
{
	*ret = or_else;
	if (text && (!duration_parse(sv_from(text), ret) || *ret <= 0))
		return err_set(err, ERR_INVALID, "--%s takes a duration like 10s, not '%s'", flag, text);
	return 0;
}

static int hook_throttle(struct audit_hook *h, const struct audit_opts *o, struct err *err)
{
	char *end;
	double qps = o->hook_qps ? strtod(o->hook_qps, &end) : PER_SECOND;

	if (o->hook_qps && (end == o->hook_qps || *end || !(qps > 0) || qps > 1e6))
		return err_set(err, ERR_INVALID,
			       "invalid audit batch webhook throttle QPS %s, must be a positive number", o->hook_qps);
	if (o->hook_burst < 0)
		return err_set(err, ERR_INVALID,
			       "invalid audit batch webhook throttle burst %d, must be a positive number",
			       o->hook_burst);
	h->burst = o->hook_burst ? o->hook_burst : BURST;
	h->every_ns = o->hook_no_throttle ? 0 : (int64_t)(1e9 / qps);
	return 0;
}

static int hook_configure(struct audit_hook *h, const struct audit_opts *o, struct err *err)
{
	struct kubeconfig k;
	struct val *cc;

	if (o->hook_mode && strcmp(o->hook_mode, "batch") != 0 && strcmp(o->hook_mode, "blocking") != 0 &&
	    strcmp(o->hook_mode, "blocking-strict") != 0)
		return err_set(err, ERR_INVALID,
			       "invalid audit webhook mode %s, allowed modes are \"batch,blocking,blocking-strict\"",
			       o->hook_mode);
	if (hook_throttle(h, o, err) < 0)
		return -1;
	if (o->hook_batch_bytes < 0)
		return err_set(err, ERR_INVALID, "--audit-webhook-truncate-max-batch-size is not negative");
	h->bytes_max = o->hook_batch_bytes ? (size_t)o->hook_batch_bytes : BATCH_BYTES;
	if (o->hook_batch_size < 0 || o->hook_buffer_size < 0)
		return err_set(err, ERR_INVALID, "--audit-webhook-batch-max-size and -buffer-size are not negative");
	if (hook_duration("audit-webhook-initial-backoff", o->hook_backoff, BACKOFF_NS, &h->backoff_ns, err) < 0 ||
	    hook_duration("audit-webhook-batch-max-wait", o->hook_max_wait, MAX_WAIT_NS, &h->max_wait_ns, err) < 0)
		return -1;
	h->batch_max = (size_t)(o->hook_batch_size ? o->hook_batch_size : BATCH_EVENTS);
	h->buffer_max = (size_t)(o->hook_buffer_size ? o->hook_buffer_size : BUFFER_EVENTS);
	h->batch_max = MIN(h->batch_max, h->buffer_max);
	if (kubeconfig_load(&h->arena, o->hook_config, NULL, &k, err) < 0)
		return err_wrap(err, "--audit-webhook-config-file");
	if (!sv_starts(sv_from(k.server), SV("https://")) || k.insecure || k.token_file || k.impersonate_user)
		return err_set(err, ERR_INVALID,
			       "--audit-webhook-config-file '%s': events go by https, to who shows a certificate, as a "
			       "user with a certificate or a token",
			       o->hook_config);
	h->as = (struct webhook_credential){ .name = SV("audit"),
					     .cert_pem = k.cert_pem,
					     .key_pem = k.key_pem,
					     .authorization =
						 k.token ? arena_svf(&h->arena, "Bearer %s", k.token) : SV("") };
	cc = val_new_map(&h->arena);
	val_set_cstr(&h->arena, cc, F_url, k.server);
	if (k.ca_pem.n)
		val_set_str(&h->arena, cc, F_caBundle, b64_encode(&h->arena, k.ca_pem));
	h->target = webhook_target_new(cc);
	return 0;
}

struct audit_hook *audit_hook_new(struct audit *a, const struct audit_opts *o, audit_lost_fn *lost, struct err *err)
{
	struct audit_hook *h = xcalloc(1, sizeof(*h));

	h->a = a;
	h->lost = lost;
	list_init(&h->queue);
	pthread_mutex_init(&h->mu, NULL);
	pthread_cond_init(&h->changed, NULL);
	return hook_configure(h, o, err) < 0 ? audit_hook_free(h) : h;
}

void audit_hook_stop(struct audit_hook *h)
{
	struct env_timer *t;

	pthread_mutex_lock(&h->mu);
	if (!h->stopping) {
		h->stopping = true;
		t = TAKE(h->timer);
		if (t && env_timer_stop(h->a->s->env, t))
			h->timing = false;
		hook_send(h); /* and hook_done() the rest: each batch once */
	}
	while (h->timing || h->running || h->calling || h->ones)
		pthread_cond_wait(&h->changed, &h->mu);
	pthread_mutex_unlock(&h->mu);
}

struct audit_hook *audit_hook_free(struct audit_hook *h)
{
	if (!h)
		return NULL;
	(void)hook_drop(h);
	webhook_target_unref(h->target);
	buf_release(&h->body);
	arena_release(&h->arena);
	pthread_cond_destroy(&h->changed);
	pthread_mutex_destroy(&h->mu);
	free(h);
	return NULL;
}
