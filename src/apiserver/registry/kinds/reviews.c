/* Questions about identity and permission, answered and not stored: TokenReview,
 * SelfSubjectReview, the four SubjectAccessReviews. */
#include "apiserver/authn.h"
#include "apiserver/authz.h"
#include "apiserver/authz/authz-internal.h"
#include "apiserver/registry/kinds/kinds.h"
#include "apiserver/steps.h"
#include "base/strmap.h"
#include "base/timefmt.h"
#include "object/validate.h"

static struct val *user_doc(struct arena *a, const struct user_info *u)
{
	struct val *doc = val_new_map(a);

	user_describe(a, doc, u);
	return doc;
}

/* 1: it is known whose token it is, 0: it is not, why in *ret_unknown; or REQ_LATER. */
static int token_ask(struct api_req *q, struct token_question *t, struct user_info *ret, struct err *ret_unknown)
{
	const struct req_plugins *p = q->server->plugins;
	struct err why = ERR_INIT;
	int rc = authn_token(q->server, q->arena, t->token, t->audiences, t->n_audiences, ret, &t->ret_audiences,
			     &t->ret_n, ret_unknown);

	if (rc == 1)
		return rc;
	rc = q->server->authz ? authn_ask_outside(q, t, ret, &why) : 1;
	if (rc == 0 || rc == REQ_LATER)
		return rc == 0 ? 1 : rc;
	if (why.reason != ERR_NONE) {
		err_release(ret_unknown);
		err_set(ret_unknown, ERR_UNAUTHORIZED, "[invalid bearer token, %s]", err_msg(&why));
		err_release(&why);
	}
	if (!p || !p->review)
		return 0;
	t->ret_n = 0;
	rc = p->review(q, t, ret, &why, p->ctx);
	if (rc == 0)
		return 1;
	if (rc != REQ_LATER && why.reason != ERR_NONE) {
		err_release(ret_unknown);
		return err_move(ret_unknown, &why), 0;
	}
	err_release(&why);
	return rc == REQ_LATER ? rc : 0;
}

static int tokenreview(struct api_req *q, struct val *doc, struct err *err)
{
	struct arena *a = q->arena;
	const struct val *asked = val_get(doc, F_spec, F_audiences);
	struct sv *want = ARENA_ARRAY(a, struct sv, val_len(asked) + 1);
	struct token_question t = { .token = val_get_str(doc, F_spec, F_token), .audiences = want };
	_cleanup_(err_release) struct err unknown = ERR_INIT;
	struct val *status = val_new_map(a), *list;
	struct user_info user;
	int rc;

	if (t.token.n == 0)
		return err_set(err, ERR_BAD_REQUEST, "token is required for TokenReview in authentication");
	VAL_EACH(asked, x)
		want[t.n_audiences++] = val_str(x);
	rc = token_ask(q, &t, &user, &unknown);
	if (rc == REQ_LATER)
		return rc;
	if (rc == 1) {
		val_set_bool(a, status, F_authenticated, true);
		val_set(a, status, F_user, user_doc(a, &user));
		if (user.warning)
			api_req_warn(q, "%s", user.warning);
		list = val_set_list(a, status, F_audiences);
		for (size_t i = 0; i < t.ret_n; i++)
			val_push(a, list, val_new_str(a, t.ret_audiences[i]));
	} else {
		val_set_map(a, status, F_user);
		val_set_cstr(a, status, F_error, err_msg(&unknown));
	}
	val_set(a, doc, F_status, status);
	answer_doc(q, 201, doc);
	return 0;
}

static int selfsubjectreview(struct api_req *q, struct val *doc, struct err *err)
{
	struct val *status = val_new_map(q->arena);
	char now[TIME_TEXT_MAX];

	(void)err;
	val_set(q->arena, status, F_userInfo, user_doc(q->arena, &q->user));
	val_set(q->arena, doc, F_status, status);
	val_set_str(q->arena, val_ensure_map(q->arena, doc, F_metadata), F_creationTimestamp,
		    time_format(env_now_ns(q->server->env), false, now));
	answer_doc(q, 201, doc);
	return 0;
}

/* --- access reviews --- */

/* The terms of a review's field selector that say something is equal, for what a selector can narrow. Negations are
 * not needed by any rule; a raw selector that cannot be read selects nothing. */
static const struct field_selector *review_fields(struct arena *a, const struct val *r)
{
	const struct val *f = val_get(r, F_fieldSelector), *list = val_get(f, F_requirements);
	struct field_selector *out;
	struct err ignored = ERR_INIT;

	if (val_get_str(f, F_rawSelector).n) {
		out = field_selector_parse(a, val_get_str(f, F_rawSelector), &ignored);
		err_release(&ignored);
		return out;
	}
	out = ARENA_NEW(a, struct field_selector);
	out->terms = ARENA_ARRAY(a, struct field_term, val_len(list) + 1);
	VAL_EACH(list, x)
		if (val_is(val_get(x, F_operator), "In") && val_len(val_get(x, F_values)) == 1)
			out->terms[out->n++] = (struct field_term){ .label = val_get_str(x, F_key),
								    .value = val_str(val_at(val_get(x, F_values), 0)) };
	return out;
}

/* A question is not kept, so it has no name or anything else of an object. What clients write of themselves
 * (creationTimestamp: null) is nothing. */
static bool review_has_meta(const struct val *doc, bool local)
{
	VAL_EACH_MEMBER(val_get(doc, F_metadata), m)
		if (!val_same(m.value, NULL) && m.sym != F_managedFields && !(local && m.sym == F_namespace))
			return true;
	return false;
}

/* What a list or watch selects, of fields or of labels: raw or in parts. Operators of clients to come are let be. */
static void review_selector(struct field_errs *fe, const struct val *r, const struct fpath *up, enum sym name)
{
	const struct val *sel = val_member(r, name), *raw = val_member(sel, F_rawSelector),
			 *list = val_member(sel, F_requirements);
	struct fpath at = FPATH(up, name), raw_at = FPATH(&at, F_rawSelector), list_at = FPATH(&at, F_requirements);
	size_t i = 0;

	if (!sel)
		return;
	if (val_str(raw).n && val_len(list))
		fe_invalid(fe, &raw_at, raw, "may not specified at the same time as requirements");
	if (!val_str(raw).n && !val_len(list))
		fe_add(fe, FE_REQUIRED, &list_at, NULL,
		       "when %.*s is specified, requirements or rawSelector is required",
		       SV_ARG(fpath_str(fe->a, &at)));
	VAL_EACH(list, x) {
		struct fpath item = FPATH_AT(&list_at, i++), key_at = FPATH(&item, F_key);
		struct sv key = val_get_str(x, F_key);

		if (name == F_labelSelector) {
			validate_label_requirement(fe, x, &item, true);
			continue;
		}
		if (!key.n)
			fe_required_why(fe, &key_at, "must be specified");
		validate_selector_operator(fe, x, &item, true);
	}
}

/* The path asked for, as Go prints it. */
static const struct val *review_path(struct arena *a, const struct val *p)
{
	return val_new_raw(a, arena_svf(a, "authorization.NonResourceAttributes{Path:\"%.*s\", Verb:\"%.*s\"}",
					SV_ARG(val_get_str(p, F_path)), SV_ARG(val_get_str(p, F_verb))));
}

static void review_faults(struct field_errs *fe, struct api_req *q, const struct val *doc)
{
	const struct val *spec = val_get(doc, F_spec), *r = val_member(spec, F_resourceAttributes),
			 *p = val_member(spec, F_nonResourceAttributes), *ns = val_member(r, F_namespace);
	struct fpath at = FPATH_ROOT(F_spec), r_at = FPATH(&at, F_resourceAttributes),
		     p_at = FPATH(&at, F_nonResourceAttributes), user_at = FPATH(&at, F_user),
		     ns_at = FPATH(&r_at, F_namespace), meta_at = FPATH_ROOT(F_metadata);
	bool local = q->res == RES(authorization_localsubjectaccessreviews);
	const struct val *none = val_new_str(fe->a, SV(""));

	if (r && p)
		fe_invalid(fe, &p_at, review_path(fe->a, p),
			   "cannot be specified in combination with resourceAttributes");
	if (!r && !p)
		fe_invalid(fe, &r_at, NULL,
			   "exactly one of nonResourceAttributes or resourceAttributes must be specified");
	if (q->res != RES(authorization_selfsubjectaccessreviews) && !val_get_str(spec, F_user).n &&
	    !val_len(val_member(spec, F_groups)))
		fe_invalid(fe, &user_at, none, "at least one of user or group must be specified");
	review_selector(fe, r, &r_at, F_fieldSelector);
	review_selector(fe, r, &r_at, F_labelSelector);
	if (review_has_meta(doc, local))
		fe_add(fe, FE_INVALID, &meta_at, NULL, local ? "must be empty except for namespace" : "must be empty");
	if (local && r && !sv_eq(val_str(ns), q->ns))
		fe_invalid(fe, &ns_at, ns ? ns : none, "must match metadata.namespace");
	if (local && p)
		fe_invalid(fe, &p_at, review_path(fe->a, p), "disallowed on this kind of request");
}

/* Reviews are nobody's objects: upstream's 422 of them names no kind. */
static int review_sound(struct api_req *q, const struct val *doc, struct err *err)
{
	struct resource nobody = *q->res;
	struct field_errs fe;

	nobody.kind = "";
	field_errs_init(&fe, q->arena);
	review_faults(&fe, q, doc);
	return field_errs_to_err(&fe, &nobody, SV(""), err);
}

/* Who is asked may not know yet. That he refuses is an answer, and that he could not find out is told in one. */
static int answer_access(struct api_req *q, struct val *doc, const struct user_info *user, struct err *err)
{
	const struct val *spec = val_get(doc, F_spec), *r = val_get(spec, F_resourceAttributes);
	const struct val *p = val_get(spec, F_nonResourceAttributes);
	struct val *status = val_new_map(q->arena);
	struct authz_attrs at = { .user = user, .resource_request = r != NULL, .explain = true };
	_cleanup_(err_release) struct err why = ERR_INIT;
	struct sv reason = SV("");
	int rc;

	if (review_sound(q, doc, err) < 0)
		return -1;
	at.verb = val_get_str(r ? r : p, F_verb);
	at.group = val_get_str(r, F_group);
	at.version = val_get_str(r, F_version);
	at.resource = val_get_str(r, F_resource);
	at.subresource = val_get_str(r, F_subresource);
	at.ns = val_get_str(r, F_namespace);
	at.name = val_get_str(r, F_name);
	at.path = val_get_str(p, F_path);
	at.fields = review_fields(q->arena, r);
	at.labels = val_get_str(r, F_labelSelector, F_rawSelector);
	at.label_requirements = val_get(r, F_labelSelector, F_requirements);
	rc = authz_ask(q, &at, &reason, &why);
	if (rc == REQ_LATER)
		return rc;
	val_set_bool(q->arena, status, F_allowed, rc == 0);
	if (rc < 0)
		reason = SV("");
	if (rc < 0 && why.reason == ERR_FORBIDDEN) {
		val_set_bool(q->arena, status, F_denied, true);
		reason = arena_sv(q->arena, sv_from(err_msg(&why)));
	} else if (rc < 0) {
		val_set_cstr(q->arena, status, F_evaluationError, err_msg(&why));
	}
	if (reason.n)
		val_set_str(q->arena, status, F_reason, reason);
	val_set(q->arena, doc, F_status, status);
	answer_doc(q, 201, doc);
	return 0;
}

static struct user_info spec_user(struct api_req *q, const struct val *spec)
{
	const struct val *groups = val_get(spec, F_groups);
	struct user_info u = { .name = val_get_str(spec, F_user), .uid = val_get_str(spec, F_uid) };
	_cleanup_(strmap_release) struct strmap seen = STRMAP_INIT;

	/* Each once: of each all roles are gone through. */
	u.groups = ARENA_ARRAY(q->arena, struct sv, val_len(groups) + 1);
	u.extra = ARENA_ARRAY(q->arena, struct extra_info, val_len(val_get(spec, F_extra)) + 1);
	VAL_EACH_MEMBER(val_get(spec, F_extra), m) {
		struct extra_info *e = &u.extra[u.n_extra++];

		e->key = m.key;
		e->values = ARENA_ARRAY(q->arena, struct sv, val_len(m.value) + 1);
		VAL_EACH(m.value, v)
			e->values[e->n_values++] = val_str(v);
	}
	VAL_EACH(groups, g)
		if (!strmap_set(&seen, val_str(g), q))
			u.groups[u.n_groups++] = val_str(g);
	return u;
}

static int subjectaccessreview(struct api_req *q, struct val *doc, struct err *err)
{
	struct user_info u = spec_user(q, val_get(doc, F_spec));

	return answer_access(q, doc, &u, err);
}

static int selfsubjectaccessreview(struct api_req *q, struct val *doc, struct err *err)
{
	return answer_access(q, doc, &q->user, err);
}

static int selfsubjectrulesreview(struct api_req *q, struct val *doc, struct err *err)
{
	struct sv ns = val_get_str(doc, F_spec, F_namespace);

	if (ns.n == 0)
		return err_set(err, ERR_BAD_REQUEST, "no namespace on request");
	val_set(q->arena, doc, F_status, authz_rules(q->server, q->arena, &q->user, ns));
	answer_doc(q, 201, doc);
	return 0;
}

const struct strategy tokenreview_strategy = { .res = RES(authentication_tokenreviews), .virtual_create = tokenreview };
const struct strategy selfsubjectreview_strategy = {
	.res = RES(authentication_selfsubjectreviews),
	.virtual_create = selfsubjectreview,
};
const struct strategy subjectaccessreview_strategy = {
	.res = RES(authorization_subjectaccessreviews),
	.virtual_create = subjectaccessreview,
};
const struct strategy localsubjectaccessreview_strategy = {
	.res = RES(authorization_localsubjectaccessreviews),
	.virtual_create = subjectaccessreview,
};
const struct strategy selfsubjectaccessreview_strategy = {
	.res = RES(authorization_selfsubjectaccessreviews),
	.virtual_create = selfsubjectaccessreview,
};
const struct strategy selfsubjectrulesreview_strategy = {
	.res = RES(authorization_selfsubjectrulesreviews),
	.virtual_create = selfsubjectrulesreview,
};
