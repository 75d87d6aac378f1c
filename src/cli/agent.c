/* The node half: a private containerd (unless an endpoint is given), the kubelet on it, and what else every node has.
 */
#include "cli/agent.h"

#include "base/file.h"
#include "base/log.h"
#include "cli/supervise.h"
#include "client/events.h"
#include "client/informer.h"
#include "dns/dns.h"
#include "ingress/haproxy.h"
#include "ingress/ingress.h"
#include "kubelet/cni.h"
#include "kubelet/containerd.h"
#include "kubelet/image.h"
#include "kubelet/kubelet.h"
#include "kubelet/local_path.h"
#include "kubelet/node_cleanup.h"
#include "kubelet/pod_dns.h"
#include "kubelet/podnet.h"
#include "netd/netd.h"
#include "netd/policy/netpol.h"
#include "net/neigh.h"
#include "proxy/health.h"
#include "proxy/proxy.h"
#include "proxy/proxy_config.h"

#include <pthread.h>
#include <stdlib.h>

#define KEPT_KUBELET "kubelet"
#define KEPT_NAMES "dns" /* across a death of ours questions wait, and nobody is refused */

struct agent {
	struct arena arena;
	struct env *env;
	const struct agent_home *home;
	const struct node_opts *o;
	struct claim *claim;
	struct containerd *containerd;
	struct runtime *runtime;
	struct client *client, *shared_client, *dns_client, *storage_client, *netd_client, *netpol_client,
	    *ingress_client;
	/* What several parts read of the cluster is here once, by one watch: Services, EndpointSlices, Nodes. */
	struct informer_factory *shared;
	pthread_mutex_t lock; /* covers what /metrics asks: NULL while they are not there */
	struct proxy_health *asked_health;
	struct dns *asked_dns;
	struct recorder *recorder; /* before the kubelet has its own */
	struct kubelet *kubelet;
	struct podnet *podnet;
	enum netd_kind network;
	const char *node_ips;
	struct netd *netd;
	struct netpol *netpol;
	struct proxy_config proxy_config;
	struct proxy_health *proxy_health;
	struct proxy *proxy;
	struct dns *dns;
	struct local_path *local_path;
	struct ingress *ingress;
};

/* One line that says what to install, instead of a failure deep inside. */
static int check_machine(const struct node_opts *o, bool own_network, struct err *err)
{
	if (!o->runtime_endpoint) {
		if (!file_is_program("containerd"))
			return err_set(err, ERR_UNAVAILABLE, "containerd is not installed: apt-get install containerd");
		if (!file_is_program("runc"))
			return err_set(err, ERR_UNAVAILABLE, "runc is not installed: apt-get install runc");
		if (own_network && !cni_find_plugins())
			return err_set(
			    err, ERR_UNAVAILABLE,
			    "the CNI plugins are not installed: apt-get install containernetworking-plugins");
	}
	return 0;
}

static void agent_say(const char *what, void *ctx)
{
	(void)ctx;
	log_info("agent", "clearing up after an earlier node whose data directory was deleted", "done", "%s", what);
}

/* What of the machine is ours. */
static int claim_machine(struct agent *a, struct err *err)
{
	const struct node_opts *o = a->o;
	const struct claim_dirs dirs = { .kubelet_root = o->kubelet_root,
					 .log_dir = cluster_dirs(&a->arena, o->data_dir).log_dir };

	if (claim_take(o->data_dir, &a->claim, NULL, err) < 0)
		return -1;
	if (!o->runtime_endpoint && node_has_leftovers(o->data_dir)) {
		struct claim_dirs old = dirs;

		claim_read(&a->arena, o->data_dir, &old);
		if (node_cleanup(&(struct node_cleanup_opts){ .env = a->env,
							      .data_dir = o->data_dir,
							      .kubelet_root = old.kubelet_root,
							      .log_dir = old.log_dir,
							      .cgroup_root = cluster_cgroup(&a->arena, o->data_dir),
							      .say = agent_say },
				 err) < 0)
			return err_wrap(err, "clearing up after an earlier node");
	}
	return claim_use(a->claim, &dirs, err);
}

static void runtime_waits(const char *why, void *ctx)
{
	struct agent *a = ctx;

	/* No Node yet, or no API: then there is nobody who thinks otherwise. */
	if (!a->recorder)
		a->recorder = recorder_new(a->client, "kubelet", a->o->node_name);
	(void)kubelet_say_down(a->env, a->client, a->recorder, a->o->node_name, why, NULL);
}

static void runtime_hangs(void *ctx)
{
	struct agent *a = ctx;

	if (a->containerd)
		containerd_revive(a->containerd);
}

static int network_repair(void *ctx, struct buf *said)
{
	return podnet_repair(((struct agent *)ctx)->podnet, said);
}

static int start_runtime(struct agent *a, struct err *err)
{
	const struct node_opts *o = a->o;
	const char *endpoint = o->runtime_endpoint;
	bool foreign = a->network == NETD_NONE; /* where a network's own installer puts its plugins */

	if (!endpoint) {
		a->containerd =
		    containerd_start(&(struct containerd_opts){ .env = a->env,
								.data_dir = o->data_dir,
								.sandbox_image = o->pause_image,
								.registry_config_dir = o->registry_config_dir,
								.log_dir = cluster_dirs(&a->arena, o->data_dir).log_dir,
								.cni_conf_dir = foreign ? "/etc/cni/net.d" : NULL,
								.cni_bin_dir = foreign ? "/opt/cni/bin" : NULL,
								.waits = runtime_waits,
								.waits_ctx = a,
								.given_up = a->home->given_up },
				     err);
		if (!a->containerd)
			return err_wrap(err, "starting containerd");
		endpoint = containerd_endpoint(a->containerd);
	}
	a->runtime = runtime_cri_new(a->env, endpoint, err);
	return a->runtime ? 0 : err_wrap(err, "connecting to the container runtime at %s", endpoint);
}

/* Said once: pods would find no names at all, and nothing else says why. */
static void look_at_resolv_conf(struct agent *a)
{
	bool loopback;
	const char *file = resolv_conf_host_file(&a->arena, a->o->resolv_conf, &loopback);

	if (loopback && !a->home->facts->cluster_dns)
		log_warn("agent",
			 "pods do not reach a name server that listens on this machine alone; --resolv-conf FILE names "
			 "others",
			 "file", "%s", file);
}

static int pod_mtu(const struct obj *node, void *ctx)
{
	return netd_probe_mtu(((struct agent *)ctx)->network, node);
}

/* Somebody else's runtime has its own network configuration, as has somebody else's network. */
static int start_podnet(struct agent *a, struct err *err)
{
	if (a->o->runtime_endpoint || a->network == NETD_NONE)
		return 0;
	a->podnet = podnet_start(&(struct podnet_opts){ .client = a->client,
							.data_dir = a->o->data_dir,
							.node_name = a->o->node_name,
							.runtime = a->runtime,
							.mtu = pod_mtu,
							.mtu_ctx = a },
				 err);
	return a->podnet ? 0 : -1;
}

/* The pods of other nodes. */
static int start_network(struct agent *a, struct err *err)
{
	const char *settings = network_settings(&a->arena, claim_settings(a->claim));
	struct netd_backend *backend;
	char device[16];

	netd_device_name(a->o->data_dir, device);
	if (a->network == NETD_NONE) /* now; before it may have been ours */
		return netd_cleanup(device, settings, CLAIM_ALL, err) < 0 ? -1 : 0;
	a->netd_client = a->home->client(a->home->ctx, AGENT_NETWORK, "netd");
	if (!a->netd_client)
		return 0;
	backend = netd_backend_netlink_new(device, settings, a->home->facts->cluster_cidr, err);
	if (!backend)
		return -1;
	a->netd = netd_new(&(struct netd_opts){ .env = a->env,
						.client = a->netd_client,
						.informers = a->shared,
						.node_client = a->client,
						.backend = backend,
						.kind = a->network,
						.node_name = a->o->node_name,
						.cluster_cidr = a->home->facts->cluster_cidr,
						.addresses = a->o->pod_addresses },
			   err);
	return a->netd ? 0 : -1;
}

/* Whom the node remembers to have had these addresses is gone: for half a minute it would talk to him. */
static void forget_neighbours(struct agent *a, const struct sv *ips, size_t n_ips)
{
	_cleanup_(err_release) struct err err = ERR_INIT;
	struct ip_addr list[8];
	char bridge[16];
	size_t n = 0;

	for (size_t i = 0; i < n_ips && n < ARRAY_LEN(list); i++)
		n += ip_parse(ips[i], &list[n]);
	cni_bridge_name(a->o->data_dir, bridge);
	if (neigh_forget(bridge, list, n, &err) < 0)
		log_warn("agent", "old neighbours of a new pod's addresses are not forgotten", "error", "%s",
			 err_msg(&err));
}

static int network_ready(void *ctx, struct obj *pod, const struct sv *ips, size_t n_ips, struct err *err)
{
	struct agent *a = ctx;

	forget_neighbours(a, ips, n_ips);
	return a->netpol ? netpol_ready(a->netpol, pod, ips, n_ips, err) : 0;
}

static void network_gone(void *ctx, struct obj *pod)
{
	struct agent *a = ctx;

	if (a->netpol)
		netpol_gone(a->netpol, pod);
}

/* Before the kubelet, which asks it about each pod. */
static int start_policies(struct agent *a, struct err *err)
{
	const char *table = netpol_table(&a->arena, cluster_tag(&a->arena, a->o->data_dir));
	const char *settings = policy_settings(&a->arena, claim_settings(a->claim));
	struct netpol_backend *backend;
	char bridge[16];

	if (a->home->facts->disable_policy) /* now; before it may have been ours */
		return netpol_cleanup(table, settings, CLAIM_ALL, err) < 0 ? -1 : 0;
	a->netpol_client = a->home->client(a->home->ctx, AGENT_NETWORK, "netpol");
	if (!a->netpol_client)
		return 0;
	a->netpol_client->class = ENV_NODE;
	backend = netpol_backend_nft_new(table, settings, err);
	if (!backend)
		return err_wrap(err, "opening nftables for NetworkPolicies (--disable-network-policy does without)");
	cni_bridge_name(a->o->data_dir, bridge);
	a->netpol = netpol_new(
	    &(struct netpol_opts){ .env = a->env,
				   .client = a->netpol_client,
				   .backend = backend,
				   .node_name = a->o->node_name,
				   .table = table,
				   .bridge = a->o->runtime_endpoint || a->network == NETD_NONE ? NULL : bridge },
	    err);
	return a->netpol ? 0 : -1;
}

/* Of this node's names and Service rules, on the kubelet's page. */
static void agent_metrics(void *ctx, struct buf *b)
{
	struct agent *a = ctx;

	pthread_mutex_lock(&a->lock);
	if (a->asked_health)
		proxy_health_metrics(a->asked_health, b);
	if (a->asked_dns)
		dns_metrics(a->asked_dns, b);
	pthread_mutex_unlock(&a->lock);
}

static void agent_metrics_of(struct agent *a, struct proxy_health *health, struct dns *dns)
{
	pthread_mutex_lock(&a->lock);
	a->asked_health = health;
	a->asked_dns = dns;
	pthread_mutex_unlock(&a->lock);
}

static int start_kubelet(struct agent *a, struct err *err)
{
	const struct node_opts *o = a->o;
	const struct cluster_facts *facts = a->home->facts;
	int64_t grace_ns;
	struct sv cert, key;

	if (node_restore_grace(o, &grace_ns, err) < 0 || start_podnet(a, err) < 0)
		return -1;
	look_at_resolv_conf(a);
	if (a->home->serving(a->home->ctx, a->node_ips, &a->arena, &cert, &key, err) < 0)
		return -1;
	a->kubelet = kubelet_new(
	    &(struct kubelet_opts){
		.env = a->env,
		.client = a->client,
		.informers = a->shared,
		.metrics = agent_metrics,
		.metrics_ctx = a,
		.runtime = a->runtime,
		.node_name = o->node_name,
		.node_ips = a->node_ips,
		.root_dir = o->kubelet_root,
		.log_dir = cluster_dirs(&a->arena, o->data_dir).log_dir,
		.storage_dir = o->storage_dir,
		.cluster_dns = facts->cluster_dns,
		.cluster_domain = facts->cluster_domain,
		.resolv_conf = o->resolv_conf,
		.pause_image = o->pause_image ? o->pause_image : PAUSE_IMAGE,
		.port = o->kubelet_port ? o->kubelet_port : 10250,
		.listening_fd = supervise_kept(KEPT_KUBELET),
		.port_else_any = !o->kubelet_port, /* of another cluster's kubelet, say: the Node tells it */
		.serving_cert = cert,
		.serving_key = key,
		.client_ca = a->home->ca_pem,
		.cgroup_root = cluster_cgroup(&a->arena, o->data_dir),
		.max_pods = 110,
		.pod_max_pids = o->pod_max_pids,
		.restore_grace_ns = grace_ns,
		.revision_file = arena_printf(&a->arena, "%s/agent-revision", o->data_dir),
		.repair = a->podnet ? network_repair : NULL,
		.repair_ctx = a,
		.network_ready = network_ready,
		.network_gone = network_gone,
		.network_ctx = a,
		.runtime_hangs = runtime_hangs,
		.runtime_ctx = a,
		.node_labels = o->node_labels.list.p,
		.node_annotations = a->home->node_annotations,
		.node_taints = o->node_taints.list.p,
	    },
	    err);
	if (!a->kubelet)
		return err_wrap(err, "starting the kubelet");
	supervise_keep(KEPT_KUBELET, kubelet_fd(a->kubelet));
	return 0;
}

static int start_proxy(struct agent *a, struct err *err)
{
	const struct cluster_facts *facts = a->home->facts;
	const char *table = cluster_tag(&a->arena, a->o->data_dir);
	struct proxy_opts o = {
		.env = a->env,
		.pod_client = a->client, /* kube-proxy's role does not read Pods, the node's reads its own */
		.node_name = a->o->node_name,
		.cluster_cidr = facts->cluster_cidr,
		.table = table,
		.config = &a->proxy_config,
	};

	if (facts->disable_proxy)
		return 0;
	if (!facts_disabled(facts, "coredns"))
		o.own_service = "kube-system/kube-dns";
	if (node_proxy_config(a->o, &a->arena, &a->proxy_config, err) < 0)
		return -1;
	o.backend = proxy_backend_nft_new(table, claim_settings(a->claim), err);
	if (!o.backend)
		return err_wrap(err, "opening nftables");
	proxy_backend_nft_conntrack(o.backend, &a->proxy_config);
	/* Of several clusters on a machine one tells its health there. */
	a->proxy_health =
	    proxy_health_new(&(struct proxy_health_opts){ .env = a->env,
							  .loop = kubelet_loop(a->kubelet),
							  .healthz_address = a->proxy_config.healthz_address,
							  .metrics_address = a->proxy_config.metrics_address },
			     err);
	if (!a->proxy_health) {
		o.backend->free(o.backend);
		return -1;
	}
	o.health = a->proxy_health;
	o.informers = a->shared;
	a->proxy = proxy_new(&o, err);
	return a->proxy ? 0 : err_wrap(err, "starting the service proxy");
}

static int start_names(struct agent *a, struct err *err)
{
	const struct cluster_facts *facts = a->home->facts;

	if (facts_disabled(facts, "coredns"))
		return 0;
	a->dns_client = a->home->client(a->home->ctx, AGENT_NETWORK, "dns");
	if (!a->dns_client)
		return 0;
	a->dns = dns_start(&(struct dns_opts){ .env = a->env,
					       .client = a->dns_client,
					       .informers = a->shared,
					       .node_client = a->client,
					       .node_name = a->o->node_name,
					       .domain = facts->cluster_domain,
					       .cluster_dns = facts->cluster_dns,
					       .cluster_cidr = facts->cluster_cidr,
					       .service_cidr = facts->service_cidr,
					       .resolv_conf = a->o->resolv_conf,
					       .kept_fd = supervise_kept(KEPT_NAMES) },
			   err);
	if (!a->dns)
		return err_wrap(err, "starting the name server of the cluster");
	supervise_keep(KEPT_NAMES, dns_fd(a->dns));
	return 0;
}

static int start_storage(struct agent *a, struct err *err)
{
	if (facts_disabled(a->home->facts, "local-storage"))
		return 0;
	a->storage_client = a->home->client(a->home->ctx, AGENT_STORAGE, "local-path-provisioner");
	if (!a->storage_client)
		return 0;
	a->storage_client->class = ENV_NODE;
	a->local_path = local_path_start(
	    &(struct local_path_opts){
		.env = a->env, .client = a->storage_client, .node_name = a->o->node_name, .dir = a->o->storage_dir },
	    err);
	return a->local_path ? 0 : err_wrap(err, "starting the provisioner of local-path volumes");
}

static int start_ingress(struct agent *a, struct err *err)
{
	const struct cluster_facts *facts = a->home->facts;

	if (facts_no_ingress(facts) || (!a->o->ingress_http_port && !a->o->ingress_https_port)) {
		(void)haproxy_cleanup(a->o->data_dir); /* of a server that had it */
		return 0;
	}
	a->ingress_client = a->home->client(a->home->ctx, AGENT_NETWORK, "ingress-controller");
	if (!a->ingress_client)
		return 0;
	a->ingress_client->class = ENV_NODE;
	a->ingress = ingress_start(&(struct ingress_opts){ .env = a->env,
							   .informers = a->shared,
							   .client = a->ingress_client,
							   .node_name = a->o->node_name,
							   .data_dir = a->o->data_dir,
							   .no_gateway = facts_no_gateway(facts),
							   .trusted = facts->ingress_trusted,
							   .proxy_protocol = facts->ingress_proxy_protocol,
							   .http_port = a->o->ingress_http_port,
							   .https_port = a->o->ingress_https_port },
				   err);
	return a->ingress ? 0 : err_wrap(err, "starting the Ingress controller");
}

/* The image of the examples; a node without Debian's busybox-static merely has no demo. */
static void make_demo(struct agent *a)
{
	_cleanup_(arena_release) struct arena tmp = ARENA_INIT;
	_cleanup_(err_release) struct err err = ERR_INIT;
	struct rt_image *have = NULL;
	struct sv tar;

	if (!a->containerd || a->runtime->ops->image_status(a->runtime, &tmp, SV(DEMO_IMAGE), &have, &err) < 0 || have)
		return;
	if (image_build_demo(&tmp, "", &tar, &err) < 0 ||
	    image_import_bytes(containerd_socket(a->containerd), a->o->data_dir, tar, &err) < 0)
		log_warn("agent", "no demo image: the examples will not start", "error", "%s", err_msg(&err));
}

static const char *find_addresses(struct agent *a)
{
	const struct node_opts *o = a->o;
	const char *found = NULL;

	if (o->node_ip_found)
		found = host_node_ips(&a->arena, o->node_ip, o->flannel_iface, a->home->facts->cluster_cidr);
	else if (o->node_ip_more)
		found = arena_printf(&a->arena, "%s %s", o->node_ip, o->node_ip_more);
	return found ? found : o->node_ip;
}

static int start_sharing(struct agent *a, struct err *err)
{
	a->shared_client = a->home->client(a->home->ctx, AGENT_NETWORK, "node");
	if (!a->shared_client)
		return err_set(err, ERR_UNAVAILABLE, "no client to read the cluster's Services with");
	a->shared = informer_factory_new(a->shared_client);
	kubelet_keep(a->shared);
	netd_keep(a->shared);
	proxy_keep(a->shared);
	dns_keep(a->shared);
	ingress_keep(a->shared);
	informer_factory_start(a->shared);
	return 0;
}

static int agent_begin(struct agent *a, bool *ret_again, struct err *err)
{
	const char *backend = a->home->facts->flannel_backend, *why;

	if (!netd_kind_parse(backend ? backend : "vxlan", &a->network, &why))
		return err_set(err, ERR_INVALID, "--flannel-backend=%s: %s", backend, why);
	a->node_ips = find_addresses(a);
	if (check_machine(a->o, a->network != NETD_NONE, err) < 0 || claim_machine(a, err) < 0)
		return -1;
	if (start_runtime(a, err) < 0) {
		*ret_again = true;
		return -1;
	}
	if (start_sharing(a, err) < 0 || start_policies(a, err) < 0 || start_kubelet(a, err) < 0 ||
	    start_network(a, err) < 0 || start_proxy(a, err) < 0 || start_names(a, err) < 0 ||
	    start_storage(a, err) < 0 || start_ingress(a, err) < 0)
		return -1;
	agent_metrics_of(a, a->proxy_health, a->dns);
	make_demo(a);
	return 0;
}

struct agent *agent_start(const struct agent_home *home, const struct node_opts *o, bool *ret_again, struct err *err)
{
	struct agent *a = xcalloc(1, sizeof(*a));

	pthread_mutex_init(&a->lock, NULL);
	a->env = home->env;
	a->home = home;
	a->o = o;
	a->client = home->client(home->ctx, AGENT_KUBELET, "kubelet");
	a->client->class = ENV_NODE;
	return agent_begin(a, ret_again, err) < 0 ? agent_stop(a) : a;
}

int agent_serve_with(struct agent *a, struct sv cert, struct sv key, struct err *err)
{
	return kubelet_serve_with(a->kubelet, cert, key, err);
}

const char *agent_node_ips(const struct agent *a)
{
	return a->node_ips;
}

int agent_kubelet_port(const struct agent *a)
{
	return kubelet_port(a->kubelet);
}

struct agent *agent_stop(struct agent *a)
{
	if (!a)
		return NULL;
	agent_metrics_of(a, NULL, NULL);
	if (a->shared)
		informer_factory_stop(a->shared);
	ingress_stop(a->ingress);
	client_free(a->ingress_client);
	local_path_stop(a->local_path);
	client_free(a->storage_client);
	proxy_free(a->proxy, false); /* before the names: it sends their clients to other nodes */
	dns_stop(a->dns);
	client_free(a->dns_client);
	proxy_health_free(a->proxy_health);
	proxy_config_release(&a->proxy_config);
	netd_free(a->netd);
	client_free(a->netd_client);
	kubelet_free(a->kubelet);
	netpol_free(a->netpol);
	client_free(a->netpol_client);
	podnet_stop(a->podnet);
	informer_factory_free(a->shared);
	client_free(a->shared_client);
	recorder_free(a->recorder);
	client_free(a->client);
	if (a->runtime)
		a->runtime->ops->free(a->runtime);
	containerd_free(a->containerd);
	claim_free(a->claim);
	arena_release(&a->arena);
	pthread_mutex_destroy(&a->lock);
	free(a);
	return NULL;
}
