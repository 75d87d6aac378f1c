#include "unit.h"

#include "base/file.h"
#include "cli/cli.h"
#include "cli/kubeconfig_link.h"
#include "cli/token_word.h"

#include <stdlib.h>
#include <unistd.h>

struct rig {
	struct arena a;
	char dir[64];
};

static int setup(void **state)
{
	struct rig *r = xcalloc(1, sizeof(*r));

	strcpy(r->dir, "/tmp/caravel-words-XXXXXX");
	assert_non_null(mkdtemp(r->dir));
	*state = r;
	return 0;
}

static int teardown(void **state)
{
	struct rig *r = *state;

	assert_int_equal(tree_remove(r->dir, NULL), 0);
	arena_release(&r->a);
	free(r);
	return 0;
}

static const char *put(struct rig *r, const char *name, const char *text)
{
	const char *path = arena_printf(&r->a, "%s/%s", r->dir, name);

	assert_int_equal(file_write_again(path, sv_from(text), 0600, NULL), 0);
	return path;
}

static void refused(struct rig *r, const char *token, const char *file, const char *why)
{
	_cleanup_(err_release) struct err err = ERR_INIT;

	assert_int_equal(token_word(&r->a, "new-token", &token, file, &err), -1);
	assert_non_null(strstr(err_msg(&err), why));
}

static void a_token_is_said_once(void **state)
{
	struct rig *r = *state;

	refused(r, "a.b", put(r, "t", "a.b\n"), "--new-token and --new-token-file say the same");
	refused(r, NULL, put(r, "t", " \n"), "there is no token in");
	refused(r, NULL, arena_printf(&r->a, "%s/none", r->dir), "--new-token-file");
}

static void a_file_is_a_word(void **state)
{
	struct rig *r = *state;
	const char *token = NULL;

	assert_int_equal(token_word(&r->a, "token", &token, put(r, "t", " a.b\n"), NULL), 0);
	assert_string_equal(token, "a.b");
	assert_int_equal(token_word(&r->a, "token", &token, NULL, NULL), 0);
	assert_string_equal(token, "a.b");
}

/* What the kernel shows of a process is its argv as it is now. */
static void no_word_is_left_in_argv(void **state)
{
	struct rig *r = *state;
	const char *token = NULL, *key = NULL, *other = NULL;
	const struct option table[] = {
		{ "token", 't', OPT_STRING, &token, "TOKEN", "" },
		{ "s3-secret-key", 0, OPT_STRING, &key, "KEY", "" },
		{ "token-auth-file", 0, OPT_STRING, &other, "FILE", "" },
	};
	char *argv[] = { (char[]){ "cmd" },
			 (char[]){ "--token=first" },
			 (char[]){ "-t" },
			 (char[]){ "abc" },
			 (char[]){ "--etcd-s3-secret-key" },
			 (char[]){ "de" },
			 (char[]){ "--token-auth-file=f" },
			 NULL };

	assert_int_equal(cli_options_parse(&r->a, table, ARRAY_LEN(table), 7, argv, NULL, NULL, NULL), 0);
	assert_string_equal(token, "abc");
	assert_string_equal(key, "de");
	assert_string_equal(argv[1], "--token=xxxxx");
	assert_string_equal(argv[3], "xxx");
	assert_string_equal(argv[5], "xx");
	assert_string_equal(argv[6], "--token-auth-file=f");
}

static void no_token_that_stands_alone_is_left_in_argv(void **state)
{
	struct rig *r = *state;
	char *argv[] = { (char[]){ "cmd" },  (char[]){ "same" }, (char[]){ "-t" },  (char[]){ "other" },
			 (char[]){ "same" }, (char[]){ "" },	 (char[]){ "b.c" }, NULL };
	const char *token = NULL;
	const struct option table[] = { { "text", 't', OPT_STRING, &token, "TEXT", "" } };
	struct string_list words = { .list = VEC_INIT };

	assert_int_equal(cli_options_parse(&r->a, table, 1, 7, argv, NULL, &words, NULL), 0);
	cli_words_hide(&r->a, argv, &words);
	assert_string_equal(words.list.p[0], "same");
	assert_string_equal(words.list.p[1], "same");
	assert_string_equal(words.list.p[2], "");
	assert_string_equal(words.list.p[3], "b.c");
	assert_null(words.list.p[4]);
	assert_string_equal(argv[1], "xxxx");
	assert_string_equal(argv[3], "other");
	assert_string_equal(argv[4], "xxxx");
	assert_string_equal(argv[6], "xxx");
	string_list_release(&words);
}

/* There is nobody whom they could ask, which is found out after the words are read. */
static void the_commands_hide_it(void **state)
{
	static int (*const cmds[])(int argc, char **argv) = { cmd_token_create, cmd_token_delete };
	struct rig *r = *state;

	for (size_t i = 0; i < ARRAY_LEN(cmds); i++) {
		char *argv[] = { (char[]){ "token" }, (char[]){ "abcdef.0123456789abcdef" }, (char[]){ "--kubeconfig" },
				 arena_printf(&r->a, "%s/none", r->dir), NULL };

		assert_int_equal(cmds[i](4, argv), 1);
		assert_string_equal(argv[1], "xxxxxxxxxxxxxxxxxxxxxxx");
	}
}

static void the_kubeconfig_is_found(void **state)
{
	struct rig *r = *state;
	const char *written = put(r, "elsewhere.yaml", ""), *usual;

	assert_null(kubeconfig_link_find(&r->a, r->dir));
	assert_int_equal(kubeconfig_link_set(r->dir, "", NULL), 0);
	for (int i = 0; i < 2; i++)
		assert_int_equal(kubeconfig_link_set(r->dir, written, NULL), 0);
	assert_string_equal(kubeconfig_link_find(&r->a, r->dir), written);
	assert_int_equal(unlink(written), 0);
	assert_null(kubeconfig_link_find(&r->a, r->dir));
	usual = put(r, "kubeconfig.yaml", "");
	assert_string_equal(kubeconfig_link_find(&r->a, r->dir), usual);
	(void)put(r, "elsewhere.yaml", "");
	assert_int_equal(kubeconfig_link_set(r->dir, "", NULL), 0);
	assert_string_equal(kubeconfig_link_find(&r->a, r->dir), usual);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_token_is_said_once),    TEST(a_file_is_a_word),
		TEST(no_word_is_left_in_argv), TEST(no_token_that_stands_alone_is_left_in_argv),
		TEST(the_commands_hide_it),    TEST(the_kubeconfig_is_found),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
