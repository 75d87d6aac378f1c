/* remotecommand.h - exec, attach and port-forward: streams between a client of ours and a
 * streaming server behind us.
 *
 * Who speaks what:
 *
 *	kubectl exec/attach   WebSocket v5.channel.k8s.io (v4 and base64 from older ones)
 *	                      -> rc_translate() -> SPDY/3.1 streams to the kubelet
 *	kubectl port-forward  WebSocket SPDY/3.1+portforward.k8s.io: SPDY inside binary messages
 *	                      -> rc_unwrap()    -> the same SPDY, bare, to the kubelet
 *	other port-forward    WebSocket v4.channel.k8s.io, ports in the query (JavaScript, Python)
 *	old clients           SPDY/3.1 by HTTP upgrade; and a kubelet towards its runtime
 *	                      -> rc_pipe()      -> the same bytes
 *
 * (KEP-4006 describes the first two.) Each takes a request and a backend, makes the connection,
 * and moves bytes both ways until both ends are finished. Queues are bounded: an end that does
 * not read makes the other one not be read.
 *
 * Ownership: on 0 the session owns the request's answer (it holds a reference) until done();
 * on -1 nothing happened and the caller answers with err. Everything passed in is copied.
 * Threads: the request's loop thread, for calls and callbacks.
 */
#pragma once

#include "net/http_client.h"

struct rc_backend {
	struct http_endpoint endpoint;
	const char *method;		   /* NULL: POST */
	const char *target;		   /* path and query */
	const struct http_header *headers; /* sent along: authorization, impersonation */
	size_t n_headers;
};

/* The reason of such an error. */
#define RC_NO_UPGRADE ERR_NOT_ACCEPTABLE

struct rc_session; /* opaque; valid until done() */

struct rc_opts {
	bool want_stdin, want_stdout, want_stderr, tty; /* rc_translate() only */
	int64_t connect_timeout_ns;			/* 0: 30 s; the backend's answer may take as long again */
	int64_t ping_ns;				/* not rc_pipe(); 0: every 5 s */
	/* Exactly once, when the client's side has ended: all such calls come before http_server_stop() returns. err
	 * NULL: it ran to its end. answered false: the backend could not be reached, or answered what is neither an
	 * upgrade nor a failure (RC_NO_UPGRADE), and r still waits for its answer, which the callee gives. While r
	 * waits, its user and on_gone are the session's. */
	void (*done)(struct http_req *r, bool answered, const struct err *err, void *ctx);
	/* rc_translate() only; may be NULL: into err, in the caller's words, why the backend could not be reached. */
	int (*unreached)(struct err *err, const struct err *why);
	void *ctx;
	struct rc_session **ret_session; /* may be NULL; set on success */
};

/* The upgrade is answered at once; what goes wrong behind it is told on the error channel, as a
 * Status. Needs a WebSocket request with one of the channel subprotocols. */
int rc_translate(struct http_req *r, const struct rc_backend *b, const struct rc_opts *o, struct err *err);

/* Any upgrade: its headers (Upgrade, X-Stream-Protocol-Version, Sec-WebSocket-*) go to the backend
 * and the backend's answer, a 101 or a failure (400 and above, whole within ten seconds), comes back. Anything else is
 * not passed on: it would be no upgrade, and a redirect would lead the client away from here. */
int rc_pipe(struct http_req *r, const struct rc_backend *b, const struct rc_opts *o, struct err *err);

/* A WebSocket request with subprotocol SPDY/3.1+portforward.k8s.io. Answered when the backend has
 * answered; a failure is passed on as above. */
int rc_unwrap(struct http_req *r, const struct rc_backend *b, const struct rc_opts *o, struct err *err);

/* Ends a session whose client has lost the right to it: a translated one by a verdict that says why, others by closing.
 * done() comes as after any end. */
void rc_revoke(struct rc_session *s, const struct err *why);

/* Does a request ask for an upgrade that rc_pipe() could pass on? */
bool rc_is_upgrade(const struct http_req *r);
