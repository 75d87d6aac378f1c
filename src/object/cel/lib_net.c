/* Addresses and prefixes. Those of IPv4 written as IPv6, and zones, are refused. */
#include "object/cel/lib-internal.h"

#include "base/go_quote.h"
#include "object/netip.h"

static bool net_ip_equal(const void *a, const void *b)
{
	return netip_same(a, b);
}

static struct sv net_ip_text(struct arena *a, const void *p)
{
	return arena_sv(a, sv_from(netip_text(p).s));
}

static const struct cel_opaque net_ip_type = {
	.type = { .kind = CEL_OPAQUE, .name = { "net.IP", 6 }, .opaque = &net_ip_type },
	.equal = net_ip_equal,
	.text = net_ip_text,
};

static bool net_cidr_equal(const void *a, const void *b)
{
	const struct netip_prefix *x = a, *y = b;

	return netip_same(&x->ip, &y->ip) && x->bits == y->bits;
}

static struct sv net_cidr_text(struct arena *a, const void *p)
{
	return arena_sv(a, sv_from(netip_prefix_text(p).s));
}

static const struct cel_opaque net_cidr_type = {
	.type = { .kind = CEL_OPAQUE, .name = { "net.CIDR", 8 }, .opaque = &net_cidr_type },
	.equal = net_cidr_equal,
	.text = net_cidr_text,
};

static bool net_refuse(struct err *err, const char *before, struct sv s, const char *behind)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	buf_adds(&b, before);
	go_quote(&b, s);
	buf_adds(&b, behind);
	err_set(err, ERR_INVALID, "%s", buf_cstr(&b));
	return false;
}

static bool net_read_ip(struct sv s, struct netip *ret, struct err *err)
{
	_cleanup_(err_release) struct err why = ERR_INIT;

	if (!netip_parse(s, ret, &why)) {
		_cleanup_free_ char *behind =
		    xasprintf(" parse error during conversion from string: %s", err_msg(&why));

		return net_refuse(err, "IP Address ", s, behind);
	}
	if (ret->zone)
		return net_refuse(err, "IP address ", s, " with zone value is not allowed");
	if (netip_is_mapped(ret))
		return net_refuse(err, "IPv4-mapped IPv6 address ", s, " is not allowed");
	return true;
}

static bool net_read_cidr(struct sv s, struct netip_prefix *ret, struct err *err)
{
	if (!netip_prefix_parse(s, ret, err)) {
		err_wrap(err, "network address parse error during conversion from string");
		return false;
	}
	return !netip_is_mapped(&ret->ip) || net_refuse(err, "IPv4-mapped IPv6 address ", s, " is not allowed");
}

static struct cel_value net_ip_value(struct arena *a, struct netip ip)
{
	struct netip *p = ARENA_NEW(a, struct netip);

	*p = ip;
	return cel_opaque(&net_ip_type, p);
}

static struct cel_value net_cidr_value(struct arena *a, struct netip_prefix prefix)
{
	struct netip_prefix *p = ARENA_NEW(a, struct netip_prefix);

	*p = prefix;
	return cel_opaque(&net_cidr_type, p);
}

static int net_ip(struct cel_call *c, const struct cel_value *args, size_t n, struct cel_value *ret)
{
	_cleanup_(err_release) struct err err = ERR_INIT;
	struct netip ip;

	(void)n;
	if (!net_read_ip(cel_text(&args[0]), &ip, &err))
		return cel_fail(c, "%s", err_msg(&err));
	*ret = net_ip_value(c->arena, ip);
	return 0;
}

static int net_is_ip(struct cel_call *c, const struct cel_value *args, size_t n, struct cel_value *ret)
{
	struct netip ip;

	(void)c;
	(void)n;
	*ret = cel_bool(net_read_ip(cel_text(&args[0]), &ip, NULL));
	return 0;
}

static int net_is_canonical(struct cel_call *c, const struct cel_value *args, size_t n, struct cel_value *ret)
{
	_cleanup_(err_release) struct err err = ERR_INIT;
	struct netip ip;

	(void)n;
	if (!net_read_ip(cel_text(&args[0]), &ip, &err))
		return cel_fail(c, "%s", err_msg(&err));
	*ret = cel_bool(sv_is(cel_text(&args[0]), netip_text(&ip).s));
	return 0;
}

static int net_ip_string(struct cel_call *c, const struct cel_value *args, size_t n, struct cel_value *ret)
{
	(void)n;
	*ret = cel_string(net_ip_text(c->arena, args[0].p));
	return 0;
}

static int net_family(struct cel_call *c, const struct cel_value *args, size_t n, struct cel_value *ret)
{
	const struct netip *ip = args[0].p;

	(void)c;
	(void)n;
	*ret = cel_int(ip->v6 ? 6 : 4);
	return 0;
}

#define NET_IS(name, ask)                                                                                           \
	static int net_is_##name(struct cel_call *c, const struct cel_value *args, size_t n, struct cel_value *ret) \
	{                                                                                                           \
		(void)c;                                                                                            \
		(void)n;                                                                                            \
		*ret = cel_bool(ask(args[0].p));                                                                    \
		return 0;                                                                                           \
	}
NET_IS(unspecified, netip_is_unspecified)
NET_IS(loopback, netip_is_loopback)
NET_IS(link_local_multicast, netip_is_link_local_multicast)
NET_IS(link_local_unicast, netip_is_link_local_unicast)
NET_IS(global_unicast, netip_is_global_unicast)

static int net_cidr(struct cel_call *c, const struct cel_value *args, size_t n, struct cel_value *ret)
{
	_cleanup_(err_release) struct err err = ERR_INIT;
	struct netip_prefix p;

	(void)n;
	if (!net_read_cidr(cel_text(&args[0]), &p, &err))
		return cel_fail(c, "network address parse error during conversion from string: %s", err_msg(&err));
	*ret = net_cidr_value(c->arena, p);
	return 0;
}

static int net_is_cidr(struct cel_call *c, const struct cel_value *args, size_t n, struct cel_value *ret)
{
	struct netip_prefix p;

	(void)c;
	(void)n;
	*ret = cel_bool(net_read_cidr(cel_text(&args[0]), &p, NULL));
	return 0;
}

static int net_cidr_string(struct cel_call *c, const struct cel_value *args, size_t n, struct cel_value *ret)
{
	(void)n;
	*ret = cel_string(net_cidr_text(c->arena, args[0].p));
	return 0;
}

/* Of a text that is no address upstream says no more than this. */
static int net_contains_ip(struct cel_call *c, const struct cel_value *args, size_t n, struct cel_value *ret)
{
	struct netip read;
	const struct netip *ip = &read;

	(void)n;
	if (args[1].kind != CEL_STRING)
		ip = args[1].p;
	else if (!net_read_ip(cel_text(&args[1]), &read, NULL))
		return cel_fail(c, "no such overload");
	*ret = cel_bool(netip_has(args[0].p, ip));
	return 0;
}

static int net_contains_cidr(struct cel_call *c, const struct cel_value *args, size_t n, struct cel_value *ret)
{
	const struct netip_prefix *outer = args[0].p, *inner;
	struct cel_value other = args[1];

	if (other.kind == CEL_STRING && net_cidr(c, &args[1], n, &other) < 0)
		return -1;
	inner = other.p;
	*ret = cel_bool(netip_has(outer, &inner->ip) && outer->bits <= inner->bits);
	return 0;
}

static int net_cidr_ip(struct cel_call *c, const struct cel_value *args, size_t n, struct cel_value *ret)
{
	(void)n;
	*ret = net_ip_value(c->arena, ((const struct netip_prefix *)args[0].p)->ip);
	return 0;
}

static int net_prefix_length(struct cel_call *c, const struct cel_value *args, size_t n, struct cel_value *ret)
{
	(void)c;
	(void)n;
	*ret = cel_int(((const struct netip_prefix *)args[0].p)->bits);
	return 0;
}

static int net_masked(struct cel_call *c, const struct cel_value *args, size_t n, struct cel_value *ret)
{
	(void)n;
	*ret = net_cidr_value(c->arena, netip_masked(args[0].p));
	return 0;
}

/* --- costs: a prefix's size is the bytes that it fixes --- */

static uint64_t net_cost_twice(struct cel_call *c, const struct cel_value *args, size_t n, const struct cel_value *ret)
{
	(void)c;
	(void)n;
	(void)ret;
	return cel_factor(cel_size(&args[0]), 0.2);
}

static void net_est_twice(const struct cel_est *args, size_t n, struct cel_estimate *ret)
{
	(void)n;
	ret->cost = cel_range_factor(args[0].size, 0.2);
}

static uint64_t net_cost_text(const struct cel_value *v)
{
	return v->kind == CEL_STRING ? cel_factor(cel_size(v), 0.1) : 0;
}

static uint64_t net_cidr_size(const struct cel_value *v)
{
	return (((const struct netip_prefix *)v->p)->bits + 7U) / 8;
}

static uint64_t net_cost_contains_ip(struct cel_call *c, const struct cel_value *args, size_t n,
				     const struct cel_value *ret)
{
	(void)c;
	(void)n;
	(void)ret;
	return cel_factor(2 * net_cidr_size(&args[0]), 0.1) + net_cost_text(&args[1]);
}

static uint64_t net_cost_contains_cidr(struct cel_call *c, const struct cel_value *args, size_t n,
				       const struct cel_value *ret)
{
	(void)c;
	(void)n;
	(void)ret;
	return cel_factor(2 * net_cidr_size(&args[0]), 0.1) + cel_factor(net_cidr_size(&args[0]), 0.1) + 1 +
	       net_cost_text(&args[1]);
}

static struct cel_range net_est_text(const struct cel_est *e)
{
	return e->type && e->type->kind == CEL_STRING ? cel_range_factor(e->size, 0.1) : CEL_RANGE(0, 0);
}

/* 4 or 16 bytes, twice. */
static void net_est_contains_ip(const struct cel_est *args, size_t n, struct cel_estimate *ret)
{
	(void)n;
	ret->cost = cel_range_add(CEL_RANGE(1, 4), net_est_text(&args[1]));
}

static void net_est_contains_cidr(const struct cel_est *args, size_t n, struct cel_estimate *ret)
{
	(void)n;
	ret->cost = cel_range_add(CEL_RANGE(3, 7), net_est_text(&args[1]));
}

static const struct cel_func net_ip_funcs[] = {
	{ "ip", "(string) net.IP", CEL_V(1, 30), net_ip, cel_cost_str0, lib_est_read },
	{ "isIP", "(string) bool", CEL_V(1, 30), net_is_ip, cel_cost_str0, lib_est_read },
	{ "ip.isCanonical", "(string) bool", CEL_V(1, 30), net_is_canonical, net_cost_twice, net_est_twice },
	{ "string", "(net.IP) string", CEL_V(1, 30), net_ip_string, NULL, NULL },
	{ "family", "net.IP.() int", CEL_V(1, 30), net_family, NULL, NULL },
	{ "isUnspecified", "net.IP.() bool", CEL_V(1, 30), net_is_unspecified, NULL, NULL },
	{ "isLoopback", "net.IP.() bool", CEL_V(1, 30), net_is_loopback, NULL, NULL },
	{ "isLinkLocalMulticast", "net.IP.() bool", CEL_V(1, 30), net_is_link_local_multicast, NULL, NULL },
	{ "isLinkLocalUnicast", "net.IP.() bool", CEL_V(1, 30), net_is_link_local_unicast, NULL, NULL },
	{ "isGlobalUnicast", "net.IP.() bool", CEL_V(1, 30), net_is_global_unicast, NULL, NULL },
};
const struct cel_lib cel_lib_ip = { "kubernetes.net.ip", net_ip_funcs, ARRAY_LEN(net_ip_funcs), { &net_ip_type } };

static const struct cel_func net_cidr_funcs[] = {
	{ "cidr", "(string) net.CIDR", CEL_V(1, 30), net_cidr, cel_cost_str0, lib_est_read },
	{ "isCIDR", "(string) bool", CEL_V(1, 30), net_is_cidr, cel_cost_str0, lib_est_read },
	{ "containsIP", "net.CIDR.(string) bool", CEL_V(1, 30), net_contains_ip, net_cost_contains_ip,
	  net_est_contains_ip },
	{ "containsIP", "net.CIDR.(net.IP) bool", CEL_V(1, 30), net_contains_ip, net_cost_contains_ip,
	  net_est_contains_ip },
	{ "containsCIDR", "net.CIDR.(string) bool", CEL_V(1, 30), net_contains_cidr, net_cost_contains_cidr,
	  net_est_contains_cidr },
	{ "containsCIDR", "net.CIDR.(net.CIDR) bool", CEL_V(1, 30), net_contains_cidr, net_cost_contains_cidr,
	  net_est_contains_cidr },
	{ "ip", "net.CIDR.() net.IP", CEL_V(1, 30), net_cidr_ip, NULL, NULL },
	{ "prefixLength", "net.CIDR.() int", CEL_V(1, 30), net_prefix_length, NULL, NULL },
	{ "masked", "net.CIDR.() net.CIDR", CEL_V(1, 30), net_masked, NULL, NULL },
	{ "string", "(net.CIDR) string", CEL_V(1, 30), net_cidr_string, NULL, NULL },
};
const struct cel_lib cel_lib_cidr = {
	"kubernetes.net.cidr", net_cidr_funcs, ARRAY_LEN(net_cidr_funcs), { &net_cidr_type }
};
