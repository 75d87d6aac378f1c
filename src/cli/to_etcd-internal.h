/* to_etcd-internal.h - the two ways of to_etcd.h, of which cluster_reset.c has one, too. Nobody else includes it, but
 * their tests. */
#pragma once

#include "cli/daemon.h"
#include "cli/to_etcd.h"

#define TO_ETCD_MOVING "moving" /* below DIR/etcd: a data directory that is made */
#define TO_ETCD_TRIES 20	/* of half a minute each: an etcd reads all it has when it starts */

/* A start may be told to end while it moves: ERR_UNAVAILABLE. */
static inline int to_etcd_goes_on(struct err *err)
{
	return daemon_is_to_end() ? err_set(err, ERR_UNAVAILABLE, "a signal ends it; the next start begins anew") : 0;
}

/* Of a cluster that an etcd was already, another one. */
struct to_etcd_anew {
	const char *cluster; /* its token: what it makes its ids of, so that members of the old one are none of it */
	int64_t leap;	     /* so many revisions behind */
};
/* Makes DIR/etcd/moving of a file with all of `from`, by etcd's own program. 1; 0: there is no such program, and
 * nothing was done. What is left of it after a failure is removed by the next one. anew: without what lives by a lease,
 * which is not taken along; NULL: `from` is no etcd. */
int to_etcd_file(const struct etcd_member_opts *o, const struct etcd_member_id *id, struct store *from,
		 const struct to_etcd_anew *anew, uint64_t *ret_keys, int64_t *ret_rev, struct err *err);
/* The etcd that runs by o, when it answers. tries: of half a minute; 0: for as long as it takes. */
struct store *to_etcd_open(struct arena *a, const struct etcd_member_opts *o, const struct etcd_member_id *id,
			   unsigned tries, struct err *err);
/* Starts the etcd that was made, and ends it. ERR_INTERNAL: it is at another revision. */
int to_etcd_look(struct arena *a, const struct etcd_member_opts *o, const struct etcd_member_id *id, int64_t rev,
		 struct err *err);
/* All that was written on that disk, of what was told not to sync. */
int to_etcd_sync(const char *dir, struct err *err);
/* Within dir, which is synced. */
int to_etcd_rename(const char *from, const char *to, const char *dir, struct err *err);
