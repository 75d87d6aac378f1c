/* Values that may be there. The syntax (a.?b, a[?i], optMap) is the language's; or() and orValue() come here once
 * the engine knows that their argument is needed. */
#include "object/cel/lib-internal.h"

#include "base/timefmt.h"

static int optional_of(struct cel_call *c, const struct cel_value *args, size_t n, struct cel_value *ret)
{
	(void)n;
	*ret = cel_some(c->arena, args[0]);
	return 0;
}

static bool optional_zero(const struct cel_value *v)
{
	switch (v->kind) {
	case CEL_NULL:
		return true;
	case CEL_BOOL:
		return !v->b;
	case CEL_INT:
	case CEL_DURATION:
		return v->i == 0;
	case CEL_UINT:
		return v->u == 0;
	case CEL_DOUBLE:
		return v->d == 0;
	case CEL_STRING:
	case CEL_BYTES:
		return v->n == 0;
	case CEL_LIST:
	case CEL_MAP:
	case CEL_OBJECT:
		return !(v->flags & CEL_V_LAZY) && cel_count(v) == 0;
	case CEL_TIMESTAMP:
		return v->i == TIME_SEC_MIN && v->n == 0;
	case CEL_OPTIONAL:
		return !v->items || optional_zero(v->items);
	default:
		return false;
	}
}

static int optional_of_non_zero(struct cel_call *c, const struct cel_value *args, size_t n, struct cel_value *ret)
{
	(void)n;
	*ret = optional_zero(&args[0]) ? cel_none() : cel_some(c->arena, args[0]);
	return 0;
}

static int optional_none(struct cel_call *c, const struct cel_value *args, size_t n, struct cel_value *ret)
{
	(void)c;
	(void)args;
	(void)n;
	*ret = cel_none();
	return 0;
}

static int optional_value(struct cel_call *c, const struct cel_value *args, size_t n, struct cel_value *ret)
{
	(void)n;
	if (!args[0].items)
		return cel_fail(c, "optional.none() dereference");
	*ret = *args[0].items;
	return 0;
}

static int optional_has_value(struct cel_call *c, const struct cel_value *args, size_t n, struct cel_value *ret)
{
	(void)c;
	(void)n;
	*ret = cel_bool(args[0].items != NULL);
	return 0;
}

static int optional_or(struct cel_call *c, const struct cel_value *args, size_t n, struct cel_value *ret)
{
	(void)c;
	(void)n;
	*ret = args[0].items ? args[0] : args[1];
	return 0;
}

static int optional_or_value(struct cel_call *c, const struct cel_value *args, size_t n, struct cel_value *ret)
{
	(void)c;
	(void)n;
	*ret = args[0].items ? *args[0].items : args[1];
	return 0;
}

static const struct cel_func optional_funcs[] = {
	{ "optional.of", "(T) optional<T>", CEL_V(1, 28), optional_of, NULL, NULL },
	{ "optional.ofNonZeroValue", "(T) optional<T>", CEL_V(1, 28), optional_of_non_zero, NULL, NULL },
	{ "optional.none", "() optional<T>", CEL_V(1, 28), optional_none, NULL, NULL },
	{ "value", "optional<T>.() T", CEL_V(1, 28), optional_value, NULL, NULL },
	{ "hasValue", "optional<T>.() bool", CEL_V(1, 28), optional_has_value, NULL, NULL },
	{ "or", "optional<T>.(optional<T>) optional<T>", CEL_V(1, 28), optional_or, NULL, NULL },
	{ "orValue", "optional<T>.(T) T", CEL_V(1, 28), optional_or_value, NULL, NULL },
};
const struct cel_lib cel_lib_optional = { "optional", optional_funcs, ARRAY_LEN(optional_funcs), { NULL } };
