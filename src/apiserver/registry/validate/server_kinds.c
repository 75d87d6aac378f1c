/* server_kinds.c - kinds by which servers and their operators agree: LeaseCandidate, StorageVersion,
 * StorageVersionMigration, ResourcePoolStatusRequest. */
#include "apiserver/registry/validate/dra.h"

#define POOLS_MAX 1000
#define POOL_CONDITIONS_MAX 10

/* --- candidates --- */

static void servers_version(struct field_errs *fe, const struct val *v, const struct fpath *at)
{
	if (val_str(v).n && !is_semver(val_str(v)))
		fe_invalid(fe, at, v, "must be a valid semantic version");
}

/* The numbers of a version alone. */
static int64_t servers_number(struct sv *s)
{
	int64_t n = 0;

	while (s->n && s->p[0] >= '0' && s->p[0] <= '9') {
		n = n > INT32_MAX ? n : n * 10 + (s->p[0] - '0');
		*s = sv_sub(*s, 1, s->n);
	}
	if (s->n && s->p[0] == '.')
		*s = sv_sub(*s, 1, s->n);
	return n;
}

static bool servers_older(struct sv a, struct sv b)
{
	for (int i = 0; i < 3; i++) {
		int64_t x = servers_number(&a), y = servers_number(&b);

		if (x != y)
			return x < y;
	}
	return false;
}

void validate_lease_candidate(struct field_errs *fe, const struct val *doc, const struct val *old, const char *sub)
{
	const struct val *spec = val_member(doc, F_spec), *strategy = val_member(spec, F_strategy),
			 *binary = val_member(spec, F_binaryVersion), *emulated = val_member(spec, F_emulationVersion);
	struct fpath at = FPATH_ROOT(F_spec), strategy_at = FPATH(&at, F_strategy),
		     binary_at = FPATH(&at, F_binaryVersion), emulated_at = FPATH(&at, F_emulationVersion);

	(void)sub;
	check_required_text(fe, spec, &at, F_leaseName, fmt_dns_subdomain);
	check_required(fe, spec, &at, F_binaryVersion);
	servers_version(fe, binary, &binary_at);
	servers_version(fe, emulated, &emulated_at);
	if (val_str(binary).n && val_str(emulated).n && servers_older(val_str(binary), val_str(emulated)))
		fe_invalid(fe, &binary_at, binary, "must be greater than or equal to `emulationVersion`");
	if (!val_str(strategy).n)
		fe_required(fe, &strategy_at);
	else if (sv_find(val_str(strategy), '/') >= 0)
		check_text(fe, strategy, &strategy_at, fmt_qualified_name);
	else
		CHECK_ONE_OF(fe, strategy, &strategy_at, "OldestEmulationVersion");
	if (val_is(strategy, "OldestEmulationVersion") && !val_str(emulated).n)
		fe_required_why(fe, &emulated_at, "must be specified when `strategy` is 'OldestEmulationVersion'");
	if (old)
		check_immutable(fe, spec, val_member(old, F_spec), &at, F_leaseName);
}

/* --- migrations --- */

static bool servers_is(const struct val *doc, const char *type)
{
	VAL_EACH(val_get(doc, F_status, F_conditions), c)
		if (val_is(val_member(c, F_type), type))
			return val_is(val_member(c, F_status), "True");
	return false;
}

static void migration_status(struct field_errs *fe, const struct val *doc, const struct val *old)
{
	const struct val *list = val_get(doc, F_status, F_conditions), *rv = val_get(doc, F_status, F_resourceVersion);
	struct fpath at = FPATH_ROOT(F_status), conditions_at = FPATH(&at, F_conditions),
		     rv_at = FPATH(&at, F_resourceVersion);
	bool good = servers_is(doc, "Succeeded"), bad = servers_is(doc, "Failed");
	struct sv was = val_get_str(old, F_status, F_resourceVersion);
	uint64_t n;

	if (val_str(rv).n && !sv_to_u64(val_str(rv), &n))
		fe_invalid(fe, &rv_at, rv, "must be a non-negative integer");
	if (was.n && !sv_eq(was, val_str(rv)))
		fe_invalid(fe, &rv_at, rv ? rv : val_new_str(fe->a, SV("")), "field is immutable");
	validate_conditions(fe, list, &conditions_at, 0);
	if (good && bad)
		fe_invalid(fe, &conditions_at, list,
			   "Both success and failed conditions cannot be true at the same time");
	if ((good || bad) && servers_is(doc, "Running"))
		fe_invalid(fe, &conditions_at, list, "Running condition cannot be true when success or failed is true");
	if (servers_is(old, "Succeeded") && !good)
		fe_invalid(fe, &conditions_at, list, "Success condition cannot be set to false once it is true");
	if (servers_is(old, "Failed") && !bad)
		fe_invalid(fe, &conditions_at, list, "Failed condition cannot be set to false once it is true");
}

void validate_storage_version_migration(struct field_errs *fe, const struct val *doc, const struct val *old,
					const char *sub)
{
	const struct val *res = val_get(doc, F_spec, F_resource);
	struct fpath at = FPATH_ROOT(F_spec), res_at = FPATH(&at, F_resource), name_at = FPATH(&res_at, F_resource),
		     group_at = FPATH(&res_at, F_group);

	if (is_sub(sub, "status")) {
		migration_status(fe, doc, old);
		return;
	}
	if (!val_get_str(res, F_resource).n)
		fe_required_why(fe, &name_at, "resource is required");
	else
		check_text(fe, val_member(res, F_resource), &name_at, fmt_dns1035_label);
	if (val_get_str(res, F_group).n)
		check_text(fe, val_member(res, F_group), &group_at, fmt_dns_subdomain);
	if (old)
		check_immutable(fe, doc, old, NULL, F_spec);
}

/* --- what each server stores --- */

static void servers_one(struct field_errs *fe, const struct val *s, const struct fpath *at)
{
	struct fpath id_at = FPATH(at, F_apiServerID), encoding_at = FPATH(at, F_encodingVersion),
		     served_at = FPATH(at, F_servedVersions);
	const struct val *can = val_member(s, F_decodableVersions);
	_cleanup_(strmap_release) struct strmap decodable = STRMAP_INIT;
	size_t i = 0;

	fe_check(fe, &id_at, val_get_str(s, F_apiServerID), fmt_dns_subdomain);
	VAL_EACH(can, v)
		strmap_set(&decodable, val_str(v), fe);
	if (!strmap_has(&decodable, val_get_str(s, F_encodingVersion)))
		fe_add(fe, FE_INVALID, &encoding_at, val_new_str(fe->a, val_get_str(s, F_encodingVersion)),
		       "decodableVersions must include encodingVersion %.*s",
		       SV_ARG(val_get_str(s, F_encodingVersion)));
	VAL_EACH(val_member(s, F_servedVersions), v) {
		struct fpath here = FPATH_AT(&served_at, i++);

		if (!strmap_has(&decodable, val_str(v)))
			fe_add(fe, FE_INVALID, &here, v,
			       "individual served version : %.*s must be included in decodableVersions",
			       SV_ARG(val_str(v)));
	}
}

void validate_storage_version(struct field_errs *fe, const struct val *doc, const struct val *old, const char *sub)
{
	static const enum sym needed[] = { F_type, F_reason, F_message };
	struct fpath meta_at = FPATH_ROOT(F_metadata), name_at = FPATH(&meta_at, F_name), at = FPATH_ROOT(F_status),
		     list_at = FPATH(&at, F_storageVersions), common_at = FPATH(&at, F_commonEncodingVersion),
		     conditions_at = FPATH(&at, F_conditions);
	const struct val *list = val_get(doc, F_status, F_storageVersions), *first = val_at(list, 0),
			 *common = val_get(doc, F_status, F_commonEncodingVersion);
	_cleanup_(strmap_release) struct strmap ids = STRMAP_INIT, types = STRMAP_INIT;
	struct sv name = val_get_str(doc, F_metadata, F_name), resource = name;
	bool agreed = val_len(list) > 0;
	size_t i = 0;

	(void)old;
	(void)sub;
	while (sv_find(resource, '.') >= 0)
		resource = sv_sub(resource, (size_t)sv_find(resource, '.') + 1, resource.n);
	if (resource.n == name.n || fmt_dns1035_label(resource) ||
	    fmt_dns_subdomain(sv_sub(name, 0, name.n - resource.n - 1)))
		fe_format(fe, &name_at, name, "name must be in the form of <group>.<resource>");
	VAL_EACH(list, s) {
		struct fpath item = FPATH_AT(&list_at, i++);
		struct sv id = val_get_str(s, F_apiServerID);

		if (strmap_set(&ids, id, fe))
			fe_duplicate(fe, &item, val_new_str(fe->a, id));
		servers_one(fe, s, &item);
		agreed &= sv_eq(val_get_str(s, F_encodingVersion), val_get_str(first, F_encodingVersion));
	}
	if (!agreed && common)
		fe_invalid(fe, &common_at, common,
			   "should be nil if servers do not agree on the same encoding version, or if there is no "
			   "server reporting the supported versions yet");
	else if (agreed && !common)
		fe_invalid(fe, &common_at, &fe_null, "the common encoding version is expected to be set");
	else if (agreed && !sv_eq(val_str(common), val_get_str(first, F_encodingVersion)))
		fe_invalid(fe, &common_at, common, "the actual common encoding version is another");
	i = 0;
	VAL_EACH(val_get(doc, F_status, F_conditions), c) {
		struct fpath item = FPATH_AT(&conditions_at, i++), type_at = FPATH(&item, F_type);

		if (strmap_set(&types, val_get_str(c, F_type), fe))
			fe_duplicate(fe, &type_at, val_new_str(fe->a, val_get_str(c, F_type)));
		for (size_t k = 0; k < ARRAY_LEN(needed); k++)
			check_required(fe, c, &item, needed[k]);
	}
}

/* --- questions about pools --- */

void validate_resource_pool_request(struct field_errs *fe, const struct val *doc, const struct val *old,
				    const char *sub)
{
	const struct val *spec = val_member(doc, F_spec), *limit = val_member(spec, F_limit),
			 *type = val_member(spec, F_defaultPartitionTypeAttribute), *status = val_member(doc, F_status),
			 *was = val_member(old, F_status);
	struct fpath at = FPATH_ROOT(F_spec), pool_at = FPATH(&at, F_poolName), limit_at = FPATH(&at, F_limit),
		     type_at = FPATH(&at, F_defaultPartitionTypeAttribute), st_at = FPATH_ROOT(F_status),
		     pools_at = FPATH(&st_at, F_pools), conditions_at = FPATH(&st_at, F_conditions);

	if (is_sub(sub, "status")) {
		(void)dra_few(fe, val_member(status, F_pools), &pools_at, POOLS_MAX);
		validate_conditions(fe, val_member(status, F_conditions), &conditions_at, POOL_CONDITIONS_MAX);
		if (val_len(was) && !val_same(status, was))
			fe_invalid(fe, &st_at, status, "field is immutable");
		return;
	}
	if (old) {
		check_immutable(fe, doc, old, NULL, F_spec);
		return;
	}
	check_driver_name(fe, spec, &at, F_driver);
	if (val_member(spec, F_poolName))
		dra_pool_name(fe, val_get_str(spec, F_poolName), &pool_at);
	if (limit && (val_int_or(limit, 0) < 1 || val_int_or(limit, 0) > 1000))
		fe_invalid(fe, &limit_at, limit, "must be between 1 and 1000, inclusive");
	if (type)
		dra_attribute_name(fe, val_str(type), &type_at, true);
}
