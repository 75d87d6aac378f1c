/* What the signers of kubernetes.io ask of a request: each rule by what it refuses. */
#include "unit.h"

#include "codec/yaml.h"
#include "controllers/csr_rules.h"

static struct arena arena;

static int teardown(void **state)
{
	(void)state;
	arena_release(&arena);
	return 0;
}

static const struct val *yaml(const char *text)
{
	struct val *v = yaml_decode(&arena, sv_from(text), NULL);

	assert_non_null(v);
	return v;
}

/* A list of texts parted by blanks. */
static const struct sv *list(const char *text, size_t *ret_n)
{
	struct sv rest = sv_from(text), one, *out = ARENA_ARRAY(&arena, struct sv, 16);

	*ret_n = 0;
	while (*text && sv_split(&rest, ' ', &one))
		out[(*ret_n)++] = one;
	return out;
}

struct row {
	const char *cn, *orgs, *dns, *ips, *emails, *uris, *usages, *why; /* why NULL: it is right */
	size_t names;
};

static struct csr csr_from(const struct row *r)
{
	struct csr c = { .common_name = sv_from(r->cn), .n_common_names = r->names ? r->names : 1 };

	c.organizations = list(r->orgs, &c.n_organizations);
	c.dns_names = list(r->dns, &c.n_dns_names);
	c.ips = list(r->ips, &c.n_ips);
	c.emails = list(r->emails, &c.n_emails);
	c.uris = list(r->uris, &c.n_uris);
	return c;
}

static void check(const struct row *rows, size_t n, const char *signer)
{
	for (size_t i = 0; i < n; i++) {
		struct csr c = csr_from(&rows[i]);
		const char *why = csr_not_for(&arena, sv_from(signer), &c, yaml(rows[i].usages));

		if (!why != !rows[i].why || (why && !strstr(why, rows[i].why)))
			fail_msg("row %zu of %s: %s", i, signer, why ? why : "(right)");
	}
}

#define NODE "system:node:a"
#define CLIENT "[digital signature, client auth]"
#define SERVER "[digital signature, server auth]"

static void test_kubelet_client(void **state)
{
	static const struct row rows[] = {
		{ NODE, "", "", "", "", "", CLIENT, "organization is not system:nodes", 0 },
		{ NODE, "devs", "", "", "", "", CLIENT, "organization is not system:nodes", 0 },
		{ NODE, "system:nodes system:masters", "", "", "", "", CLIENT, "organization is not system:nodes", 0 },
		{ NODE, "system:nodes", "a", "", "", "", CLIENT, "DNS subjectAltNames are not allowed", 0 },
		{ NODE, "system:nodes", "", "10.0.0.1", "", "", CLIENT, "IP subjectAltNames are not allowed", 0 },
		{ NODE, "system:nodes", "", "", "a@b.c", "", CLIENT, "Email subjectAltNames are not allowed", 0 },
		{ NODE, "system:nodes", "", "", "", "spiffe://a", CLIENT, "URI subjectAltNames are not allowed", 0 },
		{ "alice", "system:nodes", "", "", "", "", CLIENT, "common name does not begin with system:node:", 0 },
		{ "system:node:", "system:nodes", "", "", "", "", CLIENT, "common name does not begin", 0 },
		{ NODE, "system:nodes", "", "", "", "", CLIENT, "more than one common name", 2 },
		{ NODE, "system:nodes", "", "", "", "", SERVER, "usages did not match", 0 },
		{ NODE, "system:nodes", "", "", "", "", "[client auth]", "usages did not match", 0 },
		{ NODE, "system:nodes", "", "", "", "", "[digital signature]", "usages did not match", 0 },
		{ NODE, "system:nodes", "", "", "", "", "[digital signature, client auth, server auth]",
		  "usages did not match [client auth digital signature key encipherment]", 0 },
		{ NODE, "system:nodes", "", "", "", "", CLIENT, NULL, 0 },
		{ NODE, "system:nodes", "", "", "", "", "[key encipherment, digital signature, client auth]", NULL, 0 },
	};

	(void)state;
	check(rows, ARRAY_LEN(rows), SIGNER_KUBELET_CLIENT);
}

static void test_kubelet_serving(void **state)
{
	static const struct row rows[] = {
		{ NODE, "devs", "a", "", "", "", SERVER, "organization is not system:nodes", 0 },
		{ NODE, "system:nodes", "", "", "", "", SERVER, "DNS or IP subjectAltName is required", 0 },
		{ NODE, "system:nodes", "a", "", "a@b.c", "", SERVER, "Email subjectAltNames are not allowed", 0 },
		{ NODE, "system:nodes", "a", "", "", "spiffe://a", SERVER, "URI subjectAltNames are not allowed", 0 },
		{ NODE, "system:nodes", "a", "", "", "", CLIENT,
		  "usages did not match [digital signature key encipherment server auth]", 0 },
		{ "alice", "system:nodes", "a", "", "", "", SERVER, "common name does not begin with system:node:", 0 },
		{ NODE, "system:nodes", "a", "", "", "", SERVER, "more than one common name", 2 },
		{ NODE, "system:nodes", "a", "10.0.0.1", "", "", SERVER, NULL, 0 },
		{ NODE, "system:nodes", "", "10.0.0.1", "", "", "[key encipherment, digital signature, server auth]",
		  NULL, 0 },
	};

	(void)state;
	check(rows, ARRAY_LEN(rows), SIGNER_KUBELET_SERVING);
}

static void test_client(void **state)
{
	static const struct row rows[] = {
		{ "alice", "devs", "", "", "", "", SERVER, "invalid usage for client certificate: server auth", 0 },
		{ "alice", "devs", "", "", "", "", "[any]", "invalid usage for client certificate: any", 0 },
		{ "alice", "devs", "", "", "", "", "[digital signature]",
		  "missing required usage for client certificate: client auth", 0 },
		{ "alice", "devs", "", "", "", "", CLIENT, "more than one common name", 2 },
		{ "alice", "devs ops", "a", "", "", "", "[client auth]", NULL, 0 },
	};
	static const struct row legacy[] = { { "x", "", "", "", "", "", "[any]", NULL, 3 } };

	(void)state;
	check(rows, ARRAY_LEN(rows), SIGNER_CLIENT);
	check(legacy, 1, SIGNER_LEGACY);
}

static void test_names_of_others(void **state)
{
	static const char *const names[] = { "api.example.com", "a.shared.example.com", NULL };
	static const char *const addrs[] = { "10.0.0.9", "fd00::9", NULL };
	static const struct {
		const char *dns, *ips, *foreign; /* NULL: none */
	} rows[] = {
		{ "b", "", "b" },
		{ "a b", "", "b" },
		{ "*.example.com", "", "*.example.com" },
		{ "*", "", "*" },
		{ "10.0.0.1", "", "10.0.0.1" }, /* an address as a name */
		{ "a", "10.0.0.2", "10.0.0.2" },
		{ "", "::ffff:10.0.0.1", "::ffff:10.0.0.1" },
		{ "api.example.com", "", "api.example.com" }, /* its Node says so, and the API server has it */
		{ "", "10.0.0.9", "10.0.0.9" },
		{ "", "fd00::9", "fd00::9" },
		{ "a A.Example.com", "10.0.0.1 fd00::1", NULL },
		{ "", "203.0.113.7", NULL },
	};
	const struct val *node = yaml(
	    "{metadata: {name: a}, status: {addresses: [{type: Hostname, address: a.example.com}, {type: InternalIP, "
	    "address: 10.0.0.1}, {type: InternalIP, address: 'fd00:0:0::1'}, {type: ExternalIP, address: "
	    "203.0.113.7}, {type: InternalDNS, address: api.example.com}, {type: InternalDNS, address: "
	    "'*.example.com'}, {type: InternalIP, address: 10.0.0.9}, {type: InternalIP, address: 'fd00::9'}]}}");
	struct cert_opts o = {
		.common_name = "api", .dns_names = names, .ip_addrs = addrs, .not_after_ns = CLOCK_FLOOR_NS
	};
	struct sv cert, key;

	(void)state;
	assert_int_equal(cert_make(&arena, &o, SV(""), SV(""), &cert, &key, NULL), 0);
	{
		struct sv many[33];
		struct csr c = { .dns_names = many, .n_dns_names = ARRAY_LEN(many) };

		for (size_t i = 0; i < ARRAY_LEN(many); i++)
			many[i] = SV("a");
		assert_sv(csr_foreign_name(&c, node, SV("")), "more than 32 names");
		c.n_dns_names--;
		assert_null(csr_foreign_name(&c, node, SV("")).p);
	}
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct row r = { NODE, "system:nodes", rows[i].dns, rows[i].ips, "", "", SERVER, NULL, 0 };
		struct csr c = csr_from(&r);
		struct sv foreign = csr_foreign_name(&c, node, cert);

		if (rows[i].foreign)
			assert_sv(foreign, rows[i].foreign);
		else
			assert_null(foreign.p);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_kubelet_client),
		cmocka_unit_test(test_kubelet_serving),
		cmocka_unit_test(test_client),
		cmocka_unit_test(test_names_of_others),
	};

	return cmocka_run_group_tests(tests, NULL, teardown);
}
