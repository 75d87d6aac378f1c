/* foreign.h - clusters of others, as the files they are stored in: an etcd's, and those of k3s.
 *
 * Both have Kubernetes' keys and values as we have them (apiserver/storekey.h), each with its revisions; what comes of
 * a file is each key's newest version. Keys of others in the same store are passed over, and counted: what is not below
 * the prefix that a kube-apiserver had as --etcd-prefix, or is no key or value that a store here takes. Another prefix
 * than /registry becomes that.
 *
 * The files may be anybody's. Nothing of them is changed.
 */
#pragma once

#include "base/arena.h"
#include "store/store.h"

struct foreign_cb {
	/* Once, before the records: the revision of all. */
	int (*begin)(int64_t rev, void *ctx, struct err *err);
	/* In the order of keys; a view until it returns. */
	int (*record)(const struct store_kv *kv, void *ctx, struct err *err);
};

#define FOREIGN_SEEN 3

struct foreign_found {
	int64_t rev;
	uint64_t keys, passed_over;
	uint64_t unread;	     /* of keys: their values are no objects, and a server will set them aside */
	char unread_at[96];	     /* the first of them, or as much of it */
	char seen[FOREIGN_SEEN][64]; /* where keys begin that were passed over: "/kubernetes.io"; "" behind the last */
	bool encrypted;		     /* some values are */
	bool unchecked; /* an etcd's database without the checksum of a snapshot: a copy, perhaps of a running one */
};

/* An etcd's snapshot (its database and SHA-256), or its member/snap/db. prefix: "/registry", without a slash behind. */
int foreign_etcd(int fd, struct sv prefix, const struct foreign_cb *cb, void *ctx, struct foreign_found *ret,
		 struct err *err);
/* A database of SQLite with kine's table, by libsqlite3, which is loaded for it. */
int foreign_kine(const char *path, struct sv prefix, const struct foreign_cb *cb, void *ctx, struct foreign_found *ret,
		 struct err *err);

/* --- for both --- */

/* The key as we have it, below /registry, in a; SV_NULL: it is not below the prefix, or too long. */
struct sv foreign_key(struct arena *a, struct sv key, struct sv prefix);
/* A key and value are passed over. */
void foreign_pass(struct sv key, struct foreign_found *ret);
/* Is it a key and value of Kubernetes that can be taken? They are counted either way. */
bool foreign_wanted(const struct store_kv *kv, struct foreign_found *ret);
