/* What a machine that joins is given and told: tokens as they are pasted, what holds in the cluster, names of networks.
 */
#include "unit.h"

#include "cli/dev_net.h"
#include "cli/facts.h"
#include "cli/join.h"
#include "codec/json.h"

#define HASH "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define TOKEN "abcdef.0123456789abcdef"

static void test_tokens(void **state)
{
	static const char *const hashes[] = { "sha256:" HASH, NULL }, *const bad[] = { "sha256:" HASH "0", NULL };
	static const struct {
		const char *token;
		const char *const *hashes;
		bool insecure;
		const char *words; /* NULL: taken */
	} rows[] = {
		{ "K10" HASH "::" TOKEN, NULL, false, NULL },
		{ " K10" HASH "::" TOKEN "\n", NULL, false, NULL },
		{ "K10" HASH "::node:" TOKEN, NULL, false, NULL }, /* k3s's, with its user */
		{ "K10" HASH "::server:" TOKEN, hashes, false, NULL },
		{ TOKEN, hashes, false, NULL },
		{ TOKEN, NULL, true, NULL },
		{ TOKEN, NULL, false, "--insecure-join" },
		{ TOKEN, bad, true, "64 hex digits" },
		{ "K10" HASH "::", NULL, true, "a join token is" },
		{ "K10" HASH "::node:", NULL, true, "a join token is" },
		{ "K10" HASH "::a:b:" TOKEN, NULL, true, "a join token is" },
		{ "K10" HASH ":" TOKEN, NULL, true, "has no '::'" },
		{ "K10::" TOKEN, NULL, true, "no SHA-256" },
		{ "node:" TOKEN, NULL, true, "a join token is" },
		{ "", NULL, true, "a join token is" },
		{ "secret", NULL, true, "a join token is" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		_cleanup_(arena_release) struct arena a = ARENA_INIT;
		_cleanup_(err_release) struct err err = ERR_INIT;
		const struct join_opts o = { .token = rows[i].token,
					     .ca_hashes = rows[i].hashes,
					     .insecure = rows[i].insecure };
		struct join_token t;

		if (join_secret_parse(&a, &o, &t, &err) == 0) {
			assert_null(rows[i].words);
			assert_sv(t.id, "abcdef");
			assert_sv(t.secret, "0123456789abcdef");
			assert_int_equal(t.ca_hash.n, rows[i].token[0] == 'K' || rows[i].token[0] == ' ' ? 64 : 0);
			continue;
		}
		assert_non_null(rows[i].words);
		assert_non_null(strstr(err_msg(&err), rows[i].words));
		assert_null(strstr(err_msg(&err), "0123456789abcdef.")); /* secrets are not repeated */
	}
}

/* A server has neither of those flags, and nodes' file is not its. */
static void test_servers_short_token(void **state)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(err_release) struct err err = ERR_INIT;
	const struct join_opts o = { .token = TOKEN, .of_server = true };
	struct join_token t;

	(void)state;
	assert_int_equal(join_secret_parse(&a, &o, &t, &err), -1);
	assert_non_null(strstr(err_msg(&err), "DATA-DIR/server/token on one of the servers"));
	assert_null(strstr(err_msg(&err), "node-token"));
	assert_null(strstr(err_msg(&err), "--"));
}

static int parse(struct arena *a, const char *json, struct cluster_facts *f, struct err *err)
{
	return facts_parse(a, json_decode(a, sv_from(json), NULL, NULL), f, err);
}

#define LEAST "\"cluster-cidr\":\"10.42.0.0/16\",\"service-cidr\":\"10.43.0.0/16\",\"cluster-domain\":\"cluster.local\""

static void test_facts(void **state)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct err err = ERR_INIT;
	struct cluster_facts f, again;

	(void)state;
	assert_int_equal(parse(&a,
			       "{" LEAST ",\"cluster-dns\":\"10.43.0.10\",\"disable\":\"traefik,coredns\","
			       "\"disable-kube-proxy\":\"true\",\"egress-selector-mode\":\"agent\",\"later\":\"x\"}",
			       &f, &err),
			 0);
	assert_string_equal(f.cluster_dns, "10.43.0.10");
	assert_string_equal(f.egress, "agent");
	assert_true(f.disable_proxy && facts_disabled(&f, "coredns") && !facts_disabled(&f, "local-storage"));
	assert_int_equal(facts_parse(&a, facts_data(&a, &f), &again, &err), 0);
	assert_true(val_same(facts_data(&a, &f), facts_data(&a, &again)));
	facts_release(&f);
	facts_release(&again);
}

static void test_facts_refused(void **state)
{
	static const struct {
		const char *json, *words;
	} rows[] = {
		{ "{}", "ConfigMap kube-system/caravel-config" },
		{ "{\"cluster-cidr\":\"10.42.0.0/16\"}", "ConfigMap kube-system/caravel-config" },
		{ "{" LEAST ",\"cluster-dns\":\"ns; rm\"}", "cluster-dns cannot be 'ns; rm'" },
		{ "{" LEAST ",\"disable-kube-proxy\":\"yes\"}", "disable-kube-proxy" },
		{ "{\"cluster-cidr\":\"10.42.0.0\",\"service-cidr\":\"10.43.0.0/16\",\"cluster-domain\":\"x\"}",
		  "cluster-cidr" },
		{ "{\"cluster-cidr\":\"10.42.0.0/16\",\"service-cidr\":\"10.43.0.0/16\",\"cluster-domain\":\"a b\"}",
		  "cluster-domain" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		_cleanup_(arena_release) struct arena a = ARENA_INIT;
		_cleanup_(err_release) struct err err = ERR_INIT;
		struct cluster_facts f;

		assert_int_equal(parse(&a, rows[i].json, &f, &err), -1);
		assert_non_null(strstr(err_msg(&err), rows[i].words));
	}
}

static void test_flags_that_differ(void **state)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(err_release) struct err err = ERR_INIT;
	struct option rows[FACTS_MAX];
	struct facts_said said = { 0 };
	struct cluster_facts f;
	size_t n = facts_option_table(&said, rows), domain = n;

	(void)state;
	assert_int_equal(parse(&a, "{" LEAST ",\"disable\":\"traefik\"}", &f, &err), 0);
	assert_int_equal(facts_compare(&said, &f, &err), 0); /* nothing said */
	for (size_t i = 0; i < n; i++)
		if (strcmp(rows[i].name, "cluster-domain") == 0)
			domain = i;
	*(const char **)rows[domain].value = "cluster.local";
	assert_int_equal(facts_compare(&said, &f, &err), 0);
	*(const char **)rows[domain].value = "example.org";
	assert_int_equal(facts_compare(&said, &f, &err), -1);
	assert_non_null(
	    strstr(err_msg(&err), "--cluster-domain is 'example.org' here and 'cluster.local' on the server"));
	facts_release(&f);
}

static void test_other_servers(void **state)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(err_release) struct err err = ERR_INIT;
	struct cluster_facts theirs, mine = { .cluster_domain = "cluster.local" };

	(void)state;
	assert_int_equal(
	    parse(&a, "{" LEAST ",\"cluster-dns\":\"10.43.0.10\",\"disable-kube-proxy\":\"false\"}", &theirs, NULL), 0);
	/* What is left open is theirs. */
	assert_int_equal(facts_agree(&a, &mine, &theirs, NULL), 0);
	assert_string_equal(mine.cluster_cidr, "10.42.0.0/16");
	assert_string_equal(mine.cluster_dns, "10.43.0.10");
	mine.service_cidr = "10.99.0.0/16";
	assert_int_equal(facts_agree(&a, &mine, &theirs, &err), -1);
	assert_non_null(strstr(err_msg(&err), "--service-cidr is '10.99.0.0/16' here and '10.43.0.0/16' on the other"));
	err_release(&err);
	mine.service_cidr = NULL;
	mine.disable_proxy = true;
	assert_int_equal(facts_agree(&a, &mine, &theirs, &err), -1);
	assert_non_null(strstr(err_msg(&err), "--disable-kube-proxy is 'true' here and 'false'"));
	err_release(&err);
	mine.disable_proxy = false;
	vec_push(&mine.disable.list, "coredns");
	vec_push(&mine.disable.list, NULL);
	assert_int_equal(facts_agree(&a, &mine, &theirs, &err), -1);
	assert_non_null(strstr(err_msg(&err), "--disable is 'coredns' here and '' on the other"));
	facts_release(&mine);
	facts_release(&theirs);
}

static void test_names_of_networks(void **state)
{
	static const char routes[] =
	    "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n"
	    "x\t000012C6\t00000000\t0001\t0\t0\t0\t0000FEFF\t0\t0\t0\n"; /* 198.18.0.0/15 */
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct dev_net n, other;

	(void)state;
	dev_net_init(&n, "/var/lib/one");
	dev_net_init(&other, "/var/lib/two");
	assert_string_not_equal(n.name, other.name);
	assert_int_equal(strlen(n.name), 11);
	/* Links have 15 bytes at most. */
	assert_true(strlen(dev_net_ns(&n, &a, DEV_NODES_MAX)) <= 15);
	assert_true(dev_net_choose(&n, SV("")) && dev_net_choose(&other, SV("")));
	assert_int_equal(n.base >> 17, 0xc6120000u >> 17);
	assert_int_equal(n.base & 255, 0);
	assert_false(dev_net_choose(&n, sv_from(routes))); /* all of it leads elsewhere */
	n.base = 0xc6120500;
	assert_string_equal(dev_net_address(&n, &a, 0, false), "198.18.5.1");
	assert_string_equal(dev_net_addresses(&n, &a, DEV_NODES_MAX), "198.18.5.60");
	assert_true(dev_net_families(&n, "10.42.0.0/16,fd00:42::/56"));
	n.prefix = (struct ip_addr){ { 0xfd, 1, 2, 3, 4, 5 } };
	assert_string_equal(dev_net_addresses(&n, &a, 1), "198.18.5.11,fd01:203:405::11");
	assert_true(dev_net_families(&n, "fd00:42::/56, 10.42.0.0/16"));
	assert_string_equal(dev_net_addresses(&n, &a, DEV_NODES_MAX), "fd01:203:405::60,198.18.5.60");
	assert_true(dev_net_families(&n, "fd00:42::/56"));
	assert_string_equal(dev_net_addresses(&n, &a, 2), "fd01:203:405::12");
	assert_false(dev_net_families(&n, "fd00:42::/56,x") || dev_net_families(&n, ""));
	/* What is not of the name's hash is nobody's to choose. */
	assert_int_equal(other.prefix.b[0], 0xfd);
	assert_memory_not_equal(other.prefix.b + 1, n.prefix.b + 1, 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tokens),
		cmocka_unit_test(test_servers_short_token),
		cmocka_unit_test(test_facts),
		cmocka_unit_test(test_facts_refused),
		cmocka_unit_test(test_flags_that_differ),
		cmocka_unit_test(test_other_servers),
		cmocka_unit_test(test_names_of_networks),
	};

	return cmocka_run_group_tests_name("cli/join", tests, NULL, NULL);
}
