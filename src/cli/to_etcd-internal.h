/* to_etcd-internal.h - the two ways of to_etcd.h. Nobody else includes it, but their tests. */
#pragma once

#include "cli/daemon.h"
#include "cli/to_etcd.h"

#define TO_ETCD_MOVING "moving" /* below DIR/etcd: a data directory that is made */

/* A start may be told to end while it moves: ERR_UNAVAILABLE. */
static inline int to_etcd_goes_on(struct err *err)
{
	return daemon_is_to_end() ? err_set(err, ERR_UNAVAILABLE, "a signal ends it; the next start begins anew") : 0;
}

/* Makes DIR/etcd/moving of a file with all of `from`, by etcd's own program. 1; 0: there is no such program, and
 * nothing was done. What is left of it after a failure is removed by the next one. */
int to_etcd_file(const struct etcd_member_opts *o, const struct etcd_member_id *id, struct store *from,
		 uint64_t *ret_keys, int64_t *ret_rev, struct err *err);
