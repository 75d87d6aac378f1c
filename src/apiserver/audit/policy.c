/* The policy: the first rule that fits a request says how much is noted of it. */
#include "apiserver/audit/audit-internal.h"
#include "base/file.h"
#include "codec/yaml.h"
#include "object/validate.h"

#define POLICY_MAX ((size_t)1 << 20)

static const char *const level_names[_LEVEL_MAX] = { "None", "Metadata", "Request", "RequestResponse" };
static const char *const stage_names[_STAGE_MAX] = { "RequestReceived", "ResponseStarted", "ResponseComplete",
						     "Panic" };

const char *audit_level_name(enum audit_level l)
{
	return level_names[l];
}

const char *audit_stage_name(enum audit_stage s)
{
	return stage_names[s];
}

struct rule {
	struct audit_verdict verdict;
	const struct val *users, *groups, *verbs, *resources, *namespaces, *urls; /* lists, or NULL: any */
};

struct audit_policy {
	struct rule *rules;
	size_t n;
	struct audit_verdict otherwise;
};

/* --- asking --- */

static bool policy_has(const struct val *list, struct sv s)
{
	VAL_EACH(list, v)
		if (sv_eq(val_str(v), s))
			return true;
	return false;
}

static bool path_fits(struct sv path, struct sv spec)
{
	if (sv_is(spec, "*") || sv_eq(path, spec))
		return true;
	return sv_ends(spec, SV("*")) && sv_starts(path, sv_sub(spec, 0, spec.n - 1));
}

static bool resource_fits(const struct val *gr, const struct api_req *q)
{
	const struct val *names = val_member_sv(gr, SV("resourceNames"));
	const struct val *resources = val_member_sv(gr, SV("resources"));
	struct sv sub = q->subresource;

	if (!sv_eq(val_str(val_member_sv(gr, SV("group"))), q->group))
		return false;
	if (!val_len(resources))
		return true;
	if (val_len(names) && !policy_has(names, q->name))
		return false;
	VAL_EACH(resources, r) {
		struct sv all = val_str(r), head, rest = all;

		if (sv_is(all, "*"))
			return true;
		(void)sv_split(&rest, '/', &head);
		if (!rest.p ? !sub.n && sv_eq(head, q->plural)
			    : (sv_is(head, "*") && sub.n && sv_eq(rest, sub)) ||
				  (sv_eq(head, q->plural) && (sv_is(rest, "*") || (sub.n && sv_eq(rest, sub)))))
			return true;
	}
	return false;
}

static bool rule_fits(const struct rule *r, const struct api_req *q, const struct user_info *u)
{
	bool any = false;

	if (val_len(r->users) && (!u || !policy_has(r->users, u->name)))
		return false;
	for (size_t i = 0; val_len(r->groups) && u && i < u->n_groups; i++)
		any |= policy_has(r->groups, u->groups[i]);
	if (val_len(r->groups) && !any)
		return false;
	if (val_len(r->verbs) && !policy_has(r->verbs, request_verb(q)))
		return false;
	if (val_len(r->namespaces) || val_len(r->resources)) {
		if (!q->resource_request || (val_len(r->namespaces) && !policy_has(r->namespaces, q->ns)))
			return false;
		VAL_EACH(r->resources, gr)
			if (resource_fits(gr, q))
				return true;
		return !val_len(r->resources);
	}
	if (val_len(r->urls)) {
		VAL_EACH(r->urls, one)
			if (!q->resource_request && path_fits(q->path, val_str(one)))
				return true;
		return false;
	}
	return true;
}

struct audit_verdict audit_policy_ask(const struct audit_policy *p, const struct api_req *q, const struct user_info *u)
{
	for (size_t i = 0; i < p->n; i++)
		if (rule_fits(&p->rules[i], q, u))
			return p->rules[i].verdict;
	return p->otherwise;
}

/* --- reading --- */

static int policy_read_stages(const struct val *list, const char *at, unsigned *ret, struct err *err)
{
	size_t n = 0;

	VAL_EACH(list, v) {
		unsigned known = 0;

		for (unsigned i = 0; i < _STAGE_MAX; i++)
			if (val_is(v, stage_names[i]))
				known = 1U << i;
		if (!known)
			return err_set(err, ERR_INVALID,
				       "%somitStages[%zu]: Invalid value: \"%.*s\": allowed stages are "
				       "RequestReceived,ResponseStarted,ResponseComplete,Panic",
				       at, n, SV_ARG(val_str(v)));
		*ret |= known;
		n++;
	}
	return 0;
}

static int policy_read_level(const struct val *v, const char *at, enum audit_level *ret, struct err *err)
{
	if (!val_str(v).n)
		return err_set(err, ERR_INVALID, "%slevel: Required value", at);
	for (enum audit_level l = LEVEL_NONE; l < _LEVEL_MAX; l++)
		if (val_is(v, level_names[l])) {
			*ret = l;
			return 0;
		}
	return err_set(err, ERR_INVALID,
		       "%slevel: Unsupported value: \"%.*s\": supported values: \"Metadata\", \"None\", \"Request\", "
		       "\"RequestResponse\"",
		       at, SV_ARG(val_str(v)));
}

static int policy_check_urls(const struct rule *r, const char *at, struct err *err)
{
	size_t n = 0;

	VAL_EACH(r->urls, v) {
		struct sv url = val_str(v);
		ssize_t star = sv_find(url, '*');

		if (!sv_is(url, "*") && !sv_starts(url, SV("/")))
			return err_set(err, ERR_INVALID,
				       "%snonResourceURLs[%zu]: Invalid value: \"%.*s\": non-resource URL rules must "
				       "begin with a '/' character",
				       at, n, SV_ARG(url));
		if (star >= 0 && (size_t)star + 1 < url.n)
			return err_set(err, ERR_INVALID,
				       "%snonResourceURLs[%zu]: Invalid value: \"%.*s\": non-resource URL wildcards "
				       "'*' must be the final character of the rule",
				       at, n, SV_ARG(url));
		n++;
	}
	if (n && (val_len(r->resources) || val_len(r->namespaces)))
		return err_set(err, ERR_INVALID,
			       "%snonResourceURLs: Invalid value: rules cannot apply to both regular resources and "
			       "non-resource URLs",
			       at);
	return 0;
}

static int policy_check_resources(const struct rule *r, const char *at, struct err *err)
{
	size_t n = 0;

	VAL_EACH(r->resources, gr) {
		struct sv group = val_str(val_member_sv(gr, SV("group")));
		const char *why = group.n ? fmt_dns_subdomain(group) : NULL;

		if (why)
			return err_set(err, ERR_INVALID, "%sresources[%zu].group: Invalid value: \"%.*s\": %s", at, n,
				       SV_ARG(group), why);
		if (val_len(val_member_sv(gr, SV("resourceNames"))) && !val_len(val_member_sv(gr, SV("resources"))))
			return err_set(err, ERR_INVALID,
				       "%sresources[%zu].resourceNames: Invalid value: using resourceNames requires at "
				       "least one resource",
				       at, n);
		n++;
	}
	return 0;
}

static int policy_read_list(const struct val *v, const char *name, enum val_type of, const struct val **ret,
			    struct err *err)
{
	*ret = val_member_sv(v, sv_from(name));
	if (val_type(*ret) != VAL_NULL && val_type(*ret) != VAL_LIST)
		return err_set(err, ERR_INVALID, "%s is no list", name);
	VAL_EACH(*ret, one)
		if (val_type(one) != of)
			return err_set(err, ERR_INVALID, "%s holds a value of another type", name);
	return 0;
}

/* A name that is none of a rule's would be a rule that fits too much. */
static int policy_check_names(const struct val *v, const char *const *names, size_t n, struct err *err)
{
	if (val_type(v) != VAL_MAP)
		return err_set(err, ERR_INVALID, "there is no object");
	VAL_EACH_MEMBER(v, m) {
		bool known = false;

		for (size_t i = 0; i < n; i++)
			known |= sv_is(m.key, names[i]);
		if (!known)
			return err_set(err, ERR_INVALID, "strict decoding error: unknown field \"%.*s\"",
				       SV_ARG(m.key));
	}
	return 0;
}

static int policy_read_rule(const struct val *v, const struct audit_policy *p, const char *at, struct rule *r,
			    struct err *err)
{
	static const char *const names[] = { "level",		"users",      "userGroups",
					     "verbs",		"resources",  "namespaces",
					     "nonResourceURLs", "omitStages", "omitManagedFields" };
	static const char *const group_names[] = { "group", "resources", "resourceNames" };
	const struct val *managed = val_member_sv(v, SV("omitManagedFields")), *stages, *ignored;

	*r = (struct rule){ .verdict = p->otherwise };
	if (managed)
		r->verdict.omit_managed = val_bool(managed);
	if (policy_check_names(v, names, ARRAY_LEN(names), err) < 0 ||
	    policy_read_list(v, "users", VAL_STR, &r->users, err) < 0 ||
	    policy_read_list(v, "userGroups", VAL_STR, &r->groups, err) < 0 ||
	    policy_read_list(v, "verbs", VAL_STR, &r->verbs, err) < 0 ||
	    policy_read_list(v, "resources", VAL_MAP, &r->resources, err) < 0 ||
	    policy_read_list(v, "namespaces", VAL_STR, &r->namespaces, err) < 0 ||
	    policy_read_list(v, "nonResourceURLs", VAL_STR, &r->urls, err) < 0 ||
	    policy_read_list(v, "omitStages", VAL_STR, &stages, err) < 0)
		return err_wrap(err, "%.*s", (int)strlen(at) - 1, at);
	VAL_EACH(r->resources, gr)
		if (policy_check_names(gr, group_names, ARRAY_LEN(group_names), err) < 0 ||
		    policy_read_list(gr, "resources", VAL_STR, &ignored, err) < 0 ||
		    policy_read_list(gr, "resourceNames", VAL_STR, &ignored, err) < 0)
			return err_wrap(err, "%sresources", at);
	if (policy_read_level(val_member_sv(v, SV("level")), at, &r->verdict.level, err) < 0 ||
	    policy_check_urls(r, at, err) < 0 || policy_check_resources(r, at, err) < 0)
		return -1;
	return policy_read_stages(stages, at, &r->verdict.omit_stages, err);
}

struct audit_policy *audit_policy_parse(struct arena *a, struct sv text, struct err *err)
{
	static const char *const names[] = { "apiVersion", "kind",  "metadata",
					     "omitStages", "rules", "omitManagedFields" };
	struct budget values = BUDGET(doc_values_limit);
	struct audit_policy *p = ARENA_NEW(a, struct audit_policy);
	struct val *doc = yaml_decode_opts(a, text, &(struct yaml_opts){ .values = &values, .alone = true }, err);
	const struct val *rules, *stages;

	if (!doc)
		return NULL;
	if (!val_is(val_member_sv(doc, SV("apiVersion")), "audit.k8s.io/v1") ||
	    !val_is(val_member_sv(doc, SV("kind")), "Policy")) {
		err_set(err, ERR_INVALID, "it is no Policy of audit.k8s.io/v1");
		return NULL;
	}
	if (policy_check_names(doc, names, ARRAY_LEN(names), err) < 0 ||
	    policy_read_list(doc, "rules", VAL_MAP, &rules, err) < 0 ||
	    policy_read_list(doc, "omitStages", VAL_STR, &stages, err) < 0 ||
	    policy_read_stages(stages, "", &p->otherwise.omit_stages, err) < 0)
		return NULL;
	p->otherwise.omit_managed = val_bool(val_member_sv(doc, SV("omitManagedFields")));
	p->rules = ARENA_ARRAY(a, struct rule, val_len(rules) + 1);
	VAL_EACH(rules, r) {
		if (policy_read_rule(r, p, arena_printf(a, "rules[%zu].", p->n), &p->rules[p->n], err) < 0)
			return NULL;
		p->n++;
	}
	if (!p->n) {
		err_set(err, ERR_INVALID, "loaded illegal policy with 0 rules");
		return NULL;
	}
	return p;
}

struct audit_policy *audit_policy_read(struct arena *a, const char *path, struct err *err)
{
	struct audit_policy *p = NULL;
	struct sv text;

	if (file_read(a, path, POLICY_MAX, &text, err) == 0)
		p = audit_policy_parse(a, text, err);
	if (!p)
		err_wrap(err, "loading audit policy file: '%s'", path);
	return p;
}
