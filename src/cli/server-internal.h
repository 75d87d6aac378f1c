/* server-internal.h - the server of `caravel server`, for its own files: nobody else includes it.
 *
 * server.c brings it up and waits for its end; each of the others does one part, on the main thread unless it says
 * otherwise.
 */
#pragma once

#include "base/ip.h"
#include "cli/daemon.h"
#include "cli/encryption_agreed.h"
#include "cli/home_local.h"
#include "cli/server.h"
#include "cli/server_store.h"
#include "cli/servers_token.h"

#include <pthread.h>
#include <stdatomic.h>

#define NET_THREADS 2

struct server {
	struct server_opts o;
	struct arena arena;
	struct env *env;
	struct ev_loop *loops[NET_THREADS];
	pthread_t threads[NET_THREADS];
	int n_threads;
	struct server_store opened;
	struct store *store;		       /* that, or what lies above it */
	_Atomic(struct servers_token *) token; /* NULL: not yet, or none */
	struct encryption *encryption;
	struct encryption_agreed *agreed; /* NULL: the store is its own */
	struct metric_rules *metric_rules;
	struct apiserver *api;
	struct http_server *http;
	char address[sizeof(struct ip_text)]; /* found for --advertise-address, followed; "": given, or none */
	pthread_mutex_t parts;		      /* guards it: /metrics asks */
	struct control *control;
	struct snapshot_schedule snapshots;
	atomic_bool snapshots_on;
	struct home_local home;
	struct daemon_node node;
	const char *crash_dir;
	const struct option *table; /* all options, for /flagz */
	size_t n_table;
	int cidr_hold; /* keeps other servers off our pod range; -1: none */
	int dir_lock;  /* keeps them off our data directory; the supervisor's, and so ours across deaths; -1: not yet */
};

/* server_complete.c: -1: it cannot work. Since then it has its data directory to itself. */
int server_complete(struct server *s, struct err *err);
/* The address that pods reach it by, as it is now: of a machine's that moves. Any thread. */
const char *server_address(void *s);

/* server_kubeconfig.c */
int server_kubeconfig_write(struct server *s, struct err *err); /* any thread */
/* A full disk must not keep a server from starting. */
int server_kubeconfig_first(struct server *s, struct err *err);

/* server_shared.c: the store is opened, keys and encryption are agreed upon, before anything is written. */
int server_shared_open(struct server *s, struct err *err);
/* Then: what holds for the whole cluster. */
int server_shared_facts(struct server *s, struct err *err);
/* Who is let in, and what other servers may ask. */
void server_shared_api(struct server *s, struct apiserver_opts *ret);
/* Once it serves: the token of one that has its store for itself. */
void server_shared_token(struct server *s);

/* server_pages.c; any thread */
void server_metrics(void *s, struct buf *b);
void server_resource_metrics(void *s, struct buf *b);
struct zpage_flag;
const struct zpage_flag *server_flags(void *s, struct arena *a, size_t *ret_n);

/* server_api.c: from the store to the kubeconfig; on the loops, which need not run yet. */
int server_api_start(struct server *s, struct err *err);

/* server_end.c: takes down whatever was started, in the reverse order; safe on a half-started server. */
void server_end(struct server *s);

/* server_reset.c: instead of a server. The exit status. */
int server_reset(void *s);
