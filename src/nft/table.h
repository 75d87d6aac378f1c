/* table.h - a table of ours in the kernel's nftables, through libnftables.
 *
 * Was it tampered with? Every commit by anybody makes a new generation of the ruleset, so as long as the generation is
 * that of our last commit, nothing happened. When it is another, the shape of our table (all but elements) is compared
 * with what it was at the last look. Looks are taken only while nothing foreign has happened since our last commit;
 * when there was none in time, only the chains that never change are compared, with what they were right after the
 * table was made.
 *
 * Of the network namespace of the calling process. Threads: one at a time on each table.
 */
#pragma once

#include "base/base.h"
#include "base/err.h"

struct nft_table;
struct mnl_socket;

/* name: of family inet. is_fixed: chains that are the same as long as the table lives. Needs CAP_NET_ADMIN. */
struct nft_table *nft_table_new(const char *name, bool (*is_fixed)(struct sv chain), struct err *err);
struct nft_table *nft_table_free(struct nft_table *t); /* what is in the kernel stays */

/* One transaction of nft commands, atomically. What makes the table, or puts it in place of whatever there was, begins
 * with `add table` or `table`. */
int nft_table_apply(struct nft_table *t, struct sv commands, struct err *err);
/* Is it there as we left it? */
bool nft_table_intact(struct nft_table *t);
struct mnl_socket *nft_table_socket(struct nft_table *t); /* for nft/nfnl.h */

/* Whoever made it. 1: it was removed, 0: there was none. */
int nft_table_remove(const char *name, struct err *err);
/* Commands about no table of ours, once, atomically: what another program has left. */
int nft_commands_run(struct sv commands, struct err *err);
