#include "net/reverse.h"

#include "base/list.h"
#include "base/strmap.h"
#include "net/stream.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define QUEUE_HIGH ((size_t)64 * 1024) /* bytes towards a slow end before the other is not read */
#define EARLY_MAX ((size_t)64 * 1024)  /* that came before the far server was connected */
#define FAR_CONNECT_NS (10 * NS_PER_SEC)
#define NEAR_CONNECT_NS (20 * NS_PER_SEC)

/* --- near --- */

struct reverse_hub {
	pthread_mutex_t lock;
	atomic_int refs; /* the owner's and one for each connection */
	bool closed;
	struct strmap names; /* -> struct reverse_name */
};

struct reverse_name {
	struct list parked; /* struct reverse_near, oldest first */
	int n_parked, n_used;
	int64_t preferred_ns;
};

/* One parked or used connection; on the loop of its request. */
struct reverse_near {
	struct list link; /* under the hub's lock, while parked */
	struct reverse_hub *hub;
	char *name;
	struct http_req *r;
	struct http_tunnel *tunnel; /* NULL: closed */
	struct stream *local;	    /* to the descriptor that was handed out; NULL: not yet, or closed */
	int fd;			    /* our end of the pair, on its way to the loop */
	int posted;		    /* under the lock: functions on their way to the loop */
	bool used;
	void (*over)(struct http_req *r, void *ctx);
	void *ctx;
};

static void reverse_hub_unref(struct reverse_hub *h)
{
	if (atomic_fetch_sub(&h->refs, 1) != 1)
		return;
	strmap_release_with(&h->names, free);
	pthread_mutex_destroy(&h->lock);
	free(h);
}

struct reverse_hub *reverse_hub_new(void)
{
	struct reverse_hub *h = xcalloc(1, sizeof(*h));

	pthread_mutex_init(&h->lock, NULL);
	atomic_init(&h->refs, 1);
	return h;
}

/* A name of which nothing is left is forgotten. */
static void reverse_forget_locked(struct reverse_hub *h, const char *name)
{
	struct reverse_name *n = strmap_get(&h->names, sv_from(name));

	if (n && !n->n_parked && !n->n_used)
		free(strmap_del(&h->names, sv_from(name)));
}

static void reverse_near_over(struct reverse_near *c)
{
	struct reverse_hub *h = c->hub;
	struct reverse_name *n;

	if (c->tunnel || c->local)
		return;
	pthread_mutex_lock(&h->lock);
	if (c->posted) { /* they will see that it is over */
		pthread_mutex_unlock(&h->lock);
		return;
	}
	n = strmap_get(&h->names, sv_from(c->name));
	if (c->used) {
		n->n_used--;
	} else {
		list_del(&c->link);
		n->n_parked--;
	}
	reverse_forget_locked(h, c->name);
	pthread_mutex_unlock(&h->lock);
	c->over(c->r, c->ctx);
	reverse_hub_unref(h);
	free(c->name);
	free(c);
}

static void reverse_local_ready(struct stream *s, void *ctx)
{
	(void)s;
	(void)ctx;
}

static void reverse_local_data(struct stream *s, struct sv bytes, void *ctx)
{
	struct reverse_near *c = ctx;

	if (c->tunnel && http_tunnel_write(c->tunnel, bytes) > QUEUE_HIGH)
		stream_pause(s, true);
}

static void reverse_local_drain(struct stream *s, void *ctx)
{
	struct reverse_near *c = ctx;

	(void)s;
	if (c->tunnel)
		http_tunnel_pause(c->tunnel, false);
}

static void reverse_local_closed(struct stream *s, const struct err *err, void *ctx)
{
	struct reverse_near *c = ctx;

	(void)s;
	(void)err;
	c->local = NULL;
	if (c->tunnel)
		http_tunnel_close(c->tunnel);
	reverse_near_over(c);
}

static void reverse_tunnel_data(struct http_tunnel *t, struct sv bytes, void *ctx)
{
	struct reverse_near *c = ctx;

	/* Nobody has asked: the far side has nothing to say yet. */
	if (!c->local) {
		http_tunnel_close(t);
		return;
	}
	if (stream_write(c->local, bytes) > QUEUE_HIGH)
		http_tunnel_pause(t, true);
}

static void reverse_tunnel_drain(struct http_tunnel *t, void *ctx)
{
	struct reverse_near *c = ctx;

	(void)t;
	if (c->local)
		stream_pause(c->local, false);
}

static void reverse_tunnel_closed(struct http_tunnel *t, void *ctx)
{
	struct reverse_near *c = ctx;

	(void)t;
	c->tunnel = NULL;
	if (c->local)
		stream_close(c->local);
	reverse_near_over(c);
}

/* On the loop: the descriptor's other end is in use from now on. */
static void reverse_near_begin(struct http_req *r, void *ctx)
{
	static const struct stream_cb cb = { .ready = reverse_local_ready,
					     .data = reverse_local_data,
					     .drain = reverse_local_drain,
					     .closed = reverse_local_closed };
	struct reverse_near *c = ctx;
	int fd;

	pthread_mutex_lock(&c->hub->lock);
	fd = c->fd;
	c->fd = -1;
	c->posted--;
	pthread_mutex_unlock(&c->hub->lock);
	if (!c->tunnel) { /* gone in between: whoever has the other end sees that */
		close(fd);
		reverse_near_over(c);
		return;
	}
	c->local = stream_accept(http_req_loop(r), fd, NULL, &cb, c);
}

static void reverse_near_shut(struct http_req *r, void *ctx)
{
	struct reverse_near *c = ctx;

	(void)r;
	pthread_mutex_lock(&c->hub->lock);
	c->posted--;
	pthread_mutex_unlock(&c->hub->lock);
	if (c->tunnel)
		http_tunnel_close(c->tunnel);
	else
		reverse_near_over(c);
}

void reverse_hub_close(struct reverse_hub *h)
{
	pthread_mutex_lock(&h->lock);
	if (!h->closed)
		STRMAP_EACH(&h->names, e) {
			struct reverse_name *n = e->value;

			LIST_EACH(&n->parked, it) {
				struct reverse_near *c = LIST_ENTRY(it, struct reverse_near, link);

				c->posted++;
				http_req_post(c->r, reverse_near_shut, c);
			}
		}
	h->closed = true;
	pthread_mutex_unlock(&h->lock);
}

struct reverse_hub *reverse_hub_free(struct reverse_hub *h)
{
	if (!h)
		return NULL;
	reverse_hub_close(h);
	reverse_hub_unref(h);
	return NULL;
}

/* But none that is to end; NULL: there is none. */
static struct reverse_near *reverse_newest_locked(const struct reverse_name *n)
{
	for (struct list *it = n->parked.prev; it != &n->parked; it = it->prev) {
		struct reverse_near *c = LIST_ENTRY(it, struct reverse_near, link);

		if (!c->posted)
			return c;
	}
	return NULL;
}

int reverse_dial(struct reverse_hub *h, struct sv name, struct err *err)
{
	struct reverse_near *c = NULL;
	struct reverse_name *n;
	bool full;
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
		return err_set_errno(err, errno, "making a pair of sockets");
	pthread_mutex_lock(&h->lock);
	n = h->closed ? NULL : strmap_get(&h->names, name);
	full = n && n->n_used >= REVERSE_USED_MAX;
	if (n && !full)
		c = reverse_newest_locked(n);
	if (c) {
		list_del(&c->link);
		n->n_parked--;
		n->n_used++;
		c->used = true;
		c->fd = pair[0];
		c->posted++;
		http_req_post(c->r, reverse_near_begin, c);
	}
	pthread_mutex_unlock(&h->lock);
	if (!c) {
		close(pair[0]);
		close(pair[1]);
		return err_set(err, ERR_UNAVAILABLE,
			       full ? "too many connections to '%.*s' are in use"
				    : "'%.*s' keeps no connection to this server",
			       SV_ARG(name));
	}
	return pair[1];
}

int reverse_parked(struct reverse_hub *h, struct sv name)
{
	struct reverse_name *n;
	int parked;

	pthread_mutex_lock(&h->lock);
	n = strmap_get(&h->names, name);
	parked = n ? n->n_parked : 0;
	pthread_mutex_unlock(&h->lock);
	return parked;
}

void reverse_prefer(struct reverse_hub *h, struct sv name, int64_t until_ns)
{
	struct reverse_name *n;

	pthread_mutex_lock(&h->lock);
	n = strmap_get(&h->names, name);
	if (n)
		n->preferred_ns = until_ns;
	pthread_mutex_unlock(&h->lock);
}

int64_t reverse_preferred(struct reverse_hub *h, struct sv name)
{
	struct reverse_name *n;
	int64_t until;

	pthread_mutex_lock(&h->lock);
	n = strmap_get(&h->names, name);
	until = n ? n->preferred_ns : 0;
	pthread_mutex_unlock(&h->lock);
	return until;
}

/* Those that are to end are counted until they have. */
static void reverse_make_room_locked(struct reverse_name *n)
{
	int too_many = n->n_parked - REVERSE_PARKED_MAX;

	LIST_EACH(&n->parked, it) {
		struct reverse_near *c = LIST_ENTRY(it, struct reverse_near, link);

		if (too_many-- <= 0)
			return;
		if (c->posted)
			continue;
		c->posted++;
		http_req_post(c->r, reverse_near_shut, c);
	}
}

struct reverse_near *reverse_park(struct reverse_hub *h, struct http_req *r, struct sv name,
				  void (*over)(struct http_req *r, void *ctx), void *ctx, struct err *err)
{
	static const struct http_header headers[] = { { SV("upgrade"), SV(REVERSE_PROTOCOL) } };
	static const struct http_tunnel_cb cb = { reverse_tunnel_data, reverse_tunnel_drain, reverse_tunnel_closed };
	struct reverse_near *c;
	struct reverse_name *n;
	bool closed;

	if (!sv_ieq(http_header_get(r, "upgrade"), SV(REVERSE_PROTOCOL))) {
		err_set(err, ERR_BAD_REQUEST, "Upgrade request required: " REVERSE_PROTOCOL);
		return NULL;
	}
	pthread_mutex_lock(&h->lock);
	closed = h->closed;
	pthread_mutex_unlock(&h->lock);
	if (closed) {
		err_set(err, ERR_UNAVAILABLE, "the server is ending");
		return NULL;
	}
	c = xcalloc(1, sizeof(*c));
	c->fd = -1;
	c->hub = h;
	c->r = r;
	c->over = over;
	c->ctx = ctx;
	c->name = xstrndup(name.p, name.n);
	c->tunnel = http_upgrade(r, headers, ARRAY_LEN(headers), &cb, c);
	if (!c->tunnel) {
		free(c->name);
		free(c);
		err_set(err, ERR_BAD_REQUEST, "this connection cannot be upgraded: it takes HTTP/1.1");
		return NULL;
	}
	atomic_fetch_add(&h->refs, 1);
	pthread_mutex_lock(&h->lock);
	n = strmap_get(&h->names, name);
	if (!n) {
		n = xcalloc(1, sizeof(*n));
		list_init(&n->parked);
		(void)strmap_set(&h->names, name, n);
	}
	list_add_tail(&n->parked, &c->link);
	n->n_parked++;
	reverse_make_room_locked(n);
	pthread_mutex_unlock(&h->lock);
	return c;
}

void reverse_near_close(struct reverse_near *c)
{
	if (c->tunnel)
		http_tunnel_close(c->tunnel);
	else if (c->local)
		stream_close(c->local);
}

/* --- far --- */

struct reverse_far {
	struct ev_loop *loop;
	struct reverse_far_cb cb;
	void *ctx;
	char *host;
	int port, status;
	struct http_dialog *dialog; /* NULL: closed */
	struct stream *local;	    /* NULL: not dialled yet, or closed */
	bool used, connected;
	struct buf early; /* what came while connecting */
	struct err why;	  /* ERR_NONE: in good order */
};

static void reverse_far_over(struct reverse_far *f)
{
	if (f->dialog || f->local)
		return;
	f->cb.closed(f->why.reason ? &f->why : NULL, f->ctx);
	err_release(&f->why);
	buf_release(&f->early);
	free(f->host);
	free(f);
}

static void reverse_far_ready(struct stream *s, void *ctx)
{
	struct reverse_far *f = ctx;

	f->connected = true;
	if (f->early.n)
		stream_write(s, buf_sv(&f->early));
	buf_release(&f->early);
	if (f->dialog)
		http_dialog_pause(f->dialog, false);
}

static void reverse_far_local_data(struct stream *s, struct sv bytes, void *ctx)
{
	struct reverse_far *f = ctx;

	if (f->dialog && http_dialog_write(f->dialog, bytes) > QUEUE_HIGH)
		stream_pause(s, true);
}

static void reverse_far_local_drain(struct stream *s, void *ctx)
{
	struct reverse_far *f = ctx;

	(void)s;
	if (f->dialog)
		http_dialog_pause(f->dialog, false);
}

static void reverse_far_local_closed(struct stream *s, const struct err *err, void *ctx)
{
	struct reverse_far *f = ctx;

	(void)s;
	f->local = NULL;
	if (err && !f->connected && !f->why.reason)
		err_copy(&f->why, err);
	if (f->dialog)
		http_dialog_close(f->dialog);
	reverse_far_over(f);
}

static void reverse_far_head(struct http_dialog *d, const struct http_response *head, void *ctx)
{
	struct reverse_far *f = ctx;

	(void)d;
	f->status = head->status;
	if (head->status == 101)
		f->cb.parked(f->ctx);
}

static void reverse_far_data(struct http_dialog *d, struct sv bytes, void *ctx)
{
	static const struct stream_cb cb = { .ready = reverse_far_ready,
					     .data = reverse_far_local_data,
					     .drain = reverse_far_local_drain,
					     .closed = reverse_far_local_closed };
	struct reverse_far *f = ctx;

	if (f->status != 101) /* words of a refusal, which the status says */
		return;
	if (!f->used) {
		const struct stream_target t = { .host = f->host, .port = f->port };

		f->used = true;
		f->local = stream_connect(f->loop, &t, FAR_CONNECT_NS, &cb, f);
		f->cb.used(f->ctx);
	}
	if (!f->local)
		return; /* it is closing */
	if (f->connected) {
		if (stream_write(f->local, bytes) > QUEUE_HIGH)
			http_dialog_pause(d, true);
		return;
	}
	buf_addsv(&f->early, bytes);
	http_dialog_pause(d, true);
	if (f->early.n > EARLY_MAX)
		http_dialog_close(d);
}

static void reverse_far_drain(struct http_dialog *d, void *ctx)
{
	struct reverse_far *f = ctx;

	(void)d;
	if (f->local)
		stream_pause(f->local, false);
}

/* A server that answers is there, whatever it says. */
static enum err_reason reverse_far_reason(int status)
{
	if (status == 404)
		return ERR_NOT_FOUND;
	return status >= 500 || status == 429 ? ERR_TOO_MANY_REQUESTS : ERR_FORBIDDEN;
}

static void reverse_far_closed(struct http_dialog *d, const struct err *err, void *ctx)
{
	struct reverse_far *f = ctx;

	(void)d;
	f->dialog = NULL;
	if (!f->why.reason && !f->used) {
		if (err)
			err_copy(&f->why, err);
		else if (f->status && f->status != 101)
			err_set(&f->why, reverse_far_reason(f->status), "the server answers %d", f->status);
	}
	if (f->local)
		stream_close(f->local);
	reverse_far_over(f);
}

struct reverse_far *reverse_far_open(struct ev_loop *l, const struct http_endpoint *near, const char *path,
				     const char *host, int port, const struct reverse_far_cb *cb, void *ctx)
{
	static const struct http_header headers[] = { { SV("connection"), SV("Upgrade") },
						      { SV("upgrade"), SV(REVERSE_PROTOCOL) },
						      { SV("user-agent"), SV("caravel-agent") } };
	static const struct http_dialog_cb dialog_cb = { .head = reverse_far_head,
							 .data = reverse_far_data,
							 .drain = reverse_far_drain,
							 .closed = reverse_far_closed };
	struct reverse_far *f = xcalloc(1, sizeof(*f));

	f->loop = l;
	f->cb = *cb;
	f->ctx = ctx;
	f->host = xstrdup(host);
	f->port = port;
	f->dialog =
	    http_dial(l, near, "GET", path, headers, ARRAY_LEN(headers), SV(""), NEAR_CONNECT_NS, &dialog_cb, f);
	return f;
}

void reverse_far_close(struct reverse_far *f)
{
	if (f->dialog)
		http_dialog_close(f->dialog);
	else if (f->local)
		stream_close(f->local);
}
