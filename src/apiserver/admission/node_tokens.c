/* What tokens a node may ask for: of a service account one of its pods runs as, bound to that very pod, for an audience
 * the pod's volumes ask for (ServiceAccountNodeAudienceRestriction) or that RBAC grants the node by the verb
 * request-serviceaccounts-token-audience. */
#include "apiserver/admission/node_restriction.h"
#include "apiserver/authz.h"
#include "apiserver/set_aside.h"
#include "base/buf.h"
#include "object/pod_refs.h"

/* The driver of the volume a claim is bound to; "" when there is none. */
static struct sv tokens_driver_of_claim(const struct admission *a, struct sv claim)
{
	struct obj *pvc = registry_peek(a->q, RES(core_persistentvolumeclaims), a->ns, claim), *pv;
	struct sv volume = val_str(obj_get(pvc, F_spec, F_volumeName));

	pv = volume.n ? registry_peek(a->q, RES(core_persistentvolumes), SV(""), volume) : NULL;
	return val_str(obj_get(pv, F_spec, F_csi, F_driver));
}

static bool tokens_driver_wants(const struct admission *a, struct sv driver, struct sv audience)
{
	struct obj *o = driver.n ? registry_peek(a->q, RES(storage_csidrivers), SV(""), driver) : NULL;

	VAL_EACH(obj_get(o, F_spec, F_tokenRequests), r)
		if (sv_eq(val_get_str(r, F_audience), audience))
			return true;
	return false;
}

static bool tokens_volume_wants(const struct admission *a, const struct val *pod, const struct val *volume,
				struct sv audience)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	struct sv claim = val_get_str(volume, F_persistentVolumeClaim, F_claimName);

	VAL_EACH(val_get(volume, F_projected, F_sources), src) {
		const struct val *token = val_get(src, F_serviceAccountToken);

		if (token && sv_eq(val_get_str(token, F_audience), audience))
			return true;
	}
	if (val_get(volume, F_ephemeral, F_volumeClaimTemplate))
		claim = pod_ephemeral_claim(&b, pod, volume);
	return tokens_driver_wants(a, claim.n ? tokens_driver_of_claim(a, claim) : val_get_str(volume, F_csi, F_driver),
				   audience);
}

/* 0: yes, 1: no. */
static int tokens_granted(const struct admission *a, struct sv audience, struct err *err)
{
	struct authz_attrs at = {
		.user = &a->q->user,
		.verb = SV("request-serviceaccounts-token-audience"),
		.resource_request = true,
		.group = SV(""),
		.version = SV("v1"),
		.resource = audience,
		.subresource = SV(""),
		.ns = a->ns,
		.name = a->name,
	};
	struct sv why;

	return authz_ask(a->q, &at, &why, err);
}

static int tokens_audience(const struct admission *a, const struct val *pod, struct err *err)
{
	const struct val *audiences = val_get(a->doc, F_spec, F_audiences);
	struct sv audience = val_str(val_at(audiences, 0));
	int rc;

	if (val_len(audiences) > 1)
		return admission_forbid(a, err, "node may only request 0 or 1 audiences");
	VAL_EACH(val_get(pod, F_spec, F_volumes), v)
		if (tokens_volume_wants(a, pod, v, audience))
			return 0;
	rc = tokens_granted(a, audience, err);
	if (rc != 1)
		return rc;
	return admission_forbid(a, err,
				"audience \"%.*s\" not found in pod spec volume, %.*s is not authorized to request "
				"tokens for this audience",
				SV_ARG(audience), SV_ARG(a->q->user.name));
}

int node_restrict_token(const struct admission *a, struct sv node, struct err *err)
{
	const struct val *ref = val_get(a->doc, F_spec, F_boundObjectRef);
	struct sv name = val_get_str(ref, F_name), uid = val_get_str(ref, F_uid);
	struct obj *pod;

	if (!val_is(val_get(ref, F_apiVersion), "v1") || !val_is(val_get(ref, F_kind), "Pod") || !name.n)
		return admission_forbid(a, err, "node requested token not bound to a pod");
	if (!uid.n)
		return admission_forbid(a, err, "node requested token with a pod binding without a uid");
	pod = registry_peek(a->q, RES(core_pods), a->ns, name);
	if (!pod)
		return set_aside_error(a->q->server, RES(core_pods), a->ns, name, err);
	if (!sv_eq(uid, obj_uid(pod)))
		return admission_forbid(a, err,
					"the UID in the bound object reference (%.*s) does not match the UID in "
					"record. The object might have been deleted and then recreated",
					SV_ARG(uid));
	if (!sv_eq(val_str(obj_get(pod, F_spec, F_nodeName)), node))
		return admission_forbid(a, err, "node requested token bound to a pod scheduled on a different node");
	return tokens_audience(a, obj_root(pod), err);
}
