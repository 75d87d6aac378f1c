/* A label selector's text parses to a selector with the same text. */
#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "object/selector.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(buf_release) struct buf once = BUF_INIT, twice = BUF_INIT;
	_cleanup_(err_release) struct err err = ERR_INIT, ferr = ERR_INIT;
	struct sv text = sv_make((const char *)data, size);
	const struct selector *s = selector_parse(&a, text, &err), *again;
	const struct field_selector *fs = field_selector_parse(&a, text, &ferr);

	BUG_ON(!fs && ferr.reason != ERR_BAD_REQUEST);
	if (!s) {
		BUG_ON(err.reason != ERR_BAD_REQUEST);
		return 0;
	}
	selector_matches(s, NULL);
	selector_format(&once, s);
	again = selector_parse(&a, buf_sv(&once), &err);
	BUG_ON(!again);
	selector_format(&twice, again);
	BUG_ON(!sv_eq(buf_sv(&once), buf_sv(&twice)));
	return 0;
}
