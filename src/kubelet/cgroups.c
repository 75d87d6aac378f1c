#include "kubelet/cgroups.h"

#include "base/file.h"
#include "base/tree.h"
#include "kubelet/beneath.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#define CGROUP CGROUP_ROOT
#define CGROUP2_MAGIC 0x63677270L
#define PROCS_MAX_BYTES (64 << 20) /* all pids that a machine can have */

static const char *const v1_controllers[] = { "cpu",	  "cpuacct",	"cpuset",  "memory",  "devices",
					      "freezer",  "blkio",	"pids",	   "hugetlb", "net_cls",
					      "net_prio", "perf_event", "systemd", "misc",    "rdma" };

bool cgroup_is_v2(void)
{
	struct statfs s;

	return statfs(CGROUP, &s) == 0 && (long)s.f_type == CGROUP2_MAGIC;
}

int64_t cgroup_cpu_shares(int64_t milli)
{
	return milli <= 0 ? 2 : MIN(MAX(milli * 1024 / 1000, 2), 262144);
}

int64_t cgroup_cpu_quota(int64_t milli, int64_t period_us)
{
	return milli <= 0 ? 0 : MAX(milli * period_us / 1000, 1000);
}

char *cgroup_pods_path(struct arena *a, const char *root)
{
	return arena_printf(a, "%s/kubepods", root);
}

char *cgroup_pod_path(struct arena *a, const char *root, enum qos_class q, struct sv uid)
{
	static const char *const dirs[] = { "/besteffort", "/burstable", "" };

	return arena_printf(a, "%s/kubepods%s/pod%.*s", root, dirs[q], SV_ARG(uid));
}

/* Calls fn with each hierarchy's root directory in which pods' cgroups belong. */
static void each_hierarchy(void (*fn)(const char *dir, const char *controller, void *ctx), void *ctx)
{
	if (cgroup_is_v2()) {
		fn(CGROUP, "", ctx);
		return;
	}
	for (size_t i = 0; i < ARRAY_LEN(v1_controllers); i++) {
		char dir[64];

		snprintf(dir, sizeof(dir), CGROUP "/%s", v1_controllers[i]);
		if (access(dir, F_OK) == 0)
			fn(dir, v1_controllers[i], ctx);
	}
	/* The hybrid's v2 side: nothing is limited there, but runtimes leave directories. */
	if (access(CGROUP "/unified", F_OK) == 0)
		fn(CGROUP "/unified", "unified", ctx);
}

static bool cgroup_put(const char *dir, const char *file, const char *value)
{
	_cleanup_free_ char *path = xasprintf("%s/%s", dir, file);
	_cleanup_close_ int fd = open(path, O_WRONLY | O_CLOEXEC);

	return fd >= 0 && write(fd, value, strlen(value)) == (ssize_t)strlen(value);
}

static void put_i64(const char *dir, const char *file, int64_t v)
{
	char text[24];

	snprintf(text, sizeof(text), "%" PRId64, v);
	cgroup_put(dir, file, text);
}

struct create_ctx {
	const char *path;
	const struct cgroup_limits *l;
	int made;
	bool only_pids;
};

/* A new cpuset is empty, and nothing can run in it: it inherits its parent's. */
static void inherit_cpuset(const char *dir, const char *parent)
{
	static const char *const files[] = { "cpuset.cpus", "cpuset.mems" };

	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		_cleanup_(arena_release) struct arena a = ARENA_INIT;
		struct sv own, up;

		if (file_read(&a, arena_printf(&a, "%s/%s", dir, files[i]), 4096, &own, NULL) < 0 || sv_trim(own).n ||
		    file_read(&a, arena_printf(&a, "%s/%s", parent, files[i]), 4096, &up, NULL) < 0)
			continue;
		cgroup_put(dir, files[i], arena_cstr(&a, sv_trim(up)));
	}
}

static void create_in(const char *hierarchy, const char *controller, void *ctx)
{
	struct create_ctx *c = ctx;
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct sv rest = sv_from(c->path), part;
	char *dir = arena_strdup(&a, hierarchy);
	bool v2 = !*controller;

	if (!strcmp(controller, "unified") || (c->only_pids && !v2 && strcmp(controller, "pids") != 0))
		return;
	while (sv_split(&rest, '/', &part)) {
		char *sub;

		if (!part.n)
			continue;
		sub = arena_printf(&a, "%s/%.*s", dir, SV_ARG(part));
		if (v2) {
			static const char *const on[] = { "+cpu", "+memory", "+pids", "+cpuset", "+io" };

			for (size_t i = 0; i < ARRAY_LEN(on); i++)
				cgroup_put(dir, "cgroup.subtree_control", on[i]);
		}
		if (mkdir(sub, 0755) < 0 && errno != EEXIST)
			return;
		if (!strcmp(controller, "cpuset"))
			inherit_cpuset(sub, dir);
		dir = sub;
	}
	c->made++;
	if ((v2 || !strcmp(controller, "pids")) && c->l->pids_limit > 0)
		put_i64(dir, "pids.max", c->l->pids_limit);
	if (c->only_pids)
		return;
	if (v2) {
		if (c->l->cpu_milli_request > 0) /* shares 2..262144 onto weight 1..10000 */
			put_i64(dir, "cpu.weight",
				1 + (cgroup_cpu_shares(c->l->cpu_milli_request) - 2) * 9999 / 262142);
		if (c->l->cpu_milli_limit > 0)
			cgroup_put(
			    dir, "cpu.max",
			    arena_printf(&a, "%" PRId64 " 100000", cgroup_cpu_quota(c->l->cpu_milli_limit, 100000)));
		if (c->l->memory_limit_bytes > 0)
			put_i64(dir, "memory.max", c->l->memory_limit_bytes);
	} else if (!strcmp(controller, "cpu")) {
		put_i64(dir, "cpu.shares", cgroup_cpu_shares(c->l->cpu_milli_request));
		if (c->l->cpu_milli_limit > 0)
			put_i64(dir, "cpu.cfs_quota_us", cgroup_cpu_quota(c->l->cpu_milli_limit, 100000));
	} else if (!strcmp(controller, "memory") && c->l->memory_limit_bytes > 0) {
		put_i64(dir, "memory.limit_in_bytes", c->l->memory_limit_bytes);
	}
}

int cgroup_create(const char *path, const struct cgroup_limits *l, struct err *err)
{
	struct create_ctx c = { .path = path, .l = l };

	each_hierarchy(create_in, &c);
	return c.made ? 0 : err_set(err, ERR_INTERNAL, "no cgroup hierarchy below " CGROUP " lets us make '%s'", path);
}

int cgroup_limit_pids(const char *path, int64_t limit, struct err *err)
{
	struct cgroup_limits l = { .pids_limit = limit };
	struct create_ctx c = { .path = path, .l = &l, .only_pids = true };

	each_hierarchy(create_in, &c);
	return c.made ? 0 : err_set(err, ERR_INTERNAL, "no pids controller below " CGROUP " lets us make '%s'", path);
}

static int kill_procs(int dir)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_close_ int fd = openat(dir, "cgroup.procs", O_RDONLY | O_CLOEXEC);
	struct sv procs, line;
	int n = 0;

	if (fd < 0 || beneath_read_fd(&a, fd, PROCS_MAX_BYTES, &procs, NULL) < 0)
		return 0;
	while (sv_split(&procs, '\n', &line)) {
		int64_t pid;

		if (sv_to_i64(line, &pid) && pid > 1 && pid < INT_MAX && kill((pid_t)pid, SIGKILL) == 0)
			n++;
	}
	return n;
}

/* Kills processes in dir and below, whose depth containers choose; returns how many were there. With remove the
 * directories go, too: control files cannot be deleted and need not. *ret_left: some could not. */
static int kill_tree(const char *path, bool remove, bool *ret_left)
{
	int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), n;
	enum tree_step step = TREE_FAILED;
	struct tree_walk w;
	struct tree_at at;

	if (dir < 0) {
		*ret_left |= errno != ENOENT;
		return 0;
	}
	n = kill_procs(dir);
	if (tree_walk_begin(&w, dir, false, NULL) == 0)
		while ((step = tree_walk_next(&w, &at, NULL)) > TREE_END) {
			if (step == TREE_ENTER)
				n += kill_procs(dirfd(w.levels[w.n - 1].d));
			else if (step == TREE_LEAVE && remove)
				*ret_left |= unlinkat(at.dir, at.name, AT_REMOVEDIR) < 0 && errno != ENOENT;
		}
	tree_walk_release(&w);
	if (remove)
		*ret_left |= rmdir(path) < 0 && errno != ENOENT;
	return n;
}

struct remove_ctx {
	const char *path;
	bool only_kill;
	int found, left, killed;
};

static void remove_in(const char *hierarchy, const char *controller, void *ctx)
{
	struct remove_ctx *c = ctx;
	_cleanup_free_ char *dir = xasprintf("%s%s", hierarchy, c->path);
	bool left = false;

	(void)controller;
	if (access(dir, F_OK) < 0)
		return;
	c->found++;
	c->killed += kill_tree(dir, !c->only_kill, &left);
	c->left += left;
}

int cgroup_kill_all(const char *path)
{
	struct remove_ctx c = { .path = path, .only_kill = true };

	each_hierarchy(remove_in, &c);
	return c.killed;
}

/* Killed processes leave their cgroup a moment later: a few tries. */
static int remove_tries(const char *path, int tries, struct err *err)
{
	bool found = false;

	for (int i = 0; i < tries; i++) {
		struct remove_ctx c = { .path = path };

		each_hierarchy(remove_in, &c);
		found |= c.found > 0;
		if (!c.left)
			return found;
		nanosleep(&(struct timespec){ .tv_nsec = 5 * NS_PER_MS }, NULL);
	}
	return err_set(err, ERR_INTERNAL, "cgroup '%s' cannot be removed: busy", path);
}

int cgroup_remove(const char *path, struct err *err)
{
	return remove_tries(path, 20, err) < 0 ? -1 : 0; /* then it is the caller's next sync */
}

int cgroup_remove_all(const char *path, struct err *err)
{
	return remove_tries(path, 1000, err); /* there is no next sync */
}

struct pods_ctx {
	const char *root;
	void (*fn)(struct sv uid, void *ctx);
	void *ctx;
};

static void pods_in(const char *hierarchy, const char *controller, void *ctx)
{
	static const char *const dirs[] = { "/besteffort", "/burstable", "" };
	const struct pods_ctx *c = ctx;

	(void)controller;
	for (size_t i = 0; i < ARRAY_LEN(dirs); i++) {
		_cleanup_free_ char *path = xasprintf("%s%s/kubepods%s", hierarchy, c->root, dirs[i]);
		DIR *d = opendir(path);

		if (!d)
			continue;
		for (struct dirent *e; (e = readdir(d));)
			if (e->d_type == DT_DIR && sv_starts(sv_from(e->d_name), SV("pod")))
				c->fn(sv_from(e->d_name + strlen("pod")), c->ctx);
		closedir(d);
	}
}

void cgroup_each_pod(const char *root, void (*fn)(struct sv uid, void *ctx), void *ctx)
{
	struct pods_ctx c = { .root = root, .fn = fn, .ctx = ctx };

	each_hierarchy(pods_in, &c);
}
