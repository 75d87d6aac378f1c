/* join.h - how a machine that knows nobody comes to know a cluster: the server's CA, and what a token is worth there.
 *
 *	GET URL/cacerts			whoever answers; nothing is believed yet
 *	hash of that = the token's	now it is the cluster's CA, or the token is another cluster's
 *	from here on TLS with that CA	only now the token's secret is said
 *
 * Tokens, as they are pasted from k3s's and kubeadm's runbooks:
 *
 *	K10<SHA-256 of the CA's PEM>::<id>.<secret>		also with k3s's "user:" before the id
 *	<id>.<secret> with --discovery-token-ca-cert-hash sha256:<SHA-256 of the CA's public key>
 *	<id>.<secret> alone					only with --insecure-join: whoever is in between
 *							could be the server, and would have the token
 *
 * Blocking, for the start of `caravel agent`, and of `caravel server --server`. With data of a cluster neither joins:
 * join_check_same().
 */
#pragma once

#include "base/arena.h"
#include "base/err.h"
#include "client/bootstrap_token.h"

struct join_opts {
	const char *server;	      /* URL */
	const char *token;	      /* as pasted */
	const char *const *ca_hashes; /* "sha256:<hex>", NULL-terminated; NULL: none */
	bool insecure;
	bool of_server; /* it is a server that joins, which has neither hashes nor insecure: what is said of a token */
};

/* Views of text, but for the K10 form with a user, which is put together in a. */
int join_secret_parse(struct arena *a, const struct join_opts *o, struct join_token *ret, struct err *err);
/* The CA's PEM. -1: ERR_UNAVAILABLE or ERR_TIMEOUT: nobody answers, try again; ERR_UNAUTHORIZED: it is not the CA
 * that was asked for; the rest says what the server is. *ret_clock_ns: how far its clock is ahead of ours, 0 when it
 * does not tell. */
int join_fetch_ca(struct arena *a, const struct join_opts *o, const struct join_token *t, int64_t now_ns,
		  struct sv *ret_pem, int64_t *ret_clock_ns, struct err *err);

/* Before a machine that has a cluster's data goes on with --server of another, which would only say that nobody knows
 * it: ca_pem is the CA of what dir has. -1: ERR_INVALID, the CA there is neither the same nor of the same key; both are
 * named, todo is what to do. 0: it is, or nobody answers within seconds, or not with a CA: that is no reason not to
 * start, as its own cluster's servers may be down as it is. Whoever answers is believed only in that it is another. */
int join_check_same(struct arena *a, const char *server, struct sv ca_pem, const char *dir, const char *todo,
		    struct err *err);
