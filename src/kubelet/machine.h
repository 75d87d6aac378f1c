/* machine.h - what this machine is: capacity, versions, address. */
#pragma once

#include "base/arena.h"
#include "base/ip.h"
#include "codec/doc.h"

/* Fills capacity, allocatable and nodeInfo of a node's status. root_dir: whose file system counts as storage. */
void machine_status(struct arena *a, int max_pods, const char *root_dir, struct val *node_status);
/* The address of that family by which other machines reach us: of the default route, else of the first interface that
 * is up; with iface: the first one of that. False: there is none but loopback. */
bool machine_ip(bool v6, const char *iface, struct ip_text *ret);
bool machine_has_ip(struct sv ip); /* on a link that is up; true when that cannot be told */

/* How many processes and threads the machine can have (kernel.pid_max, kernel.threads-max); 0: not known. */
int64_t machine_pids(void);
/* What one pod may have of that when nobody says: 4096, on a small machine a quarter. 0 of 0. */
int64_t machine_pod_pids(int64_t pids);
/* What all pods may have: a tenth, but at least 256, is the machine's own. 0 of 0. */
int64_t machine_pids_allocatable(int64_t pids);
