/* re.h - regular expressions of users, in Go's syntax, in time that is text times pattern.
 *
 * Patterns of schemas and matches() of CEL come from clients, and so do the texts. The engine is RE2, whose time and
 * memory have a bound; syntax and words of refusals are those of Go's regexp package, which clients know.
 *
 *	_cleanup_(re_unrefp) struct re *re = NULL;
 *
 *	if (re_cached(SV("^[a-z]+$"), &re, err) < 0)
 *		return -1;	// "error parsing regexp: missing closing ): `(`"
 *	if (re_match(re, name)) ...
 *
 * Patterns and texts are UTF-8. `^` and `$` are the ends of the text unless the pattern says (?m); nothing is anchored
 * by itself.
 *
 * Memory: RE2 and the C++ library are loaded at the first compilation, never before. One expression takes some KiB and
 * grows with what it meets, up to RE_SMALL_BYTES; one whose program does not fit there may take RE_LARGE_BYTES.
 *
 * Threads: any. An expression is immutable to its users, and counted.
 */
#pragma once

#include "base/arena.h"
#include "base/err.h"

#define RE_PATTERN_MAX (64u << 10) /* bytes; upstream has no bound, what is longer is "expression too large" */
#define RE_SMALL_BYTES (256u << 10)
#define RE_LARGE_BYTES (16u << 20)
#define RE_GROUPS_MAX 10 /* of them re_find() can tell where they are */

struct re;

/* ERR_INVALID with Go's words when the pattern is refused; ERR_UNAVAILABLE when RE2 is not there. */
int re_compile(struct sv pattern, struct re **ret, struct err *err);
/* The same from a cache for the whole process, of bounded memory, of those that were used last: 0; 1 when it had to be
 * made. A refusal is not kept: it is found again at the cost of parsing. */
int re_cached(struct sv pattern, struct re **ret, struct err *err);
unsigned re_size(const struct re *re); /* instructions of its program: what making it took, and what it searches with */
struct re *re_ref(struct re *re);
void re_unref(struct re *re);
DEFINE_CLEANUP(struct re *, re_unrefp, re_unref)

/* Plain patterns (letters, classes, groups, repetition, `^` and `$`, in ASCII, of up to a KiB), which is most of those
 * in schemas, need no RE2 to be known as valid, or to be matched now and then: most servers judge a hundred texts, and
 * RE2 with the C++ library behind it would be a tenth of their memory. */
bool re_plain(struct sv pattern); /* surely re_compile() takes it; false says nothing */
/* As re_match(), into *ret; *steps: what reading the pattern and searching took. False: ask RE2, as the pattern is not
 * plain, the text long or not in ASCII, or so much has been matched that RE2, which is faster, is worth its memory. */
bool re_plain_match(struct sv pattern, struct sv text, bool *ret, size_t *steps);

struct sv re_pattern(const struct re *re); /* as it was given */
unsigned re_groups(const struct re *re);   /* capturing ones, without the whole match */

/* The most a search of so long a text can take: instructions times bytes, some nanoseconds each. Mostly it takes a
 * nanosecond a byte; but there are patterns (a.{900}b) and texts where it takes all of it, so that whoever has a budget
 * asks before he searches something large. */
uint64_t re_steps(const struct re *re, size_t text_n);

/* Is there a match anywhere in the text? */
bool re_match(const struct re *re, struct sv text);
/* Is the whole text one, as if between \A(?: and )\z? */
bool re_match_whole(const struct re *re, struct sv text);
/* The first match, leftmost, that begins at from or later (what is before counts for \b and ^): ret[0] is it, ret[i]
 * its i-th group, with p NULL where the group took no part, and from RE_GROUPS_MAX + 1 on. */
bool re_find(const struct re *re, struct sv text, size_t from, struct sv *ret, size_t n);

/* All matches from the left that do not overlap, as Go's FindAllString gives them: an empty one right behind another
 * does not count.
 *
 *	struct re_all all = RE_ALL(re, text);
 *	while (re_all_next(&all)) use(all.match);
 */
struct re_all {
	const struct re *re;
	struct sv text, match;
	size_t at;
	size_t behind; /* where the match before ended; of interest when it was not empty */
	bool ended, after_one;
};
#define RE_ALL(the_re, the_text)                   \
	{                                          \
		.re = (the_re), .text = (the_text) \
	}
bool re_all_next(struct re_all *all);

/* For tests and metrics: expressions in the cache, and the most they may take together. */
size_t re_cache_count(void);
size_t re_cache_bytes(void);
#define RE_CACHE_BYTES (64u << 20)
void re_cache_clear(void);
