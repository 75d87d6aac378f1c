/* csrapproving: requests of kubelets that need nobody to look at them.
 *
 * A client certificate: when a SubjectAccessReview says that its sender may ask for one of its own name
 * (certificatesigningrequests/selfnodeclient) or of any node's (…/nodeclient), as upstream. Whoever comes with a join
 * token may the latter, a node the former (api/rbac.policy).
 *
 * A serving certificate, which upstream leaves to others: when it is the node's own request, and every name and address
 * in it is one that its Node has, the API server has not, and no other node that is Ready. What this gives to a node
 * that lies: a certificate for the names that it wrote into its Node, also those of machines that are no nodes. Who
 * talks to kubelets asks for the subject system:node:NAME, too (the API server does), so it cannot pass for another
 * node, and not for the API server. What is refused stays pending, for `kubectl certificate approve`.
 *
 * What a review refuses is asked again after a while: a role may come later than the request. */
#include "controllers/csr.h"
#include "controllers/podutil.h"
#include "object/condition.h"

#include <stdio.h>

#define ASK_AGAIN_NS (60 * NS_PER_SEC)
#define NODES_GROUP "system:nodes"

static struct val *approving_question(struct arena *a, const struct obj *o, const char *sub)
{
	static const enum sym copied[] = { F_uid, F_groups, F_extra };
	struct val *doc = val_new_map(a), *spec = val_new_map(a), *at;

	val_set_cstr(a, doc, F_apiVersion, "authorization.k8s.io/v1");
	val_set_cstr(a, doc, F_kind, "SubjectAccessReview");
	val_set_str(a, spec, F_user, val_str(obj_get(o, F_spec, F_username)));
	for (size_t i = 0; i < ARRAY_LEN(copied); i++)
		if (obj_get(o, F_spec, copied[i]))
			val_set(a, spec, copied[i], val_clone(a, obj_get(o, F_spec, copied[i])));
	at = val_set_map(a, spec, F_resourceAttributes);
	val_set_cstr(a, at, F_verb, "create");
	val_set_cstr(a, at, F_group, "certificates.k8s.io");
	val_set_cstr(a, at, F_resource, "certificatesigningrequests");
	val_set_cstr(a, at, F_subresource, sub);
	val_set(a, doc, F_spec, spec);
	return doc;
}

/* 1: he may, 0: not, -1. */
static int approving_may(struct csr_controller *c, struct arena *a, const struct obj *o, const char *sub,
			 struct err *err)
{
	_cleanup_obj_ struct obj *got = NULL;

	if (client_create(c->ctx->client, RES(authorization_subjectaccessreviews), SV(""),
			  approving_question(a, o, sub), NULL, &got, err) < 0)
		return -1;
	return val_bool(obj_get(got, F_status, F_allowed));
}

static int approving_client(struct csr_controller *c, struct arena *a, struct obj *o, const struct csr *csr,
			    struct reconcile_result *ret, struct err *err)
{
	bool self = sv_eq(csr->common_name, val_str(obj_get(o, F_spec, F_username)));
	int may = 0;

	if (csr_not_kubelet_client(csr, obj_get(o, F_spec, F_usages)))
		return 0;
	if (self)
		may = approving_may(c, a, o, "selfnodeclient", err);
	if (may > 0)
		return csr_decide(c, o, "approval", "Approved", "AutoApproved",
				  "Auto approving self kubelet client certificate after SubjectAccessReview.", err);
	if (may == 0)
		may = approving_may(c, a, o, "nodeclient", err);
	if (may > 0)
		return csr_decide(c, o, "approval", "Approved", "AutoApproved",
				  "Auto approving kubelet client certificate after SubjectAccessReview.", err);
	ret->after_ns = may == 0 ? ASK_AGAIN_NS : 0;
	return may;
}

static bool approving_own(const struct obj *o, const struct csr *csr)
{
	return list_has_text(obj_get(o, F_spec, F_groups), SV(NODES_GROUP)) &&
	       sv_eq(csr->common_name, val_str(obj_get(o, F_spec, F_username)));
}

struct approving_other {
	const struct csr *csr;
	struct sv self;
	char other[254]; /* "": none */
};

static int approving_look(struct obj *node, void *ctx)
{
	struct approving_other *q = ctx;

	if (sv_eq(obj_name(node), q->self) || !condition_ready(obj_root(node)) ||
	    !csr_names_other(q->csr, obj_root(node)))
		return 0;
	(void)snprintf(q->other, sizeof(q->other), "%.*s", SV_ARG(obj_name(node)));
	return 1;
}

static int approving_serving(struct csr_controller *c, struct obj *o, const struct csr *csr,
			     struct reconcile_result *ret, struct err *err)
{
	struct approving_other q = { .csr = csr, .self = node_of_user(csr->common_name) };
	_cleanup_obj_ struct obj *node = NULL;
	struct sv foreign;

	if (csr_not_kubelet_serving(csr, obj_get(o, F_spec, F_usages)) || !approving_own(o, csr))
		return 0;
	node = informer_lookup(c->nodes, SV(""), node_of_user(csr->common_name));
	foreign = node ? csr_foreign_name(csr, obj_root(node), c->ctx->opts->server_cert_pem) : SV("");
	if (!foreign.p)
		informer_each(c->nodes, SV(""), approving_look, &q);
	if (q.other[0]) {
		recorder_event(c->ctx->recorder, RES(certificates_certificatesigningrequests), obj_root(o), "Warning",
			       "NotApproved",
			       "it names node %s, too, which is Ready; this is left to kubectl certificate approve",
			       q.other);
		ret->after_ns = ASK_AGAIN_NS; /* that one may be an old name of this machine */
		return 0;
	}
	if (!foreign.p)
		return csr_decide(c, o, "approval", "Approved", "AutoApproved",
				  "Auto approving kubelet serving certificate: the Node has all of its names and "
				  "addresses.",
				  err);
	if (foreign.n)
		recorder_event(c->ctx->recorder, RES(certificates_certificatesigningrequests), obj_root(o), "Warning",
			       "NotApproved",
			       "%.*s: no name or address of the Node, or one of the API server; this is left to "
			       "kubectl certificate approve",
			       SV_ARG(foreign));
	return 0; /* until the Node has other addresses */
}

static int approving_reconcile(void *ctx, struct sv key, struct reconcile_result *ret, struct err *err)
{
	struct csr_controller *c = ctx;
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_obj_ struct obj *o = informer_lookup(c->requests, SV(""), key);
	const struct val *signer = o ? obj_get(o, F_spec, F_signerName) : NULL;
	bool client = val_is(signer, SIGNER_KUBELET_CLIENT);
	struct csr csr;

	if (!o || obj_deleting(o) || csr_issued(o) || csr_condition(o, "Approved") || csr_condition(o, "Denied") ||
	    (!client && !val_is(signer, SIGNER_KUBELET_SERVING)) || !csr_of(&a, o, &csr))
		return 0;
	return client ? approving_client(c, &a, o, &csr, ret, err) : approving_serving(c, o, &csr, ret, err);
}

/* --- a Node that has come, or has other addresses: its requests may be right now --- */

struct approving_of {
	struct csr_controller *c;
	struct sv node;
};

static int approving_again(struct obj *o, void *ctx)
{
	const struct approving_of *f = ctx;
	struct sv node = node_of_user(val_str(obj_get(o, F_spec, F_username)));

	if (node.n && sv_eq(node, f->node) && !csr_condition(o, "Approved"))
		workq_add(f->c->q, obj_name(o));
	return 0;
}

static void approving_node_added(struct obj *node, void *ctx)
{
	struct csr_controller *c = ctx;

	informer_each(c->requests, SV(""), approving_again, &(struct approving_of){ c, obj_name(node) });
}

static void approving_node_updated(struct obj *old, struct obj *neu, void *ctx)
{
	if (!val_same(obj_get(old, F_status, F_addresses), obj_get(neu, F_status, F_addresses)))
		approving_node_added(neu, ctx);
}

static void *approving_start(struct controller_ctx *ctx)
{
	struct csr_controller *c = csr_controller_start(ctx, "csr-approving", true, approving_reconcile);

	informer_add_handler(
	    c->nodes, &(struct informer_handler){ .add = approving_node_added, .update = approving_node_updated }, c);
	return c;
}

const struct controller_ops csr_approving_controller = { "certificatesigningrequest-approving-controller",
							 "certificate-controller", approving_start,
							 csr_controller_stop };
