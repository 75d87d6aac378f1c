/* `caravel server --cluster-reset`, in place of a server. */
#include "cli/server-internal.h"

#include "cli/cluster_reset.h"
#include "cli/stalls.h"

#include <stdio.h>
#include <string.h>

static void reset_told(struct server *s, bool now)
{
	const char *dir = s->o.node.data_dir, *at = server_store_address(&s->o);

	printf("%s'%s' is a cluster of this server alone, with all objects, keys and tokens%s%s%s.\n"
	       "Start it as ever, without --cluster-reset. On each other server, while it is stopped, remove its "
	       "DIR/etcd; then start it with --server https://%s%s%s:%d and --token of '%s/server/token'.\n",
	       now ? "" : "nothing to do: ", dir, now ? "; what it had as one of several is in '" : "", now ? dir : "",
	       now ? "/etcd.before-reset'" : "", strchr(at, ':') ? "[" : "", at, strchr(at, ':') ? "]" : "", s->o.port,
	       dir);
}

/* --cluster-reset, instead of a server. */
int server_reset(void *ctx)
{
	struct server *s = ctx;
	struct err err = ERR_INIT;
	int rc;

	s->env = daemon_begin(s->crash_dir);
	rc = cluster_reset(&(struct etcd_member_opts){ .env = s->env,
						       .data_dir = s->o.node.data_dir,
						       .address = server_store_address(&s->o),
						       .port = s->o.etcd_port },
			   &err);
	s->env = env_real_free(s->env);
	stalls_unwatch();
	if (rc >= 0)
		reset_told(s, rc > 0);
	return rc < 0 ? cli_fail_err(&err) : 0;
}
