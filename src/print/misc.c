/* Rows of rbac, policy, discovery, networking, storage, scheduling. */
#include "print/print-internal.h"
#include "base/timefmt.h"
#include "object/default_class.h"

static void cell_joined(struct arena *a, struct val *cells, const struct val *list, const char *if_none)
{
	struct buf b = BUF_INIT;

	VAL_EACH(list, v)
		cell_join(&b, ",", val_str(v));
	cell_buf(a, cells, &b, if_none);
}

void print_rolebinding(struct arena *a, const struct val *b, int64_t now_ns, struct val *cells)
{
	static const char *const kinds[] = { "User", "Group", "ServiceAccount" };

	(void)now_ns;
	cell_fmt(a, cells, "%.*s/%.*s", SV_ARG(val_get_str(b, F_roleRef, F_kind)),
		 SV_ARG(val_get_str(b, F_roleRef, F_name)));
	for (size_t k = 0; k < ARRAY_LEN(kinds); k++) {
		struct buf out = BUF_INIT;

		VAL_EACH(val_get(b, F_subjects), s) {
			struct sv name = val_get_str(s, F_name);

			if (!val_is(val_get(s, F_kind), kinds[k]))
				continue;
			if (k == 2)
				name = arena_svf(a, "%.*s/%.*s", SV_ARG(val_get_str(s, F_namespace)), SV_ARG(name));
			cell_join(&out, ", ", name);
		}
		cell_buf(a, cells, &out, "");
	}
}

void print_endpointslice(struct arena *a, const struct val *s, int64_t now_ns, struct val *cells)
{
	struct list3 ports = { 0 }, addresses = { 0 };

	(void)now_ns;
	VAL_EACH(val_get(s, F_ports), p) {
		if (val_get(p, F_port))
			cell_list3_add(&ports, arena_svf(a, "%" PRId64, val_get_int(p, 0, F_port)));
		else
			cell_list3_add(&ports, val_get_str(p, F_name).n ? val_get_str(p, F_name) : SV("*"));
	}
	cell_str(a, cells, cell_list3_end(a, &ports, "<unset>"));
	VAL_EACH(val_get(s, F_endpoints), e)
		VAL_EACH(val_get(e, F_addresses), ad)
			cell_list3_add(&addresses, val_str(ad));
	cell_str(a, cells, cell_list3_end(a, &addresses, "<unset>"));
}

void print_ingress(struct arena *a, const struct val *ing, int64_t now_ns, struct val *cells)
{
	struct list3 hosts = { 0 };
	struct buf b = BUF_INIT;

	(void)now_ns;
	VAL_EACH(val_get(ing, F_spec, F_rules), r)
		if (val_get_str(r, F_host).n)
			cell_list3_add(&hosts, val_get_str(r, F_host));
	cell_str(a, cells, cell_list3_end(a, &hosts, "*"));
	VAL_EACH(val_get(ing, F_status, F_loadBalancer, F_ingress), i)
		cell_join(&b, ",", val_get_str(i, F_ip).n ? val_get_str(i, F_ip) : val_get_str(i, F_hostname));
	cell_buf(a, cells, &b, "");
	cell_cstr(a, cells, val_len(val_get(ing, F_spec, F_tls)) ? "80, 443" : "80");
}

void print_ingressclass(struct arena *a, const struct val *c, int64_t now_ns, struct val *cells)
{
	const struct val *p = val_get(c, F_spec, F_parameters);
	struct sv group = val_get_str(p, F_apiGroup);

	(void)now_ns;
	if (p)
		cell_fmt(a, cells, "%.*s%s%.*s/%.*s", SV_ARG(val_get_str(p, F_kind)), group.n ? "." : "", SV_ARG(group),
			 SV_ARG(val_get_str(p, F_name)));
	else
		cell_cstr(a, cells, "<none>");
}

void print_servicecidr(struct arena *a, const struct val *c, int64_t now_ns, struct val *cells)
{
	(void)now_ns;
	cell_joined(a, cells, val_get(c, F_spec, F_cidrs), "");
}

void print_ipaddress(struct arena *a, const struct val *ip, int64_t now_ns, struct val *cells)
{
	const struct val *ref = val_get(ip, F_spec, F_parentRef);
	struct sv group = val_get_str(ref, F_group), ns = val_get_str(ref, F_namespace);

	(void)now_ns;
	if (!ref) {
		cell_cstr(a, cells, "<none>");
		return;
	}
	cell_fmt(a, cells, "%.*s%s%.*s/%.*s%s%.*s", SV_ARG(cell_lower_case(a, val_get_str(ref, F_resource))),
		 group.n ? "." : "", SV_ARG(group), SV_ARG(ns), ns.n ? "/" : "", SV_ARG(val_get_str(ref, F_name)));
}

void print_storageclass(struct arena *a, const struct val *sc, int64_t now_ns, struct val *cells)
{
	(void)now_ns;
	cell_fmt(a, cells, "%.*s%s", SV_ARG(val_get_str(sc, F_metadata, F_name)),
		 storage_class_is_default(sc) ? " (default)" : "");
}

void print_csidriver(struct arena *a, const struct val *d, int64_t now_ns, struct val *cells)
{
	struct buf b = BUF_INIT;

	(void)now_ns;
	VAL_EACH(val_get(d, F_spec, F_tokenRequests), t)
		cell_join(&b, ",", val_get_str(t, F_audience));
	cell_buf(a, cells, &b, "<unset>");
	cell_joined(a, cells, val_get(d, F_spec, F_volumeLifecycleModes), "<none>");
}

void print_priorityclass(struct arena *a, const struct val *pc, int64_t now_ns, struct val *cells)
{
	(void)now_ns;
	cell_str(a, cells,
		 val_get_str(pc, F_preemptionPolicy).n ? val_get_str(pc, F_preemptionPolicy)
						       : SV("PreemptLowerPriority"));
}

void print_csr(struct arena *a, const struct val *csr, int64_t now_ns, struct val *cells)
{
	const struct val *seconds = val_get(csr, F_spec, F_expirationSeconds),
			 *conditions = val_get(csr, F_status, F_conditions);
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	(void)now_ns;
	if (seconds) {
		duration_human(&b, val_int_or(seconds, 0) * NS_PER_SEC);
		cell_str(a, cells, buf_sv(&b));
	} else {
		cell_cstr(a, cells, "<none>");
	}
	cell_fmt(a, cells, "%s%s%s",
		 condition_find(conditions, "Denied")	  ? "Denied"
		 : condition_find(conditions, "Approved") ? "Approved"
							  : "Pending",
		 condition_find(conditions, "Failed") ? ",Failed" : "",
		 val_get_str(csr, F_status, F_certificate).n ? ",Issued" : "");
}
