/* timefmt.h - RFC 3339 text and Go duration text, both ways, and ages for people.
 *
 * Times are int64 nanoseconds since 1970 (years 1678 to 2262), always UTC. What others wrote may be any time from year
 * 1 to 9999: the functions with _sec carry those through.
 */
#pragma once

#include "base/base.h"
#include "base/buf.h"

#define TIME_TEXT_MAX 40

/* "2026-01-02T03:04:05Z"; with micro, "2026-01-02T03:04:05.000006Z" (metav1.MicroTime). NUL-terminated. */
struct sv time_format(int64_t ns, bool micro, char out[TIME_TEXT_MAX]);
/* Any RFC 3339 time of the years 1 to 9999, fraction and offset included. False when malformed or beyond. What
 * nanoseconds cannot reach becomes INT64_MIN or INT64_MAX. */
bool time_parse(struct sv s, int64_t *ret_ns);
/* The same as seconds since 1970 and the nanoseconds behind them. */
#define TIME_SEC_MIN INT64_C(-62135596800) /* 0001-01-01T00:00:00Z, Go's zero time */
#define TIME_SEC_MAX INT64_C(253402300799) /* 9999-12-31T23:59:59Z */
bool time_parse_sec(struct sv s, int64_t *ret_sec, unsigned *ret_ns);
/* The same; with micro, of the form that metav1.MicroTime is read in: exactly six digits behind the point. On failure
 * the words of Go's time.Parse are appended to why (may be NULL). */
bool time_parse_why(struct sv s, bool micro, int64_t *ret_sec, unsigned *ret_ns, struct buf *why);
struct sv time_format_sec(int64_t sec, unsigned ns, bool micro, char out[TIME_TEXT_MAX]);
/* The day, in UTC: "2026-01-02". Parsing takes exactly that form, and gives the day's first moment. */
#define DATE_TEXT_MAX 16
struct sv date_format(int64_t ns, char out[DATE_TEXT_MAX]);
bool date_parse(struct sv s, int64_t *ret_ns);
/* Go's time.ParseDuration ("1h30m", "500ms", "-1.5s", "0"). */
bool duration_parse(struct sv s, int64_t *ret_ns);
/* Why not, in its words, appended: time: missing unit in duration "5". Of a text that duration_parse() refused. */
void duration_why(struct buf *b, struct sv s);
void duration_format(struct buf *b, int64_t ns); /* Go's Duration.String() */
/* kubectl's short age: "5s", "3m20s", "2d4h", "3y"; negative beyond clock skew is "<invalid>". */
void duration_human(struct buf *b, int64_t ns);

/* Days since 1970-01-01 of a proleptic Gregorian date (m and d from 1), and back. */
int64_t time_days(int64_t y, unsigned m, unsigned d);
void time_civil(int64_t days, int64_t *ret_y, unsigned *ret_m, unsigned *ret_d);
unsigned time_month_days(int64_t y, unsigned m);
