/* What decodes is written as text that decodes to the same, twice the same bytes. */
#include "base/arena.h"
#include "base/buf.h"
#include "codec/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(buf_release) struct buf once = BUF_INIT, twice = BUF_INIT, pretty = BUF_INIT;
	_cleanup_(err_release) struct err err = ERR_INIT;
	struct sv text = sv_make((const char *)data, size);
	struct json_opts borrow = { .borrow_text = true };
	struct val *v = json_decode(&a, text, NULL, &err), *again;

	BUG_ON((json_decode(&a, text, &borrow, NULL) != NULL) != (v != NULL));
	if (!v) {
		BUG_ON(err.reason != ERR_BAD_REQUEST);
		return 0;
	}
	json_encode(&once, v);
	again = json_decode(&a, buf_sv(&once), NULL, NULL);
	BUG_ON(!again || !val_equal(v, again) || !val_equal(v, val_clone(&a, v)));
	json_encode(&twice, again);
	/* "-0.0" is written as "-0", which is the integer 0: the bytes may differ there alone. */
	if (sv_find_sv(buf_sv(&once), SV("-0")) < 0)
		BUG_ON(!sv_eq(buf_sv(&once), buf_sv(&twice)));
	json_encode_indent(&pretty, v, 2);
	again = json_decode(&a, buf_sv(&pretty), NULL, NULL);
	BUG_ON(!again || !val_equal(v, again));
	return 0;
}
