/* The file: appended to a line at a time, set aside when it is full, and the old ones removed.
 *
 *	audit.log ──full──▶ audit-2026-01-02T03-04-05.678.log [──▶ .gz] ──too old, too many──▶ removed
 *
 * Names and rules are those of upstream's logs, so that what collects these finds ours. */
#include "apiserver/audit/audit-internal.h"
#include "base/log.h"
#include "base/timefmt.h"
#include "base/vec.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#define SIZE_MB 100
#define STAMP_N 23 /* 2026-01-02T03-04-05.678 */

struct audit_log {
	struct env *env;
	const struct audit_opts *o;
	char *path, *dir, *stem, *ext; /* owned; "audit" and ".log" */
	pthread_mutex_t mu;
	int fd;
	uint64_t size, most;
	bool pruning; /* a task is under way */
	pthread_cond_t idle;
};

static int log_open_file(struct audit_log *l, struct err *err)
{
	struct stat st;
	/* A FIFO that nobody reads is no file to wait for. */
	int fd = open(l->path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0600);

	if (fd < 0 && errno == ENXIO)
		return err_set(err, ERR_INVALID, "cannot open the audit log '%s': it is a FIFO that nobody reads",
			       l->path);
	if (fd < 0 || fcntl(fd, F_SETFL, O_APPEND) < 0)
		return err_set_errno(err, errno, "cannot open the audit log '%s'", l->path);
	if (fstat(fd, &st) < 0 || S_ISDIR(st.st_mode)) {
		close(fd);
		return err_set(err, ERR_INVALID, "the audit log '%s' is no file", l->path);
	}
	l->fd = fd;
	l->size = S_ISREG(st.st_mode) ? (uint64_t)st.st_size : 0;
	if (!S_ISREG(st.st_mode))
		l->most = UINT64_MAX; /* a pipe or a terminal is never full */
	return 0;
}

struct audit_log *audit_log_open(struct env *env, const struct audit_opts *o, struct err *err)
{
	struct audit_log *l = xcalloc(1, sizeof(*l));
	const char *slash = strrchr(o->log_path, '/'), *base = slash ? slash + 1 : o->log_path;
	const char *dot = strrchr(base, '.');
	size_t stem_n = dot ? (size_t)(dot - base) : strlen(base);

	l->env = env;
	l->o = o;
	l->most = (uint64_t)(o->max_size > 0 ? o->max_size : SIZE_MB) << 20;
	l->path = xstrdup(o->log_path);
	l->dir = !slash			? xstrdup(".")
		 : slash == o->log_path ? xstrdup("/")
					: xstrndup(o->log_path, (size_t)(slash - o->log_path));
	l->stem = xstrndup(base, stem_n);
	l->ext = xstrdup(dot ? dot : "");
	l->fd = -1;
	pthread_mutex_init(&l->mu, NULL);
	pthread_cond_init(&l->idle, NULL);
	if (strcmp(o->log_path, "-") == 0) {
		l->fd = STDOUT_FILENO;
		l->most = UINT64_MAX;
	} else if (log_open_file(l, err) < 0) {
		return audit_log_free(l);
	}
	return l;
}

struct audit_log *audit_log_free(struct audit_log *l)
{
	if (!l)
		return NULL;
	pthread_mutex_lock(&l->mu);
	while (l->pruning)
		pthread_cond_wait(&l->idle, &l->mu);
	pthread_mutex_unlock(&l->mu);
	if (l->fd > STDOUT_FILENO)
		close(l->fd);
	free(l->path);
	free(l->dir);
	free(l->stem);
	free(l->ext);
	pthread_cond_destroy(&l->idle);
	pthread_mutex_destroy(&l->mu);
	free(l);
	return NULL;
}

/* --- the old ones --- */

/* When a file of the folder was set aside, by its name; -1: it is none of ours. */
static bool log_old_name(const struct audit_log *l, struct sv name, bool *ret_gz, struct sv *ret_stamp)
{
	struct sv stem = sv_from(l->stem), ext = sv_from(l->ext);

	*ret_gz = sv_ends(name, SV(".gz"));
	if (*ret_gz)
		name.n -= 3;
	if (name.n != stem.n + 1 + STAMP_N + ext.n || !sv_starts(name, stem) || name.p[stem.n] != '-' ||
	    !sv_ends(name, ext))
		return false;
	*ret_stamp = sv_sub(name, stem.n + 1, STAMP_N);
	for (size_t i = 0; i < STAMP_N; i++) {
		char c = ret_stamp->p[i], want = "dddd-dd-ddTdd-dd-dd.ddd"[i];

		if (want == 'd' ? c < '0' || c > '9' : c != want)
			return false;
	}
	return true;
}

static void log_stamp(int64_t now_ns, char out[STAMP_N + 1])
{
	char text[TIME_TEXT_MAX];

	(void)time_format(now_ns, true, text);
	memcpy(out, text, STAMP_N);
	out[13] = out[16] = '-';
	out[STAMP_N] = '\0';
}

static int log_compress(const char *from, const char *to, struct err *err)
{
	_cleanup_close_ int in = open(from, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	int out = in < 0 ? -1 : open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	char piece[16384];
	gzFile z = out < 0 ? NULL : gzdopen(out, "wb");
	ssize_t n = -1;
	bool well;

	if (!z) {
		if (out >= 0)
			close(out);
		return err_set_errno(err, errno, "cannot compress '%s'", from);
	}
	while ((n = read(in, piece, sizeof(piece))) > 0)
		if (gzwrite(z, piece, (unsigned)n) != (int)n) {
			n = -1;
			break;
		}
	well = gzclose(z) == Z_OK && n == 0;
	(void)unlink(well ? from : to);
	return well ? 0 : err_set(err, ERR_INTERNAL, "cannot compress '%s'", from);
}

static int log_name_order(const void *x, const void *y)
{
	return -strcmp(*(char *const *)x, *(char *const *)y); /* the youngest first */
}

/* Those of one moment, compressed or not, are one. */
static void log_prune(struct audit_log *l)
{
	VEC(char *) names = VEC_INIT;
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(err_release) struct err err = ERR_INIT;
	char oldest[STAMP_N + 1] = "";
	DIR *d = opendir(l->dir);
	struct dirent *e;
	struct sv at;
	bool gz;

	if (l->o->max_age > 0)
		log_stamp(env_now_ns(l->env) - (int64_t)l->o->max_age * 86400 * NS_PER_SEC, oldest);
	while (d && (e = readdir(d)))
		if (log_old_name(l, sv_from(e->d_name), &gz, &at))
			vec_push(&names, arena_strdup(&a, e->d_name));
	if (d)
		closedir(d);
	if (names.n)
		qsort(names.p, names.n, sizeof(*names.p), log_name_order);
	for (size_t i = 0; i < names.n; i++) {
		const char *path = arena_printf(&a, "%s/%s", l->dir, names.p[i]);

		(void)log_old_name(l, sv_from(names.p[i]), &gz, &at);
		if ((l->o->max_backup > 0 && i >= (size_t)l->o->max_backup) ||
		    (*oldest && memcmp(at.p, oldest, STAMP_N) < 0))
			(void)unlink(path);
		else if (l->o->compress && !gz && log_compress(path, arena_printf(&a, "%s.gz", path), &err) < 0)
			break;
	}
	if (err.reason)
		log_warn("audit", "a rotated log stays as it is", "error", "%s", err_msg(&err));
	vec_release(&names);
}

static void prune_task(void *ctx)
{
	struct audit_log *l = ctx;

	log_prune(l);
	pthread_mutex_lock(&l->mu);
	l->pruning = false;
	pthread_cond_broadcast(&l->idle);
	pthread_mutex_unlock(&l->mu);
}

/* Lock held. What cannot be renamed goes on growing: no event is lost for that. */
static int log_rotate(struct audit_log *l, struct err *err)
{
	char at[STAMP_N + 1];
	_cleanup_free_ char *old = NULL;

	log_stamp(env_now_ns(l->env), at);
	old = xasprintf("%s/%s-%s%s", l->dir, l->stem, at, l->ext);
	if (access(old, F_OK) == 0)
		return 0; /* twice in a millisecond: the next line does it */
	if (rename(l->path, old) < 0 && errno != ENOENT)
		return 0;
	close(l->fd);
	l->fd = -1;
	if (log_open_file(l, err) < 0)
		return -1;
	if (!l->pruning && (l->o->max_age || l->o->max_backup || l->o->compress)) {
		l->pruning = true;
		env_post(l->env, ENV_SLOW, prune_task, l);
	}
	return 0;
}

static int log_append(struct audit_log *l, struct sv lines, struct err *err)
{
	size_t done = 0;

	while (done < lines.n) {
		ssize_t n = write(l->fd, lines.p + done, lines.n - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			err_set_errno(err, n < 0 ? errno : EIO, "cannot write the audit log '%s'", l->path);
			/* Half a line would spoil the next one. */
			if (done && l->most != UINT64_MAX && ftruncate(l->fd, (off_t)l->size) < 0)
				l->size += done;
			return -1;
		}
		done += (size_t)n;
	}
	l->size += done;
	return 0;
}

int audit_log_write(struct audit_log *l, struct sv lines, struct err *err)
{
	int rc = 0;

	pthread_mutex_lock(&l->mu);
	if (l->fd < 0)
		rc = log_open_file(l, err);
	else if (l->most != UINT64_MAX && l->size && l->size + lines.n > l->most)
		rc = log_rotate(l, err);
	if (rc == 0)
		rc = log_append(l, lines, err);
	pthread_mutex_unlock(&l->mu);
	return rc;
}
