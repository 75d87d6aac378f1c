/* `caravel cleanup`: ends this node's pods and takes away what they left on the machine, and says what it did. */
#include "base/file.h"
#include "cli/agent.h"
#include "cli/daemon.h"
#include "cli/dev.h"
#include "cli/server_members.h"
#include "ev/ev.h"
#include "ingress/haproxy.h"
#include "kubelet/node_cleanup.h"
#include "netd/netd.h"
#include "netd/policy/netpol.h"
#include "proxy/proxy.h"
#include "store/disk/dirlock.h"

#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#define STEP_MS 20
#define END_MS 30000  /* for a server to end by itself, */
#define KILL_MS 40000 /* and for one that is killed */

struct report {
	const char *data_dir;
	bool any;
};

static void cleanup_say(const char *what, void *ctx)
{
	struct report *r = ctx;

	r->any = true;
	printf("caravel: %s\n", what);
}

static int cleanup(struct arena *a, const char *data_dir, bool images, struct report *r, const char *settings,
		   struct err *err)
{
	const char *table = cluster_tag(a, data_dir);
	struct claim_dirs dirs = cluster_dirs(a, data_dir);
	struct env *env = env_real_new(2);
	struct err first = ERR_INIT, e = ERR_INIT;
	char device[16];
	int rc;

	netd_device_name(data_dir, device);
	rc = netd_cleanup(device, network_settings(a, settings), CLAIM_ALL, &first);
	if (rc > 0)
		cleanup_say("removed the routes to other nodes", r);
	claim_read(a, data_dir, &dirs);
	(void)node_cleanup(
	    &(struct node_cleanup_opts){
		.env = env,
		.data_dir = data_dir,
		.kubelet_root = dirs.kubelet_root,
		.log_dir = dirs.log_dir,
		.cgroup_root = cluster_cgroup(a, data_dir),
		.images = images,
		.say = cleanup_say,
		.ctx = r,
	    },
	    first.reason ? &e : &first);
	err_release(&e);
	if (haproxy_cleanup(data_dir))
		cleanup_say("ended haproxy", r);
	/* Whatever of the node did not go, the rules must. */
	rc = netpol_cleanup(netpol_table(a, table), policy_settings(a, settings), CLAIM_ALL, &e);
	if (rc > 0)
		cleanup_say(arena_printf(a, "removed nftables table inet %s", netpol_table(a, table)), r);
	if (!first.reason && e.reason)
		err_move(&first, &e);
	err_release(&e);
	rc = proxy_cleanup(table, settings, CLAIM_ALL, &e);
	if (rc > 0)
		cleanup_say(arena_printf(a, "removed nftables table inet %s", table), r);
	if (!first.reason && e.reason)
		err_move(&first, &e);
	err_release(&e);
	env_real_free(env);
	return first.reason ? err_move(err, &first) : 0;
}

/* First of all: what cannot be done is said before anything is gone. */
static int cleanup_leave(struct arena *a, const char *data_dir, struct report *r, struct err *err)
{
	struct env *env = env_real_new(2);
	const char *name;
	int rc = server_members_leave(env, a, data_dir, &name, err);

	env_real_free(env);
	if (rc > 0)
		cleanup_say(arena_printf(a, "left the other servers, as member %s", name), r);
	return rc < 0 ? err_wrap(err, "this server cannot leave the others, and nothing was done (without --leave it "
				      "stays a member)")
		      : 0;
}

/* A server may run without a node, and so without a claim, and ends after its node. asked: it has been told to end.
 * *ret_fd: its lock; -1: none has ever run there, or the directory is gone. 1: one was ended. */
static int cleanup_server(struct arena *a, const char *data_dir, bool end, bool asked, int *ret_fd, struct err *err)
{
	bool told = false;

	*ret_fd = -1;
	if (access(arena_printf(a, "%s/" DIRLOCK_SERVER, data_dir), F_OK) < 0)
		return 0;
	for (int ms = 0;; ms += STEP_MS) {
		_cleanup_(err_release) struct err why = ERR_INIT;
		pid_t holder = 0;

		*ret_fd = dirlock_server(data_dir, &holder, &why);
		if (*ret_fd >= 0)
			return told;
		if (why.reason != ERR_ALREADY_EXISTS || !end)
			return err_move(err, &why);
		if (ms >= KILL_MS)
			return err_set(err, ERR_TIMEOUT, "the server (process %d) does not end", (int)holder);
		if (holder > 1 && !asked && !told)
			told = kill(holder, SIGTERM) == 0;
		if (holder > 1 && ms >= END_MS)
			(void)kill(holder, SIGKILL);
		(void)daemon_pause(STEP_MS * NS_PER_MS);
	}
}

/* Both locks, of the node and of the server, which then does not run. */
static int cleanup_begin(struct arena *a, const char *data_dir, bool end, struct report *r, struct claim **ret,
			 int *ret_fd, struct err *err)
{
	int node = end ? node_take_over(data_dir, ret, err) : claim_take(data_dir, ret, NULL, err), server = -1;

	if (node >= 0)
		server = cleanup_server(a, data_dir, end, node > 0, ret_fd, err);
	if (node >= 0 && server < 0)
		claim_forget(*ret);
	if (server < 0)
		return !end && err->reason == ERR_ALREADY_EXISTS
			   ? err_wrap(err, "not while the server runs (--stop ends it)")
			   : -1;
	if (node > 0 || server > 0)
		cleanup_say("ended the server", r);
	return 0;
}

int cmd_cleanup(int argc, char **argv)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	const char *data_dir = DEFAULT_DATA_DIR;
	bool images = false, end_server = false, leave = false;
	const struct option table[] = {
		{ "data-dir", 'd', OPT_STRING, &data_dir, "DIR",
		  "of the cluster (" DEFAULT_DATA_DIR "); it may be gone" },
		{ "images", 0, OPT_BOOL, &images, NULL, "forget the container images, too" },
		{ "leave", 0, OPT_BOOL, &leave, NULL,
		  "take this server away from the others for good, if it has an etcd with them" },
		{ "stop", 0, OPT_BOOL, &end_server, NULL, "end the server first, if it runs" },
	};
	struct report report = { NULL, false };
	_cleanup_close_ int server_lock = -1;
	struct claim *claim = NULL;
	struct err err = ERR_INIT;
	int rc = cli_options_parse(&a, table, ARRAY_LEN(table), argc, argv, NULL, NULL, &err);

	if (rc)
		return rc < 0 ? cli_fail_err(&err) : 0;
	data_dir = full_path(&a, data_dir);
	/* While it still runs: of two members none can go when one has ended. */
	if (leave && end_server && cleanup_leave(&a, data_dir, &report, &err) < 0)
		return cli_fail_err(&err);
	if (cleanup_begin(&a, data_dir, end_server, &report, &claim, &server_lock, &err) < 0)
		return cli_fail_err(&err);
	if (leave && !end_server && cleanup_leave(&a, data_dir, &report, &err) < 0) {
		claim_forget(claim);
		return cli_fail_err(&err);
	}
	rc = dev_node_dirs(&a, data_dir) && access(arena_printf(&a, "%s/" CLAIM_FILE, data_dir), F_OK) < 0
		 ? dev_cleanup(data_dir, claim_settings(claim), images, cleanup_say, &report, &err)
		 : cleanup(&a, data_dir, images, &report, claim_settings(claim), &err);
	claim_forget(claim);
	if (rc < 0)
		return cli_fail_err(&err);
	if (!report.any)
		printf("caravel: nothing of a node on '%s' is left\n", data_dir);
	return 0;
}
