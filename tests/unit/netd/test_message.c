/* The kernel's messages: what is made is read back as it was, and what is cut or of the wrong size is nothing. */
#include "netd_kit.h"

#include "netd/message.h"

#include <libmnl/libmnl.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <net/if.h>

static struct arena A;

/* A request that was made is what the kernel would tell of it, apart from its type. */
static const char *told(const struct net_change *c, struct net_message *m)
{
	struct nlmsghdr *h = message_change(m, c, 9);
	struct message_route r;
	struct net_entry e;

	if (message_read_route(h, &r)) {
		assert_int_equal(r.proto, NETD_PROTO);
		e = r.entry;
		if (e.value.link == 9)
			e.value.link = 0;
	} else if (!message_read_neigh(h, 9, &e)) {
		return NULL;
	}
	return kit_entry(&A, &e);
}

static struct net_change added(struct net_entry e)
{
	return (struct net_change){ .key = e.key, .want = true, .be = e.value };
}

static void test_entries(_unused_ void **state)
{
	static const struct {
		struct net_key key;
		const char *addr, *via, *text;
		int link;
	} rows[] = {
		{ { .type = NET_ROUTE, .bits = 120 }, "10.42.7.0", "10.42.7.0", "route 10.42.7.0/24 by 10.42.7.0", 0 },
		{ { .type = NET_ROUTE, .bits = 64 }, "fd00:7::", "fd00:7::", "route fd00:7::/64 by fd00:7::", 0 },
		{ { .type = NET_ROUTE, .bits = 120 },
		  "10.42.7.0",
		  "192.0.2.7",
		  "route 10.42.7.0/24 by 192.0.2.7 link 3",
		  3 },
		{ { .type = NET_NEIGH }, "10.42.7.0", NULL, "neigh 10.42.7.0 at 01:02:03:04:05:06", 0 },
		{ { .type = NET_NEIGH }, "fd00:7::", NULL, "neigh fd00:7:: at 01:02:03:04:05:06", 0 },
		{ { .type = NET_FDB, .mac = { 6, 5, 4, 3, 2, 1 } },
		  NULL,
		  "192.0.2.7",
		  "fdb 06:05:04:03:02:01 by 192.0.2.7",
		  0 },
		{ { .type = NET_FDB, .mac = { 6, 5, 4, 3, 2, 1 } },
		  NULL,
		  "2001:db8::7",
		  "fdb 06:05:04:03:02:01 by 2001:db8::7",
		  0 },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct net_entry e = { .key = rows[i].key, .value = { .link = rows[i].link } };
		struct net_message m;
		struct net_change c;
		const char *text;

		if (rows[i].addr)
			e.key.addr = kit_ip(rows[i].addr);
		if (rows[i].via)
			e.value.via = kit_ip(rows[i].via);
		if (e.key.type == NET_NEIGH)
			memcpy(e.value.mac, "\1\2\3\4\5\6", 6);
		c = added(e);
		text = told(&c, &m);
		assert_non_null(text);
		assert_string_equal(text, rows[i].text);
		/* A new route is no replacement of a foreign one; what is ours is replaced. */
		assert_int_equal(((struct nlmsghdr *)(void *)m.mem)->nlmsg_flags & (NLM_F_EXCL | NLM_F_REPLACE),
				 e.key.type == NET_ROUTE ? NLM_F_EXCL : NLM_F_REPLACE);
		c.had = true;
		(void)told(&c, &m);
		assert_int_equal(((struct nlmsghdr *)(void *)m.mem)->nlmsg_flags & (NLM_F_EXCL | NLM_F_REPLACE),
				 NLM_F_REPLACE);
		c = (struct net_change){ .key = e.key, .had = true, .is = e.value };
		assert_null(told(&c, &m)); /* a deletion tells of nothing that is there */
		assert_int_equal(((struct nlmsghdr *)(void *)m.mem)->nlmsg_type,
				 e.key.type == NET_ROUTE ? RTM_DELROUTE : RTM_DELNEIGH);
	}
}

static void test_device(_unused_ void **state)
{
	struct netd_device d = { .wanted = true, .mac = { 0xee, 0xca, 1, 2, 3, 4 }, .mtu = 1450 };
	struct message_link l;
	struct net_message m;
	struct nlmsghdr *h;
	struct ifinfomsg *i;
	const char *const locals[] = { "192.0.2.1", "2001:db8::1" };

	for (size_t k = 0; k < ARRAY_LEN(locals); k++) {
		d.local = kit_ip(locals[k]);
		h = message_link_new(&m, "cvl0-vx", &d);
		assert_int_equal(h->nlmsg_flags & NLM_F_EXCL, NLM_F_EXCL);
		i = mnl_nlmsg_get_payload(h);
		i->ifi_index = 9;
		assert_true(message_read_link(h, &l));
		assert_string_equal(l.name, "cvl0-vx");
		assert_true(l.vxlan && l.right && !l.up);
		assert_int_equal(l.mtu, 1450);
		assert_memory_equal(l.mac, d.mac, 6);
		assert_string_equal(ip_text(l.local).s, locals[k]);
	}
	h = message_link_set(&m, 9, &d);
	assert_true(message_read_link(h, &l) && l.up && !l.vxlan && l.index == 9);
	assert_true(h->nlmsg_len < sizeof(m.mem) / 2);
}

/* Every cut of every message, and every byte of it wrong: read, or not, and nothing else. */
static void test_damage(_unused_ void **state)
{
	struct netd_device d = { .wanted = true, .mtu = 1450, .local = kit_ip("2001:db8::1") };
	struct net_entry e = { .key = { .type = NET_ROUTE, .bits = 64, .addr = kit_ip("fd00:7::") },
			       .value = { .via = kit_ip("fd00:7::") } };
	struct net_entry n = { .key = { .type = NET_NEIGH, .addr = kit_ip("fd00:7::") } };
	struct net_change route = added(e), neigh = added(n);

	for (int kind = 0; kind < 4; kind++)
		for (size_t at = 0; at < 256; at++) {
			struct net_message m;
			struct nlmsghdr *h = kind == 0	 ? message_link_new(&m, "cvl0-vx", &d)
					     : kind == 1 ? message_change(&m, &route, 9)
					     : kind == 2 ? message_change(&m, &neigh, 9)
							 : message_addr(&m, 9, kit_ip("fd00:7::"), true);
			struct message_link l;
			struct message_route r;
			struct netd_addr a;
			uint8_t bits;
			/* exactly as long as it says, so that a sanitizer sees what is read beyond */
			char *copy = xmalloc(h->nlmsg_len);
			uint32_t len = h->nlmsg_len;

			memcpy(copy, h, len);
			h = (struct nlmsghdr *)(void *)copy;
			if (at < len && at >= sizeof(*h))
				copy[at] = (char)(copy[at] ^ 0x7f);
			else if (at >= sizeof(*h))
				h->nlmsg_len = (uint32_t)MAX(sizeof(*h), 256 - at);
			if (h->nlmsg_len <= len) {
				(void)message_read_link(h, &l);
				(void)message_read_route(h, &r);
				(void)message_read_neigh(h, 9, &n);
				(void)message_read_addr(h, &a, &bits);
			}
			free(copy);
		}
}

static void test_foreign(_unused_ void **state)
{
	struct net_entry e = { .key = { .type = NET_ROUTE, .bits = 120, .addr = kit_ip("10.42.7.0") },
			       .value = { .via = kit_ip("10.42.7.0") } };
	struct net_change c = added(e);
	struct message_route r;
	struct net_message m;
	struct rtmsg *rt;
	struct nlmsghdr *h;

	/* Of another table, no way to anywhere, or a route that the kernel keeps for itself. */
	for (int i = 0; i < 4; i++) {
		h = message_change(&m, &c, 9);
		rt = mnl_nlmsg_get_payload(h);
		if (i == 0)
			rt->rtm_table = RT_TABLE_LOCAL;
		if (i == 1)
			rt->rtm_type = RTN_BLACKHOLE;
		if (i == 2)
			rt->rtm_flags |= RTM_F_CLONED;
		if (i == 3)
			rt->rtm_dst_len = 200;
		assert_false(message_read_route(h, &r));
	}
	h = message_change(&m, &c, 9);
	mnl_attr_put_u32(h, RTA_TABLE, 1000);
	assert_false(message_read_route(h, &r));
	h = message_change(&m, &c, 9);
	mnl_attr_put_u32(h, RTA_TABLE, RT_TABLE_MAIN);
	assert_true(message_read_route(h, &r));
	/* A neighbour that was learned is nobody's business, nor is one of another link. */
	e = (struct net_entry){ .key = { .type = NET_NEIGH, .addr = kit_ip("10.42.7.0") } };
	c = added(e);
	h = message_change(&m, &c, 9);
	assert_false(message_read_neigh(h, 8, &e));
	((struct ndmsg *)mnl_nlmsg_get_payload(h))->ndm_state = NUD_REACHABLE;
	assert_false(message_read_neigh(h, 9, &e));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_entries),
		cmocka_unit_test(test_device),
		cmocka_unit_test(test_damage),
		cmocka_unit_test(test_foreign),
	};
	int failed = cmocka_run_group_tests_name("netd message", tests, NULL, NULL);

	arena_release(&A);
	return failed;
}
