/* gateway_status.h - what is said of GatewayClasses, Gateways and routes, as their status documents; pure.
 *
 * Each makes the document that there should be of the one that is there, and says whether they differ. Of a list that
 * several controllers write to, entries of others stay.
 */
#pragma once

#include "gateway/gateway.h"

struct gateway_said {
	struct arena *a;
	int64_t now_ns;
};

/* The object with its new status; NULL: it says that already. bundle: the version that the kinds say they are of, ""
 * when they say none. */
struct val *gateway_class_status(const struct gateway_said *w, const struct obj *class, struct sv bundle);
/* Which ports of a Gateway some node serves is in ports, a set of "80"; the addresses are those of such nodes. */
struct val *gateway_status(const struct gateway_said *w, const struct gw_gateway *g, const struct strmap *ports,
			   const struct sv *addresses, size_t n_addresses);
/* route NULL: it has no parent of ours, and loses what we said. */
struct val *gateway_route_status(const struct gateway_said *w, const struct obj *o, const struct gw_route *route);
