/* What a store has as a cluster's keys, sealed or opened: of any form it is refused, or read as a whole. */
#include "cli/servers_token.h"
#include "cli/shared_keys.h"
#include "net/sealed.h"

#define COST_AT ((size_t)17)
#define COST_MAX 10 /* what is dearer only takes longer */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(err_release) struct err err = ERR_INIT;
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	struct sv text = sv_make((const char *)data, size);
	struct servers_token_note n;
	struct shared_keys k;

	if (servers_token_note_parse(&a, text, &n))
		BUG_ON(n.n_older > SERVERS_TOKEN_OLDER || !n.token.n);
	if (shared_keys_parse(&a, text, &k))
		for (size_t i = 0; i < SK_NEEDED; i++)
			BUG_ON(!k.pem[i].n);
	if (size > COST_AT && data[COST_AT] > COST_MAX)
		return 0;
	BUG_ON(sealed_open(SV("word"), SV("what"), text, &b, &err) < 0 && err.reason == ERR_NONE);
	return 0;
}
