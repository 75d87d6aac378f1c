/* backend.h - where requests for a port of a Service go: its endpoints, or another machine's name; pure. */
#pragma once

#include "ingress/from_ingress.h"

/* What of Services is read, here and in nodes.c, and of their EndpointSlices (object/keep.h). */
extern const char *const ing_service_paths[], *const ing_slice_paths[];

/* Fills *ret, whose key is set, for a reference of a rule (backend.service). NULL, or why nobody serves it. */
const char *ing_backend_fill(struct arena *a, const struct ing_source *s, struct ing_backend *ret,
			     const struct obj *service, const struct val *ref);
