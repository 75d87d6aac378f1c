/* zone_entry.h - the inside of an entry, for zone.c and zone_table.c only. */
#pragma once

#include "dns/zone.h"

/* A place in the list of those that have an address: table's. */
struct zone_ptr {
	struct zone_ptr *next, **prev;
	const struct zone_entry *entry;
	uint32_t record;
};

/* Sorted by key, type, data; no two are alike. */
struct zone_packed {
	uint32_t key, data; /* where in the texts */
	uint16_t type, data_n;
	uint8_t key_n;
};

struct zone_entry {
	size_t n_records, n_ptrs, n_texts;
	uint8_t name_n; /* of the texts: NAME.NS */
	bool headless;
	struct zone_packed *records;
	struct zone_ptr *ptrs; /* room for n_ptrs; the one part that changes */
	char *texts;
};

/* Whether a record gives the address a name, and which address. */
bool zone_entry_named(const struct zone_entry *e, size_t i, struct ip_addr *ret);
