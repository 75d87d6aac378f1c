/* apiserver.h - the API server: the only component that touches the store.
 *
 * One struct apiserver serves any number of listeners and in-process clients:
 *
 *	socket ──▶ net/http ──▶ apiserver_http() ─┐
 *	                                          ├─▶ struct api_req ─▶ pipeline ─▶ store / watch cache
 *	controllers ─▶ apiserver_client() ────────┘
 *
 * Threads: a request from a socket begins and is answered on its connection's loop, where small reads from memory are
 * all done; what has a body, selects over many objects or may read the disk runs on a few threads of ENV_REQUESTS
 * meanwhile, fair between users (run_queue.h). One from this process runs on the thread that waits for it. The store's
 * thread only sends requests on. No step blocks: it waits (steps.h).
 */
#pragma once

#include "apiserver/audit/audit.h"
#include "base/env.h"
#include "base/err.h"
#include "client/client.h"
#include "client/foreign.h"
#include "net/http.h"
#include "object/api_set.h"
#include "store/store.h"

struct apiserver;
struct buf;
struct encryption;
struct metric_rules;
struct zpage_flag;

/* The flags --oidc-*: one issuer of tokens. NULL: not given. */
struct apiserver_oidc {
	const char *issuer_url, *client_id, *username_claim, *username_prefix, *groups_claim, *groups_prefix, *ca_file;
	const char *const *required_claims; /* "claim=value", NULL-terminated */
	const char *const *signing_algs;    /* "RS256", ... */
};

/* Who is asked about rights (authz/chain.h): a file, or --authorization-mode and the flags of its webhook. NULL: not
 * given; nothing of it: Node, then RBAC. */
struct apiserver_authorization {
	const char *config;	  /* an AuthorizationConfiguration */
	const char *const *modes; /* NULL-terminated */
	const char *webhook_config_file, *webhook_version, *webhook_allowed_ttl, *webhook_denied_ttl;
};

/* Tokens of service accounts (authn/sa_accounts.h): the flags --service-account-* and --api-audiences. NULL: not given;
 * lists are NULL-terminated. */
struct apiserver_accounts {
	const char *const *issuers;   /* the first one issues, all count; none: the cluster's Service */
	const char *const *audiences; /* of the API; none: the issuers */
	const char *const *key_files; /* by which tokens are checked beside the key that signs */
	const char *signing_key_file; /* NULL: a key of our own */
	const char *signing_endpoint; /* the socket of a program that signs instead (authn/sa_signer.h) */
	const char *max_expiration;   /* a duration; NULL: any */
	const char *jwks_uri;	      /* where others are told to find the keys; NULL: here */
	bool no_extension;	      /* tokens of Pods end when they say */
	bool no_lookup;		      /* tokens of Secrets count without their Secret */
};

/* Proxies that say for whom they ask (authn/front_proxy.h): the flags --requestheader-*. Lists are NULL-terminated, or
 * NULL; no ca_file: nobody is one. */
struct apiserver_front_proxies {
	const char *ca_file;
	const char *const *allowed_names; /* common names of their certificates; none: any */
	const char *const *username, *const *uid, *const *group, *const *extra_prefix;
};

/* Kubelets that are not of our CA, as upstream's may be: the flags --kubelet-*. NULL: not given. */
struct apiserver_kubelets {
	const char *ca_file;		  /* by which they are known; then no name of a node is asked of them */
	const char *cert_file, *key_file; /* as whom we come; NULL: with a certificate of ours */
	/* NULL-terminated, or NULL for upstream's: the first of these types that a Node has is what a certificate of
	 * such a kubelet must name. */
	const char *const *address_types;
	int64_t timeout_ns; /* until it is reached; 0: ours */
};

/* A webhook that knows tokens (authn/token_hook.h): the flags --authentication-token-webhook-*. NULL: not given. */
struct apiserver_token_hook {
	const char *config_file, *version, *cache_ttl;
};

enum servers_question { SERVERS_JOIN, SERVERS_LIST, SERVERS_REMOVE, SERVERS_TOKEN };
struct servers_asked {
	enum servers_question what;
	struct sv name; /* of whom to remove */
	struct sv body;
};

struct apiserver_opts {
	struct env *env;
	struct store *store;  /* borrowed; outlives the server */
	struct store *stored; /* the same below its encryption, for snapshots; NULL: there is none */
	const char
	    *data_dir; /* keys in DIR/pki, the join token in DIR/server; NULL: in memory only (simulator, tests) */
	const char *service_cidr;      /* "10.43.0.0/16", or a range of each family, "10.43.0.0/16,fd43::/112" */
	const char *cluster_cidr;      /* "10.42.0.0/16" */
	const char *node_port_range;   /* "30000-32767" */
	const char *cluster_domain;    /* "cluster.local" */
	const char *advertise_address; /* put into the `kubernetes` Service's endpoints; NULL: it has none */
	int advertise_port;	       /* 0: 6443 */
	/* When it was found and not given: asked each minute where the server is now, for those endpoints; on a task of
	 * the env. What it returns is copied. May be NULL. */
	const char *(*find_address)(void *ctx);
	void *find_ctx;
	const char *const
	    *own_addresses; /* of this machine, NULL-terminated, or NULL: proxies do not lead to our port there */
	const char *loopback_node_ip; /* of this machine's node, when a loopback address is all there is; else NULL */
	/* How kubelets of joined nodes are reached (node_tunnel.h): by their address, else by connections that they
	 * keep to us; by the latter alone; by the former alone. */
	enum { EGRESS_ANY, EGRESS_TUNNEL, EGRESS_ADDRESS } egress;
	const char *const *tls_sans; /* NULL-terminated, or NULL */
	const char *join_token;	     /* "<id>.<secret>", also with the CA's hash; NULL: made at the first start */
	/* Is it the servers' token, which is in no Secret and may change? A way in: for further servers
	 * (system:bootstrappers:caravel:servers) if known_token_servers, for nodes if join_token_known. Any thread;
	 * must not block. NULL: there is none. */
	bool (*known_token)(void *ctx, struct sv id, struct sv secret);
	void *known_token_ctx;
	bool known_token_servers;
	/* What servers ask each other (servers.h). On a thread of the pool, which it may keep for some seconds; *ret is
	 * JSON, in a. NULL: there are no such paths. */
	int (*servers)(void *ctx, struct arena *a, const struct servers_asked *q, struct sv *ret, struct err *err);
	void *servers_ctx;
	bool join_token_known; /* --token is in no Secret, as it opens more than the way in (cli/shared_keys.h) */
	const char *admission_config; /* an AdmissionConfiguration (admission/setup.h); NULL: none */
	/* Names of plugins, NULL-terminated, or NULL: on beside those that are, off of them. */
	const char *const *enable_admission, *const *disable_admission;
	/* What aggregated servers are shown, files of PEM, both or neither; NULL: a certificate of a CA of our own. */
	const char *proxy_cert_file, *proxy_key_file;
	const char *token_auth_file; /* static tokens (authn/token_file.h); NULL: none */
	struct encryption
	    *encryption;	 /* of the store; borrowed; NULL: nothing is encrypted (encryption/encryption.h) */
	struct audit_opts audit; /* audit/audit.h; without a policy nothing is noted */
	const char *authentication_config; /* an AuthenticationConfiguration (authn/jwt_config.h); NULL: none */
	struct apiserver_authorization authorization;
	struct apiserver_token_hook token_hook;
	const char *tls_cert_file, *tls_key_file; /* what is served with, and looked at anew each minute; NULL: ours */
	const char *const
	    *tls_sni;	  /* CERT,KEY[:NAME,...] each, for who asks for those names; NULL-terminated, or NULL */
	bool tls_only_13; /* what is served with has no TLS 1.2; */
	const char *const *tls_suites; /* else these suites of it, or NULL (net/tls.h) */
	struct apiserver_kubelets kubelets;
	struct apiserver_accounts accounts;
	const char *client_ca_file; /* CAs of clients beside the cluster's own; NULL: none */
	struct apiserver_front_proxies front_proxies;
	struct apiserver_oidc oidc; /* the same for one issuer; no issuer_url: none */
	/* A certificate that was about to expire has been renewed: to be served with from now on, and what was handed
	 * out at the start is to be written again. On a task of the env; may be NULL. */
	void (*certs_renewed)(void *ctx, struct tls_ctx *tls);
	void *certs_ctx;
	/* The store tells of no more changes, so that nothing can be answered any more; only another process helps. On
	 * the store's thread; NULL: requests are refused and /livez says why. */
	void (*lost)(const struct err *why);
	/* Together how many requests are served at once (flow/); neither: upstream's 400 and 200. */
	int max_requests_inflight, max_mutating_inflight;
	bool no_priority_and_fairness; /* these two are limits of their own, 0: none */
	int64_t request_timeout_ns;    /* of what does not last by nature; 0: a minute */
	int min_watch_s;	       /* a watch that names no end lasts so long, or up to twice that; 0: 1800 */
	int64_t event_ttl_ns;	       /* how long Events are kept; 0: an hour */
	/* How long the past is kept, and in how many bytes (history/history.h); 0: as upstream, and a GiB. */
	int64_t history_ns;
	uint64_t history_bytes;
	double goaway_chance; /* that a request is its HTTP/2 connection's last, so that clients spread anew */
	const struct metric_rules *metric_rules; /* what the flags leave out of /metrics; borrowed; NULL: nothing */
	/* What other components of this process add to /metrics; any thread, until apiserver_rest(). NULL: nothing. */
	void (*more_metrics)(void *ctx, struct buf *b);
	void (*resource_metrics)(void *ctx,
				 struct buf *b); /* the same of /metrics/resources; NULL: there is no such page */
	void *more_ctx;
	/* The flags of this process as they are, by name, for /flagz; in the arena. Any thread; NULL: none are told. */
	const struct zpage_flag *(*flags)(void *ctx, struct arena *a, size_t *ret_n);
	void *flags_ctx;
	/* Expressions for origins of web pages, and directives (browser.h); NULL-terminated, or NULL. */
	const char *const *cors, *const *hsts;
	/* How long Pods stay on nodes that are not ready or cannot be reached unless they say so themselves; both 0:
	 * five minutes. */
	int not_ready_s, unreachable_s;
	int64_t slow_request_ns; /* longer ones are told in the log; 0: a second */
	bool no_ingress;	 /* Ingresses are somebody else's: nodes read no Secrets for them */
	bool no_gateway;	 /* nor because of Gateways */
	bool profiling;		 /* /debug, for those who are allowed it */
	bool anonymous_auth;	 /* who shows nothing is system:anonymous, and RBAC decides; else 401 */
	bool insecure_in_memory; /* no PKI is made: simulator and tests */
};

/* Can these plugins be switched so? What apiserver_new() would refuse, before anything is touched. */
/* What --tls-sni-cert-key may say, in upstream's words. */
int apiserver_check_sni(const char *const *list, struct err *err);
int apiserver_check_admission(const char *const *enable, const char *const *disable, struct err *err);
/* Loads or makes the PKI, fills the watch cache from the store, writes the bootstrap objects
 * (system namespaces, RBAC defaults, the `kubernetes` Service, priority classes) that are missing. Strings and lists
 * of o are borrowed for the server's life. Fast: this is most of "start to readyz". NULL with err. */
struct apiserver *apiserver_new(const struct apiserver_opts *o, struct err *err);
/* The beginning of the end: /readyz turns false, all else goes on, for load balancers to notice. */
void apiserver_unready(struct apiserver *s);
/* Where several servers have one store (bootstrap/masters.h): `kubernetes` leads here no more. */
void apiserver_leave(struct apiserver *s);
/* New requests from outside are refused: 429, to be tried again in 5 s, elsewhere. Not those of health. */
void apiserver_refuse(struct apiserver *s);
/* Requests that are not answered yet; streams that have begun are. */
int64_t apiserver_under_way(const struct apiserver *s);
/* /readyz turns false, watches are ended, writes in flight are finished. */
void apiserver_shutdown(struct apiserver *s);
/* Behind the end of all listeners, which does not wait for what their clients left behind: ends what is still under way
 * on the pool and in the store. Answers may be on their way to loops: who has some calls this, runs them out and frees
 * them before apiserver_free(). */
void apiserver_rest(struct apiserver *s);
/* Shuts down and rests first; no request that is answered on a loop may be under way. Returns NULL. */
struct apiserver *apiserver_free(struct apiserver *s);

/* The handler for http_server_opts.handler, ctx = the apiserver; and its 413. */
void apiserver_http(struct http_req *r, void *ctx);
void apiserver_http_too_large(struct http_req *r, void *ctx);
bool apiserver_http_streams(struct http_req *r, void *ctx); /* is passed on, body and all, as it comes */
/* For http_server_opts.calmed: logs it, a line a second at most, and counts it. */
void apiserver_http_calmed(const struct http_peer *peer, const char *what, void *ctx);
/* Warns of a clock that is obviously wrong, and of what that did to the certificates. */
void apiserver_check_clock(struct apiserver *s);
/* Server certificate and client CA; borrowed, until certs_renewed() tells of another. NULL without a PKI. */
struct tls_ctx *apiserver_tls(struct apiserver *s);

/* In-process client acting as `user` in `groups` (NULL-terminated; system:authenticated is
 * added), e.g. "system:kube-controller-manager". name: user agent and field manager. */
struct client *apiserver_client(struct apiserver *s, const char *name, const char *user, const char *const *groups);
/* The same as a service account of kube-system. */
struct client *apiserver_client_account(struct apiserver *s, const char *name, const char *account);

/* Credentials for others, made on demand and kept nowhere; PEM and text, in the arena. Not with insecure_in_memory. */
int apiserver_admin_kubeconfig(struct apiserver *s, struct arena *a, const char *server_url, struct sv *ret_yaml,
			       struct err *err);
struct sv apiserver_ca_pem(struct apiserver *s); /* view for the server's life */
/* The CA's key and the server's own certificate (as of now), for the controllers; as long. */
struct sv apiserver_ca_key_pem(struct apiserver *s);
struct sv apiserver_cert_pem(struct apiserver *s);
/* The private key of service account tokens, for the controllers; as long. */
struct sv apiserver_token_key_pem(struct apiserver *s);
/* A client certificate signed by the client CA, valid one year. */
int apiserver_issue_client_cert(struct apiserver *s, struct arena *a, const char *cn, const char *const *orgs,
				struct sv *ret_cert, struct sv *ret_key, struct err *err);
/* The kubelet's serving certificate; valid as long as the CA, for it lives no longer than the process. */
int apiserver_issue_server_cert(struct apiserver *s, struct arena *a, const char *cn, const char *const *dns,
				const char *const *ips, struct sv *ret_cert, struct sv *ret_key, struct err *err);

/* Of what aggregated servers keep in a namespace (client/foreign.h); ctx = the apiserver. */
foreign_empty_fn apiserver_empty_foreign;
foreign_kinds_fn apiserver_kinds_foreign;
foreign_ask_fn apiserver_ask_foreign;
foreign_forget_fn apiserver_forget_foreign;

/* --- kinds at run time --- */

/* The kinds that are served, now and as they change: for components in this process. */
struct api_current *apiserver_kinds(struct apiserver *s);
/* Serves these as well, with the objects of them that are stored. All or none; waits for reads of the store. Each
 * kind is for one server, and for once: who wants it again makes it anew. Versions of one differ in their names alone.
 */
int apiserver_add_kinds(struct apiserver *s, struct api_kind *const *kinds, size_t n, struct err *err);
/* The same of one whose versions are converted (versions.h). */
struct kind_conversion;
int apiserver_add_versions(struct apiserver *s, struct api_kind *k, const struct kind_conversion *how, struct err *err);
/* Several things at once, seen by everybody as one: kinds that go and kinds that come, each with how its versions are
 * converted (NULL: they differ in their names). One that has the group and plural of one that goes takes its place: its
 * objects are there all the time. All or none. */
struct kind_change {
	struct api_kind *const *gone;
	size_t n_gone;
	const struct kind_come {
		struct api_kind *kind;
		const struct kind_conversion *how;
		/* The CustomResourceDefinition that it is made of; NULL: of none. Nothing is made of the kind once that
		 * goes. */
		const struct obj *definition;
		/* Called when its keys in the store are its own, before what is there is read. NULL: nothing is. Who
		 * changes kinds besides, or begins or ends listening for that, waits for it. */
		void (*own)(struct apiserver *s, const struct kind_come *come);
	} * come;
	size_t n_come;
};
int apiserver_change_kinds(struct apiserver *s, const struct kind_change *c, struct err *err);
/* Serves them no more: their watches end, requests under way that know them still find no objects. What is
 * stored stays. Those that are not served are passed over. */
void apiserver_remove_kinds(struct apiserver *s, struct api_kind *const *kinds, size_t n);

bool apiserver_ready(struct apiserver *s); /* what /readyz says */
