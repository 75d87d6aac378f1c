/* Corefiles as users have them, who may ask, and names. */
#include "dns_kit.h"

#include "dns/clients.h"
#include "dns/rate.h"

static struct dns_config *C;
static struct buf Said;

static int config_setup(void **state)
{
	(void)state;
	C = dns_config_new(SV("Cluster.Local."));
	return 0;
}

static int config_teardown(void **state)
{
	(void)state;
	C = dns_config_free(C);
	buf_release(&Said);
	return 0;
}

/* "1.1.1.1:53 1.1.1.2:5353 host" */
static const char *servers_of(const char *name)
{
	static struct buf b;
	struct dns_name n = kit_name(name);
	const struct dns_forward *f = dns_config_forward(C, &n);

	buf_clear(&b);
	buf_adds(&b, "");
	for (size_t i = 0; f && i < f->n_to; i++)
		buf_printf(&b, "%s%s:%u", i ? " " : "", ip_text(f->to[i].addr).s, f->to[i].port);
	if (f && f->host)
		buf_adds(&b, b.n ? " host" : "host");
	return f ? buf_cstr(&b) : "nowhere";
}

static void corefile(const char *text)
{
	buf_clear(&Said);
	dns_config_corefile(C, sv_from(text), NULL, &Said);
}

/* What k3s and kubeadm write is taken without a word. */
static void test_usual(void **state)
{
	(void)state;
	corefile(".:53 {\n    errors\n    health {\n       lameduck 5s\n    }\n    ready\n"
		 "    kubernetes cluster.local in-addr.arpa ip6.arpa {\n       pods insecure\n"
		 "       fallthrough in-addr.arpa ip6.arpa\n       ttl 30\n    }\n    hosts /etc/coredns/NodeHosts {\n"
		 "      ttl 60\n      reload 15s\n      fallthrough\n    }\n    prometheus :9153\n"
		 "    forward . /etc/resolv.conf {\n       max_concurrent 1000\n    }\n    cache 30 {\n"
		 "       disable success cluster.local\n    }\n    loop\n    reload\n    loadbalance\n"
		 "    import /etc/coredns/custom/*.override\n}\nimport /etc/coredns/custom/*.server\n");
	assert_string_equal(buf_cstr(&Said), "");
	assert_string_equal(servers_of("example.org"), "host");
	assert_int_equal(C->ttl, 30);
	assert_int_equal(C->cache_max_s, 30);
	assert_int_equal(C->hosts.ttl, 60);
}

static void test_servers(void **state)
{
	(void)state;
	assert_string_equal(servers_of("example.org"), "host");
	corefile(". {\n forward . 1.1.1.1 dns://1.1.1.2:5353 [2001:db8::1]:54 2001:db8::2 {\n except Internal.test\n"
		 " policy sequential\n force_tcp\n }\n}\n"
		 "corp.test:53 a.b.corp.test {\n forward . 10.0.0.1\n}\nb.corp.test {\n forward . 10.0.0.2\n}\n");
	assert_string_equal(buf_cstr(&Said), "");
	assert_string_equal(servers_of("example.org"), "1.1.1.1:53 1.1.1.2:5353 2001:db8::1:54 2001:db8::2:53");
	assert_string_equal(servers_of("x.internal.test"), "nowhere");
	assert_string_equal(servers_of("corp.test"), "10.0.0.1:53");
	assert_string_equal(servers_of("x.b.corp.test"), "10.0.0.2:53");
	assert_string_equal(servers_of("x.a.b.corp.test"), "10.0.0.1:53");
	assert_string_equal(servers_of("xcorp.test"), "1.1.1.1:53 1.1.1.2:5353 2001:db8::1:54 2001:db8::2:53");
}

#define SAYS(text, part)                                          \
	do {                                                      \
		corefile(text);                                   \
		assert_non_null(strstr(buf_cstr(&Said), (part))); \
	} while (0)

static void test_said(void **state)
{
	(void)state;
	SAYS(". {\n etcd {\n path /x\n }\n log\n}\n", "line 2: this plugin is not built in and left out: 'etcd'");
	assert_true(C->log_queries); /* the rest works */
	SAYS(". {\n forward . tls://1.1.1.1\n}\n", "line 2: forward does not know how to ask 'tls://1.1.1.1'");
	assert_string_equal(servers_of("example.org"), "host");
	SAYS(". {\n forward .\n}\n", "forward names no server");
	SAYS(". {\n rewrite type ANY HINFO\n}\n", "rewrite knows `name` alone");
	SAYS(". {\n rewrite name regex a b\n}\n", "exact and suffix, not 'regex'");
	SAYS(". {\n rewrite name a\n}\n", "needs two names");
	SAYS(". {\n hosts {\n nonsense a\n }\n}\n", "left out of hosts: 'nonsense'");
	SAYS("(snip) {\n log\n}\n", "snippets are left out");
	SAYS("garbage\n", "a server block begins with zones");
	SAYS(". {\n cache x\n}\n", "no number of seconds: 'x'");
	SAYS("a..b {\n log\n}\n", "no domain name: 'a..b'");
}

/* Any text: no crash, and what is written cannot grow without bound. */
static void test_any_text(void **state)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	(void)state;
	corefile("");
	corefile("{");
	corefile("}");
	corefile(". {");
	corefile(". {\n{\n{\n}\n");
	corefile(". {\n forward . {\n");
	corefile("\"");
	for (int i = 0; i < 20000; i++)
		buf_adds(&b, ". {\n x {\n");
	corefile(buf_cstr(&b));
	assert_true(Said.n < 5000);
}

static void test_override(void **state)
{
	(void)state;
	dns_config_override(C, SV("log\nrewrite name a.test b.test\nforward . 9.9.9.9\n"), NULL, &Said);
	assert_int_equal(Said.n, 0);
	assert_true(C->log_queries);
	assert_int_equal(C->rewrites.n, 1);
	assert_string_equal(servers_of("example.org"), "9.9.9.9:53");
}

static void test_rewrite_order(void **state)
{
	struct dns_name a = kit_name("a.test"), to;

	(void)state;
	corefile(
	    ". {\n rewrite continue name a.test b.test\n rewrite name b.test c.test\n rewrite name c.test d.test\n}\n");
	assert_true(dns_config_rewrite(C, &a, &to));
	assert_memory_equal(to.b, "\1c\4test", 8);
	a = kit_name("x.test");
	assert_false(dns_config_rewrite(C, &a, &to));
}

static void test_clients(void **state)
{
	static const char *const nets[] = { "10.42.0.0/16", "10.42.3.0/24", "192.168.1.5", "fd42::/56",
					    "10.42.0.0/16" };
	struct ip_net list[8];
	struct dns_clients *c;
	struct {
		const char *ip;
		bool may;
	} cases[] = { { "10.42.0.1", true },   { "10.42.255.255", true },
		      { "10.43.0.1", false },  { "10.41.255.255", false },
		      { "192.168.1.5", true }, { "192.168.1.6", false },
		      { "fd42::1", true },     { "fd42:0:0:100::1", false },
		      { "127.0.0.1", true },   { "127.9.9.9", true },
		      { "::1", true },	       { "8.8.8.8", false },
		      { "::2", false } };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(nets); i++)
		assert_true(ip_net_parse(sv_from(nets[i]), &list[i]));
	c = dns_clients_new(list, ARRAY_LEN(nets));
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct ip_addr a;

		assert_true(ip_parse(sv_from(cases[i].ip), &a));
		if (dns_clients_has(c, a) != cases[i].may)
			fail_msg("%s", cases[i].ip);
		assert_int_equal(dns_clients_has(NULL, a), ip_is_loopback(a));
	}
	dns_clients_free(c);
}

/* One that asks without end is not answered without end; others are. */
static void test_rate(void **state)
{
	static struct dns_rate r;
	struct ip_addr loud = ip_v4(0x0a2a0001), other = ip_v4(0x0a2a0002);
	int64_t now = 1000 * NS_PER_SEC;
	int answered = 0;

	(void)state;
	for (int i = 0; i < 100000; i++)
		answered += dns_rate_take(&r, loud, now);
	assert_int_equal(answered, DNS_RATE_MOST);
	assert_true(dns_rate_take(&r, other, now));
	assert_false(dns_rate_take(&r, loud, now + DNS_RATE_NS - 1));
	assert_true(dns_rate_take(&r, loud, now + DNS_RATE_NS));
}

static void test_names(void **state)
{
	static const char *const bad[] = { "",
					   "..",
					   "a..b",
					   ".a",
					   "a.b..",
					   "a\\.b",
					   "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.b" };
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	struct dns_name n;
	size_t before;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		if (dns_name_parse(sv_from(bad[i]), &n))
			fail_msg("'%s' is a name", bad[i]);
	n = kit_name("A.b.");
	dns_name_text(&n, &b);
	assert_string_equal(buf_cstr(&b), "A.b.");
	n = (struct dns_name){ 5, "\3a.\1" };
	buf_clear(&b);
	dns_name_text(&n, &b);
	assert_string_equal(buf_cstr(&b), "a\\046\\001.");
	/* Equal bytes within a label are no label. */
	n = (struct dns_name){ 9, "\7a\5local" };
	assert_false(dns_name_within(&n, &(struct dns_name){ 7, "\5local" }, &before));
	assert_null(dns_config_new(SV(".")));
	assert_null(dns_config_new(SV("a..b")));
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, config_setup, config_teardown)
	const struct CMUnitTest tests[] = {
		T(test_usual),	       T(test_servers), T(test_said), T(test_any_text), T(test_override),
		T(test_rewrite_order), T(test_clients), T(test_rate), T(test_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
