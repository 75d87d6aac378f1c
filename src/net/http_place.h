/* http_place.h - where a connection that outlives its exchange leads: an endpoint whose strings are its own, so that
 * the next one which goes there can be told.
 *
 * Threads: as who has it.
 */
#pragma once

#include "net/http_client.h"

/* Zeroed, it leads nowhere, and is released as such. */
struct http_place {
	char *host, *server_name, *peer_name; /* owned; the names may be NULL */
	int port;
	struct tls_ctx *tls; /* a reference, or NULL */
	struct http_via
	    via; /* dial NULL: none. A copy, so that a connection is known by how it was made, not by whom */
	http_may_dial_fn *may_dial;
	void *may_ctx;
};

void http_place_init(struct http_place *p, const struct http_endpoint *ep);
void http_place_release(struct http_place *p);
struct http_endpoint http_place_endpoint(const struct http_place *p); /* a view; its connection rests nowhere */
bool http_place_leads_to(const struct http_place *p, const struct http_endpoint *ep);
