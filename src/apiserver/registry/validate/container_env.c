/* container_env.c - the environment of a container, and what its values may refer to. */
#include "apiserver/registry/validate/kinds-internal.h"

static void cenv_key_ref(struct field_errs *fe, const struct val *ref, const struct fpath *at)
{
	struct fpath name_at = FPATH(at, F_name);

	fe_check(fe, &name_at, val_get_str(ref, F_name), fmt_dns_subdomain);
	check_required_text(fe, ref, at, F_key, fmt_config_key);
}

/* A file that an init container wrote, so the volume is one that a pod can write and nobody else sees. */
static void cenv_file_ref(struct field_errs *fe, const struct pod_ctx *pc, const struct val *ref,
			  const struct fpath *at)
{
	struct fpath volume_at = FPATH(at, F_volumeName), path_at = FPATH(at, F_path), key_at = FPATH(at, F_key);
	struct sv name = val_get_str(ref, F_volumeName), key = val_get_str(ref, F_key);
	const struct val *volume = pod_volume_named(pc, name);

	check_required_text(fe, ref, at, F_volumeName, fmt_dns_label);
	if (name.n && !volume)
		fe_not_found(fe, &volume_at, val_member(ref, F_volumeName));
	else if (volume && !val_member(volume, F_emptyDir))
		fe_invalid(fe, &volume_at, val_member(ref, F_volumeName), "referenced volume must be of type emptyDir");
	check_required(fe, ref, at, F_path);
	check_rel_path(fe, val_member(ref, F_path), &path_at);
	check_required_text(fe, ref, at, F_key, fmt_env_name);
	if (key.n > 128)
		fe_format(fe, &key_at, key, "must be no more than 128 characters");
}

static void cenv_from(struct field_errs *fe, const struct val *c, const struct fpath *up)
{
	struct fpath at = FPATH(up, F_envFrom);
	size_t i = 0;

	VAL_EACH(val_member(c, F_envFrom), e) {
		struct fpath item = FPATH_AT(&at, i++), prefix_at = FPATH(&item, F_prefix);
		const struct val *cm = val_member(e, F_configMapRef), *secret = val_member(e, F_secretRef);
		struct fpath cm_at = FPATH(&item, F_configMapRef), secret_at = FPATH(&item, F_secretRef);

		if (val_get_str(e, F_prefix).n)
			check_text(fe, val_member(e, F_prefix), &prefix_at, fmt_env_name);
		if (cm)
			check_required_text(fe, cm, &cm_at, F_name, fmt_dns_subdomain);
		if (secret)
			check_required_text(fe, secret, &secret_at, F_name, fmt_dns_subdomain);
		if (!cm && !secret)
			fe_format(fe, &at, SV(""), "must specify one of: `configMapRef` or `secretRef`");
		else if (cm && secret)
			fe_format(fe, &at, SV(""), "may not have more than one field specified at a time");
	}
}

static void cenv_list(struct field_errs *fe, const struct pod_ctx *pc, const struct val *c, const struct fpath *up)
{
	struct fpath at = FPATH(up, F_env);
	size_t i = 0;

	VAL_EACH(val_member(c, F_env), e) {
		struct fpath item = FPATH_AT(&at, i++), name_at = FPATH(&item, F_name),
			     from_at = FPATH(&item, F_valueFrom);
		struct fpath field_at = FPATH(&from_at, F_fieldRef), res_at = FPATH(&from_at, F_resourceFieldRef);
		struct fpath cm_at = FPATH(&from_at, F_configMapKeyRef), secret_at = FPATH(&from_at, F_secretKeyRef);
		struct fpath file_at = FPATH(&from_at, F_fileKeyRef);
		const struct val *from = val_member(e, F_valueFrom);

		if (val_get_str(e, F_name).n)
			check_text(fe, val_member(e, F_name), &name_at, fmt_env_name);
		if (!from)
			continue;
		if (val_member(from, F_fieldRef))
			validate_field_ref(fe, val_member(from, F_fieldRef), &field_at, false);
		if (val_member(from, F_resourceFieldRef))
			validate_resource_ref(fe, val_member(from, F_resourceFieldRef), &res_at, false);
		if (val_member(from, F_configMapKeyRef))
			cenv_key_ref(fe, val_member(from, F_configMapKeyRef), &cm_at);
		if (val_member(from, F_secretKeyRef))
			cenv_key_ref(fe, val_member(from, F_secretKeyRef), &secret_at);
		if (val_member(from, F_fileKeyRef))
			cenv_file_ref(fe, pc, val_member(from, F_fileKeyRef), &file_at);
		if (val_len(from) == 0)
			fe_format(
			    fe, &from_at, SV(""),
			    "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef` or `secretKeyRef`");
		else if (val_get_str(e, F_value).n)
			fe_format(fe, &from_at, SV(""), "may not be specified when `value` is not empty");
		else if (val_len(from) > 1)
			fe_format(fe, &from_at, SV(""), "may not have more than one field specified at a time");
	}
}

void validate_container_env(struct field_errs *fe, const struct pod_ctx *pc, const struct val *c,
			    const struct fpath *up)
{
	cenv_list(fe, pc, c, up);
	cenv_from(fe, c, up);
}
