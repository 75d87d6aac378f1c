/* cli/encryption_agreed.h and apiserver/encryption/terms.h: servers of one store read what each of them writes, or the
 * one that comes with something else is refused; a key is rotated in steps that are not; nothing that is said shows a
 * key. */
#include "unit.h"

#include "apiserver/encryption/terms.h"
#include "base/file.h"
#include "cli/encryption_agreed.h"
#include "ev/ev.h"
#include "store/lease.h"

#include <stdio.h>

#define KEY_1 "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
#define KEY_2 "HxweHRobGBkWFxQVEhMQEQ4PDA0KCwgJBgcEBQIDAAE="
#define K1 "{\"name\":\"key1\",\"secret\":\"" KEY_1 "\"}"
#define K2 "{\"name\":\"key2\",\"secret\":\"" KEY_2 "\"}"
#define AES(keys) "{\"aescbc\":{\"keys\":[" keys "]}}"
#define IDENTITY "{\"identity\":{}}"
#define OF(resources, providers) "{\"resources\":[" resources "],\"providers\":[" providers "]}"
#define CONFIG(entries)                                                                                               \
	"{\"apiVersion\":\"apiserver.config.k8s.io/v1\",\"kind\":\"EncryptionConfiguration\",\"resources\":[" entries \
	"]}"
#define SECRETS(providers) CONFIG(OF("\"secrets\"", providers))

struct rig {
	struct env *env;
	struct store *store;
	char dir[64];
};

static int setup(void **state)
{
	struct rig *r = xcalloc(1, sizeof(*r));
	struct arena a = ARENA_INIT;

	snprintf(r->dir, sizeof(r->dir), "/tmp/caravel-agreed-XXXXXX");
	assert_non_null(mkdtemp(r->dir));
	assert_int_equal(dir_make(arena_printf(&a, "%s/pki", r->dir), 0700, NULL), 0);
	assert_int_equal(file_write(arena_printf(&a, "%s/pki/ca.key", r->dir), SV("a key"), 0600, NULL), 0);
	arena_release(&a);
	r->env = env_real_new(2);
	r->store = store_leased(store_mem_new(r->env), NULL);
	*state = r;
	return 0;
}

static int teardown(void **state)
{
	struct rig *r = *state;

	store_close(r->store);
	env_real_free(r->env);
	tree_remove(r->dir, NULL);
	free(r);
	return 0;
}

static struct encryption *parsed(struct rig *r, const char *text)
{
	struct encryption *e = text ? encryption_parse(r->env, sv_from(text), NULL) : NULL;

	assert_true(!text || e);
	return e;
}

static void terms_of(struct rig *r, const char *text, struct buf *b)
{
	struct encryption *e = parsed(r, text);

	encryption_terms(e, SV("word"), b);
	encryption_free(e);
}

/* words NULL: they go together. */
static void pair(struct rig *r, const char *ours, const char *theirs, const char *words)
{
	_cleanup_(buf_release) struct buf x = BUF_INIT, y = BUF_INIT;
	struct err err = ERR_INIT;
	int rc;

	terms_of(r, ours, &x);
	terms_of(r, theirs, &y);
	rc = enc_terms_agree(buf_sv(&x), buf_sv(&y), SV("the other"), &err);
	if (words ? rc == 0 || err.reason != ERR_CONFLICT || !strstr(err_msg(&err), words) : rc < 0)
		fail_msg("%s and %s: %s", ours, theirs, rc < 0 ? err_msg(&err) : "agreed");
	err_release(&err);
}

static void who_goes_with_whom(void **state)
{
	struct rig *r = *state;
	const char *one = SECRETS(AES(K1) "," IDENTITY), *two = SECRETS(AES(K2) "," IDENTITY),
		   *behind = SECRETS(AES(K1 "," K2) "," IDENTITY), *before = SECRETS(AES(K2 "," K1) "," IDENTITY),
		   *plain = SECRETS(IDENTITY "," AES(K1));

	pair(r, NULL, NULL, NULL);
	pair(r, one, one, NULL);
	pair(r, one, two, "the other stores secrets by 'k8s:enc:aescbc:v1:key2'");
	/* Nothing is encrypted by one of them. */
	pair(r, one, NULL, "this server would store secrets by 'k8s:enc:aescbc:v1:key1'");
	pair(r, NULL, one, "the other stores secrets by 'k8s:enc:aescbc:v1:key1'");
	pair(r, SECRETS(AES(K1)), plain, "the other stores secrets by 'identity'");
	/* The steps of a rotation, one after the other on two servers. */
	pair(r, NULL, plain, NULL);
	pair(r, plain, one, NULL);
	pair(r, behind, one, NULL);
	pair(r, before, behind, NULL);
	pair(r, two, before, NULL);
	/* And one that is left out. */
	pair(r, before, one, "this server would store secrets by 'k8s:enc:aescbc:v1:key2'");
	pair(r, two, behind, "key1");
	/* The same name is not the same key. */
	pair(r, SECRETS(AES("{\"name\":\"key1\",\"secret\":\"" KEY_2 "\"}")), one, "key1");
	/* Kinds that only a pattern means, and those that come at run time. */
	pair(r, CONFIG(OF("\"*.*\"", AES(K1))), SECRETS(AES(K1)), "identity");
	pair(r, CONFIG(OF("\"things.example.com\"", AES(K1))), NULL, "things.example.com");
	pair(r, CONFIG(OF("\"*.apps\"", AES(K1) "," IDENTITY)),
	     CONFIG(OF("\"deployments.apps\"", IDENTITY "," AES(K1)) "," OF("\"*.apps\"", AES(K1) "," IDENTITY)), NULL);
}

static void nothing_shows_a_key(void **state)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	struct rig *r = *state;

	terms_of(r, SECRETS(AES(K1) "," IDENTITY), &b);
	assert_non_null(strstr(buf_cstr(&b), "[\"secrets\"]"));
	assert_non_null(strstr(buf_cstr(&b), "\"identity\""));
	assert_null(strstr(buf_cstr(&b), "AAEC"));
	assert_null(strstr(buf_cstr(&b), "000102"));
}

static void what_is_no_terms(void **state)
{
	static const char *const wrong[] = { "",
					     "{}",
					     "[1]",
					     "[{}]",
					     "[{\"resources\":[\"a\"],\"keys\":[]}]",
					     "[{\"resources\":[],\"keys\":[\"x\"]}]",
					     "[{\"resources\":[\"a\"],\"keys\":[1]}]" };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
		struct err err = ERR_INIT;

		assert_int_equal(enc_terms_agree(SV("[]"), sv_from(wrong[i]), SV("x"), &err), -1);
		assert_int_equal(err.reason, ERR_INVALID);
		err_release(&err);
	}
}

static struct encryption_agreed *comes(struct rig *r, struct encryption *e, const char *who, struct err *err)
{
	return encryption_agreed_new(
	    &(struct encryption_agreed_opts){
		.env = r->env, .store = r->store, .e = e, .who = who, .data_dir = r->dir },
	    err);
}

static void servers_of_one_store(void **state)
{
	struct rig *r = *state;
	struct encryption *one = parsed(r, SECRETS(AES(K1) "," IDENTITY)),
			  *two = parsed(r, SECRETS(AES(K2) "," IDENTITY));
	struct encryption_agreed *a = comes(r, one, "server a", NULL), *b = comes(r, one, "server b", NULL), *c;
	struct err err = ERR_INIT;

	assert_true(a && b);
	assert_null(comes(r, two, "server c", &err));
	assert_non_null(strstr(err_msg(&err), "server "));
	assert_non_null(strstr(err_msg(&err), "key1"));
	err_release(&err);
	assert_null(comes(r, NULL, "server c", NULL));
	/* Who was refused left nothing, and what left is not asked any more. */
	encryption_agreed_free(a);
	a = comes(r, one, "server a", NULL);
	assert_non_null(a);
	encryption_agreed_free(a);
	encryption_agreed_free(b);
	c = comes(r, two, "server c", NULL);
	assert_non_null(c);
	encryption_agreed_free(c);
	encryption_free(one);
	encryption_free(two);
}

/* A file that changes while a server runs. */
static void a_file_that_changes(void **state)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct rig *r = *state;
	const char *path = arena_printf(&a, "%s/config", r->dir);
	const char *behind = SECRETS(AES(K1 "," K2) "," IDENTITY), *before = SECRETS(AES(K2 "," K1) "," IDENTITY);
	struct encryption *one = parsed(r, SECRETS(AES(K1) "," IDENTITY)), *e;
	struct encryption_agreed *other, *mine;
	struct buf was = BUF_INIT, now = BUF_INIT;

	assert_int_equal(file_write(path, SV(SECRETS(AES(K1) "," IDENTITY)), 0600, NULL), 0);
	e = encryption_read(r->env, path, true, NULL);
	assert_non_null(e);
	other = comes(r, one, "server a", NULL);
	mine = comes(r, e, "server b", NULL);
	assert_true(other && mine);
	/* One step too many: what was there counts, and is what others hear. */
	encryption_terms(e, SV("word"), &was);
	assert_int_equal(file_write(path, sv_from(before), 0600, NULL), 0);
	encryption_poll(e);
	encryption_terms(e, SV("word"), &now);
	assert_true(sv_eq(buf_sv(&was), buf_sv(&now)));
	encryption_agreed_free(other);
	other = comes(r, one, "server a", NULL);
	assert_non_null(other);
	assert_int_equal(file_write(path, sv_from(behind), 0600, NULL), 0);
	encryption_poll(e);
	buf_clear(&now);
	encryption_terms(e, SV("word"), &now);
	assert_false(sv_eq(buf_sv(&was), buf_sv(&now)));
	encryption_agreed_free(mine);
	encryption_agreed_free(other);
	encryption_free(e);
	encryption_free(one);
	buf_release(&was);
	buf_release(&now);
}

#define RIG(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		RIG(who_goes_with_whom),   RIG(nothing_shows_a_key), RIG(what_is_no_terms),
		RIG(servers_of_one_store), RIG(a_file_that_changes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
