/* A quantity is its text, which object/quantity.h computes with at any size; beside it the integer and power of ten
 * that upstream holds it as, as asInteger() and isInteger() are about that: 500m + 500m is 1, and no integer. */
#include "object/cel/lib-internal.h"
#include "object/quantity.h"

struct lib_quantity {
	struct sv text;
	bool has_amount;
	int exp;
	int64_t value; /* times 10^exp */
};

static bool lib_quantity_equal(const void *a, const void *b)
{
	return quantity_cmp(((const struct lib_quantity *)a)->text, ((const struct lib_quantity *)b)->text) == 0;
}

static struct sv lib_quantity_words(struct arena *a, const void *p)
{
	(void)a;
	return ((const struct lib_quantity *)p)->text;
}

static const struct cel_opaque quantity_type = {
	.type = { .kind = CEL_OPAQUE, .name = { "kubernetes.Quantity", 19 }, .opaque = &quantity_type },
	.equal = lib_quantity_equal,
	.text = lib_quantity_words,
};

static const struct lib_quantity *quantity_of(const struct cel_value *v)
{
	return v->p;
}

static int lib_quantity_parse(struct cel_call *c, const struct cel_value *args, size_t n, struct cel_value *ret)
{
	struct lib_quantity *q = ARENA_NEW(c->arena, struct lib_quantity);

	(void)n;
	q->text = quantity_text(c->arena, cel_text(&args[0]));
	if (!q->text.p)
		return cel_fail(c, "%s", quantity_why(cel_text(&args[0])));
	q->has_amount = quantity_amount(cel_text(&args[0]), &q->value, &q->exp);
	*ret = cel_opaque(&quantity_type, q);
	return 0;
}

static int lib_quantity_is(struct cel_call *c, const struct cel_value *args, size_t n, struct cel_value *ret)
{
	(void)n;
	*ret = cel_bool(quantity_text(c->arena, cel_text(&args[0])).p != NULL);
	return 0;
}

static int quantity_get_sign(struct cel_call *c, const struct cel_value *args, size_t n, struct cel_value *ret)
{
	(void)c;
	(void)n;
	*ret = cel_int(quantity_sign(quantity_of(&args[0])->text));
	return 0;
}

/* Only what has no fraction in its power of ten. */
static bool quantity_integer(const struct lib_quantity *q, int64_t *ret)
{
	*ret = q->value;
	if (!q->has_amount || q->exp < 0)
		return false;
	for (int i = 0; i < q->exp && *ret; i++)
		if (__builtin_mul_overflow(*ret, INT64_C(10), ret))
			return false;
	return true;
}

static int quantity_is_integer(struct cel_call *c, const struct cel_value *args, size_t n, struct cel_value *ret)
{
	int64_t i;

	(void)c;
	(void)n;
	*ret = cel_bool(quantity_integer(quantity_of(&args[0]), &i));
	return 0;
}

static int quantity_as_integer(struct cel_call *c, const struct cel_value *args, size_t n, struct cel_value *ret)
{
	int64_t i;

	(void)n;
	if (!quantity_integer(quantity_of(&args[0]), &i))
		return cel_fail(c, "cannot convert value to integer");
	*ret = cel_int(i);
	return 0;
}

static int quantity_as_float(struct cel_call *c, const struct cel_value *args, size_t n, struct cel_value *ret)
{
	(void)c;
	(void)n;
	*ret = cel_double(quantity_float(quantity_of(&args[0])->text));
	return 0;
}

static int quantity_order(const struct cel_value *args)
{
	return quantity_cmp(quantity_of(&args[0])->text, quantity_of(&args[1])->text);
}

static int quantity_greater(struct cel_call *c, const struct cel_value *args, size_t n, struct cel_value *ret)
{
	(void)c;
	(void)n;
	*ret = cel_bool(quantity_order(args) > 0);
	return 0;
}

static int quantity_less(struct cel_call *c, const struct cel_value *args, size_t n, struct cel_value *ret)
{
	(void)c;
	(void)n;
	*ret = cel_bool(quantity_order(args) < 0);
	return 0;
}

static int quantity_compare(struct cel_call *c, const struct cel_value *args, size_t n, struct cel_value *ret)
{
	(void)c;
	(void)n;
	*ret = cel_int(quantity_order(args));
	return 0;
}

/* The integers added at the finer of both powers of ten, where they fit. */
static void quantity_add_amounts(const struct lib_quantity *x, const struct lib_quantity *y, bool minus,
				 struct lib_quantity *ret)
{
	int64_t a = x->value, b = y->value;
	int ea = x->exp, eb = y->exp;

	ret->has_amount = x->has_amount && y->has_amount && !(minus && __builtin_sub_overflow(0, b, &b));
	if (!ret->has_amount)
		return;
	if (b == 0 || a == 0) {
		ret->value = b == 0 ? a : b;
		ret->exp = b == 0 ? ea : eb;
		return;
	}
	for (; ea > eb && ret->has_amount; ea--)
		ret->has_amount = !__builtin_mul_overflow(a, INT64_C(10), &a);
	for (; eb > ea && ret->has_amount; eb--)
		ret->has_amount = !__builtin_mul_overflow(b, INT64_C(10), &b);
	ret->has_amount = ret->has_amount && !__builtin_add_overflow(a, b, &ret->value);
	ret->exp = ea;
}

/* An int counts as a quantity with an exponent, "5e0": of two formats the first one's is kept, unless it is zero. */
static int quantity_sum(struct cel_call *c, const struct cel_value *args, bool minus, struct cel_value *ret)
{
	struct lib_quantity *q = ARENA_NEW(c->arena, struct lib_quantity), number = { .has_amount = true };
	const struct lib_quantity *x = quantity_of(&args[0]), *y = &number;

	if (args[1].kind == CEL_INT) {
		number.value = args[1].i;
		number.text = arena_svf(c->arena, "%" PRId64 "e0", args[1].i);
	} else {
		y = quantity_of(&args[1]);
	}
	quantity_add_amounts(x, y, minus, q);
	q->text = minus ? quantity_sub(c->arena, x->text, y->text) : quantity_add(c->arena, x->text, y->text);
	*ret = cel_opaque(&quantity_type, q);
	return 0;
}

static int quantity_plus(struct cel_call *c, const struct cel_value *args, size_t n, struct cel_value *ret)
{
	(void)n;
	return quantity_sum(c, args, false, ret);
}

static int quantity_minus(struct cel_call *c, const struct cel_value *args, size_t n, struct cel_value *ret)
{
	(void)n;
	return quantity_sum(c, args, true, ret);
}

#define QUANTITY "kubernetes.Quantity"

static const struct cel_func quantity_funcs[] = {
	{ "quantity", "(string) " QUANTITY, CEL_V(1, 28), lib_quantity_parse, cel_cost_str0, lib_est_read },
	{ "isQuantity", "(string) bool", CEL_V(1, 28), lib_quantity_is, cel_cost_str0, lib_est_read },
	{ "sign", QUANTITY ".() int", CEL_V(1, 28), quantity_get_sign, NULL, NULL },
	{ "isGreaterThan", QUANTITY ".(" QUANTITY ") bool", CEL_V(1, 28), quantity_greater, NULL, NULL },
	{ "isLessThan", QUANTITY ".(" QUANTITY ") bool", CEL_V(1, 28), quantity_less, NULL, NULL },
	{ "compareTo", QUANTITY ".(" QUANTITY ") int", CEL_V(1, 28), quantity_compare, NULL, NULL },
	{ "asApproximateFloat", QUANTITY ".() double", CEL_V(1, 28), quantity_as_float, NULL, NULL },
	{ "asInteger", QUANTITY ".() int", CEL_V(1, 28), quantity_as_integer, NULL, NULL },
	{ "isInteger", QUANTITY ".() bool", CEL_V(1, 28), quantity_is_integer, NULL, NULL },
	{ "add", QUANTITY ".(" QUANTITY ") " QUANTITY, CEL_V(1, 28), quantity_plus, NULL, NULL },
	{ "add", QUANTITY ".(int) " QUANTITY, CEL_V(1, 28), quantity_plus, NULL, NULL },
	{ "sub", QUANTITY ".(" QUANTITY ") " QUANTITY, CEL_V(1, 28), quantity_minus, NULL, NULL },
	{ "sub", QUANTITY ".(int) " QUANTITY, CEL_V(1, 28), quantity_minus, NULL, NULL },
};
const struct cel_lib cel_lib_quantity = {
	"kubernetes.quantity", quantity_funcs, ARRAY_LEN(quantity_funcs), { &quantity_type }
};
