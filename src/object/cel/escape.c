/* Names of properties as expressions write them: what is no identifier is spelled out between double underscores. */
#include "object/cel/cel.h"
#include "object/cel/value_internal.h"

#include <stdio.h>

static const char *const escape_words[] = { "true",	"false",   "null",	"in",	    "as",  "break",  "const",
					    "continue", "else",	   "for",	"function", "if",  "import", "let",
					    "loop",	"package", "namespace", "return",   "var", "void",   "while" };

static const struct {
	struct sv is, as;
} escape_signs[] = {
#define S(a, b)                          \
	{                                \
		{ a, sizeof(a) - 1 },    \
		{                        \
			b, sizeof(b) - 1 \
		}                        \
	}
	S("__", "__underscores__"),
	S(".", "__dot__"),
	S("-", "__dash__"),
	S("/", "__slash__"),
#undef S
};

bool cel_reserved(struct sv name)
{
	for (size_t i = 0; i < ARRAY_LEN(escape_words); i++)
		if (sv_is(name, escape_words[i]))
			return true;
	return false;
}

static bool escape_plain(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

struct sv cel_escape(struct arena *a, struct sv p)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	bool changed = false;

	if (p.n == 0 || (p.p[0] >= '0' && p.p[0] <= '9'))
		return SV_NULL;
	if (cel_reserved(p))
		return arena_svf(a, "__%.*s__", SV_ARG(p));
	for (size_t i = 0; i < p.n;) {
		struct sv rest = sv_sub(p, i, p.n - i);
		size_t j = 0;

		while (j < ARRAY_LEN(escape_signs) && !sv_starts(rest, escape_signs[j].is))
			j++;
		if (j < ARRAY_LEN(escape_signs)) {
			buf_addsv(&b, escape_signs[j].as);
			i += escape_signs[j].is.n;
			changed = true;
		} else if (escape_plain(p.p[i])) {
			buf_addc(&b, p.p[i++]);
		} else {
			return SV_NULL;
		}
	}
	return changed ? arena_sv(a, buf_sv(&b)) : p;
}

bool cel_unescape(struct arena *a, struct sv name, struct sv *ret)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	if (name.n > 4 && sv_starts(name, SV("__")) && sv_ends(name, SV("__")) &&
	    cel_reserved(sv_sub(name, 2, name.n - 4))) {
		*ret = sv_sub(name, 2, name.n - 4);
		return true;
	}
	for (size_t i = 0; i < name.n;) {
		struct sv rest = sv_sub(name, i, name.n - i);
		size_t j = 0;

		if (!sv_starts(rest, SV("__"))) {
			buf_addc(&b, name.p[i++]);
			continue;
		}
		while (j < ARRAY_LEN(escape_signs) && !sv_starts(rest, escape_signs[j].as))
			j++;
		if (j == ARRAY_LEN(escape_signs))
			return false;
		buf_addsv(&b, escape_signs[j].is);
		i += escape_signs[j].as.n;
	}
	*ret = arena_sv(a, buf_sv(&b));
	return true;
}

/* Reserved words are fields in both spellings: as they are, and escaped. */
const struct cel_field *cel_field_of(const struct cel_type *t, struct sv name)
{
	const struct cel_field *f = cel_type_field(t, name);
	char escaped[32];
	int n;

	if (f || !cel_reserved(name))
		return f;
	n = snprintf(escaped, sizeof(escaped), "__%.*s__", SV_ARG(name));
	return cel_type_field(t, sv_make(escaped, (size_t)n));
}
