#include "cli/diff_kinds.h"

#include "base/log.h"
#include "client/https.h"

#include <stdlib.h>

static bool word_is(const struct val *r, struct sv word)
{
	static const enum sym names[] = { F_name, F_singularName, F_kind };

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (val_str(val_member(r, names[i])).n && sv_ieq(val_str(val_member(r, names[i])), word))
			return true;
	VAL_EACH(val_member(r, F_shortNames), s)
		if (sv_ieq(val_str(s), word))
			return true;
	return false;
}

static bool verb_is(const struct val *r, const char *verb)
{
	VAL_EACH(val_member(r, F_verbs), v)
		if (val_is(v, verb))
			return true;
	return false;
}

static bool restless(struct sv plural)
{
	return sv_is(plural, "events") || sv_is(plural, "leases");
}

/* Of one group version. */
static void take_kinds(struct arena *a, const struct val *list, struct sv group, struct sv version, const char *base,
		       const struct sv *word, diff_kinds *ret)
{
	VAL_EACH(val_member(list, F_resources), r) {
		struct sv name = val_str(val_member(r, F_name));

		if (sv_find(name, '/') >= 0 || !verb_is(r, "list") || (word ? !word_is(r, *word) : restless(name)))
			continue;
		vec_push(ret, ((struct diff_kind){ .group = group,
						   .version = version,
						   .plural = arena_sv(a, name),
						   .kind = arena_sv(a, val_str(val_member(r, F_kind))),
						   .namespaced = val_bool(val_member(r, F_namespaced)),
						   .base = base }));
	}
}

static int diff_kind_cmp(const void *x, const void *y)
{
	const struct diff_kind *a = x, *b = y;
	int c = sv_cmp(a->group, b->group);

	return c ? c : sv_cmp(a->plural, b->plural);
}

/* A server behind the API may be away: what it has is told to be missing. */
static void group_missing(const char *base, struct err *err_take)
{
	log_warn("diff", "kinds are left out, as nobody says what they are", "group", "%s: %s", base,
		 err_msg(err_take));
	err_release(err_take);
}

int diff_kinds_find(struct client *c, struct arena *a, const char *text, diff_kinds *ret, struct err *err)
{
	struct sv word = sv_from(text ? text : ""), group = SV_NULL, rest = word;
	struct val *groups, *list;

	if (sv_find(word, '.') > 0) {
		(void)sv_split(&rest, '.', &word);
		group = rest;
	}
	if (client_https_document(c, a, "/apis", &groups, err) < 0)
		return -1;
	if (!group.n) {
		if (client_https_document(c, a, "/api/v1", &list, err) < 0)
			return -1;
		take_kinds(a, list, SV(""), SV("v1"), "/api/v1", text ? &word : NULL, ret);
	}
	VAL_EACH(val_member(groups, F_groups), g) {
		struct sv name = val_str(val_member(g, F_name)),
			  version = val_get_str(g, F_preferredVersion, F_version);
		const char *base = arena_printf(a, "/apis/%.*s/%.*s", SV_ARG(name), SV_ARG(version));
		struct err why = ERR_INIT;

		if (group.n && !sv_eq(name, group))
			continue;
		if (client_https_document(c, a, base, &list, &why) < 0)
			group_missing(base, &why);
		else
			take_kinds(a, list, name, version, base, text ? &word : NULL, ret);
	}
	if (!ret->n)
		return err_set(err, ERR_NOT_FOUND, "the server doesn't have a resource type \"%s\"", text ? text : "");
	if (text)
		ret->n = 1; /* as kubectl: the first, and the core group is before all others */
	else
		qsort(ret->p, ret->n, sizeof(ret->p[0]), diff_kind_cmp);
	return 0;
}
