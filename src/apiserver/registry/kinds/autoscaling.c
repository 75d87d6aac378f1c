/* HorizontalPodAutoscaler: autoscaling/v2 is stored and the hub, autoscaling/v1 the same by another name for what it
 * can say and in annotations for the rest (object/autoscaler.h).
 *
 * A v1 object that is written becomes what it will be read as at once: its annotations are made anew, so that what one
 * says of the status is not taken at the main endpoint, nor what another says of the spec at that of the status. */
#include "apiserver/registry/kinds/kinds.h"
#include "apiserver/versions.h"
#include "object/annotation.h"
#include "object/autoscaler.h"

/* --- defaults --- */

static void autoscaling_policy(struct arena *a, struct val *policies, const char *type, int64_t value)
{
	struct val *p = val_new_map(a);

	val_set_cstr(a, p, F_type, type);
	val_set_int(a, p, F_value, value);
	val_set_int(a, p, F_periodSeconds, 15);
	val_push(a, policies, p);
}

static void autoscaling_rules(struct arena *a, struct val *behavior, enum sym way)
{
	struct val *rules = val_ensure_map(a, behavior, way), *policies;

	if (way == F_scaleUp && !val_member(rules, F_stabilizationWindowSeconds))
		val_set_int(a, rules, F_stabilizationWindowSeconds, 0);
	if (!val_member(rules, F_selectPolicy))
		val_set_cstr(a, rules, F_selectPolicy, "Max");
	if (val_type(val_member(rules, F_policies)) == VAL_LIST) /* an empty one as well: the rules refuse it */
		return;
	policies = val_new_list(a);
	if (way == F_scaleUp)
		autoscaling_policy(a, policies, "Pods", 4);
	autoscaling_policy(a, policies, "Percent", 100);
	val_set(a, rules, F_policies, policies);
}

/* Of an object in the form of v2. */
static void autoscaling_default(struct arena *a, struct val *doc)
{
	struct val *spec = val_ensure_map(a, doc, F_spec), *behavior;

	if (!val_member(spec, F_minReplicas))
		val_set_int(a, spec, F_minReplicas, 1);
	if (!val_len(val_member(spec, F_metrics))) /* CPU, which v1 says by saying nothing */
		val_set(a, spec, F_metrics, val_get(autoscaler_to_v2(a, val_new_map(a)), F_spec, F_metrics));
	behavior = val_member_mut(spec, F_behavior);
	if (val_type(behavior) != VAL_MAP)
		return;
	autoscaling_rules(a, behavior, F_scaleUp);
	autoscaling_rules(a, behavior, F_scaleDown);
}

static void autoscaling_v2_defaults(struct api_req *q, struct val *doc)
{
	autoscaling_default(q->arena, doc);
}

/* --- conversion --- */

static int autoscaling_convert(const struct version_leg *leg, struct err *err)
{
	bool to_v2 = leg->to == RES(autoscaling_horizontalpodautoscalers);

	(void)err;
	for (size_t i = 0; i < leg->n; i++) {
		struct val *made =
		    to_v2 ? autoscaler_to_v2(leg->a, leg->docs[i]) : autoscaler_to_v1(leg->a, leg->docs[i]);

		/* As upstream's: what is stored has the defaults of the version it is stored in. */
		if (to_v2) {
			val_thaw(leg->a, made);
			autoscaling_default(leg->a, made);
		}
		leg->out[i] = made;
	}
	return 0;
}

static const struct version both[] = { { RES(autoscaling_horizontalpodautoscalers), NULL },
				       { RES(autoscaling_horizontalpodautoscalers_v1), NULL } };
static const struct versions autoscaling_versions = { .storage = RES(autoscaling_horizontalpodautoscalers),
						      .hub = RES(autoscaling_horizontalpodautoscalers),
						      .all = both,
						      .n = ARRAY_LEN(both),
						      .convert = autoscaling_convert };

/* --- v1 as it is written --- */

/* Makes what doc wants what v2 wants. Its status stands as it is, but for what annotations say of it: that is taken
 * from another document, or goes with NULL. */
static void autoscaling_settle(struct arena *a, struct val *doc, struct val *v2, const struct val *status_of)
{
	static const char *const of_status[] = { AUTOSCALER_CURRENT_METRICS, AUTOSCALER_CONDITIONS };
	struct val *made, *meta = val_ensure_map(a, doc, F_metadata);

	val_del(v2, F_status);
	made = autoscaler_to_v1(a, v2);
	for (size_t i = 0; i < ARRAY_LEN(of_status); i++) {
		struct sv text = annotation_of(status_of, of_status[i]);

		if (text.n)
			annotation_set(a, made, of_status[i], text);
	}
	if (val_get(made, F_metadata, F_annotations))
		val_set(a, meta, F_annotations, val_get(made, F_metadata, F_annotations));
	else
		val_del(meta, F_annotations);
	val_set(a, doc, F_spec, val_member(made, F_spec));
	val_thaw(a, doc);
}

static void autoscaling_v1_defaults(struct api_req *q, struct val *doc)
{
	autoscaling_settle(q->arena, doc, autoscaler_to_v2(q->arena, doc), doc);
}

static void autoscaling_v1_create(struct api_req *q, struct val *doc)
{
	autoscaling_settle(q->arena, doc, autoscaler_to_v2(q->arena, doc), NULL);
}

static void autoscaling_v1_update(struct api_req *q, const struct val *old, struct val *doc)
{
	bool of_status = q->sub && strcmp(q->sub->name, "status") == 0;
	struct val *v2 = autoscaler_to_v2(q->arena, doc), *was = autoscaler_to_v2(q->arena, old);

	/* What is wanted may be in the annotations alone, where nobody counts it. */
	if (of_status)
		keep_member(q->arena, v2, was, F_spec);
	else if (!val_same(val_member(v2, F_spec), val_member(was, F_spec)))
		val_set_int(q->arena, val_ensure_map(q->arena, doc, F_metadata), F_generation,
			    val_get_int(old, 0, F_metadata, F_generation) + 1);
	autoscaling_settle(q->arena, doc, v2, of_status ? doc : old);
}

const struct strategy horizontalpodautoscaler_strategy = {
	.res = RES(autoscaling_horizontalpodautoscalers),
	.unconditional_update = true,
	.set_defaults = autoscaling_v2_defaults,
	.versions = &autoscaling_versions,
};

const struct strategy horizontalpodautoscaler_v1_strategy = {
	.res = RES(autoscaling_horizontalpodautoscalers_v1),
	.unconditional_update = true,
	.set_defaults = autoscaling_v1_defaults,
	.prepare_create = autoscaling_v1_create,
	.prepare_update = autoscaling_v1_update,
	.versions = &autoscaling_versions,
};
