/* wire.h - the messages of etcd's v3 API that the backend speaks: questions written, answers read. No socket, no clock.
 *
 * Answers come over a network: nothing in them is believed further than their length. What cannot be read is false, or
 * ERR_INTERNAL; views point into the answer. Tested with bytes, and fuzzed.
 *
 * Source: etcd's rpc.proto and kv.proto, by number; rpctypes/error.go for the words of errors.
 */
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "net/grpc_mux.h"
#include "store/store.h"

#define ETCD_FIRST_KEY SV("\0") /* the least key there can be; as an end: no end */

struct etcd_kv {
	struct sv key, value;
	int64_t create_rev, mod_rev; /* create_rev 0: a tombstone */
};

/* --- ranges --- */

struct etcd_range {
	struct sv key, end; /* end "": the one key */
	int64_t rev, limit; /* 0: now, and all */
	bool count_only, keys_only;
};
void etcd_range_write(struct buf *b, const struct etcd_range *r);

struct etcd_range_said {
	int64_t rev; /* the store's newest when it was asked, not the one asked for */
	int64_t count;
	bool more;
	struct sv message;
};
bool etcd_range_read(struct sv answer, struct etcd_range_said *ret); /* of all of it: what follows cannot fail */
typedef int etcd_kv_fn(const struct etcd_kv *kv, void *ctx);
int etcd_range_each(const struct etcd_range_said *s, etcd_kv_fn *fn, void *ctx); /* until fn is not 0; what it was */

/* --- transactions --- */

/* w and those beside it as one: compares what is expected, writes in order (`also` first), or else reads all of their
 * keys in order (its own first). */
void etcd_txn_write(struct buf *b, const struct store_write *w);

struct etcd_txn_said {
	int64_t rev;
	bool applied;
	struct sv message;
};
bool etcd_txn_read(struct sv answer, struct etcd_txn_said *ret);
/* Of one that was not applied: fn for each key that was read, in order; kv NULL: it is not there. */
typedef int etcd_found_fn(size_t i, const struct etcd_kv *kv, void *ctx);
int etcd_txn_each_found(const struct etcd_txn_said *s, etcd_found_fn *fn, void *ctx);
/* One more compare and one more put, for records of the backend's own: key at version, and then value. */
void etcd_txn_record_write(struct buf *b, struct sv key, int64_t version, struct sv value);
/* What it found when that did not hold: the key's version and value, 0 and "" where there is none. */
int64_t etcd_txn_record_read(const struct etcd_txn_said *s, struct sv *ret_value);

/* --- watches --- */

/* All keys, from revision `from` on, with what was there before. */
void etcd_watch_write(struct buf *b, int64_t from);

struct etcd_event {
	struct etcd_kv kv; /* kv.create_rev 0: deleted */
	struct etcd_kv prev;
	bool has_prev;
};
struct etcd_watch_said {
	int64_t rev;	     /* the store's newest when it was sent */
	int64_t compact_rev; /* of one that was cancelled: > 0: as changes are gone up to it */
	bool created, cancelled;
	bool fragment; /* more of the same revision follows in the next message */
	struct sv reason, message;
	size_t n_events;
};
bool etcd_watch_read(struct sv answer, struct etcd_watch_said *ret);
/* All n_events of them into ret. False: one is wrong. */
bool etcd_watch_events(const struct etcd_watch_said *s, struct etcd_event *ret);

/* It does not say what was there before, though something was. */
static inline bool etcd_event_lacks(const struct etcd_event *ev)
{
	return !ev->has_prev && ev->kv.create_rev != ev->kv.mod_rev;
}
/* What ev tells a watcher: fills c but for its cookie and more, and prev, which it points to. False: what was there
 * before is not known, as it was compacted while this was on its way. */
bool etcd_change(const struct etcd_event *ev, struct store_kv *prev, struct store_change *c);

/* --- the rest --- */

/* A range that only asks how far etcd is, and whether it was compacted beyond rev (0: not that): one key that is not
 * there costs the least. */
void etcd_look_write(struct buf *b, int64_t rev);
void etcd_compact_write(struct buf *b, int64_t rev);

struct etcd_status_said {
	uint64_t bytes;	 /* of its file */
	bool no_space;	 /* the alarm is on */
	bool corrupt;	 /* another */
	bool has_leader; /* of its member's knowledge */
};
bool etcd_status_read(struct sv answer, struct etcd_status_said *ret);

void etcd_lease_write(struct buf *b, int64_t ttl_s, int64_t id);
void etcd_lease_id_write(struct buf *b, int64_t id); /* to keep alive, to revoke */
bool etcd_lease_read(struct sv answer, int64_t *ret_id, int64_t *ret_ttl_s);

/* --- members of the cluster --- */

#define ETCD_MEMBERS_MAX 32

struct etcd_member {
	uint64_t id;
	struct sv name;		/* "": it has not been started yet */
	struct sv peer, client; /* the first URL of each; "": none */
	bool learner;
};
void etcd_member_add_write(struct buf *b, struct sv peer, bool learner);
void etcd_member_id_write(struct buf *b, uint64_t id); /* to remove, to promote */
void etcd_member_update_write(struct buf *b, uint64_t id, struct sv peer);
/* Of a MemberList and, with the added one among them, a MemberAdd. False: it cannot be read, or there are more than
 * ETCD_MEMBERS_MAX. */
bool etcd_members_read(struct sv answer, bool added, struct etcd_member *ret, size_t *ret_n);

/* --- failures --- */

/* What the end of a call means as an error of the store's; e is not GRPC_OK. -1. */
int etcd_fault(const struct grpc_end *e, struct err *err);
/* May the same succeed at another member, or in a moment? */
bool etcd_fault_passes(const struct grpc_end *e);
