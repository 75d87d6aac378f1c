/* RE2 and Go's package have one author and one grammar; what little differs between RE2 of 2022 and Go of today is
 * found here, in one walk over the pattern that knows classes, escapes and quoted text and nothing else:
 *
 *	(?<name>x)	Go's since 1.22; RE2 reads (?P<name>x) only
 *	names		Go takes ASCII letters, digits and _; RE2 letters of all scripts
 *	\C		RE2's "one byte"; Go has no such thing
 *	depth		Go refuses what nests too deeply */
#include "base/utf8.h"
#include "re/re-internal.h"
#include "re/re.h"

#define SYNTAX_DEPTH_MAX 999

int re_refuse(struct err *err, const char *what, struct sv piece)
{
	return err_set(err, ERR_INVALID, "error parsing regexp: %s: `%.*s`", what, SV_ARG(piece));
}

static bool syntax_name(struct sv s)
{
	for (size_t i = 0; i < s.n; i++) {
		char c = ascii_lower(s.p[i]);

		if (c != '_' && !(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9'))
			return false;
	}
	return s.n > 0;
}

/* A named group at the beginning of s: how long its head is; 0: it is none; -1 refused. */
static ssize_t syntax_group(struct buf *out, struct sv s, struct err *err)
{
	size_t from = sv_starts(s, SV("(?P<")) && s.n > 4 ? 4 : sv_starts(s, SV("(?<")) && s.n > 3 ? 3 : 0;
	struct sv name;
	ssize_t end;

	if (from == 0)
		return 0;
	end = sv_find(s, '>');
	if (end < 0)
		return re_refuse(err, "invalid named capture", s);
	name = sv_sub(s, from, (size_t)end < from ? 0 : (size_t)end - from);
	if (!syntax_name(name))
		return re_refuse(err, "invalid named capture", sv_sub(s, 0, (size_t)end + 1));
	buf_adds(out, "(?P<");
	buf_addsv(out, name);
	buf_addc(out, '>');
	return end + 1;
}

/* The length of a class that begins s, its brackets included; what is not closed goes to the end. */
static size_t syntax_class(struct sv s)
{
	size_t i = 1;

	if (i < s.n && s.p[i] == '^')
		i++;
	if (i < s.n && s.p[i] == ']')
		i++;
	while (i < s.n && s.p[i] != ']') {
		ssize_t end = s.p[i] == '[' && i + 1 < s.n && s.p[i + 1] == ':'
				  ? sv_find_sv(sv_sub(s, i + 2, 16), SV(":]")) /* the longest name is xdigit */
				  : -1;

		i += end >= 0 ? (size_t)end + 4 : s.p[i] == '\\' && i + 1 < s.n ? 2 : 1;
	}
	return MIN(i + 1, s.n);
}

static size_t syntax_quoted(struct sv s)
{
	ssize_t end = sv_find_sv(s, SV("\\E"));

	return end < 0 ? s.n : (size_t)end + 2;
}

bool re_syntax(struct buf *out, struct sv pattern, struct err *err)
{
	size_t depth = 0, i = 0;

	if (!utf8_valid(pattern))
		return re_refuse(err, "invalid UTF-8", pattern) == 0;
	while (i < pattern.n) {
		struct sv rest = sv_sub(pattern, i, pattern.n - i);
		size_t step = 1;
		ssize_t head = 0;

		if (rest.p[0] == '\\' && rest.n > 1) {
			if (rest.p[1] == 'C')
				return re_refuse(err, "invalid escape sequence", sv_sub(rest, 0, 2)) == 0;
			step = rest.p[1] == 'Q' ? syntax_quoted(rest) : 2;
		} else if (rest.p[0] == '[') {
			step = syntax_class(rest);
		} else if (rest.p[0] == ')') {
			depth -= depth > 0;
		} else if (rest.p[0] == '(') {
			if (++depth > SYNTAX_DEPTH_MAX)
				return re_refuse(err, "expression nests too deeply", pattern) == 0;
			head = syntax_group(out, rest, err);
			if (head < 0)
				return false;
		}
		if (head == 0)
			buf_add(out, rest.p, step);
		i += head > 0 ? (size_t)head : step;
	}
	return true;
}
