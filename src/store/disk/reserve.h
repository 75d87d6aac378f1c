/* reserve.h - room and files kept aside, so that a disk that is full of either leaves some for deleting. Not
 * thread-safe. */
#pragma once

#include "base/err.h"

struct reserve {
	int fd; /* -1: not open */
	bool held;
	char *dir; /* owned; of the first reserve_take() */
};

/* What the log may have accepted before anybody noticed has to become tables yet: all its segments, and one more. */
#define RESERVE_BYTES ((uint64_t)16 << 20)
/* A table for each of those, and as many as there may be before they are merged; the merge's, and the manifest's. */
#define RESERVE_FILES 12

/* Allocates it, fine when it is held. Fails when there is no room for it and spare bytes more, or for its files and as
 * many again (when spare is not 0); on a file system that cannot allocate, or does not count files, there is none to
 * hold, which is no failure. Where there is too little, nothing is taken, not even for a moment: the log may be asking
 * for the same room. */
int reserve_take(struct reserve *r, const char *dir, uint64_t spare, struct err *err);
void reserve_give(struct reserve *r); /* to whoever needs it now */
void reserve_release(struct reserve *r);
uint64_t reserve_bytes(const struct reserve *r); /* on disk */
uint64_t reserve_room(const char *dir);		 /* free there; UINT64_MAX: nobody knows */
