/* https-internal.h - what the files of the HTTPS transport share, for https*.c and kubeconfig.c only. */
#pragma once

#include "client/https.h"
#include "client/servers.h"
#include "ev/ev.h"
#include "net/http_client.h"

#include <pthread.h>
#include <sys/stat.h>

enum {
	HTTPS_HEADERS_MAX = 72, /* with the groups of an impersonation */
	HTTPS_GROUPS_MAX = 64,
	HTTPS_STATUS_MAX = 1 << 20,  /* bytes of a failure that are read */
	HTTPS_OBJECT_MAX = 64 << 20, /* bytes of one object: servers accept 3 MiB, answers may be wordier */
	HTTPS_PAGE_MAX = 256 << 20,  /* bytes of one page of a list */
	HTTPS_PAGE_ITEMS = 500,
	HTTPS_TOKEN_MAX = 1 << 20,
};

struct https_client {
	struct client c;
	struct arena arena;	 /* copies of the options */
	struct servers *servers; /* a reference; NULL: only ep */
	struct http_endpoint ep;
	struct sv prefix; /* of every path: "" or "/some/where" */
	struct sv agent;
	struct http_header impersonate[HTTPS_GROUPS_MAX + 1];
	size_t n_impersonate;
	const char *token_file; /* NULL: none */
	int64_t timeout_ns;
	struct http_pool *pool;

	pthread_mutex_t lock;
	struct buf token;	/* "" : none */
	struct stat token_stat; /* of the file when it was read */

	/* The watches' loop: NULL until there is one. */
	pthread_cond_t changed;
	struct ev_loop *loop;
	size_t dialogs; /* watches that the loop still has to do with */
	bool loop_done;
};

/* --- https.c --- */

/* The object as the caller keeps it; keep may be NULL. */
struct obj *https_publish(struct arena *a, const struct keep *keep, const struct val *o);

/* The headers of a request, in the arena. */
int https_headers(struct https_client *h, struct arena *a, const char *content_type, struct http_header **ret,
		  size_t *ret_n, struct err *err);

/* --- https_target.c --- */

/* "/apis/apps/v1/namespaces/NS/deployments/NAME/SUB"; parts that are "" are left out. */
int https_path(struct https_client *h, const struct resource *r, struct sv ns, struct sv name, const char *sub,
	       struct buf *b, struct err *err);
/* Appends "?key=value" or "&key=value", escaped. */
void https_query(struct buf *b, const char *key, struct sv value);
void https_query_i64(struct buf *b, const char *key, int64_t value);

/* --- https_status.c --- */

/* Fills err from a response that is no success. Returns -1. */
int https_failure(struct err *err, const char *method, const struct http_response *r);
/* The same from a Status object, as streams carry it. */
int https_status_failure(struct err *err, const struct val *status, int code);

/* --- https_watch.c --- */
int https_watch(struct client *c, const struct resource *r, struct sv ns, const struct client_list_opts *o,
		const struct client_watch_cb *cb, void *ctx, struct client_watch **ret, struct err *err);
void https_unwatch(struct client *c, struct client_watch *w);
void https_watch_stop(struct https_client *h); /* the loop ends; no watch is left */
