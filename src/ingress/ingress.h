/* ingress.h - HTTP from outside: Ingresses of the class `caravel`, served by a HAProxy on this node's ports.
 *
 *	informers ─▶ from_ingress: model ─▶ render ─▶ haproxy: commands, or read anew
 *	                  └▶ Events            └▶ the Node's annotation ─▶ statuses (controllers/ingress_status.c)
 *
 * On every node that object/ingress_refs.h says, the same. Without an Ingress of ours there is no HAProxy, and nobody
 * listens. Secrets are read one by one by the identity of the node: see README.md.
 *
 * Threads: everything runs as tasks of the env.
 */
#pragma once

#include "client/client.h"

struct ingress;
struct informer_factory;
struct ingress_opts {
	struct env *env;
	struct client *client; /* system:node:NAME */
	/* For Services, slices and Nodes: shared, after ingress_keep(); stopped before ingress_stop(). NULL: one of its
	 * own. */
	struct informer_factory *informers;
	const char *node_name, *data_dir;
	bool no_gateway;	   /* Ingresses alone */
	int http_port, https_port; /* 0: none */
	const char *trusted;	   /* ranges of proxies before us, separated by commas; NULL: none */
	bool proxy_protocol;	   /* which these speak */
};
void ingress_keep(struct informer_factory *f); /* says what of the cluster's objects is read */
struct ingress *ingress_start(const struct ingress_opts *o, struct err *err);
struct ingress *ingress_stop(struct ingress *i);
