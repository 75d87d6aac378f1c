/* What is used: cgroups as kernels write them, rates out of counters, the pages made of them. */
#include "kit.h"

#include "base/file.h"
#include "kubelet/usage/cgroup_usage.h"
#include "kubelet/usage/proc_usage.h"
#include "kubelet/usage/rates.h"
#include "kubelet/usage/usage_file.h"
#include "kubelet/usage/usage_pages.h"

#include <stdlib.h>
#include <unistd.h>

static char root[64];

static int make_root(_unused_ void **state)
{
	snprintf(root, sizeof(root), "/tmp/caravel-usage-XXXXXX");
	return mkdtemp(root) ? 0 : -1;
}

static int drop_root(_unused_ void **state)
{
	return tree_remove(root, NULL);
}

static void put(const char *file, const char *text)
{
	_cleanup_free_ char *path = xasprintf("%s/%s", root, file), *dir = xstrdup(path);

	*strrchr(dir, '/') = '\0';
	assert_int_equal(dir_make(dir, 0755, NULL), 0);
	assert_int_equal(file_write_again(path, sv_from(text), 0644, NULL), 0);
}

static void test_v2(_unused_ void **state)
{
	struct cgroup_usage u;

	put("two/p/cpu.stat", "usage_usec 2500\nuser_usec 2000\nsystem_usec 500\nnr_periods 10\nnr_throttled 3\n"
			      "throttled_usec 70\n");
	put("two/p/memory.current", "1000\n");
	put("two/p/memory.stat", "anon 300\nfile 650\nkernel 50\nfile_mapped 20\ninactive_file 400\npgfault 7\n"
				 "pgmajfault 1\n");
	put("two/p/memory.max", "max\n");
	put("two/p/memory.peak", "1200\n");
	put("two/p/memory.swap.current", "5\n");
	put("two/p/memory.events", "low 0\nhigh 0\nmax 4\noom 2\noom_kill 1\n");
	put("two/p/pids.current", "6\n");
	put("two/p/cpu.pressure", "some avg10=1.50 avg60=0.25 avg300=0.00 total=1234\n"
				  "full avg10=0.05 avg60=0.00 avg300=0.00 total=99\n");
	{
		_cleanup_free_ char *two = xasprintf("%s/two", root);

		assert_true(cgroup_usage_below(two, true, "/p", &u));
		assert_int_equal(u.cpu_ns, 2500000);
		assert_int_equal(u.throttled_periods, 3);
		assert_int_equal(u.memory_bytes, 1000);
		assert_int_equal(u.working_set_bytes, 600); /* what the kernel could drop at once is not used */
		assert_int_equal(u.rss_bytes, 300);
		assert_int_equal(u.limit_bytes, 0);
		assert_int_equal(u.max_bytes, 1200);
		assert_int_equal(u.swap_bytes, 5);
		assert_int_equal(u.oom_kills, 1);
		assert_int_equal(u.pids, 6);
		assert_true(u.cpu_psi.has && u.cpu_psi.some.avg10 > 1.49 && u.cpu_psi.some.avg10 < 1.51);
		assert_int_equal(u.cpu_psi.full.total_us, 99);
		assert_false(u.io_psi.has);
		assert_false(cgroup_usage_below(two, true, "/absent", &u));
		assert_false(u.has_memory);
	}
}

static void test_v1(_unused_ void **state)
{
	_cleanup_free_ char *one = xasprintf("%s/one", root);
	struct cgroup_usage u;

	put("one/cpuacct/p/cpuacct.usage", "123456789\n");
	put("one/memory/p/memory.usage_in_bytes", "1000\n");
	put("one/memory/p/memory.stat", "cache 1\nrss 2\ninactive_file 3\ntotal_cache 600\ntotal_rss 300\n"
					"total_inactive_file 1400\ntotal_swap 9\n");
	put("one/memory/p/memory.limit_in_bytes", "9223372036854771712\n");
	put("one/memory/p/memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n");
	put("one/pids/p/pids.current", "3\n");
	assert_true(cgroup_usage_below(one, false, "/p", &u));
	assert_int_equal(u.cpu_ns, 123456789);
	assert_int_equal(u.working_set_bytes, 0); /* more could be dropped than is counted: not below nothing */
	assert_int_equal(u.rss_bytes, 300);
	assert_int_equal(u.limit_bytes, 0); /* how v1 says "none" */
	assert_int_equal(u.swap_bytes, 9);
	assert_int_equal(u.oom_kills, 2);
	assert_int_equal(u.pids, 3);
}

static void test_numbers(_unused_ void **state)
{
	assert_int_equal(usage_number(SV("12\n")), 12);
	assert_int_equal(usage_number(SV("max")), 0);
	assert_int_equal(usage_number(SV("")), 0);
	assert_true(usage_number(SV("99999999999999999999999")) == UINT64_MAX);
	assert_true(usage_decimal(SV("3.25")) == 3.25);
	assert_true(usage_decimal(SV("x")) == 0);
}

/* All processors, not the first one: by the same file, read on both sides of it. */
static void test_machine(_unused_ void **state)
{
	struct machine_usage m;
	uint64_t v[8], ticks[2];

	for (int k = 0; k < 2; k++) {
		FILE *f = fopen("/proc/stat", "re");

		assert_non_null(f);
		assert_int_equal(fscanf(f,
					"cpu %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64
					" %" SCNu64 " %" SCNu64,
					&v[0], &v[1], &v[2], &v[3], &v[4], &v[5], &v[6], &v[7]),
				 8);
		(void)fclose(f);
		ticks[k] = v[0] + v[1] + v[2] + v[5] + v[6] + v[7];
		if (!k)
			machine_usage_read(&m);
	}
	assert_in_range(m.cpu_ns / (uint64_t)(NS_PER_SEC / sysconf(_SC_CLK_TCK)), ticks[0], ticks[1]);
	assert_true(m.memory_bytes > 0 && m.available_bytes <= m.memory_bytes && m.cores > 0);
}

static void test_rates(_unused_ void **state)
{
	struct rates *r = rates_new();
	const int64_t s = NS_PER_SEC;
	struct rate rate;

	assert_false(rates_ready(r, SV("a"), 100 * s));
	rate = rates_read(r, SV("a"), 1000, 100 * s);
	assert_false(rate.known);
	assert_false(rates_ready(r, SV("a"), 100 * s + s / 4));
	rate = rates_read(r, SV("a"), 1500, 100 * s + s / 4); /* too soon: it keeps the first one to compare with */
	assert_false(rate.known);
	assert_true(rates_ready(r, SV("a"), 102 * s));
	rate = rates_read(r, SV("a"), 3000, 102 * s);
	assert_true(rate.known);
	assert_int_equal(rate.per_second, 1000);
	assert_int_equal(rate.window_ns, 2 * s);
	rate = rates_read(r, SV("a"), 9000, 102 * s + 1);
	assert_int_equal(rate.per_second, 1000);      /* that of before */
	rate = rates_read(r, SV("a"), 2000, 101 * s); /* read before, and here only now: it is no new counter */
	assert_true(rate.known);
	rate = rates_read(r, SV("a"), 10, 110 * s); /* a new container of that name */
	assert_false(rate.known);
	assert_false(rates_ready(r, SV("a"), 110 * s + RATES_FORGET_NS + 1));
	rate = rates_read(r, SV("a"), 20, 110 * s + 2 * RATES_FORGET_NS);
	assert_false(rate.known); /* a mean over four minutes would say nothing of now */
	rates_free(r);
}

static bool has(struct buf *b, const char *line)
{
	return strstr(buf_cstr(b), line) != NULL;
}

static void test_pages(_unused_ void **state)
{
	struct usage_container c = {
		.name = SV("c"),
		.id = SV("abc"),
		.image = SV("img:1"),
		.cgroup = SV("/k/pod1/abc"),
		.started_s = 50,
		.use = { .has_cpu = true, .has_memory = true, .cpu_ns = 1500000000, .working_set_bytes = 42 }
	};
	struct usage_link l = { .name = SV("eth0"), .rx_bytes = 7 };
	struct usage_pod p = { .ns = SV("n"),
			       .name = SV("p\"q"), /* nothing of the API's, and yet it ends no label */
			       .cgroup = SV("/k/pod1"),
			       .containers = &c,
			       .n = 1,
			       .links = &l,
			       .n_links = 1 };
	struct usage_node n = { .now_ns = 60 * NS_PER_SEC, .pods = &p, .n = 1, .machine = { .cores = 2 } };
	_cleanup_(buf_release) struct buf b = BUF_INIT, d = BUF_INIT;

	usage_resource_page(&b, &n);
	assert_true(
	    has(&b, "container_cpu_usage_seconds_total{container=\"c\",namespace=\"n\",pod=\"p\\\"q\"} 1.5 60000\n"));
	assert_true(has(&b, "container_start_time_seconds{container=\"c\",namespace=\"n\",pod=\"p\\\"q\"} 50 60000\n"));
	assert_true(has(&b, "# TYPE pod_memory_working_set_bytes gauge\n"));
	assert_false(has(&b, "\npod_memory_working_set_bytes{")); /* nobody counted it */
	assert_true(has(&b, "\nresource_scrape_error 0 60000\n"));
	usage_cadvisor_page(&d, &n);
	assert_true(has(&d, "container_cpu_usage_seconds_total{container=\"c\",cpu=\"total\",id=\"/k/pod1/abc\",image="
			    "\"img:1\",name=\"abc\",namespace=\"n\",pod=\"p\\\"q\"} 1.5 60000\n"));
	assert_true(has(&d, "container_network_receive_bytes_total{container=\"\",id=\"/k/pod1\",image=\"\",interface="
			    "\"eth0\",name=\"\",namespace=\"n\",pod=\"p\\\"q\"} 7 60000\n"));
	assert_true(has(&d, "machine_cpu_cores 2\n"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_v2),	cmocka_unit_test(test_v1),    cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_machine), cmocka_unit_test(test_rates), cmocka_unit_test(test_pages),
	};

	return cmocka_run_group_tests_name("kubelet/usage", tests, make_root, drop_root);
}
