/* Every system call of the store as the last one, and every one as one that fails.
 *
 * power_disk.h works out what is left. Whatever it is has to open and hold every answered write, with its revision, and
 * of the one that was under way all or nothing.
 *
 * POWER_STEP=1 tries every call; without it they are sampled. */
#include "power_disk.h"

#define KEYS 12
#define OPS 60

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

static void image_verify(const struct ledger *l, const char *dir, size_t which)
{
	_cleanup_free_ char *what =
	    xasprintf("fault %d at call %ld, %s", (int)disk.fault, disk.at, disk_images[which].words);
	struct ledger copy = *l;
	struct err err = ERR_INIT;
	struct store *s;
	char to[64];

	kit_mkdir(to);
	disk_image(dir, to, which);
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
	for (size_t i = 0; i < ARRAY_LEN(disk_images); i++)
		image_verify(l, dir, i);
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
