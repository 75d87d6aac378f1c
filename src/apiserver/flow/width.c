/* How many seats a request takes: what it makes the server do, roughly.
 *
 * A list takes one for each 100 kB that are in memory for it at once, as upstream: of a list that is streamed from
 * memory never more than a MB. A write takes one more for each so many watchers who are told of it, which costs about
 * as long as a seat is meant to be held; and for each 64 kB of its body, which stays in memory until it is answered. */
#include "apiserver/flow/flow-internal.h"
#include "apiserver/watchcache.h"

#define SEAT_LIST_BYTES 100000
#define STREAMED_MAX 1000000
#define SEAT_BODY_BYTES ((size_t)64 * 1024)
#define SEAT_WATCHERS 500

static bool asks_for_initial_events(const struct api_req *q)
{
	struct sv v;

	return api_req_param(q, "sendInitialEvents", &v) && sv_is(v, "true");
}

static size_t list_seats(const struct api_req *q)
{
	size_t n = wc_count(q->server->wc, q->res), bytes = wc_bytes(q->server->wc, q->res), limit = 0;
	struct sv text;

	/* A page of the past reads all that there was. */
	if (q->verb == VERB_LIST && !api_req_param(q, "at", &text) && api_req_param(q, "limit", &text))
		for (size_t i = 0; i < text.n && text.p[i] >= '0' && text.p[i] <= '9' && limit < n; i++)
			limit = 10 * limit + (size_t)(text.p[i] - '0');
	if (n && limit && limit < n)
		bytes = bytes / n * limit;
	return (MIN(bytes, (size_t)STREAMED_MAX) + SEAT_LIST_BYTES - 1) / SEAT_LIST_BYTES;
}

unsigned flow_width(struct api_req *q, const struct flow_level *l)
{
	size_t seats = 1;

	if (q->resource_request && q->res && !q->subresource.n) {
		if (req_mutating(q))
			seats += wc_watcher_count(q->server->wc, q->res) / SEAT_WATCHERS;
		else if (!q->name.n && (q->verb == VERB_LIST || (q->verb == VERB_WATCH && asks_for_initial_events(q))))
			seats = list_seats(q);
	}
	seats += q->body.n / SEAT_BODY_BYTES;
	return (unsigned)MAX(MIN(seats, (size_t)MAX(l->width_max, 1U)), (size_t)1);
}
