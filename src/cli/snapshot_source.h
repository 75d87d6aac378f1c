/* snapshot_source.h - where a snapshot's records come from.
 *
 *	an etcd			when --datastore-endpoint names one
 *	the running server	by an administrator's kubeconfig, page by page (apiserver/stored_pages.h)
 *	the database itself	of a data directory, when no server answers: DIR/db, or that of DIR/etcd's member, which
 *				has all but what was written in the last moment before a crash. Of that Kubernetes' own
 *				keys come: the others are sealed keys, which the files are, and what servers say anew
 *
 * Blocking; one thread.
 */
#pragma once

#include "cli/api_way.h"
#include "cli/datastore.h"
#include "store/store.h"

struct snapshot_source {
	struct store *store; /* or */
	struct api_way api;  /* or */
	int etcd;	     /* its member's database, locked; 0: none */
	const char *what;    /* in a, for messages */
};

/* kubeconfig: NULL: none was given. *ret: released by the caller, also on failure. */
int snapshot_source_open(struct snapshot_source *s, struct env *env, struct arena *a, const char *data_dir,
			 const char *kubeconfig, const struct datastore_opts *etcd, struct err *err);
/* The revision it is at now; -1. */
int64_t snapshot_source_rev(struct snapshot_source *s, struct err *err);
/* Everything at rev, in the order of keys. ERR_EXPIRED: that has been compacted away meanwhile. */
int snapshot_source_each(struct snapshot_source *s, int64_t rev,
			 int (*fn)(const struct store_kv *kv, void *ctx, struct err *err), void *ctx, struct err *err);
void snapshot_source_release(struct snapshot_source *s);
