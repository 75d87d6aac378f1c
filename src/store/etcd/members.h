/* members.h - who is in the etcd cluster that a store is: listed, added, promoted, moved, removed.
 *
 * A member joins as a learner, which has all writes and no vote, and is promoted when it has caught up: so one that
 * comes costs the others no majority.
 *
 *	etcd_members_join(peer)		by a server that is there: an older member at that URL goes, a learner comes
 *	etcd_members_promote(id)	by the new one, when it has started, until it is in sync
 *
 * s is a store of store_etcd_open(), not one that lies above it. Blocking; any thread.
 */
#pragma once

#include "base/arena.h"
#include "store/etcd/wire.h"

struct etcd_members {
	struct etcd_member m[ETCD_MEMBERS_MAX];
	size_t n;
};

/* Texts in a. As a majority has it. */
int etcd_members_list(struct store *s, struct arena *a, struct etcd_members *ret, struct err *err);
/* ret: with the new one, whose id it is. */
int etcd_members_join(struct store *s, struct arena *a, struct sv peer, struct etcd_members *ret, uint64_t *ret_id,
		      struct err *err);
/* 1: it has a vote (also already); 0: not in sync yet. */
int etcd_members_promote(struct store *s, uint64_t id, struct err *err);
int etcd_members_remove(struct store *s, uint64_t id, struct err *err);
int etcd_members_move(struct store *s, uint64_t id, struct sv peer, struct err *err);
