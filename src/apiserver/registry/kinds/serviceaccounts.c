/* ServiceAccounts and their token subresource (TokenRequest, KEP-1205). */
#include "apiserver/authn/sa_accounts.h"
#include "apiserver/authn/sa_token.h"
#include "apiserver/registry/kinds/kinds.h"
#include "apiserver/set_aside.h"
#include "apiserver/steps.h"
#include "base/timefmt.h"
#include "object/feature.h"

#define TOKEN_MIN_S 600
#define TOKEN_MAX_S (INT64_C(1) << 32)

/* TokenRequests have no name of their own: the 422 of a field that cannot be. */
static int token_invalid(struct err *err, struct sv name, const char *field, const char *text)
{
	err_set(err, ERR_INVALID, "TokenRequest.authentication.k8s.io \"%.*s\" is invalid: %s: %s", SV_ARG(name), field,
		text);
	err_set_object(err, SV("authentication.k8s.io"), SV("TokenRequest"), name);
	return err_add_cause(err, "FieldValueInvalid", sv_from(field), "%s", text);
}

/* The kinds a token can be bound to. "v1" only: apps/v1 has no Pod. */
static const struct resource *token_bound_resource(const struct val *ref)
{
	if (sv_find(val_get_str(ref, F_apiVersion), '/') >= 0)
		return NULL;
	if (val_is(val_get(ref, F_kind), "Pod"))
		return RES(core_pods);
	if (val_is(val_get(ref, F_kind), "Secret"))
		return RES(core_secrets);
	return val_is(val_get(ref, F_kind), "Node") ? RES(core_nodes) : NULL;
}

static int token_cannot_bind(const struct val *ref, struct err *err)
{
	struct sv gv = val_get_str(ref, F_apiVersion);

	return err_set(err, ERR_BAD_REQUEST, "cannot bind token to object of type %s%.*s, Kind=%.*s",
		       sv_find(gv, '/') < 0 ? "/" : "", SV_ARG(gv), SV_ARG(val_get_str(ref, F_kind)));
}

/* The object the token shall die with: it must exist and have the uid that was named. */
static int token_bind(struct api_req *q, const struct val *ref, struct sa_token_request *r, struct err *err)
{
	const struct resource *res = token_bound_resource(ref);
	struct sv uid = val_get_str(ref, F_uid);
	struct obj *o;

	if (val_type(ref) != VAL_MAP)
		return 0;
	r->bound_kind = val_get_str(ref, F_kind);
	r->bound_name = val_get_str(ref, F_name);
	if (!res)
		return token_cannot_bind(ref, err);
	o = registry_peek(q, res, res->namespaced ? q->ns : SV(""), r->bound_name);
	if (!o)
		return err_not_found(err, res, r->bound_name);
	if (res == RES(core_pods) && !sv_eq(val_str(obj_get(o, F_spec, F_serviceAccountName)), r->name))
		return err_set(err, ERR_BAD_REQUEST,
			       "cannot bind token for serviceaccount \"%.*s\" to pod running with different "
			       "serviceaccount name.",
			       SV_ARG(r->name));
	if (uid.n && !sv_eq(uid, obj_uid(o))) {
		err_set(err, ERR_CONFLICT,
			"Operation cannot be fulfilled on %.*s \"%.*s\": the UID in the bound object reference (%.*s) "
			"does not match the UID in record. The object might have been deleted and then recreated",
			SV_ARG(r->bound_kind), SV_ARG(r->bound_name), SV_ARG(uid));
		return err_set_object(err, SV(""), r->bound_kind, r->bound_name);
	}
	r->bound_uid = obj_uid(o);
	if (res != RES(core_pods))
		return 0;
	r->node_name = val_str(obj_get(o, F_spec, F_nodeName));
	o = r->node_name.n ? registry_peek(q, RES(core_nodes), SV(""), r->node_name) : NULL;
	if (o)
		r->node_uid = obj_uid(o);
	return 0;
}

static int token_check_meta(struct api_req *q, const struct val *doc, struct err *err)
{
	struct sv name = val_get_str(doc, F_metadata, F_name), ns = val_get_str(doc, F_metadata, F_namespace);

	if (name.n && !sv_eq(name, q->name))
		return token_invalid(err, q->name, "metadata.name",
				     arena_printf(q->arena,
						  "Invalid value: \"%.*s\": must match the service account name if "
						  "specified",
						  SV_ARG(name)));
	if (ns.n && !sv_eq(ns, q->ns))
		return token_invalid(err, q->name, "metadata.namespace",
				     arena_printf(q->arena,
						  "Invalid value: \"%.*s\": must match the service account namespace "
						  "if specified",
						  SV_ARG(ns)));
	return 0;
}

static int token_check_life(struct api_req *q, int64_t seconds, struct err *err)
{
	const char *rule = seconds < TOKEN_MIN_S   ? "may not specify a duration less than 10 minutes"
			   : seconds > TOKEN_MAX_S ? "may not specify a duration larger than 2^32 seconds"
						   : NULL;

	if (!rule)
		return 0;
	return token_invalid(err, SV(""), "spec.expirationSeconds",
			     arena_printf(q->arena, "Invalid value: %" PRId64 ": %s", seconds, rule));
}

/* A uid that the request names is the account's, or it was asked for another of that name. */
static int token_check_uid(const struct val *doc, struct sv name, struct sv uid, struct err *err)
{
	struct sv asked = val_get_str(doc, F_metadata, F_uid);

	if (!asked.n || sv_eq(asked, uid) || !feature_on(FG_TokenRequestServiceAccountUIDValidation))
		return 0;
	err_set(err, ERR_CONFLICT,
		"Operation cannot be fulfilled on TokenRequest.authentication.k8s.io \"%.*s\": the UID in the token "
		"request (%.*s) does not match the UID of the service account (%.*s)",
		SV_ARG(name), SV_ARG(asked), SV_ARG(uid));
	return err_set_object(err, SV("authentication.k8s.io"), SV("TokenRequest"), name);
}

/* How long it lasts: what was asked for, within what the server allows; a Pod's a year, with a mark. */
static int64_t token_life(struct api_req *q, const struct sa_accounts *c, struct sa_token_request *r)
{
	int64_t told = r->expiration_s;
	bool own = true;

	if (c->max_s && told > c->max_s) {
		api_req_warn(q, "requested expiration of %" PRId64 " seconds shortened to %" PRId64 " seconds", told,
			     c->max_s);
		r->expiration_s = told = c->max_s;
	}
	for (size_t i = 0; i < r->n_audiences; i++)
		own = own && sa_accounts_hear(c, r->audiences[i]);
	if (c->extend && own && told == SA_INJECTED_S && sv_is(r->bound_kind, "Pod")) {
		r->warn_after_s = told;
		r->expiration_s = c->extended_s;
	}
	return told;
}

/* A token that is being issued: what it says is settled before somebody is asked to sign it. In the request's arena. */
struct token_issuing {
	struct val *doc, *spec;
	struct sv claims; /* "": not yet */
	size_t n_audiences;
	int64_t told, expires_ns;
};

static int token_prepare(struct api_req *q, struct token_issuing *t, struct err *err)
{
	const struct val *audiences = val_get(t->spec, F_audiences);
	struct sa_token_request r = { .ns = q->ns, .name = q->name };
	struct sv *list = ARENA_ARRAY(q->arena, struct sv, val_len(audiences) + 1);
	struct obj *sa;

	if (token_check_meta(q, t->doc, err) < 0)
		return -1;
	sa = registry_peek(q, RES(core_serviceaccounts), q->ns, q->name);
	if (!sa)
		return set_aside_error(q->server, RES(core_serviceaccounts), q->ns, q->name, err);
	r.uid = obj_uid(sa);
	r.expiration_s = val_get_int(t->spec, 3600, F_expirationSeconds);
	if (token_check_life(q, r.expiration_s, err) < 0)
		return -1;
	VAL_EACH(audiences, a)
		list[r.n_audiences++] = val_str(a);
	r.audiences = list;
	if (token_check_uid(t->doc, q->name, r.uid, err) < 0 ||
	    token_bind(q, val_get(t->spec, F_boundObjectRef), &r, err) < 0)
		return -1;
	t->told = token_life(q, sa_accounts_of(q->server), &r);
	t->n_audiences = r.n_audiences;
	t->claims = sa_token_claims(q->server, q->arena, &r, &t->expires_ns);
	t->expires_ns -= (r.expiration_s - t->told) * NS_PER_SEC;
	return 0;
}

static void token_fill(struct api_req *q, const struct token_issuing *t, struct sv token)
{
	const struct sa_accounts *c = sa_accounts_of(q->server);
	struct val *status, *meta;
	char text[TIME_TEXT_MAX];

	val_set_int(q->arena, t->spec, F_expirationSeconds, t->told);
	if (!t->n_audiences) {
		struct val *all = val_set_list(q->arena, t->spec, F_audiences);

		for (size_t i = 0; i < c->n_audiences; i++)
			val_push(q->arena, all, val_new_str(q->arena, c->audiences[i]));
	}
	status = val_set_map(q->arena, t->doc, F_status);
	val_set_str(q->arena, status, F_token, token);
	val_set_str(q->arena, status, F_expirationTimestamp, time_format(t->expires_ns, false, text));
	meta = val_ensure_map(q->arena, t->doc, F_metadata);
	val_set_str(q->arena, meta, F_name, q->name);
	val_set_str(q->arena, meta, F_namespace, q->ns);
	val_set_str(q->arena, meta, F_creationTimestamp, time_format(env_now_ns(q->server->env), false, text));
}

static int token_issue(struct api_req *q, void *ctx, struct err *err)
{
	struct token_issuing *t = ctx;
	struct sv token;
	int rc = t->claims.n ? 0 : token_prepare(q, t, err);

	if (rc == 0)
		rc = sa_token_sign(q, t->claims, &token, err);
	if (rc)
		return rc;
	token_fill(q, t, token);
	answer_doc(q, 201, t->doc);
	return 0;
}

static void token_admitted(struct api_req *q, struct val *doc)
{
	struct token_issuing *t = ARENA_NEW(q->arena, struct token_issuing);

	*t = (struct token_issuing){ .doc = doc, .spec = val_ensure_map(q->arena, doc, F_spec) };
	req_forget(q);
	req_ask(q, token_issue, t);
}

static void token_create(struct api_req *q)
{
	struct val *doc = sub_body(q);

	if (doc)
		admission_create_sub(q, doc, token_admitted);
}

static const struct sub_handler sa_subs[] = { { "token", token_create, .streams = false },
					      { NULL, NULL, .streams = false } };

const struct strategy serviceaccount_strategy = {
	.res = RES(core_serviceaccounts),
	.returns_deleted = true,
	.unconditional_update = true,
	.no_generation = true,
	.subs = sa_subs,
};
