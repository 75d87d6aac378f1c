/* pause.c - the process that holds a pod's namespaces open.
 *
 * Does nothing but reap orphans (it is PID 1 when containers share the pod's PID namespace) and end on
 * SIGTERM or SIGINT. No libc: a static file of a few hundred bytes whose memory is one page of stack.
 */

#if defined(__x86_64__)
enum { SYS_rt_sigprocmask = 14, SYS_wait4 = 61, SYS_exit = 60, SYS_rt_sigtimedwait = 128 };
static long sys4(long n, long a, long b, long c, long d)
{
	long r;
	register long r10 __asm__("r10") = d;

	__asm__ volatile("syscall" : "=a"(r) : "a"(n), "D"(a), "S"(b), "d"(c), "r"(r10) : "rcx", "r11", "memory");
	return r;
}
/* The kernel starts us with an aligned stack; a call expects the return address pushed on one. */
__asm__(".globl _start\n_start:\n\txor %ebp, %ebp\n\tcall pause_main\n");
#elif defined(__aarch64__)
enum { SYS_rt_sigprocmask = 135, SYS_wait4 = 260, SYS_exit = 93, SYS_rt_sigtimedwait = 137 };
static long sys4(long n, long a, long b, long c, long d)
{
	register long x8 __asm__("x8") = n;
	register long x0 __asm__("x0") = a;
	register long x1 __asm__("x1") = b;
	register long x2 __asm__("x2") = c;
	register long x3 __asm__("x3") = d;

	__asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3) : "memory");
	return x0;
}
__asm__(".globl _start\n_start:\n\tmov x29, #0\n\tbl pause_main\n");
#else
#error "pause: no system calls written down for this machine"
#endif

enum { SIGINT_ = 2, SIGTERM_ = 15, SIGCHLD_ = 17, WNOHANG_ = 1, SIG_BLOCK_ = 0 };

__attribute__((noreturn, used)) void pause_main(void);

void pause_main(void)
{
	/* Signals are blocked and waited for, so none is lost and PID 1's "default is ignored" does not matter. */
	const unsigned long set = 1UL << (SIGINT_ - 1) | 1UL << (SIGTERM_ - 1) | 1UL << (SIGCHLD_ - 1);

	sys4(SYS_rt_sigprocmask, SIG_BLOCK_, (long)&set, 0, sizeof(set));
	for (;;) {
		long sig = sys4(SYS_rt_sigtimedwait, (long)&set, 0, 0, sizeof(set));

		if (sig == SIGINT_ || sig == SIGTERM_)
			sys4(SYS_exit, 0, 0, 0, 0);
		while (sys4(SYS_wait4, -1, 0, WNOHANG_, 0) > 0)
			;
	}
}
