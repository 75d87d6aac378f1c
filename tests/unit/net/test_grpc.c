#include "unit.h"

#include "base/buf.h"
#include "base/tree.h"
#include "net/grpc.h"

#include <nghttp2/nghttp2.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

/* --- a small gRPC server on a unix socket, one thread, several connections --- */

enum { CONNS = 8 };

struct sstream {
	int32_t id;
	char path[64];
	struct buf in, out;
	size_t sent;
	int status;
	bool hang, timeout_seen;
};

struct sconn {
	int fd, number;
	nghttp2_session *session;
	struct sstream st; /* our client runs one call at a time on a connection */
	bool drop;	   /* close at once */
	bool leave;	   /* close once all is sent */
};

static struct server {
	char dir[64], path[96], target[112];
	int listener, wake[2], left[2], accepted; /* left: a byte for every connection that left */
	pthread_t thread;
	struct sconn conns[CONNS];
	int refuse; /* refuse so many streams first */
} srv;

static int s_begin(nghttp2_session *session, const nghttp2_frame *f, void *user)
{
	struct sconn *c = user;

	(void)session;
	if (f->headers.cat == NGHTTP2_HCAT_REQUEST) {
		buf_release(&c->st.in);
		buf_release(&c->st.out);
		c->st = (struct sstream){ .id = f->hd.stream_id };
	}
	return 0;
}

static int s_header(nghttp2_session *session, const nghttp2_frame *f, const uint8_t *name, size_t name_n,
		    const uint8_t *value, size_t value_n, uint8_t flags, void *user)
{
	struct sconn *c = user;
	struct sv k = sv_make((const char *)name, name_n);

	(void)session;
	(void)f;
	(void)flags;
	if (sv_is(k, ":path"))
		snprintf(c->st.path, sizeof(c->st.path), "%.*s", (int)value_n, (const char *)value);
	if (sv_is(k, "grpc-timeout"))
		c->st.timeout_seen = true;
	return 0;
}

static int s_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *p, size_t n, void *user)
{
	struct sconn *c = user;

	(void)session;
	(void)flags;
	(void)id;
	buf_add(&c->st.in, p, n);
	return 0;
}

static nghttp2_nv nv(const char *name, const char *value)
{
	return (nghttp2_nv){ .name = (uint8_t *)(uintptr_t)name,
			     .value = (uint8_t *)(uintptr_t)value,
			     .namelen = strlen(name),
			     .valuelen = strlen(value) };
}

static ssize_t s_read(nghttp2_session *session, int32_t id, uint8_t *out, size_t room, uint32_t *flags,
		      nghttp2_data_source *source, void *user)
{
	struct sconn *c = user;
	size_t n = MIN(room, c->st.out.n - c->st.sent);
	char code[8];
	nghttp2_nv trailers[2];

	(void)source;
	if (n)
		memcpy(out, c->st.out.p + c->st.sent, n);
	c->st.sent += n;
	if (c->st.sent < c->st.out.n)
		return (ssize_t)n;
	if (c->st.hang)
		return n ? (ssize_t)n : NGHTTP2_ERR_DEFERRED;
	*flags |= NGHTTP2_DATA_FLAG_EOF | NGHTTP2_DATA_FLAG_NO_END_STREAM;
	snprintf(code, sizeof(code), "%d", c->st.status);
	trailers[0] = nv("grpc-status", code);
	trailers[1] = nv("grpc-message", c->st.status ? "half%20way" : "");
	nghttp2_submit_trailer(session, id, trailers, 2);
	return (ssize_t)n;
}

static void add_message(struct buf *b, const void *p, size_t n)
{
	unsigned char prefix[5] = { 0, (unsigned char)(n >> 24), (unsigned char)(n >> 16), (unsigned char)(n >> 8),
				    (unsigned char)n };

	buf_add(b, prefix, 5);
	buf_add(b, p, n);
}

/* The request is whole: answer by path. */
static void s_answer(struct sconn *c)
{
	const char *path = c->st.path;
	nghttp2_nv head[3] = { nv(":status", "200"), nv("content-type", "application/grpc") };
	nghttp2_data_provider body = { .read_callback = s_read };

	if (srv.refuse > 0) {
		srv.refuse--;
		nghttp2_submit_rst_stream(c->session, 0, c->st.id, NGHTTP2_REFUSED_STREAM);
		return;
	}
	if (strcmp(path, "/t/Echo") == 0) {
		buf_add(&c->st.out, c->st.in.p, c->st.in.n);
	} else if (strcmp(path, "/t/Number") == 0) {
		char text[16];

		add_message(&c->st.out, text, (size_t)snprintf(text, sizeof(text), "%d", c->number));
	} else if (strcmp(path, "/t/Missing") == 0) {
		nghttp2_nv only[4] = { head[0], head[1], nv("grpc-status", "5"), nv("grpc-message", "no pod%3a %zz") };

		nghttp2_submit_response(c->session, c->st.id, only, 4, NULL);
		return;
	} else if (strcmp(path, "/t/Page") == 0) {
		nghttp2_nv only[1] = { nv(":status", "503") };

		add_message(&c->st.out, "x", 1);
		nghttp2_submit_response(c->session, c->st.id, only, 1, NULL);
		return;
	} else if (strcmp(path, "/t/Count") == 0) {
		for (unsigned char i = 0; i < 5; i++)
			add_message(&c->st.out, &(char){ (char)('a' + i) }, 1);
	} else if (strcmp(path, "/t/Tear") == 0) {
		add_message(&c->st.out, "x", 1);
		c->st.status = 14;
	} else if (strcmp(path, "/t/Hang") == 0) {
		add_message(&c->st.out, c->st.timeout_seen ? "T" : "-", 1);
		c->st.hang = true;
	} else if (strcmp(path, "/t/Twice") == 0) {
		add_message(&c->st.out, "x", 1);
		add_message(&c->st.out, "x", 1);
	} else if (strcmp(path, "/t/Packed") == 0) {
		buf_add(&c->st.out, "\1\0\0\0\1x", 6);
	} else if (strcmp(path, "/t/Drop") == 0) {
		c->drop = true;
		return;
	} else if (strcmp(path, "/t/Leave") == 0) {
		add_message(&c->st.out, "x", 1);
		c->leave = true;
	}
	nghttp2_submit_response(c->session, c->st.id, head, 2, &body);
}

static int s_frame(nghttp2_session *session, const nghttp2_frame *f, void *user)
{
	struct sconn *c = user;

	(void)session;
	if ((f->hd.type == NGHTTP2_DATA || f->hd.type == NGHTTP2_HEADERS) && f->hd.flags & NGHTTP2_FLAG_END_STREAM &&
	    f->hd.stream_id == c->st.id)
		s_answer(c);
	return 0;
}

static void s_close(struct sconn *c)
{
	nghttp2_session_del(c->session);
	close(c->fd);
	buf_release(&c->st.in);
	buf_release(&c->st.out);
	*c = (struct sconn){ .fd = -1 };
}

static void s_accept(void)
{
	nghttp2_session_callbacks *cbs;

	for (size_t i = 0; i < CONNS; i++) {
		struct sconn *c = &srv.conns[i];

		if (c->fd >= 0)
			continue;
		*c = (struct sconn){ .fd = accept(srv.listener, NULL, NULL), .number = ++srv.accepted };
		nghttp2_session_callbacks_new(&cbs);
		nghttp2_session_callbacks_set_on_begin_headers_callback(cbs, s_begin);
		nghttp2_session_callbacks_set_on_header_callback(cbs, s_header);
		nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cbs, s_data);
		nghttp2_session_callbacks_set_on_frame_recv_callback(cbs, s_frame);
		nghttp2_session_server_new(&c->session, cbs, c);
		nghttp2_session_callbacks_del(cbs);
		nghttp2_submit_settings(c->session, 0, NULL, 0);
		return;
	}
	abort();
}

static void s_serve(struct sconn *c)
{
	static uint8_t piece[65536];
	const uint8_t *out;
	ssize_t n = recv(c->fd, piece, sizeof(piece), 0);

	if (n <= 0 || nghttp2_session_mem_recv(c->session, piece, (size_t)n) < 0 || c->drop) {
		s_close(c);
		return;
	}
	while ((n = nghttp2_session_mem_send(c->session, &out)) > 0)
		if (send(c->fd, out, (size_t)n, MSG_NOSIGNAL) != n)
			break;
	if (c->leave) {
		s_close(c);
		if (write(srv.left[1], "x", 1) != 1)
			abort();
	}
}

static void *s_main(void *arg)
{
	(void)arg;
	for (;;) {
		struct pollfd p[CONNS + 2] = { { .fd = srv.wake[0], .events = POLLIN },
					       { .fd = srv.listener, .events = POLLIN } };

		for (size_t i = 0; i < CONNS; i++)
			p[i + 2] = (struct pollfd){ .fd = srv.conns[i].fd, .events = POLLIN };
		poll(p, CONNS + 2, -1);
		if (p[0].revents)
			return NULL;
		for (size_t i = 0; i < CONNS; i++)
			if (p[i + 2].revents && p[i + 2].fd >= 0)
				s_serve(&srv.conns[i]);
		if (p[1].revents)
			s_accept();
	}
}

static int setup(void **state)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };

	(void)state;
	memset(&srv, 0, sizeof(srv));
	for (size_t i = 0; i < CONNS; i++)
		srv.conns[i].fd = -1;
	snprintf(srv.dir, sizeof(srv.dir), "/tmp/caravel-grpc-XXXXXX");
	if (!mkdtemp(srv.dir))
		return -1;
	snprintf(srv.path, sizeof(srv.path), "%s/s", srv.dir);
	snprintf(srv.target, sizeof(srv.target), "unix:%s", srv.path);
	snprintf(un.sun_path, sizeof(un.sun_path), "%s", srv.path);
	srv.listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (bind(srv.listener, (struct sockaddr *)&un, sizeof(un)) < 0 || listen(srv.listener, 16) < 0 ||
	    pipe(srv.wake) < 0 || pipe(srv.left) < 0)
		return -1;
	return pthread_create(&srv.thread, NULL, s_main, NULL);
}

static int teardown(void **state)
{
	(void)state;
	close(srv.wake[1]);
	pthread_join(srv.thread, NULL);
	for (size_t i = 0; i < CONNS; i++)
		if (srv.conns[i].fd >= 0)
			s_close(&srv.conns[i]);
	close(srv.wake[0]);
	close(srv.left[0]);
	close(srv.left[1]);
	close(srv.listener);
	unlink(srv.path);
	rmdir(srv.dir);
	return 0;
}

/* --- the tests --- */

static int call(struct grpc_channel *ch, struct arena *a, const char *method, struct sv request, struct sv *ret,
		struct err *err)
{
	return grpc_call(ch, a, method, request, 20 * NS_PER_SEC, ret, err);
}

static void unary(void **state)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct grpc_channel *ch = grpc_channel_new(srv.target);
	struct sv out = SV_NULL;

	(void)state;
	assert_int_equal(call(ch, &a, "/t/Echo", SV("hello"), &out, NULL), 0);
	assert_sv(out, "hello");
	assert_int_equal(call(ch, &a, "/t/Echo", SV_NULL, &out, NULL), 0);
	assert_int_equal(out.n, 0);
	/* The connection was kept. */
	assert_int_equal(call(ch, &a, "/t/Number", SV_NULL, &out, NULL), 0);
	assert_sv(out, "1");
	grpc_channel_free(ch);
}

static void large_message(void **state)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct grpc_channel *ch = grpc_channel_new(srv.target);
	struct buf big = BUF_INIT;
	struct sv out = SV_NULL;

	(void)state;
	for (int i = 0; i < 300000; i++)
		buf_addi64(&big, i);
	assert_int_equal(call(ch, &a, "/t/Echo", buf_sv(&big), &out, NULL), 0);
	assert_true(sv_eq(out, buf_sv(&big)));
	buf_release(&big);
	grpc_channel_free(ch);
}

static void statuses(void **state)
{
	static const struct {
		const char *method, *msg;
		enum err_reason reason;
	} table[] = {
		{ "/t/Missing", "no pod: %zz", ERR_NOT_FOUND },
		{ "/t/Tear", "half way", ERR_UNAVAILABLE },
		{ "/t/Page", "'/t/Page' failed with http status 503", ERR_UNAVAILABLE },
		{ "/t/Twice", "'/t/Twice' answered 2 messages instead of one", ERR_INTERNAL },
		{ "/t/Nothing", "'/t/Nothing' answered 0 messages instead of one", ERR_INTERNAL },
		{ "/t/Packed", "'/t/Packed' answered a message that is compressed or too large", ERR_INTERNAL },
		{ "/t/Drop", "connection to 'localhost' broke while calling '/t/Drop'", ERR_UNAVAILABLE },
	};
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct grpc_channel *ch = grpc_channel_new(srv.target);
	struct sv out;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		_cleanup_(err_release) struct err err = ERR_INIT;

		assert_int_equal(call(ch, &a, table[i].method, SV("x"), &out, &err), -1);
		assert_string_equal(err_msg(&err), table[i].msg);
		assert_int_equal(err.reason, table[i].reason);
	}
	/* The channel still works. */
	assert_int_equal(call(ch, &a, "/t/Echo", SV("again"), &out, NULL), 0);
	assert_sv(out, "again");
	/* As Go's clients say it, where that is asked for. */
	grpc_channel_say_codes(ch);
	for (size_t i = 0; i < 2; i++) {
		_cleanup_(err_release) struct err err = ERR_INIT;

		assert_int_equal(call(ch, &a, table[i].method, SV("x"), &out, &err), -1);
		assert_string_equal(err_msg(&err), i ? "rpc error: code = Unavailable desc = half way"
						     : "rpc error: code = NotFound desc = no pod: %zz");
		assert_int_equal(err.reason, table[i].reason);
	}
	grpc_channel_free(ch);
}

/* Programs of somebody else's: answers have a bound, and who does not listen yet is waited for. */
static void outside(void **state)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(err_release) struct err err = ERR_INIT;
	struct grpc_channel *ch = grpc_channel_new(srv.target);
	struct sv out;

	(void)state;
	grpc_channel_outside(ch, 10, false);
	assert_int_equal(call(ch, &a, "/t/Echo", SV("0123456789a"), &out, &err), -1);
	assert_int_equal(err.reason, ERR_INTERNAL);
	assert_string_equal(err_msg(&err), "'/t/Echo' answered a message that is compressed or too large");
	assert_int_equal(call(ch, &a, "/t/Echo", SV("0123456789"), &out, NULL), 0);
	grpc_channel_free(ch);
}

static void *come_late(void *to)
{
	if (rename(srv.path, to) < 0)
		abort();
	return NULL;
}

static void late_server(void **state)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(err_release) struct err err = ERR_INIT;
	const char *to = arena_printf(&a, "%s/late", srv.dir);
	struct grpc_channel *ch = grpc_channel_new(arena_printf(&a, "unix:%s", to));
	pthread_t thread;
	struct sv out;

	(void)state;
	grpc_channel_outside(ch, GRPC_ANSWER_MAX, true);
	assert_int_equal(grpc_call(ch, &a, "/t/Echo", SV_NULL, 120 * NS_PER_MS, &out, &err), -1);
	assert_int_equal(err.reason, ERR_UNAVAILABLE);
	assert_int_equal(pthread_create(&thread, NULL, come_late, (void *)(uintptr_t)to), 0);
	assert_int_equal(call(ch, &a, "/t/Echo", SV("x"), &out, NULL), 0);
	pthread_join(thread, NULL);
	unlink(to);
	grpc_channel_free(ch);
}

/* A socket that has a name and no file. */
static void abstract_name(void **state)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(err_release) struct err err = ERR_INIT;
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	int n = snprintf(un.sun_path + 1, sizeof(un.sun_path) - 1, "caravel-grpc-%d", (int)getpid()), fd;
	struct grpc_channel *ch = grpc_channel_new(arena_printf(&a, "unix:@%s", un.sun_path + 1));
	struct sv out;

	(void)state;
	assert_int_equal(grpc_call(ch, &a, "/t/Echo", SV_NULL, NS_PER_SEC, &out, &err), -1);
	assert_int_equal(err.reason, ERR_UNAVAILABLE);
	err_release(&err);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(
	    bind(fd, (struct sockaddr *)&un, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)n)), 0);
	assert_int_equal(listen(fd, 1), 0);
	assert_int_equal(grpc_call(ch, &a, "/t/Echo", SV_NULL, 20 * NS_PER_MS, &out, &err), -1);
	assert_int_equal(err.reason, ERR_TIMEOUT); /* it is there, and says nothing */
	close(fd);
	grpc_channel_free(ch);
}

static void deadline(void **state)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(err_release) struct err err = ERR_INIT;
	struct grpc_channel *ch = grpc_channel_new(srv.target);
	struct sv out;

	(void)state;
	assert_int_equal(grpc_call(ch, &a, "/t/Hang", SV_NULL, 20 * NS_PER_MS, &out, &err), -1);
	assert_int_equal(err.reason, ERR_TIMEOUT);
	grpc_channel_free(ch);
}

static void kept_connection_that_closed(void **state)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct grpc_channel *ch = grpc_channel_new(srv.target);
	struct sv out;

	(void)state;
	for (int i = 0; i < 5; i++) {
		assert_int_equal(call(ch, &a, "/t/Leave", SV_NULL, &out, NULL), 0);
		assert_sv(out, "x");
		assert_int_equal(read(srv.left[0], &(char){ 0 }, 1), 1);
	}
	grpc_channel_free(ch);
}

static void refused_stream_is_sent_again(void **state)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(err_release) struct err err = ERR_INIT;
	struct grpc_channel *ch = grpc_channel_new(srv.target);
	struct sv out;

	(void)state;
	assert_int_equal(call(ch, &a, "/t/Echo", SV("a"), &out, NULL), 0);
	srv.refuse = 1; /* a kept connection is refused once: tried again on a fresh one */
	assert_int_equal(call(ch, &a, "/t/Echo", SV("b"), &out, NULL), 0);
	assert_sv(out, "b");
	srv.refuse = 2;
	assert_int_equal(call(ch, &a, "/t/Echo", SV("c"), &out, &err), -1);
	assert_int_equal(err.reason, ERR_UNAVAILABLE);
	grpc_channel_free(ch);
}

static void no_server(void **state)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(err_release) struct err err = ERR_INIT;
	struct grpc_channel *ch = grpc_channel_new("unix:/nonexistent/socket");
	struct sv out;

	(void)state;
	assert_int_equal(call(ch, &a, "/t/Echo", SV_NULL, &out, &err), -1);
	assert_int_equal(err.reason, ERR_UNAVAILABLE);
	grpc_channel_free(ch);
}

struct collect {
	struct buf text;
	size_t max;
	int stop_fd;
};

static int collect(struct sv msg, void *ctx)
{
	struct collect *c = ctx;

	buf_addsv(&c->text, msg);
	if (c->text.n == c->max)
		eventfd_write(c->stop_fd, 1);
	return 0;
}

static int only_two(struct sv msg, void *ctx)
{
	struct collect *c = ctx;

	buf_addsv(&c->text, msg);
	return c->text.n == 2;
}

static void streaming(void **state)
{
	_cleanup_(err_release) struct err err = ERR_INIT;
	struct grpc_channel *ch = grpc_channel_new(srv.target);
	struct collect c = { .max = SIZE_MAX, .stop_fd = eventfd(0, EFD_CLOEXEC) };

	(void)state;
	assert_int_equal(grpc_call_stream(ch, "/t/Count", SV_NULL, collect, &c, -1, NULL), 0);
	assert_string_equal(buf_cstr(&c.text), "abcde");
	buf_clear(&c.text);
	assert_int_equal(grpc_call_stream(ch, "/t/Count", SV_NULL, only_two, &c, -1, NULL), 0);
	assert_string_equal(buf_cstr(&c.text), "ab");
	buf_clear(&c.text);
	/* A stream that stays open ends when it is told to; streams carry no deadline. */
	c.max = 1;
	assert_int_equal(grpc_call_stream(ch, "/t/Hang", SV_NULL, collect, &c, c.stop_fd, NULL), 0);
	assert_string_equal(buf_cstr(&c.text), "-");
	buf_clear(&c.text);
	assert_int_equal(grpc_call_stream(ch, "/t/Tear", SV_NULL, collect, &c, -1, &err), -1);
	assert_string_equal(buf_cstr(&c.text), "x");
	buf_release(&c.text);
	close(c.stop_fd);
	grpc_channel_free(ch);
}

static void *caller(void *arg)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	intptr_t failed = 0;

	for (int i = 0; i < 50; i++) {
		char text[16];
		struct sv want = sv_make(text, (size_t)snprintf(text, sizeof(text), "%d", i)), out = SV_NULL;

		if (call(arg, &a, "/t/Echo", want, &out, NULL) < 0 || !sv_eq(want, out))
			failed++;
	}
	return (void *)failed;
}

static void many_threads(void **state)
{
	struct grpc_channel *ch = grpc_channel_new(srv.target);
	pthread_t t[4];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(t); i++)
		assert_int_equal(pthread_create(&t[i], NULL, caller, ch), 0);
	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		void *failed;

		pthread_join(t[i], &failed);
		assert_null(failed);
	}
	assert_in_range(srv.accepted, 1, 4);
	grpc_channel_free(ch);
}

/* A containerd of our own that does nothing but answer. */
static pid_t containerd_start(const char *dir)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	const char *config = arena_printf(&a, "%s/config.toml", dir), *log = arena_printf(&a, "%s/log", dir);
	FILE *f = fopen(config, "we");
	pid_t pid;

	assert_non_null(f);
	(void)fprintf(f,
		      "version = 2\nroot = \"%s/root\"\nstate = \"%s/state\"\n"
		      "disabled_plugins = [\"io.containerd.grpc.v1.cri\", \"io.containerd.internal.v1.opt\"]\n"
		      "[grpc]\naddress = \"%s/socket\"\n",
		      dir, dir, dir);
	assert_int_equal(fclose(f), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (freopen(log, "we", stdout) && dup2(STDOUT_FILENO, STDERR_FILENO) >= 0)
			execlp("containerd", "containerd", "--config", config, NULL);
		_exit(127);
	}
	return pid;
}

/* Another implementation than ours on the other side. */
static void containerd(void **state)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(err_release) struct err err = ERR_INIT;
	char dir[] = "/tmp/grpc-containerd.XXXXXX";
	struct grpc_channel *ch;
	struct sv out;
	int status = 0, r = -1;
	pid_t pid;

	(void)state;
	if (geteuid() != 0 || access("/usr/bin/containerd", X_OK) < 0) {
		print_message("# SKIP: needs root and containerd\n");
		skip();
	}
	assert_non_null(mkdtemp(dir));
	pid = containerd_start(dir);
	ch = grpc_channel_new(arena_printf(&a, "unix://%s/socket", dir));
	for (int i = 0; i < 6000 && r < 0; i++) { /* it does not say when it listens */
		err_release(&err);
		err = (struct err)ERR_INIT;
		r = call(ch, &a, "/containerd.services.version.v1.Version/Version", SV_NULL, &out, &err);
		if (r < 0 && (err.reason != ERR_UNAVAILABLE || waitpid(pid, &status, WNOHANG) != 0))
			break;
		poll(NULL, 0, 10);
	}
	if (r < 0)
		fail_msg("status %d, %s; see %s/log", status, err_msg(&err), dir);
	assert_true(out.n > 2 && out.p[0] == 0x0a); /* version */
	assert_int_equal(call(ch, &a, "/containerd.services.version.v1.Version/None", SV_NULL, &out, &err), -1);
	assert_non_null(strstr(err_msg(&err), "unknown method None"));
	grpc_channel_free(ch);
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	tree_remove(dir, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(unary, setup, teardown),
		cmocka_unit_test_setup_teardown(large_message, setup, teardown),
		cmocka_unit_test_setup_teardown(statuses, setup, teardown),
		cmocka_unit_test_setup_teardown(outside, setup, teardown),
		cmocka_unit_test_setup_teardown(late_server, setup, teardown),
		cmocka_unit_test_setup_teardown(abstract_name, setup, teardown),
		cmocka_unit_test_setup_teardown(deadline, setup, teardown),
		cmocka_unit_test_setup_teardown(kept_connection_that_closed, setup, teardown),
		cmocka_unit_test_setup_teardown(refused_stream_is_sent_again, setup, teardown),
		cmocka_unit_test_setup_teardown(no_server, setup, teardown),
		cmocka_unit_test_setup_teardown(streaming, setup, teardown),
		cmocka_unit_test_setup_teardown(many_threads, setup, teardown),
		cmocka_unit_test(containerd),
	};

	return cmocka_run_group_tests_name("grpc", tests, NULL, NULL);
}
