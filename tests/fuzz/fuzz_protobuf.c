/* A protobuf request body. What decodes must be a document that survives JSON and the typed decoder without tripping an
 * assertion; typed, it is written, and read again it is the same. */
#include "codec/json.h"
#include "object/decode.h"
#include "object/protobuf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void put_message(struct buf *b, const struct schema *s, const struct val *doc)
{
	struct buf raw = BUF_INIT;

	protobuf_write(&raw, s, doc);
	protobuf_envelope(b, val_get_str(doc, F_apiVersion), val_get_str(doc, F_kind), raw.n);
	buf_addsv(b, buf_sv(&raw));
	buf_addsv(b, PROTOBUF_ENVELOPE_END);
	buf_release(&raw);
}

static void round_trip(struct arena *a, const struct schema *s, const struct val *doc)
{
	struct val *typed = decode_typed(a, s, doc, NULL, NULL), *again;
	struct buf b = BUF_INIT, c = BUF_INIT;

	if (!typed)
		return;
	empty_to_null(a, s, typed);
	put_message(&b, s, typed);
	again = protobuf_decode(a, buf_sv(&b), SV(""), SV(""), NULL, NULL);
	BUG_ON(!again);
	again = decode_typed(a, s, again, NULL, NULL);
	BUG_ON(!again || !val_same(typed, again));
	put_message(&c, s, again);
	BUG_ON(!sv_eq(buf_sv(&b), buf_sv(&c)));
	buf_release(&b);
	buf_release(&c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena a = ARENA_INIT;
	struct buf b = BUF_INIT;
	struct val *doc = protobuf_decode(&a, sv_make((const char *)data, size), SV("v1"), SV("Pod"), NULL, NULL);
	const struct schema *s = doc ? protobuf_type(val_get_str(doc, F_apiVersion), val_get_str(doc, F_kind)) : NULL;

	if (doc) {
		BUG_ON(val_type(doc) != VAL_MAP || !val_get_str(doc, F_kind).n || !s);
		json_encode(&b, doc);
		BUG_ON(!json_valid(buf_sv(&b)));
		round_trip(&a, s, doc);
	}
	buf_release(&b);
	arena_release(&a);
	return 0;
}
