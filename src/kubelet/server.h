/* server.h - inside of the kubelet's HTTPS server.
 *
 *	/healthz  /pods  /metrics  /statusz
 *	/stats/summary  /metrics/resource  /metrics/cadvisor  /metrics/probes	server_usage.c
 *	/containerLogs/<ns>/<pod>/<container>?follow&tailLines&...	server_logs.c
 *	/exec  /attach/<ns>/<pod>/<container>, /portForward/<ns>/<pod>	server_stream.c
 *
 * Who may what the API server says (server_auth.h). Handlers run on the server's loop; what blocks goes through
 * server_task().
 */
#pragma once

#include "kubelet/kubelet-internal.h"
#include "kubelet/server_auth.h"
#include "net/http.h"

struct kserver {
	struct kubelet *k;
	struct ev_loop *loop;
	struct http_server *http;
	struct tls_ctx *tls; /* of the start */
	struct sv client_ca; /* borrowed from who made the kubelet */
	struct kauth *auth;
	pthread_mutex_t lock;
	pthread_cond_t ended;
	bool running;	   /* the loop's thread */
	int64_t calmed_ns; /* when that was last logged; the loop's own */
	_Atomic bool stopping;
};

struct kserver *kserver_new(struct kubelet *k, const struct kubelet_opts *o, struct err *err);
int kserver_fd(const struct kserver *s);
int kserver_port(const struct kserver *s);
struct ev_loop *kserver_loop(const struct kserver *s); /* runs until kserver_free() */
/* New connections get it. Any thread. */
int kserver_serve_with(struct kserver *s, struct sv cert, struct sv key, struct err *err);
struct kserver *kserver_free(struct kserver *s);

/* Runs fn(r, k) as a task of the node's class with the request kept alive and r->user = user. It must arrange an answer
 * by http_req_post(). False: the kubelet is stopping, the request has its answer, user stays the caller's. */
bool server_task(struct http_req *r, struct kserver *s, void *user, void (*fn)(struct http_req *r, struct kubelet *k));
/* The same in a while, from a task before it ends; the request is kept alive, its user is what it was. */
void server_task_later(struct http_req *r, struct kubelet *k, int64_t delay_ns,
		       void (*fn)(struct http_req *r, struct kubelet *k));
/* Answers with text, which is copied. Any thread. */
void server_answer(struct http_req *r, int status, const char *type, struct sv text);
/* False: there is no such page. */
bool server_usage(struct http_req *r, struct kserver *s, struct sv dir, struct sv page);
void server_logs(struct http_req *r, struct kserver *s, struct sv ns, struct sv pod, struct sv container);
void server_stream(struct http_req *r, struct kserver *s, const char *what, struct sv ns, struct sv pod,
		   struct sv container);
