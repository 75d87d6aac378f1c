/* dra.c - what claims, classes and slices of devices share: names of drivers, pools and attributes, taints, parameters
 * of drivers. */
#include "apiserver/registry/validate/dra.h"

#include "codec/json.h"

#define POOL_NAME_MAX 253
#define IDENTIFIER_MAX 32
#define SELECTORS_MAX 32
#define EXPRESSION_MAX (10 * 1024)
#define BINDING_CONDITIONS_MAX 4

void dra_label_text(struct field_errs *fe, struct sv s, const struct fpath *at)
{
	if (!s.n)
		fe_required(fe, at);
	else
		fe_check(fe, at, s, fmt_dns_label);
}

void dra_pool_name(struct field_errs *fe, struct sv name, const struct fpath *at)
{
	struct sv part;

	if (!name.n) {
		fe_required(fe, at);
		return;
	}
	if (name.n > POOL_NAME_MAX)
		fe_too_long(fe, at, POOL_NAME_MAX);
	if (sv_ends(name, SV("/")))
		fe_check(fe, at, SV(""), fmt_dns_subdomain);
	while (sv_split(&name, '/', &part))
		fe_check(fe, at, part, fmt_dns_subdomain);
}

static void dra_identifier(struct field_errs *fe, struct sv id, const struct fpath *at)
{
	bool ok = id.n > 0;

	for (size_t i = 0; ok && i < id.n; i++) {
		char c = id.p[i], upper = (char)(c & ~0x20);

		ok = (upper >= 'A' && upper <= 'Z') || c == '_' || (i && c >= '0' && c <= '9');
	}
	if (id.n > IDENTIFIER_MAX)
		fe_too_long(fe, at, IDENTIFIER_MAX);
	if (!ok)
		fe_format(fe, at, id,
			  "a valid C identifier must start with alphabetic character or '_', followed by a string of "
			  "alphanumeric characters or '_' (e.g. 'my_name',  or 'MY_NAME',  or 'MyName', regex used for "
			  "validation is '[A-Za-z_][A-Za-z0-9_]*')");
}

static void dra_driver_text(struct field_errs *fe, struct sv name, const struct fpath *at)
{
	if (name.n > DRA_DRIVER_MAX)
		fe_too_long(fe, at, DRA_DRIVER_MAX);
	fe_check_as(fe, at, name, lower_case(fe->a, name), fmt_dns_subdomain);
}

void dra_attribute_name(struct field_errs *fe, struct sv name, const struct fpath *at, bool domain_needed)
{
	ssize_t slash = sv_find(name, '/');
	struct sv domain = slash < 0 ? SV("") : sv_sub(name, 0, (size_t)slash),
		  id = slash < 0 ? name : sv_sub(name, (size_t)slash + 1, name.n);

	if (slash < 0) {
		dra_identifier(fe, id, at);
	} else if (sv_find(id, '/') >= 0) {
		fe_format(fe, at, name, "must not contain more than one slash");
	} else {
		if (!domain.n)
			fe_format(fe, at, domain, "the domain must not be empty");
		else
			dra_driver_text(fe, domain, at);
		if (!id.n)
			fe_format(fe, at, id, "the name must not be empty");
		else
			dra_identifier(fe, id, at);
	}
	if (domain_needed && slash < 0)
		fe_format(fe, at, name, "a fully qualified name must be a domain and a name separated by a slash");
}

void dra_node_name(struct field_errs *fe, struct sv name, const struct fpath *at)
{
	fe_check(fe, at, name, fmt_dns_subdomain);
}

void dra_uid(struct field_errs *fe, struct sv s, const struct fpath *at)
{
	bool shape = s.n == 36, lower = true;

	for (size_t i = 0; shape && i < s.n; i++) {
		char c = s.p[i];
		bool dash = i == 8 || i == 13 || i == 18 || i == 23, upper = c >= 'A' && c <= 'F';

		lower &= !upper;
		shape = dash ? c == '-' : (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || upper;
	}
	if (!shape && s.n != 36)
		fe_add(fe, FE_INVALID, at, val_new_str(fe->a, s), "error validating uid: invalid UUID length: %zu",
		       s.n);
	else if (!shape)
		fe_format(fe, at, s, "error validating uid: invalid UUID format");
	else if (!lower)
		fe_format(fe, at, s,
			  "uid must be in RFC 4122 normalized form, `xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx` with "
			  "lowercase hexadecimal characters");
}

bool dra_few(struct field_errs *fe, const struct val *list, const struct fpath *at, size_t max)
{
	if (val_len(list) <= max)
		return true;
	fe_too_many(fe, at, val_len(list), max);
	return false;
}

void dra_parameters(struct field_errs *fe, const struct val *v, const struct fpath *at, bool stored)
{
	struct buf text = BUF_INIT;

	if (!v || val_type(v) == VAL_NULL) {
		fe_required(fe, at);
		return;
	}
	json_encode(&text, v);
	if (!stored && text.n > DRA_PARAMETERS_MAX)
		fe_too_long(fe, at, DRA_PARAMETERS_MAX);
	else if (val_type(v) != VAL_MAP)
		fe_format(fe, at, SV("<value omitted>"), "must be a valid JSON object");
	buf_release(&text);
}

void dra_selectors(struct field_errs *fe, const struct val *list, const struct fpath *at, bool stored)
{
	size_t i = 0;

	if (!dra_few(fe, list, at, SELECTORS_MAX))
		return;
	VAL_EACH(list, s) {
		struct fpath item = FPATH_AT(at, i++), cel_at = FPATH(&item, F_cel),
			     expression_at = FPATH(&cel_at, F_expression);

		if (!val_member(s, F_cel))
			fe_required(fe, &cel_at);
		else if (!stored && val_get_str(s, F_cel, F_expression).n > EXPRESSION_MAX)
			fe_too_long(fe, &expression_at, EXPRESSION_MAX);
	}
}

void dra_opaque(struct field_errs *fe, const struct val *config, const struct fpath *up, bool stored)
{
	const struct val *opaque = val_member(config, F_opaque);
	struct fpath at = FPATH(up, F_opaque), parameters_at = FPATH(&at, F_parameters);

	if (!opaque) {
		fe_required(fe, &at);
		return;
	}
	check_driver_name(fe, opaque, &at, F_driver);
	dra_parameters(fe, val_member(opaque, F_parameters), &parameters_at, stored);
}

static void dra_effect(struct field_errs *fe, const struct val *v, const struct fpath *up)
{
	const struct val *effect = val_member(v, F_effect);
	struct fpath at = FPATH(up, F_effect);

	if (val_str(effect).n)
		CHECK_ONE_OF(fe, effect, &at, "NoExecute", "NoSchedule", "None");
}

void dra_taint(struct field_errs *fe, const struct val *taint, const struct val *old, const struct fpath *at)
{
	struct fpath key_at = FPATH(at, F_key), value_at = FPATH(at, F_value), effect_at = FPATH(at, F_effect);

	fe_check(fe, &key_at, val_get_str(taint, F_key), fmt_qualified_name);
	if (val_get_str(taint, F_value).n)
		fe_check(fe, &value_at, val_get_str(taint, F_value), fmt_label_value);
	if (old && sv_eq(val_get_str(old, F_effect), val_get_str(taint, F_effect)))
		return;
	if (!val_get_str(taint, F_effect).n)
		fe_required(fe, &effect_at);
	dra_effect(fe, taint, at);
}

void dra_tolerations(struct field_errs *fe, const struct val *list, const struct fpath *at)
{
	size_t i = 0;

	VAL_EACH(list, t) {
		struct fpath item = FPATH_AT(at, i++), key_at = FPATH(&item, F_key), value_at = FPATH(&item, F_value),
			     op_at = FPATH(&item, F_operator);
		struct sv key = val_get_str(t, F_key), value = val_get_str(t, F_value);
		const struct val *op = val_member(t, F_operator);

		if (key.n)
			fe_check(fe, &key_at, key, fmt_qualified_name);
		if (val_is(op, "Exists") && value.n)
			fe_format(fe, &value_at, value, "must be empty for operator `Exists`");
		else if (val_is(op, "Equal"))
			fe_check(fe, &value_at, value, fmt_label_value);
		else if (!val_str(op).n)
			fe_required(fe, &op_at);
		else
			CHECK_ONE_OF(fe, op, &op_at, "Equal", "Exists");
		dra_effect(fe, t, &item);
	}
}

static void dra_condition_types(struct field_errs *fe, const struct val *list, const struct fpath *at)
{
	if (dra_few(fe, list, at, BINDING_CONDITIONS_MAX))
		check_texts(fe, list, at, fmt_qualified_name);
}

void dra_binding_conditions(struct field_errs *fe, const struct val *v, const struct fpath *up)
{
	const struct val *good = val_member(v, F_bindingConditions), *bad = val_member(v, F_bindingFailureConditions);
	struct fpath good_at = FPATH(up, F_bindingConditions), bad_at = FPATH(up, F_bindingFailureConditions);
	_cleanup_(strmap_release) struct strmap in_good = STRMAP_INIT, in_bad = STRMAP_INIT;
	size_t i = 0;

	dra_condition_types(fe, good, &good_at);
	dra_condition_types(fe, bad, &bad_at);
	VAL_EACH(good, c) {
		struct fpath here = FPATH_AT(&good_at, i++);

		if (strmap_set(&in_good, val_str(c), fe))
			fe_duplicate(fe, &here, c);
	}
	i = 0;
	VAL_EACH(bad, c) {
		struct fpath here = FPATH_AT(&bad_at, i++);

		if (strmap_set(&in_bad, val_str(c), fe))
			fe_duplicate(fe, &here, c);
		if (strmap_has(&in_good, val_str(c)))
			fe_invalid(fe, &here, c, "bindingFailureConditions must not overlap with bindingConditions");
	}
	if (!val_len(good) && val_len(bad))
		fe_invalid(fe, &good_at, good ? good : val_new_list(fe->a),
			   "bindingConditions are required to use bindingFailureConditions");
	if (!val_len(bad) && val_len(good))
		fe_invalid(fe, &bad_at, bad ? bad : val_new_list(fe->a),
			   "bindingFailureConditions are required to use bindingConditions");
}

void dra_skipped(struct field_errs *fe, const struct val *list, const struct fpath *at)
{
	_cleanup_(strmap_release) struct strmap seen = STRMAP_INIT;
	size_t i = 0;

	VAL_EACH(list, v) {
		struct fpath here = FPATH_AT(at, i++);

		CHECK_ONE_OF(fe, v, &here, "*", "NodePrepareResources", "NodeUnprepareResources");
		if (strmap_set(&seen, val_str(v), fe))
			fe_duplicate(fe, &here, v);
	}
	if (strmap_has(&seen, SV("NodePrepareResources")) && !strmap_has(&seen, SV("NodeUnprepareResources")) &&
	    !strmap_has(&seen, SV("*")))
		fe_invalid(fe, at, list,
			   "NodePrepareResources cannot be skipped unless NodeUnprepareResources is also skipped");
}
