/* re-internal.h - shared by the files of src/re; nobody else includes it. Compiles as C and as C++. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What re2.cc calls of RE2, bound by re.c when it is first needed. */
extern void *re2_sym_new, *re2_sym_drop, *re2_sym_match, *re2_sym_size;

/* Why RE2 did not take a pattern, in its order. */
enum re2_why {
	RE2_OK,
	RE2_INTERNAL,
	RE2_BAD_ESCAPE,
	RE2_BAD_CLASS,
	RE2_BAD_RANGE,
	RE2_MISSING_BRACKET,
	RE2_MISSING_PAREN,
	RE2_UNEXPECTED_PAREN,
	RE2_TRAILING_BACKSLASH,
	RE2_REPEAT_ARGUMENT,
	RE2_REPEAT_SIZE,
	RE2_REPEAT_OP,
	RE2_BAD_PERL_OP,
	RE2_BAD_UTF8,
	RE2_BAD_NAME,
	RE2_TOO_LARGE,
	_RE2_WHY_MAX
};

struct re2_found {
	const char *p; /* into the text, or NULL */
	size_t n;
};

extern const size_t re2_bytes; /* room that re2_make() wants, 8-aligned */
/* Never fails: re2_why() says whether it did. */
void re2_make(void *room, const char *pattern, size_t n, int64_t max_bytes);
void re2_drop(void *re);
enum re2_why re2_why(const void *re);
const char *re2_why_arg(const void *re, size_t *ret_n); /* the piece of the pattern that is wrong */
unsigned re2_groups(const void *re);
unsigned re2_size(const void *re); /* instructions of its program */
bool re2_match(const void *re, const char *text, size_t n, size_t from, bool whole, struct re2_found *ret,
	       unsigned n_ret);

#ifdef __cplusplus
}
#else

#include "base/buf.h"
#include "base/err.h"

struct re;

/* What RE2 of Debian 12 and Go read differently. Appends the pattern as RE2 shall read it to out; false when Go refuses
 * what RE2 would take, with the words set. */
bool re_syntax(struct buf *out, struct sv pattern, struct err *err);
int re_refuse(struct err *err, const char *what, struct sv piece);
void re_plain_forget(void); /* how much has been matched: as at a start */
/* The most that the expression may take. */
size_t re_bytes(const struct re *re);
#endif
