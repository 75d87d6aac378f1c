#include "kubelet/machine.h"

#include "kubelet/fsutil.h"
#include "object/quantity.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/statvfs.h>
#include <sys/utsname.h>
#include <unistd.h>

static int64_t machine_memory_bytes(void)
{
	return (int64_t)sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGESIZE);
}

static struct sv file_line(struct arena *a, const char *path)
{
	struct sv s = SV("");

	file_read(a, path, 4096, &s, NULL);
	return sv_trim(s);
}

static struct sv os_image(struct arena *a)
{
	struct sv text, line;

	if (file_read(a, "/etc/os-release", 1 << 16, &text, NULL) == 0)
		while (sv_split(&text, '\n', &line))
			if (sv_starts(line, SV("PRETTY_NAME="))) {
				line = sv_sub(line, 12, line.n);
				if (line.n >= 2 && line.p[0] == '"')
					line = sv_sub(line, 1, line.n - 2);
				return line;
			}
	return SV("Linux");
}

static const char *machine_go_arch(const char *machine)
{
	return !strcmp(machine, "x86_64") ? "amd64" : !strcmp(machine, "aarch64") ? "arm64" : machine;
}

void machine_status(struct arena *a, int max_pods, const char *root_dir, struct val *node_status)
{
	struct val *cap = val_new_map(a), *alloc = val_new_map(a), *info = val_new_map(a);
	int64_t memory = machine_memory_bytes(), storage = 0;
	struct utsname u;
	struct statvfs fs;
	struct sv machine_id = file_line(a, "/etc/machine-id");

	uname(&u);
	if (statvfs(root_dir, &fs) == 0 || statvfs("/", &fs) == 0)
		storage = (int64_t)(fs.f_blocks * fs.f_frsize);
	val_set_str_sv(a, cap, SV("cpu"), arena_svf(a, "%ld", sysconf(_SC_NPROCESSORS_ONLN)));
	val_set_str_sv(a, cap, SV("ephemeral-storage"), arena_svf(a, "%" PRId64 "Ki", storage / 1024));
	val_set_str_sv(a, cap, SV("memory"), arena_svf(a, "%" PRId64 "Ki", memory / 1024));
	val_set_str_sv(a, cap, SV("pods"), arena_svf(a, "%d", max_pods));
	/* As upstream: a tenth of the disk and 100 Mi of memory are the eviction thresholds' share. */
	val_set_str_sv(a, alloc, SV("cpu"), arena_svf(a, "%ld", sysconf(_SC_NPROCESSORS_ONLN)));
	val_set_str_sv(a, alloc, SV("ephemeral-storage"), arena_svf(a, "%" PRId64, storage / 10 * 9));
	val_set_str_sv(a, alloc, SV("memory"), arena_svf(a, "%" PRId64 "Ki", memory / 1024 - 100 * 1024));
	val_set_str_sv(a, alloc, SV("pods"), arena_svf(a, "%d", max_pods));
	val_set(a, node_status, F_capacity, cap);
	val_set(a, node_status, F_allocatable, alloc);
	val_set_cstr(a, info, F_architecture, machine_go_arch(u.machine));
	val_set_str(a, info, F_bootID, file_line(a, "/proc/sys/kernel/random/boot_id"));
	val_set_cstr(a, info, F_kernelVersion, u.release);
	val_set_str(a, info, F_machineID, machine_id);
	val_set_cstr(a, info, F_operatingSystem, "linux");
	val_set_str(a, info, F_osImage, os_image(a));
	val_set_str(a, info, F_systemUUID, machine_id);
	val_set(a, node_status, F_nodeInfo, info);
}

int64_t machine_pids(void)
{
	static const char *const files[] = { "/proc/sys/kernel/pid_max", "/proc/sys/kernel/threads-max" };
	int64_t least = 0, n;

	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		_cleanup_(arena_release) struct arena a = ARENA_INIT;

		if (sv_to_i64(file_line(&a, files[i]), &n) && n > 0 && (!least || n < least))
			least = n;
	}
	return least;
}

int64_t machine_pod_pids(int64_t pids)
{
	return MIN(pids / 4, 4096);
}

int64_t machine_pids_allocatable(int64_t pids)
{
	return pids > 512 ? pids - MAX(pids / 10, 256) : pids / 2;
}

/* By which somebody else could reach the machine. */
static bool machine_ip_usable(const struct sockaddr *sa, bool v6, struct ip_text *ret)
{
	struct ip_addr a;

	if (!sa || sa->sa_family != (v6 ? AF_INET6 : AF_INET))
		return false;
	a = ip_of_sockaddr(sa);
	if (ip_is_none(a) || ip_eq(a, ip_v4(0)) || ip_is_loopback(a) || ip_is_link_local(a))
		return false;
	*ret = ip_text(a);
	return true;
}

/* A bridge of ours or of another cluster, or a pod's end, is no way to reach the machine. */
static bool machine_link_counts(const char *name)
{
	return strncmp(name, "cvl", 3) != 0 && strncmp(name, "cvd", 3) != 0 && strncmp(name, "veth", 4) != 0;
}

/* Connecting a datagram socket sends nothing; it asks for the route and its source address. */
static bool machine_route_source(bool v6, struct ip_text *ret)
{
	_cleanup_close_ int fd = socket(v6 ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct sockaddr_in to4 = { .sin_family = AF_INET, .sin_port = htons(9), .sin_addr.s_addr = htonl(0x08080808) };
	struct sockaddr_in6 to6 = { .sin6_family = AF_INET6, .sin6_port = htons(9) };
	struct sockaddr_storage from = { 0 };
	socklen_t len = sizeof(from);

	(void)inet_pton(AF_INET6, "2001:4860:4860::8888", &to6.sin6_addr);
	if (fd < 0 ||
	    connect(fd, v6 ? (struct sockaddr *)&to6 : (struct sockaddr *)&to4, v6 ? sizeof(to6) : sizeof(to4)) < 0 ||
	    getsockname(fd, (struct sockaddr *)&from, &len) < 0)
		return false;
	return machine_ip_usable((struct sockaddr *)&from, v6, ret);
}

bool machine_ip(bool v6, const char *iface, struct ip_text *ret)
{
	struct ifaddrs *list = NULL;
	struct ip_text source, one;
	bool found = false, routed = !iface && machine_route_source(v6, &source);

	if (getifaddrs(&list) < 0) {
		if (routed)
			*ret = source;
		return routed;
	}
	/* The first one, or the one that a route names. Where the link it leads over has none of its own, the kernel
	 * takes any, one of our devices say: that is no better than none. */
	for (struct ifaddrs *i = list; i; i = i->ifa_next) {
		if (iface ? strcmp(i->ifa_name, iface) != 0 : !machine_link_counts(i->ifa_name))
			continue;
		if (!(i->ifa_flags & IFF_UP) || !machine_ip_usable(i->ifa_addr, v6, &one))
			continue;
		if (!found)
			*ret = one;
		found = true;
		if (!routed || strcmp(one.s, source.s) == 0) {
			*ret = one;
			break;
		}
	}
	freeifaddrs(list);
	return found;
}

bool machine_has_ip(struct sv ip)
{
	struct ifaddrs *list = NULL;
	bool found = false;

	if (getifaddrs(&list) < 0)
		return true; /* not known */
	for (struct ifaddrs *i = list; i && !found; i = i->ifa_next) {
		struct ip_text one;

		found = i->ifa_flags & IFF_UP && machine_ip_usable(i->ifa_addr, sv_find(ip, ':') >= 0, &one) &&
			sv_is(ip, one.s);
	}
	freeifaddrs(list);
	return found;
}
