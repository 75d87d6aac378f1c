/* What verbs have in common in their options. */
#include "apiserver/apiserver-internal.h"
#include "base/utf8.h"
#include "object/apply.h"

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
