/* application/cbor, while its feature is on: what is said in JSON, as CBOR (codec/cbor.h). Each object begins with the
 * tag that says so, also within an event; a watch is a sequence of items, application/cbor-seq. */
#include "apiserver/apiserver-internal.h"
#include "apiserver/media.h"
#include "codec/cbor.h"

static void media_cbor_make(struct buf *b, const struct val *doc, enum media_place place)
{
	if (place != MEDIA_ITEM)
		buf_addsv(b, CBOR_SELF);
	cbor_encode(b, doc);
}

static struct sv media_cbor_before(struct buf *b, struct media_part *p)
{
	if (p->place != MEDIA_EVENT)
		return SV("");
	buf_addsv(b, CBOR_SELF);
	cbor_map_head(b, 2);
	cbor_string(b, SV("type"));
	cbor_string(b, sv_from(media_event_name(p->event)));
	cbor_string(b, SV("object"));
	return buf_sv(b);
}

static void media_cbor_list_head(struct buf *b, const struct media_list *l)
{
	buf_addsv(b, CBOR_SELF);
	cbor_map_head(b, val_len(l->doc));
	VAL_EACH_MEMBER(l->doc, m) {
		if (m.sym == l->items)
			continue;
		cbor_string(b, m.key);
		cbor_encode(b, m.value);
	}
	cbor_string(b, sym_name(l->items));
	cbor_list_head(b, l->n);
}

static void media_cbor_list_tail(struct buf *b, const struct media_list *l)
{
	(void)b;
	(void)l;
}

static const char *const media_cbor_types[] = { "application/cbor", "application/cbor-seq", NULL };

const struct media media_cbor = {
	.name = "application/cbor",
	.types = media_cbor_types,
	.content_type = "application/cbor",
	.stream_type = "application/cbor-seq",
	.binary = true,
	.make = media_cbor_make,
	.before = media_cbor_before,
	.lists_docs = true,
	.list_head = media_cbor_list_head,
	.list_tail = media_cbor_list_tail,
};
