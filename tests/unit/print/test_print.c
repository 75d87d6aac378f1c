/* Rows of `kubectl get`: every kind's printer fills the columns that have no path, whatever the object lacks. */
#include "unit.h"

#include "codec/json.h"
#include "print/print.h"
#include "resources.h"

#define NOW_NS (1767225600 * NS_PER_SEC) /* 2026-01-01T00:00:00Z */

static size_t without_path(const struct resource *r)
{
	size_t n = 0;

	for (size_t i = 0; i < r->n_columns; i++)
		n += r->columns[i].path == NULL;
	return n;
}

/* An empty object is stored by nobody, but a server of another version may leave out anything. */
static void test_printers_fill_their_columns(void **state)
{
	(void)state;
	for (size_t i = 0; i < resource_count; i++) {
		_cleanup_(arena_release) struct arena a = ARENA_INIT;
		const struct resource *r = &resource_all[i];
		struct val *cells = val_new_list(&a);
		print_fn *print = printer_for(r);

		if (print)
			print(&a, val_new_map(&a), NOW_NS, cells);
		if (val_len(cells) != without_path(r))
			print_error("%s: %zu cells for %zu columns\n", r->plural, val_len(cells), without_path(r));
		assert_int_equal(val_len(cells), without_path(r));
	}
}

static const struct val *cells_of(struct arena *a, const struct resource *r, const char *json)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	const struct val *o = json_decode(a, sv_from(json), NULL, NULL), *cells;

	assert_non_null(o);
	print_cells(&b, r, o, NOW_NS);
	cells = json_decode(a, arena_sv(a, buf_sv(&b)), NULL, NULL);
	assert_non_null(cells);
	return cells;
}

static void test_rows(void **state)
{
	static const char pod[] =
	    "{\"metadata\":{\"name\":\"web\",\"creationTimestamp\":\"2025-12-31T23:00:00Z\"},"
	    "\"spec\":{\"nodeName\":\"n1\",\"containers\":[{\"name\":\"a\"},{\"name\":\"b\"}]},"
	    "\"status\":{\"phase\":\"Running\",\"podIPs\":[{\"ip\":\"10.42.0.7\"}],\"containerStatuses\":["
	    "{\"name\":\"a\",\"ready\":true,\"restartCount\":2,\"state\":{\"running\":{}}},"
	    "{\"name\":\"b\",\"ready\":false,\"restartCount\":0,\"state\":{\"waiting\":{"
	    "\"reason\":\"CrashLoopBackOff\"}}}]}}";
	static const char *const want[] = { "web", "1/2", "CrashLoopBackOff", "2", "60m", "10.42.0.7", "n1" };
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	const struct val *cells = cells_of(&a, &resource_all[R_core_pods], pod);

	(void)state;
	assert_int_equal(val_len(cells), resource_all[R_core_pods].n_columns);
	for (size_t i = 0; i < ARRAY_LEN(want); i++)
		assert_string_equal(arena_cstr(&a, val_str(val_at(cells, i))), want[i]);
}

#define HPA_OF(metrics, is)                                                                                \
	"{\"apiVersion\":\"autoscaling/v2\",\"metadata\":{\"name\":\"h\"},\"spec\":{\"metrics\":[" metrics \
	"]},\"status\":{"                                                                                  \
	"\"currentMetrics\":[" is "]}}"
#define OF(type, member, how) "{\"type\":\"" type "\",\"" member "\":{\"name\":\"cpu\"," how "}}"

static void test_autoscaler_targets(void **state)
{
	static const struct {
		const char *object, *targets;
	} rows[] = {
		{ HPA_OF("", ""), "<none>" },
		{ HPA_OF(OF("Resource", "resource", "\"target\":{\"averageUtilization\":80}"), ""),
		  "cpu: <unknown>/80%" },
		{ HPA_OF(OF("Resource", "resource", "\"target\":{}"),
			 OF("Resource", "resource", "\"current\":{\"averageUtilization\":9}")),
		  "cpu: 9%/<auto>" },
		{ HPA_OF(OF("ContainerResource", "containerResource", "\"target\":{\"averageValue\":\"1\"}"),
			 OF("ContainerResource", "containerResource", "\"current\":{\"averageValue\":\"20m\"}")),
		  "cpu: 20m/1" },
		{ HPA_OF(OF("External", "external", "\"target\":{\"averageValue\":\"1\"}"),
			 OF("External", "external", "\"current\":{\"value\":\"2\"}")),
		  "<unknown>/1 (avg)" },
		{ HPA_OF(OF("External", "external", "\"target\":{\"value\":\"1\"}"),
			 OF("External", "external", "\"current\":{\"value\":\"2\"}")),
		  "2/1" },
		{ HPA_OF(OF("Object", "object", "\"target\":{\"averageValue\":\"1\"}") "," OF(
			     "Pods", "pods", "\"target\":{\"averageValue\":\"4\"}") "," OF("X", "x", "\"y\":1"),
			 OF("Object", "object", "\"current\":{\"averageValue\":\"2\"}") "," OF(
			     "Pods", "pods", "\"current\":{\"averageValue\":\"3\"}")),
		  "2/1 (avg), 3/4 + 1 more..." },
		{ HPA_OF(OF("X", "x", "\"y\":1"), ""), "<unknown type>" },
		{ HPA_OF(OF("Pods", "pods", "\"target\":{\"averageValue\":\"4\"}"),
			 OF("Pods", "pods", "\"current\":{}")),
		  "<nil>/4" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		_cleanup_(arena_release) struct arena a = ARENA_INIT;
		const struct val *cells =
		    cells_of(&a, &resource_all[R_autoscaling_horizontalpodautoscalers], rows[i].object);

		assert_string_equal(arena_cstr(&a, val_str(val_at(cells, 2))), rows[i].targets);
	}
}

/* A kind that is not built in has no printer, even when it took the place of one that has. */
static void test_other_kinds(void **state)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	static const struct column column = { .name = "Spec", .type = "string", .format = "", .doc = "" };
	struct resource r = resource_all[R_core_pods];
	const struct val *cells;

	(void)state;
	r.columns = &column;
	r.n_columns = 1;
	assert_null(printer_for(&r));
	cells = cells_of(&a, &r, "{\"metadata\":{\"name\":\"x\"}}");
	assert_int_equal(val_len(cells), 1);
	assert_true(val_is(val_at(cells, 0), "<unknown>"));

	r.n_columns = 0;
	cells = cells_of(&a, &r, "{\"metadata\":{\"name\":\"x\",\"creationTimestamp\":\"2025-12-31T23:00:00Z\"}}");
	assert_int_equal(val_len(cells), 2);
	assert_true(val_is(val_at(cells, 1), "2025-12-31T23:00:00Z"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_printers_fill_their_columns),
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_autoscaler_targets),
		cmocka_unit_test(test_other_kinds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
