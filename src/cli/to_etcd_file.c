/* etcd takes no revision from a client, but a snapshot has them all: so one is written (snapshot/etcd_file.h), and
 * etcd's own program makes a member's data directory of it, with the log and the members that it wants. */
#include "base/arena.h"
#include "base/file.h"
#include "base/log.h"
#include "base/said.h"
#include "cli/daemon.h"
#include "cli/encryption_agreed.h"
#include "cli/to_etcd-internal.h"
#include "ev/ev.h"
#include "snapshot/etcd_file.h"
#include "store/etcd/members.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define SYS "server"
#define LOOK_NS (50 * NS_PER_MS)
#define SAID_MAX ((size_t)1 << 20)
#define ASK_EACH 1024		     /* records */
#define LINE_MAX_BYTES ((size_t)400) /* of what it said, in a line of ours */

struct by_file {
	struct arena *a;
	const char *dir; /* DIR/etcd */
	const struct to_etcd_anew *anew;
	struct etcd_file *file;
	uint64_t keys;
	struct err failed;
};

/* --- the snapshot --- */

/* It would never end, for a file has no leases; whoever is there says it again. */
static bool by_lease(struct sv key)
{
	return sv_starts(key, SV(ETCD_JOINING)) || sv_starts(key, SV(ENCRYPTION_AGREED_KEYS)) ||
	       sv_starts(key, SV("/registry/masterleases/"));
}

static int by_file_found(const struct store_kv *kv, void *ctx)
{
	struct by_file *b = ctx;

	if (b->anew && by_lease(kv->key))
		return 0;
	if (b->keys++ % ASK_EACH == 0 && to_etcd_goes_on(&b->failed) < 0)
		return 1;
	return etcd_file_add(b->file, kv, &b->failed) < 0;
}

static int by_file_open(const char *path, struct err *err)
{
	int fd;

	(void)unlink(path);
	fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	return fd < 0 ? err_set_errno(err, errno, "cannot make '%s'", path) : fd;
}

static int by_file_write(struct by_file *b, struct store *from, const char *snapshot, int64_t *ret_rev, struct err *err)
{
	const char *path = arena_printf(b->a, "%s/" TO_ETCD_MOVING ".values", b->dir);
	_cleanup_close_ int fd = by_file_open(snapshot, err), between = fd < 0 ? -1 : by_file_open(path, err);
	_cleanup_(etcd_file_freep) struct etcd_file *file = NULL;

	if (between < 0)
		return -1;
	(void)unlink(path); /* it goes with its descriptor */
	file = b->file = etcd_file_new(fd, between);
	if (store_range(from, STORE_ALL_FROM, STORE_ALL_TO, 0, 0, by_file_found, b, ret_rev, err) < 0)
		return -1;
	if (b->failed.reason != ERR_NONE)
		return err_move(err, &b->failed);
	*ret_rev += b->anew ? b->anew->leap : 0;
	return etcd_file_end(file, *ret_rev, to_etcd_goes_on, &b->keys, err);
}

/* --- the program --- */

struct program {
	pthread_mutex_t lock;
	pthread_cond_t cond;
	struct child *child; /* NULL: it has ended */
	int status;
};

static void program_exited(int status, void *ctx)
{
	struct program *p = ctx;

	pthread_mutex_lock(&p->lock);
	p->child = child_free(p->child);
	p->status = status;
	pthread_cond_signal(&p->cond);
	pthread_mutex_unlock(&p->lock);
}

static bool program_runs(struct program *p)
{
	bool runs;

	pthread_mutex_lock(&p->lock);
	runs = p->child;
	pthread_mutex_unlock(&p->lock);
	return runs;
}

/* Until it ends, or a signal ends us, and with us it. */
static int program_run(struct env *env, const struct child_opts *o, int *ret_status, struct err *err)
{
	struct program p = { .lock = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER };
	int rc = 0;

	pthread_mutex_lock(&p.lock);
	p.child = child_start(env, o, program_exited, &p, err);
	pthread_mutex_unlock(&p.lock);
	if (!p.child)
		return -1;
	while (program_runs(&p) && (rc = to_etcd_goes_on(err)) == 0)
		(void)daemon_pause(LOOK_NS);
	pthread_mutex_lock(&p.lock);
	if (rc < 0 && p.child)
		(void)child_kill(p.child, SIGKILL);
	while (p.child)
		pthread_cond_wait(&p.cond, &p.lock);
	pthread_mutex_unlock(&p.lock);
	*ret_status = p.status;
	return rc;
}

/* Why it ended. */
static struct sv program_said(struct arena *a, const char *path)
{
	struct sv text, last;

	last = file_read(a, path, SAID_MAX, &text, NULL) < 0 ? SV("") : said_last(text, LINE_MAX_BYTES);
	return last.n ? last : SV("nothing");
}

static int by_file_restore(struct by_file *b, const struct etcd_member_opts *o, const struct etcd_member_id *id,
			   const char *program, const char *snapshot, struct err *err)
{
	const char *path = getenv("PATH"), *said = arena_printf(b->a, "%s/" TO_ETCD_MOVING ".log", b->dir);
	/* Of its own variables it knows none: they may be somebody's for another etcd. */
	const char *const envp[] = { "ETCDCTL_API=3",
				     arena_printf(b->a, "PATH=%s", path ? path : "/usr/sbin:/usr/bin:/sbin:/bin"),
				     NULL };
	const char *const argv[] = { program,
				     "snapshot",
				     "restore",
				     snapshot,
				     "--data-dir",
				     arena_printf(b->a, "%s/" TO_ETCD_MOVING, b->dir),
				     "--name",
				     id->name,
				     "--initial-cluster",
				     arena_printf(b->a, "%s=%s", id->name, id->peer),
				     "--initial-cluster-token",
				     b->anew ? b->anew->cluster : "caravel",
				     "--initial-advertise-peer-urls",
				     id->peer,
				     NULL };
	_cleanup_close_ int log = by_file_open(said, err);
	int status = 0;

	if (log < 0 || program_run(o->env,
				   &(struct child_opts){ .argv = argv,
							 .envp = envp,
							 .cwd = b->dir,
							 .stdin_fd = -1,
							 .stdout_fd = log,
							 .stderr_fd = log,
							 .die_with_parent = true,
							 .class = ENV_SLOW },
				   &status, err) < 0)
		return -1;
	if (status)
		return err_set(err, ERR_INTERNAL, "'%s snapshot restore' failed: %.*s", program,
			       SV_ARG(program_said(b->a, said)));
	(void)unlink(said);
	return 0;
}

int to_etcd_file(const struct etcd_member_opts *o, const struct etcd_member_id *id, struct store *from,
		 const struct to_etcd_anew *anew, uint64_t *ret_keys, int64_t *ret_rev, struct err *err)
{
	/* From 3.6 on etcdctl cannot do it any more. */
	const char *program = file_is_program("etcdutl") ? "etcdutl" : file_is_program("etcdctl") ? "etcdctl" : NULL;
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct by_file b = { .a = &a, .dir = arena_printf(&a, "%s/etcd", o->data_dir), .anew = anew };
	const char *snapshot = arena_printf(&a, "%s/" TO_ETCD_MOVING ".snapshot", b.dir);
	int rc;

	if (!program)
		return 0;
	rc = by_file_write(&b, from, snapshot, ret_rev, err);
	if (rc == 0)
		rc = by_file_restore(&b, o, id, program, snapshot, err);
	(void)unlink(snapshot);
	*ret_keys = b.keys;
	return rc < 0 ? -1 : 1;
}
