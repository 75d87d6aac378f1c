/* What versions of a kind have beside their schema: printer columns, scale, selectable fields; and how one version is
 * converted to another. */
#include "apiserver/registry/validate/crd-internal.h"

#define SELECTABLE_MAX 8

/* --- columns --- */

static void simple_path(struct field_errs *fe, const struct val *v, const struct fpath *at)
{
	if (val_str(v).n && val_str(v).p[0] != '.')
		fe_invalid(fe, at, v, "must be a simple json path starting with .");
}

void crd_columns(struct field_errs *fe, const struct val *list, const struct fpath *at)
{
	static const char *const types[] = { "boolean", "date", "integer", "number", "string", NULL };
	static const char *const formats[] = { "byte",	"date",	 "date-time", "double", "float",
					       "int32", "int64", "password",  NULL };
	size_t i = 0;

	VAL_EACH(list, c) {
		struct fpath item = FPATH_AT(at, i++), name_at = FPATH(&item, F_name), type_at = FPATH(&item, F_type),
			     format_at = FPATH(&item, F_format), path_at = FPATH_WORD(&item, "JSONPath");
		struct sv type = val_get_str(c, F_type), format = val_get_str(c, F_format);
		size_t k;

		if (!val_get_str(c, F_name).n)
			fe_required(fe, &name_at);
		for (k = 0; types[k] && !sv_is(type, types[k]); k++)
			;
		if (!type.n)
			fe_required_why(fe, &type_at, "must be one of boolean,date,integer,number,string");
		else if (!types[k])
			fe_invalid(fe, &type_at, val_member(c, F_type),
				   "must be one of boolean,date,integer,number,string");
		for (k = 0; formats[k] && !sv_is(format, formats[k]); k++)
			;
		if (format.n && !formats[k])
			fe_invalid(fe, &format_at, val_member(c, F_format),
				   "must be one of byte,date,date-time,double,float,int32,int64,password");
		if (!val_get_str(c, F_jsonPath).n)
			fe_required(fe, &path_at);
		simple_path(fe, val_member(c, F_jsonPath), &path_at);
	}
}

/* --- scale --- */

static void scale_path(struct field_errs *fe, const struct val *v, const struct fpath *at, const char *under,
		       const char *or_under, const char *why)
{
	struct sv path = val_str(v);

	if (path.n && path.p[0] != '.')
		simple_path(fe, v, at);
	else if (path.n && !sv_starts(path, sv_from(under)) && !(or_under && sv_starts(path, sv_from(or_under))))
		fe_invalid(fe, at, v, why);
}

void crd_subresources(struct field_errs *fe, const struct val *sub, const struct fpath *at)
{
	const struct val *scale = val_member(sub, F_scale);
	struct fpath scale_at = FPATH(at, F_scale), spec_at = FPATH(&scale_at, F_specReplicasPath),
		     status_at = FPATH(&scale_at, F_statusReplicasPath),
		     selector_at = FPATH(&scale_at, F_labelSelectorPath);

	if (!scale)
		return;
	if (!val_get_str(scale, F_specReplicasPath).n)
		fe_required(fe, &spec_at);
	if (!val_get_str(scale, F_statusReplicasPath).n)
		fe_required(fe, &status_at);
	scale_path(fe, val_member(scale, F_specReplicasPath), &spec_at, ".spec.", NULL,
		   "should be a json path under .spec");
	scale_path(fe, val_member(scale, F_statusReplicasPath), &status_at, ".status.", NULL,
		   "should be a json path under .status");
	scale_path(fe, val_member(scale, F_labelSelectorPath), &selector_at, ".spec.", ".status.",
		   "should be a json path under either .spec or .status");
}

/* --- selectable fields --- */

/* The schema at ".spec.colour"; NULL: there is none. */
static const struct val *selectable_at(struct crd_check *c, const struct val *schema, struct sv path,
				       const struct fpath *at)
{
	struct sv rest = sv_sub(path, 1, path.n), part;

	if (!sv_starts(path, SV(".")) || !rest.n)
		return NULL;
	while (schema && sv_split(&rest, '.', &part))
		schema = crd_member(c, val_member(schema, F_properties), part, at);
	return schema;
}

void crd_selectable(struct crd_check *c, const struct val *list, const struct val *schema, const struct fpath *at)
{
	_cleanup_(strmap_release) struct strmap seen = STRMAP_INIT;
	size_t i = 0;

	if (val_len(list) > SELECTABLE_MAX)
		fe_too_many(c->fe, at, val_len(list), SELECTABLE_MAX);
	VAL_EACH(list, f) {
		struct fpath item = FPATH_AT(at, i++), path_at = FPATH(&item, F_jsonPath);
		const struct val *v = val_member(f, F_jsonPath), *is;
		struct sv path = val_str(v);

		if (!path.n) {
			fe_required(c->fe, &path_at);
			continue;
		}
		if (sv_is(path, ".metadata") || sv_starts(path, SV(".metadata."))) {
			fe_invalid(c->fe, &path_at, v, "must not point to fields in metadata");
			continue;
		}
		is = selectable_at(c, schema, path, &path_at);
		if (!is)
			fe_invalid(c->fe, &path_at, v, "is an invalid path: does not refer to a valid field");
		else if (!val_is(val_member(is, F_type), "string") && !val_is(val_member(is, F_type), "boolean") &&
			 !val_is(val_member(is, F_type), "integer"))
			fe_invalid(c->fe, &path_at, v,
				   "must point to a field of type string, boolean or integer. Enum string fields and "
				   "strings with formats are allowed.");
		if (is && strmap_set(&seen, path, c))
			fe_duplicate(c->fe, &path_at, v);
	}
}

/* --- conversion --- */

static void webhook_url(struct field_errs *fe, const struct val *v, const struct fpath *at)
{
#define FORM "; desired format: https://host[/path]"
	struct sv url = val_str(v), rest, host;
	ssize_t scheme = sv_find_sv(url, SV("://")), end;

	rest = scheme > 0 ? sv_sub(url, (size_t)scheme + 3, url.n) : SV("");
	if (scheme <= 0 || !sv_is(sv_sub(url, 0, (size_t)scheme), "https"))
		fe_invalid(fe, at, val_new_str(fe->a, scheme > 0 ? sv_sub(url, 0, (size_t)scheme) : SV("")),
			   "'https' is the only allowed URL scheme" FORM);
	for (end = 0; (size_t)end < rest.n && !strchr("/?#", rest.p[end]); end++)
		;
	host = sv_sub(rest, 0, (size_t)end);
	if (sv_find(host, '@') >= 0) {
		fe_invalid(fe, at, val_new_str(fe->a, sv_sub(host, 0, (size_t)sv_find(host, '@'))),
			   "user information is not permitted in the URL");
	} else if (!host.n) {
		fe_invalid(fe, at, val_new_str(fe->a, SV("")), "host must be specified" FORM);
	}
	if (sv_find(rest, '#') >= 0)
		fe_invalid(fe, at, val_new_str(fe->a, sv_sub(rest, (size_t)sv_find(rest, '#') + 1, rest.n)),
			   "fragments are not permitted in the URL");
	if (sv_find(rest, '?') >= 0)
		fe_invalid(fe, at, val_new_str(fe->a, sv_sub(rest, (size_t)sv_find(rest, '?') + 1, rest.n)),
			   "query parameters are not permitted in the URL");
#undef FORM
}

static void service_path(struct field_errs *fe, const struct val *v, const struct fpath *at)
{
	struct sv path = val_str(v), rest = sv_sub(path, 1, path.n), step;
	size_t i = 0;

	if (!path.n || sv_is(path, "/"))
		return;
	if (sv_is(path, "//"))
		fe_invalid(fe, at, v, "segment[0] may not be empty");
	if (path.p[0] != '/')
		fe_invalid(fe, at, v, "must start with a '/'");
	if (sv_ends(rest, SV("/")))
		rest = sv_sub(rest, 0, rest.n - 1);
	while (sv_split(&rest, '/', &step)) {
		const char *msg = step.n ? fmt_dns_subdomain(step) : NULL;

		if (!step.n)
			fe_add(fe, FE_INVALID, at, v, "segment[%zu] may not be empty", i);
		else if (msg)
			fe_add(fe, FE_INVALID, at, v, "segment[%zu]: %s", i, msg);
		i++;
	}
}

static void webhook_service(struct field_errs *fe, const struct val *s, const struct fpath *at)
{
	struct fpath name_at = FPATH(at, F_name), ns_at = FPATH(at, F_namespace), port_at = FPATH(at, F_port),
		     path_at = FPATH(at, F_path);
	int64_t port = val_get_int(s, 443, F_port);

	if (!val_get_str(s, F_name).n)
		fe_required_why(fe, &name_at, "service name is required");
	if (!val_get_str(s, F_namespace).n)
		fe_required_why(fe, &ns_at, "service namespace is required");
	if (port < 1 || port > 65535)
		fe_invalid(fe, &port_at, val_member(s, F_port), "port is not valid: " MSG_PORT);
	service_path(fe, val_member(s, F_path), &path_at);
}

static void review_versions(struct field_errs *fe, const struct val *list, const struct fpath *at)
{
	_cleanup_(strmap_release) struct strmap seen = STRMAP_INIT;
	bool known = false;
	size_t i = 0;

	if (!val_len(list)) {
		fe_required(fe, at);
		return;
	}
	VAL_EACH(list, v) {
		struct fpath here = FPATH_AT(at, i++);

		if (strmap_set(&seen, val_str(v), fe))
			fe_invalid(fe, &here, v, "duplicate version");
		else
			fe_check(fe, &here, val_str(v), fmt_dns1035_label);
		known = known || val_is(v, "v1") || val_is(v, "v1beta1");
	}
	if (!known)
		fe_invalid(fe, at, list, "must include at least one of v1, v1beta1");
}

void crd_conversion_rules(struct field_errs *fe, const struct val *spec, const struct fpath *up)
{
	const struct val *c = val_member(spec, F_conversion), *hook = val_member(c, F_webhook),
			 *config = val_member(hook, F_clientConfig),
			 *reviews = val_member(hook, F_conversionReviewVersions);
	struct fpath at = FPATH(up, F_conversion), strategy_at = FPATH(&at, F_strategy),
		     config_at = FPATH_WORD(&at, "webhookClientConfig"), url_at = FPATH(&config_at, F_url),
		     service_at = FPATH(&config_at, F_service), reviews_at = FPATH(&at, F_conversionReviewVersions);

	if (!c)
		return;
	if (!val_get_str(c, F_strategy).n)
		fe_required(fe, &strategy_at);
	else
		CHECK_ONE_OF(fe, val_member(c, F_strategy), &strategy_at, "None", "Webhook");
	if (!val_is(val_member(c, F_strategy), "Webhook")) {
		if (config)
			fe_forbidden(fe, &config_at, "should not be set when strategy is not set to Webhook");
		if (val_len(reviews))
			fe_forbidden(fe, &reviews_at, "should not be set when strategy is not set to Webhook");
		return;
	}
	if (!config)
		fe_required_why(fe, &config_at, "required when strategy is set to Webhook");
	else if (!val_member(config, F_url) == !val_member(config, F_service))
		fe_required_why(fe, &config_at, "exactly one of url or service is required");
	else if (val_member(config, F_url))
		webhook_url(fe, val_member(config, F_url), &url_at);
	else
		webhook_service(fe, val_member(config, F_service), &service_at);
	review_versions(fe, reviews, &reviews_at);
}
