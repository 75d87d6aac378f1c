#include "object/pod_refs.h"
#include "base/buf.h"

struct refs {
	void (*fn)(enum pod_ref kind, struct sv name, void *ctx);
	void *ctx;
};

static void refs_tell(const struct refs *r, enum pod_ref kind, struct sv name)
{
	if (name.n)
		r->fn(kind, name, r->ctx);
}

static void refs_env(const struct refs *r, const struct val *containers)
{
	VAL_EACH(containers, c) {
		VAL_EACH(val_member(c, F_envFrom), e) {
			refs_tell(r, POD_REF_SECRET, val_get_str(e, F_secretRef, F_name));
			refs_tell(r, POD_REF_CONFIGMAP, val_get_str(e, F_configMapRef, F_name));
		}
		VAL_EACH(val_member(c, F_env), e) {
			refs_tell(r, POD_REF_SECRET, val_get_str(e, F_valueFrom, F_secretKeyRef, F_name));
			refs_tell(r, POD_REF_CONFIGMAP, val_get_str(e, F_valueFrom, F_configMapKeyRef, F_name));
		}
	}
}

/* Volume sources that have a secretRef. */
static const enum sym refs_with_secret[] = { F_cephfs, F_cinder, F_flexVolume, F_iscsi, F_rbd, F_scaleIO, F_storageos };

static void refs_volume(const struct refs *r, const struct val *v)
{
	refs_tell(r, POD_REF_SECRET, val_get_str(v, F_secret, F_secretName));
	refs_tell(r, POD_REF_SECRET, val_get_str(v, F_azureFile, F_secretName));
	refs_tell(r, POD_REF_SECRET, val_get_str(v, F_csi, F_nodePublishSecretRef, F_name));
	for (size_t i = 0; i < ARRAY_LEN(refs_with_secret); i++)
		refs_tell(r, POD_REF_SECRET, val_get_str(v, refs_with_secret[i], F_secretRef, F_name));
	refs_tell(r, POD_REF_CONFIGMAP, val_get_str(v, F_configMap, F_name));
	VAL_EACH(val_get(v, F_projected, F_sources), src) {
		refs_tell(r, POD_REF_SECRET, val_get_str(src, F_secret, F_name));
		refs_tell(r, POD_REF_CONFIGMAP, val_get_str(src, F_configMap, F_name));
	}
	refs_tell(r, POD_REF_CLAIM, val_get_str(v, F_persistentVolumeClaim, F_claimName));
}

struct sv pod_ephemeral_claim(struct buf *b, const struct val *pod, const struct val *volume)
{
	buf_clear(b);
	buf_addsv(b, val_get_str(pod, F_metadata, F_name));
	buf_addc(b, '-');
	buf_addsv(b, val_get_str(volume, F_name));
	return buf_sv(b);
}

struct sv pod_volume_claim(struct buf *b, const struct val *pod, const struct val *volume)
{
	if (val_member(volume, F_ephemeral))
		return pod_ephemeral_claim(b, pod, volume);
	return val_get_str(volume, F_persistentVolumeClaim, F_claimName);
}

/* A claim is named by the pod itself, or by its status once it was made from a template. Only the control plane writes
 * those parts of a status. */
static void refs_resource_claims(const struct refs *r, const struct val *pod)
{
	VAL_EACH(val_get(pod, F_spec, F_resourceClaims), c)
		refs_tell(r, POD_REF_RESOURCE_CLAIM, val_get_str(c, F_resourceClaimName));
	VAL_EACH(val_get(pod, F_status, F_resourceClaimStatuses), c)
		refs_tell(r, POD_REF_RESOURCE_CLAIM, val_get_str(c, F_resourceClaimName));
	refs_tell(r, POD_REF_RESOURCE_CLAIM,
		  val_get_str(pod, F_status, F_extendedResourceClaimStatus, F_resourceClaimName));
}

void pod_refs_each(const struct val *pod, void (*fn)(enum pod_ref kind, struct sv name, void *ctx), void *ctx)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	const struct refs r = { .fn = fn, .ctx = ctx };
	const struct val *spec = val_get(pod, F_spec);

	refs_tell(&r, POD_REF_SERVICE_ACCOUNT, val_get_str(spec, F_serviceAccountName));
	VAL_EACH(val_get(spec, F_imagePullSecrets), s)
		refs_tell(&r, POD_REF_SECRET, val_get_str(s, F_name));
	refs_env(&r, val_get(spec, F_containers));
	refs_env(&r, val_get(spec, F_initContainers));
	refs_env(&r, val_get(spec, F_ephemeralContainers));
	VAL_EACH(val_get(spec, F_volumes), v) {
		refs_volume(&r, v);
		if (val_get(v, F_ephemeral))
			refs_tell(&r, POD_REF_CLAIM, pod_ephemeral_claim(&b, pod, v));
	}
	refs_resource_claims(&r, pod);
}

void volume_secrets_each(const struct val *volume, void (*fn)(struct sv ns, struct sv name, void *ctx), void *ctx)
{
	static const enum sym of_nodes[] = { F_nodePublishSecretRef, F_nodeStageSecretRef, F_nodeExpandSecretRef };
	const struct val *spec = val_get(volume, F_spec), *refs[ARRAY_LEN(refs_with_secret) + ARRAY_LEN(of_nodes)];
	struct sv claim_ns = val_get_str(spec, F_claimRef, F_namespace), ns, name;
	size_t n = 0;

	for (size_t i = 0; i < ARRAY_LEN(refs_with_secret); i++)
		refs[n++] = val_get(spec, refs_with_secret[i], F_secretRef);
	for (size_t i = 0; i < ARRAY_LEN(of_nodes); i++)
		refs[n++] = val_get(spec, F_csi, of_nodes[i]);
	for (size_t i = 0; i < n; i++) {
		ns = val_get_str(refs[i], F_namespace);
		name = val_get_str(refs[i], F_name);
		if (name.n)
			fn(ns.n ? ns : claim_ns, name, ctx);
	}
	ns = val_get_str(spec, F_azureFile, F_secretNamespace);
	name = val_get_str(spec, F_azureFile, F_secretName);
	if (name.n)
		fn(ns.n ? ns : claim_ns, name, ctx);
}

/* --- mirror pods --- */

bool pod_is_mirror(const struct val *pod)
{
	return val_member_sv(val_get(pod, F_metadata, F_annotations), SV(POD_MIRROR_ANNOTATION)) != NULL;
}

struct seen {
	bool secrets, configmaps;
};

static void refs_note(enum pod_ref kind, struct sv name, void *ctx)
{
	struct seen *s = ctx;

	(void)name;
	s->secrets |= kind == POD_REF_SECRET;
	s->configmaps |= kind == POD_REF_CONFIGMAP;
}

static const char *refs_of_projection(const struct val *volume, struct sv *ret_unknown)
{
	static const struct {
		enum sym source;
		const char *what;
	} table[] = {
		{ F_configMap, "configmaps (via projected volumes)" },
		{ F_secret, "secrets (via projected volumes)" },
		{ F_serviceAccountToken, "serviceaccounts (via projected volumes)" },
		{ F_clusterTrustBundle, "clustertrustbundles" },
		{ F_podCertificate, "podcertificates" },
	};

	VAL_EACH(val_get(volume, F_projected, F_sources), src) {
		for (size_t i = 0; i < ARRAY_LEN(table); i++)
			if (val_member(src, table[i].source))
				return table[i].what;
		if (!val_member(src, F_downwardAPI)) {
			*ret_unknown = val_get_str(volume, F_name);
			return "";
		}
	}
	return NULL;
}

/* Volumes for which nothing is read from the API; their secrets were looked for before. */
static bool refs_harmless(const struct val *volume)
{
	static const enum sym kinds[] = { F_awsElasticBlockStore,
					  F_azureDisk,
					  F_cephfs,
					  F_cinder,
					  F_downwardAPI,
					  F_emptyDir,
					  F_fc,
					  F_flexVolume,
					  F_flocker,
					  F_gcePersistentDisk,
					  F_gitRepo,
					  F_hostPath,
					  F_image,
					  F_iscsi,
					  F_nfs,
					  F_photonPersistentDisk,
					  F_portworxVolume,
					  F_quobyte,
					  F_rbd,
					  F_scaleIO,
					  F_storageos,
					  F_vsphereVolume };

	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		if (val_member(volume, kinds[i]))
			return true;
	return val_len(volume) == 1; /* a name alone: an emptyDir */
}

static const char *refs_of_volume(const struct val *volume, struct sv *ret_unknown)
{
	static const struct {
		enum sym source;
		const char *what;
	} table[] = {
		{ F_configMap, "configmaps (via configmap volumes)" },
		{ F_secret, "secrets (via secret volumes)" },
		{ F_csi, "csidrivers (via CSI volumes)" },
		{ F_glusterfs, "endpoints (via glusterFS volumes)" },
		{ F_persistentVolumeClaim, "persistentvolumeclaims" },
		{ F_ephemeral, "persistentvolumeclaims (via ephemeral volumes)" },
		{ F_azureFile, "secrets (via azureFile volumes)" },
	};

	for (size_t i = 0; i < ARRAY_LEN(table); i++)
		if (val_member(volume, table[i].source))
			return table[i].what;
	if (val_member(volume, F_projected))
		return refs_of_projection(volume, ret_unknown);
	if (refs_harmless(volume))
		return NULL;
	*ret_unknown = val_get_str(volume, F_name);
	return "";
}

const char *pod_api_reference(const struct val *pod, struct sv *ret_unknown)
{
	const struct val *spec = val_get(pod, F_spec);
	struct seen seen = { false, false };
	const char *what = NULL;

	*ret_unknown = SV_NULL;
	if (val_get_str(spec, F_serviceAccountName).n || val_get_str(spec, F_serviceAccount).n)
		return "serviceaccounts";
	pod_refs_each(pod, refs_note, &seen);
	if (seen.secrets)
		return "secrets";
	if (seen.configmaps)
		return "configmaps";
	if (val_len(val_get(spec, F_resourceClaims)))
		return "resourceclaims";
	VAL_EACH(val_get(spec, F_volumes), v) {
		what = refs_of_volume(v, ret_unknown);
		if (what)
			return what;
	}
	return NULL;
}
