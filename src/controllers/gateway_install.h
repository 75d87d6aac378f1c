/* gateway_install.h - what Gateway API needs before anybody can use it: its kinds and the GatewayClass `caravel`. */
#pragma once

#include "controllers/controllers.h"

/* The CustomResourceDefinitions (gateway/crds.h) that are not there. One that is, ours of another version or
 * somebody else's, is left as it is. The first failure, after all were tried. */
int gateway_install_kinds(struct client *c, struct err *err);
/* The same of the class. r: the kind, as it is served. */
int gateway_install_class(struct client *c, const struct resource *r, struct err *err);
