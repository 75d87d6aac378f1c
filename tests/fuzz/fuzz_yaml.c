/* What decodes is written as YAML that decodes to the same; a stream splits into documents. */
#include "base/arena.h"
#include "base/buf.h"
#include "codec/json.h"
#include "codec/yaml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(buf_release) struct buf yaml = BUF_INIT, json = BUF_INIT;
	_cleanup_(err_release) struct err err = ERR_INIT;
	struct sv text = sv_make((const char *)data, size), rest = text, doc;
	struct val *v, *again;
	size_t total = 0;

	while (yaml_next_document(&rest, &doc))
		total += doc.n;
	BUG_ON(total > size);
	v = yaml_decode(&a, text, &err);
	if (!v) {
		BUG_ON(err.reason != ERR_BAD_REQUEST);
		return 0;
	}
	json_encode(&json, v);
	BUG_ON(!json_valid(buf_sv(&json)));
	yaml_encode(&yaml, v);
	again = yaml_decode(&a, buf_sv(&yaml), &err);
	BUG_ON(!again || !val_equal(v, again));
	return 0;
}
