/* What a Node means for this machine's kernel. */
#include "netd_kit.h"

#include <stdio.h>

static struct arena A;
static struct netd_machine machine;

static struct netd_view view(enum netd_kind kind, const char *cluster, const char *self)
{
	struct netd_view v = { .kind = kind, .machine = &machine };

	assert_true(netd_cluster_parse(sv_from(cluster), v.cluster, &v.n_cluster));
	v.self = kit_node(self);
	return v;
}

#define BOTH "10.42.0.0/16,fd00:42::/48"
#define SELF KIT_PEER("n1", "'10.42.0.0/24','fd00:42::/64'", KIT_ADDR("192.0.2.1") "," KIT_ADDR("2001:db8::1"))

static void machine_start(void)
{
	vec_push(&machine.addrs, ((struct netd_addr){ kit_ip("192.0.2.1"), 2 }));
	vec_push(&machine.addrs, ((struct netd_addr){ kit_ip("2001:db8::1"), 2 }));
	vec_push(&machine.onlink, ((struct netd_onlink){ { kit_ip("192.0.2.0"), 96 + 24 }, 2 }));
	vec_push(&machine.onlink, ((struct netd_onlink){ { kit_ip("192.0.2.128"), 96 + 25 }, 3 }));
	vec_push(&machine.onlink, ((struct netd_onlink){ { kit_ip("2001:db8::"), 64 }, 2 }));
	vec_push(&machine.onlink, ((struct netd_onlink){ { ip_v4(0), 96 }, 9 })); /* default dev ppp0 */
	machine.mtu[NETD_V4] = machine.mtu[NETD_V6] = 1500;
	machine.link[NETD_V4] = machine.link[NETD_V6] = 2;
}

/* All entries in a line each, then the reason. */
static const char *peer(const struct netd_view *v, const char *json)
{
	struct netd_node n = kit_node(json);
	struct net_entry e[NETD_PEER_ENTRIES];
	const char *why, *text = "";
	size_t k = netd_model_peer(v, &n, e, &why);

	for (size_t i = 0; i < k; i++)
		text = arena_printf(&A, "%s%s\n", text, kit_entry(&A, &e[i]));
	return why ? arena_printf(&A, "%s! %s", text, why) : text;
}

static void test_vxlan(_unused_ void **state)
{
	struct netd_view v = view(NETD_VXLAN, BOTH, SELF);

	assert_string_equal(peer(&v, KIT_PEER("n7", "'10.42.7.0/24','fd00:42:0:7::/64'", KIT_ADDR("192.0.2.7"))),
			    "route 10.42.7.0/24 by 10.42.7.0\n"
			    "neigh 10.42.7.0 at ee:ca:0a:2a:07:00\n"
			    "route fd00:42:0:7::/64 by fd00:42:0:7::\n"
			    "neigh fd00:42:0:7:: at ee:ca:0a:2a:07:00\n"
			    "fdb ee:ca:0a:2a:07:00 by 192.0.2.7\n");
	/* The MAC is the first range's, whichever that is; nodes that have an IPv4 address are reached by it. */
	assert_string_equal(
	    peer(&v, KIT_PEER("n7", "'fd00:42:0:7::/64'", KIT_ADDR("2001:db8::7") "," KIT_ADDR("192.0.2.7"))),
	    "route fd00:42:0:7::/64 by fd00:42:0:7::\n"
	    "neigh fd00:42:0:7:: at ee:ca:00:00:00:07\n"
	    "fdb ee:ca:00:00:00:07 by 192.0.2.7\n");
	/* One that starts has nothing yet, and nobody has to hear of it. */
	assert_string_equal(peer(&v, KIT_PEER("n7", "", KIT_ADDR("192.0.2.7"))), "");
	assert_string_equal(peer(&v, "{'kind':'Node','metadata':{'name':'n7'},'spec':{'podCIDR':'10.42.7.0/24'}}"), "");
	/* Nor of what it lacks, while our own Node says no address. */
	v.self.addr[NETD_V4] = v.self.addr[NETD_V6] = IP_NONE;
	assert_string_equal(peer(&v, KIT_PEER("n7", "'10.42.7.0/24'", KIT_ADDR("192.0.2.7"))), "");
	v = view(NETD_VXLAN, BOTH, SELF);
	/* podCIDR alone, as an old server writes it. */
	assert_string_equal(peer(&v, "{'kind':'Node','metadata':{'name':'n7'},'spec':{'podCIDR':'10.42.7.0/24'},"
				     "'status':{'addresses':[" KIT_ADDR("192.0.2.7") "]}}"),
			    "route 10.42.7.0/24 by 10.42.7.0\n"
			    "neigh 10.42.7.0 at ee:ca:0a:2a:07:00\n"
			    "fdb ee:ca:0a:2a:07:00 by 192.0.2.7\n");
	/* What it says of its addresses comes first. */
	assert_string_equal(
	    peer(&v, "{'kind':'Node','metadata':{'name':'n7','annotations':{"
		     "'caravel.io/pod-network-addresses':'198.51.100.7,2001:db8::7'}},"
		     "'spec':{'podCIDR':'10.42.7.0/24'},'status':{'addresses':[" KIT_ADDR("192.0.2.7") "]}}"),
	    "route 10.42.7.0/24 by 10.42.7.0\n"
	    "neigh 10.42.7.0 at ee:ca:0a:2a:07:00\n"
	    "fdb ee:ca:0a:2a:07:00 by 198.51.100.7\n");
}

/* A node may say of itself what it likes; it gets no traffic that is not its own. */
static void test_lies(_unused_ void **state)
{
	static const struct {
		const char *node, *answer;
	} rows[] = {
		{ KIT_PEER("n7", "'0.0.0.0/0'", KIT_ADDR("192.0.2.7")), "! its Pod range is not in the cluster's" },
		{ KIT_PEER("n7", "'10.43.0.0/24'", KIT_ADDR("192.0.2.7")), "! its Pod range is not in the cluster's" },
		{ KIT_PEER("n7", "'10.42.0.0/15'", KIT_ADDR("192.0.2.7")), "! its Pod range is not in the cluster's" },
		{ KIT_PEER("n7", "'10.42.0.0/16'", KIT_ADDR("192.0.2.7")), "! its Pod range is this node's own" },
		{ KIT_PEER("n7", "'10.42.0.128/25'", KIT_ADDR("192.0.2.7")), "! its Pod range is this node's own" },
		{ KIT_PEER("n7", "'10.42.7.0/24'", KIT_ADDR("127.0.0.1")), "! its address is one that leads nowhere" },
		{ KIT_PEER("n7", "'10.42.7.0/24'", KIT_ADDR("0.0.0.0")), "! its address is one that leads nowhere" },
		{ KIT_PEER("n7", "'10.42.7.0/24'", KIT_ADDR("224.0.0.1")), "! its address is one that leads nowhere" },
		{ KIT_PEER("n7", "'10.42.7.0/24'", KIT_ADDR("192.0.2.1")), "! its address is this machine's own" },
		{ KIT_PEER("n7", "'10.42.7.0/24'", KIT_ADDR("2001:db8::7")), "! it has no IPv4 address" },
		/* one wrong range does not cost the other */
		{ KIT_PEER("n7", "'10.42.7.0/24','fd00:43::/64'", KIT_ADDR("192.0.2.7")),
		  "route 10.42.7.0/24 by 10.42.7.0\nneigh 10.42.7.0 at ee:ca:0a:2a:07:00\n"
		  "fdb ee:ca:0a:2a:07:00 by 192.0.2.7\n! its Pod range is not in the cluster's" },
		{ KIT_PEER("n7", "'ten.42'", KIT_ADDR("192.0.2.7")), "" },
	};
	struct netd_view v = view(NETD_VXLAN, BOTH, SELF);

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const char *said = peer(&v, rows[i].node);

		if (*rows[i].answer ? !sv_starts(sv_from(said), sv_from(rows[i].answer)) : *said)
			fail_msg("%s\n%s", rows[i].node, said);
	}
}

static void test_device(_unused_ void **state)
{
	struct netd_view v = view(NETD_VXLAN, BOTH, SELF);
	struct netd_device d;
	const char *why;

	assert_true(netd_model_device(&v, &d, &why));
	assert_true(d.wanted);
	assert_int_equal(d.mtu, 1450);
	assert_memory_equal(d.mac, "\xee\xca\x0a\x2a\x00\x00", 6);
	assert_string_equal(ip_text(d.local).s, "192.0.2.1");
	assert_string_equal(ip_text(d.vtep[NETD_V4]).s, "10.42.0.0");
	assert_string_equal(ip_text(d.vtep[NETD_V6]).s, "fd00:42::");
	/* IPv6 alone. */
	v = view(NETD_VXLAN, "fd00:42::/48", KIT_PEER("n1", "'fd00:42:0:9::/64'", KIT_ADDR("2001:db8::1")));
	assert_true(netd_model_device(&v, &d, &why));
	assert_int_equal(d.mtu, 1430);
	assert_memory_equal(d.mac, "\xee\xca\x00\x00\x00\x09", 6);
	assert_string_equal(ip_text(d.local).s, "2001:db8::1");
	assert_true(ip_is_none(d.vtep[NETD_V4]));
	assert_string_equal(peer(&v, KIT_PEER("n7", "'fd00:42:0:7::/64'", KIT_ADDR("2001:db8::7"))),
			    "route fd00:42:0:7::/64 by fd00:42:0:7::\n"
			    "neigh fd00:42:0:7:: at ee:ca:00:00:00:07\n"
			    "fdb ee:ca:00:00:00:07 by 2001:db8::7\n");
	/* Not yet, and not here. */
	v = view(NETD_VXLAN, BOTH, KIT_PEER("n1", "", KIT_ADDR("192.0.2.1")));
	assert_false(netd_model_device(&v, &d, &why));
	assert_string_equal(why, "this node has no Pod range yet");
	v = view(NETD_VXLAN, BOTH, SELF);
	machine.mtu[NETD_V4] = 0;
	assert_false(netd_model_device(&v, &d, &why));
	assert_string_equal(why, "this node's InternalIP is no address of the machine");
	machine.mtu[NETD_V4] = 1500;
	v = view(NETD_HOST_GW, BOTH, SELF);
	assert_true(netd_model_device(&v, &d, &why));
	assert_false(d.wanted);
}

static void test_host_gw(_unused_ void **state)
{
	struct netd_view v = view(NETD_HOST_GW, BOTH, SELF);

	assert_string_equal(peer(&v, KIT_PEER("n7", "'10.42.7.0/24','fd00:42:0:7::/64'",
					      KIT_ADDR("192.0.2.7") "," KIT_ADDR("2001:db8::7"))),
			    "route 10.42.7.0/24 by 192.0.2.7 link 2\n"
			    "route fd00:42:0:7::/64 by 2001:db8::7 link 2\n");
	/* The narrower of two ranges, as the kernel. */
	assert_string_equal(peer(&v, KIT_PEER("n7", "'10.42.7.0/24'", KIT_ADDR("192.0.2.200"))),
			    "route 10.42.7.0/24 by 192.0.2.200 link 3\n");
	assert_string_equal(peer(&v, KIT_PEER("n7", "'10.42.7.0/24'", KIT_ADDR("198.51.100.7"))),
			    "! with --flannel-backend=host-gw nodes have to be on one link, and its address is on none "
			    "of this machine's; vxlan has no such need");
	assert_string_equal(peer(&v, KIT_PEER("n7", "'10.42.7.0/24','fd00:42:0:7::/64'", KIT_ADDR("192.0.2.7"))),
			    "route 10.42.7.0/24 by 192.0.2.7 link 2\n"
			    "! it has no address of its Pod range's family");
}

static void test_kinds(_unused_ void **state)
{
	enum netd_kind k;
	const char *why;

	assert_true(netd_kind_parse("vxlan", &k, &why) && k == NETD_VXLAN);
	assert_true(netd_kind_parse("host-gw", &k, &why) && k == NETD_HOST_GW);
	assert_true(netd_kind_parse("none", &k, &why) && k == NETD_NONE);
	assert_false(netd_kind_parse("wireguard-native", &k, &why));
	assert_non_null(strstr(why, "wireguard-native is not built"));
	assert_false(netd_kind_parse("ipsec", &k, &why));
	assert_int_equal(netd_pod_mtu(NETD_VXLAN, NETD_V4, 9000), 8950);
	assert_int_equal(netd_pod_mtu(NETD_VXLAN, NETD_V6, 9000), 8930);
	assert_int_equal(netd_pod_mtu(NETD_HOST_GW, NETD_V4, 9000), 9000);
	assert_int_equal(netd_pod_mtu(NETD_VXLAN, NETD_V4, 0), 0);
	assert_int_equal(netd_pod_mtu(NETD_VXLAN, NETD_V4, 1300), 1280);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_vxlan),	cmocka_unit_test(test_lies),  cmocka_unit_test(test_device),
		cmocka_unit_test(test_host_gw), cmocka_unit_test(test_kinds),
	};
	int failed;

	machine_start();
	failed = cmocka_run_group_tests_name("netd model", tests, NULL, NULL);
	netd_machine_release(&machine);
	arena_release(&A);
	return failed;
}
