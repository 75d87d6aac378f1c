/* Keys that a program keeps (KMS v2): a stand-in seals by turning bits around, and can be ill, slow of mind or lie. */
#include "harness.h"

#include "apiserver/encryption/encryption.h"
#include "apiserver/encryption/kms.h"
#include "base/file.h"
#include "base/tree.h"
#include "codec/pbwire.h"
#include "store/store.h"

#include <stdio.h>
#include <unistd.h>

#define CONFIG(providers)                                                                                      \
	"{\"apiVersion\":\"apiserver.config.k8s.io/v1\",\"kind\":\"EncryptionConfiguration\",\"resources\":[{" \
	"\"resources\":[\"secrets\"],\"providers\":[" providers "]}]}"
#define KMS(name) "{\"kms\":{\"apiVersion\":\"v2\",\"name\":\"" name "\",\"endpoint\":\"unix:///nowhere\"}}"
#define KEY "/registry/secrets/default/x"

/* --- the program --- */

static struct program {
	bool gone; /* nobody answers */
	bool hangs;
	int unopened; /* so many times Decrypt is not answered */
	const char *version, *health, *key_id, *encrypt_key_id;
	const char *annotation; /* the name of one that it adds */
	size_t sealed_bytes;	/* of a seed; 0: as many as it has */
	int asked[3];		/* Status, Encrypt, Decrypt */
} program;

static void program_fresh(void)
{
	program =
	    (struct program){ .version = "v2", .health = "ok", .key_id = "key-1", .annotation = "kms.example.com" };
}

static struct sv program_turned(struct arena *a, struct sv s)
{
	char *p = arena_cstr(a, s);

	for (size_t i = 0; i < s.n; i++)
		p[i] = (char)(p[i] ^ 0x5a);
	return sv_make(p, s.n);
}

static int program_call(void *ctx, const char *method, struct sv request, struct arena *a, struct sv *ret,
			struct err *err)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	(void)ctx;
	if (program.hangs) {
		program.asked[strcmp(method, "Decrypt") == 0 ? 2 : strcmp(method, "Encrypt") == 0]++;
		return err_set(err, ERR_TIMEOUT, "deadline exceeded");
	}
	if (program.gone)
		return err_set(err, ERR_UNAVAILABLE, "nobody there");
	if (strcmp(method, "Status") == 0) {
		program.asked[0]++;
		pb_sv(&b, 1, sv_from(program.version));
		pb_sv(&b, 2, sv_from(program.health));
		pb_sv(&b, 3, sv_from(program.key_id));
	} else if (strcmp(method, "Encrypt") == 0) {
		struct sv sealed = program_turned(a, pb_get_sv(request, 1));

		program.asked[1]++;
		assert_int_equal(pb_get_sv(request, 2).n, 36);
		if (program.sealed_bytes)
			sealed = sv_make(memset(arena_alloc(a, program.sealed_bytes), 'x', program.sealed_bytes),
					 program.sealed_bytes);
		pb_sv(&b, 1, sealed);
		pb_sv(&b, 2, sv_from(program.encrypt_key_id ? program.encrypt_key_id : program.key_id));
		if (program.annotation)
			pb_map_entry(&b, 3, sv_from(program.annotation), SV("\x01\x02"));
	} else {
		program.asked[2]++;
		if (program.unopened > 0 && program.unopened--)
			return err_set(err, ERR_INTERNAL, "not now");
		if (program.annotation) {
			struct pb_field f;

			assert_true(pb_find(request, 4, &f));
			assert_sv(pb_get_sv(f.bytes, 1), program.annotation);
		}
		pb_sv(&b, 1, program_turned(a, pb_get_sv(request, 1)));
	}
	*ret = arena_sv(a, buf_sv(&b));
	return 0;
}

static struct encryption *parsed(struct rig *r, const char *text)
{
	struct err err = ERR_INIT;
	struct encryption *e;

	encryption_ask_by(program_call, NULL);
	e = encryption_parse(r->env, sv_from(text), &err);
	if (!e)
		fail_msg("%s: %s", text, err_msg(&err));
	return e;
}

/* --- values --- */

struct got {
	struct buf b;
	char *why;
	enum err_reason reason;
	int n;
};

static void keep(struct sv value, const struct err *err, void *ctx)
{
	struct got *g = ctx;

	g->n++;
	if (err)
		g->why = xstrdup(err_msg(err)), g->reason = err->reason;
	else
		buf_addsv(&g->b, value);
}

static void got_release(struct got *g)
{
	buf_release(&g->b);
	free(g->why);
}

static struct got seal(struct encryption *e, const char *text)
{
	struct store_transform *t = encryption_transform(e);
	struct got g = { 0 };

	t->in(t, SV(KEY), sv_from(text), keep, &g);
	assert_int_equal(g.n, 1);
	return g;
}

static struct got open_as(struct rig *r, struct encryption *e, const char *key, struct sv sealed)
{
	struct store_transform *t = encryption_transform(e);
	struct got g = { 0 };

	t->out(t, sv_from(key), sealed, keep, &g);
	if (!g.n)
		rig_run(r, NS_PER_SEC);
	assert_int_equal(g.n, 1);
	return g;
}

static void opens(struct rig *r, struct encryption *e, const struct got *sealed, const char *text)
{
	struct got g = open_as(r, e, KEY, buf_sv(&sealed->b));

	if (g.why)
		fail_msg("%s", g.why);
	assert_sv(buf_sv(&g.b), text);
	got_release(&g);
}

static void test_there_and_back(void **state)
{
	struct rig *r = *state;
	struct encryption *e;
	struct got one, two, g;

	program_fresh();
	e = parsed(r, CONFIG(KMS("mine")));
	assert_int_equal(program.asked[1], 1);
	one = seal(e, "a secret");
	two = seal(e, "a secret");
	assert_true(sv_starts(buf_sv(&one.b), SV("k8s:enc:kms:v2:mine:")));
	assert_true(sv_find_sv(buf_sv(&one.b), SV("a secret")) < 0);
	assert_false(sv_eq(buf_sv(&one.b), buf_sv(&two.b))); /* each has a key of its own */
	assert_int_equal(program.asked[1], 1);
	opens(r, e, &one, "a secret");
	assert_int_equal(program.asked[2], 0); /* its own seed is known */
	assert_false(encryption_stale_value(e, SV(KEY), buf_sv(&one.b)));
	g = open_as(r, e, "/registry/secrets/default/y", buf_sv(&one.b)); /* a value is bound to its key */
	assert_non_null(g.why);
	got_release(&g);
	encryption_free(e);
	/* Another server asks for the seed, once. */
	e = parsed(r, CONFIG(KMS("mine")));
	opens(r, e, &one, "a secret");
	opens(r, e, &two, "a secret");
	assert_int_equal(program.asked[2], 1);
	encryption_free(e);
	got_release(&one);
	got_release(&two);
}

/* Who has the key does not answer: that is told from a wrong value, and is not asked for each value again. */
static void test_unanswered(void **state)
{
	static const char why[] = "failed to decrypt DEK source: KMS provider mine does not answer at unix:///nowhere, "
				  "start it or look at its log: not now";
	struct rig *r = *state;
	struct encryption *e;
	struct got sealed;

	program_fresh();
	e = parsed(r, CONFIG(KMS("mine")));
	sealed = seal(e, "a secret");
	encryption_free(e);
	e = parsed(r, CONFIG(KMS("mine")));
	program.unopened = 2;
	for (int i = 0; i < 5; i++) {
		struct got g = { 0 };
		struct store_transform *t = encryption_transform(e);

		t->out(t, SV(KEY), buf_sv(&sealed.b), keep, &g);
		rig_run(r, NS_PER_MS);
		assert_int_equal(g.n, 1);
		assert_string_equal(g.why, why);
		assert_int_equal(g.reason, ERR_UNAVAILABLE);
		assert_int_equal(program.asked[2], 1);
		got_release(&g);
	}
	rig_run(r, NS_PER_SEC);
	{
		struct got g = open_as(r, e, KEY, buf_sv(&sealed.b));

		assert_string_equal(g.why, why);
		assert_int_equal(program.asked[2], 2);
		got_release(&g);
	}
	encryption_poll(e); /* it says that it is well */
	opens(r, e, &sealed, "a secret");
	sealed.b.p[strlen("k8s:enc:kms:v2:mine:") + 40] ^= 1; /* of the text: that is wrong, whoever answers */
	{
		struct got g = open_as(r, e, KEY, buf_sv(&sealed.b));

		assert_non_null(g.why);
		assert_int_not_equal(g.reason, ERR_UNAVAILABLE);
		got_release(&g);
	}
	encryption_free(e);
	got_release(&sealed);
}

/* What is not what was sealed is refused, whatever of it was changed. */
static void test_tampered(void **state)
{
	struct rig *r = *state;
	struct encryption *e;
	struct got sealed;
	size_t prefix = strlen("k8s:enc:kms:v2:mine:");

	program_fresh();
	e = parsed(r, CONFIG(KMS("mine")));
	sealed = seal(e, "a secret");
	for (size_t i = prefix; i < sealed.b.n; i++) {
		struct got g;

		sealed.b.p[i] = (char)(sealed.b.p[i] ^ 1);
		program.annotation = NULL; /* the program takes anything */
		g = open_as(r, e, KEY, buf_sv(&sealed.b));
		/* Of the head some is the program's alone: whatever it makes of that, another text does not come out.
		 */
		if (!g.why)
			assert_sv(buf_sv(&g.b), "a secret");
		got_release(&g);
		sealed.b.p[i] = (char)(sealed.b.p[i] ^ 1);
	}
	for (size_t n = prefix; n < sealed.b.n; n++) {
		struct got g = open_as(r, e, KEY, sv_sub(buf_sv(&sealed.b), 0, n));

		if (!g.why)
			assert_sv(buf_sv(&g.b), "a secret");
		got_release(&g);
	}
	encryption_free(e);
	got_release(&sealed);
}

static void test_rotation(void **state)
{
	struct rig *r = *state;
	struct encryption *e;
	struct got old, now;

	program_fresh();
	e = parsed(r, CONFIG(KMS("mine")));
	old = seal(e, "old");
	encryption_poll(e);
	assert_int_equal(program.asked[1], 1); /* the same key: the same seed */
	program.key_id = "key-2";
	encryption_poll(e);
	assert_int_equal(program.asked[1], 2);
	assert_true(encryption_stale_value(e, SV(KEY), buf_sv(&old.b))); /* also what was not read since */
	assert_false(encryption_stale_value(e, SV("/registry/configmaps/default/x"), buf_sv(&old.b)));
	opens(r, e, &old, "old");
	now = seal(e, "new");
	assert_true(encryption_stale_value(e, SV(KEY), buf_sv(&old.b))); /* made, and not stored */
	assert_false(encryption_stale_value(e, SV(KEY), buf_sv(&now.b)));
	assert_true(encryption_stale_value(e, SV(KEY), sv_sub(buf_sv(&now.b), 0, now.b.n - 1)));
	opens(r, e, &now, "new");
	assert_int_equal(program.asked[2], 0); /* nobody was asked for it */
	encryption_free(e);
	got_release(&old);
	got_release(&now);
}

/* All that waits for others hangs: a program is asked for its keys all the same. */
static void test_slow_work_hangs(void **state)
{
	struct rig *r = *state;
	struct encryption *e;
	struct got sealed;

	program_fresh();
	e = parsed(r, CONFIG(KMS("mine")));
	sealed = seal(e, "a secret");
	encryption_free(e);
	e = parsed(r, CONFIG(KMS("mine")));
	env_sim_hold(r->env, ENV_SLOW);
	opens(r, e, &sealed, "a secret");
	env_sim_release(r->env, ENV_SLOW);
	assert_int_equal(program.asked[2], 1);
	encryption_free(e);
	got_release(&sealed);
}

/* Nothing is sealed by what the program does not stand by; what can be read stays readable. */
static void test_ill(void **state)
{
	static const struct {
		struct program p;
		const char *why;
	} table[] = {
		{ { .gone = true }, "failed to perform status section" },
		{ { .version = "v2", .health = "tired", .key_id = "k" }, "got unexpected healthz status: tired" },
		{ { .version = "v1", .health = "ok", .key_id = "k" }, "expected KMSv2 API version v2, got v1" },
		{ { .version = "v2", .health = "ok", .key_id = "" }, "keyID is empty" },
		{ { .version = "v2", .health = "ok", .key_id = "k", .encrypt_key_id = "other" },
		  "failed to rotate DEK" },
		{ { .version = "v2", .health = "ok", .key_id = "k", .sealed_bytes = 1025 }, "1025 bytes" },
		{ { .version = "v2", .health = "ok", .key_id = "k", .annotation = "no-domain" }, "at least two" },
	};
	struct rig *r = *state;

	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		struct encryption *e;
		struct err why = ERR_INIT;
		const char *name;
		struct got g;
		bool well;

		program = table[i].p;
		e = parsed(r, CONFIG(KMS("mine")));
		assert_true(encryption_check(e, 0, &name, &well, &why));
		assert_string_equal(name, "kms-provider-0");
		assert_false(well);
		if (!strstr(err_msg(&why), table[i].why))
			fail_msg("%s: not %s", err_msg(&why), table[i].why);
		err_release(&why);
		assert_false(encryption_check(e, 1, &name, &well, &why));
		g = seal(e, "a secret");
		assert_non_null(g.why);
		assert_non_null(strstr(g.why, "has never been well"));
		got_release(&g);
		/* And then it is. */
		program_fresh();
		encryption_poll(e);
		assert_true(encryption_check(e, 0, &name, &well, &why));
		assert_true(well);
		g = seal(e, "a secret");
		assert_null(g.why);
		got_release(&g);
		encryption_free(e);
	}
}

static void test_gone_for_long(void **state)
{
	struct rig *r = *state;
	struct encryption *e;
	struct got was, g;

	program_fresh();
	e = parsed(r, CONFIG(KMS("mine")));
	was = seal(e, "a secret");
	program.gone = true;
	rig_run(r, 60 * NS_PER_SEC);
	encryption_poll(e);
	g = seal(e, "still");
	assert_null(g.why);
	got_release(&g);
	rig_run(r, 180 * NS_PER_SEC);
	encryption_poll(e);
	g = seal(e, "no more");
	assert_non_null(strstr(g.why, "three minutes"));
	got_release(&g);
	opens(r, e, &was, "a secret");
	encryption_free(e);
	got_release(&was);
}

/* A program that never answers costs one timeout, not one for each value that there is. */
static void test_hangs(void **state)
{
	struct rig *r = *state;
	struct encryption *e;
	struct got was, g, all[5] = { 0 };
	struct store_transform *t;

	program_fresh();
	e = parsed(r, CONFIG(KMS("mine")));
	was = seal(e, "a secret");
	encryption_free(e);
	e = parsed(r, CONFIG(KMS("mine")));
	t = encryption_transform(e);
	program.hangs = true;
	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		t->out(t, SV(KEY), buf_sv(&was.b), keep, &all[i]);
	rig_run(r, NS_PER_SEC / 2);
	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		assert_int_equal(all[i].n, 1);
		assert_non_null(strstr(all[i].why, "failed to decrypt DEK source"));
		got_release(&all[i]);
	}
	assert_int_equal(program.asked[2], 1);
	/* A second later it may be asked again, and as soon as it is well. */
	rig_run(r, NS_PER_SEC);
	g = open_as(r, e, KEY, buf_sv(&was.b));
	got_release(&g);
	assert_int_equal(program.asked[2], 2);
	program.hangs = false;
	encryption_poll(e);
	opens(r, e, &was, "a secret");
	encryption_free(e);
	got_release(&was);
}

static void test_the_file(void **state)
{
#define ODD(members) CONFIG("{\"kms\":{" members "}}")
	static const struct {
		const char *text, *why;
	} table[] = {
		{ ODD("\"apiVersion\":\"v1\",\"name\":\"a\",\"endpoint\":\"unix:///a\""), "KMSv1 is deprecated" },
		{ ODD("\"name\":\"a\",\"endpoint\":\"unix:///a\""), "KMSv1 is deprecated" },
		{ ODD("\"apiVersion\":\"v3\",\"name\":\"a\""), "unsupported apiVersion v3" },
		{ ODD("\"apiVersion\":\"v2\",\"endpoint\":\"unix:///a\""), "name is a required field" },
		{ ODD("\"apiVersion\":\"v2\",\"name\":\"a:b\",\"endpoint\":\"unix:///a\""), "should not contain ':'" },
		{ ODD("\"apiVersion\":\"v2\",\"name\":\"a\""), "endpoint is a required field" },
		{ ODD("\"apiVersion\":\"v2\",\"name\":\"a\",\"endpoint\":\"http://a\""), "only unix is supported" },
		{ ODD("\"apiVersion\":\"v2\",\"name\":\"a\",\"endpoint\":\"unix:///a\",\"cachesize\":1"),
		  "not supported" },
		{ ODD("\"apiVersion\":\"v2\",\"name\":\"a\",\"endpoint\":\"unix:///a\",\"timeout\":\"-1s\""),
		  "positive" },
		{ ODD("\"apiVersion\":\"v2\",\"name\":\"a\",\"endpoint\":\"unix:///a\",\"x\":1"), "unknown field" },
		{ CONFIG(KMS("a") "," KMS("a")), "must be unique" },
	};
	struct rig *r = *state;

	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		struct err err = ERR_INIT;

		assert_null(encryption_parse(r->env, sv_from(table[i].text), &err));
		if (!strstr(err_msg(&err), table[i].why))
			fail_msg("%s: %s", table[i].text, err_msg(&err));
		err_release(&err);
	}
}

static void write_file(const char *path, const char *text)
{
	assert_int_equal(file_write_again(path, sv_from(text), 0600, NULL), 0);
}

#define AES(name, key) "{\"aesgcm\":{\"keys\":[{\"name\":\"" name "\",\"secret\":\"" key "\"}]}}"
#define KEY_A "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
#define KEY_B "HxweHRobGBkWFxQVEhMQEQ4PDA0KCwgJBgcEBQIDAAE="

/* A changed file counts; a wrong one does not, nor one whose program is ill. */
static void test_reload(void **state)
{
	struct rig *r = *state;
	char path[] = "/tmp/caravel-enc-XXXXXX";
	struct err err = ERR_INIT;
	struct encryption *e;
	struct got a, b, c;
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	close(fd);
	program_fresh();
	encryption_ask_by(program_call, NULL);
	write_file(path, CONFIG(AES("a", KEY_A)));
	e = encryption_read(r->env, path, true, &err);
	assert_non_null(e);
	a = seal(e, "text");
	write_file(path, "{}");
	encryption_poll(e);
	opens(r, e, &a, "text");
	write_file(path, CONFIG(AES("b", KEY_B) "," AES("a", KEY_A)));
	encryption_poll(e);
	opens(r, e, &a, "text");
	assert_true(encryption_stale_value(e, SV(KEY), buf_sv(&a.b)));
	b = seal(e, "text");
	assert_true(sv_starts(buf_sv(&b.b), SV("k8s:enc:aesgcm:v1:b:")));
	program.gone = true;
	write_file(path, CONFIG(KMS("mine") "," AES("b", KEY_B)));
	encryption_poll(e);
	c = seal(e, "text");
	assert_true(sv_starts(buf_sv(&c.b), SV("k8s:enc:aesgcm:v1:b:")));
	got_release(&c);
	program_fresh();
	encryption_poll(e);
	c = seal(e, "text");
	assert_true(sv_starts(buf_sv(&c.b), SV("k8s:enc:kms:v2:mine:")));
	opens(r, e, &b, "text");
	assert_true(encryption_stale_value(e, SV(KEY), buf_sv(&b.b)));
	assert_false(encryption_stale_value(e, SV(KEY), buf_sv(&c.b)));
	encryption_free(e);
	(void)unlink(path);
	got_release(&a);
	got_release(&b);
	got_release(&c);
}

/* A whole server on it: what is written is sealed, health says how the program is. */
static void test_a_server(void **state)
{
	struct rig *r = *state;
	struct err err = ERR_INIT;
	struct answer *a;

	program_fresh();
	r->encryption = parsed(r, CONFIG(KMS("mine")));
	rig_restart(r);
	a = api(r, "GET", "/livez?verbose");
	assert_true(sv_find_sv(buf_sv(&a->body), SV("[+]kms-provider-0 ok\n")) >= 0);
	answer_free(a);
	program.gone = true;
	encryption_poll(r->encryption);
	a = api(r, "GET", "/livez");
	assert_int_equal(a->code, 500);
	assert_true(sv_find_sv(buf_sv(&a->body), SV("[-]kms-provider-0 failed: reason withheld\n")) >= 0);
	answer_free(a);
	a = api(r, "GET", "/livez?exclude=kms-provider-0");
	assert_int_equal(a->code, 200);
	answer_free(a);
	a = api(r, "GET", "/readyz/kms-provider-0");
	assert_true(sv_find_sv(buf_sv(&a->body), SV("nobody there")) >= 0);
	answer_free(a);
	a = api(r, "GET", "/metrics");
	assert_true(sv_find_sv(buf_sv(&a->body),
			       SV("apiserver_envelope_encryption_kms_operations_latency_seconds_count{grpc_status_code="
				  "\"Unavailable\",method_name=\"Status\",provider_name=\"mine\"} 1\n")) >= 0);
	answer_free(a);
	err_release(&err);
}

static int teardown(void **state)
{
	struct rig *r = *state;
	struct encryption *e = r->encryption;
	struct env *env = r->env;
	int rc;

	(void)env;
	if (!e)
		return rig_teardown(state);
	r->encryption = NULL;
	rig_restart(r);
	encryption_free(e);
	rc = rig_teardown(state);
	return rc;
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, rig_setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_slow_work_hangs), T(test_there_and_back), T(test_unanswered),
		T(test_tampered),	 T(test_rotation),	 T(test_ill),
		T(test_gone_for_long),	 T(test_hangs),		 T(test_the_file),
		T(test_reload),		 T(test_a_server),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
