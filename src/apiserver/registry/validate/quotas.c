/* quotas.c - ResourceQuota and LimitRange: which amounts they may speak of, and whether these fit together. */
#include "apiserver/registry/validate/kinds-internal.h"

#include "base/strmap.h"
#include "codec/val_index.h"
#include "object/quantity.h"

/* --- quotas --- */

static void amounts(struct field_errs *fe, const struct val *list, const struct fpath *at)
{
	VAL_EACH_MEMBER(list, m) {
		struct fpath here = FPATH_KEY(at, m.key);
		bool plain = sv_find(m.key, '/') < 0;
		int64_t milli;

		check_resource_name(fe, &here, m.key);
		if (plain && !quota_resource(m.key))
			fe_format(fe, &here, m.key, "must be a standard resource for quota");
		if (!quantity_milli(val_str(m.value), &milli))
			continue;
		if (milli < 0)
			fe_invalid(fe, &here, m.value, MSG_NONNEGATIVE);
		if (milli % 1000 && (quota_counts(m.key) || !plain))
			fe_invalid(fe, &here, m.value, "must be an integer");
	}
}

/* Scopes choose pods; best effort ones are only counted. */
static bool scope_fits(struct sv scope, struct sv name)
{
	static const char *const of_pods[] = {
		"pods", "cpu", "memory", "requests.cpu", "requests.memory", "limits.cpu", "limits.memory"
	};

	if (sv_is(scope, "VolumeAttributesClass"))
		return sv_is(name, "persistentvolumeclaims") || sv_is(name, "requests.storage");
	return sv_is(scope, "BestEffort") ? sv_is(name, "pods") : IN(name, of_pods);
}

static const char *const known_scopes[] = { "Terminating",	    "NotTerminating", "BestEffort",
					    "NotBestEffort",	    "PriorityClass",  "CrossNamespacePodAffinity",
					    "VolumeAttributesClass" };

static void scopes(struct field_errs *fe, const struct val *spec, const struct fpath *up)
{
	const struct val *list = val_member(spec, F_scopes);
	_cleanup_(strmap_release) struct strmap seen = STRMAP_INIT;
	struct fpath at = FPATH(up, F_scopes);

	VAL_EACH(list, s) {
		if (!IN(val_str(s), known_scopes))
			fe_invalid(fe, &at, list, "unsupported scope");
		if (strmap_set(&seen, val_str(s), fe))
			continue; /* said */
		VAL_EACH_MEMBER(val_member(spec, F_hard), m)
			if (IN(val_str(s), known_scopes) && !scope_fits(val_str(s), m.key))
				fe_invalid(fe, &at, list, "unsupported scope applied to resource");
	}
	if ((strmap_has(&seen, SV("BestEffort")) && strmap_has(&seen, SV("NotBestEffort"))) ||
	    (strmap_has(&seen, SV("Terminating")) && strmap_has(&seen, SV("NotTerminating"))))
		fe_invalid(fe, &at, list, "conflicting scopes");
}

static void scope_selector(struct field_errs *fe, const struct val *spec, const struct fpath *up)
{
	static const char *const flags[] = { "Terminating", "NotTerminating", "BestEffort", "NotBestEffort",
					     "CrossNamespacePodAffinity" };
	/* Upstream leaves out which expression it is. */
	struct fpath sel_at = FPATH(up, F_scopeSelector), at = FPATH(&sel_at, F_matchExpressions),
		     name_at = FPATH(&at, F_scopeName), op_at = FPATH(&at, F_operator),
		     values_at = FPATH(&at, F_values);

	VAL_EACH(val_get(spec, F_scopeSelector, F_matchExpressions), e) {
		const struct val *op = val_member(e, F_operator), *values = val_member(e, F_values);

		if (!IN(val_get_str(e, F_scopeName), known_scopes))
			fe_format(fe, &name_at, val_get_str(e, F_scopeName), "unsupported scope");
		if (IN(val_get_str(e, F_scopeName), flags) && !val_is(op, "Exists"))
			fe_invalid(fe, &op_at, op,
				   "must be 'Exist' when scope is any of ResourceQuotaScopeTerminating, "
				   "ResourceQuotaScopeNotTerminating, ResourceQuotaScopeBestEffort, "
				   "ResourceQuotaScopeNotBestEffort or ResourceQuotaScopeCrossNamespacePodAffinity");
		if (val_is(op, "In") || val_is(op, "NotIn")) {
			if (!val_len(values))
				fe_required_why(
				    fe, &values_at,
				    "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector");
		} else if (val_is(op, "Exists") || val_is(op, "DoesNotExist")) {
			if (val_len(values))
				fe_invalid(
				    fe, &values_at, values,
				    "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector");
		} else {
			fe_invalid(fe, &op_at, op ? op : val_new_str(fe->a, SV("")), "not a valid selector operator");
		}
	}
}

void validate_resource_quota(struct field_errs *fe, const struct val *doc, const struct val *old, const char *sub)
{
	struct fpath spec_at = FPATH_ROOT(F_spec), st_at = FPATH_ROOT(F_status), at = FPATH(&spec_at, F_hard);
	struct fpath used_at = FPATH(&st_at, F_used), hard_at = FPATH(&st_at, F_hard);

	if (is_sub(sub, "status")) {
		amounts(fe, val_get(doc, F_status, F_hard), &hard_at);
		amounts(fe, val_get(doc, F_status, F_used), &used_at);
		return;
	}
	amounts(fe, val_get(doc, F_spec, F_hard), &at);
	scopes(fe, val_member(doc, F_spec), &spec_at);
	scope_selector(fe, val_member(doc, F_spec), &spec_at);
	if (old)
		check_immutable(fe, val_member(doc, F_spec), val_member(old, F_spec), &spec_at, F_scopes);
}

/* --- limits --- */

struct bound {
	enum sym low, high;
	enum sym blamed;
	const char *low_name, *high_name;
};

static void names_of_limit(struct field_errs *fe, const struct val *l, const struct fpath *at)
{
	static const enum sym lists[] = { F_max, F_min, F_default, F_defaultRequest, F_maxLimitRequestRatio };
	bool pods = val_is(val_member(l, F_type), "Pod") || val_is(val_member(l, F_type), "Container");

	for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
		struct fpath list_at = FPATH(at, lists[i]);

		if (pods) {
			validate_resource_list(fe, val_member(l, lists[i]), &list_at);
			continue;
		}
		VAL_EACH_MEMBER(val_member(l, lists[i]), m) {
			struct fpath here = FPATH_KEY(&list_at, m.key);

			check_resource_name(fe, &here, m.key);
		}
	}
}

static void bounds(struct field_errs *fe, const struct val *l, const struct fpath *up)
{
	static const struct bound all[] = {
		{ F_min, F_max, F_min, "min value", "max value" },
		{ F_min, F_defaultRequest, F_defaultRequest, "min value", "default request value" },
		{ F_defaultRequest, F_max, F_defaultRequest, "default request value", "max value" },
		{ F_defaultRequest, F_default, F_defaultRequest, "default request value", "default limit value" },
		{ F_min, F_default, F_default, "min value", "default value" },
		{ F_default, F_max, F_default, "default value", "max value" },
	};

	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		struct fpath at = FPATH(up, all[i].blamed);
		_cleanup_(val_index_release) struct val_index highs = val_index_of(val_member(l, all[i].high)),
							      blamed = val_index_of(val_member(l, all[i].blamed));

		VAL_EACH_MEMBER(val_member(l, all[i].low), m) {
			const struct val *high = val_index_get(&highs, m.key);
			struct fpath here = FPATH_KEY(&at, m.key);

			if (high && quantity_cmp(val_str(m.value), val_str(high)) > 0)
				fe_add(fe, FE_INVALID, &here, val_index_get(&blamed, m.key),
				       "%s %.*s is greater than %s %.*s", all[i].low_name, SV_ARG(val_str(m.value)),
				       all[i].high_name, SV_ARG(val_str(high)));
		}
	}
}

static void ratios(struct field_errs *fe, const struct val *l, const struct fpath *up)
{
	_cleanup_(val_index_release) struct val_index maxima = val_index_of(val_member(l, F_max)),
						      minima = val_index_of(val_member(l, F_min));
	struct fpath at = FPATH(up, F_maxLimitRequestRatio);

	VAL_EACH_MEMBER(val_member(l, F_maxLimitRequestRatio), m) {
		struct fpath here = FPATH_KEY(&at, m.key);
		int64_t max = quantity_milli_or(val_index_get(&maxima, m.key), 0),
			min = quantity_milli_or(val_index_get(&minima, m.key), 0), ratio;

		if (!quantity_milli(val_str(m.value), &ratio))
			continue;
		if (ratio < 1000)
			fe_add(fe, FE_INVALID, &here, m.value, "ratio %.*s is less than 1", SV_ARG(val_str(m.value)));
		else if (max > 0 && min > 0 && (double)ratio / 1000 > (double)max / (double)min)
			fe_add(fe, FE_INVALID, &here, m.value, "ratio %.*s is greater than max/min = %f",
			       SV_ARG(val_str(m.value)), (double)max / (double)min);
	}
}

void validate_limit_range(struct field_errs *fe, const struct val *doc, const struct val *old, const char *sub)
{
	static const char *const types[] = { "Pod", "Container", "PersistentVolumeClaim" };
	struct fpath spec_at = FPATH_ROOT(F_spec), at = FPATH(&spec_at, F_limits);
	_cleanup_(strmap_release) struct strmap seen = STRMAP_INIT;
	size_t i = 0;

	(void)old;
	(void)sub;
	VAL_EACH(val_get(doc, F_spec, F_limits), l) {
		struct fpath item = FPATH_AT(&at, i++), type_at = FPATH(&item, F_type);
		struct fpath dflt_at = FPATH(&item, F_default), req_at = FPATH(&item, F_defaultRequest),
			     limits_at = FPATH(&item, F_limits);
		struct sv type = val_get_str(l, F_type);

		if (fmt_qualified_name(type))
			fe_check(fe, &type_at, type, fmt_qualified_name);
		else if (sv_find(type, '/') < 0 && !IN(type, types))
			fe_format(fe, &type_at, type, "must be a standard limit type or fully qualified");
		if (strmap_set(&seen, type, fe))
			fe_duplicate(fe, &type_at, val_member(l, F_type));
		if (sv_is(type, "Pod")) {
			if (val_len(val_member(l, F_default)))
				fe_forbidden(fe, &dflt_at, "may not be specified when `type` is 'Pod'");
			if (val_len(val_member(l, F_defaultRequest)))
				fe_forbidden(fe, &req_at, "may not be specified when `type` is 'Pod'");
		}
		if (sv_is(type, "PersistentVolumeClaim") && !val_member_sv(val_member(l, F_min), SV("storage")) &&
		    !val_member_sv(val_member(l, F_max), SV("storage")))
			fe_required_why(
			    fe, &limits_at,
			    "either minimum or maximum storage value is required, but neither was provided");
		names_of_limit(fe, l, &item);
		bounds(fe, l, &item);
		ratios(fe, l, &item);
	}
}
