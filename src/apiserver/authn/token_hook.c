/* Tokens that a webhook knows. */
#include "apiserver/authn/token_hook.h"
#include "apiserver/apiserver-internal.h"
#include "apiserver/authn/sa_accounts.h"
#include "apiserver/authn/sa_token.h"
#include "apiserver/steps.h"
#include "apiserver/webhook/kubeconfig.h"
#include "base/budget.h"
#include "base/strmap.h"
#include "base/timefmt.h"
#include "codec/json.h"

#include <stdlib.h>

#define ASK_NS (30 * NS_PER_SEC)
#define DEFAULT_LIFE_NS (120 * NS_PER_SEC)
#define ANSWER_MAX ((size_t)256 * 1024)
#define ANSWERS_MAX 1024 /* that are remembered; a full memory starts over */
#define KEPT_MAX ((size_t)16 * 1024)

struct token_hook {
	struct webhook_peer peer;
	const char *version;
	int64_t life_ns;
	pthread_mutex_t lock;
	struct strmap answers; /* under the lock: from a question to struct hook_answer */
};

/* What it answered, one allocation. */
struct hook_answer {
	int64_t until_ns; /* monotonic */
	size_t n;
	char text[];
};

/* A question under way. References: the request's arena's, that of the call, that of the result. */
struct hook_asking {
	atomic_int refs;
	struct token_hook *h;
	struct apiserver *s;
	char *question; /* owned */
	struct webhook_call *call;
	struct req_ticket *ticket;
	struct buf body; /* before the ticket is resumed */
	struct err err;
};

struct token_hook *token_hook_new(struct apiserver *s, struct err *err)
{
	const struct apiserver_token_hook *o = &s->o.token_hook;
	struct token_hook *h;

	if (!o->config_file)
		return NULL;
	h = xcalloc(1, sizeof(*h));
	pthread_mutex_init(&h->lock, NULL);
	h->version = o->version ? o->version : "v1beta1";
	h->life_ns = DEFAULT_LIFE_NS;
	if (strcmp(h->version, "v1") != 0 && strcmp(h->version, "v1beta1") != 0) {
		err_set(err, ERR_INVALID, "--authentication-token-webhook-version is v1 or v1beta1, not '%s'",
			h->version);
		return token_hook_free(h);
	}
	if (o->cache_ttl && (!duration_parse(sv_from(o->cache_ttl), &h->life_ns) || h->life_ns < 0)) {
		err_set(err, ERR_INVALID, "--authentication-token-webhook-cache-ttl: '%s' is no time", o->cache_ttl);
		return token_hook_free(h);
	}
	if (webhook_peer_read(&h->peer, o->config_file, err) < 0) {
		err_wrap(err, "--authentication-token-webhook-config-file");
		return token_hook_free(h);
	}
	return h;
}

struct token_hook *token_hook_free(struct token_hook *h)
{
	if (!h)
		return NULL;
	if (h->peer.target)
		webhook_peer_release(&h->peer);
	strmap_release_with(&h->answers, free);
	pthread_mutex_destroy(&h->lock);
	free(h);
	return NULL;
}

static void asking_unref(void *p)
{
	struct hook_asking *k = p;

	if (atomic_fetch_sub(&k->refs, 1) != 1)
		return;
	webhook_call_unref(k->call);
	buf_release(&k->body);
	err_release(&k->err);
	free(k->question);
	free(k);
}

/* --- what is remembered --- */

static bool hook_known(struct token_hook *h, struct api_req *q, struct sv question, struct sv *ret)
{
	const struct hook_answer *v;
	bool known;

	pthread_mutex_lock(&h->lock);
	v = strmap_get(&h->answers, question);
	known = v && env_mono_ns(q->server->env) < v->until_ns;
	if (known)
		*ret = arena_sv(q->arena, sv_make(v->text, v->n));
	pthread_mutex_unlock(&h->lock);
	return known;
}

static void hook_remember(const struct hook_asking *k)
{
	struct token_hook *h = k->h;
	struct hook_answer *v;

	if (!h->life_ns || k->body.n > KEPT_MAX || strlen(k->question) > 2 * KEPT_MAX)
		return;
	v = xcalloc(1, sizeof(*v) + k->body.n + 1);
	v->n = k->body.n;
	memcpy(v->text, k->body.p, k->body.n);
	if (__builtin_add_overflow(env_mono_ns(k->s->env), h->life_ns, &v->until_ns))
		v->until_ns = INT64_MAX;
	pthread_mutex_lock(&h->lock);
	if (h->answers.n >= ANSWERS_MAX)
		strmap_release_with(&h->answers, free);
	v = strmap_set(&h->answers, sv_from(k->question), v);
	pthread_mutex_unlock(&h->lock);
	free(v);
}

/* --- answers --- */

static size_t answer_texts(struct arena *a, const struct val *list, struct sv **ret)
{
	size_t n = 0;

	*ret = ARENA_ARRAY(a, struct sv, val_len(list) + 2);
	for (size_t i = 0; val_type(list) == VAL_LIST && i < val_len(list); i++)
		if (val_type(val_at(list, i)) == VAL_STR)
			(*ret)[n++] = val_str(val_at(list, i));
	return n;
}

static void answer_user(struct arena *a, const struct val *v, struct user_info *ret)
{
	const struct val *extra = val_member_sv(v, SV("extra"));

	*ret = (struct user_info){ .name = val_str(val_member_sv(v, SV("username"))),
				   .uid = val_str(val_member_sv(v, SV("uid"))) };
	ret->n_groups = answer_texts(a, val_member_sv(v, SV("groups")), &ret->groups);
	ret->extra = ARENA_ARRAY(a, struct extra_info, val_len(extra) + 1);
	VAL_EACH_MEMBER(extra, m) {
		struct extra_info *e = &ret->extra[ret->n_extra++];

		e->key = m.key;
		e->n_values = answer_texts(a, m.value, &e->values);
	}
}

/* Those asked for that it is for, into t. */
static bool answer_audiences(struct api_req *q, const struct val *status, struct token_question *t)
{
	const struct sa_accounts *own = sa_accounts_of(q->server);
	struct sv *have;
	size_t n = answer_texts(q->arena, val_member_sv(status, SV("audiences")), &have);
	_cleanup_(strmap_release) struct strmap set = STRMAP_INIT;

	t->ret_n = 0;
	for (size_t i = 0; i < n; i++)
		(void)strmap_set(&set, have[i], t);
	for (size_t i = 0; i < own->n_audiences && !n; i++)
		(void)strmap_set(&set, own->audiences[i], t);
	for (size_t i = 0; i < own->n_audiences && !t->n_audiences; i++)
		if (strmap_has(&set, own->audiences[i]))
			return true;
	for (size_t i = 0; i < t->n_audiences; i++)
		if (strmap_has(&set, t->audiences[i]))
			t->ret_audiences[t->ret_n++] = t->audiences[i];
	return t->ret_n > 0;
}

static int hook_read(struct api_req *q, struct sv body, struct token_question *t, struct user_info *ret,
		     struct err *err)
{
	struct budget values = BUDGET(doc_values_limit);
	const struct val *doc = webhook_answer_document(q->arena, body, &values, err), *status;
	struct sv why;

	if (!doc)
		return -1;
	status = val_member_sv(doc, SV("status"));
	why = val_str(val_member_sv(status, SV("error")));
	if (!val_is(val_member_sv(doc, SV("kind")), "TokenReview"))
		return err_set(err, ERR_UNAUTHORIZED, "the webhook's answer is no TokenReview");
	if (!val_bool(val_member_sv(status, SV("authenticated"))))
		return why.n ? err_set(err, ERR_UNAUTHORIZED, "%.*s", SV_ARG(sv_sub(why, 0, 1000))) : 1;
	if (!answer_audiences(q, status, t))
		return 1;
	answer_user(q->arena, val_member_sv(status, SV("user")), ret);
	if (!ret->name.n)
		return err_set(err, ERR_UNAUTHORIZED, "the webhook's answer names nobody");
	user_is_authenticated(ret);
	return 0;
}

/* --- asking --- */

static void token_hook_done(struct webhook_answer *answer_take, void *ctx)
{
	struct hook_asking *k = ctx;

	if (answer_take->err.reason) {
		err_move(&k->err, &answer_take->err);
	} else {
		buf_addsv(&k->body, buf_sv(&answer_take->body));
		hook_remember(k);
	}
	webhook_answer_free(answer_take);
	atomic_fetch_add(&k->refs, 1);
	(void)req_resume(k->ticket, k, asking_unref);
	asking_unref(k);
}

static void hook_cancel(void *ctx)
{
	struct hook_asking *k = ctx;

	webhook_call_cancel(k->call);
}

static struct sv hook_question(const struct token_hook *h, struct api_req *q, const struct token_question *t)
{
	const struct sa_accounts *own = sa_accounts_of(q->server);
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	buf_printf(&b,
		   "{\"kind\":\"TokenReview\",\"apiVersion\":\"authentication.k8s.io/%s\",\"metadata\":{},\"spec\":{"
		   "\"token\":",
		   h->version);
	json_encode_str(&b, t->token);
	buf_adds(&b, ",\"audiences\":[");
	for (size_t i = 0; i < own->n_audiences && !t->n_audiences; i++) {
		buf_adds(&b, i ? "," : "");
		json_encode_str(&b, own->audiences[i]);
	}
	for (size_t i = 0; i < t->n_audiences; i++) {
		buf_adds(&b, i ? "," : "");
		json_encode_str(&b, t->audiences[i]);
	}
	buf_adds(&b, "]},\"status\":{\"user\":{}}}");
	return arena_sv(q->arena, buf_sv(&b));
}

int token_hook_ask(struct token_hook *h, struct api_req *q, struct token_question *t, struct user_info *ret,
		   struct err *err)
{
	struct sv question = hook_question(h, q, t), body;
	struct hook_asking *k;
	void *result;

	if (req_result(q, &result) && result) {
		k = result;
		if (k->err.reason) {
			err_copy(err, &k->err);
			return -1;
		}
		return hook_read(q, buf_sv(&k->body), t, ret, err);
	}
	if (hook_known(h, q, question, &body))
		return hook_read(q, body, t, ret, err);
	k = xcalloc(1, sizeof(*k));
	atomic_init(&k->refs, 2);
	k->h = h;
	k->s = q->server;
	k->question = xasprintf("%.*s", SV_ARG(question));
	arena_defer(q->arena, asking_unref, k);
	k->ticket = req_suspend(q, "an authentication webhook", hook_cancel, k);
	k->call = webhook_call(q->server, &(struct webhook_call_opts){
					      .target = h->peer.target,
					      .body = question,
					      .timeout_ns = ASK_NS,
					      .answer_max = ANSWER_MAX,
					      .done = token_hook_done,
					      .ctx = k,
					      .given = true,
					      .as = h->peer.as,
					  });
	return REQ_LATER;
}
