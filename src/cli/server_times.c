/* Flags of `caravel server` that are times and shares: as numbers, or named when they are none. */
#include "apiserver/history/history.h"
#include "base/timefmt.h"
#include "cli/server.h"
#include "object/quantity.h"

#include <stdlib.h>

static int time_of(const char *flag, const char *text, int64_t or_else, int64_t least, int64_t *ret, struct err *err)
{
	*ret = or_else;
	if (text && (!duration_parse(sv_from(text), ret) || *ret < least))
		return err_set(err, ERR_INVALID, "--%s takes a time like 30s or 1m30s%s, not '%s'", flag,
			       least > 0 ? " that is not 0" : "", text);
	return 0;
}

/* How much of the past is kept. */
static int history_of(struct server_opts *o, struct err *err)
{
	if (time_of("history", o->history, 0, 0, &o->history_ns, err) < 0)
		return -1;
	if (o->history_ns && o->history_ns < HISTORY_MIN_NS)
		return err_set(err, ERR_INVALID,
			       "--history takes ten minutes or more, as some minutes are kept anyway, not '%s'",
			       o->history);
	o->history_bytes = 0;
	if (!o->history_size)
		return 0;
	if (!o->history_ns)
		return err_set(err, ERR_INVALID, "--history-size bounds what --history keeps, and that is not given");
	if (!quantity_value(sv_from(o->history_size), &o->history_bytes) ||
	    o->history_bytes < (int64_t)HISTORY_BYTES_MIN || o->history_bytes == INT64_MAX)
		return err_set(err, ERR_INVALID, "--history-size takes bytes, 16Mi at least, like 1Gi, not '%s'",
			       o->history_size);
	return 0;
}

int server_times(struct server_opts *o, struct err *err)
{
	char *end = NULL;

	if (time_of("request-timeout", o->request_timeout, 60 * NS_PER_SEC, 1, &o->request_timeout_ns, err) < 0 ||
	    time_of("event-ttl", o->event_ttl, 3600 * NS_PER_SEC, 1, &o->event_ttl_ns, err) < 0 ||
	    time_of("shutdown-delay-duration", o->shutdown_delay, 0, 0, &o->shutdown_delay_ns, err) < 0 ||
	    history_of(o, err) < 0 ||
	    time_of("shutdown-watch-termination-grace-period", o->shutdown_watch_grace, 0, 0,
		    &o->shutdown_watch_grace_ns, err) < 0)
		return -1;
	if (o->goaway_chance) {
		o->goaway_share = strtod(o->goaway_chance, &end);
		if (end == o->goaway_chance || *end || !(o->goaway_share >= 0 && o->goaway_share <= 0.02))
			return err_set(err, ERR_INVALID,
				       "--goaway-chance can not be less than 0 or greater than 0.02: '%s'",
				       o->goaway_chance);
	}
	if (o->max_requests < 0 || o->max_mutating < 0 || o->max_requests > 1000000 || o->max_mutating > 1000000 ||
	    (o->fairness && o->max_requests + o->max_mutating == 0))
		return err_set(err, ERR_INVALID,
			       "--max-requests-inflight=%d and --max-mutating-requests-inflight=%d: they must add up "
			       "to something positive, and neither be more than a million",
			       o->max_requests, o->max_mutating);
	if (o->min_request_timeout < 1)
		return err_set(err, ERR_INVALID, "--min-request-timeout takes seconds, 1 at least, not %d",
			       o->min_request_timeout);
	return 0;
}
