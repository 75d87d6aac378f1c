/* The parser: recursive descent over the grammar of the language, a function for each level of precedence.
 *
 * Chains of && and || become balanced trees, as upstream makes them, so that long ones are not deep. A token too much
 * where an operand or the end ought to be is passed over, as ANTLR does; any other syntax error ends it: what ANTLR
 * says after its further recoveries is not worth repeating.
 */
#include "object/cel/lex.h"

#include "base/vec.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

struct parser {
	struct lexer lex;
	struct cel_compile *c;
	unsigned depth;
	bool failed;
};

static struct ast *parse_expr(struct parser *p);

static const char PARSE_PRIMARY[] =
    "'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, "
    "STRING, BYTES, IDENTIFIER";
static const char PARSE_PRIMARY_OR_CLOSE[] = "'[', '{', '(', ')', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, "
					     "NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER";

static void parse_tell(struct parser *p, const char *what, const char *expecting)
{
	struct sv t = p->lex.tok == TOK_END ? SV("<EOF>") : p->lex.text;

	if (!p->failed)
		cel_issue(p->c, p->lex.pos, "Syntax error: %s input '%.*s' expecting %s", what, SV_ARG(t), expecting);
}

static void *parse_fail(struct parser *p, const char *expecting)
{
	parse_tell(p, "mismatched", expecting);
	p->failed = true;
	return NULL;
}

/* Without this one token it would go on: it is told and passed over. */
static void parse_skip(struct parser *p, const char *expecting)
{
	parse_tell(p, "extraneous", expecting);
	lex_next(&p->lex);
}

static struct ast *parse_error(struct parser *p, uint32_t pos, const char *what)
{
	if (!p->failed)
		cel_issue(p->c, pos, "%s", what);
	p->failed = true;
	return NULL;
}

static bool parse_take(struct parser *p, enum tok tok)
{
	if (p->lex.tok != tok)
		return false;
	lex_next(&p->lex);
	return true;
}

static bool parse_need(struct parser *p, enum tok tok, const char *what)
{
	if (parse_take(p, tok))
		return true;
	parse_fail(p, what);
	return false;
}

/* --- lists of things --- */

struct parse_list {
	struct ast **p;
	bool *optional;
	uint32_t n, cap;
	bool any_optional;
};

static void parse_push(struct parser *p, struct parse_list *l, struct ast *e, bool optional)
{
	if (l->n == l->cap) {
		uint32_t cap = l->cap ? l->cap * 2 : 4;
		struct ast **more = ARENA_ARRAY(p->c->arena, struct ast *, cap);
		bool *opt = ARENA_ARRAY(p->c->arena, bool, cap);

		if (l->n) {
			memcpy(more, l->p, l->n * sizeof(*more));
			memcpy(opt, l->optional, l->n * sizeof(*opt));
		}
		l->p = more;
		l->optional = opt;
		l->cap = cap;
	}
	l->p[l->n] = e;
	l->optional[l->n++] = optional;
	l->any_optional |= optional;
}

/* Comma-separated expressions up to a bracket, which is taken; a comma may be last where trailing. */
static bool parse_exprs(struct parser *p, struct parse_list *l, enum tok close, const char *close_text, bool list)
{
	while (p->lex.tok != close) {
		bool optional = list && parse_take(p, TOK_QUESTION);
		struct ast *e;

		if (!list && l->n == 0 && p->lex.tok == TOK_END)
			return parse_fail(p, "{" /* the first may be missing */
					     "'[', '{', '(', ')', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, "
					     "NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}");
		e = parse_expr(p);
		if (!e)
			return false;
		parse_push(p, l, e, optional);
		if (!parse_take(p, TOK_COMMA))
			break;
		if (!list && p->lex.tok == close) {
			parse_fail(p, PARSE_PRIMARY);
			return false;
		}
	}
	return parse_need(p, close, close_text);
}

/* --- primaries --- */

static struct ast *parse_numeral(struct parser *p, bool negative)
{
	_cleanup_(arena_release) struct arena tmp = ARENA_INIT;
	struct sv t = p->lex.text;
	uint32_t pos = p->lex.pos;
	enum tok tok = p->lex.tok;
	char *text, *end;
	int base;
	uint64_t u;

	lex_next(&p->lex);
	if (tok == TOK_UINT)
		t.n--;
	text = arena_cstr(&tmp, t);
	if (tok == TOK_FLOAT) {
		double d = strtod(text, &end);

		if (d == (double)INFINITY)
			return parse_error(p, pos, "invalid double literal");
		return ast_const(p->c, pos, cel_double(negative ? -d : d));
	}
	base = t.n > 2 && (text[1] == 'x' || text[1] == 'X') ? 16 : 10;
	errno = 0;
	u = strtoull(text + (base == 16 ? 2 : 0), &end, base);
	if (errno == ERANGE)
		return parse_error(p, pos, tok == TOK_UINT ? "invalid uint literal" : "invalid int literal");
	if (tok == TOK_UINT)
		return negative ? parse_error(p, pos, "invalid uint literal") : ast_const(p->c, pos, cel_uint(u));
	if (u > (uint64_t)INT64_MAX + (negative ? 1 : 0))
		return parse_error(p, pos, "invalid int literal");
	return ast_const(p->c, pos, cel_int(negative ? (int64_t)(0 - u) : (int64_t)u));
}

static struct ast *parse_quoted(struct parser *p)
{
	struct cel_value v;
	const char *why;
	uint32_t pos = p->lex.pos;

	if (!cel_unquote(p->c->arena, p->lex.text, &v, &why))
		return parse_error(p, pos, why);
	lex_next(&p->lex);
	return ast_const(p->c, pos, v);
}

static struct ast *parse_list_literal(struct parser *p)
{
	struct ast *e = ast_new(p->c, AST_LIST, p->lex.pos);
	struct parse_list l = { 0 };

	lex_next(&p->lex);
	if (!parse_exprs(p, &l, TOK_RBRACKET, "']'", true))
		return NULL;
	e->args = l.p;
	e->n = l.n;
	e->optional = l.any_optional ? l.optional : NULL;
	return ast_done(p->c, e);
}

/* Entries of a map, or fields of a struct, up to the brace. */
static struct ast *parse_entries(struct parser *p, struct ast *e)
{
	struct parse_list l = { 0 };
	bool *optional;

	lex_next(&p->lex);
	while (p->lex.tok != TOK_RBRACE) {
		bool opt = parse_take(p, TOK_QUESTION);
		struct ast *key, *value;
		uint32_t pos;

		if (e->kind == AST_MAP) {
			key = parse_expr(p);
		} else if (p->lex.tok == TOK_IDENT || p->lex.tok == TOK_QUOTED_IDENT) {
			key = ast_ident(p->c, p->lex.pos, p->lex.text);
			lex_next(&p->lex);
		} else {
			key = parse_fail(p, "{'}', IDENTIFIER, ESC_IDENTIFIER}");
		}
		pos = p->lex.pos;
		if (!key || !parse_need(p, TOK_COLON, "':'"))
			return NULL;
		if (e->kind == AST_STRUCT)
			key->pos = pos;
		value = parse_expr(p);
		if (!value)
			return NULL;
		parse_push(p, &l, key, opt);
		parse_push(p, &l, value, opt);
		if (!parse_take(p, TOK_COMMA))
			break;
	}
	if (!parse_need(p, TOK_RBRACE, "{'}', ','}"))
		return NULL;
	e->args = l.p;
	e->n = l.n / 2;
	if (l.any_optional) {
		optional = ARENA_ARRAY(p->c->arena, bool, e->n);
		for (uint32_t i = 0; i < e->n; i++)
			optional[i] = l.optional[2 * i];
		e->optional = optional;
	}
	return ast_done(p->c, e);
}

/* Selections of names as one name with dots; SV_NULL when it is anything else. */
static struct sv parse_qualified(struct parser *p, const struct ast *e)
{
	if (e->kind == AST_IDENT)
		return e->name;
	if (e->kind == AST_SELECT && !e->test_only) {
		struct sv left = parse_qualified(p, e->target);

		return left.p ? arena_svf(p->c->arena, "%.*s.%.*s", SV_ARG(left), SV_ARG(e->name)) : SV_NULL;
	}
	return SV_NULL;
}

static struct ast *parse_call(struct parser *p, struct ast *target, struct sv name)
{
	struct ast *e = ast_new(p->c, AST_CALL, p->lex.pos), *macro;
	struct parse_list l = { 0 };
	bool bad = false;

	lex_next(&p->lex);
	if (p->lex.tok == TOK_END && !target)
		return parse_fail(p, arena_printf(p->c->arena, "{%s}", PARSE_PRIMARY_OR_CLOSE));
	if (!parse_exprs(p, &l, TOK_RPAREN, "')'", false))
		return NULL;
	e->name = name;
	e->target = target;
	e->member = target != NULL;
	e->args = l.p;
	e->n = l.n;
	ast_done(p->c, e);
	macro = p->c->no_macros ? NULL : cel_macro(p->c, e, &bad);
	if (bad) {
		p->failed = true;
		return NULL;
	}
	return macro ? macro : e;
}

static struct ast *parse_name(struct parser *p)
{
	bool dot = parse_take(p, TOK_DOT);
	uint32_t pos = p->lex.pos;
	struct sv name = p->lex.text;

	if (p->lex.tok == TOK_RESERVED)
		return parse_error(p, pos, arena_printf(p->c->arena, "reserved identifier: %.*s", SV_ARG(name)));
	if (p->lex.tok != TOK_IDENT)
		return parse_fail(p, "IDENTIFIER");
	lex_next(&p->lex);
	(void)dot; /* names have no container here: .a is a */
	if (p->lex.tok == TOK_LPAREN)
		return parse_call(p, NULL, name);
	return ast_ident(p->c, pos, name);
}

/* That begins an operand. */
static bool parse_begins(enum tok t)
{
	switch (t) {
	case TOK_DOT:
	case TOK_IDENT:
	case TOK_RESERVED:
	case TOK_LPAREN:
	case TOK_LBRACKET:
	case TOK_LBRACE:
	case TOK_INT:
	case TOK_UINT:
	case TOK_FLOAT:
	case TOK_STRING:
	case TOK_BYTES:
	case TOK_TRUE:
	case TOK_FALSE:
	case TOK_NULL:
	case TOK_MINUS:
	case TOK_NOT:
		return true;
	default:
		return false;
	}
}

static struct ast *parse_primary(struct parser *p)
{
	struct ast *e;

	switch (p->lex.tok) {
	case TOK_DOT:
	case TOK_IDENT:
	case TOK_RESERVED:
		return parse_name(p);
	case TOK_LPAREN:
		lex_next(&p->lex);
		e = parse_expr(p);
		return e && parse_need(p, TOK_RPAREN, "')'") ? e : NULL;
	case TOK_LBRACKET:
		return parse_list_literal(p);
	case TOK_LBRACE:
		return parse_entries(p, ast_new(p->c, AST_MAP, p->lex.pos));
	case TOK_INT:
	case TOK_UINT:
	case TOK_FLOAT:
		return parse_numeral(p, false);
	case TOK_STRING:
	case TOK_BYTES:
		return parse_quoted(p);
	case TOK_TRUE:
	case TOK_FALSE:
		e = ast_const(p->c, p->lex.pos, cel_bool(p->lex.tok == TOK_TRUE));
		break;
	case TOK_NULL:
		e = ast_const(p->c, p->lex.pos, cel_null());
		break;
	default:
		return parse_fail(p, arena_printf(p->c->arena, "{%s}", PARSE_PRIMARY));
	}
	lex_next(&p->lex);
	return e;
}

/* --- what follows a primary --- */

static struct ast *parse_select(struct parser *p, struct ast *e)
{
	uint32_t pos = p->lex.pos;
	bool optional;
	struct ast *sel;
	struct sv name;

	lex_next(&p->lex);
	optional = parse_take(p, TOK_QUESTION);
	name = p->lex.text;
	if (p->lex.tok != TOK_IDENT && p->lex.tok != TOK_QUOTED_IDENT && p->lex.tok != TOK_RESERVED)
		return parse_fail(p, "{IDENTIFIER, ESC_IDENTIFIER}");
	if (optional) {
		struct ast *args[] = { e, ast_const(p->c, p->lex.pos, cel_string(name)) };

		lex_next(&p->lex);
		return ast_call(p->c, pos, "_?._", 2, args);
	}
	if (p->lex.tok != TOK_QUOTED_IDENT) {
		lex_next(&p->lex); /* a reserved word is a name here: x.namespace('y') */
		if (p->lex.tok == TOK_LPAREN)
			return parse_call(p, e, name);
	} else {
		lex_next(&p->lex);
	}
	sel = ast_new(p->c, AST_SELECT, pos);
	sel->target = e;
	sel->name = name;
	return ast_done(p->c, sel);
}

static struct ast *parse_index(struct parser *p, struct ast *e)
{
	uint32_t pos = p->lex.pos;
	bool optional;
	struct ast *args[2] = { e, NULL };

	lex_next(&p->lex);
	optional = parse_take(p, TOK_QUESTION);
	args[1] = parse_expr(p);
	if (!args[1] || !parse_need(p, TOK_RBRACKET, "']'"))
		return NULL;
	return ast_call(p->c, pos, optional ? "_[?_]" : "_[_]", 2, args);
}

static struct ast *parse_member(struct parser *p)
{
	struct ast *e = parse_primary(p), *s;

	while (e && !p->c->too_large) {
		struct sv type;

		switch (p->lex.tok) {
		case TOK_DOT:
			e = parse_select(p, e);
			break;
		case TOK_LBRACKET:
			e = parse_index(p, e);
			break;
		case TOK_LBRACE:
			type = parse_qualified(p, e);
			if (!type.p)
				return e;
			s = ast_new(p->c, AST_STRUCT, p->lex.pos);
			s->name = type;
			e = parse_entries(p, s);
			break;
		default:
			return e;
		}
	}
	return p->c->too_large ? NULL : e;
}

static struct ast *parse_unary(struct parser *p)
{
	enum tok op;
	uint32_t pos;
	unsigned n = 0;
	struct ast *e;

	if (p->lex.tok != TOK_END && !parse_begins(p->lex.tok) && parse_begins(lex_behind(&p->lex)))
		parse_skip(p, arena_printf(p->c->arena, "{%s}", PARSE_PRIMARY));
	op = p->lex.tok;
	pos = p->lex.pos;
	if (op != TOK_NOT && op != TOK_MINUS)
		return parse_member(p);
	while (parse_take(p, op))
		n++;
	if (op == TOK_MINUS && n == 1 && (p->lex.tok == TOK_INT || p->lex.tok == TOK_FLOAT)) {
		e = parse_numeral(p, true);
		if (e)
			e->pos = pos;
		/* -1.foo() is the literal's */
		while (e && (p->lex.tok == TOK_DOT || p->lex.tok == TOK_LBRACKET) && !p->c->too_large)
			e = p->lex.tok == TOK_DOT ? parse_select(p, e) : parse_index(p, e);
		return e;
	}
	e = parse_member(p);
	return e && n % 2 ? ast_call(p->c, pos, op == TOK_NOT ? "!_" : "-_", 1, &e) : e;
}

/* --- operators with two sides --- */

static const struct {
	uint8_t tok, level;
	const char *name;
} parse_ops[] = {
	{ TOK_EQ, 1, "_==_" },	 { TOK_NE, 1, "_!=_" },	 { TOK_LT, 1, "_<_" },	  { TOK_LE, 1, "_<=_" },
	{ TOK_GT, 1, "_>_" },	 { TOK_GE, 1, "_>=_" },	 { TOK_IN, 1, "@in" },	  { TOK_PLUS, 2, "_+_" },
	{ TOK_MINUS, 2, "_-_" }, { TOK_STAR, 3, "_*_" }, { TOK_SLASH, 3, "_/_" }, { TOK_PERCENT, 3, "_%_" },
};

/* The operator that is next, when it binds at least as tightly as level; else NULL. */
static const char *parse_op(const struct parser *p, unsigned level, unsigned *is)
{
	for (size_t i = 0; i < ARRAY_LEN(parse_ops); i++)
		if (parse_ops[i].tok == p->lex.tok && parse_ops[i].level >= level) {
			*is = parse_ops[i].level;
			return parse_ops[i].name;
		}
	return NULL;
}

/* One function for all levels: nested expressions go through it each time. */
static struct ast *parse_binary(struct parser *p, unsigned level)
{
	struct ast *args[2];
	const char *name;
	unsigned is;

	args[0] = parse_unary(p);
	while (args[0] && !p->c->too_large && (name = parse_op(p, level, &is))) {
		uint32_t pos = p->lex.pos;

		lex_next(&p->lex);
		args[1] = parse_binary(p, is + 1);
		args[0] = args[1] ? ast_call(p->c, pos, name, 2, args) : NULL;
	}
	return p->c->too_large ? NULL : args[0];
}

static struct ast *parse_relation(struct parser *p)
{
	return parse_binary(p, 1);
}

/* Operands lo..hi+1 with the operators lo..hi between them, as a tree of little depth. */
static struct ast *parse_balance(struct parser *p, const char *op, struct ast **terms, const uint32_t *pos, size_t lo,
				 size_t hi)
{
	size_t mid = (lo + hi + 1) / 2;
	struct ast *args[2];

	args[0] = mid == lo ? terms[mid] : parse_balance(p, op, terms, pos, lo, mid - 1);
	args[1] = mid == hi ? terms[mid + 1] : parse_balance(p, op, terms, pos, mid + 1, hi);
	return ast_call(p->c, pos[mid], op, 2, args);
}

static struct ast *parse_logic(struct parser *p, enum tok tok, const char *op, struct ast *(*side)(struct parser *))
{
	struct parse_list terms = { 0 };
	VEC(uint32_t) pos = VEC_INIT;
	struct ast *e = side(p);

	if (!e || p->lex.tok != tok)
		return e;
	parse_push(p, &terms, e, false);
	while (e && p->lex.tok == tok) {
		vec_push(&pos, p->lex.pos);
		lex_next(&p->lex);
		e = side(p);
		parse_push(p, &terms, e, false);
	}
	if (e)
		e = parse_balance(p, op, terms.p, pos.p, 0, pos.n - 1);
	vec_release(&pos);
	return e;
}

static struct ast *parse_and(struct parser *p)
{
	return parse_logic(p, TOK_AND, "_&&_", parse_relation);
}

static struct ast *parse_or(struct parser *p)
{
	return parse_logic(p, TOK_OR, "_||_", parse_and);
}

static struct ast *parse_expr(struct parser *p)
{
	struct ast *args[3];
	uint32_t pos;

	if (++p->depth > CEL_DEPTH_MAX) {
		p->c->too_large = true;
		return parse_error(p, p->lex.pos,
				   arena_printf(p->c->arena, "expression recursion limit exceeded: %d", CEL_DEPTH_MAX));
	}
	args[0] = parse_or(p);
	pos = p->lex.pos;
	if (args[0] && parse_take(p, TOK_QUESTION)) {
		args[1] = parse_or(p);
		args[2] = args[1] && parse_need(p, TOK_COLON, "':'") ? parse_expr(p) : NULL;
		args[0] = args[2] ? ast_call(p->c, pos, "_?_:_", 3, args) : NULL;
	}
	p->depth--;
	return args[0] && !p->c->too_large ? args[0] : NULL;
}

struct ast *cel_parse(struct cel_compile *c)
{
	struct parser p = { .lex = { .c = c }, .c = c };
	struct ast *e;

	lex_next(&p.lex);
	e = parse_expr(&p);
	if (e && p.lex.tok != TOK_END) {
		if (lex_behind(&p.lex) == TOK_END)
			parse_skip(&p, "<EOF>");
		else
			parse_fail(&p, "<EOF>");
	}
	return c->issues->n ? NULL : e;
}
