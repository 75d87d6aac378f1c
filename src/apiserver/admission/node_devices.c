/* What nodes write about devices and about their pods' keys: of their own devices, and for pods that run on them. */
#include "apiserver/admission/node_restriction.h"
#include "object/pod_refs.h"

int node_restrict_slice(const struct admission *a, struct sv node, struct err *err)
{
	static const char *const verbs[] = {
		[ADMIT_CREATE] = "create", [ADMIT_UPDATE] = "update", [ADMIT_DELETE] = "delete"
	};
	struct sv now = val_get_str(a->doc, F_spec, F_nodeName), was = val_get_str(a->old, F_spec, F_nodeName);

	/* On an update both: whose it was and whose it is to be. */
	if ((a->doc && !sv_eq(now, node)) || (a->old && !sv_eq(was, node)))
		return admission_forbid(
		    a, err, "can only %s ResourceSlice with the same NodeName as the requesting node", verbs[a->op]);
	return 0;
}

static bool devices_uid_is(struct obj *o, struct sv uid)
{
	return o && sv_eq(val_str(obj_get(o, F_metadata, F_uid)), uid);
}

int node_restrict_pod_certificate(const struct admission *a, struct sv node, struct err *err)
{
	const struct val *spec = val_get(a->doc, F_spec);
	struct sv pod_name = val_get_str(spec, F_podName), account = val_get_str(spec, F_serviceAccountName),
		  on = val_get_str(spec, F_nodeName);
	struct obj *pod;

	if (a->op != ADMIT_CREATE || a->subresource.n)
		return 0;
	if (!sv_eq(on, node))
		return admission_forbid(
		    a, err,
		    "PodCertificateRequest.Spec.NodeName=\"%.*s\", which is not the requesting node "
		    "\"%.*s\"",
		    SV_ARG(on), SV_ARG(node));
	if (registry_find(a->q, RES(core_pods), a->ns, pod_name, &pod, err) < 0)
		return -1;
	if (!pod)
		return admission_forbid(a, err, "pod \"%.*s\" not found", SV_ARG(pod_name));
	if (!devices_uid_is(pod, val_get_str(spec, F_podUID)))
		return admission_forbid(
		    a, err,
		    "PodCertificateRequest for pod \"%.*s\" contains a pod UID which differs from that "
		    "of the running pod",
		    SV_ARG(pod_name));
	/* A pod that a node made of a file has no account whose name it could ask for. */
	if (pod_is_mirror(obj_root(pod)))
		return admission_forbid(a, err, "pod \"%.*s\" is a static pod", SV_ARG(pod_name));
	if (!sv_eq(val_str(obj_get(pod, F_spec, F_nodeName)), node))
		return admission_forbid(a, err, "pod \"%.*s\" is not running on node \"%.*s\"", SV_ARG(pod_name),
					SV_ARG(node));
	if (!sv_eq(val_str(obj_get(pod, F_spec, F_serviceAccountName)), account))
		return admission_forbid(
		    a, err,
		    "PodCertificateRequest for pod \"%.*s\" contains serviceAccountName (\"%.*s\") that "
		    "differs from the running pod",
		    SV_ARG(pod_name), SV_ARG(account));
	if (!devices_uid_is(registry_peek(a->q, RES(core_serviceaccounts), a->ns, account),
			    val_get_str(spec, F_serviceAccountUID)))
		return admission_forbid(
		    a, err,
		    "PodCertificateRequest for pod \"%.*s\" contains a UID of its service account which "
		    "differs from that of the account",
		    SV_ARG(pod_name));
	if (!devices_uid_is(registry_peek(a->q, RES(core_nodes), SV(""), node), val_get_str(spec, F_nodeUID)))
		return admission_forbid(
		    a, err,
		    "PodCertificateRequest for pod \"%.*s\" contains a node UID which differs from that "
		    "of the node",
		    SV_ARG(pod_name));
	return 0;
}
