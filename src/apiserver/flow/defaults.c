/* Rows instead of documents, as most of these say the same: all verbs on everything, for a few groups or users. */
#include "apiserver/flow/defaults.h"
#include "base/base.h"
#include "object/schema.h"

#define API_VERSION "flowcontrol.apiserver.k8s.io/v1"
#define ROWS_MAX 4

struct row_target {
	const char *verbs, *groups, *resources; /* with commas between; groups "" is the core group. verbs NULL: none */
	bool cluster;
};

static const struct row_schema {
	const char *name, *level;
	int precedence;
	const char *by;
	const char *subjects; /* G: group, U: user, A: account as NAMESPACE/NAME; with blanks between */
	struct row_target resources[ROWS_MAX];
	const char *paths; /* of GET; "*": any verb and path */
} schemas[] = {
#define ALL { { "*", "*", "*", true } }, "*"
#define EVERYBODY "G:system:unauthenticated G:system:authenticated"
#define ELECTION { { "get,create,update", "coordination.k8s.io", "leases", false } }, NULL
	{ "exempt", "exempt", 1, NULL, "G:system:masters", ALL },
	{ "catch-all", "catch-all", 10000, "ByUser", EVERYBODY, ALL },
	{ "system-nodes", "system", 500, "ByUser", "G:system:nodes", ALL },
	{ "system-node-high",
	  "node-high",
	  400,
	  "ByUser",
	  "G:system:nodes",
	  { { "*", "", "nodes,nodes/status", true }, { "*", "coordination.k8s.io", "leases", false } },
	  NULL },
	{ "probes", "exempt", 2, NULL, EVERYBODY, { { NULL, NULL, NULL, false } }, "/healthz,/readyz,/livez" },
	{ "system-leader-election", "leader-election", 100, "ByUser",
	  "U:system:kube-controller-manager U:system:kube-scheduler A:kube-system/*", ELECTION },
	{ "workload-leader-election", "leader-election", 200, "ByUser", "A:kube-system/*", ELECTION },
	{ "endpoint-controller",
	  "workload-high",
	  150,
	  "ByUser",
	  "U:system:kube-controller-manager A:kube-system/endpoint-controller "
	  "A:kube-system/endpointslicemirroring-controller",
	  { { "get,create,update", "", "endpoints", false } },
	  NULL },
	{ "kube-controller-manager", "workload-high", 800, "ByNamespace", "U:system:kube-controller-manager", ALL },
	{ "kube-scheduler", "workload-high", 800, "ByNamespace", "U:system:kube-scheduler", ALL },
	{ "kube-system-service-accounts", "workload-high", 900, "ByNamespace", "A:kube-system/*", ALL },
	{ "service-accounts", "workload-low", 9000, "ByUser", "G:system:serviceaccounts", ALL },
	{ "global-default", "global-default", 9900, "ByUser", EVERYBODY, ALL },
#undef ALL
#undef EVERYBODY
#undef ELECTION
};

static const struct {
	const char *name;
	int shares, lendable;
	int queues, hand, length; /* queues 0: none waits */
} levels[] = {
	{ "exempt", 0, 0, 0, 0, 0 },
	{ "catch-all", 5, 0, 0, 0, 0 },
	{ "system", 30, 33, 64, 6, 50 },
	{ "node-high", 40, 25, 64, 6, 50 },
	{ "leader-election", 10, 0, 16, 4, 50 },
	{ "workload-high", 40, 50, 128, 6, 50 },
	{ "workload-low", 100, 90, 128, 6, 50 },
	{ "global-default", 20, 50, 128, 6, 50 },
};

static struct val *default_object(struct arena *a, const char *kind, const char *name, struct val **ret_spec)
{
	struct val *doc = val_new_map(a), *meta;

	val_set_cstr(a, doc, F_kind, kind);
	val_set_cstr(a, doc, F_apiVersion, API_VERSION);
	meta = val_set_map(a, doc, F_metadata);
	val_set_cstr(a, meta, F_name, name);
	val_set_str_sv(a, val_set_map(a, meta, F_annotations), SV(FLOW_AUTOUPDATE), SV("true"));
	*ret_spec = val_set_map(a, doc, F_spec);
	return doc;
}

static void default_list(struct arena *a, struct val *of, enum sym key, const char *text)
{
	struct val *list = val_set_list(a, of, key);
	struct sv rest = sv_from(text), one;

	if (!rest.n)
		val_push(a, list, val_new_str(a, SV("")));
	while (sv_split(&rest, ',', &one))
		val_push(a, list, val_new_str(a, one));
}

static struct val *default_subject(struct arena *a, struct sv text)
{
	struct val *s = val_new_map(a), *m;
	struct sv name = sv_sub(text, 2, text.n), ns;

	switch (text.p[0]) {
	case 'G':
		val_set_cstr(a, s, F_kind, "Group");
		m = val_set_map(a, s, F_group);
		break;
	case 'U':
		val_set_cstr(a, s, F_kind, "User");
		m = val_set_map(a, s, F_user);
		break;
	default:
		val_set_cstr(a, s, F_kind, "ServiceAccount");
		m = val_set_map(a, s, F_serviceAccount);
		(void)sv_split(&name, '/', &ns);
		val_set(a, m, F_namespace, val_new_str(a, ns));
		break;
	}
	val_set(a, m, F_name, val_new_str(a, name));
	return s;
}

static void default_rule(struct arena *a, struct val *rule, const struct row_schema *row)
{
	struct sv rest = sv_from(row->subjects), one;
	struct val *list = val_set_list(a, rule, F_subjects), *t;

	while (sv_split(&rest, ' ', &one))
		val_push(a, list, default_subject(a, one));
	list = NULL;
	for (size_t i = 0; i < ROWS_MAX && row->resources[i].verbs; i++) {
		const struct row_target *r = &row->resources[i];

		if (!list)
			list = val_set_list(a, rule, F_resourceRules);
		t = val_new_map(a);
		default_list(a, t, F_verbs, r->verbs);
		default_list(a, t, F_apiGroups, r->groups);
		default_list(a, t, F_resources, r->resources);
		if (r->cluster)
			val_set_bool(a, t, F_clusterScope, true);
		default_list(a, t, F_namespaces, "*");
		val_push(a, list, t);
	}
	if (!row->paths)
		return;
	t = val_new_map(a);
	default_list(a, t, F_verbs, row->paths[0] == '*' ? "*" : "get");
	default_list(a, t, F_nonResourceURLs, row->paths);
	val_push(a, val_set_list(a, rule, F_nonResourceRules), t);
}

struct val *flow_default_schema(struct arena *a, size_t i)
{
	struct val *doc, *spec, *rule;

	if (i >= ARRAY_LEN(schemas))
		return NULL;
	doc = default_object(a, "FlowSchema", schemas[i].name, &spec);
	val_set_cstr(a, val_set_map(a, spec, F_priorityLevelConfiguration), F_name, schemas[i].level);
	val_set_int(a, spec, F_matchingPrecedence, schemas[i].precedence);
	if (schemas[i].by)
		val_set_cstr(a, val_set_map(a, spec, F_distinguisherMethod), F_type, schemas[i].by);
	rule = val_new_map(a);
	default_rule(a, rule, &schemas[i]);
	val_push(a, val_set_list(a, spec, F_rules), rule);
	return doc;
}

struct val *flow_default_level(struct arena *a, size_t i)
{
	struct val *doc, *spec, *m;
	bool exempt = i == 0;

	if (i >= ARRAY_LEN(levels))
		return NULL;
	doc = default_object(a, "PriorityLevelConfiguration", levels[i].name, &spec);
	val_set_cstr(a, spec, F_type, exempt ? "Exempt" : "Limited");
	m = val_set_map(a, spec, exempt ? F_exempt : F_limited);
	val_set_int(a, m, F_nominalConcurrencyShares, levels[i].shares);
	val_set_int(a, m, F_lendablePercent, levels[i].lendable);
	if (exempt)
		return doc;
	m = val_set_map(a, m, F_limitResponse);
	val_set_cstr(a, m, F_type, levels[i].queues ? "Queue" : "Reject");
	if (!levels[i].queues)
		return doc;
	m = val_set_map(a, m, F_queuing);
	val_set_int(a, m, F_queues, levels[i].queues);
	val_set_int(a, m, F_handSize, levels[i].hand);
	val_set_int(a, m, F_queueLengthLimit, levels[i].length);
	return doc;
}
