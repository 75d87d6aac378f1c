#include "validate_table.h"

#define POD(spec) "{'metadata':{'name':'p'},'spec':{" spec "}}"
#define C "'containers':[{'name':'c','image':'i'}]"

static void test_pods(void **state)
{
	const struct resource *r = RES(core_pods);
	const struct kind_case cases[] = {
		{ r, POD(C), NULL, NULL, NULL },
		{ r, POD("'containers':[{'name':'c','image':' i'}]"), NULL, NULL,
		  "spec.containers[0].image: Invalid value: ' i': must not have leading or trailing whitespace" },
		{ r, POD("'containers':[{'name':'c','image':'i'}],'initContainers':[{'name':'c','image':'i'}]"), NULL,
		  NULL, "spec.initContainers[0].name: Duplicate value: 'c'" },
		{ r, POD("'containers':[{'name':'c','image':'i','volumeMounts':[{'name':'v','mountPath':'/a'}]}]"),
		  NULL, NULL, "spec.containers[0].volumeMounts[0].name: Not found: 'v'" },
		{ r,
		  POD("'containers':[{'name':'c','image':'i','volumeMounts':[{'name':'v','mountPath':'/"
		      "a','subPath':'../b'}]}],"
		      "'volumes':[{'name':'v','emptyDir':{}}]"),
		  NULL, NULL, "spec.containers[0].volumeMounts.subPath: Invalid value: '../b': must not contain '..'" },
		{ r, POD(C ",'volumes':[{'name':'v'}]"), NULL, NULL,
		  "spec.volumes[0]: Required value: must specify a volume type" },
		{ r, POD(C ",'volumes':[{'name':'v','emptyDir':{},'hostPath':{'path':'/x'}}]"), NULL, NULL,
		  "spec.volumes[0].hostPath: Forbidden: may not specify more than 1 volume type" },
		{ r, POD(C ",'volumes':[{'name':'v','emptyDir':{}},{'name':'v','configMap':{'name':'a'}}]"), NULL, NULL,
		  "spec.volumes[1].name: Duplicate value: 'v'" },
		{ r,
		  POD("'containers':[{'name':'c','image':'i','resources':{'requests':{'cpu':'2'},'limits':{'cpu':'1'}}}"
		      "]"),
		  NULL, NULL,
		  "spec.containers[0].resources.requests: Invalid value: '2': must be less than or equal to cpu limit "
		  "of 1" },
		{ r, POD("'containers':[{'name':'c','image':'i','resources':{'limits':{'frobs':'1'}}}]"), NULL, NULL,
		  "[spec.containers[0].resources.limits[frobs]: Invalid value: 'frobs': must be a standard resource "
		  "type or fully qualified, spec.containers[0].resources.limits[frobs]: Invalid value: 'frobs': must "
		  "be a standard resource for containers]" },
		{ r, POD("'containers':[{'name':'c','image':'i','resources':{'requests':{'example.com/gpu':'1'}}}]"),
		  NULL, NULL,
		  "spec.containers[0].resources.limits: Required value: Limit must be set for non overcommitable "
		  "resources" },
		{ r,
		  POD("'containers':[{'name':'c','image':'i','resources':{'requests':{'cpu':'1500m'}}}],"
		      "'resources':{'requests':{'cpu':'1'}}"),
		  NULL, NULL,
		  "spec.resources.requests[cpu]: Invalid value: '1': must be greater than or equal to aggregate "
		  "container "
		  "requests of 1500m" },
		{ r,
		  POD("'containers':[{'name':'c','image':'i','resources':{'limits':{'memory':'2Gi'}}}],"
		      "'resources':{'requests':{'memory':'2Gi'},'limits':{'memory':'1Gi'}}"),
		  NULL, NULL,
		  "[spec.resources.requests: Invalid value: '2Gi': must be less than or equal to memory limit of 1Gi, "
		  "spec.resources.containers[0][memory].limits: Invalid value: '2Gi': must be less than or equal to "
		  "pod limits of 1Gi]" },
		{ r, POD(C ",'resources':{'limits':{'ephemeral-storage':'1Gi'}}"), NULL, NULL,
		  "spec.resources.limits[ephemeral-storage]: Unsupported value: 'ephemeral-storage': supported values: "
		  "'cpu', "
		  "'hugepages-', 'memory'" },
		{ r,
		  POD("'containers':[{'name':'c','image':'i','env':[{'name':'A','valueFrom':{'fileKeyRef':{'volumeName'"
		      ":"
		      "'v','path':'a.env','key':'K'}}}]}],'volumes':[{'name':'v','emptyDir':{}}]"),
		  NULL, NULL, NULL },
		{ r,
		  POD("'containers':[{'name':'c','image':'i','env':[{'name':'A','valueFrom':{'fileKeyRef':{'volumeName'"
		      ":"
		      "'v','path':'../a','key':'K='}}}]}],'volumes':[{'name':'v','configMap':{'name':'x'}}]"),
		  NULL, NULL,
		  "[spec.containers[0].env[0].valueFrom.fileKeyRef.volumeName: Invalid value: 'v': referenced volume "
		  "must be of type emptyDir, spec.containers[0].env[0].valueFrom.fileKeyRef.path: Invalid value: "
		  "'../a': must not contain '..', spec.containers[0].env[0].valueFrom.fileKeyRef.key: Invalid value: "
		  "'K=': a valid environment variable name must consist only of printable ASCII characters other than "
		  "'=']" },
		{ r,
		  POD("'containers':[{'name':'c','image':'i','env':[{'name':'A','valueFrom':{'fileKeyRef':{'volumeName'"
		      ":"
		      "'w','path':'a','key':'K'}}}]}]"),
		  NULL, NULL, "spec.containers[0].env[0].valueFrom.fileKeyRef.volumeName: Not found: 'w'" },
		{ r,
		  POD(C ",'initContainers':[{'name':'i','image':'x','restartPolicy':'Never','restartPolicyRules':["
			"{'action':'Restart','exitCodes':{'operator':'In','values':[3]}}]},"
			"{'name':'j','image':'x','restartPolicy':'OnFailure'}]"),
		  NULL, NULL, NULL },
		{ r, POD(C ",'initContainers':[{'name':'i','image':'x','restartPolicy':'Sometimes'}]"), NULL, NULL,
		  "spec.initContainers[0].restartPolicy: Unsupported value: 'Sometimes': supported values: 'Always', "
		  "'Never', "
		  "'OnFailure'" },
		{ r,
		  POD(C
		      ",'initContainers':[{'name':'i','image':'x','restartPolicy':'Never','livenessProbe':{'tcpSocket':"
		      "{'port':80}}}]"),
		  NULL, NULL,
		  "spec.initContainers[0].livenessProbe: Forbidden: may not be set for init containers without "
		  "restartPolicy=Always" },
		{ r,
		  POD("'containers':[{'name':'c','image':'i','restartPolicyRules':[{'action':'RestartPod'},"
		      "{'action':'Restart','exitCodes':{'operator':'Is','values':[1]}}]}]"),
		  NULL, NULL,
		  "[spec.containers[0].restartPolicy: Required value: must specify restartPolicy when restart rules "
		  "are used, spec.containers[0].restartPolicyRules[0].action: Unsupported value: "
		  "'RestartPod': supported values: 'Restart', 'RestartAllContainers', "
		  "spec.containers[0].restartPolicyRules[0].exitCodes: Required value: must be specified, "
		  "spec.containers[0].restartPolicyRules[1].exitCodes.operator: Unsupported value: 'Is': supported "
		  "values: 'In', 'NotIn']" },
		{ r, POD(C ",'hostnameOverride':'a.b','hostNetwork':true,'setHostnameAsFQDN':true"), NULL, NULL,
		  "[spec.hostnameOverride: Forbidden: may not be specified when hostNetwork is true, "
		  "spec.hostnameOverride: "
		  "Forbidden: may not be specified when setHostnameAsFQDN is true]" },
		{ r, POD("'containers':[{'name':'c','image':'i','livenessProbe':{}}]"), NULL, NULL,
		  "spec.containers[0].livenessProbe: Required value: must specify a handler type" },
		{ r,
		  POD("'containers':[{'name':'c','image':'i','livenessProbe':{'tcpSocket':{'port':80},'"
		      "successThreshold':2}}]"),
		  NULL, NULL, "spec.containers[0].livenessProbe.successThreshold: Invalid value: 2: must be 1" },
		{ r, POD("'containers':[{'name':'c','image':'i','readinessProbe':{'httpGet':{'port':'a--b'}}}]"), NULL,
		  NULL,
		  "spec.containers[0].readinessProbe.httpGet.port: Invalid value: 'a--b': must not contain consecutive "
		  "hyphens" },
		{ r,
		  POD("'containers':[{'name':'c','image':'i','env':[{'name':'A','value':'x','valueFrom':{'fieldRef':"
		      "{'fieldPath':'status.podIP'}}}]}]"),
		  NULL, NULL,
		  "spec.containers[0].env[0].valueFrom: Invalid value: '': may not be specified when `value` is not "
		  "empty" },
		{ r,
		  POD("'containers':[{'name':'c','image':'i','env':[{'name':'A','valueFrom':{'fieldRef':{'fieldPath':'"
		      "spec.x'}}}]}]"),
		  NULL, NULL,
		  "spec.containers[0].env[0].valueFrom.fieldRef.fieldPath: Invalid value: 'spec.x': error converting "
		  "fieldPath: "
		  "field label not supported: spec.x" },
		{ r,
		  POD("'hostNetwork':true,'containers':[{'name':'c','image':'i','ports':[{'containerPort':80,'hostPort'"
		      ":81}]}]"),
		  NULL, NULL,
		  "spec.containers[0].ports[0].hostPort: Invalid value: 81: must match `containerPort` when "
		  "`hostNetwork` is true" },
		{ r,
		  POD("'containers':[{'name':'c','image':'i','ports':[{'name':'a','containerPort':80},{'name':'a','"
		      "containerPort':81}]}]"),
		  NULL, NULL, "spec.containers[0].ports[1].name: Duplicate value: 'a'" },
		{ r,
		  POD("'containers':[{'name':'c','image':'i'}],'initContainers':[{'name':'d','image':'i','"
		      "livenessProbe':{'tcpSocket':"
		      "{'port':1}}}]"),
		  NULL, NULL,
		  "spec.initContainers[0].livenessProbe: Forbidden: may not be set for init containers without "
		  "restartPolicy=Always" },
		{ r, POD(C ",'tolerations':[{'operator':'Equal','value':'v'}]"), NULL, NULL,
		  "spec.tolerations[0].operator: Invalid value: 'Equal': operator must be Exists when `key` is empty, "
		  "which means "
		  "\"match all values and all keys\"" },
		{ r, POD(C ",'dnsPolicy':'None'"), NULL, NULL,
		  "spec.dnsConfig: Required value: must provide `dnsConfig` when `dnsPolicy` is None" },
		{ r, POD(C ",'ephemeralContainers':[{'name':'e','image':'i'}]"), NULL, NULL,
		  "spec.ephemeralContainers: Forbidden: cannot be set on create" },
		/* updates */
		{ r,
		  POD("'containers':[{'name':'c','image':'j'}],'activeDeadlineSeconds':5,'tolerations':[{'key':'a','"
		      "operator':"
		      "'Exists'}]"),
		  POD(C), NULL, NULL },
		{ r, POD(C ",'nodeName':'n'"), POD(C), NULL,
		  "spec: Forbidden: pod updates may not change fields other than `spec.containers[*].image`,"
		  "`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to "
		  "existing "
		  "tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously "
		  "negative)\nchanged: spec.nodeName" },
		{ r, POD("'containers':[{'name':'c','image':'i'},{'name':'d','image':'i'}]"), POD(C), NULL,
		  "spec.containers: Forbidden: pod updates may not add or remove containers" },
		{ r, POD(C), POD(C ",'tolerations':[{'key':'a','operator':'Exists'}]"), NULL,
		  "spec.tolerations: Forbidden: existing toleration can not be modified except its tolerationSeconds" },
		{ r, POD(C ",'activeDeadlineSeconds':6"), POD(C ",'activeDeadlineSeconds':5"), NULL,
		  "spec.activeDeadlineSeconds: Invalid value: 6: must be less than or equal to previous value" },
		{ r, POD(C ",'schedulingGates':[{'name':'g'}],'nodeSelector':{'a':'b','c':'d'}"),
		  POD(C ",'schedulingGates':[{'name':'g'}],'nodeSelector':{'a':'b'}"), NULL, NULL },
		/* Gated: nodeAffinity may be narrowed, the rest of affinity stays. */
		{ r,
		  POD(C ",'schedulingGates':[{'name':'g'}],'affinity':{'nodeAffinity':{'"
			"requiredDuringSchedulingIgnoredDuring"
			"Execution':{'nodeSelectorTerms':[{'matchExpressions':[{'key':'a','operator':'Exists'}]}]}}}"),
		  POD(C ",'schedulingGates':[{'name':'g'}]"), NULL, NULL },
		{ r,
		  POD(C ",'schedulingGates':[{'name':'g'}],'affinity':{'podAffinity':{'"
			"requiredDuringSchedulingIgnoredDuring"
			"Execution':[{'topologyKey':'a'}]}}"),
		  POD(C ",'schedulingGates':[{'name':'g'}]"), NULL,
		  "spec: Forbidden: pod updates may not change fields other than `spec.containers[*].image`,"
		  "`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to "
		  "existing "
		  "tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously "
		  "negative)\nchanged: spec.affinity" },
		{ r, POD(C ",'ephemeralContainers':[{'name':'e','image':'i'}]"), POD(C), "ephemeralcontainers", NULL },
		{ r,
		  POD(C
		      ",'ephemeralContainers':[{'name':'e','image':'i','ports':[{'containerPort':80}],'lifecycle':{"
		      "'preStop':{'sleep':{'seconds':1}}},'livenessProbe':{'tcpSocket':{'port':80}},'readinessProbe':{"
		      "'tcpSocket':{'port':80}},'startupProbe':{'tcpSocket':{'port':80}},'resizePolicy':[{'"
		      "resourceName':"
		      "'cpu','restartPolicy':'NotRequired'}],'restartPolicy':'Never','restartPolicyRules':[{'action':"
		      "'Restart','exitCodes':{'operator':'In','values':[1]}}],'resources':{'requests':{'cpu':'1'}}}]"),
		  POD(C), "ephemeralcontainers",
		  "[spec.ephemeralContainers[0].ports: Forbidden: cannot be set for an Ephemeral Container, "
		  "spec.ephemeralContainers[0].lifecycle: Forbidden: cannot be set for an Ephemeral Container, "
		  "spec.ephemeralContainers[0].livenessProbe: Forbidden: cannot be set for an Ephemeral Container, "
		  "spec.ephemeralContainers[0].readinessProbe: Forbidden: cannot be set for an Ephemeral Container, "
		  "spec.ephemeralContainers[0].startupProbe: Forbidden: cannot be set for an Ephemeral Container, "
		  "spec.ephemeralContainers[0].resizePolicy: Forbidden: cannot be set for an Ephemeral Container, "
		  "spec.ephemeralContainers[0].restartPolicy: Forbidden: cannot be set for an Ephemeral Container, "
		  "spec.ephemeralContainers[0].restartPolicyRules: Forbidden: cannot be set for an Ephemeral "
		  "Container, spec.ephemeralContainers[0].resources: Forbidden: cannot be set for an Ephemeral "
		  "Container]" },
		{ r, POD(C), POD(C ",'ephemeralContainers':[{'name':'e','image':'i'}]"), "ephemeralcontainers",
		  "spec.ephemeralContainers: Forbidden: existing ephemeral containers \"e\" may not be removed\n" },
		{ r,
		  "{'metadata':{'name':'p'},'spec':{'restartPolicy':'Never'},'status':{'containerStatuses':[{'name':'c'"
		  ",'state':"
		  "{'running':{}}}]}}",
		  "{'metadata':{'name':'p'},'spec':{'restartPolicy':'Never'},'status':{'containerStatuses':[{'name':'c'"
		  ",'state':"
		  "{'terminated':{'exitCode':1}}}]}}",
		  "status",
		  "status.containerStatuses[0].state: Forbidden: may not be transitioned to non-terminated state" },
	};

	(void)state;
	run(cases, ARRAY_LEN(cases));
}

#define DEP(sel, labels, more)                                                                              \
	"{'spec':{'replicas':1,'selector':{'matchLabels':" sel "},'template':{'metadata':{'labels':" labels \
	"},'spec':{" C "}}," more "}}"
#define ROLL "'strategy':{'type':'RollingUpdate','rollingUpdate':{'maxUnavailable':'25%','maxSurge':'25%'}}"
#define JOB(more)                                                                                                     \
	"{'spec':{'manualSelector':true,'selector':{'matchLabels':{'a':'b'}},'template':{'metadata':{'labels':{'a':'" \
	"b'}},'spec':{" C more

static void test_workloads(void **state)
{
	const struct kind_case cases[] = {
		{ RES(apps_deployments), DEP("{'a':'b'}", "{'a':'b'}", ROLL), NULL, NULL, NULL },
		{ RES(apps_deployments), DEP("{'a':'b'}", "{'a':'c'}", ROLL), NULL, NULL,
		  "spec.template.metadata.labels: Invalid value: {'a':'c'}: `selector` does not match template "
		  "`labels`" },
		{ RES(apps_deployments), DEP("{}", "{'a':'c'}", ROLL), NULL, NULL,
		  "spec.selector: Invalid value: {}: empty selector is invalid for deployment" },
		{ RES(apps_deployments),
		  DEP("{'a':'b'}", "{'a':'b'}", "'strategy':{'type':'Recreate','rollingUpdate':{}}"), NULL, NULL,
		  "spec.strategy.rollingUpdate: Forbidden: may not be specified when strategy `type` is 'Recreate'" },
		{ RES(apps_deployments),
		  DEP("{'a':'b'}", "{'a':'b'}",
		      "'strategy':{'type':'RollingUpdate','rollingUpdate':"
		      "{'maxUnavailable':0,'maxSurge':'0%'}}"),
		  NULL, NULL,
		  "spec.strategy.rollingUpdate.maxUnavailable: Invalid value: 0: may not be 0 when `maxSurge` is 0" },
		{ RES(apps_deployments), DEP("{'a':'b'}", "{'a':'b'}", ROLL ",'minReadySeconds':600"), NULL, NULL,
		  "spec.progressDeadlineSeconds: Invalid value: 600: must be greater than minReadySeconds" },
		{ RES(apps_deployments), "{'status':{'replicas':1,'updatedReplicas':2}}", "{}", "status",
		  "status.updatedReplicas: Invalid value: 2: cannot be greater than status.replicas" },
		{ RES(apps_replicasets), DEP("{'a':'b'}", "{'a':'b'}", "'minReadySeconds':-1"), NULL, NULL,
		  "spec.minReadySeconds: Invalid value: -1: must be greater than or equal to 0" },
		{ RES(apps_statefulsets),
		  DEP("{'a':'b'}", "{'a':'b'}", "'serviceName':'s','updateStrategy':{'type':'OnDelete'}"),
		  DEP("{'a':'b'}", "{'a':'b'}", "'serviceName':'t','updateStrategy':{'type':'OnDelete'}"), NULL,
		  "spec: Forbidden: updates to statefulset spec for fields other than 'replicas', 'ordinals', "
		  "'template', "
		  "'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and "
		  "'minReadySeconds' are forbidden" },
		{ RES(batch_jobs), JOB(",'restartPolicy':'Never'}}}}"), NULL, NULL, NULL },
		{ RES(batch_jobs), JOB("}}}}"), NULL, NULL,
		  "spec.template.spec.restartPolicy: Required value: valid values: \"OnFailure\", \"Never\"" },
		{ RES(batch_jobs), JOB(",'restartPolicy':'Never'}},'completions':2}}"),
		  JOB(",'restartPolicy':'Never'}},'completions':1}}"), NULL,
		  "spec.completions: Invalid value: 2: field is immutable" },
		{ RES(batch_cronjobs),
		  "{'spec':{'schedule':'*/5 * * * *','jobTemplate':{'spec':{'template':{'spec':{" C
		  ",'restartPolicy':'Never'}}}}}}",
		  NULL, NULL, NULL },
		{ RES(batch_cronjobs),
		  "{'spec':{'schedule':'61 * * * *','jobTemplate':{'spec':{'template':{'spec':{" C
		  ",'restartPolicy':'Never'}}}}}}",
		  NULL, NULL, "spec.schedule: Invalid value: '61 * * * *': end of range (61) above maximum (59): 61" },
	};

	(void)state;
	run(cases, ARRAY_LEN(cases));
}

#define SVC(more) "{'spec':{'internalTrafficPolicy':'Cluster'," more "}}"
#define SP "'ports':[{'port':80,'targetPort':80}]"

static void test_services(void **state)
{
	const struct resource *r = RES(core_services);
	const struct kind_case cases[] = {
		{ r, SVC(SP), NULL, NULL, NULL },
		{ r, SVC("'clusterIP':'None','clusterIPs':['None']"), NULL, NULL, NULL },
		{ r, SVC("'clusterIP':''"), NULL, NULL, "spec.ports: Required value" },
		{ r, SVC("'ports':[{'port':80,'targetPort':1},{'port':81,'name':'b','targetPort':1}]"), NULL, NULL,
		  "spec.ports[0].name: Required value" },
		{ r, SVC("'ports':[{'port':0,'targetPort':1}]"), NULL, NULL,
		  "spec.ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive" },
		{ r, SVC("'ports':[{'name':'a','port':80,'targetPort':1},{'name':'b','port':80,'targetPort':1}]"), NULL,
		  NULL, "spec.ports[1]: Duplicate value: {'protocol':'TCP','port':80}" },
		{ r, SVC("'ports':[{'port':80,'targetPort':1,'nodePort':30000}]"), NULL, NULL,
		  "spec.ports[0].nodePort: Forbidden: may not be used when `type` is 'ClusterIP'" },
		{ r, SVC("'type':'NodePort'," SP), NULL, NULL, "spec.externalTrafficPolicy: Required value" },
		{ r, SVC(SP ",'clusterIP':'10.0.0.1','clusterIPs':['10.0.0.2']"), NULL, NULL,
		  "spec.clusterIPs: Invalid value: ['10.0.0.2']: first value must match `clusterIP`" },
		{ r, SVC(SP ",'clusterIP':'x','clusterIPs':['x']"), NULL, NULL,
		  "spec.clusterIPs[0]: Invalid value: 'x': must be a valid IP address, (e.g. 10.9.8.7 or "
		  "2001:db8::ffff)" },
		{ r, "{'spec':{'type':'ExternalName'}}", NULL, NULL, "spec.externalName: Required value" },
		{ r, "{'spec':{'type':'ExternalName','externalName':'a.b.'}}", NULL, NULL, NULL },
		{ r, SVC(SP ",'sessionAffinity':'ClientIP'"), NULL, NULL,
		  "spec.sessionAffinityConfig: Required value: when session affinity type is ClientIP" },
		{ r, SVC(SP ",'clusterIP':'10.0.0.2','clusterIPs':['10.0.0.2']"),
		  SVC(SP ",'clusterIP':'10.0.0.1','clusterIPs':['10.0.0.1']"), NULL,
		  "spec.clusterIPs[0]: Invalid value: ['10.0.0.2']: may not change once set" },
		{ r, SVC(SP), SVC(SP ",'clusterIP':'10.0.0.1','clusterIPs':['10.0.0.1']"), NULL,
		  "spec.clusterIPs[0]: Invalid value: 'null': primary clusterIP can not be unset" },
		{ r, SVC(SP ",'ipFamilies':['IPv6']"), SVC(SP ",'ipFamilies':['IPv4']"), NULL,
		  "spec.ipFamilies[0]: Invalid value: ['IPv6']: may not change once set" },
		{ r, SVC(SP ",'clusterIP':'None','clusterIPs':['None'],'ipFamilies':['IPv6']"),
		  SVC(SP ",'clusterIP':'None','clusterIPs':['None'],'ipFamilies':['IPv4']"), NULL, NULL },
	};

	(void)state;
	run(cases, ARRAY_LEN(cases));
}

static void test_config(void **state)
{
	const struct resource *cm = RES(core_configmaps), *s = RES(core_secrets);
	const struct kind_case cases[] = {
		{ cm, "{'data':{'a.b':'x'},'binaryData':{'c':'AAAA'}}", NULL, NULL, NULL },
		{ cm, "{'data':{'..a':'x'}}", NULL, NULL, "data[..a]: Invalid value: '..a': must not start with '..'" },
		{ cm, "{'data':{'a':'x'},'binaryData':{'a':'AAAA'}}", NULL, NULL,
		  "data[a]: Invalid value: 'a': duplicate of key present in binaryData" },
		{ cm, "{'data':{'a':'y'},'immutable':true}", "{'data':{'a':'x'},'immutable':true}", NULL,
		  "data: Forbidden: field is immutable when `immutable` is set" },
		{ cm, "{'data':{'a':'x'}}", "{'data':{'a':'x'},'immutable':true}", NULL,
		  "immutable: Forbidden: field is immutable when `immutable` is set" },
		{ s, "{'type':'Opaque','data':{'a':'AAAA'}}", NULL, NULL, NULL },
		{ s, "{'type':'Opaque'}", "{'type':'x'}", NULL, "type: Invalid value: 'Opaque': field is immutable" },
		{ s, "{'type':'kubernetes.io/tls','data':{'tls.crt':'AAAA'}}", NULL, NULL,
		  "data[tls.key]: Required value" },
		{ s, "{'type':'kubernetes.io/dockerconfigjson','data':{'.dockerconfigjson':'e30='}}", NULL, NULL,
		  NULL },
		{ s, "{'type':'kubernetes.io/dockerconfigjson','data':{'.dockerconfigjson':'AAAA'}}", NULL, NULL,
		  "data[.dockerconfigjson]: Invalid value: '<secret contents redacted>': must be a JSON object" },
		{ s, "{'type':'kubernetes.io/service-account-token'}", NULL, NULL,
		  "metadata.annotations[kubernetes.io/service-account.name]: Required value" },
	};
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct val *big = doc(&a, "{'data':{}}");
	char *text = arena_alloc(&a, 1024 * 1024 + 1);
	struct field_errs fe;

	(void)state;
	run(cases, ARRAY_LEN(cases));
	memset(text, 'x', 1024 * 1024 + 1);
	val_set_str_sv(&a, val_get_mut(big, F_data), SV("k"), sv_make(text, 1024 * 1024 + 1));
	field_errs_init(&fe, &a);
	validate_kind_for(cm)(&fe, big, NULL, NULL);
	assert_int_equal(fe.list.n, 1);
	assert_sv(fe.list.p[0].field, "[]");
	assert_sv(fe.list.p[0].detail, "may not be more than 1048576 bytes");
}

static void test_rbac(void **state)
{
	const struct resource *r = RES(rbac_roles), *cr = RES(rbac_clusterroles), *rb = RES(rbac_rolebindings);
	const struct kind_case cases[] = {
		{ cr, "{'aggregationRule':{}}", NULL, NULL,
		  "aggregationRule.clusterRoleSelectors: Required value: at least one clusterRoleSelector required if "
		  "aggregationRule is non-nil" },
		{ cr,
		  "{'aggregationRule':{'clusterRoleSelectors':[{},{'matchExpressions':[{'key':'a','operator':'X'}]}]}}",
		  NULL, NULL,
		  "[aggregationRule.clusterRoleSelectors[1].matchExpressions[0].operator: Invalid value: 'X': not a "
		  "valid "
		  "selector operator, aggregationRule.clusterRoleSelectors[1]: Invalid value: 'null': invalid label "
		  "selector.]" },
		{ r, "{'rules':[{'apiGroups':[''],'resources':['pods'],'verbs':['get']}]}", NULL, NULL, NULL },
		{ r, "{'rules':[{'resources':['pods'],'verbs':['get']}]}", NULL, NULL,
		  "rules[0].apiGroups: Required value: resource rules must supply at least one api group" },
		{ r, "{'rules':[{'nonResourceURLs':['/x'],'verbs':['get']}]}", NULL, NULL,
		  "rules[0].nonResourceURLs: Invalid value: ['/x']: namespaced rules cannot apply to non-resource "
		  "URLs" },
		{ cr, "{'rules':[{'nonResourceURLs':['/x'],'verbs':['get']}]}", NULL, NULL, NULL },
		{ rb,
		  "{'roleRef':{'apiGroup':'rbac.authorization.k8s.io','kind':'Role','name':'r'},'subjects':[{'kind':'"
		  "User','name':"
		  "'u','apiGroup':'rbac.authorization.k8s.io'}]}",
		  NULL, NULL, NULL },
		{ rb, "{'roleRef':{'apiGroup':'rbac.authorization.k8s.io','kind':'Pod','name':'r'}}", NULL, NULL,
		  "roleRef.kind: Unsupported value: 'Pod': supported values: 'Role', 'ClusterRole'" },
		{ rb, "{'roleRef':{'apiGroup':'rbac.authorization.k8s.io','kind':'Role','name':'r'}}",
		  "{'roleRef':{'apiGroup':'rbac.authorization.k8s.io','kind':'Role','name':'s'}}", NULL,
		  "roleRef: Invalid value: {'apiGroup':'rbac.authorization.k8s.io','kind':'Role','name':'r'}: cannot "
		  "change roleRef" },
	};

	(void)state;
	run(cases, ARRAY_LEN(cases));
}

static void test_others(void **state)
{
	const struct kind_case cases[] = {
		{ RES(core_namespaces), "{'spec':{'finalizers':['kubernetes']}}", NULL, NULL, NULL },
		{ RES(core_namespaces), "{'spec':{'finalizers':['frob']}}", NULL, NULL,
		  "spec.finalizers: Invalid value: 'frob': name is neither a standard finalizer name nor is it "
		  "fully qualified" },
		{ RES(core_namespaces), "{'spec':{'finalizers':['frob']}}", "{}", "finalize",
		  "spec.finalizers[0]: Invalid value: 'frob': name is neither a standard finalizer name nor is it "
		  "fully qualified" },
		{ RES(core_namespaces), "{'status':{'phase':'Terminating'}}", "{}", "status",
		  "status.phase: Invalid value: 'Terminating': may only be 'Active' if `deletionTimestamp` is empty" },
		{ RES(core_nodes), "{'spec':{'podCIDRs':['10.1.0.0/24']}}", "{'spec':{'podCIDRs':['10.0.0.0/24']}}",
		  NULL, "spec.podCIDRs: Forbidden: node updates may not change podCIDRs except from \"\" to valid" },
		{ RES(core_persistentvolumeclaims), "{'spec':{'accessModes':['ReadWriteOnce']}}", NULL, NULL,
		  "spec.resources[storage]: Required value" },
		{ RES(policy_poddisruptionbudgets), "{'spec':{'minAvailable':1,'maxUnavailable':1}}", NULL, NULL,
		  "spec: Invalid value: {'minAvailable':1,'maxUnavailable':1}: minAvailable and maxUnavailable cannot "
		  "be both set" },
		{ RES(scheduling_priorityclasses), "{'metadata':{'name':'a'},'value':1000000001}", NULL, NULL,
		  "value: Forbidden: maximum allowed value of a user defined priority is 1000000000" },
		{ RES(coordination_leases), "{'spec':{'leaseDurationSeconds':0}}", NULL, NULL,
		  "spec.leaseDurationSeconds: Invalid value: 0: must be greater than 0" },
		{ RES(discovery_endpointslices), "{'addressType':'IPv4','endpoints':[{'addresses':['::1']}]}", NULL,
		  NULL,
		  "[endpoints[0].addresses[0]: Invalid value: '::1': must be a valid IPv4 address, "
		  "endpoints[0].addresses[0]: Invalid value: '::1': may not be in the loopback range (127.0.0.0/8, "
		  "::1/128)]" },
		{ RES(networking_ingresses), "{'spec':{'rules':[{'host':'10.0.0.1'}]}}", NULL, NULL,
		  "spec.rules[0].host: Invalid value: '10.0.0.1': must be a DNS name, not an IP address" },
		{ RES(networking_networkpolicies), "{'spec':{'podSelector':{},'ingress':[{'from':[{}]}]}}", NULL, NULL,
		  "spec.ingress[0].from[0]: Required value: must specify a peer" },
		{ RES(core_events), "{'metadata':{'name':'e','namespace':'a'},'involvedObject':{'namespace':'b'}}",
		  NULL, NULL, "involvedObject.namespace: Invalid value: 'b': does not match event.namespace" },
	};

	(void)state;
	run(cases, ARRAY_LEN(cases));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pods),   cmocka_unit_test(test_workloads), cmocka_unit_test(test_services),
		cmocka_unit_test(test_config), cmocka_unit_test(test_rbac),	 cmocka_unit_test(test_others),
	};

	return cmocka_run_group_tests_name("validate_kinds", tests, NULL, NULL);
}
