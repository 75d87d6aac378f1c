/* volumes.c - volumes of a pod: one source each, paths that stay inside, file modes. */
#include "apiserver/registry/validate/kinds-internal.h"

#include "base/strmap.h"
#include "object/quantity.h"

static void file_mode(struct field_errs *fe, const struct val *parent, const struct fpath *up, enum sym name)
{
	const struct val *v = val_member(parent, name);
	struct fpath at = FPATH(up, name);

	if (val_type(v) == VAL_INT && (v->i < 0 || v->i > 0777))
		fe_invalid(fe, &at, v, "must be a number between 0 and 0777 (octal), both inclusive");
}

static void file_path(struct field_errs *fe, const struct val *item, const struct fpath *up)
{
	const struct val *v = val_member(item, F_path);
	struct fpath at = FPATH(up, F_path);

	if (val_str(v).n == 0)
		fe_required(fe, &at);
	else
		check_volume_path(fe, v, &at);
}

static void key_items(struct field_errs *fe, const struct val *src, const struct fpath *up)
{
	struct fpath at = FPATH(up, F_items);
	size_t i = 0;

	file_mode(fe, src, up, F_defaultMode);
	VAL_EACH(val_member(src, F_items), it) {
		struct fpath item = FPATH_AT(&at, i++);

		check_required(fe, it, &item, F_key);
		file_path(fe, it, &item);
		file_mode(fe, it, &item, F_mode);
	}
}

/* Upstream blames the list, not the item, for what it refers to. */
static void downward(struct field_errs *fe, const struct val *src, const struct fpath *up)
{
	struct fpath at = FPATH(up, F_items);
	size_t i = 0;

	file_mode(fe, src, up, F_defaultMode);
	VAL_EACH(val_member(src, F_items), it) {
		const struct val *field = val_member(it, F_fieldRef), *res = val_member(it, F_resourceFieldRef);
		struct fpath item = FPATH_AT(&at, i++), field_at = FPATH(up, F_fieldRef);
		struct fpath res_at = FPATH(up, F_resourceFieldRef);

		if (val_get_str(it, F_path).n) /* absent is the schema's to say */
			file_path(fe, it, &item);
		if (field)
			validate_field_ref(fe, field, &field_at, true);
		if (field && res)
			fe_format(fe, up, SV("resource"),
				  "fieldRef and resourceFieldRef can not be specified simultaneously");
		else if (res)
			validate_resource_ref(fe, res, &res_at, true);
		else if (!field)
			fe_required_why(fe, up, "one of fieldRef and resourceFieldRef is required");
		file_mode(fe, it, &item, F_mode);
	}
}

/* Files of all sources stand in one directory. */
static void one_path_once(struct field_errs *fe, const struct val *src, const struct fpath *up)
{
	static const enum sym with_items[] = { F_secret, F_configMap, F_downwardAPI };
	static const enum sym with_path[][2] = { { F_serviceAccountToken, F_path },
						 { F_clusterTrustBundle, F_path },
						 { F_podCertificate, F_credentialBundlePath },
						 { F_podCertificate, F_keyPath },
						 { F_podCertificate, F_certificateChainPath } };
	_cleanup_(strmap_release) struct strmap paths = STRMAP_INIT;
	struct fpath at = FPATH(up, F_sources);

	VAL_EACH(val_member(src, F_sources), s) {
		size_t left = val_len(s); /* a source has one of them, mostly */

		for (size_t k = 0; left && k < ARRAY_LEN(with_items); k++) {
			const struct val *kind = val_member(s, with_items[k]);

			left -= kind != NULL;
			VAL_EACH(val_member(kind, F_items), it)
				if (val_get_str(it, F_path).n && strmap_set(&paths, val_get_str(it, F_path), fe))
					fe_invalid(fe, &at, val_member(it, F_path), "conflicting duplicate paths");
		}
		for (size_t k = 0; left && k < ARRAY_LEN(with_path); k++) {
			const struct val *path = val_get(s, with_path[k][0], with_path[k][1]);

			if (val_str(path).n && strmap_set(&paths, val_str(path), fe))
				fe_invalid(fe, &at, path, "conflicting duplicate paths");
		}
	}
}

static void projected(struct field_errs *fe, const struct val *src, const struct fpath *up)
{
	struct fpath at = FPATH(up, F_sources);
	size_t i = 0;

	file_mode(fe, src, up, F_defaultMode);
	one_path_once(fe, src, up);
	VAL_EACH(val_member(src, F_sources), s) {
		struct fpath item = FPATH_AT(&at, i++), secret_at = FPATH(&item, F_secret),
			     cm_at = FPATH(&item, F_configMap);
		struct fpath api_at = FPATH(&item, F_downwardAPI), token_at = FPATH(&item, F_serviceAccountToken);
		struct fpath exp_at = FPATH(&token_at, F_expirationSeconds);
		const struct val *token = val_member(s, F_serviceAccountToken);
		const struct val *secret = val_member(s, F_secret), *cm = val_member(s, F_configMap);

		if (val_len(s) > 1)
			fe_forbidden(fe, &item, "may not specify more than 1 volume type per source");
		if (secret) {
			check_required(fe, secret, &secret_at, F_name);
			key_items(fe, secret, &secret_at);
		}
		if (cm) {
			check_required(fe, cm, &cm_at, F_name);
			key_items(fe, cm, &cm_at);
		}
		if (val_member(s, F_downwardAPI))
			downward(fe, val_member(s, F_downwardAPI), &api_at);
		if (val_member(s, F_clusterTrustBundle))
			validate_trust_bundle(fe, val_member(s, F_clusterTrustBundle), &item);
		if (val_member(s, F_podCertificate))
			validate_pod_certificate(fe, val_member(s, F_podCertificate), &item);
		if (token) {
			const struct val *exp = val_member(token, F_expirationSeconds);

			if (val_int_or(exp, 3600) < 600)
				fe_invalid(fe, &exp_at, exp, "may not specify a duration less than 10 minutes");
			if (val_int_or(exp, 3600) > INT64_C(1) << 32)
				fe_invalid(fe, &exp_at, exp, "may not specify a duration larger than 2^32 seconds");
			if (val_get_str(token, F_path).n)
				file_path(fe, token, &token_at);
		}
	}
}

/* --- the rules of each source --- */

/* What a rule gets: the source, where it stands, and whether this is a template's, which is completed later. */
typedef void source_rule(struct field_errs *fe, const struct val *src, const struct fpath *at, bool template);

static void source_empty_dir(struct field_errs *fe, const struct val *src, const struct fpath *at,
			     _unused_ bool template)
{
	struct fpath size_at = FPATH(at, F_sizeLimit);
	int64_t milli;

	if (quantity_milli(val_get_str(src, F_sizeLimit), &milli) && milli < 0)
		fe_forbidden(fe, &size_at, "SizeLimit field must be a valid resource quantity");
}

static void source_host_path(struct field_errs *fe, const struct val *src, const struct fpath *at,
			     _unused_ bool template)
{
	struct fpath path_at = FPATH(at, F_path), type_at = FPATH(at, F_type);

	if (has_dotdot(val_get_str(src, F_path)))
		fe_invalid(fe, &path_at, val_member(src, F_path), "must not contain '..'");
	if (val_get_str(src, F_type).n)
		CHECK_ONE_OF(fe, val_member(src, F_type), &type_at, "", "BlockDevice", "CharDevice", "Directory",
			     "DirectoryOrCreate", "File", "FileOrCreate", "Socket");
}

static void source_secret(struct field_errs *fe, const struct val *src, const struct fpath *at, _unused_ bool template)
{
	key_items(fe, src, at);
}

static void source_config_map(struct field_errs *fe, const struct val *src, const struct fpath *at,
			      _unused_ bool template)
{
	check_required(fe, src, at, F_name);
	key_items(fe, src, at);
}

static void source_claim(struct field_errs *fe, const struct val *src, const struct fpath *at, _unused_ bool template)
{
	check_required(fe, src, at, F_claimName);
}

static void source_nfs(struct field_errs *fe, const struct val *src, const struct fpath *at, _unused_ bool template)
{
	struct fpath path_at = FPATH(at, F_path);

	if (val_get_str(src, F_path).n && *val_get_str(src, F_path).p != '/')
		fe_invalid(fe, &path_at, val_member(src, F_path), "must be an absolute path");
}

static void source_csi(struct field_errs *fe, const struct val *src, const struct fpath *at, _unused_ bool template)
{
	check_driver_name(fe, src, at, F_driver);
}

static void source_image(struct field_errs *fe, const struct val *src, const struct fpath *at, bool template)
{
	struct fpath policy_at = FPATH(at, F_pullPolicy);

	if (!template)
		check_required(fe, src, at, F_reference);
	CHECK_ONE_OF(fe, val_member(src, F_pullPolicy), &policy_at, "Always", "IfNotPresent", "Never");
}

static void source_downward(struct field_errs *fe, const struct val *src, const struct fpath *at,
			    _unused_ bool template)
{
	downward(fe, src, at);
}

static void source_projected(struct field_errs *fe, const struct val *src, const struct fpath *at,
			     _unused_ bool template)
{
	projected(fe, src, at);
}

static void source_ephemeral(struct field_errs *fe, const struct val *src, const struct fpath *at,
			     _unused_ bool template)
{
	const struct val *claim = val_member(src, F_volumeClaimTemplate);
	struct fpath claim_at = FPATH(at, F_volumeClaimTemplate), spec_at = FPATH(&claim_at, F_spec);

	if (claim)
		validate_pvc_spec(fe, val_member(claim, F_spec), &spec_at);
}

static const struct {
	enum sym source;
	source_rule *rule;
} source_rules[] = {
	{ F_emptyDir, source_empty_dir },
	{ F_hostPath, source_host_path },
	{ F_secret, source_secret },
	{ F_configMap, source_config_map },
	{ F_persistentVolumeClaim, source_claim },
	{ F_nfs, source_nfs },
	{ F_csi, source_csi },
	{ F_image, source_image },
	{ F_downwardAPI, source_downward },
	{ F_projected, source_projected },
	{ F_ephemeral, source_ephemeral },
};

static void volume(struct field_errs *fe, const struct val *v, const struct fpath *at, bool template)
{
	if (check_union(fe, &U_core_VolumeSource, v, at) == SYM_NONE)
		return;
	for (size_t i = 0; i < ARRAY_LEN(source_rules); i++) {
		const struct val *src = val_member(v, source_rules[i].source);
		struct fpath here = FPATH(at, source_rules[i].source);

		if (src)
			source_rules[i].rule(fe, src, &here, template);
	}
	validate_volume_elsewhere(fe, v, at);
}

void validate_volumes(struct field_errs *fe, const struct pod_ctx *pc, const struct fpath *at)
{
	_cleanup_(strmap_release) struct strmap names = STRMAP_INIT;
	struct fpath list_at = FPATH(at, F_volumes);
	size_t i = 0;

	VAL_EACH(pc->volumes, v) {
		struct fpath item = FPATH_AT(&list_at, i++), name_at = FPATH(&item, F_name);

		volume(fe, v, &item, pc->place != POD);
		if (val_get_str(v, F_name).n && strmap_set(&names, val_get_str(v, F_name), fe))
			fe_duplicate(fe, &name_at, val_member(v, F_name));
	}
}
