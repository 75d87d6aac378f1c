/* A selector's tree is walked once, from left to right, as upstream walks it: which of several errors is told is the
 * same. The parser bounds its depth. */
#include "object/cel/shard.h"

#include "base/go_quote.h"
#include "base/utf8.h"
#include "base/vec.h"
#include "object/cel/ast.h"

#include <stdlib.h>

#define SHARD_DIGITS 16
#define SHARD_END SV("0x10000000000000000") /* behind the last hash */

struct shard_parse {
	struct arena *a;
	struct err *err;
	struct buf words;
	VEC(struct shard_range) ranges;
	struct sv field, other; /* of the first range; of the first that has another */
};

/* Kinds of expressions have numbers in upstream's words. */
static int shard_kind(const struct ast *e)
{
	static const int kinds[] = { [AST_CALL] = 1,  [AST_FOLD] = 2, [AST_IDENT] = 3,	[AST_LIST] = 4,
				     [AST_CONST] = 5, [AST_MAP] = 6,  [AST_SELECT] = 7, [AST_STRUCT] = 8 };

	return kinds[e->kind];
}

/* And types of literals are Go's. */
static const char *shard_type(const struct ast *e)
{
	switch (e->value.kind) {
	case CEL_BOOL:
		return "bool";
	case CEL_INT:
		return "int64";
	case CEL_UINT:
		return "uint64";
	case CEL_DOUBLE:
		return "float64";
	case CEL_BYTES:
		return "[]uint8";
	default:
		return "structpb.NullValue";
	}
}

static const char *shard_quoted(struct shard_parse *p, struct sv s)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	go_quote(&b, s);
	return arena_cstr(p->a, buf_sv(&b));
}

#define shard_bad(p, ...) err_set((p)->err, ERR_BAD_REQUEST, "invalid shard selector: " __VA_ARGS__)

/* object.metadata.uid, with dots; SV_NULL: *ret_kind is what stands there instead. */
static struct sv shard_path(struct shard_parse *p, const struct ast *e, int *ret_kind)
{
	struct sv left;

	if (e->kind == AST_IDENT)
		return e->name;
	if (e->kind != AST_SELECT) {
		*ret_kind = shard_kind(e);
		return SV_NULL;
	}
	left = shard_path(p, e->target, ret_kind);
	return left.p ? arena_svf(p->a, "%.*s.%.*s", SV_ARG(left), SV_ARG(e->name)) : SV_NULL;
}

/* The first character of what is UTF-8. */
static struct sv shard_rune(struct sv s)
{
	size_t n = 1;

	while (n < s.n && ((unsigned char)s.p[n] & 0xc0) == 0x80)
		n++;
	return sv_sub(s, 0, n);
}

/* The text of a bound; a bound of 2^64 is 0 in *ret. */
static int shard_bound(struct shard_parse *p, const struct ast *e, const char *name, struct sv *ret_text, uint64_t *ret)
{
	struct sv s, hex;

	if (e->kind != AST_CONST)
		return shard_bad(p, "%s must be a string literal (e.g. '0xff'), got expression kind %d", name,
				 shard_kind(e));
	if (e->value.kind != CEL_STRING)
		return shard_bad(p, "%s must be a string literal, got %s", name, shard_type(e));
	s = sv_make(e->value.s, e->value.n);
	if (!sv_starts(s, SV("0x")))
		return shard_bad(p, "%s must have '0x' prefix, got %s", name, shard_quoted(p, s));
	hex = sv_sub(s, 2, s.n);
	if (!hex.n)
		return shard_bad(p, "%s: hex value is required after '0x'", name);
	if (hex.n > SHARD_DIGITS + 1)
		return shard_bad(p, "%s: hex value too long (%zu chars, max 17): %s", name, hex.n,
				 shard_quoted(p, hex));
	*ret = 0;
	for (size_t i = 0; i < hex.n; i++) {
		if (!((hex.p[i] >= '0' && hex.p[i] <= '9') || (hex.p[i] >= 'a' && hex.p[i] <= 'f')))
			return shard_bad(p, "%s: invalid hex character %s in %s", name,
					 shard_quoted(p, shard_rune(sv_sub(hex, i, hex.n))), shard_quoted(p, s));
		*ret = *ret << 4 | (uint64_t)(hex.p[i] <= '9' ? hex.p[i] - '0' : hex.p[i] - 'a' + 10);
	}
	if (hex.n == SHARD_DIGITS + 1 && !sv_eq(s, SHARD_END))
		return shard_bad(p, "%s: 17-digit hex value must be '0x10000000000000000' (2^64), got %s", name,
				 shard_quoted(p, s));
	if (hex.n < SHARD_DIGITS)
		return shard_bad(
		    p, "%s must be a 0x-prefixed 16-digit hex value, got %s (did you mean \"0x%.*s%.*s\"?)", name,
		    shard_quoted(p, s), (int)(SHARD_DIGITS - hex.n), "0000000000000000", SV_ARG(hex));
	*ret_text = s;
	return 0;
}

static int shard_call(struct shard_parse *p, const struct ast *e)
{
	struct shard_range r;
	struct sv field, start, end;
	uint64_t behind;
	int kind;

	if (e->n != 3)
		return shard_bad(p, "shardRange() requires exactly 3 arguments, got %u", (unsigned)e->n);
	field = shard_path(p, e->args[0], &kind);
	if (!field.p)
		return shard_bad(p,
				 "shardRange() first argument: expected field path (e.g. object.metadata.uid), got "
				 "expression kind %d",
				 kind);
	if (!sv_is(field, "object.metadata.uid") && !sv_is(field, "object.metadata.namespace"))
		return shard_bad(p,
				 "unsupported field path %s; supported: object.metadata.uid, object.metadata.namespace",
				 shard_quoted(p, field));
	if (shard_bound(p, e->args[1], "hexStart", &start, &r.first) < 0 ||
	    shard_bound(p, e->args[2], "hexEnd", &end, &behind) < 0)
		return -1;
	/* Of those with as many digits the texts are in the order of the numbers. */
	if (start.n > end.n || (start.n == end.n && sv_cmp(start, end) >= 0))
		return shard_bad(p, "shard range start %.*s must be less than end %.*s", SV_ARG(start), SV_ARG(end));
	r.last = behind - 1; /* 2^64 wraps to the last hash */
	vec_push(&p->ranges, r);
	buf_printf(&p->words, "%sshardRange(%.*s, '%.*s', '%.*s')", p->words.n ? " || " : "", SV_ARG(field),
		   SV_ARG(start), SV_ARG(end));
	if (!p->field.p)
		p->field = field;
	else if (!p->other.p && !sv_eq(p->field, field))
		p->other = field;
	return 0;
}

static int shard_walk(struct shard_parse *p, const struct ast *e)
{
	if (e->kind != AST_CALL)
		return shard_bad(p, "unexpected expression kind %d; expected shardRange() call or || operator",
				 shard_kind(e));
	if (sv_is(e->name, "_||_"))
		return shard_walk(p, e->args[0]) < 0 ? -1 : shard_walk(p, e->args[1]);
	if (sv_is(e->name, "shardRange"))
		return shard_call(p, e);
	return shard_bad(p, "unsupported function %s; only shardRange() and || are allowed", shard_quoted(p, e->name));
}

static int shard_order(const void *pa, const void *pb)
{
	const struct shard_range *a = pa, *b = pb;

	return (a->first > b->first) - (a->first < b->first);
}

static const struct shards *shards_made(struct shard_parse *p)
{
	struct shards *s = ARENA_NEW(p->a, struct shards);

	s->field = sv_is(p->field, "object.metadata.uid") ? SHARD_UID : SHARD_NAMESPACE;
	s->words = arena_sv(p->a, buf_sv(&p->words));
	s->ranges = ARENA_ARRAY(p->a, struct shard_range, p->ranges.n);
	qsort(p->ranges.p, p->ranges.n, sizeof(p->ranges.p[0]), shard_order);
	for (size_t i = 0; i < p->ranges.n; i++) {
		struct shard_range r = p->ranges.p[i], *last = s->n ? &s->ranges[s->n - 1] : NULL;

		if (last && (last->last == UINT64_MAX || r.first <= last->last + 1))
			last->last = MAX(last->last, r.last);
		else
			s->ranges[s->n++] = r;
	}
	return s;
}

const struct shards *shards_parse(struct arena *a, struct sv text, struct err *err)
{
	_cleanup_(arena_release) struct arena tmp = ARENA_INIT;
	struct shard_parse p = { .a = a, .err = err, .ranges = VEC_INIT };
	struct cel_issues issues = CEL_ISSUES(&tmp);
	struct cel_compile c = { .arena = &tmp, .issues = &issues, .text = sv_trim(text), .no_macros = true };
	const struct shards *ret = NULL;
	struct ast *e;

	if (!c.text.n) {
		shard_bad(&p, "empty shard selector is not allowed; omit the parameter for unfiltered lists");
		return NULL;
	}
	if (c.text.n > CEL_TEXT_MAX || !utf8_valid(c.text)) {
		shard_bad(&p, "CEL parse error: the expression is too long, or not UTF-8");
		return NULL;
	}
	e = cel_parse(&c);
	if (!e) {
		shard_bad(&p, "CEL parse error: %.*s", SV_ARG(issues.p[0].message));
		return NULL;
	}
	if (shard_walk(&p, e) == 0) {
		if (p.other.p)
			shard_bad(&p, "all shard ranges must use the same field, got %s and %s",
				  shard_quoted(&p, p.field), shard_quoted(&p, p.other));
		else
			ret = shards_made(&p);
	}
	buf_release(&p.words);
	vec_release(&p.ranges);
	return ret;
}

bool shards_have(const struct shards *s, struct sv value)
{
	uint64_t hash = sv_hash(value);
	size_t low = 0, high = s->n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (hash > s->ranges[middle].last)
			low = middle + 1;
		else
			high = middle;
	}
	return low < s->n && hash >= s->ranges[low].first;
}
