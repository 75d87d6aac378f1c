/* What Services bring, and the table of all: Kubernetes' DNS specification 1.1.0, case by case. */
#include "dns_kit.h"

#include "dns/clients.h"

static struct zone_table *T;
static struct dns_config *C;

static int zone_setup(void **state)
{
	struct ip_net pods;

	(void)state;
	assert_int_equal(dns_wire_need(NULL), 0);
	T = zone_table_new();
	C = dns_config_new(SV("cluster.local"));
	dns_config_service(C, "10.43.0.10,fd43::a");
	dns_config_ranges(C, "10.43.0.0/16,10.42.0.0/20,fd43::/112");
	assert_true(ip_net_parse(SV("10.42.0.0/16"), &pods));
	C->pods = dns_clients_new(&pods, 1);
	return 0;
}

static int zone_teardown(void **state)
{
	(void)state;
	T = zone_table_free(T);
	dns_clients_free((struct dns_clients *)C->pods);
	C = dns_config_free(C);
	return 0;
}

/* The answer to one question, as text; where somebody else would be asked: "elsewhere NAME". */
static const char *ask(const char *name, uint16_t type)
{
	static struct buf b;
	struct dns_view v = { .zone = T, .cfg = C, .serial = 7 };
	struct dns_query q = kit_query(name, type);
	uint8_t out[DNS_UDP_PLAIN];
	struct dns_name target;
	size_t n;

	if (dns_answer(&v, &q, out, sizeof(out), &n, &target) == DNS_ANSWERED)
		return kit_text(out, n);
	buf_clear(&b);
	buf_adds(&b, "elsewhere ");
	dns_name_text(&target, &b);
	return buf_cstr(&b);
}

#define SOA "+cluster.local. 5 IN SOA ns.dns.cluster.local. hostmaster.cluster.local. 7 7200 1800 86400 5"
#define NONE "NXDOMAIN aa; " SOA
#define EMPTY "NOERROR aa; " SOA
#define WEB "web.ns.svc.cluster.local. 5 IN "
#define HTTP "'ports':[{'name':'http','port':80,'protocol':'TCP'},{'name':'dns','port':53,'protocol':'UDP'}]"

static void test_cluster_ip(void **state)
{
	(void)state;
	kit_put(T, kit_entry(KIT_SERVICE("web", "'clusterIP':'10.43.0.1','clusterIPs':['10.43.0.1','fd43::1']," HTTP),
			     NULL, NULL));
	assert_string_equal(ask("web.ns.svc.cluster.local", DNS_A), "NOERROR aa; " WEB "A 10.43.0.1");
	assert_string_equal(ask("web.ns.svc.cluster.local", DNS_AAAA), "NOERROR aa; " WEB "AAAA fd43::1");
	assert_string_equal(ask("_http._tcp.web.ns.svc.cluster.local", DNS_SRV),
			    "NOERROR aa; _http._tcp." WEB "SRV 0 100 80 web.ns.svc.cluster.local.; *" WEB
			    "A 10.43.0.1; *" WEB "AAAA fd43::1");
	assert_string_equal(ask("_dns._udp.web.ns.svc.cluster.local", DNS_SRV),
			    "NOERROR aa; _dns._udp." WEB "SRV 0 100 53 web.ns.svc.cluster.local.; *" WEB
			    "A 10.43.0.1; *" WEB "AAAA fd43::1");
	assert_string_equal(ask("_dns._tcp.web.ns.svc.cluster.local", DNS_SRV), NONE);
	assert_string_equal(ask("web.ns.svc.cluster.local", DNS_TXT), EMPTY);
	/* What stands above a name exists (RFC 8020). */
	assert_string_equal(ask("_tcp.web.ns.svc.cluster.local", DNS_SRV), EMPTY);
	assert_string_equal(ask("ns.svc.cluster.local", DNS_A), EMPTY);
	assert_string_equal(ask("svc.cluster.local", DNS_A), EMPTY);
	assert_string_equal(ask("other.svc.cluster.local", DNS_A), NONE);
	assert_string_equal(ask("web.other.svc.cluster.local", DNS_A), NONE);
	assert_string_equal(ask("a.web.ns.svc.cluster.local", DNS_A), NONE);
	assert_string_equal(ask("a.b._http._tcp.web.ns.svc.cluster.local", DNS_A), NONE);
	assert_string_equal(ask("1.0.43.10.in-addr.arpa", DNS_PTR),
			    "NOERROR aa; 1.0.43.10.in-addr.arpa. 5 IN PTR web.ns.svc.cluster.local.");
	assert_string_equal(
	    ask("1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.3.4.d.f.ip6.arpa", DNS_PTR),
	    "NOERROR aa; 1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.3.4.d.f.ip6.arpa. 5 IN PTR "
	    "web.ns.svc.cluster.local.");
}

/* The case that was asked comes back, whatever it was. */
static void test_case(void **state)
{
	(void)state;
	kit_put(T, kit_entry(KIT_SERVICE("web", "'clusterIP':'10.43.0.1'"), NULL, NULL));
	assert_string_equal(ask("WeB.nS.sVc.ClusteR.Local", DNS_A),
			    "NOERROR aa; WeB.nS.sVc.ClusteR.Local. 5 IN A 10.43.0.1");
}

#define PEER "peer.ns.svc.cluster.local. 5 IN "
#define EPS                                                                     \
	KIT_EP("10.42.0.5", ",'hostname':'peer-0','conditions':{'ready':true}") \
	"," KIT_EP("10.42.0.6", "") "," KIT_EP("10.42.0.7", ",'hostname':'peer-2','conditions':{'ready':false}")
#define RAFT "{'name':'raft','port':2380,'protocol':'TCP'}"

static void test_headless(void **state)
{
	const char *v4 = KIT_SLICE("IPv4", RAFT, EPS),
		   *v6 = KIT_SLICE("IPv6", RAFT, KIT_EP("fd42::5", ",'hostname':'peer-0'"));

	(void)state;
	kit_put(T, kit_entry(KIT_SERVICE("peer", "'clusterIP':'None'"), v4, v6));
	assert_string_equal(ask("peer.ns.svc.cluster.local", DNS_A),
			    "NOERROR aa; " PEER "A 10.42.0.5; " PEER "A 10.42.0.6");
	assert_string_equal(ask("peer.ns.svc.cluster.local", DNS_AAAA), "NOERROR aa; " PEER "AAAA fd42::5");
	assert_string_equal(ask("peer-0.peer.ns.svc.cluster.local", DNS_A), "NOERROR aa; peer-0." PEER "A 10.42.0.5");
	assert_string_equal(ask("peer-0.peer.ns.svc.cluster.local", DNS_AAAA),
			    "NOERROR aa; peer-0." PEER "AAAA fd42::5");
	assert_string_equal(ask("10-42-0-6.peer.ns.svc.cluster.local", DNS_A),
			    "NOERROR aa; 10-42-0-6." PEER "A 10.42.0.6");
	assert_string_equal(ask("10-42-0-6.peer.ns.svc.cluster.local", DNS_AAAA), EMPTY);
	assert_string_equal(ask("peer-2.peer.ns.svc.cluster.local", DNS_A), NONE);
	assert_string_equal(ask("_raft._tcp.peer.ns.svc.cluster.local", DNS_SRV),
			    "NOERROR aa; _raft._tcp." PEER "SRV 0 100 2380 peer-0.peer.ns.svc.cluster.local.; "
			    "_raft._tcp." PEER "SRV 0 100 2380 10-42-0-6.peer.ns.svc.cluster.local.; *peer-0." PEER
			    "A 10.42.0.5; *peer-0." PEER "AAAA fd42::5; *10-42-0-6." PEER "A 10.42.0.6");
	assert_string_equal(ask("5.0.42.10.in-addr.arpa", DNS_PTR),
			    "NOERROR aa; 5.0.42.10.in-addr.arpa. 5 IN PTR peer-0.peer.ns.svc.cluster.local.");
	/* Without a ready endpoint there is no such name; with publishNotReadyAddresses there is. */
	assert_null(kit_entry(KIT_SERVICE("peer", "'clusterIP':'None'"),
			      KIT_SLICE("IPv4", RAFT, KIT_EP("10.42.0.7", ",'conditions':{'ready':false}")), NULL));
	kit_put(T, kit_entry(KIT_SERVICE("peer", "'clusterIP':'None','publishNotReadyAddresses':true"), v4, NULL));
	assert_string_equal(ask("peer-2.peer.ns.svc.cluster.local", DNS_A), "NOERROR aa; peer-2." PEER "A 10.42.0.7");
}

static void test_external_name(void **state)
{
	(void)state;
	kit_put(T, kit_entry(KIT_SERVICE("ext", "'type':'ExternalName','externalName':'Example.ORG'"), NULL, NULL));
	kit_put(T, kit_entry(KIT_SERVICE("web", "'clusterIP':'10.43.0.1'"), NULL, NULL));
	kit_put(T, kit_entry(KIT_SERVICE("alias", "'type':'ExternalName','externalName':'web.ns.svc.cluster.local.'"),
			     NULL, NULL));
	kit_put(T, kit_entry(KIT_SERVICE("loop", "'type':'ExternalName','externalName':'loop.ns.svc.cluster.local'"),
			     NULL, NULL));
	assert_string_equal(ask("ext.ns.svc.cluster.local", DNS_CNAME),
			    "NOERROR aa; ext.ns.svc.cluster.local. 5 IN CNAME example.org.");
	assert_string_equal(ask("ext.ns.svc.cluster.local", DNS_A), "elsewhere example.org.");
	assert_string_equal(ask("alias.ns.svc.cluster.local", DNS_A),
			    "NOERROR aa; alias.ns.svc.cluster.local. 5 IN CNAME web.ns.svc.cluster.local.; " WEB
			    "A 10.43.0.1");
	assert_true(strncmp(ask("loop.ns.svc.cluster.local", DNS_A), "SERVFAIL", 8) == 0);
	/* An address is no name, and an ExternalName of one is none either. */
	assert_null(kit_entry(KIT_SERVICE("ip", "'type':'ExternalName','externalName':'1.2.3.4'"), NULL, NULL));
}

static void test_zone_itself(void **state)
{
	(void)state;
	assert_string_equal(ask("dns-version.cluster.local", DNS_TXT),
			    "NOERROR aa; dns-version.cluster.local. 5 IN TXT \"1.1.0\"");
	assert_string_equal(ask("cluster.local", DNS_NS), "NOERROR aa; cluster.local. 5 IN NS ns.dns.cluster.local.");
	assert_string_equal(
	    ask("cluster.local", DNS_SOA),
	    "NOERROR aa; cluster.local. 5 IN SOA ns.dns.cluster.local. hostmaster.cluster.local. 7 7200 "
	    "1800 86400 5");
	assert_string_equal(ask("cluster.local", DNS_A), EMPTY);
	assert_string_equal(ask("ns.dns.cluster.local", DNS_A), "NOERROR aa; ns.dns.cluster.local. 5 IN A 10.43.0.10");
	assert_string_equal(ask("ns.dns.cluster.local", DNS_AAAA),
			    "NOERROR aa; ns.dns.cluster.local. 5 IN AAAA fd43::a");
	assert_string_equal(ask("dns.cluster.local", DNS_A), EMPTY);
	assert_string_equal(ask("x.cluster.local", DNS_A), NONE);
	/* Whoever asks for everything gets little (RFC 8482). */
	assert_string_equal(ask("cluster.local", DNS_ANY), "NOERROR aa; cluster.local. 5 IN HINFO \"RFC8482\" \"\"");
	/* Not ours. */
	assert_string_equal(ask("local", DNS_A), "elsewhere local.");
	assert_string_equal(ask("xcluster.local", DNS_A), "elsewhere xcluster.local.");
	assert_string_equal(ask(".", DNS_NS), "elsewhere .");
}

static void test_pods(void **state)
{
	(void)state;
	assert_string_equal(ask("10-42-0-5.ns.pod.cluster.local", DNS_A),
			    "NOERROR aa; 10-42-0-5.ns.pod.cluster.local. 5 IN A 10.42.0.5");
	assert_string_equal(ask("10-42-0-5.ns.pod.cluster.local", DNS_AAAA), EMPTY);
	assert_string_equal(ask("ns.pod.cluster.local", DNS_A), EMPTY);
	assert_string_equal(ask("pod.cluster.local", DNS_A), EMPTY);
	/* No address, one of nobody here, one of the machine itself, one with more before it. */
	assert_string_equal(ask("10-42-0.ns.pod.cluster.local", DNS_A), NONE);
	assert_string_equal(ask("8-8-8-8.ns.pod.cluster.local", DNS_A), NONE);
	assert_string_equal(ask("127-0-0-1.ns.pod.cluster.local", DNS_A), NONE);
	assert_string_equal(ask("x.10-42-0-5.ns.pod.cluster.local", DNS_A), NONE);
}

/* Reverse names of the cluster's ranges are never asked of anybody else. */
static void test_reverse(void **state)
{
	(void)state;
	assert_true(strncmp(ask("9.9.43.10.in-addr.arpa", DNS_PTR), "NXDOMAIN aa; +43.10.in-addr.arpa. 5 IN SOA", 42) ==
		    0);
	assert_true(strncmp(ask("9.43.10.in-addr.arpa", DNS_PTR), "NOERROR aa; +43.10.in-addr.arpa. 5 IN SOA", 41) ==
		    0);
	/* A range that ends within a label. */
	assert_true(strncmp(ask("1.15.42.10.in-addr.arpa", DNS_PTR), "NXDOMAIN aa; +15.42.10.in-addr.arpa.", 36) == 0);
	assert_string_equal(ask("1.16.42.10.in-addr.arpa", DNS_PTR), "elsewhere 1.16.42.10.in-addr.arpa.");
	assert_string_equal(ask("10.in-addr.arpa", DNS_PTR), "elsewhere 10.in-addr.arpa.");
	assert_string_equal(ask("8.8.8.8.in-addr.arpa", DNS_PTR), "elsewhere 8.8.8.8.in-addr.arpa.");
	assert_string_equal(ask("256.0.43.10.in-addr.arpa", DNS_PTR), "elsewhere 256.0.43.10.in-addr.arpa.");
	assert_string_equal(ask("01.0.43.10.in-addr.arpa", DNS_PTR), "elsewhere 01.0.43.10.in-addr.arpa.");
}

/* A change is of one Service; what others have of its addresses stays. */
static void test_changes(void **state)
{
	const char *slice = KIT_SLICE("IPv4", RAFT, KIT_EP("10.42.0.5", ",'hostname':'h'"));
	struct zone_entry *a, *b;

	(void)state;
	kit_put(T, kit_entry(KIT_SERVICE("a", "'clusterIP':'None'"), slice, NULL));
	kit_put(T, kit_entry(KIT_SERVICE("b", "'clusterIP':'None'"), slice, NULL));
	kit_put(T, kit_entry(KIT_SERVICE("c", "'clusterIP':'None'"), slice, NULL));
	assert_int_equal(zone_table_count(T), 3);
	assert_non_null(strstr(ask("5.0.42.10.in-addr.arpa", DNS_PTR), "h.b.ns.svc"));
	zone_entry_free(zone_table_set(T, SV("\1b\2ns"), NULL));
	assert_null(strstr(ask("5.0.42.10.in-addr.arpa", DNS_PTR), "h.b.ns.svc"));
	assert_non_null(strstr(ask("5.0.42.10.in-addr.arpa", DNS_PTR), "h.a.ns.svc"));
	assert_non_null(strstr(ask("5.0.42.10.in-addr.arpa", DNS_PTR), "h.c.ns.svc"));
	zone_entry_free(zone_table_set(T, SV("\1c\2ns"), NULL));
	zone_entry_free(zone_table_set(T, SV("\1c\2ns"), NULL)); /* it is gone already */
	assert_non_null(strstr(ask("5.0.42.10.in-addr.arpa", DNS_PTR), "h.a.ns.svc"));
	zone_entry_free(zone_table_set(T, SV("\1a\2ns"), NULL));
	assert_true(strncmp(ask("5.0.42.10.in-addr.arpa", DNS_PTR), "NXDOMAIN", 8) == 0);
	assert_string_equal(ask("ns.svc.cluster.local", DNS_A), NONE); /* the namespace's last one */
	a = kit_entry(KIT_SERVICE("a", "'clusterIP':'None'"), slice, NULL);
	b = kit_entry(KIT_SERVICE("a", "'clusterIP':'None','ports':[]"), slice, NULL);
	assert_true(zone_entry_same(a, b));
	assert_false(zone_entry_same(a, NULL));
	zone_entry_free(a);
	zone_entry_free(b);
}

/* What does not fit says so, with what does; each begins with another one. */
static void test_truncated(void **state)
{
	struct dns_view v = { .zone = T, .cfg = C };
	struct dns_query q = kit_query("many.ns.svc.cluster.local", DNS_A);
	_cleanup_(buf_release) struct buf eps = BUF_INIT;
	_cleanup_free_ char *text = NULL;
	static uint8_t out[65535];
	struct dns_name target;
	size_t n;

	(void)state;
	for (int i = 0; i < 100; i++)
		buf_printf(&eps, "%s{'addresses':['10.42.1.%d']}", i ? "," : "", i);
	text = xasprintf(KIT_SLICE("IPv4", "%s", "%s"), "", buf_cstr(&eps));
	kit_put(T, kit_entry(KIT_SERVICE("many", "'clusterIP':'None'"), text, NULL));
	assert_int_equal(dns_answer(&v, &q, out, sizeof(out), &n, &target), DNS_ANSWERED);
	assert_true(n <= 512 && n > 512 - 16);
	assert_true(strncmp(kit_text(out, n), "NOERROR aa tc; many.ns.svc.cluster.local. 5 IN A 10.42.1.0;", 58) == 0);
	q.udp_max = 4096; /* more than anybody gets */
	q.edns = true;
	q.id = 3;
	assert_int_equal(dns_answer(&v, &q, out, sizeof(out), &n, &target), DNS_ANSWERED);
	assert_true(n <= 1232 && n > 1232 - 16);
	assert_true(strncmp(kit_text(out, n), "NOERROR aa tc; many.ns.svc.cluster.local. 5 IN A 10.42.1.3;", 58) == 0);
	q.tcp = true;
	assert_int_equal(dns_answer(&v, &q, out, sizeof(out), &n, &target), DNS_ANSWERED);
	assert_null(strstr(kit_text(out, n), " tc"));
}

static void test_hosts_and_rewrites(void **state)
{
	struct buf said = BUF_INIT;

	(void)state;
	kit_put(T, kit_entry(KIT_SERVICE("web", "'clusterIP':'10.43.0.1'"), NULL, NULL));
	dns_config_corefile(
	    C,
	    SV(".:53 {\n hosts {\n 1.2.3.4 my.host other.host\n fd00::1 my.host\n ttl 60\n fallthrough\n }\n"
	       " rewrite name old.name web.ns.svc.cluster.local\n"
	       " rewrite name suffix .corp.test .svc.cluster.local answer auto\n}\n"),
	    NULL, &said);
	assert_int_equal(said.n, 0);
	assert_string_equal(ask("My.host", DNS_A), "NOERROR aa; My.host. 60 IN A 1.2.3.4");
	assert_string_equal(ask("my.host", DNS_AAAA), "NOERROR aa; my.host. 60 IN AAAA fd00::1");
	assert_string_equal(ask("other.host", DNS_AAAA), "NOERROR aa");
	assert_string_equal(ask("4.3.2.1.in-addr.arpa", DNS_PTR),
			    "NOERROR aa; 4.3.2.1.in-addr.arpa. 60 IN PTR my.host.");
	assert_string_equal(ask("Old.name", DNS_A),
			    "NOERROR aa; Old.name. 5 IN CNAME web.ns.svc.cluster.local.; " WEB "A 10.43.0.1");
	assert_string_equal(ask("web.ns.corp.test", DNS_A),
			    "NOERROR aa; web.ns.corp.test. 5 IN CNAME web.ns.svc.cluster.local.; " WEB "A 10.43.0.1");
	assert_string_equal(ask("corp.test", DNS_A), "NOERROR aa; corp.test. 5 IN CNAME svc.cluster.local.; " SOA);
	assert_string_equal(ask("xcorp.test", DNS_A), "elsewhere xcorp.test.");
	buf_release(&said);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_cluster_ip, zone_setup, zone_teardown),
		cmocka_unit_test_setup_teardown(test_case, zone_setup, zone_teardown),
		cmocka_unit_test_setup_teardown(test_headless, zone_setup, zone_teardown),
		cmocka_unit_test_setup_teardown(test_external_name, zone_setup, zone_teardown),
		cmocka_unit_test_setup_teardown(test_zone_itself, zone_setup, zone_teardown),
		cmocka_unit_test_setup_teardown(test_pods, zone_setup, zone_teardown),
		cmocka_unit_test_setup_teardown(test_reverse, zone_setup, zone_teardown),
		cmocka_unit_test_setup_teardown(test_changes, zone_setup, zone_teardown),
		cmocka_unit_test_setup_teardown(test_truncated, zone_setup, zone_teardown),
		cmocka_unit_test_setup_teardown(test_hosts_and_rewrites, zone_setup, zone_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
