/* group.h - the records of one round, and what is to become of each; the writer's (writer.c decides when, and writes).
 *
 * Nobody else's: one thread, no lock. A snapshot is open while a group is used.
 */
#pragma once

#include "store/disk/disk-internal.h"

/* What a key is at some moment: rec when it is in the overlay, else in the database. */
struct ver {
	int64_t mod_rev;    /* 0: there is nothing, not even a tombstone */
	int64_t create_rev; /* 0: not live */
	size_t bytes;	    /* of its record, when it is live */
	const struct rec *rec;
	bool in_group; /* not durable yet */
};

struct group_entry {
	struct rec *rec;
	enum store_outcome outcome; /* of one beside another that is passed over: STORE_MISMATCH */
	struct ver before;
	size_t which;  /* of a mismatch, as in struct store_result; */
	struct sv key; /* and whose `before` is then. "": rec's */
};

#define GROUP_GUARDS 8 /* of a group, remembered: a few namespaces and definitions */

struct group_guard {
	const struct rec *r;
	struct ver ver; /* of its key, outside the group */
};

struct group {
	struct group_entry *e; /* room for all that was taken */
	size_t n, applied;
	struct recmap keys; /* newest applied record of each key in this group */
	/* The last guards whose keys were looked up, each at its number, counted up, modulo GROUP_GUARDS. */
	struct group_guard guards[GROUP_GUARDS];
	size_t n_guards;
	int64_t next_rev;
	uint64_t live, live_bytes;
	struct err err; /* why the group failed */
	bool refused;	/* something, for want of room */
};

/* Decides about the records in taken as of now: outcomes, revisions, what the store will hold. g->e has room for all.
 */
void group_form(struct disk_store *s, struct snap *sn, struct group *g, struct list *taken);

/* The live version of key that is revision rev, 1, or 0 when there is none (any more). o: the snapshot's. */
int ver_at_rev(const struct snap *sn, const struct overlay *o, struct sv key, int64_t rev, struct table_hold *hold,
	       struct store_kv *ret, struct err *err);
/* The live version v stands for, in *buf, or NULL. An unreadable one is NULL, too: it is the replaced version, and its
 * replacement must be reported either way. */
const struct store_kv *ver_kv(struct snap *sn, struct sv key, const struct ver *v, struct store_kv *buf);
