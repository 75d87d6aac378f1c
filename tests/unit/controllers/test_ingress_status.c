/* Which nodes' addresses Ingresses tell, and the class. */
#include "world.h"

#include "object/annotation.h"
#include "object/default_class.h"
#include "object/ingress_refs.h"

#include <stdio.h>

static const char *const only[] = { "ingress-controller", NULL };

#define INTERNAL(ip) "{'type':'InternalIP','address':'" ip "'}"
#define EXTERNAL(ip) "{'type':'ExternalIP','address':'" ip "'}"
#define SERVES "'annotations':{'" INGRESS_NODE_ANNOTATION "':'80,443'}"
#define ROLE(role) "'labels':{'" INGRESS_NODE_LABEL "':'" role "'}"
#define READY(status) "'conditions':[{'type':'Ready','status':'" status "'}]"

/* With ' for ". */
static char *status_text(const char *text)
{
	char *json = xstrdup(text);

	for (char *c = json; *c; c++)
		if (*c == '\'')
			*c = '"';
	return json;
}

static void status_make(struct world *w, const struct resource *r, const char *text)
{
	_cleanup_free_ char *json = status_text(text);

	obj_unref(fake_api_create(w->api, r, r->namespaced ? "default" : "", json));
}

static void status_node(struct world *w, const char *name, const char *meta, const char *addresses)
{
	_cleanup_free_ char *text =
	    xasprintf("{'metadata':{'name':'%s'%s%s},'status':{'addresses':[%s]," READY("True") "}}", name,
		      *meta ? "," : "", meta, addresses);

	status_make(w, RES(core_nodes), text);
}

static void status_patch(struct world *w, const struct resource *r, const char *name, const char *sub, const char *text)
{
	_cleanup_free_ char *json = status_text(text);

	fake_api_patch(w->api, r, r->namespaced ? "default" : "", name, sub, json);
}

static void status_ingress(struct world *w, const char *name, const char *class)
{
	_cleanup_free_ char *text =
	    xasprintf("{'metadata':{'name':'%s'},'spec':{'ingressClassName':'%s'}}", name, class);

	status_make(w, RES(networking_ingresses), text);
}

static void status_is(struct world *w, const char *name, const char *want)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_obj_ struct obj *o = NULL;
	const char *text = "";

	world_run(w, NS_PER_SEC);
	o = fake_api_get(w->api, RES(networking_ingresses), "default", name);
	VAL_EACH(obj_get(o, F_status, F_loadBalancer, F_ingress), in)
		text = arena_printf(&a, "%s%s%.*s", text, *text ? " " : "", SV_ARG(val_get_str(in, F_ip)));
	assert_string_equal(text, want);
}

static void test_class(_unused_ void **state)
{
	struct world *w = world_new(1, only);
	_cleanup_obj_ struct obj *first = NULL, *again = NULL;

	world_run(w, NS_PER_SEC);
	first = fake_api_get(w->api, RES(networking_ingressclasses), "", INGRESS_CLASS);
	assert_true(ingress_class_is_ours(obj_root(first)));
	assert_true(ingress_class_is_default(obj_root(first)));
	/* As its admin has it. */
	status_patch(w, RES(networking_ingressclasses), INGRESS_CLASS, NULL,
		     "{'metadata':{'annotations':{'" ANN_DEFAULT_INGRESS_CLASS "':'false'}}}");
	world_restart(w, only);
	world_run(w, NS_PER_SEC);
	again = fake_api_get(w->api, RES(networking_ingressclasses), "", INGRESS_CLASS);
	assert_false(ingress_class_is_default(obj_root(again)));
	world_free(w);
}

static void test_not_the_default(_unused_ void **state)
{
	struct world *w = world_new(1, (const char *const[]){ "gc", NULL });
	_cleanup_obj_ struct obj *o = NULL;

	status_make(w, RES(networking_ingressclasses),
		    "{'metadata':{'name':'x','annotations':{'" ANN_DEFAULT_INGRESS_CLASS
		    "':'true'}},'spec':{'controller':'other'}}");
	world_restart(w, only);
	world_run(w, NS_PER_SEC);
	o = fake_api_get(w->api, RES(networking_ingressclasses), "", INGRESS_CLASS);
	assert_false(ingress_class_is_default(obj_root(o)));
	world_free(w);
}

/* Only those that serve, are Ready, and may. */
static void test_addresses(_unused_ void **state)
{
	struct world *w = world_new(1, only);

	status_ingress(w, "i", INGRESS_CLASS);
	status_ingress(w, "theirs", "other");
	status_is(w, "i", "");
	status_node(w, "n1", "", INTERNAL("10.0.0.1"));
	status_node(w, "n3", SERVES "," ROLE("false"), INTERNAL("10.0.0.3"));
	status_is(w, "i", "");
	status_node(w, "n2", SERVES, EXTERNAL("1.2.3.4") "," INTERNAL("10.0.0.2") "," INTERNAL("fd00::2"));
	status_is(w, "i", "1.2.3.4");
	status_patch(w, RES(core_nodes), "n1", NULL, "{'metadata':{" SERVES "}}");
	status_is(w, "i", "10.0.0.1 1.2.3.4");
	status_is(w, "theirs", "");
	status_patch(w, RES(core_nodes), "n2", "status", "{'status':{" READY("Unknown") "}}");
	status_is(w, "i", "10.0.0.1");
	status_patch(w, RES(core_nodes), "n2", "status", "{'status':{" READY("True") "}}");
	status_is(w, "i", "10.0.0.1 1.2.3.4");
	fake_api_delete(w->api, RES(core_nodes), "", "n1", NULL);
	status_is(w, "i", "1.2.3.4");
	status_patch(w, RES(core_nodes), "n2", NULL, "{'metadata':{'annotations':null}}");
	status_is(w, "i", "");
	world_free(w);
}

/* Where nodes are chosen, one that says of itself that it serves is nobody's address. */
static void test_chosen(_unused_ void **state)
{
	struct world *w = world_new(1, only);

	status_ingress(w, "i", INGRESS_CLASS);
	status_node(w, "n1", SERVES, INTERNAL("10.0.0.1"));
	status_node(w, "n2", SERVES, INTERNAL("10.0.0.2"));
	status_is(w, "i", "10.0.0.1 10.0.0.2");
	status_patch(w, RES(core_nodes), "n2", NULL, "{'metadata':{" ROLE("true") "}}");
	status_is(w, "i", "10.0.0.2");
	status_patch(w, RES(core_nodes), "n2", NULL, "{'metadata':{'labels':null}}");
	status_is(w, "i", "10.0.0.1 10.0.0.2");
	world_free(w);
}

/* One that changes its class loses what we wrote, and what others wrote stays. */
static void test_another_class(_unused_ void **state)
{
	struct world *w = world_new(1, only);

	status_node(w, "n1", SERVES, INTERNAL("10.0.0.1"));
	status_ingress(w, "i", INGRESS_CLASS);
	status_ingress(w, "theirs", "other");
	status_patch(w, RES(networking_ingresses), "theirs", "status",
		     "{'status':{'loadBalancer':{'ingress':[{'ip':'9.9.9.9'}]}}}");
	status_is(w, "i", "10.0.0.1");
	status_is(w, "theirs", "9.9.9.9");
	status_patch(w, RES(networking_ingresses), "i", NULL, "{'spec':{'ingressClassName':'other'}}");
	status_is(w, "i", "");
	status_is(w, "theirs", "9.9.9.9");
	world_free(w);
}

/* Switched off: addresses are taken back, then the class goes; another controller's stay. */
static void test_off(_unused_ void **state)
{
	static const struct controllers_opts off = { .no_ingress = true };
	struct world *w = world_new(1, only);

	status_node(w, "n1", SERVES, INTERNAL("10.0.0.1"));
	status_make(w, RES(networking_ingressclasses), "{'metadata':{'name':'theirs'},'spec':{'controller':'other'}}");
	status_ingress(w, "i", INGRESS_CLASS);
	status_ingress(w, "theirs", "theirs");
	status_patch(w, RES(networking_ingresses), "theirs", "status",
		     "{'status':{'loadBalancer':{'ingress':[{'ip':'10.0.0.1'}]}}}");
	status_is(w, "i", "10.0.0.1");
	world_restart_opts(w, only, &off);
	status_is(w, "i", "");
	status_is(w, "theirs", "10.0.0.1");
	assert_null(fake_api_get(w->api, RES(networking_ingressclasses), "", INGRESS_CLASS));
	assert_int_equal(fake_api_count(w->api, RES(networking_ingressclasses), ""), 1);
	world_free(w);
}

/* Heartbeats, and an Ingress more, write nothing that is there already. */
static void test_writes(_unused_ void **state)
{
	struct world *w = world_new(1, only);

	status_node(w, "n1", SERVES, INTERNAL("10.0.0.1"));
	for (int i = 0; i < 20; i++) {
		char name[16];

		(void)snprintf(name, sizeof(name), "i%d", i);
		status_ingress(w, name, INGRESS_CLASS);
	}
	status_is(w, "i0", "10.0.0.1");
	(void)fake_api_writes(w->api);
	status_patch(w, RES(core_nodes), "n1", "status",
		     "{'status':{'conditions':[{'type':'Ready','status':'True','reason':'x'}]}}");
	world_run(w, NS_PER_SEC);
	assert_int_equal(fake_api_writes(w->api), 1);
	status_ingress(w, "more", INGRESS_CLASS);
	world_run(w, NS_PER_SEC);
	assert_int_equal(fake_api_writes(w->api), 2);
	world_free(w);
}

static int status_refuse(void *ctx, const char *verb, const struct resource *r, _unused_ struct sv ns, struct sv name,
			 _unused_ const struct val *doc, struct err *err)
{
	const bool *refuses = ctx;

	if (!*refuses || strcmp(verb, "patch") != 0 || r != RES(networking_ingresses) || !sv_is(name, "b"))
		return 0;
	return err_set(err, ERR_FORBIDDEN, "admission webhook denied the request");
}

static void test_one_is_refused(_unused_ void **state)
{
	struct world *w = world_new(1, only);
	bool refuses = true;

	fake_api_set_hook(w->api, status_refuse, &refuses);
	status_node(w, "n1", SERVES, INTERNAL("10.0.0.1"));
	status_ingress(w, "a", INGRESS_CLASS);
	status_ingress(w, "b", INGRESS_CLASS);
	status_ingress(w, "c", INGRESS_CLASS);
	status_is(w, "a", "10.0.0.1");
	status_is(w, "b", "");
	status_is(w, "c", "10.0.0.1");
	refuses = false;
	world_run(w, 10 * NS_PER_SEC);
	status_is(w, "b", "10.0.0.1");
	/* What cannot be taken back is not forgotten. */
	refuses = true;
	status_patch(w, RES(networking_ingresses), "c", NULL, "{'spec':{'ingressClassName':'other'}}");
	status_is(w, "c", "");
	refuses = false;
	status_patch(w, RES(networking_ingresses), "b", NULL, "{'spec':{'ingressClassName':'other'}}");
	refuses = true;
	status_is(w, "b", "10.0.0.1");
	refuses = false;
	world_run(w, 10 * NS_PER_SEC);
	status_is(w, "b", "");
	world_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_class),  cmocka_unit_test(test_not_the_default), cmocka_unit_test(test_addresses),
		cmocka_unit_test(test_chosen), cmocka_unit_test(test_another_class),   cmocka_unit_test(test_writes),
		cmocka_unit_test(test_off),    cmocka_unit_test(test_one_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
