/* proxy.h - pods/NAME/proxy, services/NAME/proxy, nodes/NAME/proxy: a request passed on to a place in the cluster.
 *
 * The request goes out as it came, less what is between the client and us (credentials, impersonation, hop-by-hop
 * headers); the answer comes back as it is made, with back-pressure. Redirects are not followed: a Location, and the
 * links of HTML pages, that name the same place lead through the proxy again (proxy_links.h). An upgrade (WebSocket)
 * becomes a pipe. Either ends with the right to it (standing.h).
 *
 * What does not last by nature (steps.h) has until its deadline: then it is 504, or, when the answer has begun, that is
 * torn. What lasts has all the time it wants, and from here on no seat of priority and fairness.
 *
 * The body of a request goes on as it comes, too, however long it is; of what its server does not take some 64 KiB wait
 * here, of a client that speaks HTTP/2 a window besides, and then the client does (net/http.h). The answer may come
 * before it is through. Who upgrades has none.
 */
#pragma once

#include "apiserver/api_req.h"
#include "net/http_client.h"

struct proxy_how {
	const struct http_endpoint *ep;
	const char *target;	  /* path and query there; NULL: what stands behind .../proxy */
	struct http_header *more; /* said besides; a Host among them replaces the client's. In q's arena */
	size_t n_more;
	/* Who answers stands for this server: pages pass unchanged, a redirect is refused, and what fails is told as
	 * plain text, as upstream does. */
	bool plain;
	bool create_to_upgrade;
	struct http_kept *kept; /* whose connections are kept, but for upgrades; NULL: each has its own */
};
/* Takes over q's answer, on q's own thread. */
void proxy_pass(struct api_req *q, const struct proxy_how *how);
/* The same of a place in the cluster. The endpoint has passed dial_allowed(); its strings live in q's arena.
 * create_to_upgrade: who may only read may not open a stream. */
void proxy_serve(struct api_req *q, const struct http_endpoint *ep, bool create_to_upgrade);

/* Is this a path, decoded, that leads to one of them? */
bool proxy_takes(struct sv path);

/* "NAME", "NAME:PORT" or "SCHEME:NAME:PORT"; false for anything else. Views. */
bool proxy_split_name(struct sv id, struct sv *ret_scheme, struct sv *ret_name, struct sv *ret_port);
