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

/* Programs at once; more wait. A namespace has one owner here: there are no drivers. */
static const struct share_bounds net_bounds[_SHARE_MAX] = {
	[SHARE_MAKING] = { .all = 64, .space = 8, .each = 8, .late_all = 16, .late_space = 3, .hung_each = 2 },
	[SHARE_UNMAKING] = { .all = 32, .space = 8, .each = 8, .late_all = 16, .late_space = 5, .hung_each = 4 },
	[SHARE_LOOKING] = { .all = 16, .space = 4, .each = 4, .late_all = 4, .late_space = 1, .hung_each = 1 },
};
static const enum share_kind job_share[] = {
	[JOB_MOUNT] = SHARE_MAKING, [JOB_UNMOUNT] = SHARE_UNMAKING, [JOB_ROOM] = SHARE_LOOKING
};

/* Its pod, of whom there is one reference. */
static void net_job_let_go(struct net_job *j, bool kick)
{
	if (j->pod)
		vec_push(&j->n->told, ((struct net_told){ TAKE(j->pod), kick }));
}

static void job_free(struct net_job *j)
{
	net_job_let_go(j, false);
	free(j->at);
	free(j->command);
	free(j->failed);
	close_fdp(&j->out);
	free(j);
}

struct strmap *net_job_map(struct net_mounts *n, enum job_kind kind)
{
	return &n->jobs[kind == JOB_ROOM ? JOB_ROOM : JOB_MOUNT];
}

/* --- life --- */

static void job_granted(const struct share_place *place, void *ctx)
{
	struct net_job *j = CONTAINER_OF(place, struct net_job, place);
	struct net_mounts *n = ctx;

	if (j->pod)
		vec_push(&n->told, ((struct net_told){ kpod_ref(j->pod), true }));
}

void net_jobs_init(struct net_mounts *n)
{
	n->shares = (struct shares){ .bounds = net_bounds, .told = job_granted, .ctx = n };
	pthread_mutex_init(&n->lock, NULL);
}

static void net_jobs_free(struct net_mounts *n)
{
	pthread_mutex_destroy(&n->lock);
	shares_release(&n->shares);
	free(n);
}

void net_jobs_unref_unlock(struct net_mounts *n)
{
	bool last = --n->refs == 0, stopping = n->stopping;
	VEC(struct net_told) told = VEC_INIT;

	if (last)
		for (size_t k = 0; k < ARRAY_LEN(n->jobs); k++) {
			STRMAP_EACH(&n->jobs[k], e)
				job_free(e->value);
			strmap_release(&n->jobs[k]);
		}
	told.p = n->told.p;
	told.n = n->told.n;
	n->told.p = NULL;
	n->told.n = n->told.cap = 0;
	pthread_mutex_unlock(&n->lock);
	if (last)
		net_jobs_free(n);
	for (size_t i = 0; i < told.n; i++) {
		if (told.p[i].kick && !stopping)
			kpod_kick(told.p[i].pod);
		kpod_unref(told.p[i].pod);
	}
	vec_release(&told);
}

void net_jobs_unlock(struct net_mounts *n)
{
	n->refs++;
	net_jobs_unref_unlock(n);
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
	share_give(&n->shares, &j->place, env_mono_ns(n->env));
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

/* The namespace's; else that of whoever has the directory above. */
static struct share_who job_who(const struct net_job *j, const struct kpod *p)
{
	const char *slash = strrchr(j->at, '/');

	if (p)
		return (struct share_who){ .space = sv_from(p->ns) };
	return (struct share_who){ .space = slash ? sv_make(j->at, (size_t)(slash - j->at)) : SV(""),
				   .nameless = true };
}

/* How full something is, is asked for again some time, and waits for nothing. */
static bool job_place(struct net_job *j, const struct kpod *p, enum job_kind kind)
{
	bool (*ask)(struct shares *, struct share_place *, enum share_kind, struct share_who, int64_t) =
	    kind == JOB_ROOM ? share_try : share_take;

	return ask(&j->n->shares, &j->place, job_share[kind], job_who(j, p), env_mono_ns(j->n->env));
}

/* The program is no longer at work, as far as we care: its pod hears of it, and whoever may begin now. */
static void job_end(struct net_job *j, bool news)
{
	net_job_let_go(j, news);
	j->child = child_free(j->child);
	share_give(&j->n->shares, &j->place, env_mono_ns(j->n->env));
	close_fdp(&j->out);
	j->out = -1;
}

static void job_exited(int status, void *ctx)
{
	struct net_job *j = ctx;
	struct net_mounts *n = j->n;

	pthread_mutex_lock(&n->lock);
	job_note(j, status);
	job_end(j, true);
	if (j->kind == JOB_ROOM && !n->m->mounted(j->at))
		net_job_drop(n, j); /* nobody will ask again */
	net_jobs_unref_unlock(n);
}

bool net_job_leave(struct net_job *j)
{
	(void)child_kill(j->child, SIGKILL);
	if (!child_detach(j->child))
		return false;
	j->child = NULL;
	j->n->refs--; /* never the last: the owner asks */
	job_end(j, true);
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

	if (n->stopping)
		return 1;
	if (p != j->pod)
		net_job_let_go(j, false);
	if (p && !j->pod)
		j->pod = kpod_ref(p);
	if (!job_place(j, p, kind))
		return 1;
	j->out = memfd_create("said", MFD_CLOEXEC);
	if (j->out < 0) {
		job_end(j, false);
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
		job_end(j, false);
		return -1;
	}
	j->kind = kind;
	return 1;
}

bool net_job_at_work(struct net_job *j, int64_t limit_ns)
{
	int64_t now = env_mono_ns(j->n->env);

	if (!j->child)
		return false;
	if (!j->killed_ns && now - j->began_ns > limit_ns) {
		j->killed_ns = now;
		(void)child_kill(j->child, SIGKILL);
	}
	if (!j->killed_ns || now - j->killed_ns <= KILLED_NS || !net_job_leave(j))
		return true;
	free(j->failed);
	j->failed = xasprintf("'%s' cannot even be killed: the server of '%s' does not answer", j->command, j->at);
	return false;
}
