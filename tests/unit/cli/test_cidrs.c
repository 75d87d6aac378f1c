#include "unit.h"

#include "base/file.h"
#include "cli/cidrs.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* Addresses as the kernel writes them: a 32-bit integer in network byte order, so 10.42.0.0 reads 00002A0A. */
static const char routes[] = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n"
			     "eth0\t00000000\t0101A8C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n"
			     "cni0\t00002A0A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n"
			     "vpn0\t0000000A\t00000000\t0001\t0\t0\t0\t000000FF\t0\t0\t0\n"
			     "garbage\t0000ZZ0A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n"
			     "short\t0000";

static void test_routes(void **state)
{
	(void)state;
	assert_true(cidrs_routed(sv_from(routes), "10.42.0.0/16", 16));	  /* a bridge inside it */
	assert_true(cidrs_routed(sv_from(routes), "10.42.0.128/25", 16)); /* a part of that bridge's */
	assert_false(cidrs_routed(sv_from(routes), "10.42.1.0/24", 16));  /* beside it */
	assert_true(cidrs_routed(sv_from(routes), "10.44.0.0/16", 1));	  /* within the wide route */
	assert_false(cidrs_routed(sv_from(routes), "10.44.0.0/16", 16));  /* which is then too wide to count */
	assert_false(cidrs_routed(sv_from(routes), "172.20.0.0/16", 1));  /* the default route is nobody's */
	assert_false(cidrs_routed(sv_from(routes), "2001:db8::/64", 1));  /* another table */
	assert_false(cidrs_routed(sv_from(routes), "nonsense", 1));
	assert_false(cidrs_routed(SV_NULL, "10.42.0.0/16", 1));
}

struct place {
	struct arena arena;
	char dir[64];
};

static void place_make(struct place *p)
{
	p->arena = (struct arena)ARENA_INIT;
	snprintf(p->dir, sizeof(p->dir), "/tmp/caravel-cidrs-XXXXXX");
	assert_non_null(mkdtemp(p->dir));
}

static void place_drop(struct place *p)
{
	assert_int_equal(tree_remove(p->dir, NULL), 0);
	arena_release(&p->arena);
}

/* Two new clusters with nodes: different ranges, each found again after a restart. */
static void test_side_by_side(void **state)
{
	struct cidrs first = { 0 }, second = { 0 }, again = { 0 };
	struct place a, b;
	int fd_a, fd_b, fd;

	(void)state;
	place_make(&a);
	place_make(&b);
	fd_a = cidrs_settle(&a.arena, a.dir, true, true, &first, NULL);
	fd_b = cidrs_settle(&b.arena, b.dir, true, true, &second, NULL);
	assert_true(fd_a >= 0 && fd_b >= 0);
	assert_string_not_equal(first.cluster, second.cluster);
	assert_string_not_equal(first.service, second.service);

	/* the second stops and comes back while the first is away: its objects have these addresses */
	close(fd_a);
	close(fd_b);
	fd = cidrs_settle(&b.arena, b.dir, false, true, &again, NULL);
	assert_true(fd >= 0);
	assert_string_equal(again.cluster, second.cluster);
	assert_string_equal(again.service, second.service);
	close(fd);
	place_drop(&a);
	place_drop(&b);
}

static void test_held(void **state)
{
	_cleanup_(err_release) struct err err = ERR_INIT;
	struct cidrs c = { "10.199.0.0/16", NULL }, same = { "10.199.0.0/16", "10.198.0.0/16" };
	char pid[32];
	struct place p;
	int fd;

	(void)state;
	place_make(&p);
	fd = cidrs_settle(&p.arena, p.dir, true, true, &c, NULL);
	assert_true(fd >= 0);
	assert_string_equal(c.cluster, "10.199.0.0/16"); /* what is asked for is what one gets */
	assert_string_equal(c.service, "10.43.0.0/16");

	assert_int_equal(cidrs_settle(&p.arena, p.dir, true, true, &same, &err), CIDRS_FAILED);
	snprintf(pid, sizeof(pid), "process %d", (int)getpid());
	assert_non_null(strstr(err_msg(&err), pid));
	assert_non_null(strstr(err_msg(&err), "--cluster-cidr"));
	/* without a node there are no pods to give addresses to */
	assert_int_equal(cidrs_settle(&p.arena, p.dir, true, false, &same, NULL), CIDRS_NO_HOLD);
	close(fd);
	place_drop(&p);
}

static void test_damaged(void **state)
{
	_cleanup_(err_release) struct err err = ERR_INIT;
	struct cidrs c = { 0 };
	struct place p;
	char *path;

	(void)state;
	place_make(&p);
	path = xasprintf("%s/cidrs", p.dir);
	assert_int_equal(file_write(path, SV("cluster-cidr: elephant\n"), 0600, NULL), 0);
	assert_int_equal(cidrs_settle(&p.arena, p.dir, false, false, &c, &err), CIDRS_FAILED);
	assert_non_null(strstr(err_msg(&err), path));
	free(path);
	place_drop(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_routes),
		cmocka_unit_test(test_side_by_side),
		cmocka_unit_test(test_held),
		cmocka_unit_test(test_damaged),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
