/* cluster.c - Namespace and Node. */
#include "apiserver/registry/validate/kinds-internal.h"

#include "base/strmap.h"

void validate_namespace(struct field_errs *fe, const struct val *doc, const struct val *old, const char *sub)
{
	struct fpath spec_at = FPATH_ROOT(F_spec), at = FPATH(&spec_at, F_finalizers);
	struct fpath st_at = FPATH_ROOT(F_status), phase_at = FPATH(&st_at, F_phase);
	const struct val *phase = val_get(doc, F_status, F_phase);
	bool deleting = val_get(doc, F_metadata, F_deletionTimestamp) != NULL;
	size_t i = 0;

	(void)old;
	if (is_sub(sub, "status")) {
		if (!deleting && !val_is(phase, "Active"))
			fe_invalid(fe, &phase_at, phase, "may only be 'Active' if `deletionTimestamp` is empty");
		if (deleting && !val_is(phase, "Terminating"))
			fe_invalid(fe, &phase_at, phase,
				   "may only be 'Terminating' if `deletionTimestamp` is not empty");
		return;
	}
	/* only the finalize subresource says which of them */
	VAL_EACH(val_get(doc, F_spec, F_finalizers), f) {
		struct fpath here = FPATH_AT(&at, i++);

		fe_check(fe, is_sub(sub, "finalize") ? &here : &at, val_str(f), fmt_finalizer);
	}
}

/* Upstream looks for them in the metadata, where they once were. */
static void taints(struct field_errs *fe, const struct val *list)
{
	_cleanup_(strmap_release) struct strmap seen = STRMAP_INIT;
	struct fpath meta_at = FPATH_ROOT(F_metadata), at = FPATH(&meta_at, F_taints);
	size_t i = 0;

	VAL_EACH(list, t) {
		struct fpath item = FPATH_AT(&at, i++), key_at = FPATH(&item, F_key), value_at = FPATH(&item, F_value),
			     effect_at = FPATH(&item, F_effect);
		const struct val *effect = val_member(t, F_effect);
		struct sv id =
		    arena_svf(fe->a, "%.*s:%.*s", SV_ARG(val_get_str(t, F_key)), SV_ARG(val_get_str(t, F_effect)));

		fe_check(fe, &key_at, val_get_str(t, F_key), fmt_qualified_name);
		fe_check(fe, &value_at, val_get_str(t, F_value), fmt_label_value);
		if (!val_str(effect).n)
			fe_required(fe, &effect_at);
		else
			CHECK_ONE_OF(fe, effect, &effect_at, "NoSchedule", "PreferNoSchedule", "NoExecute");
		if (strmap_set(&seen, id, fe))
			fe_duplicate(fe, &item, t);
	}
}

static void set_once(struct field_errs *fe, const struct val *doc, const struct val *old, enum sym name)
{
	struct fpath spec_at = FPATH_ROOT(F_spec), at = FPATH(&spec_at, name);
	const struct val *was = val_get(old, F_spec, name), *now = val_get(doc, F_spec, name);

	if (was && was->n && !(now && val_equal(now, was)))
		fe_add(fe, FE_FORBIDDEN, &at, NULL, "node updates may not change %.*s except from \"\" to valid",
		       SV_ARG(sym_name(name)));
}

/* As gates are named: letters and digits, maybe in parts. */
static bool feature_name(struct sv s)
{
	bool ok = s.n > 0;

	for (size_t i = 0; ok && i < s.n; i++) {
		char c = s.p[i], upper = (char)(c & ~0x20);

		ok = (upper >= 'A' && upper <= 'Z') || (i && ((c >= '0' && c <= '9') || c == '/'));
	}
	return ok;
}

/* What a node's kubelet can do: names in order, none twice. */
static void declared_features(struct field_errs *fe, const struct val *list)
{
	struct fpath st_at = FPATH_ROOT(F_status), at = FPATH(&st_at, F_declaredFeatures);
	struct sv before = SV("");
	size_t i = 0;

	VAL_EACH(list, v) {
		struct fpath here = FPATH_AT(&at, i);
		struct sv s = val_str(v);

		if (!feature_name(s))
			fe_invalid(fe, &here, v, "must be a valid feature name");
		else if (i && sv_eq(s, before))
			fe_duplicate(fe, &here, v);
		else if (i && sv_cmp(s, before) < 0)
			fe_invalid(fe, &here, v, "must be sorted");
		before = s;
		i++;
	}
}

static void node_networks(struct strmap *texts, const struct val *node)
{
	old_texts_add(texts, val_get(node, F_spec, F_podCIDRs), SYM_NONE);
}

void validate_node(struct field_errs *fe, const struct val *doc, const struct val *old, const char *sub)
{
	struct fpath spec_at = FPATH_ROOT(F_spec), cidr_at = FPATH(&spec_at, F_podCIDRs);
	struct fpath st_at = FPATH_ROOT(F_status), addr_at = FPATH(&st_at, F_addresses);
	_cleanup_(strmap_release) struct strmap seen = STRMAP_INIT;
	_cleanup_(old_texts_release) struct old_texts before = { .doc = old, .fill = node_networks };
	bool had[2] = { false, false };
	size_t i = 0;

	taints(fe, val_get(doc, F_spec, F_taints));
	VAL_EACH(val_get(doc, F_spec, F_podCIDRs), c) {
		struct fpath here = FPATH_AT(&cidr_at, i++);
		bool v6;

		if (!check_legacy_cidr(fe, val_str(c), &here, &before, &v6))
			continue;
		if (had[v6])
			fe_invalid(fe, &cidr_at, val_get(doc, F_spec, F_podCIDRs),
				   "may specify no more than one CIDR for each IP family");
		had[v6] = true;
	}
	if (!old)
		return;
	i = 0;
	VAL_EACH(val_get(doc, F_status, F_addresses), ad) {
		struct fpath here = FPATH_AT(&addr_at, i++);
		struct sv id =
		    arena_svf(fe->a, "%.*s/%.*s", SV_ARG(val_get_str(ad, F_type)), SV_ARG(val_get_str(ad, F_address)));

		if (strmap_set(&seen, id, fe))
			fe_duplicate(fe, &here, ad);
	}
	if (!val_same(val_get(doc, F_status, F_declaredFeatures), val_get(old, F_status, F_declaredFeatures)))
		declared_features(fe, val_get(doc, F_status, F_declaredFeatures));
	if (!is_sub(sub, "status")) {
		set_once(fe, doc, old, F_podCIDRs);
		set_once(fe, doc, old, F_providerID);
	}
}
