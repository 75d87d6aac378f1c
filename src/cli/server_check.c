/* What `caravel server` refuses at once, so that a mistyped flag is named and not a certificate or an object that
 * could not be made from it. */
#include "base/file.h"
#include "base/ip.h"
#include "base/metric_page.h"
#include "base/timefmt.h"
#include "base/version.h"
#include "apiserver/apiserver.h"
#include "cli/cidrs.h"
#include "cli/server.h"
#include "client/bootstrap_token.h"
#include "codec/yaml.h"
#include "controllers/controllers.h"
#include "netd/model.h"
#include "object/validate.h"

#include <errno.h>
#include <unistd.h>

static int check_port(const char *flag, int port, struct err *err)
{
	if (port < 0 || port > 65535)
		return err_set(err, ERR_INVALID, "--%s takes a port up to 65535 (0: a free one), not %d", flag, port);
	return 0;
}

static int check_address(const char *flag, const char *address, struct err *err)
{
	if (address && !fmt_ip(sv_from(address)))
		return err_set(err, ERR_INVALID, "--%s takes an IP address like 192.168.1.10, not '%s'", flag, address);
	return 0;
}

static int check_addresses(const char *flag, const char *list, struct err *err)
{
	struct sv rest = sv_from(list), one;

	while (list && sv_split(&rest, ',', &one))
		if (!fmt_ip(one))
			return err_set(err, ERR_INVALID,
				       "--%s takes IP addresses like 10.43.0.10, separated by commas, not '%s'", flag,
				       list);
	return 0;
}

static int check_trusted(const struct cluster_facts *f, struct err *err)
{
	struct sv rest = sv_from(f->ingress_trusted), one;
	size_t n = 0;

	while (f->ingress_trusted && sv_split(&rest, ',', &one))
		if (!fmt_cidr(one) || ++n > 64)
			return err_set(err, ERR_INVALID,
				       "--ingress-trusted-proxies takes up to 64 ranges like 10.0.0.0/8, separated by "
				       "commas, not '%s'",
				       f->ingress_trusted);
	if (f->ingress_proxy_protocol && !n)
		return err_set(
		    err, ERR_INVALID,
		    "--ingress-proxy-protocol is spoken by those that --ingress-trusted-proxies names, and it "
		    "names none");
	return 0;
}

/* A range, or one of each family ("10.42.0.0/16,fd42::/56"). */
struct ranges {
	struct ip_net net[2];
	size_t n;
};

/* How wide the ranges of a flag may be, in lengths of prefixes. */
struct widths {
	unsigned v4[2], v6[2];
};

/* A node takes a /24 or /64 of the pods' range. */
static const struct widths pod_widths = { { 8, 24 }, { 16, 64 } }, service_widths = { { 8, 28 }, { 64, 124 } };

static int server_check_ranges(const char *flag, const char *cidrs, const struct widths *w, struct ranges *ret,
			       struct err *err)
{
	struct sv rest = sv_from(cidrs ? cidrs : ""), one;

	*ret = (struct ranges){ .n = 0 };
	while (cidrs && sv_split(&rest, ',', &one)) {
		struct sv cidr = sv_trim(one);
		const unsigned *width;
		struct ip_net net;

		if (!fmt_cidr(cidr) || !ip_net_parse(cidr, &net) || ret->n == ARRAY_LEN(ret->net))
			return err_set(err, ERR_INVALID,
				       "--%s takes a range like 10.42.0.0/16, or one of each family like "
				       "10.42.0.0/16,fd42::/56, not '%s'",
				       flag, cidrs);
		width = ip_is_v4(net.addr) ? w->v4 : w->v6;
		if (ip_net_len(net) < width[0] || ip_net_len(net) > width[1])
			return err_set(err, ERR_INVALID, "--%s takes a range between /%u and /%u, not '%.*s'", flag,
				       width[0], width[1], SV_ARG(cidr));
		if (ret->n && ip_is_v4(ret->net[0].addr) == ip_is_v4(net.addr))
			return err_set(err, ERR_INVALID, "--%s takes one range of each family, not two of one: '%s'",
				       flag, cidrs);
		ret->net[ret->n++] = net;
	}
	return cidrs && !ret->n ? err_set(err, ERR_INVALID, "--%s takes a range like 10.42.0.0/16", flag) : 0;
}

/* A Service has endpoints of its own families only. */
static int check_pods_and_services(const struct cluster_facts *o, struct err *err)
{
	struct ranges pods, services;

	if (server_check_ranges("cluster-cidr", o->cluster_cidr, &pod_widths, &pods, err) < 0 ||
	    server_check_ranges("service-cidr", o->service_cidr, &service_widths, &services, err) < 0)
		return -1;
	for (size_t i = 0; i < services.n; i++)
		for (size_t k = 0; k < pods.n; k++)
			if (ip_net_covers(pods.net[k], services.net[i]) || ip_net_covers(services.net[i], pods.net[k]))
				return err_set(err, ERR_INVALID,
					       "--cluster-cidr %s and --service-cidr %s overlap: pods and Services "
					       "need addresses apart",
					       o->cluster_cidr, o->service_cidr);
	return 0;
}

/* The names of k3s, so that its scripts run here; a name nobody knows is a mistake. */
static int check_disable(const struct string_list *l, struct err *err)
{
	static const char *const names[] = { "coredns",	 "servicelb", "traefik", "local-storage",   "metrics-server",
					     "runtimes", "ingress",   "gateway", "volume-snapshots" };

	for (const char *const *s = l->list.p; s && *s; s++) {
		bool known = false;

		for (size_t k = 0; k < ARRAY_LEN(names); k++)
			known |= strcmp(*s, names[k]) == 0;
		if (!known)
			return err_set(err, ERR_INVALID,
				       "--disable knows coredns, servicelb, traefik, local-storage, metrics-server, "
				       "runtimes, ingress, gateway and volume-snapshots, not '%s'",
				       *s);
	}
	return 0;
}

static int server_check_admission(const struct server_opts *o, struct err *err)
{
	return apiserver_check_admission(o->enable_admission.list.p, o->disable_admission.list.p, err);
}

static int check_tokens(const struct server_opts *o, struct err *err)
{
	struct join_token t;
	int64_t period;

	if (o->token && join_token_parse(sv_from(o->token), &t, err) < 0)
		return err_wrap(err, "--token (it is what machines join with; for a static admin token there is "
				     "--token-auth-file)");
	if (o->legacy_token_period && (!duration_parse(sv_from(o->legacy_token_period), &period) || period <= 0))
		return err_set(err, ERR_INVALID,
			       "--legacy-service-account-token-clean-up-period takes a time like 8760h, not '%s'",
			       o->legacy_token_period);
	if (o->token_auth_file && !*o->token_auth_file)
		return err_set(err, ERR_INVALID, "--token-auth-file needs the name of a file");
	if (!o->proxy_cert_file != !o->proxy_key_file)
		return err_set(err, ERR_INVALID,
			       "--proxy-client-cert-file and --proxy-client-key-file need each other");
	return 0;
}

/* A name of spaces would be every header's, or none's. */
static int check_front_proxies(const struct server_opts *o, struct err *err)
{
	const struct {
		const char *flag;
		const struct string_list *list;
	} rows[] = { { "requestheader-username-headers", &o->proxy_username },
		     { "requestheader-group-headers", &o->proxy_group },
		     { "requestheader-uid-headers", &o->proxy_uid },
		     { "requestheader-extra-headers-prefix", &o->proxy_extra },
		     { "requestheader-allowed-names", &o->proxy_names } };

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		for (const char *const *s = rows[i].list->list.p; s && *s; s++)
			if (!sv_trim(sv_from(*s)).n)
				return err_set(err, ERR_INVALID, "--%s: empty value", rows[i].flag);
	return 0;
}

/* k3s's other two would have the server reach Pods by nodes, too, which it does by its own routes. */
static int check_egress(const char *mode, struct err *err)
{
	return !mode || strcmp(mode, "agent") == 0 || strcmp(mode, "disabled") == 0
		   ? 0
		   : err_set(err, ERR_INVALID,
			     "--egress-selector-mode is agent, disabled, or not given, not '%s': pod and cluster would "
			     "bring "
			     "connections to Pods by way of their nodes, which this server reaches by itself",
			     mode);
}

/* As upstream, a cluster has room for 65,536 nodes at most; a node's range holds more than one pod. */
static int check_mask(const char *flag, const char *cidrs, bool v4, int mask, struct err *err)
{
	struct sv rest = sv_from(cidrs ? cidrs : "10.42.0.0/16"), one;
	int widest = 0, most = v4 ? 30 : 126;
	struct ip_net net;

	if (!mask)
		return 0;
	while (sv_split(&rest, ',', &one))
		if (ip_net_parse(sv_trim(one), &net) && ip_is_v4(net.addr) == v4)
			widest = (int)ip_net_len(net);
	if (!widest)
		return err_set(err, ERR_INVALID, "--%s: --cluster-cidr has no range of that family", flag);
	if (mask < widest || mask > MIN(widest + 16, most))
		return err_set(err, ERR_INVALID,
			       "--%s takes a length between /%d and /%d, for --cluster-cidr is a /%d, not %d", flag,
			       widest, MIN(widest + 16, most), widest, mask);
	return 0;
}

static int check_tls(const struct server_opts *o, struct err *err)
{
	const char *v = o->tls_min_version;

	if (!o->tls_cert_file != !o->tls_key_file)
		return err_set(err, ERR_INVALID, "--tls-cert-file and --tls-private-key-file need each other");
	if (v && (strcmp(v, "VersionTLS10") == 0 || strcmp(v, "VersionTLS11") == 0))
		return err_set(err, ERR_INVALID, "--tls-min-version=%s: nothing below VersionTLS12 is spoken here", v);
	if (v && strcmp(v, "VersionTLS12") != 0 && strcmp(v, "VersionTLS13") != 0)
		return err_set(err, ERR_INVALID, "unknown tls version \"%s\"", v);
	if (apiserver_check_sni(o->tls_sni.list.p, err) < 0)
		return -1;
	return tls_suites_check(o->tls_suites.list.p, err) < 0 ? err_wrap(err, "--tls-cipher-suites") : 0;
}

static int check_kubelets(const struct server_opts *o, struct err *err)
{
	static const char *const types[] = { "Hostname", "InternalDNS", "InternalIP", "ExternalDNS", "ExternalIP" };
	int64_t ns;

	if (!o->kubelets.cert_file != !o->kubelets.key_file)
		return err_set(err, ERR_INVALID,
			       "--kubelet-client-certificate and --kubelet-client-key need each other");
	if (o->kubelet_timeout && (!duration_parse(sv_from(o->kubelet_timeout), &ns) || ns <= 0))
		return err_set(err, ERR_INVALID, "--kubelet-timeout takes a time like 5s, not '%s'",
			       o->kubelet_timeout);
	for (const char *const *t = o->kubelet_addresses.list.p; t && *t; t++) {
		bool known = false;

		for (size_t i = 0; i < ARRAY_LEN(types); i++)
			known |= strcmp(*t, types[i]) == 0;
		if (!known)
			return err_set(
			    err, ERR_INVALID,
			    "--kubelet-preferred-address-types knows Hostname, InternalDNS, InternalIP, ExternalDNS "
			    "and ExternalIP, not '%s'",
			    *t);
	}
	return 0;
}

static int check_network(const struct server_opts *o, struct err *err)
{
	const char *backend = o->facts.flannel_backend, *cidrs = o->facts.cluster_cidr, *why;
	enum netd_kind kind;

	if (backend && !netd_kind_parse(backend, &kind, &why))
		return err_set(err, ERR_INVALID, "--flannel-backend=%s: %s", backend, why);
	if (!o->ipv6_masq)
		return err_set(err, ERR_INVALID,
			       "--flannel-ipv6-masq=false: IPv6 pods always reach the outside by their node's "
			       "address here; with --flannel-backend=none a network plugin decides");
	if (check_mask("node-cidr-mask-size-ipv4", cidrs, true, o->node_mask_v4, err) < 0)
		return -1;
	return check_mask("node-cidr-mask-size-ipv6", cidrs, false, o->node_mask_v6, err);
}

/* Certificates and names of Services are made of it. */
static int check_domain(const char *domain, struct err *err)
{
	const char *why = fmt_dns_subdomain(sv_from(domain));

	return why ? err_set(err, ERR_INVALID, "--cluster-domain '%s': %s", domain, why) : 0;
}

static int check_misc(const struct server_opts *o, struct err *err)
{
	const char *hidden = o->hidden_metrics, *type = o->endpoint_reconciler;

	if (hidden && *hidden && strcmp(hidden, "1." KUBERNETES_MINOR_BEFORE) != 0)
		return err_set(
		    err, ERR_INVALID,
		    "--show-hidden-metrics-for-version must be omitted or have the value '1." KUBERNETES_MINOR_BEFORE
		    "'. Only the previous minor version is allowed");
	if (type && strcmp(type, "lease") != 0 && strcmp(type, "none") != 0)
		return err_set(err, ERR_INVALID, "--endpoint-reconciler-type is lease or none, not '%s'", type);
	if (o->not_ready_s < 0 || o->unreachable_s < 0)
		return err_set(err, ERR_INVALID, "--default-%s-toleration-seconds takes 0 or more, not %d",
			       o->not_ready_s < 0 ? "not-ready" : "unreachable",
			       o->not_ready_s < 0 ? o->not_ready_s : o->unreachable_s);
	return 0;
}

#define MANIFEST_MAX ((size_t)1 << 20)

static int metric_manifest(struct arena *a, struct metric_rules *r, const char *path, struct err *err)
{
	struct sv text;
	const struct val *doc;

	if (file_read(a, path, MANIFEST_MAX, &text, err) < 0)
		return -1;
	doc = yaml_decode_opts(a, text, &(struct yaml_opts){ .alone = true }, err);
	if (!doc)
		return -1;
	VAL_EACH_MEMBER(doc, m)
		if (metric_rules_allow(r, m.key, val_str(m.value), err) < 0)
			return -1;
	return 0;
}

struct metric_rules *server_metric_rules(struct arena *a, const struct server_opts *o, struct err *err)
{
	struct metric_rules *r = metric_rules_new(o->disabled_metrics.list.p, o->metric_labels.list.p, err);

	if (!r) {
		(void)err_wrap(err, "--allow-metric-labels");
		return NULL;
	}
	if (!o->metric_manifest || metric_manifest(a, r, o->metric_manifest, err) == 0)
		return r;
	(void)err_wrap(err, "--allow-metric-labels-manifest");
	return metric_rules_free(r);
}

static int check_etcd(const struct server_opts *o, struct err *err)
{
	struct sv url = sv_from(o->join_url ? o->join_url : "https://");

	if (o->etcd_port < 1 || o->etcd_port > 65534)
		return err_set(err, ERR_INVALID, "--etcd-port takes a port up to 65534, not %d", o->etcd_port);
	if (o->datastore.endpoint && (o->cluster_init || o->join_url))
		return err_set(err, ERR_INVALID,
			       "--cluster-init and --server are for servers with an etcd of their own: with "
			       "--datastore-endpoint each server is given that etcd and the same --token");
	if (o->datastore.endpoint && o->cluster_reset)
		return err_set(err, ERR_INVALID,
			       "--cluster-reset is for servers with an etcd of their own: of another one, which "
			       "--datastore-endpoint names, its administrator takes lost members away");
	if (o->cluster_init && o->join_url)
		return err_set(err, ERR_INVALID,
			       "--cluster-init is for the first server, --server for those that join it: one of both");
	if (!sv_starts(url, SV("https://")))
		return err_set(err, ERR_INVALID, "--server takes a URL that begins with https://, not '%s'",
			       o->join_url);
	return 0;
}

int server_check(const struct server_opts *o, struct err *err)
{
	if (check_port("https-listen-port", o->port, err) < 0 ||
	    check_address("bind-address", o->bind_address, err) < 0 ||
	    check_address("advertise-address", o->advertise_address, err) < 0 ||
	    check_addresses("cluster-dns", o->facts.cluster_dns, err) < 0 ||
	    check_domain(o->facts.cluster_domain, err) < 0 || check_pods_and_services(&o->facts, err) < 0)
		return -1;
	if (controllers_check(o->controllers.list.p, err) < 0)
		return err_wrap(err, "--controllers");
	if (datastore_check(&o->datastore, o->of_etcd, err) < 0 || snapshot_opts_check(&o->snapshots, err) < 0)
		return -1;
	if (check_tls(o, err) < 0 || check_etcd(o, err) < 0)
		return -1;
	if (check_kubelets(o, err) < 0 || check_network(o, err) < 0 || node_opts_check(&o->node, err) < 0 ||
	    check_disable(&o->facts.disable, err) < 0 || check_tokens(o, err) < 0 || check_front_proxies(o, err) < 0 ||
	    server_check_admission(o, err) < 0 || check_egress(o->facts.egress, err) < 0 ||
	    check_trusted(&o->facts, err) < 0 || check_misc(o, err) < 0)
		return -1;
	return 0;
}

int server_explain_bind(const struct server_opts *o, struct err *err)
{
	const char *todo = err->errnum == EADDRINUSE ? "stop the program that has it, or choose another port with "
						       "--https-listen-port"
			   : err->errnum == EADDRNOTAVAIL
			       ? "--bind-address takes an address of this machine, or :: for all"
			   : err->errnum == EACCES ? "ports below 1024 need root"
						   : NULL;
	int e = err->errnum;

	if (!todo)
		return -1;
	err_release(err);
	err_set(err, ERR_UNAVAILABLE, "cannot listen on %s port %d (%s): %s", o->bind_address, o->port, strerror(e),
		todo);
	return -1;
}
