/* pod_gated.c - fields of pods whose features are off unless a gate is set: without the gate they are not even read
 * (object/decode.h), so nothing here asks for it. */
#include "apiserver/registry/validate/declared.h"

#include "object/feature.h"

#define DIRECTORY_MODE_MAX 01777
#define RESPONDERS_MAX 10
#define TURN_MAX 100000

static void gated_user(struct field_errs *fe, const struct val *v, const struct fpath *up, enum sym name)
{
	struct fpath at = FPATH(up, name);

	if (val_member(v, name))
		check_range(fe, val_member(v, name), &at, 0, INT32_MAX);
}

/* Owners of files: of a source as a whole, and of each of its items. */
static void gated_owners(struct field_errs *fe, const struct val *source, const struct fpath *at)
{
	struct fpath items_at = FPATH(at, F_items);
	size_t i = 0;

	gated_user(fe, source, at, F_defaultUser);
	gated_user(fe, source, at, F_user);
	VAL_EACH(val_member(source, F_items), item) {
		struct fpath here = FPATH_AT(&items_at, i++);

		gated_user(fe, item, &here, F_user);
	}
}

static void gated_volume(struct field_errs *fe, const struct val *v, const struct fpath *at)
{
	static const enum sym whole[] = { F_secret, F_configMap, F_downwardAPI, F_projected }, parts[] = {
		F_secret, F_configMap, F_downwardAPI, F_serviceAccountToken, F_clusterTrustBundle, F_podCertificate
	};
	struct fpath dir_at = FPATH(at, F_emptyDir), mode_at = FPATH(&dir_at, F_mode), proj_at = FPATH(at, F_projected),
		     sources_at = FPATH(&proj_at, F_sources);
	const struct val *mode = val_get(v, F_emptyDir, F_mode);
	size_t i = 0;

	if (mode && (val_int_or(mode, 0) < 0 || val_int_or(mode, 0) > DIRECTORY_MODE_MAX))
		fe_invalid(fe, &mode_at, mode, "must be a number between 0 and 01777 (octal), both inclusive");
	for (size_t k = 0; k < ARRAY_LEN(whole); k++) {
		struct fpath here = FPATH(at, whole[k]);

		gated_owners(fe, val_member(v, whole[k]), &here);
	}
	VAL_EACH(val_get(v, F_projected, F_sources), s) {
		struct fpath item = FPATH_AT(&sources_at, i++);

		for (size_t k = 0; k < ARRAY_LEN(parts); k++) {
			struct fpath here = FPATH(&item, parts[k]);

			gated_owners(fe, val_member(s, parts[k]), &here);
		}
	}
}

static void gated_mounts(struct field_errs *fe, const struct pod_ctx *pc, const struct val *c, const struct fpath *up)
{
	struct fpath at = FPATH(up, F_volumeMounts);
	size_t i = 0;

	VAL_EACH(val_member(c, F_volumeMounts), m) {
		struct fpath item = FPATH_AT(&at, i++), options_at = FPATH(&item, F_bindMountOptions);
		const struct val *options = val_member(m, F_bindMountOptions);
		_cleanup_(strmap_release) struct strmap seen = STRMAP_INIT;
		size_t k = 0;

		if (val_len(options) && val_member(pod_volume_named(pc, val_get_str(m, F_name)), F_image))
			fe_forbidden(fe, &options_at, "may not be specified for image volumes");
		VAL_EACH(options, o) {
			struct fpath here = FPATH_AT(&options_at, k++);

			CHECK_ONE_OF(fe, o, &here, "nodev", "noexec", "nosuid");
			if (strmap_set(&seen, val_str(o), fe))
				fe_duplicate(fe, &here, o);
		}
	}
}

static void gated_container(struct field_errs *fe, const struct pod_ctx *pc, const struct val *c,
			    const struct fpath *at)
{
	static const enum sym probes[] = { F_livenessProbe, F_readinessProbe, F_startupProbe };
	struct fpath hooks_at = FPATH(at, F_lifecycle), signal_at = FPATH(&hooks_at, F_stopSignal);

	gated_mounts(fe, pc, c, at);
	for (size_t i = 0; i < ARRAY_LEN(probes); i++) {
		const struct val *p = val_member(c, probes[i]);
		struct fpath probe_at = FPATH(at, probes[i]), http_at = FPATH(&probe_at, F_httpGet),
			     protocol_at = FPATH(&http_at, F_protocol), grpc_at = FPATH(&probe_at, F_grpc),
			     mode_at = FPATH(&grpc_at, F_mode);

		CHECK_ONE_OF(fe, val_get(p, F_httpGet, F_protocol), &protocol_at, "HTTP1", "HTTP2");
		CHECK_ONE_OF(fe, val_get(p, F_grpc, F_mode), &mode_at, "Plaintext", "TLS");
	}
	if (val_get(c, F_lifecycle, F_stopSignal) && !val_get_str(pc->spec, F_os, F_name).n)
		fe_forbidden(fe, &signal_at, "may not be set for containers with empty `spec.os.name`");
}

static void gated_responders(struct field_errs *fe, const struct val *spec, const struct fpath *up)
{
	const struct val *list = val_member(spec, F_evictionResponders), *group = val_member(spec, F_schedulingGroup);
	struct fpath at = FPATH(up, F_evictionResponders), group_at = FPATH(up, F_schedulingGroup);
	size_t i = 0;

	if (group)
		check_required_text(fe, group, &group_at, F_podGroupName, fmt_dns_subdomain);
	if (!declared_list(fe, list, &at, RESPONDERS_MAX))
		return;
	if (val_len(list) && group)
		fe_forbidden(fe, &at, "may not be specified when `schedulingGroup` is specified");
	VAL_EACH(list, r) {
		struct fpath item = FPATH_AT(&at, i++), turn_at = FPATH(&item, F_priority);

		declared_prefixed_key(fe, r, &item, F_name);
		if (!is_set(val_member(r, F_priority)))
			fe_required(fe, &turn_at);
		declared_range(fe, val_member(r, F_priority), &turn_at, 0, TURN_MAX);
	}
}

static bool gated_any(void)
{
	static const enum feature gates[] = { FG_EmptyDirVolumeMode,	 FG_AtomicWriteVolumeUserFields,
					      FG_VolumeBindMountOptions, FG_H2CContainerProbe,
					      FG_GRPCContainerProbeTLS,	 FG_ContainerStopSignals,
					      FG_EvictionRequestAPI,	 FG_GenericWorkload };

	for (size_t i = 0; i < ARRAY_LEN(gates); i++)
		if (feature_on(gates[i]))
			return true;
	return false;
}

void validate_gated_fields(struct field_errs *fe, const struct pod_ctx *pc, const struct fpath *at)
{
	static const enum sym lists[] = { F_containers, F_initContainers, F_ephemeralContainers };
	struct fpath volumes_at = FPATH(at, F_volumes);
	size_t i = 0;

	if (!gated_any())
		return;
	VAL_EACH(pc->volumes, v) {
		struct fpath here = FPATH_AT(&volumes_at, i++);

		gated_volume(fe, v, &here);
	}
	for (size_t k = 0; k < ARRAY_LEN(lists); k++) {
		struct fpath list_at = FPATH(at, lists[k]);

		i = 0;
		VAL_EACH(val_member(pc->spec, lists[k]), c) {
			struct fpath here = FPATH_AT(&list_at, i++);

			gated_container(fe, pc, c, &here);
		}
	}
	gated_responders(fe, pc->spec, at);
}
