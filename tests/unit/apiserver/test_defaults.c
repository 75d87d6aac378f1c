/* What the server adds to an object, bounds by LimitRanges, and warns of: through the whole pipeline. */
#include "harness.h"

#include <stdlib.h>

#define NS "/api/v1/namespaces/default"
#define MERGE "application/merge-patch+json"

/* Bodies are written with single quotes; freed with the rig's last answer, i.e. never more than a few. */
static char *quoted(const char *text)
{
	char *copy = xstrdup(text);

	for (char *c = copy; *c; c++)
		if (*c == '\'')
			*c = '"';
	return copy;
}

static const struct val *post(struct rig *r, int code, const char *path, const char *text)
{
	_cleanup_free_ char *body = quoted(text);

	return expect(r, code, "POST", path, body);
}

static void refuse(struct rig *r, const char *path, const char *text, const char *message)
{
	_cleanup_free_ char *body = quoted(text);

	expect_status(r, 403, "Forbidden", message, &(struct ask){ .method = "POST", .path = path, .body = body });
}

static void warns(struct rig *r, const char *path, const char *text, const char *const *want)
{
	_cleanup_free_ char *body = quoted(text);
	struct answer *a = api(r, "POST", path, .body = body);
	size_t n = 0;

	assert_int_equal(a->code, 201);
	for (; want[n] && n < a->q.n_warnings; n++)
		assert_sv(a->q.warnings[n], want[n]);
	assert_null(want[n]);
	assert_int_equal(a->q.n_warnings, n);
	answer_free(a);
}

#define POD(name, spec) "{'metadata':{'name':'" name "'},'spec':{" spec "}}"
#define CON(name, res) "{'name':'" name "','image':'i','resources':{" res "}}"

static void test_limit_range(void **state)
{
	struct rig *r = *state;
	const struct val *p, *c;

	post(r, 201, NS "/serviceaccounts", "{'metadata':{'name':'default'}}");
	post(r, 201, NS "/limitranges",
	     "{'metadata':{'name':'l'},'spec':{'limits':[{'type':'Container','default':{'cpu':'300m'},'defaultRequest':"
	     "{'cpu':"
	     "'100m','memory':'1Mi'},'maxLimitRequestRatio':{'cpu':'4'}},{'type':'Pod','min':{'cpu':'50m'},'max':{'cpu'"
	     ":'1'}},"
	     "{'type':'PersistentVolumeClaim','min':{'storage':'1Gi'},'max':{'storage':'2Gi'}}]}}");
	p = post(r, 201, NS "/pods", POD("a", "'containers':[" CON("c", "") "],'initContainers':[" CON("i", "") "]"));
	c = val_at(val_get(p, F_spec, F_containers), 0);
	assert_val(val_member_sv(val_get(c, F_resources, F_limits), SV("cpu")), "300m");
	assert_val(val_member_sv(val_get(c, F_resources, F_requests), SV("cpu")), "100m");
	assert_val(
	    val_member_sv(val_get(p, F_metadata, F_annotations), SV("kubernetes.io/limit-ranger")),
	    "LimitRanger plugin set: cpu, memory request for container c; cpu limit for container c; cpu, memory "
	    "request for init container i; cpu limit for init container i");
	refuse(r, NS "/pods", POD("b", "'containers':[" CON("c", "'requests':{'cpu':'10m'}") "]"),
	       "[cpu max limit to request ratio per Container is 4, but provided ratio is 30.000000, minimum cpu usage "
	       "per Pod "
	       "is 50m, but request is 10m]");
	refuse(
	    r, NS "/pods",
	    POD("b", "'containers':[" CON("c", "'limits':{'cpu':'700m'}") "," CON("d", "'limits':{'cpu':'700m'}") "]"),
	    "pods \"b\" is forbidden: maximum cpu usage per Pod is 1, but limit is 1400m");
	/* Sidecars run beside the containers, init containers before them. */
	refuse(
	    r, NS "/pods",
	    POD("b",
		"'containers':[" CON(
		    "c", "'limits':{'cpu':'700m'}") "],'initContainers':[{'name':'s','image':'i',"
						    "'restartPolicy':'Always','resources':{'limits':{'cpu':'700m'}}}]"),
	    "maximum cpu usage per Pod is 1, but limit is 1400m");
	post(r, 201, NS "/pods",
	     POD("b",
		 "'containers':[" CON("c", "'limits':{'cpu':'700m'}") "],'initContainers':[" CON("s", "'limits':{'cpu':"
												      "'700m'}") "]"));
	refuse(r, NS "/persistentvolumeclaims",
	       "{'metadata':{'name':'v'},'spec':{'accessModes':['ReadWriteOnce'],'resources':{'requests':{'storage':'"
	       "3Gi'}}}}",
	       "persistentvolumeclaims \"v\" is forbidden: maximum storage usage per PersistentVolumeClaim is 2Gi, but "
	       "request "
	       "is 3Gi");
	refuse(r, NS "/persistentvolumeclaims",
	       "{'metadata':{'name':'v'},'spec':{'accessModes':['ReadWriteOnce'],'resources':{'requests':{'storage':'"
	       "1Mi'}}}}",
	       "minimum storage usage per PersistentVolumeClaim is 1Gi, but request is 1Mi");
	/* A running pod's resources are bounded as a new one's. */
	expect_status(
	    r, 403, "Forbidden", "maximum cpu usage per Pod is 1, but limit is 2",
	    &(struct ask){ .method = "PATCH",
			   .path = NS "/pods/b/resize",
			   .type = "application/strategic-merge-patch+json",
			   .body =
			       "{\"spec\":{\"containers\":[{\"name\":\"c\",\"resources\":{\"limits\":{\"cpu\":\"2\"},"
			       "\"requests\":{\"cpu\":\"1\"}}}]}}" });
}

static void test_defaults(void **state)
{
	struct rig *r = *state;
	const struct val *o;
	int64_t n;

	/* A Job without labels has its template's, those made for it among them; with labels it keeps them. */
	o = post(r, 201, "/apis/batch/v1/namespaces/default/jobs",
		 "{'metadata':{'name':'j'},'spec':{'template':{'metadata':{'labels':{'a':'b'}},'spec':{'restartPolicy':"
		 "'Never',"
		 "'containers':[{'name':'c','image':'repo.example/<x>/app'}]}}}}");
	assert_val(val_member_sv(val_get(o, F_metadata, F_labels), SV("job-name")), "j");
	assert_val(val_get(val_at(val_get(o, F_spec, F_template, F_spec, F_containers), 0), F_imagePullPolicy),
		   "IfNotPresent");
	o = post(
	    r, 201, "/apis/batch/v1/namespaces/default/jobs",
	    "{'metadata':{'name':'k','labels':{'a':'b'}},'spec':{'template':{'metadata':{'labels':{'a':'b'}},'spec':{"
	    "'restartPolicy':'Never','containers':[{'name':'c','image':'i'}]}}}}");
	assert_int_equal(val_len(val_get(o, F_metadata, F_labels)), 1);
	o = post(r, 201, NS "/limitranges", "{'spec':{'limits':[]}}");
	assert_int_equal(val_get_str(o, F_metadata, F_name).n, 36);
	o = post(r, 201, "/api/v1/namespaces", "{'metadata':{'generateName':'n-'}}");
	assert_int_equal(val_str(val_member_sv(val_get(o, F_metadata, F_labels), SV("kubernetes.io/metadata.name"))).n,
			 7);
	o = post(
	    r, 201, NS "/persistentvolumeclaims",
	    "{'metadata':{'name':'v'},'spec':{'accessModes':['ReadWriteOnce'],'resources':{'requests':{'storage':'1'}},"
	    "'dataSource':{'kind':'PersistentVolumeClaim','name':'x'}}}");
	assert_val(val_get(o, F_spec, F_dataSourceRef, F_name), "x");
	o = post(
	    r, 201, NS "/persistentvolumeclaims",
	    "{'metadata':{'name':'w'},'spec':{'accessModes':['ReadWriteOnce'],'resources':{'requests':{'storage':'1'}},"
	    "'dataSource':{'kind':'Pod','name':'x'}}}");
	assert_null(val_get(o, F_spec, F_dataSource));
	o = post(r, 201, NS "/services", "{'metadata':{'name':'h'},'spec':{'clusterIP':'None'}}");
	assert_val(val_get(o, F_spec, F_ipFamilyPolicy), "RequireDualStack");
	assert_int_equal(val_len(val_get(o, F_spec, F_ipFamilies)), 2);
	expect_type(r, 200, "PATCH", NS "/services/h", MERGE, "{\"metadata\":{\"labels\":{\"a\":\"b\"}}}");
	/* The template's generation counts templates only. */
	o = post(r, 201, "/apis/apps/v1/namespaces/default/daemonsets",
		 "{'metadata':{'name':'d'},'spec':{'selector':{'matchLabels':{'a':'b'}},'template':{'metadata':{'"
		 "labels':{'a':'b'}},"
		 "'spec':{'containers':[{'name':'c','image':'i'}]}}}}");
#define GENERATION(o) \
	val_member_sv(val_get((o), F_metadata, F_annotations), SV("deprecated.daemonset.template.generation"))
	assert_val(GENERATION(o), "1");
	o = expect_type(r, 200, "PATCH", "/apis/apps/v1/namespaces/default/daemonsets/d", MERGE,
			"{\"spec\":{\"minReadySeconds\":3}}");
	assert_val(GENERATION(o), "1");
	o = expect_type(r, 200, "PATCH", "/apis/apps/v1/namespaces/default/daemonsets/d", MERGE,
			"{\"spec\":{\"template\":{\"metadata\":{\"labels\":{\"x\":\"y\"}}}}}");
	assert_val(GENERATION(o), "2");
	/* Of a new one it may be a client's, and has an end. */
	post(
	    r, 201, "/apis/apps/v1/namespaces/default/daemonsets",
	    "{'metadata':{'name':'e','annotations':{'deprecated.daemonset.template.generation':'9223372036854775807'}},"
	    "'spec':{'selector':{'matchLabels':{'a':'b'}},'template':{'metadata':{'labels':{'a':'b'}},"
	    "'spec':{'containers':[{'name':'c','image':'i'}]}}}}");
	o = expect_type(r, 200, "PATCH", "/apis/apps/v1/namespaces/default/daemonsets/e", MERGE,
			"{\"spec\":{\"template\":{\"metadata\":{\"labels\":{\"x\":\"y\"}}}}}");
	assert_val(GENERATION(o), "9223372036854775807");
	/* Annotations of a Deployment are part of what is wanted. */
	post(r, 201, "/apis/apps/v1/namespaces/default/deployments",
	     "{'metadata':{'name':'d'},'spec':{'selector':{'matchLabels':{'a':'b'}},'template':{'metadata':{'labels':{'"
	     "a':'b'}},"
	     "'spec':{'containers':[{'name':'c','image':'i'}]}}}}");
	o = expect_type(r, 200, "PATCH", "/apis/apps/v1/namespaces/default/deployments/d", MERGE,
			"{\"metadata\":{\"annotations\":{\"a\":\"b\"}}}");
	n = val_get_int(o, 0, F_metadata, F_generation);
	assert_int_equal(n, 2);
	o = expect_type(r, 200, "PATCH", "/apis/apps/v1/namespaces/default/deployments/d", MERGE,
			"{\"metadata\":{\"labels\":{\"a\":\"b\"}}}");
	assert_int_equal(val_get_int(o, 0, F_metadata, F_generation), 2);
	/* Nobody begins a deletion by writing its time. */
	expect_status(r, 422, "Invalid", "metadata.deletionTimestamp: Invalid value",
		      &(struct ask){ .method = "PATCH",
				     .path = NS "/services/h",
				     .type = MERGE,
				     .body = "{\"metadata\":{\"deletionTimestamp\":\"2030-01-01T00:00:00Z\"}}" });
}

static void test_warnings(void **state)
{
	struct rig *r = *state;

	post(r, 201, NS "/serviceaccounts", "{'metadata':{'name':'default'}}");
	warns(r, NS "/persistentvolumeclaims",
	      "{'metadata':{'name':'v','annotations':{'volume.beta.kubernetes.io/"
	      "storage-class':'x'}},'spec':{'accessModes':"
	      "['ReadWriteOnce'],'resources':{'requests':{'storage':'1'}}}}",
	      (const char *const[]){
		  "metadata.annotations[volume.beta.kubernetes.io/storage-class]: deprecated since v1.8; use "
		  "\"storageClassName\" attribute instead",
		  NULL });
	warns(
	    r, "/api/v1/persistentvolumes",
	    "{'metadata':{'name':'v'},'spec':{'accessModes':['ReadWriteOnce'],'capacity':{'storage':'1'},'storageos':{"
	    "'volumeName':'x'}}}",
	    (const char *const[]){ "spec.storageOS: deprecated in v1.22, non-functional in v1.25+", NULL });
	warns(r, NS "/secrets",
	      "{'metadata':{'name':'s'},'type':'kubernetes.io/tls','data':{'tls.crt':'','tls.key':''}}",
	      (const char *const[]){ "tls: failed to find any PEM data in certificate input", NULL });
	warns(r, NS "/services", "{'metadata':{'name':'s'},'spec':{'externalName':'x','ports':[{'port':80}]}}",
	      (const char *const[]){ "spec.externalName is ignored when spec.type is not \"ExternalName\"", NULL });
	/* Names of DaemonSets are not those of hosts; annotations that became fields do nothing. */
	warns(r, "/apis/apps/v1/namespaces/default/daemonsets",
	      "{'metadata':{'name':'a.b'},'spec':{'selector':{'matchLabels':{'a':'b'}},'template':{'metadata':{'labels'"
	      ":{'a':'b'},"
	      "'annotations':{'scheduler.alpha.kubernetes.io/"
	      "critical-pod':''}},'spec':{'containers':[{'name':'c','image':'i'}]}}}}",
	      (const char *const[]){ "spec.template.metadata.annotations[scheduler.alpha.kubernetes.io/critical-pod]: "
				     "non-functional in v1.16+; use the \"priorityClassName\" field instead",
				     NULL });
	warns(r, NS "/pods",
	      "{'metadata':{'name':'p','annotations':{'seccomp.security.alpha.kubernetes.io/pod':'runtime/"
	      "default'}},'spec':{"
	      "'hostNetwork':true,'containers':[{'name':'c','image':'i','ports':[{'containerPort':80}]},{'name':'d','"
	      "image':'i',"
	      "'ports':[{'containerPort':81,'protocol':'UDP'}]}],'initContainers':[{'name':'i','image':'i','ports':[{"
	      "'containerPort':80}]}]}}",
	      (const char *const[]){
		  "spec.containers[0].ports[0]: duplicate port definition with "
		  "spec.initContainers[0].ports[0]",
		  "metadata.annotations[seccomp.security.alpha.kubernetes.io/pod]: non-functional in v1.27+; use "
		  "the \"seccompProfile\" field instead",
		  NULL });
	warns(r, NS "/pods",
	      "{'metadata':{'name':'q'},'spec':{'containers':[{'name':'c','image':'i','ports':[{'containerPort':80,'"
	      "hostIP':"
	      "'10.0.0.1'}]},{'name':'d','image':'i','ports':[{'containerPort':80,'hostPort':80}]}]}}",
	      (const char *const[]){
		  "spec.containers[0].ports[0]: hostIP set without hostPort: {Name: HostPort:0 "
		  "ContainerPort:80 Protocol:TCP HostIP:10.0.0.1}",
		  "spec.containers[1].ports[0]: overlapping port definition with spec.containers[0].ports[0]", NULL });
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)
	const struct CMUnitTest tests[] = { T(test_limit_range), T(test_defaults), T(test_warnings) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
