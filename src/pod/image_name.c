/* See image_name.h. */
#include "pod/image_name.h"

#define NAME_MAX_BYTES 255
#define TAG_MAX_BYTES 128

static bool image_name_is_lower(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static bool image_name_is_alnum(char c)
{
	return image_name_is_lower(c) || (c >= 'A' && c <= 'Z');
}

static bool is_hex(struct sv s, size_t n)
{
	for (size_t i = 0; i < s.n; i++)
		if (!((s.p[i] >= '0' && s.p[i] <= '9') || (s.p[i] >= 'a' && s.p[i] <= 'f')))
			return false;
	return s.n == n;
}

/* Lower case letters and digits, with one of ".", "_", "__" or any number of "-" between them. */
static bool component_ok(struct sv s)
{
	if (!s.n || !image_name_is_lower(s.p[0]) || !image_name_is_lower(s.p[s.n - 1]))
		return false;
	for (size_t i = 0, run; i < s.n; i += run) {
		run = 1;
		if (image_name_is_lower(s.p[i]))
			continue;
		if (s.p[i] != '.' && s.p[i] != '_' && s.p[i] != '-')
			return false;
		while (s.p[i + run] == s.p[i]) /* ends at the last character, which is none of these */
			run++;
		if (run > (s.p[i] == '-' ? s.n : s.p[i] == '_' ? 2 : 1) || !image_name_is_lower(s.p[i + run]))
			return false;
	}
	return true;
}

static bool path_ok(struct sv s)
{
	struct sv rest = s, part;

	if (!s.n || s.p[s.n - 1] == '/')
		return false;
	while (sv_split(&rest, '/', &part))
		if (!component_ok(part))
			return false;
	return true;
}

static bool label_ok(struct sv s)
{
	if (!s.n || s.p[0] == '-' || s.p[s.n - 1] == '-')
		return false;
	for (size_t i = 0; i < s.n; i++)
		if (!image_name_is_alnum(s.p[i]) && s.p[i] != '-')
			return false;
	return true;
}

/* A host name or [IPv6 address], perhaps with a port. */
static bool host_ok(struct sv s)
{
	ssize_t colon;
	struct sv rest, part, port = SV("1");

	if (s.n && s.p[0] == '[') {
		ssize_t end = sv_find(s, ']');

		for (ssize_t i = 1; i < end; i++)
			if (!is_hex(sv_sub(s, (size_t)i, 1), 1) && s.p[i] != ':' && !(s.p[i] >= 'A' && s.p[i] <= 'F'))
				return false;
		if (end < 2)
			return false;
		rest = sv_sub(s, (size_t)end + 1, s.n);
		if (!rest.n)
			return true;
		if (rest.p[0] != ':')
			return false;
		port = sv_sub(rest, 1, rest.n);
	} else {
		colon = sv_find(s, ':');
		if (colon >= 0) {
			port = sv_sub(s, (size_t)colon + 1, s.n);
			s = sv_sub(s, 0, (size_t)colon);
		}
		rest = s;
		if (!s.n || s.p[s.n - 1] == '.')
			return false;
		while (sv_split(&rest, '.', &part))
			if (!label_ok(part))
				return false;
	}
	for (size_t i = 0; i < port.n; i++)
		if (port.p[i] < '0' || port.p[i] > '9')
			return false;
	return port.n > 0;
}

static bool tag_ok(struct sv s)
{
	if (!s.n || s.n > TAG_MAX_BYTES || s.p[0] == '.' || s.p[0] == '-')
		return false;
	for (size_t i = 0; i < s.n; i++)
		if (!image_name_is_alnum(s.p[i]) && s.p[i] != '_' && s.p[i] != '.' && s.p[i] != '-')
			return false;
	return true;
}

static bool digest_ok(struct sv s)
{
	static const struct {
		const char *name;
		size_t hex;
	} known[] = { { "sha256:", 64 }, { "sha384:", 96 }, { "sha512:", 128 } };

	for (size_t i = 0; i < ARRAY_LEN(known); i++)
		if (sv_starts(s, sv_from(known[i].name)))
			return is_hex(sv_sub(s, strlen(known[i].name), s.n), known[i].hex);
	return false;
}

/* Index of the last c in s, or -1. */
static ssize_t rfind(struct sv s, char c)
{
	for (size_t i = s.n; i-- > 0;)
		if (s.p[i] == c)
			return (ssize_t)i;
	return -1;
}

/* The first component is a registry when it looks like a host: has a dot, a port or a capital, or is localhost. */
static bool looks_like_host(struct sv s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] == '.' || s.p[i] == ':' || (s.p[i] >= 'A' && s.p[i] <= 'Z'))
			return true;
	return sv_is(s, "localhost");
}

int image_normalize(struct arena *a, struct sv name, struct sv *ret, struct err *err)
{
	struct sv rest = name, digest = SV(""), tag = SV(""), host = SV("docker.io"), first;
	ssize_t at = sv_find(rest, '@'), colon, slash;

	if (is_hex(name, 64)) /* an image's id, not a name */
		goto bad;
	if (at >= 0) {
		digest = sv_sub(rest, (size_t)at + 1, rest.n);
		rest = sv_sub(rest, 0, (size_t)at);
		if (!digest_ok(digest))
			goto bad;
	}
	colon = rfind(rest, ':');
	slash = rfind(rest, '/');
	if (colon >= 0 && colon > slash) {
		tag = sv_sub(rest, (size_t)colon + 1, rest.n);
		rest = sv_sub(rest, 0, (size_t)colon);
		if (!tag_ok(tag))
			goto bad;
	}
	slash = sv_find(rest, '/');
	first = slash > 0 ? sv_sub(rest, 0, (size_t)slash) : SV_NULL;
	if (first.n && looks_like_host(first)) {
		host = sv_is(first, "index.docker.io") ? SV("docker.io") : first;
		rest = sv_sub(rest, (size_t)slash + 1, rest.n);
	}
	if (!host_ok(host) || !path_ok(rest) || host.n + 1 + rest.n > NAME_MAX_BYTES)
		goto bad;
	if (!tag.n && !digest.n)
		tag = SV("latest");
	*ret = arena_svf(a, "%.*s/%s%.*s%s%.*s%s%.*s", SV_ARG(host),
			 sv_is(host, "docker.io") && sv_find(rest, '/') < 0 ? "library/" : "", SV_ARG(rest),
			 tag.n ? ":" : "", SV_ARG(tag), digest.n ? "@" : "", SV_ARG(digest));
	return 0;
bad:
	return err_set(err, ERR_BAD_REQUEST, "couldn't parse image name \"%.*s\": invalid reference format",
		       SV_ARG(name));
}

bool image_is_latest(struct sv normalized)
{
	return sv_find(normalized, '@') < 0 && sv_ends(normalized, SV(":latest"));
}
