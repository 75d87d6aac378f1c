/* cron.h - the schedules of CronJobs, parsed once, asked for the next time.
 *
 * Five fields (minute, hour, day of month, month, weekday) of lists, ranges, steps and names, or @yearly, @annually,
 * @monthly, @weekly, @daily, @midnight, @hourly, @every DURATION: what upstream's parser takes. When both day fields
 * are restricted, one of them is enough. In a time zone with summer time, what falls into the hour that is left out
 * does not happen, and what falls into the hour that comes twice happens twice.
 */
#pragma once

#include "base/err.h"
#include "base/tz.h"

struct cron {
	uint64_t minute, hour, day, month, weekday; /* bits */
	bool any_day, any_weekday;		    /* the field was not restricted */
	int64_t every_s;			    /* @every: the others mean nothing */
};

/* -1 with ERR_INVALID, in upstream's words. */
int cron_parse(struct sv text, struct cron *ret, struct err *err);
/* The first time after `after`, both ns since 1970; 0 when there is none within five years. */
int64_t cron_next(const struct cron *c, const struct tz *tz, int64_t after_ns);
