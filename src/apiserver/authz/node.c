#include "apiserver/authz/node.h"
#include "apiserver/apiserver-internal.h"
#include "apiserver/authz/authz-internal.h"
#include "apiserver/authz/node_gateway.h"
#include "apiserver/authz/node_graph.h"
#include "apiserver/authz/rbac.h"
#include "object/node_identity.h"

#define LEASE_NAMESPACE "kube-node-lease"

struct sv node_identity(const struct user_info *u)
{
	struct sv node = node_of_user(u->name);

	return node.p && user_in_group(u, SV("system:nodes")) ? node : SV_NULL;
}

/* One question and where its answer's reason goes. */
struct node_question {
	struct apiserver *s;
	struct sv node;
	const struct authz_attrs *at;
	struct arena *a;
	struct sv *reason;
	enum node_graph_kind kind;
};

static bool node_no(const struct node_question *q, const char *why)
{
	*q->reason = sv_from(why);
	return false;
}

static bool node_verb_is_one_of(const struct node_question *q, const char *const *verbs)
{
	for (; *verbs; verbs++)
		if (sv_is(q->at->verb, *verbs))
			return true;
	return false;
}

#define NODE_VERB_IN(q, ...) node_verb_is_one_of((q), (const char *const[]){ __VA_ARGS__, NULL })

/* field=node among the terms: whatever else the selector says only narrows it. */
static bool node_selects_own(const struct node_question *q, const char *field)
{
	const struct field_selector *fields = q->at->fields;

	for (size_t i = 0; fields && i < fields->n; i++)
		if (!fields->terms[i].negated && sv_is(fields->terms[i].label, field) &&
		    sv_eq(fields->terms[i].value, q->node))
			return true;
	return false;
}

static bool node_related(const struct node_question *q)
{
	struct authz *z = q->s->authz;

	if (node_graph_reaches(z->nodes, q->node, q->kind, q->at->ns, q->at->name))
		return true;
	if (q->kind == NODE_GRAPH_SECRET && !q->s->o.no_ingress &&
	    node_ingress_reaches(z->ingress, q->node, q->at->ns, q->at->name))
		return true;
	if (q->kind == NODE_GRAPH_SECRET && !q->s->o.no_gateway && node_ingress_serves(z->ingress, q->node) &&
	    node_gateway_reaches(q->s, q->at->ns, q->at->name))
		return true;
	*q->reason = arena_svf(q->a, "no relationship found between node '%.*s' and this object", SV_ARG(q->node));
	return false;
}

static bool node_one(const struct node_question *q)
{
	return q->at->name.n ? node_related(q) : node_no(q, "No Object name found");
}

static bool node_gets(const struct node_question *q)
{
	if (!sv_is(q->at->verb, "get"))
		return node_no(q, "can only get individual resources of this type");
	if (q->at->subresource.n)
		return node_no(q, "cannot get subresource");
	return node_one(q);
}

static bool node_reads(const struct node_question *q)
{
	if (!NODE_VERB_IN(q, "get", "list", "watch"))
		return node_no(q, "can only read resources of this type");
	if (q->at->subresource.n)
		return node_no(q, "cannot read subresource");
	if (!q->at->ns.n)
		return node_no(q, "can only read namespaced object of this type");
	return node_one(q);
}

static bool node_claims(const struct node_question *q)
{
	if (!sv_is(q->at->subresource, "status"))
		return node_gets(q);
	if (!NODE_VERB_IN(q, "update", "patch"))
		return node_no(q, "can only get/update/patch this type");
	return node_one(q);
}

static bool node_service_accounts(const struct node_question *q)
{
	if (sv_is(q->at->verb, "get") && !q->at->subresource.n)
		return node_reads(q);
	if (!sv_is(q->at->verb, "create") || !q->at->name.n)
		return node_no(q, "can only create tokens for individual service accounts");
	if (!sv_is(q->at->subresource, "token"))
		return node_no(q, "can only create token subresource of serviceaccount");
	return node_related(q);
}

static bool node_leases(const struct node_question *q)
{
	if (!NODE_VERB_IN(q, "get", "create", "update", "patch", "delete"))
		return node_no(q, "can only get, create, update, patch, or delete a node lease");
	if (!sv_is(q->at->ns, LEASE_NAMESPACE))
		return node_no(q, "can only access leases in the \"" LEASE_NAMESPACE "\" system namespace");
	/* The name of a new one is in its body: admission looks at it. */
	if (!sv_is(q->at->verb, "create") && !sv_eq(q->at->name, q->node))
		return node_no(q, "can only access node lease with the same name as the requesting node");
	return true;
}

static bool node_csi_nodes(const struct node_question *q)
{
	if (!NODE_VERB_IN(q, "get", "create", "update", "patch", "delete"))
		return node_no(q, "can only get, create, update, patch, or delete a CSINode");
	if (q->at->subresource.n)
		return node_no(q, "cannot authorize CSINode subresources");
	if (!sv_is(q->at->verb, "create") && !sv_eq(q->at->name, q->node))
		return node_no(q, "can only access CSINode with the same name as the requesting node");
	return true;
}

static bool node_slices(const struct node_question *q)
{
	if (q->at->subresource.n)
		return node_no(q, "cannot authorize ResourceSlice subresources");
	if (sv_is(q->at->verb, "create"))
		return true;
	if (NODE_VERB_IN(q, "get", "update", "patch", "delete"))
		return node_one(q);
	if (!NODE_VERB_IN(q, "watch", "list", "deletecollection"))
		return node_no(q, "only the following verbs are allowed for a ResourceSlice: get, watch, list, "
				  "create, update, patch, delete, deletecollection");
	if (node_selects_own(q, "spec.nodeName"))
		return true;
	return node_no(q, "can only list/watch/deletecollection resourceslices with nodeName field selector");
}

/* Whose pod one is for admission looks at. */
static bool node_pod_certificates(const struct node_question *q)
{
	if (q->at->subresource.n)
		return node_no(q, "nodes may not access the status subresource of PodCertificateRequests");
	if (sv_is(q->at->verb, "create"))
		return true;
	if (sv_is(q->at->verb, "get"))
		return node_one(q);
	if (!NODE_VERB_IN(q, "list", "watch"))
		return node_no(q, "can only create, get, list and watch PodCertificateRequests");
	if (node_selects_own(q, "spec.nodeName"))
		return true;
	return node_no(q, "can only list/watch podcertificaterequests with spec.nodeName field selector");
}

/* What pods project is for everybody to know. */
static bool node_trust_bundles(const struct node_question *q)
{
	if (q->at->subresource.n || !NODE_VERB_IN(q, "get", "list", "watch"))
		return node_no(q, "can only read resources of this type");
	return true;
}

static bool node_nodes(const struct node_question *q)
{
	if (sv_is(q->at->subresource, "status"))
		return NODE_VERB_IN(q, "update", "patch");
	if (q->at->subresource.n)
		return false;
	if (NODE_VERB_IN(q, "create", "update", "patch"))
		return true;
	if (!NODE_VERB_IN(q, "get", "list", "watch"))
		return false;
	/* By name, not by the graph: a kubelet looks for its Node before there is one. */
	if (sv_eq(q->at->name, q->node))
		return true;
	if (q->at->name.n)
		*q->reason = arena_svf(q->a, "node '%.*s' cannot read '%.*s', only its own Node object",
				       SV_ARG(q->node), SV_ARG(q->at->name));
	else
		*q->reason =
		    arena_svf(q->a, "node '%.*s' cannot read all nodes, only its own Node object", SV_ARG(q->node));
	return false;
}

static bool node_pods(const struct node_question *q)
{
	if (sv_is(q->at->subresource, "status"))
		return NODE_VERB_IN(q, "update", "patch");
	if (sv_is(q->at->subresource, "eviction"))
		return sv_is(q->at->verb, "create");
	if (q->at->subresource.n)
		return false;
	if (sv_is(q->at->verb, "get"))
		return node_gets(q);
	if (!NODE_VERB_IN(q, "list", "watch"))
		return NODE_VERB_IN(q, "create", "delete");
	if (node_selects_own(q, "spec.nodeName"))
		return true;
	if (q->at->name.n)
		return node_related(q);
	return node_no(q, "can only list/watch pods with spec.nodeName field selector");
}

/* The resources of which a node reaches only some objects. */
static const struct {
	const char *group, *resource;
	bool (*allowed)(const struct node_question *q);
	enum node_graph_kind kind;
} node_divided[] = {
	{ "", "secrets", node_reads, NODE_GRAPH_SECRET },
	{ "", "configmaps", node_reads, NODE_GRAPH_CONFIGMAP },
	{ "", "persistentvolumeclaims", node_claims, NODE_GRAPH_CLAIM },
	{ "", "persistentvolumes", node_gets, NODE_GRAPH_VOLUME },
	{ "", "serviceaccounts", node_service_accounts, NODE_GRAPH_SERVICE_ACCOUNT },
	{ "", "nodes", node_nodes, NODE_GRAPH_POD },
	{ "", "pods", node_pods, NODE_GRAPH_POD },
	{ "resource.k8s.io", "resourceclaims", node_gets, NODE_GRAPH_RESOURCE_CLAIM },
	{ "resource.k8s.io", "resourceslices", node_slices, NODE_GRAPH_SLICE },
	{ "certificates.k8s.io", "podcertificaterequests", node_pod_certificates, NODE_GRAPH_CERTIFICATE_REQUEST },
	{ "certificates.k8s.io", "clustertrustbundles", node_trust_bundles, NODE_GRAPH_POD },
	{ "storage.k8s.io", "volumeattachments", node_gets, NODE_GRAPH_ATTACHMENT },
	{ "storage.k8s.io", "csinodes", node_csi_nodes, NODE_GRAPH_POD },
	{ "coordination.k8s.io", "leases", node_leases, NODE_GRAPH_POD },
};

bool node_allowed(struct apiserver *s, struct sv node, const struct authz_attrs *at, struct arena *a,
		  struct sv *ret_reason)
{
	struct node_question q = { .s = s, .node = node, .at = at, .a = a, .reason = ret_reason };

	if (!node.n) {
		*ret_reason = arena_svf(a, "unknown node for user \"%.*s\"", SV_ARG(at->user->name));
		return false;
	}
	for (size_t i = 0; at->resource_request && i < ARRAY_LEN(node_divided); i++) {
		if (!sv_is(at->group, node_divided[i].group) || !sv_is(at->resource, node_divided[i].resource))
			continue;
		q.kind = node_divided[i].kind;
		return node_divided[i].allowed(&q);
	}
	return rbac_rules_allow(s->authz->node_rules, at);
}
