/* pods.c - Pod: what may be created, and the little that may change afterwards. */
#include "apiserver/registry/validate/kinds-internal.h"

#include "base/strmap.h"
#include "codec/doc_items.h"
#include "codec/val_index.h"
#include "object/list_index.h"
#include "object/pod_refs.h"

#define DEVICE_MESSAGE_MAX 1024

/* A shallow copy of map that may be changed. */
static struct val *copy_map(struct arena *a, const struct val *map)
{
	struct val *out = val_new_map(a);

	VAL_EACH_MEMBER(map, m)
		val_append_sv(a, out, m.key, m.value);
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

		put_member(a, copy, name, was);
		val_push(a, out, copy);
	}
	return out;
}

/* The list's tolerations without their times. */
static const struct val *without_seconds(struct arena *a, const struct val *list)
{
	struct val *out = val_new_list(a);

	VAL_EACH(list, t) {
		struct val *copy = copy_map(a, t);

		val_del(copy, F_tolerationSeconds);
		val_push(a, out, copy);
	}
	return out;
}

/* Tolerations may be added, and an old one's time may change. */
static bool tolerations_kept(struct arena *a, const struct val *now, const struct val *old)
{
	struct list_index kept = list_index_of(a, without_seconds(a, now), SYM_NONE);

	VAL_EACH(without_seconds(a, old), o)
		if (list_index_find(&kept, o) < 0)
			return false;
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

static void gates_only_removed(struct field_errs *fe, const struct val *now, const struct val *old,
			       const struct fpath *at)
{
	_cleanup_(strmap_release) struct strmap had = STRMAP_INIT;
	size_t i = 0;

	index_by_name(&had, old);
	VAL_EACH(now, n) {
		struct fpath item = FPATH_AT(at, i++), name_at = FPATH(&item, F_name);

		if (!strmap_has(&had, val_get_str(n, F_name)))
			fe_add(fe, FE_FORBIDDEN, &name_at, NULL,
			       "only deletion is allowed, but found new scheduling gate '%.*s'",
			       SV_ARG(val_get_str(n, F_name)));
	}
}

/* Does now begin with all of was? */
static bool list_grew(const struct val *now, const struct val *was)
{
	size_t n = val_len(was);

	if (val_len(now) < n)
		return false;
	for (size_t i = 0; i < n; i++)
		if (!val_equal(val_at(now, i), val_at(was, i)))
			return false;
	return true;
}

/* A term is a conjunction: more in it narrows it down, but into an empty one, which selects nothing, nothing goes. */
static bool term_narrowed(const struct val *now, const struct val *was)
{
	static const enum sym lists[] = { F_matchExpressions, F_matchFields };
	bool empty = true, grown = false;

	for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
		empty &= !val_len(val_member(was, lists[i]));
		grown |= val_len(val_member(now, lists[i])) > 0;
		if (!list_grew(val_member(now, lists[i]), val_member(was, lists[i])))
			return false;
	}
	return !(empty && grown);
}

/* Where a gated pod may go can be narrowed down, not changed. */
static void node_affinity_narrowed(struct field_errs *fe, const struct val *now, const struct val *was,
				   const struct fpath *up)
{
	const struct val *terms = val_get(now, F_requiredDuringSchedulingIgnoredDuringExecution, F_nodeSelectorTerms),
			 *before = val_get(was, F_requiredDuringSchedulingIgnoredDuringExecution, F_nodeSelectorTerms);
	struct fpath aff_at = FPATH(up, F_affinity), node_at = FPATH(&aff_at, F_nodeAffinity),
		     req_at = FPATH(&node_at, F_requiredDuringSchedulingIgnoredDuringExecution),
		     at = FPATH(&req_at, F_nodeSelectorTerms);

	if (!val_len(before))
		return;
	if (val_len(terms) != val_len(before)) {
		fe_invalid(fe, &at, terms, "no additions/deletions to non-empty NodeSelectorTerms list are allowed");
		return;
	}
	for (size_t i = 0; i < val_len(before); i++) {
		struct fpath item = FPATH_AT(&at, i);

		if (!term_narrowed(val_at(terms, i), val_at(before, i)))
			fe_invalid(fe, &item, val_at(terms, i),
				   "only additions are allowed (no mutations or deletions)");
	}
}

/* The same of what the labels of nodes must be. */
static void node_selector_narrowed(struct field_errs *fe, const struct val *now, const struct val *was,
				   const struct fpath *up)
{
	_cleanup_(val_index_release) struct val_index in_now = val_index_of(now);
	struct fpath at = FPATH(up, F_nodeSelector);

	VAL_EACH_MEMBER(was, m) {
		const struct val *v = val_index_get(&in_now, m.key);

		if (v && val_equal(v, m.value))
			continue;
		fe_invalid(fe, &at, now, "only additions to spec.nodeSelector are allowed (no mutations or deletions)");
		return;
	}
}

/* now's affinity with old's nodeAffinity; absent where nothing else is in either. */
static const struct val *with_old_node_affinity(struct arena *a, const struct val *now, const struct val *old)
{
	struct val *out = copy_map(a, now);

	put_member(a, out, F_nodeAffinity, val_member(old, F_nodeAffinity));
	return out->n || old ? out : NULL;
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
	gates_only_removed(fe, val_member(now, F_schedulingGates), gated, &gate_at);

	/* The rest must be equal once what may change is put back. */
	munged = copy_map(fe->a, now);
	put_member(fe->a, munged, F_activeDeadlineSeconds, val_member(was, F_activeDeadlineSeconds));
	put_member(fe->a, munged, F_tolerations, val_member(was, F_tolerations));
	put_member(fe->a, munged, F_schedulingGates, gated);
	if (val_len(gated)) { /* not placed yet: where it may go can still be narrowed down */
		put_member(fe->a, munged, F_nodeSelector, val_member(was, F_nodeSelector));
		put_member(fe->a, munged, F_affinity,
			   with_old_node_affinity(fe->a, val_member(now, F_affinity), val_member(was, F_affinity)));
	}
	if (val_get_int(was, 0, F_terminationGracePeriodSeconds) < 0 && val_int_or(grace, 0) == 1)
		put_member(fe->a, munged, F_terminationGracePeriodSeconds,
			   val_member(was, F_terminationGracePeriodSeconds));
	if (val_len(val_member(now, F_containers)))
		put_member(fe->a, munged, F_containers,
			   with_old(fe->a, val_member(now, F_containers), val_member(was, F_containers), F_image));
	if (val_len(val_member(now, F_initContainers)))
		put_member(
		    fe->a, munged, F_initContainers,
		    with_old(fe->a, val_member(now, F_initContainers), val_member(was, F_initContainers), F_image));
	if (!val_equal(munged, was))
		fe_forbidden(
		    fe, &at,
		    arena_printf(
			fe->a,
			"pod updates may not change fields other than `spec.containers[*].image`,"
			"`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only "
			"additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be "
			"set to 1 if it was previously negative)\nchanged: %.*s",
			SV_ARG(changed_fields(fe->a, &at, was, munged))));
	if (val_len(gated))
		node_affinity_narrowed(fe, val_get(now, F_affinity, F_nodeAffinity),
				       val_get(was, F_affinity, F_nodeAffinity), &at);
	if (val_len(gated))
		node_selector_narrowed(fe, val_member(now, F_nodeSelector), val_member(was, F_nodeSelector), &at);
}

/* Ephemeral containers are added to a running pod and never change again. */
static void ephemeral_update(struct field_errs *fe, const struct val *doc, const struct val *old)
{
	const struct val *now = val_get(doc, F_spec, F_ephemeralContainers);
	struct fpath spec_at = FPATH_ROOT(F_spec), at = FPATH(&spec_at, F_ephemeralContainers);
	_cleanup_(strmap_release) struct strmap kept = STRMAP_INIT;

	index_by_name(&kept, now);
	VAL_EACH(val_get(old, F_spec, F_ephemeralContainers), o) {
		const struct val *same = strmap_get(&kept, val_get_str(o, F_name));

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

/* Conditions of others than the system have qualified names. Upstream's path is metadata's. */
static void pods_conditions(struct field_errs *fe, const struct val *list)
{
	struct fpath meta_at = FPATH_ROOT(F_metadata), at = FPATH(&meta_at, F_conditions);
	struct fpath status_at = FPATH_ROOT(F_status), real_at = FPATH(&status_at, F_conditions);
	size_t i = 0;

	VAL_EACH(list, c) {
		struct fpath status_item = FPATH_AT(&real_at, i), item = FPATH_AT(&at, i++),
			     type_at = FPATH_NAME(&item, SV("Type"));
		const struct val *type = val_member(c, F_type);

		CHECK_NONNEGATIVE(fe, c, &status_item, F_observedGeneration);
		if (!val_is(type, "PodScheduled") && !val_is(type, "Ready") && !val_is(type, "Initialized"))
			fe_check(fe, &type_at, val_str(type), fmt_qualified_name);
	}
}

/* What a driver says of a device's health. */
static void device_health(struct field_errs *fe, const struct val *containers, const struct fpath *at)
{
	size_t i = 0;

	VAL_EACH(containers, c) {
		struct fpath item = FPATH_AT(at, i++), list_at = FPATH(&item, F_allocatedResourcesStatus);
		size_t k = 0;

		VAL_EACH(val_member(c, F_allocatedResourcesStatus), r) {
			struct fpath res_at = FPATH_AT(&list_at, k++), devices_at = FPATH(&res_at, F_resources);
			size_t d = 0;

			VAL_EACH(val_member(r, F_resources), h) {
				struct fpath here = FPATH_AT(&devices_at, d++), msg_at = FPATH(&here, F_message);

				if (val_get_str(h, F_message).n > DEVICE_MESSAGE_MAX)
					fe_too_long(fe, &msg_at, DEVICE_MESSAGE_MAX);
			}
		}
	}
}

static void pods_addresses(struct strmap *texts, const struct val *pod)
{
	old_texts_add(texts, val_get(pod, F_status, F_podIPs), F_ip);
	old_texts_add(texts, val_get(pod, F_status, F_hostIPs), F_ip);
}

static void one_ip_per_family(struct field_errs *fe, const struct val *list, const struct fpath *up, enum sym name,
			      struct old_texts *before)
{
	_cleanup_(strmap_release) struct strmap seen = STRMAP_INIT;
	struct fpath at = FPATH(up, name);
	bool had[2] = { false, false }, twice = false;
	size_t i = 0;

	VAL_EACH(list, e) {
		struct fpath item = FPATH_AT(&at, i++);
		struct sv ip = val_get_str(e, F_ip);
		bool v6;

		if (!check_legacy_ip(fe, ip, &item, before, &v6))
			continue;
		twice |= had[v6];
		had[v6] = true;
		if (strmap_set(&seen, ip, fe))
			fe_duplicate(fe, &item, e);
	}
	if (twice)
		fe_invalid(fe, &at, list, "may specify no more than one IP for each IP family");
}

/* What has ended stays ended, unless the kubelet may start it again. */
static void status_update(struct field_errs *fe, const struct val *doc, const struct val *old)
{
	struct fpath st_at = FPATH_ROOT(F_status), cs_at = FPATH(&st_at, F_containerStatuses);
	struct fpath nom_at = FPATH(&st_at, F_nominatedNodeName), node_at = FPATH(&st_at, F_nodeName);
	struct fpath hosts_at = FPATH(&st_at, F_hostIPs), host_at = FPATH_AT(&hosts_at, 0),
		     ip_at = FPATH(&host_at, F_ip);
	const struct val *policy = val_get(doc, F_spec, F_restartPolicy),
			 *first = val_at(val_get(doc, F_status, F_hostIPs), 0);
	_cleanup_(strmap_release) struct strmap ended = STRMAP_INIT;
	_cleanup_(old_texts_release) struct old_texts before = { .doc = old, .fill = pods_addresses };
	struct sv nominated = val_get_str(doc, F_status, F_nominatedNodeName);
	size_t i = 0;

	if (!sv_eq(val_get_str(doc, F_spec, F_nodeName), val_get_str(old, F_spec, F_nodeName)))
		fe_forbidden(fe, &node_at, "may not be changed directly");
	if (nominated.n && !sv_eq(nominated, val_get_str(old, F_status, F_nominatedNodeName)))
		fe_check(fe, &nom_at, nominated, fmt_dns_subdomain);
	if (val_get_str(old, F_status, F_qosClass).n)
		check_immutable(fe, val_member(doc, F_status), val_member(old, F_status), &st_at, F_qosClass);
	CHECK_NONNEGATIVE(fe, val_member(doc, F_status), &st_at, F_observedGeneration);
	pods_conditions(fe, val_get(doc, F_status, F_conditions));
	device_health(fe, val_get(doc, F_status, F_containerStatuses), &cs_at);
	one_ip_per_family(fe, val_get(doc, F_status, F_podIPs), &st_at, F_podIPs, &before);
	one_ip_per_family(fe, val_get(doc, F_status, F_hostIPs), &st_at, F_hostIPs, &before);
	if (first && !val_same(val_get(first, F_ip), val_get(doc, F_status, F_hostIP)))
		fe_invalid(fe, &ip_at, val_get(first, F_ip), "must be equal to `hostIP`");
	if (!val_is(policy, "Never") && !val_is(policy, "OnFailure"))
		return;
	VAL_EACH(val_get(old, F_status, F_containerStatuses), o) {
		const struct val *end = val_get(o, F_state, F_terminated);

		if (end && !(val_is(policy, "OnFailure") && val_get_int(end, 0, F_exitCode) != 0))
			strmap_set(&ended, val_get_str(o, F_name), fe);
	}
	VAL_EACH(val_get(doc, F_status, F_containerStatuses), c) {
		struct fpath item = FPATH_AT(&cs_at, i++), state_at = FPATH(&item, F_state);

		if (!val_get(c, F_state, F_terminated) && strmap_has(&ended, val_get_str(c, F_name)))
			fe_forbidden(fe, &state_at, "may not be transitioned to non-terminated state");
	}
}

/* A token of an account is for pods that have one: templates get theirs later. */
static void tokens_have_account(struct field_errs *fe, const struct val *spec, const struct fpath *at)
{
	struct fpath vols_at = FPATH(at, F_volumes);
	size_t i = 0;

	if (val_get_str(spec, F_serviceAccountName).n)
		return;
	VAL_EACH(val_member(spec, F_volumes), v) {
		struct fpath item = FPATH_AT(&vols_at, i++), proj_at = FPATH(&item, F_projected),
			     list_at = FPATH(&proj_at, F_sources);
		size_t k = 0;

		VAL_EACH(val_get(v, F_projected, F_sources), s) {
			struct fpath src_at = FPATH_AT(&list_at, k++), here = FPATH(&src_at, F_serviceAccountToken);

			if (val_member(s, F_serviceAccountToken))
				fe_forbidden(fe, &here, "must not be specified when serviceAccountName is not set");
		}
	}
}

void validate_pod(struct field_errs *fe, const struct val *doc, const struct val *old, const char *sub)
{
	struct fpath at = FPATH_ROOT(F_spec), eph_at = FPATH(&at, F_ephemeralContainers),
		     node_at = FPATH(&at, F_nodeName), meta_at = FPATH_ROOT(F_metadata),
		     ann_at = FPATH(&meta_at, F_annotations);
	const struct val *spec = val_member(doc, F_spec);

	if (old)
		validate_pod_annotations_kept(fe, val_get(doc, F_metadata, F_annotations),
					      val_get(old, F_metadata, F_annotations), &ann_at);
	validate_pod_annotations(fe, val_get(doc, F_metadata, F_annotations), spec, &ann_at);
	if (is_sub(sub, "status")) {
		status_update(fe, doc, old);
		return;
	}
	validate_pod_spec(fe, spec, val_member(old, F_spec), &at, POD);
	tokens_have_account(fe, spec, &at);
	if (!old) {
		if (val_len(val_member(spec, F_ephemeralContainers)))
			fe_forbidden(fe, &eph_at, "cannot be set on create");
		if (val_get_str(spec, F_nodeName).n && val_len(val_member(spec, F_schedulingGates)))
			fe_forbidden(fe, &node_at, "cannot be set until all schedulingGates have been cleared");
	} else if (is_sub(sub, "ephemeralcontainers")) {
		if (pod_is_mirror(old))
			fe_forbidden(fe, NULL, "static pods do not support ephemeral containers");
		ephemeral_update(fe, doc, old);
	} else if (is_sub(sub, "resize")) {
		if (pod_is_mirror(old))
			fe_forbidden(fe, NULL, "static pods cannot be resized");
		if (val_is(val_get(old, F_spec, F_os, F_name), "windows"))
			fe_forbidden(fe, NULL, "windows pods cannot be resized");
		validate_pod_resize(fe, doc, old);
	} else if (!sub) {
		validate_pod_update(fe, doc, old);
	}
}

void validate_pod_template_kind(struct field_errs *fe, const struct val *doc, const struct val *old, const char *sub)
{
	struct fpath at = FPATH_ROOT(F_template);

	(void)sub;
	validate_pod_template(fe, val_member(doc, F_template), val_member(old, F_template), &at, TEMPLATE);
}
