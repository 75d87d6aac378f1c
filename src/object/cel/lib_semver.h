/* lib_semver.h - versions as values of expressions, for who has some: attributes of devices. */
#pragma once

#include "object/cel/value.h"
#include "object/semver.h"

extern const struct cel_type *const cel_t_semver;
struct cel_value cel_semver(struct arena *a, const struct semver *v); /* texts of v live as long as the run */
