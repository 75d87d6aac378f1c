/* The kernel, through libnftables.
 *
 * Was it tampered with? Every commit by anybody makes a new generation of the ruleset, so as long as the
 * generation is that of our last commit, nothing happened. When it is another, the shape of our table (all but
 * elements) is compared with what it was at the last look. Looks are taken only while nothing foreign has
 * happened since our last commit; when there was none in time, only the chains that never change are compared, with
 * what they were right after the table was made. */
#include "base/file.h"
#include "base/lazylib.h"
#include "base/sysctl.h"
#include "proxy/nfnl.h"
#include "proxy/proxy.h"
#include "proxy/proxy_config.h"

#include <linux/ipv6_route.h>
#include <malloc.h>
#include <net/if.h>
#include <nftables/libnftables.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define LARGE ((size_t)256 << 10) /* of a transaction's text */
#define ROUTES_MAX ((size_t)1 << 20)

/* Loaded by the first backend or cleanup (base/lazylib.h). */
static typeof(nft_ctx_buffer_error) *sym_nft_ctx_buffer_error;
static typeof(nft_ctx_buffer_output) *sym_nft_ctx_buffer_output;
static typeof(nft_ctx_free) *sym_nft_ctx_free;
static typeof(nft_ctx_get_error_buffer) *sym_nft_ctx_get_error_buffer;
static typeof(nft_ctx_get_output_buffer) *sym_nft_ctx_get_output_buffer;
static typeof(nft_ctx_new) *sym_nft_ctx_new;
static typeof(nft_ctx_output_set_flags) *sym_nft_ctx_output_set_flags;
static typeof(nft_run_cmd_from_buffer) *sym_nft_run_cmd_from_buffer;

static const struct lazylib_sym nft_syms[] = {
	{ "nft_ctx_buffer_error", &sym_nft_ctx_buffer_error },
	{ "nft_ctx_buffer_output", &sym_nft_ctx_buffer_output },
	{ "nft_ctx_free", &sym_nft_ctx_free },
	{ "nft_ctx_get_error_buffer", &sym_nft_ctx_get_error_buffer },
	{ "nft_ctx_get_output_buffer", &sym_nft_ctx_get_output_buffer },
	{ "nft_ctx_new", &sym_nft_ctx_new },
	{ "nft_ctx_output_set_flags", &sym_nft_ctx_output_set_flags },
	{ "nft_run_cmd_from_buffer", &sym_nft_run_cmd_from_buffer },
};

static struct lazylib nft_lib = LAZYLIB("libnftables.so.1", nft_syms);

struct nft_backend {
	struct proxy_backend b;
	struct nft_ctx *nft;
	char *table;
	struct mnl_socket *nl; /* netfilter netlink */
	struct sysctls sysctls;
	uint32_t generation; /* right after our last commit; 0: not known */
	uint64_t shape;	     /* of the table at the last look */
	uint64_t fixed;	     /* of the chains that are the same as long as the table lives; 0: not known */
	bool looked;	     /* since our last commit */
	bool open;	     /* the first commit, with its guard, is there */
};

static struct nft_backend *self(struct proxy_backend *b)
{
	return CONTAINER_OF(b, struct nft_backend, b);
}

static struct nft_ctx *make_ctx(struct err *err)
{
	struct nft_ctx *nft;

	if (lazylib_need(&nft_lib, err) < 0)
		return NULL;
	nft = sym_nft_ctx_new(NFT_CTX_DEFAULT);
	if (!nft || sym_nft_ctx_buffer_error(nft) != 0 || sym_nft_ctx_buffer_output(nft) != 0) {
		if (nft)
			sym_nft_ctx_free(nft);
		(void)err_set(err, ERR_INTERNAL, "libnftables does not start");
		return NULL;
	}
	sym_nft_ctx_output_set_flags(nft, NFT_CTX_OUTPUT_TERSE | NFT_CTX_OUTPUT_STATELESS | NFT_CTX_OUTPUT_NUMERIC_ALL);
	return nft;
}

static int nft_run(struct nft_ctx *nft, const char *commands, struct err *err)
{
	const char *why;

	if (sym_nft_run_cmd_from_buffer(nft, commands) == 0)
		return 0;
	why = sym_nft_ctx_get_error_buffer(nft);
	return err_set(err, ERR_INTERNAL, "nft: %.*s", (int)strcspn(why, "\n"), why);
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

/* libnftables keeps what it read of a transaction until the next, forty times the text. */
static void drop_cache(struct nft_backend *n)
{
	struct nft_ctx *fresh = make_ctx(NULL);

	if (!fresh)
		return;
	sym_nft_ctx_free(n->nft);
	n->nft = fresh;
	(void)malloc_trim(0);
}

static int nft_apply(struct proxy_backend *b, struct sv commands, struct err *err)
{
	struct nft_backend *n = self(b);
	_cleanup_free_ char *text = xstrndup(commands.p, commands.n);
	struct nfnl_shape shape;

	n->looked = false;
	n->generation = 0;
	if (nft_run(n->nft, text, err) < 0)
		return -1;
	if (commands.n > LARGE)
		drop_cache(n);
	(void)nfnl_generation(n->nl, &n->generation, NULL);
	if (sv_starts(commands, SV("add table ")) && nfnl_shape(n->nl, n->table, render_is_fixed, &shape, NULL) == 0)
		n->fixed = shape.fixed; /* it was put in place of whatever there was */
	if (!n->open)
		(void)sysctl_ensure(&n->sysctls, "net/ipv4/conf/all/route_localnet", "1");
	n->open = true;
	return 0;
}

static bool nft_intact(struct proxy_backend *b)
{
	struct nft_backend *n = self(b);
	struct nfnl_shape shape;
	uint32_t now;

	if (n->generation == 0 || nfnl_generation(n->nl, &now, NULL) < 0)
		return false;
	if (now == n->generation && n->looked)
		return true;
	/* The generation moves with every table of the machine, so after a change of ours the first look at what
	 * changes only takes the measure. What was done in between to a chain of endpoints goes unnoticed until the
	 * next change; the other way round, two clusters would rewrite each other's work forever. */
	if (nfnl_shape(n->nl, n->table, render_is_fixed, &shape, NULL) < 0 || !shape.there || shape.fixed != n->fixed ||
	    (n->looked && shape.all != n->shape))
		return false;
	n->shape = shape.all;
	n->looked = true;
	n->generation = now;
	return true;
}

static int nft_forget_flows(struct proxy_backend *b, struct flow_frontend *u, size_t n, struct err *err)
{
	return nfnl_forget_flows(self(b)->nl, u, n, err) < 0 ? -1 : 0;
}

static void nft_clients(struct proxy_backend *b, const char *set, void (*fn)(struct ip_addr a, uint64_t ms, void *ctx),
			void *ctx)
{
	/* A set that is not there, or cannot be read, remembers nobody. */
	(void)nfnl_set_members(self(b)->nl, self(b)->table, set, fn, ctx, NULL);
}

static void nft_restore(struct proxy_backend *b)
{
	sysctl_restore(&self(b)->sysctls);
}

static void nft_free(struct proxy_backend *b)
{
	struct nft_backend *n = self(b);

	if (n->nft)
		sym_nft_ctx_free(n->nft);
	nfnl_close(n->nl);
	sysctls_release(&n->sysctls);
	free(n->table);
	free(n);
}

struct proxy_backend *proxy_backend_nft_new(const char *table, const char *settings, struct err *err)
{
	struct nft_backend *n = xcalloc(1, sizeof(*n));
	uint32_t generation;

	n->b = (struct proxy_backend){ .prepare = nft_prepare,
				       .apply = nft_apply,
				       .intact = nft_intact,
				       .forget_flows = nft_forget_flows,
				       .clients = nft_clients,
				       .restore = nft_restore,
				       .free = nft_free };
	n->table = xstrdup(table);
	sysctls_init(&n->sysctls, settings);
	n->nl = nfnl_open(err);
	if (!n->nl) {
		nft_free(&n->b);
		return NULL;
	}
	if (nfnl_generation(n->nl, &generation, err) < 0) {
		(void)err_wrap(err, "nftables cannot be used (it needs root and a kernel with nf_tables)");
		nft_free(&n->b);
		return NULL;
	}
	n->nft = make_ctx(err);
	if (!n->nft) {
		nft_free(&n->b);
		return NULL;
	}
	return &n->b;
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
	_cleanup_free_ char *look = xasprintf("list table inet %s", table);
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	struct nft_ctx *nft = make_ctx(err);
	int rc = 0;

	if (settings) {
		struct sysctls s;

		/* Before the guard goes that route_localnet needs. */
		sysctls_init(&s, settings);
		if (s.saved.n && !(heirs && sysctl_hand_over(&s, heirs)))
			sysctl_restore(&s);
		sysctls_release(&s);
	}
	if (!nft)
		return -1;
	if (nft_run(nft, look, NULL) == 0) {
		render_remove(&b, table);
		rc = nft_run(nft, buf_cstr(&b), err) < 0 ? -1 : 1;
	}
	sym_nft_ctx_free(nft);
	return rc;
}

int proxy_cleanup_foreign(const char *table, struct err *err)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	struct nft_ctx *nft = make_ctx(err);
	int rc;

	if (!nft)
		return -1;
	render_remove_foreign(&b, table);
	rc = nft_run(nft, buf_cstr(&b), err);
	sym_nft_ctx_free(nft);
	return rc;
}
