/* The connections that an agent keeps to its servers: some at each, also when one of them dies and comes back, and none
 * at one that has left the list. Servers, their loop and the agent's are threads of their own. */
#include "unit.h"

#include "cli/tunnel.h"
#include "ev/ev.h"
#include "net/http.h"
#include "net/reverse.h"

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

#define NAME SV("node")
#define SPARE 2
#define GUARD_MS 60000

struct near {
	struct ev_loop *loop;
	pthread_t thread;
	struct http_server *http;
	struct reverse_hub *hub;
	int port;
	_Atomic int status, asked; /* 0: it takes connections */
};

struct rig {
	struct env *env;
	struct near near[2];
	struct servers *servers;
	struct tunnel *tunnel;
	struct arena a;
};

static void over(struct http_req *r, void *ctx)
{
	(void)ctx;
	http_req_unref(r);
}

static void handler(struct http_req *r, void *ctx)
{
	struct near *n = ctx;
	struct err err = ERR_INIT;

	n->asked++;
	if (n->status) {
		http_respond_text(r, n->status, "text/plain", SV("no"));
		return;
	}
	http_req_ref(r);
	if (reverse_park(n->hub, r, NAME, over, n, &err))
		return;
	http_respond_text(r, err_code(&err), "text/plain", sv_from(err_msg(&err)));
	http_req_unref(r);
	err_release(&err);
}

static void *run_loop(void *loop)
{
	ev_loop_run(loop);
	return NULL;
}

static void near_up(struct near *n)
{
	n->hub = reverse_hub_new();
	n->loop = ev_loop_new(NULL);
	n->http = http_server_start(&n->loop, 1,
				    &(struct http_server_opts){ .bind_address = "127.0.0.1",
								.port = n->port,
								.max_body = 1 << 16,
								.max_connections = 100,
								.handler = handler,
								.ctx = n },
				    NULL);
	assert_non_null(n->http);
	n->port = http_server_port(n->http);
	pthread_create(&n->thread, NULL, run_loop, n->loop);
}

static void near_down(struct near *n)
{
	if (!n->http)
		return;
	reverse_hub_close(n->hub);
	n->http = http_server_stop(n->http, NS_PER_SEC / 10);
	ev_loop_stop(n->loop);
	pthread_join(n->thread, NULL);
	ev_loop_free(n->loop);
	reverse_hub_free(n->hub);
}

static int setup(void **state)
{
	struct rig *r = xcalloc(1, sizeof(*r));

	r->env = env_real_new(1);
	for (int i = 0; i < 2; i++)
		near_up(&r->near[i]);
	r->servers = servers_new(
	    &(struct servers_opts){ .env = r->env, .url = arena_printf(&r->a, "http://127.0.0.1:%d", r->near[0].port) },
	    NULL);
	assert_non_null(r->servers);
	*state = r;
	return 0;
}

static int teardown(void **state)
{
	struct rig *r = *state;

	tunnel_stop(r->tunnel);
	for (int i = 0; i < 2; i++)
		near_down(&r->near[i]);
	servers_unref(r->servers);
	env_real_free(r->env);
	arena_release(&r->a);
	free(r);
	return 0;
}

static void start(struct rig *r)
{
	r->tunnel = tunnel_start(r->env, r->servers, "n1", 1, NULL);
	assert_non_null(r->tunnel);
}

static void learn(struct rig *r, int n)
{
	const char *hosts[] = { n > 1 ? arena_printf(&r->a, "127.0.0.1:%d", r->near[1].port) : NULL, NULL };

	assert_true(servers_learn(r->servers, hosts));
	tunnel_servers_changed(r->tunnel);
}

static void until_parked(struct near *n, int wanted)
{
	for (int ms = 0; reverse_parked(n->hub, NAME) != wanted && ms < GUARD_MS; ms++)
		poll(NULL, 0, 1);
	assert_int_equal(reverse_parked(n->hub, NAME), wanted);
}

static void test_each_server(void **state)
{
	struct rig *r = *state;

	learn(r, 2);
	start(r);
	for (int i = 0; i < 2; i++)
		until_parked(&r->near[i], SPARE);
	/* One dies: the other one keeps what it has, and the first gets some when it is back. */
	near_down(&r->near[0]);
	assert_int_equal(reverse_parked(r->near[1].hub, NAME), SPARE);
	near_up(&r->near[0]);
	until_parked(&r->near[0], SPARE);
	assert_int_equal(reverse_parked(r->near[1].hub, NAME), SPARE);
	/* One that is dialled is replaced. */
	close(reverse_dial(r->near[1].hub, NAME, NULL));
	until_parked(&r->near[1], SPARE);
}

/* Who says no is asked again, and does not count as dead: calls go on to it. */
static void test_refused_for_a_while(void **state)
{
	struct rig *r = *state;
	struct servers_at at;

	learn(r, 2);
	r->near[0].status = 503;
	start(r);
	until_parked(&r->near[1], SPARE);
	for (int ms = 0; r->near[0].asked < SPARE && ms < GUARD_MS; ms++)
		poll(NULL, 0, 1);
	servers_current(r->servers, &at);
	assert_int_equal(at.ep.port, r->near[0].port);
	servers_let_go(&at);
	r->near[0].status = 0;
	until_parked(&r->near[0], SPARE);
}

static void test_one_that_is_learnt_later(void **state)
{
	struct rig *r = *state;

	start(r);
	until_parked(&r->near[0], SPARE);
	assert_int_equal(reverse_parked(r->near[1].hub, NAME), 0);
	learn(r, 2);
	until_parked(&r->near[1], SPARE);
	learn(r, 1);
	until_parked(&r->near[1], 0);
	assert_int_equal(reverse_parked(r->near[0].hub, NAME), SPARE);
}

int main(void)
{
#define RIG_TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
		RIG_TEST(test_each_server),
		RIG_TEST(test_refused_for_a_while),
		RIG_TEST(test_one_that_is_learnt_later),
	};

	return cmocka_run_group_tests_name("cli/tunnel", tests, NULL, NULL);
}
