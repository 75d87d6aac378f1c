#include "client_kit.h"

#include "client/https.h"
#include "client/kubeconfig.h"
#include "ev/ev.h"

#include <stdio.h>
#include <time.h>

#define LIMIT_S 60

/* --- the server and its clients --- */

static void *loop_thread(void *ctx)
{
	ev_loop_run(ctx);
	return NULL;
}

static void listen_https(struct rig *r)
{
	struct err err = ERR_INIT;
	struct http_server_opts o = {
		.bind_address = "127.0.0.1",
		.tls = apiserver_tls(r->server),
		.max_body = 3 << 20,
		.max_connections = 100,
		.handler = apiserver_http,
		.streams = apiserver_http_streams,
		.too_large = apiserver_http_too_large,
		.ctx = r->server,
	};

	r->loop = ev_loop_new(&err);
	assert_non_null(r->loop);
	r->http = http_server_start(&r->loop, 1, &o, &err);
	if (!r->http)
		fail_msg("%s", err_msg(&err));
	assert_int_equal(pthread_create(&r->thread, NULL, loop_thread, r->loop), 0);
}

/* The administrator comes by the kubeconfig that the server writes, the stranger by a certificate. */
static void https_clients(struct rig *r)
{
	struct err err = ERR_INIT;
	struct client_https_opts o = { .name = "conformance" };
	struct kubeconfig k;
	struct sv yaml;
	char url[64];

	(void)snprintf(url, sizeof(url), "https://127.0.0.1:%d", http_server_port(r->http));
	if (apiserver_admin_kubeconfig(r->server, &r->arena, url, &yaml, &err) < 0 ||
	    kubeconfig_parse(&r->arena, yaml, "admin", NULL, NULL, &k, &err) < 0)
		fail_msg("%s", err_msg(&err));
	r->c = client_kubeconfig_new(r->env, &k, "conformance", &err);
	if (!r->c)
		fail_msg("%s", err_msg(&err));
	o.server = url;
	o.ca_pem = apiserver_ca_pem(r->server);
	if (apiserver_issue_client_cert(r->server, &r->arena, "stranger", NULL, &o.cert_pem, &o.key_pem, &err) < 0)
		fail_msg("%s", err_msg(&err));
	r->stranger = client_https_new(r->env, &o, &err);
	if (!r->stranger)
		fail_msg("%s", err_msg(&err));
}

int rig_setup(void **state)
{
	static const char *const masters[] = { "system:masters", NULL };
	const char *transport = getenv("CLIENT");
	struct rig *r = xcalloc(1, sizeof(*r));
	struct err err = ERR_INIT;
	struct obj *ns;

	r->env = env_real_new(4);
	r->store = store_mem_new(r->env);
	r->server =
	    apiserver_new(&(struct apiserver_opts){ .env = r->env, .store = r->store, .anonymous_auth = true }, &err);
	if (!r->server)
		fail_msg("%s", err_msg(&err));
	if (transport && strcmp(transport, "https") == 0) {
		listen_https(r);
		https_clients(r);
	} else {
		r->c = apiserver_client(r->server, "conformance", "system:admin", masters);
		r->stranger = apiserver_client(r->server, "conformance", "stranger", NULL);
	}
	ns = parse("{\"apiVersion\":\"v1\",\"kind\":\"Namespace\",\"metadata\":{\"name\":\"conf\"}}");
	if (client_create(r->c, RES(core_namespaces), SV(""), obj_root(ns), NULL, NULL, &err) < 0)
		fail_msg("%s", err_msg(&err));
	obj_unref(ns);
	make_sa(r, "default");
	*state = r;
	return 0;
}

int rig_teardown(void **state)
{
	struct rig *r = *state;

	client_free(r->c);
	client_free(r->stranger);
	apiserver_shutdown(r->server);
	if (r->http) {
		http_server_stop(r->http, NS_PER_SEC);
		ev_loop_stop(r->loop);
		pthread_join(r->thread, NULL);
		ev_loop_free(r->loop);
	}
	apiserver_free(r->server);
	store_close(r->store);
	env_real_free(r->env);
	arena_release(&r->arena);
	free(r);
	return 0;
}

int clean(void **state)
{
	struct rig *r = *state;
	struct obj_list l = { 0 };
	struct err err = ERR_INIT;

	if (client_list(r->c, CM, SV("conf"), NULL, &l, &err) < 0)
		fail_msg("%s", err_msg(&err));
	for (size_t i = 0; i < l.n; i++)
		if (client_delete(r->c, CM, SV("conf"), obj_name(l.items[i]), NULL, &err) < 0)
			fail_msg("%s", err_msg(&err));
	obj_list_release(&l);
	return 0;
}

/* --- objects --- */

struct obj *parse(const char *json)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct err err = ERR_INIT;
	const struct val *v = json_decode(&a, sv_from(json), NULL, &err);

	if (!v)
		fail_msg("%s: %s", json, err_msg(&err));
	return obj_new(v, 0);
}

static struct obj *make(struct rig *r, const struct resource *res, const char *json)
{
	struct obj *doc = parse(json), *got = NULL;
	struct err err = ERR_INIT;

	if (client_create(r->c, res, SV("conf"), obj_root(doc), NULL, &got, &err) < 0)
		fail_msg("%s: %s", json, err_msg(&err));
	obj_unref(doc);
	return got;
}

struct obj *cm(struct rig *r, const char *name, const char *key, const char *value)
{
	_cleanup_free_ char *json =
	    xasprintf("{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{\"name\":\"%s\","
		      "\"namespace\":\"conf\"},\"data\":{\"%s\":\"%s\"}}",
		      name, key, value);

	(void)r;
	return parse(json);
}

struct obj *make_cm(struct rig *r, const char *name, const char *key, const char *value)
{
	_cleanup_obj_ struct obj *doc = cm(r, name, key, value);
	_cleanup_free_ char *json = xstrndup(obj_json(doc).p, obj_json(doc).n);

	return make(r, CM, json);
}

struct obj *make_cm_labelled(struct rig *r, const char *name, const char *label, const char *value)
{
	_cleanup_free_ char *json =
	    xasprintf("{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{\"name\":\"%s\","
		      "\"labels\":{\"%s\":\"%s\"}}}",
		      name, label, value);

	return make(r, CM, json);
}

struct obj *make_pod(struct rig *r, const char *name)
{
	_cleanup_free_ char *json = xasprintf("{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"%s\"},"
					      "\"spec\":{\"containers\":[{\"name\":\"c\",\"image\":\"i\"}]}}",
					      name);

	return make(r, RES(core_pods), json);
}

void make_sa(struct rig *r, const char *name)
{
	_cleanup_free_ char *json =
	    xasprintf("{\"apiVersion\":\"v1\",\"kind\":\"ServiceAccount\",\"metadata\":{\"name\":\"%s\"}}", name);

	obj_unref(make(r, RES(core_serviceaccounts), json));
}

int patch_text(struct rig *r, const struct resource *res, const char *name, enum patch_type t, const char *json,
	       const struct client_write_opts *o, struct obj **ret, struct err *err)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	const struct val *v = json_decode(&a, sv_from(json), NULL, NULL);

	assert_non_null(v);
	return client_patch(r->c, res, SV("conf"), sv_from(name), t, v, o, ret, err);
}

/* --- watches --- */

static void wait_changed(pthread_cond_t *cond, pthread_mutex_t *lock, const char *what)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	t.tv_sec += LIMIT_S;
	if (pthread_cond_timedwait(cond, lock, &t) != 0) {
		pthread_mutex_unlock(lock);
		fail_msg("waited too long for %s", what);
	}
}

static void on_event(enum watch_type t, struct obj *o, void *ctx)
{
	struct seen *s = ctx;
	struct client_watch *w = NULL;

	pthread_mutex_lock(&s->lock);
	BUG_ON(s->ended || s->inside++);
	s->holding = s->hold;
	pthread_cond_broadcast(&s->changed);
	while (s->hold)
		pthread_cond_wait(&s->changed, &s->lock);
	if (t != WATCH_BOOKMARK) {
		vec_push(&s->events, ((struct seen_event){ t, obj_ref(o) }));
		if (s->stop_at == s->events.n)
			w = TAKE(s->w);
	}
	pthread_mutex_unlock(&s->lock);
	if (w)
		client_unwatch(s->c, w);
	pthread_mutex_lock(&s->lock);
	s->inside--;
	pthread_cond_broadcast(&s->changed);
	pthread_mutex_unlock(&s->lock);
}

static void on_end(const struct err *why, void *ctx)
{
	struct seen *s = ctx;

	pthread_mutex_lock(&s->lock);
	BUG_ON(s->ended || s->inside);
	s->ended = true;
	s->why = why ? why->reason : ERR_NONE;
	pthread_cond_broadcast(&s->changed);
	pthread_mutex_unlock(&s->lock);
}

void seen_init(struct seen *s, struct client *c)
{
	*s = (struct seen){ .c = c };
	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->changed, NULL);
}

void seen_start(struct seen *s, const struct resource *r, const char *ns, const struct client_list_opts *o)
{
	static const struct client_watch_cb cb = { .event = on_event, .end = on_end };
	struct err err = ERR_INIT;

	/* Under the lock: s->w is there before the first callback looks. */
	pthread_mutex_lock(&s->lock);
	/* Whether the server refuses at once or later is the transport's choice. */
	if (client_watch(s->c, r, sv_from(ns), o, &cb, s, &s->w, &err) < 0) {
		s->ended = true;
		s->why = err.reason;
		err_release(&err);
	}
	pthread_mutex_unlock(&s->lock);
}

void seen_watch(struct seen *s, struct client *c, const struct resource *r, const char *ns,
		const struct client_list_opts *o)
{
	seen_init(s, c);
	seen_start(s, r, ns, o);
}

void seen_wait(struct seen *s, size_t n)
{
	pthread_mutex_lock(&s->lock);
	while (s->events.n < n)
		wait_changed(&s->changed, &s->lock, "events");
	pthread_mutex_unlock(&s->lock);
}

void seen_wait_rev(struct seen *s, struct rig *r, const char *name)
{
	struct err err = ERR_INIT;
	struct obj *now = NULL;
	int64_t rev;

	if (client_get(r->c, CM, SV("conf"), sv_from(name), &now, &err) < 0)
		fail_msg("%s", err_msg(&err));
	rev = obj_rev(now);
	obj_unref(now);
	pthread_mutex_lock(&s->lock);
	while (!s->events.n || obj_rev(vec_last(&s->events).o) < rev)
		wait_changed(&s->changed, &s->lock, "the newest version");
	for (size_t i = 1; i < s->events.n; i++)
		BUG_ON(obj_rev(s->events.p[i - 1].o) >= obj_rev(s->events.p[i].o));
	pthread_mutex_unlock(&s->lock);
}

void seen_expect(struct seen *s, size_t i, enum watch_type t, const char *name)
{
	struct seen_event e = { 0 };

	pthread_mutex_lock(&s->lock);
	if (i < s->events.n)
		e = s->events.p[i];
	pthread_mutex_unlock(&s->lock);
	assert_non_null(e.o);
	assert_int_equal(e.type, t);
	assert_sv(obj_name(e.o), name);
}

enum err_reason seen_end(struct seen *s)
{
	pthread_mutex_lock(&s->lock);
	while (!s->ended)
		wait_changed(&s->changed, &s->lock, "the end");
	pthread_mutex_unlock(&s->lock);
	return s->why;
}

void seen_let_go(struct seen *s)
{
	pthread_mutex_lock(&s->lock);
	while (!s->holding)
		wait_changed(&s->changed, &s->lock, "a callback");
	s->hold = false;
	pthread_cond_broadcast(&s->changed);
	pthread_mutex_unlock(&s->lock);
}

void seen_close(struct seen *s)
{
	client_unwatch(s->c, TAKE(s->w));
	pthread_mutex_lock(&s->lock);
	/* The callback that released the watch itself may still be on its way out. */
	while (s->inside)
		wait_changed(&s->changed, &s->lock, "the last callback");
	for (size_t i = 0; i < s->events.n; i++)
		obj_unref(s->events.p[i].o);
	vec_release(&s->events);
	pthread_mutex_unlock(&s->lock);
}

/* --- informers --- */

static void on_add(struct obj *o, void *ctx)
{
	struct tally *t = ctx;

	(void)o;
	pthread_mutex_lock(&t->lock);
	t->adds++;
	pthread_cond_broadcast(&t->changed);
	pthread_mutex_unlock(&t->lock);
}

static void on_del(struct obj *o, void *ctx)
{
	struct tally *t = ctx;

	(void)o;
	pthread_mutex_lock(&t->lock);
	t->dels++;
	pthread_cond_broadcast(&t->changed);
	pthread_mutex_unlock(&t->lock);
}

const struct informer_handler tally_handler = { .add = on_add, .del = on_del };

void tally_init(struct tally *t)
{
	*t = (struct tally){ 0 };
	pthread_mutex_init(&t->lock, NULL);
	pthread_cond_init(&t->changed, NULL);
}

void tally_wait(struct tally *t, int adds, int dels)
{
	pthread_mutex_lock(&t->lock);
	while (t->adds < adds || t->dels < dels)
		wait_changed(&t->changed, &t->lock, "the informer");
	assert_int_equal(t->adds, adds);
	assert_int_equal(t->dels, dels);
	pthread_mutex_unlock(&t->lock);
}

void tally_release(struct tally *t)
{
	pthread_mutex_destroy(&t->lock);
	pthread_cond_destroy(&t->changed);
}
