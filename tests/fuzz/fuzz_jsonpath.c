/* A path of a printer column, and an object to follow it in: the input up to a newline, and what is behind. */
#include "base/arena.h"
#include "base/err.h"
#include "codec/json.h"
#include "object/jsonpath.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(err_release) struct err err = ERR_INIT;
	struct sv text = sv_make((const char *)data, size), path = text, rest = SV("");
	ssize_t line = sv_find(text, '\n');
	const struct jsonpath *p;
	const struct val *doc;

	if (line >= 0) {
		path = sv_sub(text, 0, (size_t)line);
		rest = sv_sub(text, (size_t)line + 1, text.n);
	}
	p = jsonpath_parse(&a, path, &err);
	BUG_ON(!p != (err.reason == ERR_BAD_REQUEST));
	doc = p ? json_decode(&a, rest, NULL, NULL) : NULL;
	if (doc)
		(void)jsonpath_first(p, doc);
	return 0;
}
