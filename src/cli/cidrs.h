/* cidrs.h - the address ranges of pods and of Services, when no flag says them.
 *
 * The usual pair is 10.42.0.0/16 and 10.43.0.0/16. Where this machine reaches something else by one of them (another
 * cluster, a company's network), a new cluster takes the next free pair, 10.44 and 10.45 and so on, and keeps it:
 * the choice stands in DIR/cidrs, because objects in the store carry addresses of it.
 *
 * While a server with a node runs it holds its pod range, so that two never give pods the same addresses. The hold is
 * an abstract unix socket: it lives in the network namespace that the addresses live in, and dies with the process.
 */
#pragma once

#include "base/arena.h"
#include "base/err.h"

struct cidrs {
	const char *cluster, *service;
};

/* Fills in what is NULL in c. fresh: the data directory holds no cluster yet; node: pods will run here. Returns the
 * descriptor of the hold (-1 without a node: nothing to hold), or -2 with err set. */
#define CIDRS_NO_HOLD (-1)
#define CIDRS_FAILED (-2)
int cidrs_settle(struct arena *a, const char *data_dir, bool fresh, bool node, struct cidrs *c, struct err *err);

/* The usual address of the name server: the tenth of each range of the list, comma-separated as they are. */
const char *cidrs_tenth(struct arena *a, const char *service_cidr);

/* Whether a route of the table (the text of /proc/net/route) leads to addresses of the IPv4 range. Default routes
 * do not count, nor do ones wider than min_prefix: a pod range inside a wide one only hides a part of it. */
bool cidrs_routed(struct sv routes, const char *cidr, int min_prefix);
