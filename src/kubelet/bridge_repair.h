/* bridge_repair.h - the pod network as the plugins made it, put back when somebody took it away.
 *
 * What they made is in libcni's cache, one file a sandbox: the bridge with its hardware address, the gateway's address,
 * and the veth of the pod. A bridge that was deleted is made again as it was (same hardware address: pods' neighbour
 * tables stay true) and the veths, which outlive it, are attached again; so running pods go on with their addresses. A
 * veth that was deleted is gone with its pod's end of it: nothing here brings that back.
 *
 * Looking costs a directory and a few files of /sys; only repairing runs programs (ip). Blocking; for worker tasks.
 */
#pragma once

#include "base/buf.h"

struct bridge_need {
	char name[16], mac[18];
	char gateway[2][64]; /* "10.42.0.1/24" */
	size_t n_gateways;
};

/* run_dir: sandboxes with their network namespace below it are ours. What was done, as a sentence, is added to said;
 * returns how many things were repaired, -1 when something could not be (said tells what). */
int bridge_repair(const char *results_dir, const char *run_dir, const char *bridge, struct buf *said);

/* The parts, for tests: what one cache file asks for. False: it is not one of ours. veth has 16 bytes. */
bool bridge_read_result(struct sv text, const char *run_dir, const char *bridge, struct bridge_need *need, char *veth);
