/* Parts and how they become chunks. What is kept goes out by reference, what is made or short in blocks of its own. */
#include "apiserver/media.h"
#include "apiserver/apiserver-internal.h"
#include "apiserver/held.h"
#include "apiserver/recent.h"
#include "codec/json.h"

#include <stdlib.h>

#define EVENT_SHORT \
	((size_t)8 * 1024) /* of an object: to copy it once for all who watch is less than its parts' chunks */

void media_release_obj(void *o)
{
	obj_unref(o);
}

static struct sv media_behind(const struct media *m, const struct media_part *p)
{
	return m->behind ? m->behind(p) : SV("");
}

struct http_chunk media_chunk(struct buf *b)
{
	size_t n = b->n;
	char *p = buf_detach(b);

	return (struct http_chunk){ .data = sv_make(p, n), .release = free, .owner = p };
}

/* As chunks; o keeps the body. */
static int part_kept(const struct media *m, struct media_part *p, struct obj *o_take,
		     struct http_chunk ret[MEDIA_CHUNKS])
{
	struct buf b = BUF_INIT;
	struct sv before = m->before(&b, p), behind = media_behind(m, p);
	int n = 0;

	if (b.n)
		ret[n++] = media_chunk(&b);
	else if (before.n)
		ret[n++] = (struct http_chunk){ .data = before };
	ret[n++] = (struct http_chunk){ .data = p->body, .release = media_release_obj, .owner = o_take };
	if (behind.n)
		ret[n++] = (struct http_chunk){ .data = behind };
	return n;
}

static int cannot_say(const struct media *m, struct err *err)
{
	return err_set(err, ERR_INTERNAL, "the object cannot be encoded as %s", m->name);
}

/* Begins a part of out: where its JSON goes, which is straight there if it is to be JSON. */
static struct buf *part_open(struct buf *out, const struct media *m, struct media_part *p, struct buf *json)
{
	if (m->make)
		return json;
	buf_addsv(out, m->before(json, p));
	return out;
}

/* Out of the part's JSON. */
static void part_make(struct buf *out, const struct media *m, struct media_part *p, struct buf *json)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(buf_release) struct buf before = BUF_INIT, body = BUF_INIT;
	struct json_opts borrow = { .borrow_text = true };

	p->doc = json_decode(&a, buf_sv(json), &borrow, NULL);
	if (!p->doc) /* a Table's row may nest too deep for it, with the object in it */
		p->doc = val_new_raw(&a, buf_sv(json));
	m->make(&body, p->doc, p->place);
	p->body = buf_sv(&body);
	buf_addsv(out, m->before(&before, p));
	buf_addsv(out, p->body);
	buf_release(json);
}

static void part_close(struct buf *out, const struct media *m, struct media_part *p, struct buf *json)
{
	if (m->make)
		part_make(out, m, p, json);
	if (m->behind)
		buf_addsv(out, m->behind(p));
}

/* --- alone --- */

/* Nobody else has it: its memory is counted. */
static int alone_made(const struct api_req *q, struct buf *out, struct http_chunk ret[MEDIA_CHUNKS])
{
	size_t n = out->n;

	ret[0] = held_chunk(q, buf_detach(out), n);
	return 1;
}

int media_text(struct api_req *q, struct sv json, struct http_chunk ret[MEDIA_CHUNKS])
{
	struct media_part p = { .place = MEDIA_ALONE };
	const struct media *m = media_of(q);
	struct buf out = BUF_INIT, text = BUF_INIT;

	buf_addsv(part_open(&out, m, &p, &text), json);
	part_close(&out, m, &p, &text);
	return alone_made(q, &out, ret);
}

int media_doc(struct api_req *q, const struct val *doc, struct http_chunk ret[MEDIA_CHUNKS])
{
	struct media_part p = { .place = MEDIA_ALONE };
	const struct media *m = media_of(q);
	struct buf out = BUF_INIT, text = BUF_INIT;

	json_encode(part_open(&out, m, &p, &text), doc);
	part_close(&out, m, &p, &text);
	return alone_made(q, &out, ret);
}

/* How long encode() makes o, as noted; 0: not known. */
static size_t body_noted(const struct media *m, const struct media_form *f, const struct obj *o)
{
	return m->notes_bytes && f == &media_native ? obj_message_bytes(o) : 0;
}

/* Appends the part of o, which is p but for its body. */
static bool part_encode(const struct api_req *q, struct buf *out, struct media_part *p, const struct obj *o)
{
	_cleanup_(buf_release) struct buf before = BUF_INIT, body = BUF_INIT;
	const struct media *m = media_of(q);
	size_t noted;

	p->form = media_form_of(q);
	noted = body_noted(m, p->form, o);
	if (noted) { /* straight to its place */
		p->body.n = noted;
		buf_addsv(out, m->before(&before, p));
		buf_reserve(out, noted);
		(void)m->encode(out, p->form, o); /* as when its length was noted */
		buf_addsv(out, media_behind(m, p));
		return true;
	}
	buf_reserve(&body, obj_json(o).n);
	if (!m->encode(&body, p->form, o))
		return false;
	p->body = buf_sv(&body);
	buf_addsv(out, m->before(&before, p));
	buf_addsv(out, p->body);
	buf_addsv(out, media_behind(m, p));
	return true;
}

int media_object(struct api_req *q, struct obj *o, struct http_chunk ret[MEDIA_CHUNKS], struct err *err)
{
	struct media_part p = { .place = MEDIA_ALONE, .doc = obj_root(o) };
	const struct media_form *f = media_form_of(q);
	const struct media *m = media_of(q);
	struct buf out = BUF_INIT, text = BUF_INIT;

	if (m->encode) {
		if (part_encode(q, &out, &p, o))
			return alone_made(q, &out, ret);
		buf_release(&out);
		return cannot_say(m, err);
	}
	if (!media_makes(q)) {
		if (!m->kept(o, &p.body))
			return cannot_say(m, err);
		return part_kept(m, &p, obj_ref(o), ret);
	}
	if (!f->object)
		return media_text(q, obj_json(o), ret);
	f->object(q, part_open(&out, m, &p, &text), q->res, o, obj_rev(o), true);
	part_close(&out, m, &p, &text);
	return alone_made(q, &out, ret);
}

/* --- lists --- */

/* What items begin with that say their own type, if this one is as the others. */
static struct sv type_prefix(struct arena *a, const struct resource *r, struct sv json)
{
	char av[160];
	struct sv p;

	resource_api_version(r, av, sizeof(av));
	p = arena_svf(a, "{\"apiVersion\":\"%s\",\"kind\":\"%s\",", av, r->kind);
	if (!sv_starts(json, p))
		p = arena_svf(a, "{\"kind\":\"%s\",\"apiVersion\":\"%s\",", r->kind, av);
	return sv_starts(json, p) ? p : SV("");
}

struct media_list *media_list_new(struct api_req *q, const struct resource *r, const struct obj *first_obj, size_t n,
				  int64_t rev, struct sv cont, int64_t remaining)
{
	struct media_list *l = ARENA_NEW(q->arena, struct media_list);
	const struct media_form *f = media_form_of(q);
	_cleanup_(buf_release) struct buf head = BUF_INIT;

	f->list(q, &head, r, rev, cont, remaining);
	*l = (struct media_list){
		.res = r, .head = arena_sv(q->arena, buf_sv(&head)), .items = f->items, .n = n, .bytes = -1
	};
	if (n && !f->item && !(r->schema && r->schema->custom)) /* upstream's generic lists repeat it */
		l->prefix = type_prefix(q->arena, r, obj_json(first_obj));
	if (media_of(q)->lists_docs) {
		buf_adds(&head, "[]}");
		l->doc = json_decode(q->arena, arena_sv(q->arena, buf_sv(&head)), NULL, NULL);
	}
	return l;
}

/* JSON of the i-th item, which is in an object's form: as its list wants it. */
static void item_json(struct buf *b, const struct media_list *l, size_t i, struct obj *o)
{
	struct media_part p = { .place = MEDIA_ITEM, .list = l, .i = i, .body = obj_json(o) };
	struct sv before = media_json.before(b, &p);

	if (sv_ends(before, SV("{")))
		buf_addc(b, '{');
	buf_addsv(b, p.body);
}

bool media_item_kept(const struct media *m, const struct media_list *l, size_t i, struct obj *o, struct media_part *ret)
{
	*ret = (struct media_part){ .place = MEDIA_ITEM, .list = l, .i = i, .doc = obj_root(o) };
	return m->kept(o, &ret->body);
}

bool media_item_encode(struct api_req *q, struct buf *b, const struct media_list *l, size_t i, struct obj *o)
{
	struct media_part p = { .place = MEDIA_ITEM, .list = l, .i = i, .doc = obj_root(o) };

	return part_encode(q, b, &p, o);
}

int64_t media_item_bytes(struct api_req *q, const struct media_list *l, size_t i, struct obj *o)
{
	struct media_part p = { .place = MEDIA_ITEM, .list = l, .i = i, .doc = obj_root(o), .form = media_form_of(q) };
	const struct media *m = media_of(q);
	_cleanup_(buf_release) struct buf body = BUF_INIT, before = BUF_INIT;

	p.body.n = body_noted(m, p.form, o);
	if (!p.body.n) {
		buf_reserve(&body, obj_json(o).n);
		if (!m->encode(&body, p.form, o))
			return -1;
		p.body = buf_sv(&body);
		if (m->notes_bytes && p.form == &media_native)
			obj_note_message_bytes(o, body.n);
	}
	return (int64_t)(m->before(&before, &p).n + p.body.n + media_behind(m, &p).n);
}

void media_item_make(struct api_req *q, struct buf *b, const struct media_list *l, size_t i, struct obj *o)
{
	struct media_part p = { .place = MEDIA_ITEM, .list = l, .i = i };
	const struct media_form *f = media_form_of(q);
	const struct media *m = media_of(q);
	struct buf text = BUF_INIT, *json = part_open(b, m, &p, &text);

	if (f->item)
		f->item(q, json, l->res, o);
	else
		item_json(json, l, i, o);
	part_close(b, m, &p, &text);
}

/* --- watches --- */

void media_stream_begin(struct api_req *q)
{
	if (media_of(q)->stream)
		q->media = media_of(q)->stream;
	q->sink->stream_begin(q, media_of(q)->stream_type);
}

/* One event, behind what parts events where the stream does not. */
static size_t media_write(struct api_req *q, const struct http_chunk *chunks, size_t n)
{
	const struct media *m = media_of(q);
	struct buf frame = BUF_INIT;
	size_t total = 0, waiting = 0;

	if (q->sink->stream_event)
		return q->sink->stream_event(q, m->binary, chunks, n);
	if (m->frame) {
		struct http_chunk c;

		for (size_t i = 0; i < n; i++)
			total += chunks[i].data.n;
		m->frame(&frame, total);
		c = media_chunk(&frame);
		(void)q->sink->stream_write(q, &c);
	}
	for (size_t i = 0; i < n; i++)
		waiting = q->sink->stream_write(q, &chunks[i]);
	return waiting;
}

static size_t send_part(struct api_req *q, struct buf *out)
{
	struct http_chunk c = media_chunk(out);

	return media_write(q, &c, 1);
}

/* Appends an event. */
static bool event_encode(const struct api_req *q, struct buf *out, enum media_event e, struct obj *o)
{
	struct media_part p = { .place = MEDIA_EVENT, .event = e, .doc = obj_root(o) };
	_cleanup_(buf_release) struct buf before = BUF_INIT;
	const struct media *m = media_of(q);

	if (m->encode)
		return part_encode(q, out, &p, o);
	if (!m->kept(o, &p.body))
		return false;
	buf_addsv(out, m->before(&before, &p));
	buf_addsv(out, p.body);
	buf_addsv(out, media_behind(m, &p));
	return true;
}

/* Encoded for the first who is told of it; with what parts events where the transport does not. */
static struct recent_bytes *event_encoded(struct api_req *q, enum media_event e, struct obj *o)
{
	const struct media *m = media_of(q);
	const struct recent_key key = { .o = o, .media = m, .form = media_form_of(q), .event = (int)e };
	struct recent_bytes *known = recent_find(q->server->recent, &key);
	_cleanup_(buf_release) struct buf part = BUF_INIT;
	struct buf out = BUF_INIT;
	size_t n;

	if (known || !event_encode(q, &part, e, o))
		return known;
	if (m->frame)
		m->frame(&out, part.n);
	buf_addsv(&out, buf_sv(&part));
	n = out.n;
	return recent_add(q->server->recent, &key, buf_detach(&out), n);
}

static size_t send_encoded(struct api_req *q, enum media_event e, struct obj *o)
{
	const struct media *m = media_of(q);
	struct recent_bytes *b = event_encoded(q, e, o);
	struct err err = ERR_INIT;
	struct http_chunk c;

	if (!b) {
		(void)cannot_say(m, &err);
		return media_send_error(q, &err);
	}
	c = (struct http_chunk){ .data = recent_sv(b), .release = recent_unref, .owner = b };
	if (!q->sink->stream_event)
		return q->sink->stream_write(q, &c);
	if (m->frame) {
		_cleanup_(buf_release) struct buf frame = BUF_INIT;

		m->frame(&frame, c.data.n);
		c.data = sv_sub(c.data, frame.n, c.data.n); /* frames are all of one length */
	}
	return q->sink->stream_event(q, m->binary, &c, 1);
}

size_t media_send(struct api_req *q, enum media_event e, struct obj *o_take, int64_t rev, bool first, bool shared)
{
	_cleanup_obj_ struct obj *o = o_take;
	struct media_part p = { .place = MEDIA_EVENT, .event = e, .doc = obj_root(o) };
	const struct media_form *f = media_form_of(q);
	const struct media *m = media_of(q);
	struct http_chunk chunks[MEDIA_CHUNKS];
	struct buf out = BUF_INIT, text = BUF_INIT;
	struct err err = ERR_INIT;

	if (m->encode || (shared && !media_makes(q) && obj_json(o).n < EVENT_SHORT))
		return send_encoded(q, e, o);
	if (!media_makes(q)) {
		if (m->kept(o, &p.body))
			return media_write(q, chunks, (size_t)part_kept(m, &p, TAKE(o), chunks));
		(void)cannot_say(m, &err);
		return media_send_error(q, &err);
	}
	if (f->object)
		f->object(q, part_open(&out, m, &p, &text), q->res, o, rev, first);
	else
		buf_addsv(part_open(&out, m, &p, &text), obj_json(o));
	part_close(&out, m, &p, &text);
	return send_part(q, &out);
}

size_t media_send_bookmark(struct api_req *q, int64_t rev, bool initial_end)
{
	struct media_part p = { .place = MEDIA_EVENT, .event = MEDIA_BOOKMARK };
	const struct media *m = media_of(q);
	struct buf out = BUF_INIT, text = BUF_INIT;

	media_form_of(q)->bookmark(q, part_open(&out, m, &p, &text), q->res, rev, initial_end);
	part_close(&out, m, &p, &text);
	return send_part(q, &out);
}

size_t media_send_error(struct api_req *q, struct err *err)
{
	struct media_part p = { .place = MEDIA_EVENT, .event = MEDIA_ERROR };
	const struct media *m = media_of(q);
	struct buf out = BUF_INIT, text = BUF_INIT;

	json_encode(part_open(&out, m, &p, &text), status_failure(q->arena, err));
	part_close(&out, m, &p, &text);
	err_release(err);
	return send_part(q, &out);
}
