/* server_store.h - where a server's objects are, opened: its data directory's database, an etcd of somebody else, or
 * one that it runs itself with the other servers (etcd_member.h). For the start of a server, and its end.
 *
 * A data directory with a member's data goes on as one, whatever the flags say that made it. What an etcd of our own
 * needs time for (others that are not up yet, a server to join by that does not answer) is waited for until it is there
 * or the server is told to end.
 */
#pragma once

#include "cli/etcd_member.h"
#include "cli/server.h"

#include <stdatomic.h>

struct server_store {
	struct store *store; /* as opened: below encryption */
	struct etcd_member *member;
	struct followed *followed; /* who else is there, looked at every minute */
	struct etcd_member_id id;  /* with a member */
	bool shared;		   /* others may have the same */
	atomic_bool removed;	   /* its member, by the others: the process has been told to end */
	bool alone;		   /* at the end: no majority answers its store */
};

/* -1: what was begun is in ret, for server_store_end(). */
int server_store_open(struct server_store *ret, struct env *env, struct arena *a, struct server_opts *o,
		      struct err *err);
/* Where the member of an etcd of our own is reached. */
const char *server_store_address(const struct server_opts *o);
/* What to do when it was removed. -1. */
int server_store_removed(const struct server_opts *o, struct err *err);
/* Before the store, or what lies above it, is closed. */
void server_store_rest(struct server_store *s);
/* After that. */
void server_store_end(struct server_store *s);
