/* The body of a LIST, made while it is sent.
 *
 * Items of an encoding that keeps them are the objects' own bytes, by reference: nothing is copied. What is made of
 * them (Tables, metadata, what people read) is made a piece at a time. One that says lengths in front encodes all items
 * twice: for the sum of their lengths, and piece by piece; what that costs in time, keeping them would in memory, for
 * each object for ever. Either way a LIST under way costs a bit for each object and holds blocks of the cache's tree
 * (objpick.h) until they are sent, so fifty of a hundred thousand objects cost as little as their readers' windows, and
 * a loop has turns for its other connections.
 */
#include "apiserver/held.h"
#include "apiserver/media.h"
#include "apiserver/registry/registry.h"

#include <stdlib.h>

#define PIECE ((size_t)16 * 1024) /* of what is made */

struct list_body {
	struct http_source src;
	struct api_req *q;
	const struct media *media;
	struct media_list *list;
	struct objpick objs;
	struct objpick_at next; /* behind the one at hand; what lies before is not ours any more */
	struct obj *o;		/* at hand, the pick's; NULL: the end */
	size_t at;		/* its number */
	struct buf made;	/* written, not handed out */
	struct media_part part; /* of o, if what stands before it is out */
	bool separated;
	bool ended;
};

/* To the next object: the first, and behind the one that has been told. */
static void list_body_step(struct list_body *l)
{
	l->at += l->o != NULL;
	l->o = objpick_next(&l->objs, &l->next);
	objpick_pass(&l->objs, &l->next);
}

static bool list_body_end(struct list_body *l)
{
	if (l->ended)
		return false;
	l->media->list_tail(&l->made, l->list);
	l->ended = true;
	return true;
}

/* --- kept --- */

/* The bytes of all parts; -1: there is one that cannot be said. */
static int64_t kept_bytes(const struct list_body *l)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	struct objpick_at at = { 0 };
	struct media_part p;
	size_t total = 0;
	struct obj *o;

	for (size_t i = 0; (o = objpick_next(&l->objs, &at)); i++) {
		if (!media_item_kept(l->media, l->list, i, o, &p))
			return -1;
		total += l->media->before(&b, &p).n;
		total += p.body.n;
		if (l->media->behind)
			total += l->media->behind(&p).n;
		if (b.n)
			buf_clear(&b);
	}
	return (int64_t)total;
}

/* What stands before the next item; false: nothing does. */
static bool kept_before(struct list_body *l, struct http_chunk *ret)
{
	struct obj *o = l->o;
	struct sv before;

	wc_work(l->q->server->wc, l->list->res, o);
	(void)media_item_kept(l->media, l->list, l->at, o, &l->part); /* it said yes when its bytes were counted */
	before = l->media->before(&l->made, &l->part);
	if (!before.n)
		return false;
	*ret = l->made.n ? media_chunk(&l->made) : (struct http_chunk){ .data = before };
	return true;
}

static bool kept_next(struct http_source *s, struct http_chunk *ret)
{
	struct list_body *l = CONTAINER_OF(s, struct list_body, src);

	if (l->made.n || (!l->o && list_body_end(l) && l->made.n)) {
		*ret = media_chunk(&l->made);
		return true;
	}
	if (!l->o)
		return false;
	if (!l->separated && kept_before(l, ret)) {
		l->separated = true;
		return true;
	}
	*ret = (struct http_chunk){ .data = l->part.body, .release = media_release_obj, .owner = obj_ref(l->o) };
	if (l->media->behind)
		buf_addsv(&l->made, l->media->behind(&l->part));
	list_body_step(l);
	l->separated = false;
	return true;
}

/* --- made --- */

/* Until there are `want` bytes; false when the end was made. */
static bool list_body_make(struct list_body *l, size_t want)
{
	while (!l->ended && l->made.n < want) {
		if (!l->o) {
			(void)list_body_end(l);
			break;
		}
		wc_work(l->q->server->wc, l->list->res, l->o);
		media_item_make(l->q, &l->made, l->list, l->at, l->o);
		list_body_step(l);
	}
	return !l->ended;
}

static bool made_next(struct http_source *s, struct http_chunk *ret)
{
	struct list_body *l = CONTAINER_OF(s, struct list_body, src);

	(void)list_body_make(l, PIECE);
	if (!l->made.n)
		return false;
	*ret = media_chunk(&l->made);
	return true;
}

/* --- encoded --- */

/* The bytes of all parts; -1: there is one that cannot be said. */
static int64_t encoded_bytes(struct list_body *l)
{
	struct objpick_at at = { 0 };
	int64_t total = 0;
	struct obj *o;

	for (size_t i = 0; (o = objpick_next(&l->objs, &at)); i++) {
		int64_t n;

		wc_work(l->q->server->wc, l->list->res, o);
		n = media_item_bytes(l->q, l->list, i, o);
		if (n < 0)
			return -1;
		total += n;
	}
	return total;
}

static bool encoded_next(struct http_source *s, struct http_chunk *ret)
{
	struct list_body *l = CONTAINER_OF(s, struct list_body, src);

	while (!l->ended && l->made.n < PIECE) {
		if (!l->o) {
			(void)list_body_end(l);
			break;
		}
		wc_work(l->q->server->wc, l->list->res, l->o);
		(void)media_item_encode(l->q, &l->made, l->list, l->at, l->o); /* as when its bytes were counted */
		list_body_step(l);
	}
	if (!l->made.n)
		return false;
	*ret = media_chunk(&l->made);
	return true;
}

/* --- all --- */

static void list_body_release(struct http_source *s)
{
	struct list_body *l = CONTAINER_OF(s, struct list_body, src);

	objpick_release(&l->objs);
	buf_release(&l->made);
}

/* Its length, which is known before it is sent. */
static int list_body_begin(struct list_body *l, struct err *err)
{
	_cleanup_(buf_release) struct buf tail = BUF_INIT;

	l->src.next = l->media->encode ? encoded_next : kept_next;
	l->list->bytes = l->media->encode ? encoded_bytes(l) : kept_bytes(l);
	if (l->list->bytes < 0)
		return err_set(err, ERR_INTERNAL, "the list cannot be encoded as %s", l->media->name);
	l->media->list_head(&l->made, l->list);
	l->media->list_tail(&tail, l->list);
	l->src.total = (int64_t)l->made.n + l->list->bytes + (int64_t)tail.n;
	return 0;
}

void list_answer(struct api_req *q, const struct resource *r, struct obj **objs, size_t n, int64_t rev, struct sv cont,
		 int64_t remaining)
{
	struct objpick p;

	objpick_of(&p, objs, n, q->arena);
	list_answer_pick(q, r, &p, rev, cont, remaining);
}

void list_answer_pick(struct api_req *q, const struct resource *r, struct objpick *objs_take, int64_t rev,
		      struct sv cont, int64_t remaining)
{
	struct objpick_at first = { 0 };
	struct list_body *l = ARENA_NEW(q->arena, struct list_body);
	struct err err = ERR_INIT;
	struct http_chunk all;
	size_t n;

	l->src = (struct http_source){ .total = -1, .next = made_next, .release = list_body_release };
	l->q = q;
	l->media = media_of(q);
	l->objs = *objs_take;
	l->list = media_list_new(q, r, objpick_next(&l->objs, &first), l->objs.n, rev, cont, remaining);
	list_body_step(l);
	if (l->media->encode || !media_makes(q)) {
		if (list_body_begin(l, &err) == 0) {
			answer_source(q, 200, l->media->content_type, &l->src);
			return;
		}
		list_body_release(&l->src);
		api_req_fail(q, &err);
		return;
	}
	l->media->list_head(&l->made, l->list);
	/* Less than is worth compressing is answered at once, with its length. */
	if (list_body_make(l, MEDIA_GZIP_MIN)) {
		answer_source(q, 200, l->media->content_type, &l->src);
		return;
	}
	n = l->made.n;
	all = held_chunk(q, buf_detach(&l->made), n);
	q->sink->bytes(q, 200, l->media->content_type, &all, 1);
}
