/* apps and batch: defaults that depend on other fields; generated Job selectors. */
#include "apiserver/registry/kinds/kinds.h"
#include "object/annotation.h"

static struct val *ensure_rolling(struct api_req *q, struct val *doc, enum sym strategy)
{
	struct val *s = val_get_mut(doc, F_spec, strategy);

	if (!val_is(val_get(s, F_type), "RollingUpdate"))
		return NULL;
	return val_ensure_map(q->arena, s, F_rollingUpdate);
}

static void deployment_defaults(struct api_req *q, struct val *doc)
{
	struct val *rolling = ensure_rolling(q, doc, F_strategy);

	if (rolling) {
		if (!val_get(rolling, F_maxUnavailable))
			val_set_cstr(q->arena, rolling, F_maxUnavailable, "25%");
		if (!val_get(rolling, F_maxSurge))
			val_set_cstr(q->arena, rolling, F_maxSurge, "25%");
	}
	default_pod_template(q->arena, val_get_mut(doc, F_spec));
}

/* Its annotations are its ReplicaSets' as well. */
static const char *const deployment_counted[] = { "spec", "metadata.annotations", NULL };

static const struct kept_on deployment_kept[] = {
	{ "status", (const char *const[]){ "spec", "metadata.labels", NULL } },
	{ NULL, NULL },
};

const struct strategy deployment_strategy = {
	.res = RES(apps_deployments),
	.kept = deployment_kept,
	.unconditional_update = true,
	.counted = deployment_counted,
	.set_defaults = deployment_defaults,
	.warn = warn_of_pod,
};

static void workloads_template_defaults(struct api_req *q, struct val *doc)
{
	default_pod_template(q->arena, val_get_mut(doc, F_spec));
}

const struct strategy replicaset_strategy = {
	.res = RES(apps_replicasets),
	.unconditional_update = true,
	.set_defaults = workloads_template_defaults,
	.warn = warn_of_pod,
};

/* Counts the templates a DaemonSet has had; a field once, kept as an annotation for those who read it. */
#define TEMPLATE_GENERATION "deprecated.daemonset.template.generation"

static void set_template_generation(struct api_req *q, struct val *doc, int64_t n)
{
	annotation_set(q->arena, doc, TEMPLATE_GENERATION, arena_svf(q->arena, "%" PRId64, n));
}

static void daemonset_defaults(struct api_req *q, struct val *doc)
{
	struct val *rolling = ensure_rolling(q, doc, F_updateStrategy);
	int64_t n = 0;

	if (rolling) {
		if (!val_get(rolling, F_maxUnavailable))
			val_set_int(q->arena, rolling, F_maxUnavailable, 1);
		if (!val_get(rolling, F_maxSurge))
			val_set_int(q->arena, rolling, F_maxSurge, 0);
	}
	default_pod_template(q->arena, val_get_mut(doc, F_spec));
	(void)sv_to_i64(annotation_of(doc, TEMPLATE_GENERATION), &n);
	set_template_generation(q, doc, MAX(n, 1));
}

static void daemonset_update(struct api_req *q, const struct val *old, struct val *doc)
{
	bool changed = !val_equal(val_get(doc, F_spec, F_template), val_get(old, F_spec, F_template));
	int64_t was = 0;

	/* The first of them was a client's to say. */
	(void)sv_to_i64(annotation_of(old, TEMPLATE_GENERATION), &was);
	set_template_generation(q, doc, was < INT64_MAX ? was + changed : was);
}

const struct strategy daemonset_strategy = {
	.res = RES(apps_daemonsets),
	.unconditional_update = true,
	.set_defaults = daemonset_defaults,
	.prepare_update = daemonset_update,
	.warn = warn_of_pod,
};

static void statefulset_defaults(struct api_req *q, struct val *doc)
{
	struct val *update = val_ensure_map(q->arena, val_ensure_map(q->arena, doc, F_spec), F_updateStrategy),
		   *rolling, *claims;

	/* Its type alone, without rollingUpdate, stays alone. */
	if (!val_get_str(update, F_type).n) {
		val_set_cstr(q->arena, update, F_type, "RollingUpdate");
		(void)ensure_rolling(q, doc, F_updateStrategy);
	}
	rolling = val_get_mut(update, F_rollingUpdate);
	if (val_is(val_get(update, F_type), "RollingUpdate") && rolling && !val_get(rolling, F_partition))
		val_set_int(q->arena, rolling, F_partition, 0);
	claims = val_get_mut(doc, F_spec, F_volumeClaimTemplates);
	for (size_t i = 0; i < val_len(claims); i++) { /* whole objects, with their type */
		val_set_cstr(q->arena, val_at_mut(claims, i), F_apiVersion, "v1");
		val_set_cstr(q->arena, val_at_mut(claims, i), F_kind, "PersistentVolumeClaim");
	}
	default_pod_template(q->arena, val_get_mut(doc, F_spec));
}

const struct strategy statefulset_strategy = {
	.res = RES(apps_statefulsets),
	.name_check = fmt_dns_label,
	.unconditional_update = true,
	.set_defaults = statefulset_defaults,
	.warn = warn_of_pod,
};

const struct strategy controllerrevision_strategy = {
	.res = RES(apps_controllerrevisions),
	.unconditional_update = true,
	.no_generation = true,
};

static void rc_defaults(struct api_req *q, struct val *doc)
{
	const struct val *labels = val_get(doc, F_spec, F_template, F_metadata, F_labels);

	if (val_len(labels)) {
		if (!val_len(val_get(doc, F_spec, F_selector)))
			val_set(q->arena, val_get_mut(doc, F_spec), F_selector, val_clone(q->arena, labels));
		if (!val_len(val_get(doc, F_metadata, F_labels)))
			val_set(q->arena, val_get_mut(doc, F_metadata), F_labels, val_clone(q->arena, labels));
	}
	default_pod_template(q->arena, val_get_mut(doc, F_spec));
}

const struct strategy replicationcontroller_strategy = {
	.res = RES(core_replicationcontrollers),
	.map_selector = true,
	.scale_group = "autoscaling",
	.unconditional_update = true,
	.set_defaults = rc_defaults,
	.default_propagation = "Orphan",
	.warn = warn_of_pod,
};

/* --- batch --- */

static void default_job_spec(struct api_req *q, struct val *spec)
{
	if (!spec)
		return;
	if (!val_get(spec, F_completionMode))
		val_set_cstr(q->arena, spec, F_completionMode, "NonIndexed");
	if (!val_get(spec, F_suspend))
		val_set_bool(q->arena, spec, F_suspend, false);
	if (!val_get(spec, F_manualSelector))
		val_set_bool(q->arena, spec, F_manualSelector, false);
	if (!val_get(spec, F_completions) && !val_get(spec, F_parallelism)) {
		val_set_int(q->arena, spec, F_completions, 1);
		val_set_int(q->arena, spec, F_parallelism, 1);
	}
	if (!val_get(spec, F_parallelism))
		val_set_int(q->arena, spec, F_parallelism, 1);
	if (!val_get(spec, F_backoffLimit))
		val_set_int(q->arena, spec, F_backoffLimit, val_get(spec, F_backoffLimitPerIndex) ? INT32_MAX : 6);
	if (!val_get(spec, F_podReplacementPolicy))
		val_set_cstr(q->arena, spec, F_podReplacementPolicy,
			     val_get(spec, F_podFailurePolicy) ? "Failed" : "TerminatingOrFailed");
	default_pod_template(q->arena, spec);
}

static void job_defaults(struct api_req *q, struct val *doc)
{
	const struct val *labels = val_get(doc, F_spec, F_template, F_metadata, F_labels);

	if (val_len(labels) && !val_len(val_get(doc, F_metadata, F_labels)) && val_get(doc, F_metadata))
		val_set(q->arena, val_get_mut(doc, F_metadata), F_labels, labels); /* shared: job_create looks for it */
	default_job_spec(q, val_get_mut(doc, F_spec));
}

/* Without manualSelector the Job finds its pods by labels nobody else can have. */
static void job_create(struct api_req *q, struct val *doc)
{
	struct arena *a = q->arena;
	struct sv uid = val_get_str(doc, F_metadata, F_uid), name = val_get_str(doc, F_metadata, F_name);
	struct val *spec = val_get_mut(doc, F_spec), *meta = val_ensure_map(a, doc, F_metadata), *labels, *match;
	const struct val *own = val_member(meta, F_labels), *of_pods = val_get(spec, F_template, F_metadata, F_labels);
	/* A Job without labels of its own has its template's, those that are made here among them. */
	bool copied = !val_len(own) || (of_pods && own->items == of_pods->items);

	if (!spec || val_get_bool(spec, F_manualSelector))
		return;
	if (copied && val_len(own))
		val_set(a, meta, F_labels, val_clone_nodes(a, own));
	labels = val_ensure_map(a, val_ensure_map(a, val_ensure_map(a, spec, F_template), F_metadata), F_labels);
	val_set_str_sv(a, labels, SV("batch.kubernetes.io/controller-uid"), uid);
	val_set_str_sv(a, labels, SV("batch.kubernetes.io/job-name"), name);
	val_set_str_sv(a, labels, SV("controller-uid"), uid);
	val_set_str_sv(a, labels, SV("job-name"), name);
	if (copied)
		val_set(a, meta, F_labels, val_clone_nodes(a, labels));
	match = val_ensure_map(a, val_ensure_map(a, spec, F_selector), F_matchLabels);
	val_set_str_sv(a, match, SV("batch.kubernetes.io/controller-uid"), uid);
}

static bool job_field(const struct val *job, struct sv label, struct sv *ret)
{
	if (!sv_is(label, "status.successful"))
		return false;
	*ret = val_get_int(job, 0, F_status, F_succeeded) ? SV("1") : SV("0");
	return true;
}

const struct strategy job_strategy = {
	.res = RES(batch_jobs),
	.unconditional_update = true,
	.set_defaults = job_defaults,
	.prepare_create = job_create,
	.field_label = job_field,
	.default_propagation = "Orphan",
	.warn = warn_of_pod,
};

static void cronjob_defaults(struct api_req *q, struct val *doc)
{
	/* The Job's own defaults come when a Job is made of it. */
	default_pod_template(q->arena, val_get_mut(doc, F_spec, F_jobTemplate, F_spec));
}

const struct strategy cronjob_strategy = {
	.res = RES(batch_cronjobs),
	.unconditional_update = true,
	.set_defaults = cronjob_defaults,
	.warn = warn_of_pod,
};
