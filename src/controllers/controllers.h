/* controllers.h - the controller manager: one file per controller, each a reconcile queue on
 * shared informers (client/informer.h, client/workq.h).
 *
 * Controllers never call each other; they meet at the API. Each entry of controller_table has a
 * name (as in --controllers=*,-foo upstream) and a constructor.
 */
#pragma once

#include "client/client.h"
#include "client/events.h"
#include "client/foreign.h"
#include "client/informer.h"
#include "object/api_set.h"

struct controllers;

struct controllers_opts {
	struct env *env;
	struct client *client; /* system:kube-controller-manager: lists and watches for all */
	/* Makes a client for the service account of that name in kube-system, with which one controller writes; freed
	 * by controllers_free(). NULL: they write with client. */
	struct client *(*client_as)(void *ctx, const char *account);
	void *client_ctx;
	struct api_current *kinds;	 /* the kinds that the API serves; NULL: built-in ones only */
	foreign_empty_fn *empty_foreign; /* what other API servers keep in namespaces; NULL: there are none */
	foreign_kinds_fn
	    *kinds_foreign; /* and what kinds they have, whose objects own and are owned; both or neither */
	foreign_ask_fn *ask_foreign;
	foreign_forget_fn *forget_foreign; /* with any of these */
	void *foreign_ctx;		   /* of all of them */
	const char *cluster_cidr;	   /* "v4", "v6", "v4,v6": the pod CIDRs of nodes are cut from it */
	int node_mask_v4, node_mask_v6;	   /* their lengths; 0: /24 and /64 */
	const char *server_node;	   /* the node beside this control plane; NULL: none */
	struct sv root_ca_pem;		   /* for kube-root-ca.crt ConfigMaps and token Secrets */
	/* Sign certificates for approved requests; empty: nobody here does. */
	struct sv signing_ca_pem, signing_key_pem;
	struct sv server_cert_pem; /* of the API server: no node gets its names */
	const char *cluster_dns;   /* "ADDR[,ADDR]" that pods ask; NULL: names are not ours to serve */
	bool no_ingress;	   /* Ingresses are not ours to serve: what was said of them is taken back */
	int ingress_ports[2];	   /* at which nodes serve Ingresses, unless they have flags of their own; 0: none */
	bool no_gateway;	   /* nor are Gateways, and their kinds are not made */
	bool no_snapshots;	   /* nor are VolumeSnapshots */
	const char *service_cidr;  /* comma-separated: which addresses a Service may have */
	int64_t legacy_token_ns;   /* unused for so long, tokens of Secrets are refused, and later deleted; 0: a year */
	struct sv token_key_pem;   /* signs the tokens of token Secrets; empty: they stay as they are */
	/* Node lifecycle, ns; 0 takes upstream's default: 50 s grace, 5 s period. */
	int64_t node_monitor_grace_ns, node_monitor_period_ns;
	bool no_force_detach;	    /* volumes of nodes that are lost stay attached, but to those out of service */
	const char *const *disable; /* names not to start, NULL-terminated, or NULL */
	/* Which start, as upstream's --controllers says it: "*" all, "foo" that one, "-foo" not that one; NULL or
	 * empty: all. What controllers_check() has taken. */
	const char *const *which;
};

/* Are these names of controllers? */
int controllers_check(const char *const *which, struct err *err);

struct controllers *controllers_new(const struct controllers_opts *o); /* starts them */
bool controllers_synced(struct controllers *c);
struct buf;
struct metric_set;
void controllers_metrics(struct controllers *c, struct buf *b); /* for /metrics; any thread */
struct controllers *controllers_free(struct controllers *c);

/* What each controller is given. */
struct controller_ctx {
	struct env *env;
	struct client *client; /* its own identity */
	struct informer_factory *informers;
	struct recorder *recorder;  /* of this controller */
	struct metric_set *counted; /* of ctrl_families (ctrl_metrics.h); NULL: nobody counts */
	const struct controllers_opts *opts;
};
struct controller_ops {
	const char *name;    /* "deployment-controller", as in --controllers upstream */
	const char *account; /* its service account, to which upstream's bootstrap roles are bound; NULL: that of all */
	void *(*start)(struct controller_ctx *ctx);
	void (*stop)(void *controller);
};
extern const struct controller_ops *const controller_table[]; /* NULL-terminated */
