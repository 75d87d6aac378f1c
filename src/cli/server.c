/* `caravel server`: every component in one process, wired together and taken apart in order. */
#include "cli/server-internal.h"

#include "base/crash.h"
#include "base/log.h"
#include "base/metric_page.h"
#include "cli/cidrs.h"
#include "cli/control.h"
#include "cli/server_options.h"
#include "cli/stalls.h"
#include "store/disk/dirlock.h"

#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

static void *run_loop(void *loop)
{
	prctl(PR_SET_NAME, "network");
	crash_thread();
	ev_loop_run(loop);
	return NULL;
}

static int start_threads(struct server *s, struct err *err)
{
	for (int i = 0; i < NET_THREADS; i++) {
		s->loops[i] = ev_loop_new(err);
		if (!s->loops[i])
			return -1;
	}
	return 0;
}

static int run_threads(struct server *s, struct err *err)
{
	for (int i = 0; i < NET_THREADS; i++) {
		int e = pthread_create(&s->threads[i], NULL, run_loop, s->loops[i]);

		if (e)
			return err_set_errno(err, e, "cannot start a network thread");
		s->n_threads++;
	}
	return 0;
}

static struct client *snapshot_client(void *ctx)
{
	static const char *const masters[] = { "system:masters", NULL };

	return apiserver_client(((struct server *)ctx)->api, "caravel-server", "system:caravel:server", masters);
}

static void start_snapshots(struct server *s)
{
	if (s->o.snapshots.disabled)
		return;
	if (!*s->o.kubeconfig && !s->o.datastore.endpoint) {
		log_kv(LVL_WARN, "snapshot",
		       "no snapshots are taken, as no kubeconfig is written that could ask for them", NULL);
		return;
	}
	snapshot_schedule_start(&s->snapshots, s->env, &s->o.snapshots, server_snapshot_argv(&s->arena, &s->o),
				server_snapshot_envp(&s->arena, &s->o), snapshot_client, s);
	s->snapshots_on = true;
}

static void start_control(struct server *s)
{
	struct control *c = control_start(
	    &(struct control_opts){ .env = s->env, .api = s->api, .o = &s->o, .elected = store_shared(s->store) });

	pthread_mutex_lock(&s->parts);
	s->control = c;
	pthread_mutex_unlock(&s->parts);
}

static int server_serve(struct server *s, struct err *err)
{
	char port[16];
	bool started;
	int signum;

	s->env = daemon_begin(s->crash_dir);
	if (start_threads(s, err) < 0)
		return -1;
	started = server_api_start(s, err) == 0;
	/* Also after a failure: what is on the loops already ends on them, and server_end() waits for that. Without
	 * threads nothing can be waited for. */
	if (run_threads(s, err) < 0)
		_exit(cli_fail_err(err));
	if (!started)
		return -1;
	server_shared_token(s);
	snprintf(port, sizeof(port), "%d", s->o.port);
	log_kv(LVL_INFO, "server", "serving", "address", s->o.bind_address, "port", port, "data_dir",
	       s->o.node.data_dir, "kubeconfig", s->o.kubeconfig, NULL);
	start_control(s);
	start_snapshots(s);
	if (!s->o.disable_agent) {
		home_local_init(&s->home, s->env, s->api, &s->o);
		s->node = (struct daemon_node){ .home = &s->home.home, .o = &s->o.node };
		if (daemon_node_start(&s->node, err) < 0)
			return -1;
	}
	signum = daemon_wait(s->o.disable_agent ? NULL : &s->node);
	log_info("server", "stopping", "signal", "%s", strsignal(signum));
	apiserver_unready(s->api);
	if (!s->o.shutdown_delay_ns)
		store_hurry(s->store);
	apiserver_leave(s->api);
	(void)daemon_pause(s->o.shutdown_delay_ns);
	return atomic_load(&s->opened.removed) ? server_store_removed(&s->o, err) : 0;
}

/* The server from its start to its end: what a supervisor runs again. Returns the exit status. */
static int run(void *ctx)
{
	struct server *s = ctx;
	struct err err = ERR_INIT;
	int rc;

	rc = server_serve(s, &err);
	server_end(s);
	return rc < 0 ? cli_fail_err(&err) : 0;
}

int server_main(int argc, char **argv, const struct server_name *as)
{
	struct server s = { .cidr_hold = CIDRS_NO_HOLD, .dir_lock = -1, .parts = PTHREAD_MUTEX_INITIALIZER };
	struct option table[NODE_OPTIONS_MAX + SERVER_OPTIONS_MAX + SERVER_NAME_MAX];
	struct err err = ERR_INIT;
	size_t n, n_node;
	int rc, status = 0;

	/* By default every thread gets a heap of its own, and what thirty of them keep for later is most of an idle
	 * server's memory. Two would do for memory, but threads that write at once then wait for each other. */
	(void)mallopt(M_ARENA_MAX, 4);
	server_defaults(&s.o);
	n = server_option_table(&s.o, table, &n_node);
	if (as->options)
		n = as->options(as->ctx, &s.o, table, n, n_node);
	s.table = table;
	s.n_table = n;
	rc = cli_options_parse(&s.arena, table, n, argc, argv, as->config_file, NULL, &err);
	if (rc == 0 && as->settle)
		rc = as->settle(as->ctx, &s.arena, &err);
	if (rc == 0)
		rc = node_opts_log(&s.o.node, s.o.debug, &err);
	if (rc == 0)
		rc = server_complete(&s, &err);
	if (rc == 0) {
		s.crash_dir = arena_printf(&s.arena, "%s/crash", s.o.node.data_dir);
		status = s.o.cluster_reset ? daemon_run(s.crash_dir, true, server_reset, &s)
					   : daemon_run(s.crash_dir, s.o.no_supervise, run, &s);
	}
	cli_options_release(table, n);
	metric_rules_free(s.metric_rules);
	if (s.dir_lock >= 0)
		close(s.dir_lock);
	arena_release(&s.arena);
	return rc < 0 ? cli_fail_err(&err) : status;
}

int cmd_server(int argc, char **argv)
{
	return server_main(argc, argv, &(struct server_name){ .config_file = "/etc/caravel/config.yaml" });
}
