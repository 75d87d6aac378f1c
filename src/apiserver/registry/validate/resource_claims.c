/* resource_claims.c - ResourceClaim, ResourceClaimTemplate and DeviceClass: which devices somebody wants, and which he
 * got. */
#include "apiserver/registry/validate/dra.h"

#define REQUESTS_MAX 32
#define ALTERNATIVES_MAX 8
#define DERIVED_MAX 8
#define RESERVED_MAX 256
#define RESULTS_MAX 32
#define DEVICE_CONDITIONS_MAX 8
#define INTERFACE_NAME_MAX 256
#define HARDWARE_ADDRESS_MAX 128
#define IPS_MAX 16

/* --- what is wanted --- */

/* The names that other parts of a claim may use: "request" and "request/alternative". */
static void claims_names(struct arena *a, struct strmap *names, const struct val *devices)
{
	VAL_EACH(val_member(devices, F_requests), r) {
		struct sv name = val_get_str(r, F_name);

		strmap_set(names, name, names);
		VAL_EACH(val_member(r, F_firstAvailable), s)
			strmap_set(names, arena_svf(a, "%.*s/%.*s", SV_ARG(name), SV_ARG(val_get_str(s, F_name))),
				   names);
	}
}

static void claims_ref(struct field_errs *fe, struct sv name, const struct fpath *at, const struct strmap *names)
{
	static const char unknown[] = "must be the name of a request in the claim or the name of a request and a "
				      "subrequest separated by '/'";
	ssize_t slash = sv_find(name, '/');
	struct sv sub = slash < 0 ? SV("") : sv_sub(name, (size_t)slash + 1, name.n);

	if (slash >= 0 && sv_find(sub, '/') >= 0) {
		fe_format(fe, at, name, unknown);
		return;
	}
	dra_label_text(fe, slash < 0 ? name : sv_sub(name, 0, (size_t)slash), at);
	if (slash >= 0)
		dra_label_text(fe, sub, at);
	if (!strmap_has(names, name))
		fe_format(fe, at, name, unknown);
}

static void claims_refs(struct field_errs *fe, const struct val *v, const struct fpath *up, const struct strmap *names)
{
	const struct val *list = val_member(v, F_requests);
	_cleanup_(strmap_release) struct strmap seen = STRMAP_INIT;
	struct fpath at = FPATH(up, F_requests);
	size_t i = 0;

	if (!dra_few(fe, list, &at, REQUESTS_MAX))
		return;
	VAL_EACH(list, r) {
		struct fpath here = FPATH_AT(&at, i++);

		claims_ref(fe, val_str(r), &here, names);
		if (strmap_set(&seen, val_str(r), fe))
			fe_duplicate(fe, &here, r);
	}
}

/* The attributes that constraints compare, by "name" for all requests and "name\nrequest" for one. */
static void claims_compared(struct arena *a, struct strmap *compared, const struct val *devices)
{
	VAL_EACH(val_member(devices, F_constraints), c) {
		const struct val *match = val_member(c, F_matchAttribute), *list = val_member(c, F_requests);
		struct sv name = val_str(match ? match : val_member(c, F_distinctAttribute));

		if (!val_len(list))
			strmap_set(compared, name, compared);
		VAL_EACH(list, r)
			strmap_set(compared, arena_svf(a, "%.*s\n%.*s", SV_ARG(name), SV_ARG(val_str(r))), compared);
	}
}

/* A claim while it is looked at. */
struct claims_ctx {
	struct strmap names, compared;
};

static bool claims_is_compared(struct arena *a, const struct claims_ctx *c, struct sv name, struct sv request,
			       struct sv sub)
{
	if (strmap_has(&c->compared, name) ||
	    strmap_has(&c->compared, arena_svf(a, "%.*s\n%.*s", SV_ARG(name), SV_ARG(request))))
		return true;
	return sub.n &&
	       strmap_has(&c->compared, arena_svf(a, "%.*s\n%.*s/%.*s", SV_ARG(name), SV_ARG(request), SV_ARG(sub)));
}

static void claims_derived(struct field_errs *fe, const struct val *list, const struct fpath *at,
			   const struct claims_ctx *c, struct sv request, struct sv sub)
{
	_cleanup_(strmap_release) struct strmap seen = STRMAP_INIT;
	size_t i = 0;

	if (!dra_few(fe, list, at, DERIVED_MAX))
		return;
	VAL_EACH(list, d) {
		struct fpath item = FPATH_AT(at, i++), name_at = FPATH(&item, F_name);
		struct sv name = val_get_str(d, F_name);

		check_required(fe, d, &item, F_name);
		check_required(fe, d, &item, F_expression);
		if (!name.n)
			continue;
		dra_attribute_name(fe, name, &name_at, true);
		if (!claims_is_compared(fe->a, c, name, request, sub))
			fe_format(fe, &name_at, name,
				  "must be referenced by at least one matchAttribute or distinctAttribute constraint "
				  "targeting this request");
		if (strmap_set(&seen, name, fe))
			fe_duplicate(fe, &item, val_member(d, F_name));
	}
}

/* One kind of device: a request, or one of the alternatives of one. */
static void claims_devices(struct field_errs *fe, const struct val *r, const struct fpath *at,
			   const struct claims_ctx *c, struct sv request, struct sv sub)
{
	struct fpath class_at = FPATH(at, F_deviceClassName), selectors_at = FPATH(at, F_selectors),
		     derived_at = FPATH(at, F_derivedAttributes), mode_at = FPATH(at, F_allocationMode),
		     count_at = FPATH(at, F_count), tolerations_at = FPATH(at, F_tolerations);
	const struct val *mode = val_member(r, F_allocationMode);
	struct sv class = val_get_str(r, F_deviceClassName);
	int64_t count = val_get_int(r, 0, F_count);

	if (!class.n)
		fe_required(fe, &class_at);
	else
		fe_check(fe, &class_at, class, fmt_dns_subdomain);
	dra_selectors(fe, val_member(r, F_selectors), &selectors_at, false);
	claims_derived(fe, val_member(r, F_derivedAttributes), &derived_at, c, request, sub);
	if (val_is(mode, "All")) {
		if (count)
			fe_invalid(fe, &count_at, val_member(r, F_count),
				   "must not be specified when allocationMode is 'All'");
	} else if (val_is(mode, "ExactCount")) {
		if (count <= 0)
			fe_invalid(fe, &count_at, val_new_int(fe->a, count), "must be greater than zero");
	} else {
		CHECK_ONE_OF(fe, mode ? mode : val_new_str(fe->a, SV("")), &mode_at, "All", "ExactCount");
	}
	dra_tolerations(fe, val_member(r, F_tolerations), &tolerations_at);
}

static void claims_alternatives(struct field_errs *fe, const struct val *r, const struct fpath *up,
				const struct claims_ctx *c)
{
	const struct val *list = val_member(r, F_firstAvailable);
	_cleanup_(strmap_release) struct strmap seen = STRMAP_INIT;
	struct fpath at = FPATH(up, F_firstAvailable);
	size_t i = 0;

	if (!dra_few(fe, list, &at, ALTERNATIVES_MAX))
		return;
	VAL_EACH(list, s) {
		struct fpath item = FPATH_AT(&at, i++), name_at = FPATH(&item, F_name);
		struct sv name = val_get_str(s, F_name);

		dra_label_text(fe, name, &name_at);
		claims_devices(fe, s, &item, c, val_get_str(r, F_name), name);
		if (strmap_set(&seen, name, fe))
			fe_duplicate(fe, &item, val_new_str(fe->a, name));
	}
}

/* In v1beta1 what is asked for stands in the request itself; upstream says where it would be now. */
static const struct val *claims_exactly(const struct val *r)
{
	static const enum sym parts[] = { F_deviceClassName, F_selectors,   F_allocationMode, F_count,
					  F_adminAccess,     F_tolerations, F_capacity };
	bool flat = false;

	for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
		const struct val *v = val_member(r, parts[i]);

		flat |= v && (val_type(v) != VAL_STR || val_str(v).n);
	}
	return flat ? r : val_member(r, F_exactly);
}

static void claims_requests(struct field_errs *fe, const struct val *list, const struct fpath *at,
			    const struct claims_ctx *c)
{
	_cleanup_(strmap_release) struct strmap seen = STRMAP_INIT;
	size_t i = 0;

	if (!dra_few(fe, list, at, REQUESTS_MAX))
		return;
	VAL_EACH(list, r) {
		struct fpath item = FPATH_AT(at, i++), name_at = FPATH(&item, F_name),
			     exactly_at = FPATH(&item, F_exactly);
		const struct val *exactly = claims_exactly(r);
		bool several = val_len(val_member(r, F_firstAvailable)) > 0;
		struct sv name = val_get_str(r, F_name);

		dra_label_text(fe, name, &name_at);
		if (!exactly && !several)
			fe_required_why(fe, &item, "exactly one of `exactly` or `firstAvailable` is required");
		else if (exactly && several)
			fe_invalid(fe, &item, &fe_null,
				   "exactly one of `exactly` or `firstAvailable` is required, but multiple fields are "
				   "set");
		else if (several)
			claims_alternatives(fe, r, &item, c);
		else
			claims_devices(fe, exactly, &exactly_at, c, name, SV(""));
		if (strmap_set(&seen, name, fe))
			fe_duplicate(fe, &item, val_new_str(fe->a, name));
	}
}

static void claims_constraints(struct field_errs *fe, const struct val *list, const struct fpath *at,
			       const struct claims_ctx *ctx)
{
	size_t i = 0;

	if (!dra_few(fe, list, at, REQUESTS_MAX))
		return;
	VAL_EACH(list, c) {
		struct fpath item = FPATH_AT(at, i++), match_at = FPATH(&item, F_matchAttribute),
			     distinct_at = FPATH(&item, F_distinctAttribute);
		const struct val *match = val_member(c, F_matchAttribute),
				 *distinct = val_member(c, F_distinctAttribute);

		claims_refs(fe, c, &item, &ctx->names);
		if (match)
			dra_attribute_name(fe, val_str(match), &match_at, true);
		else if (distinct)
			dra_attribute_name(fe, val_str(distinct), &distinct_at, true);
		else /* upstream's words */
			fe_required_why(fe, &item,
					"exactly one of \"matchAttribute\" or \"distinctAttribute\" is required, but "
					"multiple fields are set");
	}
}

static void claims_configs(struct field_errs *fe, const struct val *list, const struct fpath *at, size_t max,
			   const struct strmap *names, bool sources)
{
	size_t i = 0;

	if (!dra_few(fe, list, at, max))
		return;
	VAL_EACH(list, c) {
		struct fpath item = FPATH_AT(at, i++), source_at = FPATH(&item, F_source);
		const struct val *source = val_member(c, F_source);

		if (sources && !val_str(source).n)
			fe_required(fe, &source_at);
		else if (sources)
			CHECK_ONE_OF(fe, source, &source_at, "FromClaim", "FromClass");
		claims_refs(fe, c, &item, names);
		dra_opaque(fe, c, &item, false);
	}
}

static void claims_spec(struct field_errs *fe, const struct val *spec, const struct fpath *up)
{
	const struct val *devices = val_member(spec, F_devices);
	struct fpath at = FPATH(up, F_devices), requests_at = FPATH(&at, F_requests),
		     constraints_at = FPATH(&at, F_constraints), config_at = FPATH(&at, F_config);
	struct claims_ctx c = { .names = STRMAP_INIT, .compared = STRMAP_INIT };

	claims_names(fe->a, &c.names, devices);
	claims_compared(fe->a, &c.compared, devices);
	claims_requests(fe, val_member(devices, F_requests), &requests_at, &c);
	claims_constraints(fe, val_member(devices, F_constraints), &constraints_at, &c);
	claims_configs(fe, val_member(devices, F_config), &config_at, REQUESTS_MAX, &c.names, false);
	strmap_release(&c.names);
	strmap_release(&c.compared);
}

/* --- what was given --- */

static void claims_results(struct field_errs *fe, const struct val *list, const struct fpath *at,
			   const struct strmap *names)
{
	size_t i = 0;

	if (!dra_few(fe, list, at, RESULTS_MAX))
		return;
	VAL_EACH(list, r) {
		struct fpath item = FPATH_AT(at, i++), request_at = FPATH(&item, F_request),
			     pool_at = FPATH(&item, F_pool), device_at = FPATH(&item, F_device),
			     tolerations_at = FPATH(&item, F_tolerations), share_at = FPATH(&item, F_shareID),
			     skip_at = FPATH(&item, F_skipNodeOperations);

		claims_ref(fe, val_get_str(r, F_request), &request_at, names);
		check_driver_name(fe, r, &item, F_driver);
		dra_pool_name(fe, val_get_str(r, F_pool), &pool_at);
		dra_label_text(fe, val_get_str(r, F_device), &device_at);
		dra_binding_conditions(fe, r, &item);
		dra_tolerations(fe, val_member(r, F_tolerations), &tolerations_at);
		if (val_member(r, F_shareID))
			dra_uid(fe, val_get_str(r, F_shareID), &share_at);
		dra_skipped(fe, val_member(r, F_skipNodeOperations), &skip_at);
	}
}

static void claims_allocation(struct field_errs *fe, const struct val *v, const struct fpath *at,
			      const struct strmap *names)
{
	struct fpath devices_at = FPATH(at, F_devices), results_at = FPATH(&devices_at, F_results),
		     config_at = FPATH(&devices_at, F_config), node_at = FPATH(at, F_nodeSelector);

	claims_results(fe, val_get(v, F_devices, F_results), &results_at, names);
	claims_configs(fe, val_get(v, F_devices, F_config), &config_at, (size_t)2 * REQUESTS_MAX, names, true);
	if (val_member(v, F_nodeSelector))
		validate_node_selector(fe, val_member(v, F_nodeSelector), &node_at);
}

/* Who a device is, as upstream writes it. */
static struct sv claims_device(struct arena *a, const struct val *d)
{
	struct sv share = val_get_str(d, F_shareID);

	return arena_svf(a, "%.*s/%.*s/%.*s%s%.*s", SV_ARG(val_get_str(d, F_driver)), SV_ARG(val_get_str(d, F_pool)),
			 SV_ARG(val_get_str(d, F_device)), share.n ? "/" : "", SV_ARG(share));
}

static void claims_ips(struct field_errs *fe, const struct val *list, const struct fpath *at)
{
	_cleanup_(strmap_release) struct strmap seen = STRMAP_INIT;
	size_t i = 0;

	if (!dra_few(fe, list, at, IPS_MAX))
		return;
	VAL_EACH(list, v) {
		struct fpath here = FPATH_AT(at, i++);

		check_interface_address(fe, v, &here);
		if (strmap_set(&seen, val_str(v), fe))
			fe_duplicate(fe, &here, v);
	}
}

static void claims_network(struct field_errs *fe, const struct val *n, const struct fpath *at)
{
	struct fpath name_at = FPATH(at, F_interfaceName), hw_at = FPATH(at, F_hardwareAddress),
		     ips_at = FPATH(at, F_ips);

	if (val_get_str(n, F_interfaceName).n > INTERFACE_NAME_MAX)
		fe_too_long(fe, &name_at, INTERFACE_NAME_MAX);
	if (val_get_str(n, F_hardwareAddress).n > HARDWARE_ADDRESS_MAX)
		fe_too_long(fe, &hw_at, HARDWARE_ADDRESS_MAX);
	claims_ips(fe, val_member(n, F_ips), &ips_at);
}

static void claims_device_statuses(struct field_errs *fe, const struct val *status, const struct fpath *up)
{
	_cleanup_(strmap_release) struct strmap given = STRMAP_INIT, seen = STRMAP_INIT;
	struct fpath at = FPATH(up, F_devices);
	size_t i = 0;

	VAL_EACH(val_get(status, F_allocation, F_devices, F_results), r)
		strmap_set(&given, claims_device(fe->a, r), fe);
	VAL_EACH(val_member(status, F_devices), d) {
		struct fpath item = FPATH_AT(&at, i++), pool_at = FPATH(&item, F_pool),
			     device_at = FPATH(&item, F_device), share_at = FPATH(&item, F_shareID),
			     conditions_at = FPATH(&item, F_conditions), data_at = FPATH(&item, F_data),
			     net_at = FPATH(&item, F_networkData);
		struct sv id = claims_device(fe->a, d);

		check_driver_name(fe, d, &item, F_driver);
		dra_pool_name(fe, val_get_str(d, F_pool), &pool_at);
		dra_label_text(fe, val_get_str(d, F_device), &device_at);
		if (val_member(d, F_shareID))
			dra_uid(fe, val_get_str(d, F_shareID), &share_at);
		if (!strmap_has(&given, id))
			fe_format(fe, &item, id, "must be an allocated device in the claim");
		validate_conditions(fe, val_member(d, F_conditions), &conditions_at, DEVICE_CONDITIONS_MAX);
		if (val_member(d, F_data))
			dra_parameters(fe, val_member(d, F_data), &data_at, false);
		claims_network(fe, val_member(d, F_networkData), &net_at);
		if (strmap_set(&seen, id, fe))
			fe_duplicate(fe, &item, val_new_str(fe->a, id));
	}
}

static void claims_reserved(struct field_errs *fe, const struct val *doc, const struct val *old, const struct fpath *up)
{
	static const enum sym parts[] = { F_resource, F_name, F_uid };
	const struct val *list = val_get(doc, F_status, F_reservedFor);
	_cleanup_(strmap_release) struct strmap seen = STRMAP_INIT, had = STRMAP_INIT;
	struct fpath at = FPATH(up, F_reservedFor);
	bool added = false;
	size_t i = 0;

	VAL_EACH(val_get(old, F_status, F_reservedFor), r)
		strmap_set(&had, val_get_str(r, F_uid), fe);
	if (dra_few(fe, list, &at, RESERVED_MAX))
		VAL_EACH(list, r) {
			struct fpath item = FPATH_AT(&at, i++);

			for (size_t k = 0; k < ARRAY_LEN(parts); k++)
				check_required(fe, r, &item, parts[k]);
			added |= !strmap_has(&had, val_get_str(r, F_uid));
			if (strmap_set(&seen, val_get_str(r, F_uid), fe))
				fe_duplicate(fe, &item, val_new_str(fe->a, val_get_str(r, F_uid)));
		}
	if (!val_len(list))
		return;
	if (!val_get(doc, F_status, F_allocation))
		fe_forbidden(fe, &at, "may not be specified when `allocated` is not set");
	else if (added && val_get(doc, F_metadata, F_deletionTimestamp))
		fe_forbidden(fe, &at,
			     "new entries may not be added while `deallocationRequested` or `deletionTimestamp` are "
			     "set");
}

static void claims_status(struct field_errs *fe, const struct val *doc, const struct val *old)
{
	const struct val *now = val_get(doc, F_status, F_allocation), *was = val_get(old, F_status, F_allocation);
	struct fpath at = FPATH_ROOT(F_status), allocation_at = FPATH(&at, F_allocation);
	_cleanup_(strmap_release) struct strmap names = STRMAP_INIT;

	claims_names(fe->a, &names, val_get(doc, F_spec, F_devices));
	claims_reserved(fe, doc, old, &at);
	claims_device_statuses(fe, val_member(doc, F_status), &at);
	/* What was given is given: it can be taken back, not changed. */
	if (now && was)
		fe_immutable(fe, &allocation_at, now, was);
	else if (now)
		claims_allocation(fe, now, &allocation_at, &names);
}

/* --- kinds --- */

void validate_resource_claim(struct field_errs *fe, const struct val *doc, const struct val *old, const char *sub)
{
	struct fpath at = FPATH_ROOT(F_spec);

	if (is_sub(sub, "status"))
		claims_status(fe, doc, old);
	else if (old)
		check_immutable(fe, doc, old, NULL, F_spec);
	else
		claims_spec(fe, val_member(doc, F_spec), &at);
}

void validate_resource_claim_template(struct field_errs *fe, const struct val *doc, const struct val *old,
				      const char *sub)
{
	struct fpath at = FPATH_ROOT(F_spec), inner_at = FPATH(&at, F_spec), meta_at = FPATH(&at, F_metadata),
		     labels_at = FPATH(&meta_at, F_labels), annotations_at = FPATH(&meta_at, F_annotations);
	const struct val *meta = val_get(doc, F_spec, F_metadata);

	(void)sub;
	if (old) {
		check_immutable(fe, doc, old, NULL, F_spec);
		return;
	}
	validate_annotations(fe, val_member(meta, F_annotations), &annotations_at);
	validate_labels(fe, val_member(meta, F_labels), &labels_at);
	/* All else is the claim's own to have. */
	VAL_EACH_MEMBER(meta, m) {
		struct fpath here = FPATH(&meta_at, m.sym);

		if (m.sym != F_labels && m.sym != F_annotations && m.value->type != VAL_NULL &&
		    m.sym != F_creationTimestamp)
			fe_forbidden(fe, &here, "cannot be set");
	}
	claims_spec(fe, val_get(doc, F_spec, F_spec), &inner_at);
}

void validate_device_class(struct field_errs *fe, const struct val *doc, const struct val *old, const char *sub)
{
	const struct val *spec = val_member(doc, F_spec), *was = val_member(old, F_spec);
	const struct val *config = val_member(spec, F_config), *name = val_member(spec, F_extendedResourceName);
	struct fpath at = FPATH_ROOT(F_spec), selectors_at = FPATH(&at, F_selectors), config_at = FPATH(&at, F_config),
		     name_at = FPATH(&at, F_extendedResourceName);
	bool stored = was && val_same(config, val_member(was, F_config));
	struct sv s = val_str(name);
	size_t i = 0;

	(void)sub;
	dra_selectors(fe, val_member(spec, F_selectors), &selectors_at,
		      was && val_same(val_member(spec, F_selectors), val_member(was, F_selectors)));
	if (dra_few(fe, config, &config_at, REQUESTS_MAX))
		VAL_EACH(config, c) {
			struct fpath item = FPATH_AT(&config_at, i++);

			dra_opaque(fe, c, &item, stored);
		}
	if (name && (sv_find(s, '/') < 0 || sv_find_sv(s, SV("kubernetes.io/")) >= 0 || sv_starts(s, SV("requests.")) ||
		     fmt_qualified_name(arena_svf(fe->a, "requests.%.*s", SV_ARG(s)))))
		fe_invalid(fe, &name_at, name, "must be a valid extended resource name");
}
