/* Addresses that nodes report and that lead where the API server must not be sent. */
#include "unit.h"

#include "apiserver/dial_address.h"

static const char *const mine[] = { "192.0.2.7", "2001:db8::7", NULL };
static const struct dial_own own = { .addresses = mine, .port = 6443 };

static bool may(enum dial_what what, const char *address, int port, const struct dial_own *o)
{
	struct err err = ERR_INIT;
	int rc = dial_allowed(what, sv_from(address), port, o, &err);

	if (rc < 0)
		assert_int_equal(err.reason, ERR_BAD_REQUEST);
	err_release(&err);
	return rc == 0;
}

static void test_never(void **state)
{
	static const char *const bad[] = {
		/* loopback, as anybody may write it */
		"127.0.0.1",
		"127.1.2.3",
		"127.255.255.255",
		"::1",
		"0:0:0:0:0:0:0:1",
		"::ffff:127.0.0.1",
		"::ffff:7f00:1",
		"::127.0.0.1",
		"::7f00:1",
		/* unspecified: the kernel takes it for loopback */
		"0.0.0.0",
		"0.1.2.3",
		"::",
		"::ffff:0.0.0.0",
		"::ffff:0:0",
		/* of the link: metadata services */
		"169.254.169.254",
		"169.254.0.1",
		"::ffff:169.254.169.254",
		"fe80::1",
		"fe80::1%eth0",
		"febf::1",
		/* and those of clouds beside the link's */
		"fd00:ec2::254",
		"fd00:0ec2:0:0::254",
		"168.63.129.16",
		"::ffff:168.63.129.16",
		"192.0.0.192",
		/* IPv4 that a translator or a tunnel finds in IPv6 */
		"64:ff9b::127.0.0.1",
		"64:ff9b::169.254.169.254",
		"64:ff9b::a83f:8110",
		"2002:7f00:1::",
		"2002:a9fe:a9fe::1",
		/* many machines, or all */
		"224.0.0.1",
		"239.255.255.250",
		"ff02::1",
		"ff00::",
		"255.255.255.255",
		"::ffff:224.0.0.1",
		/* no addresses: names are never looked up, other notations never guessed at */
		"",
		"localhost",
		"node-1",
		"node-1.example.com",
		"127.1",
		"0x7f000001",
		"2130706433",
		"0177.0.0.1",
		"127.0.0.1 ",
		" 127.0.0.1",
		"[::1]",
		"10.0.0.1:80",
		"10.0.0.1/8",
		"10.0.0.256",
		"unix:/run/x.sock",
		"http://10.0.0.1",
		"10.0.0.1.aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		for (int what = DIAL_NODE; what <= DIAL_POD; what++)
			if (may((enum dial_what)what, bad[i], 10250, &own))
				fail_msg("'%s' is allowed", bad[i]);
	assert_int_equal(dial_allowed(DIAL_POD, sv_make("10.0.0.1\0x", 10), 80, &own, NULL), -1);
}

static void test_allowed(void **state)
{
	static const char *const good[] = { "10.42.0.5",     "192.168.1.1",   "192.0.2.7",
					    "203.0.113.9",   "126.0.0.1",     "128.0.0.1",
					    "169.253.0.1",   "223.1.1.1",     "240.0.0.1",
					    "2001:db8::7",   "fd00::2",	      "::ffff:10.0.0.1",
					    "fe00::1",	     "fec0::1",	      "64:ff9b::10.0.0.1",
					    "2002:a00:1::1", "fd00:ec2::253", "64:ff9c::127.0.0.1" };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(good); i++)
		for (int what = DIAL_NODE; what <= DIAL_POD; what++)
			if (!may((enum dial_what)what, good[i], 10250, &own))
				fail_msg("'%s' is not allowed", good[i]);
}

/* The machine's own addresses are fine, its API server is not. */
static void test_itself(void **state)
{
	(void)state;
	assert_false(may(DIAL_NODE, "192.0.2.7", 6443, &own));
	assert_false(may(DIAL_POD, "192.0.2.7", 6443, &own));
	assert_false(may(DIAL_POD, "::ffff:192.0.2.7", 6443, &own));
	assert_false(may(DIAL_POD, "2001:db8:0:0::7", 6443, &own));
	assert_false(may(DIAL_POD, "64:ff9b::192.0.2.7", 6443, &own));
	assert_false(may(DIAL_GIVEN, "2002:c000:207::1", 6443, &own));
	assert_true(may(DIAL_POD, "192.0.2.7", 6444, &own));
	assert_true(may(DIAL_POD, "192.0.2.8", 6443, &own));
	assert_false(may(DIAL_POD, "192.0.2.8", 0, &own));
	assert_false(may(DIAL_POD, "192.0.2.8", 65536, &own));
	assert_false(may(DIAL_POD, "192.0.2.8", -1, &own));
}

/* A machine without a network has its node on loopback. */
static void test_without_network(void **state)
{
	const struct dial_own o = { .port = 6443, .loopback_node = "127.0.0.1" };

	(void)state;
	assert_true(may(DIAL_NODE, "127.0.0.1", 10250, &o));
	assert_false(may(DIAL_NODE, "127.0.0.1", 6443, &o));
	assert_false(may(DIAL_NODE, "127.0.0.2", 10250, &o));
	assert_false(may(DIAL_NODE, "::1", 10250, &o));
	assert_false(may(DIAL_POD, "127.0.0.1", 10250, &o));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_never),
		cmocka_unit_test(test_allowed),
		cmocka_unit_test(test_itself),
		cmocka_unit_test(test_without_network),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
