/* store_kit.h - what the store's tests share: backends to open, a watch that records, short
 * forms of the calls. Only for tests. */
#pragma once

#include "unit.h"

#include "base/buf.h"
#include "base/vec.h"
#include "store/store.h"
#include "thread_env.h"

#include <ftw.h>
#include <stdio.h>
#include <unistd.h>

struct backend {
	const char *name;
	bool persistent;
	struct store *(*open)(const char *dir, struct err *err);
	bool shared; /* others may write: one revision for writes that are one, no lock, an order only of each key */
	void (*clean)(void); /* what open() left behind, of any directory; may be NULL */
};

/* What a test works on; made anew for each. */
struct kit {
	const struct backend *backend;
	char dir[64];
	struct store *s;
};

static _unused_ void kit_rmdir(const char *dir);

/* Between two looks at something that changes by itself: whoever changes it needs the processor. */
static _unused_ void kit_rest(void)
{
	usleep(1000);
}

static int kit_rm(const char *path, _unused_ const struct stat *st, _unused_ int flag, _unused_ struct FTW *ftw)
{
	return remove(path);
}

static void kit_rmdir(const char *dir)
{
	nftw(dir, kit_rm, 16, FTW_DEPTH | FTW_PHYS);
}

static _unused_ void kit_mkdir(char dir[64])
{
	const char *tmp = getenv("TMPDIR");

	snprintf(dir, 64, "%s/store-XXXXXX", tmp && strlen(tmp) < 40 ? tmp : "/tmp");
	assert_non_null(mkdtemp(dir));
}

static struct store *kit_open(const struct kit *k)
{
	struct err err = ERR_INIT;
	struct store *s = k->backend->open(k->dir, &err);

	if (!s)
		fail_msg("open: %s", err_msg(&err));
	return s;
}

static _unused_ void kit_reopen(struct kit *k)
{
	k->s = store_close(k->s);
	k->s = kit_open(k);
}

/* Writes; returns the revision, 0 on mismatch, -1 on failure. */
static _unused_ int64_t put_n(struct store *s, struct sv key, struct sv value, int64_t expect)
{
	struct store_write w = { .key = key, .value = value, .expect_rev = expect };
	int64_t rev = 0;
	int r = store_commit_wait(s, &w, &rev, NULL);

	return r == 1 ? rev : r;
}

static _unused_ int64_t put(struct store *s, const char *key, const char *value, int64_t expect)
{
	return put_n(s, sv_from(key), sv_from(value), expect);
}

static _unused_ int64_t del(struct store *s, const char *key, int64_t expect)
{
	struct store_write w = { .key = sv_from(key), .expect_rev = expect, .tombstone = true };
	int64_t rev = 0;
	int r = store_commit_wait(s, &w, &rev, NULL);

	return r == 1 ? rev : r;
}

/* Whether there may be values that nothing could be made of (transform.h): else that is a fault. */
#ifndef KIT_UNREADABLE
#define KIT_UNREADABLE false
#endif

static int kit_list_one(const struct store_kv *kv, void *ctx)
{
	struct buf *b = ctx;

	assert_true(KIT_UNREADABLE || !kv->why);
	buf_addsv(b, kv->key);
	buf_addc(b, '=');
	buf_addsv(b, kv->value);
	buf_printf(b, "@%" PRId64 "/%" PRId64 "%s ", kv->create_rev, kv->mod_rev, kv->deleted ? "!" : "");
	return 0;
}

/* "key=value@create/mod " for each in the range, or the reason of the failure. Caller frees. */
static _unused_ char *list_n(struct store *s, struct sv from, struct sv to, int64_t rev, size_t limit)
{
	struct buf b = BUF_INIT;
	struct err err = ERR_INIT;
	int64_t got;

	if (store_range(s, from, to, rev, limit, kit_list_one, &b, &got, &err) < 0)
		buf_adds(&b, err_reason_name(err.reason));
	else if (rev)
		assert_int_equal(got, rev);
	err_release(&err);
	return buf_detach(&b);
}

#define assert_list(s, from, to, rev, limit, text)                                     \
	do {                                                                           \
		char *list_ = list_n((s), sv_from(from), sv_from(to), (rev), (limit)); \
		assert_string_equal(list_, (text));                                    \
		free(list_);                                                           \
	} while (0)

static _unused_ int64_t now_rev(struct store *s)
{
	struct store_stats st;

	store_stats(s, &st);
	return st.rev;
}

/* Once it knows of so many keys: a store across a network knows those of seconds before. */
static _unused_ void stats_of_keys(struct store *s, uint64_t keys, struct store_stats *ret)
{
	for (store_stats(s, ret); ret->keys != keys && store_shared(s); store_stats(s, ret))
		kit_rest();
	assert_int_equal(ret->keys, keys);
}

/* A watch that writes down what it is told. What must hold is no assertion of cmocka's where it is looked at on the
 * store's thread: that would end the program without a word. */
struct seen {
	pthread_mutex_t mu;
	pthread_cond_t cond;
	struct buf text; /* "key=value@create/mod<prev@mod " */
	VEC(int64_t) revs;
	VEC(void *) cookies;
	int64_t progress;
	bool ended, more;
	enum err_reason why;
	struct store_watch *w;
};

static void seen_change(const struct store_change *c, void *ctx)
{
	struct seen *n = ctx;

	BUG_ON(!KIT_UNREADABLE && (c->kv.why || (c->prev && c->prev->why)));

	pthread_mutex_lock(&n->mu);
	BUG_ON(n->ended);
	BUG_ON(!(c->kv.mod_rev > n->progress));
	BUG_ON(n->more && c->kv.mod_rev != vec_last(&n->revs));
	n->more = c->more;
	kit_list_one(&c->kv, &n->text);
	if (c->prev) {
		n->text.n--;
		buf_printf(&n->text, "<%.*s@%" PRId64 " ", SV_ARG(c->prev->value), c->prev->mod_rev);
		BUG_ON(!(sv_eq(c->prev->key, c->kv.key)));
		BUG_ON(c->prev->deleted);
	}
	vec_push(&n->revs, c->kv.mod_rev);
	vec_push(&n->cookies, c->cookie);
	pthread_cond_broadcast(&n->cond);
	pthread_mutex_unlock(&n->mu);
}

static void seen_progress(int64_t rev, void *ctx)
{
	struct seen *n = ctx;

	pthread_mutex_lock(&n->mu);
	BUG_ON(n->ended);
	BUG_ON(!(rev > n->progress));
	BUG_ON(!(n->revs.n == 0 || vec_last(&n->revs) <= rev));
	BUG_ON(n->more && vec_last(&n->revs) == rev);
	n->progress = rev;
	pthread_cond_broadcast(&n->cond);
	pthread_mutex_unlock(&n->mu);
}

static void seen_end(const struct err *why, void *ctx)
{
	struct seen *n = ctx;

	pthread_mutex_lock(&n->mu);
	BUG_ON(n->ended);
	n->ended = true;
	n->why = why->reason;
	pthread_cond_broadcast(&n->cond);
	pthread_mutex_unlock(&n->mu);
}

static const struct store_watch_cb seen_cb = {
	.change = seen_change, .progress = seen_progress, .end = seen_end, .wants_prev = true
};

static _unused_ void seen_init(struct seen *n)
{
	*n = (struct seen){ .mu = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER };
}

static _unused_ void seen_release(struct seen *n)
{
	buf_release(&n->text);
	vec_release(&n->revs);
	vec_release(&n->cookies);
}

static _unused_ void seen_watch(struct seen *n, struct store *s, const char *from, const char *to, int64_t since)
{
	struct err err = ERR_INIT;

	seen_init(n);
	if (store_watch(s, sv_from(from), sv_from(to), since, &seen_cb, n, &n->w, &err) < 0)
		fail_msg("watch: %s", err_msg(&err));
}

static _unused_ void seen_wait_progress(struct seen *n, int64_t rev)
{
	bool there;

	pthread_mutex_lock(&n->mu);
	while (n->progress < rev && !n->ended)
		pthread_cond_wait(&n->cond, &n->mu);
	there = n->progress >= rev;
	pthread_mutex_unlock(&n->mu);
	assert_true(there); /* one that ends meanwhile is waited for by nobody */
}

static _unused_ void seen_wait_end(struct seen *n)
{
	pthread_mutex_lock(&n->mu);
	while (!n->ended)
		pthread_cond_wait(&n->cond, &n->mu);
	pthread_mutex_unlock(&n->mu);
}

static _unused_ void seen_stop(struct seen *n, struct store *s)
{
	store_unwatch(s, n->w);
	seen_release(n);
}

/* Counts completions down. */
struct flight {
	pthread_mutex_t mu;
	pthread_cond_t cond;
	size_t open, ok, mismatch, failed;
	int64_t last_rev;
};

#define FLIGHT_INIT                                                                \
	{                                                                          \
		PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0, 0, 0, 0, 0 \
	}

static _unused_ void flight_done(const struct store_result *r, void *ctx)
{
	struct flight *f = ctx;

	pthread_mutex_lock(&f->mu);
	if (r->outcome == STORE_OK) {
		BUG_ON(r->rev <= f->last_rev); /* completions come in revision order */
		f->last_rev = r->rev;
		f->ok++;
	} else if (r->outcome == STORE_MISMATCH) {
		f->mismatch++;
	} else {
		BUG_ON(!r->err);
		f->failed++;
	}
	f->open--;
	pthread_cond_broadcast(&f->cond);
	pthread_mutex_unlock(&f->mu);
}

/* Of a store across a network no more are under way than a member that hardly runs answers in time: one whose answer is
 * lost is made again, is told later than its revision says, and may be made twice. */
#define FLIGHT_SHARED 100

static _unused_ void flight_wait(struct flight *f, size_t open);

static _unused_ void flight_commit(struct flight *f, struct store *s, const struct store_write *w)
{
	if (store_shared(s))
		flight_wait(f, FLIGHT_SHARED - 1);
	pthread_mutex_lock(&f->mu);
	f->open++;
	pthread_mutex_unlock(&f->mu);
	store_commit(s, w, flight_done, f);
}

/* How many were answered with success so far; more may follow at any moment. */
static _unused_ size_t flight_ok(struct flight *f)
{
	size_t ok;

	pthread_mutex_lock(&f->mu);
	ok = f->ok;
	pthread_mutex_unlock(&f->mu);
	return ok;
}

static _unused_ void flight_wait(struct flight *f, size_t open)
{
	pthread_mutex_lock(&f->mu);
	while (f->open > open)
		pthread_cond_wait(&f->cond, &f->mu);
	pthread_mutex_unlock(&f->mu);
}

static _unused_ void flight_wait_ok(struct flight *f, size_t ok)
{
	pthread_mutex_lock(&f->mu);
	while (f->ok < ok)
		pthread_cond_wait(&f->cond, &f->mu);
	pthread_mutex_unlock(&f->mu);
}

static _unused_ int kit_setup(void **state, const struct backend *b)
{
	struct kit *k = xcalloc(1, sizeof(*k));

	k->backend = b;
	kit_mkdir(k->dir);
	k->s = kit_open(k);
	*state = k;
	return 0;
}

static _unused_ int kit_teardown(void **state)
{
	struct kit *k = *state;

	store_close(k->s);
	if (k->backend->clean)
		k->backend->clean();
	kit_rmdir(k->dir);
	free(k);
	return 0;
}
