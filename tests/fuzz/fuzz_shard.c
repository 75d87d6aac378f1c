/* A shard selector is refused as a bad request, or its words mean the same when they are read again. */
#include "base/arena.h"
#include "base/err.h"
#include "object/cel/shard.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(err_release) struct err err = ERR_INIT;
	const struct shards *s, *again;

	if (!size)
		return 0;
	s = shards_parse(&a, sv_make((const char *)data, size), &err);
	if (!s) {
		BUG_ON(err.reason != ERR_BAD_REQUEST);
		return 0;
	}
	again = shards_parse(&a, s->words, &err);
	BUG_ON(!again || again->n != s->n || again->field != s->field || !sv_eq(again->words, s->words));
	for (size_t i = 0; i < s->n; i++) {
		BUG_ON(s->ranges[i].first > s->ranges[i].last);
		BUG_ON(i && s->ranges[i].first <= s->ranges[i - 1].last);
		BUG_ON(again->ranges[i].first != s->ranges[i].first || again->ranges[i].last != s->ranges[i].last);
	}
	(void)shards_have(s, s->words);
	return 0;
}
