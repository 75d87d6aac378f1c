/* Patches of all three kinds on a Pod: input is the patch, chosen by its first byte. */
#include "codec/json.h"
#include "object/patch.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char pod[] =
    "{\"metadata\":{\"name\":\"p\",\"labels\":{\"a\":\"1\"},\"finalizers\":[\"a/a\",\"b/b\"]},\"spec\":{\"containers\":"
    "[{\"name\":\"c\",\"image\":\"i\",\"env\":[{\"name\":\"X\",\"value\":\"1\"}]},{\"name\":\"d\"}],\"volumes\":"
    "[{\"name\":\"v\",\"emptyDir\":{}}],\"tolerations\":[{\"key\":\"k\"}]},\"status\":{\"conditions\":[{\"type\":"
    "\"Ready\"}]}}";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(err_release) struct err err = ERR_INIT;
	const struct val *doc = json_decode(&a, sv_from(pod), NULL, NULL), *copy = val_clone(&a, doc), *patch;
	struct val *out;

	if (size < 1 || size > 65536)
		return 0;
	patch = json_decode(&a, sv_make((const char *)data + 1, size - 1), NULL, NULL);
	if (!patch)
		return 0;
	switch (data[0]) {
	case 'j':
		out = patch_json(&a, doc, patch, &err);
		break;
	case 'm':
		out = patch_merge(&a, doc, patch, &err);
		break;
	default:
		out = patch_strategic(&a, schema_find(SV("core/v1.Pod")), doc, patch, &err);
	}
	/* Fails with a reason or succeeds without; never changes what it was given. */
	if ((out == NULL) != (err.reason != ERR_NONE) || !val_equal(doc, copy))
		abort();
	if (out) {
		_cleanup_(buf_release) struct buf b = BUF_INIT;

		json_encode(&b, out);
	}
	return 0;
}
