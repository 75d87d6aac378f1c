/* The hooks of a request, and how its events are given to the file. */
#include "apiserver/audit/audit-internal.h"
#include "base/log.h"

#include <stdlib.h>

#define EVENT_SIZE 102400
#define QUEUE_EVENTS 10000
#define QUEUE_BYTES ((size_t)16 << 20)
#define ID_MAX 256
#define TELL_NS (60 * NS_PER_SEC)

/* --- what could not be noted --- */

/* Counted, and told once in a while. */
static void audit_lost(struct audit *a, const char *plugin, size_t events, const struct err *why)
{
	int64_t now = env_mono_ns(a->s->env);
	bool tell;

	atomic_fetch_add(strcmp(plugin, "log") == 0 ? &a->errors : &a->hook_errors, events);
	pthread_mutex_lock(&a->mu);
	tell = !a->told_ns || now - a->told_ns >= TELL_NS;
	if (tell)
		a->told_ns = now;
	pthread_mutex_unlock(&a->mu);
	if (tell)
		log_error("audit", "events are lost", "error", "%s: %s", plugin, err_msg(why));
}

static void audit_lost_hook(struct audit *a, size_t events, const struct err *why)
{
	audit_lost(a, "webhook", events, why);
}

/* --- life --- */

int audit_new(struct apiserver *s, const struct audit_opts *o, struct audit **ret, struct err *err)
{
	const char *mode = o->log_mode ? o->log_mode : "blocking", *format = o->log_format ? o->log_format : "json";
	struct audit *a;

	*ret = NULL;
	if (strcmp(mode, "blocking") != 0 && strcmp(mode, "blocking-strict") != 0 && strcmp(mode, "batch") != 0)
		return err_set(err, ERR_INVALID,
			       "invalid audit log mode %s, allowed modes are \"batch,blocking,blocking-strict\"", mode);
	if (strcmp(format, "json") != 0 && strcmp(format, "legacy") != 0)
		return err_set(err, ERR_INVALID, "invalid audit log format %s, allowed formats are \"legacy,json\"",
			       format);
	if (o->max_age < 0)
		return err_set(err, ERR_INVALID, "--audit-log-maxage %d can't be a negative number", o->max_age);
	if (o->max_backup < 0)
		return err_set(err, ERR_INVALID, "--audit-log-maxbackup %d can't be a negative number", o->max_backup);
	if (o->max_size < 0)
		return err_set(err, ERR_INVALID, "--audit-log-maxsize %d can't be a negative number", o->max_size);
	if (!o->policy_file) {
		if (o->log_path)
			log_warn("audit", "No audit policy file provided, no events will be recorded for log backend",
				 "path", "%s", o->log_path);
		return 0;
	}
	a = xcalloc(1, sizeof(*a));
	a->s = s;
	a->o = *o;
	a->strict = strcmp(mode, "blocking-strict") == 0;
	a->batch = strcmp(mode, "batch") == 0;
	a->hook_strict = o->hook_config && o->hook_mode && strcmp(o->hook_mode, "blocking-strict") == 0;
	a->hook_blocks = a->hook_strict || (o->hook_config && o->hook_mode && strcmp(o->hook_mode, "blocking") == 0);
	pthread_mutex_init(&a->mu, NULL);
	pthread_cond_init(&a->idle, NULL);
	a->policy = audit_policy_read(&a->arena, o->policy_file, err);
	if (!a->policy || (o->log_path && !(a->log = audit_log_open(s->env, o, err))) ||
	    (o->hook_config && !(a->hook = audit_hook_new(a, o, audit_lost_hook, err)))) {
		(void)audit_free(a);
		return -1;
	}
	if (!a->log && !a->hook)
		log_warn("audit", "there is a policy, and nowhere for its events to go", "policy", "%s",
			 o->policy_file);
	*ret = a;
	return 0;
}

void audit_stop(struct audit *a)
{
	if (a && a->hook)
		audit_hook_stop(a->hook);
}

struct audit *audit_free(struct audit *a)
{
	if (!a)
		return NULL;
	audit_stop(a);
	a->hook = audit_hook_free(a->hook);
	pthread_mutex_lock(&a->mu);
	while (a->writing)
		pthread_cond_wait(&a->idle, &a->mu);
	pthread_mutex_unlock(&a->mu);
	a->log = audit_log_free(a->log);
	buf_release(&a->queue);
	arena_release(&a->arena);
	pthread_cond_destroy(&a->idle);
	pthread_mutex_destroy(&a->mu);
	free(a);
	return NULL;
}

void audit_metrics(struct apiserver *s, struct buf *b)
{
	struct audit *a = s->audit;

	if (!a)
		return;
	buf_printf(b,
		   "# HELP apiserver_audit_event_total [ALPHA] Counter of audit events generated and sent to the audit "
		   "backend.\n# TYPE apiserver_audit_event_total counter\napiserver_audit_event_total %" PRIu64 "\n",
		   (uint64_t)atomic_load(&a->events));
	buf_printf(
	    b,
	    "# HELP apiserver_audit_error_total [ALPHA] Counter of audit events that failed to be audited properly. "
	    "Plugin identifies the plugin affected by the error.\n# TYPE apiserver_audit_error_total counter\n"
	    "apiserver_audit_error_total{plugin=\"log\"} %" PRIu64 "\n"
	    "apiserver_audit_error_total{plugin=\"webhook\"} %" PRIu64 "\n",
	    (uint64_t)atomic_load(&a->errors), (uint64_t)atomic_load(&a->hook_errors));
	buf_printf(
	    b,
	    "# HELP apiserver_audit_requests_rejected_total [ALPHA] Counter of apiserver requests rejected due to an "
	    "error in audit logging backend.\n# TYPE apiserver_audit_requests_rejected_total counter\n"
	    "apiserver_audit_requests_rejected_total %" PRIu64 "\n",
	    (uint64_t)atomic_load(&a->rejected));
	buf_adds(
	    b, "# HELP apiserver_audit_level_total [ALPHA] Counter of policy levels for audit events (1 per request).\n"
	       "# TYPE apiserver_audit_level_total counter\n");
	for (enum audit_level l = LEVEL_NONE; l < _LEVEL_MAX; l++)
		buf_printf(b, "apiserver_audit_level_total{level=\"%s\"} %" PRIu64 "\n", audit_level_name(l),
			   (uint64_t)atomic_load(&a->levels[l]));
}

/* --- to the file --- */

static void write_queued(void *ctx)
{
	struct audit *a = ctx;

	pthread_mutex_lock(&a->mu);
	while (a->queue.n) {
		_cleanup_(buf_release) struct buf b = a->queue;
		_cleanup_(err_release) struct err err = ERR_INIT;
		size_t n = a->queued;

		a->queue = BUF_INIT;
		a->queued = 0;
		pthread_mutex_unlock(&a->mu);
		if (audit_log_write(a->log, buf_sv(&b), &err) < 0)
			audit_lost(a, "log", n, &err);
		pthread_mutex_lock(&a->mu);
	}
	a->writing = false;
	pthread_cond_broadcast(&a->idle);
	pthread_mutex_unlock(&a->mu);
}

static int audit_queue(struct audit *a, struct sv line, struct err *err)
{
	size_t most = (size_t)(a->o.batch_size > 0 ? a->o.batch_size : QUEUE_EVENTS);
	bool start = false, room;

	pthread_mutex_lock(&a->mu);
	room = a->queued < most && a->queue.n + line.n <= QUEUE_BYTES;
	if (room) {
		buf_addsv(&a->queue, line);
		a->queued++;
		start = !a->writing;
		a->writing = true;
	}
	pthread_mutex_unlock(&a->mu);
	if (start)
		env_post(a->s->env, ENV_SLOW, write_queued, a);
	return room ? 0 : err_set(err, ERR_UNAVAILABLE, "audit backend queue is full");
}

/* Large ones lose their objects, for whoever asked for that. */
static int audit_encode_cut(struct api_req *q, struct audit_event *e, enum audit_stage stage, bool json, bool hook,
			    struct buf *b, struct err *err)
{
	const struct audit_opts *o = &q->server->audit->o;
	bool truncate = hook ? o->hook_truncate : o->truncate;
	int size = hook ? o->hook_event_size : o->truncate_event_size;
	size_t most = (size_t)(size > 0 ? size : EVENT_SIZE);

	e->cut = false; /* the other one may be told all */

	for (int i = 0; i < 2; i++) {
		if (json)
			audit_event_json(q, e, stage, b);
		else
			audit_event_legacy(q, e, stage, b);
		if (!truncate || b->n <= most)
			return 0;
		e->cut = true;
		if (i == 0)
			buf_clear(b);
	}
	return err_set(err, ERR_TOO_LARGE, "an event is too large even without its objects");
}

static int audit_to_log(struct api_req *q, struct audit_event *e, enum audit_stage stage, struct err *err)
{
	struct audit *a = q->server->audit;
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	bool json = !a->o.log_format || strcmp(a->o.log_format, "json") == 0;

	if (audit_encode_cut(q, e, stage, json, false, &b, err) < 0)
		return -1;
	return a->batch ? audit_queue(a, buf_sv(&b), err) : audit_log_write(a->log, buf_sv(&b), err);
}

static int audit_to_hook(struct api_req *q, struct audit_event *e, enum audit_stage stage, struct err *err)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	if (audit_encode_cut(q, e, stage, true, true, &b, err) < 0)
		return -1;
	return audit_hook_add(q->server->audit->hook, sv_sub(buf_sv(&b), 0, b.n - 1), err);
}

/* The event alone, now; sent() comes in any case. */
static void audit_to_hook_now(struct api_req *q, struct audit_event *e, enum audit_stage stage, audit_sent_fn *sent,
			      void *ctx)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	_cleanup_(err_release) struct err why = ERR_INIT;
	struct audit *a = q->server->audit;

	if (audit_encode_cut(q, e, stage, true, true, &b, &why) == 0) {
		audit_hook_send_now(a->hook, sv_sub(buf_sv(&b), 0, b.n - 1), sent, ctx);
		return;
	}
	audit_lost(a, "webhook", 1, &why);
	sent(ctx, &why);
}

static bool audit_omits(const struct audit_event *e, enum audit_stage stage)
{
	return e->verdict.omit_stages & (1U << stage);
}

static int audit_emit_log(struct api_req *q, struct audit_event *e, enum audit_stage stage, struct err *err)
{
	_cleanup_(err_release) struct err why = ERR_INIT;
	struct audit *a = q->server->audit;

	if (!a->log || audit_to_log(q, e, stage, &why) == 0)
		return 0;
	audit_lost(a, "log", 1, &why);
	return err_set(err, ERR_INTERNAL, "audit backend failed: %s", err_msg(&why));
}

static void audit_sent_unasked(void *ctx, const struct err *why)
{
	(void)ctx;
	(void)why;
}

/* For who does not wait, whatever the mode. */
static int audit_emit(struct api_req *q, struct audit_event *e, enum audit_stage stage, struct err *err)
{
	_cleanup_(err_release) struct err hook_why = ERR_INIT;
	struct audit *a = q->server->audit;

	if (audit_omits(e, stage))
		return 0;
	atomic_fetch_add(&a->events, 1);
	if (a->hook_blocks)
		audit_to_hook_now(q, e, stage, audit_sent_unasked, NULL);
	else if (a->hook && audit_to_hook(q, e, stage, &hook_why) < 0)
		audit_lost(a, "webhook", 1, &hook_why);
	return audit_emit_log(q, e, stage, err);
}

/* --- a request --- */

struct sv audit_id(const struct api_req *q)
{
	struct sv id = q->audit ? q->audit->id : q->http ? http_header_get(q->http, "audit-id") : SV("");
	char *made;

	if (id.n && id.n <= ID_MAX)
		return id;
	made = arena_alloc(q->arena, 37);
	env_uuid(q->server->env, made);
	return sv_make(made, 36);
}

static struct audit_event *audit_event_new(struct api_req *q, const struct audit_verdict *v)
{
	struct audit_event *e = ARENA_NEW(q->arena, struct audit_event);
	struct sv id = audit_id(q);

	e->verdict = *v;
	e->id = arena_sv(q->arena, id);
	e->received_ns = env_now_ns(q->server->env);
	e->lasts = req_lasts(q);
	audit_event_fill(q, e);
	return e;
}

/* --- the first stage, for which a request may have to wait --- */

static void audit_drop_err(void *p)
{
	if (p)
		err_release(p);
	free(p);
}

static void audit_received_sent(void *ctx, const struct err *why)
{
	struct err *copy = NULL;

	if (why) {
		copy = xcalloc(1, sizeof(*copy));
		err_copy(copy, why);
	}
	(void)req_resume(ctx, copy, audit_drop_err);
}

bool audit_waits(const struct api_req *q)
{
	return q->audit && q->audit->waiting;
}

/* It has been sent, or not. */
static int audit_received_again(struct api_req *q, struct err *err)
{
	struct audit *a = q->server->audit;
	void *why = NULL;

	q->audit->waiting = false;
	if (!req_result(q, &why) || !why || !a->hook_strict)
		return 0;
	atomic_fetch_add(&a->rejected, 1);
	return err_set(err, ERR_INTERNAL, "audit backend failed: %s", err_msg(why));
}

int audit_received(struct api_req *q, struct err *err)
{
	struct audit *a = q->server->audit;
	struct audit_verdict v;
	int rc;

	if (audit_waits(q))
		return audit_received_again(q, err);
	v = audit_policy_ask(a->policy, q, &q->user);
	atomic_fetch_add(&a->levels[v.level], 1);
	if (v.level == LEVEL_NONE)
		return 0;
	q->audit = audit_event_new(q, &v);
	user_copy(q->arena, &q->audit->user, &q->user);
	if (!a->hook_blocks || audit_omits(q->audit, STAGE_RECEIVED)) {
		rc = audit_emit(q, q->audit, STAGE_RECEIVED, a->strict ? err : NULL);
	} else {
		atomic_fetch_add(&a->events, 1);
		rc = audit_emit_log(q, q->audit, STAGE_RECEIVED, a->strict ? err : NULL);
	}
	if (rc < 0 && a->strict) {
		atomic_fetch_add(&a->rejected, 1);
		return -1;
	}
	if (!a->hook_blocks || audit_omits(q->audit, STAGE_RECEIVED))
		return 0;
	q->audit->waiting = true;
	audit_to_hook_now(q, q->audit, STAGE_RECEIVED, audit_received_sent,
			  req_suspend(q, "audit webhook", NULL, NULL));
	return REQ_LATER;
}

void audit_unknown(struct api_req *q)
{
	struct audit *a = q->server->audit;
	struct audit_verdict v = audit_policy_ask(a->policy, q, NULL);
	struct sv auth = q->http ? sv_trim(http_header_get(q->http, "authorization")) : SV(""), kind, rest = auth, p;
	_cleanup_(buf_release) struct buf tried = BUF_INIT, b = BUF_INIT;
	struct audit_event *e;

	if (v.level == LEVEL_NONE)
		return;
	(void)sv_split(&rest, ' ', &kind);
	if (sv_ieq(kind, SV("basic")) && rest.n)
		buf_adds(&tried, "basic");
	if (sv_ieq(kind, SV("bearer")) && rest.p)
		buf_adds(&tried, "bearer");
	if (api_req_param(q, "access_token", &p) && sv_trim(p).n)
		buf_adds(&tried, tried.n ? ", access_token" : "access_token");
	if (q->http && q->http->peer && (q->http->peer->has_cert || q->http->peer->bad_cert))
		buf_adds(&tried, tried.n ? ", x509" : "x509");
	q->audit = e = audit_event_new(q, &v); /* so that its answer has the same id */
	e->begun = true;
	e->code = 401;
	buf_printf(&b, "{\"metadata\":{},\"message\":\"Authentication failed, %s%s\",\"code\":401}",
		   tried.n ? "attempted: " : "no credentials provided", tried.n ? buf_cstr(&tried) : "");
	e->status = arena_sv(q->arena, buf_sv(&b));
	(void)audit_emit(q, e, STAGE_STARTED, NULL);
}

void audit_impersonated(struct api_req *q)
{
	struct audit_event *e = q->audit;

	e->has_as = q->http && http_header_get(q->http, "impersonate-user").n;
	if (e->has_as)
		user_copy(q->arena, &e->as, &q->user);
}

void audit_constraint(struct api_req *q, struct sv verb)
{
	q->audit->constraint = verb;
}

/* --- the end --- */

static void audit_complete(void *ctx)
{
	struct api_req *q = ctx;

	(void)audit_emit(q, q->audit, STAGE_COMPLETE, NULL);
}

/* The stage that the answer is. */
static enum audit_stage audit_answer_stage(struct api_req *q, int code)
{
	struct audit_event *e = q->audit;

	e->begun = true;
	e->code = code;
	audit_request_from_body(q);
	return e->lasts ? STAGE_STARTED : STAGE_COMPLETE;
}

static void audit_last_later(struct api_req *q)
{
	if (q->audit->lasts)
		arena_defer(q->arena, audit_complete, q); /* its end is the request's own */
}

void audit_answered(struct api_req *q, int code)
{
	if (q->audit->begun)
		return;
	(void)audit_emit(q, q->audit, audit_answer_stage(q, code), NULL);
	audit_last_later(q);
}

bool audit_holds(const struct api_req *q)
{
	const struct audit_event *e = q->audit;

	return e && q->server->audit->hook_blocks && !e->begun &&
	       !audit_omits(e, e->lasts ? STAGE_STARTED : STAGE_COMPLETE);
}

struct audit_held {
	void (*done)(void *ctx);
	void *ctx;
};

static void audit_held_sent(void *ctx, const struct err *why)
{
	struct audit_held h = *(struct audit_held *)ctx;

	(void)why;
	free(ctx);
	h.done(h.ctx);
}

void audit_answer_held(struct api_req *q, int code, void (*done)(void *ctx), void *ctx)
{
	enum audit_stage stage = audit_answer_stage(q, code);
	struct audit_held *h = xcalloc(1, sizeof(*h));

	*h = (struct audit_held){ done, ctx };
	atomic_fetch_add(&q->server->audit->events, 1);
	(void)audit_emit_log(q, q->audit, stage, NULL);
	audit_last_later(q);
	audit_to_hook_now(q, q->audit, stage, audit_held_sent, h); /* q may be gone */
}
