/* --runtime-config: from the words of the command line to one mark a resource. */
#include "object/served.h"

#include "base/buf.h"
#include "object/feature.h"

#include <ctype.h>

#define ON 1
#define OFF 2

static uint8_t chosen[R_COUNT]; /* 0: as its version says */

static bool served_on(const struct resource *r, uint8_t choice)
{
	return choice ? choice == ON : !r->optin;
}

bool resource_served(const struct resource *r)
{
	if (r->id >= R_COUNT)
		return true;
	return served_on(r, chosen[r->id]) && feature_on((enum feature)r->gate);
}

bool resource_served_first(const struct resource *r)
{
	const struct resource *o = resource_all;

	while (o < r && !(resource_served(o) && strcmp(o->plural, r->plural) == 0 && strcmp(o->group, r->group) == 0))
		o++;
	return o == r && resource_served(r);
}

static bool served_is_of(const struct resource *r, struct sv group, struct sv version)
{
	return sv_is(group, r->group) && sv_is(version, r->version);
}

bool group_version_served(struct sv group, struct sv version)
{
	for (size_t i = 0; i < resource_count; i++)
		if (served_is_of(&resource_all[i], group, version) && resource_served(&resource_all[i]))
			return true;
	return false;
}

void served_reset(void)
{
	memset(chosen, 0, sizeof(chosen));
}

/* --- keys --- */

/* "v1" is of stage "", "v2beta1" of "beta". */
static bool served_stage_is(const char *version, const char *stage)
{
	const char *p = version;
	size_t n = strlen(stage);

	if (*p++ != 'v' || !isdigit((unsigned char)*p))
		return false;
	while (isdigit((unsigned char)*p))
		p++;
	if (!n)
		return !*p;
	if (strncmp(p, stage, n) != 0 || !isdigit((unsigned char)p[n]))
		return false;
	for (p += n; isdigit((unsigned char)*p);)
		p++;
	return !*p;
}

static const struct {
	const char *key, *stage; /* stage NULL: all */
} wide[] = { { "api/all", NULL }, { "api/ga", "" }, { "api/beta", "beta" }, { "api/alpha", "alpha" } };

static size_t served_wide(struct sv key)
{
	size_t i = 0;

	while (i < ARRAY_LEN(wide) && !sv_is(key, wide[i].key))
		i++;
	return i;
}

struct served_key {
	struct sv key, group, version, resource; /* resource: empty when the key names a version */
	uint8_t choice;
};

static int served_value(struct sv key, struct sv value, bool strictly, uint8_t *ret, struct err *err)
{
	static const char *const yes[] = { "true", "", "1", "t", "T", "TRUE", "True" };
	static const char *const no[] = { "false", "0", "f", "F", "FALSE", "False" };

	for (size_t i = 0; i < (strictly ? 1 : ARRAY_LEN(yes)); i++)
		if (sv_is(value, yes[i]))
			*ret = ON;
	for (size_t i = 0; i < (strictly ? 1 : ARRAY_LEN(no)); i++)
		if (sv_is(value, no[i]))
			*ret = OFF;
	if (*ret)
		return 0;
	if (strictly)
		return err_set(err, ERR_INVALID, "invalid value %.*s=%.*s", SV_ARG(key), SV_ARG(value));
	return err_set(err, ERR_INVALID,
		       "invalid value of %.*s: %.*s, err: strconv.ParseBool: parsing \"%.*s\": invalid syntax",
		       SV_ARG(key), SV_ARG(value), SV_ARG(value));
}

/* Is there such a group, and such a version of it? */
static bool served_known(struct sv group, const struct sv *version)
{
	for (size_t i = 0; i < group_version_count; i++)
		if (sv_is(group, group_version_all[i].group) &&
		    (!version || sv_is(*version, group_version_all[i].version)))
			return true;
	return false;
}

static int served_key_read(struct served_key *k, struct sv item, struct err *err)
{
	ssize_t eq = sv_find(item, '=');
	struct sv value = eq < 0 ? SV("") : sv_sub(item, (size_t)eq + 1, item.n), rest, more = SV("");

	*k = (struct served_key){ .key = eq < 0 ? item : sv_sub(item, 0, (size_t)eq) };
	if (served_wide(k->key) < ARRAY_LEN(wide))
		return served_value(k->key, value, true, &k->choice, err);
	rest = k->key;
	(void)sv_split(&rest, '/', &k->group);
	(void)sv_split(&rest, '/', &k->version);
	(void)sv_split(&rest, '/', &more);
	k->resource = more;
	if (!k->version.n || rest.n || sv_ends(k->key, SV("/")))
		return err_set(err, ERR_INVALID, "runtime-config invalid key %.*s", SV_ARG(k->key));
	if (!served_known(k->group, NULL))
		return err_set(err, ERR_INVALID, "unknown api groups %.*s", SV_ARG(k->group));
	if (!served_known(k->group, &k->version))
		return err_set(err, ERR_INVALID, "group version %.*s/%.*s that has not been registered",
			       SV_ARG(k->group), SV_ARG(k->version));
	for (size_t i = 0; i < k->resource.n; i++)
		if (isupper((unsigned char)k->resource.p[i]))
			return err_set(
			    err, ERR_INVALID,
			    "invalid key %.*s: group/version/resource and resource is always lowercase plural, "
			    "not \"%.*s\"",
			    SV_ARG(k->key), SV_ARG(k->resource));
	return served_value(k->key, value, false, &k->choice, err);
}

/* --- all of them, the weakest first --- */

#define STRENGTHS (ARRAY_LEN(wide) + 2)

static bool served_matches(const struct served_key *k, const struct resource *r)
{
	size_t w = served_wide(k->key);

	if (w < ARRAY_LEN(wide))
		return !wide[w].stage || served_stage_is(r->version, wide[w].stage);
	return served_is_of(r, k->group, k->version) && (!k->resource.n || sv_is(k->resource, r->plural));
}

static size_t served_strength(const struct served_key *k)
{
	size_t w = served_wide(k->key);

	return w < ARRAY_LEN(wide) ? w : w + (k->resource.n != 0);
}

static int served_apply(struct sv text, uint8_t marks[R_COUNT], size_t *ret_n, bool *ret_none, struct err *err)
{
	for (size_t strength = 0; strength < STRENGTHS; strength++) {
		struct sv rest = text, item;

		*ret_n = 0;
		while (sv_split(&rest, ',', &item)) {
			struct served_key k;

			if (!item.n)
				continue;
			if (served_key_read(&k, item, err) < 0)
				return -1;
			++*ret_n;
			*ret_none = sv_is(k.key, "api/all") && k.choice == OFF;
			for (size_t i = 0; served_strength(&k) == strength && i < resource_count; i++)
				if (served_matches(&k, &resource_all[i]))
					marks[i] = k.choice;
		}
	}
	return 0;
}

/* --- gates and resources agree --- */

/* What somebody asked for by its name is something that its gate lets him have. */
static int served_check_key(const struct served_key *k, struct err *err)
{
	const struct resource *closed = NULL;

	if (k->choice != ON || served_wide(k->key) < ARRAY_LEN(wide))
		return 0;
	for (size_t i = 0; i < resource_count; i++) {
		const struct resource *r = &resource_all[i];

		if (served_matches(k, r) && feature_on((enum feature)r->gate))
			return 0;
		if (served_matches(k, r))
			closed = r;
	}
	return closed ? err_set(err, ERR_INVALID,
				"--runtime-config asks for %.*s, whose feature is off: add --feature-gates=%s=true",
				SV_ARG(k->key), feature_all[closed->gate].name)
		      : 0;
}

/* A feature that somebody named has its resources in some version. */
static int served_check_gate(enum feature f, const uint8_t marks[R_COUNT], struct err *err)
{
	const struct resource *best = NULL;

	for (size_t i = 0; i < resource_count; i++) {
		const struct resource *r = &resource_all[i];

		if (r->gate == f && served_on(r, marks[i]))
			return 0;
		if (r->gate == f && !best)
			best = r;
	}
	return best ? err_set(err, ERR_INVALID,
			      "feature gate %s is on and no version of its API is served: add "
			      "--runtime-config=%s/%s=true",
			      feature_all[f].name, best->group, best->version)
		    : 0;
}

static int served_check(struct sv text, const uint8_t marks[R_COUNT], struct err *err)
{
	struct sv item;

	while (sv_split(&text, ',', &item)) {
		struct served_key k;

		if (item.n && (served_key_read(&k, item, err) < 0 || served_check_key(&k, err) < 0))
			return -1;
	}
	for (int f = FG_NONE + 1; f < FG_COUNT; f++)
		if (feature_named((enum feature)f) && feature_on((enum feature)f) &&
		    served_check_gate((enum feature)f, marks, err) < 0)
			return -1;
	return 0;
}

int served_set(struct sv text, struct err *err)
{
	uint8_t marks[R_COUNT] = { 0 };
	bool none = false;
	size_t n = 0;

	if (served_apply(text, marks, &n, &none, err) < 0)
		return -1;
	if (n == 1 && none)
		return err_set(err, ERR_INVALID, "invalid key with only api/all=false");
	if (served_check(text, marks, err) < 0)
		return -1;
	memcpy(chosen, marks, sizeof(chosen));
	return 0;
}
