/* Which plugin acts on which operation of which resource, and on which of its subresources: one table. What it does
 * there is shown in the answer: by a refusal, by words that it has, or that it has not. */
#include "harness.h"

#include "store/store.h"

#define MERGE "application/merge-patch+json"
#define CORE "/api/v1/namespaces/"
#define C "\"containers\":[{\"name\":\"c\",\"image\":\"i\"}]"
#define TOUCH "{\"metadata\":{\"labels\":{\"touched\":\"yes\"}}}"
#define EPHEMERAL(more) "{\"spec\":{\"ephemeralContainers\":[{\"name\":\"e\",\"image\":\"i\"" more "}]}}"
#define LIMITS(m) "\"resources\":{\"limits\":{\"memory\":\"" m "\"},\"requests\":{\"memory\":\"" m "\"}}"
#define RESIZE(m) "{\"spec\":{\"containers\":[{\"name\":\"c\"," LIMITS(m) "}]}}"
#define STRATEGIC "application/strategic-merge-patch+json"
#define TERMINATING "because it is being terminated"
#define NOT_READY "node.kubernetes.io/not-ready"
#define CLAIM_OF(size) \
	"\"spec\":{\"accessModes\":[\"ReadWriteOnce\"],\"resources\":{\"requests\":{\"storage\":\"" size "\"}}}"
#define INGRESS "\"spec\":{\"defaultBackend\":{\"service\":{\"name\":\"s\",\"port\":{\"number\":80}}}}"
#define VOLUME                                                                                                     \
	"\"spec\":{\"capacity\":{\"storage\":\"1Gi\"},\"accessModes\":[\"ReadWriteOnce\"],\"hostPath\":{\"path\":" \
	"\"/x\"}}"
#define BINDING(name)                                                                                            \
	"{\"apiVersion\":\"v1\",\"kind\":\"Binding\",\"metadata\":{\"name\":\"" name "\"},\"target\":{\"kind\":" \
	"\"Node\",\"name\":\"n1\"}}"
#define EVICTION(name) "{\"apiVersion\":\"policy/v1\",\"kind\":\"Eviction\",\"metadata\":{\"name\":\"" name "\"}}"

/* going: being terminated, held by its objects. limited: with a LimitRange. strict: whose account lists its Secrets.
 * default: a pod "bare" as an older version stored it, a claim and an Ingress made before there was a default class. */
static const struct row {
	const char *plugin, *method, *path, *type, *body;
	int code;
	const char *has, *hasnt; /* in the answer; NULL: whatever */
} rows[] = {
	{ "NamespaceLifecycle", "POST", CORE "none/configmaps", NULL, "{\"metadata\":{\"name\":\"x\"}}", 404,
	  "namespaces \\\"none\\\" not found", NULL },
	{ "", "POST", CORE "going/configmaps", NULL, "{\"metadata\":{\"name\":\"x\"}}", 403, TERMINATING, NULL },
	/* what has no name yet is called by the beginning of it, or Unknown */
	{ "", "POST", CORE "going/configmaps", NULL, "{\"metadata\":{\"generateName\":\"x-\"}}", 403,
	  "configmaps \\\"x-\\\" is forbidden: unable to create new content in namespace going " TERMINATING, NULL },
	{ "", "POST", CORE "going/configmaps?dryRun=All", NULL, "{\"metadata\":{\"name\":\"x\"}}", 403, TERMINATING,
	  NULL },
	{ "", "POST", CORE "going/pods/p/eviction", NULL, EVICTION("p"), 403, TERMINATING, NULL },
	{ "", "POST", CORE "going/pods/p/binding", NULL, BINDING("p"), 403, TERMINATING, NULL },
	{ "", "POST", CORE "going/bindings", NULL, BINDING("p"), 403, TERMINATING, NULL },
	{ "", "POST", CORE "going/serviceaccounts/default/token", NULL, "{\"spec\":{}}", 403, TERMINATING, NULL },
	{ "", "PATCH", CORE "going/configmaps/c", MERGE, TOUCH, 200, "touched", NULL },
	{ "", "PATCH", CORE "going/configmaps/new?fieldManager=m&force=true", "application/apply-patch+yaml",
	  "{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{\"name\":\"new\"}}", 403, TERMINATING, NULL },
	{ "", "PUT", CORE "going/endpoints/new", NULL, "{\"metadata\":{\"name\":\"new\"}}", 403, TERMINATING, NULL },
	{ "", "PATCH", CORE "going/pods/p/status", MERGE, "{\"status\":{\"message\":\"m\"}}", 200, "\"m\"", NULL },
	{ "", "PATCH", CORE "going/pods/p/resize", STRATEGIC, RESIZE("1Mi"), 200, NULL, NULL },
	{ "", "PATCH", CORE "going/pods/p/ephemeralcontainers", STRATEGIC, EPHEMERAL(""), 200, NULL, NULL },
	{ "", "PATCH", "/apis/apps/v1/namespaces/going/deployments/d/scale", MERGE, "{\"spec\":{\"replicas\":2}}", 200,
	  NULL, NULL },
	{ "", "DELETE", CORE "going/configmaps/c", NULL, NULL, 200, NULL, NULL },
	{ "", "POST", "/apis/authorization.k8s.io/v1/namespaces/going/localsubjectaccessreviews", NULL,
	  "{\"spec\":{\"user\":\"u\",\"resourceAttributes\":{\"namespace\":\"going\",\"verb\":\"get\",\"resource\":"
	  "\"pods\"}}}",
	  201, NULL, NULL },
	{ "", "DELETE", "/api/v1/namespaces/default", NULL, NULL, 403, "this namespace may not be deleted", NULL },
	{ "", "DELETE", "/api/v1/namespaces/kube-system", NULL, NULL, 403, "this namespace may not be deleted", NULL },
	{ "", "DELETE", "/api/v1/namespaces/kube-public", NULL, NULL, 403, "this namespace may not be deleted", NULL },
	{ "", "PATCH", "/api/v1/namespaces/default/status", MERGE, TOUCH, 200, "touched", NULL },

	{ "LimitRanger", "POST", CORE "limited/pods", NULL, "{\"metadata\":{\"name\":\"a\"},\"spec\":{" C "}}", 201,
	  "\"limits\":{\"memory\":\"512Mi\"}", NULL },
	{ "", "POST", CORE "limited/pods", NULL,
	  "{\"metadata\":{\"name\":\"x\"},\"spec\":{\"containers\":[{\"name\":\"c\",\"image\":\"i\"," LIMITS(
	      "2Gi") "}]}}",
	  403, "maximum memory usage per Container is 1Gi, but limit is 2Gi", NULL },
	{ "", "POST", "/apis/apps/v1/namespaces/limited/deployments", NULL,
	  "{\"metadata\":{\"name\":\"d\"},\"spec\":{\"selector\":{\"matchLabels\":{\"a\":\"b\"}},\"template\":{"
	  "\"metadata\":{"
	  "\"labels\":{\"a\":\"b\"}},\"spec\":{" C "}}}}",
	  201, NULL, "512Mi" },
	{ "", "PATCH", CORE "limited/pods/before", MERGE, TOUCH, 200, "touched", "512Mi" },
	{ "", "PATCH", CORE "limited/pods/before/status", MERGE, TOUCH, 200, "touched", "512Mi" },
	{ "", "PATCH", CORE "limited/pods/before/ephemeralcontainers", STRATEGIC, EPHEMERAL(""), 200, NULL, "512Mi" },
	{ "", "PATCH", CORE "limited/pods/a/resize", STRATEGIC, RESIZE("2Gi"), 403,
	  "maximum memory usage per Container is 1Gi, but limit is 2Gi", NULL },
	{ "", "PATCH", CORE "limited/pods/a/resize", STRATEGIC, RESIZE("1Gi"), 200, "1Gi", NULL },
	{ "", "POST", CORE "limited/persistentvolumeclaims", NULL,
	  "{\"metadata\":{\"name\":\"x\"}," CLAIM_OF("1Mi") "}", 403,
	  "minimum storage usage per PersistentVolumeClaim is 1Gi, but request is 1Mi", NULL },
	{ "", "PATCH", CORE "limited/persistentvolumeclaims/before", MERGE, TOUCH, 403,
	  "minimum storage usage per PersistentVolumeClaim is 1Gi, but request is 1Mi", NULL },
	{ "", "PATCH", CORE "limited/persistentvolumeclaims/before/status", MERGE, TOUCH, 200, "touched", NULL },

	{ "ServiceAccount", "POST", CORE "default/pods", NULL,
	  "{\"metadata\":{\"name\":\"x\"},\"spec\":{\"serviceAccountName\":\"none\"," C "}}", 403,
	  "error looking up service account default/none", NULL },
	{ "", "PATCH", CORE "default/pods/bare", MERGE, TOUCH, 200, "touched", "kube-api-access" },
	{ "", "PATCH", CORE "default/pods/bare/status", MERGE, TOUCH, 200, NULL, "kube-api-access" },
	{ "", "PATCH", CORE "strict/pods/p/ephemeralcontainers", STRATEGIC,
	  EPHEMERAL(",\"envFrom\":[{\"secretRef\":{\"name\":\"other\"}}]"), 403,
	  "envFrom referencing secret.secretName=\\\"other\\\" is not allowed because service account strict does not "
	  "reference that secret",
	  NULL },
	{ "", "PATCH", CORE "strict/pods/p/ephemeralcontainers", STRATEGIC,
	  EPHEMERAL(",\"envFrom\":[{\"secretRef\":{\"name\":\"listed\"}}]"), 200, "listed", NULL },

	{ "TaintNodesByCondition", "POST", "/api/v1/nodes", NULL, "{\"metadata\":{\"name\":\"n2\"}}", 201, NOT_READY,
	  NULL },
	{ "", "PATCH", "/api/v1/nodes/n2", MERGE, "{\"spec\":{\"taints\":null}}", 200, NULL, NOT_READY },
	{ "", "PATCH", "/api/v1/nodes/n2/status", MERGE, TOUCH, 200, "touched", NOT_READY },

	{ "Priority", "POST", CORE "default/pods", NULL,
	  "{\"metadata\":{\"name\":\"pr\"},\"spec\":{\"priorityClassName\":\"high\"," C "}}", 201, "\"priority\":1000",
	  NULL },
	{ "", "POST", CORE "default/pods", NULL,
	  "{\"metadata\":{\"name\":\"x\"},\"spec\":{\"priorityClassName\":\"none\"," C "}}", 403,
	  "no PriorityClass with name none was found", NULL },
	{ "", "POST", CORE "default/pods", NULL, "{\"metadata\":{\"name\":\"x\"},\"spec\":{\"priority\":7," C "}}", 403,
	  "the integer value of priority (7) must not be provided in pod spec", NULL },
	/* Whatever becomes of the class, a pod keeps its number, also where a client leaves it out. */
	{ "", "DELETE", "/apis/scheduling.k8s.io/v1/priorityclasses/high", NULL, NULL, 200, NULL, NULL },
	{ "", "PATCH", CORE "default/pods/pr", MERGE, TOUCH, 200, "\"priority\":1000", NULL },
	{ "", "PATCH", CORE "default/pods/pr", MERGE, "{\"spec\":{\"priority\":null}}", 200, "\"priority\":1000",
	  NULL },
	{ "", "PATCH", CORE "default/pods/pr/status", MERGE, TOUCH, 200, "\"priority\":1000", NULL },
	{ "", "PATCH", CORE "default/pods/pr/resize", STRATEGIC, RESIZE("1Mi"), 422, NULL, "PriorityClass" },
	{ "", "PATCH", CORE "default/pods/pr/ephemeralcontainers", STRATEGIC, EPHEMERAL(""), 200, "\"priority\":1000",
	  NULL },
	{ "", "POST", "/apis/scheduling.k8s.io/v1/priorityclasses", NULL,
	  "{\"metadata\":{\"name\":\"second\"},\"value\":1,\"globalDefault\":true}", 201, NULL, NULL },
	{ "", "POST", "/apis/scheduling.k8s.io/v1/priorityclasses", NULL,
	  "{\"metadata\":{\"name\":\"third\"},\"value\":2,\"globalDefault\":true}", 403, "is already marked as default",
	  NULL },

	{ "DefaultTolerationSeconds", "POST", CORE "default/pods", NULL,
	  "{\"metadata\":{\"name\":\"t\"},\"spec\":{" C "}}", 201,
	  "\"key\":\"" NOT_READY "\",\"operator\":\"Exists\",\"effect\":\"NoExecute\",\"tolerationSeconds\":300",
	  NULL },
	{ "", "PATCH", CORE "default/pods/bare2/status", MERGE, TOUCH, 200, "touched", NOT_READY },
	{ "", "PATCH", CORE "default/pods/bare2/ephemeralcontainers", STRATEGIC, EPHEMERAL(""), 200, NULL, NOT_READY },
	{ "", "POST", CORE "default/pods/bare2/binding", NULL, BINDING("bare2"), 201, NULL, NULL },
	{ "", "GET", CORE "default/pods/bare2", NULL, NULL, 200, "\"nodeName\":\"n1\"", NOT_READY },
	{ "", "PATCH", CORE "default/pods/bare2", MERGE, TOUCH, 200, NOT_READY, NULL },

	{ "DefaultStorageClass", "POST", CORE "default/persistentvolumeclaims", NULL,
	  "{\"metadata\":{\"name\":\"c\"}," CLAIM_OF("1Gi") "}", 201, "\"storageClassName\":\"usual\"", NULL },
	{ "", "PATCH", CORE "default/persistentvolumeclaims/before", MERGE, TOUCH, 200, "touched", "usual" },
	{ "", "PATCH", CORE "default/persistentvolumeclaims/before/status", MERGE, TOUCH, 200, "touched", "usual" },
	{ "DefaultIngressClass", "POST", "/apis/networking.k8s.io/v1/namespaces/default/ingresses", NULL,
	  "{\"metadata\":{\"name\":\"i\"}," INGRESS "}", 201, "\"ingressClassName\":\"usual\"", NULL },
	{ "", "PATCH", "/apis/networking.k8s.io/v1/namespaces/default/ingresses/before", MERGE, TOUCH, 200, "touched",
	  "usual" },
	{ "", "PATCH", "/apis/networking.k8s.io/v1/namespaces/default/ingresses/before/status", MERGE, TOUCH, 200,
	  "touched", "usual" },

	{ "StorageObjectInUseProtection", "GET", CORE "default/persistentvolumeclaims/c", NULL, NULL, 200,
	  "kubernetes.io/pvc-protection", NULL },
	{ "", "PATCH", CORE "default/persistentvolumeclaims/c", MERGE, "{\"metadata\":{\"finalizers\":null}}", 200,
	  NULL, "pvc-protection" },
	{ "", "PATCH", CORE "default/persistentvolumeclaims/c/status", MERGE, TOUCH, 200, "touched", "pvc-protection" },
	{ "", "POST", "/api/v1/persistentvolumes", NULL, "{\"metadata\":{\"name\":\"v\"}," VOLUME "}", 201,
	  "kubernetes.io/pv-protection", NULL },
	{ "", "PATCH", "/api/v1/persistentvolumes/v", MERGE, "{\"metadata\":{\"finalizers\":null}}", 200, NULL,
	  "pv-protection" },
	{ "", "PATCH", "/api/v1/persistentvolumes/v/status", MERGE, TOUCH, 200, "touched", "pv-protection" },

	{ "RuntimeClass", "POST", CORE "default/pods", NULL,
	  "{\"metadata\":{\"name\":\"x\"},\"spec\":{\"runtimeClassName\":\"none\"," C "}}", 403,
	  "pod rejected: RuntimeClass \\\"none\\\" not found", NULL },
	{ "", "PATCH", CORE "default/pods/bare", MERGE, TOUCH, 200, "gone-class", NULL },
	{ "", "PATCH", CORE "default/pods/bare/ephemeralcontainers", STRATEGIC, EPHEMERAL(""), 200, "gone-class",
	  NULL },
	/* What evicts and binds is no pod. */
	{ "all", "POST", CORE "default/pods/pr/eviction", NULL, EVICTION("pr"), 201, NULL, NULL },
};

static void given(struct rig *r, const char *path, const char *body)
{
	expect(r, 201, "POST", path, body);
}

static void stored(struct rig *r, const char *key, const char *value)
{
	struct store_write w = { .key = sv_from(key), .value = sv_from(value), .expect_rev = STORE_ANY_REV };

	assert_int_equal(store_commit_wait(r->store, &w, NULL, NULL), 1);
	rig_run(r, NS_PER_MS);
}

/* As a version without these plugins would have stored it. */
static void bare_pod(struct rig *r, const char *name, const char *class)
{
	const struct val *pod = expect(r, 201, "POST", CORE "default/pods",
				       arena_printf(&r->arena,
						    "{\"metadata\":{\"name\":\"%s\"},\"spec\":{"
						    "\"automountServiceAccountToken\":false," C "}}",
						    name));
	struct val *doc = val_clone(&r->arena, pod), *spec = val_get_mut(doc, F_spec);
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	val_del(val_get_mut(doc, F_metadata), F_resourceVersion);
	val_del(spec, F_tolerations);
	if (class)
		val_set_cstr(&r->arena, spec, F_runtimeClassName, class);
	json_encode(&b, doc);
	stored(r, arena_printf(&r->arena, "/registry/pods/default/%s", name), buf_cstr(&b));
}

static void world(struct rig *r)
{
	static const char *const names[] = { "going", "limited", "strict" };

	given(r, CORE "default/serviceaccounts", "{\"metadata\":{\"name\":\"default\"}}");
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		given(r, "/api/v1/namespaces", arena_printf(&r->arena, "{\"metadata\":{\"name\":\"%s\"}}", names[i]));
		given(r, arena_printf(&r->arena, CORE "%s/serviceaccounts", names[i]),
		      "{\"metadata\":{\"name\":\"default\"}}");
	}
	given(r, "/api/v1/nodes", "{\"metadata\":{\"name\":\"n1\"}}");
	given(r, "/apis/scheduling.k8s.io/v1/priorityclasses", "{\"metadata\":{\"name\":\"high\"},\"value\":1000}");

	given(r, CORE "going/configmaps", "{\"metadata\":{\"name\":\"c\"}}");
	given(r, CORE "going/pods",
	      "{\"metadata\":{\"name\":\"p\"},\"spec\":{\"containers\":[{\"name\":\"c\",\"image\":\"i\"," LIMITS(
		  "2Mi") "}]}}");
	given(r, "/apis/apps/v1/namespaces/going/deployments",
	      "{\"metadata\":{\"name\":\"d\"},\"spec\":{\"selector\":{\"matchLabels\":{\"a\":\"b\"}},\"template\":{"
	      "\"metadata\":{"
	      "\"labels\":{\"a\":\"b\"}},\"spec\":{" C "}}}}");
	expect(r, 200, "DELETE", "/api/v1/namespaces/going", NULL);

	given(r, CORE "limited/pods", "{\"metadata\":{\"name\":\"before\"},\"spec\":{" C "}}");
	given(r, CORE "limited/persistentvolumeclaims", "{\"metadata\":{\"name\":\"before\"}," CLAIM_OF("1Mi") "}");
	given(
	    r, CORE "limited/limitranges",
	    "{\"metadata\":{\"name\":\"l\"},\"spec\":{\"limits\":[{\"type\":\"Container\",\"max\":{\"memory\":\"1Gi\"},"
	    "\"default\":{\"memory\":\"512Mi\"}},{\"type\":\"PersistentVolumeClaim\",\"min\":{\"storage\":\"1Gi\"}}]}"
	    "}");

	given(r, CORE "strict/serviceaccounts",
	      "{\"metadata\":{\"name\":\"strict\",\"annotations\":{\"kubernetes.io/"
	      "enforce-mountable-secrets\":\"true\"}},"
	      "\"secrets\":[{\"name\":\"listed\"}]}");
	given(r, CORE "strict/pods",
	      "{\"metadata\":{\"name\":\"p\"},\"spec\":{\"serviceAccountName\":\"strict\"," C "}}");

	given(r, CORE "default/persistentvolumeclaims", "{\"metadata\":{\"name\":\"before\"}," CLAIM_OF("1Gi") "}");
	given(r, "/apis/networking.k8s.io/v1/namespaces/default/ingresses",
	      "{\"metadata\":{\"name\":\"before\"}," INGRESS "}");
	given(r, "/apis/storage.k8s.io/v1/storageclasses",
	      "{\"metadata\":{\"name\":\"usual\",\"annotations\":{\"storageclass.kubernetes.io/"
	      "is-default-class\":\"true\"}},"
	      "\"provisioner\":\"x.io\"}");
	given(r, "/apis/networking.k8s.io/v1/ingressclasses",
	      "{\"metadata\":{\"name\":\"usual\",\"annotations\":{\"ingressclass.kubernetes.io/"
	      "is-default-class\":\"true\"}},"
	      "\"spec\":{\"controller\":\"x.io/c\"}}");
	bare_pod(r, "bare", "gone-class");
	bare_pod(r, "bare2", NULL);
}

static void test_table(void **state)
{
	struct rig *r = *state;
	const char *plugin = "";
	int bad = 0;

	world(r);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct row *row = &rows[i];
		struct answer *a = api(r, row->method, row->path, .type = row->type, .body = row->body);
		const char *text = buf_cstr(&a->body);

		if (*row->plugin)
			plugin = row->plugin;
		if (a->code != row->code || (row->has && !strstr(text, row->has)) ||
		    (row->hasnt && strstr(text, row->hasnt))) {
			print_error("%s: %s %s: %d %s\n", plugin, row->method, row->path, a->code, text);
			bad++;
		}
		answer_free(a);
	}
	assert_int_equal(bad, 0);
}

static const char *listed(struct rig *r, const char *head, const char *element, int n, const char *tail)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	buf_adds(&b, head);
	for (int i = 0; i < n; i++)
		buf_printf(&b, element, i ? "," : "", i);
	buf_adds(&b, tail);
	return arena_strdup(&r->arena, buf_cstr(&b));
}

/* Each of a pod's containers gets each default and is held against each bound: the product of two objects is counted.
 */
static void test_limit_product(void **state)
{
	static const char *const lists[] = { "default", "min", "maxLimitRequestRatio" };
	struct rig *r = *state;

	given(r, "/api/v1/namespaces", "{\"metadata\":{\"name\":\"limited\"}}");
	given(r, CORE "limited/serviceaccounts", "{\"metadata\":{\"name\":\"default\"}}");
	for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
		given(r, CORE "limited/limitranges",
		      listed(r,
			     arena_printf(&r->arena,
					  "{\"metadata\":{\"name\":\"l\"},\"spec\":{\"limits\":[{\"type\":"
					  "\"Container\",\"%s\":{",
					  lists[i]),
			     "%s\"example.com/r%d\":\"1\"", 400, "}}]}}"));
		for (int n = 30; n <= 300; n *= 10) {
			struct answer *a =
			    api(r, "POST", CORE "limited/pods",
				.body = listed(r, "{\"metadata\":{\"name\":\"p\"},\"spec\":{\"containers\":[",
					       "%s{\"name\":\"c%d\",\"image\":\"i\"}", n, "]}}"));
			bool too_many = strstr(buf_cstr(&a->body), "too many resources for so many containers") != NULL;

			if (too_many != (n == 300) || (too_many && a->code != 403))
				fail_msg("%s of %d: %d %.300s", lists[i], n, a->code, buf_cstr(&a->body));
			answer_free(a);
		}
		expect(r, 200, "DELETE", CORE "limited/limitranges/l", NULL);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_table, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_limit_product, rig_setup, rig_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
