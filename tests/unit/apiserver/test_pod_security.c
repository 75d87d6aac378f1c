/* Pod Security: what is refused at which level and version, in which words; who hears a warning; what namespaces may
 * say of themselves; which plugins are on. */
#include "harness.h"

#include "apiserver/admission/pod_security.h"
#include "apiserver/admission/setup.h"
#include "apiserver/apiserver-internal.h"
#include "codec/yaml.h"

#include <stdio.h>

#define LABEL "pod-security.kubernetes.io/"

/* --- the checks, one by one --- */

#define FINE                                                                                                     \
	"securityContext: {runAsNonRoot: true, seccompProfile: {type: RuntimeDefault}}, containers: [{name: c, " \
	"securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}}]"
/* A restricted pod that says more of its container. */
#define CONTAINER(more)                                                                                          \
	"securityContext: {runAsNonRoot: true, seccompProfile: {type: RuntimeDefault}}, containers: [{name: c, " \
	"securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}, " more "}}]"

static const struct row {
	int minor; /* 0: latest */
	const char *pod;
	const char *baseline, *restricted; /* NULL: it may */
} rows[] = {
	{ 0, "spec: {" FINE "}", NULL, NULL },
	{ 0, "spec: {containers: []}", NULL, NULL },
	{ 0, "spec: {containers: [{name: a}], initContainers: [{name: b}]}", NULL,
	  "allowPrivilegeEscalation != false (containers \"b\", \"a\" must set "
	  "securityContext.allowPrivilegeEscalation=false), unrestricted capabilities (containers \"b\", \"a\" must "
	  "set "
	  "securityContext.capabilities.drop=[\"ALL\"]), runAsNonRoot != true (pod or containers \"b\", \"a\" must set "
	  "securityContext.runAsNonRoot=true), seccompProfile (pod or containers \"b\", \"a\" must set "
	  "securityContext.seccompProfile.type to \"RuntimeDefault\" or \"Localhost\")" },
	/* Before there were such fields. */
	{ 7, "spec: {containers: [{name: a}]}", NULL,
	  "runAsNonRoot != true (pod or container \"a\" must set securityContext.runAsNonRoot=true)" },
	{ 0, "spec: {hostPID: true, hostNetwork: true, " FINE "}", "host namespaces (hostNetwork=true, hostPID=true)",
	  "host namespaces (hostNetwork=true, hostPID=true)" },
	{ 0, "spec: {" CONTAINER("privileged: true") "}",
	  "privileged (container \"c\" must not set securityContext.privileged=true)",
	  "privileged (container \"c\" must not set securityContext.privileged=true)" },
	{ 0, "spec: {ephemeralContainers: [{name: e, securityContext: {privileged: true}}], containers: []}",
	  "privileged (container \"e\" must not set securityContext.privileged=true)", "privileged" },
	{ 0, "spec: {containers: [{name: c, securityContext: {capabilities: {add: [SYS_ADMIN, CHOWN, NET_RAW]}}}]}",
	  "non-default capabilities (container \"c\" must not include \"NET_RAW\", \"SYS_ADMIN\" in "
	  "securityContext.capabilities.add)",
	  "must not include \"CHOWN\", \"NET_RAW\", \"SYS_ADMIN\" in" },
	/* Only ALL is all, and only that one may come back. */
	{ 0, "spec: {containers: [{name: c, securityContext: {capabilities: {drop: [all, SYS_ADMIN]}}}]}", NULL,
	  "must set securityContext.capabilities.drop=[\"ALL\"]" },
	{ 0,
	  "spec: {securityContext: {runAsNonRoot: true, seccompProfile: {type: Localhost}}, containers: [{name: c, "
	  "securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL], add: [NET_BIND_SERVICE]}}}]}",
	  NULL, NULL },
	{ 0, "spec: {volumes: [{name: v, hostPath: {path: /}}, {name: w, emptyDir: {}}], " FINE "}",
	  "hostPath volumes (volume \"v\")",
	  "restricted volume types (volume \"v\" uses restricted volume type \"hostPath\")" },
	{ 0, "spec: {volumes: [{name: v, nfs: {server: s, path: /}}, {name: w}], " FINE "}", NULL,
	  "restricted volume types (volumes \"v\", \"w\" use restricted volume types \"nfs\", \"unknown\")" },
	{ 0, "spec: {volumes: [{name: v, image: {}}, {name: w, csi: {driver: d}}], " FINE "}", NULL, NULL },
	{ 0, "spec: {containers: [{name: c, ports: [{hostPort: 9}, {hostPort: 80}, {containerPort: 1}]}]}",
	  "hostPort (container \"c\" uses hostPorts 80, 9)", "hostPort (container" },
	{ 33, "spec: {containers: [{name: c, livenessProbe: {httpGet: {host: h}}}]}", NULL, "runAsNonRoot" },
	{ 34,
	  "spec: {containers: [{name: c, livenessProbe: {httpGet: {host: h}}, lifecycle: {preStop: {tcpSocket: {host: "
	  "g}}}}, {name: d, startupProbe: {tcpSocket: {host: \"\"}}}]}",
	  "probe or lifecycle host (container \"c\" uses probe or lifecycle hosts \"g\", \"h\")",
	  "probe or lifecycle" },
	{ 0, "spec: {" CONTAINER("appArmorProfile: {type: Unconfined}") "}",
	  "forbidden AppArmor profile (container \"c\" must not set AppArmor profile type to \"Unconfined\")",
	  "forbidden AppArmor profile (" },
	{ 0,
	  "metadata: {annotations: {container.apparmor.security.beta.kubernetes.io/c: unconfined, "
	  "container.apparmor.security.beta.kubernetes.io/d: localhost/x}}\nspec: {" FINE "}",
	  "forbidden AppArmor profile (annotation must not set AppArmor profile type to "
	  "\"container.apparmor.security.beta.kubernetes.io/c=\"unconfined\"\")",
	  "forbidden AppArmor profile (" },
	{ 30, "spec: {" CONTAINER("seLinuxOptions: {type: container_engine_t}") "}",
	  "seLinuxOptions (container \"c\" set forbidden securityContext.seLinuxOptions: type \"container_engine_t\")",
	  "seLinuxOptions (" },
	{ 31, "spec: {" CONTAINER("seLinuxOptions: {type: container_engine_t}") "}", NULL, NULL },
	{ 0,
	  "spec: {securityContext: {seLinuxOptions: {user: u, role: r}}, containers: [{name: c, securityContext: "
	  "{seLinuxOptions: {type: x}}}]}",
	  "seLinuxOptions (pod and container \"c\" set forbidden securityContext.seLinuxOptions: type \"x\"; user may "
	  "not "
	  "be set; role may not be set)",
	  "seLinuxOptions (pod and" },
	{ 34, "spec: {hostUsers: false, " CONTAINER("procMount: Unmasked") "}",
	  "procMount (container \"c\" must not set securityContext.procMount to \"Unmasked\")", "procMount (" },
	{ 35, "spec: {hostUsers: false, " CONTAINER("procMount: Unmasked") "}", NULL,
	  "procMount (container \"c\" must not set securityContext.procMount to \"Unmasked\")" },
	{ 35, "spec: {" CONTAINER("procMount: Unmasked") "}", "procMount (", "procMount (" },
	{ 18,
	  "metadata: {annotations: {seccomp.security.alpha.kubernetes.io/pod: unconfined, "
	  "container.seccomp.security.alpha.kubernetes.io/c: x, "
	  "container.seccomp.security.alpha.kubernetes.io/other: x}}\nspec: {" FINE "}",
	  "seccompProfile (forbidden annotations container.seccomp.security.alpha.kubernetes.io/c=\"x\", "
	  "seccomp.security.alpha.kubernetes.io/pod=\"unconfined\")",
	  "seccompProfile (forbidden annotations" },
	{ 19, "metadata: {annotations: {seccomp.security.alpha.kubernetes.io/pod: unconfined}}\nspec: {" FINE "}", NULL,
	  NULL },
	{ 0, "spec: {" CONTAINER("seccompProfile: {type: Unconfined}") "}",
	  "seccompProfile (container \"c\" must not set securityContext.seccompProfile.type to \"Unconfined\")",
	  "seccompProfile (container \"c\" must not set" },
	{ 26, "spec: {securityContext: {sysctls: [{name: net.ipv4.ip_local_reserved_ports}]}, containers: []}",
	  "forbidden sysctls (net.ipv4.ip_local_reserved_ports)", "forbidden sysctls" },
	{ 27, "spec: {securityContext: {sysctls: [{name: net.ipv4.ip_local_reserved_ports}]}, containers: []}", NULL,
	  NULL },
	{ 36, "spec: {securityContext: {sysctls: [{name: net.ipv4.tcp_notsent_lowat}]}, containers: []}",
	  "forbidden sysctls (net.ipv4.tcp_notsent_lowat)", "forbidden sysctls" },
	{ 99, "spec: {securityContext: {sysctls: [{name: net.ipv4.tcp_notsent_lowat}]}, containers: []}", NULL, NULL },
	{ 0, "spec: {securityContext: {windowsOptions: {hostProcess: true}}, containers: []}",
	  "hostProcess (pod must not set securityContext.windowsOptions.hostProcess=true)", "hostProcess (pod" },
	{ 0, "spec: {" CONTAINER("runAsNonRoot: false") "}", NULL,
	  "runAsNonRoot != true (container \"c\" must not set securityContext.runAsNonRoot=false)" },
	{ 22, "spec: {" CONTAINER("runAsUser: 0") "}", NULL, NULL },
	{ 23, "spec: {" CONTAINER("runAsUser: 0") "}", NULL, "runAsUser=0 (container \"c\" must not set runAsUser=0)" },
	{ 35, "spec: {hostUsers: false, " CONTAINER("runAsUser: 0, runAsNonRoot: false") "}", NULL, NULL },
	{ 34, "spec: {hostUsers: false, " CONTAINER("runAsUser: 0, runAsNonRoot: false") "}", NULL, "runAsUser=0 (" },
	{ 25, "spec: {os: {name: windows}, containers: [{name: c, securityContext: {runAsNonRoot: true}}]}", NULL,
	  NULL },
	{ 24, "spec: {os: {name: windows}, containers: [{name: c, securityContext: {runAsNonRoot: true}}]}", NULL,
	  "allowPrivilegeEscalation != false" },
};

static void expect_judged(struct arena *a, const struct row *r, enum ps_level level, const struct val *pod,
			  const char *want)
{
	const struct ps_rule rule = { level, r->minor ? r->minor : PS_LATEST };
	struct sv said = ps_judge(a, rule, val_get(pod, F_metadata), val_get(pod, F_spec), true);

	if (want ? sv_find_sv(said, sv_from(want)) < 0 : said.n != 0)
		fail_msg("%s of %s: got '%.*s', want '%s'", ps_rule_text(a, rule), r->pod, SV_ARG(said),
			 want ? want : "");
}

static void test_checks(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		_cleanup_(arena_release) struct arena a = ARENA_INIT;
		_cleanup_(err_release) struct err err = ERR_INIT;
		const struct val *pod = yaml_decode(&a, sv_from(rows[i].pod), &err);

		if (!pod)
			fail_msg("%s: %s", rows[i].pod, err_msg(&err));
		expect_judged(&a, &rows[i], PS_PRIVILEGED, pod, NULL);
		expect_judged(&a, &rows[i], PS_BASELINE, pod, rows[i].baseline);
		expect_judged(&a, &rows[i], PS_RESTRICTED, pod, rows[i].restricted);
	}
}

/* Checks are told of in the order of their names. */
static void test_sorted(void **state)
{
	const struct ps_check *const tables[] = { ps_baseline, ps_restricted };

	(void)state;
	for (size_t t = 0; t < ARRAY_LEN(tables); t++)
		for (const struct ps_check *c = tables[t]; c[0].id && c[1].id; c++)
			assert_true(strcmp(c[0].id, c[1].id) <= 0);
}

/* --- requests --- */

static void namespace_make(struct rig *r, const char *name, const char *labels)
{
	char body[512], path[128];

	snprintf(body, sizeof(body), "{\"metadata\":{\"name\":\"%s\",\"labels\":{%s}}}", name, labels);
	expect(r, 201, "POST", "/api/v1/namespaces", body);
	snprintf(path, sizeof(path), "/api/v1/namespaces/%s/serviceaccounts", name);
	expect(r, 201, "POST", path, "{\"metadata\":{\"name\":\"default\"}}");
}

/* The answer's code, and its warnings, joined by lines, in the arena of the rig. */
static const char *warned(struct rig *r, int code, const char *method, const char *path, const char *type,
			  const char *body)
{
	struct answer *a = api(r, method, path, .body = body, .type = type);
	struct sv all = SV("");

	if (a->code != code)
		fail_msg("%s %s: %d %s", method, path, a->code, buf_cstr(&a->body));
	for (size_t i = 0; i < a->q.n_warnings; i++)
		all = arena_svf(&r->arena, "%.*s%s%.*s", SV_ARG(all), i ? "\n" : "", SV_ARG(a->q.warnings[i]));
	answer_free(a);
	return arena_cstr(&r->arena, all);
}

#define POD(name, more) \
	"{\"metadata\":{\"name\":\"" name "\"},\"spec\":{\"containers\":[{\"name\":\"c\",\"image\":\"i\"" more "}]}}"
#define PRIVILEGED ",\"securityContext\":{\"privileged\":true}"
#define MERGE "application/merge-patch+json"
#define STRATEGIC "application/strategic-merge-patch+json"
#define DEPLOYMENT                                                                                                     \
	"{\"metadata\":{\"name\":\"d\"},\"spec\":{\"selector\":{\"matchLabels\":{\"a\":\"b\"}},\"template\":{"         \
	"\"metadata\":{\"labels\":{\"a\":\"b\"}},\"spec\":{\"containers\":[{\"name\":\"c\",\"image\":\"i\"" PRIVILEGED \
	"}]}}}}"

static void test_enforced(void **state)
{
	struct rig *r = *state;

	namespace_make(r, "n", "\"" LABEL "enforce\":\"baseline\",\"" LABEL "enforce-version\":\"v1.28\"");
	expect_status(
	    r, 403, "Forbidden",
	    "pods \"p\" is forbidden: violates PodSecurity \"baseline:v1.28\": privileged (container \"c\" must "
	    "not set securityContext.privileged=true)",
	    &(struct ask){ .method = "POST", .path = "/api/v1/namespaces/n/pods", .body = POD("p", PRIVILEGED) });
	expect_status(r, 403, "Forbidden", "violates PodSecurity",
		      &(struct ask){ .method = "POST",
				     .path = "/api/v1/namespaces/n/pods?dryRun=All",
				     .body = POD("p", PRIVILEGED) });
	expect(r, 201, "POST", "/api/v1/namespaces/n/pods", POD("p", ""));
	expect_status(r, 403, "Forbidden", "violates PodSecurity \"baseline:v1.28\": privileged (container \"e\"",
		      &(struct ask){ .method = "PATCH",
				     .path = "/api/v1/namespaces/n/pods/p/ephemeralcontainers",
				     .type = STRATEGIC,
				     .body = "{\"spec\":{\"ephemeralContainers\":[{\"name\":\"e\",\"image\":\"i\","
					     "\"securityContext\":{\"privileged\":true}}]}}" });
	/* A workload is never refused; who made it hears what its pods come up against. */
	assert_string_equal(warned(r, 201, "POST", "/apis/apps/v1/namespaces/n/deployments", NULL, DEPLOYMENT),
			    "would violate PodSecurity \"baseline:v1.28\": privileged (container \"c\" must not set "
			    "securityContext.privileged=true)");
	/* Elsewhere nothing is said. */
	namespace_make(r, "free", "");
	assert_string_equal(warned(r, 201, "POST", "/api/v1/namespaces/free/pods", NULL, POD("p", PRIVILEGED)), "");
	/* A pod from before the level goes on; only its image is new. */
	expect_type(r, 200, "PATCH", "/api/v1/namespaces/free", MERGE,
		    "{\"metadata\":{\"labels\":{\"" LABEL "enforce\":\"baseline\"}}}");
	expect_type(r, 200, "PATCH", "/api/v1/namespaces/free/pods/p", MERGE,
		    "{\"metadata\":{\"labels\":{\"x\":\"y\"}}}");
	expect_type(r, 200, "PATCH", "/api/v1/namespaces/free/pods/p/status", MERGE,
		    "{\"status\":{\"message\":\"m\"}}");
	expect_status(r, 403, "Forbidden", "violates PodSecurity \"baseline:latest\": privileged",
		      &(struct ask){ .method = "PATCH",
				     .path = "/api/v1/namespaces/free/pods/p",
				     .type = STRATEGIC,
				     .body = "{\"spec\":{\"containers\":[{\"name\":\"c\",\"image\":\"j\"}]}}" });
}

/* No pod of the namespace is what its level refuses. */
static void assert_baseline(struct rig *r, const char *after)
{
	const struct ps_rule rule = { PS_BASELINE, PS_LATEST };
	_cleanup_(arena_release) struct arena a = ARENA_INIT;

	VAL_EACH(val_get(expect(r, 200, "GET", "/api/v1/namespaces/n/pods", NULL), F_items), pod) {
		struct sv said = ps_judge(&a, rule, val_get(pod, F_metadata), val_get(pod, F_spec), true);

		if (said.n)
			fail_msg("after %s: %.*s", after, SV_ARG(said));
	}
}

/* Every way by which a pod comes to be or changes, in every form of a body. Whatever is answered, none gets by. */
static void test_every_way(void **state)
{
#define PODS "/api/v1/namespaces/n/pods"
#define JSON_PATCH "application/json-patch+json"
#define APPLY "application/apply-patch+yaml"
#define META(name) "\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"" name "\"}"
#define SPEC(more) "\"spec\":{" more "\"containers\":[{\"name\":\"c\",\"image\":\"i\"}]}"
#define DEBUGGER "{\"name\":\"e\",\"image\":\"i\"" PRIVILEGED "}"
#define ARMOR "container.apparmor.security.beta.kubernetes.io/c"
	static const struct {
		int code;
		const char *method, *path, *type, *body;
	} ways[] = {
		{ 403, "POST", PODS, NULL, POD("x", PRIVILEGED) },
		{ 403, "POST", PODS "?dryRun=All", NULL, POD("x", PRIVILEGED) },
		{ 403, "POST", PODS "?fieldValidation=Ignore", NULL, POD("x", PRIVILEGED) },
		{ 403, "POST", PODS, NULL,
		  "{\"metadata\":{\"generateName\":\"x\"}," SPEC("\"hostNetwork\":true,") "}" },
		{ 403, "POST", PODS, "application/yaml",
		  "metadata: {name: x}\nspec: {hostPID: true, containers: [{name: c, image: i}]}" },
		{ 403, "POST", PODS, NULL,
		  "{" META("x") "," SPEC("\"initContainers\":[{\"name\":\"j\",\"image\":\"i\"" PRIVILEGED "}],") "}" },
		/* those of a pod come by their own subresource alone */
		{ 422, "POST", PODS, NULL, "{" META("x") "," SPEC("\"ephemeralContainers\":[" DEBUGGER "],") "}" },
		{ 403, "POST", PODS, NULL,
		  "{" META("x") "," SPEC("\"volumes\":[{\"name\":\"v\",\"hostPath\":{\"path\":\"/\"}}],") "}" },
		{ 403, "POST", PODS, NULL,
		  "{\"metadata\":{\"name\":\"x\",\"annotations\":{\"" ARMOR "\":\"unconfined\"}}," SPEC("") "}" },
		/* a system that ignores some fields does not ignore these */
		{ 422, "POST", PODS, NULL,
		  "{" META("x") "," SPEC("\"os\":{\"name\":\"windows\"},\"hostPID\":true,") "}" },
		{ 403, "PATCH", PODS "/x?fieldManager=m", APPLY,
		  "{" META("x") ",\"spec\":{\"containers\":[{\"name\":\"c\",\"image\":\"i\"" PRIVILEGED "}]}}" },
		{ 403, "PATCH", PODS "/x?fieldManager=m&dryRun=All", APPLY,
		  "{" META("x") ",\"spec\":{\"containers\":[{\"name\":\"c\",\"image\":\"i\"" PRIVILEGED "}]}}" },
		{ 404, "PUT", PODS "/x", NULL, POD("x", PRIVILEGED) },
		/* one that is there: what cannot be changed is refused for that, or for what it would be */
		{ 422, "PUT", PODS "/p", NULL, POD("p", PRIVILEGED) },
		{ 422, "PATCH", PODS "/p", STRATEGIC, "{\"spec\":{\"containers\":[{\"name\":\"c\"" PRIVILEGED "}]}}" },
		{ 422, "PATCH", PODS "/p", MERGE, "{\"spec\":{\"hostIPC\":true}}" },
		{ 422, "PATCH", PODS "/p", JSON_PATCH,
		  "[{\"op\":\"add\",\"path\":\"/spec/hostNetwork\",\"value\":true}]" },
		{ 422, "PATCH", PODS "/p?fieldManager=m&force=true", APPLY,
		  "{" META("p") ",\"spec\":{\"containers\":[{\"name\":\"c\"" PRIVILEGED "}]}}" },
		{ 422, "PATCH", PODS "/p", MERGE, "{\"metadata\":{\"annotations\":{\"" ARMOR "\":\"unconfined\"}}}" },
		/* containers for debugging */
		{ 403, "PATCH", PODS "/p/ephemeralcontainers", STRATEGIC,
		  "{\"spec\":{\"ephemeralContainers\":[" DEBUGGER "]}}" },
		{ 403, "PATCH", PODS "/p/ephemeralcontainers", MERGE,
		  "{\"spec\":{\"ephemeralContainers\":[" DEBUGGER "]}}" },
		{ 403, "PATCH", PODS "/p/ephemeralcontainers", JSON_PATCH,
		  "[{\"op\":\"add\",\"path\":\"/spec/ephemeralContainers\",\"value\":[" DEBUGGER "]}]" },
		{ 403, "PATCH", PODS "/p/ephemeralcontainers?fieldManager=m", APPLY,
		  "{" META("p") ",\"spec\":{\"ephemeralContainers\":[" DEBUGGER "]}}" },
		{ 403, "PUT", PODS "/p/ephemeralcontainers", NULL,
		  "{" META("p") "," SPEC("\"ephemeralContainers\":[" DEBUGGER "],") "}" },
		{ 403, "PATCH", PODS "/p/ephemeralcontainers?dryRun=All", STRATEGIC,
		  "{\"spec\":{\"ephemeralContainers\":[" DEBUGGER "]}}" },
		/* subresources that are for something else change nothing else */
		{ 200, "PATCH", PODS "/p/ephemeralcontainers", STRATEGIC,
		  "{\"spec\":{\"hostPID\":true,\"containers\":[{\"name\":\"c\"" PRIVILEGED "}]}}" },
		{ 200, "PATCH", PODS "/p/status", MERGE, "{\"spec\":{\"hostNetwork\":true}}" },
		{ 200, "PATCH", PODS "/p/status", STRATEGIC,
		  "{\"spec\":{\"containers\":[{\"name\":\"c\"" PRIVILEGED "}]},\"status\":{\"message\":\"m\"}}" },
		{ 422, "PATCH", PODS "/p/status", MERGE,
		  "{\"metadata\":{\"annotations\":{\"" ARMOR "\":\"unconfined\"}}}" },
		{ 200, "PATCH", PODS "/p/resize", STRATEGIC,
		  "{\"spec\":{\"hostPID\":true,\"containers\":[{\"name\":\"c\"" PRIVILEGED "}]}}" },
		{ 422, "POST", PODS "/p/binding", NULL,
		  "{\"metadata\":{\"name\":\"p\",\"annotations\":{\"" ARMOR
		  "\":\"unconfined\"}},\"target\":{\"kind\":\"Node\",\"name\":\"n\"}}" },
		/* and all of them go at once or not, which makes none */
		{ 200, "DELETE", PODS "?dryRun=All", NULL, NULL },
	};
	struct rig *r = *state;

	namespace_make(r, "n", "\"" LABEL "enforce\":\"baseline\"");
	expect(r, 201, "POST", PODS, POD("p", ""));
	for (size_t i = 0; i < ARRAY_LEN(ways); i++) {
		struct answer *a = api(r, ways[i].method, ways[i].path, .type = ways[i].type, .body = ways[i].body);

		if (a->code != ways[i].code)
			fail_msg("%s %s: %d, not %d: %s", ways[i].method, ways[i].path, a->code, ways[i].code,
				 buf_cstr(&a->body));
		answer_free(a);
		assert_baseline(r, arena_printf(&r->arena, "%s %s", ways[i].method, ways[i].path));
	}
}

static void test_namespace_labels(void **state)
{
	struct rig *r = *state;

	expect_status(
	    r, 422, "Invalid",
	    "metadata.labels[" LABEL "enforce]: Invalid value: \"none\": must be one of privileged, baseline, "
	    "restricted",
	    &(struct ask){ .method = "POST",
			   .path = "/api/v1/namespaces",
			   .body = "{\"metadata\":{\"name\":\"x\",\"labels\":{\"" LABEL "enforce\":\"none\"}}}" });
	expect_status(r, 422, "Invalid", "must be \"latest\" or \"v1.x\"",
		      &(struct ask){ .method = "POST",
				     .path = "/api/v1/namespaces",
				     .body = "{\"metadata\":{\"name\":\"x\",\"labels\":{\"" LABEL
					     "warn-version\":\"v1.01\"}}}" });
	namespace_make(r, "n", "");
	for (const char *const *name = (const char *const[]){ "b", "a", "c", NULL }; *name; name++) {
		char body[256];

		snprintf(body, sizeof(body),
			 "{\"metadata\":{\"name\":\"%s\"},\"spec\":{\"hostNetwork\":%s,"
			 "\"containers\":[{\"name\":\"c\",\"image\":\"i\"" PRIVILEGED "}]}}",
			 *name, **name == 'c' ? "true" : "false");
		expect(r, 201, "POST", "/api/v1/namespaces/n/pods", body);
	}
	assert_string_equal(warned(r, 200, "PATCH", "/api/v1/namespaces/n?dryRun=All", MERGE,
				   "{\"metadata\":{\"labels\":{\"" LABEL "enforce\":\"baseline\"}}}"),
			    "existing pods in namespace \"n\" violate the new PodSecurity enforce level "
			    "\"baseline:latest\"\n"
			    "a (and 1 other pod): privileged\n"
			    "c: host namespaces, privileged");
	assert_string_equal(warned(r, 200, "PATCH", "/api/v1/namespaces/n", MERGE,
				   "{\"metadata\":{\"labels\":{\"" LABEL "warn\":\"restricted\"}}}"),
			    "");
}

static void test_policies(void **state)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct ps_config c;
	struct ps_policy p;
	struct val *labels = val_new_map(&a);

	(void)state;
	ps_config_default(&c);
	p = ps_policy_of(&c, NULL, NULL);
	assert_int_equal(p.enforce.level + p.audit.level + p.warn.level, PS_PRIVILEGED);
	/* What is enforced is warned of, too. */
	val_set_str_sv(&a, labels, SV(LABEL "enforce"), SV("restricted"));
	val_set_str_sv(&a, labels, SV(LABEL "enforce-version"), SV("v1.20"));
	p = ps_policy_of(&c, labels, NULL);
	assert_string_equal(ps_rule_text(&a, p.warn), "restricted:v1.20");
	assert_string_equal(ps_rule_text(&a, p.audit), "privileged:latest");
	val_set_str_sv(&a, labels, SV(LABEL "warn"), SV("privileged"));
	p = ps_policy_of(&c, labels, NULL);
	assert_string_equal(ps_rule_text(&a, p.warn), "privileged:latest");
	/* What cannot be understood is restricted where it refuses, and open where it only talks. */
	val_set_str_sv(&a, labels, SV(LABEL "enforce"), SV("?"));
	val_set_str_sv(&a, labels, SV(LABEL "audit"), SV("?"));
	val_set_str_sv(&a, labels, SV(LABEL "enforce-version"), SV("v1.99999999999999999999"));
	p = ps_policy_of(&c, labels, NULL);
	assert_string_equal(ps_rule_text(&a, p.enforce), "restricted:latest");
	assert_string_equal(ps_rule_text(&a, p.audit), "privileged:latest");
}

#define CONFIG "apiVersion: pod-security.admission.config.k8s.io/v1\nkind: PodSecurityConfiguration\n"

static int config_read(struct arena *a, struct ps_config *c, const char *text, struct err *err)
{
	const struct val *doc = yaml_decode(a, sv_from(text), err);

	ps_config_default(c);
	return doc ? ps_config_read(a, c, doc, err) : -1;
}

static void test_config(void **state)
{
	static const char *const wrong[] = {
		"kind: PodSecurityConfiguration\n",	      CONFIG "defaults: {enforce: none}\n",
		CONFIG "defaults: {warn-version: \"1.2\"}\n", CONFIG "exemptions: {usernames: x}\n",
		CONFIG "exemptions: {usernames: [\"\"]}\n",   CONFIG "exemptions: {namespaces: [a, b, a]}\n",
	};
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct ps_config c;
	_cleanup_(err_release) struct err none = ERR_INIT;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
		_cleanup_(err_release) struct err err = ERR_INIT;

		assert_int_equal(config_read(&a, &c, wrong[i], &err), -1);
		assert_true(err_msg(&err)[0] != '\0');
	}
	assert_int_equal(config_read(&a, &c,
				     CONFIG "defaults: {enforce: baseline, enforce-version: v1.30}\n"
					    "exemptions: {namespaces: [kube-system, ci], runtimeClasses: [kata]}\n",
				     &none),
			 0);
	assert_string_equal(ps_rule_text(&a, c.defaults.enforce), "baseline:v1.30");
	assert_true(ps_exempt(&c.namespaces, SV("ci")));
	assert_false(ps_exempt(&c.namespaces, SV("")));
	assert_false(ps_exempt(&c.usernames, SV("ci")));
}

static void test_exempt(void **state)
{
	struct rig *r = *state;
	struct admission_set *set = r->server->admission;
	_cleanup_(err_release) struct err err = ERR_INIT;

	assert_int_equal(config_read(&set->arena, &set->pod_security,
				     CONFIG "defaults: {enforce: restricted}\n"
					    "exemptions: {namespaces: [free], usernames: [ci], runtimeClasses: [vm]}\n",
				     &err),
			 0);
	expect(r, 201, "POST", "/apis/node.k8s.io/v1/runtimeclasses",
	       "{\"metadata\":{\"name\":\"vm\"},\"handler\":\"vm\"}");
	namespace_make(r, "n", "");
	namespace_make(r, "free", "");
	expect_status(r, 403, "Forbidden", "violates PodSecurity \"restricted:latest\"",
		      &(struct ask){ .method = "POST", .path = "/api/v1/namespaces/n/pods", .body = POD("p", "") });
	expect(r, 201, "POST", "/api/v1/namespaces/free/pods", POD("p", PRIVILEGED));
	expect(r, 201, "POST", "/api/v1/namespaces/n/pods",
	       "{\"metadata\":{\"name\":\"vm\"},\"spec\":{\"runtimeClassName\":\"vm\",\"containers\":[{\"name\":\"c\","
	       "\"image\":\"i\"}]}}");
	assert_string_equal(warned(r, 200, "PATCH", "/api/v1/namespaces/free", MERGE,
				   "{\"metadata\":{\"labels\":{\"" LABEL "enforce\":\"baseline\"}}}"),
			    "");
	assert_string_equal(
	    warned(r, 200, "PATCH", "/api/v1/namespaces/free", MERGE,
		   "{\"metadata\":{\"labels\":{\"" LABEL "enforce\":\"restricted\",\"" LABEL
		   "enforce-version\":\"v1.30\"}}}"),
	    "namespace \"free\" is exempt from Pod Security, and the policy (enforce=restricted:v1.30) will "
	    "be ignored");
}

/* --- which plugins are on --- */

static void test_flags(void **state)
{
	static const struct {
		const char *on, *off, *says;
	} wrong[] = {
		{ "PodSecurty", NULL, "enable-admission-plugins plugin \"PodSecurty\" is unknown" },
		{ NULL, "NodeKey", "disable-admission-plugins plugin \"NodeKey\" is unknown" },
		{ "PodSecurity", "PodSecurity",
		  "[PodSecurity] in enable-admission-plugins and disable-admission-plugins overlapped" },
	};
	struct apiserver_opts off = { .disable_admission = (const char *const[]){ "PodSecurity", NULL } };
	struct apiserver_opts plain = { .env = NULL };
	_cleanup_(err_release) struct err none = ERR_INIT;
	struct admission_set *x = admission_set_new(&off, &none), *y = admission_set_new(&plain, &none);
	struct rig *r = *state;

	for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
		_cleanup_(err_release) struct err err = ERR_INIT;
		struct apiserver_opts o = {
			.enable_admission = (const char *const[]){ wrong[i].on, NULL },
			.disable_admission = (const char *const[]){ wrong[i].off, NULL },
		};

		assert_null(admission_set_new(&o, &err));
		if (!strstr(err_msg(&err), wrong[i].says))
			fail_msg("%s", err_msg(&err));
	}
	assert_non_null(x);
	assert_non_null(y);
	assert_int_equal(__builtin_popcountll(x->on ^ y->on), 1);
	r->server->admission->on = x->on;
	namespace_make(r, "n", "\"" LABEL "enforce\":\"baseline\"");
	expect(r, 201, "POST", "/api/v1/namespaces/n/pods", POD("p", PRIVILEGED));
	admission_set_free(x);
	admission_set_free(y);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_checks),
		cmocka_unit_test(test_sorted),
		cmocka_unit_test(test_policies),
		cmocka_unit_test(test_config),
		cmocka_unit_test_setup_teardown(test_enforced, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_every_way, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_namespace_labels, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_exempt, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_flags, rig_setup, rig_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
