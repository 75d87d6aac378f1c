/* The process: what serves is told while the one that follows it still starts. With HAProxy itself, where it is there.
 */
#include "unit.h"

#include "base/file.h"
#include "ev/ev.h"
#include "ingress/haproxy.h"
#include "ingress/sockets.h"

#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* A section of two servers, in a configuration that needs no port. */
#define CONFIG                                                                                      \
	"global\n  maxconn 64\ndefaults\n  mode http\n  timeout connect 1s\n  timeout client 1s\n"  \
	"  timeout server 1s\n%sfrontend f\n  bind unix@f.sock\n  default_backend b1\nbackend b1\n" \
	"  server e1 192.0.2.1:80\n  server e2 192.0.2.2:80\n"

static char Dir[] = "/tmp/unit-haproxy-XXXXXX";

static void nothing_changed(_unused_ void *ctx)
{
}

/* shape: "" or lines more; the second server may be gone. */
static struct ing_state *state_of(const char *more, bool second)
{
	struct ing_state *s = ing_state_new();
	struct ing_section *b1 = ARENA_ARRAY(&s->arena, struct ing_section, 1);

	b1->name = SV("b1");
	b1->slots = ARENA_ARRAY(&s->arena, struct ing_endpoint, 2);
	b1->n_slots = 2;
	for (size_t i = 0; i < (second ? 2 : 1); i++) {
		assert_true(ip_parse(arena_svf(&s->arena, "192.0.2.%zu", i + 1), &b1->slots[i].ip));
		b1->slots[i].port = 80;
	}
	s->conf.shape = arena_svf(&s->arena, CONFIG, more);
	s->conf.config = arena_svf(&s->arena, CONFIG "%s", more, second ? "" : "# the second has gone\n");
	s->conf.sections = b1;
	s->conf.n_sections = 1;
	return s;
}

static int64_t apply(struct haproxy *h, struct ing_state *s)
{
	_cleanup_(err_release) struct err err = ERR_INIT;
	int64_t after_ns;

	if (haproxy_apply(h, s, &after_ns, &err) < 0)
		fail_msg("%s", err_msg(&err));
	return after_ns;
}

/* Is the second server of the HAProxy at that socket one that gets no requests? */
static bool second_rests(int socket)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(err_release) struct err err = ERR_INIT;
	_cleanup_free_ char *dir = xasprintf("%s/ingress", Dir);
	struct sv text, line;
	ssize_t at;

	if (ing_socket_ask(&a, dir, socket, SV("show servers state b1\n"), &text, &err) < 0)
		fail_msg("%s", err_msg(&err));
	while (sv_split(&text, '\n', &line))
		if ((at = sv_find_sv(line, SV(" e2 "))) >= 0) {
			struct sv rest = sv_sub(line, (size_t)at + 4, line.n), word = SV_NULL;

			for (int i = 0; i < 3; i++) /* its address, whether it is up, and what it was told */
				assert_true(sv_split(&rest, ' ', &word));
			return !sv_is(word, "0");
		}
	fail_msg("there is no second server");
	return false;
}

static void test_endpoints_while_the_next_starts(_unused_ void **state)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_free_ char *fifo = xasprintf("%s/ingress/fifo", Dir);
	struct env *env = env_real_new(1);
	struct haproxy_opts o = { .env = env, .data_dir = Dir, .changed = nothing_changed };
	struct haproxy *h = haproxy_new(&o, NULL);
	const int *pids;

	if (!h) {
		env_real_free(env);
		skip(); /* not installed */
	}
	for (int64_t after = apply(h, state_of("", true)); after > 0; after = apply(h, NULL))
		usleep(10000);
	assert_true(haproxy_runs(h));
	assert_false(second_rests(0));

	/* One that follows waits for somebody who writes this, while it reads its configuration. */
	assert_int_equal(mkfifo(fifo, 0600), 0);
	for (int64_t after = apply(h, state_of("  errorfile 503 fifo\n", true));; after = apply(h, NULL)) {
		assert_true(after > 0);
		pids = haproxy_pids(h, &a);
		if (pids[0] && pids[1])
			break;
		usleep(10000);
	}
	assert_false(second_rests(0));
	assert_true(apply(h, state_of("  errorfile 503 fifo\n", false)) > 0);
	assert_true(haproxy_pids(h, &a)[1] == pids[1]); /* it has not come yet */
	assert_true(second_rests(0));

	haproxy_cleanup(Dir);
	for (haproxy_end(h); *haproxy_pids(h, &a); haproxy_end(h))
		usleep(10000);
	haproxy_free(h);
	env_real_free(env);
}

/* A signal is on its way for a moment, in which another thread of that process may still answer. All of them stand. */
static void stand(int pid)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	const char *dir = arena_printf(&a, "/proc/%d/task", pid);
	bool runs = true;

	assert_int_equal(kill(pid, SIGSTOP), 0);
	while (runs) {
		DIR *d = opendir(dir);

		assert_non_null(d);
		runs = false;
		for (struct dirent *e; (e = readdir(d));) {
			char text[256] = "", *state;
			FILE *f;

			if (e->d_name[0] == '.')
				continue;
			f = fopen(arena_printf(&a, "%s/%s/stat", dir, e->d_name), "re");
			if (!f)
				continue;
			(void)fread(text, 1, sizeof(text) - 1, f);
			(void)fclose(f);
			state = strrchr(text, ')');
			runs |= state && state[1] == ' ' && state[2] && strchr("RSD", state[2]);
		}
		(void)closedir(d);
		if (runs)
			usleep(1000);
	}
}

/* One that does not answer can give nobody its sockets: it is followed when it answers again, with what is wanted then.
 */
static void test_one_that_stands(_unused_ void **state)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct env *env = env_real_new(1);
	struct haproxy_opts o = { .env = env, .data_dir = Dir, .changed = nothing_changed };
	struct haproxy *h = haproxy_new(&o, NULL);
	int pid;

	if (!h) {
		env_real_free(env);
		skip(); /* not installed */
	}
	for (int64_t after = apply(h, state_of("", true)); after > 0; after = apply(h, NULL))
		usleep(10000);
	pid = haproxy_pids(h, &a)[0];
	stand(pid);
	assert_true(apply(h, state_of("", false)) > 0);
	assert_true(apply(h, state_of("", true)) > 0); /* as it was before: what it has done of that nobody knows */
	assert_int_equal(haproxy_pids(h, &a)[0], pid);
	assert_int_equal(haproxy_pids(h, &a)[1], 0);
	assert_int_equal(kill(pid, SIGCONT), 0);
	for (int64_t after = apply(h, NULL); after > 0; after = apply(h, NULL))
		usleep(10000);
	assert_int_not_equal(haproxy_pids(h, &a)[0], pid);
	assert_false(second_rests(ing_socket_find(arena_printf(&a, "%s/ingress", Dir))));

	haproxy_cleanup(Dir);
	for (haproxy_end(h); *haproxy_pids(h, &a); haproxy_end(h))
		usleep(10000);
	haproxy_free(h);
	env_real_free(env);
}

static int make_dir(_unused_ void **state)
{
	return mkdtemp(Dir) ? 0 : -1;
}

static int remove_dir(_unused_ void **state)
{
	haproxy_cleanup(Dir); /* they outlive who started them */
	tree_remove(Dir, NULL);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_endpoints_while_the_next_starts),
					    cmocka_unit_test(test_one_that_stands) };

	return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
