/* misc.c - the small kinds: budgets, leases, events, endpoints, priorities. */
#include "apiserver/registry/validate/kinds-internal.h"

#include "base/strmap.h"

#define EVENT_NOTE_MAX 1024

void validate_pdb(struct field_errs *fe, const struct val *doc, const struct val *old, const char *sub)
{
	const struct val *spec = val_member(doc, F_spec), *min = val_member(spec, F_minAvailable);
	const struct val *max = val_member(spec, F_maxUnavailable);
	struct fpath at = FPATH_ROOT(F_spec), min_at = FPATH(&at, F_minAvailable),
		     max_at = FPATH(&at, F_maxUnavailable);
	struct fpath sel_at = FPATH(&at, F_selector), st_at = FPATH_ROOT(F_status),
		     ev_at = FPATH(&at, F_unhealthyPodEvictionPolicy);

	(void)old;
	if (is_sub(sub, "status")) {
		CHECK_NONNEGATIVE(fe, val_member(doc, F_status), &st_at, F_disruptionsAllowed, F_currentHealthy,
				  F_desiredHealthy, F_expectedPods);
		return;
	}
	if (min && max)
		fe_invalid(fe, &at, spec, "minAvailable and maxUnavailable cannot be both set");
	check_int_or_percent(fe, min, &min_at, true);
	check_int_or_percent(fe, max, &max_at, true);
	validate_label_selector(fe, val_member(spec, F_selector), &sel_at);
	CHECK_ONE_OF(fe, val_member(spec, F_unhealthyPodEvictionPolicy), &ev_at, "AlwaysAllow", "IfHealthyBudget");
}

void validate_lease(struct field_errs *fe, const struct val *doc, const struct val *old, const char *sub)
{
	const struct val *spec = val_member(doc, F_spec), *secs = val_member(spec, F_leaseDurationSeconds);
	struct fpath at = FPATH_ROOT(F_spec), secs_at = FPATH(&at, F_leaseDurationSeconds),
		     pref_at = FPATH(&at, F_preferredHolder), strategy_up = FPATH(&at, F_strategy),
		     strategy_at = FPATH(&strategy_up, F_strategy); /* upstream's slip: it is named twice */

	(void)old;
	(void)sub;
	if (secs && val_int_or(secs, 1) <= 0)
		fe_invalid(fe, &secs_at, secs, "must be greater than 0");
	CHECK_NONNEGATIVE(fe, spec, &at, F_leaseTransitions);
	if (sv_find(val_get_str(spec, F_strategy), '/') >= 0)
		check_text(fe, val_member(spec, F_strategy), &strategy_at, fmt_qualified_name);
	else if (val_member(spec, F_strategy))
		CHECK_ONE_OF(fe, val_member(spec, F_strategy), &strategy_at, "OldestEmulationVersion");
	if (val_get_str(spec, F_preferredHolder).n && val_get_str(spec, F_strategy).n == 0)
		fe_forbidden(fe, &pref_at, "may only be specified when `strategy` is defined");
}

/* Of events.k8s.io only: complete from the start, nothing of the older form, and only its series
 * changes. */
static void validate_new_event(struct field_errs *fe, const struct val *doc, const struct val *old)
{
	static const enum sym fixed[] = { F_regarding,
					  F_reason,
					  F_note,
					  F_deprecatedSource,
					  F_deprecatedFirstTimestamp,
					  F_deprecatedLastTimestamp,
					  F_deprecatedCount,
					  F_action,
					  F_related,
					  F_reportingController,
					  F_reportingInstance,
					  F_type,
					  F_eventTime };
	static const enum sym unset[] = { F_deprecatedFirstTimestamp, F_deprecatedLastTimestamp, F_deprecatedCount };
	static const enum sym stored_as[] = { F_firstTimestamp, F_lastTimestamp, F_count };
	const struct val *type = val_member(doc, F_type), *series = val_member(doc, F_series);
	struct fpath type_at = FPATH_ROOT(F_type), series_at = FPATH_ROOT(F_series),
		     count_at = FPATH(&series_at, F_count), source_at = FPATH_ROOT(F_source);
	const struct val *nothing = val_new_str(fe->a, SV(""));

	if (series && !(old && val_equal(series, val_member(old, F_series)))) {
		if (val_get_int(series, 0, F_count) < 2)
			fe_invalid(fe, &count_at, nothing, "should be at least 2");
		check_required(fe, series, &series_at, F_lastObservedTime);
	}
	for (size_t i = 0; old && i < ARRAY_LEN(fixed); i++)
		check_immutable(fe, doc, old, NULL, fixed[i]);
	if (old)
		return;
	check_required(fe, doc, NULL, F_eventTime);
	if (!val_is(type, "Normal") && !val_is(type, "Warning"))
		fe_add(fe, FE_INVALID, &type_at, nothing, "has invalid value: %.*s", SV_ARG(val_str(type)));
	for (size_t i = 0; i < ARRAY_LEN(unset); i++) {
		struct fpath at = FPATH_ROOT(stored_as[i]);

		if (val_get_str(doc, unset[i]).n || val_get_int(doc, 0, unset[i]) != 0)
			fe_invalid(fe, &at, nothing, "needs to be unset");
	}
	if (val_get_str(doc, F_deprecatedSource, F_component).n || val_get_str(doc, F_deprecatedSource, F_host).n)
		fe_invalid(fe, &source_at, nothing, "needs to be unset");
}

/* Events live beside what they are about; those of cluster objects in default or kube-system. */
void validate_event(struct field_errs *fe, const struct val *doc, const struct val *old, const char *sub)
{
	const struct val *about =
	    val_member(doc, F_involvedObject) ? val_member(doc, F_involvedObject) : val_member(doc, F_regarding);
	struct sv ns = val_get_str(doc, F_metadata, F_namespace), theirs = val_get_str(about, F_namespace);
	struct fpath obj_at = FPATH_ROOT(F_involvedObject), note_at = FPATH_ROOT(F_message);
	struct fpath by_at = FPATH_ROOT(val_member(doc, F_regarding) ? F_reportingController : F_reportingComponent);
	struct sv by = val_get_str(doc, val_member(doc, F_regarding) ? F_reportingController : F_reportingComponent);
	struct sv note = val_get_str(doc, val_member(doc, F_regarding) ? F_note : F_message);
	const struct val *nothing = val_new_str(fe->a, SV(""));
	struct fpath at = FPATH(&obj_at, F_namespace);
	bool timed = val_get_str(doc, F_eventTime).n;
	static const enum sym needed[] = { F_reportingInstance, F_action, F_reason };

	(void)sub;
	if (val_member(doc, F_regarding))
		validate_new_event(fe, doc, old);
	if (theirs.n ? !timed && !sv_eq(ns, theirs)
		     : ns.n && !sv_is(ns, "default") && !(timed && sv_is(ns, "kube-system")))
		fe_format(fe, &at, theirs, "does not match event.namespace");
	if (!timed)
		return;
	if (!by.n)
		fe_required(fe, &by_at);
	fe_check(fe, &by_at, by, fmt_qualified_name);
	if (note.n > EVENT_NOTE_MAX)
		fe_add(fe, FE_INVALID, &note_at, nothing, "can have at most %d characters", EVENT_NOTE_MAX);
	for (size_t i = 0; i < ARRAY_LEN(needed); i++) {
		struct fpath here = FPATH_ROOT(needed[i]);

		check_required(fe, doc, NULL, needed[i]);
		if (val_get_str(doc, needed[i]).n > 128)
			fe_invalid(fe, &here, nothing, "can have at most 128 characters");
	}
}

static void endpoint_ports(struct field_errs *fe, const struct val *list, const struct fpath *at, bool name_needed)
{
	_cleanup_(strmap_release) struct strmap names = STRMAP_INIT;
	size_t i = 0;

	VAL_EACH(list, p) {
		struct fpath item = FPATH_AT(at, i++), name_at = FPATH(&item, F_name),
			     app_at = FPATH(&item, F_appProtocol);
		struct sv name = val_get_str(p, F_name);

		if (name.n)
			fe_check(fe, &name_at, name, fmt_dns_label);
		else if (name_needed && val_len(list) > 1)
			fe_required(fe, &name_at);
		if (!name_needed && strmap_set(&names, name, fe))
			fe_duplicate(fe, &name_at, val_new_str(fe->a, name));
		if (val_get_str(p, F_appProtocol).n)
			check_text(fe, val_member(p, F_appProtocol), &app_at, fmt_qualified_name);
	}
}

/* For whom an endpoint is meant, and the labels it had before it had fields. */
static void hints(struct field_errs *fe, const struct val *e, const struct fpath *up)
{
	static const enum sym lists[] = { F_forZones, F_forNodes };
	const struct val *old_labels = val_member(e, F_deprecatedTopology);
	struct fpath hints_at = FPATH(up, F_hints), topo_at = FPATH(up, F_deprecatedTopology),
		     zone_at = FPATH_KEY(&topo_at, SV("topology.kubernetes.io/zone"));

	for (size_t l = 0; l < ARRAY_LEN(lists); l++) {
		const struct val *list = val_get(e, F_hints, lists[l]);
		_cleanup_(strmap_release) struct strmap seen = STRMAP_INIT;
		struct fpath list_at = FPATH(&hints_at, lists[l]);
		size_t i = 0;

		if (val_len(list) > 8)
			fe_too_many(fe, &list_at, val_len(list), 8);
		VAL_EACH(list, h) {
			struct fpath item = FPATH_AT(&list_at, i++), name_at = FPATH(&item, F_name);
			struct sv name = val_get_str(h, F_name);

			if (strmap_set(&seen, name, fe))
				fe_duplicate(fe, &name_at, val_new_str(fe->a, name));
			fe_format(fe, &name_at, name,
				  lists[l] == F_forZones ? fmt_label_value(name) : fmt_dns_subdomain(name));
		}
	}
	if (!old_labels)
		return;
	if (val_len(old_labels) > 16)
		fe_too_many(fe, &topo_at, val_len(old_labels), 16);
	validate_labels(fe, old_labels, &topo_at);
	if (val_member_sv(old_labels, SV("topology.kubernetes.io/zone")))
		fe_invalid(fe, &zone_at, val_member_sv(old_labels, SV("topology.kubernetes.io/zone")),
			   "reserved key was used in map");
}

static void slice_addresses(struct strmap *texts, const struct val *slice)
{
	VAL_EACH(val_member(slice, F_endpoints), e)
		old_texts_add(texts, val_member(e, F_addresses), SYM_NONE);
}

void validate_endpoint_slice(struct field_errs *fe, const struct val *doc, const struct val *old, const char *sub)
{
	const struct val *list = val_member(doc, F_endpoints), *type = val_member(doc, F_addressType);
	struct fpath at = FPATH_ROOT(F_endpoints), ports_at = FPATH_ROOT(F_ports);
	_cleanup_(old_texts_release) struct old_texts before = { .doc = old, .fill = slice_addresses };
	size_t i = 0;

	(void)sub; /* addressType is immutable by the schema */
	if (val_len(list) > 1000)
		fe_too_many(fe, &at, val_len(list), 1000);
	VAL_EACH(list, e) {
		const struct val *addresses = val_member(e, F_addresses);
		struct fpath item = FPATH_AT(&at, i++), addr_at = FPATH(&item, F_addresses),
			     host_at = FPATH(&item, F_hostname);
		struct fpath node_at = FPATH(&item, F_nodeName);
		size_t k = 0;

		if (val_len(addresses) == 0)
			fe_required_why(fe, &addr_at, "must contain at least 1 address");
		else if (val_len(addresses) > 100)
			fe_too_many(fe, &addr_at, val_len(addresses), 100);
		VAL_EACH(addresses, ad) {
			struct fpath here = FPATH_AT(&addr_at, k++);
			uint8_t bytes[16];
			bool v6 = false;

			if (val_is(type, "FQDN")) {
				check_text(fe, ad, &here, fmt_dns_subdomain);
				continue;
			}
			if (!fmt_ip_bytes(val_str(ad), bytes, &v6) || v6 != val_is(type, "IPv6"))
				fe_add(fe, FE_INVALID, &here, ad, "must be a valid %.*s address",
				       SV_ARG(val_str(type)));
			else
				(void)check_legacy_ip(fe, val_str(ad), &here, &before, NULL);
			check_text(fe, ad, &here, fmt_nonspecial_ip);
		}
		check_text(fe, val_member(e, F_nodeName), &node_at, fmt_dns_subdomain);
		check_text(fe, val_member(e, F_hostname), &host_at, fmt_dns_label);
		hints(fe, e, &item);
	}
	if (val_len(val_member(doc, F_ports)) > 20000)
		fe_too_many(fe, &ports_at, val_len(val_member(doc, F_ports)), 20000);
	endpoint_ports(fe, val_member(doc, F_ports), &ports_at, false);
}

static void subset_addresses(struct strmap *texts, const struct val *endpoints)
{
	VAL_EACH(val_member(endpoints, F_subsets), s) {
		old_texts_add(texts, val_member(s, F_addresses), F_ip);
		old_texts_add(texts, val_member(s, F_notReadyAddresses), F_ip);
	}
}

void validate_endpoints(struct field_errs *fe, const struct val *doc, const struct val *old, const char *sub)
{
	static const enum sym lists[] = { F_addresses, F_notReadyAddresses };
	_cleanup_(old_texts_release) struct old_texts before = { .doc = old, .fill = subset_addresses };
	struct fpath at = FPATH_ROOT(F_subsets);
	size_t i = 0;

	(void)sub;
	VAL_EACH(val_member(doc, F_subsets), s) {
		struct fpath item = FPATH_AT(&at, i++), ports_at = FPATH(&item, F_ports);

		if (val_len(val_member(s, F_addresses)) + val_len(val_member(s, F_notReadyAddresses)) == 0)
			fe_required_why(fe, &item, "must specify `addresses` or `notReadyAddresses`");
		for (size_t l = 0; l < ARRAY_LEN(lists); l++) {
			struct fpath list_at = FPATH(&item, lists[l]);
			size_t k = 0;

			VAL_EACH(val_member(s, lists[l]), ad) {
				struct fpath here = FPATH_AT(&list_at, k++), ip_at = FPATH(&here, F_ip);

				if (check_legacy_ip(fe, val_get_str(ad, F_ip), &ip_at, &before, NULL) &&
				    fmt_ip(val_get_str(ad, F_ip)))
					fe_check(fe, &ip_at, val_get_str(ad, F_ip), fmt_nonspecial_ip);
			}
		}
		endpoint_ports(fe, val_member(s, F_ports), &ports_at, true);
	}
}

void validate_priority_class(struct field_errs *fe, const struct val *doc, const struct val *old, const char *sub)
{
	static const struct {
		const char *name;
		int64_t value;
	} system[] = { { "system-node-critical", 2000001000 }, { "system-cluster-critical", 2000000000 } };
	struct sv name = val_get_str(doc, F_metadata, F_name);
	struct fpath meta_at = FPATH_ROOT(F_metadata), name_at = FPATH(&meta_at, F_name),
		     value_at = FPATH_ROOT(F_value);
	int64_t value = val_get_int(doc, 0, F_value);

	(void)sub;
	if (sv_starts(name, SV("system-"))) {
		bool known = false;

		for (size_t i = 0; i < ARRAY_LEN(system); i++)
			known |= sv_is(name, system[i].name) && value == system[i].value;
		if (!known)
			fe_add(fe, FE_FORBIDDEN, &name_at, NULL,
			       "priority class names with 'system-' prefix are reserved for system use only. error: "
			       "%.*s is not a known system priority class",
			       SV_ARG(name));
	} else if (value > 1000000000) {
		fe_forbidden(fe, &value_at, "maximum allowed value of a user defined priority is 1000000000");
	}
	if (old && value != val_get_int(old, 0, F_value))
		fe_forbidden(fe, &value_at, "may not be changed in an update.");
}

void validate_binding(struct field_errs *fe, const struct val *doc, const struct val *old, const char *sub)
{
	struct fpath at = FPATH_ROOT(F_target), kind_at = FPATH(&at, F_kind);

	(void)old;
	(void)sub;
	if (val_get_str(doc, F_target, F_kind).n)
		CHECK_ONE_OF(fe, val_get(doc, F_target, F_kind), &kind_at, "Node", "<empty>");
	check_required(fe, val_member(doc, F_target), &at, F_name);
}
