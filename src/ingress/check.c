#include "ingress/check.h"

#include "gateway/texts.h"

_Static_assert(ING_VALUE_MAX == GW_TEXT_MAX, "one bound of values");

static bool check_alnum(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

static bool check_of(struct sv s, size_t max, const char *more)
{
	if (!s.n || s.n > max)
		return false;
	for (size_t i = 0; i < s.n; i++)
		if (!check_alnum(s.p[i]) && (!s.p[i] || !strchr(more, s.p[i])))
			return false;
	return true;
}

bool ing_is_host(struct sv s)
{
	return gw_is_host(s);
}

bool ing_is_token(struct sv s)
{
	return gw_is_name(s);
}

bool ing_is_user(struct sv s)
{
	return check_of(s, 64, "-_.@");
}

bool ing_is_value(struct sv s)
{
	return gw_is_text(s);
}

bool ing_is_url(struct sv s)
{
	return gw_is_url(s);
}

/* The text of a hash behind its settings: "salt$hash". */
static bool check_salted(struct sv s, size_t salt_max, size_t hash_n)
{
	ssize_t at = sv_find(s, '$');

	return at >= 0 && (size_t)at <= salt_max && s.n - (size_t)at - 1 == hash_n &&
	       (at == 0 || check_of(sv_sub(s, 0, (size_t)at), salt_max, "./")) &&
	       check_of(sv_sub(s, (size_t)at + 1, s.n), hash_n, "./");
}

bool ing_hash_is_apr1(struct sv s)
{
	return sv_starts(s, SV("$apr1$"));
}

const char *ing_hash_refused(struct sv s)
{
	static const char form[] = "a password's hash is not of its form";
	int64_t cost;

	if (ing_hash_is_apr1(s))
		return check_salted(sv_sub(s, 6, s.n), 8, 22) ? NULL : form;
	if (sv_starts(s, SV("$1$")))
		return check_salted(sv_sub(s, 3, s.n), 8, 22) ? NULL : form;
	if (sv_starts(s, SV("$5$")))
		return check_salted(sv_sub(s, 3, s.n), 16, 43) ? NULL : form;
	if (sv_starts(s, SV("$6$")))
		return check_salted(sv_sub(s, 3, s.n), 16, 86) ? NULL : form;
	if (sv_starts(s, SV("$2y$")) || sv_starts(s, SV("$2b$")) || sv_starts(s, SV("$2a$"))) {
		if (s.n != 60 || s.p[6] != '$' || !sv_to_i64(sv_sub(s, 4, 2), &cost) ||
		    !check_of(sv_sub(s, 7, s.n), 53, "./"))
			return form;
		return cost >= 4 && cost <= 10 ? NULL
					       : "bcrypt hashes of a cost above 10 take too long for each request";
	}
	return "passwords are hashes as htpasswd or openssl passwd -6 make them";
}

/* Printable, and no blank where there may be none. */
static bool check_printable(struct sv s, bool blanks)
{
	if (!s.n || s.p[0] == ' ' || s.p[s.n - 1] == ' ')
		return false;
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] < ' ' || s.p[i] > '~' || (s.p[i] == ' ' && !blanks))
			return false;
	return true;
}

/* Lines of printable text, none of them empty. */
static bool check_pem(struct sv s)
{
	struct sv line;

	if (s.n < 2 || s.p[s.n - 1] != '\n')
		return false;
	s.n--;
	while (sv_split(&s, '\n', &line))
		if (!check_printable(line, true))
			return false;
	return true;
}

bool ing_may_write(enum ing_place place, struct sv s)
{
	switch (place) {
	case ING_PLACE_KEY:
		return check_printable(s, false);
	case ING_PLACE_VALUE:
		return check_printable(s, true);
	case ING_PLACE_HOST:
		return gw_is_host(s);
	case ING_PLACE_NAME:
		return gw_is_name(s);
	case ING_PLACE_HEADER:
		return !gw_header_kept(s);
	case ING_PLACE_USER:
		return ing_is_user(s);
	case ING_PLACE_HASH:
		return !ing_hash_is_apr1(s) && !ing_hash_refused(s);
	case ING_PLACE_SERVER:
		return gw_is_host(s) && s.p[0] != '*';
	case ING_PLACE_PEM:
		return check_pem(s);
	}
	return false;
}

bool ing_path(struct arena *a, struct sv s, struct sv *ret)
{
	return gw_path(a, s, ret);
}
