/* to_etcd.h - what the database of a data directory has, into an etcd of our own: --cluster-init where DIR/db is.
 *
 *	DIR/db is read, DIR/etcd/moving written
 *	that is synced, and renamed to DIR/etcd/data
 *	DIR/db is renamed to DIR/db.before-etcd
 *
 * Every object keeps its revision, and so its resourceVersion: they are written in the order of revisions, and between
 * two whatever lies there is counted up by writes that mean nothing. etcd has no other way to count up, so a million
 * revisions take some minutes: it forgets those writes meanwhile, and the log tells how long it takes. Keys of one
 * revision, which the snapshot of an etcd has, are one write. History is not taken along: a watch that goes on at the
 * newest revision goes on, an older one is told ERR_EXPIRED and reads afresh.
 *
 * Ended at any point before the first rename, also by a signal, the next start begins anew, and DIR/db was only read;
 * after it the move has been made. DIR/db.before-etcd is left for who wants to go back.
 *
 * Blocking, for the start of a server.
 */
#pragma once

#include "cli/etcd_member.h"

struct store;

/* Nothing to do where there is no database. The pki has etcd's CA. */
int to_etcd(const struct etcd_member_opts *o, const struct etcd_member_id *id, struct err *err);
/* The heart of it, for tests: all of `from` into `to`, which is fresh. */
int to_etcd_copy(struct store *from, struct store *to, size_t *ret_keys, int64_t *ret_rev, struct err *err);
