/* Kinds by which the API is extended and shared out: webhooks, APIServices, flow control, classes of runtimes. */
#include "validate_table.h"

#define HOOK(more)                                                                                \
	"{'webhooks':[{'name':'a.b.c','clientConfig':{'url':'https://h/p'},'sideEffects':'None'," \
	"'admissionReviewVersions':['v1']," more "}]}"
#define CLIENT(config)                                        \
	"{'webhooks':[{'name':'a.b.c','clientConfig':" config \
	",'sideEffects':'None','admissionReviewVersions':['v1']}]}"
#define RULE(more) HOOK("'rules':[{" more "}]")

static void test_webhooks(void **state)
{
	const struct resource *v = RES(admissionregistration_validatingwebhookconfigurations),
			      *m = RES(admissionregistration_mutatingwebhookconfigurations);
	const struct kind_case cases[] = {
		{ v, "{}", NULL, NULL, NULL },
		{ v,
		  RULE("'operations':['CREATE'],'apiGroups':[''],'apiVersions':['v1'],'resources':['pods','pods/log',"
		       "'*/scale']"),
		  NULL, NULL, NULL },
		{ m, HOOK("'reinvocationPolicy':'Sometimes','failurePolicy':'X','matchPolicy':'Y','timeoutSeconds':31"),
		  NULL, NULL,
		  "[webhooks[0].failurePolicy: Unsupported value: 'X': supported values: 'Fail', 'Ignore', "
		  "webhooks[0].matchPolicy: Unsupported value: 'Y': supported values: 'Equivalent', 'Exact', "
		  "webhooks[0].timeoutSeconds: Invalid value: 31: the timeout value must be between 1 and 30 seconds, "
		  "webhooks[0].reinvocationPolicy: Unsupported value: 'Sometimes': supported values: 'IfNeeded', "
		  "'Never']" },
		{ v, "{'webhooks':[{'name':'a.b','clientConfig':{}}]}", NULL, NULL,
		  "[webhooks[0].name: Invalid value: 'a.b': should be a domain with at least three segments separated "
		  "by dots, webhooks[0].sideEffects: Required value: must specify one of None, NoneOnDryRun, "
		  "webhooks[0].clientConfig: Required value: exactly one of url or service is required, "
		  "webhooks[0].admissionReviewVersions: Required value: must specify one of v1, v1beta1]" },
		/* what was there may stay */
		{ v,
		  "{'webhooks':[{'name':'a.b.c','clientConfig':{'url':'https://h'},'sideEffects':'Some',"
		  "'admissionReviewVersions':['v2']}]}",
		  NULL, NULL,
		  "[webhooks[0].sideEffects: Unsupported value: 'Some': supported values: 'None', 'NoneOnDryRun', "
		  "webhooks[0].admissionReviewVersions: Invalid value: ['v2']: must include at least one of v1, "
		  "v1beta1]" },
		{ v,
		  "{'webhooks':[{'name':'a.b.c','clientConfig':{'url':'https://h'},'sideEffects':'Some',"
		  "'admissionReviewVersions':['v2']}]}",
		  "{'webhooks':[{'name':'a.b.c','clientConfig':{'url':'https://h'},'sideEffects':'Unknown',"
		  "'admissionReviewVersions':['v2']}]}",
		  NULL, NULL },
		/* where */
		{ v, CLIENT("{'url':'http://u:p@h?q#f'}"), NULL, NULL,
		  "[webhooks[0].clientConfig.url: Invalid value: 'http': 'https' is the only allowed URL scheme; "
		  "desired format: https://host[/path], webhooks[0].clientConfig.url: Invalid value: 'u:p': user "
		  "information is not permitted in the URL, webhooks[0].clientConfig.url: Invalid value: 'f': "
		  "fragments "
		  "are not permitted in the URL, webhooks[0].clientConfig.url: Invalid value: 'q': query parameters "
		  "are "
		  "not permitted in the URL]" },
		{ v, CLIENT("{'url':'https:///p'}"), NULL, NULL,
		  "webhooks[0].clientConfig.url: Invalid value: '': host must be specified; desired format: "
		  "https://host[/path]" },
		{ v, CLIENT("{'service':{'name':'','namespace':'','port':0,'path':'/a//B'}}"), NULL, NULL,
		  "[webhooks[0].clientConfig.service.name: Required value, webhooks[0].clientConfig.service.namespace: "
		  "Required value, webhooks[0].clientConfig.service.port: Invalid value: 0: port is not valid: must be "
		  "between 1 and 65535, inclusive, webhooks[0].clientConfig.service.path: Invalid value: '/a//B': "
		  "segment[1] may not be empty, webhooks[0].clientConfig.service.path: Invalid value: '/a//B': "
		  "segment[2]: a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' "
		  "or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for "
		  "validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')]" },
		/* of what */
		{ v, RULE("'operations':['*','CREATE'],'apiGroups':['*','a'],'apiVersions':[''],'resources':[]"), NULL,
		  NULL,
		  "[webhooks[0].rules[0].operations: Invalid value: ['*','CREATE']: if '*' is present, must not "
		  "specify other operations, webhooks[0].rules[0].apiGroups: Invalid value: ['*','a']: if '*' is "
		  "present, must not specify other API groups, webhooks[0].rules[0].apiVersions[0]: Required value, "
		  "webhooks[0].rules[0].resources: Required value]" },
		{ v,
		  RULE("'operations':['READ'],'apiGroups':['a'],'apiVersions':['v1'],'resources':['a/*','a/b','*',"
		       "'pods'],'scope':'All'"),
		  NULL, NULL,
		  "[webhooks[0].rules[0].operations[0]: Unsupported value: 'READ': supported values: '*', 'CONNECT', "
		  "'CREATE', 'DELETE', 'UPDATE', webhooks[0].rules[0].resources[1]: Invalid value: 'a/b': if 'a/*' is "
		  "present, must not specify a/b, webhooks[0].rules[0].resources: Invalid value: "
		  "['a/*','a/b','*','pods'"
		  "]: if '*' is present, must not specify other resources without subresources, "
		  "webhooks[0].rules[0].scope: Unsupported value: 'All': supported values: '*', 'Cluster', "
		  "'Namespaced']" },
		{ v,
		  HOOK("'matchConditions':[{'name':'','expression':' '},{'name':'a','expression':'true'},{'name':'a',"
		       "'expression':'true'}]"),
		  NULL, NULL,
		  "[webhooks[0].matchConditions[0].expression: Required value, webhooks[0].matchConditions[0].name: "
		  "Required value, webhooks[0].matchConditions[2].name: Duplicate value: 'a']" },
	};

	(void)state;
	run(cases, ARRAY_LEN(cases));
}

#define API(name, spec) "{'metadata':{'name':'" name "'},'spec':{" spec "}}"
#define REMOTE ",'groupPriorityMinimum':100,'versionPriority':10,'service':{'namespace':'a','name':'b'}"

static void test_apiservices(void **state)
{
	const struct resource *r = RES(apiregistration_apiservices);
	const struct kind_case cases[] = {
		{ r, API("v1.g.io", "'group':'g.io','version':'v1'" REMOTE), NULL, NULL, NULL },
		{ r, API("x", "'group':'g.io','version':'v1'" REMOTE), NULL, NULL,
		  "metadata.name: Invalid value: 'x': must be `spec.version+'.'+spec.group`: 'v1.g.io'" },
		{ r, API("v2.", "'group':'','version':'v2'" REMOTE), NULL, NULL,
		  "spec.group: Required value: only v1 may have an empty group and it better be legacy kube" },
		{ r, API("v1.g.io", "'group':'g.io','version':'v1','caBundle':'eA==','insecureSkipTLSVerify':true"),
		  NULL, NULL,
		  "[spec.groupPriorityMinimum: Invalid value: 0: must be positive and less than 20000, "
		  "spec.versionPriority: Invalid value: 0: must be positive and less than 1000, spec.caBundle: Invalid "
		  "value: 'eA==': local APIServices may not have a caBundle, spec.insecureSkipTLSVerify: Invalid "
		  "value: "
		  "true: local APIServices may not have insecureSkipTLSVerify]" },
		{ r, "{'status':{'conditions':[{'type':'Available','status':'Maybe'}]}}", "{}", "status",
		  "status.conditions[0].status: Unsupported value: 'Maybe': supported values: 'True', 'False', "
		  "'Unknown'" },
	};

	(void)state;
	run(cases, ARRAY_LEN(cases));
}

static void test_runtime_classes(void **state)
{
	const struct resource *r = RES(node_runtimeclasses);
	const struct kind_case cases[] = {
		{ r, "{'handler':'h','overhead':{'podFixed':{'cpu':'1'}},'scheduling':{'nodeSelector':{'a':'b'}}}",
		  NULL, NULL, NULL },
		{ r, "{'handler':''}", NULL, NULL, "handler: Required value" },
		{ r, "{'handler':'b'}", "{'handler':'a'}", NULL, "handler: Invalid value: 'b': field is immutable" },
		{ r, "{'handler':'h','overhead':{'podFixed':{'cpu':'-1'}}}", NULL, NULL,
		  "overhead.limits[cpu]: Invalid value: '-1': must be greater than or equal to 0" },
		{ r, "{'handler':'h','scheduling':{'tolerations':[{'key':'a','operator':'X'}]}}", NULL, NULL,
		  "scheduling.tolerations.tolerations[0].operator: Unsupported value: 'X': supported values: 'Equal', "
		  "'Exists'" },
		{ r,
		  "{'handler':'h','scheduling':{'tolerations':[{'key':'a','operator':'Exists'},{'key':'a','operator':"
		  "'Exists'}]}}",
		  NULL, NULL, "scheduling.tolerations[1]: Duplicate value: {'key':'a','operator':'Exists'}" },
	};

	(void)state;
	run(cases, ARRAY_LEN(cases));
}

#define SCHEMA(name, precedence, rules)                                                                            \
	"{'metadata':{'name':'" name                                                                               \
	"'},'spec':{'priorityLevelConfiguration':{'name':'l'},'matchingPrecedence':" precedence ",'rules':[" rules \
	"]}}"
#define WHO "'subjects':[{'kind':'User','user':{'name':'u'}}]"
#define EVERY "'verbs':['*'],'apiGroups':['*'],'resources':['*']"

static void test_flow_schemas(void **state)
{
	const struct resource *r = RES(flowcontrol_flowschemas);
	const struct kind_case cases[] = {
		{ r, SCHEMA("a", "9", "{" WHO ",'resourceRules':[{" EVERY ",'clusterScope':true}]}"), NULL, NULL,
		  NULL },
		{ r, "{'metadata':{'name':'a'},'spec':{'matchingPrecedence':20000,'distinguisherMethod':{'type':'X'}}}",
		  NULL, NULL,
		  "[spec.matchingPrecedence: Invalid value: 20000: must not be greater than 10000, "
		  "spec.distinguisherMethod.type: Unsupported value: 'X': supported values: 'ByNamespace', 'ByUser', "
		  "spec.priorityLevelConfiguration.name: Required value: must reference a priority level]" },
		{ r, SCHEMA("a", "1", ""), NULL, NULL,
		  "spec.matchingPrecedence: Invalid value: 1: only the schema named 'exempt' may have "
		  "matchingPrecedence 1" },
		{ r, SCHEMA("a", "2", "{}"), NULL, NULL,
		  "[spec.rules[0].subjects: Required value: subjects must contain at least one value, spec.rules[0]: "
		  "Required value: at least one of resourceRules and nonResourceRules has to be non-empty]" },
		{ r,
		  SCHEMA("a", "2",
			 "{'subjects':[{'kind':'User','group':{'name':'g'}},{'kind':'X'},{'kind':'ServiceAccount',"
			 "'serviceAccount':{'name':'*'}}],'nonResourceRules':[{'verbs':['get'],'nonResourceURLs':['a',"
			 "'/a b','/a*']}]}"),
		  NULL, NULL,
		  "[spec.rules[0].subjects[0].user: Required value: user is required when subject kind is 'User', "
		  "spec.rules[0].subjects[0].group: Forbidden: group is forbidden when subject kind is not 'Group', "
		  "spec.rules[0].subjects[1].kind: Unsupported value: 'X': supported values: 'Group', "
		  "'ServiceAccount', "
		  "'User', spec.rules[0].subjects[2].serviceAccount.namespace: Required value: must specify namespace "
		  "for service account, spec.rules[0].nonResourceRules[0].nonResourceURLs[0]: Invalid value: 'a': must "
		  "start with slash, spec.rules[0].nonResourceRules[0].nonResourceURLs[1]: Invalid value: '/a b': must "
		  "not contain white-space, spec.rules[0].nonResourceRules[0].nonResourceURLs[2]: Invalid value: "
		  "'/a*': "
		  "wildcard can only do suffix matching]" },
		{ r,
		  SCHEMA(
		      "a", "2",
		      "{" WHO ",'resourceRules':[{'verbs':['*','get'],'apiGroups':[],'resources':['*','a'],"
		      "'namespaces':[]},{'verbs':['fetch'],'apiGroups':['*'],'resources':['*'],'namespaces':['A']}]}"),
		  NULL, NULL,
		  "[spec.rules[0].resourceRules[0].verbs: Invalid value: ['*','get']: if '*' is present, must not "
		  "specify other verbs, spec.rules[0].resourceRules[0].apiGroups: Required value: resource rules must "
		  "supply at least one api group, spec.rules[0].resourceRules[0].resources: Invalid value: ['*','a']: "
		  "if '*' is present, must not specify other resources, spec.rules[0].resourceRules[0].namespaces: "
		  "Required value: resource rules that are not cluster scoped must supply at least one namespace, "
		  "spec.rules[0].resourceRules[1].verbs: Unsupported value: ['fetch']: supported values: 'create', "
		  "'delete', 'deletecollection', 'get', 'list', 'patch', 'proxy', 'update', 'watch', "
		  "spec.rules[0].resourceRules[1].namespaces[0]: Invalid value: 'A': a lowercase RFC 1123 label must "
		  "consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric "
		  "character (e.g. 'my-name',  or '123-abc', regex used for validation is "
		  "'[a-z0-9]([-a-z0-9]*[a-z0-9])?"
		  "')]" },
		/* nobody locks everybody out */
		{ r,
		  "{'metadata':{'name':'exempt'},'spec':{'priorityLevelConfiguration':{'name':'exempt'},"
		  "'matchingPrecedence':1,'rules':[{'subjects':[{'kind':'Group','group':{'name':'system:masters'}}],"
		  "'resourceRules':[{" EVERY ",'clusterScope':true,'namespaces':['*']}],'nonResourceRules':[{'verbs':"
		  "['*'],'nonResourceURLs':['*']}]}]}}",
		  NULL, NULL, NULL },
		{ r, SCHEMA("exempt", "1", ""), NULL, NULL,
		  "spec: Invalid value: {'priorityLevelConfiguration':{'name':'l'},'matchingPrecedence':1}: spec of "
		  "'exempt' must equal the fixed value" },
	};

	(void)state;
	run(cases, ARRAY_LEN(cases));
}

#define LEVEL(spec) "{'metadata':{'name':'a'},'spec':{" spec "}}"
#define QUEUES(q) LEVEL("'type':'Limited','limited':{'limitResponse':{'type':'Queue','queuing':{" q "}}}")

static void test_priority_levels(void **state)
{
	const struct resource *r = RES(flowcontrol_prioritylevelconfigurations);
	const struct kind_case cases[] = {
		{ r, LEVEL("'type':'Limited','limited':{'limitResponse':{'type':'Reject'}}"), NULL, NULL, NULL },
		{ r, QUEUES("'queues':64,'handSize':8,'queueLengthLimit':50"), NULL, NULL, NULL },
		{ r, LEVEL("'type':'Exempt'"), NULL, NULL,
		  "spec.type: Invalid value: 'Exempt': type must be 'Exempt' if and only if `name` is 'exempt'" },
		{ r, LEVEL("'type':'Limited','exempt':{}"), NULL, NULL,
		  "[spec.exempt: Forbidden: must be nil if the type is Limited, spec.limited: Required value: must not "
		  "be empty when type is Limited]" },
		{ r,
		  LEVEL("'type':'Limited','limited':{'nominalConcurrencyShares':-1,'lendablePercent':101,"
			"'borrowingLimitPercent':-1,'limitResponse':{'type':'Queue'}}"),
		  NULL, NULL,
		  "[spec.limited.nominalConcurrencyShares: Invalid value: -1: must be a non-negative integer, "
		  "spec.limited.lendablePercent: Invalid value: 101: must be between 0 and 100, inclusive, "
		  "spec.limited.borrowingLimitPercent: Invalid value: -1: if specified, must be a non-negative "
		  "integer, "
		  "spec.limited.limitResponse.queuing: Required value: must not be empty if limited.limitResponse.type "
		  "is Limited]" },
		/* 64 queues have 6 bits, so ten of them are enough for a hash and eleven are too many */
		{ r, QUEUES("'queues':64,'handSize':10,'queueLengthLimit':1"), NULL, NULL, NULL },
		{ r, QUEUES("'queues':64,'handSize':11,'queueLengthLimit':-1"), NULL, NULL,
		  "[spec.limited.limitResponse.queuing.queueLengthLimit: Invalid value: -1: must be positive, "
		  "spec.limited.limitResponse.queuing.handSize: Invalid value: 11: required entropy bits of deckSize "
		  "64 "
		  "and handSize 11 should not be greater than 60]" },
		{ r, QUEUES("'queues':10000001,'handSize':2000000000,'queueLengthLimit':1"), NULL, NULL,
		  "[spec.limited.limitResponse.queuing.queues: Invalid value: 10000001: must not be greater than "
		  "10000000, spec.limited.limitResponse.queuing.handSize: Invalid value: 2000000000: should not be "
		  "greater than queues (10000001)]" },
		{ r, "{'metadata':{'name':'exempt'},'spec':{'type':'Exempt','exempt':{'lendablePercent':5}}}", NULL,
		  NULL, NULL },
		{ r,
		  "{'metadata':{'name':'catch-all'},'spec':{'type':'Limited','limited':{'limitResponse':{'type':'"
		  "Reject'}}}}",
		  NULL, NULL,
		  "spec: Invalid value: {'type':'Limited','limited':{'nominalConcurrencyShares':30,'limitResponse':"
		  "{'type':'Reject'},'lendablePercent':0}}: spec of 'catch-all' must equal the fixed value" },
	};

	(void)state;
	run(cases, ARRAY_LEN(cases));
}

#define MATCH                                                                                                   \
	"'matchConstraints':{'resourceRules':[{'operations':['CREATE'],'apiGroups':[''],'apiVersions':['v1'],'" \
	"resources':['pods']}]}"
#define POLICY(more) "{'metadata':{'name':'p'},'spec':{" MATCH "," more "}}"

static void test_policies(void **state)
{
	const struct resource *p = RES(admissionregistration_validatingadmissionpolicies),
			      *b = RES(admissionregistration_validatingadmissionpolicybindings),
			      *m = RES(admissionregistration_mutatingadmissionpolicies),
			      *mb = RES(admissionregistration_mutatingadmissionpolicybindings);
	const struct kind_case cases[] = {
		{ p, POLICY("'validations':[{'expression':'true'}]"), NULL, NULL, NULL },
		{ p,
		  "{'metadata':{'name':'p'},'spec':{'failurePolicy':'Bogus','matchConstraints':{'resourceRules':[]}}}",
		  NULL, NULL,
		  "[spec.failurePolicy: Unsupported value: 'Bogus': supported values: 'Fail', 'Ignore', "
		  "spec.matchConstraints.resourceRules: Required value, spec.validations: Required value: validations "
		  "or "
		  "auditAnnotations must contain at least one item, spec.auditAnnotations: Required value: validations "
		  "or "
		  "auditAnnotations must contain at least one item]" },
		{ p,
		  POLICY(
		      "'paramKind':{'apiVersion':'bad/bad/bad','kind':''},'variables':[{'name':'1x','expression':'1'}],"
		      "'validations':[{'expression':'','message':'a\\nb','reason':'X','messageExpression':' '}]"),
		  NULL, NULL,
		  "[spec.paramKind.apiVersion: Invalid value: 'bad/bad/bad': unexpected GroupVersion string: "
		  "bad/bad/bad, "
		  "spec.paramKind.kind: Required value, spec.variables[0].name: Invalid value: '1x': name is not a "
		  "valid "
		  "CEL identifier, spec.validations[0].expression: Required value: expression is not specified, "
		  "spec.validations[0].messageExpression: Invalid value: ' ': must be non-empty if specified, "
		  "spec.validations[0].message: Invalid value: 'a\\nb': message must not contain line breaks, "
		  "spec.validations[0].reason: Unsupported value: 'X': supported values: 'Forbidden', 'Invalid', "
		  "'RequestEntityTooLarge']" },
		{ b,
		  "{'spec':{'policyName':'p','validationActions':['Deny','Warn','Deny','X'],'paramRef':{'name':'a','"
		  "selector':"
		  "{},'parameterNotFoundAction':'No'}}}",
		  NULL, NULL,
		  "[spec.paramRef.name: Forbidden: name and selector are mutually exclusive, spec.paramRef.selector: "
		  "Forbidden: name and selector are mutually exclusive, spec.paramRef.parameterNotFoundAction: "
		  "Unsupported "
		  "value: 'No': supported values: 'Deny', 'Allow', spec.validationActions[2]: Duplicate value: 'Deny', "
		  "spec.validationActions[3]: Unsupported value: 'X': supported values: 'Audit', 'Deny', 'Warn', "
		  "spec.validationActions: Invalid value: ['Deny','Warn','Deny','X']: must not contain both Deny and "
		  "Warn "
		  "(repeating the same validation failure information in the API response and headers serves no "
		  "purpose)]" },
		{ b, "{'spec':{'policyName':''}}", NULL, NULL,
		  "[spec.policyName: Required value, spec.validationActions: Required value: at least one validation "
		  "action "
		  "is required]" },
		{ m,
		  "{'spec':{'matchConstraints':{'resourceRules':[{'operations':['DELETE'],'apiGroups':[''],'"
		  "apiVersions':['v1'"
		  "],'resources':['pods']}]},'mutations':[{'patchType':'JSONPatch','applyConfiguration':{'expression':'"
		  "x'}}]}}",
		  NULL, NULL,
		  "[spec.matchConstraints.resourceRules[0].operations[0]: Unsupported value: 'DELETE': supported "
		  "values: '*', "
		  "'CONNECT', 'CREATE', 'UPDATE', spec.mutations[0].applyConfiguration: Forbidden: may only be "
		  "specified when "
		  "patchType is ApplyConfiguration, spec.mutations[0].jsonPatch: Required value: must be specified "
		  "when "
		  "patchType is JSONPatch, spec.reinvocationPolicy: Required value]" },
		{ mb, "{'spec':{'policyName':'p','paramRef':{}}}", NULL, NULL,
		  "[spec.paramRef: Required value: one of name or selector must be specified, "
		  "spec.paramRef.parameterNotFoundAction: Required value]" },
	};

	(void)state;
	run(cases, ARRAY_LEN(cases));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_webhooks),	cmocka_unit_test(test_apiservices),
		cmocka_unit_test(test_runtime_classes), cmocka_unit_test(test_flow_schemas),
		cmocka_unit_test(test_priority_levels), cmocka_unit_test(test_policies),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
