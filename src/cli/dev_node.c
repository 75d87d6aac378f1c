#include "cli/dev_node.h"

#include "base/buf.h"
#include "base/file.h"
#include "base/sysctl.h"
#include "cli/dev.h"
#include "kubelet/claim.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

const char *dev_node_dir(struct arena *a, const char *data_dir, int node)
{
	return arena_printf(a, "%s/dev-%d", data_dir, node);
}

const char *const *dev_node_dirs(struct arena *a, const char *data_dir)
{
	const char **list = ARENA_ARRAY(a, const char *, DEV_NODES_MAX + 1);
	size_t n = 0;

	for (int i = 1; i <= DEV_NODES_MAX; i++)
		if (access(dev_node_dir(a, data_dir, i), F_OK) == 0)
			list[n++] = dev_node_dir(a, data_dir, i);
	list[n] = NULL;
	return n ? list : NULL;
}

int64_t dev_now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * NS_PER_SEC + t.tv_nsec;
}

/* --- processes --- */

/* In the child: into the namespace, with a sysfs that shows it. Nothing here may need a lock. */
static int dev_enter(int ns, const char *sys)
{
	if (setns(ns, CLONE_NEWNET) < 0)
		return -1;
	if (!sys)
		return 0;
	(void)umount2(sys, MNT_DETACH); /* of an earlier namespace of that name */
	return mount("sysfs", sys, "sysfs", MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_RDONLY, NULL);
}

pid_t dev_spawn(const struct dev_net *net, int node, const char *const *argv, const char *sys, const char *log,
		struct err *err)
{
	char text[16];
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	const char *path = dev_net_ns_path(net, &a, node);
	_cleanup_close_ int ns = open(path, O_RDONLY | O_CLOEXEC);
	_cleanup_close_ int out = log ? open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640) : -1;
	pid_t us = getpid(), pid;
	sigset_t none;

	if (log && out < 0)
		return err_set_errno(err, errno, "opening '%s'", log);
	pid = fork();
	if (pid < 0)
		return err_set_errno(err, errno, "starting a process");
	if (pid > 0)
		return pid;
	/* A namespace that is gone, or was never whole, of a node that is only cleaned up after: then from here. */
	if (ns >= 0 && dev_enter(ns, sys) < 0 && sys)
		_exit(126);
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (getppid() != us)
		_exit(126);
	if (sys) { /* by itself: whoever comes after a parent that was killed right now has to know */
		const char *file = arena_printf(&a, "%s/../pid", sys);
		int fd = open(file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
		int n = snprintf(text, sizeof(text), "%d\n", (int)getpid());

		if (fd < 0 || write(fd, text, (size_t)n) != n)
			_exit(126);
		close(fd);
	}
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	if (setsid() < 0) /* Ctrl-C is for us, who tell them */
		_exit(126);
	/* What a cleanup cannot do is said on our own standard error. */
	if (out >= 0 && (dup2(out, 1) < 0 || (sys && dup2(out, 2) < 0)))
		_exit(126);
	if (sys)
		setenv("CARAVEL_SYSFS", sys, 1);
	execv("/proc/self/exe", (char **)(uintptr_t)argv);
	_exit(127);
}

int dev_reap(pid_t *pid, int n, int seconds)
{
	int64_t deadline = dev_now_ns() + seconds * NS_PER_SEC;
	const struct timespec look = { .tv_nsec = 5 * NS_PER_MS };
	int bad = 0, left;

	do {
		left = 0;
		for (int i = 0; i <= n; i++) {
			int status = 0;
			pid_t r = pid[i] > 0 ? waitpid(pid[i], &status, WNOHANG) : -1;

			if (pid[i] > 0 && r == 0) {
				left++;
				if (dev_now_ns() > deadline)
					kill(pid[i], SIGKILL);
			} else if (pid[i] > 0) {
				bad += r > 0 && status != 0;
				pid[i] = 0;
			}
		}
		if (left)
			clock_nanosleep(CLOCK_MONOTONIC, 0, &look, NULL);
	} while (left);
	return bad;
}

/* --- taking away --- */

/* The process of a node whose parent was killed, also one that has not become caravel server yet; 0: there is none. */
static pid_t dev_orphan(const char *data_dir, const char *dir)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct sv text, words;
	int64_t pid;

	if (file_read(&a, arena_printf(&a, "%s/pid", dir), 64, &text, NULL) < 0 || !sv_to_i64(sv_trim(text), &pid) ||
	    pid < 2 || pid > INT_MAX ||
	    file_read(&a, arena_printf(&a, "/proc/%d/cmdline", (int)pid), 1 << 16, &words, NULL) < 0)
		return 0;
	return sv_find_sv(words, sv_from(data_dir)) >= 0 ? (pid_t)pid : 0;
}

/* One that is just starting has no claim yet by which its cleanup would find it. */
static void dev_end_orphans(const char *data_dir)
{
	const struct timespec look = { .tv_nsec = 10 * NS_PER_MS };
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	int64_t deadline = dev_now_ns() + DEV_STOP_S * NS_PER_SEC;

	for (int i = 1; i <= DEV_NODES_MAX; i++) {
		const char *dir = dev_node_dir(&a, data_dir, i);
		pid_t pid = access(dir, F_OK) == 0 ? dev_orphan(data_dir, dir) : 0;

		if (pid)
			kill(pid, SIGTERM);
		while (pid && dev_orphan(data_dir, dir) == pid) {
			if (dev_now_ns() > deadline)
				kill(pid, SIGKILL);
			clock_nanosleep(CLOCK_MONOTONIC, 0, &look, NULL);
		}
	}
}

int dev_cleanup(const char *data_dir, const char *settings, bool images, void (*say)(const char *what, void *ctx),
		void *ctx, struct err *err)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	pid_t pid[DEV_NODES_MAX + 1] = { 0 };
	struct dev_net net;
	struct err first = ERR_INIT;
	int bad, rc;

	dev_net_init(&net, data_dir);
	dev_end_orphans(data_dir);
	/* In its own namespace each, for there the network's plugins take back what they did. */
	for (int i = 1; i <= DEV_NODES_MAX; i++) {
		const char *dir = dev_node_dir(&a, data_dir, i);
		const char *argv[] = { "caravel", "cleanup", "--stop", "--data-dir", dir, images ? "--images" : NULL,
				       NULL };

		if (access(dir, F_OK) == 0 || access(dev_net_ns_path(&net, &a, i), F_OK) == 0)
			pid[i] = dev_spawn(&net, i, argv, NULL, "/dev/null", first.reason ? NULL : &first);
	}
	bad = dev_reap(pid, DEV_NODES_MAX, 90);
	if (bad && !first.reason)
		err_set(&first, ERR_INTERNAL,
			"%d of the nodes could not be cleaned up after: `caravel cleanup --data-dir %s/dev-N` says why",
			bad, data_dir);
	for (int i = 1; i <= DEV_NODES_MAX; i++)
		(void)umount2(arena_printf(&a, "%s/sys", dev_node_dir(&a, data_dir, i)), MNT_DETACH);
	rc = dev_net_down(&net, first.reason ? NULL : &first);
	if (rc > 0 && say)
		say(arena_printf(&a, "removed the network %s and its namespaces", net.name), ctx);
	sysctls_give_back(settings, CLAIM_ALL);
	return first.reason ? err_move(err, &first) : 0;
}
