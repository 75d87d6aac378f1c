/* What proves somebody: join tokens, lines of static tokens, signed claims and sets of keys from anywhere are read or
 * refused, and nothing that is refused leaves an empty password behind. */
#include "apiserver/authn/token_file.h"
#include "client/bootstrap_token.h"
#include "codec/jws.h"

/* Its other half is gone: what it signed is in the corpus, and nobody will make another. */
#define TOKENS_KEY                                                           \
	"-----BEGIN PUBLIC KEY-----\n"                                       \
	"MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEKbmFHYFaLEDQzA0xVwyFzBRylVLl\n" \
	"4x3iY9uxswHj2XwwwiTGbaSrGQd0rfEnKD0OWQQglmEFhS3CgQAkMVHXnw==\n"     \
	"-----END PUBLIC KEY-----\n"
#define TOKENS_SIGNED                                                                                \
	"eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJyb2JvdCJ9.9KY4Aw1py3zZPBaSigMSxAQYiEJci3WlKGQ7Q9BICzNR96J6" \
	"ocXutDDsnsDhnz8rhPkNJoEFLi10BoefvuAbdQ"

static void tokens_join(struct sv text)
{
	_cleanup_(err_release) struct err err = ERR_INIT;
	struct join_token t;

	BUG_ON(bootstrap_group_good(text) && !sv_starts(text, SV("system:bootstrappers:")));
	if (join_token_parse(text, &t, &err) < 0)
		return;
	BUG_ON(t.id.n != 6 || t.secret.n != 16 || (t.ca_hash.n && t.ca_hash.n != 64));
	BUG_ON(join_token_check_ca(&t, SV("another's"), &err) == 0);
}

static void tokens_file(struct sv text)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(err_release) struct err err = ERR_INIT;
	struct token_file *f = token_file_parse(text, &err);
	struct user_info u;

	BUG_ON(!f && !*err_msg(&err));
	BUG_ON(token_file_find(f, &a, SV(""), &u));
	token_file_free(f);
}

/* One text is good, in one spelling. */
static void tokens_signed(struct sv text)
{
	static struct jws_keys *keys;
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(err_release) struct err err = ERR_INIT;
	const struct val *claims;

	if (!keys)
		keys = jws_keys_pem(SV(TOKENS_KEY), NULL);
	if (jws_verify(&a, text, keys, JWS_ANY, &claims, &err) == 0)
		BUG_ON(!sv_is(text, TOKENS_SIGNED));
	else
		BUG_ON(sv_is(text, TOKENS_SIGNED) || err.reason != ERR_UNAUTHORIZED);
}

static void tokens_keys(struct sv text)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(err_release) struct err err = ERR_INIT;
	_cleanup_(jws_keys_freep) struct jws_keys *keys = jws_keys_jwks(text, &err);
	const struct val *claims;

	BUG_ON(!keys && !*err_msg(&err));
	BUG_ON(keys && jws_verify(&a, SV("e30.e30.AAAA"), keys, JWS_ANY, &claims, NULL) == 0);
}

/* What is written of keys can be read again. */
static void tokens_pem(struct sv text)
{
	_cleanup_(err_release) struct err err = ERR_INIT;
	_cleanup_(jws_keys_freep) struct jws_keys *keys = jws_keys_pem_all(text, &err), *read = NULL;
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	BUG_ON(!keys && !*err_msg(&err));
	if (!keys || !(jws_keys_algs(keys) & (JWS_RS256 | JWS_ES256 | JWS_ES384 | JWS_ES512)))
		return;
	jws_keys_write(keys, &b);
	read = jws_keys_jwks(buf_sv(&b), NULL);
	BUG_ON(!read);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sv text = sv_make((const char *)data, size);

	tokens_join(text);
	tokens_file(text);
	tokens_signed(text);
	tokens_keys(text);
	tokens_pem(text);
	return 0;
}
