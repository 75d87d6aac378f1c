/* Facts about this machine that defaults come from. */
#include "cli/agent.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <limits.h>
#include <net/if.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

/* The address of the interface that the default route uses, or "". */
static void default_interface(char out[IF_NAMESIZE])
{
	FILE *f = fopen("/proc/net/route", "re");
	char line[256], name[IF_NAMESIZE];
	unsigned long dest;

	out[0] = '\0';
	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "%15s %lx", name, &dest) == 2 && dest == 0) {
			snprintf(out, IF_NAMESIZE, "%s", name);
			break;
		}
	if (f)
		fclose(f);
}

const char *host_address(struct arena *a)
{
	char wanted[IF_NAMESIZE], text[INET_ADDRSTRLEN];
	struct ifaddrs *all = NULL;
	const char *best = NULL;

	default_interface(wanted);
	if (getifaddrs(&all) < 0)
		return NULL;
	for (struct ifaddrs *i = all; i; i = i->ifa_next) {
		struct sockaddr_in in;

		if (!i->ifa_addr || i->ifa_addr->sa_family != AF_INET || (i->ifa_flags & IFF_LOOPBACK) ||
		    !(i->ifa_flags & IFF_UP))
			continue;
		/* A bridge of ours or of another cluster is no way to reach the machine. */
		if (strncmp(i->ifa_name, "cvl", 3) == 0 || strncmp(i->ifa_name, "cvd", 3) == 0 ||
		    strncmp(i->ifa_name, "veth", 4) == 0)
			continue;
		memcpy(&in, i->ifa_addr, sizeof(in));
		inet_ntop(AF_INET, &in.sin_addr, text, sizeof(text));
		if (!best || strcmp(i->ifa_name, wanted) == 0)
			best = arena_strdup(a, text);
	}
	freeifaddrs(all);
	return best;
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
	struct sockaddr_in in = { .sin_family = AF_INET };
	socklen_t n = sizeof(in);
	_cleanup_close_ int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (inet_pton(AF_INET, address, &in.sin_addr) != 1)
		in.sin_addr.s_addr = htonl(INADDR_ANY);
	if (fd < 0 || bind(fd, (struct sockaddr *)&in, n) < 0 || getsockname(fd, (struct sockaddr *)&in, &n) < 0)
		return 0;
	return ntohs(in.sin_port);
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
