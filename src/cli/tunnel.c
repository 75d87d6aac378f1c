#include "cli/tunnel.h"

#include "base/log.h"
#include "base/retry.h"
#include "ev/ev.h"
#include "net/reverse.h"

#include <pthread.h>
#include <stdlib.h>

#define SPARE 2	    /* that wait to be used */
#define OPEN_MAX 64 /* used ones included */
#define REFUSED_NS (300 * NS_PER_SEC)

static const struct retry_policy tunnel_retry = { .first_ns = NS_PER_SEC, .max_ns = 30 * NS_PER_SEC };

struct tunnel_link {
	struct tunnel *t;
	struct reverse_far *far;
	struct servers_at at;
	bool parked, used;
	struct tunnel_link *next;
};

struct tunnel {
	struct servers *servers;
	char *path;
	int port;
	struct ev_loop *loop;

	/* On the loop. */
	struct tunnel_link *links;
	int n, spare; /* all, and those that are not used */
	struct ev_timer *timer;
	uint64_t failures;
	bool stopping, told;

	pthread_mutex_t lock;
	pthread_cond_t ended;
	bool running;
};

static void tunnel_fill(void *ctx);

static void tunnel_later(struct tunnel *t, int64_t pause)
{
	ev_timer_stop(t->timer);
	t->timer = ev_timer_start(t->loop, pause, 0, tunnel_fill, t);
}

static void tunnel_on_parked(void *ctx)
{
	struct tunnel_link *l = ctx;

	l->parked = true;
	l->t->failures = 0;
	l->t->told = false;
}

static void tunnel_on_used(void *ctx)
{
	struct tunnel_link *l = ctx;

	l->used = true;
	l->t->spare--;
	tunnel_fill(l->t);
}

static void tunnel_on_closed(const struct err *err, void *ctx)
{
	struct tunnel_link *l = ctx, **at;
	struct tunnel *t = l->t;

	for (at = &t->links; *at != l; at = &(*at)->next)
		;
	*at = l->next;
	t->n--;
	t->spare -= !l->used;
	if (!l->used && !t->stopping) {
		bool refused = err && (err->reason == ERR_FORBIDDEN || err->reason == ERR_NOT_FOUND);

		t->failures++;
		if (err && !refused && !l->parked)
			servers_failed(t->servers, &l->at);
		if (err && !t->told && !l->parked) {
			t->told = true;
			log_info("agent", "no connection is kept by which the server could reach this node", "why",
				 "%s", err_msg(err));
		}
		tunnel_later(t, refused ? REFUSED_NS : retry_pause_ns(&tunnel_retry, t->failures));
	} else if (!t->stopping) {
		tunnel_fill(t);
	}
	servers_let_go(&l->at);
	free(l);
	if (t->stopping && !t->n)
		ev_loop_stop(t->loop);
}

/* As many as are to wait. */
static void tunnel_fill(void *ctx)
{
	static const struct reverse_far_cb cb = { tunnel_on_parked, tunnel_on_used, tunnel_on_closed };
	struct tunnel *t = ctx;

	while (!t->stopping && t->spare < SPARE && t->n < OPEN_MAX) {
		struct tunnel_link *l = xcalloc(1, sizeof(*l));

		l->t = t;
		l->next = t->links;
		t->links = l;
		t->n++;
		t->spare++;
		servers_current(t->servers, &l->at);
		l->far = reverse_far_open(t->loop, &l->at.ep, t->path, "127.0.0.1", t->port, &cb, l);
	}
}

static void tunnel_end(void *ctx)
{
	struct tunnel *t = ctx;

	t->stopping = true;
	t->timer = ev_timer_stop(t->timer);
	if (!t->n)
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
	ev_loop_post(t->loop, tunnel_fill, t);
	return t;
}

struct tunnel *tunnel_stop(struct tunnel *t)
{
	if (!t)
		return NULL;
	ev_loop_post(t->loop, tunnel_end, t);
	pthread_mutex_lock(&t->lock);
	while (t->running)
		pthread_cond_wait(&t->ended, &t->lock);
	pthread_mutex_unlock(&t->lock);
	return tunnel_free(t);
}
