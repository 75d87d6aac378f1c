#include "kubelet/net_job.h"

#include "base/buf.h"
#include "ev/ev.h"
#include "kubelet/kpod.h"
#include "kubelet/volume_metrics.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define KILLED_NS (2 * NS_PER_SEC) /* so long for one that was killed to end; then it is left to itself */
#define SAID_MAX 2048

/* Programs at once; more wait. */
const struct share_bounds net_bounds[_SHARE_MAX] = {
	[SHARE_MAKING] = { .all = 64, .each = 8, .hung_all = 16, .hung_each = 2 },
	[SHARE_UNMAKING] = { .all = 32, .each = 8, .hung_all = 16, .hung_each = 4 },
	[SHARE_LOOKING] = { .all = 16, .each = 4, .hung_all = 4, .hung_each = 1 },
};
static const enum share_kind job_share[] = {
	[JOB_MOUNT] = SHARE_MAKING, [JOB_UNMOUNT] = SHARE_UNMAKING, [JOB_ROOM] = SHARE_LOOKING
};

static void job_free(struct net_job *j)
{
	free(j->at);
	free(j->command);
	free(j->failed);
	free(j->owner);
	close_fdp(&j->out);
	free(j);
}

struct strmap *net_job_map(struct net_mounts *n, enum job_kind kind)
{
	return &n->jobs[kind == JOB_ROOM ? JOB_ROOM : JOB_MOUNT];
}

void net_jobs_unref_unlock(struct net_mounts *n)
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

struct net_job *net_job_of(struct net_mounts *n, enum job_kind kind, const char *at)
{
	struct net_job *j = strmap_get(net_job_map(n, kind), sv_from(at));

	if (j)
		return j;
	j = xcalloc(1, sizeof(*j));
	j->n = n;
	j->kind = kind;
	j->at = xstrdup(at);
	j->out = -1;
	strmap_set(net_job_map(n, kind), sv_from(at), j);
	return j;
}

void net_job_drop(struct net_mounts *n, struct net_job *j)
{
	strmap_del(net_job_map(n, j->kind), sv_from(j->at));
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
		return;
	}
	fine = fine && j->n->m->mounted(j->at) == (j->kind == JOB_MOUNT);
	volume_operation_counted(j->n->counted, "kubernetes.io/nfs",
				 j->kind == JOB_MOUNT ? "volume_mount" : "volume_unmount", fine,
				 env_mono_ns(j->n->env) - j->began_ns);
	if (!fine)
		j->failed =
		    WIFEXITED(status)
			? xasprintf("%s failed: exit status %d\nMounting command: %s\nOutput: %s",
				    j->kind == JOB_MOUNT ? "mount" : "unmount", WEXITSTATUS(status), j->command, said)
			: xasprintf(
			      "%s failed: it did not end in time, and was killed\nMounting command: %s\nOutput: %s",
			      j->kind == JOB_MOUNT ? "mount" : "unmount", j->command, said);
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

void net_job_kick(struct kpod *p)
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
		net_job_drop(n, j); /* nobody will ask again */
	net_jobs_unref_unlock(n);
	net_job_kick(p);
}

bool net_job_leave(struct net_job *j, struct kpod **ret)
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

int net_job_begin(struct net_job *j, enum job_kind kind, struct kpod *p, const char *const *argv, struct err *err)
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

bool net_job_at_work(struct net_job *j, int64_t limit_ns, struct kpod **ret_kick)
{
	int64_t now = env_mono_ns(j->n->env);

	if (!j->child)
		return false;
	if (!j->killed_ns && now - j->began_ns > limit_ns) {
		j->killed_ns = now;
		j->hung = true;
		(void)child_kill(j->child, SIGKILL);
	}
	if (!j->killed_ns || now - j->killed_ns <= KILLED_NS || !net_job_leave(j, ret_kick))
		return true;
	free(j->failed);
	j->failed = xasprintf("'%s' cannot even be killed: the server of '%s' does not answer", j->command, j->at);
	return false;
}
