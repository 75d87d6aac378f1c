/* http_client.h - outgoing HTTP/1.1, for talking to API servers, kubelets and streaming endpoints.
 *
 * Two shapes. http_call() is blocking-looking: one request, whole response, connections kept
 * alive in a pool; for workers. http_dial() is asynchronous on a loop: request, then the
 * response head, then body bytes as they come, or, after a 101, a raw tunnel; for watches and
 * for proxying exec, attach, port-forward and logs.
 */
#pragma once

#include "base/arena.h"
#include "base/err.h"
#include "ev/ev.h"
#include "net/http.h"

/* Another way to a peer than by its address: somebody who has connected sockets to it (net/reverse.h). */
struct http_via {
	/* A descriptor of the caller's, or -1 with *err: none just now. On the loop that dials; must not block. */
	int (*dial)(void *ctx, const char *peer_name, struct err *err);
	void *ctx;
	enum {
		VIA_ELSE,  /* when the address does not answer within two seconds, or at all; asked until the time is up
			    */
		VIA_FIRST, /* before the address, once; and as VIA_ELSE */
		VIA_ONLY,  /* the address is not tried */
	} when;
};

/* Whether a connection to this address may be made: asked about each that a name leads to, right before. -1: no, err
 * says why. On the loop that dials. */
typedef int http_may_dial_fn(const char *address, int port, void *ctx, struct err *err);

struct http_endpoint {
	const char *host; /* name or address; "unix:/path" */
	int port;
	struct tls_ctx *tls;	 /* NULL: plain http */
	const char *server_name; /* for verification; NULL: host */
	/* A subject the certificate must be of besides (its common name): an address may be right and the peer another
	 * one of ours. NULL: any. */
	const char *peer_name;
	/* NULL: none. Not for blocking calls; must outlive the dialog. Of a connection that may rest it is copied, and
	 * what its ctx is must outlive the loop. */
	const struct http_via *via;
	http_may_dial_fn *may_dial; /* NULL: any. Not asked by blocking calls; what may_ctx is must outlive the loop */
	void *may_ctx;
	/* Where its connection may rest afterwards, and one may be taken from (net/http_kept.h). For http_dial() only,
	 * and one that was made by `via` is for who has that. NULL: a connection of its own. */
	struct http_kept *kept;
};

struct http_response {
	int status;
	struct http_header *headers;
	size_t n_headers;
	struct sv body;
};
struct sv http_response_header(const struct http_response *r, const char *lower_name);

struct http_pool; /* keep-alive connections; any thread */
struct http_pool *http_pool_new(void);
struct http_pool *http_pool_free(struct http_pool *p);
/* Before its first call: its calls are given up with ERR_UNAVAILABLE as soon as stop_fd can be read. */
void http_pool_until(struct http_pool *p, int stop_fd);
/* Blocking; response in the arena; max_body bounds it (ERR_TOO_LARGE); timeout_ns covers all of it, <= 0: none. Retries
 * once on a kept connection that turned out closed before a byte came back. -1: transport failure (ERR_UNAVAILABLE,
 * ERR_TIMEOUT). */
int http_call(struct http_pool *p, struct arena *a, const struct http_endpoint *ep, const char *method,
	      const char *target, const struct http_header *headers, size_t n_headers, struct sv body,
	      int64_t timeout_ns, size_t max_body, struct http_response *ret, struct err *err);

/* Blocking and streaming, for follow-style reads on a thread of their own: head() and data() may
 * return non-zero to stop, which is not an error. The timeout ends with the head, which is valid until the
 * call returns. */
int http_call_stream(struct arena *a, const struct http_endpoint *ep, const char *method, const char *target,
		     const struct http_header *headers, size_t n_headers, struct sv body, int64_t connect_timeout_ns,
		     int (*head)(const struct http_response *head, void *ctx), int (*data)(struct sv bytes, void *ctx),
		     void *ctx, struct err *err);

struct http_dialog; /* one asynchronous exchange; loop thread only */
struct http_dialog_cb {
	/* The response head, valid until closed(). With status 101 the dialog is a raw tunnel from here on. */
	void (*head)(struct http_dialog *d, const struct http_response *head, void *ctx);
	void (*data)(struct http_dialog *d, struct sv bytes, void *ctx);
	void (*drain)(struct http_dialog *d, void *ctx); /* the queue was over 64 KiB and is empty; may be NULL */
	/* Exactly once, last, never from inside another call; err NULL on a complete end or our own close. The dialog
	 * is freed after it returns. */
	void (*closed)(struct http_dialog *d, const struct err *err, void *ctx);
};
struct http_dialog *http_dial(struct ev_loop *l, const struct http_endpoint *ep, const char *method, const char *target,
			      const struct http_header *headers, size_t n_headers, struct sv body,
			      int64_t connect_timeout_ns, const struct http_dialog_cb *cb, void *ctx);
/* The same with a body that is said while it comes: of `length` bytes, or, if that is -1, in chunks. It is nobody's
 * second try, and the answer may come before its end: then what is left is not sent, and the connection ends. */
struct http_dialog *http_dial_upload(struct ev_loop *l, const struct http_endpoint *ep, const char *method,
				     const char *target, const struct http_header *headers, size_t n_headers,
				     int64_t length, int64_t connect_timeout_ns, const struct http_dialog_cb *cb,
				     void *ctx);
/* From http_dial_upload() on, not only once there is a connection. Returns the bytes queued: over
 * HTTP_DIALOG_QUEUE_MAX the next is for drain(). 0: it is not wanted any more, or is longer than was said. */
#define HTTP_DIALOG_QUEUE_MAX ((size_t)64 * 1024)
size_t http_dialog_body(struct http_dialog *d, struct sv bytes);
void http_dialog_body_end(struct http_dialog *d); /* with less than was said it is cut, and so the exchange */
size_t http_dialog_write(struct http_dialog *d, struct sv bytes); /* tunnel only; returns bytes queued */
void http_dialog_pause(struct http_dialog *d, bool paused);
void http_dialog_close(struct http_dialog *d); /* no callback but closed() any more; a tunnel sends what is queued */
