/* Names, manifests and configurations: what is taken, and what is refused. */
#include "unit.h"

#include "kubelet/oci/image_config.h"
#include "kubelet/oci/image_ref.h"

#include <stdio.h>

#define HEX "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define DIGEST "sha256:" HEX
#define OCI_INDEX "application/vnd.oci.image.index.v1+json"
#define OCI_MANIFEST "application/vnd.oci.image.manifest.v1+json"
#if defined(__x86_64__)
#define HERE "amd64"
#else
#define HERE "arm64"
#endif

static void test_refs(void **state)
{
	static const struct {
		const char *text, *registry, *repository, *tag, *digest;
	} rows[] = {
		{ "nginx", "docker.io", "library/nginx", "latest", "" },
		{ "a/b:1", "docker.io", "a/b", "1", "" },
		{ "index.docker.io/a:1", "docker.io", "library/a", "1", "" },
		{ "example.com:5000/a/b:1", "example.com:5000", "a/b", "1", "" },
		{ "localhost/a", "localhost", "a", "latest", "" },
		{ "[::1]:80/a@" DIGEST, "[::1]:80", "a", "", DIGEST },
		{ "example.com/a:2@" DIGEST, "example.com", "a", "2", DIGEST },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		_cleanup_(arena_release) struct arena a = ARENA_INIT;
		struct image_ref r;

		assert_int_equal(image_ref_parse(&a, sv_from(rows[i].text), &r, NULL), 0);
		assert_sv(r.registry, rows[i].registry);
		assert_sv(r.repository, rows[i].repository);
		assert_sv(r.tag, rows[i].tag);
		assert_sv(r.digest, rows[i].digest);
	}
}

static void test_refs_refused(void **state)
{
	static const char *const rows[] = { "",	       "A",	    "a b",   "../a",	 "a/../b",	 "a:",
					    "a@md5:1", "a@sha256:", "a//b",  "http://a", "x\ny",	 HEX,
					    "a:b:c",   "-/a",	    "a/b:/", "a@" HEX,	 "a@" DIGEST "0" };
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(err_release) struct err err = ERR_INIT;
	_cleanup_free_ char *large = xmalloc(5000);
	struct image_ref r;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		err_release(&err);
		if (image_ref_parse(&a, sv_from(rows[i]), &r, &err) == 0)
			fail_msg("'%s' was taken", rows[i]);
		assert_int_equal(strncmp(err_msg(&err), "couldn't parse image name", 25), 0);
	}
	memset(large, 'a', 5000);
	assert_int_equal(image_ref_parse(&a, sv_make(large, 5000), &r, NULL), -1);
}

static void test_digests(void **state)
{
	(void)state;
	assert_sv(image_digest_hex(SV(DIGEST)), HEX);
	assert_sv(image_digest_hex(SV("sha256:..")), "");
	assert_sv(image_digest_hex(SV("sha512:" HEX)), "");
	assert_sv(image_digest_hex(SV("sha256:A123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef")), "");
}

static int manifest(struct arena *a, const char *text, const char *type, struct image_manifest *ret, struct err *err)
{
	return image_manifest_parse(a, sv_from(text), sv_from(type), ret, err);
}

static void test_manifests(void **state)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct image_manifest m;

	(void)state;
	assert_int_equal(manifest(&a,
				  "{\"schemaVersion\":2,\"config\":{\"digest\":\"" DIGEST "\",\"size\":3},\"layers\":[{"
				  "\"digest\":\"" DIGEST "\",\"size\":9}]}",
				  OCI_MANIFEST, &m, NULL),
			 0);
	assert_false(m.index);
	assert_int_equal(m.n_layers, 1);
	assert_int_equal(m.layers[0].size, 9);
	assert_int_equal(m.config.size, 3);
	/* The machine's own is taken, whatever the order; what proves something about an image is none. */
	assert_int_equal(
	    manifest(&a,
		     "{\"manifests\":[{\"mediaType\":\"" OCI_MANIFEST
		     "\",\"digest\":\"x\",\"size\":1,\"platform\":{\"os\":"
		     "\"linux\",\"architecture\":\"s390x\"}},{\"mediaType\":\"" OCI_MANIFEST
		     "\",\"digest\":\"y\",\"size\":1,\"platform\":{\"os\":\"unknown\",\"architecture\":\"unknown\"}},{"
		     "\"mediaType\":\"" OCI_MANIFEST "\",\"digest\":\"" DIGEST
		     "\",\"size\":7,\"platform\":{\"os\":\"linux\",\"architecture\":\"" HERE "\"}}]}",
		     OCI_INDEX "; charset=utf-8", &m, NULL),
	    0);
	assert_true(m.index);
	assert_int_equal(m.chosen.size, 7);
}

static void test_manifests_refused(void **state)
{
	static const struct {
		const char *text, *type, *part;
	} rows[] = {
		{ "[]", OCI_MANIFEST, "no object" },
		{ "{", OCI_MANIFEST, "its manifest" },
		{ "{}", OCI_MANIFEST, "neither" },
		{ "{\"manifests\":[],\"layers\":[]}", "", "at once" },
		{ "{\"manifests\":[]}", OCI_MANIFEST, "neither" },
		{ "{\"manifests\":[]}", OCI_INDEX, "no match for platform in manifest" },
		{ "{\"mediaType\":\"" OCI_MANIFEST "\",\"layers\":[]}", OCI_INDEX, "says to be none" },
		{ "{\"schemaVersion\":1}", "application/json", "no longer supported" },
		{ "{\"layers\":[{\"digest\":\"sha256:../../x\",\"size\":1}]}", "", "no digest" },
		{ "{\"layers\":[{\"digest\":\"" DIGEST "\",\"size\":-1}]}", "", "no size" },
		{ "{\"layers\":[{\"digest\":\"" DIGEST "\"}]}", "", "no size" },
		{ "{\"layers\":{}}", "", "no list" },
		{ "{\"layers\":[]}", "", "the configuration" },
	};
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(err_release) struct err err = ERR_INIT;
	struct image_manifest m;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		err_release(&err);
		if (manifest(&a, rows[i].text, rows[i].type, &m, &err) == 0)
			fail_msg("'%s' was taken", rows[i].text);
		if (!strstr(err_msg(&err), rows[i].part))
			fail_msg("'%s' is not in '%s'", rows[i].part, err_msg(&err));
	}
}

static void test_configs(void **state)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct image_config c;
	struct sv name;
	int64_t uid;

	(void)state;
	assert_int_equal(
	    image_config_parse(&a,
			       SV("{\"os\":\"linux\",\"architecture\":\"" HERE
				  "\",\"config\":{\"User\":\"7:8\"},\"rootfs\":{\"diff_ids\":[\"" DIGEST "\"]}}"),
			       1, &c, NULL),
	    0);
	image_config_user(&c, &uid, &name);
	assert_int_equal(uid, 7);
	assert_sv(name, "");
	val_set_str_sv(&a, c.config, SV("User"), SV("www-data:www"));
	image_config_user(&c, &uid, &name);
	assert_int_equal(uid, -1);
	assert_sv(name, "www-data");
	/* Refused: fewer diff ids than layers, other machines, ids that are paths. */
	assert_int_equal(image_config_parse(&a, SV("{\"rootfs\":{\"diff_ids\":[]}}"), 1, &c, NULL), -1);
	assert_int_equal(image_config_parse(&a, SV("{\"os\":\"windows\"}"), 0, &c, NULL), -1);
	assert_int_equal(image_config_parse(&a, SV("{\"architecture\":\"s390x\"}"), 0, &c, NULL), -1);
	assert_int_equal(image_config_parse(&a, SV("{\"rootfs\":{\"diff_ids\":[\"sha256:../x\"]}}"), 1, &c, NULL), -1);
	assert_int_equal(image_config_parse(&a, SV("{\"rootfs\":{\"diff_ids\":[7]}}"), 1, &c, NULL), -1);
}

static void test_chain(void **state)
{
	char one[65], two[65];

	(void)state;
	image_chain(SV(""), SV(HEX), one);
	assert_string_equal(one, HEX);
	image_chain(sv_from(one), SV(HEX), two);
	/* printf 'sha256:HEX sha256:HEX' | sha256sum */
	assert_string_equal(two, "ccdf9b58ee7087c8f4415f1c3e98945bf64a4cd9920de109ec94d64947636830");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_refs),	cmocka_unit_test(test_refs_refused),
		cmocka_unit_test(test_digests), cmocka_unit_test(test_manifests),
		cmocka_unit_test(test_configs), cmocka_unit_test(test_manifests_refused),
		cmocka_unit_test(test_chain),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
