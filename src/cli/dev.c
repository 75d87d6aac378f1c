#include "cli/dev.h"

#include "base/buf.h"
#include "base/file.h"
#include "base/log.h"
#include "base/sysctl.h"
#include "base/timefmt.h"
#include "cli/agent.h"
#include "cli/daemon.h"
#include "cli/dev_node.h"
#include "client/https.h"
#include "client/kubeconfig.h"
#include "ev/ev.h"
#include "kubelet/beneath.h"
#include "kubelet/node_cleanup.h"
#include "object/condition.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define SYS "dev"
#define DEFAULT_DEV_DIR "/var/lib/caravel-dev"
#define ROUTES_MAX ((size_t)16 << 20)
#define LOOK_NS (10 * NS_PER_MS)
#define READY_NS (60 * NS_PER_SEC)

struct dev {
	struct arena arena;
	const char *data_dir, *kubeconfig, *cluster_cidr, *service_cidr;
	int nodes, port;
	bool debug;
	struct string_list server_args, agent_args;

	struct claim *claim;
	struct dev_net net;
	pid_t pid[DEV_NODES_MAX + 1]; /* of nodes; 0: does not run */
	int64_t began_ns;
};

/* --- coming up --- */

static void dev_say(const char *what, void *ctx)
{
	(void)ctx;
	log_info(SYS, "clearing up", "done", "%s", what);
}

static int dev_make_net(struct dev *d, struct err *err)
{
	static const char *const forwarding[] = { "net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding" };
	struct sysctls s;
	struct sv routes;

	if (file_read(&d->arena, "/proc/net/route", ROUTES_MAX, &routes, err) < 0)
		return -1;
	if (!dev_net_choose(&d->net, routes))
		return err_set(err, ERR_UNAVAILABLE,
			       "all of 198.18.0.0/15 is in use on this machine: nodes find no addresses");
	sysctls_init(&s, claim_settings(d->claim));
	for (int v6 = 0; v6 < 2; v6++)
		if (d->net.has[v6] && !sysctl_ensure(&s, forwarding[v6], "1"))
			log_warn(SYS, "a setting cannot be made: nodes do not reach the outside", "what", "%s",
				 forwarding[v6]);
	sysctls_release(&s);
	return dev_net_up(&d->net, d->nodes, err);
}

/* The words of one node's command, NULL-terminated. */
struct dev_words {
	VEC(const char *) list;
};

static void dev_add(struct dev_words *w, const char *flag, const char *value)
{
	vec_push(&w->list, flag);
	if (value)
		vec_push(&w->list, value);
}

static int dev_start_node(struct dev *d, int node, struct err *err)
{
	struct arena *a = &d->arena;
	const char *dir = dev_node_dir(a, d->data_dir, node), *sys = arena_printf(a, "%s/sys", dir),
		   *server = dev_net_address(&d->net, a, 1, d->net.first);
	const struct string_list *more = node == 1 ? &d->server_args : &d->agent_args;
	struct dev_words w = { 0 };

	if (dir_make(sys, 0700, err) < 0)
		return -1;
	dev_add(&w, "caravel", NULL);
	dev_add(&w, node == 1 ? "server" : "agent", NULL);
	dev_add(&w, "--config", "/dev/null"); /* the machine's own is not this cluster's */
	dev_add(&w, "--data-dir", dir);
	dev_add(&w, "--node-name", arena_printf(a, "dev-%d", node));
	dev_add(&w, "--node-ip", dev_net_addresses(&d->net, a, node));
	if (node == 1) {
		dev_add(&w, "--bind-address", server);
		dev_add(&w, "--https-listen-port", arena_printf(a, "%d", d->port));
		dev_add(&w, "--write-kubeconfig", d->kubeconfig);
		if (d->cluster_cidr)
			dev_add(&w, "--cluster-cidr", d->cluster_cidr);
		if (d->service_cidr)
			dev_add(&w, "--service-cidr", d->service_cidr);
	} else {
		dev_add(&w, "--server",
			arena_printf(a, d->net.first ? "https://[%s]:%d" : "https://%s:%d", server, d->port));
		dev_add(&w, "--token-file", arena_printf(a, "%s/server/node-token", dev_node_dir(a, d->data_dir, 1)));
	}
	for (const char *const *m = more->list.p; m && *m; m++)
		dev_add(&w, *m, NULL);
	vec_push(&w.list, NULL);
	d->pid[node] =
	    dev_spawn(&d->net, node, w.list.p, sys, arena_printf(a, "%s/dev-%d.log", d->data_dir, node), err);
	vec_release(&w.list);
	return d->pid[node] < 0 ? -1 : 0;
}

/* One that has ended; 0: all run. */
static int dev_ended(struct dev *d, int *ret_status)
{
	for (int i = 1; i <= d->nodes; i++)
		if (d->pid[i] > 0 && waitpid(d->pid[i], ret_status, WNOHANG) > 0) {
			d->pid[i] = 0;
			return i;
		}
	return 0;
}

/* What a node said last, when that is a refusal to start: without it people would have to look. */
static struct sv dev_last_words(struct arena *a, struct dev *d, int node)
{
	struct sv text = SV_NULL, line, last = SV_NULL;

	if (beneath_tail(a, d->data_dir, arena_printf(a, "dev-%d.log", node), 2048, &text, NULL) < 0)
		return SV_NULL;
	while (sv_split(&text, '\n', &line))
		if (line.n)
			last = line;
	return sv_starts(last, SV("caravel: ")) ? sv_sub(last, strlen("caravel: "), last.n) : SV_NULL;
}

static int dev_check_alive(struct dev *d, struct err *err)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	int status, node = dev_ended(d, &status);
	struct sv words;

	if (!node)
		return 0;
	words = dev_last_words(&a, d, node);
	return err_set(err, ERR_UNAVAILABLE, "node dev-%d has ended%s%.*s; '%s/dev-%d.log' says %s", node,
		       words.n ? ": " : "", SV_ARG(words), d->data_dir, node, words.n ? "more" : "why");
}

/* 1: the API serves, and its kubeconfig is there; 0: told to end. */
static int dev_wait_server(struct dev *d, struct err *err)
{
	while (access(d->kubeconfig, F_OK) < 0) {
		if (dev_check_alive(d, err) < 0)
			return -1;
		if (!daemon_pause(LOOK_NS))
			return 0;
	}
	return 1;
}

/* By what it said since then: a node's last word before a stop is that it is Ready. Such times are whole seconds. */
static bool dev_is_ready(const struct obj *node, int64_t since_ns)
{
	const struct val *ready = condition_find(obj_get(node, F_status, F_conditions), "Ready");
	int64_t beat_ns;

	return val_is(val_get(ready, F_status), "True") &&
	       time_parse(val_get_str(ready, F_lastHeartbeatTime), &beat_ns) &&
	       beat_ns / NS_PER_SEC >= since_ns / NS_PER_SEC;
}

/* *ret_why (in a): what one that is not Ready says of it; NULL: none says anything. */
static int dev_count_ready(struct client *c, int nodes, int64_t since_ns, struct arena *a, const char **ret_why)
{
	struct obj_list l = { 0 };
	int ready = 0;

	*ret_why = NULL;
	if (client_list(c, RES(core_nodes), SV(""), NULL, &l, NULL) < 0)
		return 0;
	for (size_t i = 0; i < l.n; i++)
		if (dev_is_ready(l.items[i], since_ns)) {
			ready++;
		} else {
			struct sv why = val_get_str(
			    condition_find(obj_get(l.items[i], F_status, F_conditions), "Ready"), F_message);

			*ret_why = arena_printf(a, "%.*s: %.*s", SV_ARG(obj_name(l.items[i])), SV_ARG(why));
		}
	obj_list_release(&l);
	return MIN(ready, nodes);
}

static int dev_wait_ready(struct dev *d, struct err *err)
{
	struct env *env = env_real_new(1);
	struct kubeconfig k;
	struct client *c = NULL;
	int64_t deadline = dev_now_ns() + READY_NS, since = env_now_ns(env) - (dev_now_ns() - d->began_ns);
	int rc = -1, ready = 0;

	if (kubeconfig_load(&d->arena, d->kubeconfig, NULL, &k, err) == 0)
		c = client_kubeconfig_new(env, &k, "caravel-dev", err);
	while (c) {
		_cleanup_(arena_release) struct arena a = ARENA_INIT;
		const char *why;

		ready = dev_count_ready(c, d->nodes, since, &a, &why);
		if ((rc = dev_check_alive(d, err)) < 0 || ready == d->nodes)
			break;
		if (dev_now_ns() > deadline) {
			log_warn(SYS, "not all nodes are Ready", "ready", "%d of %d; %s; logs are in %s", ready,
				 d->nodes, why ? why : "nodes say nothing", d->data_dir);
			break;
		}
		if (!daemon_pause(LOOK_NS))
			break;
	}
	if (c && rc == 0 && ready == d->nodes)
		log_info(SYS, "all nodes are Ready", "nodes", "%d in %.2f s", ready,
			 (double)(dev_now_ns() - d->began_ns) / (double)NS_PER_SEC);
	client_free(c);
	env_real_free(env);
	return rc;
}

/* A start with fewer nodes than one before: nobody is behind the others, and pods must not be put there. Their
 * directories stay, so each is itself again when it is asked for. */
static void dev_forget_others(struct dev *d)
{
	struct env *env = env_real_new(1);
	_cleanup_(err_release) struct err why = ERR_INIT;
	struct kubeconfig k;
	struct client *c = NULL;

	if (kubeconfig_load(&d->arena, d->kubeconfig, NULL, &k, &why) == 0)
		c = client_kubeconfig_new(env, &k, "caravel-dev", &why);
	for (int i = d->nodes + 1; c && i <= DEV_NODES_MAX; i++)
		if (access(dev_node_dir(&d->arena, d->data_dir, i), F_OK) == 0 &&
		    client_delete(c, RES(core_nodes), SV(""), arena_svf(&d->arena, "dev-%d", i), NULL, NULL) == 0)
			log_info(SYS, "a node of an earlier start is not in this one", "node", "dev-%d", i);
	client_free(c);
	env_real_free(env);
}

static int dev_up(struct dev *d, struct err *err)
{
	int rc;

	/* After an orderly end there is nothing. */
	if (dev_net_left(&d->net) >= 0 &&
	    dev_cleanup(d->data_dir, claim_settings(d->claim), false, dev_say, NULL, err) < 0)
		return err_wrap(err, "clearing up after an earlier one");
	if (dev_make_net(d, err) < 0)
		return -1;
	(void)unlink(d->kubeconfig);
	if (dev_start_node(d, 1, err) < 0)
		return -1;
	rc = dev_wait_server(d, err);
	if (rc <= 0)
		return rc;
	dev_forget_others(d);
	for (int i = 2; i <= d->nodes; i++)
		if (dev_start_node(d, i, err) < 0)
			return -1;
	printf("caravel: kubeconfig: export KUBECONFIG=%s\n", d->kubeconfig);
	fflush(stdout);
	if (dev_wait_ready(d, err) < 0)
		return -1;
	printf("caravel: %d nodes; Ctrl-C or 'caravel dev stop%s%s' ends them\n", d->nodes,
	       strcmp(d->data_dir, DEFAULT_DEV_DIR) ? " --data-dir " : "",
	       strcmp(d->data_dir, DEFAULT_DEV_DIR) ? d->data_dir : "");
	fflush(stdout);
	return 0;
}

static void dev_run(struct dev *d)
{
	sigset_t set;
	int signum;

	daemon_signals(&set);
	sigaddset(&set, SIGCHLD);
	while (!daemon_is_to_end()) {
		int status, node;

		while ((node = dev_ended(d, &status)) > 0)
			log_warn(SYS, "a node has ended, and stays so until the next start", "node",
				 "dev-%d; see %s/dev-%d.log", node, d->data_dir, node);
		signum = sigwaitinfo(&set, NULL);
		if (signum > 0 && signum != SIGCHLD)
			break;
	}
}

static int dev_down(struct dev *d, struct err *err)
{
	/* The server last: nodes say good-bye. */
	for (int i = d->nodes; i >= 1; i--)
		if (d->pid[i] > 0)
			kill(d->pid[i], SIGTERM);
	(void)dev_reap(d->pid, d->nodes, DEV_STOP_S);
	return dev_cleanup(d->data_dir, claim_settings(d->claim), false, NULL, NULL, err);
}

/* --- commands --- */

static int dev_options(struct dev *d, int argc, char **argv, bool start, struct err *err)
{
	const struct option table[] = {
		{ "data-dir", 'd', OPT_STRING, &d->data_dir, "DIR", "of the cluster (" DEFAULT_DEV_DIR ")" },
		{ "nodes", 0, OPT_INT, &d->nodes, "N", "how many (3); the first has the control plane" },
		{ "https-listen-port", 0, OPT_INT, &d->port, "N", "of the API, on the first node's address (6443)" },
		{ "write-kubeconfig", 'o', OPT_STRING, &d->kubeconfig, "FILE",
		  "admin kubeconfig (DIR/kubeconfig.yaml)" },
		{ "cluster-cidr", 0, OPT_STRING, &d->cluster_cidr, "CIDR",
		  "addresses of pods; nodes have the same families: 10.42.0.0/16,fd00:42::/56 gives them both" },
		{ "service-cidr", 0, OPT_STRING, &d->service_cidr, "CIDR",
		  "addresses of Services (as pods: a range of each family)" },
		{ "server-arg", 0, OPT_ARGS, &d->server_args, "FLAG",
		  "a further flag of the first node's caravel server" },
		{ "agent-arg", 0, OPT_ARGS, &d->agent_args, "FLAG",
		  "a further flag of the other nodes' caravel agent" },
		{ "debug", 0, OPT_BOOL, &d->debug, NULL, "log more" },
	};
	int rc;

	d->data_dir = DEFAULT_DEV_DIR;
	d->nodes = 3;
	d->port = 6443;
	rc = cli_options_parse(&d->arena, table, start ? ARRAY_LEN(table) : 1, argc, argv, NULL, NULL, err);
	if (rc)
		return rc;
	if (d->nodes < 1 || d->nodes > DEV_NODES_MAX)
		return err_set(err, ERR_INVALID, "--nodes takes 1 to %d, not %d", DEV_NODES_MAX, d->nodes);
	if (d->port < 1 || d->port > 65535)
		return err_set(err, ERR_INVALID, "--https-listen-port takes a port up to 65535, not %d", d->port);
	if (d->debug)
		log_set_level(LVL_DEBUG);
	if (!start) {
		d->data_dir = full_path(&d->arena, d->data_dir);
	} else if (data_dir_make(&d->arena, &d->data_dir, err) < 0) {
		return -1;
	}
	if (!d->kubeconfig)
		d->kubeconfig = arena_printf(&d->arena, "%s/kubeconfig.yaml", d->data_dir);
	dev_net_init(&d->net, d->data_dir);
	if (d->cluster_cidr && !dev_net_families(&d->net, d->cluster_cidr))
		return err_set(err, ERR_INVALID,
			       "--cluster-cidr takes a range like 10.42.0.0/16, or one of each family like "
			       "10.42.0.0/16,fd00:42::/56, not '%s'",
			       d->cluster_cidr);
	/* Services have the families of pods, in their order. */
	if (!d->service_cidr && d->net.has[1])
		d->service_cidr = !d->net.has[0] ? "fd00:43::/112"
				  : d->net.first ? "fd00:43::/112,10.43.0.0/16"
						 : "10.43.0.0/16,fd00:43::/112";
	return 0;
}

static void dev_release(struct dev *d)
{
	string_list_release(&d->server_args);
	string_list_release(&d->agent_args);
	arena_release(&d->arena);
}

int cmd_dev(int argc, char **argv)
{
	struct dev d = { .began_ns = dev_now_ns() };
	struct err err = ERR_INIT, late = ERR_INIT;
	int rc = dev_options(&d, argc, argv, true, &err);
	sigset_t set;

	if (rc == 0) {
		daemon_signals(&set);
		sigaddset(&set, SIGCHLD);
		sigprocmask(SIG_BLOCK, &set, NULL);
		rc = claim_take(d.data_dir, &d.claim, NULL, &err);
		if (rc < 0)
			err_wrap(&err, "this cluster runs already");
	}
	if (rc == 0 && d.claim) {
		rc = dev_up(&d, &err);
		if (rc == 0)
			dev_run(&d);
		if (dev_down(&d, &late) < 0 && rc == 0)
			rc = err_move(&err, &late);
		err_release(&late);
		claim_forget(d.claim);
	}
	dev_release(&d);
	return rc < 0 ? cli_fail_err(&err) : 0;
}

static void dev_print(const char *what, void *ctx)
{
	*(bool *)ctx = true;
	printf("caravel: %s\n", what);
}

int cmd_dev_stop(int argc, char **argv)
{
	struct dev d = { 0 };
	struct err err = ERR_INIT;
	bool any = false;
	int rc = dev_options(&d, argc, argv, false, &err);

	if (rc) {
		dev_release(&d);
		return rc < 0 ? cli_fail_err(&err) : 0;
	}
	rc = node_take_over(d.data_dir, &d.claim, &err);
	if (rc >= 0) {
		if (rc > 0)
			dev_print("ended the cluster", &any);
		rc = dev_cleanup(d.data_dir, claim_settings(d.claim), false, dev_print, &any, &err);
		claim_forget(d.claim);
	}
	if (rc == 0 && !any)
		printf("caravel: no cluster of '%s' runs, and nothing of it is left\n", d.data_dir);
	dev_release(&d);
	return rc < 0 ? cli_fail_err(&err) : 0;
}
