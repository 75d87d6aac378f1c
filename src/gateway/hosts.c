/* Hosts of listeners and routes, and what is of both. */
#include "gateway/gateway.h"

/* Does the wildcard w, "*." and a name, stand for host, which may be a wildcard itself? */
static bool host_covers(struct sv w, struct sv host)
{
	struct sv tail = sv_sub(w, 1, w.n);

	return w.n > 2 && w.p[0] == '*' && host.n > tail.n && sv_ends(host, tail);
}

bool gw_hosts_meet(struct sv x, struct sv y, struct sv *ret)
{
	if (!x.n || (y.n && (sv_eq(x, y) || host_covers(x, y)))) {
		*ret = y;
		return true;
	}
	if (!y.n || host_covers(y, x)) {
		*ret = x;
		return true;
	}
	return false;
}
