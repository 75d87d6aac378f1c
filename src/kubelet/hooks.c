/* Handlers, as probes and lifecycle hooks have them: exec, httpGet, tcpSocket, grpc; and hooks on top, which add
 * sleep. All but sleep run to their end within one task. */
#include "kubelet/hooks.h"

#include "base/version.h"
#include "codec/pbwire.h"
#include "kubelet/kpod.h"
#include "kubelet/ktask.h"
#include "kubelet/kubelet-internal.h"
#include "kubelet/pod_spec.h"
#include "kubelet/runtime_down.h"
#include "net/grpc.h"
#include "net/http_client.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static enum probe_result run_exec(struct kpod *p, struct arena *a, struct sv id, const struct val *exec,
				  int64_t timeout_ns, struct sv *ret_why)
{
	const struct val *cmd = val_member(exec, F_command);
	struct sv *argv = ARENA_ARRAY(a, struct sv, val_len(cmd) + 1), out, errs;
	_cleanup_(err_release) struct err err = ERR_INIT;
	size_t n = 0;
	int code;

	if (runtime_down(p->k)) { /* that is not the container's failure */
		*ret_why = SV("the container runtime does not answer");
		return PROBE_UNKNOWN;
	}
	VAL_EACH(cmd, c)
		argv[n++] = val_str(c);
	if (p->k->rt->ops->exec_sync(p->k->rt, a, id, argv, n, (timeout_ns + NS_PER_SEC - 1) / NS_PER_SEC, 10 << 10,
				     p->k->stop_fd, &out, &errs, &code, &err) < 0) {
		*ret_why = arena_sv(a, sv_from(err_msg(&err)));
		return err.reason == ERR_TIMEOUT && !runtime_down(p->k) ? PROBE_FAILURE : PROBE_UNKNOWN;
	}
	if (code == 0)
		return PROBE_SUCCESS;
	*ret_why = arena_svf(a, "%.*s%.*s", SV_ARG(out), SV_ARG(errs));
	return PROBE_FAILURE;
}

static struct sv target_host(struct kpod *p, struct arena *a, struct sv given)
{
	struct sv ips, first = SV("");

	if (given.n)
		return given;
	pthread_mutex_lock(&p->lock);
	ips = arena_sv(a, sv_from(p->ips && *p->ips ? p->ips : p->k->node_ips));
	pthread_mutex_unlock(&p->lock);
	sv_split(&ips, ' ', &first);
	return first;
}

/* Failures to connect, in the words in which people look for them. */
static struct sv dial_text(struct arena *a, struct sv host, int port, int errnum)
{
	char *text = arena_strdup(a, strerror(errnum));

	if (errnum == ETIMEDOUT)
		return arena_svf(a, "dial tcp %.*s:%d: i/o timeout", SV_ARG(host), port);
	if (*text >= 'A' && *text <= 'Z')
		*text = (char)(*text + 32);
	return arena_svf(a, "dial tcp %.*s:%d: connect: %s", SV_ARG(host), port, text);
}

static struct sv call_text(struct arena *a, struct sv host, int port, const struct err *err)
{
	if (err->reason == ERR_TIMEOUT)
		return SV("context deadline exceeded");
	if (err->errnum == ECONNREFUSED || err->errnum == EHOSTUNREACH || err->errnum == ENETUNREACH ||
	    err->errnum == ETIMEDOUT)
		return dial_text(a, host, port, err->errnum);
	return arena_sv(a, sv_from(err_msg(err)));
}

static enum probe_result run_http(struct kpod *p, struct arena *a, const struct val *container, const struct val *get,
				  int64_t timeout_ns, struct sv *ret_why)
{
	bool https = val_is(val_member(get, F_scheme), "HTTPS");
	struct sv path = val_get_str(get, F_path), host = target_host(p, a, val_get_str(get, F_host));
	const struct val *own = val_member(get, F_httpHeaders);
	struct http_header *h = ARENA_ARRAY(a, struct http_header, val_len(own) + 2);
	_cleanup_(tls_ctx_unrefp) struct tls_ctx *tls = NULL;
	_cleanup_(err_release) struct err err = ERR_INIT;
	struct http_endpoint ep = { .host = arena_cstr(a, host),
				    .port = container_port(container, val_member(get, F_port)) };
	struct http_response r;
	struct http_pool *pool;
	bool agent = false;
	size_t n = 0;
	int rc;

	if (ep.port < 0) {
		*ret_why = SV("the port is not known");
		return PROBE_FAILURE;
	}
	VAL_EACH(own, o) {
		char *name = arena_cstr(a, val_get_str(o, F_name));

		for (char *c = name; *c; c++)
			*c = (char)(*c >= 'A' && *c <= 'Z' ? *c + 32 : *c);
		agent |= !strcmp(name, "user-agent");
		h[n++] = (struct http_header){ sv_from(name), val_get_str(o, F_value) };
	}
	if (!agent)
		h[n++] = (struct http_header){ SV("user-agent"), SV("kube-probe/1." KUBERNETES_MINOR) };
	if (https) {
		tls = tls_client_ctx(&(struct tls_client_opts){ .insecure = true }, &err);
		ep.tls = tls;
	}
	pool = http_pool_new(); /* its own: probes test that connections can be made */
	http_pool_until(pool, p->k->stop_fd);
	rc = http_call(pool, a, &ep, "GET", path.n ? arena_cstr(a, path) : "/", h, n, SV(""), timeout_ns, 1 << 20, &r,
		       &err);
	http_pool_free(pool);
	if (rc < 0) {
		/* A body beyond our bound is a success too, if the status says so; transports report it as an error. */
		*ret_why = arena_svf(a, "Get \"%s://%.*s:%d%.*s\": %.*s", https ? "https" : "http", SV_ARG(host),
				     ep.port, SV_ARG(path), SV_ARG(call_text(a, host, ep.port, &err)));
		return PROBE_FAILURE;
	}
	if (r.status >= 200 && r.status < 400)
		return PROBE_SUCCESS;
	*ret_why = arena_svf(a, "HTTP probe failed with statuscode: %d", r.status);
	return PROBE_FAILURE;
}

/* 0 once fd is connected, or why it is not. A signal is no answer: the wait goes on until its time is up, or the
 * kubelet ends. */
static int hooks_connected(const struct kubelet *k, int fd, int64_t timeout_ns)
{
	int64_t until = env_mono_ns(k->env) + timeout_ns;
	struct pollfd pfd[] = { { .fd = fd, .events = POLLOUT }, { .fd = k->stop_fd, .events = POLLIN } };
	socklen_t len = sizeof(int);
	int n, e = 0;

	do {
		int64_t left = MAX(until - env_mono_ns(k->env), 0);

		n = poll(pfd, ARRAY_LEN(pfd), (int)MIN((left + NS_PER_MS - 1) / NS_PER_MS, INT_MAX));
	} while (n < 0 && errno == EINTR);
	if (n < 1)
		return n < 0 ? errno : ETIMEDOUT;
	if (pfd[1].revents)
		return ECANCELED;
	return getsockopt(fd, SOL_SOCKET, SO_ERROR, &e, &len) < 0 ? errno : e;
}

static enum probe_result run_tcp(struct kpod *p, struct arena *a, const struct val *container, const struct val *tcp,
				 int64_t timeout_ns, struct sv *ret_why)
{
	struct sv host = target_host(p, a, val_get_str(tcp, F_host));
	int port = container_port(container, val_member(tcp, F_port)), rc, e = 0;
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV }, *ai;
	_cleanup_close_ int fd = -1;

	if (port < 0 || (rc = getaddrinfo(arena_cstr(a, host), arena_printf(a, "%d", port), &hints, &ai)) != 0) {
		*ret_why = arena_svf(a, "cannot resolve %.*s", SV_ARG(host));
		return PROBE_FAILURE;
	}
	fd = socket(ai->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	rc = fd < 0 ? -1 : connect(fd, ai->ai_addr, ai->ai_addrlen);
	if (rc < 0)
		e = errno;
	freeaddrinfo(ai);
	if (rc < 0 && (e == EINPROGRESS || e == EINTR)) /* a connect that was interrupted goes on */
		e = hooks_connected(p->k, fd, timeout_ns);
	if (!e)
		return PROBE_SUCCESS;
	*ret_why = dial_text(a, host, port, e);
	return PROBE_FAILURE;
}

static enum probe_result run_grpc(struct kpod *p, struct arena *a, const struct val *grpc, int64_t timeout_ns,
				  struct sv *ret_why)
{
	struct sv host = target_host(p, a, SV("")), answer;
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	_cleanup_(err_release) struct err err = ERR_INIT;
	struct grpc_channel *ch =
	    grpc_channel_new(arena_printf(a, "%.*s:%" PRId64, SV_ARG(host), val_get_int(grpc, 0, F_port)));
	int rc;

	pb_sv(&b, 1, val_get_str(grpc, F_service));
	rc = grpc_call_until(ch, a, "/grpc.health.v1.Health/Check", buf_sv(&b), timeout_ns, p->k->stop_fd, &answer,
			     &err);
	grpc_channel_free(ch);
	if (rc < 0) {
		*ret_why =
		    arena_svf(a, "timeout: failed to connect service \"%.*s:%" PRId64 "\" within %" PRId64 "s: %.*s",
			      SV_ARG(host), val_get_int(grpc, 0, F_port), timeout_ns / NS_PER_SEC,
			      SV_ARG(call_text(a, host, (int)val_get_int(grpc, 0, F_port), &err)));
		return PROBE_FAILURE;
	}
	if (pb_get_u64(answer, 1) == 1) /* SERVING */
		return PROBE_SUCCESS;
	*ret_why = SV("service unhealthy (responded with \"NOT_SERVING\")");
	return PROBE_FAILURE;
}

static enum probe_result handler_do(struct kpod *p, struct arena *a, const struct val *container, struct sv id,
				    const struct val *handler, int64_t timeout_ns, struct sv *ret_why)
{
	const struct val *h;

	if ((h = val_member(handler, F_exec)))
		return run_exec(p, a, id, h, timeout_ns, ret_why);
	if (!p->k->files) /* no sockets in the simulator: what runs answers */
		return PROBE_SUCCESS;
	if ((h = val_member(handler, F_httpGet)))
		return run_http(p, a, container, h, timeout_ns, ret_why);
	if ((h = val_member(handler, F_tcpSocket)))
		return run_tcp(p, a, container, h, timeout_ns, ret_why);
	if ((h = val_member(handler, F_grpc)))
		return run_grpc(p, a, h, timeout_ns, ret_why);
	return PROBE_SUCCESS;
}

enum probe_result handler_run(struct kpod *p, struct arena *a, const struct val *container, struct sv id,
			      const struct val *handler, int64_t timeout_ns, struct sv *ret_why)
{
	enum probe_result r;

	*ret_why = SV("");
	r = handler_do(p, a, container, id, handler, timeout_ns, ret_why);
	return r != PROBE_SUCCESS && kubelet_stopping(p->k) ? PROBE_UNKNOWN : r; /* it was given up */
}

/* --- lifecycle hooks --- */

struct hook {
	struct kpod *p;
	struct obj *obj;
	char *container, *id;
	bool pre_stop;
	int64_t timeout_ns;
	bool slept;
	struct env_timer *timer; /* of a sleep; under p->lock */
};

static void hook_end(struct hook *h, bool ok)
{
	struct kpod *p = h->p;
	const struct val *spec = pod_container(obj_root(h->obj), sv_from(h->container), NULL);

	pthread_mutex_lock(&p->lock);
	for (size_t i = 0; i < p->conts.n; i++) {
		struct kcont *c = p->conts.p[i];

		if (strcmp(c->name, h->container) != 0 || !c->id || strcmp(c->id, h->id) != 0)
			continue;
		*(h->pre_stop ? &c->pre_stop : &c->post_start) = ok ? HOOK_DONE : HOOK_FAILED;
	}
	pthread_mutex_unlock(&p->lock);
	/* What the handler printed is not told: events are read by more people than the container's secrets. */
	if (!ok)
		kpod_event(p, spec, "Warning", h->pre_stop ? "FailedPreStopHook" : "FailedPostStartHook", "%s",
			   h->pre_stop ? "PreStopHook failed" : "PostStartHook failed");
	kpod_kick(p);
}

static void hook_task(void *ctx)
{
	struct hook *h = ctx;
	struct kpod *p = h->p;
	_cleanup_(arena_release) struct arena a = ARENA_INIT;

	if (ktask_enter(p->k)) {
		const struct val *spec = pod_container(obj_root(h->obj), sv_from(h->container), NULL);
		const struct val *handler = val_get(spec, F_lifecycle, h->pre_stop ? F_preStop : F_postStart);
		enum probe_result r = PROBE_SUCCESS;
		struct sv why = SV("");

		if (!h->slept)
			r = handler_run(p, &a, spec, sv_from(h->id), handler, MIN(h->timeout_ns, 3600 * NS_PER_SEC),
					&why);
		if (r != PROBE_UNKNOWN || !kubelet_stopping(p->k)) /* else it is the next agent's */
			hook_end(h, r == PROBE_SUCCESS);
		ktask_leave(p->k);
	}
	pthread_mutex_lock(&p->lock);
	h->timer = env_timer_cancel(p->k->env, h->timer);
	pthread_mutex_unlock(&p->lock);
	obj_unref(h->obj);
	kpod_unref(p);
	free(h->container);
	free(h->id);
	free(h);
}

void hook_start(struct kpod *p, struct kcont *c, const struct val *container, const struct val *handler, bool pre_stop,
		int64_t timeout_ns)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	int64_t seconds = val_get_int(handler, -1, F_sleep, F_seconds);
	struct hook *h = xcalloc(1, sizeof(*h));

	(void)container;
	h->p = kpod_ref(p);
	h->obj = obj_ref(kpod_obj(p, &a));
	h->container = xstrdup(c->name);
	h->id = xstrdup(c->id);
	h->pre_stop = pre_stop;
	h->timeout_ns = timeout_ns;
	pthread_mutex_lock(&p->lock);
	*(pre_stop ? &c->pre_stop : &c->post_start) = HOOK_RUNNING;
	pthread_mutex_unlock(&p->lock);
	if (seconds < 0) {
		env_post(p->k->env, ENV_SLOW, hook_task, h);
		return;
	}
	h->slept = true;
	pthread_mutex_lock(&p->lock); /* the task releases the timer: not before it is stored */
	h->timer = env_after(p->k->env, ENV_NODE, MIN(seconds, 86400) * NS_PER_SEC, hook_task, h);
	pthread_mutex_unlock(&p->lock);
}
