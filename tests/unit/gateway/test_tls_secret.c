/* Secrets as certificates: how often a key is looked at, however many name it. */
#include "unit.h"

#include "base/b64.h"
#include "gateway/tls_secret.h"
#include "net/tls.h"

#define YEAR_NS (365 * 86400 * NS_PER_SEC)

static struct obj *secret_of(struct arena *a, const char *type, struct sv cert, struct sv key, int64_t rev)
{
	struct val *o = val_new_map(a), *data = val_new_map(a), *meta = val_new_map(a);

	val_set_str_sv(a, data, SV("tls.crt"), b64_encode(a, cert));
	val_set_str_sv(a, data, SV("tls.key"), b64_encode(a, key));
	val_set_str(a, meta, F_uid, SV("u"));
	val_set(a, o, F_metadata, meta);
	val_set_str(a, o, F_type, sv_from(type));
	val_set(a, o, F_data, data);
	return obj_link(a, obj_new(o, rev));
}

static void pair(struct arena *a, struct sv *ret_cert, struct sv *ret_key)
{
	struct cert_opts o = { .common_name = "x.org", .server = true, .not_after_ns = CLOCK_FLOOR_NS + YEAR_NS };

	assert_int_equal(cert_make(a, &o, SV(""), SV(""), ret_cert, ret_key, NULL), 0);
}

static void test_refused(_unused_ void **state)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct tls_checked c = { .looked = 0 };
	struct sv cert, key, other_cert, other_key, pem;

	pair(&a, &cert, &key);
	pair(&a, &other_cert, &other_key);
	for (int known = 0; known < 2; known++) {
		struct tls_checked *t = known ? &c : NULL;

		assert_non_null(tls_secret_pem(&a, t, SV("d/a"), NULL, &pem));
		assert_non_null(tls_secret_pem(&a, t, SV("d/a"), secret_of(&a, "Opaque", cert, key, 1), &pem));
		assert_non_null(
		    tls_secret_pem(&a, t, SV("d/b"), secret_of(&a, "kubernetes.io/tls", cert, other_key, 1), &pem));
		assert_int_equal(pem.n, 0);
		assert_non_null(
		    tls_secret_pem(&a, t, SV("d/c"), secret_of(&a, "kubernetes.io/tls", cert, SV(""), 1), &pem));
		assert_non_null(
		    tls_secret_pem(&a, t, SV("d/d"), secret_of(&a, "kubernetes.io/tls", SV(""), key, 1), &pem));
		assert_int_equal(pem.n, 0);
	}
	tls_checked_release(&c);
}

/* Once in a run however many name it, not again while it stays as it is, again when it changed. */
static void test_looked_at_once(_unused_ void **state)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct tls_checked c = { .looked = 0 };
	struct sv cert, key, pem, first;
	struct obj *good, *bad, *newer;

	pair(&a, &cert, &key);
	good = secret_of(&a, "kubernetes.io/tls", cert, key, 1);
	bad = secret_of(&a, "kubernetes.io/tls", cert, SV("no key"), 1);
	newer = secret_of(&a, "kubernetes.io/tls", cert, key, 2);
	assert_null(tls_secret_pem(&a, &c, SV("d/good"), good, &first));
	assert_true(first.n > 0);
	for (int run = 0; run < 3; run++) {
		for (int i = 0; i < 5; i++) {
			assert_null(tls_secret_pem(&a, &c, SV("d/good"), good, &pem));
			assert_true(sv_eq(pem, first));
			assert_non_null(tls_secret_pem(&a, &c, SV("d/bad"), bad, &pem));
			assert_int_equal(pem.n, 0);
		}
		assert_int_equal(c.looked, 2);
		tls_checked_sweep(&c);
	}
	assert_null(tls_secret_pem(&a, &c, SV("d/good"), newer, &pem));
	assert_int_equal(c.looked, 3);
	tls_checked_sweep(&c);
	tls_checked_sweep(&c); /* nobody asked for it in this one */
	assert_null(tls_secret_pem(&a, &c, SV("d/good"), newer, &pem));
	assert_int_equal(c.looked, 4);
	tls_checked_release(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_refused), cmocka_unit_test(test_looked_at_once) };

	return cmocka_run_group_tests_name("gateway_tls_secret", tests, NULL, NULL);
}
