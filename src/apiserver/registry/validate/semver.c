/* semver.c - versions as semver.org (2.0.0) has them. */
#include "apiserver/registry/validate/kinds-internal.h"

static bool semver_digits(struct sv s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] < '0' || s.p[i] > '9')
			return false;
	return s.n > 0;
}

/* Identifiers parted by dots; numbers: such ones do not begin with a zero. */
static bool semver_identifiers(struct sv s, bool numbers)
{
	for (bool more = true; more;) {
		ssize_t dot = sv_find(s, '.');
		struct sv part = dot < 0 ? s : sv_sub(s, 0, (size_t)dot);

		more = dot >= 0;
		s = more ? sv_sub(s, (size_t)dot + 1, s.n) : s;
		if (!part.n || (numbers && semver_digits(part) && part.n > 1 && part.p[0] == '0'))
			return false;
		for (size_t i = 0; i < part.n; i++) {
			char c = part.p[i], upper = (char)(c & ~0x20);

			if (!(upper >= 'A' && upper <= 'Z') && !(c >= '0' && c <= '9') && c != '-')
				return false;
		}
	}
	return true;
}

bool is_semver(struct sv s)
{
	ssize_t plus = sv_find(s, '+'), dash;

	if (plus >= 0 && !semver_identifiers(sv_sub(s, (size_t)plus + 1, s.n), false))
		return false;
	s = plus >= 0 ? sv_sub(s, 0, (size_t)plus) : s;
	dash = sv_find(s, '-');
	if (dash >= 0 && !semver_identifiers(sv_sub(s, (size_t)dash + 1, s.n), true))
		return false;
	s = dash >= 0 ? sv_sub(s, 0, (size_t)dash) : s;
	for (int i = 0; i < 3; i++) {
		ssize_t dot = sv_find(s, '.');
		struct sv part = i < 2 && dot >= 0 ? sv_sub(s, 0, (size_t)dot) : s;

		if ((i < 2 && dot < 0) || !semver_digits(part) || (part.n > 1 && part.p[0] == '0'))
			return false;
		s = i < 2 ? sv_sub(s, (size_t)dot + 1, s.n) : s;
	}
	return true;
}
