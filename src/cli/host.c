/* Facts about this machine that defaults come from. */
#include "cli/agent.h"

#include "base/buf.h"
#include "base/ip.h"
#include "kubelet/machine.h"
#include "net/sock.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <limits.h>
#include <net/if.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

const char *host_own_name(struct arena *a, const char *if_none)
{
	char host[HOST_NAME_MAX + 1] = "";

	(void)gethostname(host, sizeof(host) - 1);
	for (char *c = host; *c; c++)
		if (*c >= 'A' && *c <= 'Z')
			*c = (char)(*c + ('a' - 'A'));
	return host[0] ? arena_strdup(a, host) : if_none;
}

const char *host_address(struct arena *a)
{
	struct ip_text ip;

	return machine_ip(false, NULL, &ip) || machine_ip(true, NULL, &ip) ? arena_strdup(a, ip.s) : NULL;
}

/* The families of "10.42.0.0/16,fd00:42::/56", in its order. */
static size_t host_families(const char *cidrs, bool ret_v6[2])
{
	struct sv rest = sv_from(cidrs ? cidrs : ""), one;
	struct ip_net net;
	size_t n = 0;

	while (n < 2 && sv_split(&rest, ',', &one))
		if (ip_net_parse(sv_trim(one), &net) && (!n || ret_v6[0] == ip_is_v4(net.addr)))
			ret_v6[n++] = !ip_is_v4(net.addr);
	if (!n)
		ret_v6[n++] = false;
	return n;
}

const char *host_node_ips(struct arena *a, const char *was, const char *iface, const char *cluster_cidr)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	bool v6[2];
	size_t n = host_families(cluster_cidr, v6);

	for (size_t i = 0; i < n; i++) {
		struct sv rest = sv_from(was), one, keep = SV("");
		struct ip_text found;

		while (!keep.n && sv_split(&rest, ' ', &one))
			if (one.n && (sv_find(one, ':') >= 0) == v6[i] && machine_has_ip(one))
				keep = one;
		if (!keep.n && machine_ip(v6[i], iface, &found))
			keep = sv_from(found.s);
		if (!keep.n)
			continue;
		if (b.n)
			buf_addc(&b, ' ');
		buf_addsv(&b, keep);
	}
	return b.n ? arena_cstr(a, buf_sv(&b)) : NULL;
}

const char *const *host_addresses(struct arena *a)
{
	struct ifaddrs *all = NULL;
	const char **list;
	size_t n = 0;

	if (getifaddrs(&all) < 0)
		return NULL;
	for (struct ifaddrs *i = all; i; i = i->ifa_next)
		n++;
	list = ARENA_ARRAY(a, const char *, n + 1);
	n = 0;
	for (struct ifaddrs *i = all; i; i = i->ifa_next) {
		char text[NI_MAXHOST];
		bool v4 = i->ifa_addr && i->ifa_addr->sa_family == AF_INET;

		if (!i->ifa_addr || (!v4 && i->ifa_addr->sa_family != AF_INET6) ||
		    getnameinfo(i->ifa_addr, v4 ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6), text,
				sizeof(text), NULL, 0, NI_NUMERICHOST) != 0)
			continue;
		list[n++] = arena_strdup(a, text);
	}
	freeifaddrs(all);
	return list;
}

bool host_has_address(struct arena *a, const char *address)
{
	const char *const *all = host_addresses(a);
	struct in6_addr wanted, one;
	int family = strchr(address, ':') ? AF_INET6 : AF_INET;

	if (!all || inet_pton(family, address, &wanted) != 1)
		return !all;
	for (; *all; all++)
		if (inet_pton(family, *all, &one) == 1 &&
		    memcmp(&one, &wanted, family == AF_INET ? sizeof(struct in_addr) : sizeof(one)) == 0)
			return true;
	return false;
}

int host_free_port(const char *address)
{
	struct sockaddr_in6 sa = { 0 };
	socklen_t n = sizeof(sa);
	_cleanup_close_ int fd = sock_bind_tcp(address, 0, NULL); /* as the server will */

	if (fd < 0 || getsockname(fd, (struct sockaddr *)&sa, &n) < 0)
		return 0;
	return ntohs(sa.sin6_port); /* where IPv4's is, too */
}

bool host_can_listen(const char *address, int port, struct err *why)
{
	_cleanup_close_ int fd = sock_bind_tcp(address, port, why);

	return fd >= 0;
}

const char *default_data_dir(struct arena *a)
{
	const char *home = getenv("HOME");

	return geteuid() == 0 ? DEFAULT_DATA_DIR : arena_printf(a, "%s/.caravel", home ? home : "/tmp");
}

const char *cluster_tag(struct arena *a, const char *data_dir)
{
	if (strcmp(data_dir, DEFAULT_DATA_DIR) == 0)
		return "caravel";
	return arena_printf(a, "caravel-%08" PRIx32, (uint32_t)sv_hash(sv_from(data_dir)));
}

const char *cluster_cgroup(struct arena *a, const char *data_dir)
{
	return arena_printf(a, "/%s", cluster_tag(a, data_dir));
}

const char *network_settings(struct arena *a, const char *claim_settings)
{
	return arena_printf(a, "%s-network", claim_settings);
}

const char *policy_settings(struct arena *a, const char *claim_settings)
{
	return arena_printf(a, "%s-policy", claim_settings);
}

struct claim_dirs cluster_dirs(struct arena *a, const char *data_dir)
{
	/* Where log collectors and CSI drivers look, for the one cluster most machines have. */
	if (strcmp(data_dir, DEFAULT_DATA_DIR) == 0)
		return (struct claim_dirs){ .kubelet_root = "/var/lib/kubelet", .log_dir = "/var/log/pods" };
	return (struct claim_dirs){ .kubelet_root = arena_printf(a, "%s/kubelet", data_dir),
				    .log_dir = arena_printf(a, "%s/pod-logs", data_dir) };
}

const char *full_path(struct arena *a, const char *path)
{
	char here[PATH_MAX] = "", real[PATH_MAX];
	struct sv rest, part;
	char *p;

	if (path[0] != '/' && !getcwd(here, sizeof(here)))
		here[0] = '\0';
	rest = sv_from(arena_printf(a, "%s/%s", here, path));
	p = arena_strdup(a, "");
	/* Part by part: what exists is resolved, what does not is taken as written. */
	while (sv_split(&rest, '/', &part)) {
		char *slash;

		if (part.n == 0 || sv_is(part, "."))
			continue;
		if (sv_is(part, "..")) {
			slash = strrchr(p, '/');
			if (slash)
				*slash = '\0';
			continue;
		}
		p = arena_printf(a, "%s/%.*s", p, SV_ARG(part));
		if (realpath(p, real))
			p = arena_strdup(a, strcmp(real, "/") == 0 ? "" : real);
	}
	return *p ? p : "/";
}
