/* Answers of a program that signs tokens, read and judged. */
#include "apiserver/authn/signer_wire.h"
#include "base/b64.h"
#include "base/timefmt.h"
#include "base/vec.h"
#include "codec/pbwire.h"

#include <stdlib.h>

#define HINT_MAX_S INT64_C(1000000000)

/* By field. */
enum { KEYS_KEY = 1, KEYS_TIMESTAMP, KEYS_HINT };
enum { KEY_ID = 1, KEY_DER, KEY_HIDDEN };
enum { TIMESTAMP_SECONDS = 1, TIMESTAMP_NANOS };
enum { SIGNED_HEADER = 1, SIGNED_SIGNATURE };
enum { METADATA_MAX = 1 };

/* --- keys --- */

struct signer_keys *signer_keys_ref(struct signer_keys *k)
{
	atomic_fetch_add(&k->refs, 1);
	return k;
}

struct signer_keys *signer_keys_unref(struct signer_keys *k)
{
	if (!k || atomic_fetch_sub(&k->refs, 1) != 1)
		return NULL;
	jws_keys_free(k->all);
	jws_keys_free(k->shown);
	free(k);
	return NULL;
}

bool signer_keys_hide(const struct signer_keys *k, struct sv kid)
{
	return jws_keys_have(k->all, kid) && (!k->shown || !jws_keys_have(k->shown, kid));
}

static int signer_check_key(struct sv kid, struct sv der, struct err *err)
{
	if (!kid.n || kid.n > SIGNER_KID_MAX)
		return err_set(err, ERR_INTERNAL, "found invalid public key id \"%.*s\"", (int)MIN(kid.n, 64u),
			       kid.p ? kid.p : "");
	return der.n ? 0 : err_set(err, ERR_INTERNAL, "found empty public key");
}

static int signer_read_timestamp(struct sv said, double *ret, struct err *err)
{
	struct pb_field f;
	int64_t s, ns;

	if (!pb_find(said, KEYS_TIMESTAMP, &f) || f.wire != PB_BYTES)
		return err_set(err, ERR_INTERNAL, "invalid data timestamp: there is none");
	s = (int64_t)pb_get_u64(f.bytes, TIMESTAMP_SECONDS);
	ns = (int64_t)pb_get_u64(f.bytes, TIMESTAMP_NANOS);
	if (!pb_valid(f.bytes) || s < TIME_SEC_MIN || s > TIME_SEC_MAX || ns < 0 || ns >= NS_PER_SEC)
		return err_set(err, ERR_INTERNAL, "invalid data timestamp: no time of the years 1 to 9999");
	*ret = (double)s + (double)ns / 1e9;
	return 0;
}

/* Those that others are told of stand in front. */
static struct jws_public *signer_collect(struct arena *a, struct sv said, size_t *ret_n, size_t *ret_shown,
					 struct err *err)
{
	VEC(struct jws_public) shown = VEC_INIT, hidden = VEC_INIT;
	struct jws_public *all = NULL;
	bool good = true;

	PB_EACH(said, r, f) {
		struct jws_public k;

		if (f.no != KEYS_KEY || f.wire != PB_BYTES)
			continue;
		k = (struct jws_public){ .kid = pb_get_sv(f.bytes, KEY_ID), .der = pb_get_sv(f.bytes, KEY_DER) };
		if (!pb_valid(f.bytes) || shown.n + hidden.n > JWS_KEYS_MAX) {
			err_set(err, ERR_INTERNAL, "found %s",
				pb_valid(f.bytes) ? "more than 64 keys" : "a broken key");
			good = false;
		} else {
			good = signer_check_key(k.kid, k.der, err) == 0;
		}
		if (!good)
			break;
		if (pb_get_u64(f.bytes, KEY_HIDDEN))
			vec_push(&hidden, k);
		else
			vec_push(&shown, k);
	}
	*ret_n = shown.n + hidden.n;
	*ret_shown = shown.n;
	if (good) {
		all = ARENA_ARRAY(a, struct jws_public, *ret_n + 1);
		if (shown.n)
			memcpy(all, shown.p, shown.n * sizeof(*all));
		if (hidden.n)
			memcpy(all + shown.n, hidden.p, hidden.n * sizeof(*all));
	}
	vec_release(&shown);
	vec_release(&hidden);
	return all;
}

struct signer_keys *signer_read_keys(struct sv said, struct err *err)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(signer_keys_unrefp) struct signer_keys *k = xcalloc(1, sizeof(*k));
	struct jws_public *keys;
	size_t n, shown;
	int64_t hint = (int64_t)pb_get_u64(said, KEYS_HINT);

	atomic_init(&k->refs, 1);
	if (!pb_valid(said)) {
		err_set(err, ERR_INTERNAL, "the answer is no FetchKeysResponse");
		return NULL;
	}
	if (hint <= 0) {
		err_set(err, ERR_INTERNAL, "found invalid refresh hint (%" PRId64 "s)", hint);
		return NULL;
	}
	k->hint_s = MIN(hint, HINT_MAX_S);
	keys = signer_collect(&a, said, &n, &shown, err);
	if (!keys)
		return NULL;
	if (n == 0) {
		err_set(err, ERR_INTERNAL, "found no keys");
		return NULL;
	}
	if (signer_read_timestamp(said, &k->data_s, err) < 0)
		return NULL;
	k->all = jws_keys_der(keys, n, err);
	if (!k->all || (shown && !(k->shown = jws_keys_der(keys, shown, err)))) {
		err_wrap(err, "while parsing external public keys");
		return NULL;
	}
	return TAKE(k);
}

/* --- tokens --- */

/* A header says by which key and algorithm, that it is a JWT, and nothing else. */
static int signer_check_header(struct arena *a, struct sv header, struct sv *ret_kid, struct err *err)
{
	static const char *const algs[] = { "RS256", "ES256", "ES384", "ES512" };
	const struct val *doc = jws_header_peek(a, header);
	struct sv alg, kid;

	if (!doc)
		return err_set(err, ERR_INTERNAL, "while parsing header JSON: it is no JSON object in base64url");
	VAL_EACH_MEMBER(doc, m)
		if (!sv_is(m.key, "alg") && !sv_is(m.key, "kid") && !sv_is(m.key, "typ"))
			return err_set(err, ERR_INTERNAL, "while parsing header JSON: json: unknown field \"%.*s\"",
				       (int)MIN(m.key.n, 64u), m.key.p);
	if (!val_is(val_member_sv(doc, SV("typ")), "JWT"))
		return err_set(err, ERR_INTERNAL, "bad type");
	kid = val_str(val_member_sv(doc, SV("kid")));
	if (!kid.n)
		return err_set(err, ERR_INTERNAL, "key id missing");
	if (kid.n > SIGNER_KID_MAX)
		return err_set(err, ERR_INTERNAL, "key id longer than 1 kb");
	alg = val_str(val_member_sv(doc, SV("alg")));
	*ret_kid = kid;
	for (size_t i = 0; i < ARRAY_LEN(algs); i++)
		if (sv_is(alg, algs[i]))
			return 0;
	return err_set(err, ERR_INTERNAL, "bad signing algorithm \"%.*s\"", (int)MIN(alg.n, 64u), alg.p ? alg.p : "");
}

int signer_read_token(struct arena *a, struct sv said, struct sv claims, struct sv *ret_token, struct sv *ret_kid,
		      struct err *err)
{
	struct sv header = pb_get_sv(said, SIGNED_HEADER), signature = pb_get_sv(said, SIGNED_SIGNATURE), bytes;

	if (!pb_valid(said))
		return err_set(err, ERR_INTERNAL, "the answer is no SignJWTResponse");
	if (signer_check_header(a, header, ret_kid, err) < 0)
		return err_wrap(err, "while validating header");
	if (!signature.n)
		return err_set(err, ERR_INTERNAL, "empty signature returned");
	/* Longer ones nobody would take, ourselves included. */
	if (signature.n > JWS_TOKEN_MAX || header.n + claims.n + signature.n + 2 > JWS_TOKEN_MAX)
		return err_set(err, ERR_INTERNAL, "the token would be longer than %zu bytes", JWS_TOKEN_MAX);
	if (!b64url_decode_exact(a, signature, &bytes))
		return err_set(err, ERR_INTERNAL, "the signature is not base64url");
	*ret_token = arena_svf(a, "%.*s.%.*s.%.*s", SV_ARG(header), SV_ARG(claims), SV_ARG(signature));
	return 0;
}

int signer_read_metadata(struct sv said, int64_t *ret_max_s, struct err *err)
{
	int64_t max_s = (int64_t)pb_get_u64(said, METADATA_MAX);

	if (!pb_valid(said))
		return err_set(err, ERR_INTERNAL, "the answer is no MetadataResponse");
	if (max_s < SIGNER_MIN_LIFE_S)
		return err_set(err, ERR_INTERNAL,
			       "max token life supported by external-jwt-signer (%" PRId64
			       "s) is less than acceptable (min %ds)",
			       max_s, SIGNER_MIN_LIFE_S);
	*ret_max_s = MIN(max_s, SIGNER_MAX_LIFE_S);
	return 0;
}
