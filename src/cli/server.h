/* server.h - what `caravel server` was asked to do, and what is checked before it does. */
#pragma once

#include "apiserver/apiserver.h"
#include "cli/agent.h"
#include "cli/datastore.h"
#include "cli/snapshot_schedule.h"
#include "ev/ev.h"

struct server_opts {
	struct node_opts node;
	struct cluster_facts facts;
	struct datastore_opts datastore;
	struct snapshot_opts snapshots;
	bool of_etcd; /* whose flags have upstream's names */
	const char *bind_address, *kubeconfig, *kubeconfig_mode, *advertise_address, *node_port_range;
	const char *token, *token_file, *token_auth_file, *admission_config, *encryption_config, *authentication_config,
	    *proxy_cert_file, *proxy_key_file;
	struct string_list enable_admission, disable_admission;
	struct audit_opts audit;
	struct apiserver_oidc oidc; /* but for its lists: */
	struct string_list oidc_required, oidc_algs, authorization_modes;
	struct apiserver_accounts accounts; /* but for its lists, and what is off by true: */
	struct string_list account_issuers, account_keys, api_audiences;
	bool account_extend, account_lookup;
	const char *client_ca_file, *proxy_ca_file, *legacy_token_period;
	int64_t legacy_token_ns;
	struct string_list proxy_names, proxy_username, proxy_uid, proxy_group, proxy_extra;
	struct apiserver_token_hook token_hook;
	struct apiserver_authorization authorization; /* but for its modes */
	const char *tls_cert_file, *tls_key_file;     /* a serving certificate of the administrator's; NULL: ours */
	struct apiserver_kubelets kubelets;	      /* but for its list: */
	const char *kubelet_timeout, *tls_min_version;
	struct string_list kubelet_addresses, tls_suites, tls_sni;
	struct string_list controllers;	    /* which run, as --controllers has them; none: all */
	const char *history, *history_size; /* as numbers: */
	int64_t history_ns, history_bytes;
	const char *request_timeout, *event_ttl, *goaway_chance, *shutdown_delay,
	    *shutdown_watch_grace; /* and parsed: */
	int64_t request_timeout_ns, event_ttl_ns, shutdown_delay_ns, shutdown_watch_grace_ns;
	double goaway_share;
	bool shutdown_retry_after;
	int max_requests, max_mutating, min_request_timeout;
	const char *join_url; /* a server to join by */
	int etcd_port;
	bool cluster_init, cluster_reset;
	int port, node_mask_v4, node_mask_v6;
	bool ipv6_masq, disable_agent, disable_scheduler, disable_controllers, no_force_detach, no_supervise,
	    anonymous_auth, profiling, fairness, debug, accept_database, no_sync;
	struct string_list tls_sans, runtime_config;
	struct string_list disabled_metrics, metric_labels, hsts, cors;
	const char *metric_manifest, *hidden_metrics, *endpoint_reconciler;
	int not_ready_s, unreachable_s;
	bool encryption_reload, audit_throttle;
};

/* Durations and shares of flags become numbers. */
int server_times(struct server_opts *o, struct err *err);
/* A command that is this server with other flags (kube_apiserver.c). */
struct server_name {
	const char *config_file; /* NULL: none is read */
	/* Changes the table of n flags, of which n_node come first and are those of nodes, and the defaults in o; how
	 * many flags there are then, SERVER_NAME_MAX more at most. May be NULL, as may settle. */
	size_t (*options)(void *ctx, struct server_opts *o, struct option *t, size_t n, size_t n_node);
	/* The flags are read and not looked at yet. -1: they cannot be; 1: all is done, and the command ends. Texts
	 * live in a. */
	int (*settle)(void *ctx, struct arena *a, struct err *err);
	void *ctx;
};
#define SERVER_NAME_MAX 16
/* Returns the exit status. */
int server_main(int argc, char **argv, const struct server_name *as);

/* Refuses what cannot work, by the name of the flag, before anything is touched. */
int server_check(const struct server_opts *o, struct err *err);
/* What --disabled-metrics and its like say of /metrics (server_check.c); NULL with *err. */
struct metric_rules *server_metric_rules(struct arena *a, const struct server_opts *o, struct err *err);
/* Refuses a database that is not the pki's, or gone while the pki is in use; and a pki that lacks its CA or its key of
 * service accounts while there is a database. */
int database_check(struct arena *a, const struct server_opts *o, struct err *err);
/* Notes whose CA the database's clients know. */
int database_mark(struct arena *a, const struct server_opts *o, struct sv ca, struct err *err);
/* Of servers that may have others beside them: what holds for the whole cluster is as those have it, or as the cluster
 * had it where none is there and the flags leave it open (server_facts.c). s: as objects are read. *ret_fresh: no
 * server has ever said anything there. */
struct store;
int server_facts_settle(struct server_opts *o, struct arena *a, struct store *s, bool *ret_fresh, struct err *err);
/* Says what to do about a failed bind; returns -1. */
int server_explain_bind(const struct server_opts *o, struct err *err);
