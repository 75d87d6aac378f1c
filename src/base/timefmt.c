#include "base/timefmt.h"

/* By shifting the year to start in March, so that the leap day comes last. */
int64_t time_days(int64_t y, unsigned m, unsigned d)
{
	int64_t era;
	unsigned yoe, doy, doe;

	y -= m <= 2;
	era = (y >= 0 ? y : y - 399) / 400;
	yoe = (unsigned)(y - era * 400);
	doy = (153 * (m > 2 ? m - 3 : m + 9) + 2) / 5 + d - 1;
	doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;
	return era * 146097 + (int64_t)doe - 719468;
}

void time_civil(int64_t z, int64_t *y, unsigned *m, unsigned *d)
{
	int64_t era;
	unsigned doe, yoe, doy, mp;

	z += 719468;
	era = (z >= 0 ? z : z - 146096) / 146097;
	doe = (unsigned)(z - era * 146097);
	yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
	mp = (5 * doy + 2) / 153;
	*d = doy - (153 * mp + 2) / 5 + 1;
	*m = mp < 10 ? mp + 3 : mp - 9;
	*y = (int64_t)yoe + era * 400 + (*m <= 2);
}

unsigned time_month_days(int64_t y, unsigned m)
{
	static const unsigned char days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };

	if (m == 2 && (y % 4 == 0 && (y % 100 != 0 || y % 400 == 0)))
		return 29;
	return days[m - 1];
}

/* n digits of v at p; what comes behind them. */
static char *put_digits(char *p, unsigned v, int n)
{
	for (int i = n; i-- > 0; v /= 10)
		p[i] = (char)('0' + v % 10);
	return p + n;
}

/* By hand and not by printf: every write of an object has times in it. */
struct sv time_format_sec(int64_t sec, unsigned ns, bool micro, char out[TIME_TEXT_MAX])
{
	int64_t day = sec / 86400, y;
	unsigned m, d, s;
	char *p;

	if (sec % 86400 < 0)
		day--;
	s = (unsigned)(sec - day * 86400);
	time_civil(day, &y, &m, &d);
	p = put_digits(out, (unsigned)y, 4);
	*p++ = '-';
	p = put_digits(p, m, 2);
	*p++ = '-';
	p = put_digits(p, d, 2);
	*p++ = 'T';
	p = put_digits(p, s / 3600, 2);
	*p++ = ':';
	p = put_digits(p, s / 60 % 60, 2);
	*p++ = ':';
	p = put_digits(p, s % 60, 2);
	if (micro) {
		*p++ = '.';
		p = put_digits(p, ns / 1000, 6);
	}
	*p++ = 'Z';
	*p = '\0';
	return sv_make(out, (size_t)(p - out));
}

struct sv time_format(int64_t ns, bool micro, char out[TIME_TEXT_MAX])
{
	int64_t sec = ns / NS_PER_SEC, rest = ns % NS_PER_SEC;

	if (rest < 0) {
		rest += NS_PER_SEC;
		sec--;
	}
	return time_format_sec(sec, (unsigned)rest, micro, out);
}

/* Exactly n digits at the front of *s. */
static bool take_digits(struct sv *s, size_t n, unsigned *ret)
{
	unsigned v = 0;

	if (s->n < n)
		return false;
	for (size_t i = 0; i < n; i++) {
		if (s->p[i] < '0' || s->p[i] > '9')
			return false;
		v = v * 10 + (unsigned)(s->p[i] - '0');
	}
	*s = sv_sub(*s, n, s->n);
	*ret = v;
	return true;
}

static bool take_char(struct sv *s, char c)
{
	if (s->n == 0 || s->p[0] != c)
		return false;
	*s = sv_sub(*s, 1, s->n);
	return true;
}

/* One step of a layout: what stands there and how Go's layouts write it. */
enum step { YEAR, MONTH, DAY, HOUR, MINUTE, SECOND, MICROS, ZONE, N_STEPS };

static const struct {
	const char *before, *layout, *range; /* range: of a number beyond max */
	unsigned digits, max;
} steps[N_STEPS] = {
	[YEAR] = { "", "2006", NULL, 4, 9999 },
	[MONTH] = { "-", "01", "month out of range", 2, 12 },
	[DAY] = { "-", "02", NULL, 2, 99 },
	[HOUR] = { "T", "15", "hour out of range", 2, 23 },
	[MINUTE] = { ":", "04", "minute out of range", 2, 59 },
	[SECOND] = { ":", "05", "second out of range", 2, 59 },
	[MICROS] = { "", ".000000", NULL, 6, 999999 },
	[ZONE] = { "", "Z07:00", NULL, 0, 0 },
};

/* Why s is not the time that was asked for, in the words of Go's time.ParseError. */
struct complaint {
	struct buf *b; /* NULL: nobody asks */
	struct sv s;
	bool micro;
};

/* As package time quotes, which is not as %q does: what is not ASCII is told byte by byte. */
static void time_quote(struct buf *b, struct sv s)
{
	buf_addc(b, '"');
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];

		if (c < ' ' || c >= 0x80) {
			buf_printf(b, "\\x%02x", c);
			continue;
		}
		if (c == '"' || c == '\\')
			buf_addc(b, '\\');
		buf_addc(b, (char)c);
	}
	buf_addc(b, '"');
}

static bool not_read(const struct complaint *c, struct sv rest, const char *as)
{
	if (!c->b)
		return false;
	buf_adds(c->b, "parsing time ");
	time_quote(c->b, c->s);
	buf_printf(c->b, " as \"2006-01-02T15:04:05%sZ07:00\": cannot parse ", c->micro ? ".000000" : "");
	time_quote(c->b, rest);
	buf_printf(c->b, " as \"%s\"", as);
	return false;
}

static bool not_possible(const struct complaint *c, const char *what)
{
	if (!c->b)
		return false;
	buf_adds(c->b, "parsing time ");
	time_quote(c->b, c->s);
	buf_printf(c->b, ": %s", what);
	return false;
}

static bool take_point(struct sv *s)
{
	return take_char(s, '.') || take_char(s, ',');
}

/* Any number of digits behind a point, if they are there: nine count. */
static unsigned take_fraction(struct sv *s)
{
	struct sv rest = *s;
	unsigned digit, frac = 0, scale = 100000000;

	if (!take_point(&rest) || !take_digits(&rest, 1, &digit))
		return 0;
	do {
		frac += digit * scale;
		scale /= 10;
	} while (take_digits(&rest, 1, &digit));
	*s = rest;
	return frac;
}

static bool take_zone(struct sv *s, int64_t *ret_east, const struct complaint *c)
{
	struct sv rest = *s;
	unsigned h, m;
	bool west;

	*ret_east = 0;
	if (take_char(s, 'Z'))
		return true;
	west = take_char(&rest, '-');
	if ((!west && !take_char(&rest, '+')) || !take_digits(&rest, 2, &h) || !take_char(&rest, ':') ||
	    !take_digits(&rest, 2, &m))
		return not_read(c, *s, steps[ZONE].layout);
	if (h > 24)
		return not_possible(c, "time zone offset hour out of range");
	if (m > 60)
		return not_possible(c, "time zone offset minute out of range");
	*s = rest;
	*ret_east = (west ? -1 : 1) * (int64_t)(h * 3600 + m * 60);
	return true;
}

bool time_parse_why(struct sv s, bool micro, int64_t *ret_sec, unsigned *ret_ns, struct buf *why)
{
	const struct complaint c = { .b = why, .s = s, .micro = micro };
	unsigned v[N_STEPS] = { 0 }, frac = 0;
	int64_t t, east;

	for (enum step i = YEAR; i <= (micro ? MICROS : SECOND); i++) {
		struct sv hold;

		if (*steps[i].before && !take_char(&s, *steps[i].before))
			return not_read(&c, s, steps[i].before);
		hold = s;
		/* One digit is an hour, too. */
		if ((i == MICROS && !take_point(&s)) ||
		    (!take_digits(&s, steps[i].digits, &v[i]) && !(i == HOUR && take_digits(&s, 1, &v[i]))))
			return not_read(&c, hold, steps[i].layout);
		if (steps[i].range && (v[i] > steps[i].max || (i == MONTH && !v[i])))
			return not_possible(&c, steps[i].range);
		if (i == SECOND && !micro)
			frac = take_fraction(&s);
	}
	if (!take_zone(&s, &east, &c))
		return false;
	if (s.n) {
		if (why) {
			(void)not_possible(&c, "extra text: ");
			time_quote(why, s);
		}
		return false;
	}
	if (v[DAY] < 1 || v[DAY] > time_month_days(v[YEAR], v[MONTH]))
		return not_possible(&c, "day out of range");
	t = time_days(v[YEAR], v[MONTH], v[DAY]) * 86400 + v[HOUR] * 3600 + v[MINUTE] * 60 + v[SECOND] - east;
	*ret_sec = t;
	*ret_ns = micro ? v[MICROS] * 1000 : frac;
	if (t < TIME_SEC_MIN || t > TIME_SEC_MAX)
		return not_possible(&c, "year is not in the range 1 to 9999");
	return true;
}

bool time_parse_sec(struct sv s, int64_t *ret_sec, unsigned *ret_ns)
{
	return time_parse_why(s, false, ret_sec, ret_ns, NULL);
}

bool time_parse(struct sv s, int64_t *ret_ns)
{
	int64_t sec, t;
	unsigned ns;

	if (!time_parse_sec(s, &sec, &ns))
		return false;
	if (__builtin_mul_overflow(sec, NS_PER_SEC, &t) || __builtin_add_overflow(t, (int64_t)ns, &t))
		t = sec < 0 ? INT64_MIN : INT64_MAX;
	*ret_ns = t;
	return true;
}

struct sv date_format(int64_t ns, char out[DATE_TEXT_MAX])
{
	char text[TIME_TEXT_MAX];
	struct sv day = sv_sub(time_format(ns, false, text), 0, sizeof("2026-01-02") - 1);

	memcpy(out, day.p, day.n);
	out[day.n] = '\0';
	return sv_make(out, day.n);
}

bool date_parse(struct sv s, int64_t *ret_ns)
{
	char text[TIME_TEXT_MAX];

	if (s.n != sizeof("2026-01-02") - 1)
		return false;
	memcpy(text, s.p, s.n);
	memcpy(text + s.n, "T00:00:00Z", sizeof("T00:00:00Z"));
	return time_parse(sv_from(text), ret_ns);
}

static bool take_unit(struct sv *s, int64_t *ret)
{
	static const struct {
		const char *name;
		int64_t ns;
	} units[] = {
		{ "ns", 1 },	     { "us", NS_PER_US }, { "\302\265s", NS_PER_US }, { "\316\274s", NS_PER_US },
		{ "ms", NS_PER_MS }, { "s", NS_PER_SEC }, { "m", 60 * NS_PER_SEC },   { "h", 3600 * NS_PER_SEC },
	};

	for (size_t i = 0; i < ARRAY_LEN(units); i++) {
		struct sv u = sv_from(units[i].name);

		/* "m" must not eat the front of "ms": the longer one comes first. */
		if (sv_starts(*s, u)) {
			*s = sv_sub(*s, u.n, s->n);
			*ret = units[i].ns;
			return true;
		}
	}
	return false;
}

bool duration_parse(struct sv s, int64_t *ret_ns)
{
	int64_t total = 0; /* below zero, where the longest has room that it lacks above */
	bool neg = take_char(&s, '-');

	if (!neg)
		(void)take_char(&s, '+');
	if (sv_is(s, "0")) {
		*ret_ns = 0;
		return true;
	}
	if (s.n == 0)
		return false;
	while (s.n) {
		int64_t whole = 0, unit, part;
		double frac = 0, scale = 0.1;
		unsigned digit;
		bool any = false;

		while (take_digits(&s, 1, &digit)) {
			any = true;
			if (__builtin_mul_overflow(whole, (int64_t)10, &whole) ||
			    __builtin_add_overflow(whole, (int64_t)digit, &whole))
				return false;
		}
		if (take_char(&s, '.'))
			while (take_digits(&s, 1, &digit)) {
				any = true;
				frac += digit * scale;
				scale /= 10;
			}
		if (!any || !take_unit(&s, &unit) || __builtin_mul_overflow(whole, unit, &part) ||
		    __builtin_add_overflow(part, (int64_t)(frac * (double)unit + 0.5), &part) ||
		    __builtin_sub_overflow(total, part, &total))
			return false;
	}
	if (!neg && __builtin_sub_overflow((int64_t)0, total, &total))
		return false;
	*ret_ns = total;
	return true;
}

static bool is_digit(struct sv s, size_t i)
{
	return i < s.n && s.p[i] >= '0' && s.p[i] <= '9';
}

/* How long the number is with which s begins; 0: it begins with none. */
static size_t number_length(struct sv s)
{
	size_t n = 0, point;

	while (is_digit(s, n))
		n++;
	if (n == s.n || s.p[n] != '.')
		return n;
	for (point = n++; is_digit(s, n);)
		n++;
	return n > 1 || point ? n : 0;
}

void duration_why(struct buf *b, struct sv s)
{
	struct sv rest = s;

	if (!take_char(&rest, '-'))
		(void)take_char(&rest, '+');
	for (size_t number; (number = number_length(rest)) > 0;) {
		struct sv unit, left;
		size_t n = 0;
		int64_t ns;

		rest = sv_sub(rest, number, rest.n);
		while (n < rest.n && rest.p[n] != '.' && !is_digit(rest, n))
			n++;
		unit = left = sv_sub(rest, 0, n);
		rest = sv_sub(rest, n, rest.n);
		if (n && take_unit(&left, &ns) && !left.n)
			continue;
		buf_adds(b, n ? "time: unknown unit " : "time: missing unit");
		if (n)
			time_quote(b, unit);
		buf_adds(b, " in duration ");
		time_quote(b, s);
		return;
	}
	buf_adds(b, "time: invalid duration ");
	time_quote(b, s);
}

/* v / 10^digits with trailing zeros dropped: "1.5", "3". */
static void add_decimal(struct buf *b, uint64_t v, unsigned digits)
{
	uint64_t scale = 1, frac;

	for (unsigned i = 0; i < digits; i++)
		scale *= 10;
	buf_addu64(b, v / scale);
	frac = v % scale;
	if (!frac)
		return;
	while (frac % 10 == 0) {
		frac /= 10;
		digits--;
	}
	buf_printf(b, ".%0*" PRIu64, (int)digits, frac);
}

void duration_format(struct buf *b, int64_t ns)
{
	uint64_t v = ns < 0 ? 0 - (uint64_t)ns : (uint64_t)ns;
	uint64_t sec = v / (uint64_t)NS_PER_SEC;

	if (v == 0) {
		buf_adds(b, "0s");
		return;
	}
	if (ns < 0)
		buf_addc(b, '-');
	if (v < 1000) {
		buf_printf(b, "%" PRIu64 "ns", v);
	} else if (v < 1000000) {
		add_decimal(b, v, 3);
		buf_adds(b, "\302\265s");
	} else if (v < 1000000000) {
		add_decimal(b, v, 6);
		buf_adds(b, "ms");
	} else {
		if (sec >= 3600)
			buf_printf(b, "%" PRIu64 "h", sec / 3600);
		if (sec >= 60)
			buf_printf(b, "%" PRIu64 "m", sec / 60 % 60);
		add_decimal(b, v % (60 * (uint64_t)NS_PER_SEC), 9);
		buf_addc(b, 's');
	}
}

/* The bounds are those of apimachinery's duration.HumanDuration. */
void duration_human(struct buf *b, int64_t ns)
{
	int64_t s = ns / NS_PER_SEC, m = s / 60, h = m / 60, d = h / 24;

	if (s < -1)
		buf_adds(b, "<invalid>");
	else if (s < 0)
		buf_adds(b, "0s");
	else if (s < 120)
		buf_printf(b, "%" PRId64 "s", s);
	else if (m < 10 && s % 60)
		buf_printf(b, "%" PRId64 "m%" PRId64 "s", m, s % 60);
	else if (m < 180)
		buf_printf(b, "%" PRId64 "m", m);
	else if (h < 8 && m % 60)
		buf_printf(b, "%" PRId64 "h%" PRId64 "m", h, m % 60);
	else if (h < 48)
		buf_printf(b, "%" PRId64 "h", h);
	else if (h < 192 && h % 24)
		buf_printf(b, "%" PRId64 "d%" PRId64 "h", d, h % 24);
	else if (d < 365 * 2)
		buf_printf(b, "%" PRId64 "d", d);
	else if (d < 365 * 8 && d % 365)
		buf_printf(b, "%" PRId64 "y%" PRId64 "d", d / 365, d % 365);
	else
		buf_printf(b, "%" PRId64 "y", d / 365);
}
