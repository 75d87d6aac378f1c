/* A protobuf request body. What decodes must be a document that survives JSON and the typed
 * decoder without tripping an assertion. */
#include "codec/json.h"
#include "object/decode.h"
#include "object/protobuf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena a = ARENA_INIT;
	struct buf b = BUF_INIT;
	struct val *doc = protobuf_decode(&a, sv_make((const char *)data, size), NULL, NULL);

	if (doc) {
		BUG_ON(val_type(doc) != VAL_MAP || !val_get_str(doc, F_kind).n);
		json_encode(&b, doc);
		BUG_ON(!json_valid(buf_sv(&b)));
		for (size_t i = 0; schema_all[i]; i++)
			if (schema_all[i]->root && sv_ends(sv_from(schema_all[i]->ref), val_get_str(doc, F_kind))) {
				(void)decode_typed(&a, schema_all[i], doc, NULL, NULL);
				break;
			}
	}
	buf_release(&b);
	arena_release(&a);
	return 0;
}
