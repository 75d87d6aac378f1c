/* Random policies, pods and edits: what the tracker's sets and chains allow is what the API's words say, read naively
 * from the objects; and what a tracker knows after many edits is what a new one would know at once. */
#include "policy_kit.h"

#include "netd/policy/netpol.h"

#include <sched.h>

#define PODS 14
#define NAMESPACES 4
#define POLICIES 8
#define ROUNDS 400

static uint64_t seed;

static unsigned pick(unsigned n)
{
	seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
	return (unsigned)(seed >> 33) % n;
}

struct cluster {
	struct obj *ns[NAMESPACES], *pods[PODS], *policies[POLICIES];
};

/* --- making --- */

static const char *labels(struct arena *a)
{
	static const char *const some[] = { "", "'a':'1'", "'a':'2'", "'b':'1'", "'a':'1','b':'2'", "'a':'2','b':'1'" };

	return arena_strdup(a, some[pick(ARRAY_LEN(some))]);
}

static const char *selector(void)
{
	static const char *const some[] = {
		"{}",
		"{'matchLabels':{'a':'1'}}",
		"{'matchLabels':{'b':'1'}}",
		"{'matchLabels':{'a':'2','b':'1'}}",
		"{'matchExpressions':[{'key':'a','operator':'In','values':['1','2']}]}",
		"{'matchExpressions':[{'key':'a','operator':'NotIn','values':['1']}]}",
		"{'matchExpressions':[{'key':'b','operator':'Exists'}]}",
		"{'matchExpressions':[{'key':'b','operator':'DoesNotExist'}],'matchLabels':{'a':'1'}}",
	};

	return some[pick(ARRAY_LEN(some))];
}

static const char *make_peer(struct arena *a)
{
	static const char *const blocks[] = {
		"{'cidr':'10.0.0.0/8'}",
		"{'cidr':'10.42.0.0/24','except':['10.42.0.4/30','10.42.0.9/32']}",
		"{'cidr':'0.0.0.0/0','except':['10.42.0.0/29','10.42.0.8/29','10.42.0.15/32']}",
		"{'cidr':'10.42.0.3/32'}",
		"{'cidr':'fd00::/8','except':['fd00::8/125']}",
		"{'cidr':'::/0'}",
		"{'cidr':'10.42.0.0/28','except':['10.42.0.0/28']}",
	};

	switch (pick(4)) {
	case 0:
		return arena_printf(a, "{'podSelector':%s}", selector());
	case 1:
		return arena_printf(a, "{'namespaceSelector':%s}", selector());
	case 2:
		return arena_printf(a, "{'namespaceSelector':%s,'podSelector':%s}", selector(), selector());
	default:
		return arena_printf(a, "{'ipBlock':%s}", blocks[pick(ARRAY_LEN(blocks))]);
	}
}

static const char *make_port(void)
{
	static const char *const some[] = {
		"{'port':80}",
		"{'port':80,'protocol':'UDP'}",
		"{'protocol':'UDP'}",
		"{'port':79,'endPort':81}",
		"{'port':'web'}",
		"{'port':'web','protocol':'UDP'}",
		"{'port':1,'endPort':65535,'protocol':'SCTP'}",
		"{'port':81},{'port':82,'endPort':90},{'port':90,'endPort':100}",
	};

	return some[pick(ARRAY_LEN(some))];
}

static const char *rules(struct arena *a, const char *whom)
{
	const char *all = "";

	for (unsigned n = pick(3); n > 0; n--) {
		const char *peers = "", *ports = "";

		for (unsigned k = pick(4); k > 0; k--)
			peers = arena_printf(a, "%s%s%s", peers, *peers ? "," : "", make_peer(a));
		for (unsigned k = pick(3); k > 0; k--)
			ports = arena_printf(a, "%s%s%s", ports, *ports ? "," : "", make_port());
		all = arena_printf(a, "%s%s{'%s':[%s],'ports':[%s]}", all, *all ? "," : "", whom, peers, ports);
	}
	return all;
}

static void remake(struct obj **slot, struct arena *a, int64_t rev, const char *text)
{
	(void)a;
	obj_unref(*slot);
	*slot = kit_obj(text, rev);
}

static void make_ns(struct cluster *c, struct arena *a, unsigned i, int64_t rev)
{
	remake(&c->ns[i], a, rev,
	       arena_printf(a, "{'kind':'Namespace','metadata':{'name':'n%u','labels':{%s}}}", i, labels(a)));
}

static void make_pod(struct cluster *c, struct arena *a, unsigned i, int64_t rev)
{
	static const char *const phases[] = { "Running", "Running", "Running", "Running", "Running", "Failed" };
	static const char *const ports[] = { "", "{'name':'web','containerPort':80}",
					     "{'name':'web','containerPort':8080}",
					     "{'name':'web','containerPort':80,'protocol':'UDP'}" };

	remake(&c->pods[i], a, rev,
	       arena_printf(a,
			    "{'kind':'Pod','metadata':{'name':'p%u','namespace':'n%u','uid':'u%u-%u','labels':{%s}},"
			    "'spec':{'nodeName':'n%u','hostNetwork':%s,'containers':[{'name':'c','ports':[%s]}]},"
			    "'status':{'phase':'%s','podIPs':[{'ip':'10.42.0.%u'},{'ip':'fd00::%x'}]}}",
			    i, i % NAMESPACES, i, pick(1000), labels(a), i % 3 ? 1 : 2, pick(8) ? "false" : "true",
			    ports[pick(ARRAY_LEN(ports))], phases[pick(ARRAY_LEN(phases))], i, i));
}

static void make_policy(struct cluster *c, struct arena *a, unsigned i, int64_t rev)
{
	static const char *const types[] = { "'policyTypes':['Ingress'],", "'policyTypes':['Egress'],",
					     "'policyTypes':['Ingress','Egress'],", "" };

	remake(&c->policies[i], a, rev,
	       arena_printf(a,
			    "{'kind':'NetworkPolicy','metadata':{'name':'p%u','namespace':'n%u'},'spec':{%s"
			    "'podSelector':%s,'ingress':[%s],'egress':[%s]}}",
			    i, i % NAMESPACES, types[pick(ARRAY_LEN(types))], selector(), rules(a, "from"),
			    rules(a, "to")));
}

/* --- what the API's words say --- */

static bool says_labels(const struct val *sel, const struct val *have)
{
	VAL_EACH_MEMBER(val_member(sel, F_matchLabels), m)
		if (!sv_eq(val_str(val_member_sv(have, m.key)), val_str(m.value)))
			return false;
	VAL_EACH(val_member(sel, F_matchExpressions), e) {
		const struct val *v = val_member_sv(have, val_get_str(e, F_key));
		struct sv op = val_get_str(e, F_operator);
		bool in = false;

		VAL_EACH(val_member(e, F_values), x)
			in |= v && sv_eq(val_str(v), val_str(x));
		if (sv_is(op, "In") ? !in : sv_is(op, "NotIn") ? in : sv_is(op, "Exists") ? !v : v != NULL)
			return false;
	}
	return true;
}

static const struct obj *says_ns(const struct cluster *c, struct sv name)
{
	for (int i = 0; i < NAMESPACES; i++)
		if (sv_eq(obj_name(c->ns[i]), name))
			return c->ns[i];
	return NULL;
}

static bool says_net(struct sv text, struct ip_addr ip)
{
	struct ip_net n;

	assert_true(ip_net_parse(text, &n));
	return ip_is_v4(n.addr) == ip_is_v4(ip) && ip_net_has(n, ip);
}

static bool says_peer(const struct cluster *c, const struct val *p, struct sv ns, const struct obj *pod,
		      struct ip_addr ip)
{
	const struct val *block = val_member(p, F_ipBlock), *sel = val_member(p, F_namespaceSelector);

	if (block) {
		VAL_EACH(val_member(block, F_except), e)
			if (says_net(val_str(e), ip))
				return false;
		return says_net(val_get_str(block, F_cidr), ip);
	}
	if (!pod)
		return false;
	if (sel ? !says_labels(sel, obj_labels(says_ns(c, obj_ns(pod)))) : !sv_eq(ns, obj_ns(pod)))
		return false;
	return says_labels(val_member(p, F_podSelector), obj_labels(pod));
}

static bool says_port(const struct val *p, const struct obj *to, unsigned proto, uint16_t port)
{
	static const char *const names[] = { "TCP", "UDP", "SCTP" };
	const struct val *v = val_member(p, F_port);
	struct sv said = val_get_str(p, F_protocol);

	if (!sv_is(said.n ? said : SV("TCP"), names[proto]))
		return false;
	if (!v)
		return true;
	if (val_type(v) == VAL_INT)
		return port >= v->i && port <= val_get_int(p, v->i, F_endPort);
	VAL_EACH(val_get(val_at(obj_get(to, F_spec, F_containers), 0), F_ports), x) {
		struct sv own = val_get_str(x, F_protocol);

		if (sv_eq(val_get_str(x, F_name), val_str(v)) && sv_is(own.n ? own : SV("TCP"), names[proto]) &&
		    val_get_int(x, 0, F_containerPort) == port)
			return true;
	}
	return false;
}

static bool says_any(const struct cluster *c, const struct val *list, enum sym whom, struct sv ns,
		     const struct obj *peer, struct ip_addr peer_ip, const struct obj *to, unsigned proto,
		     uint16_t port)
{
	VAL_EACH(list, r) {
		const struct val *peers = val_member(r, whom), *ports = val_member(r, F_ports);
		bool peer_ok = val_len(peers) == 0, port_ok = val_len(ports) == 0;

		VAL_EACH(peers, p)
			peer_ok |= says_peer(c, p, ns, peer, peer_ip);
		VAL_EACH(ports, p)
			port_ok |= says_port(p, to, proto, port);
		if (peer_ok && port_ok)
			return true;
	}
	return false;
}

static const struct obj *speaker(const struct cluster *c, int i)
{
	return c->pods[i] && netpol_pod_speaks(c->pods[i]) ? c->pods[i] : NULL;
}

/* Of those policies in one direction that select it: is there any? */
static bool says_selects(const struct obj *p, const struct obj *pod, int d)
{
	const struct val *types = p ? obj_get(p, F_spec, F_policyTypes) : NULL;
	bool of_dir = false;

	if (!p || !sv_eq(obj_ns(p), obj_ns(pod)) || !says_labels(obj_get(p, F_spec, F_podSelector), obj_labels(pod)))
		return false;
	VAL_EACH(types, x)
		of_dir |= val_is(x, d == NETPOL_INGRESS ? "Ingress" : "Egress");
	return types ? of_dir : d == NETPOL_INGRESS || val_len(obj_get(p, F_spec, F_egress)) > 0;
}

static bool says_here(const struct obj *pod)
{
	return pod && val_is(obj_get(pod, F_spec, F_nodeName), "n1");
}

static bool says(const struct cluster *c, int f, int t, bool v6, unsigned proto, uint16_t port)
{
	const struct obj *from = speaker(c, f), *to = speaker(c, t);
	struct ip_addr ips[2];

	for (int i = 0; i < 2; i++) {
		ips[i] = kit_ip(v6 ? "fd00::" : "10.42.0.0");
		ips[i].b[15] = (uint8_t)(i ? t : f);
	}
	for (int d = 0; d < NETPOL_DIRS && f != t; d++) {
		const struct obj *self = d == NETPOL_INGRESS ? to : from, *peer = d == NETPOL_INGRESS ? from : to;
		bool isolated = false, ok = false;

		for (int i = 0; i < POLICIES && says_here(self); i++) {
			const struct obj *p = c->policies[i];

			if (!says_selects(p, self, d))
				continue;
			isolated = true;
			ok |= says_any(c, obj_get(p, F_spec, d == NETPOL_INGRESS ? F_ingress : F_egress),
				       d == NETPOL_INGRESS ? F_from : F_to, obj_ns(p), peer,
				       ips[d == NETPOL_INGRESS ? 0 : 1], to, proto, port);
		}
		if (isolated && !ok)
			return false;
	}
	return true;
}

/* --- comparing --- */

static void compare(const struct cluster *c, const struct netpol_track *t)
{
	static const uint16_t ports[] = { 80, 81, 90, 8080 };

	for (int k = 0; k < 120; k++) {
		unsigned proto = pick(3);
		uint16_t port = ports[pick(ARRAY_LEN(ports))];
		int f = (int)pick(PODS), to = (int)pick(PODS);
		bool v6 = pick(2);
		struct ip_addr a = kit_ip(v6 ? "fd00::" : "10.42.0.0"), b = a;

		a.b[15] = (uint8_t)f;
		b.b[15] = (uint8_t)to;
		if (netpol_track_allows(t, a, b, proto, port) != says(c, f, to, v6, proto, port)) {
			for (int i = 0; i < POLICIES; i++)
				if (c->policies[i])
					print_message("%.*s\n", SV_ARG(obj_json(c->policies[i])));
			fail_msg("seed %" PRIu64 ": pod %d -> %d, %s, protocol %u port %u: should be %d", seed, f, to,
				 v6 ? "IPv6" : "IPv4", proto, port, says(c, f, to, v6, proto, port));
		}
	}
}

static bool listed(const struct ip_addr *list, size_t n, struct ip_addr ip)
{
	for (size_t i = 0; i < n; i++)
		if (ip_eq(list[i], ip))
			return true;
	return false;
}

/* Takes the transaction, and has as isolated who is. */
static void kernel_takes(const struct cluster *c, struct netpol_backend *b, struct sv commands)
{
	struct netpol_left left = { .ingress = VEC_INIT };
	struct err err = ERR_INIT;

	if (commands.n && b->apply(b, commands, &err) < 0)
		fail_msg("seed %" PRIu64 ": %s\n%.*s", seed, err_msg(&err), SV_ARG(commands));
	assert_true(b->left(b, &left, &err) >= 0);
	for (int i = 0; i < PODS; i++) {
		const struct obj *pod = speaker(c, i);
		struct ip_addr ip = kit_ip("fd00::");
		bool want[NETPOL_DIRS] = { false, false };

		ip.b[15] = (uint8_t)i;
		for (int k = 0; k < POLICIES && says_here(pod); k++)
			for (int d = 0; d < NETPOL_DIRS; d++)
				want[d] |= says_selects(c->policies[k], pod, d);
		assert_int_equal(want[NETPOL_INGRESS], listed(left.ingress.p, left.ingress.n, ip));
		assert_int_equal(want[NETPOL_EGRESS], listed(left.egress.p, left.egress.n, ip));
	}
	netpol_left_release(&left);
}

/* b: NULL: no kernel. */
static void many_edits(int rounds, struct netpol_backend *b)
{
	struct cluster c = { 0 };
	struct pworld w;
	int64_t rev = 1;

	pworld_init(&w);
	for (unsigned i = 0; i < NAMESPACES; i++) {
		_cleanup_(arena_release) struct arena a = ARENA_INIT;

		make_ns(&c, &a, i, ++rev);
		netpol_track_namespace(w.t, obj_name(c.ns[i]), c.ns[i]);
	}
	for (int round = 0; round < rounds; round++) {
		_cleanup_(arena_release) struct arena a = ARENA_INIT;
		unsigned i;

		seed = (uint64_t)round * 7919 + 1;
		for (unsigned edits = pick(4) + 1; edits > 0; edits--)
			switch (pick(8)) {
			case 0:
				i = pick(NAMESPACES);
				make_ns(&c, &a, i, ++rev);
				netpol_track_namespace(w.t, obj_name(c.ns[i]), c.ns[i]);
				break;
			case 1:
			case 2:
			case 3:
				i = pick(PODS);
				make_pod(&c, &a, i, ++rev);
				netpol_track_pod(w.t, obj_ns(c.pods[i]), obj_name(c.pods[i]), c.pods[i]);
				break;
			case 4:
				i = pick(PODS);
				if (c.pods[i]) {
					netpol_track_pod(w.t, obj_ns(c.pods[i]), obj_name(c.pods[i]), NULL);
					c.pods[i] = obj_unref(c.pods[i]);
				}
				break;
			case 5:
				i = pick(POLICIES);
				if (c.policies[i]) {
					netpol_track_policy(w.t, obj_ns(c.policies[i]), obj_name(c.policies[i]), NULL,
							    false);
					c.policies[i] = obj_unref(c.policies[i]);
				}
				break;
			default:
				i = pick(POLICIES);
				make_policy(&c, &a, i, ++rev);
				netpol_track_policy(w.t, obj_ns(c.policies[i]), obj_name(c.policies[i]), c.policies[i],
						    false);
			}
		if (round % 50 == 49)
			netpol_track_reset(w.t);
		commit(&w);
		compare(&c, w.t);
		if (b)
			kernel_takes(&c, b, buf_sv(&w.last));
		commit(&w);
		assert_int_equal(w.last.n, 0); /* it is as wanted now */
	}
	for (unsigned i = 0; i < PODS; i++)
		obj_unref(c.pods[i]);
	for (unsigned i = 0; i < POLICIES; i++)
		obj_unref(c.policies[i]);
	for (unsigned i = 0; i < NAMESPACES; i++)
		obj_unref(c.ns[i]);
	pworld_release(&w);
}

static void test_as_the_api_says(_unused_ void **state)
{
	many_edits(ROUNDS, NULL);
}

static void test_the_kernel_takes_it(_unused_ void **state)
{
	struct err err = ERR_INIT;
	struct netpol_backend *b = unshare(CLONE_NEWNET) < 0 ? NULL : netpol_backend_nft_new("tab", NULL, &err);

	if (!b) {
		print_message("# needs root and nftables: %s\n", err.reason ? err_msg(&err) : "no network namespace");
		err_release(&err);
		skip();
	}
	many_edits(ROUNDS / 4, b);
	assert_true(b->intact(b));
	b->free(b);
	assert_true(netpol_cleanup("tab", NULL, NULL, &err) >= 0);
	assert_int_equal(netpol_cleanup("tab", NULL, NULL, &err), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_as_the_api_says),
					    cmocka_unit_test(test_the_kernel_takes_it) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
