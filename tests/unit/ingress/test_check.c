/* What a text may be, and the table of annotations: refusals first. */
#include "ingress_kit.h"

#include "ingress/annotations.h"
#include "ingress/check.h"
#include "ingress/model.h"

static void test_hosts(_unused_ void **state)
{
	static const char *const bad[] = { "",	    "*",    "*.",   "a..b",  ".a",   "a.",    "A.b",
					   "a b",   "a\nb", "a/b",  "-a.b",  "a-.b", "a.*.b", "**.a.b",
					   "a_b.c", "a;b",  "a:80", "a'b.c", "$a.b", "%[x]",  "\xc3\xa9.b" };
	static const char *const good[] = { "a", "a.b", "*.a.b", "x-1.example", "1.2.3" };

	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		if (ing_is_host(sv_from(bad[i])))
			fail_msg("'%s' is no host", bad[i]);
	for (size_t i = 0; i < ARRAY_LEN(good); i++)
		assert_true(ing_is_host(sv_from(good[i])));
	assert_false(ing_is_host(sv_make("a\0b", 3)));
}

static void test_values(_unused_ void **state)
{
	static const char *const values[] = { "", " a", "a ", "a\nb", "a\rb", "a\tb", "\x7f", "\xc3\xa9" };
	static const char *const tokens[] = { "",   "a b", "a:b", "a(b",  "a)",	 "a,b",	    "a.b",
					      "a'", "a\"", "a\n", "%[x]", "a;b", "\xc3\xa9" };
	static const char *const urls[] = { "",	   "x",	   "ftp://a", "javascript:x", "/a b",  "/a\"",
					    "/a'", "/%zz", "/%",      "/a\\b",	      "/a{b}", "/a\nb" };

	for (size_t i = 0; i < ARRAY_LEN(values); i++)
		assert_false(ing_is_value(sv_from(values[i])));
	for (size_t i = 0; i < ARRAY_LEN(tokens); i++)
		assert_false(ing_is_token(sv_from(tokens[i])));
	for (size_t i = 0; i < ARRAY_LEN(urls); i++)
		assert_false(ing_is_url(sv_from(urls[i])));
	assert_false(ing_is_token(sv_make("a\0", 2)));
	assert_true(ing_is_value(SV("it's \"fine\" %[src] ${HOME}; <<")));
	assert_true(ing_is_token(SV("X-Canary_1")));
	assert_true(ing_is_user(SV("ann.b@example-1")));
	assert_false(ing_is_user(SV("a:b")));
	assert_true(ing_is_url(SV("https://a.example/x?y=%20#z")));
}

static void test_hashes(_unused_ void **state)
{
	static const char *const bad[] = { "",
					   "secret",
					   "{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=",
					   "$apr1$a'c$abcdefghijklmnopqrstuv",
					   "$1$ab'c$abcdefghijklmnopqrstuv",
					   "$6$rounds=999999999$abc$x",
					   "$2y$31$aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
					   "$2y$05$aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa'",
					   "$1$abc$abcdefghijklmnopqrst\nv" };

	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_non_null(ing_hash_refused(sv_from(bad[i])));
	assert_null(ing_hash_refused(SV("$apr1$abc$abcdefghijklmnopqrstuv")));
	assert_null(ing_hash_refused(SV("$1$abc$abcdefghijklmnopqrstuv")));
	assert_null(ing_hash_refused(SV("$2y$05$aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa")));
}

static void test_paths(_unused_ void **state)
{
	static const struct {
		const char *in, *out;
	} rows[] = {
		{ "/", "/" },		{ "/a b\"'", "/a%20b%22'" }, { "/%2f%41%7e", "/%2FA~" },
		{ "/100%", "/100%25" }, { "/\xc3\xa9", "/%C3%A9" },  { "/x;show info", "/x;show%20info" },
		{ "/x#?", "/x%23%3F" }, { "/%00", "/%00" },
	};
	static const char *const bad[] = { "", "x", "*", "/a\nb", "/a\r", "/\x7f" };
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct sv got;

	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_false(ing_path(&a, sv_from(bad[i]), &got));
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		assert_true(ing_path(&a, sv_from(rows[i].in), &got));
		assert_sv(got, rows[i].out);
	}
	assert_false(ing_path(&a, sv_make("/a\0b", 4), &got));
}

static void count(void *ctx, _unused_ struct sv name, _unused_ const char *why)
{
	++*(int *)ctx;
}

static int read_one(struct kit *k, const char *name, const char *value, struct ing_annotations *n)
{
	struct val *doc = val_new_map(&k->a), *meta = val_new_map(&k->a), *map = val_new_map(&k->a);
	int said = 0;

	val_set_str_sv(&k->a, map, sv_from(name), sv_from(value));
	val_set(&k->a, meta, F_annotations, map);
	val_set(&k->a, doc, F_metadata, meta);
	ing_annotations_read(&k->a, doc, n, count, &said);
	return said;
}

static void test_annotations(_unused_ void **state)
{
	static const char *const bad[][2] = {
		{ "canary", "yes" },
		{ "canary-weight", "-1" },
		{ "canary-weight", "5%" },
		{ "canary-by-header", "a b" },
		{ "permanent-redirect", "x" },
		{ "permanent-redirect-code", "200" },
		{ "app-root", "app" },
		{ "upstream-vhost", "a b" },
		{ "upstream-vhost", "*.a" },
		{ "proxy-body-size", "1x" },
		{ "proxy-body-size", "99999999999g" },
		{ "proxy-body-size", "-1" },
		{ "proxy-read-timeout", "0" },
		{ "proxy-connect-timeout", "76" },
		{ "backend-protocol", "AJP" },
		{ "limit-rps", "many" },
		{ "affinity", "ip" },
		{ "session-cookie-name", "a;b" },
		{ "enable-cors", "1" },
		{ "cors-max-age", "x" },
		{ "configuration-snippet", "x" },
		{ "use-regex", "true" },
		{ "server-snippet", "" },
	};
	static const char *const closing[][2] = {
		{ "auth-type", "digest" },	  { "whitelist-source-range", "10.0.0.0/33" },
		{ "whitelist-source-range", "" }, { "whitelist-source-range", "10.0.0.0/8 x" },
		{ "denylist-source-range", "a" }, { "auth-secret", "a\nb" },
		{ "auth-url", "http://x" },	  { "auth-tls-secret", "d/ca" }
	};
	struct kit k = { .m = { 0 } };
	struct ing_annotations n;

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		int said = read_one(&k, arena_printf(&k.a, KIT_N "%s", bad[i][0]), bad[i][1], &n);

		if (said != 1 || n.refused)
			fail_msg("%s: '%s' is told and has no effect", bad[i][0], bad[i][1]);
	}
	for (size_t i = 0; i < ARRAY_LEN(closing); i++) {
		assert_int_equal(read_one(&k, arena_printf(&k.a, KIT_N "%s", closing[i][0]), closing[i][1], &n), 1);
		assert_true(n.refused);
	}
	assert_int_equal(read_one(&k, "other.example/x", "y", &n), 0);
	assert_int_equal(read_one(&k, KIT_N "proxy-body-size", "8m", &n), 0);
	assert_int_equal(n.body_max, 8 << 20);
	assert_int_equal(read_one(&k, KIT_N "proxy-read-timeout", "90s", &n), 0);
	assert_int_equal(n.read_s, 90);
	assert_int_equal(read_one(&k, KIT_N "whitelist-source-range", "10.0.0.0/8, fd00::/8", &n), 0);
	assert_int_equal(n.allow.n, 2);
	assert_int_equal(read_one(&k, "haproxy.org/auth-type", "basic-auth", &n), 0);
	assert_int_equal(n.auth_basic, 1);
	kit_release(&k);
}

static void test_rewrites(_unused_ void **state)
{
	static const char *const bad[][2] = {
		{ "/a", "/$1" },
		{ "/a(/|$)(.*)", "/$1" },
		{ "/a(/|$)(.*)", "/$2/x" },
		{ "/a/(b|c)", "/$1" },
		{ "/(a+)+(/|$)(.*)", "/$2" },
		{ "/a", "x" },
		{ "/a", "/x?y" },
		{ "/a", "/x\n" },
		{ "/[a]", "/" },
		{ "/a(/|$)(.*)", "$2" },
	};
	static const struct {
		const char *path, *target, *left, *to;
		size_t cut;
	} rows[] = {
		{ "/a", "/", "/a", "/", SIZE_MAX },
		{ "/a(/|$)(.*)", "/$2", "/a", "/", 3 },
		{ "/(.*)", "/x/$1", "", "/x/", 1 },
		{ "/a/(.*)", "/", "/a", "/", SIZE_MAX },
	};
	struct sv path, to;
	size_t cut;

	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		if (!ing_rewrite_read(sv_from(bad[i][0]), sv_from(bad[i][1]), &path, &to, &cut))
			fail_msg("'%s' to '%s' is not understood", bad[i][0], bad[i][1]);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		assert_null(ing_rewrite_read(sv_from(rows[i].path), sv_from(rows[i].target), &path, &to, &cut));
		assert_sv(path, rows[i].left);
		assert_sv(to, rows[i].to);
		assert_int_equal(cut, rows[i].cut);
	}
}

/* Asked where it is written, whoever judged it before. */
static void test_places(_unused_ void **state)
{
	static const struct {
		enum ing_place place;
		const char *fine, *bad[6];
	} cases[] = {
		{ ING_PLACE_KEY, "e80|*|a.org/%20|", { "", "a b", "a\nb", "a\t", "\x7f", "\xc3\xa4" } },
		{ ING_PLACE_VALUE, "b:b1=1 x:%\"'", { "", " a", "a ", "a\nb", "a\rb", "a\x01" } },
		{ ING_PLACE_HOST, "*.a.org", { "", "!a.org", "a.org b.org", "a.org\nx.pem", "[alpn h2]", "A.org" } },
		{ ING_PLACE_NAME, "X-a_1", { "", "a b", "a:b", "a}", "a\n", "a%" } },
		{ ING_PLACE_HEADER, "X-a_1", { "", "a b", "a%", "Connection", "hOST", "a\n" } },
		{ ING_PLACE_USER, "a.b@c", { "", "a b", "a\n", "a'", "a\"", "a#" } },
		{ ING_PLACE_HASH,
		  "$1$abc$abcdefghijklmnopqrstuv",
		  { "", "x", "$1$abc$abcdefghijklmnopqrstu'", "$1$abc$abcdefghijklmnopqrstuv'", "$1$a\n", "$9$a$b" } },
		{ ING_PLACE_SERVER, "a.org", { "", "*.a.org", "a b", "a)", "a\n", "a,b" } },
		{ ING_PLACE_PEM,
		  "-----BEGIN A-----\nx\n",
		  { "", "a", "a\n\nb\n", "\n", "a\n ;show info\n", "a\n\r\nb\n" } },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		if (!ing_may_write(cases[i].place, sv_from(cases[i].fine)))
			fail_msg("%zu: %s", i, cases[i].fine);
		for (size_t k = 0; k < ARRAY_LEN(cases[i].bad); k++)
			if (ing_may_write(cases[i].place, sv_from(cases[i].bad[k])))
				fail_msg("%zu: %s", i, cases[i].bad[k]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_places),	 cmocka_unit_test(test_hosts), cmocka_unit_test(test_values),
		cmocka_unit_test(test_hashes),	 cmocka_unit_test(test_paths), cmocka_unit_test(test_annotations),
		cmocka_unit_test(test_rewrites),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
