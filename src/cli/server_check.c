/* What `caravel server` refuses at once, so that a mistyped flag is named and not a certificate or an object that
 * could not be made from it. */
#include "cli/cidrs.h"
#include "cli/server.h"
#include "client/bootstrap_token.h"
#include "kubelet/kubelet.h"
#include "object/node_labels.h"
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

/* An IPv4 range of /8 to /narrowest: a node takes a /24 of the pods' range. */
static int server_check_range(const char *flag, const char *cidr, int narrowest, uint32_t *ret_base, uint32_t *ret_mask,
			      struct err *err)
{
	uint8_t b[16];
	bool v6;
	int bits;

	*ret_base = *ret_mask = 0;
	if (!cidr)
		return 0;
	if (!fmt_cidr_parts(sv_from(cidr), b, &v6, &bits))
		return err_set(err, ERR_INVALID, "--%s takes a range like 10.42.0.0/16, not '%s'", flag, cidr);
	if (v6)
		return err_set(err, ERR_INVALID, "--%s takes an IPv4 range; '%s' is IPv6, which is not built yet", flag,
			       cidr);
	if (bits < 8 || bits > narrowest)
		return err_set(err, ERR_INVALID, "--%s takes a range between /8 and /%d, not '%s'", flag, narrowest,
			       cidr);
	(void)cidrs_parse(sv_from(cidr), ret_base, ret_mask);
	return 0;
}

static int check_labels(const struct string_list *l, struct err *err)
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

static int check_taints(const struct string_list *l, struct err *err)
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

/* The names of k3s, so that its scripts run here; a name nobody knows is a mistake. */
static int check_disable(const struct string_list *l, struct err *err)
{
	static const char *const names[] = { "coredns",	      "servicelb",	"traefik",
					     "local-storage", "metrics-server", "runtimes" };

	for (const char *const *s = l->list.p; s && *s; s++) {
		bool known = false;

		for (size_t k = 0; k < ARRAY_LEN(names); k++)
			known |= strcmp(*s, names[k]) == 0;
		if (!known)
			return err_set(err, ERR_INVALID,
				       "--disable knows coredns, servicelb, traefik, local-storage, metrics-server and "
				       "runtimes, not '%s'",
				       *s);
	}
	return 0;
}

/* Fewer than that a pod's own sandbox and probes would use up. */
static int check_pids(int n, struct err *err)
{
	return n == 0 || n == -1 || n >= 16
		   ? 0
		   : err_set(err, ERR_INVALID, "--pod-max-pids is %d: give 16 or more, or -1 for no limit", n);
}

static int check_tokens(const struct server_opts *o, struct err *err)
{
	struct join_token t;

	if (o->token && join_token_parse(sv_from(o->token), &t, err) < 0)
		return err_wrap(err, "--token (it is what machines join with; for a static admin token there is "
				     "--token-auth-file)");
	if (o->token_auth_file && !*o->token_auth_file)
		return err_set(err, ERR_INVALID, "--token-auth-file needs the name of a file");
	return 0;
}

int server_check(const struct server_opts *o, struct err *err)
{
	uint32_t pods, pods_mask, services, services_mask;

	if (check_port("https-listen-port", o->port, err) < 0 || check_port("kubelet-port", o->kubelet_port, err) < 0 ||
	    check_pids(o->pod_max_pids, err) < 0 || check_address("bind-address", o->bind_address, err) < 0 ||
	    check_address("advertise-address", o->advertise_address, err) < 0 ||
	    check_address("node-ip", o->node_ip, err) < 0 || check_address("cluster-dns", o->cluster_dns, err) < 0 ||
	    server_check_range("cluster-cidr", o->cluster_cidr, 24, &pods, &pods_mask, err) < 0 ||
	    server_check_range("service-cidr", o->service_cidr, 28, &services, &services_mask, err) < 0)
		return -1;
	if (pods_mask && services_mask && (pods & services_mask) == (services & pods_mask))
		return err_set(
		    err, ERR_INVALID,
		    "--cluster-cidr %s and --service-cidr %s overlap: pods and Services need addresses apart",
		    o->cluster_cidr, o->service_cidr);
	if (check_labels(&o->node_labels, err) < 0 || check_taints(&o->node_taints, err) < 0 ||
	    check_disable(&o->disable, err) < 0 || check_tokens(o, err) < 0)
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

int server_explain_bind(const struct server_opts *o, struct err *err)
{
	const char *todo = err->errnum == EADDRINUSE ? "stop the program that has it, or choose another port with "
						       "--https-listen-port"
			   : err->errnum == EADDRNOTAVAIL
			       ? "--bind-address takes an address of this machine, or 0.0.0.0"
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
