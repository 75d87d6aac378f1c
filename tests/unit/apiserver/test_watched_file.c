/* Files that are looked at again: what is wrong changes nothing and is told once. */
#include "unit.h"

#include "apiserver/watched_file.h"
#include "base/file.h"
#include "base/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct word {
	int refs;
	char text[40];
};

static struct {
	char path[40];
	int made, alive, good, bad, told;
} t;

static void *word_made(void *ctx, struct sv text, struct err *err)
{
	struct word *w;

	assert_ptr_equal(ctx, &t);
	t.made++;
	if (sv_starts(text, SV("bad")))
		return err_set(err, ERR_INVALID, "no word: %.*s", SV_ARG(text)), NULL;
	w = xcalloc(1, sizeof(*w));
	w->refs = 1;
	t.alive++;
	(void)snprintf(w->text, sizeof(w->text), "%.*s", SV_ARG(text));
	return w;
}

static void *word_kept(void *value)
{
	((struct word *)value)->refs++;
	return value;
}

static void *word_left(void *value)
{
	struct word *w = value;

	if (--w->refs == 0) {
		t.alive--;
		free(w);
	}
	return NULL;
}

static void word_looked(void *ctx, bool good)
{
	(void)ctx;
	if (good)
		t.good++;
	else
		t.bad++;
}

static void word_told(struct sv line, void *ctx)
{
	(void)ctx;
	t.told += sv_find_sv(line, SV("WARN")) >= 0;
}

static const struct watched_file_opts words = { .area = "unit",
						.what = "a word",
						.flag = "--word",
						.path = t.path,
						.max = 20,
						.make = word_made,
						.ref = word_kept,
						.unref = word_left,
						.looked = word_looked,
						.ctx = &t };

static int setup(void **state)
{
	(void)state;
	memset(&t, 0, sizeof(t));
	(void)snprintf(t.path, sizeof(t.path), "/tmp/caravel-watched-XXXXXX");
	close(mkstemp(t.path));
	log_set_sink(word_told, NULL);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	log_set_sink(NULL, NULL);
	(void)unlink(t.path);
	assert_int_equal(t.alive, 0);
	return 0;
}

static void say(const char *text)
{
	assert_int_equal(file_write_again(t.path, sv_from(text), 0600, NULL), 0);
}

static void assert_says(struct watched_file *w, const char *text)
{
	struct word *now = watched_file_get(w);

	assert_string_equal(now->text, text);
	word_left(now);
}

static void test_first(void **state)
{
	_cleanup_(err_release) struct err err = ERR_INIT, gone = ERR_INIT;
	_cleanup_(arena_release) struct arena a = ARENA_INIT;

	(void)state;
	say("bad");
	assert_null(watched_file_new(&words, &err));
	assert_string_equal(err_msg(&err), arena_printf(&a, "--word '%s': no word: bad", t.path));
	say("longer than twenty bytes");
	assert_null(watched_file_new(&words, NULL));
	(void)unlink(t.path);
	assert_null(watched_file_new(&words, &gone));
	assert_int_equal(gone.errnum, 2);
	assert_int_equal(t.told, 0); /* that is the caller's */
	assert_int_equal(t.bad, 0);
}

static void test_looks(void **state)
{
	struct watched_file *w;
	struct word *held;

	(void)state;
	say("one");
	w = watched_file_new(&words, NULL);
	assert_says(w, "one");
	assert_int_equal(watched_file_look(w), 0);
	assert_int_equal(t.made, 1); /* nothing is made of what was */
	held = watched_file_get(w);
	say("two");
	assert_int_equal(watched_file_look(w), 1);
	assert_says(w, "two");
	assert_string_equal(held->text, "one"); /* who has the one before keeps it */
	word_left(held);
	assert_int_equal(t.good, 1);
	/* Wrong: told once, counted each time. */
	say("bad");
	for (int i = 0; i < 3; i++)
		assert_int_equal(watched_file_look(w), -1);
	assert_says(w, "two");
	assert_int_equal(t.told, 1);
	assert_int_equal(t.bad, 3);
	say("bad in another way");
	assert_int_equal(watched_file_look(w), -1);
	assert_int_equal(t.told, 2);
	(void)unlink(t.path);
	assert_int_equal(watched_file_look(w), -1);
	assert_int_equal(t.told, 3);
	/* As it was, and wrong again: told again. */
	say("two");
	assert_int_equal(watched_file_look(w), 0);
	say("bad");
	assert_int_equal(watched_file_look(w), -1);
	assert_int_equal(t.told, 4);
	assert_says(w, "two");
	watched_file_free(w);
}

static void test_fixed(void **state)
{
	struct watched_file *w = watched_file_fixed(&words, word_made(&t, SV("x"), NULL));

	(void)state;
	say("two");
	assert_int_equal(watched_file_look(w), 0);
	assert_int_equal(watched_file_look(NULL), 0);
	assert_says(w, "x");
	watched_file_free(w);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = { T(test_first), T(test_looks), T(test_fixed) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
