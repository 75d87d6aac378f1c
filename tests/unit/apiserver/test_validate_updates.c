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
	"previously negative)"

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
		{ r, POD("'containers':[{'name':'c','image':'i','command':['x']}]"), POD(C), NULL, OTHER_POD_FIELD },
		{ r, POD(C ",'terminationGracePeriodSeconds':1"), POD(C ",'terminationGracePeriodSeconds':5"), NULL,
		  OTHER_POD_FIELD },
		{ r, POD(C ",'nodeSelector':{'a':'b'}"), POD(C), NULL, OTHER_POD_FIELD },
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
#define NODES(k) ",'nodeAffinity':{'required':{'nodeSelectorTerms':[" TERM(KEY(k)) "]}}"

static void test_storage(void **state)
{
	const struct resource *pvc = RES(core_persistentvolumeclaims), *pv = RES(core_persistentvolumes);
	static const char fixed[] = "spec: Forbidden: spec is immutable after creation except resources.requests and "
				    "volumeAttributesClassName for bound claims";
	const struct kind_case cases[] = {
		{ pvc, PVC(SIZE("2Gi"), ""), PVC(SIZE("1Gi"), BOUND), NULL, NULL },
		{ pvc, PVC(SIZE("1Gi") ",'volumeName':'x'", ""), PVC(SIZE("1Gi"), ""), NULL, NULL },
		{ pvc, PVC(SIZE("1Gi") ",'storageClassName':'x'", ""), PVC(SIZE("1Gi"), ""), NULL, NULL },
		{ pvc, PVC(SIZE("2Gi"), ""), PVC(SIZE("1Gi"), ""), NULL, fixed },
		{ pvc, PVC(SIZE("1Gi") ",'volumeName':'y'", ""), PVC(SIZE("1Gi") ",'volumeName':'x'", ""), NULL,
		  fixed },
		{ pvc, PVC(SIZE("1Gi") ",'selector':{'matchLabels':{'a':'b'}}", ""), PVC(SIZE("1Gi"), BOUND), NULL,
		  fixed },
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pods),
		cmocka_unit_test(test_workloads),
		cmocka_unit_test(test_storage),
		cmocka_unit_test(test_others),
	};

	return cmocka_run_group_tests_name("validate_updates", tests, NULL, NULL);
}
