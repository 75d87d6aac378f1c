/* What a machine is asked to do as a node: the flags that `caravel server` and `caravel agent` share. */
#include "base/buf.h"
#include "base/file.h"
#include "base/ip.h"
#include "base/log.h"
#include "base/timefmt.h"
#include "cli/agent.h"
#include "kubelet/kubelet.h"
#include "kubelet/machine.h"
#include "object/feature.h"
#include "object/node_labels.h"
#include "object/validate.h"
#include "proxy/proxy_config.h"

#include <errno.h>
#include <limits.h>
#include <net/if.h>
#include <stdlib.h>
#include <unistd.h>

#define ROW(name, letter, kind, field, arg, help)        \
	{                                                \
		name, letter, kind, &o->field, arg, help \
	}

size_t node_option_table(struct node_opts *o, struct option *t)
{
	const struct option rows[] = {
		ROW("data-dir", 'd', OPT_STRING, data_dir, "DIR", "where everything is kept (" DEFAULT_DATA_DIR ")"),
		ROW("resolv-conf", 0, OPT_STRING, resolv_conf, "FILE",
		    "name servers of pods that get the host's (/etc/resolv.conf, or those behind its stub)"),
		ROW("node-name", 0, OPT_STRING, node_name, "NAME", "name of this node (the host name)"),
		ROW("node-ip", 'i', OPT_STRING, node_ip, "ADDR",
		    "address of this node (found); A,B: one of each family"),
		ROW("flannel-iface", 0, OPT_STRING, flannel_iface, "NAME",
		    "network interface by which other nodes' pods are reached (that of --node-ip)"),
		ROW("node-label", 0, OPT_LIST, node_labels, "K=V", "labels of this node"),
		ROW("node-taint", 0, OPT_LIST, node_taints, "K=V:EFFECT", "taints of this node when it is new"),
		ROW("kube-proxy-arg", 0, OPT_ARGS, kube_proxy_args, "F=V",
		    "a flag of kube-proxy for this node's service proxy, nodeport-addresses=primary say"),
		ROW("pod-max-pids", 0, OPT_INT, pod_max_pids, "N",
		    "processes a pod may have (4096, on small machines fewer); -1: no limit"),
		ROW("kubelet-port", 0, OPT_INT, kubelet_port, "N", "port of the kubelet (10250, or what is free)"),
		ROW("ingress-http-port", 0, OPT_INT, ingress_http_port, "N", "port for Ingresses (80; 0: none)"),
		ROW("ingress-https-port", 0, OPT_INT, ingress_https_port, "N", "the same with TLS (443; 0: none)"),
		ROW("default-local-storage-path", 0, OPT_STRING, storage_dir, "DIR",
		    "volumes of the class local-path (DATA-DIR/storage)"),
		ROW("kubelet-root-dir", 0, OPT_STRING, kubelet_root, "DIR",
		    "pods' volumes (/var/lib/kubelet, or DIR/kubelet)"),
		ROW("container-runtime-endpoint", 0, OPT_STRING, runtime_endpoint, "URL",
		    "an existing CRI endpoint instead of our containerd"),
		ROW("pause-image", 0, OPT_STRING, pause_image, "IMAGE", "image of pod sandboxes (ours)"),
		ROW("registry-config-dir", 0, OPT_STRING, registry_config_dir, "DIR",
		    "containerd's REGISTRY/hosts.toml files, of mirrors and private registries "
		    "(/etc/containerd/certs.d)"),
		ROW("restore-grace", 0, OPT_STRING, restore_grace, "TIME",
		    "how long pods that run here and that a restored cluster does not know are kept (10m; 0s: not)"),
		ROW("feature-gates", 0, OPT_LIST, feature_gates, "NAME=BOOL",
		    "features of v1.37 to switch on or off; AllAlpha, AllBeta: those of a stage"),
		ROW("v", 'v', OPT_INT, verbosity, "N",
		    "how much is logged (0; from 4 on details, from 8 on traces); PUT /debug/flags/v changes it"),
		ROW("vmodule", 0, OPT_STRING, vmodule, "PATTERN=N,...",
		    "the same for some parts, by the name that stands in their lines"),
		ROW("logging-format", 0, OPT_STRING, logging_format, "FORMAT", "of the log: text, or json (text)"),
	};

	_Static_assert(ARRAY_LEN(rows) <= NODE_OPTIONS_MAX, "more than callers have room for");
	memcpy(t, rows, sizeof(rows));
	return ARRAY_LEN(rows);
}

#undef ROW

int node_opts_log(const struct node_opts *o, bool debug, struct err *err)
{
	if (o->logging_format && strcmp(o->logging_format, "text") != 0 && strcmp(o->logging_format, "json") != 0)
		return err_set(err, ERR_INVALID, "--logging-format is text or json, not '%s'", o->logging_format);
	if (o->vmodule && !log_set_vmodule(sv_from(o->vmodule)))
		return err_set(err, ERR_INVALID, "--vmodule takes up to 32 of PATTERN=N, separated by commas, not '%s'",
			       o->vmodule);
	if (o->logging_format && strcmp(o->logging_format, "json") == 0)
		log_set_format(LOG_JSON);
	log_set_verbosity(MAX(o->verbosity, debug ? 4 : 0));
	return 0;
}

void node_opts_release(struct node_opts *o)
{
	string_list_release(&o->node_labels);
	string_list_release(&o->node_taints);
	string_list_release(&o->kube_proxy_args);
	string_list_release(&o->feature_gates);
}

/* --- what is refused --- */

int node_opts_gates(const struct node_opts *o, struct err *err)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	string_list_join(&b, &o->feature_gates);
	return features_set(buf_sv(&b), err) < 0 ? err_wrap(err, "--feature-gates") : 0;
}

int node_restore_grace(const struct node_opts *o, int64_t *ret_ns, struct err *err)
{
	int64_t ns = 10 * 60 * NS_PER_SEC;

	if (o->restore_grace && (!duration_parse(sv_from(o->restore_grace), &ns) || ns < 0))
		return err_set(err, ERR_INVALID, "--restore-grace takes a time, say 10m or 0s, not '%s'",
			       o->restore_grace);
	if (ret_ns)
		*ret_ns = ns;
	return 0;
}

static int node_opts_labels(const struct string_list *l, struct err *err)
{
	for (const char *const *s = l->list.p; s && *s; s++) {
		struct sv text = sv_from(*s);
		ssize_t eq = sv_find(text, '=');
		struct sv key = eq < 0 ? text : sv_sub(text, 0, (size_t)eq);
		const char *why = fmt_qualified_name(key);

		/* The API server would refuse the node itself, again and again. */
		if (!why && node_label_reserved(key))
			why = "a node may not give itself this label, which decides what may run on it; "
			      "give it with `kubectl label node` once the node is there";
		if (!why && eq >= 0)
			why = fmt_label_value(sv_sub(text, (size_t)eq + 1, text.n));
		if (why)
			return err_set(err, ERR_INVALID, "--node-label '%s': %s", *s, why);
	}
	return 0;
}

static int node_opts_taints(const struct string_list *l, struct err *err)
{
	for (const char *const *s = l->list.p; s && *s; s++) {
		struct sv key, value, effect;
		const char *why;

		if (!node_taint_parse(sv_from(*s), &key, &value, &effect))
			return err_set(err, ERR_INVALID,
				       "--node-taint takes KEY=VALUE:EFFECT, with NoSchedule, PreferNoSchedule or "
				       "NoExecute, not '%s'",
				       *s);
		why = fmt_qualified_name(key);
		if (!why)
			why = fmt_label_value(value);
		if (why)
			return err_set(err, ERR_INVALID, "--node-taint '%s': %s", *s, why);
	}
	return 0;
}

/* Fewer than that a pod's own sandbox and probes would use up. */
static int node_opts_pids(int n, struct err *err)
{
	return n == 0 || n == -1 || n >= 16
		   ? 0
		   : err_set(err, ERR_INVALID, "--pod-max-pids is %d: give 16 or more, or -1 for no limit", n);
}

/* One, or one of each family. */
static int node_opts_addresses(const char *ips, struct err *err)
{
	struct sv rest = sv_from(ips ? ips : ""), one;
	bool had[2] = { false, false };

	while (ips && sv_split(&rest, ',', &one)) {
		struct ip_addr a;

		if (!ip_parse(one, &a) || had[ip_is_v4(a)])
			return err_set(err, ERR_INVALID,
				       "--node-ip takes an IP address like 192.168.1.10, or one of each family like "
				       "192.168.1.10,fd00::10, not '%s'",
				       ips);
		had[ip_is_v4(a)] = true;
	}
	return 0;
}

static void on_proxy_note(const char *what, void *ctx)
{
	(void)ctx;
	log_info("agent", "the service proxy's configuration", "note", "%s", what);
}

int node_proxy_config(const struct node_opts *o, struct arena *a, struct proxy_config *c, struct err *err)
{
	proxy_config_defaults(c);
	c->healthz_address = "[::]:10256"; /* of both families */
	c->metrics_address = "";
	c->conntrack_max_per_core = c->tcp_established_ns = c->tcp_close_wait_ns = 0;
	for (const char *const *s = o->kube_proxy_args.list.p; s && *s; s++) {
		struct sv value = sv_from(*s), flag;
		int rc;

		(void)sv_split(&value, '=', &flag);
		rc = proxy_config_flag(a, c, arena_cstr(a, flag), value.p ? value : SV("true"), err);
		if (rc < 0)
			return err_wrap(err, "--kube-proxy-arg %s", *s);
		if (rc == 0)
			return err_set(err, ERR_INVALID,
				       "--kube-proxy-arg takes FLAG=VALUE with a flag of kube-proxy, not '%s'", *s);
	}
	return proxy_config_check(a, c, on_proxy_note, NULL, err) < 0 ? err_wrap(err, "--kube-proxy-arg") : 0;
}

static int node_opts_proxy(const struct node_opts *o, struct err *err)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct proxy_config c;
	int rc = node_proxy_config(o, &a, &c, err);

	proxy_config_release(&c);
	return rc;
}

/* It becomes a string in containerd's configuration. */
static int node_opts_registries(const struct node_opts *o, struct err *err)
{
	if (!o->registry_config_dir)
		return 0;
	if (o->runtime_endpoint)
		return err_set(err, ERR_INVALID,
			       "--registry-config-dir is of the containerd that is started here; the one behind "
			       "--container-runtime-endpoint has a config_path of its own");
	for (const char *c = o->registry_config_dir; *c; c++)
		if ((unsigned char)*c < ' ' || *c == '"' || *c == '\\' || *c == 0x7f)
			return err_set(err, ERR_INVALID,
				       "--registry-config-dir takes a directory without quotes, backslashes and "
				       "control characters in its name");
	return 0;
}

int node_opts_check(const struct node_opts *o, struct err *err)
{
	if (o->kubelet_port < 0 || o->kubelet_port > 65535)
		return err_set(err, ERR_INVALID, "--kubelet-port takes a port up to 65535 (0: a free one), not %d",
			       o->kubelet_port);
	if (o->ingress_http_port < 0 || o->ingress_http_port > 65535 || o->ingress_https_port < 0 ||
	    o->ingress_https_port > 65535 || (o->ingress_http_port && o->ingress_http_port == o->ingress_https_port))
		return err_set(
		    err, ERR_INVALID,
		    "--ingress-http-port and --ingress-https-port take two ports up to 65535 (0: none), not %d "
		    "and %d",
		    o->ingress_http_port, o->ingress_https_port);
	if (node_opts_addresses(o->node_ip, err) < 0)
		return -1;
	if (o->flannel_iface && !if_nametoindex(o->flannel_iface))
		return err_set(err, ERR_INVALID,
			       "--flannel-iface %s is no network interface of this machine; `ip link` "
			       "lists them",
			       o->flannel_iface);
	if (node_opts_pids(o->pod_max_pids, err) < 0 || node_opts_labels(&o->node_labels, err) < 0 ||
	    node_opts_taints(&o->node_taints, err) < 0 || node_opts_proxy(o, err) < 0 ||
	    node_opts_registries(o, err) < 0)
		return -1;
	if (node_restore_grace(o, NULL, err) < 0)
		return -1;
	if (o->resolv_conf && access(o->resolv_conf, R_OK) < 0)
		return err_set_errno(err, errno, "--resolv-conf names a file that cannot be read, '%s'",
				     o->resolv_conf);
	if (o->node_name) {
		const char *why = fmt_dns_subdomain(sv_from(o->node_name));

		if (why)
			return err_set(err, ERR_INVALID, "--node-name '%s': %s", o->node_name, why);
	}
	return 0;
}

/* --- what no flag says --- */

int data_dir_make(struct arena *a, const char **data_dir, struct err *err)
{
	char full[PATH_MAX];

	if (dir_make(*data_dir, 0700, err) < 0)
		return -1;
	if (!realpath(*data_dir, full))
		return err_set_errno(err, errno, "cannot find the data directory '%s'", *data_dir);
	*data_dir = arena_strdup(a, full);
	return 0;
}

/* Whoever has that address would be asked for logs and exec. */
static int node_opts_own(struct node_opts *o, struct arena *a, struct err *err)
{
	struct sv rest = sv_from(o->node_ip), one;

	for (size_t i = 0; sv_split(&rest, ',', &one); i++) {
		if (!host_has_address(a, arena_cstr(a, one)))
			return err_set(err, ERR_INVALID,
				       "--node-ip %.*s is no address of this machine: without the flag one that is "
				       "will be found",
				       SV_ARG(one));
		*(i ? &o->node_ip_more : &o->node_ip) = arena_cstr(a, one);
	}
	return 0;
}

/* Its addresses are the node's, or what peers are told beside it. */
static int node_opts_iface(struct node_opts *o, struct arena *a, struct err *err)
{
	const char *all = NULL;

	for (int v6 = 0; v6 < 2; v6++) {
		struct ip_text ip;

		if (machine_ip(v6, o->flannel_iface, &ip))
			all = all ? arena_printf(a, "%s,%s", all, ip.s) : arena_strdup(a, ip.s);
	}
	if (!all)
		return err_set(err, ERR_INVALID, "--flannel-iface %s has no address, or is down", o->flannel_iface);
	if (o->node_ip)
		o->pod_addresses = all;
	else
		o->node_ip = arena_cstr(a, sv_sub(sv_from(all), 0, strcspn(all, ",")));
	return 0;
}

int node_opts_complete(struct node_opts *o, struct arena *a, bool node, struct err *err)
{
	if (!o->node_name)
		o->node_name = host_own_name(a, "localhost");
	if (o->node_ip && node && node_opts_own(o, a, err) < 0)
		return -1;
	o->node_ip_found = !o->node_ip;
	if (o->flannel_iface && node && node_opts_iface(o, a, err) < 0)
		return -1;
	if (!o->node_ip)
		o->node_ip = host_address(a);
	if (!o->node_ip)
		o->node_ip = "127.0.0.1";
	o->registry_config_dir =
	    full_path(a, o->registry_config_dir ? o->registry_config_dir : "/etc/containerd/certs.d");
	o->storage_dir = full_path(a, o->storage_dir ? o->storage_dir : arena_printf(a, "%s/storage", o->data_dir));
	if (o->resolv_conf)
		o->resolv_conf = full_path(a, o->resolv_conf);
	o->kubelet_root = o->kubelet_root ? full_path(a, o->kubelet_root) : cluster_dirs(a, o->data_dir).kubelet_root;
	return 0;
}
