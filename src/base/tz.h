/* tz.h - time zones: how far local time is from UTC at a given instant.
 *
 * Zones come from the system's time zone database (TZif, RFC 9636), by their IANA name. glibc's own
 * functions know one zone a process; these know any number and hold no state.
 *
 * Threads: a loaded zone is immutable.
 */
#pragma once

#include "base/arena.h"
#include "base/err.h"

struct tz;

/* "" and "UTC" need no database. NULL on failure, with ERR_INVALID: there is no such zone. Lives in the arena. */
const struct tz *tz_load(struct arena *a, struct sv name, struct err *err);
/* The same from a file's content. */
const struct tz *tz_parse(struct arena *a, struct sv tzif, struct err *err);
/* Seconds to add to UTC to get local time; utc in seconds since 1970. tz may be NULL: UTC. */
int64_t tz_offset(const struct tz *tz, int64_t utc);
