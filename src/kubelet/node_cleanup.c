#include "kubelet/node_cleanup.h"

#include "ev/ev.h"
#include "kubelet/cgroups.h"
#include "kubelet/cni.h"
#include "kubelet/containerd.h"
#include "kubelet/fsutil.h"
#include "kubelet/runtime.h"
#include "kubelet/shims.h"

#include <net/if.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

/* Keeps the first failure, drops later ones. */
static void note(struct err *first, struct err *e)
{
	if (e->reason && !first->reason)
		err_move(first, e);
	else
		err_release(e);
}

static void remove_pods(struct runtime *rt, struct err *first)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct rt_container *c;
	struct rt_sandbox *s;
	size_t n;
	struct err e = ERR_INIT;

	if (rt->ops->list_containers(rt, &a, SV(""), &c, &n, &e) == 0) {
		for (size_t i = 0; i < n; i++) {
			if (c[i].state == RT_RUNNING)
				rt->ops->stop_container(rt, c[i].id, 0, 30 * NS_PER_SEC, NULL);
			rt->ops->remove_container(rt, c[i].id, &e);
			note(first, &e);
		}
	}
	note(first, &e);
	if (rt->ops->list_sandboxes(rt, &a, SV(""), &s, &n, &e) == 0) {
		for (size_t i = 0; i < n; i++) {
			rt->ops->stop_sandbox(rt, s[i].id, &e);
			note(first, &e);
			rt->ops->remove_sandbox(rt, s[i].id, &e);
			note(first, &e);
		}
	}
	note(first, &e);
}

static void remove_bridge(const char *bridge, struct err *e)
{
	const char *argv[] = { "ip", "link", "delete", bridge, NULL };
	_cleanup_(buf_release) struct buf out = BUF_INIT, errs = BUF_INIT;
	int status;

	if (!if_nametoindex(bridge))
		return;
	if (child_run(&(struct child_opts){ .argv = argv, .stdin_fd = -1, .stdout_fd = -1, .stderr_fd = -1 },
		      10 * NS_PER_SEC, 4096, &out, &errs, &status, e) == 0 &&
	    if_nametoindex(bridge))
		err_set(e, ERR_INTERNAL, "bridge '%s' cannot be removed: %.*s", bridge, SV_ARG(sv_trim(buf_sv(&errs))));
}

static void remove_dir(const char *path, struct err *first)
{
	struct err e = ERR_INIT;

	fs_unmount_under(path, NULL, &e);
	note(first, &e);
	tree_remove(path, &e);
	note(first, &e);
}

int node_cleanup(const struct node_cleanup_opts *o, struct err *err)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct err first = ERR_INIT, e = ERR_INIT;
	char run[40], bridge[16];
	const char *socket, *root = arena_printf(&a, "%s/containerd/root", o->data_dir);

	containerd_run_dir(o->data_dir, run);
	cni_bridge_name(o->data_dir, bridge);
	socket = arena_printf(&a, "%s/containerd.sock", run);

	/* The daemon is started again even if it is down: only it knows the containers. */
	if (access(root, F_OK) == 0 && access(run, F_OK) == 0) {
		struct containerd *c =
		    containerd_start(&(struct containerd_opts){ .env = o->env, .data_dir = o->data_dir }, &e);

		note(&first, &e);
		if (c) {
			struct runtime *rt = runtime_cri_new(o->env, containerd_endpoint(c), &e);

			if (rt) {
				remove_pods(rt, &first);
				rt->ops->free(rt);
			}
			containerd_free(c);
		}
	}
	containerd_stop_stale(o->data_dir, &e);
	note(&first, &e);
	if (o->cgroup_root && *o->cgroup_root)
		cgroup_kill_all(o->cgroup_root);
	for (int i = 0; i < 50 && shims_kill(socket, NULL, 0); i++)
		nanosleep(&(struct timespec){ .tv_nsec = 20 * NS_PER_MS }, NULL);

	remove_dir(run, &first);
	remove_dir(o->kubelet_root ? o->kubelet_root : arena_printf(&a, "%s/kubelet", o->data_dir), &first);
	if (o->log_dir)
		remove_dir(o->log_dir, &first);
	remove_dir(arena_printf(&a, "%s/cni", o->data_dir), &first);
	fs_unmount_under(root, NULL, &e);
	note(&first, &e);
	if (o->images)
		remove_dir(arena_printf(&a, "%s/containerd", o->data_dir), &first);
	remove_bridge(o->bridge ? o->bridge : bridge, &e);
	note(&first, &e);
	if (o->cgroup_root && *o->cgroup_root) {
		cgroup_remove_all(o->cgroup_root, &e);
		note(&first, &e);
	}
	return first.reason ? err_move(err, &first) : 0;
}
