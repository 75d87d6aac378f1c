/* datastore.h - where a server's objects are: in its data directory, or in an etcd that --datastore-endpoint names. */
#pragma once

#include "base/arena.h"
#include "base/env.h"
#include "base/err.h"

struct datastore_opts {
	const char *endpoint; /* NULL: the database in the data directory */
	const char *ca_file, *cert_file, *key_file;
	const char *compact; /* how long an etcd's history is kept; NULL: five minutes, as upstream */
	bool kept;	     /* its history is the API server's to bound (apiserver/history/) */
};

struct store;

/* What is wrong with the flags, by their names, before anything is touched. of_etcd: they are --etcd-servers and so on.
 */
int datastore_check(const struct datastore_opts *o, bool of_etcd, struct err *err);
/* Waits for an etcd that does not answer yet, half a minute, or until the process is told to end. */
struct store *datastore_etcd(struct env *env, struct arena *a, const struct datastore_opts *o, struct err *err);
