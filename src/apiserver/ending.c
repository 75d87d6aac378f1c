/* The first steps of a server's end, while it still serves: see apiserver.h. What comes last is in apiserver.c. */
#include "apiserver/apiserver-internal.h"
#include "apiserver/ending.h"

#define RETRY_AFTER_S 5 /* by then another server, or this one's successor, answers */

void apiserver_unready(struct apiserver *s)
{
	atomic_store(&s->unready, true);
}

void apiserver_refuse(struct apiserver *s)
{
	atomic_store(&s->refusing, true);
}

int64_t apiserver_under_way(const struct apiserver *s)
{
	return metrics_under_way(s);
}

int ending_refuses(const struct api_req *q, struct err *err)
{
	if (!q->http || !atomic_load_explicit(&q->server->refusing, memory_order_relaxed))
		return 0;
	if (sv_starts(q->path, SV("/readyz")) || sv_starts(q->path, SV("/livez")) || sv_starts(q->path, SV("/healthz")))
		return 0;
	err_set(err, ERR_TOO_MANY_REQUESTS, "The apiserver is shutting down, please try again later.");
	err->retry_after_s = RETRY_AFTER_S;
	return -1;
}
