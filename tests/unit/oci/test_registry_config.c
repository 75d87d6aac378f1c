/* registries.yaml, challenges, and where nobody may send us. */
#include "unit.h"

#include "base/file.h"
#include "codec/json.h"
#include "kubelet/oci/registry.h"
#include "kubelet/oci/registry_challenge.h"

#include <stdio.h>

static char dir[] = "/tmp/caravel-registries-XXXXXX";

static struct registry_config *config(const char *text, struct err *err)
{
	_cleanup_free_ char *path = xasprintf("%s/registries.yaml", dir);

	assert_int_equal(file_write(path, sv_from(text), 0600, NULL), 0);
	return registry_config_read(path, err);
}

static void test_endpoints(void **state)
{
	struct registry_config *c = config("mirrors:\n"
					   "  docker.io:\n"
					   "    endpoint: [\"https://m.example:5000\", \"http://n.example/v2/hub/\"]\n"
					   "    rewrite: { \"^library/(.*)\": \"mine/$1-x\" }\n"
					   "  \"*\":\n"
					   "    endpoint: [\"https://any.example\"]\n"
					   "configs:\n"
					   "  m.example:5000:\n"
					   "    auth: { username: u, password: p }\n"
					   "    tls: { ca_file: /ca.pem, insecure_skip_verify: true }\n"
					   "  docker.io:\n"
					   "    auth: { auth: YTpi }\n",
					   NULL);
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct val *auth = json_decode(&a, SV("{\"username\":\"pod\",\"password\":\"s\"}"), NULL, NULL);
	struct registry_endpoint *e;
	struct image_ref r;

	(void)state;
	assert_non_null(c);
	assert_int_equal(image_ref_parse(&a, SV("nginx"), &r, NULL), 0);
	assert_int_equal(registry_endpoints(c, &a, &r, auth, &e), 3);
	assert_string_equal(e[0].url, "https://m.example:5000/v2");
	assert_sv(e[0].repository, "mine/nginx-x");
	assert_sv(e[0].ns, "docker.io");
	assert_sv(e[0].username, "u"); /* the pod's are never a mirror's */
	assert_string_equal(e[0].ca_file, "/ca.pem");
	assert_true(e[0].insecure_skip_verify);
	assert_string_equal(e[1].url, "http://n.example/v2/hub");
	assert_sv(e[1].username, "");
	assert_string_equal(e[2].url, "https://registry-1.docker.io/v2");
	assert_sv(e[2].repository, "library/nginx");
	assert_sv(e[2].username, "pod");
	assert_sv(e[2].ns, "");
	assert_int_equal(registry_endpoints(c, &a, &r, NULL, &e), 3);
	assert_sv(e[2].username, "a");
	assert_sv(e[2].password, "b");
	assert_int_equal(image_ref_parse(&a, SV("localhost:5000/x"), &r, NULL), 0);
	assert_int_equal(registry_endpoints(c, &a, &r, NULL, &e), 3);
	assert_string_equal(e[0].url, "https://any.example/v2");
	assert_string_equal(e[2].url, "http://localhost:5000/v2");
	registry_config_free(c);
	c = registry_config_read("/nonexistent/registries.yaml", NULL);
	assert_non_null(c);
	assert_int_equal(image_ref_parse(&a, SV("a.example/x"), &r, NULL), 0);
	assert_int_equal(registry_endpoints(c, &a, &r, NULL, &e), 1);
	assert_string_equal(e[0].url, "https://a.example/v2");
	registry_config_free(c);
}

static void test_refused(void **state)
{
	static const char *const rows[] = { "mirrors: { a: { endpoint: [\"ftp://x\"] } }",
					    "mirrors: { a: { endpoint: [\"x.example\"] } }",
					    "mirrors: { a: { endpoint: [\"https://u:p@x\"] } }",
					    "mirrors: { a: { rewrite: { \"(\": b } } }", "mirrors: [" };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		_cleanup_(err_release) struct err err = ERR_INIT;

		if (config(rows[i], &err))
			fail_msg("'%s' was taken", rows[i]);
		assert_non_null(strstr(err_msg(&err), "registries.yaml"));
	}
}

static void test_challenges(void **state)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct registry_challenge c = { 0 };

	(void)state;
	registry_challenge_parse(&a, SV("Basic realm=\"no, not this\", bearer realm=\"https://a/t\\\"\",service=s"),
				 &c);
	assert_true(c.basic && c.bearer);
	assert_sv(c.realm, "https://a/t\"");
	assert_sv(c.service, "s");
	assert_true(registry_may_follow(SV("http://a/"), SV("https://b/")));
	assert_true(registry_may_follow(SV("http://a/"), SV("http://b/")));
	assert_false(registry_may_follow(SV("https://a/"), SV("http://b/")));
	assert_false(registry_may_follow(SV("http://a/"), SV("file:///etc/passwd")));
	assert_false(registry_may_follow(SV("http://a/"), SV("http://a@b/")));
	assert_true(registry_address_is_local(SV("169.254.169.254")));
	assert_true(registry_address_is_local(SV("::ffff:169.254.169.254")));
	assert_true(registry_address_is_local(SV("fe80::1")));
	assert_false(registry_address_is_local(SV("192.0.2.1")));
	assert_sv(registry_origin(SV("https://a:1/b")), "https://a:1");
}

static int group_setup(void **state)
{
	(void)state;
	return mkdtemp(dir) ? 0 : -1;
}

static int group_teardown(void **state)
{
	(void)state;
	return tree_remove(dir, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_endpoints),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_challenges),
	};

	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
