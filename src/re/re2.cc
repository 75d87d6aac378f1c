/* RE2 is C++ and linked by nobody: a server that runs no expression shall not have it in memory. What is not inline in
 * its header is called through pointers, which re.c binds by their mangled names; nothing here may need another symbol
 * of RE2 or of the C++ library (the link would say so: neither is on its command line). */
#include "re/re-internal.h"

#include <re2/re2.h>

void *re2_sym_new, *re2_sym_drop, *re2_sym_match, *re2_sym_size;
const size_t re2_bytes = sizeof(re2::RE2);

static_assert(alignof(re2::RE2) <= 8, "made in memory of malloc()");
static_assert((int)RE2_BAD_ESCAPE == re2::RE2::ErrorBadEscape, "the same order");
static_assert((int)RE2_UNEXPECTED_PAREN == re2::RE2::ErrorUnexpectedParen, "the same order");
static_assert((int)RE2_BAD_NAME == re2::RE2::ErrorBadNamedCapture, "the same order");
static_assert((int)RE2_TOO_LARGE == re2::RE2::ErrorPatternTooLarge, "the same order");

static const re2::RE2 *of(const void *re)
{
	return static_cast<const re2::RE2 *>(re);
}

void re2_make(void *room, const char *pattern, size_t n, int64_t max_bytes)
{
	using make = void (*)(void *, const re2::StringPiece &, const re2::RE2::Options &);
	re2::RE2::Options options;

	options.set_log_errors(false);
	options.set_max_mem(max_bytes);
	reinterpret_cast<make>(re2_sym_new)(room, re2::StringPiece(pattern, n), options);
}

void re2_drop(void *re)
{
	using drop = void (*)(void *);

	reinterpret_cast<drop>(re2_sym_drop)(re);
}

enum re2_why re2_why(const void *re)
{
	return of(re)->ok() ? RE2_OK : static_cast<enum re2_why>(of(re)->error_code());
}

const char *re2_why_arg(const void *re, size_t *ret_n)
{
	*ret_n = of(re)->error_arg().size();
	return of(re)->error_arg().data();
}

unsigned re2_groups(const void *re)
{
	return static_cast<unsigned>(of(re)->NumberOfCapturingGroups());
}

unsigned re2_size(const void *re)
{
	using size = int (*)(const void *);

	return static_cast<unsigned>(reinterpret_cast<size>(re2_sym_size)(re));
}

bool re2_match(const void *re, const char *text, size_t n, size_t from, bool whole, struct re2_found *ret,
	       unsigned n_ret)
{
	using match = bool (*)(const void *, const re2::StringPiece &, size_t, size_t, re2::RE2::Anchor,
			       re2::StringPiece *, int);
	constexpr unsigned most = 16;
	re2::StringPiece found[most];

	n_ret = n_ret < most ? n_ret : most;
	if (!reinterpret_cast<match>(re2_sym_match)(re, re2::StringPiece(text, n), from, n,
						    whole ? re2::RE2::ANCHOR_BOTH : re2::RE2::UNANCHORED, found,
						    static_cast<int>(n_ret)))
		return false;
	for (unsigned i = 0; i < n_ret; i++)
		ret[i] = { found[i].data(), found[i].size() };
	return true;
}
