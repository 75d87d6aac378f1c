/* services_families.c - which address families a Service has.
 *
 * Never does a Service go from one family to two, or back, unless its ipFamilyPolicy says so: a client that knows
 * nothing of families leaves them as they are, and a cluster that gets a second range changes no Service. So a policy
 * that was not given is the one that it had, of a new Service SingleStack; PreferDualStack that was not touched stays
 * with what it has. A headless Service without a selector is described by whoever writes its slices, and may have any.
 */
#include "apiserver/registry/kinds/allocators.h"

struct families {
	struct arena *a;
	const struct allocators *al;
	const struct val *old; /* its spec, or NULL */
	struct val *spec;
	struct field_errs fe;
	struct fpath at, ips_at, families_at, policy_at;
};

static bool families_single(const struct families *f)
{
	return val_is(val_get(f->spec, F_ipFamilyPolicy), "SingleStack");
}

/* Headless, and whoever writes its slices says what it has. */
static bool families_any(const struct families *f)
{
	return val_is(val_get(f->spec, F_clusterIP), "None") && !val_len(val_get(f->spec, F_selector));
}

static bool families_same(const struct families *f, enum sym list)
{
	const struct val *was = val_member(f->old, list), *now = val_member(f->spec, list);

	return val_len(was) == val_len(now) && (val_len(now) == 0 || val_equal(was, now));
}

/* Did the client take the second one away? Without any it leaves them to us. */
static bool families_reduced(const struct families *f, enum sym list)
{
	const struct val *was = val_member(f->old, list), *now = val_member(f->spec, list);

	return val_len(was) == 2 && val_len(now) == 1 && val_equal(val_at(was, 0), val_at(now, 0));
}

static void families_cut(struct families *f, enum sym list)
{
	const struct val *first = val_at(val_get(f->spec, list), 0);

	if (val_len(val_get(f->spec, list)) > 1 && families_same(f, list))
		val_push(f->a, val_set_list(f->a, f->spec, list), first);
}

static void families_policy(struct families *f)
{
	const struct val *was = val_member(f->old, F_ipFamilyPolicy);

	if (val_get(f->spec, F_ipFamilyPolicy))
		return;
	if (was)
		val_set(f->a, f->spec, F_ipFamilyPolicy, was);
	else
		val_set_cstr(f->a, f->spec, F_ipFamilyPolicy, families_any(f) ? "RequireDualStack" : "SingleStack");
}

static void families_changed(struct families *f)
{
	const struct val *policy = val_get(f->spec, F_ipFamilyPolicy);

	if (families_single(f)) {
		families_cut(f, F_clusterIPs);
		families_cut(f, F_ipFamilies);
		return;
	}
	if (families_reduced(f, F_clusterIPs))
		fe_invalid(&f->fe, &f->policy_at, policy, "must be 'SingleStack' to release the secondary cluster IP");
	if (families_reduced(f, F_ipFamilies))
		fe_invalid(&f->fe, &f->policy_at, policy, "must be 'SingleStack' to release the secondary IP family");
}

static void families_fit_policy(struct families *f)
{
	const struct val *policy = val_get(f->spec, F_ipFamilyPolicy);

	if (!families_single(f))
		return;
	if (val_len(val_get(f->spec, F_clusterIPs)) == 2)
		fe_invalid(&f->fe, &f->policy_at, policy,
			   "must be RequireDualStack or PreferDualStack when multiple cluster IPs are specified");
	if (val_len(val_get(f->spec, F_ipFamilies)) == 2)
		fe_invalid(&f->fe, &f->policy_at, policy,
			   "must be RequireDualStack or PreferDualStack when multiple IP families are specified");
}

/* One that may be appended to: what came from the stored Service is shared. */
static struct val *families_list(struct families *f)
{
	const struct val *had = val_get(f->spec, F_ipFamilies);
	struct val *list = val_new_list(f->a);

	VAL_EACH(had, x)
		val_push(f->a, list, x);
	return val_set(f->a, f->spec, F_ipFamilies, list);
}

static void families_of_addresses(struct families *f)
{
	const struct val *ips = val_get(f->spec, F_clusterIPs);
	size_t i = 0;

	VAL_EACH(ips, v) {
		struct fpath here = FPATH_AT(&f->ips_at, i);
		struct ip_addr ip;

		if (i++ < val_len(val_get(f->spec, F_ipFamilies)) || !ip_parse(val_str(v), &ip))
			continue;
		if (range_of_family(f->al, sv_from(ip_family(ip))))
			val_push(f->a, families_list(f), val_new_str_ref(f->a, sv_from(ip_family(ip))));
		else
			fe_invalid(&f->fe, &here, ips,
				   arena_printf(f->a, "%s is not configured on this cluster", ip_family(ip)));
	}
}

static void families_complete(struct families *f, bool second)
{
	struct val *list = families_list(f);

	if (!val_len(list))
		val_push(f->a, list, val_new_str_ref(f->a, sv_from(ip_family(f->al->flags[0].addr))));
	if (second && !families_single(f) && val_len(list) == 1)
		val_push(f->a, list, val_new_str_ref(f->a, val_is(val_at(list, 0), "IPv4") ? SV("IPv6") : SV("IPv4")));
}

static void families_configured(struct families *f)
{
	const struct val *policy = val_get(f->spec, F_ipFamilyPolicy);
	size_t i = 0;

	if (val_is(policy, "RequireDualStack") && f->al->n_flags < 2)
		fe_invalid(&f->fe, &f->policy_at, policy, "this cluster is not configured for dual-stack services");
	VAL_EACH(val_get(f->spec, F_ipFamilies), x) {
		struct fpath here = FPATH_AT(&f->families_at, i++);

		if (!range_of_family(f->al, val_str(x)))
			fe_invalid(&f->fe, &here, x, "not configured on this cluster");
	}
}

static bool families_untouched(const struct families *f)
{
	const struct val *policy = val_member(f->spec, F_ipFamilyPolicy);

	return val_is(policy, "PreferDualStack") && val_is(val_member(f->old, F_ipFamilyPolicy), "PreferDualStack") &&
	       val_equal(val_member(f->old, F_type), val_member(f->spec, F_type)) &&
	       val_len(val_member(f->spec, F_clusterIPs)) && val_len(val_member(f->spec, F_ipFamilies)) &&
	       families_same(f, F_clusterIPs) && families_same(f, F_ipFamilies);
}

int service_families(struct api_req *q, const struct allocators *al, const struct val *old, struct val *doc,
		     struct err *err)
{
	struct families f = { .a = q->arena, .al = al, .old = val_get(old, F_spec), .spec = val_get_mut(doc, F_spec) };

	f.at = FPATH_ROOT(F_spec);
	f.ips_at = FPATH(&f.at, F_clusterIPs);
	f.families_at = FPATH(&f.at, F_ipFamilies);
	f.policy_at = FPATH(&f.at, F_ipFamilyPolicy);
	if (val_is(val_member(f.old, F_type), "ExternalName"))
		f.old = NULL; /* it had none of this */
	if (families_untouched(&f))
		return 0;
	field_errs_init(&f.fe, q->arena);
	families_policy(&f);
	if (f.old)
		families_changed(&f);
	families_fit_policy(&f);
	families_of_addresses(&f);
	if (!f.fe.list.n && families_any(&f)) {
		families_complete(&f, true);
		return 0;
	}
	if (!f.fe.list.n)
		families_configured(&f);
	if (f.fe.list.n)
		return field_errs_to_err(&f.fe, RES(core_services), val_get_str(doc, F_metadata, F_name), err);
	families_complete(&f, al->n_flags > 1);
	return 0;
}
