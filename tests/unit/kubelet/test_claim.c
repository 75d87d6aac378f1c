/* What is whose on a machine. Below /run, so as root only. */
#include "unit.h"

#include "base/file.h"
#include "kubelet/claim.h"
#include "kubelet/containerd.h"
#include "kubelet/node_cleanup.h"
#include "kubelet/pull_records.h"
#include "sim/env_sim.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static char dir[] = "/tmp/caravel-claim.XXXXXX";
static struct arena A;

static const char *path(const char *name)
{
	return arena_printf(&A, "%s/%s", dir, name);
}

static bool exists(const char *p)
{
	return access(p, F_OK) == 0;
}

static struct claim *take(void)
{
	struct err err = ERR_INIT;
	struct claim *c = NULL;

	if (claim_take(path("data"), &c, NULL, &err) < 0)
		fail_msg("%s", err_msg(&err));
	return c;
}

static void test_one_holder(_unused_ void **state)
{
	struct claim *c = take(), *other = NULL;
	struct err err = ERR_INIT;
	char run[40];
	pid_t holder;

	containerd_run_dir(path("data"), run);
	assert_int_equal(claim_take(path("data"), &other, &holder, &err), -1);
	assert_int_equal(err.reason, ERR_ALREADY_EXISTS);
	assert_int_equal(holder, getpid());
	err_release(&err);
	claim_free(c);
	assert_true(exists(run));
	claim_forget(take());
	assert_false(exists(run));
	/* What others handed over goes back before; what else there is in it stays. */
	c = take();
	assert_int_equal(file_write(claim_settings(c), SV("x 1\n"), 0600, NULL), 0);
	claim_forget(c);
	assert_false(exists(run));
	c = take();
	assert_int_equal(file_write(arena_printf(&A, "%s/containerd.sock", run), SV(""), 0600, NULL), 0);
	claim_forget(c);
	assert_true(exists(run));
	claim_forget(c = take());
	assert_int_equal(tree_remove(run, NULL), 0);
}

static void test_directories(_unused_ void **state)
{
	const struct claim_dirs use = { .kubelet_root = path("kubelet"), .log_dir = path("logs") };
	struct claim_dirs got = { "none", "none" };
	struct claim *c = take();
	struct err err = ERR_INIT;
	struct stat before, after;
	struct sv text;

	/* Somebody else keeps something where our logs go. */
	assert_int_equal(dir_make(path("logs/theirs"), 0755, &err), 0);
	claim_read(&A, path("data"), &got);
	assert_string_equal(got.log_dir, "none");
	assert_int_equal(claim_use(c, &use, &err), 0);
	claim_read(&A, path("data"), &got);
	assert_string_equal(got.kubelet_root, use.kubelet_root);
	assert_string_equal(got.log_dir, use.log_dir);
	assert_true(claim_owns(path("data"), path("kubelet")));
	assert_false(claim_owns(path("data"), path("logs")));
	assert_true(claim_owns(path("data"), path("data/kubelet")));
	assert_false(claim_owns(path("data"), path("data2")));
	assert_false(claim_owns(path("other"), path("kubelet")));

	/* The next process finds it, also after a reboot, and on a full disk writes none of it anew. */
	claim_free(c);
	assert_int_equal(file_read(&A, path("data/" CLAIM_FILE), 4096, &text, NULL), 0);
	assert_int_equal(sv_find_sv(text, SV("pid")), -1);
	assert_int_equal(stat(path("data/" CLAIM_FILE), &before), 0);
	c = take();
	assert_int_equal(claim_use(c, &use, &err), 0);
	assert_int_equal(stat(path("data/" CLAIM_FILE), &after), 0);
	assert_int_equal(before.st_ino, after.st_ino);
	got = (struct claim_dirs){ 0 };
	claim_read(&A, path("data"), &got);
	assert_string_equal(got.log_dir, use.log_dir);
	claim_forget(c);
	got = (struct claim_dirs){ 0 };
	claim_read(&A, path("data"), &got);
	assert_string_equal(got.log_dir, use.log_dir);
}

/* In what is not ours alone only our pods' files go, in what is ours all of it. */
static void test_cleanup_spares_others(_unused_ void **state)
{
	struct err err = ERR_INIT;
	struct node_cleanup_opts o = { .env = env_sim_new(1, 0, false),
				       .data_dir = path("data"),
				       .kubelet_root = path("logs"),
				       .log_dir = path("logs") };

	assert_int_equal(dir_make(path("logs/pods/their-uid"), 0755, &err), 0);
	if (node_cleanup(&o, &err) < 0)
		fail_msg("%s", err_msg(&err));
	assert_true(exists(path("logs/theirs")) && exists(path("logs/pods/their-uid")));
	assert_int_equal(dir_make(path("kubelet/pods/uid"), 0755, &err), 0);
	assert_int_equal(dir_make(path("kubelet/" PULL_RECORDS_DIR "/pulled"), 0700, &err), 0);
	o.kubelet_root = path("kubelet");
	assert_int_equal(node_cleanup(&o, &err), 0);
	assert_false(exists(path("kubelet/pods")));
	/* While there are images it is known who may have which, and whose the directory is. */
	assert_true(exists(path("kubelet/" PULL_RECORDS_DIR "/pulled")) && claim_owns(path("data"), path("kubelet")));
	o.images = true;
	assert_int_equal(node_cleanup(&o, &err), 0);
	assert_false(exists(path("kubelet")));
	assert_true(exists(path("logs/theirs")));
	assert_int_equal(node_cleanup(&o, &err), 0);
	env_sim_free(o.env);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one_holder),
		cmocka_unit_test(test_directories),
		cmocka_unit_test(test_cleanup_spares_others),
	};
	int failed;

	if (geteuid() != 0) {
		fprintf(stderr, "needs root, for a directory in /run\n");
		return 77;
	}
	if (!mkdtemp(dir) || mkdir(path("data"), 0700) < 0)
		return 1;
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	tree_remove(dir, NULL);
	arena_release(&A);
	return failed;
}
