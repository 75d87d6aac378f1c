/* The proxy's HTTP servers, asked by sockets while what they tell changes. */
#include "free_port.h"
#include "unit.h"

#include "ev/ev.h"
#include "proxy/health.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

static int dial(int port)
{
	struct sockaddr_in to = { .sin_family = AF_INET,
				  .sin_port = htons((uint16_t)port),
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0)
		return fd;
	close(fd);
	return -1;
}

/* The answer with its head; "" when nobody listens. */
static const char *ask(int port, const char *path)
{
	static char text[2048];
	int fd = dial(port);
	char head[128];
	size_t n = 0;
	ssize_t got;

	text[0] = '\0';
	if (fd < 0)
		return text;
	(void)snprintf(head, sizeof(head), "GET %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", path);
	assert_int_equal(write(fd, head, strlen(head)), strlen(head));
	while (n < sizeof(text) - 1 && (got = read(fd, text + n, sizeof(text) - 1 - n)) > 0)
		n += (size_t)got;
	text[n] = '\0';
	close(fd);
	return text;
}

static struct env *env;

static struct proxy_health *begin(int *ret_port)
{
	struct proxy_health_opts o = { .env = env, .required = true };
	struct err err = ERR_INIT;
	struct proxy_health *h;
	char address[32];

	*ret_port = free_port();
	(void)snprintf(address, sizeof(address), "127.0.0.1:%d", *ret_port);
	o.healthz_address = address;
	h = proxy_health_new(&o, &err);
	if (!h)
		fail_msg("%s", err_msg(&err));
	return h;
}

static void test_healthz(_unused_ void **state)
{
	struct err err = ERR_INIT;
	int port;
	struct proxy_health *h = begin(&port);
	char address[32];

	/* Not before there are rules. */
	assert_non_null(strstr(ask(port, "/healthz"), "HTTP/1.1 503"));
	proxy_health_synced(h, true, 5);
	assert_non_null(strstr(ask(port, "/healthz"), "HTTP/1.1 200"));
	assert_non_null(strstr(ask(port, "/healthz"), "\"nodeEligible\": true}"));
	/* A failure is no end of it, unless it lasts. */
	proxy_health_synced(h, false, 5);
	assert_non_null(strstr(ask(port, "/healthz"), "HTTP/1.1 200"));
	proxy_health_node(h, false);
	assert_non_null(strstr(ask(port, "/healthz"), "HTTP/1.1 503"));
	assert_non_null(strstr(ask(port, "/livez"), "HTTP/1.1 200"));
	assert_non_null(strstr(ask(port, "/metrics"), "HTTP/1.1 404"));
	/* Who must have the address is told when it is taken. */
	(void)snprintf(address, sizeof(address), "127.0.0.1:%d", port);
	assert_null(proxy_health_new(
	    &(struct proxy_health_opts){ .env = env, .healthz_address = address, .required = true }, &err));
	assert_non_null(strstr(err_msg(&err), "listening"));
	err_release(&err);
	proxy_health_free(h);
	assert_string_equal(ask(port, "/healthz"), "");
}

/* Upstream's names, and its buckets. */
static void test_metrics(_unused_ void **state)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	int port;
	struct proxy_health *h = begin(&port);

	proxy_health_synced(h, true, 3 * NS_PER_MS);
	proxy_health_synced(h, true, 60 * NS_PER_SEC);
	proxy_health_synced(h, false, 9 * NS_PER_SEC);
	proxy_health_programmed(h, 120 * NS_PER_MS);
	proxy_health_programmed(h, 61 * NS_PER_SEC);
	proxy_health_programmed(h, -5); /* clocks differ */
	proxy_health_metrics(h, &b);
#define SAYS(text) assert_non_null(strstr(buf_cstr(&b), "\n" text "\n"))
	SAYS("kubeproxy_sync_proxy_rules_nftables_sync_failures_total 1");
	SAYS("kubeproxy_sync_proxy_rules_duration_seconds_bucket{le=\"0.002\"} 0");
	SAYS("kubeproxy_sync_proxy_rules_duration_seconds_bucket{le=\"0.004\"} 1");
	SAYS("kubeproxy_sync_proxy_rules_duration_seconds_bucket{le=\"16.384\"} 1");
	SAYS("kubeproxy_sync_proxy_rules_duration_seconds_bucket{le=\"+Inf\"} 2");
	SAYS("kubeproxy_sync_proxy_rules_duration_seconds_sum 60.003000");
	SAYS("kubeproxy_network_programming_duration_seconds_bucket{le=\"0.25\"} 2");
	SAYS("kubeproxy_network_programming_duration_seconds_bucket{le=\"60\"} 2");
	SAYS("kubeproxy_network_programming_duration_seconds_bucket{le=\"65\"} 3");
	SAYS("kubeproxy_network_programming_duration_seconds_bucket{le=\"300\"} 3");
	SAYS("kubeproxy_network_programming_duration_seconds_count 3");
	proxy_health_free(h);
}

static void test_services(_unused_ void **state)
{
	int port, one = free_port(), two;
	struct proxy_health *h = begin(&port);

	proxy_health_synced(h, true, 5);
	proxy_health_service(h, SV("ns"), SV("web"), one, 0);
	assert_non_null(strstr(ask(one, "/"), "HTTP/1.1 503"));
	proxy_health_service(h, SV("ns"), SV("web"), one, 3);
	assert_non_null(strstr(ask(one, "/any/path"), "HTTP/1.1 200"));
	assert_non_null(strstr(ask(one, "/"), "x-load-balancing-endpoint-weight: 3\r\n"));
	/* Another Service on a port that is taken does no harm, and gets it when it is free. */
	proxy_health_service(h, SV("ns"), SV("late"), one, 7);
	assert_non_null(strstr(ask(one, "/"), "weight: 3\r\n"));
	two = free_port();
	proxy_health_service(h, SV("ns"), SV("web"), two, 3);
	proxy_health_retry(h);
	assert_non_null(strstr(ask(one, "/"), "weight: 7\r\n"));
	assert_non_null(strstr(ask(two, "/"), "weight: 3\r\n"));
	proxy_health_service(h, SV("ns"), SV("web"), 0, 0);
	assert_string_equal(ask(two, "/"), "");
	proxy_health_free(h);
}

static void *ask_often(void *ctx)
{
	for (int i = 0; i < 60; i++)
		(void)ask(*(int *)ctx, "/healthz");
	return NULL;
}

static void test_while_it_changes(_unused_ void **state)
{
	int port, one = free_port();
	struct proxy_health *h = begin(&port);
	pthread_t t;

	assert_int_equal(pthread_create(&t, NULL, ask_often, &port), 0);
	for (int i = 0; i < 200; i++) {
		proxy_health_synced(h, i % 3, 1);
		proxy_health_node(h, i % 2);
		proxy_health_service(h, SV("ns"), SV("web"), i % 20 ? one : 0, (size_t)i);
	}
	pthread_join(t, NULL);
	proxy_health_free(h);
}

static void *run_loop(void *ctx)
{
	ev_loop_run(ctx);
	return NULL;
}

/* On a thread that others use, too. */
static void test_on_a_loop_of_others(_unused_ void **state)
{
	struct ev_loop *loop = ev_loop_new(NULL);
	struct proxy_health *h;
	int one = free_port();
	pthread_t t;

	assert_int_equal(pthread_create(&t, NULL, run_loop, loop), 0);
	h = proxy_health_new(&(struct proxy_health_opts){ .env = env, .loop = loop }, NULL);
	proxy_health_synced(h, true, 5);
	proxy_health_service(h, SV("ns"), SV("web"), one, 1);
	assert_non_null(strstr(ask(one, "/"), "HTTP/1.1 200"));
	proxy_health_free(h);
	assert_string_equal(ask(one, "/"), "");
	ev_loop_stop(loop);
	pthread_join(t, NULL);
	ev_loop_free(loop);
}

static int setup(_unused_ void **state)
{
	env = env_real_new(2);
	return 0;
}

static int teardown(_unused_ void **state)
{
	env_real_free(env);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_healthz),
		cmocka_unit_test(test_metrics),
		cmocka_unit_test(test_services),
		cmocka_unit_test(test_while_it_changes),
		cmocka_unit_test(test_on_a_loop_of_others),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
