/* The flags of `caravel server`, as its usage shows them, and what the API server is given of them. */
#include "cli/server_options.h"

#include "base/timefmt.h"
#include "base/version.h"

#include <unistd.h>

#define ROW(name, letter, kind, field, arg, help)        \
	{                                                \
		name, letter, kind, &o->field, arg, help \
	}

size_t server_option_table(struct server_opts *o, struct option *t, size_t *ret_node)
{
	const struct option rows[] = {
		/* where it listens, and the way there */
		ROW("bind-address", 0, OPT_STRING, bind_address, "ADDR", "listen address (all of this machine's)"),
		ROW("https-listen-port", 0, OPT_INT, port, "N", "listen port (6443; 0: a free one)"),
		ROW("advertise-address", 0, OPT_STRING, advertise_address, "ADDR",
		    "address pods and nodes reach the server by (found)"),
		ROW("tls-san", 0, OPT_LIST, tls_sans, "NAME", "further names or addresses in the server certificate"),
		ROW("write-kubeconfig", 'o', OPT_STRING, kubeconfig, "FILE",
		    "admin kubeconfig (" DEFAULT_KUBECONFIG ")"),
		ROW("write-kubeconfig-mode", 0, OPT_STRING, kubeconfig_mode, "MODE", "its permissions (0600)"),
		/* who joins, and aggregated API servers */
		ROW("token", 't', OPT_STRING, token, "TOKEN",
		    "what machines join with, <id>.<secret> (made; in DIR/server/node-token); with --server "
		    "that of the servers, DIR/server/token of one"),
		ROW("token-file", 0, OPT_STRING, token_file, "FILE", "that holds that token"),
		ROW("token-auth-file", 0, OPT_STRING, token_auth_file, "FILE",
		    "static tokens: lines of TOKEN,USER,UID,\"GROUPS\""),
		ROW("proxy-client-cert-file", 0, OPT_STRING, proxy_cert_file, "FILE",
		    "the certificate that aggregated API servers are shown (of a CA of this server's own)"),
		ROW("proxy-client-key-file", 0, OPT_STRING, proxy_key_file, "FILE", "its key"),
		/* admission, priority */
		ROW("admission-control-config-file", 0, OPT_STRING, admission_config, "FILE",
		    "an AdmissionConfiguration: of Pod Security, of webhooks and of other plugins"),
		ROW("enable-admission-plugins", 0, OPT_LIST, enable_admission, "NAME",
		    "plugins of admission to switch on, by upstream's names"),
		ROW("disable-admission-plugins", 0, OPT_LIST, disable_admission, "NAME",
		    "the same to switch off, of those that are on"),
		ROW("enable-priority-and-fairness", 0, OPT_BOOL, fairness, NULL,
		    "requests have seats by FlowSchemas and PriorityLevelConfigurations (true; false: the two limits)"),
		/* how it is stored */
		ROW("encryption-provider-config", 0, OPT_STRING, encryption_config, "FILE",
		    "an EncryptionConfiguration: which resources are stored encrypted (none)"),
		ROW("encryption-provider-config-automatic-reload", 0, OPT_BOOL, encryption_reload, NULL,
		    "that file is looked at each minute, and counts when it has changed"),
		/* audit */
		ROW("audit-policy-file", 0, OPT_STRING, audit.policy_file, "FILE",
		    "a Policy of audit.k8s.io/v1: which requests are noted, and how much of them (none)"),
		ROW("audit-log-path", 0, OPT_STRING, audit.log_path, "FILE",
		    "where audit events are written, - for standard output (nowhere)"),
		ROW("audit-log-format", 0, OPT_STRING, audit.log_format, "FORMAT", "json, or legacy lines (json)"),
		ROW("audit-log-mode", 0, OPT_STRING, audit.log_mode, "MODE",
		    "blocking: before the answer; blocking-strict: and what cannot be noted is refused; batch "
		    "(blocking)"),
		ROW("audit-log-maxage", 0, OPT_INT, audit.max_age, "N", "days for which rotated logs are kept (ever)"),
		ROW("audit-log-maxbackup", 0, OPT_INT, audit.max_backup, "N", "how many of them are kept (all)"),
		ROW("audit-log-maxsize", 0, OPT_INT, audit.max_size, "N", "MB at which the log is rotated (100)"),
		ROW("audit-log-compress", 0, OPT_BOOL, audit.compress, NULL, "rotated logs are compressed"),
		ROW("audit-log-batch-buffer-size", 0, OPT_INT, audit.batch_size, "N",
		    "events that wait in mode batch, and no more (10000)"),
		ROW("audit-webhook-config-file", 0, OPT_STRING, audit.hook_config, "FILE",
		    "a kubeconfig: whom audit events are sent to, in batches (nobody)"),
		ROW("audit-webhook-mode", 0, OPT_STRING, audit.hook_mode, "MODE",
		    "batch; blocking: requests wait until their events are sent; blocking-strict: and are refused when "
		    "that fails (batch)"),
		ROW("audit-webhook-batch-throttle-enable", 0, OPT_BOOL, audit_throttle, NULL,
		    "batches are sent at a bounded rate (true)"),
		ROW("audit-webhook-batch-throttle-qps", 0, OPT_STRING, audit.hook_qps, "N", "batches a second (10)"),
		ROW("audit-webhook-batch-throttle-burst", 0, OPT_INT, audit.hook_burst, "N",
		    "batches at once after a pause (15)"),
		ROW("audit-webhook-truncate-enabled", 0, OPT_BOOL, audit.hook_truncate, NULL,
		    "large events lose their objects"),
		ROW("audit-webhook-truncate-max-event-size", 0, OPT_INT, audit.hook_event_size, "N",
		    "bytes from which an event is large (102400)"),
		ROW("audit-webhook-truncate-max-batch-size", 0, OPT_INT, audit.hook_batch_bytes, "N",
		    "bytes in a batch (10485760)"),
		ROW("audit-webhook-initial-backoff", 0, OPT_STRING, audit.hook_backoff, "DURATION",
		    "until a batch that failed is sent again for the first time (10s)"),
		ROW("audit-webhook-batch-max-wait", 0, OPT_STRING, audit.hook_max_wait, "DURATION",
		    "until a batch is sent although it is not full (30s)"),
		ROW("audit-webhook-batch-max-size", 0, OPT_INT, audit.hook_batch_size, "N", "events in a batch (400)"),
		ROW("audit-webhook-batch-buffer-size", 0, OPT_INT, audit.hook_buffer_size, "N",
		    "events that wait, and no more (10000)"),
		ROW("audit-log-truncate-enabled", 0, OPT_BOOL, audit.truncate, NULL, "large events lose their objects"),
		ROW("audit-log-truncate-max-event-size", 0, OPT_INT, audit.truncate_event_size, "N",
		    "bytes from which an event is large (102400)"),
		/* who asks */
		ROW("anonymous-auth", 0, OPT_BOOL, anonymous_auth, NULL,
		    "who shows no credential is system:anonymous (true; false: is refused)"),
		ROW("authentication-config", 0, OPT_STRING, authentication_config, "FILE",
		    "an AuthenticationConfiguration: issuers of tokens, and who may ask without any"),
		ROW("oidc-issuer-url", 0, OPT_STRING, oidc.issuer_url, "URL", "an issuer whose tokens count"),
		ROW("oidc-client-id", 0, OPT_STRING, oidc.client_id, "ID", "the audience that its tokens must have"),
		ROW("oidc-username-claim", 0, OPT_STRING, oidc.username_claim, "NAME", "the claim with the name (sub)"),
		ROW("oidc-username-prefix", 0, OPT_STRING, oidc.username_prefix, "TEXT",
		    "put before names (the issuer and #, before e-mail addresses nothing; -: nothing)"),
		ROW("oidc-groups-claim", 0, OPT_STRING, oidc.groups_claim, "NAME", "the claim with the groups"),
		ROW("oidc-groups-prefix", 0, OPT_STRING, oidc.groups_prefix, "TEXT", "put before groups"),
		ROW("oidc-required-claim", 0, OPT_LIST, oidc_required, "CLAIM=VALUE", "what a token must say"),
		ROW("oidc-signing-algs", 0, OPT_LIST, oidc_algs, "NAME", "by what tokens are signed (RS256)"),
		ROW("oidc-ca-file", 0, OPT_STRING, oidc.ca_file, "FILE", "CA of the issuer's server (the system's)"),
		ROW("service-account-issuer", 0, OPT_LIST, account_issuers, "URL",
		    "as whom tokens of accounts are issued: the first; all are taken (the cluster's own name)"),
		ROW("api-audiences", 0, OPT_LIST, api_audiences, "NAME",
		    "one of what a token shown to the API must be for (the issuers)"),
		ROW("service-account-signing-key-file", 0, OPT_STRING, accounts.signing_key_file, "FILE",
		    "a private key that signs tokens of accounts (DIR/pki/sa.key)"),
		ROW("service-account-signing-endpoint", 0, OPT_STRING, accounts.signing_endpoint, "SOCKET",
		    "a program that signs such tokens instead of a key (ExternalJWTSigner)"),
		ROW("service-account-key-file", 0, OPT_LIST, account_keys, "FILE",
		    "keys that such tokens are signed with, beside that one"),
		ROW("service-account-max-token-expiration", 0, OPT_STRING, accounts.max_expiration, "TIME",
		    "how long such a token may last (any time)"),
		ROW("service-account-extend-token-expiration", 0, OPT_BOOL, account_extend, NULL,
		    "tokens in Pods last a year beside their time, for programs that read them once (true)"),
		ROW("service-account-lookup", 0, OPT_BOOL, account_lookup, NULL,
		    "tokens of Secrets count only with their Secret (true)"),
		ROW("service-account-jwks-uri", 0, OPT_STRING, accounts.jwks_uri, "URL",
		    "where the issuer's document says that the keys are (here)"),
		ROW("legacy-service-account-token-clean-up-period", 0, OPT_STRING, legacy_token_period, "TIME",
		    "unused for so long, Secrets' tokens that the cluster made are refused, then deleted (8760h0m0s)"),
		ROW("client-ca-file", 0, OPT_STRING, client_ca_file, "FILE",
		    "CAs of clients beside the cluster's own: CN is the user, O are groups"),
		ROW("requestheader-client-ca-file", 0, OPT_STRING, proxy_ca_file, "FILE",
		    "CAs of proxies that say in headers who asks (none)"),
		ROW("requestheader-allowed-names", 0, OPT_LIST, proxy_names, "NAME",
		    "the names that their certificates must have, any of them (any name)"),
		ROW("requestheader-username-headers", 0, OPT_LIST, proxy_username, "NAME",
		    "the headers of the user, such as X-Remote-User"),
		ROW("requestheader-uid-headers", 0, OPT_LIST, proxy_uid, "NAME", "of his uid, such as X-Remote-Uid"),
		ROW("requestheader-group-headers", 0, OPT_LIST, proxy_group, "NAME",
		    "of his groups, such as X-Remote-Group"),
		ROW("requestheader-extra-headers-prefix", 0, OPT_LIST, proxy_extra, "PREFIX",
		    "what the headers of all else about him begin with, such as X-Remote-Extra-"),
		ROW("authentication-token-webhook-config-file", 0, OPT_STRING, token_hook.config_file, "FILE",
		    "the kubeconfig of a webhook that knows tokens"),
		ROW("authentication-token-webhook-version", 0, OPT_STRING, token_hook.version, "NAME",
		    "of the reviews that it gets (v1beta1)"),
		ROW("authentication-token-webhook-cache-ttl", 0, OPT_STRING, token_hook.cache_ttl, "TIME",
		    "how long its answers count (2m0s)"),
		/* what he may */
		ROW("authorization-config", 0, OPT_STRING, authorization.config, "FILE",
		    "an AuthorizationConfiguration: who is asked about rights, and in which order"),
		ROW("authorization-mode", 0, OPT_LIST, authorization_modes, "NAME",
		    "the same in short (Node,RBAC): Node, RBAC, Webhook, AlwaysAllow, AlwaysDeny"),
		ROW("authorization-webhook-config-file", 0, OPT_STRING, authorization.webhook_config_file, "FILE",
		    "the kubeconfig of mode Webhook"),
		ROW("authorization-webhook-version", 0, OPT_STRING, authorization.webhook_version, "NAME",
		    "of the reviews that it gets (v1beta1)"),
		ROW("authorization-webhook-cache-authorized-ttl", 0, OPT_STRING, authorization.webhook_allowed_ttl,
		    "TIME", "how long its yes counts (5m0s)"),
		ROW("authorization-webhook-cache-unauthorized-ttl", 0, OPT_STRING, authorization.webhook_denied_ttl,
		    "TIME", "how long its no counts (30s)"),
		/* the cluster's network */
		ROW("cluster-cidr", 0, OPT_STRING, facts.cluster_cidr, "CIDR",
		    "pod addresses (10.42.0.0/16, or what is free); A,B: one range of each family"),
		ROW("node-cidr-mask-size-ipv4", 0, OPT_INT, node_mask_v4, "N",
		    "length of a node's range of pod addresses (24)"),
		ROW("node-cidr-mask-size-ipv6", 0, OPT_INT, node_mask_v6, "N", "the same of IPv6 (64)"),
		ROW("flannel-backend", 0, OPT_STRING, facts.flannel_backend, "NAME",
		    "how pods of other nodes are reached: vxlan, host-gw, or none (somebody else's network plugin)"),
		ROW("flannel-ipv6-masq", 0, OPT_BOOL, ipv6_masq, NULL,
		    "IPv6 pods reach the outside by their node's address: always so"),
		ROW("service-cidr", 0, OPT_STRING, facts.service_cidr, "CIDR",
		    "Service addresses (10.43.0.0/16, or what is free); A,B: both families, A's by default"),
		ROW("service-node-port-range", 0, OPT_STRING, node_port_range, "A-B",
		    "ports of NodePort Services (30000-32767)"),
		ROW("cluster-dns", 0, OPT_STRING, facts.cluster_dns, "ADDR",
		    "addresses of the cluster's name server (the tenth Service address)"),
		ROW("cluster-domain", 0, OPT_STRING, facts.cluster_domain, "NAME", "DNS domain (cluster.local)"),
		ROW("egress-selector-mode", 0, OPT_STRING, facts.egress, "MODE",
		    "how joined nodes' kubelets are reached: agent (by connections they keep), disabled (by their "
		    "address)"),
		/* what runs */
		ROW("disable-agent", 0, OPT_BOOL, disable_agent, NULL,
		    "no node here: needs neither root nor containerd"),
		ROW("disable-scheduler", 0, OPT_BOOL, disable_scheduler, NULL, "no scheduler"),
		ROW("disable-controller-manager", 0, OPT_BOOL, disable_controllers, NULL, "no controllers"),
		ROW("disable", 0, OPT_LIST, facts.disable, "NAME",
		    "add-ons to leave out, by k3s's names; built in are coredns (cluster DNS), servicelb, "
		    "local-storage "
		    "(the class local-path), ingress, gateway and volume-snapshots"),
		ROW("ingress-trusted-proxies", 0, OPT_STRING, facts.ingress_trusted, "CIDRS",
		    "load balancers before Ingresses, whose X-Forwarded-For, -Proto, -Host and -Port count"),
		ROW("ingress-proxy-protocol", 0, OPT_BOOL, facts.ingress_proxy_protocol, NULL,
		    "these speak the PROXY protocol, and nobody else does"),
		ROW("disable-kube-proxy", 0, OPT_BOOL, facts.disable_proxy, NULL,
		    "no Service rules and host ports on this node"),
		ROW("disable-network-policy", 0, OPT_BOOL, facts.disable_policy, NULL,
		    "NetworkPolicies are somebody else's to enforce"),
		ROW("controllers", 0, OPT_LIST, controllers, "NAME",
		    "which of them run: * is all, foo that one, -foo not that one (*)"),
		ROW("disable-force-detach-on-timeout", 0, OPT_BOOL, no_force_detach, NULL,
		    "volumes that a lost node has mounted stay attached to it, until it is tainted out-of-service"),
		/* TLS */
		ROW("tls-cert-file", 0, OPT_STRING, tls_cert_file, "FILE",
		    "a certificate to serve with, and its chain (one of the cluster's CA)"),
		ROW("tls-private-key-file", 0, OPT_STRING, tls_key_file, "FILE", "its key"),
		ROW("tls-min-version", 0, OPT_STRING, tls_min_version, "NAME",
		    "VersionTLS12, or VersionTLS13 (VersionTLS12)"),
		ROW("tls-cipher-suites", 0, OPT_LIST, tls_suites, "NAME",
		    "of TLS 1.2, such as TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 (those of ECDHE with AES-GCM or "
		    "ChaCha20)"),
		ROW("tls-sni-cert-key", 0, OPT_ARGS, tls_sni, "CERT,KEY[:NAME,...]",
		    "another certificate, for who asks for those names (its own); repeatable"),
		/* how kubelets are reached */
		ROW("kubelet-timeout", 0, OPT_STRING, kubelet_timeout, "TIME", "until one is reached (10s)"),
		ROW("kubelet-certificate-authority", 0, OPT_STRING, kubelets.ca_file, "FILE",
		    "CAs of kubelets that are not of this cluster's own (none)"),
		ROW("kubelet-client-certificate", 0, OPT_STRING, kubelets.cert_file, "FILE",
		    "as whom kubelets are asked (kube-apiserver-kubelet-client, by the cluster's CA)"),
		ROW("kubelet-client-key", 0, OPT_STRING, kubelets.key_file, "FILE", "its key"),
		ROW("kubelet-preferred-address-types", 0, OPT_LIST, kubelet_addresses, "TYPE",
		    "of a Node's addresses, which of them names kubelets of another CA"
		    " (Hostname,InternalDNS,InternalIP,ExternalDNS,ExternalIP)"),
		/* the process */
		ROW("datastore-cafile", 0, OPT_STRING, datastore.ca_file, "FILE",
		    "whose certificates that etcd may show"),
		ROW("datastore-certfile", 0, OPT_STRING, datastore.cert_file, "FILE", "a certificate to show it"),
		ROW("datastore-endpoint", 0, OPT_STRING, datastore.endpoint, "URLS",
		    "an etcd that stores the objects: http://HOST:2379,... of one cluster (the data directory does)"),
		ROW("datastore-keyfile", 0, OPT_STRING, datastore.key_file, "FILE", "its key"),
		ROW("disable-snapshots", 0, OPT_BOOL, snapshots.disabled, NULL, "no snapshots by the schedule"),
		ROW("snapshot-dir", 0, OPT_STRING, snapshots.dir, "DIR",
		    "where they are kept; absolute, or in the data directory (snapshots)"),
		ROW("snapshot-name", 0, OPT_STRING, snapshots.name, "NAME",
		    "their files are NAME-NODE-TIME.snapshot (caravel)"),
		ROW("snapshot-retention", 0, OPT_INT, snapshots.retention, "N",
		    "how many of this node's and that name (5; 0: all)"),
		ROW("snapshot-schedule-cron", 0, OPT_STRING, snapshots.cron, "CRON",
		    "when one is taken, in the machine's time zone (0 */12 * * *)"),
		SNAPSHOT_S3_ROWS(o->snapshots.s3),
		ROW("cluster-init", 0, OPT_BOOL, cluster_init, NULL,
		    "an etcd beside this server stores the objects, and others join it by --server (etcd-server)"),
		ROW("cluster-reset", 0, OPT_BOOL, cluster_reset, NULL,
		    "make a cluster of this server alone of what its etcd has, and end: for when most servers are lost "
		    "(etcd-client)"),
		ROW("server", 's', OPT_STRING, join_url, "URL",
		    "join the servers of this one, with --token of its DATA-DIR/server/token"),
		ROW("etcd-port", 0, OPT_INT, etcd_port, "N", "of that etcd, for clients; N+1: for members (2379)"),
		ROW("accept-database", 0, OPT_BOOL, accept_database, NULL,
		    "start although the database, or a key that it counts on, is gone or another cluster's"),
		ROW("no-supervise", 0, OPT_BOOL, no_supervise, NULL,
		    "one process, which is not started again when it dies: for debuggers"),
		ROW("profiling", 0, OPT_BOOL, profiling, NULL,
		    "/debug shows who may see it what the server does (true; false: nobody)"),
		/* how much at once, and how long */
		ROW("max-requests-inflight", 0, OPT_INT, max_requests, "N",
		    "with --max-mutating-requests-inflight: requests that are served at once (400); without priority "
		    "and "
		    "fairness those that change nothing (0: any number)"),
		ROW("max-mutating-requests-inflight", 0, OPT_INT, max_mutating, "N",
		    "what priority levels divide is the sum of both (200); without them: changes that are made at "
		    "once"),
		ROW("request-timeout", 0, OPT_STRING, request_timeout, "TIME",
		    "in which a request must be answered that does not last by nature (1m0s)"),
		ROW("min-request-timeout", 0, OPT_INT, min_request_timeout, "N",
		    "seconds that a watch lasts which says nothing, at most twice that (1800)"),
		ROW("event-ttl", 0, OPT_STRING, event_ttl, "TIME", "how long Events are kept (1h0m0s)"),
		ROW("goaway-chance", 0, OPT_STRING, goaway_chance, "SHARE",
		    "of requests that are their HTTP/2 connection's last, up to 0.02 (0)"),
		ROW("history", 0, OPT_STRING, history, "TIME",
		    "how long the past is kept, for ?at=, `caravel diff` and watches that come back (0: minutes)"),
		ROW("history-size", 0, OPT_STRING, history_size, "BYTES", "and in how many bytes at most (1Gi)"),
		ROW("shutdown-delay-duration", 0, OPT_STRING, shutdown_delay, "TIME",
		    "how long it serves on when it is to end and /readyz says so (0s)"),
		ROW("shutdown-send-retry-after", 0, OPT_BOOL, shutdown_retry_after, NULL,
		    "after that, new requests are told to come again while others are finished"),
		ROW("shutdown-watch-termination-grace-period", 0, OPT_STRING, shutdown_watch_grace, "TIME",
		    "how long watches may take to end (2s)"),
		/* what is served; other names of flags */
		ROW("runtime-config", 0, OPT_LIST, runtime_config, "KEY=BOOL",
		    "versions of the API to serve or not: api/all, api/beta, api/alpha, GROUP/VERSION"),
		ROW("debug", 0, OPT_BOOL, debug, NULL, "log more"),
		ROW("secure-port", 0, OPT_INT, port, "N", "the same as --https-listen-port"),
		ROW("service-cluster-ip-range", 0, OPT_STRING, facts.service_cidr, "CIDR",
		    "the same as --service-cidr"),
		/* metrics */
		ROW("disabled-metrics", 0, OPT_LIST, disabled_metrics, "NAME", "metrics that /metrics leaves out"),
		ROW("allow-metric-labels", 0, OPT_ARGS, metric_labels, "METRIC,LABEL='V,...'",
		    "the only values that this label has in /metrics; all others are 'unexpected'"),
		ROW("allow-metric-labels-manifest", 0, OPT_STRING, metric_manifest, "FILE",
		    "the same as YAML, METRIC,LABEL: V,..."),
		ROW("show-hidden-metrics-for-version", 0, OPT_STRING, hidden_metrics, "1." KUBERNETES_MINOR_BEFORE,
		    "metrics that this version hides are shown; there are none"),
		/* what the API adds */
		ROW("endpoint-reconciler-type", 0, OPT_STRING, endpoint_reconciler, "NAME",
		    "lease: the Service `kubernetes` leads here; none: somebody else says where it leads (lease)"),
		ROW("default-not-ready-toleration-seconds", 0, OPT_INT, not_ready_s, "N",
		    "how long pods stay on a node that is not ready, unless they say (300)"),
		ROW("default-unreachable-toleration-seconds", 0, OPT_INT, unreachable_s, "N",
		    "the same of one that cannot be reached (300)"),
		ROW("strict-transport-security-directives", 0, OPT_LIST, hsts, "TEXT",
		    "of a Strict-Transport-Security header in answers (none)"),
		ROW("cors-allowed-origins", 0, OPT_LIST, cors, "REGEXP",
		    "web pages that may ask from a browser, as whole origins (none)"),
	};

	_Static_assert(ARRAY_LEN(rows) <= SERVER_OPTIONS_MAX, "more than there is room for");
	size_t n = node_option_table(&o->node, t);

	memcpy(t + n, rows, sizeof(rows));
	*ret_node = n;
	return n + ARRAY_LEN(rows);
}

#undef ROW

void server_defaults(struct server_opts *o)
{
	*o = (struct server_opts){
		.node.ingress_http_port = 80,
		.node.ingress_https_port = 443,
		.bind_address = "::",
		.kubeconfig_mode = "0600",
		.node_port_range = "30000-32767",
		.facts.cluster_domain = "cluster.local",
		.port = 6443,
		.snapshots = { .cron = "0 */12 * * *", .retention = 5 },
		.etcd_port = 2379,
		.max_requests = 400,
		.max_mutating = 200,
		.min_request_timeout = 1800,
		.anonymous_auth = true,
		.account_extend = true,
		.account_lookup = true,
		.ipv6_masq = true,
		.profiling = true,
		.fairness = true,
		.audit_throttle = true,
		.endpoint_reconciler = "lease",
		.not_ready_s = 300,
		.unreachable_s = 300,
	};
}

struct apiserver_oidc server_oidc(const struct server_opts *o)
{
	struct apiserver_oidc oidc = o->oidc;

	oidc.required_claims = o->oidc_required.list.p;
	oidc.signing_algs = o->oidc_algs.list.p;
	return oidc;
}

struct apiserver_accounts server_accounts(const struct server_opts *o)
{
	struct apiserver_accounts c = o->accounts;

	c.issuers = o->account_issuers.list.p;
	c.audiences = o->api_audiences.list.p;
	c.key_files = o->account_keys.list.p;
	c.no_extension = !o->account_extend;
	c.no_lookup = !o->account_lookup;
	return c;
}

struct apiserver_front_proxies server_front_proxies(const struct server_opts *o)
{
	return (struct apiserver_front_proxies){
		.ca_file = o->proxy_ca_file,
		.allowed_names = o->proxy_names.list.p,
		.username = o->proxy_username.list.p,
		.uid = o->proxy_uid.list.p,
		.group = o->proxy_group.list.p,
		.extra_prefix = o->proxy_extra.list.p,
	};
}

struct apiserver_kubelets server_kubelets(const struct server_opts *o)
{
	struct apiserver_kubelets k = o->kubelets;

	if (o->kubelet_timeout)
		(void)duration_parse(sv_from(o->kubelet_timeout), &k.timeout_ns); /* server_check() has */
	k.address_types = *o->kubelet_addresses.list.p ? o->kubelet_addresses.list.p : NULL;
	return k;
}

struct audit_opts server_audit(const struct server_opts *o)
{
	struct audit_opts a = o->audit;

	a.hook_no_throttle = !o->audit_throttle;
	return a;
}

struct apiserver_authorization server_authorization(const struct server_opts *o)
{
	struct apiserver_authorization z = o->authorization;

	z.modes = o->authorization_modes.list.p;
	return z;
}

const char *const *server_snapshot_argv(struct arena *a, const struct server_opts *o)
{
	const struct s3_opts *s3 = &o->snapshots.s3.o;
	const struct {
		const char *flag, *value;
	} flags[] = {
		{ "--data-dir", o->node.data_dir },
		{ "--kubeconfig", *o->kubeconfig ? o->kubeconfig : NULL },
		{ "--snapshot-dir", o->snapshots.dir },
		{ "--name", o->snapshots.name },
		{ "--node-name", o->node.node_name },
		{ "--snapshot-retention", arena_printf(a, "%d", o->snapshots.retention) },
		{ "--encryption-provider-config", o->encryption_config },
		{ "--datastore-endpoint", o->datastore.endpoint },
		{ "--datastore-cafile", o->datastore.ca_file },
		{ "--datastore-certfile", o->datastore.cert_file },
		{ "--datastore-keyfile", o->datastore.key_file },
		{ "--s3", o->snapshots.s3.on ? "true" : NULL },
		{ "--s3-endpoint", s3->endpoint },
		{ "--s3-endpoint-ca", s3->endpoint_ca },
		{ "--s3-skip-ssl-verify", s3->skip_verify ? "true" : NULL },
		{ "--s3-insecure", s3->insecure ? "true" : NULL },
		{ "--s3-bucket", s3->bucket },
		{ "--s3-region", s3->region },
		{ "--s3-folder", s3->folder },
		{ "--s3-timeout", arena_printf(a, "%d", s3->timeout_s) },
	};
	const char **argv = ARENA_ARRAY(a, const char *, 4 + ARRAY_LEN(flags));
	size_t n = 0;

	argv[n++] = "/proc/self/exe";
	argv[n++] = "snapshot";
	argv[n++] = "save";
	for (size_t i = 0; i < ARRAY_LEN(flags); i++)
		if (flags[i].value)
			argv[n++] = arena_printf(a, "%s=%s", flags[i].flag, flags[i].value);
	argv[n] = NULL;
	return argv;
}

/* Secrets are no words of a command line, which all users of a machine see. */
const char *const *server_snapshot_envp(struct arena *a, const struct server_opts *o)
{
	const struct s3_opts *s3 = &o->snapshots.s3.o;
	const struct {
		const char *name, *value;
	} more[] = {
		{ "CARAVEL_S3_ACCESS_KEY", s3->access_key },
		{ "CARAVEL_S3_SECRET_KEY", s3->secret_key },
		{ "CARAVEL_S3_SESSION_TOKEN", s3->session_token },
	};
	size_t n = 0, room = ARRAY_LEN(more) + 1;
	const char **envp;

	while (environ[n])
		n++;
	envp = ARENA_ARRAY(a, const char *, n + room);
	/* What is first counts. */
	n = 0;
	for (size_t i = 0; i < ARRAY_LEN(more); i++)
		if (more[i].value)
			envp[n++] = arena_printf(a, "%s=%s", more[i].name, more[i].value);
	for (char **e = environ; *e; e++)
		if (!sv_starts(sv_from(*e), SV("CARAVEL_TOKEN="))) /* it may be an older one; the file has that */
			envp[n++] = *e;
	envp[n] = NULL;
	return envp;
}
