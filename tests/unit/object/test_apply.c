#include "docs.h"
#include "sample_pod.h"

#include "object/apply-internal.h"
#include "object/apply.h"
#include "object/decode.h"
#include "object/fieldset.h"

#include <stdlib.h>

#define T(s) ((int64_t)(s)*NS_PER_SEC)

struct world {
	struct arena a;
	const struct schema *schema;
	const char *api_version;
};

static struct world deployments(void)
{
	return (struct world){ .schema = schema_find(SV("apps/v1.Deployment")), .api_version = "apps/v1" };
}

static struct world pods(void)
{
	return (struct world){ .schema = schema_find(SV("core/v1.Pod")), .api_version = "v1" };
}

static struct apply_opts opts(struct world *w, const char *manager, int64_t at)
{
	return (
	    struct apply_opts){ .manager = sv_from(manager), .api_version = sv_from(w->api_version), .now_ns = T(at) };
}

static struct val *update(struct world *w, const struct val *old, const char *neu, const char *manager, int64_t at)
{
	struct apply_opts o = opts(w, manager, at);

	return managed_update(&w->a, w->schema, old, doc(&w->a, neu), &o, NULL);
}

static struct val *apply(struct world *w, const struct val *live, const char *config, const char *manager, int64_t at,
			 bool force, struct err *err)
{
	struct apply_opts o = opts(w, manager, at);
	const struct val *read = doc(&w->a, config), *live_was = live ? val_clone(&w->a, live) : NULL;
	struct val *v;

	o.force = force;
	v = managed_apply(&w->a, w->schema, live, read, &o, err);
	/* neither is written to: they are used again when somebody writes in between */
	assert_true(val_equal(read, doc(&w->a, config)));
	assert_true(!live || val_equal(live, live_was));
	if (!v && err == NULL)
		fail_msg("apply of %s by %s failed", config, manager);
	return v;
}

/* "manager:operation:fields", entries separated by blanks, quotes as '. */
static const char *owners(struct world *w, const struct val *v)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	VAL_EACH(val_get(v, F_metadata, F_managedFields), e) {
		struct sv sub = val_get_str(e, F_subresource);

		if (b.n)
			buf_addc(&b, ' ');
		buf_addsv(&b, val_get_str(e, F_manager));
		if (sub.n)
			buf_printf(&b, "/%.*s", SV_ARG(sub));
		buf_printf(&b, ":%.*s:", SV_ARG(val_get_str(e, F_operation)));
		json_encode(&b, val_member(e, F_fieldsV1));
	}
	for (size_t i = 0; i < b.n; i++)
		if (b.p[i] == '"')
			b.p[i] = '\'';
	return arena_strdup(&w->a, buf_cstr(&b));
}

static const char *time_of(struct world *w, const struct val *v, const char *manager)
{
	VAL_EACH(val_get(v, F_metadata, F_managedFields), e)
		if (val_is(val_member(e, F_manager), manager))
			return arena_cstr(&w->a, val_get_str(e, F_time));
	return "";
}

/* --- field sets --- */

static void test_fieldset_json(void **state)
{
	static const char text[] =
	    "{'f:metadata':{'f:finalizers':{'.':{},'v:\\'a/b\\'':{}},'f:labels':{'.':{},'f:app':{}}},"
	    "'f:spec':{'f:containers':{'k:{\\'name\\':\\'web\\'}':{'.':{},'f:image':{}}},'f:x':{'i:3':{}}}}";
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	const struct val *v = doc(&a, text);
	const struct fset *s = fset_from_json(&a, v, NULL), *again;

	(void)state;
	fset_to_json(&b, s);
	assert_string_equal(buf_cstr(&b), unquote(&a, text));
	again = fset_from_json(&a, val_new_raw(&a, buf_sv(&b)), NULL);
	assert_true(fset_equal(s, again));
	/* Keys in any order and spelling are the same element; unknown elements are skipped. */
	assert_true(fset_equal(
	    fset_from_json(&a, doc(&a, "{'k:{\\'b\\':1,\\'a\\':\\'x\\'}':{}}"), NULL),
	    fset_from_json(&a, doc(&a, "{'k:{\\'a\\': \\'\\\\u0078\\', \\'b\\':1}':{},'z:1':{},'k:3':{}}"), NULL)));
	assert_null(fset_from_json(&a, doc(&a, "[1]"), NULL));
	assert_null(fset_from_json(&a, doc(&a, "{'f:a':[1]}"), NULL));
}

static const struct fset *set(struct arena *a, const char *text)
{
	return fset_from_json(a, doc(a, text), NULL);
}

static void test_fieldset_ops(void **state)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	const struct fset *x = set(&a, "{'f:a':{'.':{},'f:b':{},'f:c':{}},'f:d':{}}");
	const struct fset *y = set(&a, "{'f:a':{'f:b':{}},'f:e':{}}");

	(void)state;
	assert_true(fset_equal(fset_union(&a, x, y), set(&a, "{'f:a':{'.':{},'f:b':{},'f:c':{}},'f:d':{},'f:e':{}}")));
	assert_true(fset_equal(fset_intersection(&a, x, y), set(&a, "{'f:a':{'f:b':{}}}")));
	assert_true(fset_equal(fset_difference(&a, x, y), set(&a, "{'f:a':{'.':{},'f:c':{}},'f:d':{}}")));
	assert_true(
	    fset_equal(fset_difference(&a, x, set(&a, "{'f:a':{}}")), set(&a, "{'f:a':{'f:b':{},'f:c':{}},'f:d':{}}")));
	assert_true(fset_equal(fset_without(&a, x, set(&a, "{'f:a':{}}")), set(&a, "{'f:d':{}}")));
	assert_true(fset_empty(fset_difference(&a, x, x)));
	assert_true(fset_equal(fset_of_path(&a, "metadata.labels"), set(&a, "{'f:metadata':{'f:labels':{}}}")));
}

/* --- updates --- */

#define DEPLOY                                                                                                         \
	"{'apiVersion':'apps/"                                                                                         \
	"v1','kind':'Deployment','metadata':{'name':'web','namespace':'d','labels':{'app':'web'}},"                    \
	"'spec':{'replicas':%s,'selector':{'matchLabels':{'app':'web'}},'template':{'metadata':{'labels':{'app':'web'" \
	"}},"                                                                                                          \
	"'spec':{'containers':[{'name':'c','image':'i:1','ports':[{'containerPort':80,'protocol':'TCP'}],"             \
	"'resources':{}}]}},'strategy':{}},'status':{}}"

/* What the real API server records for a created Deployment, the fields that were sent. */
static void test_create(void **state)
{
	struct world w = deployments();
	struct val *v = update(&w, NULL, arena_printf(&w.a, DEPLOY, "3"), "kubectl-create", 1000000000);

	(void)state;
	assert_string_equal(
	    owners(&w, v),
	    "kubectl-create:Update:{'f:metadata':{'f:labels':{'.':{},'f:app':{}}},'f:spec':{'f:replicas':{},"
	    "'f:selector':{},'f:template':{'f:metadata':{'f:labels':{'.':{},'f:app':{}}},'f:spec':{"
	    "'f:containers':{'k:{\\'name\\':\\'c\\'}':{'.':{},'f:image':{},'f:name':{},'f:ports':{'.':{},"
	    "'k:{\\'containerPort\\':80,\\'protocol\\':\\'TCP\\'}':{'.':{},'f:containerPort':{},'f:protocol':{}}},"
	    "'f:resources':{}}}}}}}");
	assert_string_equal(time_of(&w, v, "kubectl-create"), "2001-09-09T01:46:40Z");
	assert_sv(val_get_str(val_at(val_get(v, F_metadata, F_managedFields), 0), F_apiVersion), "apps/v1");
	assert_sv(val_get_str(val_at(val_get(v, F_metadata, F_managedFields), 0), F_fieldsType), "FieldsV1");
	arena_release(&w.a);
}

static void test_update_takes_over(void **state)
{
	struct world w = pods();
	struct val *v1 =
	    update(&w, NULL, "{'metadata':{'name':'p','labels':{'a':'1','b':'1'}},'spec':{'hostname':'h'}}", "x", 1);
	struct val *v2 =
	    update(&w, v1, "{'metadata':{'name':'p','labels':{'a':'2','b':'1'}},'spec':{'hostname':'h'}}", "y", 2);
	struct val *v3 = update(&w, v2, "{'metadata':{'name':'p','labels':{'b':'1'}},'spec':{'hostname':'h'}}", "z", 3);
	struct val *v4 = update(&w, v3, "{'metadata':{'name':'p','labels':{'b':'1'}},'spec':{'hostname':'h'}}", "x", 4);

	(void)state;
	assert_string_equal(
	    owners(&w, v1),
	    "x:Update:{'f:metadata':{'f:labels':{'.':{},'f:a':{},'f:b':{}}},'f:spec':{'f:hostname':{}}}");
	assert_string_equal(owners(&w, v2),
			    "x:Update:{'f:metadata':{'f:labels':{'.':{},'f:b':{}}},'f:spec':{'f:hostname':{}}} "
			    "y:Update:{'f:metadata':{'f:labels':{'f:a':{}}}}");
	/* y lost its last field, z only removed: neither has an entry. */
	assert_string_equal(owners(&w, v3),
			    "x:Update:{'f:metadata':{'f:labels':{'.':{},'f:b':{}}},'f:spec':{'f:hostname':{}}}");
	assert_doc(&w.a, v4, json(&w.a, v3)); /* nothing changed, no new time */
	arena_release(&w.a);
}

static void test_update_forgets(void **state)
{
	struct world w = pods();
	struct val *v = update(&w, NULL, "{'metadata':{'name':'p'},'spec':{'hostname':'h'}}", "x", 1);
	struct val *reset =
	    update(&w, v, "{'metadata':{'name':'p','managedFields':[{}]},'spec':{'hostname':'i'}}", "y", 2);
	struct val *after = update(&w, reset, "{'metadata':{'name':'p'},'spec':{'hostname':'j'}}", "y", 3);

	(void)state;
	assert_string_equal(owners(&w, reset), "");
	assert_string_equal(owners(&w, after), ""); /* untracked objects stay so */
	arena_release(&w.a);
}

static void test_subresource_and_reset(void **state)
{
	static const char *const reset[] = { "spec", NULL };
	struct world w = pods();
	struct val *v = update(&w, NULL, "{'metadata':{'name':'p'},'spec':{'hostname':'h'},'status':{}}", "x", 1);
	struct apply_opts o = opts(&w, "kubelet", 2);
	struct val *s;

	(void)state;
	o.subresource = SV("status");
	o.reset_fields = reset;
	s = managed_update(&w.a, w.schema, v,
			   doc(&w.a, "{'metadata':{'name':'p'},'spec':{'hostname':'other'},'status':{'phase':'Running',"
				     "'conditions':[{'type':'Ready','status':'True'}]}}"),
			   &o, NULL);
	assert_string_equal(
	    owners(&w, s),
	    "x:Update:{'f:spec':{'f:hostname':{}}} "
	    "kubelet/status:Update:{'f:status':{'f:conditions':{'.':{},'k:{\\'type\\':\\'Ready\\'}':{'.':{},"
	    "'f:lastProbeTime':{},'f:lastTransitionTime':{},'f:status':{},'f:type':{}}},'f:phase':{}}}");
	arena_release(&w.a);
}

static void test_cap(void **state)
{
	struct world w = pods();
	struct val *v = update(&w, NULL, "{'metadata':{'name':'p','labels':{'l0':'x'}}}", "m0", 1);
	const struct val *list;

	(void)state;
	for (int i = 1; i < 13; i++) {
		struct apply_opts o = opts(&w, arena_printf(&w.a, "m%d", i), i + 1);
		struct val *next = val_clone(&w.a, v);

		val_set_str_sv(&w.a, val_get_mut(next, F_metadata, F_labels), arena_svf(&w.a, "l%d", i), SV("x"));
		v = managed_update(&w.a, w.schema, v, next, &o, NULL);
	}
	list = val_get(v, F_metadata, F_managedFields);
	assert_int_equal(val_len(list), MANAGED_UPDATES_MAX);
	assert_sv(val_get_str(val_at(list, 0), F_manager), "ancient-changes");
	assert_non_null(strstr(owners(&w, v),
			       "ancient-changes:Update:{'f:metadata':{'f:labels':{'.':{},'f:l0':{},'f:l1':{},"
			       "'f:l2':{},'f:l3':{}}}}"));
	arena_release(&w.a);
}

/* --- apply --- */

#define POD "'apiVersion':'v1','kind':'Pod','metadata':{'name':'p'%s},'spec':{%s}"
static const char *pod(struct world *w, const char *meta, const char *spec)
{
	return arena_printf(&w->a, "{" POD "}", meta, spec);
}

static void test_apply_create(void **state)
{
	struct world w = pods();
	struct val *v = apply(&w, NULL,
			      pod(&w, ",'labels':{'a':'1'}",
				  "'containers':[{'name':'c','image':'i','ports':["
				  "{'containerPort':80}]}]"),
			      "kubectl", 5, false, NULL);

	(void)state;
	assert_string_equal(owners(&w, v),
			    "kubectl:Apply:{'f:metadata':{'f:labels':{'f:a':{}}},'f:spec':{'f:containers':{"
			    "'k:{\\'name\\':\\'c\\'}':{'.':{},'f:image':{},'f:name':{},'f:ports':{"
			    "'k:{\\'containerPort\\':80,\\'protocol\\':\\'TCP\\'}':{'.':{},'f:containerPort':{}}}}}}}");
	assert_string_equal(time_of(&w, v, "kubectl"), "1970-01-01T00:00:05Z");
	arena_release(&w.a);
}

/* Applying the same again changes nothing, not even the time; a change does. */
static void test_apply_again(void **state)
{
	struct world w = pods();
	const char *config = pod(&w, ",'labels':{'a':'1'}", "'hostname':'h'");
	struct val *v1 = apply(&w, NULL, config, "kubectl", 5, false, NULL);
	struct val *v2 = apply(&w, v1, config, "kubectl", 6, false, NULL);
	struct val *v3 = apply(&w, v2, pod(&w, ",'labels':{'a':'2'}", "'hostname':'h'"), "kubectl", 7, false, NULL);

	(void)state;
	assert_doc(&w.a, v2, json(&w.a, v1));
	assert_string_equal(time_of(&w, v3, "kubectl"), "1970-01-01T00:00:07Z");
	arena_release(&w.a);
}

static void test_apply_removes(void **state)
{
	struct world w = pods();
	struct val *v1 = apply(&w, NULL,
			       pod(&w, ",'labels':{'a':'1','b':'1'}",
				   "'hostname':'h','containers':[{'name':'c','image':'i'},{'name':'d','image':'i'}]"),
			       "kubectl", 1, false, NULL);
	struct val *v2 =
	    update(&w, v1,
		   json(&w.a, doc(&w.a, pod(&w, ",'labels':{'a':'1','b':'1','c':'1'}",
					    "'hostname':'h','subdomain':'s','containers':[{'name':'c','image':'i'},"
					    "{'name':'d','image':'i'}]"))),
		   "other", 2);
	struct val *v3 = apply(&w, v2, pod(&w, ",'labels':{'a':'1'}", "'containers':[{'name':'d','image':'i'}]"),
			       "kubectl", 3, false, NULL);

	(void)state;
	/* b, hostname and container c were only kubectl's; c and subdomain are other's. */
	assert_doc(&w.a, val_get(v3, F_metadata, F_labels), "{'a':'1','c':'1'}");
	assert_doc(&w.a, val_get(v3, F_spec), "{'subdomain':'s','containers':[{'name':'d','image':'i'}]}");
	arena_release(&w.a);
}

/* What two appliers share stays until both let go; then it goes. */
static void test_apply_shared(void **state)
{
	struct world w = pods();
	const char *both = pod(&w, ",'labels':{'a':'1'}", "'hostname':'h'"), *none = pod(&w, "", "'hostname':'h'");
	struct val *v = apply(&w, NULL, both, "x", 1, false, NULL);

	(void)state;
	v = apply(&w, v, both, "y", 2, false, NULL);
	v = apply(&w, v, none, "x", 3, false, NULL);
	assert_doc(&w.a, val_get(v, F_metadata, F_labels), "{'a':'1'}");
	v = apply(&w, v, none, "y", 4, false, NULL);
	assert_null(val_get(v, F_metadata, F_labels));
	assert_doc(&w.a, val_get(v, F_spec), "{'hostname':'h'}");
	arena_release(&w.a);
}

static void test_conflict(void **state)
{
	struct world w = deployments();
	_cleanup_(err_release) struct err err = ERR_INIT;
	static const char config[] = "{'apiVersion':'apps/v1','kind':'Deployment','metadata':{'name':'web'},"
				     "'spec':{'replicas':5}}";
	struct val *v = update(&w, NULL, arena_printf(&w.a, DEPLOY, "3"), "kubectl-create", 1), *forced;

	(void)state;
	assert_null(apply(&w, v, config, "kubectl", 2, false, &err));
	assert_int_equal(err.reason, ERR_CONFLICT);
	assert_string_equal(
	    err_msg(&err),
	    "Apply failed with 1 conflict: conflict with \"kubectl-create\" using apps/v1: .spec.replicas");
	assert_int_equal(err.n_causes, 1);
	assert_string_equal(err.causes[0].reason, "FieldManagerConflict");
	assert_string_equal(err.causes[0].message, "conflict with \"kubectl-create\" using apps/v1");
	assert_string_equal(err.causes[0].field, ".spec.replicas");
	err_release(&err);

	forced = apply(&w, v, config, "kubectl", 2, true, &err);
	assert_non_null(forced);
	assert_int_equal(val_get_int(forced, 0, F_spec, F_replicas), 5);
	assert_null(strstr(strstr(owners(&w, forced), "kubectl-create"), "f:replicas"));
	assert_non_null(strstr(owners(&w, forced), "kubectl:Apply:{'f:spec':{'f:replicas':{}}}"));

	/* Several conflicts, one in a list item. */
	assert_null(apply(&w, v,
			  "{'apiVersion':'apps/v1','kind':'Deployment','metadata':{'name':'web'},'spec':{'replicas':5,"
			  "'template':{'spec':{'containers':[{'name':'c','image':'i:2'}]}}}}",
			  "kubectl", 2, false, &err));
	assert_string_equal(err_msg(&err),
			    "Apply failed with 2 conflicts: conflicts with \"kubectl-create\" using apps/v1:\n"
			    "- .spec.replicas\n- .spec.template.spec.containers[name=\"c\"].image");
	/* Agreeing is no conflict. */
	err_release(&err);
	assert_non_null(
	    apply(&w, v, "{'apiVersion':'apps/v1','kind':'Deployment','metadata':{'name':'web'},'spec':{'replicas':3}}",
		  "kubectl", 2, false, &err));
	arena_release(&w.a);
}

static void test_sets(void **state)
{
	struct world w = pods();
	struct val *v = update(&w, NULL, pod(&w, ",'finalizers':['a/a']", ""), "x", 1);

	(void)state;
	v = apply(&w, v, pod(&w, ",'finalizers':['b/b']", ""), "y", 2, false, NULL);
	assert_doc(&w.a, val_get(v, F_metadata, F_finalizers), "['a/a','b/b']");
	assert_non_null(
	    strstr(owners(&w, v), "y:Apply:{'f:metadata':{'f:finalizers':{'v:\\'b/b\\'':{}}},'f:spec':{}}"));
	v = apply(&w, v, pod(&w, "", ""), "y", 3, false, NULL);
	assert_doc(&w.a, val_get(v, F_metadata, F_finalizers), "['a/a']");
	arena_release(&w.a);
}

/* Order: the configuration's for what it names, others keep their place before the shared. */
static void test_list_order(void **state)
{
	struct world w = pods();
	struct val *v = update(&w, NULL, pod(&w, "", "'containers':[{'name':'s'},{'name':'a'},{'name':'b'}]"), "x", 1);

	(void)state;
	v = apply(&w, v, pod(&w, "", "'containers':[{'name':'b'},{'name':'n'},{'name':'a'}]"), "y", 2, false, NULL);
	assert_doc(&w.a, val_get(v, F_spec, F_containers), "[{'name':'s'},{'name':'b'},{'name':'n'},{'name':'a'}]");
	arena_release(&w.a);
}

static void test_before_first_apply(void **state)
{
	struct world w = pods();
	_cleanup_(err_release) struct err err = ERR_INIT;
	const struct val *live =
	    doc(&w.a, "{'metadata':{'name':'p','uid':'u','labels':{'a':'1'}},'spec':{'hostname':'h'}}");
	struct val *v = apply(&w, live, pod(&w, ",'labels':{'b':'1'}", ""), "kubectl", 2, false, NULL);

	(void)state;
	assert_string_equal(
	    owners(&w, v),
	    "kubectl:Apply:{'f:metadata':{'f:labels':{'f:b':{}}},'f:spec':{}} "
	    "before-first-apply:Update:{'f:metadata':{'f:labels':{'.':{},'f:a':{}}},'f:spec':{'f:hostname':{}}}");
	assert_null(apply(&w, live, pod(&w, "", "'hostname':'i'"), "kubectl", 2, false, &err));
	assert_string_equal(
	    err_msg(&err),
	    "Apply failed with 1 conflict: conflict with \"before-first-apply\" using v1: .spec.hostname");
	arena_release(&w.a);
}

static const struct {
	const char *config, *msg;
	int code;
} bad_configs[] = {
	{ "{'apiVersion':'v2','kind':'Pod','metadata':{'name':'p'}}",
	  "Incorrect version specified in apply patch. Specified patch version: v2, expected: v1", 400 },
	{ "{'apiVersion':'v1','kind':'Pod','metadata':{'name':'p','managedFields':[]}}",
	  "metadata.managedFields must be nil", 400 },
	{ "{'apiVersion':'v1','kind':'Pod','metadata':{'name':'p','namespace':'d'},'spec':{'containers':[{'name':'a'},{"
	  "'name':'a'}]}}",
	  "failed to create typed patch object (d/p; /v1, Kind=Pod): .spec.containers: duplicate entries for key "
	  "[name=\"a\"]",
	  500 },
	{ "{'apiVersion':'v1','kind':'Pod','metadata':{'name':'p'},'spec':{'containers':[{'name':'c','ports':[{},{}]}]"
	  "}}",
	  "failed to create typed patch object (/p; /v1, Kind=Pod): .spec.containers[name=\"c\"].ports: duplicate "
	  "entries for key [containerPort=0,protocol=\"TCP\"]",
	  500 },
	{ "{'apiVersion':'v1','kind':'Pod','metadata':{'name':'p','labels':{'a':1}},'spec':{}}",
	  "failed to create typed patch object (/p; /v1, Kind=Pod): .metadata.labels.a: expected string, got "
	  "&value.valueUnstructured{Value:1}",
	  500 },
	{ "{'apiVersion':'v1','kind':'Pod','metadata':{'name':'p'},'spec':{'hostNetwork':'x'}}",
	  "failed to create typed patch object (/p; /v1, Kind=Pod): .spec.hostNetwork: expected boolean, got "
	  "&{x}",
	  500 },
	{ "{'apiVersion':'v1','kind':'Pod','metadata':{'name':'p'},'spec':{'containers':{}}}",
	  "failed to create typed patch object (/p; /v1, Kind=Pod): .spec.containers: expected list, got "
	  "&{map[]}",
	  500 },
	{ "{'apiVersion':'v1','kind':'Pod','metadata':{'name':'p','namespace':'d'},'spec':{'frob':1}}",
	  "failed to create typed patch object (d/p; /v1, Kind=Pod): .spec.frob: field not declared in schema", 500 },
	/* Below what is atomic: a list, a struct, a map, and what is nested in them. */
	{ "{'apiVersion':'v1','kind':'Pod','metadata':{'name':'p'},'spec':{'tolerations':[{},{'frob':1}]}}",
	  "failed to create typed patch object (/p; /v1, Kind=Pod): .spec.tolerations[1].frob: field not declared in "
	  "schema",
	  500 },
	{ "{'apiVersion':'v1','kind':'Pod','metadata':{'name':'p'},'spec':{'affinity':{'nodeAffinity':{"
	  "'requiredDuringSchedulingIgnoredDuringExecution':{'nodeSelectorTerms':[{'matchExpressions':[{'key':'a',"
	  "'values':['b'],'op':'In'}]}]}}}}}",
	  "failed to create typed patch object (/p; /v1, Kind=Pod): .spec.affinity.nodeAffinity."
	  "requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0].matchExpressions[0].op: field not "
	  "declared in schema",
	  500 },
	{ "{'apiVersion':'v1','kind':'Pod','metadata':{'name':'p'},'spec':{'containers':[{'name':'c','env':[{'name':'e'"
	  ","
	  "'valueFrom':{'fieldRef':{'path':'x'}}}]}]}}",
	  "failed to create typed patch object (/p; /v1, Kind=Pod): .spec.containers[name=\"c\"].env[name=\"e\"]."
	  "valueFrom.fieldRef.path: field not declared in schema",
	  500 },
	{ "{'apiVersion':'v1','kind':'Pod','metadata':{'name':'p'},'spec':{'nodeSelector':{'a':true}}}",
	  "failed to create typed patch object (/p; /v1, Kind=Pod): .spec.nodeSelector.a: expected string, got "
	  "&value.valueUnstructured{Value:true}",
	  500 },
	{ "{'apiVersion':'v1','kind':'Pod','metadata':{'name':'p'},'spec':{'containers':[{'name':'c','args':[1]}]}}",
	  "failed to create typed patch object (/p; /v1, Kind=Pod): .spec.containers[name=\"c\"].args[0]: expected "
	  "string, got &value.valueUnstructured{Value:1}",
	  500 },
	{ "{'apiVersion':'v1','kind':'Pod','metadata':{'name':'p'},'spec':{'tolerations':[{'tolerationSeconds':'1'}]}}",
	  "failed to create typed patch object (/p; /v1, Kind=Pod): .spec.tolerations[0].tolerationSeconds: expected "
	  "numeric (int or float), got string",
	  500 },
	{ "{'apiVersion':'v1','kind':'Pod','metadata':{'name':'p'},'spec':{'containers':[{'name':'c','resources':{"
	  "'limits':{'cpu':{'a':1}}}}]}}",
	  "failed to create typed patch object (/p; /v1, Kind=Pod): .spec.containers[name=\"c\"].resources.limits.cpu: "
	  "expected any scalar, got &{map[a:1]}",
	  500 },
	/* What cannot be told from its like. */
	{ "{'apiVersion':'v1','kind':'Pod','metadata':{'name':'p'},'spec':{'containers':[{'name':'c'},null]}}",
	  "failed to create typed patch object (/p; /v1, Kind=Pod): .spec.containers: element 1: associative list "
	  "with keys may not have a null element",
	  500 },
	{ "{'apiVersion':'v1','kind':'Pod','metadata':{'name':'p'},'spec':{'containers':['c']}}",
	  "failed to create typed patch object (/p; /v1, Kind=Pod): .spec.containers: element 0: associative list "
	  "with keys may not have non-map elements",
	  500 },
	{ "{'apiVersion':'v1','kind':'Pod','metadata':{'name':'p','finalizers':[{}]}}",
	  "failed to create typed patch object (/p; /v1, Kind=Pod): .metadata.finalizers: element 0: associative list "
	  "without keys has an element that's a map type",
	  500 },
	{ "{'apiVersion':'v1','kind':'Pod','metadata':{'name':'p','finalizers':['a','b','a']}}",
	  "failed to create typed patch object (/p; /v1, Kind=Pod): .metadata.finalizers: duplicate entries for key "
	  "[=\"a\"]",
	  500 },
	/* Several faults at once: a struct is left at the first member it does not have. */
	{ "{'apiVersion':'v1','kind':'Pod','metadata':{'name':'p','labels':{'a':1}},'spec':{'hostNetwork':'x','frob':1,"
	  "'brof':2}}",
	  "failed to create typed patch object (/p; /v1, Kind=Pod): errors:\n  .metadata.labels.a: expected string, "
	  "got &value.valueUnstructured{Value:1}\n  .spec.hostNetwork: expected boolean, got &{x}\n  .spec.frob: "
	  "field not declared in schema",
	  500 },
};

/* A key that Go leaves out when it is empty, and that has no default, tells nothing. */
static void test_key_left_out(void **state)
{
	struct world w = { .schema = schema_find(SV("core/v1.ServiceAccount")), .api_version = "v1" };
	_cleanup_(err_release) struct err err = ERR_INIT;

	(void)state;
	assert_null(apply(&w, NULL,
			  "{'apiVersion':'v1','kind':'ServiceAccount','metadata':{'name':'s'},'secrets':[{'name':'a'},"
			  "{'kind':'b'}]}",
			  "kubectl", 1, false, &err));
	assert_string_equal(
	    err_msg(&err),
	    "failed to create typed patch object (/s; /v1, Kind=ServiceAccount): .secrets: element 1: associative list "
	    "with keys has an element that omits key field \"name\" (and doesn't have default value)");
	arena_release(&w.a);
}

/* Whatever the body holds, the message stays short; and null is of every type. */
static void test_many_faults(void **state)
{
	struct world w = pods();
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	_cleanup_(err_release) struct err err = ERR_INIT;

	(void)state;
	buf_adds(&b, "{'apiVersion':'v1','kind':'Pod','metadata':{'name':'p'},'spec':{'tolerations':[null");
	for (int i = 0; i < 20000; i++)
		buf_adds(&b, ",{'frob':1}");
	buf_adds(&b, "]}}");
	assert_null(apply(&w, NULL, buf_cstr(&b), "kubectl", 1, false, &err));
	assert_non_null(strstr(err_msg(&err), ".spec.tolerations[1].frob: field not declared in schema"));
	assert_true(strlen(err_msg(&err)) < (size_t)32 * 1024);
	err_release(&err);
	assert_non_null(apply(&w, NULL,
			      "{'apiVersion':'v1','kind':'Pod','metadata':{'name':'p','labels':null},'spec':{"
			      "'tolerations':[null],'nodeSelector':{'a':null},'affinity':null}}",
			      "kubectl", 1, false, &err));
	arena_release(&w.a);
}

static void test_bad_config(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad_configs); i++) {
		struct world w = pods();
		_cleanup_(err_release) struct err err = ERR_INIT;

		assert_null(apply(&w, NULL, bad_configs[i].config, "kubectl", 1, false, &err));
		assert_string_equal(err_msg(&err), bad_configs[i].msg);
		assert_int_equal(err_code(&err), bad_configs[i].code);
		arena_release(&w.a);
	}
}

/* From client-side to server-side apply: what the annotation says and the object still has may be taken over, and the
 * annotation is renewed; for the manager kubectl alone. */
static void test_kubectl_takes_over(void **state)
{
	struct world w = pods();
	static const char client_side[] =
	    "{'apiVersion':'v1','kind':'Pod','metadata':{'name':'p','annotations':{'kubectl.kubernetes.io/"
	    "last-applied-configuration':'{\\\"apiVersion\\\":\\\"v1\\\",\\\"kind\\\":\\\"Pod\\\",\\\"metadata\\\":{"
	    "\\\"name\\\":\\\"p\\\"},"
	    "\\\"spec\\\":{\\\"hostname\\\":\\\"h\\\",\\\"subdomain\\\":\\\"old\\\"}}'}},'spec':{'hostname':'h','"
	    "subdomain':'s'}}";
	_cleanup_(err_release) struct err err = ERR_INIT;
	struct val *v = update(&w, NULL, client_side, "kubectl-client-side-apply", 1), *taken;
	const char *hostname = "{'apiVersion':'v1','kind':'Pod','metadata':{'name':'p'},'spec':{'hostname':'i<'}}";

	(void)state;
	assert_null(apply(&w, v, hostname, "other", 2, false, &err));
	err_release(&err);
	taken = apply(&w, v, hostname, "kubectl", 2, false, NULL);
	assert_non_null(taken);
	assert_sv(val_str(val_member_sv(val_get(taken, F_metadata, F_annotations),
					SV("kubectl.kubernetes.io/last-applied-configuration"))),
		  "{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"p\"},\"spec\":{\"hostname\":"
		  "\"i\\u003c\"}}\n");
	/* What was changed behind client-side apply's back is not kubectl's. */
	assert_null(apply(&w, v, "{'apiVersion':'v1','kind':'Pod','metadata':{'name':'p'},'spec':{'subdomain':'t'}}",
			  "kubectl", 2, false, &err));
	assert_int_equal(err.reason, ERR_CONFLICT);
	/* Nor is what it applied as another version, or as none. */
	for (int i = 0; i < 2; i++) {
		_cleanup_(err_release) struct err refused = ERR_INIT;
		const char *at = strstr(client_side, "\\\"v1\\\""), *text;

		assert_non_null(at);
		text = arena_printf(&w.a, "%.*s%s%s", (int)(at - client_side), client_side,
				    i ? "null" : "\\\"example.com/v1\\\"", at + strlen("\\\"v1\\\""));
		v = update(&w, NULL, text, "kubectl-client-side-apply", 1);
		assert_null(apply(&w, v, hostname, "kubectl", 2, false, &refused));
		assert_int_equal(refused.reason, ERR_CONFLICT);
	}
	arena_release(&w.a);
}

/* An update takes an applied field over; the next apply of the same value wants it back. */
static void test_update_over_apply(void **state)
{
	struct world w = pods();
	_cleanup_(err_release) struct err err = ERR_INIT;
	struct val *v = apply(&w, NULL, pod(&w, "", "'hostname':'h'"), "kubectl", 1, false, NULL);

	(void)state;
	v = update(&w, v, json(&w.a, doc(&w.a, pod(&w, "", "'hostname':'i'"))), "editor", 2);
	assert_string_equal(owners(&w, v), "editor:Update:{'f:spec':{'f:hostname':{}}}");
	assert_null(apply(&w, v, pod(&w, "", "'hostname':'h'"), "kubectl", 3, false, &err));
	assert_string_equal(err_msg(&err),
			    "Apply failed with 1 conflict: conflict with \"editor\" using v1: .spec.hostname");
	arena_release(&w.a);
}

/* A reference to an object is one value, but not where a field says that its parts are several. */
static void test_granular_field(void **state)
{
	struct world w = { .schema = schema_find(SV("core/v1.PersistentVolume")), .api_version = "v1" };
	struct val *v =
	    update(&w, NULL, "{'metadata':{'name':'v'},'spec':{'claimRef':{'name':'c','namespace':'d'}}}", "binder", 1);

	(void)state;
	assert_string_equal(owners(&w, v),
			    "binder:Update:{'f:spec':{'f:claimRef':{'.':{},'f:name':{},'f:namespace':{}}}}");
	arena_release(&w.a);
	w = (struct world){ .schema = schema_find(SV("core/v1.Event")), .api_version = "v1" };
	v = update(&w, NULL, "{'metadata':{'name':'e'},'involvedObject':{'name':'c','namespace':'d'}}", "recorder", 1);
	assert_string_equal(owners(&w, v), "recorder:Update:{'f:involvedObject':{}}");
	arena_release(&w.a);
}

/* Structs are compared field by field; without an index of the type's fields, member by member. */
static void test_comparisons_agree(void **state)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	const struct schema *pod = schema_find(SV("core/v1.Pod"));
	struct schema plain = *pod;
	struct val *full, *less, *shuffled, *alien;
	const struct val *empty = val_new_map(&a);

	(void)state;
	plain.by_sym = NULL;
	full = decode_typed(&a, pod, doc(&a, pod_json), NULL, NULL);
	assert_non_null(full);
	less = val_clone(&a, full);
	val_del(val_get_mut(less, F_spec), F_volumes);
	val_set_cstr(&a, val_get_mut(less, F_spec), F_nodeName, "other");
	val_set_bool(&a, val_get_mut(less, F_spec), F_hostNetwork, true);
	val_del(val_get_mut(less, F_status), F_podIPs);
	shuffled = val_clone(&a, full); /* spec is the last member now */
	val_del(shuffled, F_spec);
	val_set(&a, shuffled, F_spec, val_get(full, F_spec));
	alien = val_clone(&a, full);
	val_set_str_sv(&a, alien, SV("no-such-field"), SV("x"));

	const struct val *docs[] = { NULL, empty, full, less, shuffled, alien };

	for (size_t i = 0; i < ARRAY_LEN(docs); i++) {
		for (size_t k = 0; k < ARRAY_LEN(docs); k++) {
			struct comparison x = typed_compare(&a, ftype_root(pod), docs[i], docs[k]);
			struct comparison y = typed_compare(&a, ftype_root(&plain), docs[i], docs[k]);

			assert_true(fset_equal(x.added, y.added));
			assert_true(fset_equal(x.removed, y.removed));
			assert_true(fset_equal(x.modified, y.modified));
		}
	}
	assert_true(fset_empty(typed_compare(&a, ftype_root(pod), full, shuffled).modified));
}

/* Documents that differ a little, each made when another was made before it: what is known of one form is not taken for
 * another's. */
static void test_forms(void **state)
{
	static const char *const docs[] = {
		"{'spec':{}}",
		"{'spec':{'hostname':'a'}}",
		"{'spec':{'hostname':''}}",
		"{'spec':{'hostname':null}}",
		"{'spec':{'priority':0}}",
		"{'spec':{'priority':1}}",
		"{'spec':{'hostNetwork':false}}",
		"{'spec':{'hostNetwork':true}}",
		"{'spec':{'nodeSelector':{}}}",
		"{'spec':{'nodeSelector':{'a':'b'}}}",
		"{'spec':{'nodeSelector':{'name':'b'}}}",
		"{'spec':{'overhead':{'cpu':'0'}}}",
		"{'spec':{'overhead':{'memory':'0'}}}",
		"{'spec':{'containers':null}}",
		"{'spec':{'containers':[]}}",
		"{'spec':{'containers':[{'name':'a'}]}}",
		"{'spec':{'containers':[{'name':'b'}]}}",
		"{'spec':{'containers':[{'name':'b','resources':{}}]}}",
		"{'spec':{'containers':[{'name':'b','resources':{'limits':{'cpu':'1'}}}]}}",
		"{'spec':{'containers':[{'name':'b','command':['x']}]}}",
		"{'spec':{'containers':[{'name':'b','command':[]}]}}",
		"{'spec':{'containers':[{'name':'b'},{'name':'a'}]}}",
		"{'spec':{'containers':[{'name':'b'},{'name':'b'}]}}",
		"{'spec':{'containers':[{'name':'b'}]},'status':{}}",
		"{'spec':{'containers':[{'name':'b'}]},'status':{'phase':'x'}}",
		"{'spec':{'containers':[{'name':'b','ports':[{'containerPort':80}]}]}}",
		"{'spec':{'containers':[{'name':'b','ports':[{'containerPort':80,'protocol':'TCP'}]}]}}",
		"{'spec':{'containers':[{'name':'b','ports':[{'containerPort':80,'protocol':'UDP'}]}]}}",
		"{'spec':{'containers':[{'name':'b','ports':[{'containerPort':81,'protocol':'UDP'}]}]}}",
		"{'metadata':{'finalizers':['a/b']}}",
		"{'metadata':{'finalizers':['a/c']}}",
		"{'metadata':{'labels':{'a':''}}}",
		"{'metadata':{'labels':{'a':'','b':''}}}",
		"{'metadata':{'annotations':{'a':''}}}",
		"{'metadata':{'ownerReferences':[{'uid':'1','controller':true}]}}",
		"{'metadata':{'ownerReferences':[{'uid':'2','controller':true}]}}",
		"{'metadata':{'name':'x'}}",
		"{'metadata':{'generateName':'x'}}",
	};
	static const char *const status[] = { "status", NULL };
	struct world w = pods();
	const struct val empty = { .type = VAL_MAP };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(docs); i++) {
		for (size_t k = 0; k < 2 * ARRAY_LEN(docs); k++) {
			const char *const *reset = k % 2 ? status : NULL;
			struct apply_opts o = opts(&w, "m", 1);
			const char *text = k / 2 == 0 ? docs[i] : docs[k / 2];
			struct comparison c;
			const struct fset *set;
			_cleanup_(buf_release) struct buf want = BUF_INIT, got = BUF_INIT;
			struct known_form form;
			struct val *v;
			struct sv kept;

			o.reset_fields = reset;
			/* As it is found out: metadata.name is nobody's. */
			c = typed_compare(&w.a, ftype_root(w.schema), &empty, doc(&w.a, text));
			set = fset_union(&w.a, c.added, c.modified);
			set = fset_without(&w.a, set, reset ? fset_of_path(&w.a, "status") : NULL);
			set = fset_difference(&w.a, set, fset_of_path(&w.a, "metadata.name"));
			set = fset_difference(&w.a, set, fset_of_path(&w.a, "metadata"));
			if (!fset_empty(set))
				fset_to_json(&want, set);
			assert_true(known_form(&form, w.schema, doc(&w.a, text), reset));
			v = managed_update(&w.a, w.schema, NULL, doc(&w.a, text), &o, NULL);
			if (val_get(v, F_metadata, F_managedFields))
				json_encode(&got,
					    val_get(val_at(val_get(v, F_metadata, F_managedFields), 0), F_fieldsV1));
			assert_string_equal(buf_cstr(&got), buf_cstr(&want));
			/* The next one of that form, whatever others have taken its place by then. */
			if (want.n) {
				assert_true(known_find(&w.a, &form, &kept));
				assert_true(sv_eq(kept, buf_sv(&want)));
			}
		}
		arena_reset(&w.a);
	}
	arena_release(&w.a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fieldset_json),
		cmocka_unit_test(test_fieldset_ops),
		cmocka_unit_test(test_create),
		cmocka_unit_test(test_update_takes_over),
		cmocka_unit_test(test_update_forgets),
		cmocka_unit_test(test_subresource_and_reset),
		cmocka_unit_test(test_cap),
		cmocka_unit_test(test_apply_create),
		cmocka_unit_test(test_apply_again),
		cmocka_unit_test(test_apply_removes),
		cmocka_unit_test(test_apply_shared),
		cmocka_unit_test(test_conflict),
		cmocka_unit_test(test_sets),
		cmocka_unit_test(test_list_order),
		cmocka_unit_test(test_before_first_apply),
		cmocka_unit_test(test_bad_config),
		cmocka_unit_test(test_key_left_out),
		cmocka_unit_test(test_many_faults),
		cmocka_unit_test(test_kubectl_takes_over),
		cmocka_unit_test(test_granular_field),
		cmocka_unit_test(test_update_over_apply),
		cmocka_unit_test(test_comparisons_agree),
		cmocka_unit_test(test_forms),
	};

	return cmocka_run_group_tests_name("apply", tests, NULL, NULL);
}
