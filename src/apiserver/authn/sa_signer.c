/* The program that signs: asked by few tasks, for the requests that wait.
 *
 *	signs ──▶ at most SIGNER_AT_ONCE tasks ──▶ Sign ──▶ each request is resumed with its token
 *	waits ──▶ one task, or a timer before it ──▶ FetchKeys ──▶ all of them are resumed
 *
 * A task holds a reference, and ends soon once nobody owns the signer any more. */
#include "apiserver/authn/sa_signer.h"
#include "apiserver/apiserver-internal.h"
#include "apiserver/steps.h"
#include "base/b64.h"
#include "base/list.h"
#include "base/log.h"
#include "base/metric.h"
#include "codec/pbwire.h"
#include "net/grpc.h"

#include <stdlib.h>

#define SERVICE "/v1.ExternalJWTSigner/"

enum signer_metric { SM_FETCHED, SM_DATA, SM_FETCHES, SM_SIGNS, SM_TIME, _SM_MAX };

static const double signer_bounds[] = { .001, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60 };

static const struct metric_family signer_metrics[_SM_MAX] = {
	[SM_FETCHED] = { "apiserver_externaljwt_fetch_keys_success_timestamp",
			 "When the keys of the external signer were last fetched, in Unix time.",
			 .type = METRIC_GAUGE },
	[SM_DATA] = { "apiserver_externaljwt_fetch_keys_data_timestamp",
		      "When those keys were true by the external signer itself, in Unix time.", .type = METRIC_GAUGE },
	[SM_FETCHES] = { "apiserver_externaljwt_fetch_keys_request_total",
			 "Fetches of the external signer's keys, by how they went.", .type = METRIC_COUNTER,
			 .labels = { "code" } },
	[SM_SIGNS] = { "apiserver_externaljwt_sign_request_total",
		       "Tokens that the external signer was asked for, by how it went.", .type = METRIC_COUNTER,
		       .labels = { "code" } },
	[SM_TIME] = { "apiserver_externaljwt_request_duration_seconds", "How long calls of the external signer took.",
		      .type = METRIC_HISTOGRAM, METRIC_BOUNDS(signer_bounds), .labels = { "method", "code" } },
};

struct sa_signer {
	atomic_int refs;
	struct env *env;
	char *endpoint;
	struct grpc_channel *channel;
	sa_signer_call_fn *call;
	void *call_ctx;
	int64_t max_s;
	struct metric_set *counted;
	pthread_mutex_t mu;
	/* Guarded by mu. */
	struct signer_keys *keys;
	int64_t asked_ns, tried_ns,
	    due_ns;	/* monotonic: when these were asked for, when any were, when others are due */
	struct err why; /* of the last fetch that failed */
	bool failed, fetching, stopping;
	bool coming;		 /* a tick is armed, or about to run: it clears this */
	struct env_timer *timer; /* of the armed one */
	struct list signs, waits;
	size_t n_signs, n_waits, working;
};

/* A request that waits, for a token or (claims NULL) for keys. One reference is the list's or the task's, the other its
 * arena's. */
struct signer_wait {
	struct list link;
	atomic_int refs;
	struct sa_signer *g;
	struct req_ticket *ticket;
	bool listed; /* under mu */
	char *claims, *token;
	struct err why;
};

static sa_signer_call_fn *signer_call; /* NULL: gRPC */
static void *signer_call_ctx;

void sa_signer_ask_by(sa_signer_call_fn *call, void *ctx)
{
	signer_call = call;
	signer_call_ctx = ctx;
}

/* --- life --- */

static struct sa_signer *signer_ref(struct sa_signer *g)
{
	atomic_fetch_add(&g->refs, 1);
	return g;
}

static struct sa_signer *signer_unref(struct sa_signer *g)
{
	if (!g || atomic_fetch_sub(&g->refs, 1) != 1)
		return NULL;
	(void)signer_keys_unref(g->keys);
	if (g->channel)
		grpc_channel_free(g->channel);
	metric_set_free(g->counted);
	err_release(&g->why);
	pthread_mutex_destroy(&g->mu);
	free(g->endpoint);
	free(g);
	return NULL;
}

static void signer_wait_unref(void *p)
{
	struct signer_wait *w = p;

	if (atomic_fetch_sub(&w->refs, 1) != 1)
		return;
	signer_unref(w->g);
	err_release(&w->why);
	free(w->claims);
	free(w->token);
	free(w);
}

/* --- asking --- */

static int signer_grpc(void *ctx, const char *method, struct sv request, int64_t timeout_ns, struct arena *a,
		       struct sv *ret, struct err *err)
{
	struct sa_signer *g = ctx;

	return grpc_call(g->channel, a, arena_printf(a, SERVICE "%s", method), request, timeout_ns, ret, err);
}

static int signer_ask(struct sa_signer *g, const char *method, struct sv request, int64_t timeout_ns, struct arena *a,
		      struct sv *ret, const char **ret_code, struct err *err)
{
	int64_t since = env_mono_ns(g->env);
	struct sv labels[] = { sv_from(arena_printf(a, SERVICE "%s", method)), SV("OK") };
	struct err why = ERR_INIT;
	int rc = g->call(g->call_ctx, method, request, timeout_ns, a, ret, &why);

	*ret_code = rc < 0 ? grpc_code_name(&why) : "OK";
	labels[1] = sv_from(*ret_code);
	metric_observe_ns(g->counted, &signer_metrics[SM_TIME], labels, env_mono_ns(g->env) - since);
	if (rc < 0)
		err_set(err, why.reason, "rpc error: code = %s desc = %s", *ret_code, err_msg(&why));
	err_release(&why);
	return rc;
}

static void signer_count(struct sa_signer *g, enum signer_metric m, const char *code)
{
	const struct sv labels[] = { sv_from(code) };

	metric_add(g->counted, &signer_metrics[m], labels, 1);
}

/* What is wrong with an answer is no status of gRPC's. */
#define NOT_GRPC "unknown-non-grpc"

static struct signer_keys *signer_ask_keys(struct sa_signer *g, int64_t timeout_ns, struct err *err)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct signer_keys *keys = NULL;
	const char *code;
	struct sv said;

	if (signer_ask(g, "FetchKeys", SV(""), timeout_ns, &a, &said, &code, err) < 0)
		err_wrap(err, "while getting externally supported jwt signing keys");
	else if (!(keys = signer_read_keys(said, err)))
		code = NOT_GRPC;
	signer_count(g, SM_FETCHES, code);
	if (!keys)
		err_wrap(err, "while fetching token verification keys");
	return keys;
}

/* Asks, and takes what comes for the keys that count. */
static int signer_fetch(struct sa_signer *g, int64_t timeout_ns, struct err *err)
{
	int64_t asked = env_mono_ns(g->env);
	struct signer_keys *keys = signer_ask_keys(g, timeout_ns, err), *old = keys;

	pthread_mutex_lock(&g->mu);
	if (keys && (!g->keys || asked >= g->asked_ns)) {
		old = g->keys;
		g->keys = keys;
		g->asked_ns = asked;
		g->due_ns = env_mono_ns(g->env) + keys->hint_s * NS_PER_SEC;
		metric_gauge(g->counted, &signer_metrics[SM_DATA], NULL, keys->data_s);
	}
	pthread_mutex_unlock(&g->mu);
	if (keys)
		metric_gauge(g->counted, &signer_metrics[SM_FETCHED], NULL,
			     (double)env_now_ns(g->env) / (double)NS_PER_SEC);
	(void)signer_keys_unref(old);
	return keys ? 0 : -1;
}

/* --- who waits --- */

static void signer_cancel(void *ctx)
{
	struct signer_wait *w = ctx;
	struct req_ticket *t = NULL;

	pthread_mutex_lock(&w->g->mu);
	if (w->listed) {
		list_del(&w->link);
		if (w->claims)
			w->g->n_signs--;
		else
			w->g->n_waits--;
		w->listed = false;
		t = w->ticket;
	}
	pthread_mutex_unlock(&w->g->mu);
	if (t) {
		req_ticket_unref(t);
		signer_wait_unref(w);
	}
}

/* q waits in a list. mu is held, and there is room. */
static struct signer_wait *signer_enlist(struct sa_signer *g, struct api_req *q, struct sv claims)
{
	struct signer_wait *w = xcalloc(1, sizeof(*w));

	atomic_init(&w->refs, 2);
	w->g = signer_ref(g);
	w->claims = claims.n ? xstrndup(claims.p, claims.n) : NULL;
	w->listed = true;
	list_add_tail(claims.n ? &g->signs : &g->waits, &w->link);
	arena_defer(q->arena, signer_wait_unref, w);
	w->ticket = req_suspend(q, claims.n ? "a token of the external signer" : "keys of the external signer",
				signer_cancel, w);
	return w;
}

static void signer_resume_all(struct list *waits)
{
	while (!list_empty(waits)) {
		struct signer_wait *w = LIST_ENTRY(waits->next, struct signer_wait, link);

		list_del(&w->link);
		(void)req_resume(w->ticket, w->g, NULL); /* only says who ended the wait */
		signer_wait_unref(w);
	}
}

/* --- keys --- */

static void signer_tick(void *ctx);

/* A fetch so many ns from now; mu is held, and none is on its way. The timer's reference is the tick's. */
static void signer_arm(struct sa_signer *g, int64_t ns)
{
	g->coming = true;
	g->timer = env_after(g->env, ENV_KEYS, ns, signer_tick, signer_ref(g));
}

/* No later than so many ns from now; mu is held. */
static void signer_hurry(struct sa_signer *g, int64_t ns)
{
	struct env_timer *t = TAKE(g->timer);

	if (t && env_timer_stop(g->env, t)) {
		g->coming = false;
		atomic_fetch_sub(&g->refs, 1); /* the tick's, which never runs: not the last, the caller has one */
	}
	if (!g->fetching && !g->coming)
		signer_arm(g, ns);
}

/* The end of a fetch: when the next one is, and who waited goes on. */
static void signer_fetched(struct sa_signer *g, int rc, struct err *err)
{
	struct list waits;
	bool tell;

	list_init(&waits);
	pthread_mutex_lock(&g->mu);
	g->fetching = false;
	tell = rc < 0 && !g->failed;
	g->failed = rc < 0;
	err_release(&g->why);
	if (rc < 0)
		err_copy(&g->why, err);
	while (!list_empty(&g->waits)) {
		struct list *l = g->waits.next;

		list_del(l);
		list_add_tail(&waits, l);
		LIST_ENTRY(l, struct signer_wait, link)->listed = false;
	}
	g->n_waits = 0;
	if (!g->stopping)
		signer_arm(g, rc < 0 ? SIGNER_RETRY_NS : g->due_ns - env_mono_ns(g->env));
	pthread_mutex_unlock(&g->mu);
	if (tell)
		log_warn("authn", "the external signer's keys cannot be fetched: those before count on", "error", "%s",
			 err_msg(err));
	signer_resume_all(&waits);
}

static void signer_tick(void *ctx)
{
	struct sa_signer *g = ctx;
	_cleanup_(err_release) struct err err = ERR_INIT;
	bool go;

	pthread_mutex_lock(&g->mu);
	g->timer = env_timer_cancel(g->env, g->timer);
	g->coming = false;
	go = !g->stopping && !g->fetching;
	if (go) {
		g->fetching = true;
		g->tried_ns = env_mono_ns(g->env);
	}
	pthread_mutex_unlock(&g->mu);
	if (go)
		signer_fetched(g, signer_fetch(g, SIGNER_CALL_NS, &err), &err);
	signer_unref(g);
}

struct signer_keys *sa_signer_keys(struct sa_signer *g)
{
	struct signer_keys *k;

	pthread_mutex_lock(&g->mu);
	k = signer_keys_ref(g->keys);
	pthread_mutex_unlock(&g->mu);
	return k;
}

int64_t sa_signer_age_s(struct sa_signer *g)
{
	int64_t left;

	pthread_mutex_lock(&g->mu);
	left = g->due_ns - env_mono_ns(g->env);
	pthread_mutex_unlock(&g->mu);
	return MAX(left, 0) / NS_PER_SEC;
}

int sa_signer_refresh(struct sa_signer *g, struct api_req *q, struct sv token)
{
	_cleanup_(signer_keys_unrefp) struct signer_keys *keys = sa_signer_keys(g);
	struct sv rest = token, header, kid;
	int64_t now = env_mono_ns(g->env);
	bool wait;
	void *ignored;

	if (q->has_result && q->result == g && req_result(q, &ignored))
		return 0;
	if (q->has_result || token.n > JWS_TOKEN_MAX || !sv_split(&rest, '.', &header))
		return 1;
	kid = val_str(val_member_sv(jws_header_peek(q->arena, header), SV("kid")));
	if (!kid.n || jws_keys_have(keys->all, kid))
		return 1;
	pthread_mutex_lock(&g->mu);
	wait = !g->stopping && g->n_waits < SIGNER_WAITERS_MAX;
	if (wait) {
		(void)signer_enlist(g, q, SV(""));
		g->n_waits++;
		signer_hurry(g, MAX(g->tried_ns + SIGNER_FETCH_PAUSE_NS - now, 0));
	}
	pthread_mutex_unlock(&g->mu);
	return wait ? REQ_LATER : 1;
}

/* --- tokens --- */

/* By a key that nobody is told of nothing is signed; one that is not known yet is asked for. */
static int signer_check_kid(struct sa_signer *g, struct sv kid, struct err *err)
{
	_cleanup_(signer_keys_unrefp) struct signer_keys *keys = sa_signer_keys(g);
	_cleanup_(err_release) struct err why = ERR_INIT;

	if (!jws_keys_have(keys->all, kid) && signer_fetch(g, SIGNER_CALL_NS, &why) == 0) {
		(void)signer_keys_unref(keys);
		keys = sa_signer_keys(g);
	}
	if (signer_keys_hide(keys, kid))
		return err_set(err, ERR_INTERNAL,
			       "while validating header: key used for signing JWT (kid: %.*s) is excluded from OIDC "
			       "discovery docs",
			       SV_ARG(kid));
	return 0;
}

static int signer_sign(struct sa_signer *g, struct arena *a, struct sv claims_json, struct sv *ret_token,
		       struct err *err)
{
	_cleanup_(buf_release) struct buf ask = BUF_INIT;
	struct sv claims = b64url_encode(a, claims_json), said, kid;
	const char *code;
	int rc;

	pb_sv(&ask, 1, claims);
	rc = signer_ask(g, "Sign", buf_sv(&ask), SIGNER_CALL_NS, a, &said, &code, err);
	if (rc < 0) {
		err_wrap(err, "while signing jwt");
	} else {
		rc = signer_read_token(a, said, claims, ret_token, &kid, err);
		if (rc == 0)
			rc = signer_check_kid(g, kid, err);
		code = rc < 0 ? NOT_GRPC : code;
	}
	signer_count(g, SM_SIGNS, code);
	return rc;
}

/* Signs for the request that has waited longest, and posts itself again behind whatever else waits for a thread. */
static void signer_work(void *ctx)
{
	struct sa_signer *g = ctx;
	struct signer_wait *w = NULL;

	pthread_mutex_lock(&g->mu);
	if (list_empty(&g->signs)) {
		g->working--;
	} else {
		w = LIST_ENTRY(g->signs.next, struct signer_wait, link);
		list_del(&w->link);
		w->listed = false;
		g->n_signs--;
	}
	pthread_mutex_unlock(&g->mu);
	if (w) {
		_cleanup_(arena_release) struct arena a = ARENA_INIT;
		struct sv token;

		if (signer_sign(g, &a, sv_from(w->claims), &token, &w->why) == 0)
			w->token = xstrndup(token.p, token.n);
		(void)req_resume(w->ticket, w, NULL);
		signer_wait_unref(w);
		env_post(g->env, ENV_KEYS, signer_work, g);
		return;
	}
	signer_unref(g);
}

int sa_signer_sign(struct sa_signer *g, struct api_req *q, struct sv claims, struct sv *ret_token, struct err *err)
{
	struct signer_wait *w;
	bool wait, work;
	void *result;

	if (req_result(q, &result)) {
		w = result; /* its other reference is the arena's */
		/* Whatever the program says of it, the failure is the server's. */
		if (!w->token)
			return err_set(err, ERR_UNKNOWN, "failed to generate token: %s", err_msg(&w->why));
		*ret_token = arena_sv(q->arena, sv_from(w->token));
		return 0;
	}
	pthread_mutex_lock(&g->mu);
	wait = !g->stopping && g->n_signs < SIGNER_WAITERS_MAX;
	work = wait && g->working < SIGNER_AT_ONCE;
	if (wait) {
		(void)signer_enlist(g, q, claims);
		g->n_signs++;
	}
	if (work) {
		g->working++;
		env_post(g->env, ENV_KEYS, signer_work, signer_ref(g));
	}
	pthread_mutex_unlock(&g->mu);
	if (wait)
		return REQ_LATER;
	err_set(err, ERR_TOO_MANY_REQUESTS, "too many tokens wait for the external signer: try again later");
	err->retry_after_s = 1;
	return -1;
}

/* --- the start --- */

static bool signer_path_fits(const char *s)
{
	bool name = *s == '@';

	if (*s != '/' && !name)
		return false;
	for (const char *c = s + 1; *c; c++)
		if (name ? !strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-", *c)
			 : (unsigned char)*c <= ' ' || *c == 0x7f)
			return false;
	return s[1];
}

int sa_signer_check(const struct apiserver_accounts *o, struct err *err)
{
	if (!o->signing_endpoint)
		return 0;
	if (o->signing_key_file || (o->key_files && *o->key_files))
		return err_set(
		    err, ERR_INVALID,
		    "can't set `--service-account-signing-key-file` and/or `--service-account-key-file` with "
		    "`--service-account-signing-endpoint` (They are mutually exclusive)");
	if (!signer_path_fits(o->signing_endpoint))
		return err_set(
		    err, ERR_INVALID,
		    "invalid value \"%s\" passed for `--service-account-signing-endpoint`, should be a valid "
		    "location on the filesystem or must be prefixed with @ to name UDS in abstract namespace",
		    o->signing_endpoint);
	return 0;
}

static int signer_begin(struct sa_signer *g, struct err *err)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	const char *code;
	struct sv said;

	g->tried_ns = env_mono_ns(g->env);
	if (signer_fetch(g, SIGNER_START_FETCH_NS, err) < 0) {
		err_wrap(err, "while performing initial cache fill");
		err_wrap(err, "while initially filling key cache");
		return err_wrap(err, "while setting up external-jwt-signer");
	}
	if (signer_ask(g, "Metadata", SV(""), SIGNER_CALL_NS, &a, &said, &code, err) < 0)
		return err_wrap(err, "while setting up external-jwt-signer");
	return signer_read_metadata(said, &g->max_s, err);
}

struct sa_signer *sa_signer_new(struct env *env, const char *endpoint, struct err *err)
{
	struct sa_signer *g = xcalloc(1, sizeof(*g));

	atomic_init(&g->refs, 1);
	g->env = env;
	g->endpoint = xstrdup(endpoint);
	g->counted = metric_set_new(signer_metrics, _SM_MAX);
	g->call = signer_call;
	g->call_ctx = signer_call_ctx;
	if (!g->call) {
		_cleanup_free_ char *target = xasprintf("unix:%s", endpoint);

		g->channel = grpc_channel_new(target);
		grpc_channel_outside(g->channel, GRPC_ANSWER_MAX, true);
		g->call = signer_grpc;
		g->call_ctx = g;
	}
	pthread_mutex_init(&g->mu, NULL);
	list_init(&g->signs);
	list_init(&g->waits);
	if (signer_begin(g, err) < 0)
		return signer_unref(g);
	pthread_mutex_lock(&g->mu);
	signer_arm(g, g->due_ns - env_mono_ns(env));
	pthread_mutex_unlock(&g->mu);
	return g;
}

struct sa_signer *sa_signer_free(struct sa_signer *g)
{
	struct env_timer *t;
	bool mine;

	if (!g)
		return NULL;
	pthread_mutex_lock(&g->mu);
	g->stopping = true;
	t = TAKE(g->timer);
	mine = t && env_timer_stop(g->env, t);
	pthread_mutex_unlock(&g->mu);
	if (mine)
		signer_unref(g);
	return signer_unref(g);
}

int64_t sa_signer_max_s(const struct sa_signer *g)
{
	return g->max_s;
}

bool sa_signer_well(struct sa_signer *g, struct err *why)
{
	bool well;

	pthread_mutex_lock(&g->mu);
	well = !g->failed;
	if (!well)
		err_copy(why, &g->why);
	pthread_mutex_unlock(&g->mu);
	return well;
}

void sa_signer_metrics(struct sa_signer *g, struct buf *b)
{
	if (g)
		metric_set_write(g->counted, b);
}
