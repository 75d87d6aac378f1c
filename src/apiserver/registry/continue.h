/* continue.h - continue tokens: where the next page of a list begins, and of which moment it is.
 *
 *	{"v":"meta.k8s.io/v1","rv":REVISION,"start":"KEY"}	in base64url without padding, as upstream's
 *
 * KEY is relative to what was listed: NAME in one namespace or where there are none, NAMESPACE/NAME over all. So a
 * token leads nowhere but into the list that it is sent with, whoever wrote it: no other namespace can be said in it.
 * One of other parameters (another namespace, resource, selector) is a place in that list, or 400; it is never more
 * than the client could have asked for. */
#pragma once

#include "base/arena.h"
#include "base/err.h"
#include "object/schema.h"

struct continue_at {
	int64_t rev;	 /* 0: now, of a list whose revision was lost */
	struct sv start; /* first key that may be there: "NAMESPACE/NAME" or "NAME"; "": from the beginning */
};

/* ns "": of all. key as above, "NAMESPACE/NAME" also in one namespace: the next page begins behind it. */
struct sv continue_behind(struct arena *a, const struct resource *r, struct sv ns, int64_t rev, struct sv key);
/* The same place, at no certain moment: what a client gets whose revision is gone. */
struct sv continue_now(struct arena *a, const struct resource *r, struct sv ns, struct sv start);
/* ERR_BAD_REQUEST for what is no token, in upstream's words. */
int continue_read(struct arena *a, const struct resource *r, struct sv ns, struct sv token, struct continue_at *ret,
		  struct err *err);
