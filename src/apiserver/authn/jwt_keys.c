/* Keys of issuers: one fetch at a time, whoever needs it waits. */
#include "apiserver/authn/jwt_keys.h"
#include "apiserver/apiserver-internal.h"
#include "apiserver/steps.h"
#include "apiserver/webhook/webhook.h"
#include "base/b64.h"
#include "base/list.h"
#include "base/log.h"
#include "codec/json.h"
#include "codec/jws.h"

#include <stdlib.h>

#define DISCOVERY_MAX ((size_t)64 * 1024) /* bytes */

/* A set, as long as somebody checks by it. */
struct key_set {
	atomic_int refs;
	struct jws_keys *keys;
};

struct jwt_keys {
	atomic_int refs;
	char *issuer, *discovery, *ca; /* owned */
	pthread_mutex_t lock;
	/* Under the lock. */
	struct key_set *set;	    /* NULL: none were fetched yet */
	int64_t since_ns, tried_ns; /* monotonic: when they came; when a fetch last began */
	bool fetching, tried;
	struct err why; /* of the last fetch that failed */
	struct list waiters;
	size_t n_waiters;
};

/* A request that waits. One reference is the list's, the other its arena's. */
struct key_wait {
	struct list link;
	atomic_int refs;
	struct jwt_keys *k;
	struct req_ticket *ticket; /* as long as it is in the list */
	bool listed;		   /* under the lock of k */
};

/* A fetch: two calls, one behind the other. */
struct key_fetch {
	struct apiserver *s;
	struct jwt_keys *k;
};

static struct key_set *key_set_unref(struct key_set *s)
{
	if (s && atomic_fetch_sub(&s->refs, 1) == 1) {
		jws_keys_free(s->keys);
		free(s);
	}
	return NULL;
}

struct jwt_keys *jwt_keys_new(struct sv issuer, struct sv discovery_url, struct sv ca_pem)
{
	struct jwt_keys *k = xcalloc(1, sizeof(*k));
	struct sv base = issuer;

	while (base.n && base.p[base.n - 1] == '/')
		base.n--;
	atomic_init(&k->refs, 1);
	pthread_mutex_init(&k->lock, NULL);
	list_init(&k->waiters);
	k->issuer = xasprintf("%.*s", SV_ARG(issuer));
	k->discovery = discovery_url.n ? xasprintf("%.*s", SV_ARG(discovery_url))
				       : xasprintf("%.*s/.well-known/openid-configuration", SV_ARG(base));
	k->ca = xasprintf("%.*s", SV_ARG(ca_pem));
	return k;
}

struct jwt_keys *jwt_keys_ref(struct jwt_keys *k)
{
	atomic_fetch_add(&k->refs, 1);
	return k;
}

struct jwt_keys *jwt_keys_unref(struct jwt_keys *k)
{
	if (!k || atomic_fetch_sub(&k->refs, 1) != 1)
		return NULL;
	key_set_unref(k->set);
	err_release(&k->why);
	pthread_mutex_destroy(&k->lock);
	free(k->issuer);
	free(k->discovery);
	free(k->ca);
	free(k);
	return NULL;
}

/* --- who waits --- */

static void key_wait_unref(void *p)
{
	struct key_wait *w = p;

	if (atomic_fetch_sub(&w->refs, 1) != 1)
		return;
	jwt_keys_unref(w->k);
	free(w);
}

static void key_wait_cancel(void *ctx)
{
	struct key_wait *w = ctx;
	struct req_ticket *t = NULL;

	pthread_mutex_lock(&w->k->lock);
	if (w->listed) {
		list_del(&w->link);
		w->k->n_waiters--;
		w->listed = false;
		t = w->ticket;
	}
	pthread_mutex_unlock(&w->k->lock);
	if (t) {
		req_ticket_unref(t);
		key_wait_unref(w);
	}
}

/* --- fetching --- */

/* The end of a fetch, with keys or with why there are none. */
static void fetch_ended(struct key_fetch *f, struct jws_keys *keys_take, struct err *err)
{
	struct jwt_keys *k = f->k;
	struct key_set *old = NULL;
	struct list waiters;

	list_init(&waiters);
	pthread_mutex_lock(&k->lock);
	k->fetching = false;
	if (keys_take) {
		old = k->set;
		k->set = xcalloc(1, sizeof(*k->set));
		atomic_init(&k->set->refs, 1);
		k->set->keys = keys_take;
		k->since_ns = env_mono_ns(f->s->env);
		err_release(&k->why);
	} else {
		log_warn("authn", "the keys of an issuer of tokens cannot be fetched", "error", "%s: %s", k->issuer,
			 err_msg(err));
		err_release(&k->why);
		err_move(&k->why, err);
	}
	while (!list_empty(&k->waiters)) {
		struct list *l = k->waiters.next;

		list_del(l);
		list_add_tail(&waiters, l);
		LIST_ENTRY(l, struct key_wait, link)->listed = false;
	}
	k->n_waiters = 0;
	pthread_mutex_unlock(&k->lock);
	key_set_unref(old);
	while (!list_empty(&waiters)) {
		struct key_wait *w = LIST_ENTRY(waiters.next, struct key_wait, link);

		list_del(&w->link);
		(void)req_resume(w->ticket, k, NULL); /* k only says who ended the wait */
		key_wait_unref(w);
	}
	jwt_keys_unref(k);
	free(f);
}

static void fetch_get(struct key_fetch *f, struct sv url, size_t max, webhook_done_fn *done)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct val *cc = val_new_map(&a);
	struct webhook_target *t;

	val_set_str(&a, cc, F_url, url);
	if (*f->k->ca)
		val_set_str(&a, cc, F_caBundle, b64_encode(&a, sv_from(f->k->ca)));
	t = webhook_target_new(cc);
	webhook_call_unref(webhook_call(f->s, &(struct webhook_call_opts){
						  .target = t,
						  .body = SV(""),
						  .timeout_ns = JWT_FETCH_NS,
						  .answer_max = max,
						  .done = done,
						  .ctx = f,
						  .get = "",
						  .given = true,
					      }));
	webhook_target_unref(t);
}

static void fetch_keys_came(struct webhook_answer *answer_take, void *ctx)
{
	struct jws_keys *keys = NULL;
	struct err err = ERR_INIT;

	if (answer_take->err.reason)
		err_move(&err, &answer_take->err);
	else
		keys = jws_keys_jwks(buf_sv(&answer_take->body), &err);
	webhook_answer_free(answer_take);
	fetch_ended(ctx, keys, &err);
	err_release(&err);
}

/* Where the keys are, in the arena. */
static int fetch_read(const struct jwt_keys *k, struct arena *a, struct sv body, struct sv *ret, struct err *err)
{
	struct budget values = BUDGET(doc_values_limit);
	const struct val *doc = json_decode(a, body, &(struct json_opts){ .values = &values }, err);
	struct sv issuer = val_str(val_member_sv(doc, SV("issuer")));

	if (!doc)
		return err_wrap(err, "oidc: failed to decode provider discovery object");
	if (!sv_is(issuer, k->issuer))
		return err_set(
		    err, ERR_UNAVAILABLE,
		    "oidc: issuer did not match the issuer returned by provider, expected \"%s\" got \"%.*s\"",
		    k->issuer, SV_ARG(sv_sub(issuer, 0, 200)));
	*ret = val_str(val_member_sv(doc, SV("jwks_uri")));
	if (!ret->n)
		return err_set(err, ERR_UNAVAILABLE, "oidc: the provider's document names no jwks_uri");
	return 0;
}

static void fetch_discovery_came(struct webhook_answer *answer_take, void *ctx)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct key_fetch *f = ctx;
	struct err err = ERR_INIT;
	struct sv url;

	if (answer_take->err.reason)
		err_move(&err, &answer_take->err);
	else if (fetch_read(f->k, &a, buf_sv(&answer_take->body), &url, &err) == 0)
		fetch_get(f, url, JWS_KEYS_TEXT_MAX, fetch_keys_came);
	webhook_answer_free(answer_take);
	if (err.reason)
		fetch_ended(f, NULL, &err);
	err_release(&err);
}

static void fetch_begin(struct jwt_keys *k, struct apiserver *s)
{
	struct key_fetch *f = xcalloc(1, sizeof(*f));

	f->s = s;
	f->k = jwt_keys_ref(k);
	fetch_get(f, sv_from(k->discovery), DISCOVERY_MAX, fetch_discovery_came);
}

/* --- checking --- */

/* Under the lock: may a fetch begin? It has then. */
static bool keys_may_fetch(struct jwt_keys *k, int64_t now)
{
	if (k->fetching || (k->tried && now - k->tried_ns < JWT_FETCH_PAUSE_NS))
		return false;
	k->fetching = k->tried = true;
	k->tried_ns = now;
	return true;
}

/* q waits for the fetch under way, or for a new one. False: there is none to wait for. */
static bool keys_wait(struct jwt_keys *k, struct api_req *q)
{
	struct key_wait *w = NULL;
	bool begin, wait;

	pthread_mutex_lock(&k->lock);
	begin = keys_may_fetch(k, env_mono_ns(q->server->env));
	wait = k->fetching && k->n_waiters < JWT_WAITERS_MAX;
	if (wait) {
		w = xcalloc(1, sizeof(*w));
		atomic_init(&w->refs, 2);
		w->k = jwt_keys_ref(k);
		w->listed = true;
		list_add_tail(&k->waiters, &w->link);
		k->n_waiters++;
		arena_defer(q->arena, key_wait_unref, w);
		w->ticket = req_suspend(q, "keys of an issuer of tokens", key_wait_cancel, w);
	}
	pthread_mutex_unlock(&k->lock);
	if (begin)
		fetch_begin(k, q->server);
	return wait;
}

int jwt_keys_verify(struct jwt_keys *k, struct api_req *q, struct sv token, unsigned algs,
		    const struct val **ret_claims, struct err *err)
{
	_cleanup_(err_release) struct err why = ERR_INIT;
	struct key_set *set;
	void *ignored;
	bool waited = q->has_result && q->result == k && req_result(q, &ignored), begin;
	int rc = -1;

	pthread_mutex_lock(&k->lock);
	set = k->set;
	if (set)
		atomic_fetch_add(&set->refs, 1);
	else if (k->why.reason)
		err_set(&why, ERR_UNAUTHORIZED, "fetching keys %s", err_msg(&k->why));
	begin = set && env_mono_ns(q->server->env) - k->since_ns >= JWT_KEYS_AGE_NS &&
		keys_may_fetch(k, env_mono_ns(q->server->env));
	pthread_mutex_unlock(&k->lock);
	if (set) {
		rc = jws_verify(q->arena, token, set->keys, algs, ret_claims, &why);
		key_set_unref(set);
	}
	if (begin)
		fetch_begin(k, q->server);
	if (rc == 0)
		return 0;
	if (!waited && keys_wait(k, q))
		return REQ_LATER;
	if (!why.reason)
		err_set(&why, ERR_UNAUTHORIZED, "the keys of the issuer are not known yet");
	return err_set(err, ERR_UNAUTHORIZED, "failed to verify signature: %s", err_msg(&why));
}
