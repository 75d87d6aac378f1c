/* Bearer tokens other than those of service accounts: of machines that join, static ones, and none. */
#include "harness.h"

#include "apiserver/apiserver-internal.h"
#include "apiserver/authn/token_file.h"
#include "apiserver/bootstrap/cluster_info.h"
#include "base/b64.h"
#include "base/file.h"
#include "client/bootstrap_token.h"

#include <stdio.h>
#include <unistd.h>

#define SECRETS "/api/v1/namespaces/kube-system/secrets"
#define WHOAMI "/apis/authentication.k8s.io/v1/selfsubjectreviews"
#define BEARER "Bearer abc123.0123456789abcdef"

/* fields: "name=value|..." with | between them, as values may have commas */
static const char *secret_json(struct rig *r, const char *name, const char *type, const char *fields)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	struct sv rest = sv_from(fields), one;
	const char *sep = "";

	buf_printf(&b, "{\"metadata\":{\"name\":\"%s\"},\"type\":\"%s\",\"data\":{", name, type);
	while (sv_split(&rest, '|', &one)) {
		ssize_t eq = sv_find(one, '=');

		buf_printf(&b, "%s\"%.*s\":\"", sep, SV_ARG(sv_sub(one, 0, (size_t)eq)));
		b64_add(&b, sv_sub(one, (size_t)eq + 1, one.n));
		buf_adds(&b, "\"");
		sep = ",";
	}
	buf_adds(&b, "}}");
	return arena_strdup(&r->arena, buf_cstr(&b));
}

#define FIELDS "token-id=abc123|token-secret=0123456789abcdef|usage-bootstrap-authentication=true"

static int status(struct rig *r, const char *authorization)
{
	struct answer *a = api(r, "POST", WHOAMI, .body = "{}", .authorization = authorization);
	int code = a->code;

	answer_free(a);
	return code;
}

/* The user's name and groups, with commas. */
static const char *whoami(struct rig *r, const char *authorization)
{
	struct answer *a = api(r, "POST", WHOAMI, .body = "{}", .authorization = authorization);
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	const struct val *u = val_get(a->json, F_status, F_userInfo);

	buf_addsv(&b, val_get_str(u, F_username));
	VAL_EACH(val_get(u, F_groups), g)
		buf_printf(&b, " %.*s", SV_ARG(val_str(g)));
	answer_free(a);
	return arena_strdup(&r->arena, buf_cstr(&b));
}

static void test_bootstrap_refused(void **state)
{
	static const struct {
		const char *name, *type, *fields;
	} bad[] = {
		/* first what nearly is one */
		{ "bootstrap-token-abc123", "Opaque", FIELDS },
		{ "bootstrap-token-abc124", BOOTSTRAP_TOKEN_TYPE, FIELDS },
		{ "abc123", BOOTSTRAP_TOKEN_TYPE, FIELDS },
		{ "bootstrap-token-abc123", BOOTSTRAP_TOKEN_TYPE,
		  "token-id=abc123|token-secret=0123456789abcdee|usage-bootstrap-authentication=true" },
		{ "bootstrap-token-abc123", BOOTSTRAP_TOKEN_TYPE,
		  "token-id=abc123|usage-bootstrap-authentication=true" },
		{ "bootstrap-token-abc123", BOOTSTRAP_TOKEN_TYPE,
		  "token-id=abc123|token-secret=|usage-bootstrap-authentication=true" },
		{ "bootstrap-token-abc123", BOOTSTRAP_TOKEN_TYPE,
		  "token-id=abc124|token-secret=0123456789abcdef|usage-bootstrap-authentication=true" },
		{ "bootstrap-token-abc123", BOOTSTRAP_TOKEN_TYPE, "token-id=abc123|token-secret=0123456789abcdef" },
		{ "bootstrap-token-abc123", BOOTSTRAP_TOKEN_TYPE,
		  "token-id=abc123|token-secret=0123456789abcdef|usage-bootstrap-authentication=false" },
		{ "bootstrap-token-abc123", BOOTSTRAP_TOKEN_TYPE, FIELDS "|expiration=2026-01-01T00:00:00Z" },
		{ "bootstrap-token-abc123", BOOTSTRAP_TOKEN_TYPE, FIELDS "|expiration=tomorrow" },
		{ "bootstrap-token-abc123", BOOTSTRAP_TOKEN_TYPE, FIELDS "|auth-extra-groups=system:masters" },
		{ "bootstrap-token-abc123", BOOTSTRAP_TOKEN_TYPE,
		  FIELDS "|auth-extra-groups=system:bootstrappers:a,system:masters" },
		{ "bootstrap-token-abc123", BOOTSTRAP_TOKEN_TYPE, FIELDS "|auth-extra-groups=system:bootstrappers:" },
		{ "bootstrap-token-abc123", BOOTSTRAP_TOKEN_TYPE, FIELDS "|auth-extra-groups=system:bootstrappers:A" },
		{ "bootstrap-token-abc123", BOOTSTRAP_TOKEN_TYPE, FIELDS "|auth-extra-groups=system:bootstrappers:a-" },
		{ "bootstrap-token-abc123", BOOTSTRAP_TOKEN_TYPE, FIELDS "|auth-extra-groups=system:bootstrappersx" },
		{ "bootstrap-token-abc123", BOOTSTRAP_TOKEN_TYPE,
		  FIELDS "|auth-extra-groups=system:bootstrappers:caravel:servers" },
	};
	struct rig *r = *state;

	assert_int_equal(status(r, BEARER), 401);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		char path[128];

		expect(r, 201, "POST", SECRETS, secret_json(r, bad[i].name, bad[i].type, bad[i].fields));
		if (status(r, BEARER) != 401)
			fail_msg("case %zu is taken", i);
		(void)snprintf(path, sizeof(path), SECRETS "/%s", bad[i].name);
		expect(r, 200, "DELETE", path, NULL);
	}
	/* another namespace's Secret is nobody's token */
	expect(r, 201, "POST", "/api/v1/namespaces/default/secrets",
	       secret_json(r, "bootstrap-token-abc123", BOOTSTRAP_TOKEN_TYPE, FIELDS));
	assert_int_equal(status(r, BEARER), 401);
}

static void test_bootstrap(void **state)
{
	struct rig *r = *state;
	struct answer *a;

	expect(r, 201, "POST", SECRETS,
	       secret_json(r, "bootstrap-token-abc123", BOOTSTRAP_TOKEN_TYPE,
			   FIELDS "|expiration=2026-01-01T01:00:00Z|auth-extra-groups=system:bootstrappers:x:y-1"));
	assert_string_equal(whoami(r, BEARER), "system:bootstrap:abc123 system:bootstrappers "
					       "system:bootstrappers:x:y-1 system:authenticated");
	assert_int_equal(status(r, "Bearer abc123.0123456789abcdee"), 401);
	assert_int_equal(status(r, "Bearer K10ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad::abc123."
				   "0123456789abcdef"),
			 401); /* the pinning form is not sent */
	/* It may join, as far as there is something to join with; it may not look around. */
	a = api(r, "GET", SECRETS, .authorization = BEARER);
	assert_int_equal(a->code, 403);
	answer_free(a);
	a = api(r, "GET", "/api/v1/nodes", .authorization = BEARER);
	assert_int_equal(a->code, 403);
	answer_free(a);
	/* Its end, also where it is remembered. */
	rig_run(r, 3600 * NS_PER_SEC - NS_PER_SEC);
	assert_int_equal(status(r, BEARER), 201);
	rig_run(r, NS_PER_SEC);
	assert_int_equal(status(r, BEARER), 401);
}

/* What a cluster starts with: a token for machines, and no other. */
static void test_join_token(void **state)
{
	struct rig *r = *state;
	const struct val *list = val_get(expect(r, 200, "GET", SECRETS, NULL), F_items), *data;
	struct sv name, id, secret;
	char path[128];
	const char *bearer;

	assert_int_equal(val_len(list), 1);
	assert_val(val_get(val_at(list, 0), F_type), BOOTSTRAP_TOKEN_TYPE);
	name = val_get_str(val_at(list, 0), F_metadata, F_name);
	data = val_get(val_at(list, 0), F_data);
	assert_true(b64_decode(&r->arena, val_str(val_member_sv(data, SV("token-id"))), &id));
	assert_true(b64_decode(&r->arena, val_str(val_member_sv(data, SV("token-secret"))), &secret));
	bearer = arena_printf(&r->arena, "Bearer %.*s.%.*s", SV_ARG(id), SV_ARG(secret));
	assert_string_equal(whoami(r, bearer),
			    arena_printf(&r->arena,
					 "system:bootstrap:%.*s system:bootstrappers "
					 "system:bootstrappers:caravel:default-node-token system:authenticated",
					 SV_ARG(id)));
	/* The next start keeps it. */
	rig_restart(r);
	list = val_get(expect(r, 200, "GET", SECRETS, NULL), F_items);
	assert_int_equal(val_len(list), 1);
	assert_true(sv_eq(val_get_str(val_at(list, 0), F_metadata, F_name), name));
	/* Deleted is revoked: the next start makes another one. */
	(void)snprintf(path, sizeof(path), SECRETS "/%.*s", SV_ARG(name));
	expect(r, 200, "DELETE", path, NULL);
	rig_run(r, 11 * NS_PER_SEC);
	assert_int_equal(status(r, bearer), 401);
	rig_restart(r);
	assert_int_equal(val_len(val_get(expect(r, 200, "GET", SECRETS, NULL), F_items)), 1);
	assert_int_equal(status(r, bearer), 401);
}

/* Where the cluster is, for machines that join: nothing rather than what leads nowhere. */
static void test_cluster_info(void **state)
{
	struct rig *r = *state;
	struct arena *a = &r->arena;
	const struct val *doc;
	struct sv text;

	assert_null(cluster_info_doc(r->server, a)); /* it has no address that others could reach */
	expect(r, 404, "GET", "/api/v1/namespaces/kube-public/configmaps/cluster-info", NULL);
	r->server->o.advertise_port = 6443;
	r->server->o.advertise_address = "fd00::1";
	doc = cluster_info_doc(r->server, a);
	text = val_str(val_member_sv(val_get(doc, F_data), SV("kubeconfig")));
	assert_true(sv_find_sv(text, SV("    server: https://[fd00::1]:6443\n")) > 0);
	assert_true(sv_find_sv(text, b64_encode(a, apiserver_ca_pem(r->server))) > 0);
	r->server->o.advertise_address = "192.0.2.1";
	text = val_str(val_member_sv(val_get(cluster_info_doc(r->server, a), F_data), SV("kubeconfig")));
	assert_true(sv_find_sv(text, SV("    server: https://192.0.2.1:6443\n")) > 0);
	r->server->o.advertise_address = NULL;
}

/* No credential is a user of its own, who is nobody; an empty token is none, and never somebody's. */
static void test_nothing(void **state)
{
	static const char *const empty[] = { "Bearer", "Bearer ", "bearer  ", "BEARER \t" };
	struct rig *r = *state;

	for (size_t i = 0; i < ARRAY_LEN(empty); i++)
		assert_int_equal(api_code(r, "GET", "/api/v1/nodes", empty[i]), 403);
	assert_int_equal(status(r, "Bearer admin"), 401);
	assert_int_equal(api_code(r, "GET", "/version", ""), 200);
	assert_int_equal(api_code(r, "GET", "/api/v1/nodes", ""), 403);
	r->no_anonymous = true;
	rig_restart(r);
	assert_int_equal(api_code(r, "GET", "/version", ""), 401);
	assert_int_equal(api_code(r, "GET", "/healthz", ""), 401);
	for (size_t i = 0; i < ARRAY_LEN(empty); i++)
		assert_int_equal(api_code(r, "GET", "/version", empty[i]), 401);
}

static void test_token_file(void **state)
{
	static const char text[] = "# comment\n"
				   "secret-1,admin,1,\"system:masters\"\r\n"
				   "\n"
				   "secret-2,\"bob, the \"\"first\"\"\",2,\"dev, ops\",more\n"
				   "secret-3,carol,";
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct token_file *f = token_file_parse(sv_from(text), NULL);
	struct user_info u;

	(void)state;
	assert_non_null(f);
	assert_true(token_file_find(f, &a, SV("secret-1"), &u));
	assert_sv(u.name, "admin");
	assert_sv(u.uid, "1");
	assert_int_equal(u.n_groups, 2);
	assert_sv(u.groups[0], "system:masters");
	assert_sv(u.groups[1], "system:authenticated");
	assert_true(token_file_find(f, &a, SV("secret-2"), &u));
	assert_sv(u.name, "bob, the \"first\"");
	assert_int_equal(u.n_groups, 3);
	assert_sv(u.groups[1], "ops");
	assert_true(token_file_find(f, &a, SV("secret-3"), &u));
	assert_int_equal(u.n_groups, 1);
	assert_false(token_file_find(f, &a, SV("secret-"), &u));
	assert_false(token_file_find(f, &a, SV("secret-11"), &u));
	assert_false(token_file_find(f, &a, SV(""), &u));
	assert_false(token_file_find(NULL, &a, SV("secret-1"), &u));
	token_file_free(f);
}

static void write_tokens(struct rig *r, const char *text)
{
	assert_int_equal(file_write(r->token_auth_file, sv_from(text), 0600, NULL), 0);
}

/* Who is taken out of the file is nobody within a minute and what is remembered; a wrong file changes nothing. */
static void test_token_file_changes(void **state)
{
	struct rig *r = *state;

	r->token_auth_file = arena_printf(&r->arena, "%s/tokens", r->dir);
	write_tokens(r, "one,ann,1\n");
	rig_restart(r);
	assert_int_equal(status(r, "Bearer one"), 201);
	assert_int_equal(status(r, "Bearer two"), 401);
	write_tokens(r, "two,bob,2\n");
	rig_run(r, 75 * NS_PER_SEC);
	assert_int_equal(status(r, "Bearer one"), 401);
	assert_int_equal(status(r, "Bearer two"), 201);
	write_tokens(r, ",bob,2\n");
	rig_run(r, 75 * NS_PER_SEC);
	assert_int_equal(status(r, "Bearer two"), 201);
	/* Emptied, or half written: in the middle of a group's name, too. */
	write_tokens(r, "");
	rig_run(r, 75 * NS_PER_SEC);
	assert_int_equal(status(r, "Bearer two"), 201);
	write_tokens(r, "three,bob,2,admins");
	rig_run(r, 75 * NS_PER_SEC);
	assert_int_equal(status(r, "Bearer two"), 201);
	assert_int_equal(status(r, "Bearer three"), 401);
	write_tokens(r, "three,bob,2,admins-of-little\n");
	rig_run(r, 75 * NS_PER_SEC);
	assert_int_equal(status(r, "Bearer three"), 201);
	write_tokens(r, "# none\n");
	rig_run(r, 75 * NS_PER_SEC);
	assert_int_equal(status(r, "Bearer three"), 401);
}

static void test_bad_token_files(void **state)
{
	static const struct {
		const char *text, *why;
	} bad[] = {
		{ ",admin,1", "line 1: the token is empty" },
		{ "a,b,c\n\"\",admin,1", "line 2: the token is empty" },
		{ "  ,admin,1", "line 1: the token is empty" },
		{ "a,,1", "line 1: the user name is empty" },
		{ "a,b", "line 1: wants at least a token, a user name and a uid" },
		{ "token", "line 1: wants at least" },
		{ "a,b,c,\"x", "line 1: a quote is missing or too many" },
		{ "a,b,c,\"x\"y", "line 1: a quote" },
		{ "a,b\"c,d", "line 1: a quote" },
		{ "a,b,c\na,d,e", "line 2: this token has been given already" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		_cleanup_(err_release) struct err err = ERR_INIT;

		assert_null(token_file_parse(sv_from(bad[i].text), &err));
		if (sv_find_sv(sv_from(err_msg(&err)), sv_from(bad[i].why)) < 0)
			fail_msg("%s", err_msg(&err));
	}
	{
		_cleanup_(buf_release) struct buf b = BUF_INIT;

		for (int i = 0; i < 1001; i++)
			buf_printf(&b, "t%d,u,1\n", i);
		assert_null(token_file_parse(buf_sv(&b), NULL));
	}
	assert_null(token_store_new("/nonexistent/tokens", NULL));
}

static void test_static_tokens(void **state)
{
	struct rig *r = *state;
	char path[] = "/tmp/unit-tokens.XXXXXX";
	static const char text[] = "s3cret,admin,1,system:masters\n";
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, sizeof(text) - 1), sizeof(text) - 1);
	close(fd);
	assert_int_equal(status(r, "Bearer s3cret"), 401); /* nobody asked for one */
	r->token_auth_file = path;
	rig_restart(r);
	unlink(path);
	assert_string_equal(whoami(r, "Bearer s3cret"), "admin system:masters system:authenticated");
	assert_int_equal(status(r, "Bearer s3cre"), 401);
	assert_int_equal(status(r, "Bearer"), 403); /* nobody */
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, rig_setup_with_keys, rig_teardown)
	const struct CMUnitTest tests[] = {
		T(test_bootstrap_refused),
		T(test_bootstrap),
		T(test_join_token),
		T(test_cluster_info),
		T(test_nothing),
		T(test_static_tokens),
		T(test_token_file_changes),
		cmocka_unit_test(test_token_file),
		cmocka_unit_test(test_bad_token_files),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
