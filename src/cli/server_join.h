/* server_join.h - how a further server comes into a cluster whose servers have an etcd of their own, both sides.
 *
 *	its etcd's addresses		are this machine's, and free: or nobody is asked
 *	GET /cacerts			of a server that is there; its hash is as the token has it (join.h)
 *	POST /v1-caravel/members	with the token: a learner comes, in the place of a member at that URL that is
 *					gone (members.h), and the answer has the sealed keys, all members, and where
 *					clients reach them. 409: the one there runs
 *	keys into DIR/pki, etcd starts
 *	MemberPromote			until it is in sync
 *
 * The keys are sent as the store has them, sealed with the token, which the one that joins has. Ended at any point
 * before its etcd has data it joins anew, and after that it goes on.
 *
 * Blocking.
 */
#pragma once

#include "cli/etcd_member.h"

struct store;

struct server_join_opts {
	struct env *env;
	const char *url, *token;
	const char *data_dir;
	const struct etcd_member_id *id;
};
struct server_joined {
	const char *cluster, *clients; /* in the arena */
};

/* -1: ERR_UNAVAILABLE, ERR_TIMEOUT: later; the rest is for whoever started it. */
int server_join(struct arena *a, const struct server_join_opts *o, struct server_joined *ret, struct err *err);
/* The other side: as apiserver_opts.servers has it. etcd: the store of our etcd. */
int server_join_answer(struct store *etcd, struct arena *a, struct sv body, struct sv *ret, struct err *err);
/* Of a server that has its store: it gets its vote when it has none, its address is the one that it has, and others are
 * known for the next start. 1: done; 0: it is a learner that has not caught up. */
int server_join_finish(struct store *etcd, const char *data_dir, const struct etcd_member_id *id, struct err *err);
/* Every now and then: the others as they are, for this store and for the next start. */
int server_join_follow(struct store *etcd, const char *data_dir, const struct etcd_member_id *id, struct err *err);
