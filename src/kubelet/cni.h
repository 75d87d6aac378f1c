/* cni.h - the pod network's configuration for the runtime, made of the standard plugins.
 *
 * bridge (a gateway on the node, hairpin) with host-local addresses from the node's pod CIDR. Neither masquerading
 * nor portmap: those and host ports are the proxy's table, so that nothing of ours stays in the host's rules.
 */
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"

struct cni_opts {
	const char *conf_dir;  /* where 10-caravel.conflist goes */
	const char *state_dir; /* host-local's address files */
	const char *bridge;    /* "cvl0": at most 15 bytes, one per cluster on a machine */
	const char *pod_cidr;  /* "10.42.0.0/24", "v4,v6" for two families */
	int mtu;	       /* 0: the plugin's own choice */
	bool masquerade;       /* leave pod traffic to the outside to the bridge plugin's ipMasq */
};

/* The directory holding bridge, host-local and loopback: /opt/cni/bin, /usr/lib/cni, or NULL. */
const char *cni_find_plugins(void);
void cni_conflist(struct buf *b, const struct cni_opts *o);
int cni_write(const struct cni_opts *o, struct err *err); /* the file, atomically; unchanged content is left alone */
/* "cvl" and eight hex digits of the data directory: several clusters run side by side. */
void cni_bridge_name(const char *data_dir, char out[16]);
