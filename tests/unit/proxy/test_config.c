/* KubeProxyConfiguration and the flags. */
#include "unit.h"

#include "base/buf.h"
#include "proxy/health.h"
#include "proxy/proxy_config.h"

static struct arena A;
static struct buf notes;

static void on_note(const char *what, _unused_ void *ctx)
{
	buf_printf(&notes, "%s\n", what);
}

#define HEAD "apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\n"

/* "" or why not. */
static const char *config_load(struct proxy_config *c, const char *text)
{
	static struct buf why;
	struct err err = ERR_INIT;

	buf_clear(&why);
	buf_clear(&notes);
	buf_adds(&why, "");
	buf_adds(&notes, "");
	proxy_config_release(c);
	proxy_config_defaults(c);
	if (proxy_config_read(&A, c, sv_from(text), on_note, NULL, &err) < 0 ||
	    proxy_config_check(&A, c, on_note, NULL, &err) < 0)
		buf_adds(&why, err_msg(&err));
	err_release(&err);
	return buf_cstr(&why);
}

static void test_defaults(_unused_ void **state)
{
	struct proxy_config c = { .kubeconfig = NULL };

	assert_string_equal(config_load(&c, HEAD), "");
	assert_string_equal(buf_cstr(&notes), "");
	assert_string_equal(c.healthz_address, "0.0.0.0:10256");
	assert_string_equal(c.metrics_address, "127.0.0.1:10249");
	assert_int_equal(c.conntrack_max_per_core, 32768);
	assert_int_equal(c.conntrack_min, 131072);
	assert_int_equal(c.rules[0].masquerade_bit, 14);
	assert_int_equal(c.tcp_established_ns, 24 * 3600 * NS_PER_SEC);
	assert_int_equal(c.nodeport_addresses.n, 0);
	/* null is the default, as kubeadm writes it. */
	assert_string_equal(config_load(&c, HEAD "conntrack: {min: null, maxPerCore: null}\niptables: null\n"), "");
	assert_int_equal(c.conntrack_min, 131072);
	proxy_config_release(&c);
}

static void test_fields(_unused_ void **state)
{
	struct proxy_config c = { .kubeconfig = NULL };

	assert_string_equal(
	    config_load(&c, HEAD "clientConnection: {kubeconfig: /k, qps: 5.5, burst: 10}\nhostnameOverride: n1\n"
				 "clusterCIDR: 10.42.0.0/16,fd42::/48\nmode: nftables\nfeatureGates: {A: true}\n"
				 "iptables: {masqueradeBit: 3, masqueradeAll: true}\nnftables: {masqueradeBit: 7}\n"
				 "conntrack: {maxPerCore: 0, udpTimeout: 1m30s, tcpBeLiberal: true}\n"
				 "nodePortAddresses: [10.0.0.0/8, 'fd00::/8']\nhealthzBindAddress: '[::]:1'\n"
				 "metricsBindAddress: ''\nlogging: {verbosity: 5, options: {json: {}}}\n"
				 "winkernel: {x: 1}\nipvs: {excludeCIDRs: [], strictARP: true}\n"),
	    "");
	assert_string_equal(buf_cstr(&notes), "");
	assert_string_equal(c.kubeconfig, "/k");
	assert_string_equal(c.hostname_override, "n1");
	assert_int_equal(c.rules[0].masquerade_bit, 7); /* of the mode's section */
	assert_false(c.rules[0].masquerade_all);
	assert_int_equal(c.udp_ns, 90 * NS_PER_SEC);
	assert_true(c.tcp_be_liberal);
	assert_int_equal(c.nodeport_addresses.n, 2);
	assert_string_equal(c.metrics_address, "");
	assert_int_equal(c.verbosity, 5);
	assert_string_equal(config_load(&c, HEAD "mode: ipvs\niptables: {masqueradeBit: 3}\n"), "");
	assert_string_equal(buf_cstr(&notes), "mode ipvs: rules are written for nftables all the same\n");
	assert_int_equal(c.rules[0].masquerade_bit, 3);
	proxy_config_release(&c);
}

static void test_unknown_fields_are_named(_unused_ void **state)
{
	struct proxy_config c = { .kubeconfig = NULL };

	assert_string_equal(
	    config_load(&c, HEAD "a: 1\nconntrack: {min: 7, max: 1}\nclusterCIDRs: x\nconntrac: {min: 1}\n"), "");
	assert_string_equal(buf_cstr(&notes),
			    "strict decoding error: unknown field \"a\", unknown field "
			    "\"conntrack.max\", unknown field \"clusterCIDRs\", unknown field \"conntrac\"\n");
	assert_int_equal(c.conntrack_min, 7);
	assert_string_equal(config_load(&c, HEAD "clusterCIDR: 10.0.0.0/8\nclusterCIDR: 11.0.0.0/8\n"), "");
	assert_non_null(strstr(buf_cstr(&notes), "key \"clusterCIDR\" already set in map"));
	proxy_config_release(&c);
}

static void test_refusals(_unused_ void **state)
{
	struct proxy_config c = { .kubeconfig = NULL };

#define REFUSED(text, part) assert_non_null(strstr(config_load(&c, text), part))
	REFUSED("kind: Pod\napiVersion: v1\n", "not a KubeProxyConfiguration");
	REFUSED("- 1\n", "not a KubeProxyConfiguration");
	REFUSED("", "not a KubeProxyConfiguration");
	REFUSED("a: [", "YAML");
	REFUSED(HEAD "mode: userspace\n", "mode: 'userspace'");
	REFUSED(HEAD "conntrack: 1\n", "conntrack takes a map");
	REFUSED(HEAD "conntrack: {min: '1'}\n", "conntrack.min takes a number");
	REFUSED(HEAD "conntrack: {min: -1}\n", "not negative");
	REFUSED(HEAD "conntrack: {min: 99999999999}\n", "conntrack.min takes a number");
	REFUSED(HEAD "conntrack: {udpTimeout: 5}\n", "conntrack.udpTimeout takes a duration");
	REFUSED(HEAD "conntrack: {udpTimeout: -5s}\n", "conntrack.udpTimeout takes a duration");
	REFUSED(HEAD "iptables: {masqueradeAll: 1}\n", "iptables.masqueradeAll takes true or false");
	REFUSED(HEAD "iptables: {masqueradeBit: 32}\n", "between 0 and 31");
	REFUSED(HEAD "clusterCIDR: 10.42.0.0\n", "clusterCIDR");
	REFUSED(HEAD "clusterCIDR: 10.42.0.0/33\n", "clusterCIDR");
	REFUSED(HEAD "clusterCIDR: 10.42.0.0/16,10.43.0.0/16\n", "clusterCIDR");
	REFUSED(HEAD "nodePortAddresses: 10.0.0.0/8\n", "nodePortAddresses takes a list");
	REFUSED(HEAD "nodePortAddresses: [10.0.0.1]\n", "nodePortAddresses");
	REFUSED(HEAD "nodePortAddresses: [primary, 10.0.0.0/8]\n", "nodePortAddresses");
	REFUSED(HEAD "healthzBindAddress: localhost:1\n", "healthzBindAddress");
	REFUSED(HEAD "metricsBindAddress: 127.0.0.1:70000\n", "metricsBindAddress");
	REFUSED(HEAD "detectLocalMode: Magic\n", "detectLocalMode");
	REFUSED(HEAD "detectLocalMode: BridgeInterface\n", "detectLocal.bridgeInterface");
	REFUSED(HEAD "detectLocalMode: InterfaceNamePrefix\ndetectLocal: {interfaceNamePrefix: 'a\"b'}\n",
		"detectLocal.interfaceNamePrefix");
	proxy_config_release(&c);
}

static void test_flags(_unused_ void **state)
{
	struct proxy_config c = { .kubeconfig = NULL };
	struct err err = ERR_INIT;
	const char *host;
	int port = 10256;

	proxy_config_defaults(&c);
	assert_int_equal(proxy_config_flag(&A, &c, "masquerade-all", SV("true"), &err), 1);
	assert_int_equal(proxy_config_flag(&A, &c, "iptables-masquerade-bit", SV("20"), &err), 1);
	assert_int_equal(proxy_config_flag(&A, &c, "nodeport-addresses", SV("10.0.0.0/8,fd00::/8"), &err), 1);
	assert_int_equal(proxy_config_flag(&A, &c, "cluster-cidr", SV("10.42.0.0/16"), &err), 1);
	assert_int_equal(proxy_config_flag(&A, &c, "ipvs-scheduler", SV("rr"), &err), 1);
	assert_int_equal(proxy_config_flag(&A, &c, "no-such-flag", SV("1"), &err), 0);
	for (int i = 0; i < 2; i++) {
		assert_true(c.rules[i].masquerade_all);
		assert_int_equal(c.rules[i].masquerade_bit, 20);
	}
	assert_int_equal(c.nodeport_addresses.n, 2);
	assert_int_equal(proxy_config_flag(&A, &c, "conntrack-min", SV("many"), &err), -1);
	assert_string_equal(err_msg(&err), "conntrack.min takes a number");
	err_release(&err);
	/* Each once. */
	for (const struct proxy_flag *f = proxy_config_flags(); f->name; f++)
		for (const struct proxy_flag *g = f + 1; g->name; g++)
			assert_string_not_equal(f->name, g->name);
	assert_true(proxy_address_split(&A, "[fd00::1]:80", &host, &port) && port == 80);
	assert_string_equal(host, "fd00::1");
	assert_true(proxy_address_split(&A, ":81", &host, &port) && port == 81);
	assert_string_equal(host, "0.0.0.0");
	assert_true(proxy_address_split(&A, "10.0.0.1", &host, &port) && port == 81);
	assert_false(proxy_address_split(&A, "", &host, &port));
	assert_false(proxy_address_split(&A, "[]:1", &host, &port));
	proxy_config_release(&c);
}

static void test_health_json(_unused_ void **state)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	proxy_health_json(&b, SV("ns"), SV("web"), 2, true);
	assert_string_equal(buf_cstr(&b),
			    "{\n\t\"service\": {\n\t\t\"namespace\": \"ns\",\n\t\t\"name\": \"web\"\n\t},\n"
			    "\t\"localEndpoints\": 2,\n\t\"serviceProxyHealthy\": true\n}");
}

static int teardown(_unused_ void **state)
{
	arena_release(&A);
	buf_release(&notes);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_fields),
		cmocka_unit_test(test_unknown_fields_are_named),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_flags),
		cmocka_unit_test(test_health_json),
	};

	return cmocka_run_group_tests(tests, NULL, teardown);
}
