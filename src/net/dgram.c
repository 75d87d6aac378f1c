/* One socket of IPv6 that takes IPv4, too; on a machine without IPv6 one of IPv4. Addresses above are of one kind
 * (base/ip.h), so that nothing else here asks which it is. */
#include "net/dgram.h"

#include "ev/ev-internal.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define BATCHES_A_TURN 8
#define RECEIVE_BYTES (2 << 20) /* of the kernel's, while many ask at once */

union dgram_control {
	struct cmsghdr align;
	char v6[CMSG_SPACE(sizeof(struct in6_pktinfo))];
	char v4[CMSG_SPACE(sizeof(struct in_pktinfo))];
};

struct dgram_batch {
	struct mmsghdr in[DGRAM_BATCH], out[DGRAM_BATCH];
	struct iovec in_iov[DGRAM_BATCH], out_iov[DGRAM_BATCH];
	struct sockaddr_in6 from[DGRAM_BATCH];
	union dgram_control in_control[DGRAM_BATCH], out_control[DGRAM_BATCH];
	uint8_t asked[DGRAM_BATCH][DGRAM_MAX], answers[DGRAM_BATCH][DGRAM_MAX];
};

struct dgram_server {
	struct dgram_server_opts o;
	uv_poll_t poll;
	int fd, port;
	bool v4_only, closed;
	struct dgram_batch *batch;
};

static socklen_t dgram_sockaddr(bool v4, struct ip_addr a, uint16_t port, uint32_t iface, struct sockaddr_in6 *ret)
{
	struct sockaddr_in *in = (struct sockaddr_in *)ret;

	*ret = (struct sockaddr_in6){ 0 };
	if (v4) {
		in->sin_family = AF_INET;
		in->sin_port = htons(port);
		in->sin_addr.s_addr = htonl(ip_low(a));
		return sizeof(*in);
	}
	ret->sin6_family = AF_INET6;
	ret->sin6_port = htons(port);
	memcpy(&ret->sin6_addr, a.b, sizeof(a.b));
	ret->sin6_scope_id = ip_is_link_local(a) ? iface : 0;
	return sizeof(*ret);
}

static void dgram_read_peer(const struct msghdr *m, struct dgram_peer *ret)
{
	const struct sockaddr_in6 *sa = m->msg_name;

	*ret = (struct dgram_peer){ .addr = ip_of_sockaddr(m->msg_name), .port = ntohs(sa->sin6_port) };
	for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR((struct msghdr *)m, c)) {
		if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
			struct in6_pktinfo info;

			memcpy(&info, CMSG_DATA(c), sizeof(info));
			ret->local = ip_v6(&info.ipi6_addr);
			ret->iface = (uint32_t)info.ipi6_ifindex;
		} else if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
			struct in_pktinfo info;

			memcpy(&info, CMSG_DATA(c), sizeof(info));
			ret->local = ip_v4(ntohl(info.ipi_addr.s_addr));
			ret->iface = (uint32_t)info.ipi_ifindex;
		}
	}
}

/* The control message that makes the answer leave from the address that was asked. By which way is the kernel's. */
static void dgram_write_local(const struct dgram_server *s, const struct dgram_peer *to, struct msghdr *m,
			      union dgram_control *control)
{
	struct cmsghdr *c;

	memset(control, 0, sizeof(*control));
	m->msg_control = control;
	m->msg_controllen = s->v4_only ? sizeof(control->v4) : sizeof(control->v6);
	c = CMSG_FIRSTHDR(m);
	if (s->v4_only) {
		struct in_pktinfo info = { .ipi_spec_dst.s_addr = htonl(ip_low(to->local)) };

		c->cmsg_level = IPPROTO_IP;
		c->cmsg_type = IP_PKTINFO;
		c->cmsg_len = CMSG_LEN(sizeof(info));
		memcpy(CMSG_DATA(c), &info, sizeof(info));
	} else {
		struct in6_pktinfo info = { 0 };

		memcpy(&info.ipi6_addr, to->local.b, sizeof(to->local.b));
		c->cmsg_level = IPPROTO_IPV6;
		c->cmsg_type = IPV6_PKTINFO;
		c->cmsg_len = CMSG_LEN(sizeof(info));
		memcpy(CMSG_DATA(c), &info, sizeof(info));
	}
}

static void dgram_prepare(struct dgram_batch *b)
{
	for (size_t i = 0; i < DGRAM_BATCH; i++) {
		b->in_iov[i] = (struct iovec){ b->asked[i], DGRAM_MAX };
		b->in[i].msg_hdr = (struct msghdr){ .msg_name = &b->from[i],
						    .msg_namelen = sizeof(b->from[i]),
						    .msg_iov = &b->in_iov[i],
						    .msg_iovlen = 1,
						    .msg_control = &b->in_control[i],
						    .msg_controllen = sizeof(b->in_control[i]) };
	}
}

/* Answers what was read, n datagrams. */
static void dgram_serve(struct dgram_server *s, size_t n)
{
	struct dgram_batch *b = s->batch;
	unsigned out = 0, sent = 0;

	for (size_t i = 0; i < n && !s->closed; i++) {
		struct msghdr *in = &b->in[i].msg_hdr, *to = &b->out[out].msg_hdr;
		struct dgram_peer peer;
		size_t len;

		if (in->msg_flags & MSG_TRUNC)
			continue;
		dgram_read_peer(in, &peer);
		len = s->o.asked(s->o.ctx, &peer, sv_make((const char *)b->asked[i], b->in[i].msg_len), b->answers[out],
				 DGRAM_MAX);
		if (len == 0)
			continue;
		b->out_iov[out] = (struct iovec){ b->answers[out], len };
		*to = (struct msghdr){ .msg_name = in->msg_name,
				       .msg_namelen = in->msg_namelen,
				       .msg_iov = &b->out_iov[out],
				       .msg_iovlen = 1 };
		dgram_write_local(s, &peer, to, &b->out_control[out]);
		out++;
	}
	while (sent < out && !s->closed) {
		int r = sendmmsg(s->fd, b->out + sent, out - sent, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (r > 0)
			sent += (unsigned)r;
		else if (r < 0 && errno == EINTR)
			continue;
		else
			sent++; /* that one cannot be sent; the others may */
	}
}

static void dgram_on_readable(uv_poll_t *h, int status, int events)
{
	struct dgram_server *s = h->data;

	ev_loop_busy(s->o.loop);
	(void)status;
	(void)events;
	for (int i = 0; i < BATCHES_A_TURN && !s->closed; i++) {
		int n;

		dgram_prepare(s->batch);
		n = recvmmsg(s->fd, s->batch->in, DGRAM_BATCH, MSG_DONTWAIT, NULL);
		if (n > 0)
			dgram_serve(s, (size_t)n);
		if (n < DGRAM_BATCH)
			return;
	}
}

static int dgram_bind(struct dgram_server *s, int family, int port, struct err *err)
{
	const int one = 1, zero = 0, room = RECEIVE_BYTES;
	struct sockaddr_in6 sa;
	socklen_t n;
	int fd = socket(family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), e;

	if (fd < 0)
		return err_set_errno(err, errno, "cannot have a socket for datagrams");
	s->v4_only = family == AF_INET;
	n = dgram_sockaddr(s->v4_only, s->v4_only ? ip_v4(0) : IP_NONE, (uint16_t)port, 0, &sa);
	if (s->v4_only) {
		(void)setsockopt(fd, IPPROTO_IP, IP_PKTINFO, &one, sizeof(one));
	} else {
		(void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &zero, sizeof(zero));
		(void)setsockopt(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, &one, sizeof(one));
	}
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room)) < 0)
		(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof(room));
	if (bind(fd, (struct sockaddr *)&sa, n) < 0 || getsockname(fd, (struct sockaddr *)&sa, &n) < 0) {
		e = errno;
		close(fd);
		return err_set_errno(err, e, "listening for datagrams on port %d", port);
	}
	s->port = ntohs(sa.sin6_port);
	return fd;
}

/* One that an earlier server had bound. */
static int dgram_take(struct dgram_server *s, int fd, struct err *err)
{
	struct sockaddr_in6 sa = { 0 };
	socklen_t n = sizeof(sa);
	int e = 0;

	if (getsockname(fd, (struct sockaddr *)&sa, &n) < 0)
		e = errno;
	else if (sa.sin6_family != AF_INET && sa.sin6_family != AF_INET6)
		e = EAFNOSUPPORT;
	if (e) {
		close(fd);
		return err_set_errno(err, e, "the socket for datagrams of an earlier server");
	}
	s->v4_only = sa.sin6_family == AF_INET;
	s->port = ntohs(sa.sin6_port);
	return fd;
}

struct dgram_server *dgram_listen(const struct dgram_server_opts *o, struct err *err)
{
	struct dgram_server *s = xcalloc(1, sizeof(*s));
	struct err why = ERR_INIT;
	int r;

	s->o = *o;
	s->fd = o->fd > 0 ? dgram_take(s, o->fd, &why) : dgram_bind(s, AF_INET6, o->port, &why);
	if (s->fd < 0 && o->fd <= 0 && why.errnum != EADDRINUSE) {
		err_release(&why);
		s->fd = dgram_bind(s, AF_INET, o->port, &why);
	}
	if (s->fd < 0) {
		free(s);
		(void)err_move(err, &why);
		return NULL;
	}
	r = uv_poll_init(ev_loop_uv(o->loop), &s->poll, s->fd);
	if (r < 0) {
		(void)err_set_errno(err, -r, "watching for datagrams");
		close(s->fd);
		free(s);
		return NULL;
	}
	s->batch = xcalloc(1, sizeof(*s->batch));
	s->poll.data = s;
	return s;
}

void dgram_begin(struct dgram_server *s)
{
	BUG_ON(uv_poll_start(&s->poll, UV_READABLE, dgram_on_readable) != 0);
}

int dgram_port(const struct dgram_server *s)
{
	return s->port;
}

int dgram_fd(const struct dgram_server *s)
{
	return s->fd;
}

void dgram_send(struct dgram_server *s, const struct dgram_peer *to, struct sv bytes)
{
	struct sockaddr_in6 sa;
	struct iovec iov = { (void *)bytes.p, bytes.n };
	union dgram_control control;
	struct msghdr m = { .msg_name = &sa, .msg_iov = &iov, .msg_iovlen = 1 };

	m.msg_namelen = dgram_sockaddr(s->v4_only, to->addr, to->port, to->iface, &sa);
	dgram_write_local(s, to, &m, &control);
	(void)sendmsg(s->fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void dgram_on_closed(uv_handle_t *h)
{
	struct dgram_server *s = h->data;

	free(s->batch);
	free(s);
}

struct dgram_server *dgram_close(struct dgram_server *s)
{
	if (!s)
		return NULL;
	s->closed = true;
	uv_poll_stop(&s->poll);
	close(s->fd);
	uv_close((uv_handle_t *)&s->poll, dgram_on_closed);
	return NULL;
}

/* --- calls --- */

struct dgram_call {
	struct ev_loop *loop;
	uv_poll_t poll;
	int fd;
	bool ended;
	void (*got)(struct sv bytes, int error, void *ctx);
	void *ctx;
};

static void call_on_readable(uv_poll_t *h, int status, int events)
{
	struct dgram_call *c = h->data;
	char bytes[DGRAM_MAX];

	ev_loop_busy(c->loop);
	(void)status;
	(void)events;
	/* A few: a peer that sends more than anybody asked for waits for the next turn. */
	for (int i = 0; i < 8 && !c->ended; i++) {
		ssize_t n = recv(c->fd, bytes, sizeof(bytes), MSG_DONTWAIT | MSG_TRUNC);

		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n < 0)
			c->got(SV_NULL, errno, c->ctx);
		else if ((size_t)n <= sizeof(bytes))
			c->got(sv_make(bytes, (size_t)n), 0, c->ctx);
	}
}

struct dgram_call *dgram_call(struct ev_loop *l, struct ip_addr addr, uint16_t port, struct sv bytes,
			      void (*got)(struct sv bytes, int error, void *ctx), void *ctx, struct err *err)
{
	bool v4 = ip_is_v4(addr);
	struct sockaddr_in6 sa;
	socklen_t n = dgram_sockaddr(v4, addr, port, 0, &sa);
	struct dgram_call *c;
	int fd = socket(v4 ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), r;

	if (fd < 0 || connect(fd, (struct sockaddr *)&sa, n) < 0 ||
	    send(fd, bytes.p, bytes.n, MSG_NOSIGNAL | MSG_DONTWAIT) < 0) {
		(void)err_set_errno(err, errno, "sending a datagram to %s", ip_text(addr).s);
		if (fd >= 0)
			close(fd);
		return NULL;
	}
	c = xcalloc(1, sizeof(*c));
	*c = (struct dgram_call){ .loop = l, .fd = fd, .got = got, .ctx = ctx };
	r = uv_poll_init(ev_loop_uv(l), &c->poll, fd);
	if (r < 0) {
		(void)err_set_errno(err, -r, "watching for an answer");
		close(fd);
		free(c);
		return NULL;
	}
	c->poll.data = c;
	BUG_ON(uv_poll_start(&c->poll, UV_READABLE, call_on_readable) != 0);
	return c;
}

static void call_on_closed(uv_handle_t *h)
{
	free(h->data);
}

struct dgram_call *dgram_end(struct dgram_call *c)
{
	if (!c)
		return NULL;
	c->ended = true;
	uv_poll_stop(&c->poll);
	close(c->fd);
	uv_close((uv_handle_t *)&c->poll, call_on_closed);
	return NULL;
}
