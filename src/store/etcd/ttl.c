/* Leases for keys that go by themselves (store_write.ttl_s): a write of one asks for a lease before it is sent.
 *
 *	asks ──▶ does the last lease do? ──yes──▶ it is that one
 *	                  └─no─▶ waits ──▶ one LeaseGrant ──▶ all who wait for as long a time share it
 *
 * As upstream does it: a lease is granted for a twentieth longer, a minute at most, and whoever asks within that time
 * gets the same one, up to a thousand. So the Events of an hour cost etcd some sixty leases, and one that ends takes a
 * bounded number of keys at once. Only the last lease is remembered, one grant is under way at a time, and nobody waits
 * for it longer than he may.
 *
 * A lease that etcd does not know any more (its time ran out while we were away, somebody revoked it) is forgotten when
 * the first write hears of it; that one asks again. */
#include "store/etcd/etcd-internal.h"

#define TTL_REUSE_S 60	  /* upstream's --lease-reuse-duration-seconds, */
#define TTL_REUSE_PART 20 /* of a time that is short: this part of it */
#define TTL_USES 1000	  /* upstream's bound of a lease's keys */

static int64_t ttl_reuse_s(int64_t ttl_s)
{
	return MIN(TTL_REUSE_S, ttl_s / TTL_REUSE_PART);
}

/* Would the last lease keep a key that is written now for long enough, and not for too long? */
static bool ttl_fits(const struct es *es, int64_t ttl_s)
{
	const struct ttl *t = &es->ttl;
	int64_t end = ev_loop_now_ns(es->loop) + ttl_s * NS_PER_SEC;

	return t->id && t->uses < TTL_USES && end < t->until_ns && end + ttl_reuse_s(ttl_s) * NS_PER_SEC >= t->until_ns;
}

static void ttl_granted(struct link_req *r, const struct grpc_end *e, struct sv answer);

/* For the first who waits; others may find that it will do. */
static void ttl_grant(struct es *es)
{
	struct ttl *t = &es->ttl;
	const struct ttl_wait *first = LIST_ENTRY(t->waiting.next, struct ttl_wait, link);
	int64_t full_s = first->ttl_s + ttl_reuse_s(first->ttl_s);

	t->asked = true;
	t->ttl_s = first->ttl_s;
	t->until_ns = ev_loop_now_ns(es->loop) + full_s * NS_PER_SEC;
	t->id = 0;
	t->req.method = "/etcdserverpb.Lease/LeaseGrant";
	t->req.done = ttl_granted;
	t->req.until_ns = first->until_ns;
	t->req.ambiguous = false; /* one too many ends by itself */
	buf_clear(&t->req.request);
	etcd_lease_write(&t->req.request, full_s, 0);
	link_request(es->link, &t->req);
}

void ttl_lease(struct es *es, struct ttl_wait *w)
{
	struct ttl *t = &es->ttl;

	if (!t->asked && ttl_fits(es, w->ttl_s)) {
		t->uses++;
		w->done(w, t->id, NULL);
		return;
	}
	list_add_tail(&t->waiting, &w->link);
	if (!t->asked)
		ttl_grant(es);
}

/* One who has waited, when the grant ended so. He goes on waiting if that says nothing of his own time. */
static void ttl_tell(struct es *es, struct ttl_wait *w, const struct grpc_end *e)
{
	struct ttl *t = &es->ttl;

	if (t->id && !t->asked && w->ttl_s == t->ttl_s && t->uses < TTL_USES) {
		t->uses++;
		w->done(w, t->id, NULL);
	} else if (e->code == GRPC_OK || (etcd_fault_passes(e) && !es->gone && !link_over(es->link) &&
					  w->until_ns > ev_loop_now_ns(es->loop))) {
		ttl_lease(es, w);
	} else {
		w->done(w, 0, e);
	}
}

static void ttl_granted(struct link_req *r, const struct grpc_end *e, struct sv answer)
{
	struct es *es = CONTAINER_OF(r, struct es, ttl.req);
	struct ttl *t = &es->ttl;
	struct grpc_end odd = { .code = GRPC_INTERNAL, .message = "what it says of a lease cannot be read" };
	struct list now;
	int64_t s;

	if (e->code == GRPC_OK && (!etcd_lease_read(answer, &t->id, &s) || !t->id)) {
		t->id = 0;
		e = &odd;
	}
	t->asked = false;
	t->uses = 0;
	list_init(&now); /* what is told may have others wait, and another one be asked for */
	while (!list_empty(&t->waiting)) {
		struct list *it = t->waiting.next;

		list_del(it);
		list_add_tail(&now, it);
	}
	while (!list_empty(&now)) {
		struct ttl_wait *w = LIST_ENTRY(now.next, struct ttl_wait, link);

		list_del(&w->link);
		ttl_tell(es, w, e);
	}
}

void ttl_forget(struct es *es, int64_t id)
{
	if (es->ttl.id == id)
		es->ttl.id = 0;
}

void ttl_hurry(struct es *es, int64_t until_ns)
{
	es->ttl.req.until_ns = MIN(es->ttl.req.until_ns, until_ns);
}
