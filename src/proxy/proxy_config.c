/* A table of every field that upstream's configuration has: its path, type, place in the struct and the flag that sets
 * it. Reading walks the document beside the table, so it goes no deeper than the table's paths do. */
#include "proxy/proxy_config.h"

#include "base/buf.h"
#include "base/ip.h"
#include "base/timefmt.h"
#include "codec/yaml.h"

#include <stdio.h>

enum kind { K_STRING, K_BOOL, K_INT, K_FLOAT, K_DURATION, K_LIST, K_ANY };

struct field {
	const char *path;
	enum kind kind;
	size_t at;	  /* in struct proxy_config; NOWHERE */
	const char *flag; /* or NULL */
	const char *arg, *help;
};

#define NOWHERE SIZE_MAX
#define AT(member) offsetof(struct proxy_config, member)
#define NO_EFFECT "accepted, without effect"

static const struct field fields[] = {
	{ "apiVersion", K_STRING, NOWHERE, NULL, NULL, NULL },
	{ "kind", K_STRING, NOWHERE, NULL, NULL, NULL },
	{ "bindAddress", K_STRING, NOWHERE, "bind-address", "ADDR", NO_EFFECT },
	{ "bindAddressHardFail", K_BOOL, NOWHERE, "bind-address-hard-fail", NULL, NO_EFFECT },
	{ "clientConnection.acceptContentTypes", K_STRING, NOWHERE, NULL, NULL, NULL },
	{ "clientConnection.burst", K_INT, NOWHERE, "kube-api-burst", "N", NO_EFFECT },
	{ "clientConnection.contentType", K_STRING, NOWHERE, "kube-api-content-type", "TYPE", NO_EFFECT },
	{ "clientConnection.kubeconfig", K_STRING, AT(kubeconfig), "kubeconfig", "FILE",
	  "how to reach the API server (the service account's, in a Pod)" },
	{ "clientConnection.qps", K_FLOAT, NOWHERE, "kube-api-qps", "N", NO_EFFECT },
	{ "clusterCIDR", K_STRING, AT(cluster_cidr), "cluster-cidr", "CIDR",
	  "the Pods' range, or one of each family: others are masqueraded when they call a ClusterIP" },
	{ "configSyncPeriod", K_DURATION, NOWHERE, "config-sync-period", "D", NO_EFFECT },
	{ "conntrack.maxPerCore", K_INT, AT(conntrack_max_per_core), "conntrack-max-per-core", "N",
	  "connections the kernel may track for each processor (32768; 0: as it is)" },
	{ "conntrack.min", K_INT, AT(conntrack_min), "conntrack-min", "N", "but so many at least (131072)" },
	{ "conntrack.tcpBeLiberal", K_BOOL, AT(tcp_be_liberal), "conntrack-tcp-be-liberal", NULL,
	  "packets outside of the TCP window are not invalid" },
	{ "conntrack.tcpCloseWaitTimeout", K_DURATION, AT(tcp_close_wait_ns), "conntrack-tcp-timeout-close-wait", "D",
	  "of connections in CLOSE_WAIT (1h)" },
	{ "conntrack.tcpEstablishedTimeout", K_DURATION, AT(tcp_established_ns), "conntrack-tcp-timeout-established",
	  "D", "of idle TCP connections (24h; 0: as it is)" },
	{ "conntrack.udpStreamTimeout", K_DURATION, AT(udp_stream_ns), "conntrack-udp-timeout-stream", "D",
	  "of UDP flows with answers (0: as it is)" },
	{ "conntrack.udpTimeout", K_DURATION, AT(udp_ns), "conntrack-udp-timeout", "D",
	  "of UDP flows without (0: as it is)" },
	{ "detectLocal.bridgeInterface", K_STRING, AT(bridge_interface), "pod-bridge-interface", "NAME",
	  "with detect-local-mode BridgeInterface: what arrives by it is a Pod's" },
	{ "detectLocal.interfaceNamePrefix", K_STRING, AT(interface_prefix), "pod-interface-name-prefix", "NAME",
	  "with InterfaceNamePrefix: what arrives by a device that is called so" },
	{ "detectLocalMode", K_STRING, AT(detect_local_mode), "detect-local-mode", "MODE",
	  "who is a Pod: ClusterCIDR, NodeCIDR, BridgeInterface or InterfaceNamePrefix (ClusterCIDR)" },
	{ "enableProfiling", K_BOOL, NOWHERE, "profiling", NULL, NO_EFFECT },
	{ "featureGates", K_ANY, NOWHERE, "feature-gates", "A=B,...", NO_EFFECT },
	{ "healthzBindAddress", K_STRING, AT(healthz_address), "healthz-bind-address", "ADDR:PORT",
	  "of /healthz and /livez (0.0.0.0:10256; empty: none)" },
	{ "hostnameOverride", K_STRING, AT(hostname_override), "hostname-override", "NAME",
	  "this Node's name (the host's)" },
	{ "iptables.localhostNodePorts", K_BOOL, NOWHERE, "iptables-localhost-nodeports", NULL, NO_EFFECT },
	{ "iptables.masqueradeAll", K_BOOL, AT(rules[0].masquerade_all), "masquerade-all", NULL,
	  "masquerade whoever calls a ClusterIP, Pods as well" },
	{ "iptables.masqueradeBit", K_INT, AT(rules[0].masquerade_bit), "iptables-masquerade-bit", "N",
	  "bit of the packet mark that means \"masquerade\" (14)" },
	{ "iptables.minSyncPeriod", K_DURATION, NOWHERE, "iptables-min-sync-period", "D", NO_EFFECT },
	{ "iptables.syncPeriod", K_DURATION, NOWHERE, "iptables-sync-period", "D", NO_EFFECT },
	{ "ipvs.excludeCIDRs", K_LIST, NOWHERE, "ipvs-exclude-cidrs", "CIDR,...", NO_EFFECT },
	{ "ipvs.minSyncPeriod", K_DURATION, NOWHERE, "ipvs-min-sync-period", "D", NO_EFFECT },
	{ "ipvs.scheduler", K_STRING, NOWHERE, "ipvs-scheduler", "NAME", NO_EFFECT },
	{ "ipvs.strictARP", K_BOOL, NOWHERE, "ipvs-strict-arp", NULL, NO_EFFECT },
	{ "ipvs.syncPeriod", K_DURATION, NOWHERE, "ipvs-sync-period", "D", NO_EFFECT },
	{ "ipvs.tcpFinTimeout", K_DURATION, NOWHERE, "ipvs-tcpfin-timeout", "D", NO_EFFECT },
	{ "ipvs.tcpTimeout", K_DURATION, NOWHERE, "ipvs-tcp-timeout", "D", NO_EFFECT },
	{ "ipvs.udpTimeout", K_DURATION, NOWHERE, "ipvs-udp-timeout", "D", NO_EFFECT },
	{ "logging.flushFrequency", K_ANY, NOWHERE, "log-flush-frequency", "D", NO_EFFECT },
	{ "logging.format", K_STRING, NOWHERE, "logging-format", "FORMAT", NO_EFFECT },
	{ "logging.options", K_ANY, NOWHERE, NULL, NULL, NULL },
	{ "logging.verbosity", K_INT, AT(verbosity), "v", "N", "4 and more: log more" },
	{ "logging.vmodule", K_ANY, NOWHERE, "vmodule", "A=N,...", NO_EFFECT },
	{ "metricsBindAddress", K_STRING, AT(metrics_address), "metrics-bind-address", "ADDR:PORT",
	  "of /metrics and /proxyMode (127.0.0.1:10249; empty: none)" },
	{ "mode", K_STRING, AT(mode), "proxy-mode", "MODE", "nftables; iptables and ipvs mean the same here" },
	{ "nftables.masqueradeAll", K_BOOL, AT(rules[1].masquerade_all), "masquerade-all", NULL, NULL },
	{ "nftables.masqueradeBit", K_INT, AT(rules[1].masquerade_bit), "iptables-masquerade-bit", NULL, NULL },
	{ "nftables.minSyncPeriod", K_DURATION, NOWHERE, NULL, NULL, NULL },
	{ "nftables.syncPeriod", K_DURATION, NOWHERE, NULL, NULL, NULL },
	{ "nodePortAddresses", K_LIST, AT(nodeport_addresses), "nodeport-addresses", "CIDR,...",
	  "addresses of this Node that serve node ports; \"primary\": the Node's InternalIPs (all)" },
	{ "oomScoreAdj", K_INT, NOWHERE, "oom-score-adj", "N", NO_EFFECT },
	{ "portRange", K_STRING, NOWHERE, NULL, NULL, NULL },
	{ "showHiddenMetricsForVersion", K_STRING, NOWHERE, "show-hidden-metrics-for-version", "V", NO_EFFECT },
	{ "windowsRunAsService", K_BOOL, NOWHERE, "windows-service", NULL, NO_EFFECT },
	{ "winkernel", K_ANY, NOWHERE, NULL, NULL, NULL },
};

struct reading {
	struct arena *a;
	struct proxy_config *c;
	struct buf unknown;
};

void proxy_config_defaults(struct proxy_config *c)
{
	*c = (struct proxy_config){
		.hostname_override = "",
		.kubeconfig = "",
		.cluster_cidr = "",
		.mode = "",
		.detect_local_mode = "",
		.bridge_interface = "",
		.interface_prefix = "",
		.healthz_address = "0.0.0.0:10256",
		.metrics_address = "127.0.0.1:10249",
		.rules = { { .masquerade_bit = 14 }, { .masquerade_bit = 14 } },
		.conntrack_max_per_core = 32768,
		.conntrack_min = 131072,
		.tcp_established_ns = 24 * 3600 * NS_PER_SEC,
		.tcp_close_wait_ns = 3600 * NS_PER_SEC,
	};
}

void proxy_config_release(struct proxy_config *c)
{
	vec_release(&c->nodeport_addresses);
}

/* --- values --- */

static void *place(struct proxy_config *c, const struct field *f)
{
	return (char *)c + f->at;
}

static int config_wrong(const struct field *f, const char *wanted, struct err *err)
{
	return err_set(err, ERR_INVALID, "%s takes %s", f->path, wanted);
}

static int config_set_duration(struct proxy_config *c, const struct field *f, struct sv text, struct err *err)
{
	int64_t ns;

	if (!duration_parse(text, &ns) || ns < 0)
		return config_wrong(f, "a duration like 30s", err);
	if (f->at != NOWHERE)
		*(int64_t *)place(c, f) = ns;
	return 0;
}

static int config_set_list(struct arena *a, struct proxy_config *c, const struct field *f, const struct val *v,
			   struct err *err)
{
	if (val_type(v) != VAL_LIST)
		return config_wrong(f, "a list of texts", err);
	if (f->at == NOWHERE)
		return 0;
	c->nodeport_addresses.n = 0;
	VAL_EACH(v, x) {
		if (val_type(x) != VAL_STR)
			return config_wrong(f, "a list of texts", err);
		vec_push(&c->nodeport_addresses, arena_cstr(a, val_str(x)));
	}
	return 0;
}

static int config_set(struct arena *a, struct proxy_config *c, const struct field *f, const struct val *v,
		      struct err *err)
{
	enum val_type t = val_type(v);

	if (t == VAL_NULL)
		return 0; /* the default */
	switch (f->kind) {
	case K_STRING:
		if (t != VAL_STR)
			return config_wrong(f, "a text", err);
		if (f->at != NOWHERE)
			*(const char **)place(c, f) = arena_cstr(a, val_str(v));
		return 0;
	case K_BOOL:
		if (t != VAL_BOOL)
			return config_wrong(f, "true or false", err);
		if (f->at != NOWHERE)
			*(bool *)place(c, f) = val_bool(v);
		return 0;
	case K_INT:
		if (t != VAL_INT || v->i < INT32_MIN || v->i > INT32_MAX)
			return config_wrong(f, "a number", err);
		if (f->at != NOWHERE)
			*(int64_t *)place(c, f) = v->i;
		return 0;
	case K_FLOAT:
		return t == VAL_INT || t == VAL_FLOAT ? 0 : config_wrong(f, "a number", err);
	case K_DURATION:
		return t == VAL_STR ? config_set_duration(c, f, val_str(v), err)
				    : config_wrong(f, "a duration like 30s", err);
	case K_LIST:
		return config_set_list(a, c, f, v, err);
	case K_ANY:
		break;
	}
	return 0;
}

/* --- the document --- */

/* A field, a group of some (*ret_group), or NULL and no group. */
static const struct field *config_find(struct sv path, bool *ret_group)
{
	*ret_group = false;
	for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
		if (sv_is(path, fields[i].path))
			return &fields[i];
		*ret_group |= strncmp(fields[i].path, path.p, path.n) == 0 && fields[i].path[path.n] == '.';
	}
	return NULL;
}

static int config_read_map(struct reading *r, struct sv up, const struct val *map, struct err *err)
{
	VAL_EACH_MEMBER(map, m) {
		const struct val *v = m.value;
		struct sv key = m.key, path = up.n ? arena_svf(r->a, "%.*s.%.*s", SV_ARG(up), SV_ARG(key)) : key;
		bool group;
		const struct field *f = config_find(path, &group);

		if (f) {
			if (config_set(r->a, r->c, f, v, err) < 0)
				return -1;
		} else if (group && val_type(v) == VAL_MAP) {
			if (config_read_map(r, path, v, err) < 0)
				return -1;
		} else if (group && val_type(v) != VAL_NULL) {
			return err_set(err, ERR_INVALID, "%.*s takes a map", SV_ARG(path));
		} else if (!group) {
			buf_printf(&r->unknown, "%sunknown field \"%.*s\"", r->unknown.n ? ", " : "", SV_ARG(path));
		}
	}
	return 0;
}

static void on_duplicate(struct sv what, void *ctx)
{
	struct reading *r = ctx;

	buf_printf(&r->unknown, "%s%.*s", r->unknown.n ? ", " : "", SV_ARG(what));
}

int proxy_config_read(struct arena *a, struct proxy_config *c, struct sv text, proxy_config_note_fn *note, void *ctx,
		      struct err *err)
{
	struct reading r = { .a = a, .c = c };
	const struct yaml_opts opts = { .duplicate = on_duplicate, .ctx = &r };
	const struct val *v = yaml_decode_opts(a, text, &opts, err);
	struct sv version, kind;
	int rc;

	if (!v) {
		buf_release(&r.unknown);
		return -1;
	}
	version = val_str(val_member_sv(v, SV("apiVersion")));
	kind = val_str(val_member_sv(v, SV("kind")));
	if (!sv_is(version, "kubeproxy.config.k8s.io/v1alpha1") || !sv_is(kind, "KubeProxyConfiguration")) {
		buf_release(&r.unknown);
		return err_set(
		    err, ERR_INVALID,
		    "it is '%.*s' of '%.*s', not a KubeProxyConfiguration of kubeproxy.config.k8s.io/v1alpha1",
		    SV_ARG(kind), SV_ARG(version));
	}
	rc = config_read_map(&r, SV(""), v, err);
	if (rc == 0 && r.unknown.n)
		note(arena_printf(a, "strict decoding error: %s", buf_cstr(&r.unknown)), ctx);
	buf_release(&r.unknown);
	return rc;
}

/* --- flags --- */

#define FLAGS_MAX (ARRAY_LEN(fields) + 1)

const struct proxy_flag *proxy_config_flags(void)
{
	static struct proxy_flag flags[FLAGS_MAX];
	size_t n = 0;

	for (size_t i = 0; i < ARRAY_LEN(fields); i++)
		if (fields[i].help) /* not the second of a name */
			flags[n++] = (struct proxy_flag){ fields[i].flag, fields[i].arg, fields[i].help,
							  fields[i].kind == K_BOOL };
	flags[n] = (struct proxy_flag){ NULL, NULL, NULL, false };
	return flags;
}

/* A flag's text as a field's value; NULL: it cannot be one. */
static const struct val *flag_value(struct arena *a, const struct field *f, struct sv text)
{
	struct val *list;
	struct sv one;

	if (f->kind == K_STRING || f->kind == K_DURATION || f->kind == K_ANY)
		return val_new_str(a, text);
	if (f->kind != K_LIST)
		return yaml_decode(a, text, NULL);
	list = val_new_list(a);
	while (sv_split(&text, ',', &one))
		if (one.n)
			val_push(a, list, val_new_str(a, one));
	return list;
}

int proxy_config_flag(struct arena *a, struct proxy_config *c, const char *flag, struct sv value, struct err *err)
{
	int found = 0;

	for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
		const struct field *f = &fields[i];
		const struct val *v;

		if (!f->flag || strcmp(f->flag, flag) != 0)
			continue;
		v = flag_value(a, f, value);
		if (!v)
			return err_set(err, ERR_INVALID, "'%.*s' is no value of it", SV_ARG(value));
		if (config_set(a, c, f, v, err) < 0)
			return -1;
		found = 1;
	}
	return found;
}

/* --- the whole --- */

bool proxy_address_split(struct arena *a, const char *text, const char **ret_host, int *ret_port)
{
	struct sv s = sv_from(text), host, port;
	struct ip_addr ip;
	int64_t n;
	size_t colon;

	if (ip_parse(s, &ip)) { /* without a port: the caller's default */
		*ret_host = text;
		return true;
	}
	for (colon = s.n; colon > 0 && s.p[colon - 1] != ':'; colon--)
		;
	if (!colon)
		return false;
	host = sv_sub(s, 0, colon - 1);
	port = sv_sub(s, colon, s.n);
	if (host.n > 2 && host.p[0] == '[' && host.p[host.n - 1] == ']')
		host = sv_sub(host, 1, host.n - 2);
	if (!host.n)
		host = SV("0.0.0.0");
	if (!ip_parse(host, &ip) || !sv_to_i64(port, &n) || n < 0 || n > 65535)
		return false;
	*ret_host = arena_cstr(a, host);
	*ret_port = (int)n;
	return true;
}

static int config_check_address(struct arena *a, const char *field, const char *text, struct err *err)
{
	const char *host;
	int port;

	if (!*text || proxy_address_split(a, text, &host, &port))
		return 0;
	return err_set(err, ERR_INVALID, "%s: '%s' is no address with a port, like 0.0.0.0:10256", field, text);
}

static int config_check_ranges(const struct proxy_config *c, struct err *err)
{
	struct sv rest = sv_from(c->cluster_cidr), one;
	struct ip_net net;
	bool has[2] = { false, false };

	while (*c->cluster_cidr && sv_split(&rest, ',', &one)) {
		if (sv_find(one, '/') < 0 || !ip_net_parse(sv_trim(one), &net) || has[!ip_is_v4(net.addr)])
			return err_set(err, ERR_INVALID,
				       "clusterCIDR: '%s' is not a range like 10.42.0.0/16, or one of each family",
				       c->cluster_cidr);
		has[!ip_is_v4(net.addr)] = true;
	}
	for (size_t i = 0; i < c->nodeport_addresses.n; i++) {
		const char *s = c->nodeport_addresses.p[i];

		if (strcmp(s, "primary") == 0 && c->nodeport_addresses.n == 1)
			continue;
		if (!strchr(s, '/') || !ip_net_parse(sv_from(s), &net))
			return err_set(err, ERR_INVALID,
				       "nodePortAddresses: '%s' is not a range like 10.0.0.0/8, nor \"primary\" alone",
				       s);
	}
	return 0;
}

/* A device's name, or the beginning of one: it stands in a rule. */
static int config_check_device(const char *field, const char *name, struct err *err)
{
	size_t n = strlen(name);

	if (n > 0 && n < 15 && strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-") == n)
		return 0;
	return err_set(err, ERR_INVALID, "%s: '%s' is not the name of a device", field, name);
}

static int config_check_local(struct proxy_config *c, struct err *err)
{
	static const char *const names[_DETECT_LOCAL_MAX] = { "ClusterCIDR", "NodeCIDR", "BridgeInterface",
							      "InterfaceNamePrefix" };
	size_t i = 0;

	if (!*c->detect_local_mode)
		return 0;
	while (i < _DETECT_LOCAL_MAX && strcmp(c->detect_local_mode, names[i]) != 0)
		i++;
	if (i == _DETECT_LOCAL_MAX)
		return err_set(err, ERR_INVALID,
			       "detectLocalMode: '%s' is not known; it takes ClusterCIDR, NodeCIDR, BridgeInterface or "
			       "InterfaceNamePrefix",
			       c->detect_local_mode);
	c->detect_local = (enum detect_local)i;
	if (i == DETECT_BRIDGE)
		return config_check_device("detectLocal.bridgeInterface", c->bridge_interface, err);
	return i == DETECT_PREFIX ? config_check_device("detectLocal.interfaceNamePrefix", c->interface_prefix, err)
				  : 0;
}

int proxy_config_check(struct arena *a, struct proxy_config *c, proxy_config_note_fn *note, void *ctx, struct err *err)
{
	static const char *const same[] = { "", "nftables", "iptables", "ipvs" };
	bool known = false;

	for (size_t i = 0; i < ARRAY_LEN(same); i++)
		known |= strcmp(c->mode, same[i]) == 0;
	if (!known)
		return err_set(err, ERR_INVALID, "mode: '%s' is not known; it takes nftables, iptables or ipvs",
			       c->mode);
	if (*c->mode && strcmp(c->mode, "nftables") != 0)
		note(arena_printf(a, "mode %s: rules are written for nftables all the same", c->mode), ctx);
	if (strcmp(c->mode, "nftables") == 0)
		c->rules[0] = c->rules[1];
	if (c->rules[0].masquerade_bit < 0 || c->rules[0].masquerade_bit > 31)
		return err_set(err, ERR_INVALID, "masqueradeBit: %" PRId64 " is not between 0 and 31",
			       c->rules[0].masquerade_bit);
	if (c->conntrack_max_per_core < 0 || c->conntrack_min < 0)
		return err_set(err, ERR_INVALID, "conntrack: a number of connections is not negative");
	if (config_check_address(a, "healthzBindAddress", c->healthz_address, err) < 0 ||
	    config_check_address(a, "metricsBindAddress", c->metrics_address, err) < 0)
		return -1;
	return config_check_ranges(c, err) < 0 ? -1 : config_check_local(c, err);
}
