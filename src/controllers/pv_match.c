/* Which volume a claim gets, and which claim a volume that can be had is for; without either looking at all of the
 * other's kind.
 *
 * A volume that can be had is offered to one waiting claim, which looks for its best then. When that is another volume,
 * the offer is made again: what was free stays free only if nobody who waits can use it. Claims and offers are the
 * same queue's, one at a time: a claim that has just found nothing waits already when the next offer is made. */
#include "controllers/podutil.h"
#include "controllers/pv_binder-internal.h"

#define MODES 16 /* subsets of the access modes there are */

static unsigned match_modes(const struct obj *o)
{
	static const char *const names[] = { "ReadWriteOnce", "ReadOnlyMany", "ReadWriteMany", "ReadWriteOncePod" };
	unsigned mask = 0;

	VAL_EACH(obj_get(o, F_spec, F_accessModes), m)
		for (unsigned i = 0; i < ARRAY_LEN(names); i++)
			mask |= val_is(m, names[i]) ? 1u << i : 0;
	return mask;
}

static struct sv match_shelf(struct arena *a, const struct obj *o, unsigned modes)
{
	return arena_svf(a, "%.*s/%.*s/%.*s/%u", SV_ARG(storage_class_name(o)),
			 SV_ARG(val_str(obj_get(o, F_spec, F_volumeAttributesClassName))), SV_ARG(volume_mode_of(o)),
			 modes);
}

static struct sv match_reserved_shelf(struct arena *a, struct sv ns, struct sv name)
{
	return arena_svf(a, "%.*s/%.*s", SV_ARG(ns), SV_ARG(name));
}

static bool match_is_free(const struct obj *volume)
{
	return !obj_deleting(volume) && !obj_get(volume, F_spec, F_claimRef) &&
	       val_is(obj_get(volume, F_status, F_phase), "Available");
}

void pv_volume_seen(struct pv_binder *b, struct obj *volume, bool gone)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	const struct val *ref = obj_get(volume, F_spec, F_claimRef);
	struct sv shelf = SV_NULL;

	if (!gone && ref)
		shelf = match_reserved_shelf(&a, val_get_str(ref, F_namespace), val_get_str(ref, F_name));
	else if (!gone && match_is_free(volume))
		shelf = match_shelf(&a, volume, match_modes(volume));
	pthread_mutex_lock(&b->lock);
	if (shelf.p)
		pv_shelves_put(&b->shelves, shelf, obj_name(volume), volume_capacity_bytes(volume), volume);
	else
		pv_shelves_del(&b->shelves, obj_name(volume));
	pthread_mutex_unlock(&b->lock);
	if (shelf.p && !ref)
		workq_add(b->claim_q, obj_name(volume));
}

struct match {
	const struct obj *claim, *volume;
	const struct selector *selector;
};

static bool match_serves(const struct obj *volume, void *ctx)
{
	const struct match *m = ctx;

	return volume_can_serve(volume, m->claim, m->selector);
}

/* Lock held; borrowed. */
static struct obj *match_best(struct pv_binder *b, struct arena *a, const struct obj *claim, bool reserved_only)
{
	struct match m = { .claim = claim, .selector = claim_selector(a, claim) };
	int64_t bytes = claim_request_bytes(claim);
	unsigned need = match_modes(claim);
	struct obj *best = pv_shelves_up(&b->shelves, match_reserved_shelf(a, obj_ns(claim), obj_name(claim)), bytes,
					 match_serves, &m);

	if (best || reserved_only)
		return best;
	for (unsigned modes = 0; modes < MODES; modes++) {
		struct obj *v;

		if ((modes & need) != need)
			continue;
		v = pv_shelves_up(&b->shelves, match_shelf(a, claim, modes), bytes, match_serves, &m);
		if (v && (!best || volume_rank_cmp(v, best, claim) < 0))
			best = v;
	}
	return best;
}

struct obj *pv_best_volume(struct pv_binder *b, const struct obj *claim, bool reserved_only)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct obj *best, *known;

	for (;;) {
		pthread_mutex_lock(&b->lock);
		best = obj_ref(match_best(b, &a, claim, reserved_only));
		pthread_mutex_unlock(&b->lock);
		known = best ? informer_lookup(b->volumes, SV(""), obj_name(best)) : NULL;
		if (!best || known)
			break;
		/* It went while pv_bind() was putting it back. */
		pv_volume_seen(b, best, true);
		obj_unref(best);
	}
	obj_unref(known);
	return best;
}

/* --- claims that wait --- */

void pv_claim_waits(struct pv_binder *b, struct obj *claim)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;

	pv_shelves_put(&b->waiting, match_shelf(&a, claim, match_modes(claim)),
		       match_reserved_shelf(&a, obj_ns(claim), obj_name(claim)), claim_request_bytes(claim), claim);
}

static bool match_wanted(const struct obj *claim, void *ctx)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	const struct match *m = ctx;

	return volume_can_serve(m->volume, claim, claim_selector(&a, claim));
}

struct obj *pv_claim_waiting(struct pv_binder *b, const struct obj *volume)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct match m = { .volume = volume };
	unsigned has = match_modes(volume);
	struct obj *best = NULL;

	if (!match_is_free(volume))
		return NULL;
	for (unsigned modes = 0; modes < MODES; modes++) {
		struct obj *c;

		if ((modes & has) != modes)
			continue;
		c = pv_shelves_down(&b->waiting, match_shelf(&a, volume, modes), volume_capacity_bytes(volume),
				    match_wanted, &m);
		if (c && (!best || claim_request_bytes(c) > claim_request_bytes(best)))
			best = c;
	}
	return obj_ref(best);
}
