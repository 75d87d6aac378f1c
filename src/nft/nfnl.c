#include "nft/nfnl.h"

#include <arpa/inet.h>
#include <endian.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>

#define REPLY_BYTES 65536
#define GETGEN (NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETGEN)
#define GETCHAIN (NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETCHAIN)
#define GETRULE (NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETRULE)
#define GETSETELEM (NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETSETELEM)

struct mnl_socket *nfnl_open(struct err *err)
{
	struct timeval patience = { .tv_sec = 5 }; /* the kernel answers within the call; this is for bugs */
	struct mnl_socket *s = mnl_socket_open2(NETLINK_NETFILTER, SOCK_CLOEXEC);

	if (s && mnl_socket_bind(s, 0, MNL_SOCKET_AUTOPID) == 0 &&
	    setsockopt(mnl_socket_get_fd(s), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) == 0)
		return s;
	err_set_errno(err, errno, "netfilter socket");
	return nfnl_close(s);
}

struct mnl_socket *nfnl_close(struct mnl_socket *s)
{
	if (s)
		(void)mnl_socket_close(s);
	return NULL;
}

struct nlmsghdr *nfnl_begin(struct nfnl_request *r, uint16_t type, uint16_t flags, uint8_t family)
{
	static _Atomic uint32_t requests;
	struct nlmsghdr *h = mnl_nlmsg_put_header(r->mem);
	struct nfgenmsg *g = mnl_nlmsg_put_extra_header(h, sizeof(*g));

	h->nlmsg_seq = ++requests;
	h->nlmsg_type = type;
	h->nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags);
	*g = (struct nfgenmsg){ .nfgen_family = family, .version = NFNETLINK_V0 };
	return h;
}

bool nfnl_u8(const struct nlattr *a, uint8_t *ret)
{
	if (!a || mnl_attr_validate(a, MNL_TYPE_U8) < 0)
		return false;
	*ret = mnl_attr_get_u8(a);
	return true;
}

bool nfnl_be16(const struct nlattr *a, uint16_t *ret)
{
	if (!a || mnl_attr_validate(a, MNL_TYPE_U16) < 0)
		return false;
	*ret = ntohs(mnl_attr_get_u16(a));
	return true;
}

bool nfnl_be32(const struct nlattr *a, uint32_t *ret)
{
	if (!a || mnl_attr_validate(a, MNL_TYPE_U32) < 0)
		return false;
	*ret = ntohl(mnl_attr_get_u32(a));
	return true;
}

bool nfnl_ip(const struct nlattr *v4, const struct nlattr *v6, struct ip_addr *ret)
{
	uint32_t low;

	if (v4) {
		if (!nfnl_be32(v4, &low))
			return false;
		*ret = ip_v4(low);
		return true;
	}
	if (!v6 || mnl_attr_get_payload_len(v6) != sizeof(ret->b))
		return false;
	*ret = ip_v6(mnl_attr_get_payload(v6));
	return true;
}

static const struct nlattr *nfnl_find(const void *at, const void *end, uint16_t type)
{
	const struct nlattr *a = at;

	for (; mnl_attr_ok(a, (int)((const char *)end - (const char *)a)); a = mnl_attr_next(a))
		if (mnl_attr_get_type(a) == type)
			return a;
	return NULL;
}

const struct nlattr *nfnl_attr(const struct nlmsghdr *h, uint16_t type)
{
	/* not to the library's tail of the payload, which is rounded up beyond what came */
	return nfnl_find(mnl_nlmsg_get_payload_offset(h, sizeof(struct nfgenmsg)), (const char *)h + h->nlmsg_len,
			 type);
}

const struct nlattr *nfnl_attr_in(const struct nlattr *nest, uint16_t type)
{
	const char *at = nest ? mnl_attr_get_payload(nest) : NULL;

	return at ? nfnl_find(at, at + mnl_attr_get_payload_len(nest), type) : NULL;
}

/* Messages are taken one by one, not by the library's loop: a dump that others' changes interrupted is as good.
 * What a request before it left in the socket, when nobody waited any longer, is not its reply. */
int nfnl_call(struct mnl_socket *s, const struct nfnl_request *r, nfnl_reply_fn *fn, void *ctx, struct err *err)
{
	const struct nlmsghdr *request = (const void *)r->mem;
	bool one = !(request->nlmsg_flags & (NLM_F_DUMP | NLM_F_ACK));
	_cleanup_free_ char *mem = xmalloc(REPLY_BYTES);

	if (mnl_socket_sendto(s, request, request->nlmsg_len) < 0)
		return err_set_errno(err, errno, "netfilter request");
	for (;;) {
		ssize_t got = mnl_socket_recvfrom(s, mem, REPLY_BYTES);
		int n = (int)got;

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return err_set_errno(err, errno, "netfilter reply");
		for (const struct nlmsghdr *h = (const void *)mem; n > 0; h = mnl_nlmsg_next(h, &n)) {
			if (!mnl_nlmsg_ok(h, n))
				return err_set(err, ERR_INTERNAL, "netfilter reply is cut off");
			if (h->nlmsg_seq != request->nlmsg_seq)
				continue;
			if (h->nlmsg_type == NLMSG_DONE)
				return 0;
			if (h->nlmsg_type == NLMSG_ERROR) {
				const struct nlmsgerr *e = mnl_nlmsg_get_payload(h);

				return e->error ? err_set_errno(err, -e->error, "netfilter request") : 0;
			}
			if (fn)
				fn(h, ctx);
			if (one)
				return 0;
		}
	}
}

static void on_generation(const struct nlmsghdr *h, void *ctx)
{
	(void)nfnl_be32(nfnl_attr(h, NFTA_GEN_ID), ctx);
}

int nfnl_generation(struct mnl_socket *s, uint32_t *ret, struct err *err)
{
	struct nfnl_request r;

	*ret = 0;
	nfnl_begin(&r, GETGEN, 0, AF_UNSPEC);
	return nfnl_call(s, &r, on_generation, ret, err);
}

/* --- chains --- */

struct shaping {
	const char *table;
	bool (*is_fixed)(struct sv chain);
	struct nfnl_shape *ret;
};

static struct sv nfnl_text(const struct nlattr *a)
{
	struct sv s = a ? sv_make(mnl_attr_get_payload(a), mnl_attr_get_payload_len(a)) : SV("");

	while (s.n && s.p[s.n - 1] == '\0')
		s.n--;
	return s;
}

static void shape_add(const struct shaping *w, struct sv chain, const struct nlattr *what)
{
	uint64_t one[] = { w->ret->all, sv_hash(chain),
			   what ? sv_hash(sv_make(mnl_attr_get_payload(what), mnl_attr_get_payload_len(what))) : 0 };

	w->ret->all = sv_hash(sv_make((const char *)one, sizeof(one)));
	if (!w->is_fixed(chain))
		return;
	one[0] = w->ret->fixed;
	w->ret->fixed = sv_hash(sv_make((const char *)one, sizeof(one)));
}

/* Handles and counts of users come and go, what a chain does is said by these. */
static void on_chain(const struct nlmsghdr *h, void *ctx)
{
	static const uint16_t parts[] = { NFTA_CHAIN_HOOK, NFTA_CHAIN_POLICY, NFTA_CHAIN_TYPE };
	const struct shaping *w = ctx;

	if (!sv_is(nfnl_text(nfnl_attr(h, NFTA_CHAIN_TABLE)), w->table))
		return;
	w->ret->there = true;
	for (size_t i = 0; i < ARRAY_LEN(parts); i++)
		shape_add(w, nfnl_text(nfnl_attr(h, NFTA_CHAIN_NAME)), nfnl_attr(h, parts[i]));
}

static void on_rule(const struct nlmsghdr *h, void *ctx)
{
	const struct shaping *w = ctx;

	if (sv_is(nfnl_text(nfnl_attr(h, NFTA_RULE_TABLE)), w->table))
		shape_add(w, nfnl_text(nfnl_attr(h, NFTA_RULE_CHAIN)), nfnl_attr(h, NFTA_RULE_EXPRESSIONS));
}

int nfnl_shape(struct mnl_socket *s, const char *table, bool (*is_fixed)(struct sv chain), struct nfnl_shape *ret,
	       struct err *err)
{
	struct shaping w = { table, is_fixed, ret };
	struct nfnl_request r;
	struct nlmsghdr *h = nfnl_begin(&r, GETCHAIN, NLM_F_DUMP, NFPROTO_INET);

	*ret = (struct nfnl_shape){ .there = false };
	if (nfnl_call(s, &r, on_chain, &w, err) < 0)
		return -1;
	h = nfnl_begin(&r, GETRULE, NLM_F_DUMP, NFPROTO_INET);
	if (!mnl_attr_put_strz_check(h, sizeof(r), NFTA_RULE_TABLE, table))
		return err_set(err, ERR_INTERNAL, "the name of the table '%s' is too long", table);
	return nfnl_call(s, &r, on_rule, &w, err);
}

struct dropping {
	bool v6;
	char *ret;
};

static void on_dropping(const struct nlmsghdr *h, void *ctx)
{
	const struct nfgenmsg *g = mnl_nlmsg_get_payload(h);
	const struct nlattr *hook = nfnl_attr(h, NFTA_CHAIN_HOOK);
	struct sv table = nfnl_text(nfnl_attr(h, NFTA_CHAIN_TABLE)), chain = nfnl_text(nfnl_attr(h, NFTA_CHAIN_NAME));
	struct dropping *d = ctx;
	bool both = g->nfgen_family == NFPROTO_INET;
	uint32_t num, policy;

	if (*d->ret || (!both && g->nfgen_family != (d->v6 ? NFPROTO_IPV6 : NFPROTO_IPV4)) ||
	    !nfnl_be32(nfnl_attr_in(hook, NFTA_HOOK_HOOKNUM), &num) || num != NF_INET_FORWARD ||
	    !nfnl_be32(nfnl_attr(h, NFTA_CHAIN_POLICY), &policy) || policy != NF_DROP)
		return;
	(void)snprintf(d->ret, NFNL_CHAIN_BYTES, "%s %.*s %.*s",
		       both    ? "inet"
		       : d->v6 ? "ip6"
			       : "ip",
		       SV_ARG(table), SV_ARG(chain));
}

int nfnl_forward_drop(struct mnl_socket *s, bool v6, char ret[NFNL_CHAIN_BYTES], struct err *err)
{
	struct dropping d = { v6, ret };
	struct nfnl_request r;

	*ret = '\0';
	nfnl_begin(&r, GETCHAIN, NLM_F_DUMP, NFPROTO_UNSPEC);
	return nfnl_call(s, &r, on_dropping, &d, err) < 0 ? -1 : *ret != '\0';
}

/* --- sets --- */

struct members {
	void (*fn)(struct ip_addr a, uint64_t ms, void *ctx);
	void *ctx;
};

static void on_member(const struct nlattr *elem, const struct members *m)
{
	const struct nlattr *value = nfnl_attr_in(nfnl_attr_in(elem, NFTA_SET_ELEM_KEY), NFTA_DATA_VALUE);
	const struct nlattr *left = nfnl_attr_in(elem, NFTA_SET_ELEM_EXPIRATION);
	struct ip_addr a;
	uint64_t ms = 0;

	if (!value || (left && mnl_attr_validate(left, MNL_TYPE_U64) < 0))
		return;
	if (left)
		ms = be64toh(mnl_attr_get_u64(left));
	if (mnl_attr_get_payload_len(value) == 4) {
		uint32_t v4;

		memcpy(&v4, mnl_attr_get_payload(value), sizeof(v4));
		a = ip_v4(ntohl(v4));
	} else if (mnl_attr_get_payload_len(value) == sizeof(a.b)) {
		a = ip_v6(mnl_attr_get_payload(value));
	} else {
		return;
	}
	m->fn(a, ms, m->ctx);
}

static void on_members(const struct nlmsghdr *h, void *ctx)
{
	const struct nlattr *list = nfnl_attr(h, NFTA_SET_ELEM_LIST_ELEMENTS), *e;
	const char *end;

	if (!list)
		return;
	e = mnl_attr_get_payload(list);
	end = (const char *)e + mnl_attr_get_payload_len(list);
	for (; mnl_attr_ok(e, (int)(end - (const char *)e)); e = mnl_attr_next(e))
		on_member(e, ctx);
}

int nfnl_set_members(struct mnl_socket *s, const char *table, const char *set,
		     void (*fn)(struct ip_addr a, uint64_t ms, void *ctx), void *ctx, struct err *err)
{
	struct members m = { fn, ctx };
	struct nfnl_request r;
	struct nlmsghdr *h = nfnl_begin(&r, GETSETELEM, NLM_F_DUMP, NFPROTO_INET);

	if (!mnl_attr_put_strz_check(h, sizeof(r), NFTA_SET_ELEM_LIST_TABLE, table) ||
	    !mnl_attr_put_strz_check(h, sizeof(r), NFTA_SET_ELEM_LIST_SET, set))
		return err_set(err, ERR_INTERNAL, "the name of the set '%s' is too long", set);
	return nfnl_call(s, &r, on_members, &m, err);
}
