/* autoscaling.c - HorizontalPodAutoscaler: bounds, metrics, how fast it may go. Of either version: the rules are those
 * of v2, and so are the paths they name, as upstream has it. */
#include "apiserver/registry/validate/kinds-internal.h"
#include "object/autoscaler.h"
#include "object/quantity.h"

#define WINDOW_MAX 3600
#define PERIOD_MAX 1800

/* --- references --- */

static void autoscaling_segment(struct field_errs *fe, const struct val *parent, const struct fpath *up, enum sym name,
				const char *missing)
{
	struct fpath at = FPATH(up, name);
	struct sv s = val_get_str(parent, name);

	if (s.n)
		fe_check(fe, &at, s, fmt_path_segment);
	else if (missing)
		fe_required_why(fe, &at, missing);
	else
		fe_required(fe, &at);
}

/* What upstream's parser of versions has against it: NULL or the text. */
static const char *autoscaling_version_fault(struct arena *a, struct sv api_version, bool core_too)
{
	struct sv rest = api_version, group;
	size_t slashes = 0;

	for (size_t i = 0; i < api_version.n; i++)
		slashes += api_version.p[i] == '/';
	if (slashes > 1)
		return arena_cstr(a, arena_svf(a, "unexpected GroupVersion string: %.*s", SV_ARG(api_version)));
	(void)sv_split(&rest, '/', &group);
	if (!core_too && (slashes == 0 || !group.n))
		return "apiVersion must specify API group";
	return NULL;
}

static void autoscaling_reference(struct field_errs *fe, const struct val *ref, const struct fpath *at, bool core_too,
				  bool any_version)
{
	struct fpath version_at = FPATH(at, F_apiVersion);
	struct sv version = val_get_str(ref, F_apiVersion);
	const char *fault = any_version ? NULL : autoscaling_version_fault(fe->a, version, core_too);

	autoscaling_segment(fe, ref, at, F_kind, NULL);
	autoscaling_segment(fe, ref, at, F_name, NULL);
	if (fault)
		fe_add(fe, FE_INVALID, &version_at, val_new_str(fe->a, version), "%s", fault);
}

/* --- metrics --- */

static void autoscaling_positive(struct field_errs *fe, const struct val *target, const struct fpath *up, enum sym name)
{
	const struct val *v = val_member(target, name);
	struct fpath at = FPATH(up, name);

	if (v && quantity_cmp(val_str(v), SV("0")) <= 0)
		fe_invalid(fe, &at, v, "must be positive");
}

static void autoscaling_target(struct field_errs *fe, const struct val *target, const struct fpath *at)
{
	static const char *const types[] = { "Utilization", "Value", "AverageValue" };
	const struct val *type = val_member(target, F_type), *percent = val_member(target, F_averageUtilization);
	struct fpath type_at = FPATH(at, F_type), percent_at = FPATH(at, F_averageUtilization);

	if (!val_str(type).n)
		fe_required_why(fe, &type_at, "must specify a metric target type");
	if (!IN(val_str(type), types))
		fe_add(fe, FE_INVALID, &type_at, val_new_str(fe->a, val_str(type)), "%s",
		       "must be either Utilization, Value, or AverageValue");
	autoscaling_positive(fe, target, at, F_value);
	autoscaling_positive(fe, target, at, F_averageValue);
	if (percent && val_int_or(percent, 0) < 1)
		fe_invalid(fe, &percent_at, percent, "must be greater than 0");
}

/* What of a target there must be one of, and what there may not be two of: which is said of which member. */
static const struct autoscaling_choice {
	enum sym source, one, other; /* other SYM_NONE: there is no choice */
	enum sym missing_at, both_at;
	const char *missing, *both; /* both NULL: both may be there */
} choices[] = {
	{ F_object, F_value, F_averageValue, F_averageValue, SYM_NONE, "must set either a target value or averageValue",
	  NULL },
	{ F_external, F_value, F_averageValue, F_averageValue, F_value,
	  "must set either a target value for metric or a per-pod target",
	  "may not set both a target value for metric and a per-pod target" },
	{ F_pods, F_averageValue, SYM_NONE, F_averageValue, SYM_NONE, "must specify a positive target averageValue",
	  NULL },
	{ F_resource, F_averageUtilization, F_averageValue, F_averageUtilization, F_averageValue,
	  "must set either a target raw value or a target utilization",
	  "may not set both a target raw value and a target utilization" },
	{ F_containerResource, F_averageUtilization, F_averageValue, F_averageUtilization, F_averageValue,
	  "must set either a target raw value or a target utilization",
	  "may not set both a target raw value and a target utilization" },
};

static void autoscaling_resource(struct field_errs *fe, const struct val *src, const struct fpath *at,
				 bool of_container)
{
	struct fpath name_at = FPATH(at, F_name), container_at = FPATH(at, F_container);
	struct sv name = val_get_str(src, F_name), container = val_get_str(src, F_container);

	if (!name.n)
		fe_required_why(fe, &name_at, "must specify a resource name");
	else if (of_container)
		check_container_resource_name(fe, &name_at, name);
	if (of_container && !container.n)
		fe_required_why(fe, &container_at, "must specify a container");
	else if (of_container)
		fe_check(fe, &container_at, container, fmt_dns_label);
}

static void autoscaling_source(struct field_errs *fe, const struct autoscaling_choice *c, const struct val *src,
			       const struct fpath *up, bool any_version)
{
	const struct val *target = val_member(src, F_target);
	struct fpath at = FPATH(up, c->source), object_at = FPATH(&at, F_describedObject),
		     metric_at = FPATH(&at, F_metric), target_at = FPATH(&at, F_target),
		     missing_at = FPATH(&target_at, c->missing_at), both_at = FPATH(&target_at, c->both_at);
	bool one = val_member(target, c->one), other = c->other && val_member(target, c->other);

	if (c->source == F_object)
		autoscaling_reference(fe, val_member(src, F_describedObject), &object_at, true, any_version);
	if (c->source == F_resource || c->source == F_containerResource)
		autoscaling_resource(fe, src, &at, c->source == F_containerResource);
	else
		autoscaling_segment(fe, val_member(src, F_metric), &metric_at, F_name, "must specify a metric name");
	autoscaling_target(fe, target, &target_at);
	if (!one && !other)
		fe_required_why(fe, &missing_at, c->missing);
	if (one && other && c->both)
		fe_forbidden(fe, &both_at, c->both);
}

static void autoscaling_metric(struct field_errs *fe, const struct val *m, const struct fpath *at, bool any_version)
{
	static const char *const types[] = { "ContainerResource", "External", "Object", "Pods", "Resource", NULL };
	const struct val *type = val_new_str(fe->a, val_get_str(m, F_type));
	enum sym wanted = autoscaler_member_of(val_str(type));
	struct fpath type_at = FPATH(at, F_type), wanted_at = FPATH(at, wanted);
	size_t n = 0;

	if (!val_str(type).n)
		fe_required_why(fe, &type_at, "must specify a metric source type");
	if (!wanted)
		fe_not_supported(fe, &type_at, type, types);
	for (size_t i = 0; i < ARRAY_LEN(choices); i++) {
		const struct val *src = val_member(m, choices[i].source);

		if (src && n++ == 0)
			autoscaling_source(fe, &choices[i], src, at, any_version);
	}
	if (!wanted)
		fe_not_supported(fe, &type_at, type, types); /* upstream says it twice */
	else if (!val_member(m, wanted))
		fe_required_why(fe, &wanted_at, "must populate information for the given metric source");
	for (size_t i = 0; n != 1 && i < ARRAY_LEN(choices); i++) {
		struct fpath here = FPATH(at, choices[i].source);

		if (choices[i].source != wanted && val_member(m, choices[i].source))
			fe_forbidden(fe, &here, "must populate the given metric source only");
	}
}

/* Has one whose object's version could not be read before either? */
static bool autoscaling_odd_versions(struct arena *a, const struct val *metrics)
{
	VAL_EACH(metrics, m)
		if (val_is(val_member(m, F_type), "Object") && val_member(m, F_object) &&
		    autoscaling_version_fault(a, val_get_str(m, F_object, F_describedObject, F_apiVersion), true))
			return true;
	return false;
}

static void autoscaling_metrics(struct field_errs *fe, const struct val *spec, const struct fpath *up,
				const struct val *old)
{
	const struct val *min = val_member(spec, F_minReplicas);
	bool any_version = autoscaling_odd_versions(fe->a, val_get(old, F_spec, F_metrics)), from_zero = false;
	struct fpath at = FPATH(up, F_metrics);
	size_t i = 0;

	VAL_EACH(val_member(spec, F_metrics), m) {
		struct fpath here = FPATH_AT(&at, i++);
		enum sym of = autoscaler_member_of(val_get_str(m, F_type));

		autoscaling_metric(fe, m, &here, any_version);
		from_zero |= of == F_object || of == F_external;
	}
	if (min && val_int_or(min, 1) == 0 && !from_zero)
		fe_forbidden(fe, &at,
			     "must specify at least one Object or External metric to support scaling to zero replicas");
}

/* --- behavior --- */

static void autoscaling_check_policy(struct field_errs *fe, const struct val *p, const struct fpath *at)
{
	static const char *const types[] = { "Percent", "Pods", NULL };
	const struct val *value = val_member(p, F_value), *period = val_member(p, F_periodSeconds);
	const struct val *type = val_new_str(fe->a, val_get_str(p, F_type));
	struct fpath type_at = FPATH(at, F_type), value_at = FPATH(at, F_value), period_at = FPATH(at, F_periodSeconds);

	check_one_of(fe, type, &type_at, types);
	if (val_int_or(value, 0) <= 0)
		fe_invalid(fe, &value_at, value, "must be greater than zero");
	if (val_int_or(period, 0) <= 0)
		fe_invalid(fe, &period_at, period, "must be greater than zero");
	if (val_int_or(period, 0) > PERIOD_MAX)
		fe_add(fe, FE_INVALID, &period_at, period, "must be less than or equal to %d", PERIOD_MAX);
}

static void autoscaling_check_rules(struct field_errs *fe, const struct val *behavior, const struct fpath *up,
				    enum sym way)
{
	const struct val *rules = val_member(behavior, way), *window = val_member(rules, F_stabilizationWindowSeconds);
	const struct val *policies = val_member(rules, F_policies), *tolerance = val_member(rules, F_tolerance);
	struct fpath at = FPATH(up, way), window_at = FPATH(&at, F_stabilizationWindowSeconds),
		     select_at = FPATH(&at, F_selectPolicy), policies_at = FPATH(&at, F_policies),
		     tolerance_at = FPATH(&at, F_tolerance);
	size_t i = 0;

	if (!rules)
		return;
	if (window && val_int_or(window, 0) < 0)
		fe_invalid(fe, &window_at, window, "must be greater than or equal to zero");
	if (window && val_int_or(window, 0) > WINDOW_MAX)
		fe_add(fe, FE_INVALID, &window_at, window, "must be less than or equal to %d", WINDOW_MAX);
	CHECK_ONE_OF(fe, val_member(rules, F_selectPolicy), &select_at, "Disabled", "Max", "Min");
	if (!val_len(policies))
		fe_required_why(fe, &policies_at, "must specify at least one Policy");
	VAL_EACH(policies, p) {
		struct fpath here = FPATH_AT(&policies_at, i++);

		autoscaling_check_policy(fe, p, &here);
	}
	if (tolerance && quantity_cmp(val_str(tolerance), SV("0")) < 0)
		fe_invalid(fe, &tolerance_at, tolerance, MSG_NONNEGATIVE);
}

/* --- the object --- */

static void autoscaling_bounds(struct field_errs *fe, const struct val *spec, const struct fpath *at)
{
	const struct val *min = val_member(spec, F_minReplicas),
			 *max = val_new_int(fe->a, val_get_int(spec, 0, F_maxReplicas));
	struct fpath min_at = FPATH(at, F_minReplicas), max_at = FPATH(at, F_maxReplicas);

	if (min && val_int_or(min, 0) < 0)
		fe_invalid(fe, &min_at, min, MSG_NONNEGATIVE);
	if (max->i == 0)
		fe_required_why(fe, &max_at, "must be set and greater than 0");
	else if (max->i < 0)
		fe_invalid(fe, &max_at, max, "must be greater than 0");
	if (min && max->i < val_int_or(min, 0))
		fe_invalid(fe, &max_at, max, "must be greater than or equal to `minReplicas`");
}

void validate_autoscaler(struct field_errs *fe, const struct val *doc, const struct val *old, const char *sub)
{
	const struct val *v2 = autoscaler_as_v2(fe->a, doc), *was = autoscaler_as_v2(fe->a, old);
	const struct val *spec = val_member(v2, F_spec), *ref = val_member(spec, F_scaleTargetRef);
	const struct val *old_ref = val_get(was, F_spec, F_scaleTargetRef);
	struct fpath spec_at = FPATH_ROOT(F_spec), status_at = FPATH_ROOT(F_status),
		     ref_at = FPATH(&spec_at, F_scaleTargetRef), behavior_at = FPATH(&spec_at, F_behavior);
	/* What is as it was is not judged again, and there is one kind in core that can be scaled. */
	bool same = was && sv_eq(val_get_str(ref, F_apiVersion), val_get_str(old_ref, F_apiVersion)) &&
		    sv_eq(val_get_str(ref, F_kind), val_get_str(old_ref, F_kind));

	if (is_sub(sub, "status")) {
		CHECK_NONNEGATIVE(fe, val_member(v2, F_status), &status_at, F_currentReplicas, F_desiredReplicas);
		return;
	}
	autoscaling_bounds(fe, spec, &spec_at);
	autoscaling_reference(fe, ref, &ref_at, val_is(val_member(ref, F_kind), "ReplicationController"), same);
	autoscaling_metrics(fe, spec, &spec_at, was);
	autoscaling_check_rules(fe, val_member(spec, F_behavior), &behavior_at, F_scaleUp);
	autoscaling_check_rules(fe, val_member(spec, F_behavior), &behavior_at, F_scaleDown);
}
