/* home_remote.h - where a joined node is at home: HTTPS to the servers, as system:node:NAME.
 *
 *	home_remote_join()	a certificate on disk, or else the token: CA, facts, request, certificate
 *	home_remote_tend()	while the node runs: serving certificate, renewals, the list of servers, the tunnel
 *
 * Clients share one list of servers and one certificate (client/servers.h).
 */
#pragma once

#include "cli/agent.h"
#include "cli/identity.h"
#include "cli/join.h"
#include "client/servers.h"

#include <pthread.h>

struct home_remote {
	struct agent_home home;
	struct env *env;
	struct arena arena; /* of id and facts; of the start's thread, then of the tending task's */
	struct identity id;
	struct cluster_facts facts;
	struct servers *servers;
	struct client *client; /* of requests for certificates */
	const struct node_opts *o;
	const char *annotations[2];

	/* Tending, one task at a time. */
	pthread_mutex_t lock;
	pthread_cond_t idle;
	struct env_timer *timer;
	bool running, stopping;
	struct agent *agent; /* NULL: none to give certificates to */
	struct tunnel *tunnel;
	int spread_milli;
	struct {
		char *request; /* its name; NULL: none is under way */
		struct sv key;
		const char *names; /* of CERT_SERVING: as identity.serving_names */
		struct arena a;	   /* of key and names */
		int64_t since_ns;
		uint64_t refused; /* how often, one after another */
		bool told;
	} certs[2]; /* by enum cert_for */
	int64_t learnt_ns;
};

struct home_remote_opts {
	struct env *env;
	const struct node_opts *node;
	const struct join_opts *join; /* server and token may be NULL for a node that has joined before */
	const struct facts_said *said;
	bool (*pause)(int64_t ns); /* false: we are to end */
	bool (*given_up)(void);
};

/* Until this node is one of the cluster's: waits for a server that does not answer, and for approval. 1: it is; 0: told
 * to end meanwhile; -1: what waiting does not mend. */
int home_remote_join(struct home_remote *h, const struct home_remote_opts *o, struct err *err);
void home_remote_tend(struct home_remote *h, struct agent *a);
/* No task of tending runs when it returns. Before agent_stop(). */
void home_remote_rest(struct home_remote *h);
void home_remote_release(struct home_remote *h);
