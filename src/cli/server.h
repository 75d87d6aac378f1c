/* server.h - what `caravel server` was asked to do, and what is checked before it does. */
#pragma once

#include "apiserver/apiserver.h"
#include "cli/agent.h"
#include "ev/ev.h"

struct server_opts {
	struct node_opts node;
	struct cluster_facts facts;
	const char *bind_address, *kubeconfig, *kubeconfig_mode, *advertise_address, *node_port_range;
	const char *token, *token_auth_file, *admission_config, *encryption_config, *authentication_config;
	struct string_list enable_admission, disable_admission;
	struct audit_opts audit;
	struct apiserver_oidc oidc; /* but for its lists: */
	struct string_list oidc_required, oidc_algs, authorization_modes;
	struct apiserver_token_hook token_hook;
	struct apiserver_authorization authorization; /* but for its modes */
	const char *request_timeout, *event_ttl, *goaway_chance, *shutdown_delay,
	    *shutdown_watch_grace; /* and parsed: */
	int64_t request_timeout_ns, event_ttl_ns, shutdown_delay_ns, shutdown_watch_grace_ns;
	double goaway_share;
	bool shutdown_retry_after;
	int max_requests, max_mutating, min_request_timeout;
	int port, node_mask_v4, node_mask_v6;
	bool ipv6_masq, disable_agent, disable_scheduler, disable_controllers, no_supervise, anonymous_auth, profiling,
	    debug, accept_database;
	struct string_list tls_sans, runtime_config;
};

/* Durations and shares of flags become numbers. */
int server_times(struct server_opts *o, struct err *err);
/* Refuses what cannot work, by the name of the flag, before anything is touched. */
int server_check(const struct server_opts *o, struct err *err);
/* Refuses a database that is not the pki's, or gone while the pki is in use; and a pki that lacks its CA or its key of
 * service accounts while there is a database. */
int database_check(struct arena *a, const struct server_opts *o, struct err *err);
/* Notes whose CA the database's clients know. */
int database_mark(struct arena *a, const struct server_opts *o, struct sv ca, struct err *err);
/* Says what to do about a failed bind; returns -1. */
int server_explain_bind(const struct server_opts *o, struct err *err);
