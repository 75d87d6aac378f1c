/* Paths of printer columns: parsed to a list of steps, walked depth first until a first value is found. That is the
 * first of what upstream's evaluation, which goes step by step over lists, would come to. */
#include "object/jsonpath.h"

#include <stdlib.h>

#define STEPS_MAX 64 /* of a path, those of its filters included; the walk recurses along them */

enum step_kind { STEP_NAMES, STEP_INDEXES, STEP_SLICE, STEP_ALL, STEP_BELOW, STEP_FILTER };
enum filter_op { OP_EXISTS, OP_EQ, OP_NE, OP_LT, OP_LE, OP_GT, OP_GE };

struct operand {
	const struct path_step *path; /* NULL: a constant */
	struct val constant;
};

struct path_step {
	struct path_step *next;
	enum step_kind kind;
	size_t n;
	struct sv *names;
	int64_t *indexes;
	int64_t from, to, by; /* of a slice */
	bool has_from, has_to;
	enum filter_op op;
	struct operand left, right;
};

struct jsonpath {
	struct path_step *first;
};

struct parser {
	struct arena *a;
	struct sv text;
	size_t at;
	unsigned steps;
	struct err *err;
};

/* --- parsing --- */

static int jp_fail(struct parser *p, const char *why)
{
	return err_set(p->err, ERR_BAD_REQUEST, "the path '%.*s' cannot be read at byte %zu: %s",
		       (int)MIN(p->text.n, (size_t)128), p->text.p, p->at, why);
}

static char jp_peek(const struct parser *p)
{
	return p->at < p->text.n ? p->text.p[p->at] : '\0';
}

static bool jp_take(struct parser *p, const char *word)
{
	if (!sv_starts(sv_sub(p->text, p->at, p->text.n), sv_from(word)))
		return false;
	p->at += strlen(word);
	return true;
}

static void jp_blank(struct parser *p)
{
	while (jp_peek(p) == ' ')
		p->at++;
}

static struct path_step *jp_step(struct parser *p, enum step_kind kind)
{
	struct path_step *s;

	if (++p->steps > STEPS_MAX) {
		(void)jp_fail(p, "it has too many steps");
		return NULL;
	}
	s = ARENA_NEW(p->a, struct path_step);
	s->kind = kind;
	return s;
}

static struct path_step *jp_names(struct parser *p, size_t room)
{
	struct path_step *s = jp_step(p, STEP_NAMES);

	if (s)
		s->names = ARENA_ARRAY(p->a, struct sv, room);
	return s;
}

/* Behind a dot: up to what begins another step. */
static struct path_step *jp_word(struct parser *p)
{
	struct path_step *s;
	char *out = arena_alloc(p->a, p->text.n - p->at + 1);
	size_t n = 0;

	while (p->at < p->text.n && !strchr(".[]()| =!<>,&", jp_peek(p))) {
		if (jp_peek(p) == '\\' && p->at + 1 < p->text.n)
			p->at++;
		out[n++] = p->text.p[p->at++];
	}
	if (!n) {
		(void)jp_fail(p, "a name is missing");
		return NULL;
	}
	if (n == 1 && *out == '*')
		return jp_step(p, STEP_ALL);
	s = jp_names(p, 1);
	if (s)
		s->names[s->n++] = sv_make(out, n);
	return s;
}

/* A text between quotes. */
static bool jp_quoted(struct parser *p, struct sv *ret)
{
	char quote = jp_peek(p), *out;
	size_t n = 0;

	if (quote != '\'' && quote != '"')
		return false;
	out = arena_alloc(p->a, p->text.n - p->at + 1);
	for (p->at++; p->at < p->text.n; p->at++) {
		if (jp_peek(p) == quote) {
			p->at++;
			*ret = sv_make(out, n);
			return true;
		}
		if (jp_peek(p) == '\\' && p->at + 1 < p->text.n)
			p->at++;
		out[n++] = jp_peek(p);
	}
	return false;
}

static bool jp_int(struct parser *p, int64_t *ret)
{
	size_t from = p->at;

	if (jp_peek(p) == '-' || jp_peek(p) == '+')
		p->at++;
	while (jp_peek(p) >= '0' && jp_peek(p) <= '9')
		p->at++;
	return p->at > from && sv_to_i64(sv_sub(p->text, from, p->at - from), ret);
}

static int jp_close(struct parser *p)
{
	jp_blank(p);
	return jp_take(p, "]") ? 0 : jp_fail(p, "unterminated array");
}

static struct path_step *jp_name_list(struct parser *p)
{
	struct path_step *s = jp_names(p, p->text.n - p->at + 1);

	while (s) {
		jp_blank(p);
		if (!jp_quoted(p, &s->names[s->n++])) {
			(void)jp_fail(p, "unterminated quoted string");
			return NULL;
		}
		jp_blank(p);
		if (!jp_take(p, ","))
			break;
	}
	return s && jp_close(p) == 0 ? s : NULL;
}

/* "1", "0,2", "1:3", ":", "::2". */
static struct path_step *jp_numbers(struct parser *p)
{
	struct path_step *s = jp_step(p, STEP_INDEXES);
	int64_t i = 0;

	if (!s)
		return NULL;
	s->indexes = ARENA_ARRAY(p->a, int64_t, p->text.n - p->at + 1);
	s->by = 1;
	for (;;) {
		bool has;

		jp_blank(p);
		has = jp_int(p, &i);
		jp_blank(p);
		if (!s->n && jp_take(p, ":")) {
			s->kind = STEP_SLICE;
			s->has_from = has;
			s->from = i;
			jp_blank(p);
			s->has_to = jp_int(p, &s->to);
			jp_blank(p);
			if (jp_take(p, ":") && (jp_blank(p), true) && jp_peek(p) != ']' && !jp_int(p, &s->by)) {
				(void)jp_fail(p, "invalid array index");
				return NULL;
			}
			break;
		}
		if (!has) {
			(void)jp_fail(p, "invalid array index");
			return NULL;
		}
		s->indexes[s->n++] = i;
		if (!jp_take(p, ","))
			break;
	}
	return jp_close(p) == 0 ? s : NULL;
}

static int jp_path(struct parser *p, struct path_step **ret, bool in_filter);

static int jp_operand(struct parser *p, struct operand *o)
{
	size_t from = p->at;
	struct sv s;

	if (jp_take(p, "@")) {
		struct path_step *path = NULL;

		if (jp_path(p, &path, true) < 0)
			return -1;
		o->path = path;
		return path ? 0 : jp_fail(p, "a filter needs a path");
	}
	if (jp_quoted(p, &s)) {
		o->constant = *val_new_str_ref(p->a, s);
		return 0;
	}
	while (p->at < p->text.n && !strchr(" )=!<>&|", jp_peek(p)))
		p->at++;
	s = sv_sub(p->text, from, p->at - from);
	if (sv_is(s, "true") || sv_is(s, "false")) {
		o->constant = (struct val){ .type = VAL_BOOL, .b = sv_is(s, "true") };
	} else {
		int64_t i;
		char number[64], *end;

		if (!s.n || s.n >= sizeof(number))
			return jp_fail(p, "a filter compares with texts, numbers, true and false");
		memcpy(number, s.p, s.n);
		number[s.n] = '\0';
		if (sv_to_i64(s, &i))
			o->constant = (struct val){ .type = VAL_INT, .i = i };
		else
			o->constant = (struct val){ .type = VAL_FLOAT, .d = strtod(number, &end) };
		if (o->constant.type == VAL_FLOAT && *end)
			return jp_fail(p, "a filter compares with texts, numbers, true and false");
	}
	return 0;
}

/* Behind "[?(". */
static struct path_step *jp_filter(struct parser *p)
{
	static const char *const ops[] = {
		[OP_EQ] = "==", [OP_NE] = "!=", [OP_LE] = "<=", [OP_GE] = ">=", [OP_LT] = "<", [OP_GT] = ">"
	};
	static const enum filter_op order[] = { OP_EQ, OP_NE, OP_LE, OP_GE, OP_LT, OP_GT };
	struct path_step *s = jp_step(p, STEP_FILTER);

	if (!s)
		return NULL;
	jp_blank(p);
	if (jp_operand(p, &s->left) < 0)
		return NULL;
	jp_blank(p);
	for (size_t i = 0; i < ARRAY_LEN(order); i++) {
		if (!jp_take(p, ops[order[i]]))
			continue;
		s->op = order[i];
		jp_blank(p);
		if (jp_operand(p, &s->right) < 0)
			return NULL;
		break;
	}
	jp_blank(p);
	if (!jp_take(p, ")")) {
		(void)jp_fail(p, "unterminated filter");
		return NULL;
	}
	return jp_close(p) == 0 ? s : NULL;
}

static struct path_step *jp_brackets(struct parser *p)
{
	struct path_step *s;

	if (jp_take(p, "?("))
		return jp_filter(p);
	jp_blank(p);
	if (jp_peek(p) == '*') {
		p->at++;
		s = jp_step(p, STEP_ALL);
		return s && jp_close(p) == 0 ? s : NULL;
	}
	return jp_peek(p) == '\'' || jp_peek(p) == '"' ? jp_name_list(p) : jp_numbers(p);
}

static int jp_path(struct parser *p, struct path_step **ret, bool in_filter)
{
	struct path_step **at = ret;

	while (p->at < p->text.n) {
		struct path_step *s;

		if (jp_take(p, "..")) {
			s = jp_step(p, STEP_BELOW);
			if (s && jp_peek(p) != '[' && p->at < p->text.n) {
				*at = s;
				at = &s->next;
				s = jp_word(p);
			}
		} else if (jp_take(p, ".")) {
			if (p->at == p->text.n)
				break; /* the object itself */
			if (jp_peek(p) == '[')
				continue;
			s = jp_word(p);
		} else if (jp_take(p, "[")) {
			s = jp_brackets(p);
		} else if (in_filter) {
			break;
		} else {
			return jp_fail(p, "unexpected character");
		}
		if (!s)
			return -1;
		*at = s;
		at = &s->next;
	}
	return 0;
}

struct jsonpath *jsonpath_parse(struct arena *a, struct sv text, struct err *err)
{
	struct parser p = { .a = a, .text = text, .err = err };
	struct jsonpath *j = ARENA_NEW(a, struct jsonpath);

	if (text.n > JSONPATH_BYTES_MAX) {
		err_set(err, ERR_BAD_REQUEST, "the path is longer than %d bytes", JSONPATH_BYTES_MAX);
		return NULL;
	}
	p.text = arena_sv(a, text);
	return jp_path(&p, &j->first, false) < 0 ? NULL : j;
}

/* --- walking --- */

struct walk {
	size_t left; /* values that may be looked at */
	bool failed; /* a comparison could not be made: there is no value */
};

static const struct val *jp_walk(struct walk *w, const struct path_step *s, const struct val *v);

static const struct val *jp_value(struct walk *w, const struct operand *o, const struct val *v)
{
	return o->path ? jp_walk(w, o->path, v) : &o->constant;
}

/* -1, 0 or 1; 2: they cannot be compared. */
static int jp_compare(const struct val *x, const struct val *y)
{
	bool numbers = (x->type == VAL_INT || x->type == VAL_FLOAT) && (y->type == VAL_INT || y->type == VAL_FLOAT);

	if (numbers && x->type == VAL_INT && y->type == VAL_INT)
		return x->i < y->i ? -1 : x->i > y->i;
	if (numbers)
		return val_num(x) < val_num(y) ? -1 : val_num(x) > val_num(y);
	if (x->type != y->type)
		return 2;
	if (x->type == VAL_STR)
		return sv_cmp(val_str(x), val_str(y)) < 0 ? -1 : sv_cmp(val_str(x), val_str(y)) > 0;
	return x->type == VAL_BOOL ? (int)x->b - (int)y->b : 2;
}

static bool jp_holds(struct walk *w, const struct path_step *s, const struct val *v)
{
	const struct val *x = jp_value(w, &s->left, v), *y;
	int c;

	if (s->op == OP_EXISTS)
		return x != NULL;
	y = jp_value(w, &s->right, v);
	if (!x || !y)
		return false;
	c = jp_compare(x, y);
	if (c == 2) {
		w->failed = true;
		return false;
	}
	switch (s->op) {
	case OP_EQ:
		return c == 0;
	case OP_NE:
		return c != 0;
	case OP_LT:
		return c < 0;
	case OP_LE:
		return c <= 0;
	case OP_GT:
		return c > 0;
	default:
		return c >= 0;
	}
}

/* fn of each child in turn until one leads somewhere. */
static const struct val *jp_children(struct walk *w, const struct path_step *s, const struct val *v)
{
	const struct val *found = NULL;

	VAL_EACH(v, e) {
		if (found || w->failed)
			break;
		if (s->kind != STEP_FILTER || jp_holds(w, s, e))
			found = jp_walk(w, s->next, e);
	}
	VAL_EACH_MEMBER(v, m) {
		if (found || w->failed)
			break;
		if (s->kind != STEP_FILTER || jp_holds(w, s, m.value))
			found = jp_walk(w, s->next, m.value);
	}
	return found;
}

static const struct val *jp_below(struct walk *w, const struct path_step *s, const struct val *v)
{
	const struct val *found = jp_walk(w, s->next, v);

	VAL_EACH(v, e) {
		if (found || w->failed || !w->left)
			break;
		found = jp_below(w, s, e);
	}
	VAL_EACH_MEMBER(v, m) {
		if (found || w->failed || !w->left)
			break;
		found = jp_below(w, s, m.value);
	}
	return found;
}

static const struct val *jp_slice(struct walk *w, const struct path_step *s, const struct val *v)
{
	int64_t n = (int64_t)val_len(v), from = s->has_from ? s->from : 0, to = s->has_to ? s->to : n;
	const struct val *found = NULL;

	from = MAX(from < 0 ? from + n : from, 0);
	to = MIN(to < 0 ? to + n : to, n);
	for (int64_t i = from; s->by > 0 && !found && !w->failed && i < to; i += MIN(s->by, n))
		found = jp_walk(w, s->next, val_at(v, (size_t)i));
	return found;
}

/* Recursion: along the steps of the path, and for ".." along the document, both of which are bounded. */
static const struct val *jp_walk(struct walk *w, const struct path_step *s, const struct val *v)
{
	const struct val *found = NULL;

	if (!v || !w->left || w->failed)
		return NULL;
	w->left--;
	if (!s)
		return v;
	switch (s->kind) {
	case STEP_NAMES:
		for (size_t i = 0; !found && i < s->n; i++)
			found = jp_walk(w, s->next, val_member_sv(v, s->names[i]));
		return found;
	case STEP_INDEXES:
		for (size_t i = 0; !found && i < s->n; i++) {
			int64_t n = val_type(v) == VAL_LIST ? (int64_t)val_len(v) : 0, k = s->indexes[i];

			k = k < 0 ? k + n : k;
			if (k >= 0 && k < n)
				found = jp_walk(w, s->next, val_at(v, (size_t)k));
		}
		return found;
	case STEP_SLICE:
		return val_type(v) == VAL_LIST ? jp_slice(w, s, v) : NULL;
	case STEP_BELOW:
		return jp_below(w, s, v);
	default:
		return jp_children(w, s, v);
	}
}

const struct val *jsonpath_first(const struct jsonpath *p, const struct val *doc)
{
	struct walk w = { .left = JSONPATH_STEPS_MAX };
	const struct val *v = jp_walk(&w, p->first, doc);

	return w.failed ? NULL : v;
}
