/* node ipam: gives every node a /24 of the cluster's address range for its pods.
 *
 * The nodes themselves are the only record: what is taken is read from their spec, so that a restart
 * or a restored snapshot cannot hand out a range twice. One worker, so two nodes never race. As upstream's, the search
 * goes on where the last one ended: what is taken is passed once a round, and not once a node. */
#include "client/workq.h"
#include "controllers/controllers-internal.h"
#include "controllers/status.h"
#include "controllers/written.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>

#define NODE_BITS 24
#define STALE_RETRY_NS (20 * NS_PER_MS)

struct node_ipam {
	struct controller_ctx *ctx;
	struct informer *nodes;
	struct workq *q;
	struct written *written;
	uint32_t base;	/* of the range, host order */
	uint32_t count; /* of /24 in it; 0: no range */
	uint32_t next;	/* the worker's: where to look first */
};

/* The first IPv4 range of "10.42.0.0/16,fd00::/48". */
static bool parse_range(const char *cidrs, uint32_t *ret_base, uint32_t *ret_count)
{
	struct sv rest = sv_from(cidrs), one;

	while (cidrs && sv_split(&rest, ',', &one)) {
		ssize_t slash = sv_find(one, '/');
		char text[INET_ADDRSTRLEN];
		struct in_addr in;
		int64_t bits;

		one = sv_trim(one);
		if (slash <= 0 || (size_t)slash >= sizeof(text) ||
		    !sv_to_i64(sv_sub(one, (size_t)slash + 1, one.n), &bits) || bits < 0 || bits > NODE_BITS)
			continue;
		memcpy(text, one.p, (size_t)slash);
		text[slash] = 0;
		if (inet_pton(AF_INET, text, &in) != 1)
			continue;
		*ret_count = UINT32_C(1) << (NODE_BITS - bits);
		*ret_base = ntohl(in.s_addr) & (bits ? ~UINT32_C(0) << (32 - bits) : 0);
		return true;
	}
	return false;
}

#define BY_RANGE "pod range"

static void nodes_ranges(const struct obj *node, struct index_keys *ret)
{
	index_keys_add(ret, val_str(obj_get(node, F_spec, F_podCIDR)));
	VAL_EACH(obj_get(node, F_spec, F_podCIDRs), c)
		index_keys_add(ret, val_str(c));
}

static int ipam_reconcile(void *ctx, struct sv key, struct reconcile_result *ret, struct err *err)
{
	struct node_ipam *c = ctx;
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_obj_ struct obj *node = informer_lookup(c->nodes, SV(""), key), *after = NULL;
	struct val *patch, *spec, *list;
	struct sv cidr = SV("");

	if (!node || obj_deleting(node) || val_str(obj_get(node, F_spec, F_podCIDR)).n)
		return 0;
	/* Any node's last allocation has to show before the next. */
	if (!written_seen(c->written, SV("nodes"), c->nodes)) {
		ret->after_ns = STALE_RETRY_NS;
		return 0;
	}
	for (uint32_t i = 0; i < c->count && !cidr.n; i++) {
		uint32_t at = c->base + (c->next << (32 - NODE_BITS));
		char text[INET_ADDRSTRLEN + 4];

		(void)snprintf(text, sizeof(text), "%u.%u.%u.0/%d", at >> 24, at >> 16 & 255, at >> 8 & 255, NODE_BITS);
		if (!informer_has_key(c->nodes, BY_RANGE, sv_from(text)))
			cidr = sv_from(arena_strdup(&a, text));
		c->next = (c->next + 1) % c->count;
	}
	if (!cidr.n) {
		recorder_event(c->ctx->recorder, RES(core_nodes), obj_root(node), "Normal", "CIDRNotAvailable",
			       "Node %.*s status is now: CIDRNotAvailable", SV_ARG(key));
		return err_set(err, ERR_UNAVAILABLE, "no pod range left for node '%.*s' in %s", SV_ARG(key),
			       c->ctx->opts->cluster_cidr);
	}
	patch = val_new_map(&a);
	spec = val_set_map(&a, patch, F_spec);
	val_set_str(&a, spec, F_podCIDR, cidr);
	list = val_set_list(&a, spec, F_podCIDRs);
	val_push(&a, list, val_new_str(&a, cidr));
	if (client_patch(c->ctx->client, RES(core_nodes), SV(""), key, PATCH_MERGE, patch, NULL, &after, err) < 0)
		return err->reason == ERR_NOT_FOUND ? err_forgive(err) : -1;
	written_note(c->written, SV("nodes"), obj_rev(after));
	return 0;
}

static void ipam_node_added(struct obj *o, void *ctx)
{
	struct node_ipam *c = ctx;

	if (!val_str(obj_get(o, F_spec, F_podCIDR)).n)
		workq_add(c->q, obj_name(o));
}

static void ipam_node_updated(struct obj *old, struct obj *neu, void *ctx)
{
	(void)old;
	ipam_node_added(neu, ctx);
}

static bool ipam_ready(void *ctx)
{
	return informer_synced(((struct node_ipam *)ctx)->nodes);
}

static void *ipam_start(struct controller_ctx *ctx)
{
	struct node_ipam *c = xcalloc(1, sizeof(*c));

	c->ctx = ctx;
	c->written = written_new();
	c->nodes = informer_get(ctx->informers, RES(core_nodes), NULL, NULL, NULL);
	c->q = workq_new(ctx->env, &(struct workq_opts){ .name = "node-ipam-controller",
							 .workers = 1,
							 .reconcile = ipam_reconcile,
							 .ctx = c,
							 .ready = ipam_ready });
	informer_add_index(c->nodes, BY_RANGE, nodes_ranges);
	if (parse_range(ctx->opts->cluster_cidr, &c->base, &c->count))
		informer_add_handler(c->nodes, &(struct informer_handler){ ipam_node_added, ipam_node_updated, NULL },
				     c);
	return c;
}

static void ipam_stop(void *controller)
{
	struct node_ipam *c = controller;

	workq_free(c->q);
	written_free(c->written);
	free(c);
}

const struct controller_ops node_ipam_controller = { "node-ipam-controller", "node-controller", ipam_start, ipam_stop };
