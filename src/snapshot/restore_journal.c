/* The moment of a restore, and what comes behind it: can be done twice, and is by whoever finds it undone. */
#include "base/buf.h"
#include "base/file.h"
#include "snapshot/restore-internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#define JOURNAL_FIRST "caravel restore 1"
#define JOURNAL_MAX ((size_t)4096)

static const char *journal_path(struct arena *a, const char *data_dir)
{
	return arena_printf(a, "%s/restore.journal", data_dir);
}

int restore_sync_dir(const char *path, struct err *err)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || fsync(fd) < 0)
		return err_set_errno(err, errno, "cannot sync '%s'", path);
	return 0;
}

int restore_lock(const char *data_dir, bool make, struct err *err)
{
	_cleanup_free_ char *path = xasprintf("%s/restore.lock", data_dir);
	_cleanup_close_ int fd = open(path, O_RDWR | O_CLOEXEC | (make ? O_CREAT : 0), 0600);
	int ret;

	if (fd < 0 && errno == ENOENT && !make)
		return -1;
	if (fd < 0)
		return err_set_errno(err, errno, "cannot open '%s'", path);
	if (file_lock(fd) < 0) {
		if (errno != EWOULDBLOCK)
			return err_set_errno(err, errno, "cannot lock '%s'", path);
		return err_set(err, ERR_ALREADY_EXISTS, "'%s' is being restored by process %d: wait for its end",
			       data_dir, (int)file_holder(fd));
	}
	if (ftruncate(fd, 0) == 0)
		(void)!dprintf(fd, "%d\n", (int)getpid());
	ret = fd;
	fd = -1;
	return ret;
}

int restore_journal_write(struct arena *a, const char *data_dir, const struct restore_journal *j, struct err *err)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	buf_printf(&b, JOURNAL_FIRST "\ntime %" PRId64 "\n", j->time_s);
	for (size_t i = 0; i < j->n; i++)
		buf_printf(&b, "%s %s\n", j->e[i].staged ? "replace" : "away", j->e[i].name);
	return file_write(journal_path(a, data_dir), buf_sv(&b), 0600, err);
}

static int journal_line(struct arena *a, struct sv line, struct restore_journal *j)
{
	struct sv word;

	if (!sv_split(&line, ' ', &word) || !line.n || sv_find(line, '/') >= 0 || line.p[0] == '.')
		return -1;
	if (sv_is(word, "time"))
		return sv_to_i64(line, &j->time_s) ? 0 : -1;
	if ((!sv_is(word, "replace") && !sv_is(word, "away")) || j->n == RESTORE_ENTRIES_MAX)
		return -1;
	j->e[j->n++] = (struct restore_entry){ arena_cstr(a, line), sv_is(word, "replace") };
	return 0;
}

int restore_journal_read(struct arena *a, const char *data_dir, struct restore_journal *ret, struct err *err)
{
	const char *path = journal_path(a, data_dir);
	struct err why = ERR_INIT;
	struct sv text, line;

	*ret = (struct restore_journal){ 0 };
	if (file_read(a, path, JOURNAL_MAX, &text, &why) < 0) {
		if (why.errnum != ENOENT)
			return err_move(err, &why);
		err_release(&why);
		return 0;
	}
	if (!sv_split(&text, '\n', &line) || !sv_is(line, JOURNAL_FIRST))
		return err_set(err, ERR_STORE_READ,
			       "'%s' is not what a restore writes: was it one of a newer version? then start that",
			       path);
	while (sv_split(&text, '\n', &line))
		if (line.n && journal_line(a, line, ret) < 0)
			return err_set(err, ERR_STORE_READ, "'%s' is damaged: '%.*s'", path, SV_ARG(line));
	return 1;
}

static bool there(const char *path)
{
	return access(path, F_OK) == 0;
}

/* A new one that still waits in the stage says that its place is not taken yet. */
static int roll_entry(struct arena *a, const char *data_dir, const struct restore_entry *e, int64_t time_s,
		      struct err *err)
{
	const char *now = arena_printf(a, "%s/%s", data_dir, e->name);
	const char *fresh = arena_printf(a, "%s/" RESTORE_STAGE "/%s", data_dir, e->name);
	const char *kept = arena_printf(a, "%s" RESTORE_KEPT "%" PRId64, now, time_s);

	if ((e->staged ? there(fresh) : !there(kept)) && there(now) && rename(now, kept) < 0)
		return err_set_errno(err, errno, "cannot rename '%s' to '%s'", now, kept);
	if (e->staged && there(fresh) && rename(fresh, now) < 0)
		return err_set_errno(err, errno, "cannot rename '%s' to '%s'", fresh, now);
	return 0;
}

int restore_roll_forward(const char *data_dir, void (*step)(const char *what, void *ctx), void *ctx, struct err *err)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct restore_journal j;
	int r = restore_journal_read(&a, data_dir, &j, err);

	if (r <= 0)
		return r;
	for (size_t i = 0; i < j.n; i++) {
		if (step)
			step("exchange", ctx);
		if (roll_entry(&a, data_dir, &j.e[i], j.time_s, err) < 0)
			return -1;
	}
	if (step)
		step("sync the exchange", ctx);
	if (restore_sync_dir(data_dir, err) < 0)
		return -1;
	if (step)
		step("remove the journal", ctx);
	if (unlink(journal_path(&a, data_dir)) < 0)
		return err_set_errno(err, errno, "cannot remove '%s'", journal_path(&a, data_dir));
	if (step)
		step("sync its removal", ctx);
	if (restore_sync_dir(data_dir, err) < 0)
		return -1;
	(void)tree_remove(arena_printf(&a, "%s/" RESTORE_STAGE, data_dir), NULL);
	return 1;
}

int restore_finish(const char *data_dir, struct err *err)
{
	struct err why = ERR_INIT;
	_cleanup_close_ int fd = restore_lock(data_dir, false, &why);

	if (fd < 0)
		return why.reason == ERR_NONE ? 0 : err_move(err, &why);
	return restore_roll_forward(data_dir, NULL, NULL, err);
}
