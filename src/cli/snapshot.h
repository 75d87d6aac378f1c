/* snapshot.h - what the commands `caravel snapshot ...` and `caravel import` share, for their files. */
#pragma once

#include "cli/cli.h"
#include "cli/datastore.h"
#include "cli/snapshot_s3.h"
#include "snapshot/restore.h"

struct snapshot_cmd {
	const char *data_dir, *dir, *kubeconfig, *token, *token_file, *encryption_config;
	const char *name, *node_name; /* since snapshot_cmd_begin() name is what files begin with, NAME-NODE */
	struct datastore_opts etcd;
	struct snapshot_s3 s3;
	bool without_keys, data_dir_given, dir_given; /* the latter two: by a flag */
	int keep;				      /* how many stay; 0: all */
	struct string_list words;
	struct arena arena;
	struct env *env;
};

#define SNAPSHOT_NAME "caravel"
#define SNAPSHOT_KEEP 5

void snapshot_cmd_release(struct snapshot_cmd *c);
/* Rows for a table of options. */
#define SNAPSHOT_DATA_DIR(c)                                                                              \
	{                                                                                                 \
		"data-dir", 'd', OPT_STRING, &(c).data_dir, "DIR", "of the server (" DEFAULT_DATA_DIR ")" \
	}
#define SNAPSHOT_DIR(c)                                                                   \
	{                                                                                 \
		"snapshot-dir", 0, OPT_STRING, &(c).dir, "DIR",                           \
		    "where they are kept; absolute, or in the data directory (snapshots)" \
	}
/* Files of several servers, and of several clusters, may lie in one bucket: each thins out its own. */
#define SNAPSHOT_NAME_ROWS(c)                                                                                        \
	{ "name", 0, OPT_STRING, &(c).name, "NAME", "their files are NAME-NODE-TIME.snapshot (" SNAPSHOT_NAME ")" }, \
	{                                                                                                            \
		"node-name", 0, OPT_STRING, &(c).node_name, "NODE",                                                  \
		    "whose they are, as the server has it (the host name)"                                           \
	}
#define SNAPSHOT_TOKEN(c, of)                                                                               \
	{ "token", 0, OPT_STRING, &(c).token, "TOKEN", "the servers', " of " (that in DIR/server/token)" }, \
	{                                                                                                   \
		"token-file", 0, OPT_STRING, &(c).token_file, "FILE", "that holds that token"               \
	}
/* Parses and settles directories. 0, 1: help was printed, -1. No more words than `words`. */
int snapshot_cmd_begin(struct snapshot_cmd *c, const struct option *table, size_t n, int argc, char **argv,
		       size_t words, struct err *err);
/* The secret of --token, which no record may tell (keys_told()), or of the data directory's own; SV_NULL: there is
 * none. In the arena. */
int snapshot_cmd_secret(struct snapshot_cmd *c, struct sv *ret, struct err *err);
/* --kubeconfig, else what the server wrote (kubeconfig_link.h); NULL: there is none. */
const char *snapshot_cmd_kubeconfig(struct snapshot_cmd *c);
/* Says what a restore did. */
void snapshot_cmd_told(struct snapshot_cmd *c, const struct restore_done *done);
