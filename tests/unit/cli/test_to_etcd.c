/* cli/to_etcd.h: every object has the revision that it had, whatever was between them; what is no fresh store, or
 * somebody else writes to, is refused. */
#include "unit.h"

#include "base/arena.h"
#include "base/buf.h"
#include "cli/to_etcd.h"
#include "ev/ev.h"
#include "store/store.h"

#include <stdio.h>

struct rig {
	struct env *env;
	struct store *from, *to;
};

static int setup(void **state)
{
	struct rig *r = xcalloc(1, sizeof(*r));

	r->env = env_real_new(1);
	r->from = store_mem_new(r->env);
	r->to = store_mem_new(r->env);
	*state = r;
	return 0;
}

static int teardown(void **state)
{
	struct rig *r = *state;

	store_close(r->from);
	store_close(r->to);
	env_real_free(r->env);
	free(r);
	return 0;
}

static int64_t put(struct store *s, const char *key, const char *value)
{
	struct store_write w = { .key = sv_from(key), .expect_rev = STORE_ANY_REV };
	int64_t rev = 0;

	if (value)
		w.value = sv_from(value);
	w.tombstone = !value;
	assert_true(store_commit_wait(s, &w, &rev, NULL) == 1 || !value); /* what is not there is not deleted */
	return rev;
}

static int look(const struct store_kv *kv, void *ctx)
{
	buf_printf(ctx, "%.*s=%.*s@%" PRId64 " ", SV_ARG(kv->key), SV_ARG(kv->value), kv->mod_rev);
	return 0;
}

static void all_of(struct store *s, struct buf *b)
{
	int64_t rev;

	assert_int_equal(store_range(s, SV("\0"), SV("\xff"), 0, 0, look, b, &rev, NULL), 0);
}

static void moves(struct rig *r, size_t keys)
{
	_cleanup_(buf_release) struct buf before = BUF_INIT, after = BUF_INIT;
	struct store_stats stats;
	int64_t rev;
	size_t n;

	store_stats(r->from, &stats);
	all_of(r->from, &before);
	assert_int_equal(to_etcd_copy(r->from, r->to, &n, &rev, NULL), 0);
	assert_int_equal(n, keys);
	all_of(r->to, &after);
	assert_string_equal(buf_cstr(&before), buf_cstr(&after));
	assert_true(rev >= stats.rev);
	store_stats(r->to, &stats);
	assert_int_equal(stats.rev, rev);
}

static void nothing(void **state)
{
	moves(*state, 0);
}

static void one_after_the_other(void **state)
{
	struct rig *r = *state;

	put(r->from, "/a", "1");
	put(r->from, "/b", "2");
	put(r->from, "/c", "");
	moves(r, 3);
}

static void with_gaps(void **state)
{
	struct rig *r = *state;
	char key[16];

	for (int i = 0; i < 200; i++) {
		snprintf(key, sizeof(key), "/k%d", i % 7);
		put(r->from, key, i % 11 ? "x" : NULL);
	}
	put(r->from, "/first", "y");
	for (int i = 0; i < 500; i++)
		put(r->from, "/often", "z");
	put(r->from, "/often", NULL); /* the newest of all is a deletion */
	moves(r, 7);
}

static int64_t heard;

static void heard_one(const struct store_change *c, void *ctx)
{
	(void)ctx;
	if (sv_starts(c->kv.key, SV("/k")))
		heard = c->kv.mod_rev;
}

static void watches_go_on(void **state)
{
	static const struct store_watch_cb cb = { .change = heard_one };
	struct rig *r = *state;
	struct store_watch *w;
	int64_t newest, rev;
	size_t n;

	for (int i = 0; i < 100; i++)
		newest = put(r->from, "/k", "v");
	assert_int_equal(to_etcd_copy(r->from, r->to, &n, &rev, NULL), 0);
	assert_int_equal(store_watch(r->to, SV("\0"), SV("\xff"), newest, &cb, NULL, &w, NULL), 0);
	rev = put(r->to, "/k", "w");
	assert_true(rev > newest);
	assert_int_equal(heard, rev);
	store_unwatch(r->to, w);
	assert_int_equal(store_watch(r->to, SV("\0"), SV("\xff"), 5, &cb, NULL, &w, NULL), -1);
}

static void not_a_fresh_one(void **state)
{
	struct rig *r = *state;
	_cleanup_(err_release) struct err err = ERR_INIT;
	int64_t rev;
	size_t n;

	put(r->from, "/a", "1");
	put(r->to, "/z", "1");
	assert_int_equal(to_etcd_copy(r->from, r->to, &n, &rev, &err), -1);
	assert_non_null(strstr(err_msg(&err), "fresh"));
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(nothing), T(one_after_the_other), T(with_gaps), T(watches_go_on), T(not_a_fresh_one),
	};
#undef T

	return cmocka_run_group_tests(tests, NULL, NULL);
}
