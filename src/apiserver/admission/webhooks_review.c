/* AdmissionReview: written as upstream writes it, and what comes back read with suspicion. */
#include "apiserver/admission/webhooks.h"
#include "apiserver/registry/registry.h"
#include "base/b64.h"
#include "base/budget.h"
#include "codec/json.h"

#include <stdio.h>
#include <stdlib.h>

#define ADMISSION_GROUP "admission.k8s.io/"

/* --- the question --- */

static void review_str(struct buf *b, const char *name, struct sv s)
{
	buf_printf(b, "\"%s\":", name);
	json_encode_str(b, s);
}

static void review_triple(struct buf *b, const char *name, const struct sv v[3], const char *third)
{
	buf_printf(b, "\"%s\":{", name);
	review_str(b, "group", v[0]);
	buf_addc(b, ',');
	review_str(b, "version", v[1]);
	buf_addc(b, ',');
	review_str(b, third, v[2]);
	buf_adds(b, "},");
}

static void review_strs(struct buf *b, const struct sv *list, size_t n)
{
	buf_addc(b, '[');
	for (size_t i = 0; i < n; i++) {
		if (i)
			buf_addc(b, ',');
		json_encode_str(b, list[i]);
	}
	buf_addc(b, ']');
}

static void review_user(struct buf *b, const struct user_info *u)
{
	buf_adds(b, "\"userInfo\":{");
	review_str(b, "username", u->name);
	if (u->uid.n) {
		buf_addc(b, ',');
		review_str(b, "uid", u->uid);
	}
	if (u->n_groups) {
		buf_adds(b, ",\"groups\":");
		review_strs(b, u->groups, u->n_groups);
	}
	if (u->n_extra) {
		buf_adds(b, ",\"extra\":{");
		for (size_t i = 0; i < u->n_extra; i++) {
			if (i)
				buf_addc(b, ',');
			json_encode_str(b, u->extra[i].key);
			buf_addc(b, ':');
			review_strs(b, u->extra[i].values, u->extra[i].n_values);
		}
		buf_addc(b, '}');
	}
	buf_adds(b, "},");
}

static void review_delete_options(struct buf *b, const struct delete_options *o)
{
	if (o->grace >= 0)
		buf_printf(b, ",\"gracePeriodSeconds\":%" PRId64, o->grace);
	if (o->uid.n || o->rev.n) {
		buf_adds(b, ",\"preconditions\":{");
		if (o->uid.n)
			review_str(b, "uid", o->uid);
		if (o->rev.n) {
			buf_adds(b, o->uid.n ? "," : "");
			review_str(b, "resourceVersion", o->rev);
		}
		buf_addc(b, '}');
	}
	if (o->orphan >= 0)
		buf_printf(b, ",\"orphanDependents\":%s", o->orphan ? "true" : "false");
	if (o->policy.n) {
		buf_addc(b, ',');
		review_str(b, "propagationPolicy", o->policy);
	}
}

static void review_options(struct buf *b, const struct hook_event *e)
{
	static const char *const kinds[] = {
		[ADMIT_CREATE] = "CreateOptions", [ADMIT_UPDATE] = "UpdateOptions", [ADMIT_DELETE] = "DeleteOptions"
	};
	enum admission_op op = e->a->op;
	struct sv v;

	buf_adds(b, ",\"options\":");
	if (op == ADMIT_CONNECT) {
		buf_adds(b, "null");
		return;
	}
	buf_printf(b, "{\"kind\":\"%s\",\"apiVersion\":\"meta.k8s.io/v1\"", kinds[op]);
	if (op == ADMIT_DELETE && e->a->del)
		review_delete_options(b, e->a->del);
	if (e->q->dry_run)
		buf_adds(b, ",\"dryRun\":[\"All\"]");
	if (op != ADMIT_DELETE && e->q->field_manager.n) {
		buf_addc(b, ',');
		review_str(b, "fieldManager", e->q->field_manager);
	}
	if (op != ADMIT_DELETE && api_req_param(e->q, "fieldValidation", &v) && v.n) {
		buf_addc(b, ',');
		review_str(b, "fieldValidation", v);
	}
	buf_addc(b, '}');
}

static void review_object(struct buf *b, const char *name, const struct val *doc)
{
	buf_printf(b, "\"%s\":", name);
	if (doc)
		json_encode(b, doc);
	else
		buf_adds(b, "null");
	buf_addc(b, ',');
}

void hook_review_write(struct buf *b, const struct hook_match *m, const struct hook_event *e, const struct val *doc,
		       const struct val *old, const char *uid)
{
	struct sv kind[3] = { e->kind[0], e->kind[1], e->kind[2] };
	struct sv res[3] = { e->resource[0], e->resource[1], e->resource[2] };

	if (m->as) {
		res[0] = sv_from(m->as->group);
		res[1] = sv_from(m->as->version);
		res[2] = sv_from(m->as->plural);
		if (sv_is(e->kind[2], e->a->res->kind)) {
			kind[0] = res[0];
			kind[1] = res[1];
			kind[2] = sv_from(m->as->kind);
		}
	}
	buf_printf(b, "{\"kind\":\"AdmissionReview\",\"apiVersion\":\"%s\",\"request\":{\"uid\":\"%s\",",
		   m->hook->review, uid);
	review_triple(b, "kind", kind, "kind");
	review_triple(b, "resource", res, "resource");
	if (e->sub.n) {
		review_str(b, "subResource", e->sub);
		buf_addc(b, ',');
	}
	review_triple(b, "requestKind", e->kind, "kind");
	review_triple(b, "requestResource", e->resource, "resource");
	if (e->sub.n) {
		review_str(b, "requestSubResource", e->sub);
		buf_addc(b, ',');
	}
	if (e->name.n) {
		review_str(b, "name", e->name);
		buf_addc(b, ',');
	}
	if (e->ns.n) {
		review_str(b, "namespace", e->ns);
		buf_addc(b, ',');
	}
	review_str(b, "operation", e->operation);
	buf_addc(b, ',');
	review_user(b, &e->q->user);
	review_object(b, "object", doc);
	review_object(b, "oldObject", old);
	buf_printf(b, "\"dryRun\":%s", e->q->dry_run ? "true" : "false");
	review_options(b, e);
	buf_adds(b, "}}");
}

/* --- the answer --- */

static const char *review_go_type(const struct val *v)
{
	switch (val_type(v)) {
	case VAL_INT:
	case VAL_FLOAT:
		return "number";
	case VAL_BOOL:
		return "bool";
	default:
		return val_type_name(val_type(v));
	}
}

static int review_wrong_type(const struct val *v, const char *field, const char *want, struct err *err)
{
	return err_set(err, ERR_UNAVAILABLE,
		       "failed to call webhook: json: cannot unmarshal %s into Go struct field %s of type %s",
		       review_go_type(v), field, want);
}

/* NULL or null is absent. */
static int review_member(const struct val *map, const char *name, enum val_type type, const char *want,
			 const struct val **ret, struct err *err)
{
	const struct val *v = val_member_sv(map, sv_from(name));
	char field[80];

	*ret = val_type(v) == VAL_NULL ? NULL : v;
	if (!*ret || val_type(v) == type)
		return 0;
	(void)snprintf(field, sizeof(field), "AdmissionResponse.response.%s", name);
	return review_wrong_type(v, field, want, err);
}

static int review_strings(const struct val *list, const char *field, struct err *err)
{
	VAL_EACH(list, v)
		if (val_type(v) != VAL_STR && val_type(v) != VAL_NULL)
			return review_wrong_type(v, field, "string", err);
	return 0;
}

/* Is it an AdmissionReview of the version that was asked in? */
static int review_kind(const struct val *doc, const char *review, struct err *err)
{
	struct sv av = val_get_str(doc, F_apiVersion), kind = val_get_str(doc, F_kind);
	bool ours = sv_is(kind, "AdmissionReview") || !kind.n;

	if (ours && (!av.n || sv_is(av, review)))
		return 0;
	if (ours && (sv_is(av, ADMISSION_GROUP "v1") || sv_is(av, ADMISSION_GROUP "v1beta1")))
		return err_set(err, ERR_UNAVAILABLE,
			       "failed to call webhook: converting (%.*s.AdmissionReview) to (%s.AdmissionReview): "
			       "unknown conversion",
			       SV_ARG(sv_sub(av, sizeof(ADMISSION_GROUP) - 1, av.n)),
			       review + sizeof(ADMISSION_GROUP) - 1);
	return err_set(err, ERR_UNAVAILABLE,
		       "failed to call webhook: no kind \"%.*s\" is registered for version \"%.*s\"",
		       SV_ARG(sv_sub(kind, 0, 100)), SV_ARG(sv_sub(av, 0, 100)));
}

static int review_patch(struct arena *a, const struct val *response, bool mutating, bool v1beta1,
			struct hook_verdict *ret, struct err *err)
{
	const struct val *patch, *type;
	struct budget values = BUDGET(doc_values_limit);
	struct sv text;
	ssize_t bad;

	if (review_member(response, "patch", VAL_STR, "[]uint8", &patch, err) < 0 ||
	    review_member(response, "patchType", VAL_STR, "v1.PatchType", &type, err) < 0)
		return -1;
	if (!mutating && v1beta1)
		return 0;
	if (!mutating && patch && val_str(patch).n)
		return err_set(err, ERR_UNAVAILABLE,
			       "received invalid webhook response: validating webhook may not return response.patch");
	if (!mutating && type)
		return err_set(
		    err, ERR_UNAVAILABLE,
		    "received invalid webhook response: validating webhook may not return response.patchType");
	if (!patch || !val_str(patch).n)
		return 0;
	bad = b64_check(val_str(patch));
	if (bad >= 0 || !b64_decode(a, val_str(patch), &text))
		return err_set(err, ERR_UNAVAILABLE, "failed to call webhook: illegal base64 data at input byte %zd",
			       MAX(bad, (ssize_t)0));
	if (text.n == 0)
		return 0;
	if (!type && !v1beta1)
		return err_set(err, ERR_UNAVAILABLE,
			       "received invalid webhook response: webhook returned response.patch but not "
			       "response.patchType");
	if (type && !val_str(type).n && !v1beta1)
		return err_set(
		    err, ERR_UNAVAILABLE,
		    "received invalid webhook response: webhook returned invalid response.patchType of \"\"");
	ret->patch = json_decode(a, text, &(struct json_opts){ .values = &values }, err);
	if (!ret->patch) {
		ret->broken = true;
		return hook_internal(NULL, err);
	}
	/* Which type it is counts only when there is something to be done. */
	if (type && val_len(ret->patch) && !val_is(type, "JSONPatch") && !v1beta1)
		return err_set(err, ERR_UNAVAILABLE, "unsupported patch type \"%.*s\"",
			       SV_ARG(sv_sub(val_str(type), 0, 100)));
	return 0;
}

int hook_review_read(struct arena *a, struct sv body, const char *review, const char *uid, bool mutating,
		     struct hook_verdict *ret, struct err *err)
{
	struct budget values = BUDGET(doc_values_limit);
	const struct val *doc = webhook_answer_document(a, body, &values, err), *response, *v;
	bool v1beta1 = sv_ends(sv_from(review), SV("/v1beta1"));

	*ret = (struct hook_verdict){ 0 };
	if (!doc)
		return err_wrap(err, "failed to call webhook: couldn't get version/kind; json parse error");
	if (val_type(doc) != VAL_MAP && val_type(doc) != VAL_NULL)
		return err_set(err, ERR_UNAVAILABLE,
			       "failed to call webhook: couldn't get version/kind; json parse error: json: cannot "
			       "unmarshal %s into Go value of type struct { APIVersion string "
			       "\"json:\\\"apiVersion,omitempty\\\"\"; Kind string \"json:\\\"kind,omitempty\\\"\" }",
			       review_go_type(doc));
	if (review_kind(doc, review, err) < 0)
		return -1;
	response = val_member_sv(doc, SV("response"));
	if (val_type(response) != VAL_MAP && val_type(response) != VAL_NULL)
		return review_wrong_type(response, "AdmissionReview.response", "v1.AdmissionResponse", err);
	if (val_type(response) == VAL_NULL)
		return err_set(err, ERR_UNAVAILABLE, "received invalid webhook response: webhook response was absent");
	if (review_member(response, "allowed", VAL_BOOL, "bool", &v, err) < 0)
		return -1;
	ret->allowed = val_bool(v);
	if (review_member(response, "status", VAL_MAP, "v1.Status", &ret->status, err) < 0 ||
	    review_member(response, "warnings", VAL_LIST, "[]string", &ret->warnings, err) < 0 ||
	    review_member(response, "auditAnnotations", VAL_MAP, "map[string]string", &ret->annotations, err) < 0 ||
	    review_member(response, "uid", VAL_STR, "types.UID", &v, err) < 0 ||
	    review_strings(ret->warnings, "AdmissionResponse.response.warnings", err) < 0)
		return -1;
	if (!v1beta1 && !sv_is(val_str(v), uid))
		return err_set(err, ERR_UNAVAILABLE,
			       "received invalid webhook response: expected response.uid=\"%s\", got \"%.*s\"", uid,
			       SV_ARG(sv_sub(val_str(v), 0, 200)));
	if (!v1beta1 && (!val_get_str(doc, F_kind).n || !val_get_str(doc, F_apiVersion).n))
		return err_set(err, ERR_UNAVAILABLE,
			       "received invalid webhook response: expected webhook response of " ADMISSION_GROUP
			       "v1, Kind=AdmissionReview, got %.*s, Kind=%.*s",
			       SV_ARG(val_get_str(doc, F_apiVersion)), SV_ARG(val_get_str(doc, F_kind)));
	return review_patch(a, response, mutating, v1beta1, ret, err);
}

/* --- refusals --- */

int hook_internal(struct err *why, struct err *err)
{
	_cleanup_(err_release) struct err was = ERR_INIT;

	(void)err_move(&was, why ? why : err);
	err_set(err, ERR_INTERNAL, "Internal error occurred: %s", err_msg(&was));
	return err_add_cause(err, "", SV_NULL, "%s", err_msg(&was));
}

static void refusal_details(const struct val *d, struct err *err)
{
	struct sv uid = val_get_str(d, F_uid);
	int64_t after = val_get_int(d, 0, F_retryAfterSeconds);
	size_t n = 0;

	VAL_EACH(val_get(d, F_causes), c) {
		struct sv field = val_get_str(c, F_field);

		if (n++ < 100)
			err_add_cause(err, "", field.n ? field : SV_NULL, "%.*s", SV_ARG(val_get_str(c, F_message)));
		if (n <= 100 && val_get_str(c, F_reason).n) {
			struct err_cause *last = &err->causes[err->n_causes - 1];

			free(last->reason);
			last->reason = xasprintf("%.*s", SV_ARG(val_get_str(c, F_reason)));
		}
	}
	err_set_object(err, val_get_str(d, F_group), val_get_str(d, F_kind), val_get_str(d, F_name));
	if (uid.n)
		err->uid = xasprintf("%.*s", SV_ARG(uid));
	err->retry_after_s = after > 0 && after < INT32_MAX ? (int)after : 0;
}

int hook_refusal(const struct hook *h, const struct val *status, struct err *err)
{
	struct sv message = val_get_str(status, F_message), reason = val_get_str(status, F_reason);
	int64_t code = val_get_int(status, 0, F_code);
	enum err_reason known = err_reason_from(reason);
	struct sv why = message.n ? message : reason;

	if (code < 400 || code > 599)
		code = 400;
	if (why.n)
		err_set(err, known ? known : ERR_UNKNOWN, "admission webhook \"%.*s\" denied the request: %.*s",
			SV_ARG(h->name), SV_ARG(why));
	else
		err_set(err, known ? known : ERR_UNKNOWN,
			"admission webhook \"%.*s\" denied the request without explanation", SV_ARG(h->name));
	err->code = (int)code;
	if (reason.n && !known)
		err->reason_text = xasprintf("%.*s", SV_ARG(reason));
	if (val_get(status, F_details))
		refusal_details(val_get(status, F_details), err);
	return -1;
}
