/* `caravel agent`: this machine becomes a node of a cluster that a server elsewhere has. */
#include "base/log.h"
#include "cli/daemon.h"
#include "cli/home_remote.h"
#include "cli/stalls.h"
#include "cli/token_word.h"
#include "ev/ev.h"

#include <malloc.h>
#include <stdlib.h>
#include <string.h>

struct joined {
	struct arena arena;
	struct node_opts node;
	struct join_opts join;
	struct facts_said said;
	struct string_list ca_hashes;
	const char *token_file, *crash_dir;
	int lb_port;
	bool no_supervise, debug;
	struct env *env;
	struct home_remote home;
	struct daemon_node run;
};

#define ROW(name, letter, kind, field, arg, help)        \
	{                                                \
		name, letter, kind, &j->field, arg, help \
	}

static size_t agent_options(struct joined *j, struct option *t)
{
	const struct option rows[] = {
		ROW("server", 's', OPT_STRING, join.server, "URL", "of a server of the cluster (or CARAVEL_URL)"),
		ROW("token", 't', OPT_STRING, join.token, "TOKEN",
		    "with which to join: K10..., or a bootstrap token and a hash of the CA"),
		ROW("token-file", 0, OPT_STRING, token_file, "FILE", "that holds the token"),
		ROW("discovery-token-ca-cert-hash", 0, OPT_LIST, ca_hashes, "HASH",
		    "sha256: and that of the CA's public key, as kubeadm prints it"),
		ROW("insecure-join", 0, OPT_BOOL, join.insecure, NULL,
		    "believe whoever answers at that URL, with a token that does not say whom to believe"),
		ROW("lb-server-port", 0, OPT_INT, lb_port, "N",
		    "of k3s, and not needed: everything here chooses among the servers by itself"),
		ROW("no-supervise", 0, OPT_BOOL, no_supervise, NULL,
		    "one process, which is not started again when it dies: for debuggers"),
		ROW("debug", 0, OPT_BOOL, debug, NULL, "log more"),
	};
	size_t n = node_option_table(&j->node, t);

	memcpy(t + n, rows, sizeof(rows));
	n += ARRAY_LEN(rows);
	return n + facts_option_table(&j->said, t + n);
}

#undef ROW

static int agent_complete(struct joined *j, struct err *err)
{
	if (!j->join.server)
		j->join.server = getenv("CARAVEL_URL");
	if (token_word(&j->arena, "token", &j->join.token, j->token_file, err) < 0)
		return -1;
	j->join.ca_hashes = j->ca_hashes.list.p;
	if (node_opts_check(&j->node, err) < 0 || node_opts_gates(&j->node, err) < 0 ||
	    data_dir_make(&j->arena, &j->node.data_dir, err) < 0 ||
	    node_opts_complete(&j->node, &j->arena, true, err) < 0)
		return -1;
	j->crash_dir = arena_printf(&j->arena, "%s/crash", j->node.data_dir);
	return 0;
}

static void node_up(void *ctx, struct agent *a)
{
	home_remote_tend(&((struct joined *)ctx)->home, a);
}

static void node_down(void *ctx)
{
	home_remote_rest(&((struct joined *)ctx)->home);
}

static int agent_serve(struct joined *j, struct err *err)
{
	int rc, signum;

	j->env = daemon_begin(j->crash_dir);
	rc = home_remote_join(&j->home,
			      &(struct home_remote_opts){ .env = j->env,
							  .node = &j->node,
							  .join = &j->join,
							  .said = &j->said,
							  .pause = daemon_pause,
							  .given_up = daemon_is_to_end },
			      err);
	if (rc <= 0)
		return rc;
	j->run =
	    (struct daemon_node){ .home = &j->home.home, .o = &j->node, .up = node_up, .down = node_down, .up_ctx = j };
	if (daemon_node_start(&j->run, err) < 0)
		return -1;
	signum = daemon_wait(&j->run);
	log_info("agent", "stopping", "signal", "%s", strsignal(signum));
	return 0;
}

static int agent_run(void *ctx)
{
	struct joined *j = ctx;
	struct err err = ERR_INIT;
	int rc;

	rc = agent_serve(j, &err);
	daemon_node_stop(&j->run);
	home_remote_release(&j->home);
	j->env = env_real_free(j->env);
	stalls_unwatch();
	return rc < 0 ? cli_fail_err(&err) : 0;
}

int cmd_agent(int argc, char **argv)
{
	struct joined j = { .node = {
				.data_dir = DEFAULT_DATA_DIR, .ingress_http_port = 80, .ingress_https_port = 443 } };
	struct option table[NODE_OPTIONS_MAX + 16 + FACTS_MAX];
	struct err err = ERR_INIT;
	size_t n = agent_options(&j, table);
	int rc, status = 0;

	(void)mallopt(M_ARENA_MAX, 4); /* as a server */
	rc = cli_options_parse(&j.arena, table, n, argc, argv, "/etc/caravel/config.yaml", NULL, &err);
	if (rc == 0)
		rc = node_opts_log(&j.node, j.debug, &err);
	if (rc == 0)
		rc = agent_complete(&j, &err);
	if (rc == 0)
		status = daemon_run(j.crash_dir, j.no_supervise, agent_run, &j);
	node_opts_release(&j.node);
	string_list_release(&j.ca_hashes);
	arena_release(&j.arena);
	return rc < 0 ? cli_fail_err(&err) : status;
}
