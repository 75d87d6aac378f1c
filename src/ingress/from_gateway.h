/* from_gateway.h - Gateways and their routes as part of a model; pure.
 *
 * Which listeners serve and which routes are attached is gateway/gateway.h's to say; here they become places, matches
 * and filters. Gates of a place are in upstream's order: those with a method first, then with more headers, with more
 * query parameters, of the older route, of the earlier rule and match.
 */
#pragma once

#include "gateway/gateway.h"
#include "ingress/from_ingress.h"

/* Hosts that a model of Ingresses has, for gw_source.ingresses; views into it. */
void ing_hosts_of(const struct ing_model *m, struct gw_ingresses *ret);
/* Adds to *m, which has what Ingresses wish; gs->ingresses is not NULL. */
void ing_from_gateways(struct arena *a, const struct ing_source *s, const struct gw_source *gs,
		       const struct gw_state *st, struct ing_model *m);
