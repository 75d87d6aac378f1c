/* Certificates under clocks that are wrong, jump, or have gone on for years while nothing ran. */
#include "unit.h"

#include "apiserver/pki.h"
#include "base/arena.h"
#include "base/file.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

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

static void store_file(const char *name, struct sv data)
{
	char path[96];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	assert_int_equal(file_write(path, data, 0600, NULL), 0);
}

/* The server's certificate is of the CA, its key is its own, and TLS can be served with both. */
static void assert_serves(struct pki *p)
{
	assert_true(cert_is_of(p->server_cert, p->server_key, p->ca_cert));
	assert_int_equal(pki_load_tls(p, NULL), 0);
}

/* What the CA can make again never ends a start, whatever has become of it. */
static void test_server_files_damaged(void **state)
{
	static const char *const names[] = { "server.crt", "server.key", "server.names" };
	static const char *const left[] = { NULL, "", "garbage", "-----BEGIN EC PRIVATE KEY-----\nAAAA\n", "large" };
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	char *large = xcalloc(1, (1 << 20) + 1);
	struct pki *p = open_at(NOW_NS);
	struct sv ca = arena_sv(&a, p->ca_cert), sa = arena_sv(&a, p->sa_key), cert = SV("");
	char path[96];

	(void)state;
	pki_close(p);
	for (size_t i = 0; i < ARRAY_LEN(names) * ARRAY_LEN(left); i++) {
		const char *name = names[i % ARRAY_LEN(names)], *text = left[i / ARRAY_LEN(names)];

		snprintf(path, sizeof(path), "%s/%s", dir, name);
		if (!text)
			assert_int_equal(unlink(path), 0);
		else
			store_file(name, text[0] == 'l' ? sv_make(large, (1 << 20) + 1) : sv_from(text));
		for (int k = 0; k < 2; k++) { /* once is enough */
			p = open_at(NOW_NS);
			assert_serves(p);
			assert_true(sv_eq(ca, p->ca_cert));
			assert_true(sv_eq(sa, p->sa_key));
			if (k)
				assert_true(sv_eq(cert, p->server_cert));
			cert = arena_sv(&a, p->server_cert);
			pki_close(p);
		}
	}
	free(large);
}

/* A whole pair that belongs to nobody here: another CA's, and a key of another certificate. */
static void test_server_files_of_others(void **state)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct sv cert, key, names;
	struct pki *p = open_at(NOW_NS);
	char path[96];

	snprintf(path, sizeof(path), "%s/server.names", dir);
	assert_int_equal(file_read(&a, path, 4096, &names, NULL), 0);
	cert = arena_sv(&a, p->server_cert);
	key = arena_sv(&a, p->server_key);
	pki_close(p);
	teardown(state);
	setup(state);
	pki_close(open_at(NOW_NS));
	store_file("server.key", key);
	p = open_at(NOW_NS);
	assert_serves(p);
	pki_close(p);
	store_file("server.key", key);
	store_file("server.crt", cert);
	store_file("server.names", names);
	p = open_at(NOW_NS);
	assert_serves(p);
	pki_close(p);
}

static struct pki *open_on_full(const char *const *names, struct err *err)
{
	struct rlimit was, none;
	struct pki *p;

	assert_int_equal(getrlimit(RLIMIT_FSIZE, &was), 0);
	none = (struct rlimit){ 16, was.rlim_max };
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &none), 0);
	p = pki_open(&(struct pki_opts){ .env = &env, .dir = dir, .names = names, .addrs = names + 2 }, err);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &was), 0);
	return p;
}

/* A machine with another name starts on a full disk; keys that would not be there the next time are not begun with. */
static void test_full(void **state)
{
	static const char *const names[] = { "kubernetes", "renamed", NULL };
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct err err = ERR_INIT;
	struct sv was, is;
	struct pki *p;
	char path[96];

	(void)state;
	assert_null(open_on_full(names, &err));
	assert_true(err_no_room(&err));
	err_release(&err);
	pki_close(open_at(NOW_NS));
	snprintf(path, sizeof(path), "%s/server.crt", dir);
	assert_int_equal(file_read(&a, path, 4096, &was, NULL), 0);
	p = open_on_full(names, &err);
	if (!p)
		fail_msg("%s", err_msg(&err));
	assert_serves(p);
	assert_false(sv_eq(p->server_cert, was));
	pki_close(p);
	assert_int_equal(file_read(&a, path, 4096, &is, NULL), 0);
	assert_true(sv_eq(is, was));
	snprintf(path, sizeof(path), "%s/sa.key", dir);
	assert_int_equal(unlink(path), 0);
	assert_null(open_on_full(names, &err));
	err_release(&err);
}

static void refused_with(const char *name, const char *words)
{
	static const char *const none[] = { NULL };
	struct err err = ERR_INIT;

	assert_null(pki_open(&(struct pki_opts){ .env = &env, .dir = dir, .names = none, .addrs = none }, &err));
	assert_non_null(strstr(err_msg(&err), dir));
	assert_non_null(strstr(err_msg(&err), name));
	assert_non_null(strstr(err_msg(&err), words));
	err_release(&err);
}

static void refused(const char *name)
{
	refused_with(name, "put the");
}

/* What cannot be made again ends the opening with its name, and is left as it was. */
static void test_keys_damaged(void **state)
{
	static const char *const names[] = { "ca.key", "ca.crt", "sa.key" };
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct sv other, kept, found;
	struct pki *p = open_at(NOW_NS);
	char path[96];

	other = arena_sv(&a, p->server_key);
	(void)state;
	pki_close(p);
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
		assert_int_equal(file_read(&a, path, 4096, &kept, NULL), 0);
		store_file(names[i], SV("garbage"));
		refused(names[i]);
		assert_int_equal(file_read(&a, path, 4096, &found, NULL), 0);
		assert_true(sv_is(found, "garbage"));
		store_file(names[i], kept);
	}
	store_file("ca.key", other);
	refused("ca.key");
	store_file("ca.key", SV(""));
	refused("ca.key");
}

/* Nothing is asked on the terminal: there is nobody. */
static void test_keys_encrypted(void **state)
{
	static const char *const names[] = { "ca.key", "sa.key" };
	static const char *const keys[] = {
		"-----BEGIN ENCRYPTED PRIVATE KEY-----\n"
		"MIHsMFcGCSqGSIb3DQEFDTBKMCkGCSqGSIb3DQEFDDAcBAilwIzApD9N/wICCAAw\n"
		"DAYIKoZIhvcNAgkFADAdBglghkgBZQMEASoEEM/EFsuF5ptpiuQFGKueyRgEgZBM\n"
		"T9qdmW1f139wrQjdu6QpNpKiMNj0yIJIW+U+TRlMGXU6ViTP+A7Nm6//YzAc9CV5\n"
		"YWrdOFXAHzSCmDznlSMFwHP6uEfDVG8BsdFr9Rm+G5oNdMjOWzKZ3pWnL0ynR7Q9\n"
		"ER3cQvAk+YN6tieWkXefdErmBOerJ55W92kSvUwMwUKMZsE6r03wZ0vXKAeTCu8=\n"
		"-----END ENCRYPTED PRIVATE KEY-----\n",
		"-----BEGIN EC PRIVATE KEY-----\n"
		"Proc-Type: 4,ENCRYPTED\n"
		"DEK-Info: AES-128-CBC,FC5EDB5D1EEADB7019A161D39DE86430\n\n"
		"ujnTW8UNd9aPBuBxPv+eO+g3ph/ty0GmC/oVwL/gP8rD6e/r2bgPhIlUfNyVICqy\n"
		"zvo+5T2dfUaN2LPeFadh6LJu3Ne0AXpNB/Opj9t54dxoWetVD49dG4buB9q5/JDa\n"
		"qyHLehDISlyrzqja18D2RXS5ksM7oT452IJMnWai/Z0=\n"
		"-----END EC PRIVATE KEY-----\n",
	};
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct sv kept;
	char path[96];

	(void)state;
	pki_close(open_at(NOW_NS));
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
		assert_int_equal(file_read(&a, path, 4096, &kept, NULL), 0);
		for (size_t k = 0; k < ARRAY_LEN(keys); k++) {
			store_file(names[i], sv_from(keys[k]));
			refused_with(names[i], "is encrypted");
		}
		store_file(names[i], kept);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_any_clock, setup, teardown),
		cmocka_unit_test_setup_teardown(test_ca_is_renewed_with_its_key, setup, teardown),
		cmocka_unit_test_setup_teardown(test_renewed_while_running, setup, teardown),
		cmocka_unit_test_setup_teardown(test_server_files_damaged, setup, teardown),
		cmocka_unit_test_setup_teardown(test_server_files_of_others, setup, teardown),
		cmocka_unit_test_setup_teardown(test_full, setup, teardown),
		cmocka_unit_test_setup_teardown(test_keys_damaged, setup, teardown),
		cmocka_unit_test_setup_teardown(test_keys_encrypted, setup, teardown),
	};

	return cmocka_run_group_tests_name("apiserver/pki", tests, NULL, NULL);
}
