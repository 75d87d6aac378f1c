/* base.h - what every source file includes first.
 *
 * String views, cleanup attributes, checked arithmetic and assertions. Nothing here
 * allocates or depends on another header of the tree.
 */
#pragma once

#include <inttypes.h>
#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/types.h>

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
#define CONTAINER_OF(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))
#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))

#define NS_PER_US INT64_C(1000)
#define NS_PER_MS INT64_C(1000000)
#define NS_PER_SEC INT64_C(1000000000)

/* Scope-bound release: `_cleanup_(foo_freep) struct foo *f = NULL;` */
#define _cleanup_(fn) __attribute__((cleanup(fn)))
#define _printf_(fmt, args) __attribute__((format(printf, fmt, args)))
#define _unused_ __attribute__((unused))
#define _noreturn_ __attribute__((noreturn))
#define _must_check_ __attribute__((warn_unused_result))

/* Declares foo_freep(), the cleanup function for a `struct foo *` released by fn. */
#define DEFINE_CLEANUP(type, name, fn)            \
	static inline _unused_ void name(type *p) \
	{                                         \
		if (*p)                           \
			(void)fn(*p);             \
	}

/* Hands a pointer out of a _cleanup_ variable: `return TAKE(p);` */
#define TAKE(p)                          \
	({                               \
		__auto_type take_ = (p); \
		(p) = NULL;              \
		take_;                   \
	})

/* A bug in Caravel, never in its input: say where and abort. Stays on in release builds. */
#define BUG_ON(cond)                                          \
	do {                                                  \
		if (__builtin_expect(!!(cond), 0))            \
			bug_abort(__FILE__, __LINE__, #cond); \
	} while (0)

_noreturn_ void bug_abort(const char *file, int line, const char *what);
/* The machine has no more of what ("memory", "threads") and nothing can go on without. */
_noreturn_ void out_of(const char *what);

/* Memory from these never is NULL: running out of it aborts the process. Sizes that a
 * client controls are bounded by their reader before they get here. */
void *xmalloc(size_t n) __attribute__((malloc, returns_nonnull));
void *xcalloc(size_t count, size_t size) __attribute__((malloc, returns_nonnull));
void *xrealloc(void *p, size_t n) __attribute__((returns_nonnull));
void *xmemdup(const void *p, size_t n) __attribute__((returns_nonnull));
char *xstrdup(const char *s) __attribute__((malloc, returns_nonnull));
char *xstrndup(const char *s, size_t n) __attribute__((malloc, returns_nonnull));
char *xasprintf(const char *fmt, ...) _printf_(1, 2) __attribute__((malloc, returns_nonnull));

void free_charp(char **p); /* for _cleanup_ */
void close_fdp(int *fd);   /* for _cleanup_: closes unless negative */
#define _cleanup_free_ _cleanup_(free_charp)
#define _cleanup_close_ _cleanup_(close_fdp)

/* A borrowed string: not owned, not NUL-terminated. p may be NULL when n is 0. */
struct sv {
	const char *p;
	size_t n;
};

#define SV(lit) ((struct sv){ "" lit, sizeof(lit) - 1 })
#define SV_NULL ((struct sv){ NULL, 0 })
/* printf("%.*s", SV_ARG(s)) */
#define SV_ARG(s) (int)MIN((s).n, (size_t)INT_MAX), (s).p ? (s).p : ""

static inline struct sv sv_from(const char *s)
{
	return (struct sv){ s, s ? strlen(s) : 0 };
}

static inline struct sv sv_make(const char *p, size_t n)
{
	return (struct sv){ p, n };
}

static inline bool sv_eq(struct sv a, struct sv b)
{
	return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

static inline bool sv_is(struct sv a, const char *s)
{
	return sv_eq(a, sv_from(s));
}

int sv_cmp(struct sv a, struct sv b);  /* byte order, shorter first */
bool sv_ieq(struct sv a, struct sv b); /* ASCII case folded */
bool sv_starts(struct sv s, struct sv prefix);
bool sv_ends(struct sv s, struct sv suffix);
struct sv sv_sub(struct sv s, size_t from, size_t n); /* clamped to s */
struct sv sv_trim(struct sv s);			      /* ASCII white space */
ssize_t sv_find(struct sv s, char c);		      /* index or -1 */
ssize_t sv_find_sv(struct sv s, struct sv needle);    /* index or -1 */

/* Cuts *rest at the first sep into *head and what follows it. False when *rest was already
 * used up (p == NULL); the last piece is returned with rest->p == NULL left behind. */
bool sv_split(struct sv *rest, char sep, struct sv *head);

/* Whole-string decimal conversions: false on anything but digits (and one '-'), or overflow. */
bool sv_to_i64(struct sv s, int64_t *ret);
bool sv_to_u64(struct sv s, uint64_t *ret);
/* The other way, into tmp, without a NUL: for what is too frequent for printf(). */
#define U64_TEXT_MAX 20
struct sv u64_text(uint64_t v, char tmp[U64_TEXT_MAX]);
static inline char ascii_lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}
/* Of a hexadecimal digit; -1 of anything else. */
static inline int hex_value(char c)
{
	return c >= '0' && c <= '9'   ? c - '0'
	       : c >= 'a' && c <= 'f' ? c - 'a' + 10
	       : c >= 'A' && c <= 'F' ? c - 'A' + 10
				      : -1;
}
/* One of the six spellings that Go's strconv.ParseBool reads as true. */
bool sv_is_true(struct sv s);

int sv_order(const void *a, const void *b); /* sv_cmp() of two struct sv, for qsort() */
uint64_t sv_hash(struct sv s);		    /* unseeded FNV-1a: for our own names, not for hostile keys */
