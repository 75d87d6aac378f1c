/* formats.c - the text formats of API fields, matched by hand.
 *
 * Each answers with the sentence upstream's validation puts into the field error, since
 * clients (and people) search for those. The expressions named in the texts are matched
 * here directly: they run for every label of every object written.
 */
#include "base/ip.h"
#include "object/validate.h"

#define LABEL_RE "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
#define QUALIFIED_RE "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
#define SUBDOMAIN_MSG                                                                                              \
	"a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must " \
	"start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is "          \
	"'" LABEL_RE "(\\." LABEL_RE ")*')"
#define QUALIFIED_MSG                                                                                            \
	"must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric " \
	"character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '" QUALIFIED_RE "')"

static bool fmt_is_lower(char c)
{
	return c >= 'a' && c <= 'z';
}

static bool fmt_is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool fmt_is_alnum(char c)
{
	return fmt_is_lower(c) || fmt_is_digit(c) || (c >= 'A' && c <= 'Z');
}

/* LABEL_RE without the length limit. */
static bool label_shape(struct sv s)
{
	if (s.n == 0 || s.p[0] == '-' || s.p[s.n - 1] == '-')
		return false;
	for (size_t i = 0; i < s.n; i++)
		if (!fmt_is_lower(s.p[i]) && !fmt_is_digit(s.p[i]) && s.p[i] != '-')
			return false;
	return true;
}

static bool subdomain_shape(struct sv s)
{
	struct sv label;

	if (s.n == 0)
		return false;
	while (sv_split(&s, '.', &label))
		if (!label_shape(label))
			return false;
	return true;
}

/* QUALIFIED_RE: letters and digits at both ends, "-_." allowed between. */
static bool qualified_shape(struct sv s)
{
	if (s.n == 0 || !fmt_is_alnum(s.p[0]) || !fmt_is_alnum(s.p[s.n - 1]))
		return false;
	for (size_t i = 0; i < s.n; i++)
		if (!fmt_is_alnum(s.p[i]) && !memchr("-_.", s.p[i], 3))
			return false;
	return true;
}

/* --- formats that can be missed in more than one way: every sentence that applies, as upstream lists them --- */

struct msgs {
	const char **list;
	size_t n;
};

static void fmt_say(struct msgs *m, const char *msg)
{
	if (m->n < FMT_MSGS_MAX)
		m->list[m->n++] = msg;
}

static void dns_label(struct sv s, struct msgs *m)
{
	if (s.n > 63)
		fmt_say(m, "must be no more than 63 bytes");
	if (label_shape(s))
		return;
	if (subdomain_shape(s))
		fmt_say(m, "must not contain dots");
	else
		fmt_say(
		    m, "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must "
		       "start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for "
		       "validation is '" LABEL_RE "')");
}

static void dns_subdomain(struct sv s, struct msgs *m)
{
	if (s.n > 253)
		fmt_say(m, "must be no more than 253 bytes");
	if (!subdomain_shape(s))
		fmt_say(m, SUBDOMAIN_MSG);
}

static void dns1035_label(struct sv s, struct msgs *m)
{
	if (s.n > 63)
		fmt_say(m, "must be no more than 63 bytes");
	if (!label_shape(s) || !fmt_is_lower(s.p[0]))
		fmt_say(m,
			"a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an "
			"alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', "
			"regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')");
}

static void wildcard_subdomain(struct sv s, struct msgs *m)
{
	if (s.n > 253)
		fmt_say(m, "must be no more than 253 bytes");
	if (!sv_starts(s, SV("*.")) || !subdomain_shape(sv_sub(s, 2, s.n)))
		fmt_say(
		    m,
		    "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must "
		    "consist of lower case alphanumeric characters, '-' or '.' and end with an alphanumeric character "
		    "(e.g. '*.example.com', regex used for validation is '\\*\\." LABEL_RE "(\\." LABEL_RE ")*')");
}

static void qualified_name(struct sv s, struct msgs *m)
{
	ssize_t slash = sv_find(s, '/');
	struct sv name = s;

	if (slash >= 0) {
		struct sv prefix = sv_sub(s, 0, (size_t)slash);

		name = sv_sub(s, (size_t)slash + 1, s.n);
		if (sv_find(name, '/') >= 0) {
			fmt_say(m, "a qualified name " QUALIFIED_MSG
				   " with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')");
			return;
		}
		if (prefix.n == 0) {
			fmt_say(m, "prefix part must be non-empty");
		} else {
			if (prefix.n > 253)
				fmt_say(m, "prefix part must be no more than 253 bytes");
			if (!subdomain_shape(prefix))
				fmt_say(m, "prefix part " SUBDOMAIN_MSG);
		}
	}
	if (name.n == 0)
		fmt_say(m, "name part must be non-empty");
	else if (name.n > 63)
		fmt_say(m, "name part must be no more than 63 bytes");
	if (!qualified_shape(name))
		fmt_say(m, "name part " QUALIFIED_MSG);
}

static void label_value(struct sv s, struct msgs *m)
{
	if (s.n > 63)
		fmt_say(m, "must be no more than 63 bytes");
	if (s.n && !qualified_shape(s))
		fmt_say(m,
			"a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', "
			"and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or "
			"'12345', regex used for validation is '(" QUALIFIED_RE ")?')");
}

static void port_name(struct sv s, struct msgs *m)
{
	bool letter = false, charset = s.n > 0;

	for (size_t i = 0; i < s.n; i++) {
		charset &= fmt_is_lower(s.p[i]) || fmt_is_digit(s.p[i]) || s.p[i] == '-';
		letter |= fmt_is_lower(s.p[i]);
	}
	if (s.n > 15)
		fmt_say(m, "must be no more than 15 bytes");
	if (!charset)
		fmt_say(m, "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)");
	if (!letter)
		fmt_say(m, "must contain at least one letter (a-z)");
	if (sv_find_sv(s, SV("--")) >= 0)
		fmt_say(m, "must not contain consecutive hyphens");
	if (s.n && (s.p[0] == '-' || s.p[s.n - 1] == '-'))
		fmt_say(m, "must not begin or end with a hyphen");
}

static void path_segment(struct sv s, struct msgs *m)
{
	if (sv_is(s, ".")) {
		fmt_say(m, "may not be '.'");
		return;
	}
	if (sv_is(s, "..")) {
		fmt_say(m, "may not be '..'");
		return;
	}
	if (sv_find(s, '/') >= 0)
		fmt_say(m, "may not contain '/'");
	if (sv_find(s, '%') >= 0)
		fmt_say(m, "may not contain '%'");
}

/* A key becomes a file name in a volume: it must not climb out of its directory. */
static void config_key(struct sv s, struct msgs *m)
{
	bool ok = s.n > 0;

	for (size_t i = 0; i < s.n; i++)
		ok &= fmt_is_alnum(s.p[i]) || memchr("-._", s.p[i], 3);
	if (s.n > 253)
		fmt_say(m, "must be no more than 253 bytes");
	if (!ok)
		fmt_say(
		    m, "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  "
		       "or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')");
	if (sv_is(s, "."))
		fmt_say(m, "must not be '.'");
	else if (sv_is(s, ".."))
		fmt_say(m, "must not be '..'");
	else if (sv_starts(s, SV("..")))
		fmt_say(m, "must not start with '..'");
}

#define FIRST_OF(name)                            \
	const char *fmt_##name(struct sv s)       \
	{                                         \
		const char *list[FMT_MSGS_MAX];   \
		struct msgs m = { .list = list }; \
                                                  \
		name(s, &m);                      \
		return m.n ? list[0] : NULL;      \
	}
FIRST_OF(dns_label)
FIRST_OF(dns_subdomain)
FIRST_OF(dns1035_label)
FIRST_OF(wildcard_subdomain)
FIRST_OF(qualified_name)
FIRST_OF(label_value)
FIRST_OF(port_name)
FIRST_OF(path_segment)
FIRST_OF(config_key)

size_t fmt_all(fmt_fn *fmt, struct sv s, const char *ret[FMT_MSGS_MAX])
{
	static const struct {
		fmt_fn *first;
		void (*all)(struct sv s, struct msgs *m);
	} several[] = {
		{ fmt_dns_label, dns_label },		{ fmt_dns_subdomain, dns_subdomain },
		{ fmt_dns1035_label, dns1035_label },	{ fmt_wildcard_subdomain, wildcard_subdomain },
		{ fmt_qualified_name, qualified_name }, { fmt_label_value, label_value },
		{ fmt_port_name, port_name },		{ fmt_path_segment, path_segment },
		{ fmt_config_key, config_key },
	};
	struct msgs m = { .list = ret };
	const char *msg;

	for (size_t i = 0; i < ARRAY_LEN(several); i++) {
		if (several[i].first != fmt)
			continue;
		several[i].all(s, &m);
		return m.n;
	}
	msg = fmt(s);
	if (msg)
		fmt_say(&m, msg);
	return m.n;
}

/* The relaxed form that v1.34 made the rule: anything printable but '='. */
const char *fmt_env_name(struct sv s)
{
	if (s.n == 0)
		return "environment variable name must be non-empty";
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] < 0x20 || s.p[i] > 0x7e || s.p[i] == '=')
			return "a valid environment variable name must consist only of printable ASCII characters "
			       "other than '='";
	return NULL;
}

const char *fmt_http_header(struct sv s)
{
	bool ok = s.n > 0;

	for (size_t i = 0; i < s.n; i++)
		ok &= fmt_is_alnum(s.p[i]) || s.p[i] == '-';
	return ok ? NULL
		  : "a valid HTTP header must consist of alphanumeric characters or '-' (e.g. 'X-Header-Name', regex "
		    "used for validation is '[-A-Za-z0-9]+')";
}

const char *fmt_percent(struct sv s)
{
	bool ok = s.n > 1 && s.p[s.n - 1] == '%';

	for (size_t i = 0; ok && i + 1 < s.n; i++)
		ok = fmt_is_digit(s.p[i]);
	return ok ? NULL
		  : "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', "
		    "regex used for validation is '[0-9]+%')";
}

bool fmt_ip_bytes(struct sv s, uint8_t ret[16], bool *ret_v6)
{
	uint8_t bytes[16] = { 0 };
	size_t n = ip_bytes(s, bytes);

	if (!n)
		return false;
	memcpy(ret, bytes, sizeof(bytes));
	*ret_v6 = n == sizeof(bytes);
	return true;
}

bool fmt_ip(struct sv s)
{
	uint8_t bytes[16];
	bool v6;

	return fmt_ip_bytes(s, bytes, &v6);
}

bool fmt_cidr_parts(struct sv s, uint8_t ret[16], bool *ret_v6, int *ret_bits)
{
	ssize_t slash = sv_find(s, '/');
	struct sv bits;
	int64_t n;

	if (slash < 0 || !fmt_ip_bytes(sv_sub(s, 0, (size_t)slash), ret, ret_v6))
		return false;
	bits = sv_sub(s, (size_t)slash + 1, s.n);
	/* As net.ParseCIDR: plain digits, no sign, no leading zero. */
	if (bits.n == 0 || bits.n > 3 || !fmt_is_digit(bits.p[0]) || (bits.n > 1 && bits.p[0] == '0'))
		return false;
	if (!sv_to_i64(bits, &n) || n > (*ret_v6 ? 128 : 32))
		return false;
	*ret_bits = (int)n;
	return true;
}

bool fmt_cidr(struct sv s)
{
	uint8_t bytes[16];
	bool v6;
	int bits;

	return fmt_cidr_parts(s, bytes, &v6, &bits);
}

/* Unspecified, loopback and link-local addresses name no other host. */
const char *fmt_nonspecial_ip(struct sv s)
{
	static const uint8_t zero[16], loop6[16] = { [15] = 1 }, mapped[12] = { [10] = 0xff, [11] = 0xff };
	uint8_t b[16];
	bool v6;

	if (!fmt_ip_bytes(s, b, &v6))
		return "must be a valid IP address";
	/* ::ffff:127.0.0.1 is 127.0.0.1, whatever it is written as. */
	if (v6 && memcmp(b, mapped, sizeof(mapped)) == 0) {
		memmove(b, b + sizeof(mapped), 4);
		v6 = false;
	}
	if (memcmp(b, zero, v6 ? 16 : 4) == 0)
		return "may not be unspecified (0.0.0.0 or ::)";
	if (v6 ? memcmp(b, loop6, 16) == 0 : b[0] == 127)
		return "may not be in the loopback range (127.0.0.0/8, ::1/128)";
	if (v6 ? b[0] == 0xfe && (b[1] & 0xc0) == 0x80 : b[0] == 169 && b[1] == 254)
		return "may not be in the link-local range (169.254.0.0/16, fe80::/10)";
	if (v6 ? b[0] == 0xff && (b[1] & 0x0f) == 2 : b[0] == 224 && b[1] == 0 && b[2] == 0)
		return "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)";
	return NULL;
}
