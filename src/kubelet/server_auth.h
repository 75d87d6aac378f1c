/* server_auth.h - who may use the kubelet's server, and for what: the API server's word on both.
 *
 * Who: a client certificate of the client CA, else a bearer token, about which a TokenReview is made. There is no
 * anonymous user. What: a SubjectAccessReview for the node itself and the subresource that the path stands for, as
 * upstream's kubelet asks it:
 *
 *	/stats/...		nodes/stats	/configz	nodes/configz or nodes/proxy
 *	/metrics/...		nodes/metrics	/healthz	nodes/healthz or nodes/proxy
 *	/logs/...		nodes/log	/pods		nodes/pods or nodes/proxy
 *	/checkpoint/...		nodes/checkpoint	all else	nodes/proxy
 *
 * The verb is the method's, but create for what runs commands in pods or opens ports of them, whatever method its
 * transport demands: reading must not be enough for that.
 *
 * Answers are remembered: identities two minutes, permissions five, refusals half a minute; a refused token ten
 * seconds.
 *
 * Threads: any; kauth_ask() blocks.
 */
#pragma once

#include "client/client.h"
#include "net/http.h"

struct kauth;

struct kauth *kauth_new(struct env *env, struct client *client, const char *node_name); /* all borrowed */
struct kauth *kauth_free(struct kauth *k);

enum kauth_verdict {
	KAUTH_ALLOWED,
	KAUTH_UNKNOWN, /* of kauth_known(): ask in a task */
	KAUTH_UNAUTHENTICATED,
	KAUTH_FORBIDDEN,
	KAUTH_BROKEN, /* of kauth_ask(): the API server gave no answer */
};

/* part: the first part of the path, decoded. Both give words for the client (in r's arena) unless it is allowed. */
enum kauth_verdict kauth_known(struct kauth *k, const struct http_req *r, struct sv part, struct sv *ret_words);
enum kauth_verdict kauth_ask(struct kauth *k, const struct http_req *r, struct sv part, struct sv *ret_words);
