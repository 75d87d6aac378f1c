/* cli/to_etcd.h: every object has the revision that it had, whatever was between them; what is no fresh store, or
 * somebody else writes to, is refused. And what becomes of the program that makes one of a file
 * (conformance/etcd-of-file has the real one). */
#include "unit.h"

#include "base/arena.h"
#include "base/buf.h"
#include "base/file.h"
#include "cli/to_etcd-internal.h"
#include "ev/ev.h"
#include "store/store.h"

#include <pthread.h>
#include <signal.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

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

/* Among the keys, or while it is counted up to what comes behind them. */
static void a_signal_ends_it(void **state)
{
	struct rig *r = *state;
	struct store_stats stats;
	sigset_t term, before;
	int64_t rev;
	size_t n;

	put(r->from, "/a", "1");
	for (int i = 0; i < 1000; i++)
		put(r->from, "/gone", "x");
	put(r->from, "/gone", NULL);
	sigemptyset(&term);
	sigaddset(&term, SIGTERM);
	assert_int_equal(pthread_sigmask(SIG_BLOCK, &term, &before), 0);
	for (int with_keys = 1; with_keys >= 0; with_keys--) {
		_cleanup_(err_release) struct err err = ERR_INIT;

		if (!with_keys)
			put(r->from, "/a", NULL);
		assert_int_equal(raise(SIGTERM), 0);
		assert_int_equal(to_etcd_copy(r->from, r->to, &n, &rev, &err), -1);
		assert_non_null(strstr(err_msg(&err), "signal"));
		store_stats(r->to, &stats);
		assert_int_equal(stats.rev, 1);
		assert_int_equal(sigtimedwait(&term, NULL, &(struct timespec){ 0 }), SIGTERM); /* it still waits */
	}
	assert_int_equal(pthread_sigmask(SIG_SETMASK, &before, NULL), 0);
	put(r->from, "/a", "2");
	moves(r, 1);
}

/* --- a store that gives a write one revision, as etcd does --- */

struct one_rev {
	struct store store;
	struct store_kv kv[128]; /* in the order of their first write */
	size_t n, writes;
	int64_t rev, compacted;
	int64_t most; /* revisions of history that there were at once */
	struct arena a;
};

static int one_rev_range(struct store *s, struct sv from, struct sv to, int64_t rev, size_t limit, store_each_fn *fn,
			 void *ctx, int64_t *ret_rev, struct err *err)
{
	struct one_rev *o = (struct one_rev *)s;

	(void)rev;
	(void)limit;
	(void)err;
	*ret_rev = o->rev;
	for (size_t i = 0; i < o->n; i++) {
		bool in = to.n ? sv_cmp(o->kv[i].key, from) >= 0 : sv_eq(o->kv[i].key, from);

		if (in && !o->kv[i].deleted && fn(&o->kv[i], ctx))
			break;
	}
	return 0;
}

static void one_rev_set(struct one_rev *o, const struct store_write *w)
{
	size_t i = 0;

	while (i < o->n && !sv_eq(o->kv[i].key, w->key))
		i++;
	assert_true(i < ARRAY_LEN(o->kv));
	o->kv[i] = (struct store_kv){ .key = i < o->n ? o->kv[i].key : arena_sv(&o->a, w->key),
				      .value = w->value.n ? arena_sv(&o->a, w->value) : SV(""),
				      .mod_rev = o->rev,
				      .deleted = w->tombstone };
	o->n = MAX(o->n, i + 1);
}

static void one_rev_commit(struct store *s, const struct store_write *w, store_done_fn *done, void *ctx)
{
	struct one_rev *o = (struct one_rev *)s;
	struct store_result r = { .outcome = STORE_OK };

	o->writes++;
	r.rev = ++o->rev;
	o->most = MAX(o->most, o->rev - o->compacted);
	one_rev_set(o, w);
	for (size_t i = 0; i < w->n_also; i++) {
		assert_true(w->also[i].value.n <= w->value.n);
		one_rev_set(o, &w->also[i]);
	}
	done(&r, ctx);
}

static int one_rev_compact(struct store *s, int64_t rev, struct err *err)
{
	struct one_rev *o = (struct one_rev *)s;

	(void)err;
	assert_true(rev <= o->rev && rev >= o->compacted);
	o->compacted = rev;
	return 0;
}

static void one_rev_stats(struct store *s, struct store_stats *ret)
{
	*ret = (struct store_stats){ .rev = ((struct one_rev *)s)->rev };
}

static const struct store_ops one_rev_ops = { .name = "one-rev",
					      .range = one_rev_range,
					      .commit = one_rev_commit,
					      .compact = one_rev_compact,
					      .stats = one_rev_stats };

/* What a snapshot of an etcd has: a Service and its address are one write, and so one revision. */
static void several_of_one_revision(void **state)
{
	struct rig *r = *state;
	const struct store_write beside[] = { { .key = SV("/b"), .value = SV("longer") },
					      { .key = SV("/c"), .value = SV("") } };
	struct store_write w = { .key = SV("/d"), .value = SV("longest"), .also = beside, .n_also = 2 };
	struct one_rev from = { .store = { &one_rev_ops, r->env }, .rev = 1 };
	struct one_rev to = { .store = { &one_rev_ops, r->env }, .rev = 1 };
	_cleanup_(err_release) struct err err = ERR_INIT;
	int64_t rev;
	size_t n;

	put(&from.store, "/a", "1");
	assert_int_equal(store_commit_wait(&from.store, &w, &rev, NULL), 1);
	assert_int_equal(rev, 3);
	put(&from.store, "/e", "2");
	if (to_etcd_copy(&from.store, &to.store, &n, &rev, &err) < 0)
		fail_msg("%s", err_msg(&err));
	assert_int_equal(n, 5);
	assert_int_equal(rev, from.rev);
	assert_int_equal(to.writes, 3);
	for (size_t i = 0; i < from.n; i++) {
		size_t k = 0;

		while (k < to.n && !sv_eq(to.kv[k].key, from.kv[i].key))
			k++;
		assert_true(k < to.n);
		assert_true(sv_eq(to.kv[k].value, from.kv[i].value));
		assert_int_equal(to.kv[k].mod_rev, from.kv[i].mod_rev);
	}
	arena_release(&from.a);
	arena_release(&to.a);
}

/* What a restore leaps by is counted up, and etcd never has the history of all that. */
static void far_behind(void **state)
{
	struct rig *r = *state;
	struct one_rev *from = xcalloc(1, sizeof(*from)), *to = xcalloc(1, sizeof(*to));
	int64_t rev;
	size_t n;

	*from = (struct one_rev){ .store = { &one_rev_ops, r->env }, .rev = 1 };
	*to = *from;
	put(&from->store, "/a", "1");
	from->rev = 50000;
	put(&from->store, "/b", "1");
	from->rev = 150000;
	assert_int_equal(to_etcd_copy(&from->store, &to->store, &n, &rev, NULL), 0);
	assert_int_equal(n, 2);
	assert_int_equal(to->rev, rev);
	assert_int_equal(to->compacted, 150000);
	assert_true(rev > 150000 && to->most < 45000);
	assert_true(sv_is(to->kv[0].key, "/a") && to->kv[0].mod_rev == 2);
	arena_release(&from->a);
	arena_release(&to->a);
	free(from);
	free(to);
}

/* --- by a file --- */

struct program {
	char dir[64], path[80];
	char *kept; /* PATH */
};

static void program_setup(struct program *p, const char *name, const char *script)
{
	_cleanup_free_ char *file = NULL, *etcd = NULL;

	snprintf(p->dir, sizeof(p->dir), "/tmp/to-etcd-XXXXXX");
	assert_non_null(mkdtemp(p->dir));
	etcd = xasprintf("%s/etcd", p->dir);
	assert_int_equal(mkdir(etcd, 0700), 0);
	p->kept = xstrdup(getenv("PATH"));
	snprintf(p->path, sizeof(p->path), "%s/bin", p->dir);
	assert_int_equal(mkdir(p->path, 0700), 0);
	assert_int_equal(setenv("PATH", p->path, 1), 0);
	if (!name)
		return;
	file = xasprintf("%s/%s", p->path, name);
	assert_int_equal(file_write(file, sv_from(script), 0700, NULL), 0);
}

static void program_teardown(struct program *p)
{
	assert_int_equal(setenv("PATH", p->kept, 1), 0);
	free(p->kept);
	assert_int_equal(tree_remove(p->dir, NULL), 0);
}

static int by_program(struct rig *r, const struct program *p, uint64_t *keys, struct err *err)
{
	const struct etcd_member_opts o = { .env = r->env, .data_dir = p->dir };
	const struct etcd_member_id id = { "m-1", "https://192.0.2.1:2", "https://192.0.2.1:1" };
	int64_t rev = 0;
	int rc = to_etcd_file(&o, &id, r->from, NULL, keys, &rev, err);
	struct store_stats stats;

	store_stats(r->from, &stats);
	if (rc > 0)
		assert_int_equal(rev, stats.rev);
	return rc;
}

static bool is_there(const struct program *p, const char *name)
{
	_cleanup_free_ char *path = xasprintf("%s/etcd/%s", p->dir, name);

	return access(path, F_OK) == 0;
}

static void a_program_makes_it(void **state)
{
	struct rig *r = *state;
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct program p;
	struct sv said;
	uint64_t keys;

	put(r->from, "/a", "1");
	put(r->from, "/b", "2");
	/* The newer one is asked, of both that are there. */
	program_setup(&p, "etcdctl", "#!/bin/sh\nexit 3\n");
	assert_int_equal(file_write(arena_printf(&a, "%s/etcdutl", p.path),
				    SV("#!/bin/sh\n[ -s \"$3\" ] || exit 4\necho \"$*\" >said\n"), 0700, NULL),
			 0);
	assert_int_equal(setenv("ETCDCTL_API", "2", 1), 0);
	assert_int_equal(by_program(r, &p, &keys, NULL), 1);
	assert_int_equal(keys, 2);
	assert_int_equal(file_read(&a, arena_printf(&a, "%s/etcd/said", p.dir), 4096, &said, NULL), 0);
	assert_sv(said, arena_printf(&a,
				     "snapshot restore %s/etcd/moving.snapshot --data-dir %s/etcd/moving --name m-1 "
				     "--initial-cluster m-1=https://192.0.2.1:2 --initial-cluster-token caravel "
				     "--initial-advertise-peer-urls https://192.0.2.1:2\n",
				     p.dir, p.dir));
	assert_false(is_there(&p, "moving.snapshot") || is_there(&p, "moving.values") || is_there(&p, "moving.log"));
	program_teardown(&p);
}

/* What was an etcd already becomes another cluster, a leap behind, and what would end with its lease stays away. */
static void another_cluster(void **state)
{
	struct rig *r = *state;
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	const struct to_etcd_anew anew = { .cluster = "caravel-7", .leap = 1000 };
	const struct etcd_member_id id = { "m-1", "https://192.0.2.1:2", "https://192.0.2.1:1" };
	struct etcd_member_opts o = { .env = r->env };
	struct program p;
	struct sv said;
	uint64_t keys;
	int64_t rev, last;

	put(r->from, "/caravel/joining/17", "x");
	put(r->from, "/caravel/keys/encryption/a", "x");
	put(r->from, "/caravel/keys/shared", "x");
	put(r->from, "/registry/masterleases/192.0.2.1", "x");
	last = put(r->from, "/registry/pods/default/a", "x");
	program_setup(&p, "etcdctl", "#!/bin/sh\necho \"$*\" >said\n");
	o.data_dir = p.dir;
	assert_int_equal(to_etcd_file(&o, &id, r->from, &anew, &keys, &rev, NULL), 1);
	assert_int_equal(keys, 2);
	assert_int_equal(rev, last + 1000);
	assert_int_equal(file_read(&a, arena_printf(&a, "%s/etcd/said", p.dir), 4096, &said, NULL), 0);
	assert_true(sv_find_sv(said, SV("--initial-cluster-token caravel-7 ")) >= 0);
	program_teardown(&p);
}

static void no_program(void **state)
{
	struct program p;
	uint64_t keys;

	program_setup(&p, NULL, NULL);
	assert_int_equal(by_program(*state, &p, &keys, NULL), 0);
	assert_false(is_there(&p, "moving.snapshot"));
	program_teardown(&p);
}

/* What a move that was killed left goes at the next start, whichever way that takes. */
static void killed_and_forgotten(_unused_ void **state)
{
	static const char *const left[] = { "moving.snapshot", "moving.values", "moving.log", "data" };
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct program p;

	program_setup(&p, NULL, NULL);
	to_etcd_forget(p.dir); /* nothing */
	assert_int_equal(dir_make(arena_printf(&a, "%s/etcd", p.dir), 0700, NULL), 0);
	for (size_t i = 0; i < ARRAY_LEN(left); i++)
		assert_int_equal(file_write(arena_printf(&a, "%s/etcd/%s", p.dir, left[i]), SV("x"), 0600, NULL), 0);
	to_etcd_forget(p.dir);
	for (size_t i = 0; i < ARRAY_LEN(left); i++)
		assert_true(is_there(&p, left[i]) == (i == 3));
	program_teardown(&p);
}

static void a_program_fails(void **state)
{
	_cleanup_(err_release) struct err err = ERR_INIT;
	struct rig *r = *state;
	struct program p;
	uint64_t keys;

	put(r->from, "/a", "1");
	program_setup(&p, "etcdctl", "#!/bin/sh\necho first\necho no disk is left >&2\necho\nexit 1\n");
	for (int i = 0; i < 2; i++) { /* and what is left of it is in nobody's way */
		err_release(&err);
		assert_int_equal(by_program(r, &p, &keys, &err), -1);
		assert_string_equal(err_msg(&err), "'etcdctl snapshot restore' failed: no disk is left");
	}
	assert_false(is_there(&p, "moving.snapshot"));
	program_teardown(&p);
}

/* Before it is asked, and while it runs. */
static void a_signal_ends_a_program(void **state)
{
	struct rig *r = *state;
	sigset_t term, before;
	struct program p;
	uint64_t keys;

	sigemptyset(&term);
	sigaddset(&term, SIGTERM);
	assert_int_equal(pthread_sigmask(SIG_BLOCK, &term, &before), 0);
	put(r->from, "/a", "1");
	program_setup(&p, "etcdutl", "#!/bin/sh\nkill -TERM $PPID\nwhile :; do read x </dev/zero; done\n");
	for (int i = 0; i < 2; i++) {
		_cleanup_(err_release) struct err err = ERR_INIT;

		if (i == 0)
			assert_int_equal(raise(SIGTERM), 0);
		assert_int_equal(by_program(r, &p, &keys, &err), -1);
		assert_non_null(strstr(err_msg(&err), "signal"));
		assert_int_equal(sigtimedwait(&term, NULL, &(struct timespec){ 0 }), SIGTERM);
	}
	program_teardown(&p);
	assert_int_equal(pthread_sigmask(SIG_SETMASK, &before, NULL), 0);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(nothing),
		T(one_after_the_other),
		T(with_gaps),
		T(watches_go_on),
		T(not_a_fresh_one),
		T(a_signal_ends_it),
		T(several_of_one_revision),
		T(far_behind),
		T(a_program_makes_it),
		T(another_cluster),
		T(no_program),
		T(killed_and_forgotten),
		T(a_program_fails),
		T(a_signal_ends_a_program),
	};
#undef T

	return cmocka_run_group_tests(tests, NULL, NULL);
}
