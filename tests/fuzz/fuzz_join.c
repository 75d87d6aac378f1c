/* What a machine that joins is given: a token as it is pasted, and what a cluster says of itself. */
#include "cli/facts.h"
#include "cli/join.h"
#include "codec/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(err_release) struct err err = ERR_INIT, why = ERR_INIT;
	struct sv text = sv_make((const char *)p, n);
	struct cluster_facts f, again;
	struct join_token t;
	const struct val *v;

	if (!memchr(p, '\0', n)) {
		const struct join_opts o = { .token = arena_cstr(&a, text) };

		if (join_secret_parse(&a, &o, &t, &err) == 0)
			BUG_ON(t.ca_hash.n != 64 || t.id.n != 6 || t.secret.n != 16);
		else
			BUG_ON(!*err_msg(&err));
	}
	v = json_decode(&a, text, NULL, NULL);
	if (!v || facts_parse(&a, v, &f, &why) < 0)
		return 0;
	BUG_ON(facts_parse(&a, facts_data(&a, &f), &again, NULL) < 0);
	BUG_ON(!val_same(facts_data(&a, &f), facts_data(&a, &again)));
	facts_release(&f);
	facts_release(&again);
	return 0;
}
