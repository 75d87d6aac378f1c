#include "unit.h"

#include "object/netip.h"

/* Canonical text, or Go's words behind ParseAddr("..."): . */
static const struct {
	const char *text, *canonical, *words;
} addresses[] = {
	{ "1.2.3.4", "1.2.3.4", NULL },
	{ "::", "::", NULL },
	{ "::1", "::1", NULL },
	{ "1::", "1::", NULL },
	{ "2001:DB8:0:0:1:0:0:1", "2001:db8::1:0:0:1", NULL },
	{ "1:0:2:3:4:5:6:7", "1:0:2:3:4:5:6:7", NULL },
	{ "::1.2.3.4", "::102:304", NULL },
	{ "::ffff:1.2.3.4", "::ffff:1.2.3.4", NULL },
	{ "64:ff9b::1.2.3.4", "64:ff9b::102:304", NULL },
	{ "fe80::1%eth0", "fe80::1", NULL },
	{ "0001:002:03:4:5:6:7:8", "1:2:3:4:5:6:7:8", NULL },
	{ "", NULL, "unable to parse IP" },
	{ "x", NULL, "unable to parse IP" },
	{ "1", NULL, "unable to parse IP" },
	{ "1.2.3", NULL, "IPv4 address too short" },
	{ "1.2.3.4.5", NULL, "IPv4 address too long" },
	{ "1.2.3.256", NULL, "IPv4 field has value >255" },
	{ "1.2.3.04", NULL, "IPv4 field has octet with leading zero" },
	{ "1..2.3", NULL, "IPv4 field must have at least one digit (at \".2.3\")" },
	{ ".1.2.3", NULL, "IPv4 field must have at least one digit (at \".1.2.3\")" },
	{ "1.2.3.", NULL, "IPv4 field must have at least one digit (at \".\")" },
	{ "1.2.a.4", NULL, "unexpected character (at \"a.4\")" },
	{ "%eth0", NULL, "missing IPv6 address" },
	{ "::1%", NULL, "zone must be a non-empty string" },
	{ "12345::", NULL, "each group must have 4 or less digits (at \"12345::\")" },
	{ "1:2:3", NULL, "address string too short" },
	{ "1:2:3:4:5:6:7:8:9", NULL, "trailing garbage after address (at \"9\")" },
	{ "1::2::3", NULL, "multiple :: in address (at \":3\")" },
	{ "1:", NULL, "colon must be followed by more characters (at \":\")" },
	{ ":1", NULL, "each colon-separated field must have at least one digit (at \":1\")" },
	{ "1:2:3:4:5:6:7::8", NULL, "the :: must expand to at least one field of zeros" },
	{ "1:x", NULL, "each colon-separated field must have at least one digit (at \"x\")" },
	{ "1:2x", NULL, "unexpected character, want colon (at \"x\")" },
	{ "1:2:3:4:5:6:7:1.2.3.4", NULL,
	  "embedded IPv4 address must replace the final 2 fields of the address (at \"1.2.3.4\")" },
};

static void test_addresses(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(addresses); i++) {
		_cleanup_(err_release) struct err err = ERR_INIT;
		_cleanup_free_ char *words =
		    xasprintf("ParseAddr(\"%s\"): %s", addresses[i].text, addresses[i].words ? addresses[i].words : "");
		struct netip ip;
		bool ok = netip_parse(sv_from(addresses[i].text), &ip, &err);

		if (ok != (addresses[i].canonical != NULL))
			fail_msg("%s: %s", addresses[i].text, ok ? "taken" : err_msg(&err));
		assert_string_equal(ok ? netip_text(&ip).s : err_msg(&err), ok ? addresses[i].canonical : words);
	}
}

static void test_prefixes(void **state)
{
	static const struct {
		const char *text, *words;
	} bad[] = {
		{ "1.2.3.4", "no '/'" },
		{ "1.2.3/8", "ParseAddr(\"1.2.3\"): IPv4 address too short" },
		{ "1.2.3.4/33", "prefix length out of range" },
		{ "1.2.3.4/08", "bad bits after slash: \"08\"" },
		{ "1.2.3.4/-1", "bad bits after slash: \"-1\"" },
		{ "1.2.3.4/", "bad bits after slash: \"\"" },
		{ "fe80::1%a/64", "IPv6 zones cannot be present in a prefix" },
	};
	struct netip_prefix p, m;
	struct netip ip;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		_cleanup_(err_release) struct err err = ERR_INIT;
		_cleanup_free_ char *words = xasprintf("netip.ParsePrefix(\"%s\"): %s", bad[i].text, bad[i].words);

		assert_false(netip_prefix_parse(sv_from(bad[i].text), &p, &err));
		assert_string_equal(err_msg(&err), words);
	}
	assert_true(netip_prefix_parse(SV("192.168.10.7/23"), &p, NULL));
	assert_string_equal(netip_prefix_text(&p).s, "192.168.10.7/23");
	m = netip_masked(&p);
	assert_string_equal(netip_prefix_text(&m).s, "192.168.10.0/23");
	assert_true(netip_parse(SV("192.168.11.255"), &ip, NULL) && netip_has(&p, &ip));
	assert_true(netip_parse(SV("192.168.12.0"), &ip, NULL) && !netip_has(&p, &ip));
	assert_true(netip_parse(SV("::1"), &ip, NULL) && !netip_has(&p, &ip));
	assert_true(netip_prefix_parse(SV("::/0"), &p, NULL) && netip_has(&p, &ip));
}

static void test_kinds(void **state)
{
	static const struct {
		const char *text,
		    *kinds; /* u: unspecified, l: loopback, m: link-local multicast, n: unicast, g: global */
	} all[] = {
		{ "0.0.0.0", "u" },	{ "127.0.0.1", "l" }, { "224.0.0.1", "m" },	 { "169.254.1.1", "n" },
		{ "10.0.0.1", "g" },	{ "8.8.8.8", "g" },   { "255.255.255.255", "" }, { "239.1.1.1", "" },
		{ "::", "u" },		{ "::1", "l" },	      { "ff02::1", "m" },	 { "fe80::1", "n" },
		{ "2001:db8::1", "g" }, { "fd00::1", "g" },   { "ff05::1", "" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		struct netip ip;
		const char *k = all[i].kinds;

		assert_true(netip_parse(sv_from(all[i].text), &ip, NULL));
		if (netip_is_unspecified(&ip) != !!strchr(k, 'u') || netip_is_loopback(&ip) != !!strchr(k, 'l') ||
		    netip_is_link_local_multicast(&ip) != !!strchr(k, 'm') ||
		    netip_is_link_local_unicast(&ip) != !!strchr(k, 'n') ||
		    netip_is_global_unicast(&ip) != !!strchr(k, 'g'))
			fail_msg("%s", all[i].text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_addresses),
		cmocka_unit_test(test_prefixes),
		cmocka_unit_test(test_kinds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
