#include "net/jws.h"

#include <jwt.h>
#include <stdlib.h>

#define TOKEN_MAX ((size_t)16 * 1024)

DEFINE_CLEANUP(jwt_t *, jwt_freep, jwt_free)

int jws_sign(struct arena *a, struct sv claims, struct sv key_pem, struct sv kid, struct sv *ret_token, struct err *err)
{
	_cleanup_(jwt_freep) jwt_t *jwt = NULL;
	char *text;

	if (jwt_new(&jwt) || jwt_add_grants_json(jwt, arena_cstr(a, claims)) ||
	    jwt_add_header(jwt, "kid", arena_cstr(a, kid)) ||
	    jwt_set_alg(jwt, JWT_ALG_ES256, (const unsigned char *)key_pem.p, (int)key_pem.n))
		return err_set(err, ERR_INTERNAL, "cannot build a service account token");
	text = jwt_encode_str(jwt);
	if (!text)
		return err_set(err, ERR_INTERNAL, "cannot sign a service account token");
	*ret_token = arena_sv(a, sv_from(text));
	free(text);
	return 0;
}

/* Three parts of base64url. The library passes over what it does not know, so one token would have many spellings. */
static bool jws_well_formed(struct sv token)
{
	size_t dots = 0;

	for (size_t i = 0; i < token.n; i++) {
		char c = token.p[i];

		if (c == '.')
			dots++;
		else if (!(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') && !(c >= '0' && c <= '9') && c != '-' &&
			 c != '_')
			return false;
	}
	return dots == 2;
}

int jws_verify(struct arena *a, struct sv token, struct sv public_pem, struct sv *ret_claims, struct err *err)
{
	_cleanup_(jwt_freep) jwt_t *jwt = NULL;
	char *json;

	if (token.n == 0 || token.n > TOKEN_MAX)
		return err_set(err, ERR_UNAUTHORIZED, "no token of a sensible size");
	if (!jws_well_formed(token))
		return err_set(err, ERR_UNAUTHORIZED, "not three parts of base64url");
	if (jwt_decode(&jwt, arena_cstr(a, token), (const unsigned char *)public_pem.p, (int)public_pem.n))
		return err_set(err, ERR_UNAUTHORIZED, "signature or form is wrong");
	/* Whatever alg the header names has just been used with our public key: only the one we
	 * sign with may count, or "none" and HMAC with the public key as secret would pass. */
	if (jwt_get_alg(jwt) != JWT_ALG_ES256)
		return err_set(err, ERR_UNAUTHORIZED, "unexpected signature algorithm");
	json = jwt_get_grants_json(jwt, NULL);
	if (!json)
		return err_set(err, ERR_UNAUTHORIZED, "no claims");
	*ret_claims = arena_sv(a, sv_from(json));
	free(json);
	return 0;
}
