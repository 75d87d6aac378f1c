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
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static struct arena A;
static struct env *env;
static int64_t patience = 30 * NS_PER_SEC;

/* A port on which nobody listens: one that was free a moment ago. */
static int closed_port(void)
{
	struct fake_http *f = fake_http_start();
	int port = fake_http_port(f);

	fake_http_stop(f);
	return port;
}

static enum probe_result run_in(struct kubelet *k, const char *how, int port, const char *more, struct sv *ret_why)
{
	struct kpod p = { .k = k };
	const struct val *container, *handler;

	pthread_mutex_init(&p.lock, NULL);
	container =
	    json_decode(&A, arena_svf(&A, "{\"name\":\"c\",\"ports\":[{\"name\":\"web\",\"containerPort\":%d}]}", port),
			NULL, NULL);
	handler = json_decode(&A, arena_svf(&A, "{\"%s\":{\"host\":\"127.0.0.1\",%s}}", how, more), NULL, NULL);
	assert_non_null(container);
	assert_non_null(handler);
	return handler_run(&p, &A, container, SV("id"), handler, patience, ret_why);
}

/* How the handler ends, and why when it fails; more is behind host and port. */
static enum probe_result run(const char *how, int port, const char *more, struct sv *ret_why)
{
	struct kubelet k = { .files = true, .env = env, .stop_fd = -1 };

	pthread_mutex_init(&k.lock, NULL);
	return run_in(&k, how, port, more, ret_why);
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
	/* TLS where there is none: that server waits for more */
	patience = NS_PER_SEC / 10;
	assert_int_equal(run("httpGet", open, "\"path\":\"/hello\",\"port\":\"web\",\"scheme\":\"HTTPS\"", &why),
			 PROBE_FAILURE);
	patience = 30 * NS_PER_SEC;
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

/* Where nobody accepts: room for one, who is not there yet. */
static int busy_listener(int *ret_port)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	socklen_t len = sizeof(at);

	assert_int_equal(bind(listener, (const struct sockaddr *)&at, sizeof(at)), 0);
	assert_int_equal(listen(listener, 0), 0);
	assert_int_equal(getsockname(listener, (struct sockaddr *)&at, &len), 0);
	*ret_port = ntohs(at.sin_port);
	return listener;
}

/* More than there is room for. */
static void fill(int port, int *waiting, size_t n)
{
	const struct sockaddr_in at = { .sin_family = AF_INET,
					.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
					.sin_port = htons((uint16_t)port) };

	for (size_t i = 0; i < n; i++) {
		waiting[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		(void)connect(waiting[i], (const struct sockaddr *)&at, sizeof(at));
	}
}

static void *stop_soon(void *ctx)
{
	struct kubelet *k = ctx;

	nanosleep(&(struct timespec){ .tv_nsec = 20 * NS_PER_MS }, NULL);
	pthread_mutex_lock(&k->lock);
	k->stopping = true;
	pthread_mutex_unlock(&k->lock);
	assert_int_equal(eventfd_write(k->stop_fd, 1), 0);
	return NULL;
}

/* What is asked while the kubelet ends is given up, with nothing said of the container: it would last as long as a user
 * says. One server lets nobody in, another lets in and is silent. */
static void test_given_up(void **state)
{
	static const struct {
		const char *how, *more;
	} asked[] = { { "tcpSocket", "\"port\":\"web\"" },
		      { "httpGet", "\"path\":\"/\",\"port\":\"web\"" },
		      { "httpGet", "\"path\":\"/\",\"port\":\"web\",\"scheme\":\"HTTPS\"" },
		      { "grpc", NULL } };
	int waiting[8];

	(void)state;
	for (int full = 0; full < 2; full++) {
		for (size_t i = full ? 0 : 1; i < ARRAY_LEN(asked); i++) { /* tcpSocket is content with being let in */
			char node_ip[] = "127.0.0.1";
			struct kubelet k = {
				.files = true, .env = env, .stop_fd = eventfd(0, EFD_CLOEXEC), .node_ips = node_ip
			};
			int port, listener = busy_listener(&port);
			pthread_t thread;
			struct sv why;

			if (full)
				fill(port, waiting, ARRAY_LEN(waiting));
			pthread_mutex_init(&k.lock, NULL);
			assert_int_equal(pthread_create(&thread, NULL, stop_soon, &k), 0);
			assert_int_equal(run_in(&k, asked[i].how, port,
						asked[i].more ? asked[i].more : arena_printf(&A, "\"port\":%d", port),
						&why),
					 PROBE_UNKNOWN);
			pthread_join(thread, NULL);
			for (size_t j = 0; full && j < ARRAY_LEN(waiting); j++)
				close(waiting[j]);
			close(listener);
			close(k.stop_fd);
		}
	}
	arena_release(&A);
}

/* A signal that arrives while a connection is made is no failure. */
static void test_tcp_socket_interrupted(void **state)
{
	const struct itimerval often = { { .tv_usec = 20000 }, { .tv_usec = 20000 } }, never = { 0 };
	int port, listener = busy_listener(&port), waiting[8];
	enum probe_result how;
	pthread_t thread;
	struct sv why;

	(void)state;
	fill(port, waiting, ARRAY_LEN(waiting));
	(void)signal(SIGALRM, on_alarm);
	assert_int_equal(pthread_create(&thread, NULL, let_in, &listener), 0);
	assert_int_equal(setitimer(ITIMER_REAL, &often, NULL), 0);
	how = run("tcpSocket", port, "\"port\":\"web\"", &why);
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
					    cmocka_unit_test(test_tcp_socket_interrupted),
					    cmocka_unit_test(test_given_up) };
	int rc;

	env = env_real_new(1);
	rc = cmocka_run_group_tests(tests, NULL, NULL);
	env_real_free(env);
	return rc;
}
