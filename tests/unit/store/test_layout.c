/* A database comes to a newer layout, from wherever it was interrupted, and loses nothing on the way.
 *
 * The old layouts are toys: prefixes as an older program would have made them. */
#include "mute.h"
#include "power_disk.h"
#include "store/layout.h"

#define PODS 300  /* two portions */
#define BIG 30000 /* bytes of some values: several groups */

static const struct store_move moves[] = {
	{ 2, "/r/pods/", "/r/core/pods/" },
	{ 2, "/r/widgets/", "/r/example.com/widgets/" },
	{ 3, "/r/core/", "/s/" },
};

static struct store *open_mem(_unused_ const char *dir, _unused_ struct err *err)
{
	return store_mem_new(&thread_env);
}

static struct store *open_disk(const char *dir, struct err *err)
{
	return store_disk_open(&thread_env, dir, (size_t)1 << 30, err);
}

static const struct backend backends[] = { { "mem", false, open_mem, false, NULL },
					   { "disk", true, open_disk, false, NULL } };

static int bring(struct store *s, int newest, struct err *err)
{
	return store_layout_bring(s, newest, moves, ARRAY_LEN(moves), err);
}

#define assert_bring(s, newest)                         \
	do {                                            \
		struct err err_ = ERR_INIT;             \
		if (bring((s), (newest), &err_) < 0)    \
			fail_msg("%s", err_msg(&err_)); \
	} while (0)

#define assert_refused(s, newest, reason_, part)                            \
	do {                                                                \
		struct err err_ = ERR_INIT;                                 \
		assert_int_equal(bring((s), (newest), &err_), -1);          \
		assert_int_equal(err_.reason, (reason_));                   \
		if (!strstr(err_msg(&err_), (part)))                        \
			fail_msg("no '%s' in: %s", (part), err_msg(&err_)); \
		err_release(&err_);                                         \
	} while (0)

/* Value i, of many sizes; a few are large. */
static size_t value_of(int i, char *out)
{
	size_t n = i % 8 == 7 ? BIG : (size_t)(1 + i);

	memset(out, 'a' + i % 26, n);
	return n;
}

/* What an older program leaves. */
static void fill(struct store *s)
{
	_cleanup_free_ char *value = xmalloc(BIG);
	struct flight f = FLIGHT_INIT;
	char key[64];

	for (int i = 0; i < PODS; i++) {
		snprintf(key, sizeof(key), "/r/pods/ns/%03d", i);
		flight_commit(
		    &f, s, &(struct store_write){ .key = sv_from(key), .value = sv_make(value, value_of(i, value)) });
	}
	flight_wait(&f, 0);
	assert_int_equal(f.ok, PODS);
	assert_true(put(s, "/r/pod", "beside it", 0) > 0);
	assert_true(put(s, "/r/widgets/w", "a widget", 0) > 0);
	assert_true(put(s, "/r/widgets.more/w", "not a widget", 0) > 0);
}

struct check {
	int pods[PODS], others;
};

static int check_one(const struct store_kv *kv, void *ctx)
{
	static const char *const prefixes[] = { "/r/pods/ns/", "/r/core/pods/ns/", "/s/pods/ns/" };
	_cleanup_free_ char *value = xmalloc(BIG);
	struct check *c = ctx;

	for (size_t p = 0; p < ARRAY_LEN(prefixes); p++) {
		struct sv prefix = sv_from(prefixes[p]);
		int64_t i;

		if (!sv_starts(kv->key, prefix))
			continue;
		assert_true(sv_to_i64(sv_sub(kv->key, prefix.n, kv->key.n), &i) && i >= 0 && i < PODS);
		assert_true(sv_eq(kv->value, sv_make(value, value_of((int)i, value))));
		c->pods[i]++;
		return 0;
	}
	c->others += !sv_is(kv->key, STORE_LAYOUT_KEY);
	return 0;
}

/* Every value is there, moved or not; `once`: under one key. */
static void verify(struct store *s, bool once)
{
	struct check c = { 0 };

	assert_int_equal(store_range(s, SV("/"), SV("0"), 0, 0, check_one, &c, NULL, NULL), 0);
	for (int i = 0; i < PODS; i++)
		assert_true(once ? c.pods[i] == 1 : c.pods[i] >= 1);
	assert_true(once ? c.others == 3 : c.others >= 3);
}

static int count_one(_unused_ const struct store_kv *kv, void *ctx)
{
	++*(size_t *)ctx;
	return 0;
}

static size_t count(struct store *s, const char *from, const char *to)
{
	size_t n = 0;

	assert_int_equal(store_range(s, sv_from(from), sv_from(to), 0, 0, count_one, &n, NULL, NULL), 0);
	return n;
}

static char *mark(struct store *s)
{
	char *text = list_n(s, SV(STORE_LAYOUT_KEY), SV_NULL, 0, 0), *at = strchr(text, '@');

	if (at)
		*at = '\0';
	return text;
}

#define assert_mark(s, want)                          \
	do {                                          \
		_cleanup_free_ char *mark_ = mark(s); \
		assert_string_equal(mark_, (want));   \
	} while (0)

static int setup_mem(void **state)
{
	return kit_setup(state, &backends[0]);
}

static int setup_disk(void **state)
{
	return kit_setup(state, &backends[1]);
}

#define STORE(state) (((struct kit *)*(state))->s)

static void test_moves(void **state)
{
	struct store *s = STORE(state);
	struct err err = ERR_INIT;
	struct store_watch *w;
	int64_t before, after;

	fill(s);
	before = now_rev(s);
	assert_bring(s, 2);
	assert_mark(s, STORE_LAYOUT_KEY "=2");
	verify(s, true);
	assert_int_equal(count(s, "/r/core/pods/ns/", "/r/core/pods/ns0"), PODS);
	assert_int_equal(count(s, "/r/pods/", "/r/pods0"), 0);
	assert_int_equal(count(s, "/r/example.com/widgets/", "/r/example.com/widgets0"), 1);
	assert_int_equal(count(s, "/r/widgets.more/", "/r/widgets.more0"), 1);
	/* Whoever was there before reads afresh. */
	after = now_rev(s);
	assert_int_equal(store_watch(s, SV("/r/"), SV("/r0"), before, &seen_cb, NULL, &w, &err), -1);
	assert_int_equal(err.reason, ERR_EXPIRED);
	err_release(&err);
	/* And once is enough: nothing is written any more. */
	assert_bring(s, 2);
	assert_int_equal(now_rev(s), after);
	/* On to the next, and through both at once. */
	assert_bring(s, 3);
	assert_mark(s, STORE_LAYOUT_KEY "=3");
	verify(s, true);
	assert_int_equal(count(s, "/s/pods/ns/", "/s/pods/ns0"), PODS);
}

static void test_two_steps(void **state)
{
	struct store *s = STORE(state);

	fill(s);
	assert_bring(s, 3);
	verify(s, true);
	assert_int_equal(count(s, "/s/pods/ns/", "/s/pods/ns0"), PODS);
	assert_mark(s, STORE_LAYOUT_KEY "=3");
}

/* The first layout needs no mark, and a fresh database begins with the newest. */
static void test_first(void **state)
{
	struct store *s = STORE(state);

	assert_bring(s, 1);
	assert_int_equal(now_rev(s), 1);
	assert_bring(s, 3);
	assert_int_equal(now_rev(s), 2);
	assert_mark(s, STORE_LAYOUT_KEY "=3");
	fill(s); /* under names that once were old ones: they are not moved */
	assert_bring(s, 3);
	assert_int_equal(count(s, "/r/pods/", "/r/pods0"), PODS);
}

static void test_refused(void **state)
{
	static const char *const bad[] = { "", "<", "x", "0", "-1", "2x", "99999999999999999999", "2<<" };
	struct store *s = STORE(state);

	fill(s);
	assert_bring(s, 2);
	assert_refused(s, 1, ERR_BAD_REQUEST, "layout 2, this program knows 1");
	assert_true(put(s, STORE_LAYOUT_KEY, "3<", STORE_ANY_REV) > 0);
	assert_refused(s, 2, ERR_BAD_REQUEST, "layout 3, this program knows 2");
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		assert_true(put(s, STORE_LAYOUT_KEY, bad[i], STORE_ANY_REV) > 0);
		assert_refused(s, 2, ERR_STORE_READ, "is no layout");
	}
	verify(s, true);
}

/* Two values for one key: neither is thrown away. */
static void test_differ(void **state)
{
	struct store *s = STORE(state);

	fill(s);
	assert_true(put(s, "/r/core/pods/ns/003", "another", 0) > 0);
	assert_refused(s, 2, ERR_CONFLICT, "'/r/core/pods/ns/003' is there already");
	assert_mark(s, STORE_LAYOUT_KEY "=2<");
	assert_int_equal(count(s, "/r/pods/ns/003", "/r/pods/ns/004"), 1);
	assert_true(del(s, "/r/core/pods/ns/003", STORE_ANY_REV) > 0);
	assert_bring(s, 2);
	verify(s, true);
}

static void test_mute(void **state)
{
	struct store_transform mute = MUTE_TRANSFORM;
	struct kit *k = *state;
	int64_t rev;

	fill(k->s);
	assert_bring(k->s, 2);
	rev = now_rev(k->s);
	k->s = store_transformed(k->s, &mute);
	assert_refused(k->s, 3, ERR_STORE_READ, "'" STORE_LAYOUT_KEY "' cannot be read");
	assert_int_equal(now_rev(k->s), rev);
	store_close(TAKE(k->s));
}

/* --- what it costs --- */

/* Passes all on, and looks where ranges begin. */
struct looked {
	struct store store;
	struct store *inner;
	char last[64]; /* where the one before began */
	size_t portions;
};

static int looked_range(struct store *s, struct sv from, struct sv to, int64_t rev, size_t limit, store_each_fn *fn,
			void *ctx, int64_t *ret_rev, struct err *err)
{
	struct looked *l = CONTAINER_OF(s, struct looked, store);

	if (to.n && sv_starts(from, SV("/r/pods/"))) {
		assert_true(from.n < sizeof(l->last));
		assert_true(sv_cmp(from, sv_from(l->last)) > 0);
		memcpy(l->last, from.p, from.n);
		l->last[from.n] = '\0';
		l->portions++;
	}
	return store_range(l->inner, from, to, rev, limit, fn, ctx, ret_rev, err);
}

static void looked_commit(struct store *s, const struct store_write *w, store_done_fn *done, void *ctx)
{
	store_commit(CONTAINER_OF(s, struct looked, store)->inner, w, done, ctx);
}

static int looked_compact(struct store *s, int64_t rev, struct err *err)
{
	return store_compact(CONTAINER_OF(s, struct looked, store)->inner, rev, err);
}

static void looked_stats(struct store *s, struct store_stats *ret)
{
	store_stats(CONTAINER_OF(s, struct looked, store)->inner, ret);
}

/* A portion does not pass by all that those before it have removed. */
static void test_portions(void **state)
{
	static const struct store_ops ops = {
		.name = "looked",
		.range = looked_range,
		.commit = looked_commit,
		.compact = looked_compact,
		.stats = looked_stats,
	};
	struct looked l = { .store = { &ops, STORE(state)->env }, .inner = STORE(state) };

	fill(l.inner);
	assert_bring(&l.store, 2);
	verify(l.inner, true);
	assert_true(l.portions > 2);
}

/* --- interrupted --- */

static void images_verify(const char *dir, const char *what, long at)
{
	for (size_t i = 0; i < ARRAY_LEN(disk_images); i++) {
		struct err err = ERR_INIT;
		struct store *s;
		char to[64];

		kit_mkdir(to);
		disk_image(dir, to, i);
		s = open_disk(to, &err);
		if (!s || bring(s, 1, NULL) == 0) /* a mark was there before the first move */
			if (!s || count(s, "/r/pods/", "/r/pods0") != PODS || count(s, "/r/core/", "/r/core0"))
				fail_msg("%s at %ld, %s: %s", what, at, disk_images[i].words, err_msg(&err));
		verify(s, false);
		assert_bring(s, 3);
		verify(s, true);
		assert_int_equal(count(s, "/s/pods/ns/", "/s/pods/ns0"), PODS);
		store_close(s);
		kit_rmdir(to);
	}
}

/* Runs a migration with a fault at call `at`; 0: none. Returns how many calls there were. */
static long faulty(enum fault fault, long at, bool images)
{
	struct err err = ERR_INIT;
	struct store *s;
	char dir[64];
	long n;

	kit_mkdir(dir);
	disk_arm(dir, NONE, 0);
	s = open_disk(dir, NULL);
	assert_non_null(s);
	fill(s);
	store_close(s);
	disk.calls = 0;
	disk_arm(NULL, fault, at);
	s = open_disk(dir, NULL);
	if (s && bring(s, 3, &err) == 0)
		verify(s, true);
	store_close(s);
	disk.armed = false;
	n = disk.calls;
	if (images)
		images_verify(dir, fault == DIE ? "killed" : "failed", at);
	/* Not only after a power cut: as it is, too. */
	s = open_disk(dir, NULL);
	assert_non_null(s);
	verify(s, false);
	assert_bring(s, 3);
	verify(s, true);
	store_close(s);
	err_release(&err);
	disk_forget();
	kit_rmdir(dir);
	return n;
}

static void test_interrupted(void **state)
{
	const char *every = getenv("POWER_STEP");
	long n = faulty(NONE, 0, true), step = every ? atol(every) : MAX(n / 25, 1);

	(void)state;
	assert_true(n > 20);
	for (long at = 1; at < n; at += step)
		faulty(DIE, at, true);
}

static void test_one_fails(void **state)
{
	static const enum fault faults[] = { FAIL_EIO, FAIL_ENOSPC };
	const char *every = getenv("POWER_STEP");
	long n = faulty(NONE, 0, false), step = every ? atol(every) : MAX(n / 12, 1);

	(void)state;
	for (size_t k = 0; k < ARRAY_LEN(faults); k++)
		for (long at = 1 + (long)k; at < n; at += step)
			faulty(faults[k], at, false);
}

#define ON_BOTH(test)                                               \
	{ #test "_mem", test, setup_mem, kit_teardown, NULL },      \
	{                                                           \
#test "_disk", test, setup_disk, kit_teardown, NULL \
	}

int main(void)
{
	const struct CMUnitTest tests[] = {
		ON_BOTH(test_moves),
		ON_BOTH(test_two_steps),
		ON_BOTH(test_first),
		ON_BOTH(test_refused),
		ON_BOTH(test_differ),
		ON_BOTH(test_portions),
		cmocka_unit_test_setup_teardown(test_mute, setup_mem, kit_teardown),
		cmocka_unit_test(test_interrupted),
		cmocka_unit_test(test_one_fails),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
