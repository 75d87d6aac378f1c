/* application/vnd.kubernetes.protobuf: what typed Go clients ask for.
 *
 * An answer is an object in an envelope (object/protobuf.h); a list is one message in one envelope, its items without
 * any; a watch is a frame for each event, four bytes of length and a WatchEvent { type 1, object 2 { raw 1 } } whose
 * raw bytes are an object in an envelope. A Table has no message, as upstream, and neither have kinds made at run time;
 * the metadata of those has. */
#include "apiserver/apiserver-internal.h"
#include "apiserver/media.h"
#include "codec/json.h"
#include "codec/pbwire.h"
#include "object/protobuf.h"

/* What clients may not be told in it. */
static bool protobuf_serves(const struct resource *r, const struct media_form *form)
{
	if (form->items == F_rows)
		return false;
	return form != &media_native || !r || protobuf_has(r->schema);
}

/* The type of an object or document. Some documents of discovery say none of their versions. */
static const struct schema *doc_type(const struct val *doc)
{
	struct sv version = val_get_str(doc, F_apiVersion);

	return protobuf_type(version.n ? version : SV("v1"), val_get_str(doc, F_kind));
}

static bool protobuf_encode(struct buf *b, const struct media_form *form, const struct obj *o)
{
	const struct schema *s =
	    form == &media_native ? doc_type(obj_root(o)) : schema_find(SV("meta/v1.PartialObjectMetadata"));

	if (!s)
		return false;
	protobuf_write(b, s, obj_root(o));
	return true;
}

/* What has no message is not asked for in protobuf; should it be answered nevertheless, it is JSON in the envelope,
 * which says so (protobuf_behind()). */
static void protobuf_make(struct buf *b, const struct val *doc, enum media_place place)
{
	const struct schema *s = doc_type(doc);

	(void)place;
	if (s)
		protobuf_write(b, s, doc);
	else
		json_encode(b, doc);
}

static void protobuf_head(struct buf *b, const struct media_part *p, size_t n)
{
	bool own = !p->form || p->form == &media_native;

	protobuf_envelope(b, own ? val_get_str(p->doc, F_apiVersion) : sv_from(p->form->version),
			  own ? val_get_str(p->doc, F_kind) : sv_from(p->form->as), n);
}

static struct sv protobuf_end(const struct media_part *p)
{
	if (p->form || doc_type(p->doc))
		return PROTOBUF_ENVELOPE_END;
	return SV("\x1a\0\x22\x10"
		  "application/json");
}

static struct sv protobuf_before(struct buf *b, struct media_part *p)
{
	_cleanup_(buf_release) struct buf envelope = BUF_INIT, raw = BUF_INIT;
	size_t n;

	if (p->place == MEDIA_ITEM) {
		pb_tag(b, 2, PB_BYTES);
		pb_varint(b, p->body.n);
		return buf_sv(b);
	}
	p->end = protobuf_end(p);
	if (p->place == MEDIA_ALONE) {
		protobuf_head(b, p, p->body.n);
		return buf_sv(b);
	}
	protobuf_head(&envelope, p, p->body.n);
	n = envelope.n + p->body.n + p->end.n;
	pb_tag(&raw, 1, PB_BYTES);
	pb_varint(&raw, n);
	pb_sv(b, 1, sv_from(media_event_name(p->event)));
	pb_tag(b, 2, PB_BYTES);
	pb_varint(b, raw.n + n);
	buf_addsv(b, buf_sv(&raw));
	buf_addsv(b, buf_sv(&envelope));
	return buf_sv(b);
}

static struct sv protobuf_behind(const struct media_part *p)
{
	return p->end;
}

static void protobuf_list_head(struct buf *b, const struct media_list *l)
{
	_cleanup_(buf_release) struct buf meta = BUF_INIT;
	size_t m = pb_open(&meta, 1);

	protobuf_write(&meta, schema_find(SV("meta/v1.ListMeta")), val_member(l->doc, F_metadata));
	pb_close(&meta, m);
	protobuf_envelope(b, val_get_str(l->doc, F_apiVersion), val_get_str(l->doc, F_kind), meta.n + (size_t)l->bytes);
	buf_addsv(b, buf_sv(&meta));
}

static void protobuf_list_tail(struct buf *b, const struct media_list *l)
{
	(void)l;
	buf_addsv(b, PROTOBUF_ENVELOPE_END);
}

static void protobuf_frame(struct buf *b, size_t n)
{
	const char head[] = { (char)(n >> 24), (char)(n >> 16), (char)(n >> 8), (char)n };

	buf_add(b, head, sizeof(head));
}

static const char *const protobuf_types[] = { PROTOBUF_MEDIA_TYPE, NULL };

const struct media media_protobuf = {
	.name = PROTOBUF_MEDIA_TYPE,
	.types = protobuf_types,
	.content_type = PROTOBUF_MEDIA_TYPE,
	.stream_type = PROTOBUF_MEDIA_TYPE ";stream=watch",
	.binary = true,
	.serves = protobuf_serves,
	.encode = protobuf_encode,
	.notes_bytes = true,
	.make = protobuf_make,
	.before = protobuf_before,
	.behind = protobuf_behind,
	.lists_docs = true,
	.list_head = protobuf_list_head,
	.list_tail = protobuf_list_tail,
	.frame = protobuf_frame,
};
