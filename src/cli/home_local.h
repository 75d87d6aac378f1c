/* home_local.h - where a server's own node is at home: clients are function calls, certificates made on the spot. */
#pragma once

#include "cli/server.h"

struct home_local {
	struct agent_home home;
	struct apiserver *api;
	const struct server_opts *o;
	char *user; /* system:node:NAME */
};

/* All borrowed until home_local_release(), which comes behind agent_stop(). */
void home_local_init(struct home_local *h, struct env *env, struct apiserver *api, const struct server_opts *o);
void home_local_release(struct home_local *h);
