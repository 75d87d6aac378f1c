/* Which gates are on. */
#include "object/feature.h"

#include "base/log.h"

_Static_assert(FG_COUNT <= UINT8_MAX, "a gate is one byte in struct field");

uint8_t feature_set[FG_COUNT];
static bool named[FG_COUNT];

#define ON 1
#define OFF 2

enum feature feature_find(struct sv name)
{
	for (size_t i = FG_NONE + 1; i < FG_COUNT; i++)
		if (sv_is(name, feature_all[i].name))
			return (enum feature)i;
	return FG_NONE;
}

bool feature_named(enum feature f)
{
	return named[f];
}

void features_reset(void)
{
	memset(feature_set, 0, sizeof(feature_set));
	memset(named, 0, sizeof(named));
}

/* What is on its way to be set. */
struct wish {
	uint8_t set[FG_COUNT];
	uint8_t all[2]; /* of FEATURE_ALPHA, FEATURE_BETA */
};

static bool feature_word(struct sv text, bool *ret)
{
	static const char *const yes[] = { "1", "t", "T", "true", "TRUE", "True" };
	static const char *const no[] = { "0", "f", "F", "false", "FALSE", "False" };

	for (size_t i = 0; i < ARRAY_LEN(yes); i++) {
		if (sv_is(text, yes[i]) || sv_is(text, no[i])) {
			*ret = sv_is(text, yes[i]);
			return true;
		}
	}
	return false;
}

static int feature_wish(struct wish *w, struct sv name, bool on, struct err *err)
{
	enum feature f;

	for (size_t i = 0; i < ARRAY_LEN(w->all); i++) {
		if (sv_is(name, i == FEATURE_ALPHA ? "AllAlpha" : "AllBeta")) {
			w->all[i] = on ? ON : OFF;
			return 0;
		}
	}
	f = feature_find(name);
	if (!f)
		return err_set(err, ERR_INVALID, "unrecognized feature gate: %.*s", SV_ARG(name));
	if (feature_all[f].locked && feature_all[f].on != on)
		return err_set(err, ERR_INVALID, "cannot set feature gate %s to %s, feature is locked to %s",
			       feature_all[f].name, on ? "true" : "false", feature_all[f].on ? "true" : "false");
	w->set[f] = on ? ON : OFF;
	return 0;
}

static void feature_take(const struct wish *w)
{
	for (size_t i = FG_NONE + 1; i < FG_COUNT; i++) {
		const struct feature_gate *g = &feature_all[i];

		if (w->set[i]) {
			feature_set[i] = w->set[i];
			named[i] = true;
			if (g->stage == FEATURE_GA || g->stage == FEATURE_DEPRECATED)
				log_warn("server", "a feature gate is set that will be removed in a future release",
					 "gate", "%s", g->name);
		} else if (!named[i] && !g->locked && g->stage < ARRAY_LEN(w->all) && w->all[g->stage]) {
			feature_set[i] = w->all[g->stage];
		}
	}
}

int features_set(struct sv text, struct err *err)
{
	struct wish w = { 0 };
	struct sv item;

	while (sv_split(&text, ',', &item)) {
		ssize_t eq = sv_find(item, '=');
		struct sv name = sv_trim(eq < 0 ? item : sv_sub(item, 0, (size_t)eq)), value;
		bool on;

		if (!item.n)
			continue;
		if (eq < 0)
			return err_set(err, ERR_INVALID, "missing bool value for %.*s", SV_ARG(name));
		value = sv_trim(sv_sub(item, (size_t)eq + 1, item.n));
		if (!feature_word(value, &on))
			return err_set(
			    err, ERR_INVALID,
			    "invalid value of %.*s=%.*s, err: strconv.ParseBool: parsing \"%.*s\": invalid syntax",
			    SV_ARG(name), SV_ARG(value), SV_ARG(value));
		if (feature_wish(&w, name, on, err) < 0)
			return -1;
	}
	feature_take(&w);
	return 0;
}
