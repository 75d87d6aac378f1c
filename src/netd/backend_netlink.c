/* The kernel. A read is a handful of dumps, of what is ours alone where the kernel can choose: of a thousand nodes some
 * milliseconds. */
#include "base/buf.h"
#include "base/file.h"
#include "base/sysctl.h"
#include "net/link_watch.h"
#include "net/rtnl.h"
#include "netd/message.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define LOOKS_MAX 5 /* at what changes while we look */
#define RANGES_MAX 8

struct kernel {
	struct netd_backend b;
	struct rtnl *nl;
	struct fd_watch *watch;
	struct sysctls sysctls;
	char name[16];
	char *ranges_file;		/* or NULL */
	struct ip_net ours[RANGES_MAX]; /* routes to these; none: to anywhere */
	size_t n_ours;
	int index; /* of the device; 0: there is none */
	struct netd_device want;
};

static struct kernel *kernel_of(struct netd_backend *b)
{
	return CONTAINER_OF(b, struct kernel, b);
}

/* --- reading --- */

static void on_link(const struct nlmsghdr *h, void *ctx)
{
	struct message_link *l = ctx, one;

	if (message_read_link(h, &one))
		*l = one;
}

/* 1: it is there, 0: not. */
static int kernel_link(struct kernel *k, const char *name, int index, struct message_link *ret, struct err *err)
{
	_cleanup_(err_release) struct err e = ERR_INIT;
	struct net_message m;

	*ret = (struct message_link){ .index = 0 };
	if (rtnl_call(k->nl, message_link_get(&m, name, index), on_link, ret, &e) == 0)
		return ret->index > 0;
	return e.errnum == ENODEV ? 0 : err_move(err, &e);
}

struct addrs {
	struct netd_machine *m;
	bool onlink;
};

static void on_addr(const struct nlmsghdr *h, void *ctx)
{
	struct addrs *l = ctx;
	struct netd_addr a;
	uint8_t bits;

	if (!message_read_addr(h, &a, &bits) || ip_is_link_local(a.addr))
		return;
	vec_push(&l->m->addrs, a);
	if (l->onlink && !ip_is_loopback(a.addr))
		vec_push(&l->m->onlink, ((struct netd_onlink){ ip_net_of(a.addr, bits), a.link }));
}

/* A dump, until nothing changed meanwhile. start empties what fn fills. */
static int kernel_dump(struct kernel *k, struct nlmsghdr *request, void (*fn)(const struct nlmsghdr *h, void *ctx),
		       void (*start)(void *ctx), void *ctx, struct err *err)
{
	for (int look = 0;; look++) {
		_cleanup_(err_release) struct err e = ERR_INIT;

		start(ctx);
		if (rtnl_call(k->nl, request, fn, ctx, &e) == 0)
			return 0;
		if (e.errnum == ENOENT) /* no table of routes yet: a namespace in which no address was ever set */
			return 0;
		if (e.errnum != EINTR || look == LOOKS_MAX)
			return err_move(err, &e);
	}
}

static void start_addrs(void *ctx)
{
	struct addrs *l = ctx;

	vec_clear(&l->m->addrs);
	vec_clear(&l->m->onlink);
}

static int kernel_addrs(struct kernel *k, struct netd_machine *ret, bool onlink, struct err *err)
{
	struct addrs l = { ret, onlink };
	struct net_message m;

	return kernel_dump(k, message_addrs_get(&m), on_addr, start_addrs, &l, err);
}

static int kernel_look(struct netd_backend *b, enum netd_kind kind, const struct ip_addr own[NETD_FAMILIES],
		       struct netd_machine *ret, struct err *err)
{
	struct kernel *k = kernel_of(b);

	*ret = (struct netd_machine){ .mtu = { 0 } };
	if (kernel_addrs(k, ret, kind == NETD_HOST_GW, err) < 0)
		return err_wrap(err, "reading this machine's addresses");
	for (int f = 0; f < NETD_FAMILIES; f++)
		for (size_t i = 0; i < ret->addrs.n; i++) {
			struct message_link l;

			if (!ip_eq(ret->addrs.p[i].addr, own[f]))
				continue;
			if (kernel_link(k, NULL, ret->addrs.p[i].link, &l, err) < 0)
				return -1;
			ret->mtu[f] = l.mtu;
			ret->link[f] = l.index;
		}
	return 0;
}

struct entries {
	struct kernel *k;
	struct netd_have *have;
	size_t before; /* of this dump */
};

static void start_entries(void *ctx)
{
	struct entries *e = ctx;

	e->have->entries.n = e->before;
}

static void on_route(const struct nlmsghdr *h, void *ctx)
{
	struct entries *e = ctx;
	struct message_route r;

	if (!message_read_route(h, &r) || r.proto != NETD_PROTO ||
	    !netd_ranges_cover(e->k->ours, e->k->n_ours, (struct ip_net){ r.entry.key.addr, r.entry.key.bits }))
		return;
	if (r.entry.value.link == e->k->index)
		r.entry.value.link = 0;
	vec_push(&e->have->entries, r.entry);
}

static void on_neigh(const struct nlmsghdr *h, void *ctx)
{
	struct entries *e = ctx;
	struct net_entry n;

	if (message_read_neigh(h, e->k->index, &n))
		vec_push(&e->have->entries, n);
}

static int kernel_entries(struct kernel *k, struct netd_have *ret, struct err *err)
{
	static const uint8_t families[] = { AF_INET, AF_INET6 }, neighs[] = { AF_INET, AF_INET6, AF_BRIDGE };
	struct entries e = { .k = k, .have = ret };
	struct net_message m;

	for (size_t i = 0; i < ARRAY_LEN(families); i++) {
		e.before = ret->entries.n;
		if (kernel_dump(k, message_routes_get(&m, families[i], NETD_PROTO), on_route, start_entries, &e, err) <
		    0)
			return err_wrap(err, "reading routes");
	}
	for (size_t i = 0; k->index && i < ARRAY_LEN(neighs); i++) {
		e.before = ret->entries.n;
		if (kernel_dump(k, message_neighs_get(&m, neighs[i], k->index), on_neigh, start_entries, &e, err) < 0)
			return err_wrap(err, "reading neighbours");
	}
	return 0;
}

/* What is wanted counts, whatever else somebody gave it. */
static struct ip_addr kernel_vtep(const struct kernel *k, const struct netd_machine *m, int family)
{
	struct ip_addr found = IP_NONE;

	for (size_t i = 0; i < m->addrs.n; i++) {
		const struct netd_addr *a = &m->addrs.p[i];

		if (a->link != k->index || netd_family(a->addr) != family)
			continue;
		if (ip_is_none(found) || ip_eq(a->addr, k->want.vtep[family]))
			found = a->addr;
	}
	return found;
}

static int kernel_read(struct netd_backend *b, struct netd_have *ret, struct err *err)
{
	struct netd_machine machine = { .mtu = { 0 } };
	struct kernel *k = kernel_of(b);
	struct message_link l;
	int rc;

	*ret = (struct netd_have){ .present = false };
	if (kernel_link(k, k->name, 0, &l, err) < 0)
		return err_wrap(err, "looking for the device '%s'", k->name);
	k->index = l.vxlan ? l.index : 0;
	if (l.index) {
		ret->present = true;
		ret->foreign = !l.vxlan;
		ret->right = l.right;
		ret->up = l.up;
		ret->device = (struct netd_device){ .wanted = true, .mtu = l.mtu, .local = l.local };
		memcpy(ret->device.mac, l.mac, sizeof(l.mac));
		rc = k->index ? kernel_addrs(k, &machine, false, err) : 0;
		for (int f = 0; f < NETD_FAMILIES; f++)
			ret->device.vtep[f] = kernel_vtep(k, &machine, f);
		netd_machine_release(&machine);
		if (rc < 0)
			return -1;
	}
	return kernel_entries(k, ret, err);
}

/* --- writing --- */

/* Such and such is as good as done. */
static int kernel_do(struct kernel *k, struct nlmsghdr *request, int fine, struct err *err)
{
	_cleanup_(err_release) struct err e = ERR_INIT;

	if (rtnl_call(k->nl, request, NULL, NULL, &e) == 0 || (fine && e.errnum == fine))
		return 0;
	return err_move(err, &e);
}

/* Of our own device: nobody wants them back. */
static void kernel_set(struct kernel *k, const char *family, const char *what, const char *value)
{
	_cleanup_free_ char *path = xasprintf("net/%s/conf/%s/%s", family, k->name, what);
	struct sysctls s;

	sysctls_init(&s, NULL);
	(void)sysctl_ensure(&s, path, value);
	sysctls_release(&s);
}

static int make_device(struct kernel *k, const struct netd_device *d, struct err *err)
{
	_cleanup_(err_release) struct err e = ERR_INIT;
	struct message_link l;
	struct net_message m;

	if (kernel_do(k, message_link_new(&m, k->name, d), 0, &e) < 0) {
		if (e.errnum == EEXIST)
			return err_set(
			    err, ERR_ALREADY_EXISTS,
			    "this machine has a VXLAN device with VNI %d on UDP port %d already, another "
			    "cluster's or flannel's: remove it (`ip -d link show type vxlan`), or give one of "
			    "them --flannel-backend=host-gw",
			    NETD_VNI, NETD_PORT);
		if (e.errnum == EOPNOTSUPP)
			return err_set(err, ERR_UNAVAILABLE,
				       "this kernel has no VXLAN (CONFIG_VXLAN, module vxlan): load it, or use "
				       "--flannel-backend=host-gw");
		err_move(err, &e);
		return err_wrap(err, "making the device '%s'", k->name);
	}
	if (kernel_link(k, k->name, 0, &l, err) < 0)
		return -1;
	k->index = l.index;
	kernel_set(k, "ipv6", "addr_gen_mode", "1");
	kernel_set(k, "ipv6", "accept_ra", "0");
	kernel_set(k, "ipv6", "disable_ipv6", ip_is_none(d->vtep[NETD_V6]) ? "1" : "0");
	kernel_set(k, "ipv4", "rp_filter", "2");
	return 0;
}

static int kernel_addresses(struct kernel *k, const struct netd_device *d, struct err *err)
{
	struct netd_machine machine = { .mtu = { 0 } };
	struct net_message m;
	int rc = kernel_addrs(k, &machine, false, err);

	for (size_t i = 0; i < machine.addrs.n && rc == 0; i++) {
		const struct netd_addr *a = &machine.addrs.p[i];

		if (a->link == k->index && !ip_eq(a->addr, d->vtep[netd_family(a->addr)]))
			rc = kernel_do(k, message_addr(&m, k->index, a->addr, false), EADDRNOTAVAIL, err);
	}
	for (int f = 0; f < NETD_FAMILIES && rc == 0; f++)
		if (!ip_is_none(d->vtep[f]))
			rc = kernel_do(k, message_addr(&m, k->index, d->vtep[f], true), EEXIST, err);
	netd_machine_release(&machine);
	return rc < 0 ? err_wrap(err, "giving '%s' its addresses", k->name) : 0;
}

static int kernel_device(struct netd_backend *b, const struct netd_have *have, const struct netd_device *want,
			 struct err *err)
{
	struct kernel *k = kernel_of(b);
	struct net_message m;
	bool anew = !have->right || !ip_eq(have->device.local, want->local);

	if (have->present && have->foreign)
		return want->wanted
			   ? err_set(err, ERR_ALREADY_EXISTS,
				     "the device '%s' is no VXLAN, so it is not ours: rename or remove it", k->name)
			   : 0;
	if (have->present && (!want->wanted || anew)) {
		if (kernel_do(k, message_link_del(&m, k->index), ENODEV, err) < 0)
			return err_wrap(err, "removing the device '%s'", k->name);
		k->index = 0;
	}
	k->want = *want;
	if (!want->wanted)
		return 0;
	if (!k->index && make_device(k, want, err) < 0)
		return -1;
	if (kernel_do(k, message_link_set(&m, k->index, want), 0, err) < 0)
		return err_wrap(err, "setting up the device '%s'", k->name);
	return kernel_addresses(k, want, err);
}

static bool is_gone(int e)
{
	return e == ESRCH || e == ENOENT || e == ENODEV || e == EADDRNOTAVAIL;
}

static void kernel_explain(const struct net_change *c, struct err *e)
{
	struct ip_net net = { c->key.addr, c->key.bits };

	if (c->key.type == NET_ROUTE && e->errnum == EEXIST) {
		err_release(e);
		err_set(e, ERR_ALREADY_EXISTS,
			"this machine has another route to %s, which is not ours to replace: remove it",
			ip_net_text(net).s);
	} else if (c->key.type == NET_ROUTE) {
		err_wrap(e, "the route to %s", ip_net_text(net).s);
	} else {
		err_wrap(e, "how the VXLAN reaches %s", ip_text(c->key.type == NET_FDB ? c->be.via : c->key.addr).s);
	}
}

static size_t kernel_apply(struct netd_backend *b, struct net_change *c, size_t n, struct err *err)
{
	struct kernel *k = kernel_of(b);
	size_t failed = 0;

	for (size_t i = 0; i < n; i++) {
		_cleanup_(err_release) struct err e = ERR_INIT;
		struct net_message m;

		if (rtnl_call(k->nl, message_change(&m, &c[i], k->index), NULL, NULL, &e) == 0 ||
		    (!c[i].want && is_gone(e.errnum)))
			continue;
		c[i].failed = true;
		if (failed++)
			continue;
		kernel_explain(&c[i], &e);
		err_move(err, &e);
	}
	return failed;
}

/* --- the host's settings --- */

/* A machine that forwards IPv6 takes no router's advertisements, unless told to: its own default route would go. */
static void keep_advertisements(struct kernel *k, int link)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(err_release) struct err err = ERR_INIT;
	struct message_link l;
	const char *path;
	struct sv now;

	if (!link || kernel_link(k, NULL, link, &l, &err) <= 0)
		return;
	path = arena_printf(&a, "net/ipv6/conf/%s/accept_ra", l.name);
	if (file_read(&a, arena_printf(&a, "/proc/sys/%s", path), 64, &now, NULL) == 0 && sv_is(sv_trim(now), "1"))
		(void)sysctl_ensure(&k->sysctls, path, "2");
}

static void kernel_prepare(struct netd_backend *b, const struct netd_node *self, const int link[NETD_FAMILIES])
{
	struct kernel *k = kernel_of(b);

	if (!ip_is_none(self->range[NETD_V4].addr))
		(void)sysctl_ensure(&k->sysctls, "net/ipv4/ip_forward", "1");
	if (ip_is_none(self->range[NETD_V6].addr))
		return;
	for (int f = 0; f < NETD_FAMILIES; f++)
		keep_advertisements(k, link[f]);
	(void)sysctl_ensure(&k->sysctls, "net/ipv6/conf/all/forwarding", "1");
}

/* --- life --- */

static void kernel_watch(struct netd_backend *b, struct env *env, void (*changed)(void *ctx), void *ctx)
{
	kernel_of(b)->watch = link_watch_new(env, LINK_WATCH_ROUTES, changed, ctx);
}

static void kernel_unwatch(struct netd_backend *b)
{
	struct kernel *k = kernel_of(b);

	k->watch = fd_watch_free(k->watch);
}

static void kernel_free(struct netd_backend *b)
{
	struct kernel *k = kernel_of(b);

	kernel_unwatch(b);
	rtnl_close(k->nl);
	sysctls_release(&k->sysctls);
	free(k->ranges_file);
	free(k);
}

static void add_ranges(struct kernel *k, struct sv text, char sep)
{
	struct sv one;
	struct ip_net net;

	while (sv_split(&text, sep, &one))
		if (k->n_ours < RANGES_MAX && ip_net_parse(sv_trim(one), &net))
			k->ours[k->n_ours++] = net;
}

/* An earlier run may have had others, whose routes go with the first sync or with cleanup. */
static void read_ranges(struct kernel *k)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct sv text;

	if (k->ranges_file && file_read(&a, k->ranges_file, 1024, &text, NULL) == 0)
		add_ranges(k, text, '\n');
}

static void write_ranges(const struct kernel *k)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	for (size_t i = 0; i < k->n_ours; i++)
		buf_printf(&b, "%s\n", ip_net_text(k->ours[i]).s);
	if (k->ranges_file)
		(void)file_write_again(k->ranges_file, buf_sv(&b), 0600, NULL);
}

/* A socket for the moment: of six looks a minute. */
static bool kernel_drops(_unused_ struct netd_backend *b, bool v6, char ret[NFNL_CHAIN_BYTES])
{
	struct mnl_socket *s = nfnl_open(NULL);
	bool found = s && nfnl_forward_drop(s, v6, ret, NULL) > 0;

	nfnl_close(s);
	return found;
}

static struct kernel *kernel_new(const char *device, const char *settings, struct err *err)
{
	struct kernel *k = xcalloc(1, sizeof(*k));

	k->b = (struct netd_backend){ .look = kernel_look,
				      .read = kernel_read,
				      .prepare = kernel_prepare,
				      .device = kernel_device,
				      .apply = kernel_apply,
				      .watch = kernel_watch,
				      .unwatch = kernel_unwatch,
				      .drops = kernel_drops,
				      .free = kernel_free };
	(void)snprintf(k->name, sizeof(k->name), "%s", device);
	sysctls_init(&k->sysctls, settings);
	k->ranges_file = settings ? xasprintf("%s.ranges", settings) : NULL;
	k->nl = rtnl_open(err);
	if (!k->nl) {
		kernel_free(&k->b);
		return NULL;
	}
	return k;
}

struct netd_backend *netd_backend_netlink_new(const char *device, const char *settings, const char *cluster,
					      struct err *err)
{
	struct kernel *k = kernel_new(device, settings, err);

	if (!k)
		return NULL;
	if (cluster) {
		add_ranges(k, sv_from(cluster), ',');
		read_ranges(k);
		write_ranges(k);
	}
	return &k->b;
}

int netd_probe_mtu(enum netd_kind kind, const struct obj *node)
{
	struct netd_machine machine = { .mtu = { 0 } };
	struct netd_node self;
	struct kernel *k;
	int f, mtu = 0;

	netd_node_read(node, &self);
	f = netd_underlay(&self);
	k = kind == NETD_NONE ? NULL : kernel_new("", NULL, NULL);
	if (k && kernel_look(&k->b, kind, self.addr, &machine, NULL) == 0)
		mtu = netd_pod_mtu(kind, f, machine.mtu[f]);
	netd_machine_release(&machine);
	if (k)
		kernel_free(&k->b);
	return mtu;
}

int netd_cleanup(const char *device, const char *settings, const char *heirs, struct err *err)
{
	struct kernel *k = kernel_new(device, settings, err);
	struct netd_have have = { .present = false };
	const struct netd_device none = { .wanted = false };
	int rc;

	if (!k)
		return -1;
	read_ranges(k);
	rc = kernel_read(&k->b, &have, err);
	if (!k->n_ours) /* whose they are is not known; those of the device go with it */
		vec_clear(&have.entries);
	if (rc == 0 && have.present && !have.foreign)
		rc = kernel_device(&k->b, &have, &none, err) < 0 ? -1 : 1;
	for (size_t i = 0; rc >= 0 && i < have.entries.n; i++) {
		struct net_change c = { .key = have.entries.p[i].key, .had = true, .is = have.entries.p[i].value };

		if (c.key.type != NET_ROUTE || !c.is.link)
			continue;
		rc = kernel_apply(&k->b, &c, 1, err) ? -1 : 1;
	}
	netd_have_release(&have);
	sysctls_give_back(settings, heirs);
	if (k->ranges_file && rc >= 0)
		(void)unlink(k->ranges_file);
	kernel_free(&k->b);
	return rc;
}
