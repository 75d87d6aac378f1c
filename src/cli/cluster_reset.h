/* cluster_reset.h - a cluster of several servers whose majority is lost goes on as one of this server alone:
 * `caravel server --cluster-reset`, in words that k3s has, too.
 *
 *	DIR/etcd/data is copied		blocks are shared where the file system can
 *	an etcd starts on the copy	with --force-new-cluster: what its log has and its database does not is there
 *	DIR/etcd/moving is made of it	by etcd's own program (to_etcd_file()): a cluster of other ids, one member
 *	DIR/etcd.reset			has that, synced, and the member's name: it is whole as soon as it has data
 *	DIR/etcd is renamed to DIR/etcd.before-reset, DIR/etcd.reset to DIR/etcd
 *
 * Ended before the first of those renames the next one begins anew, and DIR/etcd/data was only read; between them the
 * next start makes the other (cluster_reset_finish()).
 *
 * The etcd is another cluster for those that were members: one that comes back with what it had is not listened to, and
 * cannot elect a leader for it. It has all objects, keys and tokens, without history, and goes on a million revisions
 * behind: a member that was behind the others does not give out a resourceVersion which clients have seen.
 *
 * Blocking, for a command of its own; the server does not run.
 */
#pragma once

#include "cli/etcd_member.h"

/* 1: done; 0: an earlier one has, and no server has started since. ERR_NOT_FOUND: there is no etcd, or no program. */
int cluster_reset(const struct etcd_member_opts *o, struct err *err);
/* What an interrupted one left undone. */
int cluster_reset_finish(const char *data_dir, struct err *err);
/* A server has started on it: the next one resets again. */
void cluster_reset_used(const char *data_dir);
