/* What an update may change, kind by kind: each exception from immutability, and what is beside it. */
#include "validate_table.h"

#define C "'containers':[{'name':'c','image':'i'}]"
#define POD(spec) "{'metadata':{'name':'p'},'spec':{" spec "}}"
#define TERMS(list)                                                                                          \
	"'affinity':{'nodeAffinity':{'requiredDuringSchedulingIgnoredDuringExecution':{'nodeSelectorTerms':" \
	"[" list "]}}}"
#define TERM(list) "{'matchExpressions':[" list "]}"
#define KEY(k) "{'key':'" k "','operator':'Exists'}"
#define GATED ",'schedulingGates':[{'name':'g'}]"
#define TERMS_AT "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms"
#define OTHER_POD_FIELD                                                                                      \
	"spec: Forbidden: pod updates may not change fields other than `spec.containers[*].image`,"          \
	"`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to " \
	"existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was "     \
	"previously negative)\nchanged: "

static void test_pods(void **state)
{
	const struct resource *r = RES(core_pods);
	const struct kind_case cases[] = {
		/* may change */
		{ r, POD("'containers':[{'name':'c','image':'j'}]"), POD(C), NULL, NULL },
		{ r, POD(C ",'initContainers':[{'name':'d','image':'j'}]"),
		  POD(C ",'initContainers':[{'name':'d','image':'i'}]"), NULL, NULL },
		{ r, POD(C ",'activeDeadlineSeconds':9"), POD(C), NULL, NULL },
		{ r, POD(C ",'activeDeadlineSeconds':5"), POD(C ",'activeDeadlineSeconds':9"), NULL, NULL },
		{ r, POD(C ",'tolerations':[{'key':'a','operator':'Exists'}]"), POD(C), NULL, NULL },
		{ r,
		  POD(C ",'tolerations':[{'key':'a','operator':'Exists','effect':'NoExecute','tolerationSeconds':9}]"),
		  POD(C ",'tolerations':[{'key':'a','operator':'Exists','effect':'NoExecute','tolerationSeconds':5}]"),
		  NULL, NULL },
		{ r, POD(C ",'terminationGracePeriodSeconds':1"), POD(C ",'terminationGracePeriodSeconds':-5"), NULL,
		  NULL },
		{ r, POD(C), POD(C GATED), NULL, NULL },
		{ r, POD(C GATED ",'nodeSelector':{'a':'b'}"), POD(C GATED), NULL, NULL },
		{ r, POD(C GATED "," TERMS(TERM(KEY("a") "," KEY("b")))), POD(C GATED "," TERMS(TERM(KEY("a")))), NULL,
		  NULL },
		{ r, POD(C GATED "," TERMS(TERM(KEY("a")))), POD(C GATED), NULL, NULL },
		/* may not */
		{ r, POD("'containers':[{'name':'c','image':'i','command':['x']}]"), POD(C), NULL,
		  OTHER_POD_FIELD "spec.containers[0].command" },
		{ r, POD(C ",'terminationGracePeriodSeconds':1"), POD(C ",'terminationGracePeriodSeconds':5"), NULL,
		  OTHER_POD_FIELD "spec.terminationGracePeriodSeconds" },
		{ r, POD(C ",'nodeSelector':{'a':'b'}"), POD(C), NULL, OTHER_POD_FIELD "spec.nodeSelector" },
		{ r, POD(C), POD(C ",'activeDeadlineSeconds':9"), NULL,
		  "spec.activeDeadlineSeconds: Invalid value: 'null': must not update from a positive integer to nil "
		  "value" },
		{ r, POD(C GATED), POD(C), NULL,
		  "spec.schedulingGates[0].name: Forbidden: only deletion is allowed, but found new scheduling gate "
		  "'g'" },
		{ r, POD(C GATED), POD(C GATED ",'nodeSelector':{'a':'b'}"), NULL,
		  "spec.nodeSelector: Invalid value: 'null': only additions to spec.nodeSelector are allowed (no "
		  "mutations "
		  "or deletions)" },
		{ r, POD(C GATED "," TERMS(TERM(KEY("b")))), POD(C GATED "," TERMS(TERM(KEY("a")))), NULL,
		  TERMS_AT
		  "[0]: Invalid value: {'matchExpressions':[" KEY("b") "]}: only additions are allowed (no mutations "
								       "or deletions)" },
		{ r, POD(C GATED "," TERMS(TERM(KEY("a")))), POD(C GATED "," TERMS(TERM(KEY("a")) "," TERM(KEY("b")))),
		  NULL,
		  TERMS_AT
		  ": Invalid value: [" TERM(KEY("a")) "]: no additions/deletions to non-empty NodeSelectorTerms "
						      "list are allowed" },
		{ r,
		  "{'metadata':{'name':'p','annotations':{'kubernetes.io/config.mirror':'x'}},'spec':{'nodeName':'n'," C
		  "}}",
		  POD("'nodeName':'n'," C), NULL,
		  "metadata.annotations[kubernetes.io/config.mirror]: Forbidden: may not add mirror pod annotation" },
		{ r, POD(C),
		  "{'metadata':{'name':'p','annotations':{'container.apparmor.security.beta.kubernetes.io/c':'x'}},"
		  "'spec':{" C "}}",
		  NULL,
		  "metadata.annotations[container.apparmor.security.beta.kubernetes.io/c]: Forbidden: may not remove "
		  "or "
		  "update AppArmor annotations" },
		{ r, POD("'os':{'name':'windows'}," C), POD("'os':{'name':'windows'}," C), "resize",
		  ": Forbidden: windows pods cannot be resized" },
		/* status */
		{ r, "{'metadata':{'name':'p'},'status':{'podIPs':[{'ip':'10.0.0.1'},{'ip':'10.0.0.2'}]}}",
		  "{'metadata':{'name':'p'}}", "status",
		  "status.podIPs: Invalid value: [{'ip':'10.0.0.1'},{'ip':'10.0.0.2'}]: may specify no more than one "
		  "IP for "
		  "each IP family" },
		{ r, "{'metadata':{'name':'p'},'status':{'podIPs':[{'ip':'10.0.0.1'},{'ip':'fd00::1'}]}}",
		  "{'metadata':{'name':'p'}}", "status", NULL },
	};

	(void)state;
	run(cases, ARRAY_LEN(cases));
}

#define LABELS "'metadata':{'labels':{'a':'b'}}"
#define SELECTOR "'selector':{'matchLabels':{'a':'b'}}"
#define SET(more) "{'spec':{" SELECTOR ",'template':{" LABELS ",'spec':{" C "}}" more "}}"
#define JOB(template, more, status)                                        \
	"{'metadata':{'name':'j'},'spec':{'manualSelector':true," SELECTOR \
	",'completions':2,'parallelism':2,'template':"                     \
	"{'metadata':{'labels':{'a':'b'}},'spec':{'restartPolicy':'Never'," template "}}" more "}" status "}"
#define TEMPLATE_FIXED "spec.template: Invalid value: "
#define INDEXED ",'completionMode':'Indexed'"

/* The whole template is shown when it may not change: only the beginning is compared. */
static void fails_with(const struct resource *r, const char *now, const char *old, const char *want)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	const char *got = errors(&a, r, now, old, NULL);

	if (strncmp(got, want, strlen(want)) != 0)
		fail_msg("%s\ngot  %s\nwant %s", now, got, want);
}

static void test_workloads(void **state)
{
	const struct resource *set = RES(apps_statefulsets), *job = RES(batch_jobs),
			      *cr = RES(apps_controllerrevisions);
	const struct kind_case cases[] = {
		{ set,
		  SET(",'replicas':3,'minReadySeconds':4,'revisionHistoryLimit':5,'ordinals':{'start':1},"
		      "'updateStrategy':{'type':'OnDelete'},'persistentVolumeClaimRetentionPolicy':{'whenDeleted':'"
		      "Delete'}"),
		  SET(""), NULL, NULL },
		{ set, SET(",'podManagementPolicy':'Parallel','updateStrategy':{'type':'OnDelete'}"),
		  SET(",'updateStrategy':{'type':'OnDelete'}"), NULL,
		  "spec: Forbidden: updates to statefulset spec for fields other than 'replicas', 'ordinals', "
		  "'template', "
		  "'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and "
		  "'minReadySeconds' are "
		  "forbidden" },
		/* A Job's template: nothing, or while suspended where its pods go and what they ask for. */
		{ job, JOB(C ",'nodeSelector':{'x':'y'},'tolerations':[{'operator':'Exists'}]", ",'suspend':true", ""),
		  JOB(C, ",'suspend':true", ""), NULL, NULL },
		{ job,
		  JOB("'containers':[{'name':'c','image':'i','resources':{'requests':{'cpu':'1'}}}]", ",'suspend':true",
		      ""),
		  JOB(C, ",'suspend':true", ""), NULL, NULL },
		{ job, JOB(C "," TERMS(TERM(KEY("a"))), ",'suspend':true", ""), JOB(C, ",'suspend':true", ""), NULL,
		  NULL },
		{ job, JOB(C, ",'parallelism':5,'backoffLimit':3,'activeDeadlineSeconds':7", ""), JOB(C, "", ""), NULL,
		  NULL },
		{ job, JOB(C, INDEXED ",'completions':3,'parallelism':3", ""), JOB(C, INDEXED, ""), NULL, NULL },
		{ job, JOB(C, INDEXED ",'completions':3,'parallelism':2", ""), JOB(C, INDEXED, ""), NULL,
		  "spec.completions: Invalid value: 3: can only be modified in tandem with spec.parallelism" },
		{ job, JOB(C, ",'completions':3", ""), JOB(C, "", ""), NULL,
		  "spec.completions: Invalid value: 3: field is immutable" },
		{ job, JOB(C, INDEXED, ""), JOB(C, "", ""), NULL,
		  "spec.completionMode: Invalid value: 'Indexed': field is immutable" },
		{ cr, "{'revision':2,'data':{'a':1}}", "{'revision':1,'data':{'a':1}}", NULL, NULL },
		{ cr, "{'revision':1,'data':{'a':2}}", "{'revision':1,'data':{'a':1}}", NULL,
		  "data: Invalid value: {'a':2}: field is immutable" },
	};

	(void)state;
	run(cases, ARRAY_LEN(cases));
	fails_with(job, JOB(C ",'nodeSelector':{'x':'y'}", "", ""), JOB(C, "", ""), TEMPLATE_FIXED);
	fails_with(job, JOB("'containers':[{'name':'c','image':'j'}]", ",'suspend':true", ""),
		   JOB(C, ",'suspend':true", ""), TEMPLATE_FIXED);
	fails_with(job, JOB(C ",'nodeSelector':{'x':'y'}", ",'suspend':true", ""),
		   JOB(C, ",'suspend':true", ",'status':{'active':1}"), TEMPLATE_FIXED);
}

#define PVC(spec, more) "{'metadata':{'name':'v'},'spec':{'accessModes':['ReadWriteOnce']," spec "}" more "}"
#define SIZE(n) "'resources':{'requests':{'storage':'" n "'}}"
#define BOUND ",'status':{'phase':'Bound','capacity':{'storage':'1Gi'}}"
#define PV(more)                                                                                                      \
	"{'metadata':{'name':'v'},'spec':{'accessModes':['ReadWriteOnce'],'capacity':{'storage':'1Gi'},'hostPath':{'" \
	"path':'/a'}" more "}}"
#define FIXED                                                                              \
	"spec: Forbidden: spec is immutable after creation except resources.requests and " \
	"volumeAttributesClassName for bound claims\nchanged: "
#define NODES(k) ",'nodeAffinity':{'required':{'nodeSelectorTerms':[" TERM(KEY(k)) "]}}"

static void test_storage(void **state)
{
	const struct resource *pvc = RES(core_persistentvolumeclaims), *pv = RES(core_persistentvolumes);
	const struct kind_case cases[] = {
		{ pvc, PVC(SIZE("2Gi"), ""), PVC(SIZE("1Gi"), BOUND), NULL, NULL },
		{ pvc, PVC(SIZE("1Gi") ",'volumeName':'x'", ""), PVC(SIZE("1Gi"), ""), NULL, NULL },
		{ pvc, PVC(SIZE("1Gi") ",'storageClassName':'x'", ""), PVC(SIZE("1Gi"), ""), NULL, NULL },
		{ pvc, PVC(SIZE("2Gi"), ""), PVC(SIZE("1Gi"), ""), NULL, FIXED "spec.resources.requests.storage" },
		{ pvc, PVC(SIZE("1Gi") ",'volumeName':'y'", ""), PVC(SIZE("1Gi") ",'volumeName':'x'", ""), NULL,
		  FIXED "spec.volumeName" },
		{ pvc, PVC(SIZE("1Gi") ",'selector':{'matchLabels':{'a':'b'}}", ""), PVC(SIZE("1Gi"), BOUND), NULL,
		  FIXED "spec.selector" },
		{ pv, PV(",'persistentVolumeReclaimPolicy':'Delete','storageClassName':'x'"), PV(""), NULL, NULL },
		{ pv, PV(NODES("a")), PV(""), NULL, NULL },
		{ pv, PV(NODES("kubernetes.io/os")), PV(NODES("beta.kubernetes.io/os")), NULL, NULL },
		{ pv, PV(""), PV(NODES("a")), NULL,
		  "nodeAffinity: Invalid value: 'null': field is immutable, except for updating from beta label to "
		  "GA" },
		{ pv, PV(",'volumeMode':'Block'"), PV(""), NULL,
		  "volumeMode: Invalid value: 'Block': field is immutable" },
	};

	(void)state;
	run(cases, ARRAY_LEN(cases));
}

static void test_others(void **state)
{
	const struct resource *cm = RES(core_configmaps), *secret = RES(core_secrets), *role = RES(rbac_rolebindings);
	const struct resource *pc = RES(scheduling_priorityclasses), *svc = RES(core_services),
			      *pdb = RES(policy_poddisruptionbudgets);
	const struct kind_case cases[] = {
		{ cm, "{'immutable':true,'data':{'a':'b'}}", "{'data':{'a':'c'}}", NULL, NULL },
		{ cm, "{'immutable':true,'data':{'a':'b'}}", "{'immutable':true,'data':{'a':'c'}}", NULL,
		  "data: Forbidden: field is immutable when `immutable` is set" },
		{ cm, "{'data':{'a':'c'}}", "{'immutable':true,'data':{'a':'c'}}", NULL,
		  "immutable: Forbidden: field is immutable when `immutable` is set" },
		{ secret, "{'type':'x','data':{}}", "{'type':'y','data':{}}", NULL,
		  "type: Invalid value: 'x': field is immutable" },
		{ role, "{'roleRef':{'apiGroup':'rbac.authorization.k8s.io','kind':'Role','name':'b'}}",
		  "{'roleRef':{'apiGroup':'rbac.authorization.k8s.io','kind':'Role','name':'a'}}", NULL,
		  "roleRef: Invalid value: {'apiGroup':'rbac.authorization.k8s.io','kind':'Role','name':'b'}: cannot "
		  "change "
		  "roleRef" },
		{ pc, "{'metadata':{'name':'a'},'value':2}", "{'metadata':{'name':'a'},'value':1}", NULL,
		  "value: Forbidden: may not be changed in an update." },
		/* All of a budget may change since it is v1. */
		{ pdb, "{'spec':{'selector':{'matchLabels':{'a':'b'}},'maxUnavailable':1}}",
		  "{'spec':{'minAvailable':1}}", NULL, NULL },
		/* Addresses come first, and alone. */
		{ svc,
		  "{'spec':{'type':'ClusterIP','clusterIP':'10.0.0.1','clusterIPs':['10.0.0.2'],'ports':[{'port':0}]}}",
		  "{'spec':{'type':'ClusterIP','clusterIP':'10.0.0.1','clusterIPs':['10.0.0.1'],'ports':[{'port':1}]}}",
		  NULL, "spec.clusterIPs: Invalid value: ['10.0.0.2']: first value must match `clusterIP`" },
	};

	(void)state;
	run(cases, ARRAY_LEN(cases));
}

/* A Job ends in two steps, and what its status has said it does not take back. */
static void test_job_status(void **state)
{
#define JOB_OF(spec, status) "{'spec':{" spec "},'status':{" status "}}"
#define TRUE(type) "{'type':'" type "','status':'True'}"
#define CONDS(list) "'conditions':[" list "]"
#define T0 "'startTime':'2024-01-01T00:00:00Z'"
#define T1 "'completionTime':'2024-01-01T00:01:00Z'"
#define COND_AT "status.conditions: Invalid value: "
	const struct resource *r = RES(batch_jobs);
	const char *st = "status";
	const struct kind_case cases[] = {
		/* both ways to the end */
		{ r, JOB_OF("", T0 "," CONDS(TRUE("SuccessCriteriaMet")) ",'active':1"), JOB_OF("", T0 ",'active':1"),
		  st, NULL },
		{ r, JOB_OF("", T0 "," T1 "," CONDS(TRUE("SuccessCriteriaMet") "," TRUE("Complete"))),
		  JOB_OF("", T0 "," CONDS(TRUE("SuccessCriteriaMet"))), st, NULL },
		{ r, JOB_OF("", T0 "," CONDS(TRUE("FailureTarget") "," TRUE("Failed"))),
		  JOB_OF("", T0 "," CONDS(TRUE("FailureTarget"))), st, NULL },
		/* a step is missing, or two lead apart */
		{ r, JOB_OF("", T0 "," T1 "," CONDS(TRUE("Complete"))), JOB_OF("", T0), st,
		  COND_AT "cannot set Complete=True condition without the SuccessCriteriaMet=true condition" },
		{ r, JOB_OF("", T0 "," CONDS(TRUE("Failed"))), JOB_OF("", T0), st,
		  COND_AT "cannot set Failed=True condition without the FailureTarget=true condition" },
		{ r, JOB_OF("", T0 "," CONDS(TRUE("FailureTarget") "," TRUE("SuccessCriteriaMet"))), JOB_OF("", T0), st,
		  COND_AT "cannot set SuccessCriteriaMet=True and FailureTarget=true conditions" },
		/* what was said long ago is let be */
		{ r, JOB_OF("", T0 "," T1 "," CONDS(TRUE("Complete")) ",'succeeded':1"),
		  JOB_OF("", T0 "," T1 "," CONDS(TRUE("Complete"))), st, NULL },
		/* nothing is taken back */
		{ r, JOB_OF("", T0), JOB_OF("", T0 "," CONDS(TRUE("FailureTarget"))), st,
		  COND_AT "cannot disable the terminal FailureTarget=True condition" },
		{ r, JOB_OF("", T0), JOB_OF("", T0 "," CONDS(TRUE("SuccessCriteriaMet"))), st,
		  COND_AT "cannot disable the SuccessCriteriaMet=True condition" },
		{ r, JOB_OF("", T0 ",'failed':1"), JOB_OF("", T0 ",'failed':2"), st,
		  "status.failed: Invalid value: 1: cannot decrease the failed counter" },
		{ r, JOB_OF("", T0), JOB_OF("", T0 ",'succeeded':2"), st,
		  "status.succeeded: Invalid value: 0: cannot decrease the succeeded counter" },
		{ r, JOB_OF("'completionMode':'Indexed','completions':1,'parallelism':1", T0 ",'succeeded':1"),
		  JOB_OF("'completionMode':'Indexed','completions':2,'parallelism':2", T0 ",'succeeded':2"), st, NULL },
		/* times */
		{ r, JOB_OF("", T0 "," T1), JOB_OF("", T0), st,
		  "status.completionTime: Invalid value: '2024-01-01T00:01:00Z': cannot set completionTime when there "
		  "is no "
		  "Complete=True condition" },
		{ r, JOB_OF("", T0 "," CONDS(TRUE("SuccessCriteriaMet") "," TRUE("Complete"))), JOB_OF("", T0), st,
		  "status.completionTime: Required value: completionTime is required for Complete jobs" },
		{ r,
		  JOB_OF("", "'startTime':'2024-01-02T00:00:00Z'," T1
			     "," CONDS(TRUE("SuccessCriteriaMet") "," TRUE("Complete"))),
		  JOB_OF("", "'startTime':'2024-01-02T00:00:00Z'"), st,
		  "status.completionTime: Invalid value: '2024-01-01T00:01:00Z': completionTime cannot be set before "
		  "startTime" },
		{ r, JOB_OF("", CONDS(TRUE("FailureTarget") "," TRUE("Failed"))), JOB_OF("", ""), st,
		  "status.startTime: Required value: startTime is required for finished job" },
		{ r, JOB_OF("", ""), JOB_OF("", T0), st,
		  "status.startTime: Required value: startTime cannot be removed for unsuspended job" },
		{ r, JOB_OF("", "'startTime':'2024-01-01T00:00:01Z'"), JOB_OF("", T0), st,
		  "status.startTime: Required value: startTime cannot be removed for unsuspended job" },
		{ r, JOB_OF("", "'startTime':'2024-01-01T00:00:01Z'"), JOB_OF("", T0 "," CONDS(TRUE("Suspended"))), st,
		  NULL },
		{ r, JOB_OF("'suspend':true", ""), JOB_OF("'suspend':true", T0), st, NULL },
		/* counters and indexes */
		{ r, JOB_OF("", T0 ",'active':1," CONDS(TRUE("FailureTarget") "," TRUE("Failed"))), JOB_OF("", T0), st,
		  "status.active: Invalid value: 1: active>0 is invalid for finished job" },
		{ r, JOB_OF("", T0 ",'active':1,'ready':2"), JOB_OF("", T0), st,
		  "status.ready: Invalid value: 2: cannot set more ready pods than active" },
		{ r, JOB_OF("", T0 ",'completedIndexes':'1'"), JOB_OF("", T0), st,
		  "status.completedIndexes: Invalid value: '1': cannot set non-empty completedIndexes when non-indexed "
		  "completion "
		  "mode" },
		{ r, JOB_OF("", T0 ",'failedIndexes':''"), JOB_OF("", T0), st,
		  "status.failedIndexes: Invalid value: '': cannot set non-null failedIndexes when "
		  "backoffLimitPerIndex is null" },
	};

	(void)state;
	run(cases, ARRAY_LEN(cases));
}

/* Volumes and claims keep what they were made of; a port for health checks stays. */
static void test_kept_sources(void **state)
{
#define CSI_PV(more)                                                                             \
	"{'spec':{'accessModes':['ReadWriteOnce'],'capacity':{'storage':'1Gi'},'csi':{'driver':" \
	"'d.io','volumeHandle':'h'" more "}}}"
#define SECRET(name) ",'controllerExpandSecretRef':{'name':'" name "','namespace':'d'}"
#define CLAIM(meta, spec, status)                                                                          \
	"{'metadata':{'annotations':{" meta "}},'spec':{'accessModes':['ReadWriteOnce']," SIZE("1Gi") spec \
	    "},'status':{" status "}}"
#define BETA(class) "'volume.beta.kubernetes.io/storage-class':'" class "'"
#define APPLIED "'phase':'Bound','currentVolumeAttributesClassName':'gold'"
#define BALANCED(port)                                                                                                 \
	"{'spec':{'type':'LoadBalancer','externalTrafficPolicy':'Local','healthCheckNodePort':" port                   \
	",'clusterIP':'10.0.0.1','clusterIPs':['10.0.0.1'],'ipFamilies':['IPv4'],'ports':[{'port':80,'targetPort':80}" \
	"],'allocateLoadBalancerNodePorts':true,'internalTrafficPolicy':'Cluster'}}"
	const struct resource *pv = RES(core_persistentvolumes), *pvc = RES(core_persistentvolumeclaims),
			      *svc = RES(core_services);
	const char *fixed =
	    "spec.persistentvolumesource: Forbidden: spec.persistentvolumesource is immutable after creation";
	const struct kind_case cases[] = {
		{ pv, CSI_PV(SECRET("a")), CSI_PV(""), NULL, NULL },
		{ pv, CSI_PV(SECRET("b")), CSI_PV(SECRET("a")), NULL, fixed },
		{ pv, CSI_PV(""), CSI_PV(SECRET("a")), NULL, fixed },
		{ pv, CSI_PV(",'fsType':'xfs'"), CSI_PV(""), NULL, fixed },
		{ pv, CSI_PV(",'volumeAttributes':{'a':'b'}"), CSI_PV(""), NULL, fixed },
		{ pvc, CLAIM(BETA("b"), "", ""), CLAIM(BETA("a"), "", ""), NULL,
		  "metadata.annotations.volume.beta.kubernetes.io/storage-class: Invalid value: 'b': field is "
		  "immutable" },
		{ pvc, CLAIM("", "", ""), CLAIM(BETA("a"), "", ""), NULL,
		  "metadata.annotations.volume.beta.kubernetes.io/storage-class: Invalid value: '': field is "
		  "immutable" },
		{ pvc, CLAIM("", ",'storageClassName':'a'", ""), CLAIM(BETA("a"), "", ""), NULL, NULL },
		{ pvc, CLAIM("", "", ""), CLAIM("", ",'volumeAttributesClassName':'gold'", APPLIED), NULL,
		  "spec.volumeAttributesClassName: Forbidden: update from non-nil value to nil is forbidden" },
		{ pvc, CLAIM("", ",'volumeAttributesClassName':''", ""),
		  CLAIM("", ",'volumeAttributesClassName':'gold'", APPLIED), NULL,
		  "spec.volumeAttributesClassName: Forbidden: update from non-nil value to an empty string is "
		  "forbidden" },
		{ pvc, CLAIM("", "", ""), CLAIM("", ",'volumeAttributesClassName':'gold'", "'phase':'Bound'"), NULL,
		  NULL },
		{ pvc, CLAIM("", ",'volumeAttributesClassName':'gold'", ""), CLAIM("", "", "'phase':'Bound'"), NULL,
		  NULL },
		{ pvc, CLAIM("", ",'volumeAttributesClassName':'gold'", ""), CLAIM("", "", "'phase':'Pending'"), NULL,
		  FIXED "spec.volumeAttributesClassName" },
		{ svc, BALANCED("30001"), BALANCED("30001"), NULL, NULL },
		{ svc, BALANCED("30002"), BALANCED("30001"), NULL,
		  "spec.healthCheckNodePort: Forbidden: field is immutable" },
	};

	(void)state;
	run(cases, ARRAY_LEN(cases));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_job_status), cmocka_unit_test(test_kept_sources), cmocka_unit_test(test_pods),
		cmocka_unit_test(test_workloads),  cmocka_unit_test(test_storage),	cmocka_unit_test(test_others),
	};

	return cmocka_run_group_tests_name("validate_updates", tests, NULL, NULL);
}
