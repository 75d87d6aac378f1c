/* Who serves, who tells, and whose a port is. */
#include "ingress_kit.h"

#include "ingress/nodes.h"

struct nodes {
	struct kit k;
	VEC(struct obj *) all;
};

static struct obj *nodes_object(struct kit *k, const char *text)
{
	kit_add(k, text);
	return kit_kept(k, k->secrets.p[k->secrets.n - 1], ing_node_paths); /* of kinds that the kit does not know */
}

/* ports, role: NULL: none */
static void nodes_add(struct nodes *s, const char *name, const char *ports, const char *role, bool ready)
{
	vec_push(
	    &s->all,
	    nodes_object(&s->k, arena_printf(&s->k.a,
					     "{'kind':'Node','metadata':{'name':'%s','annotations':{'%s':'%s'},"
					     "'labels':{'%s':'%s'}},'status':{'addresses':[{'type':'InternalIP',"
					     "'address':'10.0.0.%c'},{'type':'InternalIP','address':'fd00::%c'}],'"
					     "conditions':[{'type':'Ready','status':'%s'}]}}",
					     name, ports ? INGRESS_NODE_ANNOTATION : "x", ports ? ports : "y",
					     role ? INGRESS_NODE_LABEL : "x", role ? role : "y", name[0] - 'a' + '1',
					     name[0] - 'a' + '1', ready ? "True" : "Unknown")));
}

static void nodes_part(struct nodes *s, const char *name, bool serves, bool tells)
{
	struct ing_part p;

	p = ing_part_of(s->all.p, s->all.n, sv_from(name));
	if (p.serves != serves || p.tells != tells)
		fail_msg("%s serves %d, tells %d", name, p.serves, p.tells);
}

static void nodes_end(struct nodes *s)
{
	vec_release(&s->all);
	kit_release(&s->k);
}

static void test_nobody_serves_yet(_unused_ void **state)
{
	struct nodes s = { .k = { .m = { 0 } } };

	nodes_part(&s, "a", false, false);
	nodes_add(&s, "c", NULL, NULL, true);
	nodes_add(&s, "b", NULL, NULL, true);
	nodes_add(&s, "a", NULL, NULL, false);
	nodes_part(&s, "a", true, false); /* not Ready */
	nodes_part(&s, "b", true, true);
	nodes_part(&s, "c", true, false);
	nodes_part(&s, "d", false, false);
	nodes_add(&s, "z", "80", NULL, true); /* one that serves, before those that do not */
	nodes_part(&s, "b", true, false);
	nodes_part(&s, "z", true, true);
	nodes_end(&s);
}

static void test_roles(_unused_ void **state)
{
	struct nodes s = { .k = { .m = { 0 } } };

	nodes_add(&s, "a", "80", "false", true);
	nodes_add(&s, "b", "80", NULL, true);
	nodes_part(&s, "a", false, false);
	nodes_part(&s, "b", true, true);
	nodes_add(&s, "c", "80", "true", true);
	nodes_part(&s, "b", false, false);
	nodes_part(&s, "c", true, true);
	nodes_end(&s);
}

/* Heartbeats are no change. */
static void test_changes(_unused_ void **state)
{
	struct nodes s = { .k = { .m = { 0 } } };

	nodes_add(&s, "a", "80", NULL, true);
	nodes_add(&s, "a", "80", NULL, true);
	nodes_add(&s, "a", "80", NULL, false);
	nodes_add(&s, "a", "443", NULL, true);
	nodes_add(&s, "a", "80", "true", true);
	nodes_add(&s, "b", "80", NULL, true);
	assert_false(ing_node_changed(s.all.p[0], s.all.p[1]));
	for (size_t i = 2; i < s.all.n; i++)
		assert_true(ing_node_changed(s.all.p[0], s.all.p[i]));
	nodes_end(&s);
}

static void test_ports(_unused_ void **state)
{
	static const struct {
		const char *spec, *status;
		const char *keys;
		bool at_a;
	} rows[] = {
		{ "'type':'ClusterIP'", "'ip':'10.0.0.1'", "", false },
		{ "'type':'LoadBalancer'", "'hostname':'x'", "80 ", false },
		{ "'type':'LoadBalancer'", "'ip':'10.0.0.2'", "80 ", false },
		{ "'type':'LoadBalancer'", "'ip':'10.0.0.1'", "80 ", true },
		{ "'type':'NodePort'", "'ip':'10.0.0.1'", "", false }, /* what was one's */
		{ "'externalIPs':['10.0.0.9','10.0.0.1']", "'ip':'10.0.0.2'", "80 ", true },
		{ "'externalIPs':['10.0.0.9']", "'ip':'10.0.0.1'", "80 ", false },
		{ "'externalIPs':['FD00:0::1']", "'ip':'10.0.0.2'", "80 ", true },
		{ "'type':'LoadBalancer'", "'ip':'fd00:0:0::1'", "80 ", true },
		{ "'type':'LoadBalancer'", "'ip':'fd00::2'", "80 ", false },
	};
	struct nodes s = { .k = { .m = { 0 } } };

	nodes_add(&s, "a", NULL, NULL, true);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct index_keys keys = { .keys = VEC_INIT };
		struct buf b = BUF_INIT;
		struct obj *svc;

		kit_add(&s.k,
			arena_printf(
			    &s.k.a,
			    "{'kind':'Service','metadata':{'namespace':'d','name':'s'},'spec':{%s,'ports':[{'port':"
			    "80},{'port':81,'protocol':'UDP'}]},'status':{'loadBalancer':{'ingress':[{%s}]}}}",
			    rows[i].spec, rows[i].status));
		svc = s.k.services.p[s.k.services.n - 1];
		ing_balancer_keys(svc, &keys);
		for (size_t k = 0; k < keys.keys.n; k++)
			buf_printf(&b, "%.*s ", SV_ARG(keys.keys.p[k]));
		assert_string_equal(b.n ? buf_cstr(&b) : "", rows[i].keys);
		assert_int_equal(ing_balancer_at(s.all.p[0], &svc, 1) == svc, rows[i].at_a);
		buf_release(&b);
		vec_release(&keys.keys);
		arena_release(&keys.arena);
	}
	assert_null(ing_balancer_at(s.all.p[0], NULL, 0));
	nodes_end(&s);
}

/* Which endpoints a section has: of one that ends, of the Service's first family alone. */
static void test_endpoints(_unused_ void **state)
{
	static const struct ing_listen listen = { .http_port = 80, .threads = 1, .max_connections = 100 };
	struct kit k = { .m = { 0 } };
	struct ing_names names = { .next = 0 };
	struct ing_conf c;

	kit_add(&k, KIT_CLASS);
	kit_add(&k, KIT_SERVICE("a"));
	kit_add(&k,
		"{'kind':'Service','metadata':{'namespace':'d','name':'six'},'spec':{'ipFamilies':['IPv6'],'ports':[{"
		"'name':'web','port':80,'protocol':'TCP'}]}}");
	kit_add(&k, KIT_SLICE("a", "a1",
			      KIT_ENDPOINT("10.0.0.1", "'ready':true") "," KIT_ENDPOINT(
				  "10.0.0.2", "'ready':false,'serving':true,'terminating':true")));
	kit_add(&k, KIT_SLICE("six", "six-1", KIT_ENDPOINT("10.0.0.3", "")));
	kit_add(&k, KIT_INGRESS("i", "1", "",
				KIT_RULE("x.org", KIT_PATH("/", "Prefix", "a") "," KIT_PATH("/six", "Prefix", "six"))));
	kit_model(&k);
	ing_render(&k.a, &names, &k.m, &listen, &c);
	ing_names_release(&names);
	assert_true(sv_find_sv(c.config, SV("10.0.0.1:8080 weight 1")) > 0);
	assert_true(sv_find_sv(c.config, SV("10.0.0.2:8080 weight 0")) > 0);
	assert_true(sv_find_sv(c.config, SV("10.0.0.3")) < 0);
	kit_release(&k);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nobody_serves_yet), cmocka_unit_test(test_roles),
		cmocka_unit_test(test_changes),		  cmocka_unit_test(test_ports),
		cmocka_unit_test(test_endpoints),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
