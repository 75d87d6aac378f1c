/* image_name.h - the grammar of image references: [domain/]path[:tag][@digest], as registries read it. */
#pragma once

#include "base/base.h"

/* False when it is no reference. Otherwise *ret_tag is its tag, "latest" when it has neither tag nor digest, and
 * empty when it has only a digest; a view into image. */
bool image_name_parse(struct sv image, struct sv *ret_tag);
