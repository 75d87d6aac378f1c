/* csr.h - requests for certificates (PKCS#10, RFC 2986): made, read, and answered with a certificate.
 *
 * A request comes from anybody: it is read as data and believed in nothing. That it is signed by the key it asks for is
 * checked by csr_parse(); who may have that name is the business of whoever calls csr_sign().
 *
 * A certificate made of a request has its subject, its key and those of its alternative names that csr_parse() shows:
 * DNS names, addresses, mail addresses, URIs. All else that it asks for (extensions, being a CA, other kinds of names)
 * is left out.
 *
 * Pure: no clock, no files. Any thread; nothing is left in OpenSSL's error queue.
 */
#pragma once

#include "net/tls.h"

#define CSR_PEM_MAX ((size_t)64 * 1024) /* bytes */

/* All views are the arena's. */
struct csr {
	struct sv common_name; /* the last one, as authentication takes it (http.h); "" : none */
	size_t n_common_names;
	const struct sv *organizations, *dns_names, *ips /* as text */, *emails, *uris;
	size_t n_organizations, n_dns_names, n_ips, n_emails, n_uris;
};

/* Reads the first PEM block, which must be a CERTIFICATE REQUEST with a good signature of its own key (RSA of 1024
 * to 8192 bits, ECDSA on a NIST curve, Ed25519). -1 with ERR_INVALID and what is wrong with it. */
int csr_parse(struct arena *a, struct sv pem, struct csr *ret, struct err *err);

/* What a certificate is for, in the words of certificates.k8s.io ("client auth", "digital signature", ...). */
bool csr_usage_known(struct sv usage);

struct csr_sign_opts {
	struct sv ca_cert, ca_key;
	int64_t not_before_ns, not_after_ns; /* wall clock; it ends with the CA at the latest */
	const struct sv *usages;	     /* known ones */
	size_t n_usages;
};
/* The certificate as PEM, in the arena. Fails with ERR_INVALID when the request is none (csr_parse()), ERR_EXPIRED when
 * the CA ends before the certificate would begin. */
int csr_sign(struct arena *a, struct sv csr_pem, const struct csr_sign_opts *o, struct sv *ret_cert, struct err *err);

/* A request for common_name, organizations and names of o (the rest of it is not asked), signed with key_pem; "" : a
 * new P-256 key. Both PEM, in the arena; *ret_key is key_pem where that was given. */
int csr_make(struct arena *a, const struct cert_opts *o, struct sv key_pem, struct sv *ret_csr, struct sv *ret_key,
	     struct err *err);

/* A new key of one of the kinds that certificates of pods are for (RSA3072, RSA4096, ECDSAP256, ECDSAP384, ECDSAP521,
 * ED25519), as PKCS#8 PEM, and a request in DER that shows that key and nothing else. Both in the arena. RSA takes up
 * to seconds: not for a loop. ERR_INVALID for another kind. */
int csr_stub(struct arena *a, struct sv key_type, struct sv *ret_der, struct sv *ret_key, struct err *err);
