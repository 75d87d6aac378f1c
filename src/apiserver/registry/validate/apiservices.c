/* apiservices.c - APIService: which server answers a group version. Without a Service it is this one. */
#include "apiserver/registry/validate/kinds-internal.h"

static void service_of(struct field_errs *fe, const struct val *spec, const struct fpath *at)
{
	const struct val *service = val_member(spec, F_service), *bundle = val_member(spec, F_caBundle),
			 *insecure = val_member(spec, F_insecureSkipTLSVerify), *port = val_member(service, F_port);
	struct fpath service_at = FPATH(at, F_service), bundle_at = FPATH(at, F_caBundle),
		     insecure_at = FPATH(at, F_insecureSkipTLSVerify), port_at = FPATH(&service_at, F_port);

	if (!service) {
		if (val_str(bundle).n)
			fe_add(fe, FE_INVALID, &bundle_at, bundle, "local APIServices may not have a caBundle");
		if (val_bool(insecure))
			fe_invalid(fe, &insecure_at, insecure, "local APIServices may not have insecureSkipTLSVerify");
		return;
	}
	check_required(fe, service, &service_at, F_namespace);
	check_required(fe, service, &service_at, F_name);
	if (port && (val_int_or(port, 0) < 1 || val_int_or(port, 0) > 65535))
		fe_invalid(fe, &port_at, port, "port is not valid: " MSG_PORT);
	if (val_bool(insecure) && val_str(bundle).n)
		fe_invalid(fe, &insecure_at, insecure, "may not be true if caBundle is present");
}

static void apiservice_priority(struct field_errs *fe, const struct val *spec, const struct fpath *up, enum sym name,
				int64_t max)
{
	const struct val *v = val_member(spec, name);
	struct fpath at = FPATH(up, name);

	if (val_int_or(v, 0) < 1 || val_int_or(v, 0) > max)
		fe_add(fe, FE_INVALID, &at, v ? v : val_new_int(fe->a, 0), "must be positive and less than %" PRId64,
		       max);
}

void validate_api_service(struct field_errs *fe, const struct val *doc, const struct val *old, const char *sub)
{
	const struct val *spec = val_member(doc, F_spec);
	struct fpath at = FPATH_ROOT(F_spec), meta_at = FPATH_ROOT(F_metadata), name_at = FPATH(&meta_at, F_name),
		     group_at = FPATH(&at, F_group), version_at = FPATH(&at, F_version), st_at = FPATH_ROOT(F_status),
		     conditions_at = FPATH(&st_at, F_conditions);
	struct sv group = val_get_str(spec, F_group), version = val_get_str(spec, F_version),
		  name = val_get_str(doc, F_metadata, F_name),
		  want = arena_svf(fe->a, "%.*s.%.*s", SV_ARG(version), SV_ARG(group));
	size_t i = 0;

	(void)old;
	if (is_sub(sub, "status")) {
		VAL_EACH(val_get(doc, F_status, F_conditions), c) {
			struct fpath item = FPATH_AT(&conditions_at, i++), here = FPATH(&item, F_status);

			CHECK_ONE_OF(fe, val_member(c, F_status), &here, "True", "False", "Unknown");
		}
		return;
	}
	if (!sv_eq(name, want))
		fe_add(fe, FE_INVALID, &name_at, val_new_str(fe->a, name),
		       "must be `spec.version+\".\"+spec.group`: \"%.*s\"", SV_ARG(want));
	/* The one that was before there were groups. */
	if (!group.n && !sv_is(version, "v1"))
		fe_required_why(fe, &group_at, "only v1 may have an empty group and it better be legacy kube");
	if (group.n)
		fe_check(fe, &group_at, group, fmt_dns_subdomain);
	fe_check(fe, &version_at, version, fmt_dns1035_label);
	apiservice_priority(fe, spec, &at, F_groupPriorityMinimum, 20000);
	apiservice_priority(fe, spec, &at, F_versionPriority, 1000);
	service_of(fe, spec, &at);
}
