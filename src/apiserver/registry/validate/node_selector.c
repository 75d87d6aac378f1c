/* node_selector.c - which nodes: terms of expressions, of pods and of volumes. */
#include "apiserver/registry/validate/kinds-internal.h"

void validate_node_term(struct field_errs *fe, const struct val *term, const struct fpath *at, bool strict)
{
	struct fpath exprs_at = FPATH(at, F_matchExpressions), fields_at = FPATH(at, F_matchFields);
	size_t i = 0;

	VAL_EACH(val_member(term, F_matchExpressions), e) {
		struct fpath item = FPATH_AT(&exprs_at, i++), key_at = FPATH(&item, F_key),
			     op_at = FPATH(&item, F_operator);
		struct fpath values_at = FPATH(&item, F_values);
		const struct val *op = val_member(e, F_operator);
		size_t n = val_len(val_member(e, F_values));

		if (val_is(op, "In") || val_is(op, "NotIn")) {
			if (n == 0)
				fe_required_why(fe, &values_at, "must be specified when `operator` is 'In' or 'NotIn'");
		} else if (val_is(op, "Exists") || val_is(op, "DoesNotExist")) {
			if (n)
				fe_forbidden(fe, &values_at,
					     "may not be specified when `operator` is 'Exists' or 'DoesNotExist'");
		} else if (val_is(op, "Gt") || val_is(op, "Lt")) {
			if (n != 1)
				fe_required_why(fe, &values_at,
						"must be specified single value when `operator` is 'Lt' or 'Gt'");
		} else {
			fe_format(fe, &op_at, val_str(op), "not a valid selector operator");
		}
		fe_check(fe, &key_at, val_get_str(e, F_key), fmt_qualified_name);
		if (strict)
			check_texts(fe, val_member(e, F_values), &values_at, fmt_label_value);
	}
	i = 0;
	VAL_EACH(val_member(term, F_matchFields), e) {
		struct fpath item = FPATH_AT(&fields_at, i++), key_at = FPATH(&item, F_key),
			     op_at = FPATH(&item, F_operator);
		struct fpath values_at = FPATH(&item, F_values);
		const struct val *op = val_member(e, F_operator);

		if (!val_is(op, "In") && !val_is(op, "NotIn"))
			fe_format(fe, &op_at, val_str(op), "not a valid selector operator");
		else if (val_len(val_member(e, F_values)) != 1)
			fe_required_why(
			    fe, &values_at,
			    "must be only one value when `operator` is 'In' or 'NotIn' for node field selector");
		if (!val_is(val_member(e, F_key), "metadata.name"))
			fe_format(fe, &key_at, val_get_str(e, F_key), "not a valid field selector key");
		else
			check_texts(fe, val_member(e, F_values), &values_at, fmt_dns_subdomain);
	}
}

void validate_node_selector(struct field_errs *fe, const struct val *sel, const struct fpath *at)
{
	struct fpath terms_at = FPATH(at, F_nodeSelectorTerms);
	size_t i = 0;

	if (val_len(val_member(sel, F_nodeSelectorTerms)) == 0)
		fe_required_why(fe, &terms_at, "must have at least one node selector term");
	VAL_EACH(val_member(sel, F_nodeSelectorTerms), t) {
		struct fpath item = FPATH_AT(&terms_at, i++);

		validate_node_term(fe, t, &item, true);
	}
}
