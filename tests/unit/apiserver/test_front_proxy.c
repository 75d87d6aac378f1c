/* Proxies that say for whom they ask: first all those whose headers mean nothing. */
#include "harness.h"

#include "base/file.h"
#include "net/tls.h"

#include <stdio.h>
#include <unistd.h>

#define WHOAMI "/apis/authentication.k8s.io/v1/selfsubjectreviews"
#define CONFIG "/api/v1/namespaces/kube-system/configmaps/extension-apiserver-authentication"

static const char *const names[] = { "front", "front-2", NULL };
static const char *const user[] = { "X-Remote-User", "X-Other-User", NULL };
static const char *const uid[] = { "X-Remote-Uid", NULL };
static const char *const group[] = { "X-Remote-Group", "X-Other-Group", NULL };
static const char *const extra[] = { "X-Remote-Extra-", NULL };

/* A file with a new CA, in the rig's directory. */
static const char *ca_file(struct rig *r, const char *name, struct sv *ret_ca, struct sv *ret_key)
{
	const struct cert_opts ca = { .common_name = name,
				      .ca = true,
				      .not_after_ns = INT64_C(4000000000) * NS_PER_SEC };
	const char *path = arena_printf(&r->arena, "%s/%s.crt", r->dir, name);

	assert_int_equal(cert_make(&r->arena, &ca, SV(""), SV(""), ret_ca, ret_key, NULL), 0);
	assert_int_equal(file_write(path, *ret_ca, 0600, NULL), 0);
	return path;
}

static void with_proxies(struct rig *r)
{
	struct sv ca, key;

	r->front_proxies = (struct apiserver_front_proxies){ .ca_file = ca_file(r, "proxies", &ca, &key),
							     .allowed_names = names,
							     .username = user,
							     .uid = uid,
							     .group = group,
							     .extra_prefix = extra };
	rig_restart(r);
}

static const struct http_header said[] = { { SV("x-remote-user"), SV("ann") },
					   { SV("x-remote-uid"), SV("7") },
					   { SV("x-remote-group"), SV("system:masters") },
					   { .name = { 0 } } };

static void test_refused(void **state)
{
	static const struct http_header nobody[] = { { SV("x-remote-user"), SV("") },
						     { SV("x-remote-group"), SV("system:masters") },
						     { .name = { 0 } } };
	static const struct {
		const char *what, *cert;
		int of, code;
		const char *authorization, *user;
		const struct http_header *headers;
	} rows[] = {
		{ "no certificate", NULL, 0, 403, NULL, "system:anonymous", said },
		{ "a client's", "front", CERT_CLIENT, 201, NULL, "front", said },
		{ "a proxy's of another name", "back", CERT_PROXY, 401, NULL, NULL, said },
		{ "a proxy's of no name", "", CERT_PROXY, 401, NULL, NULL, said },
		{ "names are as they are written", "Front", CERT_PROXY, 401, NULL, NULL, said },
		{ "a proxy that says nobody", "front", CERT_PROXY, 401, NULL, NULL, nobody },
		{ "that says nothing", "front", CERT_PROXY, 401, NULL, NULL, NULL },
		{ "a client's that is a proxy's, too, and says nobody", "front", CERT_BOTH, 201, NULL, "front",
		  nobody },
		{ "a token is no proxy", NULL, 0, 401, "Bearer x", NULL, said },
	};
	struct rig *r = *state;
	struct answer *a;

	with_proxies(r);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		a = api(r, "POST", WHOAMI, .body = "{}", .cert_user = rows[i].cert, .cert_of = rows[i].of,
			.headers = rows[i].headers, .authorization = rows[i].authorization);
		if (a->code != rows[i].code)
			fail_msg("%s: %d %s", rows[i].what, a->code, buf_cstr(&a->body));
		if (a->code == 201) {
			const struct val *u = val_get(a->json, F_status, F_userInfo);

			assert_val(val_get(u, F_username), rows[i].user);
			VAL_EACH(val_get(u, F_groups), g)
				assert_false(sv_is(val_str(g), "system:masters"));
		}
		answer_free(a);
	}
	/* Its end is the proxy's end. */
	a = api(r, "POST", WHOAMI, .body = "{}", .cert_user = "front", .cert_of = CERT_PROXY, .headers = said,
		.cert_until_ns = env_now_ns(r->env));
	assert_int_equal(a->code, 401);
	answer_free(a);
}

/* Without the flags a certificate of whatever CA makes no proxy. */
static void test_not_asked_for(void **state)
{
	struct answer *a =
	    api(*state, "POST", WHOAMI, .body = "{}", .cert_user = "front", .cert_of = CERT_BOTH, .headers = said);

	assert_int_equal(a->code, 201);
	assert_val(val_get(a->json, F_status, F_userInfo, F_username), "front");
	answer_free(a);
}

static void test_taken(void **state)
{
	static const struct http_header all[] = { { SV("x-remote-user"), SV("") },
						  { SV("x-other-user"), SV("bob") },
						  { SV("x-other-user"), SV("not-him") },
						  { SV("x-remote-uid"), SV("7") },
						  { SV("x-remote-group"), SV("a") },
						  { SV("x-other-group"), SV("c") },
						  { SV("x-remote-group"), SV("") },
						  { SV("x-remote-group"), SV("b") },
						  { SV("x-remote-extra-ex.org%2fk"), SV("1") },
						  { SV("x-remote-extra-z"), SV("9") },
						  { SV("x-remote-extra-ex.org%2fk"), SV("2") },
						  { .name = { 0 } } };
	static const struct http_header bob[] = { { SV("x-remote-user"), SV("bob") }, { .name = { 0 } } };
	struct rig *r = *state;
	struct answer *a;
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	with_proxies(r);
	a = api(r, "POST", WHOAMI, .body = "{}", .cert_user = "front-2", .cert_of = CERT_PROXY, .headers = all);
	assert_int_equal(a->code, 201);
	json_encode(&b, val_get(a->json, F_status, F_userInfo));
	assert_string_equal(
	    buf_cstr(&b), "{\"username\":\"bob\",\"uid\":\"7\",\"groups\":[\"a\",\"b\",\"c\",\"system:authenticated\"],"
			  "\"extra\":{\"ex.org/k\":[\"1\",\"2\"],\"z\":[\"9\"]}}");
	answer_free(a);
	/* What a proxy says counts before its own certificate, and its rights are not its user's. */
	a = api(r, "GET", "/api/v1/secrets", .cert_user = "front", .cert_of = CERT_BOTH, .cert_group = "system:masters",
		.headers = bob);
	assert_int_equal(a->code, 403);
	assert_true(sv_find_sv(val_get_str(a->json, F_message), SV("User \"bob\"")) >= 0);
	answer_free(a);
	a = api(r, "GET", "/api/v1/secrets", .cert_user = "front", .cert_of = CERT_PROXY, .headers = said);
	assert_int_equal(a->code, 200);
	answer_free(a);
}

static bool config_says(struct rig *r, const char *key, struct sv text)
{
	const struct val *c = expect(r, 200, "GET", CONFIG, NULL);

	return sv_find_sv(val_str(val_member_sv(val_get(c, F_data), sv_from(key))), text) >= 0;
}

/* What other servers are told: our own proxy's CA and name, and the others'. A file that changes is taken up. */
static void test_told(void **state)
{
	struct rig *r = *state;
	struct sv first, second, key;

	assert_true(config_says(r, "requestheader-allowed-names", SV("[\"front-proxy-client\"]")));
	r->client_ca_file = ca_file(r, "clients", &first, &key);
	with_proxies(r);
	assert_true(config_says(r, "client-ca-file", first));
	assert_true(
	    config_says(r, "requestheader-allowed-names", SV("[\"front\",\"front-2\",\"front-proxy-client\"]")));
	assert_true(config_says(r, "requestheader-username-headers", SV("[\"X-Remote-User\",\"X-Other-User\"]")));
	(void)ca_file(r, "clients", &second, &key);
	rig_run(r, 61 * NS_PER_SEC);
	assert_true(config_says(r, "client-ca-file", second));
	assert_false(config_says(r, "client-ca-file", first));
	/* A wrong one changes nothing. */
	assert_int_equal(file_write(r->client_ca_file, SV("nothing"), 0600, NULL), 0);
	rig_run(r, 121 * NS_PER_SEC);
	assert_true(config_says(r, "client-ca-file", second));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_not_asked_for, rig_setup_with_keys, rig_teardown),
		cmocka_unit_test_setup_teardown(test_refused, rig_setup_with_keys, rig_teardown),
		cmocka_unit_test_setup_teardown(test_taken, rig_setup_with_keys, rig_teardown),
		cmocka_unit_test_setup_teardown(test_told, rig_setup_with_keys, rig_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
