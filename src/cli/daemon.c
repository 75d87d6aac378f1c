#include "cli/daemon.h"

#include "base/crash.h"
#include "base/file.h"
#include "base/log.h"
#include "base/quarantine.h"
#include "base/retry.h"
#include "base/strmap.h"
#include "cli/heap.h"
#include "cli/stalls.h"
#include "cli/supervise.h"
#include "ev/ev.h"

#include <errno.h>
#include <time.h>
#include <unistd.h>

#define LOOK_NS (5 * NS_PER_SEC)

/* A containerd that did not start within its minute mostly has a disk to wait for, or somebody who repairs it. */
static const struct retry_policy daemon_retry = { .first_ns = 5 * NS_PER_SEC, .max_ns = 300 * NS_PER_SEC };

void daemon_signals(sigset_t *ret)
{
	struct sigaction hup;

	sigemptyset(ret);
	sigaddset(ret, SIGTERM);
	sigaddset(ret, SIGINT);
	sigaddset(ret, SIGQUIT);
	/* A terminal that closes counts, unless nohup(1) says that it does not. */
	if (sigaction(SIGHUP, NULL, &hup) == 0 && hup.sa_handler != SIG_IGN)
		sigaddset(ret, SIGHUP);
}

int daemon_run(const char *crash_dir, bool alone, int (*fn)(void *ctx), void *ctx)
{
	struct supervise_opts o = { .dir = crash_dir };

	if (!alone) {
		daemon_signals(&o.ending);
		return supervise(&o, fn, ctx);
	}
	(void)dir_make(crash_dir, 0700, NULL); /* without it there is merely no report */
	crash_prune(crash_dir);
	crash_install(crash_dir);
	return fn(ctx);
}

struct env *daemon_begin(const char *crash_dir)
{
	struct env *env;
	uint64_t seed;
	sigset_t set;

	quarantine_load(crash_dir);
	/* Blocked before any thread exists, so that sigtimedwait() in daemon_wait() is the only taker. */
	daemon_signals(&set);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	env = env_real_new(0);
	stalls_watch();
	env_random(env, &seed, sizeof(seed));
	strmap_seed(seed);
	return env;
}

bool daemon_is_to_end(void)
{
	sigset_t pending, both, set;

	daemon_signals(&set);
	return sigpending(&pending) == 0 && sigandset(&both, &pending, &set) == 0 && !sigisemptyset(&both);
}

/* --- the node --- */

/* 1: it runs; 0: later, or we are to end; -1: never, as it seems. */
static int daemon_node_try(struct daemon_node *n, struct err *err)
{
	struct env *env = n->home->env;
	bool again = false;
	int64_t pause;

	n->due_ns = 0;
	n->agent = agent_start(n->home, n->o, &again, err);
	if (n->agent) {
		n->failures = 0;
		if (n->up)
			n->up(n->up_ctx, n->agent);
		return 1;
	}
	if (daemon_is_to_end()) {
		err_release(err);
		return 0;
	}
	n->failures++;
	pause = retry_pause_ns(&daemon_retry, n->failures);
	n->due_ns = env_mono_ns(env) + pause;
	if (!again)
		return -1;
	log_error("agent", "this machine's node does not start, and is tried again", "error", "in %d s: %s",
		  (int)(pause / NS_PER_SEC), err_msg(err));
	err_release(err);
	return 0;
}

int daemon_node_start(struct daemon_node *n, struct err *err)
{
	return daemon_node_try(n, err) < 0 ? -1 : 0;
}

void daemon_node_stop(struct daemon_node *n)
{
	if (n->agent && n->down)
		n->down(n->up_ctx);
	n->agent = agent_stop(n->agent);
	n->due_ns = 0;
	arena_release(&n->arena);
}

/* A lease that ended, another network: whoever asks the old address for logs would get somebody else's, or nobody. */
static void daemon_node_follow(struct daemon_node *n)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	int64_t now = env_mono_ns(n->home->env);
	const char *found;

	if (!n->agent || !n->o->node_ip_found || now - n->looked_ns < LOOK_NS)
		return;
	n->looked_ns = now;
	found = host_node_ips(&a, agent_node_ips(n->agent), n->o->flannel_iface, n->home->facts->cluster_cidr);
	if (!found || strcmp(found, agent_node_ips(n->agent)) == 0)
		return;
	log_warn("agent", "this machine has another address now, and its node is started anew", "address", "%s, was %s",
		 found, agent_node_ips(n->agent));
	if (n->down)
		n->down(n->up_ctx);
	n->agent = agent_stop(n->agent);
	n->o->node_ip = arena_cstr(&n->arena, sv_sub(sv_from(found), 0, strcspn(found, " ")));
	n->due_ns = now;
}

static void daemon_node_look(struct daemon_node *n)
{
	_cleanup_(err_release) struct err err = ERR_INIT;

	if (!n || !n->home)
		return;
	daemon_node_follow(n);
	/* What nothing would mend at the start, somebody may have broken and will mend: all else goes on. */
	if (n->due_ns && env_mono_ns(n->home->env) >= n->due_ns && daemon_node_try(n, &err) < 0)
		log_error("agent", "this machine's node does not start", "error", "%s", err_msg(&err));
}

bool daemon_pause(int64_t ns)
{
	const struct timespec t = { .tv_sec = ns / NS_PER_SEC, .tv_nsec = ns % NS_PER_SEC };
	siginfo_t info;
	sigset_t set;

	daemon_signals(&set);
	if (daemon_is_to_end() || (ns > 0 && sigtimedwait(&set, &info, &t) > 0 && kill(getpid(), info.si_signo) == 0))
		return false; /* it is pending again: whoever asks later hears of it, too */
	return true;
}

int daemon_wait(struct daemon_node *n)
{
	struct heap_watch heap = { 0 };
	sigset_t set;

	daemon_signals(&set);
	for (;;) {
		const struct timespec look = { .tv_sec = n && n->due_ns ? 1 : heap_pause_s(&heap) };
		int signum = sigtimedwait(&set, NULL, &look);

		if (signum > 0)
			return signum;
		if (errno != EAGAIN)
			continue;
		heap_look(&heap);
		daemon_node_look(n);
	}
}
