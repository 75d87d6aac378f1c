/* Formats of text, one function each. Ones that are numbers in disguise (isbn, creditcard) check their sums. */
#include "object/oas_format.h"

#include "base/arena.h"
#include "base/timefmt.h"
#include "object/quantity.h"
#include "object/url.h"
#include "object/validate.h"

#include <ctype.h>

struct oas_format {
	const char *name; /* without dashes */
	bool (*valid)(struct sv text);
};

static bool oas_is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool oas_is_hex(char c)
{
	return hex_value(c) >= 0;
}

static size_t count_from(struct sv s, size_t at, bool (*is)(char))
{
	size_t n = 0;

	while (at + n < s.n && is(s.p[at + n]))
		n++;
	return n;
}

static bool all_are(struct sv s, bool (*is)(char))
{
	return count_from(s, 0, is) == s.n;
}

/* --- numbers of things --- */

static bool oas_bsonobjectid(struct sv s)
{
	return s.n == 24 && all_are(s, oas_is_hex);
}

/* Groups of 8-4-4-4-12 with or without dashes; version: the first digit of the third group, strict: what the fourth may
 * begin with as well. */
static bool uuid_of(struct sv s, char version, bool strict)
{
	static const size_t groups[] = { 8, 4, 4, 4, 12 };
	size_t at = 0;

	for (size_t g = 0; g < ARRAY_LEN(groups); g++) {
		if (g && at < s.n && s.p[at] == '-')
			at++;
		if (s.n < at + groups[g] || !all_are(sv_sub(s, at, groups[g]), oas_is_hex))
			return false;
		if (g == 2 && version && s.p[at] != version)
			return false;
		if (g == 3 && strict && !strchr("89abAB", s.p[at]))
			return false;
		at += groups[g];
	}
	return at == s.n;
}

static bool oas_uuid(struct sv s)
{
	return uuid_of(s, 0, false);
}

static bool oas_uuid3(struct sv s)
{
	return uuid_of(s, '3', false);
}

static bool oas_uuid4(struct sv s)
{
	return uuid_of(s, '4', true);
}

static bool oas_uuid5(struct sv s)
{
	return uuid_of(s, '5', true);
}

/* Without spaces and dashes, or all but digits when only those count; more than max is SIZE_MAX. */
static size_t strip_to(struct sv s, bool digits, char *out, size_t max)
{
	size_t n = 0;

	for (size_t i = 0; i < s.n; i++) {
		if (digits ? !oas_is_digit(s.p[i]) : s.p[i] == '-' || strchr(" \t\n\f\r", s.p[i]) != NULL)
			continue;
		if (n == max)
			return SIZE_MAX;
		out[n++] = s.p[i];
	}
	return n;
}

static bool oas_isbn10(struct sv s)
{
	char d[10];
	unsigned sum = 0;

	if (strip_to(s, false, d, sizeof(d)) != sizeof(d))
		return false;
	for (unsigned i = 0; i < 10; i++) {
		if (!oas_is_digit(d[i]) && !(i == 9 && d[i] == 'X'))
			return false;
		sum += (i + 1) * (d[i] == 'X' ? 10 : (unsigned)(d[i] - '0'));
	}
	return sum % 11 == 0;
}

static bool oas_isbn13(struct sv s)
{
	char d[13];
	unsigned sum = 0;

	if (strip_to(s, false, d, sizeof(d)) != sizeof(d))
		return false;
	for (unsigned i = 0; i < 13; i++) {
		if (!oas_is_digit(d[i]))
			return false;
		sum += (i % 2 ? 3 : 1) * (unsigned)(d[i] - '0');
	}
	return sum % 10 == 0;
}

static bool oas_isbn(struct sv s)
{
	return oas_isbn10(s) || oas_isbn13(s);
}

/* The first digits of a card's number and how many it has. */
static bool card_known(unsigned first4, size_t n)
{
	unsigned first2 = first4 / 100, first3 = first4 / 10;

	if (first2 / 10 == 4)
		return n == 13 || n == 16;
	if ((first2 >= 51 && first2 <= 55) || (first4 >= 2221 && first4 <= 2720) || first4 == 6011 || first2 == 65)
		return n == 16;
	if (first2 == 34 || first2 == 37)
		return n == 15;
	if ((first3 >= 300 && first3 <= 305) || first2 == 36 || first2 == 38)
		return n == 14;
	if (first4 == 2131 || first4 == 1800)
		return n == 15;
	return (first2 == 35 || first2 == 62 || first2 == 67) && n == 16;
}

static bool oas_creditcard(struct sv s)
{
	char d[19];
	size_t n = strip_to(s, true, d, sizeof(d));
	unsigned first4 = 0, sum = 0;

	if (n == SIZE_MAX || n < 4)
		return false;
	for (size_t i = 0; i < 4; i++)
		first4 = first4 * 10 + (unsigned)(d[i] - '0');
	for (size_t i = 0; i < n; i++) {
		unsigned digit = (unsigned)(d[n - 1 - i] - '0') * (i % 2 ? 2 : 1);

		sum += digit > 9 ? digit - 9 : digit;
	}
	return sum % 10 == 0 && card_known(first4, n);
}

static bool oas_ssn(struct sv s)
{
	return s.n == 11 && all_are(sv_sub(s, 0, 3), oas_is_digit) && strchr("- ", s.p[3]) &&
	       all_are(sv_sub(s, 4, 2), oas_is_digit) && strchr("- ", s.p[6]) && all_are(sv_sub(s, 7, 4), oas_is_digit);
}

/* --- colours --- */

static bool oas_hexcolor(struct sv s)
{
	if (s.n && s.p[0] == '#')
		s = sv_sub(s, 1, s.n);
	return (s.n == 3 || s.n == 6) && all_are(s, oas_is_hex);
}

static bool oas_rgbcolor(struct sv s)
{
	struct sv rest, one;
	size_t n = 0;

	if (!sv_starts(s, SV("rgb(")) || !sv_ends(s, SV(")")))
		return false;
	for (rest = sv_sub(s, 4, s.n - 5); sv_split(&rest, ',', &one); n++) {
		int64_t value;

		one = sv_trim(one);
		if (!one.n || (one.p[0] == '0' && one.n > 1) || !all_are(one, oas_is_digit) ||
		    !sv_to_i64(one, &value) || value > 255)
			return false;
	}
	return n == 3;
}

/* --- text --- */

static bool is_base64(char c)
{
	return isalnum((unsigned char)c) || c == '+' || c == '/';
}

static bool oas_byte(struct sv s)
{
	size_t n = count_from(s, 0, is_base64);

	if (!s.n || s.n % 4 || s.n - n > 2)
		return false;
	for (; n < s.n; n++)
		if (s.p[n] != '=')
			return false;
	return true;
}

static bool oas_any(struct sv s)
{
	(void)s;
	return true;
}

/* --- times --- */

static bool oas_date(struct sv s)
{
	int64_t ns;

	return date_parse(s, &ns);
}

static bool two_digits(struct sv s, size_t at, unsigned max)
{
	return at + 2 <= s.n && oas_is_digit(s.p[at]) && oas_is_digit(s.p[at + 1]) &&
	       (unsigned)(s.p[at] - '0') * 10 + (unsigned)(s.p[at + 1] - '0') <= max;
}

/* "z", or how far from it. */
static bool is_zone(struct sv s)
{
	if (s.n == 1)
		return s.p[0] == 'z' || s.p[0] == 'Z';
	return s.n == 6 && (s.p[0] == '+' || s.p[0] == '-') && s.p[3] == ':' && two_digits(s, 1, 99) &&
	       two_digits(s, 4, 99);
}

static bool oas_datetime(struct sv s)
{
	ssize_t t = sv_find(s, 'T') >= 0 ? sv_find(s, 'T') : sv_find(s, 't');
	struct sv time;
	size_t at = 8;

	if (t < 0 || !oas_date(sv_sub(s, 0, (size_t)t)))
		return false;
	time = sv_sub(s, (size_t)t + 1, s.n);
	if (!two_digits(time, 0, 23) || !two_digits(time, 3, 59) || !two_digits(time, 6, 59) || time.p[2] != ':' ||
	    time.p[5] != ':')
		return false;
	/* any character may stand before a fraction */
	if (at < time.n && !is_zone(sv_sub(time, at, time.n)))
		at += 1 + count_from(time, at + 1, oas_is_digit);
	return is_zone(sv_sub(time, at, time.n));
}

/* Units as people write them; the last of a row may be the beginning of a word. */
static bool is_unit(struct sv s)
{
	static const char *const units[] = { "ns", "us", "\u00b5s", "ms", "s", "m", "h", "hr", "d", "w", "wk" };
	static const char *const words[] = { "nano", "micro", "milli", "sec", "min", "hour", "day", "week" };

	for (size_t i = 0; i < ARRAY_LEN(units); i++)
		if (sv_ieq(s, sv_from(units[i])))
			return true;
	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (sv_starts(s, sv_from(words[i])) || sv_ieq(s, sv_from(words[i])))
			return true;
	return false;
}

static bool is_unit_char(char c)
{
	return isalpha((unsigned char)c) || (unsigned char)c >= 0x80;
}

/* Go's, or anywhere a number with a unit. */
static bool oas_duration(struct sv s)
{
	int64_t ns;

	if (duration_parse(s, &ns))
		return true;
	for (size_t i = 0; i < s.n;) {
		size_t digits = count_from(s, i, oas_is_digit), at = i + digits, letters;

		while (digits && at < s.n && strchr(" \t\n\f\r", s.p[at]))
			at++;
		letters = digits ? count_from(s, at, is_unit_char) : 0;
		if (letters && is_unit(sv_sub(s, at, letters)))
			return true;
		i = digits ? at + letters : i + 1;
	}
	return false;
}

static bool oas_quantity(struct sv s)
{
	int64_t milli;

	return quantity_milli(s, &milli);
}

/* --- addresses --- */

static bool oas_ipv4(struct sv s)
{
	return fmt_ip(s) && sv_find(s, '.') >= 0;
}

static bool oas_ipv6(struct sv s)
{
	return fmt_ip(s) && sv_find(s, ':') >= 0;
}

/* Bytes between colons or dashes, or pairs of them between dots: of 48, 64 or 160 bits. */
static bool oas_mac(struct sv s)
{
	bool dots = s.n > 4 && s.p[4] == '.';
	size_t group = dots ? 4 : 2, bytes = 0;
	char between = s.n > group ? s.p[group] : '\0';

	if (between != ':' && between != '-' && between != '.')
		return false;
	for (size_t at = 0;; at += group + 1) {
		if (at + group > s.n || !all_are(sv_sub(s, at, group), oas_is_hex))
			return false;
		bytes += group / 2;
		if (at + group == s.n)
			break;
		if (s.p[at + group] != between || bytes > 20)
			return false;
	}
	return (bytes == 6 || bytes == 8 || bytes == 20) && (between != '.' || dots);
}

/* Letters, digits and symbols; all beyond ASCII are taken for such. Characters, not bytes, count. */
static size_t host_chars(struct sv s, size_t from, size_t max, bool dashes)
{
	size_t at = from, n = 0;

	while (at < s.n && (isalnum((unsigned char)s.p[at]) || (unsigned char)s.p[at] >= 0x80 ||
			    strchr("$+<=>^`|~", s.p[at]) || (dashes && s.p[at] == '-'))) {
		bool begins = ((unsigned char)s.p[at] & 0xc0) != 0x80;

		if (begins && n++ == max)
			break;
		at++;
	}
	return at - from;
}

/* Of several, and not the last. */
static bool host_label(struct sv s)
{
	return s.n && s.p[0] != '-' && s.p[s.n - 1] != '-' && host_chars(s, 0, 63, true) == s.n;
}

/* Two characters at least, dashes between any two of them. */
static bool host_top(struct sv s)
{
	size_t n = 0, at = 0;

	for (; at < s.n; n++) {
		if (n && s.p[at] == '-')
			at++;
		if (!host_chars(s, at, 1, false))
			return false;
		at += host_chars(s, at, 1, false);
	}
	return n >= 2 && n <= 63;
}

/* One alone: a dash may only be its second character. */
static bool host_single(struct sv s)
{
	size_t at = host_chars(s, 0, 1, false);

	if (!at)
		return false;
	at += at < s.n && s.p[at] == '-';
	return at + host_chars(s, at, 62, false) == s.n;
}

static bool oas_hostname(struct sv s)
{
	struct sv rest = s, label;

	if (!s.n || s.n > 255)
		return false;
	if (sv_find(s, '.') < 0)
		return s.n <= 63 && host_single(s);
	while (sv_split(&rest, '.', &label))
		if (label.n > 63 || !(rest.p ? host_label(label) : host_top(label)))
			return false;
	return true;
}

static bool is_atom(char c)
{
	return isalnum((unsigned char)c) || (unsigned char)c >= 0x80 || (c && strchr("!#$%&'*+-/=?^_`{|}~", c));
}

static bool dot_atom(struct sv s)
{
	struct sv rest = s, atom;

	while (sv_split(&rest, '.', &atom))
		if (!atom.n || !all_are(atom, is_atom))
			return false;
	return s.n > 0;
}

static bool quoted_local(struct sv s)
{
	if (s.n < 2 || s.p[0] != '"' || s.p[s.n - 1] != '"')
		return false;
	for (size_t i = 1; i + 1 < s.n; i++) {
		if (s.p[i] == '"' || (unsigned char)s.p[i] < 0x20)
			return false;
		i += s.p[i] == '\\';
	}
	return true;
}

/* An address, or a name and then one in angle brackets. */
static bool oas_email(struct sv s)
{
	struct sv address = sv_trim(s), local, domain;
	ssize_t at = -1, open;

	if (sv_ends(address, SV(">"))) {
		open = sv_find(address, '<');
		if (open < 0)
			return false;
		address = sv_sub(address, (size_t)open + 1, address.n - (size_t)open - 2);
	}
	for (size_t i = 0; i < address.n; i++)
		if (address.p[i] == '@')
			at = (ssize_t)i;
	if (at < 0)
		return false;
	local = sv_sub(address, 0, (size_t)at);
	domain = sv_sub(address, (size_t)at + 1, address.n);
	if (!dot_atom(local) && !quoted_local(local))
		return false;
	if (sv_starts(domain, SV("[")) && sv_ends(domain, SV("]")))
		return fmt_ip(sv_sub(domain, 1, domain.n - 2));
	return dot_atom(domain);
}

/* What Go takes for the target of a request. */
static bool oas_uri(struct sv s)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct url u;

	return url_parse_request(&a, s, &u, NULL);
}

static bool oas_short_name(struct sv s)
{
	return fmt_dns_label(s) == NULL;
}

static bool oas_long_name(struct sv s)
{
	return fmt_dns_subdomain(s) == NULL;
}

static const struct oas_format formats[] = {
	{ "bsonobjectid", oas_bsonobjectid },
	{ "byte", oas_byte },
	{ "cidr", fmt_cidr },
	{ "creditcard", oas_creditcard },
	{ "date", oas_date },
	{ "datetime", oas_datetime },
	{ "duration", oas_duration },
	{ "email", oas_email },
	{ "hexcolor", oas_hexcolor },
	{ "hostname", oas_hostname },
	{ "ipv4", oas_ipv4 },
	{ "ipv6", oas_ipv6 },
	{ "isbn", oas_isbn },
	{ "isbn10", oas_isbn10 },
	{ "isbn13", oas_isbn13 },
	{ "k8slongname", oas_long_name },
	{ "k8sshortname", oas_short_name },
	{ "mac", oas_mac },
	{ "password", oas_any },
	{ "quantity", oas_quantity },
	{ "rgbcolor", oas_rgbcolor },
	{ "ssn", oas_ssn },
	{ "uri", oas_uri },
	{ "uuid", oas_uuid },
	{ "uuid3", oas_uuid3 },
	{ "uuid4", oas_uuid4 },
	{ "uuid5", oas_uuid5 },
};

const struct oas_format *oas_format_find(struct sv name)
{
	char plain[16];
	size_t n = 0;

	for (size_t i = 0; i < name.n; i++) {
		if (name.p[i] == '-')
			continue;
		if (n == sizeof(plain))
			return NULL;
		plain[n++] = name.p[i];
	}
	for (size_t i = 0; i < ARRAY_LEN(formats); i++)
		if (sv_is(sv_make(plain, n), formats[i].name))
			return &formats[i];
	return NULL;
}

bool oas_format_valid(const struct oas_format *f, struct sv text)
{
	return f->valid(text);
}
