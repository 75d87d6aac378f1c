/* What HAProxy reads at its start is the state that was written last, whatever became of those before. */
#include "unit.h"

#include "base/file.h"
#include "ingress/workdir.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static struct ing_workdir W;

static const char *in(struct arena *a, const char *name)
{
	struct sv text;

	if (file_read(a, arena_printf(a, "%s/%s", W.dir, name), 1 << 16, &text, NULL) < 0)
		return "(none)";
	return arena_cstr(a, text);
}

static void write_lists(const char *map, const char *pem, size_t n_lists)
{
	struct ing_pem one = { .file = SV("c1.pem"), .pem = sv_from(pem) };
	struct ing_crt_list lists[] = { { SV("crt-list-443.txt"), SV("default.pem\n") },
					{ SV("crt-list-8443.txt"), SV("default.pem\n") } };
	struct ing_conf c = {
		.config = SV("# config\n"), .pems = &one, .n_pems = 1, .lists = lists, .n_lists = n_lists
	};
	struct err err = ERR_INIT;

	c.maps[ING_MAP_EXACT] = sv_from(map);
	if (ing_workdir_write(&W, &c, &err) < 0)
		fail_msg("%s", err_msg(&err));
}

static void write_state(const char *map, const char *pem)
{
	write_lists(map, pem, 1);
}

static void test_the_last_is_there(_unused_ void **state)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	char dir[] = "/tmp/unit-workdir-XXXXXX";
	const char *map, *pem;

	assert_non_null(mkdtemp(dir));
	assert_int_equal(ing_workdir_open(&W, dir, 1800000000 * NS_PER_SEC, NULL), 0);
	map = ing_map_names[ING_MAP_EXACT];
	pem = "c1.pem";
	write_state("a b1\n", "one");
	write_state("a b2\n", "two"); /* which HAProxy does not take; it serves the first */
	assert_string_equal(in(&a, map), "a b2\n");
	write_state("a b1\n", "one");
	assert_string_equal(in(&a, map), "a b1\n");
	assert_string_equal(in(&a, pem), "one");
	/* a port that went has no list */
	write_lists("a b1\n", "one", 2);
	assert_string_equal(in(&a, "crt-list-8443.txt"), "default.pem\n");
	write_state("a b1\n", "one");
	assert_string_equal(in(&a, "crt-list-8443.txt"), "(none)");
	assert_string_equal(in(&a, "crt-list-443.txt"), "default.pem\n");
	/* keys that went come back; what somebody else did is undone at a start */
	ing_workdir_drop_pems(&W, NULL);
	assert_string_equal(in(&a, pem), "(none)");
	write_state("a b1\n", "one");
	assert_string_equal(in(&a, pem), "one");
	assert_int_equal(unlink(arena_printf(&a, "%s/%s", W.dir, map)), 0);
	ing_workdir_forget(&W);
	write_state("a b1\n", "one");
	assert_string_equal(in(&a, map), "a b1\n");
	ing_workdir_release(&W);
	(void)!system(arena_printf(&a, "rm -r %s", dir));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_last_is_there),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
