/* servers.h - the API servers of one cluster, and who we are to them: shared by all HTTPS clients of a process.
 *
 * A joined node has several clients and one identity, and there may be several servers. All its clients ask one server,
 * the current one, until that fails; then the next. One that failed is passed over for half a minute, unless all have.
 * The list grows by what the cluster tells (the endpoints of the Service `kubernetes`) and is kept in a file, so that a
 * node which starts while the server it was given is gone finds the others.
 *
 * Who is one of many clients says who (`spread`): then he prefers one of the servers by that, another than others do,
 * so that all servers have their share, and that of one that fails goes to all the others. He goes back to it when the
 * list is learnt anew and it has not failed lately.
 *
 * With one server this is a lock and a copy of a name.
 *
 * What counts as failing is a transport failure alone: a server that answers 500 answers. The credentials can be
 * replaced at any time; connections made before stay as they are.
 *
 * Threads: any.
 */
#pragma once

#include "base/env.h"
#include "base/err.h"
#include "net/http_client.h"

#define SERVERS_MAX 16 /* more are not remembered */

struct servers; /* opaque, counted */

struct servers_opts {
	struct env *env;
	const char *url;	     /* the first one: "https://host:port", a path allowed */
	struct sv ca_pem;	     /* whom to believe */
	struct sv cert_pem, key_pem; /* "": none */
	const char *spread;	     /* "node-1"; NULL: the one it was given is as good as any */
	const char *file; /* where the list is kept; NULL: nowhere. What is in there already is known at once */
};

/* Copies what o names. NULL: the URL or the credentials cannot be used. */
struct servers *servers_new(const struct servers_opts *o, struct err *err);
struct servers *servers_ref(struct servers *s);
struct servers *servers_unref(struct servers *s); /* NULL is fine; returns NULL */

/* From now on; -1 leaves everything as it is. */
int servers_set_cert(struct servers *s, struct sv cert_pem, struct sv key_pem, struct err *err);
/* "host:port", NULL-terminated: these and the first one are all there are. True: they are others than before. */
bool servers_learn(struct servers *s, const char *const *hosts);
size_t servers_count(struct servers *s);

/* One server as it is to be dialled; ep is a view of the rest, until servers_let_go(). */
struct servers_at {
	struct http_endpoint ep;
	char host[256];
	struct tls_ctx *tls;
	struct sv prefix; /* of every path; for the life of the servers */
};
void servers_current(struct servers *s, struct servers_at *ret);
/* The i-th of all there are; false, and nothing to let go: there are not so many. */
bool servers_nth(struct servers *s, size_t i, struct servers_at *ret);
/* That one, while it is one of them; else false, and nothing to let go. */
bool servers_find(struct servers *s, const char *host, int port, struct servers_at *ret);
void servers_let_go(struct servers_at *at);
/* It could not be reached, or broke off: the next call goes to another one, if there is one. */
void servers_failed(struct servers *s, const struct servers_at *at);
