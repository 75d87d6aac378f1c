/* admission_policies.c - policies that judge and change requests by expressions, and what puts them to use. */
#include "apiserver/registry/validate/kinds-internal.h"

#define NOTES_MAX 20
#define NOTE_EXPRESSION_MAX (5 * 1024)

static const char *const policy_operations[] = { "*", "CONNECT", "CREATE", "DELETE", "UPDATE", NULL };
static const char *const mutable_operations[] = { "*", "CONNECT", "CREATE", "UPDATE", NULL };

/* --- what policies have in common --- */

static void policies_param_kind(struct field_errs *fe, const struct val *v, const struct fpath *at)
{
	struct fpath version_at = FPATH(at, F_apiVersion), kind_at = FPATH(at, F_kind);
	struct sv av = val_get_str(v, F_apiVersion), kind = val_get_str(v, F_kind), group = SV(""), version = av;
	ssize_t slash = sv_find(av, '/');

	if (slash >= 0) {
		group = sv_sub(av, 0, (size_t)slash);
		version = sv_sub(av, (size_t)slash + 1, av.n);
	}
	if (!av.n)
		fe_required(fe, &version_at);
	else if (sv_find(version, '/') >= 0)
		fe_add(fe, FE_INVALID, &version_at, val_member(v, F_apiVersion), "unexpected GroupVersion string: %.*s",
		       SV_ARG(av));
	else if (group.n && fmt_dns_subdomain(group))
		fe_check(fe, &version_at, group, fmt_dns_subdomain);
	else if (!version.n)
		fe_invalid(fe, &version_at, val_member(v, F_apiVersion), "version must be specified");
	else
		fe_check(fe, &version_at, version, fmt_dns1035_label);
	if (!kind.n)
		fe_required(fe, &kind_at);
	else if (fmt_dns1035_label(lower_case(fe->a, kind)))
		fe_add(fe, FE_INVALID, &kind_at, val_member(v, F_kind),
		       "may have mixed case, but should otherwise match: %s",
		       fmt_dns1035_label(lower_case(fe->a, kind)));
}

static void policies_rules(struct field_errs *fe, const struct val *m, const struct fpath *up, enum sym name,
			   const char *const *operations)
{
	struct fpath at = FPATH(up, name);
	size_t i = 0;

	VAL_EACH(val_member(m, name), r) {
		_cleanup_(strmap_release) struct strmap seen = STRMAP_INIT;
		struct fpath item = FPATH_AT(&at, i++), names_at = FPATH(&item, F_resourceNames);
		size_t k = 0;

		VAL_EACH(val_member(r, F_resourceNames), v) {
			struct fpath here = FPATH_AT(&names_at, k++);

			fe_check(fe, &here, val_str(v), fmt_path_segment);
			if (strmap_set(&seen, val_str(v), fe))
				fe_duplicate(fe, &here, v);
		}
		validate_admission_rule(fe, r, &item, operations);
	}
}

static void policies_match(struct field_errs *fe, const struct val *m, const struct fpath *at,
			   const char *const *operations)
{
	static const enum sym selectors[] = { F_namespaceSelector, F_objectSelector };
	const struct val *policy = val_member(m, F_matchPolicy);
	struct fpath policy_at = FPATH(at, F_matchPolicy);

	if (!is_set(policy))
		fe_required(fe, &policy_at);
	else
		CHECK_ONE_OF(fe, policy, &policy_at, "Equivalent", "Exact");
	for (size_t i = 0; i < ARRAY_LEN(selectors); i++) {
		struct fpath here = FPATH(at, selectors[i]);

		if (!is_set(val_member(m, selectors[i])))
			fe_required(fe, &here);
		else
			validate_label_selector(fe, val_member(m, selectors[i]), &here);
	}
	policies_rules(fe, m, at, F_resourceRules, operations);
	policies_rules(fe, m, at, F_excludeResourceRules, operations);
}

static bool cel_identifier(struct sv s)
{
	static const char *const reserved[] = { "true",	  "false",    "null", "in",	 "as",	      "break",
						"const",  "continue", "else", "for",	 "function",  "if",
						"import", "let",      "loop", "package", "namespace", "return",
						"var",	  "void",     "while" };
	bool ok = s.n > 0;

	for (size_t i = 0; ok && i < s.n; i++) {
		char c = s.p[i], upper = (char)(c & ~0x20);

		ok = (upper >= 'A' && upper <= 'Z') || c == '_' || (i && c >= '0' && c <= '9');
	}
	return ok && !IN(s, reserved);
}

static void policies_variables(struct field_errs *fe, struct expressions *x, const struct val *list,
			       const struct fpath *at)
{
	size_t i = 0;

	VAL_EACH(list, v) {
		struct fpath item = FPATH_AT(at, i++), name_at = FPATH(&item, F_name),
			     expression_at = FPATH(&item, F_expression);
		struct sv name = val_get_str(v, F_name);

		if (!name.n)
			fe_required_why(fe, &name_at, "name is not specified");
		else if (!cel_identifier(name))
			fe_invalid(fe, &name_at, val_member(v, F_name), "name is not a valid CEL identifier");
		if (!sv_trim(val_get_str(v, F_expression)).n) {
			fe_required_why(fe, &expression_at, "expression is not specified");
		} else {
			struct cel_program *p;

			validate_expression(fe, x, POLICY_VARIABLE, val_member(v, F_expression), &expression_at, &p);
			policy_compiler_add(&x->compiler, name, p);
			cel_program_unref(p);
		}
	}
}

static void policies_expressions(struct field_errs *fe, struct expressions *x, const struct val *spec,
				 const struct val *old, bool mutating)
{
	static const struct {
		enum sym list, member;
	} places[] = {
		{ F_matchConditions, F_expression },	   { F_variables, F_expression },
		{ F_validations, F_expression },	   { F_validations, F_messageExpression },
		{ F_auditAnnotations, F_valueExpression },
	};
	const struct val *was = val_member(old, F_spec);

	policy_compiler_init(&x->compiler, fe->a, spec, mutating);
	for (size_t i = 0; i < ARRAY_LEN(places); i++)
		expressions_stored(x, val_member(was, places[i].list), places[i].member);
	VAL_EACH(val_member(was, F_mutations), m) {
		(void)strmap_set(&x->stored, val_get_str(m, F_applyConfiguration, F_expression), x);
		(void)strmap_set(&x->stored, val_get_str(m, F_jsonPatch, F_expression), x);
	}
}

static void policies_spec(struct field_errs *fe, struct expressions *x, const struct val *spec, const struct fpath *at,
			  const char *const *operations)
{
	const struct val *failure = val_member(spec, F_failurePolicy), *match = val_member(spec, F_matchConstraints),
			 *kind = val_member(spec, F_paramKind);
	struct fpath failure_at = FPATH(at, F_failurePolicy), match_at = FPATH(at, F_matchConstraints),
		     rules_at = FPATH(&match_at, F_resourceRules), kind_at = FPATH(at, F_paramKind),
		     conditions_at = FPATH(at, F_matchConditions), variables_at = FPATH(at, F_variables);

	if (!val_str(failure).n)
		fe_required(fe, &failure_at);
	else
		CHECK_ONE_OF(fe, failure, &failure_at, "Fail", "Ignore");
	if (is_set(kind))
		policies_param_kind(fe, kind, &kind_at);
	if (!is_set(match)) {
		fe_required(fe, &match_at);
	} else {
		policies_match(fe, match, &match_at, operations);
		/* Without one nobody knows what the expressions are about. */
		if (!val_len(val_member(match, F_resourceRules)))
			fe_required(fe, &rules_at);
	}
	validate_match_conditions(fe, x, val_member(spec, F_matchConditions), &conditions_at);
	policies_variables(fe, x, val_member(spec, F_variables), &variables_at);
}

/* --- policies that judge --- */

static void policies_validations(struct field_errs *fe, struct expressions *x, const struct val *list,
				 const struct fpath *at)
{
	size_t i = 0;

	VAL_EACH(list, v) {
		struct fpath item = FPATH_AT(at, i++), expression_at = FPATH(&item, F_expression),
			     message_at = FPATH(&item, F_message), made_at = FPATH(&item, F_messageExpression),
			     reason_at = FPATH(&item, F_reason);
		struct sv message = val_get_str(v, F_message), made = val_get_str(v, F_messageExpression);

		if (!sv_trim(val_get_str(v, F_expression)).n)
			fe_required_why(fe, &expression_at, "expression is not specified");
		else
			validate_expression(fe, x, POLICY_RULE, val_member(v, F_expression), &expression_at, NULL);
		if (made.n && !sv_trim(made).n)
			fe_invalid(fe, &made_at, val_member(v, F_messageExpression), "must be non-empty if specified");
		else if (made.n)
			validate_expression(fe, x, POLICY_MESSAGE, val_member(v, F_messageExpression), &made_at, NULL);
		if (message.n && !sv_trim(message).n)
			fe_invalid(fe, &message_at, val_member(v, F_message), "message must be non-empty if specified");
		else if (sv_find(sv_trim(message), '\n') >= 0 || sv_find(sv_trim(message), '\r') >= 0)
			fe_invalid(fe, &message_at, val_member(v, F_message), "message must not contain line breaks");
		if (is_set(val_member(v, F_reason)))
			CHECK_ONE_OF(fe, val_member(v, F_reason), &reason_at, "Forbidden", "Invalid",
				     "RequestEntityTooLarge");
	}
}

static void policies_notes(struct field_errs *fe, struct expressions *x, const struct val *list, struct sv policy,
			   const struct fpath *at)
{
	_cleanup_(strmap_release) struct strmap seen = STRMAP_INIT;
	size_t i = 0;

	if (val_len(list) > NOTES_MAX)
		fe_add(fe, FE_INVALID, at, list, "must not have more than %d auditAnnotations", NOTES_MAX);
	VAL_EACH(list, n) {
		struct fpath item = FPATH_AT(at, i++), key_at = FPATH(&item, F_key),
			     value_at = FPATH(&item, F_valueExpression);
		struct sv key = val_get_str(n, F_key), value = sv_trim(val_get_str(n, F_valueExpression));

		fe_check(fe, &key_at, policy.n ? arena_svf(fe->a, "%.*s/%.*s", SV_ARG(policy), SV_ARG(key)) : key,
			 fmt_qualified_name);
		if (!value.n)
			fe_required_why(fe, &value_at, "valueExpression is not specified");
		else if (value.n > NOTE_EXPRESSION_MAX)
			fe_required_why(fe, &value_at, "must not exceed 5120 bytes in length");
		else
			validate_expression(fe, x, POLICY_NOTE, val_member(n, F_valueExpression), &value_at, NULL);
		if (strmap_set(&seen, key, fe))
			fe_duplicate(fe, &key_at, val_new_str(fe->a, key));
	}
}

void validate_admission_policy(struct field_errs *fe, const struct val *doc, const struct val *old, const char *sub)
{
	const struct val *spec = val_member(doc, F_spec), *rules = val_member(spec, F_validations),
			 *notes = val_member(spec, F_auditAnnotations);
	struct fpath at = FPATH_ROOT(F_spec), rules_at = FPATH(&at, F_validations),
		     notes_at = FPATH(&at, F_auditAnnotations), st_at = FPATH_ROOT(F_status),
		     conditions_at = FPATH(&st_at, F_conditions);
	_cleanup_(expressions_release) struct expressions x = { 0 };

	if (is_sub(sub, "status")) {
		validate_conditions(fe, val_get(doc, F_status, F_conditions), &conditions_at, 0);
		return;
	}
	policies_expressions(fe, &x, spec, old, false);
	policies_spec(fe, &x, spec, &at, policy_operations);
	if (!val_len(rules) && !val_len(notes)) {
		fe_required_why(fe, &rules_at, "validations or auditAnnotations must contain at least one item");
		fe_required_why(fe, &notes_at, "validations or auditAnnotations must contain at least one item");
	}
	policies_validations(fe, &x, rules, &rules_at);
	policies_notes(fe, &x, notes, val_get_str(doc, F_metadata, F_name), &notes_at);
}

/* --- policies that change --- */

static void policies_mutation(struct field_errs *fe, struct expressions *x, const struct val *m, const struct fpath *at)
{
	static const struct {
		const char *type;
		enum sym member;
		enum policy_use use;
	} forms[] = { { "ApplyConfiguration", F_applyConfiguration, POLICY_APPLY },
		      { "JSONPatch", F_jsonPatch, POLICY_PATCH } };
	struct fpath type_at = FPATH(at, F_patchType);
	const struct val *type = val_member(m, F_patchType);

	if (!val_str(type).n)
		fe_required(fe, &type_at);
	else
		CHECK_ONE_OF(fe, type, &type_at, "ApplyConfiguration", "JSONPatch");
	for (size_t i = 0; i < ARRAY_LEN(forms); i++) {
		const struct val *form = val_member(m, forms[i].member);
		struct fpath here = FPATH(at, forms[i].member), expression_at = FPATH(&here, F_expression);

		if (val_is(type, forms[i].type) && !is_set(form))
			fe_add(fe, FE_REQUIRED, &here, NULL, "must be specified when patchType is %s", forms[i].type);
		else if (!val_is(type, forms[i].type) && is_set(form) && val_str(type).n)
			fe_add(fe, FE_FORBIDDEN, &here, NULL, "may only be specified when patchType is %s",
			       forms[i].type);
		else if (is_set(form) && !sv_trim(val_get_str(form, F_expression)).n)
			fe_required_why(fe, &expression_at, "expression is not specified");
		else if (is_set(form))
			validate_expression(fe, x, forms[i].use, val_member(form, F_expression), &expression_at, NULL);
	}
}

void validate_mutating_policy(struct field_errs *fe, const struct val *doc, const struct val *old, const char *sub)
{
	const struct val *spec = val_member(doc, F_spec), *list = val_member(spec, F_mutations),
			 *again = val_member(spec, F_reinvocationPolicy);
	struct fpath at = FPATH_ROOT(F_spec), list_at = FPATH(&at, F_mutations),
		     again_at = FPATH(&at, F_reinvocationPolicy);
	_cleanup_(expressions_release) struct expressions x = { 0 };
	size_t i = 0;

	(void)sub;
	policies_expressions(fe, &x, spec, old, true);
	policies_spec(fe, &x, spec, &at, mutable_operations);
	if (!val_len(list))
		fe_required_why(fe, &list_at, "mutations must contain at least one item");
	VAL_EACH(list, m) {
		struct fpath item = FPATH_AT(&list_at, i++);

		policies_mutation(fe, &x, m, &item);
	}
	if (!val_str(again).n)
		fe_required(fe, &again_at);
	else
		CHECK_ONE_OF(fe, again, &again_at, "IfNeeded", "Never");
}

/* --- what puts them to use --- */

static void bindings_params(struct field_errs *fe, const struct val *ref, const struct fpath *at)
{
	static const char both[] = "name and selector are mutually exclusive";
	const struct val *selector = val_member(ref, F_selector), *none = val_member(ref, F_parameterNotFoundAction);
	struct fpath name_at = FPATH(at, F_name), selector_at = FPATH(at, F_selector),
		     none_at = FPATH(at, F_parameterNotFoundAction);
	struct sv name = val_get_str(ref, F_name);

	if (!is_set(ref))
		return;
	if (name.n)
		fe_check(fe, &name_at, name, fmt_path_segment);
	if (is_set(selector))
		validate_label_selector(fe, selector, &selector_at);
	if (name.n && is_set(selector)) {
		fe_forbidden(fe, &name_at, both);
		fe_forbidden(fe, &selector_at, both);
	}
	if (!name.n && !is_set(selector))
		fe_required_why(fe, at, "one of name or selector must be specified");
	if (!val_str(none).n)
		fe_required(fe, &none_at);
	else
		CHECK_ONE_OF(fe, none, &none_at, "Deny", "Allow");
}

static void bindings_spec(struct field_errs *fe, const struct val *spec, const struct fpath *at,
			  const char *const *operations)
{
	struct fpath params_at = FPATH(at, F_paramRef), match_at = FPATH(at, F_matchResources);

	check_required_text(fe, spec, at, F_policyName, fmt_dns_subdomain);
	bindings_params(fe, val_member(spec, F_paramRef), &params_at);
	if (is_set(val_member(spec, F_matchResources)))
		policies_match(fe, val_member(spec, F_matchResources), &match_at, operations);
}

void validate_admission_binding(struct field_errs *fe, const struct val *doc, const struct val *old, const char *sub)
{
	const struct val *spec = val_member(doc, F_spec), *actions = val_member(spec, F_validationActions);
	struct fpath at = FPATH_ROOT(F_spec), actions_at = FPATH(&at, F_validationActions);
	_cleanup_(strmap_release) struct strmap seen = STRMAP_INIT;
	size_t i = 0;

	(void)old;
	(void)sub;
	bindings_spec(fe, spec, &at, policy_operations);
	if (!val_len(actions))
		fe_required_why(fe, &actions_at, "at least one validation action is required");
	VAL_EACH(actions, v) {
		struct fpath here = FPATH_AT(&actions_at, i++);

		CHECK_ONE_OF(fe, v, &here, "Audit", "Deny", "Warn");
		if (strmap_set(&seen, val_str(v), fe))
			fe_duplicate(fe, &here, v);
	}
	if (strmap_has(&seen, SV("Deny")) && strmap_has(&seen, SV("Warn")))
		fe_invalid(
		    fe, &actions_at, actions,
		    "must not contain both Deny and Warn (repeating the same validation failure information in the "
		    "API response and headers serves no purpose)");
}

void validate_mutating_binding(struct field_errs *fe, const struct val *doc, const struct val *old, const char *sub)
{
	struct fpath at = FPATH_ROOT(F_spec);

	(void)old;
	(void)sub;
	bindings_spec(fe, val_member(doc, F_spec), &at, mutable_operations);
}
