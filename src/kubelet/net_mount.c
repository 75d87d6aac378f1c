#include "kubelet/net_mount.h"

#include "base/file.h"
#include "base/vec.h"
#include "ev/ev.h"
#include "kubelet/fsutil.h"
#include "kubelet/kpod.h"
#include "kubelet/net_job.h"

#include <signal.h>
#include <stdlib.h>

#define SAYS_SO_NS (20 * NS_PER_SEC)	/* from then on a mount says that it takes long */
#define MOUNT_NS (120 * NS_PER_SEC)	/* mount.nfs gives up by then, too */
#define UNMOUNT_NS (10 * NS_PER_SEC)	/* a step of it */
#define ROOM_FRESH_NS (30 * NS_PER_SEC) /* when it is asked for again */
#define ROOM_KNOWN_NS (300 * NS_PER_SEC)

const struct net_machine net_machine_real = { "mount.nfs", "umount", "stat", fs_is_mountpoint };
static const char *const unmount_steps[] = { NULL, "-f", "-l" };

/* --- mounting --- */

static int mount_begin(struct net_job *j, struct kpod *p, const struct net_source *s, struct err *err)
{
	const char *argv[] = { j->n->m->mount, s->what, j->at, s->options ? "-o" : NULL, s->options, NULL };

	if (!file_is_program(argv[0]))
		return err_set(err, ERR_UNAVAILABLE,
			       "there is no %s on this node, which mounts NFS volumes: install the package nfs-common",
			       argv[0]);
	if (s->what[0] == '-') /* no option of the program's */
		return err_set(err, ERR_INVALID, "'%s' names no server", s->what);
	if (fs_mkdir_p(j->at, 0750, err) < 0)
		return -1;
	if (net_job_begin(j, JOB_MOUNT, p, argv, err) < 0)
		return -1;
	if (j->place.state == SHARE_WAITS && env_mono_ns(j->n->env) - j->place.since_ns > SAYS_SO_NS)
		return err_set(err, ERR_UNAVAILABLE,
			       "%s waits for other mounts of its namespace, or of many, whose servers do not answer",
			       s->what);
	return 1;
}

static int mount_step(struct net_mounts *n, struct kpod *p, const char *at, const struct net_source *s, struct err *err)
{
	struct net_job *j = net_job_of(n, JOB_MOUNT, at);
	bool works = net_job_at_work(j, j->kind == JOB_MOUNT ? MOUNT_NS : UNMOUNT_NS);

	if (!works && n->m->mounted(at)) {
		net_job_drop(n, j);
		return 0;
	}
	if (works && j->kind == JOB_MOUNT && env_mono_ns(n->env) - j->began_ns > SAYS_SO_NS)
		return err_set(err, ERR_UNAVAILABLE,
			       "timed out waiting for the server of %s: the mount goes on, and is given up after two "
			       "minutes",
			       s->what);
	if (works)
		return 1;
	if (j->failed) {
		(void)err_set(err, ERR_UNAVAILABLE, "%s", j->failed);
		free(TAKE(j->failed));
		return -1;
	}
	return mount_begin(j, p, s, err);
}

int net_mount(struct net_mounts *n, struct kpod *p, const char *at, const struct net_source *s, struct err *err)
{
	int rc;

	pthread_mutex_lock(&n->lock);
	rc = mount_step(n, p, at, s, err);
	net_jobs_unlock(n);
	return rc;
}

/* --- unmounting --- */

static int unmount_begin(struct net_job *j, int step, struct kpod *p, struct err *err)
{
	/* No helper that asks the server, no look at the path. */
	const char *more = unmount_steps[step];
	const char *argv[] = { j->n->m->umount, "-i", "-c", more ? more : j->at, more ? j->at : NULL, NULL };
	int rc = net_job_begin(j, JOB_UNMOUNT, p, argv, err);

	if (j->child)
		j->step = step;
	return rc;
}

static int unmount_step(struct net_mounts *n, struct kpod *p, const char *at, struct err *err)
{
	struct net_job *j = strmap_get(net_job_map(n, JOB_MOUNT), sv_from(at));
	int step;

	if (j && j->child && j->kind == JOB_MOUNT && !j->killed_ns) {
		j->killed_ns = env_mono_ns(n->env); /* it must not come after us */
		(void)child_kill(j->child, SIGKILL);
	}
	if (j && net_job_at_work(j, UNMOUNT_NS))
		return 1;
	if (!n->m->mounted(at)) {
		if (j)
			net_job_drop(n, j);
		return 0;
	}
	j = net_job_of(n, JOB_MOUNT, at);
	step = j->kind == JOB_UNMOUNT ? j->step + 1 : 0;
	if (step < (int)ARRAY_LEN(unmount_steps))
		return unmount_begin(j, step, p, err);
	j->step = -1; /* from the beginning, when asked again */
	return err_set(err, ERR_UNAVAILABLE, "%s", j->failed ? j->failed : "it is still mounted");
}

int net_unmount(struct net_mounts *n, struct kpod *p, const char *at, struct err *err)
{
	int rc;

	pthread_mutex_lock(&n->lock);
	rc = unmount_step(n, p, at, err);
	net_jobs_unlock(n);
	return rc;
}

static bool job_below(const struct net_job *j, const char *dir)
{
	size_t n = strlen(dir);

	return strncmp(j->at, dir, n) == 0 && j->at[n] == '/';
}

/* True: it is still at work on a mount. */
static bool leave_one(struct net_mounts *n, struct net_job *j)
{
	if (j->child && j->kind != JOB_UNMOUNT && !j->killed_ns) {
		j->killed_ns = env_mono_ns(n->env);
		(void)child_kill(j->child, SIGKILL);
	}
	if (net_job_at_work(j, UNMOUNT_NS))
		return j->kind != JOB_ROOM;
	if (!n->m->mounted(j->at))
		net_job_drop(n, j);
	return false;
}

int net_leave(struct net_mounts *n, const char *dir)
{
	VEC(struct net_job *) below = VEC_INIT;
	int rc = 0;

	pthread_mutex_lock(&n->lock);
	for (size_t k = 0; k < ARRAY_LEN(n->jobs); k++)
		STRMAP_EACH(&n->jobs[k], e)
			if (job_below(e->value, dir))
				vec_push(&below, e->value);
	for (size_t i = 0; i < below.n; i++)
		rc |= leave_one(n, below.p[i]);
	net_jobs_unlock(n);
	vec_release(&below);
	return rc;
}

/* --- how full --- */

bool net_room(struct net_mounts *n, const char *at, struct net_room *ret)
{
	const char *argv[] = { n->m->stat, "-f", "-c", "%S %b %f %a %c %d", at, NULL };
	int64_t now = env_mono_ns(n->env);
	struct net_job *j;
	bool known;

	pthread_mutex_lock(&n->lock);
	j = net_job_of(n, JOB_ROOM, at);
	if (!net_job_at_work(j, UNMOUNT_NS) && (!j->known_ns || now - j->known_ns > ROOM_FRESH_NS))
		(void)net_job_begin(j, JOB_ROOM, NULL, argv, NULL);
	known = j->known_ns && now - j->known_ns <= ROOM_KNOWN_NS;
	if (known)
		*ret = j->room;
	else if (!j->child && !n->m->mounted(at))
		net_job_drop(n, j);
	net_jobs_unlock(n);
	return known;
}

/* --- life --- */

struct net_mounts *net_mounts_new(struct env *e, const struct net_machine *m)
{
	struct net_mounts *n = xcalloc(1, sizeof(*n));

	n->env = e;
	n->m = m ? m : &net_machine_real;
	n->refs = 1;
	net_jobs_init(n);
	return n;
}

void net_mounts_counted(struct net_mounts *n, struct metric_set *counted)
{
	n->counted = counted;
}

struct net_mounts *net_mounts_free(struct net_mounts *n)
{
	if (!n)
		return NULL;
	pthread_mutex_lock(&n->lock);
	n->stopping = true;
	n->counted = NULL; /* its owner's, who goes */
	for (size_t k = 0; k < ARRAY_LEN(n->jobs); k++)
		STRMAP_EACH(&n->jobs[k], e) {
			struct net_job *j = e->value;

			if (j->child)
				(void)net_job_leave(j);
			if (!j->child && j->pod) /* it stood in line */
				vec_push(&n->told, ((struct net_told){ TAKE(j->pod), false }));
		}
	net_jobs_unref_unlock(n);
	return NULL;
}
