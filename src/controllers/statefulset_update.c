/* statefulset_update: which pods of an older revision go now.
 *
 * maxUnavailable is of the whole set: a pod that is missing or not available counts wherever it is, also below the
 * partition. OrderedReady deletes from the highest number down as many as are left of it. Parallel first deletes every
 * old pod that is not available anyway - a template that never starts could not be replaced otherwise - and then
 * available ones as OrderedReady does, so what serves is never spent before what does not. */
#include "controllers/podutil.h"
#include "controllers/statefulset-internal.h"

static bool is_old(const struct srun *r, const struct obj *pod)
{
	return !obj_deleting(pod) && !sts_runs(r, pod, r->update);
}

/* Old pods past the partition, from the highest: at most `most`; available ones, others, or (-1) both. */
static int delete_old(struct srun *r, int64_t most, int with_available, struct err *err)
{
	for (size_t i = r->n_wanted; i-- > 0 && r->wanted[i].n >= r->partition && most > 0;) {
		struct obj *pod = r->wanted[i].pod;

		if (!is_old(r, pod) || (with_available >= 0 && sts_available(r, pod) != (bool)with_available))
			continue;
		if (sts_remove(r, pod, err) < 0)
			return -1;
		most--;
	}
	return 0;
}

int sts_update(struct srun *r, struct err *err)
{
	const struct val *how = obj_get(r->set, F_spec, F_updateStrategy);
	int64_t most = 1, missing = r->replicas;

	if (val_is(val_member(how, F_type), "OnDelete"))
		return 0;
	(void)int_or_percent(val_get(how, F_rollingUpdate, F_maxUnavailable), r->replicas, false, &most);
	most = MAX(most, 1);
	for (size_t i = 0; i < r->n_wanted; i++)
		missing -= sts_available(r, r->wanted[i].pod);
	if (r->ordered)
		return delete_old(r, most - missing, -1, err);
	if (delete_old(r, INT64_MAX, false, err) < 0)
		return -1;
	return delete_old(r, most - missing, true, err);
}
