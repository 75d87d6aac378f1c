/* Who a joined node is, from its directory: complete, half of it, another node's, another cluster's, at its end. */
#include "unit.h"

#include "base/file.h"
#include "cli/identity.h"
#include "net/key.h"
#include "net/tls.h"

#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define NOW (INT64_C(1800000000) * NS_PER_SEC)
#define DAY ((int64_t)24 * 3600 * NS_PER_SEC)

struct rig {
	struct arena a;
	char dir[64];
	struct sv ca, ca_key;
};

static int setup(void **state)
{
	struct rig *r = xcalloc(1, sizeof(*r));

	snprintf(r->dir, sizeof(r->dir), "/tmp/caravel-identity-XXXXXX");
	assert_non_null(mkdtemp(r->dir));
	assert_int_equal(
	    cert_make(&r->a, &(struct cert_opts){ .common_name = "ca", .not_after_ns = NOW + 3650 * DAY, .ca = true },
		      SV(""), SV(""), &r->ca, &r->ca_key, NULL),
	    0);
	*state = r;
	return 0;
}

static int teardown(void **state)
{
	struct rig *r = *state;

	tree_remove(r->dir, NULL);
	arena_release(&r->a);
	free(r);
	return 0;
}

/* A node that has joined. */
static void joined(struct rig *r, struct identity *id, int64_t end_ns)
{
	struct cert_opts o = { .common_name = "system:node:n1", .not_after_ns = end_ns, .client = true };
	const char *why;

	assert_int_equal(identity_load(id, &r->a, r->dir, "n1", "https://a:1", NOW, &why, NULL), 0);
	assert_int_equal(cert_make(&r->a, &o, r->ca, r->ca_key, &id->cert, &id->key, NULL), 0);
	o.server = true;
	assert_int_equal(cert_make(&r->a, &o, r->ca, r->ca_key, &id->serving_cert, &id->serving_key, NULL), 0);
	id->serving_names = "n1 10.0.0.1";
	id->ca = r->ca;
	assert_int_equal(identity_save(id, NULL), 0);
}

static void test_new(void **state)
{
	struct rig *r = *state;
	struct identity id;
	const char *why = "";
	struct sv key;

	assert_int_equal(identity_load(&id, &r->a, r->dir, "n1", NULL, NOW, &why, NULL), 0);
	assert_null(why);
	/* The key of a try that came to nothing is the next one's. */
	assert_int_equal(identity_key(&id, NULL), 0);
	key = id.key;
	assert_int_equal(identity_load(&id, &r->a, r->dir, "n1", NULL, NOW, &why, NULL), 0);
	assert_int_equal(identity_key(&id, NULL), 0);
	assert_true(sv_eq(key, id.key));
}

static void test_kept(void **state)
{
	static const char *const files[] = { "client-kubelet.key", "client-kubelet.crt", "serving-kubelet.key",
					     "server-ca.crt" };
	struct rig *r = *state;
	struct identity id;
	const char *why;
	struct stat st;

	joined(r, &id, NOW + 365 * DAY);
	assert_int_equal(identity_load(&id, &r->a, r->dir, "n1", NULL, NOW, &why, NULL), 1);
	assert_string_equal(id.server, "https://a:1");
	assert_string_equal(id.serving_names, "n1 10.0.0.1");
	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		assert_int_equal(stat(arena_printf(&r->a, "%s/agent/%s", r->dir, files[i]), &st), 0);
		assert_int_equal(st.st_mode & 0777, 0600);
	}
	/* Another address of the server is no other cluster. */
	assert_int_equal(identity_load(&id, &r->a, r->dir, "n1", "https://b:2", NOW, &why, NULL), 1);
	assert_string_equal(id.server, "https://b:2");
}

static void test_not_this_one(void **state)
{
	struct rig *r = *state;
	struct identity id;
	struct err err = ERR_INIT;
	const char *why;
	struct sv ca, key;

	joined(r, &id, NOW + 365 * DAY);
	assert_int_equal(identity_load(&id, &r->a, r->dir, "n2", NULL, NOW, &why, &err), -1);
	assert_non_null(strstr(err_msg(&err), "data directory of node 'n1'"));
	err_release(&err);
	/* At its end, and after it. */
	assert_int_equal(identity_load(&id, &r->a, r->dir, "n1", NULL, NOW + 366 * DAY, &why, NULL), 0);
	assert_non_null(strstr(why, "expired"));
	/* Another CA has been put there. */
	assert_int_equal(
	    cert_make(&r->a, &(struct cert_opts){ .common_name = "ca", .not_after_ns = NOW + 3650 * DAY, .ca = true },
		      SV(""), SV(""), &ca, &key, NULL),
	    0);
	assert_int_equal(file_write_again(arena_printf(&r->a, "%s/agent/server-ca.crt", r->dir), ca, 0600, NULL), 0);
	assert_int_equal(identity_load(&id, &r->a, r->dir, "n1", NULL, NOW, &why, NULL), 0);
	assert_non_null(strstr(why, "another cluster"));
	/* What cannot be read is no certificate. */
	assert_int_equal(
	    file_write_again(arena_printf(&r->a, "%s/agent/client-kubelet.crt", r->dir), SV("x"), 0600, NULL), 0);
	assert_int_equal(identity_load(&id, &r->a, r->dir, "n1", NULL, NOW, &why, NULL), 0);
	assert_non_null(why);
}

static void test_serving_alone_is_bad(void **state)
{
	struct rig *r = *state;
	struct identity id;
	const char *why;

	joined(r, &id, NOW + 365 * DAY);
	assert_int_equal(
	    file_write_again(arena_printf(&r->a, "%s/agent/serving-kubelet.key", r->dir), SV(""), 0600, NULL), 0);
	assert_int_equal(identity_load(&id, &r->a, r->dir, "n1", NULL, NOW, &why, NULL), 1);
	assert_string_equal(id.serving_names, ""); /* another one is asked for */
}

static void test_renewal(void **state)
{
	struct rig *r = *state;
	struct sv cert, key;
	const struct cert_opts o = {
		.common_name = "x", .not_before_ns = NOW, .not_after_ns = NOW + 100 * DAY, .client = true
	};

	assert_int_equal(cert_make(&r->a, &o, r->ca, r->ca_key, &cert, &key, NULL), 0);
	assert_int_equal(identity_renew_ns(cert, 0), NOW + 70 * DAY);
	assert_int_equal(identity_renew_ns(cert, 1000), NOW + 90 * DAY);
	assert_true(identity_renew_ns(SV("no certificate"), 0) == INT64_MIN);
}

int main(void)
{
#define RIG_TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
		RIG_TEST(test_new),	     RIG_TEST(test_kept),
		RIG_TEST(test_not_this_one), RIG_TEST(test_serving_alone_is_bad),
		RIG_TEST(test_renewal),
	};

	return cmocka_run_group_tests_name("cli/identity", tests, NULL, NULL);
}
