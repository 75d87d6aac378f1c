/* Tokens that a webhook knows. */
#include "apiserver/authn/token_hook.h"
#include "apiserver/apiserver-internal.h"
#include "apiserver/authn/sa_accounts.h"
#include "apiserver/authn/sa_token.h"
#include "apiserver/steps.h"
#include "apiserver/webhook/ask.h"
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
	struct webhook_asker *asker;
	const char *version;
	int64_t life_ns;
};

struct token_hook *token_hook_new(struct apiserver *s, struct err *err)
{
	const struct apiserver_token_hook *o = &s->o.token_hook;
	struct token_hook *h;

	if (!o->config_file)
		return NULL;
	h = xcalloc(1, sizeof(*h));
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
	h->asker = webhook_asker_new(&(struct webhook_asker_opts){ .kubeconfig = o->config_file,
								   .what = "an authentication webhook",
								   .answer_max = ANSWER_MAX,
								   .known_max = ANSWERS_MAX,
								   .question_kept = 2 * KEPT_MAX,
								   .answer_kept = KEPT_MAX },
				     err);
	if (!h->asker) {
		err_wrap(err, "--authentication-token-webhook-config-file");
		return token_hook_free(h);
	}
	return h;
}

struct token_hook *token_hook_free(struct token_hook *h)
{
	if (h)
		webhook_asker_unref(h->asker);
	free(h);
	return NULL;
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
static bool answer_audiences(struct arena *a, const struct sa_accounts *own, const struct val *status,
			     struct token_question *t)
{
	struct sv *have;
	size_t n = answer_texts(a, val_member_sv(status, SV("audiences")), &have);
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

int token_hook_read(struct arena *a, const struct sa_accounts *own, struct sv body, struct token_question *t,
		    struct user_info *ret, struct err *err)
{
	struct budget values = BUDGET(doc_values_limit);
	const struct val *doc = webhook_answer_document(a, body, &values, err), *status;
	struct sv why;

	if (!doc)
		return -1;
	status = val_member_sv(doc, SV("status"));
	why = val_str(val_member_sv(status, SV("error")));
	if (!val_is(val_member_sv(doc, SV("kind")), "TokenReview"))
		return err_set(err, ERR_UNAUTHORIZED, "the webhook's answer is no TokenReview");
	if (!val_bool(val_member_sv(status, SV("authenticated"))))
		return why.n ? err_set(err, ERR_UNAUTHORIZED, "%.*s", SV_ARG(sv_sub(why, 0, 1000))) : 1;
	if (!answer_audiences(a, own, status, t))
		return 1;
	answer_user(a, val_member_sv(status, SV("user")), ret);
	if (!ret->name.n)
		return err_set(err, ERR_UNAUTHORIZED, "the webhook's answer names nobody");
	user_is_authenticated(ret);
	return 0;
}

/* --- asking --- */

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
	struct webhook_asked *k;
	void *result;

	if (req_result(q, &result) && result) {
		k = result;
		if (webhook_asked_answer(k, &body, err) < 0)
			return -1;
		webhook_ask_remember(k, h->life_ns);
		return token_hook_read(q->arena, sa_accounts_of(q->server), body, t, ret, err);
	}
	if (webhook_ask_known(h->asker, q, question, &body))
		return token_hook_read(q->arena, sa_accounts_of(q->server), body, t, ret, err);
	(void)webhook_ask_send(h->asker, q, question, ASK_NS, true);
	return REQ_LATER;
}
