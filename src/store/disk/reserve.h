/* reserve.h - room kept aside, so that a full disk leaves some for deleting. Not thread-safe. */
#pragma once

#include "base/err.h"

struct reserve {
	int fd; /* -1: not open */
	bool held;
};

/* What the log may have accepted before anybody noticed has to become tables yet: all its segments, and one more. */
#define RESERVE_BYTES ((uint64_t)16 << 20)

/* Allocates it, fine when it is held. Fails when there is no room for it and spare bytes more; on a file system that
 * cannot allocate there is none to hold, which is no failure. Where there is too little, nothing is taken, not even for
 * a moment: the log may be asking for the same room. */
int reserve_take(struct reserve *r, const char *dir, uint64_t spare, struct err *err);
void reserve_give(struct reserve *r); /* to whoever needs it now */
void reserve_release(struct reserve *r);
uint64_t reserve_bytes(const struct reserve *r); /* on disk */
uint64_t reserve_room(const char *dir);		 /* free there; UINT64_MAX: nobody knows */
