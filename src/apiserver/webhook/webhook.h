/* webhook.h - asking programs outside: whom, how long, and what comes back.
 *
 * One client for all that the API server asks over HTTPS: admission webhooks, conversion webhooks, and whatever comes
 * with the same `clientConfig` or a kubeconfig. A call holds no thread: it is written and read on one loop of its own,
 * whose thread starts with the first call, and done() tells of the end. A request waits meanwhile by a ticket
 * (steps.h); whoever has no request just makes the call.
 *
 * Whom. A target is a URL or a Service, compiled once and shared by all calls. A Service is looked up anew for each
 * call in what the API server knows: a ready address of its Endpoints, else its cluster IP. Whatever address it leads
 * to, the certificate must be for NAME.NAMESPACE.svc and good by the target's CA bundle, or by the system's roots
 * where that is empty. Of two addresses of a Service the second is tried when the first cannot be connected to, as
 * nothing has been said by then; nothing else is tried twice (but see http_keep.h).
 *
 * Where to. Endpoints are written by many, and a name leads where its owner likes: from them no call goes to loopback,
 * to an address of the link (among them the clouds' metadata), or to the API server itself. A loopback address, or
 * `localhost`, counts where the target itself says so, for that is written by who may change all of the cluster; the
 * API server's own port is refused there, too. Redirects are not followed, they are failures.
 *
 * How much. A call has one deadline, which the receiver is told (`?timeout=10s`); an answer has a bound that the caller
 * sets. How many calls are under way to one peer is bounded (http_keep.h), the others wait in their time.
 *
 * Words are upstream's, those of connections ours: `Post "https://a.ns.svc:443/x?timeout=10s": ...`.
 *
 * Threads: everything from any thread; done() runs on the loop's, or inside webhook_call(), and must be brief.
 * Simulator: there is no loop, and a test is the network (struct webhook_network).
 */
#pragma once

#include "base/base.h"
#include "base/buf.h"
#include "base/err.h"
#include "codec/doc.h"

struct apiserver;
struct arena;
struct http_endpoint;
struct http_header;
struct webhook_credential;

/* --- whom --- */

struct webhook_target; /* immutable, reference-counted */

/* Of a document clientConfig: {url | service: {namespace, name, path, port}, caBundle}. What is wrong with it is told
 * by calls, as upstream does: never NULL. */
struct webhook_target *webhook_target_new(const struct val *client_config);
/* The same of a Service that gets this client certificate (PEM, copied; "": none) whatever credentials.h says, and
 * whose own certificate may go unchecked. What is said of it is https://NAME.NS.svc:PORT and the path asked for. */
struct webhook_target *webhook_target_service(struct sv ns, struct sv name, int port, struct sv ca_pem, bool unchecked,
					      struct sv cert_pem, struct sv key_pem);
/* One of the cluster's own, by its name: where says how it is reached, at each call. */
typedef int webhook_where_fn(struct apiserver *s, struct arena *a, struct sv name, struct http_endpoint *ret,
			     struct err *err);
struct webhook_target *webhook_target_own(struct sv name, webhook_where_fn *where);
struct webhook_target *webhook_target_ref(struct webhook_target *t);
struct webhook_target *webhook_target_unref(struct webhook_target *t);
/* As words show it: "https://NAME.NS.svc:443/path". */
const char *webhook_target_url(const struct webhook_target *t);

/* What it is trusted by has not been read yet, which takes time that no loop has: tls_system_load() (net/tls.h) comes
 * first, on another thread. Calls see to it themselves. */
bool webhook_target_waits(const struct webhook_target *t);
/* For who dials himself: where a call would go now. Strings are of a and of t, which must outlive the dialog. */
int webhook_endpoint(struct apiserver *s, struct webhook_target *t, struct arena *a, struct http_endpoint *ret,
		     struct err *err);
/* NAME.NS.svc:PORT, as its Host. */
const char *webhook_target_authority(const struct webhook_target *t);

/* --- calls --- */

struct webhook_answer {
	struct err err; /* ERR_NONE: the body is that of an answer of 200 to 206, and of a type that is JSON */
	int status;	/* HTTP's, 0: none came */
	bool late;	/* its time was up */
	struct buf body;
	struct buf tag; /* its ETag, as it was sent */
};
struct webhook_answer *webhook_answer_free(struct webhook_answer *a); /* returns NULL */

/* Its body as a document; what does not begin as a JSON object is read as YAML, as upstream does, mostly to say what is
 * wrong with it. NULL with ERR_BAD_REQUEST. */
struct budget;
struct val *webhook_answer_document(struct arena *a, struct sv body, struct budget *values, struct err *err);

typedef void webhook_done_fn(struct webhook_answer *answer_take, void *ctx);

struct webhook_call_opts {
	struct webhook_target *target;
	/* As whom, borrowed until the end; the same for all calls of a target. NULL: as webhooks_configure() says. */
	const struct webhook_credential *as;
	struct sv body; /* JSON; copied */
	/* Instead of a POST of the body: a GET of this path ("": of the target's own) with these headers besides, all
	 * copied. Any answer of 200 to 299 is one, of whatever type; the failure of another says its status alone. */
	const char *get, *method; /* method: in place of GET, or NULL */
	struct sv tag;		  /* of what is there already: 304 is an answer then, without a body. "": nothing is */
	const struct http_header *headers;
	size_t n_headers;
	int64_t timeout_ns;
	size_t answer_max;
	webhook_done_fn *done; /* exactly once, also when it is cancelled */
	void *ctx;
	/* The target's name was written by who runs this server: it may lead to loopback as an address may. */
	bool given;
};

struct webhook_call; /* reference-counted */
/* The caller's reference. */
struct webhook_call *webhook_call(struct apiserver *s, const struct webhook_call_opts *o);
/* Nobody wants the answer any more: done() comes soon, if it has not. */
void webhook_call_cancel(struct webhook_call *c);
struct webhook_call *webhook_call_unref(struct webhook_call *c);

/* --- the network, as a thing that is given --- */

/* What is sent; strings live as long as the call. */
struct webhook_sent {
	const struct webhook_target *target;
	const char *url; /* with its parameters */
	struct sv body;
	int64_t timeout_ns;
	size_t answer_max;
	bool get;
	const char *method; /* of such */
	struct sv tag;
};
/* Instead of sockets: gets every call, and ends each by webhook_call_answer(). */
struct webhook_network {
	void (*call)(struct webhook_call *c, const struct webhook_sent *sent, void *ctx);
	void (*cancel)(struct webhook_call *c, void *ctx); /* may be NULL */
	void *ctx;
};
void webhook_set_network(struct apiserver *s, const struct webhook_network *n); /* borrowed, before the first call */
/* An answer of that status and type ("": none is said); status 0: none came, and err (taken) says why. From any
 * thread, once. */
void webhook_call_answer(struct webhook_call *c, int status, struct sv type, struct sv body, struct err *err);
void webhook_call_answer_tagged(struct webhook_call *c, int status, struct sv type, struct sv tag, struct sv body);

/* --- the server's life --- */

struct webhooks *webhooks_new(struct apiserver *s);
/* As whom those of admission are called: the users of these kubeconfigs (credentials.h), NULL-terminated. Before the
 * first call. */
int webhooks_configure(struct webhooks *w, const char *const *kubeconfigs, struct err *err);
/* Calls under way end, and so do those that are made from now on; no done() runs behind it. */
void webhooks_stop(struct webhooks *w);
struct webhooks *webhooks_free(struct webhooks *w);
