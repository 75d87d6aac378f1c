/* Pages for who runs the server: /statusz and /flagz, and /debug/flags/v, by which the log is told to say more. */
#include "apiserver/apiserver-internal.h"
#include "base/log.h"
#include "client/zpages.h"

#include <stdlib.h>

static const char *const status_paths[] = { "/healthz", "/livez", "/metrics", "/readyz", "/statusz", "/version", NULL };

static bool operator_zpage(struct api_req *q)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	struct apiserver *s = q->server;
	struct zpage_about z = { .component = "kube-apiserver", .paths = status_paths };
	enum zpage which;
	const char *type;
	int code;

	if (!zpage_on(q->path, &which))
		return false;
	z.now_ns = env_now_ns(s->env);
	z.start_ns = z.now_ns - (env_mono_ns(s->env) - s->start_mono_ns);
	if (which == ZPAGE_FLAGS && s->o.flags)
		z.flags = s->o.flags(s->o.flags_ctx, q->arena, &z.n_flags);
	code = zpage_make(which, &z, q->accept, &b, &type);
	answer_text(q, code, type, arena_sv(q->arena, buf_sv(&b)));
	return true;
}

/* As Go reads a number: an optional sign, digits. */
static void operator_set_v(struct api_req *q)
{
	_cleanup_(err_release) struct err why = ERR_INIT;
	struct sv text = q->body;
	int64_t v;

	if (!sv_to_i64(text, &v) || v < INT32_MIN || v > INT32_MAX) {
		(void)err_bad_number(&why, text);
		answer_text(
		    q, 400, "text/plain",
		    arena_svf(q->arena, "failed set klog.logging.verbosity %.*s: %s", SV_ARG(text), err_msg(&why)));
		return;
	}
	log_set_verbosity((int)v);
	answer_text(q, 200, "text/plain",
		    arena_svf(q->arena, "successfully set klog.logging.verbosity to %.*s", SV_ARG(text)));
}

static bool operator_flags(struct api_req *q)
{
	if (!q->server->o.profiling)
		return false;
	if (sv_is(q->path, "/debug/flags") || sv_is(q->path, "/debug/flags/")) {
		answer_text(q, 200, "text/html; charset=utf-8",
			    SV("<html>\n<body>\n/debug/flags/<br>\n<br>\nflags:<br>\n"
			       "<a href=\"v\">v</a>\n</body>\n</html>\n"));
		return true;
	}
	if (!sv_is(q->path, "/debug/flags/v"))
		return false;
	if (sv_is(q->method, "PUT"))
		operator_set_v(q);
	else
		answer_text(q, 406, "text/plain", SV("unrecognized http method"));
	return true;
}

/* There are no profiles of Go's here; who looks for them is told what there is. */
static bool operator_pprof(struct api_req *q)
{
	if (!q->server->o.profiling || (!sv_is(q->path, "/debug/pprof") && !sv_starts(q->path, SV("/debug/pprof/"))))
		return false;
	answer_text(q, 404, "text/plain; charset=utf-8",
		    SV("this server has no profiles of Go's runtime: /debug shows what it does, and perf record -p PID "
		       "--call-graph dwarf where it spends its time\n"));
	return true;
}

bool operator_serve(struct api_req *q)
{
	return operator_flags(q) || operator_pprof(q) || operator_zpage(q);
}
