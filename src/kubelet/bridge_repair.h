/* bridge_repair.h - the pod network as the plugins made it, put back when somebody took it away.
 *
 * What they made is in libcni's cache, one file a sandbox: the bridge with its hardware address, the gateway's address,
 * and the veth of the pod. A bridge that was deleted is made again as it was (same hardware address: pods' neighbour
 * tables stay true) and the veths, which outlive it, are attached again; so running pods go on with their addresses. A
 * veth that was deleted is gone with its pod's end of it: both are made again as they were, if the sandbox still is to
 * have them. A bridge or veth that was set down is brought up, and the route to the pods' network, which the kernel
 * makes once, with the address, is made again.
 *
 * Looking costs a directory and a few files of /sys and /proc; only repairing runs programs (ip). Blocking; for worker
 * tasks.
 */
#pragma once

#include "base/arena.h"
#include "base/buf.h"

struct bridge_need {
	char name[16], mac[18];
	char gateway[2][64]; /* "10.42.0.1/24" */
	size_t n_gateways;
};

/* run_dir: sandboxes with their network namespace below it are ours. lives: is that sandbox one that runs, and is not
 * being taken down? Asked after its veth was seen to be missing. What was done, as a sentence, is added to said;
 * returns how many things were repaired, -1 when something could not be (said tells what). */
int bridge_repair(const char *results_dir, const char *run_dir, const char *bridge,
		  bool (*lives)(struct sv sandbox, void *ctx), void *ctx, struct buf *said);

/* The parts, for tests: what one cache file asks for. False: it is not one of ours. veth has 16 bytes. */
bool bridge_read_result(struct sv text, const char *run_dir, const char *bridge, struct bridge_need *need, char *veth);

/* The pod's end of a veth. Views into the arena. */
struct bridge_pod_end {
	struct sv sandbox; /* its id */
	const char *netns, *name, *mac;
	struct {
		const char *address, *gateway; /* "10.42.0.7/24", "10.42.0.1" */
	} ip[2];
	const char *route[8]; /* destinations, by the gateway of their family */
	size_t n_ips, n_routes;
};
/* Of a cache file that bridge_read_result() took. False: something in it is not what it should be. */
bool bridge_read_pod_end(struct arena *a, struct sv text, struct bridge_pod_end *ret);
