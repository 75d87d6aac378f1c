/* Threads with names, bounded stacks, no signals, and a report when a stack overflows. */
#include "base/crash.h"
#include "base/stack.h"
#include "ev/ev-internal.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>

void ev_cond_init(pthread_cond_t *c)
{
	pthread_condattr_t a;

	pthread_condattr_init(&a);
	pthread_condattr_setclock(&a, CLOCK_MONOTONIC);
	pthread_cond_init(c, &a);
	pthread_condattr_destroy(&a);
}

struct thread_start {
	char name[16];
	void *(*fn)(void *);
	void *ctx;
};

static void *thread_main(void *p)
{
	struct thread_start s = *(struct thread_start *)p;

	free(p);
	prctl(PR_SET_NAME, s.name);
	crash_thread();
	return s.fn(s.ctx);
}

int ev_thread_spawn(const char *name, size_t stack_bytes, int detached, void *(*fn)(void *), void *ctx)
{
	struct thread_start *s = xcalloc(1, sizeof(*s));
	pthread_attr_t a;
	sigset_t all, old;
	pthread_t t;
	int r;

	strncpy(s->name, name, sizeof(s->name) - 1);
	s->fn = fn;
	s->ctx = ctx;
	pthread_attr_init(&a);
	pthread_attr_setdetachstate(&a, detached);
	pthread_attr_setstacksize(&a, stack_bytes);
	/* Signals belong to whoever watches them, not to the thread that happens to run; one asks it for its stack. */
	sigfillset(&all);
	sigdelset(&all, STACK_SIGNAL);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	r = pthread_create(&t, &a, thread_main, s);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_attr_destroy(&a);
	if (r)
		free(s);
	return r;
}

int ev_thread_start(const char *name, size_t stack_bytes, void *(*fn)(void *), void *ctx)
{
	return ev_thread_spawn(name, stack_bytes, PTHREAD_CREATE_DETACHED, fn, ctx);
}
