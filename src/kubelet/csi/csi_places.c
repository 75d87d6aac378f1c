/* Which volumes may ask their drivers now (kubelet/shares.h): all drivers' together, as each call holds a thread. A
 * volume that finds no place stands in line, and is run again when there is one for it: the first in line that may,
 * which need not be the first. */
#include "kubelet/csi/csi-internal.h"

#include <stdlib.h>

/* All of them have a thread (ENV_VOLUMES). */
const struct share_bounds csi_bounds[_SHARE_MAX] = {
	[SHARE_MAKING] = { .all = 24, .each = 4, .hung_all = 8, .hung_each = 1 },
	[SHARE_UNMAKING] = { .all = 16, .each = 4, .hung_all = 6, .hung_each = 2 },
	[SHARE_LOOKING] = { .all = 8, .each = 2, .hung_all = 2, .hung_each = 1 },
};
_Static_assert(CSI_WORKERS == 24 + 16 + 8, "a thread for each place");

/* Whoever is in line and may have what was given back. */
static void places_next(struct csi *c)
{
	struct csi_volume *first = NULL;

	STRMAP_EACH(&c->volumes, e) {
		struct csi_volume *v = e->value;

		if (v->in_line && (!first || v->in_line < first->in_line) &&
		    shares_free(&c->shares, v->kind, sv_from(v->owner), v->hung))
			first = v;
	}
	if (!first)
		return;
	first->in_line = 0;
	first->called = true;
	workq_add(csi_driver_of(c, sv_from(first->driver))->q, sv_from(first->sha));
}

bool csi_place_take(struct csi *c, struct csi_volume *v, enum share_kind kind, struct sv owner)
{
	uint64_t number = v->in_line;
	int64_t since = v->line_ns;

	if (!v->owner || !sv_is(owner, v->owner)) {
		free(v->owner);
		v->owner = xstrndup(owner.p, owner.n);
	}
	v->kind = kind;
	v->placed_hung = v->hung;
	v->placed = shares_enter(&c->shares, kind, owner, v->hung);
	v->called &= !v->placed;
	csi_place_pass(c, v);
	if (v->placed)
		return true;
	v->in_line = number ? number : ++c->line; /* who is looked at once more stays where it was */
	v->line_ns = since ? since : env_mono_ns(c->o.env);
	return false;
}

void csi_place_pass(struct csi *c, struct csi_volume *v)
{
	bool called = v->called;

	v->in_line = 0;
	v->line_ns = 0;
	v->called = false;
	if (called)
		places_next(c);
}

void csi_place_give(struct csi *c, struct csi_volume *v)
{
	if (!v->placed)
		return;
	v->placed = false;
	shares_leave(&c->shares, v->kind, sv_from(v->owner), v->placed_hung);
	places_next(c);
}
