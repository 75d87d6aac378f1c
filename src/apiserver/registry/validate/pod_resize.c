/* pod_resize.c - what of a running pod's resources may change in place (KEP-1287): amounts of cpu and memory, as
 * long as the class of service stays, for that decides where the pod's cgroup is. */
#include "apiserver/registry/validate/kinds-internal.h"

#include "codec/val_index.h"
#include "pod/pod_resources.h"

bool containers_kept(struct field_errs *fe, const struct val *now, const struct val *was, const struct fpath *at)
{
	if (val_len(now) == val_len(was))
		return true;
	fe_forbidden(fe, at, "pod updates may not add or remove containers");
	return false;
}

static bool is_amount(struct sv key)
{
	return sv_is(key, "cpu") || sv_is(key, "memory");
}

/* One of limits and requests of a container, or of the pod. */
static void pod_resize_check_list(struct field_errs *fe, const struct val *now, const struct val *was,
				  const struct fpath *at, const char *removed, bool *others)
{
	_cleanup_(val_index_release) struct val_index in_now = val_index_of(now), in_was = val_index_of(was);

	VAL_EACH_MEMBER(was, m) {
		const struct val *v = val_index_get(&in_now, m.key);

		if (!is_amount(m.key))
			*others |= !v || !val_equal(v, m.value);
		else if (!v)
			fe_forbidden(fe, at, removed);
	}
	VAL_EACH_MEMBER(now, m)
		*others |= !is_amount(m.key) && !val_index_get(&in_was, m.key);
}

static void check_resources(struct field_errs *fe, const struct val *now, const struct val *was, const struct fpath *at,
			    bool *others)
{
	struct fpath lim_at = FPATH(at, F_limits), req_at = FPATH(at, F_requests);

	pod_resize_check_list(fe, val_member(now, F_limits), val_member(was, F_limits), &lim_at,
			      "resource limits cannot be removed", others);
	pod_resize_check_list(fe, val_member(now, F_requests), val_member(was, F_requests), &req_at,
			      "resource requests cannot be removed", others);
}

static void check_containers(struct field_errs *fe, const struct val *now, const struct val *was,
			     const struct fpath *at, bool *others)
{
	for (size_t i = 0; i < val_len(now); i++) {
		const struct val *c = val_at(now, i), *o = val_at(was, i);
		const struct val *r = val_member(c, F_resources), *before = val_member(o, F_resources);
		struct fpath item = FPATH_AT(at, i), res_at = FPATH(&item, F_resources);

		if (!sv_eq(val_get_str(c, F_name), val_get_str(o, F_name))) {
			fe_forbidden(fe, at, "containers may not be renamed or reordered on resize");
			return;
		}
		check_resources(fe, r, before, &res_at, others);
	}
}

void validate_pod_resize(struct field_errs *fe, const struct val *doc, const struct val *old)
{
	const struct val *now = val_member(doc, F_spec), *was = val_member(old, F_spec);
	struct fpath at = FPATH_ROOT(F_spec), c_at = FPATH(&at, F_containers), i_at = FPATH(&at, F_initContainers);
	struct fpath res_at = FPATH(&at, F_resources);
	struct sv qos = val_get_str(old, F_status, F_qosClass);
	bool others = false;

	if (!containers_kept(fe, val_member(now, F_containers), val_member(was, F_containers), &c_at) ||
	    !containers_kept(fe, val_member(now, F_initContainers), val_member(was, F_initContainers), &i_at))
		return;
	check_containers(fe, val_member(now, F_containers), val_member(was, F_containers), &c_at, &others);
	check_containers(fe, val_member(now, F_initContainers), val_member(was, F_initContainers), &i_at, &others);
	check_resources(fe, val_member(now, F_resources), val_member(was, F_resources), &res_at, &others);
	if (others)
		fe_forbidden(fe, &at, "only cpu and memory resources are mutable");
	if (qos.n && !sv_is(qos, qos_name(pod_qos_class(now))))
		fe_invalid(fe, &at, val_get(old, F_status, F_qosClass),
			   "Pod QOS Class may not change as a result of resizing");
}
