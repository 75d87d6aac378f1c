/* Metadata of the object and of those embedded in it: the one part of a custom object that has a Go type. */
#include "object/structural/meta.h"

#include "base/buf.h"
#include "codec/doc_items.h"
#include "codec/json.h"

#include <stdlib.h>

static const struct schema *meta_schema(void)
{
	return schema_find(SV("meta/v1.ObjectMeta"));
}

/* What the decoder says, `unknown field "labels.x"`, as a path below at. */
static void meta_unknown(struct unknown *u, const struct fpath *at, struct decode_report *report)
{
	for (size_t i = 0; i < report->strict.n; i++) {
		struct sv said = report->strict.p[i];
		ssize_t from = sv_find(said, '"');

		if (from < 0 || !sv_starts(said, SV("unknown")))
			continue;
		unknown_add(u, at, arena_cstr(u->a, sv_sub(said, (size_t)from + 1, said.n - (size_t)from - 2)));
	}
	free(report->strict.p);
}

static struct val *meta_typed(struct arena *a, const struct val *raw, const struct fpath *at, struct unknown *u,
			      struct err *err)
{
	struct decode_report report = { .bare = true };
	struct val *typed;

	if (val_type(raw) == VAL_NULL)
		return val_new_map(a);
	typed = decode_plain(a, meta_schema(), raw, &report, err);
	if (typed && u)
		meta_unknown(u, at, &report);
	else
		free(report.strict.p);
	if (typed && report.has_empty)
		empty_to_null(a, meta_schema(), typed);
	return typed;
}

/* Member by member, those alone that have the right type. */
static struct val *meta_best(struct arena *a, const struct val *raw)
{
	struct val *best = val_new_map(a);

	VAL_EACH_MEMBER(raw, m) {
		_cleanup_(err_release) struct err err = ERR_INIT;
		struct val *one = val_new_map(a), *typed;

		val_append_member(a, one, m.sym, m.key, m.value);
		typed = meta_typed(a, one, NULL, NULL, &err);
		VAL_EACH_MEMBER(typed, t)
			val_set_sv(a, best, t.key, t.value);
	}
	order_typed(a, meta_schema(), best);
	return best;
}

struct val *meta_coerce(struct arena *a, const struct val *raw, bool drop, const struct fpath *at, struct unknown *u,
			struct err *err)
{
	struct val *typed = meta_typed(a, raw, at, u, drop ? NULL : err);

	return typed || !drop ? typed : meta_best(a, raw);
}

/* --- embedded resources --- */

struct coercer {
	struct arena *a;
	bool drop;
	struct unknown *u;
	struct err *err;
};

static int coerce_value(const struct coercer *c, const struct snode *n, struct val *v, const struct fpath *at);

static int coerce_refuse(const struct coercer *c, const struct fpath *at, const struct val *v, const char *why)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	struct sv path = fpath_str(c->a, at);

	json_encode(&b, v);
	return err_set(c->err, ERR_BAD_REQUEST, "%.*s: Invalid value: %s: %s", SV_ARG(path), buf_cstr(&b), why);
}

static int coerce_metadata(const struct coercer *c, struct val *v, const struct fpath *at)
{
	_cleanup_(err_release) struct err err = ERR_INIT;
	struct fpath meta_at = FPATH(at, F_metadata);
	struct val *meta = val_member_mut(v, F_metadata), *typed;

	if (!meta)
		return 0;
	typed = meta_coerce(c->a, meta, c->drop, &meta_at, c->u, &err);
	if (!typed)
		return coerce_refuse(c, &meta_at, meta, err_msg(&err));
	val_set(c->a, v, F_metadata, typed);
	return 0;
}

static int coerce_resource(const struct coercer *c, struct val *v, const struct fpath *at)
{
	static const enum sym texts[] = { F_apiVersion, F_kind };

	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		const struct val *text = val_member(v, texts[i]);
		struct fpath text_at = FPATH(at, texts[i]);

		if (!text || text->type == VAL_STR)
			continue;
		if (!c->drop)
			return coerce_refuse(c, &text_at, text, "must be a string");
		val_del(v, texts[i]);
	}
	return coerce_metadata(c, v, at);
}

static int coerce_map(const struct coercer *c, const struct snode *n, struct val *v, const struct fpath *at)
{
	if (n->flags & SN_EMBEDDED && coerce_resource(c, v, at) < 0)
		return -1;
	VAL_EACH_MEMBER(v, m) {
		const struct snode *property = snode_property(n, m.key);
		struct fpath named = FPATH_NAME(at, m.key), keyed = FPATH_KEY(at, m.key);

		if (coerce_value(c, property ? property : n->additional, m.value, property ? &named : &keyed) < 0)
			return -1;
	}
	return 0;
}

static int coerce_value(const struct coercer *c, const struct snode *n, struct val *v, const struct fpath *at)
{
	if (!n || !(n->flags & SN_EMBEDS))
		return 0;
	if (val_type(v) == VAL_MAP)
		return coerce_map(c, n, v, at);
	for (size_t i = 0; val_type(v) == VAL_LIST && i < v->n; i++) {
		struct fpath item_at = FPATH_AT(at, i);

		if (coerce_value(c, n->items, &v->items[i], &item_at) < 0)
			return -1;
	}
	return 0;
}

int walk_coerce(const struct snode *n, struct arena *a, struct val *v, bool drop, struct unknown *u, struct err *err)
{
	struct coercer c = { .a = a, .drop = drop, .u = u, .err = err };

	return coerce_value(&c, n, v, NULL);
}

/* --- validation --- */

static void check_api_version(struct field_errs *fe, const struct val *v, const struct fpath *at)
{
	struct sv text = val_str(v), group, version;

	if (!v || (v->type == VAL_STR && !text.n))
		fe_required(fe, at);
	else if (v->type != VAL_STR)
		fe_invalid(fe, at, v, "must be a string");
	else if (!api_version_split(text, &group, &version))
		fe_add(fe, FE_INVALID, at, v, "unexpected GroupVersion string: %.*s", SV_ARG(text));
}

static void check_kind(struct field_errs *fe, const struct val *v, const struct fpath *at)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	const char *said[FMT_MSGS_MAX];
	struct sv text = val_str(v);
	char *lower = arena_cstr(fe->a, text);
	size_t n;

	if (!v || (v->type == VAL_STR && !text.n)) {
		fe_required(fe, at);
		return;
	}
	if (v->type != VAL_STR) {
		fe_invalid(fe, at, v, "must be a string");
		return;
	}
	for (char *c = lower; *c; c++)
		*c = ascii_lower(*c);
	n = fmt_all(fmt_dns1035_label, sv_make(lower, text.n), said);
	for (size_t i = 0; i < n; i++)
		buf_printf(&b, "%s%s", i ? "," : "", said[i]);
	if (n)
		fe_add(fe, FE_INVALID, at, v, "may have mixed case, but should otherwise match: %s", buf_cstr(&b));
}

static void check_resource(struct field_errs *fe, const struct val *v, const struct fpath *at)
{
	_cleanup_(err_release) struct err err = ERR_INIT;
	struct fpath version_at = FPATH(at, F_apiVersion), kind_at = FPATH(at, F_kind), meta_at = FPATH(at, F_metadata);
	const struct val *meta = val_member(v, F_metadata);
	struct val *typed;

	check_api_version(fe, val_member(v, F_apiVersion), &version_at);
	check_kind(fe, val_member(v, F_kind), &kind_at);
	if (!meta)
		return;
	typed = meta_typed(fe->a, meta, NULL, NULL, &err);
	if (typed)
		validate_embedded_meta(fe, typed, &meta_at);
	else
		fe_add(fe, FE_INVALID, &meta_at, meta, "%s", err_msg(&err));
}

void meta_check(const struct snode *n, struct field_errs *fe, const struct val *v, const struct fpath *at)
{
	size_t i = 0;

	if (!n || !(n->flags & SN_EMBEDS))
		return;
	if (n->flags & SN_EMBEDDED && val_type(v) == VAL_MAP)
		check_resource(fe, v, at);
	VAL_EACH_MEMBER(v, m) {
		const struct snode *property = snode_property(n, m.key);
		struct fpath named = FPATH_NAME(at, m.key), keyed = FPATH_KEY(at, m.key);

		meta_check(property ? property : n->additional, fe, m.value, property ? &named : &keyed);
	}
	VAL_EACH(v, e) {
		struct fpath item_at = FPATH_AT(at, i++);

		meta_check(n->items, fe, e, &item_at);
	}
}
