/* members.h - who is in the etcd cluster that a store is: listed, added, promoted, moved, removed.
 *
 * A member joins as a learner, which has all writes and no vote, and is promoted when it has caught up: so one that
 * comes costs the others no majority. etcd has one learner at a time.
 *
 *	etcd_members_join(peer)		by a server that is there: a learner comes
 *	etcd_members_promote(id)	by the new one, when it has started, until it is in sync
 *	etcd_members_remove(name)	by whoever takes one away for good
 *
 * Nobody who answers loses his place to one that joins. A member at the same URL goes when it has answered nothing for
 * some seconds: that is a machine that comes again with nothing. A learner that never came goes when somebody else
 * wants its place and a minute is over: its time is a lease, so that every server sees the same of it. That is noted
 * after it was added, so who wants its place looks again when it has answered nothing.
 *
 *	/caravel/joining/ID	with that lease: whom the one that was added is, by its URL
 *
 * Whether one answers is asked of itself, at its own URL with our certificate (GET /version), and needs no majority.
 *
 * s is a store of store_etcd_open(), not one that lies above it. Blocking, some seconds; any thread but a loop's.
 */
#pragma once

#include "base/arena.h"
#include "store/etcd/wire.h"

#define ETCD_JOINING "/caravel/joining/"

struct etcd_members {
	struct etcd_member m[ETCD_MEMBERS_MAX];
	size_t n;
};

/* Texts in a. As a majority has it. */
int etcd_members_list(struct store *s, struct arena *a, struct etcd_members *ret, struct err *err);
/* Within two seconds, at the first URL it has said. */
bool etcd_members_answers(struct store *s, const struct etcd_member *m);
/* ret: with the new one, whose id it is. ERR_CONFLICT: one that runs is there; ERR_UNAVAILABLE: another one is on its
 * way, or one is down, which the words name, and it may be asked again. */
int etcd_members_join(struct store *s, struct arena *a, struct sv peer, struct etcd_members *ret, uint64_t *ret_id,
		      struct err *err);
/* 1: it has a vote (also already); 0: not in sync yet. */
int etcd_members_promote(struct store *s, uint64_t id, struct err *err);
int etcd_members_move(struct store *s, uint64_t id, struct sv peer, struct err *err);

/* The one that is meant by its name, by the beginning of it that stands before the last "-", or by its id in 16 digits.
 * NULL: nobody, or several, and err says so. */
const struct etcd_member *etcd_members_named(const struct etcd_members *l, struct sv name, struct err *err);
/* May id go? ERR_CONFLICT: no, too few of those that are left would answer. */
int etcd_members_may_go(struct store *s, const struct etcd_members *l, uint64_t id, struct err *err);
/* Does not ask that again. */
int etcd_members_remove(struct store *s, uint64_t id, struct err *err);
