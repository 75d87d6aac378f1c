/* ServiceAccounts and their token subresource (TokenRequest, KEP-1205). */
#include "apiserver/authn/sa_token.h"
#include "apiserver/registry/kinds/kinds.h"
#include "base/timefmt.h"

#define TOKEN_MIN_S 600
#define TOKEN_MAX_S (INT64_C(1) << 32)

static int bad_request(struct err *err, struct sv name, const char *field, const char *text)
{
	err_set(err, ERR_INVALID, "TokenRequest.authentication.k8s.io \"%.*s\" is invalid: %s: %s", SV_ARG(name), field,
		text);
	err_set_object(err, SV("authentication.k8s.io"), SV("TokenRequest"), name);
	return err_add_cause(err, "FieldValueInvalid", sv_from(field), "%s", text);
}

/* The object the token shall die with: it must exist and have the uid that was named. */
static int bind_token(struct api_req *q, const struct val *ref, struct sa_token_request *r, struct err *err)
{
	const struct resource *res;
	struct obj *o;

	if (val_type(ref) != VAL_MAP)
		return 0;
	r->bound_kind = val_get_str(ref, F_kind);
	r->bound_name = val_get_str(ref, F_name);
	if (sv_is(r->bound_kind, "Pod"))
		res = RES(core_pods);
	else if (sv_is(r->bound_kind, "Secret"))
		res = RES(core_secrets);
	else if (sv_is(r->bound_kind, "Node"))
		res = RES(core_nodes);
	else
		return bad_request(err, q->name, "spec.boundObjectRef",
				   "Invalid value: cannot bind token to this kind: only Pod, Secret and Node");
	o = registry_peek(q, res, res->namespaced ? q->ns : SV(""), r->bound_name);
	if (!o)
		return err_not_found(err, res, r->bound_name);
	if (val_get_str(ref, F_uid).n && !sv_eq(val_get_str(ref, F_uid), obj_uid(o)))
		return err_conflict(err, res, r->bound_name,
				    "the UID in the bound object reference (%.*s) does not match the UID in record",
				    SV_ARG(val_get_str(ref, F_uid)));
	r->bound_uid = obj_uid(o);
	if (res != RES(core_pods))
		return 0;
	if (!sv_eq(val_str(obj_get(o, F_spec, F_serviceAccountName)), r->name))
		return bad_request(err, q->name, "spec.boundObjectRef",
				   "Invalid value: cannot bind token to a pod of another service account");
	r->node_name = val_str(obj_get(o, F_spec, F_nodeName));
	o = r->node_name.n ? registry_peek(q, RES(core_nodes), SV(""), r->node_name) : NULL;
	if (o)
		r->node_uid = obj_uid(o);
	return 0;
}

static int issue(struct api_req *q, struct val *doc, struct err *err)
{
	struct obj *sa = registry_peek(q, RES(core_serviceaccounts), q->ns, q->name);
	struct val *spec = val_ensure_map(q->arena, doc, F_spec), *status;
	const struct val *audiences = val_get(spec, F_audiences);
	struct sa_token_request r = { .ns = q->ns, .name = q->name };
	struct sv *list = ARENA_ARRAY(q->arena, struct sv, val_len(audiences) + 1), token;
	char text[TIME_TEXT_MAX];
	int64_t expires;

	if (!sa)
		return err_not_found(err, RES(core_serviceaccounts), q->name);
	r.uid = obj_uid(sa);
	r.expiration_s = val_get_int(spec, 3600, F_expirationSeconds);
	if (r.expiration_s < TOKEN_MIN_S)
		return bad_request(err, SV(""), "spec.expirationSeconds",
				   arena_printf(q->arena,
						"Invalid value: %" PRId64
						": may not specify a duration less than 10 minutes",
						r.expiration_s));
	if (r.expiration_s > TOKEN_MAX_S)
		return bad_request(err, SV(""), "spec.expirationSeconds",
				   arena_printf(q->arena,
						"Invalid value: %" PRId64
						": may not specify a duration larger than 2^32 seconds",
						r.expiration_s));
	VAL_EACH(audiences, a)
		list[r.n_audiences++] = val_str(a);
	r.audiences = list;
	if (bind_token(q, val_get(spec, F_boundObjectRef), &r, err) < 0 ||
	    sa_token_issue(q->server, q->arena, &r, &token, &expires, err) < 0)
		return -1;
	val_set_int(q->arena, spec, F_expirationSeconds, r.expiration_s);
	if (!r.n_audiences)
		val_push(q->arena, val_set_list(q->arena, spec, F_audiences),
			 val_new_str(q->arena, sa_issuer(q->server, q->arena)));
	status = val_set_map(q->arena, doc, F_status);
	val_set_str(q->arena, status, F_token, token);
	val_set_str(q->arena, status, F_expirationTimestamp, time_format(expires, false, text));
	return 0;
}

static void token_create(struct api_req *q)
{
	struct val *doc = sub_body(q), *meta;
	struct err err = ERR_INIT;
	char now[TIME_TEXT_MAX];

	if (!doc)
		return;
	if (issue(q, doc, &err) < 0) {
		api_req_fail(q, &err);
		return;
	}
	meta = val_ensure_map(q->arena, doc, F_metadata);
	val_set_str(q->arena, meta, F_name, q->name);
	val_set_str(q->arena, meta, F_namespace, q->ns);
	val_set_str(q->arena, meta, F_creationTimestamp, time_format(env_now_ns(q->server->env), false, now));
	answer_doc(q, 201, doc);
}

static const struct sub_handler sa_subs[] = { { "token", token_create }, { NULL, NULL } };

const struct strategy serviceaccount_strategy = {
	.res = RES(core_serviceaccounts),
	.unconditional_update = true,
	.no_generation = true,
	.subs = sa_subs,
};
