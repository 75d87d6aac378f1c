/* lease.h - keys that go when nobody holds on to them: leases, as etcd has them.
 *
 *	grant(ttl) ─▶ keepalive, keepalive, ...    puts name it (store_write.lease)
 *	   └─ none for ttl, or revoke ─▶ its keys are deleted, each as a write of its own: in the log, told to watches
 *
 * A put attaches its key to the lease it names, and takes it from the one it had; a put that names none takes it
 * from all; a deletion does, too. A lease that is not there, or is going, refuses puts with ERR_NOT_FOUND.
 *
 * Leases outlive the process; how long each still has does not: after a start all have their full time, as after an
 * election of etcd's. Time is the environment's monotonic clock.
 *
 * An embedded store gets leases from store_leased(), a store over it, which keeps what it must remember beside the
 * rest, under STORE_LEASES: a grant, an attachment and their ends spend revisions. etcd has them itself and fills
 * in the three calls of store_ops.
 *
 * Writes that no lease is concerned with pass by. Those that one is concerned with go one after the other, each
 * behind the note that says so: so no version with a lease is ever without the note, nor one without a lease
 * deleted.
 *
 * A key with a lease has 33 bytes less than STORE_KEY_MAX.
 *
 * The three calls block: not from a loop or a callback of the store. Threads: any.
 */
#pragma once

#include "store/store.h"

#define STORE_LEASES "/caravel/leases/"

/* inner's life is the new store's. NULL: what leases there are could not be read, perhaps only for now; nothing of it
 * was changed, and inner is closed. */
struct store *store_leased(struct store *inner_take, struct err *err);
