/* Calls, and the loop that makes them.
 *
 *	webhook_call() ─post─▶ send: look up, dial or take a kept connection ─▶ answer or failure ─▶ done()
 *	webhook_call_cancel() ─post─▶ ends what is under way ──────────────────────────────────────▶ done()
 *
 * The loop's thread holds a reference on each call until done() has run; the caller holds another, so that it may
 * cancel at any time. */
#include "apiserver/dial_address.h"
#include "apiserver/webhook/webhook-internal.h"
#include "base/timefmt.h"
#include "net/http_keep.h"

#include <ctype.h>
#include <stdlib.h>

struct webhooks {
	struct apiserver *s;
	struct webhook_credentials *credentials; /* or NULL */
	const struct webhook_network *network;	 /* instead of sockets; NULL: sockets */
	pthread_mutex_t lock;
	pthread_cond_t cond;
	bool started, stopping, ended; /* the loop's thread */
	size_t posted;		       /* functions on their way to the loop */
	struct ev_loop *loop;
	struct http_keep *keep; /* the loop's */
};

struct webhook_call {
	atomic_int refs;
	struct webhooks *w;
	struct webhook_target *target;
	const struct webhook_credential *as; /* or NULL */
	struct webhook_sent sent;
	char *url; /* with its parameters */
	char *path;
	struct http_header *headers; /* owned with what they say; NULL: those of a review */
	size_t n_headers;
	struct buf body;
	int64_t until_ns; /* monotonic */
	webhook_done_fn *done;
	void *ctx;
	bool given;
	atomic_bool answered;
	/* The loop's. */
	struct http_keep_call *on_wire;
	char *host; /* where it went */
	int port;
	bool again, cancelled;
};

struct webhook_answer *webhook_answer_free(struct webhook_answer *a)
{
	if (!a)
		return NULL;
	err_release(&a->err);
	buf_release(&a->body);
	buf_release(&a->tag);
	free(a);
	return NULL;
}

struct webhook_call *webhook_call_unref(struct webhook_call *c)
{
	if (!c || atomic_fetch_sub(&c->refs, 1) != 1)
		return NULL;
	webhook_target_unref(c->target);
	for (size_t i = 0; i < c->n_headers; i++) {
		free((char *)(uintptr_t)c->headers[i].name.p);
		free((char *)(uintptr_t)c->headers[i].value.p);
	}
	free(c->headers);
	buf_release(&c->body);
	free(c->url);
	free(c->path);
	free(c->host);
	free(c);
	return NULL;
}

static struct webhook_call *call_ref(struct webhook_call *c)
{
	atomic_fetch_add(&c->refs, 1);
	return c;
}

/* --- answers --- */

static bool type_is_json(struct sv type)
{
	ssize_t semicolon = sv_find(type, ';');

	type = sv_trim(semicolon < 0 ? type : sv_sub(type, 0, (size_t)semicolon));
	return type.n == 0 || sv_ieq(type, SV("application/json"));
}

static void call_failed(struct webhook_call *c, struct webhook_answer *a, struct err *err)
{
	a->late = err->reason == ERR_TIMEOUT;
	err_move(&a->err, err);
	err_wrap(&a->err, "%s \"%s\"",
		 c->sent.get ? (strcmp(c->sent.method, "GET") == 0 ? "Get" : c->sent.method) : "Post", c->url);
}

static void call_answer(struct webhook_call *c, int status, struct sv type, struct sv tag, struct sv body,
			struct err *err)
{
	struct webhook_answer *a;

	if (atomic_exchange(&c->answered, true)) {
		if (err)
			err_release(err);
		return;
	}
	a = xcalloc(1, sizeof(*a));
	a->status = status;
	if (tag.n)
		buf_addsv(&a->tag, tag);
	if (status == 0)
		call_failed(c, a, err);
	else if (status == 304 && c->sent.tag.n)
		buf_clear(&a->body);
	else if (c->sent.get && (status < 200 || status > 299))
		err_set(&a->err, ERR_UNAVAILABLE, "bad status from %s: %d", c->url, status);
	else if (c->sent.get)
		buf_addsv(&a->body, body);
	else if (status < 200 || status > 206)
		(void)webhook_status_err(status, body, &a->err);
	else if (!c->sent.get && !type_is_json(type))
		err_set(&a->err, ERR_UNAVAILABLE, "serializer for %.*s doesn't exist", SV_ARG(sv_sub(type, 0, 200)));
	else if (body.n == 0)
		err_set(&a->err, ERR_UNAVAILABLE, "0-length response with status code: %d and content type: %.*s",
			status, SV_ARG(type));
	else
		buf_addsv(&a->body, body);
	c->done(a, c->ctx);
	webhook_call_unref(c);
}

void webhook_call_answer(struct webhook_call *c, int status, struct sv type, struct sv body, struct err *err)
{
	call_answer(c, status, type, SV(""), body, err);
}

void webhook_call_answer_tagged(struct webhook_call *c, int status, struct sv type, struct sv tag, struct sv body)
{
	call_answer(c, status, type, tag, body, NULL);
}

static void call_fail(struct webhook_call *c, enum err_reason reason, const char *why)
{
	struct err err = ERR_INIT;

	err_set(&err, reason, "%s", why);
	webhook_call_answer(c, 0, SV(""), SV(""), &err);
}

/* --- on the loop --- */

static int call_may_dial(enum dial_what what, const char *address, int port, void *ctx, struct err *err)
{
	struct webhooks *w = ctx;
	struct dial_own own;

	if (dial_allowed(what, sv_from(address), port, dial_own(w->s, &own), err) == 0)
		return 0;
	return err_wrap(err, strchr(address, ':') ? "dial tcp [%s]:%d" : "dial tcp %s:%d", address, port);
}

static int call_may_dial_given(const char *address, int port, void *ctx, struct err *err)
{
	return call_may_dial(DIAL_GIVEN, address, port, ctx, err);
}

static int call_may_dial_found(const char *address, int port, void *ctx, struct err *err)
{
	return call_may_dial(DIAL_POD, address, port, ctx, err);
}

static void call_send(struct webhook_call *c);

static const struct {
	const char *openssl, *go;
} certificate_words[] = {
	{ "self-signed certificate", "certificate signed by unknown authority" },
	{ "unable to get local issuer certificate", "certificate signed by unknown authority" },
	{ "unable to verify the first certificate", "certificate signed by unknown authority" },
	{ "certificate has expired", "certificate has expired or is not yet valid" },
	{ "certificate is not yet valid", "certificate has expired or is not yet valid" },
	{ "hostname mismatch", NULL },
	{ "IP address mismatch", NULL },
};

/* A failed connection in Go's words, as far as there are such. */
static void call_go_words(const struct webhook_call *c, bool sent, struct err *err)
{
	for (size_t i = 0; !sent && i < ARRAY_LEN(certificate_words); i++) {
		const char *go = certificate_words[i].go;

		if (!strstr(err_msg(err), certificate_words[i].openssl))
			continue;
		err_release(err);
		if (go)
			err_set(err, ERR_UNAVAILABLE, "tls: failed to verify certificate: x509: %s", go);
		else
			err_set(err, ERR_UNAVAILABLE,
				"tls: failed to verify certificate: x509: certificate is not valid for %s",
				c->target->host);
		return;
	}
	if (err->errnum && c->host && !sent) {
		_cleanup_free_ char *why = xstrdup(strerror(err->errnum));
		int port = c->port;

		why[0] = (char)tolower((unsigned char)why[0]);
		err_release(err);
		err_set(err, ERR_UNAVAILABLE, "dial tcp %s:%d: connect: %s", c->host, port, why);
	} else if (err->reason == ERR_TIMEOUT) {
		err_release(err);
		err_set(err, ERR_TIMEOUT, "context deadline exceeded");
	}
}

static void call_on_wire_done(const struct http_response *r, const struct err *err, bool sent, void *ctx)
{
	struct webhook_call *c = ctx;
	struct err why = ERR_INIT;

	c->on_wire = NULL;
	if (r) {
		webhook_call_answer_tagged(c, r->status, http_response_header(r, "content-type"),
					   http_response_header(r, "etag"), r->body);
		return;
	}
	if (!sent && c->target->ns && !c->again && err->reason == ERR_UNAVAILABLE) {
		c->again = true;
		call_send(c);
		return;
	}
	err_copy(&why, err);
	call_go_words(c, sent, &why);
	webhook_call_answer(c, 0, SV(""), SV(""), &why);
}

/* Where it goes now. */
static int call_endpoint(struct webhook_call *c, struct arena *a, const struct webhook_credential *as,
			 const char *avoid, struct http_endpoint *ret, struct err *err)
{
	struct webhooks *w = c->w;
	struct tls_ctx *tls;

	if (c->target->where)
		return c->target->where(w->s, a, sv_from(c->target->host), ret, err);
	tls = webhook_target_tls(c->target, as, err);
	if (!tls || webhook_resolve(w->s, c->target, avoid, &c->host, &c->port, err) < 0)
		return -1;
	*ret = (struct http_endpoint){
		.host = c->host,
		.port = c->port,
		.tls = tls,
		.server_name = c->target->host,
		.may_dial = c->target->given || c->given ? call_may_dial_given : call_may_dial_found,
		.may_ctx = w,
	};
	return 0;
}

static void call_send(struct webhook_call *c)
{
	const struct webhook_credential *as =
	    c->as	       ? c->as
	    : c->target->shown ? NULL
			       : webhook_credentials_for(c->w->credentials, sv_from(c->target->host), c->target->port);
	const struct http_header headers[] = {
		{ SV("content-type"), SV("application/json") },		  { SV("accept"), SV("application/json") },
		{ SV("user-agent"), SV("kube-apiserver-admission") },	  { SV("host"), sv_from(c->target->authority) },
		{ SV("authorization"), as ? as->authorization : SV("") }, /* last: left out when there is none */
	};
	size_t n_headers = ARRAY_LEN(headers) - !(as && as->authorization.n);
	struct webhooks *w = c->w;
	_cleanup_free_ char *avoid = c->host;
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct err err = ERR_INIT;
	struct http_endpoint ep;
	int64_t left = c->until_ns - env_mono_ns(w->s->env);

	c->host = NULL;
	if (left <= 0) {
		call_fail(c, ERR_TIMEOUT, "context deadline exceeded");
		return;
	}
	if (call_endpoint(c, &a, as, avoid, &ep, &err) < 0) {
		webhook_call_answer(c, 0, SV(""), SV(""), &err);
		return;
	}
	c->on_wire = http_keep_call(w->keep, &(struct http_keep_opts){
						 .ep = &ep,
						 .method = c->sent.get ? c->sent.method : "POST",
						 .target = c->path,
						 .headers = c->sent.get ? c->headers : headers,
						 .n_headers = c->sent.get ? c->n_headers : n_headers,
						 .body = buf_sv(&c->body),
						 .timeout_ns = left,
						 .max_body = c->sent.answer_max,
						 .done = call_on_wire_done,
						 .ctx = c,
					     });
}

int webhook_endpoint(struct apiserver *s, struct webhook_target *t, struct arena *a, struct http_endpoint *ret,
		     struct err *err)
{
	_cleanup_free_ char *host = NULL;
	struct tls_ctx *tls = webhook_target_tls(t, NULL, err);
	int port;

	if (!tls || webhook_resolve(s, t, NULL, &host, &port, err) < 0)
		return -1;
	*ret = (struct http_endpoint){
		.host = arena_strdup(a, host),
		.port = port,
		.tls = tls,
		.server_name = t->host,
		.may_dial = t->given ? call_may_dial_given : call_may_dial_found,
		.may_ctx = s->webhooks,
	};
	return 0;
}

/* Reports that what was posted has run: the loop ends behind the last. */
static void webhooks_arrived(struct webhooks *w)
{
	pthread_mutex_lock(&w->lock);
	w->posted--;
	pthread_cond_broadcast(&w->cond);
	pthread_mutex_unlock(&w->lock);
}

static bool webhooks_post(struct webhooks *w, env_fn *fn, void *ctx, struct err *err);
static void call_on_loop(void *ctx);

/* On a worker; still counted among what was posted. */
static void call_anchors(void *ctx)
{
	struct webhook_call *c = ctx;
	struct webhooks *w = c->w;
	struct err err = ERR_INIT;

	tls_system_load();
	if (!webhooks_post(w, call_on_loop, c, &err))
		webhook_call_answer(c, 0, SV(""), SV(""), &err);
	webhooks_arrived(w);
}

static void call_on_loop(void *ctx)
{
	struct webhook_call *c = ctx;
	struct webhooks *w = c->w;

	if (!c->cancelled && webhook_target_waits(c->target)) {
		env_post(w->s->env, ENV_SLOW, call_anchors, c);
		return;
	}
	if (c->cancelled)
		call_fail(c, ERR_UNAVAILABLE, "context canceled");
	else
		call_send(c);
	webhooks_arrived(w);
}

static void cancel_on_loop(void *ctx)
{
	struct webhook_call *c = ctx;
	struct webhooks *w = c->w;

	c->cancelled = true;
	if (c->on_wire) {
		http_keep_cancel(c->on_wire);
		c->on_wire = NULL;
		call_fail(c, ERR_UNAVAILABLE, "context canceled");
	}
	webhook_call_unref(c);
	webhooks_arrived(w);
}

/* --- the loop's thread --- */

static void webhooks_run(void *ctx)
{
	struct webhooks *w = ctx;

	ev_loop_run(w->loop);
	pthread_mutex_lock(&w->lock);
	w->ended = true;
	pthread_cond_broadcast(&w->cond);
	pthread_mutex_unlock(&w->lock);
}

static void webhooks_emptied(void *ctx)
{
	struct webhooks *w = ctx;

	ev_loop_stop(w->loop);
}

static void webhooks_close(void *ctx)
{
	struct webhooks *w = ctx;

	http_keep_close(w->keep, webhooks_emptied, w);
}

/* Under the lock. */
static bool webhooks_start(struct webhooks *w, struct err *err)
{
	if (w->stopping)
		return err_set(err, ERR_UNAVAILABLE, "the server is shutting down") == 0;
	if (w->started)
		return true;
	w->loop = ev_loop_new(err);
	if (!w->loop)
		return false;
	w->keep = http_keep_new(w->loop);
	if (env_thread(w->s->env, "webhooks", webhooks_run, w) < 0) {
		http_keep_close(w->keep, webhooks_emptied, w); /* it is empty: at once */
		w->keep = NULL;
		w->loop = ev_loop_free(w->loop);
		return err_set(err, ERR_UNAVAILABLE, "there is no thread to call from") == 0;
	}
	w->started = true;
	return true;
}

/* False: fn will not run. */
static bool webhooks_post(struct webhooks *w, env_fn *fn, void *ctx, struct err *err)
{
	bool there;

	pthread_mutex_lock(&w->lock);
	there = webhooks_start(w, err);
	if (there) {
		w->posted++;
		ev_loop_post(w->loop, fn, ctx);
	}
	pthread_mutex_unlock(&w->lock);
	return there;
}

struct webhooks *webhooks_new(struct apiserver *s)
{
	struct webhooks *w = xcalloc(1, sizeof(*w));

	w->s = s;
	pthread_mutex_init(&w->lock, NULL);
	pthread_cond_init(&w->cond, NULL);
	return w;
}

int webhooks_configure(struct webhooks *w, const char *const *kubeconfigs, struct err *err)
{
	if (*kubeconfigs)
		w->credentials = webhook_credentials_new();
	for (; *kubeconfigs; kubeconfigs++)
		if (webhook_credentials_read(w->credentials, *kubeconfigs, err) < 0)
			return err_wrap(err, "--admission-control-config-file");
	return 0;
}

void webhooks_stop(struct webhooks *w)
{
	pthread_mutex_lock(&w->lock);
	w->stopping = true;
	while (w->posted)
		pthread_cond_wait(&w->cond, &w->lock);
	if (w->started && w->loop) {
		ev_loop_post(w->loop, webhooks_close, w);
		while (!w->ended)
			pthread_cond_wait(&w->cond, &w->lock);
		w->loop = ev_loop_free(w->loop);
	}
	pthread_mutex_unlock(&w->lock);
}

struct webhooks *webhooks_free(struct webhooks *w)
{
	if (!w)
		return NULL;
	webhooks_stop(w);
	webhook_credentials_free(w->credentials);
	pthread_mutex_destroy(&w->lock);
	pthread_cond_destroy(&w->cond);
	free(w);
	return NULL;
}

void webhook_set_network(struct apiserver *s, const struct webhook_network *n)
{
	s->webhooks->network = n;
}

/* --- from everywhere --- */

static void call_gets(struct webhook_call *c, const struct webhook_call_opts *o)
{
	const struct http_header ours[] = { { SV("host"), sv_from(o->target->authority) },
					    { SV("if-none-match"), o->tag } }; /* the last: where there is one */

	c->url = xasprintf("%s%s", o->target->url, o->get);
	c->path = xstrdup(*o->get ? o->get : o->target->path && *o->target->path ? o->target->path : "/");
	c->n_headers = o->n_headers + 1 + (o->tag.n > 0);
	c->headers = xcalloc(c->n_headers, sizeof(*c->headers));
	for (size_t i = 0; i < c->n_headers; i++) {
		const struct http_header *h = i < o->n_headers ? &o->headers[i] : &ours[i - o->n_headers];

		c->headers[i] = (struct http_header){ sv_make(xmemdup(h->name.p, h->name.n), h->name.n),
						      sv_make(xmemdup(h->value.p, h->value.n), h->value.n) };
	}
}

struct webhook_call *webhook_call(struct apiserver *s, const struct webhook_call_opts *o)
{
	struct webhook_call *c = xcalloc(1, sizeof(*c));
	struct webhooks *w = s->webhooks;
	int64_t seconds = (o->timeout_ns + NS_PER_SEC - 1) / NS_PER_SEC;
	struct err err = ERR_INIT;

	atomic_init(&c->refs, 2); /* the caller's, and that of who answers */
	c->w = w;
	c->target = webhook_target_ref(o->target);
	c->as = o->as;
	c->done = o->done;
	c->ctx = o->ctx;
	c->until_ns = env_mono_ns(s->env) + o->timeout_ns;
	c->given = o->given;
	if (o->get) {
		call_gets(c, o);
	} else {
		c->url = xasprintf("%s?timeout=%" PRId64 "s", o->target->url, MAX(seconds, 1));
		c->path = xasprintf("%s?timeout=%" PRId64 "s",
				    o->target->path && *o->target->path ? o->target->path : "/", MAX(seconds, 1));
	}
	buf_addsv(&c->body, o->body);
	c->sent = (struct webhook_sent){
		.target = c->target,
		.url = c->url,
		.body = buf_sv(&c->body),
		.timeout_ns = o->timeout_ns,
		.answer_max = o->answer_max,
		.get = o->get != NULL,
		.method = o->method ? o->method : "GET",
	};
	c->sent.tag = o->tag.n ? c->headers[c->n_headers - 1].value : SV("");
	if (o->target->wrong.reason) {
		err_copy(&err, &o->target->wrong);
		webhook_call_answer(c, 0, SV(""), SV(""), &err);
	} else if (w->network) {
		w->network->call(c, &c->sent, w->network->ctx);
	} else if (!webhooks_post(w, call_on_loop, c, &err)) {
		webhook_call_answer(c, 0, SV(""), SV(""), &err);
	}
	return c;
}

void webhook_call_cancel(struct webhook_call *c)
{
	struct webhooks *w = c->w;

	if (atomic_load(&c->answered))
		return;
	if (w->network) {
		if (w->network->cancel)
			w->network->cancel(c, w->network->ctx);
	} else if (!webhooks_post(w, cancel_on_loop, call_ref(c), NULL)) {
		webhook_call_unref(c); /* the end of the loop ends it */
	}
}
