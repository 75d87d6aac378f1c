#include "kubelet/server.h"

#include "base/log.h"
#include "base/timefmt.h"
#include "client/zpages.h"
#include "codec/json.h"
#include "kubelet/kpod.h"
#include "kubelet/kubelet-internal.h"
#include "kubelet/pod_table.h"
#include "kubelet/volume_stats.h"
#include "kubelet/volume_totals.h"

#include <errno.h>
#include <stdlib.h>

/* --- simple pages --- */

static void pods_page(struct http_req *r, struct kubelet *k)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	struct kpod **pods;
	size_t n;

	pods = kubelet_pods(k, &a, &n);
	buf_adds(&b, "{\"kind\":\"PodList\",\"apiVersion\":\"v1\",\"metadata\":{},\"items\":[");
	for (size_t i = 0; i < n; i++) {
		if (i)
			buf_addc(&b, ',');
		buf_addsv(&b, obj_json(kpod_obj(pods[i], &a)));
		kpod_unref(pods[i]);
	}
	buf_adds(&b, "]}");
	server_answer(r, 200, "application/json", buf_sv(&b));
}

static void metrics_page(struct http_req *r, struct kubelet *k)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	struct rt_container *c = NULL;
	size_t n_pods, n = 0, running = 0;
	struct kpod **pods = kubelet_pods(k, &a, &n_pods);

	for (size_t i = 0; i < n_pods; i++)
		kpod_unref(pods[i]);
	k->rt->ops->list_containers(k->rt, &a, SV(""), &c, &n, NULL);
	volume_stats_metrics(k, &b);
	volume_metrics_write(k, &b);
	for (size_t i = 0; i < n; i++)
		running += c[i].state == RT_RUNNING;
	buf_printf(&b,
		   "# HELP kubelet_node_name The node's name. The value is always 1.\n"
		   "# TYPE kubelet_node_name gauge\n"
		   "kubelet_node_name{node=\"%s\"} 1\n"
		   "# HELP kubelet_running_pods Pods this node has to run.\n"
		   "# TYPE kubelet_running_pods gauge\n"
		   "kubelet_running_pods %zu\n"
		   "# HELP kubelet_running_containers Containers by state.\n"
		   "# TYPE kubelet_running_containers gauge\n"
		   "kubelet_running_containers{container_state=\"running\"} %zu\n"
		   "kubelet_running_containers{container_state=\"exited\"} %zu\n",
		   k->node_name, n_pods, running, n - running);
	if (k->metrics)
		k->metrics(k->metrics_ctx, &b);
	server_answer(r, 200, "text/plain; version=0.0.4", buf_sv(&b));
}

/* /statusz, in whatever form is asked for. */
static void status_page(struct http_req *r, const struct kubelet *k)
{
	static const char *const paths[] = { "/healthz", "/metrics", "/pods", "/stats", "/statusz", NULL };
	const struct zpage_about z = {
		.component = "kubelet", .start_ns = k->since_ns, .now_ns = env_now_ns(k->env), .paths = paths
	};
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	const char *type;
	int code = zpage_make(ZPAGE_STATUS, &z, http_header_get(r, "accept"), &b, &type);

	server_answer(r, code, type, buf_sv(&b));
}

/* --- dispatch --- */

/* A request and the parts of its path, in its arena. part[0] is "". */
struct asked {
	struct kserver *s;
	struct sv part[6];
	size_t n;
	enum kauth_verdict verdict;
	struct sv words;
};

static void dispatch(struct http_req *r, const struct asked *q)
{
	struct kserver *s = q->s;
	const struct sv *part = q->part;
	bool get = sv_is(r->method, "GET");
	enum zpage page;
	size_t n = q->n;

	if (n == 2 && get && sv_is(part[1], "healthz"))
		http_respond_text(r, 200, "text/plain; charset=utf-8", SV("ok"));
	else if (n == 2 && get && sv_is(part[1], "pods"))
		server_task(r, s, NULL, pods_page);
	else if (n == 2 && get && sv_is(part[1], "metrics"))
		server_task(r, s, NULL, metrics_page);
	else if (n == 2 && get && zpage_on(r->path, &page) && page == ZPAGE_STATUS)
		status_page(r, s->k);
	else if (n == 3 && get && server_usage(r, s, part[1], part[2]))
		return;
	else if (n == 5 && get && sv_is(part[1], "containerLogs"))
		server_logs(r, s, part[2], part[3], part[4]);
	else if (n == 5 && (sv_is(part[1], "exec") || sv_is(part[1], "attach")))
		server_stream(r, s, sv_is(part[1], "exec") ? "exec" : "attach", part[2], part[3], part[4]);
	else if (n == 4 && sv_is(part[1], "portForward"))
		server_stream(r, s, "portForward", part[2], part[3], SV(""));
	else
		http_respond_text(r, 404, "text/plain; charset=utf-8", SV("404 page not found\n"));
}

static void kserver_decided(struct http_req *r, void *ctx)
{
	static const int codes[] = {
		[KAUTH_UNKNOWN] = 500, [KAUTH_UNAUTHENTICATED] = 401, [KAUTH_FORBIDDEN] = 403, [KAUTH_BROKEN] = 503
	};
	struct asked *q = ctx;

	if (http_req_gone(r))
		return;
	if (q->verdict == KAUTH_ALLOWED)
		dispatch(r, q);
	else
		http_respond_text(r, codes[q->verdict], "text/plain; charset=utf-8", q->words);
}

static void ask_task(struct http_req *r, struct kubelet *k)
{
	struct asked *q = r->user;

	(void)k;
	q->verdict = kauth_ask(q->s->auth, r, q->part[1], &q->words);
	http_req_post(r, kserver_decided, q);
}

static void handle(struct http_req *r, void *ctx)
{
	struct asked *q = ARENA_NEW(r->arena, struct asked);
	struct sv rest = r->path;

	q->s = ctx;
	while (q->n < ARRAY_LEN(q->part) && sv_split(&rest, '/', &q->part[q->n]))
		q->n++;
	for (size_t i = 0; i < q->n; i++)
		q->part[i] = http_percent_decode(r->arena, q->part[i], false);
	q->verdict = kauth_known(q->s->auth, r, q->part[1], &q->words);
	if (q->verdict == KAUTH_UNKNOWN)
		server_task(r, q->s, q, ask_task);
	else
		kserver_decided(r, q);
}

/* --- life --- */

static void loop_thread(void *ctx)
{
	struct kserver *s = ctx;

	ev_loop_run(s->loop);
	pthread_mutex_lock(&s->lock);
	s->running = false;
	pthread_cond_broadcast(&s->ended);
	pthread_mutex_unlock(&s->lock);
}

/* Its one loop's. A line a second at most: peers can do this as often as they connect. */
static void calmed(const struct http_peer *peer, const char *what, void *ctx)
{
	struct kserver *s = ctx;
	int64_t now = env_mono_ns(s->k->env);

	if (s->calmed_ns && now - s->calmed_ns < NS_PER_SEC)
		return;
	s->calmed_ns = now;
	log_warn("kubelet", "a connection was ended: its peer does too much that no client needs", "peer", "%.*s: %s",
		 SV_ARG(peer->address), what);
}

static struct http_server *start_http(struct kserver *s, int port, int listening_fd, struct err *err)
{
	return http_server_start(&s->loop, 1,
				 &(struct http_server_opts){ .bind_address = "::",
							     .port = port,
							     .listening_fd = listening_fd,
							     .tls = s->tls,
							     .max_body = 1 << 20,
							     .max_connections = 1000,
							     .handler = handle,
							     .calmed = calmed,
							     .ctx = s },
				 err);
}

static struct tls_ctx *kserver_tls(const struct kserver *s, struct sv cert, struct sv key, struct err *err)
{
	return tls_server_ctx(
	    &(struct tls_server_opts){ .cert_pem = cert, .key_pem = key, .client_ca_pem = s->client_ca }, err);
}

int kserver_serve_with(struct kserver *s, struct sv cert, struct sv key, struct err *err)
{
	struct tls_ctx *tls = kserver_tls(s, cert, key, err);

	if (!tls)
		return -1;
	http_server_set_tls(s->http, tls);
	tls_ctx_unref(tls);
	return 0;
}

struct kserver *kserver_new(struct kubelet *k, const struct kubelet_opts *o, struct err *err)
{
	_cleanup_(err_release) struct err e = ERR_INIT;
	struct kserver *s = xcalloc(1, sizeof(*s));

	s->k = k;
	s->auth = kauth_new(k->env, k->client, k->node_name);
	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->ended, NULL);
	s->client_ca = o->client_ca;
	if (!(s->tls = kserver_tls(s, o->serving_cert, o->serving_key, err)) || !(s->loop = ev_loop_new(err)))
		goto fail;
	s->http = start_http(s, o->port, o->listening_fd, &e);
	if (!s->http && e.errnum == EADDRINUSE && o->port_else_any) {
		log_info("kubelet", "port is taken, using a free one", "port", "%d", o->port);
		s->http = start_http(s, 0, 0, err);
	} else if (!s->http) {
		err_move(err, &e);
	}
	if (!s->http)
		goto fail;
	s->running = true;
	if (env_thread(k->env, "kubelet-http", loop_thread, s) < 0) {
		s->running = false;
		err_set(err, ERR_INTERNAL, "no thread for the kubelet's server");
		goto fail;
	}
	return s;
fail:
	kserver_free(s);
	return NULL;
}

int kserver_fd(const struct kserver *s)
{
	return http_server_fd(s->http);
}

int kserver_port(const struct kserver *s)
{
	return http_server_port(s->http);
}

struct ev_loop *kserver_loop(const struct kserver *s)
{
	return s->loop;
}

struct kserver *kserver_free(struct kserver *s)
{
	if (!s)
		return NULL;
	s->stopping = true; /* log followers end at their next look */
	if (s->http && s->running)
		s->http = http_server_stop(s->http, NS_PER_SEC / 2);
	if (s->running)
		ev_loop_stop(s->loop);
	pthread_mutex_lock(&s->lock);
	while (s->running)
		pthread_cond_wait(&s->ended, &s->lock);
	pthread_mutex_unlock(&s->lock);
	if (s->loop)
		ev_loop_free(s->loop);
	tls_ctx_unref(s->tls);
	kauth_free(s->auth);
	pthread_cond_destroy(&s->ended);
	pthread_mutex_destroy(&s->lock);
	free(s);
	return NULL;
}
