/* How many pods: of the ReplicaSets together, and at most and at least in a rollout. Pure. */
#include "controllers/deployment-internal.h"

bool dset_is_old(const struct drun *r, const struct dset *s)
{
	return s != r->neu;
}

int64_t dsets_wanted(const struct drun *r, bool old_only)
{
	int64_t n = 0;

	for (size_t i = 0; i < r->n_sets; i++)
		if (!old_only || dset_is_old(r, r->sets[i]))
			n += r->sets[i]->wanted;
	return n;
}

int64_t deployment_surge(const struct drun *r)
{
	return r->recreate ? 0 : r->max_surge;
}

int64_t deployment_unavailable(const struct drun *r)
{
	if (r->recreate || r->replicas == 0)
		return 0;
	return MIN(r->max_unavailable, r->replicas);
}

/* What the new set, of size neu_now, may grow to. */
int64_t dset_new_size(const struct drun *r, int64_t neu_now)
{
	int64_t now, most;

	if (r->recreate)
		return r->replicas;
	now = dsets_wanted(r, false);
	most = r->replicas + r->max_surge;
	if (now >= most)
		return neu_now;
	return neu_now + MIN(most - now, r->replicas - neu_now);
}
