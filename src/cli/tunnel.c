#include "cli/tunnel.h"

#include "base/log.h"
#include "base/retry.h"
#include "ev/ev.h"
#include "net/reverse.h"

#include <pthread.h>
#include <stdlib.h>

#define SPARE 2 /* that wait to be used, at each server */
#define OPEN_MAX (SPARE + REVERSE_USED_MAX)
#define JITTER_MILLI 500 /* a server that is back has all of its nodes to talk to */

static const struct retry_policy tunnel_retry = { .first_ns = NS_PER_SEC, .max_ns = 5 * NS_PER_SEC };
static const struct retry_policy refused_retry = { .first_ns = 5 * NS_PER_SEC, .max_ns = 300 * NS_PER_SEC };

/* One server. */
struct tunnel_end {
	struct tunnel *t;
	char host[256];
	int port;
	bool listed;  /* else it is left alone, and forgotten when its last link is gone */
	int n, spare; /* all links to it, and those that are not used */
	struct ev_timer *timer;
	uint64_t failures;
	bool told;
	struct tunnel_end *next;
};

struct tunnel_link {
	struct tunnel_end *end;
	struct reverse_far *far;
	struct servers_at at;
	bool parked, used;
	struct tunnel_link *next;
};

struct tunnel {
	struct env *env;
	struct servers *servers;
	char *path;
	int port;
	struct ev_loop *loop;

	/* On the loop. */
	struct tunnel_end *ends;
	struct tunnel_link *links;
	bool stopping;

	pthread_mutex_t lock;
	pthread_cond_t ended;
	bool running;
};

static void tunnel_fill(struct tunnel_end *e);

static void tunnel_again(void *ctx)
{
	struct tunnel_end *e = ctx;

	e->timer = ev_timer_stop(e->timer);
	tunnel_fill(e);
}

static void tunnel_later(struct tunnel_end *e, const struct retry_policy *policy)
{
	int64_t pause = env_jitter(e->t->env, retry_pause_ns(policy, e->failures), JITTER_MILLI);

	ev_timer_stop(e->timer);
	e->timer = ev_timer_start(e->t->loop, pause, 0, tunnel_again, e);
}

static void tunnel_on_parked(void *ctx)
{
	struct tunnel_link *l = ctx;

	l->parked = true;
	l->end->failures = 0;
	l->end->told = false;
}

static void tunnel_on_used(void *ctx)
{
	struct tunnel_link *l = ctx;

	l->used = true;
	l->end->spare--;
	tunnel_fill(l->end);
}

/* An unused one is over, and another one is wanted, not at once. */
static void tunnel_failed(struct tunnel_link *l, const struct err *err)
{
	struct tunnel_end *e = l->end;
	bool answered = err && (err->reason == ERR_FORBIDDEN || err->reason == ERR_NOT_FOUND ||
				err->reason == ERR_TOO_MANY_REQUESTS);

	e->failures++;
	if (err && !answered && !l->parked)
		servers_failed(e->t->servers, &l->at);
	if (err && !e->told && !l->parked) {
		e->told = true;
		log_info("agent", "no connection is kept by which a server could reach this node", "server", "%s: %s",
			 e->host, err_msg(err));
	}
	tunnel_later(e, answered && err->reason != ERR_TOO_MANY_REQUESTS ? &refused_retry : &tunnel_retry);
}

static void tunnel_forget(struct tunnel_end *e)
{
	struct tunnel_end **at;

	for (at = &e->t->ends; *at != e; at = &(*at)->next)
		;
	*at = e->next;
	ev_timer_stop(e->timer);
	free(e);
}

static void tunnel_on_closed(const struct err *err, void *ctx)
{
	struct tunnel_link *l = ctx, **at;
	struct tunnel_end *e = l->end;
	struct tunnel *t = e->t;

	for (at = &t->links; *at != l; at = &(*at)->next)
		;
	*at = l->next;
	e->n--;
	e->spare -= !l->used;
	if (!t->stopping && e->listed) {
		if (l->used)
			tunnel_fill(e);
		else
			tunnel_failed(l, err);
	}
	servers_let_go(&l->at);
	free(l);
	if (!e->listed && !e->n)
		tunnel_forget(e);
	if (t->stopping && !t->links)
		ev_loop_stop(t->loop);
}

/* As many as are to wait, unless a pause is under way. */
static void tunnel_fill(struct tunnel_end *e)
{
	static const struct reverse_far_cb cb = { tunnel_on_parked, tunnel_on_used, tunnel_on_closed };
	struct tunnel *t = e->t;

	if (t->stopping || e->timer || !e->listed)
		return;
	while (e->spare < SPARE && e->n < OPEN_MAX) {
		struct tunnel_link *l = xcalloc(1, sizeof(*l));

		if (!servers_find(t->servers, e->host, e->port, &l->at)) {
			free(l);
			return; /* tunnel_look() is on its way */
		}
		l->end = e;
		l->next = t->links;
		t->links = l;
		e->n++;
		e->spare++;
		l->far = reverse_far_open(t->loop, &l->at.ep, t->path, "127.0.0.1", t->port, &cb, l);
	}
}

static struct tunnel_end *tunnel_end_of(struct tunnel *t, const struct servers_at *at)
{
	struct tunnel_end *e;

	for (e = t->ends; e; e = e->next)
		if (strcmp(at->host, e->host) == 0 && at->ep.port == e->port)
			return e;
	e = xcalloc(1, sizeof(*e));
	e->t = t;
	memcpy(e->host, at->host, sizeof(e->host));
	e->port = at->ep.port;
	e->next = t->ends;
	t->ends = e;
	return e;
}

/* Those that wait at a server that is none any more end; what is in use goes on. */
static void tunnel_leave(struct tunnel_end *e)
{
	e->timer = ev_timer_stop(e->timer);
	if (!e->n) {
		tunnel_forget(e);
		return;
	}
	for (struct tunnel_link *l = e->t->links; l; l = l->next)
		if (l->end == e && !l->used)
			reverse_far_close(l->far);
}

static void tunnel_look(void *ctx)
{
	struct tunnel *t = ctx;
	struct servers_at at;

	if (t->stopping)
		return;
	for (struct tunnel_end *e = t->ends; e; e = e->next)
		e->listed = false;
	for (size_t i = 0; servers_nth(t->servers, i, &at); i++) {
		tunnel_end_of(t, &at)->listed = true;
		servers_let_go(&at);
	}
	for (struct tunnel_end *e = t->ends, *next; e; e = next) {
		next = e->next;
		if (e->listed)
			tunnel_fill(e);
		else
			tunnel_leave(e);
	}
}

static void tunnel_end_all(void *ctx)
{
	struct tunnel *t = ctx;

	t->stopping = true;
	for (struct tunnel_end *e = t->ends; e; e = e->next)
		e->timer = ev_timer_stop(e->timer);
	if (!t->links)
		ev_loop_stop(t->loop);
	for (struct tunnel_link *l = t->links; l; l = l->next)
		reverse_far_close(l->far);
}

static void tunnel_main(void *ctx)
{
	struct tunnel *t = ctx;

	ev_loop_run(t->loop);
	pthread_mutex_lock(&t->lock);
	t->running = false;
	pthread_cond_broadcast(&t->ended);
	pthread_mutex_unlock(&t->lock);
}

static struct tunnel *tunnel_free(struct tunnel *t)
{
	for (struct tunnel_end *e = t->ends, *next; e; e = next) {
		next = e->next;
		free(e);
	}
	if (t->loop)
		ev_loop_free(t->loop);
	pthread_cond_destroy(&t->ended);
	pthread_mutex_destroy(&t->lock);
	free(t->path);
	free(t);
	return NULL;
}

struct tunnel *tunnel_start(struct env *env, struct servers *servers, const char *node_name, int port, struct err *err)
{
	struct tunnel *t = xcalloc(1, sizeof(*t));
	struct servers_at at;

	t->env = env;
	t->servers = servers;
	t->port = port;
	servers_current(servers, &at);
	t->path = xasprintf("%.*s/v1-caravel/nodes/%s/connect", SV_ARG(at.prefix), node_name);
	servers_let_go(&at);
	pthread_mutex_init(&t->lock, NULL);
	pthread_cond_init(&t->ended, NULL);
	t->loop = ev_loop_new(err);
	if (!t->loop)
		return tunnel_free(t);
	t->running = true;
	if (env_thread(env, "tunnel", tunnel_main, t) < 0) {
		err_set(err, ERR_INTERNAL, "no thread for the connections to the server");
		return tunnel_free(t);
	}
	ev_loop_post(t->loop, tunnel_look, t);
	return t;
}

void tunnel_servers_changed(struct tunnel *t)
{
	if (t)
		ev_loop_post(t->loop, tunnel_look, t);
}

struct tunnel *tunnel_stop(struct tunnel *t)
{
	if (!t)
		return NULL;
	ev_loop_post(t->loop, tunnel_end_all, t);
	pthread_mutex_lock(&t->lock);
	while (t->running)
		pthread_cond_wait(&t->ended, &t->lock);
	pthread_mutex_unlock(&t->lock);
	return tunnel_free(t);
}
