#include "net/http_place.h"

#include <stdlib.h>

void http_place_init(struct http_place *p, const struct http_endpoint *ep)
{
	*p = (struct http_place){
		.host = xstrdup(ep->host),
		.server_name = ep->server_name ? xstrdup(ep->server_name) : NULL,
		.peer_name = ep->peer_name ? xstrdup(ep->peer_name) : NULL,
		.port = ep->port,
		.tls = tls_ctx_ref(ep->tls),
		.via = ep->via ? *ep->via : (struct http_via){ 0 },
		.may_dial = ep->may_dial,
		.may_ctx = ep->may_ctx,
	};
}

void http_place_release(struct http_place *p)
{
	free(p->host);
	free(p->server_name);
	free(p->peer_name);
	tls_ctx_unref(p->tls);
	*p = (struct http_place){ 0 };
}

struct http_endpoint http_place_endpoint(const struct http_place *p)
{
	return (struct http_endpoint){ .host = p->host,
				       .port = p->port,
				       .tls = p->tls,
				       .server_name = p->server_name,
				       .peer_name = p->peer_name,
				       .via = p->via.dial ? &p->via : NULL,
				       .may_dial = p->may_dial,
				       .may_ctx = p->may_ctx };
}

static bool place_same_way(const struct http_via *a, const struct http_via *b)
{
	return a->dial == b->dial && (!a->dial || (a->ctx == b->ctx && a->when == b->when));
}

bool http_place_leads_to(const struct http_place *p, const struct http_endpoint *ep)
{
	static const struct http_via none;

	return p->port == ep->port && place_same_way(&p->via, ep->via ? ep->via : &none) && p->tls == ep->tls &&
	       strcmp(p->host, ep->host) == 0 && p->may_dial == ep->may_dial && p->may_ctx == ep->may_ctx &&
	       sv_eq(sv_from(p->server_name), sv_from(ep->server_name)) &&
	       sv_eq(sv_from(p->peer_name), sv_from(ep->peer_name));
}
