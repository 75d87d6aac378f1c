/* Which address ranges a cluster takes on this machine. */
#include "cli/cidrs.h"
#include "base/buf.h"
#include "base/file.h"
#include "base/ip.h"
#include "base/log.h"
#include "object/validate.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define PAIRS 32 /* 10.42 and 10.43 up to 10.104 and 10.105 */
#define FILE_MAX 4096
#define ROUTES_MAX ((size_t)1 << 20)

/* --- routes --- */

/* A word of /proc/net/route: an IPv4 address as the kernel's 32-bit integer, in network byte order. */
static bool hex_address(struct sv s, uint32_t *ret)
{
	char text[9], *end;

	if (s.n != 8)
		return false;
	memcpy(text, s.p, 8);
	text[8] = '\0';
	*ret = ntohl((uint32_t)strtoul(text, &end, 16));
	return *end == '\0';
}

static int cidrs_next_word(struct sv *line, struct sv *ret)
{
	size_t i = 0, from;

	while (i < line->n && (line->p[i] == ' ' || line->p[i] == '\t'))
		i++;
	for (from = i; i < line->n && line->p[i] != ' ' && line->p[i] != '\t';)
		i++;
	*ret = sv_sub(*line, from, i - from);
	*line = sv_sub(*line, i, line->n - i);
	return ret->n > 0 ? 0 : -1;
}

/* The base and mask, in host order, of an IPv4 range; false on anything else. A mask of 0: every address. */
static bool cidrs_parse(struct sv cidr, uint32_t *ret_base, uint32_t *ret_mask)
{
	uint8_t b[16];
	bool v6;
	int bits;

	if (!fmt_cidr_parts(cidr, b, &v6, &bits) || v6)
		return false;
	*ret_mask = bits ? UINT32_MAX << (32 - bits) : 0;
	*ret_base = ((uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3]) & *ret_mask;
	return true;
}

bool cidrs_routed(struct sv routes, const char *cidr, int min_prefix)
{
	struct sv line, word[8];
	uint32_t base, mask;

	if (!cidrs_parse(sv_from(cidr), &base, &mask))
		return false;
	/* Iface Destination Gateway Flags RefCnt Use Metric Mask ... */
	while (sv_split(&routes, '\n', &line)) {
		uint32_t dest, dest_mask, both;
		size_t n = 0;

		while (n < ARRAY_LEN(word) && cidrs_next_word(&line, &word[n]) == 0)
			n++;
		if (n < ARRAY_LEN(word) || !hex_address(word[1], &dest) || !hex_address(word[7], &dest_mask))
			continue;
		both = mask & dest_mask;
		if (dest_mask != 0 && __builtin_popcount(dest_mask) >= min_prefix && (base & both) == (dest & both))
			return true;
	}
	return false;
}

/* --- the hold --- */

static socklen_t hold_name(struct sockaddr_un *ret, const char *cidr)
{
	int n;

	*ret = (struct sockaddr_un){ .sun_family = AF_UNIX };
	/* of two families the first one; the leading NUL makes the name abstract: no file, gone with its last
	 * descriptor */
	n = snprintf(ret->sun_path + 1, sizeof(ret->sun_path) - 1, "caravel-pods-%.*s", (int)strcspn(cidr, ","), cidr);
	return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)MIN(n, 64));
}

/* The process that holds the range; 0 when nobody does (any more). */
static pid_t holder(const struct sockaddr_un *name, socklen_t len)
{
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct ucred who = { 0 };
	socklen_t n = sizeof(who);

	if (fd < 0 || connect(fd, (const struct sockaddr *)name, len) < 0 ||
	    getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &n) < 0)
		return 0;
	return who.pid;
}

/* A descriptor; -1 with errno EADDRINUSE and *ret_pid when another server has it. */
static int cidrs_hold(const char *cidr, pid_t *ret_pid)
{
	struct sockaddr_un name;
	socklen_t len = hold_name(&name, cidr);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), e;

	*ret_pid = 0;
	if (fd < 0)
		return -1;
	if (bind(fd, (struct sockaddr *)&name, len) == 0 && listen(fd, 1) == 0)
		return fd;
	e = errno;
	close(fd);
	if (e == EADDRINUSE)
		*ret_pid = holder(&name, len);
	errno = e;
	return -1;
}

/* --- what is kept --- */

static const char *kept_path(struct arena *a, const char *data_dir)
{
	return arena_printf(a, "%s/cidrs", data_dir);
}

/* "cluster-cidr: A" and "service-cidr: B", as the configuration file spells them. */
static int read_kept(struct arena *a, const char *data_dir, struct cidrs *ret, struct err *err)
{
	const char *path = kept_path(a, data_dir);
	_cleanup_(err_release) struct err e = ERR_INIT;
	struct sv text, line;

	*ret = (struct cidrs){ 0 };
	if (file_read(a, path, FILE_MAX, &text, &e) < 0)
		return e.errnum == ENOENT ? 0 : err_set_errno(err, e.errnum, "reading '%s'", path);
	while (sv_split(&text, '\n', &line)) {
		ssize_t colon = sv_find(line, ':');
		struct sv key = sv_sub(line, 0, colon < 0 ? 0 : (size_t)colon), value;

		value = colon < 0 ? SV_NULL : sv_trim(sv_sub(line, (size_t)colon + 1, line.n));
		if (sv_is(key, "cluster-cidr") && fmt_cidr(value))
			ret->cluster = arena_cstr(a, value);
		else if (sv_is(key, "service-cidr") && fmt_cidr(value))
			ret->service = arena_cstr(a, value);
		else if (sv_trim(line).n)
			return err_set(err, ERR_INVALID,
				       "'%s' is damaged: it takes 'cluster-cidr: RANGE' and 'service-cidr: RANGE'",
				       path);
	}
	return 0;
}

static struct cidrs pair(struct arena *a, int k)
{
	return (struct cidrs){ arena_printf(a, "10.%d.0.0/16", 42 + 2 * k),
			       arena_printf(a, "10.%d.0.0/16", 43 + 2 * k) };
}

/* The first pair nothing here leads to and no server holds. A machine that reaches all of 10.0.0.0/8 through one
 * gateway still gets one: only routes into a pair count the second time. */
static int find_free(struct arena *a, struct cidrs *ret, int *ret_hold)
{
	struct sv routes = SV_NULL;
	pid_t pid;

	(void)file_read(a, "/proc/net/route", ROUTES_MAX, &routes, NULL);
	for (int min_prefix = 1; min_prefix <= 16; min_prefix += 15)
		for (int k = 0; k < PAIRS; k++) {
			*ret = pair(a, k);
			if (cidrs_routed(routes, ret->cluster, min_prefix) ||
			    cidrs_routed(routes, ret->service, min_prefix))
				continue;
			*ret_hold = cidrs_hold(ret->cluster, &pid);
			if (*ret_hold >= 0)
				return k;
		}
	return -1;
}

int cidrs_settle(struct arena *a, const char *data_dir, bool fresh, bool node, struct cidrs *c, struct err *err)
{
	struct cidrs kept, usual = pair(a, 0);
	int fd = CIDRS_NO_HOLD, k;
	pid_t pid;

	if (read_kept(a, data_dir, &kept, err) < 0)
		return CIDRS_FAILED;
	if (!c->cluster)
		c->cluster = kept.cluster;
	if (!c->service)
		c->service = kept.service;
	if (fresh && node && !c->cluster && !c->service) {
		k = find_free(a, c, &fd);
		if (k < 0) {
			err_set(err, ERR_UNAVAILABLE,
				"no address range between 10.42.0.0/16 and 10.105.0.0/16 is free on this machine: give "
				"two with --cluster-cidr and --service-cidr");
			return CIDRS_FAILED;
		}
		/* before anything is in the store: who comes after a crash must not take another pair */
		if (k > 0) {
			struct sv text =
			    sv_from(arena_printf(a, "cluster-cidr: %s\nservice-cidr: %s\n", c->cluster, c->service));

			log_kv(LVL_INFO, "server", "10.42.0.0/16 or 10.43.0.0/16 is in use here, taking others", "pods",
			       c->cluster, "services", c->service, NULL);
			if (file_write(kept_path(a, data_dir), text, 0600, err) < 0) {
				close(fd);
				return CIDRS_FAILED;
			}
		}
		return fd;
	}
	if (!c->cluster)
		c->cluster = usual.cluster;
	if (!c->service)
		c->service = usual.service;
	if (!node)
		return CIDRS_NO_HOLD;
	fd = cidrs_hold(c->cluster, &pid);
	if (fd < 0) {
		if (errno == EADDRINUSE)
			err_set(err, ERR_UNAVAILABLE,
				"another server on this machine (process %d) gives its pods addresses of %s: stop it, "
				"or choose other ranges with --cluster-cidr and --service-cidr",
				(int)pid, c->cluster);
		else
			err_set_errno(err, errno, "cannot hold the pod range %s", c->cluster);
		return CIDRS_FAILED;
	}
	return fd;
}

const char *cidrs_tenth(struct arena *a, const char *service_cidr)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	struct sv rest = sv_from(service_cidr), one;
	struct ip_net net;

	while (sv_split(&rest, ',', &one))
		if (ip_net_parse(sv_trim(one), &net))
			buf_printf(&b, "%s%s", b.n ? "," : "", ip_text(ip_add(net.addr, 10)).s);
	return arena_cstr(a, buf_sv(&b));
}
