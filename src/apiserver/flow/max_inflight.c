/* Without priority and fairness: two counts, of those who read and of those who change something, each with a limit (0:
 * none). Nobody waits. Superusers are counted and never refused, as upstream. */
#include "apiserver/flow/flow-internal.h"

static bool max_inflight_changes(const struct api_req *q)
{
	struct sv verb = request_verb(q);

	return !sv_is(verb, "get") && !sv_is(verb, "list") && !sv_is(verb, "watch");
}

int flow_max_inflight(struct api_req *q, struct flow_ticket *t, struct err *err)
{
	bool changes = max_inflight_changes(q);
	struct flow *f = q->server->flow;
	int limit = changes ? q->server->o.max_mutating_inflight : q->server->o.max_requests_inflight;

	t->state = FLOW_DONE;
	if (req_lasts(q))
		return 0;
	t->state = FLOW_COUNTED;
	if (atomic_fetch_add(&f->served[changes], 1) < limit || !limit || user_in_group(&q->user, SV("system:masters")))
		return 0;
	flow_max_inflight_end(q);
	return err_too_many(err);
}

void flow_max_inflight_end(struct api_req *q)
{
	atomic_fetch_sub(&q->server->flow->served[max_inflight_changes(q)], 1);
	q->flow->state = FLOW_DONE;
}
