/* csi.c - what storage drivers say about themselves, nodes and volumes, and the classes that name them. */
#include "apiserver/registry/validate/kinds-internal.h"

#include "base/strmap.h"
#include "object/quantity.h"

#define DRIVER_NAME_MAX 63
#define NODE_ID_MAX 256
#define PARAMETERS_MAX 512
#define PARAMETERS_BYTES_MAX ((size_t)256 * 1024)
#define ATTACH_MESSAGE_MAX 1024

/* Names of drivers may have capitals; everything else about them is a name's. */
void check_driver_name(struct field_errs *fe, const struct val *parent, const struct fpath *up, enum sym name)
{
	struct fpath at = FPATH(up, name);
	struct sv s = val_get_str(parent, name);

	if (!s.n)
		fe_required(fe, &at);
	if (s.n > DRIVER_NAME_MAX)
		fe_too_long(fe, &at, DRIVER_NAME_MAX);
	fe_check_as(fe, &at, s, lower_case(fe->a, s), fmt_dns_subdomain);
}

/* provisioner, driverName of a class */
static void class_driver(struct field_errs *fe, const struct val *doc, enum sym name)
{
	struct fpath at = FPATH_ROOT(name);
	struct sv s = val_get_str(doc, name);

	if (s.n)
		fe_check_as(fe, &at, s, lower_case(fe->a, s), fmt_qualified_name);
}

static void parameters(struct field_errs *fe, const struct val *doc, bool required)
{
	const struct val *map = val_member(doc, F_parameters);
	struct fpath at = FPATH_ROOT(F_parameters);
	size_t total = 0;

	if (required && !val_len(map))
		fe_required_why(fe, &at, "must contain at least one key/value pair");
	if (val_len(map) > PARAMETERS_MAX)
		fe_too_long(fe, &at, PARAMETERS_MAX);
	VAL_EACH_MEMBER(map, m) {
		if (!m.key.n)
			fe_invalid(fe, &at, val_new_str(fe->a, SV("")), "field can not be empty.");
		total += m.key.n + val_str(m.value).n;
	}
	if (total > PARAMETERS_BYTES_MAX)
		fe_too_long(fe, &at, PARAMETERS_BYTES_MAX);
}

static void frozen(struct field_errs *fe, const struct val *doc, const struct val *old, enum sym name, const char *msg)
{
	struct fpath at = FPATH_ROOT(name);

	if (old && !val_same(val_member(doc, name), val_member(old, name)))
		fe_forbidden(fe, &at, msg);
}

/* --- classes --- */

static void topologies(struct field_errs *fe, const struct val *terms)
{
	struct fpath at = FPATH_ROOT(F_allowedTopologies);
	size_t i = 0;

	VAL_EACH(terms, term) {
		struct fpath term_at = FPATH_AT(&at, i), list_at = FPATH(&term_at, F_matchLabelExpressions);
		_cleanup_(strmap_release) struct strmap keys = STRMAP_INIT;
		size_t k = 0;

		for (size_t before = 0; before < i; before++)
			if (val_equal(val_at(terms, before), term)) {
				fe_duplicate(fe, &list_at, val_new_str(fe->a, SV("")));
				break;
			}
		VAL_EACH(val_member(term, F_matchLabelExpressions), e) {
			struct fpath here = FPATH_AT(&list_at, k++), key_at = FPATH(&here, F_key),
				     values_at = FPATH(&here, F_values);
			_cleanup_(strmap_release) struct strmap seen = STRMAP_INIT;
			struct sv key = val_get_str(e, F_key);
			size_t v = 0;

			fe_check(fe, &key_at, key, fmt_qualified_name);
			if (strmap_set(&keys, key, fe))
				fe_duplicate(fe, &key_at, val_new_str(fe->a, key));
			if (!val_len(val_member(e, F_values)))
				fe_required(fe, &values_at);
			VAL_EACH(val_member(e, F_values), value) {
				struct fpath value_at = FPATH_AT(&values_at, v++);

				if (strmap_set(&seen, val_str(value), fe))
					fe_duplicate(fe, &value_at, value);
			}
		}
		i++;
	}
}

void validate_storage_class(struct field_errs *fe, const struct val *doc, const struct val *old, const char *sub)
{
	struct fpath policy_at = FPATH_ROOT(F_reclaimPolicy);

	(void)sub;
	class_driver(fe, doc, F_provisioner);
	parameters(fe, doc, false);
	CHECK_ONE_OF(fe, val_member(doc, F_reclaimPolicy), &policy_at, "Delete", "Retain");
	topologies(fe, val_member(doc, F_allowedTopologies));
	frozen(fe, doc, old, F_parameters, "updates to parameters are forbidden.");
	frozen(fe, doc, old, F_provisioner, "updates to provisioner are forbidden.");
	frozen(fe, doc, old, F_reclaimPolicy, "updates to reclaimPolicy are forbidden.");
}

void validate_volume_attributes_class(struct field_errs *fe, const struct val *doc, const struct val *old,
				      const char *sub)
{
	(void)sub;
	class_driver(fe, doc, F_driverName);
	parameters(fe, doc, true);
	frozen(fe, doc, old, F_driverName, "updates to driverName are forbidden.");
	frozen(fe, doc, old, F_parameters, "updates to parameters are forbidden.");
}

/* --- drivers --- */

static void token_requests(struct field_errs *fe, const struct val *list, const struct fpath *up)
{
	_cleanup_(strmap_release) struct strmap seen = STRMAP_INIT;
	struct fpath at = FPATH(up, F_tokenRequests);
	size_t i = 0;

	VAL_EACH(list, t) {
		struct fpath item = FPATH_AT(&at, i++), audience_at = FPATH(&item, F_audience),
			     secs_at = FPATH(&item, F_expirationSeconds);
		const struct val *secs = val_member(t, F_expirationSeconds);

		if (strmap_set(&seen, val_get_str(t, F_audience), fe))
			fe_duplicate(fe, &audience_at, val_new_str(fe->a, val_get_str(t, F_audience)));
		if (val_type(secs) == VAL_INT && secs->i < 600)
			fe_invalid(fe, &secs_at, secs, "may not specify a duration less than 10 minutes");
		if (val_type(secs) == VAL_INT && secs->i > (INT64_C(1) << 32))
			fe_invalid(fe, &secs_at, secs, "may not specify a duration larger than 2^32 seconds");
	}
}

void validate_csi_driver(struct field_errs *fe, const struct val *doc, const struct val *old, const char *sub)
{
	const struct val *spec = val_member(doc, F_spec),
			 *period = val_member(spec, F_nodeAllocatableUpdatePeriodSeconds);
	const struct val *secrets = val_member(spec, F_serviceAccountTokenInSecrets);
	struct fpath at = FPATH_ROOT(F_spec), policy_at = FPATH(&at, F_fsGroupPolicy),
		     modes_at = FPATH(&at, F_volumeLifecycleModes);
	struct fpath period_at = FPATH(&at, F_nodeAllocatableUpdatePeriodSeconds),
		     secrets_at = FPATH(&at, F_serviceAccountTokenInSecrets),
		     attach_at = FPATH_NAME(&at, SV("attachedRequired"));

	(void)sub;
	if (old) /* the others are marked in the schema; upstream's path has a slip */
		fe_immutable(fe, &attach_at, val_member(spec, F_attachRequired),
			     val_get(old, F_spec, F_attachRequired));
	CHECK_ONE_OF(fe, val_member(spec, F_fsGroupPolicy), &policy_at, "File", "None", "ReadWriteOnceWithFSType");
	VAL_EACH(val_member(spec, F_volumeLifecycleModes), mode)
		CHECK_ONE_OF(fe, mode, &modes_at, "Persistent", "Ephemeral");
	token_requests(fe, val_member(spec, F_tokenRequests), &at);
	if (val_type(period) == VAL_INT && period->i < 10)
		fe_invalid(fe, &period_at, period, "must be greater than or equal to 10 seconds");
	if (val_bool(secrets) && !val_len(val_member(spec, F_tokenRequests)))
		fe_invalid(fe, &secrets_at, secrets,
			   "serviceAccountTokenInSecrets is set but no tokenRequests are specified");
}

void validate_csi_node(struct field_errs *fe, const struct val *doc, const struct val *old, const char *sub)
{
	static const enum sym fixed[] = { F_nodeID, F_topologyKeys };
	_cleanup_(strmap_release) struct strmap names = STRMAP_INIT, had = STRMAP_INIT;
	const struct val *drivers = val_get(doc, F_spec, F_drivers);
	struct fpath spec_at = FPATH_ROOT(F_spec), at = FPATH(&spec_at, F_drivers),
		     entry_at = FPATH_NAME(NULL, SV("CSINodeDriver"));
	size_t i = 0;

	(void)sub;
	index_by_name(&had, val_get(old, F_spec, F_drivers));
	VAL_EACH(drivers, d) {
		struct fpath item = FPATH_AT(&at, i++), name_at = FPATH(&item, F_name), id_at = FPATH(&item, F_nodeID),
			     keys_at = item; /* as upstream has it */
		_cleanup_(strmap_release) struct strmap keys = STRMAP_INIT;
		const struct val *was = strmap_get(&had, val_get_str(d, F_name));
		struct sv id = val_get_str(d, F_nodeID);

		check_driver_name(fe, d, &item, F_name);
		if (strmap_set(&names, val_get_str(d, F_name), fe))
			fe_duplicate(fe, &name_at, val_new_str(fe->a, val_get_str(d, F_name)));
		if (!id.n)
			fe_required(fe, &id_at);
		else if (id.n > NODE_ID_MAX)
			fe_add(fe, FE_INVALID, &id_at, val_member(d, F_nodeID), "must be %d characters or less",
			       NODE_ID_MAX);
		VAL_EACH(val_member(d, F_topologyKeys), k) {
			if (!val_str(k).n)
				fe_required(fe, &keys_at);
			else if (strmap_set(&keys, val_str(k), fe))
				fe_duplicate(fe, &keys_at, k);
			else
				fe_check(fe, &keys_at, val_str(k), fmt_qualified_name);
		}
		for (size_t k = 0; was && k < ARRAY_LEN(fixed); k++)
			if (!val_same(val_member(was, fixed[k]), val_member(d, fixed[k]))) {
				fe_invalid(fe, &entry_at, d, "field is immutable");
				break;
			}
	}
}

void validate_csi_storage_capacity(struct field_errs *fe, const struct val *doc, const struct val *old, const char *sub)
{
	static const enum sym sizes[] = { F_capacity, F_maximumVolumeSize };
	struct fpath topology_at = FPATH_ROOT(F_nodeTopology);
	int64_t milli;

	(void)old;
	(void)sub;
	validate_label_selector(fe, val_member(doc, F_nodeTopology), &topology_at);
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		const struct val *v = val_member(doc, sizes[i]);
		struct fpath at = FPATH_ROOT(sizes[i]);

		if (v && quantity_milli(val_str(v), &milli) && milli < 0)
			fe_invalid(fe, &at, v, MSG_NONNEGATIVE);
	}
}

/* --- attachments --- */

/* Only volumes moved from the old in-tree drivers come inline, and only what CSI knows of them. */
static void inline_volume(struct field_errs *fe, const struct val *v, const struct fpath *at)
{
	static const enum sym never[] = { F_claimRef, F_capacity, F_nodeAffinity };
	struct fpath csi_at = FPATH(at, F_csi), class_at = FPATH(at, F_storageClassName),
		     mode_at = FPATH(at, F_volumeMode), policy_at = FPATH(at, F_persistentVolumeReclaimPolicy);

	if (!val_member(v, F_csi))
		fe_required(fe, &csi_at);
	for (size_t i = 0; i < ARRAY_LEN(never); i++) {
		struct fpath here = FPATH(at, never[i]);

		if (val_member(v, never[i]))
			fe_forbidden(fe, &here, "is not allowed in inline volumes");
	}
	if (val_get_str(v, F_storageClassName).n)
		fe_forbidden(fe, &class_at, "is not allowed in inline volumes");
	if (val_member(v, F_volumeMode) && !val_is(val_member(v, F_volumeMode), "Filesystem"))
		fe_forbidden(fe, &mode_at, "may only be Filesystem in inline volumes");
	if (val_get_str(v, F_persistentVolumeReclaimPolicy).n &&
	    !val_is(val_member(v, F_persistentVolumeReclaimPolicy), "Retain"))
		fe_forbidden(fe, &policy_at, "may only be Retain in inline volumes");
}

static void volume_error(struct field_errs *fe, const struct val *status, const struct fpath *up, enum sym name)
{
	struct fpath at = FPATH(up, name), message_at = FPATH(&at, F_message);
	const struct val *e = val_member(status, name);

	if (val_get_str(e, F_message).n > ATTACH_MESSAGE_MAX)
		fe_too_long(fe, &message_at, ATTACH_MESSAGE_MAX);
	CHECK_NONNEGATIVE(fe, e, &at, F_errorCode);
}

void validate_volume_attachment(struct field_errs *fe, const struct val *doc, const struct val *old, const char *sub)
{
	const struct val *spec = val_member(doc, F_spec), *source = val_member(spec, F_source),
			 *status = val_member(doc, F_status);
	const struct val *pv = val_member(source, F_persistentVolumeName), *in = val_member(source, F_inlineVolumeSpec);
	struct fpath at = FPATH_ROOT(F_spec), source_at = FPATH(&at, F_source), st_at = FPATH_ROOT(F_status);
	struct fpath node_at = FPATH(&at, F_nodeName), pv_at = FPATH(&source_at, F_persistentVolumeName),
		     attacher_at = FPATH(&at, F_attacher), in_at = FPATH(&source_at, F_inlineVolumeSpec),
		     meta_at = FPATH(&st_at, F_attachmentMetadata);
	size_t total = 0;

	(void)sub;
	if (!old)
		check_driver_name(fe, spec, &at, F_attacher);
	if (!old && !val_get_str(spec, F_attacher).n)
		fe_required(fe, &attacher_at); /* upstream's rules of the kind and of its v1 both say so */
	if (!pv && !in)
		fe_required_why(fe, &source_at,
				"must specify exactly one of inlineVolumeSpec and persistentVolumeName");
	else if (pv && in)
		fe_forbidden(fe, &source_at, "must specify exactly one of inlineVolumeSpec and persistentVolumeName");
	else if (in)
		inline_volume(fe, in, &in_at);
	else if (!val_str(pv).n)
		fe_required_why(fe, &pv_at, "must specify non empty persistentVolumeName");
	if (pv && !in && !old)
		fe_check(fe, &pv_at, val_str(pv), fmt_dns_subdomain);
	fe_check(fe, &node_at, val_get_str(spec, F_nodeName), fmt_dns_subdomain);
	VAL_EACH_MEMBER(val_member(status, F_attachmentMetadata), m)
		total += m.key.n + val_str(m.value).n;
	if (total > PARAMETERS_BYTES_MAX)
		fe_too_long(fe, &meta_at, PARAMETERS_BYTES_MAX);
	volume_error(fe, status, &st_at, F_attachError);
	volume_error(fe, status, &st_at, F_detachError);
	if (old && !val_same(spec, val_member(old, F_spec)))
		fe_invalid(fe, &at, spec, "field is immutable");
}
