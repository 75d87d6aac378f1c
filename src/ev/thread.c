/* Threads with names, bounded stacks, no signals, and a report when a stack overflows. */
#include "base/crash.h"
#include "base/stack.h"
#include "ev/ev-internal.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

void ev_cond_init(pthread_cond_t *c)
{
	pthread_condattr_t a;

	pthread_condattr_init(&a);
	pthread_condattr_setclock(&a, CLOCK_MONOTONIC);
	pthread_cond_init(c, &a);
	pthread_condattr_destroy(&a);
}

/* What sanitizers keep for a thread lies on its stack; of those that the C library makes they see to it themselves. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define STACK_MORE ((size_t)1024 * 1024)
#elif defined(__has_feature)
#define STACK_MORE (__has_feature(address_sanitizer) || __has_feature(thread_sanitizer) ? (size_t)1024 * 1024 : 0)
#else
#define STACK_MORE ((size_t)0)
#endif

struct thread_start {
	char name[16];
	void *(*fn)(void *);
	void *ctx;
	char *stack; /* as of struct ev_thread; NULL: the C library's */
	size_t stack_bytes;
};

static _Thread_local struct ev_thread self;

static void *thread_main(void *p)
{
	struct thread_start s = *(struct thread_start *)p;

	free(p);
	self = (struct ev_thread){ pthread_self(), s.stack, s.stack_bytes };
	prctl(PR_SET_NAME, s.name);
	crash_thread();
	return s.fn(s.ctx);
}

static size_t guard_bytes(void)
{
	return (size_t)sysconf(_SC_PAGESIZE);
}

/* Takes s. */
static int thread_create(struct thread_start *s, pthread_attr_t *a)
{
	sigset_t all, old;
	pthread_t t;
	int r;

	/* Signals belong to whoever watches them, not to the thread that happens to run; one asks it for its stack. */
	sigfillset(&all);
	sigdelset(&all, STACK_SIGNAL);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	r = pthread_create(&t, a, thread_main, s);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (r)
		free(s);
	return r;
}

static struct thread_start *thread_start_new(const char *name, void *(*fn)(void *), void *ctx)
{
	struct thread_start *s = xcalloc(1, sizeof(*s));

	strncpy(s->name, name, sizeof(s->name) - 1);
	s->fn = fn;
	s->ctx = ctx;
	return s;
}

int ev_thread_spawn(const char *name, size_t stack_bytes, void *(*fn)(void *), void *ctx)
{
	size_t guard = guard_bytes(), usable = stack_bytes + STACK_MORE, all = guard + usable;
	char *stack = mmap(NULL, all, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK | MAP_NORESERVE, -1, 0);
	struct thread_start *s;
	pthread_attr_t a;
	int r;

	if (stack == MAP_FAILED)
		return errno;
	if (mprotect(stack + guard, usable, PROT_READ | PROT_WRITE) != 0) {
		r = errno;
		(void)munmap(stack, all);
		return r;
	}
	s = thread_start_new(name, fn, ctx);
	s->stack = stack;
	s->stack_bytes = all;
	pthread_attr_init(&a);
	r = pthread_attr_setstack(&a, stack + guard, usable);
	BUG_ON(r != 0); /* too small for any thread */
	r = thread_create(s, &a);
	pthread_attr_destroy(&a);
	if (r)
		(void)munmap(stack, all);
	return r;
}

struct ev_thread ev_thread_self(void)
{
	BUG_ON(!self.stack);
	return self;
}

void ev_thread_join(struct ev_thread t)
{
	pthread_join(t.id, NULL);
	(void)munmap(t.stack, t.stack_bytes);
}

int ev_thread_start(const char *name, size_t stack_bytes, void *(*fn)(void *), void *ctx)
{
	pthread_attr_t a;
	int r;

	pthread_attr_init(&a);
	pthread_attr_setdetachstate(&a, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&a, stack_bytes);
	r = thread_create(thread_start_new(name, fn, ctx), &a);
	pthread_attr_destroy(&a);
	return r;
}
