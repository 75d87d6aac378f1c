/* What everybody was answered before is what live watches have been told. */
#include "store/etcd/etcd-internal.h"

#include <stdlib.h>

static void es_sync_ask(struct es *es);

static void sync_said(struct link_req *r, const struct grpc_end *e, struct sv answer)
{
	struct es *es = CONTAINER_OF(r, struct es, sync);
	struct etcd_range_said said = { .rev = 0 };

	pthread_mutex_lock(&es->mu);
	while (!list_empty(&es->sync_now)) {
		struct syncer *y = LIST_ENTRY(es->sync_now.next, struct syncer, link);

		list_del(&y->link);
		list_add_tail(&es->syncs, &y->link);
		if (e->code != GRPC_OK)
			etcd_fault(e, &y->err);
		else if (!etcd_range_read(answer, &said))
			err_set(&y->err, ERR_INTERNAL, "etcd: the answer to a range cannot be read");
		y->rev = said.rev;
	}
	es_wake(es);
	pthread_mutex_unlock(&es->mu);
	es_sync_ask(es);
}

/* One question for all that wait; whoever comes meanwhile waits for the next. A range is as of all that was answered
 * before it began, by whichever member. */
static void es_sync_ask(struct es *es)
{
	if (!list_empty(&es->sync_now) || list_empty(&es->sync_next))
		return;
	while (!list_empty(&es->sync_next)) {
		struct list *it = es->sync_next.next;

		list_del(it);
		list_add_tail(&es->sync_now, it);
	}
	es->sync.method = "/etcdserverpb.KV/Range";
	es->sync.until_ns = es_in(es, ES_READ_NS);
	es->sync.done = sync_said;
	if (!es->sync.request.n)
		etcd_look_write(&es->sync.request, 0);
	link_request(es->link, &es->sync);
}

static void es_sync_begin(void *ctx)
{
	struct syncer *y = ctx;

	list_add_tail(&y->es->sync_next, &y->link);
	es_sync_ask(y->es);
}

void es_sync(struct store *s, store_sync_fn *done, void *ctx)
{
	struct syncer *y = xcalloc(1, sizeof(*y));

	*y = (struct syncer){ .es = ES(s), .done = done, .ctx = ctx };
	list_init(&y->link);
	ev_loop_post(y->es->loop, es_sync_begin, y);
}
