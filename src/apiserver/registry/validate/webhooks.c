/* webhooks.c - configurations of admission webhooks: who is asked, of what, and how he is reached. */
#include "apiserver/registry/validate/kinds-internal.h"

#define URL_FORM "; desired format: https://host[/path]"
#define CONDITIONS_MAX 64
#define TIMEOUT_MAX 30

static const struct val *hooks_text(struct field_errs *fe, struct sv s)
{
	return val_new_str(fe->a, s);
}

/* --- how it is reached --- */

static bool url_is_scheme(struct sv s)
{
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i], upper = (char)(c & ~0x20);
		bool letter = upper >= 'A' && upper <= 'Z';

		if (!letter && !(i && ((c >= '0' && c <= '9') || c == '+' || c == '-' || c == '.')))
			return false;
	}
	return s.n > 0;
}

/* The parts of a URL, as far as something is said of them. Returns why it is none, or NULL. */
static const char *url_split(struct sv url, struct sv *scheme, struct sv *user, struct sv *host, struct sv *query,
			     struct sv *fragment)
{
	struct sv rest = url, authority;
	ssize_t at;

	*scheme = *user = *host = *query = *fragment = SV("");
	for (size_t i = 0; i < url.n; i++)
		if ((unsigned char)url.p[i] < 0x20 || url.p[i] == 0x7f)
			return "net/url: invalid control character in URL";
	at = sv_find(rest, '#');
	if (at >= 0) {
		*fragment = sv_sub(rest, (size_t)at + 1, rest.n);
		rest = sv_sub(rest, 0, (size_t)at);
	}
	at = sv_find(rest, ':');
	if (at == 0)
		return "missing protocol scheme";
	if (at > 0 && url_is_scheme(sv_sub(rest, 0, (size_t)at))) {
		*scheme = sv_sub(rest, 0, (size_t)at);
		rest = sv_sub(rest, (size_t)at + 1, rest.n);
	} else if (at > 0 && sv_find(sv_sub(rest, 0, (size_t)at), '/') < 0) {
		return "first path segment in URL cannot contain colon";
	}
	at = sv_find(rest, '?');
	if (at >= 0) {
		*query = sv_sub(rest, (size_t)at + 1, rest.n);
		rest = sv_sub(rest, 0, (size_t)at);
	}
	if (!sv_starts(rest, SV("//")))
		return NULL;
	authority = sv_sub(rest, 2, rest.n);
	at = sv_find(authority, '/');
	if (at >= 0)
		authority = sv_sub(authority, 0, (size_t)at);
	*host = authority;
	for (size_t i = authority.n; i > 0; i--) {
		if (authority.p[i - 1] != '@')
			continue;
		*user = sv_sub(authority, 0, i);
		*host = sv_sub(authority, i, authority.n);
		break;
	}
	for (size_t i = 0; i < host->n; i++)
		if (memchr(" <>\"\\^`{|}", host->p[i], 10))
			return "invalid character in host name";
	return NULL;
}

static void hooks_url(struct field_errs *fe, struct sv url, const struct fpath *at)
{
	struct sv scheme, user, host, query, fragment;
	const char *why = url_split(url, &scheme, &user, &host, &query, &fragment);

	if (why) {
		fe_add(fe, FE_REQUIRED, at, NULL, "url must be valid: parse \"%.*s\": %s" URL_FORM, SV_ARG(url), why);
		return;
	}
	if (!sv_is(lower_case(fe->a, scheme), "https"))
		fe_invalid(fe, at, hooks_text(fe, scheme), "'https' is the only allowed URL scheme" URL_FORM);
	if (!host.n)
		fe_invalid(fe, at, hooks_text(fe, host), "host must be specified" URL_FORM);
	if (user.n)
		fe_invalid(fe, at, hooks_text(fe, sv_sub(user, 0, user.n - 1)),
			   "user information is not permitted in the URL");
	if (fragment.n)
		fe_invalid(fe, at, hooks_text(fe, fragment), "fragments are not permitted in the URL");
	if (query.n)
		fe_invalid(fe, at, hooks_text(fe, query), "query parameters are not permitted in the URL");
}

static void hooks_path(struct field_errs *fe, const struct val *path, const struct fpath *at)
{
	struct sv s = val_str(path), step;
	const char *msgs[FMT_MSGS_MAX];
	size_t i = 0;

	if (!s.n || sv_is(s, "/"))
		return;
	if (sv_is(s, "//")) {
		fe_invalid(fe, at, path, "segment[0] may not be empty");
		return;
	}
	if (!sv_starts(s, SV("/")))
		fe_invalid(fe, at, path, "must start with a '/'");
	s = sv_sub(s, 1, s.n);
	if (sv_ends(s, SV("/")))
		s.n--;
	for (bool more = true; more; i++) {
		ssize_t slash = sv_find(s, '/');
		size_t n;

		more = slash >= 0;
		step = more ? sv_sub(s, 0, (size_t)slash) : s;
		s = more ? sv_sub(s, (size_t)slash + 1, s.n) : s;
		if (!step.n) {
			fe_add(fe, FE_INVALID, at, path, "segment[%zu] may not be empty", i);
			continue;
		}
		n = fmt_all(fmt_dns_subdomain, step, msgs);
		for (size_t k = 0; k < n; k++)
			fe_add(fe, FE_INVALID, at, path, "segment[%zu]: %s", i, msgs[k]);
	}
}

void validate_webhook_client(struct field_errs *fe, const struct val *config, const struct fpath *at)
{
	const struct val *url = val_member(config, F_url), *service = val_member(config, F_service);
	struct fpath url_at = FPATH(at, F_url), service_at = FPATH(at, F_service), port_at = FPATH(&service_at, F_port),
		     path_at = FPATH(&service_at, F_path);
	const struct val *port = val_member(service, F_port);

	if (!url == !service) {
		fe_required_why(fe, at, "exactly one of url or service is required");
		return;
	}
	if (url) {
		hooks_url(fe, val_str(url), &url_at);
		return;
	}
	check_required(fe, service, &service_at, F_name);
	check_required(fe, service, &service_at, F_namespace);
	if (port && (val_int_or(port, 0) < 1 || val_int_or(port, 0) > 65535))
		fe_invalid(fe, &port_at, port, "port is not valid: " MSG_PORT);
	if (val_member(service, F_path))
		hooks_path(fe, val_member(service, F_path), &path_at);
}

/* --- what of --- */

/* "*" stands for all and alone. */
static void alone(struct field_errs *fe, const struct val *list, const struct fpath *at, const char *others)
{
	bool all = false;

	if (!val_len(list))
		fe_required(fe, at);
	VAL_EACH(list, v)
		all |= val_is(v, "*");
	if (all && val_len(list) > 1)
		fe_add(fe, FE_INVALID, at, list, "if '*' is present, must not specify other %s", others);
}

/* "pods", "pods/log", with * for either part: none that another covers. */
static void hooks_resources(struct field_errs *fe, const struct val *list, const struct fpath *at)
{
	_cleanup_(strmap_release) struct strmap all_subs = STRMAP_INIT, all_resources = STRMAP_INIT;
	bool everything = false, star = false, plain = false;
	size_t i = 0;

	if (!val_len(list))
		fe_required(fe, at);
	VAL_EACH(list, v) {
		struct fpath here = FPATH_AT(at, i++);
		struct sv s = val_str(v), res, sub;
		ssize_t slash = sv_find(s, '/');

		if (!s.n) {
			fe_required(fe, &here);
			continue;
		}
		everything |= sv_is(s, "*/*");
		star |= sv_is(s, "*");
		if (slash < 0) {
			plain = !sv_is(s, "*");
			continue;
		}
		res = sv_sub(s, 0, (size_t)slash);
		sub = sv_sub(s, (size_t)slash + 1, s.n);
		if (strmap_has(&all_subs, res))
			fe_add(fe, FE_INVALID, &here, v, "if '%.*s/*' is present, must not specify %.*s", SV_ARG(res),
			       SV_ARG(s));
		if (strmap_has(&all_resources, sub))
			fe_add(fe, FE_INVALID, &here, v, "if '*/%.*s' is present, must not specify %.*s", SV_ARG(sub),
			       SV_ARG(s));
		if (sv_is(sub, "*"))
			strmap_set(&all_subs, res, fe);
		if (sv_is(res, "*"))
			strmap_set(&all_resources, sub, fe);
	}
	if (everything && val_len(list) > 1)
		fe_invalid(fe, at, list, "if '*/*' is present, must not specify other resources");
	if (star && plain)
		fe_invalid(fe, at, list, "if '*' is present, must not specify other resources without subresources");
}

void validate_admission_rule(struct field_errs *fe, const struct val *rule, const struct fpath *at,
			     const char *const *operations)
{
	struct fpath ops_at = FPATH(at, F_operations), groups_at = FPATH(at, F_apiGroups),
		     versions_at = FPATH(at, F_apiVersions), res_at = FPATH(at, F_resources),
		     scope_at = FPATH(at, F_scope);
	size_t i = 0;

	alone(fe, val_member(rule, F_operations), &ops_at, "operations");
	VAL_EACH(val_member(rule, F_operations), op) {
		struct fpath here = FPATH_AT(&ops_at, i++);

		check_one_of(fe, op, &here, operations);
	}
	alone(fe, val_member(rule, F_apiGroups), &groups_at, "API groups");
	alone(fe, val_member(rule, F_apiVersions), &versions_at, "API versions");
	i = 0;
	VAL_EACH(val_member(rule, F_apiVersions), v) {
		struct fpath here = FPATH_AT(&versions_at, i++);

		if (!val_str(v).n)
			fe_required(fe, &here);
	}
	hooks_resources(fe, val_member(rule, F_resources), &res_at);
	CHECK_ONE_OF(fe, val_member(rule, F_scope), &scope_at, "*", "Cluster", "Namespaced");
}

void validate_match_conditions(struct field_errs *fe, struct expressions *x, const struct val *list,
			       const struct fpath *at)
{
	_cleanup_(strmap_release) struct strmap names = STRMAP_INIT;
	size_t i = 0;

	if (val_len(list) > CONDITIONS_MAX)
		fe_too_many(fe, at, val_len(list), CONDITIONS_MAX);
	VAL_EACH(list, c) {
		struct fpath item = FPATH_AT(at, i++), name_at = FPATH(&item, F_name),
			     expression_at = FPATH(&item, F_expression);

		if (!sv_trim(val_get_str(c, F_expression)).n)
			fe_required(fe, &expression_at);
		else
			validate_expression(fe, x, POLICY_CONDITION, val_member(c, F_expression), &expression_at, NULL);
		check_required_text(fe, c, &item, F_name, fmt_qualified_name);
		if (val_get_str(c, F_name).n && strmap_set(&names, val_get_str(c, F_name), fe))
			fe_duplicate(fe, &name_at, val_member(c, F_name));
	}
}

/* --- a webhook --- */

static void hooks_name(struct field_errs *fe, const struct val *hook, const struct fpath *up)
{
	struct sv name = val_get_str(hook, F_name), label;
	struct fpath at = FPATH(up, F_name);
	size_t labels = 0;

	if (!name.n)
		fe_required(fe, &at);
	else if (fmt_dns_subdomain(name))
		fe_check(fe, &at, name, fmt_dns_subdomain);
	else {
		for (struct sv rest = name; sv_split(&rest, '.', &label);)
			labels++;
		if (labels < 3)
			fe_format(fe, &at, name, "should be a domain with at least three segments separated by dots");
	}
}

static bool hooks_known_version(struct sv v)
{
	return sv_is(v, "v1") || sv_is(v, "v1beta1");
}

static void hooks_versions(struct field_errs *fe, const struct val *list, const struct fpath *at, bool known_needed)
{
	_cleanup_(strmap_release) struct strmap seen = STRMAP_INIT;
	bool known = false;
	size_t i = 0;

	if (!val_len(list)) {
		fe_required_why(fe, at, "must specify one of v1, v1beta1");
		return;
	}
	VAL_EACH(list, v) {
		struct fpath here = FPATH_AT(at, i++);

		if (strmap_set(&seen, val_str(v), fe)) {
			fe_invalid(fe, &here, v, "duplicate version");
			continue;
		}
		fe_check(fe, &here, val_str(v), fmt_dns1035_label);
		known |= hooks_known_version(val_str(v));
	}
	if (known_needed && !known)
		fe_invalid(fe, at, list, "must include at least one of v1, v1beta1");
}

/* What a stored configuration of old times has may stay. */
struct hooks_tolerated {
	bool side_effects, twice, unknown_versions;
};

static struct hooks_tolerated hooks_tolerated(const struct val *old)
{
	_cleanup_(strmap_release) struct strmap names = STRMAP_INIT;
	struct hooks_tolerated t = { false, false, false };

	VAL_EACH(val_member(old, F_webhooks), h) {
		const struct val *effects = val_member(h, F_sideEffects);
		bool known = false;

		t.side_effects |= !is_set(effects) || val_is(effects, "Unknown") || val_is(effects, "Some");
		t.twice |= strmap_set(&names, val_get_str(h, F_name), &t) != NULL;
		VAL_EACH(val_member(h, F_admissionReviewVersions), v)
			known |= hooks_known_version(val_str(v));
		t.unknown_versions |= !known;
	}
	return t;
}

static void hooks_effects(struct field_errs *fe, const struct val *hook, const struct fpath *up, bool tolerated)
{
	const struct val *effects = val_member(hook, F_sideEffects);
	struct fpath at = FPATH(up, F_sideEffects);

	if (!is_set(effects))
		fe_required_why(fe, &at,
				tolerated ? "must specify one of None, NoneOnDryRun, Some, Unknown"
					  : "must specify one of None, NoneOnDryRun");
	else if (tolerated)
		CHECK_ONE_OF(fe, effects, &at, "None", "NoneOnDryRun", "Some", "Unknown");
	else
		CHECK_ONE_OF(fe, effects, &at, "None", "NoneOnDryRun");
}

static void hooks_one(struct field_errs *fe, const struct val *hook, const struct fpath *at,
		      const struct hooks_tolerated *t, struct expressions *x)
{
	static const char *const operations[] = { "*", "CONNECT", "CREATE", "DELETE", "UPDATE", NULL };
	struct fpath rules_at = FPATH(at, F_rules), policy_at = FPATH(at, F_failurePolicy),
		     match_at = FPATH(at, F_matchPolicy), timeout_at = FPATH(at, F_timeoutSeconds),
		     again_at = FPATH(at, F_reinvocationPolicy), ns_at = FPATH(at, F_namespaceSelector),
		     object_at = FPATH(at, F_objectSelector), client_at = FPATH(at, F_clientConfig),
		     conditions_at = FPATH(at, F_matchConditions), versions_at = FPATH(at, F_admissionReviewVersions);
	const struct val *timeout = val_member(hook, F_timeoutSeconds);
	size_t i = 0;

	hooks_name(fe, hook, at);
	VAL_EACH(val_member(hook, F_rules), r) {
		struct fpath item = FPATH_AT(&rules_at, i++);

		validate_admission_rule(fe, r, &item, operations);
	}
	CHECK_ONE_OF(fe, val_member(hook, F_failurePolicy), &policy_at, "Fail", "Ignore");
	CHECK_ONE_OF(fe, val_member(hook, F_matchPolicy), &match_at, "Equivalent", "Exact");
	hooks_effects(fe, hook, at, t->side_effects);
	if (timeout && (val_int_or(timeout, 0) < 1 || val_int_or(timeout, 0) > TIMEOUT_MAX))
		fe_invalid(fe, &timeout_at, timeout, "the timeout value must be between 1 and 30 seconds");
	CHECK_ONE_OF(fe, val_member(hook, F_reinvocationPolicy), &again_at, "IfNeeded", "Never");
	validate_label_selector(fe, val_member(hook, F_namespaceSelector), &ns_at);
	validate_label_selector(fe, val_member(hook, F_objectSelector), &object_at);
	validate_webhook_client(fe, val_member(hook, F_clientConfig), &client_at);
	validate_match_conditions(fe, x, val_member(hook, F_matchConditions), &conditions_at);
	hooks_versions(fe, val_member(hook, F_admissionReviewVersions), &versions_at, !t->unknown_versions);
}

void validate_webhook_configuration(struct field_errs *fe, const struct val *doc, const struct val *old,
				    const char *sub)
{
	_cleanup_(strmap_release) struct strmap names = STRMAP_INIT;
	_cleanup_(expressions_release) struct expressions x = { .compiler = { .arena = fe->a } };
	struct hooks_tolerated t = hooks_tolerated(old);
	struct fpath at = FPATH_ROOT(F_webhooks);
	size_t i = 0;

	(void)sub;
	VAL_EACH(val_member(old, F_webhooks), h)
		expressions_stored(&x, val_member(h, F_matchConditions), F_expression);
	VAL_EACH(val_member(doc, F_webhooks), h) {
		struct fpath item = FPATH_AT(&at, i++), name_at = FPATH(&item, F_name);
		struct sv name = val_get_str(h, F_name);

		hooks_one(fe, h, &item, &t, &x);
		if (name.n && strmap_set(&names, name, fe) && !t.twice)
			fe_duplicate(fe, &name_at, val_member(h, F_name));
	}
}
