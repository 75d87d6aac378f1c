/* Requests that wait, on real threads: resumed from others, late, twice, while their client goes, their time is up or
 * the server ends. Each is answered once, and what was answered with success is there. */
#include "own_writes.h"
#include "unit.h"

#include "apiserver/admission/admission.h"
#include "apiserver/inbox.h"
#include "ev/ev.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define REQUESTS 1500
#define RESUMERS 3

/* How a request's waits end, by its number. */
enum how { RESUMED, AT_ONCE, TWICE, NEVER, LEAVES, HOWS };

struct world;

struct request {
	struct api_req q, control; /* control: for what the transport has to say */
	struct arena arena;
	struct world *w;
	int id, code;
	int answers; /* on the loop's thread */
	atomic_int cancelled, resumed;
};

/* A ticket on its way to who resumes it. */
struct errand {
	struct list link;
	struct req_ticket *ticket, *again;
};

struct world {
	struct env *env;
	struct store *store;
	struct apiserver *server;
	struct inbox loop; /* its thread is the requests' own */
	struct request *all;
	int left; /* on the loop's thread */
	pthread_mutex_t lock;
	pthread_cond_t cond;
	struct list errands, kept; /* kept: to be resumed when all is over */
	bool over;
	bool hold; /* all wait, and nobody resumes */
};

static struct world world;

/* --- the sink --- */

static void answered(struct api_req *q, int code)
{
	struct request *r = q->user_data;

	api_req_answered(q, code);
	r->code = code;
	r->answers++;
	r->w->left--;
}

static void to_loop(struct api_req *q, req_fn *fn, void *ctx)
{
	inbox_post(&world.loop, q, fn, ctx);
}

/* As a transport: answers are taken on the loop's thread. */
static void code_hop(struct api_req *q, void *ctx)
{
	answered(q, (int)(intptr_t)ctx);
}

static void sink_object(struct api_req *q, int code, struct obj *o, const struct val *doc)
{
	(void)o;
	(void)doc;
	to_loop(q, code_hop, (void *)(intptr_t)code);
}

static void sink_failure(struct api_req *q, const struct err *err)
{
	to_loop(q, code_hop, (void *)(intptr_t)err_code(err));
}

static const struct api_sink sink = {
	.object = sink_object, .failure = sink_failure, .post = to_loop, .on_loop = true
};

/* --- who is waited for --- */

static void cancelled(void *ctx)
{
	struct request *r = ctx;

	atomic_fetch_add(&r->cancelled, 1);
}

static void left(struct api_req *control, void *ctx)
{
	struct request *r = ctx;

	(void)control;
	if (!r->answers)
		req_client_gone(&r->q);
}

static void errand_send(struct req_ticket *t, struct list *to, bool twice)
{
	struct errand *e = xcalloc(1, sizeof(*e));

	e->ticket = t;
	e->again = twice ? req_ticket_ref(t) : NULL;
	pthread_mutex_lock(&world.lock);
	list_add_tail(to, &e->link);
	pthread_cond_signal(&world.cond);
	pthread_mutex_unlock(&world.lock);
}

static int ask(struct api_req *q)
{
	struct request *r = q->user_data;
	struct req_ticket *t;
	void *result;

	if (req_result(q, &result))
		return result == &world ? 0 : -1;
	t = req_suspend(q, "another thread", cancelled, r);
	if (world.hold) {
		errand_send(t, &world.kept, false);
		return REQ_LATER;
	}
	switch ((enum how)(r->id % HOWS)) {
	case RESUMED:
		errand_send(t, &world.errands, false);
		break;
	case AT_ONCE:
		assert_true(req_resume(t, &world, NULL));
		break;
	case TWICE:
		errand_send(t, &world.errands, true);
		break;
	case NEVER:
		errand_send(t, &world.kept, false);
		break;
	default:
		/* Its client leaves about when it is resumed. */
		if (!atomic_fetch_add(&r->resumed, 1))
			inbox_post(&world.loop, &r->control, left, r);
		errand_send(t, &world.errands, false);
		break;
	}
	return REQ_LATER;
}

static int mutate(const struct admission *a, struct err *err, void *ctx)
{
	(void)err;
	(void)ctx;
	return ask(a->q);
}

static int commit(struct api_req *q, struct err *err, void *ctx)
{
	(void)err;
	(void)ctx;
	return ask(q);
}

static const struct req_plugins plugins = { .mutate = mutate, .commit = commit };

static void *resumer(void *ctx)
{
	(void)ctx;
	pthread_mutex_lock(&world.lock);
	for (;;) {
		struct errand *e;

		if (list_empty(&world.errands)) {
			if (world.over)
				break;
			pthread_cond_wait(&world.cond, &world.lock);
			continue;
		}
		e = LIST_ENTRY(world.errands.next, struct errand, link);
		list_del(&e->link);
		pthread_mutex_unlock(&world.lock);
		(void)req_resume(e->ticket, &world, NULL);
		if (e->again)
			assert_false(req_resume(e->again, &world, NULL));
		free(e);
		pthread_mutex_lock(&world.lock);
	}
	pthread_mutex_unlock(&world.lock);
	return NULL;
}

static void resume_kept(void)
{
	while (!list_empty(&world.kept)) {
		struct errand *e = LIST_ENTRY(world.kept.next, struct errand, link);

		list_del(&e->link);
		assert_false(req_resume(e->ticket, &world, NULL));
		free(e);
	}
}

/* --- --- */

static void start_on(struct request *r, int id, const char *user, const char *timeout, const struct api_sink *to)
{
	static struct sv masters = { "system:masters", sizeof("system:masters") - 1 };

	r->w = &world;
	r->id = id;
	r->q = (struct api_req){
		.server = world.server,
		.arena = &r->arena,
		.sink = to,
		.method = SV("POST"),
		.path = SV("/api/v1/namespaces/default/configmaps"),
		.content_type = SV("application/json"),
		.user_agent = SV("unit"),
		.user_data = r,
	};
	r->q.body = arena_svf(&r->arena, "{\"metadata\":{\"name\":\"m-%d\"},\"data\":{\"a\":\"b\"}}", id);
	r->q.user.name = user ? sv_from(user) : arena_svf(&r->arena, "user-%d", id % 9);
	r->q.user.groups = &masters;
	r->q.user.n_groups = 1;
	r->q.params = ARENA_NEW(&r->arena, struct api_param);
	r->q.params[0] = (struct api_param){ SV("timeout"), sv_from(timeout) };
	r->q.n_params = 1;
	world.left++;
	api_serve(&r->q);
}

static void start(struct request *r, int id, const char *user, const char *timeout)
{
	start_on(r, id, user, timeout, &sink);
}

static bool exists(struct client *c, int id)
{
	const struct resource *cm = resource_find(SV(""), SV("v1"), SV("configmaps"));
	char name[32];
	struct obj *o = NULL;

	(void)snprintf(name, sizeof(name), "m-%d", id);
	if (client_get(c, cm, SV("default"), sv_from(name), &o, NULL) < 0)
		return false;
	obj_unref(o);
	return true;
}

static int setup(void **state)
{
	static const char *const groups[] = { "system:masters", NULL };
	struct err err = ERR_INIT;

	memset(&world, 0, sizeof(world));
	world.env = env_real_new(0);
	world.store = store_mem_new(world.env);
	world.server = apiserver_new(
	    &(struct apiserver_opts){
		.env = world.env, .store = world.store, .insecure_in_memory = true, .anonymous_auth = true },
	    &err);
	assert_non_null(world.server);
	*state = apiserver_client(world.server, "unit", "unit", groups);
	wait_for_own_writes(world.server, *state);
	req_set_plugins(world.server, &plugins);
	inbox_init(&world.loop);
	pthread_mutex_init(&world.lock, NULL);
	pthread_cond_init(&world.cond, NULL);
	list_init(&world.errands);
	list_init(&world.kept);
	world.all = xcalloc(REQUESTS, sizeof(*world.all));
	return 0;
}

static int teardown(void **state)
{
	client_free(*state);
	apiserver_free(world.server);
	store_close(world.store);
	env_real_free(world.env);
	for (int i = 0; i < REQUESTS; i++)
		arena_release(&world.all[i].arena);
	free(world.all);
	inbox_release(&world.loop);
	pthread_mutex_destroy(&world.lock);
	pthread_cond_destroy(&world.cond);
	return 0;
}

static void test_storm(void **state)
{
	struct client *c = *state;
	pthread_t t[RESUMERS];
	int there = 0, late = 0;

	for (int i = 0; i < RESUMERS; i++)
		assert_int_equal(pthread_create(&t[i], NULL, resumer, NULL), 0);
	for (int i = 0; i < REQUESTS; i++)
		start(&world.all[i], i, NULL, i % HOWS == NEVER || i % 11 == 0 ? "20ms" : "0s");
	while (world.left)
		inbox_run(&world.loop);
	pthread_mutex_lock(&world.lock);
	world.over = true;
	pthread_cond_broadcast(&world.cond);
	pthread_mutex_unlock(&world.lock);
	for (int i = 0; i < RESUMERS; i++)
		pthread_join(t[i], NULL);
	resume_kept();
	assert_int_equal(req_waits_count(world.server), 0);
	for (int i = 0; i < REQUESTS; i++) {
		struct request *r = &world.all[i];

		assert_int_equal(r->answers, 1);
		assert_true(r->code == 201 || r->code == 504);
		/* Late before it waited, or while it did. */
		assert_true(atomic_load(&r->cancelled) <= (r->code == 504));
		/* Whose time was up just in the store does not know. */
		if (r->code == 201 || atomic_load(&r->cancelled))
			assert_int_equal(exists(c, i), r->code == 201);
		there += r->code == 201;
		late += r->code == 504;
		if (i % HOWS == NEVER)
			assert_int_equal(r->code, 504);
	}
	assert_true(there > 0 && late > 0);
}

static void test_shutdown(void **state)
{
	(void)state;
	world.hold = true;
	for (int i = 0; i < REQUESTS; i++)
		start(&world.all[i], i, NULL, "0s");
	/* Some wait, some have not come so far. */
	apiserver_shutdown(world.server);
	while (world.left)
		inbox_run(&world.loop);
	for (int i = 0; i < REQUESTS; i++) {
		assert_int_equal(world.all[i].answers, 1);
		assert_int_equal(world.all[i].code, 503);
	}
	resume_kept();
	assert_int_equal(req_waits_count(world.server), 0);
}

/* --- a user whose requests are slow without waiting --- */

static struct {
	pthread_mutex_t lock;
	pthread_cond_t cond;
	bool open;
} gate = { PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, false };

static int hang(const struct admission *a, struct err *err, void *ctx)
{
	(void)err;
	(void)ctx;
	if (!sv_is(a->q->user.name, "slow") && !sv_starts(a->q->user.name, SV("system:serviceaccount:")))
		return 0;
	pthread_mutex_lock(&gate.lock);
	while (!gate.open)
		pthread_cond_wait(&gate.cond, &gate.lock);
	pthread_mutex_unlock(&gate.lock);
	return 0;
}

/* accounts: each request is another one's, all of one namespace. */
static void slow_beside_quick(bool accounts)
{
	static char names[1000][48];
	static const struct req_plugins slow = { .mutate = hang };

	gate.open = false;
	req_set_plugins(world.server, &slow);
	for (int i = 0; i < 1000; i++) {
		if (accounts)
			(void)snprintf(names[i], sizeof(names[i]), "system:serviceaccount:ns:%d", i);
		else
			memcpy(names[i], "slow", sizeof("slow"));
		start(&world.all[i], i, names[i], "0s");
	}
	for (int i = 1000; i < 1050; i++)
		start(&world.all[i], i, "quick", "0s");
	while (world.left > 1000)
		inbox_run(&world.loop);
	for (int i = 0; i < 1050; i++)
		assert_int_equal(world.all[i].answers, i >= 1000);
	pthread_mutex_lock(&gate.lock);
	gate.open = true;
	pthread_cond_broadcast(&gate.cond);
	pthread_mutex_unlock(&gate.lock);
	while (world.left)
		inbox_run(&world.loop);
	for (int i = 0; i < 1050; i++)
		assert_int_equal(world.all[i].code, 201);
}

static void test_slow_user(void **state)
{
	(void)state;
	slow_beside_quick(false);
}

static void test_slow_accounts(void **state)
{
	(void)state;
	slow_beside_quick(true);
}

/* --- over a socket --- */

static struct {
	pthread_mutex_t lock;
	pthread_cond_t cond;
	struct req_ticket *ticket;
	int cancelled;
	bool waits;
} peer = { .lock = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER };

static int let_in(struct api_req *q, const struct authz_attrs *at, struct sv *reason, struct err *err, void *ctx)
{
	(void)at;
	(void)reason;
	(void)q;
	(void)err;
	(void)ctx;
	return 0;
}

static void peer_cancelled(void *ctx)
{
	(void)ctx;
	pthread_mutex_lock(&peer.lock);
	peer.cancelled++;
	pthread_cond_broadcast(&peer.cond);
	pthread_mutex_unlock(&peer.lock);
}

static int ask_peer(struct api_req *q, struct err *err, void *ctx)
{
	void *result;

	(void)err;
	(void)ctx;
	pthread_mutex_lock(&peer.lock);
	if (!peer.waits || req_result(q, &result)) {
		pthread_mutex_unlock(&peer.lock);
		return 0;
	}
	peer.ticket = req_suspend(q, "a peer", peer_cancelled, NULL);
	pthread_cond_broadcast(&peer.cond);
	pthread_mutex_unlock(&peer.lock);
	return REQ_LATER;
}

static struct req_ticket *peer_ticket(void)
{
	struct req_ticket *t;

	pthread_mutex_lock(&peer.lock);
	while (!peer.ticket)
		pthread_cond_wait(&peer.cond, &peer.lock);
	t = peer.ticket;
	peer.ticket = NULL;
	pthread_mutex_unlock(&peer.lock);
	return t;
}

static int dial(int port)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
	return fd;
}

static int post(int port, const char *name)
{
	int fd = dial(port);
	char body[64], text[256];
	int n = snprintf(body, sizeof(body), "{\"metadata\":{\"name\":\"%s\"}}", name);

	n = snprintf(
	    text, sizeof(text),
	    "POST /api/v1/namespaces/default/configmaps HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
	    "Content-Length: %d\r\n\r\n%s",
	    n, body);
	assert_int_equal(write(fd, text, (size_t)n), n);
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
	return atoi(text + 9);
}

static void *run_loop(void *loop)
{
	ev_loop_run(loop);
	return NULL;
}

static void test_socket(void **state)
{
	static const struct req_plugins asks = { .authorize = let_in, .commit = ask_peer };
	struct ev_loop *loop = ev_loop_new(NULL);
	struct err err = ERR_INIT;
	struct req_ticket *t;
	struct http_server *http;
	pthread_t thread;
	int fd, port;

	req_set_plugins(world.server, &asks);
	http = http_server_start(&loop, 1,
				 &(struct http_server_opts){ .bind_address = "127.0.0.1",
							     .max_body = 1 << 20,
							     .max_connections = 16,
							     .handler = apiserver_http,
							     .too_large = apiserver_http_too_large,
							     .ctx = world.server },
				 &err);
	assert_non_null(http);
	port = http_server_port(http);
	assert_int_equal(pthread_create(&thread, NULL, run_loop, loop), 0);
	peer.waits = true;
	peer.cancelled = 0;
	/* Resumed: answered. */
	fd = post(port, "m-1");
	assert_true(req_resume(peer_ticket(), &peer, NULL));
	assert_int_equal(code_of(fd), 201);
	(void)close(fd);
	/* Its client leaves: the wait is cancelled, and others are served. */
	fd = post(port, "m-2");
	t = peer_ticket();
	(void)close(fd);
	pthread_mutex_lock(&peer.lock);
	while (!peer.cancelled)
		pthread_cond_wait(&peer.cond, &peer.lock);
	peer.waits = false;
	pthread_mutex_unlock(&peer.lock);
	assert_false(req_resume(t, &peer, NULL));
	fd = post(port, "m-3");
	assert_int_equal(code_of(fd), 201);
	(void)close(fd);
	assert_true(exists(*state, 1));
	assert_false(exists(*state, 2));
	assert_true(exists(*state, 3));
	/* The server ends while one waits. */
	pthread_mutex_lock(&peer.lock);
	peer.waits = true;
	pthread_mutex_unlock(&peer.lock);
	fd = post(port, "m-4");
	t = peer_ticket();
	apiserver_shutdown(world.server);
	assert_int_equal(code_of(fd), 503);
	assert_false(req_resume(t, &peer, NULL));
	(void)close(fd);
	http_server_stop(http, 30 * NS_PER_SEC);
	ev_loop_stop(loop);
	pthread_join(thread, NULL);
	ev_loop_free(loop);
}

/* --- the end --- */

static int hold(const struct admission *a, struct err *err, void *ctx)
{
	atomic_int *inside = ctx;

	(void)a;
	(void)err;
	pthread_mutex_lock(&gate.lock);
	atomic_fetch_add(inside, 1);
	pthread_cond_broadcast(&gate.cond);
	while (!gate.open)
		pthread_cond_wait(&gate.cond, &gate.lock);
	pthread_mutex_unlock(&gate.lock);
	/* Whoever does not wait is far ahead by then; nothing depends on how long it is. */
	nanosleep(&(struct timespec){ .tv_nsec = 50 * NS_PER_MS }, NULL);
	return 0;
}

static void count_steps(struct api_req *q, enum req_step step, int64_t mono_ns, void *ctx)
{
	atomic_int *passed = ctx;

	(void)q;
	(void)mono_ns;
	atomic_fetch_add(&passed[step], 1);
}

/* The listener does not wait for requests that are on the pool when it ends, the server does. */
static void test_end(void **state)
{
	atomic_int inside = 0, passed[_STEP_MAX] = { 0 };
	const struct req_plugins asks = { .authorize = let_in, .mutate = hold, .ctx = &inside };
	const struct req_observer sees = { count_steps, passed };
	struct ev_loop *loop = ev_loop_new(NULL);
	struct http_server *http;
	pthread_t thread;
	int fd[20];

	(void)state;
	gate.open = false;
	req_set_plugins(world.server, &asks);
	req_set_observer(world.server, &sees);
	http = http_server_start(&loop, 1,
				 &(struct http_server_opts){ .bind_address = "127.0.0.1",
							     .max_body = 1 << 20,
							     .max_connections = 64,
							     .handler = apiserver_http,
							     .too_large = apiserver_http_too_large,
							     .ctx = world.server },
				 NULL);
	assert_non_null(http);
	assert_int_equal(pthread_create(&thread, NULL, run_loop, loop), 0);
	for (size_t i = 0; i < ARRAY_LEN(fd); i++) {
		char name[16];

		(void)snprintf(name, sizeof(name), "e-%zu", i);
		fd[i] = post(http_server_port(http), name);
	}
	pthread_mutex_lock(&gate.lock);
	while (!inside)
		pthread_cond_wait(&gate.cond, &gate.lock);
	pthread_mutex_unlock(&gate.lock);
	apiserver_shutdown(world.server);
	http_server_stop(http, 0);
	for (size_t i = 0; i < ARRAY_LEN(fd); i++)
		(void)close(fd[i]);
	pthread_mutex_lock(&gate.lock);
	gate.open = true;
	pthread_cond_broadcast(&gate.cond);
	pthread_mutex_unlock(&gate.lock);
	apiserver_rest(world.server);
	ev_loop_stop(loop);
	pthread_join(thread, NULL);
	ev_loop_free(loop);
	assert_true(passed[STEP_COMMITTED] >= 1); /* those that were inside */
	assert_int_equal(passed[STEP_COMMITTED], inside);
	assert_int_equal(passed[STEP_ANSWERED], passed[STEP_RECEIVED]);
}

/* --- a store that answers late, from its own thread --- */

struct slow_write {
	struct list link;
	struct store_write w;
	char *key, *value;
	store_done_fn *done;
	void *ctx;
};

static struct {
	struct store_ops ops;
	const struct store_ops *inner;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t cond;
	struct list queue;
	bool over;
	long pause_ns; /* before each */
} slow = { .lock = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER };

static void slow_commit(struct store *s, const struct store_write *w, store_done_fn *done, void *ctx)
{
	struct slow_write *k = xcalloc(1, sizeof(*k));

	(void)s;
	k->w = *w;
	k->w.key = sv_make(k->key = xstrndup(w->key.p, w->key.n), w->key.n);
	k->w.value = sv_make(k->value = xstrndup(w->value.n ? w->value.p : "", w->value.n), w->value.n);
	k->done = done;
	k->ctx = ctx;
	pthread_mutex_lock(&slow.lock);
	list_add_tail(&slow.queue, &k->link);
	pthread_cond_signal(&slow.cond);
	pthread_mutex_unlock(&slow.lock);
}

static void *slow_thread(void *ctx)
{
	(void)ctx;
	pthread_mutex_lock(&slow.lock);
	for (;;) {
		struct slow_write *k;

		if (list_empty(&slow.queue)) {
			if (slow.over)
				break;
			pthread_cond_wait(&slow.cond, &slow.lock);
			continue;
		}
		k = LIST_ENTRY(slow.queue.next, struct slow_write, link);
		list_del(&k->link);
		pthread_mutex_unlock(&slow.lock);
		nanosleep(&(struct timespec){ .tv_nsec = slow.pause_ns }, NULL);
		slow.inner->commit(world.store, &k->w, k->done, k->ctx);
		free(k->key);
		free(k->value);
		free(k);
		pthread_mutex_lock(&slow.lock);
	}
	pthread_mutex_unlock(&slow.lock);
	return NULL;
}

static int slow_setup(void **state)
{
	int rc = setup(state);

	req_set_plugins(world.server, NULL);
	list_init(&slow.queue);
	slow.inner = world.store->ops;
	slow.ops = *slow.inner;
	slow.ops.commit = slow_commit;
	slow.over = false;
	assert_int_equal(pthread_create(&slow.thread, NULL, slow_thread, NULL), 0);
	world.store->ops = &slow.ops;
	return rc;
}

static void slow_end(void)
{
	pthread_mutex_lock(&slow.lock);
	slow.over = true;
	pthread_cond_signal(&slow.cond);
	pthread_mutex_unlock(&slow.lock);
	pthread_join(slow.thread, NULL);
	world.store->ops = slow.inner;
}

static int slow_teardown(void **state)
{
	client_free(*state);
	*state = NULL;
	apiserver_free(world.server); /* the store still has some */
	world.server = NULL;
	slow_end();
	return teardown(state);
}

/* Deadlines and the store's answers meet: each is told once, all is written in the end. */
static void test_late_store(void **state)
{
	enum { N = 200 };
	int there = 0, late = 0;

	slow.pause_ns = NS_PER_MS;
	for (int i = 0; i < N; i++)
		start(&world.all[i], i, NULL, i % 4 ? "100ms" : "0s");
	while (world.left)
		inbox_run(&world.loop);
	for (int i = 0; i < N; i++) {
		const struct request *r = &world.all[i];

		assert_int_equal(r->answers, 1);
		assert_true(r->code == 201 || r->code == 504);
		there += r->code == 201;
		late += r->code == 504;
	}
	assert_true(there > 0 && late > 0);
	/* Of those that were given to it. The last one is behind all others. */
	while (!exists(*state, 0) || !exists(*state, N - 4))
		nanosleep(&(struct timespec){ .tv_nsec = 10 * NS_PER_MS }, NULL);
	for (int i = 0; i < N; i++)
		if (world.all[i].code == 201)
			assert_true(exists(*state, i));
}

static atomic_int at_the_end;

static void end_object(struct api_req *q, int code, struct obj *o, const struct val *doc)
{
	(void)o;
	(void)doc;
	api_req_answered(q, code);
	atomic_store(&at_the_end, code);
}

static void end_failure(struct api_req *q, const struct err *err)
{
	api_req_answered(q, err_code(err));
	atomic_store(&at_the_end, err_code(err));
}

static void *open_gate(void *ctx)
{
	(void)ctx;
	/* Whoever does not wait is far ahead by then; nothing depends on how long it is. */
	nanosleep(&(struct timespec){ .tv_nsec = 20 * NS_PER_MS }, NULL);
	pthread_mutex_lock(&gate.lock);
	gate.open = true;
	pthread_cond_broadcast(&gate.cond);
	pthread_mutex_unlock(&gate.lock);
	return NULL;
}

/* A run on the pool begins a write when the server has begun to go: both are waited for. */
static void test_freed_at_once(void **state)
{
	static const struct api_sink no_thread = { .object = end_object, .failure = end_failure, .on_loop = true };
	atomic_int inside = 0;
	const struct req_plugins asks = { .mutate = hold, .ctx = &inside };
	struct request *r = &world.all[0];
	pthread_t opener;

	slow.pause_ns = 30 * NS_PER_MS;
	gate.open = false;
	atomic_store(&at_the_end, 0);
	req_set_plugins(world.server, &asks);
	start_on(r, 0, "jane", "0s", &no_thread);
	pthread_mutex_lock(&gate.lock);
	while (!inside)
		pthread_cond_wait(&gate.cond, &gate.lock);
	pthread_mutex_unlock(&gate.lock);
	assert_int_equal(pthread_create(&opener, NULL, open_gate, NULL), 0);
	client_free(*state);
	*state = NULL;
	world.server = apiserver_free(world.server);
	assert_int_equal(atomic_load(&at_the_end), 201);
	pthread_join(opener, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_storm, setup, teardown),
		cmocka_unit_test_setup_teardown(test_shutdown, setup, teardown),
		cmocka_unit_test_setup_teardown(test_slow_user, setup, teardown),
		cmocka_unit_test_setup_teardown(test_slow_accounts, setup, teardown),
		cmocka_unit_test_setup_teardown(test_socket, setup, teardown),
		cmocka_unit_test_setup_teardown(test_end, setup, teardown),
		cmocka_unit_test_setup_teardown(test_late_store, slow_setup, slow_teardown),
		cmocka_unit_test_setup_teardown(test_freed_at_once, slow_setup, slow_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
