/* Values that are stored encrypted: what the file may say, that what is stored shows nothing, and who can read it. */
#include "harness.h"

#include "apiserver/encryption/encryption.h"
#include "base/file.h"
#include "store/store.h"

#include <unistd.h>

#define KEY_A "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
#define KEY_B "HxweHRobGBkWFxQVEhMQEQ4PDA0KCwgJBgcEBQIDAAE="
#define SECRETS "/api/v1/namespaces/default/secrets"
#define STORED "/registry/secrets/default/x"

#define CONFIG(resources, providers)                                                                           \
	"{\"apiVersion\":\"apiserver.config.k8s.io/v1\",\"kind\":\"EncryptionConfiguration\",\"resources\":[{" \
	"\"resources\":[" resources "],\"providers\":[" providers "]}]}"
#define ONE(cipher, name, key) "{\"" cipher "\":{\"keys\":[{\"name\":\"" name "\",\"secret\":\"" key "\"}]}}"
#define IDENTITY "{\"identity\":{}}"

static struct encryption *parsed(struct rig *r, const char *text)
{
	struct err err = ERR_INIT;
	struct encryption *e = encryption_parse(r->env, sv_from(text), &err);

	if (!e)
		fail_msg("%s: %s", text, err_msg(&err));
	return e;
}

/* --- the file --- */

static void refusals_name_the_place_and_no_key(void **state)
{
	static const struct {
		const char *text, *why;
	} table[] = {
		{ "{}", "it is no EncryptionConfiguration" },
		{ CONFIG("", IDENTITY), "resources[0].resources: Required value" },
		{ CONFIG("\"secrets\"", ""), "resources[0].providers: Required value" },
		{ CONFIG("\"secrets\"", "{}"), "does not contain any of the expected providers" },
		{ CONFIG("\"secrets\"", "{\"identity\":{},\"aesgcm\":{}}"), "more than one provider specified" },
		{ CONFIG("\"secrets\"", "{\"kms\":{\"apiVersion\":\"v1\"}}"),
		  "resources[0].providers[0].kms.apiVersion" },
		{ CONFIG("\"secrets\"", "{\"aescbc\":{\"keys\":[]}}"), "at least one keys is required" },
		{ CONFIG("\"secrets\"", ONE("aescbc", "", KEY_A)), "keys[0].name: Required value" },
		{ CONFIG("\"secrets\"", ONE("aescbc", "a", "c2hvcnQ=")), "got 5, expected one of [16 24 32]" },
		{ CONFIG("\"secrets\"", ONE("secretbox", "a", "AAECAwQFBgcICQoLDA0ODw==")), "expected one of [32]" },
		{ CONFIG("\"secrets\"", ONE("aescbc", "a", "no base64!")), "secrets must be base64 encoded" },
		{ CONFIG("\"secrets\"", ONE("aescbc", "a:b", KEY_A)), "keys[0].name: Invalid value" },
		{ CONFIG("\"Secrets\"", IDENTITY), "should not contain capital letters" },
		{ CONFIG("\"*\"", IDENTITY), "use '*.' to encrypt" },
		{ CONFIG("\"secrets.*\"", IDENTITY), "across groups" },
		{ CONFIG("\"secrets\",\"secrets\"", IDENTITY), "specified multiple times" },
		{ CONFIG("\"secrets\",\"*.\"", IDENTITY), "overlapping resources" },
		{ CONFIG("\"secrets\",\"*.*\"", IDENTITY), "overlapping resources" },
		{ CONFIG("\"events.events.k8s.io\"", IDENTITY), "Use 'events' instead" },
		{ CONFIG("\"secrets\"", "{\"aescbc\":{\"keys\":[{\"name\":\"a\",\"secret\":\"" KEY_A "\",\"x\":1}]}}"),
		  "unknown field" },
	};
	struct rig *r = *state;

	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		struct err err = ERR_INIT;

		assert_null(encryption_parse(r->env, sv_from(table[i].text), &err));
		if (!strstr(err_msg(&err), table[i].why) || strstr(err_msg(&err), "no base64!") ||
		    strstr(err_msg(&err), KEY_A))
			fail_msg("%s: %s", table[i].text, err_msg(&err));
		err_release(&err);
	}
}

/* --- values --- */

struct got {
	struct buf b;
	bool failed, done;
};

static void keep(struct sv value, const struct err *err, void *ctx)
{
	struct got *g = ctx;

	g->done = true;
	g->failed = err != NULL;
	buf_clear(&g->b);
	if (!err)
		buf_addsv(&g->b, value);
}

static void pass(struct encryption *e, bool in, const char *key, struct sv value, struct got *g)
{
	struct store_transform *t = encryption_transform(e);

	g->done = false;
	(in ? t->in : t->out)(t, sv_from(key), value, keep, g);
	assert_true(g->done);
}

static const char *const ciphers[] = { "aesgcm", "aescbc", "secretbox" };

static struct encryption *with(struct rig *r, const char *cipher)
{
	return parsed(r, arena_printf(&r->arena,
				      CONFIG("\"secrets\"", "{\"%s\":{\"keys\":[{\"name\":\"k\",\"secret\":"
							    "\"" KEY_A "\"}]}}"),
				      cipher));
}

/* Of all lengths; each time other bytes; what was changed anywhere is not read as what it was. */
static void there_and_back(void **state)
{
	struct rig *r = *state;

	for (size_t c = 0; c < ARRAY_LEN(ciphers); c++) {
		struct encryption *e = with(r, ciphers[c]);
		struct got sealed = { 0 }, again = { 0 }, plain = { 0 };
		char text[300];

		memset(text, 'q', sizeof(text));
		for (size_t n = 0; n < sizeof(text); n++) {
			struct sv value = sv_make(text, n);

			pass(e, true, STORED, value, &sealed);
			assert_false(sealed.failed);
			assert_true(sv_starts(buf_sv(&sealed.b),
					      sv_from(arena_printf(&r->arena, "k8s:enc:%s:v1:k:", ciphers[c]))));
			assert_true(n < 4 || sv_find_sv(buf_sv(&sealed.b), sv_make(text, 4)) < 0);
			pass(e, true, STORED, value, &again);
			assert_false(sv_eq(buf_sv(&sealed.b), buf_sv(&again.b)));
			pass(e, false, STORED, buf_sv(&sealed.b), &plain);
			assert_false(plain.failed);
			assert_true(sv_eq(buf_sv(&plain.b), value));
			assert_false(encryption_stale_value(e, SV(STORED), buf_sv(&sealed.b)));
			/* One bit, anywhere behind the prefix. */
			sealed.b.p[sealed.b.n - 1 - n % 12] ^= (char)(1 << n % 8);
			pass(e, false, STORED, buf_sv(&sealed.b), &plain);
			assert_true(plain.failed || !sv_eq(buf_sv(&plain.b), value));
			assert_true(plain.failed || strcmp(ciphers[c], "aescbc") == 0);
			/* And cut off. */
			pass(e, false, STORED, sv_sub(buf_sv(&sealed.b), 0, 22), &plain);
			assert_true(plain.failed);
		}
		buf_release(&sealed.b);
		buf_release(&again.b);
		buf_release(&plain.b);
		encryption_free(e);
	}
}

/* A value of one key, put under another one, is refused: who can write to the disk cannot swap Secrets. */
static void gcm_is_bound_to_its_key(void **state)
{
	struct encryption *e = with(*state, "aesgcm");
	struct got sealed = { 0 }, plain = { 0 };

	pass(e, true, STORED, SV("{}"), &sealed);
	pass(e, false, "/registry/secrets/default/y", buf_sv(&sealed.b), &plain);
	assert_true(plain.failed);
	buf_release(&sealed.b);
	buf_release(&plain.b);
	encryption_free(e);
}

/* Made by `openssl enc -aes-256-cbc`: the format is upstream's, not one of our own. */
static void reads_what_others_wrote(void **state)
{
	static const char stored[] =
	    "k8s:enc:aescbc:v1:k:\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f"
	    "\x1e\x99\xf4\x2a\x87\xdb\x9e\xf8\xab\x2a\x28\x9e\xfc\x82\x05\x8d"
	    "\x9b\x6d\xf3\xc3\xb8\x06\x15\x7e\x27\x66\x3d\x65\x91\x24\xbb\x7a";
	struct encryption *e = with(*state, "aescbc");
	struct got plain = { 0 };

	pass(e, false, STORED, sv_make(stored, sizeof(stored) - 1), &plain);
	assert_false(plain.failed);
	assert_sv(buf_sv(&plain.b), "{\"kind\":\"Secret\"}");
	buf_release(&plain.b);
	encryption_free(e);
}

static void first_entry_that_names_it_counts(void **state)
{
	static const char text[] =
	    "{\"apiVersion\":\"apiserver.config.k8s.io/v1\",\"kind\":\"EncryptionConfiguration\",\"resources\":["
	    "{\"resources\":[\"events\"],\"providers\":[" IDENTITY "]},"
	    "{\"resources\":[\"*.apps\",\"widgets.example.com\"],\"providers\":[" ONE(
		"aesgcm", "b", KEY_B) "]},"
				      "{\"resources\":[\"*.*\"],\"providers\":[" ONE("aesgcm", "a", KEY_A) "]}]}";
	static const struct {
		const char *key, *prefix;
	} table[] = {
		{ "/registry/events/default/x", "{}" },
		{ "/registry/deployments/default/x", "k8s:enc:aesgcm:v1:b:" },
		{ "/registry/example.com/widgets/default/x", "k8s:enc:aesgcm:v1:b:" },
		{ "/registry/example.com/others/default/x", "k8s:enc:aesgcm:v1:a:" },
		{ "/registry/secrets/default/x", "k8s:enc:aesgcm:v1:a:" },
		{ "/registry/minions/x", "k8s:enc:aesgcm:v1:a:" },
		{ "/caravel/layout", "{}" },
	};
	struct encryption *e = parsed(*state, text);
	struct got g = { 0 };

	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		pass(e, true, table[i].key, SV("{}"), &g);
		if (!sv_starts(buf_sv(&g.b), sv_from(table[i].prefix)))
			fail_msg("%s: %.*s", table[i].key, 24, buf_cstr(&g.b));
	}
	buf_release(&g.b);
	encryption_free(e);
}

/* --- what is stale --- */

/* The file is read again while the server runs, with another key first: what is stored by the one before is stale, of
 * whatever resource, however the entry names it. */
static void reload_makes_all_stale(void **state)
{
	static const char *const names[] = { "widgets.example.com", "*.example.com", "*.*" };
	static const char *const keys[] = { "/registry/example.com/widgets/default/x",
					    "/registry/example.com/others/default/x" };
	struct rig *r = *state;

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		char path[] = "/tmp/caravel-enc-XXXXXX";
		const char *before = arena_printf(&r->arena, CONFIG("\"%s\"", ONE("aesgcm", "a", KEY_A)), names[i]);
		const char *after = arena_printf(
		    &r->arena, CONFIG("\"%s\"", ONE("aesgcm", "b", KEY_B) "," ONE("aesgcm", "a", KEY_A)), names[i]);
		struct got old = { 0 }, new = { 0 };
		struct err err = ERR_INIT;
		struct encryption *e;
		int fd = mkstemp(path);

		assert_true(fd >= 0);
		close(fd);
		assert_int_equal(file_write_again(path, sv_from(before), 0600, NULL), 0);
		e = encryption_read(r->env, path, true, &err);
		assert_non_null(e);
		for (size_t k = 0; k < (i == 0 ? 1 : ARRAY_LEN(keys)); k++) {
			pass(e, true, keys[k], SV("{}"), &old);
			assert_false(encryption_stale_value(e, sv_from(keys[k]), buf_sv(&old.b)));
			assert_int_equal(file_write_again(path, sv_from(after), 0600, NULL), 0);
			encryption_poll(e);
			assert_true(encryption_stale_value(e, sv_from(keys[k]), buf_sv(&old.b)));
			pass(e, true, keys[k], SV("{}"), &new);
			assert_false(encryption_stale_value(e, sv_from(keys[k]), buf_sv(&new.b)));
			/* Who has read the old one, or made a new one that was not stored, has changed nothing. */
			pass(e, false, keys[k], buf_sv(&old.b), &new);
			assert_true(encryption_stale_value(e, sv_from(keys[k]), buf_sv(&old.b)));
			assert_int_equal(file_write_again(path, sv_from(before), 0600, NULL), 0);
			encryption_poll(e);
			assert_false(encryption_stale_value(e, sv_from(keys[k]), buf_sv(&old.b)));
		}
		encryption_free(e);
		(void)unlink(path);
		buf_release(&old.b);
		buf_release(&new.b);
	}
}

/* One name, two keys: what the second one sealed is stale, although its prefix is that of the first. */
static void same_name_is_not_same_key(void **state)
{
	struct rig *r = *state;

	for (size_t c = 0; c < ARRAY_LEN(ciphers); c++) {
		struct encryption *was = with(r, ciphers[c]);
		struct encryption *e =
		    parsed(r, arena_printf(&r->arena,
					   CONFIG("\"secrets\"", "{\"%s\":{\"keys\":[{\"name\":\"k\",\"secret\":"
								 "\"" KEY_B "\"}]}},{\"%s\":{\"keys\":[{\"name\":"
								 "\"k\",\"secret\":\"" KEY_A "\"}]}}"),
					   ciphers[c], ciphers[c]));
		struct got sealed = { 0 };

		pass(was, true, STORED, SV("{\"kind\":\"Secret\"}"), &sealed);
		/* CBC takes another key's text for its own once in 256 times, by its last byte. */
		assert_true(encryption_stale_value(e, SV(STORED), buf_sv(&sealed.b)) || c == 1);
		pass(e, true, STORED, SV("{\"kind\":\"Secret\"}"), &sealed);
		assert_false(encryption_stale_value(e, SV(STORED), buf_sv(&sealed.b)));
		buf_release(&sealed.b);
		encryption_free(was);
		encryption_free(e);
	}
}

/* --- a server --- */

static struct sv raw;

static int each(const struct store_kv *kv, void *ctx)
{
	raw = arena_sv(ctx, kv->value);
	return 0;
}

static const char *on_disk(struct rig *r, struct store *inner)
{
	raw = SV("");
	assert_true(store_range(inner, SV(STORED), SV(STORED "\x01"), 0, 1, each, &r->arena, NULL, NULL) >= 0);
	return raw.n ? raw.p : "";
}

static struct {
	struct encryption *e;
	struct store_transform t;
	struct store *inner;
} now; /* the store stays, what is said of it changes */

static void now_in(struct store_transform *t, struct sv key, struct sv value, store_value_fn *done, void *ctx)
{
	struct store_transform *real = encryption_transform(now.e);

	(void)t;
	real->in(real, key, value, done, ctx);
}

static void now_out(struct store_transform *t, struct sv key, struct sv value, store_value_fn *done, void *ctx)
{
	struct store_transform *real = encryption_transform(now.e);

	(void)t;
	real->out(real, key, value, done, ctx);
}

static const char config_a[] = CONFIG("\"secrets\"", ONE("aesgcm", "a", KEY_A) "," IDENTITY);

static struct store *make_store(struct env *env)
{
	struct err err = ERR_INIT;

	now.t = (struct store_transform){ .in = now_in, .out = now_out };
	now.inner = store_mem_new(env);
	now.e = encryption_parse(env, sv_from(config_a), &err);
	assert_non_null(now.e);
	encryption_stored_in(now.e, now.inner);
	return store_transformed(now.inner, &now.t);
}

static int setup(void **state)
{
	return rig_setup_on(state, make_store);
}

static int teardown(void **state)
{
	int rc = rig_teardown(state);

	now.e = encryption_free(now.e);
	return rc;
}

static void again_with(struct rig *r, const char *config)
{
	encryption_free(now.e);
	now.e = parsed(r, config);
	encryption_stored_in(now.e, now.inner);
	r->encryption = now.e;
	rig_restart(r);
}

static void rotation_as_documented(void **state)
{
	static const char doc[] = "{\"metadata\":{\"name\":\"x\"},\"stringData\":{\"k\":\"plaintext\"}}";
	static const char both[] = CONFIG("\"secrets\"", "{\"secretbox\":{\"keys\":[{\"name\":\"b\",\"secret\":\"" KEY_B
							 "\"}]}}," ONE("aesgcm", "a", KEY_A));
	struct rig *r = *state;
	const struct val *v, *w;

	v = expect(r, 201, "POST", SECRETS, doc);
	assert_true(sv_starts(sv_from(on_disk(r, now.inner)), SV("k8s:enc:aesgcm:v1:a:")));
	assert_true(sv_find_sv(raw, SV("cGxhaW50")) < 0);
	again_with(r, both);
	assert_true(encryption_stale(now.e, SV(STORED)));
	/* What changes nothing is written nevertheless, once. */
	w = expect_type(r, 200, "PATCH", SECRETS "/x", "application/merge-patch+json", "{}");
	assert_true(rev_of(w) > rev_of(v));
	assert_true(sv_starts(sv_from(on_disk(r, now.inner)), SV("k8s:enc:secretbox:v1:b:")));
	v = expect_type(r, 200, "PATCH", SECRETS "/x", "application/merge-patch+json", "{}");
	assert_int_equal(rev_of(w), rev_of(v));
	/* The old key is not needed any more. */
	again_with(r, CONFIG("\"secrets\"", ONE("secretbox", "b", KEY_B)));
	v = expect(r, 200, "GET", SECRETS "/x", NULL);
	assert_val(val_member_sv(val_member_sv(v, SV("data")), SV("k")), "cGxhaW50ZXh0");
	assert_false(encryption_stale(now.e, SV(STORED)));
	/* And back to what is readable. */
	again_with(r, CONFIG("\"secrets\"", IDENTITY "," ONE("secretbox", "b", KEY_B)));
	expect_type(r, 200, "PATCH", SECRETS "/x", "application/merge-patch+json", "{}");
	assert_true(sv_starts(sv_from(on_disk(r, now.inner)), SV("{")));
}

/* A write that was sealed and then lost its race: what is stored is as stale as before. And what is made, removed and
 * made again is judged by what is there. */
static void lost_races_leave_it_stale(void **state)
{
	static const char doc[] = "{\"metadata\":{\"name\":\"x\"},\"stringData\":{\"k\":\"plaintext\"}}";
	static const char both[] = CONFIG("\"secrets\"", ONE("aesgcm", "b", KEY_B) "," ONE("aesgcm", "a", KEY_A));
	struct rig *r = *state;
	struct store_write lost = { .key = SV(STORED), .value = SV("{}"), .expect_rev = 1 };
	struct err err = ERR_INIT;
	const struct val *v, *w;
	struct got old = { 0 };

	v = expect(r, 201, "POST", SECRETS, doc);
	buf_addsv(&old.b, (on_disk(r, now.inner), raw));
	again_with(r, both);
	assert_int_equal(store_commit_wait(r->store, &lost, NULL, &err), 0);
	assert_true(encryption_stale(now.e, SV(STORED)));
	w = expect_type(r, 200, "PATCH", SECRETS "/x", "application/merge-patch+json", "{}");
	assert_true(rev_of(w) > rev_of(v));
	assert_true(sv_starts(sv_from(on_disk(r, now.inner)), SV("k8s:enc:aesgcm:v1:b:")));
	for (int i = 0; i < 20; i++) {
		expect(r, 200, "DELETE", SECRETS "/x", NULL);
		assert_false(encryption_stale(now.e, SV(STORED)));
		v = expect(r, 201, "POST", SECRETS, doc);
		w = expect_type(r, 200, "PATCH", SECRETS "/x", "application/merge-patch+json", "{}");
		assert_int_equal(rev_of(v), rev_of(w));
	}
	assert_false(encryption_stale_value(now.e, SV("/registry/configmaps/default/x"), buf_sv(&old.b)));
	buf_release(&old.b);
}

/* A store that cannot be asked: written once more rather than once too little. */
static void unknown_is_stale(void **state)
{
	struct encryption *e = with(*state, "aesgcm");

	assert_true(encryption_stale(e, SV(STORED)));
	assert_false(encryption_stale(e, SV("/registry/configmaps/default/x")));
	assert_false(encryption_stale(NULL, SV(STORED)));
	encryption_free(e);
}

static void without_the_key_it_is_set_aside(void **state)
{
	static const char doc[] = "{\"metadata\":{\"name\":\"x\"},\"stringData\":{\"k\":\"plaintext\"}}";
	static const char insist[] = "{\"kind\":\"DeleteOptions\",\"apiVersion\":\"v1\","
				     "\"ignoreStoreReadErrorWithClusterBreakingPotential\":true}";
	struct rig *r = *state;

	expect(r, 201, "POST", SECRETS, doc);
	again_with(r, CONFIG("\"secrets\"", ONE("aesgcm", "a", KEY_B)));
	expect_status(r, 500, "InternalError", "unable to transform key \"/registry/secrets/default/x\": ",
		      &(struct ask){ .method = "GET", .path = SECRETS "/x" });
	expect(r, 200, "GET", "/readyz", NULL);
	again_with(r, config_a); /* it was only away */
	expect(r, 200, "GET", SECRETS "/x", NULL);
	again_with(r, CONFIG("\"configmaps\"", ONE("aesgcm", "a", KEY_A))); /* named nowhere is no key, too */
	expect_status(r, 500, "InternalError", "unable to transform key \"/registry/secrets/default/x\": ",
		      &(struct ask){ .method = "GET", .path = SECRETS "/x" });
	expect(r, 200, "DELETE", SECRETS "/x", insist);
	expect(r, 404, "GET", SECRETS "/x", NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(refusals_name_the_place_and_no_key, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(there_and_back, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(gcm_is_bound_to_its_key, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(reads_what_others_wrote, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(first_entry_that_names_it_counts, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(reload_makes_all_stale, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(same_name_is_not_same_key, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(unknown_is_stale, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(lost_races_leave_it_stale, setup, teardown),
		cmocka_unit_test_setup_teardown(rotation_as_documented, setup, teardown),
		cmocka_unit_test_setup_teardown(without_the_key_it_is_set_aside, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
