/* declared.c - checks that upstream declares with its types, in the words that those have: unions, lists of named
 * items, numbers, and what an update may do. */
#include "apiserver/registry/validate/declared.h"

void declared_union(struct field_errs *fe, const struct val *v, const struct fpath *at, const enum sym *members)
{
	struct sv all = SV(""), set = SV("");
	size_t n = 0;

	for (const enum sym *m = members; *m != SYM_NONE; m++) {
		const struct val *x = val_member(v, *m);
		bool first = m == members, here = x && val_type(x) != VAL_NULL;

		if ((val_type(x) == VAL_STR && !val_str(x).n) || (val_type(x) == VAL_LIST && !val_len(x)))
			here = false;
		all = arena_svf(fe->a, "%.*s%s`%.*s`", SV_ARG(all), first ? "" : ", ", SV_ARG(sym_name(*m)));
		if (here)
			set = arena_svf(fe->a, "%.*s%s%.*s", SV_ARG(set), n++ ? ", " : "", SV_ARG(sym_name(*m)));
	}
	if (n == 0)
		fe_add(fe, FE_INVALID, at, val_new_str(fe->a, SV("")), "must specify one of: %.*s", SV_ARG(all));
	else if (n > 1)
		fe_add(fe, FE_INVALID, at, val_new_str(fe->a, arena_svf(fe->a, "{%.*s}", SV_ARG(set))),
		       "must specify exactly one of: %.*s", SV_ARG(all));
}

bool declared_list(struct field_errs *fe, const struct val *list, const struct fpath *at, size_t max)
{
	_cleanup_(strmap_release) struct strmap seen = STRMAP_INIT;
	size_t i = 0;

	if (val_len(list) > max) {
		fe_too_many(fe, at, val_len(list), max);
		return false;
	}
	VAL_EACH(list, v) {
		struct fpath item = FPATH_AT(at, i++);

		if (strmap_set(&seen, val_get_str(v, F_name), fe))
			fe_duplicate(fe, &item, val_new_str(fe->a, val_get_str(v, F_name)));
	}
	return true;
}

void declared_range(struct field_errs *fe, const struct val *v, const struct fpath *at, int64_t min, int64_t max)
{
	if (val_type(v) != VAL_INT)
		return;
	if (v->i < min)
		fe_add(fe, FE_INVALID, at, v, "must be greater than or equal to %" PRId64, min);
	if (v->i > max)
		fe_add(fe, FE_INVALID, at, v, "must be less than or equal to %" PRId64, max);
}

void declared_prefixed_key(struct field_errs *fe, const struct val *parent, const struct fpath *up, enum sym name)
{
	struct sv key = val_str(val_member(parent, name));
	struct fpath at = FPATH(up, name);

	if (!key.n)
		fe_required(fe, &at);
	else if (fmt_qualified_name(key))
		fe_check(fe, &at, key, fmt_qualified_name);
	else if (sv_find(key, '/') < 0)
		fe_format(fe, &at, key, "a valid label key with a prefix is required (e.g. 'example.com/MyName')");
}

void declared_update(struct field_errs *fe, const struct val *now, const struct val *was, const struct fpath *at,
		     unsigned refused)
{
	if ((refused & DECLARED_NO_SET) && now && !was)
		fe_invalid(fe, at, now, "field cannot be set once created");
	if ((refused & DECLARED_NO_UNSET) && !now && was)
		fe_invalid(fe, at, &fe_null, "field cannot be cleared once set");
	if ((refused & DECLARED_NO_MODIFY) && now && was && !val_same(now, was))
		fe_invalid(fe, at, now, "field cannot be modified once set");
}

void declared_items_kept(struct field_errs *fe, const struct val *now, const struct val *was, const struct fpath *at,
			 bool may_grow)
{
	_cleanup_(strmap_release) struct strmap in_now = STRMAP_INIT, in_was = STRMAP_INIT;
	size_t i = 0;

	index_by_name(&in_now, now);
	index_by_name(&in_was, was);
	VAL_EACH(now, v) {
		struct fpath item = FPATH_AT(at, i++);

		if (!may_grow && !strmap_has(&in_was, val_get_str(v, F_name)))
			fe_invalid(fe, &item, v, "items cannot be added once created");
	}
	VAL_EACH(was, v)
		if (!strmap_has(&in_now, val_get_str(v, F_name)))
			fe_invalid(fe, at, v, "items cannot be removed once set");
}
