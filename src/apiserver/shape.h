/* shape.h - an answer in the form that its client wants: an object or bytes, as they are, indented, as YAML,
 *compressed.
 *
 *	shape_of_object(q, &s, o, doc);		or shape_of_bytes()
 *	shape_make(q, code, &s);
 *
 * That may be much work for a few bytes of a question, so it is done where the request is, on the pool if that is where
 * it is; a loop asks shape_is_work() first. What is made is counted (held.h). Private to http_adapter.c.
 */
#pragma once

#include "apiserver/api_req.h"

#define SHAPE_GZIP_MIN ((size_t)128 * 1024) /* as upstream */
#define SHAPE_CHUNKS 2			    /* that need no block of their own */

struct shape {
	const char *content_type;
	const struct http_chunk *chunks; /* in q's arena */
	size_t n;
	bool gzipped;
};

/* o is borrowed; NULL: doc. */
void shape_of_object(struct api_req *q, struct shape *ret, struct obj *o, const struct val *doc);
void shape_of_bytes(struct api_req *q, struct shape *ret, const char *content_type, const struct http_chunk *chunks,
		    size_t n);
void shape_make(struct api_req *q, int code, struct shape *s);
/* Too much of it for a loop. */
bool shape_is_work(struct api_req *q, int code, const struct obj *o);
