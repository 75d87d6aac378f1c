/* The stack is found by following frame pointers: each step is read by the kernel, who says no instead of faulting
 * (stack.h). Where that leads nowhere (a fault inside a library without them), the unwinder is asked last, when
 * everything else is written down: it may hang on a lock that the fault left behind, so an alarm ends the process
 * then. */
#include "base/crash.h"

#include "base/stack.h"
#include "base/timefmt.h"

#include <dirent.h>
#include <elf.h>
#include <execinfo.h>
#include <fcntl.h>
#include <link.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define ALT_STACK ((size_t)32 * 1024)
#define FEW_FRAMES 3
#define UNWIND_US 100000

static const int signals[] = { SIGSEGV, SIGBUS, SIGABRT, SIGILL, SIGFPE };
static const char *report_dir;

/* --- the handler --- */

static void on_fault(int signum, siginfo_t *si, void *context)
{
	struct death *d = &board()->death;
	int tid = (int)syscall(SYS_gettid), none = DEATH_NONE;
	char path[CRASH_PATH_MAX];

	if (atomic_compare_exchange_strong(&d->state, &none, DEATH_BEING_NOTED)) {
		struct itimerval alarm = { .it_value = { .tv_usec = UNWIND_US } };

		d->signum = signum;
		d->code = si->si_code;
		d->ours = si->si_code > 0 || si->si_pid == getpid();
		d->address = si->si_code > 0 ? (uint64_t)(uintptr_t)si->si_addr : 0;
		d->slot = work_slot();
		if (d->tid != tid) { /* else death_note() was here, with words */
			d->tid = tid;
			d->n_frames = 0;
			d->words[0] = '\0';
		}
		if (!d->n_frames)
			d->n_frames = stack_walk(context, d->frames, DEATH_FRAMES);
		atomic_store(&d->state, DEATH_NOTED);
		if (d->n_frames < FEW_FRAMES) {
			void *frames[DEATH_FRAMES];
			int n;

			(void)setitimer(ITIMER_REAL, &alarm, NULL);
			n = backtrace(frames, DEATH_FRAMES);
			for (int i = 0; i < n; i++)
				d->frames[i] = frames[i];
			d->n_frames = n > 0 ? (size_t)n : d->n_frames;
		}
		if (report_dir) {
			struct timespec t = { 0 };

			clock_gettime(CLOCK_REALTIME, &t);
			crash_report(board(), report_dir, getpid(), (int64_t)t.tv_sec * NS_PER_SEC + t.tv_nsec, NULL,
				     path);
		}
	} else if (d->tid != tid) {
		for (;;) /* another thread is ending the process */
			pause();
	}
	if (!report_dir) /* memory holds Secrets and keys, wherever the system puts what it dumps */
		(void)syscall(SYS_prctl, PR_SET_DUMPABLE, 0, 0, 0, 0);
	signal(signum, SIG_DFL);
	(void)syscall(SYS_tgkill, getpid(), tid, signum); /* delivered when we return */
}

/* The sanitizer gives every thread a stack for signals, and unmaps the one it finds when the thread ends: were that one
 * of ours, the next thread's memory would go with it. */
#ifndef __has_feature
#define __has_feature(x) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || __has_feature(address_sanitizer)
#define HAS_SIGNAL_STACKS true
#else
#define HAS_SIGNAL_STACKS false
#endif

void crash_thread(void)
{
	static _Thread_local bool done;
	static char *stacks;
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	int mark, i;
	char *all;

	if (done || HAS_SIGNAL_STACKS)
		return;
	done = true;
	mark = work_enter("thread", SV(""), SV(""), SV("")); /* takes a slot, which has a stack */
	work_leave(&mark);
	i = work_slot();
	pthread_mutex_lock(&lock);
	if (!stacks) {
		all = mmap(NULL, WORK_SLOTS * ALT_STACK, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
		stacks = all == MAP_FAILED ? NULL : all;
	}
	all = stacks;
	pthread_mutex_unlock(&lock);
	if (i >= 0 && all)
		(void)sigaltstack(&(stack_t){ .ss_sp = all + (size_t)i * ALT_STACK, .ss_size = ALT_STACK }, NULL);
}

void crash_install(const char *dir)
{
	struct sigaction sa = { .sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK };

	report_dir = dir;
	sigemptyset(&sa.sa_mask);
	for (size_t i = 0; i < ARRAY_LEN(signals); i++)
		(void)sigaction(signals[i], &sa, NULL);
	crash_thread();
}

/* --- the report --- */

/* Text in pieces, without anything of stdio. */
struct out {
	int fd;
	size_t n;
	char b[1024];
};

static void crash_flush(struct out *o)
{
	(void)!write(o->fd, o->b, o->n);
	o->n = 0;
}

/* What comes from outside, and no control character with it. */
static void crash_put(struct out *o, const char *s, size_t max)
{
	for (size_t i = 0; i < max && s[i]; i++) {
		if (o->n == sizeof(o->b))
			crash_flush(o);
		o->b[o->n++] = (unsigned char)s[i] < 0x20 && s[i] != '\n' ? '?' : s[i];
	}
}

static void puts_(struct out *o, const char *s)
{
	crash_put(o, s, SIZE_MAX);
}

static void put_number(struct out *o, uint64_t v, unsigned base, int width)
{
	char t[24];
	size_t at = sizeof(t) - 1;

	t[at] = '\0';
	do {
		t[--at] = "0123456789abcdef"[v % base];
		v /= base;
		width--;
	} while (v || width > 0);
	puts_(o, t + at);
}

static const char *signal_name(int signum)
{
	const char *abbrev = sigabbrev_np(signum);

	return abbrev ? abbrev : "?";
}

static int find_build_id(struct dl_phdr_info *info, size_t size, void *ctx)
{
	struct out *o = ctx;

	(void)size;
	for (int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *ph = &info->dlpi_phdr[i];
		const char *at = (const char *)(info->dlpi_addr + ph->p_vaddr), *end = at + ph->p_memsz;

		while (ph->p_type == PT_NOTE && (size_t)(end - at) > sizeof(ElfW(Nhdr))) {
			const ElfW(Nhdr) *note = (const void *)at;
			const unsigned char *desc =
			    (const unsigned char *)at + sizeof(*note) + ((note->n_namesz + 3U) & ~3U);

			if (note->n_type == NT_GNU_BUILD_ID) {
				puts_(o, ", build ");
				for (unsigned k = 0; k < note->n_descsz; k++)
					put_number(o, desc[k], 16, 2);
				return 1;
			}
			at = (const char *)desc + ((note->n_descsz + 3U) & ~3U);
		}
	}
	return 1; /* the first is the program itself */
}

static void put_work(struct out *o, const struct work *w)
{
	crash_put(o, w->thread, sizeof(w->thread));
	puts_(o, ":");
	if (w->depth <= 0)
		puts_(o, " nothing written down");
	for (int i = 0; i < MIN(w->depth, WORK_DEPTH); i++) {
		puts_(o, i ? ", in it: " : " ");
		crash_put(o, w->level[i].what, sizeof(w->level[i].what));
		if (w->level[i].key[0]) {
			puts_(o, ", object ");
			crash_put(o, w->level[i].key, sizeof(w->level[i].key));
		}
	}
	puts_(o, "\n");
}

static void put_stamp(struct out *o, int64_t now_ns)
{
	int64_t s = now_ns / NS_PER_SEC, y;
	unsigned m, d;

	time_civil(s / 86400, &y, &m, &d);
	put_number(o, (uint64_t)y, 10, 4);
	put_number(o, m, 10, 2);
	put_number(o, d, 10, 2);
	puts_(o, "T");
	put_number(o, (uint64_t)(s % 86400 / 3600), 10, 2);
	put_number(o, (uint64_t)(s % 3600 / 60), 10, 2);
	put_number(o, (uint64_t)(s % 60), 10, 2);
	puts_(o, "Z");
}

static void put_death(struct out *o, const struct board *b)
{
	const struct death *d = &b->death;

	if (d->state != DEATH_NOTED) {
		puts_(o, "signal: none was seen from inside\n");
		return;
	}
	puts_(o, "signal: SIG");
	puts_(o, signal_name(d->signum));
	if (!d->ours)
		puts_(o, ", sent by another process");
	if (d->address) {
		puts_(o, ", address 0x");
		put_number(o, d->address, 16, 0);
	}
	puts_(o, "\n");
	if (d->words[0]) {
		puts_(o, "words: ");
		crash_put(o, d->words, sizeof(d->words));
		puts_(o, "\n");
	}
	puts_(o, "thread: ");
	put_number(o, (uint64_t)d->tid, 10, 0);
	puts_(o, "\nran: ");
	if (d->slot >= 0 && d->slot < WORK_SLOTS)
		put_work(o, &b->work[d->slot]);
	else
		puts_(o, "nothing written down\n");
	puts_(o, "stack:\n");
	crash_flush(o);
	backtrace_symbols_fd(d->frames, (int)MIN(d->n_frames, (size_t)DEATH_FRAMES), o->fd);
}

void crash_report(const struct board *b, const char *dir, pid_t pid, int64_t now_ns, const char *how,
		  char ret_path[CRASH_PATH_MAX])
{
	struct out o = { .fd = -1 };

	ret_path[0] = '\0';
	if (strlen(dir) > sizeof(o.b) / 4)
		return;
	puts_(&o, dir);
	puts_(&o, "/");
	put_stamp(&o, now_ns);
	puts_(&o, "-");
	put_number(&o, (uint64_t)pid, 10, 0);
	puts_(&o, ".txt");
	memcpy(ret_path, o.b, o.n);
	ret_path[o.n] = '\0';
	o.n = 0;
	o.fd = open(ret_path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (o.fd < 0) {
		ret_path[0] = '\0';
		return;
	}
	puts_(&o, "caravel v" CARAVEL_VERSION);
	(void)dl_iterate_phdr(find_build_id, &o);
	puts_(&o, "\nprocess: ");
	put_number(&o, (uint64_t)pid, 10, 0);
	puts_(&o, "\ntime: ");
	put_stamp(&o, now_ns);
	puts_(&o, "\n");
	put_death(&o, b);
	puts_(&o, "other threads:\n");
	for (int i = 0; i < (int)board_slots(b); i++)
		if (atomic_load(&b->work[i].tid) && b->work[i].depth > 0 &&
		    (b->death.state != DEATH_NOTED || i != b->death.slot)) {
			puts_(&o, "  ");
			put_work(&o, &b->work[i]);
		}
	if (how) {
		puts_(&o, "end: ");
		puts_(&o, how);
		puts_(&o, "\n");
	}
	crash_flush(&o);
	close(o.fd);
}

static int is_report(const struct dirent *d)
{
	return d->d_name[0] >= '0' && d->d_name[0] <= '9' && sv_ends(sv_from(d->d_name), SV(".txt"));
}

void crash_prune(const char *dir)
{
	struct dirent **all;
	int n = scandir(dir, &all, is_report, alphasort);

	if (n < 0)
		return;
	for (int i = 0; i < n; i++) {
		_cleanup_free_ char *path = xasprintf("%s/%s", dir, all[i]->d_name);

		if (i < n - CRASH_REPORTS_KEPT)
			unlink(path);
		free(all[i]);
	}
	free(all);
}
