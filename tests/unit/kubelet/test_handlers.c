/* What probes and hooks ask over the network, of a server of the test's own on loopback, and what is said of failures.
 */
#include "../net/fake_http.h"
#include "unit.h"

#include "codec/json.h"
#include "ev/ev.h"
#include "kubelet/hooks.h"
#include "kubelet/kpod.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static struct arena A;
static struct env *env;

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
	struct kubelet k = { .files = true, .env = env };
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

/* --- a server that is too busy for a while --- */

static atomic_int signals;

static void on_alarm(int sig)
{
	(void)sig;
	signals++;
}

/* Lets everybody in once the one who waits has been interrupted some times. */
static void *let_in(void *listener)
{
	sigset_t alarm;

	sigemptyset(&alarm);
	sigaddset(&alarm, SIGALRM);
	pthread_sigmask(SIG_BLOCK, &alarm, NULL);
	while (signals < 5)
		nanosleep(&(struct timespec){ .tv_nsec = NS_PER_MS }, NULL);
	for (int fd; (fd = accept(*(int *)listener, NULL, NULL)) >= 0;)
		close(fd);
	return NULL;
}

/* A signal that arrives while a connection is made is no failure. */
static void test_tcp_socket_interrupted(void **state)
{
	const struct itimerval often = { { .tv_usec = 20000 }, { .tv_usec = 20000 } }, never = { 0 };
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), waiting[8];
	socklen_t len = sizeof(at);
	enum probe_result how;
	pthread_t thread;
	struct sv why;

	(void)state;
	assert_int_equal(bind(listener, (const struct sockaddr *)&at, sizeof(at)), 0);
	assert_int_equal(listen(listener, 0), 0);
	assert_int_equal(getsockname(listener, (struct sockaddr *)&at, &len), 0);
	for (size_t i = 0; i < ARRAY_LEN(waiting); i++) { /* more than there is room for */
		waiting[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		(void)connect(waiting[i], (const struct sockaddr *)&at, sizeof(at));
	}
	(void)signal(SIGALRM, on_alarm);
	assert_int_equal(pthread_create(&thread, NULL, let_in, &listener), 0);
	assert_int_equal(setitimer(ITIMER_REAL, &often, NULL), 0);
	how = run("tcpSocket", ntohs(at.sin_port), "\"port\":\"web\"", &why);
	assert_int_equal(setitimer(ITIMER_REAL, &never, NULL), 0);
	assert_int_equal(how, PROBE_SUCCESS);
	signals = 5;
	shutdown(listener, SHUT_RDWR);
	pthread_join(thread, NULL);
	for (size_t i = 0; i < ARRAY_LEN(waiting); i++)
		close(waiting[i]);
	close(listener);
	arena_release(&A);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_http_get), cmocka_unit_test(test_tcp_socket),
					    cmocka_unit_test(test_tcp_socket_interrupted) };
	int rc;

	env = env_real_new(1);
	rc = cmocka_run_group_tests(tests, NULL, NULL);
	env_real_free(env);
	return rc;
}
