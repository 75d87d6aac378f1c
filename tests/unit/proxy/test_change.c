/* The tracker and the text it makes. */
#include "costs.h"
#include "proxy_kit.h"

#include "proxy/change.h"

#include <netinet/in.h>
#include <stdio.h>

static struct render_cfg cfg = {
	.table = "t",
	.cluster = { .net = { { { { [10] = 0xff, 0xff, 10, 42 } }, 112 }, { { { 0xfd, 0x42 } }, 48 } },
		     .has = { true, true } },
	.bridge_nf = true,
};

static struct endpoint ep(unsigned last)
{
	return (struct endpoint){ .addr = ip_v4(0x0a2a0000 + last), .port = 8080, .local = last < 100 };
}

static struct frontend fe(uint32_t addr, uint16_t port, struct endpoint *p, size_t n)
{
	return (struct frontend){ .key = { .addr = addr ? ip_v4(addr) : IP_NONE, .port = port, .proto = IPPROTO_TCP },
				  .masq = addr ? MASQ_OUTSIDE : MASQ_ALL,
				  .cluster_ip = addr != 0,
				  .outer = { p, n } };
}

/* Updates one Service and returns the commands. */
static const char *update(struct change_tracker *t, const char *key, const struct frontend *f, size_t n)
{
	static struct buf out;
	struct service_update u = { sv_from(key), f, n };
	_cleanup_(changes_release) struct changes c = { 0 };

	change_update(t, &u, 1, NULL, &c);
	buf_clear(&out);
	buf_adds(&out, "");
	buf_addsv(&out, buf_sv(&c.commands));
	return buf_cstr(&out);
}

/* A tracker whose empty table is in place. */
static struct change_tracker *begun(void)
{
	struct change_tracker *t = change_tracker_new(&cfg);
	_cleanup_(changes_release) struct changes c = { 0 };

	change_update(t, NULL, 0, NULL, &c);
	assert_true(sv_starts(buf_sv(&c.commands), SV("add table inet t\ndelete table inet t\ntable inet t {\n")));
	return t;
}

#define VIP 0x0a2b0001

static void test_one_service(_unused_ void **state)
{
	struct change_tracker *t = begun();
	struct endpoint two[] = { ep(2), ep(103) };
	struct frontend f = fe(VIP, 80, two, 2);

	assert_string_equal(update(t, "default/web", &f, 1),
			    "add chain inet t tcp_outside_2 {\n"
			    "\t\tip saddr != 10.42.0.0/16 meta mark set meta mark | 0x4000\n"
			    "\t\tdnat ip to ip daddr . tcp dport . numgen random mod 2 map @tcp_endpoints\n"
			    "}\n"
			    "add element inet t service_ips { 10.43.0.1 . tcp . 80 : goto tcp_outside_2 }\n"
			    "add element inet t tcp_endpoints { 10.43.0.1 . 80 . 0 : 10.42.0.2 . 8080, "
			    "10.43.0.1 . 80 . 1 : 10.42.0.103 . 8080 }\n"
			    "add element inet t cluster_ips { 10.43.0.1 }\n"
			    "add element inet t hairpins { 10.42.0.2 . 10.42.0.2 }\n");
	/* The same again is nothing. */
	assert_string_equal(update(t, "default/web", &f, 1), "");
	assert_int_equal(change_count(t), 1);
	/* Gone: elements only; the chain is kept for the next one with two endpoints. */
	assert_string_equal(update(t, "default/web", NULL, 0),
			    "delete element inet t service_ips { 10.43.0.1 . tcp . 80 }\n"
			    "delete element inet t tcp_endpoints { 10.43.0.1 . 80 . 0, 10.43.0.1 . 80 . 1 }\n"
			    "delete element inet t cluster_ips { 10.43.0.1 }\n"
			    "delete element inet t hairpins { 10.42.0.2 . 10.42.0.2 }\n");
	assert_int_equal(change_count(t), 0);
	change_tracker_free(t);
}

/* The first of three goes: the last one takes its index, the one between stays where it is. */
static void test_stable_indexes(_unused_ void **state)
{
	struct change_tracker *t = begun();
	struct endpoint three[] = { ep(101), ep(102), ep(103) };
	struct frontend f = fe(VIP, 80, three, 3), g = fe(VIP, 80, three + 1, 2);
	const char *text;

	(void)update(t, "default/web", &f, 1);
	text = update(t, "default/web", &g, 1);
	assert_non_null(strstr(text, "delete element inet t tcp_endpoints { 10.43.0.1 . 80 . 0, "
				     "10.43.0.1 . 80 . 2 }\n"));
	assert_non_null(strstr(text, "add element inet t tcp_endpoints { 10.43.0.1 . 80 . 0 : 10.42.0.103 . 8080 }\n"));
	/* And it comes back at the end. */
	text = update(t, "default/web", &f, 1);
	assert_non_null(strstr(text, "add element inet t tcp_endpoints { 10.43.0.1 . 80 . 2 : 10.42.0.101 . 8080 }\n"));
	assert_null(strstr(text, "delete element inet t tcp_endpoints"));
	assert_null(strstr(text, "add chain"));
	change_tracker_free(t);
}

static void test_refusals(_unused_ void **state)
{
	struct change_tracker *t = begun();
	struct endpoint one[] = { ep(2) };
	struct frontend f = fe(VIP, 80, NULL, 0), g = fe(VIP, 80, one, 1), d = fe(0, 30080, NULL, 0);

	assert_string_equal(update(t, "default/web", &f, 1),
			    "add element inet t refused_ips { 10.43.0.1 . tcp . 80 : goto refused }\n"
			    "add element inet t cluster_ips { 10.43.0.1 }\n");
	assert_non_null(
	    strstr(update(t, "default/web", &g, 1), "delete element inet t refused_ips { 10.43.0.1 . tcp . 80 }\n"));
	d.drop = true;
	assert_string_equal(update(t, "default/node", &d, 1),
			    "add element inet t refused_nodeports { tcp . 30080 : drop }\n");
	change_tracker_free(t);
}

/* externalTrafficPolicy: Local: outside clients get this node's endpoints, with their address kept. */
static void test_split(_unused_ void **state)
{
	struct change_tracker *t = begun();
	struct endpoint both[] = { ep(2), ep(103) };
	struct frontend f = fe(0, 30080, both, 1);
	const char *text;

	f.masq = MASQ_NONE;
	f.split = true;
	f.inside = (struct endpoints){ both, 2 };
	text = update(t, "default/web", &f, 1);
	assert_non_null(strstr(text, "add chain inet t tcp_nodeport_plain_1 {\n\t\tdnat ip to tcp dport . "
				     "numgen random mod 1 map @tcp_nodeport_endpoints\n"));
	assert_non_null(strstr(text, "add chain inet t tcp_nodeport_inside_2 {\n"
				     "\t\tip saddr != 10.42.0.0/16 meta mark set meta mark | 0x4000\n"));
	assert_non_null(strstr(text, "numgen random mod 2 offset 65536 map @tcp_nodeport_endpoints\n"));
	assert_non_null(strstr(text, "add element inet t nodeports { tcp . 30080 : goto tcp_nodeport_plain_1 }\n"));
	assert_non_null(strstr(text, "add element inet t inside_nodeports { tcp . 30080 : goto "
				     "tcp_nodeport_inside_2 }\n"));
	assert_non_null(strstr(text, "{ 30080 . 0 : 10.42.0.2 . 8080, 30080 . 65536 : 10.42.0.2 . 8080, "
				     "30080 . 65537 : 10.42.0.103 . 8080 }\n"));
	change_tracker_free(t);
}

static void test_affinity(_unused_ void **state)
{
	struct change_tracker *t = begun();
	struct endpoint two[] = { ep(102), ep(103) };
	struct frontend f = fe(VIP, 80, two, 2);

	f.affinity_s = 60;
	f.cluster_ip = false;
	assert_string_equal(
	    update(t, "default/web", &f, 1),
	    "add set inet t client_10.43.0.1_tcp_80_10.42.0.102_8080 { type ipv4_addr; flags dynamic,timeout; }\n"
	    "add chain inet t client_10.43.0.1_tcp_80_10.42.0.102_8080\n"
	    "add rule inet t client_10.43.0.1_tcp_80_10.42.0.102_8080 update @client_10.43.0.1_tcp_80_10.42.0.102_8080 "
	    "{ ip saddr timeout 60s }\n"
	    "add rule inet t client_10.43.0.1_tcp_80_10.42.0.102_8080 meta l4proto tcp dnat ip to 10.42.0.102:8080\n"
	    "add set inet t client_10.43.0.1_tcp_80_10.42.0.103_8080 { type ipv4_addr; flags dynamic,timeout; }\n"
	    "add chain inet t client_10.43.0.1_tcp_80_10.42.0.103_8080\n"
	    "add rule inet t client_10.43.0.1_tcp_80_10.42.0.103_8080 update @client_10.43.0.1_tcp_80_10.42.0.103_8080 "
	    "{ ip saddr timeout 60s }\n"
	    "add rule inet t client_10.43.0.1_tcp_80_10.42.0.103_8080 meta l4proto tcp dnat ip to 10.42.0.103:8080\n"
	    "add chain inet t client_10.43.0.1_tcp_80 {\n"
	    "\t\tip saddr != 10.42.0.0/16 meta mark set meta mark | 0x4000\n"
	    "\t\tip saddr @client_10.43.0.1_tcp_80_10.42.0.102_8080 goto client_10.43.0.1_tcp_80_10.42.0.102_8080\n"
	    "\t\tip saddr @client_10.43.0.1_tcp_80_10.42.0.103_8080 goto client_10.43.0.1_tcp_80_10.42.0.103_8080\n"
	    "\t\tnumgen random mod 2 vmap { 0 : goto client_10.43.0.1_tcp_80_10.42.0.102_8080, "
	    "1 : goto client_10.43.0.1_tcp_80_10.42.0.103_8080 }\n"
	    "}\n"
	    "add element inet t service_ips { 10.43.0.1 . tcp . 80 : goto client_10.43.0.1_tcp_80 }\n");
	/* One goes: the other keeps its clients, and the frontend's own element is not touched. */
	f.outer = (struct endpoints){ two + 1, 1 };
	assert_string_equal(update(t, "default/web", &f, 1),
			    "flush chain inet t client_10.43.0.1_tcp_80\n"
			    "add chain inet t client_10.43.0.1_tcp_80 {\n"
			    "\t\tip saddr != 10.42.0.0/16 meta mark set meta mark | 0x4000\n"
			    "\t\tip saddr @client_10.43.0.1_tcp_80_10.42.0.103_8080 goto "
			    "client_10.43.0.1_tcp_80_10.42.0.103_8080\n"
			    "\t\tnumgen random mod 1 vmap { 0 : goto client_10.43.0.1_tcp_80_10.42.0.103_8080 }\n"
			    "}\n"
			    "flush chain inet t client_10.43.0.1_tcp_80_10.42.0.102_8080\n"
			    "delete chain inet t client_10.43.0.1_tcp_80_10.42.0.102_8080\n"
			    "delete set inet t client_10.43.0.1_tcp_80_10.42.0.102_8080\n");
	/* Without affinity it is a frontend like others. */
	f.affinity_s = 0;
	assert_true(sv_starts(sv_from(update(t, "default/web", &f, 1)),
			      SV("delete element inet t service_ips { 10.43.0.1 . tcp . 80 }\n"
				 "flush chain inet t client_10.43.0.1_tcp_80\n"
				 "delete chain inet t client_10.43.0.1_tcp_80\n"
				 "flush chain inet t client_10.43.0.1_tcp_80_10.42.0.103_8080\n"
				 "delete chain inet t client_10.43.0.1_tcp_80_10.42.0.103_8080\n"
				 "delete set inet t client_10.43.0.1_tcp_80_10.42.0.103_8080\n"
				 "add chain inet t tcp_outside_1 {\n")));
	change_tracker_free(t);
}

/* Endpoints of several Services: the hairpin element is there as long as one of them needs it. */
static void test_shared(_unused_ void **state)
{
	struct change_tracker *t = begun();
	struct endpoint one[] = { ep(2) };
	struct frontend f = fe(VIP, 80, one, 1), g = fe(VIP + 1, 80, one, 1);

	assert_non_null(strstr(update(t, "default/a", &f, 1), "hairpins"));
	assert_null(strstr(update(t, "default/b", &g, 1), "hairpins"));
	assert_null(strstr(update(t, "default/a", NULL, 0), "hairpins"));
	assert_non_null(
	    strstr(update(t, "default/b", NULL, 0), "delete element inet t hairpins { 10.42.0.2 . 10.42.0.2 }"));
	change_tracker_free(t);
}

static void count_loser(struct sv key, void *ctx)
{
	assert_sv(key, "default/b");
	++*(int *)ctx;
}

static void test_conflict(_unused_ void **state)
{
	struct change_tracker *t = begun();
	struct endpoint eps[] = { ep(102), ep(103) };
	struct frontend f = fe(0xc0000209, 80, eps, 1), g = fe(0xc0000209, 80, eps + 1, 1);
	struct service_update both[] = { { SV("default/b"), &g, 1 }, { SV("default/a"), NULL, 0 } };
	_cleanup_(changes_release) struct changes c = { 0 };
	int losers = 0;

	f.cluster_ip = g.cluster_ip = false;
	(void)update(t, "default/a", &f, 1);
	assert_string_equal(update(t, "default/b", &g, 1), "");
	change_each_loser(t, count_loser, &losers);
	assert_int_equal(losers, 1);
	/* The owner goes: the other has it in the same transaction. */
	change_update(t, both, 2, NULL, &c);
	assert_string_equal(buf_cstr(&c.commands),
			    "delete element inet t service_ips { 192.0.2.9 . tcp . 80 }\n"
			    "delete element inet t tcp_endpoints { 192.0.2.9 . 80 . 0 }\n"
			    "add element inet t service_ips { 192.0.2.9 . tcp . 80 : goto tcp_outside_1 }\n"
			    "add element inet t tcp_endpoints { 192.0.2.9 . 80 . 0 : 10.42.0.103 . 8080 }\n");
	losers = 0;
	change_each_loser(t, count_loser, &losers);
	assert_int_equal(losers, 0);
	change_tracker_free(t);
}

/* Somebody has written into his externalIPs what then becomes another Service's ClusterIP. */
static void test_cluster_ip_wins(_unused_ void **state)
{
	struct change_tracker *t = begun();
	struct endpoint eps[] = { ep(102), ep(103) };
	struct frontend f[] = { fe(VIP, 80, eps, 1), fe(VIP, 81, eps, 1) }, g = fe(VIP, 80, eps + 1, 1);
	struct service_update both[] = { { SV("default/b"), f, 2 }, { SV("default/web"), &g, 1 } };
	_cleanup_(changes_release) struct changes c = { 0 };
	int losers = 0;

	f[0].cluster_ip = f[1].cluster_ip = false;
	f[0].affinity_s = 60;
	(void)update(t, "default/b", f, 2);
	assert_string_equal(update(t, "default/web", &g, 1),
			    "delete element inet t service_ips { 10.43.0.1 . tcp . 80 }\n"
			    "flush chain inet t client_10.43.0.1_tcp_80\n"
			    "delete chain inet t client_10.43.0.1_tcp_80\n"
			    "flush chain inet t client_10.43.0.1_tcp_80_10.42.0.102_8080\n"
			    "delete chain inet t client_10.43.0.1_tcp_80_10.42.0.102_8080\n"
			    "delete set inet t client_10.43.0.1_tcp_80_10.42.0.102_8080\n"
			    "add element inet t service_ips { 10.43.0.1 . tcp . 80 : goto tcp_outside_1 }\n"
			    "add element inet t tcp_endpoints { 10.43.0.1 . 80 . 0 : 10.42.0.103 . 8080 }\n"
			    "add element inet t cluster_ips { 10.43.0.1 }\n");
	change_each_loser(t, count_loser, &losers);
	assert_int_equal(losers, 1);
	assert_string_equal(update(t, "default/b", f, 2), "");
	assert_string_equal(update(t, "default/web", &g, 1), "");
	/* All at once, as after a start, and the one who came first in the list. */
	change_reset(t, false);
	change_update(t, both, 2, NULL, &c);
	assert_non_null(strstr(buf_cstr(&c.commands), "10.43.0.1 . 80 . 0 : 10.42.0.103 . 8080"));
	assert_null(strstr(buf_cstr(&c.commands), "10.43.0.1 . 80 . 0 : 10.42.0.102 . 8080"));
	losers = 0;
	change_each_loser(t, count_loser, &losers);
	assert_int_equal(losers, 1);
	assert_false(change_freed(t));
	/* It goes: then it is free for whoever wants it. */
	(void)update(t, "default/web", NULL, 0);
	assert_true(change_freed(t));
	assert_false(change_freed(t));
	assert_non_null(strstr(update(t, "default/b", f, 2), "10.43.0.1 . tcp . 80"));
	change_tracker_free(t);
}

static void test_pods_and_ranges(_unused_ void **state)
{
	struct change_tracker *t = begun();
	struct ip_net pods = { ip_v4(0x0a2a0000), 120 }, from = { ip_v4(0x14000000), 104 };
	struct frontend f = fe(0xc0000209, 80, NULL, 0);
	struct service_update u = { SV("default/lb"), &f, 1 };
	_cleanup_(changes_release) struct changes c = { 0 };

	f.cluster_ip = false;
	f.firewalled = true;
	f.ranges = &from;
	f.n_ranges = 1;
	change_update(t, &u, 1, &(struct node_ranges){ .pods = &pods, .n_pods = 1 }, &c);
	assert_string_equal(buf_cstr(&c.commands),
			    "add element inet t refused_ips { 192.0.2.9 . tcp . 80 : goto refused }\n"
			    "add element inet t guarded_ips { 192.0.2.9 . tcp . 80 }\n"
			    "add element inet t source_ranges { 192.0.2.9 . tcp . 80 . 20.0.0.0/8 }\n"
			    "add element inet t pod_ranges { 10.42.0.0/24 }\n");
	change_tracker_free(t);
}

static struct ip_addr six(unsigned net, unsigned last)
{
	return (struct ip_addr){ { 0xfd, (uint8_t)net, [15] = (uint8_t)last } };
}

/* The same in maps, chains and sets of their own. */
static void test_ipv6(_unused_ void **state)
{
	struct change_tracker *t = begun();
	struct endpoint one[] = { { .addr = six(0x42, 2), .port = 8080, .local = true } };
	struct frontend f = fe(VIP, 80, one, 1), n = fe(0, 30080, one, 1), r = fe(VIP, 81, NULL, 0);
	struct ip_net ranges[] = { { six(0x42, 0), 64 }, { ip_v4(0x0a2a0000), 120 } }, from = { six(0x50, 0), 16 };
	struct ip_net mine = { six(0x60, 7), 128 };
	struct node_ranges node = { ranges, &mine, 2, 1 };
	struct service_update u = { SV("default/lb"), &r, 1 };
	_cleanup_(changes_release) struct changes c = { 0 };

	f.key.addr = r.key.addr = six(0x43, 1);
	assert_string_equal(update(t, "default/web", &f, 1),
			    "add chain inet t tcp6_outside_1 {\n"
			    "\t\tip6 saddr != fd42::/48 meta mark set meta mark | 0x4000\n"
			    "\t\tdnat ip6 to ip6 daddr . tcp dport . numgen random mod 1 map @tcp_endpoints6\n"
			    "}\n"
			    "add element inet t service_ips6 { fd43::1 . tcp . 80 : goto tcp6_outside_1 }\n"
			    "add element inet t tcp_endpoints6 { fd43::1 . 80 . 0 : fd42::2 . 8080 }\n"
			    "add element inet t cluster_ips6 { fd43::1 }\n"
			    "add element inet t hairpins6 { fd42::2 . fd42::2 }\n");
	n.key.v6 = true;
	assert_string_equal(update(t, "default/node", &n, 1),
			    "add chain inet t tcp6_nodeport_masq_1 {\n"
			    "\t\tmeta mark set meta mark | 0x4000\n"
			    "\t\tdnat ip6 to tcp dport . numgen random mod 1 map @tcp_nodeport_endpoints6\n"
			    "}\n"
			    "add element inet t nodeports6 { tcp . 30080 : goto tcp6_nodeport_masq_1 }\n"
			    "add element inet t tcp_nodeport_endpoints6 { 30080 . 0 : fd42::2 . 8080 }\n");
	r.firewalled = true;
	r.ranges = &from;
	r.n_ranges = 1;
	change_update(t, &u, 1, &node, &c);
	assert_string_equal(buf_cstr(&c.commands),
			    "add element inet t pod_ranges { 10.42.0.0/24 }\n"
			    "add element inet t refused_ips6 { fd43::1 . tcp . 81 : goto refused }\n"
			    "add element inet t guarded_ips6 { fd43::1 . tcp . 81 }\n"
			    "add element inet t source_ranges6 { fd43::1 . tcp . 81 . fd50::/16 }\n"
			    "add element inet t pod_ranges6 { fd42::/64 }\n"
			    "add element inet t nodeport_ips6 { fd60::7/128 }\n");
	f.affinity_s = 60;
	assert_non_null(
	    strstr(update(t, "default/web", &f, 1),
		   "add set inet t client_fd43__1_tcp_80_fd42__2_8080 { type ipv6_addr; flags dynamic,timeout; }\n"
		   "add chain inet t client_fd43__1_tcp_80_fd42__2_8080\n"
		   "add rule inet t client_fd43__1_tcp_80_fd42__2_8080 update "
		   "@client_fd43__1_tcp_80_fd42__2_8080 { ip6 saddr timeout 60s }\n"
		   "add rule inet t client_fd43__1_tcp_80_fd42__2_8080 meta l4proto tcp dnat ip6 to "
		   "[fd42::2]:8080\n"));
	change_tracker_free(t);
}

static void test_udp(_unused_ void **state)
{
	struct change_tracker *t = begun();
	struct endpoint two[] = { ep(102), ep(103) };
	struct frontend f = fe(VIP, 53, two, 2);
	struct service_update u = { SV("default/dns"), &f, 1 };
	struct changes c;

	f.key.proto = IPPROTO_UDP;
	for (int i = 0; i < 3; i++) {
		/* New; unchanged; one endpoint less. */
		f.outer.n = i < 2 ? 2 : 1;
		change_update(t, &u, 1, NULL, &c);
		assert_int_equal(c.flows.n, i != 1);
		if (c.flows.n)
			assert_int_equal(c.flows.p[0].now.n, f.outer.n);
		changes_release(&c);
	}
	/* The other one goes on serving those it serves; then it does not, which no element shows. */
	for (int i = 0; i < 3; i++) {
		f.lasting = (struct endpoints){ two, i < 2 ? 2 : 1 };
		change_update(t, &u, 1, NULL, &c);
		assert_int_equal(c.commands.n, 0);
		assert_int_equal(c.flows.n, i != 1);
		if (c.flows.n)
			assert_int_equal(c.flows.p[0].now.n, 1 + f.lasting.n);
		changes_release(&c);
	}
	u.n = 0;
	change_update(t, &u, 1, NULL, &c);
	assert_int_equal(c.flows.n, 1);
	assert_int_equal(c.flows.p[0].now.n, 0);
	changes_release(&c);
	change_tracker_free(t);
}

/* Chains without users do not pile up, and never one in use goes. */
static void test_idle_chains(_unused_ void **state)
{
	struct change_tracker *t = begun();
	struct endpoint many[64];
	size_t dropped = 0;

	for (unsigned i = 0; i < 64; i++)
		many[i] = ep(101 + i);
	for (size_t n = 1; n <= 64; n++) {
		struct frontend f = fe(VIP, 80, many, n);
		const char *text = update(t, "default/web", &f, 1);

		for (const char *at = text; (at = strstr(at, "delete chain inet t ")); at++) {
			_cleanup_free_ char *mine = xasprintf("tcp_outside_%zu\n", n);

			dropped++;
			assert_null(strstr(at, mine));
		}
	}
	assert_int_equal(dropped, 33);
	change_tracker_free(t);
}

/* Any sequence of updates leads to what a fresh start with the last state would: elements are counted by
 * replaying the text. */
static void test_random_walk(_unused_ void **state)
{
	struct change_tracker *t = begun();
	struct endpoint eps[8];
	uint64_t x = 88172645463325252;
	int64_t balance = 0;

	for (int step = 0; step < 3000; step++) {
		struct frontend f[3];
		struct service_update u[2];
		char key[2][16];
		size_t n_u = 1 + (x >> 7) % 2;
		struct changes c;

		for (size_t i = 0; i < n_u; i++) {
			size_t n = 0;
			unsigned who;

			x ^= x << 13, x ^= x >> 7, x ^= x << 17;
			who = (unsigned)(x % 5) * 2 + (unsigned)i;
			for (unsigned k = 0; k < 8; k++)
				if (x >> (16 + k) & 1)
					eps[n++] = ep(98 + k);
			/* Addresses overlap between Services on purpose. */
			f[i] = fe(0xc0000200 + who / 3, 80, xmemdup(eps, sizeof(eps)), n);
			f[i].cluster_ip = x >> 52 & 1;
			f[i].affinity_s = x >> 40 & 3 ? 0 : 9;
			(void)snprintf(key[i], sizeof(key[i]), "d/s%u", who);
			u[i] = (struct service_update){ sv_from(key[i]), &f[i], x >> 50 & 1 };
		}
		change_update(t, u, n_u, NULL, &c);
		balance += (int64_t)c.adds - (int64_t)c.dels;
		assert_true(balance >= 0);
		changes_release(&c);
		for (size_t i = 0; i < n_u; i++)
			free(f[i].outer.p);
	}
	for (unsigned who = 0; who < 10; who++) {
		_cleanup_free_ char *key = xasprintf("d/s%u", who);
		struct service_update u = { sv_from(key), NULL, 0 };
		struct changes c;

		change_update(t, &u, 1, NULL, &c);
		balance += (int64_t)c.adds - (int64_t)c.dels;
		changes_release(&c);
	}
	assert_int_equal(balance, 0);
	assert_int_equal(change_count(t), 0);
	change_tracker_free(t);
}

/* A Service of n addresses, of which some go, some come and some change, with and without affinity. */
static void run_large(struct cost *c, size_t n, const void *arg)
{
	struct change_tracker *t = begun();
	struct frontend *f = xcalloc(n, sizeof(*f));
	struct endpoint two[] = { ep(2), ep(3) };

	(void)arg;
	for (size_t i = 0; i < n; i++) {
		f[i] = fe(VIP + (uint32_t)i, 80, two, 1);
		f[i].affinity_s = 60;
	}
	(void)update(t, "default/web", f, n);
	cost_begin(c);
	for (size_t i = 0; i < n; i += 10) {
		f[i].key.port = 81;
		f[i + 1].outer.n = 2;
		f[i + 2].affinity_s = 0;
	}
	(void)update(t, "default/web", f, n);
	(void)update(t, "default/web", f, n / 2);
	cost_end(c);
	(void)update(t, "default/web", NULL, 0);
	assert_int_equal(change_count(t), 0);
	change_tracker_free(t);
	free(f);
}

/* One has written all addresses of the range into his externalIPs before their Services came. */
static void run_squatter(struct cost *c, size_t n, const void *arg)
{
	struct change_tracker *t = begun();
	struct endpoint one[] = { ep(2) };
	struct frontend *f = xcalloc(n, sizeof(*f)), *g = xcalloc(n, sizeof(*g));
	struct service_update *u = xcalloc(n, sizeof(*u));
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(changes_release) struct changes changes = { 0 };

	(void)arg;
	for (size_t i = 0; i < n; i++) {
		f[i] = g[i] = fe(VIP + (uint32_t)i, 80, one, 1);
		f[i].cluster_ip = false;
		f[i].affinity_s = 60;
		u[i] = (struct service_update){ arena_svf(&a, "default/s%zu", i), &g[i], 1 };
	}
	(void)update(t, "default/squatter", f, n);
	cost_begin(c);
	change_update(t, u, n, NULL, &changes);
	cost_end(c);
	(void)update(t, "default/squatter", NULL, 0);
	assert_int_equal(change_count(t), n);
	change_tracker_free(t);
	free(f);
	free(g);
	free(u);
}

static void test_costs(_unused_ void **state)
{
	static const struct cost_row rows[] = {
		{ "a Service of many addresses", run_large, NULL, 0 },
		{ "one who has all addresses before their Services do", run_squatter, NULL, 0 },
	};

	expect_linear(rows, ARRAY_LEN(rows));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one_service), cmocka_unit_test(test_stable_indexes),
		cmocka_unit_test(test_refusals),    cmocka_unit_test(test_split),
		cmocka_unit_test(test_affinity),    cmocka_unit_test(test_shared),
		cmocka_unit_test(test_conflict),    cmocka_unit_test(test_pods_and_ranges),
		cmocka_unit_test(test_ipv6),	    cmocka_unit_test(test_udp),
		cmocka_unit_test(test_idle_chains), cmocka_unit_test(test_random_walk),
		cmocka_unit_test(test_costs),	    cmocka_unit_test(test_cluster_ip_wins),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
