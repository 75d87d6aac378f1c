#include "re/re.h"

#include "base/lazylib.h"
#include "re/re-internal.h"

#include <stdatomic.h>
#include <stdlib.h>

#if defined(__x86_64__) || defined(__aarch64__)
#define RE2_SO "libre2.so.9"
#else
#error "how C++ passes a string view by reference is known of 64-bit machines here"
#endif

static const struct lazylib_sym re_syms[] = {
	{ "_ZN3re23RE2C1ERKNS_11StringPieceERKNS0_7OptionsE", &re2_sym_new },
	{ "_ZN3re23RE2D1Ev", &re2_sym_drop },
	{ "_ZNK3re23RE25MatchERKNS_11StringPieceEmmNS0_6AnchorEPS1_i", &re2_sym_match },
	{ "_ZNK3re23RE211ProgramSizeEv", &re2_sym_size },
};
static struct lazylib re_lib = LAZYLIB(RE2_SO, re_syms);

struct re {
	atomic_uint refs;
	unsigned groups;
	struct sv pattern; /* behind the struct */
	size_t bytes;
	void *re2;
};

/* Go's words, in RE2's order. */
static const char *const re_whys[_RE2_WHY_MAX] = {
	[RE2_INTERNAL] = "regexp/syntax: internal error",
	[RE2_BAD_ESCAPE] = "invalid escape sequence",
	[RE2_BAD_CLASS] = "invalid character class",
	[RE2_BAD_RANGE] = "invalid character class range",
	[RE2_MISSING_BRACKET] = "missing closing ]",
	[RE2_MISSING_PAREN] = "missing closing )",
	[RE2_UNEXPECTED_PAREN] = "unexpected )",
	[RE2_TRAILING_BACKSLASH] = "trailing backslash at end of expression",
	[RE2_REPEAT_ARGUMENT] = "missing argument to repetition operator",
	[RE2_REPEAT_SIZE] = "invalid repeat count",
	[RE2_REPEAT_OP] = "invalid nested repetition operator",
	[RE2_BAD_PERL_OP] = "invalid or unsupported Perl syntax",
	[RE2_BAD_UTF8] = "invalid UTF-8",
	[RE2_BAD_NAME] = "invalid named capture",
	[RE2_TOO_LARGE] = "expression too large",
};

/* Tried in this order: most programs are small, and what one may take counts in the cache. */
static const size_t re_sizes[] = { RE_SMALL_BYTES, 8 * RE_SMALL_BYTES, RE_LARGE_BYTES };

static int re_make(struct re *re, struct sv text, struct err *err)
{
	enum re2_why why = RE2_OK;
	struct sv piece;

	re->re2 = xmalloc(re2_bytes);
	for (size_t i = 0; i < ARRAY_LEN(re_sizes); i++) {
		re->bytes = re_sizes[i];
		re2_make(re->re2, text.p, text.n, (int64_t)re->bytes);
		why = re2_why(re->re2);
		if (why == RE2_OK)
			return 0;
		if (why != RE2_TOO_LARGE)
			break;
		if (i + 1 < ARRAY_LEN(re_sizes))
			re2_drop(re->re2);
	}
	piece.p = re2_why_arg(re->re2, &piece.n);
	/* Of the whole pattern, as it was given. */
	if (why == RE2_TOO_LARGE || sv_eq(piece, text))
		piece = re->pattern;
	re_refuse(err, re_whys[why < _RE2_WHY_MAX && re_whys[why] ? why : RE2_INTERNAL], piece);
	re2_drop(re->re2);
	return -1;
}

int re_compile(struct sv pattern, struct re **ret, struct err *err)
{
	_cleanup_(buf_release) struct buf text = BUF_INIT;
	struct re *re;

	if (pattern.n > RE_PATTERN_MAX) /* its text is no use to who reads the words */
		return re_refuse(err, "expression too large", sv_sub(pattern, 0, 256));
	if (!re_syntax(&text, pattern, err) || lazylib_need(&re_lib, err) < 0)
		return -1;
	re = xmalloc(sizeof(*re) + pattern.n);
	*re = (struct re){ .refs = 1, .pattern = sv_make((char *)(re + 1), pattern.n) };
	if (pattern.n)
		memcpy(re + 1, pattern.p, pattern.n);
	if (re_make(re, text.n ? buf_sv(&text) : SV(""), err) < 0) {
		free(re->re2);
		free(re);
		return -1;
	}
	re->groups = re2_groups(re->re2);
	*ret = re;
	return 0;
}

struct re *re_ref(struct re *re)
{
	atomic_fetch_add_explicit(&re->refs, 1, memory_order_relaxed);
	return re;
}

void re_unref(struct re *re)
{
	if (!re || atomic_fetch_sub_explicit(&re->refs, 1, memory_order_acq_rel) != 1)
		return;
	re2_drop(re->re2);
	free(re->re2);
	free(re);
}

unsigned re_size(const struct re *re)
{
	return re2_size(re->re2);
}

uint64_t re_steps(const struct re *re, size_t text_n)
{
	uint64_t steps;

	return __builtin_mul_overflow((uint64_t)re_size(re), (uint64_t)text_n, &steps) ? UINT64_MAX : steps;
}

struct sv re_pattern(const struct re *re)
{
	return re->pattern;
}

unsigned re_groups(const struct re *re)
{
	return re->groups;
}

size_t re_bytes(const struct re *re)
{
	return re->bytes;
}

/* RE2 tells an empty match from none by its pointer. */
static struct sv re_text(struct sv text)
{
	return text.p ? text : SV("");
}

bool re_match(const struct re *re, struct sv text)
{
	text = re_text(text);
	return re2_match(re->re2, text.p, text.n, 0, false, NULL, 0);
}

bool re_match_whole(const struct re *re, struct sv text)
{
	text = re_text(text);
	return re2_match(re->re2, text.p, text.n, 0, true, NULL, 0);
}

bool re_find(const struct re *re, struct sv text, size_t from, struct sv *ret, size_t n)
{
	struct re2_found found[RE_GROUPS_MAX + 1];

	text = re_text(text);
	if (from > text.n ||
	    !re2_match(re->re2, text.p, text.n, from, false, found, (unsigned)MIN(n, ARRAY_LEN(found))))
		return false;
	for (size_t i = 0; i < n; i++)
		ret[i] = i < ARRAY_LEN(found) ? sv_make(found[i].p, found[i].n) : SV_NULL;
	return true;
}

/* Behind the character at at, of text that is UTF-8; one byte of what is not. */
static size_t re_step(struct sv text, size_t at)
{
	at++;
	while (at < text.n && ((unsigned char)text.p[at] & 0xc0) == 0x80)
		at++;
	return at;
}

bool re_all_next(struct re_all *all)
{
	struct sv text = re_text(all->text);

	while (!all->ended && re_find(all->re, text, all->at, &all->match, 1)) {
		size_t begin = (size_t)(all->match.p - text.p), end = begin + all->match.n;
		bool counts = all->match.n > 0 || !all->after_one || begin != all->behind;

		/* After an empty one the search goes on a character later. */
		all->ended = all->match.n == 0 && end >= text.n;
		all->at = all->match.n > 0 ? end : re_step(text, end);
		all->behind = end;
		all->after_one = true;
		if (counts)
			return true;
	}
	all->ended = true;
	return false;
}
