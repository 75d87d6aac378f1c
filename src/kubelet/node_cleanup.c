#include "kubelet/node_cleanup.h"

#include "base/buf.h"
#include "base/vec.h"
#include "ev/ev.h"
#include "kubelet/cgroups.h"
#include "kubelet/cni.h"
#include "kubelet/containerd.h"
#include "kubelet/fsutil.h"
#include "kubelet/local/local_volume.h"
#include "kubelet/pull_records.h"
#include "kubelet/runtime.h"
#include "kubelet/shims.h"

#include <dirent.h>
#include <errno.h>
#include <net/if.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define SERVER_PATIENCE_MS 30000
#define KILL_PATIENCE_MS 40000 /* in all */

struct cleanup {
	const struct node_cleanup_opts *o;
	struct arena a;
	struct err first;
	VEC(struct sv) uids; /* of the pods that were found */
};

static void node_cleanup_wait_ms(long ms)
{
	nanosleep(&(struct timespec){ .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * NS_PER_MS }, NULL);
}

/* Keeps the first failure, drops later ones. */
static void node_cleanup_note(struct cleanup *c, struct err *e)
{
	if (e->reason && !c->first.reason)
		err_move(&c->first, e);
	else
		err_release(e);
}

static void node_cleanup_say(struct cleanup *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void node_cleanup_say(struct cleanup *c, const char *fmt, ...)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	va_list ap;

	if (!c->o->say)
		return;
	va_start(ap, fmt);
	buf_vprintf(&b, fmt, ap);
	va_end(ap);
	c->o->say(buf_cstr(&b), c->o->ctx);
}

/* --- pods --- */

static void add_uid(struct cleanup *c, struct sv uid)
{
	for (size_t i = 0; i < c->uids.n; i++)
		if (sv_eq(c->uids.p[i], uid))
			return;
	/* It becomes part of a path. */
	if (uid.n && sv_find(uid, '/') < 0 && uid.p[0] != '.')
		vec_push(&c->uids, arena_sv(&c->a, uid));
}

static void remove_pods(struct cleanup *c, struct runtime *rt)
{
	struct rt_container *ct;
	struct rt_sandbox *s;
	size_t n;
	struct err e = ERR_INIT;

	if (rt->ops->list_containers(rt, &c->a, SV(""), &ct, &n, &e) == 0) {
		for (size_t i = 0; i < n; i++) {
			if (rt_may_run(ct[i].state))
				rt->ops->stop_container(rt, ct[i].id, 0, 30 * NS_PER_SEC, NULL);
			rt->ops->remove_container(rt, ct[i].id, &e);
			node_cleanup_note(c, &e);
		}
	}
	node_cleanup_note(c, &e);
	if (rt->ops->list_sandboxes(rt, &c->a, SV(""), &s, &n, &e) == 0) {
		for (size_t i = 0; i < n; i++) {
			add_uid(c, s[i].uid);
			rt->ops->stop_sandbox(rt, s[i].id, &e);
			node_cleanup_note(c, &e);
			rt->ops->remove_sandbox(rt, s[i].id, &e);
			node_cleanup_note(c, &e);
		}
		if (n)
			node_cleanup_say(c, "ended %zu %s", n, n == 1 ? "pod" : "pods");
	}
	node_cleanup_note(c, &e);
}

/* The daemon is started again even if it is down: only it knows the containers. */
static void end_known_pods(struct cleanup *c)
{
	struct err e = ERR_INIT;
	struct containerd *d =
	    containerd_start(&(struct containerd_opts){ .env = c->o->env, .data_dir = c->o->data_dir }, &e);
	struct runtime *rt;

	node_cleanup_note(c, &e);
	if (!d)
		return;
	rt = runtime_cri_new(c->o->env, containerd_endpoint(d), &e);
	node_cleanup_note(c, &e);
	if (rt) {
		remove_pods(c, rt);
		rt->ops->free(rt);
	}
	containerd_free(d);
}

static void found_cgroup(struct sv uid, void *ctx)
{
	add_uid(ctx, uid);
}

/* What no daemon knows: containers whose shims or containerd were killed, or whose data directory is gone. */
static void end_unknown_pods(struct cleanup *c, const char *socket)
{
	const char *root = c->o->cgroup_root;
	struct err e = ERR_INIT;
	int killed, shims = 0;
	char run[40];

	if (containerd_stop_stale(c->o->data_dir, &e))
		node_cleanup_say(c, "ended containerd");
	node_cleanup_note(c, &e);
	if (root && *root) {
		cgroup_each_pod(root, found_cgroup, c);
		killed = cgroup_kill_all(root);
		if (killed)
			node_cleanup_say(c, "killed %d %s in cgroup %s", killed, killed == 1 ? "process" : "processes",
					 root);
	}
	for (int i = 0; i < 50 && (killed = shims_kill(socket, NULL, 0, false)); i++) {
		shims += killed;
		node_cleanup_wait_ms(20);
	}
	if (shims)
		node_cleanup_say(c, "ended %d container %s", shims, shims == 1 ? "shim" : "shims");
	containerd_run_dir(c->o->data_dir, run);
	(void)shims_drop_dead(socket, arena_printf(&c->a, "%s/state/" SHIM_BUNDLES, run));
	(void)shims_drop_dead(socket, arena_printf(&c->a, "%s/containerd/root/" SHIM_BUNDLES, c->o->data_dir));
}

/* --- files --- */

static void unmount_under(struct cleanup *c, const char *path)
{
	struct err e = ERR_INIT;
	int n = 0;

	fs_unmount_under(path, &n, &e);
	node_cleanup_note(c, &e);
	if (n)
		node_cleanup_say(c, "unmounted %d below %s", n, path);
}

static void remove_tree(struct cleanup *c, const char *path)
{
	struct err e = ERR_INIT;

	if (access(path, F_OK) < 0)
		return;
	unmount_under(c, path);
	if (tree_remove(path, &e) == 0)
		node_cleanup_say(c, "removed %s", path);
	node_cleanup_note(c, &e);
}

/* Calls fn with each entry's full path and name. */
static void each_entry(struct cleanup *c, const char *dir,
		       void (*fn)(struct cleanup *c, const char *path, const char *name))
{
	DIR *d = opendir(dir);

	if (!d)
		return;
	for (struct dirent *e; (e = readdir(d));)
		if (strcmp(e->d_name, ".") && strcmp(e->d_name, ".."))
			fn(c, arena_printf(&c->a, "%s/%s", dir, e->d_name), e->d_name);
	closedir(d);
}

/* "<namespace>_<name>_<uid>" */
static void remove_log_of_pod(struct cleanup *c, const char *path, const char *name)
{
	const char *uid = strrchr(name, '_');

	for (size_t i = 0; uid && i < c->uids.n; i++)
		if (sv_is(c->uids.p[i], uid + 1))
			remove_tree(c, path);
}

static void cleanup_socket(struct cleanup *c, const char *path, const char *name)
{
	struct stat st;

	(void)c, (void)name;
	if (lstat(path, &st) == 0 && S_ISSOCK(st.st_mode))
		unlink(path);
}

/* A driver's own directory: what it keeps there but its sockets may be somebody's data, and stays. */
static void remove_plugin(struct cleanup *c, const char *path, const char *name)
{
	if (!strcmp(name, "kubernetes.io")) { /* where the agent has had drivers mount */
		remove_tree(c, path);
		return;
	}
	unmount_under(c, path);
	each_entry(c, path, cleanup_socket);
	rmdir(path);
}

/* After the pods': what they had was mounted from there. */
static void remove_plugins(struct cleanup *c, const char *root)
{
	const char *plugins = arena_printf(&c->a, "%s/plugins", root);

	each_entry(c, plugins, remove_plugin);
	rmdir(plugins);
	remove_tree(c, arena_printf(&c->a, "%s/plugins_registry", root));
}

static void remove_pod_files(struct cleanup *c)
{
	const char *data = c->o->data_dir, *logs = c->o->log_dir;
	const char *root = c->o->kubelet_root ? c->o->kubelet_root : arena_printf(&c->a, "%s/kubelet", data);
	const char *records = arena_printf(&c->a, "%s/" PULL_RECORDS_DIR, root);

	if (claim_owns(data, root)) {
		remove_tree(c, arena_printf(&c->a, "%s/pods", root));
		remove_plugins(c, root);
		/* As long as images are here, it says who may have which, and the directory is ours. */
		if (c->o->images)
			remove_tree(c, records);
		if (access(records, F_OK) < 0)
			unlink(arena_printf(&c->a, "%s/" CLAIM_MARK, root));
		rmdir(root);
	} else {
		for (size_t i = 0; i < c->uids.n; i++)
			remove_tree(c, arena_printf(&c->a, "%s/pods/%.*s", root, SV_ARG(c->uids.p[i])));
	}
	if (logs && claim_owns(data, logs))
		remove_tree(c, logs);
	else if (logs)
		each_entry(c, logs, remove_log_of_pod);
}

/* All but what says whose the directory is, which its holder removes last. */
static void remove_run_entry(struct cleanup *c, const char *path, const char *name)
{
	struct err e = ERR_INIT;

	if (!strcmp(name, CLAIM_FILE) || !strncmp(name, CLAIM_SETTINGS, strlen(CLAIM_SETTINGS)))
		return;
	tree_remove(path, &e);
	node_cleanup_note(c, &e);
}

/* What the network plugins remember of a sandbox names its network namespace, which is in our directory. */
static void remove_cni_result(struct cleanup *c, const char *path, const char *name)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	char run[40];
	struct sv text;

	(void)name;
	containerd_run_dir(c->o->data_dir, run);
	if (file_read(&a, path, 1 << 20, &text, NULL) == 0 &&
	    sv_find_sv(text, sv_from(arena_printf(&a, "\"sandbox\":\"%s/", run))) >= 0)
		unlink(path);
}

/* --- the network --- */

static void remove_bridge(struct cleanup *c, const char *bridge)
{
	const char *argv[] = { "ip", "link", "delete", bridge, NULL };
	_cleanup_(buf_release) struct buf out = BUF_INIT, errs = BUF_INIT;
	struct err e = ERR_INIT;
	int status;

	if (!if_nametoindex(bridge))
		return;
	if (child_run(&(struct child_opts){ .argv = argv, .stdin_fd = -1, .stdout_fd = -1, .stderr_fd = -1 },
		      10 * NS_PER_SEC, 4096, &out, &errs, &status, &e) == 0 &&
	    if_nametoindex(bridge))
		err_set(&e, ERR_INTERNAL, "bridge '%s' cannot be removed: %.*s", bridge,
			SV_ARG(sv_trim(buf_sv(&errs))));
	if (!e.reason)
		node_cleanup_say(c, "removed bridge %s", bridge);
	node_cleanup_note(c, &e);
}

/* Their data are the cluster's, and stay. */
static void release_volumes(struct cleanup *c, const char *dir)
{
	struct local_store store = { dir, &local_machine_real };
	struct err e = ERR_INIT;

	(void)local_store_release(&store, &e);
	node_cleanup_note(c, &e);
}

int node_cleanup(const struct node_cleanup_opts *o, struct err *err)
{
	struct cleanup c = { .o = o };
	const char *root = arena_printf(&c.a, "%s/containerd/root", o->data_dir);
	struct err e = ERR_INIT;
	char run[40], bridge[16];
	int rc;

	containerd_run_dir(o->data_dir, run);
	cni_bridge_name(o->data_dir, bridge);
	if (access(root, F_OK) == 0 && access(arena_printf(&c.a, "%s/state", run), F_OK) == 0 &&
	    !node_has_leftovers(o->data_dir))
		end_known_pods(&c);
	end_unknown_pods(&c, arena_printf(&c.a, "%s/containerd.sock", run));

	unmount_under(&c, run);
	each_entry(&c, run, remove_run_entry);
	rmdir(run);
	remove_pod_files(&c);
	remove_tree(&c, arena_printf(&c.a, "%s/cni", o->data_dir));
	unmount_under(&c, root);
	if (o->images)
		remove_tree(&c, arena_printf(&c.a, "%s/containerd", o->data_dir));
	release_volumes(&c, arena_printf(&c.a, "%s/storage", o->data_dir));
	each_entry(&c, "/var/lib/cni/results", remove_cni_result);
	rmdir("/var/lib/cni/results");
	rmdir("/var/lib/cni");
	shims_tidy(env_now_ns(o->env));
	remove_bridge(&c, o->bridge ? o->bridge : bridge);
	if (o->cgroup_root && *o->cgroup_root) {
		rc = cgroup_remove_all(o->cgroup_root, &e);
		if (rc > 0)
			node_cleanup_say(&c, "removed cgroup %s", o->cgroup_root);
		node_cleanup_note(&c, &e);
	}
	vec_release(&c.uids);
	arena_release(&c.a);
	return c.first.reason ? err_move(err, &c.first) : 0;
}

bool node_has_leftovers(const char *data_dir)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	char run[40];

	containerd_run_dir(data_dir, run);
	return access(arena_printf(&a, "%s/state", run), F_OK) == 0 &&
	       access(arena_printf(&a, "%s/containerd/root/io.containerd.metadata.v1.bolt/meta.db", data_dir), F_OK) <
		   0;
}

int node_take_over(const char *data_dir, struct claim **ret, struct err *err)
{
	pid_t asked = 0;

	for (int ms = 0;; ms += 20) {
		_cleanup_(err_release) struct err e = ERR_INIT;
		pid_t holder;

		if (claim_take(data_dir, ret, &holder, &e) == 0)
			return asked != 0;
		if (e.reason != ERR_ALREADY_EXISTS)
			return err_move(err, &e);
		if (ms >= KILL_PATIENCE_MS)
			return err_set(err, ERR_TIMEOUT, "the server (process %d) does not end", (int)holder);
		if (holder > 1 && holder != asked && kill(holder, SIGTERM) == 0)
			asked = holder;
		/* It may wait for a runtime that does not answer, and loses nothing when it is killed. */
		if (holder > 1 && ms >= SERVER_PATIENCE_MS)
			(void)kill(holder, SIGKILL);
		node_cleanup_wait_ms(20);
	}
}
