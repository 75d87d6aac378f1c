/* The filters of tables: what is not in a table is mostly known without reading it, whoever chose the keys. */
#include "dir_kit.h"

#include "store/disk/overlay.h"
#include "store/disk/table-internal.h"

#include <fcntl.h>

#define PLACES 64 /* in a key, at each of which one of two bytes may stand */
#define KEYS 24
#define STORE_ID UINT64_C(0x6a09e667f3bcc908)

static int reads; /* of tables */

static ssize_t counted_pread(int fd, void *p, size_t n, off_t off)
{
	reads++;
	return pread(fd, p, n, off);
}

static void key_of(char key[PLACES + 1], uint64_t places)
{
	for (int i = 0; i < PLACES; i++)
		key[i] = places >> i & 1 ? 'b' : 'a';
	key[PLACES] = '\0';
}

static uint32_t crc_of(uint64_t places)
{
	char key[PLACES + 1];

	key_of(key, places);
	return crc32c(0, key, PLACES);
}

/* Sets of places that change nothing of the checksum, found by elimination, as anybody may. */
static size_t equal_crcs(uint64_t *ret, size_t max)
{
	uint32_t row[32] = { 0 }, none = crc_of(0);
	uint64_t by[32] = { 0 };
	size_t n = 0;

	for (int i = 0; i < PLACES && n < max; i++) {
		uint64_t places = UINT64_C(1) << i;
		uint32_t change = crc_of(places) ^ none;

		while (change) {
			int bit = 31 - __builtin_clz(change);

			if (!row[bit]) {
				row[bit] = change;
				by[bit] = places;
				break;
			}
			change ^= row[bit];
			places ^= by[bit];
		}
		if (!change)
			ret[n++] = places;
	}
	return n;
}

static int text_order(const void *a, const void *b)
{
	return strcmp(a, b);
}

/* A table of every second of the keys. */
static struct table *table_of(const char *dir, char (*keys)[PLACES + 1], uint64_t number)
{
	struct table_head head = {
		.store_id = STORE_ID, .number = number, .salt = 1, .first_rev = 1, .last_rev = KEYS
	};
	struct err err = ERR_INIT;
	struct table_out o;
	struct table *t;

	assert_int_equal(table_out_begin(&o, dir, &head, &err), 0);
	for (int i = 0; i < KEYS; i += 2) {
		struct rec *r = rec_new(sv_from(keys[i]), SV("value"), false);

		r->head.rev = r->head.create_rev = (uint64_t)(1 + i);
		wal_record_seal(&r->head, r->data_crc);
		assert_int_equal(table_out_add(&o, &r->head, sizeof(r->head) + r->head.key_n + r->head.value_n, &err),
				 0);
		rec_free(r);
	}
	t = table_out_open(&o, dir, &err);
	assert_non_null(t);
	return t;
}

/* Each key of it is found, and no other. Returns how often it was read for nothing. */
static int look(const struct table *t, char (*keys)[PLACES + 1])
{
	struct table_hold hold = { 0 };
	int for_nothing = 0;

	for (int i = 0; i < KEYS; i++) {
		struct table_key k = table_key(STORE_ID, sv_from(keys[i]));
		struct wal_record r;
		struct sv key, value;

		reads = 0;
		table_hold_release(&hold);
		hold = (struct table_hold){ 0 };
		assert_int_equal(table_find(t, &k, UINT64_MAX, &hold, &r, &key, &value, NULL), i % 2 == 0);
		if (i % 2)
			for_nothing += reads;
		else
			assert_sv(value, "value");
	}
	table_hold_release(&hold);
	return for_nothing;
}

static void keys_make(char (*keys)[PLACES + 1])
{
	uint64_t places[KEYS] = { 0 };

	assert_int_equal(equal_crcs(places, KEYS), KEYS);
	for (int i = 0; i < KEYS; i++) {
		assert_int_equal(crc_of(places[i]), crc_of(0));
		key_of(keys[i], places[i]);
	}
	qsort(keys, KEYS, sizeof(keys[0]), text_order);
}

static void test_chosen_keys(void **state)
{
	char dir[64], keys[KEYS][PLACES + 1];
	struct table *t;

	(void)state;
	kit_mkdir(dir);
	keys_make(keys);
	table_io.pread = counted_pread;
	t = table_of(dir, keys, 1);
	assert_in_range(look(t, keys), 0, 2);
	table_unref(t);
	table_io.pread = pread;
	kit_rmdir(dir);
}

/* Tables from before: their filters went by the keys' checksums. */
static void test_old_table(void **state)
{
	char dir[64], keys[KEYS][PLACES + 1];
	struct table_head h;
	unsigned char *filter;
	struct err err = ERR_INIT;
	struct table *t;
	int fd;

	(void)state;
	kit_mkdir(dir);
	keys_make(keys);
	t = table_of(dir, keys, 1);
	h = t->head;
	filter = t->area + (t->filter - t->area);
	memset(filter, 0, h.filter_n);
	for (int i = 0; i < TABLE_PROBES; i++) {
		uint64_t bit = table_filter_bit(crc_of(0), i, h.filter_n);

		filter[bit / 8] |= (unsigned char)(1 << bit % 8);
	}
	h.version = TABLE_VERSION_CRC;
	h.area_crc = crc32c(0, t->area, (size_t)(h.size - h.area_at));
	h.crc = table_head_crc(&h);
	fd = open(t->path, O_WRONLY | O_CLOEXEC);
	assert_int_equal(pwrite(fd, &h, sizeof(h), 0), sizeof(h));
	assert_int_equal(pwrite(fd, t->area, (size_t)(h.size - h.area_at), (off_t)h.area_at),
			 (ssize_t)(h.size - h.area_at));
	close(fd);
	table_unref(t);
	t = table_open(dir, 1, STORE_ID, NULL, &err);
	assert_non_null(t);
	(void)look(t, keys);
	table_unref(t);
	kit_rmdir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_chosen_keys), cmocka_unit_test(test_old_table) };

	return cmocka_run_group_tests_name("filter", tests, NULL, NULL);
}
