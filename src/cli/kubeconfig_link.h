/* kubeconfig_link.h - where the server of a data directory wrote its administrator's kubeconfig.
 *
 * --write-kubeconfig names any place, and the commands that are given a --data-dir find it there: the server leaves
 * DIR/server/kubeconfig, a symbolic link to what it wrote.
 */
#pragma once

#include "base/arena.h"
#include "base/err.h"

/* path "": it wrote none, and the link goes. Relative ones are of the working directory. */
int kubeconfig_link_set(const char *data_dir, const char *path, struct err *err);
/* What can be read of: that link, DIR/kubeconfig.yaml, and of the usual directory the usual file; NULL: none. In a. */
const char *kubeconfig_link_find(struct arena *a, const char *data_dir);
