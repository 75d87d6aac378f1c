/* resource_slices.c - ResourceSlice and DeviceTaintRule: the devices that a driver has, what they can and share, and
 * what keeps others away from them. */
#include "apiserver/registry/validate/dra.h"

#include "codec/val_index.h"
#include "object/quantity.h"

#define DEVICES_MAX 128
#define DEVICES_MAX_COSTLY 64 /* where some have taints, counters or lists of values */
#define COUNTER_SETS_MAX 8
#define COUNTERS_MAX 32
#define CONSUMED_MAX 2
#define TAINTS_MAX 16
#define MEMBERS_MAX 32 /* attributes and capacities of a device */
#define VALUES_MAX 48
#define VALUE_MAX 64
#define RULE_CONDITIONS_MAX 8

/* --- attributes --- */

static const enum sym slices_lists[] = { F_bools, F_ints, F_strings, F_versions };

static void slices_text(struct field_errs *fe, const struct val *v, const struct fpath *at, bool version)
{
	if (version && !is_semver(val_str(v)))
		fe_invalid(fe, at, v, "must be a string compatible with semver.org spec 2.0.0");
	if (val_str(v).n > VALUE_MAX)
		fe_too_long(fe, at, VALUE_MAX);
}

static void slices_attribute(struct field_errs *fe, const struct val *a, const struct fpath *at)
{
	static const enum sym single[] = { F_bool, F_int, F_string, F_version };
	size_t n = 0;

	for (size_t i = 0; i < ARRAY_LEN(single); i++) {
		const struct val *v = val_member(a, single[i]);
		struct fpath here = FPATH(at, single[i]);

		if (!v)
			continue;
		n++;
		if (single[i] == F_string || single[i] == F_version)
			slices_text(fe, v, &here, single[i] == F_version);
	}
	for (size_t i = 0; i < ARRAY_LEN(slices_lists); i++) {
		const struct val *list = val_member(a, slices_lists[i]);
		struct fpath list_at = FPATH(at, slices_lists[i]);
		size_t k = 0;

		if (!list)
			continue;
		n++;
		if (!val_len(list))
			fe_invalid(fe, &list_at, list, "must not be empty if specified");
		VAL_EACH(list, v) {
			struct fpath here = FPATH_AT(&list_at, k++);

			if (slices_lists[i] == F_strings || slices_lists[i] == F_versions)
				slices_text(fe, v, &here, slices_lists[i] == F_versions);
		}
	}
	if (n == 0)
		fe_invalid(fe, at, val_new_str(fe->a, SV("")), "exactly one value must be specified");
	else if (n > 1)
		fe_invalid(fe, at, a, "exactly one value must be specified");
}

static size_t slices_values(const struct val *device)
{
	size_t n = 0;

	VAL_EACH_MEMBER(val_member(device, F_attributes), m) {
		size_t listed = 0;

		for (size_t i = 0; i < ARRAY_LEN(slices_lists); i++)
			listed += val_len(val_member(m.value, slices_lists[i]));
		n += listed ? listed : 1;
	}
	return n;
}

/* --- devices --- */

static void slices_counters(struct field_errs *fe, const struct val *v, const struct fpath *up)
{
	const struct val *map = val_member(v, F_counters);
	struct fpath at = FPATH(up, F_counters);

	if (!val_len(map)) {
		fe_required(fe, &at);
		return;
	}
	if (!dra_few(fe, map, &at, COUNTERS_MAX))
		return;
	VAL_EACH_MEMBER(map, m)
		dra_label_text(fe, m.key, &at);
}

static void slices_counter_list(struct field_errs *fe, const struct val *list, const struct fpath *at, enum sym name,
				size_t max)
{
	_cleanup_(strmap_release) struct strmap seen = STRMAP_INIT;
	size_t i = 0;

	if (!dra_few(fe, list, at, max))
		return;
	VAL_EACH(list, c) {
		struct fpath item = FPATH_AT(at, i++), name_at = FPATH(&item, name);

		dra_label_text(fe, val_str(val_member(c, name)), &name_at);
		slices_counters(fe, c, &item);
		if (strmap_set(&seen, val_str(val_member(c, name)), fe))
			fe_duplicate(fe, &item, val_new_str(fe->a, val_str(val_member(c, name))));
	}
}

/* The members of v that say where it is; each that says something is in text, as "`a`, `b`". */
static size_t slices_where(struct field_errs *fe, const struct val *v, const struct fpath *up, bool of_slice,
			   struct sv *ret_text)
{
	static const enum sym places[] = { F_nodeName, F_nodeSelector, F_allNodes, F_perDeviceNodeSelection };
	struct sv text = SV("");
	size_t n = 0;

	for (size_t i = 0; i < ARRAY_LEN(places) - !of_slice; i++) {
		const struct val *p = val_member(v, places[i]), *terms = val_member(p, F_nodeSelectorTerms);
		struct fpath at = FPATH(up, places[i]), terms_at = FPATH(&at, F_nodeSelectorTerms);

		if (!p)
			continue;
		if (places[i] == F_nodeName && !val_str(p).n) {
			fe_invalid(fe, &at, p,
				   of_slice ? "must be either unset or set to a non-empty string"
					    : "must not be empty");
			continue;
		}
		if (val_type(p) == VAL_BOOL && !val_bool(p)) {
			fe_invalid(fe, &at, p, "must be either unset or set to true");
			continue;
		}
		if (places[i] == F_nodeName)
			dra_node_name(fe, val_str(p), &at);
		if (places[i] == F_nodeSelector)
			validate_node_selector(fe, p, &at);
		if (places[i] == F_nodeSelector && of_slice && val_len(terms) != 1)
			fe_invalid(fe, &terms_at, is_set(terms) ? terms : val_new_list(fe->a),
				   "must have exactly one node selector term");
		text = arena_svf(fe->a, "%.*s%s`%.*s`", SV_ARG(text), n++ ? ", " : "", SV_ARG(sym_name(places[i])));
	}
	*ret_text = arena_svf(fe->a, "{%.*s}", SV_ARG(text));
	return n;
}

static void slices_device_where(struct field_errs *fe, const struct val *d, const struct fpath *at, bool each)
{
	static const char one[] = "exactly one of `nodeName`, `nodeSelector`, or `allNodes` is required when "
				  "`perDeviceNodeSelection` is set to true in the ResourceSlice spec";
	struct sv text;
	size_t n;

	if (!each) {
		if (val_member(d, F_nodeName) || val_member(d, F_nodeSelector) || val_member(d, F_allNodes))
			fe_invalid(fe, at, &fe_null,
				   "`nodeName`, `nodeSelector` and `allNodes` can only be set if "
				   "`perDeviceNodeSelection` is set to true in the ResourceSlice spec");
		return;
	}
	n = slices_where(fe, d, at, false, &text);
	if (n == 0)
		fe_required_why(fe, at, one);
	else if (n > 1)
		fe_format(fe, at, text, one);
}

static void slices_taints(struct field_errs *fe, const struct val *list, const struct fpath *at)
{
	size_t i = 0;

	if (!dra_few(fe, list, at, TAINTS_MAX))
		return;
	VAL_EACH(list, t) {
		struct fpath item = FPATH_AT(at, i++);

		dra_taint(fe, t, NULL, &item);
	}
}

/* What of a node's own resources a device takes. */
static void slices_node_resources(struct field_errs *fe, const struct val *d, const struct fpath *up)
{
	_cleanup_(val_index_release) struct val_index capacities = val_index_of(val_member(d, F_capacity));
	struct fpath at = FPATH(up, F_nodeAllocatableResources);

	VAL_EACH_MEMBER(val_member(d, F_nodeAllocatableResources), m) {
		const struct val *map = val_member(m.value, F_mapping), *over = val_member(m.value, F_overhead);
		const struct val *key = val_member(map, F_capacityKey), *times = val_member(map, F_capacityMultiplier),
				 *device = val_member(map, F_deviceMultiplier), *pod = val_member(over, F_perPod),
				 *container = val_member(over, F_perContainer);
		struct fpath item = FPATH_KEY(&at, m.key), map_at = FPATH(&item, F_mapping),
			     key_at = FPATH(&map_at, F_capacityKey), times_at = FPATH(&map_at, F_capacityMultiplier),
			     device_at = FPATH(&map_at, F_deviceMultiplier), over_at = FPATH(&item, F_overhead),
			     pod_at = FPATH(&over_at, F_perPod), container_at = FPATH(&over_at, F_perContainer);

		if (!sv_is(m.key, "cpu") && !sv_is(m.key, "memory") && !sv_is(m.key, "ephemeral-storage") &&
		    !sv_starts(m.key, SV("hugepages-")))
			fe_format(fe, &item, m.key, "must be a node allocatable resource name");
		if (!map && !over)
			fe_required_why(fe, &item, "at least one of mapping or overhead must be set");
		if (key && !val_str(key).n)
			fe_invalid(fe, &key_at, key, "capacityKey must not be an empty string");
		else if (key && !val_index_get(&capacities, val_str(key)))
			fe_not_found(fe, &key_at, key);
		if (key && !times)
			fe_required_why(fe, &times_at, "capacityMultiplier is required when capacityKey is set");
		else if (key && quantity_milli_or(times, 1) <= 0)
			fe_invalid(fe, &times_at, times, "must be positive");
		else if (times && !key)
			fe_required_why(fe, &key_at, "capacityKey is required when capacityMultiplier is set");
		if (device && quantity_milli_or(device, 1) <= 0)
			fe_invalid(fe, &device_at, device, "must be positive");
		if (over && !pod && !container)
			fe_invalid(fe, &over_at, val_new_str(fe->a, SV("")),
				   "at least one of perPod or perContainer must be set");
		if (quantity_milli_or(pod, 0) < 0)
			fe_invalid(fe, &pod_at, pod, "must be non-negative");
		if (quantity_milli_or(container, 0) < 0)
			fe_invalid(fe, &container_at, container, "must be non-negative");
	}
}

static void slices_device(struct field_errs *fe, struct sv name, const struct val *d, const struct val *was,
			  const struct fpath *at, bool each)
{
	const struct val *attributes = val_member(d, F_attributes), *capacity = val_member(d, F_capacity),
			 *taints = val_member(d, F_taints);
	struct fpath name_at = FPATH(at, F_name), attributes_at = FPATH(at, F_attributes),
		     capacity_at = FPATH(at, F_capacity), taints_at = FPATH(at, F_taints),
		     consumes_at = FPATH(at, F_consumesCounters);
	size_t members = val_len(attributes) + val_len(capacity), values = slices_values(d);

	dra_label_text(fe, name, &name_at);
	if (members > MEMBERS_MAX)
		fe_add(fe, FE_INVALID, at, val_new_int(fe->a, (int64_t)members),
		       "the total number of attributes and capacities must not exceed %d", MEMBERS_MAX);
	if (values > VALUES_MAX)
		fe_add(fe, FE_INVALID, at, val_new_int(fe->a, (int64_t)values),
		       "the total number of attribute values must not exceed %d", VALUES_MAX);
	VAL_EACH_MEMBER(attributes, m) {
		struct fpath here = FPATH_KEY(&attributes_at, m.key);

		dra_attribute_name(fe, m.key, &attributes_at, false);
		slices_attribute(fe, m.value, &here);
	}
	if (!was || !val_same(capacity, val_member(was, F_capacity)))
		VAL_EACH_MEMBER(capacity, m) {
			struct fpath here = FPATH_KEY(&capacity_at, m.key);

			dra_attribute_name(fe, m.key, &capacity_at, false);
			dra_capacity(fe, m.value, &here, val_get_bool(d, F_allowMultipleAllocations));
		}
	if (!was || !val_same(taints, val_member(was, F_taints)))
		slices_taints(fe, taints, &taints_at);
	slices_counter_list(fe, val_member(d, F_consumesCounters), &consumes_at, F_counterSet, CONSUMED_MAX);
	slices_device_where(fe, d, at, each);
	dra_binding_conditions(fe, d, at);
	slices_node_resources(fe, d, at);
}

/* --- slices --- */

/* What a device is like: in v1beta1 that stands in `basic`; upstream says where it would be now. */
static const struct val *slices_body(const struct val *device)
{
	const struct val *basic = val_member(device, F_basic);

	return basic ? basic : device;
}

static bool slices_costly(const struct val *devices)
{
	VAL_EACH(devices, one) {
		const struct val *d = slices_body(one);

		if (val_len(val_member(d, F_taints)) || val_len(val_member(d, F_consumesCounters)))
			return true;
		VAL_EACH_MEMBER(val_member(d, F_attributes), m)
			for (size_t i = 0; i < ARRAY_LEN(slices_lists); i++)
				if (val_member(m.value, slices_lists[i]))
					return true;
	}
	return false;
}

static void slices_devices(struct field_errs *fe, const struct val *spec, const struct val *was, const struct fpath *up)
{
	const struct val *list = val_member(spec, F_devices);
	_cleanup_(strmap_release) struct strmap seen = STRMAP_INIT, had = STRMAP_INIT;
	struct fpath at = FPATH(up, F_devices);
	size_t i = 0;

	if (!dra_few(fe, list, &at, slices_costly(list) ? DEVICES_MAX_COSTLY : DEVICES_MAX))
		return;
	index_by_name(&had, val_member(was, F_devices));
	VAL_EACH(list, d) {
		struct fpath item = FPATH_AT(&at, i++);
		struct sv name = val_get_str(d, F_name);

		slices_device(fe, name, slices_body(d), slices_body(strmap_get(&had, name)), &item,
			      val_get_bool(spec, F_perDeviceNodeSelection));
		if (strmap_set(&seen, name, fe))
			fe_duplicate(fe, &item, val_new_str(fe->a, name));
	}
}

/* The attribute by which parts of a device are told apart: each that consumes counters has it. */
static void slices_partition_type(struct field_errs *fe, const struct val *spec, const struct fpath *up)
{
	const struct val *type = val_member(spec, F_partitionTypeAttribute), *devices = val_member(spec, F_devices);
	struct sv name = val_str(type), own = arena_svf(fe->a, "%.*s/", SV_ARG(val_get_str(spec, F_driver))),
		  bare = sv_starts(name, own) ? sv_sub(name, own.n, name.n) : name;
	struct fpath at = FPATH(up, F_partitionTypeAttribute), devices_at = FPATH(up, F_devices);
	size_t i = 0, before = fe->list.n;
	bool consumed = false;

	if (!type)
		return;
	VAL_EACH(devices, d)
		consumed |= val_len(val_member(slices_body(d), F_consumesCounters)) > 0;
	if (!consumed)
		fe_invalid(fe, &at, type, "may only be set on a slice which declares devices that consume counters");
	dra_attribute_name(fe, name, &at, true);
	if (fe->list.n != before)
		return;
	VAL_EACH(devices, one) {
		const struct val *d = slices_body(one);
		struct fpath item = FPATH_AT(&devices_at, i++), attributes_at = FPATH(&item, F_attributes),
			     here = FPATH_KEY(&attributes_at, name);
		const struct val *all = val_member(d, F_attributes), *a = val_member_sv(all, name);

		a = a ? a : val_member_sv(all, bare);
		if (!val_len(val_member(d, F_consumesCounters)))
			continue;
		if (!a)
			fe_required_why(
			    fe, &here,
			    "device consumes counters and `partitionTypeAttribute` names this attribute, so "
			    "it must be set");
		else if (!val_member(a, F_string))
			fe_invalid(fe, &here, a,
				   "must be a string value because `partitionTypeAttribute` names this attribute");
	}
}

void validate_resource_slice(struct field_errs *fe, const struct val *doc, const struct val *old, const char *sub)
{
	const struct val *spec = val_member(doc, F_spec), *was = val_member(old, F_spec),
			 *pool = val_member(spec, F_pool);
	struct fpath at = FPATH_ROOT(F_spec), pool_at = FPATH(&at, F_pool), name_at = FPATH(&pool_at, F_name),
		     count_at = FPATH(&pool_at, F_resourceSliceCount), gen_at = FPATH(&pool_at, F_generation),
		     counters_at = FPATH(&at, F_sharedCounters), skip_at = FPATH(&at, F_skipNodeOperations);
	struct sv text;
	size_t n;

	(void)sub;
	check_driver_name(fe, spec, &at, F_driver);
	dra_pool_name(fe, val_get_str(pool, F_name), &name_at);
	if (val_get_int(pool, 0, F_resourceSliceCount) <= 0)
		fe_invalid(fe, &count_at, val_new_int(fe->a, val_get_int(pool, 0, F_resourceSliceCount)),
			   "must be greater than zero");
	if (val_get_int(pool, 0, F_generation) < 0)
		fe_invalid(fe, &gen_at, val_member(pool, F_generation), "must be greater than or equal to zero");
	if (was) {
		check_immutable(fe, pool, val_member(was, F_pool), &pool_at, F_name);
		check_immutable(fe, spec, was, &at, F_driver);
		check_immutable(fe, spec, was, &at, F_nodeName);
	}
	n = slices_where(fe, spec, &at, true, &text);
	if (n == 0)
		fe_required_why(fe, &at,
				"exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is "
				"required");
	else if (n > 1)
		fe_format(
		    fe, &at, text,
		    "exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required, "
		    "but multiple fields are set");
	if (val_len(val_member(spec, F_sharedCounters)) && val_len(val_member(spec, F_devices)))
		fe_invalid(fe, &at, val_new_str(fe->a, SV("")), "only one of `sharedCounters` or `devices` is allowed");
	slices_devices(fe, spec, was, &at);
	slices_counter_list(fe, val_member(spec, F_sharedCounters), &counters_at, F_name, COUNTER_SETS_MAX);
	slices_partition_type(fe, spec, &at);
	dra_skipped(fe, val_member(spec, F_skipNodeOperations), &skip_at);
}

void validate_device_taint_rule(struct field_errs *fe, const struct val *doc, const struct val *old, const char *sub)
{
	const struct val *spec = val_member(doc, F_spec), *filter = val_member(spec, F_deviceSelector);
	struct fpath at = FPATH_ROOT(F_spec), filter_at = FPATH(&at, F_deviceSelector),
		     pool_at = FPATH(&filter_at, F_pool), device_at = FPATH(&filter_at, F_device),
		     taint_at = FPATH(&at, F_taint), st_at = FPATH_ROOT(F_status),
		     conditions_at = FPATH(&st_at, F_conditions);

	if (is_sub(sub, "status")) {
		validate_conditions(fe, val_get(doc, F_status, F_conditions), &conditions_at, RULE_CONDITIONS_MAX);
		return;
	}
	if (val_member(filter, F_driver))
		check_driver_name(fe, filter, &filter_at, F_driver);
	if (val_member(filter, F_pool))
		dra_pool_name(fe, val_get_str(filter, F_pool), &pool_at);
	if (val_member(filter, F_device))
		dra_label_text(fe, val_get_str(filter, F_device), &device_at);
	dra_taint(fe, val_member(spec, F_taint), val_get(old, F_spec, F_taint), &taint_at);
}
