/* The body of a LIST, made while it is sent.
 *
 * Native items are the objects' own JSON, by reference: nothing is copied. Tables and metadata lists are encoded a
 * piece at a time. Either way a LIST under way costs a reference for each object that is not sent yet, so two hundred
 * of five thousand objects cost as little as their readers' windows, and a loop has turns for its other connections.
 */
#include "apiserver/held.h"
#include "apiserver/registry/registry.h"
#include "codec/json.h"

#include <stdlib.h>

#define PIECE ((size_t)16 * 1024)  /* of what is encoded */
#define WHOLE ((size_t)128 * 1024) /* less is answered at once, with its length: as much as goes without gzip */

struct list_body {
	struct http_source src;
	struct api_req *q;
	const struct resource *res;
	struct obj **objs;
	size_t n, at;	  /* objs[at] is the next; those before it are not ours any more */
	struct sv prefix; /* what native items leave out, because the list's own kind says it */
	struct buf made;  /* encoded, not handed out */
	bool separated;	  /* the native item's comma is out */
	bool ended;
};

static void list_body_release_obj(void *o)
{
	obj_unref(o);
}

static struct sv type_prefix(struct arena *a, const struct resource *r, struct sv json)
{
	char av[160];
	struct sv p;

	resource_api_version(r, av, sizeof(av));
	p = arena_svf(a, "{\"apiVersion\":\"%s\",\"kind\":\"%s\",", av, r->kind);
	if (!sv_starts(json, p))
		p = arena_svf(a, "{\"kind\":\"%s\",\"apiVersion\":\"%s\",", r->kind, av);
	return sv_starts(json, p) ? p : SV_NULL;
}

static void head_meta(struct buf *b, int64_t rev, struct sv cont, int64_t remaining)
{
	buf_printf(b, "\"metadata\":{\"resourceVersion\":\"%" PRId64 "\"", rev);
	list_more(b, cont, remaining);
	buf_adds(b, "},\"items\":[");
}

/* --- native --- */

/* "," or ",{" and then the object from behind the prefix on. */
static struct sv separator(const struct list_body *l, struct sv json, size_t *ret_cut)
{
	struct sv sep = SV(",{");

	*ret_cut = l->prefix.n && sv_starts(json, l->prefix) ? l->prefix.n : 0;
	if (!*ret_cut)
		sep.n = 1;
	return l->at ? sep : sv_sub(sep, 1, sep.n);
}

static int64_t native_bytes(const struct list_body *l)
{
	size_t total = l->made.n + 3, cut;

	for (size_t i = 0; i < l->n; i++) {
		struct list_body at = { .prefix = l->prefix, .at = i };
		struct sv json = obj_json(l->objs[i]);

		total += separator(&at, json, &cut).n;
		total += json.n - cut;
	}
	return (int64_t)total;
}

static bool native_next(struct http_source *s, struct http_chunk *ret)
{
	struct list_body *l = CONTAINER_OF(s, struct list_body, src);
	struct sv json, sep;
	size_t cut;

	if (l->made.n) {
		size_t n = l->made.n;
		char *head = buf_detach(&l->made);

		*ret = (struct http_chunk){ .data = sv_make(head, n), .release = free, .owner = head };
		return true;
	}
	if (l->at == l->n) {
		if (l->ended)
			return false;
		*ret = (struct http_chunk){ .data = SV("]}\n") };
		l->ended = true;
		return true;
	}
	wc_work(l->q->server->wc, l->res, l->objs[l->at]);
	json = obj_json(l->objs[l->at]);
	sep = separator(l, json, &cut);
	if (!l->separated && sep.n) {
		*ret = (struct http_chunk){ .data = sep };
		l->separated = true;
		return true;
	}
	*ret = (struct http_chunk){ .data = sv_sub(json, cut, json.n),
				    .release = list_body_release_obj,
				    .owner = l->objs[l->at++] };
	l->separated = false;
	return true;
}

/* --- Table and PartialObjectMetadataList --- */

/* Encodes until there are `want` bytes; false when the end was made. */
static bool list_body_encode(struct list_body *l, size_t want)
{
	while (!l->ended && l->made.n < want) {
		if (l->at == l->n) {
			buf_adds(&l->made, "]}\n");
			l->ended = true;
			break;
		}
		if (l->at)
			buf_addc(&l->made, ',');
		wc_work(l->q->server->wc, l->res, l->objs[l->at]);
		if (l->q->as == AS_TABLE)
			table_row(l->q, &l->made, l->res, l->objs[l->at]);
		else
			partial_encode(l->q, &l->made, obj_root(l->objs[l->at]));
		obj_unref(l->objs[l->at++]);
	}
	return !l->ended;
}

static bool encoded_next(struct http_source *s, struct http_chunk *ret)
{
	struct list_body *l = CONTAINER_OF(s, struct list_body, src);
	size_t n;
	char *p;

	(void)list_body_encode(l, PIECE);
	if (!l->made.n)
		return false;
	n = l->made.n;
	p = buf_detach(&l->made);
	*ret = (struct http_chunk){ .data = sv_make(p, n), .release = free, .owner = p };
	return true;
}

/* --- both --- */

static void list_body_release(struct http_source *s)
{
	struct list_body *l = CONTAINER_OF(s, struct list_body, src);

	while (l->at < l->n)
		obj_unref(l->objs[l->at++]);
	buf_release(&l->made);
}

void list_answer(struct api_req *q, const struct resource *r, struct obj **objs, size_t n, int64_t rev, struct sv cont,
		 int64_t remaining)
{
	struct list_body *l = ARENA_NEW(q->arena, struct list_body);
	struct http_chunk all;
	char av[160];

	l->src = (struct http_source){ .total = -1, .next = encoded_next, .release = list_body_release };
	l->q = q;
	l->res = r;
	l->objs = objs;
	l->n = n;
	if (q->as == AS_NATIVE) {
		buf_printf(&l->made, "{\"kind\":\"%s\",\"apiVersion\":\"%s\",", r->list_kind,
			   resource_api_version(r, av, sizeof(av)));
		head_meta(&l->made, rev, cont, remaining);
		l->prefix = n ? type_prefix(q->arena, r, obj_json(objs[0])) : SV_NULL;
		l->src.next = native_next;
		l->src.total = native_bytes(l);
	} else if (q->as == AS_TABLE) {
		table_head(q, &l->made, r, rev, cont, remaining, true);
	} else {
		buf_printf(&l->made, "{\"kind\":\"PartialObjectMetadataList\",\"apiVersion\":\"%s\",", meta_version(q));
		head_meta(&l->made, rev, cont, remaining);
	}
	if (q->as == AS_NATIVE || list_body_encode(l, WHOLE)) {
		answer_source(q, 200, "application/json", &l->src);
		return;
	}
	n = l->made.n;
	all = held_chunk(q, buf_detach(&l->made), n);
	q->sink->bytes(q, 200, "application/json", &all, 1);
}
