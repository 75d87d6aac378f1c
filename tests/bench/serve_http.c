/* serve_http - the HTTP server with trivial handlers, for load generators.
 *
 *	serve_http PORT LOOPS [plain]
 *
 * GET /small is 1 KiB; GET /large is 64 MiB in 4 KiB pieces, like a LIST; GET /hang never
 * ends, like an idle watch. Runs until SIGTERM or SIGINT.
 */
#include "ev/ev.h"
#include "net/http.h"
#include "net/tls.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define PIECE 4096
#define PIECES (16 * 1024)

static char text[PIECE];

static void send_pieces(struct http_req *r)
{
	const struct http_chunk c = { .data = { text, PIECE } };
	size_t left = (size_t)(uintptr_t)r->user;

	while (left > 0) {
		left--;
		if (http_stream_write(r, &c) > 256 * 1024)
			break;
	}
	r->user = (void *)(uintptr_t)left;
	if (left == 0)
		http_stream_end(r);
}

static void handler(struct http_req *r, void *ctx)
{
	const struct http_header h = { SV("content-type"), SV("application/json") };

	(void)ctx;
	if (sv_is(r->path, "/large")) {
		r->user = (void *)(uintptr_t)PIECES;
		r->on_drain = send_pieces;
		http_stream_begin(r, 200, &h, 1);
		send_pieces(r);
	} else if (sv_is(r->path, "/hang")) {
		http_stream_begin(r, 200, &h, 1);
	} else {
		const struct http_chunk c = { .data = { text, 1024 } };

		http_respond(r, 200, &h, 1, &c, 1);
	}
}

static void run_loop(void *l)
{
	ev_loop_run(l);
}

static void on_signal(int signum, void *ctx)
{
	(void)signum;
	ev_loop_stop(ctx);
}

static struct tls_ctx *make_tls(struct arena *a, struct err *err)
{
	const char *const dns[] = { "localhost", NULL }, *const ips[] = { "127.0.0.1", NULL };
	struct cert_opts o = { .common_name = "serve_http",
			       .dns_names = dns,
			       .ip_addrs = ips,
			       .not_after_ns = ((int64_t)time(NULL) + 86400) * NS_PER_SEC,
			       .server = true };
	struct tls_server_opts t = { 0 };

	if (cert_make(a, &o, SV_NULL, SV_NULL, &t.cert_pem, &t.key_pem, err) < 0)
		return NULL;
	return tls_server_ctx(&t, err);
}

int main(int argc, char **argv)
{
	struct arena arena = ARENA_INIT;
	struct err err = ERR_INIT;
	struct ev_loop *loops[16], *control;
	struct http_server_opts o = { .bind_address = "127.0.0.1", .max_body = 3 << 20, .handler = handler };
	struct env *env = env_real_new(1);
	struct http_server *s;
	size_t n;

	if (argc < 3) {
		fprintf(stderr, "usage: serve_http PORT LOOPS [plain]\n");
		return 2;
	}
	memset(text, 'x', sizeof(text));
	o.port = atoi(argv[1]);
	n = (size_t)MIN(MAX(atoi(argv[2]), 1), 16);
	if (argc < 4)
		o.tls = make_tls(&arena, &err);
	control = ev_loop_new(&err);
	for (size_t i = 0; i < n; i++)
		loops[i] = ev_loop_new(&err);
	s = http_server_start(loops, n, &o, &err);
	if (!s) {
		fprintf(stderr, "%s\n", err_msg(&err));
		return 1;
	}
	for (size_t i = 0; i < n; i++)
		(void)env_thread(env, "loop", run_loop, loops[i]);
	(void)ev_signal_watch(control, SIGTERM, on_signal, control, NULL);
	(void)ev_signal_watch(control, SIGINT, on_signal, control, NULL);
	ev_loop_run(control);
	http_server_stop(s, NS_PER_SEC);
	return 0;
}
