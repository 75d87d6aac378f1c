/* The store suite, continued: thousands of seeded random steps against a model that is too
 * simple to be wrong: the list of all changes there ever were. */
#include "store_kit.h"
#include "store_tests.h"

#include <stdlib.h>

struct model_change {
	int key;
	int64_t rev, create_rev; /* create_rev 0: tombstone */
	char value[24];
};

struct model {
	VEC(struct model_change) log;
	int64_t compact_rev;
	bool one_rev; /* for writes that are one */
	uint64_t rng;
};

#define MODEL_KEYS 40

static uint32_t model_rand(struct model *m, uint32_t below)
{
	m->rng = m->rng * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (uint32_t)(m->rng >> 33) % below;
}

static int64_t model_rev(const struct model *m)
{
	return m->log.n ? vec_last(&m->log).rev : 1;
}

/* Index of key's newest change at rev, or -1. */
static ssize_t model_find(const struct model *m, int key, int64_t rev)
{
	for (ssize_t i = (ssize_t)m->log.n - 1; i >= 0; i--)
		if (m->log.p[i].rev <= rev && m->log.p[i].key == key)
			return m->log.p[i].create_rev ? i : -1;
	return -1;
}

static void model_list(const struct model *m, struct buf *b, int from, int to, int64_t rev, size_t limit)
{
	if (rev < m->compact_rev) {
		buf_adds(b, "Expired");
		return;
	}
	for (int key = from; key < to; key++) {
		ssize_t i = model_find(m, key, rev);

		if (i < 0)
			continue;
		buf_printf(b, "k%02d=%s@%" PRId64 "/%" PRId64 " ", key, m->log.p[i].value, m->log.p[i].create_rev,
			   m->log.p[i].rev);
		if (limit && --limit == 0)
			break;
	}
}

/* A write that is about to be made, and whether it may be. */
struct model_try {
	int key;
	ssize_t cur;
	int64_t cur_rev;
	char name[8], value[24];
	bool applies;
	struct store_write w;
};

static void model_draw(struct model *m, int key, struct model_try *ret)
{
	struct model_try *t = ret;

	memset(t, 0, sizeof(*t));
	t->key = key;
	t->cur = model_find(m, key, model_rev(m));
	t->cur_rev = t->cur < 0 ? 0 : m->log.p[t->cur].rev;
	t->w.tombstone = model_rand(m, 4) == 0;
	t->w.expect_rev = t->cur_rev;
	switch (model_rand(m, 4)) {
	case 0:
		t->w.expect_rev = STORE_ANY_REV;
		break;
	case 1:
		if (model_rand(m, 2))
			t->w.expect_rev = model_rand(m, (uint32_t)model_rev(m) + 3);
		break;
	default:
		break;
	}
	t->applies =
	    (!t->w.tombstone || t->cur_rev) && (t->w.expect_rev == STORE_ANY_REV || t->w.expect_rev == t->cur_rev);
	snprintf(t->name, sizeof(t->name), "k%02d", key);
	snprintf(t->value, sizeof(t->value), "v%" PRId64 "-%d", model_rev(m), key);
	t->w.key = sv_from(t->name);
	t->w.value = sv_from(t->value);
}

static void model_apply(struct model *m, const struct model_try *t, int64_t rev)
{
	struct model_change c = { .key = t->key, .rev = rev };

	snprintf(c.value, sizeof(c.value), "%s", t->value);
	c.create_rev = t->w.tombstone ? 0 : t->cur < 0 ? rev : m->log.p[t->cur].create_rev;
	vec_push(&m->log, c);
}

struct model_said {
	struct flight f;
	enum store_outcome outcome;
	int64_t rev, current_rev; /* 0: none */
	size_t which;
};

static void model_done(const struct store_result *r, void *ctx)
{
	struct model_said *a = ctx;

	a->outcome = r->outcome;
	a->rev = r->rev;
	a->which = r->which;
	a->current_rev = r->current ? r->current->mod_rev : 0;
	flight_done(r, &a->f);
}

/* One key, or a few that are one. */
static void model_write(struct model *m, struct store *s)
{
	size_t n = model_rand(m, 3) ? 0 : 1 + model_rand(m, 4);
	int first = (int)model_rand(m, MODEL_KEYS), step = 1 + (int)model_rand(m, 7);
	struct model_try own, beside[5];
	struct store_write also[5];
	struct model_said a = { .f = FLIGHT_INIT };
	const struct model_try *bad = NULL;
	int64_t rev;

	model_draw(m, first, &own);
	for (size_t i = 0; i < n; i++) {
		model_draw(m, (first + step * (int)(i + 1)) % MODEL_KEYS, &beside[i]);
		also[i] = beside[i].w;
	}
	own.w.also = also;
	own.w.n_also = n;
	if (!own.applies)
		bad = &own;
	for (size_t i = 0; i < n && !bad; i++) {
		const struct model_try *t = &beside[i];
		bool is_void = t->w.tombstone && t->w.expect_rev == STORE_ANY_REV && !t->cur_rev;

		if (!t->applies && !is_void)
			bad = t;
	}
	a.f.open = 1;
	store_commit(s, &own.w, model_done, &a);
	flight_wait(&a.f, 0);
	if (bad) {
		assert_int_equal(a.outcome, STORE_MISMATCH);
		assert_int_equal(a.which, bad == &own ? 0 : bad - beside + 1);
		assert_int_equal(a.current_rev, bad->cur_rev);
		return;
	}
	rev = model_rev(m);
	for (size_t i = 0; i < n; i++)
		if (beside[i].applies)
			model_apply(m, &beside[i], m->one_rev ? rev + 1 : model_rev(m) + 1);
	model_apply(m, &own, m->one_rev ? rev + 1 : model_rev(m) + 1);
	assert_int_equal(a.outcome, STORE_OK);
	assert_int_equal(a.rev, model_rev(m));
}

static void model_read(struct model *m, struct store *s)
{
	int from = (int)model_rand(m, MODEL_KEYS), to = from + (int)model_rand(m, MODEL_KEYS);
	int64_t rev = model_rand(m, 2) ? 0 : 1 + model_rand(m, (uint32_t)model_rev(m));
	size_t limit = model_rand(m, 3) ? 0 : model_rand(m, 5);
	struct buf want = BUF_INIT;
	char a[8], b[8];

	snprintf(a, sizeof(a), "k%02d", from);
	snprintf(b, sizeof(b), "k%02d", to);
	model_list(m, &want, from, to, rev ? rev : model_rev(m), limit);
	assert_list(s, a, b, rev, limit, buf_cstr(&want));
	buf_release(&want);
}

struct model_look {
	struct buf text;
	size_t stop_at; /* changes; 0: none */
	size_t n;
};

static int model_looked(const struct store_change *c, void *ctx)
{
	struct model_look *l = ctx;

	(void)kit_list_one(&c->kv, &l->text);
	if (c->prev)
		buf_printf(&l->text, "<%.*s@%" PRId64 " ", SV_ARG(c->prev->value), c->prev->mod_rev);
	return ++l->n == l->stop_at;
}

/* What the store says of its past, in portions of any size, against the list. */
static void model_changes(struct model *m, struct store *s)
{
	int from = (int)model_rand(m, MODEL_KEYS), to = from + 1 + (int)model_rand(m, MODEL_KEYS);
	int64_t since = model_rand(m, (uint32_t)model_rev(m) + 1), upto = since;
	size_t most = 1 + model_rand(m, 200);
	struct model_look l = { .stop_at = model_rand(m, 3) ? 0 : 1 + model_rand(m, 20) };
	struct buf want = BUF_INIT;
	struct err err = ERR_INIT;
	char a[8], b[8];

	snprintf(a, sizeof(a), "k%02d", from);
	snprintf(b, sizeof(b), "k%02d", to);
	while (upto < model_rev(m)) {
		int64_t before = upto;

		if (store_changes(s, sv_from(a), sv_from(b), upto, most, model_looked, &l, &upto, &err) < 0) {
			assert_int_equal(err.reason, ERR_EXPIRED);
			assert_true(before < m->compact_rev);
			err_release(&err);
			buf_release(&l.text);
			return;
		}
		assert_true(before >= m->compact_rev);
		assert_true(upto > before && upto <= before + (int64_t)most + (before == 0));
	}
	for (size_t i = 0; i < m->log.n; i++) {
		const struct model_change *c = &m->log.p[i];
		ssize_t prev = model_find(m, c->key, c->rev - 1);

		if (c->rev <= since || c->key < from || c->key >= to)
			continue;
		buf_printf(&want, "k%02d=%s@%" PRId64 "/%" PRId64 "%s ", c->key, c->create_rev ? c->value : "",
			   c->create_rev, c->rev, c->create_rev ? "" : "!");
		if (prev >= 0)
			buf_printf(&want, "<%s@%" PRId64 " ", m->log.p[prev].value, m->log.p[prev].rev);
	}
	buf_addc(&want, '\0');
	buf_addc(&l.text, '\0');
	assert_string_equal(l.text.p, want.p);
	buf_release(&want);
	buf_release(&l.text);
}

void test_model(void **state)
{
	struct kit *k = *state;

	for (uint64_t seed = 1; seed <= 3; seed++) {
		struct model m = { .log = VEC_INIT, .rng = seed, .one_rev = k->backend->shared };

		for (int step = 0; step < 1500; step++) {
			uint32_t dice = model_rand(&m, 1000);

			if (dice < 600) {
				model_write(&m, k->s);
			} else if (dice < 960) {
				model_read(&m, k->s);
			} else if (dice < 990) {
				model_changes(&m, k->s);
			} else if (dice < 996) {
				int64_t rev = model_rev(&m) - (int64_t)model_rand(&m, 50); /* drawn once */

				rev = MAX(MAX(rev, m.compact_rev), 1);
				assert_int_equal(store_compact(k->s, rev, NULL), 0);
				m.compact_rev = rev;
			} else if (k->backend->persistent) {
				kit_reopen(k);
			}
		}
		vec_release(&m.log);
		k->s = store_close(k->s);
		kit_rmdir(k->dir);
		kit_mkdir(k->dir);
		k->s = kit_open(k);
	}
}
