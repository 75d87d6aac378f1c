/* service_lb-internal.h - service_lb as its two files see it: service_lb.c has its runs and what calls for them,
 * service_lb_choose.c below it which nodes and addresses a Service gets. */
#pragma once

#include "client/workq.h"
#include "controllers/controllers-internal.h"
#include "controllers/service_lb_ports.h"

#define ANN_DNS "caravel.io/dns-port"	 /* dns/dns.h */
#define INDEX_LB "service-lb"		 /* of Services: "" those of type LoadBalancer; "TCP/80" those that want it */
#define INDEX_NODE_PORTS "service-lb-np" /* of Services: "TCP/30080" */
#define INDEX_HOST_PORTS "service-lb-hp" /* of pods: "NODE/TCP/80" */
#define INDEX_SLICES "service-lb"	 /* of slices: by their Service */

struct service_lb {
	struct controller_ctx *ctx;
	struct informer *services, *slices, *nodes, *pods;
	struct workq *q;
	/* Of the one worker. */
	struct lb_ports ports;
	struct strmap waiting; /* "ns/name" of who has not all nodes -> why it has none, "" if it has some (char *) */
	bool seeded;	       /* what statuses say is in ports */
};

struct lb_run {
	struct service_lb *c;
	struct arena a;
	struct sv key; /* "ns/name" */
	struct obj *svc;
	struct obj **nodes; /* chosen and claimed */
	size_t n_nodes;
	const char *why; /* why not the first one that could not be had */
};

bool lb_is_local(const struct obj *svc); /* externalTrafficPolicy: Local */
bool lb_node_ready(const struct obj *node);
bool lb_node_has(const struct obj *node, struct sv address);
/* Claims nodes for r->svc, and frees what it has and does not want any more. */
void lb_choose(struct lb_run *r);
/* Frees what it has and does not want any more; others may be waiting for that. */
void lb_settle(struct lb_run *r);
struct val *lb_ingress(struct lb_run *r); /* the addresses of what was chosen, for its status */
