/* What verbs have in common in their options, and content negotiation. */
#include "apiserver/apiserver-internal.h"
#include "apiserver/registry/strategy.h"
#include "base/utf8.h"
#include "object/apply.h"
#include "object/protobuf.h"

#include <stdlib.h>

struct sv field_manager_of(const struct api_req *q)
{
	struct sv m = q->field_manager;
	ssize_t slash;

	if (m.n)
		return m;
	slash = sv_find(q->user_agent, '/');
	m = slash < 0 ? q->user_agent : sv_sub(q->user_agent, 0, (size_t)slash);
	for (size_t i = 0; i < m.n; i++)
		if ((unsigned char)m.p[i] < 0x20 || (unsigned char)m.p[i] == 0x7f)
			return sv_sub(m, 0, i);
	return m.n ? utf8_cut(m, MANAGER_MAX) : SV("unknown");
}

int api_options_parse(struct api_req *q, const char *kind, struct err *err)
{
	struct sv v;
	bool is_patch = q->verb == VERB_PATCH;
	bool is_apply = is_patch && sv_starts(q->content_type, SV("application/apply-patch+"));

	if (q->options_ok)
		return 0;
	if (api_req_param(q, "dryRun", &v)) {
		if (!sv_is(v, "All"))
			return err_options(err, kind, "dryRun", "FieldValueNotSupported",
					   "Unsupported value: []string{\"%.*s\"}: supported values: \"All\"",
					   SV_ARG(v));
		q->dry_run = true;
	}
	if (api_req_param(q, "fieldManager", &v))
		q->field_manager = v;
	if (q->field_manager.n > MANAGER_MAX)
		return err_options(err, kind, "fieldManager", "FieldValueTooLong",
				   "Too long: may not be more than %d bytes", MANAGER_MAX);
	for (size_t i = 0; i < q->field_manager.n; i++)
		if ((unsigned char)q->field_manager.p[i] < 0x20 || (unsigned char)q->field_manager.p[i] == 0x7f)
			return err_options(err, kind, "fieldManager", "FieldValueInvalid",
					   "Invalid value: \"%.*s\": should only contain printable characters",
					   SV_ARG(q->field_manager));
	if (api_req_param(q, "fieldValidation", &v) && v.n) {
		if (!sv_is(v, "Ignore") && !sv_is(v, "Warn") && !sv_is(v, "Strict"))
			return err_options(err, kind, "fieldValidation", "FieldValueNotSupported",
					   "Unsupported value: \"%.*s\": supported values: \"\", \"Ignore\", "
					   "\"Strict\", \"Warn\"",
					   SV_ARG(v));
		q->field_validation = v;
	}
	if (!q->field_validation.n)
		q->field_validation = q->trusted ? SV("Ignore") : SV("Warn");
	if (is_patch) {
		if (api_req_param(q, "force", &v)) {
			if (!is_apply)
				return err_options(err, kind, "force", "FieldValueForbidden",
						   "Forbidden: may not be specified for non-apply patch");
			q->force = option_bool(q, "force");
		}
		if (is_apply && !q->field_manager.n)
			return err_options(err, kind, "fieldManager", "FieldValueRequired",
					   "Required value: is required for apply patch");
	}
	q->options_ok = true;
	return 0;
}

struct sv media_type(struct sv header, struct sv *ret_params)
{
	ssize_t semi = sv_find(header, ';');

	*ret_params = semi < 0 ? SV_NULL : sv_sub(header, (size_t)semi + 1, header.n);
	return sv_trim(semi < 0 ? header : sv_sub(header, 0, (size_t)semi));
}

struct sv media_param(struct sv params, const char *name)
{
	struct sv one;

	while (sv_split(&params, ';', &one)) {
		ssize_t eq;

		one = sv_trim(one);
		eq = sv_find(one, '=');
		if (eq > 0 && sv_is(sv_sub(one, 0, (size_t)eq), name)) {
			one = sv_sub(one, (size_t)eq + 1, one.n);
			if (one.n >= 2 && one.p[0] == '"')
				one = sv_sub(one, 1, one.n - 2);
			return one;
		}
	}
	return SV_NULL;
}

static bool as_ok(struct api_req *q, struct sv params)
{
	struct sv as = media_param(params, "as"), v;

	q->as = AS_NATIVE;
	q->as_beta = false;
	if (!as.n)
		return true;
	v = media_param(params, "v");
	if (!sv_is(media_param(params, "g"), "meta.k8s.io") || (!sv_is(v, "v1") && !sv_is(v, "v1beta1")))
		return false;
	if (sv_is(as, "Table"))
		q->as = AS_TABLE;
	else if (sv_is(as, "PartialObjectMetadata") || sv_is(as, "PartialObjectMetadataList"))
		q->as = AS_PARTIAL;
	else
		return false;
	q->as_beta = sv_is(v, "v1beta1");
	return true;
}

/* The clauses of an Accept header by preference: q first, then as they stand. */
#define CLAUSES_MAX 32
static size_t accept_clauses(struct sv rest, struct sv ret[CLAUSES_MAX])
{
	double weight[CLAUSES_MAX];
	size_t n = 0;
	struct sv one, params;

	while (n < CLAUSES_MAX && sv_split(&rest, ',', &one)) {
		struct sv text;
		double w = 1;
		size_t at = n;

		(void)media_type(sv_trim(one), &params);
		text = media_param(params, "q");
		if (text.n && text.n < 8) {
			char number[8];

			memcpy(number, text.p, text.n);
			number[text.n] = '\0';
			w = strtod(number, NULL);
		}
		for (; at > 0 && weight[at - 1] < w; at--) {
			weight[at] = weight[at - 1];
			ret[at] = ret[at - 1];
		}
		weight[at] = w;
		ret[at] = sv_trim(one);
		n++;
	}
	return n;
}

/* Whether any clause names a representation there is: what is not even that far is told another way. */
static bool representable(const struct sv *clauses, size_t n)
{
	struct sv params;

	for (size_t i = 0; i < n; i++) {
		struct sv type = media_type(clauses[i], &params);

		if (sv_is(type, "application/json") || sv_is(type, "application/yaml") || sv_is(type, "*/*") ||
		    sv_is(type, PROTOBUF_MEDIA_TYPE))
			return true;
	}
	return false;
}

bool accepts(const struct api_req *q, struct sv type, struct sv or_subtype)
{
	struct sv rest = q->accept, one, params;

	if (!sv_trim(rest).n)
		return true;
	while (sv_split(&rest, ',', &one)) {
		struct sv wanted = media_type(sv_trim(one), &params);

		if (sv_ieq(wanted, type) || sv_is(wanted, "*/*") || sv_is(wanted, "application/*") ||
		    (or_subtype.n && sv_find_sv(wanted, or_subtype) >= 0))
			return true;
	}
	return false;
}

/* Reviews, tokens and the like are no objects that could be shown as a row or as metadata. */
static bool transformable(const struct api_req *q)
{
	if (!q->res)
		return true;
	if (q->subresource.n)
		return !q->sub || q->sub->schema == q->res->schema || sv_is(q->subresource, "scale");
	return !strategy_for(q->res)->virtual_create;
}

int negotiate_accept(struct api_req *q, struct err *err)
{
	struct sv rest = q->accept, params, pretty, include, clauses[CLAUSES_MAX];
	size_t n;

	if (api_req_param(q, "pretty", &pretty) && pretty.n)
		q->pretty = sv_is_true(pretty);
	else
		q->pretty = sv_starts(q->user_agent, SV("curl/")) || sv_starts(q->user_agent, SV("Wget/")) ||
			    sv_starts(q->user_agent, SV("Mozilla/5.0"));
	if (!rest.n || sv_is(rest, "application/json") || sv_is(rest, "*/*"))
		return 0;
	n = accept_clauses(rest, clauses);
	if (q->resource_request && !representable(clauses, n))
		return err_set(err, ERR_NOT_ACCEPTABLE,
			       "406: Not Acceptable\n\nAvailable representations: application/json, application/yaml");
	for (size_t i = 0; i < n; i++) {
		struct sv type = media_type(clauses[i], &params);

		if (!as_ok(q, params) || (q->as != AS_NATIVE && !transformable(q)))
			continue;
		if (q->as == AS_TABLE && api_req_param(q, "includeObject", &include) && include.n &&
		    !sv_is(include, "None") && !sv_is(include, "Metadata") && !sv_is(include, "Object")) {
			q->as = AS_NATIVE;
			return err_set(err, ERR_BAD_REQUEST,
				       "Unable to convert to Table as requested: includeObject: Invalid value: "
				       "\"%.*s\": must be 'Metadata', 'Object', 'None', or empty",
				       SV_ARG(include));
		}
		if (sv_is(type, "application/json") || sv_is(type, "*/*") || sv_is(type, "application/*"))
			return 0;
		if (sv_is(type, "application/yaml")) {
			q->yaml = true;
			return 0;
		}
	}
	q->as = AS_NATIVE;
	return err_set(err, ERR_NOT_ACCEPTABLE,
		       "only the following media types are accepted: application/json, application/yaml");
}
