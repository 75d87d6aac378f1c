/* harness.h - an API server on the mem store and virtual time, asked without sockets.
 *
 * api() runs one request through the whole pipeline with a sink that records the answer. Paths
 * carry their query. The user is in system:masters unless said otherwise.
 */
#pragma once

#include "unit.h"

#include "apiserver/api_req.h"
#include "apiserver/apiserver.h"
#include "base/buf.h"
#include "codec/json.h"
#include "sim/env_sim.h"

#include <stdlib.h>

struct rig {
	struct env *env;
	struct store *store;
	struct apiserver *server;
	struct client *client;
	bool no_anonymous; /* these nine: from the next start on */
	bool no_profiling;
	bool no_fairness; /* with the two limits below; the same */
	int max_requests, max_mutating;
	const char *token_auth_file, *service_cidr, *node_port_range, *authentication_config;
	struct apiserver_oidc oidc;
	struct apiserver_authorization authorization;
	struct apiserver_token_hook token_hook;
	struct apiserver_accounts accounts; /* these three as well */
	const char *client_ca_file;
	struct apiserver_front_proxies front_proxies;
	struct audit_opts audit;       /* these two, too */
	struct encryption *encryption; /* the caller has made the store of it */
	int64_t history_ns;	       /* these three, too */
	uint64_t history_bytes;
	struct env *clock;  /* an environment over env, for another wall clock; NULL: env */
	struct arena arena; /* of parsed answers */
	char *dir;	    /* of the server's keys; NULL: it has none */
};

struct answer {
	struct rig *rig;
	struct arena arena;
	struct api_req q;
	int code;
	int answers; /* must end up 1 */
	struct buf body;
	char content_type[96];
	const struct val *json; /* of the body, when it is JSON; in the rig's arena */
	bool streaming, ended;
	bool stuck;		/* the peer takes nothing */
	size_t pieces, largest; /* of an answer that was made while it was sent */
	size_t messages;	/* events given as such; */
	bool binary;		/* and what the last one was */
};

struct ask {
	const char *method, *path;
	const char *body, *type; /* type NULL: JSON */
	const char *accept, *agent;
	const char *user;	 /* NULL: admin */
	const struct sv *groups; /* of the user; NULL: system:authenticated */
	size_t n_groups;
	size_t body_n;	/* 0: strlen */
	bool no_groups; /* not even system:authenticated */
	bool stuck;	/* the peer takes nothing, from the first byte on */
	bool loop;	/* as from a network loop: what is no small read runs on the pool, long answers are sources */
	bool messages;	/* as over a WebSocket: the transport parts events */
	/* Any of these: who asks is found out as for a request from a socket, of which there are only the headers. */
	const char *authorization;			     /* "" : a socket's request without that header */
	const char *cert_user;				     /* the common name of a client certificate */
	const char *cert_group;				     /* its organization, or NULL */
	int64_t cert_until_ns;				     /* its end, wall clock */
	enum { CERT_CLIENT, CERT_PROXY, CERT_BOTH } cert_of; /* whose CA has signed it */
	const struct http_header *headers;		     /* ended by one without a name */
};

int rig_setup(void **state); /* cmocka fixtures: *state is the struct rig */
int rig_setup_on(void **state, struct store *(*make)(struct env *env));
int rig_setup_with_keys(void **state); /* a server that can issue and check tokens; in a directory of its own */
int rig_teardown(void **state);
/* A failed assertion leaves its test where it stands, and is printed behind the teardown: what would keep that from
 * ending is undone first, by this. NULL: nothing is to be. Called once, then it is NULL. */
extern void (*rig_unfinished)(void);
void rig_restart(struct rig *r); /* another server on the same store */
void rig_stop(struct rig *r);	 /* the two halves of that: no server is there between them */
void rig_start(struct rig *r);
void rig_range(struct rig *r, const char *cidrs); /* the same with other Service addresses, as if never with any */
/* A second server at the same time, in the same environment, with the ranges of the first; store is the caller's. */
struct rig *rig_beside(struct rig *first, struct store *store);
struct rig *rig_beside_free(struct rig *r);

/* The answer is the caller's to answer_free(). */
struct answer *api_ask(struct rig *r, const struct ask *a);
/* The same without waiting for the answer; api_json() reads it later. */
struct answer *api_start(struct rig *r, const struct ask *ask);
const struct val *api_json(struct answer *a);
#define api(r, m, p, ...) api_ask((r), &(struct ask){ .method = (m), .path = (p), ##__VA_ARGS__ })
struct answer *answer_free(struct answer *a);
/* Lets the peer of a stream go away, then frees. */
struct answer *answer_gone(struct answer *a);
void rig_run(struct rig *r, int64_t ns); /* virtual time */

int api_code(struct rig *r, const char *method, const char *path, const char *authorization);

/* One request whose answer must have this code; the JSON, alive until the rig goes. */
const struct val *expect(struct rig *r, int code, const char *method, const char *path, const char *body);
const struct val *expect_type(struct rig *r, int code, const char *method, const char *path, const char *type,
			      const char *body);
/* Status answers: code, reason and a piece of the message. */
void expect_status(struct rig *r, int code, const char *reason, const char *message_part, const struct ask *a);
#define assert_val(v, text) assert_sv(val_str(v), text)
int64_t rev_of(const struct val *o);

/* The n-th line of a stream as JSON, NULL when there is none. */
const struct val *stream_line(struct answer *a, size_t n);
size_t stream_lines(struct answer *a);
