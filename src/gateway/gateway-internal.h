/* gateway-internal.h - the steps of gw_state_make(); nobody outside this folder includes it. */
#pragma once

#include "base/vec.h"
#include "gateway/crds.h"
#include "gateway/gateway.h"

#include <stdarg.h>

struct gw_make {
	struct arena *a;
	const struct gw_source *s;
	const struct gw_grants *grants;
};

/* At most GW_CONDITIONS_MAX of them; one of the same type is replaced. */
void gw_say(struct arena *a, struct gw_conditions *c, const char *type, bool is, const char *reason, const char *fmt,
	    ...) _printf_(6, 7);
/* An int of a document that is a port, or 0. */
uint16_t gw_port(const struct val *v);
/* Is it of this group, which a reference leaves out when it is the default? */
bool gw_group_is(const struct val *ref, const char *group, const char *otherwise);

/* listeners.c: all Gateways of ours, with the conditions of their listeners but Programmed and what routes add. */
void gw_listeners_make(const struct gw_make *m, struct gw_state *ret);
/* routes.c */
void gw_routes_make(const struct gw_make *m, struct gw_state *ret);
