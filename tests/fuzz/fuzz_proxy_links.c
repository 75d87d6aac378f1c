/* Links of a page: cut in pieces or whole the result is the same, and no page grows beyond its links' prefixes. */
#include "apiserver/proxy_links.h"

#include "base/base.h"

#define PREFIX "/api/v1/namespaces/default/services/web/proxy"

static void links_feed(struct sv page, size_t piece, struct buf *out)
{
	const struct proxy_from from = { SV(PREFIX), SV("10.42.0.5:8080"), SV("web.example") };
	struct proxy_html h;

	proxy_html_init(&h, &from);
	for (size_t at = 0; at < page.n; at += piece)
		proxy_html_feed(&h, sv_make(page.p + at, MIN(piece, page.n - at)), out);
	proxy_html_end(&h, out);
	proxy_html_release(&h);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(buf_release) struct buf whole = BUF_INIT, pieces = BUF_INIT, bytes = BUF_INIT;
	const struct proxy_from from = { SV(PREFIX), SV("10.42.0.5:8080"), SV("web.example") };
	struct sv text = sv_make((const char *)data, size), link = proxy_link(&a, &from, text);

	BUG_ON(link.n > size + from.prefix.n + 1);
	links_feed(text, size + 1, &whole);
	links_feed(text, 7, &pieces);
	links_feed(text, 1, &bytes);
	BUG_ON(!sv_eq(buf_sv(&whole), buf_sv(&pieces)) || !sv_eq(buf_sv(&whole), buf_sv(&bytes)));
	/* the shortest attribute with a link is " src=/" */
	BUG_ON(whole.n > size + (size / 6 + 1) * (from.prefix.n + 1));
	return 0;
}
