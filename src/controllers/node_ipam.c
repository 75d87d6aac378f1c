/* node ipam: gives every node a range of each family of the cluster's ranges for its pods: a /24, a /64, or as flags
 * say.
 *
 * The nodes themselves are the only record: what is taken is read from their spec, so that a restart
 * or a restored snapshot cannot hand out a range twice. One worker, so two nodes never race. As upstream's, the search
 * goes on where the last one ended: what is taken is passed once a round, and not once a node. */
#include "base/ip.h"
#include "base/strmap.h"
#include "base/vec.h"
#include "client/workq.h"
#include "controllers/controllers-internal.h"
#include "controllers/status.h"

#include <pthread.h>
#include <stdlib.h>

#define BITS_MAX 20 /* of the number of pieces: a million, more than there are Nodes */
#define SPAN_MIN 64 /* pieces; a Node that has so many takes one entry for all */

struct ipam_span {
	uint32_t from, to;
};

/* One of the cluster's ranges, cut into pieces. */
struct ipam_pool {
	struct ip_net all;
	uint8_t bits;	     /* of a piece, of 128 */
	uint32_t count;	     /* of pieces */
	uint32_t next;	     /* where to look first */
	struct strmap taken; /* number of a piece, as bytes -> by how many Nodes */
	VEC(struct ipam_span) spans;
};

/* What a Node has. */
struct ipam_record {
	int64_t rev; /* of the Node that said so: an older word comes late */
	struct ip_net net[2];
	size_t n;
};

struct node_ipam {
	struct controller_ctx *ctx;
	struct informer *nodes;
	struct workq *q;
	size_t n_pools;

	pthread_mutex_t lock;	   /* covers: */
	struct ipam_pool pools[2]; /* at most one a family, in the order of the flag */
	struct strmap records;	   /* name -> ipam_record */
	bool waiting;		   /* some Node got none: it is looked at again when another one goes */
};

/* --- a pool --- */

static struct ip_addr pool_piece(const struct ipam_pool *p, uint32_t i)
{
	struct ip_addr a = p->all.addr;

	for (int bit = p->bits - 1; bit >= p->all.bits && i; bit--, i >>= 1)
		if (i & 1)
			a.b[bit / 8] |= (uint8_t)(0x80 >> bit % 8);
	return a;
}

/* The number of the piece that an address of the pool is in. */
static uint64_t pool_number(const struct ipam_pool *p, struct ip_addr a)
{
	uint64_t n = 0;

	for (int bit = p->all.bits; bit < p->bits; bit++)
		n = n << 1 | (a.b[bit / 8] >> (7 - bit % 8) & 1);
	return n;
}

static void pool_count(struct ipam_pool *p, uint32_t piece, bool add)
{
	struct sv key = sv_make((const char *)&piece, sizeof(piece));
	uintptr_t had = (uintptr_t)strmap_get(&p->taken, key);

	if (add)
		strmap_set(&p->taken, key, (void *)(had + 1));
	else if (had > 1)
		strmap_set(&p->taken, key, (void *)(had - 1));
	else
		strmap_del(&p->taken, key);
}

/* A Node's range is a piece; or it is of another time or hand, and lies in one, or over several. */
static void ipam_pool_take(struct ipam_pool *p, struct ip_net net, bool add)
{
	uint64_t from, to;

	if (ip_net_covers(net, p->all)) {
		from = 0;
		to = UINT64_MAX;
	} else if (ip_net_covers(p->all, net)) {
		from = pool_number(p, net.addr);
		to = net.bits >= p->bits ? from : from + (UINT64_C(1) << (p->bits - net.bits)) - 1;
	} else {
		return;
	}
	to = MIN(to, (uint64_t)p->count - 1);
	if (from > to)
		return;
	if (to - from < SPAN_MIN) {
		for (uint64_t i = from; i <= to; i++)
			pool_count(p, (uint32_t)i, add);
		return;
	}
	if (add) {
		vec_push(&p->spans, ((struct ipam_span){ (uint32_t)from, (uint32_t)to }));
		return;
	}
	for (size_t i = 0; i < p->spans.n; i++)
		if (p->spans.p[i].from == from && p->spans.p[i].to == to) {
			vec_remove_swap(&p->spans, i);
			return;
		}
}

/* The first free one from the last on. */
static bool pool_find(struct ipam_pool *p, uint32_t *ret)
{
	for (uint64_t tried = 0; tried < p->count;) {
		uint32_t at = p->next, skip = 0;

		for (size_t i = 0; i < p->spans.n; i++)
			if (p->spans.p[i].from <= at && at <= p->spans.p[i].to)
				skip = MAX(skip, p->spans.p[i].to - at + 1);
		if (!skip)
			skip = strmap_has(&p->taken, sv_make((const char *)&at, sizeof(at)));
		p->next = (uint32_t)(((uint64_t)at + MAX(skip, 1U)) % p->count);
		if (!skip) {
			*ret = at;
			return true;
		}
		tried += skip;
	}
	return false;
}

static void ipam_add_pool(struct node_ipam *c, struct ip_net all)
{
	const struct controllers_opts *o = c->ctx->opts;
	bool v4 = ip_is_v4(all.addr);
	int bits = v4 ? 96 + (o->node_mask_v4 ? o->node_mask_v4 : 24) : o->node_mask_v6 ? o->node_mask_v6 : 64;
	struct ipam_pool *p = &c->pools[c->n_pools];

	if (c->n_pools == ARRAY_LEN(c->pools) || bits < all.bits || bits > 128 ||
	    (c->n_pools && ip_is_v4(c->pools[0].all.addr) == v4))
		return;
	*p = (struct ipam_pool){ .all = all, .bits = (uint8_t)bits };
	p->count = UINT32_C(1) << MIN(bits - all.bits, BITS_MAX);
	c->n_pools++;
}

/* "10.42.0.0/16,fd00:42::/56" */
static void ipam_parse(struct node_ipam *c)
{
	const char *cidrs = c->ctx->opts->cluster_cidr;
	struct sv rest = sv_from(cidrs ? cidrs : ""), one;
	struct ip_net all;

	while (sv_split(&rest, ',', &one))
		if (ip_net_parse(sv_trim(one), &all))
			ipam_add_pool(c, all);
}

/* --- what the Nodes have --- */

static void record_take(struct node_ipam *c, const struct ipam_record *r, bool add)
{
	for (size_t i = 0; i < r->n; i++)
		for (size_t k = 0; k < c->n_pools; k++)
			ipam_pool_take(&c->pools[k], r->net[i], add);
}

static void record_set(struct node_ipam *c, struct sv name, const struct ipam_record *now)
{
	struct ipam_record *r;

	pthread_mutex_lock(&c->lock);
	r = strmap_get(&c->records, name);
	if (!r) {
		r = xcalloc(1, sizeof(*r));
		strmap_set(&c->records, name, r);
	}
	if (now->rev >= r->rev) {
		record_take(c, r, false);
		*r = *now;
		record_take(c, r, true);
	}
	pthread_mutex_unlock(&c->lock);
}

static bool record_has(struct node_ipam *c, struct sv name)
{
	const struct ipam_record *r;
	bool has;

	pthread_mutex_lock(&c->lock);
	r = strmap_get(&c->records, name);
	has = r && r->n;
	pthread_mutex_unlock(&c->lock);
	return has;
}

static void record_add(struct ipam_record *r, struct sv text)
{
	struct ip_net net;

	if (r->n < ARRAY_LEN(r->net) && ip_net_parse(text, &net))
		r->net[r->n++] = net;
}

static struct ipam_record record_of(const struct obj *node)
{
	struct ipam_record r = { .rev = obj_rev(node) };

	VAL_EACH(obj_get(node, F_spec, F_podCIDRs), c)
		record_add(&r, val_str(c));
	if (!r.n)
		record_add(&r, val_str(obj_get(node, F_spec, F_podCIDR)));
	return r;
}

/* --- giving --- */

/* All families or none, as upstream. */
static bool ipam_choose(struct node_ipam *c, struct ipam_record *ret)
{
	uint32_t at;

	*ret = (struct ipam_record){ .n = 0 };
	pthread_mutex_lock(&c->lock);
	for (size_t i = 0; i < c->n_pools; i++) {
		struct ipam_pool *p = &c->pools[i];

		if (!pool_find(p, &at))
			break;
		ret->net[ret->n++] = (struct ip_net){ pool_piece(p, at), p->bits };
	}
	c->waiting |= ret->n < c->n_pools;
	pthread_mutex_unlock(&c->lock);
	return ret->n == c->n_pools;
}

static int ipam_reconcile(void *ctx, struct sv key, struct reconcile_result *ret, struct err *err)
{
	struct node_ipam *c = ctx;
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_obj_ struct obj *node = informer_lookup(c->nodes, SV(""), key), *after = NULL;
	struct val *patch, *spec, *list;
	struct ipam_record r;

	(void)ret;
	if (!node || obj_deleting(node) || record_has(c, key))
		return 0;
	if (!ipam_choose(c, &r)) {
		recorder_event(c->ctx->recorder, RES(core_nodes), obj_root(node), "Normal", "CIDRNotAvailable",
			       "Node %.*s status is now: CIDRNotAvailable", SV_ARG(key));
		return err_set(err, ERR_UNAVAILABLE, "no pod range left for node '%.*s' in %s", SV_ARG(key),
			       c->ctx->opts->cluster_cidr);
	}
	patch = val_new_map(&a);
	spec = val_set_map(&a, patch, F_spec);
	list = val_set_list(&a, spec, F_podCIDRs);
	for (size_t i = 0; i < r.n; i++) {
		struct sv text = arena_svf(&a, "%s", ip_net_text(r.net[i]).s);

		if (i == 0)
			val_set_str(&a, spec, F_podCIDR, text);
		val_push(&a, list, val_new_str(&a, text));
	}
	if (client_patch(c->ctx->client, RES(core_nodes), SV(""), key, PATCH_MERGE, patch, NULL, &after, err) < 0)
		return err->reason == ERR_NOT_FOUND ? err_forgive(err) : -1;
	/* The informer hears of it later. */
	r = record_of(after);
	record_set(c, key, &r);
	return 0;
}

static void ipam_node_added(struct obj *o, void *ctx)
{
	struct node_ipam *c = ctx;
	struct ipam_record r = record_of(o);

	record_set(c, obj_name(o), &r);
	if (!r.n)
		workq_add(c->q, obj_name(o));
}

static void ipam_node_updated(struct obj *old, struct obj *neu, void *ctx)
{
	(void)old;
	ipam_node_added(neu, ctx);
}

static int ipam_ask_again(struct obj *o, void *ctx)
{
	struct node_ipam *c = ctx;

	if (!record_has(c, obj_name(o)))
		workq_add(c->q, obj_name(o));
	return 0;
}

/* Its ranges come back, and who waits for one gets them now. */
static void ipam_node_gone(struct obj *o, void *ctx)
{
	struct node_ipam *c = ctx;
	_cleanup_obj_ struct obj *now = informer_lookup(c->nodes, SV(""), obj_name(o));
	struct ipam_record *r;
	bool ask = false;

	pthread_mutex_lock(&c->lock);
	r = strmap_get(&c->records, obj_name(o));
	if (r && (!now || r->rev <= obj_rev(o))) { /* else it is there again, and has got one */
		record_take(c, r, false);
		ask = r->n && c->waiting;
		c->waiting &= !ask;
		free(strmap_del(&c->records, obj_name(o)));
	}
	pthread_mutex_unlock(&c->lock);
	if (ask)
		informer_each(c->nodes, SV(""), ipam_ask_again, c);
}

static bool ipam_ready(void *ctx)
{
	return informer_synced(((struct node_ipam *)ctx)->nodes);
}

static void *ipam_start(struct controller_ctx *ctx)
{
	struct node_ipam *c = xcalloc(1, sizeof(*c));

	c->ctx = ctx;
	pthread_mutex_init(&c->lock, NULL);
	c->nodes = informer_get(ctx->informers, RES(core_nodes), NULL, NULL, NULL);
	c->q = workq_new(ctx->env, &(struct workq_opts){ .name = "node-ipam-controller",
							 .workers = 1,
							 .reconcile = ipam_reconcile,
							 .ctx = c,
							 .ready = ipam_ready });
	ipam_parse(c);
	if (c->n_pools)
		informer_add_handler(
		    c->nodes, &(struct informer_handler){ ipam_node_added, ipam_node_updated, ipam_node_gone }, c);
	return c;
}

static void ipam_stop(void *controller)
{
	struct node_ipam *c = controller;

	workq_free(c->q);
	for (size_t i = 0; i < c->n_pools; i++) {
		strmap_release(&c->pools[i].taken);
		vec_release(&c->pools[i].spans);
	}
	strmap_release_with(&c->records, free);
	pthread_mutex_destroy(&c->lock);
	free(c);
}

const struct controller_ops node_ipam_controller = { "node-ipam-controller", "node-controller", ipam_start, ipam_stop };
