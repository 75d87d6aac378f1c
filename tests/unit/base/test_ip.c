/* Addresses of both families: texts, order, arithmetic, ranges. */
#include "unit.h"

#include "base/ip.h"

static struct ip_addr ip(const char *s)
{
	struct ip_addr a = IP_NONE;

	assert_true(ip_parse(sv_from(s), &a));
	return a;
}

static struct ip_net net(const char *s)
{
	struct ip_net n = { IP_NONE, 0 };

	assert_true(ip_net_parse(sv_from(s), &n));
	return n;
}

static void test_text(void **state)
{
	static const struct {
		const char *in, *out; /* NULL: refused */
	} rows[] = {
		{ "10.42.0.1", "10.42.0.1" },
		{ "0.0.0.0", "0.0.0.0" },
		{ "255.255.255.255", "255.255.255.255" },
		{ "::", "::" },
		{ "::1", "::1" },
		{ "FD00:0:0::1", "fd00::1" },
		{ "fd00:1:2:3:4:5:6:7", "fd00:1:2:3:4:5:6:7" },
		{ "2001:db8:1111:2222:3333:4444:5555:ffff", "2001:db8:1111:2222:3333:4444:5555:ffff" },
		{ "", NULL },
		{ "10.42.0", NULL },
		{ "10.42.0.256", NULL },
		{ "10.42.0.01", NULL },
		{ " 10.42.0.1", NULL },
		{ "10.42.0.1 ", NULL },
		{ "::ffff:10.42.0.1", NULL },
		{ "::ffff:a2a:1", NULL },
		{ "fe80::1%eth0", NULL },
		{ "fd00::1/64", NULL },
		{ "fd00:1:2:3:4:5:6:7:8", NULL },
		{ "1111:1111:1111:1111:1111:1111:1111:1111:1111:1111", NULL },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct ip_addr a = IP_NONE;

		assert_int_equal(ip_parse(sv_from(rows[i].in), &a), rows[i].out != NULL);
		if (rows[i].out)
			assert_string_equal(ip_text(a).s, rows[i].out);
	}
	assert_false(ip_parse(sv_make("10.0.0.1\0x", 10), &(struct ip_addr){ { 0 } }));
	assert_true(ip_eq(ip("10.42.0.1"), ip_v4(0x0a2a0001)));
	assert_int_equal(ip_low(ip("10.42.0.1")), 0x0a2a0001);
	assert_true(ip_is_v4(ip("0.0.0.0")) && !ip_is_v4(ip("::")) && !ip_is_v4(ip("fd00::1")));
	assert_true(ip_is_none(ip("::")) && !ip_is_none(ip("0.0.0.0")) && ip_is_none(IP_NONE));
	assert_true(ip_is_loopback(ip("127.0.0.1")) && ip_is_loopback(ip("127.9.9.9")) && ip_is_loopback(ip("::1")));
	assert_true(!ip_is_loopback(ip("128.0.0.1")) && !ip_is_loopback(ip("::2")) && !ip_is_loopback(IP_NONE));
}

/* Of IPv4 the order of the numbers, and all of it between ::fffe:... and ::1:0:0:0. */
static void test_order(void **state)
{
	static const char *const up[] = { "::",		"::1",	    "0.0.0.0",	 "9.255.255.255", "10.0.0.0",
					  "10.0.0.255", "10.0.1.0", "200.0.0.1", "fd00::",	  "fd00::1:0" };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(up); i++)
		for (size_t k = 0; k < ARRAY_LEN(up); k++) {
			int c = ip_cmp(ip(up[i]), ip(up[k]));

			assert_int_equal((c > 0) - (c < 0), (i > k) - (i < k));
			assert_int_equal(ip_eq(ip(up[i]), ip(up[k])), i == k);
		}
}

static void test_offset(void **state)
{
	static const struct {
		const char *base, *a;
		bool ok;
		uint64_t n;
	} rows[] = {
		{ "10.43.0.0", "10.43.0.0", true, 0 },
		{ "10.43.0.0", "10.43.1.1", true, 257 },
		{ "10.43.0.0", "10.42.255.255", false, 0 },
		{ "0.0.0.0", "255.255.255.255", true, UINT32_MAX },
		{ "fd00::", "fd00::1:0:0:0:0", false, 0 }, /* 2^64 */
		{ "fd00::", "fd00::ffff:ffff:ffff:ffff", true, UINT64_MAX },
		{ "fd00::ffff:ffff:ffff:ffff", "fd00:0:0:1::", true, 1 },
		{ "fd00:0:0:1::", "fd00::ffff:ffff:ffff:ffff", false, 0 },
		{ "fd00::2", "fd00::1", false, 0 },
		{ "fd00::", "10.0.0.1", false, 0 },
		{ "10.0.0.1", "fd00::", false, 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		uint64_t n = 99;

		assert_int_equal(ip_offset(ip(rows[i].base), ip(rows[i].a), &n), rows[i].ok);
		assert_int_equal(n, rows[i].ok ? rows[i].n : 99);
		if (rows[i].ok)
			assert_true(ip_eq(ip_add(ip(rows[i].base), n), ip(rows[i].a)));
	}
	assert_true(ip_is_none(ip_add(ip("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"), 1)));
}

static void test_nets(void **state)
{
	static const char *const bad[] = {
		"",	      "/16",	  "10.0.0.0/33", "10.0.0.0/",	       "10.0.0.0/-1", "10.0.0.0/8/8",
		"fd00::/129", "10.0.0/8", "fd00::/x",	 "::ffff:10.0.0.0/104"
	};
	struct ip_net n;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_false(ip_net_parse(sv_from(bad[i]), &n));
	n = net("10.42.7.9/16");
	assert_string_equal(ip_text(n.addr).s, "10.42.0.0");
	assert_int_equal(n.bits, 112);
	assert_int_equal(ip_net_len(n), 16);
	assert_string_equal(ip_net_text(n).s, "10.42.0.0/16");
	assert_string_equal(ip_net_text(net("fd00:ffff:ffff:ffff:ffff:ffff:ffff:ffff")).s,
			    "fd00:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128");
	assert_true(ip_net_has(n, ip("10.42.255.1")) && !ip_net_has(n, ip("10.43.0.0")) && !ip_net_has(n, IP_NONE));
	n = net("fd00:1:10f::5/40");
	assert_string_equal(ip_text(n.addr).s, "fd00:1:100::");
	assert_int_equal(ip_net_len(n), 40);
	assert_true(ip_net_has(n, ip("fd00:1:1ff::1")) && !ip_net_has(n, ip("fd00:1:200::1")));
	assert_int_equal(net("10.0.0.1").bits, 128);
	assert_true(ip_net_has(net("0.0.0.0/0"), ip("8.8.8.8")) && !ip_net_has(net("0.0.0.0/0"), ip("fd00::1")));
	assert_true(ip_net_has(net("::/0"), ip("fd00::1")));
	assert_true(ip_net_covers(net("10.0.0.0/8"), net("10.1.0.0/16")));
	assert_true(ip_net_covers(net("10.0.0.0/8"), net("10.0.0.0/8")));
	assert_false(ip_net_covers(net("10.1.0.0/16"), net("10.0.0.0/8")));
	assert_false(ip_net_covers(net("10.0.0.0/8"), net("11.0.0.0/16")));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_text),
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_offset),
		cmocka_unit_test(test_nets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
