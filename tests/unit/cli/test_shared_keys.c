/* cli/shared_keys.h: servers of one store end with one cluster's keys; a wrong token, and a directory of another
 * cluster, are refused and change nothing. */
#include "unit.h"

#include "apiserver/pki.h"
#include "base/file.h"
#include "cli/shared_keys.h"
#include "ev/ev.h"
#include "store/store.h"

#include <stdio.h>
#include <unistd.h>

#define TOKEN "abcdef.0123456789abcdef"
#define PEM_MAX ((size_t)64 << 10)

static const char *const names[] = { "ca.key", "ca.crt", "sa.key", "front-proxy-ca.key", "front-proxy-ca.crt" };

struct rig {
	struct arena a;
	struct env *env;
	struct store *store;
	char dir[64];
	const char *one, *two; /* data directories */
};

static int setup(void **state)
{
	struct rig *r = xcalloc(1, sizeof(*r));

	snprintf(r->dir, sizeof(r->dir), "/tmp/caravel-keys-XXXXXX");
	assert_non_null(mkdtemp(r->dir));
	r->one = arena_printf(&r->a, "%s/one", r->dir);
	r->two = arena_printf(&r->a, "%s/two", r->dir);
	r->env = env_real_new(1);
	r->store = store_mem_new(r->env);
	*state = r;
	return 0;
}

static int teardown(void **state)
{
	struct rig *r = *state;

	store_close(r->store);
	env_real_free(r->env);
	tree_remove(r->dir, NULL);
	arena_release(&r->a);
	free(r);
	return 0;
}

static int settle_on(struct rig *r, struct store *store, const char *dir, const char *token, struct err *err)
{
	const char *now;

	return shared_keys_settle(
	    &(struct shared_keys_opts){ .env = r->env, .store = store, .data_dir = dir, .token = token }, &r->a, &now,
	    err);
}

static int settle(struct rig *r, const char *dir, const char *token)
{
	return settle_on(r, r->store, dir, token, NULL);
}

static struct sv file_of(struct rig *r, const char *dir, const char *name)
{
	struct sv s = SV("");

	return file_read(&r->a, arena_printf(&r->a, "%s/%s", dir, name), PEM_MAX, &s, NULL) < 0 ? SV_NULL : s;
}

static struct sv pki_of(struct rig *r, const char *dir, const char *name)
{
	return file_of(r, dir, arena_printf(&r->a, "pki/%s", name));
}

static void same_keys(struct rig *r)
{
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		struct sv one = pki_of(r, r->one, names[i]);

		assert_true(one.n > 0);
		assert_true(sv_eq(one, pki_of(r, r->two, names[i])));
	}
}

static void refused(struct rig *r, const char *dir, const char *token, enum err_reason reason, const char *words)
{
	_cleanup_(err_release) struct err err = ERR_INIT;

	assert_int_equal(settle_on(r, r->store, dir, token, &err), -1);
	assert_int_equal(err.reason, reason);
	if (!strstr(err_msg(&err), words))
		fail_msg("'%s' says nothing of '%s'", err_msg(&err), words);
	assert_null(strstr(err_msg(&err), "0123456789abcdef"));
}

/* What a pki makes alone, in a directory. */
static void own_pki(struct rig *r, const char *dir)
{
	struct pki *p;

	assert_int_equal(dir_make(dir, 0700, NULL), 0);
	p = pki_open(&(struct pki_opts){ .env = r->env, .dir = arena_printf(&r->a, "%s/pki", dir) }, NULL);
	assert_non_null(p);
	pki_close(p);
}

static void wrong_tokens(void **state)
{
	struct rig *r = *state;

	assert_int_equal(settle(r, r->one, TOKEN), 0);
	refused(r, r->two, "abcdef.fedcba9876543210", ERR_UNAUTHORIZED, "--token is not the token");
	refused(r, r->two, "fedcba.0123456789abcdef", ERR_UNAUTHORIZED, "--token is not the token");
	refused(r, r->two, NULL, ERR_UNAUTHORIZED, "start with --token");
	refused(r, r->two, "word", ERR_INVALID, "--token");
	assert_false(access(arena_printf(&r->a, "%s/pki/ca.key", r->two), F_OK) == 0);
	assert_false(access(arena_printf(&r->a, "%s/server/token", r->two), F_OK) == 0);
	assert_int_equal(settle(r, r->two, TOKEN), 0);
	same_keys(r);
}

static void another_cluster(void **state)
{
	struct rig *r = *state;
	struct sv was;

	assert_int_equal(settle(r, r->one, TOKEN), 0);
	own_pki(r, r->two);
	was = pki_of(r, r->two, "ca.key");
	refused(r, r->two, TOKEN, ERR_STORE_READ, "two/pki/ca.key");
	assert_true(sv_eq(was, pki_of(r, r->two, "ca.key")));
	/* Another key of accounts alone is enough. */
	was = pki_of(r, r->two, "sa.key");
	for (size_t i = 0; i < 2; i++)
		assert_int_equal(unlink(arena_printf(&r->a, "%s/pki/%s", r->two, names[i])), 0);
	refused(r, r->two, TOKEN, ERR_STORE_READ, "two/pki/sa.key");
	assert_true(sv_eq(was, pki_of(r, r->two, "sa.key")));
	assert_false(access(arena_printf(&r->a, "%s/pki/ca.key", r->two), F_OK) == 0);
	/* A directory that lacks some is completed. */
	assert_int_equal(unlink(arena_printf(&r->a, "%s/pki/sa.key", r->two)), 0);
	assert_int_equal(settle(r, r->two, TOKEN), 0);
	same_keys(r);
}

static int look(const struct store_kv *kv, void *ctx)
{
	struct rig *r = ctx;

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		struct sv pem = pki_of(r, r->one, names[i]);

		/* A line of it, as it would stand in JSON, too. */
		assert_true(sv_find_sv(kv->value, sv_sub(pem, 30, 80)) < 0);
	}
	assert_true(sv_find_sv(kv->value, SV("PRIVATE")) < 0);
	assert_true(sv_find_sv(kv->value, SV("0123456789abcdef")) < 0);
	return 0;
}

static void nothing_to_read(void **state)
{
	struct rig *r = *state;
	struct store_write secret = { .key = SV("/registry/secrets/kube-system/bootstrap-token-abcdef"),
				      .value = SV("0123456789abcdef") };
	int64_t rev;

	/* A Secret of it from before goes. */
	assert_int_equal(store_commit_wait(r->store, &secret, &rev, NULL), 1);
	assert_int_equal(settle(r, r->one, TOKEN), 0);
	assert_int_equal(store_range(r->store, SV("/"), SV("0"), 0, 0, look, r, &rev, NULL), 0);
}

static void starts_again(void **state)
{
	struct rig *r = *state;
	struct store_stats before, after;
	struct sv token;

	/* What was there before there was a store is what goes there. */
	own_pki(r, r->one);
	token = pki_of(r, r->one, "ca.key");
	assert_int_equal(settle(r, r->one, NULL), 0);
	assert_true(sv_eq(token, pki_of(r, r->one, "ca.key")));
	store_stats(r->store, &before);
	assert_int_equal(settle(r, r->one, NULL), 0);
	store_stats(r->store, &after);
	assert_int_equal(before.rev, after.rev);
	token = file_of(r, r->one, "server/token");
	assert_true(sv_starts(token, SV("K10")));
	assert_int_equal(settle(r, r->two, arena_cstr(&r->a, sv_trim(token))), 0);
	same_keys(r);
	/* The file is enough from then on. */
	assert_int_equal(settle(r, r->two, NULL), 0);
}

/* A store in which somebody else writes right before the first write. */
struct raced {
	struct store store;
	struct store *inner;
	struct rig *rig;
	bool done;
};

static int raced_range(struct store *s, struct sv from, struct sv to, int64_t rev, size_t limit, store_each_fn *fn,
		       void *ctx, int64_t *ret_rev, struct err *err)
{
	return store_range(((struct raced *)s)->inner, from, to, rev, limit, fn, ctx, ret_rev, err);
}

static void raced_commit(struct store *s, const struct store_write *w, store_done_fn *done, void *ctx)
{
	struct raced *x = (struct raced *)s;

	if (!x->done) {
		x->done = true;
		assert_int_equal(settle(x->rig, x->rig->one, TOKEN), 0);
	}
	store_commit(x->inner, w, done, ctx);
}

static void the_slower_one_takes_what_is_there(void **state)
{
	static const struct store_ops ops = { .name = "raced", .range = raced_range, .commit = raced_commit };
	struct rig *r = *state;
	struct raced x = { .store = { .ops = &ops, .env = r->env }, .inner = r->store, .rig = r };
	_cleanup_(err_release) struct err err = ERR_INIT;

	assert_int_equal(settle_on(r, &x.store, r->two, TOKEN, NULL), 0);
	assert_true(x.done);
	same_keys(r);
	/* One that has made a token up has none then. */
	x.done = false;
	x.inner = store_mem_new(r->env);
	store_close(r->store);
	r->store = x.inner;
	tree_remove(r->one, NULL);
	tree_remove(r->two, NULL);
	assert_int_equal(settle_on(r, &x.store, r->two, NULL, &err), -1);
	assert_int_equal(err.reason, ERR_UNAUTHORIZED);
	assert_false(access(arena_printf(&r->a, "%s/server/token", r->two), F_OK) == 0);
	assert_int_equal(settle(r, r->two, TOKEN), 0);
	same_keys(r);
}

/* A CA that ends soon has a new certificate, which all come to have. */
static void a_renewed_certificate(void **state)
{
	struct rig *r = *state;
	const int64_t day = 86400 * NS_PER_SEC;
	struct cert_opts c = { .common_name = "caravel-ca", .ca = true, .not_after_ns = env_now_ns(r->env) + 30 * day };
	struct sv cert, key;

	assert_int_equal(cert_make(&r->a, &c, SV(""), SV(""), &cert, &key, NULL), 0);
	assert_int_equal(dir_make(arena_printf(&r->a, "%s/pki", r->one), 0700, NULL), 0);
	assert_int_equal(file_write(arena_printf(&r->a, "%s/pki/ca.crt", r->one), cert, 0600, NULL), 0);
	assert_int_equal(file_write(arena_printf(&r->a, "%s/pki/ca.key", r->one), key, 0600, NULL), 0);
	assert_int_equal(settle(r, r->one, TOKEN), 0);
	assert_false(sv_eq(cert, pki_of(r, r->one, "ca.crt")));
	assert_true(sv_eq(key, pki_of(r, r->one, "ca.key")));
	assert_int_equal(settle(r, r->two, TOKEN), 0);
	same_keys(r);
	/* One that still has the old one takes the new. */
	assert_int_equal(file_write(arena_printf(&r->a, "%s/pki/ca.crt", r->two), cert, 0600, NULL), 0);
	assert_int_equal(settle(r, r->two, TOKEN), 0);
	same_keys(r);
}

static void damaged(void **state)
{
	struct rig *r = *state;
	struct store_write w = { .key = SV(SHARED_KEYS), .value = SV("{}") };
	int64_t rev;

	assert_int_equal(store_commit_wait(r->store, &w, &rev, NULL), 1);
	refused(r, r->one, TOKEN, ERR_INVALID, SHARED_KEYS);
	assert_false(access(arena_printf(&r->a, "%s/pki/ca.key", r->one), F_OK) == 0);
}

static void the_text(void **state)
{
	struct rig *r = *state;
	struct shared_keys k;

	assert_false(shared_keys_parse(&r->a, SV(""), &k));
	assert_false(shared_keys_parse(&r->a, SV("[]"), &k));
	assert_false(shared_keys_parse(&r->a, SV("{\"ca.key\":\"x\"}"), &k));
	assert_false(
	    shared_keys_parse(&r->a,
			      SV("{\"ca.key\":\"a\",\"ca.crt\":\"b\",\"sa.key\":3,\"front-proxy-ca.key\":\"d\","
				 "\"front-proxy-ca.crt\":\"e\"}"),
			      &k));
	assert_true(shared_keys_parse(&r->a,
				      SV("{\"ca.key\":\"a\",\"ca.crt\":\"b\",\"sa.key\":\"c\",\"front-proxy-ca.key\":"
					 "\"d\",\"front-proxy-ca.crt\":\"e\",\"later\":1}"),
				      &k));
	assert_sv(k.pem[SK_SA_KEY], "c");
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(wrong_tokens),
		T(another_cluster),
		T(nothing_to_read),
		T(starts_again),
		T(the_slower_one_takes_what_is_there),
		T(a_renewed_certificate),
		T(damaged),
		T(the_text),
	};
#undef T

	return cmocka_run_group_tests(tests, NULL, NULL);
}
