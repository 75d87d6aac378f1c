/* Stacks of their own by ucontext: they are mapped, so that what is not touched costs nothing, and have a page below
 * them that nobody may touch. A sanitizer is told of each change of stacks, or it takes them for damage. */
#include "sim/fiber.h"
#include "base/list.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <ucontext.h>

#if defined(__SANITIZE_ADDRESS__)
#define FIBER_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define FIBER_ASAN 1
#endif
#endif
#ifdef FIBER_ASAN
#include <sanitizer/common_interface_defs.h>
#endif

#define FIBER_STACK ((size_t)2 << 20) /* as much as documents of any depth need, under a sanitizer, too */
#define FIBER_GUARD ((size_t)4096)

struct fiber {
	struct list link; /* of the set's idle ones, or of its resting */
	struct fibers *of;
	ucontext_t context;
	char *stack;
	void (*fn)(void *ctx);
	void *ctx;
	void *shadow; /* the sanitizer's */
	bool done;
};

struct fibers {
	ucontext_t outside;
	const void *outside_stack;
	size_t outside_bytes;
	struct fiber *running;
	struct list idle, resting;
	size_t n_resting;
};

static void fiber_leaves(void **shadow, const void *to, size_t bytes)
{
#ifdef FIBER_ASAN
	__sanitizer_start_switch_fiber(shadow, to, bytes);
#else
	(void)shadow;
	(void)to;
	(void)bytes;
#endif
}

static void fiber_arrives(void *shadow, const void **ret_from, size_t *ret_bytes)
{
#ifdef FIBER_ASAN
	__sanitizer_finish_switch_fiber(shadow, ret_from, ret_bytes);
#else
	(void)shadow;
	(void)ret_from;
	(void)ret_bytes;
#endif
}

static void fiber_back(struct fiber *x)
{
	struct fibers *f = x->of;

	fiber_leaves(&x->shadow, f->outside_stack, f->outside_bytes);
	if (swapcontext(&x->context, &f->outside) < 0)
		abort();
	fiber_arrives(x->shadow, &f->outside_stack, &f->outside_bytes);
}

/* What each stack runs, one task after the other. A pointer comes as two numbers: makecontext() takes nothing else. */
static void fiber_main(unsigned high, unsigned low)
{
	struct fiber *x = (struct fiber *)(uintptr_t)((uint64_t)high << 32 | low);

	fiber_arrives(NULL, &x->of->outside_stack, &x->of->outside_bytes);
	for (;;) {
		x->fn(x->ctx);
		x->done = true;
		fiber_back(x);
	}
}

static struct fiber *fiber_new(struct fibers *f)
{
	struct fiber *x = xcalloc(1, sizeof(*x));
	uint64_t at = (uintptr_t)x;

	x->of = f;
	x->stack = mmap(NULL, FIBER_STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (x->stack == MAP_FAILED || mprotect(x->stack, FIBER_GUARD, PROT_NONE) < 0 || getcontext(&x->context) < 0)
		abort();
	x->context.uc_stack.ss_sp = x->stack;
	x->context.uc_stack.ss_size = FIBER_STACK;
	makecontext(&x->context, (void (*)(void))(void *)fiber_main, 2, (unsigned)(at >> 32), (unsigned)at);
	return x;
}

static struct fiber *fiber_go(struct fibers *f, struct fiber *x)
{
	void *shadow = NULL;

	BUG_ON(f->running);
	f->running = x;
	fiber_leaves(&shadow, x->stack, FIBER_STACK);
	if (swapcontext(&f->outside, &x->context) < 0)
		abort();
	fiber_arrives(shadow, NULL, NULL);
	f->running = NULL;
	list_add_tail(x->done ? &f->idle : &f->resting, &x->link);
	f->n_resting += !x->done;
	return x->done ? NULL : x;
}

struct fiber *fiber_run(struct fibers *f, void (*fn)(void *ctx), void *ctx)
{
	struct fiber *x;

	if (list_empty(&f->idle)) {
		x = fiber_new(f);
	} else {
		x = LIST_ENTRY(f->idle.next, struct fiber, link);
		list_del(&x->link);
	}
	x->fn = fn;
	x->ctx = ctx;
	x->done = false;
	return fiber_go(f, x);
}

struct fiber *fiber_resume(struct fibers *f, struct fiber *one)
{
	list_del(&one->link);
	f->n_resting--;
	return fiber_go(f, one);
}

void fiber_rest(struct fibers *f)
{
	BUG_ON(!f->running);
	fiber_back(f->running);
}

struct fiber *fiber_self(struct fibers *f)
{
	return f->running;
}

size_t fibers_resting(const struct fibers *f)
{
	return f->n_resting;
}

struct fibers *fibers_new(void)
{
	struct fibers *f = xcalloc(1, sizeof(*f));

	list_init(&f->idle);
	list_init(&f->resting);
	return f;
}

static void fibers_drop(struct list *all)
{
	LIST_EACH(all, it) {
		struct fiber *x = LIST_ENTRY(it, struct fiber, link);

		list_del(&x->link);
		(void)munmap(x->stack, FIBER_STACK);
		free(x);
	}
}

struct fibers *fibers_free(struct fibers *f)
{
	if (!f)
		return NULL;
	fibers_drop(&f->idle);
	fibers_drop(&f->resting);
	free(f);
	return NULL;
}
