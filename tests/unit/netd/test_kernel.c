/* The backend on a real kernel, in a network namespace of the program's own. */
#include "netd_kit.h"

#include "base/file.h"
#include "ev/ev.h"
#include "netd/netd.h"

#include <errno.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#define DEVICE "cvlunit-vx"
static struct arena A;
static char dir[] = "/tmp/caravel-netd-XXXXXX";

/* A command line, split at blanks; its output. */
static const char *run(const char *line)
{
	_cleanup_(buf_release) struct buf out = BUF_INIT;
	struct sv rest = sv_from(line), word;
	const char *argv[32];
	int status = -1;
	size_t n = 0;

	while (sv_split(&rest, ' ', &word))
		argv[n++] = arena_cstr(&A, word);
	argv[n] = NULL;
	if (child_run(&(struct child_opts){ .argv = argv, .stdin_fd = -1, .stdout_fd = -1, .stderr_fd = -1 },
		      60 * NS_PER_SEC, 65536, &out, NULL, &status, NULL) < 0 ||
	    status)
		fail_msg("%s: %d", line, status);
	return arena_cstr(&A, buf_sv(&out));
}

static void expect(const char *line, const char *part)
{
	const char *said = run(line);

	if (!strstr(said, part))
		fail_msg("%s: no '%s' in:\n%s", line, part, said);
}

static struct netd_have read_kernel(struct netd_backend *b)
{
	struct netd_have h;
	struct err err = ERR_INIT;

	if (b->read(b, &h, &err) < 0)
		fail_msg("%s", err_msg(&err));
	return h;
}

static void make(struct netd_backend *b, const struct netd_device *d)
{
	struct netd_have h = read_kernel(b);
	struct err err = ERR_INIT;

	if (b->device(b, &h, d, &err) < 0)
		fail_msg("%s", err_msg(&err));
	netd_have_release(&h);
}

static struct netd_device device(const char *local, int mtu)
{
	struct netd_device d = { .wanted = true, .mac = { 0xee, 0xca, 0x0a, 0x2a, 0, 0 }, .mtu = mtu };

	d.local = kit_ip(local);
	d.vtep[NETD_V4] = kit_ip("10.42.0.0");
	d.vtep[NETD_V6] = kit_ip("fd00:42::");
	return d;
}

static size_t apply(struct netd_backend *b, struct net_change *c, size_t n, struct err *err)
{
	return b->apply(b, c, n, err);
}

static size_t entries_of(struct net_entry e[NETD_PEER_ENTRIES])
{
	struct netd_machine m = { .mtu = { 0 } };
	struct netd_view v = { .kind = NETD_VXLAN, .machine = &m };
	struct netd_node peer = kit_node(KIT_PEER("n7", "'10.42.7.0/24','fd00:42:0:7::/64'", KIT_ADDR("192.0.2.7")));
	const char *why;

	v.self = kit_node(KIT_PEER("n1", "'10.42.0.0/24','fd00:42::/64'", KIT_ADDR("192.0.2.1")));
	return netd_model_peer(&v, &peer, e, &why);
}

/* Everything that the tracker wants is read back as it was wanted. */
static void test_there_and_back(_unused_ void **state)
{
	const char *settings = arena_printf(&A, "%s/settings", dir);
	struct err err = ERR_INIT;
	struct netd_backend *b = netd_backend_netlink_new(DEVICE, settings, "10.42.0.0/16,fd00:42::/48", &err);
	struct netd_device d = device("192.0.2.1", 1450), none = { .wanted = false };
	struct net_entry e[NETD_PEER_ENTRIES];
	struct netd_machine machine;
	struct ip_addr own[NETD_FAMILIES] = { kit_ip("192.0.2.1"), kit_ip("2001:db8::1") };
	struct tracker *t = tracker_new();
	struct net_change *c;
	struct netd_have h;
	size_t n;

	assert_non_null(b);
	assert_int_equal(b->look(b, NETD_HOST_GW, own, &machine, &err), 0);
	assert_int_equal(machine.mtu[NETD_V4], 1500);
	assert_int_equal(machine.mtu[NETD_V6], 1500);
	assert_int_equal(machine.link[NETD_V4], (int)if_nametoindex("under"));
	assert_true(netd_machine_has(&machine, own[NETD_V6]));
	assert_int_equal(machine.onlink.n, 2);
	assert_true(ip_net_has(machine.onlink.p[0].net, kit_ip("192.0.2.77")));
	assert_true(ip_net_has(machine.onlink.p[1].net, kit_ip("2001:db8::77")));
	netd_machine_release(&machine);

	h = read_kernel(b);
	assert_false(h.present);
	assert_int_equal(h.entries.n, 0);
	make(b, &d);
	expect("ip -d link show " DEVICE, "vxlan id 1 local 192.0.2.1");
	expect("ip -d link show " DEVICE, "dstport 8472 nolearning");
	expect("ip -d link show " DEVICE, "mtu 1450");
	expect("cat /proc/sys/net/ipv4/conf/" DEVICE "/rp_filter", "2");
	h = read_kernel(b);
	assert_true(h.present && h.right && h.up && !h.foreign);
	assert_true(netd_device_same(&h.device, &d));
	assert_int_equal(h.entries.n, 0);
	netd_have_release(&h);

	n = entries_of(e);
	assert_int_equal(n, 5);
	tracker_want(t, SV("n7"), e, n);
	n = tracker_plan(t, &A, &c);
	if (apply(b, c, n, &err))
		fail_msg("%s", err_msg(&err));
	tracker_done(t, c, n);
	expect("ip route show proto 202", "10.42.7.0/24 via 10.42.7.0 dev " DEVICE " onlink");
	expect("ip -6 route show proto 202", "fd00:42:0:7::/64 via fd00:42:0:7:: dev " DEVICE);
	expect("bridge fdb show dev " DEVICE, "ee:ca:0a:2a:07:00 dst 192.0.2.7 self permanent");
	h = read_kernel(b);
	assert_int_equal(h.entries.n, 5);
	tracker_have(t, h.entries.p, h.entries.n);
	assert_int_equal(tracker_plan(t, &A, &c), 0);
	netd_have_release(&h);

	/* Somebody else's doing is seen, and put right by the difference. */
	run("ip route flush dev " DEVICE);
	run("bridge fdb del ee:ca:0a:2a:07:00 dev " DEVICE " dst 192.0.2.7 self");
	run("bridge fdb add ee:ca:0a:2a:07:00 dev " DEVICE " dst 192.0.2.66 self permanent");
	run("ip neigh del 10.42.7.0 dev " DEVICE);
	h = read_kernel(b);
	tracker_have(t, h.entries.p, h.entries.n);
	netd_have_release(&h);
	n = tracker_plan(t, &A, &c);
	assert_true(n >= 3);
	assert_int_equal(apply(b, c, n, &err), 0);
	tracker_done(t, c, n);
	h = read_kernel(b);
	tracker_have(t, h.entries.p, h.entries.n);
	assert_int_equal(tracker_plan(t, &A, &c), 0);
	netd_have_release(&h);

	/* A MAC and an MTU are changed where it stands, another address is another device. */
	d.mtu = 1400;
	d.mac[5] = 9;
	d.vtep[NETD_V4] = kit_ip("10.42.9.0");
	make(b, &d);
	h = read_kernel(b);
	assert_true(h.right && netd_device_same(&h.device, &d));
	netd_have_release(&h);
	run("ip link set " DEVICE " down");
	h = read_kernel(b);
	assert_true(h.right && !h.up);
	netd_have_release(&h);
	run("ip link set " DEVICE " alias same");
	make(b, &d);
	expect("ip link show " DEVICE, "alias same"); /* it is no other one */
	h = read_kernel(b);
	assert_true(h.up);
	netd_have_release(&h);
	d = device("2001:db8::1", 1430);
	make(b, &d);
	expect("ip -d link show " DEVICE, "local 2001:db8::1");
	h = read_kernel(b);
	assert_true(h.right && netd_device_same(&h.device, &d));
	assert_int_equal(h.entries.n, 0);
	tracker_have(t, h.entries.p, h.entries.n);
	netd_have_release(&h);
	n = tracker_plan(t, &A, &c);
	for (size_t i = 0; i < n; i++) /* its packets are IPv6 now */
		if (c[i].key.type == NET_FDB)
			c[i].be.via = kit_ip("2001:db8::7");
	if (apply(b, c, n, &err))
		fail_msg("%s", err_msg(&err));

	make(b, &none);
	assert_int_equal(if_nametoindex(DEVICE), 0);
	tracker_free(t);
	b->free(b);
}

/* What is not ours is neither changed nor removed. */
static void test_foreign(_unused_ void **state)
{
	struct err err = ERR_INIT;
	struct netd_backend *b = netd_backend_netlink_new(DEVICE, NULL, "10.42.0.0/16", &err);
	struct netd_device d = device("192.0.2.1", 1450), none = { .wanted = false };
	struct net_change c = { .key = { .type = NET_ROUTE, .bits = 120, .addr = kit_ip("10.42.7.0") },
				.want = true,
				.be = { .via = kit_ip("10.42.7.0") } };
	struct netd_have h;

	run("ip link add " DEVICE " type bridge");
	h = read_kernel(b);
	assert_true(h.present && h.foreign);
	assert_int_equal(b->device(b, &h, &d, &err), -1);
	assert_non_null(strstr(err_msg(&err), "is no VXLAN, so it is not ours"));
	err_release(&err);
	assert_int_equal(b->device(b, &h, &none, &err), 0);
	assert_true(if_nametoindex(DEVICE) > 0);
	assert_int_equal(netd_cleanup(DEVICE, NULL, NULL, &err), 0);
	assert_true(if_nametoindex(DEVICE) > 0);
	run("ip link delete " DEVICE);
	netd_have_release(&h);

	/* Flannel's. */
	run("ip link add flannel.1 type vxlan id 1 dstport 8472 nolearning");
	h = read_kernel(b);
	assert_int_equal(b->device(b, &h, &d, &err), -1);
	assert_non_null(strstr(err_msg(&err), "another cluster's or flannel's"));
	err_release(&err);
	run("ip link delete flannel.1");
	netd_have_release(&h);

	make(b, &d);
	run("ip route add 10.42.7.0/24 via 192.0.2.77");
	run("ip route add 10.99.0.0/24 via 192.0.2.77 proto 202"); /* another cluster's of ours */
	h = read_kernel(b);
	assert_int_equal(h.entries.n, 0);
	netd_have_release(&h);
	assert_int_equal(apply(b, &c, 1, &err), 1);
	assert_non_null(strstr(err_msg(&err), "another route to 10.42.7.0/24, which is not ours"));
	err_release(&err);
	make(b, &none);
	b->free(b);
	expect("ip route show 10.42.7.0/24", "via 192.0.2.77");
	expect("ip route show 10.99.0.0/24", "via 192.0.2.77");
	run("ip route del 10.42.7.0/24");
	run("ip route del 10.99.0.0/24");
}

static void test_cleanup(_unused_ void **state)
{
	const char *settings = arena_printf(&A, "%s/settings", dir);
	struct err err = ERR_INIT;
	struct netd_backend *b = netd_backend_netlink_new(DEVICE, settings, "10.42.0.0/16", &err);
	struct netd_device d = device("192.0.2.1", 1450);
	struct net_change c = { .key = { .type = NET_ROUTE, .bits = 120, .addr = kit_ip("10.42.7.0") },
				.want = true,
				.be = { .via = kit_ip("192.0.2.7"), .link = (int)if_nametoindex("under") } };
	const int link[NETD_FAMILIES] = { c.be.link, c.be.link };
	struct netd_node self = kit_node(KIT_PEER("n1", "'10.42.0.0/24','fd00:42::/64'", KIT_ADDR("192.0.2.1")));

	run("ip route add 10.99.0.0/24 via 192.0.2.77 proto 202");
	run("sysctl -qw net.ipv4.ip_forward=0 net.ipv6.conf.all.forwarding=0 net.ipv6.conf.under.accept_ra=1");
	b->prepare(b, &self, link);
	expect("cat /proc/sys/net/ipv4/ip_forward", "1");
	expect("cat /proc/sys/net/ipv6/conf/all/forwarding", "1");
	/* Else the router that it learned its default route from would be no more heard. */
	expect("cat /proc/sys/net/ipv6/conf/under/accept_ra", "2");
	make(b, &d);
	assert_int_equal(apply(b, &c, 1, &err), 0);
	b->free(b);
	assert_int_equal(netd_cleanup(DEVICE, settings, NULL, &err), 1);
	assert_int_equal(if_nametoindex(DEVICE), 0);
	assert_string_equal(run("ip route show 10.42.0.0/16"), "");
	assert_string_equal(run("ip route show root 10.42.0.0/16"), "");
	expect("ip route show 10.99.0.0/24", "via 192.0.2.77");
	expect("cat /proc/sys/net/ipv4/ip_forward", "0");
	expect("cat /proc/sys/net/ipv6/conf/under/accept_ra", "1");
	assert_int_equal(netd_cleanup(DEVICE, settings, NULL, &err), 0);
	run("ip route del 10.99.0.0/24");
}

/* A firewall's chain, of the family asked for; its policy is what counts. */
static void test_firewall(_unused_ void **state)
{
	char chain[NFNL_CHAIN_BYTES];
	struct err err = ERR_INIT;
	struct netd_backend *b = netd_backend_netlink_new(DEVICE, NULL, "10.42.0.0/16", &err);

	assert_false(b->drops(b, false, chain));
	run("nft add table ip filter");
	run("nft add chain ip filter FORWARD { type filter hook forward priority 0 ; policy accept ; }");
	run("nft add chain ip filter INPUT { type filter hook input priority 0 ; policy drop ; }");
	assert_false(b->drops(b, false, chain));
	run("nft add chain ip filter FORWARD { policy drop ; }");
	assert_true(b->drops(b, false, chain));
	assert_string_equal(chain, "ip filter FORWARD");
	assert_false(b->drops(b, true, chain));
	run("nft delete table ip filter");
	run("nft add table inet fw");
	run("nft add chain inet fw forwarded { type filter hook forward priority 10 ; policy drop ; }");
	assert_true(b->drops(b, true, chain));
	assert_string_equal(chain, "inet fw forwarded");
	run("nft delete table inet fw");
	assert_false(b->drops(b, false, chain));
	b->free(b);
}

/* Where nothing was ever up the kernel has no tables of routes, and says so instead of "none". */
static void test_new_namespace(_unused_ void **state)
{
	struct err err = ERR_INIT;
	struct netd_backend *b;
	struct netd_have h;

	if (unshare(CLONE_NEWNET) < 0)
		fail_msg("unshare: %s", strerror(errno));
	b = netd_backend_netlink_new(DEVICE, NULL, "10.42.0.0/16,fd00:42::/48", &err);
	h = read_kernel(b);
	assert_int_equal(h.entries.n, 0);
	netd_have_release(&h);
	b->free(b);
	assert_int_equal(netd_cleanup(DEVICE, NULL, NULL, &err), 0);
}

static double since(const struct timespec *t)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)(now.tv_sec - t->tv_sec) * 1e3 + (double)(now.tv_nsec - t->tv_nsec) / 1e6;
}

/* A thousand nodes of both families: written, read back as they were wanted, and one that changes. */
static void test_thousand(_unused_ void **state)
{
	struct err err = ERR_INIT;
	struct netd_backend *b = netd_backend_netlink_new(DEVICE, NULL, "10.0.0.0/8,fd00:42::/48", &err);
	struct netd_device d = device("192.0.2.1", 1450), none = { .wanted = false };
	struct netd_machine m = { .mtu = { 0 } };
	struct netd_view v = { .kind = NETD_VXLAN, .machine = &m };
	struct tracker *t = tracker_new();
	struct net_entry e[NETD_PEER_ENTRIES];
	struct net_change *c;
	struct timespec began;
	struct netd_have h;
	const char *why;
	size_t n;

	make(b, &d);
	v.self = kit_node(KIT_PEER("n1", "'10.255.0.0/24','fd00:42:0:ffff::/64'", KIT_ADDR("192.0.2.1")));
	clock_gettime(CLOCK_MONOTONIC, &began);
	for (unsigned i = 1; i <= 1000; i++) {
		struct netd_node peer = { .addr = { ip_v4(0xc6120000 + i) } };

		peer.range[NETD_V4] = ip_net_of(ip_v4(0x0a2a0000 + (i << 8)), 120);
		peer.range[NETD_V6] = ip_net_of(kit_ip("fd00:42::"), 64);
		peer.range[NETD_V6].addr.b[6] = (uint8_t)(i >> 8);
		peer.range[NETD_V6].addr.b[7] = (uint8_t)i;
		tracker_want(t, sv_from(arena_printf(&A, "n%u", i)), e, netd_model_peer(&v, &peer, e, &why));
	}
	n = tracker_plan(t, &A, &c);
	assert_int_equal(n, 5000);
	if (apply(b, c, n, &err))
		fail_msg("%s", err_msg(&err));
	tracker_done(t, c, n);
	print_message("# 1,000 nodes written in %.1f ms\n", since(&began));
	clock_gettime(CLOCK_MONOTONIC, &began);
	h = read_kernel(b);
	tracker_have(t, h.entries.p, h.entries.n);
	assert_int_equal(tracker_plan(t, &A, &c), 0);
	print_message("# and looked at in %.1f ms\n", since(&began));
	assert_int_equal(h.entries.n, 5000);
	netd_have_release(&h);
	clock_gettime(CLOCK_MONOTONIC, &began);
	tracker_want(t, SV("n7"), NULL, 0);
	n = tracker_plan(t, &A, &c);
	assert_int_equal(n, 5);
	assert_int_equal(apply(b, c, n, &err), 0);
	print_message("# one goes in %.2f ms\n", since(&began));
	make(b, &none);
	tracker_free(t);
	b->free(b);
}

static void test_probe(_unused_ void **state)
{
	_cleanup_obj_ struct obj *here = kit_obj(KIT_PEER("n1", "", KIT_ADDR("192.0.2.1")), 1),
				 *gone = kit_obj(KIT_PEER("n1", "", KIT_ADDR("192.0.2.99")), 1),
				 *six = kit_obj(KIT_PEER("n1", "", KIT_ADDR("2001:db8::1")), 1);

	assert_int_equal(netd_probe_mtu(NETD_VXLAN, here), 1450);
	assert_int_equal(netd_probe_mtu(NETD_VXLAN, six), 1430);
	assert_int_equal(netd_probe_mtu(NETD_HOST_GW, here), 1500);
	assert_int_equal(netd_probe_mtu(NETD_VXLAN, gone), 0);
	assert_int_equal(netd_probe_mtu(NETD_NONE, here), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_there_and_back), cmocka_unit_test(test_foreign), cmocka_unit_test(test_cleanup),
		cmocka_unit_test(test_thousand),       cmocka_unit_test(test_probe),   cmocka_unit_test(test_firewall),
		cmocka_unit_test(test_new_namespace), /* the last: it leaves the others' */
	};
	int failed;

	if (unshare(CLONE_NEWNET) < 0) {
		fprintf(stderr, "SKIPPED: needs the right to make a network namespace\n");
		return 77;
	}
	if (!mkdtemp(dir))
		return 1;
	run("ip link set lo up");
	run("ip link add under type veth peer name other");
	run("ip addr add 192.0.2.1/24 dev under");
	run("ip addr add 2001:db8::1/64 dev under nodad");
	run("ip link set under up");
	run("ip link set other up");
	failed = cmocka_run_group_tests_name("netd kernel", tests, NULL, NULL);
	tree_remove(dir, NULL);
	arena_release(&A);
	return failed;
}
