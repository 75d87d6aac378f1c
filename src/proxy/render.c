#include "proxy/render.h"

#include <netinet/in.h>
#include <stdio.h>

#define ELEMS_PER_COMMAND 512

#define IP_FMT "%s"
#define IP_ARG(a) ip_text(a).s

#define FRONTEND_TYPE(ip) "typeof " ip " daddr . meta l4proto . th dport"
#define NODEPORT_TYPE "typeof meta l4proto . th dport"
/* A map per protocol: nft (1.0.6) takes a rule that looks up ports of any protocol only in the transaction
 * that makes the map. */
#define ENDPOINT_TYPE(ip, addr, proto) \
	"typeof " addr proto " dport . numgen random mod 2 : " ip " daddr . " proto " dport"

struct table {
	const char *name, *kind, *type;
};

/* clang-format off */
#define TABLES(ip, type, six)                                                                                          \
	{                                                                                                              \
		[ELEM_SERVICE_IPS] = { "service_ips" six, "map", FRONTEND_TYPE(ip) " : verdict" },                     \
		[ELEM_NODEPORTS] = { "nodeports" six, "map", NODEPORT_TYPE " : verdict" },                             \
		[ELEM_INSIDE_IPS] = { "inside_ips" six, "map", FRONTEND_TYPE(ip) " : verdict" },                       \
		[ELEM_INSIDE_NODEPORTS] = { "inside_nodeports" six, "map", NODEPORT_TYPE " : verdict" },               \
		[ELEM_OWN_IPS] = { "own_ips" six, "map", FRONTEND_TYPE(ip) " : verdict" },                             \
		[ELEM_HOSTPORTS] = { "hostports" six, "map", NODEPORT_TYPE " : verdict" },                             \
		[ELEM_REFUSED_IPS] = { "refused_ips" six, "map", FRONTEND_TYPE(ip) " : verdict" },                     \
		[ELEM_REFUSED_NODEPORTS] = { "refused_nodeports" six, "map", NODEPORT_TYPE " : verdict" },             \
		[ELEM_ENDPOINTS] = { "tcp_endpoints" six, "map", ENDPOINT_TYPE(ip, ip " daddr . ", "tcp") },           \
		[ELEM_ENDPOINTS + 1] = { "udp_endpoints" six, "map", ENDPOINT_TYPE(ip, ip " daddr . ", "udp") },       \
		[ELEM_ENDPOINTS + 2] = { "sctp_endpoints" six, "map", ENDPOINT_TYPE(ip, ip " daddr . ", "sctp") },     \
		[ELEM_NODEPORT_ENDPOINTS] = { "tcp_nodeport_endpoints" six, "map", ENDPOINT_TYPE(ip, "", "tcp") },     \
		[ELEM_NODEPORT_ENDPOINTS + 1] = { "udp_nodeport_endpoints" six, "map", ENDPOINT_TYPE(ip, "", "udp") }, \
		[ELEM_NODEPORT_ENDPOINTS + 2] = { "sctp_nodeport_endpoints" six, "map",                                \
						  ENDPOINT_TYPE(ip, "", "sctp") },                                     \
		[ELEM_CLUSTER_IPS] = { "cluster_ips" six, "set", "type " type },                                       \
		[ELEM_HAIRPINS] = { "hairpins" six, "set", "type " type " . " type },                                  \
		[ELEM_GUARDED_IPS] = { "guarded_ips" six, "set", FRONTEND_TYPE(ip) },                                  \
		[ELEM_SOURCE_RANGES] = { "source_ranges" six, "set",                                                   \
					 FRONTEND_TYPE(ip) " . " ip " saddr; flags interval" },                        \
		[ELEM_POD_RANGES] = { "pod_ranges" six, "set", "type " type "; flags interval" },                      \
		[ELEM_NODEPORT_IPS] = { "nodeport_ips" six, "set", "type " type "; flags interval" },                  \
	}
/* clang-format on */
static const struct table tables[2][_ELEM_TABLE_MAX] = { TABLES("ip", "ipv4_addr", ""),
							 TABLES("ip6", "ipv6_addr", "6") };

/* What differs between the families, [v6]. */
static const struct {
	const char *ip, *six, *type, *loopback;
	const char *nowhere; /* never masqueraded: multicast and what does not leave the link */
} family[2] = {
	{ "ip", "", "ipv4_addr", "127.0.0.0/8", "224.0.0.0/4, 255.255.255.255" },
	{ "ip6", "6", "ipv6_addr", "::1", "ff00::/8, fe80::/10" },
};

static const struct table *table_of(const struct elem *e)
{
	return &tables[elem_v6(e)][elem_table(e)];
}

static const char *proto_name(uint8_t proto)
{
	return proto == IPPROTO_TCP ? "tcp" : proto == IPPROTO_UDP ? "udp" : "sctp";
}

/* --- the fixed part --- */

static uint32_t mark_of(const struct render_cfg *c)
{
	return c->mark ? c->mark : PROXY_MARK;
}

static void add_cluster(struct buf *b, const struct render_cfg *c, bool v6)
{
	buf_printf(b, IP_FMT "/%u", IP_ARG(c->cluster.net[v6].addr), ip_net_len(c->cluster.net[v6]));
}

/* Who is a Pod, and of this family. False: nobody can tell. */
static bool match_pods(struct buf *b, const struct render_cfg *c, bool v6, bool not )
{
	if (!c->local_devices && !c->cluster.has[v6])
		return false;
	if (c->local_devices) {
		buf_printf(b, "\t\tmeta nfproto %s iifname %s\"%s\" ", v6 ? "ipv6" : "ipv4", not ? "!= " : "",
			   c->local_devices);
		return true;
	}
	buf_printf(b, "\t\t%s saddr %s", family[v6].ip, not ? "!= " : "");
	add_cluster(b, c, v6);
	buf_addc(b, ' ');
	return true;
}

static void rule_mark(struct buf *b, const struct render_cfg *c, enum masq_mode m, bool v6)
{
	if (m == MASQ_OUTSIDE && c->masq_all)
		m = MASQ_ALL;
	if (m == MASQ_NONE || (m == MASQ_OUTSIDE && !match_pods(b, c, v6, true)))
		return;
	if (m == MASQ_LOOPBACK)
		buf_printf(b, "\t\t%s saddr %s ", family[v6].ip, family[v6].loopback);
	if (m == MASQ_ALL)
		buf_adds(b, "\t\t");
	buf_printf(b, "meta mark set meta mark | 0x%x\n", mark_of(c));
}

/* This node's addresses. Not ::1: the kernel lets no packet from there leave by a device, whatever is made of its
 * source, and a refusal says more than silence. */
static void match_local(struct buf *b, bool v6)
{
	buf_printf(b, "\t\t%s fib daddr type local ", v6 ? "ip6 daddr != ::1" : "meta nfproto ipv4");
}

/* Where node ports answer: on every address of this node, or on chosen ones. */
static void match_nodeport(struct buf *b, const struct render_cfg *c, bool v6)
{
	match_local(b, v6);
	if (c->chosen_nodeports[v6])
		buf_printf(b, "%s daddr @nodeport_ips%s ", family[v6].ip, family[v6].six);
}

static void hook_guard(struct buf *b)
{
	/* route_localnet lets replies to 127.0.0.1:nodePort in; without this guard it would let the
	 * neighbours in as well. Runs before conntrack undoes NAT, so replies still look foreign. */
	buf_adds(b, "\tchain guard {\n"
		    "\t\ttype filter hook prerouting priority raw;\n");
	for (int v6 = 0; v6 < 2; v6++)
		buf_printf(b,
			   "\t\tmeta iiftype != loopback %s daddr %s drop\n"
			   "\t\tmeta iiftype != loopback %s saddr %s drop\n",
			   family[v6].ip, family[v6].loopback, family[v6].ip, family[v6].loopback);
	buf_adds(b, "\t}\n");
}

static void base_filters(struct buf *b, const struct render_cfg *c)
{
	buf_adds(b, "\tchain firewall {\n");
	for (int v6 = 0; v6 < 2; v6++)
		buf_printf(b,
			   "\t\t%s daddr . meta l4proto . th dport @guarded_ips%s"
			   " %s daddr . meta l4proto . th dport . %s saddr != @source_ranges%s drop\n",
			   family[v6].ip, family[v6].six, family[v6].ip, family[v6].ip, family[v6].six);
	buf_adds(b, "\t}\n"
		    "\tchain refused {\n"
		    /* Not an ICMP error: the kernel sends a client one a second after the first few, and of
		     * IPv6 Linux clients take one for the first SYN for no answer, and wait a second. */
		    "\t\tmeta l4proto tcp reject with tcp reset\n"
		    "\t\treject\n"
		    "\t}\n"
		    "\tchain refuse {\n");
	for (int v6 = 0; v6 < 2; v6++) {
		buf_printf(b, "\t\t%s daddr . meta l4proto . th dport vmap @refused_ips%s\n", family[v6].ip,
			   family[v6].six);
		match_nodeport(b, c, v6);
		buf_printf(b,
			   "meta l4proto . th dport vmap @refused_nodeports%s\n"
			   "\t\t%s daddr @cluster_ips%s goto refused\n",
			   family[v6].six, family[v6].ip, family[v6].six);
	}
	buf_adds(b, "\t}\n");
}

static void hook_filters(struct buf *b, const struct render_cfg *c)
{
	hook_guard(b);
	buf_adds(b, "\tchain firewall_prerouting {\n"
		    "\t\ttype filter hook prerouting priority -110;\n"
		    "\t\tjump firewall\n"
		    "\t}\n"
		    "\tchain firewall_output {\n"
		    "\t\ttype filter hook output priority -110;\n"
		    "\t\tjump firewall\n"
		    "\t}\n"
		    "\tchain filter_input {\n"
		    "\t\ttype filter hook input priority filter;\n"
		    "\t\tct state new jump refuse\n"
		    "\t}\n"
		    "\tchain filter_output {\n"
		    "\t\ttype filter hook output priority filter;\n"
		    "\t\tct state new jump refuse\n"
		    "\t}\n"
		    "\tchain filter_forward {\n"
		    "\t\ttype filter hook forward priority filter;\n"
		    "\t\tct state new jump refuse\n");
	/* Packets conntrack gave up on would leave with a pod's own address, and reset the client. */
	for (int v6 = 0; v6 < 2; v6++) {
		if (match_pods(b, c, v6, false))
			buf_adds(b, "ct state invalid drop\n");
	}
	buf_adds(b, "\t}\n");
}

static void nat_hooks(struct buf *b, const struct render_cfg *c, const char *suffix, int later)
{
	buf_printf(b, "\tchain nat_prerouting%s {\n\t\ttype nat hook prerouting priority %d;\n", suffix, -100 + later);
	for (int v6 = 0; v6 < 2; v6++) {
		if (match_pods(b, c, v6, false))
			buf_adds(b, "jump inside\n");
	}
	buf_printf(b,
		   "\t\tjump services\n\t}\n"
		   "\tchain nat_output%s {\n"
		   "\t\ttype nat hook output priority %d;\n"
		   "\t\tjump inside\n"
		   "\t\tjump services\n"
		   "\t}\n",
		   suffix, -100 + later);
}

static void base_lookups(struct buf *b, const struct render_cfg *c)
{
	buf_adds(b, "\tchain services {\n");
	for (int v6 = 0; v6 < 2; v6++) {
		buf_printf(b,
			   "\t\t%s daddr . meta l4proto . th dport vmap @service_ips%s\n"
			   "\t\tfib daddr type local %s daddr . meta l4proto . th dport vmap @own_ips%s\n",
			   family[v6].ip, family[v6].six, family[v6].ip, family[v6].six);
		match_nodeport(b, c, v6);
		buf_printf(b, "meta l4proto . th dport vmap @nodeports%s\n", family[v6].six);
		match_local(b, v6);
		buf_printf(b, "meta l4proto . th dport vmap @hostports%s\n", family[v6].six);
	}
	buf_adds(b, "\t}\n"
		    "\tchain inside {\n");
	for (int v6 = 0; v6 < 2; v6++) {
		buf_printf(b, "\t\t%s daddr . meta l4proto . th dport vmap @inside_ips%s\n", family[v6].ip,
			   family[v6].six);
		match_nodeport(b, c, v6);
		buf_printf(b, "meta l4proto . th dport vmap @inside_nodeports%s\n", family[v6].six);
	}
	buf_adds(b, "\t}\n");
}

static void hook_masquerade(struct buf *b, const struct render_cfg *c)
{
	buf_adds(b, "\tchain nat_postrouting {\n"
		    "\t\ttype nat hook postrouting priority srcnat;\n");
	for (int v6 = 0; v6 < 2; v6++)
		buf_printf(b, "\t\tct status dnat %s saddr . %s daddr @hairpins%s masquerade fully-random\n",
			   family[v6].ip, family[v6].ip, family[v6].six);
	for (int v6 = 0; v6 < 2 && !c->bridge_nf; v6++)
		buf_printf(b,
			   "\t\tct status dnat %s saddr @pod_ranges%s %s daddr @pod_ranges%s masquerade fully-random\n",
			   family[v6].ip, family[v6].six, family[v6].ip, family[v6].six);
	buf_printf(b, "\t\tmeta mark & 0x%x == 0x%x meta mark set meta mark ^ 0x%x masquerade fully-random\n",
		   mark_of(c), mark_of(c), mark_of(c));
	for (int v6 = 0; v6 < 2; v6++) {
		buf_printf(b, "\t\t%s saddr @pod_ranges%s %s daddr != @pod_ranges%s %s daddr != { ", family[v6].ip,
			   family[v6].six, family[v6].ip, family[v6].six, family[v6].ip);
		if (c->cluster.has[v6]) {
			add_cluster(b, c, v6);
			buf_adds(b, ", ");
		}
		buf_printf(b, "%s } masquerade fully-random\n", family[v6].nowhere);
	}
	buf_adds(b, "\t}\n");
}

static void hook_nat(struct buf *b, const struct render_cfg *c)
{
	/* A packet may meet a commit half-way: a verdict of the old generation, then a map or a chain of the new
	 * one. It finds no endpoint and would be refused, so what was not translated is looked up once more. */
	nat_hooks(b, c, "", 0);
	nat_hooks(b, c, "_again", 1);
	hook_masquerade(b, c);
}

bool render_is_fixed(struct sv chain)
{
	static const char *const names[] = {
		"guard",	  "firewall",	    "firewall_prerouting", "firewall_output",	   "refused",
		"refuse",	  "filter_input",   "filter_output",	   "filter_forward",	   "services",
		"inside",	  "nat_prerouting", "nat_output",	   "nat_prerouting_again", "nat_output_again",
		"nat_postrouting"
	};

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		if (sv_is(chain, names[i]))
			return true;
	}
	return false;
}

void render_remove(struct buf *b, const char *table)
{
	/* Adding first makes deleting one that is not there no failure. */
	buf_printf(b, "add table inet %s\ndelete table inet %s\n", table, table);
}

void render_remove_foreign(struct buf *b, const char *table)
{
	for (int v6 = 0; v6 < 2; v6++)
		buf_printf(b, "add table %s %s\ndelete table %s %s\n", family[v6].ip, table, family[v6].ip, table);
}

void render_base(struct buf *b, const struct render_cfg *c)
{
	render_remove(b, c->table);
	buf_printf(b, "table inet %s {\n", c->table);
	for (int v6 = 0; v6 < 2; v6++)
		for (int t = 0; t < _ELEM_TABLE_MAX; t++)
			buf_printf(b, "\t%s %s { %s; }\n", tables[v6][t].kind, tables[v6][t].name, tables[v6][t].type);
	base_filters(b, c);
	base_lookups(b, c);
	buf_adds(b, "}\n");
}

void render_hooks(struct buf *b, const struct render_cfg *c)
{
	if (c->spare)
		render_remove(b, c->spare);
	if (c->replaces)
		render_remove_foreign(b, c->table);
	buf_printf(b, "table inet %s {\n", c->table);
	hook_filters(b, c);
	hook_nat(b, c);
	buf_adds(b, "}\n");
}

/* --- elements --- */

static void elem_key(struct buf *b, const struct elem *e)
{
	switch ((int)elem_table(e)) {
	case ELEM_SERVICE_IPS:
	case ELEM_INSIDE_IPS:
	case ELEM_OWN_IPS:
	case ELEM_REFUSED_IPS:
	case ELEM_GUARDED_IPS:
		buf_printf(b, IP_FMT " . %s . %u", IP_ARG(e->addr), proto_name(e->proto), e->port);
		break;
	case ELEM_NODEPORTS:
	case ELEM_HOSTPORTS:
	case ELEM_INSIDE_NODEPORTS:
	case ELEM_REFUSED_NODEPORTS:
		buf_printf(b, "%s . %u", proto_name(e->proto), e->port);
		break;
	case ELEM_ENDPOINTS:
	case ELEM_ENDPOINTS + 1:
	case ELEM_ENDPOINTS + 2:
		buf_printf(b, IP_FMT " . %u . %u", IP_ARG(e->addr), e->port, e->idx);
		break;
	case ELEM_NODEPORT_ENDPOINTS:
	case ELEM_NODEPORT_ENDPOINTS + 1:
	case ELEM_NODEPORT_ENDPOINTS + 2:
		buf_printf(b, "%u . %u", e->port, e->idx);
		break;
	case ELEM_CLUSTER_IPS:
		buf_printf(b, IP_FMT, IP_ARG(e->addr));
		break;
	case ELEM_HAIRPINS:
		buf_printf(b, IP_FMT " . " IP_FMT, IP_ARG(e->addr), IP_ARG(e->addr));
		break;
	case ELEM_SOURCE_RANGES:
		buf_printf(b, IP_FMT " . %s . %u . " IP_FMT "/%u", IP_ARG(e->addr), proto_name(e->proto), e->port,
			   IP_ARG(e->other), (unsigned)e->val);
		break;
	case ELEM_POD_RANGES:
	case ELEM_NODEPORT_IPS:
		buf_printf(b, IP_FMT "/%u", IP_ARG(e->addr), (unsigned)e->val);
		break;
	}
}

/* As a part of a name: those have no colons. */
static void address_name(struct buf *b, struct ip_addr a)
{
	struct ip_text t = ip_text(a);

	for (char *c = t.s; *c; c++)
		*c = *c == ':' ? '_' : *c;
	buf_adds(b, t.s);
}

static void frontend_name(struct buf *b, struct frontend_key k)
{
	if (!ip_is_none(k.addr))
		address_name(b, k.addr);
	else
		buf_printf(b, "node%s", family[k.v6].six);
	buf_printf(b, "_%s_%u", proto_name(k.proto), k.port);
}

static void affinity_name(struct buf *b, struct frontend_key k, bool inside)
{
	buf_adds(b, "client_");
	frontend_name(b, k);
	if (inside)
		buf_adds(b, "_inside");
}

static bool of_nodeport(const struct elem *e)
{
	enum elem_table t = elem_table(e);

	return t == ELEM_NODEPORTS || t == ELEM_INSIDE_NODEPORTS || t == ELEM_HOSTPORTS;
}

bool render_chain_name(char out[48], const struct elem *e)
{
	static const char *const masq[_MASQ_MAX] = { "plain", "outside", "masq", "loopback" };
	bool node = of_nodeport(e);
	struct verdict v;

	if (!elem_has_verdict(e))
		return false;
	v = verdict_unpack(e->val);
	if (v.kind != VERDICT_PICK)
		return false;
	(void)snprintf(out, 48, "%s%s%s_%s_%u", proto_name(e->proto), family[elem_v6(e)].six, node ? "_nodeport" : "",
		       v.inside ? "inside" : masq[v.masq], v.count);
	return true;
}

static void elem_value(struct buf *b, const struct elem *e)
{
	struct verdict v = verdict_unpack(e->val);
	char name[48];

	if (elem_has_endpoint(e)) {
		struct endpoint ep = elem_endpoint(e);

		buf_printf(b, " : " IP_FMT " . %u", IP_ARG(ep.addr), ep.port);
	} else if (render_chain_name(name, e)) {
		buf_printf(b, " : goto %s", name);
	} else if (elem_has_verdict(e) && v.kind == VERDICT_AFFINITY) {
		struct frontend_key k = { .addr = e->addr, .port = e->port, .proto = e->proto };

		k.v6 = ip_is_none(e->addr) && elem_v6(e);
		buf_adds(b, " : goto ");
		affinity_name(b, k, v.inside);
	} else if (elem_has_verdict(e)) {
		buf_adds(b, v.kind == VERDICT_DROP ? " : drop" : " : goto refused");
	}
}

/* Runs of one table make one command, of a bounded length. */
static void render_elems(struct buf *b, const struct render_cfg *c, const char *verb, const struct elem *e, size_t n,
			 bool values)
{
	size_t in_command = 0;

	for (size_t i = 0; i < n; i++) {
		if (in_command == 0)
			buf_printf(b, "%s element inet %s %s { ", verb, c->table, table_of(&e[i])->name);
		else
			buf_adds(b, ", ");
		elem_key(b, &e[i]);
		if (values)
			elem_value(b, &e[i]);
		in_command++;
		if (i + 1 == n || e[i + 1].table != e[i].table || in_command == ELEMS_PER_COMMAND) {
			buf_adds(b, " }\n");
			in_command = 0;
		}
	}
}

void render_del_elems(struct buf *b, const struct render_cfg *c, const struct elem *e, size_t n)
{
	render_elems(b, c, "delete", e, n, false);
}

void render_add_elems(struct buf *b, const struct render_cfg *c, const struct elem *e, size_t n)
{
	render_elems(b, c, "add", e, n, true);
}

/* --- chains --- */

void render_add_chain(struct buf *b, const struct render_cfg *c, const struct elem *e)
{
	struct verdict v = verdict_unpack(e->val);
	bool node = of_nodeport(e), v6 = elem_v6(e);
	enum elem_table map = elem_proto_table(node ? ELEM_NODEPORT_ENDPOINTS : ELEM_ENDPOINTS, e->proto);
	char name[48];

	if (!render_chain_name(name, e))
		return;
	buf_printf(b, "add chain inet %s %s {\n", c->table, name);
	rule_mark(b, c, v.masq, v6);
	buf_printf(b, "\t\tdnat %s to ", family[v6].ip);
	if (!node)
		buf_printf(b, "%s daddr . ", family[v6].ip);
	buf_printf(b, "%s dport . numgen random mod %u", proto_name(e->proto), v.count);
	if (v.inside)
		buf_printf(b, " offset %u", ELEM_INSIDE_BASE);
	buf_printf(b, " map @%s\n}\n", tables[v6][map].name);
}

void render_del_chain(struct buf *b, const struct render_cfg *c, const char *name)
{
	buf_printf(b, "flush chain inet %s %s\ndelete chain inet %s %s\n", c->table, name, c->table, name);
}

/* --- session affinity: a chain a frontend, a chain and a set of client addresses an endpoint --- */

void render_client_set(struct buf *b, struct frontend_key k, struct endpoint ep)
{
	affinity_name(b, k, false);
	buf_addc(b, '_');
	address_name(b, ep.addr);
	buf_printf(b, "_%u", ep.port);
}

void render_client(struct buf *b, const struct render_cfg *c, const char *set, uint32_t timeout_s,
		   struct ip_addr client, uint64_t expires_ms)
{
	expires_ms = MIN(expires_ms, (uint64_t)timeout_s * 1000);
	buf_printf(b, "add element inet %s %s { " IP_FMT " timeout %us expires %" PRIu64 "s%" PRIu64 "ms }\n", c->table,
		   set, IP_ARG(client), timeout_s, expires_ms / 1000, expires_ms % 1000);
}

static bool same_endpoint(struct endpoint a, struct endpoint b)
{
	return endpoint_cmp(&a, &b) == 0;
}

static bool render_has_endpoint(const struct endpoints *e, struct endpoint ep)
{
	for (size_t i = 0; i < e->n; i++) {
		if (same_endpoint(e->p[i], ep))
			return true;
	}
	return false;
}

static bool affinity_has(const struct affinity *a, struct endpoint ep)
{
	return a && (render_has_endpoint(&a->outer, ep) || render_has_endpoint(&a->inside, ep));
}

static void client_endpoint_add(struct buf *b, const struct render_cfg *c, const struct affinity *neu,
				struct endpoint ep, bool exists)
{
	_cleanup_(buf_release) struct buf name = BUF_INIT;
	bool v6 = frontend_v6(&neu->key);
	const char *n;

	render_client_set(&name, neu->key, ep);
	n = buf_cstr(&name);
	if (exists) {
		buf_printf(b, "flush chain inet %s %s\n", c->table, n);
	} else {
		buf_printf(b, "add set inet %s %s { type %s; flags dynamic,timeout; }\n", c->table, n, family[v6].type);
		buf_printf(b, "add chain inet %s %s\n", c->table, n);
	}
	buf_printf(b, "add rule inet %s %s update @%s { %s saddr timeout %us }\n", c->table, n, n, family[v6].ip,
		   neu->timeout_s);
	buf_printf(b, "add rule inet %s %s meta l4proto %s dnat %s to %s" IP_FMT "%s:%u\n", c->table, n,
		   proto_name(neu->key.proto), family[v6].ip, v6 ? "[" : "", IP_ARG(ep.addr), v6 ? "]" : "", ep.port);
}

static void client_endpoints_add(struct buf *b, const struct render_cfg *c, const struct affinity *old,
				 const struct affinity *neu, const struct endpoints *eps, const struct endpoints *done)
{
	for (size_t i = 0; i < eps->n; i++) {
		bool exists = affinity_has(old, eps->p[i]);

		if (done && render_has_endpoint(done, eps->p[i]))
			continue;
		if (!exists || old->timeout_s != neu->timeout_s)
			client_endpoint_add(b, c, neu, eps->p[i], exists);
	}
}

static void client_endpoints_del(struct buf *b, const struct render_cfg *c, const struct affinity *old,
				 const struct affinity *neu, const struct endpoints *eps, const struct endpoints *done)
{
	for (size_t i = 0; i < eps->n; i++) {
		_cleanup_(buf_release) struct buf name = BUF_INIT;

		if (affinity_has(neu, eps->p[i]) || (done && render_has_endpoint(done, eps->p[i])))
			continue;
		render_client_set(&name, old->key, eps->p[i]);
		render_del_chain(b, c, buf_cstr(&name));
		buf_printf(b, "delete set inet %s %s\n", c->table, buf_cstr(&name));
	}
}

/* The chain that sends a known client to its endpoint and any other to a random one. */
static void client_chain(struct buf *b, const struct render_cfg *c, const struct affinity *old,
			 const struct affinity *neu, bool inside)
{
	_cleanup_(buf_release) struct buf name = BUF_INIT;
	const struct endpoints *was = old ? (inside ? &old->inside : &old->outer) : NULL;
	const struct endpoints *is = neu ? (inside ? &neu->inside : &neu->outer) : NULL;

	bool v6 = frontend_v6(neu ? &neu->key : &old->key);

	affinity_name(&name, neu ? neu->key : old->key, inside);
	if (was && was->n)
		buf_printf(b, "flush chain inet %s %s\n", c->table, buf_cstr(&name));
	if (!is || !is->n) {
		if (was && was->n)
			buf_printf(b, "delete chain inet %s %s\n", c->table, buf_cstr(&name));
		return;
	}
	buf_printf(b, "add chain inet %s %s {\n", c->table, buf_cstr(&name));
	rule_mark(b, c, inside ? MASQ_OUTSIDE : neu->masq, v6);
	for (size_t i = 0; i < is->n; i++) {
		_cleanup_(buf_release) struct buf ep = BUF_INIT;

		render_client_set(&ep, neu->key, is->p[i]);
		buf_printf(b, "\t\t%s saddr @%s goto %s\n", family[v6].ip, buf_cstr(&ep), buf_cstr(&ep));
	}
	buf_printf(b, "\t\tnumgen random mod %zu vmap { ", is->n);
	for (size_t i = 0; i < is->n; i++) {
		buf_printf(b, "%s%zu : goto ", i ? ", " : "", i);
		render_client_set(b, neu->key, is->p[i]);
	}
	buf_adds(b, " }\n}\n");
}

void render_affinity(struct buf *b, const struct render_cfg *c, const struct affinity *old, const struct affinity *neu)
{
	if (neu) {
		client_endpoints_add(b, c, old, neu, &neu->outer, NULL);
		client_endpoints_add(b, c, old, neu, &neu->inside, &neu->outer);
	}
	client_chain(b, c, old, neu, false);
	client_chain(b, c, old, neu, true);
	if (old) {
		client_endpoints_del(b, c, old, neu, &old->outer, NULL);
		client_endpoints_del(b, c, old, neu, &old->inside, &old->outer);
	}
}
