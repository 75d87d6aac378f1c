/* Keeps each running container's log at 10 MiB and five files, looking every ten seconds. The current file is
 * renamed to <n>.log.<stamp>, then the runtime opens a new one; older ones beyond four are deleted. */
#include "kubelet/logs_rotate.h"

#include "kubelet/beneath.h"
#include "kubelet/kpod.h"
#include "kubelet/ktask.h"
#include "kubelet/kubelet-internal.h"
#include "kubelet/pod_paths.h"
#include "kubelet/pod_table.h"
#include "kubelet/runtime_down.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define ROTATE_PERIOD_NS (10 * NS_PER_SEC)
#define ROTATE_BYTES (10 << 20)
#define ROTATE_KEEP 4

static int rotate_by_name(const void *x, const void *y)
{
	return strcmp(*(char *const *)x, *(char *const *)y);
}

static void drop_old(struct arena *a, int dir, const char *prefix)
{
	VEC(char *) old = VEC_INIT;
	int copy = beneath_open(dir, ".", O_RDONLY | O_DIRECTORY);
	DIR *d = copy >= 0 ? fdopendir(copy) : NULL;

	if (!d) {
		if (copy >= 0)
			close(copy);
		return;
	}
	for (struct dirent *e; (e = readdir(d));)
		if (!strncmp(e->d_name, prefix, strlen(prefix)))
			vec_push(&old, arena_strdup(a, e->d_name));
	closedir(d);
	if (old.n)
		qsort(old.p, old.n, sizeof(*old.p), rotate_by_name);
	for (size_t i = 0; i + ROTATE_KEEP < old.n; i++)
		unlinkat(dir, old.p[i], 0);
	vec_release(&old);
}

static void rotate_one(struct kpod *p, struct arena *a, const struct val *pod, const struct val *status)
{
	struct sv name = val_get_str(status, F_name), id = val_get_str(status, F_containerID);
	ssize_t at = sv_find_sv(id, SV("://"));
	const char *log, *to;
	_cleanup_close_ int dir = -1, fd = -1;
	char stamp[32];
	struct stat st;
	time_t t = (time_t)(env_now_ns(p->k->env) / NS_PER_SEC);
	struct tm tm;

	if (!val_get(status, F_state, F_running) || at < 0)
		return;
	/* What is done here is done in this directory, whatever its name leads to meanwhile. */
	dir = beneath_dir(p->k->log_dir, arena_printf(a, "%s/%.*s", pod_log_dir(p->k, a, pod), SV_ARG(name)), NULL);
	log = arena_printf(a, "%" PRId64 ".log", val_get_int(status, 0, F_restartCount));
	if (dir < 0 || (fd = beneath_regular(dir, log, &st, NULL)) < 0 || st.st_size < ROTATE_BYTES)
		return;
	gmtime_r(&t, &tm);
	strftime(stamp, sizeof(stamp), "%Y%m%d-%H%M%S", &tm);
	to = arena_printf(a, "%s.%s", log, stamp);
	if (renameat(dir, log, dir, to) < 0)
		return;
	beneath_clear_log_dir(dir); /* the runtime would wait in what came there right now */
	if (p->k->rt->ops->reopen_log(p->k->rt, sv_sub(id, (size_t)at + 3, id.n), NULL) < 0) {
		beneath_clear_log_dir(dir);
		renameat(dir, to, dir, log); /* it still writes there */
	}
	drop_old(a, dir, arena_printf(a, "%s.", log));
}

static void rotate(void *ctx)
{
	struct kubelet *k = ctx;
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct kpod **pods;
	size_t n;

	if (!kubelet_fired(k, &k->rotate_timer))
		return;
	n = 0;
	pods = runtime_down(k) ? NULL : kubelet_pods(k, &a, &n);
	for (size_t i = 0; i < n; i++) {
		const struct val *pod = obj_root(kpod_obj(pods[i], &a));

		VAL_EACH(val_get(pod, F_status, F_containerStatuses), s)
			rotate_one(pods[i], &a, pod, s);
		VAL_EACH(val_get(pod, F_status, F_initContainerStatuses), s)
			rotate_one(pods[i], &a, pod, s);
		kpod_unref(pods[i]);
	}
	kubelet_rearm(k, &k->rotate_timer, ENV_SLOW, ROTATE_PERIOD_NS, rotate);
	kubelet_fired_end(k);
}

void logs_rotate_start(struct kubelet *k)
{
	kubelet_rearm(k, &k->rotate_timer, ENV_SLOW, ROTATE_PERIOD_NS, rotate);
}
