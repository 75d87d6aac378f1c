/* Requests passed on, and their time: front and back are servers on one loop, the API server's environment is the
 * simulator's, and all of it is on one thread. */
#include "harness.h"

#include "apiserver/apiserver-internal.h"
#include "apiserver/flow/flow.h"
#include "apiserver/metrics.h"
#include "apiserver/proxy.h"
#include "ev/ev.h"

#include <pthread.h>

static struct {
	struct rig *rig;
	struct ev_loop *loop;
	struct http_server *front, *back;
	struct ev_timer *turns;
	/* what is asked */
	const char *timeout; /* NULL: as the server has it */
	const char *method;
	enum verb verb;
	bool plain;
	int64_t waits_ns, late_ns; /* still unanswered after; answered after as much again */
	bool last;		   /* it lasts: the other side answers in the end */
	bool begin;		   /* the other side does at once, and does not end */
	bool refused;		   /* asked again whether it may go on, it may not */
	/* the other side */
	struct http_req *held;
	/* what comes of it */
	struct http_dialog *client;
	int status, turn;
	struct buf got;
	bool over, torn;
} w;

/* --- the other side, which takes a request and is silent --- */

static void back_gone(struct http_req *r)
{
	if (w.begin)
		http_stream_end(r);
	w.held = http_req_unref(r);
}

static void back_handler(struct http_req *r, void *ctx)
{
	(void)ctx;
	w.held = http_req_ref(r);
	r->on_gone = back_gone;
	if (w.begin) {
		http_stream_begin(r, 200, NULL, 0);
		(void)http_stream_write(r, &(struct http_chunk){ .data = SV("a piece") });
	}
}

/* --- the server between --- */

static void sink_bytes(struct api_req *q, int code, const char *type, const struct http_chunk *chunks, size_t n)
{
	const struct http_header h = { SV("content-type"), sv_from(type) };

	api_req_answered(q, code);
	http_respond(q->http, code, &h, 1, chunks, n);
	http_req_unref(q->http);
}

static void sink_gone(struct http_req *r)
{
	struct api_req *q = r->user;

	if (q->on_gone)
		q->on_gone(q);
}

static void sink_head(struct api_req *q, int code, const struct http_header *headers, size_t n)
{
	api_req_answered(q, code);
	q->http->on_gone = sink_gone;
	http_stream_begin(q->http, code, headers, n);
}

static size_t sink_write(struct api_req *q, const struct http_chunk *c)
{
	return http_stream_write(q->http, c);
}

static void sink_end(struct api_req *q)
{
	http_stream_end(q->http);
	http_req_unref(q->http);
}

static const struct api_sink sink = { .bytes = sink_bytes,
				      .failure = answer_failure,
				      .stream_head = sink_head,
				      .stream_write = sink_write,
				      .stream_end = sink_end };

/* Seats that are taken in the level of everybody. */
static bool seats(const char *n)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT, line = BUF_INIT;

	flow_metrics(w.rig->server, &b);
	buf_printf(&line,
		   "current_executing_seats{flow_schema=\"global-default\",priority_level=\"global-default\"} %s\n", n);
	return sv_find_sv(buf_sv(&b), buf_sv(&line)) > 0;
}

static void front_handler(struct http_req *r, void *ctx)
{
	static struct sv group = { "system:authenticated", sizeof("system:authenticated") - 1 };
	const struct http_endpoint ep = { .host = "127.0.0.1", .port = http_server_port(w.back) };
	struct api_req *q = ARENA_NEW(r->arena, struct api_req);
	struct err err = ERR_INIT;

	(void)ctx;
	q->server = w.rig->server;
	q->arena = r->arena;
	q->sink = &sink;
	q->http = http_req_ref(r);
	q->served = q;
	q->method = sv_from(w.method);
	q->path = r->path;
	q->verb = w.verb;
	q->resource_request = true;
	q->group = SV("far.example.io");
	q->version = SV("v1");
	q->plural = SV("things");
	q->user.name = SV("eve");
	q->user.groups = &group;
	q->user.n_groups = 1;
	q->start_ns = env_mono_ns(w.rig->env);
	if (w.timeout) {
		q->params = ARENA_NEW(q->arena, struct api_param);
		*q->params = (struct api_param){ SV("timeout"), sv_from(w.timeout) };
		q->n_params = 1;
	}
	api_req_take_kinds(q);
	r->user = q;
	metrics_inflight(q->server, q, 1);
	assert_int_equal(flow_admit(q, &err), 0);
	assert_true(seats("1"));
	proxy_pass(q, &(struct proxy_how){ .ep = &ep, .target = "/x", .plain = w.plain });
}

/* --- the client --- */

static void client_head(struct http_dialog *d, const struct http_response *head, void *ctx)
{
	(void)d;
	(void)ctx;
	w.status = head->status;
}

static void client_data(struct http_dialog *d, struct sv bytes, void *ctx)
{
	(void)d;
	(void)ctx;
	buf_addsv(&w.got, bytes);
}

static void client_closed(struct http_dialog *d, const struct err *why, void *ctx)
{
	(void)d;
	(void)ctx;
	w.over = true;
	w.torn = why != NULL;
}

/* --- */

/* Some turns of the loop are between what happens to virtual time: what it leads to is seen in them. */
static void turn(void *ctx)
{
	enum { LONG = 10 };

	(void)ctx;
	env_sim_run(w.rig->env, 0);
	if (w.over) {
		ev_loop_stop(w.loop);
		return;
	}
	if (w.turn == 0 && (!w.held || (w.begin && w.got.n == 0)))
		return;
	if (w.turn == 0) {
		assert_true(seats(w.last || w.begin ? "0" : "1"));
		env_sim_run(w.rig->env, w.waits_ns);
	} else if (w.turn == LONG) {
		assert_false(w.over);
		env_sim_run(w.rig->env, w.late_ns);
	} else if (w.turn == 2 * LONG && w.last && w.held) {
		assert_int_equal(w.status, 0);
		w.held->on_gone = NULL;
		http_respond_text(w.held, 200, "text/plain", SV("at last"));
		w.held = http_req_unref(w.held);
	}
	w.turn++;
}

static void play(void)
{
	static const struct http_dialog_cb cb = { client_head, client_data, NULL, client_closed };
	struct http_server_opts o = { .bind_address = "127.0.0.1", .max_body = 1000, .max_connections = 10 };
	struct http_endpoint ep = { .host = "127.0.0.1" };

	o.handler = back_handler;
	w.back = http_server_start(&w.loop, 1, &o, NULL);
	o.handler = front_handler;
	w.front = http_server_start(&w.loop, 1, &o, NULL);
	assert_non_null(w.back);
	assert_non_null(w.front);
	ep.port = http_server_port(w.front);
	w.client = http_dial(w.loop, &ep, "GET", "/apis/far.example.io/v1/things", NULL, 0, SV_NULL, 20 * NS_PER_SEC,
			     &cb, NULL);
	w.turns = ev_timer_start(w.loop, NS_PER_MS, NS_PER_MS, turn, NULL);
	ev_loop_run(w.loop);
	assert_true(seats("0"));
}

static void silent_ones_are_late(void **state)
{
	(void)state;
	w.timeout = "5s";
	w.waits_ns = 4 * NS_PER_SEC;
	w.late_ns = 2 * NS_PER_SEC;
	play();
	assert_int_equal(w.status, 504);
	assert_true(sv_find_sv(buf_sv(&w.got), SV("\"reason\":\"Timeout\"")) > 0);
	assert_true(
	    sv_find_sv(buf_sv(&w.got), SV("\"Timeout: request did not complete within the allotted timeout\"")) > 0);
}

static void so_are_those_of_other_servers(void **state)
{
	w.plain = true;
	silent_ones_are_late(state);
	assert_true(sv_find_sv(buf_sv(&w.got), SV("\"kind\":\"Status\"")) > 0);
}

/* A change has no less time than a read: what bounds changes here is not theirs. */
static void a_change_has_its_whole_time(void **state)
{
	(void)state;
	w.plain = true;
	w.method = "POST";
	w.verb = VERB_CREATE;
	w.waits_ns = 58 * NS_PER_SEC;
	w.late_ns = 3 * NS_PER_SEC;
	play();
	assert_int_equal(w.status, 504);
}

static void what_has_begun_is_torn(void **state)
{
	(void)state;
	w.plain = w.begin = true;
	w.timeout = "5s";
	w.waits_ns = 4 * NS_PER_SEC;
	w.late_ns = 2 * NS_PER_SEC;
	play();
	assert_int_equal(w.status, 200);
	assert_string_equal(buf_cstr(&w.got), "a piece");
	assert_true(w.torn);
}

static void a_watch_lasts_without_a_seat(void **state)
{
	(void)state;
	w.plain = w.last = true;
	w.verb = VERB_WATCH;
	w.timeout = "5s";
	w.waits_ns = w.late_ns = 100 * NS_PER_SEC;
	play();
	assert_int_equal(w.status, 200);
	assert_string_equal(buf_cstr(&w.got), "at last");
	assert_false(w.torn);
}

/* Also what has no answer yet is asked about again: what a client sends may last. */
static void who_loses_the_right_is_told(void **state)
{
	(void)state;
	w.plain = w.last = w.refused = true;
	w.verb = VERB_WATCH;
	w.waits_ns = w.late_ns = 31 * NS_PER_SEC;
	play();
	assert_int_equal(w.status, 403);
	assert_true(sv_find_sv(buf_sv(&w.got), SV("\"reason\":\"Forbidden\"")) > 0);
	assert_null(w.held);
}

static int may_go_on(struct api_req *q, const struct authz_attrs *at, struct sv *ret_reason, struct err *err, void *ctx)
{
	(void)q;
	(void)at;
	(void)ret_reason;
	(void)err;
	(void)ctx;
	return w.refused; /* 1: it may not */
}

static int setup(void **state)
{
	static const struct req_plugins p = { .authorize = may_go_on };

	if (rig_setup(state))
		return -1;
	memset(&w, 0, sizeof(w));
	w.rig = *state;
	w.method = "GET";
	w.verb = VERB_GET;
	w.loop = ev_loop_new(NULL);
	rig_run(w.rig, NS_PER_SEC); /* the flow schemas are there */
	req_set_plugins(w.rig->server, &p);
	return 0;
}

static void *run_loop(void *loop)
{
	ev_loop_run(loop);
	return NULL;
}

/* Stopping a server waits for its loop, which runs on another thread meanwhile, while this one does nothing. */
static int teardown(void **state)
{
	pthread_t t;

	w.turns = ev_timer_stop(w.turns);
	assert_int_equal(pthread_create(&t, NULL, run_loop, w.loop), 0);
	w.front = http_server_stop(w.front, 0);
	w.back = http_server_stop(w.back, 0);
	ev_loop_stop(w.loop);
	pthread_join(t, NULL);
	ev_loop_free(w.loop);
	buf_release(&w.got);
	return rig_teardown(state);
}

#define T(t) cmocka_unit_test_setup_teardown(t, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = { T(silent_ones_are_late),	     T(so_are_those_of_other_servers),
					    T(a_change_has_its_whole_time),  T(what_has_begun_is_torn),
					    T(a_watch_lasts_without_a_seat), T(who_loses_the_right_is_told) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
