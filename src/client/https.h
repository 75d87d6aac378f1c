/* https.h - struct client over HTTPS: components in a process of their own.
 *
 * Calls go through a pool of kept connections and block the task that makes them. Watches share
 * one loop thread per client, started by the first watch; each watch has a connection of its
 * own. The loop's thread only cuts the stream into lines: decoding and the callbacks run as
 * tasks of the client's class, and a watch whose callbacks are slow stops reading from its connection.
 *
 * What the seam leaves open:
 * - client_watch() returns before the server answered. A watch that is refused (403, 410,
 *   a bad selector) ends with that error; one that the server closes in good order ends with
 *   ERR_NONE. Gone is told as ERR_EXPIRED.
 * - Failures carry everything the server's Status said: reason, code, message, causes, the
 *   object, when to retry. A Retry-After is told and never waited for: tasks do not sleep.
 * - Objects are published as they were sent, fields unknown to our schemas included, so that
 *   reading and updating loses nothing (but see client_list_opts.keep). List items get the kind and apiVersion that
 * upstream's servers leave out.
 * - Lists come in pages of 500 and are complete, at one revision; when the server forgets that
 *   revision in between, the list starts again as a whole.
 * - A failed call may still have happened (the answer was lost, or the time was up), and is
 *   repeated by nobody: the exception is a kept connection that the server had closed.
 *
 * Threads: any. Every watch is released with client_unwatch() before client_free(), which
 * waits for the loop's thread and must not be called from a callback.
 */
#pragma once

#include "client/client.h"

struct servers;
struct client_https_opts {
	/* Several clients' (servers.h), which then say where and with which certificates; NULL: what follows does. */
	struct servers *servers;
	const char *server;	 /* "https://10.0.0.1:6443", "http://...", a path before /api allowed */
	const char *name;	 /* user agent and field manager */
	const char *server_name; /* in the server's certificate; NULL: the host of the URL */
	struct sv ca_pem;	 /* "": the system's */
	bool insecure;		 /* do not verify the server */
	struct sv cert_pem, key_pem;
	const char *token;	/* bearer token, or */
	const char *token_file; /* a file with one, read again when it changes */
	/* Act as somebody else (users/impersonate); NULL: do not. */
	const char *impersonate_user;
	const char *const *impersonate_groups; /* NULL-terminated, or NULL */
	int64_t timeout_ns;		       /* of one call; 0: a minute and a bit, as long as servers take */
};

/* Copies what o names. Does not connect. NULL: the URL or the credentials cannot be used. */
struct client *client_https_new(struct env *env, const struct client_https_opts *o, struct err *err);

/* GET of a path of the server, query included, as a document in a: of kinds that no struct resource is known of. c is
 * such a client. */
int client_https_document(struct client *c, struct arena *a, const char *path, struct val **ret, struct err *err);
/* The same, and warned() of each text that the server warns with; a view until it returns. */
int client_https_document_warned(struct client *c, struct arena *a, const char *path,
				 void (*warned)(struct sv text, void *ctx), void *ctx, struct val **ret,
				 struct err *err);

struct kubeconfig;
/* The client of a kubeconfig's context (client/kubeconfig.h). */
struct client *client_kubeconfig_new(struct env *env, const struct kubeconfig *k, const char *name, struct err *err);

/* Cuts "https://host:port/prefix"; host and prefix are in the arena. */
int https_parse_url(struct arena *a, const char *url, bool *ret_tls, char **ret_host, int *ret_port,
		    struct sv *ret_prefix, struct err *err);
