/* Every system call of the store as the last one, and every one as one that fails.
 *
 * The calls that change files are wrapped by the linker. From a chosen one on all of them fail without doing anything,
 * which is a killed process seen from the disk. What a lost power supply leaves is worked out from the syncs: of a file
 * what had been written before its last one, of the directory the names at its last one; the kernel may have written
 * more, so names and contents as they were are tried, too. Whatever is left has to open and hold every answered write,
 * with its revision, and of the one that was under way all or nothing.
 *
 * POWER_STEP=1 tries every call; without it they are sampled. */
#include "dir_kit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <sys/uio.h>

#define KEYS 12
#define OPS 60

/* --- the disk --- */

struct file {
	ino_t ino;
	struct buf durable;
	VEC(struct {
		off_t at;
		size_t n;
	})
	dirty;
};
struct name {
	char name[32];
	ino_t ino;
};

enum fault { NONE, SHORT, DIE, FAIL_EIO, FAIL_ENOSPC };

static struct {
	pthread_mutex_t mu;
	bool armed;
	enum fault fault;
	long calls, at;
	struct stat dir;
	VEC(struct file) files;
	VEC(struct name) names; /* durable */
} disk = { .mu = PTHREAD_MUTEX_INITIALIZER };

int __real_open64(const char *path, int flags, mode_t mode);
ssize_t __real_pwrite64(int fd, const void *p, size_t n, off_t off);
ssize_t __real_pwritev64(int fd, const struct iovec *iov, int n, off_t off);
int __real_rename(const char *from, const char *to);
int __real_unlink(const char *path);
int __real_unlinkat(int fd, const char *path, int flags);
int __real_ftruncate64(int fd, off_t n);
int __real_fallocate64(int fd, int mode, off_t at, off_t n);
int __wrap_open64(const char *path, int flags, ...);
ssize_t __wrap_pwrite64(int fd, const void *p, size_t n, off_t off);
ssize_t __wrap_pwritev64(int fd, const struct iovec *iov, int n, off_t off);
int __wrap_fdatasync(int fd);
int __wrap_fsync(int fd);
int __wrap_rename(const char *from, const char *to);
int __wrap_unlink(const char *path);
int __wrap_unlinkat(int fd, const char *path, int flags);
int __wrap_ftruncate64(int fd, off_t n);
int __wrap_fallocate64(int fd, int mode, off_t at, off_t n);
int __wrap_posix_fallocate64(int fd, off_t at, off_t n);

static struct file *disk_file(int fd)
{
	struct file fresh = { .durable = BUF_INIT };
	struct stat st;

	assert_int_equal(fstat(fd, &st), 0);
	for (size_t i = 0; i < disk.files.n; i++)
		if (disk.files.p[i].ino == st.st_ino)
			return &disk.files.p[i];
	fresh.ino = st.st_ino;
	vec_push(&disk.files, fresh);
	return &vec_last(&disk.files);
}

/* 0: go on; otherwise the call fails like that. */
static enum fault disk_gate(void)
{
	if (!disk.armed)
		return NONE;
	disk.calls++;
	if (disk.fault == DIE && disk.calls >= disk.at)
		return DIE;
	return disk.fault > DIE && disk.calls == disk.at ? disk.fault : NONE;
}

static int disk_errno(enum fault f)
{
	return f == FAIL_ENOSPC ? ENOSPC : EIO;
}

/* Wraps one call: under the lock, through the gate. */
#define DISK_CALL(type, real, after)                 \
	({                                           \
		type r_ = -1;                        \
		enum fault f_;                       \
		int e_;                              \
                                                     \
		pthread_mutex_lock(&disk.mu);        \
		f_ = disk_gate();                    \
		if (f_ == NONE) {                    \
			r_ = (real);                 \
			e_ = errno;                  \
			if (disk.armed && r_ >= 0) { \
				after;               \
			}                            \
		} else {                             \
			e_ = disk_errno(f_);         \
		}                                    \
		pthread_mutex_unlock(&disk.mu);      \
		errno = e_;                          \
		r_;                                  \
	})

static void disk_wrote(int fd, off_t at, size_t n)
{
	struct file *f = disk_file(fd);

	vec_push(&f->dirty, ((typeof(*f->dirty.p)){ at, n }));
}

static void disk_resize(struct buf *b, size_t n)
{
	size_t had = b->n;

	if (n > had)
		memset(buf_extend(b, n - had), 0, n - had);
	b->n = n;
}

static void disk_synced(int fd)
{
	char path[64];
	struct stat st;
	struct file *f;
	int in;

	assert_int_equal(fstat(fd, &st), 0);
	if (S_ISDIR(st.st_mode)) {
		DIR *d;

		if (st.st_ino != disk.dir.st_ino || st.st_dev != disk.dir.st_dev)
			return;
		d = fdopendir(openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
		assert_non_null(d);
		vec_clear(&disk.names);
		for (struct dirent *e; (e = readdir(d));) {
			struct name n = { .ino = e->d_ino };

			if (e->d_name[0] == '.')
				continue;
			snprintf(n.name, sizeof(n.name), "%.31s", e->d_name);
			vec_push(&disk.names, n);
		}
		closedir(d);
		return;
	}
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd); /* it may be open for writing only */
	in = __real_open64(path, O_RDONLY | O_CLOEXEC, 0);
	assert_true(in >= 0);
	f = disk_file(fd);
	disk_resize(&f->durable, (size_t)st.st_size);
	for (size_t i = 0; i < f->dirty.n; i++) {
		size_t at = (size_t)f->dirty.p[i].at, n = f->dirty.p[i].n;

		if (at < f->durable.n)
			(void)!pread(in, f->durable.p + at, MIN(n, f->durable.n - at), (off_t)at);
	}
	vec_clear(&f->dirty);
	close(in);
}

/* Nothing is really synced: what would be on disk is known here. After a sync that failed the kernel takes the pages
 * for clean: no later one writes them. */
static int disk_sync(int fd)
{
	enum fault f;
	int r = -1;

	pthread_mutex_lock(&disk.mu);
	f = disk_gate();
	if (f == NONE) {
		r = 0;
		if (disk.armed)
			disk_synced(fd);
	} else if (f != DIE) {
		vec_clear(&disk_file(fd)->dirty);
	}
	pthread_mutex_unlock(&disk.mu);
	errno = disk_errno(f);
	return r;
}

int __wrap_fdatasync(int fd)
{
	return disk_sync(fd);
}

int __wrap_fsync(int fd)
{
	return disk_sync(fd);
}

int __wrap_open64(const char *path, int flags, ...)
{
	mode_t mode = 0;

	if (flags & O_CREAT) {
		va_list ap;

		va_start(ap, flags);
		mode = va_arg(ap, mode_t);
		va_end(ap);
	}
	if (!(flags & (O_CREAT | O_TRUNC)))
		return __real_open64(path, flags, mode);
	return DISK_CALL(int, __real_open64(path, flags, mode), (void)disk_file(r_));
}

ssize_t __wrap_pwrite64(int fd, const void *p, size_t n, off_t off)
{
	if (disk.fault == SHORT)
		n = MAX((size_t)1, n / 2);
	return DISK_CALL(ssize_t, __real_pwrite64(fd, p, n, off), disk_wrote(fd, off, (size_t)r_));
}

ssize_t __wrap_pwritev64(int fd, const struct iovec *iov, int n, off_t off)
{
	/* Half of it: whoever asked has to ask for the rest. */
	if (disk.fault == SHORT)
		n = MAX(1, n / 2);
	return DISK_CALL(ssize_t, __real_pwritev64(fd, iov, n, off), disk_wrote(fd, off, (size_t)r_));
}

int __wrap_rename(const char *from, const char *to)
{
	return DISK_CALL(int, __real_rename(from, to), );
}

int __wrap_unlink(const char *path)
{
	return DISK_CALL(int, __real_unlink(path), );
}

int __wrap_unlinkat(int fd, const char *path, int flags)
{
	return DISK_CALL(int, __real_unlinkat(fd, path, flags), );
}

int __wrap_ftruncate64(int fd, off_t n)
{
	return DISK_CALL(int, __real_ftruncate64(fd, n), );
}

int __wrap_fallocate64(int fd, int mode, off_t at, off_t n)
{
	/* The reserve's room is not what this is about. A hole may be on disk at once. */
	return DISK_CALL(int, mode &FALLOC_FL_PUNCH_HOLE ? __real_fallocate64(fd, mode, at, n) : 0, {
		struct buf *b = &disk_file(fd)->durable;

		if (mode & FALLOC_FL_PUNCH_HOLE && (size_t)at < b->n)
			memset(b->p + at, 0, MIN((size_t)n, b->n - (size_t)at));
	});
}

int __wrap_posix_fallocate64(int fd, off_t at, off_t n)
{
	int r = DISK_CALL(int, __real_ftruncate64(fd, at + n), );

	return r < 0 ? errno : r;
}

static void disk_arm(const char *dir, enum fault fault, long at)
{
	disk.fault = fault;
	disk.calls = 0;
	disk.at = at;
	if (dir)
		assert_int_equal(stat(dir, &disk.dir), 0);
	disk.armed = true;
}

static void disk_forget(void)
{
	for (size_t i = 0; i < disk.files.n; i++) {
		buf_release(&disk.files.p[i].durable);
		vec_release(&disk.files.p[i].dirty);
	}
	vec_release(&disk.files);
	vec_release(&disk.names);
	disk.files.n = disk.names.n = 0;
}

/* A segment is mostly zeros, which need not be written. */
static void image_store(const char *path, const char *p, size_t n)
{
	static const char zeros[4096];
	size_t used = n;

	while (used >= sizeof(zeros) && memcmp(p + used - sizeof(zeros), zeros, sizeof(zeros)) == 0)
		used -= sizeof(zeros);
	file_store(path, used ? p : "", used);
	assert_int_equal(truncate(path, (off_t)n), 0);
}

/* What a power cut leaves, as a directory. */
static void disk_image(const char *dir, const char *to, bool names_now, bool contents_now)
{
	VEC(struct name) names = VEC_INIT;
	struct dirent *e;
	DIR *d = opendir(dir);
	char path[512];

	assert_non_null(d);
	kit_rmdir(to);
	assert_int_equal(mkdir(to, 0700), 0);
	for (size_t i = 0; !names_now && i < disk.names.n; i++)
		vec_push(&names, disk.names.p[i]);
	while (names_now && (e = readdir(d))) {
		struct name n = { .ino = e->d_ino };

		snprintf(n.name, sizeof(n.name), "%.31s", e->d_name);
		if (n.name[0] != '.')
			vec_push(&names, n);
	}
	for (size_t i = 0; i < names.n; i++) {
		struct buf now = BUF_INIT;
		const struct buf *b = &now;

		if (!strcmp(names.p[i].name, "reserve") || !strcmp(names.p[i].name, "lock"))
			continue;
		for (size_t k = 0; k < disk.files.n; k++)
			if (disk.files.p[k].ino == names.p[i].ino)
				b = &disk.files.p[k].durable;
		rewinddir(d);
		while (contents_now && (e = readdir(d)))
			if (e->d_ino == names.p[i].ino) {
				snprintf(path, sizeof(path), "%s/%.31s", dir, e->d_name);
				file_load(path, &now);
				b = &now;
			}
		snprintf(path, sizeof(path), "%s/%s", to, names.p[i].name);
		image_store(path, b->p, b->n);
		buf_release(&now);
	}
	closedir(d);
	vec_release(&names);
}

/* --- what was written and answered --- */

struct op {
	int key;
	size_t n;    /* of the value; 0: a deletion */
	int64_t rev; /* 0: not answered */
};

struct ledger {
	struct op ops[OPS];
	int n;	   /* answered */
	bool open; /* another one was begun, and nobody knows */
	int64_t rev, compacted;
};

static struct store *open_disk(const char *dir, struct err *err)
{
	return store_disk_open(&thread_env, dir, (size_t)1 << 30, err);
}

static struct op ledger_op(int i)
{
	return (struct op){ .key = i * 7 % KEYS, .n = i % 9 == 8 ? 0 : i % 5 == 4 ? 200000 : (size_t)(10 + i) };
}

static bool op_applies(const struct ledger *l, int i)
{
	if (l->ops[i].n)
		return true;
	for (int k = i - 1; k >= 0; k--)
		if (l->ops[k].key == l->ops[i].key)
			return l->ops[k].n > 0;
	return false;
}

/* One write. False: it was not taken. */
static bool ledger_write(struct ledger *l, struct store *s)
{
	struct op *o = &l->ops[l->n];
	char key[16], *value;
	int64_t rev;

	*o = ledger_op(l->n);
	while (!op_applies(l, l->n))
		o->key = (o->key + 1) % KEYS;
	snprintf(key, sizeof(key), "/k/%02d", o->key);
	value = xmalloc(o->n + 1);
	memset(value, 'a' + l->n % 26, o->n + 1);
	l->open = true;
	rev = o->n ? put_n(s, sv_from(key), sv_make(value, o->n), STORE_ANY_REV) : del(s, key, STORE_ANY_REV);
	free(value);
	if (rev <= 0)
		return false;
	assert_int_equal(rev, l->rev + 1);
	o->rev = l->rev = rev;
	l->n++;
	l->open = false;
	return true;
}

struct find {
	const struct ledger *l;
	int64_t rev;
	int n;
};

static int find_one(const struct store_kv *kv, void *ctx)
{
	struct find *f = ctx;
	const struct ledger *l = f->l;
	int key = key_number(kv->key), newest = -1;

	for (int i = 0; i < l->n; i++)
		if (l->ops[i].rev && l->ops[i].rev <= f->rev && l->ops[i].key == key)
			newest = i;
	assert_true(newest >= 0);
	assert_int_equal(kv->mod_rev, l->ops[newest].rev);
	assert_int_equal(kv->value.n, l->ops[newest].n);
	for (size_t i = 0; i < kv->value.n; i++)
		if (kv->value.p[i] != 'a' + newest % 26)
			fail_msg("revision %" PRId64 " has another's bytes", kv->mod_rev);
	f->n++;
	return 0;
}

static void ledger_compare(const struct ledger *l, struct store *s, int64_t rev)
{
	struct find f = { l, rev, 0 };
	struct err err = ERR_INIT;
	int want = 0;

	if (store_range(s, SV("/k/"), SV("/k0"), rev, 0, find_one, &f, NULL, &err) < 0) {
		/* History may be gone as far as somebody has asked for that. */
		if (err.reason != ERR_EXPIRED || rev >= l->compacted)
			fail_msg("revision %" PRId64 ": %s", rev, err_msg(&err));
		err_release(&err);
		return;
	}
	for (int key = 0; key < KEYS; key++) {
		bool there = false;

		for (int i = 0; i < l->n; i++)
			if (l->ops[i].rev && l->ops[i].rev <= rev && l->ops[i].key == key)
				there = l->ops[i].n > 0;
		want += there;
	}
	assert_int_equal(f.n, want);
}

/* Of the write under way it shows at the next start whether it happened. */
static void ledger_settle(struct ledger *l, int64_t rev)
{
	if (l->open && rev == l->rev + 1)
		l->ops[l->n++].rev = l->rev = rev;
	l->open = false;
}

/* Everything that was answered, and of the write under way all or nothing: which, the ledger then knows. */
static void ledger_verify(struct ledger *l, struct store *s, const char *what)
{
	int64_t rev = now_rev(s), since = MAX(MAX(l->compacted, rev - 5), (int64_t)1);
	struct seen seen;

	ledger_settle(l, rev);
	if (rev != l->rev)
		fail_msg("%s: revision %" PRId64 ", answered %" PRId64, what, rev, l->rev);
	ledger_compare(l, s, rev);
	for (int64_t at = MAX(rev - 9, (int64_t)1); at < rev; at += 3)
		ledger_compare(l, s, at);
	/* Whoever watched goes on from where it was. */
	seen_watch(&seen, s, "/k/", "/k0", since);
	seen_wait_progress(&seen, rev);
	assert_int_equal(seen.revs.n, rev - since);
	seen_stop(&seen, s);
}

static void image_verify(const struct ledger *l, const char *dir, bool names_now, bool contents_now)
{
	_cleanup_free_ char *what = xasprintf("fault %d at call %ld, %s names, %s contents", (int)disk.fault, disk.at,
					      names_now ? "new" : "synced", contents_now ? "new" : "synced");
	struct ledger copy = *l;
	struct err err = ERR_INIT;
	struct store *s;
	char to[64];

	kit_mkdir(to);
	disk_image(dir, to, names_now, contents_now);
	s = open_disk(to, &err);
	if (!s)
		fail_msg("%s: %s", what, err_msg(&err));
	ledger_verify(&copy, s, what);
	/* What comes now has a revision that nobody had. */
	assert_int_equal(put(s, "/z", "x", 0), copy.rev + 1);
	store_close(s);
	kit_rmdir(to);
}

static void images_verify(const struct ledger *l, const char *dir)
{
	/* Before the first manifest's name is on disk there is no store: a fresh one comes of it. */
	if (l->rev <= 1 && !l->n)
		return;
	for (int i = 0; i < 4; i++)
		image_verify(l, dir, i & 1, i & 2);
}

/* Goes on writing until it is done or a write fails. Compactions make a generation of the few writes between them,
 * so that there is something to merge. */
static void work(struct ledger *l, const char *dir, int upto)
{
	struct err err = ERR_INIT;
	struct store *s = open_disk(dir, &err);

	if (!s) {
		err_release(&err);
		return;
	}
	ledger_settle(l, now_rev(s));
	while (l->n < upto && ledger_write(l, s))
		if (l->n % 3 == 0) {
			int64_t rev = l->rev - 6;

			if (rev > l->compacted && store_compact(s, rev, NULL) == 0)
				l->compacted = rev;
			l->compacted = MAX(l->compacted, rev);
		}
	for (int i = 0; i < 300 && l->n == OPS && dir_tables(dir) > 6; i++)
		nap();
	store_close(s);
}

static long power_step(long sampled)
{
	const char *s = getenv("POWER_STEP");

	return s ? atol(s) : sampled;
}

/* How many calls there are without any fault. */
static long count_calls(enum fault fault)
{
	struct ledger l = { .rev = 1 };
	char dir[64];
	long n;

	kit_mkdir(dir);
	disk_arm(dir, fault, 0);
	work(&l, dir, OPS);
	disk.armed = false;
	assert_int_equal(l.n, OPS);
	n = disk.calls;
	images_verify(&l, dir);
	disk_forget();
	kit_rmdir(dir);
	return n;
}

/* Killed, and power lost there; then also started again, killed or not, and power lost then. */
static void test_killed(void **state)
{
	long n = count_calls(NONE), step = power_step(n / 25);

	(void)state;
	assert_true(n > 200);
	for (long at = 1; at < n; at += step) {
		struct ledger l = { .rev = 1 };
		struct store *s;
		struct err err = ERR_INIT;
		char dir[64];

		kit_mkdir(dir);
		disk_arm(dir, DIE, at);
		work(&l, dir, OPS);
		disk.armed = false;
		images_verify(&l, dir);
		for (int again = 0; again < 2; again++) {
			disk_arm(NULL, DIE, 1 + (at * 13 + again * 7) % 60);
			work(&l, dir, MIN(l.n + 6, OPS));
			disk.armed = false;
			images_verify(&l, dir);
		}
		s = open_disk(dir, &err);
		assert_non_null(s);
		ledger_verify(&l, s, "killed");
		store_close(s);
		disk_forget();
		kit_rmdir(dir);
	}
}

/* One call fails, and the store goes on: what it said is true, then and after a power cut. */
static void test_one_fails(void **state)
{
	static const enum fault faults[] = { FAIL_EIO, FAIL_ENOSPC };
	long n = count_calls(NONE), step = power_step(n / 12);

	(void)state;
	for (size_t k = 0; k < ARRAY_LEN(faults); k++)
		for (long at = 1 + (long)k * step / 2; at < n; at += step) {
			struct ledger l = { .rev = 1 };
			char dir[64];

			kit_mkdir(dir);
			disk_arm(dir, faults[k], at);
			for (int i = 0; i < 20 && l.n < OPS; i++)
				work(&l, dir, OPS);
			disk.armed = false;
			assert_int_equal(l.n, OPS);
			images_verify(&l, dir);
			disk_forget();
			kit_rmdir(dir);
		}
}

/* Calls that do less than they were asked for, every one of them. */
static void test_short(void **state)
{
	(void)state;
	assert_true(count_calls(SHORT) > 400);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_killed),
		cmocka_unit_test(test_one_fails),
		cmocka_unit_test(test_short),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
