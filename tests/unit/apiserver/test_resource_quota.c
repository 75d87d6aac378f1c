/* ResourceQuota where it decides: what is refused, what is counted with what, and the last seat, asked for by many at
 * once and by two servers on one store. */
#include "harness.h"
#include "late_store.h"

#define NS "/api/v1/namespaces/default"
#define MERGE "application/merge-patch+json"

struct pair {
	struct rig *a, *b;
	struct late_store late;
};

static int pair_setup(void **state)
{
	struct pair *p = xcalloc(1, sizeof(*p));
	void *rig;

	assert_int_equal(rig_setup(&rig), 0);
	p->a = rig;
	p->b = rig_beside(p->a, late_store_init(&p->late, p->a->store));
	*state = p;
	return 0;
}

static int pair_teardown(void **state)
{
	struct pair *p = *state;
	void *rig = p->a;

	rig_beside_free(p->b);
	late_store_release(&p->late);
	rig_teardown(&rig);
	free(p);
	return 0;
}

static const char *words(struct rig *r, const char *fmt, ...)
{
	va_list ap;
	char *text;

	va_start(ap, fmt);
	text = arena_vprintf(&r->arena, fmt, ap);
	va_end(ap);
	for (char *c = text; *c; c++)
		if (*c == '\'')
			*c = '"';
	return text;
}

/* A quota as its controller has left it. */
static void quota(struct rig *r, const char *name, const char *hard, const char *used)
{
	expect(r, 201, "POST", NS "/resourcequotas",
	       words(r, "{'metadata':{'name':'%s'},'spec':{'hard':{%s}}}", name, hard));
	expect_type(r, 200, "PATCH", words(r, NS "/resourcequotas/%s/status", name), MERGE,
		    words(r, "{'status':{'hard':{%s},'used':{%s}}}", hard, used));
}

static void used(struct rig *r, const char *name, const char *of, const char *wanted)
{
	const struct val *q = expect(r, 200, "GET", words(r, NS "/resourcequotas/%s", name), NULL);

	assert_val(val_member_sv(val_get(q, F_status, F_used), sv_from(of)), wanted);
}

static int make(struct rig *r, const char *name)
{
	struct answer *a = api(r, "POST", NS "/configmaps", .body = words(r, "{'metadata':{'name':'%s'}}", name));
	int code = a->code;

	answer_free(a);
	return code;
}

static void test_refusals(void **state)
{
	struct rig *r = ((struct pair *)*state)->a;

	quota(r, "unseen", "'count/configmaps':'1'", "");
	expect_status(
	    r, 403, "Forbidden", "status unknown for quota: unseen, resources: count/configmaps",
	    &(struct ask){ .method = "POST", .path = NS "/configmaps", .body = "{\"metadata\":{\"name\":\"x\"}}" });
	expect(r, 200, "DELETE", NS "/resourcequotas/unseen", NULL);
	quota(r, "q", "'count/configmaps':'1','secrets':'0'", "'count/configmaps':'0','secrets':'0'");
	assert_int_equal(make(r, "x"), 201);
	used(r, "q", "count/configmaps", "1");
	expect_status(
	    r, 403, "Forbidden",
	    "exceeded quota: q, requested: count/configmaps=1, used: count/configmaps=1, limited: count/configmaps=1",
	    &(struct ask){ .method = "POST", .path = NS "/configmaps", .body = "{\"metadata\":{\"name\":\"y\"}}" });
	/* Server-side apply and PUT make objects, too. */
	expect_status(
	    r, 403, "Forbidden", "exceeded quota: q",
	    &(struct ask){ .method = "PATCH",
			   .path = NS "/configmaps/y?fieldManager=m",
			   .type = "application/apply-patch+yaml",
			   .body = "{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{\"name\":\"y\"}}" });
	/* What changes only costs nothing. */
	expect_type(r, 200, "PATCH", NS "/configmaps/x", MERGE, words(r, "{'data':{'a':'b'}}"));
	used(r, "q", "count/configmaps", "1");
}

/* A create that fails behind admission, a dry run: nothing was used. */
static void test_failures_cost_nothing(void **state)
{
	struct rig *r = ((struct pair *)*state)->a;

	quota(r, "q", "'count/configmaps':'5'", "'count/configmaps':'0'");
	assert_int_equal(make(r, "x"), 201);
	assert_int_equal(make(r, "x"), 409);
	expect(r, 201, "POST", NS "/configmaps?dryRun=All", words(r, "{'metadata':{'name':'dry'}}"));
	used(r, "q", "count/configmaps", "1");
}

static void test_two_quotas(void **state)
{
	struct rig *r = ((struct pair *)*state)->a;

	quota(r, "a", "'count/configmaps':'5'", "'count/configmaps':'0'");
	quota(r, "b", "'count/configmaps':'1'", "'count/configmaps':'0'");
	assert_int_equal(make(r, "x"), 201);
	assert_int_equal(make(r, "y"), 403);
	used(r, "a", "count/configmaps", "1");
	used(r, "b", "count/configmaps", "1");
}

/* What becomes less may, whatever is used. */
static void test_updates(void **state)
{
	struct rig *r = ((struct pair *)*state)->a;

	expect(r, 201, "POST", NS "/services",
	       words(r, "{'metadata':{'name':'s'},'spec':{'type':'NodePort','ports':[{'port':1,'name':'a'},{'port':2,"
			"'name':'b'}]}}"));
	quota(r, "q", "'services.nodeports':'1'", "'services.nodeports':'2'");
	expect_type(r, 200, "PATCH", NS "/services/s", "application/json-patch+json",
		    words(r, "[{'op':'remove','path':'/spec/ports/1'}]"));
	used(r, "q", "services.nodeports", "1");
	expect_type(r, 403, "PATCH", NS "/services/s", "application/json-patch+json",
		    words(r, "[{'op':'add','path':'/spec/ports/-','value':{'port':3,'name':'c'}}]"));
	used(r, "q", "services.nodeports", "1");
}

/* A controller counts while something comes: what it read is the quota's version no more, before the kind is limited
 * and after. */
static void test_counted_meanwhile(void **state)
{
	struct rig *r = ((struct pair *)*state)->a;
	int64_t rev;

	rev = rev_of(expect(r, 201, "POST", NS "/resourcequotas",
			    words(r, "{'metadata':{'name':'q'},'spec':{'hard':{'count/configmaps':'9'}}}")));
	for (int i = 0; i < 2; i++) {
		assert_int_equal(make(r, words(r, "c%d", i)), 201);
		expect_type(r, 409, "PATCH", NS "/resourcequotas/q/status", MERGE,
			    words(r,
				  "{'metadata':{'resourceVersion':'%lld'},'status':{'used':{'count/configmaps':'%d'}}}",
				  (long long)rev, i));
		rev = rev_of(expect_type(r, 200, "PATCH", NS "/resourcequotas/q/status", MERGE,
					 words(r,
					       "{'status':{'hard':{'count/configmaps':'9'},'used':{'count/"
					       "configmaps':'%d'}}}",
					       i + 1)));
	}
}

/* What its controller has opened is counted, before it limits anything. */
static void test_opened(void **state)
{
	struct rig *r = ((struct pair *)*state)->a;

	expect(r, 201, "POST", NS "/resourcequotas",
	       words(r, "{'metadata':{'name':'q'},'spec':{'hard':{'count/configmaps':'1','secrets':'1'}}}"));
	expect_type(r, 200, "PATCH", NS "/resourcequotas/q/status", MERGE,
		    words(r, "{'status':{'used':{'count/configmaps':'5'}}}"));
	assert_int_equal(make(r, "a"), 201);
	assert_int_equal(make(r, "b"), 201);
	used(r, "q", "count/configmaps", "7");
	expect(r, 201, "POST", NS "/configmaps?dryRun=All", words(r, "{'metadata':{'name':'dry'}}"));
	expect(r, 201, "POST", NS "/secrets", words(r, "{'metadata':{'name':'s'}}"));
	used(r, "q", "count/configmaps", "7");
	assert_null(val_member_sv(val_get(expect(r, 200, "GET", NS "/resourcequotas/q", NULL), F_status, F_used),
				  SV("secrets")));
	expect_type(r, 200, "PATCH", NS "/resourcequotas/q/status", MERGE,
		    words(r, "{'status':{'hard':{'count/configmaps':'1','secrets':'1'},'used':{'secrets':'1'}}}"));
	assert_int_equal(make(r, "c"), 403);
	used(r, "q", "count/configmaps", "7");
}

/* A hundred at once for three seats. */
static void test_many_at_once(void **state)
{
	struct rig *r = ((struct pair *)*state)->a;
	struct answer *all[100];
	size_t made = 0;

	quota(r, "q", "'count/configmaps':'3'", "'count/configmaps':'0'");
	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		struct ask ask = { .method = "POST",
				   .path = NS "/configmaps",
				   .body = words(r, "{'metadata':{'name':'c%zu'}}", i) };

		all[i] = api_start(r, &ask);
	}
	rig_run(r, 5 * NS_PER_SEC);
	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		assert_int_equal(all[i]->answers, 1);
		made += all[i]->code == 201;
		assert_true(all[i]->code == 201 || all[i]->code == 403);
		answer_free(all[i]);
	}
	assert_int_equal(made, 3);
	used(r, "q", "count/configmaps", "3");
}

/* The second server knows of nothing that the first has made. */
static void test_two_servers(void **state)
{
	struct pair *p = *state;
	size_t made = 0;

	quota(p->a, "q", "'count/configmaps':'5'", "'count/configmaps':'0'");
	for (int i = 0; i < 20; i++) {
		struct rig *r = i % 2 ? p->b : p->a;

		p->late.hold = i > 0;
		made += make(r, words(r, "c%d", i)) == 201;
	}
	assert_int_equal(made, 5);
	used(p->a, "q", "count/configmaps", "5");
	p->late.hold = false;
}

/* n requests at once, the i-th by body of i; how many were answered with that code. */
static size_t at_once(struct rig *r, size_t n, const char *method, const char *path, const char *type, const char *body,
		      int code)
{
	struct answer *all[100];
	size_t got = 0;

	assert_true(n <= ARRAY_LEN(all));
	for (size_t i = 0; i < n; i++) {
		struct ask ask = {
			.method = method, .path = words(r, path, i), .type = type, .body = words(r, body, i)
		};

		all[i] = api_start(r, &ask);
	}
	rig_run(r, 5 * NS_PER_SEC);
	for (size_t i = 0; i < n; i++) {
		assert_int_equal(all[i]->answers, 1);
		if (all[i]->code != code && all[i]->code != 403)
			fail_msg("%d %s", all[i]->code, buf_cstr(&all[i]->body));
		got += all[i]->code == code;
		answer_free(all[i]);
	}
	return got;
}

/* Seats of one priority, and amounts that a LimitRange fills in or a resize asks for: as exact as the count of objects.
 */
static void test_pods_at_once(void **state)
{
#define POD "{'metadata':{'name':'%s%%zu'},'spec':{%s'containers':[{'name':'c','image':'i'}]}}"
	struct rig *r = ((struct pair *)*state)->a;

	expect(r, 201, "POST", NS "/serviceaccounts", "{\"metadata\":{\"name\":\"default\"}}");
	expect(r, 201, "POST", "/apis/scheduling.k8s.io/v1/priorityclasses",
	       "{\"metadata\":{\"name\":\"high\"},\"value\":10}");
	expect(r, 201, "POST", NS "/resourcequotas",
	       words(r, "{'metadata':{'name':'high'},'spec':{'hard':{'pods':'1'},'scopeSelector':{'matchExpressions':[{"
			"'scopeName':'PriorityClass','operator':'In','values':['high']}]}}}"));
	expect_type(r, 200, "PATCH", NS "/resourcequotas/high/status", MERGE,
		    words(r, "{'status':{'hard':{'pods':'1'},'used':{'pods':'0'}}}"));
	assert_int_equal(
	    at_once(r, 100, "POST", NS "/pods", NULL, words(r, POD, "high", "'priorityClassName':'high',"), 201), 1);
	assert_int_equal(at_once(r, 20, "POST", NS "/pods", NULL, words(r, POD, "low", ""), 201), 20);
	used(r, "high", "pods", "1");

	expect(r, 201, "POST", NS "/limitranges",
	       words(r,
		     "{'metadata':{'name':'l'},'spec':{'limits':[{'type':'Container','defaultRequest':{'cpu':'300m'},"
		     "'max':{'cpu':'2'},'default':{'cpu':'1'}}]}}"));
	quota(r, "cpu", "'requests.cpu':'1'", "'requests.cpu':'0'");
	assert_int_equal(at_once(r, 50, "POST", NS "/pods", NULL, words(r, POD, "some", ""), 201), 3);
	used(r, "cpu", "requests.cpu", "900m");
	/* 100m are left: for one of those who want as much more, whichever. */
	for (int i = 0, n = 0; i < 50; i++) {
		struct answer *a = api(r, "GET", words(r, NS "/pods/some%d", i));

		if (a->code == 200)
			expect_type(
			    r, n++ ? 403 : 200, "PATCH", words(r, NS "/pods/some%d/resize", i),
			    "application/strategic-merge-patch+json",
			    words(r, "{'spec':{'containers':[{'name':'c','resources':{'requests':{'cpu':'400m'}}}]}}"));
		answer_free(a);
	}
	used(r, "cpu", "requests.cpu", "1");
	/* What is refused for its limit has used nothing. */
	assert_int_equal(
	    at_once(r, 20, "POST", NS "/pods", NULL,
		    words(r, "{'metadata':{'name':'big%%zu'},'spec':{'containers':[{'name':'c','image':'i',"
			     "'resources':{'limits':{'cpu':'3'}}}]}}"),
		    201),
	    0);
	used(r, "cpu", "requests.cpu", "1");
}

int main(void)
{
#define OF(fn) cmocka_unit_test_setup_teardown(fn, pair_setup, pair_teardown)
	const struct CMUnitTest tests[] = {
		OF(test_refusals),    OF(test_failures_cost_nothing), OF(test_two_quotas),
		OF(test_updates),     OF(test_counted_meanwhile),     OF(test_many_at_once),
		OF(test_two_servers), OF(test_pods_at_once),	      OF(test_opened),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
