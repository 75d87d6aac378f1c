/* Devices and who has them, certificates, groups of pods, and the other kinds that few write by hand. */
#include "validate_table.h"

#include "base/b64.h"
#include "net/cert_check.h"
#include "net/csr.h"

/* --- claims --- */

#define CLAIM(devices) "{'spec':{'devices':{" devices "}}}"
#define REQUESTS(list) CLAIM("'requests':[" list "]")
#define ONE(more) "{'name':'r','exactly':{'deviceClassName':'c'" more "}}"

static void test_claims(void **state)
{
	const struct resource *r = RES(resource_resourceclaims), *old = RES(resource_resourceclaims_v1beta1),
			      *t = RES(resource_resourceclaimtemplates);
	const struct kind_case cases[] = {
		{ r, REQUESTS(ONE(",'count':1")), NULL, NULL, NULL },
		{ r, REQUESTS("{'name':'r'},{'name':'r','exactly':{'deviceClassName':'','count':1}}"), NULL, NULL,
		  "[spec.devices.requests[0]: Required value: exactly one of `exactly` or `firstAvailable` is "
		  "required, "
		  "spec.devices.requests[1].exactly.deviceClassName: Required value, spec.devices.requests[1]: "
		  "Duplicate value: 'r']" },
		{ r,
		  REQUESTS(ONE(",'allocationMode':'All','count':2,'tolerations':[{'operator':'X','effect':'Y'},"
			       "{'key':'a','value':'b','operator':'Exists'}]")),
		  NULL, NULL,
		  "[spec.devices.requests[0].exactly.count: Invalid value: 2: must not be specified when "
		  "allocationMode is 'All', spec.devices.requests[0].exactly.tolerations[0].operator: Unsupported "
		  "value: 'X': supported values: 'Equal', 'Exists', "
		  "spec.devices.requests[0].exactly.tolerations[0].effect: Unsupported value: 'Y': supported values: "
		  "'NoExecute', 'NoSchedule', 'None', spec.devices.requests[0].exactly.tolerations[1].value: Invalid "
		  "value: 'b': must be empty for operator `Exists`]" },
		{ r,
		  REQUESTS("{'name':'r','exactly':{'deviceClassName':'c','count':-1,'selectors':[{}]},"
			   "'firstAvailable':[{'name':'s'}]}"),
		  NULL, NULL,
		  "spec.devices.requests[0]: Invalid value: 'null': exactly one of `exactly` or `firstAvailable` is "
		  "required, but multiple fields are set" },
		{ r,
		  CLAIM(
		      "'requests':[{'name':'r','firstAvailable':[{'name':'s','deviceClassName':'c','count':1}]}],"
		      "'constraints':[{'requests':['r/s','r','x','r/s'],'matchAttribute':'a'},{}],'config':[{'opaque':"
		      "{'driver':'d','parameters':[]}},{}]"),
		  NULL, NULL,
		  "[spec.devices.constraints[0].requests[2]: Invalid value: 'x': must be the name of a request in the "
		  "claim or the name of a request and a subrequest separated by '/', "
		  "spec.devices.constraints[0].requests[3]: Duplicate value: 'r/s', "
		  "spec.devices.constraints[0].matchAttribute: Invalid value: 'a': a fully qualified name must be a "
		  "domain and a name separated by a slash, spec.devices.constraints[1]: Required value: exactly one of "
		  "'matchAttribute' or 'distinctAttribute' is required, but multiple fields are set, "
		  "spec.devices.config[0].opaque.parameters: Invalid value: '<value omitted>': must be a valid JSON "
		  "object, spec.devices.config[1].opaque: Required value]" },
		{ r, REQUESTS(ONE("")), REQUESTS(""), NULL,
		  "spec: Invalid value: {'devices':{'requests':[{'name':'r','exactly':{'deviceClassName':'c',"
		  "'allocationMode':'ExactCount'}}]}}: field is immutable" },
		/* in v1beta1 the request itself says it, and the path is today's */
		{ old, REQUESTS("{'name':'r','deviceClassName':'A_','allocationMode':'All'}"), NULL, NULL,
		  "spec.devices.requests[0].exactly.deviceClassName: Invalid value: 'A_': a lowercase RFC 1123 "
		  "subdomain "
		  "must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an "
		  "alphanumeric character (e.g. 'example.com', regex used for validation is "
		  "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')" },
		{ t,
		  "{'spec':{'metadata':{'name':'n','labels':{'a':'b'}},'spec':{'devices':{'requests':[{'name':''}]}}}}",
		  NULL, NULL,
		  "[spec.metadata.name: Forbidden: cannot be set, spec.spec.devices.requests[0].name: Required value, "
		  "spec.spec.devices.requests[0]: Required value: exactly one of `exactly` or `firstAvailable` is "
		  "required]" },
	};

	(void)state;
	run(cases, ARRAY_LEN(cases));
}

#define GIVEN(result) "'allocation':{'devices':{'results':[" result "]}}"
#define DEVICE "{'request':'r','driver':'d','pool':'p','device':'x'}"
#define STATUS(status) "{'spec':{'devices':{'requests':[" ONE("") "]}},'status':{" status "}}"

static void test_claim_statuses(void **state)
{
	const struct resource *r = RES(resource_resourceclaims);
	const struct kind_case cases[] = {
		{ r, STATUS(GIVEN(DEVICE) ",'reservedFor':[{'resource':'pods','name':'a','uid':'u'}]"), STATUS(""),
		  "status", NULL },
		{ r,
		  STATUS(
		      "'reservedFor':[{'resource':'pods','name':'a','uid':'u'},{'resource':'','name':'b','uid':'u'}]"),
		  STATUS(""), "status",
		  "[status.reservedFor[1].resource: Required value, status.reservedFor[1]: Duplicate value: 'u', "
		  "status.reservedFor: Forbidden: may not be specified when `allocated` is not set]" },
		{ r, STATUS(GIVEN("{'request':'q','driver':'d','pool':'p/','device':''}")), STATUS(""), "status",
		  "[status.allocation.devices.results[0].request: Invalid value: 'q': must be the name of a request in "
		  "the claim or the name of a request and a subrequest separated by '/', "
		  "status.allocation.devices.results[0].pool: Invalid value: '': a lowercase RFC 1123 subdomain must "
		  "consist of lower case alphanumeric characters, '-' or '.', and must start and end with an "
		  "alphanumeric character (e.g. 'example.com', regex used for validation is "
		  "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*'), "
		  "status.allocation.devices.results[0].device: Required value]" },
		{ r,
		  STATUS(GIVEN(
		      DEVICE) ",'devices':[{'driver':'d','pool':'p','device':'y','networkData':{'ips':['10.0.0.1',"
			      "'10.0.0.1/8']}}]"),
		  STATUS(GIVEN(DEVICE)), "status",
		  "[status.devices[0]: Invalid value: 'd/p/y': must be an allocated device in the claim, "
		  "status.devices[0].networkData.ips[0]: Invalid value: '10.0.0.1': must be a valid address in CIDR "
		  "form, (e.g. 10.9.8.7/24 or 2001:db8::1/64)]" },
		{ r, STATUS(""), STATUS(GIVEN(DEVICE)), "status", NULL },
	};

	(void)state;
	run(cases, ARRAY_LEN(cases));
}

/* --- slices --- */

#define SLICE(more) "{'spec':{'driver':'d','pool':{'name':'p','resourceSliceCount':1},'nodeName':'n'," more "}}"
#define DEVICES(list) SLICE("'devices':[" list "]")
#define CAPACITY(policy)                                                                                               \
	DEVICES("{'name':'a','allowMultipleAllocations':true,'capacity':{'m':{'value':'10Gi','requestPolicy':{" policy \
		"}}}}")

static void test_slices(void **state)
{
	const struct resource *r = RES(resource_resourceslices), *old = RES(resource_resourceslices_v1beta1),
			      *c = RES(resource_deviceclasses), *t = RES(resource_devicetaintrules);
	const struct kind_case cases[] = {
		{ r, DEVICES("{'name':'a','attributes':{'x':{'int':1},'b.io/y':{'version':'1.2.3-rc.1+b'}}}"), NULL,
		  NULL, NULL },
		{ r,
		  "{'spec':{'driver':'','pool':{'name':''},'nodeSelector':{'nodeSelectorTerms':[]},'allNodes':false}}",
		  NULL, NULL,
		  "[spec.driver: Required value, spec.driver: Invalid value: '': a lowercase RFC 1123 subdomain must "
		  "consist of lower case alphanumeric characters, '-' or '.', and must start and end with an "
		  "alphanumeric character (e.g. 'example.com', regex used for validation is "
		  "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*'), spec.pool.name: Required "
		  "value, "
		  "spec.pool.resourceSliceCount: Invalid value: 0: must be greater than zero, "
		  "spec.nodeSelector.nodeSelectorTerms: Required value: must have at least one node selector term, "
		  "spec.nodeSelector.nodeSelectorTerms: Invalid value: []: must have exactly one node selector term, "
		  "spec.allNodes: Invalid value: false: must be either unset or set to true]" },
		{ r, SLICE("'allNodes':true"), NULL, NULL,
		  "spec: Invalid value: '{`nodeName`, `allNodes`}': exactly one of `nodeName`, `nodeSelector`, "
		  "`allNodes`, `perDeviceNodeSelection` is required, but multiple fields are set" },
		{ r, SLICE("'sharedCounters':[{'name':'s','counters':{'c':{'value':'1'}}}]"),
		  "{'spec':{'driver':'e','pool':{'name':'p','resourceSliceCount':1},'nodeName':'n'}}", NULL,
		  "spec.driver: Invalid value: 'd': field is immutable" },
		{ r,
		  DEVICES("{'name':'a','attributes':{'1':{},'x':{'int':1,'bool':true},'z/"
			  "':{'version':'1.2'}},'allNodes':true},"
			  "{'name':'a'}"),
		  NULL, NULL,
		  "[spec.devices[0].attributes: Invalid value: '1': a valid C identifier must start with alphabetic "
		  "character or '_', followed by a string of alphanumeric characters or '_' (e.g. 'my_name',  or "
		  "'MY_NAME',  or 'MyName', regex used for validation is '[A-Za-z_][A-Za-z0-9_]*'), "
		  "spec.devices[0].attributes[1]: Invalid value: '': exactly one value must be specified, "
		  "spec.devices[0].attributes[x]: Invalid value: {'int':1,'bool':true}: exactly one value must be "
		  "specified, spec.devices[0].attributes: Invalid value: '': the name must not be empty, "
		  "spec.devices[0].attributes[z/].version: Invalid value: '1.2': must be a string compatible with "
		  "semver.org spec 2.0.0, spec.devices[0]: Invalid value: 'null': `nodeName`, `nodeSelector` and "
		  "`allNodes` can only be set if `perDeviceNodeSelection` is set to true in the ResourceSlice spec, "
		  "spec.devices[1]: Duplicate value: 'a']" },
		{ r,
		  DEVICES("{'name':'a','taints':[{'key':'','effect':''}],'bindingConditions':['c'],'consumesCounters':"
			  "[{'counterSet':'s','counters':{}}]}"),
		  NULL, NULL,
		  "[spec.devices[0].taints[0].key: Invalid value: '': name part must be non-empty, "
		  "spec.devices[0].taints[0].key: Invalid value: '': name part must consist of alphanumeric "
		  "characters, "
		  "'-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or "
		  "'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]'), "
		  "spec.devices[0].taints[0].effect: Required value, spec.devices[0].consumesCounters[0].counters: "
		  "Required value, spec.devices[0].bindingFailureConditions: Invalid value: []: "
		  "bindingFailureConditions are required to use bindingConditions]" },
		/* parts of capacities */
		{ r, CAPACITY("'default':'1Gi','validRange':{'min':'1Gi','max':'9Gi','step':'1Gi'}"), NULL, NULL,
		  NULL },
		{ r, CAPACITY("'default':'1500m','validRange':{'min':'500m','step':'500m'}"), NULL, NULL, NULL },
		{ r, CAPACITY("'default':'2Gi','validValues':['1Gi','2Gi']"), NULL, NULL, NULL },
		{ r, CAPACITY("'validRange':{'min':'1Gi'}"), NULL, NULL,
		  "spec.devices[0].capacity[m].requestPolicy.default: Required value: required when validRange is "
		  "defined" },
		{ r, CAPACITY("'default':'3','validValues':['2','1','20Gi']"), NULL, NULL,
		  "[spec.devices[0].capacity[m].requestPolicy.validValues[1]: Invalid value: '1': values must be "
		  "sorted "
		  "in ascending order, spec.devices[0].capacity[m].requestPolicy.validValues[2]: Invalid value: "
		  "'20Gi': "
		  "option is larger than capacity value: 10Gi, spec.devices[0].capacity[m].requestPolicy.validValues: "
		  "Invalid value: '3': default value is not valid according to the requestPolicy]" },
		{ r, CAPACITY("'default':'4','validRange':{'min':'1','max':'6','step':'2'}"), NULL, NULL,
		  "[spec.devices[0].capacity[m].requestPolicy.validRange.step: Invalid value: '4': value is not a "
		  "multiple of a given step (2) from (1), spec.devices[0].capacity[m].requestPolicy.validRange.step: "
		  "Invalid value: '6': value is not a multiple of a given step (2) from (1)]" },
		{ r, CAPACITY("'default':'1','validRange':{'min':'1','step':'0'}"), NULL, NULL,
		  "spec.devices[0].capacity[m].requestPolicy.validRange.step: Invalid value: '0': must be greater than "
		  "zero" },
		{ r, CAPACITY("'default':'0','validRange':{'min':'0','max':'1','step':'1n'}"), NULL, NULL,
		  "spec.devices[0].capacity[m].requestPolicy.validRange.step: Invalid value: '1n': value cannot be "
		  "represented as a milli value" },
		/* in v1beta1 a device is in basic, and the path is today's */
		{ old, DEVICES("{'name':'a','basic':{'attributes':{'x':{}}}}"), NULL, NULL,
		  "spec.devices[0].attributes[x]: Invalid value: '': exactly one value must be specified" },
		{ c, "{'spec':{'extendedResourceName':'gpu'}}", NULL, NULL,
		  "spec.extendedResourceName: Invalid value: 'gpu': must be a valid extended resource name" },
		{ c, "{'spec':{'extendedResourceName':'example.com/gpu','selectors':[{}]}}", NULL, NULL,
		  "spec.selectors[0].cel: Required value" },
		{ t, "{'spec':{'deviceSelector':{'pool':'','device':'A_'},'taint':{'key':'a','effect':'None'}}}", NULL,
		  NULL,
		  "[spec.deviceSelector.pool: Required value, spec.deviceSelector.device: Invalid value: 'A_': a "
		  "lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start "
		  "and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is "
		  "'[a-z0-9]([-a-z0-9]*[a-z0-9])?')]" },
		{ t, "{'status':{'conditions':[{'type':'a b','status':'Yes','reason':''}]}}", "{}", "status",
		  "[status.conditions[0].type: Invalid value: 'a b': name part must consist of alphanumeric "
		  "characters, "
		  "'-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or "
		  "'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]'), "
		  "status.conditions[0].status: Unsupported value: 'Yes': supported values: 'False', 'True', "
		  "'Unknown', "
		  "status.conditions[0].lastTransitionTime: Required value: must be set, status.conditions[0].reason: "
		  "Required value: must be set]" },
	};

	(void)state;
	run(cases, ARRAY_LEN(cases));
}

/* Of many devices one with a taint halves how many there may be. */
static void test_many_devices(void **state)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	(void)state;
	buf_adds(&b, "{'spec':{'driver':'d','pool':{'name':'p','resourceSliceCount':1},'nodeName':'n','devices':[");
	for (int i = 0; i < 65; i++)
		buf_printf(&b, "%s{'name':'d%d'%s}", i ? "," : "", i,
			   i == 7 ? ",'taints':[{'key':'k','effect':'NoSchedule'}]" : "");
	buf_adds(&b, "]}}");
	assert_string_equal(errors(&a, RES(resource_resourceslices), buf_cstr(&b), NULL, NULL),
			    "spec.devices: Too many: 65: must have at most 64 items");
}

/* --- certificates --- */

static void test_certificates(void **state)
{
	const struct resource *b = RES(certificates_clustertrustbundles), *p = RES(certificates_podcertificaterequests);
	static const char none[] =
	    "spec.trustBundle: Invalid value: '<value omitted>': at least one trust anchor must be "
	    "provided";
	const struct kind_case cases[] = {
		{ b, "{'metadata':{'name':'x'},'spec':{'trustBundle':'nothing'}}", NULL, NULL, none },
		{ b, "{'metadata':{'name':'x:y'},'spec':{'trustBundle':''}}", "{'spec':{'trustBundle':''}}", NULL,
		  "metadata.name: Invalid value: 'x:y': ClusterTrustBundle without signer name must not have ':' in "
		  "its "
		  "name" },
		{ b, "{'metadata':{'name':'x'},'spec':{'signerName':'a.b/c','trustBundle':''}}",
		  "{'spec':{'signerName':'a.b/d','trustBundle':''}}", NULL,
		  "[metadata.name: Invalid value: 'x': ClusterTrustBundle for signerName a.b/c must be named with "
		  "prefix a.b:c:, spec.signerName: Invalid value: 'a.b/c': field is immutable]" },
		{ b,
		  "{'metadata':{'name':'a.b:c:x'},'spec':{'signerName':'a.b/c','trustBundle':'-----BEGIN "
		  "KEY-----\\neA==\\n"
		  "-----END KEY-----\\n-----BEGIN CERTIFICATE-----\\neA==\\n-----END CERTIFICATE-----\\n'}}",
		  NULL, NULL,
		  "[spec.trustBundle: Invalid value: '<value omitted>': entry 0 has bad block type: KEY, "
		  "spec.trustBundle: Invalid value: '<value omitted>': entry 1 does not parse as X.509]" },
		{ p,
		  "{'spec':{'signerName':'kubernetes.io/x','podName':'p','podUID':'','serviceAccountName':'s',"
		  "'serviceAccountUID':'u','nodeName':'A_','nodeUID':'u','maxExpirationSeconds':86401,"
		  "'stubPKCS10Request':'eA==','unverifiedUserAnnotations':{'a':'b'}}}",
		  NULL, NULL,
		  "[spec.podUID: Invalid value: '': must not be empty, spec.nodeName: Invalid value: 'A_': a lowercase "
		  "RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start "
		  "and end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
		  "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*'), spec.maxExpirationSeconds: "
		  "Invalid value: 86401: must be in the range [3600, 86400], spec.stubPKCS10Request: Invalid value: "
		  "'<value omitted>': must be a PKCS#10 certificate request in DER, "
		  "spec.unverifiedUserAnnotations[a]: Invalid value: 'a': key must be domain-prefixed]" },
		{ p,
		  "{'status':{'conditions':[{'type':'Issued','status':'True','reason':'R','lastTransitionTime':"
		  "'2026-01-01T00:00:00Z'}]}}",
		  "{}", "status",
		  "status.certificateChain: Invalid value: '<certificate chain omitted>': must contain at least one "
		  "CERTIFICATE PEM block" },
		{ p,
		  "{'status':{'notBefore':'2026-01-01T00:00:00Z','conditions':[{'type':'Denied','status':'False','"
		  "reason':"
		  "'R','lastTransitionTime':'2026-01-01T00:00:00Z'}]}}",
		  "{}", "status",
		  "[status.conditions[0].status: Unsupported value: 'False': supported values: 'True', "
		  "status.notBefore: "
		  "Invalid value: '2026-01-01T00:00:00Z': must be empty unless the PodCertificateRequest is issued]" },
	};

	(void)state;
	run(cases, ARRAY_LEN(cases));
}

static void count_faults(const char *what, void *ctx)
{
	(void)what;
	++*(size_t *)ctx;
}

/* With real keys: a bundle, a request in DER, and the answer to it. */
static void test_real_certificates(void **state)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(err_release) struct err err = ERR_INIT;
	struct cert_opts ca = { .common_name = "ca", .not_after_ns = INT64_C(4102444800) * NS_PER_SEC, .ca = true },
			 leaf = { .common_name = "leaf", .not_after_ns = INT64_C(4102444800) * NS_PER_SEC };
	struct csr_sign_opts sign = { .not_before_ns = CLOCK_FLOOR_NS,
				      .not_after_ns = CLOCK_FLOOR_NS + 3600 * NS_PER_SEC };
	struct sv ca_cert, ca_key, other, other_key, pem, key, der, body, answer;
	int64_t from, to;
	size_t faults = 0;

	(void)state;
	assert_int_equal(cert_make(&a, &ca, SV(""), SV(""), &ca_cert, &ca_key, &err), 0);
	assert_int_equal(cert_make(&a, &leaf, SV(""), SV(""), &other, &other_key, &err), 0);
	cert_anchors_check(ca_cert, count_faults, &faults);
	assert_int_equal(faults, 0);
	cert_anchors_check(other, count_faults, &faults); /* no authority */
	assert_int_equal(faults, 1);
	cert_anchors_check(arena_svf(&a, "%.*s\n%.*s", SV_ARG(ca_cert), SV_ARG(ca_cert)), count_faults, &faults);
	assert_int_equal(faults, 2);

	assert_int_equal(csr_make(&a, &leaf, SV(""), &pem, &key, &err), 0);
	body = sv_sub(pem, (size_t)sv_find(pem, '\n') + 1, pem.n);
	body.n = (size_t)sv_find_sv(body, SV("-----END"));
	assert_true(b64_decode(&a, body, &der)); /* which passes over line breaks */
	assert_int_equal(cert_request_check(der, &err), 0);
	sign.ca_cert = ca_cert;
	sign.ca_key = ca_key;
	assert_int_equal(csr_sign(&a, pem, &sign, &answer, &err), 0);
	assert_int_equal(cert_answer_check(answer, der, SV(""), &from, &to, &err), 0);
	assert_true(to > from);
	/* somebody else's certificate, and a request that was tampered with */
	assert_int_equal(cert_answer_check(other, der, SV(""), &from, &to, &err), -1);
	err_release(&err);
	err = ERR_INIT;
	((char *)(uintptr_t)der.p)[der.n - 5] ^= 1;
	assert_int_equal(cert_request_check(der, &err), -1);
	err_release(&err);
	err = ERR_INIT;
	assert_int_equal(cert_possession_check(der, der, SV("u"), &err), -1);
}

/* --- groups of pods, evictions, servers --- */

#define GROUP(more) "{'spec':{'schedulingPolicy':{'gang':{'minCount':2}}" more "}}"

static void test_groups(void **state)
{
	const struct resource *g = RES(scheduling_podgroups_v1beta1), *w = RES(scheduling_workloads_v1beta1),
			      *c = RES(scheduling_compositepodgroups_v1alpha3);
	const struct kind_case cases[] = {
		{ g, GROUP(""), NULL, NULL, NULL },
		{ g,
		  "{'spec':{'schedulingPolicy':{},'priority':1000000001,'disruptionMode':{'single':{},'all':{}},"
		  "'workloadRef':{'workloadName':'','templateName':'A_'}}}",
		  NULL, NULL,
		  "[spec.workloadRef.workloadName: Required value, spec.workloadRef.templateName: Invalid value: 'A_': "
		  "a "
		  "lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start "
		  "and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is "
		  "'[a-z0-9]([-a-z0-9]*[a-z0-9])?'), spec.schedulingPolicy: Invalid value: '': must specify one of: "
		  "`basic`, `gang`, spec.disruptionMode: Invalid value: '{single, all}': must specify exactly one of: "
		  "`single`, `all`, spec.priority: Invalid value: 1000000001: must be less than or equal to "
		  "1000000000]" },
		{ g, "{'spec':{'schedulingPolicy':{'basic':{}}}}", GROUP(""), NULL,
		  "spec.schedulingPolicy.gang: Invalid value: 'null': field cannot be cleared once set" },
		{ w,
		  "{'spec':{'podGroupTemplates':[{'name':'a','schedulingPolicy':{'basic':{}}}],'controllerRef':{'kind':"
		  "'J','name':'j'}}}",
		  NULL, NULL, NULL },
		{ w,
		  "{'spec':{'podGroupTemplates':[{'name':'a','schedulingPolicy':{'basic':{}}},{'name':'a',"
		  "'schedulingPolicy':{'gang':{'minCount':0}}}]}}",
		  "{'spec':{'podGroupTemplates':[{'name':'b','schedulingPolicy':{'basic':{}}}],'controllerRef':{'kind':"
		  "'J',"
		  "'name':'j'}}}",
		  NULL,
		  "[spec.controllerRef: Invalid value: 'null': field cannot be cleared once set, "
		  "spec.podGroupTemplates[1]: Duplicate value: 'a', spec.podGroupTemplates[0]: Invalid value: {'name':"
		  "'a','schedulingPolicy':{'basic':{}},'schedulingConstraints':null}: items cannot be added once "
		  "created, "
		  "spec.podGroupTemplates[1]: Invalid value: {'name':'a','schedulingPolicy':{'gang':{'minCount':0}},"
		  "'schedulingConstraints':null}: items cannot be added once created, spec.podGroupTemplates: Invalid "
		  "value: {'name':'b','schedulingPolicy':{'basic':{}},'schedulingConstraints':null}: items cannot be "
		  "removed once set, spec.podGroupTemplates[1].schedulingPolicy.gang.minCount: Invalid value: 0: must "
		  "be "
		  "greater than or equal to 1]" },
		{ c, "{'spec':{'schedulingPolicy':{'gang':{'minGroupCount':1}}}}", NULL, NULL,
		  "spec.workloadRef: Required value" },
	};

	(void)state;
	run(cases, ARRAY_LEN(cases));
}

#define ASK(requester)                                                                                                \
	"{'spec':{'target':{'pod':{'name':'p','uid':'01234567-89ab-cdef-0123-456789abcdef'}},'requester':'" requester \
	"','intent':'Eviction'}}"

static void test_evictions(void **state)
{
	const struct resource *r = RES(lifecycle_evictionrequests), *e = RES(lifecycle_evictions);
	const struct kind_case cases[] = {
		{ r, ASK("example.com/me"), NULL, NULL, NULL },
		{ r, ASK("x.k8s.io/me"), NULL, NULL,
		  "spec.requester: Invalid value: 'x.k8s.io/me': domain names *.k8s.io and *.kubernetes.io are "
		  "reserved" },
		{ r, "{'spec':{'target':{},'requester':'a','intent':'Now'}}", NULL, NULL,
		  "[spec.target: Invalid value: '': must specify one of: `pod`, spec.requester: Invalid value: 'a': a "
		  "valid label key with a prefix is required (e.g. 'example.com/MyName'), spec.intent: Unsupported "
		  "value: "
		  "'Now': supported values: 'Eviction', 'Withdrawn']" },
		{ r, "{'status':{'observedGeneration':1}}", "{'status':{'observedGeneration':2}}", "status",
		  "status.observedGeneration: Invalid value: 1: must not be less than the previous value" },
		{ e,
		  "{'status':{'targetResponders':[{'name':'a.b/c','priority':2,'state':'Active'},{'name':'a.b/"
		  "d','priority':"
		  "100001,'state':'Active'}]}}",
		  "{'status':{'targetResponders':[{'name':'a.b/"
		  "c','priority':1,'state':'Inactive'}],'requesters':[{'name':"
		  "'a.b/r','intent':'Eviction'}]}}",
		  "status",
		  "[status.requesters: Invalid value: {'name':'a.b/r','intent':'Eviction'}: items cannot be removed "
		  "once "
		  "set, status.targetResponders[0].priority: Invalid value: 2: field cannot be modified once set, "
		  "status.targetResponders[1].priority: Invalid value: 100001: must be less than or equal to 100000, "
		  "status.targetResponders: Invalid value: [{'name':'a.b/c','priority':2,'state':'Active'},{'name':"
		  "'a.b/d','priority':100001,'state':'Active'}]: at most one responder may be Active]" },
	};

	(void)state;
	run(cases, ARRAY_LEN(cases));
}

static void test_servers(void **state)
{
	const struct resource *l = RES(coordination_leasecandidates_v1beta1),
			      *m = RES(storagemigration_storageversionmigrations), *s = RES(internal_storageversions),
			      *p = RES(resource_resourcepoolstatusrequests_v1alpha3);
	const struct kind_case cases[] = {
		{ l,
		  "{'spec':{'leaseName':'l','binaryVersion':'1.2.0','emulationVersion':'1.10.0','strategy':"
		  "'OldestEmulationVersion'}}",
		  NULL, NULL,
		  "spec.binaryVersion: Invalid value: '1.2.0': must be greater than or equal to `emulationVersion`" },
		{ l, "{'spec':{'leaseName':'','binaryVersion':'1','strategy':'OldestEmulationVersion'}}", NULL, NULL,
		  "[spec.leaseName: Required value, spec.binaryVersion: Invalid value: '1': must be a valid semantic "
		  "version, spec.emulationVersion: Required value: must be specified when `strategy` is "
		  "'OldestEmulationVersion']" },
		{ m, "{'spec':{'resource':{'group':'A_','resource':''}}}", NULL, NULL,
		  "[spec.resource.resource: Required value: resource is required, spec.resource.group: Invalid value: "
		  "'A_': a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or "
		  "'.', "
		  "and must start and end with an alphanumeric character (e.g. 'example.com', regex used for "
		  "validation "
		  "is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')]" },
		{ m, "{'status':{'resourceVersion':'6'}}", "{'status':{'resourceVersion':'5'}}", "status",
		  "status.resourceVersion: Invalid value: '6': field is immutable" },
		{ s,
		  "{'metadata':{'name':'pods'},'status':{'storageVersions':[{'apiServerID':'a','encodingVersion':'v1',"
		  "'decodableVersions':['v2']}],'commonEncodingVersion':'v1'}}",
		  NULL, NULL,
		  "[metadata.name: Invalid value: 'pods': name must be in the form of <group>.<resource>, "
		  "status.storageVersions[0].encodingVersion: Invalid value: 'v1': decodableVersions must include "
		  "encodingVersion v1]" },
		{ p, "{'spec':{'driver':'d','poolName':'','limit':1001}}", NULL, NULL,
		  "[spec.poolName: Required value, spec.limit: Invalid value: 1001: must be between 1 and 1000, "
		  "inclusive]" },
	};

	(void)state;
	run(cases, ARRAY_LEN(cases));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_claims),	     cmocka_unit_test(test_claim_statuses),
		cmocka_unit_test(test_slices),	     cmocka_unit_test(test_many_devices),
		cmocka_unit_test(test_certificates), cmocka_unit_test(test_real_certificates),
		cmocka_unit_test(test_groups),	     cmocka_unit_test(test_evictions),
		cmocka_unit_test(test_servers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
