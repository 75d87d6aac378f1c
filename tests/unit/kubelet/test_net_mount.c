/* Mounts of file servers with programs that are scripts of the test, and a clock that it moves: nothing waits for one
 * that hangs. Real NFS is not here: it needs a kernel that has it, and a server. */
#include "kit.h"

#include "base/env.h"
#include "base/file.h"
#include "ev/ev.h"
#include "kubelet/kpod.h"
#include "kubelet/net_mount.h"

#include <errno.h>
#include <stdatomic.h>
#include <sys/stat.h>

static struct arena A;
static const char *dir;

/* --- a clock that is moved --- */

static struct env *real;
static atomic_llong ahead_ns;

static int64_t moved_now(_unused_ struct env *e)
{
	return env_now_ns(real);
}

static int64_t moved_mono(_unused_ struct env *e)
{
	return env_mono_ns(real) + atomic_load(&ahead_ns);
}

static void moved_post(_unused_ struct env *e, enum env_class c, env_fn *fn, void *ctx)
{
	env_post(real, c, fn, ctx);
}

static const struct env_ops moved_ops = { .now_ns = moved_now, .mono_ns = moved_mono, .post = moved_post };
static struct env moved = { &moved_ops };

/* --- programs --- */

static const char *at(const char *name)
{
	return arena_printf(&A, "%s/%s", dir, name);
}

static bool there(const char *name)
{
	return access(at(name), F_OK) == 0;
}

/* The "mount table": a file beside the mount point. */
static bool is_mounted(const char *path)
{
	char flag[256];

	(void)snprintf(flag, sizeof(flag), "%s.mounted", path);
	return access(flag, F_OK) == 0;
}

static const char *script(const char *name, const char *text)
{
	const char *path = at(name);

	assert_int_equal(file_write_again(path, sv_from(arena_printf(&A, "#!/bin/sh\n%s\n", text)), 0755, NULL), 0);
	return path;
}

static struct net_machine machine;
static struct net_mounts *N;

static int set_up(_unused_ void **state)
{
	real = env_real_new(0);
	atomic_store(&ahead_ns, 0);
	dir = temp_dir(&A);
	machine = (struct net_machine){ script("mount.nfs",
					       arena_printf(&A, "echo \"$@\" >> %s\ntouch \"$2.mounted\"", at("said"))),
					script("umount", "for at; do :; done\nrm -f \"$at.mounted\""),
					script("stat", "echo 4096 1000 400 300 50 20"), is_mounted };
	N = net_mounts_new(&moved, &machine);
	return 0;
}

static int tear_down(_unused_ void **state)
{
	N = net_mounts_free(N);
	env_real_free(real);
	arena_reset(&A);
	return 0;
}

static void pass(void)
{
	(void)usleep(2000);
}

static int mount_it(const char *name, const char *options, struct err *err)
{
	return net_mount(N, NULL, at(name), &(struct net_source){ "server:/data", options }, err);
}

/* Until it is decided. */
static int mount_done(const char *name, struct err *err)
{
	int rc;

	while ((rc = mount_it(name, NULL, err)) > 0)
		pass();
	return rc;
}

static int unmount_done(const char *name, struct err *err)
{
	int rc;

	while ((rc = net_unmount(N, NULL, at(name), err)) > 0)
		pass();
	return rc;
}

static const char *text_of(const char *name)
{
	struct sv text;

	return file_read(&A, at(name), 1 << 16, &text, NULL) < 0 ? "" : arena_cstr(&A, text);
}

/* --- refused, and failed --- */

static void test_refused(_unused_ void **state)
{
	_cleanup_(err_release) struct err err = ERR_INIT;

	assert_int_equal(net_mount(N, NULL, at("v"), &(struct net_source){ "-o:/x", NULL }, &err), -1);
	assert_non_null(strstr(err_msg(&err), "names no server"));
	assert_false(there("v"));
	err_release(&err);
	machine.mount = "no-such-mount.nfs";
	assert_int_equal(mount_it("v", NULL, &err), -1);
	assert_non_null(strstr(err_msg(&err), "install the package nfs-common"));
}

/* Why is told once; what is asked for again is tried again. */
static void test_failed(_unused_ void **state)
{
	_cleanup_(err_release) struct err err = ERR_INIT;

	script("mount.nfs", "echo 'mount.nfs: access denied by server' >&2; exit 32");
	assert_int_equal(mount_done("v", &err), -1);
	assert_non_null(strstr(err_msg(&err), "mount failed: exit status 32"));
	assert_non_null(strstr(err_msg(&err), "Output: mount.nfs: access denied by server"));
	script("mount.nfs", "exit 0"); /* says so, and the mount table does not */
	err_release(&err);
	assert_int_equal(mount_done("v", &err), -1);
	script("mount.nfs", "touch \"$2.mounted\"");
	assert_int_equal(mount_done("v", NULL), 0);
}

static void test_mounted(_unused_ void **state)
{
	struct stat st;

	assert_int_equal(mount_it("v", "ro,hard", NULL), 1);
	assert_int_equal(mount_done("v", NULL), 0);
	assert_int_equal(stat(at("v"), &st), 0);
	assert_string_equal(text_of("said"), arena_printf(&A, "server:/data %s -o ro,hard\n", at("v")));
	assert_int_equal(mount_it("v", NULL, NULL), 0); /* once */
	assert_string_equal(text_of("said"), arena_printf(&A, "server:/data %s -o ro,hard\n", at("v")));
	assert_int_equal(unmount_done("v", NULL), 0);
	assert_false(there("v.mounted"));
	assert_int_equal(net_unmount(N, NULL, at("v"), NULL), 0);
}

/* --- hanging --- */

#define HANGS "touch \"$2.began\"; exec sleep 100000"

static void test_mount_hangs(_unused_ void **state)
{
	_cleanup_(err_release) struct err err = ERR_INIT;

	script("mount.nfs", HANGS);
	assert_int_equal(mount_it("v", NULL, NULL), 1);
	assert_int_equal(mount_it("v", NULL, NULL), 1);
	while (!there("v.began"))
		pass();
	script("mount.nfs", "touch \"$2.mounted\"");
	assert_int_equal(mount_done("w", NULL), 0); /* another server */
	atomic_fetch_add(&ahead_ns, 30 * NS_PER_SEC);
	assert_int_equal(mount_it("v", NULL, &err), -1);
	assert_non_null(strstr(err_msg(&err), "timed out waiting for the server of server:/data"));
	err_release(&err);
	atomic_fetch_add(&ahead_ns, 120 * NS_PER_SEC); /* it is killed */
	while (mount_it("v", NULL, &err) && !strstr(err_msg(&err), "was killed")) {
		err_release(&err);
		pass();
	}
	assert_non_null(strstr(err_msg(&err), "was killed"));
	assert_int_equal(mount_done("v", NULL), 0);
}

/* Its pod goes before it is mounted: it is not mounted later. */
static void test_unmounted_while_mounting(_unused_ void **state)
{
	script("mount.nfs", HANGS);
	assert_int_equal(mount_it("v", NULL, NULL), 1);
	assert_int_equal(unmount_done("v", NULL), 0);
	assert_false(there("v.mounted"));
}

/* Of all below a directory; what is mounted is the others'. */
static void test_left(_unused_ void **state)
{
	struct net_room r;

	assert_int_equal(mount_done("pod/w", NULL), 0);
	script("mount.nfs", HANGS);
	script("stat", HANGS);
	assert_int_equal(mount_it("pod/v", NULL, NULL), 1);
	assert_int_equal(mount_it("pod2", NULL, NULL), 1);
	assert_false(net_room(N, at("pod/v"), &r));
	while (!there("pod/v.began") || !there("pod2.began"))
		pass();
	while (net_leave(N, at("pod")))
		pass();
	assert_false(there("pod/v.mounted"));
	assert_true(there("pod/w.mounted"));
	assert_int_equal(mount_it("pod2", NULL, NULL), 1); /* is at work as before */
	assert_int_equal(unmount_done("pod/w", NULL), 0);
}

/* By degrees, each of which may hang or fail. */
static void test_unmount_hangs(_unused_ void **state)
{
	assert_int_equal(mount_done("v", NULL), 0);
	script("umount",
	       arena_printf(
		   &A,
		   "for at; do :; done\ncase \"$*\" in *' -l '*) rm \"$at.mounted\";; *' -f '*) touch %s; exit 1;; "
		   "*) touch %s; exec sleep 100000;; esac",
		   at("forced"), at("asked")));
	assert_int_equal(net_unmount(N, NULL, at("v"), NULL), 1);
	while (!there("asked"))
		pass();
	assert_int_equal(net_unmount(N, NULL, at("v"), NULL), 1);
	assert_false(there("forced"));
	atomic_fetch_add(&ahead_ns, 11 * NS_PER_SEC);
	assert_int_equal(unmount_done("v", NULL), 0);
	assert_true(there("forced"));
	/* None of them: it says so, and begins anew. */
	assert_int_equal(mount_done("v", NULL), 0);
	script("umount", "echo busy; exit 1");
	for (int i = 0; i < 2; i++) {
		_cleanup_(err_release) struct err err = ERR_INIT;

		assert_int_equal(unmount_done("v", &err), -1);
		assert_non_null(strstr(err_msg(&err), "busy"));
	}
}

/* The agent was killed: what it had mounted is, and a program of its may still be at work. */
static void test_agent_killed(_unused_ void **state)
{
	const char *counts = "echo x >> \"$2.mounted\"";

	assert_int_equal(file_write_again(at("v.mounted"), SV("x\n"), 0600, NULL), 0);
	assert_int_equal(mount_it("v", NULL, NULL), 0);
	assert_string_equal(text_of("said"), ""); /* nobody was asked */
	/* Two of them, one upon the other: all of it goes. */
	script("mount.nfs", arena_printf(&A, "echo x >> %s\n%s", at("w.mounted"), counts));
	script("umount", "for at; do :; done\nsed -i 1d \"$at.mounted\"\n[ -s \"$at.mounted\" ] || rm \"$at.mounted\"");
	assert_int_equal(mount_done("w", NULL), 0);
	assert_string_equal(text_of("w.mounted"), "x\nx\n");
	assert_int_equal(unmount_done("w", NULL), 0);
	assert_false(there("w.mounted"));
}

static int began(const char *format, int n)
{
	int is = 0;

	for (int i = 0; i < n; i++)
		is += there(arena_printf(&A, arena_printf(&A, "%s.began", format), i));
	return is;
}

static void all_asked(const char *format, int n, struct err *err)
{
	for (int i = 0; i < n; i++) {
		err_release(err);
		(void)mount_it(arena_printf(&A, format, i), NULL, err);
	}
}

/* As many as a pod likes: it waits for itself. What is mounted goes meanwhile, and how full it is, is told. */
static void test_many_hang(_unused_ void **state)
{
	_cleanup_(err_release) struct err err = ERR_INIT;
	struct net_room r;
	int n;

	assert_int_equal(mount_done("other/v", &err), 0);
	script("mount.nfs", HANGS);
	all_asked("pod/v%d", 64, &err);
	while (began("pod/v%d", 64) < 8)
		pass();
	all_asked("pod/v%d", 64, &err);
	assert_int_equal(began("pod/v%d", 64), 8);
	while (!net_room(N, at("other/v"), &r))
		pass();
	assert_int_equal(unmount_done("other/v", NULL), 0);
	script("mount.nfs", "touch \"$2.mounted\"");
	assert_int_equal(mount_done("other/w", &err), 0);
	/* It says why it waits. */
	atomic_fetch_add(&ahead_ns, 30 * NS_PER_SEC);
	assert_int_equal(mount_it("pod/v63", NULL, &err), -1);
	assert_non_null(strstr(err_msg(&err), "waits for other mounts"));
	/* Those that hung come behind those that did not: these are mounted, one after the other. */
	atomic_fetch_add(&ahead_ns, 120 * NS_PER_SEC);
	do {
		n = 0;
		all_asked("pod/v%d", 64, &err);
		for (int i = 8; i < 64; i++)
			n += there(arena_printf(&A, "pod/v%d.mounted", i));
		pass();
	} while (n < 56);
}

/* --- whose they are --- */

static struct kubelet nobody = { .lock = PTHREAD_MUTEX_INITIALIZER, .stopping = true };
static struct kpod pods[9];

static int mount_of(int ns, const char *name, struct err *err)
{
	struct kpod *p = &pods[ns];

	err_release(err);
	if (!p->k) {
		p->k = &nobody;
		p->refs = 1; /* the test's: it never goes */
	}
	p->ns = (char *)(uintptr_t)arena_printf(&A, "ns-%d", ns);
	return net_mount(N, p, at(arena_printf(&A, "ns-%d/%s", ns, name)), &(struct net_source){ "server:/data", NULL },
			 err);
}

static int eight_ask(const char *pod, struct err *err)
{
	int under_way = 0;

	for (int i = 0; i < 64; i++)
		under_way += mount_of(i / 8, arena_printf(&A, "%s-%d", pod, i % 8), err) > 0;
	return under_way;
}

static int eight_began(const char *pod)
{
	int n = 0;

	for (int i = 0; i < 64; i++)
		n += there(arena_printf(&A, "ns-%d/%s-%d.began", i / 8, pod, i % 8));
	return n;
}

/* Eight namespaces fill all places once. Pods made anew there are not new: the ninth has its own at once. */
static void test_made_anew(_unused_ void **state)
{
	_cleanup_(err_release) struct err err = ERR_INIT;

	script("mount.nfs", "case \"$2\" in */ns-8/*) touch \"$2.mounted\"; exit;; esac\n" HANGS);
	(void)eight_ask("a", &err);
	while (eight_began("a") < 64)
		pass();
	assert_int_equal(mount_of(8, "first", &err), 1);
	assert_int_equal(mount_of(8, "first", &err), 1);
	assert_false(there("ns-8/first.mounted"));
	atomic_fetch_add(&ahead_ns, 119 * NS_PER_SEC); /* before they are given up */
	for (int i = 0; i < 8; i++)
		while (net_leave(N, at(arena_printf(&A, "ns-%d", i))))
			pass();
	(void)eight_ask("b", &err);
	while (mount_of(8, "first", &err))
		pass();
	while (eight_began("b") < 16)
		pass();
	for (int i = 0; i < 8; i++) {
		const char *name = arena_printf(&A, "next-%d", i);

		(void)eight_ask("b", &err);
		while (mount_of(8, name, &err))
			pass();
	}
	assert_int_equal(eight_began("b"), 16);
}

/* Who asks more often is not before who stands in line. */
static void test_line(_unused_ void **state)
{
	_cleanup_(err_release) struct err err = ERR_INIT;

	script("mount.nfs", "case \"$2\" in */ns-8/*) touch \"$2.mounted\"; exit;; esac\n" HANGS);
	(void)eight_ask("a", &err);
	while (eight_began("a") < 64)
		pass();
	(void)eight_ask("b", &err);
	assert_int_equal(mount_of(8, "v", &err), 1); /* the last of 65 */
	while (net_unmount(N, &pods[0], at("ns-0/a-0"), &err))
		pass();
	for (int i = 0; i < 8; i++)
		assert_int_equal(mount_of(0, arena_printf(&A, "b-%d", i), &err), 1);
	while (mount_of(8, "v", &err))
		pass();
	while (eight_began("b") < 1) /* and then it is one of those */
		(void)eight_ask("b", &err), pass();
	assert_int_equal(eight_began("b"), 1);
}

static void test_room(_unused_ void **state)
{
	struct net_room r;

	assert_int_equal(mount_done("v", NULL), 0);
	while (!net_room(N, at("v"), &r))
		pass();
	assert_true(r.bytes == 4096000 && r.available_bytes == 300 * 4096 && r.used_bytes == 600 * 4096);
	assert_true(r.inodes == 50 && r.inodes_free == 20);
	script("stat", "exec sleep 100000");
	atomic_fetch_add(&ahead_ns, 60 * NS_PER_SEC);
	assert_true(net_room(N, at("v"), &r)); /* as it was; and another asks */
	atomic_fetch_add(&ahead_ns, 300 * NS_PER_SEC);
	assert_false(net_room(N, at("v"), &r));
	script("stat", "echo 18446744073709551615 18446744073709551615 1 1 1 1");
	assert_false(net_room(N, at("w"), &r));
	assert_false(net_room(N, at("w"), &r));
}

/* All of them at once, and none keeps the end waiting. */
static void test_end(_unused_ void **state)
{
	script("mount.nfs", HANGS);
	for (int i = 0; i < 100; i++)
		assert_int_equal(mount_it(arena_printf(&A, "v%d", i), NULL, NULL), 1);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = { T(test_refused),
					    T(test_failed),
					    T(test_mounted),
					    T(test_mount_hangs),
					    T(test_unmounted_while_mounting),
					    T(test_left),
					    T(test_unmount_hangs),
					    T(test_agent_killed),
					    T(test_many_hang),
					    T(test_made_anew),
					    T(test_line),
					    T(test_room),
					    T(test_end) };
	int rc = cmocka_run_group_tests_name("kubelet/net_mount", tests, NULL, NULL);

	arena_release(&A);
	return rc;
}
