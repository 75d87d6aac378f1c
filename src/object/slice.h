/* slice.h - what EndpointSlices say, for all who read them: whose they are, and which of their endpoints take traffic.
 */
#pragma once

#include "object/obj.h"

#define SLICE_SERVICE_LABEL "kubernetes.io/service-name"

/* The name of the Service of its namespace that it belongs to, "": none's. A view into it. */
struct sv slice_service(const struct obj *slice);

/* Of one of its endpoints. A condition that is not there is unknown: then an endpoint is ready, serves when it is
 * ready, and does not end. */
bool endpoint_ready(const struct val *endpoint);
bool endpoint_serving(const struct val *endpoint); /* also while it ends */
bool endpoint_terminating(const struct val *endpoint);
