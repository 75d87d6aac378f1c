/* The API over sockets, on threads: what is written anew for one reader leaves the loop alone. */
#include "own_writes.h"
#include "unit.h"

#include "apiserver/admission/admission.h"
#include "apiserver/apiserver.h"
#include "ev/ev.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define LARGE ((size_t)200 * 1024) /* more than goes without gzip */

static struct {
	struct env *env;
	struct store *store;
	struct apiserver *server;
	struct ev_loop *loop;
	struct http_server *http;
	pthread_t thread;
	/* Writes wait for it. */
	pthread_mutex_t lock;
	pthread_cond_t cond;
	bool open;
	int inside;
} world = { .lock = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER };

static int let_in(struct api_req *q, _unused_ const struct authz_attrs *at, _unused_ struct sv *ret_reason,
		  struct err *err, void *ctx)
{
	(void)q;
	(void)err;
	(void)ctx;
	return 0;
}

static int hold(const struct admission *a, struct err *err, void *ctx)
{
	(void)a;
	(void)err;
	(void)ctx;
	pthread_mutex_lock(&world.lock);
	world.inside++;
	pthread_cond_broadcast(&world.cond);
	while (!world.open)
		pthread_cond_wait(&world.cond, &world.lock);
	pthread_mutex_unlock(&world.lock);
	return 0;
}

static const struct req_plugins plugins = { .authorize = let_in, .mutate = hold };

static void gate_open(bool open)
{
	pthread_mutex_lock(&world.lock);
	world.open = open;
	world.inside = 0;
	pthread_cond_broadcast(&world.cond);
	pthread_mutex_unlock(&world.lock);
}

static void wait_inside(int n)
{
	pthread_mutex_lock(&world.lock);
	while (world.inside < n)
		pthread_cond_wait(&world.cond, &world.lock);
	pthread_mutex_unlock(&world.lock);
}

static void *run_loop(void *loop)
{
	ev_loop_run(loop);
	return NULL;
}

static int setup(void **state)
{
	static const char *const groups[] = { "system:masters", NULL };
	struct client *reader;

	(void)state;
	world.open = true;
	world.env = env_real_new(0);
	world.store = store_mem_new(world.env);
	world.server = apiserver_new(
	    &(struct apiserver_opts){
		.env = world.env, .store = world.store, .insecure_in_memory = true, .anonymous_auth = true },
	    NULL);
	assert_non_null(world.server);
	reader = apiserver_client(world.server, "unit", "unit", groups);
	wait_for_own_writes(world.server, reader);
	client_free(reader);
	req_set_plugins(world.server, &plugins);
	world.loop = ev_loop_new(NULL);
	world.http = http_server_start(&world.loop, 1,
				       &(struct http_server_opts){ .bind_address = "127.0.0.1",
								   .max_body = 1 << 20,
								   .max_connections = 64,
								   .handler = apiserver_http,
								   .streams = apiserver_http_streams,
								   .too_large = apiserver_http_too_large,
								   .ctx = world.server },
				       NULL);
	assert_non_null(world.http);
	assert_int_equal(pthread_create(&world.thread, NULL, run_loop, world.loop), 0);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	gate_open(true);
	apiserver_shutdown(world.server);
	http_server_stop(world.http, NS_PER_SEC);
	apiserver_rest(world.server);
	ev_loop_stop(world.loop);
	pthread_join(world.thread, NULL);
	ev_loop_free(world.loop);
	apiserver_free(world.server);
	store_close(world.store);
	env_real_free(world.env);
	return 0;
}

static int send_request(const char *method, const char *path, const char *header, struct sv body)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons((uint16_t)http_server_port(world.http)) };
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
	buf_printf(&b, "%s %s HTTP/1.1\r\nHost: x\r\n%s", method, path, header);
	if (body.n)
		buf_printf(&b, "Content-Type: application/json\r\nContent-Length: %zu\r\n", body.n);
	buf_adds(&b, "\r\n");
	buf_addsv(&b, body);
	for (size_t at = 0; at < b.n;) {
		ssize_t n = write(fd, b.p + at, b.n - at);

		assert_true(n > 0);
		at += (size_t)n;
	}
	return fd;
}

static int code_of(int fd)
{
	char text[16] = "";
	size_t n = 0;

	while (n < 12) {
		ssize_t got = read(fd, text + n, 12 - n);

		assert_true(got > 0);
		n += (size_t)got;
	}
	(void)close(fd);
	return atoi(text + 9);
}

static struct sv document(struct buf *b, const char *name, size_t bytes)
{
	buf_printf(b, "{\"metadata\":{\"name\":\"%s\"},\"data\":{\"k\":\"", name);
	for (size_t i = 0; i < bytes; i++)
		buf_addc(b, 'x');
	buf_adds(b, "\"}}");
	return buf_sv(b);
}

/* All runners of a user are busy: what would be written anew waits for one, what is there as it is does not. */
static void test_large_reads(void **state)
{
	static const char all[] = "/api/v1/namespaces/default/configmaps";
	static const struct {
		const char *path, *header;
	} heavy[] = {
		{ "/api/v1/namespaces/default/configmaps/large", "Accept: application/yaml\r\n" },
		{ "/api/v1/namespaces/default/configmaps/large?pretty=true", "" },
		{ "/api/v1/namespaces/default/configmaps/large", "Accept-Encoding: gzip\r\n" },
	};
	_cleanup_(buf_release) struct buf large = BUF_INIT, small = BUF_INIT;
	int writes[RUN_USER_RUNNERS], reads[ARRAY_LEN(heavy) + 1];
	_cleanup_(buf_release) struct buf selecting = BUF_INIT;

	(void)state;
	assert_int_equal(code_of(send_request("POST", all, "", document(&large, "large", LARGE))), 201);
	assert_int_equal(code_of(send_request("POST", all, "", document(&small, "small", 1))), 201);
	gate_open(false);
	for (size_t i = 0; i < ARRAY_LEN(writes); i++) {
		_cleanup_(buf_release) struct buf b = BUF_INIT;
		char name[16];

		(void)snprintf(name, sizeof(name), "w-%zu", i);
		writes[i] = send_request("POST", all, "", document(&b, name, 1));
	}
	wait_inside(RUN_USER_RUNNERS);
	for (size_t i = 0; i < ARRAY_LEN(heavy); i++)
		reads[i] = send_request("GET", heavy[i].path, heavy[i].header, SV_NULL);
	buf_printf(&selecting, "%s?labelSelector=x", all);
	for (int i = 0; i < 300; i++)
		buf_printf(&selecting, ",!k%d", i);
	reads[ARRAY_LEN(heavy)] = send_request("GET", buf_cstr(&selecting), "", SV_NULL);
	assert_int_equal(
	    code_of(send_request("GET", "/api/v1/namespaces/default/configmaps?labelSelector=x", "", SV_NULL)), 200);
	assert_int_equal(code_of(send_request("GET", heavy[0].path, "", SV_NULL)), 200);
	assert_int_equal(code_of(send_request("GET", "/api/v1/namespaces/default/configmaps/small",
					      "Accept: application/yaml\r\n", SV_NULL)),
			 200);
	for (size_t i = 0; i < ARRAY_LEN(reads); i++) {
		struct pollfd p = { .fd = reads[i], .events = POLLIN };

		assert_int_equal(poll(&p, 1, 0), 0);
	}
	gate_open(true);
	for (size_t i = 0; i < ARRAY_LEN(reads); i++)
		assert_int_equal(code_of(reads[i]), 200);
	for (size_t i = 0; i < ARRAY_LEN(writes); i++)
		assert_int_equal(code_of(writes[i]), 201);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test_setup_teardown(test_large_reads, setup, teardown) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
