/* pods.c - Pod: what may be created, and the little that may change afterwards. */
#include "apiserver/registry/validate/kinds-internal.h"
#include "object/pod_refs.h"

/* A shallow copy of map that may be changed. */
static struct val *copy_map(struct arena *a, const struct val *map)
{
	struct val *out = val_new_map(a);

	VAL_EACH_MEMBER(map, m)
		val_set_sv(a, out, m.key, m.value);
	return out;
}

/* now's list with the members `name` of the items as old's have them. */
static const struct val *with_old(struct arena *a, const struct val *now, const struct val *old, enum sym name)
{
	struct val *out = val_new_list(a);
	size_t i = 0;

	VAL_EACH(now, c) {
		const struct val *was = val_member(val_at(old, i++), name);
		struct val *copy = copy_map(a, c);

		if (was)
			val_set(a, copy, name, was);
		else
			val_del(copy, name);
		val_push(a, out, copy);
	}
	return out;
}

static void put(struct arena *a, struct val *spec, enum sym name, const struct val *v)
{
	if (v)
		val_set(a, spec, name, v);
	else
		val_del(spec, name);
}

static bool same_but_seconds(struct arena *a, const struct val *x, const struct val *y)
{
	struct val *xs = copy_map(a, x), *ys = copy_map(a, y);

	val_del(xs, F_tolerationSeconds);
	val_del(ys, F_tolerationSeconds);
	return val_equal(xs, ys);
}

/* Tolerations may be added, and an old one's time may change. */
static bool tolerations_kept(struct arena *a, const struct val *now, const struct val *old)
{
	VAL_EACH(old, o) {
		bool found = false;

		VAL_EACH(now, n)
			found = found || same_but_seconds(a, n, o);
		if (!found)
			return false;
	}
	return true;
}

static void deadline(struct field_errs *fe, const struct val *now, const struct val *old, const struct fpath *at)
{
	if (now) {
		check_range(fe, now, at, 0, INT32_MAX);
		if (old && val_int_or(now, 0) > val_int_or(old, 0))
			fe_invalid(fe, at, now, "must be less than or equal to previous value");
	} else if (old) {
		fe_invalid(fe, at, NULL, "must not update from a positive integer to nil value");
	}
}

static bool gates_only_removed(const struct val *now, const struct val *old)
{
	VAL_EACH(now, n) {
		bool found = false;

		VAL_EACH(old, o)
			found = found || val_equal(n, o);
		if (!found)
			return false;
	}
	return true;
}

/* now's affinity with old's nodeAffinity; absent where nothing else is in either. */
static const struct val *with_old_node_affinity(struct arena *a, const struct val *now, const struct val *old)
{
	struct val *out = copy_map(a, now);

	put(a, out, F_nodeAffinity, val_member(old, F_nodeAffinity));
	return out->n || old ? out : NULL;
}

bool containers_kept(struct field_errs *fe, const struct val *now, const struct val *was, const struct fpath *at)
{
	if (val_len(now) == val_len(was))
		return true;
	fe_forbidden(fe, at, "pod updates may not add or remove containers");
	return false;
}

static void validate_pod_update(struct field_errs *fe, const struct val *doc, const struct val *old)
{
	const struct val *now = val_member(doc, F_spec), *was = val_member(old, F_spec);
	const struct val *grace = val_member(now, F_terminationGracePeriodSeconds);
	const struct val *gated = val_member(was, F_schedulingGates);
	struct fpath at = FPATH_ROOT(F_spec), dl_at = FPATH(&at, F_activeDeadlineSeconds);
	struct fpath c_at = FPATH(&at, F_containers), i_at = FPATH(&at, F_initContainers);
	struct fpath tol_at = FPATH(&at, F_tolerations), gate_at = FPATH(&at, F_schedulingGates);
	struct val *munged;

	if (!containers_kept(fe, val_member(now, F_containers), val_member(was, F_containers), &c_at) ||
	    !containers_kept(fe, val_member(now, F_initContainers), val_member(was, F_initContainers), &i_at))
		return;
	deadline(fe, val_member(now, F_activeDeadlineSeconds), val_member(was, F_activeDeadlineSeconds), &dl_at);
	if (!tolerations_kept(fe->a, val_member(now, F_tolerations), val_member(was, F_tolerations)))
		fe_forbidden(fe, &tol_at, "existing toleration can not be modified except its tolerationSeconds");
	if (!gates_only_removed(val_member(now, F_schedulingGates), gated))
		fe_forbidden(fe, &gate_at, "only deletion is allowed, but found new scheduling gates");

	/* The rest must be equal once what may change is put back. */
	munged = copy_map(fe->a, now);
	put(fe->a, munged, F_activeDeadlineSeconds, val_member(was, F_activeDeadlineSeconds));
	put(fe->a, munged, F_tolerations, val_member(was, F_tolerations));
	put(fe->a, munged, F_schedulingGates, gated);
	if (val_len(gated)) { /* not placed yet: where it may go can still be narrowed down */
		put(fe->a, munged, F_nodeSelector, val_member(was, F_nodeSelector));
		put(fe->a, munged, F_affinity,
		    with_old_node_affinity(fe->a, val_member(now, F_affinity), val_member(was, F_affinity)));
	}
	if (val_get_int(was, 0, F_terminationGracePeriodSeconds) < 0 && val_int_or(grace, 0) == 1)
		put(fe->a, munged, F_terminationGracePeriodSeconds, val_member(was, F_terminationGracePeriodSeconds));
	if (val_len(val_member(now, F_containers)))
		put(fe->a, munged, F_containers,
		    with_old(fe->a, val_member(now, F_containers), val_member(was, F_containers), F_image));
	if (val_len(val_member(now, F_initContainers)))
		put(fe->a, munged, F_initContainers,
		    with_old(fe->a, val_member(now, F_initContainers), val_member(was, F_initContainers), F_image));
	if (!val_equal(munged, was))
		fe_forbidden(fe, &at,
			     "pod updates may not change fields other than `spec.containers[*].image`,"
			     "`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only "
			     "additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be "
			     "set to 1 if it was previously negative)");
	/* While gated, a node selector may only get narrower. */
	VAL_EACH_MEMBER(val_len(gated) ? val_member(was, F_nodeSelector) : NULL, m) {
		struct fpath sel_at = FPATH(&at, F_nodeSelector);
		const struct val *v = val_member_sv(val_member(now, F_nodeSelector), m.key);

		if (!v || !val_equal(v, m.value)) {
			fe_invalid(fe, &sel_at, val_member(now, F_nodeSelector),
				   "only additions to spec.nodeSelector are allowed (no mutations or deletions)");
			break;
		}
	}
}

/* Ephemeral containers are added to a running pod and never change again. */
static void ephemeral_update(struct field_errs *fe, const struct val *doc, const struct val *old)
{
	const struct val *now = val_get(doc, F_spec, F_ephemeralContainers);
	struct fpath spec_at = FPATH_ROOT(F_spec), at = FPATH(&spec_at, F_ephemeralContainers);

	VAL_EACH(val_get(old, F_spec, F_ephemeralContainers), o) {
		const struct val *same = NULL;

		VAL_EACH(now, n)
			if (sv_eq(val_get_str(n, F_name), val_get_str(o, F_name)))
				same = n;
		if (!same)
			fe_add(fe, FE_FORBIDDEN, &at, NULL,
			       "existing ephemeral containers \"%.*s\" may not be removed\n",
			       SV_ARG(val_get_str(o, F_name)));
		else if (!val_equal(same, o))
			fe_add(fe, FE_FORBIDDEN, &at, NULL,
			       "existing ephemeral containers \"%.*s\" may not be changed\n",
			       SV_ARG(val_get_str(o, F_name)));
	}
}

/* What has ended stays ended, unless the kubelet may start it again. */
static void status_update(struct field_errs *fe, const struct val *doc, const struct val *old)
{
	struct fpath spec_at = FPATH_ROOT(F_spec), node_at = FPATH(&spec_at, F_nodeName);
	struct fpath st_at = FPATH_ROOT(F_status), cs_at = FPATH(&st_at, F_containerStatuses);
	struct fpath nom_at = FPATH(&st_at, F_nominatedNodeName);
	const struct val *policy = val_get(doc, F_spec, F_restartPolicy);
	size_t i = 0;

	if (!sv_eq(val_get_str(doc, F_spec, F_nodeName), val_get_str(old, F_spec, F_nodeName)))
		fe_forbidden(fe, &node_at, "may not be changed directly");
	if (val_get_str(doc, F_status, F_nominatedNodeName).n)
		check_text(fe, val_get(doc, F_status, F_nominatedNodeName), &nom_at, fmt_dns_subdomain);
	if (!val_is(policy, "Never") && !val_is(policy, "OnFailure"))
		return;
	VAL_EACH(val_get(doc, F_status, F_containerStatuses), c) {
		struct fpath item = FPATH_AT(&cs_at, i++), state_at = FPATH(&item, F_state);

		if (val_get(c, F_state, F_terminated))
			continue;
		VAL_EACH(val_get(old, F_status, F_containerStatuses), o) {
			const struct val *end = val_get(o, F_state, F_terminated);

			if (!end || !sv_eq(val_get_str(o, F_name), val_get_str(c, F_name)))
				continue;
			if (val_is(policy, "OnFailure") && val_get_int(end, 0, F_exitCode) != 0)
				continue;
			fe_forbidden(fe, &state_at, "may not be transitioned to non-terminated state");
		}
	}
}

static void annotations(struct field_errs *fe, const struct val *doc)
{
	static const char cost_key[] = "controller.kubernetes.io/pod-deletion-cost",
			  mirror_key[] = POD_MIRROR_ANNOTATION;
	const struct val *all = val_get(doc, F_metadata, F_annotations), *cost, *mirror;
	struct fpath meta_at = FPATH_ROOT(F_metadata), at = FPATH(&meta_at, F_annotations),
		     cost_at = FPATH_KEY(&at, sv_from(cost_key)), mirror_at = FPATH_KEY(&at, sv_from(mirror_key));
	int64_t n;

	if (!val_len(all))
		return;
	cost = val_member_sv(all, sv_from(cost_key));
	mirror = val_member_sv(all, sv_from(mirror_key));
	if (cost && (!sv_to_i64(val_str(cost), &n) || n < INT32_MIN || n > INT32_MAX))
		fe_invalid(fe, &cost_at, cost, "must be a 32bit integer");
	if (mirror && !val_get_str(doc, F_spec, F_nodeName).n)
		fe_invalid(fe, &mirror_at, mirror, "must set spec.nodeName if mirror pod annotation is set");
}

/* What a pod stands for is said when it is made. A node's mirror pod would otherwise become one that its node may
 * read Secrets for. */
static void mirror_stays(struct field_errs *fe, const struct val *doc, const struct val *old)
{
	struct fpath meta_at = FPATH_ROOT(F_metadata), at = FPATH(&meta_at, F_annotations),
		     mirror_at = FPATH_KEY(&at, SV(POD_MIRROR_ANNOTATION));
	const struct val *was = val_member_sv(val_get(old, F_metadata, F_annotations), SV(POD_MIRROR_ANNOTATION)),
			 *now = val_member_sv(val_get(doc, F_metadata, F_annotations), SV(POD_MIRROR_ANNOTATION));

	if (was && !(now && val_equal(was, now)))
		fe_forbidden(fe, &mirror_at, "may not remove or update mirror pod annotation");
	else if (!was && now)
		fe_forbidden(fe, &mirror_at, "may not add mirror pod annotation");
}

void validate_pod(struct field_errs *fe, const struct val *doc, const struct val *old, const char *sub)
{
	struct fpath at = FPATH_ROOT(F_spec), eph_at = FPATH(&at, F_ephemeralContainers),
		     node_at = FPATH(&at, F_nodeName);
	const struct val *spec = val_member(doc, F_spec);

	if (old)
		mirror_stays(fe, doc, old);
	if (is_sub(sub, "status")) {
		status_update(fe, doc, old);
		return;
	}
	validate_pod_spec(fe, spec, &at, false);
	annotations(fe, doc);
	if (!old) {
		if (val_len(val_member(spec, F_ephemeralContainers)))
			fe_forbidden(fe, &eph_at, "cannot be set on create");
		if (val_get_str(spec, F_nodeName).n && val_len(val_member(spec, F_schedulingGates)))
			fe_forbidden(fe, &node_at, "cannot be set until all schedulingGates have been cleared");
	} else if (is_sub(sub, "ephemeralcontainers")) {
		ephemeral_update(fe, doc, old);
	} else if (is_sub(sub, "resize")) {
		validate_pod_resize(fe, doc, old);
	} else if (!sub) {
		validate_pod_update(fe, doc, old);
	}
}

void validate_pod_template_kind(struct field_errs *fe, const struct val *doc, const struct val *old, const char *sub)
{
	struct fpath at = FPATH_ROOT(F_template);

	(void)old;
	(void)sub;
	validate_pod_template(fe, val_member(doc, F_template), &at);
}
