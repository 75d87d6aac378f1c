/* Host ports: what a Pod takes, and what clashes with it. */
#include "unit.h"

#include "codec/json.h"
#include "pod/host_port.h"

#include <stdio.h>

#define P(ip_, protocol_, port_) ((struct host_port){ .ip = SV(ip_), .protocol = SV(protocol_), .port = port_ })

static void test_parse(void **state)
{
	static const char spec[] =
	    "{\"containers\":[{\"ports\":[{\"containerPort\":80},{\"hostPort\":80},"
	    "{\"hostPort\":53,\"protocol\":\"UDP\",\"hostIP\":\"10.0.0.1\"},{\"hostPort\":70000}]}],"
	    "\"initContainers\":[{\"ports\":[{\"hostPort\":1}]},"
	    "{\"restartPolicy\":\"Always\",\"ports\":[{\"hostPort\":2,\"hostIP\":\"0.0.0.0\"}]}]}";
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct host_port *got;

	(void)state;
	assert_int_equal(host_ports_parse(&a, json_decode(&a, sv_from(spec), NULL, NULL), &got), 3);
	assert_int_equal(got[0].port, 80);
	assert_true(sv_is(got[0].protocol, "TCP") && !got[0].ip.n);
	assert_int_equal(got[1].port, 53);
	assert_true(sv_is(got[1].protocol, "UDP") && sv_is(got[1].ip, "10.0.0.1"));
	assert_int_equal(got[2].port, 2);
	assert_true(!got[2].ip.n);
}

static void test_clashes(void **state)
{
	const struct {
		struct host_port had, asked;
		bool taken;
	} rows[] = {
		{ P("", "TCP", 80), P("", "TCP", 80), true },
		{ P("", "TCP", 80), P("10.0.0.1", "TCP", 80), true },
		{ P("10.0.0.1", "TCP", 80), P("", "TCP", 80), true },
		{ P("10.0.0.1", "TCP", 80), P("10.0.0.1", "TCP", 80), true },
		{ P("10.0.0.1", "TCP", 80), P("10.0.0.2", "TCP", 80), false },
		{ P("", "TCP", 80), P("", "UDP", 80), false },
		{ P("", "TCP", 80), P("", "TCP", 8), false },
		{ P("10.0.0.1", "TCP", 8), P("10.0.0.1", "TCP", 80), false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		_cleanup_(host_ports_release) struct host_ports s = { 0 };

		assert_false(host_ports_taken(&s, &rows[i].asked));
		host_ports_add(&s, &rows[i].had);
		assert_int_equal(host_ports_taken(&s, &rows[i].asked), rows[i].taken);
		host_ports_drop(&s, &rows[i].had);
		assert_false(host_ports_taken(&s, &rows[i].asked));
	}
}

/* Two may have one port for a moment: a Pod that a client put on the node itself. */
static void test_counted(void **state)
{
	_cleanup_(host_ports_release) struct host_ports s = { 0 };
	const struct host_port all = P("", "TCP", 80), one = P("10.0.0.1", "TCP", 80), other = P("10.0.0.2", "TCP", 80);

	(void)state;
	host_ports_add(&s, &all);
	host_ports_add(&s, &one);
	host_ports_add(&s, &one);
	host_ports_drop(&s, &one);
	host_ports_drop(&s, &all);
	assert_true(host_ports_taken(&s, &one));
	assert_true(host_ports_taken(&s, &all));
	assert_false(host_ports_taken(&s, &other));
	host_ports_drop(&s, &one);
	assert_false(host_ports_taken(&s, &all));
}

/* One Pod of a megabyte and a half: each port is found, and the set is empty after it. */
static void test_many(void **state)
{
	enum { N = 50000 };
	_cleanup_(host_ports_release) struct host_ports s = { 0 };
	char ip[16];

	(void)state;
	for (int pass = 0; pass < 2; pass++)
		for (int i = 0; i < N; i++) {
			struct host_port h = { .protocol = SV("TCP"), .port = 1 + i % 100 };

			h.ip = sv_make(ip, (size_t)snprintf(ip, sizeof(ip), "10.0.%d.%d", i / 256, i % 256));
			assert_int_equal(host_ports_taken(&s, &h), pass);
			if (pass)
				host_ports_drop(&s, &h);
			else
				host_ports_add(&s, &h);
		}
	assert_int_equal(s.users.n, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse),
		cmocka_unit_test(test_clashes),
		cmocka_unit_test(test_counted),
		cmocka_unit_test(test_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
