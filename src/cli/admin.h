/* admin.h - commands that ask a cluster as its administrator: which one, and the way there.
 *
 * --kubeconfig; else what the server of --data-dir on this machine wrote; else $KUBECONFIG, when it is not another
 * cluster's.
 */
#pragma once

#include "cli/cli.h"
#include "client/client.h"
#include "client/kubeconfig.h"

struct admin {
	const char *data_dir, *kubeconfig; /* the flags */
	bool from_env;			   /* kubeconfig is $KUBECONFIG's, and may be another cluster's than data_dir */
	struct env *env;
	struct client *client;
	struct kubeconfig k;
};

/* Rows of the command's table. */
#define ADMIN_WHERE(m)                                                                                                 \
	{ "data-dir", 'd', OPT_STRING, &(m).data_dir, "DIR", "of the server on this machine (" DEFAULT_DATA_DIR ")" }, \
	{                                                                                                              \
		"kubeconfig", 0, OPT_STRING, &(m).kubeconfig, "FILE", "an administrator's (that of the server)"        \
	}

/* The kubeconfig's path alone, as it is looked for, and the data directory in full; NULL: there is none. One of
 * $KUBECONFIG (from_env) may be of another cluster. */
const char *admin_find(struct admin *m, struct arena *a);
/* The kubeconfig's path, and what it says in m->k; NULL: err says why. */
const char *admin_way(struct admin *m, struct arena *a, struct err *err);
/* name: as whom, for the server's log and managedFields. Released by the caller also when it failed. */
int admin_connect(struct admin *m, struct arena *a, const char *name, struct err *err);
void admin_release(struct admin *m); /* zeroed is fine */
