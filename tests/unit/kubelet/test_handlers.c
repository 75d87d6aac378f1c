/* What probes and hooks ask over the network, of a server of the test's own on loopback, and what is said of failures.
 */
#include "../net/fake_http.h"
#include "unit.h"

#include "codec/json.h"
#include "kubelet/hooks.h"
#include "kubelet/kpod.h"

static struct arena A;

/* A port on which nobody listens: one that was free a moment ago. */
static int closed_port(void)
{
	struct fake_http *f = fake_http_start();
	int port = fake_http_port(f);

	fake_http_stop(f);
	return port;
}

/* How the handler ends, and why when it fails; more is behind host and port. */
static enum probe_result run(const char *how, int port, const char *more, struct sv *ret_why)
{
	struct kubelet k = { .files = true };
	struct kpod p = { .k = &k };
	const struct val *container, *handler;

	pthread_mutex_init(&p.lock, NULL);
	container =
	    json_decode(&A, arena_svf(&A, "{\"name\":\"c\",\"ports\":[{\"name\":\"web\",\"containerPort\":%d}]}", port),
			NULL, NULL);
	handler = json_decode(&A, arena_svf(&A, "{\"%s\":{\"host\":\"127.0.0.1\",%s}}", how, more), NULL, NULL);
	assert_non_null(container);
	assert_non_null(handler);
	return handler_run(&p, &A, container, SV("id"), handler, 30 * NS_PER_SEC, ret_why);
}

static void test_http_get(void **state)
{
	struct fake_http *f = fake_http_start();
	int open = fake_http_port(f), shut = closed_port(), before;
	struct sv why;

	(void)state;
	before = fake_http_accepted(f);
	assert_int_equal(run("httpGet", open, arena_printf(&A, "\"path\":\"/hello\",\"port\":%d", open), &why),
			 PROBE_SUCCESS);
	assert_int_equal(run("httpGet", open, "\"path\":\"/hello\",\"port\":\"web\"", &why), PROBE_SUCCESS);
	assert_int_equal(fake_http_accepted(f), before + 2); /* each a connection of its own */
	assert_int_equal(run("httpGet", open, "\"path\":\"/no/such\",\"port\":\"web\"", &why), PROBE_FAILURE);
	assert_sv(why, "HTTP probe failed with statuscode: 404");
	assert_int_equal(run("httpGet", open, "\"port\":\"other\"", &why), PROBE_FAILURE);
	assert_sv(why, "the port is not known");
	assert_int_equal(run("httpGet", shut, "\"path\":\"/x\",\"port\":\"web\"", &why), PROBE_FAILURE);
	assert_sv(why,
		  arena_printf(&A, "Get \"http://127.0.0.1:%d/x\": dial tcp 127.0.0.1:%d: connect: connection refused",
			       shut, shut));
	/* TLS where there is none */
	assert_int_equal(run("httpGet", open, "\"path\":\"/hello\",\"port\":\"web\",\"scheme\":\"HTTPS\"", &why),
			 PROBE_FAILURE);
	fake_http_stop(f);
	arena_release(&A);
}

static void test_tcp_socket(void **state)
{
	struct fake_http *f = fake_http_start();
	int open = fake_http_port(f), shut = closed_port();
	struct sv why;

	(void)state;
	assert_int_equal(run("tcpSocket", open, arena_printf(&A, "\"port\":%d", open), &why), PROBE_SUCCESS);
	assert_int_equal(run("tcpSocket", open, "\"port\":\"web\"", &why), PROBE_SUCCESS);
	assert_int_equal(run("tcpSocket", shut, "\"port\":\"web\"", &why), PROBE_FAILURE);
	assert_sv(why, arena_printf(&A, "dial tcp 127.0.0.1:%d: connect: connection refused", shut));
	fake_http_stop(f);
	arena_release(&A);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_http_get), cmocka_unit_test(test_tcp_socket) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
