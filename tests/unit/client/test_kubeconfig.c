/* Kubeconfigs as people and tools write them, and what is wrong with the others. */
#include "unit.h"

#include "base/file.h"
#include "client/kubeconfig.h"
#include "client/https.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#define HEAD "apiVersion: v1\nkind: Config\n"
#define CONTEXT                                                                                                     \
	"current-context: dev\ncontexts:\n- name: dev\n  context: {cluster: c, user: u, namespace: team}\n- name: " \
	"other\n  context: {cluster: c2, user: u}\n"
#define CLUSTER "clusters:\n- name: c\n  cluster:\n    server: https://10.0.0.1:6443\n"
#define USERS "users:\n- name: u\n  user:\n"

static struct kubeconfig read_ok(struct arena *a, const char *text, const char *context)
{
	struct kubeconfig k;
	struct err err = ERR_INIT;

	if (kubeconfig_parse(a, sv_from(text), "kc", NULL, context, &k, &err) < 0)
		fail_msg("%s", err_msg(&err));
	return k;
}

static void read_bad(const char *text, const char *context, const char *wanted)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(err_release) struct err err = ERR_INIT;
	struct kubeconfig k;

	assert_int_equal(kubeconfig_parse(&a, sv_from(text), "kc", NULL, context, &k, &err), -1);
	assert_string_equal(err_msg(&err), wanted);
}

static void inline_data(void **state _unused_)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct kubeconfig k =
	    read_ok(&a,
		    HEAD CONTEXT CLUSTER "    certificate-authority-data: aGVsbG8gY2E=\n"
					 "    tls-server-name: api\n" USERS "    client-certificate-data: Y2VydA==\n"
					 "    client-key-data: a2V5\n    as: alice\n    as-groups: [dev, ops]\n",
		    NULL);

	assert_string_equal(k.context, "dev");
	assert_string_equal(k.server, "https://10.0.0.1:6443");
	assert_string_equal(k.server_name, "api");
	assert_string_equal(k.ns, "team");
	assert_sv(k.ca_pem, "hello ca");
	assert_sv(k.cert_pem, "cert");
	assert_sv(k.key_pem, "key");
	assert_false(k.insecure);
	assert_string_equal(k.impersonate_user, "alice");
	assert_string_equal(k.impersonate_groups[1], "ops");
	assert_null(k.impersonate_groups[2]);
}

static void token_goes_before_its_file(void **state _unused_)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct kubeconfig k = read_ok(&a,
				      HEAD CONTEXT CLUSTER "    insecure-skip-tls-verify: true\n" USERS
							   "    token: secret\n    tokenFile: /x\n",
				      NULL);

	assert_true(k.insecure);
	assert_string_equal(k.token, "secret");
	assert_null(k.token_file);
}

static void other_context(void **state _unused_)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct kubeconfig k = read_ok(
	    &a, HEAD CONTEXT CLUSTER "- name: c2\n  cluster: {server: 'http://b'}\n" USERS "    token: t\n", "other");

	assert_string_equal(k.server, "http://b");
	assert_null(k.ns);
}

static void files_are_found_beside_it(void **state _unused_)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(err_release) struct err err = ERR_INIT;
	char dir[] = "/tmp/kubeconfig-XXXXXX";
	struct kubeconfig k;
	const char *path;

	assert_non_null(mkdtemp(dir));
	path = arena_printf(&a, "%s/config", dir);
	assert_int_equal(file_write(arena_printf(&a, "%s/ca.crt", dir), SV("the ca"), 0600, &err), 0);
	assert_int_equal(
	    file_write(path,
		       SV(HEAD CONTEXT CLUSTER "    certificate-authority: ca.crt\n" USERS "    tokenFile: token\n"),
		       0600, &err),
	    0);
	assert_int_equal(kubeconfig_load(&a, path, NULL, &k, &err), 0);
	assert_sv(k.ca_pem, "the ca");
	assert_string_equal(k.token_file, arena_printf(&a, "%s/token", dir));

	assert_int_equal(
	    file_write(path, SV(HEAD CONTEXT CLUSTER "    certificate-authority: lost.crt\n" USERS), 0600, &err), 0);
	assert_int_equal(kubeconfig_load(&a, path, NULL, &k, &err), -1);
	assert_string_equal(
	    err_msg(&err),
	    arena_printf(&a,
			 "'%s': clusters[c].cluster.certificate-authority: cannot read '%s/lost.crt': No "
			 "such file or directory",
			 path, dir));
	err_release(&err);
	assert_int_equal(kubeconfig_load(&a, arena_printf(&a, "%s/none", dir), NULL, &k, &err), -1);
	assert_int_equal(tree_remove(dir, NULL), 0);
}

static void errors_name_the_key(void **state _unused_)
{
	read_bad("", NULL, "'kc': not a kubeconfig");
	read_bad(HEAD, NULL, "'kc': current-context: is not set");
	read_bad(HEAD CONTEXT, "nope", "'kc': contexts: there is none named 'nope'");
	read_bad(HEAD CONTEXT, NULL, "'kc': clusters: there is none named 'c'");
	read_bad(HEAD CONTEXT CLUSTER, NULL, "'kc': users: there is none named 'u'");
	read_bad(HEAD CONTEXT "clusters:\n- name: c\n  cluster: {}\n", NULL,
		 "'kc': clusters[c].cluster.server: is missing");
	read_bad(HEAD CONTEXT "clusters:\n- name: c\n  cluster: {server: 1}\n", NULL,
		 "'kc': clusters[c].cluster.server: must be a string");
	read_bad(HEAD CONTEXT "clusters: {}\n", NULL, "'kc': clusters: must be a list");
	read_bad(HEAD CONTEXT CLUSTER "    proxy-url: http://proxy\n" USERS, NULL,
		 "'kc': clusters[c].cluster.proxy-url: proxies are not supported");
	read_bad(HEAD CONTEXT CLUSTER
		 "    insecure-skip-tls-verify: true\n    certificate-authority-data: YQ==\n" USERS,
		 NULL,
		 "'kc': clusters[c].cluster.insecure-skip-tls-verify: may not be set together with a certificate "
		 "authority");
	read_bad(HEAD CONTEXT CLUSTER USERS "    exec: {command: aws}\n", NULL,
		 "'kc': users[u].user.exec: credential plugins are not supported");
	read_bad(HEAD CONTEXT CLUSTER USERS "    client-certificate-data: '***'\n", NULL,
		 "'kc': users[u].user.client-certificate-data: is not base64");
	read_bad(HEAD CONTEXT CLUSTER USERS "    client-certificate-data: YQ==\n", NULL,
		 "'kc': users[u].user.client-key: is missing beside the client certificate");
	read_bad(HEAD CONTEXT CLUSTER USERS "    tokenFile: t\n", NULL,
		 "'kc': users[u].user.tokenFile: files are not read here");
	read_bad(HEAD CONTEXT CLUSTER USERS "    as-groups: [x]\n", NULL,
		 "'kc': users[u].user.as: is missing beside as-groups");
}

/* Lengths around a group of four, padding in wrong places. */
static void base64_forms(void **state _unused_)
{
	static const struct {
		const char *in, *out; /* out NULL: refused */
	} rows[] = { { "YWJj", "abc" },		{ "YWI=", "ab" },     { "YQ==", "a" },	 { "YWJjZA==", "abcd" },
		     { "YWJj\\nZA==", "abcd" }, { "YWI", NULL },      { "YQ", NULL },	 { "YQ=", NULL },
		     { "Y===", NULL },		{ "YQ==YQ==", NULL }, { "YWJj=", NULL }, { "=", NULL },
		     { "YW-j", NULL },		{ "YWJj====", NULL } };

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		_cleanup_(arena_release) struct arena a = ARENA_INIT;
		_cleanup_(err_release) struct err err = ERR_INIT;
		struct kubeconfig k;
		const char *text = arena_printf(&a, "%s    certificate-authority-data: \"%s\"\n%s    token: t\n",
						HEAD CONTEXT CLUSTER, rows[i].in, USERS);
		int rc = kubeconfig_parse(&a, sv_from(text), "kc", NULL, NULL, &k, &err);

		if (rc != (rows[i].out ? 0 : -1))
			fail_msg("%s: %d %s", rows[i].in, rc, err_msg(&err));
		if (rows[i].out)
			assert_sv(k.ca_pem, rows[i].out);
	}
}

/* Where it leads: URLs that a client can be made of, and those it cannot. */
static void server_urls(void **state _unused_)
{
	static const char *const good[] = { "https://h",	  "https://h:6443/",   "http://10.0.0.1:80/a/b",
					    "https://[::1]:6443", "https://[fe80::1]", "h.example:443" };
	static const char *const bad[] = { "",
					   "https://",
					   "ftp://h",
					   "https://h:0",
					   "https://h:99999",
					   "https://u:p@h",
					   "https://[::1",
					   "https://[::1]x",
					   "https://h/a?b",
					   "https://h x",
					   "https://h:1:2",
					   "https://h#f" };

	for (size_t i = 0; i < ARRAY_LEN(good) + ARRAY_LEN(bad); i++) {
		_cleanup_(err_release) struct err err = ERR_INIT;
		bool is_good = i < ARRAY_LEN(good);
		const struct client_https_opts o = { .server = is_good ? good[i] : bad[i - ARRAY_LEN(good)],
						     .name = "unit",
						     .insecure = true };
		struct client *c = client_https_new(NULL, &o, &err);

		if ((c != NULL) != is_good)
			fail_msg("'%s': %s", o.server, err_msg(&err));
		if (!is_good)
			assert_int_equal(err.reason, ERR_BAD_REQUEST);
		client_free(c);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(inline_data),	       cmocka_unit_test(token_goes_before_its_file),
		cmocka_unit_test(other_context),       cmocka_unit_test(files_are_found_beside_it),
		cmocka_unit_test(errors_name_the_key), cmocka_unit_test(base64_forms),
		cmocka_unit_test(server_urls),
	};

	return cmocka_run_group_tests_name("kubeconfig", tests, NULL, NULL);
}
