/* Frame pointers first for whoever died (nothing but the kernel's word is needed for that), the unwinder first for
 * whoever lives: a thread that is asked mostly waits inside libc, which keeps no frame pointers.
 *
 * One question at a time. It is open (a tid), being answered, or answered; who gives up takes an open one back, so that
 * a late handler finds nothing to do. */
#include "base/stack.h"

#include <errno.h>
#include <execinfo.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#define OWN_FRAMES 8 /* of the handler, and of the kernel's way into it */

enum { NOBODY = 0, ANSWERING = -1, ANSWERED = -2 };

static struct {
	pthread_mutex_t lock;
	atomic_int who; /* the tid that is asked, or one of the above */
	sem_t done;
	size_t n;
	void *frames[STACK_FRAMES];
} asked = { .lock = PTHREAD_MUTEX_INITIALIZER };

static bool stack_peek(uintptr_t at, uintptr_t ret[2])
{
	struct iovec to = { ret, 2 * sizeof(*ret) }, from = { (void *)at, 2 * sizeof(*ret) };

	return at % sizeof(uintptr_t) == 0 && process_vm_readv(getpid(), &to, 1, &from, 1, 0) == (ssize_t)to.iov_len;
}

static bool stack_registers(const ucontext_t *uc, uintptr_t *ret_pc, uintptr_t *ret_fp)
{
#if defined(__x86_64__)
	*ret_pc = (uintptr_t)uc->uc_mcontext.gregs[REG_RIP];
	*ret_fp = (uintptr_t)uc->uc_mcontext.gregs[REG_RBP];
	return true;
#elif defined(__aarch64__)
	*ret_pc = (uintptr_t)uc->uc_mcontext.pc;
	*ret_fp = (uintptr_t)uc->uc_mcontext.regs[29];
	return true;
#else
	(void)uc;
	*ret_pc = *ret_fp = 0;
	return false;
#endif
}

/* A frame is the caller's frame pointer and the return address, on both machines above. */
size_t stack_walk(const void *ucontext, void **frames, size_t max)
{
	uintptr_t pc, fp, frame[2];
	size_t n = 0;

	if (!stack_registers(ucontext, &pc, &fp))
		return 0;
	if (pc && max)
		frames[n++] = (void *)pc;
	while (n < max && fp && stack_peek(fp, frame) && frame[1]) {
		frames[n++] = (void *)frame[1];
		if (frame[0] <= fp)
			break;
		fp = frame[0];
	}
	return n;
}

/* The unwinder's frames from the interrupted one on. */
static size_t stack_unwind(const void *ucontext, void *frames[STACK_FRAMES])
{
	void *all[STACK_FRAMES + OWN_FRAMES];
	int n = backtrace(all, (int)ARRAY_LEN(all)), from = 0;
	uintptr_t pc, fp;
	size_t kept;

	if (!stack_registers(ucontext, &pc, &fp))
		return 0;
	while (from < n && all[from] != (void *)pc)
		from++;
	kept = MIN((size_t)(n - from), (size_t)STACK_FRAMES);
	memcpy(frames, all + from, kept * sizeof(*frames));
	return kept;
}

static void stack_on_question(int signum, siginfo_t *si, void *ucontext)
{
	int saved = errno, me = (int)syscall(SYS_gettid);

	(void)signum;
	(void)si;
	if (atomic_compare_exchange_strong(&asked.who, &me, ANSWERING)) {
		asked.n = stack_unwind(ucontext, asked.frames);
		if (asked.n < 2)
			asked.n = stack_walk(ucontext, asked.frames, STACK_FRAMES);
		atomic_store(&asked.who, ANSWERED);
		(void)sem_post(&asked.done);
	}
	errno = saved;
}

void stack_install(void)
{
	struct sigaction sa = { .sa_sigaction = stack_on_question, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART };
	static atomic_flag once = ATOMIC_FLAG_INIT;

	if (atomic_flag_test_and_set(&once))
		return;
	sem_init(&asked.done, 0, 0);
	sigemptyset(&sa.sa_mask);
	(void)sigaction(STACK_SIGNAL, &sa, NULL);
}

static void stack_wait(int tid, int64_t wait_ns)
{
	struct timespec until = { 0 };
	int open = tid;

	clock_gettime(CLOCK_MONOTONIC, &until);
	wait_ns += until.tv_nsec;
	until.tv_sec += wait_ns / NS_PER_SEC;
	until.tv_nsec = wait_ns % NS_PER_SEC;
	while (sem_clockwait(&asked.done, CLOCK_MONOTONIC, &until) < 0) {
		if (errno == EINTR)
			continue;
		if (atomic_compare_exchange_strong(&asked.who, &open, NOBODY))
			return;
		while (sem_wait(&asked.done) < 0) /* it has begun to answer */
			BUG_ON(errno != EINTR);
		return;
	}
}

size_t stack_of(int tid, void *frames[STACK_FRAMES], int64_t wait_ns)
{
	void *first[2];
	size_t n = 0;

	pthread_mutex_lock(&asked.lock);
	/* Loads the unwinder, which most processes never need: a handler may not. */
	(void)backtrace(first, ARRAY_LEN(first));
	atomic_store(&asked.who, tid);
	if (syscall(SYS_tgkill, getpid(), tid, STACK_SIGNAL) == 0)
		stack_wait(tid, wait_ns);
	if (atomic_exchange(&asked.who, NOBODY) == ANSWERED) {
		n = asked.n;
		memcpy(frames, asked.frames, n * sizeof(*frames));
	}
	pthread_mutex_unlock(&asked.lock);
	return n;
}
