/* replicaset_rank.h - which pods a shrinking ReplicaSet gives up first. */
#pragma once

#include "base/arena.h"
#include "object/obj.h"

/* Sorts pods, those to delete first in front. peers are the active pods of all ReplicaSets of the same
 * owner: of two equal pods the one that shares its node with more of them goes. */
void rank_pods_for_deletion(struct arena *a, struct obj **pods, size_t n, struct obj *const *peers, size_t n_peers,
			    int64_t now_ns);
