/* The kernel, through src/nft. */
#include "base/strmap.h"
#include "base/sysctl.h"
#include "netd/policy/netpol.h"
#include "netd/policy/track.h"
#include "nft/conntrack.h"
#include "nft/nfnl.h"
#include "nft/table.h"

#include <errno.h>
#include <stdlib.h>

struct netpol_nft {
	struct netpol_backend b;
	struct nft_table *table;
	char *name;
	struct sysctls sysctls;
};

static struct netpol_nft *netpol_nft(struct netpol_backend *b)
{
	return CONTAINER_OF(b, struct netpol_nft, b);
}

static bool netpol_nft_prepare(struct netpol_backend *b)
{
	struct netpol_nft *n = netpol_nft(b);
	bool v4 = sysctl_ensure(&n->sysctls, "net/bridge/bridge-nf-call-iptables", "1");

	/* a machine without IPv6 has no such packets */
	(void)sysctl_ensure(&n->sysctls, "net/bridge/bridge-nf-call-ip6tables", "1");
	return v4;
}

static int netpol_nft_apply(struct netpol_backend *b, struct sv commands, struct err *err)
{
	return nft_table_apply(netpol_nft(b)->table, commands, err);
}

static bool netpol_nft_intact(struct netpol_backend *b)
{
	return nft_table_intact(netpol_nft(b)->table);
}

struct netpol_reading {
	struct netpol_left *left;
	bool egress;
};

static void netpol_nft_on_member(struct ip_addr a, _unused_ uint64_t ms, void *ctx)
{
	struct netpol_reading *r = ctx;

	if (r->egress)
		vec_push(&r->left->egress, a);
	else
		vec_push(&r->left->ingress, a);
}

static int netpol_nft_left(struct netpol_backend *b, struct netpol_left *ret, struct err *err)
{
	static const char *const maps[] = { "ingress_4", "ingress_6", "egress_4", "egress_6" };
	struct netpol_nft *n = netpol_nft(b);
	struct nfnl_shape shape;

	if (nfnl_shape(nft_table_socket(n->table), n->name, netpol_track_is_fixed, &shape, err) < 0)
		return -1;
	for (size_t i = 0; i < ARRAY_LEN(maps) && shape.there; i++) {
		struct netpol_reading r = { ret, i >= 2 };
		struct err e = ERR_INIT;

		if (nfnl_set_members(nft_table_socket(n->table), n->name, maps[i], netpol_nft_on_member, &r, &e) < 0 &&
		    e.errnum != ENOENT) /* a table of that name, but not as we make it */
			return err_move(err, &e);
		err_release(&e);
	}
	return shape.there;
}

static bool netpol_nft_has(const struct strmap *ips, const struct ip_addr *ip)
{
	return strmap_has(ips, sv_make((const char *)ip->b, sizeof(ip->b)));
}

static bool netpol_nft_is_left(const struct ct_flow *f, void *ctx)
{
	return netpol_nft_has(ctx, &f->orig.src) || netpol_nft_has(ctx, &f->orig.dst) ||
	       netpol_nft_has(ctx, &f->reply.src) || netpol_nft_has(ctx, &f->reply.dst);
}

static int netpol_nft_forget(struct netpol_backend *b, const struct strmap *ips, struct err *err)
{
	struct mnl_socket *s = nft_table_socket(netpol_nft(b)->table);
	bool any[2] = { false, false };

	STRMAP_EACH(ips, e) {
		struct ip_addr ip;

		memcpy(ip.b, e->key, sizeof(ip.b));
		any[!ip_is_v4(ip)] = true;
	}
	for (int v6 = 0; v6 < 2; v6++)
		if (any[v6] && conntrack_forget(s, v6, false, netpol_nft_is_left, (void *)ips, err) < 0)
			return -1;
	return 0;
}

static void netpol_nft_free(struct netpol_backend *b)
{
	struct netpol_nft *n = netpol_nft(b);

	nft_table_free(n->table);
	sysctls_release(&n->sysctls);
	free(n->name);
	free(n);
}

struct netpol_backend *netpol_backend_nft_new(const char *table, const char *settings, struct err *err)
{
	struct netpol_nft *n = xcalloc(1, sizeof(*n));

	n->b = (struct netpol_backend){ .prepare = netpol_nft_prepare,
					.apply = netpol_nft_apply,
					.intact = netpol_nft_intact,
					.left = netpol_nft_left,
					.forget = netpol_nft_forget,
					.free = netpol_nft_free };
	n->name = xstrdup(table);
	sysctls_init(&n->sysctls, settings);
	n->table = nft_table_new(table, netpol_track_is_fixed, err);
	if (n->table)
		return &n->b;
	netpol_nft_free(&n->b);
	return NULL;
}

int netpol_cleanup(const char *table, const char *settings, const char *heirs, struct err *err)
{
	sysctls_give_back(settings, heirs);
	return nft_table_remove(table, err);
}
