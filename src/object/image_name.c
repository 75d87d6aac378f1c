/* image_name.c - one pass from the back (digest, tag), then the path's components from the front. */
#include "object/image_name.h"

#define NAME_MAX_BYTES 255
#define TAG_MAX 128
#define DIGEST_HEX_MIN 32
#define IDENTIFIER_HEX 64 /* so many digits alone are the id of an image, not a name */

static bool is_lower_or_digit(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static bool is_word(char c)
{
	return is_lower_or_digit(c) || (c >= 'A' && c <= 'Z') || c == '_';
}

static bool all_hex(struct sv s)
{
	for (size_t i = 0; i < s.n; i++)
		if (!((s.p[i] >= '0' && s.p[i] <= '9') || (s.p[i] >= 'a' && s.p[i] <= 'f') ||
		      (s.p[i] >= 'A' && s.p[i] <= 'F')))
			return false;
	return true;
}

static bool has_upper(struct sv s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] >= 'A' && s.p[i] <= 'Z')
			return true;
	return false;
}

static bool tag_ok(struct sv s)
{
	if (!s.n || s.n > TAG_MAX || !is_word(s.p[0]))
		return false;
	for (size_t i = 1; i < s.n; i++)
		if (!is_word(s.p[i]) && s.p[i] != '.' && s.p[i] != '-')
			return false;
	return true;
}

/* "sha256:" and hexadecimal digits; the algorithm may have parts. */
static bool digest_ok(struct sv s)
{
	ssize_t colon = sv_find(s, ':');
	bool start = true;
	struct sv hex;

	if (colon <= 0)
		return false;
	hex = sv_sub(s, (size_t)colon + 1, s.n);
	for (ssize_t i = 0; i < colon; i++) {
		bool letter = (s.p[i] >= 'a' && s.p[i] <= 'z') || (s.p[i] >= 'A' && s.p[i] <= 'Z');

		if (start ? !letter : !letter && !(s.p[i] >= '0' && s.p[i] <= '9') && !memchr("-_+.", s.p[i], 4))
			return false;
		start = memchr("-_+.", s.p[i], 4) != NULL;
	}
	return !start && hex.n >= DIGEST_HEX_MIN && all_hex(hex);
}

/* Letters and digits, parted by one '.', one or two '_', or any number of '-'. */
static bool component_ok(struct sv s)
{
	size_t i = 0;

	if (!s.n || !is_lower_or_digit(s.p[0]) || !is_lower_or_digit(s.p[s.n - 1]))
		return false;
	while (i < s.n) {
		size_t from = i;

		if (is_lower_or_digit(s.p[i])) {
			i++;
			continue;
		}
		if (!memchr("._-", s.p[i], 3))
			return false;
		while (i < s.n && s.p[i] == s.p[from])
			i++;
		if (!is_lower_or_digit(s.p[i]) || (s.p[from] == '.' && i - from > 1) ||
		    (s.p[from] == '_' && i - from > 2))
			return false;
	}
	return true;
}

static bool domain_ok(struct sv s)
{
	ssize_t colon;
	struct sv label;

	if (sv_starts(s, SV("["))) {
		ssize_t end = sv_find(s, ']');

		if (end < 2)
			return false;
		for (ssize_t i = 1; i < end; i++)
			if (s.p[i] != ':' && !all_hex(sv_sub(s, (size_t)i, 1)))
				return false;
		s = sv_sub(s, (size_t)end + 1, s.n);
		if (!s.n)
			return true;
		if (s.p[0] != ':')
			return false;
		colon = 0;
	} else {
		struct sv host;

		colon = sv_find(s, ':');
		host = colon < 0 ? s : sv_sub(s, 0, (size_t)colon);
		if (!host.n)
			return false;
		while (sv_split(&host, '.', &label)) {
			if (!label.n || label.p[0] == '-' || label.p[label.n - 1] == '-')
				return false;
			for (size_t i = 0; i < label.n; i++)
				if (label.p[i] == '_' || (!is_word(label.p[i]) && label.p[i] != '-'))
					return false;
		}
	}
	if (colon < 0)
		return true;
	s = sv_sub(s, (size_t)colon + 1, s.n);
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] < '0' || s.p[i] > '9')
			return false;
	return s.n > 0;
}

/* Is what stands before the first slash a registry? */
static bool is_domain(struct sv s)
{
	return sv_find(s, '.') >= 0 || sv_find(s, ':') >= 0 || sv_is(s, "localhost") || has_upper(s);
}

bool image_name_parse(struct sv image, struct sv *ret_tag)
{
	ssize_t at = sv_find(image, '@'), slash, colon = -1;
	struct sv rest = image, part, name;

	*ret_tag = SV("latest");
	if (image.n == IDENTIFIER_HEX && all_hex(image) && !has_upper(image))
		return false;
	if (at >= 0) {
		if (!digest_ok(sv_sub(image, (size_t)at + 1, image.n)))
			return false;
		*ret_tag = SV("");
		rest = sv_sub(image, 0, (size_t)at);
	}
	for (size_t i = 0; i < rest.n; i++) {
		if (rest.p[i] == ':')
			colon = (ssize_t)i;
		else if (rest.p[i] == '/')
			colon = -1;
	}
	name = colon < 0 ? rest : sv_sub(rest, 0, (size_t)colon);
	if (colon >= 0) {
		*ret_tag = sv_sub(rest, (size_t)colon + 1, rest.n);
		if (!tag_ok(*ret_tag))
			return false;
	}
	if (!name.n || name.n > NAME_MAX_BYTES)
		return false;
	slash = sv_find(name, '/');
	if (slash >= 0 && is_domain(sv_sub(name, 0, (size_t)slash))) {
		if (!domain_ok(sv_sub(name, 0, (size_t)slash)))
			return false;
		name = sv_sub(name, (size_t)slash + 1, name.n);
		if (!name.n)
			return false;
	}
	while (sv_split(&name, '/', &part))
		if (!component_ok(part))
			return false;
	return true;
}
