/* Certificates under clocks that are wrong, jump, or have gone on for years while nothing ran. */
#include "unit.h"

#include "apiserver/pki.h"
#include "base/arena.h"
#include "base/file.h"

#include <stdio.h>
#include <sys/stat.h>

#define YEAR_NS (INT64_C(31536000) * NS_PER_SEC)
#define NOW_NS (INT64_C(1800000000) * NS_PER_SEC) /* 2027 */

/* An env that has a clock and nothing else. */
static int64_t clock_now;

static int64_t now_ns(struct env *e)
{
	(void)e;
	return clock_now;
}

static void random_bytes(struct env *e, void *p, size_t n)
{
	(void)e;
	memset(p, 7, n);
}

static const struct env_ops ops = { .now_ns = now_ns, .random = random_bytes };
static struct env env = { .ops = &ops };
static char dir[] = "/tmp/caravel-pki-XXXXXX";

static int setup(void **state)
{
	(void)state;
	strcpy(dir + sizeof(dir) - 7, "XXXXXX");
	assert_non_null(mkdtemp(dir));
	clock_now = NOW_NS;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	return tree_remove(dir, NULL);
}

static struct pki *open_at(int64_t clock)
{
	static const char *const names[] = { "kubernetes", NULL }, *addrs[] = { "127.0.0.1", NULL };
	struct err err = ERR_INIT;
	struct pki *p;

	clock_now = clock;
	p = pki_open(&(struct pki_opts){ .env = &env, .dir = dir, .names = names, .addrs = addrs }, &err);
	if (!p)
		fail_msg("%s", err_msg(&err));
	return p;
}

static void assert_valid_at(struct sv cert, int64_t clock)
{
	int64_t from, to;

	assert_int_equal(cert_validity(cert, &from, &to, NULL), 0);
	assert_true(from <= clock);
	assert_true(to > clock);
}

/* Made at one time, used at another, and at a third. */
static void test_any_clock(void **state)
{
	static const int64_t clocks[] = { 0,
					  INT64_C(946684800) * NS_PER_SEC, /* 2000 */
					  NOW_NS - YEAR_NS,
					  NOW_NS,
					  NOW_NS + 2 * YEAR_NS,
					  NOW_NS + 11 * YEAR_NS, /* 2038 */
					  NOW_NS + 40 * YEAR_NS };
	static const char *const nobody[] = { NULL };

	for (size_t i = 0; i < ARRAY_LEN(clocks); i++) {
		struct pki *p = open_at(clocks[i]);

		pki_close(p);
		for (size_t k = 0; k < ARRAY_LEN(clocks); k++) {
			_cleanup_(arena_release) struct arena a = ARENA_INIT;
			struct sv cert, key;

			p = open_at(clocks[k]);
			assert_valid_at(p->ca_cert, clocks[k]);
			assert_valid_at(p->server_cert, clocks[k]);
			assert_int_equal(pki_client_cert(p, &a, "x", nobody, &cert, &key, NULL), 0);
			assert_valid_at(cert, clocks[k]);
			/* A clock that is set later does not end what was made before that. */
			assert_valid_at(cert, MAX(clocks[k], CLOCK_FLOOR_NS));
			pki_close(p);
		}
		teardown(state);
		setup(state);
	}
}

static void test_ca_is_renewed_with_its_key(void **state)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct pki *p = open_at(NOW_NS);
	struct sv ca = arena_sv(&a, p->ca_cert), key = arena_sv(&a, p->ca_key);

	(void)state;
	assert_false(p->ca_renewed);
	pki_close(p);
	p = open_at(NOW_NS + YEAR_NS);
	assert_false(p->ca_renewed);
	assert_true(sv_eq(ca, p->ca_cert));
	pki_close(p);
	p = open_at(NOW_NS + 10 * YEAR_NS); /* within the last 90 days */
	assert_true(p->ca_renewed);
	assert_false(sv_eq(ca, p->ca_cert));
	assert_true(sv_eq(key, p->ca_key));
	ca = arena_sv(&a, p->ca_cert);
	pki_close(p);
	p = open_at(NOW_NS + 11 * YEAR_NS);
	assert_false(p->ca_renewed); /* it was written down */
	assert_true(sv_eq(ca, p->ca_cert));
	pki_close(p);
}

static void test_renewed_while_running(void **state)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct pki *p = open_at(NOW_NS);
	struct sv old = arena_sv(&a, p->server_cert);
	struct tls_ctx *tls;

	(void)state;
	assert_int_equal(pki_load_tls(p, NULL), 0);
	tls = p->tls;
	assert_int_equal(pki_renew(p, NULL), 0);
	clock_now -= YEAR_NS;
	assert_int_equal(pki_renew(p, NULL), 0); /* valid then, too */
	clock_now = NOW_NS + 2 * YEAR_NS;
	assert_int_equal(pki_renew(p, NULL), 1);
	assert_ptr_not_equal(p->tls, tls);
	assert_valid_at(p->server_cert, clock_now);
	assert_int_equal(pki_renew(p, NULL), 0);
	old = arena_sv(&a, p->server_cert);
	pki_close(p);
	p = open_at(NOW_NS + 2 * YEAR_NS);
	assert_true(sv_eq(old, p->server_cert)); /* it was written down */
	pki_close(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_any_clock, setup, teardown),
		cmocka_unit_test_setup_teardown(test_ca_is_renewed_with_its_key, setup, teardown),
		cmocka_unit_test_setup_teardown(test_renewed_while_running, setup, teardown),
	};

	return cmocka_run_group_tests_name("apiserver/pki", tests, NULL, NULL);
}
