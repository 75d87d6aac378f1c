/* The two versions of HorizontalPodAutoscaler as tables: where a member of one stands in the other. */
#include "object/autoscaler.h"
#include "base/buf.h"
#include "codec/json.h"
#include "object/annotation.h"
#include "object/decode.h"
#include "object/quantity.h"

#define DEFAULT_CPU_PERCENT 80

/* A member of v1, and where it is in v2: directly, or in a struct. */
struct autoscaler_move {
	enum sym v1, in, v2;
};
#define MOVES(...) ((const struct autoscaler_move[]){ __VA_ARGS__, { SYM_NONE, SYM_NONE, SYM_NONE } })

/* A source of metrics. In v2 its target says of which type it is, in v1 that follows from which member is there. */
struct autoscaler_source {
	const char *type; /* of a metric that has it */
	enum sym name;
	const struct autoscaler_move *wanted, *measured; /* in metrics, in currentMetrics */
	enum sym decides;
	const char *there, *absent; /* the type if that member of the target is there, and if not */
};

static const struct autoscaler_source sources[] = {
	{ "Object", F_object,
	  MOVES({ F_target, SYM_NONE, F_describedObject }, { F_targetValue, F_target, F_value },
		{ F_averageValue, F_target, F_averageValue }, { F_metricName, F_metric, F_name },
		{ F_selector, F_metric, F_selector }),
	  MOVES({ F_target, SYM_NONE, F_describedObject }, { F_currentValue, F_current, F_value },
		{ F_averageValue, F_current, F_averageValue }, { F_metricName, F_metric, F_name },
		{ F_selector, F_metric, F_selector }),
	  F_averageValue, "AverageValue", "Value" },
	{ "Pods", F_pods,
	  MOVES({ F_targetAverageValue, F_target, F_averageValue }, { F_metricName, F_metric, F_name },
		{ F_selector, F_metric, F_selector }),
	  MOVES({ F_currentAverageValue, F_current, F_averageValue }, { F_metricName, F_metric, F_name },
		{ F_selector, F_metric, F_selector }),
	  F_averageValue, "AverageValue", "AverageValue" },
	{ "Resource", F_resource,
	  MOVES({ F_name, SYM_NONE, F_name }, { F_targetAverageUtilization, F_target, F_averageUtilization },
		{ F_targetAverageValue, F_target, F_averageValue }),
	  MOVES({ F_name, SYM_NONE, F_name }, { F_currentAverageUtilization, F_current, F_averageUtilization },
		{ F_currentAverageValue, F_current, F_averageValue }),
	  F_averageUtilization, "Utilization", "AverageValue" },
	{ "ContainerResource", F_containerResource,
	  MOVES({ F_name, SYM_NONE, F_name }, { F_container, SYM_NONE, F_container },
		{ F_targetAverageUtilization, F_target, F_averageUtilization },
		{ F_targetAverageValue, F_target, F_averageValue }),
	  MOVES({ F_name, SYM_NONE, F_name }, { F_container, SYM_NONE, F_container },
		{ F_currentAverageUtilization, F_current, F_averageUtilization },
		{ F_currentAverageValue, F_current, F_averageValue }),
	  F_averageUtilization, "Utilization", "AverageValue" },
	{ "External", F_external,
	  MOVES({ F_metricName, F_metric, F_name }, { F_metricSelector, F_metric, F_selector },
		{ F_targetValue, F_target, F_value }, { F_targetAverageValue, F_target, F_averageValue }),
	  MOVES({ F_metricName, F_metric, F_name }, { F_metricSelector, F_metric, F_selector },
		{ F_currentValue, F_current, F_value }, { F_currentAverageValue, F_current, F_averageValue }),
	  F_value, "Value", "AverageValue" },
};

enum sym autoscaler_member_of(struct sv type)
{
	for (size_t i = 0; i < ARRAY_LEN(sources); i++)
		if (sv_is(type, sources[i].type))
			return sources[i].name;
	return SYM_NONE;
}

static void autoscaler_take(struct arena *a, struct val *to, const struct val *from, enum sym name)
{
	const struct val *v = val_member(from, name);

	if (val_type(v) != VAL_NULL)
		val_set(a, to, name, v);
}

/* --- one metric --- */

static struct val *autoscaler_source_to_v2(struct arena *a, const struct autoscaler_source *s, const struct val *from,
					   bool measured)
{
	struct val *out = val_new_map(a), *target;

	for (const struct autoscaler_move *m = measured ? s->measured : s->wanted; m->v1; m++) {
		const struct val *v = val_member(from, m->v1);

		if (val_type(v) != VAL_NULL)
			val_set(a, m->in ? val_ensure_map(a, out, m->in) : out, m->v2, v);
	}
	if (measured)
		return out;
	target = val_ensure_map(a, out, F_target);
	val_set_cstr(a, target, F_type, val_member(target, s->decides) ? s->there : s->absent);
	/* The value of an Object cannot be absent in v1. */
	if (s->name == F_object && val_member(target, F_averageValue) &&
	    quantity_cmp(val_get_str(target, F_value), SV("0")) == 0)
		val_del(target, F_value);
	return out;
}

static struct val *autoscaler_source_to_v1(struct arena *a, const struct autoscaler_source *s, const struct val *from,
					   bool measured)
{
	struct val *out = val_new_map(a);

	for (const struct autoscaler_move *m = measured ? s->measured : s->wanted; m->v1; m++) {
		const struct val *v = val_member(m->in ? val_member(from, m->in) : from, m->v2);

		if (val_type(v) != VAL_NULL)
			val_set(a, out, m->v1, v);
	}
	return out;
}

/* Which sources are there is for the rules of the kind to judge: all are converted. */
static struct val *autoscaler_metric(struct arena *a, const struct val *from, bool measured, bool to_v2)
{
	struct val *out = val_new_map(a);

	autoscaler_take(a, out, from, F_type);
	for (size_t i = 0; i < ARRAY_LEN(sources); i++) {
		const struct val *v = val_member(from, sources[i].name);

		if (val_type(v) != VAL_MAP)
			continue;
		val_set(a, out, sources[i].name,
			to_v2 ? autoscaler_source_to_v2(a, &sources[i], v, measured)
			      : autoscaler_source_to_v1(a, &sources[i], v, measured));
	}
	return out;
}

static bool autoscaler_is_cpu(const struct val *metric)
{
	return val_is(val_member(metric, F_type), "Resource") && val_is(val_get(metric, F_resource, F_name), "cpu");
}

/* The one metric that v1 knows, in v2. */
static struct val *autoscaler_cpu(struct arena *a, bool measured, const struct val *percent)
{
	struct val *metric = val_new_map(a), *res = val_new_map(a), *how = val_new_map(a);

	if (!measured)
		val_set_cstr(a, how, F_type, "Utilization");
	val_set(a, how, F_averageUtilization, percent);
	val_set_cstr(a, res, F_name, "cpu");
	val_set(a, res, measured ? F_current : F_target, how);
	val_set_cstr(a, metric, F_type, "Resource");
	val_set(a, metric, F_resource, res);
	return metric;
}

/* --- the texts of annotations --- */

/* What Go's decoder makes of it for that type: names in any case, unknown ones ignored. As deep as the types are. */
static const struct val *autoscaler_fold(struct arena *a, const struct schema *s, const struct val *v);

static const struct field *autoscaler_field(const struct schema *s, struct sv name)
{
	for (size_t i = 0; i < s->n_fields; i++)
		if (sv_ieq(sym_name(s->fields[i].sym), name))
			return &s->fields[i];
	return NULL;
}

static const struct val *autoscaler_fold_field(struct arena *a, const struct field *f, const struct val *v)
{
	struct val *list;

	if (f->kind != FIELD_STRUCT || f->card == CARD_MAP)
		return v;
	if (f->card == CARD_ONE)
		return autoscaler_fold(a, f->type, v);
	if (val_type(v) != VAL_LIST)
		return v;
	list = val_new_list(a);
	VAL_EACH(v, e)
		val_push(a, list, autoscaler_fold(a, f->type, e));
	return list;
}

static const struct val *autoscaler_fold(struct arena *a, const struct schema *s, const struct val *v)
{
	struct val *out;

	if (val_type(v) != VAL_MAP)
		return v;
	out = val_new_map(a);
	VAL_EACH_MEMBER(v, m) {
		const struct field *f = autoscaler_field(s, m.key);

		if (f)
			val_set(a, out, f->sym, autoscaler_fold_field(a, f, m.value));
	}
	return out;
}

static struct val *autoscaler_typed(struct arena *a, const struct schema *s, const struct val *v)
{
	_cleanup_(err_release) struct err why = ERR_INIT;

	return decode_typed(a, s, v->type == VAL_NULL ? val_new_map(a) : autoscaler_fold(a, s, v), NULL, &why);
}

static const struct val *autoscaler_read(struct arena *a, const struct val *doc, const char *name)
{
	_cleanup_(err_release) struct err why = ERR_INIT;
	struct sv text = annotation_of(doc, name);
	struct budget values = BUDGET(doc_values_limit);

	return text.n ? json_decode(a, text, &(struct json_opts){ .values = &values }, &why) : NULL;
}

/* Its elements as the type ref has them; NULL: there are none, or one is not of that type. */
static struct val *autoscaler_read_list(struct arena *a, const struct val *doc, const char *name, struct sv ref)
{
	const struct schema *s = schema_find(ref);
	struct val *list = val_new_list(a);

	VAL_EACH(autoscaler_read(a, doc, name), e) {
		struct val *v = autoscaler_typed(a, s, e);

		if (!v)
			return NULL;
		val_push(a, list, v);
	}
	return val_len(list) ? list : NULL;
}

static struct val *autoscaler_read_behavior(struct arena *a, const struct val *doc)
{
	const struct val *v = autoscaler_read(a, doc, AUTOSCALER_BEHAVIOR);
	struct val *b;

	if (val_type(v) != VAL_MAP)
		return NULL;
	b = autoscaler_typed(a, schema_find(SV("autoscaling/v2.HorizontalPodAutoscalerBehavior")), v);
	return val_len(b) ? b : NULL;
}

/* As Go encodes a struct whose fields have no JSON names: with their own, and all of them. */
static struct val *autoscaler_go_form(struct arena *a, const struct schema *s, const struct val *v)
{
	struct val *out = val_new_map(a);

	for (size_t i = 0; i < s->n_fields; i++) {
		const struct field *f = &s->fields[i];
		const struct val *is = val_member(v, f->sym);
		char *name = arena_cstr(a, sym_name(f->sym));
		struct val *list;

		if (*name >= 'a' && *name <= 'z')
			*name = (char)(*name - 'a' + 'A');
		if (val_type(is) == VAL_LIST && f->kind == FIELD_STRUCT) {
			list = val_new_list(a);
			VAL_EACH(is, e)
				val_push(a, list, autoscaler_go_form(a, f->type, e));
			is = list;
		} else if (val_type(is) == VAL_MAP && f->kind == FIELD_STRUCT) {
			is = autoscaler_go_form(a, f->type, is);
		}
		val_set_sv(a, out, sv_from(name), is);
	}
	return out;
}

static void autoscaler_write(struct arena *a, struct val *annotations, const char *name, const struct val *v)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	json_encode(&b, v);
	val_set_str_sv(a, annotations, sv_from(name), buf_sv(&b));
}

/* A list of v2 as elements of v1's type. */
static void autoscaler_write_list(struct arena *a, struct val *annotations, const char *name, const struct val *list,
				  struct sv ref)
{
	const struct schema *s = schema_find(ref);
	struct val *typed = val_new_list(a);

	VAL_EACH(list, e) {
		struct val *v = autoscaler_typed(a, s, e);

		if (v)
			val_push(a, typed, v);
	}
	if (val_len(typed))
		autoscaler_write(a, annotations, name, typed);
}

/* --- the object --- */

static struct val *autoscaler_new(struct arena *a, const char *api_version)
{
	struct val *out = val_new_map(a);

	val_set_cstr(a, out, F_kind, "HorizontalPodAutoscaler");
	val_set_cstr(a, out, F_apiVersion, api_version);
	return out;
}

/* Its annotations without those that say what v1 cannot. */
static struct val *autoscaler_annotations(struct arena *a, const struct val *doc)
{
	static const char *const ours[] = { AUTOSCALER_METRICS, AUTOSCALER_BEHAVIOR, AUTOSCALER_CURRENT_METRICS,
					    AUTOSCALER_CONDITIONS };
	const struct val *all = val_get(doc, F_metadata, F_annotations);
	struct val *out = val_type(all) == VAL_MAP ? val_clone_nodes(a, all) : val_new_map(a);

	for (size_t i = 0; i < ARRAY_LEN(ours); i++)
		(void)val_del_sv(out, sv_from(ours[i]));
	return out;
}

static struct val *autoscaler_metadata(struct arena *a, const struct val *doc, const struct val *annotations)
{
	struct val *out = val_new_map(a);

	VAL_EACH_MEMBER(val_member(doc, F_metadata), m)
		if (m.sym && m.sym != F_annotations)
			val_set(a, out, m.sym, m.value);
	if (val_len(annotations))
		val_set(a, out, F_annotations, annotations);
	return out;
}

/* What both versions have in the same words. */
static struct val *autoscaler_common(struct arena *a, const struct val *doc, bool of_status)
{
	static const enum sym wanted[] = { F_scaleTargetRef, F_minReplicas, F_maxReplicas, SYM_NONE };
	static const enum sym is[] = { F_observedGeneration, F_lastScaleTime, F_currentReplicas, F_desiredReplicas,
				       SYM_NONE };
	struct val *out = val_new_map(a);

	for (const enum sym *f = of_status ? is : wanted; *f; f++)
		autoscaler_take(a, out, val_member(doc, of_status ? F_status : F_spec), *f);
	return out;
}

/* The metrics of an annotation, then the one that v1 has itself. */
static struct val *autoscaler_metrics_to_v2(struct arena *a, const struct val *v1)
{
	const struct val *percent = val_get(v1, F_spec, F_targetCPUUtilizationPercentage);
	struct val *metrics = val_new_list(a);

	VAL_EACH(autoscaler_read_list(a, v1, AUTOSCALER_METRICS, SV("autoscaling/v1.MetricSpec")), m)
		val_push(a, metrics, autoscaler_metric(a, m, false, true));
	if (val_type(percent) == VAL_INT)
		val_push(a, metrics, autoscaler_cpu(a, false, percent));
	if (!val_len(metrics))
		val_push(a, metrics, autoscaler_cpu(a, false, val_new_int(a, DEFAULT_CPU_PERCENT)));
	return metrics;
}

/* Those of the annotation know more than the one that v1 has itself, which is among them. */
static void autoscaler_status_to_v2(struct arena *a, const struct val *v1, struct val *status)
{
	const struct val *percent = val_get(v1, F_status, F_currentCPUUtilizationPercentage), *conditions;
	struct val *metrics = val_new_list(a);

	VAL_EACH(autoscaler_read_list(a, v1, AUTOSCALER_CURRENT_METRICS, SV("autoscaling/v1.MetricStatus")), m)
		val_push(a, metrics, autoscaler_metric(a, m, true, true));
	if (!val_len(metrics) && val_type(percent) == VAL_INT)
		val_push(a, metrics, autoscaler_cpu(a, true, percent));
	if (val_len(metrics))
		val_set(a, status, F_currentMetrics, metrics);
	conditions =
	    autoscaler_read_list(a, v1, AUTOSCALER_CONDITIONS, SV("autoscaling/v1.HorizontalPodAutoscalerCondition"));
	if (conditions)
		val_set(a, status, F_conditions, conditions);
}

struct val *autoscaler_to_v2(struct arena *a, const struct val *v1)
{
	struct val *out = autoscaler_new(a, "autoscaling/v2"), *spec = autoscaler_common(a, v1, false),
		   *status = autoscaler_common(a, v1, true), *behavior = autoscaler_read_behavior(a, v1);

	val_set(a, spec, F_metrics, autoscaler_metrics_to_v2(a, v1));
	if (behavior)
		val_set(a, spec, F_behavior, behavior);
	autoscaler_status_to_v2(a, v1, status);
	val_set(a, out, F_metadata, autoscaler_metadata(a, v1, autoscaler_annotations(a, v1)));
	val_set(a, out, F_spec, spec);
	val_set(a, out, F_status, status);
	return out;
}

/* The first CPU metric counts if it is in per cent; every one in per cent is left out of the others, as upstream has
 * it. */
static struct val *autoscaler_spec_to_v1(struct arena *a, const struct val *v2, struct val *annotations)
{
	struct val *spec = autoscaler_common(a, v2, false), *others = val_new_list(a);
	const struct val *behavior = val_get(v2, F_spec, F_behavior);
	bool seen = false;

	VAL_EACH(val_get(v2, F_spec, F_metrics), m) {
		const struct val *percent = val_get(m, F_resource, F_target, F_averageUtilization);
		bool cpu = autoscaler_is_cpu(m), in_percent = cpu && val_type(percent) == VAL_INT;

		if (in_percent && !seen)
			val_set(a, spec, F_targetCPUUtilizationPercentage, percent);
		if (!in_percent)
			val_push(a, others, autoscaler_metric(a, m, false, false));
		seen |= cpu;
	}
	autoscaler_write_list(a, annotations, AUTOSCALER_METRICS, others, SV("autoscaling/v1.MetricSpec"));
	if (val_type(behavior) == VAL_MAP)
		autoscaler_write(
		    a, annotations, AUTOSCALER_BEHAVIOR,
		    autoscaler_go_form(a, schema_find(SV("autoscaling/v2.HorizontalPodAutoscalerBehavior")), behavior));
	return spec;
}

static struct val *autoscaler_status_to_v1(struct arena *a, const struct val *v2, struct val *annotations)
{
	struct val *status = autoscaler_common(a, v2, true), *all = val_new_list(a);

	VAL_EACH(val_get(v2, F_status, F_currentMetrics), m) {
		const struct val *percent = val_get(m, F_resource, F_current, F_averageUtilization);

		if (autoscaler_is_cpu(m) && val_type(percent) == VAL_INT)
			val_set(a, status, F_currentCPUUtilizationPercentage, percent);
		val_push(a, all, autoscaler_metric(a, m, true, false));
	}
	autoscaler_write_list(a, annotations, AUTOSCALER_CURRENT_METRICS, all, SV("autoscaling/v1.MetricStatus"));
	autoscaler_write_list(a, annotations, AUTOSCALER_CONDITIONS, val_get(v2, F_status, F_conditions),
			      SV("autoscaling/v1.HorizontalPodAutoscalerCondition"));
	return status;
}

struct val *autoscaler_to_v1(struct arena *a, const struct val *v2)
{
	struct val *out = autoscaler_new(a, "autoscaling/v1"), *annotations = autoscaler_annotations(a, v2),
		   *spec = autoscaler_spec_to_v1(a, v2, annotations),
		   *status = autoscaler_status_to_v1(a, v2, annotations);

	val_set(a, out, F_metadata, autoscaler_metadata(a, v2, val_sorted(a, annotations)));
	val_set(a, out, F_spec, spec);
	val_set(a, out, F_status, status);
	return out;
}

const struct val *autoscaler_as_v2(struct arena *a, const struct val *doc)
{
	return val_is(val_member(doc, F_apiVersion), "autoscaling/v1") ? autoscaler_to_v2(a, doc) : doc;
}
