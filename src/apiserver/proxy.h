/* proxy.h - pods/NAME/proxy, services/NAME/proxy, nodes/NAME/proxy: a request passed on to a place in the cluster.
 *
 * The request goes out as it came, less what is between the client and us (credentials, impersonation, hop-by-hop
 * headers); the answer comes back as it is made, with back-pressure. Redirects are not followed: a Location, and the
 * links of HTML pages, that name the same place lead through the proxy again (proxy_links.h). An upgrade (WebSocket)
 * becomes a pipe. Either ends with the right to it (standing.h).
 *
 * The body of a request has come in whole before it is passed on, and is bounded as any other's.
 */
#pragma once

#include "apiserver/api_req.h"
#include "net/http_client.h"

/* Takes over q's answer. The endpoint has passed dial_allowed(); its strings live in q's arena. create_to_upgrade: who
 * may only read may not open a stream. */
void proxy_serve(struct api_req *q, const struct http_endpoint *ep, bool create_to_upgrade);

/* "NAME", "NAME:PORT" or "SCHEME:NAME:PORT"; false for anything else. Views. */
bool proxy_split_name(struct sv id, struct sv *ret_scheme, struct sv *ret_name, struct sv *ret_port);
