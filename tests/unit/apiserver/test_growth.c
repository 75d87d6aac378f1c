/* Nothing that a client sizes costs its square: each kind with its longest lists and maps, of N elements and of 4 N, in
 * every way of writing. What is counted is what the server does (base/costs.h), so the test knows no clock: four times
 * as much may cost a little more than four times as much, the square would be sixteen. */
#include "costs.h"
#include "harness.h"

#define N 600
#define TIMES 4
#define GROWTH 7 /* of TIMES, and the depth of a sort on top */

#ifdef CARAVEL_COUNT_COSTS

/* head, then n times the element, the middle, n times the other element, tail. %zu in an element is its number. */
struct growth_case {
	const char *path, *head, *element, *middle, *other, *tail;
	int code; /* of the creation; 0: whichever */
};

#define POD_HEAD "{'metadata':{'name':'x'},'spec':{"
#define C "'containers':[{'name':'c','image':'i'}]"
#define NS "/api/v1/namespaces/default/"
#define CSRS "/apis/certificates.k8s.io/v1/certificatesigningrequests"
#define REQUEST                                                                                                \
	"LS0tLS1CRUdJTiBDRVJUSUZJQ0FURSBSRVFVRVNULS0tLS0KTUlISE1HNENBUUF3RERFS01BZ0dBMVVFQXd3QmVEQlpNQk1HQnlx" \
	"R1NNNDlBZ0VHQ0NxR1NNNDlBd0VIQTBJQQpCRGc4M0hXT3AvM1dNR0owSS8zK0FzcGZ5WXNxQzlydSs1b1FaV0dJcERtNllCY1gx" \
	"dnZ1WUREc1V3S1ZZZHNyClA0SFNYaElYVDNuM3hsbnpmRDBUU2UrZ0FEQUtCZ2dxaGtqT1BRUURBZ05KQURCR0FpRUFrOURTRGx0" \
	"SGhxVTMKS3UrYlc0NlduZE5CdEYzd2F0SVliMVFBaXBWVGxmb0NJUUR5bHExYWZMK1FzdkcrVjFFVCtoVUdkVnhIM2hBNAp0TDZV" \
	"Tm9FbXpWZGpoQT09Ci0tLS0tRU5EIENFUlRJRklDQVRFIFJFUVVFU1QtLS0tLQo="
#define DEPLOYMENTS "/apis/apps/v1/namespaces/default/deployments"

static const struct growth_case cases[] = {
	{ NS "configmaps", "{'metadata':{'name':'x'},'data':{", "'k%zu':''", "}}", NULL, NULL, 201 },
	{ NS "configmaps", "{'metadata':{'name':'x'},'data':{", "'k%zu':''", "},'binaryData':{", "'k%zu':''", "}}",
	  422 },
	{ NS "configmaps", "{'metadata':{'name':'x','labels':{", "'k%zu':'v'", "}}}", NULL, NULL, 201 },
	{ NS "configmaps", "{'metadata':{'name':'x','annotations':{", "'k%zu':'v'", "}}}", NULL, NULL, 201 },
	{ NS "configmaps", "{'metadata':{'name':'x','finalizers':[", "'example.com/f%zu'", "]}}", NULL, NULL, 201 },
	{ NS "configmaps", "{'metadata':{'name':'x','ownerReferences':[",
	  "{'apiVersion':'v1','kind':'Pod','name':'p%zu','uid':'u%zu'}", "]}}", NULL, NULL, 201 },
	{ NS "configmaps", "{'metadata':{'name':'x'},'data':{}", ",'unknown%zu':1", "}", NULL, NULL, 201 },
	{ NS "secrets", "{'metadata':{'name':'x'},'stringData':{", "'k%zu':'v'", "},'data':{", "'k%zu':'djE='", "}}",
	  201 },
	{ NS "pods", POD_HEAD "'containers':[", "{'name':'c%zu','image':'i'}", "]}}", NULL, NULL, 201 },
	{ NS "pods", POD_HEAD "'volumes':[", "{'name':'v%zu','emptyDir':{}}",
	  "],'containers':[{'name':'c','image':'i','volumeMounts':[", "{'name':'v%zu','mountPath':'/m%zu'}", "]}]}}",
	  201 },
	{ NS "pods", POD_HEAD "'containers':[{'name':'c','image':'i','env':[", "{'name':'E%zu','value':'v'}", "]}]}}",
	  NULL, NULL, 201 },
	{ NS "pods", POD_HEAD "'containers':[{'name':'c','image':'i','ports':[", "{'name':'p%zu','containerPort':1%zu}",
	  "]}]}}", NULL, NULL, 201 },
	{ NS "pods", POD_HEAD "'containers':[{'name':'c','image':'i','resources':{'requests':{",
	  "'example.com/r%zu':'1'", "},'limits':{", "'example.com/r%zu':'1'", "}}}]}}", 201 },
	{ NS "pods", POD_HEAD "'containers':[{'name':'c','image':'i','resources':{'limits':{", "'example.com/r%zu':'1'",
	  "}}}]}}", NULL, NULL, 201 },
	{ NS "pods", POD_HEAD C ",'resources':{'limits':{", "'hugepages-%zuKi':'1Ki'", "}}}}", NULL, NULL, 0 },
	{ NS "pods", POD_HEAD C ",'tolerations':[", "{'key':'k%zu','operator':'Exists'}", "]}}", NULL, NULL, 201 },
	{ NS "pods", POD_HEAD C ",'nodeSelector':{", "'k%zu':'v'", "}}}", NULL, NULL, 201 },
	{ NS "pods", POD_HEAD C ",'schedulingGates':[", "{'name':'g%zu'}", "],'nodeSelector':{", "'k%zu':'v'", "}}}",
	  201 },
	{ NS "pods", POD_HEAD C ",'imagePullSecrets':[", "{'name':'s%zu'}", "]}}", NULL, NULL, 201 },
	{ NS "pods", POD_HEAD C ",'readinessGates':[", "{'conditionType':'g%zu'}", "]}}", NULL, NULL, 201 },
	{ NS "pods", POD_HEAD C ",'hostAliases':[", "{'ip':'10.0.0.1','hostnames':['h%zu']}", "]}}", NULL, NULL, 201 },
	{ NS "pods",
	  POD_HEAD C ",'topologySpreadConstraints':[{'maxSkew':1,'topologyKey':'z','whenUnsatisfiable':"
		     "'ScheduleAnyway','labelSelector':{'matchLabels':{",
	  "'k%zu':'v'", "}},'matchLabelKeys':[", "'k%zu'", "]}]}}", 201 },
	{ NS "pods", "{'metadata':{'name':'x','labels':{", "'k%zu':'v'",
	  "}},'spec':{" C
	  ",'affinity':{'podAffinity':{'requiredDuringSchedulingIgnoredDuringExecution':[{'topologyKey':'z',"
	  "'labelSelector':{},'matchLabelKeys':[",
	  "'k%zu'", "]}]}}}}", 201 },
	{ NS "pods", "{'metadata':{'name':'x','annotations':{",
	  "'container.apparmor.security.beta.kubernetes.io/c%zu':'unconfined'", "}},'spec':{'containers':[",
	  "{'name':'c%zu','image':'i'}", "]}}", 0 },
	{ NS "pods",
	  POD_HEAD "'containers':[{'name':'c','image':'i','securityContext':{'allowPrivilegeEscalation':false,"
		   "'capabilities':{'add':[",
	  "'CAP_SYS_ADMIN'", "]}}}]}}", NULL, NULL, 422 },
	{ NS "pods", POD_HEAD "'restartPolicy':'Never'," C "},'status':{'containerStatuses':[",
	  "{'name':'c%zu','image':'i','imageID':'i','ready':true,'restartCount':0,'state':{'running':{}}}", "]}}", NULL,
	  NULL, 201 },
	{ NS "pods", POD_HEAD C "},'status':{'conditions':[", "{'type':'example.com/c%zu','status':'True'}", "]}}",
	  NULL, NULL, 201 },
	{ CSRS,
	  "{'metadata':{'name':'x'},'spec':{'request':'" REQUEST
	  "','signerName':'x.io/y','usages':['any']},'status':{'conditions':[",
	  "{'type':'C%zu','status':'True'}", "]}}", NULL, NULL, 201 },
	{ CSRS, "{'metadata':{'name':'x'},'spec':{'request':'eA==','signerName':'x.io/y','usages':[", "'u%zu'", "]}}",
	  NULL, NULL, 422 },
	{ "/api/v1/nodes", "{'metadata':{'name':'x'},'status':{'conditions':[", "{'type':'C%zu','status':'True'}",
	  "],'capacity':{", "'example.com/r%zu':'1'", "}}}", 201 },
	{ DEPLOYMENTS, "{'metadata':{'name':'x'},'spec':{'selector':{'matchLabels':{", "'k%zu':'v'",
	  "}},'template':{'metadata':{'labels':{", "'k%zu':'v'", "}},'spec':{" C "}}}}", 201 },
	{ NS "services", "{'metadata':{'name':'x'},'spec':{'ports':[", "{'name':'p%zu','port':1%zu}", "]}}", NULL, NULL,
	  201 },
	{ NS "services", "{'metadata':{'name':'x'},'spec':{'ports':[{'port':80}],'selector':{", "'k%zu':'v'", "}}}",
	  NULL, NULL, 201 },
	{ NS "endpoints", "{'metadata':{'name':'x'},'subsets':[{'addresses':[", "{'ip':'10.0.0.1','hostname':'h%zu'}",
	  "]}]}", NULL, NULL, 201 },
	{ "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices",
	  "{'metadata':{'name':'x'},'addressType':'IPv4','endpoints':[],'ports':[", "{'name':'p%zu','port':1%zu}", "]}",
	  NULL, NULL, 201 },
	{ "/apis/networking.k8s.io/v1/namespaces/default/ingresses", "{'metadata':{'name':'x'},'spec':{'rules':[",
	  "{'host':'h%zu.example'}", "]}}", NULL, NULL, 201 },
	{ "/apis/networking.k8s.io/v1/namespaces/default/networkpolicies",
	  "{'metadata':{'name':'x'},'spec':{'podSelector':{},'egress':[{'ports':[", "{'port':1%zu}", "]}]}}", NULL,
	  NULL, 201 },
	{ NS "limitranges", "{'metadata':{'name':'x'},'spec':{'limits':[{'type':'Container','max':{",
	  "'example.com/r%zu':'4'", "},'min':{", "'example.com/r%zu':'1'", "}}]}}", 201 },
	{ NS "resourcequotas", "{'metadata':{'name':'x'},'spec':{'hard':{", "'requests.example.com/r%zu':'4'", "}}}",
	  NULL, NULL, 201 },
	{ NS "resourcequotas", "{'metadata':{'name':'x'},'spec':{'hard':{", "'requests.example.com/r%zu':'4'",
	  "},'scopes':[", "'BestEffort'", "]}}", 422 },
	{ "/api/v1/nodes", "{'metadata':{'name':'x'},'spec':{'taints':[", "{'key':'k%zu','effect':'NoSchedule'}", "]}}",
	  NULL, NULL, 201 },
	{ "/apis/storage.k8s.io/v1/storageclasses", "{'metadata':{'name':'x'},'provisioner':'p.example','parameters':{",
	  "'k%zu':'v'", "}}", NULL, NULL, 0 },
	{ "/apis/storage.k8s.io/v1/csinodes", "{'metadata':{'name':'x'},'spec':{'drivers':[",
	  "{'name':'d%zu.example','nodeID':'n'}", "]}}", NULL, NULL, 201 },
	{ "/apis/policy/v1/namespaces/default/poddisruptionbudgets",
	  "{'metadata':{'name':'x'},'spec':{'minAvailable':1,'selector':{'matchLabels':{", "'k%zu':'v'", "}}}}", NULL,
	  NULL, 201 },
	{ NS "pods", POD_HEAD C ",'affinity':{'podAntiAffinity':{'preferredDuringSchedulingIgnoredDuringExecution':[",
	  "{'weight':1,'podAffinityTerm':{'topologyKey':'z','labelSelector':{},'matchLabelKeys':['k%zu'],'"
	  "mismatchLabelKeys':['m%zu']}}",
	  "]}}}}", NULL, NULL, 0 },
	{ NS "pods", POD_HEAD C ",'volumes':[{'name':'v','projected':{'sources':[",
	  "{'podCertificate':{'signerName':'a.example/"
	  "b','keyType':'ED25519','keyPath':'k%zu','certificateChainPath':'c%zu'}}",
	  "]}}]}}", NULL, NULL, 0 },
	{ NS "pods", POD_HEAD C ",'initContainers':[",
	  "{'name':'i%zu','image':'i','restartPolicy':'Always','resources':{'limits':{'example.com/r%zu':'1'}}}", "]}}",
	  NULL, NULL, 0 },
	{ NS "pods", POD_HEAD C "},'status':{'podIPs':[", "{'ip':'10.0.%zu.1'}", "],'hostIPs':[", "{'ip':'10.1.%zu.1'}",
	  "]}}", 0 },
	{ NS "services", "{'metadata':{'name':'x'},'spec':{'type':'NodePort','ports':[",
	  "{'name':'p%zu','port':1%zu,'nodePort':30%zu}", "]}}", NULL, NULL, 0 },
	{ "/apis/rbac.authorization.k8s.io/v1/clusterroles",
	  "{'metadata':{'name':'x'},'aggregationRule':{'clusterRoleSelectors':[", "{'matchLabels':{'k%zu':'v'}}", "]}}",
	  NULL, NULL, 0 },
};

enum way {
	CREATE,
	REPLACE,
	STATUS,
	STATUS_AGAIN,
	RESIZE,
	STRATEGIC,
	MERGE,
	APPLY,
	READ,
	TABLE,
	SELECT,
	REMOVE,
	_WAY_MAX
};
static const struct {
	const char *name, *method, *type, *sub;
	bool backwards; /* elements in the other order: nothing is found where it is looked for first */
} ways[_WAY_MAX] = {
	[CREATE] = { "create", "POST", NULL, "", false },
	[REPLACE] = { "replace", "PUT", NULL, "", true },
	[STATUS] = { "status", "PUT", NULL, "/status", false },
	[STATUS_AGAIN] = { "second status", "PUT", NULL, "/status", true },
	[RESIZE] = { "resize", "PUT", NULL, "/resize", true },
	[STRATEGIC] = { "strategic merge patch", "PATCH", "application/strategic-merge-patch+json", "", true },
	[MERGE] = { "merge patch", "PATCH", "application/merge-patch+json", "", false },
	[APPLY] = { "apply", "PATCH", "application/apply-patch+yaml", "?fieldManager=m&force=true", true },
	[READ] = { "get", "GET", NULL, "", false },
	[TABLE] = { "table", "GET", NULL, "", false },
	[SELECT] = { "list by label", "GET", NULL, "?labelSelector=k0%3Dv,k1%3Dv", false },
	[REMOVE] = { "delete", "DELETE", NULL, "", false },
};

static void add_elements(struct buf *b, const char *format, size_t n, bool backwards)
{
	for (size_t i = 0; i < n; i++) {
		size_t number = backwards ? n - 1 - i : i;
		const char *at = format, *sign;

		if (i && *format != ',')
			buf_addc(b, ',');
		for (; (sign = strstr(at, "%zu")); at = sign + strlen("%zu")) {
			buf_addsv(b, sv_make(at, (size_t)(sign - at)));
			buf_printf(b, "%zu", number);
		}
		buf_adds(b, at);
	}
}

static const char *body_of(struct arena *a, const struct growth_case *c, size_t n, bool backwards)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	char *text;

	buf_adds(&b, c->head);
	add_elements(&b, c->element, n, backwards);
	buf_adds(&b, c->middle);
	if (c->other) {
		add_elements(&b, c->other, n, backwards);
		buf_adds(&b, c->tail);
	}
	text = arena_strdup(a, buf_cstr(&b));
	for (char *p = text; *p; p++)
		if (*p == '\'')
			*p = '"';
	return text;
}

/* Apply wants to know what it is. */
static const char *with_type(struct rig *r, struct arena *a, const struct growth_case *c, const char *body)
{
	struct sv path = sv_from(c->path), rest = path, part, kind = SV_NULL, plural = SV_NULL;
	bool core = sv_starts(path, SV("/api/"));
	const struct val *list;
	size_t k = 0;
	struct sv group = SV_NULL, version = SV_NULL;

	while (sv_split(&rest, '/', &part)) {
		if (core ? k == 2 : k == 3)
			version = part;
		if (!core && k == 2)
			group = part;
		plural = part;
		k++;
	}
	list = expect(r, 200, "GET",
		      core ? "/api/v1" : arena_printf(a, "/apis/%.*s/%.*s", SV_ARG(group), SV_ARG(version)), NULL);
	VAL_EACH(val_get(list, F_resources), res)
		if (sv_eq(val_get_str(res, F_name), plural))
			kind = val_get_str(res, F_kind);
	assert_true(kind.n > 0);
	return arena_printf(a, "{\"apiVersion\":\"%.*s%s%.*s\",\"kind\":\"%.*s\",%s", SV_ARG(group), group.n ? "/" : "",
			    SV_ARG(version), SV_ARG(kind), body + 1);
}

static bool wrong; /* any creation that was not answered as its row says */

static uint64_t steps_of(struct rig *r, const struct growth_case *c, enum way w, size_t n)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	const char *body = w >= READ ? NULL : body_of(&a, c, n, ways[w].backwards);
	const char *path =
	    w == CREATE ? c->path : arena_printf(&a, "%s%s%s", c->path, w == SELECT ? "" : "/x", ways[w].sub);
	struct answer *answer;
	uint64_t before;

	if (w == APPLY)
		body = with_type(r, &a, c, body);
	before = costs;
	answer = api(r, ways[w].method, path, .body = body, .type = ways[w].type,
		     .accept = w == TABLE || w == SELECT ? "application/json;as=Table;v=v1;g=meta.k8s.io" : NULL);
	before = costs - before;
	if (w == CREATE && c->code && answer->code != c->code)
		print_error("%s, %s: %d %.300s\n", c->path, c->element, answer->code, buf_cstr(&answer->body)),
		    wrong = true;
	assert_int_equal(answer->answers, 1);
	answer_free(answer);
	return before;
}

static void test_growth(void **state)
{
	bool bad = false;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		uint64_t steps[2][_WAY_MAX];

		for (size_t k = 0; k < 2; k++) {
			void *fresh = NULL;

			rig_setup(&fresh);
			expect(fresh, 201, "POST", NS "serviceaccounts", "{\"metadata\":{\"name\":\"default\"}}");
			for (enum way w = CREATE; w < _WAY_MAX; w++)
				steps[k][w] = steps_of(fresh, &cases[i], w, k ? TIMES * N : N);
			rig_teardown(&fresh);
		}
		for (enum way w = CREATE; w < _WAY_MAX; w++) {
			if (getenv("COSTS"))
				print_message("# %10" PRIu64 ", %4.1f times: %s of %s, %s\n", steps[0][w],
					      (double)steps[1][w] / (double)steps[0][w], ways[w].name, cases[i].path,
					      cases[i].element);
			if (steps[1][w] <= steps[0][w] * GROWTH)
				continue;
			print_error("%s of %s, %s: %" PRIu64 " steps for %d, %" PRIu64 " for %d\n", ways[w].name,
				    cases[i].path, cases[i].element, steps[0][w], N, steps[1][w], N * TIMES);
			bad = true;
		}
	}
	assert_false(bad || wrong);
}

/* A Pod that names many resources where a LimitRange bounds as many: of containers, and of the pod as a whole. */
static uint64_t limited_steps(size_t n)
{
	static const struct growth_case
	    range = { NS "limitranges",
		      "{'metadata':{'name':'x'},'spec':{'limits':[{'type':'Container','max':{",
		      "'example.com/r%zu':'4'",
		      "}},{'type':'Pod','max':{",
		      "'example.com/r%zu':'4'",
		      "}}]}}",
		      201 },
	    pod = { NS "pods",
		    POD_HEAD "'containers':[{'name':'c','image':'i','resources':{'requests':{",
		    "'example.com/r%zu':'1'",
		    "},'limits':{",
		    "'example.com/r%zu':'1'",
		    "}}}]}}",
		    201 };
	void *fresh = NULL;
	uint64_t steps;

	rig_setup(&fresh);
	expect(fresh, 201, "POST", NS "serviceaccounts", "{\"metadata\":{\"name\":\"default\"}}");
	(void)steps_of(fresh, &range, CREATE, n);
	steps = steps_of(fresh, &pod, CREATE, n);
	rig_teardown(&fresh);
	return steps;
}

static void test_limited(void **state)
{
	uint64_t few = limited_steps(N), many = limited_steps(TIMES * N);

	(void)state;
	assert_false(wrong);
	if (many > few * GROWTH)
		fail_msg("%" PRIu64 " steps for %d, %" PRIu64 " for %d", few, N, many, N * TIMES);
}

#else

static void test_growth(void **state)
{
	(void)state;
	skip(); /* only debug builds count */
}

static void test_limited(void **state)
{
	(void)state;
	skip();
}

#endif

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_growth), cmocka_unit_test(test_limited) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
