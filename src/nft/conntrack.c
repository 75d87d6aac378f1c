#include "nft/conntrack.h"

#include "base/buf.h"
#include "nft/nfnl.h"

#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <string.h>
#include <sys/socket.h>

#define LOOKS_MAX 5		     /* at entries that should go; the second finds nothing but for a rare race */
#define DOOMED_MAX ((size_t)1 << 20) /* bytes of requests: who opens flows says how many, more are the next look's */
#define ALL_LOOKS_MAX 100	     /* then a million is gone; who makes more is faster */
#define CT_GET (NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_GET)
#define CT_DELETE (NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_DELETE)

struct ct_look {
	bool (*stale)(const struct ct_flow *f, void *ctx);
	void *ctx;
	bool unanswered;
	struct buf doomed; /* requests, one behind the other: each deletes one entry */
	bool full;	   /* there were more */
};

static bool ct_direction(const struct nlattr *tuple, struct ct_direction *ret)
{
	const struct nlattr *proto = nfnl_attr_in(tuple, CTA_TUPLE_PROTO), *ip = nfnl_attr_in(tuple, CTA_TUPLE_IP);

	*ret = (struct ct_direction){ 0 };
	(void)nfnl_be16(nfnl_attr_in(proto, CTA_PROTO_SRC_PORT), &ret->src_port);
	(void)nfnl_be16(nfnl_attr_in(proto, CTA_PROTO_DST_PORT), &ret->dst_port);
	return nfnl_u8(nfnl_attr_in(proto, CTA_PROTO_NUM), &ret->proto) &&
	       nfnl_ip(nfnl_attr_in(ip, CTA_IP_V4_SRC), nfnl_attr_in(ip, CTA_IP_V6_SRC), &ret->src) &&
	       nfnl_ip(nfnl_attr_in(ip, CTA_IP_V4_DST), nfnl_attr_in(ip, CTA_IP_V6_DST), &ret->dst);
}

/* What names the entry, as the kernel told it. Some have no zone. */
static void ct_name(struct nlmsghdr *delete, const struct nlattr *a)
{
	if (a)
		(void)mnl_attr_put_check(delete, sizeof(struct nfnl_request), a->nla_type, mnl_attr_get_payload_len(a),
					 mnl_attr_get_payload(a));
}

static void ct_on_entry(const struct nlmsghdr *h, void *ctx)
{
	const struct nlattr *orig = nfnl_attr(h, CTA_TUPLE_ORIG);
	struct ct_look *l = ctx;
	struct ct_flow f = { .status = 0 };
	struct nfnl_request r;
	struct nlmsghdr *delete;

	if (!ct_direction(orig, &f.orig) || !ct_direction(nfnl_attr(h, CTA_TUPLE_REPLY), &f.reply))
		return;
	(void)nfnl_be32(nfnl_attr(h, CTA_STATUS), &f.status);
	/* Kernels before 5.15 show all. */
	if (l->full || (l->unanswered && (f.status & IPS_SEEN_REPLY)) || !l->stale(&f, l->ctx))
		return;
	l->full = l->doomed.n > DOOMED_MAX;
	delete = nfnl_begin(&r, CT_DELETE, NLM_F_ACK, ip_is_v4(f.orig.dst) ? AF_INET : AF_INET6);
	ct_name(delete, orig);
	ct_name(delete, nfnl_attr(h, CTA_ID));
	ct_name(delete, nfnl_attr(h, CTA_ZONE));
	buf_addsv(&l->doomed, sv_make(r.mem, delete->nlmsg_len)); /* a fifth of what a request may have */
}

/* One look; how many entries were deleted, or -1. */
static int ct_forget_once(struct mnl_socket *s, bool v6, struct ct_look *l, struct err *err)
{
	struct nfnl_request all;
	struct nlmsghdr *h;
	int rc, deleted = 0;

	l->full = false;
	h = nfnl_begin(&all, CT_GET, NLM_F_DUMP, v6 ? AF_INET6 : AF_INET);
	if (l->unanswered) {
		mnl_attr_put_u32(h, CTA_STATUS, 0);
		mnl_attr_put_u32(h, CTA_STATUS_MASK, htonl(IPS_SEEN_REPLY));
	}
	rc = nfnl_call(s, &all, ct_on_entry, l, err);
	for (size_t at = 0; at < l->doomed.n && rc == 0;) {
		struct nfnl_request one;
		struct nlmsghdr *delete = (void *)one.mem;
		struct err gone = ERR_INIT;

		memcpy(one.mem, l->doomed.p + at, sizeof(*delete));
		memcpy(one.mem, l->doomed.p + at, delete->nlmsg_len);
		at += delete->nlmsg_len;
		if (nfnl_call(s, &one, NULL, NULL, &gone) == 0)
			deleted++;
		else if (gone.errnum != ENOENT) /* it may have timed out meanwhile */
			rc = err_move(err, &gone);
		err_release(&gone);
	}
	buf_clear(&l->doomed);
	return rc < 0 ? -1 : deleted;
}

int conntrack_forget(struct mnl_socket *s, bool v6, bool unanswered, bool (*stale)(const struct ct_flow *f, void *ctx),
		     void *ctx, struct err *err)
{
	struct ct_look l = { .stale = stale, .ctx = ctx, .unanswered = unanswered, .doomed = BUF_INIT };
	int deleted = 0, more = 1;

	/* An answer that was under way while its entry went makes a new one, the wrong way round: we look again. */
	for (int look = 0, all = 0; look < LOOKS_MAX && all < ALL_LOOKS_MAX && more > 0; look += !l.full, all++) {
		more = ct_forget_once(s, v6, &l, err);
		deleted += more > 0 ? more : 0;
	}
	buf_release(&l.doomed);
	return more < 0 ? -1 : deleted;
}
