/* An etcd's database: what comes of it, and that nothing it says leads out of it. */
#include "unit.h"

#include "bolt_kit.h"

#include "snapshot/bolt.h"
#include "snapshot/foreign.h"

#include <openssl/evp.h>
#include <sys/mman.h>
#include <unistd.h>

static const struct kit_row rows[] = {
	{ "/registry/a", "first", 2, 2 },     { "/other", "x", 3, 3 },		 { "/registry/c", "c", 4, 4 },
	{ "/registry/b", "b", 5, 5 },	      { "/registry/a", "second", 6, 2 }, { "/registry/c", NULL, 7, 0 },
	{ "/registry/e", "k8s:enc:x", 8, 8 },
};

struct seen {
	struct buf b;
	int64_t rev;
};

static int seen_begin(int64_t rev, void *ctx, _unused_ struct err *err)
{
	((struct seen *)ctx)->rev = rev;
	return 0;
}

static int seen_record(const struct store_kv *kv, void *ctx, _unused_ struct err *err)
{
	buf_printf(&((struct seen *)ctx)->b, "%.*s=%.*s@%d/%d ", SV_ARG(kv->key), SV_ARG(kv->value),
		   (int)kv->create_rev, (int)kv->mod_rev);
	return 0;
}

static int read_below(struct sv prefix, struct sv bytes, struct seen *s, struct foreign_found *f, struct err *err)
{
	static const struct foreign_cb cb = { seen_begin, seen_record };
	int fd = memfd_create("bolt", MFD_CLOEXEC), r;

	assert_int_equal(write(fd, bytes.p, bytes.n), bytes.n);
	buf_clear(&s->b);
	r = foreign_etcd(fd, prefix, &cb, s, f, err);
	close(fd);
	return r;
}

static int read_etcd(struct sv bytes, struct seen *s, struct foreign_found *f, struct err *err)
{
	return read_below(SV("/registry"), bytes, s, f, err);
}

/* Another kube-apiserver's --etcd-prefix; and which there are, when it is the wrong one. */
static void test_prefix(_unused_ void **state)
{
	static const struct kit_row other[] = {
		{ "/kubernetes.io/b", "b", 2, 2 },   { "/kubernetes.iox", "c", 3, 3 },
		{ "/kubernetes.io/a/b", "a", 4, 4 }, { "/registry/x", "x", 5, 5 },
		{ "/registry", "y", 6, 6 },	     { "bare", "z", 7, 7 },
		{ "/further/x", "z", 8, 8 },
	};
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	struct seen s = { .b = BUF_INIT };
	struct foreign_found f;

	kit_bolt(&b, other, ARRAY_LEN(other));
	assert_int_equal(read_below(SV("/kubernetes.io"), buf_sv(&b), &s, &f, NULL), 0);
	assert_string_equal(buf_cstr(&s.b), "/registry/a/b=a@4/4 /registry/b=b@2/2 ");
	assert_int_equal(f.keys, 2);
	assert_int_equal(f.passed_over, 5);
	assert_int_equal(read_below(SV("/none"), buf_sv(&b), &s, &f, NULL), 0);
	assert_int_equal(f.keys, 0);
	assert_int_equal(f.passed_over, 7);
	assert_string_equal(f.seen[0], "/kubernetes.io");
	assert_string_equal(f.seen[1], "/kubernetes.iox");
	assert_string_equal(f.seen[2], "/registry");
	buf_release(&s.b);
}

static void test_etcd(_unused_ void **state)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	unsigned char digest[32];
	struct seen s = { .b = BUF_INIT };
	struct foreign_found f;
	unsigned n;

	kit_bolt(&b, rows, ARRAY_LEN(rows));
	assert_int_equal(read_etcd(buf_sv(&b), &s, &f, NULL), 0);
	assert_string_equal(buf_cstr(&s.b), "/registry/a=second@2/6 /registry/b=b@5/5 /registry/e=k8s:enc:x@8/8 ");
	assert_int_equal(s.rev, 8);
	assert_int_equal(f.keys, 3);
	assert_int_equal(f.passed_over, 1);
	assert_int_equal(f.unread, 2); /* they are texts; what is encrypted may be anything */
	assert_string_equal(f.unread_at, "/registry/a");
	assert_true(f.encrypted);
	assert_true(f.unchecked);
	/* As a snapshot, with its digest. */
	assert_int_equal(EVP_Digest(b.p, b.n, digest, &n, EVP_sha256(), NULL), 1);
	buf_add(&b, digest, sizeof(digest));
	assert_int_equal(read_etcd(buf_sv(&b), &s, &f, NULL), 0);
	assert_false(f.unchecked);
	b.p[3000] ^= 1;
	assert_int_equal(read_etcd(buf_sv(&b), &s, &f, NULL), -1);
	buf_release(&s.b);
}

static void test_no_objects(_unused_ void **state)
{
	static const struct kit_row some[] = {
		{ "/registry/json", "{\"kind\":\"ConfigMap\"}", 2, 2 },
		{ "/registry/list", "[]", 3, 3 },
		{ "/registry/torn", "{\"kind\":", 4, 4 },
		{ "/registry/was", "x", 5, 5 },
		{ "/registry/was", "{}", 6, 5 },
	};
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	struct seen s = { .b = BUF_INIT };
	struct foreign_found f;

	kit_bolt(&b, some, ARRAY_LEN(some));
	assert_int_equal(read_etcd(buf_sv(&b), &s, &f, NULL), 0);
	assert_int_equal(f.keys, 4);
	assert_int_equal(f.unread, 2);
	assert_string_equal(f.unread_at, "/registry/list");
	buf_release(&s.b);
}

static void refused(struct sv bytes, const char *words)
{
	struct seen s = { .b = BUF_INIT };
	struct err err = ERR_INIT;
	struct foreign_found f;

	assert_int_equal(read_etcd(bytes, &s, &f, &err), -1);
	if (!strstr(err_msg(&err), words))
		fail_msg("'%s' does not say '%s'", err_msg(&err), words);
	err_release(&err);
	buf_release(&s.b);
}

static void test_refused(_unused_ void **state)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	kit_bolt(&b, rows, ARRAY_LEN(rows));
	refused(sv_make(b.p, b.n - KIT_PAGE), "a part of a database");
	refused(SV("hello"), "no database of bbolt");
	/* A branch that leads to itself, to the first pages, and beyond. */
	kit_set(&b, 4 * KIT_PAGE + 16 + 8, 4, 8);
	refused(buf_sv(&b), "damaged");
	kit_set(&b, 4 * KIT_PAGE + 16 + 8, 1, 8);
	refused(buf_sv(&b), "no page");
	kit_set(&b, 4 * KIT_PAGE + 16 + 8, UINT64_MAX, 8);
	refused(buf_sv(&b), "no page");
	kit_bolt(&b, rows, ARRAY_LEN(rows));
	kit_set(&b, 5 * KIT_PAGE + 16 + 12, UINT32_MAX, 4);
	refused(buf_sv(&b), "beyond its page");
	kit_bolt(&b, rows, ARRAY_LEN(rows));
	kit_set(&b, 5 * KIT_PAGE + 10, 65535, 2);
	refused(buf_sv(&b), "no version of a key");
	kit_bolt(&b, rows, ARRAY_LEN(rows));
	kit_set(&b, 5 * KIT_PAGE + 12, UINT32_MAX, 4);
	refused(buf_sv(&b), "another page");
	kit_bolt(&b, rows, 0);
	refused(buf_sv(&b), "it has no keys");
}

/* One of the two first pages may be torn: the other one counts. */
static void test_torn_meta(_unused_ void **state)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	struct seen s = { .b = BUF_INIT };
	struct foreign_found f;

	kit_bolt(&b, rows, ARRAY_LEN(rows));
	b.p[20] ^= 1;
	assert_int_equal(read_etcd(buf_sv(&b), &s, &f, NULL), 0);
	b.p[KIT_PAGE + 20] ^= 1;
	refused(buf_sv(&b), "both of its first pages");
	buf_release(&s.b);
}

/* Whatever a byte is: it is read, or refused. */
static void test_any_byte(_unused_ void **state)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	struct seen s = { .b = BUF_INIT };

	kit_bolt(&b, rows, ARRAY_LEN(rows));
	for (size_t i = 0; i < b.n; i++)
		for (int k = 0; k < 3; k++) {
			struct foreign_found f;

			b.p[i] ^= (char)(k == 0 ? 1 : k == 1 ? 0x80 : 0xff);
			(void)read_etcd(buf_sv(&b), &s, &f, NULL);
			b.p[i] ^= (char)(k == 0 ? 1 : k == 1 ? 0x80 : 0xff);
		}
	buf_release(&s.b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_etcd),	cmocka_unit_test(test_prefix),	  cmocka_unit_test(test_no_objects),
		cmocka_unit_test(test_refused), cmocka_unit_test(test_torn_meta), cmocka_unit_test(test_any_byte),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
