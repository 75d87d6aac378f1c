/* proxy_config.h - kube-proxy's configuration: KubeProxyConfiguration (kubeproxy.config.k8s.io/v1alpha1) and its flags.
 *
 * All that upstream's has is known by name and type; what has a meaning here is in the struct, all else is taken and
 * told as "without effect" (iptables and ipvs, winkernel, request rates, feature gates ...). A field that nobody knows
 * is named, and no reason not to start, as upstream has it for this version; a value of the wrong type is one.
 *
 * Texts live in the arena. A function of its inputs: no I/O.
 */
#pragma once

#include "base/arena.h"
#include "base/err.h"
#include "base/vec.h"

/* How Pods are told from others. */
enum detect_local { DETECT_CLUSTER_CIDR, DETECT_NODE_CIDR, DETECT_BRIDGE, DETECT_PREFIX, _DETECT_LOCAL_MAX };

struct proxy_config {
	const char *hostname_override, *kubeconfig, *cluster_cidr; /* "" : not given */
	const char *mode, *detect_local_mode, *bridge_interface, *interface_prefix;
	const char *healthz_address, *metrics_address; /* "0.0.0.0:10256"; "": none */
	/* CIDRs, or the one word "primary" (the Node's InternalIPs); none: all addresses, as in a family of which none
	 * is named. */
	VEC(const char *) nodeport_addresses;
	int64_t verbosity;
	/* Of the section that the mode names: [0] iptables, [1] nftables; proxy_config_check() leaves it in [0]. */
	struct {
		bool masquerade_all;
		int64_t masquerade_bit;
	} rules[2];
	/* 0: as it is. */
	int64_t conntrack_max_per_core, conntrack_min;
	int64_t tcp_established_ns, tcp_close_wait_ns, udp_ns, udp_stream_ns;
	bool tcp_be_liberal;
	enum detect_local detect_local; /* of detect_local_mode */
};

/* Problems that are none: each in a line. */
typedef void proxy_config_note_fn(const char *what, void *ctx);

void proxy_config_defaults(struct proxy_config *c);
/* YAML or JSON over what c holds. */
int proxy_config_read(struct arena *a, struct proxy_config *c, struct sv text, proxy_config_note_fn *note, void *ctx,
		      struct err *err);
/* One flag by its name without dashes ("cluster-cidr"): its value as a field. 0: no flag of that name. */
int proxy_config_flag(struct arena *a, struct proxy_config *c, const char *flag, struct sv value, struct err *err);
/* What follows from the whole; c is of no use before that. */
int proxy_config_check(struct arena *a, struct proxy_config *c, proxy_config_note_fn *note, void *ctx, struct err *err);
void proxy_config_release(struct proxy_config *c); /* its lists */

/* A name and what the help says of it; the table of flags, ended by a NULL name. */
struct proxy_flag {
	const char *name, *arg, *help;
	bool is_bool;
};
const struct proxy_flag *proxy_config_flags(void);
/* "0.0.0.0:10256", "[::]:10256": host and port; false when it is neither. */
bool proxy_address_split(struct arena *a, const char *text, const char **ret_host, int *ret_port);
