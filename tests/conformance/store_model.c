/* The store suite, continued: thousands of seeded random steps against a model that is too
 * simple to be wrong: the list of all changes there ever were. */
#include "store_kit.h"
#include "store_tests.h"

#include <stdlib.h>

struct model_change {
	int key;
	int64_t create_rev; /* 0: tombstone */
	char value[24];
};

struct model {
	VEC(struct model_change) log; /* log.p[i] is revision i + 2 */
	int64_t compact_rev;
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
	return (int64_t)m->log.n + 1;
}

/* Index of key's newest change at rev, or -1. */
static ssize_t model_find(const struct model *m, int key, int64_t rev)
{
	for (ssize_t i = (ssize_t)(rev - 2); i >= 0; i--)
		if (m->log.p[i].key == key)
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
		buf_printf(b, "k%02d=%s@%" PRId64 "/%zd ", key, m->log.p[i].value, m->log.p[i].create_rev, i + 2);
		if (limit && --limit == 0)
			break;
	}
}

static void model_write(struct model *m, struct store *s)
{
	int key = (int)model_rand(m, MODEL_KEYS);
	ssize_t cur = model_find(m, key, model_rev(m));
	int64_t cur_rev = cur < 0 ? 0 : cur + 2, got;
	struct model_change c = { .key = key };
	bool tombstone = model_rand(m, 4) == 0, applies = !tombstone || cur_rev;
	int64_t expect = cur_rev;
	char name[8];

	switch (model_rand(m, 4)) {
	case 0:
		expect = STORE_ANY_REV;
		break;
	case 1:
		expect = model_rand(m, (uint32_t)model_rev(m) + 3);
		break;
	default:
		break;
	}
	applies = applies && (expect == STORE_ANY_REV || expect == cur_rev);
	snprintf(name, sizeof(name), "k%02d", key);
	snprintf(c.value, sizeof(c.value), "v%" PRId64, model_rev(m));
	got = tombstone ? del(s, name, expect) : put(s, name, c.value, expect);
	if (!applies) {
		assert_int_equal(got, 0);
		return;
	}
	assert_int_equal(got, model_rev(m) + 1);
	c.create_rev = tombstone ? 0 : cur < 0 ? got : m->log.p[cur].create_rev;
	vec_push(&m->log, c);
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

void test_model(void **state)
{
	struct kit *k = *state;

	for (uint64_t seed = 1; seed <= 3; seed++) {
		struct model m = { .log = VEC_INIT, .rng = seed };

		for (int step = 0; step < 1500; step++) {
			uint32_t dice = model_rand(&m, 1000);

			if (dice < 600) {
				model_write(&m, k->s);
			} else if (dice < 990) {
				model_read(&m, k->s);
			} else if (dice < 996) {
				int64_t rev = MAX(m.compact_rev, model_rev(&m) - (int64_t)model_rand(&m, 50));

				rev = MAX(rev, 1);
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
