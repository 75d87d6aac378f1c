#include "kubelet/containerd.h"

#include "base/log.h"
#include "base/retry.h"
#include "ev/ev.h"
#include "kubelet/beneath.h"
#include "kubelet/cni.h"
#include "kubelet/fsutil.h"
#include "kubelet/image.h"
#include "kubelet/lost_execs.h"
#include "kubelet/runtime.h"
#include "kubelet/shims.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define SYS "containerd"
#define START_TIMEOUT_NS (60 * NS_PER_SEC)
#define SAY_AFTER_NS (4 * NS_PER_SEC)	  /* it starts within a fraction of a second */
#define REVIVE_AFTER_NS (20 * NS_PER_SEC) /* one that is there and does not answer */
#define LOG_KEEP_BYTES (10 << 20)

static const struct retry_policy containerd_retry = { .first_ns = 2 * NS_PER_SEC, .max_ns = 30 * NS_PER_SEC };

struct containerd {
	struct env *env;
	char *data_dir, *binary, *config, *socket, *endpoint, *pid_file, *log_file, *log_dir;
	pthread_mutex_t lock;
	pthread_cond_t changed; /* child went away, or a restart ended */
	struct child *child;	/* NULL while down */
	struct env_timer *restart;
	bool restarting;       /* its time has come while containerd_free() was called */
	unsigned quick_deaths; /* in a row: slows restarts down */
	int64_t started_ns;
	bool stopping;
};

/* The program's start and stop wait for another process here; nothing of this runs in tasks of the simulator. */
static void containerd_wait_ms(long ms)
{
	struct timespec t = { .tv_nsec = ms * NS_PER_MS };

	nanosleep(&t, NULL);
}

void containerd_run_dir(const char *data_dir, char out[40])
{
	snprintf(out, 40, "/run/caravel-%08x", (unsigned)(sv_hash(sv_from(data_dir)) & 0xffffffff));
}

/* May oom_score_adj be lowered (CAP_SYS_RESOURCE)? */
static bool containerd_can_lower_oom(void)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	unsigned long long caps;
	struct sv status;
	const char *at;

	if (file_read(&a, "/proc/self/status", 1 << 16, &status, NULL) < 0)
		return false;
	at = strstr(status.p, "CapEff:");
	if (!at || sscanf(at, "CapEff: %llx", &caps) != 1)
		return false;
	return caps >> 24 & 1; /* CAP_SYS_RESOURCE */
}

void containerd_config(struct buf *b, const struct containerd_conf *c)
{
	buf_printf(b,
		   "version = 2\n"
		   "root = \"%s\"\n"
		   "state = \"%s\"\n"
		   "disabled_plugins = [\"io.containerd.snapshotter.v1.aufs\", \"io.containerd.snapshotter.v1.btrfs\", "
		   "\"io.containerd.snapshotter.v1.devmapper\", \"io.containerd.snapshotter.v1.zfs\", "
		   "\"io.containerd.tracing.processor.v1.otlp\", \"io.containerd.internal.v1.tracing\"]\n\n"
		   "[grpc]\n"
		   "  address = \"%s\"\n\n"
		   "[debug]\n"
		   "  level = \"warn\"\n\n"
		   "[plugins.\"io.containerd.internal.v1.opt\"]\n"
		   "  path = \"%s\"\n\n"
		   "[plugins.\"io.containerd.grpc.v1.cri\"]\n"
		   "  sandbox_image = \"%s\"\n"
		   "  stream_server_address = \"127.0.0.1\"\n"
		   "  stream_server_port = \"0\"\n"
		   "  netns_mounts_under_state_dir = true\n"
		   "  tolerate_missing_hugetlb_controller = true\n"
		   "  max_container_log_line_size = 262144\n"
		   "  restrict_oom_score_adj = %s\n\n"
		   "[plugins.\"io.containerd.grpc.v1.cri\".cni]\n"
		   "  bin_dir = \"%s\"\n"
		   "  conf_dir = \"%s\"\n\n"
		   "[plugins.\"io.containerd.grpc.v1.cri\".containerd]\n"
		   "  snapshotter = \"%s\"\n"
		   "  default_runtime_name = \"runc\"\n\n"
		   "[plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.runc]\n"
		   "  runtime_type = \"io.containerd.runc.v2\"\n\n"
		   "[plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.runc.options]\n"
		   "  SystemdCgroup = false\n"
		   "  Root = \"%s\"\n",
		   c->root, c->state, c->socket, c->opt_dir, c->sandbox_image,
		   c->restrict_oom_score_adj ? "true" : "false", c->cni_bin_dir, c->cni_conf_dir,
		   c->overlayfs ? "overlayfs" : "native", c->runc_root);
	if (c->registry_config_dir)
		buf_printf(b,
			   "\n[plugins.\"io.containerd.grpc.v1.cri\".registry]\n"
			   "  config_path = \"%s\"\n",
			   c->registry_config_dir);
}

/* Can an overlay be mounted with its layers below dir? Not when dir is itself on an overlay (in a container). */
static bool overlay_works(const char *dir)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	const char *base = arena_printf(&a, "%s/overlay-check", dir), *merged = arena_printf(&a, "%s/m", base);
	static const char *const subs[] = { "l", "u", "w", "m" };
	bool ok;

	for (size_t i = 0; i < ARRAY_LEN(subs); i++)
		if (fs_mkdir_p(arena_printf(&a, "%s/%s", base, subs[i]), 0700, NULL) < 0)
			return false;
	ok = mount("overlay", merged, "overlay", 0,
		   arena_printf(&a, "lowerdir=%s/l,upperdir=%s/u,workdir=%s/w", base, base, base)) == 0;
	if (ok)
		umount2(merged, MNT_DETACH);
	tree_remove(base, NULL);
	return ok;
}

/* --- the process --- */

static bool pid_is_ours(int pid, const char *config)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct sv cmd;

	if (pid <= 1 || file_read(&a, arena_printf(&a, "/proc/%d/cmdline", pid), 1 << 16, &cmd, NULL) < 0)
		return false;
	return sv_find_sv(cmd, sv_from(config)) >= 0 && sv_find_sv(cmd, SV("containerd")) >= 0;
}

/* How to end the one at socket. Until it serves, it takes back up the shims that it finds, one after the other, and
 * asked to end then, it gives them up and has them deleted: containers that run would be killed. Later it lets go of
 * them in peace; and without a word they run on in any case. */
static int containerd_end_signal(const char *socket)
{
	return shims_call(socket) == 0 ? SIGTERM : SIGKILL;
}

/* 1: one was there and is gone; 0: there is none; -1: one does not end. */
static int containerd_stop_one(const char *data_dir, struct err *err)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	const char *config = arena_printf(&a, "%s/containerd/config.toml", data_dir);
	const char *pid_file = arena_printf(&a, "%s/containerd/pid", data_dir);
	struct sv text;
	int64_t pid;
	char run[40];

	/* The file is not there when whoever started it was killed right then, or all of data_dir was deleted. */
	if (file_read(&a, pid_file, 64, &text, NULL) < 0 || !sv_to_i64(sv_trim(text), &pid) || pid > INT_MAX ||
	    !pid_is_ours((int)pid, config))
		pid = shims_find_daemon(config);
	if (pid == 0)
		return 0;
	containerd_run_dir(data_dir, run);
	kill((pid_t)pid, containerd_end_signal(arena_printf(&a, "%s/containerd.sock", run)));
	for (int i = 0; i < 1000 && pid_is_ours((int)pid, config); i++) {
		if (i == 800)
			kill((pid_t)pid, SIGKILL);
		containerd_wait_ms(10);
	}
	if (pid_is_ours((int)pid, config))
		return err_set(err, ERR_INTERNAL, "containerd (pid %d) of '%s' does not end", (int)pid, data_dir);
	unlink(pid_file);
	return 1;
}

bool containerd_stop_stale(const char *data_dir, struct err *err)
{
	bool any = false;
	int rc;

	/* Of several, which an earlier version could leave, another has the root and the socket once the first is gone.
	 */
	while ((rc = containerd_stop_one(data_dir, err)) > 0)
		any = true;
	return any || rc < 0;
}

static void exited(int status, void *ctx);

/* What the one before left: its successor removes the bundles, and then nobody knows whose the sockets were. */
static void drop_dead_sockets(const struct containerd *c)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	char run[40];

	containerd_run_dir(c->data_dir, run);
	(void)shims_drop_dead(c->socket, arena_printf(&a, "%s/state/" SHIM_BUNDLES, run));
	(void)shims_drop_dead(c->socket, arena_printf(&a, "%s/containerd/root/" SHIM_BUNDLES, c->data_dir));
}

static void end_lost_execs(const struct containerd *c)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	char run[40];
	int n;

	containerd_run_dir(c->data_dir, run);
	n = lost_execs_end(c->socket, arena_printf(&a, "%s/state/" SHIM_BUNDLES, run));
	if (n)
		log_info(SYS, "what was being run in containers when it ended was killed", "count", "%d", n);
}

static int spawn(struct containerd *c, struct err *err) /* under lock */
{
	const char *argv[] = { c->binary, "--config", c->config, NULL };
	_cleanup_(err_release) struct err e = ERR_INIT;
	_cleanup_close_ int log = -1;
	struct stat st;
	char pid[16];

	BUG_ON(c->child);

	if (c->log_dir) {
		int n = beneath_clear_logs(c->log_dir);

		if (n)
			log_warn(SYS, "what would have hung it stood in the place of containers' logs, and was removed",
				 "count", "%d below %s", n, c->log_dir);
	}
	drop_dead_sockets(c);
	end_lost_execs(c);
	if (stat(c->log_file, &st) == 0 && st.st_size > LOG_KEEP_BYTES) {
		_cleanup_free_ char *old = xasprintf("%s.1", c->log_file);

		rename(c->log_file, old);
	}
	log = open(c->log_file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
	if (log < 0)
		return err_set_errno(err, errno, "opening '%s'", c->log_file);
	c->child = child_start(c->env,
			       &(struct child_opts){ .argv = argv,
						     .stdin_fd = -1,
						     .stdout_fd = log,
						     .stderr_fd = log,
						     .new_session = true,
						     .class = ENV_NODE },
			       exited, c, err);
	if (!c->child)
		return err_wrap(err, "starting '%s' (package containerd)", c->binary);
	c->started_ns = env_mono_ns(c->env);
	snprintf(pid, sizeof(pid), "%d\n", child_pid(c->child));
	/* On a full disk, say. It runs, and is found without (containerd_stop_stale()). */
	if (fs_write(c->pid_file, sv_from(pid), 0644, &e) < 0) {
		log_warn(SYS, "its pid is not written down", "error", "%s", err_msg(&e));
		unlink(c->pid_file);
	}
	return 0;
}

static void restart(void *ctx)
{
	struct containerd *c = ctx;
	_cleanup_(err_release) struct err err = ERR_INIT;

	pthread_mutex_lock(&c->lock);
	c->restart = env_timer_cancel(c->env, c->restart);
	c->restarting = false;
	if (!c->stopping && spawn(c, &err) < 0) {
		log_error(SYS, "cannot be restarted", "error", "%s", err_msg(&err));
		c->restart = env_after(c->env, ENV_NODE, 5 * NS_PER_SEC, restart, c);
	}
	pthread_cond_broadcast(&c->changed);
	pthread_mutex_unlock(&c->lock);
}

static void exited(int status, void *ctx)
{
	struct containerd *c = ctx;
	int64_t delay = 0;

	pthread_mutex_lock(&c->lock);
	c->child = child_free(c->child);
	if (!c->stopping) {
		c->quick_deaths = env_mono_ns(c->env) - c->started_ns < 10 * NS_PER_SEC ? c->quick_deaths + 1 : 0;
		delay = retry_pause_ns(&containerd_retry, c->quick_deaths);
		log_warn(SYS, "ended, will be restarted", "status", "%d, see %s", status, c->log_file);
		c->restart = env_after(c->env, ENV_NODE, delay, restart, c);
	}
	pthread_cond_broadcast(&c->changed);
	pthread_mutex_unlock(&c->lock);
}

/* --- start --- */

static int containerd_prepare(struct containerd *c, const struct containerd_opts *o, struct err *err)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	char run[40];
	struct containerd_conf conf;

	containerd_run_dir(o->data_dir, run);
	conf = (struct containerd_conf){
		.root = arena_printf(&a, "%s/containerd/root", o->data_dir),
		.state = arena_printf(&a, "%s/state", run),
		.runc_root = arena_printf(&a, "%s/runc", run),
		.opt_dir = arena_printf(&a, "%s/containerd/opt", o->data_dir),
		.socket = c->socket,
		.sandbox_image = o->sandbox_image ? o->sandbox_image : PAUSE_IMAGE,
		.cni_conf_dir = o->cni_conf_dir ? o->cni_conf_dir : arena_printf(&a, "%s/cni/net.d", o->data_dir),
		.cni_bin_dir = o->cni_bin_dir ? o->cni_bin_dir : cni_find_plugins(),
		.registry_config_dir = o->registry_config_dir,
		.restrict_oom_score_adj = !containerd_can_lower_oom(),
	};
	if (!conf.cni_bin_dir)
		return err_set(err, ERR_NOT_FOUND,
			       "no CNI plugins found: install the package containernetworking-plugins");
	if (fs_mkdir_p(conf.root, 0711, err) < 0 || fs_mkdir_p(conf.state, 0711, err) < 0 ||
	    fs_mkdir_p(conf.cni_conf_dir, 0755, err) < 0)
		return -1;
	conf.overlayfs = overlay_works(conf.root);
	containerd_config(&b, &conf);
	return fs_write(c->config, buf_sv(&b), 0644, err);
}

/* Until the CRI plugin answers; containerd starts within a fraction of a second or says why in its log. */
static int wait_ready(struct containerd *c, const struct containerd_opts *o, struct runtime **ret, struct err *err)
{
	int64_t began = env_mono_ns(c->env), deadline = began + START_TIMEOUT_NS, revive = began + REVIVE_AFTER_NS;
	bool said = false;
	struct runtime *rt = runtime_cri_new(c->env, c->endpoint, err);

	if (!rt)
		return -1;
	for (;;) {
		_cleanup_(arena_release) struct arena a = ARENA_INIT;
		_cleanup_(err_release) struct err e = ERR_INIT;
		struct rt_version v;
		bool gave_up;
		int64_t now;

		if (access(c->socket, F_OK) == 0 && rt->ops->version(rt, &a, &v, &e) == 0) {
			*ret = rt;
			return 0;
		}
		pthread_mutex_lock(&c->lock);
		gave_up = c->quick_deaths >= 3;
		pthread_mutex_unlock(&c->lock);
		now = env_mono_ns(c->env);
		if (!said && now - began >= SAY_AFTER_NS) {
			said = true;
			log_warn(SYS, "does not answer yet, pods wait for it", "pid", "%d, see %s", containerd_pid(c),
				 c->log_file);
			if (o->waits)
				o->waits(e.reason ? err_msg(&e) : "containerd is starting", o->waits_ctx);
		}
		if (now >= revive) {
			containerd_revive(c);
			revive = now + REVIVE_AFTER_NS;
		}
		if (o->given_up && o->given_up()) {
			rt->ops->free(rt);
			return err_set(err, ERR_UNAVAILABLE, "ended while it waited for containerd");
		}
		if (gave_up || now > deadline) {
			rt->ops->free(rt);
			return err_set(err, ERR_UNAVAILABLE, "containerd does not start; see '%s'", c->log_file);
		}
		containerd_wait_ms(2);
	}
}

static int ensure_pause(struct containerd *c, struct runtime *rt, struct err *err)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct rt_image *img;
	struct sv tar;

	if (rt->ops->image_status(rt, &a, SV(PAUSE_IMAGE), &img, err) < 0)
		return -1;
	if (img)
		return 0;
	if (image_build_pause(&a, &tar, err) < 0)
		return -1;
	return image_import_bytes(c->socket, arena_printf(&a, "%s/containerd/tmp", c->data_dir), tar, err);
}

/* A shim of a sandbox in which nothing runs was being started when the daemon before this one was stopped: the
 * daemon does not know it, or knows the sandbox, but not that it has a shim. */
static void end_lost_shims(struct containerd *c, struct runtime *rt)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct rt_container *containers;
	struct rt_sandbox *s;
	size_t n, n_containers, keep = 0;
	int killed = 0, more;

	if (rt->ops->list_sandboxes(rt, &a, SV(""), &s, &n, NULL) < 0 ||
	    rt->ops->list_containers(rt, &a, SV(""), &containers, &n_containers, NULL) < 0)
		return;
	for (size_t i = 0; i < n; i++) {
		bool used = s[i].ready;

		for (size_t j = 0; j < n_containers; j++)
			used |= rt_may_run(containers[j].state) && sv_eq(containers[j].sandbox_id, s[i].id);
		if (used)
			s[keep++] = s[i];
	}
	while ((more = shims_kill(c->socket, s, keep, true)) > 0) { /* one may be just starting another */
		killed += more;
		containerd_wait_ms(10);
	}
	if (killed)
		log_info(SYS, "ended shims of sandboxes in which nothing runs", "count", "%d", killed);
}

struct containerd *containerd_start(const struct containerd_opts *o, struct err *err)
{
	struct containerd *c = xcalloc(1, sizeof(*c));
	struct runtime *rt = NULL;
	struct err e = ERR_INIT;
	char run[40];
	int rc;

	containerd_run_dir(o->data_dir, run);
	c->env = o->env;
	c->data_dir = xstrdup(o->data_dir);
	c->binary = xstrdup(o->binary ? o->binary : "containerd");
	c->config = xasprintf("%s/containerd/config.toml", o->data_dir);
	c->pid_file = xasprintf("%s/containerd/pid", o->data_dir);
	c->log_file = xasprintf("%s/containerd/log", o->data_dir);
	c->log_dir = o->log_dir ? xstrdup(o->log_dir) : NULL;
	c->socket = xasprintf("%s/containerd.sock", run);
	c->endpoint = xasprintf("unix://%s", c->socket);
	pthread_mutex_init(&c->lock, NULL);
	pthread_cond_init(&c->changed, NULL);

	if (containerd_prepare(c, o, err) < 0)
		goto fail;
	containerd_stop_stale(o->data_dir, &e);
	if (e.reason) {
		err_move(err, &e);
		goto fail;
	}
	pthread_mutex_lock(&c->lock);
	rc = spawn(c, err);
	pthread_mutex_unlock(&c->lock);
	if (rc < 0 || wait_ready(c, o, &rt, err) < 0)
		goto fail;
	end_lost_shims(c, rt);
	rc = o->sandbox_image ? 0 : ensure_pause(c, rt, err);
	rt->ops->free(rt);
	if (rc == 0)
		return c;
fail:
	containerd_free(c);
	return NULL;
}

const char *containerd_socket(const struct containerd *c)
{
	return c->socket;
}

const char *containerd_endpoint(const struct containerd *c)
{
	return c->endpoint;
}

void containerd_revive(struct containerd *c)
{
	pthread_mutex_lock(&c->lock);
	if (c->child && !c->stopping) {
		log_warn(SYS, "does not answer, is ended and started anew", "pid", "%d, see %s", child_pid(c->child),
			 c->log_file);
		child_kill(c->child, SIGKILL);
	}
	pthread_mutex_unlock(&c->lock);
}

int containerd_pid(const struct containerd *c)
{
	struct containerd *m = (struct containerd *)c;
	int pid;

	pthread_mutex_lock(&m->lock);
	pid = c->child ? child_pid(c->child) : 0;
	pthread_mutex_unlock(&m->lock);
	return pid;
}

struct containerd *containerd_free(struct containerd *c)
{
	if (!c)
		return NULL;
	pthread_mutex_lock(&c->lock);
	c->stopping = true;
	if (c->restart) {
		c->restarting = !env_timer_stop(c->env, c->restart);
		c->restart = NULL;
	}
	while (c->restarting) /* it waits for the lock, then sees stopping */
		pthread_cond_wait(&c->changed, &c->lock);
	if (c->child)
		child_kill(c->child, containerd_end_signal(c->socket));
	for (int i = 0; c->child; i++) {
		struct timespec t;

		clock_gettime(CLOCK_REALTIME, &t);
		t.tv_sec += 10;
		if (pthread_cond_timedwait(&c->changed, &c->lock, &t) == ETIMEDOUT && c->child)
			child_kill(c->child, SIGKILL);
	}
	pthread_mutex_unlock(&c->lock);
	if (c->started_ns) /* else another one may run */
		end_lost_execs(c);
	unlink(c->pid_file);
	pthread_cond_destroy(&c->changed);
	pthread_mutex_destroy(&c->lock);
	free(c->data_dir);
	free(c->binary);
	free(c->config);
	free(c->socket);
	free(c->endpoint);
	free(c->pid_file);
	free(c->log_file);
	free(c->log_dir);
	free(c);
	return NULL;
}
