#include "base/base.h"

#include "base/board.h"

#include <execinfo.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

void bug_abort(const char *file, int line, const char *what)
{
	void *frames[DEATH_FRAMES];
	char words[256];
	int n = backtrace(frames, (int)ARRAY_LEN(frames));

	snprintf(words, sizeof(words), "BUG at %s:%d: %s", file, line, what);
	fprintf(stderr, "%s\n", words);
	backtrace_symbols_fd(frames, n, STDERR_FILENO);
	death_note(words, frames, (size_t)MAX(n, 0));
	abort();
}

void out_of(const char *what)
{
	char words[40];

	snprintf(words, sizeof(words), "out of %s\n", what); /* neither this nor what follows allocates */
	(void)!write(STDERR_FILENO, words, strlen(words));
	words[strlen(words) - 1] = '\0';
	death_note(words, NULL, 0);
	abort();
}

static void *oom_check(void *p)
{
	if (!p)
		out_of("memory");
	return p;
}

void *xmalloc(size_t n)
{
	return oom_check(malloc(n ? n : 1));
}

void *xcalloc(size_t count, size_t size)
{
	return oom_check(calloc(count ? count : 1, size ? size : 1));
}

void *xrealloc(void *p, size_t n)
{
	return oom_check(realloc(p, n ? n : 1));
}

void *xmemdup(const void *p, size_t n)
{
	void *q = xmalloc(n);

	if (n)
		memcpy(q, p, n);
	return q;
}

char *xstrndup(const char *s, size_t n)
{
	char *q = xmalloc(n + 1);

	if (n)
		memcpy(q, s, n);
	q[n] = '\0';
	return q;
}

char *xstrdup(const char *s)
{
	return xstrndup(s, strlen(s));
}

char *xasprintf(const char *fmt, ...)
{
	char *s = NULL;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vasprintf(&s, fmt, ap);
	va_end(ap);
	return oom_check(n < 0 ? NULL : s);
}

void free_charp(char **p)
{
	free(*p);
}

void close_fdp(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

int sv_cmp(struct sv a, struct sv b)
{
	size_t n = MIN(a.n, b.n);
	int c = n ? memcmp(a.p, b.p, n) : 0;

	if (c)
		return c;
	return a.n < b.n ? -1 : a.n > b.n;
}

int sv_order(const void *a, const void *b)
{
	const struct sv *x = a, *y = b;

	return sv_cmp(*x, *y);
}

bool sv_ieq(struct sv a, struct sv b)
{
	if (a.n != b.n)
		return false;
	for (size_t i = 0; i < a.n; i++)
		if (ascii_lower(a.p[i]) != ascii_lower(b.p[i]))
			return false;
	return true;
}

bool sv_starts(struct sv s, struct sv prefix)
{
	return s.n >= prefix.n && sv_eq(sv_make(s.p, prefix.n), prefix);
}

bool sv_ends(struct sv s, struct sv suffix)
{
	return s.n >= suffix.n && sv_eq(sv_sub(s, s.n - suffix.n, suffix.n), suffix);
}

struct sv sv_sub(struct sv s, size_t from, size_t n)
{
	if (from > s.n)
		from = s.n;
	return sv_make(s.p ? s.p + from : NULL, MIN(n, s.n - from));
}

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\v' || c == '\f';
}

struct sv sv_trim(struct sv s)
{
	while (s.n && is_space(s.p[0])) {
		s.p++;
		s.n--;
	}
	while (s.n && is_space(s.p[s.n - 1]))
		s.n--;
	return s;
}

ssize_t sv_find(struct sv s, char c)
{
	const char *at = s.n ? memchr(s.p, c, s.n) : NULL;

	return at ? at - s.p : -1;
}

ssize_t sv_find_sv(struct sv s, struct sv needle)
{
	const char *at;

	if (needle.n == 0)
		return 0;
	at = s.n ? memmem(s.p, s.n, needle.p, needle.n) : NULL;
	return at ? at - s.p : -1;
}

bool sv_split(struct sv *rest, char sep, struct sv *head)
{
	ssize_t at;

	if (!rest->p)
		return false;
	at = sv_find(*rest, sep);
	if (at < 0) {
		*head = *rest;
		*rest = SV_NULL;
		return true;
	}
	*head = sv_make(rest->p, (size_t)at);
	rest->p += at + 1;
	rest->n -= (size_t)at + 1;
	return true;
}

bool sv_to_u64(struct sv s, uint64_t *ret)
{
	uint64_t v = 0;

	if (s.n == 0)
		return false;
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] < '0' || s.p[i] > '9')
			return false;
		if (__builtin_mul_overflow(v, (uint64_t)10, &v) ||
		    __builtin_add_overflow(v, (uint64_t)(s.p[i] - '0'), &v))
			return false;
	}
	*ret = v;
	return true;
}

bool sv_is_true(struct sv s)
{
	static const char *const spellings[] = { "1", "t", "T", "true", "True", "TRUE" };

	for (size_t i = 0; i < ARRAY_LEN(spellings); i++)
		if (sv_is(s, spellings[i]))
			return true;
	return false;
}

bool sv_to_i64(struct sv s, int64_t *ret)
{
	bool neg = s.n && s.p[0] == '-';
	uint64_t v;

	if (!sv_to_u64(neg ? sv_sub(s, 1, s.n) : s, &v))
		return false;
	if (neg) {
		if (v > (uint64_t)INT64_MAX + 1)
			return false;
		*ret = (int64_t)(0 - v);
		return true;
	}
	if (v > INT64_MAX)
		return false;
	*ret = (int64_t)v;
	return true;
}

struct sv u64_text(uint64_t v, char tmp[U64_TEXT_MAX])
{
	size_t at = U64_TEXT_MAX;

	do {
		tmp[--at] = (char)('0' + v % 10);
		v /= 10;
	} while (v);
	return sv_make(tmp + at, U64_TEXT_MAX - at);
}

uint64_t sv_hash(struct sv s)
{
	uint64_t h = UINT64_C(14695981039346656037);

	for (size_t i = 0; i < s.n; i++)
		h = (h ^ (unsigned char)s.p[i]) * UINT64_C(1099511628211);
	return h;
}
