/* What a program that signs tokens answers: keys, a token, how long they last. The first byte says which. */
#include "apiserver/authn/signer_wire.h"
#include "base/b64.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct sv said, token, kid, claims = SV("e30");
	struct signer_keys *keys;
	int64_t max_s;

	if (!size)
		return 0;
	said = sv_make((const char *)data + 1, size - 1);
	if (data[0] == 'k' && (keys = signer_read_keys(said, NULL))) {
		struct buf b = BUF_INIT;

		if (keys->hint_s < 1 || !keys->all)
			abort();
		jws_keys_write(keys->all, &b);
		buf_release(&b);
		(void)signer_keys_hide(keys, SV("a"));
		(void)signer_keys_unref(keys);
	}
	/* What is handed out is three parts, the middle one as it was asked for. */
	if (data[0] == 't' && signer_read_token(&a, said, claims, &token, &kid, NULL) == 0) {
		struct sv rest = token, part;

		if (!kid.n || token.n > JWS_TOKEN_MAX || !sv_split(&rest, '.', &part) || !sv_split(&rest, '.', &part) ||
		    !sv_eq(part, claims) || sv_find(rest, '.') >= 0)
			abort();
	}
	if (data[0] == 'm' && signer_read_metadata(said, &max_s, NULL) == 0 &&
	    (max_s < SIGNER_MIN_LIFE_S || max_s > SIGNER_MAX_LIFE_S))
		abort();
	return 0;
}
