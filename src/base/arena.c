/* Blocks double from 4 KiB (arena_small(): from 512 bytes) to 256 KiB; an allocation too large for that gets a block of
 * its own behind the current one, so the room left in the current block is not wasted.
 *
 * The small sizes that nearly every arena begins with are kept for the next one: a request's are filled by one thread
 * and dropped by another, which malloc() pays for with locks, and with holes that it joins and splits again. Nobody
 * waits at the shelf of a size: who finds another there goes to malloc() and free(). */
#include "base/arena.h"

#include <limits.h>
#include <malloc.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#define BLOCK_MIN ((size_t)4096)
#define BLOCK_SMALL ((size_t)512)
#define BLOCK_MAX ((size_t)256 * 1024)
#define SHELVES 4			 /* BLOCK_MIN, and what is twice, four and eight times as large */
#define SHELF_BYTES ((size_t)256 * 1024) /* at most, on each */

/* Under AddressSanitizer who uses what was dropped is to be found. */
#if defined(__SANITIZE_ADDRESS__)
#define KEEP_BLOCKS false
#elif defined(__has_feature)
#define KEEP_BLOCKS (!__has_feature(address_sanitizer))
#else
#define KEEP_BLOCKS true
#endif

struct arena_block {
	struct arena_block *next;
	size_t size; /* of data */
	_Alignas(8) char data[];
};

struct arena_defer {
	struct arena_defer *next;
	void (*fn)(void *p);
	void *p;
};

static struct shelf {
	atomic_flag taken;
	struct arena_block *first; /* the last that came */
	size_t n;
} shelves[SHELVES];

/* Of blocks of that size, or NULL. */
static struct shelf *shelf_of(size_t size)
{
	for (size_t i = 0; KEEP_BLOCKS && i < SHELVES; i++)
		if (size == BLOCK_MIN << i)
			return &shelves[i];
	return NULL;
}

static bool shelf_enter(struct shelf *s)
{
	return s && !atomic_flag_test_and_set_explicit(&s->taken, memory_order_acquire);
}

static void shelf_leave(struct shelf *s)
{
	atomic_flag_clear_explicit(&s->taken, memory_order_release);
}

static struct arena_block *block_new(size_t size)
{
	struct shelf *s = shelf_of(size);
	struct arena_block *b = NULL;

	if (shelf_enter(s)) {
		b = s->first;
		if (b) {
			s->first = b->next;
			s->n--;
		}
		shelf_leave(s);
	}
	if (!b)
		b = xmalloc(sizeof(*b) + size);
	b->size = size;
	b->next = NULL;
	return b;
}

static void block_free(struct arena_block *b)
{
	struct shelf *s = shelf_of(b->size);

	if (shelf_enter(s)) {
		bool room = (s->n + 1) * b->size <= SHELF_BYTES;

		if (room) {
			b->next = s->first;
			s->first = b;
			s->n++;
		}
		shelf_leave(s);
		if (room)
			return;
	}
	free(b);
}

void arena_trim(void)
{
	for (size_t i = 0; i < SHELVES; i++) {
		struct arena_block *b;

		if (!shelf_enter(&shelves[i]))
			continue; /* in use, so not at rest */
		b = shelves[i].first;
		shelves[i].first = NULL;
		shelves[i].n = 0;
		shelf_leave(&shelves[i]);
		while (b) {
			struct arena_block *next = b->next;

			free(b);
			b = next;
		}
	}
	(void)malloc_trim(0);
}

static void arena_drop(struct arena *a, struct arena_block *keep)
{
	while (a->defers) {
		struct arena_defer *d = a->defers;

		a->defers = d->next;
		d->fn(d->p);
	}
	while (a->head) {
		struct arena_block *b = a->head;

		a->head = b->next;
		if (b != keep)
			block_free(b);
	}
	a->at = a->end = NULL;
	a->bytes = 0;
	a->small = false;
}

void arena_release(struct arena *a)
{
	arena_drop(a, NULL);
}

void arena_reset(struct arena *a)
{
	struct arena_block *keep = a->head;

	if (keep && keep->size > BLOCK_MAX)
		keep = NULL;
	arena_drop(a, keep);
	if (keep) {
		keep->next = NULL;
		a->head = keep;
		a->at = keep->data;
		a->end = keep->data + keep->size;
	}
}

/* b is the block that is filled now, from its n-th byte on. */
static void arena_begin(struct arena *a, struct arena_block *b, size_t n)
{
	b->next = a->head;
	a->head = b;
	a->at = b->data + n;
	a->end = b->data + b->size;
}

void arena_small(struct arena *a)
{
	a->small = true;
}

static size_t next_size(const struct arena *a)
{
	size_t size = a->head ? MIN(a->head->size * 2, BLOCK_MAX) : 0;

	return MAX(size, a->small ? BLOCK_SMALL : BLOCK_MIN);
}

void *arena_alloc(struct arena *a, size_t n)
{
	void *p;

	BUG_ON(n > SIZE_MAX / 2);
	n = n ? (n + 7) & ~(size_t)7 : 8; /* even nothing has an address */
	a->bytes += n;
	if (n <= (size_t)(a->end - a->at)) {
		p = a->at;
		a->at += n;
		return p;
	}
	if (a->head && n > BLOCK_MAX / 4) {
		struct arena_block *big = block_new(n);

		big->next = a->head->next;
		a->head->next = big;
		return big->data;
	}

	struct arena_block *b = block_new(MAX(next_size(a), n));

	arena_begin(a, b, n);
	return b->data;
}

void *arena_zalloc(struct arena *a, size_t n)
{
	return memset(arena_alloc(a, n), 0, n);
}

void *arena_zalloc_array(struct arena *a, size_t count, size_t size)
{
	size_t n;

	BUG_ON(__builtin_mul_overflow(count, size, &n));
	return arena_zalloc(a, n);
}

char *arena_strndup(struct arena *a, const char *s, size_t n)
{
	char *p = arena_alloc(a, n + 1);

	if (n)
		memcpy(p, s, n);
	p[n] = '\0';
	return p;
}

char *arena_strdup(struct arena *a, const char *s)
{
	return arena_strndup(a, s, strlen(s));
}

char *arena_cstr(struct arena *a, struct sv s)
{
	return arena_strndup(a, s.p, s.n);
}

struct sv arena_sv(struct arena *a, struct sv s)
{
	return sv_make(arena_strndup(a, s.p, s.n), s.n);
}

/* vsnprintf() for the texts that requests make by the thousand: of words, strings and views. -1: there is more in it.
 */
static int print_simple(char *to, size_t room, const char *fmt, va_list ap)
{
	size_t n = 0;

	while (*fmt) {
		const char *s = fmt;
		size_t len;

		if (*fmt != '%') {
			len = strcspn(fmt, "%");
			fmt += len;
		} else if (fmt[1] == 's') {
			s = va_arg(ap, const char *);
			if (!s)
				return -1;
			len = strlen(s);
			fmt += 2;
		} else if (strncmp(fmt, "%.*s", 4) == 0) {
			int most = va_arg(ap, int);

			s = va_arg(ap, const char *);
			if (most < 0 || (most && !s))
				return -1;
			len = most ? strnlen(s, (size_t)most) : 0;
			fmt += 4;
		} else {
			return -1;
		}
		if (n + len >= room)
			return -1;
		if (len)
			memcpy(to + n, s, len);
		n += len;
	}
	if (n >= room)
		return -1;
	to[n] = '\0';
	return (int)n;
}

char *arena_vprintf(struct arena *a, const char *fmt, va_list ap)
{
	/* Most texts fit into the current block, and need no second run to be measured. */
	size_t room = (size_t)(a->end - a->at);
	va_list again;
	char *p;
	int n;

	va_copy(again, ap);
	n = print_simple(a->at, MIN(room, INT_MAX), fmt, again);
	va_end(again);
	if (n < 0) {
		va_copy(again, ap);
		n = vsnprintf(a->at, room, fmt, again);
		va_end(again);
	}
	BUG_ON(n < 0);
	p = arena_alloc(a, (size_t)n + 1);
	if ((size_t)n >= room)
		vsnprintf(p, (size_t)n + 1, fmt, ap);
	return p;
}

char *arena_printf(struct arena *a, const char *fmt, ...)
{
	va_list ap;
	char *p;

	va_start(ap, fmt);
	p = arena_vprintf(a, fmt, ap);
	va_end(ap);
	return p;
}

struct sv arena_svf(struct arena *a, const char *fmt, ...)
{
	va_list ap;
	char *p;

	va_start(ap, fmt);
	p = arena_vprintf(a, fmt, ap);
	va_end(ap);
	return sv_from(p);
}

void arena_defer(struct arena *a, void (*fn)(void *p), void *p)
{
	struct arena_defer *d = arena_alloc(a, sizeof(*d));

	d->fn = fn;
	d->p = p;
	d->next = a->defers;
	a->defers = d;
}
