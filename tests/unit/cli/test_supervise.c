/* Children that die in every way, under a real supervisor. */
#include "unit.h"

#include "base/arena.h"
#include "base/crash.h"
#include "base/file.h"
#include "base/quarantine.h"
#include "cli/supervise.h"

#include <dirent.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define KEY "/registry/configmaps/default/bomb"

/* What children leave for each other and for the test. */
static struct shared {
	int started;
	ino_t inode;
	bool same;
} * shared;

struct world {
	struct supervise_opts o;
	char dir[64];
	struct arena arena;
};

static int setup(void **state)
{
	struct world *w = xcalloc(1, sizeof(*w));

	snprintf(w->dir, sizeof(w->dir), "/tmp/caravel-supervise-XXXXXX");
	assert_non_null(mkdtemp(w->dir));
	w->o.dir = w->dir;
	sigemptyset(&w->o.ending);
	sigaddset(&w->o.ending, SIGTERM);
	memset(shared, 0, sizeof(*shared));
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;

	quarantine_load("/nonexistent");
	(void)tree_remove(w->dir, NULL);
	arena_release(&w->arena);
	free(w);
	return 0;
}

static size_t reports(struct world *w, struct sv *ret_last)
{
	struct dirent **all;
	int n = scandir(w->dir, &all, NULL, alphasort);
	size_t count = 0;

	for (int i = 0; i < n; i++) {
		if (sv_ends(sv_from(all[i]->d_name), SV(".txt"))) {
			count++;
			assert_int_equal(file_read(&w->arena, arena_printf(&w->arena, "%s/%s", w->dir, all[i]->d_name),
						   1 << 20, ret_last, NULL),
					 0);
		}
		free(all[i]);
	}
	free(all);
	return count;
}

static void assert_has(struct sv text, const char *part)
{
	if (sv_find_sv(text, sv_from(part)) < 0)
		fail_msg("'%s' is not in:\n%.*s", part, SV_ARG(text));
}

static int exits(void *ctx)
{
	shared->started++;
	_exit((int)(intptr_t)ctx);
}

static void test_status_is_passed_on(void **state)
{
	struct world *w = *state;
	struct sv text;

	assert_int_equal(supervise(&w->o, exits, (void *)(intptr_t)3), 3);
	assert_int_equal(supervise(&w->o, exits, (void *)(intptr_t)0), 0);
	assert_int_equal(shared->started, 2);
	assert_int_equal(reports(w, &text), 0);
}

static int exits_twice(void *ctx)
{
	_exit(shared->started++ ? 4 : (int)(intptr_t)ctx);
}

/* What cannot go on asks for a successor; nothing died, so there is nothing to report. */
static void test_again(void **state)
{
	struct world *w = *state;
	struct sv text;

	assert_int_equal(supervise(&w->o, exits_twice, (void *)(intptr_t)SUPERVISE_AGAIN), 4);
	assert_int_equal(shared->started, 2);
	assert_int_equal(reports(w, &text), 0);
}

static int bug(void *ctx)
{
	(void)ctx;
	if (shared->started++)
		_exit(0);
	(void)work_enter("reconcile", SV("deployment"), SV("default/web"), SV(""));
	work_key(SV("reconcile deployment default/web"));
	(void)work_enter("request", SV("GET"), SV("/api/v1/namespaces/default/configmaps/bomb"), SV("alice\x1b[2J"));
	work_key(SV(KEY));
	BUG_ON(shared->started == 1);
	return 1;
}

static void test_report(void **state)
{
	struct world *w = *state;
	struct sv text = SV("");
	struct stat st;

	assert_int_equal(supervise(&w->o, bug, NULL), 0);
	assert_int_equal(shared->started, 2);
	assert_int_equal(reports(w, &text), 1);
	assert_has(text, "caravel v" CARAVEL_VERSION);
	assert_has(text, "signal: SIGABRT\n");
	assert_has(text, "words: BUG at ");
	assert_has(text, "test_supervise.c");
	assert_has(text, "shared->started == 1");
	assert_has(text, "reconcile deployment default/web, object reconcile deployment default/web");
	assert_has(text, "in it: request GET /api/v1/namespaces/default/configmaps/bomb alice?[2J, object " KEY);
	assert_has(text, "\nstack:\n");
	assert_has(text, "test_cli_supervise");
	assert_has(text, "\nend: killed by SIGABRT");
	/* Once may be chance. */
	assert_int_not_equal(stat(arena_printf(&w->arena, "%s/quarantine", w->dir), &st), 0);
}

static volatile int *nowhere; /* a page that cannot be written */

static int fault(void *ctx)
{
	quarantine_load(((struct world *)ctx)->dir);
	shared->started++;
	(void)work_enter("load", SV(""), SV(""), SV(""));
	/* The other object is between the two deaths: they count all the same. */
	work_key(shared->started == 2 ? SV("/registry/configmaps/default/other") : SV(KEY));
	if (quarantine_has(SV(KEY)))
		_exit(quarantine_count() == 1 && !quarantine_has(SV("/registry/configmaps/default/other")) ? 7 : 8);
	if (shared->started > 3)
		_exit(1);
	*nowhere = 1;
	return 1;
}

static void test_two_deaths_set_aside(void **state)
{
	struct world *w = *state;
	struct sv text = SV("");

	assert_int_equal(supervise(&w->o, fault, w), 7);
	assert_int_equal(shared->started, 4);
	assert_true(reports(w, &text) >= 1);
	assert_has(text, "signal: SIGSEGV, address 0x");
	assert_has(text, "\nstack:\n");
	assert_int_equal(file_read(&w->arena, arena_printf(&w->arena, "%s/quarantine", w->dir), 4096, &text, NULL), 0);
	assert_sv(text, KEY "\n");
}

/* Killed by somebody else: whatever it was doing is not to blame. */
static int killed(void *ctx)
{
	int signum = (int)(intptr_t)ctx;
	pid_t self = getpid();

	if (shared->started++ == 2)
		_exit(0);
	(void)work_enter("load", SV(""), SV(""), SV(""));
	work_key(SV(KEY));
	if (fork() == 0) {
		kill(self, signum);
		_exit(0);
	}
	for (;;)
		pause();
}

static void test_killed_from_outside(void **state)
{
	struct world *w = *state;
	struct sv text = SV("");
	struct stat st;

	assert_int_equal(supervise(&w->o, killed, (void *)(intptr_t)SIGSEGV), 0);
	assert_true(reports(w, &text) >= 1);
	assert_has(text, "signal: SIGSEGV, sent by another process");
	assert_has(text, "load, object " KEY);
	shared->started = 0;
	(void)tree_remove(w->dir, NULL);
	assert_int_equal(supervise(&w->o, killed, (void *)(intptr_t)SIGKILL), 0);
	assert_true(reports(w, &text) >= 1);
	assert_has(text, "signal: none was seen from inside");
	assert_has(text, "load, object " KEY);
	assert_has(text, "end: killed by SIGKILL");
	assert_int_not_equal(stat(arena_printf(&w->arena, "%s/quarantine", w->dir), &st), 0);
}

static int deep(volatile char *from, int n)
{
	volatile char room[4096];

	room[0] = (char)n;
	return n ? deep(room, n - 1) + from[0] + room[0] : 0;
}

static void *overflow(void *p)
{
	(void)p;
	crash_thread();
	return (void *)(intptr_t)deep((volatile char[]){ 0 }, 1 << 20);
}

static int overflows(void *ctx)
{
	pthread_t t;

	(void)ctx;
	if (shared->started++)
		_exit(0);
	pthread_create(&t, NULL, overflow, NULL);
	pthread_join(t, NULL);
	return 1;
}

static void test_stack_overflow(void **state)
{
	struct world *w = *state;
	struct sv text = SV("");

	assert_int_equal(supervise(&w->o, overflows, NULL), 0);
	assert_int_equal(reports(w, &text), 1);
	assert_has(text, "signal: SIGSEGV, address 0x");
}

static int keeps(void *ctx)
{
	struct stat st;
	int fd = supervise_kept("socket"), pipes[2];

	(void)ctx;
	assert_int_equal(supervise_kept("other"), -1);
	if (shared->started++ == 0) {
		if (fd >= 0 || pipe(pipes) < 0 || fstat(pipes[0], &st) < 0)
			_exit(1);
		shared->inode = st.st_ino;
		supervise_keep("socket", pipes[0]);
		raise(SIGKILL);
	}
	shared->same = fd >= 0 && fstat(fd, &st) == 0 && st.st_ino == shared->inode;
	if (shared->started == 2)
		raise(SIGKILL); /* and it is still there for the third */
	_exit(shared->same ? 0 : 1);
}

static void test_descriptors_stay(void **state)
{
	struct world *w = *state;

	assert_int_equal(supervise(&w->o, keeps, NULL), 0);
	assert_int_equal(shared->started, 3);
	assert_true(shared->same);
	assert_int_equal(supervise_kept("socket"), -1); /* not for the next one's */
}

static int asks_to_end(void *ctx) /* NULL: and obeys */
{
	sigset_t term;
	int signum;

	sigemptyset(&term);
	sigaddset(&term, SIGTERM);
	shared->started++;
	kill(getppid(), SIGTERM);
	sigwait(&term, &signum);
	if (ctx)
		raise(SIGKILL);
	_exit(5);
}

static void test_signals_are_passed_on(void **state)
{
	struct world *w = *state;

	assert_int_equal(supervise(&w->o, asks_to_end, NULL), 5);
	assert_int_equal(supervise(&w->o, asks_to_end, w), 128 + SIGKILL); /* not replaced */
	assert_int_equal(shared->started, 2);
}

static int holds_pipe(void *ctx)
{
	(void)!write(*(int *)ctx, "x", 1);
	for (;;)
		pause();
	return 0;
}

/* The end of the pipe is the end of both processes. */
static void test_the_child_goes_with_the_parent(void **state)
{
	struct world *w = *state;
	int p[2], status;
	char c;
	pid_t pid;

	assert_int_equal(pipe(p), 0);
	pid = fork();
	if (pid == 0) {
		close(p[0]);
		_exit(supervise(&w->o, holds_pipe, &p[1]));
	}
	close(p[1]);
	assert_int_equal(read(p[0], &c, 1), 1);
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(read(p[0], &c, 1), 0);
	close(p[0]);
}

static int always_dies(void *ctx)
{
	(void)ctx;
	shared->started++;
	raise(SIGKILL);
	return 0;
}

/* A server that cannot live does not keep the machine busy: and it ends when it is told to, in a pause, too. */
static void test_pauses_grow(void **state)
{
	struct world *w = *state;
	pid_t pid = fork();
	int status, n;

	if (pid == 0)
		_exit(supervise(&w->o, always_dies, NULL));
	while (*(volatile int *)&shared->started < 5)
		poll(NULL, 0, 5);
	kill(pid, SIGTERM);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	n = shared->started;
	assert_true(n < 20); /* without pauses it would be hundreds */
}

static void test_reports_are_few(void **state)
{
	struct world *w = *state;
	struct board *b = xcalloc(1, sizeof(*b));
	char path[CRASH_PATH_MAX];
	struct sv text = SV("");

	for (int i = 0; i < CRASH_REPORTS_KEPT + 7; i++)
		crash_report(b, w->dir, 100 + i, INT64_C(1700000000) * NS_PER_SEC + i * NS_PER_SEC, "tested", path);
	assert_true(sv_ends(sv_from(path), SV("/20231114T221346Z-126.txt")));
	crash_prune(w->dir);
	assert_int_equal(reports(w, &text), CRASH_REPORTS_KEPT);
	assert_has(text, "process: 126\n"); /* the newest stay */
	free(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_status_is_passed_on, setup, teardown),
		cmocka_unit_test_setup_teardown(test_again, setup, teardown),
		cmocka_unit_test_setup_teardown(test_report, setup, teardown),
		cmocka_unit_test_setup_teardown(test_two_deaths_set_aside, setup, teardown),
		cmocka_unit_test_setup_teardown(test_killed_from_outside, setup, teardown),
		cmocka_unit_test_setup_teardown(test_stack_overflow, setup, teardown),
		cmocka_unit_test_setup_teardown(test_descriptors_stay, setup, teardown),
		cmocka_unit_test_setup_teardown(test_signals_are_passed_on, setup, teardown),
		cmocka_unit_test_setup_teardown(test_the_child_goes_with_the_parent, setup, teardown),
		cmocka_unit_test_setup_teardown(test_pauses_grow, setup, teardown),
		cmocka_unit_test_setup_teardown(test_reports_are_few, setup, teardown),
	};
	const struct rlimit none = { 0, 0 };

	(void)setrlimit(RLIMIT_CORE, &none);
	nowhere = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	return cmocka_run_group_tests_name("cli/supervise", tests, NULL, NULL);
}
