/* import.h - `caravel import`: for import.c and import_cluster.c. */
#pragma once

#include "cli/snapshot.h"

/* Of a file or directory, into c's data directory, whose server is stopped. */
int import_file(struct snapshot_cmd *c, const char *word, const char *prefix, struct err *err);
/* Of the cluster that the kubeconfig `from` leads to, into the one of c's, whose server runs. own_namespaces:
 * kube-system and so on, too. -1: nothing more could be done, or some objects could not be created. */
int import_cluster(struct snapshot_cmd *c, const char *from, bool own_namespaces, struct err *err);
