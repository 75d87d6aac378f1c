/* Which volumes may ask their drivers now (kubelet/shares.h): all drivers' together, as each call holds a thread. A
 * volume that finds no place stands in line, and is run again when one is granted. */
#include "kubelet/csi/csi-internal.h"

/* All of them have a thread (ENV_VOLUMES). */
static const struct share_bounds csi_bounds[_SHARE_MAX] = {
	[SHARE_MAKING] = { .all = 24, .space = 6, .each = 4, .late_all = 8, .late_space = 2, .hung_each = 1 },
	[SHARE_UNMAKING] = { .all = 16, .space = 6, .each = 4, .late_all = 6, .late_space = 3, .hung_each = 2 },
	[SHARE_LOOKING] = { .all = 8, .space = 3, .each = 2, .late_all = 2, .late_space = 1, .hung_each = 1 },
};
_Static_assert(CSI_WORKERS == 24 + 16 + 8, "a thread for each place");

static void place_granted(const struct share_place *p, void *ctx)
{
	const struct csi_volume *v = CONTAINER_OF(p, struct csi_volume, place);
	struct csi *c = ctx;

	if (!c->stopping)
		workq_add(csi_driver_of(c, sv_from(v->driver))->q, sv_from(v->sha));
}

void csi_places_init(struct csi *c)
{
	c->shares = (struct shares){ .bounds = csi_bounds, .told = place_granted, .ctx = c };
}

bool csi_place_take(struct csi *c, struct csi_volume *v, enum share_kind kind, struct share_who who)
{
	csi_place_give(c, v);
	return share_take(&c->shares, &v->place, kind, who, env_mono_ns(c->o.env));
}

void csi_place_pass(struct csi *c, struct csi_volume *v)
{
	share_give(&c->shares, &v->place, env_mono_ns(c->o.env));
}

void csi_place_give(struct csi *c, struct csi_volume *v)
{
	if (v->place.state == SHARE_HAS)
		share_give(&c->shares, &v->place, env_mono_ns(c->o.env));
}
