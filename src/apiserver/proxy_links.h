/* proxy_links.h - links of what is seen through a proxy: absolute paths get the proxy's own path in front, so that a
 * page's next request comes to the same place.
 *
 * Codecs on buffers: no socket, no request. Links to other hosts and relative ones stay as they are.
 */
#pragma once

#include "base/arena.h"
#include "base/buf.h"

/* Where the pages come from. All borrowed for the user's life. */
struct proxy_from {
	struct sv prefix;  /* "/api/v1/namespaces/default/services/web/proxy" */
	struct sv backend; /* "10.42.0.5:8080", as pages may name their own host; */
	struct sv host;	   /* or by the Host that the client said */
};

/* link as it must be behind the proxy; link itself or in a. */
struct sv proxy_link(struct arena *a, const struct proxy_from *f, struct sv link);

/* Rewrites the links of an HTML page that comes in pieces. What is not understood passes unchanged. */
struct proxy_html {
	const struct proxy_from *from;
	struct buf tag; /* from '<' on, until its '>' */
	char quote;	/* inside a value: its quote */
	char raw[12];	/* inside an element whose content is no markup: its name */
	bool comment;
};
void proxy_html_init(struct proxy_html *h, const struct proxy_from *from);
void proxy_html_release(struct proxy_html *h);
void proxy_html_feed(struct proxy_html *h, struct sv bytes, struct buf *out);
void proxy_html_end(struct proxy_html *h, struct buf *out); /* what is left, as it is */
