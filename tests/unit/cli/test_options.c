#include "unit.h"

#include "cli/cli.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct values {
	const char *dir;
	int port;
	bool quiet;
	struct string_list names, args;
	struct option table[5];
};

static void setup(struct values *v)
{
	const struct option table[] = {
		{ "data-dir", 'd', OPT_STRING, &v->dir, "DIR", "" }, { "port", 'p', OPT_INT, &v->port, "N", "" },
		{ "quiet", 0, OPT_BOOL, &v->quiet, NULL, "" },	     { "name", 0, OPT_LIST, &v->names, "NAME", "" },
		{ "arg", 0, OPT_ARGS, &v->args, "FLAG", "" },
	};

	memset(v, 0, sizeof(*v));
	memcpy(v->table, table, sizeof(table));
}

static int parse(struct values *v, struct arena *a, const char *config, struct err *err, char **argv)
{
	int argc = 0;

	while (argv[argc])
		argc++;
	return cli_options_parse(a, v->table, ARRAY_LEN(v->table), argc, argv, config, NULL, err);
}

#define ARGS(...) ((char *[]){ (char[]){ "cmd" }, ##__VA_ARGS__, NULL })
#define S(text) ((char[]){ text })

static void test_forms(void **state)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct err err = ERR_INIT;
	struct values v;

	(void)state;
	setup(&v);
	assert_int_equal(parse(&v, &a, NULL, &err,
			       ARGS(S("--data-dir=/x"), S("-p"), S("7"), S("--quiet"), S("--name"), S("a,b"),
				    S("--name=c"), S("--arg=--cidr=a,b"), S("--arg"), S("c"))),
			 0);
	/* Flags of another program are not taken apart. */
	assert_string_equal(v.args.list.p[0], "--cidr=a,b");
	assert_string_equal(v.args.list.p[1], "c");
	assert_null(v.args.list.p[2]);
	assert_string_equal(v.dir, "/x");
	assert_int_equal(v.port, 7);
	assert_true(v.quiet);
	assert_string_equal(v.names.list.p[2], "c");
	assert_null(v.names.list.p[3]);
	string_list_release(&v.names);
	string_list_release(&v.args);
}

static void check_bad(const char *part, char **argv)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct err err = ERR_INIT;
	struct values v;

	setup(&v);
	assert_int_equal(parse(&v, &a, NULL, &err, argv), -1);
	if (!strstr(err_msg(&err), part))
		fail_msg("'%s' does not say '%s'", err_msg(&err), part);
	err_release(&err);
	string_list_release(&v.names);
	string_list_release(&v.args);
}

#define LONG "0123456789012345678901234567890123456789012345678901234567890123456789"

static void test_bad(void **state)
{
	(void)state;
	check_bad("unknown flag '--nope'", ARGS(S("--nope")));
	check_bad("unknown flag '-x'", ARGS(S("-x")));
	check_bad("unknown flag '--pory=7': did you mean 'port'?", ARGS(S("--pory=7")));
	check_bad("unknown flag '--dta-dir': did you mean 'data-dir'?; 'caravel help", ARGS(S("--dta-dir")));
	check_bad("unknown flag '--nome': did you mean 'name'?", ARGS(S("--nome")));
	check_bad("--kubelet-arg is not taken: these parts", ARGS(S("--kubelet-arg=max-pods=5")));
	check_bad("--etcd-s3-bucket is not taken: the store is", ARGS(S("--etcd-s3-bucket")));
	check_bad("--etcd-snapshot-compress is not taken: snapshots are always", ARGS(S("--etcd-snapshot-compress")));
	check_bad("unknown flag '-v=2'", ARGS(S("-v=2")));
	check_bad("unknown flag '--" LONG "'; 'caravel", ARGS(S("--" LONG)));
	check_bad("--port takes a number, not 'seven'", ARGS(S("--port=seven")));
	check_bad("--port needs a value", ARGS(S("--port")));
	check_bad("--quiet is true or false", ARGS(S("--quiet=maybe")));
	check_bad("unexpected argument 'stray'; 'caravel help ", ARGS(S("stray")));
}

/* Some of k3s' names are ours with a word more. */
static void test_k3s_names(void **state)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	int retention = 0;
	bool disabled = false;
	const char *bucket = NULL, *name = NULL;
	const struct option table[] = {
		{ "snapshot-name", 0, OPT_STRING, &name, "NAME", "" },
		{ "snapshot-retention", 0, OPT_INT, &retention, "N", "" },
		{ "disable-snapshots", 0, OPT_BOOL, &disabled, NULL, "" },
		{ "s3-bucket", 0, OPT_STRING, &bucket, "NAME", "" },
	};
	char **argv = ARGS(S("--etcd-snapshot-retention=7"), S("--etcd-disable-snapshots"), S("--etcd-s3-bucket=b"),
			   S("--etcd-snapshot-name=n"));
	int argc = 0;

	(void)state;
	while (argv[argc])
		argc++;
	assert_int_equal(cli_options_parse(&a, table, ARRAY_LEN(table), argc, argv, NULL, NULL, NULL), 0);
	assert_int_equal(retention, 7);
	assert_true(disabled);
	assert_string_equal(bucket, "b");
	assert_string_equal(name, "n");
}

static void test_flags_win(void **state)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	char path[] = "/tmp/caravel-options-XXXXXX";
	int fd = mkstemp(path);
	struct err err = ERR_INIT;
	struct values v;

	(void)state;
	assert_true(fd >= 0);
	assert_true(dprintf(fd, "data-dir: /file\nport: 1\nquiet: true\nname:\n- x1\n- yes\n") > 0);
	close(fd);
	setup(&v);
	setenv("CARAVEL_PORT", "2", 1);
	assert_int_equal(parse(&v, &a, path, &err, ARGS(S("--data-dir"), S("/flag"))), 0);
	unsetenv("CARAVEL_PORT");
	assert_string_equal(v.dir, "/flag");
	assert_int_equal(v.port, 2);
	assert_true(v.quiet);
	assert_string_equal(v.names.list.p[0], "x1");
	assert_string_equal(v.names.list.p[1], "true"); /* YAML 1.1 */
	string_list_release(&v.names);
	string_list_release(&v.args);

	fd = open(path, O_WRONLY | O_TRUNC);
	assert_true(dprintf(fd, "wrong-key: 1\n") > 0);
	close(fd);
	setup(&v);
	assert_int_equal(parse(&v, &a, path, &err, ARGS()), -1);
	assert_non_null(strstr(err_msg(&err), "'wrong-key', which is no option"));
	err_release(&err);
	string_list_release(&v.names);
	string_list_release(&v.args);
	unlink(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_forms), cmocka_unit_test(test_bad),
					    cmocka_unit_test(test_k3s_names), cmocka_unit_test(test_flags_win) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
