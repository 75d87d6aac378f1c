/* Label selectors: the grammar of labels.Parse and metav1.LabelSelector.
 *
 * Error texts are upstream's to the letter ("unable to parse requirement: ..."): kubectl prints
 * them and clients match on them. "<nil>" in one of them is upstream's empty field path.
 * Requirements are kept sorted by key, as upstream, so that one selector has one text. */
#include "object/selector-internal.h"

#include "base/vec.h"
#include "object/validate.h"

#include <stdlib.h>

/* --- requirements --- */

static void add_violation(struct buf *b, size_t *n, struct sv path, struct sv value, const char *why)
{
	buf_adds(b, *n ? ", " : "");
	++*n;
	buf_addsv(b, path);
	buf_adds(b, ": Invalid value: \"");
	for (size_t i = 0; i < value.n; i++) {
		if (value.p[i] == '"' || value.p[i] == '\\')
			buf_addc(b, '\\');
		buf_addc(b, value.p[i]);
	}
	buf_printf(b, "\": %s", why);
}

/* Checks key and values and fills the rest of r. */
static int requirement_finish(struct arena *a, struct requirement *r, struct err *err)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	const char *why = fmt_qualified_name(r->key);
	size_t bad = 0;
	int result = 0;

	if (why)
		add_violation(&b, &bad, SV("key"), r->key, why);
	if ((r->op == OP_IN || r->op == OP_NOT_IN) && r->n == 0)
		buf_printf(&b, "%svalues: Invalid value: []: for 'in', 'notin' operators, values set can't be empty",
			   bad++ ? ", " : "");
	if ((r->op == OP_EXISTS || r->op == OP_NOT_EXISTS) && r->n != 0)
		add_violation(&b, &bad, SV("values"), r->values[0],
			      "values set must be empty for exists and does not exist");
	if ((r->op == OP_GT || r->op == OP_LT) && !(r->n == 1 && sv_to_i64(r->values[0], &r->bound)))
		add_violation(&b, &bad, SV("values[0]"), r->n ? r->values[0] : SV(""),
			      "for 'Gt', 'Lt' operators, the value must be an integer");
	for (size_t i = 0; i < r->n; i++) {
		why = fmt_label_value(r->values[i]);
		if (why)
			add_violation(&b, &bad, arena_svf(a, "values[%zu][%.*s]", i, SV_ARG(r->key)), r->values[i],
				      why);
	}
	r->sym = sym_find(r->key);
	if (bad == 1)
		result = err_set(err, ERR_BAD_REQUEST, "%s", buf_cstr(&b));
	else if (bad)
		result = err_set(err, ERR_BAD_REQUEST, "[%s]", buf_cstr(&b));
	return result;
}

/* By key; among equal keys any fixed order will do. */
static int req_cmp(const void *a, const void *b)
{
	const struct requirement *x = a, *y = b;
	int c = sv_order(&x->key, &y->key);

	return c ? c : (x->values > y->values) - (x->values < y->values);
}

static void values_sort_unique(struct requirement *r)
{
	size_t w = 0;

	if (r->n < 2)
		return;
	qsort(r->values, r->n, sizeof(struct sv), sv_order);
	for (size_t i = 0; i < r->n; i++) {
		if (!w || !sv_eq(r->values[w - 1], r->values[i]))
			r->values[w++] = r->values[i];
	}
	r->n = w;
}

struct reqs {
	struct requirement *p;
	size_t n, cap; /* as VEC() */
};

static struct selector *selector_make(struct arena *a, const struct requirement *reqs, size_t n)
{
	struct selector *s = ARENA_NEW(a, struct selector);

	s->n = n;
	if (n) {
		s->reqs = ARENA_ARRAY(a, struct requirement, n);
		memcpy(s->reqs, reqs, n * sizeof(*reqs));
		qsort(s->reqs, n, sizeof(*s->reqs), req_cmp);
	}
	selector_ready(a, s);
	return s;
}

/* --- lexer --- */

enum token {
	TOK_ERROR,
	TOK_END,
	TOK_CLOSE,
	TOK_COMMA,
	TOK_NOT,
	TOK_DOUBLE_EQUALS,
	TOK_EQUALS,
	TOK_GT,
	TOK_ID,
	TOK_IN,
	TOK_LT,
	TOK_NOT_EQUALS,
	TOK_NOT_IN,
	TOK_OPEN
};

struct lexer {
	struct sv text;
	size_t at;
	/* the token that comes next */
	enum token tok;
	struct sv lit;
	struct arena *a;
};

static bool selector_is_special(char c)
{
	return c && strchr("=!(),><", c);
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static enum token special_token(struct sv s)
{
	static const struct {
		const char *text;
		enum token tok;
	} table[] = {
		{ ")", TOK_CLOSE },  { ",", TOK_COMMA }, { "!", TOK_NOT }, { "==", TOK_DOUBLE_EQUALS },
		{ "=", TOK_EQUALS }, { ">", TOK_GT },	 { "<", TOK_LT },  { "!=", TOK_NOT_EQUALS },
		{ "(", TOK_OPEN },
	};

	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		if (sv_is(s, table[i].text))
			return table[i].tok;
	}
	return TOK_ERROR;
}

/* Moves on to the next token. Every special character begins a token by itself, so at most two
 * of them make one. */
static void lex(struct lexer *l)
{
	size_t start;

	while (l->at < l->text.n && is_blank(l->text.p[l->at]))
		l->at++;
	start = l->at;
	if (l->at == l->text.n || l->text.p[l->at] == '\0') {
		l->tok = TOK_END;
		l->lit = SV("");
		return;
	}
	if (selector_is_special(l->text.p[l->at])) {
		l->tok = special_token(sv_sub(l->text, start, 1));
		l->at++;
		if (l->at < l->text.n && special_token(sv_sub(l->text, start, 2)) != TOK_ERROR)
			l->tok = special_token(sv_sub(l->text, start, ++l->at - start));
		l->lit = sv_sub(l->text, start, l->at - start);
		return;
	}
	while (l->at < l->text.n && l->text.p[l->at] && !selector_is_special(l->text.p[l->at]) &&
	       !is_blank(l->text.p[l->at]))
		l->at++;
	l->lit = sv_sub(l->text, start, l->at - start);
	l->tok = sv_is(l->lit, "in") ? TOK_IN : sv_is(l->lit, "notin") ? TOK_NOT_IN : TOK_ID;
}

/* Where a key or value is expected, the words of operators are names like others. */
static bool at_name(const struct lexer *l)
{
	return l->tok == TOK_ID || l->tok == TOK_IN || l->tok == TOK_NOT_IN;
}

/* --- parser --- */

struct values {
	struct sv *p;
	size_t n, cap; /* as VEC() */
};

/* "(a,,b)", the parenthesis still ahead. */
static int parse_values(struct lexer *l, struct values *values, struct err *err)
{
	struct sv first;

	if (l->tok != TOK_OPEN)
		return err_set(err, ERR_BAD_REQUEST, "found '%.*s' expected: '('", SV_ARG(l->lit));
	lex(l);
	first = l->lit;
	if (l->tok == TOK_CLOSE) {
		vec_push(values, SV(""));
		lex(l);
		return 0;
	}
	if (!at_name(l) && l->tok != TOK_COMMA)
		return err_set(err, ERR_BAD_REQUEST, "found '%.*s', expected: ',', ')' or identifier", SV_ARG(first));
	for (;;) {
		if (at_name(l)) {
			vec_push(values, l->lit);
			lex(l);
			if (l->tok == TOK_CLOSE)
				break;
			if (l->tok != TOK_COMMA)
				return err_set(err, ERR_BAD_REQUEST, "found '%.*s', expected: ',' or ')'",
					       SV_ARG(l->lit));
		} else if (l->tok == TOK_COMMA) {
			if (values->n == 0)
				vec_push(values, SV(""));
			lex(l);
			if (l->tok == TOK_CLOSE || l->tok == TOK_COMMA)
				vec_push(values, SV(""));
			if (l->tok == TOK_CLOSE)
				break;
		} else {
			return err_set(err, ERR_BAD_REQUEST, "found '%.*s', expected: ',', or identifier",
				       SV_ARG(l->lit));
		}
	}
	lex(l);
	return 0;
}

static int parse_operator(struct lexer *l, enum op *ret, struct err *err)
{
	switch (l->tok) {
	case TOK_IN:
		*ret = OP_IN;
		break;
	case TOK_NOT_IN:
		*ret = OP_NOT_IN;
		break;
	case TOK_EQUALS:
		*ret = OP_EQUALS;
		break;
	case TOK_DOUBLE_EQUALS:
		*ret = OP_DOUBLE_EQUALS;
		break;
	case TOK_NOT_EQUALS:
		*ret = OP_NOT_EQUALS;
		break;
	case TOK_GT:
		*ret = OP_GT;
		break;
	case TOK_LT:
		*ret = OP_LT;
		break;
	default:
		return err_set(err, ERR_BAD_REQUEST, "found '%.*s', expected: in, notin, =, ==, !=, gt, lt",
			       SV_ARG(l->lit));
	}
	lex(l);
	return 0;
}

static int parse_requirement(struct lexer *l, struct requirement *r, struct values *values, struct err *err)
{
	bool negated = l->tok == TOK_NOT;
	const char *why;

	if (negated)
		lex(l);
	if (!at_name(l))
		return err_set(err, ERR_BAD_REQUEST, "found '%.*s', expected: identifier", SV_ARG(l->lit));
	r->key = arena_sv(l->a, l->lit);
	why = fmt_qualified_name(r->key);
	if (why) {
		_cleanup_(buf_release) struct buf b = BUF_INIT;
		size_t n = 0;

		add_violation(&b, &n, SV("<nil>"), r->key, why);
		return err_set(err, ERR_BAD_REQUEST, "%s", buf_cstr(&b));
	}
	lex(l);
	if (l->tok == TOK_END || l->tok == TOK_COMMA || negated) {
		r->op = negated ? OP_NOT_EXISTS : OP_EXISTS;
		return requirement_finish(l->a, r, err);
	}
	if (parse_operator(l, &r->op, err) < 0)
		return -1;
	if (r->op == OP_IN || r->op == OP_NOT_IN) {
		if (parse_values(l, values, err) < 0)
			return -1;
	} else if (l->tok == TOK_END || l->tok == TOK_COMMA) {
		vec_push(values, SV(""));
	} else if (at_name(l)) {
		vec_push(values, l->lit);
		lex(l);
	} else {
		return err_set(err, ERR_BAD_REQUEST, "found '%.*s', expected: identifier", SV_ARG(l->lit));
	}
	r->n = values->n;
	r->values = ARENA_ARRAY(l->a, struct sv, r->n);
	for (size_t i = 0; i < r->n; i++)
		r->values[i] = arena_sv(l->a, values->p[i]);
	values_sort_unique(r);
	return requirement_finish(l->a, r, err);
}

static int parse_all(struct lexer *l, struct reqs *reqs, struct err *err)
{
	struct values values = VEC_INIT;
	int result = -1;

	lex(l);
	for (;;) {
		struct requirement r = { 0 };

		if (l->tok == TOK_END)
			break;
		if (!at_name(l) && l->tok != TOK_NOT) {
			err_set(err, ERR_BAD_REQUEST, "found '%.*s', expected: !, identifier, or 'end of string'",
				SV_ARG(l->lit));
			goto out;
		}
		vec_clear(&values);
		if (parse_requirement(l, &r, &values, err) < 0) {
			err_wrap(err, "unable to parse requirement");
			goto out;
		}
		vec_push(reqs, r);
		if (l->tok == TOK_END)
			break;
		if (l->tok != TOK_COMMA) {
			err_set(err, ERR_BAD_REQUEST, "found '%.*s', expected: ',' or 'end of string'", SV_ARG(l->lit));
			goto out;
		}
		lex(l);
		if (!at_name(l) && l->tok != TOK_NOT) {
			err_set(err, ERR_BAD_REQUEST, "found '%.*s', expected: identifier after ','", SV_ARG(l->lit));
			goto out;
		}
	}
	result = 0;
out:
	vec_release(&values);
	return result;
}

const struct selector *selector_parse(struct arena *a, struct sv text, struct err *err)
{
	struct lexer l = { .text = text, .a = a };
	struct selector *s = NULL;
	struct reqs reqs = VEC_INIT;

	if (parse_all(&l, &reqs, err) == 0)
		s = selector_make(a, reqs.p, reqs.n);
	vec_release(&reqs);
	return s;
}

/* --- from objects --- */

static bool label_selector_op(struct sv name, enum op *ret)
{
	static const struct {
		const char *name;
		enum op op;
	} table[] = {
		{ "In", OP_IN },
		{ "NotIn", OP_NOT_IN },
		{ "Exists", OP_EXISTS },
		{ "DoesNotExist", OP_NOT_EXISTS },
	};

	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		if (sv_is(name, table[i].name)) {
			*ret = table[i].op;
			return true;
		}
	}
	return false;
}

static struct requirement requirement_equals(struct arena *a, struct sv key, struct sv value)
{
	struct requirement r = { .op = OP_EQUALS, .n = 1 };

	r.key = arena_sv(a, key);
	r.sym = sym_find(key);
	r.values = ARENA_NEW(a, struct sv);
	r.values[0] = arena_sv(a, value);
	return r;
}

static int requirement_from_expression(struct arena *a, const struct val *e, struct requirement *r, struct err *err)
{
	const struct val *values = val_member(e, F_values);
	struct sv op = val_get_str(e, F_operator);

	*r = (struct requirement){ .key = arena_sv(a, val_get_str(e, F_key)), .n = val_len(values) };
	if (!label_selector_op(op, &r->op))
		return err_set(err, ERR_BAD_REQUEST, "\"%.*s\" is not a valid label selector operator", SV_ARG(op));
	r->values = ARENA_ARRAY(a, struct sv, r->n);
	for (size_t i = 0; i < r->n; i++)
		r->values[i] = arena_sv(a, val_str(val_at(values, i)));
	if (requirement_finish(a, r, err) < 0) /* names values by their places */
		return -1;
	if (r->n > 1)
		qsort(r->values, r->n, sizeof(struct sv), sv_order);
	return 0;
}

const struct selector *selector_from_label_selector(struct arena *a, const struct val *ls, struct err *err)
{
	struct selector *s = NULL;
	struct reqs reqs = VEC_INIT;

	if (val_type(ls) != VAL_MAP) {
		s = ARENA_NEW(a, struct selector);
		s->nothing = true;
		return s;
	}
	VAL_EACH_MEMBER(val_member(ls, F_matchLabels), m) {
		struct requirement r = requirement_equals(a, m.key, val_str(m.value));

		if (requirement_finish(a, &r, err) < 0)
			goto out;
		vec_push(&reqs, r);
	}
	VAL_EACH(val_member(ls, F_matchExpressions), e) {
		struct requirement r;

		if (requirement_from_expression(a, e, &r, err) < 0)
			goto out;
		vec_push(&reqs, r);
	}
	s = selector_make(a, reqs.p, reqs.n);
out:
	vec_release(&reqs);
	return s;
}

const struct selector *selector_from_map(struct arena *a, const struct val *map)
{
	struct selector *s;
	struct reqs reqs = VEC_INIT;

	VAL_EACH_MEMBER(map, m) {
		vec_push(&reqs, requirement_equals(a, m.key, val_str(m.value)));
	}
	s = selector_make(a, reqs.p, reqs.n);
	vec_release(&reqs);
	return s;
}

/* --- use --- */

bool selector_empty(const struct selector *s)
{
	return !s || (!s->nothing && s->n == 0);
}

static void requirement_format(struct buf *b, const struct requirement *r)
{
	static const char *const infix[] = {
		[OP_IN] = " in (",	[OP_NOT_IN] = " notin (", [OP_EQUALS] = "=",	[OP_DOUBLE_EQUALS] = "==",
		[OP_NOT_EQUALS] = "!=", [OP_EXISTS] = "",	  [OP_NOT_EXISTS] = "", [OP_GT] = ">",
		[OP_LT] = "<",
	};
	struct sv *sorted;

	if (r->op == OP_NOT_EXISTS)
		buf_addc(b, '!');
	buf_addsv(b, r->key);
	buf_adds(b, infix[r->op]);
	if (r->n) {
		sorted = xmemdup(r->values, r->n * sizeof(*sorted));
		qsort(sorted, r->n, sizeof(*sorted), sv_order);
		for (size_t i = 0; i < r->n; i++) {
			buf_adds(b, i ? "," : "");
			buf_addsv(b, sorted[i]);
		}
		free(sorted);
	}
	if (r->op == OP_IN || r->op == OP_NOT_IN)
		buf_addc(b, ')');
}

void selector_format(struct buf *b, const struct selector *s)
{
	for (size_t i = 0; s && i < s->n; i++) {
		buf_adds(b, i ? "," : "");
		requirement_format(b, &s->reqs[i]);
	}
}

struct val *selector_requirements(struct arena *a, const struct selector *s)
{
	static const char *const names[] = {
		[OP_IN] = "In",
		[OP_NOT_IN] = "NotIn",
		[OP_EQUALS] = "In",
		[OP_DOUBLE_EQUALS] = "In",
		[OP_NOT_EQUALS] = "NotIn",
		[OP_EXISTS] = "Exists",
		[OP_NOT_EXISTS] = "DoesNotExist",
	};
	struct val *list = val_new_list(a);

	for (size_t i = 0; s && i < s->n; i++) {
		const struct requirement *r = &s->reqs[i];
		struct val *one, *values;

		if (r->op == OP_GT || r->op == OP_LT)
			continue;
		one = val_new_map(a);
		val_set_str_sv(a, one, SV("key"), r->key);
		val_set_str_sv(a, one, SV("operator"), sv_from(names[r->op]));
		if (r->n) {
			values = val_new_list(a);
			for (size_t k = 0; k < r->n; k++)
				val_push(a, values, val_new_str(a, r->values[k]));
			val_set_sv(a, one, SV("values"), values);
		}
		val_push(a, list, one);
	}
	return list;
}
