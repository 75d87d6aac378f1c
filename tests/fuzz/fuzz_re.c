/* A pattern, a line end, a text: what is found is in the text, in order, and a whole match is a match. */
#include "base/buf.h"
#include "re/re.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_(err_release) struct err err = ERR_INIT;
	_cleanup_(re_unrefp) struct re *re = NULL;
	struct sv text = sv_make((const char *)data, MIN(size, 4096)), pattern = SV_NULL, at;
	struct sv found[RE_GROUPS_MAX + 1];
	bool plain = false;
	size_t n = 0, steps;

	re_cache_clear();
	sv_split(&text, '\n', &pattern);
	if (re_compile(pattern, &re, &err) < 0) {
		BUG_ON(re_plain(pattern));
		BUG_ON(err.reason != ERR_INVALID || !sv_starts(sv_from(err_msg(&err)), SV("error parsing regexp: ")));
		return 0;
	}
	BUG_ON(re_plain_match(pattern, text, &plain, &steps) && plain != re_match(re, text));
	at = text;
	for (struct re_all all = RE_ALL(re, text); re_all_next(&all); n++) {
		BUG_ON(text.n && (all.match.p < at.p || all.match.p + all.match.n > text.p + text.n));
		at.p = all.match.p + all.match.n;
	}
	BUG_ON(n > text.n + 1 || (n > 0) != re_match(re, text));
	BUG_ON(re_match_whole(re, text) && n == 0);
	BUG_ON(re_find(re, text, 0, found, ARRAY_LEN(found)) != (n > 0));
	for (size_t i = 0; n > 0 && i < ARRAY_LEN(found); i++)
		BUG_ON(text.n && found[i].p && (found[i].p < text.p || found[i].p + found[i].n > text.p + text.n));
	return 0;
}
