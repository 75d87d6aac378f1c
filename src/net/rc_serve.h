/* rc_serve.h - exec, attach and port-forward served here: streams between a client and descriptors.
 *
 * remotecommand.h passes connections on to a streaming server behind us. This is such a server: for a kubelet whose
 * runtime gives descriptors (a pipe, a terminal, a socket) instead of an address. It speaks what
 * API servers, and kubectl at older ones, speak to a kubelet: SPDY/3.1 with X-Stream-Protocol-Version v4.channel.k8s.io
 * and older ones, WebSocket v5, v4 and base64 channels; port-forward as SPDY portforward.k8s.io with a pair of streams
 * a connection, and WebSocket v4 ports.
 *
 * Ownership: on 0 the session owns the request's answer and what it was given until done(); on -1 nothing happened.
 * Threads: the request's loop thread for calls and callbacks; rc_served_verdict() from any.
 * Bounds: 64 KiB are kept a direction and stream; an end that does not read makes the other one not be read.
 * Port-forward: at most 1,000 connections at once, then streams are refused.
 */
#pragma once

#include "net/http.h"

struct rc_served; /* opaque; valid until done() */

struct rc_serve_opts {
	int in, out, errs; /* taken on 0; -1: none. A terminal: out for both ways. Made non-blocking. */
	bool tty;
	/* May be NULL. Columns and rows, each at most 65,535. */
	void (*resize)(int columns, int rows, void *ctx);
	/* Exactly once. err NULL: it ran to its end. Before http_server_stop() returns. */
	void (*done)(const struct err *err, void *ctx);
	void *ctx;
};

/* The client hears a verdict when all output is at its end and rc_served_verdict() was called; attach gives it itself.
 */
int rc_serve(struct http_req *r, const struct rc_serve_opts *o, struct rc_served **ret, struct err *err);
/* How the command ended: code 0 Success, else NonZeroExitCode; or why it could not be run. Holds the session no longer.
 */
void rc_served_verdict(struct rc_served *s, int code, const struct err *why);

struct rc_ports_opts {
	const int *ports; /* of the query, for WebSocket v4; copied */
	size_t n_ports;
	/* A socket connected to port of the pod, or -1 with *err, which the client reads on the error stream. May
	 * block: called on a worker of the class node. */
	int (*dial)(int port, void *ctx, struct err *err);
	void (*done)(const struct err *err, void *ctx);
	void *ctx;
};
int rc_serve_ports(struct http_req *r, const struct rc_ports_opts *o, struct err *err);
