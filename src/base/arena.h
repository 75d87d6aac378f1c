/* arena.h - memory with one lifetime: a request, a reconcile run, a scheduling cycle.
 *
 * Allocations are never freed one by one; arena_reset() drops them all, runs the functions
 * registered with arena_defer() (last first) and keeps one block for reuse. Zero-initialised
 * is a valid empty arena. Not thread-safe: one owner at a time.
 */
#pragma once

#include "base/base.h"

#include <stdarg.h>

struct arena_block;
struct arena_defer;

struct arena {
	struct arena_block *head;
	char *at, *end; /* free room in head */
	struct arena_defer *defers;
	size_t bytes; /* handed out since the last reset */
	bool small;   /* arena_small() was said; whoever knows more takes it back */
};

#define ARENA_INIT ((struct arena){ 0 })

void arena_release(struct arena *a); /* for _cleanup_ */
void arena_reset(struct arena *a);
/* Gives back to the kernel what was released: the blocks kept for the next arenas, and malloc()'s free pages, which it
 * walks all heaps for. For moments of rest; any thread. */
void arena_trim(void);

/* Until its next reset the first block it takes is half a kibibyte, and those behind it twice that. For the many that
 * live long and hold little. */
void arena_small(struct arena *a);
void *arena_alloc(struct arena *a, size_t n) __attribute__((malloc, returns_nonnull)); /* 8-aligned, not zeroed */
void *arena_zalloc(struct arena *a, size_t n) __attribute__((malloc, returns_nonnull));
#define ARENA_NEW(a, type) ((type *)arena_zalloc((a), sizeof(type)))
#define ARENA_ARRAY(a, type, count) ((type *)arena_zalloc_array((a), (count), sizeof(type)))
void *arena_zalloc_array(struct arena *a, size_t count, size_t size) __attribute__((malloc, returns_nonnull));

struct sv arena_sv(struct arena *a, struct sv s); /* copy, NUL-terminated behind its end */
char *arena_strdup(struct arena *a, const char *s);
char *arena_strndup(struct arena *a, const char *s, size_t n);
char *arena_cstr(struct arena *a, struct sv s);
char *arena_printf(struct arena *a, const char *fmt, ...) _printf_(2, 3);
struct sv arena_svf(struct arena *a, const char *fmt, ...) _printf_(2, 3);
char *arena_vprintf(struct arena *a, const char *fmt, va_list ap) _printf_(2, 0);

/* Runs fn(p) when the arena resets: unref an object, close a descriptor. */
void arena_defer(struct arena *a, void (*fn)(void *p), void *p);
