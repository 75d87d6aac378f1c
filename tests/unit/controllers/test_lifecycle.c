/* Namespaces, what they start with and how they end, and the garbage collector. */
#include "world.h"

#include "base/b64.h"
#include "base/timefmt.h"
#include "codec/json.h"
#include "controllers/gc_graph.h"
#include "controllers/status.h"

#include <stdio.h>
#include <stdlib.h>

static const char *const all[] = { "namespace-controller",
				   "serviceaccount-controller",
				   "root-ca-certificate-publisher-controller",
				   "garbage-collector-controller",
				   "deployment-controller",
				   "replicaset-controller",
				   NULL };
static const char *const gc[] = { "garbage-collector-controller", NULL };
static const struct resource *const ns_res = RES(core_namespaces), *const cm = RES(core_configmaps);

#define DEPLOYMENT                                                                                                   \
	"{\"metadata\":{\"name\":\"web\"},\"spec\":{\"replicas\":3,\"strategy\":{\"type\":\"RollingUpdate\","        \
	"\"rollingUpdate\":{\"maxSurge\":1,\"maxUnavailable\":1}},\"selector\":{\"matchLabels\":{\"app\":\"web\"}}," \
	"\"template\":{\"metadata\":{\"labels\":{\"app\":\"web\"}},\"spec\":{\"containers\":[{\"name\":\"c\","       \
	"\"image\":\"a\"}]}}}}"

static void make(struct world *w, const struct resource *r, const char *ns, const char *json)
{
	obj_unref(fake_api_create(w->api, r, ns, json));
}

static void test_namespace(void **state)
{
	struct controllers_opts o = { .root_ca_pem = SV("PEM") };
	struct world *w = world_new_opts(1, all, &o);
	_cleanup_obj_ struct obj *ca = NULL, *ns = NULL;

	(void)state;
	make(w, ns_res, "", "{\"metadata\":{\"name\":\"team\"}}");
	make(w, ns_res, "", "{\"metadata\":{\"name\":\"other\"}}");
	world_run(w, NS_PER_SEC);
	ca = fake_api_get(w->api, cm, "team", "kube-root-ca.crt");
	assert_sv(val_str(val_member_sv(obj_get(ca, F_data), SV("ca.crt"))), "PEM");
	assert_int_equal(fake_api_count(w->api, RES(core_serviceaccounts), "team"), 1);
	/* Deleted or changed, they come back. */
	fake_api_delete(w->api, RES(core_serviceaccounts), "team", "default", NULL);
	fake_api_patch(w->api, cm, "team", "kube-root-ca.crt", NULL, "{\"data\":{\"ca.crt\":\"x\"}}");
	world_run(w, NS_PER_SEC);
	assert_int_equal(fake_api_count(w->api, RES(core_serviceaccounts), "team"), 1);
	obj_unref(ca);
	ca = fake_api_get(w->api, cm, "team", "kube-root-ca.crt");
	assert_sv(val_str(val_member_sv(obj_get(ca, F_data), SV("ca.crt"))), "PEM");

	make(w, RES(apps_deployments), "team", DEPLOYMENT);
	make(w, cm, "team", "{\"metadata\":{\"name\":\"held\",\"finalizers\":[\"example.com/hold\"]}}");
	world_run(w, 5 * NS_PER_SEC);
	assert_int_equal(world_pods(w, "team", true), 3);

	w->no_kubelet = true;
	fake_api_delete(w->api, ns_res, "", "team", NULL);
	world_run(w, 5 * NS_PER_SEC);
	/* Pods have their grace, and everything else waits for them. */
	assert_int_equal(fake_api_count(w->api, RES(core_pods), "team"), 3);
	assert_int_equal(fake_api_count(w->api, RES(apps_deployments), "team"), 1);
	w->no_kubelet = false;
	world_run(w, 30 * NS_PER_SEC);
	assert_int_equal(fake_api_count(w->api, RES(core_pods), "team"), 0);
	assert_int_equal(fake_api_count(w->api, RES(apps_deployments), "team"), 0);
	assert_int_equal(fake_api_count(w->api, RES(core_serviceaccounts), "team"), 0);
	ns = fake_api_get(w->api, ns_res, "", "team");
	assert_non_null(ns);
	assert_true(condition_is(obj_get(ns, F_status, F_conditions), "NamespaceContentRemaining", "True"));
	assert_sv(val_str(val_member(
		      condition_find(obj_get(ns, F_status, F_conditions), "NamespaceFinalizersRemaining"), F_message)),
		  "Some content in the namespace has finalizers remaining: example.com/hold in 1 resource instances");
	fake_api_patch(w->api, cm, "team", "held", NULL, "{\"metadata\":{\"finalizers\":[]}}");
	world_run(w, 30 * NS_PER_SEC);
	assert_int_equal(fake_api_count(w->api, ns_res, ""), 1);
	assert_int_equal(fake_api_count(w->api, cm, "other"), 1);
	world_free(w);
}

static int refuse_to_delete(void *ctx, const char *verb, const struct resource *r, struct sv ns, struct sv name,
			    const struct val *doc, struct err *err)
{
	int64_t *tries = ctx;

	(void)name, (void)doc;
	if (strcmp(verb, "delete") != 0 || r != cm || !sv_is(ns, "team"))
		return 0;
	(*tries)++;
	return err_set(err, ERR_INTERNAL, "not today");
}

/* What went wrong for long is tried again within a minute all the same. */
static void test_namespace_retries(void **state)
{
	struct world *w = world_new(1, (const char *const[]){ "namespace-controller", NULL });
	int64_t tries = 0;

	(void)state;
	make(w, ns_res, "", "{\"metadata\":{\"name\":\"team\"}}");
	make(w, cm, "team", "{\"metadata\":{\"name\":\"held\"}}");
	fake_api_set_hook(w->api, refuse_to_delete, &tries);
	fake_api_delete(w->api, ns_res, "", "team", NULL);
	(void)env_sim_run(w->env, 3600 * NS_PER_SEC);
	assert_true(tries > 60);
	tries = 0;
	(void)env_sim_run(w->env, 61 * NS_PER_SEC);
	assert_true(tries > 0);
	fake_api_set_hook(w->api, NULL, NULL);
	(void)env_sim_run(w->env, 61 * NS_PER_SEC);
	assert_int_equal(fake_api_count(w->api, ns_res, ""), 0);
	world_free(w);
}

static void own(struct world *w, const char *ns, const char *name, const struct resource *r, const char *owner_ns,
		const char *owner, bool block)
{
	_cleanup_obj_ struct obj *o = fake_api_get(w->api, r, owner_ns, owner);
	char version[64];
	_cleanup_free_ char *json = xasprintf("{\"metadata\":{\"name\":\"%s\",\"ownerReferences\":[{\"apiVersion\":\"%"
					      "s\",\"kind\":\"%s\",\"name\":\"%s\","
					      "\"uid\":\"%.*s\",\"blockOwnerDeletion\":%s}]}}",
					      name, resource_api_version(r, version, sizeof(version)), r->kind, owner,
					      SV_ARG(obj_uid(o)), block ? "true" : "false");

	make(w, cm, ns, json);
}

#define NAMED(x) "{\"metadata\":{\"name\":\"" x "\"}}"

static bool there(struct world *w, const char *ns, const char *name)
{
	_cleanup_obj_ struct obj *o = fake_api_get(w->api, cm, ns, name);

	return o != NULL;
}

static void test_background(void **state)
{
	struct world *w = world_new(2, gc);

	(void)state;
	make(w, cm, "default", NAMED("top"));
	make(w, RES(rbac_clusterroles), "", NAMED("cluster"));
	own(w, "default", "mid", cm, "default", "top", true);
	own(w, "default", "leaf", cm, "default", "mid", true);
	own(w, "default", "of-cluster", RES(rbac_clusterroles), "", "cluster", false);
	world_run(w, 2 * NS_PER_SEC);
	assert_int_equal(fake_api_count(w->api, cm, "default"), 4);
	fake_api_delete(w->api, cm, "default", "top", "Background");
	assert_true(there(w, "default", "mid"));
	world_run(w, 2 * NS_PER_SEC);
	assert_false(there(w, "default", "mid"));
	assert_false(there(w, "default", "leaf"));
	assert_true(there(w, "default", "of-cluster"));
	fake_api_delete(w->api, RES(rbac_clusterroles), "", "cluster", NULL);
	world_run(w, 2 * NS_PER_SEC);
	assert_false(there(w, "default", "of-cluster"));
	/* An owner that never was. */
	make(w, cm, "default",
	     "{\"metadata\":{\"name\":\"lost\",\"ownerReferences\":[{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\","
	     "\"name\":\"nobody\",\"uid\":\"11111111-2222-4333-8444-555555555555\"}]}}");
	world_run(w, 2 * NS_PER_SEC);
	assert_false(there(w, "default", "lost"));
	world_free(w);
}

static void test_foreground(void **state)
{
	struct world *w = world_new(3, gc);

	(void)state;
	make(w, cm, "default", NAMED("top"));
	own(w, "default", "mid", cm, "default", "top", true);
	own(w, "default", "leaf", cm, "default", "mid", true);
	world_run(w, 2 * NS_PER_SEC);
	fake_api_patch(w->api, cm, "default", "leaf", NULL, "{\"metadata\":{\"finalizers\":[\"example.com/x\"]}}");
	fake_api_delete(w->api, cm, "default", "top", "Foreground");
	world_run(w, 5 * NS_PER_SEC);
	/* The leaf holds the whole chain. */
	assert_true(there(w, "default", "top"));
	assert_true(there(w, "default", "mid"));
	fake_api_patch(w->api, cm, "default", "leaf", NULL, "{\"metadata\":{\"finalizers\":[]}}");
	world_run(w, 5 * NS_PER_SEC);
	assert_int_equal(fake_api_count(w->api, cm, "default"), 0);
	world_free(w);
}

static void test_orphan(void **state)
{
	struct world *w = world_new(4, gc);
	_cleanup_obj_ struct obj *o = NULL;

	(void)state;
	make(w, cm, "default", NAMED("top"));
	own(w, "default", "a", cm, "default", "top", true);
	own(w, "default", "b", cm, "default", "top", false);
	world_run(w, 2 * NS_PER_SEC);
	fake_api_delete(w->api, cm, "default", "top", "Orphan");
	world_run(w, 5 * NS_PER_SEC);
	assert_int_equal(fake_api_count(w->api, cm, "default"), 2);
	o = fake_api_get(w->api, cm, "default", "a");
	assert_int_equal(val_len(obj_get(o, F_metadata, F_ownerReferences)), 0);
	world_free(w);
}

/* Somebody writes the dependent between the look at its owners and its deletion, `times` times. */
struct meanwhile {
	struct world *w;
	const char *patch;
	int times, seen;
};

static int meanwhile(void *ctx, const char *verb, const struct resource *r, struct sv ns, struct sv name,
		     const struct val *doc, struct err *err)
{
	struct meanwhile *m = ctx;

	(void)ns;
	(void)doc;
	(void)err;
	if (strcmp(verb, "delete") != 0 || r != cm || !sv_is(name, "dep") || m->seen++ >= m->times)
		return 0;
	fake_api_patch(m->w->api, cm, "default", "dep", NULL, m->patch);
	return 0;
}

/* The owner lets go of what it had just before that is deleted: it stays. What says nothing of owners keeps nothing. */
static void test_let_go_meanwhile(void **state)
{
	static const struct {
		const char *patch;
		int times;
		bool stays;
	} rows[] = { { "{\"metadata\":{\"ownerReferences\":[]}}", 1, true },
		     { "{\"data\":{\"a\":\"b\"}}", 1, false },
		     { "{\"data\":{\"a\":\"b\"}}", 3, false } };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct world *w = world_new(6, gc);
		struct meanwhile m = { .w = w, .patch = rows[i].patch, .times = rows[i].times };

		make(w, cm, "default", NAMED("top"));
		own(w, "default", "dep", cm, "default", "top", true);
		world_run(w, 2 * NS_PER_SEC);
		fake_api_set_hook(w->api, meanwhile, &m);
		fake_api_delete(w->api, cm, "default", "top", "Background");
		world_run(w, 5 * NS_PER_SEC);
		assert_true(m.seen >= rows[i].times);
		assert_int_equal(there(w, "default", "dep"), rows[i].stays);
		world_free(w);
	}
}

static void test_across_namespaces(void **state)
{
	struct world *w = world_new(5, gc);
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct obj *role = NULL;
	_cleanup_obj_ struct obj *top = NULL;
	char *json;

	(void)state;
	make(w, cm, "one", NAMED("top"));
	own(w, "one", "near", cm, "one", "top", false);
	own(w, "two", "far", cm, "one", "top", false);
	top = fake_api_get(w->api, cm, "one", "top");
	json = arena_printf(&a,
			    "{\"metadata\":{\"name\":\"role\",\"ownerReferences\":[{\"apiVersion\":\"v1\",\"kind\":"
			    "\"ConfigMap\",\"name\":\"top\",\"uid\":\"%.*s\"}]}}",
			    SV_ARG(obj_uid(top)));
	make(w, RES(rbac_clusterroles), "", json);
	world_run(w, 5 * NS_PER_SEC);
	assert_true(there(w, "one", "near"));
	assert_false(there(w, "two", "far")); /* what it names is not in its namespace */
	role = fake_api_get(w->api, RES(rbac_clusterroles), "", "role");
	assert_non_null(role); /* left alone */
	obj_unref(role);
	assert_true(world_event(w, &a, "OwnerRefInvalidNamespace").n > 0);
	world_free(w);
}

static void test_workload_tree(void **state)
{
	struct world *w = world_new_opts(6, all, NULL);

	(void)state;
	make(w, RES(apps_deployments), "default", DEPLOYMENT);
	world_run(w, 5 * NS_PER_SEC);
	assert_int_equal(world_pods(w, "default", true), 3);
	fake_api_delete(w->api, RES(apps_deployments), "default", "web", "Foreground");
	world_run(w, 20 * NS_PER_SEC);
	assert_int_equal(fake_api_count(w->api, RES(core_pods), "default"), 0);
	assert_int_equal(fake_api_count(w->api, RES(apps_replicasets), "default"), 0);
	assert_int_equal(fake_api_count(w->api, RES(apps_deployments), "default"), 0);
	world_free(w);
}

/* Bootstrap tokens go when they end, neither before nor because they never do. */
static void test_token_cleaner(void **state)
{
	static const char *const only[] = { "token-cleaner-controller", NULL };
	static const struct resource *const secrets = RES(core_secrets);
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct world *w = world_new(1, only);
	char text[TIME_TEXT_MAX];
	static const struct {
		const char *name, *type;
		int64_t minutes; /* 0: no end */
	} made[] = {
		{ "bootstrap-token-aaaaaa", "bootstrap.kubernetes.io/token", 5 },
		{ "bootstrap-token-bbbbbb", "bootstrap.kubernetes.io/token", 60 },
		{ "bootstrap-token-cccccc", "bootstrap.kubernetes.io/token", 0 },
		{ "bootstrap-token-dddddd", "bootstrap.kubernetes.io/token", -5 },
		{ "bootstrap-token-eeeeee", "Opaque", -5 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(made); i++) {
		struct sv end;

		time_format(env_now_ns(w->env) + made[i].minutes * 60 * NS_PER_SEC, false, text);
		end = b64_encode(&a, made[i].minutes ? sv_from(text) : SV(""));
		make(w, secrets, "kube-system",
		     arena_printf(&a,
				  "{\"metadata\":{\"name\":\"%s\"},\"type\":\"%s\",\"data\":{\"expiration\":\"%.*s\"}}",
				  made[i].name, made[i].type, SV_ARG(end)));
	}
	/* unreadable: it is no good, and so it goes */
	make(w, secrets, "kube-system",
	     "{\"metadata\":{\"name\":\"bootstrap-token-ffffff\"},\"type\":\"bootstrap.kubernetes.io/token\",\"data\":"
	     "{\"expiration\":\"bmV2ZXI=\"}}");
	make(w, secrets, "default",
	     "{\"metadata\":{\"name\":\"bootstrap-token-gggggg\"},\"type\":\"bootstrap.kubernetes.io/token\",\"data\":"
	     "{\"expiration\":\"bmV2ZXI=\"}}");
	world_run(w, NS_PER_SEC);
	assert_int_equal(fake_api_count(w->api, secrets, "kube-system"), 4); /* less d and f */
	world_run(w, 4 * 60 * NS_PER_SEC);
	assert_int_equal(fake_api_count(w->api, secrets, "kube-system"), 4);
	world_run(w, 60 * NS_PER_SEC);
	assert_int_equal(fake_api_count(w->api, secrets, "kube-system"), 3);
	world_run(w, 60 * 60 * NS_PER_SEC);
	assert_int_equal(fake_api_count(w->api, secrets, "kube-system"), 2);
	assert_int_equal(fake_api_count(w->api, secrets, "default"), 1);
	world_free(w);
}

/* Counts when the second owner is looked at. */
static void count_looks(struct sv uid, void *ctx)
{
	*(int *)ctx += sv_is(uid, "u1");
}

/* An object of that number, owned by the first two and once more by the first. */
static struct obj *owned(int n, bool by_any)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	const char *refs = "{\"uid\":\"u0\"},{\"uid\":\"u1\",\"blockOwnerDeletion\":true},{\"uid\":\"u0\"}";

	return obj_new(json_decode(&a,
				   arena_svf(&a,
					     "{\"metadata\":{\"name\":\"o%d\",\"namespace\":\"ns\",\"uid\":\"u%d\","
					     "\"ownerReferences\":[%s]}}",
					     n, n, by_any ? refs : ""),
				   NULL, NULL),
		       n + 1);
}

/* The object of that number waits for its dependents. */
static struct obj *going(int n)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;

	return obj_new(json_decode(&a,
				   arena_svf(&a,
					     "{\"metadata\":{\"name\":\"o%d\",\"namespace\":\"ns\",\"uid\":\"u%d\","
					     "\"deletionTimestamp\":\"2026-01-01T00:00:00Z\",\"finalizers\":["
					     "\"foregroundDeletion\"]}}",
					     n, n),
				   NULL, NULL),
		       n + 1);
}

/* Both ends of every edge know each other; so none is searched for. */
static void check_links(const struct gc_graph *g, const char *owner, size_t want, size_t blocking)
{
	const struct gc_node *n = gc_graph_find(g, sv_from(owner));
	size_t blocks = 0;

	assert_int_equal(n ? n->dependents.n : 0, want);
	for (size_t i = 0; i < want; i++) {
		const struct gc_link *l = &n->dependents.p[i];

		assert_ptr_equal(l->dependent->owners.p[l->edge].owner, n);
		assert_int_equal(l->dependent->owners.p[l->edge].at, i);
		blocks += gc_link_blocks(l);
	}
	assert_int_equal(blocks, blocking);
	assert_int_equal(n ? n->blocking : 0, blocking);
}

static void test_gc_graph(void **state)
{
	enum { OWNED = 101 };
	int looks = 0;
	struct gc_graph g = { .look = count_looks, .ctx = &looks };
	bool there[OWNED + 2] = { false };
	struct obj *o;
	size_t n = 0;

	(void)state;
	for (int step = 0; step < 6 * OWNED; step++) {
		int i = 2 + step * 37 % OWNED;

		o = owned(i, !there[i]);
		if (there[i] && step % 2)
			gc_graph_del(&g, obj_uid(o));
		else
			gc_graph_put(&g, RES(core_configmaps), o);
		n += there[i] ? (size_t)-1 : 1;
		there[i] = !there[i];
		obj_unref(o);
		check_links(&g, "u0", 2 * n, 0);
		check_links(&g, "u1", n, n);
	}
	/* Whoever waits for many waits for the last. */
	for (int i = 2; i < OWNED; i++) {
		o = owned(i, true);
		gc_graph_put(&g, RES(core_configmaps), o);
		obj_unref(o);
	}
	o = going(1);
	gc_graph_put(&g, RES(core_configmaps), o);
	obj_unref(o);
	assert_int_equal(looks, 1);
	for (int i = 2; i < OWNED; i++) {
		assert_int_equal(looks, 1);
		o = owned(i, true);
		gc_graph_del(&g, obj_uid(o));
		obj_unref(o);
	}
	assert_int_equal(looks, 2);
	gc_graph_release(&g);
}

#define DAY_NS (86400 * NS_PER_SEC)

/* What the label of a Secret says, "" when it has none; "gone" without the Secret. */
static const char *token_label(struct world *w, struct arena *a, const char *name, const char *key)
{
	_cleanup_obj_ struct obj *o = fake_api_get(w->api, RES(core_secrets), "team", name);

	return o ? arena_cstr(a, val_str(val_member_sv(obj_labels(o), sv_from(key)))) : "gone";
}

#define SINCE(name) token_label(w, &a, name, "kubernetes.io/legacy-token-invalid-since")

/* Tokens that the cluster made by itself are marked when nobody used them for a year, and deleted a year later. */
static void test_legacy_token_cleaner(void **state)
{
	static const char *const only[] = { "legacy-serviceaccount-token-cleaner-controller", NULL };
	static const struct {
		const char *name, *account, *more;
	} made[] = {
		{ "unused", "robot", "" },
		{ "used", "robot", "" },
		{ "needed", "robot", "" },
		{ "named", "robot", "" },
		{ "manual", "robot", "" },
		{ "unclear", "robot", ",\"labels\":{\"kubernetes.io/legacy-token-last-used\":\"once\"}" },
		{ "blank", "robot", ",\"labels\":{\"kubernetes.io/legacy-token-last-used\":\"\"}" },
		{ "garbled", "robot", ",\"labels\":{\"kubernetes.io/legacy-token-invalid-since\":\"once\"}" },
		{ "nobodys", "nobody", "" },
		{ "older", "robot", "" },
	};
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct world *w = world_new(1, only); /* begins on the first of January of 2026 */
	static const struct resource *const secrets = RES(core_secrets);

	(void)state;
	w->no_kubelet = true;
	make(w, RES(core_serviceaccounts), "team",
	     "{\"metadata\":{\"name\":\"robot\"},\"secrets\":[{\"name\":\"unused\"},{\"name\":\"used\"},{\"name\":"
	     "\"named\"},"
	     "{\"name\":\"unclear\"},{\"name\":\"blank\"},{\"name\":\"garbled\"},{\"name\":\"nobodys\"},{\"name\":"
	     "\"older\"},"
	     "{\"name\":\"late\"},{\"name\":\"needed\"},{\"name\":\"other\"}]}");
	for (size_t i = 0; i < ARRAY_LEN(made); i++)
		make(w, secrets, "team",
		     arena_printf(
			 &a,
			 "{\"metadata\":{\"name\":\"%s\",\"annotations\":{\"kubernetes.io/service-account.name\":"
			 "\"%s\"%s}%s},\"type\":\"kubernetes.io/service-account-token\"}",
			 made[i].name, made[i].account,
			 i + 1 == ARRAY_LEN(made) ? ",\"kubernetes.io/service-account.uid\":\"another\"" : "",
			 made[i].more));
	make(w, secrets, "team", "{\"metadata\":{\"name\":\"other\"},\"type\":\"Opaque\"}");
	make(w, RES(core_pods), "team",
	     "{\"metadata\":{\"name\":\"p\"},\"spec\":{\"containers\":[{\"name\":\"c\",\"image\":\"i\",\"envFrom\":[{"
	     "\"secretRef\":{\"name\":\"named\"}}]}]}}");
	(void)env_sim_run(w->env, 500 * DAY_NS); /* nobody says since when uses are noted */
	assert_string_equal(SINCE("unused"), "");
	make(w, RES(core_configmaps), "kube-system",
	     "{\"metadata\":{\"name\":\"kube-apiserver-legacy-service-account-token-tracking\"},\"data\":{\"since\":"
	     "\"2027-01-01\"}}");

	(void)env_sim_run(w->env, 100 * DAY_NS);
	fake_api_patch(w->api, secrets, "team", "used", NULL,
		       "{\"metadata\":{\"labels\":{\"kubernetes.io/legacy-token-last-used\":\"2027-08-01\"}}}");
	make(w, secrets, "team",
	     "{\"metadata\":{\"name\":\"late\",\"annotations\":{\"kubernetes.io/"
	     "service-account.name\":\"robot\"}},\"type\":"
	     "\"kubernetes.io/service-account-token\"}");
	(void)env_sim_run(w->env, 140 * DAY_NS);
	/* A year and a day: the first day does not count as a whole. */
	assert_string_equal(SINCE("unused"), "2028-01-02");
	assert_string_equal(SINCE("needed"), "2028-01-02");
	assert_string_equal(SINCE("garbled"), "2028-01-02");
	for (size_t i = 0; i < ARRAY_LEN(made); i++)
		if (strcmp(made[i].name, "unused") != 0 && strcmp(made[i].name, "needed") != 0 &&
		    strcmp(made[i].name, "garbled") != 0)
			assert_string_equal(SINCE(made[i].name), "");
	assert_string_equal(SINCE("late"), "");
	assert_string_equal(SINCE("other"), "");
	/* Somebody needs it after all: what authn does with a use, and an operator with the mark. */
	fake_api_patch(w->api, secrets, "team", "needed", NULL,
		       "{\"metadata\":{\"labels\":{\"kubernetes.io/legacy-token-last-used\":\"2028-01-05\","
		       "\"kubernetes.io/legacy-token-invalid-since\":null}}}");
	(void)env_sim_run(w->env, 340 * DAY_NS);
	assert_string_equal(SINCE("unused"), "2028-01-02");
	assert_string_equal(SINCE("needed"), "");
	assert_string_equal(SINCE("used"), "2028-08-01");
	(void)env_sim_run(w->env, 60 * DAY_NS);
	assert_string_equal(SINCE("unused"), "gone");
	assert_string_equal(SINCE("garbled"), "gone");
	assert_string_equal(SINCE("needed"), "2029-01-05");
	/* Whatever else: what pods name, what somebody made, what cannot be told apart. */
	assert_string_equal(SINCE("named"), "");
	fake_api_delete(w->api, RES(core_pods), "team", "p", NULL);
	(void)env_sim_run(w->env, 2 * DAY_NS);
	assert_true(strlen(SINCE("named")) > 0);
	assert_string_equal(SINCE("manual"), "");
	assert_string_equal(SINCE("unclear"), "");
	assert_string_equal(SINCE("blank"), "");
	assert_string_equal(SINCE("nobodys"), "");
	assert_string_equal(SINCE("older"), "");
	assert_string_equal(SINCE("other"), "");
	world_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_namespace),	  cmocka_unit_test(test_background),
		cmocka_unit_test(test_foreground),	  cmocka_unit_test(test_orphan),
		cmocka_unit_test(test_across_namespaces), cmocka_unit_test(test_workload_tree),
		cmocka_unit_test(test_gc_graph),	  cmocka_unit_test(test_namespace_retries),
		cmocka_unit_test(test_token_cleaner),	  cmocka_unit_test(test_legacy_token_cleaner),
		cmocka_unit_test(test_let_go_meanwhile),
	};

	return cmocka_run_group_tests_name("lifecycle", tests, NULL, NULL);
}
