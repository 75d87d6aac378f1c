#include "kubelet/usage/usage.h"

#include "base/strmap.h"
#include "base/timefmt.h"
#include "kubelet/kpod.h"
#include "kubelet/pod_spec.h"
#include "kubelet/pod_table.h"

#include <sys/statvfs.h>

#define NODE SV("") /* the machine among the things that have rates */

static void usage_unref_pod(void *p)
{
	kpod_unref(p);
}

static int64_t usage_seconds(const struct val *time)
{
	int64_t ns;

	return time_parse(val_str(time), &ns) ? ns / NS_PER_SEC : 0;
}

/* One that runs, by its status: its cgroup is named after its id, below the pod's. */
static void take_container(struct kubelet *k, struct arena *a, const struct usage_pod *p, const struct val *status,
			   int64_t mono_ns, struct usage_container *ret)
{
	*ret = (struct usage_container){
		.name = arena_sv(a, val_get_str(status, F_name)),
		.id = arena_sv(a, status_container_id(status)),
		.image = arena_sv(a, val_get_str(status, F_image)),
		.started_s = usage_seconds(val_get(status, F_state, F_running, F_startedAt)),
	};
	ret->cgroup = arena_svf(a, "%.*s/%.*s", SV_ARG(p->cgroup), SV_ARG(ret->id));
	if (k->files)
		cgroup_usage_read(ret->cgroup.p, &ret->use);
	if (ret->use.has_cpu)
		ret->cpu = rates_read(k->rates, ret->id, ret->use.cpu_ns, mono_ns);
}

static void take_containers(struct kubelet *k, struct arena *a, const struct val *pod, struct usage_pod *p,
			    int64_t mono_ns)
{
	static const enum sym lists[] = { F_initContainerStatuses, F_containerStatuses, F_ephemeralContainerStatuses };
	const struct val *status = val_get(pod, F_status);
	size_t room = 0;

	for (size_t i = 0; i < ARRAY_LEN(lists); i++)
		room += val_len(val_member(status, lists[i]));
	p->containers = ARENA_ARRAY(a, struct usage_container, room + 1);
	for (size_t i = 0; i < ARRAY_LEN(lists); i++)
		VAL_EACH(val_member(status, lists[i]), s)
			if (val_get(s, F_state, F_running) && status_container_id(s).n)
				take_container(k, a, p, s, mono_ns, &p->containers[p->n++]);
}

/* Those of a process in it: all of a pod's containers have the same. */
static void take_links(struct arena *a, const struct val *pod, struct usage_pod *p)
{
	pid_t pid = 0;

	if (val_get_bool(pod, F_spec, F_hostNetwork))
		return;
	for (size_t i = 0; i < p->n && !pid; i++)
		pid = cgroup_first_pid(p->containers[i].cgroup.p);
	if (pid)
		p->links = usage_links(a, arena_printf(a, "%d", (int)pid), &p->n_links);
}

static bool take_pod(struct kubelet *k, struct arena *a, struct kpod *kp, int64_t mono_ns, struct usage_pod *ret)
{
	const struct val *pod = obj_root(kpod_obj(kp, a));

	*ret = (struct usage_pod){
		.p = kp,
		.ns = arena_sv(a, sv_from(kp->ns)),
		.name = arena_sv(a, sv_from(kp->name)),
		.uid = arena_sv(a, sv_from(kp->uid)),
		.cgroup = sv_from(cgroup_pod_path(a, k->cgroup_root, pod_qos(pod), sv_from(kp->uid))),
		.started_s = usage_seconds(val_get(pod, F_status, F_startTime)),
	};
	if (k->files)
		cgroup_usage_read(ret->cgroup.p, &ret->use);
	if (ret->use.has_cpu)
		ret->cpu = rates_read(k->rates, ret->uid, ret->use.cpu_ns, mono_ns);
	take_containers(k, a, pod, ret, mono_ns);
	if (k->files)
		take_links(a, pod, ret);
	return ret->n > 0 || ret->use.has_cpu;
}

/* What the runtime says: the writable layers; and all else where no cgroup could be read. */
static void take_runtime(struct kubelet *k, struct arena *a, struct usage_node *n, int64_t mono_ns)
{
	struct strmap by_id = STRMAP_INIT;
	struct rt_stats *st;
	size_t n_st = 0;

	if (k->rt->ops->stats(k->rt, a, &st, &n_st, NULL) < 0)
		return;
	for (size_t i = 0; i < n->n; i++)
		for (size_t j = 0; j < n->pods[i].n; j++)
			strmap_set(&by_id, n->pods[i].containers[j].id, &n->pods[i].containers[j]);
	for (size_t i = 0; i < n_st; i++) {
		struct usage_container *c = strmap_get(&by_id, st[i].container_id);

		if (!c)
			continue;
		c->has_files = true;
		c->rootfs_bytes = st[i].fs_used_bytes;
		if (c->use.has_cpu || c->use.has_memory)
			continue;
		c->use.has_cpu = c->use.has_memory = true;
		c->use.cpu_ns = st[i].cpu_usage_ns;
		c->use.memory_bytes = c->use.working_set_bytes = st[i].memory_working_set_bytes;
		c->use.rss_bytes = st[i].memory_rss_bytes;
		c->cpu = rates_read(k->rates, c->id, c->use.cpu_ns, mono_ns);
	}
	strmap_release(&by_id);
}

/* Does any container have no numbers of its own? */
static bool take_wants_runtime(const struct usage_node *n)
{
	for (size_t i = 0; i < n->n; i++)
		for (size_t j = 0; j < n->pods[i].n; j++)
			if (!n->pods[i].containers[j].use.has_cpu)
				return true;
	return false;
}

static struct usage_fs fs_of(const char *path)
{
	struct statvfs s;

	if (statvfs(path, &s) < 0)
		return (struct usage_fs){ 0 };
	return (struct usage_fs){
		.has = true,
		.capacity_bytes = (uint64_t)s.f_blocks * s.f_frsize,
		.available_bytes = (uint64_t)s.f_bavail * s.f_frsize,
		.used_bytes = (uint64_t)(s.f_blocks - s.f_bfree) * s.f_frsize,
		.inodes = s.f_files,
		.inodes_free = s.f_ffree,
		.inodes_used = s.f_files - s.f_ffree,
	};
}

static void take_file_systems(struct kubelet *k, struct arena *a, struct usage_node *n)
{
	struct sv at = SV("");
	uint64_t used = 0;

	n->fs = fs_of(k->root_dir);
	if (k->rt->ops->fs_usage(k->rt, a, &used, &at, NULL) == 0 && at.n) {
		n->image_fs = fs_of(arena_cstr(a, at));
		n->image_fs.used_bytes = used;
	}
}

/* The machine's own numbers, as a cgroup's: v2 counts little of its root. */
static void take_machine(struct kubelet *k, struct arena *a, struct usage_node *n, int64_t mono_ns)
{
	machine_usage_read(&n->machine);
	n->links = usage_links(a, "self", &n->n_links);
	cgroup_usage_read("", &n->use);
	if (!n->use.has_cpu) {
		n->use.has_cpu = true;
		n->use.cpu_ns = n->machine.cpu_ns;
	}
	if (!n->use.has_memory || !n->use.memory_bytes) {
		n->use.has_memory = true;
		n->use.memory_bytes = n->use.working_set_bytes =
		    n->machine.memory_bytes - MIN(n->machine.available_bytes, n->machine.memory_bytes);
	}
	n->use.faults = n->use.faults ? n->use.faults : n->machine.faults;
	n->use.major_faults = n->use.major_faults ? n->use.major_faults : n->machine.major_faults;
	n->cpu = rates_read(k->rates, NODE, n->use.cpu_ns, mono_ns);
	if (cgroup_usage_read(cgroup_pods_path(a, k->cgroup_root), &n->pods_use))
		n->pods_cpu = rates_read(k->rates, SV("pods"), n->pods_use.cpu_ns, mono_ns);
}

void usage_take(struct kubelet *k, struct arena *a, bool files, struct usage_node *ret)
{
	int64_t mono_ns = env_mono_ns(k->env);
	size_t n_pods;
	struct kpod **pods = kubelet_pods(k, a, &n_pods);

	*ret = (struct usage_node){ .now_ns = env_now_ns(k->env) };
	ret->pods = ARENA_ARRAY(a, struct usage_pod, n_pods + 1);
	if (k->files)
		take_machine(k, a, ret, mono_ns);
	for (size_t i = 0; i < n_pods; i++) {
		arena_defer(a, usage_unref_pod, pods[i]);
		if (take_pod(k, a, pods[i], mono_ns, &ret->pods[ret->n]))
			ret->n++;
	}
	if (files || take_wants_runtime(ret))
		take_runtime(k, a, ret, mono_ns);
	if (files && k->files)
		take_file_systems(k, a, ret);
}

bool usage_has_rates(struct kubelet *k)
{
	return !k->files || rates_ready(k->rates, NODE, env_mono_ns(k->env));
}
