/* certificates.c - CertificateSigningRequests: what may be asked for, and what may be said about it by which endpoint.
 *
 * What is asked for never changes after the first write (the strategy keeps it), so only that is looked at. What is
 * already wrong with a stored one's conditions may stay so. */
#include "apiserver/registry/validate/kinds-internal.h"
#include "base/b64.h"
#include "base/buf.h"
#include "net/csr.h"
#include "object/node_identity.h"

#define EXPIRATION_MIN 600	  /* seconds */
#define BYTES_SAID ((size_t)4096) /* of a request that is none */

static const char *const csr_final[] = { "Approved", "Denied", "Failed", NULL }; /* once there, there for good */

/* Bytes, as Go's %#v has them. */
static const struct val *csr_bytes(struct arena *a, struct sv bytes)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	buf_adds(&b, "[]byte{");
	for (size_t i = 0; i < MIN(bytes.n, BYTES_SAID); i++)
		buf_printf(&b, "%s0x%x", i ? ", " : "", (unsigned char)bytes.p[i]);
	buf_adds(&b, bytes.n > BYTES_SAID ? ", ...}" : "}");
	return val_new_raw(a, buf_sv(&b));
}

static void csr_check_request(struct field_errs *fe, const struct val *spec, const struct fpath *up)
{
	_cleanup_(err_release) struct err why = ERR_INIT;
	struct fpath at = FPATH(up, F_request);
	struct sv pem = SV("");
	struct csr parsed;

	if (!b64_decode(fe->a, val_get_str(spec, F_request), &pem) || csr_parse(fe->a, pem, &parsed, &why) < 0)
		fe_add(fe, FE_INVALID, &at, csr_bytes(fe->a, pem), "%s", err_msg(&why));
}

static void csr_check_usages(struct field_errs *fe, const struct val *usages, const struct fpath *at)
{
	const char *const *supported =
	    schema_field(schema_find(SV("certificates.k8s.io/v1.CertificateSigningRequestSpec")), F_usages)
		->enum_values;
	_cleanup_(strmap_release) struct strmap seen = STRMAP_INIT;
	size_t i = 0;

	if (!val_len(usages))
		fe_required(fe, at);
	VAL_EACH(usages, u) {
		struct fpath here = FPATH_AT(at, i++);

		if (strmap_has(&seen, val_str(u)))
			fe_duplicate(fe, &here, u);
		strmap_set(&seen, val_str(u), fe);
		if (!val_str(u).n) /* of others the schema's marks say so */
			fe_not_supported(fe, &here, u, supported);
	}
}

static void csr_check_spec(struct field_errs *fe, const struct val *spec)
{
	struct fpath up = FPATH_ROOT(F_spec), usages = FPATH(&up, F_usages), signer = FPATH(&up, F_signerName),
		     expiration = FPATH(&up, F_expirationSeconds);
	const struct val *seconds = val_member(spec, F_expirationSeconds);

	csr_check_request(fe, spec, &up);
	csr_check_usages(fe, val_member(spec, F_usages), &usages);
	if (val_is(val_member(spec, F_signerName), SIGNER_LEGACY))
		fe_invalid(fe, &signer, val_member(spec, F_signerName),
			   "the legacy signerName is not allowed via this API version");
	else
		validate_signer_name(fe, spec, &up);
	if (seconds && val_int_or(seconds, 0) < EXPIRATION_MIN)
		fe_invalid(fe, &expiration, seconds, "may not specify a duration less than 600 seconds (10 minutes)");
}

/* What a stored one has already may be there again. */
struct csr_tolerated {
	bool both, twice, empty;
};

static struct csr_tolerated csr_tolerated(const struct val *old)
{
	_cleanup_(strmap_release) struct strmap seen = STRMAP_INIT;
	struct csr_tolerated t = { false, false, false };

	VAL_EACH(val_get(old, F_status, F_conditions), c) {
		struct sv type = val_get_str(c, F_type);

		t.twice |= strmap_has(&seen, type);
		t.empty |= type.n == 0;
		strmap_set(&seen, type, &t);
	}
	t.both = strmap_has(&seen, SV("Approved")) && strmap_has(&seen, SV("Denied"));
	return t;
}

static void csr_check_condition_status(struct field_errs *fe, const struct val *c, const struct fpath *up, bool final)
{
	const struct val *v = val_member(c, F_status);
	struct fpath at = FPATH(up, F_status);

	if (!val_str(v).n)
		fe_required(fe, &at);
	else if (final)
		CHECK_ONE_OF(fe, v, &at, "True");
	else
		CHECK_ONE_OF(fe, v, &at, "False", "True", "Unknown");
}

static void csr_check_conditions(struct field_errs *fe, const struct val *doc, const struct val *old)
{
	_cleanup_(strmap_release) struct strmap seen = STRMAP_INIT;
	struct fpath status = FPATH_ROOT(F_status), list = FPATH(&status, F_conditions);
	struct csr_tolerated t = csr_tolerated(old);
	size_t i = 0;

	VAL_EACH(val_get(doc, F_status, F_conditions), c) {
		struct fpath here = FPATH_AT(&list, i++), at = FPATH(&here, F_type);
		const struct val *v = val_member(c, F_type);
		struct sv type = val_str(v);
		const char *other = sv_is(type, "Approved") ? "Denied" : sv_is(type, "Denied") ? "Approved" : NULL;

		if (!type.n && !t.empty)
			fe_required(fe, &at);
		csr_check_condition_status(fe, c, &here, other || sv_is(type, "Failed"));
		if (other && !t.both && strmap_has(&seen, sv_from(other)))
			fe_invalid(fe, &at, v, "Approved and Denied conditions are mutually exclusive");
		if (!t.twice && strmap_has(&seen, type))
			fe_duplicate(fe, &at, v ? v : val_new_str(fe->a, SV("")));
		strmap_set(&seen, type, fe);
	}
}

/* How many of type, and whether they are the same in both. */
static size_t csr_count(const struct val *doc, const char *type)
{
	size_t n = 0;

	VAL_EACH(val_get(doc, F_status, F_conditions), c)
		n += val_is(val_member(c, F_type), type);
	return n;
}

static void csr_check_kept(struct field_errs *fe, const struct val *doc, const struct val *old, bool approving)
{
	struct fpath status = FPATH_ROOT(F_status), at = FPATH(&status, F_conditions);

	for (const char *const *type = csr_final; *type; type++) {
		size_t now = csr_count(doc, *type), was = csr_count(old, *type);

		if (now < was)
			fe_add(fe, FE_FORBIDDEN, &at, NULL, "updates may not remove a condition of type \"%s\"", *type);
		else if (now > was && !approving && strcmp(*type, "Failed") != 0)
			fe_add(fe, FE_FORBIDDEN, &at, NULL, "updates may not add a condition of type \"%s\"", *type);
	}
}

static void csr_check_certificate(struct field_errs *fe, const struct val *doc, const struct val *old, bool signing)
{
	_cleanup_(err_release) struct err why = ERR_INIT;
	struct fpath status = FPATH_ROOT(F_status), at = FPATH(&status, F_certificate);
	struct sv now = val_get_str(doc, F_status, F_certificate), was = val_get_str(old, F_status, F_certificate), pem;

	if (sv_eq(now, was))
		return;
	if (now.n && (!b64_decode(fe->a, now, &pem) || cert_chain_check(pem, &why) < 0))
		fe_invalid(fe, &at, val_new_str(fe->a, SV("<certificate data>")), err_msg(&why));
	if (!signing)
		fe_forbidden(fe, &at, "updates may not set certificate content");
	else if (was.n)
		fe_forbidden(fe, &at, "updates may not modify existing certificate content");
}

void validate_csr(struct field_errs *fe, const struct val *doc, const struct val *old, const char *sub)
{
	if (!old)
		csr_check_spec(fe, val_member(doc, F_spec));
	csr_check_conditions(fe, doc, old);
	if (!old)
		return;
	csr_check_kept(fe, doc, old, is_sub(sub, "approval"));
	csr_check_certificate(fe, doc, old, is_sub(sub, "status"));
}
