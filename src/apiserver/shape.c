#include "apiserver/shape.h"
#include "apiserver/apiserver-internal.h"
#include "apiserver/held.h"
#include "apiserver/watchcache.h"
#include "codec/json.h"
#include "codec/yaml.h"

#include <stdlib.h>

#define WORK_BYTES ((size_t)16 * 1024) /* of JSON that is written anew */

static struct http_chunk *shape_chunks(struct api_req *q, struct shape *s, size_t n)
{
	struct http_chunk *c = ARENA_ARRAY(q->arena, struct http_chunk, n);

	s->chunks = c;
	s->n = n;
	return c;
}

static struct http_chunk made_chunk(struct api_req *q, struct buf *b)
{
	size_t n = b->n;

	return held_chunk(q, buf_detach(b), n);
}

static void shape_release_obj(void *o)
{
	obj_unref(o);
}

void shape_of_object(struct api_req *q, struct shape *s, struct obj *o, const struct val *doc)
{
	struct http_chunk *c;

	*s = (struct shape){ .content_type = "application/json" };
	c = shape_chunks(q, s, 2);
	if (o && q->res)
		wc_work(q->server->wc, q->res, o);
	if (o && q->as == AS_NATIVE) {
		c[0] = (struct http_chunk){ .data = obj_json(o), .release = shape_release_obj, .owner = obj_ref(o) };
	} else {
		struct buf b = BUF_INIT;

		if (!o)
			json_encode(&b, doc);
		else if (q->as == AS_TABLE)
			table_encode(q, &b, q->res, &o, 1, obj_rev(o), SV_NULL, -1, true);
		else
			partial_encode(q, &b, obj_root(o));
		c[0] = made_chunk(q, &b);
	}
	c[1] = (struct http_chunk){ .data = SV("\n") };
}

void shape_of_bytes(struct api_req *q, struct shape *s, const char *content_type, const struct http_chunk *chunks,
		    size_t n)
{
	*s = (struct shape){ .content_type = content_type };
	if (n)
		memcpy(shape_chunks(q, s, n), chunks, n * sizeof(*chunks));
}

static size_t shape_bytes(const struct shape *s)
{
	size_t total = 0;

	for (size_t i = 0; i < s->n; i++)
		total += s->chunks[i].data.n;
	return total;
}

static void shape_flat(const struct shape *s, struct buf *b)
{
	for (size_t i = 0; i < s->n; i++)
		buf_addsv(b, s->chunks[i].data);
}

static void shape_becomes(struct api_req *q, struct shape *s, struct buf *made)
{
	for (size_t i = 0; i < s->n; i++)
		if (s->chunks[i].release)
			s->chunks[i].release(s->chunks[i].owner);
	shape_chunks(q, s, 1)[0] = made_chunk(q, made);
}

static bool shape_text(const struct api_req *q, const struct shape *s)
{
	return (q->pretty || q->yaml) && strcmp(s->content_type, "application/json") == 0;
}

/* Indented or YAML: asked for by people, so a copy may cost something. What is read on the way goes at once, and not
 * with the request, which stays until its answer is taken. */
static bool reformat(const struct api_req *q, const struct shape *s, struct buf *out)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(buf_release) struct buf flat = BUF_INIT;
	struct val *v;

	shape_flat(s, &flat);
	v = json_decode(&a, buf_sv(&flat), NULL, NULL);
	if (!v)
		return false;
	if (q->yaml)
		yaml_encode(out, val_sorted(&a, v)); /* as upstream, which goes by way of Go maps */
	else
		json_encode_indent(out, v, 2);
	return true;
}

void shape_make(struct api_req *q, int code, struct shape *s)
{
	struct buf made = BUF_INIT;

	if (shape_text(q, s) && reformat(q, s, &made)) {
		shape_becomes(q, s, &made);
		if (q->yaml)
			s->content_type = "application/yaml";
	}
	if (code == 200 && shape_bytes(s) > SHAPE_GZIP_MIN && accepts_gzip(q)) {
		_cleanup_(buf_release) struct buf flat = BUF_INIT;

		made = (struct buf)BUF_INIT;
		if (s->n > 1)
			shape_flat(s, &flat);
		gzip_bytes(&made, s->n > 1 ? buf_sv(&flat) : s->chunks[0].data);
		shape_becomes(q, s, &made);
		s->gzipped = true;
	}
}

bool shape_is_work(struct api_req *q, int code, const struct obj *o)
{
	size_t n;

	if (!o)
		return false; /* a document of the server's own, or it has been on the pool already */
	n = obj_json(o).n;
	if (q->pretty || q->yaml)
		return n > WORK_BYTES;
	return q->as == AS_NATIVE && code == 200 && n > SHAPE_GZIP_MIN && accepts_gzip(q);
}
