#include "kubelet/bridge_repair.h"

#include "base/file.h"
#include "base/strmap.h"
#include "base/sysctl.h"
#include "codec/json.h"
#include "ev/ev.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define RESULT_MAX (1 << 20)
#define RUN_NS (10 * NS_PER_SEC)

/* Names go into paths of /sys and onto command lines. */
static bool br_copy_name(struct sv s, char out[16])
{
	if (!s.n || s.n > 15 || s.p[0] == '-' || s.p[0] == '.' || sv_find(s, '/') >= 0 || memchr(s.p, 0, s.n))
		return false;
	memcpy(out, s.p, s.n);
	out[s.n] = '\0';
	return true;
}

static void br_add_gateway(struct bridge_need *need, struct sv gateway, struct sv address)
{
	ssize_t slash = sv_find(address, '/');
	char text[64];

	if (!gateway.n || slash < 0 || gateway.n + address.n - (size_t)slash >= sizeof(text))
		return;
	(void)snprintf(text, sizeof(text), "%.*s%.*s", SV_ARG(gateway),
		       SV_ARG(sv_sub(address, (size_t)slash, address.n)));
	for (size_t i = 0; i < need->n_gateways; i++)
		if (!strcmp(need->gateway[i], text))
			return;
	if (need->n_gateways < ARRAY_LEN(need->gateway))
		memcpy(need->gateway[need->n_gateways++], text, sizeof(text));
}

bool bridge_read_result(struct sv text, const char *run_dir, const char *bridge, struct bridge_need *need, char *veth)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	const struct val *doc, *result;
	struct sv below = arena_svf(&a, "%s/", run_dir), mac = SV("");
	bool ours = false, on_it = false;

	if (sv_find_sv(text, below) < 0 || !(doc = json_decode(&a, text, NULL, NULL)))
		return false;
	result = val_member_sv(doc, SV("result"));
	*veth = '\0';
	VAL_EACH(val_member_sv(result, SV("interfaces")), i) {
		struct sv name = val_str(val_member_sv(i, SV("name"))),
			  sandbox = val_str(val_member_sv(i, SV("sandbox")));

		if (sandbox.n) {
			ours |= sv_starts(sandbox, below);
		} else if (sv_is(name, bridge)) {
			on_it = true;
			mac = val_str(val_member_sv(i, SV("mac")));
		} else if (!*veth) {
			(void)br_copy_name(name, veth);
		}
	}
	if (!ours || !on_it || !*veth)
		return false;
	if (mac.n == 17) {
		memcpy(need->mac, mac.p, mac.n);
		need->mac[mac.n] = '\0';
	}
	VAL_EACH(val_member_sv(result, SV("ips")), ip)
		br_add_gateway(need, val_str(val_member_sv(ip, SV("gateway"))),
			       val_str(val_member_sv(ip, SV("address"))));
	return true;
}

/* A word on a command line, of these characters only; NULL otherwise. */
static const char *br_word(struct arena *a, struct sv s, const char *of)
{
	if (!s.n || s.n > 63)
		return NULL;
	for (size_t i = 0; i < s.n; i++)
		if (!s.p[i] || !strchr(of, s.p[i]))
			return NULL;
	return arena_cstr(a, s);
}

bool bridge_read_pod_end(struct arena *a, struct sv text, struct bridge_pod_end *ret)
{
	const struct val *doc = json_decode(a, text, NULL, NULL), *result = val_member_sv(doc, SV("result"));
	const char *hex = "0123456789abcdefABCDEF:", *address = "0123456789abcdefABCDEF:./";
	char name[16];

	*ret = (struct bridge_pod_end){ .sandbox = arena_sv(a, val_str(val_member_sv(doc, SV("containerId")))) };
	VAL_EACH(val_member_sv(result, SV("interfaces")), i) {
		struct sv netns = val_str(val_member_sv(i, SV("sandbox")));

		if (!netns.n || !br_copy_name(val_str(val_member_sv(i, SV("name"))), name))
			continue;
		ret->netns = arena_cstr(a, netns);
		ret->name = arena_strdup(a, name);
		ret->mac = br_word(a, val_str(val_member_sv(i, SV("mac"))), hex);
	}
	VAL_EACH(val_member_sv(result, SV("ips")), ip) {
		const char *own = br_word(a, val_str(val_member_sv(ip, SV("address"))), address),
			   *gateway = br_word(a, val_str(val_member_sv(ip, SV("gateway"))), address);

		if (!own || ret->n_ips == ARRAY_LEN(ret->ip))
			return false;
		ret->ip[ret->n_ips].address = own;
		ret->ip[ret->n_ips++].gateway = gateway;
	}
	VAL_EACH(val_member_sv(result, SV("routes")), r) {
		const char *to = br_word(a, val_str(val_member_sv(r, SV("dst"))), address);

		if (!to || ret->n_routes == ARRAY_LEN(ret->route))
			return false;
		ret->route[ret->n_routes++] = to;
	}
	return ret->sandbox.n && ret->netns && ret->mac && ret->n_ips;
}

/* --- what is there --- */

/* Of this network namespace: where it was entered without a mount of its own at /sys, somebody mounted one elsewhere
 * (cli/dev.h). */
static const char *br_sys(struct arena *a, const char *link, const char *what)
{
	const char *sys = getenv("CARAVEL_SYSFS");

	return arena_printf(a, "%s/class/net/%s%s", sys && *sys ? sys : "/sys", link, what);
}

static bool br_exists(const char *link)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;

	return access(br_sys(&a, link, ""), F_OK) == 0;
}

static bool br_is_up(const char *link)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	unsigned flags;
	struct sv text;

	return file_read(&a, br_sys(&a, link, "/flags"), 64, &text, NULL) < 0 || sscanf(text.p, "%x", &flags) != 1 ||
	       flags & IFF_UP;
}

static bool br_attached(const char *veth, const char *bridge)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	char to[256];
	ssize_t n;

	n = readlink(br_sys(&a, veth, "/master"), to, sizeof(to) - 1);
	if (n <= 0)
		return false;
	to[n] = '\0';
	return strrchr(to, '/') && !strcmp(strrchr(to, '/') + 1, bridge);
}

/* Has the bridge that address ("10.42.0.1/24")? *ret_up: is it up? */
static bool br_has_address(const char *bridge, const char *address, bool *ret_up)
{
	struct ifaddrs *list = NULL;
	bool found = false;

	*ret_up = false;
	if (getifaddrs(&list) < 0)
		return true; /* not known: nothing to repair */
	for (struct ifaddrs *i = list; i; i = i->ifa_next) {
		char text[INET6_ADDRSTRLEN];
		const void *at;

		if (strcmp(i->ifa_name, bridge) != 0)
			continue;
		*ret_up |= i->ifa_flags & IFF_UP;
		if (!i->ifa_addr || (i->ifa_addr->sa_family != AF_INET && i->ifa_addr->sa_family != AF_INET6))
			continue;
		at = i->ifa_addr->sa_family == AF_INET
			 ? (const void *)&((struct sockaddr_in *)(void *)i->ifa_addr)->sin_addr
			 : (const void *)&((struct sockaddr_in6 *)(void *)i->ifa_addr)->sin6_addr;
		if (inet_ntop(i->ifa_addr->sa_family, at, text, sizeof(text)) &&
		    !strncmp(address, text, strlen(text)) && address[strlen(text)] == '/')
			found = true;
	}
	freeifaddrs(list);
	return found;
}

/* The network of an address ("10.42.0.1/24"). */
struct br_net {
	int family;
	unsigned bits;
	unsigned char at[16];
	char address[64], text[64]; /* "10.42.0.1", "10.42.0.0/24" */
};

static bool br_net_of(const char *address, struct br_net *ret)
{
	const char *slash = strchr(address, '/');
	size_t n = slash ? (size_t)(slash - address) : 0;
	char plain[INET6_ADDRSTRLEN];

	*ret = (struct br_net){ .family = strchr(address, ':') ? AF_INET6 : AF_INET };
	if (!n || n >= sizeof(ret->address) || sscanf(slash + 1, "%u", &ret->bits) != 1 ||
	    ret->bits > (ret->family == AF_INET ? 32 : 128))
		return false;
	memcpy(ret->address, address, n);
	if (inet_pton(ret->family, ret->address, ret->at) != 1)
		return false;
	for (unsigned i = 0; i < sizeof(ret->at); i++) {
		unsigned in = i * 8 >= ret->bits ? 0 : MIN(ret->bits - i * 8, 8u);

		ret->at[i] = (unsigned char)(ret->at[i] & 0xff00u >> in);
	}
	if (!inet_ntop(ret->family, ret->at, plain, sizeof(plain)))
		return false;
	(void)snprintf(ret->text, sizeof(ret->text), "%s/%u", plain, ret->bits);
	return true;
}

static bool br_line_is_route(const char *line, const char *bridge, const struct br_net *net)
{
	char dev[16], to[33], want[33];
	unsigned dest, mask, bits;
	uint32_t at;

	if (net->family == AF_INET) {
		memcpy(&at, net->at, sizeof(at));
		return sscanf(line, "%15s %x %*x %*x %*d %*d %*d %x", dev, &dest, &mask) == 3 && !strcmp(dev, bridge) &&
		       dest == at && (unsigned)__builtin_popcount(mask) == net->bits;
	}
	for (int i = 0; i < 16; i++)
		(void)snprintf(want + 2 * i, 3, "%02x", net->at[i]);
	return sscanf(line, "%32s %x %*s %*s %*s %*s %*s %*s %*s %15s", to, &bits, dev) == 3 && !strcmp(dev, bridge) &&
	       bits == net->bits && !strcmp(to, want);
}

/* Does the machine know that this network is behind the bridge? */
static bool br_has_route(const char *bridge, const struct br_net *net)
{
	FILE *f = fopen(net->family == AF_INET ? "/proc/net/route" : "/proc/net/ipv6_route", "re");
	bool found = false;
	char line[256];

	if (!f)
		return true; /* not known: nothing to repair */
	while (!found && fgets(line, sizeof(line), f))
		found = br_line_is_route(line, bridge, net);
	(void)fclose(f);
	return found;
}

/* --- putting it back --- */

struct repair {
	const char *bridge;
	struct buf *said;
	int n;
	bool failed;
};

static bool br_run(struct repair *r, const char *const *argv)
{
	_cleanup_(buf_release) struct buf out = BUF_INIT, errs = BUF_INIT;
	_cleanup_(err_release) struct err err = ERR_INIT;
	int status = 0;

	if (child_run(&(struct child_opts){ .argv = argv, .stdin_fd = -1, .stdout_fd = -1, .stderr_fd = -1 }, RUN_NS,
		      4096, &out, &errs, &status, &err) == 0 &&
	    status == 0)
		return true;
	buf_printf(r->said, "%s%s %s %s %s fails: %.*s", r->said->n ? "; " : "", argv[0], argv[1], argv[2], argv[3],
		   SV_ARG(err.reason ? sv_from(err_msg(&err)) : sv_trim(buf_sv(&errs))));
	r->failed = true;
	return false;
}

static void br_done(struct repair *r, const char *what, const char *name)
{
	buf_printf(r->said, "%s%s %s", r->said->n ? "; " : "", what, name);
	r->n++;
}

/* As the plugin does: a pod that says it is a router must not become the machine's (CVE-2020-10749). */
static void br_no_advertisements(const char *bridge)
{
	_cleanup_free_ char *path = xasprintf("net/ipv6/conf/%s/accept_ra", bridge);
	struct sysctls gone_with_it;

	sysctls_init(&gone_with_it, NULL);
	(void)sysctl_ensure(&gone_with_it, path, "0"); /* absent where there is no IPv6 */
	sysctls_release(&gone_with_it);
}

static void br_bridge(struct repair *r, const struct bridge_need *need)
{
	bool up = false, have = br_exists(r->bridge);

	if (!have) {
		const char *make[] = { "ip", "link", "add", r->bridge, "type", "bridge", NULL };
		const char *mac[] = { "ip", "link", "set", r->bridge, "address", need->mac, NULL };

		if (!br_run(r, make))
			return;
		if (*need->mac)
			(void)br_run(r, mac);
		br_no_advertisements(r->bridge);
		br_done(r, "made bridge", r->bridge);
	}
	for (size_t i = 0; i < need->n_gateways; i++) {
		const char *add[] = { "ip", "address", "replace", need->gateway[i], "dev", r->bridge, NULL };

		if (!br_has_address(r->bridge, need->gateway[i], &up) && br_run(r, add))
			br_done(r, "gave the bridge", need->gateway[i]);
	}
	if (!up && need->n_gateways) {
		const char *set[] = { "ip", "link", "set", r->bridge, "up", NULL };

		(void)br_has_address(r->bridge, need->gateway[0], &up);
		if (!up && br_run(r, set) && have)
			br_done(r, "brought up bridge", r->bridge);
	}
}

/* The kernel makes these routes with the address, and once. */
static void br_routes(struct repair *r, const struct bridge_need *need)
{
	for (size_t i = 0; i < need->n_gateways; i++) {
		struct br_net net;
		bool up;

		if (!br_net_of(need->gateway[i], &net) || !br_has_address(r->bridge, need->gateway[i], &up) || !up ||
		    br_has_route(r->bridge, &net))
			continue;
		{
			const char *v4[] = { "ip",     "route", "replace", net.text, "dev",	  r->bridge, "proto",
					     "kernel", "scope", "link",	   "src",    net.address, NULL };
			const char *v6[] = { "ip",  "-6",      "route", "replace", net.text,
					     "dev", r->bridge, "proto", "kernel",  NULL };

			if (br_run(r, net.family == AF_INET ? v4 : v6))
				br_done(r, "routed to the bridge", net.text);
		}
	}
}

static void br_veth(struct repair *r, const char *veth)
{
	const char *bring_up[] = { "ip", "link", "set", veth, "up", NULL };
	const char *attach[] = { "ip", "link", "set", veth, "master", r->bridge, "up", NULL };
	const char *hairpin[] = { "ip", "link", "set", veth, "type", "bridge_slave", "hairpin", "on", NULL };

	if (br_exists(veth) && !br_attached(veth, r->bridge) && br_run(r, attach) && br_run(r, hairpin))
		br_done(r, "attached", veth);
	else if (br_exists(veth) && !br_is_up(veth) && br_run(r, bring_up))
		br_done(r, "brought up", veth);
}

/* Addresses and routes of the new pod's end. */
static bool br_pod_end(struct repair *r, struct arena *a, const struct bridge_pod_end *e)
{
	const char *in = arena_printf(a, "--net=%s", e->netns);
	const char *up[] = { "nsenter", in, "ip", "link", "set", e->name, "up", NULL };

	for (size_t i = 0; i < e->n_ips; i++) {
		bool v6 = strchr(e->ip[i].address, ':');
		const char *add[] = { "nsenter",	in,    "ip",	"address",	     "add",
				      e->ip[i].address, "dev", e->name, v6 ? "nodad" : NULL, NULL };

		if (!br_run(r, add))
			return false;
	}
	if (!br_run(r, up))
		return false;
	for (size_t i = 0; i < e->n_routes; i++)
		for (size_t j = 0; j < e->n_ips; j++) {
			const char *via[] = { "nsenter",	in,    "ip",	"route", "replace", e->route[i], "via",
					      e->ip[j].gateway, "dev", e->name, NULL };

			if (e->ip[j].gateway && !strchr(e->route[i], ':') == !strchr(e->ip[j].gateway, ':') &&
			    !br_run(r, via))
				return false;
		}
	return true;
}

static void br_restore(struct repair *r, struct arena *a, const char *veth, const struct bridge_pod_end *e)
{
	const char *make[] = { "ip",   "link",	"add",	   veth,   "type",  "veth",   "peer",
			       "name", e->name, "address", e->mac, "netns", e->netns, NULL };
	const char *unmake[] = { "ip", "link", "delete", veth, NULL };

	if (!br_run(r, make))
		return;
	if (br_pod_end(r, a, e))
		br_done(r, "restored", veth);
	else
		(void)br_run(r, unmake); /* as a whole, at the next look */
}

int bridge_repair(const char *results_dir, const char *run_dir, const char *bridge,
		  bool (*lives)(struct sv sandbox, void *ctx), void *ctx, struct buf *said)
{
	_cleanup_(arena_release) struct arena kept = ARENA_INIT;
	struct repair r = { .bridge = bridge, .said = said };
	struct bridge_need need = { 0 };
	struct strmap veths = STRMAP_INIT; /* -> struct bridge_pod_end of one that is missing, or NULL */
	DIR *d = opendir(results_dir);

	if (!d)
		return 0;
	for (struct dirent *e; (e = readdir(d));) {
		_cleanup_(arena_release) struct arena a = ARENA_INIT;
		struct bridge_pod_end *end = NULL;
		char veth[16];
		struct sv text;

		if (e->d_name[0] == '.' ||
		    file_read(&a, arena_printf(&a, "%s/%s", results_dir, e->d_name), RESULT_MAX, &text, NULL) < 0 ||
		    !bridge_read_result(text, run_dir, bridge, &need, veth))
			continue;
		if (!br_exists(veth)) {
			end = ARENA_NEW(&kept, struct bridge_pod_end);
			if (!bridge_read_pod_end(&kept, text, end))
				end = NULL;
		}
		strmap_set(&veths, sv_from(veth), end);
	}
	closedir(d);
	if (veths.n) { /* else nobody needs it, and the plugin makes it for the first that does */
		br_bridge(&r, &need);
		br_routes(&r, &need);
		STRMAP_EACH(&veths, v) {
			const struct bridge_pod_end *end = v->value;
			char name[16];

			if (!br_copy_name(sv_make(v->key, v->key_n), name))
				continue;
			if (end && lives(end->sandbox, ctx))
				br_restore(&r, &kept, name, end);
			br_veth(&r, name);
		}
	}
	strmap_release(&veths);
	return r.failed ? -1 : r.n;
}
