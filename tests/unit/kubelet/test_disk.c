/* Disks of an admin's as directories, with programs that are scripts of the test: which are given a file system, and
 * which never; who has one, and when nobody does. Mounts are files beside their places. */
#include "kit.h"

#include "base/file.h"
#include "kubelet/local/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

static struct arena A;
static const char *dir;

static const char *at(const char *name)
{
	return arena_printf(&A, "%s/%s", dir, name);
}

static const char *flag(const char *path)
{
	return arena_printf(&A, "%s.mounted", path);
}

static const char *script(const char *name, const char *text)
{
	const char *path = at(name);

	assert_int_equal(file_write_again(path, sv_from(arena_printf(&A, "#!/bin/sh\n%s\n", text)), 0755, NULL), 0);
	return path;
}

static const char *said(void)
{
	struct sv text;
	const char *s = file_read(&A, at("said"), 1 << 16, &text, NULL) < 0 ? "" : arena_cstr(&A, text);

	(void)unlink(at("said"));
	return s;
}

/* --- a machine --- */

static bool read_only;

static bool is_device(_unused_ int fd)
{
	return true;
}

static bool is_mounted(const char *path)
{
	return access(flag(path), F_OK) == 0;
}

static bool is_read_only(_unused_ const char *path)
{
	return read_only;
}

/* Its binds have its name in them. */
static bool is_used(const char *path, const char *below)
{
	for (const char *pod = "ab"; *pod; pod++)
		if (is_mounted(arena_printf(&A, "%s/%c%s", below, *pod, strrchr(path, '/'))))
			return true;
	return false;
}

static int bind_it(const char *from, const char *to, bool ro, _unused_ struct err *err)
{
	assert_true(is_mounted(from));
	return file_write_again(flag(to), ro ? SV("ro") : SV("rw"), 0600, NULL);
}

static int unmount_it(const char *path, _unused_ struct err *err)
{
	return unlink(flag(path));
}

static const char *source_of(struct arena *a, _unused_ const char *path)
{
	return arena_strdup(a, at("disk"));
}

static struct disk_machine M;

/* What blkid says, and its exit status. */
static void disk_holds(const char *what, int status)
{
	script("blkid", arena_printf(&A, "printf '%s'; exit %d", what, status));
}

static int set_up(_unused_ void **state)
{
	const char *says;

	dir = temp_dir(&A);
	says = arena_printf(&A, "echo \"$(basename $0) $*\" | sed 's,%s/,,g' >> %s", dir, at("said"));
	M = (struct disk_machine){
		.blkid = at("blkid"),
		.fsck = script("fsck", says),
		.mount = script("mount", arena_printf(&A, "%s\nfor at; do :; done\ntouch \"$at.mounted\"", says)),
		.mkfs = at("mkfs."),
		.is_device = is_device,
		.mounted = is_mounted,
		.read_only = is_read_only,
		.used = is_used,
		.bind = bind_it,
		.unmount = unmount_it,
		.source = source_of
	};
	script("mkfs.ext4", says);
	script("mkfs.xfs", says);
	script("mkfs.odd", says);
	disk_holds("", 2);
	read_only = false;
	assert_int_equal(file_write_again(at("disk"), sv_from(arena_printf(&A, "%0512d", 0)), 0600, NULL), 0);
	assert_int_equal(mkdir(at("pods"), 0700), 0);
	assert_int_equal(mkdir(at("mounts"), 0700), 0);
	return 0;
}

static int tear_down(_unused_ void **state)
{
	arena_reset(&A);
	return 0;
}

static bool first;

static int on_first(const char *path, _unused_ void *ctx, _unused_ struct err *err)
{
	assert_true(is_mounted(path));
	first = true;
	return 0;
}

static int give(const char *pod, const char *type, const char *options, bool ro, struct err *err)
{
	const struct disk_wish w = { .device = at("disk"),
				     .fs_type = type,
				     .options = options,
				     .read_only = ro,
				     .at = at("mounts/pv"),
				     .to = at(arena_printf(&A, "pods/%s/pv", pod)),
				     .first = on_first };

	first = false;
	return disk_give(&M, &w, at("pods"), err);
}

/* Why not; and nothing was mounted, or written. */
static const char *refused(const char *type, const char *options, bool ro)
{
	static struct err err;

	err_release(&err);
	assert_int_equal(give("a", type, options, ro, &err), -1);
	assert_false(is_mounted(at("mounts/pv")));
	assert_false(is_mounted(at("pods/a/pv")));
	assert_int_not_equal(access(at("mounts/pv"), F_OK), 0);
	assert_null(strstr(said(), "mkfs"));
	return arena_strdup(&A, err_msg(&err));
}

/* --- refused --- */

static void test_what_is_no_disk(_unused_ void **state)
{
	assert_non_null(strstr(refused("../ext4", NULL, false), "no such type"));
	assert_non_null(strstr(refused("-x", NULL, false), "no such type"));
	assert_non_null(strstr(refused("nofs", NULL, false), "there is no"));
	(void)unlink(at("disk"));
	assert_non_null(strstr(refused(NULL, NULL, false), "opening the device"));
}

/* What holds anything is never given a file system: also a table of partitions, what blkid cannot say, and what it
 * cannot read. */
static void test_not_blank(_unused_ void **state)
{
	static const struct {
		const char *holds;
		int status;
		const char *why;
	} table[] = {
		{ "DEVNAME=x\\nTYPE=LVM2_member\\n", 0, NULL },
		{ "DEVNAME=x\\nPTTYPE=gpt\\n", 0, NULL },
		{ "DEVNAME=x\\n", 0, NULL },
		{ "", 0, NULL },
		{ "", 8, "failed to get disk format of disk" },
		{ "", 1, "failed to get disk format of disk" },
	};

	script("mount", "exit 32");
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		disk_holds(table[i].holds, table[i].status);
		assert_non_null(
		    strstr(refused(NULL, NULL, false), table[i].why ? table[i].why : "mount failed: exit status 32"));
	}
	disk_holds("", 2);
	assert_int_equal(truncate(at("disk"), 0), 0); /* it cannot be read */
	assert_non_null(strstr(refused(NULL, NULL, false), "failed to get disk format of disk"));
	M.blkid = "no-such-blkid";
	assert_non_null(strstr(refused(NULL, NULL, false), "install the package util-linux"));
}

static void test_blank_and_read_only(_unused_ void **state)
{
	const char *why = "as we are manipulating it in read-only mode";

	assert_non_null(strstr(refused(NULL, NULL, true), why));
	assert_non_null(strstr(refused(NULL, "noatime,ro", false), why));
}

static void test_not_repaired(_unused_ void **state)
{
	disk_holds("TYPE=ext4\\n", 0);
	script("fsck", "exit 4");
	assert_non_null(strstr(refused(NULL, NULL, false), "could not correct them"));
}

/* Two pods begin: one of them works on it. */
static void test_somebody_is_at_work(_unused_ void **state)
{
	int fd = open(at("disk"), O_RDONLY | O_CLOEXEC);

	assert_int_equal(flock(fd, LOCK_EX), 0);
	assert_int_equal(give("a", NULL, NULL, false, NULL), 1);
	assert_string_equal(said(), "");
	close(fd);
	assert_int_equal(give("a", NULL, NULL, false, NULL), 0);
}

/* --- given --- */

static void test_blank(_unused_ void **state)
{
	struct err err = ERR_INIT;

	assert_int_equal(give("a", NULL, NULL, false, &err), 0);
	assert_string_equal(said(), "mkfs.ext4 -F -m0 disk\nmount -t ext4 -o defaults disk mounts/pv\n");
	assert_true(first && is_mounted(at("pods/a/pv")));
	/* Once. */
	assert_int_equal(give("a", NULL, NULL, false, &err), 0);
	assert_false(first);
	assert_int_equal(give("b", NULL, NULL, false, &err), 0);
	assert_string_equal(said(), "");
	assert_true(!first && is_mounted(at("pods/b/pv")));
}

static void test_type_and_options(_unused_ void **state)
{
	assert_int_equal(give("a", "xfs", "noatime,discard", false, NULL), 0);
	assert_string_equal(said(), "mkfs.xfs -f disk\nmount -t xfs -o noatime,discard,defaults disk mounts/pv\n");
	(void)unlink(flag(at("pods/a/pv")));
	(void)unlink(flag(at("mounts/pv")));
	assert_int_equal(give("a", "odd", NULL, false, NULL), 0);
	assert_string_equal(said(), "mkfs.odd disk\nmount -t odd -o defaults disk mounts/pv\n");
}

/* What it holds stays; it is checked, but not for who only reads. */
static void test_used_before(_unused_ void **state)
{
	struct sv how;

	disk_holds("DEVNAME=x\\nTYPE=ext4\\n", 0);
	assert_int_equal(give("a", "ext4", NULL, true, NULL), 0);
	assert_string_equal(said(), "mount -t ext4 -o ro,defaults disk mounts/pv\n");
	assert_false(first);
	assert_int_equal(file_read(&A, flag(at("pods/a/pv")), 16, &how, NULL), 0);
	assert_true(sv_is(how, "ro"));
	/* Another one writes. */
	read_only = true;
	assert_int_equal(give("b", "ext4", NULL, false, NULL), 0);
	assert_string_equal(said(), "mount -o remount,rw mounts/pv\n");
	(void)unlink(flag(at("pods/a/pv")));
	(void)unlink(flag(at("pods/b/pv")));
	(void)unlink(flag(at("mounts/pv")));
	assert_int_equal(give("a", NULL, NULL, false, NULL), 0);
	assert_string_equal(said(), "fsck -a disk\nmount -t ext4 -o defaults disk mounts/pv\n");
}

/* --- and taken away --- */

static int sweep(void)
{
	return disks_sweep(&M, at("mounts"), at("pods"), NULL);
}

static void test_the_last_takes_it_away(_unused_ void **state)
{
	int fd;

	assert_int_equal(give("a", NULL, NULL, false, NULL), 0);
	assert_int_equal(give("b", NULL, NULL, false, NULL), 0);
	assert_int_equal(sweep(), 0);
	(void)unlink(flag(at("pods/a/pv")));
	assert_int_equal(sweep(), 0);
	assert_true(is_mounted(at("mounts/pv")));
	(void)unlink(flag(at("pods/b/pv")));
	fd = open(at("disk"), O_RDONLY | O_CLOEXEC);
	assert_int_equal(flock(fd, LOCK_EX), 0);
	assert_int_equal(sweep(), 1); /* somebody is about to bind it */
	assert_true(is_mounted(at("mounts/pv")));
	close(fd);
	assert_int_equal(sweep(), 0);
	assert_false(is_mounted(at("mounts/pv")));
	assert_int_not_equal(access(at("mounts/pv"), F_OK), 0);
	/* Of an agent that was killed before: the same. And where there never was a disk. */
	assert_int_equal(mkdir(at("mounts/pv"), 0700), 0);
	assert_int_equal(file_write_again(flag(at("mounts/pv")), SV(""), 0600, NULL), 0);
	assert_int_equal(sweep(), 0);
	assert_false(is_mounted(at("mounts/pv")));
	assert_int_equal(disks_sweep(&M, at("nowhere"), at("pods"), NULL), 0);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	static const struct CMUnitTest tests[] = { T(test_what_is_no_disk),	  T(test_not_blank),
						   T(test_blank_and_read_only),	  T(test_not_repaired),
						   T(test_somebody_is_at_work),	  T(test_blank),
						   T(test_type_and_options),	  T(test_used_before),
						   T(test_the_last_takes_it_away) };
	int rc = cmocka_run_group_tests_name("kubelet/disk", tests, NULL, NULL);

	arena_release(&A);
	return rc;
}
