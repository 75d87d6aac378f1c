/* What a transformed store adds to the seam (the conformance suite runs on it, too): what is stored, and what is told
 * when a value has to wait or cannot be had. */
#define KIT_UNREADABLE true
#include "store_kit.h"
#include "store/layout.h"
#include "toy_transform.h"

static struct store *open_mem(_unused_ const char *dir, _unused_ struct err *err)
{
	return store_mem_new(&thread_env);
}

struct both {
	struct store *inner, *s;
};

static int setup(void **state)
{
	struct both *b = xcalloc(1, sizeof(*b));

	b->inner = open_mem(NULL, NULL);
	b->s = store_transformed(b->inner, &toy_transform);
	*state = b;
	return 0;
}

static int teardown(void **state)
{
	struct both *b = *state;

	toy.refuses = NULL;
	store_close(b->s);
	free(b);
	return 0;
}

/* Below nobody finds what was written, and what is moved to another key is not it any more. */
static void test_stored(void **state)
{
	struct both *b = *state;
	char *below;

	assert_int_equal(put(b->s, "a", "hello", 0), 2);
	assert_list(b->s, "a", "", 0, 0, "a=hello@2/2 ");
	below = list_n(b->inner, SV("a"), SV_NULL, 0, 0);
	assert_null(strstr(below, "hello"));
	assert_non_null(strstr(below, "@2/2"));
	assert_int_equal(put_n(b->inner, SV("b"), sv_make(below + 2, 5), 0), 3);
	free(below);
	below = list_n(b->s, SV("b"), SV_NULL, 0, 0);
	assert_null(strstr(below, "hello"));
	free(below);
}

struct gone {
	int n, without;
};

static int gone_one(const struct store_kv *kv, void *ctx)
{
	struct gone *g = ctx;

	g->n++;
	g->without += !kv->value.p;
	return 0;
}

/* One value cannot be had: a write of it fails and spends nothing, and who reads is told all but that. */
static void test_refused(void **state)
{
	struct both *b = *state;
	struct gone g = { 0 };
	struct err err = ERR_INIT;
	struct store_write w = { .key = SV("b"), .value = SV("x"), .expect_rev = STORE_ANY_REV };
	struct seen seen;

	for (int i = 0; i < 7; i++) {
		char key[2] = { (char)('a' + i), 0 };

		assert_int_equal(put(b->s, key, "v", 0), 2 + i);
	}
	assert_int_equal(put(b->s, "g", "", 8), 9);
	toy.refuses = "b";
	for (int i = 0; i < 4; i++) { /* at once, and late */
		assert_int_equal(store_commit_wait(b->s, &w, NULL, &err), -1);
		assert_non_null(strstr(err_msg(&err), "no key for 'b'"));
		err_release(&err);
		g = (struct gone){ 0 };
		assert_int_equal(store_range(b->s, SV("a"), SV("z"), 0, 0, gone_one, &g, NULL, NULL), 0);
		assert_int_equal(g.n, 7);
		assert_int_equal(g.without, 1); /* an empty one is not none */
	}
	assert_int_equal(now_rev(b->s), 9);
	seen_watch(&seen, b->s, "a", "z", 1);
	seen_wait_progress(&seen, 9);
	assert_int_equal(seen.revs.n, 8);
	assert_non_null(strstr(buf_cstr(&seen.text), "b=@3/3 "));
	seen_stop(&seen, b->s);
	assert_true(del(b->s, "b", 3) > 0);
	toy.refuses = NULL;
	assert_true(put(b->s, "b", "again", 0) > 0);
}

/* Of writes that are one, one that cannot be transformed is the end of all; else each is transformed by its own key. */
static void test_also(void **state)
{
	struct both *b = *state;
	struct err err = ERR_INIT;
	struct store_write also[2] = { { .key = SV("c1"), .value = SV("one") },
				       { .key = SV("c2"), .value = SV("two") } };
	struct store_write w = { .key = SV("own"), .value = SV("mine"), .also = also, .n_also = 2 };
	char *below;

	for (int i = 0; i < 4; i++) { /* at once, and late */
		toy.refuses = "c2";
		assert_int_equal(store_commit_wait(b->s, &w, NULL, &err), -1);
		assert_non_null(strstr(err_msg(&err), "no key for 'c2'"));
		err_release(&err);
		toy.refuses = NULL;
		assert_list(b->s, "a", "z", 0, 0, "");
	}
	assert_int_equal(store_commit_wait(b->s, &w, NULL, &err), 1);
	assert_list(b->s, "a", "z", 0, 0, "c1=one@2/2 c2=two@3/3 own=mine@4/4 ");
	below = list_n(b->inner, SV("a"), SV("z"), 0, 0);
	assert_null(strstr(below, "one"));
	assert_null(strstr(below, "two"));
	free(below);
}

/* What somebody else wrote has to wait: what comes after it is told after it, own writes and their answers too. */
static void test_order(void **state)
{
	struct both *b = *state;
	struct flight f = FLIGHT_INIT;
	struct store_write w = { .key = SV("own"), .value = SV("mine") };
	struct seen seen;

	seen_watch(&seen, b->s, "a", "z", 1);
	toy.at_once = true;
	assert_int_equal(put(b->s, "own", "before", 0), 2);
	toy.at_once = false;
	toy_hold(true);
	for (int i = 0; i < 5; i++) {
		char key[2] = { (char)('a' + i), 0 };

		assert_int_equal(put(b->inner, key, "foreign", 0), 3 + i);
	}
	w.expect_rev = 2;
	pthread_mutex_lock(&toy.mu);
	toy.at_once = true;
	pthread_mutex_unlock(&toy.mu);
	flight_commit(&f, b->s, &w);
	w.expect_rev = 77;
	flight_commit(&f, b->s, &w); /* and one that does not apply */
	assert_int_equal(f.open, 2);
	assert_int_equal(seen.revs.n, 1);
	pthread_mutex_lock(&toy.mu);
	toy.at_once = false;
	pthread_mutex_unlock(&toy.mu);
	toy_hold(false);
	seen_wait_progress(&seen, 8);
	flight_wait(&f, 0);
	assert_int_equal(f.ok, 1);
	assert_int_equal(f.mismatch, 1);
	assert_int_equal(seen.revs.n, 7);
	for (size_t i = 0; i < seen.revs.n; i++)
		assert_int_equal(seen.revs.p[i], 2 + (int64_t)i);
	assert_non_null(strstr(buf_cstr(&seen.text), "own=mine@2/8"));
	seen_stop(&seen, b->s);
}

/* Who goes away while something waits is told nothing more; a closing store waits for its answers. */
static void test_away(void **state)
{
	struct both *b = *state;
	struct flight f = FLIGHT_INIT;
	struct seen seen, stays;

	seen_watch(&seen, b->s, "a", "z", 1);
	seen_watch(&stays, b->s, "a", "z", 1);
	toy_hold(true);
	for (int i = 0; i < 20; i++) {
		char key[2] = { (char)('a' + i), 0 };

		assert_int_equal(put(b->inner, key, "foreign", 0), 2 + i);
	}
	assert_int_equal(seen.revs.n, 0);
	seen_stop(&seen, b->s);
	for (int i = 0; i < 20; i++)
		flight_commit(&f, b->s,
			      &(struct store_write){ .key = SV("own"), .value = SV("x"), .expect_rev = STORE_ANY_REV });
	assert_int_equal(f.open, 20);
	toy_hold(false);
	store_close(b->s);
	assert_int_equal(f.open, 0);
	assert_int_equal(f.ok, 20);
	assert_true(stays.ended);
	assert_int_equal(stays.revs.n, 40);
	seen_release(&stays);
	b->inner = open_mem(NULL, NULL);
	b->s = store_transformed(b->inner, &toy_transform);
}

/* What cannot be had does not move to another key: nothing would come of it but nothing. */
static void test_layout(void **state)
{
	static const struct store_move moves[] = { { 2, "/r/", "/s/" } };
	struct both *b = *state;
	struct err err = ERR_INIT;
	char *moved;

	assert_true(put(b->s, "/r/a", "one", 0) > 0);
	assert_true(put(b->s, "/r/b", "two", 0) > 0);
	toy.refuses = "/r/b";
	assert_int_equal(store_layout_bring(b->s, 2, moves, ARRAY_LEN(moves), &err), -1);
	assert_int_equal(err.reason, ERR_STORE_READ);
	assert_non_null(strstr(err_msg(&err), "'/r/b' cannot be read"));
	err_release(&err);
	toy.refuses = NULL;
	assert_int_equal(store_layout_bring(b->s, 2, moves, ARRAY_LEN(moves), &err), 0);
	moved = list_n(b->s, SV("/"), SV("0"), 0, 0);
	assert_non_null(strstr(moved, "/s/a=one@"));
	assert_non_null(strstr(moved, "/s/b=two@"));
	assert_null(strstr(moved, "/r/"));
	free(moved);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_stored, setup, teardown),
		cmocka_unit_test_setup_teardown(test_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(test_also, setup, teardown),
		cmocka_unit_test_setup_teardown(test_order, setup, teardown),
		cmocka_unit_test_setup_teardown(test_away, setup, teardown),
		cmocka_unit_test_setup_teardown(test_layout, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
