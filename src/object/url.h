/* url.h - URLs as Go's package url reads and writes them, with its words: formats of schemas and expressions judge by
 * them.
 *
 * As of Go 1.26: what stands in brackets is an IPv6 address, and a host without brackets has one colon at most.
 */
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"

struct url {
	struct sv scheme; /* in lower case */
	struct sv opaque; /* "mailto:x": what follows the colon */
	bool has_user, has_password;
	struct sv user, password; /* these, host, path and fragment: with escapes undone */
	struct sv host;		  /* with its port */
	struct sv path, raw_path; /* raw_path: as it was written */
	struct sv query;	  /* as it was written, without '?' */
	struct sv fragment, raw_fragment;
	bool force_query; /* ends with a '?' that nothing follows */
	bool omit_host;	  /* "scheme:/path" */
};

/* url.Parse and url.ParseRequestURI: the latter takes what a request line could hold, an absolute URL or path, and no
 * fragment. ERR_INVALID with Go's words: parse "x": invalid URI for request. Texts live in the arena or in s. */
bool url_parse(struct arena *a, struct sv s, struct url *ret, struct err *err);
bool url_parse_request(struct arena *a, struct sv s, struct url *ret, struct err *err);

struct sv url_hostname(const struct url *u);			     /* without port and brackets */
struct sv url_port(const struct url *u);			     /* "" when there is none */
struct sv url_escaped_path(struct arena *a, const struct url *u);    /* URL.EscapedPath() */
void url_write(struct arena *a, struct buf *b, const struct url *u); /* URL.String() */

/* The pairs of a query, with escapes undone; what is malformed is passed over.
 *
 *	struct url_pairs q = { .rest = u.query };
 *	while (url_pairs_next(a, &q)) use(q.key, q.value);
 */
struct url_pairs {
	struct sv rest, key, value;
};
bool url_pairs_next(struct arena *a, struct url_pairs *q);
