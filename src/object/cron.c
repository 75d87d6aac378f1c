/* See cron.h. Looking for the next time skips whole days, then hours, then minutes; every step is taken in UTC
 * and looked at in local time, so that changes of the offset need no special cases. */
#include "object/cron.h"
#include "base/timefmt.h"

#define DAY INT64_C(86400)
#define YEARS 5 /* the 29th of February comes within, but for 2096 to 2104 */

struct field {
	int64_t min, max;
	const char *names; /* three letters each, from min up; or NULL */
};

static const struct field fields[] = {
	{ 0, 59, NULL },
	{ 0, 23, NULL },
	{ 1, 31, NULL },
	{ 1, 12, "janfebmaraprmayjunjulaugsepoctnovdec" },
	{ 0, 6, "sunmontuewedthufrisat" },
};

static bool cron_value(const struct field *f, struct sv s, int64_t *ret)
{
	if (f->names && s.n == 3)
		for (int64_t i = 0; i <= f->max - f->min; i++) {
			const char *n = f->names + i * 3;

			if ((s.p[0] | 0x20) == n[0] && (s.p[1] | 0x20) == n[1] && (s.p[2] | 0x20) == n[2]) {
				*ret = f->min + i;
				return true;
			}
		}
	return s.n && s.p[0] != '-' && sv_to_i64(s, ret);
}

/* One of a list: *, ?, N, N-M, each with /STEP. */
static int range_parse(const struct field *f, struct sv text, uint64_t *bits, bool *any, struct err *err)
{
	struct sv step_text = text, range, from_text, to_text;
	int64_t from, to, step = 1;
	bool single = false, stepped;

	(void)sv_split(&step_text, '/', &range);
	stepped = step_text.p != NULL;
	to_text = range;
	(void)sv_split(&to_text, '-', &from_text);
	if (sv_is(range, "*") || sv_is(range, "?")) {
		from = f->min;
		to = f->max;
		*any = true;
	} else {
		if (!cron_value(f, from_text, &from))
			return err_set(err, ERR_INVALID, "failed to parse int from %.*s", SV_ARG(from_text));
		single = !to_text.p;
		to = from;
		if (!single && !cron_value(f, to_text, &to))
			return err_set(err, ERR_INVALID, "failed to parse int from %.*s", SV_ARG(to_text));
	}
	if (stepped) {
		if (!sv_to_i64(step_text, &step) || step < 0)
			return err_set(err, ERR_INVALID, "failed to parse int from %.*s", SV_ARG(step_text));
		if (step == 0)
			return err_set(err, ERR_INVALID, "step of range should be a positive number: %.*s",
				       SV_ARG(text));
		if (single)
			to = f->max; /* 5/15 means from 5 on */
		if (step > 1)
			*any = false;
	}
	if (from < f->min)
		return err_set(err, ERR_INVALID, "beginning of range (%" PRId64 ") below minimum (%" PRId64 "): %.*s",
			       from, f->min, SV_ARG(text));
	if (to > f->max)
		return err_set(err, ERR_INVALID, "end of range (%" PRId64 ") above maximum (%" PRId64 "): %.*s", to,
			       f->max, SV_ARG(text));
	if (from > to)
		return err_set(err, ERR_INVALID,
			       "beginning of range (%" PRId64 ") beyond end of range (%" PRId64 "): %.*s", from, to,
			       SV_ARG(text));
	for (int64_t i = from; i <= to; i += MIN(step, f->max + 1))
		*bits |= UINT64_C(1) << i;
	return 0;
}

static int field_parse(const struct field *f, struct sv text, uint64_t *bits, bool *any, struct err *err)
{
	struct sv one;

	while (sv_split(&text, ',', &one)) {
		bool is_any = false;

		if (one.n && range_parse(f, one, bits, &is_any, err) < 0)
			return -1;
		*any |= is_any;
	}
	return *bits ? 0 : err_set(err, ERR_INVALID, "empty field");
}

static int word_parse(struct sv s, struct cron *ret, struct err *err)
{
	static const struct {
		const char *word, *meaning;
	} words[] = {
		{ "@yearly", "0 0 1 1 *" }, { "@annually", "0 0 1 1 *" }, { "@monthly", "0 0 1 * *" },
		{ "@weekly", "0 0 * * 0" }, { "@daily", "0 0 * * *" },	  { "@midnight", "0 0 * * *" },
		{ "@hourly", "0 * * * *" },
	};
	int64_t ns;

	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (sv_is(s, words[i].word))
			return cron_parse(sv_from(words[i].meaning), ret, err);
	if (!sv_starts(s, SV("@every ")))
		return err_set(err, ERR_INVALID, "unrecognized descriptor: %.*s", SV_ARG(s));
	if (!duration_parse(sv_sub(s, 7, s.n), &ns)) {
		_cleanup_(buf_release) struct buf why = BUF_INIT;

		duration_why(&why, sv_sub(s, 7, s.n));
		return err_set(err, ERR_INVALID, "failed to parse duration %.*s: %s", SV_ARG(s), buf_cstr(&why));
	}
	ret->every_s = MAX(ns / NS_PER_SEC, 1);
	return 0;
}

int cron_parse(struct sv text, struct cron *ret, struct err *err)
{
	uint64_t *bits[] = { &ret->minute, &ret->hour, &ret->day, &ret->month, &ret->weekday };
	struct sv parts[ARRAY_LEN(fields)], rest = sv_trim(text);
	bool any[ARRAY_LEN(fields)] = { false };
	size_t n = 0;

	*ret = (struct cron){ 0 };
	if (!rest.n)
		return err_set(err, ERR_INVALID, "empty spec string");
	if (rest.p[0] == '@')
		return word_parse(rest, ret, err);
	for (; rest.n; n++) {
		size_t end = 0;

		while (end < rest.n && rest.p[end] != ' ' && rest.p[end] != '\t')
			end++;
		if (n < ARRAY_LEN(parts))
			parts[n] = sv_sub(rest, 0, end);
		rest = sv_trim(sv_sub(rest, end, rest.n));
	}
	if (n != ARRAY_LEN(fields))
		return err_set(err, ERR_INVALID, "expected exactly 5 fields, found %zu: [%.*s]", n,
			       SV_ARG(sv_trim(text)));
	for (size_t i = 0; i < ARRAY_LEN(fields); i++)
		if (field_parse(&fields[i], parts[i], bits[i], &any[i], err) < 0)
			return -1;
	ret->any_day = any[2];
	ret->any_weekday = any[4];
	return 0;
}

/* --- the next time --- */

static bool cron_has(uint64_t bits, int64_t i)
{
	return bits >> i & 1;
}

static bool day_matches(const struct cron *c, int64_t days)
{
	int64_t y, weekday = ((days + 4) % 7 + 7) % 7;
	unsigned m, d;
	bool by_day, by_weekday;

	time_civil(days, &y, &m, &d);
	if (!cron_has(c->month, m))
		return false;
	by_day = cron_has(c->day, d);
	by_weekday = cron_has(c->weekday, weekday);
	return c->any_day || c->any_weekday ? by_day && by_weekday : by_day || by_weekday;
}

/* The instant at which the local day after this one begins, or a minute on when there is no such instant. */
static int64_t next_midnight(const struct tz *tz, int64_t utc, int64_t days)
{
	int64_t midnight = (days + 1) * DAY, guess = midnight - tz_offset(tz, utc);

	guess = midnight - tz_offset(tz, guess);
	return MAX(guess, utc + 60);
}

int64_t cron_next(const struct cron *c, const struct tz *tz, int64_t after_ns)
{
	int64_t t = after_ns / NS_PER_SEC, end = t + YEARS * 366 * DAY;

	if (after_ns < 0)
		return 0;
	if (c->every_s)
		return t > INT64_MAX / NS_PER_SEC - c->every_s ? 0 : (t + c->every_s) * NS_PER_SEC;
	t = (t / 60 + 1) * 60;
	while (t < end && t < INT64_MAX / NS_PER_SEC) {
		int64_t local = t + tz_offset(tz, t), days = local / DAY - (local % DAY < 0),
			second = local - days * DAY;

		if (!day_matches(c, days))
			t = next_midnight(tz, t, days);
		else if (!cron_has(c->hour, second / 3600))
			t += 3600 - second % 3600;
		else if (second % 60 || !cron_has(c->minute, second % 3600 / 60))
			t += 60 - second % 60;
		else
			return t * NS_PER_SEC;
	}
	return 0;
}
