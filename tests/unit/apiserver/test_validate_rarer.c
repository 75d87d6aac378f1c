/* Kinds and fields that few write by hand: storage drivers, ingress classes, addresses, definitions, job policies,
 * and the rarer parts of pods. */
#include "validate_table.h"

static void test_storage(void **state)
{
	const struct resource *sc = RES(storage_storageclasses), *va = RES(storage_volumeattachments),
			      *cd = RES(storage_csidrivers), *cn = RES(storage_csinodes),
			      *vac = RES(storage_volumeattributesclasses), *cap = RES(storage_csistoragecapacities);
	const struct kind_case cases[] = {
		{ sc, "{'provisioner':'Example.com/Disk','parameters':{'a':'b'}}", NULL, NULL, NULL },
		{ sc, "{'provisioner':'a b'}", NULL, NULL,
		  "provisioner: Invalid value: 'a b': name part must consist of alphanumeric characters, '-', '_' or "
		  "'.', and must "
		  "start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex "
		  "used for "
		  "validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')" },
		{ sc, "{'provisioner':'p','parameters':{'':'b'}}", NULL, NULL,
		  "parameters: Invalid value: '': field can not be empty." },
		{ sc, "{'provisioner':'p','parameters':{'a':'b'}}", "{'provisioner':'q'}", NULL,
		  "[parameters: Forbidden: updates to parameters are forbidden., provisioner: Forbidden: updates to "
		  "provisioner "
		  "are forbidden.]" },
		{ sc,
		  "{'provisioner':'p','allowedTopologies':[{'matchLabelExpressions':[{'key':'z','values':['a','a']},{'"
		  "key':'z',"
		  "'values':[]}]}]}",
		  NULL, NULL,
		  "[allowedTopologies[0].matchLabelExpressions[0].values[1]: Duplicate value: 'a', "
		  "allowedTopologies[0].matchLabelExpressions[1].key: Duplicate value: 'z', "
		  "allowedTopologies[0].matchLabelExpressions[1].values: Required value]" },
		{ vac, "{'driverName':'d'}", NULL, NULL,
		  "parameters: Required value: must contain at least one key/value pair" },
		{ vac, "{'driverName':'d','parameters':{'a':'c'}}", "{'driverName':'d','parameters':{'a':'b'}}", NULL,
		  "parameters: Forbidden: updates to parameters are forbidden." },
		{ cd, "{'spec':{}}", NULL, NULL, NULL },
		{ cd,
		  "{'spec':{'fsGroupPolicy':'Some','volumeLifecycleModes':['Now'],'tokenRequests':[{'audience':'a',"
		  "'expirationSeconds':5},{'audience':'a'}],'nodeAllocatableUpdatePeriodSeconds':9}}",
		  NULL, NULL,
		  "[spec.fsGroupPolicy: Unsupported value: 'Some': supported values: 'File', 'None', "
		  "'ReadWriteOnceWithFSType', spec.volumeLifecycleModes: Unsupported value: 'Now': supported values: "
		  "'Persistent', 'Ephemeral', spec.tokenRequests[0].expirationSeconds: Invalid value: 5: may not "
		  "specify a duration less than 10 minutes, spec.tokenRequests[1].audience: Duplicate value: 'a', "
		  "spec.nodeAllocatableUpdatePeriodSeconds: Invalid value: 9: must be greater than or equal to 10 "
		  "seconds]" },
		{ cn, "{'spec':{'drivers':[{'name':'d','nodeID':'n','topologyKeys':['z']}]}}", NULL, NULL, NULL },
		{ cn,
		  "{'spec':{'drivers':[{'name':'d','nodeID':'','topologyKeys':['z','z']},{'name':'d','nodeID':'n'}]}}",
		  NULL, NULL,
		  "[spec.drivers[0].nodeID: Required value, spec.drivers[0]: Duplicate value: 'z', "
		  "spec.drivers[1].name: Duplicate value: 'd']" },
		{ cn, "{'spec':{'drivers':[{'name':'d','nodeID':'m'}]}}",
		  "{'spec':{'drivers':[{'name':'d','nodeID':'n'}]}}", NULL,
		  "CSINodeDriver: Invalid value: {'name':'d','nodeID':'m','topologyKeys':null}: field is immutable" },
		{ cap, "{'storageClassName':'s','capacity':'-1Gi'}", NULL, NULL,
		  "capacity: Invalid value: '-1Gi': must be greater than or equal to 0" },
		{ va, "{'spec':{'attacher':'a','nodeName':'n','source':{'persistentVolumeName':'v'}}}", NULL, NULL,
		  NULL },
		{ va, "{'spec':{'attacher':'a','nodeName':'n','source':{}}}", NULL, NULL,
		  "spec.source: Required value: must specify exactly one of inlineVolumeSpec and "
		  "persistentVolumeName" },
		{ va,
		  "{'spec':{'attacher':'a','nodeName':'n','source':{'inlineVolumeSpec':{'capacity':{'storage':'1'}}}}}",
		  NULL, NULL,
		  "[spec.source.inlineVolumeSpec.csi: Required value, "
		  "spec.source.inlineVolumeSpec.capacity: Forbidden: is not allowed in inline volumes]" },
		{ va, "{'spec':{'attacher':'a','nodeName':'m','source':{'persistentVolumeName':'v'}}}",
		  "{'spec':{'attacher':'a','nodeName':'n','source':{'persistentVolumeName':'v'}}}", NULL,
		  "spec: Invalid value: {'attacher':'a','source':{'persistentVolumeName':'v'},'nodeName':'m'}: field "
		  "is immutable" },
	};

	(void)state;
	run(cases, ARRAY_LEN(cases));
}

static void test_networking(void **state)
{
	const struct resource *ic = RES(networking_ingressclasses), *in = RES(networking_ingresses),
			      *np = RES(networking_networkpolicies), *sc = RES(networking_servicecidrs),
			      *ip = RES(networking_ipaddresses);
	const struct kind_case cases[] = {
		{ ic, "{'spec':{'controller':'example.com/x'}}", NULL, NULL, NULL },
		{ ic, "{'spec':{'controller':'x','parameters':{'kind':'','name':'a/b','scope':'Namespace'}}}", NULL,
		  NULL,
		  "[spec.controller: Invalid value: 'x': must be a domain-prefixed path (such as 'acme.io/foo'), "
		  "spec.parameters.kind: Required value: kind is required, spec.parameters.name: Invalid value: 'a/b': "
		  "may not contain '/', spec.parameters.namespace: Required value: `parameters.scope` is set to "
		  "'Namespace']" },
		{ ic, "{'spec':{'controller':'example.com/y'}}", "{'spec':{'controller':'example.com/x'}}", NULL,
		  "spec.controller: Invalid value: 'example.com/y': field is immutable" },
		{ in,
		  "{'spec':{'rules':[{'http':{'paths':[{'path':'/a/"
		  "..','pathType':'Prefix','backend':{'resource':{'kind':'K',"
		  "'name':''}}}]}}],'tls':[{'hosts':['*.a.b','A']}]}}",
		  NULL, NULL,
		  "[spec.tls[0].hosts[1]: Invalid value: 'A': a lowercase RFC 1123 subdomain must consist of lower "
		  "case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character "
		  "(e.g. 'example.com', regex used for validation is "
		  "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*'), "
		  "spec.rules[0].http.paths[0].path: Invalid value: '/a/..': cannot end with '/..', "
		  "spec.rules[0].http.paths[0].backend.resource.name: Required value: name is required]" },
		{ in,
		  "{'metadata':{'annotations':{'kubernetes.io/"
		  "ingress.class':'a'}},'spec':{'ingressClassName':'b','defaultBackend':{"
		  "'service':{'name':'s','port':{'number':1}}}}}",
		  NULL, NULL,
		  "metadata.annotations.kubernetes.io/ingress.class: Invalid value: 'a': must match `ingressClassName` "
		  "when both are "
		  "specified" },
		{ in, "{'status':{'loadBalancer':{'ingress':[{'ip':'1.2.3'},{'hostname':'10.0.0.1'}]}}}", "{}",
		  "status",
		  "[status.loadBalancer.ingress[0].ip: Invalid value: '1.2.3': must be a valid IP address, (e.g. "
		  "10.9.8.7 or "
		  "2001:db8::ffff), status.loadBalancer.ingress[1].hostname: Invalid value: '10.0.0.1': must be a DNS "
		  "name, not an IP "
		  "address]" },
		{ np,
		  "{'spec':{'podSelector':{},'egress':[{'to':[{'ipBlock':{'cidr':'10.0.0.0/8','except':['10.1.0.0/"
		  "16']}}]}]}}",
		  NULL, NULL, NULL },
		{ np,
		  "{'spec':{'podSelector':{},'egress':[{'to':[{'ipBlock':{'cidr':'10.0.0.0/8','except':['10.0.0.0/"
		  "8','11.0.0.0/9']"
		  "}}]}]}}",
		  NULL, NULL,
		  "[spec.egress[0].to[0].ipBlock.except[0]: Invalid value: '10.0.0.0/8': must be a strict subset of "
		  "`cidr`, "
		  "spec.egress[0].to[0].ipBlock.except[1]: Invalid value: '11.0.0.0/9': must be a strict subset of "
		  "`cidr`]" },
		{ sc, "{'spec':{'cidrs':['10.0.0.0/16','fd00::/112']}}", "{'spec':{'cidrs':['10.0.0.0/16']}}", NULL,
		  NULL },
		{ sc, "{'spec':{'cidrs':['10.0.0.1/16']}}", NULL, NULL,
		  "spec.cidrs[0]: Invalid value: '10.0.0.1/16': must not have bits set beyond the prefix length" },
		{ sc, "{'spec':{'cidrs':['10.0.0.0/16','10.1.0.0/16']}}", NULL, NULL,
		  "spec.cidrs: Invalid value: ['10.0.0.0/16','10.1.0.0/16']: may specify no more than one IP for each "
		  "IP family" },
		{ sc, "{'spec':{'cidrs':['10.1.0.0/16']}}", "{'spec':{'cidrs':['10.0.0.0/16']}}", NULL,
		  "spec.cidrs: Invalid value: ['10.1.0.0/16']: field is immutable" },
		{ sc, "{'spec':{}}", NULL, NULL, "spec.cidrs: Required value: at least one CIDR required" },
		{ ip, "{'spec':{'parentRef':{'resource':'services','name':'x','namespace':'y'}}}", NULL, NULL, NULL },
		{ ip, "{'spec':{'parentRef':{'resource':'services'}}}", NULL, NULL,
		  "spec.parentRef.name: Required value" },
		{ ip, "{'spec':{}}", NULL, NULL, "spec.parentRef: Required value" },
	};

	(void)state;
	run(cases, ARRAY_LEN(cases));
	assert_null(check_ip_name(SV("2001:db8::1")));
	assert_non_null(check_ip_name(SV("2001:DB8::1")));
	assert_non_null(check_ip_name(SV("10.0.0.01")));
}

#define JOB(spec)                                                                                                    \
	"{'metadata':{'name':'j'},'spec':{'manualSelector':true,'selector':{},'template':{'spec':{'restartPolicy':'" \
	"Never','containers':[{'"                                                                                    \
	"name':'c','image':'i'}]}}" spec "}}"

static void test_job_policies(void **state)
{
	const struct resource *r = RES(batch_jobs);
	const struct kind_case cases[] = {
		{ r,
		  JOB(",'completionMode':'Indexed','completions':3,'successPolicy':{'rules':[{'succeededIndexes':'0,1-"
		      "2',"
		      "'succeededCount':3}]}"),
		  NULL, NULL, NULL },
		{ r, JOB(",'successPolicy':{'rules':[{'succeededCount':1}]}"), NULL, NULL,
		  "spec.successPolicy: Invalid value: {'rules':[{'succeededCount':1}]}: requires indexed completion "
		  "mode" },
		{ r,
		  JOB(",'completionMode':'Indexed','completions':3,'successPolicy':{'rules':[{},{'succeededIndexes':'2-"
		      "1'},{"
		      "'succeededIndexes':'0','succeededCount':2},{'succeededIndexes':'x'},{'succeededIndexes':'5'}]}"),
		  NULL, NULL,
		  "[spec.successPolicy.rules[0]: Required value: at least one of succeededCount or succeededIndexes "
		  "must be specified, "
		  "spec.successPolicy.rules[1].succeededIndexes: Invalid value: '2-1': error parsing succeededIndexes: "
		  "non-increasing "
		  "order, previous: 2, current: 1, spec.successPolicy.rules[2].succeededCount: Invalid value: 2: must "
		  "be less than or "
		  "equal to 1 (the number of indexes in the specified succeededIndexes field), "
		  "spec.successPolicy.rules[3].succeededIndexes: Invalid value: 'x': error parsing succeededIndexes: "
		  "cannot convert "
		  "string to integer for index: 'x', spec.successPolicy.rules[4].succeededIndexes: Invalid value: '5': "
		  "error parsing "
		  "succeededIndexes: too large index: '5']" },
		{ r,
		  JOB(",'podFailurePolicy':{'rules':[{'action':'FailJob','onExitCodes':{'operator':'In','values':[1,42]"
		      "}},{'action':"
		      "'Ignore','onPodConditions':[{'type':'DisruptionTarget'}]}]}"),
		  NULL, NULL, NULL },
		{ r,
		  JOB(",'podFailurePolicy':{'rules':[{'action':'FailIndex','onExitCodes':{'containerName':'d','"
		      "operator':'In','values'"
		      ":[3,0]}},{'action':'Count'}]},'podReplacementPolicy':'TerminatingOrFailed'"),
		  NULL, NULL,
		  "[spec.podFailurePolicy.rules[0].action: Invalid value: 'FailIndex': requires the "
		  "backoffLimitPerIndex to be set, "
		  "spec.podFailurePolicy.rules[0].onExitCodes.containerName: Invalid value: 'd': must be one of the "
		  "container or "
		  "initContainer names in the pod template, spec.podFailurePolicy.rules[0].onExitCodes.values[1]: "
		  "Invalid value: 0: must "
		  "not be 0 for the In operator, spec.podFailurePolicy.rules[0].onExitCodes.values: Invalid value: "
		  "[3,0]: must be "
		  "ordered, spec.podFailurePolicy.rules[1]: Invalid value: specifying one of OnExitCodes and "
		  "OnPodConditions is "
		  "required, spec.podReplacementPolicy: Unsupported value: 'TerminatingOrFailed': supported values: "
		  "'Failed']" },
		{ r, JOB(",'backoffLimitPerIndex':1"), NULL, NULL,
		  "spec.backoffLimitPerIndex: Invalid value: 1: requires indexed completion mode" },
		{ r, JOB(",'completionMode':'Indexed','completions':3,'maxFailedIndexes':4"), NULL, NULL,
		  "[spec.backoffLimitPerIndex: Required value: when maxFailedIndexes is specified, "
		  "spec.maxFailedIndexes: Invalid value: "
		  "4: must be less than or equal to completions]" },
		{ r, JOB(",'managedBy':'me'"), NULL, NULL,
		  "spec.managedBy: Invalid value: 'me': must be a domain-prefixed path (such as 'acme.io/foo')" },
		{ r,
		  "{'metadata':{'name':'a.b'},'spec':{'manualSelector':true,'selector':{},'completionMode':'Indexed','"
		  "completions':11,'"
		  "template':{'spec':{"
		  "'restartPolicy':'Never','containers':[{'name':'c','image':'i'}]}}}}",
		  NULL, NULL,
		  "metadata.name: Invalid value: 'a.b': will not able to create pod with invalid DNS label: a.b-10" },
	};

	(void)state;
	run(cases, ARRAY_LEN(cases));
}

#define C "'containers':[{'name':'c','image':'i'}]"
#define POD(spec) "{'metadata':{'name':'p'},'spec':{" spec "}}"
#define CTR(more) POD("'containers':[{'name':'c','image':'i'," more "}]")
#define VOL(source) POD(C ",'volumes':[{'name':'v'," source "}]")

static void test_pod_parts(void **state)
{
	const struct resource *r = RES(core_pods);
	const struct kind_case cases[] = {
		/* security */
		{ r,
		  POD(C ",'securityContext':{'seccompProfile':{'type':'Localhost','localhostProfile':'a/"
			"b.json'},'sysctls':[{'name':"
			"'net.ipv4.ip_forward','value':'1'},{'name':'kernel/shm_rmid_forced','value':'0'}]}"),
		  NULL, NULL, NULL },
		{ r,
		  POD(C ",'securityContext':{'seccompProfile':{'type':'Localhost'},'appArmorProfile':{'type':'"
			"Unconfined',"
			"'localhostProfile':'x'},'seLinuxChangePolicy':'Never'}"),
		  NULL, NULL,
		  "[spec.securityContext.seccompProfile.localhostProfile: Required value: must be set when seccomp "
		  "type is Localhost, "
		  "spec.securityContext.appArmorProfile.localhostProfile: Invalid value: 'x': can only be set when "
		  "AppArmor type is "
		  "Localhost, spec.securityContext.seLinuxChangePolicy: Unsupported value: 'Never': supported values: "
		  "'MountOption', "
		  "'Recursive']" },
		{ r, POD(C ",'securityContext':{'appArmorProfile':{}}"), NULL, NULL,
		  "spec.securityContext.appArmorProfile.type: Required value: type is required when appArmorProfile is "
		  "set" },
		{ r,
		  POD(C ",'hostNetwork':true,'hostIPC':true,'hostUsers':false,'securityContext':{'sysctls':[{'name':'"
			"net.core.somaxconn',"
			"'value':'1'},{'name':'kernel.shmmax','value':'1'}]}"),
		  NULL, NULL,
		  "[spec.securityContext.sysctls[0].name: Invalid value: 'net.core.somaxconn': may not be specified "
		  "when 'hostNetwork' is "
		  "true, spec.securityContext.sysctls[1].name: Invalid value: 'kernel.shmmax': may not be specified "
		  "when 'hostIPC' is "
		  "true, spec.hostIPC: Forbidden: when `hostUsers` is false, spec.hostNetwork: Forbidden: when "
		  "`hostUsers` is false]" },
		{ r, CTR("'securityContext':{'procMount':'Unmasked'}"), NULL, NULL,
		  "spec.containers[0].securityContext.procMount: Invalid value: 'Unmasked': `hostUsers` must be false "
		  "to use `Unmasked`" },
		{ r,
		  POD("'os':{'name':'windows'},'containers':[{'name':'c','image':'i','securityContext':{'privileged':"
		      "true}}],'hostPID':"
		      "true"),
		  NULL, NULL,
		  "[spec.hostPID: Forbidden: cannot be set for a windows pod, "
		  "spec.containers[0].securityContext.privileged: Forbidden: "
		  "cannot be set for a windows pod]" },
		{ r, POD(C ",'os':{'name':'linux'},'securityContext':{'windowsOptions':{}}"), NULL, NULL,
		  "spec.securityContext.windowsOptions: Forbidden: windows options cannot be set for a linux pod" },
		/* placement */
		{ r,
		  POD(C ",'topologySpreadConstraints':[{'maxSkew':1,'topologyKey':'z','whenUnsatisfiable':'"
			"DoNotSchedule',"
			"'matchLabelKeys':['a']}],'affinity':{'podAffinity':{'"
			"requiredDuringSchedulingIgnoredDuringExecution':[{"
			"'topologyKey':'z','labelSelector':{'matchLabels':{'a':'b'}},'matchLabelKeys':['b','a'],'"
			"mismatchLabelKeys':['a']}]}}"),
		  NULL, NULL,
		  "[spec.affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution[0].matchLabelKeys[1]: "
		  "Invalid value: 'a': "
		  "exists in both matchLabelKeys and mismatchLabelKeys, "
		  "spec.topologySpreadConstraints[0].matchLabelKeys: Forbidden: must "
		  "not be specified when labelSelector is not set]" },
		{ r,
		  POD(C ",'affinity':{'podAntiAffinity':{'requiredDuringSchedulingIgnoredDuringExecution':[{'"
			"topologyKey':'z',"
			"'labelSelector':{},'matchLabelKeys':['a','b'],'mismatchLabelKeys':['c','b']}]}}"),
		  NULL, NULL,
		  "spec.affinity.podAntiAffinity.requiredDuringSchedulingIgnoredDuringExecution[0].matchLabelKeys[1]: "
		  "Invalid "
		  "value: 'b': exists in both matchLabelKeys and mismatchLabelKeys" },
		/* once is the server's doing, when it made a pod of it; twice is not */
		{ r,
		  POD(C ",'topologySpreadConstraints':[{'maxSkew':1,'topologyKey':'z','whenUnsatisfiable':'"
			"DoNotSchedule',"
			"'matchLabelKeys':['a'],'labelSelector':{'matchExpressions':[{'key':'a','operator':'In','"
			"values':["
			"'b']}]}}]"),
		  NULL, NULL, NULL },
		{ r,
		  POD(C
		      ",'topologySpreadConstraints':[{'maxSkew':1,'topologyKey':'z','whenUnsatisfiable':'DoNotSchedule'"
		      ","
		      "'matchLabelKeys':['x','a'],'labelSelector':{'matchLabels':{'a':'b'},'matchExpressions':[{'key':'"
		      "a',"
		      "'operator':'In','values':['b']}]}}],'affinity':{'podAntiAffinity':{"
		      "'requiredDuringSchedulingIgnoredDuringExecution':[{'topologyKey':'z','matchLabelKeys':['a'],"
		      "'labelSelector':{'matchExpressions':[{'key':'a','operator':'Exists'},{'key':'a','operator':'In',"
		      "'values':['b']}]}}]}}"),
		  NULL, NULL,
		  "[spec.affinity.podAntiAffinity.requiredDuringSchedulingIgnoredDuringExecution[0][0]: Invalid value: "
		  "'a': "
		  "exists in both matchLabelKeys and labelSelector, "
		  "spec.topologySpreadConstraints[0][1]: "
		  "Invalid value: 'a': exists in both matchLabelKeys and labelSelector]" },
		/* resources */
		{ r,
		  POD("'resourceClaims':[{'name':'a','resourceClaimName':'x'},{'name':'b'}],'containers':[{'name':'c','"
		      "image':'i',"
		      "'resources':{'claims':[{'name':'a'},{'name':'z'}]}}]"),
		  NULL, NULL,
		  "[spec.containers[0].resources.claims[1]: Not found: 'z', spec.resourceClaims[1]: Invalid value: "
		  "must specify one of: "
		  "`resourceClaimName`, `resourceClaimTemplateName`]" },
		{ r, CTR("'resources':{'limits':{'hugepages-2Mi':'2Mi'}}"), NULL, NULL,
		  "spec.containers[0].resources: Forbidden: HugePages require cpu or memory" },
		{ r,
		  CTR("'resizePolicy':[{'resourceName':'cpu','restartPolicy':'NotRequired'},{'resourceName':'disk','"
		      "restartPolicy':'Now'}]"),
		  NULL, NULL,
		  "[spec.containers[0].resizePolicy[1].resourceName: Unsupported value: 'disk': supported values: "
		  "'cpu', 'memory', "
		  "spec.containers[0].resizePolicy[1].restartPolicy: Unsupported value: 'Now': supported values: "
		  "'NotRequired', "
		  "'RestartContainer']" },
		{ r, POD(C ",'resources':{'limits':{'ephemeral-storage':'1'}}"), NULL, NULL,
		  "spec.resources.limits[ephemeral-storage]: Unsupported value: 'ephemeral-storage': supported values: "
		  "'cpu', 'hugepages-', "
		  "'memory'" },
		/* containers */
		{ r, CTR("'lifecycle':{'preStop':{'sleep':{'seconds':31}}}"), NULL, NULL,
		  "spec.containers[0].lifecycle.preStop.sleep: Invalid value: 31: must be non-negative and less than "
		  "terminationGracePeriodSeconds (30)" },
		{ r,
		  CTR("'env':[{'name':'A','valueFrom':{'resourceFieldRef':{'resource':'limits.cpu','divisor':'2'}}},{'"
		      "name':'B',"
		      "'valueFrom':{'resourceFieldRef':{'resource':'limits.memory','divisor':'1Mi'}}}]"),
		  NULL, NULL,
		  "spec.containers[0].env[0].valueFrom.resourceFieldRef.divisor: Invalid value: '2': only divisor's "
		  "values 1m and 1 are "
		  "supported with the cpu resource" },
		{ r,
		  POD("'volumes':[{'name':'v','emptyDir':{}}],'containers':[{'name':'c','image':'i','volumeMounts':[{'"
		      "name':'v',"
		      "'mountPath':'/a','recursiveReadOnly':'Enabled'}]}]"),
		  NULL, NULL,
		  "spec.containers[0].volumeMounts.recursiveReadOnly: Forbidden: may only be specified when readOnly "
		  "is true" },
		/* volumes */
		{ r, VOL("'csi':{'driver':'A b'}"), NULL, NULL,
		  "spec.volumes[0].csi.driver: Invalid value: 'A b': a lowercase RFC 1123 subdomain must consist of "
		  "lower case alphanumeric "
		  "characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', "
		  "regex used for "
		  "validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')" },
		{ r, VOL("'image':{'pullPolicy':'Soon'}"), NULL, NULL,
		  "[spec.volumes[0].image.reference: Required value, spec.volumes[0].image.pullPolicy: Unsupported "
		  "value: 'Soon': "
		  "supported values: 'Always', 'IfNotPresent', 'Never']" },
		{ r,
		  VOL("'projected':{'sources':[{'secret':{'name':'a','items':[{'key':'k','path':'p'}]}},{'"
		      "serviceAccountToken':{'path':'p'"
		      "}}]}"),
		  NULL, NULL,
		  "[spec.volumes[0].projected.sources: Invalid value: 'p': conflicting duplicate paths, "
		  "spec.volumes[0].projected.sources[1].serviceAccountToken: Forbidden: must not be specified when "
		  "serviceAccountName is not set]" },
		{ r, VOL("'projected':{'sources':[{'secret':{'name':'a'},'configMap':{'name':'a'}}]}"), NULL, NULL,
		  "spec.volumes[0].projected.sources[0]: Forbidden: may not specify more than 1 volume type per "
		  "source" },
		{ r, VOL("'iscsi':{'targetPortal':'a','lun':1,'iqn':'iqn.2003-01.org.example:x'}"), NULL, NULL, NULL },
		{ r, VOL("'iscsi':{'targetPortal':'a','lun':1,'iqn':'eui.0123456789abcdef'}"), NULL, NULL, NULL },
		{ r, VOL("'iscsi':{'targetPortal':'a','lun':1}"), NULL, NULL,
		  "spec.volumes[0].iscsi.iqn: Required value" },
		{ r, VOL("'iscsi':{'targetPortal':'a','iqn':'foo','lun':999}"), NULL, NULL,
		  "[spec.volumes[0].iscsi.iqn: Invalid value: 'foo': must be valid format starting with iqn, eui, or "
		  "naa, spec.volumes[0].iscsi.lun: Invalid value: 999: must be between 0 and 255, inclusive]" },
		{ r,
		  VOL("'iscsi':{'targetPortal':'a','iqn':'iqn.2003-1.o:x','lun':1,'initiatorName':'naa.1',"
		      "'chapAuthSession':true}"),
		  NULL, NULL,
		  "[spec.volumes[0].iscsi.iqn: Invalid value: 'iqn.2003-1.o:x': must be valid format, "
		  "spec.volumes[0].iscsi.secretRef: Required value, spec.volumes[0].iscsi.initiatorname: Invalid "
		  "value: "
		  "'naa.1': must be valid format]" },
		{ r, VOL("'fc':{'targetWWNs':['a'],'lun':0}"), NULL, NULL, NULL },
		{ r, VOL("'fc':{'targetWWNs':['a']}"), NULL, NULL,
		  "spec.volumes[0].fc.lun: Required value: lun is required if targetWWNs is specified" },
		{ r, VOL("'gcePersistentDisk':{'pdName':'a','partition':999}"), NULL, NULL,
		  "spec.volumes[0].gcePersistentDisk.partition: Invalid value: 999: must be between 1 and 255, "
		  "inclusive" },
		{ r, VOL("'azureDisk':{'diskName':'a'}"), NULL, NULL,
		  "spec.volumes[0].azureDisk.diskURI: Required value" },
		{ r, VOL("'flocker':{}"), NULL, NULL,
		  "spec.volumes[0].flocker: Required value: one of datasetName and datasetUUID is required" },
		{ r, VOL("'flocker':{'datasetName':'a/b'}"), NULL, NULL,
		  "spec.volumes[0].flocker.datasetName: Invalid value: 'a/b': must not contain '/'" },
		{ r, VOL("'secret':{'secretName':'a','items':[{'key':'k'}]}"), NULL, NULL,
		  "spec.volumes[0].secret.items[0].path: Required value" },
		{ r, VOL("'configMap':{'name':'a','items':[{'path':''}]}"), NULL, NULL,
		  "[spec.volumes[0].configMap.items[0].key: Required value, spec.volumes[0].configMap.items[0].path: "
		  "Required value]" },
		{ r,
		  VOL("'projected':{'sources':[{'secret':{'name':'a','items':[{'key':'k'}]}},"
		      "{'configMap':{'name':'a','items':[{'key':'k','path':''}]}}]}"),
		  NULL, NULL,
		  "[spec.volumes[0].projected.sources[0].secret.items[0].path: Required value, "
		  "spec.volumes[0].projected.sources[1].configMap.items[0].path: Required value]" },
		/* annotations */
		{ r,
		  "{'metadata':{'name':'p','annotations':{'controller.kubernetes.io/"
		  "pod-deletion-cost':'4294967296'}},'spec':{" C "}}",
		  NULL, NULL,
		  "metadata.annotations[controller.kubernetes.io/pod-deletion-cost]: Invalid value: '4294967296': must "
		  "be a 32bit integer" },
	};

	(void)state;
	run(cases, ARRAY_LEN(cases));
}

static void test_amounts(void **state)
{
	const struct resource *rq = RES(core_resourcequotas), *lr = RES(core_limitranges);
	const struct kind_case cases[] = {
		{ rq,
		  "{'spec':{'hard':{'pods':'10','requests.cpu':'500m','count/"
		  "jobs.batch':'3'},'scopes':['Terminating']}}",
		  NULL, NULL, "spec.scopes: Invalid value: ['Terminating']: unsupported scope applied to resource" },
		{ rq, "{'spec':{'hard':{'foo':'1','pods':'1.5','secrets':'-1'}}}", NULL, NULL,
		  "[spec.hard[foo]: Invalid value: 'foo': must be a standard resource type or fully qualified, "
		  "spec.hard[foo]: Invalid value: 'foo': must be a standard resource for quota, spec.hard[pods]: "
		  "Invalid value: '1500m': must be an integer, spec.hard[secrets]: Invalid value: '-1': must be "
		  "greater than or equal to 0]" },
		{ rq, "{'spec':{'hard':{'pods':'1'},'scopes':['BestEffort','NotBestEffort']}}", NULL, NULL,
		  "spec.scopes: Invalid value: ['BestEffort','NotBestEffort']: conflicting scopes" },
		{ rq,
		  "{'spec':{'scopeSelector':{'matchExpressions':[{'scopeName':'PriorityClass','operator':'In'},{'"
		  "scopeName':"
		  "'PriorityClass','operator':'Exists','values':['a']}]}}}",
		  NULL, NULL,
		  "[spec.scopeSelector.matchExpressions.values: Required value: must be at least one value when "
		  "`operator` is 'In' or 'NotIn' for scope selector, spec.scopeSelector.matchExpressions.values: "
		  "Invalid value: ['a']: must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope "
		  "selector]" },
		{ lr,
		  "{'spec':{'limits':[{'type':'Container','min':{'cpu':'1'},'defaultRequest':{'cpu':'2'},'default':{'"
		  "cpu':'3'},'max':{"
		  "'cpu':'4'},'maxLimitRequestRatio':{'cpu':'4'}}]}}",
		  NULL, NULL, NULL },
		{ lr,
		  "{'spec':{'limits':[{'type':'Container','defaultRequest':{'cpu':'2'},'default':{'cpu':'1'},'max':{'"
		  "cpu':'1'},"
		  "'maxLimitRequestRatio':{'memory':'0.5'}},{'type':'PersistentVolumeClaim'},{'type':'Node'}]}}",
		  NULL, NULL,
		  "[spec.limits[0].defaultRequest[cpu]: Invalid value: '2': default request value 2 is greater than "
		  "max value 1, "
		  "spec.limits[0].defaultRequest[cpu]: Invalid value: '2': default request value 2 is greater than "
		  "default limit value "
		  "1, spec.limits[0].maxLimitRequestRatio[memory]: Invalid value: '500m': ratio 500m is less than 1, "
		  "spec.limits[1].limits: Required value: either minimum or maximum storage value is required, but "
		  "neither was "
		  "provided, spec.limits[2].type: Invalid value: 'Node': must be a standard limit type or fully "
		  "qualified]" },
	};

	(void)state;
	run(cases, ARRAY_LEN(cases));
}

#define PV(more) "{'spec':{'capacity':{'storage':'1Gi'},'accessModes':['ReadWriteOnce']" more "}}"
#define PVC(more) "{'spec':{'resources':{'requests':{'storage':'1Gi'}},'accessModes':['ReadWriteOnce']" more "}}"

static void test_volumes_and_sets(void **state)
{
	const struct resource *pv = RES(core_persistentvolumes), *pvc = RES(core_persistentvolumeclaims),
			      *sts = RES(apps_statefulsets), *cr = RES(apps_controllerrevisions),
			      *es = RES(discovery_endpointslices);
	const struct kind_case cases[] = {
		{ pv, PV(",'hostPath':{'path':'/a'}"), NULL, NULL, NULL },
		{ pv, PV(""), NULL, NULL, "spec: Required value: must specify a volume type" },
		{ pv, PV(",'iscsi':{'targetPortal':'a','lun':1}"), NULL, NULL, "spec.iscsi.iqn: Required value" },
		{ pv, PV(",'azureDisk':{'diskName':'a','diskURI':'b'}"), NULL, NULL, NULL },
		{ pv,
		  PV(",'hostPath':{'path':'/'},'nfs':{'server':'a','path':'/"
		     "b'},'persistentVolumeReclaimPolicy':'Recycle'"),
		  NULL, NULL,
		  "[spec.nfs: Forbidden: may not specify more than 1 volume type, spec.persistentVolumeReclaimPolicy: "
		  "Forbidden: may "
		  "not be 'recycle' for a hostPath mount of '/']" },
		{ pv, PV(",'hostPath':{'path':'//./'},'persistentVolumeReclaimPolicy':'Recycle'"), NULL, NULL,
		  "spec.persistentVolumeReclaimPolicy: Forbidden: may not be 'recycle' for a hostPath mount of '/'" },
		{ pv, PV(",'hostPath':{'path':'//.a/'},'persistentVolumeReclaimPolicy':'Recycle'"), NULL, NULL, NULL },
		{ pv, PV(",'local':{'path':'/a/../b'},'nodeAffinity':{'required':{'nodeSelectorTerms':[]}}"), NULL,
		  NULL,
		  "[spec.local.path: Invalid value: '/a/../b': must not contain '..', "
		  "spec.nodeAffinity.required.nodeSelectorTerms: Required value: must have at least one node selector "
		  "term]" },
		{ pv, PV(",'hostPath':{'path':'/b'}"), PV(",'hostPath':{'path':'/a'}"), NULL,
		  "spec.persistentvolumesource: Forbidden: spec.persistentvolumesource is immutable after creation" },
		{ pvc, PVC(",'dataSource':{'kind':'PersistentVolumeClaim','name':'a'}"), NULL, NULL, NULL },
		{ pvc,
		  PVC(",'dataSource':{'kind':'Foo','name':'a'},'dataSourceRef':{'apiGroup':'x.y','kind':'Foo','name':'"
		      "a'}"),
		  NULL, NULL,
		  "[spec.dataSource: Invalid value: 'Foo': must be 'PersistentVolumeClaim' when referencing the "
		  "default apiGroup, spec: "
		  "Invalid value: 'a': must match dataSourceRef]" },
		{ sts,
		  "{'spec':{'serviceName':'A','podManagementPolicy':'Some','ordinals':{'start':-1},'updateStrategy':{'"
		  "type':"
		  "'RollingUpdate','rollingUpdate':{'maxUnavailable':0}},'selector':{'matchLabels':{'a':'b'}},'"
		  "template':{'metadata':{"
		  "'labels':{'a':'b'}},'spec':{'containers':[{'name':'c','image':'i'}]}},'volumeClaimTemplates':[{'"
		  "spec':{"
		  "'accessModes':['ReadWriteOnce']}}]}}",
		  NULL, NULL,
		  "[spec.ordinals.start: Invalid value: -1: must be greater than or equal to 0, "
		  "spec.podManagementPolicy: Invalid value: 'Some': must be 'OrderedReady' or 'Parallel', "
		  "spec.updateStrategy.rollingUpdate.maxUnavailable: Invalid value: 0: cannot be 0, spec.serviceName: "
		  "Invalid value: 'A': a lowercase RFC 1123 label must consist of lower case alphanumeric characters "
		  "or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex "
		  "used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?'), "
		  "spec.volumeClaimTemplates[0].spec.resources[storage]: Required value]" },
		{ cr, "{'revision':1}", NULL, NULL, "data: Required value: data is mandatory" },
		{ cr, "{'revision':1,'data':5}", NULL, NULL, "data: Invalid value: 5: must be a JSON object" },
		{ es,
		  "{'addressType':'IPv4','endpoints':[{'addresses':['1.1.1.1'],'hints':{'forZones':[{'name':'a'},{'"
		  "name':'a'}]},"
		  "'deprecatedTopology':{'topology.kubernetes.io/zone':'z'}}]}",
		  NULL, NULL,
		  "[endpoints[0].hints.forZones[1].name: Duplicate value: 'a', "
		  "endpoints[0].deprecatedTopology[topology.kubernetes.io/zone]: Invalid value: 'z': reserved key was "
		  "used in map]" },
	};

	(void)state;
	run(cases, ARRAY_LEN(cases));
}

#define TEMPLATE(labels, spec) "'template':{'metadata':{'labels':{" labels "}},'spec':{" spec "}}"
#define MATCHES "'selector':{'matchLabels':{'a':'b'}}"
#define PLAIN "'containers':[{'name':'c','image':'i'}]"
#define MOUNTS "'containers':[{'name':'c','image':'i','volumeMounts':[{'name':'data','mountPath':'/d'}]}]"
#define NO_MATCH(labels) \
	"spec.template.metadata.labels: Invalid value: {" labels "}: `selector` does not match template `labels`"
#define STRATEGY "'strategy':{'type':'Recreate'}"

/* Several errors at once, and what is asked of a template that is completed later. */
static void test_templates(void **state)
{
	const struct resource *deploy = RES(apps_deployments), *set = RES(apps_statefulsets),
			      *ds = RES(apps_daemonsets);
	const struct resource *rs = RES(apps_replicasets), *job = RES(batch_jobs), *pod = RES(core_pods);
	const struct kind_case cases[] = {
		/* Volumes of claims come with each pod. */
		{ set, "{'spec':{'updateStrategy':{'type':'OnDelete'}," MATCHES "," TEMPLATE("'a':'b'", MOUNTS) "}}",
		  NULL, NULL, NULL },
		{ set,
		  "{'spec':{'updateStrategy':{'type':'OnDelete'}," MATCHES
		  "," TEMPLATE("'a':'b'", "'containers':[{'name':'c',"
					  "'image':'i','volumeDevices':[{'name':'data','devicePath':'/dev/x'}]}]") "}}",
		  NULL, NULL, NULL },
		{ rs, "{'spec':{" MATCHES "," TEMPLATE("'a':'b'", MOUNTS) "}}", NULL, NULL,
		  "spec.template.spec.containers[0].volumeMounts[0].name: Not found: 'data'" },
		{ rs, "{'spec':{" MATCHES "," TEMPLATE("'a':'b'", "'containers':[{'name':'c','image':' i'}]") "}}",
		  NULL, NULL, NULL },
		{ rs,
		  "{'spec':{" MATCHES
		  "," TEMPLATE("'a':'b'", "'hostNetwork':true,'containers':[{'name':'c','image':'i',"
					  "'ports':[{'containerPort':80}]}]") "}}",
		  NULL, NULL, NULL },
		{ pod,
		  "{'spec':{'hostNetwork':true,'containers':[{'name':'c','image':'i','ports':[{'containerPort':80}]}]}"
		  "}",
		  NULL, NULL,
		  "spec.containers[0].ports[0].hostPort: Invalid value: 0: must match `containerPort` when "
		  "`hostNetwork` is true" },
		/* Without a selector nothing is found. */
		{ deploy, "{'spec':{" STRATEGY "," TEMPLATE("'a':'b'", PLAIN) "}}", NULL, NULL,
		  "[spec.selector: Required value, " NO_MATCH("'a':'b'") "]" },
		{ ds, "{'spec':{'updateStrategy':{'type':'OnDelete'}," TEMPLATE("'a':'b'", PLAIN) "}}", NULL, NULL,
		  NO_MATCH("'a':'b'") },
		{ job, "{'spec':{'manualSelector':true," TEMPLATE("'a':'b'", "'restartPolicy':'Never'," PLAIN) "}}",
		  NULL, NULL, "[spec.selector: Required value, " NO_MATCH("'a':'b'") "]" },
		{ rs,
		  "{'spec':{'selector':{'matchExpressions':[{'key':'a','operator':'X'}]}," TEMPLATE("'a':'b'",
												    PLAIN) "}}",
		  NULL, NULL,
		  "[spec.selector.matchExpressions[0].operator: Invalid value: 'X': not a valid selector operator, "
		  "spec.selector: "
		  "Invalid value: {'matchExpressions':[{'key':'a','operator':'X'}]}: invalid label selector]" },
		{ ds, "{'spec':{" MATCHES ",'updateStrategy':{'type':'X'}," TEMPLATE("'a':'b'", PLAIN) "}}", NULL, NULL,
		  "spec.updateStrategy: Unsupported value: {'type':'X'}: supported values: 'RollingUpdate', "
		  "'OnDelete'" },
		/* A Job finds its pods by labels of its own. */
		{ job,
		  "{'metadata':{'name':'j','uid':'u'},'spec':{'selector':{'matchLabels':{'a':'b'}},"
		  "'template':{'metadata':{'labels':{'a':'b','controller-uid':'u','job-name':'j',"
		  "'batch.kubernetes.io/controller-uid':'u','batch.kubernetes.io/"
		  "job-name':'x'}},'spec':{'restartPolicy':"
		  "'Never'," PLAIN "}}}}",
		  NULL, NULL,
		  "[spec.template.labels[batch.kubernetes.io/job-name]: Invalid value: "
		  "{'a':'b','controller-uid':'u','job-name':'j',"
		  "'batch.kubernetes.io/controller-uid':'u','batch.kubernetes.io/job-name':'x'}: must be 'j', "
		  "spec.selector: "
		  "Invalid value: {'matchLabels':{'a':'b'}}: `selector` not auto-generated]" },
	};

	(void)state;
	run(cases, ARRAY_LEN(cases));
}

/* Rules of pods that only those who know them miss. */
static void test_pod_details(void **state)
{
	const struct resource *pod = RES(core_pods), *node = RES(core_nodes);
	const struct kind_case cases[] = {
		{ pod, "{'spec':{'containers':[{'name':'c','image':'i','ports':[{'name':'A_B_C_D_E_F_G_H'}]}]}}", NULL,
		  NULL,
		  "[spec.containers[0].ports[0].name: Invalid value: 'A_B_C_D_E_F_G_H': must contain only "
		  "alpha-numeric characters "
		  "(a-z, 0-9), and hyphens (-), spec.containers[0].ports[0].name: Invalid value: 'A_B_C_D_E_F_G_H': "
		  "must contain at "
		  "least one letter (a-z), spec.containers[0].ports[0].containerPort: Required value]" },
		{ pod,
		  "{'spec':{'containers':[{'name':'c','image':'i','resources':{'limits':{'cpu':'1','hugepages-2Mi':'"
		  "3Mi'}}}]}}",
		  NULL, NULL,
		  "spec.containers[0].resources.limits[hugepages-2Mi]: Invalid value: '3Mi': 3Mi is not positive "
		  "integer multiple "
		  "of hugepages-2Mi" },
		{ pod, "{'spec':{'os':{'name':'x'}," PLAIN "}}", NULL, NULL,
		  "spec.os: Unsupported value: 'x': supported values: 'linux', 'windows'" },
		{ pod, "{'spec':{'shareProcessNamespace':true,'hostPID':true," PLAIN "}}", NULL, NULL,
		  "spec.securityContext.shareProcessNamespace: Invalid value: true: ShareProcessNamespace and HostPID "
		  "cannot both be "
		  "enabled" },
		{ pod,
		  "{'spec':{'containers':[{'name':'c','image':'i','securityContext':{'windowsOptions':{'hostProcess':"
		  "true}}},"
		  "{'name':'d','image':'i'}]}}",
		  NULL, NULL,
		  "[spec: Invalid value: '': If pod contains any hostProcess containers then all containers must be "
		  "HostProcess "
		  "containers, spec.hostNetwork: Invalid value: false: hostNetwork must be true if pod contains any "
		  "hostProcess "
		  "containers]" },
		{ pod,
		  "{'spec':{'affinity':{'podAffinity':{'requiredDuringSchedulingIgnoredDuringExecution':[{'topologyKey'"
		  ":'z',"
		  "'namespaces':['A']}]}}," PLAIN "}}",
		  NULL, NULL,
		  "spec.affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution[0].namespace: Invalid "
		  "value: 'A': a "
		  "lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start "
		  "and end with "
		  "an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is "
		  "'[a-z0-9]([-a-z0-9]*[a-z0-9])?')" },
		{ pod,
		  "{'spec':{'topologySpreadConstraints':[{'maxSkew':1,'topologyKey':'z','whenUnsatisfiable':'"
		  "DoNotSchedule'},"
		  "{'maxSkew':2,'topologyKey':'z','whenUnsatisfiable':'DoNotSchedule'}]," PLAIN "}}",
		  NULL, NULL,
		  "spec.topologySpreadConstraints[0].{topologyKey, whenUnsatisfiable}: Duplicate value: '{z, "
		  "DoNotSchedule}'" },
		{ pod,
		  "{'metadata':{'annotations':{'seccomp.security.alpha.kubernetes.io/pod':'x',"
		  "'container.apparmor.security.beta.kubernetes.io/d':'x'}},'spec':{" PLAIN "}}",
		  NULL, NULL,
		  "[metadata.annotations.seccomp.security.alpha.kubernetes.io/pod: Invalid value: 'x': must be a valid "
		  "seccomp "
		  "profile, metadata.annotations[container.apparmor.security.beta.kubernetes.io/d]: Invalid value: "
		  "'d': container "
		  "not found, metadata.annotations[container.apparmor.security.beta.kubernetes.io/d]: Invalid value: "
		  "'x': invalid "
		  "AppArmor profile name: \"x\"]" },
		{ pod,
		  "{'spec':{'volumes':[{'name':'v','hostPath':{'path':'/x'}}],'containers':[{'name':'c','image':'i',"
		  "'volumeMounts':[{'name':'v','mountPath':'/a'}],'volumeDevices':[{'name':'v','devicePath':'/a'}]}]}}",
		  NULL, NULL,
		  "[spec.containers[0].volumeMounts[0].name: Invalid value: 'v': must not already exist in "
		  "volumeDevices, "
		  "spec.containers[0].volumeMounts[0].mountPath: Invalid value: '/a': must not already exist as a path "
		  "in "
		  "volumeDevices, spec.containers[0].volumeDevices[0].name: Invalid value: 'v': can only use volume "
		  "source type of "
		  "PersistentVolumeClaim or Ephemeral for block mode, spec.containers[0].volumeDevices[0].name: "
		  "Invalid value: 'v': "
		  "must not already exist in volumeMounts, spec.containers[0].volumeDevices[0].devicePath: Invalid "
		  "value: '/a': must "
		  "not already exist as a path in volumeMounts]" },
		{ node, "{'spec':{'taints':[{'key':'a','effect':'X'},{'key':'a'}]}}", NULL, NULL,
		  "[metadata.taints[0].effect: Unsupported value: 'X': supported values: 'NoSchedule', "
		  "'PreferNoSchedule', "
		  "'NoExecute', metadata.taints[1].effect: Required value]" },
	};

	(void)state;
	run(cases, ARRAY_LEN(cases));
}

/* Trust bundles and certificates that a pod gets as files. */
static void test_projected_certificates(void **state)
{
#define PROJECTED(sources) POD(C ",'volumes':[{'name':'v','projected':{'sources':[" sources "]}}]")
#define SOURCE_AT "spec.volumes[0].projected.sources[0]."
#define BUNDLE(text) PROJECTED("{'clusterTrustBundle':{" text "}}")
#define BUNDLE_AT SOURCE_AT "clusterTrustBundlePEM"
#define CERT(text) PROJECTED("{'podCertificate':{'signerName':'a.io/b','keyType':'ED25519'," text "}}")
	const struct resource *r = RES(core_pods);
	const struct kind_case cases[] = {
		{ r, BUNDLE("'name':'a.b','path':'x'"), NULL, NULL, NULL },
		{ r, BUNDLE("'name':'a.io:b:c','path':'x'"), NULL, NULL, NULL },
		{ r, BUNDLE("'signerName':'a.io/b','labelSelector':{},'path':'x'"), NULL, NULL, NULL },
		{ r, BUNDLE("'path':'x'"), NULL, NULL,
		  BUNDLE_AT ": Required value: either name or signerName must be specified" },
		{ r, BUNDLE("'name':'a','signerName':'a.io/b','path':'x'"), NULL, NULL,
		  BUNDLE_AT
		  ": Invalid value: {'name':'a','signerName':'a.io/b','path':'x'}: only one of name and signerName "
		  "may be used" },
		{ r, BUNDLE("'name':'a','labelSelector':{},'path':'../x'"), NULL, NULL,
		  "[" BUNDLE_AT
		  ".labelSelector: Invalid value: {}: labelSelector must be unset if name is specified, " BUNDLE_AT
		  ".path: Invalid value: '../x': must not contain '..']" },
		{ r, BUNDLE("'signerName':'a','path':''"), NULL, NULL,
		  "[" BUNDLE_AT
		  ".signerName: Invalid value: 'a': must be a fully qualified domain and path of the form "
		  "'example.com/signer-name', " BUNDLE_AT ".path: Required value]" },
		{ r, BUNDLE("'signerName':'a/b','path':'x'"), NULL, NULL,
		  BUNDLE_AT ".signerName: Invalid value: 'a': should be a domain with at least two segments" },
		{ r, BUNDLE("'signerName':'a.io./b','path':'x'"), NULL, NULL,
		  BUNDLE_AT
		  ".signerName: Invalid value: 'a.io.': validating label '': a lowercase RFC 1123 label must consist "
		  "of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character "
		  "(e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')" },
		{ r, CERT("'credentialBundlePath':'x'"), NULL, NULL, NULL },
		{ r, CERT("'credentialBundlePath':'x','userAnnotations':{'a.io/b':'any thing'}"), NULL, NULL, NULL },
		{ r, CERT("'credentialBundlePath':'x','userAnnotations':{'a':'b'}"), NULL, NULL,
		  SOURCE_AT "podCertificate.userAnnotations[a]: Invalid value: 'a': key must be domain-prefixed" },
		{ r, CERT("'maxExpirationSeconds':60"), NULL, NULL,
		  "[" SOURCE_AT
		  "podCertificate.maxExpirationSeconds: Invalid value: 60: if provided, maxExpirationSeconds must "
		  "be >= 3600, " SOURCE_AT
		  "podCertificate: Required value: specify at least one of credentialBundlePath, "
		  "keyPath, and certificateChainPath]" },
		{ r, CERT("'maxExpirationSeconds':7862401,'keyPath':'x','certificateChainPath':'x'"), NULL, NULL,
		  "[spec.volumes[0].projected.sources: Invalid value: 'x': conflicting duplicate paths, " SOURCE_AT
		  "podCertificate.maxExpirationSeconds: Invalid value: 7862401: if provided, maxExpirationSeconds must "
		  "be <= "
		  "7862400]" },
		{ r,
		  PROJECTED("{'podCertificate':{'signerName':'kubernetes.io/b','keyType':'ED25519','keyPath':'x',"
			    "'maxExpirationSeconds':86401}}"),
		  NULL, NULL,
		  SOURCE_AT
		  "podCertificate.maxExpirationSeconds: Invalid value: 86401: if provided, maxExpirationSeconds must "
		  "be <= 86400" },
		{ r, PROJECTED("{'podCertificate':{'keyPath':'x'}}"), NULL, NULL,
		  "[" SOURCE_AT "podCertificate.signerName: Required value, " SOURCE_AT
		  "podCertificate.keyType: Unsupported value: '': supported values: 'RSA3072', 'RSA4096', 'ECDSAP256', "
		  "'ECDSAP384', 'ECDSAP521', 'ED25519']" },
	};

	(void)state;
	run(cases, ARRAY_LEN(cases));
}

/* A class of attributes is of CSI volumes; leadership that is arranged has a known way. */
static void test_attributes_class_and_lease(void **state)
{
#define OF_CLASS(more) "{'spec':{'accessModes':['ReadWriteOnce'],'capacity':{'storage':'1Gi'}," more "}}"
#define CSI "'csi':{'driver':'d.io','volumeHandle':'h'}"
	const struct resource *pv = RES(core_persistentvolumes), *lease = RES(coordination_leases);
	const struct kind_case cases[] = {
		{ pv, OF_CLASS(CSI ",'volumeAttributesClassName':'gold'"), NULL, NULL, NULL },
		{ pv, OF_CLASS(CSI ",'volumeAttributesClassName':''"), NULL, NULL,
		  "spec.volumeAttributesClassName: Required value: an empty string is disallowed" },
		{ pv, OF_CLASS("'hostPath':{'path':'/x'},'volumeAttributesClassName':'gold'"), NULL, NULL,
		  "spec.csi: Required value: has to be specified when using volumeAttributesClassName" },
		{ pv, OF_CLASS(CSI), OF_CLASS(CSI ",'volumeAttributesClassName':'gold'"), NULL,
		  "spec.volumeAttributesClassName: Forbidden: update from non-nil value to nil is forbidden" },
		{ pv, OF_CLASS(CSI ",'volumeAttributesClassName':'gold'"), OF_CLASS(CSI), NULL, NULL },
		{ lease, "{'spec':{'strategy':'OldestEmulationVersion'}}", NULL, NULL, NULL },
		{ lease, "{'spec':{'strategy':'a.io/b'}}", NULL, NULL, NULL },
		{ lease, "{'spec':{'strategy':'Youngest'}}", NULL, NULL,
		  "spec.strategy.strategy: Unsupported value: 'Youngest': supported values: 'OldestEmulationVersion'" },
	};

	(void)state;
	run(cases, ARRAY_LEN(cases));
}

#define HPA(spec) "{'apiVersion':'autoscaling/v2','spec':{" spec "}}"
#define HPA_REF "'scaleTargetRef':{'kind':'Deployment','name':'d','apiVersion':'apps/v1'},'maxReplicas':3"
#define HPA_METRIC(m) HPA(HPA_REF ",'metrics':[" m "]")
#define HPA_PODS "{'type':'Pods','pods':{'metric':{'name':'m'},'target':{'type':'AverageValue','averageValue':'1'}}}"

static void test_autoscalers(void **state)
{
	const struct resource *v2 = RES(autoscaling_horizontalpodautoscalers),
			      *v1 = RES(autoscaling_horizontalpodautoscalers_v1);
	const struct kind_case cases[] = {
		{ v2, HPA_METRIC(HPA_PODS), NULL, NULL, NULL },
		{ v2, HPA(HPA_REF ",'minReplicas':-1"), NULL, NULL,
		  "spec.minReplicas: Invalid value: -1: must be greater than or equal to 0" },
		{ v2, HPA(HPA_REF ",'minReplicas':0"), NULL, NULL,
		  "spec.metrics: Forbidden: must specify at least one Object or External metric to support scaling to "
		  "zero replicas" },
		{ v2,
		  HPA(HPA_REF ",'minReplicas':0,'metrics':[{'type':'External','external':{'metric':{'name':'m'},'"
			      "target':{'type':"
			      "'Value','value':'1'}}}]"),
		  NULL, NULL, NULL },
		{ v2, HPA("'scaleTargetRef':{'kind':'','name':'a/b','apiVersion':'a/b/c'},'maxReplicas':0"), NULL, NULL,
		  "[spec.maxReplicas: Required value: must be set and greater than 0, spec.maxReplicas: Invalid value: "
		  "0: "
		  "must be greater than or equal to `minReplicas`, spec.scaleTargetRef.kind: Required value, "
		  "spec.scaleTargetRef.name: Invalid value: 'a/b': may not contain '/', "
		  "spec.scaleTargetRef.apiVersion: "
		  "Invalid value: 'a/b/c': unexpected GroupVersion string: a/b/c]" },
		/* What is scaled has a group, but for the one kind of core that can be; what was there is not judged.
		 */
		{ v2, HPA("'scaleTargetRef':{'kind':'Deployment','name':'d'},'maxReplicas':1"), NULL, NULL,
		  "spec.scaleTargetRef.apiVersion: Invalid value: '': apiVersion must specify API group" },
		{ v2, HPA("'scaleTargetRef':{'kind':'ReplicationController','name':'d'},'maxReplicas':1"), NULL, NULL,
		  NULL },
		{ v2, HPA("'scaleTargetRef':{'kind':'Deployment','name':'d'},'maxReplicas':1"),
		  HPA("'scaleTargetRef':{'kind':'Deployment','name':'e'},'maxReplicas':1"), NULL, NULL },
		/* Twice a cause, once in words. */
		{ v2, HPA_METRIC("{'type':'X'}"), NULL, NULL,
		  "spec.metrics[0].type: Unsupported value: 'X': supported values: 'ContainerResource', 'External', "
		  "'Object', 'Pods', 'Resource'" },
		{ v2, HPA_METRIC("{'type':'Resource'}"), NULL, NULL,
		  "spec.metrics[0].resource: Required value: must populate information for the given metric source" },
		{ v2,
		  HPA_METRIC(
		      "{'type':'Pods','pods':{'metric':{'name':'m'},'target':{'type':'AverageValue',"
		      "'averageValue':'1'}},'external':{'metric':{'name':'m'},'target':{'type':'Value','value':'1',"
		      "'averageValue':'1'}}}"),
		  NULL, NULL,
		  "[spec.metrics[0].external.target.value: Forbidden: may not set both a target value for metric and a "
		  "per-pod target, spec.metrics[0].external: Forbidden: must populate the given metric source only]" },
		{ v2,
		  HPA_METRIC("{'type':'Object','object':{'describedObject':{'kind':'K','name':'','apiVersion':'a/b/c'},"
			     "'metric':{'name':'a/b'},'target':{'type':'X','value':'0'}}}"),
		  NULL, NULL,
		  "[spec.metrics[0].object.describedObject.name: Required value, "
		  "spec.metrics[0].object.describedObject.apiVersion: Invalid value: 'a/b/c': unexpected GroupVersion "
		  "string: a/b/c, spec.metrics[0].object.metric.name: Invalid value: 'a/b': may not contain '/', "
		  "spec.metrics[0].object.target.type: Invalid value: 'X': must be either Utilization, Value, or "
		  "AverageValue, spec.metrics[0].object.target.value: Invalid value: '0': must be positive]" },
		{ v2,
		  HPA_METRIC("{'type':'ContainerResource','containerResource':{'name':'pods','container':'A','target':{"
			     "'type':'Utilization','averageUtilization':0,'averageValue':'1'}}}"),
		  NULL, NULL,
		  "[spec.metrics[0].containerResource.name: Invalid value: 'pods': must be a standard resource for "
		  "containers, spec.metrics[0].containerResource.container: Invalid value: 'A': a lowercase RFC 1123 "
		  "label "
		  "must consist of lower case alphanumeric characters or '-', and must start and end with an "
		  "alphanumeric "
		  "character (e.g. 'my-name',  or '123-abc', regex used for validation is "
		  "'[a-z0-9]([-a-z0-9]*[a-z0-9])?'), "
		  "spec.metrics[0].containerResource.target.averageUtilization: Invalid value: 0: must be greater than "
		  "0, "
		  "spec.metrics[0].containerResource.target.averageValue: Forbidden: may not set both a target raw "
		  "value "
		  "and a target utilization]" },
		{ v2, HPA_METRIC("{'type':'Resource','resource':{'name':'','target':{'type':''}}}"), NULL, NULL,
		  "[spec.metrics[0].resource.name: Required value: must specify a resource name, "
		  "spec.metrics[0].resource.target.type: Required value: must specify a metric target type, "
		  "spec.metrics[0].resource.target.type: Invalid value: '': must be either Utilization, Value, or "
		  "AverageValue, spec.metrics[0].resource.target.averageUtilization: Required value: must set either a "
		  "target raw value or a target utilization]" },
		{ v2,
		  HPA(HPA_REF
		      ",'behavior':{'scaleUp':{'stabilizationWindowSeconds':3601,'selectPolicy':'X','tolerance':"
		      "'-1','policies':[{'type':'Y','value':0,'periodSeconds':1801}]},'scaleDown':{"
		      "'stabilizationWindowSeconds':-1}}"),
		  NULL, NULL,
		  "[spec.behavior.scaleUp.stabilizationWindowSeconds: Invalid value: 3601: must be less than or equal "
		  "to "
		  "3600, spec.behavior.scaleUp.selectPolicy: Unsupported value: 'X': supported values: 'Disabled', "
		  "'Max', "
		  "'Min', spec.behavior.scaleUp.policies[0].type: Unsupported value: 'Y': supported values: 'Percent', "
		  "'Pods', spec.behavior.scaleUp.policies[0].value: Invalid value: 0: must be greater than zero, "
		  "spec.behavior.scaleUp.policies[0].periodSeconds: Invalid value: 1801: must be less than or equal to "
		  "1800, spec.behavior.scaleUp.tolerance: Invalid value: '-1': must be greater than or equal to 0, "
		  "spec.behavior.scaleDown.stabilizationWindowSeconds: Invalid value: -1: must be greater than or "
		  "equal to "
		  "zero, spec.behavior.scaleDown.policies: Required value: must specify at least one Policy]" },
		{ v2, HPA("'maxReplicas':0"), HPA("'maxReplicas':0"), "status", NULL },
		{ v2, "{'apiVersion':'autoscaling/v2','status':{'currentReplicas':-1,'desiredReplicas':-2}}", NULL,
		  "status",
		  "[status.currentReplicas: Invalid value: -1: must be greater than or equal to 0, "
		  "status.desiredReplicas: Invalid value: -2: must be greater than or equal to 0]" },
		{ v1, "{'apiVersion':'autoscaling/v1','spec':{" HPA_REF ",'targetCPUUtilizationPercentage':-1}}", NULL,
		  NULL,
		  "spec.metrics[0].resource.target.averageUtilization: Invalid value: -1: must be greater than 0" },
	};

	(void)state;
	run(cases, ARRAY_LEN(cases));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_projected_certificates),
		cmocka_unit_test(test_attributes_class_and_lease),
		cmocka_unit_test(test_autoscalers),
		cmocka_unit_test(test_storage),
		cmocka_unit_test(test_networking),
		cmocka_unit_test(test_job_policies),
		cmocka_unit_test(test_pod_parts),
		cmocka_unit_test(test_amounts),
		cmocka_unit_test(test_volumes_and_sets),
		cmocka_unit_test(test_templates),
		cmocka_unit_test(test_pod_details),
	};

	return cmocka_run_group_tests_name("validate_rarer", tests, NULL, NULL);
}
