/* machine.h - what this machine is: capacity, versions, address. */
#pragma once

#include "base/arena.h"
#include "codec/doc.h"

/* Fills capacity, allocatable and nodeInfo of a node's status. root_dir: whose file system counts as storage. */
void machine_status(struct arena *a, int max_pods, const char *root_dir, struct val *node_status);
/* The address other machines reach us by: of the default route, else of the first interface that is up. */
char *machine_ip(struct arena *a);
