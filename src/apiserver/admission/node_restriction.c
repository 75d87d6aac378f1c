/* NodeRestriction: what a kubelet writes is its own (KEP-279, KEP-4601, CVE-2025-4563, CVE-2025-5187).
 *
 * The node authorizer knows whose an object is only by its name; here is the object. Everything a node could use to
 * get at what runs elsewhere, or to draw pods to itself, is refused: pods but mirror pods that name nothing of the API,
 * other nodes' objects, labels and taints by which pods are placed, labels of pods by which they are selected. It runs
 * with the mutating plugins, as upstream's does, and again over what they made. */
#include "apiserver/admission/node_restriction.h"
#include "apiserver/authz/node.h"
#include "base/buf.h"
#include "object/node_labels.h"
#include "object/pod_refs.h"

#include <stdlib.h>

#define LEASE_NAMESPACE "kube-node-lease"

static const char *restrict_op_name(const struct admission *a)
{
	switch (a->op) {
	case ADMIT_CREATE:
		return "CREATE";
	case ADMIT_UPDATE:
		return "UPDATE";
	case ADMIT_DELETE:
	default:
		return "DELETE";
	}
}

/* --- pods --- */

static int restrict_mirror_owner(const struct admission *a, struct sv node, struct err *err)
{
	const struct val *list = val_get(a->doc, F_metadata, F_ownerReferences), *owner = val_at(list, 0);
	struct obj *have;

	if (val_len(list) > 1)
		return admission_forbid(
		    a, err, "node \"%.*s\" can only create pods with a single owner reference set to itself",
		    SV_ARG(node));
	if (!val_is(val_get(owner, F_apiVersion), "v1") || !val_is(val_get(owner, F_kind), "Node") ||
	    !sv_eq(val_get_str(owner, F_name), node))
		return admission_forbid(
		    a, err, "node \"%.*s\" can only create pods with an owner reference set to itself", SV_ARG(node));
	if (!val_get_bool(owner, F_controller))
		return admission_forbid(
		    a, err, "node \"%.*s\" can only create pods with a controller owner reference set to itself",
		    SV_ARG(node));
	if (val_get_bool(owner, F_blockOwnerDeletion))
		return admission_forbid(a, err, "node \"%.*s\" must not set blockOwnerDeletion on an owner reference",
					SV_ARG(node));
	have = registry_peek(a->q, RES(core_nodes), SV(""), node);
	if (!have)
		return err_not_found(err, RES(core_nodes), node);
	if (!sv_eq(val_get_str(owner, F_uid), obj_uid(have)))
		return admission_forbid(a, err, "node %.*s UID mismatch: expected %.*s got %.*s", SV_ARG(node),
					SV_ARG(val_get_str(owner, F_uid)), SV_ARG(obj_uid(have)));
	return 0;
}

static int restrict_mirror(const struct admission *a, struct sv node, struct err *err)
{
	const char *what;
	struct sv unknown;

	if (!pod_is_mirror(a->doc))
		return admission_forbid(a, err,
					"pod does not have \"" POD_MIRROR_ANNOTATION
					"\" annotation, node \"%.*s\" can only create mirror pods",
					SV_ARG(node));
	if (!sv_eq(val_get_str(a->doc, F_spec, F_nodeName), node))
		return admission_forbid(a, err, "node \"%.*s\" can only create pods with spec.nodeName set to itself",
					SV_ARG(node));
	if (restrict_mirror_owner(a, node, err) < 0)
		return -1;
	what = pod_api_reference(a->doc, &unknown);
	if (unknown.p)
		return admission_forbid(
		    a, err, "error checking mirror pod for API references: unknown volume type for volume \"%.*s\"",
		    SV_ARG(unknown));
	if (what)
		return admission_forbid(a, err, "node \"%.*s\" can not create pods that reference %s", SV_ARG(node),
					what);
	return 0;
}

/* The pod a request is about, or NULL after having said that there is none. */
static const struct val *restrict_existing_pod(const struct admission *a, struct sv name, struct err *err)
{
	struct obj *o = registry_peek(a->q, RES(core_pods), a->ns, name);

	if (!o)
		err_not_found(err, RES(core_pods), name);
	return o ? obj_root(o) : NULL;
}

static bool restrict_runs_on(const struct val *pod, struct sv node)
{
	return sv_eq(val_get_str(pod, F_spec, F_nodeName), node);
}

static int restrict_pod_itself(const struct admission *a, struct sv node, struct err *err)
{
	const struct val *pod;

	switch (a->op) {
	case ADMIT_CREATE:
		return restrict_mirror(a, node, err);
	case ADMIT_DELETE:
		pod = a->old ? a->old : restrict_existing_pod(a, a->name, err);
		if (!pod)
			return -1;
		if (!restrict_runs_on(pod, node))
			return admission_forbid(a, err,
						"node \"%.*s\" can only delete pods with spec.nodeName set to itself",
						SV_ARG(node));
		return 0;
	case ADMIT_UPDATE:
	case ADMIT_CONNECT:
		break;
	}
	return admission_forbid(a, err,
				"unexpected operation \"%s\", node \"%.*s\" can only create and delete mirror pods",
				restrict_op_name(a), SV_ARG(node));
}

static int restrict_pod_status(const struct admission *a, struct sv node, struct err *err)
{
	if (a->op != ADMIT_UPDATE)
		return admission_forbid(a, err, "unexpected operation \"%s\"", restrict_op_name(a));
	if (!restrict_runs_on(a->old, node))
		return admission_forbid(
		    a, err, "node \"%.*s\" can only update pod status for pods with spec.nodeName set to itself",
		    SV_ARG(node));
	if (!val_same(val_get(a->old, F_metadata, F_labels), val_get(a->doc, F_metadata, F_labels)))
		return admission_forbid(a, err, "node \"%.*s\" cannot update labels through pod status", SV_ARG(node));
	/* Which claims a pod has decides what its node may read. "statues" is upstream's word. */
	if (!val_same(val_get(a->old, F_status, F_resourceClaimStatuses),
		      val_get(a->doc, F_status, F_resourceClaimStatuses)))
		return admission_forbid(a, err, "node \"%.*s\" cannot update resource claim statues", SV_ARG(node));
	if (!val_same(val_get(a->old, F_status, F_extendedResourceClaimStatus),
		      val_get(a->doc, F_status, F_extendedResourceClaimStatus)))
		return admission_forbid(a, err, "node \"%.*s\" cannot update extended resource claim status",
					SV_ARG(node));
	return 0;
}

static int restrict_pod_eviction(const struct admission *a, struct sv node, struct err *err)
{
	const struct val *pod;

	if (a->op != ADMIT_CREATE)
		return admission_forbid(a, err, "unexpected operation %s", restrict_op_name(a));
	pod = restrict_existing_pod(a, a->name, err);
	if (!pod)
		return -1;
	if (!restrict_runs_on(pod, node))
		return admission_forbid(a, err, "node %.*s can only evict pods with spec.nodeName set to itself",
					SV_ARG(node));
	return 0;
}

static int restrict_pod(const struct admission *a, struct sv node, struct err *err)
{
	if (!a->subresource.n)
		return restrict_pod_itself(a, node, err);
	if (sv_is(a->subresource, "status"))
		return restrict_pod_status(a, node, err);
	if (sv_is(a->subresource, "eviction"))
		return restrict_pod_eviction(a, node, err);
	return admission_forbid(a, err, "unexpected pod subresource \"%.*s\", only 'status' and 'eviction' are allowed",
				SV_ARG(a->subresource));
}

/* --- nodes --- */

struct label {
	struct sv key, value;
};

static int restrict_by_key(const void *x, const void *y)
{
	return sv_cmp(((const struct label *)x)->key, ((const struct label *)y)->key);
}

/* The forbidden keys whose values differ between two sets of labels, added and removed ones too: sorted, with commas;
 * "" when there are none. Sorted by key, what is on both sides stands side by side. */
static struct sv restrict_changed_labels(struct arena *a, const struct val *x, const struct val *y)
{
	_cleanup_(buf_release) struct buf b = { .limit = 16 * 1024 };
	const struct val *sides[] = { x, y };
	struct label *list = ARENA_ARRAY(a, struct label, val_len(x) + val_len(y) + 1);
	size_t n = 0;

	for (size_t side = 0; side < 2; side++)
		VAL_EACH_MEMBER(sides[side], m)
			if (node_label_reserved(m.key))
				list[n++] = (struct label){ m.key, val_str(m.value) };
	qsort(list, n, sizeof(*list), restrict_by_key);
	for (size_t i = 0; i < n; i++) {
		bool both = i + 1 < n && sv_eq(list[i].key, list[i + 1].key);

		if (!both || !sv_eq(list[i].value, list[i + 1].value))
			buf_printf(&b, "%s%.*s", b.n ? ", " : "", SV_ARG(list[i].key));
		i += both;
	}
	return arena_sv(a, buf_sv(&b));
}

/* Other nodes send to this one what is for its ranges: they are given, and not taken. Upstream lets a node choose them,
 * once; no kubelet does. */
static int restrict_pod_ranges(const struct admission *a, struct sv node, struct err *err)
{
	static const enum sym ranges[] = { F_podCIDR, F_podCIDRs };

	for (size_t i = 0; i < ARRAY_LEN(ranges); i++) {
		const struct val *now = val_get(a->doc, F_spec, ranges[i]);

		if (now && !val_same(now, val_get(a->old, F_spec, ranges[i])))
			return admission_forbid(a, err, "node \"%.*s\" is not allowed to set its Pod ranges",
						SV_ARG(node));
	}
	return 0;
}

static int restrict_node_create(const struct admission *a, struct sv node, struct err *err)
{
	struct sv labels = restrict_changed_labels(a->q->arena, val_get(a->doc, F_metadata, F_labels), NULL);

	if (val_get(a->doc, F_spec, F_configSource))
		return admission_forbid(
		    a, err, "node \"%.*s\" is not allowed to create pods with a non-nil configSource", SV_ARG(node));
	if (labels.n)
		return admission_forbid(a, err, "node \"%.*s\" is not allowed to set the following labels: %.*s",
					SV_ARG(node), SV_ARG(labels));
	return restrict_pod_ranges(a, node, err);
}

static int restrict_node_update(const struct admission *a, struct sv node, struct err *err)
{
	const struct val *source = val_get(a->doc, F_spec, F_configSource);
	struct sv labels;

	if (source && !val_same(source, val_get(a->old, F_spec, F_configSource)))
		return admission_forbid(
		    a, err, "node \"%.*s\" is not allowed to update configSource to a new non-nil configSource",
		    SV_ARG(node));
	if (!val_same(val_get(a->doc, F_spec, F_taints), val_get(a->old, F_spec, F_taints)))
		return admission_forbid(a, err, "node \"%.*s\" is not allowed to modify taints", SV_ARG(node));
	/* A node that goes with another object is deleted by whoever may delete that one. */
	if (!val_same(val_get(a->doc, F_metadata, F_ownerReferences), val_get(a->old, F_metadata, F_ownerReferences)))
		return admission_forbid(a, err, "node \"%.*s\" is not allowed to modify ownerReferences", SV_ARG(node));
	labels = restrict_changed_labels(a->q->arena, val_get(a->doc, F_metadata, F_labels),
					 val_get(a->old, F_metadata, F_labels));
	if (labels.n)
		return admission_forbid(a, err, "is not allowed to modify labels: %.*s", SV_ARG(labels));
	return restrict_pod_ranges(a, node, err);
}

static int restrict_node(const struct admission *a, struct sv node, struct err *err)
{
	if (!sv_eq(a->name, node))
		return admission_forbid(a, err, "node \"%.*s\" is not allowed to modify node \"%.*s\"", SV_ARG(node),
					SV_ARG(a->name));
	if (a->op == ADMIT_CREATE)
		return restrict_node_create(a, node, err);
	return a->op == ADMIT_UPDATE ? restrict_node_update(a, node, err) : 0;
}

/* --- the rest of what is a node's own --- */

/* Members of the map that are not the same in both, but for the ones listed (ended by SYM_NONE). */
static bool restrict_differs(const struct val *x, const struct val *y, const enum sym *except)
{
	const struct val *sides[] = { x, y };

	for (size_t side = 0; side < 2; side++)
		VAL_EACH_MEMBER(sides[side], m) {
			const enum sym *e = except;

			while (*e && *e != m.sym)
				e++;
			if (!*e && !val_same(m.value, val_member_sv(sides[1 - side], m.key)))
				return true;
		}
	return false;
}

static int restrict_claim(const struct admission *a, struct sv node, struct err *err)
{
	static const enum sym parts[] = { F_metadata, F_status, SYM_NONE },
			      meta[] = { F_resourceVersion, F_managedFields, SYM_NONE },
			      status[] = { F_capacity, F_conditions, F_allocatedResources, F_allocatedResourceStatuses,
					   SYM_NONE };

	if (!sv_is(a->subresource, "status"))
		return admission_forbid(a, err, "may only update PVC status");
	if (a->op != ADMIT_UPDATE)
		return admission_forbid(a, err, "unexpected operation \"%s\"", restrict_op_name(a));
	if (restrict_differs(a->old, a->doc, parts) ||
	    restrict_differs(val_member(a->old, F_metadata), val_member(a->doc, F_metadata), meta) ||
	    restrict_differs(val_member(a->old, F_status), val_member(a->doc, F_status), status))
		return admission_forbid(a, err,
					"node \"%.*s\" is not allowed to update fields other than status.quantity and "
					"status.conditions",
					SV_ARG(node));
	return 0;
}

static int restrict_lease(const struct admission *a, struct sv node, struct err *err)
{
	if (!sv_is(a->ns, LEASE_NAMESPACE))
		return admission_forbid(a, err,
					"can only access leases in the \"" LEASE_NAMESPACE "\" system namespace");
	if (!sv_eq(a->name, node))
		return admission_forbid(a, err, "can only access node lease with the same name as the requesting node");
	return 0;
}

static int restrict_all(const struct admission *a, struct err *err)
{
	struct sv node = node_identity(&a->q->user);

	if (!node.p)
		return 0;
	if (!node.n)
		return admission_forbid(a, err, "could not determine node from user \"%.*s\"", SV_ARG(a->q->user.name));
	if (a->res == RES(core_pods))
		return restrict_pod(a, node, err);
	if (a->res == RES(core_nodes))
		return restrict_node(a, node, err);
	if (a->res == RES(core_persistentvolumeclaims))
		return restrict_claim(a, node, err);
	if (a->res == RES(core_persistentvolumes))
		return node_restrict_volume(a, node, err);
	if (a->res == RES(storage_storageclasses))
		return node_restrict_class(a, node, err);
	if (node_keeps_snapshots(a->res))
		return node_restrict_snapshot(a, node, err);
	if (a->res == RES(core_serviceaccounts) && a->op == ADMIT_CREATE && sv_is(a->subresource, "token"))
		return node_restrict_token(a, node, err);
	if (a->res == RES(certificates_certificatesigningrequests))
		return node_restrict_csr(a, node, err);
	if (a->res == RES(coordination_leases))
		return restrict_lease(a, node, err);
	/* of whichever version */
	if (strcmp(a->res->group, "resource.k8s.io") == 0 && strcmp(a->res->plural, "resourceslices") == 0)
		return node_restrict_slice(a, node, err);
	if (strcmp(a->res->plural, "podcertificaterequests") == 0 && strcmp(a->res->group, "certificates.k8s.io") == 0)
		return node_restrict_pod_certificate(a, node, err);
	if (a->res == RES(storage_csinodes) && !sv_eq(a->name, node))
		return admission_forbid(a, err, "can only access CSINode with the same name as the requesting node");
	return 0;
}

const struct admission_plugin admission_node_restriction = {
	.name = "NodeRestriction",
	.mutates = ON_CREATE | ON_UPDATE | ON_SUBRESOURCES,
	.mutate = restrict_all,
	.validate = restrict_all,
};
