/* What proves somebody: join tokens, lines of static tokens and signed claims from anywhere are read or refused, and
 * nothing that is refused leaves an empty password behind. */
#include "apiserver/authn/token_file.h"
#include "client/bootstrap_token.h"
#include "net/jws.h"

#define TOKENS_KEY                                                           \
	"-----BEGIN PUBLIC KEY-----\n"                                       \
	"MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE1L36I/sz/uT2earMgYExZTDkm+rs\n" \
	"35O5fIl2jM6Suc+xbzXPVfzBOBT4QF+E8NBgPb12ss7Gf2cPT4Y6m08O/A==\n"     \
	"-----END PUBLIC KEY-----\n"

static void tokens_join(struct sv text)
{
	_cleanup_(err_release) struct err err = ERR_INIT;
	struct join_token t;

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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(err_release) struct err err = ERR_INIT;
	struct sv text = sv_make((const char *)data, size), claims;

	tokens_join(text);
	tokens_file(text);
	BUG_ON(jws_verify(&a, text, SV(TOKENS_KEY), &claims, &err) == 0 || err.reason != ERR_UNAUTHORIZED);
	return 0;
}
