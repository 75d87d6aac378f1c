/* ingress.h - HTTP from outside: Ingresses of the class `caravel`, served by a HAProxy on this node's ports.
 *
 *	informers ─▶ from_ingress: model ─▶ render ─▶ haproxy: commands, or read anew
 *	                  └▶ Events            └▶ status.loadBalancer, the Node's annotation
 *
 * One reconcile key: everything is made anew from the informers' objects, some microseconds an Ingress, and what
 * differs from what HAProxy has is told to it. Without an Ingress of ours there is no HAProxy, and nobody listens.
 *
 * Secrets (certificates, passwords) are read by the identity of `client`, which a server gives its own node and no
 * joined one: see README.md.
 *
 * Threads: everything runs as tasks of the env.
 */
#pragma once

#include "client/client.h"

#define ING_NODE_ANNOTATION "caravel.io/ingress-ports" /* of a Node that serves: "80,443" */

struct ingress;
struct ingress_opts {
	struct env *env;
	struct client *client;	    /* ServiceAccount kube-system/ingress-controller */
	struct client *node_client; /* may patch its own Node */
	const char *node_name, *data_dir;
	int http_port, https_port; /* 0: none */
};
struct ingress *ingress_start(const struct ingress_opts *o, struct err *err);
struct ingress *ingress_stop(struct ingress *i);
