/* What `caravel server` refuses at once, so that a mistyped flag is named and not a certificate or an object that
 * could not be made from it. */
#include "cli/server.h"
#include "object/validate.h"

#include <errno.h>

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
static int check_range(const char *flag, const char *cidr, int narrowest, uint32_t *ret_base, uint32_t *ret_mask,
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
	*ret_mask = UINT32_MAX << (32 - bits);
	*ret_base = ((uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3]) & *ret_mask;
	return 0;
}

int server_check(const struct server_opts *o, struct err *err)
{
	uint32_t pods, pods_mask, services, services_mask;

	if (check_port("https-listen-port", o->port, err) < 0 || check_port("kubelet-port", o->kubelet_port, err) < 0 ||
	    check_address("bind-address", o->bind_address, err) < 0 ||
	    check_address("advertise-address", o->advertise_address, err) < 0 ||
	    check_address("node-ip", o->node_ip, err) < 0 || check_address("cluster-dns", o->cluster_dns, err) < 0 ||
	    check_range("cluster-cidr", o->cluster_cidr, 24, &pods, &pods_mask, err) < 0 ||
	    check_range("service-cidr", o->service_cidr, 28, &services, &services_mask, err) < 0)
		return -1;
	if (pods_mask && services_mask && (pods & services_mask) == (services & pods_mask))
		return err_set(
		    err, ERR_INVALID,
		    "--cluster-cidr %s and --service-cidr %s overlap: pods and Services need addresses apart",
		    o->cluster_cidr, o->service_cidr);
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
