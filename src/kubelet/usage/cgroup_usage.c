#include "kubelet/usage/cgroup_usage.h"

#include "kubelet/cgroups.h"
#include "kubelet/usage/usage_file.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define NO_LIMIT ((uint64_t)1 << 60) /* v1 writes the largest multiple of a page for "none" */

/* "key value" lines: which of them go where. */
struct stat_row {
	const char *key;
	size_t at; /* in struct cgroup_usage */
};

#define ROW_OF(key, member)                                \
	{                                                  \
		key, offsetof(struct cgroup_usage, member) \
	}

static void usage_put(struct cgroup_usage *u, size_t at, uint64_t v)
{
	memcpy((char *)u + at, &v, sizeof(v));
}

static void stat_read(const char *dir, const char *file, const struct stat_row *rows, size_t n,
		      struct cgroup_usage *ret)
{
	struct usage_text t;
	struct sv rest, line;

	usage_text_read(&t, dir, file);
	rest = t.text;
	while (sv_split(&rest, '\n', &line)) {
		ssize_t blank = sv_find(line, ' ');
		struct sv key = blank < 0 ? line : sv_sub(line, 0, (size_t)blank);

		for (size_t i = 0; blank > 0 && i < n; i++)
			if (sv_is(key, rows[i].key))
				usage_put(ret, rows[i].at, usage_number(sv_sub(line, (size_t)blank + 1, line.n)));
	}
}

static bool number_read(const char *dir, const char *file, uint64_t *ret)
{
	struct usage_text t;

	if (!usage_text_read(&t, dir, file))
		return false;
	*ret = usage_number(t.text); /* "max": 0 */
	return true;
}

static void working_set(struct cgroup_usage *u, uint64_t inactive_file)
{
	u->working_set_bytes = u->memory_bytes > inactive_file ? u->memory_bytes - inactive_file : 0;
}

static void v1_cpu(const char *dir, struct cgroup_usage *u)
{
	static const struct stat_row stat[] = { ROW_OF("user", user_ns), ROW_OF("system", system_ns) };
	const uint64_t tick_ns = (uint64_t)(NS_PER_SEC / MAX(sysconf(_SC_CLK_TCK), 1));

	u->has_cpu = number_read(dir, "cpuacct.usage", &u->cpu_ns);
	stat_read(dir, "cpuacct.stat", stat, ARRAY_LEN(stat), u);
	u->user_ns *= tick_ns;
	u->system_ns *= tick_ns;
}

static void v1_throttled(const char *dir, struct cgroup_usage *u)
{
	static const struct stat_row stat[] = { ROW_OF("nr_periods", periods),
						ROW_OF("nr_throttled", throttled_periods),
						ROW_OF("throttled_time", throttled_ns) };

	stat_read(dir, "cpu.stat", stat, ARRAY_LEN(stat), u);
}

/* The root's usage_in_bytes counts all the machine's page cache, as the others' theirs. */
static void v1_memory(const char *dir, struct cgroup_usage *u)
{
	/* max_bytes is lent to inactive_file until it gets its own value. */
	static const struct stat_row stat[] = {
		ROW_OF("total_inactive_file", max_bytes), ROW_OF("total_rss", rss_bytes),
		ROW_OF("total_cache", cache_bytes),	  ROW_OF("total_mapped_file", mapped_bytes),
		ROW_OF("total_swap", swap_bytes),	  ROW_OF("total_pgfault", faults),
		ROW_OF("total_pgmajfault", major_faults),
	};
	static const struct stat_row oom[] = { ROW_OF("oom_kill", oom_kills) };

	u->has_memory = number_read(dir, "memory.usage_in_bytes", &u->memory_bytes);
	if (!u->has_memory)
		return;
	stat_read(dir, "memory.stat", stat, ARRAY_LEN(stat), u);
	working_set(u, u->max_bytes);
	u->max_bytes = 0;
	number_read(dir, "memory.max_usage_in_bytes", &u->max_bytes);
	number_read(dir, "memory.failcnt", &u->hits_of_limit);
	number_read(dir, "memory.kmem.usage_in_bytes", &u->kernel_bytes);
	number_read(dir, "memory.limit_in_bytes", &u->limit_bytes);
	if (u->limit_bytes >= NO_LIMIT)
		u->limit_bytes = 0;
	stat_read(dir, "memory.oom_control", oom, ARRAY_LEN(oom), u);
	u->has_swap = true;
}

static void psi_line(struct sv line, struct usage_psi *p)
{
	struct usage_psi_line *to = sv_starts(line, SV("full ")) ? &p->full : &p->some;
	struct sv rest = line, part;

	while (sv_split(&rest, ' ', &part)) {
		ssize_t eq = sv_find(part, '=');
		struct sv key = eq < 0 ? SV("") : sv_sub(part, 0, (size_t)eq),
			  v = sv_sub(part, (size_t)(eq + 1), part.n);

		if (sv_is(key, "total"))
			to->total_us = usage_number(v);
		else if (sv_is(key, "avg10"))
			to->avg10 = usage_decimal(v);
		else if (sv_is(key, "avg60"))
			to->avg60 = usage_decimal(v);
		else if (sv_is(key, "avg300"))
			to->avg300 = usage_decimal(v);
	}
}

static void psi_read(const char *dir, const char *file, struct usage_psi *p)
{
	struct usage_text t;
	struct sv rest, line;

	if (!usage_text_read(&t, dir, file))
		return;
	rest = t.text;
	p->has = rest.n > 0; /* the file of a kernel that has it switched off cannot be read */
	while (sv_split(&rest, '\n', &line))
		psi_line(line, p);
}

static void v2_all(const char *dir, struct cgroup_usage *u)
{
	static const struct stat_row cpu[] = {
		ROW_OF("usage_usec", cpu_ns),
		ROW_OF("user_usec", user_ns),
		ROW_OF("system_usec", system_ns),
		ROW_OF("nr_periods", periods),
		ROW_OF("nr_throttled", throttled_periods),
		ROW_OF("throttled_usec", throttled_ns),
	};
	/* max_bytes is lent to inactive_file until it gets its own value. */
	static const struct stat_row memory[] = {
		ROW_OF("inactive_file", max_bytes),  ROW_OF("anon", rss_bytes),	     ROW_OF("file", cache_bytes),
		ROW_OF("file_mapped", mapped_bytes), ROW_OF("kernel", kernel_bytes), ROW_OF("pgfault", faults),
		ROW_OF("pgmajfault", major_faults),
	};
	static const struct stat_row events[] = { ROW_OF("max", hits_of_limit), ROW_OF("oom_kill", oom_kills) };
	struct usage_text t;

	u->has_cpu = usage_text_read(&t, dir, "cpu.stat");
	stat_read(dir, "cpu.stat", cpu, ARRAY_LEN(cpu), u);
	u->cpu_ns *= 1000;
	u->user_ns *= 1000;
	u->system_ns *= 1000;
	u->throttled_ns *= 1000;
	u->has_memory = number_read(dir, "memory.current", &u->memory_bytes);
	stat_read(dir, "memory.stat", memory, ARRAY_LEN(memory), u);
	working_set(u, u->max_bytes);
	u->max_bytes = 0;
	number_read(dir, "memory.peak", &u->max_bytes);
	number_read(dir, "memory.max", &u->limit_bytes);
	stat_read(dir, "memory.events", events, ARRAY_LEN(events), u);
	u->has_swap = number_read(dir, "memory.swap.current", &u->swap_bytes);
	u->has_pids = number_read(dir, "pids.current", &u->pids);
	psi_read(dir, "cpu.pressure", &u->cpu_psi);
	psi_read(dir, "memory.pressure", &u->memory_psi);
	psi_read(dir, "io.pressure", &u->io_psi);
}

/* A cgroup's directory in a hierarchy; false: it is too long to be one. */
static bool usage_dir(char *to, size_t size, const char *root, const char *hierarchy, const char *path)
{
	int n = snprintf(to, size, "%s%s%s", root, hierarchy, path);

	return n > 0 && (size_t)n < size;
}

bool cgroup_usage_below(const char *root, bool v2, const char *path, struct cgroup_usage *ret)
{
	static const struct {
		const char *hierarchy;
		void (*read)(const char *dir, struct cgroup_usage *u);
	} rows[] = { { "/cpuacct", v1_cpu }, { "/cpu", v1_throttled }, { "/memory", v1_memory } };
	char dir[1024];

	*ret = (struct cgroup_usage){ 0 };
	if (v2) {
		if (usage_dir(dir, sizeof(dir), root, "", path))
			v2_all(dir, ret);
		return ret->has_cpu || ret->has_memory;
	}
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (usage_dir(dir, sizeof(dir), root, rows[i].hierarchy, path))
			rows[i].read(dir, ret);
	if (usage_dir(dir, sizeof(dir), root, "/pids", path))
		ret->has_pids = number_read(dir, "pids.current", &ret->pids);
	return ret->has_cpu || ret->has_memory;
}

bool cgroup_usage_read(const char *path, struct cgroup_usage *ret)
{
	return cgroup_usage_below(CGROUP_ROOT, cgroup_is_v2(), path, ret);
}

static pid_t first_pid_in(const char *dir)
{
	struct usage_text t;

	/* Longer lists are cut: the first line is whole. */
	usage_text_read(&t, dir, "cgroup.procs");
	return (pid_t)usage_number(t.text);
}

pid_t cgroup_first_pid(const char *path)
{
	char dir[1024], sub[sizeof(dir) + 260];
	pid_t pid = 0;
	DIR *d;

	if (!usage_dir(dir, sizeof(dir), CGROUP_ROOT, cgroup_is_v2() ? "" : "/cpuacct", path))
		return 0;
	pid = first_pid_in(dir);
	d = pid ? NULL : opendir(dir);
	for (struct dirent *e; d && !pid && (e = readdir(d));)
		if (e->d_type == DT_DIR && e->d_name[0] != '.') {
			snprintf(sub, sizeof(sub), "%s/%s", dir, e->d_name);
			pid = first_pid_in(sub);
		}
	if (d)
		closedir(d);
	return pid;
}
