/* Plain patterns, without RE2: printable ASCII, classes, groups, repetition, the ends of the text.
 *
 * A pattern is translated into a small program, on the stack, and all its threads run side by side over the text: text
 * times program at worst, and nothing is kept. Whatever is not surely plain is not: what is refused here is asked of
 * RE2, which has the words, so a yes here must be a yes there, with the same answer for every text (tests/fuzz). Jumps
 * are relative, so that a piece of a program can be moved, and repeated by copying it. */
#include "re/re-internal.h"
#include "re/re.h"

#include <stdatomic.h>

#define PLAIN_OPS 256
#define PLAIN_DEPTH 24
#define PLAIN_REPEAT 1000  /* as Go: of one repetition, and of what nests */
#define PLAIN_PATTERN 1024 /* bytes: it is read anew for each text, and much of it may leave nothing in the program */
#define PLAIN_TEXT 1024	   /* what is longer is RE2's */
#define PLAIN_USES 2000	   /* then whoever matches so much is better served by RE2 */

enum plain_what { PLAIN_CHAR, PLAIN_SPLIT, PLAIN_JUMP, PLAIN_BEGIN, PLAIN_END, PLAIN_MATCH };

struct plain_op {
	uint64_t set[2]; /* PLAIN_CHAR: the characters */
	int16_t to, or ; /* relative; or: of a split alone */
	uint8_t what;	 /* enum plain_what */
};

struct plain {
	struct sv rest; /* of the pattern */
	unsigned n, depth;
	bool room; /* for all so far */
	bool fold; /* (?i) */
	struct plain_op ops[PLAIN_OPS];
};

static atomic_uint plain_uses;

static bool plain_alternatives(struct plain *p, unsigned *repeats);

/* --- characters --- */

static void chars_add(uint64_t set[2], unsigned from, unsigned to)
{
	for (unsigned c = from; c <= to; c++)
		set[c / 64] |= UINT64_C(1) << c % 64;
}

static bool chars_have(const uint64_t set[2], unsigned c)
{
	return set[c / 64] >> c % 64 & 1;
}

static void chars_invert(uint64_t set[2])
{
	set[0] = ~set[0];
	set[1] = ~set[1];
}

/* (?i): letters, in both cases. */
static void plain_fold(const struct plain *p, uint64_t set[2])
{
	const uint64_t upper = UINT64_C(0x7fffffe), lower = upper << 32; /* of set[1] */

	if (p->fold)
		set[1] |= (set[1] & upper) << 32 | (set[1] & lower) >> 32;
}

static bool plain_next(struct plain *p, char *ret)
{
	if (!p->rest.n || p->rest.p[0] < ' ' || p->rest.p[0] > '~')
		return false;
	*ret = p->rest.p[0];
	p->rest = sv_sub(p->rest, 1, p->rest.n - 1);
	return true;
}

static bool plain_take(struct plain *p, const char *s)
{
	if (!sv_starts(p->rest, sv_from(s)))
		return false;
	p->rest = sv_sub(p->rest, strlen(s), p->rest.n - strlen(s));
	return true;
}

static int plain_hex(char c)
{
	return c >= '0' && c <= '9'				? c - '0'
	       : ascii_lower(c) >= 'a' && ascii_lower(c) <= 'f' ? ascii_lower(c) - 'a' + 10
								: -1;
}

/* Behind a backslash. *ret: the character, or -1 for one of a class of its own. */
static bool plain_escape(struct plain *p, uint64_t set[2], int *ret)
{
	uint64_t own[2] = { 0 };
	char c, high, low;

	if (!plain_next(p, &c))
		return false;
	*ret = -1;
	if (c == 'x') {
		if (!plain_next(p, &high) || !plain_next(p, &low) || plain_hex(high) < 0 || plain_hex(high) > 7 ||
		    plain_hex(low) < 0)
			return false;
		*ret = plain_hex(high) * 16 + plain_hex(low);
		chars_add(set, (unsigned)*ret, (unsigned)*ret);
		return true;
	}
	switch (ascii_lower(c)) {
	case 'd':
		chars_add(own, '0', '9');
		break;
	case 'w':
		chars_add(own, '0', '9');
		chars_add(own, 'A', 'Z');
		chars_add(own, 'a', 'z');
		chars_add(own, '_', '_');
		break;
	case 's':
		chars_add(own, '\t', '\n');
		chars_add(own, '\f', '\r');
		chars_add(own, ' ', ' ');
		break;
	default:
		if ((ascii_lower(c) >= 'a' && ascii_lower(c) <= 'z') || (c >= '0' && c <= '9') || c == '_')
			return false;
		*ret = c;
		chars_add(own, (unsigned char)c, (unsigned char)c);
	}
	if (*ret < 0 && c < 'a')
		chars_invert(own);
	set[0] |= own[0];
	set[1] |= own[1];
	return true;
}

/* One character of a class, with its escape; *ret as above. */
static bool plain_class_char(struct plain *p, uint64_t set[2], int *ret)
{
	char c;

	if (!plain_next(p, &c) || c == '[')
		return false;
	if (c == '\\')
		return plain_escape(p, set, ret);
	*ret = c;
	chars_add(set, (unsigned char)c, (unsigned char)c);
	return true;
}

/* Behind the bracket that opens it. A '-' stands first, last, or in a range. */
static bool plain_class(struct plain *p, uint64_t set[2])
{
	bool inverse = plain_take(p, "^"), first = true;
	int from, to;

	if (sv_starts(p->rest, SV("]")))
		return false;
	for (; !plain_take(p, "]"); first = false) {
		bool dash = sv_starts(p->rest, SV("-"));

		if ((dash && !first && !sv_starts(p->rest, SV("-]"))) || !plain_class_char(p, set, &from))
			return false;
		if (!sv_starts(p->rest, SV("-")) || sv_starts(p->rest, SV("-]")))
			continue;
		if (dash || !plain_take(p, "-") || !plain_class_char(p, set, &to) || from < 0 || to < from)
			return false;
		chars_add(set, (unsigned)from, (unsigned)to);
	}
	plain_fold(p, set);
	if (inverse)
		chars_invert(set);
	return true;
}

/* --- programs --- */

/* Room for n operations at at; what is behind moves. */
static struct plain_op *plain_room(struct plain *p, unsigned at, unsigned n)
{
	if (p->n + n >= PLAIN_OPS) { /* one is for the end */
		p->room = false;
		return NULL;
	}
	memmove(&p->ops[at + n], &p->ops[at], (p->n - at) * sizeof(p->ops[0]));
	p->n += n;
	return &p->ops[at];
}

static bool plain_emit(struct plain *p, unsigned at, enum plain_what what, int to, int or)
{
	struct plain_op *op = plain_room(p, at, 1);

	if (op)
		*op = (struct plain_op){ .what = (uint8_t)what, .to = (int16_t)to, .or = (int16_t) or };
	return op != NULL;
}

static bool plain_set(struct plain *p, const uint64_t set[2])
{
	return plain_emit(p, p->n, PLAIN_CHAR, 1, 0) && memcpy(p->ops[p->n - 1].set, set, sizeof(p->ops[0].set));
}

/* What begins at from, once more at the end. */
static bool plain_copy(struct plain *p, unsigned from, unsigned n)
{
	struct plain_op *op = plain_room(p, p->n, n);

	if (op)
		memcpy(op, &p->ops[from], n * sizeof(*op));
	return op != NULL;
}

/* What begins at from becomes optional, and is there again and again. */
static bool plain_star(struct plain *p, unsigned from)
{
	int n = (int)(p->n - from);

	return plain_emit(p, from, PLAIN_SPLIT, 1, n + 2) && plain_emit(p, p->n, PLAIN_JUMP, -n - 1, 0);
}

static bool plain_plus(struct plain *p, unsigned from)
{
	return plain_emit(p, p->n, PLAIN_SPLIT, -(int)(p->n - from), 1);
}

static bool plain_maybe(struct plain *p, unsigned from)
{
	return plain_emit(p, from, PLAIN_SPLIT, 1, (int)(p->n - from) + 1);
}

/* What begins at from so many times; most -1: or more. */
static bool plain_times(struct plain *p, unsigned from, int least, int most)
{
	unsigned n = p->n - from;
	bool ok = true;

	if (least == 0 && most < 0)
		return plain_star(p, from);
	if (most == 0) {
		p->n = from;
		return true;
	}
	for (int i = 1; ok && i < least; i++)
		ok = plain_copy(p, from, n);
	if (ok && most < 0)
		return plain_plus(p, p->n - n);
	for (int i = MAX(least, 1); ok && i < most; i++)
		ok = plain_copy(p, from, n) && plain_maybe(p, p->n - n);
	return ok && (least > 0 || plain_maybe(p, from));
}

/* --- the pattern --- */

/* One that begins with a zero is none: then the brace and all behind it are characters. */
static bool plain_number(struct plain *p, int *ret)
{
	bool zero = sv_starts(p->rest, SV("0"));
	size_t digits = 0;

	*ret = 0;
	while (digits < p->rest.n && p->rest.p[digits] >= '0' && p->rest.p[digits] <= '9' && digits < 5)
		*ret = *ret * 10 + (p->rest.p[digits++] - '0');
	p->rest = sv_sub(p->rest, digits, p->rest.n - digits);
	return digits > 0 && digits < (zero ? 2 : 5) && *ret <= PLAIN_REPEAT;
}

/* {2}, {2,} or {2,3} behind its brace. */
static bool plain_counts(struct plain *p, int *least, int *most)
{
	if (!plain_number(p, least))
		return false;
	*most = *least;
	if (plain_take(p, ",")) {
		*most = -1;
		if (!sv_starts(p->rest, SV("}")) && (!plain_number(p, most) || *most < *least))
			return false;
	}
	return plain_take(p, "}");
}

/* Behind its parenthesis. What a group says of case is over with it. */
static bool plain_paren(struct plain *p, bool *repeatable, unsigned *repeats)
{
	bool fold = p->fold, ok;

	if (plain_take(p, "?i)")) {
		*repeatable = false;
		return p->fold = true;
	}
	if (sv_starts(p->rest, SV("?")) && !plain_take(p, "?:"))
		return false;
	ok = plain_alternatives(p, repeats) && plain_take(p, ")");
	p->fold = fold;
	return ok;
}

static bool plain_atom(struct plain *p, bool *repeatable, unsigned *repeats)
{
	uint64_t set[2] = { 0 };
	int one;
	char c;

	*repeatable = true;
	if (!plain_next(p, &c))
		return false;
	switch (c) {
	case '(':
		return plain_paren(p, repeatable, repeats);
	case '[':
		return plain_class(p, set) && plain_set(p, set);
	case '\\':
		if (!plain_escape(p, set, &one))
			return false;
		plain_fold(p, set);
		return plain_set(p, set);
	case '^':
	case '$':
		*repeatable = false;
		return plain_emit(p, p->n, c == '^' ? PLAIN_BEGIN : PLAIN_END, 1, 0);
	case '.':
		chars_add(set, '\n', '\n');
		chars_invert(set);
		return plain_set(p, set);
	case '*':
	case '+':
	case '?':
	case '{':
		return false;
	default:
		chars_add(set, (unsigned char)c, (unsigned char)c);
		plain_fold(p, set);
		return plain_set(p, set);
	}
}

/* One that is repeated, or not. *repeats: how often what is in it is repeated at most, as Go counts. */
static bool plain_repeat(struct plain *p, unsigned *repeats)
{
	unsigned from = p->n, times = 1;
	int least = 1, most = 1;
	bool may, does = true;

	if (!plain_atom(p, &may, repeats))
		return false;
	if (plain_take(p, "*")) {
		least = 0, most = -1;
	} else if (plain_take(p, "+")) {
		most = -1;
	} else if (plain_take(p, "?")) {
		least = 0;
	} else if (plain_take(p, "{")) {
		if (!plain_counts(p, &least, &most))
			return false;
		times = (unsigned)MAX(MAX(least, most), 1);
	} else {
		does = false;
	}
	if (!does)
		return true;
	*repeats *= times;
	(void)plain_take(p, "?"); /* lazily: that says which match, not whether */
	if (!may || *repeats > PLAIN_REPEAT || (p->rest.n && strchr("*+?{", p->rest.p[0])))
		return false;
	return plain_times(p, from, least, most);
}

static bool plain_alternatives(struct plain *p, unsigned *repeats)
{
	unsigned from = p->n, jump = 0;
	bool ok = p->depth++ < PLAIN_DEPTH;

	while (ok && p->rest.n && p->rest.p[0] != '|' && p->rest.p[0] != ')') {
		unsigned here = 1;

		ok = plain_repeat(p, &here);
		*repeats = MAX(*repeats, here);
	}
	if (ok && plain_take(p, "|")) {
		ok = plain_emit(p, from, PLAIN_SPLIT, 1, (int)(p->n - from) + 2) &&
		     plain_emit(p, p->n, PLAIN_JUMP, 0, 0);
		jump = p->n - 1;
		ok = ok && plain_alternatives(p, repeats);
		if (ok)
			p->ops[jump].to = (int16_t)(p->n - jump);
	}
	p->depth--;
	return ok;
}

static bool plain_make(struct plain *p, struct sv pattern)
{
	unsigned repeats = 1;

	if (pattern.n > PLAIN_PATTERN)
		return false;
	p->rest = pattern;
	p->n = p->depth = 0;
	p->room = true;
	p->fold = false;
	if (!plain_alternatives(p, &repeats) || p->rest.n || !p->room)
		return false;
	p->ops[p->n++] = (struct plain_op){ .what = PLAIN_MATCH };
	return true;
}

/* --- running --- */

struct plain_threads {
	uint16_t at[PLAIN_OPS];
	unsigned n;
};

struct plain_run {
	const struct plain *p;
	uint16_t seen[PLAIN_OPS]; /* at which place of the text, from 1 */
	struct plain_threads now, next;
	size_t steps;
};

/* The thread at pc, and those that it becomes before the next character, in place place of the text. True: it is a
 * match. */
static bool plain_thread(struct plain_run *r, struct plain_threads *t, unsigned pc, size_t place, size_t end)
{
	uint16_t todo[2 * PLAIN_OPS + 1]; /* each is done once, and has two behind it at most */
	unsigned n = 0;

	todo[n++] = (uint16_t)pc;
	while (n) {
		const struct plain_op *op = &r->p->ops[pc = todo[--n]];

		if (r->seen[pc] == place + 1)
			continue;
		r->seen[pc] = (uint16_t)(place + 1);
		r->steps++;
		if (op->what == PLAIN_MATCH)
			return true;
		if (op->what == PLAIN_CHAR)
			t->at[t->n++] = (uint16_t)pc;
		else if (op->what == PLAIN_SPLIT)
			todo[n++] = (uint16_t)((int)pc + op->or);
		if (op->what == PLAIN_SPLIT || op->what == PLAIN_JUMP || (op->what == PLAIN_BEGIN && place == 0) ||
		    (op->what == PLAIN_END && place == end))
			todo[n++] = (uint16_t)((int)pc + op->to);
	}
	return false;
}

static bool plain_run(struct plain_run *r, struct sv text)
{
	for (size_t i = 0; i <= text.n; i++) {
		r->next.n = 0;
		/* Of those that the character before let through; they are threads of this place already. */
		if (plain_thread(r, &r->now, 0, i, text.n))
			return true;
		for (unsigned k = 0; i < text.n && k < r->now.n; k++) {
			unsigned pc = r->now.at[k];

			if (chars_have(r->p->ops[pc].set, (unsigned char)text.p[i]) &&
			    plain_thread(r, &r->next, pc + 1, i + 1, text.n))
				return true;
		}
		r->now = r->next;
	}
	return false;
}

void re_plain_forget(void)
{
	atomic_store(&plain_uses, 0);
}

bool re_plain(struct sv pattern)
{
	struct plain p;

	return plain_make(&p, pattern);
}

bool re_plain_match(struct sv pattern, struct sv text, bool *ret, size_t *steps)
{
	struct plain p;
	struct plain_run r = { .p = &p };

	if (text.n > PLAIN_TEXT || atomic_load_explicit(&plain_uses, memory_order_relaxed) >= PLAIN_USES)
		return false;
	for (size_t i = 0; i < text.n; i++)
		if ((unsigned char)text.p[i] >= 0x80)
			return false;
	if (!plain_make(&p, pattern))
		return false;
	atomic_fetch_add_explicit(&plain_uses, 1, memory_order_relaxed);
	*ret = plain_run(&r, text);
	*steps = pattern.n + r.steps;
	return true;
}
