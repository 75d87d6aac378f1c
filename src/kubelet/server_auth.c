#include "kubelet/server_auth.h"

#include "base/log.h"
#include "base/strmap.h"
#include "codec/json.h"

#include <pthread.h>
#include <stdlib.h>

#define TOKEN_LIFE_NS (120 * NS_PER_SEC)
#define BAD_TOKEN_LIFE_NS (10 * NS_PER_SEC)
#define ALLOWED_LIFE_NS (300 * NS_PER_SEC)
#define REFUSED_LIFE_NS (30 * NS_PER_SEC)
#define CACHE_MAX 1024 /* entries of each; a full cache starts over */
#define TOKEN_MAX ((size_t)8 * 1024)

/* What is remembered of a token, or of a question. */
struct entry {
	struct arena arena;
	int64_t until_ns;
	const struct val *user; /* of a token: UserInfo, NULL when it was refused */
	bool allowed;		/* of a question */
};

struct kauth {
	struct env *env;
	struct client *client;
	const char *node_name;
	pthread_mutex_t lock;
	struct strmap tokens, questions; /* -> struct entry */
};

static void kauth_entry_free(void *p)
{
	struct entry *e = p;

	if (e)
		arena_release(&e->arena);
	free(e);
}

struct kauth *kauth_new(struct env *env, struct client *client, const char *node_name)
{
	struct kauth *k = xcalloc(1, sizeof(*k));

	k->env = env;
	k->client = client;
	k->node_name = node_name;
	pthread_mutex_init(&k->lock, NULL);
	return k;
}

struct kauth *kauth_free(struct kauth *k)
{
	if (!k)
		return NULL;
	strmap_release_with(&k->tokens, kauth_entry_free);
	strmap_release_with(&k->questions, kauth_entry_free);
	pthread_mutex_destroy(&k->lock);
	free(k);
	return NULL;
}

/* --- what is remembered --- */

static void remember(struct kauth *k, struct strmap *m, struct sv key, struct entry *e_take)
{
	pthread_mutex_lock(&k->lock);
	if (m->n >= CACHE_MAX)
		strmap_release_with(m, kauth_entry_free);
	kauth_entry_free(strmap_set(m, key, e_take));
	pthread_mutex_unlock(&k->lock);
}

/* Under the lock. */
static const struct entry *kauth_recall(struct kauth *k, struct strmap *m, struct sv key)
{
	const struct entry *e = strmap_get(m, key);

	return e && env_mono_ns(k->env) < e->until_ns ? e : NULL;
}

/* --- who --- */

/* The token of a request, SV_NULL when it has none. */
static struct sv bearer(const struct http_req *r)
{
	struct sv h = http_header_get(r, "authorization");

	return h.n > 7 && sv_ieq(sv_sub(h, 0, 7), SV("bearer ")) ? sv_trim(sv_sub(h, 7, h.n)) : SV_NULL;
}

static struct val *certified(const struct http_req *r)
{
	struct val *user = val_new_map(r->arena), *groups;

	val_set_str(r->arena, user, F_username, r->peer->common_name);
	groups = val_set_list(r->arena, user, F_groups);
	for (size_t i = 0; i < r->peer->n_organizations; i++)
		val_push(r->arena, groups, val_new_str(r->arena, r->peer->organizations[i]));
	val_push(r->arena, groups, val_new_str(r->arena, SV("system:authenticated")));
	return user;
}

static enum kauth_verdict review_token(struct kauth *k, const struct http_req *r, struct sv token, struct val **ret)
{
	_cleanup_(err_release) struct err err = ERR_INIT;
	_cleanup_obj_ struct obj *got = NULL;
	struct entry *e;
	struct val *doc = val_new_map(r->arena), *spec = val_set_map(r->arena, doc, F_spec);
	const struct val *status;

	val_set_str(r->arena, spec, F_token, token);
	if (client_create(k->client, RES(authentication_tokenreviews), SV(""), doc, NULL, &got, &err) < 0) {
		log_warn("kubelet", "cannot have a token reviewed", "error", "%s", err_msg(&err));
		return KAUTH_BROKEN;
	}
	status = obj_get(got, F_status);
	e = xcalloc(1, sizeof(*e));
	if (val_get_bool(status, F_authenticated))
		e->user = val_clone(&e->arena, val_get(status, F_user));
	e->until_ns = env_mono_ns(k->env) + (e->user ? TOKEN_LIFE_NS : BAD_TOKEN_LIFE_NS);
	*ret = e->user ? val_clone(r->arena, e->user) : NULL;
	remember(k, &k->tokens, token, e);
	return *ret ? KAUTH_ALLOWED : KAUTH_UNAUTHENTICATED;
}

/* KAUTH_ALLOWED: *ret is who asks. */
static enum kauth_verdict kauth_identify(struct kauth *k, const struct http_req *r, bool ask, struct val **ret)
{
	enum kauth_verdict v = KAUTH_UNKNOWN;
	const struct entry *e;
	struct sv token;

	if (r->peer && r->peer->bad_cert)
		return KAUTH_UNAUTHENTICATED;
	if (r->peer && r->peer->has_cert) {
		if (env_now_ns(k->env) >= r->peer->not_after_ns)
			return KAUTH_UNAUTHENTICATED;
		*ret = certified(r);
		return KAUTH_ALLOWED;
	}
	token = bearer(r);
	if (token.n == 0 || token.n > TOKEN_MAX)
		return KAUTH_UNAUTHENTICATED;
	pthread_mutex_lock(&k->lock);
	e = kauth_recall(k, &k->tokens, token);
	if (e) {
		*ret = e->user ? val_clone(r->arena, e->user) : NULL;
		v = e->user ? KAUTH_ALLOWED : KAUTH_UNAUTHENTICATED;
	}
	pthread_mutex_unlock(&k->lock);
	return v == KAUTH_UNKNOWN && ask ? review_token(k, r, token, ret) : v;
}

/* --- what --- */

/* The subresources that allow it, any of them; NULL-terminated. */
static const char *const *subresources(struct sv part)
{
	static const struct {
		const char *part;
		const char *subs[3];
	} table[] = {
		{ "stats", { "stats" } },
		{ "metrics", { "metrics" } },
		{ "logs", { "log" } },
		{ "checkpoint", { "checkpoint" } },
		{ "statusz", { "statusz" } },
		{ "configz", { "configz", "proxy" } },
		{ "healthz", { "healthz", "proxy" } },
		{ "pods", { "pods", "proxy" } },
		{ "runningpods", { "pods", "proxy" } },
	};
	static const char *const others[] = { "proxy", NULL };

	for (size_t i = 0; i < ARRAY_LEN(table); i++)
		if (sv_is(part, table[i].part))
			return table[i].subs;
	return others;
}

static struct sv verb_of(const struct http_req *r, struct sv part)
{
	static const struct {
		const char *method, *verb;
	} verbs[] = {
		{ "GET", "get" },    { "HEAD", "get" },	   { "POST", "create" },
		{ "PUT", "update" }, { "PATCH", "patch" }, { "DELETE", "delete" },
	};
	static const char *const running[] = { "exec", "attach", "portForward", "run" };

	for (size_t i = 0; i < ARRAY_LEN(running); i++)
		if (sv_is(part, running[i]))
			return SV("create");
	for (size_t i = 0; i < ARRAY_LEN(verbs); i++)
		if (sv_is(r->method, verbs[i].method))
			return sv_from(verbs[i].verb);
	return SV("");
}

static struct val *question(struct kauth *k, struct arena *a, const struct val *user, struct sv verb, const char *sub)
{
	struct val *doc = val_new_map(a), *spec = val_set_map(a, doc, F_spec),
		   *attr = val_set_map(a, spec, F_resourceAttributes);
	const struct val *v;

	val_set_str(a, attr, F_verb, verb);
	val_set_cstr(a, attr, F_version, "v1");
	val_set_cstr(a, attr, F_resource, "nodes");
	val_set_cstr(a, attr, F_subresource, sub);
	val_set_cstr(a, attr, F_name, k->node_name);
	val_set_str(a, spec, F_user, val_get_str(user, F_username));
	if ((v = val_get(user, F_groups)))
		val_set(a, spec, F_groups, val_clone(a, v));
	if ((v = val_get(user, F_uid)))
		val_set(a, spec, F_uid, val_clone(a, v));
	if ((v = val_get(user, F_extra)))
		val_set(a, spec, F_extra, val_clone(a, v));
	return doc;
}

static enum kauth_verdict review_access(struct kauth *k, const struct val *doc, struct sv key)
{
	_cleanup_(err_release) struct err err = ERR_INIT;
	_cleanup_obj_ struct obj *got = NULL;
	struct entry *e;
	bool allowed;

	if (client_create(k->client, RES(authorization_subjectaccessreviews), SV(""), doc, NULL, &got, &err) < 0) {
		log_warn("kubelet", "cannot ask what a user may do", "error", "%s", err_msg(&err));
		return KAUTH_BROKEN;
	}
	allowed = val_bool(obj_get(got, F_status, F_allowed));
	e = xcalloc(1, sizeof(*e));
	e->allowed = allowed;
	e->until_ns = env_mono_ns(k->env) + (allowed ? ALLOWED_LIFE_NS : REFUSED_LIFE_NS);
	remember(k, &k->questions, key, e);
	return allowed ? KAUTH_ALLOWED : KAUTH_FORBIDDEN;
}

static enum kauth_verdict kauth_permit(struct kauth *k, const struct http_req *r, const struct val *user,
				       struct sv verb, const char *sub, bool ask)
{
	_cleanup_(buf_release) struct buf key = BUF_INIT;
	const struct val *doc = question(k, r->arena, user, verb, sub);
	enum kauth_verdict v = KAUTH_UNKNOWN;
	const struct entry *e;

	json_encode(&key, doc);
	pthread_mutex_lock(&k->lock);
	e = kauth_recall(k, &k->questions, buf_sv(&key));
	if (e)
		v = e->allowed ? KAUTH_ALLOWED : KAUTH_FORBIDDEN;
	pthread_mutex_unlock(&k->lock);
	return v == KAUTH_UNKNOWN && ask ? review_access(k, doc, buf_sv(&key)) : v;
}

static struct sv forbidden(struct arena *a, const struct val *user, struct sv verb, const char *const *subs)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	buf_printf(&b, "Forbidden (user=%.*s, verb=%.*s, resource=nodes, subresource(s)=[",
		   SV_ARG(val_get_str(user, F_username)), SV_ARG(verb));
	for (size_t i = 0; subs[i]; i++)
		buf_printf(&b, "%s%s", i ? " " : "", subs[i]);
	buf_adds(&b, "])\n");
	return arena_sv(a, buf_sv(&b));
}

static enum kauth_verdict kauth_decide(struct kauth *k, const struct http_req *r, struct sv part, bool ask,
				       struct sv *ret_words)
{
	const char *const *subs = subresources(part);
	struct sv verb = verb_of(r, part);
	struct val *user = NULL;
	enum kauth_verdict v = kauth_identify(k, r, ask, &user);

	*ret_words = SV("Unauthorized");
	if (v == KAUTH_ALLOWED) {
		v = KAUTH_FORBIDDEN;
		for (size_t i = 0; subs[i] && v == KAUTH_FORBIDDEN; i++)
			v = kauth_permit(k, r, user, verb, subs[i], ask);
		*ret_words = forbidden(r->arena, user, verb, subs);
	}
	if (v == KAUTH_BROKEN)
		*ret_words = SV("the API server does not say whether this is allowed: try again");
	return v;
}

enum kauth_verdict kauth_known(struct kauth *k, const struct http_req *r, struct sv part, struct sv *ret_words)
{
	return kauth_decide(k, r, part, false, ret_words);
}

enum kauth_verdict kauth_ask(struct kauth *k, const struct http_req *r, struct sv part, struct sv *ret_words)
{
	return kauth_decide(k, r, part, true, ret_words);
}
