#include "proxy_kit.h"

#include "base/buf.h"
#include "proxy/hostport.h"

static struct arena A;

/* "10.1:80/6 -> 10.42.0.2:8080" a line; own: counts on an address of this node only. */
static const char *model(const char *pod_text)
{
	static struct buf b;
	struct obj *pod = kit_obj(pod_text, 1);
	struct frontend *f;
	size_t n;

	buf_clear(&b);
	buf_adds(&b, "");
	f = hostport_model(&A, pod, &n);
	assert_true(n == 0 || pod_has_host_ports(pod));
	for (size_t i = 0; i < n; i++) {
		assert_true(f[i].outer.n == 1 && f[i].inside.n == 0 && f[i].outer.p[0].local);
		assert_true(f[i].masq == MASQ_LOOPBACK && !f[i].split && !f[i].cluster_ip && !f[i].affinity_s);
		buf_printf(&b, "%s%u.%u:%u/%u -> .%u:%u%s", i ? "\n" : "", ip_low(f[i].key.addr) >> 24,
			   ip_low(f[i].key.addr) & 255, f[i].key.port, f[i].key.proto,
			   ip_low(f[i].outer.p[0].addr) & 255, f[i].outer.p[0].port, f[i].own_address ? " own" : "");
		if (frontend_v6(&f[i].key))
			buf_adds(&b, " v6");
	}
	obj_unref(pod);
	return buf_cstr(&b);
}

static void test_ports(_unused_ void **state)
{
	assert_string_equal(model(KIT_POD("p", "10.42.0.2", "{'containerPort':80,'hostPort':8080}")),
			    "0.0:8080/6 -> .2:80");
	/* Those that are none, are repeated, or are of a family that the pod does not have. */
	assert_string_equal(model(KIT_POD("p", "10.42.0.2",
					  "{'containerPort':80},{'containerPort':81,'hostPort':8081,'protocol':'UDP'},"
					  "{'containerPort':82,'hostPort':8082,'hostIP':'127.0.0.1'},"
					  "{'containerPort':83,'hostPort':8083,'hostIP':'0.0.0.0','protocol':'SCTP'},"
					  "{'containerPort':84,'hostPort':8083,'protocol':'SCTP'},"
					  "{'containerPort':85,'hostPort':8085,'hostIP':'::1'}")),
			    "0.0:8081/17 -> .2:81\n"
			    "127.1:8082/6 -> .2:82 own\n"
			    "0.0:8083/132 -> .2:83");
	assert_string_equal(model(KIT_POD("p", "10.42.0.2", "{'containerPort':80}")), "");
}

static void test_addresses(_unused_ void **state)
{
#define SPEC "'spec':{'containers':[{'ports':[{'containerPort':80,'hostPort':8080}]}]}"
	assert_string_equal(model("{'kind':'Pod'," SPEC ",'status':{'phase':'Pending'}}"), "");
	assert_string_equal(model("{'kind':'Pod'," SPEC ",'status':{'podIPs':[{'ip':'fd00::2'},{'ip':'10.42.0.3'}]}}"),
			    "0.0:8080/6 -> .3:80\n0.0:8080/6 -> .2:80 v6");
	assert_string_equal(
	    model("{'kind':'Pod','spec':{'containers':[{'ports':["
		  "{'containerPort':80,'hostPort':1,'hostIP':'::'},{'containerPort':81,'hostPort':2,'hostIP':"
		  "'0.0.0.0'},{'containerPort':82,'hostPort':3,'hostIP':'2001:db8::5'}]}]},"
		  "'status':{'podIPs':[{'ip':'fd00::2'},{'ip':'10.42.0.3'}]}}"),
	    "0.0:1/6 -> .2:80 v6\n0.0:2/6 -> .3:81\n0.5:3/6 -> .2:82 own v6");
	assert_string_equal(model("{'kind':'Pod'," SPEC ",'status':{'podIP':'10.42.0.4'}}"), "0.0:8080/6 -> .4:80");
	/* Unready is no reason; being over is. */
	assert_string_equal(model("{'kind':'Pod'," SPEC ",'status':{'podIP':'10.42.0.4','phase':'Running','conditions':"
				  "[{'type':'Ready','status':'False'}]}}"),
			    "0.0:8080/6 -> .4:80");
	assert_string_equal(model("{'kind':'Pod'," SPEC ",'status':{'podIP':'10.42.0.4','phase':'Failed'}}"), "");
	assert_string_equal(model("{'kind':'Pod'," SPEC ",'status':{'podIP':'10.42.0.4','phase':'Succeeded'}}"), "");
}

static void test_which_containers(_unused_ void **state)
{
	assert_string_equal(model("{'kind':'Pod','spec':{'containers':[{'ports':[{'containerPort':80,'hostPort':1}]}],"
				  "'initContainers':[{'ports':[{'containerPort':81,'hostPort':2}]},"
				  "{'restartPolicy':'Always','ports':[{'containerPort':82,'hostPort':3}]}]},"
				  "'status':{'podIP':'10.42.0.4'}}"),
			    "0.0:1/6 -> .4:80\n0.0:3/6 -> .4:82");
	assert_string_equal(model("{'kind':'Pod','spec':{'hostNetwork':true,'containers':[{'ports':"
				  "[{'containerPort':80,'hostPort':80}]}]},'status':{'podIP':'192.0.2.1'}}"),
			    "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ports),
		cmocka_unit_test(test_addresses),
		cmocka_unit_test(test_which_containers),
	};
	int failed = cmocka_run_group_tests(tests, NULL, NULL);

	arena_release(&A);
	return failed;
}
