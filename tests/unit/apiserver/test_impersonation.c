/* Constrained impersonation (KEP-5284): to do this as such a one, and to be him. Refusals first. */
#include "harness.h"

#include "object/feature.h"

#include <stdio.h>

#define RBAC "/apis/rbac.authorization.k8s.io/v1/"
#define MAPS "/api/v1/namespaces/default/configmaps"
#define REVIEWS "/apis/authentication.k8s.io/v1/selfsubjectreviews"

static void role(struct rig *r, const char *name, const char *user, const char *rules)
{
	expect(r, 201, "POST", RBAC "clusterroles",
	       arena_printf(&r->arena, "{\"metadata\":{\"name\":\"%s\"},\"rules\":[%s]}", name, rules));
	expect(r, 201, "POST", RBAC "clusterrolebindings",
	       arena_printf(&r->arena,
			    "{\"metadata\":{\"name\":\"%s\"},\"roleRef\":{\"apiGroup\":\"rbac.authorization.k8s.io\","
			    "\"kind\":\"ClusterRole\",\"name\":\"%s\"},\"subjects\":[{\"kind\":\"User\",\"apiGroup\":"
			    "\"rbac.authorization.k8s.io\",\"name\":\"%s\"}]}",
			    name, name, user));
}

#define RULE(group, resource, names, verb)                                                          \
	"{\"apiGroups\":[\"" group "\"],\"resources\":[\"" resource "\"],\"resourceNames\":[" names \
	"],\"verbs\":[\"" verb "\"]}"
#define ANY(group, resource, verb) \
	"{\"apiGroups\":[\"" group "\"],\"resources\":[\"" resource "\"],\"verbs\":[\"" verb "\"]}"
#define AUTHN "authentication.k8s.io"

/* What each may: ann be bob in the group devs with an extra, to list ConfigMaps and to see who she is; a node's agent
 * any node, to read them; an account that of robot; old whatever impersonate gives. */
static void world(struct rig *r)
{
	role(r, "as-bob", "ann",
	     RULE(AUTHN, "users", "\"bob\"", "impersonate:user-info") "," RULE(
		 AUTHN, "groups", "\"devs\"",
		 "impersonate:user-info") "," RULE(AUTHN, "userextras/ex.org/k", "\"1\"",
						   "impersonate:user-info") "," ANY("", "configmaps",
										    "impersonate-on:user-info:"
										    "list") "," ANY(AUTHN,
												    "selfsubjec"
												    "treviews",
												    "impersonat"
												    "e-on:user-"
												    "info:"
												    "create"));
	role(r, "as-node", "agent",
	     RULE(AUTHN, "nodes", "\"n1\"", "impersonate:arbitrary-node") "," ANY(
		 "", "configmaps",
		 "impersonate-on:arbitrary-node:list") "," ANY(AUTHN, "selfsubjectreviews",
							       "impersonate-on:arbitrary-node:create"));
	role(r, "as-robot", "boss",
	     RULE(AUTHN, "serviceaccounts", "\"robot\"", "impersonate:serviceaccount") "," ANY(
		 AUTHN, "selfsubjectreviews", "impersonate-on:serviceaccount:create"));
	role(r, "as-own-node", "system:serviceaccount:default:ds",
	     RULE(AUTHN, "nodes", "\"*\"", "impersonate:associated-node") "," ANY(
		 AUTHN, "selfsubjectreviews", "impersonate-on:associated-node:create"));
	role(r, "legacy", "old", ANY("", "users", "impersonate") "," ANY("", "groups", "impersonate"));
	role(r, "bob", "bob", ANY("", "configmaps", "list") "," ANY("", "configmaps", "create"));
}

/* As: "user|group,group|key=value|uid". */
static struct answer *as(struct rig *r, const char *who, const char *method, const char *path, const char *as_whom)
{
	struct http_header h[16] = { { .name = { 0 } } };
	struct sv rest = sv_from(as_whom), user = SV(""), groups = SV(""), extra = SV(""), one;
	size_t n = 0;

	(void)sv_split(&rest, '|', &user);
	(void)sv_split(&rest, '|', &groups);
	(void)sv_split(&rest, '|', &extra);
	if (user.n)
		h[n++] = (struct http_header){ SV("impersonate-user"), user };
	while (groups.n && sv_split(&groups, ',', &one))
		h[n++] = (struct http_header){ SV("impersonate-group"), one };
	if (extra.n) {
		(void)sv_split(&extra, '=', &one);
		h[n++] = (struct http_header){ arena_svf(&r->arena, "impersonate-extra-%.*s", SV_ARG(one)), extra };
	}
	if (rest.n)
		h[n++] = (struct http_header){ SV("impersonate-uid"), rest };
	h[n] = (struct http_header){ .name = { 0 } };
	return api(r, method, path, .cert_user = who, .headers = h, .body = strcmp(method, "POST") == 0 ? "{}" : NULL);
}

static void refused(struct rig *r, const char *who, const char *method, const char *path, const char *as_whom,
		    const char *why)
{
	struct answer *a = as(r, who, method, path, as_whom);

	if (a->code != 403 || !strstr(buf_cstr(&a->body), why))
		fail_msg("%s as %s: %d %s\n  wanted %s", who, as_whom, a->code, buf_cstr(&a->body), why);
	answer_free(a);
}

static void test_refused(void **state)
{
	struct rig *r = *state;
	struct answer *a;

	world(r);
	/* to be him is not enough, nor is to do this as somebody; what is told is the first that was asked for */
	refused(r, "ann", "POST", MAPS, "bob",
		"User \\\"ann\\\" cannot impersonate-on:user-info:create resource \\\"configmaps\\\" in API group "
		"\\\"\\\" in the namespace \\\"default\\\"");
	refused(r, "ann", "GET", MAPS, "eve",
		"users.authentication.k8s.io \\\"eve\\\" is forbidden: User \\\"ann\\\" cannot impersonate:user-info "
		"resource \\\"users\\\" in API group \\\"authentication.k8s.io\\\"");
	refused(r, "ann", "GET", MAPS, "bob|ops", "groups.authentication.k8s.io \\\"ops\\\" is forbidden");
	refused(r, "ann", "GET", MAPS, "bob|system:masters", "impersonating the system:masters group is not allowed");
	refused(r, "ann", "GET", MAPS, "bob||ex.org%2fk=2",
		"cannot impersonate:user-info resource \\\"userextras/ex.org/k\\\"");
	refused(r, "ann", "GET", MAPS, "bob||k=1", "impersonating an invalid key in extra is not allowed: extra.key: ");
	refused(r, "ann", "GET", MAPS, "bob|||7", "uids.authentication.k8s.io \\\"7\\\" is forbidden");
	/* nodes and accounts are no other users, and only by their names */
	refused(r, "ann", "GET", MAPS, "system:node:n1", "cannot impersonate-on:arbitrary-node:list");
	refused(r, "ann", "GET", MAPS, "system:serviceaccount:default:robot",
		"cannot impersonate-on:serviceaccount:list");
	refused(r, "agent", "GET", MAPS, "system:node:n2", "nodes.authentication.k8s.io \\\"n2\\\" is forbidden");
	refused(r, "agent", "GET", MAPS, "system:node:n1|system:masters", "cannot impersonate resource \\\"users\\\"");
	refused(r, "boss", "POST", REVIEWS, "system:serviceaccount:default:other", "cannot impersonate:serviceaccount");
	/* a Pod's account only its own node, which a name alone does not make */
	refused(r, "system:serviceaccount:default:ds", "POST", REVIEWS, "system:node:n1",
		"cannot impersonate-on:arbitrary-node:create");
	/* he who may be bob has bob's rights and no more */
	a = as(r, "ann", "GET", MAPS, "bob");
	assert_int_equal(a->code, 200);
	answer_free(a);
	refused(r, "agent", "GET", MAPS, "system:node:n1", "User \\\"system:node:n1\\\" cannot list resource");
	a = as(r, "ann", "GET", MAPS, "|devs");
	assert_int_equal(a->code, 400);
	assert_true(strstr(buf_cstr(&a->body), "without impersonating a user name") != NULL);
	answer_free(a);
}

static void is(struct rig *r, const char *who, const char *as_whom, const char *want)
{
	struct answer *a = as(r, who, "POST", REVIEWS, as_whom);
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	if (a->code != 201)
		fail_msg("%s as %s: %d %s", who, as_whom, a->code, buf_cstr(&a->body));
	json_encode(&b, val_get(a->json, F_status, F_userInfo));
	assert_string_equal(buf_cstr(&b), want);
	answer_free(a);
}

static void test_taken(void **state)
{
	struct rig *r = *state;

	world(r);
	is(r, "ann", "bob|devs|ex.org%2fk=1",
	   "{\"username\":\"bob\",\"groups\":[\"devs\",\"system:authenticated\"],\"extra\":{\"ex.org/k\":[\"1\"]}}");
	is(r, "agent", "system:node:n1",
	   "{\"username\":\"system:node:n1\",\"groups\":[\"system:nodes\",\"system:authenticated\"]}");
	is(r, "boss", "system:serviceaccount:default:robot",
	   "{\"username\":\"system:serviceaccount:default:robot\",\"groups\":[\"system:serviceaccounts\","
	   "\"system:serviceaccounts:default\",\"system:authenticated\"]}");
	/* what there was before holds on, with the groups that it lets have */
	is(r, "old", "bob|devs", "{\"username\":\"bob\",\"groups\":[\"devs\",\"system:authenticated\"]}");
	is(r, "old", "bob|system:masters",
	   "{\"username\":\"bob\",\"groups\":[\"system:masters\",\"system:authenticated\"]}");
}

/* By the token of a Pod, which says its node. */
static void test_own_node(void **state)
{
	struct rig *r = *state;
	static const struct http_header own[] = { { SV("impersonate-user"), SV("system:node:n1") }, { .name = { 0 } } };
	static const struct http_header other[] = { { SV("impersonate-user"), SV("system:node:n2") },
						    { .name = { 0 } } };
	const char *bearer;
	struct answer *a;

	world(r);
	expect(r, 201, "POST", "/api/v1/nodes", "{\"metadata\":{\"name\":\"n1\"}}");
	expect(r, 201, "POST", "/api/v1/namespaces/default/serviceaccounts", "{\"metadata\":{\"name\":\"ds\"}}");
	expect(r, 201, "POST", "/api/v1/namespaces/default/pods",
	       "{\"metadata\":{\"name\":\"p\"},\"spec\":{\"nodeName\":\"n1\",\"serviceAccountName\":\"ds\","
	       "\"automountServiceAccountToken\":false,\"containers\":[{\"name\":\"c\",\"image\":\"i\"}]}}");
	bearer = arena_printf(
	    &r->arena, "Bearer %.*s",
	    SV_ARG(val_get_str(
		expect(r, 201, "POST", "/api/v1/namespaces/default/serviceaccounts/ds/token",
		       "{\"spec\":{\"boundObjectRef\":{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"name\":\"p\"}}}"),
		F_status, F_token)));
	a = api(r, "POST", REVIEWS, .body = "{}", .authorization = bearer, .headers = other);
	assert_int_equal(a->code, 403);
	answer_free(a);
	a = api(r, "POST", REVIEWS, .body = "{}", .authorization = bearer, .headers = own);
	assert_int_equal(a->code, 201);
	assert_val(val_get(a->json, F_status, F_userInfo, F_username), "system:node:n1");
	answer_free(a);
}

/* Without the gate the new rights give nothing, and the old words are told. */
static void test_off(void **state)
{
	struct rig *r = *state;

	assert_int_equal(features_set(SV("ConstrainedImpersonation=false"), NULL), 0);
	world(r);
	refused(r, "ann", "GET", MAPS, "bob",
		"users \\\"bob\\\" is forbidden: User \\\"ann\\\" cannot impersonate resource \\\"users\\\"");
	is(r, "old", "bob", "{\"username\":\"bob\",\"groups\":[\"system:authenticated\"]}");
	features_reset();
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, rig_setup_with_keys, rig_teardown)
	const struct CMUnitTest tests[] = { T(test_refused), T(test_taken), T(test_own_node), T(test_off) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
