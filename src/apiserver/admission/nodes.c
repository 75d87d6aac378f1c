/* TaintNodesByCondition and NodeRestriction: a node begins as not ready, and a kubelet changes only its
 * own Node and the pods bound to it (KEP-279). */
#include "apiserver/admission/plugins.h"
#include "apiserver/authz/node.h"

static int taint_new(const struct admission *a, struct err *err)
{
	struct val *taints, *t;

	(void)err;
	if (a->res != RES(core_nodes) || a->subresource.n || a->op != ADMIT_CREATE || !a->doc)
		return 0;
	taints = val_ensure_list(a->q->arena, val_ensure_map(a->q->arena, a->doc, F_spec), F_taints);
	VAL_EACH(taints, have)
		if (val_is(val_get(have, F_key), "node.kubernetes.io/not-ready"))
			return 0;
	t = val_new_map(a->q->arena);
	val_set_cstr(a->q->arena, t, F_key, "node.kubernetes.io/not-ready");
	val_set_cstr(a->q->arena, t, F_effect, "NoSchedule");
	val_push(a->q->arena, taints, t);
	return 0;
}

const struct admission_plugin admission_taint_new_nodes = { .name = "TaintNodesByCondition", .mutate = taint_new };

/* Labels a kubelet may set on its own Node, outside of unreserved ones. */
static bool kubelet_label(struct sv key)
{
	static const char *const allowed[] = {
		"kubernetes.io/hostname",
		"kubernetes.io/arch",
		"kubernetes.io/os",
		"beta.kubernetes.io/arch",
		"beta.kubernetes.io/os",
		"beta.kubernetes.io/instance-type",
		"failure-domain.beta.kubernetes.io/region",
		"failure-domain.beta.kubernetes.io/zone",
		"node.kubernetes.io/instance-type",
		"topology.kubernetes.io/region",
		"topology.kubernetes.io/zone",
	};
	ssize_t slash = sv_find(key, '/');
	struct sv domain = slash < 0 ? SV("") : sv_sub(key, 0, (size_t)slash);

	for (size_t i = 0; i < ARRAY_LEN(allowed); i++)
		if (sv_is(key, allowed[i]))
			return true;
	if (sv_is(domain, "kubelet.kubernetes.io") || sv_ends(domain, SV(".kubelet.kubernetes.io")) ||
	    sv_is(domain, "node.kubernetes.io") || sv_ends(domain, SV(".node.kubernetes.io")))
		return true;
	return !(sv_is(domain, "kubernetes.io") || sv_ends(domain, SV(".kubernetes.io")) || sv_is(domain, "k8s.io") ||
		 sv_ends(domain, SV(".k8s.io")));
}

static int restrict_node(const struct admission *a, struct sv node, struct err *err)
{
	const struct val *labels = val_get(a->doc, F_metadata, F_labels), *old = val_get(a->old, F_metadata, F_labels);

	if (!sv_eq(a->name, node))
		return admission_forbid(a, err, "node \"%.*s\" is not allowed to modify node \"%.*s\"", SV_ARG(node),
					SV_ARG(a->name));
	if (a->op == ADMIT_DELETE)
		return admission_forbid(a, err, "node \"%.*s\" is not allowed to delete itself", SV_ARG(node));
	if (a->op == ADMIT_UPDATE && !val_equal(val_get(a->doc, F_spec, F_taints), val_get(a->old, F_spec, F_taints)))
		return admission_forbid(a, err, "node \"%.*s\" is not allowed to modify taints", SV_ARG(node));
	if (a->op == ADMIT_UPDATE &&
	    !val_equal(val_get(a->doc, F_metadata, F_ownerReferences), val_get(a->old, F_metadata, F_ownerReferences)))
		return admission_forbid(a, err, "node \"%.*s\" is not allowed to modify ownerReferences", SV_ARG(node));
	VAL_EACH_MEMBER(labels, m) {
		const struct val *was = val_member_sv(old, m.key);

		if ((!was || !val_equal(was, m.value)) && !kubelet_label(m.key) &&
		    !sv_starts(m.key, SV("node-role.kubernetes.io/")))
			return admission_forbid(a, err, "is not allowed to modify labels: %.*s", SV_ARG(m.key));
	}
	return 0;
}

static int restrict_pod(const struct admission *a, struct sv node, struct err *err)
{
	const struct val *pod = a->old ? a->old : a->doc;

	if (a->op == ADMIT_CREATE && sv_is(a->subresource, "eviction")) {
		struct obj *o = registry_peek(a->q, RES(core_pods), a->ns, a->name);

		pod = o ? obj_root(o) : NULL;
	} else if (a->op == ADMIT_CREATE) {
		if (!val_member_sv(val_get(a->doc, F_metadata, F_annotations), SV("kubernetes.io/config.mirror")))
			return admission_forbid(a, err,
						"pod does not have \"kubernetes.io/config.mirror\" annotation, node "
						"\"%.*s\" can only create mirror pods",
						SV_ARG(node));
	} else if (a->op == ADMIT_UPDATE && !sv_is(a->subresource, "status")) {
		return admission_forbid(
		    a, err, "unexpected operation, node \"%.*s\" can only update the status of pods", SV_ARG(node));
	}
	if (!sv_eq(val_get_str(pod, F_spec, F_nodeName), node))
		return admission_forbid(a, err, "node \"%.*s\" can only change pods with spec.nodeName set to itself",
					SV_ARG(node));
	return 0;
}

static int restrict_all(const struct admission *a, struct err *err)
{
	struct sv node = node_identity(&a->q->user);

	if (!node.p)
		return 0;
	if (a->res == RES(core_nodes))
		return restrict_node(a, node, err);
	if (a->res == RES(core_pods))
		return restrict_pod(a, node, err);
	if (a->res == RES(coordination_leases) && a->op != ADMIT_CONNECT &&
	    (!sv_is(a->ns, "kube-node-lease") || !sv_eq(a->name, node)))
		return admission_forbid(a, err, "can only access node lease with the same name as the requesting node");
	return 0;
}

const struct admission_plugin admission_node_restriction = { .name = "NodeRestriction", .validate = restrict_all };
