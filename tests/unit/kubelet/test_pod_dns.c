/* The resolv.conf of pods. */
#include "kit.h"

#include "base/file.h"
#include "kubelet/fsutil.h"
#include "kubelet/pod_dns.h"

static struct arena A;

static struct sv joined(const struct sv *list, size_t n)
{
	struct sv all = SV("");

	for (size_t i = 0; i < n; i++)
		all = arena_svf(&A, "%.*s%s%.*s", SV_ARG(all), i ? " " : "", SV_ARG(list[i]));
	return all;
}

#define SERVERS(d) joined((d).servers, (d).n_servers)
#define SEARCHES(d) joined((d).searches, (d).n_searches)
#define OPTIONS(d) joined((d).options, (d).n_options)

static const char *file(const char *dir, const char *name, const char *text)
{
	char *path = arena_printf(&A, "%s/%s", dir, name);

	assert_int_equal(fs_write(path, sv_from(text), 0600, NULL), 0);
	return path;
}

static struct resolv_conf form(const char *spec, const struct pod_dns_cluster *c)
{
	const struct val *pod = doc(&A, arena_printf(&A, "{'spec':%s}", spec));
	struct resolv_conf d;

	pod_dns_form(&A, pod, SV("ns"), c, &d);
	return d;
}

static void test_parse(void **state)
{
	struct resolv_conf d = { 0 };

	(void)state;
	resolv_conf_parse(SV("# nameserver 9.9.9.9\n;nameserver 9.9.9.8\nnameserver\t1.1.1.1 # ours\r\n"
			     "  nameserver   1.1.1.2\nnameserver\nnameserver 1.1.1.1\n"
			     "search old.example\nsearch\ta.example.  b.example\toptions\n"
			     "options ndots:2\toptions:x\noptions edns0\ndomain c.example\nnameserver 1.1.1.3"),
			  &d);
	assert_sv(SERVERS(d), "1.1.1.1 1.1.1.2 1.1.1.3");
	assert_sv(SEARCHES(d), "a.example b.example options");
	assert_sv(OPTIONS(d), "ndots:2 options:x edns0");
	assert_false(d.servers_cut || d.searches_cut);
	resolv_conf_parse(SV("nameserver 1.1.1.4\nsearch\n"), &d);
	assert_sv(SERVERS(d), "1.1.1.1 1.1.1.2 1.1.1.3");
	assert_true(d.servers_cut);
	assert_sv(SEARCHES(d), "");
}

static void test_host_file(void **state)
{
	char *dir = temp_dir(&A);
	const char *stub = file(dir, "stub", "nameserver 127.0.0.53\n"),
		   *real = file(dir, "real", "nameserver 10.0.0.2\n");
	struct resolv_conf d = { 0 };
	bool loopback;

	(void)state;
	assert_string_equal(resolv_conf_host_file(&A, real, &loopback), real);
	assert_false(loopback);
	assert_string_equal(resolv_conf_host_file(&A, stub, &loopback), stub); /* chosen is chosen, but it is said */
	assert_true(loopback);
	assert_string_equal(resolv_conf_host_of(&A, (const char *[]){ stub, real, NULL }, &loopback), real);
	assert_false(loopback);
	assert_string_equal(resolv_conf_host_of(&A, (const char *[]){ real, stub, NULL }, NULL), real);
	assert_string_equal(resolv_conf_host_of(&A, (const char *[]){ stub, "/nonexistent", NULL }, &loopback), stub);
	assert_true(loopback);
	/* None that says anything: the first, which is read again whenever a pod starts. */
	assert_string_equal(resolv_conf_host_of(&A, (const char *[]){ "/nonexistent", NULL }, &loopback),
			    "/nonexistent");
	assert_false(loopback);
	resolv_conf_parse(SV("nameserver ::1\n"), &d);
	assert_true(resolv_conf_has_loopback(&d));
	assert_int_equal(tree_remove(dir, NULL), 0);
}

/* A file that somebody chose and that is gone does not become the machine's own by the runtime's default. */
static void test_chosen_file_gone(void **state)
{
	char *dir = temp_dir(&A);
	const char *there = file(dir, "there", "nameserver 10.0.0.2\n"), *gone = arena_printf(&A, "%s/gone", dir);
	const struct val *pod = doc(&A, "{'spec':{'dnsPolicy':'Default'}}");
	struct err err = ERR_INIT;

	(void)state;
	assert_int_equal(pod_dns_ready(&A, pod, NULL, &err), 0);
	assert_int_equal(pod_dns_ready(&A, pod, there, &err), 0);
	assert_int_equal(pod_dns_ready(&A, pod, gone, &err), -1);
	assert_non_null(strstr(err_msg(&err), gone));
	assert_non_null(strstr(err_msg(&err), "--resolv-conf"));
	err_release(&err);
	assert_int_equal(pod_dns_ready(&A, doc(&A, "{'spec':{}}"), gone, NULL), -1);
	assert_int_equal(pod_dns_ready(&A, doc(&A, "{'spec':{'dnsPolicy':'None'}}"), gone, &err), 0);
	assert_int_equal(tree_remove(dir, NULL), 0);
}

static void test_policies(void **state)
{
	char *dir = temp_dir(&A);
	const char *host = file(dir, "h", "nameserver 10.0.0.2\nsearch example\noptions rotate\n");
	struct pod_dns_cluster with = { "10.43.0.10", "cluster.local", host },
			       without = { NULL, "cluster.local", host };
	struct resolv_conf d = form("{'dnsPolicy':'ClusterFirst'}", &with);

	(void)state;
	assert_sv(SERVERS(d), "10.43.0.10");
	assert_sv(SEARCHES(d), "ns.svc.cluster.local svc.cluster.local cluster.local example");
	assert_sv(OPTIONS(d), "ndots:5");
	d = form("{'dnsPolicy':'ClusterFirst','hostNetwork':true}", &with);
	assert_sv(SERVERS(d), "10.0.0.2");
	d = form("{'dnsPolicy':'ClusterFirstWithHostNet','hostNetwork':true}", &with);
	assert_sv(SERVERS(d), "10.43.0.10");
	d = form("{'dnsPolicy':'ClusterFirst'}", &without);
	assert_sv(SERVERS(d), "10.0.0.2");
	assert_sv(SEARCHES(d), "example");
	assert_sv(OPTIONS(d), "rotate");
	d = form("{'dnsPolicy':'None','dnsConfig':{'nameservers':['192.0.2.1']}}", &with);
	assert_sv(SERVERS(d), "192.0.2.1");
	assert_sv(SEARCHES(d), "");
	d = form("{'dnsPolicy':'Default','dnsConfig':{'nameservers':['192.0.2.1','192.0.2.2','192.0.2.3'],"
		 "'options':[{'name':'rotate'},{'name':'ndots','value':'1'}]}}",
		 &with);
	assert_sv(SERVERS(d), "10.0.0.2 192.0.2.1 192.0.2.2");
	assert_true(d.servers_cut);
	assert_sv(OPTIONS(d), "rotate ndots:1");
	assert_int_equal(tree_remove(dir, NULL), 0);
}

/* 32 search domains, and 2048 bytes of them. */
static void test_search_limits(void **state)
{
	struct pod_dns_cluster none = { NULL, "cluster.local", NULL };
	struct sv many = SV(""), wide = SV(""), x = SV("");
	struct resolv_conf d;

	(void)state;
	for (int i = 0; i < 60; i++)
		x = arena_svf(&A, "%.*sx", SV_ARG(x));
	for (int i = 0; i < 33; i++)
		many = arena_svf(&A, "%.*s%s'd%d'", SV_ARG(many), i ? "," : "", i);
	for (int i = 10; i < 42; i++) /* of 64 bytes each, 65 with the space */
		wide = arena_svf(&A, "%.*s%s'%.*s.%d%s'", SV_ARG(wide), i > 10 ? "," : "", SV_ARG(x), i, "y");
	d = form(arena_printf(&A, "{'dnsPolicy':'None','dnsConfig':{'searches':[%.*s]}}", SV_ARG(many)), &none);
	assert_int_equal(d.n_searches, 32);
	assert_true(d.searches_cut);
	d = form(arena_printf(&A, "{'dnsPolicy':'None','dnsConfig':{'searches':[%.*s]}}", SV_ARG(wide)), &none);
	assert_int_equal(d.n_searches, 31); /* 31 * 64 + 30 = 2014; one more would be 2079 */
	assert_true(d.searches_cut);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse),
		cmocka_unit_test(test_host_file),
		cmocka_unit_test(test_chosen_file_gone),
		cmocka_unit_test(test_policies),
		cmocka_unit_test(test_search_limits),
	};
	int rc = cmocka_run_group_tests(tests, NULL, NULL);

	arena_release(&A);
	return rc;
}
