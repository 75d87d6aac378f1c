/* claim.h - which cluster of this machine has what.
 *
 *	/run/caravel-<hash>/node   locked by the server that runs on the data directory of that hash, for as
 *	                           long as it runs; its text names the process, its network namespace, and the
 *	                           directories it uses outside
 *	data_dir/node              the same text but for its pid, for after a reboot
 *	DIR/.caravel               in such a directory that was new or empty: it is this cluster's alone
 *
 * So `caravel cleanup` knows what is this cluster's even when its data directory was deleted by hand, and that
 * what other kubelets put into /var/lib/kubelet and /var/log/pods is not. Everything else on the machine has a
 * name made of the data directory: bridge, nftables table, cgroup, runtime directory.
 */
#pragma once

#include "base/arena.h"
#include "base/err.h"

#include <sys/types.h>

struct claim;

struct claim_dirs {
	const char *kubelet_root, *log_dir;
};

/* Fails with ERR_ALREADY_EXISTS and *ret_holder (may be NULL) when another process has it; a cleanup, too. */
int claim_take(const char *data_dir, struct claim **ret, pid_t *ret_holder, struct err *err);
/* Writes down the directories, makes them, and marks those that are new or empty. */
int claim_use(struct claim *c, const struct claim_dirs *d, struct err *err);
/* What was written down, in the runtime directory or else the data directory; members left alone when nothing was. */
void claim_read(struct arena *a, const char *data_dir, struct claim_dirs *ret);
/* Whether dir is below data_dir, or marked as this cluster's alone. */
bool claim_owns(const char *data_dir, const char *dir);
const char *claim_settings(struct claim *c); /* the path of that file */
struct claim *claim_free(struct claim *c);   /* lets go: what was written stays */
struct claim *claim_forget(struct claim *c); /* and takes the runtime directory's part away, if all else is gone.
					      * Settings that others handed over to it go back, or on to others. */

#define CLAIM_FILE "node"	  /* in the runtime directory, */
#define CLAIM_SETTINGS "settings" /* where the proxy keeps what the host's settings were; others add to the name */
#define CLAIM_ALL "/run/caravel-*/" CLAIM_FILE /* where those of this machine are: who may be an heir of settings */
#define CLAIM_MARK ".caravel"		       /* in a directory that is ours alone */
