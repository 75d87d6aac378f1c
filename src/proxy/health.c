#include "proxy/health.h"

#include "client/zpages.h"
#include "base/log.h"
#include "base/strmap.h"
#include "base/timefmt.h"
#include "net/http.h"
#include "object/obj.h"
#include "proxy/metrics.h"
#include "proxy/proxy_config.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#define STALE_NS (60 * NS_PER_SEC) /* upstream: twice the sync period of 30 s */
#define HEALTHZ_PORT 10256
#define METRICS_PORT 10249
#define CONNECTIONS_MAX 200 /* of a port */

/* A Service's port, and who answers there. Freed when its server is stopped. */
struct health_port {
	struct proxy_health *h;
	char *ns, *name;
	int port;
	_Atomic size_t local;
	struct http_server *http; /* NULL: the port was taken */
};

struct proxy_health {
	struct env *env;
	int64_t since_ns;    /* wall clock: of its start */
	struct strmap ports; /* "namespace/name" -> struct health_port */
	struct http_server *healthz, *metrics;
	struct ev_loop *loop;

	/* Read by the network thread. */
	_Atomic int64_t last_ns;    /* of the last sync that went well, wall clock; 0: none yet */
	_Atomic int64_t failing_ns; /* since when syncs fail; 0: they do not */
	_Atomic int64_t failures;
	struct proxy_metrics metrics_of;
	_Atomic bool going; /* the Node */

	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool borrowed; /* the loop is another's */
	bool running;  /* the loop's thread, if it is ours */
};

/* --- answers --- */

static bool phealth_is_good(struct proxy_health *h)
{
	int64_t failing = h->failing_ns;

	return h->last_ns && (!failing || env_mono_ns(h->env) - failing < STALE_NS);
}

static void phealth_answer(struct http_req *r, int status, const char *type, struct sv body, const char *weight)
{
	struct http_header headers[] = {
		{ SV("content-type"), sv_from(type) },
		{ SV("x-content-type-options"), SV("nosniff") },
		{ SV("x-load-balancing-endpoint-weight"), sv_from(weight ? weight : "") },
	};
	struct http_chunk c = { .data = arena_sv(r->arena, body) };

	http_respond(r, status, headers, weight ? 3 : 2, &c, 1);
}

void proxy_health_json(struct buf *b, struct sv ns, struct sv name, size_t local_endpoints, bool healthy)
{
	/* Names of objects need no escapes. */
	buf_printf(b,
		   "{\n\t\"service\": {\n\t\t\"namespace\": \"%.*s\",\n\t\t\"name\": \"%.*s\"\n\t},\n"
		   "\t\"localEndpoints\": %zu,\n\t\"serviceProxyHealthy\": %s\n}",
		   SV_ARG(ns), SV_ARG(name), local_endpoints, healthy ? "true" : "false");
}

static void on_service_request(struct http_req *r, void *ctx)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	struct health_port *p = ctx;
	bool healthy = phealth_is_good(p->h);
	size_t local = p->local;

	proxy_health_json(&b, sv_from(p->ns), sv_from(p->name), local, healthy);
	phealth_answer(r, local && healthy ? 200 : 503, "application/json", buf_sv(&b),
		       arena_printf(r->arena, "%zu", local));
}

static void on_healthz_request(struct http_req *r, void *ctx)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	struct proxy_health *h = ctx;
	bool live = sv_is(r->path, "/livez"), good = phealth_is_good(h), eligible = !h->going;
	int64_t now = env_now_ns(h->env), last = h->last_ns;
	char updated[TIME_TEXT_MAX], current[TIME_TEXT_MAX];

	if (!live && !sv_is(r->path, "/healthz")) {
		http_respond_text(r, 404, "text/plain; charset=utf-8", SV("404 page not found\n"));
		return;
	}
	(void)time_format(good && !h->failing_ns ? now : last, false, updated);
	(void)time_format(now, false, current);
	buf_printf(&b, "{\"lastUpdated\": \"%s\",\"currentTime\": \"%s\", \"nodeEligible\": %s}", updated, current,
		   eligible ? "true" : "false");
	phealth_answer(r, good && (live || eligible) ? 200 : 503, "application/json", buf_sv(&b), NULL);
}

void proxy_health_metrics(struct proxy_health *h, struct buf *b)
{
	buf_printf(
	    b,
	    "# HELP kubeproxy_sync_proxy_rules_last_timestamp_seconds When the rules were written last\n"
	    "# TYPE kubeproxy_sync_proxy_rules_last_timestamp_seconds gauge\n"
	    "kubeproxy_sync_proxy_rules_last_timestamp_seconds %.3f\n"
	    "# HELP kubeproxy_sync_proxy_rules_nftables_sync_failures_total How often they could not be written\n"
	    "# TYPE kubeproxy_sync_proxy_rules_nftables_sync_failures_total counter\n"
	    "kubeproxy_sync_proxy_rules_nftables_sync_failures_total %" PRId64 "\n",
	    (double)h->last_ns / 1e9, (int64_t)h->failures);
	proxy_metrics_write(&h->metrics_of, b);
}

static void phealth_status(struct http_req *r, struct proxy_health *h)
{
	static const char *const paths[] = { "/healthz", "/metrics", "/proxyMode", "/statusz", NULL };
	const struct zpage_about z = {
		.component = "kube-proxy", .start_ns = h->since_ns, .now_ns = env_now_ns(h->env), .paths = paths
	};
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	const char *type;
	int code = zpage_make(ZPAGE_STATUS, &z, http_header_get(r, "accept"), &b, &type);

	phealth_answer(r, code, type, buf_sv(&b), NULL);
}

static void on_metrics_request(struct http_req *r, void *ctx)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	struct proxy_health *h = ctx;
	enum zpage page;

	if (sv_is(r->path, "/proxyMode")) {
		http_respond_text(r, 200, "text/plain; charset=utf-8", SV("nftables"));
	} else if (sv_is(r->path, "/healthz")) {
		http_respond_text(r, 200, "text/plain; charset=utf-8", SV("ok"));
	} else if (zpage_on(r->path, &page) && page == ZPAGE_STATUS) {
		phealth_status(r, h);
	} else if (sv_is(r->path, "/metrics")) {
		proxy_health_metrics(h, &b);
		phealth_answer(r, 200, "text/plain; version=0.0.4; charset=utf-8", buf_sv(&b), NULL);
	} else {
		http_respond_text(r, 404, "text/plain; charset=utf-8", SV("404 page not found\n"));
	}
}

/* --- the thread and its servers --- */

static void phealth_thread(void *ctx)
{
	struct proxy_health *h = ctx;

	ev_loop_run(h->loop);
	pthread_mutex_lock(&h->lock);
	h->running = false;
	pthread_cond_broadcast(&h->changed);
	pthread_mutex_unlock(&h->lock);
}

static int phealth_run(struct proxy_health *h, struct err *err)
{
	if (h->running || h->borrowed)
		return 0;
	if (!h->loop && !(h->loop = ev_loop_new(err)))
		return -1;
	h->running = true;
	if (env_thread(h->env, "proxy-http", phealth_thread, h) < 0) {
		h->running = false;
		return err_set(err, ERR_INTERNAL, "no thread for the proxy's server");
	}
	return 0;
}

/* A server is made on its loop's thread; whoever wants it waits. */
struct listening {
	struct proxy_health *h;
	struct http_server_opts o;
	struct http_server *http;
	struct err *err;
	bool done;
};

static void listen_there(void *ctx)
{
	struct listening *l = ctx;
	struct proxy_health *h = l->h;
	struct http_server *http = http_server_start(&h->loop, 1, &l->o, l->err);

	pthread_mutex_lock(&h->lock);
	l->http = http;
	l->done = true;
	pthread_cond_broadcast(&h->changed);
	pthread_mutex_unlock(&h->lock);
}

static struct http_server *phealth_listen(struct proxy_health *h, const char *address, int port,
					  void (*handler)(struct http_req *r, void *ctx), void *ctx, struct err *err)
{
	struct listening l = { .h = h,
			       .o = { .bind_address = address,
				      .port = port,
				      .max_body = 1024,
				      .max_incomplete = 1 << 20,
				      .max_connections = CONNECTIONS_MAX,
				      .handler = handler,
				      .ctx = ctx },
			       .err = err };

	if (phealth_run(h, err) < 0)
		return NULL;
	ev_loop_post(h->loop, listen_there, &l);
	pthread_mutex_lock(&h->lock);
	while (!l.done)
		pthread_cond_wait(&h->changed, &h->lock);
	pthread_mutex_unlock(&h->lock);
	return l.http;
}

/* Empty: NULL, and no failure. */
static int phealth_serve(struct proxy_health *h, const char *address, int port, bool required,
			 void (*handler)(struct http_req *r, void *ctx), struct http_server **ret, struct err *err)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(err_release) struct err why = ERR_INIT;
	const char *host;

	if (!address || !*address)
		return 0;
	if (!proxy_address_split(&a, address, &host, &port))
		return err_set(err, ERR_INVALID, "'%s' is no address with a port, like 0.0.0.0:10256", address);
	*ret = phealth_listen(h, host, port, handler, h, &why);
	if (*ret)
		return 0;
	if (required)
		return err_move(err, &why);
	log_kv(LVL_INFO, "proxy", "the proxy's health is not told there", "address", address, "error", err_msg(&why),
	       NULL);
	return 0;
}

struct proxy_health *proxy_health_new(const struct proxy_health_opts *o, struct err *err)
{
	struct proxy_health *h = xcalloc(1, sizeof(*h));

	h->env = o->env;
	h->since_ns = env_now_ns(o->env);
	h->loop = o->loop;
	h->borrowed = o->loop;
	pthread_mutex_init(&h->lock, NULL);
	pthread_cond_init(&h->changed, NULL);
	if (phealth_serve(h, o->healthz_address, HEALTHZ_PORT, o->required, on_healthz_request, &h->healthz, err) < 0 ||
	    phealth_serve(h, o->metrics_address, METRICS_PORT, o->required, on_metrics_request, &h->metrics, err) < 0)
		return proxy_health_free(h);
	return h;
}

static void phealth_port_free(void *ctx)
{
	struct health_port *p = ctx;

	p->http = http_server_stop(p->http, 0);
	free(p->ns);
	free(p->name);
	free(p);
}

struct proxy_health *proxy_health_free(struct proxy_health *h)
{
	if (!h)
		return NULL;
	strmap_release_with(&h->ports, phealth_port_free);
	h->healthz = http_server_stop(h->healthz, 0);
	h->metrics = http_server_stop(h->metrics, 0);
	if (h->running)
		ev_loop_stop(h->loop);
	pthread_mutex_lock(&h->lock);
	while (h->running)
		pthread_cond_wait(&h->changed, &h->lock);
	pthread_mutex_unlock(&h->lock);
	if (h->loop && !h->borrowed)
		ev_loop_free(h->loop);
	pthread_cond_destroy(&h->changed);
	pthread_mutex_destroy(&h->lock);
	free(h);
	return NULL;
}

/* --- Services --- */

static void phealth_port_open(struct proxy_health *h, struct health_port *p)
{
	_cleanup_(err_release) struct err err = ERR_INIT;

	p->http = phealth_listen(h, "::", p->port, on_service_request, p, &err);
	if (!p->http)
		log_kv(LVL_WARN, "proxy", "a health check node port is not served, load balancers see nothing here",
		       "namespace", p->ns, "service", p->name, "error", err_msg(&err), NULL);
}

void proxy_health_service(struct proxy_health *h, struct sv ns, struct sv name, int port, size_t local_endpoints)
{
	_cleanup_(buf_release) struct buf key = BUF_INIT;
	struct health_port *p = strmap_get(&h->ports, obj_path(&key, ns, name));

	if (p && p->port != port) {
		phealth_port_free(strmap_del(&h->ports, buf_sv(&key)));
		p = NULL;
	}
	if (!port)
		return;
	if (!p) {
		p = xcalloc(1, sizeof(*p));
		p->h = h;
		p->ns = xstrndup(ns.p, ns.n);
		p->name = xstrndup(name.p, name.n);
		p->port = port;
		p->local = local_endpoints;
		strmap_set(&h->ports, buf_sv(&key), p);
		phealth_port_open(h, p);
	}
	p->local = local_endpoints;
}

void proxy_health_retry(struct proxy_health *h)
{
	STRMAP_EACH(&h->ports, e) {
		struct health_port *p = e->value;

		if (!p->http)
			phealth_port_open(h, p);
	}
}

void proxy_health_synced(struct proxy_health *h, bool well, int64_t took_ns)
{
	if (well) {
		proxy_metrics_synced(&h->metrics_of, took_ns);
		h->last_ns = env_now_ns(h->env);
		h->failing_ns = 0;
	} else {
		h->failures++;
		if (!h->failing_ns)
			h->failing_ns = env_mono_ns(h->env);
	}
}

void proxy_health_programmed(struct proxy_health *h, int64_t took_ns)
{
	proxy_metrics_programmed(&h->metrics_of, took_ns);
}

void proxy_health_node(struct proxy_health *h, bool eligible)
{
	h->going = !eligible;
}
