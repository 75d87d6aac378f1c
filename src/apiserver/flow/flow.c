/* A request's way through its level. */
#include "apiserver/flow/flow-internal.h"
#include "apiserver/steps.h"

static void uid_keep(struct flow_ticket *t, size_t i, struct sv uid)
{
	t->uid_n[i] = (uint8_t)uid.n;
	memcpy(t->uids[i], uid.p, uid.n);
}

static void flow_done(struct flow_ticket *t)
{
	struct flow_config *c = t->config;

	t->state = FLOW_DONE;
	t->config = NULL;
	t->schema = NULL;
	current_put(&c->ref);
}

/* The wait ended without a seat, or one came too late. */
static void flow_stop_waiting(void *ticket)
{
	struct flow_ticket *t = ticket;

	if (flow_level_give_up(t->schema->level, t))
		flow_done(t);
	else
		flow_release(t->q);
}

static int flow_enter(struct api_req *q, struct flow_ticket *t, struct err *err)
{
	struct flow_level *l = t->schema->level;
	struct flow *f = q->server->flow;
	struct sv who = t->schema->by == FLOW_BY_USER ? user_share(&q->user) : flow_distinguisher(t->schema, q);
	enum flow_refusal why;
	enum flow_state state;
	unsigned retry_s = 1;

	t->seats = flow_width(q, l);
	state = flow_level_enter(l, t, strmap_hash_with(t->schema->hash, who), &why, &retry_s);
	if (state == FLOW_SEATED)
		return 0;
	flow_borrow_begin(f);
	if (state == FLOW_WAITING)
		return REQ_LATER;
	flow_done(t);
	err_too_many(err);
	err->retry_after_s = (int)retry_s;
	return -1;
}

int flow_admit(struct api_req *q, struct err *err)
{
	struct flow_ticket *t = q->flow;
	const struct flow_schema *s;
	struct flow_config *c;

	if (t) /* it has waited, and was given its seats */
		return 0;
	t = q->flow = ARENA_NEW(q->arena, struct flow_ticket);
	if (q->server->flow->off)
		return flow_max_inflight(q, t, err);
	c = (struct flow_config *)current_get(&q->server->flow->config);
	s = flow_match(c, q);
	t->q = q;
	t->stop = flow_stop_waiting;
	t->config = c;
	t->schema = s;
	list_init(&t->link);
	uid_keep(t, 0, s->uid);
	uid_keep(t, 1, s->level_uid);
	if (q->subresource.n && req_lasts(q)) {
		flow_done(t);
		return 0;
	}
	if (!s->level->exempt)
		return flow_enter(q, t, err);
	t->state = FLOW_OPEN;
	atomic_fetch_add_explicit(&s->counts->begun, 1, memory_order_relaxed);
	return 0;
}

void flow_release(struct api_req *q)
{
	struct flow_ticket *t = q->flow;

	if (t && t->state == FLOW_COUNTED)
		flow_max_inflight_end(q);
	if (!t || !t->config)
		return;
	if (t->state == FLOW_SEATED)
		flow_level_leave(t->schema->level, t);
	else if (t->state == FLOW_OPEN)
		atomic_fetch_add_explicit(&t->schema->counts->ended, 1, memory_order_relaxed);
	flow_done(t);
}

size_t flow_headers(const struct api_req *q, struct http_header *h)
{
	const struct flow_ticket *t = q->flow;
	size_t n = 0;

	if (t && t->uid_n[0])
		h[n++] = (struct http_header){ SV("x-kubernetes-pf-flowschema-uid"), sv_make(t->uids[0], t->uid_n[0]) };
	if (t && t->uid_n[1])
		h[n++] =
		    (struct http_header){ SV("x-kubernetes-pf-prioritylevel-uid"), sv_make(t->uids[1], t->uid_n[1]) };
	return n;
}
