/* Writing the log. Reading it is in wal_scan.c. */
#include "store/disk/wal-internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

struct wal_io wal_io = { pwritev, fdatasync, fsync };

static const unsigned char wal_zeros[WAL_BLOCK];

void wal_record_seal(struct wal_record *r, uint32_t data_crc)
{
	r->crc = 0;
	r->crc = crc32c(data_crc, r, sizeof(*r));
}

void wal_init(struct wal *w, const char *dir, uint64_t store_id)
{
	*w = (struct wal){ .dir = xstrdup(dir), .store_id = store_id, .cur = -1, .note_fd = -1 };
	for (int i = 0; i < WAL_SLOTS; i++)
		w->slots[i].fd = -1;
}

void wal_release(struct wal *w)
{
	for (int i = 0; i < WAL_SLOTS; i++)
		close_fdp(&w->slots[i].fd);
	close_fdp(&w->note_fd);
	free(w->dir);
}

char *wal_slot_path(const struct wal *w, int slot)
{
	return xasprintf("%s/wal.%d", w->dir, slot);
}

bool wal_fits(const struct wal *w, size_t payload)
{
	if (w->cur < 0)
		return false;
	return w->number == 0 || w->end + WAL_BLOCK_UP(sizeof(struct wal_group) + payload) <= WAL_SEGMENT;
}

int wal_free_slot(const struct wal *w, bool may_make)
{
	/* One that exists before one that has to be made. */
	for (int pass = 0; pass < (may_make ? 2 : 1); pass++)
		for (int i = 0; i < WAL_SLOTS; i++)
			if (!w->slots[i].busy && (pass || w->slots[i].seq))
				return i;
	return -1;
}

static int wal_sync_dir(const struct wal *w, struct err *err)
{
	_cleanup_close_ int fd = open(w->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0 || wal_io.fsync(fd) < 0)
		return err_set_errno(err, errno, "cannot sync '%s'", w->dir);
	return 0;
}

/* Opens the slot's file; gives a new one all its room now, so that a full disk shows before
 * anything is written, and takes back what an oversized group added. */
static int wal_slot_open(struct wal *w, int slot, struct err *err)
{
	_cleanup_free_ char *path = wal_slot_path(w, slot);
	_cleanup_close_ int fd = TAKE_FD(w->slots[slot].fd);
	struct stat st;

	if (fd < 0)
		fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0 || fstat(fd, &st) < 0)
		return err_set_errno(err, errno, "cannot open '%s'", path);
	if ((size_t)st.st_size > WAL_SEGMENT && ftruncate(fd, (off_t)WAL_SEGMENT) < 0)
		return err_set_errno(err, errno, "cannot truncate '%s'", path);
	if ((size_t)st.st_size < WAL_SEGMENT || w->slots[slot].unsure) {
		int r;

		w->slots[slot].unsure = true;
		do
			r = posix_fallocate(fd, 0, (off_t)WAL_SEGMENT);
		while (r == EINTR);
		if (r)
			return err_set_errno(err, r, "cannot allocate %zu bytes for '%s'", WAL_SEGMENT, path);
		if (wal_io.fsync(fd) < 0)
			return err_set_errno(err, errno, "cannot sync '%s'", path);
		if (wal_sync_dir(w, err) < 0)
			return -1;
		w->slots[slot].unsure = false;
	}
	w->slots[slot].fd = TAKE_FD(fd);
	return 0;
}

static int wal_put_head(struct wal *w, int slot, uint64_t base_rev, uint64_t salt, struct err *err)
{
	struct wal_head h = { .magic = WAL_HEAD_MAGIC,
			      .seq = w->last_seq,
			      .salt = salt,
			      .store_id = w->store_id,
			      .base_rev = base_rev,
			      .prev_seq = w->tail_seq,
			      .prev_end = w->tail_end,
			      .version = WAL_VERSION };
	struct iovec iov[2] = { { &h, sizeof(h) }, { (void *)wal_zeros, WAL_BLOCK - sizeof(h) } };
	_cleanup_free_ char *path = wal_slot_path(w, slot);

	h.crc = crc32c(0, &h, sizeof(h));
	if (wal_write_all(w->slots[slot].fd, iov, 2, 0) < 0 || wal_io.fdatasync(w->slots[slot].fd) < 0) {
		err_set_errno(err, errno, "cannot write '%s'", path);
		/* What a failed sync left in doubt is not written over with the same descriptor. */
		close_fdp(&w->slots[slot].fd);
		w->slots[slot].fd = -1;
		return -1;
	}
	return 0;
}

int wal_begin(struct wal *w, int slot, uint64_t base_rev, uint64_t salt, struct err *err)
{
	if (wal_slot_open(w, slot, err) < 0)
		return -1;
	w->last_seq++;
	if (wal_put_head(w, slot, base_rev, salt, err) < 0 || wal_note_write(w, w->last_seq, salt, slot, err) < 0)
		return -1;
	w->cur = slot;
	w->seq = w->last_seq;
	w->salt = salt;
	w->number = 0;
	w->end = WAL_BLOCK;
	w->base_rev = base_rev;
	w->slots[slot].busy = true;
	w->slots[slot].seq = w->seq;
	return 0;
}

int wal_write_all(int fd, struct iovec *iov, int n, off_t off)
{
	while (n > 0) {
		ssize_t wrote = wal_io.pwritev(fd, iov, MIN(n, IOV_MAX), off);

		if (wrote < 0 && errno == EINTR)
			continue;
		if (wrote <= 0) {
			errno = wrote ? errno : EIO;
			return -1;
		}
		off += wrote;
		while (n > 0 && (size_t)wrote >= iov->iov_len) {
			wrote -= (ssize_t)iov->iov_len;
			iov++;
			n--;
		}
		if (n > 0) {
			iov->iov_base = (char *)iov->iov_base + wrote;
			iov->iov_len -= (size_t)wrote;
		}
	}
	return 0;
}

/* After a failure at off: whatever of the group is on its way to the disk must not be replayed.
 * A fresh descriptor, because the old one's error was reported and will not be again. Best
 * effort: when this fails too, only a crash before the next good write could show the group. */
static void wal_abandon(struct wal *w, size_t off)
{
	_cleanup_free_ char *path = wal_slot_path(w, w->cur);
	_cleanup_close_ int fd = -1;
	struct iovec zero = { (void *)wal_zeros, WAL_BLOCK };

	close_fdp(&w->slots[w->cur].fd);
	w->slots[w->cur].fd = -1;
	w->cur = -1;
	fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	if (fd >= 0 && wal_write_all(fd, &zero, 1, (off_t)off) == 0)
		(void)wal_io.fdatasync(fd);
}

int wal_append(struct wal *w, struct iovec *iov, int n_iov, uint64_t first_rev, uint32_t count, bool *ret_used,
	       struct err *err)
{
	struct wal_group g = { .magic = WAL_GROUP_MAGIC,
			       .seq = w->seq,
			       .salt = w->salt,
			       .number = w->number + 1,
			       .first_rev = first_rev,
			       .count = count };
	_cleanup_free_ char *scratch = NULL; /* of iov[0], which moves while it is written */
	struct iovec *v = iov + 1;
	size_t payload = 0, total;
	bool first = w->number == 0;
	off_t off = (off_t)w->end;
	int n = n_iov + 1, slot = w->cur;

	BUG_ON(slot < 0);
	for (int i = 0; i < n_iov; i++)
		payload += v[i].iov_len;
	BUG_ON(payload > UINT32_MAX);
	g.bytes = (uint32_t)payload;
	g.crc = wal_salt_crc(w->salt);
	g.crc = wal_group_head_crc(&g, g.crc);
	for (int i = 0; i < n_iov; i++)
		g.crc = crc32c(g.crc, v[i].iov_base, v[i].iov_len);

	scratch = xmemdup(&g, sizeof(g));
	iov[0] = (struct iovec){ scratch, sizeof(g) };
	total = WAL_BLOCK_UP(sizeof(g) + payload);
	iov[n] = (struct iovec){ (void *)wal_zeros, total - sizeof(g) - payload };
	n++;

	*ret_used = !first;
	if (wal_write_all(w->slots[slot].fd, iov, n, off) < 0 || wal_io.fdatasync(w->slots[slot].fd) < 0) {
		_cleanup_free_ char *path = wal_slot_path(w, slot);

		err_set_errno(err, errno, "cannot write '%s'", path);
		err->reason = ERR_UNAVAILABLE;
		wal_abandon(w, (size_t)off);
		return -1;
	}
	*ret_used = true;
	w->number++;
	w->end += total;
	w->tail_seq = w->seq;
	w->tail_end = w->end;
	return 0;
}

uint64_t wal_bytes(const struct wal *w)
{
	uint64_t sum = 0;

	for (int i = 0; i < WAL_SLOTS; i++) {
		_cleanup_free_ char *path = wal_slot_path(w, i);
		struct stat st;

		if (stat(path, &st) == 0)
			sum += (uint64_t)st.st_blocks * 512;
	}
	return sum;
}
