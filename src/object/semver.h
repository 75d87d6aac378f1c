/* semver.h - semantic versions 2.0, read and ordered as upstream's library (blang/semver) does, with its words. */
#pragma once

#include "base/arena.h"
#include "base/err.h"

struct semver {
	uint64_t major, minor, patch;
	struct sv pre, build; /* "alpha.1" of "1.0.0-alpha.1+x"; into the text */
};

/* ERR_INVALID: Invalid character(s) found in major number "x". err may be NULL. */
bool semver_parse(struct sv s, struct semver *ret, struct err *err);
/* Before that: "v" in front is dropped, leading zeros, and "1" and "1.2" are filled up. */
bool semver_parse_loosely(struct arena *a, struct sv s, struct semver *ret, struct err *err);
int semver_cmp(const struct semver *a, const struct semver *b); /* -1, 0, 1; builds do not count */
