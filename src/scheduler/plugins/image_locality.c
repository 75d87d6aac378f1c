/* ImageLocality: prefers nodes that hold the Pod's images already, large ones more; an image that
 * few nodes hold counts less, so that not everything runs to the one node that has it. */
#include "scheduler/plugins/plugins.h"

#define MB (INT64_C(1024) * 1024)
#define MIN_SIZE (23 * MB)
#define MAX_SIZE_EACH (1000 * MB)

struct wanted {
	uint32_t id;
	int64_t scaled; /* bytes, times the share of nodes that have it */
};

struct state {
	struct wanted *images;
	size_t n;
};

static enum sched_outcome image_locality_prescore(struct cycle_state *cs, struct node_info *const *nodes, size_t n)
{
	const struct pod_shape *s = cs->shape;
	struct state *st = ARENA_NEW(cs->arena, struct state);
	size_t n_nodes;

	(void)nodes;
	(void)n;
	cache_order(cs->cache, &n_nodes);
	st->images = ARENA_ARRAY(cs->arena, struct wanted, s->n_images);
	for (size_t i = 0; i < s->n_images; i++) {
		const struct image *x = strmap_get(&cs->cache->images, s->images[i]);

		if (x)
			st->images[st->n++] =
			    (struct wanted){ x->id, (int64_t)((double)x->size * x->n_nodes / (double)MAX(n_nodes, 1)) };
	}
	cs->data[PLUGIN_IMAGE_LOCALITY] = st;
	return st->n ? SCHED_OK : SCHED_SKIP;
}

static bool image_locality_has(const struct node_info *n, uint32_t id)
{
	size_t lo = 0, hi = n->n_images;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (n->images[mid] < id)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < n->n_images && n->images[lo] == id;
}

static int64_t image_locality_score(struct cycle_state *cs, const struct node_info *n)
{
	const struct state *st = cs->data[PLUGIN_IMAGE_LOCALITY];
	int64_t sum = 0, max = MAX_SIZE_EACH * (int64_t)cs->shape->n_images;

	for (size_t i = 0; i < st->n; i++)
		if (image_locality_has(n, st->images[i].id))
			sum += st->images[i].scaled;
	sum = MIN(MAX(sum, MIN_SIZE), max);
	return NODE_SCORE_MAX * (sum - MIN_SIZE) / (max - MIN_SIZE);
}

const struct plugin plugin_image_locality = {
	.name = "ImageLocality",
	.weight = 1,
	.prescore = image_locality_prescore,
	.score = image_locality_score,
};
