#include "unit.h"

#include "cli/server.h"

static struct server_opts usable(void)
{
	return (struct server_opts){ .port = 6443,
				     .etcd_port = 2379,
				     .bind_address = "0.0.0.0",
				     .ipv6_masq = true,
				     .endpoint_reconciler = "lease",
				     .snapshots = { .cron = "0 */12 * * *", .retention = 5 },
				     .facts.cluster_cidr = "10.42.0.0/16",
				     .facts.cluster_domain = "cluster.local" };
}

static void refused(const struct server_opts *o, const char *flag)
{
	_cleanup_(err_release) struct err err = ERR_INIT;

	assert_int_equal(server_check(o, &err), -1);
	assert_non_null(strstr(err_msg(&err), flag));
}

static void test_flags(void **state)
{
	struct server_opts o = usable();

	(void)state;
	assert_int_equal(server_check(&o, NULL), 0);
	o.facts.service_cidr = "10.43.0.0/16";
	o.facts.cluster_cidr = "fd42::/56";
	assert_int_equal(server_check(&o, NULL), 0);
	o.facts.cluster_cidr = "10.42.0.0/16,fd42::/56";
	o.facts.service_cidr = "10.43.0.0/16,fd43::/112";
	o.node.node_name = "node-1.example";
	o.node.node_ip = "2001:db8::1";
	assert_int_equal(server_check(&o, NULL), 0);
	o.node.node_ip = "2001:db8::1,192.0.2.1";
	o.node.flannel_iface = "lo";
	o.facts.flannel_backend = "host-gw";
	o.node_mask_v4 = 26;
	o.node_mask_v6 = 72;
	assert_int_equal(server_check(&o, NULL), 0);
	o.node_mask_v6 = 73;
	refused(&o, "between /56 and /72");

#define REFUSED(field, value, flag) \
	o = usable();               \
	o.field = value;            \
	refused(&o, flag)
	REFUSED(port, -1, "--https-listen-port");
	REFUSED(snapshots.cron, "0 25 * * *", "--snapshot-schedule-cron");
	REFUSED(snapshots.name, "a/b", "--snapshot-name");
	REFUSED(snapshots.name, "", "--snapshot-name");
	REFUSED(snapshots.retention, -1, "--snapshot-retention");
	REFUSED(etcd_port, 65535, "--etcd-port");
	REFUSED(etcd_port, 0, "--etcd-port");
	REFUSED(join_url, "http://10.0.0.1:6443", "--server takes a URL that begins with https://");
	REFUSED(ipv6_masq, false, "--flannel-ipv6-masq");
	REFUSED(port, 65536, "--https-listen-port");
	REFUSED(proxy_cert_file, "/a", "--proxy-client-key-file");
	REFUSED(proxy_key_file, "/a", "--proxy-client-cert-file");
	REFUSED(node.kubelet_port, -1, "--kubelet-port");
	REFUSED(node.pod_max_pids, -2, "--pod-max-pids");
	REFUSED(node.pod_max_pids, 15, "--pod-max-pids");
	REFUSED(node.restore_grace, "10", "--restore-grace");
	REFUSED(node.restore_grace, "-1s", "--restore-grace");
	REFUSED(node.registry_config_dir, "/etc/a\"b", "--registry-config-dir");
	REFUSED(node.registry_config_dir, "/etc/a\nb", "--registry-config-dir");
	REFUSED(node.registry_config_dir, "/etc/a\\", "--registry-config-dir");
	REFUSED(bind_address, "localhost", "--bind-address");
	REFUSED(node.node_ip, "10.0.0.256", "--node-ip");
	REFUSED(node.node_ip, "10.0.0.1,10.0.0.2", "one of each family");
	REFUSED(node.node_ip, "10.0.0.1,", "--node-ip");
	REFUSED(node.flannel_iface, "no-such-link", "--flannel-iface");
	REFUSED(facts.flannel_backend, "wireguard-native", "wireguard-native is not built");
	REFUSED(facts.flannel_backend, "VXLAN", "--flannel-backend=VXLAN: it takes vxlan, host-gw or none");
	REFUSED(node_mask_v4, 15, "--node-cidr-mask-size-ipv4 takes a length between /16 and /30");
	REFUSED(node_mask_v4, -1, "--node-cidr-mask-size-ipv4");
	REFUSED(node_mask_v6, 64, "--cluster-cidr has no range of that family");
	REFUSED(facts.cluster_dns, "dns", "--cluster-dns");
	REFUSED(facts.cluster_dns, "10.43.0.10,", "--cluster-dns");
	REFUSED(facts.ingress_trusted, "", "--ingress-trusted-proxies");
	REFUSED(facts.ingress_trusted, "10.0.0.0/8,lb.example", "--ingress-trusted-proxies");
	REFUSED(facts.ingress_trusted, "10.0.0.0/33", "--ingress-trusted-proxies");
	REFUSED(facts.ingress_proxy_protocol, true, "--ingress-trusted-proxies names");
	REFUSED(facts.cluster_domain, "a..b", "--cluster-domain");
	REFUSED(facts.cluster_domain, "", "--cluster-domain");
	REFUSED(node.resolv_conf, "/nonexistent/resolv.conf", "--resolv-conf");
	REFUSED(node.node_name, "Node_1", "--node-name");
	REFUSED(facts.cluster_cidr, "10.42.0.0", "--cluster-cidr");
	REFUSED(facts.cluster_cidr, "10.42.0.0/25", "--cluster-cidr");
	REFUSED(facts.cluster_cidr, "10.42.0.0/16,10.44.0.0/16", "one range of each family");
	REFUSED(facts.cluster_cidr, "10.42.0.0/16,fd42::/80", "between /16 and /64");
	REFUSED(facts.cluster_cidr, "10.42.0.0/16,fd42::/56,fd44::/56", "one of each family");
	REFUSED(facts.service_cidr, "10.43.0.0/16,", "--service-cidr");
	REFUSED(facts.service_cidr, "fd00::/48", "between /64 and /124");
	REFUSED(facts.service_cidr, "fd00::/112,10.42.0.0/24", "overlap");
	REFUSED(facts.service_cidr, "10.0.0.0/7", "--service-cidr");
	REFUSED(facts.service_cidr, "10.42.128.0/20", "overlap");
	REFUSED(facts.service_cidr, "10.0.0.0/8", "overlap");
	REFUSED(token, "", "--token");
	REFUSED(token, "secret", "--token-auth-file"); /* what to do instead */
	REFUSED(token, "K10abc::abcdef.0123456789abcdef", "--token");
	REFUSED(token_auth_file, "", "--token-auth-file");
#undef REFUSED
	o = usable();
	o.token = "abcdef.0123456789abcdef";
	assert_int_equal(server_check(&o, NULL), 0);
}

static void one(struct string_list *l, const char *text)
{
	l->list.n = 0;
	vec_push(&l->list, text);
	vec_push(&l->list, NULL); /* as parsing leaves it */
}

static void test_lists(void **state)
{
	struct server_opts o = usable();

	(void)state;
	one(&o.node.node_labels, "example.com/disk=ssd");
	one(&o.node.node_taints, "dedicated=db:NoExecute");
	one(&o.facts.disable, "traefik");
	assert_int_equal(server_check(&o, NULL), 0);
	one(&o.node.node_taints, "dedicated:NoSchedule");
	assert_int_equal(server_check(&o, NULL), 0);

	one(&o.node.node_taints, "dedicated=db");
	refused(&o, "--node-taint");
	one(&o.node.node_taints, "dedicated=db:Never");
	refused(&o, "--node-taint");
	one(&o.node.node_taints, "=db:NoExecute");
	refused(&o, "--node-taint");
	one(&o.node.node_taints, "a b:NoExecute");
	refused(&o, "--node-taint");
	one(&o.node.node_taints, "a:NoExecute");
	one(&o.node.node_labels, "a/b/c=d");
	refused(&o, "--node-label");
	one(&o.node.node_labels, "node-role.kubernetes.io/worker=");
	refused(&o, "--node-label");
	one(&o.node.node_labels, "node-restriction.kubernetes.io/tier=high");
	refused(&o, "--node-label");
	one(&o.node.node_labels, "x.k8s.io/y=z");
	refused(&o, "--node-label");
	one(&o.node.node_labels, "topology.kubernetes.io/zone=a");
	assert_int_equal(server_check(&o, NULL), 0);
	one(&o.node.node_labels, "a=b");
	one(&o.facts.disable, "trafeik");
	refused(&o, "--disable");
	o.facts.disable.list.n = 0;
	vec_push(&o.facts.disable.list, NULL);
	one(&o.node.kube_proxy_args, "nodeport-addresses=primary");
	assert_int_equal(server_check(&o, NULL), 0);
	one(&o.node.kube_proxy_args, "masquerade-all");
	assert_int_equal(server_check(&o, NULL), 0);
	one(&o.node.kube_proxy_args, "nodeport-address=primary");
	refused(&o, "--kube-proxy-arg");
	one(&o.node.kube_proxy_args, "proxy-mode=userspace");
	refused(&o, "--kube-proxy-arg");
	string_list_release(&o.node.node_labels);
	string_list_release(&o.node.node_taints);
	string_list_release(&o.node.kube_proxy_args);
	string_list_release(&o.facts.disable);
}

#define LIST(...)                                                     \
	{                                                             \
		.list = {.p = (const char *[]){ __VA_ARGS__, NULL } } \
	}

static void test_control_plane_alone(void **state)
{
	struct server_opts o = usable();

	(void)state;
	o.controllers = (struct string_list)LIST("*", "-job-controller", "namespace-controller");
	assert_int_equal(server_check(&o, NULL), 0);
	o.controllers = (struct string_list)LIST("*", "-job");
	refused(&o, "\"job\" is not in the list of known controllers");
	o = usable();
	o.tls_cert_file = "x.crt";
	refused(&o, "--tls-private-key-file");
	o = usable();
	o.tls_sni = (struct string_list)LIST("a.crt,a.key", "a.crt");
	refused(&o, "expected comma separated certificate and key file paths");
	o = usable();
	o.tls_sni = (struct string_list)LIST("a.crt,a.key:");
	refused(&o, "empty names list is not allowed");
	o = usable();
	o.kubelets.key_file = "x.key";
	refused(&o, "--kubelet-client-certificate");
	o = usable();
	o.kubelet_timeout = "5";
	refused(&o, "--kubelet-timeout");
	o = usable();
	o.proxy_cert_file = "x.crt";
	refused(&o, "--proxy-client-key-file");
	o = usable();
	o.tls_min_version = "VersionTLS13";
	o.tls_suites = (struct string_list)LIST("TLS_AES_128_GCM_SHA256", "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256");
	assert_int_equal(server_check(&o, NULL), 0);
	o.tls_suites = (struct string_list)LIST("TLS_RSA_WITH_NOTHING");
	refused(&o, "Cipher suite TLS_RSA_WITH_NOTHING not supported or doesn't exist");
	o = usable();
	o.tls_min_version = "VersionTLS11";
	refused(&o, "nothing below VersionTLS12");
	o.tls_min_version = "TLS13";
	refused(&o, "unknown tls version \"TLS13\"");
	o = usable();
	o.kubelet_addresses = (struct string_list)LIST("InternalIP", "Hostname");
	assert_int_equal(server_check(&o, NULL), 0);
	o.kubelet_addresses = (struct string_list)LIST("InternalIP", "hostname");
	refused(&o, "--kubelet-preferred-address-types");
}

static void test_own_etcd(void **state)
{
	struct server_opts o = usable();

	(void)state;
	o.cluster_init = true;
	assert_int_equal(server_check(&o, NULL), 0);
	o.join_url = "https://10.0.0.1:6443";
	refused(&o, "one of both");
	o.cluster_init = false;
	assert_int_equal(server_check(&o, NULL), 0);
	o.datastore.endpoint = "http://10.0.0.1:2379";
	refused(&o, "--datastore-endpoint each server is given that etcd");
	o.join_url = NULL;
	o.cluster_reset = true;
	refused(&o, "--cluster-reset is for servers with an etcd of their own");
	o.datastore.endpoint = NULL;
	assert_int_equal(server_check(&o, NULL), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_flags),
		cmocka_unit_test(test_own_etcd),
		cmocka_unit_test(test_lists),
		cmocka_unit_test(test_control_plane_alone),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
