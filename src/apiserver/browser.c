#include "apiserver/browser.h"
#include "apiserver/apiserver-internal.h"
#include "base/vec.h"
#include "re/re.h"

#include <stdlib.h>

#define ORIGIN_MAX 1024 /* bytes; a longer one is nobody's */

struct browser {
	VEC(struct re *) origins;
	char *hsts; /* NULL: none */
};

int browser_new(const char *const *cors, const char *const *hsts, struct browser **ret, struct err *err)
{
	struct buf directives = BUF_INIT;
	struct browser *b;

	*ret = NULL;
	if ((!cors || !*cors) && (!hsts || !*hsts))
		return 0;
	b = xcalloc(1, sizeof(*b));
	for (; cors && *cors; cors++) {
		struct re *re;

		if (re_compile(sv_from(*cors), &re, err) < 0) {
			browser_free(b);
			return err_wrap(err, "--cors-allowed-origins '%s'", *cors);
		}
		vec_push(&b->origins, re);
	}
	for (; hsts && *hsts; hsts++)
		buf_printf(&directives, "%s%s", directives.n ? "; " : "", *hsts);
	if (directives.n)
		b->hsts = buf_detach(&directives);
	*ret = b;
	return 0;
}

struct browser *browser_free(struct browser *b)
{
	if (!b)
		return NULL;
	for (size_t i = 0; i < b->origins.n; i++)
		re_unref(b->origins.p[i]);
	vec_release(&b->origins);
	free(b->hsts);
	free(b);
	return NULL;
}

static bool browser_allows(const struct browser *b, struct sv origin)
{
	for (size_t i = 0; origin.n && origin.n <= ORIGIN_MAX && i < b->origins.n; i++)
		if (re_match(b->origins.p[i], origin))
			return true;
	return false;
}

bool browser_headers(const struct browser *b, struct api_req *q)
{
	struct sv origin = http_header_get(q->http, "origin");

	if (b->hsts)
		api_req_header(q, SV("strict-transport-security"), sv_from(b->hsts));
	if (!browser_allows(b, origin))
		return false;
	api_req_header(q, SV("access-control-allow-origin"), origin);
	api_req_header(q, SV("access-control-allow-methods"), SV("POST, GET, OPTIONS, PUT, DELETE, PATCH"));
	api_req_header(q, SV("access-control-allow-headers"),
		       SV("Content-Type, Content-Length, Accept-Encoding, X-CSRF-Token, Authorization, "
			  "X-Requested-With, If-Modified-Since"));
	api_req_header(q, SV("access-control-expose-headers"), SV("Date"));
	api_req_header(q, SV("access-control-allow-credentials"), SV("true"));
	return sv_is(q->method, "OPTIONS");
}
