/* The kernel, through src/nft. */
#include "base/file.h"
#include "base/sysctl.h"
#include "nft/nfnl.h"
#include "nft/table.h"
#include "proxy/flows.h"
#include "proxy/proxy.h"
#include "proxy/proxy_config.h"

#include <linux/ipv6_route.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define ROUTES_MAX ((size_t)1 << 20)

struct nft_backend {
	struct proxy_backend b;
	struct nft_table *table;
	struct sysctls sysctls;
	bool open; /* the first commit, with its guard, is there */
};

static struct nft_backend *self(struct proxy_backend *b)
{
	return CONTAINER_OF(b, struct nft_backend, b);
}

/* A host that forwards stops taking its own routes from router advertisements, unless told otherwise: those devices
 * that have a default route from one are. Not the others: a Pod must not be this host's router. */
static void keep_routers(struct nft_backend *n)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct sv text, line;

	if (file_read(&a, "/proc/net/ipv6_route", ROUTES_MAX, &text, NULL) < 0)
		return;
	while (sv_split(&text, '\n', &line)) {
		char dest[33], prefix[3], device[IF_NAMESIZE], path[64];
		unsigned flags;

		if (sscanf(arena_cstr(&a, line), "%32s %2s %*s %*s %*s %*s %*s %*s %x %15s", dest, prefix, &flags,
			   device) != 4 ||
		    strspn(dest, "0") != 32 || strcmp(prefix, "00") != 0 || !(flags & RTF_ADDRCONF))
			continue;
		(void)snprintf(path, sizeof(path), "net/ipv6/conf/%s/accept_ra", device);
		(void)sysctl_ensure(&n->sysctls, path, "2");
	}
}

static void nft_prepare(struct proxy_backend *b, bool v6, bool *ret_bridge_nf)
{
	struct nft_backend *n = self(b);

	(void)sysctl_ensure(&n->sysctls, "net/ipv4/ip_forward", "1");
	*ret_bridge_nf = sysctl_ensure(&n->sysctls, "net/bridge/bridge-nf-call-iptables", "1");
	if (!v6)
		return;
	keep_routers(n);
	(void)sysctl_ensure(&n->sysctls, "net/ipv6/conf/all/forwarding", "1");
	(void)sysctl_ensure(&n->sysctls, "net/bridge/bridge-nf-call-ip6tables", "1");
}

static int nft_apply(struct proxy_backend *b, struct sv commands, struct err *err)
{
	struct nft_backend *n = self(b);

	if (nft_table_apply(n->table, commands, err) < 0)
		return -1;
	if (!n->open)
		(void)sysctl_ensure(&n->sysctls, "net/ipv4/conf/all/route_localnet", "1");
	n->open = true;
	return 0;
}

static bool nft_intact(struct proxy_backend *b)
{
	return nft_table_intact(self(b)->table);
}

static int nft_forget_flows(struct proxy_backend *b, struct flow_frontend *u, size_t n, struct err *err)
{
	return flows_forget(nft_table_socket(self(b)->table), u, n, err) < 0 ? -1 : 0;
}

static bool nft_is_nat_hook(struct sv chain)
{
	return sv_is(chain, "nat_prerouting");
}

static bool nft_serves(struct proxy_backend *b, const char *table)
{
	struct nfnl_shape shape;

	return nfnl_shape(nft_table_socket(self(b)->table), table, nft_is_nat_hook, &shape, NULL) == 0 && shape.fixed;
}

static void nft_clients(struct proxy_backend *b, const char *table, const char *set,
			void (*fn)(struct ip_addr a, uint64_t ms, void *ctx), void *ctx)
{
	struct nft_backend *n = self(b);

	/* A set that is not there, or cannot be read, remembers nobody. */
	(void)nfnl_set_members(nft_table_socket(n->table), table, set, fn, ctx, NULL);
}

static void nft_restore(struct proxy_backend *b)
{
	sysctl_restore(&self(b)->sysctls);
}

static void nft_free(struct proxy_backend *b)
{
	struct nft_backend *n = self(b);

	nft_table_free(n->table);
	sysctls_release(&n->sysctls);
	free(n);
}

struct proxy_backend *proxy_backend_nft_new(const char *table, const char *settings, struct err *err)
{
	struct nft_backend *n = xcalloc(1, sizeof(*n));

	n->b = (struct proxy_backend){ .prepare = nft_prepare,
				       .apply = nft_apply,
				       .intact = nft_intact,
				       .serves = nft_serves,
				       .forget_flows = nft_forget_flows,
				       .clients = nft_clients,
				       .restore = nft_restore,
				       .free = nft_free };
	sysctls_init(&n->sysctls, settings);
	n->table = nft_table_new(table, render_is_fixed, err);
	if (n->table)
		return &n->b;
	nft_free(&n->b);
	return NULL;
}

static void conntrack_setting(struct nft_backend *n, const char *name, int64_t value)
{
	char path[64], text[24];

	(void)snprintf(path, sizeof(path), "net/netfilter/nf_conntrack_%s", name);
	(void)snprintf(text, sizeof(text), "%" PRId64, value);
	if (value > 0)
		(void)sysctl_ensure(&n->sysctls, path, text);
}

void proxy_backend_nft_conntrack(struct proxy_backend *b, const struct proxy_config *c)
{
	struct nft_backend *n = self(b);
	int64_t cores = MAX(sysconf(_SC_NPROCESSORS_ONLN), 1);

	if (c->conntrack_max_per_core)
		conntrack_setting(n, "max", MAX(c->conntrack_max_per_core * cores, c->conntrack_min));
	conntrack_setting(n, "tcp_timeout_established", c->tcp_established_ns / NS_PER_SEC);
	conntrack_setting(n, "tcp_timeout_close_wait", c->tcp_close_wait_ns / NS_PER_SEC);
	conntrack_setting(n, "udp_timeout", c->udp_ns / NS_PER_SEC);
	conntrack_setting(n, "udp_timeout_stream", c->udp_stream_ns / NS_PER_SEC);
	conntrack_setting(n, "tcp_be_liberal", c->tcp_be_liberal);
}

int proxy_cleanup(const char *table, const char *settings, const char *heirs, struct err *err)
{
	_cleanup_free_ char *spare = proxy_spare_table(table);
	int was, rc;

	/* Before the guard goes that route_localnet needs. */
	sysctls_give_back(settings, heirs);
	was = nft_table_remove(spare, err);
	if (was < 0)
		return -1;
	rc = nft_table_remove(table, err);
	return rc < 0 ? -1 : rc || was;
}

int proxy_cleanup_foreign(const char *table, struct err *err)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	render_remove_foreign(&b, table);
	return nft_commands_run(buf_sv(&b), err);
}
