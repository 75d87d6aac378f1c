/* Fields that stand for one another, through every form of a write: whichever of them a client knows, all agree.
 *
 * A row says what is there, what a client changes, and what then holds; the change is made as a merge patch, a
 * strategic one, a JSON patch, a PUT of all, and by server-side apply, and looked at again. Rows of a pod's description
 * run for every kind that has one. */
#include "harness.h"

#include "object/patch.h"

#define CORE "/api/v1/namespaces/default/"
#define APPS "/apis/apps/v1/namespaces/default/"
#define BATCH "/apis/batch/v1/namespaces/default/"

enum { MERGE = 1, STRATEGIC = 2, JSON = 4, PUT = 8, APPLY = 16, ALL = 31, NULLS = ALL & ~APPLY };

struct want {
	const char *path, *json; /* dotted; NULL: it is not there */
};

struct row {
	const char *start, *change;
	unsigned ops;
	struct want wants[4];
};

/* Where a description of a pod is in its kind; the object around it, with %s for it. */
static const struct kind {
	const char *path, *at, *object;
	bool changes; /* it may be changed later */
} kinds[] = {
	{ CORE "pods", "", NULL, false },
	{ CORE "podtemplates", "template", "\"template\":%s", true },
	{ CORE "replicationcontrollers", "spec.template", "\"spec\":{\"selector\":{\"a\":\"b\"},\"template\":%s}",
	  true },
	{ APPS "replicasets", "spec.template",
	  "\"spec\":{\"selector\":{\"matchLabels\":{\"a\":\"b\"}},\"template\":%s}", true },
	{ APPS "deployments", "spec.template",
	  "\"spec\":{\"selector\":{\"matchLabels\":{\"a\":\"b\"}},\"template\":%s}", true },
	{ APPS "statefulsets", "spec.template",
	  "\"spec\":{\"serviceName\":\"s\",\"selector\":{\"matchLabels\":{\"a\":\"b\"}},\"template\":%s}", true },
	{ APPS "daemonsets", "spec.template", "\"spec\":{\"selector\":{\"matchLabels\":{\"a\":\"b\"}},\"template\":%s}",
	  true },
	{ BATCH "jobs", "spec.template", "\"spec\":{\"template\":%s}", false },
	{ BATCH "cronjobs", "spec.jobTemplate.spec.template",
	  "\"spec\":{\"schedule\":\"@daily\",\"jobTemplate\":{\"spec\":{\"template\":%s}}}", true },
};

#define CONTAINER "\"containers\":[{\"name\":\"c\",\"image\":\"i\"}]"
#define ONE "\"serviceAccountName\":\"one\","
#define ACCOUNT(name)                        \
	{ "spec.serviceAccountName", name }, \
	{                                    \
		"spec.serviceAccount", name  \
	}
#define OLD "\"pod.beta.kubernetes.io/init-containers\":\"x\",\"pod.alpha.kubernetes.io/init-container-statuses\":\"x\""

/* Of a description: start is of its spec, before the containers; change is of metadata and spec. */
static const struct row described[] = {
	{ ONE, "{\"spec\":{\"serviceAccountName\":\"two\"}}", ALL, { ACCOUNT("\"two\"") } },
	{ ONE, "{\"spec\":{\"serviceAccount\":\"two\"}}", ALL, { ACCOUNT("\"one\"") } },
	{ ONE,
	  "{\"spec\":{\"serviceAccountName\":\"two\",\"serviceAccount\":\"three\"}}",
	  ALL,
	  { ACCOUNT("\"two\"") } },
	/* One that is left out while the other stands changes nothing; both together are needed. */
	{ ONE, "{\"spec\":{\"serviceAccountName\":null}}", NULLS, { ACCOUNT("\"one\"") } },
	{ ONE, "{\"spec\":{\"serviceAccount\":null}}", NULLS, { ACCOUNT("\"one\"") } },
	{ ONE, "{\"spec\":{\"serviceAccountName\":null,\"serviceAccount\":null}}", NULLS, { ACCOUNT(NULL) } },
	{ "\"serviceAccount\":\"one\",", "{\"spec\":{\"hostname\":\"h\"}}", ALL, { ACCOUNT("\"one\"") } },
	/* The host's parts are beside the security context, not in it. */
	{ "\"hostNetwork\":true,\"securityContext\":{\"runAsUser\":1},",
	  "{\"spec\":{\"securityContext\":null}}",
	  NULLS,
	  { { "spec.securityContext", "{}" }, { "spec.hostNetwork", "true" } } },
	{ "\"hostNetwork\":true,\"securityContext\":{\"runAsUser\":1},",
	  "{\"spec\":{\"hostNetwork\":null}}",
	  NULLS,
	  { { "spec.securityContext", "{\"runAsUser\":1}" }, { "spec.hostNetwork", NULL } } },
	{ "", "{\"spec\":{\"hostname\":\"h\"}}", ALL, { { "spec.securityContext", "{}" } } },
	/* Init containers were annotations. */
	{ "",
	  "{\"metadata\":{\"annotations\":{" OLD ",\"mine\":\"y\"}}}",
	  ALL,
	  { { "metadata.annotations", "{\"mine\":\"y\"}" } } },
	{ "", "{\"metadata\":{\"annotations\":{" OLD "}}}", ALL, { { "metadata.annotations", NULL } } },
	/* Amounts are in thousandths. */
	{ "",
	  "{\"spec\":{\"containers\":[{\"name\":\"c\",\"image\":\"i\",\"resources\":{\"limits\":{\"cpu\":\"0.0001\"},"
	  "\"requests\":{\"cpu\":\"0.0001\"}}}]}}",
	  ALL,
	  { { "spec.containers.0.resources", "{\"limits\":{\"cpu\":\"1m\"},\"requests\":{\"cpu\":\"1m\"}}" } } },
};

/* Other kinds: the object a row begins with, the subresource that is written, and where else it can be seen. */
static const struct other {
	const char *path, *sub, *object, *elsewhere;
	struct row row;
} others[] = {
#define IPS(json_one, json_all)           \
	{ "status.podIP", json_one },     \
	{                                 \
		"status.podIPs", json_all \
	}
#define POD "\"spec\":{" CONTAINER "}"
#define HAS_IP "{\"status\":{\"podIP\":\"1.1.1.1\",\"podIPs\":[{\"ip\":\"1.1.1.1\"}]}}"
	{ CORE "pods",
	  "/status",
	  POD,
	  NULL,
	  { NULL, "{\"status\":{\"podIP\":\"1.1.1.2\"}}", ALL, { IPS("\"1.1.1.2\"", "[{\"ip\":\"1.1.1.2\"}]") } } },
	{ CORE "pods",
	  "/status",
	  POD,
	  NULL,
	  { NULL,
	    "{\"status\":{\"podIPs\":[{\"ip\":\"1.1.1.2\"},{\"ip\":\"fd00::2\"}]}}",
	    ALL,
	    { IPS("\"1.1.1.2\"", "[{\"ip\":\"1.1.1.2\"},{\"ip\":\"fd00::2\"}]") } } },
	{ CORE "pods",
	  "/status",
	  POD,
	  NULL,
	  { HAS_IP, "{\"status\":{\"podIP\":\"1.1.1.2\"}}", ALL, { IPS("\"1.1.1.2\"", "[{\"ip\":\"1.1.1.2\"}]") } } },
	{ CORE "pods",
	  "/status",
	  POD,
	  NULL,
	  { HAS_IP,
	    "{\"status\":{\"podIPs\":[{\"ip\":\"1.1.1.3\"}]}}",
	    MERGE | JSON | PUT,
	    { IPS("\"1.1.1.1\"", "[{\"ip\":\"1.1.1.1\"}]") } } },
	{ CORE "pods",
	  "/status",
	  POD,
	  NULL,
	  { HAS_IP, "{\"status\":{\"podIP\":null}}", NULLS, { IPS("\"1.1.1.1\"", "[{\"ip\":\"1.1.1.1\"}]") } } },
	{ CORE "pods",
	  "/status",
	  POD,
	  NULL,
	  { HAS_IP, "{\"status\":{\"podIPs\":null}}", NULLS, { IPS("\"1.1.1.1\"", "[{\"ip\":\"1.1.1.1\"}]") } } },
	{ CORE "pods",
	  "/status",
	  POD,
	  NULL,
	  { HAS_IP, "{\"status\":{\"podIP\":null,\"podIPs\":null}}", NULLS, { IPS(NULL, NULL) } } },
	{ CORE "pods",
	  "/status",
	  POD,
	  NULL,
	  { NULL,
	    "{\"status\":{\"hostIP\":\"2.2.2.2\",\"hostIPs\":[{\"ip\":\"2.2.2.2\"}]}}",
	    ALL,
	    { { "status.hostIP", "\"2.2.2.2\"" }, { "status.hostIPs", "[{\"ip\":\"2.2.2.2\"}]" } } } },
#define CIDRS(json_one, json_all)         \
	{ "spec.podCIDR", json_one },     \
	{                                 \
		"spec.podCIDRs", json_all \
	}
	{ "/api/v1/nodes",
	  "",
	  "\"spec\":{}",
	  NULL,
	  { NULL,
	    "{\"spec\":{\"podCIDR\":\"10.0.0.0/24\"}}",
	    ALL,
	    { CIDRS("\"10.0.0.0/24\"", "[\"10.0.0.0/24\"]") } } },
	{ "/api/v1/nodes",
	  "",
	  "\"spec\":{}",
	  NULL,
	  { NULL,
	    "{\"spec\":{\"podCIDRs\":[\"10.0.0.0/24\",\"fd00::/64\"]}}",
	    ALL,
	    { CIDRS("\"10.0.0.0/24\"", "[\"10.0.0.0/24\",\"fd00::/64\"]") } } },
	{ "/api/v1/nodes",
	  "",
	  "\"spec\":{\"podCIDR\":\"10.0.0.0/24\"}",
	  NULL,
	  { NULL, "{\"spec\":{\"podCIDR\":null}}", NULLS, { CIDRS("\"10.0.0.0/24\"", "[\"10.0.0.0/24\"]") } } },
	{ "/api/v1/nodes",
	  "",
	  "\"spec\":{\"podCIDR\":\"10.0.1.0/24\",\"podCIDRs\":[\"10.0.0.0/24\"]}",
	  NULL,
	  { NULL, "{\"spec\":{\"podCIDRs\":null}}", NULLS, { CIDRS("\"10.0.1.0/24\"", "[\"10.0.1.0/24\"]") } } },
/* What was given to a Service is not lost by a client that does not know it. */
#define ADDRESS                                      \
	{ "spec.clusterIP", "\"10.43.5.5\"" },       \
	{                                            \
		"spec.clusterIPs", "[\"10.43.5.5\"]" \
	}
#define SERVICE "\"spec\":{\"clusterIP\":\"10.43.5.5\",\"ports\":[{\"port\":80}]}"
	{ CORE "services", "", SERVICE, NULL, { NULL, "{\"spec\":{\"clusterIP\":null}}", NULLS, { ADDRESS } } },
	{ CORE "services", "", SERVICE, NULL, { NULL, "{\"spec\":{\"clusterIPs\":null}}", NULLS, { ADDRESS } } },
	{ CORE "services",
	  "",
	  SERVICE,
	  NULL,
	  { NULL, "{\"spec\":{\"clusterIP\":null,\"clusterIPs\":null}}", NULLS, { ADDRESS } } },
	{ CORE "services",
	  "",
	  SERVICE,
	  NULL,
	  { NULL,
	    "{\"spec\":{\"ipFamilies\":null,\"ipFamilyPolicy\":null}}",
	    NULLS,
	    { { "spec.ipFamilies", "[\"IPv4\"]" }, { "spec.ipFamilyPolicy", "\"SingleStack\"" } } } },
	{ CORE "services",
	  "",
	  SERVICE,
	  NULL,
	  { NULL,
	    "{\"spec\":{\"type\":\"ExternalName\",\"externalName\":\"a.b\",\"clusterIP\":null}}",
	    NULLS,
	    { { "spec.clusterIP", NULL }, { "spec.clusterIPs", NULL }, { "spec.ipFamilies", NULL } } } },
	/* Text beside bytes is written, never read. */
	{ CORE "secrets",
	  "",
	  "\"data\":{\"a\":\"eA==\"}",
	  NULL,
	  { NULL,
	    "{\"stringData\":{\"b\":\"y\"}}",
	    ALL,
	    { { "data", "{\"a\":\"eA==\",\"b\":\"eQ==\"}" }, { "stringData", NULL } } } },
	{ CORE "secrets",
	  "",
	  "\"data\":{\"a\":\"eA==\"}",
	  NULL,
	  { NULL, "{\"stringData\":{\"a\":\"y\"}}", ALL, { { "data.a", "\"eQ==\"" }, { "stringData", NULL } } } },
/* Labels and selector of old workloads are their template's. */
#define TEMPLATE "\"template\":{\"metadata\":{\"labels\":{\"a\":\"b\"}},\"spec\":{" CONTAINER "}}"
	{ CORE "replicationcontrollers",
	  "",
	  "\"spec\":{" TEMPLATE "}",
	  NULL,
	  { NULL,
	    "{\"metadata\":{\"labels\":null}}",
	    NULLS,
	    { { "metadata.labels", "{\"a\":\"b\"}" }, { "spec.selector", "{\"a\":\"b\"}" } } } },
	{ CORE "replicationcontrollers",
	  "",
	  "\"spec\":{" TEMPLATE "}",
	  NULL,
	  { NULL, "{\"spec\":{\"selector\":null}}", NULLS, { { "spec.selector", "{\"a\":\"b\"}" } } } },
/* How many templates a DaemonSet has had: the server counts. */
#define COUNTED "metadata.annotations"
#define COUNT(n) "{\"deprecated.daemonset.template.generation\":\"" n "\"}"
	{ APPS "daemonsets",
	  "",
	  "\"spec\":{\"selector\":{\"matchLabels\":{\"a\":\"b\"}}," TEMPLATE "}",
	  NULL,
	  { NULL, "{\"metadata\":{\"annotations\":" COUNT("9") "}}", ALL, { { COUNTED, COUNT("1") } } } },
	{ APPS "daemonsets",
	  "",
	  "\"spec\":{\"selector\":{\"matchLabels\":{\"a\":\"b\"}}," TEMPLATE "}",
	  NULL,
	  { NULL, "{\"metadata\":{\"annotations\":null}}", NULLS, { { COUNTED, COUNT("1") } } } },
	{ APPS "daemonsets",
	  "",
	  "\"spec\":{\"selector\":{\"matchLabels\":{\"a\":\"b\"}}," TEMPLATE "}",
	  NULL,
	  { NULL, "{\"spec\":{\"template\":{\"spec\":{\"hostname\":\"h\"}}}}", ALL, { { COUNTED, COUNT("2") } } } },
	/* Topology labels are of an older version. */
	{ "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices",
	  "",
	  "\"addressType\":\"IPv4\",\"endpoints\":[]",
	  NULL,
	  { NULL,
	    "{\"endpoints\":[{\"addresses\":[\"10.0.0.1\"],\"deprecatedTopology\":{\"a\":\"b\"},\"zone\":\"z\"}]}",
	    ALL,
	    { { "endpoints.0.deprecatedTopology", NULL }, { "endpoints.0.zone", "\"z\"" } } } },
/* One event, two kinds. */
#define EVENT                                                                                                 \
	"\"involvedObject\":{\"kind\":\"Pod\",\"name\":\"p\",\"namespace\":\"default\"},\"type\":\"Normal\"," \
	"\"reason\":\"R\""
	{ CORE "events",
	  "",
	  EVENT,
	  "/apis/events.k8s.io/v1/namespaces/default/events",
	  { NULL,
	    "{\"message\":\"m\",\"count\":3,\"source\":{\"component\":\"c\"},\"lastTimestamp\":\"2026-01-01T00:00:"
	    "00Z\"}",
	    ALL,
	    { { "note", "\"m\"" },
	      { "deprecatedCount", "3" },
	      { "deprecatedSource", "{\"component\":\"c\"}" },
	      { "deprecatedLastTimestamp", "\"2026-01-01T00:00:00Z\"" } } } },
};

static const struct val *at(const struct val *v, const char *path)
{
	struct sv rest = sv_from(path), part;
	int64_t i;

	while (v && rest.n && sv_split(&rest, '.', &part))
		v = val_type(v) == VAL_LIST && sv_to_i64(part, &i) ? val_at(v, (size_t)i) : val_member_sv(v, part);
	return v;
}

static const char *text_of(struct rig *r, const struct val *v)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	json_encode(&b, v);
	return arena_strdup(&r->arena, buf_cstr(&b));
}

static const struct val *read_json(struct rig *r, const char *text)
{
	const struct val *v = json_decode(&r->arena, sv_from(text), NULL, NULL);

	if (!v)
		fail_msg("no JSON: %s", text);
	return v;
}

/* The operations that make what a merge patch makes of doc. */
static void json_ops(struct rig *r, struct buf *b, const char *path, const struct val *doc, const struct val *change)
{
	VAL_EACH_MEMBER(change, m) {
		const struct val *there = val_member_sv(doc, m.key);
		struct sv key = m.key, part;
		_cleanup_(buf_release) struct buf name = BUF_INIT;
		const char *here;

		for (bool first = true; sv_split(&key, '/', &part); first = false)
			buf_printf(&name, "%s%.*s", first ? "" : "~1", SV_ARG(part));
		here = arena_printf(&r->arena, "%s/%s", path, buf_cstr(&name));
		if (val_type(m.value) == VAL_MAP && there)
			json_ops(r, b, here, there, m.value);
		else if (val_type(m.value) != VAL_NULL)
			buf_printf(b, "%s{\"op\":\"add\",\"path\":\"%s\",\"value\":%s}", b->n ? "," : "", here,
				   text_of(r, m.value));
		else if (there)
			buf_printf(b, "%s{\"op\":\"remove\",\"path\":\"%s\"}", b->n ? "," : "", here);
	}
}

static void check(struct rig *r, const char *what, const struct val *o, const char *base, const struct want *wants)
{
	for (const struct want *w = wants; w < wants + 4 && w->path; w++) {
		const struct val *have = at(at(o, base), w->path);
		const char *text = have ? text_of(r, have) : NULL;

		if (w->json ? !text || !val_equal(have, read_json(r, w->json)) : text != NULL)
			fail_msg("%s: %s is %s, not %s", what, w->path, text ? text : "absent",
				 w->json ? w->json : "absent");
	}
}

/* change is of the whole object; base is where the wants begin; also: where else to look, NULL for nowhere. */
static void change_all_ways(struct rig *r, const char *collection, const char *sub, const char *object,
			    const char *start, const char *change, const char *base, const char *also, unsigned ops,
			    const struct want *wants)
{
	static const struct {
		unsigned op;
		const char *method, *type;
	} ways[] = {
		{ MERGE, "PATCH", "application/merge-patch+json" },
		{ STRATEGIC, "PATCH", "application/strategic-merge-patch+json" },
		{ JSON, "PATCH", "application/json-patch+json" },
		{ PUT, "PUT", "application/json" },
		{ APPLY, "PATCH", "application/apply-patch+yaml" },
	};
	const struct val *patch = read_json(r, change);

	for (size_t i = 0; i < ARRAY_LEN(ways); i++) {
		char *path = arena_printf(&r->arena, "%s/x", collection),
		     *to = arena_printf(&r->arena, "%s%s", path, sub);
		const char *body = change, *what = arena_printf(&r->arena, "%s by way %zu: %s", to, i, change);
		const struct val *o;
		_cleanup_(buf_release) struct buf b = BUF_INIT;
		struct answer *a;

		if (!(ops & ways[i].op))
			continue;
		o = expect(r, 201, "POST", collection,
			   arena_printf(&r->arena, "{\"metadata\":{\"name\":\"x\"},%s}", object));
		if (start)
			o = expect_type(r, 200, "PATCH", to, ways[0].type, start);
		if (ways[i].op == JSON) {
			json_ops(r, &b, "", o, patch);
			body = arena_printf(&r->arena, "[%s]", buf_cstr(&b));
		} else if (ways[i].op == PUT) {
			body = text_of(r, patch_merge(&r->arena, o, patch, NULL));
		} else if (ways[i].op == APPLY) {
			struct val *doc = val_clone(&r->arena, patch);

			val_set(&r->arena, doc, F_apiVersion, val_get(o, F_apiVersion));
			val_set(&r->arena, doc, F_kind, val_get(o, F_kind));
			val_set_cstr(&r->arena, val_ensure_map(&r->arena, doc, F_metadata), F_name, "x");
			body = text_of(r, doc);
			to = arena_printf(&r->arena, "%s?fieldManager=m&force=true", to);
		}
		a = api(r, ways[i].method, to, .type = ways[i].type, .body = body);
		if (a->code != 200)
			fail_msg("%s: %d %s for %s", what, a->code, buf_cstr(&a->body), body);
		if (!also)
			check(r, what, a->json, base, wants);
		answer_free(a);
		check(r, what, expect(r, 200, "GET", also ? arena_printf(&r->arena, "%s/x", also) : path, NULL), base,
		      wants);
		expect(r, 200, "DELETE",
		       arena_printf(&r->arena, "%s?gracePeriodSeconds=0&propagationPolicy=Background", path), NULL);
	}
}

/* The object of a kind around a description of a pod. */
static const char *around(struct rig *r, const struct kind *k, const char *description)
{
	return arena_printf(&r->arena, k->object, description);
}

static const char *nested(struct rig *r, const char *at_path, const char *inner)
{
	struct sv rest = sv_from(at_path), part;
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	int depth = 0;

	for (; rest.n && sv_split(&rest, '.', &part); depth++)
		buf_printf(&b, "{\"%.*s\":", SV_ARG(part));
	buf_printf(&b, "%s", inner);
	while (depth-- > 0)
		buf_addc(&b, '}');
	return arena_strdup(&r->arena, buf_cstr(&b));
}

static void given(struct rig *r)
{
	static const char *const accounts[] = { "default", "one", "two" };

	for (size_t i = 0; i < ARRAY_LEN(accounts); i++)
		expect(r, 201, "POST", CORE "serviceaccounts",
		       arena_printf(&r->arena, "{\"metadata\":{\"name\":\"%s\"}}", accounts[i]));
}

static const char *description(struct rig *r, const struct kind *k, const struct row *row)
{
	return arena_printf(&r->arena, "{\"metadata\":{\"labels\":{\"a\":\"b\"}},\"spec\":{%s%s" CONTAINER "}}",
			    row->start, sv_starts(sv_from(k->path), SV(BATCH)) ? "\"restartPolicy\":\"Never\"," : "");
}

static void test_described(void **state)
{
	struct rig *r = *state;

	given(r);
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		for (size_t k = 0; kinds[i].changes && k < ARRAY_LEN(described); k++)
			change_all_ways(r, kinds[i].path, "",
					around(r, &kinds[i], description(r, &kinds[i], &described[k])), NULL,
					nested(r, kinds[i].at, described[k].change), kinds[i].at, NULL,
					described[k].ops, described[k].wants);
}

/* The same in what is created: start and change together, as far as a client can say them at once. */
static void test_created(void **state)
{
	struct rig *r = *state;

	given(r);
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		for (size_t k = 0; k < ARRAY_LEN(described); k++) {
			const struct kind *kind = &kinds[i];
			const struct row *row = &described[k];
			const struct val *whole, *o;
			char *path = arena_printf(&r->arena, "%s/x", kind->path);
			const char *body;

			if (row->ops != ALL) /* it takes something away */
				continue;
			whole = patch_merge(&r->arena, read_json(r, description(r, kind, row)),
					    read_json(r, row->change), NULL);
			if (!kind->object) {
				struct val *pod = val_clone(&r->arena, whole);

				val_set_cstr(&r->arena, val_get_mut(pod, F_metadata), F_name, "x");
				body = text_of(r, pod);
			} else {
				body = arena_printf(&r->arena, "{\"metadata\":{\"name\":\"x\"},%s}",
						    around(r, kind, text_of(r, whole)));
			}
			o = expect(r, 201, "POST", kind->path, body);
			check(r, arena_printf(&r->arena, "%s: %s", kind->path, body), o, kind->at, row->wants);
			check(r, path, expect(r, 200, "GET", path, NULL), kind->at, row->wants);
			expect(r, 200, "DELETE",
			       arena_printf(&r->arena, "%s?gracePeriodSeconds=0&propagationPolicy=Background", path),
			       NULL);
		}
}

static void test_others(void **state)
{
	struct rig *r = *state;

	given(r);
	for (size_t i = 0; i < ARRAY_LEN(others); i++)
		change_all_ways(r, others[i].path, others[i].sub, others[i].object, others[i].row.start,
				others[i].row.change, "", others[i].elsewhere, others[i].row.ops, others[i].row.wants);
}

/* What is made to agree when it is created, and may not be changed later or not that way. */
static void test_at_creation(void **state)
{
#define CLAIM(more) \
	"\"spec\":{\"accessModes\":[\"ReadWriteOnce\"],\"resources\":{\"requests\":{\"storage\":\"1Gi\"}}" more "}"
#define SOURCE "{\"kind\":\"PersistentVolumeClaim\",\"name\":\"a\"}"
#define HAS "{\"apiGroup\":null,\"kind\":\"PersistentVolumeClaim\",\"name\":\"a\"}"
#define PROFILE "container.apparmor.security.beta.kubernetes.io/"
#define MATCH(more) "\"labelSelector\":{\"matchLabels\":{\"a\":\"b\"}" more "}"
#define ADDED ",\"matchExpressions\":[{\"key\":\"v\",\"operator\":\"In\",\"values\":[\"1\"]}]"
#define DIFFER ",\"matchExpressions\":[{\"key\":\"t\",\"operator\":\"NotIn\",\"values\":[\"2\"]}]"
#define TERM "\"topologyKey\":\"z\""
	static const struct {
		const char *path, *metadata, *rest;
		struct want wants[4];
		int warnings;
	} rows[] = {
		{ CORE "persistentvolumeclaims",
		  "",
		  CLAIM(",\"dataSource\":" SOURCE),
		  { { "spec.dataSource", HAS }, { "spec.dataSourceRef", HAS } },
		  0 },
		{ CORE "persistentvolumeclaims",
		  "",
		  CLAIM(",\"dataSourceRef\":" SOURCE),
		  { { "spec.dataSource", HAS }, { "spec.dataSourceRef", HAS } },
		  0 },
		{ APPS "daemonsets",
		  ",\"annotations\":" COUNT("7"),
		  "\"spec\":{\"selector\":{\"matchLabels\":{\"a\":\"b\"}}," TEMPLATE "}",
		  { { COUNTED, COUNT("7") } },
		  0 },
		{ APPS "daemonsets",
		  ",\"annotations\":" COUNT("-7"),
		  "\"spec\":{\"selector\":{\"matchLabels\":{\"a\":\"b\"}}," TEMPLATE "}",
		  { { COUNTED, COUNT("1") } },
		  0 },
		{ CORE "pods",
		  ",\"annotations\":{\"" PROFILE "c\":\"localhost/mine\",\"" PROFILE "d\":\"unconfined\",\"" PROFILE
		  "e\":\"runtime/default\"}",
		  "\"spec\":{\"initContainers\":[{\"name\":\"d\",\"image\":\"i\"}],\"containers\":[{\"name\":\"c\","
		  "\"image\":\"i\"},{"
		  "\"name\":\"e\",\"image\":\"i\",\"securityContext\":{\"appArmorProfile\":{\"type\":\"Unconfined\"}}}]"
		  "}",
		  { { "spec.containers.0.securityContext",
		      "{\"appArmorProfile\":{\"type\":\"Localhost\",\"localhostProfile\":\"mine\"}}" },
		    { "spec.initContainers.0.securityContext", "{\"appArmorProfile\":{\"type\":\"Unconfined\"}}" },
		    { "spec.containers.1.securityContext", "{\"appArmorProfile\":{\"type\":\"Unconfined\"}}" } },
		  2 },
		/* The pod's own says the same. */
		{ CORE "pods",
		  ",\"annotations\":{\"" PROFILE "c\":\"runtime/default\"}",
		  "\"spec\":{\"securityContext\":{\"appArmorProfile\":{\"type\":\"RuntimeDefault\"}}," CONTAINER "}",
		  { { "spec.containers.0.securityContext", NULL } },
		  0 },
		{ CORE "pods",
		  ",\"annotations\":{\"" PROFILE "c\":\"unconfined\"}",
		  "\"spec\":{\"securityContext\":{\"appArmorProfile\":{\"type\":\"RuntimeDefault\"}}," CONTAINER "}",
		  { { "spec.containers.0.securityContext", "{\"appArmorProfile\":{\"type\":\"Unconfined\"}}" } },
		  1 },
		/* Keys that take their values from the pod's labels; none that it has not, none without a selector. */
		{ CORE "pods",
		  ",\"labels\":{\"a\":\"b\",\"v\":\"1\",\"t\":\"2\"}",
		  "\"spec\":{" CONTAINER
		  ",\"affinity\":{\"podAffinity\":{\"requiredDuringSchedulingIgnoredDuringExecution\":[{" TERM
		  "," MATCH("") ",\"matchLabelKeys\":[\"v\",\"none\"]}]},\"podAntiAffinity\":{"
				"\"preferredDuringSchedulingIgnoredDuringExecution\":[{\"weight\":1,"
				"\"podAffinityTerm\":{" TERM
				"," MATCH("") ",\"mismatchLabelKeys\":[\"t\"]}}]}},\"topologySpreadConstraints\":[{"
					      "\"maxSkew\":1,\"whenUnsatisfiable\":"
					      "\"DoNotSchedule\"," TERM "," MATCH("") ",\"matchLabelKeys\":[\"v\"]}]}",
		  { { "spec.affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution.0.labelSelector",
		      "{\"matchLabels\":{\"a\":\"b\"}" ADDED "}" },
		    { "spec.affinity.podAntiAffinity.preferredDuringSchedulingIgnoredDuringExecution.0.podAffinityTerm."
		      "labelSelector",
		      "{\"matchLabels\":{\"a\":\"b\"}" DIFFER "}" },
		    { "spec.topologySpreadConstraints.0.labelSelector", "{\"matchLabels\":{\"a\":\"b\"}" ADDED "}" },
		    { "spec.topologySpreadConstraints.0.matchLabelKeys", "[\"v\"]" } },
		  0 },
	};
	struct rig *r = *state;

	given(r);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char *path = arena_printf(&r->arena, "%s/x%zu", rows[i].path, i);
		struct answer *a = api(r, "POST", rows[i].path,
				       .body = arena_printf(&r->arena, "{\"metadata\":{\"name\":\"x%zu\"%s},%s}", i,
							    rows[i].metadata, rows[i].rest));

		if (a->code != 201)
			fail_msg("%s: %s", path, buf_cstr(&a->body));
		assert_int_equal(a->q.n_warnings, rows[i].warnings);
		answer_free(a);
		check(r, path, expect(r, 200, "GET", path, NULL), "", rows[i].wants);
		/* And it can be written again as it is. */
		expect(r, 200, "PUT", path, text_of(r, expect(r, 200, "GET", path, NULL)));
	}
	/* Said once by a client and once more by the keys. */
	expect_status(
	    r, 422, "Invalid", "spec.topologySpreadConstraints[0][0]: Invalid value: \"a\": exists in both",
	    &(struct ask){
		.method = "POST",
		.path = CORE "pods",
		.body = "{\"metadata\":{\"name\":\"twice\",\"labels\":{\"a\":\"b\"}},\"spec\":{" CONTAINER
			",\"topologySpreadConstraints\":[{\"maxSkew\":1,\"whenUnsatisfiable\":\"DoNotSchedule\"," TERM
			"," MATCH("") ",\"matchLabelKeys\":[\"a\"]}]}}" });
	/* The node's addresses are not made to agree, they have to. */
	expect(r, 201, "POST", CORE "pods", "{\"metadata\":{\"name\":\"h\"},\"spec\":{" CONTAINER "}}");
	expect_status(
	    r, 422, "Invalid", "status.hostIPs[0].ip: Invalid value: \"2.2.2.2\": must be equal to `hostIP`",
	    &(struct ask){ .method = "PATCH",
			   .path = CORE "pods/h/status",
			   .type = "application/merge-patch+json",
			   .body = "{\"status\":{\"hostIP\":\"2.2.2.3\",\"hostIPs\":[{\"ip\":\"2.2.2.2\"}]}}" });
}

/* Keys of four bytes, each of which names a long label: refused, and not before each has become an expression. */
static void test_key_again(void **state)
{
	enum { KEYS = 20000 };
	struct rig *r = *state;
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	struct answer *a;

	given(r);
	buf_adds(&b, "{\"metadata\":{\"name\":\"again\",\"labels\":{\"a\":\"b\"}},\"spec\":{" CONTAINER
		     ",\"topologySpreadConstraints\":[{\"maxSkew\":1,\"whenUnsatisfiable\":\"DoNotSchedule\"," TERM
		     ",\"labelSelector\":{},\"matchLabelKeys\":[\"a\"");
	for (int i = 1; i < KEYS; i++)
		buf_adds(&b, ",\"a\"");
	buf_adds(&b, "]}]}}");
	a = api(r, "POST", CORE "pods", .body = buf_cstr(&b));
	assert_int_equal(a->code, 422);
	assert_true(a->arena.bytes < 50 * b.n);
	answer_free(a);
}

#define T(f) cmocka_unit_test_setup_teardown(f, rig_setup, rig_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = { T(test_described), T(test_created), T(test_others), T(test_at_creation),
					    T(test_key_again) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
