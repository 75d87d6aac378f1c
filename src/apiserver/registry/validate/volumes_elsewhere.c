/* volumes_elsewhere.c - sources of volumes that nodes of other clusters mount: of pods and of PersistentVolumes. What
 * is wrong with one is said here as everywhere, though no node of ours mounts the right one either. */
#include "apiserver/registry/validate/kinds-internal.h"

typedef void elsewhere_rule(struct field_errs *fe, const struct val *src, const struct fpath *at);

static bool is_alnum(char c)
{
	return (c >= '0' && c <= '9') || (ascii_lower(c) >= 'a' && ascii_lower(c) <= 'z');
}

static bool all_alnum(struct sv s, size_t n)
{
	for (size_t i = 0; i < s.n; i++)
		if (!is_alnum(s.p[i]))
			return false;
	return s.n == n;
}

/* iqn.2003-01.org.example:name; who was given the domain is not asked. */
static bool iqn_valid(struct sv s)
{
	static const char form[] = "iqn.0000-00.";
	ssize_t colon = sv_find(s, ':');

	if (colon < (ssize_t)sizeof(form) || (size_t)colon + 1 == s.n)
		return false;
	for (size_t i = 0; i < sizeof(form) - 1; i++)
		if (form[i] == '0' ? s.p[i] < '0' || s.p[i] > '9' : s.p[i] != form[i])
			return false;
	for (size_t i = sizeof(form) - 1; i < (size_t)colon; i++)
		if (!is_alnum(s.p[i]) && s.p[i] != '-' && s.p[i] != '.')
			return false;
	for (size_t i = (size_t)colon; i < s.n; i++)
		if (strchr(",;*&$| \t\n\f\r", s.p[i]))
			return false;
	return true;
}

static void iscsi_name(struct field_errs *fe, const struct val *name, const struct fpath *at)
{
	struct sv s = val_str(name), rest = sv_sub(s, 4, s.n);
	bool iqn = sv_starts(s, SV("iqn")), eui = sv_starts(s, SV("eui")), naa = sv_starts(s, SV("naa"));

	if (!iqn && !eui && !naa)
		fe_invalid(fe, at, name, "must be valid format starting with iqn, eui, or naa");
	else if ((iqn && !iqn_valid(s)) || (eui && !all_alnum(rest, 16)) || (naa && !all_alnum(rest, 32)))
		fe_invalid(fe, at, name, "must be valid format");
}

static void elsewhere_iscsi(struct field_errs *fe, const struct val *src, const struct fpath *at)
{
	const struct val *ours = val_member(src, F_initiatorName);
	struct fpath iqn_at = FPATH(at, F_iqn), lun_at = FPATH(at, F_lun), secret_at = FPATH(at, F_secretRef),
		     ours_at = FPATH_NAME(at, SV("initiatorname")); /* upstream's name of it */

	if (val_get_str(src, F_iqn).n)
		iscsi_name(fe, val_member(src, F_iqn), &iqn_at);
	else
		fe_required(fe, &iqn_at);
	check_range(fe, val_member(src, F_lun), &lun_at, 0, 255);
	if ((val_get_bool(src, F_chapAuthDiscovery) || val_get_bool(src, F_chapAuthSession)) &&
	    !val_member(src, F_secretRef))
		fe_required(fe, &secret_at);
	if (ours)
		iscsi_name(fe, ours, &ours_at);
}

static void elsewhere_fc(struct field_errs *fe, const struct val *src, const struct fpath *at)
{
	const struct val *targets = val_member(src, F_targetWWNs), *lun = val_member(src, F_lun);
	struct fpath targets_at = FPATH(at, F_targetWWNs), lun_at = FPATH(at, F_lun);

	if (!val_len(targets) && !val_len(val_member(src, F_wwids)))
		fe_required_why(fe, &targets_at, "must specify either targetWWNs or wwids, but not both");
	if (val_len(targets) && val_len(val_member(src, F_wwids)))
		fe_invalid(fe, &targets_at, targets, "targetWWNs and wwids can not be specified simultaneously");
	if (val_len(targets) && val_type(lun) != VAL_INT)
		fe_required_why(fe, &lun_at, "lun is required if targetWWNs is specified");
	else if (val_len(targets))
		check_range(fe, lun, &lun_at, 0, 255);
}

/* 0 is none, and so the words begin with 1. */
static void elsewhere_disk(struct field_errs *fe, const struct val *src, const struct fpath *at)
{
	const struct val *part = val_member(src, F_partition);
	struct fpath part_at = FPATH(at, F_partition);

	if (val_int_or(part, 0) != 0)
		check_range(fe, part, &part_at, 1, 255);
}

static void elsewhere_flocker(struct field_errs *fe, const struct val *src, const struct fpath *at)
{
	struct sv name = val_get_str(src, F_datasetName), uuid = val_get_str(src, F_datasetUUID);
	struct fpath name_at = FPATH(at, F_datasetName);

	if (!name.n && !uuid.n)
		fe_required_why(fe, at, "one of datasetName and datasetUUID is required");
	if (name.n && uuid.n)
		fe_format(fe, at, SV("resource"), "datasetName and datasetUUID can not be specified simultaneously");
	if (sv_find(name, '/') >= 0)
		fe_format(fe, &name_at, name, "must not contain '/'");
}

static void elsewhere_azure(struct field_errs *fe, const struct val *src, const struct fpath *at)
{
	check_required(fe, src, at, F_diskURI);
}

void validate_volume_elsewhere(struct field_errs *fe, const struct val *v, const struct fpath *at)
{
	static const struct {
		enum sym source;
		elsewhere_rule *rule;
	} rules[] = { { F_iscsi, elsewhere_iscsi },
		      { F_fc, elsewhere_fc },
		      { F_gcePersistentDisk, elsewhere_disk },
		      { F_awsElasticBlockStore, elsewhere_disk },
		      { F_flocker, elsewhere_flocker },
		      { F_azureDisk, elsewhere_azure } };

	for (size_t i = 0; i < ARRAY_LEN(rules); i++) {
		const struct val *src = val_member(v, rules[i].source);
		struct fpath here = FPATH(at, rules[i].source);

		if (src)
			rules[i].rule(fe, src, &here);
	}
}
