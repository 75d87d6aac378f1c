/* workloads.c - controllers of pods: selectors, templates, strategies, jobs. */
#include "apiserver/registry/validate/kinds-internal.h"

#include "base/tz.h"
#include "object/cron.h"
#include "object/selector.h"

/* What is made must be found again. Without a selector nothing is. False: the selector cannot be read. */
static bool selector_finds_template(struct field_errs *fe, const struct val *sel, const struct val *spec,
				    const struct fpath *at)
{
	struct fpath tmpl_at = FPATH(at, F_template), meta_at = FPATH(&tmpl_at, F_metadata),
		     labels_at = FPATH(&meta_at, F_labels);
	const struct val *labels = val_get(spec, F_template, F_metadata, F_labels);
	const struct selector *s = sel ? selector_from_label_selector(fe->a, sel, NULL) : NULL;

	if (sel && !s)
		return false;
	if (!s || !selector_matches(s, labels))
		fe_invalid(fe, &labels_at, labels ? labels : val_new_map(fe->a),
			   "`selector` does not match template `labels`");
	return true;
}

static const struct val *read_selector(struct field_errs *fe, const struct val *spec, const struct fpath *at,
				       const char *kind)
{
	const struct val *sel = val_member(spec, F_selector);
	struct fpath sel_at = FPATH(at, F_selector);

	if (val_type(sel) != VAL_MAP)
		return NULL;
	validate_label_selector(fe, sel, &sel_at);
	if (val_len(val_member(sel, F_matchLabels)) + val_len(val_member(sel, F_matchExpressions)) == 0)
		fe_add(fe, FE_INVALID, &sel_at, sel, "empty selector is invalid for %s", kind);
	return sel;
}

/* Pods that run for ever. of: who upstream says forbids a deadline. */
static void always_restarts(struct field_errs *fe, const struct val *spec, const struct fpath *at, const char *of)
{
	struct fpath tmpl_at = FPATH(at, F_template), pod_at = FPATH(&tmpl_at, F_spec);
	struct fpath policy_at = FPATH(&pod_at, F_restartPolicy), dl_at = FPATH(&pod_at, F_activeDeadlineSeconds);
	const struct val *pod = val_get(spec, F_template, F_spec), *policy = val_member(pod, F_restartPolicy);
	static const char *const always[] = { "Always", NULL };

	if (policy && !val_is(policy, "Always"))
		fe_not_supported(fe, &policy_at, policy, always);
	if (val_member(pod, F_activeDeadlineSeconds))
		fe_add(fe, FE_FORBIDDEN, &dl_at, NULL, "activeDeadlineSeconds in %s is not Supported", of);
}

/* Of Deployments and ReplicaSets, whose templates have one rule. */
static void selector_and_template(struct field_errs *fe, const struct val *spec, const struct val *was,
				  const struct fpath *at)
{
	const struct val *sel = read_selector(fe, spec, at, "deployment"); /* upstream's slip: one text for both */
	struct fpath sel_at = FPATH(at, F_selector), tmpl_at = FPATH(at, F_template);

	if (!sel)
		fe_required(fe, &sel_at);
	if (!selector_finds_template(fe, sel, spec, at)) {
		fe_invalid(fe, &sel_at, sel, "invalid label selector");
		return;
	}
	validate_pod_template(fe, val_member(spec, F_template), val_member(was, F_template), &tmpl_at, TEMPLATE);
	always_restarts(fe, spec, at, "ReplicaSet");
}

void validate_deployment(struct field_errs *fe, const struct val *doc, const struct val *old, const char *sub)
{
	const struct val *spec = val_member(doc, F_spec), *strategy = val_member(spec, F_strategy);
	const struct val *rolling = val_member(strategy, F_rollingUpdate),
			 *deadline = val_member(spec, F_progressDeadlineSeconds);
	struct fpath at = FPATH_ROOT(F_spec), st_at = FPATH_ROOT(F_status), s_at = FPATH(&at, F_strategy);
	struct fpath type_at = FPATH(&s_at, F_type), roll_at = FPATH(&s_at, F_rollingUpdate);
	struct fpath unav_at = FPATH(&roll_at, F_maxUnavailable), surge_at = FPATH(&roll_at, F_maxSurge);
	struct fpath dl_at = FPATH(&at, F_progressDeadlineSeconds);

	(void)old; /* the selector's immutability is the schema's */
	if (is_sub(sub, "status")) {
		check_status_counters(
		    fe, val_member(doc, F_status), &st_at,
		    (const enum sym[]){ F_updatedReplicas, F_readyReplicas, F_availableReplicas, SYM_NONE });
		return;
	}
	CHECK_NONNEGATIVE(fe, spec, &at, F_replicas);
	selector_and_template(fe, spec, val_member(old, F_spec), &at);
	if (val_is(val_member(strategy, F_type), "Recreate")) {
		if (rolling)
			fe_forbidden(fe, &roll_at, "may not be specified when strategy `type` is 'Recreate'");
	} else if (val_is(val_member(strategy, F_type), "RollingUpdate")) {
		if (!rolling)
			fe_required_why(fe, &roll_at, "this should be defaulted and never be nil");
		check_int_or_percent(fe, val_member(rolling, F_maxUnavailable), &unav_at, true);
		check_int_or_percent(fe, val_member(rolling, F_maxSurge), &surge_at, false);
		if (rolling && int_or_percent_number(val_member(rolling, F_maxUnavailable)) == 0 &&
		    int_or_percent_number(val_member(rolling, F_maxSurge)) == 0)
			fe_invalid(fe, &unav_at, val_member(rolling, F_maxUnavailable),
				   "may not be 0 when `maxSurge` is 0");
	} else {
		CHECK_ONE_OF(fe, val_member(strategy, F_type), &type_at, "Recreate", "RollingUpdate");
	}
	CHECK_NONNEGATIVE(fe, spec, &at, F_minReadySeconds, F_revisionHistoryLimit, F_progressDeadlineSeconds);
	if (deadline && val_int_or(deadline, 0) <= val_get_int(spec, 0, F_minReadySeconds))
		fe_invalid(fe, &dl_at, deadline, "must be greater than minReadySeconds");
}

void validate_replica_set(struct field_errs *fe, const struct val *doc, const struct val *old, const char *sub)
{
	const struct val *spec = val_member(doc, F_spec);
	struct fpath at = FPATH_ROOT(F_spec), st_at = FPATH_ROOT(F_status);

	(void)old;
	if (is_sub(sub, "status")) {
		check_status_counters(
		    fe, val_member(doc, F_status), &st_at,
		    (const enum sym[]){ F_fullyLabeledReplicas, F_readyReplicas, F_availableReplicas, SYM_NONE });
		return;
	}
	CHECK_NONNEGATIVE(fe, spec, &at, F_replicas, F_minReadySeconds);
	selector_and_template(fe, spec, val_member(old, F_spec), &at);
}

void validate_replication_controller(struct field_errs *fe, const struct val *doc, const struct val *old,
				     const char *sub)
{
	const struct val *spec = val_member(doc, F_spec), *sel = val_member(spec, F_selector);
	struct fpath at = FPATH_ROOT(F_spec), st_at = FPATH_ROOT(F_status), tmpl_at = FPATH(&at, F_template);
	struct fpath meta_at = FPATH(&tmpl_at, F_metadata), labels_at = FPATH(&meta_at, F_labels);
	const struct val *labels = val_get(spec, F_template, F_metadata, F_labels);

	(void)old;
	if (is_sub(sub, "status")) {
		check_status_counters(
		    fe, val_member(doc, F_status), &st_at,
		    (const enum sym[]){ F_fullyLabeledReplicas, F_readyReplicas, F_availableReplicas, SYM_NONE });
		return;
	}
	CHECK_NONNEGATIVE(fe, spec, &at, F_minReadySeconds, F_replicas);
	check_required(fe, spec, &at, F_selector);
	check_required(fe, spec, &at, F_template);
	if (val_len(sel) && !selector_matches(selector_from_map(fe->a, sel), labels))
		fe_invalid(fe, &labels_at, labels ? labels : val_new_map(fe->a),
			   "`selector` does not match template `labels`");
	if (val_member(spec, F_template))
		validate_pod_template(fe, val_member(spec, F_template), val_get(old, F_spec, F_template), &tmpl_at,
				      TEMPLATE);
	always_restarts(fe, spec, &at, "ReplicationController");
}

void validate_daemon_set(struct field_errs *fe, const struct val *doc, const struct val *old, const char *sub)
{
	const struct val *spec = val_member(doc, F_spec), *strategy = val_member(spec, F_updateStrategy);
	const struct val *rolling = val_member(strategy, F_rollingUpdate);
	struct fpath at = FPATH_ROOT(F_spec), st_at = FPATH_ROOT(F_status), s_at = FPATH(&at, F_updateStrategy);
	struct fpath roll_at = FPATH(&s_at, F_rollingUpdate), tmpl_at = FPATH(&at, F_template);
	struct fpath unav_at = FPATH(&roll_at, F_maxUnavailable), surge_at = FPATH(&roll_at, F_maxSurge);
	bool unavailable, surge;

	(void)old;
	if (is_sub(sub, "status")) {
		CHECK_NONNEGATIVE(fe, val_member(doc, F_status), &st_at, F_currentNumberScheduled, F_numberMisscheduled,
				  F_desiredNumberScheduled, F_numberReady, F_observedGeneration,
				  F_updatedNumberScheduled, F_numberAvailable, F_numberUnavailable, F_collisionCount);
		return;
	}
	/* Nothing demands the selector itself, and one that cannot be read has been said. */
	(void)selector_finds_template(fe, read_selector(fe, spec, &at, "daemonset"), spec, &at);
	validate_pod_template(fe, val_member(spec, F_template), val_get(old, F_spec, F_template), &tmpl_at, TEMPLATE);
	always_restarts(fe, spec, &at, "DaemonSet");
	CHECK_NONNEGATIVE(fe, spec, &at, F_minReadySeconds, F_revisionHistoryLimit);
	if (val_is(val_member(strategy, F_type), "OnDelete"))
		return;
	if (!val_is(val_member(strategy, F_type), "RollingUpdate")) {
		static const char *const known[] = { "RollingUpdate", "OnDelete", NULL };

		fe_not_supported(fe, &s_at, strategy, known);
		return;
	}
	if (!rolling) {
		fe_required(fe, &roll_at);
		return;
	}
	check_int_or_percent(fe, val_member(rolling, F_maxUnavailable), &unav_at, true);
	check_int_or_percent(fe, val_member(rolling, F_maxSurge), &surge_at, true);
	unavailable = int_or_percent_number(val_member(rolling, F_maxUnavailable)) != 0;
	surge = int_or_percent_number(val_member(rolling, F_maxSurge)) != 0;
	if (unavailable && surge)
		fe_invalid(fe, &surge_at, val_member(rolling, F_maxSurge),
			   "may not be set when maxUnavailable is non-zero");
	else if (!unavailable && !surge)
		fe_required_why(fe, &unav_at, "cannot be 0 when maxSurge is 0");
}

static void claim_templates(struct field_errs *fe, const struct val *spec, const struct fpath *up)
{
	struct fpath at = FPATH(up, F_volumeClaimTemplates);
	size_t i = 0;

	VAL_EACH(val_member(spec, F_volumeClaimTemplates), c) {
		struct fpath item = FPATH_AT(&at, i++), spec_at = FPATH(&item, F_spec);

		validate_pvc_spec(fe, val_member(c, F_spec), &spec_at);
	}
}

static void set_update_strategy(struct field_errs *fe, const struct val *spec, const struct fpath *up)
{
	const struct val *strategy = val_member(spec, F_updateStrategy),
			 *rolling = val_member(strategy, F_rollingUpdate);
	struct fpath at = FPATH(up, F_updateStrategy), type_at = FPATH(&at, F_type),
		     roll_at = FPATH(&at, F_rollingUpdate), unav_at = FPATH(&roll_at, F_maxUnavailable);

	if (val_is(val_member(strategy, F_type), "OnDelete")) {
		if (rolling)
			fe_invalid(fe, &roll_at, rolling, "only allowed for updateStrategy 'RollingUpdate'");
	} else if (!val_is(val_member(strategy, F_type), "RollingUpdate")) {
		if (strategy && val_member(strategy, F_type))
			fe_invalid(fe, &at, strategy, "must be 'RollingUpdate' or 'OnDelete'");
		else
			fe_required(fe, &type_at);
	}
	CHECK_NONNEGATIVE(fe, rolling, &roll_at, F_partition);
	check_int_or_percent(fe, val_member(rolling, F_maxUnavailable), &unav_at, true);
}

static void set_claim_retention(struct field_errs *fe, const struct val *spec, const struct fpath *up)
{
	const struct val *policy = val_member(spec, F_persistentVolumeClaimRetentionPolicy);
	struct fpath at = FPATH(up, F_persistentVolumeClaimRetentionPolicy), del_at = FPATH(&at, F_whenDeleted),
		     scale_at = FPATH(&at, F_whenScaled);

	if (!policy)
		return;
	CHECK_ONE_OF(fe, val_member(policy, F_whenDeleted), &del_at, "Retain", "Delete");
	CHECK_ONE_OF(fe, val_member(policy, F_whenScaled), &scale_at, "Retain", "Delete");
}

/* The spec without what an update may change. */
static struct val *set_fixed_part(struct arena *a, const struct val *spec)
{
	static const enum sym may_change[] = { F_replicas,
					       F_ordinals,
					       F_template,
					       F_updateStrategy,
					       F_persistentVolumeClaimRetentionPolicy,
					       F_minReadySeconds,
					       F_revisionHistoryLimit };
	struct val *fixed = val_new_map(a);

	VAL_EACH_MEMBER(spec, m)
		val_set_sv(a, fixed, m.key, m.value);
	for (size_t i = 0; i < ARRAY_LEN(may_change); i++)
		val_del(fixed, may_change[i]);
	return fixed;
}

void validate_stateful_set(struct field_errs *fe, const struct val *doc, const struct val *old, const char *sub)
{
	const struct val *spec = val_member(doc, F_spec), *sel, *policy = val_member(spec, F_podManagementPolicy);
	const struct val *unavailable = val_get(spec, F_updateStrategy, F_rollingUpdate, F_maxUnavailable);
	struct fpath at = FPATH_ROOT(F_spec), st_at = FPATH_ROOT(F_status), s_at = FPATH(&at, F_updateStrategy),
		     roll_at = FPATH(&s_at, F_rollingUpdate), unav_at = FPATH(&roll_at, F_maxUnavailable),
		     policy_at = FPATH(&at, F_podManagementPolicy), ord_at = FPATH(&at, F_ordinals),
		     svc_at = FPATH(&at, F_serviceName), sel_at = FPATH(&at, F_selector),
		     tmpl_at = FPATH(&at, F_template);

	if (is_sub(sub, "status")) {
		check_status_counters(fe, val_member(doc, F_status), &st_at,
				      (const enum sym[]){ F_readyReplicas, F_currentReplicas, F_updatedReplicas,
							  F_availableReplicas, SYM_NONE });
		return;
	}
	set_update_strategy(fe, spec, &at);
	set_claim_retention(fe, spec, &at);
	CHECK_NONNEGATIVE(fe, spec, &at, F_replicas, F_minReadySeconds);
	CHECK_NONNEGATIVE(fe, val_member(spec, F_ordinals), &ord_at, F_start);
	if (policy && !val_is(policy, "OrderedReady") && !val_is(policy, "Parallel"))
		fe_invalid(fe, &policy_at, policy, "must be 'OrderedReady' or 'Parallel'");
	if (unavailable && int_or_percent_number(unavailable) == 0)
		fe_invalid(fe, &unav_at, unavailable, "cannot be 0");
	if (!old && val_get_str(spec, F_serviceName).n)
		check_text(fe, val_member(spec, F_serviceName), &svc_at, fmt_dns_label);
	if (!old)
		claim_templates(fe, spec, &at);
	sel = read_selector(fe, spec, &at, "statefulset");
	if (!sel)
		fe_required(fe, &sel_at);
	if (selector_finds_template(fe, sel, spec, &at))
		validate_pod_template(fe, val_member(spec, F_template), val_get(old, F_spec, F_template), &tmpl_at,
				      TEMPLATE_WITH_CLAIMS);
	else
		fe_add(fe, FE_INVALID, &sel_at, sel, NULL);
	always_restarts(fe, spec, &at, "StatefulSet");
	if (old && !val_equal(set_fixed_part(fe->a, spec), set_fixed_part(fe->a, val_member(old, F_spec))))
		fe_forbidden(fe, &at,
			     "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', "
			     "'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and "
			     "'minReadySeconds' are forbidden");
}

void validate_controller_revision(struct field_errs *fe, const struct val *doc, const struct val *old, const char *sub)
{
	struct fpath data_at = FPATH_ROOT(F_data);

	(void)sub;
	if (val_type(val_member(doc, F_data)) == VAL_NULL)
		fe_required_why(fe, &data_at, "data is mandatory");
	else if (!old && val_type(val_member(doc, F_data)) != VAL_MAP)
		fe_invalid(fe, &data_at, val_member(doc, F_data), "must be a JSON object");
	CHECK_NONNEGATIVE(fe, doc, NULL, F_revision);
	if (old)
		check_immutable(fe, doc, old, NULL, F_data);
}

/* --- jobs --- */

/* Labels only this Job's pods have, and a selector by them. */
static void generated_selector(struct field_errs *fe, const struct val *doc)
{
	static const struct {
		const char *key;
		bool uid;
	} all[] = { { "batch.kubernetes.io/controller-uid", true },
		    { "controller-uid", true },
		    { "batch.kubernetes.io/job-name", false },
		    { "job-name", false } };
	struct sv uid = val_get_str(doc, F_metadata, F_uid), name = val_get_str(doc, F_metadata, F_name);
	struct fpath at = FPATH_ROOT(F_spec), sel_at = FPATH(&at, F_selector), tmpl_at = FPATH(&at, F_template),
		     labels_at = FPATH(&tmpl_at, F_labels);
	const struct val *spec = val_member(doc, F_spec), *sel = val_member(spec, F_selector);
	const struct val *labels = val_get(spec, F_template, F_metadata, F_labels);
	struct val *expected = val_new_map(fe->a);
	const struct selector *s;

	if (val_get_bool(spec, F_manualSelector) || !sel)
		return;
	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		struct sv key = sv_from(all[i].key), want = all[i].uid ? uid : name;
		const struct val *v = val_member_sv(labels, key);
		struct fpath here = FPATH_KEY(&labels_at, key);

		if (!v)
			fe_add(fe, FE_REQUIRED, &here, NULL, "must be '%.*s'", SV_ARG(want));
		else if (!sv_eq(val_str(v), want))
			fe_add(fe, FE_INVALID, &here, labels, "must be '%.*s'", SV_ARG(want));
		if (all[i].uid)
			val_set_str_sv(fe->a, expected, key, uid);
	}
	s = selector_from_label_selector(fe->a, sel, NULL);
	if (s && !selector_matches(s, expected))
		fe_invalid(fe, &sel_at, sel, "`selector` not auto-generated");
}

/* A suspended Job's template may still be told where its pods go and what they ask for. */
static const struct val *with_directives_of(struct arena *a, const struct val *now, const struct val *was)
{
	static const enum sym directives[] = { F_nodeSelector, F_tolerations, F_schedulingGates };
	static const enum sym metas[] = { F_labels, F_annotations };
	static const enum sym lists[] = { F_containers, F_initContainers };
	struct val *out = val_clone_nodes(a, was), *spec = val_ensure_map(a, out, F_spec),
		   *meta = val_ensure_map(a, out, F_metadata);
	const struct val *node = val_get(now, F_spec, F_affinity, F_nodeAffinity);
	struct val *aff;

	for (size_t i = 0; i < ARRAY_LEN(directives); i++)
		put_member(a, spec, directives[i], val_get(now, F_spec, directives[i]));
	for (size_t i = 0; i < ARRAY_LEN(metas); i++)
		put_member(a, meta, metas[i], val_get(now, F_metadata, metas[i]));
	if (node || val_get(was, F_spec, F_affinity)) {
		aff = val_ensure_map(a, spec, F_affinity);
		put_member(a, aff, F_nodeAffinity, node);
		if (!val_len(aff) && !val_get(now, F_spec, F_affinity))
			val_del(spec, F_affinity);
	}
	for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
		struct val *list = val_member_mut(spec, lists[i]);

		for (size_t k = 0; k < val_len(list); k++)
			put_member(a, val_at_mut(list, k), F_resources,
				   val_get(val_at(val_get(now, F_spec, lists[i]), k), F_resources));
	}
	return out;
}

static void validate_job_spec(struct field_errs *fe, const struct val *spec, const struct val *was,
			      const struct fpath *at, bool in_cronjob)
{
	struct fpath sel_at = FPATH(at, F_selector), tmpl_at = FPATH(at, F_template), pod_at = FPATH(&tmpl_at, F_spec);
	struct fpath policy_at = FPATH(&pod_at, F_restartPolicy), par_at = FPATH(at, F_parallelism);
	struct fpath comp_at = FPATH(at, F_completions), manual_at = FPATH(at, F_manualSelector);
	const struct val *sel = val_member(spec, F_selector),
			 *policy = val_get(spec, F_template, F_spec, F_restartPolicy);
	bool indexed = val_is(val_member(spec, F_completionMode), "Indexed");

	CHECK_NONNEGATIVE(fe, spec, at, F_parallelism, F_completions, F_activeDeadlineSeconds, F_backoffLimit,
			  F_ttlSecondsAfterFinished, F_backoffLimitPerIndex, F_maxFailedIndexes);
	if (indexed && !val_member(spec, F_completions))
		fe_required_why(fe, &comp_at, "when completion mode is Indexed");
	if (indexed && val_get_int(spec, 0, F_parallelism) > 100000)
		fe_invalid(fe, &par_at, val_member(spec, F_parallelism),
			   "must be less than or equal to 100000 when completion mode is Indexed");
	if (in_cronjob) {
		if (sel)
			fe_invalid(fe, &sel_at, sel, "`selector` will be auto-generated");
		if (val_get_bool(spec, F_manualSelector)) {
			static const char *const off[] = { "nil", "false", NULL };

			fe_not_supported(fe, &manual_at, val_member(spec, F_manualSelector), off);
		}
	} else if (!sel) {
		fe_required(fe, &sel_at);
	} else {
		validate_label_selector(fe, sel, &sel_at);
	}
	if (!in_cronjob)
		(void)selector_finds_template(fe, sel, spec, at);
	validate_pod_template(fe, val_member(spec, F_template), val_member(was, F_template), &tmpl_at, TEMPLATE);
	validate_job_policies(fe, spec, at);
	if (val_member(spec, F_podFailurePolicy) && !val_is(policy, "Never"))
		fe_invalid(fe, &policy_at, policy, "only \"Never\" is supported when podFailurePolicy is specified");
	else if (!val_is(policy, "OnFailure") && !val_is(policy, "Never"))
		fe_add(fe, FE_REQUIRED, &policy_at, NULL, "valid values: \"OnFailure\", \"Never\"");
}

void validate_job(struct field_errs *fe, const struct val *doc, const struct val *old, const char *sub)
{
	const struct val *spec = val_member(doc, F_spec), *was = val_member(old, F_spec);
	struct fpath at = FPATH_ROOT(F_spec), comp_at = FPATH(&at, F_completions);
	struct fpath tmpl_at = FPATH(&at, F_template);
	bool indexed = val_is(val_member(spec, F_completionMode), "Indexed");
	const struct val *tmpl;

	if (is_sub(sub, "status")) {
		validate_job_status(fe, doc, old);
		return;
	}
	generated_selector(fe, doc);
	validate_job_spec(fe, spec, was, &at, false);
	if (!old) {
		validate_indexed_name(fe, doc);
		return;
	}
	/* An indexed job may grow and shrink, completions and parallelism as one. */
	if (!indexed)
		fe_immutable(fe, &comp_at, val_member(spec, F_completions), val_member(was, F_completions));
	else if (val_member(spec, F_completions) &&
		 !val_same(val_member(spec, F_completions), val_member(was, F_completions)) &&
		 val_get_int(spec, 0, F_completions) != val_get_int(spec, 0, F_parallelism))
		fe_invalid(fe, &comp_at, val_member(spec, F_completions),
			   "can only be modified in tandem with spec.parallelism");
	check_immutable(fe, spec, was, &at, F_selector);
	tmpl = val_member(was, F_template);
	if (val_get_bool(was, F_suspend) && !val_get_int(old, 0, F_status, F_active))
		tmpl = with_directives_of(fe->a, val_member(spec, F_template), tmpl);
	fe_immutable(fe, &tmpl_at, val_member(spec, F_template), tmpl);
	check_immutable(fe, spec, was, &at, F_completionMode);
	check_immutable(fe, spec, was, &at, F_podFailurePolicy);
	check_immutable(fe, spec, was, &at, F_backoffLimitPerIndex);
	check_immutable(fe, spec, was, &at, F_managedBy);
	check_immutable(fe, spec, was, &at, F_successPolicy);
}

void validate_cron_job(struct field_errs *fe, const struct val *doc, const struct val *old, const char *sub)
{
	const struct val *spec = val_member(doc, F_spec), *zone = val_member(spec, F_timeZone);
	struct fpath at = FPATH_ROOT(F_spec), sched_at = FPATH(&at, F_schedule), zone_at = FPATH(&at, F_timeZone);
	struct fpath tmpl_at = FPATH(&at, F_jobTemplate), job_at = FPATH(&tmpl_at, F_spec),
		     meta_at = FPATH_ROOT(F_metadata);
	struct fpath name_at = FPATH(&meta_at, F_name);
	struct sv schedule = val_get_str(spec, F_schedule);
	_cleanup_(err_release) struct err why = ERR_INIT, no_zone = ERR_INIT;
	struct cron cron;

	if (is_sub(sub, "status"))
		return;
	if (!old && val_get_str(doc, F_metadata, F_name).n > 52)
		fe_invalid(fe, &name_at, val_get(doc, F_metadata, F_name), "must be no more than 52 characters");
	if (schedule.n == 0)
		fe_required(fe, &sched_at);
	else if (sv_find_sv(schedule, SV("TZ")) >= 0)
		fe_format(fe, &sched_at, schedule, "cannot use TZ or CRON_TZ in schedule, use timeZone field instead");
	else if (cron_parse(schedule, &cron, &why) < 0)
		fe_add(fe, FE_INVALID, &sched_at, val_member(spec, F_schedule), "%s", err_msg(&why));
	if (zone && val_str(zone).n == 0)
		fe_invalid(fe, &zone_at, zone, "timeZone must be nil or non-empty string");
	else if (val_is(zone, "Local") || val_is(zone, "local"))
		fe_invalid(fe, &zone_at, zone,
			   "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones");
	else if (zone && !val_equal(zone, val_get(old, F_spec, F_timeZone)) && !tz_load(fe->a, val_str(zone), &no_zone))
		fe_add(fe, FE_INVALID, &zone_at, zone, "%s", err_msg(&no_zone));
	CHECK_NONNEGATIVE(fe, spec, &at, F_startingDeadlineSeconds, F_successfulJobsHistoryLimit,
			  F_failedJobsHistoryLimit);
	validate_job_spec(fe, val_get(spec, F_jobTemplate, F_spec), val_get(old, F_spec, F_jobTemplate, F_spec),
			  &job_at, true);
}
