/* Local volumes below a directory of the test, on a machine that is made up: what is refused, what is there after each
 * call, and that a call killed at any point is mended by the next one. Then, where there are loop devices, a real one.
 */
#include "kit.h"

#include "base/file.h"
#include "base/tree.h"
#include "kubelet/local/local_volume.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define MIB ((int64_t)1 << 20)

static struct arena A;

/* The machine: one volume's mount, project and device. */
static struct {
	bool quota, images;
	int fail_at, calls;			       /* the call that fails, from 1; 0: none */
	bool mounted, attached, frozen, clone_mounted; /* clone: of pvc-2 */
	bool only_unmounted, unused, busy;	       /* how it grows; is it elsewhere; has somebody a file open */
	uint32_t project, limited;
	int64_t limit, formatted;
} M;

static bool fails(struct err *err)
{
	if (M.fail_at == 0 || ++M.calls != M.fail_at)
		return false;
	err_set(err, ERR_INTERNAL, "killed");
	return true;
}

static bool fake_quota_there(int dir)
{
	(void)dir;
	return M.quota;
}

static uint32_t fake_project_of(int dir)
{
	(void)dir;
	return M.project;
}

static bool fake_project_used(int dir, uint32_t project)
{
	(void)dir;
	return M.limited == project;
}

static int fake_project_set(int dir, uint32_t project, struct err *err)
{
	(void)dir;
	if (fails(err))
		return -1;
	M.project = project;
	return 0;
}

static int fake_project_limit(int dir, uint32_t project, int64_t bytes, struct err *err)
{
	(void)dir;
	if (fails(err))
		return -1;
	M.limited = bytes ? project : 0;
	M.limit = bytes;
	return 0;
}

static int fake_image_possible(struct err *err)
{
	return M.images ? 0 : err_set(err, ERR_UNAVAILABLE, "there is no mkfs.ext4 on this node");
}

static int64_t size_of(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 ? st.st_size : -1;
}

static int fake_image_format(const char *path, int block_bytes, int64_t journal_bytes, struct err *err)
{
	assert_true(journal_bytes / block_bytes >= 1024);
	if (fails(err))
		return -1;
	M.formatted = size_of(path);
	return 0;
}

static bool *mount_of(const char *at)
{
	return strstr(at, "pvc-2") ? &M.clone_mounted : &M.mounted;
}

static bool fake_mounted(const char *at)
{
	return *mount_of(at);
}

static int fake_image_mount(int file, const char *at, struct err *err)
{
	struct stat st;

	assert_int_equal(access(at, F_OK), 0);
	assert_false(*mount_of(at)); /* never twice */
	if (fails(err))
		return -1;
	*mount_of(at) = true;
	assert_int_equal(fstat(file, &st), 0);
	if (M.only_unmounted)
		M.formatted = st.st_size;
	return 0;
}

static int fake_image_follow(int file, const char *at, struct err *err)
{
	struct stat st;

	assert_true(*mount_of(at));
	if (fails(err))
		return -1;
	assert_int_equal(fstat(file, &st), 0);
	if (M.only_unmounted && M.formatted < st.st_size)
		return err_set(err, ERR_FORBIDDEN, "not while it is mounted");
	assert_int_equal(fstat(file, &st), 0);
	M.formatted = st.st_size;
	return 0;
}

static int fake_unmount(const char *at, struct err *err)
{
	if (fails(err))
		return -1;
	*mount_of(at) = false;
	return 0;
}

static bool fake_used(const char *at)
{
	assert_true(*mount_of(at));
	return !M.unused;
}

static int fake_unmount_idle(const char *at, struct err *err)
{
	assert_true(M.unused);
	return M.busy ? err_set(err, ERR_CONFLICT, "in use") : fake_unmount(at, err);
}

static int fake_freeze(int file, const char *at, struct err *err)
{
	(void)file;
	assert_false(M.frozen);
	assert_true(!at || M.mounted);
	if (fails(err))
		return -1;
	M.frozen = at != NULL;
	return 0;
}

static void fake_thaw(const char *at)
{
	(void)at;
	M.frozen = false;
}

static int fake_device(int file, char ret[LOOP_NAME_BYTES], struct err *err)
{
	(void)file;
	if (fails(err))
		return -1;
	M.attached = true;
	snprintf(ret, LOOP_NAME_BYTES, "/dev/loop7");
	return 0;
}

static int fake_device_drop(int file, struct err *err)
{
	(void)file;
	if (fails(err))
		return -1;
	M.attached = false;
	return 0;
}

static const struct local_machine machine = {
	.quota_there = fake_quota_there,
	.project_of = fake_project_of,
	.project_used = fake_project_used,
	.project_set = fake_project_set,
	.project_limit = fake_project_limit,
	.image_possible = fake_image_possible,
	.image_format = fake_image_format,
	.mounted = fake_mounted,
	.image_mount = fake_image_mount,
	.image_follow = fake_image_follow,
	.used = fake_used,
	.freeze = fake_freeze,
	.thaw = fake_thaw,
	.unmount = fake_unmount,
	.unmount_idle = fake_unmount_idle,
	.device = fake_device,
	.device_drop = fake_device_drop,
};

static struct local_store S = { .machine = &machine };

static int begin(void **state)
{
	static char dir[40];

	(void)state;
	memset(&M, 0, sizeof(M));
	snprintf(dir, sizeof(dir), "/tmp/caravel-test-XXXXXX");
	S = (struct local_store){ mkdtemp(dir), &machine };
	return S.dir ? 0 : -1;
}

static int end(void **state)
{
	(void)state;
	arena_reset(&A);
	return tree_remove(S.dir, NULL);
}

static const char *at(const char *name)
{
	return arena_printf(&A, "%s/%s", S.dir, name);
}

static bool there(const char *name)
{
	return access(at(name), F_OK) == 0;
}

static int make(enum local_limit limit, bool block, enum local_limit *ret, struct err *why, struct err *err)
{
	return local_volume_make(
	    &S, &(struct local_want){ .name = "pvc-1", .bytes = 10 * MIB, .block = block, .limit = limit }, ret, why,
	    err);
}

static enum local_limit made(enum local_limit limit, bool block)
{
	_cleanup_(err_release) struct err err = ERR_INIT, why = ERR_INIT;
	enum local_limit got;

	if (make(limit, block, &got, &why, &err) < 0)
		fail_msg("%s", err_msg(&err));
	return got;
}

static void assert_refused(enum local_limit limit, bool block, const char *text)
{
	_cleanup_(err_release) struct err err = ERR_INIT, why = ERR_INIT;
	enum local_limit got;

	assert_int_equal(make(limit, block, &got, &why, &err), -1);
	assert_non_null(strstr(err_msg(&err), text));
}

static const char *ready(void)
{
	_cleanup_(err_release) struct err err = ERR_INIT;
	struct local_place p;

	return local_volume_ready(&S, &A, "pvc-1", &p, &err) < 0 ? NULL : p.path;
}

static void test_refusals(void **state)
{
	static const char *const names[] = { "",	".",	  "..",		"../x", "a/b",
					     ".images", ".new-a", "archived-a", "a b",	"a\n" };
	_cleanup_(err_release) struct err err = ERR_INIT;
	struct local_place p;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		assert_false(local_name_ok(sv_from(names[i])));
		assert_int_equal(local_volume_ready(&S, &A, names[i], &p, NULL), -1);
		assert_int_equal(local_volume_remove(&S, names[i], NULL), -1);
		assert_int_equal(local_volume_archive(&S, names[i], NULL), -1);
	}
	assert_true(local_name_ok(SV("pvc-0a_ns_x.new")));
	assert_refused(LOCAL_QUOTA, false, "has no project quotas: mount it with the option prjquota");
	assert_refused(LOCAL_IMAGE, false, "there is no mkfs.ext4");
	assert_int_equal(local_volume_make(&S, &(struct local_want){ .name = "pvc-1", .bytes = 0 },
					   &(enum local_limit){ 0 }, NULL, &err),
			 -1);
	err_release(&err);
	assert_int_equal(local_volume_grow(&S, "pvc-1", INT64_MAX, &err), -1);
	err_release(&err);
	assert_int_equal(local_volume_grow(&S, "pvc-1", MIB, &err), -1);
	assert_int_equal(err.reason, ERR_NOT_FOUND);
	assert_null(ready());
	/* What somebody put there is not followed. */
	assert_int_equal(symlink("/etc", at("pvc-1")), 0);
	assert_null(ready());
	assert_int_equal(local_volume_remove(&S, "pvc-1", NULL), -1);
	assert_int_equal(access("/etc/passwd", F_OK), 0);
	assert_int_equal(unlink(at("pvc-1")), 0);
	/* A directory does not become a device, nor the reverse. */
	M.images = false;
	assert_int_equal(made(LOCAL_NONE, false), LOCAL_NONE);
	assert_refused(LOCAL_NONE, true, "is a directory already");
}

static void test_who_holds_the_size(void **state)
{
	_cleanup_(err_release) struct err err = ERR_INIT, why = ERR_INIT;
	enum local_limit got;
	struct stat st;

	(void)state;
	/* Nobody can: it is there all the same, and says why. */
	assert_int_equal(make(LOCAL_AUTO, false, &got, &why, &err), 0);
	assert_int_equal(got, LOCAL_NONE);
	assert_non_null(strstr(err_msg(&why), "mkfs.ext4"));
	assert_int_equal(stat(at("pvc-1"), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0777);
	assert_int_equal(local_volume_remove(&S, "pvc-1", NULL), 0);
	assert_false(there("pvc-1"));

	M.images = true;
	assert_int_equal(made(LOCAL_AUTO, false), LOCAL_IMAGE);
	assert_true(M.mounted);
	assert_int_equal(M.formatted, local_image_bytes(10 * MIB));
	assert_int_equal(local_volume_grow(&S, "pvc-1", 30 * MIB, NULL), 0);
	assert_int_equal(M.formatted, local_image_bytes(30 * MIB));
	assert_int_equal(local_volume_grow(&S, "pvc-1", 20 * MIB, NULL), 0); /* never smaller */
	assert_int_equal(M.formatted, local_image_bytes(30 * MIB));
	/* After a reboot it is handed out mounted, or not at all. */
	M.mounted = false;
	assert_string_equal(ready(), at("pvc-1"));
	assert_true(M.mounted);
	M.mounted = false;
	M.fail_at = 1;
	assert_null(ready());
	M.fail_at = 0;
	assert_int_equal(local_volume_remove(&S, "pvc-1", NULL), 0);
	assert_false(there("pvc-1"));
	assert_false(there(".images/pvc-1"));

	M.quota = true;
	assert_int_equal(made(LOCAL_AUTO, false), LOCAL_QUOTA);
	assert_true(M.project >= 0x40000000);
	assert_int_equal(M.limited, M.project);
	assert_int_equal(M.limit, 10 * MIB);
	assert_int_equal(local_volume_grow(&S, "pvc-1", 30 * MIB, NULL), 0);
	assert_int_equal(M.limit, 30 * MIB);
	assert_int_equal(local_volume_remove(&S, "pvc-1", NULL), 0);
	assert_int_equal(M.limited, 0);
}

static void test_block(void **state)
{
	(void)state;
	(void)made(LOCAL_AUTO, true);
	assert_int_equal(size_of(at("pvc-1")), 10 * MIB);
	assert_false(M.attached); /* until somebody uses it */
	assert_string_equal(ready(), "/dev/loop7");
	assert_int_equal(local_volume_grow(&S, "pvc-1", 11 * MIB, NULL), 0);
	assert_int_equal(size_of(at("pvc-1")), 11 * MIB);
	assert_int_equal(local_volume_remove(&S, "pvc-1", NULL), 0);
	assert_false(M.attached || there("pvc-1"));
}

static void test_archived(void **state)
{
	(void)state;
	M.images = true;
	(void)made(LOCAL_NONE, false);
	assert_int_equal(file_write_again(at("pvc-1/data"), SV("x"), 0600, NULL), 0);
	assert_int_equal(local_volume_archive(&S, "pvc-1", NULL), 0);
	assert_false(there("pvc-1"));
	assert_true(there("archived-pvc-1/data"));
	(void)made(LOCAL_IMAGE, false);
	assert_int_equal(local_volume_archive(&S, "pvc-1", NULL), 0);
	assert_false(there("pvc-1") || there(".images/pvc-1") || M.mounted);
	assert_true(there(".images/archived-pvc-1"));
	assert_int_equal(local_store_mend(&S, NULL), 0); /* and is not mounted again */
	assert_false(M.mounted);
}

/* Every call of the machine fails once, as if the agent had been killed there. */
static void test_killed_anywhere(void **state)
{
	static const struct {
		bool quota, block;
	} kinds[] = { { false, false }, { true, false }, { false, true } };

	(void)state;
	M.images = true;
	for (size_t k = 0; k < ARRAY_LEN(kinds); k++) {
		for (int n = 1, done = 0; !done; n++) {
			_cleanup_(err_release) struct err err = ERR_INIT, why = ERR_INIT;
			enum local_limit got;

			M = (typeof(M)){ .quota = kinds[k].quota, .images = true, .fail_at = n };
			done = make(LOCAL_AUTO, kinds[k].block, &got, &why, &err) == 0;
			/* The machine restarts: what was mounted is not. */
			M.mounted = M.attached = false;
			M.fail_at = 0;
			assert_int_equal(local_store_mend(&S, NULL), 0);
			assert_false(there(".images/.new-pvc-1"));
			(void)made(LOCAL_AUTO, kinds[k].block);
			assert_non_null(ready());
			M.calls = 0;
			M.fail_at = n;
			done &= local_volume_grow(&S, "pvc-1", 20 * MIB, NULL) == 0;
			M.fail_at = 0;
			assert_int_equal(local_volume_grow(&S, "pvc-1", 20 * MIB, NULL), 0);
			if (kinds[k].quota)
				assert_int_equal(M.limit, 20 * MIB);
			else
				assert_true(kinds[k].block || M.formatted == local_image_bytes(20 * MIB));
			M.calls = 0;
			M.fail_at = n;
			done &= local_volume_remove(&S, "pvc-1", NULL) == 0;
			M.fail_at = 0;
			assert_int_equal(local_volume_remove(&S, "pvc-1", NULL), 0);
			assert_false(there("pvc-1") || there(".images/pvc-1") || M.mounted || M.attached);
		}
	}
}

/* What the kernel does not grow while it is mounted: not while somebody has it, and after being killed anywhere. */
static void test_grows_unmounted(void **state)
{
	_cleanup_(err_release) struct err err = ERR_INIT;
	int64_t before;

	(void)state;
	M.images = true;
	(void)made(LOCAL_IMAGE, false);
	before = M.formatted;
	M.only_unmounted = true;
	assert_int_equal(local_volume_grow(&S, "pvc-1", 20 * MIB, &err), -1);
	assert_int_equal(err.reason, ERR_FORBIDDEN);
	err_release(&err);
	assert_int_equal(local_volume_catch_up(&S, "pvc-1", &err), -1);
	assert_int_equal(err.reason, ERR_CONFLICT);
	err_release(&err);
	M.unused = M.busy = true;
	assert_int_equal(local_volume_catch_up(&S, "pvc-1", &err), -1);
	assert_true(M.mounted);
	assert_int_equal(M.formatted, before);
	err_release(&err);
	M.busy = false;
	for (int n = 1, done = 0; !done; n++) {
		M.calls = 0;
		M.fail_at = n;
		done = local_volume_catch_up(&S, "pvc-1", NULL) == 0;
		M.fail_at = 0;
		assert_non_null(ready());
		M.formatted = done ? M.formatted : before;
	}
	assert_int_equal(M.formatted, local_image_bytes(20 * MIB));
	assert_int_equal(local_volume_grow(&S, "pvc-1", 20 * MIB, NULL), 0);
	M.unused = false; /* there is nothing to do */
	assert_int_equal(local_volume_catch_up(&S, "pvc-1", NULL), 0);
}

/* What is not finished goes, all else is mounted; a claim's name that looks like it is not taken for it. */
static void test_mended(void **state)
{
	struct local_want w = { .name = "pvc-1_ns_x.new", .bytes = MIB, .limit = LOCAL_IMAGE };
	enum local_limit got;

	(void)state;
	assert_int_equal(local_store_mend(&S, NULL), 0); /* there are no images */
	M.images = true;
	assert_int_equal(local_volume_make(&S, &w, &got, NULL, NULL), 0);
	assert_int_equal(file_write_again(at(".images/.new-pvc-2"), SV("x"), 0600, NULL), 0);
	M.mounted = false;
	assert_int_equal(local_store_mend(&S, NULL), 0);
	assert_true(M.mounted);
	assert_false(there(".images/.new-pvc-2"));
	assert_true(there(".images/pvc-1_ns_x.new"));
	assert_int_equal(local_volume_remove(&S, w.name, NULL), 0);
}

static bool same(const char *x, const char *y)
{
	struct sv a, b;

	return file_read(&A, at(x), 64 << 20, &a, NULL) == 0 && file_read(&A, at(y), 64 << 20, &b, NULL) == 0 &&
	       b.n >= a.n && memcmp(a.p, b.p, a.n) == 0;
}

static int clone_of(const char *from, bool block, struct err *err)
{
	struct local_want w = { .name = "pvc-2", .bytes = 12 * MIB, .block = block, .limit = LOCAL_AUTO };
	struct local_source source = { .volume = from };
	enum local_limit limit;

	return local_volume_fill(&S, &source, &w, &limit, NULL, err);
}

static void test_clone_refused(void **state)
{
	_cleanup_(err_release) struct err err = ERR_INIT;

	(void)state;
	assert_int_equal(clone_of("pvc-1", false, &err), -1);
	err_release(&err);
	assert_int_equal(clone_of("../etc/passwd", true, &err), -1);
	err_release(&err);
	(void)made(LOCAL_NONE, false);
	assert_int_equal(clone_of("pvc-1", true, &err), -1);
	assert_non_null(strstr(err_msg(&err), "is no block device"));
	assert_false(there("pvc-2") || there(".new-pvc-2"));
	assert_int_equal(local_volume_remove(&S, "pvc-1", NULL), 0);
	(void)made(LOCAL_NONE, true);
	assert_int_equal(clone_of("pvc-1", false, NULL), -1);
	assert_false(there("pvc-2") || there(".images/.new-pvc-2"));
}

/* Whole or not there, wherever it is killed; and the source is let go. */
static void test_cloned(void **state)
{
	(void)state;
	for (int block = 0; block < 2; block++) {
		const char *source = block ? "pvc-1" : ".images/pvc-1", *copy = block ? "pvc-2" : ".images/pvc-2";

		for (int n = 1, done = 0; !done; n++) {
			int fd;

			M = (typeof(M)){ .images = true };
			(void)made(LOCAL_IMAGE, block);
			fd = open(at(source), O_WRONLY | O_CLOEXEC);
			assert_int_equal(pwrite(fd, "head", 4, 0), 4);
			assert_int_equal(pwrite(fd, "middle", 6, 5 * MIB), 6);
			close(fd);
			M.fail_at = n;
			done = clone_of("pvc-1", block, NULL) == 0;
			assert_false(M.frozen);
			M.frozen = !block; /* killed in the middle of it, at worst */
			M.fail_at = 0;
			assert_int_equal(local_store_mend(&S, NULL), 0);
			assert_false(M.frozen);
			assert_false(there(".new-pvc-2") || there(".images/.new-pvc-2"));
			assert_int_equal(clone_of("pvc-1", block, NULL), 0);
			assert_true(same(source, copy));
			assert_int_equal(size_of(at(copy)), block ? 12 * MIB : local_image_bytes(12 * MIB));
			assert_true(block || M.clone_mounted);
			assert_int_equal(local_volume_remove(&S, "pvc-2", NULL), 0);
			assert_int_equal(local_volume_remove(&S, "pvc-1", NULL), 0);
		}
	}
}

/* Nobody knows it: it goes when it is empty, and stays with whatever is in it. */
static void test_empty_ones_go(void **state)
{
	(void)state;
	M.images = true;
	(void)made(LOCAL_IMAGE, false);
	M.mounted = false; /* first it is looked into */
	assert_int_equal(file_write_again(at("pvc-1/data"), SV("x"), 0600, NULL), 0);
	assert_int_equal(local_volume_drop_empty(&S, "pvc-1", NULL), 0);
	assert_true(there(".images/pvc-1") && there("pvc-1/data"));
	assert_int_equal(unlink(at("pvc-1/data")), 0);
	assert_int_equal(local_volume_drop_empty(&S, "pvc-1", NULL), 1);
	assert_false(there(".images/pvc-1") || there("pvc-1") || M.mounted);
	(void)made(LOCAL_NONE, true);
	assert_int_equal(local_volume_drop_empty(&S, "pvc-1", NULL), 0);
	assert_true(there("pvc-1"));
	assert_int_equal(local_volume_drop_empty(&S, "pvc-3", NULL), 0);
}

static int64_t room(const char *path)
{
	struct statvfs st;

	assert_int_equal(statvfs(path, &st), 0);
	return (int64_t)st.f_bavail * (int64_t)st.f_bsize;
}

/* What was asked for can be written and little more, also after it grew under a writer. */
static void test_real_image(void **state)
{
	static const int64_t sizes[] = { 1, 10 * MIB, 100 * MIB, 3000 * MIB };
	_cleanup_(err_release) struct err why = ERR_INIT;

	(void)state;
	if (geteuid() != 0 || local_machine_real.image_possible(&why) < 0)
		skip();
	S.machine = &local_machine_real;
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		struct local_want w = { .name = "pvc-1", .bytes = sizes[i], .limit = LOCAL_IMAGE };
		_cleanup_(err_release) struct err err = ERR_INIT;
		_cleanup_close_ int fd = -1;
		char buf[4096] = { 1 };
		enum local_limit got;
		int64_t n = 0;

		if (local_volume_make(&S, &w, &got, NULL, &err) < 0) {
			/* A machine without loop devices for us: containers, mostly. */
			print_message("%s\n", err_msg(&err));
			assert_non_null(strstr(err_msg(&err), "loop"));
			assert_int_equal(local_volume_remove(&S, "pvc-1", NULL), 0);
			skip();
		}
		assert_true(room(at("pvc-1")) >= sizes[i]);
		assert_true(room(at("pvc-1")) <= sizes[i] + sizes[i] / 20 + 4 * MIB);
		assert_int_equal(rmdir(at("pvc-1/lost+found")), -1);
		assert_int_equal(errno, ENOENT);
		if (sizes[i] == 10 * MIB) {
			fd = open(at("pvc-1/f"), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
			while (write(fd, buf, sizeof(buf)) == (ssize_t)sizeof(buf))
				n += (ssize_t)sizeof(buf);
			assert_int_equal(errno, ENOSPC);
			assert_true(n >= sizes[i]);
			if (local_volume_grow(&S, "pvc-1", 40 * MIB, &err) == 0) {
				assert_int_equal(write(fd, buf, sizeof(buf)), sizeof(buf));
				assert_true(room(at("pvc-1")) >= 29 * MIB);
			} else { /* where root has not all of root's rights, it says so */
				assert_non_null(strstr(err_msg(&err), "CAP_SYS_RESOURCE"));
				err_release(&err);
				/* Not while somebody has a file of it open; then it is whole, and larger. */
				assert_int_equal(local_volume_catch_up(&S, "pvc-1", &err), -1);
				assert_int_equal(err.reason, ERR_CONFLICT);
				err_release(&err);
				assert_true(room(at("pvc-1")) < 5 * MIB);
				assert_int_equal(close(fd), 0);
				assert_int_equal(local_volume_catch_up(&S, "pvc-1", &err), 0);
				assert_true(room(at("pvc-1")) >= 29 * MIB);
				fd = open(at("pvc-1/f"), O_WRONLY | O_APPEND | O_CLOEXEC);
				assert_int_equal(lseek(fd, 0, SEEK_END), n);
			}
			assert_int_equal(close(fd), 0);
			fd = -1;
		}
		/* As after a reboot. */
		assert_int_equal(local_machine_real.unmount(at("pvc-1"), NULL), 0);
		assert_int_equal(local_store_mend(&S, &err), 0);
		assert_true(local_machine_real.mounted(at("pvc-1")));
		/* And as large as it was to be, whether or not that could be done before. */
		if (sizes[i] == 10 * MIB)
			assert_true(room(at("pvc-1")) >= 29 * MIB);
		assert_int_equal(local_volume_remove(&S, "pvc-1", &err), 0);
		assert_false(there("pvc-1"));
	}
}

static void test_real_device(void **state)
{
	_cleanup_(err_release) struct err err = ERR_INIT;
	struct local_want w = { .name = "pvc-1", .bytes = MIB, .block = true };
	_cleanup_close_ int fd = -1;
	enum local_limit got;
	struct local_place p, again;

	(void)state;
	if (geteuid() != 0)
		skip();
	S.machine = &local_machine_real;
	assert_int_equal(local_volume_make(&S, &w, &got, NULL, &err), 0);
	if (local_volume_ready(&S, &A, "pvc-1", &p, &err) < 0) {
		print_message("%s\n", err_msg(&err));
		skip();
	}
	assert_true(p.block);
	assert_int_equal(local_volume_ready(&S, &A, "pvc-1", &again, &err), 0);
	assert_string_equal(p.path, again.path);
	assert_int_equal(local_volume_grow(&S, "pvc-1", 2 * MIB, &err), 0);
	fd = open(p.path, O_RDONLY | O_CLOEXEC);
	assert_int_equal(lseek(fd, 0, SEEK_END), 2 * MIB);
	close_fdp(&fd);
	fd = -1;
	assert_int_equal(local_volume_remove(&S, "pvc-1", &err), 0);
	assert_false(there("pvc-1"));
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, begin, end)
	const struct CMUnitTest tests[] = {
		T(test_clone_refused),	    T(test_cloned), T(test_refusals),	T(test_empty_ones_go),
		T(test_who_holds_the_size), T(test_block),  T(test_archived),	T(test_killed_anywhere),
		T(test_grows_unmounted),    T(test_mended), T(test_real_image), T(test_real_device),
	};
	int rc = cmocka_run_group_tests_name("kubelet/local_volume", tests, NULL, NULL);

	arena_release(&A);
	return rc;
}
