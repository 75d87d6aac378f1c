/* Ten times as many endpoints, Services of one address, nodes or lines cost ten times as much, not a hundred. */
#include "costs.h"
#include "dns_kit.h"

#include <stdio.h>

static struct obj *many_endpoints(size_t n)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	struct obj *o;

	buf_adds(&b, "{'kind':'EndpointSlice','metadata':{'name':'s','namespace':'ns'},'addressType':'IPv4','ports':[{'"
		     "name':'a',"
		     "'port':1}],'endpoints':[");
	for (size_t i = 0; i < n; i++)
		buf_printf(&b, "%s{'addresses':['10.42.%zu.%zu'],'hostname':'h%zu'}", i ? "," : "", i / 250, i % 250,
			   i);
	buf_adds(&b, "]}");
	o = kit_obj(buf_cstr(&b));
	return o;
}

/* Made, put into the table, replaced, and asked for an endpoint in the middle. */
static void run_headless(struct cost *c, size_t n, const void *arg)
{
	struct obj *svc = kit_obj(KIT_SERVICE("peers", "'clusterIP':'None'")), *slice = many_endpoints(n);
	struct zone_table *t = zone_table_new();
	size_t first;

	(void)arg;
	cost_begin(c);
	for (int i = 0; i < 2; i++)
		kit_put(t, zone_entry_new(svc, &slice, 1));
	assert_int_equal(zone_entry_find(zone_table_get(t, SV("\5peers\2ns")), SV("\3h50"), &first), 1);
	cost_end(c);
	zone_table_free(t);
	obj_unref(slice);
	obj_unref(svc);
}

/* Services that all have the same endpoint: each comes and goes. */
static void run_same_address(struct cost *c, size_t n, const void *arg)
{
	struct zone_table *t = zone_table_new();
	const char *slice = KIT_SLICE("IPv4", "", KIT_EP("10.42.0.5", ""));
	struct zone_entry **made = xcalloc(n, sizeof(struct zone_entry *));

	(void)arg;
	for (size_t i = 0; i < n; i++) {
		_cleanup_free_ char *json = xasprintf(
		    "{'kind':'Service','metadata':{'name':'s%zu','namespace':'ns'},'spec':{'clusterIP':'None'}}", i);

		made[i] = kit_entry(json, slice, NULL);
	}
	cost_begin(c);
	for (size_t i = 0; i < n; i++)
		kit_put(t, made[i]);
	for (size_t i = 0; i < n; i++) {
		_cleanup_(buf_release) struct buf key = BUF_INIT;
		struct sv k = zone_entry_key(made[i]);

		buf_addsv(&key, k);
		zone_entry_free(zone_table_set(t, buf_sv(&key), NULL));
	}
	cost_end(c);
	free(made);
	zone_table_free(t);
}

static void run_clients(struct cost *c, size_t n, const void *arg)
{
	struct ip_net *nets = xcalloc(n, sizeof(*nets));
	struct dns_clients *clients;

	(void)arg;
	for (size_t i = 0; i < n; i++)
		nets[i] = (struct ip_net){ ip_v4((uint32_t)(0x0a000000 + i * 7919 % n * 256)), 120 };
	cost_begin(c);
	clients = dns_clients_new(nets, n);
	for (size_t i = 0; i < n; i++)
		assert_true(dns_clients_has(clients, ip_add(nets[i].addr, 5)));
	cost_end(c);
	dns_clients_free(clients);
	free(nets);
}

static void run_corefile(struct cost *c, size_t n, const void *arg)
{
	_cleanup_(buf_release) struct buf text = BUF_INIT, said = BUF_INIT;
	struct dns_config *cfg = dns_config_new(SV("cluster.local"));
	const char *line = arg;

	buf_adds(&text, ". {\n hosts {\n");
	for (size_t i = 0; i < n; i++) {
		buf_printf(&text, "10.1.%zu.%zu n%zu.test\n", i / 250, i % 250, i);
		buf_adds(&text, line);
	}
	buf_adds(&text, "}\n}\n");
	cost_begin(c);
	dns_config_corefile(cfg, buf_sv(&text), NULL, &said);
	cost_end(c);
	dns_config_free(cfg);
}

static void test_costs(void **state)
{
	static const struct cost_row rows[] = {
		{ "endpoints of a headless Service", run_headless, NULL, 100 },
		{ "Services with one address", run_same_address, NULL, 100 },
		{ "ranges of clients", run_clients, NULL, 100 },
		{ "hosts", run_corefile, "", 100 },
		{ "what is not understood", run_corefile, "x y z\n", 100 },
	};

	(void)state;
	expect_linear(rows, ARRAY_LEN(rows));
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_costs) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
