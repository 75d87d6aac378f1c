#include "kubelet/logs.h"

#include "base/timefmt.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define LINE_MAX_BYTES (1 << 20) /* a runtime cuts at 16 to 256 KiB; longer "lines" are no log */

struct log_reader {
	struct log_opts o;
	char *path;
	int fd;
	struct buf in;	 /* read, not yet a whole line */
	bool in_line[2]; /* a partial line of stdout, stderr was written: its rest follows */
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

/* Offset at which the last n lines of the file begin. */
static off_t tail_offset(int fd, int64_t n)
{
	off_t end = lseek(fd, 0, SEEK_END), at = end;
	char block[4096];

	if (end <= 0)
		return 0;
	n++; /* the newline that ends the last line does not begin another */
	while (at > 0) {
		size_t want = (size_t)MIN(at, (off_t)sizeof(block));
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
	return 0;
}

struct log_reader *log_reader_open(const char *path, const struct log_opts *o, struct err *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	struct log_reader *r;

	if (fd < 0) {
		err_set(err, ERR_NOT_FOUND, "no log: %s", strerror(errno));
		return NULL;
	}
	r = xcalloc(1, sizeof(*r));
	r->o = *o;
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

/* Another file under our name: this one was rotated away and is read out. */
static bool switch_file(struct log_reader *r)
{
	struct stat mine, now;
	int fd;

	if (fstat(r->fd, &mine) < 0 || stat(r->path, &now) < 0 ||
	    (mine.st_ino == now.st_ino && mine.st_dev == now.st_dev))
		return false;
	fd = open(r->path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return false;
	close(r->fd);
	r->fd = fd;
	buf_clear(&r->in);
	return true;
}

size_t log_reader_read(struct log_reader *r, struct buf *out, size_t max, bool *ret_done)
{
	size_t before = out->n;

	*ret_done = false;
	while (out->n - before < max) {
		struct sv all;
		ssize_t n, nl;

		buf_reserve(&r->in, 16384);
		n = read(r->fd, r->in.p + r->in.n, 16384);
		if (n <= 0) {
			if (switch_file(r))
				continue;
			break;
		}
		r->in.n += (size_t)n;
		all = buf_sv(&r->in);
		while ((nl = sv_find(all, '\n')) >= 0) {
			if (!r->skipping)
				put_line(r, out, sv_sub(all, 0, (size_t)nl));
			r->skipping = false;
			all = sv_sub(all, (size_t)nl + 1, all.n);
			if (r->o.limit_bytes >= 0 && r->left <= 0) {
				*ret_done = true;
				return out->n - before;
			}
		}
		buf_drop_front(&r->in, r->in.n - all.n);
		if (r->in.n > LINE_MAX_BYTES) {
			r->skipping = true;
			buf_clear(&r->in);
		}
	}
	if (r->o.limit_bytes >= 0 && r->left <= 0)
		*ret_done = true;
	return out->n - before;
}

struct log_reader *log_reader_free(struct log_reader *r)
{
	if (!r)
		return NULL;
	close(r->fd);
	buf_release(&r->in);
	free(r->path);
	free(r);
	return NULL;
}

void logs_tail_text(struct arena *a, const char *path, int lines, size_t max, struct sv *ret)
{
	struct log_reader *r = log_reader_open(path, &(struct log_opts){ .tail = lines, .limit_bytes = -1 }, NULL);
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	bool done;

	*ret = SV("");
	if (!r)
		return;
	while (b.n < (4u << 20) && log_reader_read(r, &b, 1 << 16, &done))
		;
	log_reader_free(r);
	*ret = arena_sv(a, b.n > max ? sv_sub(buf_sv(&b), b.n - max, max) : buf_sv(&b));
}
