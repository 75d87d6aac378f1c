/* See pod_isolation.h. */
#include "kubelet/pod_isolation.h"

int isolation_sandbox(const struct val *pod, struct err *err)
{
	const struct val *spec = val_member(pod, F_spec), *users = val_member(spec, F_hostUsers);
	const struct val *claim = val_at(val_member(spec, F_resourceClaims), 0);

	if (users && !val_bool(users))
		return err_set(err, ERR_INVALID,
			       "can't set `spec.hostUsers: false`, runtime does not support user namespaces");
	if (claim)
		return err_set(
		    err, ERR_INVALID,
		    "Failed to prepare dynamic resources: resource claim \"%.*s\" cannot be given by this node, "
		    "which has no dynamic resources",
		    SV_ARG(val_get_str(claim, F_name)));
	return 0;
}

bool isolation_asks_rro(const struct val *mount)
{
	const struct val *v = val_member(mount, F_recursiveReadOnly);

	return val_get_bool(mount, F_readOnly) && v && !val_is(v, "Disabled");
}

int isolation_container(const struct val *spec, bool rro, struct err *err)
{
	VAL_EACH(val_member(spec, F_volumeMounts), m) /* IfPossible is another: the status says Disabled */
		if (!rro && val_is(val_member(m, F_recursiveReadOnly), "Enabled"))
			return err_set(err, ERR_INVALID,
				       "volume \"%.*s\" requested recursive read-only mode, but it is not supported by "
				       "the runtime",
				       SV_ARG(val_get_str(m, F_name)));
	return 0;
}

/* --- AppArmor --- */

struct sv isolation_apparmor(struct arena *a, const struct val *pod, const struct val *spec)
{
	const struct val *p = val_get(spec, F_securityContext, F_appArmorProfile);
	struct sv type, old;

	if (!p)
		p = val_get(pod, F_spec, F_securityContext, F_appArmorProfile);
	if (p) {
		type = val_get_str(p, F_type);
		return sv_is(type, "Localhost")
			   ? arena_svf(a, "localhost/%.*s", SV_ARG(val_get_str(p, F_localhostProfile)))
			   : type;
	}
	old = val_str(val_member_sv(
	    val_get(pod, F_metadata, F_annotations),
	    arena_svf(a, "container.apparmor.security.beta.kubernetes.io/%.*s", SV_ARG(val_get_str(spec, F_name)))));
	if (sv_is(old, "runtime/default"))
		return SV("RuntimeDefault");
	if (sv_is(old, "unconfined"))
		return SV("Unconfined");
	return sv_starts(old, SV("localhost/")) ? old : SV("");
}

bool isolation_wants_apparmor(struct arena *a, const struct val *pod)
{
	static const enum sym lists[] = { F_initContainers, F_containers, F_ephemeralContainers };

	for (size_t k = 0; k < ARRAY_LEN(lists); k++)
		VAL_EACH(val_get(pod, F_spec, lists[k]), c) {
			struct sv profile = isolation_apparmor(a, pod, c);

			if (profile.n && !sv_is(profile, "Unconfined"))
				return true;
		}
	return false;
}
