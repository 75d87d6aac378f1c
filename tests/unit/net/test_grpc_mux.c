/* Many calls on one connection, against a small server in the same thread's loop: what it takes, and what it refuses.
 */
#include "unit.h"

#include "net/grpc_mux.h"
#include "net/stream.h"

#include <nghttp2/nghttp2.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

/* --- a server --- */

#define STREAMS 64

struct sstream {
	int32_t id; /* 0: free */
	char path[32];
	struct buf in, out;
	size_t sent;
	bool began; /* the answer */
	bool over;  /* trailers follow */
	int status;
};

static struct peer {
	struct ev_loop *loop;
	char dir[64], path[96];
	int listener;
	struct ev_timer *accepts;
	struct stream *stream;
	nghttp2_session *h2;
	struct sstream st[STREAMS];
	bool mute; /* takes connections, says nothing */
	size_t pings, reset, sent;
} peer;

static struct sstream *s_find(int32_t id)
{
	for (size_t i = 0; i < STREAMS; i++)
		if (peer.st[i].id == id)
			return &peer.st[i];
	return NULL;
}

static nghttp2_nv s_nv(const char *name, const char *value)
{
	return (nghttp2_nv){ .name = (uint8_t *)(uintptr_t)name,
			     .value = (uint8_t *)(uintptr_t)value,
			     .namelen = strlen(name),
			     .valuelen = strlen(value) };
}

static void s_message(struct buf *b, const char *p, size_t n)
{
	char prefix[GRPC_PREFIX_N];

	grpc_prefix(prefix, n);
	buf_add(b, prefix, sizeof(prefix));
	buf_add(b, p, n);
}

static ssize_t s_read(nghttp2_session *h2, int32_t id, uint8_t *out, size_t room, uint32_t *flags,
		      nghttp2_data_source *source, void *user)
{
	struct sstream *st = source->ptr;
	size_t n = MIN(room, st->out.n - st->sent);
	nghttp2_nv trailers[] = { s_nv("grpc-status", st->status ? "9" : "0"),
				  s_nv("grpc-message", st->status ? "no%20way" : "") };

	(void)user;
	if (n)
		memcpy(out, st->out.p + st->sent, n);
	st->sent += n;
	peer.sent += n;
	if (st->sent < st->out.n || !st->over)
		return n ? (ssize_t)n : NGHTTP2_ERR_DEFERRED;
	*flags |= NGHTTP2_DATA_FLAG_EOF | NGHTTP2_DATA_FLAG_NO_END_STREAM;
	nghttp2_submit_trailer(h2, id, trailers, 2);
	return (ssize_t)n;
}

/* By path, when the request's head or a message of it is there. */
static void s_answer(nghttp2_session *h2, struct sstream *st, bool end)
{
	nghttp2_nv head[] = { s_nv(":status", "200"), s_nv("content-type", "application/grpc") };
	nghttp2_data_provider body = { .source.ptr = st, .read_callback = s_read };
	static char large[3 * 1024 * 1024];

	if (strcmp(st->path, "/Echo") == 0 && end) {
		buf_addsv(&st->out, buf_sv(&st->in));
		st->over = true;
	} else if (strcmp(st->path, "/Chat") == 0) { /* each message at once; ends when the peer does */
		buf_addsv(&st->out, buf_sv(&st->in));
		buf_clear(&st->in);
		if (st->began) {
			nghttp2_session_resume_data(h2, st->id);
			return;
		}
	} else if (strcmp(st->path, "/Large") == 0 && end) {
		s_message(&st->out, large, sizeof(large));
		st->over = true;
	} else if (strcmp(st->path, "/Many") == 0 && end) {
		for (int i = 0; i < 3000; i++)
			s_message(&st->out, large, 1000);
		st->over = true;
	} else if (strcmp(st->path, "/No") == 0 && end) {
		st->over = true;
		st->status = 9;
	} else if (strcmp(st->path, "/Page") == 0 && end) {
		nghttp2_nv only[] = { s_nv(":status", "503") };

		nghttp2_submit_response(h2, st->id, only, 1, NULL);
		return;
	} else if (strcmp(st->path, "/Refuse") == 0 && end) {
		nghttp2_submit_rst_stream(h2, 0, st->id, NGHTTP2_REFUSED_STREAM);
		return;
	} else if (strcmp(st->path, "/Go") == 0 && end) {
		nghttp2_submit_goaway(h2, 0, 0, NGHTTP2_NO_ERROR, NULL, 0);
		return;
	} else {
		return; /* "/Hang" */
	}
	st->began = true;
	nghttp2_submit_response(h2, st->id, head, 2, &body);
}

static int s_begin(nghttp2_session *h2, const nghttp2_frame *f, void *user)
{
	struct sstream *st = s_find(0);

	(void)h2;
	(void)user;
	assert_non_null(st);
	*st = (struct sstream){ .id = f->hd.stream_id };
	return 0;
}

static int s_header(nghttp2_session *h2, const nghttp2_frame *f, const uint8_t *name, size_t name_n,
		    const uint8_t *value, size_t value_n, uint8_t flags, void *user)
{
	struct sstream *st = s_find(f->hd.stream_id);

	(void)h2;
	(void)flags;
	(void)user;
	if (st && sv_is(sv_make((const char *)name, name_n), ":path"))
		snprintf(st->path, sizeof(st->path), "%.*s", (int)value_n, (const char *)value);
	return 0;
}

static int s_data(nghttp2_session *h2, uint8_t flags, int32_t id, const uint8_t *p, size_t n, void *user)
{
	(void)h2;
	(void)flags;
	(void)user;
	buf_add(&s_find(id)->in, p, n);
	return 0;
}

static int s_frame(nghttp2_session *h2, const nghttp2_frame *f, void *user)
{
	struct sstream *st = s_find(f->hd.stream_id);

	(void)user;
	peer.pings += f->hd.type == NGHTTP2_PING;
	peer.reset += f->hd.type == NGHTTP2_RST_STREAM;
	if (st && f->hd.stream_id && (f->hd.type == NGHTTP2_DATA || f->hd.type == NGHTTP2_HEADERS))
		s_answer(h2, st, f->hd.flags & NGHTTP2_FLAG_END_STREAM);
	return 0;
}

static int s_close(nghttp2_session *h2, int32_t id, uint32_t error, void *user)
{
	struct sstream *st = s_find(id);

	(void)h2;
	(void)error;
	(void)user;
	if (st) {
		buf_release(&st->in);
		buf_release(&st->out);
		*st = (struct sstream){ .id = 0 };
	}
	return 0;
}

static void p_send(struct stream *s, void *ctx)
{
	const uint8_t *p;
	ssize_t n = 0;

	(void)ctx;
	while (stream_queued(s) < STREAM_QUEUE_MAX && (n = nghttp2_session_mem_send(peer.h2, &p)) > 0)
		stream_write(s, sv_make((const char *)p, (size_t)n));
	if (stream_queued(s) >= STREAM_QUEUE_MAX)
		stream_want(s);
}

static void p_ready(struct stream *s, void *ctx)
{
	(void)ctx;
	if (!peer.mute)
		stream_want(s);
}

static void p_data(struct stream *s, struct sv bytes, void *ctx)
{
	(void)ctx;
	if (peer.mute)
		return;
	if (nghttp2_session_mem_recv(peer.h2, (const uint8_t *)bytes.p, bytes.n) < 0)
		stream_abort(s);
	stream_want(s);
}

static void p_closed(struct stream *s, const struct err *err, void *ctx)
{
	(void)s;
	(void)err;
	(void)ctx;
	for (size_t i = 0; i < STREAMS; i++)
		s_close(NULL, peer.st[i].id ? peer.st[i].id : -1, 0, NULL);
	nghttp2_session_del(peer.h2);
	peer.h2 = NULL;
	peer.stream = NULL;
}

static void p_accept(void *ctx)
{
	static const struct stream_cb cb = { .ready = p_ready, .data = p_data, .pull = p_send, .closed = p_closed };
	nghttp2_session_callbacks *cbs;
	int fd = peer.stream ? -1 : accept4(peer.listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	(void)ctx;
	if (fd < 0)
		return;
	nghttp2_session_callbacks_new(&cbs);
	nghttp2_session_callbacks_set_on_begin_headers_callback(cbs, s_begin);
	nghttp2_session_callbacks_set_on_header_callback(cbs, s_header);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cbs, s_data);
	nghttp2_session_callbacks_set_on_frame_recv_callback(cbs, s_frame);
	nghttp2_session_callbacks_set_on_stream_close_callback(cbs, s_close);
	nghttp2_session_server_new(&peer.h2, cbs, NULL);
	nghttp2_session_callbacks_del(cbs);
	nghttp2_submit_settings(peer.h2, 0, NULL, 0);
	peer.stream = stream_accept(peer.loop, fd, NULL, &cb, NULL);
}

/* --- what calls are told --- */

struct told {
	struct buf text; /* "message message ... =code:words" */
	size_t bytes, messages;
	int code; /* -1: not over */
	bool begun, by_peer;
	struct grpc_call *call;
	bool hold_first, cancel_first;
};

static void t_message(struct grpc_call *c, struct sv m, void *ctx)
{
	struct told *t = ctx;

	t->bytes += m.n;
	t->messages++;
	if (m.n < 100)
		buf_printf(&t->text, "%.*s ", SV_ARG(m));
	if (t->hold_first && t->messages == 1)
		grpc_call_hold(c, true);
	if (t->cancel_first)
		grpc_call_cancel(c);
}

static void t_end(struct grpc_call *c, const struct grpc_end *e, void *ctx)
{
	struct told *t = ctx;

	(void)c;
	assert_int_equal(t->code, -1);
	assert_false(t->cancel_first);
	t->code = e->code;
	t->begun = e->begun;
	t->by_peer = e->by_peer;
	buf_printf(&t->text, "=%d:%s", e->code, e->message);
}

static struct grpc_mux *mux;
static bool is_up, is_down;
static enum err_reason why_down;

static void m_up(struct grpc_mux *m, void *ctx)
{
	(void)m;
	(void)ctx;
	is_up = true;
}

static void m_down(struct grpc_mux *m, const struct err *why, void *ctx)
{
	(void)m;
	(void)ctx;
	assert_false(is_down);
	is_down = true;
	why_down = why ? why->reason : ERR_NONE;
	mux = NULL;
}

static void ask(struct told *t, const char *method, struct sv request, int64_t timeout_ns, bool streams)
{
	static const struct grpc_call_cb cb = { t_message, t_end };

	t->code = -1;
	t->call = grpc_mux_call(
	    mux, &(struct grpc_call_opts){ .method = method, .timeout_ns = timeout_ns, .streams = streams }, request,
	    &cb, t);
}

static void look(void *ctx)
{
	bool (*check)(void) = ctx;

	p_accept(NULL);
	if (check())
		ev_loop_stop(peer.loop);
}

/* Turns the loop until check() holds. */
static void run_until(bool (*check)(void))
{
	struct ev_timer *t = ev_timer_start(peer.loop, 0, NS_PER_MS, look, (void *)(uintptr_t)check);

	ev_loop_run(peer.loop);
	ev_timer_stop(t);
}

static struct told told[40];

static bool all_over(void)
{
	for (size_t i = 0; i < ARRAY_LEN(told); i++)
		if (told[i].code == -1)
			return false;
	return true;
}

static bool up(void)
{
	return is_up;
}

static bool down(void)
{
	return is_down && !peer.stream;
}

static void open_with(int64_t connect_ns, int64_t ping_ns)
{
	static const struct grpc_mux_cb cb = { m_up, m_down };
	char host[128];

	snprintf(host, sizeof(host), "unix:%s", peer.path);
	mux = grpc_mux_open(peer.loop,
			    &(struct grpc_mux_opts){ .host = host,
						     .connect_timeout_ns = connect_ns,
						     .ping_ns = ping_ns,
						     .ping_timeout_ns = NS_PER_SEC,
						     .message_max = 2 * 1024 * 1024 },
			    &cb, NULL);
}

static int m_setup(void **state)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };

	(void)state;
	memset(&peer, 0, sizeof(peer));
	memset(told, 0, sizeof(told));
	is_up = is_down = false;
	snprintf(peer.dir, sizeof(peer.dir), "/tmp/caravel-mux-XXXXXX");
	if (!mkdtemp(peer.dir))
		return -1;
	snprintf(peer.path, sizeof(peer.path), "%s/s", peer.dir);
	snprintf(un.sun_path, sizeof(un.sun_path), "%s", peer.path);
	peer.listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (bind(peer.listener, (struct sockaddr *)&un, sizeof(un)) < 0 || listen(peer.listener, 4) < 0)
		return -1;
	peer.loop = ev_loop_new(NULL);
	return 0;
}

static int m_teardown(void **state)
{
	(void)state;
	if (mux) {
		grpc_mux_close(mux);
		run_until(down);
	}
	ev_loop_free(peer.loop);
	for (size_t i = 0; i < ARRAY_LEN(told); i++)
		buf_release(&told[i].text);
	close(peer.listener);
	unlink(peer.path);
	rmdir(peer.dir);
	return 0;
}

/* --- the tests --- */

static void many_calls(void **state)
{
	char text[16];

	(void)state;
	open_with(60 * NS_PER_SEC, 0);
	run_until(up);
	for (size_t i = 0; i < ARRAY_LEN(told); i++)
		ask(&told[i], "/Echo", sv_make(text, (size_t)snprintf(text, sizeof(text), "m%zu", i)), 0, false);
	run_until(all_over);
	for (size_t i = 0; i < ARRAY_LEN(told); i++) {
		snprintf(text, sizeof(text), "m%zu =0:", i);
		assert_string_equal(buf_cstr(&told[i].text), text);
		assert_true(told[i].by_peer);
	}
}

static bool two_said(void)
{
	return told[0].messages == 2;
}

static void both_ways(void **state)
{
	(void)state;
	open_with(60 * NS_PER_SEC, 0);
	ask(&told[0], "/Chat", SV("one"), 0, true); /* before it is up */
	run_until(up);
	grpc_call_send(told[0].call, SV("two"));
	run_until(two_said);
	assert_string_equal(buf_cstr(&told[0].text), "one two ");
	grpc_call_cancel(told[0].call);
	told[0].code = 0;
}

static void refusals(void **state)
{
	(void)state;
	open_with(60 * NS_PER_SEC, 0);
	ask(&told[0], "/No", SV("x"), 0, false);
	ask(&told[1], "/Page", SV("x"), 0, false);
	ask(&told[2], "/Refuse", SV("x"), 0, false);
	ask(&told[3], "/Large", SV("x"), 0, false);
	ask(&told[4], "/Hang", SV("x"), NS_PER_SEC, false);
	ask(&told[5], "/Echo", SV("x"), 0, false);
	run_until(all_over);
	assert_string_equal(buf_cstr(&told[0].text), "=9:no way");
	assert_true(told[0].by_peer);
	assert_int_equal(told[1].code, GRPC_UNAVAILABLE);
	assert_int_equal(told[2].code, GRPC_UNAVAILABLE);
	assert_false(told[2].begun);
	assert_int_equal(told[3].code, GRPC_RESOURCE_EXHAUSTED);
	assert_int_equal(told[3].messages, 0);
	assert_int_equal(told[4].code, GRPC_DEADLINE_EXCEEDED);
	assert_true(told[4].begun);
	assert_false(told[4].by_peer);
	assert_string_equal(buf_cstr(&told[5].text), "x =0:"); /* the others go on */
}

static bool other_over(void)
{
	return told[1].code == 0;
}

/* One that is held takes no more than its window, and keeps nobody else waiting. */
static void held(void **state)
{
	(void)state;
	open_with(60 * NS_PER_SEC, 0);
	told[0].hold_first = true;
	ask(&told[0], "/Many", SV("x"), 0, false);
	ask(&told[1], "/Many", SV("x"), 0, false);
	run_until(other_over);
	assert_int_equal(told[1].messages, 3000);
	assert_int_equal(told[0].code, -1);
	assert_true(told[0].bytes < 2 * GRPC_MUX_WINDOW);
	grpc_call_hold(told[0].call, false);
	run_until(all_over);
	assert_int_equal(told[0].messages, 3000);
}

static bool was_reset(void)
{
	return peer.reset > 0;
}

static void cancelled_inside(void **state)
{
	(void)state;
	open_with(60 * NS_PER_SEC, 0);
	told[0].cancel_first = true;
	ask(&told[0], "/Many", SV("x"), 0, false);
	run_until(was_reset);
	assert_int_equal(told[0].messages, 1);
	told[0].code = 0;
}

static void goes_away(void **state)
{
	(void)state;
	open_with(60 * NS_PER_SEC, 0);
	ask(&told[0], "/Hang", SV("x"), 0, false);
	ask(&told[1], "/Go", SV("x"), 0, false);
	run_until(down);
	assert_true(all_over());
	assert_int_equal(told[0].code, GRPC_UNAVAILABLE);
	assert_int_equal(told[1].code, GRPC_UNAVAILABLE);
	assert_int_equal(why_down, ERR_UNAVAILABLE);
}

static void says_nothing(void **state)
{
	(void)state;
	peer.mute = true;
	open_with(NS_PER_SEC, 0);
	ask(&told[0], "/Echo", SV("x"), 0, false);
	run_until(down);
	assert_false(is_up);
	assert_int_equal(told[0].code, GRPC_UNAVAILABLE);
	assert_int_equal(why_down, ERR_UNAVAILABLE);
}

static bool stopped_answering(void)
{
	peer.mute = is_up; /* from now on it is as if it were stopped */
	return is_down;
}

static void stops(void **state)
{
	(void)state;
	open_with(60 * NS_PER_SEC, NS_PER_SEC);
	ask(&told[0], "/Hang", SV("x"), 0, false);
	run_until(up);
	run_until(stopped_answering);
	run_until(down);
	assert_int_equal(told[0].code, GRPC_UNAVAILABLE);
	assert_int_equal(why_down, ERR_UNAVAILABLE);
}

/* The loop stands for longer than the limit of a call: what it has not heard meanwhile is no fault of the peer's. */
static void a_loop_that_stood(void **state)
{
	struct timespec t = { .tv_sec = 1, .tv_nsec = 300 * NS_PER_MS };

	(void)state;
	open_with(60 * NS_PER_SEC, 0);
	run_until(up);
	ask(&told[0], "/Echo", SV("x"), 1100 * NS_PER_MS, false);
	while (nanosleep(&t, &t) < 0)
		;
	run_until(all_over);
	assert_int_equal(told[0].code, GRPC_OK);
}

#define MUX(fn) cmocka_unit_test_setup_teardown(fn, m_setup, m_teardown)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		MUX(many_calls),	MUX(both_ways), MUX(refusals),	   MUX(held),
		MUX(cancelled_inside),	MUX(goes_away), MUX(says_nothing), MUX(stops),
		MUX(a_loop_that_stood),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
