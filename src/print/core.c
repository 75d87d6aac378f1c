/* Rows of the core kinds except Pod. */
#include "print/print-internal.h"
#include "object/quantity.h"
#include "base/vec.h"
#include "object/annotation.h"

/* --- Service --- */

static void add_ingress(struct buf *b, const struct val *obj)
{
	VAL_EACH(val_get(obj, F_status, F_loadBalancer, F_ingress), i)
		cell_join(b, ",", val_get_str(i, F_ip).n ? val_get_str(i, F_ip) : val_get_str(i, F_hostname));
}

void print_service(struct arena *a, const struct val *svc, int64_t now_ns, struct val *cells)
{
	const struct val *spec = val_get(svc, F_spec), *type = val_get(spec, F_type);
	struct buf b = BUF_INIT;

	(void)now_ns;
	if (val_is(type, "ExternalName")) {
		cell_str(a, cells, val_get_str(spec, F_externalName));
	} else {
		if (val_is(type, "LoadBalancer"))
			add_ingress(&b, svc);
		VAL_EACH(val_get(spec, F_externalIPs), ip)
			cell_join(&b, ",", val_str(ip));
		cell_buf(a, cells, &b, val_is(type, "LoadBalancer") ? "<pending>" : "<none>");
	}
	b = BUF_INIT;
	VAL_EACH(val_get(spec, F_ports), p) {
		if (b.n)
			buf_addc(&b, ',');
		buf_addi64(&b, val_get_int(p, 0, F_port));
		if (val_get_int(p, 0, F_nodePort))
			buf_printf(&b, ":%" PRId64, val_get_int(p, 0, F_nodePort));
		buf_printf(&b, "/%.*s", SV_ARG(val_get_str(p, F_protocol)));
	}
	cell_buf(a, cells, &b, "<none>");
}

void print_endpoints(struct arena *a, const struct val *ep, int64_t now_ns, struct val *cells)
{
	struct list3 l = { 0 };

	(void)now_ns;
	VAL_EACH(val_get(ep, F_subsets), s) {
		const struct val *ports = val_get(s, F_ports);

		if (!val_len(ports))
			VAL_EACH(val_get(s, F_addresses), ad)
				cell_list3_add(&l, val_get_str(ad, F_ip));
		VAL_EACH(ports, p)
			VAL_EACH(val_get(s, F_addresses), ad)
				cell_list3_add(&l, arena_svf(a, "%.*s:%" PRId64, SV_ARG(val_get_str(ad, F_ip)),
							     val_get_int(p, 0, F_port)));
	}
	cell_str(a, cells, cell_list3_end(a, &l, "<none>"));
}

/* --- Node --- */

static void cell_sorted(struct arena *a, struct val *cells, struct sv *list, size_t n, const char *sep,
			const char *if_none)
{
	struct buf b = BUF_INIT;

	if (n)
		qsort(list, n, sizeof(*list), sv_order);
	for (size_t i = 0; i < n; i++)
		cell_join(&b, sep, list[i]);
	cell_buf(a, cells, &b, if_none);
}

static void cell_address(struct arena *a, struct val *cells, const struct val *node, const char *type)
{
	VAL_EACH(val_get(node, F_status, F_addresses), ad)
		if (val_is(val_get(ad, F_type), type)) {
			cell_str(a, cells, val_get_str(ad, F_address));
			return;
		}
	cell_cstr(a, cells, "<none>");
}

void print_node(struct arena *a, const struct val *node, int64_t now_ns, struct val *cells)
{
	const struct sv prefix = SV("node-role.kubernetes.io/");
	const struct val *ready = condition_find(val_get(node, F_status, F_conditions), "Ready");
	const char *state = "Unknown";
	VEC(struct sv) roles = VEC_INIT;

	(void)now_ns;
	if (ready)
		state = val_is(val_get(ready, F_status), "True") ? "Ready" : "NotReady";
	cell_fmt(a, cells, "%s%s", state, val_get_bool(node, F_spec, F_unschedulable) ? ",SchedulingDisabled" : "");
	VAL_EACH_MEMBER(val_get(node, F_metadata, F_labels), m) {
		if (sv_starts(m.key, prefix) && m.key.n > prefix.n)
			vec_push(&roles, sv_sub(m.key, prefix.n, m.key.n));
		else if (sv_is(m.key, "kubernetes.io/role") && val_str(m.value).n)
			vec_push(&roles, val_str(m.value));
	}
	cell_sorted(a, cells, roles.p, roles.n, ",", "<none>");
	vec_release(&roles);
	cell_address(a, cells, node, "InternalIP");
	cell_address(a, cells, node, "ExternalIP");
}

/* --- Event --- */

static const struct val *first_of(const struct val *a, const struct val *b)
{
	return val_str(a).n ? a : b;
}

/* Both forms of the kind: core/v1, and events.k8s.io/v1 with its other names. */
void print_event(struct arena *a, const struct val *ev, int64_t now_ns, struct val *cells)
{
	const struct val *ref =
	    val_get(ev, F_involvedObject) ? val_get(ev, F_involvedObject) : val_get(ev, F_regarding);
	const struct val *source = val_get(ev, F_source) ? val_get(ev, F_source) : val_get(ev, F_deprecatedSource);
	const struct val *event_time = val_get(ev, F_eventTime);
	const struct val *first = first_of(val_get(ev, F_firstTimestamp), val_get(ev, F_deprecatedFirstTimestamp));
	const struct val *last = first_of(val_get(ev, F_lastTimestamp), val_get(ev, F_deprecatedLastTimestamp));
	int64_t count = val_get_int(ev, val_get_int(ev, 0, F_deprecatedCount), F_count);
	struct sv component = val_get_str(source, F_component), host = val_get_str(source, F_host), message;

	first = first_of(first, event_time);
	last = first_of(val_get(ev, F_series, F_lastObservedTime), first_of(last, first));
	if (val_get(ev, F_series))
		count = val_get_int(ev, count, F_series, F_count);
	if (!component.n)
		component =
		    first_of(val_get(ev, F_reportingComponent), val_get(ev, F_reportingController))
			? val_str(first_of(val_get(ev, F_reportingComponent), val_get(ev, F_reportingController)))
			: SV("");
	if (!host.n)
		host = val_get_str(ev, F_reportingInstance);
	message = val_get_str(ev, F_message).n ? val_get_str(ev, F_message) : val_get_str(ev, F_note);

	cell_str(a, cells, cell_age_of(a, last, now_ns));
	cell_fmt(a, cells, "%.*s/%.*s", SV_ARG(cell_lower_case(a, val_get_str(ref, F_kind))),
		 SV_ARG(val_get_str(ref, F_name)));
	cell_str(a, cells, val_get_str(ref, F_fieldPath));
	cell_fmt(a, cells, "%.*s%s%.*s", SV_ARG(component), host.n ? ", " : "", SV_ARG(host));
	cell_str(a, cells, sv_trim(message));
	cell_str(a, cells, cell_age_of(a, first, now_ns));
	val_push(a, cells, val_new_int(a, count ? count : 1));
}

/* --- small ones --- */

void print_configmap(struct arena *a, const struct val *cm, int64_t now_ns, struct val *cells)
{
	(void)now_ns;
	val_push(a, cells,
		 val_new_int(a, (int64_t)(val_len(val_get(cm, F_data)) + val_len(val_get(cm, F_binaryData)))));
}

void print_resourcequota(struct arena *a, const struct val *q, int64_t now_ns, struct val *cells)
{
	const struct val *hard = val_get(q, F_status, F_hard), *used = val_get(q, F_status, F_used);

	(void)now_ns;
	for (int limits = 0; limits < 2; limits++) {
		VEC(struct sv) rows = VEC_INIT;

		VAL_EACH_MEMBER(hard, m) {
			struct sv u = val_str(val_member_sv(used, m.key));

			if (sv_starts(m.key, SV("limits.")) != (limits == 1))
				continue;
			vec_push(&rows, arena_svf(a, "%.*s: %.*s/%.*s", SV_ARG(m.key), SV_ARG(u.n ? u : SV("0")),
						  SV_ARG(val_str(m.value))));
		}
		cell_sorted(a, cells, rows.p, rows.n, ", ", "");
		vec_release(&rows);
	}
}

static void cell_access_modes(struct arena *a, struct val *cells, const struct val *modes)
{
	static const struct {
		const char *mode, *text;
	} names[] = { { "ReadWriteOnce", "RWO" },
		      { "ReadOnlyMany", "ROX" },
		      { "ReadWriteMany", "RWX" },
		      { "ReadWriteOncePod", "RWOP" } };
	struct buf b = BUF_INIT;

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		bool has = false;

		VAL_EACH(modes, m)
			has = has || val_is(m, names[i].mode);
		if (has)
			cell_join(&b, ",", sv_from(names[i].text));
	}
	cell_buf(a, cells, &b, "");
}

static struct sv print_storage_class(const struct val *obj)
{
	struct sv old = annotation_of(obj, "volume.beta.kubernetes.io/storage-class");

	return old.n ? old : val_get_str(obj, F_spec, F_storageClassName);
}

static struct sv phase_or_terminating(const struct val *obj)
{
	return val_get(obj, F_metadata, F_deletionTimestamp) ? SV("Terminating") : val_get_str(obj, F_status, F_phase);
}

void print_persistentvolume(struct arena *a, const struct val *pv, int64_t now_ns, struct val *cells)
{
	const struct val *claim = val_get(pv, F_spec, F_claimRef);

	(void)now_ns;
	cell_access_modes(a, cells, val_get(pv, F_spec, F_accessModes));
	cell_str(a, cells, phase_or_terminating(pv));
	if (claim)
		cell_fmt(a, cells, "%.*s/%.*s", SV_ARG(val_get_str(claim, F_namespace)),
			 SV_ARG(val_get_str(claim, F_name)));
	else
		cell_cstr(a, cells, "");
	cell_str(a, cells, print_storage_class(pv));
}

void print_persistentvolumeclaim(struct arena *a, const struct val *pvc, int64_t now_ns, struct val *cells)
{
	bool bound = val_get_str(pvc, F_spec, F_volumeName).n > 0;

	(void)now_ns;
	cell_str(a, cells, phase_or_terminating(pvc));
	cell_str(a, cells, bound ? val_str(val_member_sv(val_get(pvc, F_status, F_capacity), SV("storage"))) : SV(""));
	cell_access_modes(a, cells, bound ? val_get(pvc, F_status, F_accessModes) : NULL);
	cell_str(a, cells, print_storage_class(pvc));
}

/* --- ComponentStatus --- */

void print_componentstatus(struct arena *a, const struct val *obj, int64_t now_ns, struct val *cells)
{
	const struct val *c = condition_find(val_member(obj, F_conditions), "Healthy");

	(void)now_ns;
	cell_cstr(a, cells,
		  val_is(val_member(c, F_status), "True")    ? "Healthy"
		  : val_is(val_member(c, F_status), "False") ? "Unhealthy"
							     : "Unknown");
	cell_str(a, cells, val_get_str(c, F_message));
	cell_str(a, cells, val_get_str(c, F_error));
}

/* --- PodMetrics --- */

void print_podmetrics(struct arena *a, const struct val *obj, int64_t now_ns, struct val *cells)
{
	struct sv cpu = SV("0"), memory = SV("0");

	(void)now_ns;
	VAL_EACH(val_member(obj, F_containers), c) {
		cpu = quantity_add(a, cpu, val_str(val_member_sv(val_member(c, F_usage), SV("cpu"))));
		memory = quantity_add(a, memory, val_str(val_member_sv(val_member(c, F_usage), SV("memory"))));
	}
	cell_str(a, cells, cpu);
	cell_str(a, cells, memory);
}
