#include "cli/dev_net.h"

#include "base/buf.h"
#include "cli/cidrs.h"
#include "ev/ev.h"

#include <dirent.h>
#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#define RANGE_BASE UINT32_C(0xc6120000) /* 198.18.0.0/15 */
#define RANGES 512u
#define RUN_NS (20 * NS_PER_SEC)
#define NETNS_DIR "/run/netns"

static const char *const families[] = { "ip", "ip6" }; /* as nft(8) calls them */

void dev_net_init(struct dev_net *n, const char *data_dir)
{
	uint64_t hash = sv_hash(sv_from(data_dir));

	*n = (struct dev_net){ .prefix = { { 0xfd } }, .has = { true, false } };
	snprintf(n->name, sizeof(n->name), "cvd%08x", (unsigned)(hash & 0xffffffff));
	for (int i = 1; i <= 5; i++)
		n->prefix.b[i] = (uint8_t)(hash >> (8 * (i - 1)));
}

bool dev_net_families(struct dev_net *n, const char *cluster_cidr)
{
	struct sv rest = sv_from(cluster_cidr), one;
	struct ip_net net;
	size_t k = 0;

	n->has[0] = n->has[1] = false;
	for (; sv_split(&rest, ',', &one); k++) {
		if (!ip_net_parse(sv_trim(one), &net))
			return false;
		if (!k)
			n->first = !ip_is_v4(net.addr);
		n->has[!ip_is_v4(net.addr)] = true;
	}
	return k > 0;
}

bool dev_net_choose(struct dev_net *n, struct sv routes)
{
	uint32_t first = (uint32_t)sv_hash(sv_from(n->name)) % RANGES;

	for (uint32_t i = 0; i < RANGES; i++) {
		uint32_t base = RANGE_BASE + ((first + i) % RANGES) * 256;
		char cidr[32];

		snprintf(cidr, sizeof(cidr), "%u.%u.%u.0/24", base >> 24, base >> 16 & 255, base >> 8 & 255);
		if (!cidrs_routed(routes, cidr, 1)) {
			n->base = base;
			return true;
		}
	}
	return false;
}

const char *dev_net_ns(const struct dev_net *n, struct arena *a, int node)
{
	return arena_printf(a, "%s-%d", n->name, node);
}

const char *dev_net_ns_path(const struct dev_net *n, struct arena *a, int node)
{
	return arena_printf(a, NETNS_DIR "/%s-%d", n->name, node);
}

const char *dev_net_address(const struct dev_net *n, struct arena *a, int node, bool v6)
{
	unsigned number = node ? 10 + (unsigned)node : 1;
	/* 198.18.5.11 and fd..::11: the same to the eye */
	struct ip_addr ip = v6 ? ip_add(n->prefix, number / 10 * 16 + number % 10) : ip_v4(n->base + number);

	return arena_strdup(a, ip_text(ip).s);
}

const char *dev_net_addresses(const struct dev_net *n, struct arena *a, int node)
{
	const char *first = dev_net_address(n, a, node, n->first);

	return n->has[!n->first] ? arena_printf(a, "%s,%s", first, dev_net_address(n, a, node, !n->first)) : first;
}

/* A program with text as its input. */
static int dev_net_run(const char *const *argv, struct sv text, struct err *err)
{
	_cleanup_(buf_release) struct buf out = BUF_INIT, errs = BUF_INIT;
	_cleanup_close_ int fd = memfd_create("caravel-dev", MFD_CLOEXEC);
	int status = 0;

	if (fd < 0 || write(fd, text.p, text.n) != (ssize_t)text.n || lseek(fd, 0, SEEK_SET) < 0)
		return err_set_errno(err, errno, "cannot hand over what '%s' is to do", argv[0]);
	/* With us it ends: what a killed one still made would be there after everything was taken away. */
	if (child_run(
		&(struct child_opts){
		    .argv = argv, .stdin_fd = fd, .stdout_fd = -1, .stderr_fd = -1, .die_with_parent = true },
		RUN_NS, 4096, &out, &errs, &status, err) < 0)
		return err_wrap(err, "running '%s'", argv[0]);
	return status ? err_set(err, ERR_INTERNAL, "%s: %.*s", argv[0], SV_ARG(sv_trim(buf_sv(&errs)))) : 0;
}

/* And the link up. Nobody else has these addresses: they are of use at once (nodad). */
static void dev_net_add_addresses(struct buf *b, const struct dev_net *n, int node, const char *dev)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;

	if (n->has[0])
		buf_printf(b, "address add %s/24 dev %s\n", dev_net_address(n, &a, node, false), dev);
	if (n->has[1])
		buf_printf(b, "address add %s/64 dev %s nodad\n", dev_net_address(n, &a, node, true), dev);
	buf_printf(b, "link set %s up\n", dev);
}

static int dev_net_node_up(const struct dev_net *n, int node, struct err *err)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	const char *argv[] = { "ip", "-n", dev_net_ns(n, &a, node), "-batch", "-", NULL };

	buf_adds(&b, "link set lo up\n");
	dev_net_add_addresses(&b, n, node, "eth0");
	for (int v6 = 0; v6 < 2; v6++)
		if (n->has[v6])
			buf_printf(&b, "route add default via %s\n", dev_net_address(n, &a, 0, v6));
	return dev_net_run(argv, buf_sv(&b), err);
}

int dev_net_up(const struct dev_net *n, int nodes, struct err *err)
{
	static const char *const ip[] = { "ip", "-batch", "-", NULL }, *const nft[] = { "nft", "-f", "-", NULL };
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	buf_printf(&b, "link add %s type bridge\n", n->name);
	dev_net_add_addresses(&b, n, 0, n->name);
	for (int i = 1; i <= nodes; i++)
		buf_printf(&b,
			   "netns add %s-%d\nlink add %s-%d type veth peer name eth0 netns %s-%d\n"
			   "link set %s-%d master %s up\n",
			   n->name, i, n->name, i, n->name, i, n->name, i, n->name);
	if (dev_net_run(ip, buf_sv(&b), err) < 0)
		return -1;
	for (int i = 1; i <= nodes; i++)
		if (dev_net_node_up(n, i, err) < 0)
			return -1;
	buf_clear(&b);
	for (int v6 = 0; v6 < 2; v6++)
		if (n->has[v6])
			buf_printf(
			    &b,
			    "table %s %s {\n\tchain out {\n\t\ttype nat hook postrouting priority srcnat; policy "
			    "accept;\n\t\t%s saddr %s/%d oifname != \"%s\" masquerade\n\t}\n}\n",
			    families[v6], n->name, families[v6], dev_net_address(n, &a, 0, v6), v6 ? 64 : 24, n->name);
	return dev_net_run(nft, buf_sv(&b), err);
}

int dev_net_left(const struct dev_net *n)
{
	DIR *d = opendir(NETNS_DIR);
	size_t len = strlen(n->name);
	int max = if_nametoindex(n->name) ? 0 : -1;

	for (struct dirent *e; d && (e = readdir(d));) {
		int64_t node;

		if (strncmp(e->d_name, n->name, len) == 0 && e->d_name[len] == '-' &&
		    sv_to_i64(sv_from(e->d_name + len + 1), &node) && node > 0 && node <= DEV_NODES_MAX)
			max = MAX(max, (int)node);
	}
	if (d)
		closedir(d);
	return max;
}

int dev_net_down(const struct dev_net *n, struct err *err)
{
	static const char *const ip[] = { "ip", "-force", "-batch", "-", NULL };
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	int left = dev_net_left(n);

	for (size_t i = 0; i < ARRAY_LEN(families); i++) {
		const char *nft[] = { "nft", "delete", "table", families[i], n->name, NULL };

		(void)dev_net_run(nft, SV(""), NULL); /* fails when there is none */
	}
	if (left < 0)
		return 0;
	for (int i = 1; i <= left; i++)
		if (access(dev_net_ns_path(n, &a, i), F_OK) == 0)
			buf_printf(&b, "link delete %s-%d\nnetns delete %s-%d\n", n->name, i, n->name, i);
	buf_printf(&b, "link delete %s\n", n->name);
	(void)dev_net_run(ip, buf_sv(&b), NULL); /* of a half-made one some are missing: what counts is what is left */
	return dev_net_left(n) < 0
		   ? 1
		   : err_set(err, ERR_INTERNAL,
			     "something of the network %s does not go: `ip link`, `ip netns` show it", n->name);
}
