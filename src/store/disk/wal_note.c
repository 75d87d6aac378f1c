/* The note: which segment of the log must exist. */
#include "store/disk/damage.h"
#include "store/disk/wal-internal.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#define NOTE_MAGIC UINT64_C(0x314e41575652430a) /* "\nCRVWAN1" */

_Static_assert(sizeof(struct wal_note) == 48, "no holes on disk");

static char *wal_note_path(const char *dir)
{
	return xasprintf("%s/wal.note", dir);
}

static uint32_t wal_note_crc(const struct wal_note *n)
{
	struct wal_note plain = *n;

	plain.crc = 0;
	return crc32c(0, &plain, sizeof(plain));
}

/* Each copy has a block of its own: writing one never touches the other. */
int wal_note_write(struct wal *w, uint64_t seq, uint64_t salt, int slot, struct err *err)
{
	struct wal_note n = { .magic = NOTE_MAGIC,
			      .number = w->note.number + 1,
			      .store_id = w->store_id,
			      .seq = seq,
			      .salt = salt,
			      .slot = (uint32_t)slot };
	struct iovec iov = { &n, sizeof(n) };

	n.crc = wal_note_crc(&n);
	if (w->note_fd < 0) {
		_cleanup_free_ char *path = wal_note_path(w->dir);

		w->note_fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	}
	if (w->note_fd < 0 || wal_write_all(w->note_fd, &iov, 1, (off_t)(n.number % 2 * WAL_BLOCK)) < 0 ||
	    wal_io.fdatasync(w->note_fd) < 0) {
		err_set_errno(err, errno, "cannot write '%s/wal.note'", w->dir);
		/* A descriptor whose sync failed once tells nothing any more. */
		close_fdp(&w->note_fd);
		w->note_fd = -1;
		return -1;
	}
	w->note = n;
	return 0;
}

static int wal_note_make(struct wal *w, const char *path, struct err *err)
{
	int e;

	w->note_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (w->note_fd < 0)
		return err_set_errno(err, errno, "cannot make '%s'", path);
	e = posix_fallocate(w->note_fd, 0, (off_t)(2 * WAL_BLOCK));
	if (e)
		return err_set_errno(err, e, "cannot allocate %zu bytes for '%s'", 2 * WAL_BLOCK, path);
	w->note.number = 0;
	return wal_note_write(w, w->last_seq, 0, 0, err);
}

int wal_note_open(struct wal *w, bool fresh, struct err *err)
{
	_cleanup_free_ char *path = wal_note_path(w->dir);
	struct wal_note n[2] = { 0 };
	bool any = false;

	if (fresh)
		return wal_note_make(w, path, err);
	w->note_fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	if (w->note_fd < 0)
		return errno == ENOENT ? damage_file(err, path, "is missing")
				       : err_set_errno(err, errno, "cannot open '%s'", path);
	for (int i = 0; i < 2; i++) {
		if (pread(w->note_fd, &n[i], sizeof(n[i]), (off_t)((size_t)i * WAL_BLOCK)) != sizeof(n[i]) ||
		    n[i].magic != NOTE_MAGIC || n[i].crc != wal_note_crc(&n[i]) || n[i].number % 2 != (uint64_t)i)
			continue;
		if (n[i].store_id != w->store_id)
			return damage_file(err, path, "belongs to another store");
		if (!any || n[i].number > w->note.number)
			w->note = n[i];
		any = true;
	}
	return any ? 0 : damage_set(err, path, 0, "neither of the two notes is sound");
}
