/* to_etcd.h - what the database of a data directory has, into an etcd of our own: --cluster-init where DIR/db is.
 *
 *	DIR/db is read, DIR/etcd/moving written
 *	that is synced, and renamed to DIR/etcd/data
 *	DIR/db is renamed to DIR/db.before-etcd
 *
 * Every object keeps its revisions, and so its resourceVersion, and the etcd goes on where the database was. No
 * client can give a revision to an etcd; a snapshot of one has them. So such a file is written
 * (snapshot/etcd_file.h), and etcd's own program (etcdutl, or etcdctl before 3.6) makes the data directory of it, in
 * seconds, however many revisions there were. An etcd is started on that and asked how far it is before anything
 * counts.
 *
 * Where there is no such program, or it fails, all is written to an etcd that runs, in the order of revisions, and
 * between two whatever lies there is counted up by writes that mean nothing: minutes a million. It forgets those
 * meanwhile, and the log tells how long it takes; beyond 20,000,000 revisions it is not begun, and the error says what
 * is missing. Keys of one revision, which the snapshot of an etcd has, are one write.
 *
 * History is not taken along: a watch that goes on at the newest revision goes on, an older one is told ERR_EXPIRED
 * and reads afresh.
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
/* Removes what a killed move left of its files, all objects as they were: the next start may go another way. */
void to_etcd_forget(const char *data_dir);
/* The slow way: all of `from` into `to`, which is fresh. */
int to_etcd_copy(struct store *from, struct store *to, size_t *ret_keys, int64_t *ret_rev, struct err *err);
