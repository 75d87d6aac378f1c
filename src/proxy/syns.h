/* syns.h - connections of TCP that nobody answers, where an endpoint went.
 *
 * A SYN to an endpoint that is dead is remembered by the kernel for two minutes, and whoever comes from the same port
 * goes there, too. To one that ends in good order an answer may be under way, and what is answered is to go on: so a
 * frontend that changed is looked at two seconds later. A look costs what the kernel tracks: two seconds are between
 * two of them as well, so each frontend's turn comes within four.
 *
 * Not thread-safe.
 */
#pragma once

#include "base/strmap.h"
#include "proxy/change.h"

struct syns {
	struct strmap by_key; /* frontend_key bytes -> its endpoints, and when it is due */
	int64_t next_ns;
};

void syns_release(struct syns *s);
/* A frontend has these endpoints now. Copied. One that changes again is due when it was: those that always change would
 * never be. */
void syns_note(struct syns *s, const struct flow_frontend *u, int64_t now_ns);
int64_t syns_next_ns(const struct syns *s); /* of the next look; INT64_MAX: none */
/* Gives those that are due, if there are any, to forget(), which may change them, and forgets them itself. */
void syns_look(struct syns *s, int64_t now_ns, void (*forget)(struct flow_frontend *u, size_t n, void *ctx), void *ctx);
