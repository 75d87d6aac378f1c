/* Who may have an image that is on the node: over restarts of the agent, and in the middle of a pull. */
#include "kit.h"

#include "base/file.h"
#include "kubelet/pull_records.h"
#include "sim/env_sim.h"

#define IMAGE SV("registry.example/a/b:1")
#define REF SV("sha256:0123")

static struct arena A;
static struct env *env;

static bool allow(struct pull_records *r, struct sv image, struct sv ref, const char *secret)
{
	char digest[1][SHA256_HEX];

	if (secret)
		sha256_hex(sv_from(secret), digest[0]);
	return pull_records_allow(r, image, ref, digest, secret ? 1 : 0);
}

static void pulled(struct pull_records *r, struct sv image, struct sv ref, const char *secret)
{
	char digest[SHA256_HEX];

	if (secret)
		sha256_hex(sv_from(secret), digest);
	assert_int_equal(pull_records_begin(r, image, NULL), 0);
	assert_int_equal(pull_records_end(r, image, ref, secret ? digest : NULL, NULL), 0);
}

static struct pull_records *again(struct pull_records *r, const char *dir)
{
	pull_records_free(r);
	return pull_records_new(env, dir);
}

static void test_secrets(void **state)
{
	char *dir = temp_dir(&A);
	struct pull_records *r = pull_records_new(env, dir);

	(void)state;
	assert_true(allow(r, IMAGE, REF, NULL)); /* nobody pulled it */
	pulled(r, IMAGE, REF, "one");
	for (int i = 0; i < 2; i++, r = again(r, dir)) {
		assert_false(allow(r, IMAGE, REF, NULL));
		assert_false(allow(r, IMAGE, REF, "two"));
		assert_true(allow(r, IMAGE, REF, "one"));
		assert_true(allow(r, SV("registry.example/a/b:2"), REF, "one")); /* a tag is no other image */
		assert_false(allow(r, SV("other.example/a/b:1"), REF, "one"));	 /* another registry is */
	}
	pulled(r, IMAGE, REF, "two");
	r = again(r, dir);
	assert_true(allow(r, IMAGE, REF, "one"));
	assert_true(allow(r, IMAGE, REF, "two"));
	pulled(r, IMAGE, REF, NULL); /* it is public by now */
	r = again(r, dir);
	assert_true(allow(r, IMAGE, REF, NULL));
	pull_records_free(r);
	assert_int_equal(tree_remove(dir, NULL), 0);
}

/* Killed between the runtime's success and ours: what is there now is not taken for imported. */
static void test_killed(void **state)
{
	char *dir = temp_dir(&A);
	struct pull_records *r = pull_records_new(env, dir);

	(void)state;
	assert_int_equal(pull_records_begin(r, IMAGE, NULL), 0);
	assert_false(allow(r, IMAGE, REF, NULL));
	r = again(r, dir);
	assert_false(allow(r, IMAGE, REF, NULL));
	assert_true(allow(r, SV("other:1"), REF, NULL));
	pulled(r, IMAGE, SV(""), NULL); /* failed: still not known whose it is */
	assert_false(allow(r, IMAGE, REF, NULL));
	pulled(r, IMAGE, REF, NULL);
	r = again(r, dir);
	assert_true(allow(r, IMAGE, REF, NULL));
	/* A pull that fails leaves an imported image everybody's. */
	pulled(r, SV("imported:1"), SV(""), "wrong");
	assert_true(allow(r, SV("imported:1"), SV("sha256:4567"), NULL));
	pull_records_free(r);
	assert_int_equal(tree_remove(dir, NULL), 0);
}

static void test_bounded(void **state)
{
	char *dir = temp_dir(&A), text[32];
	struct pull_records *r = pull_records_new(env, dir);
	struct rt_image present = { .id = SV("sha256:7") };

	(void)state;
	for (int i = 0; i < 2 * PULL_DIGESTS_MAX; i++) {
		snprintf(text, sizeof(text), "secret %d", i);
		pulled(r, IMAGE, REF, text);
	}
	assert_true(allow(r, IMAGE, REF, text));
	assert_false(allow(r, IMAGE, REF, "secret 0")); /* must show it again */
	for (int i = 0; i <= PULL_RECORDS_PRUNE_AT; i++)
		pulled(r, IMAGE, arena_svf(&A, "sha256:%d", i), "one");
	assert_true(pull_records_many(r));
	pull_records_prune(r, &present, 1); /* written just now: the list may be older than they are */
	assert_true(pull_records_many(r));
	env_sim_run(env, 2 * 3600 * NS_PER_SEC);
	pull_records_prune(r, &present, 1);
	assert_false(pull_records_many(r));
	r = again(r, dir);
	assert_false(allow(r, IMAGE, SV("sha256:7"), NULL));
	assert_true(allow(r, IMAGE, SV("sha256:8"), NULL));
	pull_records_free(r);
	assert_int_equal(tree_remove(dir, NULL), 0);
}

static int begin(void **state)
{
	(void)state;
	env = env_sim_new(1, 0, false);
	return 0;
}

static int end(void **state)
{
	(void)state;
	env_sim_free(env);
	arena_release(&A);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_secrets),
		cmocka_unit_test(test_killed),
		cmocka_unit_test(test_bounded),
	};

	return cmocka_run_group_tests(tests, begin, end);
}
