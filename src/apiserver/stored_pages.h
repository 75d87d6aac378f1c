/* stored_pages.h - what the store has, page by page at one revision: for `caravel snapshot save`.
 *
 *	GET /v1-caravel/snapshot/records	?revision=R of the first page (none: now), &after=KEY the last one seen
 *
 *	200	records (store/records.h) of at most STORED_PAGE_BYTES and one more, as they are stored: what is
 *		encrypted stays so. None: there are no more. Header x-caravel-revision: R.
 *	403	whoever is not in system:masters, whatever RBAC says: all Secrets are in there
 *	410	R has been compacted away meanwhile: begin again
 *
 * Keys of the cluster's certificates are no part of it. Each page is an answer like others: a client that reads slowly
 * holds nothing of the store, and no writer waits for it.
 *
 * Threads: on the pool, as a store reads a disk or waits for a network.
 */
#pragma once

#include "apiserver/api_req.h"

#define STORED_PAGES_PATH "/v1-caravel/snapshot/records"
#define STORED_PAGES_REVISION "x-caravel-revision"
#define STORED_PAGE_BYTES ((size_t)1 << 20)

/* False: it is another path. */
bool stored_pages_serve(struct api_req *q);
