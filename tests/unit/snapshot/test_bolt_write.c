/* snapshot/bolt_write.h and etcd_file.h: what was written is read, pages are as the program that changes them later
 * wants them, and what comes out of order is refused. */
#include "unit.h"

#include "base/buf.h"
#include "snapshot/bolt.h"
#include "snapshot/bolt_write.h"
#include "snapshot/etcd_file.h"
#include "snapshot/file_sum.h"
#include "snapshot/foreign.h"

#include <endian.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define PAGE BOLT_OUT_PAGE

static struct err why;

static int forget(_unused_ void **state)
{
	err_release(&why);
	return 0;
}

static int file(void)
{
	return memfd_create("bolt", MFD_CLOEXEC | MFD_ALLOW_SEALING);
}

/* --- pages, by the format alone --- */

struct shape {
	const unsigned char *p;
	size_t pages;
	unsigned char *seen;
	size_t deepest;
};

static uint64_t u64_at(const unsigned char *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return le64toh(v);
}

static unsigned u32_at(const unsigned char *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return le32toh(v);
}

/* Its first key. */
static struct sv shape_page(struct shape *s, uint64_t number, size_t depth)
{
	const unsigned char *p = s->p + number * PAGE, *e = p + 16;
	unsigned flags = p[8], count = p[10] | (unsigned)p[11] << 8, more = u32_at(p + 12);

	assert_true(number >= 2 && number + more < s->pages);
	assert_int_equal(u64_at(p), number);
	for (uint64_t i = number; i <= number + more; i++)
		assert_int_equal(s->seen[i]++, 0);
	s->deepest = MAX(s->deepest, depth);
	if (flags == 2)
		return count ? sv_make((const char *)e + u32_at(e + 4), u32_at(e + 8)) : SV("");
	assert_int_equal(flags, 1);
	assert_true(count >= 2);
	assert_int_equal(more, 0);
	for (unsigned i = 0; i < count; i++, e += 16) {
		struct sv key = sv_make((const char *)e + u32_at(e), u32_at(e + 4));

		assert_true(sv_eq(shape_page(s, u64_at(e + 8), depth + 1), key));
	}
	e = p + 16;
	return sv_make((const char *)e + u32_at(e), u32_at(e + 4));
}

/* Every page but the first two belongs to one tree, once. */
static size_t shape_check(int fd)
{
	struct shape s = { 0 };
	struct stat st;
	uint64_t root;

	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_size % PAGE, 0);
	s.pages = (size_t)st.st_size / PAGE;
	s.p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	assert_ptr_not_equal(s.p, MAP_FAILED);
	s.seen = calloc(s.pages, 1);
	root = u64_at(s.p + PAGE + 16 + 16);
	assert_int_equal(u64_at(s.p + PAGE + 16 + 40), s.pages);
	assert_int_equal(s.p[root * PAGE + 8], 2); /* names are few */
	for (unsigned i = 0; i < s.p[root * PAGE + 10]; i++) {
		const unsigned char *e = s.p + root * PAGE + 16 + (size_t)i * 16;

		assert_int_equal(u32_at(e), 1);
		(void)shape_page(&s, u64_at(e + u32_at(e + 4) + u32_at(e + 8)), 1);
	}
	(void)shape_page(&s, root, 0);
	for (size_t i = 2; i < s.pages; i++)
		assert_int_equal(s.seen[i], 1);
	free(s.seen);
	assert_int_equal(munmap((void *)(uintptr_t)s.p, (size_t)st.st_size), 0);
	return s.deepest;
}

/* --- keys and values that can be made again --- */

struct made {
	size_t n, key_n, value_max;
	size_t i; /* how many were read */
};

static struct sv made_key(const struct made *m, size_t i, char *to)
{
	memset(to, 'k', m->key_n);
	for (int b = 0; b < 4; b++)
		to[b] = (char)(i >> 8 * (3 - b));
	return sv_make(to, m->key_n);
}

static struct sv made_value(const struct made *m, size_t i, struct buf *b)
{
	size_t n = m->value_max ? i * 7919 % m->value_max : 0;

	buf_clear(b);
	if (n)
		memset(buf_extend(b, n), (int)('a' + i % 26), n);
	return buf_sv(b);
}

static int made_same(struct sv key, struct sv value, _unused_ uint64_t at, void *ctx, _unused_ struct err *err)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	struct made *m = ctx;
	char text[BOLT_OUT_KEY_MAX];

	assert_true(sv_eq(key, made_key(m, m->i, text)));
	assert_true(sv_eq(value, made_value(m, m->i, &b)));
	m->i++;
	return 0;
}

static int one_there(struct sv key, struct sv value, _unused_ uint64_t at, _unused_ void *ctx, _unused_ struct err *err)
{
	assert_sv(key, "x");
	assert_sv(value, "y");
	return 0;
}

static size_t round_trip(struct made m)
{
	_cleanup_(bolt_out_freep) struct bolt_out *o = NULL;
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	_cleanup_close_ int fd = file();
	struct stat st;
	struct bolt in;
	uint64_t bytes;

	o = bolt_out_new(fd);
	assert_int_equal(bolt_out_bucket(o, "a", NULL), 0);
	assert_int_equal(bolt_out_bucket(o, "key", NULL), 0);
	for (size_t i = 0; i < m.n; i++) {
		char text[BOLT_OUT_KEY_MAX];

		assert_int_equal(bolt_out_put(o, made_key(&m, i, text), made_value(&m, i, &b), NULL), 0);
	}
	assert_int_equal(bolt_out_bucket(o, "meta", NULL), 0);
	assert_int_equal(bolt_out_put(o, SV("x"), SV("y"), NULL), 0);
	assert_int_equal(bolt_out_end(o, &bytes, NULL), 0);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(bytes, st.st_size);
	assert_int_equal(bolt_open(&in, fd, bytes, NULL), 0);
	assert_int_equal(bolt_each(&in, SV("key"), made_same, &m, NULL), 1);
	assert_int_equal(m.i, m.n);
	assert_int_equal(bolt_each(&in, SV("meta"), one_there, NULL, NULL), 1);
	return shape_check(fd);
}

static int nothing_there(_unused_ struct sv key, _unused_ struct sv value, _unused_ uint64_t at, _unused_ void *ctx,
			 struct err *err)
{
	return err_set(err, ERR_INTERNAL, "a key");
}

static void test_empty(_unused_ void **state)
{
	_cleanup_(bolt_out_freep) struct bolt_out *o = NULL;
	_cleanup_close_ int fd = file();
	struct bolt in;
	uint64_t bytes;

	o = bolt_out_new(fd);
	assert_int_equal(bolt_out_bucket(o, "key", NULL), 0);
	assert_int_equal(bolt_out_end(o, &bytes, NULL), 0);
	assert_int_equal(bolt_open(&in, fd, bytes, NULL), 0);
	assert_int_equal(bolt_each(&in, SV("key"), nothing_there, NULL, NULL), 1);
	assert_int_equal(bolt_each(&in, SV("kex"), nothing_there, NULL, NULL), 0);
	assert_int_equal(shape_check(fd), 1);
}

/* Whatever number of keys there is: also where a page has just become full. */
static void test_each_number(_unused_ void **state)
{
	for (size_t n = 1; n < 600; n++)
		(void)round_trip((struct made){ .n = n, .key_n = BOLT_OUT_KEY_MAX, .value_max = 1 });
}

static void test_many(_unused_ void **state)
{
	assert_int_equal(round_trip((struct made){ .n = 60000, .key_n = 17, .value_max = 900 }), 3);
	assert_int_equal(round_trip((struct made){ .n = 3000, .key_n = BOLT_OUT_KEY_MAX }) > 4, true);
	(void)round_trip((struct made){ .n = 300, .key_n = 17, .value_max = 100000 }); /* several pages each */
	(void)round_trip((struct made){ .n = 5000, .key_n = 4 });
}

static void test_out_of_order(_unused_ void **state)
{
	_cleanup_(bolt_out_freep) struct bolt_out *o = NULL;
	_cleanup_close_ int fd = file();
	char long_key[BOLT_OUT_KEY_MAX + 1] = { 'x' };

	o = bolt_out_new(fd);
	assert_int_equal(bolt_out_put(o, SV("a"), SV(""), NULL), -1); /* in no bucket */
	assert_int_equal(bolt_out_bucket(o, "b", NULL), 0);
	assert_int_equal(bolt_out_put(o, SV("b"), SV(""), NULL), 0);
	assert_int_equal(bolt_out_put(o, SV("b"), SV(""), NULL), -1);
	assert_int_equal(bolt_out_put(o, SV("a"), SV(""), NULL), -1);
	assert_int_equal(bolt_out_put(o, SV(""), SV(""), NULL), -1);
	assert_int_equal(bolt_out_put(o, sv_make(long_key, sizeof(long_key)), SV(""), NULL), -1);
	assert_int_equal(bolt_out_put(o, SV("c"), sv_make("", BOLT_OUT_VALUE_MAX + 1), NULL), -1);
	assert_int_equal(bolt_out_bucket(o, "b", NULL), -1);
	assert_int_equal(bolt_out_bucket(o, "a", NULL), -1);
	assert_int_equal(bolt_out_bucket(o, "c", NULL), 0);
	assert_int_equal(bolt_out_put(o, SV("a"), SV(""), NULL), 0); /* another bucket's keys begin anew */
}

/* A disk that is full is said, whatever is written just then. */
static void test_no_room(_unused_ void **state)
{
	for (size_t n = 0; n < 2000; n += 1999) {
		_cleanup_(bolt_out_freep) struct bolt_out *o = NULL;
		_cleanup_close_ int fd = file();
		uint64_t bytes;
		int rc = 0;

		assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_GROW), 0);
		o = bolt_out_new(fd);
		assert_int_equal(bolt_out_bucket(o, "key", NULL), 0);
		for (size_t i = 0; i < n && rc == 0; i++) {
			char key[24];

			snprintf(key, sizeof(key), "%05zu", i);
			rc = bolt_out_put(o, sv_from(key), sv_make((char[4000]){ 0 }, 4000), &why);
		}
		if (rc == 0)
			rc = bolt_out_end(o, &bytes, &why);
		assert_int_equal(rc, -1);
		assert_non_null(strstr(err_msg(&why), "cannot write it"));
		err_release(&why);
	}
}

/* --- an etcd's --- */

static int seen_begin(int64_t rev, void *ctx, _unused_ struct err *err)
{
	buf_printf(ctx, "@%" PRId64 ": ", rev);
	return 0;
}

static int seen_record(const struct store_kv *kv, void *ctx, _unused_ struct err *err)
{
	buf_printf(ctx, "%.*s=%.*s@%" PRId64 "/%" PRId64 " ", SV_ARG(kv->key), SV_ARG(kv->value), kv->create_rev,
		   kv->mod_rev);
	return 0;
}

#define LIT(lit)                     \
	{                            \
		lit, sizeof(lit) - 1 \
	}

static const struct store_kv records[] = {
	{ .key = LIT("/registry/a"), .value = LIT("late"), .create_rev = 5, .mod_rev = 70 },
	{ .key = LIT("/registry/b"), .value = LIT("beside"), .create_rev = 9, .mod_rev = 9 },
	{ .key = LIT("/registry/c"), .value = LIT("x"), .create_rev = 9, .mod_rev = 9 },
	{ .key = LIT("/registry/d"), .value = LIT("first"), .create_rev = 1, .mod_rev = 2 },
	{ .key = LIT("/registry/e"), .value = LIT("beside"), .create_rev = 3, .mod_rev = 9 },
};

static void test_etcd(_unused_ void **state)
{
	static const struct foreign_cb cb = { seen_begin, seen_record };
	_cleanup_(etcd_file_freep) struct etcd_file *f = NULL;
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	_cleanup_close_ int fd = file(), between = file();
	struct foreign_found found;
	uint64_t keys;
	struct stat st;

	f = etcd_file_new(fd, between);
	for (size_t i = 0; i < ARRAY_LEN(records); i++)
		assert_int_equal(etcd_file_add(f, &records[i], NULL), 0);
	assert_int_equal(etcd_file_end(f, INT64_C(3000000000), NULL, &keys, NULL), 0);
	assert_int_equal(keys, ARRAY_LEN(records));
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_size % PAGE, FILE_SUM_BYTES);
	assert_int_equal(foreign_etcd(fd, SV("/registry"), &cb, &b, &found, NULL), 0);
	assert_false(found.unchecked);
	assert_string_equal(buf_cstr(&b), "@3000000000: /registry/a=late@5/70 /registry/b=beside@9/9 "
					  "/registry/c=x@9/9 /registry/d=first@1/2 /registry/e=beside@3/9 ");
	assert_int_equal(ftruncate(fd, st.st_size - FILE_SUM_BYTES), 0);
	assert_int_equal(shape_check(fd), 1);
}

static int asked, asks_left;

static int goes_on(struct err *err)
{
	asked++;
	return asks_left-- > 0 ? 0 : err_set(err, ERR_UNAVAILABLE, "a signal");
}

static void test_etcd_refused(_unused_ void **state)
{
	_cleanup_(etcd_file_freep) struct etcd_file *f = NULL;
	_cleanup_close_ int fd = file(), between = file();
	struct store_kv kv = records[0];
	uint64_t keys;

	f = etcd_file_new(fd, between);
	kv.create_rev = 71; /* before it was made */
	assert_int_equal(etcd_file_add(f, &kv, &why), -1);
	assert_int_equal(why.reason, ERR_STORE_READ);
	err_release(&why);
	kv.create_rev = 0;
	assert_int_equal(etcd_file_add(f, &kv, NULL), -1);
	kv.create_rev = 1;
	kv.key = SV("");
	assert_int_equal(etcd_file_add(f, &kv, NULL), -1);
	assert_int_equal(etcd_file_add(f, &records[0], NULL), 0);
	assert_int_equal(etcd_file_end(f, 69, NULL, &keys, &why), -1);
	assert_non_null(strstr(err_msg(&why), "before that of a record"));
	err_release(&why);
	assert_int_equal(etcd_file_end(f, 0, NULL, &keys, NULL), -1);
	for (int i = 0; i < 5000; i++)
		assert_int_equal(etcd_file_add(f, &records[1], NULL), 0);
	asks_left = 2;
	assert_int_equal(etcd_file_end(f, 70, goes_on, &keys, &why), -1);
	assert_string_equal(err_msg(&why), "a signal");
	assert_int_equal(asked, 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_empty),
		cmocka_unit_test(test_each_number),
		cmocka_unit_test(test_many),
		cmocka_unit_test(test_out_of_order),
		cmocka_unit_test_teardown(test_no_room, forget),
		cmocka_unit_test(test_etcd),
		cmocka_unit_test_teardown(test_etcd_refused, forget),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
