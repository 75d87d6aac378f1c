/* Watches over HTTPS.
 *
 *	loop's thread				tasks of the env, one at a time a watch
 *	http_dial ─▶ lines ─▶ queue ─post──▶	decode ─▶ event(), event(), ... end()
 *	    ▲                    │ full: pause		│
 *	    └────────────────────┴──────── resume ──────┘
 *
 * A watch is over when its connection is, when an ERROR event or a line that cannot be read
 * came, or when nothing was heard for too long; whoever notices first writes down why, what
 * was queued before that is still delivered (but nothing after it), then end().
 *
 * References: the owner's until unwatch, the connection's until closed(), and one for every
 * task and post under way. Once it is unwatched and its connection is closed, a watch does
 * not touch the client any more. */
#include "client/https-internal.h"

#include "base/vec.h"
#include "codec/json.h"

#include <stdatomic.h>
#include <stdlib.h>

#define CONNECT_TIMEOUT_NS (30 * NS_PER_SEC)
#define CHECK_NS (60 * NS_PER_SEC)	 /* how often silence is looked at */
#define SILENCE_NS (5 * 60 * NS_PER_SEC) /* servers send a bookmark every minute */
#define SHORT_NS NS_PER_SEC		 /* ending well this early, without an event, is no good end */
#define QUEUE_HIGH ((size_t)4 << 20)	 /* bytes waiting for a task; then reading pauses */

struct line {
	char *p; /* owned */
	size_t n;
};

struct client_watch {
	struct https_client *h;
	struct env *env;
	struct client_watch_cb cb;
	void *ctx;
	struct keep *keep; /* a reference, or NULL */
	atomic_int refs;

	/* Of the loop's thread, after the start. */
	struct arena arena; /* target and headers */
	struct buf target;
	struct http_header *headers;
	size_t n_headers;
	struct http_dialog *dialog;
	struct servers_at at; /* where it leads, when there are several */
	struct ev_timer *timer;
	int status;	 /* of the response; 0: none yet */
	struct buf tail; /* the line so far, or the body of a failure */
	int64_t start_ns, heard_ns;

	pthread_mutex_t lock;
	pthread_cond_t idle; /* no callback runs */
	VEC(struct line) queue;
	size_t queued;
	bool paused;
	bool scheduled; /* a task is on its way or runs */
	bool in_callback;
	pthread_t runner;
	bool seen;    /* an event came */
	bool over;    /* nothing more will be delivered but what is queued */
	bool cut;     /* a line ended the watch: what follows it does not count */
	bool has_why; /* somebody wrote it */
	bool ended;   /* end() was called */
	bool unwatched;
	struct err why;
};

static void https_watch_unref(struct client_watch *w)
{
	if (atomic_fetch_sub(&w->refs, 1) != 1)
		return;
	for (size_t i = 0; i < w->queue.n; i++)
		free(w->queue.p[i].p);
	vec_release(&w->queue);
	arena_release(&w->arena);
	buf_release(&w->target);
	buf_release(&w->tail);
	err_release(&w->why);
	keep_unref(w->keep);
	pthread_mutex_destroy(&w->lock);
	pthread_cond_destroy(&w->idle);
	free(w);
}

static void https_watch_task(void *ctx);

static void schedule_locked(struct client_watch *w)
{
	if (w->scheduled || w->unwatched)
		return;
	w->scheduled = true;
	atomic_fetch_add(&w->refs, 1);
	env_post(w->env, w->h->c.class, https_watch_task, w);
}

static void post_loop(struct client_watch *w, env_fn *fn)
{
	atomic_fetch_add(&w->refs, 1);
	ev_loop_post(w->h->loop, fn, w);
}

/* The first reason stands, except that a line of the stream comes before the stream's end, which
 * may have been noticed earlier. */
static void why_locked(struct client_watch *w, struct err *why)
{
	if (!w->has_why) {
		if (why->reason == ERR_GONE)
			why->reason = ERR_EXPIRED;
		err_move(&w->why, why);
		w->has_why = true;
	}
	err_release(why);
}

/* --- on the loop --- */

/* Ends the exchange; closed() follows. */
static void give_up(struct client_watch *w, enum err_reason reason, const char *what)
{
	struct err why = ERR_INIT;

	err_set(&why, reason, "%s", what);
	pthread_mutex_lock(&w->lock);
	why_locked(w, &why);
	pthread_mutex_unlock(&w->lock);
	http_dialog_close(w->dialog);
}

static void on_check(void *ctx)
{
	struct client_watch *w = ctx;
	int64_t silent_ns = ev_loop_now_ns(w->h->loop) - w->heard_ns;
	bool paused;

	pthread_mutex_lock(&w->lock);
	paused = w->paused;
	pthread_mutex_unlock(&w->lock);
	if (paused)
		return; /* we do not listen */
	if (!w->status)
		give_up(w, ERR_TIMEOUT, "the server did not answer the watch");
	else if (silent_ns >= SILENCE_NS)
		give_up(w, ERR_UNAVAILABLE, "the server has been silent for too long");
}

static void https_watch_on_head(struct http_dialog *d, const struct http_response *head, void *ctx)
{
	struct client_watch *w = ctx;

	(void)d;
	w->status = head->status;
	w->heard_ns = ev_loop_now_ns(w->h->loop);
	if (head->status != 200) {
		struct sv retry = http_response_header(head, "retry-after");

		w->headers = ARENA_NEW(&w->arena, struct http_header);
		w->headers[0] = (struct http_header){ SV("retry-after"), arena_sv(&w->arena, retry) };
		w->n_headers = retry.n ? 1 : 0;
	}
	w->tail.limit = head->status == 200 ? HTTPS_OBJECT_MAX : HTTPS_STATUS_MAX;
}

static void push_locked(struct client_watch *w, struct sv a, struct sv b)
{
	struct line l = { .n = a.n + b.n };

	l.p = xmalloc(l.n + 1);
	if (a.n)
		memcpy(l.p, a.p, a.n);
	if (b.n)
		memcpy(l.p + a.n, b.p, b.n);
	l.p[l.n] = '\0';
	vec_push(&w->queue, l);
	w->queued += l.n;
}

static void https_watch_on_data(struct http_dialog *d, struct sv bytes, void *ctx)
{
	struct client_watch *w = ctx;
	const char *nl;
	bool pause;

	w->heard_ns = ev_loop_now_ns(w->h->loop);
	if (w->status != 200) {
		buf_addsv(&w->tail, bytes); /* what goes over the limit is dropped */
		return;
	}
	pthread_mutex_lock(&w->lock);
	while (bytes.n && (nl = memchr(bytes.p, '\n', bytes.n))) {
		struct sv end = sv_make(bytes.p, (size_t)(nl - bytes.p));

		if (!w->cut && (w->tail.n || end.n))
			push_locked(w, buf_sv(&w->tail), end);
		/* A large object's buffer is given back at once. */
		if (w->tail.cap > 256 * 1024) {
			size_t limit = w->tail.limit;

			buf_release(&w->tail);
			w->tail.limit = limit;
		}
		buf_clear(&w->tail);
		bytes = sv_sub(bytes, end.n + 1, bytes.n);
	}
	if (w->queue.n)
		schedule_locked(w);
	pause = w->queued > QUEUE_HIGH && !w->paused;
	w->paused |= pause;
	pthread_mutex_unlock(&w->lock);
	if (pause)
		http_dialog_pause(d, true);
	buf_addsv(&w->tail, bytes);
	if (w->tail.overflow)
		give_up(w, ERR_TOO_LARGE, "an event of the watch is too large");
}

/* Why a watch is over that nobody gave up. */
static void find_why(struct client_watch *w, const struct err *err, struct err *why)
{
	if (w->status && w->status != 200) {
		const struct http_response r = {
			.status = w->status, .headers = w->headers, .n_headers = w->n_headers, .body = buf_sv(&w->tail)
		};

		https_failure(why, "GET", &r);
	} else if (err) {
		err_copy(why, err);
	} else if (!w->status) {
		err_set(why, ERR_UNAVAILABLE, "the watch was closed before it was answered");
	} else if (!w->seen && ev_loop_now_ns(w->h->loop) - w->start_ns < SHORT_NS) {
		/* The caller would come back at once, again and again. */
		err_set(why, ERR_UNAVAILABLE, "the server closed the watch at once");
	}
}

/* The loop has done its part: the last line that touches the client. */
static void leave_loop(struct client_watch *w)
{
	struct https_client *h = w->h;

	pthread_mutex_lock(&h->lock);
	h->dialogs--;
	pthread_cond_broadcast(&h->changed);
	pthread_mutex_unlock(&h->lock);
	https_watch_unref(w);
}

static void https_watch_on_closed(struct http_dialog *d, const struct err *err, void *ctx)
{
	struct client_watch *w = ctx;
	struct err why = ERR_INIT;

	(void)d;
	w->dialog = NULL;
	w->timer = ev_timer_stop(w->timer);
	if (w->h->servers) {
		if (err)
			servers_failed(w->h->servers, &w->at);
		servers_let_go(&w->at);
	}
	pthread_mutex_lock(&w->lock);
	/* An event without its line end is whole when the response is. */
	if (w->status == 200 && w->tail.n && !err && !w->has_why)
		push_locked(w, buf_sv(&w->tail), SV(""));
	w->seen |= w->queue.n > 0;
	find_why(w, err, &why);
	why_locked(w, &why);
	w->over = true;
	schedule_locked(w);
	pthread_mutex_unlock(&w->lock);
	buf_release(&w->tail);
	leave_loop(w);
}

static void open_on_loop(void *ctx)
{
	static const struct http_dialog_cb cb = { .head = https_watch_on_head,
						  .data = https_watch_on_data,
						  .closed = https_watch_on_closed };
	struct client_watch *w = ctx;
	bool unwatched;

	pthread_mutex_lock(&w->lock);
	unwatched = w->unwatched;
	pthread_mutex_unlock(&w->lock);
	if (unwatched) {
		leave_loop(w);
		return;
	}
	w->start_ns = w->heard_ns = ev_loop_now_ns(w->h->loop);
	if (w->h->servers)
		servers_current(w->h->servers, &w->at);
	w->dialog = http_dial(w->h->loop, w->h->servers ? &w->at.ep : &w->h->ep, "GET", buf_cstr(&w->target),
			      w->headers, w->n_headers, SV(""), CONNECT_TIMEOUT_NS, &cb, w);
	w->timer = ev_timer_start(w->h->loop, CHECK_NS, CHECK_NS, on_check, w);
	w->headers = NULL;
	w->n_headers = 0;
	arena_reset(&w->arena);
	buf_release(&w->target);
}

static void close_on_loop(void *ctx)
{
	struct client_watch *w = ctx;

	if (w->dialog)
		http_dialog_close(w->dialog);
	https_watch_unref(w);
}

static void resume_on_loop(void *ctx)
{
	struct client_watch *w = ctx;
	bool resume;

	pthread_mutex_lock(&w->lock);
	resume = w->paused && w->queued <= QUEUE_HIGH;
	w->paused &= !resume;
	pthread_mutex_unlock(&w->lock);
	if (resume && w->dialog) {
		w->heard_ns = ev_loop_now_ns(w->h->loop);
		http_dialog_pause(w->dialog, false); /* may bring data at once */
	}
	https_watch_unref(w);
}

/* --- in tasks --- */

static bool type_of(struct sv s, enum watch_type *ret)
{
	static const char *const names[] = {
		[WATCH_ADDED] = "ADDED",
		[WATCH_MODIFIED] = "MODIFIED",
		[WATCH_DELETED] = "DELETED",
		[WATCH_BOOKMARK] = "BOOKMARK",
	};

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		if (sv_is(s, names[i])) {
			*ret = (enum watch_type)i;
			return true;
		}
	}
	return false;
}

/* 1: an event; 0: nothing to report (a type of the future); -1: the watch is over. */
static int read_line(const struct client_watch *w, const struct line *l, enum watch_type *ret_type, struct obj **ret,
		     struct err *err)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	const struct json_opts borrow = { .borrow_text = true };
	_cleanup_(err_release) struct err bad = ERR_INIT;
	struct val *v = json_decode(&a, sv_make(l->p, l->n), &borrow, &bad), *o;

	if (!v)
		return err_set(err, ERR_INTERNAL, "cannot read an event of the watch: %s", err_msg(&bad));
	o = val_get_mut(v, F_object);
	if (val_is(val_get(v, F_type), "ERROR"))
		return https_status_failure(err, o, 500);
	if (val_type(o) != VAL_MAP)
		return err_set(err, ERR_INTERNAL, "an event of the watch has no object");
	if (!type_of(val_get_str(v, F_type), ret_type))
		return 0;
	*ret = https_publish(&a, w->keep, o);
	return 1;
}

static void drop_queue_locked(struct client_watch *w)
{
	for (size_t i = 0; i < w->queue.n; i++)
		free(w->queue.p[i].p);
	vec_clear(&w->queue);
	w->queued = 0;
}

static void callback_begin_locked(struct client_watch *w)
{
	w->in_callback = true;
	w->runner = pthread_self();
	pthread_mutex_unlock(&w->lock);
}

static void callback_end_locked(struct client_watch *w)
{
	pthread_mutex_lock(&w->lock);
	w->in_callback = false;
	pthread_cond_broadcast(&w->idle);
}

static void deliver_locked(struct client_watch *w, const struct line *l)
{
	_cleanup_(obj_unrefp) struct obj *o = NULL;
	struct err why = ERR_INIT;
	enum watch_type t = WATCH_BOOKMARK;
	int rc;

	pthread_mutex_unlock(&w->lock);
	rc = read_line(w, l, &t, &o, &why);
	pthread_mutex_lock(&w->lock);
	if (rc < 0) {
		err_release(&w->why);
		w->has_why = false;
		why_locked(w, &why);
		w->over = w->cut = true;
		if (!w->unwatched)
			post_loop(w, close_on_loop);
	} else if (rc > 0 && !w->unwatched) {
		w->seen = true;
		callback_begin_locked(w);
		w->cb.event(t, o, w->ctx);
		callback_end_locked(w);
	}
}

/* Takes what is queued, all at once; comes back for what came meanwhile. */
static void https_watch_task(void *ctx)
{
	struct client_watch *w = ctx;
	VEC(struct line) batch = VEC_INIT;

	pthread_mutex_lock(&w->lock);
	batch.p = w->queue.p;
	batch.n = w->queue.n;
	batch.cap = w->queue.cap;
	w->queue.p = NULL;
	w->queue.n = w->queue.cap = 0;
	for (size_t i = 0; i < batch.n; i++) {
		if (!w->cut && !w->unwatched)
			deliver_locked(w, &batch.p[i]);
		w->queued -= MIN(w->queued, batch.p[i].n);
		free(batch.p[i].p);
	}
	vec_release(&batch);
	w->scheduled = false;
	if (w->cut || w->unwatched)
		drop_queue_locked(w);
	if (w->paused && !w->unwatched)
		post_loop(w, resume_on_loop);
	if (w->queue.n) {
		schedule_locked(w);
	} else if (w->over && !w->ended && !w->unwatched) {
		w->ended = true;
		callback_begin_locked(w);
		w->cb.end(&w->why, w->ctx);
		callback_end_locked(w);
	}
	pthread_mutex_unlock(&w->lock);
	https_watch_unref(w);
}

/* --- the client's side --- */

static void loop_main(void *ctx)
{
	struct https_client *h = ctx;

	ev_loop_run(h->loop);
	ev_loop_free(h->loop);
	pthread_mutex_lock(&h->lock);
	h->loop_done = true;
	pthread_cond_broadcast(&h->changed);
	pthread_mutex_unlock(&h->lock);
}

static int loop_start_locked(struct https_client *h, struct err *err)
{
	if (h->loop)
		return 0;
	h->loop = ev_loop_new(err);
	if (!h->loop)
		return -1;
	if (env_thread(h->c.env, "client-watch", loop_main, h) < 0) {
		h->loop = ev_loop_free(h->loop);
		return err_set(err, ERR_INTERNAL, "cannot start a thread for watches");
	}
	return 0;
}

void https_watch_stop(struct https_client *h)
{
	pthread_mutex_lock(&h->lock);
	while (h->dialogs)
		pthread_cond_wait(&h->changed, &h->lock);
	if (h->loop) {
		ev_loop_stop(h->loop);
		while (!h->loop_done)
			pthread_cond_wait(&h->changed, &h->lock);
	}
	pthread_mutex_unlock(&h->lock);
}

int https_watch(struct client *c, const struct resource *r, struct sv ns, const struct client_list_opts *o,
		const struct client_watch_cb *cb, void *ctx, struct client_watch **ret, struct err *err)
{
	struct https_client *h = (struct https_client *)c;
	struct client_watch *w = xcalloc(1, sizeof(*w));
	int rc;

	w->h = h;
	w->env = c->env;
	w->cb = *cb;
	w->ctx = ctx;
	w->keep = keep_ref(o->keep);
	atomic_init(&w->refs, 1);
	pthread_mutex_init(&w->lock, NULL);
	pthread_cond_init(&w->idle, NULL);
	rc = https_path(h, r, ns, SV_NULL, NULL, &w->target, err);
	if (rc == 0)
		rc = https_headers(h, &w->arena, NULL, &w->headers, &w->n_headers, err);
	if (rc == 0) {
		https_query(&w->target, "watch", SV("true"));
		https_query(&w->target, "allowWatchBookmarks", SV("true"));
		if (o->label_selector && *o->label_selector)
			https_query(&w->target, "labelSelector", sv_from(o->label_selector));
		if (o->field_selector && *o->field_selector)
			https_query(&w->target, "fieldSelector", sv_from(o->field_selector));
		if (o->resource_version > 0)
			https_query_i64(&w->target, "resourceVersion", o->resource_version);
		pthread_mutex_lock(&h->lock);
		rc = loop_start_locked(h, err);
		if (rc == 0)
			h->dialogs++;
		pthread_mutex_unlock(&h->lock);
	}
	if (rc < 0) {
		https_watch_unref(w);
		return -1;
	}
	*ret = w;
	post_loop(w, open_on_loop); /* its reference becomes the connection's */
	return 0;
}

void https_unwatch(struct client *c, struct client_watch *w)
{
	(void)c;
	pthread_mutex_lock(&w->lock);
	w->unwatched = true;
	while (w->in_callback && !pthread_equal(w->runner, pthread_self()))
		pthread_cond_wait(&w->idle, &w->lock);
	drop_queue_locked(w);
	pthread_mutex_unlock(&w->lock);
	post_loop(w, close_on_loop);
	https_watch_unref(w);
}
