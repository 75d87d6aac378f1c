/* Requests for certificates: what is refused, what a certificate takes over and what not. */
#include "unit.h"

#include "net/cert_check.h"
#include "net/cert_pem.h"
#include "net/csr.h"
#include "net/key.h"
#include "net/net-internal.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/pem.h>

#define YEAR_NS (365 * 86400 * NS_PER_SEC)
#define NOW_NS (INT64_C(1800000000) * NS_PER_SEC)

static struct arena arena;
static struct sv ca_cert, ca_key;

static int setup(void **state)
{
	struct cert_opts o = { .common_name = "test-ca", .ca = true, .not_after_ns = NOW_NS + 2 * YEAR_NS };

	(void)state;
	assert_int_equal(cert_make(&arena, &o, SV(""), SV(""), &ca_cert, &ca_key, NULL), 0);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	arena_release(&arena);
	return 0;
}

static struct sv request(const struct cert_opts *o)
{
	struct sv pem, key;

	assert_int_equal(csr_make(&arena, o, SV(""), &pem, &key, NULL), 0);
	return pem;
}

static void refused(struct sv pem, const char *why)
{
	_cleanup_(err_release) struct err err = ERR_INIT;
	struct csr c;

	assert_int_equal(csr_parse(&arena, pem, &c, &err), -1);
	assert_int_equal(err.reason, ERR_INVALID);
	assert_non_null(strstr(err_msg(&err), why));
	assert_int_equal(ERR_peek_error(), 0);
}

static void test_what_is_no_request(void **state)
{
	struct sv good = request(&(struct cert_opts){ .common_name = "x" }), key, cert;
	char *huge = arena_zalloc(&arena, CSR_PEM_MAX + 1), *turned = arena_cstr(&arena, good);

	(void)state;
	refused(SV(""), "PEM block type must be CERTIFICATE REQUEST");
	refused(SV("junk"), "PEM block type must be CERTIFICATE REQUEST");
	assert_int_equal(
	    cert_make(&arena, &(struct cert_opts){ .common_name = "x" }, ca_cert, ca_key, &cert, &key, NULL), 0);
	refused(cert, "PEM block type must be CERTIFICATE REQUEST");
	/* the first block counts, whatever comes behind it */
	refused(arena_svf(&arena, "%.*s%.*s", SV_ARG(cert), SV_ARG(good)), "PEM block type");
	refused(SV("-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n"),
		"holds no certificate request");
	memset(huge, 'x', CSR_PEM_MAX + 1);
	refused(sv_make(huge, CSR_PEM_MAX + 1), "longer than");
	/* one character of the base64 text */
	turned[good.n / 2] = turned[good.n / 2] == 'A' ? 'B' : 'A';
	{
		struct csr c;

		assert_int_equal(csr_parse(&arena, sv_from(turned), &c, NULL), -1);
	}
}

/* The request's text with the bytes from changed to to, encoded again. */
static struct sv forged(struct sv pem, const char *from, const char *to)
{
	_cleanup_(bio_freep) BIO *in = BIO_new_mem_buf(pem.p, (int)pem.n), *out = BIO_new(BIO_s_mem());
	char *name, *header, *at;
	unsigned char *der;
	long n;

	assert_int_equal(PEM_read_bio(in, &name, &header, &der, &n), 1);
	at = memmem(der, (size_t)n, from, strlen(from));
	assert_non_null(at);
	memcpy(at, to, strlen(from));
	PEM_write_bio(out, name, "", der, n);
	OPENSSL_free(name);
	OPENSSL_free(header);
	OPENSSL_free(der);
	return cert_bio_text(&arena, out);
}

static void test_not_signed_by_its_key(void **state)
{
	(void)state;
	refused(forged(request(&(struct cert_opts){ .common_name = "system:node:a" }), "node:a", "node:b"),
		"does not verify");
}

static void test_keys_that_are_refused(void **state)
{
	struct sv pem, key;
	_cleanup_(pkey_freep) EVP_PKEY *small = EVP_RSA_gen(512), *ed448 = EVP_PKEY_Q_keygen(NULL, NULL, "ED448"),
				       *odd = EVP_EC_gen("secp256k1"), *own = EVP_EC_gen("P-256");
	EVP_PKEY *keys[] = { small, ed448, odd, own };
	static const char *const why[] = { "RSA key has less", "none of RSA", "no curve", "no curve" };

	(void)state;
	/* the same curve, by its numbers */
	EVP_PKEY_set_utf8_string_param(own, OSSL_PKEY_PARAM_EC_ENCODING, OSSL_PKEY_EC_ENCODING_EXPLICIT);
	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		X509_REQ *r = X509_REQ_new();
		BIO *b = BIO_new(BIO_s_mem());

		X509_REQ_set_pubkey(r, keys[i]);
		assert_true(X509_REQ_sign(r, keys[i], i == 1 ? NULL : EVP_sha256()) > 0);
		PEM_write_bio_X509_REQ(b, r);
		refused(cert_bio_text(&arena, b), why[i]);
		BIO_free(b);
		X509_REQ_free(r);
	}
	assert_int_equal(key_new_rsa(&arena, 2048, &key, NULL), 0);
	assert_int_equal(csr_make(&arena, &(struct cert_opts){ .common_name = "x" }, key, &pem, &key, NULL), 0);
	assert_int_equal(csr_parse(&arena, pem, &(struct csr){ 0 }, NULL), 0);
	assert_int_equal(csr_make(&arena, &(struct cert_opts){ .common_name = "x" }, SV("junk"), &pem, &key, NULL), -1);
}

static void test_what_a_pod_asks_for(void **state)
{
	static const char *const kinds[] = { "ED25519", "ECDSAP256", "ECDSAP384", "ECDSAP521", "RSA3072", "RSA4096" };
	_cleanup_(err_release) struct err err = ERR_INIT;
	struct sv der, key;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		assert_int_equal(csr_stub(&arena, sv_from(kinds[i]), &der, &key, NULL), 0);
		assert_int_equal(cert_request_check(der, NULL), 0); /* what the API takes */
		assert_true(sv_starts(key, SV("-----BEGIN PRIVATE KEY-----\n")));
	}
	assert_int_equal(csr_stub(&arena, SV("RSA1024"), &der, &key, &err), -1);
	assert_string_equal(err_msg(&err), "unknown key type \"RSA1024\"");
	assert_int_equal(ERR_peek_error(), 0);
}

static struct sv blocks(bool once, size_t n, const struct sv *texts)
{
	struct cert_pem c = { .a = &arena };
	struct sv text;

	for (size_t i = 0; i < n; i++)
		cert_pem_add(&c, texts[i]);
	if (once)
		cert_pem_once(&c);
	text = cert_pem_text(&c);
	cert_pem_release(&c);
	assert_int_equal(ERR_peek_error(), 0);
	return text;
}

static void test_nothing_but_the_blocks(void **state)
{
	struct cert_opts o = { .common_name = "other", .ca = true, .not_after_ns = NOW_NS + YEAR_NS };
	struct sv other, key, noted, broken, twice[2];

	(void)state;
	assert_int_equal(cert_make(&arena, &o, SV(""), SV(""), &other, &key, NULL), 0);
	noted = arena_svf(&arena, "a note\n%.*sanother\n%.*s", SV_ARG(ca_cert), SV_ARG(other));
	assert_sv(blocks(false, 1, &noted),
		  arena_printf(&arena, "%.*s%.*s", SV_ARG(ca_cert), SV_ARG(other))); /* in their order */
	twice[0] = noted;
	twice[1] = ca_cert;
	assert_int_equal(blocks(true, 2, twice).n, ca_cert.n + other.n);
	assert_int_equal(blocks(false, 2, twice).n, 2 * ca_cert.n + other.n);
	/* what is damaged is passed over, what stands behind it is not */
	broken = arena_svf(&arena, "-----BEGIN CERTIFICATE-----\n*\n-----END CERTIFICATE-----\n%.*s", SV_ARG(other));
	assert_true(sv_eq(blocks(true, 1, &broken), other));
	assert_sv(blocks(true, 1, &(struct sv){ "junk", 4 }), "");
	assert_sv(blocks(true, 0, NULL), "");
}

static const char *const orgs[] = { "system:nodes", "a, O=b", NULL };
static const char *const dns[] = { "localhost", "a.example.com", NULL };
static const char *const ips[] = { "10.0.0.1", "fd00::1", NULL };

static void test_what_it_asks_for(void **state)
{
	struct cert_opts o = {
		.common_name = "system:node:a", .organizations = orgs, .dns_names = dns, .ip_addrs = ips
	};
	struct csr c;

	(void)state;
	assert_int_equal(csr_parse(&arena, request(&o), &c, NULL), 0);
	assert_sv(c.common_name, "system:node:a");
	assert_int_equal(c.n_common_names, 1);
	assert_int_equal(c.n_organizations, 2);
	assert_sv(c.organizations[1], "a, O=b");
	assert_int_equal(c.n_dns_names, 2);
	assert_sv(c.dns_names[1], "a.example.com");
	assert_int_equal(c.n_ips, 2);
	assert_sv(c.ips[0], "10.0.0.1");
	assert_sv(c.ips[1], "fd00::1");
	assert_int_equal(c.n_emails + c.n_uris, 0);
}

static X509 *cert_of(struct sv pem)
{
	_cleanup_(bio_freep) BIO *b = BIO_new_mem_buf(pem.p, (int)pem.n);

	return PEM_read_bio_X509(b, NULL, NULL, NULL);
}

static int sign(struct sv pem, struct sv usage, int64_t from, int64_t to, struct sv *ret, struct err *err)
{
	struct csr_sign_opts o = { ca_cert, ca_key, from, to, &usage, 1 };

	return csr_sign(&arena, pem, &o, ret, err);
}

/* A request for being a CA, and for a name of a kind that nobody looks at. */
static struct sv greedy(void)
{
	_cleanup_(pkey_freep) EVP_PKEY *key = EVP_EC_gen("P-256");
	X509_REQ *r = X509_REQ_new();
	STACK_OF(X509_EXTENSION) *exts = sk_X509_EXTENSION_new_null();
	_cleanup_(bio_freep) BIO *b = BIO_new(BIO_s_mem());

	X509_NAME_add_entry_by_txt(X509_REQ_get_subject_name(r), "CN", MBSTRING_ASC, (const unsigned char *)"x", -1, -1,
				   0);
	sk_X509_EXTENSION_push(exts, X509V3_EXT_nconf(NULL, NULL, "basicConstraints", "critical,CA:TRUE"));
	sk_X509_EXTENSION_push(exts, X509V3_EXT_nconf(NULL, NULL, "keyUsage", "keyCertSign"));
	sk_X509_EXTENSION_push(exts, X509V3_EXT_nconf(NULL, NULL, "subjectAltName",
						      "DNS:a.example.com,RID:1.2.3.4,URI:spiffe://x/y,email:a@b.c"));
	X509_REQ_add_extensions(r, exts);
	sk_X509_EXTENSION_pop_free(exts, X509_EXTENSION_free);
	X509_REQ_set_pubkey(r, key);
	assert_true(X509_REQ_sign(r, key, EVP_sha256()) > 0);
	PEM_write_bio_X509_REQ(b, r);
	X509_REQ_free(r);
	return cert_bio_text(&arena, b);
}

static void test_what_is_not_taken_over(void **state)
{
	GENERAL_NAMES *names;
	struct sv pem;
	struct csr c;
	X509 *x;

	(void)state;
	assert_int_equal(csr_parse(&arena, greedy(), &c, NULL), 0);
	assert_int_equal(c.n_uris, 1);
	assert_sv(c.emails[0], "a@b.c");
	assert_int_equal(sign(greedy(), SV("client auth"), NOW_NS, NOW_NS + YEAR_NS, &pem, NULL), 0);
	x = cert_of(pem);
	assert_int_equal(X509_check_ca(x), 0);
	assert_int_equal(X509_get_extended_key_usage(x), XKU_SSL_CLIENT);
	assert_true(X509_get_key_usage(x) == UINT32_MAX); /* none was asked for by the words of the API */
	names = X509_get_ext_d2i(x, NID_subject_alt_name, NULL, NULL);
	assert_int_equal(sk_GENERAL_NAME_num(names), 3);
	GENERAL_NAMES_free(names);
	X509_free(x);
}

static void test_signed(void **state)
{
	struct cert_opts o = { .common_name = "system:node:a", .organizations = orgs, .ip_addrs = ips };
	struct sv pem, usages[] = { SV("digital signature"), SV("signing"), SV("server auth"), SV("key encipherment") };
	struct csr_sign_opts so = { ca_cert, ca_key, NOW_NS, NOW_NS + YEAR_NS, usages, ARRAY_LEN(usages) };
	int64_t from, to;
	char *line;
	X509 *x;

	(void)state;
	assert_int_equal(csr_sign(&arena, request(&o), &so, &pem, NULL), 0);
	assert_true(cert_is_of(pem, SV(""), ca_cert));
	assert_int_equal(cert_validity(pem, &from, &to, NULL), 0);
	assert_true(from == NOW_NS && to == NOW_NS + YEAR_NS);
	x = cert_of(pem);
	line = X509_NAME_oneline(X509_get_subject_name(x), NULL, 0);
	assert_string_equal(line, "/O=system:nodes/O=a, O=b/CN=system:node:a");
	OPENSSL_free(line);
	assert_int_equal(X509_get_key_usage(x), KU_DIGITAL_SIGNATURE | KU_KEY_ENCIPHERMENT);
	assert_int_equal(X509_get_extended_key_usage(x), XKU_SSL_SERVER);
	X509_free(x);
}

static void test_no_longer_than_the_ca(void **state)
{
	_cleanup_(err_release) struct err err = ERR_INIT;
	struct sv pem, req = request(&(struct cert_opts){ .common_name = "x" });
	int64_t from, to;

	(void)state;
	assert_int_equal(sign(req, SV("client auth"), NOW_NS, NOW_NS + 9 * YEAR_NS, &pem, NULL), 0);
	assert_int_equal(cert_validity(pem, &from, &to, NULL), 0);
	assert_true(to == NOW_NS + 2 * YEAR_NS);
	assert_int_equal(sign(req, SV("client auth"), NOW_NS + 3 * YEAR_NS, NOW_NS + 4 * YEAR_NS, &pem, &err), -1);
	assert_int_equal(err.reason, ERR_EXPIRED);
	assert_int_equal(sign(req, SV("world domination"), NOW_NS, NOW_NS + YEAR_NS, &pem, NULL), -1);
	assert_false(csr_usage_known(SV("world domination")));
	assert_true(csr_usage_known(SV("s/mime")));
}

static void chain_refused(struct sv pem, const char *why)
{
	_cleanup_(err_release) struct err err = ERR_INIT;

	assert_int_equal(cert_chain_check(pem, &err), -1);
	assert_non_null(strstr(err_msg(&err), why));
	assert_int_equal(ERR_peek_error(), 0);
}

static void test_what_is_no_chain(void **state)
{
	struct sv req = request(&(struct cert_opts){ .common_name = "x" }),
		  two = arena_svf(&arena, "%.*swords\n%.*s", SV_ARG(ca_cert), SV_ARG(ca_cert));

	(void)state;
	chain_refused(SV(""), "at least one CERTIFICATE");
	chain_refused(SV("junk"), "at least one CERTIFICATE");
	chain_refused(req, "found \"CERTIFICATE REQUEST\"");
	chain_refused(arena_svf(&arena, "%.*s%.*s", SV_ARG(ca_cert), SV_ARG(ca_key)), "found \"EC PRIVATE KEY\"");
	chain_refused(SV("-----BEGIN CERTIFICATE-----\nA: b\n\nMAA=\n-----END CERTIFICATE-----\n"), "headers");
	chain_refused(SV("-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n"), "holds no certificate");
	chain_refused(sv_sub(two, 0, two.n - 20), "damaged");
	assert_int_equal(cert_chain_check(two, NULL), 0);
}

/* As its key is encoded, of either kind that a CA's may be. */
static void encoded(EVP_PKEY *key_take)
{
	struct cert_opts o = { .common_name = "test-ca", .ca = true, .not_after_ns = NOW_NS + 2 * YEAR_NS };
	struct sv pem, cert, key;
	unsigned char *theirs = NULL, *ours = NULL;
	X509 *x;
	int n;

	assert_int_equal(cert_key_pem(&arena, key_take, &pem, NULL), 0);
	assert_int_equal(cert_make(&arena, &o, SV(""), pem, &cert, &key, NULL), 0);
	assert_true(sv_eq(key, pem));
	assert_true(cert_is_of(cert, key, cert));
	x = cert_read(cert);
	n = i2d_PUBKEY(key_take, &theirs);
	assert_true(n > 0);
	assert_int_equal(i2d_X509_PUBKEY(X509_get_X509_PUBKEY(x), &ours), n);
	assert_memory_equal(ours, theirs, (size_t)n);
	OPENSSL_free(theirs);
	OPENSSL_free(ours);
	X509_free(x);
	EVP_PKEY_free(key_take);
}

static void test_encoded(void **state)
{
	(void)state;
	encoded(EVP_EC_gen("P-256"));
	encoded(EVP_EC_gen("P-384"));
	encoded(EVP_RSA_gen(2048));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_is_no_request),
		cmocka_unit_test(test_not_signed_by_its_key),
		cmocka_unit_test(test_keys_that_are_refused),
		cmocka_unit_test(test_what_it_asks_for),
		cmocka_unit_test(test_what_is_not_taken_over),
		cmocka_unit_test(test_signed),
		cmocka_unit_test(test_what_a_pod_asks_for),
		cmocka_unit_test(test_nothing_but_the_blocks),
		cmocka_unit_test(test_no_longer_than_the_ca),
		cmocka_unit_test(test_what_is_no_chain),
		cmocka_unit_test(test_encoded),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
