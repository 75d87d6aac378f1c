/* CertificateRequestQuota (ours): how much of the store those may fill who may do little else than ask for
 * certificates.
 *
 * Whoever knows a join token may create requests, and so may each node: upstream bounds neither, and keeps what nobody
 * decides for a day (controllers/csr_cleaner). Here each of them has so many at a time, and they are as long as
 * such requests need to be. Requests that come at once may be a few more than that. */
#include "apiserver/admission/plugins.h"
#include "apiserver/authz/node.h"

#define BOOTSTRAPPERS SV("system:bootstrappers")
#define PENDING_MAX 100 /* of one user, without a decision */
#define ALL_MAX 2000	/* with those that are decided, which stay for an hour: a token may be that of many machines */
#define BYTES_MAX ((size_t)16 * 1024) /* as base64; an RSA key of 8192 bits needs 3 KiB */

struct request_count {
	struct sv user;
	size_t all, pending;
};

static int request_count_one(struct obj *o, void *ctx)
{
	struct request_count *c = ctx;

	if (!sv_eq(val_str(obj_get(o, F_spec, F_username)), c->user))
		return 0;
	c->all++;
	c->pending += !val_len(obj_get(o, F_status, F_conditions));
	return c->all >= ALL_MAX;
}

static int request_quota(const struct admission *a, struct err *err)
{
	struct request_count c = { .user = a->q->user.name };
	struct err unseen = ERR_INIT;

	if (a->op != ADMIT_CREATE || a->res != RES(certificates_certificatesigningrequests) || a->subresource.n ||
	    !(user_in_group(&a->q->user, BOOTSTRAPPERS) || node_identity(&a->q->user).p))
		return 0;
	if (val_get_str(a->doc, F_spec, F_request).n > BYTES_MAX)
		return admission_forbid(a, err, "spec.request of a node is at most %zu bytes", BYTES_MAX);
	/* One that cannot be opened is one less that counts: no node waits for a key because of that. */
	if (registry_each(a->q->server, a->res, SV(""), request_count_one, &c, &unseen) < 0)
		err_release(&unseen);
	if (c.pending >= PENDING_MAX)
		return admission_forbid(
		    a, err, "exceeded quota: %zu requests of \"%.*s\" wait for a decision (kubectl get csr)", c.pending,
		    SV_ARG(c.user));
	if (c.all >= ALL_MAX)
		return admission_forbid(a, err,
					"exceeded quota: \"%.*s\" has %zu requests; they go an hour after their "
					"decision",
					SV_ARG(c.user), c.all);
	return 0;
}

const struct admission_plugin admission_request_quota = { .name = "CertificateRequestQuota",
							  .validate = request_quota };
