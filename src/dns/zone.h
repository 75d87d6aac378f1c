/* zone.h - the names of the cluster: what each Service brings, and the table of all.
 *
 * zone_entry_new() is a pure function of a Service and its EndpointSlices to records (Kubernetes' DNS specification
 * 1.1.0), which one immutable block holds:
 *
 *	Service with an address	NAME.NS.svc: A, AAAA; SRV of each named port; PTR of the address
 *	headless Service	NAME.NS.svc: A, AAAA of all its ready endpoints
 *				HOST.NAME.NS.svc: of each, HOST being its hostname or its address with dashes
 *				SRV of each named port to each HOST; PTR to HOST
 *	ExternalName		NAME.NS.svc: CNAME
 *
 * SRV is answered at NAME.NS.svc, too, for all named ports at once. An endpoint counts when it is ready, or when the
 * Service publishes those that are not.
 *
 * The table belongs to one thread, that which answers: a change of a Service replaces its entry, found by one look into
 * a hash map, and nothing of other Services.
 */
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "dns/wire.h"

struct obj;

/* --- one Service --- */

struct zone_entry;

/* "NAME.NS" in wire form and lower case, appended: the key of its entry. False: neither has any. */
bool zone_key(struct sv ns, struct sv name, struct buf *to);
/* What of Services and slices is read: for object/keep.h. */
extern const char *const zone_service_paths[], *const zone_slice_paths[];
/* NULL: it has no names. Slices may be in any order; those for another address type than addresses do not count. */
struct zone_entry *zone_entry_new(const struct obj *svc, struct obj *const *slices, size_t n);
struct zone_entry *zone_entry_free(struct zone_entry *e);		      /* NULL is fine; returns NULL */
bool zone_entry_same(const struct zone_entry *a, const struct zone_entry *b); /* NULL is none */

struct zone_record {
	uint16_t type;
	/* A, AAAA: the address. SRV: the port (2 bytes), then the label of HOST with its length, if any. CNAME: the
	 * name. */
	struct sv data;
};

/* Labels before the Service's own, in wire form and lower case ("" for itself). *ret: its records, all types; returns
 * how many, or -1: there is no such name. 0: a name with others below it, or none. Records are a view until the entry
 * is freed, to be read with zone_entry_record(). */
ssize_t zone_entry_find(const struct zone_entry *e, struct sv labels, size_t *ret_first);
struct zone_record zone_entry_record(const struct zone_entry *e, size_t i);
/* How many records from i, before end, are of its name and type: they stand together. */
size_t zone_entry_skip(const struct zone_entry *e, size_t i, size_t end);
/* "NAME.NS" in wire form, without the empty label. */
struct sv zone_entry_key(const struct zone_entry *e);

/* --- all --- */

struct zone_table;

struct zone_table *zone_table_new(void);
struct zone_table *zone_table_free(struct zone_table *t);
/* key: NAME.NS in wire form, lower. e replaces what there was (NULL: nothing takes its place); returns the old one, for
 * the caller to free. */
struct zone_entry *zone_table_set(struct zone_table *t, struct sv key, struct zone_entry *e);
const struct zone_entry *zone_table_get(const struct zone_table *t, struct sv key); /* or NULL */
bool zone_table_has_namespace(const struct zone_table *t, struct sv label);	    /* with a Service in it */
size_t zone_table_count(const struct zone_table *t);

/* Names of an address: calls fn (unless NULL) with the labels before the Service's own ("" for itself). Returns how
 * many, at most ZONE_NAMES_MAX. */
#define ZONE_NAMES_MAX 1000
size_t zone_table_names(const struct zone_table *t, struct ip_addr a,
			void (*fn)(const struct zone_entry *e, struct sv labels, void *ctx), void *ctx);
