#include "unit.h"

#include "dir_kit.h"
#include "store/disk/crc32c.h"
#include "store/disk/overlay.h"
#include "store/disk/wal.h"

#define RECORDS 9

static struct store *open_disk(const char *dir, struct err *err)
{
	return store_disk_open(&thread_env, dir, (size_t)64 << 20, err);
}

static void test_crc(void **state)
{
	static unsigned char b[8000];

	(void)state;
	/* RFC 3720, appendix B.4 */
	assert_int_equal(crc32c(0, "123456789", 9), 0xe3069283);
	assert_int_equal(crc32c_portable(0, "123456789", 9), 0xe3069283);
	memset(b, 0, 32);
	assert_int_equal(crc32c(0, b, 32), 0x8a9136aa);
	memset(b, 0xff, 32);
	assert_int_equal(crc32c(0, b, 32), 0x62a8ab43);
	for (size_t i = 0; i < sizeof(b); i++)
		b[i] = (unsigned char)(i * 31 + i / 251);
	/* Long ones are gone through in three stretches at once. */
	for (size_t from = 0; from < 9; from++)
		for (size_t n = 0; n < sizeof(b) - from; n += n < 900 ? 1 : 97) {
			uint32_t want = crc32c(0, b + from, n);

			assert_int_equal(crc32c_portable(0, b + from, n), want);
			assert_int_equal(crc32c(crc32c(0, b + from, n / 3), b + from + n / 3, n - n / 3), want);
		}
}

/* Of each key the newest record, found by the key and in the order of keys, whatever those have in common. */
static void overlay_of(const char *prefix, int from_common)
{
	struct gen *g = gen_new(0, 1, 1, 0, 0);
	gen_recs sorted = VEC_INIT;
	char key[128];
	size_t distinct;

	for (int i = 0; i < 2000; i++) {
		/* Some begin others, some come again. */
		int n = snprintf(key, sizeof(key), "%s%.*s%d", i < from_common ? "" : prefix, i % 12, "aaaaaaaaaaaa",
				 i * 7 % 300);
		struct rec *r = rec_new(sv_make(key, (size_t)n), SV("v"), false);

		r->head.rev = (uint64_t)(2 + i);
		gen_add(g, r);
	}
	gen_sorted(g, &sorted);
	distinct = sorted.n;
	assert_in_range(distinct, 300, 2000);
	assert_int_equal(distinct, g->keys.n);
	for (size_t i = 1; i < distinct; i++)
		assert_true(sv_cmp(rec_key(sorted.p[i - 1]), rec_key(sorted.p[i])) < 0);
	for (size_t i = 0; i < g->recs.n; i++) {
		const struct rec *r = g->recs.p[i], *newest = recmap_get(&g->keys, rec_key(r), r->key_hash);

		assert_true(newest && sv_eq(rec_key(newest), rec_key(r)) && newest->head.rev >= r->head.rev);
	}
	assert_null(recmap_get(&g->keys, SV("no such key"), g->recs.p[0]->key_hash));
	vec_release(&sorted);
	gen_free(g);
}

static void test_overlay(void **state)
{
	struct gen *none = gen_new(0, 1, 1, 0, 0);
	gen_recs sorted = VEC_INIT;

	(void)state;
	gen_sorted(none, &sorted);
	assert_int_equal(sorted.n, 0);
	gen_free(none);
	overlay_of("/registry/pods/default/bench-", 0);
	overlay_of("/registry/pods/default/bench-", 10);
	overlay_of("", 0);
}

/* The files of a store that was killed after RECORDS single-record groups. */
struct corpse {
	char dir[64]; /* to be filled and opened */
	dir_files files;
	struct buf *wal;
	size_t used; /* of wal */
};

static int corpse_setup(void **state)
{
	struct corpse *c = xcalloc(1, sizeof(*c));
	struct err err = ERR_INIT;
	struct store *s;
	char text[32];

	kit_mkdir(c->dir);
	s = open_disk(c->dir, &err);
	assert_non_null(s);
	for (int i = 0; i < RECORDS; i++) {
		snprintf(text, sizeof(text), "value-%d", i);
		assert_int_equal(put(s, i % 2 ? "odd" : "even", text, STORE_ANY_REV), 2 + i);
	}
	/* While it is open: nothing was applied yet, as after kill -9. */
	dir_load(c->dir, &c->files);
	c->wal = dir_bytes(&c->files, "wal.0");
	c->used = WAL_BLOCK * (1 + RECORDS);
	store_close(s);
	kit_rmdir(c->dir);
	*state = c;
	return 0;
}

static int corpse_teardown(void **state)
{
	struct corpse *c = *state;

	dir_release(&c->files);
	free(c);
	return 0;
}

static int count_record(const struct wal_record *r, struct sv key, struct sv value, void *ctx, struct err *err)
{
	int *n = ctx;
	char text[32];

	(void)err;
	snprintf(text, sizeof(text), "value-%d", *n);
	assert_int_equal(r->rev, 2 + *n);
	assert_sv(key, *n % 2 ? "odd" : "even");
	assert_sv(value, text);
	(*n)++;
	return 0;
}

/* Returns how many records the image holds up to `upto` (0: nobody knows where it ends), or -1 when it is refused. */
static int scan_upto(const char *p, size_t n, size_t upto)
{
	struct wal_image img = { "wal.0", (const unsigned char *)p, n };
	struct err err = ERR_INIT;
	struct wal_head h;
	uint64_t rev = 1;
	int count = 0, r;
	size_t end;

	if (!wal_head_parse(&img, &h))
		return -1;
	r = wal_scan(&img, &h, upto, &rev, count_record, &count, &end, &err);
	if (r < 0) {
		assert_int_equal(err.reason, ERR_STORE_READ);
		assert_non_null(strstr(err_msg(&err), "'wal.0' is corrupted at offset "));
	} else {
		assert_int_equal(end, WAL_BLOCK * (size_t)(1 + count));
	}
	err_release(&err);
	return r < 0 ? -1 : count;
}

static int scan(const char *p, size_t n)
{
	return scan_upto(p, n, 0);
}

static void test_prefixes(void **state)
{
	struct corpse *c = *state;
	int last = -1;

	assert_int_equal(scan(c->wal->p, c->wal->n), RECORDS);
	for (size_t n = WAL_BLOCK; n <= c->used; n++) {
		int got = scan(c->wal->p, n);

		assert_true(got >= last && got >= 0 && got <= last + 1);
		last = got;
	}
	assert_int_equal(last, RECORDS);
}

static void test_bit_flips(void **state)
{
	struct corpse *c = *state;
	char *copy = xmemdup(c->wal->p, c->used);
	int refused = 0, whole = 0, cut = 0;

	for (size_t i = 0; i < c->used; i++) {
		size_t group = i / WAL_BLOCK; /* 0 is the segment's head */
		int got;

		copy[i] ^= (char)(1 << i % 8);
		got = scan(copy, c->used);
		copy[i] ^= (char)(1 << i % 8);
		if (got == -1) {
			refused++;
		} else if (got == RECORDS) {
			/* Only the zeros behind head and groups may change unnoticed. */
			assert_true(i % WAL_BLOCK >= sizeof(struct wal_group));
			assert_int_equal(c->wal->p[i], 0);
			whole++;
		} else {
			/* The last group looks torn; any other would have been missed. */
			assert_int_equal(group, RECORDS);
			assert_int_equal(got, RECORDS - 1);
			cut++;
		}
	}
	assert_true(refused > RECORDS * 100 && whole > 0 && cut > 100);
	free(copy);
}

static void group_seal(char *at, struct wal_group *g)
{
	uint32_t crc = crc32c(0, &g->salt, sizeof(g->salt));

	g->crc = 0;
	crc = crc32c(crc, g, sizeof(*g));
	g->crc = crc32c(crc, at + sizeof(*g), g->bytes);
	memcpy(at, g, sizeof(*g));
}

/* A group whose checksum holds is still not believed when it says that it is another one, each way by itself. */
static void test_each_field(void **state)
{
	struct corpse *c = *state;
	char *copy = xmemdup(c->wal->p, c->wal->n), *last = copy + WAL_BLOCK * RECORDS;
	struct wal_group was, g;
	struct wal_record r;

	memcpy(&was, last, sizeof(was));
	g = was;
	group_seal(last, &g);
	assert_int_equal(scan(copy, c->wal->n), RECORDS);
	/* Left by an earlier use of the file. */
	g.seq--;
	group_seal(last, &g);
	assert_int_equal(scan(copy, c->wal->n), RECORDS - 1);
	g = was;
	g.salt++;
	group_seal(last, &g);
	assert_int_equal(scan(copy, c->wal->n), RECORDS - 1);
	g = was;
	g.number--;
	group_seal(last, &g);
	assert_int_equal(scan(copy, c->wal->n), RECORDS - 1);
	/* One is missing before it. */
	g.number = was.number + 1;
	group_seal(last, &g);
	assert_int_equal(scan(copy, c->wal->n), -1);
	g = was;
	g.first_rev++;
	group_seal(last, &g);
	assert_int_equal(scan(copy, c->wal->n), -1);
	/* More or fewer records than it says, or others. */
	g = was;
	g.count++;
	group_seal(last, &g);
	assert_int_equal(scan(copy, c->wal->n), -1);
	g = was;
	g.bytes += 8;
	group_seal(last, &g);
	assert_int_equal(scan(copy, c->wal->n), -1);
	memcpy(&r, last + sizeof(g), sizeof(r));
	r.rev++;
	wal_record_seal(&r, crc32c(0, last + sizeof(g) + sizeof(r), r.key_n + r.value_n));
	memcpy(last + sizeof(g), &r, sizeof(r));
	g = was;
	group_seal(last, &g);
	assert_int_equal(scan(copy, c->wal->n), -1);
	memcpy(copy, c->wal->p, c->wal->n);
	/* What an earlier use left behind the end is no sign of a later group. */
	for (int i = 0; i < 2; i++) {
		memcpy(last + WAL_BLOCK, last, WAL_BLOCK);
		g = was;
		g.number += 5;
		g.seq -= i == 0;
		g.salt += i == 1;
		group_seal(last + WAL_BLOCK, &g);
		assert_int_equal(scan(copy, c->wal->n), RECORDS);
	}
	/* The next segment says where this one ends. */
	assert_int_equal(scan_upto(copy, c->wal->n, WAL_BLOCK * 5), 4);
	assert_int_equal(scan_upto(copy, c->wal->n, WAL_BLOCK * (RECORDS + 2)), -1);
	free(copy);
}

/* Opens the corpse with this log; returns the revision, or -1 when it is refused. */
static int64_t revive(const struct corpse *c, const char *wal, size_t n, const char *why)
{
	struct err err = ERR_INIT;
	char path[96];
	struct store *s;
	int64_t rev = -1;
	char *list;

	dir_store(c->dir, &c->files);
	snprintf(path, sizeof(path), "%s/wal.0", c->dir);
	file_store(path, wal, n);
	s = open_disk(c->dir, &err);
	if (s) {
		rev = now_rev(s);
		list = list_n(s, SV("even"), SV(""), rev, 0);
		if (rev == 1 + RECORDS)
			assert_string_equal(list, "even=value-8@2/10 ");
		free(list);
		/* And it goes on: also after the cut, and once more from disk. */
		assert_int_equal(put(s, "more", "x", 0), rev + 1);
		store_close(s);
		s = open_disk(c->dir, NULL);
		assert_non_null(s);
		assert_int_equal(now_rev(s), rev + 1);
		store_close(s);
	} else {
		assert_int_equal(err.reason, ERR_STORE_READ);
		if (!why || !strstr(err_msg(&err), why))
			fail_msg("refused with: %s", err_msg(&err));
	}
	err_release(&err);
	kit_rmdir(c->dir);
	return rev;
}

static void test_open_damaged(void **state)
{
	struct corpse *c = *state;
	char *copy = xmemdup(c->wal->p, c->wal->n), why[160];
	struct wal_head h;

	assert_int_equal(revive(c, copy, c->wal->n, NULL), 1 + RECORDS);
	/* A segment has all its room from the start: shorter, it has lost something. */
	for (size_t i = 0; i <= RECORDS + 1; i++) {
		snprintf(why, sizeof(why), "%s/wal.0' is corrupted at offset %zu: the file has been cut off here",
			 c->dir, i * WAL_BLOCK);
		assert_int_equal(revive(c, copy, i * WAL_BLOCK, why), -1);
	}
	assert_int_equal(revive(c, copy, c->wal->n - 1, "cut off"), -1);
	assert_int_equal(revive(c, copy, 100, "cut off"), -1);
	/* Torn: the third group's second half never came to the disk, nor anything behind it. */
	memset(copy + 3 * WAL_BLOCK + 70, 0, c->wal->n - 3 * WAL_BLOCK - 70);
	assert_int_equal(revive(c, copy, c->wal->n, NULL), 3);
	memset(copy, 0, c->wal->n);
	assert_int_equal(revive(c, copy, c->wal->n, "/wal.0' is corrupted at offset 0: "), -1);
	memcpy(copy, c->wal->p, c->wal->n);

	copy[4 * WAL_BLOCK + 70] ^= 1; /* the fourth group */
	snprintf(why, sizeof(why), "%s/wal.0' is corrupted at offset %zu: ", c->dir, 4 * WAL_BLOCK);
	assert_int_equal(revive(c, copy, c->wal->n, why), -1);
	copy[4 * WAL_BLOCK + 70] ^= 1;
	copy[20] ^= 1; /* the segment's head */
	assert_int_equal(revive(c, copy, c->wal->n, "/wal.0' is corrupted at offset 0: "), -1);
	copy[20] ^= 1;
	memset(copy, 0, WAL_BLOCK);
	assert_int_equal(revive(c, copy, c->wal->n, "/wal.0' is corrupted at offset 0: "), -1);

	/* A segment that follows one that is gone. */
	memcpy(&h, c->wal->p, sizeof(h));
	h.seq += 2;
	h.prev_seq = h.seq - 1;
	h.crc = 0;
	h.crc = crc32c(0, &h, sizeof(h));
	memcpy(copy, &h, sizeof(h));
	assert_int_equal(revive(c, copy, c->wal->n, ", which this one follows, is missing"), -1);
	/* Groups of an earlier use of the segment are not taken for this one's. */
	h.prev_seq = 0;
	h.salt++;
	h.crc = 0;
	h.crc = crc32c(0, &h, sizeof(h));
	memcpy(copy, &h, sizeof(h));
	assert_int_equal(revive(c, copy, c->wal->n, NULL), 1);
	h.store_id++;
	h.crc = 0;
	h.crc = crc32c(0, &h, sizeof(h));
	memcpy(copy, &h, sizeof(h));
	assert_int_equal(revive(c, copy, c->wal->n, "belongs to another store"), -1);
	/* The head of another use of this very segment. */
	memcpy(&h, c->wal->p, sizeof(h));
	h.salt++;
	h.crc = 0;
	h.crc = crc32c(0, &h, sizeof(h));
	memcpy(copy, &h, sizeof(h));
	assert_int_equal(revive(c, copy, c->wal->n, "/wal.0' is corrupted at offset 0: "), -1);
	free(copy);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_crc),
		cmocka_unit_test(test_overlay),
		cmocka_unit_test_setup_teardown(test_prefixes, corpse_setup, corpse_teardown),
		cmocka_unit_test_setup_teardown(test_bit_flips, corpse_setup, corpse_teardown),
		cmocka_unit_test_setup_teardown(test_each_field, corpse_setup, corpse_teardown),
		cmocka_unit_test_setup_teardown(test_open_damaged, corpse_setup, corpse_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
