#include "net/neigh.h"

#include "net/rtnl.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sys/socket.h>

static int neigh_forget_one(struct rtnl *r, unsigned link, struct ip_addr ip, struct err *err)
{
	_Alignas(NLMSG_ALIGNTO) char mem[128];
	struct nlmsghdr *h = mnl_nlmsg_put_header(mem);
	struct ndmsg *n = mnl_nlmsg_put_extra_header(h, sizeof(*n));
	struct err e = ERR_INIT;
	int rc;

	h->nlmsg_type = RTM_DELNEIGH;
	n->ndm_family = ip_is_v4(ip) ? AF_INET : AF_INET6;
	n->ndm_ifindex = (int)link;
	/* IPv4's is the end of the sixteen */
	mnl_attr_put(h, NDA_DST, ip_is_v4(ip) ? 4 : 16, ip_is_v4(ip) ? ip.b + 12 : ip.b);
	rc = rtnl_call(r, h, NULL, NULL, &e);
	if (rc < 0 && e.errnum == ENOENT)
		rc = 0;
	return rc < 0 ? err_move(err, &e) : (err_release(&e), 0);
}

int neigh_forget(const char *link, const struct ip_addr *ips, size_t n, struct err *err)
{
	unsigned index = if_nametoindex(link);
	struct rtnl *r;
	int rc = 0;

	if (!index || n == 0)
		return 0;
	r = rtnl_open(err);
	if (!r)
		return -1;
	for (size_t i = 0; i < n && rc == 0; i++)
		rc = neigh_forget_one(r, index, ips[i], err);
	rtnl_close(r);
	return rc;
}
