/* apply_check.c - is a configuration of its type? Asked before it is merged.
 *
 * The merge looks at nothing below an atomic value, and decoding the result drops what the type
 * does not declare. So a configuration is walked as a whole first, also where it is atomic, and
 * everything that is wrong is named. Texts and order are structured-merge-diff's: a struct is left
 * at its first undeclared member, a list at its first item that cannot be told from the others.
 * null is of every type: an applier says with it that a field is not there. */
#include "object/apply-internal.h"

#include "base/buf.h"
#include "codec/json.h"

#include <stdlib.h>

#define CHECK_TEXT_MAX ((size_t)16 * 1024) /* bytes of message after which nothing more is looked for */

struct check_step {
	const struct check_step *up;
	struct sv text; /* as of a field set: "f:spec", "i:0" */
};

struct check {
	struct arena *a;
	struct buf text; /* one line a fault, each begun with "\n  " */
	size_t n;
};

static bool check_full(const struct check *c)
{
	return c->text.n > CHECK_TEXT_MAX;
}

static void check_path(struct check *c, const struct check_step *at)
{
	if (!at)
		return;
	check_path(c, at->up);
	fset_path_element(c->a, &c->text, at->text);
}

static _printf_(3, 4) void check_fault(struct check *c, const struct check_step *at, const char *fmt, ...)
{
	va_list ap;

	c->n++;
	buf_adds(&c->text, "\n  ");
	check_path(c, at);
	buf_adds(&c->text, at ? ": " : "");
	va_start(ap, fmt);
	buf_vprintf(&c->text, fmt, ap);
	va_end(ap);
}

/* A value that is not what it should be is shown as Go shows it, each kind in its own way. */
static void check_is_not(struct check *c, const struct check_step *at, const char *expected, const struct val *v)
{
	struct sv text = val_go_text(c->a, v);

	check_fault(c, at, "expected %s, got &{%.*s}", expected, SV_ARG(text));
}

static const char *check_go_type(const struct val *v)
{
	switch (val_type(v)) {
	case VAL_BOOL:
		return "bool";
	case VAL_LIST:
		return "[]interface {}";
	case VAL_MAP:
		return "map[string]interface {}";
	default:
		return "string";
	}
}

static void check_struct(struct check *c, const struct schema *s, const struct val *v, const struct check_step *at);

static void check_one(struct check *c, const struct field *f, const struct val *v, const struct check_step *at)
{
	bool scalar = v->type == VAL_BOOL || v->type == VAL_INT || v->type == VAL_FLOAT || v->type == VAL_STR;

	switch ((enum field_kind)f->kind) {
	case FIELD_BOOL:
		if (v->type != VAL_BOOL)
			check_is_not(c, at, "boolean", v);
		return;
	case FIELD_INT32:
	case FIELD_INT64:
	case FIELD_FLOAT64:
		if (v->type != VAL_INT && v->type != VAL_FLOAT)
			check_fault(c, at, "expected numeric (int or float), got %s", check_go_type(v));
		return;
	case FIELD_STRING:
	case FIELD_BYTES:
	case FIELD_DURATION:
		if (v->type != VAL_STR) {
			_cleanup_(buf_release) struct buf b = BUF_INIT;

			json_encode(&b, v);
			check_fault(c, at, "expected string, got &value.valueUnstructured{Value:%s}", buf_cstr(&b));
		}
		return;
	case FIELD_TIME:
	case FIELD_MICROTIME:
	case FIELD_QUANTITY:
	case FIELD_INT_OR_STRING:
		if (!scalar)
			check_is_not(c, at, "any scalar", v);
		return;
	case FIELD_STRUCT:
		if (v->type == VAL_MAP)
			check_struct(c, f->type, v, at);
		else
			check_is_not(c, at, "map", v);
		return;
	default:
		return;
	}
}

/* One item of a list, or one member of a map. */
static void check_element(struct check *c, const struct field *f, const struct val *v, const struct check_step *at)
{
	struct check_step step = { .up = at };
	size_t i = 0;

	if (v->type == VAL_NULL)
		return;
	if (f->card != CARD_MAP || f->inner_card == CARD_ONE) {
		check_one(c, f, v, at);
		return;
	}
	if (v->type != VAL_LIST) {
		check_is_not(c, at, "list", v);
		return;
	}
	VAL_EACH(v, it) {
		if (check_full(c))
			return;
		step.text = arena_svf(c->a, "i:%zu", i++);
		if (it->type != VAL_NULL)
			check_one(c, f, it, &step);
	}
}

static bool check_keyed(const struct field *f)
{
	return f->topology == TOPO_MAP && f->list_keys && f->kind == FIELD_STRUCT;
}

/* How an item is told from the others; false and a fault when nothing does. */
static bool check_identity(struct check *c, const struct field *f, const struct val *v, size_t i,
			   const struct check_step *at, struct sv *ret)
{
	_cleanup_(err_release) struct err err = ERR_INIT;

	if (check_keyed(f)) {
		if (v->type == VAL_NULL) {
			check_fault(c, at, "element %zu: associative list with keys may not have a null element", i);
			return false;
		}
		if (fpart_keys_text(c->a, f, v, true, ret, &err) < 0) {
			check_fault(c, at, "element %zu: %s", i, err_msg(&err));
			return false;
		}
	} else if (f->topology == TOPO_SET) {
		if (v->type == VAL_MAP || v->type == VAL_LIST) {
			check_fault(c, at, "element %zu: %s", i,
				    v->type == VAL_MAP
					? "associative list without keys has an element that's a map type"
					: "not supported: associative list with lists as elements");
			return false;
		}
		*ret = fpart_value_text(c->a, v);
	} else {
		*ret = arena_svf(c->a, "i:%zu", i);
	}
	return true;
}

struct check_item {
	struct sv text;
	size_t i;
};

static int check_item_cmp(const void *x, const void *y)
{
	const struct check_item *a = x, *b = y;
	int c = sv_cmp(a->text, b->text);

	return c ? c : a->i < b->i ? -1 : a->i > b->i;
}

/* Which items have the identity of an earlier one. */
static bool *check_repeated(struct arena *a, const struct sv *texts, size_t n)
{
	struct check_item *sorted = ARENA_ARRAY(a, struct check_item, n + 1);
	bool *repeated = ARENA_ARRAY(a, bool, n + 1);

	for (size_t i = 0; i < n; i++)
		sorted[i] = (struct check_item){ texts[i], i };
	if (n > 1)
		qsort(sorted, n, sizeof(*sorted), check_item_cmp);
	for (size_t i = 1; i < n; i++)
		repeated[sorted[i].i] = sv_eq(sorted[i].text, sorted[i - 1].text);
	return repeated;
}

static void apply_check_list(struct check *c, const struct field *f, const struct val *v, const struct check_step *at)
{
	struct sv *texts = ARENA_ARRAY(c->a, struct sv, val_len(v) + 1);
	struct check unidentified = { .a = c->a, .text = BUF_INIT };
	size_t n = 0;
	bool *repeated;

	VAL_EACH(v, it) {
		if (!check_identity(&unidentified, f, it, n, at, &texts[n]))
			break;
		n++;
	}
	repeated = check_keyed(f) || f->topology == TOPO_SET ? check_repeated(c->a, texts, n) : NULL;
	for (size_t i = 0; i < n && !check_full(c); i++) {
		struct check_step step = { .up = at, .text = texts[i] };

		if (repeated && repeated[i]) {
			_cleanup_(buf_release) struct buf b = BUF_INIT;

			fset_path_element(c->a, &b, texts[i]);
			check_fault(c, at, "duplicate entries for key %s", buf_cstr(&b));
		}
		check_element(c, f, val_at(v, i), &step);
	}
	c->n += unidentified.n;
	buf_addsv(&c->text, buf_sv(&unidentified.text));
	buf_release(&unidentified.text);
}

static void check_field(struct check *c, const struct field *f, const struct val *v, const struct check_step *at)
{
	if (v->type == VAL_NULL)
		return;
	if (f->card == CARD_ONE) {
		check_one(c, f, v, at);
	} else if (v->type != (f->card == CARD_LIST ? VAL_LIST : VAL_MAP)) {
		check_is_not(c, at, f->card == CARD_LIST ? "list" : "map", v);
	} else if (f->card == CARD_LIST) {
		apply_check_list(c, f, v, at);
	} else {
		VAL_EACH_MEMBER(v, m) {
			struct check_step step = { .up = at, .text = fset_field_text(c->a, m.key) };

			if (check_full(c))
				return;
			check_element(c, f, m.value, &step);
		}
	}
}

static void check_struct(struct check *c, const struct schema *s, const struct val *v, const struct check_step *at)
{
	VAL_EACH_MEMBER(v, m) {
		const struct field *f = schema_member(s, m.sym, m.key);
		struct check_step step = { .up = at, .text = fset_field_text(c->a, m.key) };

		if (check_full(c))
			return;
		if (!f && s->open)
			continue;
		if (!f || f->flags & FF_HIDDEN) {
			check_fault(c, &step, "field not declared in schema");
			return;
		}
		check_field(c, f, m.value, &step);
	}
}

int typed_check(struct arena *a, const struct schema *s, const struct val *v, struct err *err)
{
	struct check c = { .a = a, .text = BUF_INIT };

	if (s && val_type(v) == VAL_MAP)
		check_struct(&c, s, v, NULL);
	if (c.n)
		/* One fault stands on the line, several below it. */
		err_set(err, ERR_UNKNOWN, "%s%s", c.n > 1 ? "errors:" : "", buf_cstr(&c.text) + (c.n > 1 ? 0 : 3));
	buf_release(&c.text);
	return c.n ? -1 : 0;
}
