/* pod_annotations.c - annotations that mean something for pods. */
#include "apiserver/registry/validate/kinds-internal.h"

#include "base/strmap.h"
#include "codec/val_index.h"
#include "object/pod_refs.h"

#define APPARMOR "container.apparmor.security.beta.kubernetes.io/"
#define SECCOMP_POD "seccomp.security.alpha.kubernetes.io/pod"
#define SECCOMP_CONTAINER "container.seccomp.security.alpha.kubernetes.io/"

/* Profiles before they were fields: runtime/default, unconfined, or a file of the node. */
static void old_profile(struct field_errs *fe, struct sv key, const struct val *v, const struct strmap *containers,
			const struct fpath *up)
{
	struct fpath apparmor_at = FPATH_KEY(up, key), seccomp_at = FPATH_NAME(up, key);
	struct sv s = val_str(v);

	if (sv_starts(key, SV(APPARMOR))) {
		struct sv name = sv_sub(key, strlen(APPARMOR), key.n);

		if (!strmap_has(containers, name))
			fe_format(fe, &apparmor_at, name, "container not found");
		if (s.n && !sv_is(s, "runtime/default") && !sv_is(s, "unconfined") && !sv_starts(s, SV("localhost/")))
			fe_add(fe, FE_INVALID, &apparmor_at, v, "invalid AppArmor profile name: \"%.*s\"", SV_ARG(s));
		return;
	}
	if (!sv_is(key, SECCOMP_POD) && !sv_starts(key, SV(SECCOMP_CONTAINER)))
		return;
	if (sv_starts(s, SV("localhost/")))
		check_rel_path(fe, val_new_str(fe->a, sv_sub(s, strlen("localhost/"), s.n)), &seccomp_at);
	else if (!sv_is(s, "runtime/default") && !sv_is(s, "docker/default") && !sv_is(s, "unconfined"))
		fe_invalid(fe, &seccomp_at, v, "must be a valid seccomp profile");
}

void validate_pod_annotations(struct field_errs *fe, const struct val *annotations, const struct val *spec,
			      const struct fpath *at)
{
	static const enum sym lists[] = { F_initContainers, F_containers, F_ephemeralContainers };
	_cleanup_(strmap_release) struct strmap containers = STRMAP_INIT;

	for (size_t k = 0; val_len(annotations) && k < ARRAY_LEN(lists); k++)
		index_by_name(&containers, val_member(spec, lists[k]));
	VAL_EACH_MEMBER(annotations, m) {
		struct fpath here = FPATH_KEY(at, m.key);
		int64_t n;

		if (sv_is(m.key, "controller.kubernetes.io/pod-deletion-cost") &&
		    (!sv_to_i64(val_str(m.value), &n) || n < INT32_MIN || n > INT32_MAX))
			fe_invalid(fe, &here, m.value, "must be a 32bit integer");
		else if (sv_is(m.key, POD_MIRROR_ANNOTATION) && !val_get_str(spec, F_nodeName).n)
			fe_invalid(fe, &here, m.value, "must set spec.nodeName if mirror pod annotation is set");
		else
			old_profile(fe, m.key, m.value, &containers, at);
	}
}

/* What the node has read of a pod's annotations stays as it was. A node's mirror pod, too: it would otherwise become
 * one that its node may read Secrets for. */
void validate_pod_annotations_kept(struct field_errs *fe, const struct val *now, const struct val *was,
				   const struct fpath *at)
{
	_cleanup_(val_index_release) struct val_index in_now = val_index_of(now), in_was = val_index_of(was);

	VAL_EACH_MEMBER(was, m) {
		struct fpath here = FPATH_KEY(at, m.key);
		const struct val *v = val_index_get(&in_now, m.key);

		if (v && val_equal(v, m.value))
			continue;
		if (sv_starts(m.key, SV(APPARMOR)))
			fe_forbidden(fe, &here, "may not remove or update AppArmor annotations");
		if (sv_is(m.key, POD_MIRROR_ANNOTATION))
			fe_forbidden(fe, &here, "may not remove or update mirror pod annotation");
	}
	VAL_EACH_MEMBER(now, m) {
		struct fpath here = FPATH_KEY(at, m.key);

		if (val_index_get(&in_was, m.key))
			continue;
		if (sv_starts(m.key, SV(APPARMOR)))
			fe_forbidden(fe, &here, "may not add AppArmor annotations");
		if (sv_is(m.key, POD_MIRROR_ANNOTATION))
			fe_forbidden(fe, &here, "may not add mirror pod annotation");
	}
}
