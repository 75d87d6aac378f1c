/* Replicas and selector of custom kinds, which lie where their definition says. */
#include "apiserver/registry/registry.h"
#include "object/api_kind.h"

/* What Go calls the types that a decoded document has. */
static const char *scale_go_type(const struct val *v)
{
	static const char *const names[_VAL_TYPE_MAX] = { [VAL_NULL] = "<nil>",
							  [VAL_BOOL] = "bool",
							  [VAL_INT] = "int64",
							  [VAL_FLOAT] = "float64",
							  [VAL_STR] = "string",
							  [VAL_LIST] = "[]interface {}",
							  [VAL_MAP] = "map[string]interface {}" };
	const char *name = names[val_type(v)];

	return name ? name : "";
}

static int scale_bad_type(const char *path, const struct val *v, const char *want, size_t upto, struct err *err)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;

	return err_set(err, ERR_INTERNAL, "%.*s accessor error: %.*s is of the type %s, expected %s", (int)upto, path,
		       SV_ARG(val_go_text(&a, v)), scale_go_type(v), want);
}

int custom_scale_value(const struct val *o, const char *path, enum val_type want, const struct val **ret,
		       struct err *err)
{
	struct sv rest = sv_from(*path == '.' ? path + 1 : path), part;
	const struct val *v = o;

	*ret = NULL;
	while (sv_split(&rest, '.', &part)) {
		if (v && v->type != VAL_MAP)
			return v->type == VAL_NULL ? 0
						   : scale_bad_type(path, v, "map[string]interface{}",
								    (size_t)(part.p - path) - 1, err);
		v = val_member_sv(v, part);
		if (!v)
			return 0;
	}
	if (v && v->type != want)
		return scale_bad_type(path, v, want == VAL_INT ? "int64" : "string", strlen(path), err);
	*ret = v;
	return 0;
}

static void scale_check(struct field_errs *fe, const struct val *doc, const char *path, enum val_type want)
{
	_cleanup_(err_release) struct err why = ERR_INIT;
	struct fpath at = FPATH_NAME(NULL, sv_from(path));
	const struct val *v;

	if (custom_scale_value(doc, path, want, &v, &why) < 0)
		fe_add(fe, FE_INVALID, &at, want == VAL_INT ? val_new_int(fe->a, 0) : val_new_str(fe->a, SV("")), "%s",
		       err_msg(&why));
	else if (want == VAL_INT && val_int_or(v, 0) < 0)
		fe_invalid(fe, &at, v, "should be a non-negative integer");
	else if (want == VAL_INT && val_int_or(v, 0) > INT32_MAX)
		fe_invalid(fe, &at, v, "should be less than or equal to 2147483647");
}

void custom_scale_validate(struct field_errs *fe, const struct resource *r, const struct val *doc, const char *sub)
{
	const struct api_scale *s = resource_late(r) ? api_kind_scale(api_kind_of(r)) : NULL;

	if (!s)
		return;
	if (!sub || strcmp(sub, "status") != 0)
		scale_check(fe, doc, s->replicas, VAL_INT);
	scale_check(fe, doc, s->status_replicas, VAL_INT);
	if (s->selector && *s->selector)
		scale_check(fe, doc, s->selector, VAL_STR);
}
