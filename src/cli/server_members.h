/* server_members.h - who is in the servers' own etcd, for their administrator: told, and taken away for good. How one
 * comes is server_join.h's.
 *
 *	caravel server list		GET /v1-caravel/members of any server
 *	caravel server remove NAME	DELETE /v1-caravel/members/NAME of any server
 *	caravel cleanup --leave		of the machine that goes: it asks the others' etcds, as its server may have
 *					ended, and with --stop before it ends: of two members both have to agree
 *
 * Removed is only whom a majority of the rest can do without (members.h): otherwise nothing could be written any more,
 * not even his return. A machine that died needs no removal to come back, but counts as a member until it does.
 *
 * Blocking.
 */
#pragma once

#include "base/arena.h"
#include "base/env.h"
#include "base/err.h"

struct store;

/* Answers, as apiserver_opts.servers has them. etcd: the store of our etcd. own: the name of our member. */
int server_members_list(struct store *etcd, struct arena *a, const char *own, struct sv *ret, struct err *err);
int server_members_remove(struct store *etcd, struct arena *a, struct sv name, struct sv *ret, struct err *err);
/* The server of data_dir, whether it runs or not, leaves the others. 1: it has, and *ret_name is its member's; 0: it
 * has no etcd of its own. */
int server_members_leave(struct env *env, struct arena *a, const char *data_dir, const char **ret_name,
			 struct err *err);
