#include "cli/upstream_flags.h"

#define STORE "the store is part of the server, in DIR/db, or the etcd that --datastore-endpoint names"
#define PROFILE "there are no profiles of Go's here: /debug shows what the server does"

#define NONE(name, why)                                     \
	{                                                   \
		name, UPSTREAM_NO_MEANING, false, NULL, why \
	}
#define NONE_SWITCH(name, why)                             \
	{                                                  \
		name, UPSTREAM_NO_MEANING, true, NULL, why \
	}
#define ONLY(name, value, why)                         \
	{                                              \
		name, UPSTREAM_ONLY, false, value, why \
	}
#define ONLY_SWITCH(name, value, why)                 \
	{                                             \
		name, UPSTREAM_ONLY, true, value, why \
	}
#define REFUSED(name, why)                               \
	{                                                \
		name, UPSTREAM_REFUSED, false, NULL, why \
	}

#define OURS(name, why)                                \
	{                                              \
		name, UPSTREAM_LACKS, false, NULL, why \
	}

#define NO_NODE "there is no node, and no network of pods"
#define NO_CONTROLLERS "--controllers says which run"

static const struct upstream_flag flags[] = {
	ONLY_SWITCH("aggregator-reject-forwarding-redirect", "true",
		    "answers of other API servers that lead elsewhere are never passed on"),
	NONE_SWITCH("allow-privileged", "privileged containers are for admission to judge: Pod Security"),
	NONE("apiserver-count", "servers are found by their leases"),
	NONE("audit-log-batch-max-size", "what waits is written to the file at once"),
	NONE("audit-log-batch-max-wait", "what waits is written to the file at once"),
	NONE("audit-log-batch-throttle-burst", "what waits is written to the file at once"),
	NONE_SWITCH("audit-log-batch-throttle-enable", "what waits is written to the file at once"),
	NONE("audit-log-batch-throttle-qps", "what waits is written to the file at once"),
	NONE("audit-log-truncate-max-batch-size", "what waits is written to the file at once"),
	ONLY("audit-log-version", "audit.k8s.io/v1", "events have no other version"),
	ONLY("audit-webhook-version", "audit.k8s.io/v1", "events have no other version"),
	REFUSED("authorization-policy-file",
		"ABAC is not here: --authorization-config takes a chain of webhooks and RBAC"),
	NONE_SWITCH("contention-profiling", "/debug/locks always shows which locks are waited for"),
	NONE("coordinated-leadership-lease-duration", "the server elects no leaders of others"),
	NONE("coordinated-leadership-renew-deadline", "the server elects no leaders of others"),
	NONE("coordinated-leadership-retry-period", "the server elects no leaders of others"),
	REFUSED("debug-socket-path", PROFILE),
	NONE("default-watch-cache-size", "the watch cache has all objects, and five minutes of changes"),
	NONE("delete-collection-workers", "objects of a collection are deleted as fast as the store takes them"),
	ONLY_SWITCH("disable-http2-serving", "false", "who speaks HTTP/1.1 alone is served by that anyway"),
	REFUSED("egress-selector-config-file", "--egress-selector-mode says how kubelets are reached"),
	ONLY("emulated-version", "1.37", "there is one version of the API, v1.37"),
	ONLY_SWITCH("emulation-forward-compatible", "false", "there is one version of the API, v1.37"),
	NONE_SWITCH("enable-aggregator-routing", "other API servers are always asked at an endpoint of their Service"),
	ONLY_SWITCH("enable-bootstrap-token-auth", "true", "machines join with such tokens"),
	ONLY_SWITCH("enable-garbage-collector", "true",
		    "owners that wait for their dependents would wait for ever without one"),
	ONLY_SWITCH("enable-logs-handler", "false", "there are no log files to show: the log goes to standard error"),
	NONE("etcd-cafile", "the name is --datastore-cafile"),
	NONE("etcd-certfile", "the name is --datastore-certfile"),
	NONE("etcd-compaction-interval", "history is kept for five minutes"),
	NONE("etcd-count-metric-poll-period", "objects are counted when they are asked for"),
	NONE("etcd-db-metric-poll-interval", "the size of the store is looked at when it is asked for"),
	NONE("etcd-healthcheck-timeout", STORE),
	NONE("etcd-keyfile", "the name is --datastore-keyfile"),
	ONLY("etcd-prefix", "/registry", STORE),
	NONE("etcd-readycheck-timeout", STORE),
	REFUSED("etcd-servers", "the name is --datastore-endpoint"),
	REFUSED("etcd-servers-overrides", "all objects are in one store: leave it out"),
	NONE("external-hostname", "URLs in answers are those that the client used"),
	NONE("http2-max-streams-per-connection",
	     "a connection has a bound of its own, and what a user has in work is bounded by priority levels"),
	NONE("identity-lease-duration-seconds", "servers have no leases of their own"),
	NONE("identity-lease-renew-interval-seconds", "servers have no leases of their own"),
	REFUSED("kubernetes-service-node-port",
		"the Service `kubernetes` has a cluster address: nodes reach the server by its own"),
	NONE("lease-reuse-duration-seconds", STORE),
	NONE("livez-grace-period", "the server listens when its start is over"),
	NONE("log-flush-frequency", "each line of the log is written at once"),
	NONE("log-json-info-buffer-size", "each line of the log is written at once"),
	ONLY_SWITCH("log-json-split-stream", "false", "the log goes to standard error"),
	NONE("log-text-info-buffer-size", "each line of the log is written at once"),
	ONLY_SWITCH("log-text-split-stream", "false", "the log goes to standard error"),
	REFUSED("max-connection-bytes-per-sec",
		"a client that reads slowly or much is bounded by what is kept for it, not by a rate"),
	ONLY("min-compatibility-version", "1.36", "that is how far back this version goes"),
	ONLY("peer-advertise-ip", "", "servers do not pass requests on to each other"),
	ONLY("peer-advertise-port", "", "servers do not pass requests on to each other"),
	ONLY("peer-ca-file", "", "servers do not pass requests on to each other"),
	NONE_SWITCH("permit-address-sharing",
		    "a listening socket is always made so that its address is free at once after it"),
	ONLY_SWITCH("permit-port-sharing", "false", "two servers on one port would each get some of the connections"),
	ONLY_SWITCH("runtime-config-emulation-forward-compatible", "false", "there is one version of the API, v1.37"),
	ONLY("storage-backend", "etcd3", STORE),
	NONE("storage-initialization-timeout", "the server listens when the store has been read"),
	NONE("storage-media-type", STORE ", as JSON"),
	REFUSED("tracing-config-file", "there are no traces: a slow request leaves the times of its steps in the log"),
	ONLY_SWITCH("watch-cache", "true", "reads are answered from it"),
	NONE("watch-cache-sizes", "the watch cache has all objects, and five minutes of changes"),

	OURS("datastore-cafile", "the name is --etcd-cafile"),
	OURS("datastore-certfile", "the name is --etcd-certfile"),
	OURS("datastore-endpoint", "the name is --etcd-servers"),
	OURS("datastore-keyfile", "the name is --etcd-keyfile"),
	OURS("disable", "there are no add-ons"),
	OURS("disable-agent", NO_NODE),
	OURS("disable-controller-manager", NO_CONTROLLERS),
	OURS("disable-force-detach-on-timeout", "no volumes are attached"),
	OURS("disable-kube-proxy", NO_NODE),
	OURS("disable-network-policy", NO_NODE),
	OURS("disable-scheduler", "there is no scheduler"),
	OURS("flannel-backend", NO_NODE),
	OURS("flannel-ipv6-masq", NO_NODE),
	OURS("https-listen-port", "the name is --secure-port"),
	OURS("ingress-proxy-protocol", NO_NODE),
	OURS("ingress-trusted-proxies", NO_NODE),
	OURS("node-cidr-mask-size-ipv4", NO_CONTROLLERS),
	OURS("node-cidr-mask-size-ipv6", NO_CONTROLLERS),
	OURS("service-cidr", "the name is --service-cluster-ip-range"),
};

const struct upstream_flag *upstream_flag_find(struct sv name)
{
	for (size_t i = 0; i < ARRAY_LEN(flags); i++)
		if (sv_is(name, flags[i].name))
			return &flags[i];
	return NULL;
}
