/* See tz.h. A TZif file lists the instants at which the offset changed and, as a last line, a rule for the time
 * after (POSIX TZ: "CET-1CEST,M3.5.0,M10.5.0/3"), which is all a file needs that is made "slim". */
#include "base/tz.h"
#include "base/file.h"
#include "base/timefmt.h"

#include <stdio.h>

#define ZONEINFO "/usr/share/zoneinfo/"
#define FILE_MAX ((size_t)1 << 20)
#define HEADER 44
#define DAY INT64_C(86400)

/* When in a year: the w-th (5: last) weekday d of month m, or a day of the year. */
struct rule {
	char kind; /* 'M', 'J' (1..365, no leap day), 'D' (0..365) */
	int month, week, day;
	int64_t time; /* seconds after local midnight */
};

struct tz {
	size_t n_changes, n_types;
	const uint8_t *changes; /* 8 bytes each, big endian, ascending */
	const uint8_t *types;	/* one byte each: index of the offset that holds from then on */
	const uint8_t *offsets; /* 6 bytes each: seconds (4), is it summer time, name */

	bool has_rule, has_dst;
	int64_t std, dst; /* offsets */
	struct rule from, to;
};

static int64_t be(const uint8_t *p, size_t n)
{
	uint64_t v = p[0] & 0x80 ? UINT64_MAX : 0;

	for (size_t i = 0; i < n; i++)
		v = v << 8 | p[i];
	return (int64_t)v;
}

/* --- the rule --- */

static bool tz_take(struct sv *s, char c)
{
	if (!s->n || s->p[0] != c)
		return false;
	*s = sv_sub(*s, 1, s->n);
	return true;
}

static bool tz_number(struct sv *s, int64_t max, int64_t *ret)
{
	int64_t n = 0;
	size_t i = 0;

	for (; i < s->n && s->p[i] >= '0' && s->p[i] <= '9'; i++) {
		n = n * 10 + (s->p[i] - '0');
		if (n > max)
			return false;
	}
	*s = sv_sub(*s, i, s->n);
	*ret = n;
	return i > 0;
}

/* [+-]hh[:mm[:ss]] in seconds. */
static bool clock_time(struct sv *s, int64_t *ret)
{
	bool minus = tz_take(s, '-');
	int64_t h, m = 0, sec = 0;

	if (!minus)
		(void)tz_take(s, '+');
	if (!tz_number(s, 167, &h) || (tz_take(s, ':') && !tz_number(s, 59, &m)) ||
	    (tz_take(s, ':') && !tz_number(s, 59, &sec)))
		return false;
	*ret = (minus ? -1 : 1) * (h * 3600 + m * 60 + sec);
	return true;
}

static bool zone_name(struct sv *s)
{
	size_t i = 0;

	if (tz_take(s, '<')) {
		ssize_t end = sv_find(*s, '>');

		if (end < 0)
			return false;
		*s = sv_sub(*s, (size_t)end + 1, s->n);
		return true;
	}
	while (i < s->n && ((s->p[i] >= 'A' && s->p[i] <= 'Z') || (s->p[i] >= 'a' && s->p[i] <= 'z')))
		i++;
	*s = sv_sub(*s, i, s->n);
	return i >= 3;
}

static bool rule_parse(struct sv *s, struct rule *r)
{
	int64_t m = 0, w = 0, d;

	*r = (struct rule){ .kind = 'D', .time = 7200 };
	if (tz_take(s, 'M')) {
		r->kind = 'M';
		if (!tz_number(s, 12, &m) || m < 1 || !tz_take(s, '.') || !tz_number(s, 5, &w) || w < 1 ||
		    !tz_take(s, '.') || !tz_number(s, 6, &d))
			return false;
	} else {
		if (tz_take(s, 'J'))
			r->kind = 'J';
		if (!tz_number(s, 365, &d) || (r->kind == 'J' && d < 1))
			return false;
	}
	r->month = (int)m;
	r->week = (int)w;
	r->day = (int)d;
	return !tz_take(s, '/') || clock_time(s, &r->time);
}

static bool footer_parse(struct tz *tz, struct sv s)
{
	if (!zone_name(&s) || !clock_time(&s, &tz->std))
		return false;
	tz->std = -tz->std; /* POSIX counts westwards */
	tz->has_rule = true;
	if (!s.n)
		return true;
	if (!zone_name(&s))
		return false;
	tz->dst = tz->std + 3600;
	if (s.n && s.p[0] != ',') {
		if (!clock_time(&s, &tz->dst))
			return false;
		tz->dst = -tz->dst;
	}
	tz->has_dst = true;
	return tz_take(&s, ',') && rule_parse(&s, &tz->from) && tz_take(&s, ',') && rule_parse(&s, &tz->to) && !s.n;
}

/* Seconds since 1970, local time, at which the rule strikes in the year. */
static int64_t strikes(const struct rule *r, int64_t year)
{
	bool leap = time_month_days(year, 2) == 29;
	int64_t day = time_days(year, 1, 1);

	if (r->kind == 'M') {
		unsigned len = time_month_days(year, (unsigned)r->month);
		int64_t first = time_days(year, (unsigned)r->month, 1), weekday = ((first + 4) % 7 + 7) % 7;
		int64_t d = (r->day - weekday + 7) % 7 + 7 * (int64_t)(r->week - 1);

		while (d >= (int64_t)len)
			d -= 7;
		day = first + d;
	} else if (r->kind == 'J') {
		day += r->day - 1 + (leap && r->day >= 60);
	} else {
		day += r->day;
	}
	return day * DAY + r->time;
}

static int64_t rule_offset(const struct tz *tz, int64_t utc)
{
	int64_t days = (utc + tz->std) / DAY - ((utc + tz->std) % DAY < 0), year, from, to;
	unsigned m, d;

	if (!tz->has_dst)
		return tz->std;
	time_civil(days, &year, &m, &d);
	from = strikes(&tz->from, year) - tz->std;
	to = strikes(&tz->to, year) - tz->dst;
	if (from < to)
		return utc >= from && utc < to ? tz->dst : tz->std;
	return utc >= to && utc < from ? tz->std : tz->dst; /* the southern half */
}

/* --- the file --- */

static int malformed(struct err *err)
{
	return err_set(err, ERR_INVALID, "malformed time zone information");
}

/* The sizes of one block: counts as in the header, times of width bytes. */
static size_t block_size(const uint8_t *h, size_t width)
{
	size_t utc = (size_t)be(h + 20, 4), std = (size_t)be(h + 24, 4), leap = (size_t)be(h + 28, 4);
	size_t times = (size_t)be(h + 32, 4), types = (size_t)be(h + 36, 4), chars = (size_t)be(h + 40, 4);

	if ((utc | std | leap | times | types | chars) > FILE_MAX)
		return SIZE_MAX;
	return times * width + times + types * 6 + chars + leap * (width + 4) + std + utc;
}

static int tz_parse_file(struct tz *tz, struct sv f, struct err *err)
{
	const uint8_t *h = (const uint8_t *)f.p;
	size_t width = 4, n;
	ssize_t end;

	if (f.n < HEADER || !sv_starts(f, SV("TZif")) || f.n > FILE_MAX)
		return malformed(err);
	n = block_size(h, 4);
	if (n > f.n - HEADER)
		return malformed(err);
	if (h[4] >= '2') { /* the first block is for readers of the first version */
		f = sv_sub(f, HEADER + n, f.n);
		h = (const uint8_t *)f.p;
		width = 8;
		if (f.n < HEADER || !sv_starts(f, SV("TZif")) || (n = block_size(h, 8)) > f.n - HEADER)
			return malformed(err);
	}
	if (width != 8)
		return malformed(err); /* nothing has made these for twenty years */
	tz->n_changes = (size_t)be(h + 32, 4);
	tz->n_types = (size_t)be(h + 36, 4);
	tz->changes = h + HEADER;
	tz->types = tz->changes + tz->n_changes * 8;
	tz->offsets = tz->types + tz->n_changes;
	if (!tz->n_types)
		return malformed(err);
	for (size_t i = 0; i < tz->n_changes; i++)
		if (tz->types[i] >= tz->n_types)
			return malformed(err);
	f = sv_sub(f, HEADER + n, f.n);
	if (!tz_take(&f, '\n') || (end = sv_find(f, '\n')) < 0)
		return malformed(err);
	f = sv_sub(f, 0, (size_t)end);
	return f.n && !footer_parse(tz, f) ? malformed(err) : 0;
}

const struct tz *tz_parse(struct arena *a, struct sv tzif, struct err *err)
{
	struct tz *tz = ARENA_NEW(a, struct tz);

	return tz_parse_file(tz, tzif, err) < 0 ? NULL : tz;
}

static bool name_ok(struct sv name)
{
	for (size_t i = 0; i < name.n; i++) {
		char c = name.p[i];

		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
		      c == '+' || c == '-' || (c == '/' && i > 0 && name.p[i - 1] != '/')))
			return false;
	}
	return name.n > 0 && name.n < 128;
}

const struct tz *tz_load(struct arena *a, struct sv name, struct err *err)
{
	_cleanup_(err_release) struct err why = ERR_INIT;
	const struct tz *tz = NULL;
	struct sv data;

	if (!name.n || sv_is(name, "UTC")) {
		struct tz *utc = ARENA_NEW(a, struct tz);

		utc->has_rule = true;
		return utc;
	}
	if (name_ok(name) && file_read(a, arena_printf(a, ZONEINFO "%.*s", SV_ARG(name)), FILE_MAX, &data, &why) == 0)
		tz = tz_parse(a, data, &why);
	if (!tz)
		err_set(err, ERR_INVALID, "unknown time zone %.*s", SV_ARG(name));
	return tz;
}

int64_t tz_offset(const struct tz *tz, int64_t utc)
{
	size_t lo = 0, hi;

	if (!tz)
		return 0;
	hi = tz->n_changes;
	/* How many changes are not after utc? */
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (be(tz->changes + mid * 8, 8) <= utc)
			lo = mid + 1;
		else
			hi = mid;
	}
	if (lo == tz->n_changes && tz->has_rule)
		return rule_offset(tz, utc);
	if (lo == 0) { /* before all of them: the first that is no summer time */
		for (size_t i = 0; i < tz->n_types; i++)
			if (!tz->offsets[i * 6 + 4])
				return be(tz->offsets + i * 6, 4);
		return be(tz->offsets, 4);
	}
	return be(tz->offsets + (size_t)tz->types[lo - 1] * 6, 4);
}
