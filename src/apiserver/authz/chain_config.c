/* Reading an AuthorizationConfiguration. */
#include "apiserver/authz/chain.h"
#include "apiserver/config_reader.h"
#include "base/timefmt.h"
#include "object/schema.h"
#include "object/validate.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>

#define ANSWER_MAX ((size_t)1 << 20)
#define ANSWERS_MAX 8192   /* that are remembered of a webhook */
#define QUESTION_MAX 10000 /* bytes; longer ones are asked each time, as upstream's */
#define ANSWER_KEPT ((size_t)16 * 1024)
#define CONDITIONS_MAX 64
#define TIMEOUT_MAX_NS (30 * NS_PER_SEC)

static const char *const mode_names[_AUTHZ_MODE_MAX] = { "AlwaysAllow", "AlwaysDeny", "Node", "RBAC", "Webhook" };

/* A time that must be given, at most max (0: any). */
static int64_t chain_time(struct conf *c, const struct val *v, struct sv at, const char *name, int64_t max)
{
	struct sv text = conf_text(c, v, name), path = conf_at(c, at, name);
	int64_t ns = 0;

	if (!text.n)
		conf_wrong(c, path, "Required value");
	else if (!duration_parse(text, &ns))
		conf_invalid(c, path, text, "it is no duration");
	else if (ns == 0)
		conf_wrong(c, path, "Required value");
	else if (ns < 0 || (max && ns > max))
		conf_invalid(c, path, text, max ? "must be > 0s and <= 30s" : "must be > 0s");
	return ns;
}

static void chain_not_supported(struct conf *c, struct sv at, const char *name, struct sv value, const char *known)
{
	if (value.n)
		conf_wrong(c, conf_at(c, at, name), "Unsupported value: \"%.*s\": supported values: %s", SV_ARG(value),
			   known);
	else
		conf_wrong(c, conf_at(c, at, name), "Required value");
}

static void chain_conditions(struct conf *c, const struct val *list, struct sv at, struct authz_hook *h)
{
	static const char *const members[] = { "sexpression", NULL };
	_cleanup_(strmap_release) struct strmap seen = STRMAP_INIT;
	const struct cel_var var = { SV("request"), h->type };
	const struct cel_env env = { .release = CEL_V(1, 37), .vars = &var, .n_vars = 1 };
	struct sv path = conf_at(c, at, "matchConditions");
	size_t n = 0;

	if (val_len(list) > CONDITIONS_MAX) {
		conf_wrong(c, path, "Too many: %zu: must have at most %d items", val_len(list), CONDITIONS_MAX);
		return;
	}
	h->conditions = ARENA_ARRAY(c->a, struct authz_condition, val_len(list) + 1);
	VAL_EACH(list, v) {
		struct sv item = conf_item(c, path, n++), text_at = conf_at(c, item, "expression");
		struct sv text = conf_text(c, v, "expression");

		conf_shape(c, v, item, members);
		if (!sv_trim(text).n) {
			conf_wrong(c, text_at, "Required value");
		} else if (strmap_has(&seen, text)) {
			conf_wrong(c, text_at, "Duplicate value: \"%.*s\"", SV_ARG(text));
		} else {
			struct authz_condition *k = &h->conditions[h->n_conditions++];

			(void)strmap_set(&seen, text, k);
			k->text = text;
			k->program = conf_compile(c, text_at, &env, text, true);
		}
	}
}

static void chain_connection(struct conf *c, const struct val *v, struct sv at, struct authz_hook *h)
{
	static const char *const members[] = { "stype", "skubeConfigFile", NULL };
	struct sv type = conf_text(c, v, "type"), file = conf_text(c, v, "kubeConfigFile");
	struct sv path = conf_at(c, at, "kubeConfigFile");
	_cleanup_(err_release) struct err err = ERR_INIT;
	struct stat st;

	conf_shape(c, v, at, members);
	if (sv_is(type, "InClusterConfig"))
		conf_invalid(c, conf_at(c, at, "type"), type,
			     "this server is no pod: use KubeConfigFile and name a kubeconfig");
	else if (!sv_is(type, "KubeConfigFile"))
		chain_not_supported(c, at, "type", type, "\"InClusterConfig\", \"KubeConfigFile\"");
	else if (!file.n)
		conf_wrong(c, path, "Required value");
	else if (file.p[0] != '/')
		conf_invalid(c, path, file, "must be an absolute path");
	else if (stat(arena_cstr(c->a, file), &st) < 0)
		conf_wrong(c, path, "Invalid value: \"%.*s\": error loading file: stat %.*s: %s", SV_ARG(file),
			   SV_ARG(file), errno == ENOENT ? "no such file or directory" : strerror(errno));
	else if (!S_ISREG(st.st_mode))
		conf_invalid(c, path, file, "must be a regular file");
	else if (!(h->asker = webhook_asker_new(&(struct webhook_asker_opts){ .kubeconfig = arena_cstr(c->a, file),
									      .what = "an authorization webhook",
									      .answer_max = ANSWER_MAX,
									      .known_max = ANSWERS_MAX,
									      .question_kept = QUESTION_MAX,
									      .answer_kept = ANSWER_KEPT },
						&err)))
		conf_wrong(c, path, "Invalid value: %s", err_msg(&err));
}

static void chain_hook(struct conf *c, const struct val *v, struct sv at, struct authz_hook *h)
{
	static const char *const members[] = { "stimeout",
					       "sauthorizedTTL",
					       "sunauthorizedTTL",
					       "bcacheAuthorizedRequests",
					       "bcacheUnauthorizedRequests",
					       "ssubjectAccessReviewVersion",
					       "smatchConditionSubjectAccessReviewVersion",
					       "sfailurePolicy",
					       "mconnectionInfo",
					       "lmatchConditions",
					       NULL };
	struct sv version = conf_text(c, v, "subjectAccessReviewVersion"), policy = conf_text(c, v, "failurePolicy"),
		  match = conf_text(c, v, "matchConditionSubjectAccessReviewVersion");
	const struct val *allowed = conf_member(v, "cacheAuthorizedRequests"),
			 *denied = conf_member(v, "cacheUnauthorizedRequests");

	conf_shape(c, v, at, members);
	h->timeout_ns = chain_time(c, v, at, "timeout", TIMEOUT_MAX_NS);
	h->allowed_ns = chain_time(c, v, at, "authorizedTTL", 0);
	h->denied_ns = chain_time(c, v, at, "unauthorizedTTL", 0);
	if (allowed && !val_bool(allowed))
		h->allowed_ns = 0;
	if (denied && !val_bool(denied))
		h->denied_ns = 0;
	h->v1beta1 = sv_is(version, "v1beta1");
	if (!h->v1beta1 && !sv_is(version, "v1"))
		chain_not_supported(c, at, "subjectAccessReviewVersion", version, "\"v1\", \"v1beta1\"");
	if (!match.n && val_len(conf_member(v, "matchConditions")))
		conf_wrong(c, conf_at(c, at, "matchConditionSubjectAccessReviewVersion"),
			   "Required value: required if match conditions are specified");
	else if (match.n && !sv_is(match, "v1"))
		chain_not_supported(c, at, "matchConditionSubjectAccessReviewVersion", match, "\"v1\"");
	h->deny_on_failure = sv_is(policy, "Deny");
	if (!h->deny_on_failure && !sv_is(policy, "NoOpinion"))
		chain_not_supported(c, at, "failurePolicy", policy, "\"NoOpinion\", \"Deny\"");
	chain_connection(c, conf_member(v, "connectionInfo"), conf_at(c, at, "connectionInfo"), h);
	chain_conditions(c, conf_member(v, "matchConditions"), at, h);
}

/* What a condition may ask of `request`: the spec of a SubjectAccessReview, by the kind's own tables. */
static const struct cel_type *chain_request_type(struct arena *a)
{
	const struct cel_type *review = cel_type_schema(a, RES(authorization_subjectaccessreviews)->schema);
	const struct cel_field *spec = review ? cel_type_field(review, SV("spec")) : NULL;

	return spec ? spec->type : &cel_t_dyn;
}

static bool chain_mode(struct sv type, enum authz_mode *ret)
{
	for (size_t i = 0; i < _AUTHZ_MODE_MAX; i++)
		if (sv_is(type, mode_names[i])) {
			*ret = (enum authz_mode)i;
			return true;
		}
	return false;
}

static void chain_name(struct conf *c, struct sv at, struct sv name, struct strmap *seen)
{
	struct sv path = conf_at(c, at, "name");

	if (!name.n)
		conf_wrong(c, path, "Required value");
	else if (strmap_has(seen, name))
		conf_wrong(c, path, "Duplicate value: \"%.*s\"", SV_ARG(name));
	else if (fmt_dns_subdomain(name))
		conf_wrong(c, path, "Invalid value: \"%.*s\": authorizer name is invalid: %s", SV_ARG(name),
			   fmt_dns_subdomain(name));
	(void)strmap_set(seen, name, seen);
}

static void chain_link(struct conf *c, const struct val *v, struct sv at, struct strmap *names, bool *modes,
		       struct authz_chain *chain)
{
	static const char *const members[] = { "stype", "sname", "mwebhook", NULL };
	struct sv type = conf_text(c, v, "type"), name = conf_text(c, v, "name"), hook_at = conf_at(c, at, "webhook");
	const struct val *hook = conf_member(v, "webhook");
	struct authz_link *l = &chain->links[chain->n];

	conf_shape(c, v, at, members);
	if (!chain_mode(type, &l->mode)) {
		chain_not_supported(c, at, "type", type,
				    "\"AlwaysAllow\", \"AlwaysDeny\", \"Node\", \"RBAC\", \"Webhook\"");
		return;
	}
	if (modes[l->mode] && l->mode != AUTHZ_WEBHOOK) {
		conf_wrong(c, conf_at(c, at, "type"), "Duplicate value: \"%.*s\"", SV_ARG(type));
		return;
	}
	modes[l->mode] = true;
	chain_name(c, at, name, names);
	if (l->mode != AUTHZ_WEBHOOK && hook)
		conf_invalid(c, hook_at, SV("non-null"), "may only be specified when type=Webhook");
	if (l->mode == AUTHZ_WEBHOOK && !hook) {
		conf_wrong(c, hook_at, "Required value: required when type=Webhook");
		return;
	}
	chain->n++;
	if (l->mode != AUTHZ_WEBHOOK)
		return;
	l->hook = ARENA_NEW(c->a, struct authz_hook);
	l->hook->name = name;
	l->hook->type = chain_request_type(c->a);
	/* Without `webhook`, as upstream's paths are. */
	chain_hook(c, hook, at, l->hook);
}

struct authz_chain *authz_chain_parse(struct sv text, struct err *err)
{
	static const char *const members[] = { "sapiVersion", "skind", "lauthorizers", NULL };
	_cleanup_(arena_release) struct arena a = ARENA_INIT; /* of the text */
	_cleanup_(authz_chain_unrefp) struct authz_chain *chain = xcalloc(1, sizeof(*chain));
	_cleanup_(conf_release) struct conf c = { .a = &chain->arena, .kind = "AuthorizationConfiguration" };
	_cleanup_(strmap_release) struct strmap names = STRMAP_INIT;
	bool modes[_AUTHZ_MODE_MAX] = { false };
	struct authz_chain *good = chain;
	const struct val *doc, *list;
	size_t i = 0;

	atomic_init(&chain->refs, 1);
	doc = conf_document(&c, &a, text, err);
	if (!doc)
		return NULL;
	conf_shape(&c, doc, SV(""), members);
	list = conf_member(doc, "authorizers");
	if (!val_len(list))
		conf_wrong(&c, SV("authorizers"), "Required value: at least one authorization mode must be defined");
	chain->links = ARENA_ARRAY(&chain->arena, struct authz_link, val_len(list) + 1);
	VAL_EACH(list, v)
		chain_link(&c, v, conf_item(&c, SV("authorizers"), i++), &names, modes, chain);
	if (conf_end(&c, err) < 0)
		return NULL;
	chain = NULL;
	return good;
}

struct authz_chain *authz_chain_ref(struct authz_chain *c)
{
	atomic_fetch_add(&c->refs, 1);
	return c;
}

static void hook_release(struct authz_hook *h)
{
	for (size_t i = 0; i < h->n_conditions; i++)
		cel_program_unref(h->conditions[i].program);
	webhook_asker_unref(h->asker);
}

struct authz_chain *authz_chain_unref(struct authz_chain *c)
{
	if (!c || atomic_fetch_sub(&c->refs, 1) != 1)
		return NULL;
	for (size_t i = 0; i < c->n; i++)
		if (c->links[i].hook)
			hook_release(c->links[i].hook);
	arena_release(&c->arena);
	free(c);
	return NULL;
}
