/* The server: listening, spreading connections over loops, stopping.
 *
 * One socket listens, on the first loop; each accepted descriptor goes to the loop that has
 * the fewest connections. SO_REUSEPORT would spread them by hash instead, and with the ten
 * connections an API server may have that leaves a loop idle too often.
 */
#include "ev/ev-internal.h"
#include "net/http-internal.h"
#include "net/net-internal.h"
#include "net/sock.h"

#include <errno.h>
#include <netinet/in.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define ACCEPTS_A_TURN 64
#define ACCEPT_RETRY_NS (100 * NS_PER_MS) /* out of descriptors or places */
#define INCOMPLETE_MAX ((size_t)256 * 1024 * 1024)
#define STALL_NS (60 * NS_PER_SEC) /* http_server_opts.stall_ns when 0 */

/* --- connections --- */

static struct sv conn_name_entry(X509_NAME_ENTRY *e, char **at)
{
	unsigned char *utf8 = NULL;
	int n = ASN1_STRING_to_UTF8(&utf8, X509_NAME_ENTRY_get_data(e));
	struct sv ret = SV_NULL;

	if (n >= 0) {
		ret = sv_make(memcpy(*at, utf8, (size_t)n), (size_t)n);
		*at += n;
	}
	OPENSSL_free(utf8);
	return ret;
}

/* The OID that Kubernetes has for the UID of a user. */
static bool conn_is_uid(const ASN1_OBJECT *o)
{
	static const unsigned char uid[] = { 0x2b, 0x06, 0x01, 0x04, 0x01, 0x83, 0xc2, 0x53, 0x02 };

	return OBJ_length(o) == sizeof(uid) && memcmp(OBJ_get0_data(o), uid, sizeof(uid)) == 0;
}

static void conn_hash_cert(const X509 *x, char ret[65])
{
	unsigned char md[EVP_MAX_MD_SIZE];
	unsigned n = 0;

	ret[0] = '\0';
	if (X509_digest(x, EVP_sha256(), md, &n))
		for (unsigned i = 0; i < n && i < 32; i++)
			(void)snprintf(ret + 2 * i, 3, "%02x", md[i]);
}

/* Where text of the first reading lies now. */
static void conn_moved(struct sv *s, const char *from, char *to)
{
	if (s->p)
		s->p = to + (s->p - from);
}

/* What the client's certificate says: CN is the user, O the groups. */
static void conn_read_cert(struct http_conn *c, SSL *ssl)
{
	X509 *x = SSL_get0_peer_certificate(ssl);
	X509_NAME *name;
	size_t total = 0;
	char *at;
	int n;

	if (!x)
		return;
	if (cert_end(x, &c->peer.not_after_ns) < 0) {
		c->peer.bad_cert = true;
		return;
	}
	c->peer.proxy_cert = tls_proxy_cert(ssl);
	c->peer.has_cert = SSL_get_verify_result(ssl) == X509_V_OK;
	c->peer.bad_cert = !c->peer.has_cert;
	if (!c->peer.has_cert && !c->peer.proxy_cert)
		return;
	if (!key_hash_of(X509_get0_pubkey(x), c->peer.key_hash))
		c->peer.key_hash[0] = '\0';
	conn_hash_cert(x, c->peer.cert_hash);
	name = X509_get_subject_name(x);
	n = X509_NAME_entry_count(name);
	/* UTF-8 is at most four times as long as any of the string types. */
	for (int i = 0; i < n; i++)
		total += 4 * (size_t)ASN1_STRING_length(X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, i)));
	c->peer_mem = at = xmalloc(total + 1);
	c->peer.organizations = xcalloc((size_t)n + 1, sizeof(struct sv));
	for (int i = 0; i < n; i++) {
		X509_NAME_ENTRY *e = X509_NAME_get_entry(name, i);
		int nid = OBJ_obj2nid(X509_NAME_ENTRY_get_object(e));

		if (nid == NID_commonName)
			c->peer.common_name = conn_name_entry(e, &at);
		else if (nid == NID_organizationName)
			c->peer.organizations[c->peer.n_organizations++] = conn_name_entry(e, &at);
		else if (conn_is_uid(X509_NAME_ENTRY_get_object(e)) && ++c->peer.n_uids == 1)
			c->peer.uid = conn_name_entry(e, &at);
	}
	/* Keep what was used. */
	total = (size_t)(at - c->peer_mem);
	if (total == 0)
		return;
	at = xmemdup(c->peer_mem, total);
	conn_moved(&c->peer.common_name, c->peer_mem, at);
	conn_moved(&c->peer.uid, c->peer_mem, at);
	for (size_t i = 0; i < c->peer.n_organizations; i++)
		conn_moved(&c->peer.organizations[i], c->peer_mem, at);
	free(c->peer_mem);
	c->peer_mem = at;
}

static void conn_on_ready(struct stream *s, void *ctx)
{
	struct http_conn *c = ctx;
	struct arena a = { .at = c->address, .end = c->address + sizeof(c->address) };

	c->peer.address = stream_peer_address(s, &a); /* it fits: nothing to release */
	if (stream_ssl(s))
		conn_read_cert(c, stream_ssl(s));
	if (sv_is(stream_alpn(s), "h2"))
		h2_start(c);
}

/* Without ALPN the first bytes tell: HTTP/2 with prior knowledge starts with a method no
 * HTTP/1 request has. */
static void conn_first_data(struct http_conn *c, struct sv bytes)
{
	_cleanup_(buf_release) struct buf first = BUF_INIT;

	if (c->in.n) {
		buf_addsv(&c->in, bytes);
		first = c->in;
		c->in = BUF_INIT;
		bytes = buf_sv(&first);
	}
	if (bytes.n < 3 && sv_starts(SV("PRI"), bytes)) {
		buf_addsv(&c->in, bytes);
		return;
	}
	if (sv_starts(bytes, SV("PRI"))) {
		h2_start(c);
	} else {
		c->proto = PROTO_H1;
	}
	c->ops->data(c, bytes);
}

static void conn_on_data(struct stream *s, struct sv bytes, void *ctx)
{
	struct http_conn *c = ctx;

	(void)s;
	if (c->proto == PROTO_NEW)
		conn_first_data(c, bytes);
	else
		c->ops->data(c, bytes);
}

static void conn_on_pull(struct stream *s, void *ctx)
{
	struct http_conn *c = ctx;

	(void)s;
	c->ops->pull(c);
}

static void conn_on_eof(struct stream *s, void *ctx)
{
	struct http_conn *c = ctx;

	/* An HTTP/2 peer that sends no more cannot even update windows. */
	if (c->proto != PROTO_NEW && c->ops->eof)
		c->ops->eof(c);
	else
		stream_close(s);
}

static void conn_on_drain(struct stream *s, void *ctx)
{
	struct http_conn *c = ctx;

	(void)s;
	if (c->proto == PROTO_TUNNEL) {
		if (c->tunnel.cb.drain)
			c->tunnel.cb.drain(&c->tunnel, c->tunnel.ctx);
	} else if (c->proto == PROTO_H1 && c->cur) {
		rq_check_drain(c->cur);
	}
}

static void server_resume(void *p);

static void conn_on_closed(struct stream *s, const struct err *err, void *ctx)
{
	struct http_conn *c = ctx;
	struct http_server *srv = c->lane->srv;

	(void)s;
	(void)err; /* a peer that went away is nobody's failure */
	list_del(&c->wait);
	list_del(&c->link);
	if (c->proto == PROTO_TUNNEL) {
		c->tunnel.closed = true;
		c->tunnel.cb.closed(&c->tunnel, c->tunnel.ctx);
	}
	if (c->ops->closed)
		c->ops->closed(c);
	while (!list_empty(&c->rqs))
		rq_peer_gone(LIST_ENTRY(c->rqs.next, struct http_rq, link));
	c->cur = NULL;
	c->s = NULL;
	buf_release(&c->in);
	atomic_fetch_sub(&c->lane->n_conns, 1);
	pthread_mutex_lock(&srv->lock);
	srv->n_conns--;
	if (srv->full) {
		srv->full = false;
		atomic_fetch_add(&srv->refs, 1);
		ev_loop_post(srv->lanes[0].loop, server_resume, srv);
	}
	pthread_cond_broadcast(&srv->changed);
	pthread_mutex_unlock(&srv->lock);
	http_conn_unref(c);
}

static const struct stream_cb conn_cb = {
	.ready = conn_on_ready,
	.data = conn_on_data,
	.eof = conn_on_eof,
	.pull = conn_on_pull,
	.drain = conn_on_drain,
	.closed = conn_on_closed,
};

struct adoption {
	struct lane *ln;
	int fd;
};

static void lane_adopt(struct lane *ln, int fd)
{
	struct http_server *srv = ln->srv;
	struct http_conn *c = xcalloc(1, sizeof(*c));
	struct tls_ctx *tls;

	c->lane = ln;
	c->refs = 1;
	c->ops = &h1_ops; /* until its first bytes tell */
	list_init(&c->rqs);
	list_init(&c->wait);
	list_add_tail(&ln->conns, &c->link);
	pthread_mutex_lock(&srv->lock);
	tls = tls_ctx_ref(srv->tls);
	pthread_mutex_unlock(&srv->lock);
	c->s = stream_accept(ln->loop, fd, tls, &conn_cb, c);
	tls_ctx_unref(tls);
	http_conn_wait(c, HTTP_WAIT_HEAD);
	if (ln->stopping)
		stream_abort(c->s);
}

static void lane_run_adoption(void *p)
{
	struct adoption a = *(struct adoption *)p;

	free(p);
	lane_adopt(a.ln, a.fd);
}

/* --- listening --- */

static void server_on_accept(uv_poll_t *h, int status, int events);

static void server_listen(struct http_server *s)
{
	if (!s->lanes[0].stopping)
		BUG_ON(uv_poll_start(&s->accept, UV_READABLE, server_on_accept) != 0);
}

static void server_resume(void *p)
{
	struct http_server *s = p;

	s->resume = ev_timer_stop(s->resume);
	server_listen(s);
	http_server_unref(s);
}

static void server_retry(void *p)
{
	struct http_server *s = p;

	s->resume = ev_timer_stop(s->resume);
	server_listen(s);
}

static void lane_shed(void *p)
{
	struct lane *ln = p;
	struct http_server *s = ln->srv;

	http_lane_shed(ln);
	http_server_unref(s);
}

/* No descriptor or no place: makes room, and looks again soon. */
static void server_pause(struct http_server *s)
{
	uv_poll_stop(&s->accept);
	for (size_t i = 0; i < s->n_lanes; i++) {
		atomic_fetch_add(&s->refs, 1);
		ev_loop_post(s->lanes[i].loop, lane_shed, &s->lanes[i]);
	}
	if (!s->resume)
		s->resume = ev_timer_start(s->lanes[0].loop, ACCEPT_RETRY_NS, 0, server_retry, s);
}

/* Takes a place among max_connections; false when there is none. */
static bool server_admit(struct http_server *s)
{
	bool ok;

	pthread_mutex_lock(&s->lock);
	ok = s->n_conns < s->o.max_connections;
	if (ok)
		s->n_conns++;
	else
		s->full = true;
	pthread_mutex_unlock(&s->lock);
	return ok;
}

static void server_on_accept(uv_poll_t *h, int status, int events)
{
	struct http_server *s = h->data;
	struct adoption *a;
	struct lane *best;
	int fd;

	ev_loop_busy(CONTAINER_OF(h->loop, struct ev_loop, uv));
	(void)status;
	(void)events;
	for (int i = 0; i < ACCEPTS_A_TURN; i++) {
		if (!server_admit(s)) {
			server_pause(s);
			return;
		}
		fd = accept4(s->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd < 0) {
			int e = errno;

			pthread_mutex_lock(&s->lock);
			s->n_conns--;
			pthread_cond_broadcast(&s->changed);
			pthread_mutex_unlock(&s->lock);
			if (e == EMFILE || e == ENFILE || e == ENOMEM || e == ENOBUFS)
				server_pause(s);
			return; /* nobody there, or somebody who left already */
		}
		atomic_fetch_add(&s->refs, 1);
		best = &s->lanes[0];
		for (size_t l = 1; l < s->n_lanes; l++) {
			if (atomic_load(&s->lanes[l].n_conns) < atomic_load(&best->n_conns))
				best = &s->lanes[l];
		}
		atomic_fetch_add(&best->n_conns, 1);
		if (best == &s->lanes[0]) {
			lane_adopt(best, fd);
			continue;
		}
		a = xmalloc(sizeof(*a));
		*a = (struct adoption){ best, fd };
		ev_loop_post(best->loop, lane_run_adoption, a);
	}
}

static int bind_unix(const char *path, struct err *err)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	struct stat st;
	int fd;

	if (strlen(path) >= sizeof(un.sun_path))
		return err_set(err, ERR_INVALID, "listening on 'unix:%s': path too long", path);
	memcpy(un.sun_path, path, strlen(path));
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return err_set_errno(err, errno, "listening on 'unix:%s'", path);
	/* A socket file outlives its process. */
	if (lstat(path, &st) == 0 && S_ISSOCK(st.st_mode))
		unlink(path);
	if (bind(fd, (struct sockaddr *)&un, sizeof(un)) < 0) {
		int e = errno;

		close(fd);
		return err_set_errno(err, e, "listening on 'unix:%s'", path);
	}
	return fd;
}

struct http_server *http_server_start(struct ev_loop *const *loops, size_t n_loops, const struct http_server_opts *o,
				      struct err *err)
{
	bool is_unix = strncmp(o->bind_address, "unix:", 5) == 0;
	struct sockaddr_storage ss;
	socklen_t n = sizeof(ss);
	struct http_server *s;
	int fd, r;

	BUG_ON(n_loops == 0);
	fd = o->listening_fd > 0 ? o->listening_fd
	     : is_unix		 ? bind_unix(o->bind_address + 5, err)
				 : sock_bind_tcp(o->bind_address, o->port, err);
	if (fd < 0)
		return NULL;
	if (listen(fd, SOMAXCONN) < 0 || getsockname(fd, (struct sockaddr *)&ss, &n) < 0) {
		(void)err_set_errno(err, errno, "listening on '%s'", o->bind_address);
		close(fd);
		return NULL;
	}
	s = xcalloc(1, sizeof(*s) + n_loops * sizeof(s->lanes[0]));
	s->refs = 1;
	s->o = *o;
	s->o.bind_address = NULL;
	if (s->o.max_connections <= 0)
		s->o.max_connections = INT_MAX;
	if (!s->o.max_incomplete)
		s->o.max_incomplete = INCOMPLETE_MAX;
	if (s->o.stall_ns <= 0)
		s->o.stall_ns = STALL_NS;
	s->tls = tls_ctx_ref(o->tls);
	s->fd = fd;
	s->unix_path = is_unix ? xstrdup(o->bind_address + 5) : NULL;
	if (ss.ss_family == AF_INET)
		s->port = ntohs(((struct sockaddr_in *)&ss)->sin_port);
	else if (ss.ss_family == AF_INET6)
		s->port = ntohs(((struct sockaddr_in6 *)&ss)->sin6_port);
	pthread_mutex_init(&s->lock, NULL);
	ev_cond_init(&s->changed);
	s->n_lanes = n_loops;
	for (size_t i = 0; i < n_loops; i++) {
		struct lane *ln = &s->lanes[i];

		ln->srv = s;
		ln->loop = loops[i];
		list_init(&ln->conns);
		list_init(&ln->spare);
		list_init(&ln->stalls);
		pthread_mutex_init(&ln->posts_lock, NULL);
		for (int w = 0; w < _HTTP_WAIT_MAX; w++)
			list_init(&ln->waits[w]);
	}
	r = uv_poll_init(ev_loop_uv(loops[0]), &s->accept, fd); /* the kernel's limit of watched descriptors, say */
	if (r < 0) {
		(void)err_set_errno(err, -r, "listening on '%s'", o->bind_address);
		close(fd);
		http_server_unref(s);
		return NULL;
	}
	s->accept.data = s;
	s->listening = 1;
	server_listen(s);
	return s;
}

int http_server_fd(const struct http_server *s)
{
	return s->fd;
}

int http_server_port(const struct http_server *s)
{
	return s->port;
}

void http_server_set_tls(struct http_server *s, struct tls_ctx *tls)
{
	struct tls_ctx *old;

	tls_ctx_ref(tls);
	pthread_mutex_lock(&s->lock);
	old = s->tls;
	s->tls = tls;
	pthread_mutex_unlock(&s->lock);
	tls_ctx_unref(old);
}

/* --- stopping --- */

static void server_on_listener_closed(uv_handle_t *h)
{
	struct http_server *s = h->data;

	pthread_mutex_lock(&s->lock);
	s->listening = 0;
	pthread_cond_broadcast(&s->changed);
	pthread_mutex_unlock(&s->lock);
}

static void lane_stop(void *p)
{
	struct lane *ln = p;
	struct http_server *s = ln->srv;

	ln->stopping = true;
	if (ln == &s->lanes[0]) {
		s->resume = ev_timer_stop(s->resume);
		uv_close((uv_handle_t *)&s->accept, server_on_listener_closed);
		/* Whoever keeps a copy of it has no use for it any more, and connections are refused from now on. */
		(void)shutdown(s->fd, SHUT_RD);
		close(s->fd);
	}
	LIST_EACH(&ln->conns, it) {
		struct http_conn *c = LIST_ENTRY(it, struct http_conn, link);

		c->ops->stop(c);
	}
}

static void lane_abort(void *p)
{
	struct lane *ln = p;
	struct http_server *s = ln->srv;

	ln->aborting = true;
	ln->timer = ev_timer_stop(ln->timer);
	LIST_EACH(&ln->conns, it)
		stream_abort(LIST_ENTRY(it, struct http_conn, link)->s);
	pthread_mutex_lock(&s->lock);
	s->lanes_done++;
	pthread_cond_broadcast(&s->changed);
	pthread_mutex_unlock(&s->lock);
}

void http_server_close(struct http_server *s)
{
	if (s->closed)
		return;
	s->closed = true;
	for (size_t i = 0; i < s->n_lanes; i++)
		ev_loop_post(s->lanes[i].loop, lane_stop, &s->lanes[i]);
}

struct http_server *http_server_stop(struct http_server *s, int64_t grace_ns)
{
	struct timespec until;
	int64_t deadline;

	if (!s)
		return NULL;
	clock_gettime(CLOCK_MONOTONIC, &until);
	if (__builtin_add_overflow((int64_t)until.tv_sec * NS_PER_SEC + until.tv_nsec, grace_ns, &deadline))
		deadline = INT64_MAX;
	until.tv_sec = deadline / NS_PER_SEC;
	until.tv_nsec = deadline % NS_PER_SEC;
	http_server_close(s);
	pthread_mutex_lock(&s->lock);
	while (s->n_conns || s->listening) {
		if (pthread_cond_timedwait(&s->changed, &s->lock, &until) == ETIMEDOUT)
			break;
	}
	pthread_mutex_unlock(&s->lock);
	for (size_t i = 0; i < s->n_lanes; i++)
		ev_loop_post(s->lanes[i].loop, lane_abort, &s->lanes[i]);
	pthread_mutex_lock(&s->lock);
	while (s->n_conns || s->listening || s->lanes_done < s->n_lanes)
		pthread_cond_wait(&s->changed, &s->lock);
	pthread_mutex_unlock(&s->lock);
	if (s->unix_path)
		unlink(s->unix_path);
	http_server_unref(s);
	return NULL;
}
