/* install.h - objects that a controller needs before anybody can use what it does: kinds, a class of ours. */
#pragma once

#include "controllers/controllers.h"

/* The CustomResourceDefinitions of the list (object/described.h) that are not there. One that is, ours of another
 * version or somebody else's, is left as it is. The first failure, after all were tried. */
int install_kinds(struct client *c, const struct val *crds, struct err *err);
/* An object, where none of its name is there. */
int install_object(struct client *c, const struct resource *r, const struct val *doc, struct err *err);
