/* Shares are settled in numbers first: how many endpoints of each zone stay, and who gets how many of what is left.
 * Then each endpoint, in order, stays as long as its zone has room, and the others fill what is free. */
#include "controllers/topology_hints.h"

#include "controllers/podutil.h"
#include "object/condition.h"
#include "object/quantity.h"

#include <stdlib.h>

#define LABEL_ZONE "topology.kubernetes.io/zone"
#define OVERLOAD_PERCENT 20

struct share {
	size_t least, most, own, now; /* endpoints it needs at least, may have, has, gets */
	double wanted;
};

bool topology_wanted(const struct obj *svc)
{
	const struct val *all = obj_get(svc, F_metadata, F_annotations);
	const struct val *mode = val_member_sv(all, SV("service.kubernetes.io/topology-mode"));

	if (!mode)
		mode = val_member_sv(all, SV("service.kubernetes.io/topology-aware-hints"));
	return val_is(mode, "Auto") || val_is(mode, "auto");
}

static bool topology_node_counts(const struct obj *node)
{
	if (val_member_sv(obj_labels(node), SV("node-role.kubernetes.io/control-plane")) ||
	    val_member_sv(obj_labels(node), SV("node-role.kubernetes.io/master")))
		return false;
	return condition_ready(obj_root(node));
}

static int64_t topology_cpu(const struct obj *node)
{
	return quantity_milli_or(val_member_sv(obj_get(node, F_status, F_allocatable), SV("cpu")), 0);
}

bool topology_same(const struct obj *old, const struct obj *neu)
{
	return topology_node_counts(old) == topology_node_counts(neu) && topology_cpu(old) == topology_cpu(neu) &&
	       sv_eq(label_of(obj_root(old), LABEL_ZONE), label_of(obj_root(neu), LABEL_ZONE));
}

static int topology_cmp(const void *x, const void *y)
{
	return sv_cmp(((const struct topology_zone *)x)->name, ((const struct topology_zone *)y)->name);
}

void topology_read(struct topology *t, struct arena *a, struct informer *nodes)
{
	size_t n;
	struct obj **all = informer_list(nodes, a, SV(""), &n);

	*t = (struct topology){ .known = true };
	for (size_t i = 0; i < n; i++) {
		struct sv zone = label_of(obj_root(all[i]), LABEL_ZONE);
		size_t k = 0;

		if (!topology_node_counts(all[i]))
			continue;
		while (k < t->n && !sv_eq(t->zones[k].name, zone))
			k++;
		if (!zone.n || topology_cpu(all[i]) <= 0 || k == TOPOLOGY_ZONES_MAX) {
			t->known = false;
			return;
		}
		t->zones[k].name = zone;
		t->zones[k].cpu_milli += topology_cpu(all[i]);
		t->n = MAX(t->n, k + 1);
	}
	if (t->n > 1)
		qsort(t->zones, t->n, sizeof(t->zones[0]), topology_cmp);
}

static size_t zone_of(const struct topology *t, const struct val *ep)
{
	struct topology_zone key = { .name = val_str(val_member(ep, F_zone)) };
	const struct topology_zone *z = bsearch(&key, t->zones, t->n, sizeof(key), topology_cmp);

	return z ? (size_t)(z - t->zones) : t->n;
}

/* False: somebody would be overloaded. */
static bool shares_bound(const struct topology *t, struct share *s, size_t n)
{
	double cpu = 0;
	size_t least = 0;

	for (size_t i = 0; i < t->n; i++)
		cpu += (double)t->zones[i].cpu_milli;
	for (size_t i = 0; i < t->n; i++) {
		double few;

		s[i].wanted = (double)n * (double)t->zones[i].cpu_milli / cpu;
		few = s[i].wanted * 100 / (100 + OVERLOAD_PERCENT);
		s[i].least = (size_t)few;
		s[i].least += (double)s[i].least < few;
		least += s[i].least;
	}
	if (least > n)
		return false;
	for (size_t i = 0; i < t->n; i++)
		s[i].most = s[i].least + n - least;
	return true;
}

/* The zone that is furthest below (least: only of those that have too few), or above, what it wants; n: none. */
static size_t share_pick(const struct share *s, size_t n, bool below, bool least)
{
	size_t best = n;

	for (size_t i = 0; i < n; i++) {
		double by = below ? s[i].wanted - (double)s[i].now : (double)s[i].now - s[i].wanted;
		double best_by = best == n ? 0
				 : below   ? s[best].wanted - (double)s[best].now
					   : (double)s[best].now - s[best].wanted;

		if (least && s[i].now >= s[i].least)
			continue;
		if (below ? s[i].now >= s[i].most : s[i].now <= s[i].least)
			continue;
		if (best == n || by > best_by)
			best = i;
	}
	return best;
}

/* Every endpoint somewhere, every zone within its bounds, as few away from home as that takes. */
static void shares_settle(struct share *s, size_t zones, size_t n)
{
	size_t left = n;

	for (size_t i = 0; i < zones; i++) {
		s[i].now = MIN(s[i].own, s[i].most);
		left -= s[i].now;
	}
	for (; left; left--) {
		size_t to = share_pick(s, zones, true, true);

		if (to == zones)
			to = share_pick(s, zones, true, false);
		s[to].now++; /* there is one: the bounds add up to more than n */
	}
	for (;;) {
		size_t to = share_pick(s, zones, true, true), from = share_pick(s, zones, false, false);

		if (to == zones || from == zones)
			return;
		s[to].now++;
		s[from].now--;
	}
}

void endpoint_hint(struct arena *a, struct val *ep, enum sym list, struct sv name)
{
	struct val *one = val_new_map(a);

	val_set_str(a, one, F_name, name);
	val_push(a, val_set_list(a, val_ensure_map(a, ep, F_hints), list), one);
}

bool topology_hints(struct arena *a, const struct topology *t, struct val *const *endpoints, size_t n)
{
	struct share s[TOPOLOGY_ZONES_MAX] = { 0 };
	bool *placed = ARENA_ARRAY(a, bool, n + 1);
	size_t free_at = 0;

	if (!t->known || t->n < 2 || t->n > n)
		return false;
	for (size_t i = 0; i < n; i++) {
		size_t z = zone_of(t, endpoints[i]);

		placed[i] = false;
		if (!val_str(val_member(endpoints[i], F_zone)).n)
			return false;
		if (z < t->n)
			s[z].own++;
	}
	if (!shares_bound(t, s, n))
		return false;
	shares_settle(s, t->n, n);
	for (size_t i = 0; i < n; i++) {
		size_t z = zone_of(t, endpoints[i]);

		if (z == t->n || !s[z].now)
			continue;
		s[z].now--;
		placed[i] = true;
		endpoint_hint(a, endpoints[i], F_forZones, t->zones[z].name);
	}
	for (size_t i = 0; i < n; i++) {
		if (placed[i])
			continue;
		while (!s[free_at].now)
			free_at++;
		s[free_at].now--;
		endpoint_hint(a, endpoints[i], F_forZones, t->zones[free_at].name);
	}
	return true;
}
