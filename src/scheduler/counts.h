/* counts.h - a sparse array: how many of something stand on each node, by node slot.
 *
 * The scheduler keeps one for every question it asks again and again ("pods of this selector",
 * "pods holding this anti-affinity term"), changed by one whenever a pod comes or goes, so that
 * no scheduling cycle ever walks over pods. A node with no such pod takes no room (an entry that
 * fell to zero stays until the table grows). Zero-initialised is empty.
 */
#pragma once

#include "base/base.h"

struct count {
	uint32_t slot_1; /* node slot + 1; 0: free */
	uint32_t n;
};

struct counts {
	struct count *e;
	uint32_t cap, used; /* cap is a power of two */
	int64_t total;
};

void counts_release(struct counts *c);
void counts_clear(struct counts *c); /* memory kept */
void counts_add(struct counts *c, uint32_t slot, int delta);
uint32_t counts_get(const struct counts *c, uint32_t slot);

/* for (const struct count *e = NULL; (e = counts_next(c, e));) : entries with n > 0, in no order that means anything,
 * but the same for the same history. */
const struct count *counts_next(const struct counts *c, const struct count *prev);
