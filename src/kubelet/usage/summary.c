#include "kubelet/usage/summary.h"

#include "base/timefmt.h"
#include "kubelet/kpod.h"
#include "kubelet/volume_stats.h"

#include <sys/resource.h>

/* Names of this document that are no fields of the API are no symbols either. */
static void put_u64(struct arena *a, struct val *map, const char *name, uint64_t v)
{
	val_set_sv(a, map, sv_from(name), val_new_int(a, (int64_t)MIN(v, (uint64_t)INT64_MAX)));
}

static void put_time(struct arena *a, struct val *map, const char *name, int64_t ns)
{
	char text[TIME_TEXT_MAX];

	time_format(ns, false, text);
	val_set_str_sv(a, map, sv_from(name), sv_from(text));
}

static void put_started(struct arena *a, struct val *map, int64_t s)
{
	if (s)
		put_time(a, map, "startTime", s * NS_PER_SEC);
}

static void put_map(struct arena *a, struct val *map, const char *name, const struct val *v)
{
	if (v)
		val_set_sv(a, map, sv_from(name), v);
}

static struct val *psi_doc(struct arena *a, const struct usage_psi *p)
{
	const struct usage_psi_line *const lines[] = { &p->full, &p->some };
	static const char *const names[] = { "full", "some" };
	struct val *doc = p->has ? val_new_map(a) : NULL;

	for (size_t i = 0; doc && i < ARRAY_LEN(lines); i++) {
		struct val *l = val_new_map(a);

		put_u64(a, l, "total", lines[i]->total_us);
		val_set_sv(a, l, SV("avg10"), val_new_float(a, lines[i]->avg10));
		val_set_sv(a, l, SV("avg60"), val_new_float(a, lines[i]->avg60));
		val_set_sv(a, l, SV("avg300"), val_new_float(a, lines[i]->avg300));
		put_map(a, doc, names[i], l);
	}
	return doc;
}

static struct val *cpu_doc(struct arena *a, int64_t now_ns, const struct cgroup_usage *u, const struct rate *r)
{
	struct val *doc = val_new_map(a);

	if (!u->has_cpu)
		return NULL;
	put_time(a, doc, "time", now_ns);
	if (r->known) {
		put_u64(a, doc, "usageNanoCores", r->per_second);
		put_u64(a, doc, "usageWindowNanoSeconds", (uint64_t)r->window_ns); /* ours: what it is the mean of */
	}
	put_u64(a, doc, "usageCoreNanoSeconds", u->cpu_ns);
	put_map(a, doc, "psi", psi_doc(a, &u->cpu_psi));
	return doc;
}

/* machine_bytes: what there is where no limit is set; 0: nothing is said of what is left. */
static struct val *memory_doc(struct arena *a, int64_t now_ns, const struct cgroup_usage *u, uint64_t machine_bytes)
{
	struct val *doc = val_new_map(a);
	uint64_t limit = u->limit_bytes ? u->limit_bytes : machine_bytes;

	if (!u->has_memory)
		return NULL;
	put_time(a, doc, "time", now_ns);
	if (limit)
		put_u64(a, doc, "availableBytes", limit - MIN(u->working_set_bytes, limit));
	put_u64(a, doc, "usageBytes", u->memory_bytes);
	put_u64(a, doc, "workingSetBytes", u->working_set_bytes);
	put_u64(a, doc, "rssBytes", u->rss_bytes);
	put_u64(a, doc, "pageFaults", u->faults);
	put_u64(a, doc, "majorPageFaults", u->major_faults);
	put_map(a, doc, "psi", psi_doc(a, &u->memory_psi));
	return doc;
}

static struct val *swap_doc(struct arena *a, int64_t now_ns, const struct cgroup_usage *u, bool machine,
			    uint64_t machine_free)
{
	struct val *doc = val_new_map(a);

	if (!u->has_swap)
		return NULL;
	put_time(a, doc, "time", now_ns);
	if (machine)
		put_u64(a, doc, "swapAvailableBytes", machine_free);
	put_u64(a, doc, "swapUsageBytes", u->swap_bytes);
	return doc;
}

static struct val *io_doc(struct arena *a, int64_t now_ns, const struct cgroup_usage *u)
{
	struct val *doc = val_new_map(a);

	if (!u->io_psi.has)
		return NULL;
	put_time(a, doc, "time", now_ns);
	put_map(a, doc, "psi", psi_doc(a, &u->io_psi));
	return doc;
}

static void put_link(struct arena *a, struct val *doc, const struct usage_link *l)
{
	val_set_str_sv(a, doc, SV("name"), l->name);
	put_u64(a, doc, "rxBytes", l->rx_bytes);
	put_u64(a, doc, "rxErrors", l->rx_errors);
	put_u64(a, doc, "txBytes", l->tx_bytes);
	put_u64(a, doc, "txErrors", l->tx_errors);
}

static struct val *network_doc(struct arena *a, int64_t now_ns, const struct usage_link *links, size_t n)
{
	struct val *doc = val_new_map(a), *list = val_new_list(a);

	if (!n)
		return NULL;
	put_time(a, doc, "time", now_ns);
	put_link(a, doc, &links[0]);
	for (size_t i = 0; i < n; i++) {
		struct val *one = val_new_map(a);

		put_link(a, one, &links[i]);
		val_push(a, list, one);
	}
	put_map(a, doc, "interfaces", list);
	return doc;
}

static struct val *fs_doc(struct arena *a, int64_t now_ns, const struct usage_fs *f)
{
	struct val *doc = val_new_map(a);

	if (!f->has)
		return NULL;
	put_time(a, doc, "time", now_ns);
	put_u64(a, doc, "availableBytes", f->available_bytes);
	put_u64(a, doc, "capacityBytes", f->capacity_bytes);
	put_u64(a, doc, "usedBytes", f->used_bytes);
	put_u64(a, doc, "inodesFree", f->inodes_free);
	put_u64(a, doc, "inodes", f->inodes);
	put_u64(a, doc, "inodesUsed", f->inodes_used);
	return doc;
}

/* What a container has of a file system of others. */
static struct val *part_of_fs(struct arena *a, int64_t now_ns, const struct usage_fs *of, uint64_t used)
{
	struct usage_fs f = *of;

	f.used_bytes = used;
	return fs_doc(a, now_ns, &f);
}

static struct val *container_doc(struct arena *a, const struct usage_node *n, const struct usage_container *c,
				 bool only)
{
	struct val *doc = val_new_map(a);

	val_set_str_sv(a, doc, SV("name"), c->name);
	put_started(a, doc, c->started_s);
	put_map(a, doc, "cpu", cpu_doc(a, n->now_ns, &c->use, &c->cpu));
	put_map(a, doc, "memory", memory_doc(a, n->now_ns, &c->use, 0));
	if (only)
		return doc;
	put_map(a, doc, "io", io_doc(a, n->now_ns, &c->use));
	put_map(a, doc, "swap", swap_doc(a, n->now_ns, &c->use, false, 0));
	if (c->has_files) {
		struct usage_fs any = { .has = true };

		put_map(a, doc, "rootfs",
			part_of_fs(a, n->now_ns, n->image_fs.has ? &n->image_fs : &any, c->rootfs_bytes));
		put_map(a, doc, "logs", part_of_fs(a, n->now_ns, n->fs.has ? &n->fs : &any, c->log_bytes));
	}
	return doc;
}

static struct val *pod_doc(struct arena *a, const struct usage_node *n, const struct usage_pod *p, bool only)
{
	struct val *doc = val_new_map(a), *ref = val_new_map(a), *list = val_new_list(a), *processes;
	char now[TIME_TEXT_MAX];
	uint64_t files = 0;

	val_set_str_sv(a, ref, SV("name"), p->name);
	val_set_str_sv(a, ref, SV("namespace"), p->ns);
	val_set_str_sv(a, ref, SV("uid"), p->uid);
	put_map(a, doc, "podRef", ref);
	put_started(a, doc, p->started_s);
	for (size_t i = 0; i < p->n; i++) {
		val_push(a, list, container_doc(a, n, &p->containers[i], only));
		files += p->containers[i].rootfs_bytes + p->containers[i].log_bytes;
	}
	put_map(a, doc, "containers", list);
	put_map(a, doc, "cpu", cpu_doc(a, n->now_ns, &p->use, &p->cpu));
	put_map(a, doc, "memory", memory_doc(a, n->now_ns, &p->use, 0));
	if (only)
		return doc;
	put_map(a, doc, "io", io_doc(a, n->now_ns, &p->use));
	put_map(a, doc, "swap", swap_doc(a, n->now_ns, &p->use, false, 0));
	put_map(a, doc, "network", network_doc(a, n->now_ns, p->links, p->n_links));
	time_format(n->now_ns, false, now);
	put_map(a, doc, "volume", volume_stats_summary(a, p->p, sv_from(now)));
	put_map(a, doc, "ephemeral-storage", part_of_fs(a, n->now_ns, &n->fs, files));
	if (p->use.has_pids) {
		processes = val_new_map(a);
		put_u64(a, processes, "process_count", p->use.pids);
		put_map(a, doc, "process_stats", processes);
	}
	return doc;
}

/* The agent itself, and all pods. */
static struct val *system_containers(struct kubelet *k, struct arena *a, const struct usage_node *n)
{
	struct val *list = val_new_list(a), *own = val_new_map(a), *pods = val_new_map(a);
	struct cgroup_usage self = { .has_cpu = true };
	struct rusage ru;
	struct rate r;

	if (getrusage(RUSAGE_SELF, &ru) == 0)
		self.cpu_ns = (uint64_t)(ru.ru_utime.tv_sec + ru.ru_stime.tv_sec) * (uint64_t)NS_PER_SEC +
			      (uint64_t)(ru.ru_utime.tv_usec + ru.ru_stime.tv_usec) * 1000;
	r = rates_read(k->rates, SV("kubelet"), self.cpu_ns, env_mono_ns(k->env));
	val_set_str_sv(a, own, SV("name"), SV("kubelet"));
	put_time(a, own, "startTime", k->since_ns);
	put_map(a, own, "cpu", cpu_doc(a, n->now_ns, &self, &r));
	val_push(a, list, own);
	val_set_str_sv(a, pods, SV("name"), SV("pods"));
	put_map(a, pods, "cpu", cpu_doc(a, n->now_ns, &n->pods_use, &n->pods_cpu));
	put_map(a, pods, "memory", memory_doc(a, n->now_ns, &n->pods_use, n->machine.memory_bytes));
	if (n->pods_use.has_cpu)
		val_push(a, list, pods);
	return list;
}

static struct val *node_doc(struct kubelet *k, struct arena *a, const struct usage_node *n, bool only)
{
	struct val *doc = val_new_map(a), *runtime = val_new_map(a), *limit = val_new_map(a);

	val_set_str_sv(a, doc, SV("nodeName"), sv_from(k->node_name));
	put_started(a, doc, n->machine.started_s);
	put_map(a, doc, "systemContainers", system_containers(k, a, n));
	put_map(a, doc, "cpu", cpu_doc(a, n->now_ns, &n->use, &n->cpu));
	put_map(a, doc, "memory", memory_doc(a, n->now_ns, &n->use, n->machine.memory_bytes));
	if (only)
		return doc;
	put_map(a, doc, "io", io_doc(a, n->now_ns, &n->use));
	put_map(a, doc, "swap", swap_doc(a, n->now_ns, &n->use, true, n->machine.swap_free_bytes));
	put_map(a, doc, "network", network_doc(a, n->now_ns, n->links, n->n_links));
	put_map(a, doc, "fs", fs_doc(a, n->now_ns, &n->fs));
	put_map(a, runtime, "imageFs", fs_doc(a, n->now_ns, &n->image_fs));
	put_map(a, runtime, "containerFs", fs_doc(a, n->now_ns, &n->image_fs));
	put_map(a, doc, "runtime", runtime);
	put_time(a, limit, "time", n->now_ns);
	put_u64(a, limit, "maxpid", (uint64_t)MAX(n->machine.pids_max, 0));
	put_u64(a, limit, "curproc", (uint64_t)MAX(n->machine.pids, 0));
	put_map(a, doc, "rlimit", limit);
	return doc;
}

struct val *usage_summary(struct kubelet *k, struct arena *a, const struct usage_node *n, bool only)
{
	struct val *doc = val_new_map(a), *pods = val_new_list(a);

	put_map(a, doc, "node", node_doc(k, a, n, only));
	for (size_t i = 0; i < n->n; i++)
		val_push(a, pods, pod_doc(a, n, &n->pods[i], only));
	put_map(a, doc, "pods", pods);
	return doc;
}
