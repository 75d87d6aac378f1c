/* Warning headers for claims, volumes, Secrets and Services that are accepted but probably not meant. */
#include "apiserver/registry/kinds/kinds.h"
#include "base/b64.h"
#include "object/quantity.h"

#define CLASS_ANNOTATION "volume.beta.kubernetes.io/storage-class"
#define OPTIONS_ANNOTATION "volume.beta.kubernetes.io/mount-options"

static void old_annotation(struct api_req *q, const struct val *doc, const char *key, const char *since,
			   const char *instead)
{
	if (val_member_sv(val_get(doc, F_metadata, F_annotations), sv_from(key)))
		api_req_warn(q, "metadata.annotations[%s]: deprecated since %s; use \"%s\" attribute instead", key,
			     since, instead);
}

static void whole_bytes(struct api_req *q, const struct val *amount, const char *path)
{
	int64_t milli;

	if (quantity_milli(val_str(amount), &milli) && milli % 1000)
		api_req_warn(q, "%s[storage]: fractional byte value \"%.*s\" is invalid, must be an integer", path,
			     SV_ARG(val_str(amount)));
}

void claim_warn(struct api_req *q, const struct val *doc, const struct val *old)
{
	(void)old;
	if (q->trusted)
		return;
	old_annotation(q, doc, CLASS_ANNOTATION, "v1.8", "storageClassName");
	whole_bytes(q, val_member_sv(val_get(doc, F_spec, F_resources, F_requests), SV("storage")),
		    "spec.resources.requests");
}

void volume_warn(struct api_req *q, const struct val *doc, const struct val *old)
{
	struct fpath spec_at = FPATH_ROOT(F_spec);

	(void)old;
	if (q->trusted)
		return;
	old_annotation(q, doc, CLASS_ANNOTATION, "v1.8", "storageClassName");
	old_annotation(q, doc, OPTIONS_ANNOTATION, "v1.31", "mountOptions");
	if (val_is(val_get(doc, F_spec, F_persistentVolumeReclaimPolicy), "Recycle"))
		api_req_warn(
		    q, "spec.persistentVolumeReclaimPolicy: The Recycle reclaim policy is deprecated. Instead, the "
		       "recommended approach is to use dynamic provisioning.");
	warn_of_dead_volume(q, val_get(doc, F_spec), &spec_at);
	whole_bytes(q, val_member_sv(val_get(doc, F_spec, F_capacity), SV("storage")), "spec.capacity");
}

/* Is there a block of PEM in it at all? */
static bool has_pem(struct arena *a, const struct val *data, const char *key)
{
	struct sv text = SV("");

	return b64_decode(a, val_str(val_member_sv(data, sv_from(key))), &text) &&
	       sv_find_sv(text, SV("-----BEGIN ")) >= 0;
}

void secret_warn(struct api_req *q, const struct val *doc, const struct val *old)
{
	const struct val *data = val_member(doc, F_data);

	(void)old;
	if (q->trusted || !val_is(val_member(doc, F_type), "kubernetes.io/tls"))
		return;
	if (!has_pem(q->arena, data, "tls.crt"))
		api_req_warn(q, "tls: failed to find any PEM data in certificate input");
	else if (!has_pem(q->arena, data, "tls.key"))
		api_req_warn(q, "tls: failed to find any PEM data in key input");
}

/* What the type of a Service makes nothing of. */
void service_warn(struct api_req *q, const struct val *doc, const struct val *old)
{
	static const char hints[] = "service.kubernetes.io/topology-aware-hints";
	const struct val *spec = val_get(doc, F_spec);
	bool headless = val_is(val_get(spec, F_clusterIP), "None"),
	     named = val_is(val_get(spec, F_type), "ExternalName");

	(void)old;
	if (q->trusted)
		return;
	if (val_member_sv(val_get(doc, F_metadata, F_annotations), sv_from(hints)))
		api_req_warn(q, "annotation %s is deprecated, please use service.kubernetes.io/topology-mode instead",
			     hints);
	warn_of_service_addresses(q, spec);
	if (headless && val_get_str(spec, F_loadBalancerIP).n)
		api_req_warn(q, "spec.loadBalancerIP is ignored when spec.clusterIP is \"None\"");
	if (headless && val_len(val_get(spec, F_externalIPs)))
		api_req_warn(q, "spec.externalIPs is ignored when spec.clusterIP is \"None\"");
	if (headless && val_is(val_get(spec, F_sessionAffinity), "ClientIP"))
		api_req_warn(q, "spec.SessionAffinity is ignored when spec.clusterIP is \"None\"");
	if (!named && val_get_str(spec, F_externalName).n)
		api_req_warn(q, "spec.externalName is ignored when spec.type is not \"ExternalName\"");
}
