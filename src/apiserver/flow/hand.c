/* Shuffle sharding: a flow is dealt a few of the queues, by its hash, and waits in the one of them that is shortest.
 * Two flows have few queues in common, so one that fills all of its own leaves others a place.
 *
 * The hash is a number in the system whose digits have n, n - 1, ... values: each digit picks one of those that are
 * left. Validation sees to it that the hash has enough bits for all hands. */
#include "apiserver/flow/flow-internal.h"

void flow_hand(uint64_t hash, uint32_t n, uint32_t hand, uint32_t *ret)
{
	uint32_t sorted[FLOW_HAND_MAX];

	for (uint32_t i = 0; i < hand; i++) {
		uint32_t card = (uint32_t)(hash % (n - i)), at = 0;

		hash /= n - i;
		/* The card-th of those not dealt yet. */
		for (; at < i && sorted[at] <= card; at++)
			card++;
		for (uint32_t k = i; k > at; k--)
			sorted[k] = sorted[k - 1];
		sorted[at] = card;
		ret[i] = card;
	}
}
