/* Rows of the kinds by which the API itself is extended and steered, of devices and of the certificates of pods. */
#include "print/print-internal.h"

void print_apiservice(struct arena *a, const struct val *s, int64_t now_ns, struct val *cells)
{
	const struct val *service = val_get(s, F_spec, F_service);
	const struct val *c = condition_find(val_get(s, F_status, F_conditions), "Available");
	struct sv status = val_get_str(c, F_status);

	(void)now_ns;
	if (service)
		cell_fmt(a, cells, "%.*s/%.*s", SV_ARG(val_get_str(service, F_namespace)),
			 SV_ARG(val_get_str(service, F_name)));
	else
		cell_cstr(a, cells, "Local");
	if (!c)
		cell_cstr(a, cells, "Unknown");
	else if (sv_is(status, "True") || !val_get_str(c, F_reason).n)
		cell_str(a, cells, status);
	else
		cell_fmt(a, cells, "%.*s (%.*s)", SV_ARG(status), SV_ARG(val_get_str(c, F_reason)));
}

void print_policy(struct arena *a, const struct val *p, int64_t now_ns, struct val *cells)
{
	const struct val *kind = val_get(p, F_spec, F_paramKind);

	(void)now_ns;
	if (kind)
		cell_fmt(a, cells, "%.*s/%.*s", SV_ARG(val_get_str(kind, F_apiVersion)),
			 SV_ARG(val_get_str(kind, F_kind)));
	else
		cell_cstr(a, cells, "<unset>");
}

/* As Go prints the struct. */
static void add_label_selector(struct arena *a, struct buf *b, const struct val *s)
{
	const struct val *labels = val_member(s, F_matchLabels);

	buf_adds(b, "&LabelSelector{MatchLabels:map[string]string{");
	if (val_len(labels))
		labels = val_sorted(a, labels);
	VAL_EACH_MEMBER(labels, m)
		buf_printf(b, "%.*s: %.*s,", SV_ARG(m.key), SV_ARG(val_str(m.value)));
	buf_adds(b, "},MatchExpressions:[]LabelSelectorRequirement{");
	VAL_EACH(val_member(s, F_matchExpressions), e) {
		buf_printf(b, "LabelSelectorRequirement{Key:%.*s,Operator:%.*s,Values:[", SV_ARG(val_get_str(e, F_key)),
			   SV_ARG(val_get_str(e, F_operator)));
		for (size_t i = 0; i < val_len(val_member(e, F_values)); i++)
			buf_printf(b, "%s%.*s", i ? " " : "", SV_ARG(val_str(val_at(val_member(e, F_values), i))));
		buf_adds(b, "],},");
	}
	buf_adds(b, "},}");
}

void print_policybinding(struct arena *a, const struct val *p, int64_t now_ns, struct val *cells)
{
	const struct val *ref = val_get(p, F_spec, F_paramRef);
	struct sv name = val_get_str(ref, F_name), ns = val_get_str(ref, F_namespace);
	struct buf b = BUF_INIT;

	(void)now_ns;
	if (name.n)
		buf_printf(&b, "%.*s/%.*s", SV_ARG(ns.n ? ns : SV("*")), SV_ARG(name));
	else if (val_member(ref, F_selector))
		add_label_selector(a, &b, val_member(ref, F_selector));
	cell_buf(a, cells, &b, "<unset>");
}

void print_flowschema(struct arena *a, const struct val *f, int64_t now_ns, struct val *cells)
{
	const struct val *c = condition_find(val_get(f, F_status, F_conditions), "Dangling");

	(void)now_ns;
	cell_fmt(a, cells, "%" PRId64, val_get_int(f, 0, F_spec, F_matchingPrecedence));
	cell_str(a, cells, c ? val_get_str(c, F_status) : SV("?"));
}

void print_storageversion(struct arena *a, const struct val *v, int64_t now_ns, struct val *cells)
{
	struct list3 versions = { 0 };

	(void)now_ns;
	VAL_EACH(val_get(v, F_status, F_storageVersions), s)
		cell_list3_add(&versions, arena_svf(a, "%.*s=%.*s", SV_ARG(val_get_str(s, F_apiServerID)),
						    SV_ARG(val_get_str(s, F_encodingVersion))));
	cell_str(a, cells, cell_list3_end(a, &versions, "<unset>"));
}

void print_storageversionmigration(struct arena *a, const struct val *m, int64_t now_ns, struct val *cells)
{
	static const char *const states[] = { "Running", "Failed", "Succeeded" };
	struct sv resource = val_get_str(m, F_spec, F_resource, F_resource);
	struct sv group = val_get_str(m, F_spec, F_resource, F_group);
	const char *state = "Unknown";

	(void)now_ns;
	for (size_t i = 0; i < ARRAY_LEN(states); i++)
		if (condition_is(val_get(m, F_status, F_conditions), states[i], "True"))
			state = states[i];
	if (group.n)
		cell_fmt(a, cells, "%.*s.%.*s", SV_ARG(resource), SV_ARG(group));
	else
		cell_str(a, cells, resource);
	cell_cstr(a, cells, state);
}

void print_podcertificaterequest(struct arena *a, const struct val *r, int64_t now_ns, struct val *cells)
{
	static const char *const states[] = { "Issued", "Denied", "Failed" };
	const char *state = "Pending";
	struct buf b = BUF_INIT;

	(void)now_ns;
	VAL_EACH(val_get(r, F_status, F_conditions), c)
		for (size_t i = 0; i < ARRAY_LEN(states); i++)
			if (val_is(val_member(c, F_type), states[i]))
				state = states[i];
	cell_cstr(a, cells, state);
	VAL_EACH_MEMBER(val_get(r, F_spec, F_unverifiedUserAnnotations), m)
		cell_join(&b, ",", arena_svf(a, "%.*s=%.*s", SV_ARG(m.key), SV_ARG(val_str(m.value))));
	cell_buf(a, cells, &b, "<none>");
}

void print_resourceclaim(struct arena *a, const struct val *c, int64_t now_ns, struct val *cells)
{
	bool deleted = val_get(c, F_metadata, F_deletionTimestamp), allocated = val_get(c, F_status, F_allocation);
	struct buf b = BUF_INIT;

	(void)now_ns;
	if (deleted)
		cell_join(&b, ",", SV("deleted"));
	if (allocated)
		cell_join(&b, ",", SV("allocated"));
	else if (!deleted)
		cell_join(&b, ",", SV("pending"));
	if (val_len(val_get(c, F_status, F_reservedFor)))
		cell_join(&b, ",", SV("reserved"));
	cell_buf(a, cells, &b, "");
}
