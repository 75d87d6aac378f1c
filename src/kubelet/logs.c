#include "kubelet/logs.h"

#include "base/timefmt.h"
#include "kubelet/beneath.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#define TAIL_MAX_BYTES (64 << 20)
#define LINE_MAX_BYTES (1 << 20) /* a runtime cuts at 16 to 256 KiB; longer "lines" are no log */

struct log_reader {
	struct log_opts o;
	char *root, *path;
	int fd;
	struct buf in;	 /* read, not yet a whole line */
	bool in_line[2]; /* a partial line of stdout, stderr was written: its rest follows */
	bool complete;	 /* nothing is written to the file any more */
	bool skipping;	 /* within something longer than LINE_MAX_BYTES */
	int64_t left;	 /* of limit_bytes */
};

bool log_line_parse(struct sv line, struct log_line *ret)
{
	ssize_t a = sv_find(line, ' '), b;
	struct sv rest, tag;

	if (a <= 0)
		return false;
	ret->time = sv_sub(line, 0, (size_t)a);
	if (!time_parse(ret->time, &ret->time_ns))
		return false;
	rest = sv_sub(line, (size_t)a + 1, line.n);
	if (sv_starts(rest, SV("stdout ")))
		ret->is_stderr = false;
	else if (sv_starts(rest, SV("stderr ")))
		ret->is_stderr = true;
	else
		return false;
	rest = sv_sub(rest, 7, rest.n);
	b = sv_find(rest, ' ');
	/* Tags may be several, separated by ':'; the first says whether the line is whole. */
	tag = b < 0 ? rest : sv_sub(rest, 0, (size_t)b);
	if (!tag.n || (tag.p[0] != 'F' && tag.p[0] != 'P') || (tag.n > 1 && tag.p[1] != ':'))
		return false;
	ret->partial = tag.p[0] == 'P';
	ret->text = b < 0 ? sv_sub(rest, rest.n, 0) : sv_sub(rest, (size_t)b + 1, rest.n);
	return true;
}

/* Offset at which the last n lines of the file begin, of those that are not further back than TAIL_MAX_BYTES: a log is
 * rotated long before, and whoever made a larger one does not keep us reading. */
static off_t tail_offset(int fd, int64_t n)
{
	off_t end = lseek(fd, 0, SEEK_END), at = end, stop = MAX(end - TAIL_MAX_BYTES, 0);
	char block[16384];

	if (end <= 0)
		return 0;
	n++; /* the newline that ends the last line does not begin another */
	while (at > stop) {
		size_t want = (size_t)MIN(at - stop, (off_t)sizeof(block));
		ssize_t got = pread(fd, block, want, at - (off_t)want);

		if (got != (ssize_t)want)
			return 0;
		for (size_t i = want; i-- > 0;)
			if (block[i] == '\n' && --n == 0)
				return at - (off_t)want + (off_t)i + 1;
			else if (i == want - 1 && at == end && block[i] != '\n')
				n--; /* an unfinished last line counts by itself */
		at -= (off_t)want;
	}
	return stop;
}

/* -1 with errno, which says EINVAL of what is no regular file. */
static int log_open(const char *root, const char *path, struct stat *st, struct err *err)
{
	_cleanup_close_ int dir = beneath_dir(root, "", err);

	return dir < 0 ? -1 : beneath_regular(dir, path, st, err);
}

struct log_reader *log_reader_open(const char *root, const char *path, const struct log_opts *o, struct err *err)
{
	struct err e = ERR_INIT;
	int fd = log_open(root, path, NULL, &e);
	struct log_reader *r;

	if (fd < 0) {
		err_set(err, ERR_NOT_FOUND, "no log: %s", e.errnum == EINVAL ? err_msg(&e) : strerror(e.errnum));
		err_release(&e);
		return NULL;
	}
	r = xcalloc(1, sizeof(*r));
	r->o = *o;
	r->root = xstrdup(root);
	r->path = xstrdup(path);
	r->fd = fd;
	r->left = o->limit_bytes;
	if (o->tail >= 0)
		lseek(fd, o->tail == 0 ? 0 : tail_offset(fd, o->tail), o->tail == 0 ? SEEK_END : SEEK_SET);
	return r;
}

static void emit(struct log_reader *r, struct buf *out, struct sv s)
{
	if (r->o.limit_bytes >= 0) {
		s = sv_sub(s, 0, (size_t)MIN((int64_t)MIN(s.n, (size_t)INT64_MAX), r->left));
		r->left -= (int64_t)s.n;
	}
	buf_addsv(out, s);
}

static void put_line(struct log_reader *r, struct buf *out, struct sv line)
{
	struct log_line l;

	if (!log_line_parse(line, &l) || (l.is_stderr ? r->o.no_stderr : r->o.no_stdout) || l.time_ns < r->o.since_ns)
		return;
	if (r->o.timestamps && !r->in_line[l.is_stderr]) {
		emit(r, out, l.time);
		emit(r, out, SV(" "));
	}
	emit(r, out, l.text);
	if (!l.partial)
		emit(r, out, SV("\n"));
	r->in_line[l.is_stderr] = l.partial;
}

/* Another file under our name: this one was rotated away. The runtime ends with it before it writes to the new one, so
 * what came here meanwhile is read once more. */
static bool switch_file(struct log_reader *r)
{
	struct stat mine, now;
	int fd = log_open(r->root, r->path, &now, NULL);

	if (fd < 0)
		return false;
	if (fstat(r->fd, &mine) < 0 || (mine.st_ino == now.st_ino && mine.st_dev == now.st_dev) || now.st_size == 0) {
		close(fd);
		return false;
	}
	if (!r->complete) {
		r->complete = true;
		close(fd);
		return true;
	}
	r->complete = false;
	close(r->fd);
	r->fd = fd;
	buf_clear(&r->in);
	return true;
}

/* The whole lines of what was read; false: the limit is reached. */
static bool put_lines(struct log_reader *r, struct buf *out)
{
	struct sv all = buf_sv(&r->in);
	ssize_t nl;

	while ((nl = sv_find(all, '\n')) >= 0) {
		if (!r->skipping)
			put_line(r, out, sv_sub(all, 0, (size_t)nl));
		r->skipping = false;
		all = sv_sub(all, (size_t)nl + 1, all.n);
		if (r->o.limit_bytes >= 0 && r->left <= 0)
			return false;
	}
	buf_drop_front(&r->in, r->in.n - all.n);
	if (r->in.n > LINE_MAX_BYTES) {
		r->skipping = true;
		buf_clear(&r->in);
	}
	return true;
}

enum log_more log_reader_read(struct log_reader *r, struct buf *out, size_t max)
{
	size_t before = out->n, taken = 0;

	if (r->o.limit_bytes >= 0 && r->left <= 0)
		return LOG_DONE;
	while (out->n - before < max && taken < LOG_STEP_BYTES) {
		ssize_t n;

		buf_reserve(&r->in, 16384);
		n = read(r->fd, r->in.p + r->in.n, 16384);
		if (n <= 0) {
			if (switch_file(r))
				continue;
			return LOG_END;
		}
		r->in.n += (size_t)n;
		taken += (size_t)n;
		if (!put_lines(r, out))
			return LOG_DONE;
	}
	return LOG_MORE;
}

struct log_reader *log_reader_free(struct log_reader *r)
{
	if (!r)
		return NULL;
	close(r->fd);
	buf_release(&r->in);
	free(r->root);
	free(r->path);
	free(r);
	return NULL;
}

void logs_tail_text(struct arena *a, const char *root, const char *path, int lines, size_t max, struct sv *ret)
{
	struct log_reader *r =
	    log_reader_open(root, path, &(struct log_opts){ .tail = lines, .limit_bytes = -1 }, NULL);
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	*ret = SV("");
	if (!r)
		return;
	for (size_t got = 0; got < TAIL_MAX_BYTES && log_reader_read(r, &b, 1 << 16) == LOG_MORE; got += 1 << 16)
		if (b.n > max) /* only its end is wanted */
			buf_drop_front(&b, b.n - max);
	log_reader_free(r);
	*ret = arena_sv(a, b.n > max ? sv_sub(buf_sv(&b), b.n - max, max) : buf_sv(&b));
}
