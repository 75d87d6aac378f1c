/* Writes that are one: all or none of them, by every backend. */
#include "store_kit.h"
#include "store_tests.h"

#include <stdlib.h>

#define STORE(state) (((struct kit *)*(state))->s)

#define PUT(k, v, e)                                                      \
	(struct store_write)                                              \
	{                                                                 \
		.key = sv_from(k), .value = sv_from(v), .expect_rev = (e) \
	}
#define DEL(k, e)                                                       \
	(struct store_write)                                            \
	{                                                               \
		.key = sv_from(k), .expect_rev = (e), .tombstone = true \
	}

struct said {
	struct flight f;
	enum store_outcome outcome;
	int64_t rev;
	size_t which;
	char current[64]; /* "key=value", "" for none */
	enum err_reason why;
};

static void said_done(const struct store_result *r, void *ctx)
{
	struct said *a = ctx;

	a->outcome = r->outcome;
	a->rev = r->rev;
	a->which = r->which;
	a->why = r->err ? r->err->reason : ERR_NONE;
	a->current[0] = '\0';
	if (r->current)
		snprintf(a->current, sizeof(a->current), "%.*s=%.*s", SV_ARG(r->current->key),
			 SV_ARG(r->current->value));
	flight_done(r, &a->f);
}

/* own with n others beside it. */
static struct said together(struct store *s, struct store_write own, const struct store_write *also, size_t n)
{
	struct said a = { .f = FLIGHT_INIT };

	own.also = also;
	own.n_also = n;
	a.f.open = 1;
	store_commit(s, &own, said_done, &a);
	flight_wait(&a.f, 0);
	return a;
}

/* Revisions of the n-th of writes that are one, of which the last is at rev: each has its own, or all that. */
static int64_t rev_of(void **state, int64_t rev, size_t from_last)
{
	return ((struct kit *)*state)->backend->shared ? rev : rev - (int64_t)from_last;
}

/* The newest revision behind n more writes that are one. */
static int64_t rev_behind(void **state, int64_t rev, size_t n)
{
	return ((struct kit *)*state)->backend->shared ? rev + 1 : rev + (int64_t)n;
}

static void assert_text(struct store *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Of all that is stored. */
static void assert_text(struct store *s, const char *fmt, ...)
{
	struct buf b = BUF_INIT;
	va_list ap;

	va_start(ap, fmt);
	buf_vprintf(&b, fmt, ap);
	va_end(ap);
	assert_list(s, "", "z", 0, 0, buf_cstr(&b));
	buf_release(&b);
}

void test_also(void **state)
{
	struct store *s = STORE(state);
	struct seen seen;
	struct said a;
	int cookies[3];
	struct store_write two[] = { PUT("c1", "a", 0), PUT("c2", "a", 0) };
	struct store_write own = PUT("a", "1", 0);
	struct buf want = BUF_INIT;
	int64_t first = rev_behind(state, 1, 3), c1 = rev_of(state, first, 2), c2 = rev_of(state, first, 1), next;

	seen_watch(&seen, s, "", "z", 1);
	seen_wait_progress(&seen, 1);
	two[0].cookie = &cookies[0];
	two[1].cookie = &cookies[1];
	own.cookie = &cookies[2];
	a = together(s, own, two, 2);
	assert_int_equal(a.outcome, STORE_OK);
	assert_int_equal(a.rev, first);
	assert_text(s, "a=1@%" PRId64 "/%" PRId64 " c1=a@%" PRId64 "/%" PRId64 " c2=a@%" PRId64 "/%" PRId64 " ", first,
		    first, c1, c1, c2, c2);
	seen_wait_progress(&seen, first);
	pthread_mutex_lock(&seen.mu);
	buf_printf(&want, "c1=a@%" PRId64 "/%" PRId64 " c2=a@%" PRId64 "/%" PRId64 " a=1@%" PRId64 "/%" PRId64 " ", c1,
		   c1, c2, c2, first, first);
	assert_sv(buf_sv(&seen.text), buf_cstr(&want));
	for (size_t i = 0; i < 3; i++)
		assert_ptr_equal(seen.cookies.p[i], &cookies[i]);
	pthread_mutex_unlock(&seen.mu);
	buf_release(&want);

	/* Replaced, and one let go. */
	a = together(s, PUT("a", "2", first), (struct store_write[]){ DEL("c1", STORE_ANY_REV), PUT("c2", "a2", c2) },
		     2);
	assert_int_equal(a.outcome, STORE_OK);
	next = rev_behind(state, first, 3);
	assert_int_equal(a.rev, next);
	assert_text(s, "a=2@%" PRId64 "/%" PRId64 " c2=a2@%" PRId64 "/%" PRId64 " ", first, next, c2,
		    rev_of(state, next, 1));
	/* All go. */
	a = together(s, DEL("a", next), (struct store_write[]){ DEL("c2", rev_of(state, next, 1)) }, 1);
	assert_int_equal(a.rev, rev_behind(state, next, 2));
	assert_list(s, "", "z", 0, 0, "");
	seen_wait_progress(&seen, a.rev);
	seen_stop(&seen, s);
}

void test_also_mismatch(void **state)
{
	struct store *s = STORE(state);
	struct said a;
	int64_t rev;

	assert_int_equal(put(s, "a", "1", 0), 2);
	assert_int_equal(put(s, "c2", "b", 0), 3);

	/* The own one is looked at first. */
	a = together(s, PUT("a", "2", 0), (struct store_write[]){ PUT("c1", "a", 0), PUT("c2", "a", 0) }, 2);
	assert_int_equal(a.outcome, STORE_MISMATCH);
	assert_int_equal(a.which, 0);
	assert_string_equal(a.current, "a=1");
	/* Then the others, and which it is is said. */
	a = together(s, PUT("a", "2", 2), (struct store_write[]){ PUT("c1", "a", 0), PUT("c2", "a", 0) }, 2);
	assert_int_equal(a.outcome, STORE_MISMATCH);
	assert_int_equal(a.which, 2);
	assert_string_equal(a.current, "c2=b");
	a = together(s, PUT("a", "2", 2), (struct store_write[]){ DEL("c9", 2), PUT("c1", "a", 0) }, 2);
	assert_int_equal(a.outcome, STORE_MISMATCH);
	assert_int_equal(a.which, 1);
	assert_string_equal(a.current, "");
	a = together(s, DEL("b", STORE_ANY_REV), (struct store_write[]){ PUT("c1", "a", 0) }, 1);
	assert_int_equal(a.outcome, STORE_MISMATCH);
	assert_int_equal(a.which, 0);
	assert_string_equal(a.current, "");
	/* Of none of these anything is there, and no revision was spent. */
	assert_list(s, "", "z", 0, 0, "a=1@2/2 c2=b@3/3 ");
	assert_int_equal(now_rev(s), 3);

	/* Who deletes whatever is there is content with nothing. */
	a = together(s, PUT("a", "2", 2), (struct store_write[]){ DEL("c9", STORE_ANY_REV), PUT("c1", "a", 0) }, 2);
	rev = rev_behind(state, 3, 2);
	assert_int_equal(a.outcome, STORE_OK);
	assert_int_equal(a.rev, rev);
	assert_text(s, "a=2@2/%" PRId64 " c1=a@4/4 c2=b@3/3 ", rev);
	a = together(s, PUT("a", "3", rev), (struct store_write[]){ DEL("c9", STORE_ANY_REV) }, 1);
	assert_int_equal(a.rev, rev + 1);
}

void test_also_limits(void **state)
{
	struct kit *k = *state;
	struct store *s = k->s;
	char(*keys)[16] = calloc(STORE_ALSO_MAX + 1, sizeof(*keys));
	struct store_write *also = calloc(STORE_ALSO_MAX + 1, sizeof(*also));
	struct store_write nested = PUT("n", "1", 0);
	struct store_stats st;
	struct said a;
	char *large = calloc(1, STORE_ALSO_BYTES + 1);

	for (size_t i = 0; i <= STORE_ALSO_MAX; i++) {
		snprintf(keys[i], sizeof(keys[i]), "k%05zu", i);
		also[i] = PUT(keys[i], "x", 0);
	}
	a = together(s, PUT("a", "1", 0), also, STORE_ALSO_MAX + 1);
	assert_int_equal(a.outcome, STORE_FAILED);
	assert_int_equal(a.why, ERR_TOO_LARGE);
	nested.also = also;
	nested.n_also = 1;
	a = together(s, PUT("a", "1", 0), &nested, 1);
	assert_int_equal(a.why, ERR_BAD_REQUEST);
	a = together(s, PUT("a", "1", 0), (struct store_write[]){ PUT("", "1", 0) }, 1);
	assert_int_equal(a.why, ERR_BAD_REQUEST);
	memset(large, 'x', STORE_ALSO_BYTES);
	a = together(s, PUT("a", "1", 0), (struct store_write[]){ PUT("b", large, 0) }, 1);
	assert_int_equal(a.why, ERR_TOO_LARGE);
	assert_int_equal(now_rev(s), 1);

	/* As many as may be are still one. */
	assert_int_equal(put(s, keys[STORE_ALSO_MAX - 1], "y", 0), 2);
	a = together(s, PUT("a", "1", 0), also, STORE_ALSO_MAX);
	assert_int_equal(a.outcome, STORE_MISMATCH);
	assert_int_equal(a.which, STORE_ALSO_MAX);
	assert_int_equal(del(s, keys[STORE_ALSO_MAX - 1], STORE_ANY_REV), 3);
	a = together(s, PUT("a", "1", 0), also, STORE_ALSO_MAX);
	assert_int_equal(a.outcome, STORE_OK);
	assert_int_equal(a.rev, rev_behind(state, 3, STORE_ALSO_MAX + 1));
	if (k->backend->persistent)
		kit_reopen(k);
	stats_of_keys(k->s, STORE_ALSO_MAX + 1, &st);
	assert_list(k->s, "a", "", 0, 0, k->backend->shared ? "a=1@4/4 " : "a=1@4100/4100 ");
	free(large);
	free(also);
	free(keys);
}

/* --- guards: what must be there, and is not written --- */

#define GUARD(k, e)                                                 \
	(struct store_write)                                        \
	{                                                           \
		.key = sv_from(k), .expect_rev = (e), .guard = true \
	}

void test_also_guards(void **state)
{
	struct kit *k = *state;
	struct store *s = k->s;
	struct store_write bad = GUARD("g", 2);
	struct seen seen;
	struct said a;
	int64_t b;

	seen_watch(&seen, s, "", "z", 1);
	assert_int_equal(put(s, "g", "1", 0), 2);
	/* One revision, of the write alone. */
	a = together(s, PUT("a", "1", 0), (struct store_write[]){ GUARD("g", 2), GUARD("none", 0) }, 2);
	assert_int_equal(a.outcome, STORE_OK);
	assert_int_equal(a.rev, 3);
	a = together(s, PUT("b", "1", 0), (struct store_write[]){ PUT("c", "1", 0), GUARD("g", 2) }, 2);
	b = rev_behind(state, 3, 2);
	assert_int_equal(a.rev, b);
	/* What is not as it was. */
	assert_int_equal(put(s, "g", "2", 2), b + 1);
	a = together(s, PUT("d", "1", 0), (struct store_write[]){ PUT("e", "1", 0), GUARD("g", 2) }, 2);
	assert_int_equal(a.outcome, STORE_MISMATCH);
	assert_int_equal(a.which, 2);
	assert_string_equal(a.current, "g=2");
	a = together(s, PUT("d", "1", 0), (struct store_write[]){ GUARD("g", 0) }, 1);
	assert_int_equal(a.which, 1);
	a = together(s, PUT("d", "1", 0), (struct store_write[]){ GUARD("none", 7) }, 1);
	assert_int_equal(a.outcome, STORE_MISMATCH);
	assert_string_equal(a.current, "");
	assert_int_equal(del(s, "g", b + 1), b + 2);
	a = together(s, PUT("d", "1", 0), (struct store_write[]){ GUARD("g", b + 1) }, 1);
	assert_int_equal(a.outcome, STORE_MISMATCH);
	a = together(s, PUT("d", "1", 0), (struct store_write[]){ GUARD("g", b + 2) }, 1);
	assert_int_equal(a.outcome, STORE_MISMATCH);
	a = together(s, PUT("d", "1", 0), (struct store_write[]){ GUARD("g", 0) }, 1);
	assert_int_equal(a.rev, b + 3);
	/* It stands beside another, writes nothing, and says what it expects. */
	a = together(s, bad, NULL, 0);
	assert_int_equal(a.why, ERR_BAD_REQUEST);
	bad.value = SV("1");
	a = together(s, PUT("f", "1", 0), &bad, 1);
	assert_int_equal(a.why, ERR_BAD_REQUEST);
	a = together(s, PUT("f", "1", 0), (struct store_write[]){ GUARD("g", STORE_ANY_REV) }, 1);
	assert_int_equal(a.why, ERR_BAD_REQUEST);
	seen_wait_progress(&seen, b + 3);
	pthread_mutex_lock(&seen.mu);
	assert_int_equal(seen.revs.n, 7);
	for (size_t i = 1; i < seen.revs.n; i++)
		assert_in_range(seen.revs.p[i] - seen.revs.p[i - 1], k->backend->shared && i == 3 ? 0 : 1,
				k->backend->shared && i == 3 ? 0 : 1);
	pthread_mutex_unlock(&seen.mu);
	seen_stop(&seen, s);
	if (k->backend->persistent)
		kit_reopen(k);
	assert_text(k->s, "a=1@3/3 b=1@%" PRId64 "/%" PRId64 " c=1@4/4 d=1@%" PRId64 "/%" PRId64 " ", b, b, b + 3,
		    b + 3);
}

/* --- claims: many want the same few keys --- */

#define CLAIMANTS 4
#define CLAIMS 40

struct claimant {
	struct store *s;
	int me;
	unsigned got;
};

static void *claim_all(void *ctx)
{
	struct claimant *c = ctx;

	for (int i = 0; i < CLAIMS; i++) {
		char key[16], next[16], own[16];
		struct said a;

		/* Two neighbours at once, so that they overlap. */
		snprintf(key, sizeof(key), "c%02d", i);
		snprintf(next, sizeof(next), "c%02d", i + 1);
		snprintf(own, sizeof(own), "o%d-%02d", c->me, i);
		a = together(c->s, PUT(own, key, 0), (struct store_write[]){ PUT(key, own, 0), PUT(next, own, 0) }, 2);
		c->got += a.outcome == STORE_OK;
		BUG_ON(a.outcome != STORE_OK && a.which != 1 && a.which != 2);
	}
	return NULL;
}

static int count_one(const struct store_kv *kv, void *ctx)
{
	(void)kv;
	++*(unsigned *)ctx;
	return 0;
}

void test_also_threads(void **state)
{
	struct store *s = STORE(state);
	struct claimant c[CLAIMANTS];
	pthread_t t[CLAIMANTS];
	unsigned owners = 0, claims = 0, got = 0;

	for (int i = 0; i < CLAIMANTS; i++) {
		c[i] = (struct claimant){ s, i, 0 };
		assert_int_equal(pthread_create(&t[i], NULL, claim_all, &c[i]), 0);
	}
	for (int i = 0; i < CLAIMANTS; i++) {
		pthread_join(t[i], NULL);
		got += c[i].got;
	}
	assert_int_equal(store_range(s, SV("o"), SV("p"), 0, 0, count_one, &owners, NULL, NULL), 0);
	assert_int_equal(store_range(s, SV("c"), SV("d"), 0, 0, count_one, &claims, NULL, NULL), 0);
	/* Whoever is there has both its claims, and nobody else has. */
	assert_int_equal(owners, got);
	assert_int_equal(claims, 2 * got);
	assert_true(got >= CLAIMS / 3);
	assert_int_equal(now_rev(s), 1 + (((struct kit *)*state)->backend->shared ? 1 : 3) * (int)got);
}
