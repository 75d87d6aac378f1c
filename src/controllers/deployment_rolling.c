/* How far to go in one step.
 *
 * Rolling: pods of all sets together never exceed replicas + maxSurge, and available ones never
 * fall below replicas - maxUnavailable. Scaling up the new set is bounded by the wanted sizes,
 * scaling down old ones by what is available now; pods of the new set that are not available
 * yet count against what may go, and unhealthy pods of old sets go first, as they cost nothing. */
#include "controllers/deployment-internal.h"
#include "controllers/podutil.h"

#include <stdlib.h>

static int grow_new(struct drun *r, struct err *err)
{
	if (!r->neu || r->neu->wanted == r->replicas)
		return 0;
	if (r->neu->wanted > r->replicas)
		return dset_scale(r, r->neu, r->replicas, err);
	return dset_scale(r, r->neu, dset_new_size(r, r->neu->wanted), err);
}

/* A set's status may still count pods that the set, made smaller, is about to lose: right after an
 * old set was shrunk, its last status would allow the same again, and too many would go. */
static int64_t rollout_available(const struct drun *r)
{
	int64_t n = 0;

	for (size_t i = 0; i < r->n_sets; i++)
		n += MIN(r->sets[i]->available, r->sets[i]->wanted);
	return n;
}

/* Takes up to `most` pods that are not available from old sets, oldest set first. */
static int drop_unhealthy(struct drun *r, int64_t most, struct err *err)
{
	int64_t gone = 0;

	for (size_t i = 0; i < r->n_sets && gone < most; i++) {
		struct dset *s = r->sets[i];
		int64_t n;

		if (!dset_is_old(r, s) || s->wanted == 0 || s->available >= s->wanted)
			continue;
		n = MIN(most - gone, s->wanted - s->available);
		if (dset_scale(r, s, s->wanted - n, err) < 0)
			return -1;
		gone += n;
	}
	return gone > 0;
}

static int drop_available(struct drun *r, int64_t least, struct err *err)
{
	int64_t most = rollout_available(r) - least, gone = 0;

	for (size_t i = 0; i < r->n_sets && gone < most; i++) {
		struct dset *s = r->sets[i];
		int64_t n;

		if (!dset_is_old(r, s) || s->wanted == 0)
			continue;
		n = MIN(s->wanted, most - gone);
		if (dset_scale(r, s, s->wanted - n, err) < 0)
			return -1;
		gone += n;
	}
	return gone > 0;
}

static int shrink_old(struct drun *r, struct err *err)
{
	int64_t least = r->replicas - deployment_unavailable(r), most, missing;
	int a, b;

	if (dsets_wanted(r, true) == 0)
		return 0;
	missing = r->neu ? r->neu->wanted - r->neu->available : 0;
	most = dsets_wanted(r, false) - least - missing;
	if (most <= 0)
		return 0;
	a = drop_unhealthy(r, most, err);
	if (a < 0)
		return -1;
	b = drop_available(r, least, err);
	if (b < 0)
		return -1;
	return a || b;
}

int rollout_rolling(struct drun *r, int64_t *ret_after, struct err *err)
{
	int moved;

	if (dsets_sync_revision(r, true, err) < 0)
		return -1;
	moved = grow_new(r, err);
	if (moved == 0)
		moved = shrink_old(r, err);
	if (moved < 0)
		return -1;
	if (moved == 0 && deployment_complete(r, obj_get(r->d, F_status)) && dsets_cleanup(r, err) < 0)
		return -1;
	return deployment_sync_status(r, true, ret_after, err);
}

/* --- Recreate: all old pods go before the first new one comes --- */

static bool old_pods_run(const struct drun *r)
{
	for (size_t i = 0; i < r->n_sets; i++) {
		size_t n;
		struct obj **pods;

		if (!dset_is_old(r, r->sets[i]))
			continue;
		if (r->sets[i]->actual > 0)
			return true;
		pods = informer_by_index(r->c->pods, r->a, INDEX_CONTROLLER, obj_uid(r->sets[i]->o), &n);
		for (size_t k = 0; k < n; k++)
			if (!pod_is_terminal(pods[k]))
				return true;
	}
	return false;
}

int rollout_recreate(struct drun *r, int64_t *ret_after, struct err *err)
{
	bool moved = false;

	if (dsets_sync_revision(r, false, err) < 0)
		return -1;
	for (size_t i = 0; i < r->n_sets; i++) {
		int rc = dset_is_old(r, r->sets[i]) ? dset_scale(r, r->sets[i], 0, err) : 0;

		if (rc < 0)
			return -1;
		moved |= rc > 0;
	}
	if (moved || old_pods_run(r))
		return deployment_sync_status(r, true, ret_after, err);
	if (!r->neu && dsets_sync_revision(r, true, err) < 0)
		return -1;
	if (r->neu && dset_scale(r, r->neu, r->replicas, err) < 0)
		return -1;
	if (deployment_complete(r, obj_get(r->d, F_status)) && dsets_cleanup(r, err) < 0)
		return -1;
	return deployment_sync_status(r, true, ret_after, err);
}

/* --- scaling without a rollout --- */

static int by_size(const void *x, const void *y)
{
	const struct dset *a = *(struct dset *const *)x, *b = *(struct dset *const *)y;

	return (a->wanted < b->wanted) - (a->wanted > b->wanted);
}

/* Sets that have pods, largest first; equal ones newer first when growing, older first when shrinking. */
static struct dset **active_by_size(struct drun *r, bool newer_first, size_t *ret_n)
{
	struct dset **v = ARENA_ARRAY(r->a, struct dset *, r->n_sets);
	size_t n = 0;

	for (size_t i = 0; i < r->n_sets; i++) {
		struct dset *s = r->sets[newer_first ? r->n_sets - 1 - i : i];

		if (s->wanted > 0)
			v[n++] = s;
	}
	for (size_t i = 1; i < n; i++) /* insertion keeps equal ones in order, and there are few */
		for (size_t k = i; k > 0 && by_size(&v[k - 1], &v[k]) > 0; k--) {
			struct dset *t = v[k];

			v[k] = v[k - 1];
			v[k - 1] = t;
		}
	*ret_n = n;
	return v;
}

/* By how much s changes when the whole goes to the deployment's new size, in proportion. */
static int64_t fraction(const struct drun *r, const struct dset *s)
{
	int64_t before, most = r->replicas + deployment_surge(r);

	if (r->replicas == 0)
		return -s->wanted;
	if (!sv_to_i64(annotation_of(obj_root(s->o), ANN_MAX), &before))
		before = val_int_or(obj_get(r->d, F_status, F_replicas), 0);
	if (before <= 0)
		return 0;
	return (2 * s->wanted * most + before) / (2 * before) - s->wanted; /* rounded to nearest */
}

static int64_t proportion(const struct drun *r, const struct dset *s, int64_t to_add, int64_t added)
{
	if (s->wanted == 0 || to_add == 0 || to_add == added)
		return 0;
	return to_add > 0 ? MIN(fraction(r, s), to_add - added) : MAX(fraction(r, s), to_add - added);
}

static int scale_proportionally(struct drun *r, struct err *err)
{
	int64_t all = dsets_wanted(r, false), allowed = r->replicas > 0 ? r->replicas + r->max_surge : 0;
	int64_t to_add = allowed - all, added = 0, *size;
	struct dset **v;
	size_t n;

	v = active_by_size(r, to_add >= 0, &n);
	size = ARENA_ARRAY(r->a, int64_t, n);
	for (size_t i = 0; i < n; i++) {
		int64_t p = proportion(r, v[i], to_add, added);

		size[i] = v[i]->wanted + p;
		added += p;
	}
	for (size_t i = 0; i < n; i++) {
		if (i == 0 && to_add != 0)
			size[0] = MAX(size[0] + to_add - added, 0);
		if (dset_annotate_size(r, v[i], size[i], err) < 0)
			return -1;
	}
	return 0;
}

/* The only set with pods; when none has any, the new one or else the youngest. */
static struct dset *active_or_latest(const struct drun *r, size_t *ret_active)
{
	struct dset *only = NULL;

	*ret_active = 0;
	for (size_t i = 0; i < r->n_sets; i++)
		if (r->sets[i]->wanted > 0) {
			only = r->sets[i];
			++*ret_active;
		}
	if (*ret_active == 1)
		return only;
	if (*ret_active > 1 || r->n_sets == 0)
		return NULL;
	return r->neu ? r->neu : r->sets[r->n_sets - 1];
}

static bool saturated(const struct drun *r)
{
	int64_t desired;

	return r->neu && sv_to_i64(annotation_of(obj_root(r->neu->o), ANN_DESIRED), &desired) &&
	       r->neu->wanted == r->replicas && desired == r->replicas && r->neu->available == r->replicas;
}

int deployment_scale_only(struct drun *r, struct err *err)
{
	size_t active;
	struct dset *one = active_or_latest(r, &active);

	if (one)
		return dset_scale(r, one, r->replicas, err) < 0 ? -1 : 0;
	if (saturated(r)) {
		for (size_t i = 0; i < r->n_sets; i++)
			if (dset_is_old(r, r->sets[i]) && dset_scale(r, r->sets[i], 0, err) < 0)
				return -1;
		return 0;
	}
	return r->recreate ? 0 : scale_proportionally(r, err);
}
