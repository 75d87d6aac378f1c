/* snapshot/etcd_file.h: what is written is an etcd's own. Its program makes a member of it, which has everything, goes
 * on at the revision that was said, and takes what comes: also what takes its pages apart again. A file that was
 * damaged is none. */
#include "etcd_kit.h"
#include "snapshot/etcd_file.h"
#include "store/etcd/etcd.h"
#include "store_kit.h"

#include "ev/ev.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/wait.h>

#define KEYS 20000
#define REV INT64_C(700000000)

struct place {
	struct etcd_cluster c;
	struct env *env;
	char dir[64], file[96];
};

static int place_setup(void **state)
{
	struct place *p = calloc(1, sizeof(*p));

	kit_mkdir(p->dir);
	snprintf(p->file, sizeof(p->file), "%s/snapshot", p->dir);
	p->env = env_real_new(1);
	*state = p;
	return 0;
}

static int place_teardown(void **state)
{
	struct place *p = *state;

	etcd_cluster_stop(&p->c);
	env_real_free(p->env);
	kit_rmdir(p->dir);
	free(p);
	return 0;
}

/* --- what is in it --- */

static void key_of(size_t i, char to[48])
{
	snprintf(to, 48, "/registry/configmaps/n%zu/k%05zu", i % 7, i);
}

/* Some are long: pages that belong to each other. */
static struct sv value_of(size_t i, struct buf *b)
{
	size_t n = i % 997 == 0 ? 300000 : i % 1500;

	buf_clear(b);
	if (n)
		memset(buf_extend(b, n), (int)('a' + i % 26), n);
	return buf_sv(b);
}

/* Backwards, with holes, and three each of one revision. */
static int64_t rev_of(size_t i)
{
	return (int64_t)(KEYS - i) / 3 * 3 + 5;
}

static void file_make(const struct place *p)
{
	_cleanup_close_ int fd = open(p->file, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	_cleanup_close_ int between = open(p->dir, O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);
	_cleanup_(etcd_file_freep) struct etcd_file *f = etcd_file_new(fd, between);
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	uint64_t keys;

	for (size_t i = 0; i < KEYS; i++) {
		struct store_kv kv = { .value = value_of(i, &b),
				       .mod_rev = rev_of(i),
				       .create_rev = 2 + (int64_t)i % 3 };
		char key[48];

		key_of(i, key);
		kv.key = sv_from(key);
		assert_int_equal(etcd_file_add(f, &kv, NULL), 0);
	}
	assert_int_equal(etcd_file_end(f, REV, NULL, &keys, NULL), 0);
	assert_int_equal(keys, KEYS);
}

/* Its status; what it says goes to dir/said. */
static int etcdctl(const struct place *p, const char *fmt, ...) _printf_(2, 3);
static int etcdctl(const struct place *p, const char *fmt, ...)
{
	char words[300], line[600];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(words, sizeof(words), fmt, ap);
	va_end(ap);
	snprintf(line, sizeof(line), "ETCDCTL_API=3 etcdctl %s >%s/said 2>&1", words, p->dir);
	return system(line); /* NOLINT(cert-env33-c): words of this test */
}

static int restored(const struct place *p)
{
	return etcdctl(p,
		       "snapshot restore %s --data-dir %s/etcd-0 --name m0 --initial-cluster m0=http://127.0.0.1:1 "
		       "--initial-advertise-peer-urls http://127.0.0.1:1",
		       p->file, p->dir);
}

/* --- */

struct found {
	size_t n, from; /* so many of those from there on */
	struct buf b;
};

static int found_one(const struct store_kv *kv, void *ctx)
{
	struct found *f = ctx;
	size_t i = strtoul(kv->key.p + kv->key.n - 5, NULL, 10);

	BUG_ON(i < f->from || i >= KEYS || !sv_eq(kv->value, value_of(i, &f->b)));
	BUG_ON(kv->mod_rev != rev_of(i) || kv->create_rev != 2 + (int64_t)i % 3);
	f->n++;
	return 0;
}

static void has(struct store *s, size_t from)
{
	struct found f = { .from = from };
	int64_t rev;

	assert_int_equal(store_range(s, SV("/registry/"), SV("/registry0"), 0, 0, found_one, &f, &rev, NULL), 0);
	assert_int_equal(f.n, KEYS - from);
	buf_release(&f.b);
}

static void ended(const struct err *why, void *ctx)
{
	*(enum err_reason *)ctx = why->reason;
}

static void never(_unused_ const struct store_change *c, _unused_ void *ctx)
{
}

/* All but the last are deleted, as many at once as etcd takes. */
static void deletes(struct store *s, size_t n)
{
	for (size_t i = 0; i < n; i += 100) {
		struct store_write w[100];
		char keys[100][48];
		int64_t rev;

		for (size_t k = 0; k < 100; k++) {
			key_of(i + k, keys[k]);
			w[k] = (struct store_write){ .key = sv_from(keys[k]),
						     .expect_rev = STORE_ANY_REV,
						     .tombstone = true };
		}
		w[0].also = w + 1;
		w[0].n_also = 99;
		assert_int_equal(store_commit_wait(s, &w[0], &rev, NULL), 1);
	}
}

static void test_an_etcd_comes_of_it(void **state)
{
	static const struct store_watch_cb cb = { .change = never, .end = ended };
	enum err_reason why = ERR_NONE;
	struct place *p = *state;
	struct store_etcd_opts o = { .endpoints = p->c.endpoints, .patience = ETCD_PATIENCE };
	struct store_stats stats;
	struct store_watch *w;
	struct store *s;
	struct err err = ERR_INIT;
	int64_t rev;

	file_make(p);
	assert_int_equal(restored(p), 0);
	etcd_cluster_start(&p->c, 1, p->dir);
	s = store_etcd_open(p->env, &o, &err);
	if (!s)
		fail_msg("open: %s", err_msg(&err));
	store_stats(s, &stats);
	assert_int_equal(stats.rev, REV);
	assert_int_equal(stats.compact_rev, REV);
	has(s, 0);
	assert_int_equal(store_range(s, SV("/a"), SV("/z"), REV - 1, 1, found_one, NULL, &rev, &err), -1);
	assert_int_equal(err.reason, ERR_EXPIRED);
	err_release(&err);
	assert_int_equal(store_watch(s, SV("/a"), SV("/z"), REV - 2, &cb, &why, &w, NULL), -1);
	assert_int_equal(store_watch(s, SV("/a"), SV("/z"), REV, &cb, &why, &w, NULL), 0);
	deletes(s, KEYS - 100);
	assert_int_equal(put(s, "/z", "v", 0), REV + (KEYS - 100) / 100 + 1);
	store_unwatch(s, w);
	assert_int_equal(why, ERR_NONE);
	assert_int_equal(store_compact(s, REV + (KEYS - 100) / 100, NULL), 0);
	has(s, KEYS - 100);
	/* Pages become empty, are joined and used anew; then everything is read from them. */
	for (int i = 0; i < 300; i++)
		assert_true(put(s, "/z", "again", STORE_ANY_REV) > REV);
	store_close(s);
	assert_int_equal(etcdctl(p, "--endpoints %s defrag", p->c.endpoints), 0);
	etcd_member_kill(&p->c.m[0]);
	etcd_member_start(&p->c, 0);
	s = store_etcd_open(p->env, &o, &err);
	if (!s)
		fail_msg("open: %s", err_msg(&err));
	has(s, KEYS - 100);
	store_close(s);
}

static void test_a_damaged_one_is_none(void **state)
{
	struct place *p = *state;
	int fd;
	char c;

	file_make(p);
	fd = open(p->file, O_RDWR | O_CLOEXEC);
	assert_int_equal(pread(fd, &c, 1, 100000), 1);
	c ^= 1;
	assert_int_equal(pwrite(fd, &c, 1, 100000), 1);
	close(fd);
	assert_int_not_equal(restored(p), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_an_etcd_comes_of_it, place_setup, place_teardown),
		cmocka_unit_test_setup_teardown(test_a_damaged_one_is_none, place_setup, place_teardown),
	};

	if (!etcd_installed() || system("command -v etcdctl >/dev/null")) { /* NOLINT(cert-env33-c) */
		puts("1..0 # SKIP there are no etcd and etcdctl: install etcd-server and etcd-client");
		return 0;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
