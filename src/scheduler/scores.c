/* What plugins do alike with their scores. */
#include "scheduler/framework.h"

void normalize_to_max(int64_t *scores, size_t n, bool reverse)
{
	int64_t max = 0;

	for (size_t i = 0; i < n; i++)
		max = MAX(max, scores[i]);
	for (size_t i = 0; i < n; i++) {
		int64_t s = max ? scores[i] * NODE_SCORE_MAX / max : 0;

		scores[i] = reverse ? NODE_SCORE_MAX - s : s;
	}
}
