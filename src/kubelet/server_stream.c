/* exec, attach and port-forward: the runtime gives an address on its own streaming server (loopback), and the
 * upgraded connection is passed through to it, byte for byte. */
#include "kubelet/kpod.h"
#include "kubelet/kubelet-internal.h"
#include "kubelet/pod_spec.h"
#include "kubelet/pod_table.h"
#include "kubelet/server.h"
#include "net/remotecommand.h"

#include <stdlib.h>

struct stream {
	struct kserver *s;
	struct http_req *r;
	const char *what;
	struct sv ns, pod, container; /* in the request's arena */
	char *host, *target;
	int port;
	struct err err;
};

static void stream_free(struct stream *t)
{
	free(t->host);
	free(t->target);
	err_release(&t->err);
	free(t);
}

static void server_stream_finished(struct http_req *r, bool answered, const struct err *err, void *ctx)
{
	(void)ctx;
	if (!answered && !http_req_gone(r))
		http_respond_text(r, 502, "text/plain; charset=utf-8",
				  sv_from(err ? err_msg(err) : "the runtime's streaming server does not answer"));
}

static void connect_now(struct http_req *r, void *ctx)
{
	struct stream *t = ctx;
	const struct rc_opts o = { .done = server_stream_finished };

	if (!t->err.reason && !http_req_gone(r)) {
		const struct rc_backend b = { .endpoint = { .host = t->host, .port = t->port },
					      .method = arena_cstr(r->arena, r->method),
					      .target = t->target };

		rc_pipe(r, &b, &o, &t->err);
	}
	if (t->err.reason && !http_req_gone(r))
		http_respond_text(r, err_code(&t->err), "text/plain; charset=utf-8", sv_from(err_msg(&t->err)));
	stream_free(t);
	http_req_unref(r);
}

/* "http://127.0.0.1:4711/exec/token" */
static int split_url(struct stream *t, struct sv url)
{
	struct sv rest, hostport;
	ssize_t slash, colon;
	int64_t port;

	if (!sv_starts(url, SV("http://")))
		return err_set(&t->err, ERR_INTERNAL, "the runtime's streaming address '%.*s' is not understood",
			       SV_ARG(url));
	rest = sv_sub(url, 7, url.n);
	slash = sv_find(rest, '/');
	hostport = slash < 0 ? rest : sv_sub(rest, 0, (size_t)slash);
	colon = sv_find(hostport, ':');
	if (colon < 0 || !sv_to_i64(sv_sub(hostport, (size_t)colon + 1, hostport.n), &port) || port < 1 || port > 65535)
		return err_set(&t->err, ERR_INTERNAL, "the runtime's streaming address '%.*s' has no port",
			       SV_ARG(url));
	t->host = xstrndup(hostport.p, (size_t)colon);
	t->port = (int)port;
	t->target = slash < 0 ? xstrdup("/") : xstrndup(rest.p + slash, rest.n - (size_t)slash);
	return 0;
}

/* All values of a repeated parameter, in order. */
static struct sv *params(const struct http_req *r, struct arena *a, const char *name, size_t *ret_n)
{
	struct sv rest = r->query, one;
	struct sv *list = ARENA_ARRAY(a, struct sv, r->query.n / 2 + 2);

	*ret_n = 0;
	while (r->query.n && sv_split(&rest, '&', &one)) {
		ssize_t eq = sv_find(one, '=');
		struct sv key = eq < 0 ? one : sv_sub(one, 0, (size_t)eq);

		if (sv_is(key, name))
			list[(*ret_n)++] =
			    http_percent_decode(a, eq < 0 ? SV("") : sv_sub(one, (size_t)eq + 1, one.n), true);
	}
	return list;
}

static struct sv container_id(const struct val *pod, struct sv container)
{
	const struct val *s = pod_container_status(pod, container);

	return val_get(s, F_state, F_running) ? status_container_id(s) : SV("");
}

static bool either(const struct http_req *r, const char *x, const char *y)
{
	return http_query_flag(r, x) || http_query_flag(r, y);
}

static int server_stream_ask(struct stream *t, struct arena *a)
{
	struct kubelet *k = t->s->k;
	struct runtime *rt = k->rt;
	struct kpod *p = kubelet_pod_named(k, t->ns, t->pod);
	struct sv id, url, sandbox, *list;
	const struct val *pod;
	bool in = either(t->r, "input", "stdin"), out = either(t->r, "output", "stdout"),
	     errs = either(t->r, "error", "stderr"), tty = http_query_flag(t->r, "tty");
	int *ports, rc = -1;
	size_t n, n_ports = 0;

	if (!p)
		return err_set(&t->err, ERR_NOT_FOUND, "pod \"%.*s\" not found on this node", SV_ARG(t->pod));
	pod = obj_root(kpod_obj(p, a));
	id = container_id(pod, t->container);
	if (!strcmp(t->what, "attach")) /* whatever is asked for: it runs at a terminal or it does not */
		tty = val_get_bool(pod_container(pod, t->container, NULL), F_tty);
	pthread_mutex_lock(&p->lock);
	sandbox = arena_sv(a, sv_from(p->ips_of ? p->ips_of : ""));
	pthread_mutex_unlock(&p->lock);
	kpod_unref(p);
	if (!strcmp(t->what, "portForward")) {
		list = params(t->r, a, "port", &n);
		ports = ARENA_ARRAY(a, int, n + 1);
		for (size_t i = 0; i < n; i++) {
			int64_t v;

			if (sv_to_i64(list[i], &v) && v > 0 && v <= 65535)
				ports[n_ports++] = (int)v;
		}
		if (!sandbox.n)
			return err_set(&t->err, ERR_UNAVAILABLE, "pod \"%.*s\" has no sandbox", SV_ARG(t->pod));
		rc = rt->ops->port_forward_url(rt, a, sandbox, ports, n_ports, &url, &t->err);
	} else if (!id.n) {
		return err_set(&t->err, ERR_NOT_FOUND, "container not found (\"%.*s\")", SV_ARG(t->container));
	} else if (!strcmp(t->what, "exec")) {
		list = params(t->r, a, "command", &n);
		if (!n)
			return err_set(&t->err, ERR_BAD_REQUEST, "no command given");
		rc = rt->ops->exec_url(rt, a, id, list, n, tty, in, out, errs, &url, &t->err);
	} else {
		rc = rt->ops->attach_url(rt, a, id, tty, in, out, errs, &url, &t->err);
	}
	return rc < 0 ? -1 : split_url(t, url);
}

static void stream_task(struct http_req *r, struct kubelet *k)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct stream *t = r->user;

	(void)k;
	server_stream_ask(t, &a);
	http_req_post(http_req_ref(r), connect_now, t);
}

void server_stream(struct http_req *r, struct kserver *s, const char *what, struct sv ns, struct sv pod,
		   struct sv container)
{
	struct stream *t;

	if (!rc_is_upgrade(r)) {
		http_respond_text(r, 400, "text/plain; charset=utf-8", SV("Upgrade request required"));
		return;
	}
	t = xcalloc(1, sizeof(*t));
	t->s = s;
	t->r = r;
	t->what = what;
	t->ns = ns;
	t->pod = pod;
	t->container = container;
	if (!server_task(r, s, t, stream_task))
		stream_free(t);
}
