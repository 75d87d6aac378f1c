#include "kubelet/net_mount.h"

#include "base/buf.h"
#include "base/file.h"
#include "base/strmap.h"
#include "base/vec.h"
#include "ev/ev.h"
#include "kubelet/fsutil.h"
#include "kubelet/kpod.h"
#include "kubelet/shares.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define SAYS_SO_NS (20 * NS_PER_SEC)	/* from then on a mount says that it takes long */
#define MOUNT_NS (120 * NS_PER_SEC)	/* mount.nfs gives up by then, too */
#define UNMOUNT_NS (10 * NS_PER_SEC)	/* a step of it */
#define KILLED_NS (2 * NS_PER_SEC)	/* so long for one that was killed to end; then it is left to itself */
#define ROOM_FRESH_NS (30 * NS_PER_SEC) /* when it is asked for again */
#define ROOM_KNOWN_NS (300 * NS_PER_SEC)
#define SAID_MAX 2048

const struct net_machine net_machine_real = { "mount.nfs", "umount", "stat", fs_is_mountpoint };

enum job_kind { JOB_MOUNT, JOB_UNMOUNT, JOB_ROOM };
/* Programs at once; more wait. */
static const struct share_bounds net_bounds[_SHARE_MAX] = {
	[SHARE_MAKING] = { .all = 64, .each = 8, .hung_all = 16, .hung_each = 2 },
	[SHARE_UNMAKING] = { .all = 32, .each = 8, .hung_all = 16, .hung_each = 4 },
	[SHARE_LOOKING] = { .all = 16, .each = 4, .hung_all = 4, .hung_each = 1 },
};
static const enum share_kind job_share[] = {
	[JOB_MOUNT] = SHARE_MAKING, [JOB_UNMOUNT] = SHARE_UNMAKING, [JOB_ROOM] = SHARE_LOOKING
};
static const char *const unmount_steps[] = { NULL, "-f", "-l" };

/* What is at work for one path, or said when it ended. Under the owner's lock, but for refs. */
struct net_job {
	struct net_mounts *n;
	enum job_kind kind;
	char *at, *command;  /* command: for people */
	struct child *child; /* NULL: none runs */
	struct kpod *pod;
	int out;		     /* what it says, a file in memory */
	int64_t began_ns, killed_ns; /* killed: 0 is not */
	char *owner;		     /* whose share of all programs it has, while it runs */
	enum job_kind counted;	     /* of which kind */
	bool hung, counted_hung;     /* the last one took too long; and counts as that */
	int64_t waits_ns;	     /* since when for a share; 0: it does not */
	int step;
	char *failed; /* what the last one said; NULL: nothing is to be told */
	struct net_room room;
	int64_t known_ns; /* room is of then; 0: it is not known */
};

struct net_mounts {
	struct env *env;
	const struct net_machine *m;
	pthread_mutex_t lock;
	int refs; /* the owner's, and one for each program whose end is awaited */
	bool stopping;
	struct strmap jobs[JOB_ROOM + 1]; /* path -> struct net_job; of mounts and unmounts one (JOB_MOUNT) */
	struct shares shares;
};

/* --- jobs --- */

static void job_free(struct net_job *j)
{
	free(j->at);
	free(j->command);
	free(j->failed);
	free(j->owner);
	close_fdp(&j->out);
	free(j);
}

static struct strmap *job_map(struct net_mounts *n, enum job_kind kind)
{
	return &n->jobs[kind == JOB_ROOM ? JOB_ROOM : JOB_MOUNT];
}

static void net_unref_unlock(struct net_mounts *n)
{
	bool last = --n->refs == 0;

	pthread_mutex_unlock(&n->lock);
	if (!last)
		return;
	for (size_t k = 0; k < ARRAY_LEN(n->jobs); k++) {
		STRMAP_EACH(&n->jobs[k], e)
			job_free(e->value);
		strmap_release(&n->jobs[k]);
	}
	shares_release(&n->shares);
	pthread_mutex_destroy(&n->lock);
	free(n);
}

static struct net_job *job_of(struct net_mounts *n, enum job_kind kind, const char *at)
{
	struct net_job *j = strmap_get(job_map(n, kind), sv_from(at));

	if (j)
		return j;
	j = xcalloc(1, sizeof(*j));
	j->n = n;
	j->kind = kind;
	j->at = xstrdup(at);
	j->out = -1;
	strmap_set(job_map(n, kind), sv_from(at), j);
	return j;
}

static void job_drop(struct net_mounts *n, struct net_job *j)
{
	strmap_del(job_map(n, j->kind), sv_from(j->at));
	job_free(j);
}

static const char *job_said(const struct net_job *j, char said[SAID_MAX])
{
	ssize_t len = j->out < 0 ? 0 : pread(j->out, said, SAID_MAX - 1, 0);

	said[len > 0 ? len : 0] = '\0';
	return said;
}

/* Block size, then blocks: all, free, for everybody; then inodes: all, free. */
static void job_room(struct net_job *j, struct sv text)
{
	struct sv rest = sv_trim(text), word;
	uint64_t f[6] = { 0 }, bytes[3];
	size_t n = 0;

	while (n < ARRAY_LEN(f) && sv_split(&rest, ' ', &word))
		if (!sv_to_u64(word, &f[n++]))
			return;
	for (size_t i = 0; i < ARRAY_LEN(bytes); i++)
		if (__builtin_mul_overflow(f[0], f[i + 1], &bytes[i]) || bytes[i] > INT64_MAX)
			return;
	if (n < ARRAY_LEN(f) || f[4] > INT64_MAX || f[5] > INT64_MAX)
		return;
	j->room = (struct net_room){ .bytes = (int64_t)bytes[0],
				     .available_bytes = (int64_t)bytes[2],
				     .used_bytes = (int64_t)(bytes[0] - MIN(bytes[1], bytes[0])),
				     .inodes = (int64_t)f[4],
				     .inodes_free = (int64_t)f[5] };
	j->known_ns = env_mono_ns(j->n->env);
}

static void job_note(struct net_job *j, int status)
{
	char said[SAID_MAX];
	bool fine = WIFEXITED(status) && WEXITSTATUS(status) == 0;

	free(TAKE(j->failed));
	(void)job_said(j, said);
	j->hung = j->hung && j->killed_ns;
	if (j->kind == JOB_ROOM) {
		if (fine)
			job_room(j, sv_from(said));
	} else if (!fine || j->n->m->mounted(j->at) != (j->kind == JOB_MOUNT)) {
		j->failed =
		    WIFEXITED(status)
			? xasprintf("%s failed: exit status %d\nMounting command: %s\nOutput: %s",
				    j->kind == JOB_MOUNT ? "mount" : "unmount", WEXITSTATUS(status), j->command, said)
			: xasprintf(
			      "%s failed: it did not end in time, and was killed\nMounting command: %s\nOutput: %s",
			      j->kind == JOB_MOUNT ? "mount" : "unmount", j->command, said);
	}
}

/* Whose it is: the namespace's; else that of whoever has the directory above. */
static struct sv job_owner(const struct net_job *j, const struct kpod *p)
{
	const char *slash = strrchr(j->at, '/');

	return p ? sv_from(p->ns) : slash ? sv_make(j->at, (size_t)(slash - j->at)) : SV("");
}

static bool net_count(struct net_job *j, const struct kpod *p, enum job_kind kind)
{
	struct sv owner = job_owner(j, p);

	if (!shares_enter(&j->n->shares, job_share[kind], owner, j->hung)) {
		j->waits_ns = j->waits_ns ? j->waits_ns : env_mono_ns(j->n->env);
		return false;
	}
	j->waits_ns = 0;
	free(j->owner);
	j->owner = xstrndup(owner.p, owner.n);
	j->counted = kind;
	j->counted_hung = j->hung;
	return true;
}

static void net_uncount(struct net_job *j)
{
	shares_leave(&j->n->shares, job_share[j->counted], sv_from(j->owner), j->counted_hung);
}

/* The program is no longer at work, as far as we care. Its pod, which the caller kicks without the lock. */
static struct kpod *job_end(struct net_job *j)
{
	struct kpod *p = j->pod;

	j->child = child_free(j->child);
	j->pod = NULL;
	net_uncount(j);
	close_fdp(&j->out);
	j->out = -1;
	return p;
}

static void job_kick(struct kpod *p)
{
	if (!p)
		return;
	kpod_kick(p);
	kpod_unref(p);
}

static void job_exited(int status, void *ctx)
{
	struct net_job *j = ctx;
	struct net_mounts *n = j->n;
	struct kpod *p = NULL;

	pthread_mutex_lock(&n->lock);
	job_note(j, status);
	p = job_end(j);
	if (j->kind == JOB_ROOM && !n->m->mounted(j->at))
		job_drop(n, j); /* nobody will ask again */
	net_unref_unlock(n);
	job_kick(p);
}

/* Nobody waits for its end any more; false: it has ended, and says so in a moment. */
static bool job_leave(struct net_job *j, struct kpod **ret)
{
	(void)child_kill(j->child, SIGKILL);
	if (!child_detach(j->child))
		return false;
	j->child = NULL;
	j->n->refs--; /* never the last: the owner asks */
	*ret = job_end(j);
	return true;
}

static char *job_command(const char *const *argv)
{
	struct buf b = BUF_INIT;

	for (size_t i = 0; argv[i]; i++)
		buf_printf(&b, "%s%s", i ? " " : "", argv[i]);
	return buf_detach(&b);
}

static int job_begin(struct net_job *j, enum job_kind kind, struct kpod *p, const char *const *argv, struct err *err)
{
	struct net_mounts *n = j->n;

	if (n->stopping || !net_count(j, p, kind))
		return 1;
	j->out = memfd_create("said", MFD_CLOEXEC);
	if (j->out < 0) {
		net_uncount(j);
		return err_set_errno(err, errno, "starting '%s'", argv[0]);
	}
	n->refs++;
	free(j->command);
	j->command = job_command(argv);
	j->began_ns = env_mono_ns(n->env);
	j->killed_ns = 0;
	j->child = child_start(n->env,
			       &(struct child_opts){ .argv = argv,
						     .stdin_fd = -1,
						     .stdout_fd = j->out,
						     .stderr_fd = j->out,
						     .new_session = true,
						     .class = ENV_SLOW },
			       job_exited, j, err);
	if (!j->child) {
		n->refs--;
		net_uncount(j);
		close_fdp(&j->out);
		j->out = -1;
		return -1;
	}
	j->kind = kind;
	j->pod = p ? kpod_ref(p) : NULL;
	return 1;
}

/* Has it had its time? Killed then; and left to itself when not even that ends it: false, another may begin. */
static bool job_at_work(struct net_job *j, int64_t limit_ns, struct kpod **ret_kick)
{
	int64_t now = env_mono_ns(j->n->env);

	if (!j->child)
		return false;
	if (!j->killed_ns && now - j->began_ns > limit_ns) {
		j->killed_ns = now;
		j->hung = true;
		(void)child_kill(j->child, SIGKILL);
	}
	if (!j->killed_ns || now - j->killed_ns <= KILLED_NS || !job_leave(j, ret_kick))
		return true;
	free(j->failed);
	j->failed = xasprintf("'%s' cannot even be killed: the server of '%s' does not answer", j->command, j->at);
	return false;
}

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
	if (job_begin(j, JOB_MOUNT, p, argv, err) < 0)
		return -1;
	if (j->waits_ns && env_mono_ns(j->n->env) - j->waits_ns > SAYS_SO_NS)
		return err_set(err, ERR_UNAVAILABLE,
			       "%s waits for other mounts of its namespace, or of many, whose servers do not answer",
			       s->what);
	return 1;
}

static int mount_step(struct net_mounts *n, struct kpod *p, const char *at, const struct net_source *s,
		      struct kpod **kick, struct err *err)
{
	struct net_job *j = job_of(n, JOB_MOUNT, at);
	bool works = job_at_work(j, j->kind == JOB_MOUNT ? MOUNT_NS : UNMOUNT_NS, kick);

	if (!works && n->m->mounted(at)) {
		job_drop(n, j);
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
	struct kpod *kick = NULL;
	int rc;

	pthread_mutex_lock(&n->lock);
	rc = mount_step(n, p, at, s, &kick, err);
	pthread_mutex_unlock(&n->lock);
	job_kick(kick);
	return rc;
}

/* --- unmounting --- */

static int unmount_begin(struct net_job *j, int step, struct kpod *p, struct err *err)
{
	/* No helper that asks the server, no look at the path. */
	const char *more = unmount_steps[step];
	const char *argv[] = { j->n->m->umount, "-i", "-c", more ? more : j->at, more ? j->at : NULL, NULL };
	int rc = job_begin(j, JOB_UNMOUNT, p, argv, err);

	if (j->child)
		j->step = step;
	return rc;
}

static int unmount_step(struct net_mounts *n, struct kpod *p, const char *at, struct kpod **kick, struct err *err)
{
	struct net_job *j = strmap_get(job_map(n, JOB_MOUNT), sv_from(at));
	int step;

	if (j && j->child && j->kind == JOB_MOUNT && !j->killed_ns) {
		j->killed_ns = env_mono_ns(n->env); /* it must not come after us */
		(void)child_kill(j->child, SIGKILL);
	}
	if (j && job_at_work(j, UNMOUNT_NS, kick))
		return 1;
	if (!n->m->mounted(at)) {
		if (j)
			job_drop(n, j);
		return 0;
	}
	j = job_of(n, JOB_MOUNT, at);
	step = j->kind == JOB_UNMOUNT ? j->step + 1 : 0;
	if (step < (int)ARRAY_LEN(unmount_steps))
		return unmount_begin(j, step, p, err);
	j->step = -1; /* from the beginning, when asked again */
	return err_set(err, ERR_UNAVAILABLE, "%s", j->failed ? j->failed : "it is still mounted");
}

int net_unmount(struct net_mounts *n, struct kpod *p, const char *at, struct err *err)
{
	struct kpod *kick = NULL;
	int rc;

	pthread_mutex_lock(&n->lock);
	rc = unmount_step(n, p, at, &kick, err);
	pthread_mutex_unlock(&n->lock);
	job_kick(kick);
	return rc;
}

static bool job_below(const struct net_job *j, const char *dir)
{
	size_t n = strlen(dir);

	return strncmp(j->at, dir, n) == 0 && j->at[n] == '/';
}

/* True: it is still at work on a mount. */
static bool leave_one(struct net_mounts *n, struct net_job *j, struct kpod **kick)
{
	if (j->child && j->kind != JOB_UNMOUNT && !j->killed_ns) {
		j->killed_ns = env_mono_ns(n->env);
		(void)child_kill(j->child, SIGKILL);
	}
	if (job_at_work(j, UNMOUNT_NS, kick))
		return j->kind != JOB_ROOM;
	if (!n->m->mounted(j->at))
		job_drop(n, j);
	return false;
}

int net_leave(struct net_mounts *n, const char *dir)
{
	VEC(struct net_job *) below = VEC_INIT;
	VEC(struct kpod *) kicks = VEC_INIT;
	int rc = 0;

	pthread_mutex_lock(&n->lock);
	for (size_t k = 0; k < ARRAY_LEN(n->jobs); k++)
		STRMAP_EACH(&n->jobs[k], e)
			if (job_below(e->value, dir))
				vec_push(&below, e->value);
	for (size_t i = 0; i < below.n; i++) {
		struct kpod *kick = NULL;

		rc |= leave_one(n, below.p[i], &kick);
		if (kick)
			vec_push(&kicks, kick);
	}
	pthread_mutex_unlock(&n->lock);
	for (size_t i = 0; i < kicks.n; i++)
		job_kick(kicks.p[i]);
	vec_release(&kicks);
	vec_release(&below);
	return rc;
}

/* --- how full --- */

bool net_room(struct net_mounts *n, const char *at, struct net_room *ret)
{
	const char *argv[] = { n->m->stat, "-f", "-c", "%S %b %f %a %c %d", at, NULL };
	int64_t now = env_mono_ns(n->env);
	struct kpod *kick = NULL;
	struct net_job *j;
	bool known;

	pthread_mutex_lock(&n->lock);
	j = job_of(n, JOB_ROOM, at);
	if (!job_at_work(j, UNMOUNT_NS, &kick) && (!j->known_ns || now - j->known_ns > ROOM_FRESH_NS))
		(void)job_begin(j, JOB_ROOM, NULL, argv, NULL);
	known = j->known_ns && now - j->known_ns <= ROOM_KNOWN_NS;
	if (known)
		*ret = j->room;
	else if (!j->child && !n->m->mounted(at))
		job_drop(n, j);
	pthread_mutex_unlock(&n->lock);
	return known;
}

/* --- life --- */

struct net_mounts *net_mounts_new(struct env *e, const struct net_machine *m)
{
	struct net_mounts *n = xcalloc(1, sizeof(*n));

	n->env = e;
	n->m = m ? m : &net_machine_real;
	n->refs = 1;
	n->shares.bounds = net_bounds;
	pthread_mutex_init(&n->lock, NULL);
	return n;
}

struct net_mounts *net_mounts_free(struct net_mounts *n)
{
	VEC(struct kpod *) pods = VEC_INIT;

	if (!n)
		return NULL;
	pthread_mutex_lock(&n->lock);
	n->stopping = true;
	for (size_t k = 0; k < ARRAY_LEN(n->jobs); k++)
		STRMAP_EACH(&n->jobs[k], e) {
			struct net_job *j = e->value;
			struct kpod *p = NULL;

			if (j->child && job_leave(j, &p) && p)
				vec_push(&pods, p);
		}
	net_unref_unlock(n);
	for (size_t i = 0; i < pods.n; i++)
		kpod_unref(pods.p[i]);
	vec_release(&pods);
	return NULL;
}
