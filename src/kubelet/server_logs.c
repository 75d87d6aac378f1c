/* GET /containerLogs: streams a log; follow goes on until the container has ended and everything was sent. New
 * lines are looked for ten times a second, while somebody follows. */
#include "base/timefmt.h"
#include "kubelet/kpod.h"
#include "kubelet/kubelet-internal.h"
#include "kubelet/logs.h"
#include "kubelet/pod_paths.h"
#include "kubelet/pod_spec.h"
#include "kubelet/pod_table.h"
#include "kubelet/server.h"

#include <stdlib.h>

#define POLL_NS (100 * NS_PER_MS)
#define CHUNK (64 << 10)
#define QUEUE_MAX (256 << 10)

struct follow {
	struct kserver *s;
	struct http_req *r;
	struct log_reader *reader;
	struct ev_timer *timer;
	struct ev_timer *again; /* more of the file is to be read at once */
	struct kpod *p;
	char *container;
	int64_t restart_count;
	bool follow, begun, draining, ended;
};

/* Is the instance whose log is followed still running? One that waits for its next start has said all it will. */
static bool live(struct follow *f)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	const struct val *s = pod_container_status(obj_root(kpod_obj(f->p, &a)), sv_from(f->container));
	bool vanished;

	pthread_mutex_lock(&f->p->lock);
	vanished = f->p->vanished;
	pthread_mutex_unlock(&f->p->lock);
	return !vanished && val_get_int(s, 0, F_restartCount) == f->restart_count && val_get(s, F_state, F_running);
}

static void follow_free(struct follow *f)
{
	struct http_req *r = f->r;

	f->timer = ev_timer_stop(f->timer);
	f->again = ev_timer_stop(f->again);
	log_reader_free(f->reader);
	kpod_unref(f->p);
	free(f->container);
	r->on_gone = NULL;
	r->on_drain = NULL;
	free(f);
	http_req_unref(r);
}

static void server_logs_on_gone(struct http_req *r)
{
	follow_free(((struct follow *)r->user));
}

static void server_logs_pump(struct follow *f);

static void on_again(void *ctx)
{
	struct follow *f = ctx;

	f->again = ev_timer_stop(f->again);
	server_logs_pump(f);
}

static void server_logs_pump(struct follow *f)
{
	bool was_live = f->follow && live(f);
	enum log_more more = LOG_MORE;
	size_t taken = 0;

	while (more == LOG_MORE && !f->s->stopping) {
		struct buf b = BUF_INIT;
		struct http_chunk c;
		size_t queued = 0, n;

		more = log_reader_read(f->reader, &b, CHUNK);
		c = (struct http_chunk){ .data = buf_sv(&b), .release = free, .owner = b.p };
		n = b.n;
		if (n)
			queued = http_stream_write(f->r, &c); /* takes the buffer's memory */
		else
			buf_release(&b);
		if (queued > QUEUE_MAX && more != LOG_DONE) {
			f->draining = true;
			return;
		}
		/* Much was read and little of it wanted: others have their turn on this thread. */
		taken += n ? n : LOG_STEP_BYTES;
		if (more == LOG_MORE && taken >= 4 * LOG_STEP_BYTES) {
			f->again = ev_timer_stop(f->again);
			f->again = ev_timer_start(f->s->loop, NS_PER_MS, 0, on_again, f);
			return;
		}
	}
	/* What was written before we looked whether it lives has been read by now. */
	if (more == LOG_DONE || !f->follow || !was_live || f->s->stopping) {
		struct http_req *r = f->r;

		http_req_ref(r);
		r->on_gone = NULL;
		follow_free(f);
		http_stream_end(r);
		http_req_unref(r);
	}
}

static void on_timer(void *ctx)
{
	struct follow *f = ctx;

	if (!f->draining && !f->again)
		server_logs_pump(f);
}

static void server_logs_on_drain(struct http_req *r)
{
	struct follow *f = r->user;

	if (!f->draining)
		return;
	f->draining = false;
	server_logs_pump(f);
}

static int64_t server_logs_number(const struct http_req *r, const char *name)
{
	struct sv v;
	int64_t n;

	return http_query_get(r, name, &v) && sv_to_i64(v, &n) && n >= 0 ? n : -1;
}

static void server_logs_refuse(struct http_req *r, int status, const char *fmt, ...) _printf_(3, 4);
static void server_logs_refuse(struct http_req *r, int status, const char *fmt, ...)
{
	va_list ap;
	const char *text;

	va_start(ap, fmt);
	text = arena_vprintf(r->arena, fmt, ap);
	va_end(ap);
	http_respond_text(r, status, "text/plain; charset=utf-8", sv_from(text));
}

void server_logs(struct http_req *r, struct kserver *s, struct sv ns, struct sv pod, struct sv container)
{
	const struct http_header headers[] = { { SV("content-type"), SV("text/plain") } };
	struct kpod *p = kubelet_pod_named(s->k, ns, pod);
	struct log_opts o = { .tail = server_logs_number(r, "tailLines"),
			      .limit_bytes = server_logs_number(r, "limitBytes"),
			      .timestamps = http_query_flag(r, "timestamps") };
	_cleanup_(err_release) struct err err = ERR_INIT;
	const struct val *doc, *st;
	struct log_reader *reader;
	struct follow *f;
	int64_t count, since;
	struct sv stream, text;

	if (!p) {
		server_logs_refuse(r, 404, "pod \"%.*s\" not found on this node", SV_ARG(pod));
		return;
	}
	doc = obj_root(kpod_obj(p, r->arena));
	st = pod_container_status(doc, container);
	if (!pod_container(doc, container, NULL)) {
		server_logs_refuse(r, 400, "container %.*s is not valid for pod %.*s", SV_ARG(container), SV_ARG(pod));
		goto out;
	}
	count = val_get_int(st, 0, F_restartCount);
	if (http_query_flag(r, "previous"))
		count--;
	else if (!val_get(st, F_state, F_running) && !val_get(st, F_state, F_terminated) &&
		 !val_get(st, F_lastState, F_terminated)) {
		struct sv reason = val_get_str(st, F_state, F_waiting, F_reason);

		server_logs_refuse(r, 400, "container \"%.*s\" in pod \"%.*s\" is waiting to start: %.*s",
				   SV_ARG(container), SV_ARG(pod), SV_ARG(reason.n ? reason : SV("ContainerCreating")));
		goto out;
	}
	if (count < 0) {
		server_logs_refuse(r, 400, "previous terminated container \"%.*s\" in pod \"%.*s\" not found",
				   SV_ARG(container), SV_ARG(pod));
		goto out;
	}
	since = server_logs_number(r, "sinceSeconds");
	if (since >= 0)
		o.since_ns = env_now_ns(s->k->env) - MIN(since, INT32_MAX) * NS_PER_SEC;
	else if (http_query_get(r, "sinceTime", &text) && !time_parse(text, &o.since_ns))
		o.since_ns = 0;
	if (http_query_get(r, "stream", &stream)) {
		o.no_stdout = sv_is(stream, "Stderr");
		o.no_stderr = sv_is(stream, "Stdout");
	}
	reader = log_reader_open(s->k->log_dir, container_log_path(r->arena, doc, container, count), &o, &err);
	if (!reader) {
		server_logs_refuse(r, 404, "unable to retrieve container logs: %s", err_msg(&err));
		goto out;
	}
	f = xcalloc(1, sizeof(*f));
	f->s = s;
	f->r = http_req_ref(r);
	f->reader = reader;
	f->p = p;
	f->container = xstrndup(container.p, container.n);
	f->restart_count = count;
	f->follow = http_query_flag(r, "follow");
	r->user = f;
	r->on_gone = server_logs_on_gone;
	r->on_drain = server_logs_on_drain;
	http_stream_begin(r, 200, headers, 1);
	if (f->follow)
		f->timer = ev_timer_start(s->loop, POLL_NS, POLL_NS, on_timer, f);
	server_logs_pump(f);
	return;
out:
	kpod_unref(p);
}
