/* What timestamps and durations consist of. */
#include "object/cel/eval.h"
#include "object/cel/std.h"

#include "base/timefmt.h"
#include "base/tz.h"

enum time_part {
	T_YEAR,
	T_MONTH,
	T_DAY_OF_YEAR,
	T_DAY_OF_MONTH,
	T_DATE,
	T_DAY_OF_WEEK,
	T_HOURS,
	T_MINUTES,
	T_SECONDS,
	T_MILLIS
};

/* Reading a zone is reading a file. */
#define TIME_ZONE_WORK 2000

static bool time_atoi(struct sv s, int64_t *ret)
{
	if (s.n > 1 && s.p[0] == '+')
		s = sv_sub(s, 1, s.n - 1);
	return s.n <= 6 && sv_to_i64(s, ret);
}

static int time_bad_number(struct cel_call *c, struct sv s)
{
	return cel_fail(c, "strconv.Atoi: parsing \"%.*s\": invalid syntax", SV_ARG(s));
}

/* "+02:00", or the name of a zone: how far it is from UTC at that moment. */
static int time_zone(struct cel_call *c, struct sv zone, int64_t utc, int64_t *offset)
{
	_cleanup_(arena_release) struct arena tmp = ARENA_INIT;
	ssize_t colon = sv_find(zone, ':');
	const struct tz *tz;
	int64_t h, m;

	if (colon >= 0) {
		struct sv hours = sv_sub(zone, 0, (size_t)colon), minutes = sv_sub(zone, (size_t)colon + 1, zone.n);

		if (!time_atoi(hours, &h))
			return time_bad_number(c, hours);
		if (!time_atoi(minutes, &m))
			return time_bad_number(c, minutes);
		*offset = (zone.p[0] == '-' ? h * 60 - m : h * 60 + m) * 60;
		return 0;
	}
	*offset = 0;
	if (zone.n == 0 || sv_is(zone, "UTC"))
		return 0;
	if (cel_charge(c, TIME_ZONE_WORK) < 0)
		return -1;
	tz = tz_load(&tmp, zone, NULL);
	if (!tz)
		return cel_fail(c, "unknown time zone %.*s", SV_ARG(zone));
	*offset = tz_offset(tz, utc);
	return 0;
}

static int time_part_of(struct cel_call *c, const struct cel_value *args, size_t n, enum time_part part,
			struct cel_value *ret)
{
	int64_t offset = 0, sec, days, rest, year, out = 0;
	unsigned month, day;

	if (n > 1 && time_zone(c, cel_text(&args[1]), args[0].i, &offset) < 0)
		return -1;
	sec = args[0].i + offset;
	days = sec / 86400 - (sec % 86400 < 0);
	rest = sec - days * 86400;
	time_civil(days, &year, &month, &day);
	switch (part) {
	case T_YEAR:
		out = year;
		break;
	case T_MONTH:
		out = (int64_t)month - 1;
		break;
	case T_DAY_OF_YEAR:
		out = days - time_days(year, 1, 1);
		break;
	case T_DAY_OF_MONTH:
		out = (int64_t)day - 1;
		break;
	case T_DATE:
		out = day;
		break;
	case T_DAY_OF_WEEK: /* the first day of 1970 was a Thursday */
		out = ((days + 4) % 7 + 7) % 7;
		break;
	case T_HOURS:
		out = rest / 3600;
		break;
	case T_MINUTES:
		out = rest / 60 % 60;
		break;
	case T_SECONDS:
		out = rest % 60;
		break;
	case T_MILLIS:
		out = args[0].n / 1000000;
		break;
	}
	*ret = cel_int(out);
	return 0;
}

static int time_of_duration(const struct cel_value *d, enum time_part part, struct cel_value *ret)
{
	int64_t ns = d->i;

	*ret = cel_int(part == T_HOURS	   ? ns / (3600 * NS_PER_SEC)
		       : part == T_MINUTES ? ns / (60 * NS_PER_SEC)
		       : part == T_SECONDS ? ns / NS_PER_SEC
					   : ns / NS_PER_MS);
	return 0;
}

#define GETTER(name, part)                                                                                 \
	static int name(struct cel_call *c, const struct cel_value *args, size_t n, struct cel_value *ret) \
	{                                                                                                  \
		if (args[0].kind == CEL_DURATION)                                                          \
			return time_of_duration(&args[0], part, ret);                                      \
		return time_part_of(c, args, n, part, ret);                                                \
	}
GETTER(time_year, T_YEAR)
GETTER(time_month, T_MONTH)
GETTER(time_day_of_year, T_DAY_OF_YEAR)
GETTER(time_day_of_month, T_DAY_OF_MONTH)
GETTER(time_date, T_DATE)
GETTER(time_day_of_week, T_DAY_OF_WEEK)
GETTER(time_hours, T_HOURS)
GETTER(time_minutes, T_MINUTES)
GETTER(time_seconds, T_SECONDS)
GETTER(time_millis, T_MILLIS)

#define V CEL_V(1, 0)
#define OF_TIME(name, fn)                                         \
	{ name, "timestamp.() int", V, fn, NULL, NULL },          \
	{                                                         \
		name, "timestamp.(string) int", V, fn, NULL, NULL \
	}
static const struct cel_func time_funcs[] = {
	OF_TIME("getFullYear", time_year),
	OF_TIME("getMonth", time_month),
	OF_TIME("getDayOfYear", time_day_of_year),
	OF_TIME("getDayOfMonth", time_day_of_month),
	OF_TIME("getDate", time_date),
	OF_TIME("getDayOfWeek", time_day_of_week),
	OF_TIME("getHours", time_hours),
	OF_TIME("getMinutes", time_minutes),
	OF_TIME("getSeconds", time_seconds),
	OF_TIME("getMilliseconds", time_millis),
	{ "getHours", "duration.() int", V, time_hours, NULL, NULL },
	{ "getMinutes", "duration.() int", V, time_minutes, NULL, NULL },
	{ "getSeconds", "duration.() int", V, time_seconds, NULL, NULL },
	{ "getMilliseconds", "duration.() int", V, time_millis, NULL, NULL },
};

const struct cel_lib cel_lib_time = { "times", time_funcs, ARRAY_LEN(time_funcs), { NULL } };
