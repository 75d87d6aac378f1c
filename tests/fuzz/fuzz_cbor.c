/* A CBOR request body. What is read is a document that survives JSON, and written and read again it is the same. */
#include "codec/cbor.h"
#include "codec/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct budget values = BUDGET(doc_values_limit);
	struct arena a = ARENA_INIT;
	struct buf b = BUF_INIT, json = BUF_INIT;
	struct val *v = cbor_decode(&a, sv_make((const char *)data, size), &values, NULL), *again;

	if (v) {
		cbor_encode(&b, v);
		again = cbor_decode(&a, buf_sv(&b), NULL, NULL);
		BUG_ON(!again || !val_equal(v, again));
		json_encode(&json, v);
		BUG_ON(!json_valid(buf_sv(&json)));
	}
	buf_release(&b);
	buf_release(&json);
	arena_release(&a);
	return 0;
}
