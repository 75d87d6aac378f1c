#include "object/semver.h"

#include "base/go_quote.h"

static bool semver_say(struct err *err, const char *what, struct sv about, const char *behind)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	buf_adds(&b, what);
	if (about.p)
		go_quote(&b, about);
	buf_adds(&b, behind);
	err_set(err, ERR_INVALID, "%s", buf_cstr(&b));
	return false;
}

static bool semver_numeric(struct sv s) /* "" as well: that is found to be no number later */
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] < '0' || s.p[i] > '9')
			return false;
	return true;
}

static bool semver_word(struct sv s)
{
	for (size_t i = 0; i < s.n; i++) {
		char c = ascii_lower(s.p[i]);

		if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') && c != '-')
			return false;
	}
	return true;
}

static bool semver_u64(struct sv s, uint64_t *ret, struct err *err)
{
	if (s.n && sv_to_u64(s, ret))
		return true;
	return semver_say(err, "strconv.ParseUint: parsing ", s.p ? s : SV(""),
			  s.n ? ": value out of range" : ": invalid syntax");
}

static bool semver_number(struct sv s, const char *bad, const char *zeros, uint64_t *ret, struct err *err)
{
	s = s.p ? s : SV("");
	if (!semver_numeric(s))
		return semver_say(err, bad, s, "");
	if (s.n > 1 && s.p[0] == '0')
		return semver_say(err, zeros, s, "");
	return semver_u64(s, ret, err);
}

static bool semver_pre(struct sv rest, struct err *err)
{
	struct sv one;
	uint64_t n;

	while (sv_split(&rest, '.', &one)) {
		if (one.n == 0)
			return semver_say(err, "Prerelease is empty", SV_NULL, "");
		if (semver_numeric(one)) {
			if (one.n > 1 && one.p[0] == '0')
				return semver_say(err, "Numeric PreRelease version must not contain leading zeroes ",
						  one, "");
			if (!semver_u64(one, &n, err))
				return false;
		} else if (!semver_word(one)) {
			return semver_say(err, "Invalid character(s) found in prerelease ", one, "");
		}
	}
	return true;
}

static bool semver_build(struct sv rest, struct err *err)
{
	struct sv one;

	while (sv_split(&rest, '.', &one)) {
		if (one.n == 0)
			return semver_say(err, "Build meta data is empty", SV_NULL, "");
		if (!semver_word(one))
			return semver_say(err, "Invalid character(s) found in build meta data ", one, "");
	}
	return true;
}

bool semver_parse(struct sv s, struct semver *ret, struct err *err)
{
	struct sv rest = s, major, minor, patch;
	ssize_t at;

	*ret = (struct semver){ 0 };
	if (s.n == 0)
		return semver_say(err, "Version string empty", SV_NULL, "");
	(void)sv_split(&rest, '.', &major);
	if (!rest.p || !sv_split(&rest, '.', &minor) || !rest.p)
		return semver_say(err, "No Major.Minor.Patch elements found", SV_NULL, "");
	if (!semver_number(major, "Invalid character(s) found in major number ",
			   "Major number must not contain leading zeroes ", &ret->major, err) ||
	    !semver_number(minor, "Invalid character(s) found in minor number ",
			   "Minor number must not contain leading zeroes ", &ret->minor, err))
		return false;
	patch = rest;
	at = sv_find(patch, '+');
	if (at >= 0) {
		ret->build = sv_sub(patch, (size_t)at + 1, patch.n);
		patch = sv_sub(patch, 0, (size_t)at);
	}
	at = sv_find(patch, '-');
	if (at >= 0) {
		ret->pre = sv_sub(patch, (size_t)at + 1, patch.n);
		patch = sv_sub(patch, 0, (size_t)at);
	}
	return semver_number(patch, "Invalid character(s) found in patch number ",
			     "Patch number must not contain leading zeroes ", &ret->patch, err) &&
	       (!ret->pre.p || semver_pre(ret->pre, err)) && (!ret->build.p || semver_build(ret->build, err));
}

bool semver_parse_loosely(struct arena *a, struct sv s, struct semver *ret, struct err *err)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	struct sv rest = sv_starts(s, SV("v")) ? sv_sub(s, 1, s.n) : s;
	size_t parts = 0;

	rest = rest.p ? rest : SV("");
	while (parts < 3 && rest.p) {
		struct sv part = rest;

		if (parts < 2)
			(void)sv_split(&rest, '.', &part);
		else
			rest = SV_NULL;
		parts++;
		if (!rest.p && parts < 3 && (sv_find(part, '+') >= 0 || sv_find(part, '-') >= 0))
			return semver_say(err, "short version cannot contain PreRelease/Build meta data", SV_NULL, "");
		if (part.n > 1) {
			while (part.n && part.p[0] == '0')
				part = sv_sub(part, 1, part.n);
			if (part.n == 0 || part.p[0] < '0' || part.p[0] > '9')
				buf_addc(&b, '0');
		}
		buf_addsv(&b, part);
		if (parts < 3)
			buf_addc(&b, '.');
	}
	for (; parts < 3; parts++)
		buf_adds(&b, parts < 2 ? "0." : "0");
	return semver_parse(arena_sv(a, buf_sv(&b)), ret, err);
}

static int semver_order(uint64_t a, uint64_t b)
{
	return a < b ? -1 : a > b;
}

/* Numbers by their value and before words, words by their bytes, fewer of them first. */
static int semver_pre_cmp(struct sv a, struct sv b)
{
	struct sv x, y;

	for (;;) {
		bool more_a = sv_split(&a, '.', &x), more_b = sv_split(&b, '.', &y);
		bool num_a, num_b;
		uint64_t i = 0, j = 0;
		int c;

		if (!more_a || !more_b)
			return (int)more_a - (int)more_b;
		num_a = sv_to_u64(x, &i);
		num_b = sv_to_u64(y, &j);
		c = num_a && num_b ? semver_order(i, j) : num_a != num_b ? (num_a ? -1 : 1) : sv_cmp(x, y);
		if (c)
			return c < 0 ? -1 : 1;
	}
}

int semver_cmp(const struct semver *a, const struct semver *b)
{
	int c = semver_order(a->major, b->major);

	c = c ? c : semver_order(a->minor, b->minor);
	c = c ? c : semver_order(a->patch, b->patch);
	if (c || (!a->pre.p && !b->pre.p))
		return c;
	if (!a->pre.p || !b->pre.p)
		return a->pre.p ? -1 : 1;
	return semver_pre_cmp(a->pre, b->pre);
}
