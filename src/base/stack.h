/* stack.h - where a thread is just now, by the addresses of its frames, and what those are called.
 *
 * Another thread is asked by a signal (STACK_SIGNAL, which a process ignores that has no handler for it): its handler
 * writes its own stack down, and whoever asks waits for that. A thread that blocks the signal, or hangs in the kernel
 * where no signal reaches it, has none to show. System calls that the signal interrupts go on; those that never do
 * (poll, epoll_wait, nanosleep) return EINTR, as they may at any time.
 *
 * Threads: stack_walk() is async-signal-safe. The others from any thread, never from a handler.
 */
#pragma once

#include "base/base.h"

#include <signal.h>

#define STACK_SIGNAL SIGURG
#define STACK_FRAMES 32

/* From the context a signal handler is given, innermost first, by the frame pointers that the whole tree is built with,
 * through memory that may be broken. Returns how many. */
size_t stack_walk(const void *ucontext, void **frames, size_t max);

/* Once, before stack_of(). */
void stack_install(void);
/* The stack of thread tid of this process, innermost first; 0: it does not answer within wait_ns. */
size_t stack_of(int tid, void *frames[STACK_FRAMES], int64_t wait_ns);

#define STACK_NAME_MAX 128
/* "function+0x1f", "library.so(function+0x1f)", or "caravel+0x8a31f" where the program was stripped: addr2line makes a
 * line of that. call: pc is where a call returns to, and the call is meant. */
const char *stack_name(const void *pc, bool call, char out[STACK_NAME_MAX]);
